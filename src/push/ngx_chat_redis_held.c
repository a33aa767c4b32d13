
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/push/ngx_chat_redis_held.h"


/* bytes, of all records */
#define NGX_CHAT_REDIS_HELD  (64 * 1024)


ngx_int_t
ngx_chat_redis_held_init(ngx_buf_t *b, ngx_pool_t *pool)
{
    b->start = ngx_palloc(pool, NGX_CHAT_REDIS_HELD);
    if (b->start == NULL) {
        return NGX_ERROR;
    }

    b->pos = b->start;
    b->last = b->start;
    b->end = b->start + NGX_CHAT_REDIS_HELD;

    return NGX_OK;
}


ngx_int_t
ngx_chat_redis_held_add(ngx_buf_t *b, const ngx_chat_redis_held_t *held)
{
    size_t  size;

    size = sizeof(ngx_chat_redis_held_t) + held->text.len;

    if ((size_t) (b->end - b->last) < size) {
        return NGX_DECLINED;
    }

    b->last = ngx_cpymem(b->last, held, sizeof(ngx_chat_redis_held_t));
    b->last = ngx_cpymem(b->last, held->text.data, held->text.len);

    return NGX_OK;
}


ngx_int_t
ngx_chat_redis_held_get(ngx_buf_t *b, ngx_chat_redis_held_t *held)
{
    if (b->pos == b->last) {
        b->pos = b->start;
        b->last = b->start;

        return NGX_DECLINED;
    }

    ngx_memcpy(held, b->pos, sizeof(ngx_chat_redis_held_t));

    held->text.data = b->pos + sizeof(ngx_chat_redis_held_t);

    b->pos = held->text.data + held->text.len;

    return NGX_OK;
}
