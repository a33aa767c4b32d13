
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/api/ngx_chat_endpoint.h"


/* users whose messages a request may change */

typedef struct {
    ngx_chat_changed_t        *changed;
    uint32_t                   sender_id;
    uint32_t                   recipient_id;
} ngx_chat_message_changing_t;


static void ngx_chat_message_changing_end(void *data);
static ngx_int_t ngx_chat_message_get_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 * GET message/<id>/
 *
 *   get -> (zone: answered) -> get_done
 */

ngx_int_t
ngx_chat_message_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_chat_query_message_t  *op;

    ctx->message_id = ctx->id;

    rc = ngx_chat_cache_message_get(ngx_chat_message_cache(r), ctx->id,
                                    ctx->user.id, r->pool, &ctx->response.body);

    if (rc == NGX_OK) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_MESSAGE_HIT);
        ngx_chat_http_write(r, ctx->user.id);
        return NGX_HTTP_OK;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* rc == NGX_DECLINED */

    ngx_chat_http_count(r, NGX_CHAT_COUNT_MESSAGE_MISS);

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_message_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->id = ctx->id;
    op->user_id = ctx->user.id;
    ctx->data = op;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_message_get,
                               ngx_chat_message_get_done);
}


static ngx_int_t
ngx_chat_message_get_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_message_t  *op = ctx->data;

    if (op->message.id == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    return ngx_chat_message_one(r, ctx, NGX_HTTP_OK, &op->message);
}


ngx_int_t
ngx_chat_message_one(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_message_t *message)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_message(json, message, ngx_chat_http_base(r));

    if (ngx_chat_json_done(json, &ctx->response.body) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_cache_message_put(ngx_chat_message_cache(r), message->id,
                               message->sender_id, message->recipient_id,
                               &ctx->response.body);

    return status;
}


/* another host may change a message, and does not know this zone */

ngx_chat_cache_t *
ngx_chat_message_cache(ngx_http_request_t *r)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    return chmcf->several ? NULL : ngx_chat_http_zone(r)->cache;
}


ngx_uint_t
ngx_chat_message_blank(ngx_chat_field_t *body)
{
    ngx_str_t  value;

    if (body->state == NGX_CHAT_FIELD_MISSING
        || body->state == NGX_CHAT_FIELD_NULL)
    {
        ngx_str_set(&body->value, "");
        return 1;
    }

    if (body->state != NGX_CHAT_FIELD_TEXT) {
        return 0;
    }

    value = body->value;
    ngx_chat_string_trim(&value);

    if (value.len && !ngx_chat_unicode_blank(&value)) {
        return 0;
    }

    ngx_str_set(&body->value, "");

    return 1;
}


ngx_int_t
ngx_chat_message_length(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *body)
{
    u_char               *p;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (ngx_chat_string_length(body) <= chlcf->max_message) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 80 + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "Ensure this field has no more than %ui characters.%Z",
                chlcf->max_message);

    return ngx_chat_response_invalid(r, ctx, "body", (const char *) p);
}


ngx_int_t
ngx_chat_message_time(ngx_http_request_t *r, time_t ago, ngx_str_t *timestamp)
{
    timestamp->data = ngx_pnalloc(r->pool, NGX_CHAT_TIMESTAMP_LEN);
    if (timestamp->data == NULL) {
        return NGX_ERROR;
    }

    timestamp->len = NGX_CHAT_TIMESTAMP_LEN;

    ngx_chat_string_time(timestamp->data, (uint64_t) ago * 1000);

    return NGX_OK;
}


/* without memory for the cleanup, the beginning is forgotten later */

void
ngx_chat_message_changing(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t sender_id, uint32_t recipient_id)
{
    ngx_pool_cleanup_t           *cln;
    ngx_chat_changed_t           *changed;
    ngx_chat_message_changing_t  *changing;

    changed = ngx_chat_http_zone(r)->changed;

    ngx_chat_changed_begin(changed, sender_id);
    ngx_chat_changed_begin(changed, recipient_id);

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_message_changing_t));
    if (cln == NULL) {
        return;
    }

    changing = cln->data;

    changing->changed = changed;
    changing->sender_id = sender_id;
    changing->recipient_id = recipient_id;

    cln->handler = ngx_chat_message_changing_end;

    ctx->push.changing = cln;
}


void
ngx_chat_message_changed(ngx_chat_ctx_t *ctx)
{
    ngx_pool_cleanup_t  *cln;

    cln = ctx->push.changing;

    if (cln) {
        cln->handler(cln->data);

        cln->handler = NULL;
        ctx->push.changing = NULL;
    }
}


static void
ngx_chat_message_changing_end(void *data)
{
    ngx_chat_message_changing_t  *changing = data;

    ngx_chat_changed_end(changing->changed, changing->sender_id);
    ngx_chat_changed_end(changing->changed, changing->recipient_id);
}
