
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/api/ngx_chat_endpoint.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/push/ngx_chat_notify.h"


typedef struct {
    ngx_chat_query_read_t           op;        /* first member */
    ngx_chat_user_t                 peer;
} ngx_chat_conversation_read_t;


typedef struct {
    ngx_chat_query_block_t          block;     /* first member */
    ngx_chat_user_t                 peer;
    ngx_uint_t                      revision;  /* of the blocks in the zone */
} ngx_chat_conversation_typing_t;


static ngx_int_t ngx_chat_conversation_list_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_conversation_read_mark(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_conversation_read_event(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_conversation_read_t *read);
static ngx_int_t ngx_chat_conversation_read_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_conversation_typing_check(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_conversation_typing_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_conversation_typing_event(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* GET conversation/?limit=N&before=CURSOR: the inbox */

ngx_int_t
ngx_chat_conversation_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                        rc;
    ngx_chat_query_conversations_t  *op;

    enum { BEFORE, LIMIT };

    ngx_chat_field_t  args[] = {
        ngx_chat_field("before"),
        ngx_chat_field("limit")
    };

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_conversations_t));
    if (op == NULL || ngx_chat_request_args(r, args, 2) != NGX_OK) {
        return NGX_ERROR;
    }

    op->user_id = ctx->user.id;
    op->user = ctx->user.name;
    ctx->data = op;

    rc = ngx_chat_request_limit(r, ctx, &args[LIMIT], &op->limit);
    if (rc != NGX_OK) {
        return rc;
    }

    if (args[BEFORE].state != NGX_CHAT_FIELD_MISSING
        && ngx_chat_string_id(&args[BEFORE].value, &op->before) != NGX_OK)
    {
        return ngx_chat_response_invalid(r, ctx, "before",
                                         "A valid cursor is required.");
    }

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_conversations,
                               ngx_chat_conversation_list_done);
}


static ngx_int_t
ngx_chat_conversation_list_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_conversations_t  *op = ctx->data;

    ngx_uint_t                i;
    ngx_chat_json_t          *json;
    ngx_chat_conversation_t  *conv, *last;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "results");
    ngx_chat_json_array(json);

    conv = op->conversations ? op->conversations->elts : NULL;
    last = NULL;

    for (i = 0; conv && i < op->conversations->nelts; i++) {
        last = &conv[i];

        ngx_chat_json_object(json);
        ngx_chat_json_key(json, "user");
        ngx_chat_json_string(json, &last->peer);
        ngx_chat_json_key(json, "unread");
        ngx_chat_json_number(json, last->unread);
        ngx_chat_json_key(json, "last_message");
        ngx_chat_json_message(json, &last->last, ngx_chat_http_base(r));
        ngx_chat_json_key(json, "read_id");
        ngx_chat_json_number(json, last->read_id);
        ngx_chat_json_key(json, "peer_read_id");
        ngx_chat_json_number(json, last->peer_read_id);
        ngx_chat_user_profile(r, json, last->peer_id, &last->profile);
        ngx_chat_json_end(json);
    }

    ngx_chat_json_end(json);

    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, op->has_more);
    ngx_chat_json_key(json, "cursor");

    if (last) {
        ngx_chat_json_id(json, last->last.id);

    } else {
        ngx_chat_json_null(json);
    }

    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/*
 * POST conversation/<name>/read/ {"id":N}
 *
 *   read -> (peer looked up) -> read_mark -> read_done
 *                                   ^            |
 *                                   +---more-----+
 */

