
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_string.h"


static ngx_uint_t ngx_chat_display_char(uint32_t c);


ngx_int_t
ngx_chat_unicode_display(ngx_pool_t *pool, ngx_str_t *text, ngx_uint_t cut,
    ngx_str_t *name)
{
    u_char      *buf, *p, *last;
    size_t       size;
    ngx_str_t    trimmed;
    ngx_uint_t   n;

    trimmed = *text;

    if (ngx_chat_string_utf8(&trimmed) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_chat_string_trim(&trimmed);

    /* NFC of a text has up to three times as many bytes */

    size = 3 * trimmed.len + 1;

    buf = ngx_pnalloc(pool, size);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    if (ngx_chat_unicode_blank(&trimmed)
        || ngx_chat_unicode_normalize(&trimmed, NGX_CHAT_UNICODE_NFC, buf, size,
                                      name)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    p = name->data;
    last = p + name->len;

    for (n = 0; p < last; n++) {

        if (n == NGX_CHAT_DISPLAY_LEN) {

            if (!cut) {
                return NGX_DECLINED;
            }

            name->len = p - name->data;
            ngx_chat_string_trim(name);

            return NGX_OK;
        }

        if (!ngx_chat_display_char(ngx_chat_string_char(&p, last))) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* no control characters, no line ends, and no marks of direction */

static ngx_uint_t
ngx_chat_display_char(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0)
           && c != 0x61c && c != 0x200e && c != 0x200f
           && !(c >= 0x2028 && c <= 0x202e)
           && !(c >= 0x2066 && c <= 0x2069)
           && c != 0xfeff;
}
