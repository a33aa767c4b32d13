
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_AUTH_H_INCLUDED_
#define _NGX_CHAT_AUTH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"


/* Authentication: by cookie, bearer token, or a variable of the site. */


/*
 * Phase handlers.  Sessions are looked up before limit_req, so that limits can
 * use $chat_user_id.  A name from a variable is read after the access phase,
 * which verifies it.
 */
ngx_int_t ngx_chat_auth_session_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_auth_variable_handler(ngx_http_request_t *r);


/*
 * Returns true if time has passed, or a session was revoked, since the last
 * check of the request.
 */
ngx_uint_t ngx_chat_auth_stale(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/*
 * Checks the request again.  Returns NGX_OK or NGX_ERROR; NGX_DECLINED if the
 * session has ended; NGX_AGAIN if the caller must run the query in ctx->data,
 * of this type, and then call ngx_chat_auth_still().
 */
ngx_int_t ngx_chat_auth_again(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const ngx_chat_db_type_t **type);

/* returns NGX_OK, or NGX_DECLINED if the session or the user is not valid */
ngx_int_t ngx_chat_auth_still(ngx_chat_ctx_t *ctx, ngx_chat_db_job_t *job);

/* adds Location with the login page; returns a status */
ngx_int_t ngx_chat_auth_redirect(ngx_http_request_t *r, ngx_str_t *uri);

/*
 * Reads the display name and the avatar of chat_profile.  Returns NGX_OK;
 * NGX_DECLINED if there is no name, both are empty then; or NGX_ERROR.
 */
ngx_int_t ngx_chat_auth_site_profile(ngx_http_request_t *r,
    ngx_str_t *display_name, ngx_str_t *avatar_url);

/*
 * Stores them if they differ from those of the user, whose record in the zone
 * has this name.  The request does not wait for that.  Returns NGX_OK or a
 * status.
 */
ngx_int_t ngx_chat_auth_site_copy(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name);

/*
 * Compares the user with X-Chat-User, the name that the client expects.
 * Returns NGX_OK if they match or there is no such header, or NGX_DECLINED.
 */
ngx_int_t ngx_chat_auth_expected(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/*
 * Reads the session tokens of a request, from the cookie or the Authorization
 * header, into ctx->auth.tokens, without checking them.
 */
void ngx_chat_auth_identify(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/*
 * Adds Set-Cookie with the token.  NULL deletes the cookie.  Returns NGX_OK or
 * NGX_ERROR.
 */
ngx_int_t ngx_chat_auth_set_cookie(ngx_http_request_t *r, ngx_str_t *token);


/*
 * Checks the origin of a request: Origin, Sec-Fetch-Site or Referer.  Returns
 *
 *   NGX_OK        the origin of this site, one of chat_allowed_origins, or
 *                 none, as in requests of programs
 *   NGX_DECLINED  another origin
 *   NGX_ABORT     this host over plain http, while the session cookie requires
 *                 https
 */
ngx_int_t ngx_chat_origin(ngx_http_request_t *r);

/* returns true if the session cookie of this request requires https */
ngx_uint_t ngx_chat_origin_secure(ngx_http_request_t *r);


#endif /* _NGX_CHAT_AUTH_H_INCLUDED_ */