ngx_int_t
ngx_chat_conversation_read(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_chat_conversation_read_t  *read;

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("id")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_request_required(r, ctx, fields, 1, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    read = ngx_pcalloc(r->pool, sizeof(ngx_chat_conversation_read_t));
    if (read == NULL) {
        return NGX_ERROR;
    }

    if (ngx_chat_string_id(&fields[0].value, &read->op.id) != NGX_OK) {
        return ngx_chat_response_invalid(r, ctx, "id",
                                         "A valid message id is required.");
    }

    ctx->data = read;

    return ngx_chat_user_find(r, ctx, &ctx->name, 0, &read->peer,
                              ngx_chat_conversation_read_mark);
}


static ngx_int_t
ngx_chat_conversation_read_mark(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_read_t  *read = ctx->data;

    if (read->peer.id == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    read->op.user_id = ctx->user.id;
    read->op.peer_id = read->peer.id;

    return ngx_chat_step_query(r, ctx, &read->op.job, &ngx_chat_query_read,
                               ngx_chat_conversation_read_done);
}


/* {"type":"read","reader":"alice","sender":"bob","id":4711} */

static void
ngx_chat_conversation_read_event(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_conversation_read_t *read)
{
    ngx_str_t         event;
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "type");
    ngx_chat_json_text(json, "read");
    ngx_chat_json_key(json, "reader");
    ngx_chat_json_string(json, &ctx->user.name);
    ngx_chat_json_key(json, "sender");
    ngx_chat_json_string(json, &read->peer.name);
    ngx_chat_json_key(json, "id");
    ngx_chat_json_number(json, read->op.read_id);
    ngx_chat_json_end(json);

    if (ngx_chat_json_done(json, &event) == NGX_OK) {
        ngx_chat_notify_event(ngx_chat_http_worker(r)->notify,
                              NGX_CHAT_RECORD_EVENT, ctx->user.id,
                              read->peer.id, &event);
    }
}


static ngx_int_t
ngx_chat_conversation_read_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_read_t  *read = ctx->data;

    ngx_chat_json_t  *json;

    /* the user was disabled or erased after the session check */

    if (!read->op.active) {
        return ngx_chat_response_forbidden(r, ctx);
    }

    if (read->op.has_more) {
        return ngx_chat_conversation_read_mark(r, ctx);
    }

    if (read->op.read_id) {
        ngx_chat_conversation_read_event(r, ctx, read);
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "unread");
    ngx_chat_json_number(json, read->op.unread);
    ngx_chat_json_key(json, "read_id");
    ngx_chat_json_number(json, read->op.read_id);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/*
 * POST conversation/<name>/typing/; the body is ignored
 *
 *   typing -> (peer looked up) -> typing_check --+--blocks in the zone---+
 *                                                |                       |
 *                                                +-> typing_done --------+
 *                                                                        |
 *                                                        typing_event <--+
 */

ngx_int_t
ngx_chat_conversation_typing(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_typing_t  *typing;

    typing = ngx_pcalloc(r->pool, sizeof(ngx_chat_conversation_typing_t));
    if (typing == NULL) {
        return NGX_ERROR;
    }

    ctx->data = typing;

    return ngx_chat_user_find(r, ctx, &ctx->name, 1, &typing->peer,
                              ngx_chat_conversation_typing_check);
}


static ngx_int_t
ngx_chat_conversation_typing_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_typing_t *typing = ctx->data;

    uint32_t                peer_id;
    ngx_chat_loc_conf_t    *chlcf;
    const ngx_chat_zone_t  *zone;

    peer_id = typing->peer.id;

    if (peer_id == 0 || !typing->peer.active) {
        return ngx_chat_response_not_found(r, ctx);
    }

    zone = ngx_chat_http_zone(r);

    if (peer_id == ctx->user.id
        || ngx_chat_typing(zone->typing, ctx->user.id, peer_id) != NGX_OK)
    {
        return NGX_HTTP_NO_CONTENT;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (ngx_chat_block_zone_get(zone->blocks, ngx_min(ctx->user.id, peer_id),
                                ngx_max(ctx->user.id, peer_id),
                                chlcf->session_check, &typing->block.blocks)
        == NGX_OK)
    {
        return ngx_chat_conversation_typing_event(r, ctx);
    }

    typing->revision = ngx_chat_block_zone_revision(zone->blocks);

    return ngx_chat_block_get(r, ctx, peer_id, &typing->block,
                              ngx_chat_conversation_typing_done);
}


static ngx_int_t
ngx_chat_conversation_typing_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_typing_t *typing = ctx->data;

    ngx_chat_query_block_t  *block;

    block = &typing->block;

    if (!block->active) {
        return ngx_chat_response_forbidden(r, ctx);
    }

    ngx_chat_block_zone_set(ngx_chat_http_zone(r)->blocks, block->lo_id,
                            block->hi_id, block->blocks, typing->revision);

    return ngx_chat_conversation_typing_event(r, ctx);
}


/* {"type":"typing","user":"alice"} */

static ngx_int_t
ngx_chat_conversation_typing_event(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_typing_t *typing = ctx->data;

    ngx_str_t         event;
    ngx_chat_json_t  *json;

    if (typing->block.blocks) {
        return NGX_HTTP_NO_CONTENT;
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "type");
    ngx_chat_json_text(json, "typing");
    ngx_chat_json_key(json, "user");
    ngx_chat_json_string(json, &ctx->user.name);
    ngx_chat_json_end(json);

    if (ngx_chat_json_done(json, &event) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_notify_event(ngx_chat_http_worker(r)->notify,
                          NGX_CHAT_RECORD_TRANSIENT, 0, typing->peer.id,
                          &event);

    return NGX_HTTP_NO_CONTENT;
}
