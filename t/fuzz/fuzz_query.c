
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz_http.h"
#include "src/api/ngx_chat_message.c"


static void fuzz_query_link(ngx_http_request_t *r, ngx_str_t *target,
    uint64_t page);


/* the first line is the path, the second is the query string of a list */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t                path, args;
    ngx_int_t                rc;
    ngx_pool_t              *pool;
    ngx_chat_ctx_t           ctx;
    ngx_chat_field_t         target;
    ngx_http_request_t      *r;
    ngx_chat_message_list_t  list;

    path = fuzz_take(&data, &size, '\n');
    args = fuzz_take(&data, &size, '\n');

    r = fuzz_request();
    pool = r->pool;

    r->args = args;
    r->unparsed_uri = path;

    ngx_memzero(&ctx, sizeof(ngx_chat_ctx_t));
    ngx_memzero(&list, sizeof(ngx_chat_message_list_t));

    rc = ngx_chat_message_list_args(r, &ctx, &list, &target);

    fuzz_assert(rc == NGX_OK || rc == NGX_HTTP_BAD_REQUEST
                || rc == NGX_HTTP_NOT_FOUND);
    fuzz_assert((rc == NGX_OK) == (ctx.response.body.len == 0));

    if (rc == NGX_OK) {
        fuzz_assert(list.op.limit <= 100 && list.page >= 1
                    && (list.page - 1) * list.op.limit == list.op.offset);

        fuzz_query_link(r, &target.value, list.page + 1);
        fuzz_query_link(r, &target.value, 1);
    }

    ngx_destroy_pool(pool);
    free(path.data);
    free(args.data);

    return 0;
}


/* a link to another page is valid and differs in the page only */

static void
fuzz_query_link(ngx_http_request_t *r, ngx_str_t *target, uint64_t page)
{
    size_t              i;
    u_char             *p;
    uint64_t            id;
    ngx_str_t           out, error, args;
    ngx_chat_json_t    *json;

    ngx_chat_field_t    link = { ngx_string("next"), 0, ngx_null_string };
    ngx_chat_field_t    field[] = {
        { ngx_string("target"), 0, ngx_null_string },
        { ngx_string("page"), 0, ngx_null_string }
    };

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    fuzz_assert(ngx_chat_request_page_link(r, json, "next", page) == NGX_OK);
    ngx_chat_json_end(json);

    fuzz_assert(ngx_chat_json_done(json, &out) == NGX_OK
                && ngx_chat_json_fields(r->pool, &out, &link, 1, &error)
                   == NGX_OK
                && link.state == NGX_CHAT_FIELD_TEXT);

    for (i = 0; i < link.value.len; i++) {
        fuzz_assert(link.value.data[i] > ' ' && link.value.data[i] < 0x7f
                    && link.value.data[i] != '"');
    }

    args = link.value;

    p = memchr(args.data, '?', args.len);

    args.len = p ? (size_t) (args.data + args.len - p - 1) : 0;
    args.data = p ? p + 1 : args.data;

    fuzz_assert(ngx_chat_form_parse(r->pool, &args, field, 2) == NGX_OK
                && fuzz_same(&field[0].value, target));

    if (page == 1) {
        fuzz_assert(field[1].state == NGX_CHAT_FIELD_MISSING);

    } else {
        fuzz_assert(ngx_chat_string_id(&field[1].value, &id) == NGX_OK
                    && id == page);
    }
}
