
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"


static void ngx_chat_http_ctx_cleanup(void *data);


typedef enum {
    NGX_CHAT_VARIABLE_USER = 0,
    NGX_CHAT_VARIABLE_USER_ID,
    NGX_CHAT_VARIABLE_MESSAGE_ID,
    NGX_CHAT_VARIABLE_DB_TIME,
    NGX_CHAT_VARIABLE_CHANNEL,
    NGX_CHAT_VARIABLE_CHANNELS,
    NGX_CHAT_VARIABLE_NONE
} ngx_chat_variable_e;


/* more than any number has, bytes */
#define NGX_CHAT_VARIABLE_LEN  (2 * NGX_INT64_LEN)


static ngx_int_t ngx_chat_variable_get(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_chat_variable_value(ngx_chat_ctx_t *ctx,
    ngx_chat_variable_e variable, ngx_str_t *value);


/*
 * The variables are not cacheable.  $chat_channels changes with each message.
 * The others may be evaluated before the phase that sets them.
 */

static ngx_http_variable_t  ngx_chat_variables[] = {

    { ngx_string("chat_user"), NULL, ngx_chat_variable_get,
      NGX_CHAT_VARIABLE_USER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_user_id"), NULL, ngx_chat_variable_get,
      NGX_CHAT_VARIABLE_USER_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_message_id"), NULL, ngx_chat_variable_get,
      NGX_CHAT_VARIABLE_MESSAGE_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_db_time"), NULL, ngx_chat_variable_get,
      NGX_CHAT_VARIABLE_DB_TIME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_channel"), NULL, ngx_chat_variable_get,
      NGX_CHAT_VARIABLE_CHANNEL, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_channels"), NULL, ngx_chat_variable_get,
      NGX_CHAT_VARIABLE_CHANNELS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* set by the login endpoint; the value survives an internal redirect */
    { ngx_string("chat_login_error"), NULL, ngx_chat_variable_get,
      NGX_CHAT_VARIABLE_NONE, 0, 0 },

      ngx_http_null_variable
};


ngx_chat_ctx_t *
ngx_chat_http_ctx(ngx_http_request_t *r)
{
    ngx_chat_ctx_t       *ctx;
    ngx_pool_cleanup_t   *cln;
    ngx_chat_loc_conf_t  *chlcf;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_chat_http_ctx_cleanup;

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_chat_ctx_t));

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    ctx->log.request = ngx_chat_http_request(chlcf);
    ctx->log.method = r->method;

    ngx_http_set_ctx(r, ctx, ngx_chat_module);

    return ctx;
}


/* identifies the context in r->pool, as in ngx_http_realip_module */

static void
ngx_chat_http_ctx_cleanup(void *data)
{
}


ngx_chat_ctx_t *
ngx_chat_http_ctx_kept(ngx_http_request_t *r)
{
    ngx_chat_ctx_t      *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_chat_http_ctx_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


ngx_chat_request_e
ngx_chat_http_request(ngx_chat_loc_conf_t *chlcf)
{
    if (chlcf->api) {
        return NGX_CHAT_REQUEST_OTHER;
    }

    return chlcf->subscriber ? NGX_CHAT_REQUEST_SOCKET : NGX_CHAT_REQUEST_MAX;
}


ngx_int_t
ngx_chat_variables_add(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_chat_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_variable_get(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t             value;
    ngx_chat_ctx_t       *ctx;
    ngx_chat_variable_e   variable = data;

    /* a request that was redirected to another location has no channel */

    ctx = (variable >= NGX_CHAT_VARIABLE_CHANNEL)
          ? ngx_http_get_module_ctx(r->main, ngx_chat_module)
          : ngx_chat_http_ctx_kept(r->main);

    v->not_found = 1;

    if (ctx == NULL) {
        return NGX_OK;
    }

    value.len = 0;
    value.data = ngx_pnalloc(r->pool, NGX_CHAT_VARIABLE_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_variable_value(ctx, variable, &value);

    if (value.len) {
        v->valid = 1;
        v->no_cacheable = 0;
        v->not_found = 0;
        v->len = value.len;
        v->data = value.data;
    }

    return NGX_OK;
}


/* writes to value->data, or points it to a string of the context */

static void
ngx_chat_variable_value(ngx_chat_ctx_t *ctx, ngx_chat_variable_e variable,
    ngx_str_t *value)
{
    u_char      *p;
    ngx_uint_t   ms;

    p = value->data;

    switch (variable) {

    case NGX_CHAT_VARIABLE_USER:

        if (ctx->user.id) {
            *value = ctx->user.name;
        }

        return;

    case NGX_CHAT_VARIABLE_USER_ID:

        if (ctx->user.id) {
            p = ngx_sprintf(p, "%uD", ctx->user.id);
        }

        break;

    case NGX_CHAT_VARIABLE_MESSAGE_ID:

        if (ctx->message_id) {
            p = ngx_sprintf(p, "%uL", ctx->message_id);
        }

        break;

    case NGX_CHAT_VARIABLE_DB_TIME:

        /* the total time of the queries, as in $upstream_response_time */

        if (ctx->log.db_used) {
            ms = (ctx->log.db_time + 500) / 1000;
            p = ngx_sprintf(p, "%ui.%03ui", ms / 1000, ms % 1000);
        }

        break;

    case NGX_CHAT_VARIABLE_CHANNEL:

        *value = ctx->push.channel;
        return;

    case NGX_CHAT_VARIABLE_CHANNELS:
        *value = ctx->push.channels;
        return;

    case NGX_CHAT_VARIABLE_NONE:
        return;
    }

    value->len = p - value->data;
}
