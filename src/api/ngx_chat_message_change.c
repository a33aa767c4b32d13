
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_step.h"
#include "src/http/ngx_chat_sweep.h"
#include "src/push/ngx_chat_notify.h"
#include "src/api/ngx_chat_endpoint.h"


/* added to the time-out of a query, ms */
#define NGX_CHAT_MESSAGE_CHANGE_MARGIN  1000


/* state of a change */

typedef struct {
    ngx_chat_query_change_t    op;               /* first: the job */
    ngx_chat_query_message_t   found;            /* the message */
    ngx_chat_query_block_t     block;            /* why it was rejected */
    ngx_chat_field_t           body;             /* of an edit */
    ngx_str_t                  time;
    const ngx_chat_db_type_t  *type;
} ngx_chat_message_change_t;


static ngx_int_t ngx_chat_message_change_find(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, const ngx_chat_db_type_t *type,
    ngx_chat_field_t *body);
static ngx_int_t ngx_chat_message_change_check(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_change_text(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_field_t *body, ngx_chat_message_t *message);
static ngx_int_t ngx_chat_message_change_late(ngx_http_request_t *r,
    ngx_str_t *timestamp);
static ngx_int_t ngx_chat_message_change_submit(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_message_change_submitted(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_message_change_uncache(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_uint_t timeouts);
static ngx_int_t ngx_chat_message_change_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_change_refused(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_change_blocked(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_change_announce(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_message_change_deleted(ngx_http_request_t *r,
    ngx_chat_notify_t *notify, ngx_chat_message_t *message);


/*
 * PATCH message/<id>/ {"body":"..."}, DELETE message/<id>/
 *
 *   edit | delete -> (the message) -> change_check -> change_done
 *
 *   change_done --stored--> change_announce
 *       |
 *       +--not as expected--> change_refused -> change_blocked
 */

ngx_int_t
ngx_chat_message_edit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t  rc;

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("body")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_chat_message_change_find(r, ctx, &ngx_chat_query_change_edit,
                                        &fields[0]);
}


ngx_int_t
ngx_chat_message_delete(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_message_change_find(r, ctx, &ngx_chat_query_change_delete,
                                        NULL);
}


static ngx_int_t
ngx_chat_message_change_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const ngx_chat_db_type_t *type, ngx_chat_field_t *body)
{
    ngx_chat_message_change_t  *change;

    change = ngx_pcalloc(r->pool, sizeof(ngx_chat_message_change_t));
    if (change == NULL) {
        return NGX_ERROR;
    }

    ctx->message_id = ctx->id;
    ctx->data = change;

    if (body) {
        change->body = *body;
    }

    change->type = type;
    change->found.id = ctx->id;
    change->found.user_id = ctx->user.id;

    return ngx_chat_step_query(r, ctx, &change->found.job,
                               &ngx_chat_query_message_get,
                               ngx_chat_message_change_check);
}


static ngx_int_t
ngx_chat_message_change_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_change_t  *change = ctx->data;

    ngx_int_t            rc;
    ngx_chat_message_t  *message;

    message = &change->found.message;

    if (message->id == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    if (message->sender_id != ctx->user.id) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                   "Only the sender can change a message.");
    }

    if (change->type != &ngx_chat_query_change_edit) {

        if (message->files.len) {
            change->type = &ngx_chat_query_change_delete_files;
        }

    } else {
        rc = ngx_chat_message_change_text(r, ctx, &change->body, message);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_chat_message_change_late(r, &message->timestamp);

    if (rc == NGX_DECLINED) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                   "This message can no longer be changed.");
    }

    return (rc == NGX_OK) ? ngx_chat_message_change_submit(r, ctx) : rc;
}


/* an identical text is accepted at any time, so that an edit can be repeated */

static ngx_int_t
ngx_chat_message_change_text(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *body, ngx_chat_message_t *message)
{
    ngx_int_t  rc;

    if (!message->files.len || !ngx_chat_message_blank(body)) {
        rc = ngx_chat_request_required(r, ctx, body, 1, 0);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_chat_message_length(r, ctx, &body->value);
    if (rc != NGX_OK) {
        return rc;
    }

    if (body->value.len == message->body.len
        && ngx_memcmp(body->value.data, message->body.data, message->body.len)
           == 0)
    {
        return ngx_chat_message_one(r, ctx, NGX_HTTP_OK, message);
    }

    return NGX_OK;
}


/* returns NGX_DECLINED if the change is too late; times are compared as text */

static ngx_int_t
ngx_chat_message_change_late(ngx_http_request_t *r, ngx_str_t *timestamp)
{
    ngx_str_t             earliest;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->change_window == 0) {
        return NGX_DECLINED;
    }

    if (chlcf->change_window >= ngx_time()) {
        return NGX_OK;
    }

    if (ngx_chat_message_time(r, chlcf->change_window, &earliest) != NGX_OK) {
        return NGX_ERROR;
    }

    return (ngx_memcmp(timestamp->data, earliest.data, NGX_CHAT_TIMESTAMP_LEN)
            < 0)
           ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_chat_message_change_submit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_change_t  *change = ctx->data;

    ngx_chat_message_t  *message;

    if (ngx_chat_message_time(r, 0, &change->time) != NGX_OK) {
        return NGX_ERROR;
    }

    message = &change->found.message;

    change->op.id = message->id;
    change->op.sender_id = message->sender_id;
    change->op.recipient_id = message->recipient_id;
    change->op.lo_id = ngx_min(message->sender_id, message->recipient_id);
    change->op.hi_id = ngx_max(message->sender_id, message->recipient_id);
    change->op.time.data = change->time.data;
    change->op.time.len = NGX_CHAT_TIMESTAMP_LEN - 1;
    change->op.body = change->body.value;

    ctx->write = 1;
    ctx->step.submitted = ngx_chat_message_change_submitted;

    return ngx_chat_step_query(r, ctx, &change->op.job, change->type,
                               ngx_chat_message_change_done);
}


/* until the outcome is known, or would be if the worker did not crash */

static void
ngx_chat_message_change_submitted(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_change_t  *change = ctx->data;

    ngx_chat_message_changing(r, ctx, change->op.sender_id,
                              change->op.recipient_id);

    ngx_chat_message_change_uncache(r, ctx, 2);
}


/* "timeouts": of this query, if it is in progress, and of earlier reads */

static void
ngx_chat_message_change_uncache(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t timeouts)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    ngx_chat_cache_message_changed(ngx_chat_http_zone(r)->cache, ctx->id,
                                   timeouts * chmcf->db.timeout
                                   + NGX_CHAT_MESSAGE_CHANGE_MARGIN);
}


