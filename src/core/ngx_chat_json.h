
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_JSON_H_INCLUDED_
#define _NGX_CHAT_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_form.h"
#include "src/core/ngx_chat_types.h"


/* JSON, read and written with yajl. */


/*
 * Reads the fields of a JSON object.  Returns NGX_OK, NGX_ERROR if there is no
 * memory, NGX_DECLINED and the reason in *error if the input is invalid, or
 * NGX_ABORT and the type in *error, as Python names it ("list", "str", "int",
 * "float", "bool", "NoneType"), if it is not an object.
 *
 * Invalid are also trailing data, duplicate keys, NUL in a key, invalid UTF-8,
 * lone surrogates, more than 32 levels and more than 64 keys.
 */
ngx_int_t ngx_chat_json_fields(ngx_pool_t *pool, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_str_t *error);


/*
 * Writes a document from start to end.  Errors are reported once, by
 * ngx_chat_json_done().
 */

typedef struct ngx_chat_json_s  ngx_chat_json_t;

/* without memory, returns a document for which ngx_chat_json_done() fails */
ngx_chat_json_t *ngx_chat_json_create(ngx_pool_t *pool);

void ngx_chat_json_object(ngx_chat_json_t *json);
void ngx_chat_json_array(ngx_chat_json_t *json);
void ngx_chat_json_end(ngx_chat_json_t *json);   /* ends the innermost one */
void ngx_chat_json_string(ngx_chat_json_t *json, ngx_str_t *value);
void ngx_chat_json_text(ngx_chat_json_t *json, const char *value);
#define ngx_chat_json_key  ngx_chat_json_text
void ngx_chat_json_number(ngx_chat_json_t *json, uint64_t value);
void ngx_chat_json_millionths(ngx_chat_json_t *json, uint64_t value);
void ngx_chat_json_id(ngx_chat_json_t *json, uint64_t value); /* a string */
void ngx_chat_json_bool(ngx_chat_json_t *json, ngx_uint_t value);
void ngx_chat_json_null(ngx_chat_json_t *json);

/*
 * Writes a value that is JSON already, the first part with "begin", the others
 * without.
 */
void ngx_chat_json_raw(ngx_chat_json_t *json, ngx_uint_t begin,
    const u_char *data, size_t len);

/* "base" is the URI of the API, which precedes the relative URLs of files */
void ngx_chat_json_message(ngx_chat_json_t *json, ngx_chat_message_t *message,
    const ngx_str_t *base);
void ngx_chat_json_change(ngx_chat_json_t *json, ngx_chat_message_t *change,
    const ngx_str_t *base);

/* returns NGX_OK and the document in the pool, or NGX_ERROR */
ngx_int_t ngx_chat_json_done(ngx_chat_json_t *json, ngx_str_t *out);


#endif /* _NGX_CHAT_JSON_H_INCLUDED_ */
