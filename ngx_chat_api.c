
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_api.h"
#include "src/api/ngx_chat_endpoint.h"
#include "src/api/ngx_chat_attempt.h"
#include "src/http/ngx_chat_auth.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"


/* methods that change nothing */
#define NGX_CHAT_API_SAFE  (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_OPTIONS)


static const ngx_chat_endpoint_t *ngx_chat_api_route(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_api_match(const ngx_chat_endpoint_t *e,
    ngx_str_t *path, ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_api_match_id(const ngx_chat_endpoint_t *e,
    ngx_str_t *item, ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_api_match_file(ngx_str_t *item,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_api_match_name(const ngx_chat_endpoint_t *e,
    ngx_str_t *item, ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_api_location(ngx_http_request_t *r,
    const ngx_chat_endpoint_t *e);
static ngx_chat_step_pt ngx_chat_api_first(ngx_http_request_t *r,
    const ngx_chat_endpoint_t *e);
static ngx_int_t ngx_chat_api_root(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
static void ngx_chat_api_link(ngx_http_request_t *r, ngx_chat_json_t *json,
    const char *key, const char *path);


/* the first match is used */

static const ngx_chat_endpoint_t  ngx_chat_api_routes[] = {

    { .path = ngx_string("message/"),
      .request = NGX_CHAT_REQUEST_MESSAGES,
      .title = "Message Model List",
      .get = ngx_chat_message_list,
      .post = ngx_chat_message_create },

    { .path = ngx_string("message/"),
      .kind = NGX_CHAT_PATH_ID,
      .request = NGX_CHAT_REQUEST_MESSAGE,
      .title = "Message Model Instance",
      .get = ngx_chat_message_get,
      .patch = ngx_chat_message_edit,
      .delete = ngx_chat_message_delete },

    { .path = ngx_string("user/"),
      .request = NGX_CHAT_REQUEST_USERS,
      .title = "User Model List",
      .get = ngx_chat_user_list },

    { .path = ngx_string("user/"),
      .kind = NGX_CHAT_PATH_ID,
      .request = NGX_CHAT_REQUEST_USER,
      .title = "User Model Instance",
      .get = ngx_chat_user_get },

    { .path = ngx_string("profile/"),
      .request = NGX_CHAT_REQUEST_PROFILE_OWN,
      .title = "Profile",
      .patch = ngx_chat_profile_edit },

    { .path = ngx_string("profile/"),
      .kind = NGX_CHAT_PATH_NAME,
      .request = NGX_CHAT_REQUEST_PROFILE,
      .title = "Profile Instance",
      .get = ngx_chat_profile_get },

    { .path = ngx_string("conversation/"),
      .request = NGX_CHAT_REQUEST_CONVERSATIONS,
      .title = "Conversation List",
      .get = ngx_chat_conversation_list },

    { .path = ngx_string("conversation/"),
      .tail = ngx_string("read/"),
      .kind = NGX_CHAT_PATH_NAME,
      .request = NGX_CHAT_REQUEST_READ,
      .title = "Conversation Read Mark",
      .post = ngx_chat_conversation_read },

    { .path = ngx_string("conversation/"),
      .tail = ngx_string("typing/"),
      .kind = NGX_CHAT_PATH_NAME,
      .request = NGX_CHAT_REQUEST_TYPING,
      .title = "Conversation Typing",
      .post = ngx_chat_conversation_typing },

    { .path = ngx_string("block/"),
      .request = NGX_CHAT_REQUEST_BLOCKS,
      .title = "Block List",
      .get = ngx_chat_block_list },

    { .path = ngx_string("block/"),
      .kind = NGX_CHAT_PATH_NAME,
      .request = NGX_CHAT_REQUEST_BLOCK,
      .title = "Block Instance",
      .put = ngx_chat_block_add,
      .delete = ngx_chat_block_remove },

    { .path = ngx_string("file/"),
      .request = NGX_CHAT_REQUEST_FILES,
      .title = "File List",
      .upload = 1,
      .files = 1,
      .post = ngx_chat_file_create },

    { .path = ngx_string("file/"),
      .kind = NGX_CHAT_PATH_FILE,
      .request = NGX_CHAT_REQUEST_FILE,
      .title = "File Instance",
      .files = 1,
      .get = ngx_chat_file_get },

    { .path = ngx_string("session/"),
      .request = NGX_CHAT_REQUEST_SESSION,
      .title = "Session",
      .public = 1,
      .get = ngx_chat_session_get,
      .post = ngx_chat_login_create,
      .delete = ngx_chat_session_delete },

    { .path = ngx_string("session/all/"),
      .request = NGX_CHAT_REQUEST_SESSIONS,
      .title = "Session List",
      .get = ngx_chat_session_list,
      .delete = ngx_chat_session_end },

    { .path = ngx_string("session/"),
      .kind = NGX_CHAT_PATH_ID,
      .request = NGX_CHAT_REQUEST_SESSION_ID,
      .title = "Session Instance",
      .delete = ngx_chat_session_remove },

    { .path = ngx_string("admin/user/"),
      .request = NGX_CHAT_REQUEST_ADMIN_USERS,
      .title = "Administration User List",
      .admin = 1,
      .get = ngx_chat_admin_users },

    { .path = ngx_string("admin/user/"),
      .kind = NGX_CHAT_PATH_NAME,
      .request = NGX_CHAT_REQUEST_ADMIN_USER,
      .title = "Administration User Instance",
      .admin = 1,
      .patch = ngx_chat_admin_change },

    { .path = ngx_string("admin/audit/"),
      .request = NGX_CHAT_REQUEST_ADMIN_AUDIT,
      .title = "Audit Log",
      .admin = 1,
      .get = ngx_chat_admin_audit },

    { .path = ngx_string("password/"),
      .request = NGX_CHAT_REQUEST_PASSWORD,
      .title = "Password",
      .post = ngx_chat_login_password },

    { .path = ngx_string(""),
      .request = NGX_CHAT_REQUEST_ROOT,
      .title = "Api Root",
      .get = ngx_chat_api_root },

    { .title = NULL }
};


static const ngx_chat_endpoint_t  ngx_chat_api_login = {
    .request = NGX_CHAT_REQUEST_LOGIN,
    .title = "Login",
    .form = 1,
    .same_origin = NGX_HTTP_POST,
    .get = ngx_chat_login_page,
    .post = ngx_chat_login_form
};


/* GET logs out, as in the Django app, but only same-origin */

static const ngx_chat_endpoint_t  ngx_chat_api_logout = {
    .request = NGX_CHAT_REQUEST_LOGOUT,
    .title = "Logout",
    .form = 1,
    .same_origin = ~(ngx_uint_t) 0,
    .get = ngx_chat_session_logout,
    .post = ngx_chat_session_logout
};


static const ngx_chat_endpoint_t  ngx_chat_api_status = {
    .request = NGX_CHAT_REQUEST_MAX,
    .title = "Status",
    .get = ngx_chat_status_get
};


/*
 * Checks run in this order: the user, before the path is looked up, then the
 * path, the method, the origin, X-Chat-User, and the body.
 */

ngx_int_t
ngx_chat_api_handler(ngx_http_request_t *r)
{
    ngx_uint_t        public;
    ngx_chat_ctx_t   *ctx;
    ngx_chat_step_pt  step;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    /* subrequests of other modules are unauthenticated */

    if (ctx == NULL || r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    ctx->endpoint = ngx_chat_api_route(r, ctx);

    /* for other users, the paths of administrators do not exist */

    if (ctx->endpoint && ctx->endpoint->admin && !ctx->user.admin) {
        ctx->endpoint = NULL;
    }

    public = ctx->endpoint && ctx->endpoint->public
             && r->method == NGX_HTTP_POST;

    if (ctx->auth.unavailable) {
        step = ngx_chat_response_unavailable;

    } else if (ctx->user.id == 0 && !public) {
        step = ngx_chat_response_forbidden;

    } else if (ctx->endpoint == NULL) {
        step = ngx_chat_response_not_found;

    } else {
        step = ngx_chat_api_first(r, ctx->endpoint);

        if (public) {
            ctx->auth.origin = ngx_chat_origin(r);
        }

        if (!(r->method & NGX_CHAT_API_SAFE)) {

            if (ctx->auth.origin != NGX_OK) {
                step = ngx_chat_response_cross_origin;

            } else if (ctx->user.id
                       && ngx_chat_auth_expected(r, ctx) != NGX_OK)
            {
                step = ngx_chat_response_other_user;
            }
        }
    }

    return ngx_chat_step_begin(r, ctx, step);
}


ngx_int_t
ngx_chat_api_login_handler(ngx_http_request_t *r)
{
    return ngx_chat_api_location(r, &ngx_chat_api_login);
}


ngx_int_t
ngx_chat_api_logout_handler(ngx_http_request_t *r)
{
    return ngx_chat_api_location(r, &ngx_chat_api_logout);
}


ngx_int_t
ngx_chat_api_status_handler(ngx_http_request_t *r)
{
    return ngx_chat_api_location(r, &ngx_chat_api_status);
}


/* runs an endpoint that has a location of its own */

static ngx_int_t
ngx_chat_api_location(ngx_http_request_t *r, const ngx_chat_endpoint_t *e)
{
    ngx_chat_ctx_t   *ctx;
    ngx_chat_step_pt  step;

    ctx = ngx_chat_http_ctx(r);

    if (ctx == NULL || r != r->main) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->endpoint = e;
    ctx->form = e->form;

    step = ngx_chat_api_first(r, e);

    if (e->same_origin) {
        ctx->auth.origin = ngx_chat_origin(r);

        if (ctx->auth.origin != NGX_OK && (r->method & e->same_origin)) {
            step = ngx_chat_response_cross_origin;
        }
    }

    return ngx_chat_step_begin(r, ctx, step);
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

    case NGX_HTTP_PUT:
        step = e->put;
        break;

    case NGX_HTTP_PATCH:
        step = e->patch;
        break;

    case NGX_HTTP_DELETE:
        step = e->delete;
        break;

    case NGX_HTTP_OPTIONS:
        step = ngx_chat_response_options;
        break;

    default:
        step = NULL;
    }

    return step ? step : ngx_chat_response_not_allowed;
}


/*
 * Returns the endpoint of a request to the API, or NULL.  Sets ctx->id or
 * ctx->name if the path contains one.
 */

static const ngx_chat_endpoint_t *
ngx_chat_api_route(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    size_t                      len;
    ngx_str_t                   path;
    ngx_chat_loc_conf_t        *chlcf;
    ngx_http_core_loc_conf_t   *clcf;
    const ngx_chat_endpoint_t  *e;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    len = clcf->name.len - (chlcf->files.len ? sizeof("file/") - 1 : 0);

    /* "rewrite ... break" may have changed the prefix */

    if (r->uri.len < clcf->name.len
        || ngx_strncmp(r->uri.data, clcf->name.data, clcf->name.len) != 0)
    {
        return NULL;
    }

    path.data = r->uri.data + len;
    path.len = r->uri.len - len;

    for (e = ngx_chat_api_routes; e->title; e++) {

        if (e->files && chlcf->files.len == 0) {
            continue;
        }

        if (ngx_chat_api_match(e, &path, ctx) == NGX_OK) {
            return e;
        }
    }

    return NULL;
}


/* the trailing slash is optional: a redirect would lose the body of a POST */

static ngx_int_t
ngx_chat_api_match(const ngx_chat_endpoint_t *e, ngx_str_t *path,
    ngx_chat_ctx_t *ctx)
{
    ngx_str_t  item;

    if (e->kind == NGX_CHAT_PATH_PLAIN) {
        return (path->len == e->path.len || path->len + 1 == e->path.len)
               && ngx_memcmp(path->data, e->path.data, path->len) == 0
               ? NGX_OK : NGX_DECLINED;
    }

    if (path->len <= e->path.len
        || ngx_memcmp(path->data, e->path.data, e->path.len) != 0)
    {
        return NGX_DECLINED;
    }

    item.data = path->data + e->path.len;
    item.len = path->len - e->path.len;

    switch (e->kind) {

    case NGX_CHAT_PATH_ID:
        return ngx_chat_api_match_id(e, &item, ctx);

    case NGX_CHAT_PATH_FILE:
        return ngx_chat_api_match_file(&item, ctx);

    default:
        return ngx_chat_api_match_name(e, &item, ctx);
    }
}


/* the name after the token is for the client, and may be any */

static ngx_int_t
ngx_chat_api_match_file(ngx_str_t *item, ngx_chat_ctx_t *ctx)
{
    u_char  *p;

    p = ngx_strlchr(item->data, item->data + item->len, '/');

    ctx->name.data = item->data;
    ctx->name.len = p ? (size_t) (p - item->data) : item->len;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_api_match_id(const ngx_chat_endpoint_t *e, ngx_str_t *item,
    ngx_chat_ctx_t *ctx)
{
    u_char     *p, *last;
    ngx_str_t   id, tail;

    last = item->data + item->len;

    p = ngx_strlchr(item->data, last, '/');

    id.data = item->data;
    id.len = (p ? p : last) - item->data;

    tail.data = p ? p + 1 : last;
    tail.len = last - tail.data;

    if (!(tail.len == e->tail.len || tail.len + 1 == e->tail.len)
        || (tail.len && ngx_memcmp(tail.data, e->tail.data, tail.len) != 0))
    {
        return NGX_DECLINED;
    }

    /* an invalid id is handled as an id that does not exist */

    if (ngx_chat_string_id(&id, &ctx->id) != NGX_OK) {
        ctx->id = 0;
    }

    return NGX_OK;
}


/*
 * Matches from the end, because names of earlier versions may contain slashes,
 * sent as %2F.
 */

static ngx_int_t
ngx_chat_api_match_name(const ngx_chat_endpoint_t *e, ngx_str_t *item,
    ngx_chat_ctx_t *ctx)
{
    u_char  *p;
    size_t   size;

    size = 1 + e->tail.len;

    if (item->data[item->len - 1] != '/') {
        size--;
    }

    if (item->len <= size) {
        return NGX_DECLINED;
    }

    ctx->name.data = item->data;
    ctx->name.len = item->len - size;

    p = item->data + ctx->name.len;

    if (size
        && (*p != '/'
            || (size > 1 && ngx_memcmp(p + 1, e->tail.data, size - 1) != 0)))
    {
        return NGX_DECLINED;
    }

    return ngx_chat_unicode_lookup(&ctx->name);
}


/* GET of the location itself: links to the main resources */

static ngx_int_t
ngx_chat_api_root(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_api_link(r, json, "message", "message/");
    ngx_chat_api_link(r, json, "user", "user/");
    ngx_chat_api_link(r, json, "conversation", "conversation/");
    ngx_chat_api_link(r, json, "session", "session/");
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_api_link(ngx_http_request_t *r, ngx_chat_json_t *json,
    const char *key, const char *path)
{
    u_char                    *p;
    ngx_str_t                  base, link;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (ngx_chat_request_base(r, &base) != NGX_OK) {
        return;
    }

    p = ngx_pnalloc(r->pool, base.len + clcf->name.len + ngx_strlen(path));
    if (p == NULL) {
        return;
    }

    link.data = p;
    link.len = ngx_sprintf(p, "%V%V%s", &base, &clcf->name, path) - p;

    ngx_chat_json_key(json, key);
    ngx_chat_json_string(json, &link);
}
