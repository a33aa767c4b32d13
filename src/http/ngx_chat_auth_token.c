
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_auth.h"
#include "src/http/ngx_chat_http.h"


static ngx_uint_t ngx_chat_auth_tokens(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_str_t *tokens);


static void ngx_chat_auth_cookie_values(ngx_str_t *header, ngx_str_t *name,
    ngx_str_t *values, ngx_uint_t *n, ngx_uint_t max);
static void ngx_chat_auth_cookie_trim(ngx_str_t *text);
static ngx_uint_t ngx_chat_auth_cookie_known(ngx_str_t *value,
    ngx_str_t *values, ngx_uint_t n);


void
ngx_chat_auth_identify(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t   tokens[NGX_CHAT_QUERY_SESSIONS];
    ngx_uint_t  i, n;

    ctx->auth.ntokens = 0;

    n = ngx_chat_auth_tokens(r, ctx, tokens);

    for (i = 0; i < n; i++) {
        if (ngx_chat_token_hash(&tokens[i],
                                         ctx->auth.tokens[ctx->auth.ntokens])
            == NGX_OK)
        {
            ctx->auth.ntokens++;
        }
    }
}


/*
 * Reads "Authorization: Bearer", or else all cookies with the name of the
 * session cookie.  A page of a sibling host may have set one for the parent
 * domain, and another application may have left others.
 */

static ngx_uint_t
ngx_chat_auth_tokens(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *tokens)
{
    u_char               *p;
    ngx_str_t             name, value;
    ngx_uint_t            i, n;
    ngx_list_part_t      *part;
    ngx_table_elt_t      *header;
    ngx_chat_loc_conf_t  *chlcf;

    if (r->headers_in.authorization) {
        value = r->headers_in.authorization->value;

        if (value.len > 7
            && ngx_strncasecmp(value.data, (u_char *) "Bearer ", 7) == 0)
        {
            tokens->data = value.data + 7;
            tokens->len = value.len - 7;

            ctx->auth.bearer = 1;

            return 1;
        }
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    name = chlcf->cookie;

    if (ngx_chat_origin_secure(r)) {
        p = ngx_pnalloc(r->pool, sizeof("__Host-") + name.len);
        if (p == NULL) {
            return 0;
        }

        name.len = ngx_sprintf(p, "__Host-%V", &chlcf->cookie) - p;
        name.data = p;
    }

    n = 0;

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len == sizeof("Cookie") - 1
            && ngx_strncasecmp(header[i].key.data, (u_char *) "Cookie",
                               sizeof("Cookie") - 1)
               == 0)
        {
            ngx_chat_auth_cookie_values(&header[i].value, &name, tokens, &n,
                                        NGX_CHAT_QUERY_SESSIONS);
        }
    }

    if (n) {
        /* pages of other origins can make a browser send cookies */
        ctx->auth.origin = ngx_chat_origin(r);
    }

    return n;
}


/*
 * sessionid=<token>; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax.  Over
 * https the name has the prefix __Host-, so that other hosts of the domain
 * cannot set it.
 */

ngx_int_t
ngx_chat_auth_set_cookie(ngx_http_request_t *r, ngx_str_t *token)
{
    u_char               *p;
    size_t                len;
    ngx_str_t             cookie;
    ngx_uint_t            secure;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    secure = ngx_chat_origin_secure(r);

    len = sizeof("__Host-=; HttpOnly; Max-Age=; Path=/; SameSite=Lax; Secure")
          + chlcf->cookie.len + (token ? token->len : 2) + NGX_TIME_T_LEN;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    cookie.data = p;

    p = ngx_sprintf(p, "%s%V=", secure ? "__Host-" : "", &chlcf->cookie);

    if (token) {
        p = ngx_sprintf(p, "%V; HttpOnly; Max-Age=%T", token,
                        chlcf->session_lifetime);

    } else {
        p = ngx_sprintf(p, "\"\"; HttpOnly; Max-Age=0");
    }

    p = ngx_sprintf(p, "; Path=/; SameSite=Lax%s", secure ? "; Secure" : "");

    cookie.len = p - cookie.data;

    return ngx_chat_response_add_header(r, "Set-Cookie", &cookie);
}


/*
 * Collects the values of all cookies called "name" in a Cookie header, as RFC
 * 6265 defines it: only ";" separates pairs, names are case-sensitive, and a
 * value extends from "=" to the next ";".  Empty and repeated values are
 * ignored.
 *
 * $cookie_NAME of nginx also treats "," as a separator (before 1.29.6), ignores
 * case, and stops at the first cookie of that name.
 *
 * "values" has room for "max" values, which point into the header.  "n" is
 * increased by the number of values that are added.
 */

static void
ngx_chat_auth_cookie_values(ngx_str_t *header, ngx_str_t *name,
    ngx_str_t *values, ngx_uint_t *n, ngx_uint_t max)
{
    u_char     *p, *last, *end, *equals;
    ngx_str_t   key, value;

    last = header->data + header->len;

    for (p = header->data; p < last && *n < max; p = end + 1) {

        end = ngx_strlchr(p, last, ';');
        if (end == NULL) {
            end = last;
        }

        equals = ngx_strlchr(p, end, '=');
        if (equals == NULL) {
            continue;
        }

        key.data = p;
        key.len = equals - p;

        value.data = equals + 1;
        value.len = end - value.data;

        ngx_chat_auth_cookie_trim(&key);
        ngx_chat_auth_cookie_trim(&value);

        if (key.len == name->len
            && ngx_memcmp(key.data, name->data, name->len) == 0
            && value.len
            && !ngx_chat_auth_cookie_known(&value, values, *n))
        {
            values[(*n)++] = value;
        }
    }
}


/* removes spaces and tabs around names and values (RFC 6265, section 5.2) */

static void
ngx_chat_auth_cookie_trim(ngx_str_t *text)
{
    while (text->len && (text->data[0] == ' ' || text->data[0] == '\t')) {
        text->data++;
        text->len--;
    }

    while (text->len && (text->data[text->len - 1] == ' '
                         || text->data[text->len - 1] == '\t'))
    {
        text->len--;
    }
}


static ngx_uint_t
ngx_chat_auth_cookie_known(ngx_str_t *value, ngx_str_t *values, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (values[i].len == value->len
            && ngx_memcmp(values[i].data, value->data, value->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
