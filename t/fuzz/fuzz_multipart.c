
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"


#define FUZZ_HEAD  "--=\r\n"                                                 \
                   "Content-Disposition: form-data; name=\"body\"\r\n\r\n"
#define FUZZ_TAIL  "\r\n--=--"


/* a value without a boundary is parsed unchanged */

static void
fuzz_multipart_again(ngx_pool_t *pool, ngx_str_t *value)
{
    u_char            *p;
    ngx_str_t          input, error;

    ngx_str_t          type = ngx_string("multipart/form-data; boundary==");
    ngx_chat_field_t   field = { ngx_string("body"), 0, ngx_null_string };

    if (memmem(value->data, value->len, "\r\n--=", 5)
        || (value->len >= 3 && memcmp(value->data, "--=", 3) == 0))
    {
        return;
    }

    input.len = sizeof(FUZZ_HEAD FUZZ_TAIL) - 1 + value->len;
    input.data = ngx_pnalloc(pool, input.len);

    p = ngx_cpymem(input.data, FUZZ_HEAD, sizeof(FUZZ_HEAD) - 1);
    p = ngx_cpymem(p, value->data, value->len);
    ngx_memcpy(p, FUZZ_TAIL, sizeof(FUZZ_TAIL) - 1);

    fuzz_assert(ngx_chat_form_multipart(pool, &type, &input, &field, 1, &error)
                == NGX_OK
                && field.state == NGX_CHAT_FIELD_TEXT
                && fuzz_same(&field.value, value));
}


/* the first line is the Content-Type, the rest is the body */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t          rc;
    ngx_str_t          type, input, error;
    ngx_pool_t        *pool;

    ngx_chat_field_t   fields[] = FUZZ_FIELDS;

    type = fuzz_take(&data, &size, '\n');

    input.len = size;
    input.data = (u_char *) data;

    pool = ngx_create_pool(0, NULL);

    rc = ngx_chat_form_multipart(pool, &type, &input, fields, 2, &error);

    if (rc == NGX_OK && fields[1].state == NGX_CHAT_FIELD_TEXT) {
        fuzz_multipart_again(pool, &fields[1].value);
    }

    fuzz_check(rc, fields, &error);

    ngx_destroy_pool(pool);
    free(type.data);

    return 0;
}
