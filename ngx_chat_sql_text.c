
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql_text.h"


static void ngx_chat_sql_write(ngx_chat_db_text_t *text, const void *data,
    size_t len);
static void ngx_chat_sql_write_value(ngx_chat_db_text_t *text,
    const ngx_chat_sql_value_t *value);
static void ngx_chat_sql_write_string(ngx_chat_db_text_t *text,
    const ngx_chat_sql_value_t *value);
static u_char *ngx_chat_sql_escape(u_char *p, u_char ch);


void
ngx_chat_sql_text(ngx_chat_db_text_t *text, const char *sql)
{
    ngx_chat_sql_write(text, sql, ngx_strlen(sql));
}


void
ngx_chat_sql_add_values(ngx_chat_db_text_t *text, const char *sql,
    const ngx_chat_sql_value_t *values, ngx_uint_t n)
{
    ngx_uint_t   i;
    const char  *p;

    while ((p = strchr(sql, '$')) != NULL) {
        ngx_chat_sql_write(text, sql, p - sql);

        /* "$0" wraps round, and is refused like any other unknown number */
        i = (ngx_uint_t) (p[1] - '1');

        if (i >= n) {
            text->error = 1;
            return;
        }

        ngx_chat_sql_write_value(text, &values[i]);

        sql = p + 2;
    }

    ngx_chat_sql_text(text, sql);
}


ngx_chat_sql_value_t
ngx_chat_sql_number(uint64_t number)
{
    ngx_chat_sql_value_t  value;

    ngx_memzero(&value, sizeof(ngx_chat_sql_value_t));

    value.type = NGX_CHAT_SQL_NUMBER;
    value.number = number;

    return value;
}


ngx_chat_sql_value_t
ngx_chat_sql_string(const ngx_str_t *string)
{
    ngx_chat_sql_value_t  value;

    value = ngx_chat_sql_bytes(string->data, string->len);
    value.type = NGX_CHAT_SQL_STRING;

    return value;
}


ngx_chat_sql_value_t
ngx_chat_sql_prefix(const ngx_str_t *string)
{
    ngx_chat_sql_value_t  value;

    value = ngx_chat_sql_bytes(string->data, string->len);
    value.type = NGX_CHAT_SQL_PREFIX;

    return value;
}


ngx_chat_sql_value_t
ngx_chat_sql_bytes(const u_char *data, size_t len)
{
    ngx_chat_sql_value_t  value;

    value.type = NGX_CHAT_SQL_BYTES;
    value.number = 0;
    value.data = (u_char *) data;
    value.len = len;

    return value;
}


static void
ngx_chat_sql_write(ngx_chat_db_text_t *text, const void *data, size_t len)
{
    if (ngx_chat_db_text_reserve(text, len) != NGX_OK) {
        return;
    }

    text->pos = ngx_cpymem(text->pos, data, len);
}


static void
ngx_chat_sql_write_value(ngx_chat_db_text_t *text,
    const ngx_chat_sql_value_t *value)
{
    switch (value->type) {

    case NGX_CHAT_SQL_NUMBER:

        if (ngx_chat_db_text_reserve(text, NGX_INT64_LEN) == NGX_OK) {
            text->pos = ngx_sprintf(text->pos, "%uL", value->number);
        }

        return;

    case NGX_CHAT_SQL_STRING:
    case NGX_CHAT_SQL_PREFIX:

        ngx_chat_sql_write_string(text, value);
        return;

    case NGX_CHAT_SQL_BYTES:

        if (ngx_chat_db_text_reserve(text, 2 * value->len + 3) == NGX_OK) {
            text->pos = ngx_cpymem(text->pos, "x'", 2);
            text->pos = ngx_hex_dump(text->pos, value->data, value->len);
            *text->pos++ = '\'';
        }

        return;
    }
}


/*
 * The session's character set is utf8mb4, in which no byte of a longer
 * character looks like ASCII, and its sql_mode leaves backslashes their
 * meaning: ngx_chat_mysql.c sets both.
 */

static void
ngx_chat_sql_write_string(ngx_chat_db_text_t *text,
    const ngx_chat_sql_value_t *value)
{
    u_char  *p, ch;
    size_t   i;

    /* four bytes at most for one: "\\\\" in a pattern; quotes, "%" */

    if (ngx_chat_db_text_reserve(text, 4 * value->len + 3) != NGX_OK) {
        return;
    }

    p = text->pos;
    *p++ = '\'';

    for (i = 0; i < value->len; i++) {
        ch = value->data[i];

        if (value->type == NGX_CHAT_SQL_PREFIX
            && (ch == '%' || ch == '_' || ch == '\\'))
        {
            p = ngx_chat_sql_escape(p, '\\');
        }

        p = ngx_chat_sql_escape(p, ch);
    }

    if (value->type == NGX_CHAT_SQL_PREFIX) {
        *p++ = '%';
    }

    *p++ = '\'';
    text->pos = p;
}


static u_char *
ngx_chat_sql_escape(u_char *p, u_char ch)
{
    switch (ch) {

    case '\0':
        ch = '0';
        break;

    case '\n':
        ch = 'n';
        break;

    case '\r':
        ch = 'r';
        break;

    case 0x1a:
        ch = 'Z';
        break;

    case '\\':
    case '\'':
    case '"':
        break;

    default:
        *p++ = ch;
        return p;
    }

    *p++ = '\\';
    *p++ = ch;

    return p;
}


uint64_t
ngx_chat_sql_get_number(ngx_str_t *field)
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
ngx_chat_sql_get_string(ngx_pool_t *pool, ngx_str_t *field, ngx_str_t *string)
{
    if (field->len == 0) {
        ngx_str_set(string, "");
        return NGX_OK;
    }

    string->len = field->len;
    string->data = ngx_pstrdup(pool, field);

    return (string->data != NULL) ? NGX_OK : NGX_ERROR;
}
