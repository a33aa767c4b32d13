
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include "ngx_stub.h"
#include "ngx_chat_text.h"


/*
 * libFuzzer's targets, run by t/fuzz/run.  Beside what the sanitizers see, they
 * abort when a parser breaks what its header promises.
 */


#define FUZZ_FIELDS  { { ngx_string("recipient"), 0, ngx_null_string },       \
                       { ngx_string("body"), 0, ngx_null_string } }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_inline void
fuzz_check(ngx_int_t rc, ngx_chat_field_t *fields, ngx_str_t *error)
{
    ngx_uint_t  i;

    if (rc == NGX_ERROR || (rc != NGX_OK && error->len == 0)) {
        abort();
    }

    for (i = 0; rc == NGX_OK && i < 2; i++) {
        if (fields[i].state != NGX_CHAT_FIELD_TEXT) {
            continue;
        }

        if (ngx_chat_text_utf8(&fields[i].value) != NGX_OK) {
            abort();
        }

        ngx_chat_text_trim(&fields[i].value);
        (void) ngx_chat_text_name(&fields[i].value);
    }
}


#endif /* _FUZZ_H_INCLUDED_ */
