
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SESSION_H_INCLUDED_
#define _NGX_CHAT_SESSION_H_INCLUDED_


#include "ngx_chat_http.h"


/* session/ and password/: first steps */

ngx_int_t ngx_chat_session_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_create(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_delete(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_password(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);

/* the form: chat_login and chat_logout */
ngx_int_t ngx_chat_session_form(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_login(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_logout(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


#endif /* _NGX_CHAT_SESSION_H_INCLUDED_ */
