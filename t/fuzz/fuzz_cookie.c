
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz_http.h"
#include "ngx_chat_auth.c"


static ngx_uint_t fuzz_cookie_named(u_char *start, u_char *value,
    const char *name);
static void fuzz_cookie_header(ngx_http_request_t *r, ngx_str_t *line);
static ngx_table_elt_t *fuzz_cookie_find(ngx_http_request_t *r,
    const char *name);
static ngx_uint_t fuzz_cookie_own(ngx_http_request_t *r);
static ngx_uint_t fuzz_cookie_is_own(ngx_http_request_t *r,
    ngx_table_elt_t *h);


static ngx_str_t    fuzz_cookie_origins[] = {
    ngx_string("https://app.example")
};

static ngx_array_t  fuzz_cookie_allowed = { fuzz_cookie_origins, 1, 0, 1,
                                            NULL };


/*
 * Headers, a line each: whose session is it, and may this page use it?  A first
 * line "https" is for a site that is.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t            text, line, token;
    const uint8_t       *p;
    ngx_pool_t          *pool;
    ngx_chat_ctx_t       ctx;
    ngx_http_request_t  *r;

    /* nginx takes none in a header */

    if (memchr(data, '\0', size)) {
        return 0;
    }

    text.len = size;
    text.data = malloc(size + 1);
    memcpy(text.data, data, size);

    r = fuzz_request();
    pool = r->pool;

    fuzz_chlcf.origins = &fuzz_cookie_allowed;
    fuzz_chlcf.secure = (size > 5 && memcmp(data, "https\n", 6) == 0)
                        ? NGX_CHAT_SECURE_ON : NGX_CHAT_SECURE_AUTO;

#if (nginx_version < 1023000)
    fuzz_assert(ngx_array_init(&r->headers_in.cookies, pool, 2,
                               sizeof(ngx_table_elt_t *)) == NGX_OK);
#endif

    line.data = text.data;

    while (line.data < text.data + size) {
        p = memchr(line.data, '\n', text.data + size - line.data);
        line.len = (p ? (u_char *) p : text.data + size) - line.data;

        fuzz_cookie_header(r, &line);

        line.data += line.len + 1;
    }

    ngx_memzero(&ctx, sizeof(ngx_chat_ctx_t));

    if (ngx_chat_auth_token(r, &ctx, &token) == NGX_OK) {

        fuzz_assert(token.len && token.data >= text.data
                    && token.data + token.len <= text.data + size
                    && memchr(token.data, '\n', token.len) == NULL);

        if (r->headers_in.authorization == NULL
            || token.data < r->headers_in.authorization->value.data
            || token.data > r->headers_in.authorization->value.data
                            + r->headers_in.authorization->value.len)
        {
            /* it is the cookie's */

            fuzz_assert(memchr(token.data, ';', token.len) == NULL
                        && fuzz_cookie_named(text.data, token.data,
                                             fuzz_chlcf.secure
                                             == NGX_CHAT_SECURE_ON
                                             ? "__Host-sessionid"
                                             : "sessionid"));
            fuzz_assert(ctx.foreign == !fuzz_cookie_own(r));
        }
    }

    ngx_destroy_pool(pool);
    free(text.data);

    return 0;
}


/* stands the name and " = " in front of it, and nothing before that? */

static ngx_uint_t
fuzz_cookie_named(u_char *start, u_char *value, const char *name)
{
    u_char  *p;
    size_t   len;

    for (p = value; p > start && p[-1] == ' '; p--) { /* void */ }

    if (p == start || *--p != '=') {
        return 0;
    }

    while (p > start && p[-1] == ' ') {
        p--;
    }

    len = strlen(name);

    if ((size_t) (p - start) < len
        || strncasecmp((char *) p - len, name, len) != 0)
    {
        return 0;
    }

    p -= len;

    return p == start || memchr(" ;,\n", p[-1], 4) != NULL;
}


/* as nginx has them; the first of each name, but for cookies */

