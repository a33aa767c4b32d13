
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SQL_TEXT_H_INCLUDED_
#define _NGX_CHAT_SQL_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"


/*
 * The way of values into SQL and out of it, for the ngx_chat_sql*.c files
 * alone.  Statements are literals in which $1 .. $9 stand for typed values:
 *
 *     ngx_chat_sql_add(text, "SELECT body FROM chat_message WHERE id = $1",
 *                      ngx_chat_sql_number(op->id));
 *
 * There is no other way to put a value in, and each type writes itself as a
 * complete literal, with its quotes.
 */


typedef enum {
    NGX_CHAT_SQL_NUMBER = 0,
    NGX_CHAT_SQL_STRING,                      /* 'valid UTF-8, escaped' */
    NGX_CHAT_SQL_PREFIX,                      /* 'pattern for LIKE%' */
    NGX_CHAT_SQL_BYTES                        /* x'00ff' */
} ngx_chat_sql_type_e;


typedef struct {
    ngx_chat_sql_type_e    type;
    uint64_t               number;
    u_char                *data;              /* the caller's, not copied */
    size_t                 len;
} ngx_chat_sql_value_t;


/* a literal without values */
void ngx_chat_sql_text(ngx_chat_db_text_t *text, const char *sql);

/* a literal with values; one it names but was not given is text->error */
#define ngx_chat_sql_add(text, sql, ...)                                      \
    ngx_chat_sql_add_values(text, sql,                                        \
        (ngx_chat_sql_value_t[]) { __VA_ARGS__ },                             \
        sizeof((ngx_chat_sql_value_t[]) { __VA_ARGS__ })                      \
        / sizeof(ngx_chat_sql_value_t))

void ngx_chat_sql_add_values(ngx_chat_db_text_t *text, const char *sql,
    const ngx_chat_sql_value_t *values, ngx_uint_t n);

ngx_chat_sql_value_t ngx_chat_sql_number(uint64_t number);
ngx_chat_sql_value_t ngx_chat_sql_string(const ngx_str_t *string);
ngx_chat_sql_value_t ngx_chat_sql_prefix(const ngx_str_t *string);
ngx_chat_sql_value_t ngx_chat_sql_bytes(const u_char *data, size_t len);


/* fields of a row: NULL reads as 0, and as an empty string */
uint64_t ngx_chat_sql_get_number(ngx_str_t *field);
ngx_int_t ngx_chat_sql_get_string(ngx_pool_t *pool, ngx_str_t *field,
    ngx_str_t *string);


#endif /* _NGX_CHAT_SQL_TEXT_H_INCLUDED_ */
