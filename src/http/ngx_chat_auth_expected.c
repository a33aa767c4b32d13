
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_auth.h"
#include "src/http/ngx_chat_http.h"


static ngx_int_t ngx_chat_auth_same_user(ngx_chat_user_t *user,
    ngx_str_t *name);


/*
 * All headers of this name are compared.  A variable would cost ten times as
 * much in each send.
 */

ngx_int_t
ngx_chat_auth_expected(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    static ngx_str_t  name = ngx_string("X-Chat-User");

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (header[i].key.len == name.len
                && ngx_strncasecmp(header[i].key.data, name.data, name.len)
                   == 0
                && ngx_chat_auth_same_user(&ctx->user, &header[i].value)
                   != NGX_OK)
            {
                return NGX_DECLINED;
            }
        }
    }

    return NGX_OK;
}


/*
 * Browsers send ASCII only in headers, so other names are percent-encoded.  No
 * name that is created now contains a percent sign.
 */

static ngx_int_t
ngx_chat_auth_same_user(ngx_chat_user_t *user, ngx_str_t *name)
{
    u_char     *dst, *src;
    u_char      decoded[3 * NGX_CHAT_NAME_SIZE];
    u_char      keys[2][NGX_CHAT_NAME_SIZE];
    ngx_str_t   text, key, user_key;

    if (name->len == user->name.len
        && ngx_memcmp(name->data, user->name.data, name->len) == 0)
    {
        return NGX_OK;
    }

    if (name->len > sizeof(decoded)) {
        return NGX_DECLINED;
    }

    dst = decoded;
    src = name->data;
    ngx_unescape_uri(&dst, &src, name->len, 0);

    text.data = decoded;
    text.len = dst - decoded;

    if (text.len > NGX_CHAT_NAME_SIZE) {
        return NGX_DECLINED;
    }

    ngx_chat_unicode_key(&text, keys[0], NGX_CHAT_NAME_SIZE, &key);
    ngx_chat_unicode_key(&user->name, keys[1], NGX_CHAT_NAME_SIZE, &user_key);

    return (key.len == user_key.len
            && ngx_memcmp(key.data, user_key.data, key.len) == 0)
           ? NGX_OK : NGX_DECLINED;
}


/* 302 to the login page, which redirects back to this URI */

ngx_int_t
ngx_chat_auth_redirect(ngx_http_request_t *r, ngx_str_t *uri)
{
    u_char    *p;
    size_t     len;
    ngx_str_t  location;

    len = uri->len + sizeof("?next=") - 1 + r->unparsed_uri.len
          + 2 * ngx_escape_uri(NULL, r->unparsed_uri.data,
                               r->unparsed_uri.len, NGX_ESCAPE_ARGS);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    location.data = p;
    location.len = len;

    p = ngx_cpymem(p, uri->data, uri->len);
    p = ngx_cpymem(p, "?next=", sizeof("?next=") - 1);
    ngx_escape_uri(p, r->unparsed_uri.data, r->unparsed_uri.len,
                   NGX_ESCAPE_ARGS);

    if (ngx_chat_response_add_header(r, "Location", &location) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_MOVED_TEMPORARILY;
}
