
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"


/* a parsed value that is encoded and parsed again is unchanged */

static void
fuzz_form_again(ngx_pool_t *pool, ngx_str_t *value)
{
    u_char            *p;
    ngx_str_t          form;

    ngx_chat_field_t   field = { ngx_string("body"), 0, ngx_null_string };

    form.data = ngx_pnalloc(pool, 5 + 3 * value->len);

    p = ngx_cpymem(form.data, "body=", 5);
    p = ngx_chat_form_encode(p, value);

    form.len = p - form.data;

    fuzz_assert(ngx_chat_form_parse(pool, &form, &field, 1) == NGX_OK
                && field.state == NGX_CHAT_FIELD_TEXT
                && fuzz_same(&field.value, value));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t          rc;
    ngx_str_t          input;
    ngx_pool_t        *pool;

    ngx_chat_field_t   fields[] = FUZZ_FIELDS;

    input.len = size;
    input.data = (u_char *) data;

    pool = ngx_create_pool(0, NULL);

    rc = ngx_chat_form_parse(pool, &input, fields, 2);

    if (fields[1].state == NGX_CHAT_FIELD_TEXT) {
        fuzz_form_again(pool, &fields[1].value);
    }

    fuzz_check(rc, fields, NULL);

    ngx_destroy_pool(pool);

    return 0;
}
