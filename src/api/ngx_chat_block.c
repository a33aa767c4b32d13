
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_step.h"
#include "src/api/ngx_chat_endpoint.h"


/* state of a change */

typedef struct {
    ngx_chat_query_block_t      op;           /* first member */
    ngx_chat_user_t             peer;
    ngx_str_t                   time;
    const ngx_chat_db_type_t   *type;
} ngx_chat_block_change_t;


static ngx_int_t ngx_chat_block_find(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, const ngx_chat_db_type_t *type);
static ngx_int_t ngx_chat_block_submit(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_block_submitted(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_block_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_block_pair(ngx_chat_query_block_t *op,
    uint32_t blocker_id, uint32_t blocked_id);


/* GET block/: the users that the user has blocked */

ngx_int_t
ngx_chat_block_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_step_list(r, ctx, &ngx_chat_query_block_list);
}


/*
 * PUT block/<name>/, DELETE block/<name>/
 *
 *   add | remove -> (peer looked up) -> submit -> done
 */

ngx_int_t
ngx_chat_block_add(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_block_find(r, ctx, &ngx_chat_query_block_add);
}


ngx_int_t
ngx_chat_block_remove(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_block_find(r, ctx, &ngx_chat_query_block_remove);
}


static ngx_int_t
ngx_chat_block_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const ngx_chat_db_type_t *type)
{
    ngx_chat_block_change_t  *change;

    change = ngx_pcalloc(r->pool, sizeof(ngx_chat_block_change_t));
    if (change == NULL) {
        return NGX_ERROR;
    }

    ctx->data = change;
    change->type = type;

    return ngx_chat_user_find(r, ctx, &ctx->name, 0, &change->peer,
                              ngx_chat_block_submit);
}


static ngx_int_t
ngx_chat_block_submit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_block_change_t  *change = ctx->data;

    if (change->peer.id == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    if (change->peer.id == ctx->user.id) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                       "You cannot block yourself.");
    }

    if (ngx_chat_message_time(r, 0, &change->time) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_block_pair(&change->op, ctx->user.id, change->peer.id);

    change->op.time.data = change->time.data;
    change->op.time.len = NGX_CHAT_TIMESTAMP_LEN - 1;

    ctx->write = 1;
    ctx->step.submitted = ngx_chat_block_submitted;

    return ngx_chat_step_query(r, ctx, &change->op.job, change->type,
                               ngx_chat_block_done);
}


/* reads that begin before the outcome is known are not stored in the zone */

static void
ngx_chat_block_submitted(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_block_zone_changed(ngx_chat_http_zone(r)->blocks);
}


static ngx_int_t
ngx_chat_block_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_block_change_t  *change = ctx->data;

    ngx_chat_block_zone_changed(ngx_chat_http_zone(r)->blocks);

    if (change->op.job.rc == NGX_OK) {
        return NGX_HTTP_NO_CONTENT;
    }

    /* change->op.job.rc == NGX_DECLINED */

    switch (change->op.job.errcode) {

    case NGX_CHAT_QUERY_DUPLICATE:
        /* blocked already */
        return NGX_HTTP_NO_CONTENT;

    case NGX_CHAT_QUERY_OLD_SCHEMA:
        return ngx_chat_response_unavailable(r, ctx);

    case NGX_CHAT_QUERY_NO_PARENT:
        return ngx_chat_response_not_found(r, ctx);

    case NGX_CHAT_QUERY_NO_SENDER:
        /* the user was disabled or erased after the session check */
        return ngx_chat_response_forbidden(r, ctx);

    default:
        return NGX_ERROR;
    }
}


ngx_int_t
ngx_chat_block_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t peer_id, ngx_chat_query_block_t *op, ngx_chat_step_pt next)
{
    ngx_chat_block_pair(op, ctx->user.id, peer_id);

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_block_get,
                               next);
}


ngx_int_t
ngx_chat_block_refused(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_query_block_t *op)
{
    if (!op->active) {
        return ngx_chat_response_forbidden(r, ctx);
    }

    if (op->blocks & op->bit) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                       "You have blocked this person.");
    }

    if (op->blocks) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                       "This person does not accept messages "
                                       "from you.");
    }

    return NGX_DECLINED;
}


static void
ngx_chat_block_pair(ngx_chat_query_block_t *op, uint32_t blocker_id,
    uint32_t blocked_id)
{
    op->blocker_id = blocker_id;
    op->blocked_id = blocked_id;
    op->lo_id = ngx_min(blocker_id, blocked_id);
    op->hi_id = ngx_max(blocker_id, blocked_id);
    op->bit = ngx_chat_block_bit(blocker_id, blocked_id);
}
