
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/query/ngx_chat_query_file.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/push/ngx_chat_notify.h"
#include "src/push/ngx_chat_outbox.h"
#include "src/api/ngx_chat_endpoint.h"


/* length of a generated client id, characters */
#define NGX_CHAT_MESSAGE_CLIENT_ID_LEN  22


/* state of a send */

typedef struct {
    ngx_chat_query_send_t      op;             /* first member */
    ngx_chat_query_message_t   first;          /* query of the message with the
                                                  same client id */
    ngx_chat_query_block_t     block;          /* cause of a rejection */
    ngx_chat_query_file_t      files;          /* query of the files */
    ngx_chat_user_t            recipient;
    uint64_t                   start;          /* ngx_chat_metrics_now() */
    unsigned                   reply:1;        /* to message.reply_to */
    unsigned                   again:1;        /* submitted twice */
    unsigned                   missing:1;      /* a file was not found */
} ngx_chat_message_send_t;


static ngx_int_t ngx_chat_message_create_text(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_field_t *fields, ngx_uint_t nfiles);
static ngx_int_t ngx_chat_message_create_client_id(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_field_t *field, ngx_str_t *client_id);
static ngx_int_t ngx_chat_message_create_store(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_reply(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_rejected(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_files(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_found(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_no_file(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_submit(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_message_create_submitted(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_stored(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_blocked(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_find(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_step_pt next);
static ngx_int_t ngx_chat_message_create_compare(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_notify(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_repeated(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 * POST message/
 *
 *   create -> (recipient looked up) -> create_store [-> create_reply]
 *     [-> create_files -> create_found] -> create_stored
 *
 *   create_reply and create_found --no such message or file-->
 *     create_rejected: 400, or create_compare
 *
 *   create_stored --stored--> create_notify: 201
 *       |
 *       +--rejected--> create_blocked: 403, or once more create_submit
 *       |
 *       +--client id used before--> create_compare --another message--> 409
 *                                       |
 *                                       +--stored by this request, in an
 *                                       |  attempt whose outcome was unknown
 *                                       |    -> create_notify: 201
 *                                       |
 *                                       +--the same message
 *                                            -> create_repeated: 200
 */

ngx_int_t
ngx_chat_message_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_chat_message_send_t  *send;

    enum { RECIPIENT, BODY, CLIENT_ID, REPLY_TO, FILES };

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("recipient"),
        ngx_chat_field("body"),
        ngx_chat_field("client_id"),
        ngx_chat_field("reply_to"),
        ngx_chat_field("files")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 5);
    if (rc != NGX_OK) {
        return rc;
    }

    send = ngx_pcalloc(r->pool, sizeof(ngx_chat_message_send_t));
    if (send == NULL) {
        return NGX_ERROR;
    }

    ctx->data = send;

    rc = ngx_chat_message_files(r->pool, &fields[FILES], &send->op.tokens,
                                &send->op.nfiles);
    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? ngx_chat_message_create_no_file(r, ctx)
                                    : NGX_ERROR;
    }

    rc = ngx_chat_message_create_text(r, ctx, &fields[RECIPIENT],
                                      send->op.nfiles);
    if (rc != NGX_OK) {
        return rc;
    }

    send->start = ngx_chat_metrics_now();

    rc = ngx_chat_message_create_client_id(r, ctx, &fields[CLIENT_ID],
                                           &send->op.client_id);
    if (rc != NGX_OK) {
        return rc;
    }

    if (fields[REPLY_TO].state != NGX_CHAT_FIELD_MISSING
        && fields[REPLY_TO].state != NGX_CHAT_FIELD_NULL)
    {
        /* an invalid id is handled as an id that does not exist */

        send->reply = 1;
        (void) ngx_chat_string_id(&fields[REPLY_TO].value,
                                  &send->op.message.reply_to);
    }

    send->op.message.sender_id = ctx->user.id;
    send->op.message.sender = ctx->user.name;
    send->op.message.recipient = fields[RECIPIENT].value;
    send->op.message.body = fields[BODY].value;

    return ngx_chat_user_find(r, ctx, &send->op.message.recipient, 1,
                              &send->recipient,
                              ngx_chat_message_create_store);
}


/* checks the recipient and the text, which is optional with files */

static ngx_int_t
ngx_chat_message_create_text(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t nfiles)
{
    ngx_int_t          rc;
    ngx_uint_t         n;
    ngx_chat_field_t  *body;

    body = &fields[1];

    n = (nfiles && ngx_chat_message_blank(body)) ? 1 : 2;

    rc = ngx_chat_request_required(r, ctx, fields, n,
                                   NGX_CHAT_REQUEST_FIELD_NAME(0));
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_chat_message_length(r, ctx, &body->value);
}


/* the Idempotency-Key header, the field, or a generated unique id */

static ngx_int_t
ngx_chat_message_create_client_id(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *field, ngx_str_t *client_id)
{
    u_char  *token;

    if (ngx_chat_request_header(r, "http_idempotency_key", client_id) != NGX_OK)
    {
        if (field->state == NGX_CHAT_FIELD_MISSING
            || field->state == NGX_CHAT_FIELD_NULL)
        {
            token = ngx_pnalloc(r->pool, NGX_CHAT_TOKEN_LEN);

            if (token == NULL || ngx_chat_token_create(token) != NGX_OK) {
                return NGX_ERROR;
            }

            client_id->data = token;
            client_id->len = NGX_CHAT_MESSAGE_CLIENT_ID_LEN;

            return NGX_OK;
        }

        *client_id = field->value;
    }

    if (field->state == NGX_CHAT_FIELD_INVALID
        || ngx_chat_string_client_id(client_id) != NGX_OK)
    {
        return ngx_chat_response_invalid(r, ctx, "client_id",
                                         "1 to 64 printable ASCII characters "
                                         "are required.");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_create_store(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    ngx_chat_message_t  *message;

    message = &send->op.message;

    if (send->recipient.id == 0 || !send->recipient.active) {
        return ngx_chat_response_not_found(r, ctx);
    }

    message->recipient_id = send->recipient.id;
    message->recipient = send->recipient.name;

    if (send->reply) {
        send->first.id = message->reply_to;
        send->first.user_id = ctx->user.id;

        return ngx_chat_step_query(r, ctx, &send->first.job,
                                   &ngx_chat_query_message_get,
                                   ngx_chat_message_create_reply);
    }

    return ngx_chat_message_create_files(r, ctx);
}


/* the message that is replied to was looked up */

static ngx_int_t
ngx_chat_message_create_reply(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    ngx_chat_message_t  *target, *message;

    target = &send->first.message;
    message = &send->op.message;

    if (target->id
        && ((target->sender_id == message->sender_id
             && target->recipient_id == message->recipient_id)
            || (target->sender_id == message->recipient_id
                && target->recipient_id == message->sender_id)))
    {
        return ngx_chat_message_create_files(r, ctx);
    }

    /* a repeated send succeeds, even if it replies to a deleted message */

    return ngx_chat_message_create_find(r, ctx,
                                        ngx_chat_message_create_rejected);
}


static ngx_int_t
ngx_chat_message_create_rejected(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    if (send->first.message.id) {
        ctx->next = ngx_chat_message_create_compare;
        return NGX_OK;
    }

    if (send->missing) {
        return ngx_chat_message_create_no_file(r, ctx);
    }

    return ngx_chat_response_invalid(r, ctx, "reply_to",
                                 "No such message in this conversation.");
}


/* looks up the files */

static ngx_int_t
ngx_chat_message_create_files(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    if (send->op.nfiles == 0) {
        return ngx_chat_message_create_submit(r, ctx);
    }

    send->files.user_id = ctx->user.id;
    send->files.tokens = send->op.tokens;
    send->files.n = send->op.nfiles;

    return ngx_chat_step_query(r, ctx, &send->files.job,
                               &ngx_chat_query_file_find,
                               ngx_chat_message_create_found);
}


static ngx_int_t
ngx_chat_message_create_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    ngx_int_t  rc;

    rc = NGX_DECLINED;

    if (send->files.files) {
        rc = ngx_chat_message_files_store(r->pool, send->op.tokens,
                                          send->op.nfiles, send->files.files,
                                          &send->op.message.files);
    }

    if (rc == NGX_OK) {
        return ngx_chat_message_create_submit(r, ctx);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* a repeated send succeeds, although its files are sent */

    send->missing = 1;

    return ngx_chat_message_create_find(r, ctx,
                                        ngx_chat_message_create_rejected);
}


static ngx_int_t
ngx_chat_message_create_no_file(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_response_invalid(r, ctx, "files", "No such file.");
}


static ngx_int_t
ngx_chat_message_create_submit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    /* set by the worker, so that the response needs no second query */

    if (ngx_chat_message_time(r, 0, &send->op.message.timestamp) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->write = 1;
    ctx->step.submitted = send->again ? NULL
                                      : ngx_chat_message_create_submitted;

    return ngx_chat_step_query(r, ctx, &send->op.job,
                               send->op.nfiles ? &ngx_chat_query_send_files
                                               : &ngx_chat_query_send,
                               ngx_chat_message_create_stored);
}


/* called when the query is in the queue, and may be sent */

static void
ngx_chat_message_create_submitted(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    ngx_chat_message_changing(r, ctx, send->op.message.sender_id,
                              send->op.message.recipient_id);

    ngx_chat_outbox_keep(r, ctx, send->op.message.sender_id,
                         &send->op.client_id);
}


static ngx_int_t
ngx_chat_message_create_stored(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    if (send->op.job.rc == NGX_OK) {
        ngx_chat_message_changed(ctx);

        ctx->message_id = send->op.message.id;
        ctx->next = ngx_chat_message_create_notify;
        return NGX_OK;
    }

    /* send->op.job.rc == NGX_DECLINED: not stored by this job */

    ctx->push.notified = !send->op.job.repeated;

    if (send->op.job.errcode == NGX_CHAT_QUERY_NO_PARENT) {
        return ngx_chat_response_not_found(r, ctx);
    }

    if (send->op.job.errcode == NGX_CHAT_QUERY_NO_SENDER) {
        return ngx_chat_block_get(r, ctx, send->op.message.recipient_id,
                                  &send->block,
                                  ngx_chat_message_create_blocked);
    }

    if (send->op.job.errcode == NGX_CHAT_QUERY_OLD_SCHEMA) {
        return ngx_chat_response_unavailable(r, ctx);
    }

    if (send->op.job.errcode != NGX_CHAT_QUERY_DUPLICATE) {
        return NGX_ERROR;
    }

    return ngx_chat_message_create_find(r, ctx,
                                        ngx_chat_message_create_compare);
}


/* the sender is inactive, or a user has blocked the other one */

static ngx_int_t
ngx_chat_message_create_blocked(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    ngx_int_t  rc;

    rc = ngx_chat_block_refused(r, ctx, &send->block);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    /* the block, or the state of the sender, has changed meanwhile */

    if (send->again) {
        return ngx_chat_response_unavailable(r, ctx);
    }

    send->again = 1;
    ctx->push.notified = 0;

    return ngx_chat_message_create_files(r, ctx);
}


/* looks up the message with the client id */

static ngx_int_t
ngx_chat_message_create_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_step_pt next)
{
    ngx_chat_message_send_t  *send = ctx->data;

    send->first.sender_id = ctx->user.id;
    send->first.client_id = send->op.client_id;
    send->first.body = send->op.message.body;

    return ngx_chat_step_query(r, ctx, &send->first.job,
                               &ngx_chat_query_message_by_client, next);
}


static ngx_int_t
ngx_chat_message_create_compare(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    ngx_uint_t           own, same;
    ngx_chat_message_t  *first, *message;

    first = &send->first.message;
    message = &send->op.message;

    /* the text may have been edited since; that of a deleted message is "" */

    same = send->first.edited
           || (first->edited.len == 0
               && first->body.len == message->body.len
               && ngx_memcmp(first->body.data, message->body.data,
                             message->body.len) == 0);

    if (first->id == 0
        || first->recipient_id != message->recipient_id
        || first->reply_to != message->reply_to
        || !ngx_chat_message_files_same(&first->files, send->op.tokens,
                                        send->op.nfiles)
        || !same)
    {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_CONFLICT,
                                       "This Idempotency-Key was used for "
                                       "another message.");
    }

    ctx->message_id = first->id;

    /* stored by an earlier request with this key, or attempt of this one */

    own = send->op.job.repeated
          && ngx_memcmp(first->timestamp.data, message->timestamp.data,
                        NGX_CHAT_TIMESTAMP_LEN) == 0;

    *message = *first;

    if (own) {
        ctx->next = ngx_chat_message_create_notify;
        return NGX_OK;
    }

    ctx->push.notified = 1;
    ctx->next = ngx_chat_message_create_repeated;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_create_notify(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    ngx_int_t              rc;
    ngx_chat_loc_conf_t   *chlcf;
    ngx_chat_main_conf_t  *chmcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    ngx_chat_http_count(r, NGX_CHAT_COUNT_SENT);

    /* the query has checked the sender */
    ngx_chat_http_write(r, send->op.message.recipient_id);

    /* the zone has the message before other workers read of it */

    rc = ngx_chat_message_one(r, ctx, NGX_HTTP_CREATED, &send->op.message);

    if (chlcf->publish.len) {
        ngx_chat_notify_message(chmcf->worker->notify, NGX_CHAT_RECORD_MESSAGE,
                                &send->op.message,
                                rc == NGX_HTTP_CREATED ? &ctx->response.body
                                                       : NULL);
    }

    ctx->push.notified = 1;

    ngx_chat_metrics_time(&ngx_chat_http_metrics(r)->totals->send,
                          ngx_chat_metrics_now() - send->start);

    return rc;
}


static ngx_int_t
ngx_chat_message_create_repeated(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t  *send = ctx->data;

    return ngx_chat_message_one(r, ctx, NGX_HTTP_OK, &send->op.message);
}
