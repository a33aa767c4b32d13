
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_api.h"
#include "ngx_chat_announce.h"
#include "ngx_chat_people.h"
#include "ngx_chat_publish.h"
#include "ngx_chat_message.h"


/* of the token that makes a message's client id unique */
#define NGX_CHAT_MESSAGE_CLIENT_ID_LEN  22


/* of a send */

typedef struct {
    ngx_chat_sql_send_t        op;             /* first: the job */
    ngx_chat_sql_message_t     first;          /* stored by an earlier try */
    ngx_chat_user_t            recipient;
    ngx_uint_t                 status;
    uint64_t                   start;          /* ngx_chat_metrics_now() */
} ngx_chat_message_send_t;


static ngx_int_t ngx_chat_message_create_too_long(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_uint_t max);
static ngx_int_t ngx_chat_message_create_client_id(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_field_t *field, ngx_str_t *client_id);
static ngx_int_t ngx_chat_message_create_store(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_timestamp(ngx_http_request_t *r,
    ngx_str_t *timestamp);
static ngx_int_t ngx_chat_message_create_stored(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_compare(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_publish(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_create_answer(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 * POST message/
 *
 *   create -> (recipient looked up) -> create_store -> create_stored
 *
 *   create_stored --stored--> create_publish -> create_answer: 201
 *       |
 *       +--client id used before--> create_compare --same--> 200, or 201 by
 *                                       |      way of create_publish where it
 *                                       |      was our own lost first try
 *                                       +--other--> 409
 */

ngx_int_t
ngx_chat_message_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_chat_loc_conf_t      *chlcf;
    ngx_chat_message_send_t  *send;

    enum { RECIPIENT, BODY, CLIENT_ID };

    ngx_chat_field_t  fields[] = {
        { ngx_string("recipient"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("body"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("client_id"), NGX_CHAT_FIELD_MISSING, ngx_null_string }
    };

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    rc = ngx_chat_http_fields(r, ctx, fields, 3);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_http_required(r, ctx, fields, 2, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_chat_text_length(&fields[BODY].value) > chlcf->max_message) {
        return ngx_chat_message_create_too_long(r, ctx, chlcf->max_message);
    }

    send = ngx_pcalloc(r->pool, sizeof(ngx_chat_message_send_t));
    if (send == NULL) {
        return NGX_ERROR;
    }

    ctx->data = send;

    send->start = ngx_chat_metrics_now();

    rc = ngx_chat_message_create_client_id(r, ctx, &fields[CLIENT_ID],
                                           &send->op.client_id);
    if (rc != NGX_OK) {
        return rc;
    }

    send->op.message.sender_id = ctx->user.id;
    send->op.message.sender = ctx->user.name;
    send->op.message.recipient = fields[RECIPIENT].value;
    send->op.message.body = fields[BODY].value;

    return ngx_chat_user_find(r, ctx, &send->op.message.recipient,
                              &send->recipient,
                              ngx_chat_message_create_store);
}


static ngx_int_t
ngx_chat_message_create_too_long(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t max)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, 80 + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "Ensure this field has no more than %ui characters.%Z",
                max);

    return ngx_chat_http_invalid(r, ctx, "body", (const char *) p);
}


/* the Idempotency-Key header, the field, or one that nobody else has */

static ngx_int_t
ngx_chat_message_create_client_id(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *field, ngx_str_t *client_id)
{
    u_char  *token;

    if (ngx_chat_http_header(r, "http_idempotency_key", client_id) != NGX_OK)
    {
        if (field->state == NGX_CHAT_FIELD_MISSING
            || field->state == NGX_CHAT_FIELD_NULL)
        {
            token = ngx_pnalloc(r->pool, NGX_CHAT_TOKEN_LEN);

            if (token == NULL || ngx_chat_password_token(token) != NGX_OK) {
                return NGX_ERROR;
            }

            client_id->data = token;
            client_id->len = NGX_CHAT_MESSAGE_CLIENT_ID_LEN;

            return NGX_OK;
        }

        *client_id = field->value;
    }

    if (field->state == NGX_CHAT_FIELD_INVALID
        || ngx_chat_text_client_id(client_id) != NGX_OK)
    {
        return ngx_chat_http_invalid(r, ctx, "client_id",
                                     "1 to 64 printable ASCII characters "
                                     "are required.");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_create_store(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t *send = ctx->data;

    ngx_int_t            rc;
    ngx_chat_message_t  *message;

    message = &send->op.message;

    if (send->recipient.id == 0 || !send->recipient.active) {
        return ngx_chat_http_not_found(r, ctx);
    }

    message->recipient_id = send->recipient.id;
    message->recipient = send->recipient.name;

    if (ngx_chat_message_create_timestamp(r, &message->timestamp) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->write = 1;

    rc = ngx_chat_api_query(r, ctx, &send->op.job, &ngx_chat_sql_send,
                            ngx_chat_message_create_stored);

    if (rc == NGX_AGAIN) {
        ngx_chat_announce_keep(r, ctx, message->sender_id,
                               &send->op.client_id);
    }

    return rc;
}


/* our own, so that the 201 needs no second query */

static ngx_int_t
ngx_chat_message_create_timestamp(ngx_http_request_t *r, ngx_str_t *timestamp)
{
    ngx_tm_t        tm;
    struct timeval  tv;

    timestamp->data = ngx_pnalloc(r->pool, NGX_CHAT_TIMESTAMP_LEN);
    if (timestamp->data == NULL) {
        return NGX_ERROR;
    }

    timestamp->len = NGX_CHAT_TIMESTAMP_LEN;

    ngx_gettimeofday(&tv);
    ngx_gmtime(tv.tv_sec, &tm);

    ngx_sprintf(timestamp->data, "%4d-%02d-%02dT%02d:%02d:%02d.%06dZ",
                tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                (int) tv.tv_usec);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_create_stored(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t *send = ctx->data;

    send->status = NGX_HTTP_CREATED;

    if (send->op.job.rc == NGX_OK) {
        ctx->message_id = send->op.message.id;
        ctx->next = ngx_chat_message_create_publish;
        return NGX_OK;
    }

    /* send->op.job.rc == NGX_DECLINED: it is not stored, not by this job */

    ctx->announced = !send->op.job.repeated;

    if (send->op.job.errcode == NGX_CHAT_SQL_NO_PARENT) {
        return ngx_chat_http_not_found(r, ctx);
    }

    if (send->op.job.errcode != NGX_CHAT_SQL_DUPLICATE) {
        return NGX_ERROR;
    }

    send->first.sender_id = ctx->user.id;
    send->first.client_id = send->op.client_id;

    return ngx_chat_api_query(r, ctx, &send->first.job,
                              &ngx_chat_sql_message_by_client,
                              ngx_chat_message_create_compare);
}


static ngx_int_t
ngx_chat_message_create_compare(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t *send = ctx->data;

    ngx_uint_t           own;
    ngx_chat_message_t  *first, *message;

    if (send->first.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    first = &send->first.message;
    message = &send->op.message;

    if (first->id == 0
        || first->recipient_id != message->recipient_id
        || first->body.len != message->body.len
        || ngx_memcmp(first->body.data, message->body.data,
                      message->body.len) != 0)
    {
        return ngx_chat_http_error(r, ctx, NGX_HTTP_CONFLICT,
                                   "This Idempotency-Key was used for "
                                   "another message.");
    }

    ctx->message_id = first->id;

    /* of an earlier request with this key, or of a first try of this one? */

    own = send->op.job.repeated
          && ngx_memcmp(first->timestamp.data, message->timestamp.data,
                        NGX_CHAT_TIMESTAMP_LEN) == 0;

    *message = *first;

    if (own) {
        ctx->next = ngx_chat_message_create_publish;
        return NGX_OK;
    }

    ctx->announced = 1;
    send->status = NGX_HTTP_OK;
    ctx->next = ngx_chat_message_create_answer;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_create_publish(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t *send = ctx->data;

    ngx_int_t  rc;

    ngx_chat_http_count(r, NGX_CHAT_COUNT_SENT);

    /* the sender has been told by the query */
    ngx_chat_http_event(r, send->op.message.recipient_id);

    ctx->next = ngx_chat_message_create_answer;

    if (ngx_exiting && ctx->unannounced) {

        /* this would reach no socket of the new workers: one of them does it */

        return NGX_OK;
    }

    rc = ngx_chat_publish(r, ctx, &send->op.message);

    return (rc == NGX_DECLINED) ? NGX_OK : rc;
}


static ngx_int_t
ngx_chat_message_create_answer(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_send_t *send = ctx->data;

    if (send->status == NGX_HTTP_CREATED) {
        ngx_chat_metrics_time(&ngx_chat_http_metrics(r)->totals->send,
                              ngx_chat_metrics_now() - send->start);
    }

    return ngx_chat_message_one(r, ctx, send->status, &send->op.message);
}
