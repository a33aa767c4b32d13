
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/http/ngx_chat_auth.h"
#include "src/api/ngx_chat_attempt.h"
#include "src/api/ngx_chat_endpoint.h"


#define NGX_CHAT_LOGIN_MIN_PASSWORD   8     /* characters */
#define NGX_CHAT_LOGIN_AGENT_LEN      255   /* column chat_session.agent */


static ngx_chat_login_t *ngx_chat_login_begin(
    ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_find(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_check(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_checked(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_wrong(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_store(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_str_t ngx_chat_login_agent(ngx_http_request_t *r);
static ngx_int_t ngx_chat_login_stored(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_password_check(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_password_checked(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_login_password_set(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* the default login page */

static ngx_str_t  ngx_chat_login_page_head = ngx_string(
    "<!DOCTYPE html>" CRLF
    "<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\">"
    "<title>Log in</title></head><body>" CRLF
    "<h1>Log in</h1>" CRLF
);

static ngx_str_t  ngx_chat_login_page_form = ngx_string(
    "<form method=\"post\">" CRLF
    "<p><label>Username <input name=\"username\" autocomplete=\"username\" "
    "required autofocus></label></p>" CRLF
    "<p><label>Password <input name=\"password\" type=\"password\" "
    "autocomplete=\"current-password\" required></label></p>" CRLF
    "<p><button>Log in</button></p>" CRLF
    "</form></body></html>" CRLF
);


/*
 * POST session/ and POST of chat_login
 *
 *   create | login -> find -> check -> checked -> store -> stored
 *                     ^|                  |                 |
 *                     |+-- throttled      +-- wrong         |
 *                     +-- the password was not the same ----+
 */

ngx_int_t
ngx_chat_login_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t          rc;
    ngx_chat_login_t  *login;

    enum { USERNAME, PASSWORD, TOKEN };

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("username"),
        ngx_chat_field("password"),
        ngx_chat_field("token")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 3);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_request_required(r, ctx, fields, 2,
                                   NGX_CHAT_REQUEST_FIELD_NAME(USERNAME)
                                   | NGX_CHAT_REQUEST_FIELD_RAW(PASSWORD));
    if (rc != NGX_OK) {
        return rc;
    }

    login = ngx_chat_login_begin(r, ctx);
    if (login == NULL) {
        return NGX_ERROR;
    }

    login->name = fields[USERNAME].value;
    login->password = fields[PASSWORD].value;
    login->bearer = (fields[TOKEN].value.len == 4
                     && ngx_strncmp(fields[TOKEN].value.data, "true", 4)
                        == 0);

    ctx->next = ngx_chat_login_find;

    return NGX_OK;
}


ngx_int_t
ngx_chat_login_form(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t          rc;
    ngx_str_t          trimmed;
    ngx_chat_login_t  *login;

    enum { USERNAME, PASSWORD, NEXT };

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("username"),
        ngx_chat_field("password"),
        ngx_chat_field("next")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 3);
    if (rc != NGX_OK) {
        return rc;
    }

    /* "next" of the form, or of the query string */

    if (fields[NEXT].value.len == 0
        && ngx_chat_request_args(r, &fields[NEXT], 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    login = ngx_chat_login_begin(r, ctx);
    if (login == NULL) {
        return NGX_ERROR;
    }

    login->name = fields[USERNAME].value;
    login->password = fields[PASSWORD].value;
    login->next = fields[NEXT].value;

    trimmed = login->name;
    ngx_chat_string_trim(&trimmed);

    if (trimmed.len == 0 || login->password.len == 0) {
        return ngx_chat_login_refuse(r, ctx, NGX_HTTP_OK,
                                     "Please enter both username and "
                                     "password.");
    }

    ctx->next = ngx_chat_login_find;

    return NGX_OK;
}


static ngx_chat_login_t *
ngx_chat_login_begin(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ctx->data = ngx_pcalloc(r->pool, sizeof(ngx_chat_login_t));

    return ctx->data;
}


static ngx_int_t
ngx_chat_login_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    ngx_int_t  rc;

    if (ngx_chat_attempt_keys(r, login) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_chat_attempt_throttle(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_unicode_name_forms(r->pool, &login->name, 1,
                                     &login->user.name);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* an invalid name takes as long as a wrong password */

    if (rc == NGX_DECLINED) {
        ctx->next = ngx_chat_login_check;
        return NGX_OK;
    }

    /* rc == NGX_OK */

    return ngx_chat_step_query(r, ctx, &login->user.job,
                               &ngx_chat_query_user_by_name,
                               ngx_chat_login_check);
}


static ngx_int_t
ngx_chat_login_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    login->check.password = login->password;
    login->check.upgrade = 1;

    if (login->user.user.id && login->user.user.active) {
        login->check.stored = login->user.user.password;
    }

    return ngx_chat_attempt_hash(r, ctx, ngx_chat_login_checked);
}


static ngx_int_t
ngx_chat_login_checked(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    if (login->check.rc == NGX_DECLINED) {
        return ngx_chat_login_wrong(r, ctx);
    }

    ngx_chat_throttle_forgive(login->throttle, &login->name_key);

    if (login->check.hash.len == 0) {
        ctx->next = ngx_chat_login_store;
        return NGX_OK;
    }

    /* the stored hash has an outdated format */

    login->set.user_id = login->user.user.id;
    login->set.old = login->user.user.password;
    login->set.new = login->check.hash;

    return ngx_chat_step_query(r, ctx, &login->set.job,
                               &ngx_chat_query_password_set,
                               ngx_chat_login_store);
}


static ngx_int_t
ngx_chat_login_wrong(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    ngx_chat_attempt_charge(login);

    ngx_chat_http_count(r, NGX_CHAT_COUNT_LOGIN_FAILED);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "chat login failed");

    return ngx_chat_login_refuse(r, ctx, ctx->form ? NGX_HTTP_OK
                                                   : NGX_HTTP_FORBIDDEN,
                                 "Wrong username or password.");
}


static ngx_int_t
ngx_chat_login_store(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    login->token.len = NGX_CHAT_TOKEN_LEN;
    login->token.data = ngx_pnalloc(r->pool, NGX_CHAT_TOKEN_LEN);

    if (login->token.data == NULL
        || ngx_chat_token_create(login->token.data) != NGX_OK
        || ngx_chat_token_hash(&login->token, login->session.hash)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    login->session.user_id = login->user.user.id;
    login->session.password = login->set.changed ? login->set.new
                                                 : login->user.user.password;
    login->session.expires = ngx_time() + chlcf->session_lifetime;
    login->session.address = r->connection->addr_text;
    login->session.agent = ngx_chat_login_agent(r);

    /*
     * A login ends the sessions of the request, so that a browser has only one
     * session.  A program that requests a token does not end the session of a
     * cookie.
     */

    ngx_chat_auth_identify(r, ctx);

    if (login->bearer && !ctx->auth.bearer) {
        ctx->auth.ntokens = 0;
    }

    login->session.replaced = ctx->auth.tokens;
    login->session.nreplaced = ctx->auth.ntokens;

    /* sockets of the replaced sessions must be closed */
    ctx->write = (ctx->auth.ntokens != 0);

    return ngx_chat_step_query(r, ctx, &login->session.job,
                               &ngx_chat_query_session_create,
                               ngx_chat_login_stored);
}


/* returns User-Agent, shortened to the column; empty if it is not UTF-8 */

static ngx_str_t
ngx_chat_login_agent(ngx_http_request_t *r)
{
    ngx_str_t  agent = ngx_null_string;

    if (r->headers_in.user_agent) {
        agent = r->headers_in.user_agent->value;
    }

    if (ngx_chat_string_utf8(&agent) != NGX_OK) {
        ngx_str_null(&agent);
    }

    if (agent.len > NGX_CHAT_LOGIN_AGENT_LEN) {
        agent.len = NGX_CHAT_LOGIN_AGENT_LEN;

        while (agent.len && (agent.data[agent.len] & 0xc0) == 0x80) {
            agent.len--;
        }
    }

    return agent;
}


static ngx_int_t
ngx_chat_login_stored(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    ngx_str_t  location;

    if (!login->session.created) {

        /* the stored password has changed since it was read */

        if (login->again) {
            return ngx_chat_login_wrong(r, ctx);
        }

        login->again = 1;

        ngx_memzero(&login->set, sizeof(ngx_chat_query_password_t));
        ngx_memzero(&login->check, sizeof(ngx_chat_password_job_t));

        ctx->next = ngx_chat_login_find;
        return NGX_OK;
    }

    ctx->user = login->user.user;

    ngx_chat_session_revoke(r, ctx, login->session.ended,
                            login->session.job.repeated);

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
        if (ngx_chat_login_next(r, &login->next, &location) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_chat_response_redirect(r, ctx, &location);
    }

    return ngx_chat_session_show(r, ctx, login->bearer ? &login->token : NULL);
}


/*
 * POST password/ {"old_password":"…","new_password":"…"}
 *
 *   password -> password_check -> password_checked -> password_set
 */

ngx_int_t
ngx_chat_login_password(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    u_char            *buf;
    ngx_int_t          rc;
    ngx_str_t          password;
    ngx_chat_login_t  *login;

    enum { OLD, NEW };

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("old_password"),
        ngx_chat_field("new_password")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 2);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_request_required(r, ctx, fields, 2,
                                   NGX_CHAT_REQUEST_FIELD_RAW(OLD)
                                   | NGX_CHAT_REQUEST_FIELD_RAW(NEW));
    if (rc != NGX_OK) {
        return rc;
    }

    buf = ngx_pnalloc(r->pool, NGX_CHAT_PASSWORD_MAX);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    /* keyboards may produce different Unicode forms of a password */

    rc = ngx_chat_unicode_normalize(&fields[NEW].value, NGX_CHAT_UNICODE_NFC,
                                    buf, NGX_CHAT_PASSWORD_MAX, &password);

    if (rc != NGX_OK || password.len > NGX_CHAT_PASSWORD_MAX) {
        return ngx_chat_response_invalid(r, ctx, "new_password",
                                         "This password is too long.");
    }

    if (ngx_chat_string_length(&password) < NGX_CHAT_LOGIN_MIN_PASSWORD) {
        return ngx_chat_response_invalid(r, ctx, "new_password",
                                         "This password is too short. It must "
                                         "contain at least 8 characters.");
    }

    login = ngx_chat_login_begin(r, ctx);
    if (login == NULL) {
        return NGX_ERROR;
    }

    login->name = ctx->user.name;
    login->password = fields[OLD].value;
    login->check.fresh = password;
    login->user.name.n = 1;
    login->user.name.text[0] = ctx->user.name;

    if (ngx_chat_attempt_keys(r, login) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_chat_attempt_throttle(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_chat_step_query(r, ctx, &login->user.job,
                               &ngx_chat_query_user_by_name,
                               ngx_chat_login_password_check);
}


static ngx_int_t
ngx_chat_login_password_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    if (!login->user.user.active) {
        return ngx_chat_response_forbidden(r, ctx);
    }

    login->check.password = login->password;
    login->check.stored = login->user.user.password;

    return ngx_chat_attempt_hash(r, ctx, ngx_chat_login_password_checked);
}


static ngx_int_t
ngx_chat_login_password_checked(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    if (login->check.rc == NGX_DECLINED) {
        ngx_chat_throttle_charge(login->throttle, &login->name_key,
                                 NGX_CHAT_ATTEMPT_HALF_LIFE);

        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                       "Wrong password.");
    }

    login->set.user_id = ctx->user.id;
    login->set.old = login->user.user.password;
    login->set.new = login->check.hash;
    login->set.end_sessions = 1;

    ngx_memcpy(login->set.keep, ctx->auth.hash, NGX_CHAT_HASH_LEN);

    ctx->write = 1;

    return ngx_chat_step_query(r, ctx, &login->set.job,
                               &ngx_chat_query_password_set,
                               ngx_chat_login_password_set);
}


static ngx_int_t
ngx_chat_login_password_set(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    if (!login->set.changed) {

        /* another request has changed the password since it was read */

        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                       "Wrong password.");
    }

    ngx_chat_throttle_forgive(login->throttle, &login->name_key);
    ngx_chat_revocation_user(ngx_chat_http_zone(r)->revocations, ctx->user.id,
                             ctx->auth.session ? ctx->auth.hash : NULL);

    ngx_chat_metrics_add(ngx_chat_http_metrics(r),
                         NGX_CHAT_COUNT_SESSION_PASSWORD, login->set.ended);

    return NGX_HTTP_NO_CONTENT;
}


/* GET of chat_login */

ngx_int_t
ngx_chat_login_page(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_login_refuse(r, ctx, NGX_HTTP_OK, NULL);
}


/*
 * API clients receive the message in JSON.  Browsers receive the login page:
 * the one of the site, which uses $chat_login_error, or the default page.
 */

ngx_int_t
ngx_chat_login_refuse(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, const char *detail)
{
    u_char                     *p;
    size_t                      len;
    ngx_chat_loc_conf_t        *chlcf;
    ngx_chat_main_conf_t       *chmcf;
    ngx_http_variable_value_t  *vv;

    if (!ctx->form) {
        return ngx_chat_response_error(r, ctx, status, detail);
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    len = detail ? ngx_strlen(detail) : 0;

    if (chlcf->login_page.len == 0) {
        p = ngx_pnalloc(r->pool, ngx_chat_login_page_head.len
                                 + ngx_chat_login_page_form.len + len
                                 + sizeof("<p role=\"alert\"></p>" CRLF));
        if (p == NULL) {
            return NGX_ERROR;
        }

        ctx->response.body.data = p;

        p = ngx_cpymem(p, ngx_chat_login_page_head.data,
                       ngx_chat_login_page_head.len);

        if (detail) {
            p = ngx_sprintf(p, "<p role=\"alert\">%s</p>" CRLF, detail);
        }

        p = ngx_cpymem(p, ngx_chat_login_page_form.data,
                       ngx_chat_login_page_form.len);

        ctx->response.body.len = p - ctx->response.body.data;
        ngx_str_set(&ctx->response.type, "text/html; charset=utf-8");

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

    /* the page is sent with this status, as with error_page */

    r->err_status = (status == NGX_HTTP_OK) ? 0 : status;

    if (ngx_chat_response_retry_after(r, ctx->response.retry_after) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->response.page = chlcf->login_page;

    return NGX_DONE;
}


/*
 * Only a path of this host is valid; "//host" and "/\host" are not.  Characters
 * that are invalid in a header are escaped.
 */

ngx_int_t
ngx_chat_login_next(ngx_http_request_t *r, ngx_str_t *next,
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
