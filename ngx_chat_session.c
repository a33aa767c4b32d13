
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_api.h"
#include "ngx_chat_auth.h"
#include "ngx_chat_session.h"


/*
 * Failed log-ins: so many at once, and then whenever what they add up to, of
 * which a half is forgotten in so many seconds, is below that again.  The key
 * of a name is name and address together, so that nobody can lock somebody
 * else out; that of an address alone bounds who tries many names.
 */
#define NGX_CHAT_SESSION_NAME_BURST     5
#define NGX_CHAT_SESSION_ADDRESS_BURST  50
#define NGX_CHAT_SESSION_HALF_LIFE      60    /* seconds */

#define NGX_CHAT_SESSION_MIN_PASSWORD   8     /* characters */


/* of a log-in, or a change of password */

typedef struct {
    ngx_str_t                      name;
    ngx_str_t                      password;
    ngx_str_t                      next;      /* a form's, or empty */
    ngx_str_t                      name_key;  /* of throttling */
    ngx_str_t                      address_key;
    unsigned                       bearer:1;  /* wants the token, no cookie */
    unsigned                       again:1;   /* from the beginning, once */

    ngx_chat_sql_user_t            user;
    ngx_chat_password_job_t        check;
    ngx_chat_sql_password_t        set;
    ngx_chat_sql_session_create_t  session;
    ngx_str_t                      token;
} ngx_chat_session_login_t;


