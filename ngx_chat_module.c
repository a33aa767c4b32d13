
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_conf.h"
#include "ngx_chat_auth.h"
#include "ngx_chat_announce.h"
#include "ngx_chat_publish.h"
#include "ngx_chat_status.h"
#include "ngx_chat_subscriber.h"


static ngx_int_t ngx_chat_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_chat_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_chat_postconfiguration_replica(ngx_conf_t *cf,
    ngx_chat_main_conf_t *chmcf);
static ngx_int_t ngx_chat_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_chat_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_chat_last_init_process(ngx_cycle_t *cycle);
static void ngx_chat_exit_process(ngx_cycle_t *cycle);

static void *ngx_chat_create_main_conf(ngx_conf_t *cf);
static char *ngx_chat_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_chat_create_loc_conf(ngx_conf_t *cf);
static char *ngx_chat_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

static ngx_int_t ngx_chat_variable_user(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_user_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_message_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_db_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_channel(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_channels(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_none(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);


/* one that outlives configurations, or NULL */
static ngx_log_t  *ngx_chat_log;


static ngx_conf_num_bounds_t  ngx_chat_connections_bounds = {
    ngx_conf_check_num_bounds, 1, 64
};

static ngx_conf_num_bounds_t  ngx_chat_page_bounds = {
    ngx_conf_check_num_bounds, 1, 100
};

static ngx_conf_num_bounds_t  ngx_chat_message_bounds = {
    ngx_conf_check_num_bounds, 1, 1000000
};

static ngx_conf_enum_t  ngx_chat_statuses[] = {
    { ngx_string("on"), NGX_CHAT_STATUS_ON },
    { ngx_string("live"), NGX_CHAT_STATUS_LIVE },
    { ngx_string("ready"), NGX_CHAT_STATUS_READY },
    { ngx_null_string, 0 }
};

static ngx_conf_post_t  ngx_chat_positive_post = { ngx_chat_conf_positive };
static ngx_conf_post_t  ngx_chat_positive_msec_post = {
    ngx_chat_conf_positive_msec
};


static ngx_command_t  ngx_chat_commands[] = {

    { ngx_string("chat_db"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_chat_conf_db,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_db_replica"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_chat_conf_db_replica,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_db_connections"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, db.connections),
      &ngx_chat_connections_bounds },

    { ngx_string("chat_db_queue"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, db.queue),
      &ngx_chat_positive_post },

    { ngx_string("chat_db_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, db.timeout),
      &ngx_chat_positive_msec_post },

    { ngx_string("chat_db_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, db.connect_timeout),
      &ngx_chat_positive_msec_post },

    { ngx_string("chat_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_chat_conf_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_thread_pool"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, thread_pool_name),
      NULL },

    { ngx_string("chat_hosts"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, hosts),
      NULL },

    { ngx_string("chat_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_chat_conf_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, api),
      NULL },

    { ngx_string("chat_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_chat_conf_auth,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_subscriber"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, subscriber),
      NULL },

    { ngx_string("chat_publish"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_chat_conf_publish,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, publish),
      NULL },

    { ngx_string("chat_page_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, page_size),
      &ngx_chat_page_bounds },

    { ngx_string("chat_max_message"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, max_message),
      &ngx_chat_message_bounds },

    { ngx_string("chat_session_lifetime"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, session_lifetime),
      &ngx_chat_positive_post },

    { ngx_string("chat_session_check"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, session_check),
      NULL },

    { ngx_string("chat_cookie"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_chat_conf_cookie,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_allowed_origins"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_chat_conf_origins,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_login"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_chat_conf_login,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_logout"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_chat_conf_logout,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_chat_conf_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, status),
      &ngx_chat_statuses },

      ngx_null_command
};


static ngx_http_module_t  ngx_chat_module_ctx = {
    ngx_chat_add_variables,                /* preconfiguration */
    ngx_chat_postconfiguration,            /* postconfiguration */

    ngx_chat_create_main_conf,             /* create main configuration */
    ngx_chat_init_main_conf,               /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_chat_create_loc_conf,              /* create location configuration */
    ngx_chat_merge_loc_conf                /* merge location configuration */
};


ngx_module_t  ngx_chat_module = {
    NGX_MODULE_V1,
    &ngx_chat_module_ctx,                  /* module context */
    ngx_chat_commands,                     /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_chat_init_module,                  /* init module */
    ngx_chat_init_process,                 /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_chat_exit_process,                 /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/*
 * nginx comes to modules in the order in which they are linked in or loaded,
 * and to this one last: after nchan, wherever that stands.  It has no context
 * and no directives, as nginx's own ngx_conf_module.
 */

static ngx_module_t  ngx_chat_last_module = {
    NGX_MODULE_V1,
    NULL,                                  /* module context */
    NULL,                                  /* module directives */
    NGX_CONF_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_chat_last_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/*
 * $chat_channels is read in nchan's subrequest and differs from one message to
 * the next; $chat_user and its kin are known only after the phase that sets
 * them, and so are not to be cached before.
 */

static ngx_http_variable_t  ngx_chat_variables[] = {

    { ngx_string("chat_user"), NULL, ngx_chat_variable_user,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_user_id"), NULL, ngx_chat_variable_user_id,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_message_id"), NULL, ngx_chat_variable_message_id,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_db_time"), NULL, ngx_chat_variable_db_time,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_channel"), NULL, ngx_chat_variable_channel,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chat_channels"), NULL, ngx_chat_variable_channels,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* set by the login endpoint; its value outlives an internal redirect */
    { ngx_string("chat_login_error"), NULL, ngx_chat_variable_none,
      0, 0, 0 },

      ngx_http_null_variable
};


static ngx_int_t
ngx_chat_add_variables(ngx_conf_t *cf)
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


static void *
ngx_chat_create_main_conf(ngx_conf_t *cf)
{
    ngx_chat_main_conf_t  *chmcf;

    /*
     * set by ngx_pcalloc():
     *
     *     chmcf->db = { the texts empty, tls = 0 };
     *     chmcf->replica = { the servers none };
     *     chmcf->zone = NULL;
     *     chmcf->thread_pool = NULL;
     *     chmcf->thread_pool_name = { 0, NULL };
     *     chmcf->used = 0;
     *     chmcf->worker = NULL;
     */

    chmcf = ngx_pcalloc(cf->pool, sizeof(ngx_chat_main_conf_t));
    if (chmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&chmcf->publishers, cf->pool, 1,
                       sizeof(ngx_chat_publisher_t))
        != NGX_OK)
    {
        return NULL;
    }

    chmcf->db.connections = NGX_CONF_UNSET_UINT;
    chmcf->db.queue = NGX_CONF_UNSET_UINT;
    chmcf->hosts = NGX_CONF_UNSET;
    chmcf->db.timeout = NGX_CONF_UNSET_MSEC;
    chmcf->db.connect_timeout = NGX_CONF_UNSET_MSEC;
    chmcf->login_error_index = NGX_ERROR;

    return chmcf;
}


/*
 * nchan makes its timers for Redis when a configuration has been read, and
 * gives them the log of the current one, which is still the one before.  A
 * reload frees that then, and workers die of it.  So the current one gets a log
 * that stays to the end of the process, and ngx_chat_init_module() replaces
 * what is in it.  The log that nginx starts with stays as it is.
 */

static char *
ngx_chat_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_chat_main_conf_t *chmcf = conf;

    if (ngx_cycle->log == &ngx_cycle->new_log) {

        if (ngx_chat_log == NULL) {

            /* the module's own memory goes when its file is replaced */

            ngx_chat_log = ngx_alloc(sizeof(ngx_log_t), cf->log);
            if (ngx_chat_log == NULL) {
                return NGX_CONF_ERROR;
            }
        }

        *ngx_chat_log = ngx_cycle->new_log;
        ngx_cycle->log = ngx_chat_log;
    }

    ngx_conf_init_uint_value(chmcf->db.connections, 4);
    ngx_conf_init_uint_value(chmcf->db.queue, 1024);
    ngx_conf_init_msec_value(chmcf->db.timeout, 5000);
    ngx_conf_init_msec_value(chmcf->db.connect_timeout, 2000);
    ngx_conf_init_value(chmcf->hosts, 0);

    return NGX_CONF_OK;
}


static void *
ngx_chat_create_loc_conf(ngx_conf_t *cf)
{
    ngx_chat_loc_conf_t  *chlcf;

    /*
     * set by ngx_pcalloc():
     *
     *     chlcf->auth_redirect = { 0, NULL };
     *     chlcf->publish = { 0, NULL };
     *     chlcf->cookie = { 0, NULL };
     *     chlcf->login_page = { 0, NULL };
     *     chlcf->login_redirect = { 0, NULL };
     *     chlcf->logout_redirect = { 0, NULL };
     */

    chlcf = ngx_pcalloc(cf->pool, sizeof(ngx_chat_loc_conf_t));
    if (chlcf == NULL) {
        return NULL;
    }

    chlcf->api = NGX_CONF_UNSET;
    chlcf->auth = NGX_CONF_UNSET_UINT;
    chlcf->auth_index = NGX_CONF_UNSET;
    chlcf->subscriber = NGX_CONF_UNSET;
    chlcf->page_size = NGX_CONF_UNSET_UINT;
    chlcf->max_message = NGX_CONF_UNSET_UINT;
    chlcf->session_lifetime = NGX_CONF_UNSET;
    chlcf->session_check = NGX_CONF_UNSET_MSEC;
    chlcf->secure = NGX_CONF_UNSET_UINT;
    chlcf->origins = NGX_CONF_UNSET_PTR;
    chlcf->status = NGX_CONF_UNSET_UINT;

    return chlcf;
}


static char *
ngx_chat_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_chat_loc_conf_t *prev = parent;
    ngx_chat_loc_conf_t *conf = child;

    ngx_chat_main_conf_t      *chmcf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && !clcf->lmt_excpt) {

        /* an "if" is a part of its location, whose handler it keeps */

        conf->api = prev->api;
        conf->subscriber = prev->subscriber;
        conf->login_page = prev->login_page;
        conf->login_redirect = prev->login_redirect;
        conf->logout_redirect = prev->logout_redirect;
        conf->status = prev->status;
    }

    /* the API and a subscriber are of their location alone */
    ngx_conf_init_value(conf->api, 0);
    ngx_conf_init_value(conf->subscriber, 0);

    if (conf->auth == NGX_CONF_UNSET_UINT) {
        conf->auth = (prev->auth == NGX_CONF_UNSET_UINT) ? NGX_CHAT_AUTH_OFF
                                                         : prev->auth;
        conf->auth_index = prev->auth_index;
        conf->auth_redirect = prev->auth_redirect;
    }

    ngx_conf_merge_str_value(conf->publish, prev->publish, "");
    ngx_conf_merge_uint_value(conf->page_size, prev->page_size, 15);
    ngx_conf_merge_uint_value(conf->max_message, prev->max_message, 4000);
    ngx_conf_merge_sec_value(conf->session_lifetime, prev->session_lifetime,
                             14 * 24 * 60 * 60);
    ngx_conf_merge_msec_value(conf->session_check, prev->session_check,
                              10000);
    ngx_conf_merge_str_value(conf->cookie, prev->cookie, "sessionid");
    ngx_conf_merge_uint_value(conf->secure, prev->secure,
                              NGX_CHAT_SECURE_AUTO);
    ngx_conf_merge_ptr_value(conf->origins, prev->origins, NULL);
    ngx_conf_init_uint_value(conf->status, NGX_CHAT_STATUS_OFF);

    if (conf->api && conf->auth == NGX_CHAT_AUTH_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_api\" needs to know who is calling: "
                           "add \"chat_auth on;\" to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->api && conf->publish.len == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"chat_api\" without \"chat_publish\": messages "
                           "are stored, but nobody is told of them");
    }

    if (conf->api && conf->publish.len
        && ngx_chat_announce_publisher(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->subscriber && conf->auth == NGX_CHAT_AUTH_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_subscriber\" needs to know who is calling: "
                           "add \"chat_auth on;\" to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->login_redirect.len && conf->auth != NGX_CHAT_AUTH_OFF
        && conf->auth_redirect.len)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nobody would reach \"chat_login\" where "
                           "\"chat_auth\" redirects: add \"chat_auth off;\" "
                           "to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->auth != NGX_CHAT_AUTH_OFF || conf->login_redirect.len
        || conf->logout_redirect.len || conf->status)
    {
        chmcf = ngx_http_conf_get_module_main_conf(cf, ngx_chat_module);
        chmcf->used = 1;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_chat_postconfiguration(ngx_conf_t *cf)
{
    ngx_str_t                   name = ngx_string("chat_login_error");
    ngx_http_handler_pt        *h;
    ngx_chat_main_conf_t       *chmcf;
    ngx_http_core_main_conf_t  *cmcf;

    chmcf = ngx_http_conf_get_module_main_conf(cf, ngx_chat_module);

    if (!chmcf->used) {
        return NGX_OK;
    }

    if (chmcf->db.user.len == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "chat is used in a location, but no database is named: "
                      "add \"chat_db\" to the \"http\" block");
        return NGX_ERROR;
    }

    if (chmcf->zone == NULL) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "no \"chat_zone\": log-ins are not throttled, a log-out "
                      "reaches other workers' sockets late, and each request "
                      "asks the database who is calling");
    }

    if (chmcf->zone == NULL && chmcf->db.servers.nelts > 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "several servers of \"chat_db\" need a \"chat_zone\", "
                      "in which workers agree on one of them");
        return NGX_ERROR;
    }

    chmcf->thread_pool = ngx_thread_pool_add(cf, chmcf->thread_pool_name.len
                                                 ? &chmcf->thread_pool_name
                                                 : NULL);
    if (chmcf->thread_pool == NULL) {
        return NGX_ERROR;
    }

    chmcf->db.thread_pool = chmcf->thread_pool;

    if (chmcf->replica.servers.nelts
        && ngx_chat_postconfiguration_replica(cf, chmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    chmcf->login_error_index = ngx_http_get_variable_index(cf, &name);
    if (chmcf->login_error_index == NGX_ERROR) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /* handlers of a phase run last-pushed first: this one before limit_req */

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_chat_auth_session_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_chat_auth_variable_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_chat_status_log_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_postconfiguration_replica(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf)
{
    ngx_uint_t             i;
    ngx_array_t            servers;
    ngx_chat_db_server_t  *primary, *replica;

    if (chmcf->zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"chat_db_replica\" needs a \"chat_zone\", which has "
                      "what a replica must have reached for whom");
        return NGX_ERROR;
    }

    servers = chmcf->replica.servers;

    primary = chmcf->db.servers.elts;
    replica = servers.elts;

    /* of several, one that waits to become the primary may be a replica */

    for (i = 0; chmcf->db.servers.nelts == 1 && i < servers.nelts; i++) {
        if (replica[i].key == primary->key) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%V\" is in \"chat_db\" and in "
                          "\"chat_db_replica\"", &replica[i].name);
            return NGX_ERROR;
        }
    }

    /* all else as it is for the database itself */

    chmcf->replica = chmcf->db;
    chmcf->replica.servers = servers;

    ngx_chat_subscriber_filter_init();

    return NGX_OK;
}


static ngx_int_t
ngx_chat_init_module(ngx_cycle_t *cycle)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_chat_module);

    if (chmcf && chmcf->zone) {
        chmcf->generation = ngx_chat_workers_new_generation(
                                   ngx_chat_cache_workers(chmcf->zone->data));
    }

    if (!ngx_is_init_cycle(ngx_cycle)
        && ngx_cycle->log != &ngx_cycle->new_log)
    {
        ngx_chat_log = ngx_cycle->log;
        *ngx_chat_log = cycle->new_log;
        cycle->log = ngx_chat_log;
    }

    if (cycle->modules_n == ngx_max_module) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "chat: too many modules are loaded");
        return NGX_ERROR;
    }

    cycle->modules[cycle->modules_n++] = &ngx_chat_last_module;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_init_process(ngx_cycle_t *cycle)
{
    ngx_chat_cache_t      *cache;
    ngx_chat_worker_t     *worker;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_chat_module);

    if (chmcf == NULL || !chmcf->used
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    cache = chmcf->zone ? chmcf->zone->data : NULL;

    worker->metrics = ngx_chat_metrics_create(cycle,
                                              ngx_chat_cache_metrics(cache));
    if (worker->metrics == NULL) {
        return NGX_ERROR;
    }

    worker->db = ngx_chat_db_create(cycle, &chmcf->db,
                                    ngx_chat_cache_choice(cache),
                                    chmcf->db.servers.nelts > 1
                                    ? &ngx_chat_sql_setup_writer
                                    : &ngx_chat_sql_setup,
                                    ngx_chat_sql_classes, worker->metrics);
    if (worker->db == NULL) {
        return NGX_ERROR;
    }

    if (chmcf->replica.servers.nelts) {
        worker->replica = ngx_chat_replica_create(cycle, &chmcf->replica,
                                             ngx_chat_cache_replica(cache),
                                             ngx_chat_cache_fresh(cache),
                                             worker->db, chmcf->hosts,
                                             ngx_chat_sql_classes,
                                             worker->metrics);
        if (worker->replica == NULL) {
            return NGX_ERROR;
        }
    }

    worker->password = ngx_chat_password_create(cycle, chmcf->thread_pool,
                                                worker->metrics);
    if (worker->password == NULL) {
        return NGX_ERROR;
    }

    worker->workers = ngx_chat_cache_workers(cache);

    chmcf->worker = worker;

    worker->subscribers = ngx_chat_subscribers_create(cycle, chmcf);
    if (worker->subscribers == NULL) {
        return NGX_ERROR;
    }

    if (worker->workers && chmcf->publishers.nelts) {
        worker->announcer = ngx_chat_announcer_create(cycle, chmcf);
        if (worker->announcer == NULL) {
            return NGX_ERROR;
        }
    }

    if (chmcf->hosts) {
        worker->hosts = ngx_chat_hosts_create(cycle, worker->db,
                                              worker->workers);
        if (worker->hosts == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_last_init_process(ngx_cycle_t *cycle)
{
    ngx_chat_worker_t     *worker;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_chat_module);

    if (chmcf == NULL || chmcf->worker == NULL) {
        return NGX_OK;
    }

    worker = chmcf->worker;

    if (ngx_chat_workers_start(worker->workers, chmcf->generation)
        == NGX_DECLINED)
    {
        /* what is sent in the new epoch is not to be drained */

        ngx_chat_publish_drain(cycle);
        ngx_chat_workers_new_epoch(worker->workers);

        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "chat: a worker has died, closing all sockets: nchan "
                      "would not deliver to all of them any more");
    }

    return NGX_OK;
}


static void
ngx_chat_exit_process(ngx_cycle_t *cycle)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_chat_module);

    if (chmcf && chmcf->worker) {
        ngx_chat_workers_end(chmcf->worker->workers);
    }
}


