
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_STATUS_H_INCLUDED_
#define _NGX_CHAT_STATUS_H_INCLUDED_


#include "ngx_chat_http.h"


/* chat_status: first step */
ngx_int_t ngx_chat_status_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/* phase handler: counts requests when they have ended, with their status */
ngx_int_t ngx_chat_status_log_handler(ngx_http_request_t *r);


#endif /* _NGX_CHAT_STATUS_H_INCLUDED_ */
