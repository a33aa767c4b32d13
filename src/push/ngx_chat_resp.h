
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_RESP_H_INCLUDED_
#define _NGX_CHAT_RESP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * RESP2, the protocol of Redis.  All sizes are limited: a reply that exceeds a
 * limit is an error.
 */


#define NGX_CHAT_RESP_SIZE    4096        /* of a reply, bytes */
#define NGX_CHAT_RESP_LINE    512         /* without the type and CRLF */
#define NGX_CHAT_RESP_TEXT    2048        /* of a bulk string, bytes */
#define NGX_CHAT_RESP_VALUES  16          /* in a reply */
#define NGX_CHAT_RESP_DEPTH   4           /* of arrays */


typedef enum {
    NGX_CHAT_RESP_STATUS = 0,             /* a simple string */
    NGX_CHAT_RESP_ERROR,
    NGX_CHAT_RESP_INTEGER,
    NGX_CHAT_RESP_BULK,
    NGX_CHAT_RESP_ARRAY,
    NGX_CHAT_RESP_NULL                    /* bulk string or array */
} ngx_chat_resp_type_e;


typedef struct {
    ngx_chat_resp_type_e   type;
    ngx_str_t              text;          /* of a status, error or bulk string;
                                             inside the buffer */
    int64_t                number;        /* an integer; of an array, the
                                             number of elements */
} ngx_chat_resp_value_t;


typedef struct {
    ngx_uint_t             nvalues;
    ngx_chat_resp_value_t  values[NGX_CHAT_RESP_VALUES];   /* an array precedes
                                                              its elements */
} ngx_chat_resp_t;


/*
 * Reads the reply at *pos and moves *pos behind it.  Returns NGX_AGAIN if the
 * reply is incomplete, and NGX_ERROR if it is invalid or exceeds a limit.
 */
ngx_int_t ngx_chat_resp_read(ngx_chat_resp_t *resp, u_char **pos,
    u_char *last);

/* returns an upper bound of the size of a command */
size_t ngx_chat_resp_size(const ngx_str_t *args, ngx_uint_t n);

/* writes a command with its arguments; returns its end */
u_char *ngx_chat_resp_write(u_char *p, const ngx_str_t *args, ngx_uint_t n);


#endif /* _NGX_CHAT_RESP_H_INCLUDED_ */
