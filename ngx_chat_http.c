
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"


static ngx_int_t ngx_chat_http_body(ngx_http_request_t *r, ngx_str_t *body);
static ngx_int_t ngx_chat_http_json(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_str_t *body, ngx_chat_field_t *fields,
    ngx_uint_t n);
static ngx_int_t ngx_chat_http_parse_error(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, const char *what, ngx_str_t *error);
static ngx_uint_t ngx_chat_http_type(ngx_str_t *type, const char *name);
static ngx_int_t ngx_chat_http_unsupported(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_str_t *type);
static const char *ngx_chat_http_problem(ngx_chat_field_t *field,
    ngx_uint_t raw);
static ngx_int_t ngx_chat_http_detail(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_uint_t status, ngx_str_t *detail);
static void ngx_chat_http_link(ngx_http_request_t *r, ngx_chat_json_t *json,
    const char *key, const char *path);
static ngx_int_t ngx_chat_http_send_headers(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


ngx_int_t
ngx_chat_http_fields(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n)
{
    ngx_int_t  rc;
    ngx_str_t  body, type, error;

    if (ngx_chat_http_body(r, &body) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&type);

    if (r->headers_in.content_type) {
        type = r->headers_in.content_type->value;
    }

    if (body.len == 0) {
        return NGX_OK;
    }

    if (ngx_chat_http_type(&type, "application/json")) {
        return ngx_chat_http_json(r, ctx, &body, fields, n);
    }

    if (ngx_chat_http_type(&type, "application/x-www-form-urlencoded")) {
        return ngx_chat_text_form(r->pool, &body, fields, n);
    }

    if (ngx_chat_http_type(&type, "multipart/form-data")) {

        rc = ngx_chat_text_multipart(r->pool, &type, &body, fields, n,
                                     &error);
        if (rc == NGX_DECLINED) {
            return ngx_chat_http_parse_error(r, ctx, "Multipart form",
                                             &error);
        }

        return rc;
    }

    return ngx_chat_http_unsupported(r, ctx, &type);
}


/*
 * In one buffer, or in a temporary file where it is larger than
 * client_body_buffer_size: that was written a moment ago, and is read from the
 * page cache.
 */

static ngx_int_t
ngx_chat_http_body(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char       *p;
    size_t        len;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    ngx_str_null(body);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL && !cl->buf->in_file) {
        body->data = cl->buf->pos;
        body->len = cl->buf->last - cl->buf->pos;

        return NGX_OK;
    }

    len = 0;

    for ( /* void */ ; cl; cl = cl->next) {
        len += ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = len;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (b->in_file) {
            len = b->file_last - b->file_pos;

            n = ngx_read_file(b->file, p, len, b->file_pos);

            if (n != (ssize_t) len) {
                return NGX_ERROR;
            }

            p += len;

        } else if (b->last > b->pos) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_http_json(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *body, ngx_chat_field_t *fields, ngx_uint_t n)
{
    u_char           *p;
    ngx_int_t         rc;
    ngx_str_t         error, text;
    ngx_chat_json_t  *json;

    rc = ngx_chat_json_fields(r->pool, body, fields, n, &error);

    if (rc == NGX_DECLINED) {
        return ngx_chat_http_parse_error(r, ctx, "JSON", &error);
    }

    if (rc != NGX_ABORT) {
        return rc;
    }

    p = ngx_pnalloc(r->pool, error.len + 64);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;

    if (ngx_strncmp(error.data, "NoneType", error.len) == 0) {
        ngx_str_set(&text, "No data provided");

    } else {
        text.len = ngx_sprintf(p, "Invalid data. Expected a dictionary, "
                               "but got %V.", &error) - p;
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "non_field_errors");
    ngx_chat_json_array(json);
    ngx_chat_json_string(json, &text);
    ngx_chat_json_end(json);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_BAD_REQUEST, json);
}


static ngx_int_t
ngx_chat_http_parse_error(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *what, ngx_str_t *error)
{
    ngx_str_t  text;

    text.data = ngx_pnalloc(r->pool, ngx_strlen(what)
                                     + sizeof(" parse error - ") + error->len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "%s parse error - %V", what, error)
               - text.data;

    return ngx_chat_http_detail(r, ctx, NGX_HTTP_BAD_REQUEST, &text);
}


/* "name", or "name; parameters", in any case */

static ngx_uint_t
ngx_chat_http_type(ngx_str_t *type, const char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    return type->len >= len
           && ngx_strncasecmp(type->data, (u_char *) name, len) == 0
           && (type->len == len || type->data[len] == ';'
               || type->data[len] == ' ');
}


static ngx_int_t
ngx_chat_http_unsupported(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *type)
{
    u_char     *p;
    ngx_str_t   text;

    if (ngx_chat_text_utf8(type) != NGX_OK) {
        ngx_str_null(type);
    }

    p = ngx_pnalloc(r->pool, type->len + 64);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;
    text.len = ngx_sprintf(p, "Unsupported media type \"%V\" in request.",
                           type) - p;

    return ngx_chat_http_detail(r, ctx, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                &text);
}


ngx_int_t
ngx_chat_http_required(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_uint_t raw)
{
    ngx_uint_t        i;
    const char       *problem;
    ngx_chat_json_t  *json;

    json = NULL;

    for (i = 0; i < n; i++) {
        problem = ngx_chat_http_problem(&fields[i], raw & (1 << i));

        if (problem == NULL) {
            continue;
        }

        if (json == NULL) {
            json = ngx_chat_json_create(r->pool);
            if (json == NULL) {
                return NGX_ERROR;
            }

            ngx_chat_json_object(json);
        }

        /* the names of fields are constants, and end with a NUL */

        ngx_chat_json_key(json, (const char *) fields[i].name.data);
        ngx_chat_json_array(json);
        ngx_chat_json_text(json, problem);
        ngx_chat_json_end(json);
    }

    if (json == NULL) {
        return NGX_OK;
    }

    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_BAD_REQUEST, json);
}


