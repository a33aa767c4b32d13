
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query_builder.h"


static void ngx_chat_query_write(ngx_chat_db_buf_t *text, const char *sql,
    size_t len, ngx_uint_t ends);
static void ngx_chat_query_write_value(ngx_chat_db_buf_t *text,
    const ngx_chat_query_value_t *value);
static void ngx_chat_query_write_number(ngx_chat_db_buf_t *text,
    uint64_t number);
static void ngx_chat_query_write_string(ngx_chat_db_buf_t *text,
    const ngx_chat_query_value_t *value);


/* characters that follow a backslash in a string */

static const u_char  ngx_chat_query_escapes[256] = {
    ['\0'] = '0',
    ['\n'] = 'n',
    ['\r'] = 'r',
    [0x1a] = 'Z',
    ['\\'] = '\\',
    ['\''] = '\'',
    ['"'] = '"'
};


void
ngx_chat_query_text(ngx_chat_db_buf_t *text, const char *sql)
{
    ngx_chat_query_write(text, sql, ngx_strlen(sql), 1);
}


void
ngx_chat_query_add_values(ngx_chat_db_buf_t *text, const char *sql,
    const ngx_chat_query_value_t *values, ngx_uint_t n)
{
    ngx_uint_t   i, ends;
    const char  *p;

    ends = (strchr(sql, ';') != NULL);

    while ((p = strchr(sql, '$')) != NULL) {
        ngx_chat_query_write(text, sql, p - sql, ends);

        /* "$0" becomes a large number, and is rejected as all unknown ones */
        i = (ngx_uint_t) (p[1] - '1');

        if (i >= n) {
            text->error = 1;
            return;
        }

        ngx_chat_query_write_value(text, &values[i]);

        sql = p + 2;
    }

    ngx_chat_query_write(text, sql, ngx_strlen(sql), ends);
}


ngx_chat_query_value_t
ngx_chat_query_number(uint64_t number)
{
    ngx_chat_query_value_t  value;

    ngx_memzero(&value, sizeof(ngx_chat_query_value_t));

    value.type = NGX_CHAT_QUERY_NUMBER;
    value.number = number;

    return value;
}


ngx_chat_query_value_t
ngx_chat_query_string(const ngx_str_t *string)
{
    ngx_chat_query_value_t  value;

    value = ngx_chat_query_bytes(string->data, string->len);
    value.type = NGX_CHAT_QUERY_STRING;

    return value;
}


ngx_chat_query_value_t
ngx_chat_query_prefix(const ngx_str_t *string)
{
    ngx_chat_query_value_t  value;

    value = ngx_chat_query_bytes(string->data, string->len);
    value.type = NGX_CHAT_QUERY_PREFIX;

    return value;
}


ngx_chat_query_value_t
ngx_chat_query_bytes(const u_char *data, size_t len)
{
    ngx_chat_query_value_t  value;

    value.type = NGX_CHAT_QUERY_BYTES;
    value.number = 0;
    value.data = (u_char *) data;
    value.len = len;

    return value;
}


/* writes a literal; with "ends", each of its semicolons ends a statement */

static void
ngx_chat_query_write(ngx_chat_db_buf_t *text, const char *sql, size_t len,
    ngx_uint_t ends)
{
    u_char  *p;

    if (len == 0 || ngx_chat_db_buf_reserve(text, len) != NGX_OK) {
        return;
    }

    p = text->pos;
    text->pos = ngx_cpymem(text->pos, sql, len);

    while (ends && (p = memchr(p, ';', text->pos - p)) != NULL) {

        if (text->nends == NGX_CHAT_DB_STATEMENTS) {
            text->error = 1;
            return;
        }

        text->ends[text->nends++] = p++ - text->start;
    }
}