static ngx_chat_session_login_t *ngx_chat_session_begin(
    ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_find(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_throttle(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_keys(ngx_http_request_t *r,
    ngx_chat_session_login_t *login);
static ngx_int_t ngx_chat_session_check(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_checked(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_wrong(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_store(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_stored(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_delete_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);

static ngx_int_t ngx_chat_session_password_check(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_password_checked(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_session_password_set(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);

static ngx_int_t ngx_chat_session_refuse(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_uint_t status, const char *detail);
static ngx_int_t ngx_chat_session_next(ngx_http_request_t *r,
    ngx_str_t *next, ngx_str_t *location);


/* the log-in page where chat_login names none */

static ngx_str_t  ngx_chat_session_page_head = ngx_string(
    "<!DOCTYPE html>" CRLF
    "<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\">"
    "<title>Log in</title></head><body>" CRLF
    "<h1>Log in</h1>" CRLF
);

static ngx_str_t  ngx_chat_session_page_form = ngx_string(
    "<form method=\"post\">" CRLF
    "<p><label>Username <input name=\"username\" autocomplete=\"username\" "
    "required autofocus></label></p>" CRLF
    "<p><label>Password <input name=\"password\" type=\"password\" "
    "autocomplete=\"current-password\" required></label></p>" CRLF
    "<p><button>Log in</button></p>" CRLF
    "</form></body></html>" CRLF
);


/* GET session/: who am I */

ngx_int_t
ngx_chat_session_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "username");
    ngx_chat_json_string(json, &ctx->user.name);
    ngx_chat_json_key(json, "user_id");
    ngx_chat_json_number(json, ctx->user.id);
    ngx_chat_json_key(json, "is_admin");
    ngx_chat_json_bool(json, ctx->user.admin);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


/*
 * POST session/ and POST of the form
 *
 *   create | login -> find -> check -> checked -> store -> stored
 *                     ^|                  |                 |
 *                     |+-- throttled      +-- wrong         |
 *                     +-- the password was not the same ----+
 */

ngx_int_t
ngx_chat_session_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_chat_session_login_t  *login;

    enum { USERNAME, PASSWORD, TOKEN };

    ngx_chat_field_t  fields[] = {
        { ngx_string("username"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("password"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("token"), NGX_CHAT_FIELD_MISSING, ngx_null_string }
    };

    rc = ngx_chat_http_fields(r, ctx, fields, 3);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_http_required(r, ctx, fields, 2, 1 << PASSWORD);
    if (rc != NGX_OK) {
        return rc;
    }

    login = ngx_chat_session_begin(r, ctx);
    if (login == NULL) {
        return NGX_ERROR;
    }

    login->name = fields[USERNAME].value;
    login->password = fields[PASSWORD].value;
    login->bearer = (fields[TOKEN].value.len == 4
                     && ngx_strncmp(fields[TOKEN].value.data, "true", 4)
                        == 0);

    ctx->next = ngx_chat_session_find;

    return NGX_OK;
}


ngx_int_t
ngx_chat_session_login(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_chat_session_login_t  *login;

    enum { USERNAME, PASSWORD, NEXT };

    ngx_chat_field_t  fields[] = {
        { ngx_string("username"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("password"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("next"), NGX_CHAT_FIELD_MISSING, ngx_null_string }
    };

    rc = ngx_chat_http_fields(r, ctx, fields, 3);
    if (rc != NGX_OK) {
        return rc;
    }

    /* the form's own "next", or that of the page's address */

    if (fields[NEXT].value.len == 0
        && ngx_chat_http_args(r, &fields[NEXT], 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    login = ngx_chat_session_begin(r, ctx);
    if (login == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_text_trim(&fields[USERNAME].value);

    login->name = fields[USERNAME].value;
    login->password = fields[PASSWORD].value;
    login->next = fields[NEXT].value;

    if (login->name.len == 0 || login->password.len == 0) {
        return ngx_chat_session_refuse(r, ctx, NGX_HTTP_OK,
                                       "Please enter both username and "
                                       "password.");
    }

    ctx->next = ngx_chat_session_find;

    return NGX_OK;
}


static ngx_chat_session_login_t *
ngx_chat_session_begin(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ctx->data = ngx_pcalloc(r->pool, sizeof(ngx_chat_session_login_t));

    return ctx->data;
}


static ngx_int_t
ngx_chat_session_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    ngx_int_t  rc;

    if (ngx_chat_session_keys(r, login) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_chat_session_throttle(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    /* a name that nobody can have costs what a wrong password does */

    if (ngx_chat_text_name(&login->name) != NGX_OK) {
        ctx->next = ngx_chat_session_check;
        return NGX_OK;
    }

    login->user.name = login->name;

    return ngx_chat_api_query(r, ctx, &login->user.job,
                              &ngx_chat_sql_user_by_name,
                              ngx_chat_session_check);
}


/* NGX_OK, or what the step is to return */

static ngx_int_t
ngx_chat_session_throttle(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    ngx_uint_t         wait, longer;
    ngx_chat_cache_t  *cache;

    cache = ngx_chat_http_cache(r);

    wait = ngx_chat_cache_throttled(cache, &login->name_key,
                                    NGX_CHAT_SESSION_NAME_BURST,
                                    NGX_CHAT_SESSION_HALF_LIFE);
    longer = ngx_chat_cache_throttled(cache, &login->address_key,
                                      NGX_CHAT_SESSION_ADDRESS_BURST,
                                      NGX_CHAT_SESSION_HALF_LIFE);

    wait = ngx_max(wait, longer);

    if (wait == 0) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "chat log-in throttled for %ui seconds", wait);

    ngx_chat_http_count(r, NGX_CHAT_COUNT_LOGIN_THROTTLED);

    ctx->retry_after = wait;

    return ngx_chat_session_refuse(r, ctx, NGX_HTTP_TOO_MANY_REQUESTS,
                                   "Too many attempts. Try again later.");
}


/*
 * The name in lower case as far as ASCII goes: case is no new start.  Nor is
 * another address of a network that belongs to one customer, a /64 of IPv6.
 */

static ngx_int_t
ngx_chat_session_keys(ngx_http_request_t *r, ngx_chat_session_login_t *login)
{
    u_char               *p;
    size_t                len;
    ngx_str_t             addr;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    addr = r->connection->addr_text;

#if (NGX_HAVE_INET6)

    sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;

    if (sin6->sin6_family == AF_INET6
        && !IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr))
    {
        addr.data = sin6->sin6_addr.s6_addr;
        addr.len = 8;
    }

#endif

    len = ngx_min(login->name.len, 150);

    p = ngx_pnalloc(r->pool, 2 * addr.len + 1 + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    login->address_key.data = p;
    login->address_key.len = addr.len;
    p = ngx_cpymem(p, addr.data, addr.len);

    login->name_key.data = p;
    login->name_key.len = addr.len + 1 + len;
    p = ngx_cpymem(p, addr.data, addr.len);
    *p++ = ' ';
    ngx_strlow(p, login->name.data, len);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_session_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    if (login->user.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    login->check.password = login->password;
    login->check.upgrade = 1;

    if (login->user.user.id && login->user.user.active) {
        login->check.stored = login->user.user.password;
    }

    return ngx_chat_api_password(r, ctx, &login->check,
                                 ngx_chat_session_checked);
}


static ngx_int_t
ngx_chat_session_checked(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    ngx_int_t  rc;

    /* many tries at a time were all let in: only the first are told */

    rc = ngx_chat_session_throttle(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (login->check.rc == NGX_DECLINED) {
        return ngx_chat_session_wrong(r, ctx);
    }

    ngx_chat_cache_forgive(ngx_chat_http_cache(r), &login->name_key);

    if (login->check.hash.len == 0) {
        ctx->next = ngx_chat_session_store;
        return NGX_OK;
    }

    /* the stored password is of a dated form */

    login->set.user_id = login->user.user.id;
    login->set.old = login->user.user.password;
    login->set.new = login->check.hash;

    return ngx_chat_api_query(r, ctx, &login->set.job,
                              &ngx_chat_sql_password_set,
                              ngx_chat_session_store);
}


static ngx_int_t
ngx_chat_session_wrong(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    ngx_chat_cache_t  *cache;

    cache = ngx_chat_http_cache(r);

    ngx_chat_cache_failed(cache, &login->name_key,
                          NGX_CHAT_SESSION_HALF_LIFE);
    ngx_chat_cache_failed(cache, &login->address_key,
                          NGX_CHAT_SESSION_HALF_LIFE);

    ngx_chat_http_count(r, NGX_CHAT_COUNT_LOGIN_FAILED);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "chat log-in failed");

    return ngx_chat_session_refuse(r, ctx, ctx->form ? NGX_HTTP_OK
                                                     : NGX_HTTP_FORBIDDEN,
                                   "Wrong username or password.");
}


static ngx_int_t
ngx_chat_session_store(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    ngx_chat_loc_conf_t  *chlcf;

    if (login->set.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    login->token.len = NGX_CHAT_TOKEN_LEN;
    login->token.data = ngx_pnalloc(r->pool, NGX_CHAT_TOKEN_LEN);

    if (login->token.data == NULL
        || ngx_chat_password_token(login->token.data) != NGX_OK
        || ngx_chat_password_token_hash(&login->token, login->session.hash)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    login->session.user_id = login->user.user.id;
    login->session.password = login->set.changed ? login->set.new
                                                 : login->user.user.password;
    login->session.expires = ngx_time() + chlcf->session_lifetime;

    return ngx_chat_api_query(r, ctx, &login->session.job,
                              &ngx_chat_sql_session_create,
                              ngx_chat_session_stored);
}


static ngx_int_t
ngx_chat_session_stored(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    ngx_str_t         location;
    ngx_chat_json_t  *json;

    if (login->session.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    if (!login->session.created) {

        /* the password has been changed, or hashed anew, since it was read */

        if (login->again) {
            return ngx_chat_session_wrong(r, ctx);
        }

        login->again = 1;

        ngx_memzero(&login->set, sizeof(ngx_chat_sql_password_t));
        ngx_memzero(&login->check, sizeof(ngx_chat_password_job_t));

        ctx->next = ngx_chat_session_find;
        return NGX_OK;
    }

    ctx->user = login->user.user;

    ngx_chat_http_count(r, NGX_CHAT_COUNT_LOGIN_OK);
    ngx_chat_http_count(r, login->bearer ? NGX_CHAT_COUNT_SESSION_TOKEN
                                         : NGX_CHAT_COUNT_SESSION_COOKIE);
    ngx_chat_metrics_add(ngx_chat_http_metrics(r),
                         NGX_CHAT_COUNT_SESSION_EXPIRED,
                         login->session.expired);

    if (!login->bearer
        && ngx_chat_auth_set_cookie(r, &login->token) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->form) {
        if (ngx_chat_session_next(r, &login->next, &location) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_chat_http_redirect(r, ctx, &location);
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "username");
    ngx_chat_json_string(json, &ctx->user.name);
    ngx_chat_json_key(json, "user_id");
    ngx_chat_json_number(json, ctx->user.id);
    ngx_chat_json_key(json, "is_admin");
    ngx_chat_json_bool(json, ctx->user.admin);

    if (login->bearer) {
        ngx_chat_json_key(json, "token");
        ngx_chat_json_string(json, &login->token);
    }

    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


/*
 * DELETE session/, and the log-out link
 *
 *   delete | logout -> delete_done
 */

ngx_int_t
ngx_chat_session_delete(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_session_t  *op;

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_sql_session_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    ctx->data = op;

    if (!ctx->session) {

        /* the site's own log-in, or none: there is nothing to end */

        ctx->next = ngx_chat_session_delete_done;
        return NGX_OK;
    }

    ngx_memcpy(op->hash, ctx->hash, NGX_CHAT_HASH_LEN);

    ctx->write = 1;

    return ngx_chat_api_query(r, ctx, &op->job, &ngx_chat_sql_session_delete,
                              ngx_chat_session_delete_done);
}


ngx_int_t
ngx_chat_session_logout(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_auth_identify(r, ctx);

    ctx->next = ngx_chat_session_delete;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_session_delete_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_session_t *op = ctx->data;

    ngx_str_t             location;
    ngx_chat_loc_conf_t  *chlcf;

    if (op->job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    if (ctx->session) {
        ngx_chat_cache_revoke_session(ngx_chat_http_cache(r), ctx->hash);
    }

    if (op->ended) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_SESSION_LOGOUT);
    }

    if (ngx_chat_auth_set_cookie(r, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->form) {
        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
        location = chlcf->logout_redirect;

        return ngx_chat_http_redirect(r, ctx, &location);
    }

    return NGX_HTTP_NO_CONTENT;
}


/*
 * POST password/ {"old_password":"…","new_password":"…"}
 *
 *   password -> password_check -> password_checked -> password_set
 */

ngx_int_t
ngx_chat_session_password(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_chat_session_login_t  *login;

    enum { OLD, NEW };

    ngx_chat_field_t  fields[] = {
        { ngx_string("old_password"), NGX_CHAT_FIELD_MISSING,
          ngx_null_string },
        { ngx_string("new_password"), NGX_CHAT_FIELD_MISSING,
          ngx_null_string }
    };

    rc = ngx_chat_http_fields(r, ctx, fields, 2);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_http_required(r, ctx, fields, 2, 1 << OLD | 1 << NEW);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_chat_text_length(&fields[NEW].value)
        < NGX_CHAT_SESSION_MIN_PASSWORD)
    {
        return ngx_chat_http_invalid(r, ctx, "new_password",
                                     "This password is too short. It must "
                                     "contain at least 8 characters.");
    }

    if (fields[NEW].value.len > NGX_CHAT_PASSWORD_MAX) {
        return ngx_chat_http_invalid(r, ctx, "new_password",
                                     "This password is too long.");
    }

    login = ngx_chat_session_begin(r, ctx);
    if (login == NULL) {
        return NGX_ERROR;
    }

    login->name = ctx->user.name;
    login->password = fields[OLD].value;
    login->check.fresh = fields[NEW].value;
    login->user.name = ctx->user.name;

    if (ngx_chat_session_keys(r, login) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_chat_session_throttle(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_chat_api_query(r, ctx, &login->user.job,
                              &ngx_chat_sql_user_by_name,
                              ngx_chat_session_password_check);
}


static ngx_int_t
ngx_chat_session_password_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    if (login->user.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    login->check.password = login->password;
    login->check.stored = login->user.user.password;

    return ngx_chat_api_password(r, ctx, &login->check,
                                 ngx_chat_session_password_checked);
}


static ngx_int_t
ngx_chat_session_password_checked(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    ngx_int_t  rc;

    /* as with log-ins, many tries at a time were all let in */

    rc = ngx_chat_session_throttle(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (login->check.rc == NGX_DECLINED) {
        ngx_chat_cache_failed(ngx_chat_http_cache(r), &login->name_key,
                              NGX_CHAT_SESSION_HALF_LIFE);

        return ngx_chat_http_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                   "Wrong password.");
    }

    login->set.user_id = ctx->user.id;
    login->set.old = login->user.user.password;
    login->set.new = login->check.hash;
    login->set.end_sessions = 1;

    ngx_memcpy(login->set.keep, ctx->hash, NGX_CHAT_HASH_LEN);

    ctx->write = 1;

    return ngx_chat_api_query(r, ctx, &login->set.job,
                              &ngx_chat_sql_password_set,
                              ngx_chat_session_password_set);
}


static ngx_int_t
ngx_chat_session_password_set(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_session_login_t *login = ctx->data;

    if (login->set.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    if (!login->set.changed) {

        /* somebody else has changed it since it was read, or since an earlier
           try of this one */

        return ngx_chat_http_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                   "Wrong password.");
    }

    ngx_chat_cache_forgive(ngx_chat_http_cache(r), &login->name_key);
    ngx_chat_cache_revoke_user(ngx_chat_http_cache(r), ctx->user.id,
                               ctx->session ? ctx->hash : NULL);

    ngx_chat_metrics_add(ngx_chat_http_metrics(r),
                         NGX_CHAT_COUNT_SESSION_PASSWORD, login->set.ended);

    return NGX_HTTP_NO_CONTENT;
}


/* GET of the log-in form */

ngx_int_t
ngx_chat_session_form(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_session_refuse(r, ctx, NGX_HTTP_OK, NULL);
}


/*
 * An API's client gets the sentence as JSON.  A browser gets the log-in page
 * again: the site's own, which finds the sentence in $chat_login_error, or
 * ours.
 */

static ngx_int_t
ngx_chat_session_refuse(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, const char *detail)
{
    u_char                     *p;
    size_t                      len;
    ngx_str_t                   retry;
    ngx_chat_loc_conf_t        *chlcf;
    ngx_chat_main_conf_t       *chmcf;
    ngx_http_variable_value_t  *vv;

    if (!ctx->form) {
        return ngx_chat_http_error(r, ctx, status, detail);
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    len = detail ? ngx_strlen(detail) : 0;

    if (chlcf->login_page.len == 0) {
        p = ngx_pnalloc(r->pool, ngx_chat_session_page_head.len
                                 + ngx_chat_session_page_form.len + len
                                 + sizeof("<p role=\"alert\"></p>" CRLF));
        if (p == NULL) {
            return NGX_ERROR;
        }

        ctx->body.data = p;

        p = ngx_cpymem(p, ngx_chat_session_page_head.data,
                       ngx_chat_session_page_head.len);

        if (detail) {
            p = ngx_sprintf(p, "<p role=\"alert\">%s</p>" CRLF, detail);
        }

        p = ngx_cpymem(p, ngx_chat_session_page_form.data,
                       ngx_chat_session_page_form.len);

        ctx->body.len = p - ctx->body.data;
        ngx_str_set(&ctx->type, "text/html; charset=utf-8");

        return status;
    }

    if (detail) {
        chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

        vv = &r->variables[chmcf->login_error_index];

        vv->valid = 1;
        vv->not_found = 0;
        vv->no_cacheable = 0;
        vv->data = (u_char *) detail;
        vv->len = len;
    }

    /* as error_page does: the page comes with the status of the refusal */

    r->err_status = (status == NGX_HTTP_OK) ? 0 : status;

    if (ctx->retry_after) {
        retry.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
        if (retry.data == NULL) {
            return NGX_ERROR;
        }

        retry.len = ngx_sprintf(retry.data, "%T", ctx->retry_after)
                    - retry.data;

        if (ngx_chat_http_add_header(r, "Retry-After", &retry) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ctx->page = chlcf->login_page;

    return NGX_DONE;
}


/*
 * Only a path of this host may follow: "//host" and "/\host" are not.  What a
 * header cannot hold is escaped.
 */

static ngx_int_t
ngx_chat_session_next(ngx_http_request_t *r, ngx_str_t *next,
    ngx_str_t *location)
{
    u_char               *p;
    size_t                i;
    ngx_chat_loc_conf_t  *chlcf;

    if (next->len == 0 || next->data[0] != '/'
        || (next->len > 1 && (next->data[1] == '/' || next->data[1] == '\\')))
    {
        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
        *location = chlcf->login_redirect;

        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 3 * next->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    location->data = p;

    for (i = 0; i < next->len; i++) {
        if (next->data[i] <= ' ' || next->data[i] >= 0x7f
            || next->data[i] == '\\')
        {
            p = ngx_sprintf(p, "%%%02XD", (uint32_t) next->data[i]);

        } else {
            *p++ = next->data[i];
        }
    }

    location->len = p - location->data;

    return NGX_OK;
}