static const char *
ngx_chat_http_problem(ngx_chat_field_t *field, ngx_uint_t raw)
{
    switch (field->state) {

    case NGX_CHAT_FIELD_MISSING:
        return "This field is required.";

    case NGX_CHAT_FIELD_NULL:
        return "This field may not be null.";

    case NGX_CHAT_FIELD_INVALID:
        return "Not a valid string.";

    case NGX_CHAT_FIELD_TEXT:
        break;
    }

    if (!raw) {
        ngx_chat_text_trim(&field->value);
    }

    if (field->value.len == 0) {
        return "This field may not be blank.";
    }

    if (ngx_strlchr(field->value.data, field->value.data + field->value.len,
                    '\0'))
    {
        return "Null characters are not allowed.";
    }

    return NULL;
}


ngx_int_t
ngx_chat_http_args(ngx_http_request_t *r, ngx_chat_field_t *fields,
    ngx_uint_t n)
{
    return ngx_chat_text_form(r->pool, &r->args, fields, n);
}


ngx_int_t
ngx_chat_http_header(ngx_http_request_t *r, const char *variable,
    ngx_str_t *value)
{
    ngx_str_t                   name;
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *vv;

    name.data = (u_char *) variable;
    name.len = ngx_strlen(variable);

    key = ngx_hash_key(name.data, name.len);

    vv = ngx_http_get_variable(r, &name, key);

    if (vv == NULL || vv->not_found || vv->len == 0) {
        return NGX_DECLINED;
    }

    value->data = vv->data;
    value->len = vv->len;

    return NGX_OK;
}


u_char *
ngx_chat_http_channel(u_char *p, uint32_t user_id, ngx_uint_t epoch)
{
    return epoch ? ngx_sprintf(p, "%uD.%ui", user_id, epoch)
                 : ngx_sprintf(p, "%uD", user_id);
}


ngx_chat_cache_t *
ngx_chat_http_cache(ngx_http_request_t *r)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    return chmcf->zone ? chmcf->zone->data : NULL;
}


ngx_chat_metrics_t *
ngx_chat_http_metrics(ngx_http_request_t *r)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    return chmcf->worker->metrics;
}


