
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"


static ngx_int_t ngx_chat_request_body(ngx_http_request_t *r, ngx_str_t *body);
static ngx_int_t ngx_chat_request_json(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_str_t *body, ngx_chat_field_t *fields,
    ngx_uint_t n);
static ngx_int_t ngx_chat_request_parse_error(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, const char *what, ngx_str_t *error);
static ngx_uint_t ngx_chat_request_is_type(ngx_str_t *type, const char *name);
static ngx_int_t ngx_chat_request_unsupported(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, const char *what, ngx_str_t *value);
static const char *ngx_chat_request_problem(ngx_chat_field_t *field,
    ngx_uint_t raw, ngx_uint_t name);


/* an argument of the query string */

typedef struct {
    ngx_str_t                  key;
    ngx_str_t                  value;
    ngx_uint_t                 order;          /* as received */
} ngx_chat_request_arg_t;


static ngx_int_t ngx_chat_request_link_args(ngx_http_request_t *r,
    ngx_array_t *args, uint64_t page);
static ngx_int_t ngx_chat_request_escape(ngx_http_request_t *r,
    ngx_str_t *text);
static int ngx_chat_request_link_cmp(const void *one, const void *two);


ngx_int_t
ngx_chat_request_fields(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n)
{
    ngx_int_t  rc;
    ngx_str_t  body, type, coding, error;

    if (ngx_chat_request_body(r, &body) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&type);

    if (r->headers_in.content_type) {
        type = r->headers_in.content_type->value;
    }

    if (body.len == 0) {
        return NGX_OK;
    }

    if (ngx_chat_request_header(r, "http_content_encoding", &coding) == NGX_OK
        && !(coding.len == 8
             && ngx_strncasecmp(coding.data, (u_char *) "identity", 8) == 0))
    {
        return ngx_chat_request_unsupported(r, ctx, "content coding", &coding);
    }

    if (ngx_chat_request_is_type(&type, "application/json")) {
        return ngx_chat_request_json(r, ctx, &body, fields, n);
    }

    if (ngx_chat_request_is_type(&type, "application/x-www-form-urlencoded")) {
        return ngx_chat_form_parse(r->pool, &body, fields, n);
    }

    if (ngx_chat_request_is_type(&type, "multipart/form-data")) {

        rc = ngx_chat_form_multipart(r->pool, &type, &body, fields, n,
                                     &error);
        if (rc == NGX_DECLINED) {
            return ngx_chat_request_parse_error(r, ctx, "Multipart form",
                                                &error);
        }

        return rc;
    }

    return ngx_chat_request_unsupported(r, ctx, "media type", &type);
}


/*
 * A body larger than client_body_buffer_size is in a temporary file.  It has
 * just been written, and is read from the page cache.
 */

static ngx_int_t
ngx_chat_request_body(ngx_http_request_t *r, ngx_str_t *body)
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
ngx_chat_request_json(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *body, ngx_chat_field_t *fields, ngx_uint_t n)
{
    u_char           *p;
    ngx_int_t         rc;
    ngx_str_t         error, text;
    ngx_chat_json_t  *json;

    rc = ngx_chat_json_fields(r->pool, body, fields, n, &error);

    if (rc == NGX_DECLINED) {
        return ngx_chat_request_parse_error(r, ctx, "JSON", &error);
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

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "non_field_errors");
    ngx_chat_json_array(json);
    ngx_chat_json_string(json, &text);
    ngx_chat_json_end(json);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_BAD_REQUEST, json);
}


static ngx_int_t
ngx_chat_request_parse_error(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
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

    return ngx_chat_response_detail(r, ctx, NGX_HTTP_BAD_REQUEST, &text);
}


/* matches "name" and "name; parameters", ignoring case */

static ngx_uint_t
ngx_chat_request_is_type(ngx_str_t *type, const char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    return type->len >= len
           && ngx_strncasecmp(type->data, (u_char *) name, len) == 0
           && (type->len == len || type->data[len] == ';'
               || type->data[len] == ' ');
}


