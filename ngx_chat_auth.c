
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_auth.h"
#include "ngx_chat_subscriber.h"


/* a look-up under way; lives in r->pool, cancelled with the request */

typedef struct {
    ngx_http_request_t        *request;
    ngx_chat_db_job_t         *job;            /* NULL: over */
    ngx_uint_t                 revision;

    union {
        ngx_chat_db_job_t       job;           /* either begins with it */
        ngx_chat_sql_session_t  session;
        ngx_chat_sql_user_t     user;
    } op;
} ngx_chat_auth_lookup_t;


static void ngx_chat_auth_ctx_cleanup(void *data);
static ngx_int_t ngx_chat_auth_session(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_auth_variable(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_chat_auth_lookup_t *ngx_chat_auth_lookup(ngx_http_request_t *r,
    const ngx_chat_db_class_t *class);
static ngx_int_t ngx_chat_auth_submit(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_auth_lookup_t *lookup);
static void ngx_chat_auth_done(ngx_chat_db_job_t *job);
static void ngx_chat_auth_cancel(void *data);
static ngx_int_t ngx_chat_auth_verdict(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_auth_subscribe(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_auth_redirect(ngx_http_request_t *r,
    ngx_str_t *uri);
static ngx_int_t ngx_chat_auth_token(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_str_t *token);
static ngx_int_t ngx_chat_auth_own_origin(ngx_http_request_t *r,
    ngx_str_t *origin);
static ngx_uint_t ngx_chat_auth_secure(ngx_http_request_t *r);


/*
 * The order of things for a request:
 *
 *   token? --no--> nobody -------------------------+
 *     |                                            |
 *   zone --found--------------------------------+  |
 *     |                                         |  |
 *   database (the request waits) --+------------+--+--> verdict
 *                                  |
 *                                  +-- out of reach: 503
 */

ngx_int_t
ngx_chat_auth_session_handler(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_chat_ctx_t       *ctx;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->auth != NGX_CHAT_AUTH_SESSION || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_chat_auth_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!ctx->authenticated) {
        rc = ngx_chat_auth_session(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->authenticated = 1;
    }

    return ngx_chat_auth_verdict(r, ctx);
}


ngx_int_t
ngx_chat_auth_variable_handler(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_chat_ctx_t       *ctx;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->auth != NGX_CHAT_AUTH_VARIABLE || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_chat_auth_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!ctx->authenticated) {
        rc = ngx_chat_auth_variable(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->authenticated = 1;
    }

    return ngx_chat_auth_verdict(r, ctx);
}


ngx_chat_ctx_t *
ngx_chat_auth_ctx(ngx_http_request_t *r)
{
    ngx_chat_ctx_t       *ctx;
    ngx_pool_cleanup_t   *cln;
    ngx_chat_loc_conf_t  *chlcf;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_chat_auth_ctx_cleanup;

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_chat_ctx_t));

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    ctx->request = ngx_chat_auth_request(chlcf);
    ctx->method = r->method;

    ngx_http_set_ctx(r, ctx, ngx_chat_module);

    return ctx;
}


/* by this one it is found again, as ngx_http_realip_module does */

static void
ngx_chat_auth_ctx_cleanup(void *data)
{
}


ngx_chat_ctx_t *
ngx_chat_auth_ctx_kept(ngx_http_request_t *r)
{
    ngx_chat_ctx_t      *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_chat_auth_ctx_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


ngx_chat_request_e
ngx_chat_auth_request(ngx_chat_loc_conf_t *chlcf)
{
    if (chlcf->api) {
        return NGX_CHAT_REQUEST_OTHER;
    }

    return chlcf->subscriber ? NGX_CHAT_REQUEST_SOCKET : NGX_CHAT_REQUEST_MAX;
}


/* NGX_OK: ctx->user is known, NGX_AGAIN: it is being looked up */

static ngx_int_t
ngx_chat_auth_session(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_chat_cache_t        *cache;
    ngx_chat_loc_conf_t     *chlcf;
    ngx_chat_auth_lookup_t  *lookup;

    ngx_chat_auth_identify(r, ctx);

    if (!ctx->session) {
        return NGX_OK;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    cache = ngx_chat_http_cache(r);

    rc = ngx_chat_cache_session_get(cache, ctx->hash, chlcf->session_check,
                                    r->pool, &ctx->user, &ctx->expires);
    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_OK) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_SESSION_HIT);
        return NGX_OK;
    }

    /* rc == NGX_DECLINED */

    ngx_chat_http_count(r, NGX_CHAT_COUNT_SESSION_MISS);

    lookup = ngx_chat_auth_lookup(r, &ngx_chat_sql_session_get);
    if (lookup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lookup->revision = ngx_chat_cache_revision(cache);
    ngx_memcpy(lookup->op.session.hash, ctx->hash, NGX_CHAT_HASH_LEN);

    return ngx_chat_auth_submit(r, ctx, lookup);
}


static ngx_int_t
ngx_chat_auth_variable(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_str_t                   name;
    ngx_chat_cache_t           *cache;
    ngx_chat_loc_conf_t        *chlcf;
    ngx_chat_auth_lookup_t     *lookup;
    ngx_http_variable_value_t  *vv;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    vv = ngx_http_get_flushed_variable(r, chlcf->auth_index);
    if (vv == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    name.data = vv->data;
    name.len = vv->not_found ? 0 : vv->len;

    /* a browser sends most of what such names come from by itself, too */
    ctx->foreign = (ngx_chat_auth_origin(r) != NGX_OK);

    if (ngx_chat_text_name(&name) != NGX_OK) {
        return NGX_OK;
    }

    cache = ngx_chat_http_cache(r);

    rc = ngx_chat_cache_user_get(cache, &name, r->pool, &ctx->user);
    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_OK) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_HIT);
        return NGX_OK;
    }

    /* rc == NGX_DECLINED */

    ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_MISS);

    lookup = ngx_chat_auth_lookup(r, &ngx_chat_sql_user_by_name);
    if (lookup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lookup->op.user.name = name;

    return ngx_chat_auth_submit(r, ctx, lookup);
}


