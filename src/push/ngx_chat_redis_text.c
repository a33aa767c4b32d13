
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_string.h"
#include "src/push/ngx_chat_redis_text.h"


#define NGX_CHAT_REDIS_KIND_MAX  255


static ngx_uint_t ngx_chat_redis_has_text(uint64_t kind);
static u_char *ngx_chat_redis_prefix_write(u_char *p, uint64_t instance);
static ngx_int_t ngx_chat_redis_event_read(u_char *p, u_char *last,
    ngx_str_t *text);
static ngx_int_t ngx_chat_redis_prefix_read(u_char **pos, u_char *last,
    uint64_t *instance);
static ngx_int_t ngx_chat_redis_number_read(u_char **pos, u_char *last,
    uint64_t max, uint64_t *number);


static ngx_str_t  ngx_chat_redis_prefix = ngx_string("chat:");
static ngx_str_t  ngx_chat_redis_resync = ngx_string("chat:resync");
static ngx_str_t  ngx_chat_redis_online = ngx_string(":online:");


u_char *
ngx_chat_redis_channel_write(u_char *p, uint32_t user_id)
{
    if (user_id == NGX_CHAT_REDIS_RESYNC) {
        return ngx_cpymem(p, ngx_chat_redis_resync.data,
                          ngx_chat_redis_resync.len);
    }

    return ngx_sprintf(p, "chat:%uL", (uint64_t) user_id);
}


u_char *
ngx_chat_redis_resync_write(u_char *p, uint64_t instance)
{
    return ngx_chat_redis_prefix_write(p, instance);
}


u_char *
ngx_chat_redis_online_write(u_char *p, uint64_t instance, const uint32_t *ids,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    p = ngx_chat_redis_prefix_write(p, instance);
    p = ngx_cpymem(p, ngx_chat_redis_online.data, ngx_chat_redis_online.len);

    for (i = 0; i < n; i++) {
        p = ngx_sprintf(p, i ? ",%uL" : "%uL", (uint64_t) ids[i]);
    }

    return p;
}


u_char *
ngx_chat_redis_record_write(u_char *p, uint64_t instance,
    ngx_chat_record_t *record)
{
    p = ngx_chat_redis_prefix_write(p, instance);

    p = ngx_sprintf(p, ":%uL:%uL:%uL:%uL", (uint64_t) record->kind,
                    (uint64_t) record->sender_id,
                    (uint64_t) record->recipient_id, record->message_id);

    if (ngx_chat_redis_has_text(record->kind) && record->text.len
        && record->text.len <= NGX_CHAT_RECORD_TEXT)
    {
        *p++ = ':';
        p = ngx_cpymem(p, record->text.data, record->text.len);
    }

    return p;
}


static ngx_uint_t
ngx_chat_redis_has_text(uint64_t kind)
{
    return kind == NGX_CHAT_RECORD_EVENT || kind == NGX_CHAT_RECORD_TRANSIENT;
}


static u_char *
ngx_chat_redis_prefix_write(u_char *p, uint64_t instance)
{
    ngx_uint_t  i;
    u_char      bytes[8];

    for (i = 0; i < 8; i++) {
        bytes[i] = (u_char) (instance >> (56 - 8 * i));
    }

    *p++ = '1';
    *p++ = ':';

    return ngx_hex_dump(p, bytes, 8);
}


ngx_int_t
ngx_chat_redis_channel_read(ngx_str_t *text, uint32_t *user_id)
{
    u_char    *p;
    uint64_t   n;

    if (text->len == ngx_chat_redis_resync.len
        && ngx_memcmp(text->data, ngx_chat_redis_resync.data, text->len) == 0)
    {
        *user_id = NGX_CHAT_REDIS_RESYNC;
        return NGX_OK;
    }

    if (text->len < ngx_chat_redis_prefix.len
        || ngx_memcmp(text->data, ngx_chat_redis_prefix.data,
                      ngx_chat_redis_prefix.len)
           != 0)
    {
        return NGX_ERROR;
    }

    p = text->data + ngx_chat_redis_prefix.len;

    if (ngx_chat_redis_number_read(&p, text->data + text->len, 0xffffffff, &n)
        != NGX_OK
        || p != text->data + text->len || n == 0)
    {
        return NGX_ERROR;
    }

    *user_id = (uint32_t) n;

    return NGX_OK;
}


