
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_form.h"
#include "src/core/ngx_chat_string.h"

#include <inttypes.h>


/*
 * Common parts of the libFuzzer targets, which t/fuzz/run runs.  Besides errors
 * that the sanitizers detect, a violated promise of a header aborts a target.
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
 * Returns the input before "end", or the rest of it, in memory of malloc() of
 * the exact size, which the caller frees.
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

        fuzz_assert(ngx_chat_string_utf8(&fields[i].value) == NGX_OK);

        ngx_chat_string_trim(&fields[i].value);
        (void) ngx_chat_unicode_name(&fields[i].value);
        (void) ngx_chat_unicode_blank(&fields[i].value);
    }
}


#endif /* _FUZZ_H_INCLUDED_ */
