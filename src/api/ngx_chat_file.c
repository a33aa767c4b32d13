
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/query/ngx_chat_query_file.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/http/ngx_chat_upload.h"
#include "src/api/ngx_chat_endpoint.h"


#define NGX_CHAT_FILE_NAME_MAX     255        /* characters */
#define NGX_CHAT_FILE_TYPE_MAX     127        /* bytes */

/* Retry-After if the quota is exhausted, seconds */
#define NGX_CHAT_FILE_QUOTA_RETRY  3600


/* state of an upload */

typedef struct {
    ngx_chat_query_file_t      op;             /* first member */
    ngx_chat_file_job_t        job;
} ngx_chat_upload_t;


static ngx_int_t ngx_chat_file_name(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name);
static const char *ngx_chat_file_name_problem(ngx_str_t *name);
static ngx_int_t ngx_chat_file_type(ngx_http_request_t *r, ngx_str_t *type);
static ngx_int_t ngx_chat_file_quota(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_file_received(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_file_kept(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_file_verify(ngx_str_t *type, ngx_chat_image_t *image);
static ngx_int_t ngx_chat_file_created(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_file_refuse(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_file_failed(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_file_exceeded(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* types of files that are images only if their header says so */

static const ngx_str_t  ngx_chat_file_images[] = {
    ngx_null_string,
    ngx_string("image/png"),
    ngx_string("image/jpeg"),
    ngx_string("image/gif"),
    ngx_string("image/webp"),
    ngx_string("image/avif")
};


/*
 * POST file/?name=NAME
 *
 *   create -> (usage) -> quota -> (body) -> received -> (thread) -> kept
 *                          |                               |
 *                          +-> 429                         +-> 503
 *
 *   kept -> (row) -> created: 201
 *                       |
 *                       +-> refuse -> (thread) -> exceeded: 429
 *
 * If the worker ends before the row is stored, or the query fails, the file
 * remains without a row; "chatctl files check" finds it.
 */

ngx_int_t
ngx_chat_file_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_chat_upload_t    *upload;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (r->headers_in.content_length_n > chlcf->max_file) {
        return ngx_chat_response_error(r, ctx,
                                       NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                       "The file is too large.");
    }

    if (r->headers_in.content_length_n == 0) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                       "The file is empty.");
    }

    upload = ngx_pcalloc(r->pool, sizeof(ngx_chat_upload_t));
    if (upload == NULL) {
        return NGX_ERROR;
    }

    ctx->upload = upload;

    rc = ngx_chat_file_name(r, ctx, &upload->op.file.name);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_chat_file_type(r, &upload->op.file.type) != NGX_OK) {
        return NGX_ERROR;
    }

    upload->op.user_id = ctx->user.id;
    upload->op.quota = chlcf->file_quota;

    return ngx_chat_step_query(r, ctx, &upload->op.job,
                               &ngx_chat_query_file_usage,
                               ngx_chat_file_quota);
}


/* the argument "name", in NFC */

static ngx_int_t
ngx_chat_file_name(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name)
{
    size_t       size;
    u_char      *buf;
    ngx_str_t    normal;
    const char  *problem;

    ngx_chat_field_t  args[] = {
        ngx_chat_field("name")
    };

    if (ngx_chat_request_args(r, args, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    if (args[0].state == NGX_CHAT_FIELD_MISSING) {
        return ngx_chat_response_invalid(r, ctx, "name",
                                         "This field is required.");
    }

    ngx_chat_string_trim(&args[0].value);

    size = 4 * NGX_CHAT_FILE_NAME_MAX;

    buf = ngx_pnalloc(r->pool, size);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    if (args[0].state != NGX_CHAT_FIELD_TEXT
        || ngx_chat_unicode_normalize(&args[0].value, NGX_CHAT_UNICODE_NFC,
                                      buf, size, &normal)
           != NGX_OK)
    {
        return ngx_chat_response_invalid(r, ctx, "name",
                                         "1 to 255 characters are required.");
    }

    problem = ngx_chat_file_name_problem(&normal);

    if (problem) {
        return ngx_chat_response_invalid(r, ctx, "name", problem);
    }

    *name = normal;

    return NGX_OK;
}


/*
 * The name is for clients only.  A client may store a file under it, so it is
 * no path, and has no characters that hide its end.
 */

static const char *
ngx_chat_file_name_problem(ngx_str_t *name)
{
    u_char    *p, *last;
    uint32_t   c;

    if (name->len == 0 || ngx_chat_unicode_blank(name)
        || ngx_chat_string_length(name) > NGX_CHAT_FILE_NAME_MAX)
    {
        return "1 to 255 characters are required.";
    }

    if (name->data[0] == '.'
        && (name->len == 1 || (name->len == 2 && name->data[1] == '.')))
    {
        return "This name is a path.";
    }

    p = name->data;
    last = p + name->len;

    while (p < last) {
        c = ngx_chat_string_char(&p, last);

        if (c == '/' || c == '\\') {
            return "This name is a path.";
        }

        /* controls, line separators, and changes of the direction */

        if (c < 0x20 || (c >= 0x7f && c < 0xa0)
            || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
        {
            return "Control characters are not allowed.";
        }
    }

    return NULL;
}


/* "type/subtype" of the Content-Type, in lower case */

static ngx_int_t
ngx_chat_file_type(ngx_http_request_t *r, ngx_str_t *type)
{
    u_char      *p;
    size_t       i;
    ngx_str_t    value;
    ngx_uint_t   slashes;

    ngx_str_set(type, "application/octet-stream");

    if (r->headers_in.content_type == NULL) {
        return NGX_OK;
    }

    value = r->headers_in.content_type->value;

    p = ngx_strlchr(value.data, value.data + value.len, ';');
    if (p) {
        value.len = p - value.data;
    }

    ngx_chat_string_trim(&value);

    if (value.len > NGX_CHAT_FILE_TYPE_MAX) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, value.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    slashes = 0;

    for (i = 0; i < value.len; i++) {
        p[i] = ngx_tolower(value.data[i]);

        if (p[i] == '/' && i && i != value.len - 1) {
            slashes++;

        } else if (!((p[i] >= 'a' && p[i] <= 'z')
                     || (p[i] >= '0' && p[i] <= '9')
                     || (p[i] && ngx_strchr("!#$&-^_.+", p[i]))))
        {
            return NGX_OK;
        }
    }

    if (slashes == 1) {
        type->len = value.len;
        type->data = p;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_file_quota(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_upload_t *upload = ctx->upload;

    if (upload->op.job.rc == NGX_DECLINED) {
        return ngx_chat_file_failed(r, ctx);
    }

    if (upload->op.usage + ngx_max(r->headers_in.content_length_n, 1)
        > upload->op.quota)
    {
        return ngx_chat_file_exceeded(r, ctx);
    }

    ctx->next = ngx_chat_file_received;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_chat_file_received(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_upload_t *upload = ctx->upload;

    ngx_temp_file_t        *tf;
    ngx_chat_main_conf_t   *chmcf;

    tf = r->request_body ? r->request_body->temp_file : NULL;

    if (tf == NULL || ctx->step.received == 0) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                       "The file is empty.");
    }

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    upload->op.file.size = ctx->step.received;

    upload->op.file.token.len = NGX_CHAT_FILE_TOKEN_LEN;
    upload->op.file.token.data = ngx_pnalloc(r->pool, NGX_CHAT_FILE_TOKEN_LEN);

    if (upload->op.file.token.data == NULL
        || ngx_chat_file_token(upload->op.file.token.data) != NGX_OK)
    {
        return NGX_ERROR;
    }

    upload->job.dir = chmcf->files;
    upload->job.temp = tf->file.name;
    upload->job.tokens = upload->op.file.token;

    ctx->write = 1;

    return ngx_chat_step_file(r, ctx, &upload->job, ngx_chat_file_kept);
}


static ngx_int_t
ngx_chat_file_kept(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_upload_t *upload = ctx->upload;

    if (upload->job.rc != NGX_OK) {
        return ngx_chat_response_unavailable(r, ctx);
    }

    ngx_chat_upload_kept(r);

    ngx_chat_file_verify(&upload->op.file.type, &upload->job.image);

    upload->op.file.width = upload->job.image.width;
    upload->op.file.height = upload->job.image.height;

    return ngx_chat_step_query(r, ctx, &upload->op.job,
                               &ngx_chat_query_file_create,
                               ngx_chat_file_created);
}


/* a file that only claims to be an image is not displayed as one */

static void
ngx_chat_file_verify(ngx_str_t *type, ngx_chat_image_t *image)
{
    ngx_uint_t        i;
    const ngx_str_t  *name;

    for (i = NGX_CHAT_IMAGE_PNG; i <= NGX_CHAT_IMAGE_AVIF; i++) {
        name = &ngx_chat_file_images[i];

        if (type->len == name->len
            && ngx_memcmp(type->data, name->data, name->len) == 0)
        {
            if (i == (ngx_uint_t) image->format) {
                return;
            }

            ngx_str_set(type, "application/octet-stream");
            break;
        }
    }

    image->width = 0;
    image->height = 0;
}


static ngx_int_t
ngx_chat_file_created(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_upload_t *upload = ctx->upload;

    ngx_chat_json_t            *json;
    ngx_chat_query_file_row_t  *file;

    /* an earlier attempt, whose outcome was unknown, may have stored the row */

    if (!(upload->op.job.rc == NGX_OK && upload->op.created)
        && !(upload->op.job.rc == NGX_DECLINED && upload->op.job.repeated
             && upload->op.job.errcode == NGX_CHAT_QUERY_DUPLICATE))
    {
        return ngx_chat_file_refuse(r, ctx);
    }

    file = &upload->op.file;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "file");
    ngx_chat_json_string(json, &file->token);
    ngx_chat_json_key(json, "name");
    ngx_chat_json_string(json, &file->name);
    ngx_chat_json_key(json, "type");
    ngx_chat_json_string(json, &file->type);
    ngx_chat_json_key(json, "size");
    ngx_chat_json_number(json, file->size);

    if (file->width) {
        ngx_chat_json_key(json, "width");
        ngx_chat_json_number(json, file->width);
        ngx_chat_json_key(json, "height");
        ngx_chat_json_number(json, file->height);
    }

    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_CREATED, json);
}


/* removes the file again */

static ngx_int_t
ngx_chat_file_refuse(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_upload_t *upload = ctx->upload;

    ngx_str_null(&upload->job.temp);

    return ngx_chat_step_file(r, ctx, &upload->job,
                              upload->op.job.rc == NGX_OK
                              ? ngx_chat_file_exceeded
                              : ngx_chat_file_failed);
}


static ngx_int_t
ngx_chat_file_failed(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_upload_t *upload = ctx->upload;

    return (upload->op.job.errcode == NGX_CHAT_QUERY_OLD_SCHEMA)
           ? ngx_chat_response_unavailable(r, ctx) : NGX_ERROR;
}


static ngx_int_t
ngx_chat_file_exceeded(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ctx->response.retry_after = NGX_CHAT_FILE_QUOTA_RETRY;

    return ngx_chat_response_error(r, ctx, NGX_HTTP_TOO_MANY_REQUESTS,
                                   "You have uploaded too many files today. "
                                   "Try again later.");
}