static ngx_int_t
ngx_chat_variable_user(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_chat_auth_ctx_kept(r->main);

    return ngx_chat_variable_set(v, (ctx && ctx->user.id) ? &ctx->user.name
                                                          : NULL);
}


static ngx_int_t
ngx_chat_variable_user_id(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t        value;
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_chat_auth_ctx_kept(r->main);

    if (ctx == NULL || ctx->user.id == 0) {
        return ngx_chat_variable_set(v, NULL);
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%uD", ctx->user.id) - value.data;

    return ngx_chat_variable_set(v, &value);
}


static ngx_int_t
ngx_chat_variable_message_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t        value;
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_chat_auth_ctx_kept(r->main);

    if (ctx == NULL || ctx->message_id == 0) {
        return ngx_chat_variable_set(v, NULL);
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%uL", ctx->message_id) - value.data;

    return ngx_chat_variable_set(v, &value);
}


/* seconds, as $upstream_response_time: of all queries of the request */

static ngx_int_t
ngx_chat_variable_db_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t        value;
    ngx_uint_t       ms;
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_chat_auth_ctx_kept(r->main);

    if (ctx == NULL || !ctx->db_asked) {
        return ngx_chat_variable_set(v, NULL);
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN + 4);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ms = (ctx->db_time + 500) / 1000;

    value.len = ngx_sprintf(value.data, "%ui.%03ui", ms / 1000, ms % 1000)
                - value.data;

    return ngx_chat_variable_set(v, &value);
}


/* of who listens: the id, and the epoch if it is not the first */

static ngx_int_t
ngx_chat_variable_channel(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t        value;
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_chat_module);

    if (ctx == NULL || ctx->user.id == 0) {
        return ngx_chat_variable_set(v, NULL);
    }

    value.data = ngx_pnalloc(r->pool, NGX_CHAT_CHANNEL_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_chat_http_channel(value.data, ctx->user.id, ctx->epoch)
                - value.data;

    return ngx_chat_variable_set(v, &value);
}


static ngx_int_t
ngx_chat_variable_channels(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_chat_module);

    return ngx_chat_variable_set(v, (ctx && ctx->channels.len)
                                    ? &ctx->channels : NULL);
}


static ngx_int_t
ngx_chat_variable_none(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    return ngx_chat_variable_set(v, NULL);
}


static ngx_int_t
ngx_chat_variable_set(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = value->len;
    v->data = value->data;

    return NGX_OK;
}
