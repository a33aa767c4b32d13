
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_TEXT_H_INCLUDED_
#define _NGX_CHAT_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Texts that people send: the fields of a request's body, and what is checked
 * of any text.  Everything is bounded by the input's length; nothing here
 * needs a request.
 */


typedef enum {
    NGX_CHAT_FIELD_MISSING = 0,
    NGX_CHAT_FIELD_NULL,                      /* JSON null */
    NGX_CHAT_FIELD_INVALID,                   /* an object, an array, bytes that
                                                 are no UTF-8; true or false,
                                                 with that word as value */
    NGX_CHAT_FIELD_TEXT                       /* a string, or a number's text */
} ngx_chat_field_e;


/* one the endpoint wants; others are passed over.  The last one counts. */

typedef struct {
    ngx_str_t              name;
    ngx_chat_field_e       state;
    ngx_str_t              value;             /* in the pool, or in the input */
} ngx_chat_field_t;


/* for those who fill fields in: all missing; the one of that name, or NULL */
void ngx_chat_text_reset(ngx_chat_field_t *fields, ngx_uint_t n);
ngx_chat_field_t *ngx_chat_text_field(ngx_chat_field_t *fields, ngx_uint_t n,
    ngx_str_t *name);

/*
 * application/x-www-form-urlencoded, a query string as well.
 * NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_chat_text_form(ngx_pool_t *pool, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n);

/* what is between the "&" and "=" of these; in the pool, or in the input */
ngx_int_t ngx_chat_text_decode(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *value);

/* the reverse, to dst, which has room for three times the text; the end */
u_char *ngx_chat_text_encode(u_char *dst, ngx_str_t *text);

/*
 * multipart/form-data; "type" is the Content-Type with its boundary.
 * NGX_OK; NGX_ERROR: no memory; NGX_DECLINED: malformed, *error says how.
 */
ngx_int_t ngx_chat_text_multipart(ngx_pool_t *pool, ngx_str_t *type,
    ngx_str_t *input, ngx_chat_field_t *fields, ngx_uint_t n,
    ngx_str_t *error);

/* strict: no overlong forms, surrogates, or values above U+10FFFF */
ngx_int_t ngx_chat_text_utf8(ngx_str_t *text);

/* characters, of valid UTF-8 */
size_t ngx_chat_text_length(ngx_str_t *text);

/* white space at both ends, as Python's str.strip() has it */
void ngx_chat_text_trim(ngx_str_t *text);

/* may a person be called so?  1 to 150 of letters, digits and _.@+- */
ngx_int_t ngx_chat_text_name(ngx_str_t *name);

#define NGX_CHAT_CLIENT_ID_MAX  64

/* 1 to 64 printable ASCII characters, no blank */
ngx_int_t ngx_chat_text_client_id(ngx_str_t *id);

/* a decimal number without sign, 1 .. UINT64_MAX; NGX_ERROR otherwise */
ngx_int_t ngx_chat_text_id(ngx_str_t *text, uint64_t *id);


#endif /* _NGX_CHAT_TEXT_H_INCLUDED_ */