static ngx_int_t
ngx_chat_request_unsupported(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *what, ngx_str_t *value)
{
    u_char    *p;
    ngx_str_t  text;

    if (ngx_chat_string_utf8(value) != NGX_OK) {
        ngx_str_null(value);
    }

    p = ngx_pnalloc(r->pool, value->len + 64);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;
    text.len = ngx_sprintf(p, "Unsupported %s \"%V\" in request.", what, value)
               - p;

    return ngx_chat_response_detail(r, ctx, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                    &text);
}


ngx_int_t
ngx_chat_request_required(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_uint_t kinds)
{
    ngx_uint_t        i;
    const char       *problem;
    ngx_chat_json_t  *json;

    json = NULL;

    for (i = 0; i < n; i++) {
        problem = ngx_chat_request_problem(&fields[i],
                                       kinds & NGX_CHAT_REQUEST_FIELD_RAW(i),
                                       kinds & NGX_CHAT_REQUEST_FIELD_NAME(i));

        if (problem == NULL) {
            continue;
        }

        if (json == NULL) {
            json = ngx_chat_json_create(r->pool);

            ngx_chat_json_object(json);
        }

        /* names of fields are constants and null-terminated */

        ngx_chat_json_key(json, (const char *) fields[i].name.data);
        ngx_chat_json_array(json);
        ngx_chat_json_text(json, problem);
        ngx_chat_json_end(json);
    }

    if (json == NULL) {
        return NGX_OK;
    }

    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_BAD_REQUEST, json);
}


static const char *
ngx_chat_request_problem(ngx_chat_field_t *field, ngx_uint_t raw,
    ngx_uint_t name)
{
    ngx_str_t  value;

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

    value = field->value;

    if (!raw) {
        ngx_chat_string_trim(&value);
    }

    if (value.len == 0) {
        return "This field may not be blank.";
    }

    if (ngx_strlchr(value.data, value.data + value.len, '\0')) {
        return "Null characters are not allowed.";
    }

    if (raw || name) {
        return NULL;
    }

    if (ngx_chat_unicode_blank(&value)) {
        return "This field may not be blank.";
    }

    field->value = value;

    return NULL;
}


ngx_int_t
ngx_chat_request_limit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *field, ngx_uint_t *limit)
{
    uint64_t  n;

    if (field->state == NGX_CHAT_FIELD_MISSING) {
        *limit = NGX_CHAT_REQUEST_LIMIT;
        return NGX_OK;
    }

    if (ngx_chat_string_id(&field->value, &n) != NGX_OK
        || n > NGX_CHAT_REQUEST_LIMIT_MAX)
    {
        return ngx_chat_response_invalid(r, ctx, "limit",
                                         "A valid integer from 1 to 100 is "
                                         "required.");
    }

    *limit = (ngx_uint_t) n;

    return NGX_OK;
}


