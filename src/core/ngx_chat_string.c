
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_string.h"
#include "src/core/ngx_chat_types.h"


typedef struct {
    uint32_t               first;
    uint32_t               last;
} ngx_chat_string_range_t;


static ngx_uint_t ngx_chat_string_is_space(uint32_t code);
static ngx_int_t ngx_chat_string_escape(u_char *p, u_char *last);


/* white space of Python's str.strip() */

static ngx_chat_string_range_t  ngx_chat_string_space[] = {
    { 0x0009, 0x000d },
    { 0x001c, 0x0020 },
    { 0x0085, 0x0085 },
    { 0x00a0, 0x00a0 },
    { 0x1680, 0x1680 },
    { 0x2000, 0x200a },
    { 0x2028, 0x2029 },
    { 0x202f, 0x202f },
    { 0x205f, 0x205f },
    { 0x3000, 0x3000 },
    { 0, 0 }
};


uint32_t
ngx_chat_string_char(u_char **pos, u_char *last)
{
    u_char    *p;
    uint32_t   c, least;
    ngx_int_t  more;

    p = (*pos)++;
    c = *p++;

    if (c < 0x80) {
        return c;
    }

    if (c >= 0xc2 && c < 0xe0) {
        c &= 0x1f;
        least = 0x80;
        more = 1;

    } else if (c >= 0xe0 && c < 0xf0) {
        c &= 0x0f;
        least = 0x800;
        more = 2;

    } else if (c >= 0xf0 && c < 0xf5) {
        c &= 0x07;
        least = 0x10000;
        more = 3;

    } else {
        return NGX_CHAT_STRING_NO_CHAR;
    }

    if (last - p < more) {
        return NGX_CHAT_STRING_NO_CHAR;
    }

    for ( /* void */ ; more; more--) {
        if ((*p & 0xc0) != 0x80) {
            return NGX_CHAT_STRING_NO_CHAR;
        }

        c = c << 6 | (*p++ & 0x3f);
    }

    if (c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        return NGX_CHAT_STRING_NO_CHAR;
    }

    *pos = p;

    return c;
}


ngx_int_t
ngx_chat_string_utf8(ngx_str_t *text)
{
    u_char    *p, *last;
    uint64_t   block;

    if (text->len == 0) {
        return NGX_OK;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {

        /* ASCII: eight bytes at a time */

        if (last - p >= 8) {
            ngx_memcpy(&block, p, 8);

            if ((block & 0x8080808080808080) == 0) {
                p += 8;
                continue;
            }
        }

        if (ngx_chat_string_char(&p, last) == NGX_CHAT_STRING_NO_CHAR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


size_t
ngx_chat_string_length(ngx_str_t *text)
{
    size_t  i, length;

    length = 0;

    for (i = 0; i < text->len; i++) {
        length += ((text->data[i] & 0xc0) != 0x80);
    }

    return length;
}


void
ngx_chat_string_trim(ngx_str_t *text)
{
    u_char  *p, *start, *last, *end;

    if (text->len == 0) {
        return;
    }

    start = text->data;
    last = start + text->len;

    for (p = start; p < last; start = p) {
        if (!ngx_chat_string_is_space(ngx_chat_string_char(&p, last))) {
            break;
        }
    }

    for (end = last; start < end; last = end) {

        do {
            end--;
        } while (end > start && (*end & 0xc0) == 0x80);

        p = end;

        if (!ngx_chat_string_is_space(ngx_chat_string_char(&p, last))) {
            break;
        }
    }

    text->data = start;
    text->len = last - start;
}


static ngx_uint_t
ngx_chat_string_is_space(uint32_t code)
{
    ngx_chat_string_range_t  *range;

    /* most texts begin and end with printable ASCII */

    if (code > 0x20 && code < 0x80) {
        return 0;
    }

    for (range = ngx_chat_string_space; range->last; range++) {
        if (code >= range->first && code <= range->last) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_chat_string_client_id(ngx_str_t *id)
{
    size_t  i;

    if (id->len == 0 || id->len > NGX_CHAT_CLIENT_ID_MAX) {
        return NGX_ERROR;
    }

    for (i = 0; i < id->len; i++) {
        if (id->data[i] <= ' ' || id->data[i] >= 0x7f) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_chat_string_id(ngx_str_t *text, uint64_t *id)
{
    size_t    i;
    uint64_t  value, digit;

    value = 0;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            return NGX_ERROR;
        }

        digit = text->data[i] - '0';

        if (value > (UINT64_MAX - digit) / 10) {
            return NGX_ERROR;
        }

        value = value * 10 + digit;
    }

    if (value == 0) {
        return NGX_ERROR;
    }

    *id = value;

    return NGX_OK;
}


/*
 * Each backslash is taken for the start of an escape; yajl rejects those
 * outside of strings.
 */

ngx_int_t
ngx_chat_string_surrogates(ngx_str_t *input, size_t *offset)
{
    u_char     *p, *last;
    ngx_int_t   code;

    p = input->data;
    last = p + input->len;

    for ( ;; ) {

        p = ngx_strlchr(p, last, '\\');
        if (p == NULL) {
            return NGX_OK;
        }

        code = ngx_chat_string_escape(p, last);

        if (code >= 0xd800 && code < 0xe000) {
            *offset = p - input->data;

            if (code >= 0xdc00) {
                return NGX_ERROR;
            }

            p += 6;

            code = ngx_chat_string_escape(p, last);

            if (code < 0xdc00 || code >= 0xe000) {
                return NGX_ERROR;
            }

            p += 6;
            continue;
        }

        p += 2;
    }
}


/* returns the value of \uXXXX at p, or NGX_ERROR */

static ngx_int_t
ngx_chat_string_escape(u_char *p, u_char *last)
{
    if (last - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return NGX_ERROR;
    }

    return ngx_hextoi(p + 2, 4);
}