static void
ngx_chat_query_write_value(ngx_chat_db_buf_t *text,
    const ngx_chat_query_value_t *value)
{
    switch (value->type) {

    case NGX_CHAT_QUERY_NUMBER:
        ngx_chat_query_write_number(text, value->number);
        return;

    case NGX_CHAT_QUERY_STRING:
    case NGX_CHAT_QUERY_PREFIX:
        ngx_chat_query_write_string(text, value);
        return;

    case NGX_CHAT_QUERY_BYTES:

        if (ngx_chat_db_buf_reserve(text, 2 * value->len + 3) == NGX_OK) {
            text->pos = ngx_cpymem(text->pos, "x'", 2);
            text->pos = ngx_hex_dump(text->pos, value->data, value->len);
            *text->pos++ = '\'';
        }

        return;
    }
}


/* a packet has many numbers, and ngx_sprintf() takes five times as long */

static void
ngx_chat_query_write_number(ngx_chat_db_buf_t *text, uint64_t number)
{
    u_char  *p, digits[NGX_INT64_LEN];

    p = digits + NGX_INT64_LEN;

    do {
        *--p = (u_char) ('0' + number % 10);
        number /= 10;
    } while (number);

    if (ngx_chat_db_buf_reserve(text, NGX_INT64_LEN) == NGX_OK) {
        while (p < digits + NGX_INT64_LEN) {
            *text->pos++ = *p++;
        }
    }
}


/*
 * The character set of the session is utf8mb4, in which bytes of longer
 * characters are not ASCII, and its sql_mode allows backslash escapes; see
 * ngx_chat_mysql.c.
 */

static void
ngx_chat_query_write_string(ngx_chat_db_buf_t *text,
    const ngx_chat_query_value_t *value)
{
    u_char      *p, ch, escape;
    size_t       i;
    ngx_uint_t   prefix;

    /* at most four bytes for one: "\\\\" in a pattern; plus quotes and "%" */

    if (ngx_chat_db_buf_reserve(text, 4 * value->len + 3) != NGX_OK) {
        return;
    }

    prefix = (value->type == NGX_CHAT_QUERY_PREFIX);

    p = text->pos;
    *p++ = '\'';

    for (i = 0; i < value->len; i++) {
        ch = value->data[i];

        if (prefix && (ch == '%' || ch == '_' || ch == '\\')) {
            /* a backslash of the pattern */
            *p++ = '\\';
            *p++ = '\\';
        }

        escape = ngx_chat_query_escapes[ch];

        if (escape) {
            *p++ = '\\';
            *p++ = escape;

        } else {
            *p++ = ch;
        }
    }

    if (prefix) {
        *p++ = '%';
    }

    *p++ = '\'';
    text->pos = p;
}


uint64_t
ngx_chat_query_get_number(ngx_str_t *field)
{
    size_t    i;
    uint64_t  number;

    number = 0;

    for (i = 0; i < field->len; i++) {
        number = number * 10 + (field->data[i] - '0');
    }

    return number;
}


ngx_int_t
ngx_chat_query_get_string(ngx_pool_t *pool, ngx_str_t *field, ngx_str_t *string)
{
    if (field->len == 0) {
        ngx_str_set(string, "");
        return NGX_OK;
    }

    string->len = field->len;
    string->data = ngx_pstrdup(pool, field);

    return (string->data != NULL) ? NGX_OK : NGX_ERROR;
}


/* "2025-12-30 07:03:02.325660" of a DATETIME(6), or "2025-12-30 07:03:02" */

ngx_int_t
ngx_chat_query_get_time(ngx_pool_t *pool, ngx_str_t *field, ngx_str_t *time)
{
    u_char  *p;

    static const u_char  zero[] = "0000-00-00T00:00:00.000000Z";

    if (field->len == 0) {
        ngx_str_set(time, "");
        return NGX_OK;
    }

    if (field->len != NGX_CHAT_TIMESTAMP_LEN - 1
        && field->len != sizeof("2025-12-30 07:03:02") - 1)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, NGX_CHAT_TIMESTAMP_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, zero, NGX_CHAT_TIMESTAMP_LEN);
    ngx_memcpy(p, field->data, field->len);

    p[sizeof("2025-12-30") - 1] = 'T';

    time->len = NGX_CHAT_TIMESTAMP_LEN;
    time->data = p;

    return NGX_OK;
}