ngx_int_t
ngx_chat_redis_resync_read(ngx_str_t *text, uint64_t *instance)
{
    u_char  *p;

    p = text->data;

    if (ngx_chat_redis_prefix_read(&p, p + text->len, instance) != NGX_OK) {
        return NGX_ERROR;
    }

    return (p == text->data + text->len) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_chat_redis_online_read(ngx_str_t *text, uint64_t *instance, uint32_t *ids,
    ngx_uint_t *n)
{
    u_char    *p, *last;
    uint64_t   id;

    p = text->data;
    last = p + text->len;

    if (ngx_chat_redis_prefix_read(&p, last, instance) != NGX_OK
        || (size_t) (last - p) < ngx_chat_redis_online.len
        || ngx_memcmp(p, ngx_chat_redis_online.data, ngx_chat_redis_online.len)
           != 0)
    {
        return NGX_ERROR;
    }

    p += ngx_chat_redis_online.len;

    for (*n = 0; *n < NGX_CHAT_REDIS_IDS; p++) {

        if (ngx_chat_redis_number_read(&p, last, 0xffffffff, &id) != NGX_OK
            || id == 0)
        {
            return NGX_ERROR;
        }

        ids[(*n)++] = (uint32_t) id;

        if (p == last) {
            return NGX_OK;
        }

        if (*p != ',') {
            return NGX_ERROR;
        }
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_chat_redis_record_read(ngx_str_t *text, uint64_t *instance,
    ngx_chat_record_t *record)
{
    u_char      *p, *last;
    uint64_t     values[4];
    ngx_uint_t   i;

    static const uint64_t  max[4] = {
        NGX_CHAT_REDIS_KIND_MAX, 0xffffffff, 0xffffffff, (uint64_t) -1
    };

    p = text->data;
    last = p + text->len;

    if (ngx_chat_redis_prefix_read(&p, last, instance) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < 4; i++) {
        if (p == last || *p++ != ':'
            || ngx_chat_redis_number_read(&p, last, max[i], &values[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (values[2] == 0) {
        return NGX_ERROR;
    }

    ngx_str_null(&record->text);

    if (p != last
        && (!ngx_chat_redis_has_text(values[0])
            || ngx_chat_redis_event_read(p, last, &record->text) != NGX_OK))
    {
        return NGX_ERROR;
    }

    record->kind = (ngx_chat_record_e) values[0];
    record->sender_id = (uint32_t) values[1];
    record->recipient_id = (uint32_t) values[2];
    record->message_id = values[3];

    return NGX_OK;
}


/* a JSON object in one line; its members are not parsed */

static ngx_int_t
ngx_chat_redis_event_read(u_char *p, u_char *last, ngx_str_t *text)
{
    if (last - p < 3 || last - p > 1 + NGX_CHAT_RECORD_TEXT || p[0] != ':'
        || p[1] != '{' || last[-1] != '}')
    {
        return NGX_ERROR;
    }

    text->data = ++p;
    text->len = last - p;

    for ( /* void */ ; p < last; p++) {
        if (*p < ' ') {
            return NGX_ERROR;
        }
    }

    return ngx_chat_string_utf8(text);
}


static ngx_int_t
ngx_chat_redis_prefix_read(u_char **pos, u_char *last, uint64_t *instance)
{
    u_char      *p, c;
    uint64_t     n;
    ngx_uint_t   i;

    p = *pos;

    if (last - p < 18 || p[0] != '1' || p[1] != ':') {
        return NGX_ERROR;
    }

    p += 2;
    n = 0;

    for (i = 0; i < 16; i++) {
        c = *p++;

        if (c >= '0' && c <= '9') {
            c -= '0';

        } else if (c >= 'a' && c <= 'f') {
            c -= 'a' - 10;

        } else {
            return NGX_ERROR;
        }

        n = n << 4 | c;
    }

    *instance = n;
    *pos = p;

    return NGX_OK;
}


/* reads a decimal number without leading zeros */

static ngx_int_t
ngx_chat_redis_number_read(u_char **pos, u_char *last, uint64_t max,
    uint64_t *number)
{
    u_char    *p;
    uint64_t   n;

    n = 0;

    for (p = *pos; p < last && *p >= '0' && *p <= '9'; p++) {

        if (n > (max - (*p - '0')) / 10) {
            return NGX_ERROR;
        }

        n = n * 10 + (*p - '0');
    }

    if (p == *pos || (**pos == '0' && p - *pos > 1)) {
        return NGX_ERROR;
    }

    *number = n;
    *pos = p;

    return NGX_OK;
}