static void
fuzz_cookie_header(ngx_http_request_t *r, ngx_str_t *line)
{
    u_char            *colon;
    ngx_table_elt_t   *h;

#if (nginx_version < 1023000)
    ngx_table_elt_t  **cookie;
#else
    ngx_table_elt_t  **cookie = &r->headers_in.cookie;
#endif

    colon = memchr(line->data, ':', line->len);

    if (colon == NULL || colon == line->data
        || line->data + line->len - colon < 2 || colon[1] != ' '
        || memchr(line->data, '_', colon - line->data))
    {
        return;
    }

    h = ngx_pcalloc(r->pool, sizeof(ngx_table_elt_t));

    h->key.data = line->data;
    h->key.len = colon - line->data;
    h->value.data = colon + 2;
    h->value.len = line->data + line->len - h->value.data;

    h->lowcase_key = ngx_pnalloc(r->pool, h->key.len + 1);
    h->hash = ngx_hash_strlow(h->lowcase_key, h->key.data, h->key.len);
    h->lowcase_key[h->key.len] = '\0';

    if (strcmp((char *) h->lowcase_key, "cookie") == 0) {

#if (nginx_version < 1023000)
        cookie = ngx_array_push(&r->headers_in.cookies);
#else
        while (*cookie) {
            cookie = &(*cookie)->next;
        }
#endif

        *cookie = h;
        return;
    }

    if (fuzz_cookie_find(r, (char *) h->lowcase_key)) {
        return;
    }

    *(ngx_table_elt_t *) ngx_list_push(&r->headers_in.headers) = *h;

    if (strcmp((char *) h->lowcase_key, "host") == 0) {
        r->headers_in.host = h;

    } else if (strcmp((char *) h->lowcase_key, "authorization") == 0) {
        r->headers_in.authorization = h;

    } else if (strcmp((char *) h->lowcase_key, "referer") == 0) {
        r->headers_in.referer = h;
    }
}


static ngx_table_elt_t *
fuzz_cookie_find(ngx_http_request_t *r, const char *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (strcmp((char *) h[i].lowcase_key, name) == 0) {
                return &h[i];
            }
        }
    }

    return NULL;
}


/* does a browser, or no browser, say that our own page has sent this? */

static ngx_uint_t
fuzz_cookie_own(ngx_http_request_t *r)
{
    ngx_table_elt_t  *origin, *site, *referer;

    origin = fuzz_cookie_find(r, "origin");
    site = fuzz_cookie_find(r, "sec-fetch-site");
    referer = fuzz_cookie_find(r, "referer");

    if (origin && origin->value.len && fuzz_cookie_is_own(r, origin)) {
        return 1;
    }

    if (site && site->value.len) {
        return (site->value.len == 4 && memcmp(site->value.data, "none", 4)
                                        == 0)
               || (site->value.len == 11
                   && memcmp(site->value.data, "same-origin", 11) == 0);
    }

    if (origin && origin->value.len) {
        return 0;
    }

    return referer == NULL || referer->value.len == 0
           || fuzz_cookie_is_own(r, referer);
}


static ngx_uint_t
fuzz_cookie_is_own(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    char        *text, *host, *slash;
    ngx_uint_t   own;

    text = strndup((char *) h->value.data, h->value.len);

    own = 0;
    host = strchr(text, ':');

    if (host && strncmp(host, "://", 3) == 0 && host[3]) {
        host += 3;

        slash = strchr(host, '/');
        if (slash) {
            *slash = '\0';
        }

        own = strcasecmp(text, "https://app.example") == 0
              || (r->headers_in.host
                  && (fuzz_chlcf.secure != NGX_CHAT_SECURE_ON
                      || strncasecmp(text, "https:", 6) == 0)
                  && strlen(host) == r->headers_in.host->value.len
                  && strncasecmp(host,
                                 (char *) r->headers_in.host->value.data,
                                 strlen(host)) == 0);
    }

    free(text);

    return own;
}
