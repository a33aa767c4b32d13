
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"


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

    rc = ngx_chat_text_form(pool, &input, fields, 2);

    fuzz_check(rc, fields, NULL);

    ngx_destroy_pool(pool);

    return 0;
}
