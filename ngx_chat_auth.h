
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_AUTH_H_INCLUDED_
#define _NGX_CHAT_AUTH_H_INCLUDED_


#include "ngx_chat_http.h"


/*
 * Who is calling: cookie, bearer token or the site's own name; and from what
 * origin.
 */


/*
 * Phase handlers.  Sessions are looked up before limit_req, so that limits can
 * use $chat_user_id; a name from a variable is taken after the access phase,
 * when whoever sets it has checked it.
 */
ngx_int_t ngx_chat_auth_session_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_auth_variable_handler(ngx_http_request_t *r);

/* the request's context, made when there is none; NULL: no memory */
ngx_chat_ctx_t *ngx_chat_auth_ctx(ngx_http_request_t *r);

/* the one there is, or was before an internal redirect; NULL: none */
ngx_chat_ctx_t *ngx_chat_auth_ctx_kept(ngx_http_request_t *r);

/* what requests to a location count as, as far as that is known before */
ngx_chat_request_e ngx_chat_auth_request(ngx_chat_loc_conf_t *chlcf);

/* ctx->session and ctx->hash, of the token that was sent */
void ngx_chat_auth_identify(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/* NGX_OK, or NGX_DECLINED: the browser says it comes from elsewhere */
ngx_int_t ngx_chat_auth_origin(ngx_http_request_t *r);

/* Set-Cookie with this token, or one that deletes the cookie (NULL) */
ngx_int_t ngx_chat_auth_set_cookie(ngx_http_request_t *r, ngx_str_t *token);


#endif /* _NGX_CHAT_AUTH_H_INCLUDED_ */
