
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_api.h"
#include "ngx_chat_auth.h"
#include "ngx_chat_message.h"
#include "ngx_chat_people.h"
#include "ngx_chat_session.h"
#include "ngx_chat_status.h"


static const ngx_chat_endpoint_t *ngx_chat_api_route(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_api_match(const ngx_chat_endpoint_t *e,
    ngx_str_t *path, ngx_chat_ctx_t *ctx);
static ngx_chat_step_pt ngx_chat_api_first(ngx_http_request_t *r,
    const ngx_chat_endpoint_t *e);
static ngx_int_t ngx_chat_api_begin(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_step_pt step);
static void ngx_chat_api_forget_body(ngx_http_request_t *r);
static void ngx_chat_api_wake(ngx_http_request_t *r);
static void ngx_chat_api_query_done(ngx_chat_db_job_t *job);
static void ngx_chat_api_password_done(ngx_chat_password_job_t *job);
static void ngx_chat_api_job_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t rc);
static void ngx_chat_api_cleanup(void *data);



/* the first that matches is taken */

static const ngx_chat_endpoint_t  ngx_chat_api_endpoints[] = {

    { ngx_string("message/"), ngx_null_string, NGX_CHAT_PATH_PLAIN,
      NGX_CHAT_REQUEST_MESSAGES,
      ngx_chat_message_list, ngx_chat_message_create, NULL,
      ngx_string("GET, POST, HEAD, OPTIONS"),
      ngx_string("Message Model List"), 0 },

    { ngx_string("message/"), ngx_null_string, NGX_CHAT_PATH_ID,
      NGX_CHAT_REQUEST_MESSAGE,
      ngx_chat_message_get, NULL, NULL,
      ngx_string("GET, POST, HEAD, OPTIONS"),
      ngx_string("Message Model Instance"), 0 },

    { ngx_string("user/"), ngx_null_string, NGX_CHAT_PATH_PLAIN,
      NGX_CHAT_REQUEST_USERS,
      ngx_chat_user_list, NULL, NULL,
      ngx_string("GET, HEAD, OPTIONS"),
      ngx_string("User Model List"), 0 },

    { ngx_string("user/"), ngx_null_string, NGX_CHAT_PATH_ID,
      NGX_CHAT_REQUEST_USER,
      ngx_chat_user_get, NULL, NULL,
      ngx_string("GET, HEAD, OPTIONS"),
      ngx_string("User Model Instance"), 0 },

    { ngx_string("conversation/"), ngx_null_string, NGX_CHAT_PATH_PLAIN,
      NGX_CHAT_REQUEST_CONVERSATIONS,
      ngx_chat_conversation_list, NULL, NULL,
      ngx_string("GET, HEAD, OPTIONS"),
      ngx_string("Conversation List"), 0 },

    { ngx_string("conversation/"), ngx_string("read/"), NGX_CHAT_PATH_NAME,
      NGX_CHAT_REQUEST_READ,
      NULL, ngx_chat_conversation_read, NULL,
      ngx_string("POST, OPTIONS"),
      ngx_string("Conversation Read Mark"), 0 },

    { ngx_string("session/"), ngx_null_string, NGX_CHAT_PATH_PLAIN,
      NGX_CHAT_REQUEST_SESSION,
      ngx_chat_session_get, ngx_chat_session_create, ngx_chat_session_delete,
      ngx_string("GET, POST, DELETE, HEAD, OPTIONS"),
      ngx_string("Session"), 1 },

    { ngx_string("password/"), ngx_null_string, NGX_CHAT_PATH_PLAIN,
      NGX_CHAT_REQUEST_PASSWORD,
      NULL, ngx_chat_session_password, NULL,
      ngx_string("POST, OPTIONS"),
      ngx_string("Password"), 0 },

    { ngx_string(""), ngx_null_string, NGX_CHAT_PATH_PLAIN,
      NGX_CHAT_REQUEST_ROOT,
      ngx_chat_http_root, NULL, NULL,
      ngx_string("GET, HEAD, OPTIONS"),
      ngx_string("Api Root"), 0 },

    { ngx_null_string, ngx_null_string, NGX_CHAT_PATH_PLAIN,
      NGX_CHAT_REQUEST_MAX,
      NULL, NULL, NULL, ngx_null_string, ngx_null_string, 0 }
};


