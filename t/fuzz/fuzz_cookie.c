
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz_http.h"
#include "src/http/ngx_chat_origin.c"
#include "src/http/ngx_chat_auth_token.c"


static ngx_uint_t fuzz_cookie_expected(ngx_http_request_t *r,
    const char *name, ngx_str_t *tokens);
static void fuzz_cookie_header(ngx_http_request_t *r, ngx_str_t *line);
static ngx_table_elt_t *fuzz_cookie_find(ngx_http_request_t *r,
    const char *name);
static ngx_uint_t fuzz_cookie_own(ngx_http_request_t *r);
static ngx_uint_t fuzz_cookie_is_own(ngx_http_request_t *r,
    ngx_table_elt_t *h);
static void fuzz_cookie_cut(char *scheme, char *host);


static ngx_str_t    fuzz_cookie_origins[] = {
    ngx_string("https://app.example")
};

static ngx_array_t  fuzz_cookie_allowed = { fuzz_cookie_origins, 1, 0, 1,
                                            NULL };


/*
 * The input has a header per line; the first line "https" selects a site with
 * https.  Checks the tokens and the decision on same-origin requests.
 */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t            text, line, tokens[NGX_CHAT_QUERY_SESSIONS];
    ngx_uint_t           n;
    ngx_pool_t          *pool;
    const uint8_t       *p;
    ngx_chat_ctx_t       ctx;
    ngx_http_request_t  *r;

    /* nginx rejects them in a header */

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

    line.data = text.data;

    while (line.data < text.data + size) {
        p = memchr(line.data, '\n', text.data + size - line.data);
        line.len = (p ? (u_char *) p : text.data + size) - line.data;

        fuzz_cookie_header(r, &line);

        line.data += line.len + 1;
    }

    ngx_memzero(&ctx, sizeof(ngx_chat_ctx_t));

    n = ngx_chat_auth_tokens(r, &ctx, tokens);

    fuzz_assert(n <= NGX_CHAT_QUERY_SESSIONS);

    if (ctx.auth.bearer) {
        fuzz_assert(n == 1 && tokens[0].len);

    } else {
        fuzz_assert(n == fuzz_cookie_expected(r,
                                  fuzz_chlcf.secure == NGX_CHAT_SECURE_ON
                                  ? "__Host-sessionid" : "sessionid", tokens));
        fuzz_assert(n == 0 || (ctx.auth.origin == NGX_OK)
                              == fuzz_cookie_own(r));
    }

    ngx_destroy_pool(pool);
    free(text.data);

    return 0;
}


/*
 * The parser of RFC 6265, sections 5.4 and 5.2, in another way: joins the
 * headers with "; ", splits at each ";", and then splits each pair.  Returns
 * the number of values, each of which must be the next of "tokens".
 */

static ngx_uint_t
fuzz_cookie_expected(ngx_http_request_t *r, const char *name,
    ngx_str_t *tokens)
{
    char             *all, *pair, *rest, *value, *end, seen[8][4096];
    size_t            size;
    ngx_uint_t        i, k, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (strcmp((char *) h[i].lowcase_key, "cookie") != 0) {
                continue;
            }

            size = h[i].value.len;
            all = malloc(size + 1);
            memcpy(all, h[i].value.data, size);
            all[size] = '\0';

            rest = all;

            while ((pair = strsep(&rest, ";")) != NULL && n < 8) {

                value = strchr(pair, '=');
                if (value == NULL) {
                    continue;
                }

                *value++ = '\0';
                pair += strspn(pair, " \t");

                for (end = pair + strlen(pair);
                     end > pair && strchr(" \t", end[-1]);
                     *--end = '\0')
                {
                    /* void */
                }

                value += strspn(value, " \t");

                for (end = value + strlen(value);
                     end > value && strchr(" \t", end[-1]);
                     *--end = '\0')
                {
                    /* void */
                }

                if (strcmp(pair, name) != 0 || *value == '\0') {
                    continue;
                }

                for (k = 0; k < n && strcmp(seen[k], value) != 0; k++) {
                    /* void */
                }

                if (k < n) {
                    continue;
                }

                fuzz_assert(tokens[n].len == strlen(value)
                            && memcmp(tokens[n].data, value, tokens[n].len)
                               == 0);

                snprintf(seen[n++], sizeof(seen[0]), "%s", value);
            }

            free(all);
        }
    }

    return n;
}


/* as nginx stores them: the first of each name, except for cookies */

static void
fuzz_cookie_header(ngx_http_request_t *r, ngx_str_t *line)
{
    u_char           *colon;
    ngx_table_elt_t  *h;

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

    if (strcmp((char *) h->lowcase_key, "cookie") != 0
        && fuzz_cookie_find(r, (char *) h->lowcase_key))
    {
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


/* whether the headers show a same-origin request or no browser */

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
    char       *text, *host, *slash, *own;
    ngx_uint_t  found;

    text = strndup((char *) h->value.data, h->value.len);
    own = r->headers_in.host ? strndup((char *) r->headers_in.host->value.data,
                                       r->headers_in.host->value.len)
                             : strdup("");
    found = 0;
    host = strchr(text, ':');

    if (host && strncmp(host, "://", 3) == 0 && host[3]) {
        *host = '\0';
        host += 3;

        slash = strchr(host, '/');
        if (slash) {
            *slash = '\0';
        }

        fuzz_cookie_cut(text, host);
        fuzz_cookie_cut(text, own);

        found = (strcasecmp(text, "https") == 0
                 && strcasecmp(host, "app.example") == 0)
                || (*own && strcasecmp(host, own) == 0
                    && (fuzz_chlcf.secure != NGX_CHAT_SECURE_ON
                        || strcasecmp(text, "https") == 0));
    }

    free(text);
    free(own);

    return found;
}


/* an origin does not have the default port of its scheme */

static void
fuzz_cookie_cut(char *scheme, char *host)
{
    char  *colon;

    colon = strrchr(host, ':');

    if (colon && colon > host
        && ((strcasecmp(scheme, "http") == 0 && strcmp(colon, ":80") == 0)
            || (strcasecmp(scheme, "https") == 0
                && strcmp(colon, ":443") == 0)))
    {
        *colon = '\0';
    }
}
