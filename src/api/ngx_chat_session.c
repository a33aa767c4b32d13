
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/http/ngx_chat_auth.h"
#include "src/api/ngx_chat_endpoint.h"


static ngx_int_t ngx_chat_session_delete_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_remove_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_end_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* GET session/: the current user */

ngx_int_t
ngx_chat_session_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_session_show(r, ctx, NULL);
}


ngx_int_t
ngx_chat_session_show(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *token)
{
    ngx_chat_json_t      *json;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "username");
    ngx_chat_json_string(json, &ctx->user.name);
    ngx_chat_json_key(json, "user_id");
    ngx_chat_json_number(json, ctx->user.id);
    ngx_chat_json_key(json, "is_admin");
    ngx_chat_json_bool(json, ctx->user.admin);

    /* the site logs its members in and out, and has their passwords */

    if (chlcf->auth == NGX_CHAT_AUTH_VARIABLE) {
        ngx_chat_json_key(json, "login");
        ngx_chat_json_text(json, "site");
    }

    if (token) {
        ngx_chat_json_key(json, "token");
        ngx_chat_json_string(json, token);
    }

    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/*
 * DELETE session/, and chat_logout
 *
 *   delete | logout -> delete_done
 */

ngx_int_t
ngx_chat_session_delete(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_session_t  *op;

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_session_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    ctx->data = op;

    if (ctx->auth.ntokens == 0) {

        /* authenticated by a variable, or not at all */

        ctx->next = ngx_chat_session_delete_done;
        return NGX_OK;
    }

    op->hashes = ctx->auth.tokens;
    op->n = ctx->auth.ntokens;

    ctx->write = 1;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_session_delete,
                               ngx_chat_session_delete_done);
}


ngx_int_t
ngx_chat_session_logout(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_auth_identify(r, ctx);

    ctx->next = ngx_chat_session_delete;

    return NGX_OK;
}


/*
 * Workers search their sockets for each revocation.  A token without a session
 * must not cause one.
 */

void
ngx_chat_session_revoke(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t ended, ngx_uint_t repeated)
{
    time_t             expires;
    ngx_uint_t         i;
    ngx_chat_user_t    user;
    ngx_chat_cache_t  *cache;

    cache = ngx_chat_http_zone(r)->cache;

    for (i = 0; i < ctx->auth.ntokens; i++) {

        if (ended || repeated
            || (ngx_chat_cache_session_get(cache, ctx->auth.tokens[i],
                                           NGX_MAX_INT32_VALUE, r->pool,
                                           &user, &expires)
                == NGX_OK
                && user.id))
        {
            ngx_chat_revocation_session(ngx_chat_http_zone(r)->revocations,
                                        ctx->auth.tokens[i]);
        }
    }

    ngx_chat_metrics_add(ngx_chat_http_metrics(r),
                         NGX_CHAT_COUNT_SESSION_LOGOUT, ended);
}


static ngx_int_t
ngx_chat_session_delete_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_session_t  *op = ctx->data;

    ngx_str_t             location;
    ngx_chat_loc_conf_t  *chlcf;

    ngx_chat_session_revoke(r, ctx, op->ended, op->job.repeated);

    if (ngx_chat_auth_set_cookie(r, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->form) {
        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
        location = chlcf->logout_redirect;

        return ngx_chat_response_redirect(r, ctx, &location);
    }

    return NGX_HTTP_NO_CONTENT;
}


/* GET session/all/ */

ngx_int_t
ngx_chat_session_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_step_list(r, ctx, &ngx_chat_query_session_list);
}


/*
 * DELETE session/<id>/
 *
 *   remove -> remove_done
 */

ngx_int_t
ngx_chat_session_remove(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_session_remove_t  *op;

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_session_remove_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->user_id = ctx->user.id;
    op->id = ctx->id;

    ctx->data = op;
    ctx->write = 1;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_session_remove,
                               ngx_chat_session_remove_done);
}


static ngx_int_t
ngx_chat_session_remove_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_session_remove_t  *op = ctx->data;

    if (op->hash.len != NGX_CHAT_HASH_LEN) {

        if (!op->job.repeated) {
            return ngx_chat_response_not_found(r, ctx);
        }

        /* an earlier attempt may have deleted the row, and its hash is lost */

        ngx_chat_revocation_user(ngx_chat_http_zone(r)->revocations,
                                 ctx->user.id, NULL);

        return NGX_HTTP_NO_CONTENT;
    }

    ngx_chat_revocation_session(ngx_chat_http_zone(r)->revocations,
                                op->hash.data);

    ngx_chat_metrics_add(ngx_chat_http_metrics(r),
                         NGX_CHAT_COUNT_SESSION_LOGOUT, 1);

    return NGX_HTTP_NO_CONTENT;
}


/*
 * DELETE session/all/
 *
 *   end -> end_done
 */

ngx_int_t
ngx_chat_session_end(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_session_end_t  *op;

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_session_end_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->user_id = ctx->user.id;

    if (ctx->auth.session) {
        ngx_memcpy(op->keep, ctx->auth.hash, NGX_CHAT_HASH_LEN);
    }

    ctx->data = op;
    ctx->write = 1;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_session_end,
                               ngx_chat_session_end_done);
}


static ngx_int_t
ngx_chat_session_end_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_session_end_t  *op = ctx->data;

    ngx_chat_revocation_user(ngx_chat_http_zone(r)->revocations, ctx->user.id,
                             ctx->auth.session ? ctx->auth.hash : NULL);

    ngx_chat_metrics_add(ngx_chat_http_metrics(r),
                         NGX_CHAT_COUNT_SESSION_LOGOUT, op->ended);

    return NGX_HTTP_NO_CONTENT;
}
