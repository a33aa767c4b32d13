
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_FORM_H_INCLUDED_
#define _NGX_CHAT_FORM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Fields of a request body or a query string.  An endpoint lists the fields
 * that it reads; other fields are ignored.  If a field occurs several times,
 * the last one counts.  Processing time is linear in the length of the input.
 */


typedef enum {
    NGX_CHAT_FIELD_MISSING = 0,
    NGX_CHAT_FIELD_NULL,                      /* JSON null */
    NGX_CHAT_FIELD_INVALID,                   /* an object or invalid UTF-8; an
                                                 array, with its strings joined
                                                 by commas as value; true or
                                                 false, with that word */
    NGX_CHAT_FIELD_TEXT                       /* a string or a number */
} ngx_chat_field_e;


typedef struct {
    ngx_str_t              name;
    ngx_chat_field_e       state;
    ngx_str_t              value;             /* in the pool or the input */
} ngx_chat_field_t;


/* a field with this name that has not been read yet */
#define ngx_chat_field(name)                                                  \
    { ngx_string(name), NGX_CHAT_FIELD_MISSING, ngx_null_string }


/* sets all fields to NGX_CHAT_FIELD_MISSING */
void ngx_chat_form_reset(ngx_chat_field_t *fields, ngx_uint_t n);

/* returns the field with this name, or NULL */
ngx_chat_field_t *ngx_chat_form_field(ngx_chat_field_t *fields, ngx_uint_t n,
    ngx_str_t *name);

/*
 * Reads application/x-www-form-urlencoded or a query string.  Returns NGX_OK,
 * or NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_chat_form_parse(ngx_pool_t *pool, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n);

/*
 * Reads multipart/form-data; "type" is the Content-Type with its boundary.
 * Returns NGX_OK, NGX_ERROR if there is no memory, or NGX_DECLINED and *error
 * if the input is malformed.
 */
ngx_int_t ngx_chat_form_multipart(ngx_pool_t *pool, ngx_str_t *type,
    ngx_str_t *input, ngx_chat_field_t *fields, ngx_uint_t n,
    ngx_str_t *error);

/* decodes a name or a value; *value is in the pool or the input */
ngx_int_t ngx_chat_form_decode(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *value);

/* encodes to dst, which has room for three times the text; returns the end */
u_char *ngx_chat_form_encode(u_char *dst, ngx_str_t *text);


#endif /* _NGX_CHAT_FORM_H_INCLUDED_ */
