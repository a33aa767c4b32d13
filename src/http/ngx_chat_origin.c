
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_auth.h"


/* an origin, "scheme://host[:port]", without the default port of the scheme */

typedef struct {
    ngx_str_t              scheme;
    ngx_str_t              host;              /* including the port */
} ngx_chat_origin_t;


static ngx_int_t ngx_chat_origin_check(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_int_t ngx_chat_origin_parse(ngx_str_t *value,
    ngx_chat_origin_t *origin);
static void ngx_chat_origin_strip_port(ngx_chat_origin_t *origin);
static ngx_uint_t ngx_chat_origin_equal(ngx_str_t *one, ngx_str_t *two);


ngx_int_t
ngx_chat_origin(ngx_http_request_t *r)
{
    ngx_int_t   rc;
    ngx_str_t   site, origin;
    ngx_uint_t  has_origin;

    rc = NGX_DECLINED;
    has_origin = (ngx_chat_request_header(r, "http_origin", &origin) == NGX_OK);

    if (has_origin) {
        rc = ngx_chat_origin_check(r, &origin);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ngx_chat_request_header(r, "http_sec_fetch_site", &site) == NGX_OK) {

        if ((site.len == 11
             && ngx_strncmp(site.data, "same-origin", 11) == 0)
            || (site.len == 4 && ngx_strncmp(site.data, "none", 4) == 0))
        {
            return NGX_OK;
        }

        return NGX_DECLINED;
    }

    if (has_origin) {
        return NGX_DECLINED;
    }

    if (ngx_chat_request_header(r, "http_referer", &origin) == NGX_OK) {
        return ngx_chat_origin_check(r, &origin);
    }

    /* not a browser, which sends the origin of unsafe requests */

    return NGX_OK;
}


/*
 * Compares an origin with the Host header and chat_allowed_origins.  If TLS
 * ends at a proxy, the browser's scheme is unknown.  https is therefore
 * required only if the session cookie requires it.
 */

static ngx_int_t
ngx_chat_origin_check(ngx_http_request_t *r, ngx_str_t *value)
{
    ngx_str_t            *allowed;
    ngx_uint_t            i, tls;
    ngx_chat_origin_t     origin, own;
    ngx_chat_loc_conf_t  *chlcf;

    if (ngx_chat_origin_parse(value, &origin) != NGX_OK) {
        return NGX_DECLINED;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->origins) {
        allowed = chlcf->origins->elts;

        for (i = 0; i < chlcf->origins->nelts; i++) {

            if (ngx_chat_origin_parse(&allowed[i], &own) == NGX_OK
                && ngx_chat_origin_equal(&own.scheme, &origin.scheme)
                && ngx_chat_origin_equal(&own.host, &origin.host))
            {
                return NGX_OK;
            }
        }
    }

    own.scheme = origin.scheme;
    ngx_chat_request_host(r, &own.host);
    ngx_chat_origin_strip_port(&own);

    if (own.host.len == 0 || !ngx_chat_origin_equal(&own.host, &origin.host)) {
        return NGX_DECLINED;
    }

    tls = (origin.scheme.len == 5
           && ngx_strncasecmp(origin.scheme.data, (u_char *) "https", 5) == 0);

    return (tls || !ngx_chat_origin_secure(r)) ? NGX_OK : NGX_ABORT;
}


/* parses an origin, or a URL that begins with one */

static ngx_int_t
ngx_chat_origin_parse(ngx_str_t *value, ngx_chat_origin_t *origin)
{
    u_char  *p, *last;

    last = value->data + value->len;

    p = ngx_strlchr(value->data, last, ':');

    if (p == NULL || last - p < 4 || p[1] != '/' || p[2] != '/') {
        return NGX_DECLINED;
    }

    origin->scheme.data = value->data;
    origin->scheme.len = p - value->data;

    origin->host.data = p + 3;

    p = ngx_strlchr(origin->host.data, last, '/');

    origin->host.len = (p ? p : last) - origin->host.data;

    ngx_chat_origin_strip_port(origin);

    return NGX_OK;
}


static void
ngx_chat_origin_strip_port(ngx_chat_origin_t *origin)
{
    size_t       i;
    ngx_str_t   *host;

    static ngx_chat_origin_t  ports[] = {
        { ngx_string("http"), ngx_string(":80") },
        { ngx_string("https"), ngx_string(":443") }
    };

    host = &origin->host;

    for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {

        if (host->len > ports[i].host.len
            && ngx_chat_origin_equal(&origin->scheme, &ports[i].scheme)
            && ngx_memcmp(host->data + host->len - ports[i].host.len,
                          ports[i].host.data, ports[i].host.len)
               == 0)
        {
            host->len -= ports[i].host.len;
            return;
        }
    }
}


static ngx_uint_t
ngx_chat_origin_equal(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && ngx_strncasecmp(one->data, two->data, one->len) == 0;
}


ngx_uint_t
ngx_chat_origin_secure(ngx_http_request_t *r)
{
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->secure != NGX_CHAT_SECURE_AUTO) {
        return chlcf->secure;
    }

#if (NGX_HTTP_SSL || NGX_COMPAT)
    return r->connection->ssl != NULL;
#else
    return 0;
#endif
}
