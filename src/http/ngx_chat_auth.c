
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_auth.h"


/* tokens of a request without a session that are stored in the zone */
#define NGX_CHAT_AUTH_UNKNOWN  2

/* age of a check after which older records of the zone are ignored, ms */
#define NGX_CHAT_AUTH_LATE     1000


/* a lookup in progress, in r->pool; cancelled with the request */

typedef struct {
    ngx_http_request_t        *request;
    ngx_chat_db_job_t         *job;            /* NULL: done */
    ngx_chat_hash_t            hashes[NGX_CHAT_QUERY_SESSIONS];

    union {
        ngx_chat_db_job_t         job;         /* first member of all */
        ngx_chat_query_session_t  session;
        ngx_chat_query_user_t     user;
        ngx_chat_query_profile_t  profile;
    } op;
} ngx_chat_auth_lookup_t;


static ngx_int_t ngx_chat_auth_handler(ngx_http_request_t *r, ngx_uint_t auth,
    ngx_chat_step_pt identify);
static ngx_int_t ngx_chat_auth_session(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_auth_cached(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_hash_t *unknown, ngx_uint_t *n);
static void ngx_chat_auth_take(ngx_chat_ctx_t *ctx, u_char *hash,
    ngx_chat_user_t *user, time_t expires);
static void ngx_chat_auth_sessions_found(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_query_session_t *op);
static ngx_int_t ngx_chat_auth_variable(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_auth_found(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_str_t *name, ngx_chat_user_t *user);
static ngx_int_t ngx_chat_auth_create(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_auth_name(ngx_http_request_t *r, ngx_str_t *name);
static ngx_chat_auth_lookup_t *ngx_chat_auth_lookup(ngx_http_request_t *r,
    const ngx_chat_db_type_t *type);
static ngx_int_t ngx_chat_auth_submit(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_auth_lookup_t *lookup);
static void ngx_chat_auth_done(ngx_chat_db_job_t *job);
static void ngx_chat_auth_seen(ngx_http_request_t *r, u_char *hash);
static void ngx_chat_auth_seen_done(ngx_chat_db_job_t *job);
static void ngx_chat_auth_cancel(void *data);
static ngx_int_t ngx_chat_auth_verdict(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 *   token --none--> unauthenticated ---------------+
 *     |                                            |
 *   zone --found--------------------------------+  |
 *     |                                         |  |
 *   database (the request waits) --+------------+--+--> verdict
 *                                  |
 *                                  +-- unavailable: 503
 */

ngx_int_t
ngx_chat_auth_session_handler(ngx_http_request_t *r)
{
    return ngx_chat_auth_handler(r, NGX_CHAT_AUTH_SESSION,
                                 ngx_chat_auth_session);
}


ngx_int_t
ngx_chat_auth_variable_handler(ngx_http_request_t *r)
{
    return ngx_chat_auth_handler(r, NGX_CHAT_AUTH_VARIABLE,
                                 ngx_chat_auth_variable);
}


static ngx_int_t
ngx_chat_auth_handler(ngx_http_request_t *r, ngx_uint_t auth,
    ngx_chat_step_pt identify)
{
    ngx_int_t             rc;
    ngx_chat_ctx_t       *ctx;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->auth != auth || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_chat_http_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!ctx->auth.done) {
        rc = identify(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->auth.done = 1;
    }

    return ngx_chat_auth_verdict(r, ctx);
}


/* returns NGX_OK, NGX_AGAIN if a lookup has begun, or a status */

static ngx_int_t
ngx_chat_auth_session(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_uint_t               n;
    ngx_chat_hash_t          unknown[NGX_CHAT_QUERY_SESSIONS];
    ngx_chat_auth_lookup_t  *lookup;

    ctx->auth.checked = ngx_current_msec;
    ctx->auth.revision = ngx_chat_http_revision(r);

    ngx_chat_auth_identify(r, ctx);

    if (ctx->auth.ntokens == 0) {
        return NGX_OK;
    }

    rc = ngx_chat_auth_cached(r, ctx, unknown, &n);

    if (rc != NGX_OK) {
        return rc;
    }

    if (n == 0) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_SESSION_HIT);
        return NGX_OK;
    }

    ngx_chat_http_count(r, NGX_CHAT_COUNT_SESSION_MISS);

    lookup = ngx_chat_auth_lookup(r, &ngx_chat_query_session_get);
    if (lookup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(lookup->hashes, unknown, n * sizeof(ngx_chat_hash_t));
    lookup->op.session.hashes = lookup->hashes;
    lookup->op.session.n = n;

    return ngx_chat_auth_submit(r, ctx, lookup);
}


/*
 * Finds sessions in the zone, and returns the hashes of the other tokens in
 * "unknown".  The zone also stores tokens without a session.
 */

static ngx_int_t
ngx_chat_auth_cached(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_hash_t *unknown, ngx_uint_t *n)
{
    time_t                expires;
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_chat_user_t       user;
    ngx_chat_cache_t     *cache;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    cache = ngx_chat_http_zone(r)->cache;

    *n = 0;

    for (i = 0; i < ctx->auth.ntokens; i++) {

        rc = ngx_chat_cache_session_get(cache, ctx->auth.tokens[i],
                                        chlcf->session_check, r->pool, &user,
                                        &expires);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc == NGX_DECLINED) {
            ngx_memcpy(unknown[(*n)++], ctx->auth.tokens[i], NGX_CHAT_HASH_LEN);

        } else if (user.id) {
            ngx_chat_auth_take(ctx, ctx->auth.tokens[i], &user, expires);
        }
    }

    return NGX_OK;
}


/* a request with sessions of two users is ambiguous */

static void
ngx_chat_auth_take(ngx_chat_ctx_t *ctx, u_char *hash, ngx_chat_user_t *user,
    time_t expires)
{
    if (ctx->auth.session) {
        ctx->auth.ambiguous |= (ctx->user.id != user->id);
        return;
    }

    ctx->user = *user;
    ctx->auth.expires = expires;
    ctx->auth.session = 1;

    ngx_memcpy(ctx->auth.hash, hash, NGX_CHAT_HASH_LEN);
}


static ngx_int_t
ngx_chat_auth_variable(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_str_t                name;
    ngx_chat_user_t          user;
    ngx_chat_auth_lookup_t  *lookup;

    if (ngx_chat_auth_name(r, &name) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->auth.checked = ngx_current_msec;
    ctx->auth.revision = ngx_chat_http_revision(r);

    /* browsers send most credentials behind such names automatically */
    ctx->auth.origin = ngx_chat_origin(r);

    rc = ngx_chat_cache_user_get(ngx_chat_http_zone(r)->cache, &name, r->pool,
                                 &user);
    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_OK) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_HIT);
        ctx->user = user;
        return ngx_chat_auth_site_copy(r, ctx, &name);
    }

    /* rc == NGX_DECLINED */

    lookup = ngx_chat_auth_lookup(r, &ngx_chat_query_user_by_name);
    if (lookup == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_chat_unicode_name_forms(r->pool, &name, 0,
                                     &lookup->op.user.name);

    if (rc == NGX_DECLINED) {
        ctx->auth.unknown = (name.len != 0);
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_MISS);

    return ngx_chat_auth_submit(r, ctx, lookup);
}


static ngx_int_t
ngx_chat_auth_name(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_chat_loc_conf_t        *chlcf;
    ngx_http_variable_value_t  *vv;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    vv = ngx_http_get_flushed_variable(r, chlcf->auth_index);
    if (vv == NULL) {
        return NGX_ERROR;
    }

    name->data = vv->data;
    name->len = vv->not_found ? 0 : vv->len;

    return NGX_OK;
}


/*
 * The result of a lookup by name.  Returns NGX_OK, NGX_AGAIN if the user is
 * being added, or NGX_ERROR.
 */

static ngx_int_t
ngx_chat_auth_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name, ngx_chat_user_t *user)
{
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (user->id == 0 && chlcf->auth_create && name) {
        return ngx_chat_auth_create(r, ctx);
    }

    if (user->id == 0 || !user->active) {
        ctx->auth.unknown = 1;
        return NGX_OK;
    }

    ctx->user = *user;

    if (name) {
        ngx_chat_cache_user_put(ngx_chat_http_zone(r)->cache, name, user);

        return (ngx_chat_auth_site_copy(r, ctx, name) == NGX_OK) ? NGX_OK
                                                                  : NGX_ERROR;
    }

    return NGX_OK;
}


