
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _TEST_H_INCLUDED_
#define _TEST_H_INCLUDED_


#include "ngx_stub.h"
#include "src/core/ngx_chat_form.h"
#include "src/core/ngx_chat_string.h"


/*
 * A row has an input and the expected result.  Results of parsers list the
 * fields recipient and body, such as "text(u2) missing"; a rejected input has
 * "declined" or "abort" and the error.
 */


#define T(text)  ngx_string(text)


typedef struct {
    ngx_str_t              input;
    const char            *expected;          /* NULL: the end of the table */
} test_row_t;


/* a parser; "type" is the Content-Type or NULL */

typedef ngx_int_t (*test_parse_pt)(ngx_pool_t *pool, const char *type,
    ngx_str_t *input, ngx_chat_field_t *fields, ngx_str_t *error);


/* a text is repeated between two others, up to a megabyte */

typedef struct {
    const char            *what;
    test_parse_pt          parse;
    const char            *type;
    const char            *before;
    const char            *text;
    const char            *after;
    ngx_int_t              expected;
} test_size_t;


void test_json(void);
void test_text(void);
void test_unicode(void);
void test_sql(void);
void test_redis(void);
void test_image(void);


/* prints results of the module for each line of standard input */
void unicode_print(void);

void test_ok(ngx_uint_t good, const char *fmt, ...);
void test_is(const char *got, const char *expected, const char *what,
    ngx_str_t *input);

void test_rows(const char *what, test_parse_pt parse, test_row_t *row);
void test_parsed(const char *what, test_parse_pt parse, const char *type,
    ngx_str_t *input, const char *expected);
ngx_int_t test_rc(test_parse_pt parse, const char *type, ngx_str_t *input);
void test_sizes(test_size_t *size, ngx_uint_t n);
void test_truncated(const char *what, test_parse_pt parse, const char *type,
    const char *text);
void test_memory(const char *what, test_parse_pt parse, const char *type,
    const char *text);

/* shows nulls as \0 */
void test_show(FILE *out, ngx_str_t *text);

/* the caller frees text.data */
ngx_str_t test_repeat(const char *before, const char *text, ngx_uint_t n,
    const char *after);

/* encodes any code as UTF-8; returns the number of bytes */
size_t test_encode(u_char *p, uint32_t code);


#endif /* _TEST_H_INCLUDED_ */