ngx_uint_t
ngx_chat_http_epoch(ngx_http_request_t *r)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    return ngx_chat_workers_epoch(chmcf->worker->workers);
}


void
ngx_chat_http_count(ngx_http_request_t *r, ngx_chat_count_e counter)
{
    ngx_chat_metrics_count(ngx_chat_http_metrics(r), counter);
}


void
ngx_chat_http_event(ngx_http_request_t *r, uint32_t user_id)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    ngx_chat_replica_event(chmcf->worker->replica, user_id);
}


ngx_int_t
ngx_chat_http_error(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, const char *detail)
{
    ngx_str_t  text;

    text.data = (u_char *) detail;
    text.len = ngx_strlen(detail);

    return ngx_chat_http_detail(r, ctx, status, &text);
}


static ngx_int_t
ngx_chat_http_detail(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *detail)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "detail");
    ngx_chat_json_string(json, detail);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, status, json);
}


ngx_int_t
ngx_chat_http_invalid(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *field, const char *problem)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, field);
    ngx_chat_json_array(json);
    ngx_chat_json_text(json, problem);
    ngx_chat_json_end(json);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_BAD_REQUEST, json);
}


ngx_int_t
ngx_chat_http_answer(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_json_t *json)
{
    if (ngx_chat_json_done(json, &ctx->body) != NGX_OK) {
        return NGX_ERROR;
    }

    return status;
}


ngx_int_t
ngx_chat_http_redirect(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *location)
{
    /* not headers_out.location: nginx would make it absolute */

    if (ngx_chat_http_add_header(r, "Location", location) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&ctx->type, "text/html; charset=utf-8");
    ngx_str_null(&ctx->body);

    return NGX_HTTP_MOVED_TEMPORARILY;
}


ngx_int_t
ngx_chat_http_not_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_http_error(r, ctx, NGX_HTTP_NOT_FOUND, "Not found.");
}


ngx_int_t
ngx_chat_http_unavailable(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ctx->retry_after = NGX_CHAT_HTTP_RETRY_AFTER;

    return ngx_chat_http_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "The database is not available. "
                               "Try again later.");
}


ngx_int_t
ngx_chat_http_failed(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return NGX_ERROR;
}


ngx_int_t
ngx_chat_http_denied(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_http_error(r, ctx, NGX_HTTP_FORBIDDEN,
                               "Authentication credentials were not "
                               "provided.");
}


ngx_int_t
ngx_chat_http_foreign(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "chat request from a foreign origin");

    return ngx_chat_http_error(r, ctx, NGX_HTTP_FORBIDDEN,
                               "CSRF Failed: request from a foreign origin.");
}


ngx_int_t
ngx_chat_http_no_method(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t   text;

    p = ngx_pnalloc(r->pool, r->method_name.len + 32);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;
    text.len = ngx_sprintf(p, "Method \"%V\" not allowed.", &r->method_name)
               - p;

    return ngx_chat_http_detail(r, ctx, NGX_HTTP_NOT_ALLOWED, &text);
}


ngx_int_t
ngx_chat_http_options(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t         title;
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    title = ctx->endpoint->title;

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "name");
    ngx_chat_json_string(json, &title);
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

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


/* where things are, for people who look around */

