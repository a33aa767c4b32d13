
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"


#define NGX_CHAT_RESPONSE_ALLOW_LEN                                           \
    (sizeof("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS") - 1)


static ngx_int_t ngx_chat_response_headers(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_response_allow(ngx_http_request_t *r,
    const ngx_chat_endpoint_t *e);


ngx_int_t
ngx_chat_response_error(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, const char *detail)
{
    ngx_str_t  text;

    text.data = (u_char *) detail;
    text.len = ngx_strlen(detail);

    return ngx_chat_response_detail(r, ctx, status, &text);
}


ngx_int_t
ngx_chat_response_detail(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *detail)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "detail");
    ngx_chat_json_string(json, detail);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, status, json);
}


ngx_int_t
ngx_chat_response_invalid(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *field, const char *problem)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, field);
    ngx_chat_json_array(json);
    ngx_chat_json_text(json, problem);
    ngx_chat_json_end(json);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_BAD_REQUEST, json);
}


ngx_int_t
ngx_chat_response_json(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_json_t *json)
{
    if (ngx_chat_json_done(json, &ctx->response.body) != NGX_OK) {
        return NGX_ERROR;
    }

    return status;
}


ngx_int_t
ngx_chat_response_redirect(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *location)
{
    /* nginx would make headers_out.location absolute */

    if (ngx_chat_response_add_header(r, "Location", location) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&ctx->response.type, "text/html; charset=utf-8");
    ngx_str_null(&ctx->response.body);

    return NGX_HTTP_MOVED_TEMPORARILY;
}


ngx_int_t
ngx_chat_response_not_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_response_error(r, ctx, NGX_HTTP_NOT_FOUND, "Not found.");
}


ngx_int_t
ngx_chat_response_unavailable(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ctx->response.retry_after = NGX_CHAT_RESPONSE_RETRY_AFTER;

    return ngx_chat_response_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "The database is not available. "
                                   "Try again later.");
}


ngx_int_t
ngx_chat_response_internal_error(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return NGX_ERROR;
}


ngx_int_t
ngx_chat_response_forbidden(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                   "Authentication credentials were not "
                                   "provided.");
}


ngx_int_t
ngx_chat_response_cross_origin(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    if (ctx->auth.origin == NGX_ABORT) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chat request from a page loaded over http, while "
                      "the session cookie requires https");

        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                       "CSRF Failed: the page was loaded over "
                                       "http, but its session cookie requires "
                                       "https.");
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "chat cross-origin request");

    return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                   "CSRF Failed: cross-origin request.");
}


ngx_int_t
ngx_chat_response_other_user(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_response_error(r, ctx, NGX_HTTP_CONFLICT,
                                   "You are logged in as another user.");
}


ngx_int_t
ngx_chat_response_not_allowed(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    u_char    *p;
    ngx_str_t  text;

    p = ngx_pnalloc(r->pool, r->method_name.len + 32);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;
    text.len = ngx_sprintf(p, "Method \"%V\" not allowed.", &r->method_name)
               - p;

    return ngx_chat_response_detail(r, ctx, NGX_HTTP_NOT_ALLOWED, &text);
}


ngx_int_t
ngx_chat_response_options(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "name");
    ngx_chat_json_text(json, ctx->endpoint->title);
    ngx_chat_json_key(json, "description");
    ngx_chat_json_text(json, "");
    ngx_chat_json_key(json, "renders");
    ngx_chat_json_array(json);
    ngx_chat_json_text(json, "application/json");
    ngx_chat_json_end(json);
    ngx_chat_json_key(json, "parses");
    ngx_chat_json_array(json);
    ngx_chat_json_text(json, "application/json");
    ngx_chat_json_text(json, "application/x-www-form-urlencoded");
    ngx_chat_json_text(json, "multipart/form-data");
    ngx_chat_json_end(json);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


ngx_int_t
ngx_chat_response_send(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t status)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    if (status == NGX_ERROR) {

        /* this response needs no memory, which may be exhausted */

        status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        ngx_str_null(&ctx->response.type);
        ngx_str_set(&ctx->response.body,
                    "{\"detail\":\"Internal server error.\"}");
    }

    r->connection->log->action = "sending to client";

    /* responses have no Last-Modified and no ETag */
    r->disable_not_modified = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = ctx->response.body.len;

    if (status == NGX_HTTP_NO_CONTENT) {
        r->header_only = 1;

    } else if (ctx->response.type.len) {
        r->headers_out.content_type = ctx->response.type;

    } else {
        ngx_str_set(&r->headers_out.content_type, "application/json");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_chat_response_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    if (ctx->response.body.len) {
        b->pos = ctx->response.body.data;
        b->last = ctx->response.body.data + ctx->response.body.len;
        b->memory = 1;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_chat_response_headers(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_uint_t  i;

    static struct {
        const char  *name;
        ngx_str_t    value;
    } headers[] = {
        { "Vary", ngx_string("Accept, Cookie") },
        { "X-Content-Type-Options", ngx_string("nosniff") },
        { "X-Frame-Options", ngx_string("DENY") },
        { "Referrer-Policy", ngx_string("same-origin") },
        { "Cache-Control", ngx_string("no-store") }
    };

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (ngx_chat_response_add_header(r, headers[i].name, &headers[i].value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->endpoint && ngx_chat_response_allow(r, ctx->endpoint) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_chat_response_retry_after(r, ctx->response.retry_after);
}


ngx_int_t
ngx_chat_response_retry_after(ngx_http_request_t *r, time_t seconds)
{
    ngx_str_t  retry;

    if (seconds == 0) {
        return NGX_OK;
    }

    retry.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (retry.data == NULL) {
        return NGX_ERROR;
    }

    retry.len = ngx_sprintf(retry.data, "%T", seconds) - retry.data;

    return ngx_chat_response_add_header(r, "Retry-After", &retry);
}


/* adds "Allow" with the methods of the endpoint */

static ngx_int_t
ngx_chat_response_allow(ngx_http_request_t *r, const ngx_chat_endpoint_t *e)
{
    u_char     *p;
    ngx_str_t   allow;

    allow.data = ngx_pnalloc(r->pool, NGX_CHAT_RESPONSE_ALLOW_LEN);
    if (allow.data == NULL) {
        return NGX_ERROR;
    }

    /* each response has this header, and ngx_sprintf() is slow */

    p = allow.data;
    p = ngx_cpymem(p, "GET, ", e->get ? 5 : 0);
    p = ngx_cpymem(p, "POST, ", e->post ? 6 : 0);
    p = ngx_cpymem(p, "PUT, ", e->put ? 5 : 0);
    p = ngx_cpymem(p, "PATCH, ", e->patch ? 7 : 0);
    p = ngx_cpymem(p, "DELETE, ", e->delete ? 8 : 0);
    p = ngx_cpymem(p, "HEAD, ", e->get ? 6 : 0);
    p = ngx_cpymem(p, "OPTIONS", 7);

    allow.len = p - allow.data;

    return ngx_chat_response_add_header(r, "Allow", &allow);
}


ngx_int_t
ngx_chat_response_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *header;

    header = ngx_list_push(&r->headers_out.headers);
    if (header == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(header, sizeof(ngx_table_elt_t));

    header->hash = 1;
    header->key.data = (u_char *) name;
    header->key.len = ngx_strlen(name);
    header->value = *value;

    return NGX_OK;
}