static ngx_int_t
ngx_chat_message_change_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_change_t  *change = ctx->data;

    ngx_chat_message_change_uncache(r, ctx, 1);

    if (change->op.job.rc == NGX_OK) {
        ngx_chat_message_changed(ctx);

        /* the query has checked the sender */
        ngx_chat_http_write(r, change->op.recipient_id);

        ctx->next = ngx_chat_message_change_announce;
        return NGX_OK;
    }

    /* change->op.job.rc == NGX_DECLINED: not stored by this job */

    switch (change->op.job.errcode) {

    case NGX_CHAT_QUERY_OLD_SCHEMA:
        return ngx_chat_response_unavailable(r, ctx);

    case NGX_CHAT_QUERY_NO_PARENT:
    case NGX_CHAT_QUERY_NO_SENDER:
        return ngx_chat_step_query(r, ctx, &change->found.job,
                                   &ngx_chat_query_message_get,
                                   ngx_chat_message_change_refused);

    default:
        return NGX_ERROR;
    }
}


/*
 * Another request has deleted the message, the user is disabled, or one has
 * blocked the other.
 */

static ngx_int_t
ngx_chat_message_change_refused(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_change_t  *change = ctx->data;

    if (change->found.message.id) {
        return ngx_chat_block_get(r, ctx, change->op.recipient_id,
                                  &change->block,
                                  ngx_chat_message_change_blocked);
    }

    if (change->type != &ngx_chat_query_change_edit
        && change->op.job.repeated)
    {
        /* deleted by an earlier attempt, or another request of the sender */

        return NGX_HTTP_NO_CONTENT;
    }

    return ngx_chat_response_not_found(r, ctx);
}


static ngx_int_t
ngx_chat_message_change_blocked(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_change_t  *change = ctx->data;

    ngx_int_t  rc;

    rc = ngx_chat_block_refused(r, ctx, &change->block);

    /* the block, or the state of the sender, has changed meanwhile */

    return (rc == NGX_DECLINED) ? ngx_chat_response_unavailable(r, ctx) : rc;
}


/*
 * The change is stored.  Sockets for events are notified; sockets for hints
 * receive new messages only.  Other clients find changes when they catch up.
 */

static ngx_int_t
ngx_chat_message_change_announce(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_change_t  *change = ctx->data;

    ngx_int_t             rc;
    ngx_chat_message_t   *message;
    ngx_chat_notify_t    *notify;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    notify = chlcf->publish.len ? ngx_chat_http_worker(r)->notify : NULL;
    message = &change->found.message;

    if (change->type != &ngx_chat_query_change_edit) {
        ngx_chat_message_change_deleted(r, notify, message);

        if (message->files.len) {
            ngx_chat_sweep_begin(ngx_chat_http_worker(r)->sweep);
        }

        return NGX_HTTP_NO_CONTENT;
    }

    message->body = change->body.value;
    message->edited = change->time;

    rc = ngx_chat_message_one(r, ctx, NGX_HTTP_OK, message);

    if (rc == NGX_HTTP_OK) {
        ngx_chat_notify_message(notify, NGX_CHAT_RECORD_EDITED, message,
                                &ctx->response.body);
    }

    return rc;
}


/* {"type":"deleted","message_id":4711,"user":"alice","recipient":"bob"} */

static void
ngx_chat_message_change_deleted(ngx_http_request_t *r,
    ngx_chat_notify_t *notify, ngx_chat_message_t *message)
{
    ngx_str_t         event;
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "type");
    ngx_chat_json_text(json, "deleted");
    ngx_chat_json_key(json, "message_id");
    ngx_chat_json_number(json, message->id);
    ngx_chat_json_key(json, "user");
    ngx_chat_json_string(json, &message->sender);
    ngx_chat_json_key(json, "recipient");
    ngx_chat_json_string(json, &message->recipient);
    ngx_chat_json_end(json);

    if (ngx_chat_json_done(json, &event) == NGX_OK) {
        ngx_chat_notify_event(notify, NGX_CHAT_RECORD_EVENT,
                              message->sender_id,
                              message->recipient_id, &event);
    }
}