/* the log-in form and the log-out link: chat_login, chat_logout */

static const ngx_chat_endpoint_t  ngx_chat_api_login = {
    ngx_null_string, ngx_null_string, NGX_CHAT_PATH_PLAIN,
    NGX_CHAT_REQUEST_LOGIN,
    ngx_chat_session_form, ngx_chat_session_login, NULL,
    ngx_string("GET, POST, HEAD, OPTIONS"), ngx_string("Login"), 1
};

static const ngx_chat_endpoint_t  ngx_chat_api_logout = {
    ngx_null_string, ngx_null_string, NGX_CHAT_PATH_PLAIN,
    NGX_CHAT_REQUEST_LOGOUT,
    ngx_chat_session_logout, ngx_chat_session_logout, NULL,
    ngx_string("GET, POST, HEAD, OPTIONS"), ngx_string("Logout"), 1
};


/* chat_status: what is asked for is the location's */

static const ngx_chat_endpoint_t  ngx_chat_api_status = {
    ngx_null_string, ngx_null_string, NGX_CHAT_PATH_PLAIN,
    NGX_CHAT_REQUEST_MAX,
    ngx_chat_status_get, NULL, NULL,
    ngx_string("GET, HEAD, OPTIONS"), ngx_string("Status"), 0
};


/*
 * What is asked is told in this order: may the caller be here at all (before it
 * is looked for what the path names), is there such a path, does it have the
 * method, and last the body.
 */

ngx_int_t
ngx_chat_api_handler(ngx_http_request_t *r)
{
    ngx_uint_t        public;
    ngx_chat_ctx_t   *ctx;
    ngx_chat_step_pt  step;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    /* a subrequest of somebody has not been asked who it is */

    if (ctx == NULL || r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    ctx->endpoint = ngx_chat_api_route(r, ctx);

    public = ctx->endpoint && ctx->endpoint->public
             && r->method == NGX_HTTP_POST;

    if (ctx->unavailable) {
        step = ngx_chat_http_unavailable;

    } else if (ctx->user.id == 0 && !public) {
        step = ngx_chat_http_denied;

    } else if (ctx->endpoint == NULL) {
        step = ngx_chat_http_not_found;

    } else {
        step = ngx_chat_api_first(r, ctx->endpoint);

        if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS))
            && (ctx->foreign
                || (public && ngx_chat_auth_origin(r) != NGX_OK)))
        {
            step = ngx_chat_http_foreign;
        }
    }

    return ngx_chat_api_begin(r, ctx, step);
}


ngx_int_t
ngx_chat_api_login_handler(ngx_http_request_t *r)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_chat_auth_ctx(r);

    if (ctx == NULL || r != r->main) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->endpoint = &ngx_chat_api_login;
    ctx->form = 1;

    if (r->method == NGX_HTTP_POST && ngx_chat_auth_origin(r) != NGX_OK) {
        return ngx_chat_api_begin(r, ctx, ngx_chat_http_foreign);
    }

    return ngx_chat_api_begin(r, ctx, ngx_chat_api_first(r, ctx->endpoint));
}


/* a link, as in the Django app, but not one on a page of another site */

ngx_int_t
ngx_chat_api_logout_handler(ngx_http_request_t *r)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_chat_auth_ctx(r);

    if (ctx == NULL || r != r->main) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->endpoint = &ngx_chat_api_logout;
    ctx->form = 1;

    if (ngx_chat_auth_origin(r) != NGX_OK) {
        return ngx_chat_api_begin(r, ctx, ngx_chat_http_foreign);
    }

    return ngx_chat_api_begin(r, ctx, ngx_chat_api_first(r, ctx->endpoint));
}


ngx_int_t
ngx_chat_api_status_handler(ngx_http_request_t *r)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_chat_auth_ctx(r);

    if (ctx == NULL || r != r->main) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->endpoint = &ngx_chat_api_status;

    return ngx_chat_api_begin(r, ctx, ngx_chat_api_first(r, ctx->endpoint));
}