/* adds the user whose name is in the variable, if a new user may have it */

static ngx_int_t
ngx_chat_auth_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    u_char                    *buf;
    ngx_int_t                  rc;
    ngx_str_t                  name;
    ngx_chat_auth_lookup_t    *lookup;
    ngx_chat_query_profile_t  *op;

    lookup = ngx_chat_auth_lookup(r, &ngx_chat_query_profile_create);
    buf = ngx_pnalloc(r->pool, NGX_CHAT_NAME_SIZE);

    if (lookup == NULL || buf == NULL
        || ngx_chat_auth_name(r, &name) != NGX_OK)
    {
        return NGX_ERROR;
    }

    op = &lookup->op.profile;

    if (ngx_chat_unicode_normalize(&name, NGX_CHAT_UNICODE_NFC, buf,
                                   NGX_CHAT_NAME_SIZE, &op->username)
        != NGX_OK
        || ngx_chat_unicode_name(&op->username) != NGX_OK)
    {
        ctx->auth.unknown = 1;
        return NGX_OK;
    }

    rc = ngx_chat_auth_site_profile(r, &op->display_name, &op->avatar_url);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    rc = ngx_chat_auth_submit(r, ctx, lookup);

    if (rc == NGX_OK || rc == NGX_AGAIN) {
        return rc;
    }

    ngx_chat_auth_cancel(lookup);

    return NGX_ERROR;
}


