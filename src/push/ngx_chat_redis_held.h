
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REDIS_HELD_H_INCLUDED_
#define _NGX_CHAT_REDIS_HELD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* records of a worker that is not connected yet, in their order */


typedef struct {
    uint32_t               sender_id;
    uint32_t               recipient_id;
    ngx_str_t              text;
} ngx_chat_redis_held_t;


/* returns NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_redis_held_init(ngx_buf_t *b, ngx_pool_t *pool);

/* copies a record; returns NGX_OK, or NGX_DECLINED if there is no space */
ngx_int_t ngx_chat_redis_held_add(ngx_buf_t *b,
    const ngx_chat_redis_held_t *held);

/*
 * Removes the first record, and returns NGX_OK, or NGX_DECLINED if there is
 * none.  The text is valid until the next record is added.
 */
ngx_int_t ngx_chat_redis_held_get(ngx_buf_t *b, ngx_chat_redis_held_t *held);


#endif /* _NGX_CHAT_REDIS_HELD_H_INCLUDED_ */
