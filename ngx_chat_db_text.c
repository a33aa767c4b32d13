
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"


#define NGX_CHAT_DB_TEXT  4096                /* bytes of a packet at first */


ngx_int_t
ngx_chat_db_text_reserve(ngx_chat_db_text_t *text, size_t size)
{
    u_char  *p;
    size_t   used, total;

    if ((size_t) (text->end - text->pos) >= size) {
        return NGX_OK;
    }

    used = text->pos - text->start;
    total = ngx_max((size_t) (text->end - text->start) * 2,
                    NGX_CHAT_DB_TEXT);
    total = ngx_max(total, used + size);

    p = ngx_alloc(total, ngx_cycle->log);
    if (p == NULL) {
        text->error = 1;
        return NGX_ERROR;
    }

    if (text->start != NULL) {
        ngx_memcpy(p, text->start, used);
        ngx_free(text->start);
    }

    text->start = p;
    text->pos = p + used;
    text->end = p + total;

    return NGX_OK;
}
