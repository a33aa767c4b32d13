
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_MESSAGE_H_INCLUDED_
#define _NGX_CHAT_MESSAGE_H_INCLUDED_


#include "ngx_chat_http.h"


/* message/: first steps */

ngx_int_t ngx_chat_message_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_message_create(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_message_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/* the message is the answer, and is kept for the next who asks for it */
ngx_int_t ngx_chat_message_one(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_message_t *message);


#endif /* _NGX_CHAT_MESSAGE_H_INCLUDED_ */