ngx_int_t
ngx_chat_request_header(ngx_http_request_t *r, const char *variable,
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


void
ngx_chat_request_host(ngx_http_request_t *r, ngx_str_t *host)
{
    if (r->headers_in.host) {
        *host = r->headers_in.host->value;

    } else if (r->host_start) {

        /* HTTP/3 with ":authority" and no Host */

        host->data = r->host_start;
        host->len = r->host_end - r->host_start;

    } else {
        *host = r->headers_in.server;
    }
}


/* with "secure=on", TLS may be terminated in front of nginx */

ngx_int_t
ngx_chat_request_base(ngx_http_request_t *r, ngx_str_t *base)
{
    u_char               *p;
    ngx_str_t             host, scheme;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->secure == NGX_CHAT_SECURE_ON) {
        ngx_str_set(&scheme, "https");

    } else if (ngx_chat_request_header(r, "scheme", &scheme) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_request_host(r, &host);

    if (ngx_chat_request_escape(r, &host) != NGX_OK) {
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


/* escapes bytes that may not occur in a link, except "%" */

static ngx_int_t
ngx_chat_request_escape(ngx_http_request_t *r, ngx_str_t *text)
{
    u_char    *p;
    uintptr_t  n;

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
ngx_chat_request_page_link(ngx_http_request_t *r, ngx_chat_json_t *json,
    const char *key, uint64_t page)
{
    u_char                  *p;
    size_t                   len;
    ngx_str_t                base, path, link;
    ngx_uint_t               i;
    ngx_array_t              args;
    ngx_chat_request_arg_t  *arg;

    ngx_chat_json_key(json, key);

    if (page == 0) {
        ngx_chat_json_null(json);
        return NGX_OK;
    }

    path = r->unparsed_uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');
    if (p) {
        path.len = p - path.data;
    }

    if (ngx_chat_request_base(r, &base) != NGX_OK
        || ngx_chat_request_escape(r, &path) != NGX_OK
        || ngx_array_init(&args, r->pool, 4, sizeof(ngx_chat_request_arg_t))
           != NGX_OK
        || ngx_chat_request_link_args(r, &args, page) != NGX_OK)
    {
        return NGX_ERROR;
    }

    arg = args.elts;
    len = base.len + path.len;

    for (i = 0; i < args.nelts; i++) {
        len += 2 + 3 * (arg[i].key.len + arg[i].value.len);
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    link.data = p;

    p = ngx_sprintf(p, "%V%V", &base, &path);

    for (i = 0; i < args.nelts; i++) {
        *p++ = i ? '&' : '?';
        p = ngx_chat_form_encode(p, &arg[i].key);
        *p++ = '=';
        p = ngx_chat_form_encode(p, &arg[i].value);
    }

    link.len = p - link.data;

    ngx_chat_json_string(json, &link);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_request_link_args(ngx_http_request_t *r, ngx_array_t *args,
    uint64_t page)
{
    u_char                  *p, *next, *last, *eq;
    ngx_str_t                key;
    ngx_uint_t               i;
    ngx_chat_request_arg_t  *arg;

    p = r->args.data;
    last = r->args.len ? p + r->args.len : p;

    for ( /* void */ ; p < last; p = next + 1) {
        next = ngx_strlchr(p, last, '&');
        if (next == NULL) {
            next = last;
        }

        if (next == p) {
            continue;
        }

        eq = ngx_strlchr(p, next, '=');
        if (eq == NULL) {
            eq = next;
        }

        if (ngx_chat_form_decode(r->pool, p, eq, &key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (key.len == 4 && ngx_strncmp(key.data, "page", 4) == 0) {
            continue;
        }

        arg = ngx_array_push(args);
        if (arg == NULL) {
            return NGX_ERROR;
        }

        arg->key = key;

        if (ngx_chat_form_decode(r->pool, ngx_min(eq + 1, next), next,
                                 &arg->value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (page > 1) {
        arg = ngx_array_push(args);
        if (arg == NULL) {
            return NGX_ERROR;
        }

        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_str_set(&arg->key, "page");

        arg->value.data = p;
        arg->value.len = ngx_sprintf(p, "%uL", page) - p;
    }

    arg = args->elts;

    for (i = 0; i < args->nelts; i++) {
        arg[i].order = i;
    }

    /* ngx_sort() would take half a second for the maximum number */

    ngx_qsort(args->elts, args->nelts, sizeof(ngx_chat_request_arg_t),
              ngx_chat_request_link_cmp);

    return NGX_OK;
}


static int
ngx_chat_request_link_cmp(const void *one, const void *two)
{
    const ngx_chat_request_arg_t  *a = one;
    const ngx_chat_request_arg_t  *b = two;

    ngx_int_t  rc;

    rc = ngx_memn2cmp(a->key.data, b->key.data, a->key.len, b->key.len);

    if (rc == 0) {
        return (a->order < b->order) ? -1 : 1;
    }

    return (rc < 0) ? -1 : 1;
}
