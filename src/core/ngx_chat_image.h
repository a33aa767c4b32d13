
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_IMAGE_H_INCLUDED_
#define _NGX_CHAT_IMAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Formats of images that browsers display, and their headers. */


typedef enum {
    NGX_CHAT_IMAGE_NONE = 0,                  /* another format */
    NGX_CHAT_IMAGE_PNG,
    NGX_CHAT_IMAGE_JPEG,
    NGX_CHAT_IMAGE_GIF,
    NGX_CHAT_IMAGE_WEBP,
    NGX_CHAT_IMAGE_AVIF
} ngx_chat_image_e;


typedef struct {
    ngx_chat_image_e       format;
    uint32_t               width;             /* as displayed, pixels; 0:
                                                 unknown */
    uint32_t               height;
} ngx_chat_image_t;


/* of a file, as much of it as the header may need, bytes */
#define NGX_CHAT_IMAGE_HEADER  (256 * 1024)

/* reads the beginning of a file */
void ngx_chat_image_read(ngx_chat_image_t *image, const u_char *data,
    size_t len);


#endif /* _NGX_CHAT_IMAGE_H_INCLUDED_ */