static const ngx_chat_endpoint_t *
ngx_chat_api_route(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t                   path;
    const ngx_chat_endpoint_t  *e;
    ngx_http_core_loc_conf_t   *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    /* "rewrite ... break" may have led out of the location's prefix */

    if (r->uri.len < clcf->name.len
        || ngx_strncmp(r->uri.data, clcf->name.data, clcf->name.len) != 0)
    {
        return NULL;
    }

    path.data = r->uri.data + clcf->name.len;
    path.len = r->uri.len - clcf->name.len;

    for (e = ngx_chat_api_endpoints; e->path.data; e++) {
        if (ngx_chat_api_match(e, &path, ctx) == NGX_OK) {
            return e;
        }
    }

    return NULL;
}


/* the closing slash may be missing: a POST must not be lost by a redirect */

static ngx_int_t
ngx_chat_api_match(const ngx_chat_endpoint_t *e, ngx_str_t *path,
    ngx_chat_ctx_t *ctx)
{
    u_char     *p, *last;
    ngx_str_t   rest, item;

    rest = *path;

    if (e->kind == NGX_CHAT_PATH_PLAIN) {
        return (rest.len == e->path.len || rest.len + 1 == e->path.len)
               && ngx_memcmp(rest.data, e->path.data, rest.len) == 0
               ? NGX_OK : NGX_DECLINED;
    }

    if (rest.len <= e->path.len
        || ngx_memcmp(rest.data, e->path.data, e->path.len) != 0)
    {
        return NGX_DECLINED;
    }

    item.data = rest.data + e->path.len;
    last = rest.data + rest.len;

    p = ngx_strlchr(item.data, last, '/');
    item.len = (p ? p : last) - item.data;

    rest.data = p ? p + 1 : last;
    rest.len = last - rest.data;

    if (!(rest.len == e->tail.len || rest.len + 1 == e->tail.len)
        || (rest.len
            && ngx_memcmp(rest.data, e->tail.data, rest.len) != 0))
    {
        return NGX_DECLINED;
    }

    if (e->kind == NGX_CHAT_PATH_NAME) {
        ctx->name = item;
        return ngx_chat_text_name(&item);
    }

    /* what is no id is an id that nobody has, told like any other */

    if (ngx_chat_text_id(&item, &ctx->id) != NGX_OK) {
        ctx->id = 0;
    }

    return NGX_OK;
}


static ngx_chat_step_pt
ngx_chat_api_first(ngx_http_request_t *r, const ngx_chat_endpoint_t *e)
{
    ngx_chat_step_pt  step;

    switch (r->method) {

    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:
        step = e->get;
        break;

    case NGX_HTTP_POST:
        step = e->post;
        break;

    case NGX_HTTP_DELETE:
        step = e->delete;
        break;

    case NGX_HTTP_OPTIONS:
        step = ngx_chat_http_options;
        break;

    default:
        step = NULL;
    }

    return step ? step : ngx_chat_http_no_method;
}


static ngx_int_t
ngx_chat_api_begin(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_step_pt step)
{
    ngx_int_t            rc;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_chat_api_cleanup;
    cln->data = ctx;

    ctx->next = step;

    if (ctx->endpoint) {
        ctx->request = ctx->endpoint->request;
    }

    if (r->method == NGX_HTTP_POST && ctx->endpoint
        && step == ctx->endpoint->post)
    {
        r->request_body_in_single_buf = 1;

        rc = ngx_http_read_client_request_body(r, ngx_chat_api_run);

        return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
    }

    r->main->count++;

    ngx_chat_api_run(r);

    return NGX_DONE;
}


void
ngx_chat_api_run(ngx_http_request_t *r)
{
    ngx_int_t        rc;
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    do {
        rc = ctx->next(r, ctx);
    } while (rc == NGX_OK);

    if (rc == NGX_AGAIN) {

        /*
         * While a read waits, a client that leaves frees it.  A write ignores
         * that, or a stored message would never be announced.
         */

        r->read_event_handler = ctx->write ? ngx_http_block_reading
                                           : ngx_http_test_reading;
        r->write_event_handler = ngx_chat_api_wake;
        return;
    }

    if (rc == NGX_DONE) {
        if (r->method == NGX_HTTP_POST) {
            r->method = NGX_HTTP_GET;
            r->method_name = ngx_http_core_get_method;

            ngx_chat_api_forget_body(r);
        }

        ngx_http_finalize_request(r, ngx_http_internal_redirect(r, &ctx->page,
                                                                NULL));
        return;
    }

    /* a status, or NGX_ERROR */

    /*
     * A body that nobody reads is passed over only now: nginx's handler for
     * that and those above, while a step waits, are of the same read event.
     * Whatever is wrong with it, what has been done stands.
     */

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    ngx_http_finalize_request(r, ngx_chat_http_send(r, ctx, rc));
}


