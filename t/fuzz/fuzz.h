
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_text.h"

#include <inttypes.h>


/*
 * libFuzzer's targets, run by t/fuzz/run.  Beside what the sanitizers see, they
 * abort when a parser breaks what its header promises.
 */


#define FUZZ_FIELDS  { { ngx_string("recipient"), 0, ngx_null_string },       \
                       { ngx_string("body"), 0, ngx_null_string } }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_inline void
fuzz_assert(ngx_uint_t good)
{
    if (!good) {
        abort();
    }
}


static ngx_inline ngx_uint_t
fuzz_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0 || memcmp(one->data, two->data, one->len) == 0);
}


/*
 * Takes from the input what comes before "end", or all that is left, with
 * malloc()'s own bounds: to be given to free().
 */

static ngx_inline ngx_str_t
fuzz_take(const uint8_t **data, size_t *size, u_char end)
{
    size_t      len;
    ngx_str_t   text;
    const void *found;

    found = memchr(*data, end, *size);
    len = found ? (size_t) ((const uint8_t *) found - *data) : *size;

    text.len = len;
    text.data = malloc(len + (len == 0));
    memcpy(text.data, *data, len);

    len += (found != NULL);

    *data += len;
    *size -= len;

    return text;
}


static ngx_inline void
fuzz_check(ngx_int_t rc, ngx_chat_field_t *fields, ngx_str_t *error)
{
    ngx_uint_t  i;

    fuzz_assert(rc != NGX_ERROR && (rc == NGX_OK || error->len != 0));

    for (i = 0; rc == NGX_OK && i < 2; i++) {
        if (fields[i].state != NGX_CHAT_FIELD_TEXT) {
            continue;
        }

        fuzz_assert(ngx_chat_text_utf8(&fields[i].value) == NGX_OK);

        ngx_chat_text_trim(&fields[i].value);
        (void) ngx_chat_text_name(&fields[i].value);
    }
}


#endif /* _FUZZ_H_INCLUDED_ */