static ngx_chat_auth_lookup_t *
ngx_chat_auth_lookup(ngx_http_request_t *r, const ngx_chat_db_class_t *class)
{
    ngx_pool_cleanup_t      *cln;
    ngx_chat_auth_lookup_t  *lookup;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_auth_lookup_t));
    if (cln == NULL) {
        return NULL;
    }

    lookup = cln->data;
    ngx_memzero(lookup, sizeof(ngx_chat_auth_lookup_t));

    cln->handler = ngx_chat_auth_cancel;

    lookup->request = r;
    lookup->op.job.class = class;
    lookup->op.job.handler = ngx_chat_auth_done;
    lookup->op.job.data = lookup;
    lookup->op.job.pool = r->pool;

    return lookup;
}


static ngx_int_t
ngx_chat_auth_submit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_auth_lookup_t *lookup)
{
    ngx_int_t              rc;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    rc = ngx_chat_db_submit(chmcf->worker->db, &lookup->op.job);

    if (rc == NGX_BUSY) {
        ctx->unavailable = 1;
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lookup->job = &lookup->op.job;

    r->connection->log->action = "looking up who is calling";
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_AGAIN;
}


static void
ngx_chat_auth_done(ngx_chat_db_job_t *job)
{
    ngx_chat_ctx_t          *ctx;
    ngx_chat_cache_t        *cache;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_chat_loc_conf_t     *chlcf;
    ngx_chat_auth_lookup_t  *lookup;

    lookup = job->data;
    lookup->job = NULL;

    r = lookup->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0, "chat auth done: %i",
                   job->rc);

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    cache = ngx_chat_http_cache(r);

    ctx->db_time += job->time;
    ctx->db_asked = 1;

    if (job->rc != NGX_OK) {
        ctx->unavailable = 1;

    } else if (job->class == &ngx_chat_sql_session_get) {
        ctx->user = lookup->op.session.user;
        ctx->expires = lookup->op.session.expires;
        ctx->overtaken = (lookup->revision != ngx_chat_cache_revision(cache));

        if (ctx->user.id) {
            ngx_chat_cache_session_put(cache, ctx->hash, &ctx->user,
                                       ctx->expires, chlcf->session_check,
                                       lookup->revision);
        }

    } else if (lookup->op.user.user.active) {
        ctx->user = lookup->op.user.user;

        ngx_chat_cache_user_put(cache, &lookup->op.user.name, &ctx->user);
    }

    ctx->authenticated = 1;

    c->log->action = NULL;
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_auth_cancel(void *data)
{
    ngx_chat_auth_lookup_t *lookup = data;

    if (lookup->job) {
        ngx_chat_db_cancel(lookup->job);
        lookup->job = NULL;
    }
}


/*
 * The API answers for itself, in JSON, and has routes for nobody; elsewhere it
 * ends here for who may not go on.
 */

static ngx_int_t
ngx_chat_auth_verdict(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t             retry;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->api) {
        return NGX_DECLINED;
    }

    if (ctx->unavailable) {
        ngx_str_set(&retry, NGX_CHAT_HTTP_RETRY_AFTER_TEXT);

        if (ngx_chat_http_add_header(r, "Retry-After", &retry) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ctx->foreign
        && !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS)))
    {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chat request from a foreign origin");
        return NGX_HTTP_FORBIDDEN;
    }

    if (ctx->user.id == 0) {
        if (chlcf->auth_redirect.len
            && (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
        {
            return ngx_chat_auth_redirect(r, &chlcf->auth_redirect);
        }

        return NGX_HTTP_FORBIDDEN;
    }

    if (chlcf->subscriber) {
        return ngx_chat_auth_subscribe(r, ctx);
    }

    return NGX_DECLINED;
}


/*
 * nchan looks at no Origin: a page of another site would get its handshake.
 * And resume ids that a client makes up crash its workers, in 1.3.6 to 1.3.8:
 * they come in by Last-Event-ID, If-None-Match, If-Modified-Since and the
 * query string, and nothing of them reaches it.  Nobody needs them, since
 * "after=" is the way to catch up.
 */

static ngx_int_t
ngx_chat_auth_subscribe(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    if (ngx_chat_auth_origin(r) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chat subscriber from a foreign origin");
        return NGX_HTTP_FORBIDDEN;
    }

    /* others are not for clients; HEAD, and what it does not know, has no
       answer of nchan's */

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_OPTIONS))) {
        return NGX_HTTP_FORBIDDEN;
    }

    /* nor does it read a body, which would be taken for the next request */

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        r->keepalive = 0;
    }

    r->headers_in.if_modified_since = NULL;
    r->headers_in.if_none_match = NULL;

    /* nor a condition that fails: the 412 wipes what nchan knows of the
       request, and it crashes at the next message */
    r->disable_not_modified = 1;

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

        if (header[i].key.len == sizeof("Last-Event-ID") - 1
            && ngx_strncasecmp(header[i].key.data, (u_char *) "Last-Event-ID",
                               header[i].key.len) == 0)
        {
            /* an empty value, as the variables of nginx pass over by hash */
            header[i].hash = 0;
            header[i].value.len = 0;
        }
    }

    r->args.len = 0;

    if (ngx_chat_subscriber_add(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


/* 302 to the login page, which will lead back here */

static ngx_int_t
ngx_chat_auth_redirect(ngx_http_request_t *r, ngx_str_t *uri)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   location;

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

    if (ngx_chat_http_add_header(r, "Location", &location) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_MOVED_TEMPORARILY;
}


void
ngx_chat_auth_identify(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t  token;

    ctx->session = ngx_chat_auth_token(r, ctx, &token) == NGX_OK
                   && ngx_chat_password_token_hash(&token, ctx->hash)
                      == NGX_OK;
}


/* "Authorization: Bearer", or the cookie */

static ngx_int_t
ngx_chat_auth_token(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *token)
{
    u_char               *p;
    ngx_str_t             value;
    ngx_chat_loc_conf_t  *chlcf;

    if (r->headers_in.authorization) {
        value = r->headers_in.authorization->value;

        if (value.len > 7
            && ngx_strncasecmp(value.data, (u_char *) "Bearer ", 7) == 0)
        {
            token->data = value.data + 7;
            token->len = value.len - 7;

            return NGX_OK;
        }
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    /* $cookie_<name> reads it on every version of nginx */

    p = ngx_pnalloc(r->pool, sizeof("cookie___Host-") + chlcf->cookie.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "cookie_%s%V%Z", ngx_chat_auth_secure(r) ? "__Host-" : "",
                &chlcf->cookie);

    if (ngx_chat_http_header(r, (const char *) p, token) != NGX_OK) {
        return NGX_DECLINED;
    }

    /* what a foreign page can make a browser send */
    ctx->foreign = (ngx_chat_auth_origin(r) != NGX_OK);

    return NGX_OK;
}


ngx_int_t
ngx_chat_auth_origin(ngx_http_request_t *r)
{
    ngx_str_t   site, origin;
    ngx_uint_t  has_origin;

    has_origin = (ngx_chat_http_header(r, "http_origin", &origin) == NGX_OK);

    if (has_origin && ngx_chat_auth_own_origin(r, &origin) == NGX_OK) {
        return NGX_OK;
    }

    if (ngx_chat_http_header(r, "http_sec_fetch_site", &site) == NGX_OK) {

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

    if (ngx_chat_http_header(r, "http_referer", &origin) == NGX_OK) {
        return ngx_chat_auth_own_origin(r, &origin);
    }

    /* no browser: a browser says where an unsafe request comes from */

    return NGX_OK;
}


/*
 * "scheme://host[:port]", maybe with a path behind it, against the Host header
 * and chat_allowed_origins.  Where TLS ends in front of this nginx, the scheme
 * seen here is not the browser's: only a request that came by TLS insists.
 */

static ngx_int_t
ngx_chat_auth_own_origin(ngx_http_request_t *r, ngx_str_t *origin)
{
    u_char               *p, *last;
    ngx_str_t             host, own, *allowed;
    ngx_uint_t            i, tls;
    ngx_chat_loc_conf_t  *chlcf;

    last = origin->data + origin->len;

    p = ngx_strlchr(origin->data, last, ':');

    if (p == NULL || last - p < 4 || p[1] != '/' || p[2] != '/') {
        return NGX_DECLINED;
    }

    tls = (p - origin->data == 5
           && ngx_strncasecmp(origin->data, (u_char *) "https", 5) == 0);

    host.data = p + 3;

    p = ngx_strlchr(host.data, last, '/');
    if (p == NULL) {
        p = last;
    }

    host.len = p - host.data;

    ngx_chat_http_host(r, &own);

    if (own.len && own.len == host.len
        && ngx_strncasecmp(own.data, host.data, host.len) == 0
        && (tls || !ngx_chat_auth_secure(r)))
    {
        return NGX_OK;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->origins == NULL) {
        return NGX_DECLINED;
    }

    allowed = chlcf->origins->elts;

    for (i = 0; i < chlcf->origins->nelts; i++) {
        if (allowed[i].len == (size_t) (p - origin->data)
            && ngx_strncasecmp(allowed[i].data, origin->data, allowed[i].len)
               == 0)
        {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * sessionid=<token>; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax, and over
 * https the name has the prefix __Host-, which keeps other hosts of the domain
 * from setting it.
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
    secure = ngx_chat_auth_secure(r);

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

    return ngx_chat_http_add_header(r, "Set-Cookie", &cookie);
}


static ngx_uint_t
ngx_chat_auth_secure(ngx_http_request_t *r)
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