/* the page may be another server's, which is to see no password */

static void
ngx_chat_api_forget_body(ngx_http_request_t *r)
{
    if (r->request_body == NULL || r->discard_body) {
        return;
    }

    r->request_body->bufs = NULL;

    r->headers_in.content_length = NULL;
    r->headers_in.content_length_n = 0;
    r->headers_in.chunked = 0;
}


/* a publish that has begun wakes us; write events mean nothing here */

static void
ngx_chat_api_wake(ngx_http_request_t *r)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx->job || ctx->password_job) {
        return;
    }

    ngx_chat_api_run(r);
}


ngx_int_t
ngx_chat_api_query(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_db_job_t *job, const ngx_chat_db_class_t *class,
    ngx_chat_step_pt next)
{
    ngx_int_t              rc;
    ngx_chat_db_t         *db;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    job->class = class;
    job->handler = ngx_chat_api_query_done;
    job->data = r;
    job->pool = r->pool;

    db = ngx_chat_replica_choose(chmcf->worker->replica, chmcf->worker->db,
                                 job, ctx->user.id);

    rc = ngx_chat_db_submit(db, job);

    if (rc == NGX_BUSY) {
        return ngx_chat_http_unavailable(r, ctx);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    r->connection->log->action = "waiting for the database";

    ctx->job = job;
    ctx->next = next;

    return NGX_AGAIN;
}


static void
ngx_chat_api_query_done(ngx_chat_db_job_t *job)
{
    ngx_chat_ctx_t        *ctx;
    ngx_http_request_t    *r;
    ngx_chat_main_conf_t  *chmcf;

    r = job->data;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chat query \"%V\" done: %i", &job->class->name, job->rc);

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    ctx->job = NULL;
    ctx->db_time += job->time;
    ctx->db_asked = 1;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    ngx_chat_replica_done(chmcf->worker->replica, job, ctx->user.id);

    if (job->rc == NGX_BUSY) {
        ctx->next = ngx_chat_http_unavailable;
    }

    ngx_chat_api_job_done(r, ctx, job->rc);
}


ngx_int_t
ngx_chat_api_password(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_password_job_t *job, ngx_chat_step_pt next)
{
    ngx_int_t              rc;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    job->handler = ngx_chat_api_password_done;
    job->data = r;
    job->pool = r->pool;

    rc = ngx_chat_password_submit(chmcf->worker->password, job);

    if (rc == NGX_BUSY) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_LOGIN_BUSY);

        ctx->retry_after = NGX_CHAT_HTTP_RETRY_AFTER;
        return ngx_chat_http_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                  "Too many people log in just now. "
                                  "Try again later.");
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    r->connection->log->action = "checking a password";

    ctx->password_job = job;
    ctx->next = next;

    return NGX_AGAIN;
}


static void
ngx_chat_api_password_done(ngx_chat_password_job_t *job)
{
    ngx_chat_ctx_t      *ctx;
    ngx_http_request_t  *r;

    r = job->data;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    ctx->password_job = NULL;

    ngx_chat_api_job_done(r, ctx, job->rc);
}


/*
 * A job is done: keep the connection, since the request may be gone when it has
 * run; run it, and what has been posted, for nobody else will on this event.
 */

static void
ngx_chat_api_job_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (rc == NGX_ERROR) {
        ctx->next = ngx_chat_http_failed;
    }

    ngx_chat_api_run(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_api_cleanup(void *data)
{
    ngx_chat_ctx_t *ctx = data;

    if (ctx->job) {
        ngx_chat_db_cancel(ctx->job);
        ctx->job = NULL;
    }

    if (ctx->password_job) {
        ngx_chat_password_cancel(ctx->password_job);
        ctx->password_job = NULL;
    }
}
