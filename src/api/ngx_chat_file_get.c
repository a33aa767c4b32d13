
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/query/ngx_chat_query_file.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/api/ngx_chat_endpoint.h"


static ngx_int_t ngx_chat_file_send(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_uint_t ngx_chat_file_is(ngx_str_t *type, const ngx_str_t *types);
static ngx_int_t ngx_chat_file_headers(ngx_http_request_t *r,
    ngx_chat_query_file_row_t *file);
static ngx_int_t ngx_chat_file_disposition(ngx_http_request_t *r,
    ngx_chat_query_file_row_t *file, ngx_str_t *value);


/* types that browsers display without running scripts; a "/" ends a prefix */

static const ngx_str_t  ngx_chat_file_inline[] = {
    ngx_string("image/png"),
    ngx_string("image/jpeg"),
    ngx_string("image/gif"),
    ngx_string("image/webp"),
    ngx_string("image/avif"),
    ngx_string("audio/"),
    ngx_string("video/"),
    ngx_null_string
};


/* types of the image filter */

static const ngx_str_t  ngx_chat_file_filtered[] = {
    ngx_string("image/png"),
    ngx_string("image/jpeg"),
    ngx_string("image/gif"),
    ngx_string("image/webp"),
    ngx_null_string
};


/*
 * GET file/TOKEN/[NAME][?size=thumb]
 *
 *   get -> (row) -> send -> (internal redirect to the location of the files)
 */

ngx_int_t
ngx_chat_file_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_file_t  *op;

    if (ngx_chat_file_token_check(&ctx->name) != NGX_OK) {
        return ngx_chat_response_not_found(r, ctx);
    }

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_file_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->user_id = ctx->user.id;
    op->file.token = ctx->name;

    ctx->data = op;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_file_get,
                               ngx_chat_file_send);
}


static ngx_int_t
ngx_chat_file_send(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_file_t *op = ctx->data;

    u_char               *p;
    ngx_str_t            *uri;
    ngx_chat_loc_conf_t  *chlcf;

    ngx_chat_field_t  args[] = {
        ngx_chat_field("size")
    };

    if (op->file.size == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    if (ngx_chat_request_args(r, args, 1) != NGX_OK
        || ngx_chat_file_headers(r, &op->file) != NGX_OK)
    {
        return NGX_ERROR;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    uri = &chlcf->files_uri;

    if (chlcf->thumbs_uri.len && args[0].value.len == 5
        && ngx_strncmp(args[0].value.data, "thumb", 5) == 0
        && ngx_chat_file_is(&op->file.type, ngx_chat_file_filtered))
    {
        uri = &chlcf->thumbs_uri;
    }

    p = ngx_pnalloc(r->pool, uri->len + NGX_CHAT_FILE_PATH_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->response.page.data = p;

    p = ngx_cpymem(p, uri->data, uri->len);
    p = ngx_chat_file_path(p, ctx->name.data);

    ctx->response.page.len = p - ctx->response.page.data;

    return NGX_DONE;
}


static ngx_uint_t
ngx_chat_file_is(ngx_str_t *type, const ngx_str_t *types)
{
    for ( /* void */ ; types->len; types++) {

        if (type->len >= types->len
            && ngx_memcmp(type->data, types->data, types->len) == 0
            && (type->len == types->len || types->data[types->len - 1] == '/'))
        {
            return 1;
        }
    }

    return 0;
}


/*
 * The location of the files keeps these headers.  A file is the content of a
 * user: it has no access to the site, regardless of its type.
 */

static ngx_int_t
ngx_chat_file_headers(ngx_http_request_t *r, ngx_chat_query_file_row_t *file)
{
    ngx_str_t   disposition;
    ngx_uint_t  i;

    static struct {
        const char  *name;
        ngx_str_t    value;
    } headers[] = {
        { "X-Content-Type-Options", ngx_string("nosniff") },
        { "Content-Security-Policy",
          ngx_string("sandbox; default-src 'none'") },
        { "Cache-Control", ngx_string("private") },
        { "Vary", ngx_string("Cookie") },
        { "Referrer-Policy", ngx_string("same-origin") }
    };

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (ngx_chat_response_add_header(r, headers[i].name, &headers[i].value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_chat_file_disposition(r, file, &disposition) != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.content_type = file->type;
    r->headers_out.content_type_len = file->type.len;

    return ngx_chat_response_add_header(r, "Content-Disposition",
                                        &disposition);
}


/*
 * RFC 6266: a name in ASCII, and the complete name for clients that read
 * "filename*".
 */

static ngx_int_t
ngx_chat_file_disposition(ngx_http_request_t *r,
    ngx_chat_query_file_row_t *file, ngx_str_t *value)
{
    u_char      *p, *name, *last;
    uint32_t     c;
    const char  *kind;

    static const char  format[] = "%s; filename=\"";
    static const char  extended[] = "\"; filename*=UTF-8''";

    kind = ngx_chat_file_is(&file->type, ngx_chat_file_inline) ? "inline"
                                                               : "attachment";

    p = ngx_pnalloc(r->pool, sizeof(format) + sizeof("attachment")
                             + sizeof(extended) + 4 * file->name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value->data = p;

    p = ngx_sprintf(p, format, kind);

    name = file->name.data;
    last = name + file->name.len;

    while (name < last) {
        c = ngx_chat_string_char(&name, last);

        /* "%" is decoded by some clients */

        *p++ = (c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '%')
               ? '_' : (u_char) c;
    }

    p = ngx_cpymem(p, extended, sizeof(extended) - 1);

    p = (u_char *) ngx_escape_uri(p, file->name.data, file->name.len,
                                  NGX_ESCAPE_URI_COMPONENT);

    value->len = p - value->data;

    return NGX_OK;
}