static ngx_chat_auth_lookup_t *
ngx_chat_auth_lookup(ngx_http_request_t *r, const ngx_chat_db_type_t *type)
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
    lookup->op.job.type = type;
    lookup->op.job.handler = ngx_chat_auth_done;
    lookup->op.job.data = lookup;
    lookup->op.job.pool = r->pool;

    return lookup;
}


static ngx_int_t
ngx_chat_auth_submit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_auth_lookup_t *lookup)
{
    ngx_int_t  rc;

    rc = ngx_chat_db_submit(ngx_chat_http_worker(r)->db, &lookup->op.job);

    if (rc == NGX_BUSY) {
        ctx->auth.unavailable = 1;
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lookup->job = &lookup->op.job;

    r->connection->log->action = "looking up the session";
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
    ngx_int_t                rc;
    ngx_chat_ctx_t          *ctx;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_chat_auth_lookup_t  *lookup;

    lookup = job->data;
    lookup->job = NULL;

    r = lookup->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0, "chat auth done: %i",
                   job->rc);

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    ctx->log.db_time += job->time;
    ctx->log.db_used = 1;

    rc = NGX_OK;

    if (job->rc != NGX_OK) {
        ctx->auth.unavailable = 1;

    } else if (job->type == &ngx_chat_query_session_get) {
        ngx_chat_auth_sessions_found(r, ctx, &lookup->op.session);

    } else if (job->type == &ngx_chat_query_profile_create) {
        rc = ngx_chat_auth_found(r, ctx, NULL, &lookup->op.profile.user);

    } else {
        rc = ngx_chat_auth_found(r, ctx, &lookup->op.user.name.text[0],
                                 &lookup->op.user.user);
    }

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc == NGX_ERROR) {
        ctx->auth.unavailable = 1;
    }

    ctx->auth.done = 1;
    ctx->auth.checked = ngx_current_msec;

    c->log->action = NULL;
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);

    ngx_http_run_posted_requests(c);
}


/*
 * A token without a session is stored in the zone only together with a valid
 * one, because a browser may send it with each request for years.  Otherwise
 * unauthenticated clients could fill the zone.
 */

static void
ngx_chat_auth_sessions_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_query_session_t *op)
{
    ngx_uint_t            i, n;
    ngx_chat_user_t       nobody;
    ngx_chat_cache_t     *cache;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    cache = ngx_chat_http_zone(r)->cache;

    ctx->auth.ambiguous |= op->ambiguous;

    if (op->user.id) {
        ngx_chat_auth_take(ctx, op->hashes[op->found], &op->user, op->expires);
    }

    if (op->seen) {
        ngx_chat_auth_seen(r, op->hashes[op->found]);
    }

    if (!ctx->auth.session) {
        return;
    }

    ngx_memzero(&nobody, sizeof(ngx_chat_user_t));
    ngx_str_set(&nobody.name, "");

    n = 0;

    for (i = 0; i < op->n; i++) {

        if (op->user.id && i == op->found) {
            ngx_chat_cache_session_put(cache, op->hashes[i], &op->user,
                                       op->expires, chlcf->session_check,
                                       ctx->auth.revision);

        } else if (!(op->valid & (ngx_uint_t) 1 << i)
                   && n++ < NGX_CHAT_AUTH_UNKNOWN)
        {
            ngx_chat_cache_session_put(cache, op->hashes[i], &nobody,
                                       ngx_time() + chlcf->session_lifetime,
                                       chlcf->session_check,
                                       ctx->auth.revision);
        }
    }
}


/* updates last_seen_at of a session; the request does not wait for that */

