
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_ATTEMPT_H_INCLUDED_
#define _NGX_CHAT_ATTEMPT_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/* Attempts to log in or to change a password: throttling, turns for hashes. */


/*
 * Failed logins.  Above this number, further attempts wait until the score has
 * decreased by half-lives.  The key of a name consists of name and address, so
 * that an attacker cannot lock out a user.  The key of an address limits
 * attempts with many names.
 */
#define NGX_CHAT_ATTEMPT_NAME_BURST     5
#define NGX_CHAT_ATTEMPT_ADDRESS_BURST  50
#define NGX_CHAT_ATTEMPT_HALF_LIFE      60    /* seconds */


/* a login or a password change */

typedef struct {
    ngx_str_t                        name;
    ngx_str_t                        password;
    ngx_str_t                        next;    /* field of a form, or empty */
    ngx_str_t                        name_key;    /* keys for throttling */
    ngx_str_t                        address_key;
    unsigned                         bearer:1;    /* token without cookie */
    unsigned                         again:1;     /* second attempt */
    unsigned                         pending:1;   /* hash in progress */
    ngx_chat_turn_t                  turn;    /* turn for the hash */
    ngx_chat_step_pt                 hashed;  /* step after the hash */
    ngx_chat_throttle_t             *throttle;

    ngx_chat_query_user_t            user;
    ngx_chat_password_job_t          check;
    ngx_chat_query_password_t        set;
    ngx_chat_query_session_create_t  session;
    ngx_str_t                        token;
} ngx_chat_login_t;


/* sets the keys for throttling; returns NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_attempt_keys(ngx_http_request_t *r,
    ngx_chat_login_t *login);

/* returns NGX_OK, or the result for the step if the attempt is throttled */
ngx_int_t ngx_chat_attempt_throttle(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);

/*
 * Checks the password in login->check.  Returns the result for the step; "next"
 * follows unless the attempt is throttled.
 */
ngx_int_t ngx_chat_attempt_hash(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_step_pt next);

/* counts a failed attempt */
void ngx_chat_attempt_charge(ngx_chat_login_t *login);


/* first step of chat_login */
ngx_int_t ngx_chat_login_page(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/*
 * Rejects a login with a message, or sends the login page if "detail" is NULL.
 * Returns the result for the step.
 */
ngx_int_t ngx_chat_login_refuse(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, const char *detail);

/*
 * Returns the URI to redirect to after a login: "next" if it is a path of this
 * host, or the one of chat_login.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_chat_login_next(ngx_http_request_t *r, ngx_str_t *next,
    ngx_str_t *location);


#endif /* _NGX_CHAT_ATTEMPT_H_INCLUDED_ */
