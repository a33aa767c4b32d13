
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_JSON_H_INCLUDED_
#define _NGX_CHAT_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_text.h"


/*
 * JSON in and out, by yajl.
 */


/*
 * A request's body into fields.  NGX_OK; NGX_ERROR: no memory; NGX_DECLINED:
 * does not parse, *error is the sentence behind "JSON parse error - ";
 * NGX_ABORT: valid, but no object, *error is its type as Python calls it
 * ("list", "str", "int", "float", "bool", "NoneType").
 *
 * Refused: trailing data, duplicate keys, NUL in a key, bytes that are no
 * UTF-8, lone surrogates, more than 32 levels, more than 64 keys.
 */
ngx_int_t ngx_chat_json_fields(ngx_pool_t *pool, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_str_t *error);


/*
 * Out: a document is written from its beginning to its end, and is asked for
 * once at the end; a failure on the way (no memory) shows there.
 */

typedef struct ngx_chat_json_s  ngx_chat_json_t;

/* NULL: no memory; freed with the pool */
ngx_chat_json_t *ngx_chat_json_create(ngx_pool_t *pool);

void ngx_chat_json_object(ngx_chat_json_t *json);
void ngx_chat_json_array(ngx_chat_json_t *json);
void ngx_chat_json_end(ngx_chat_json_t *json);   /* the innermost open one */
void ngx_chat_json_key(ngx_chat_json_t *json, const char *key);
void ngx_chat_json_string(ngx_chat_json_t *json, ngx_str_t *value);
void ngx_chat_json_text(ngx_chat_json_t *json, const char *value);
void ngx_chat_json_number(ngx_chat_json_t *json, uint64_t value);
void ngx_chat_json_millionths(ngx_chat_json_t *json, uint64_t value);
void ngx_chat_json_id(ngx_chat_json_t *json, uint64_t value); /* as string */
void ngx_chat_json_bool(ngx_chat_json_t *json, ngx_uint_t value);
void ngx_chat_json_null(ngx_chat_json_t *json);
void ngx_chat_json_message(ngx_chat_json_t *json, ngx_chat_message_t *message);

/* NGX_OK, and the document in the pool; NGX_ERROR */
ngx_int_t ngx_chat_json_done(ngx_chat_json_t *json, ngx_str_t *out);


#endif /* _NGX_CHAT_JSON_H_INCLUDED_ */
