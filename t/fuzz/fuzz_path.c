
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz_http.h"
#include "ngx_chat_api.c"


/* the path of a request: ids and names are those in the path */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                     *p;
    uint64_t                    id;
    ngx_str_t                   uri, item;
    ngx_pool_t                 *pool;
    ngx_chat_ctx_t              ctx;
    ngx_http_request_t         *r;
    const ngx_chat_endpoint_t  *e;

    r = fuzz_request();
    pool = r->pool;

    uri.len = size;
    uri.data = (u_char *) data;
    r->uri = uri;

    ngx_memzero(&ctx, sizeof(ngx_chat_ctx_t));

    e = ngx_chat_api_route(r, &ctx);

    if (e != NULL) {

        /* after the name of the location */

        fuzz_assert(size >= 8 && memcmp(data, "/api/v1/", 8) == 0);

        uri.data += 8;
        uri.len -= 8;

        if (e->kind == NGX_CHAT_PATH_PLAIN) {
            fuzz_assert(uri.len <= e->path.len
                        && uri.len + 1 >= e->path.len
                        && memcmp(uri.data, e->path.data, uri.len) == 0);

        } else {
            fuzz_assert(uri.len > e->path.len
                        && memcmp(uri.data, e->path.data, e->path.len) == 0);

            item.data = uri.data + e->path.len;
            item.len = uri.len - e->path.len;

            if (e->kind == NGX_CHAT_PATH_NAME) {

                /* the name may have slashes */

                item.len = ctx.name.len;
                fuzz_assert(fuzz_same(&ctx.name, &item)
                            && ngx_chat_unicode_lookup(&item) == NGX_OK);

                p = item.data + item.len;
                item.len = size - (p - data);
                fuzz_assert(item.len >= e->tail.len
                            && item.len <= e->tail.len + 1);
                fuzz_assert(item.len == 0 || *p == '/');
                fuzz_assert(item.len < 2
                            || memcmp(p + 1, e->tail.data, item.len - 1)
                               == 0);

                ngx_destroy_pool(pool);
                return 0;
            }

            p = memchr(item.data, '/', item.len);
            if (p != NULL) {
                item.len = p - item.data;
            }

            if (ngx_chat_string_id(&item, &id) == NGX_OK) {
                fuzz_assert(ctx.id == id && id != 0);

            } else {
                fuzz_assert(ctx.id == 0);
            }
        }
    }

    ngx_destroy_pool(pool);

    return 0;
}
