
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"
#include "src/core/ngx_chat_json.h"


/* a parsed text that is encoded and parsed again is unchanged */

static void
fuzz_json_again(ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_str_t          out, error;
    ngx_chat_json_t   *json;

    ngx_chat_field_t   field = { ngx_string("body"), 0, ngx_null_string };

    json = ngx_chat_json_create(pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "body");
    ngx_chat_json_string(json, text);
    ngx_chat_json_end(json);

    fuzz_assert(ngx_chat_json_done(json, &out) == NGX_OK
                && ngx_chat_json_fields(pool, &out, &field, 1, &error)
                   == NGX_OK
                && field.state == NGX_CHAT_FIELD_TEXT
                && fuzz_same(&field.value, text));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t          rc;
    ngx_str_t          input, error;
    ngx_pool_t        *pool;

    ngx_chat_field_t   fields[] = FUZZ_FIELDS;

    input.len = size;
    input.data = (u_char *) data;

    pool = ngx_create_pool(0, NULL);

    rc = ngx_chat_json_fields(pool, &input, fields, 2, &error);

    if (rc == NGX_OK && fields[1].state == NGX_CHAT_FIELD_TEXT) {
        fuzz_json_again(pool, &fields[1].value);
    }

    fuzz_check(rc, fields, &error);

    ngx_destroy_pool(pool);

    return 0;
}
