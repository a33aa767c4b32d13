
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_UPLOAD_H_INCLUDED_
#define _NGX_CHAT_UPLOAD_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/* Request bodies that are files. */


/* called in postconfiguration */
void ngx_chat_upload_filter_init(void);

/* for the step runner: as ngx_http_read_client_request_body(), into a file */
ngx_int_t ngx_chat_upload_read(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_http_client_body_handler_pt handler);

/*
 * Called every chat_body_timeout: returns true if the client has sent less than
 * chat_file_min_rate since the last call.
 */
ngx_uint_t ngx_chat_upload_slow(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/* called when the temporary file has another name */
void ngx_chat_upload_kept(ngx_http_request_t *r);


#endif /* _NGX_CHAT_UPLOAD_H_INCLUDED_ */
