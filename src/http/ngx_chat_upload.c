
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_upload.h"


/*
 * nginx writes the body of an upload to a file.  The filter counts it, and
 * limits bodies without Content-Length.
 */


static ngx_int_t ngx_chat_upload_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_request_body_filter_pt  ngx_chat_upload_next_filter;


void
ngx_chat_upload_filter_init(void)
{
    ngx_chat_upload_next_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = ngx_chat_upload_filter;
}


static ngx_int_t
ngx_chat_upload_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t          *cl;
    ngx_chat_ctx_t       *ctx;
    ngx_chat_loc_conf_t  *chlcf;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx == NULL || !ctx->step.upload) {
        return ngx_chat_upload_next_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        ctx->step.received += ngx_buf_size(cl->buf);
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (ctx->step.received > chlcf->max_file) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "client intended to send too large file");

        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    return ngx_chat_upload_next_filter(r, in);
}


/* the file is deleted with the request, unless it is kept */

ngx_int_t
ngx_chat_upload_read(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_http_client_body_handler_pt handler)
{
    r->request_body_in_file_only = 1;
    r->request_body_in_persistent_file = 1;
    r->request_body_in_clean_file = 1;
    r->request_body_file_log_level = NGX_LOG_INFO;

    /* until the body is complete, write events do not continue the request */
    r->write_event_handler = ngx_http_request_empty_handler;

    ctx->step.upload = 1;

    r->connection->log->action = "reading a file";

    return ngx_http_read_client_request_body(r, handler);
}


ngx_uint_t
ngx_chat_upload_slow(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    off_t                 received;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    received = ctx->step.received - ctx->step.counted;
    ctx->step.counted = ctx->step.received;

    return received * 1000 < (off_t) chlcf->file_rate
                             * (off_t) chlcf->body_timeout;
}


/*
 * The name of a kept file is free.  Another host may use it, in a directory
 * that they share, before this request ends.
 */

void
ngx_chat_upload_kept(ngx_http_request_t *r)
{
    ngx_file_t               *file;
    ngx_pool_cleanup_t       *cln;
    ngx_pool_cleanup_file_t  *clnf;

    file = &r->request_body->temp_file->file;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_pool_delete_file) {
            continue;
        }

        clnf = cln->data;

        if (clnf->fd == file->fd) {
            cln->handler = ngx_pool_cleanup_file;
        }
    }
}
