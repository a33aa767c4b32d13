
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/api/ngx_chat_endpoint.h"
#include "src/api/ngx_chat_status_metrics.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"


/* time that "ready" waits for the database, ms */
#define NGX_CHAT_STATUS_READY_TIMEOUT  1000


typedef struct {
    ngx_chat_db_job_t           job;
    ngx_event_t                 timer;
} ngx_chat_status_ready_t;


static ngx_int_t ngx_chat_status_show(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_status_word(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, const char *word);
static ngx_int_t ngx_chat_status_ready(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_status_ready_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_status_ready_timeout(ngx_event_t *ev);
static void ngx_chat_status_ready_cleanup(void *data);


ngx_int_t
ngx_chat_status_log_handler(ngx_http_request_t *r)
{
    ngx_uint_t            method;
    ngx_uint_t            status;
    ngx_chat_ctx_t       *ctx;
    ngx_chat_request_e    request;
    ngx_chat_loc_conf_t  *chlcf;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_chat_http_ctx_kept(r);

    if (ctx) {
        request = ctx->log.request;
        method = ctx->log.method;

    } else {
        /* ended before authentication, for example with 413 */

        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

        request = ngx_chat_http_request(chlcf);
        method = r->method;
    }

    if (request == NGX_CHAT_REQUEST_MAX) {
        return NGX_OK;
    }

    switch (method) {

    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:
        method = NGX_CHAT_METHOD_GET;
        break;

    case NGX_HTTP_POST:
        method = NGX_CHAT_METHOD_POST;
        break;

    case NGX_HTTP_PUT:
        method = NGX_CHAT_METHOD_PUT;
        break;

    case NGX_HTTP_PATCH:
        method = NGX_CHAT_METHOD_PATCH;
        break;

    case NGX_HTTP_DELETE:
        method = NGX_CHAT_METHOD_DELETE;
        break;

    default:
        method = NGX_CHAT_METHOD_OTHER;
    }

    status = r->err_status ? r->err_status : r->headers_out.status;

    ngx_chat_metrics_request(ngx_chat_http_metrics(r), request, method,
                             status);

    return NGX_OK;
}


/*
 *   get -> show
 *       -> word (live)
 *       -> ready -> ready_done
 */

ngx_int_t
ngx_chat_status_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    switch (chlcf->status) {

    case NGX_CHAT_STATUS_LIVE:
        return ngx_chat_status_word(r, ctx, "live");

    case NGX_CHAT_STATUS_READY:
        return ngx_chat_status_ready(r, ctx);

    default: /* NGX_CHAT_STATUS_ON */
        return ngx_chat_status_show(r, ctx);
    }
}


/* the format is "format", or depends on Accept; browsers receive JSON */

static ngx_int_t
ngx_chat_status_show(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t  accept, *format;
    ngx_chat_field_t  field = ngx_chat_field("format");

    if (ngx_chat_request_args(r, &field, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    if (field.state == NGX_CHAT_FIELD_MISSING) {

        if (ngx_chat_request_header(r, "http_accept", &accept) != NGX_OK) {
            return ngx_chat_status_json(r, ctx);
        }

        if (ngx_strlcasestrn(accept.data, accept.data + accept.len,
                             (u_char *) "application/openmetrics-text", 27))
        {
            return ngx_chat_status_text(r, ctx, 1);
        }

        if (ngx_strlcasestrn(accept.data, accept.data + accept.len,
                             (u_char *) "text/plain", 9))
        {
            return ngx_chat_status_text(r, ctx, 0);
        }

        return ngx_chat_status_json(r, ctx);
    }

    format = &field.value;

    if (format->len == 4 && ngx_strncmp(format->data, "json", 4) == 0) {
        return ngx_chat_status_json(r, ctx);
    }

    if (format->len == 10 && ngx_strncmp(format->data, "prometheus", 10) == 0) {
        return ngx_chat_status_text(r, ctx, 0);
    }

    if (format->len == 11 && ngx_strncmp(format->data, "openmetrics", 11) == 0)
    {
        return ngx_chat_status_text(r, ctx, 1);
    }

    return ngx_chat_response_invalid(r, ctx, "format",
                                     "json, prometheus or openmetrics is "
                                     "required.");
}


static ngx_int_t
ngx_chat_status_word(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *word)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "status");
    ngx_chat_json_text(json, word);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/*
 * Ready, if the database responds in time.  A probe waits for at most a second,
 * even if the time limit of queries is longer.
 */

static ngx_int_t
ngx_chat_status_ready(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_pool_cleanup_t       *cln;
    ngx_chat_status_ready_t  *ready;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_status_ready_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ready = cln->data;
    ngx_memzero(ready, sizeof(ngx_chat_status_ready_t));

    cln->handler = ngx_chat_status_ready_cleanup;

    ctx->data = ready;

    rc = ngx_chat_step_query(r, ctx, &ready->job, &ngx_chat_query_ready,
                             ngx_chat_status_ready_done);

    if (rc == NGX_AGAIN) {
        ready->timer.handler = ngx_chat_status_ready_timeout;
        ready->timer.data = r;
        ready->timer.log = r->connection->log;

        ngx_add_timer(&ready->timer, NGX_CHAT_STATUS_READY_TIMEOUT);
    }

    return rc;
}


static ngx_int_t
ngx_chat_status_ready_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_status_ready_t  *ready = ctx->data;

    if (ready->job.rc == NGX_DECLINED) {
        return ngx_chat_response_unavailable(r, ctx);
    }

    return ngx_chat_status_word(r, ctx, "ready");
}


static void
ngx_chat_status_ready_timeout(ngx_event_t *ev)
{
    ngx_chat_ctx_t      *ctx;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ev->data;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx->step.job == NULL) {
        return;
    }

    ngx_chat_db_cancel(ctx->step.job);
    ctx->step.job = NULL;

    ctx->next = ngx_chat_response_unavailable;

    ngx_chat_step_run(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_status_ready_cleanup(void *data)
{
    ngx_chat_status_ready_t  *ready = data;

    if (ready->timer.timer_set) {
        ngx_del_timer(&ready->timer);
    }
}