ngx_int_t
ngx_chat_http_root(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_http_link(r, json, "message", "message/");
    ngx_chat_http_link(r, json, "user", "user/");
    ngx_chat_http_link(r, json, "conversation", "conversation/");
    ngx_chat_http_link(r, json, "session", "session/");
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_http_link(ngx_http_request_t *r, ngx_chat_json_t *json,
    const char *key, const char *path)
{
    u_char                    *p;
    ngx_str_t                  base, link;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (ngx_chat_http_base(r, &base) != NGX_OK) {
        return;
    }

    p = ngx_pnalloc(r->pool, base.len + clcf->name.len + ngx_strlen(path));
    if (p == NULL) {
        return;
    }

    link.data = p;
    link.len = ngx_sprintf(p, "%V%V%s", &base, &clcf->name, path) - p;

    ngx_chat_json_key(json, key);
    ngx_chat_json_string(json, &link);
}


/*
 * "http://host:port", as the client wrote it; with "secure=on" it wrote https,
 * which may have ended in front of this nginx.
 */

ngx_int_t
ngx_chat_http_base(ngx_http_request_t *r, ngx_str_t *base)
{
    u_char               *p;
    ngx_str_t             host, scheme;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->secure == NGX_CHAT_SECURE_ON) {
        ngx_str_set(&scheme, "https");

    } else if (ngx_chat_http_header(r, "scheme", &scheme) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_http_host(r, &host);

    if (ngx_chat_http_escape(r, &host) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, scheme.len + 3 + host.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    base->data = p;
    base->len = ngx_sprintf(p, "%V://%V", &scheme, &host) - p;

    return NGX_OK;
}


void
ngx_chat_http_host(ngx_http_request_t *r, ngx_str_t *host)
{
    if (r->headers_in.host) {
        *host = r->headers_in.host->value;

    } else if (r->host_start) {

        /* HTTP/3 with ":authority" alone */

        host->data = r->host_start;
        host->len = r->host_end - r->host_start;

    } else {
        *host = r->headers_in.server;
    }
}


ngx_int_t
ngx_chat_http_escape(ngx_http_request_t *r, ngx_str_t *text)
{
    u_char     *p;
    uintptr_t   n;

    n = ngx_escape_uri(NULL, text->data, text->len, NGX_ESCAPE_REFRESH);
    if (n == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, text->len + 2 * n);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_escape_uri(p, text->data, text->len, NGX_ESCAPE_REFRESH);

    text->data = p;
    text->len += 2 * n;

    return NGX_OK;
}


ngx_int_t
ngx_chat_http_send(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t status)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (status == NGX_ERROR) {

        /* memory may be short: the answer needs none */

        status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        ngx_str_null(&ctx->type);
        ngx_str_set(&ctx->body, "{\"detail\":\"Internal server error.\"}");
    }

    r->connection->log->action = "sending to client";

    /* answers have no date and no tag: there is nothing to compare */
    r->disable_not_modified = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = ctx->body.len;

    if (status == NGX_HTTP_NO_CONTENT) {
        r->header_only = 1;

    } else if (ctx->type.len) {
        r->headers_out.content_type = ctx->type;

    } else {
        ngx_str_set(&r->headers_out.content_type, "application/json");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_chat_http_send_headers(r, ctx) != NGX_OK) {
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

    if (ctx->body.len) {
        b->pos = ctx->body.data;
        b->last = ctx->body.data + ctx->body.len;
        b->memory = 1;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_chat_http_send_headers(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t  vary = ngx_string("Accept, Cookie");
    ngx_str_t  nosniff = ngx_string("nosniff");
    ngx_str_t  deny = ngx_string("DENY");
    ngx_str_t  referrer = ngx_string("same-origin");
    ngx_str_t  no_store = ngx_string("no-store");

    ngx_str_t  retry, allow;

    if (ngx_chat_http_add_header(r, "Vary", &vary) != NGX_OK
        || ngx_chat_http_add_header(r, "X-Content-Type-Options", &nosniff)
           != NGX_OK
        || ngx_chat_http_add_header(r, "X-Frame-Options", &deny) != NGX_OK
        || ngx_chat_http_add_header(r, "Referrer-Policy", &referrer) != NGX_OK
        || ngx_chat_http_add_header(r, "Cache-Control", &no_store) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->endpoint) {
        allow = ctx->endpoint->allow;

        if (ngx_chat_http_add_header(r, "Allow", &allow) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ctx->retry_after == 0) {
        return NGX_OK;
    }

    retry.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (retry.data == NULL) {
        return NGX_ERROR;
    }

    retry.len = ngx_sprintf(retry.data, "%T", ctx->retry_after) - retry.data;

    return ngx_chat_http_add_header(r, "Retry-After", &retry);
}


ngx_int_t
ngx_chat_http_add_header(ngx_http_request_t *r, const char *name,
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
