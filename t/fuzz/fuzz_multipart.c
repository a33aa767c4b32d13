
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"


/* the first line is the Content-Type, the rest the body */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char            *end;
    ngx_int_t          rc;
    ngx_str_t          type, input, error;
    ngx_pool_t        *pool;

    ngx_chat_field_t   fields[] = FUZZ_FIELDS;

    end = memchr(data, '\n', size);

    if (end == NULL) {
        return 0;
    }

    type.len = end - data;
    type.data = (u_char *) data;

    input.len = size - type.len - 1;
    input.data = end + 1;

    pool = ngx_create_pool(0, NULL);

    rc = ngx_chat_text_multipart(pool, &type, &input, fields, 2, &error);

    fuzz_check(rc, fields, &error);

    ngx_destroy_pool(pool);

    return 0;
}