static void
ngx_chat_auth_seen(ngx_http_request_t *r, u_char *hash)
{
    ngx_pool_t                     *pool;
    ngx_chat_query_session_seen_t  *op;

    pool = ngx_create_pool(sizeof(ngx_chat_query_session_seen_t)
                           + sizeof(ngx_pool_t), ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    op = ngx_pcalloc(pool, sizeof(ngx_chat_query_session_seen_t));
    if (op == NULL) {
        ngx_destroy_pool(pool);
        return;
    }

    ngx_memcpy(op->hash, hash, NGX_CHAT_HASH_LEN);

    op->job.type = &ngx_chat_query_session_seen;
    op->job.handler = ngx_chat_auth_seen_done;
    op->job.pool = pool;

    if (ngx_chat_db_submit(ngx_chat_http_worker(r)->db, &op->job) != NGX_OK) {
        ngx_destroy_pool(pool);
    }
}


static void
ngx_chat_auth_seen_done(ngx_chat_db_job_t *job)
{
    ngx_destroy_pool(job->pool);
}


static void
ngx_chat_auth_cancel(void *data)
{
    ngx_chat_auth_lookup_t  *lookup = data;

    if (lookup->job) {
        ngx_chat_db_cancel(lookup->job);
        lookup->job = NULL;
    }
}


ngx_uint_t
ngx_chat_auth_stale(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ctx->auth.checked != ngx_current_msec
           || ctx->auth.revision != ngx_chat_http_revision(r);
}


ngx_int_t
ngx_chat_auth_again(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const ngx_chat_db_type_t **type)
{
    time_t                     expires;
    ngx_int_t                  rc;
    ngx_msec_t                 age;
    ngx_chat_user_t            user;
    ngx_chat_loc_conf_t       *chlcf;
    ngx_chat_query_user_t     *by_id;
    ngx_chat_query_session_t  *session;

    if (!ctx->auth.session) {

        /* a name from a variable: check that the user is still active */

        by_id = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_user_t));
        if (by_id == NULL) {
            return NGX_ERROR;
        }

        by_id->id = ctx->user.id;

        *type = &ngx_chat_query_user_by_id;
        ctx->data = by_id;

        return NGX_AGAIN;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    /* after a long wait, the record of the zone must be newer than the check */

    age = ngx_current_msec - ctx->auth.checked;

    if (age < NGX_CHAT_AUTH_LATE) {
        age = chlcf->session_check;
    }

    rc = ngx_chat_cache_session_get(ngx_chat_http_zone(r)->cache,
                                    ctx->auth.hash,
                                    ngx_min(age, chlcf->session_check),
                                    r->pool, &user, &expires);

    if (rc == NGX_OK) {
        return (user.id == ctx->user.id) ? NGX_OK : NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* rc == NGX_DECLINED */

    session = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_session_t));
    if (session == NULL) {
        return NGX_ERROR;
    }

    session->hashes = &ctx->auth.hash;
    session->n = 1;

    *type = &ngx_chat_query_session_get;
    ctx->data = session;

    return NGX_AGAIN;
}


ngx_int_t
ngx_chat_auth_still(ngx_chat_ctx_t *ctx, ngx_chat_db_job_t *job)
{
    ngx_chat_user_t  *user;

    user = (job->type == &ngx_chat_query_session_get)
           ? &((ngx_chat_query_session_t *) job)->user
           : &((ngx_chat_query_user_t *) job)->user;

    return (job->rc == NGX_OK && user->id == ctx->user.id && user->active)
           ? NGX_OK : NGX_DECLINED;
}


/*
 * Decides on requests to other handlers.  The handlers of this module reject
 * requests themselves, in JSON, and have public endpoints.
 */

static ngx_int_t
ngx_chat_auth_verdict(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_loc_conf_t  *chlcf;

    if (ctx->auth.ambiguous) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chat request with sessions of two users");
        ctx->user.id = 0;
    }

    if (ctx->auth.unknown) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chat: the name in the variable of \"chat_auth\" does "
                      "not belong to an active user");
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->handler && r->content_handler == chlcf->handler
        && chlcf->status == NGX_CHAT_STATUS_OFF)
    {
        return NGX_DECLINED;
    }

    if (ctx->auth.unavailable) {
        if (ngx_chat_response_retry_after(r, NGX_CHAT_RESPONSE_RETRY_AFTER)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ctx->auth.origin != NGX_OK
        && !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS)))
    {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chat cross-origin request");
        return NGX_HTTP_FORBIDDEN;
    }

    if (ctx->user.id == 0) {

        /* the site would redirect a member back */

        if (chlcf->auth_redirect.len && !ctx->auth.unknown
            && (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
        {
            return ngx_chat_auth_redirect(r, &chlcf->auth_redirect);
        }

        return NGX_HTTP_FORBIDDEN;
    }

    if (chlcf->subscriber) {
        return chlcf->subscribe(r, ctx);
    }

    return NGX_DECLINED;
}
