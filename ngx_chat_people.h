
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PEOPLE_H_INCLUDED_
#define _NGX_CHAT_PEOPLE_H_INCLUDED_


#include "ngx_chat_http.h"


/* user/ and conversation/: first steps */

ngx_int_t ngx_chat_user_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_user_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_conversation_list(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_conversation_read(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 * For steps: who is called "name"?  NGX_OK with *user filled in (id 0: nobody)
 * or what the step is to return; then "next" is run with it filled in.
 */
ngx_int_t ngx_chat_user_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name, ngx_chat_user_t *user, ngx_chat_step_pt next);


#endif /* _NGX_CHAT_PEOPLE_H_INCLUDED_ */
