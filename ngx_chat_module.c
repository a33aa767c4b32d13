
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_api.h"
#include "src/http/ngx_chat_conf.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_auth.h"
#include "src/http/ngx_chat_sweep.h"
#include "src/http/ngx_chat_upload.h"
#include "src/push/ngx_chat_auth_subscribe.h"
#include "src/push/ngx_chat_nchan.h"
#include "src/push/ngx_chat_notify.h"
#include "src/push/ngx_chat_publish.h"
#include "src/push/ngx_chat_push.h"
#include "src/api/ngx_chat_endpoint.h"


static ngx_int_t ngx_chat_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_chat_postconfiguration_handlers(ngx_conf_t *cf);
static ngx_int_t ngx_chat_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_chat_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_chat_init_process_db(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf, ngx_chat_worker_t *worker);
static void ngx_chat_exit_process(ngx_cycle_t *cycle);

static void *ngx_chat_create_main_conf(ngx_conf_t *cf);
static char *ngx_chat_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_chat_create_loc_conf(ngx_conf_t *cf);
static char *ngx_chat_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_chat_check_loc_conf(ngx_conf_t *cf,
    ngx_chat_loc_conf_t *conf);


static ngx_conf_num_bounds_t  ngx_chat_connections_bounds = {
    ngx_conf_check_num_bounds, 1, 64
};

static ngx_conf_num_bounds_t  ngx_chat_page_bounds = {
    ngx_conf_check_num_bounds, 1, 100
};

static ngx_conf_num_bounds_t  ngx_chat_message_bounds = {
    ngx_conf_check_num_bounds, 1, 1000000
};

static ngx_conf_post_t  ngx_chat_positive_post = { ngx_chat_conf_positive };


/* handlers for the setters in ngx_chat_conf.c, which are below these folders */

static ngx_http_handler_pt  ngx_chat_api_post = ngx_chat_api_handler;
static ngx_http_handler_pt  ngx_chat_login_post = ngx_chat_api_login_handler;
static ngx_http_handler_pt  ngx_chat_logout_post = ngx_chat_api_logout_handler;
static ngx_http_handler_pt  ngx_chat_status_post = ngx_chat_api_status_handler;
static ngx_chat_step_pt  ngx_chat_subscriber_post = ngx_chat_auth_subscribe;


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
      &ngx_chat_positive_post },

    { ngx_string("chat_db_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, db.connect_timeout),
      &ngx_chat_positive_post },

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

    { ngx_string("chat_presence"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, presence),
      NULL },

    { ngx_string("chat_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_chat_conf_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, redis),
      NULL },

    { ngx_string("chat_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_chat_conf_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, api),
      &ngx_chat_api_post },

    { ngx_string("chat_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_chat_conf_auth,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_profile"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_chat_conf_profile,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_subscriber"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_chat_conf_subscriber,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      &ngx_chat_subscriber_post },

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

    { ngx_string("chat_body_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, body_timeout),
      &ngx_chat_positive_post },

    { ngx_string("chat_change_window"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_chat_conf_change_window,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, change_window),
      &ngx_chat_positive_post },

    { ngx_string("chat_files"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23,
      ngx_chat_conf_files,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      &ngx_chat_api_post },

    { ngx_string("chat_max_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, max_file),
      &ngx_chat_positive_post },

    { ngx_string("chat_file_quota"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_chat_conf_file_quota,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, file_quota),
      &ngx_chat_positive_post },

    { ngx_string("chat_file_min_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, file_rate),
      NULL },

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
      &ngx_chat_login_post },

    { ngx_string("chat_logout"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_chat_conf_logout,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      &ngx_chat_logout_post },

    { ngx_string("chat_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_chat_conf_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, status),
      &ngx_chat_status_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_chat_module_ctx = {
    ngx_chat_variables_add,                /* preconfiguration */
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


static void *
ngx_chat_create_main_conf(ngx_conf_t *cf)
{
    ngx_chat_main_conf_t  *chmcf;

    /*
     * set by ngx_pcalloc():
     *
     *     chmcf->db = { NULL };
     *     chmcf->replica = { NULL };
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
        != NGX_OK
        || ngx_array_init(&chmcf->locations, cf->pool, 1,
                          sizeof(ngx_chat_location_t))
           != NGX_OK
        || ngx_array_init(&chmcf->groups, cf->pool, 1, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NULL;
    }

    chmcf->db.connections = NGX_CONF_UNSET_UINT;
    chmcf->db.queue = NGX_CONF_UNSET_UINT;
    chmcf->hosts = NGX_CONF_UNSET;
    chmcf->presence = NGX_CONF_UNSET;
    chmcf->db.timeout = NGX_CONF_UNSET_MSEC;
    chmcf->db.connect_timeout = NGX_CONF_UNSET_MSEC;
    chmcf->login_error_index = NGX_ERROR;
    ngx_str_set(&chmcf->api_base, "/api/v1/");

    return chmcf;
}


static char *
ngx_chat_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_chat_main_conf_t  *chmcf = conf;

    ngx_conf_init_uint_value(chmcf->db.connections, 4);
    ngx_conf_init_uint_value(chmcf->db.queue, 1024);
    ngx_conf_init_msec_value(chmcf->db.timeout, 5000);
    ngx_conf_init_msec_value(chmcf->db.connect_timeout, 2000);
    ngx_conf_init_value(chmcf->hosts, 0);
    ngx_conf_init_value(chmcf->presence, 1);

    chmcf->several = chmcf->hosts || chmcf->redis.servers.nelts;

    return NGX_CONF_OK;
}


static void *
ngx_chat_create_loc_conf(ngx_conf_t *cf)
{
    ngx_chat_loc_conf_t  *chlcf;

    /*
     * set by ngx_pcalloc():
     *
     *     chlcf->handler = NULL;
     *     chlcf->auth_redirect = { 0, NULL };
     *     chlcf->auth_create = 0;
     *     chlcf->subscribe = NULL;
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
    chlcf->profile = NGX_CONF_UNSET_PTR;
    chlcf->subscriber = NGX_CONF_UNSET_UINT;
    chlcf->page_size = NGX_CONF_UNSET_UINT;
    chlcf->max_message = NGX_CONF_UNSET_UINT;
    chlcf->body_timeout = NGX_CONF_UNSET_MSEC;
    chlcf->change_window = NGX_CONF_UNSET;
    chlcf->session_lifetime = NGX_CONF_UNSET;
    chlcf->session_check = NGX_CONF_UNSET_MSEC;
    chlcf->secure = NGX_CONF_UNSET_UINT;
    chlcf->origins = NGX_CONF_UNSET_PTR;
    chlcf->status = NGX_CONF_UNSET_UINT;
    ngx_chat_conf_files_create(chlcf);

    return chlcf;
}


static char *
ngx_chat_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_chat_loc_conf_t  *prev = parent;
    ngx_chat_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && !clcf->lmt_excpt) {

        /* an "if" block has the handler of its location */

        conf->handler = prev->handler;
        conf->api = prev->api;
        conf->subscriber = prev->subscriber;
        conf->subscribe = prev->subscribe;
        conf->login_page = prev->login_page;
        conf->login_redirect = prev->login_redirect;
        conf->logout_redirect = prev->logout_redirect;
        conf->status = prev->status;
    }

    /* these are not inherited */
    ngx_conf_init_value(conf->api, 0);
    ngx_conf_init_uint_value(conf->subscriber, NGX_CHAT_SUBSCRIBER_OFF);

    if (conf->auth == NGX_CONF_UNSET_UINT) {
        conf->auth = (prev->auth == NGX_CONF_UNSET_UINT) ? NGX_CHAT_AUTH_OFF
                                                         : prev->auth;
        conf->auth_index = prev->auth_index;
        conf->auth_redirect = prev->auth_redirect;
        conf->auth_create = prev->auth_create;
    }

    ngx_conf_merge_ptr_value(conf->profile, prev->profile, NULL);
    ngx_conf_merge_str_value(conf->publish, prev->publish, "");
    ngx_conf_merge_uint_value(conf->page_size, prev->page_size, 15);
    ngx_conf_merge_uint_value(conf->max_message, prev->max_message, 4000);
    ngx_conf_merge_msec_value(conf->body_timeout, prev->body_timeout, 60000);
    ngx_conf_merge_sec_value(conf->change_window, prev->change_window,
                             24 * 60 * 60);
    ngx_conf_merge_sec_value(conf->session_lifetime, prev->session_lifetime,
                             14 * 24 * 60 * 60);
    ngx_conf_merge_msec_value(conf->session_check, prev->session_check,
                              10000);
    ngx_conf_merge_str_value(conf->cookie, prev->cookie, "sessionid");
    ngx_conf_merge_uint_value(conf->secure, prev->secure,
                              NGX_CHAT_SECURE_AUTO);
    ngx_conf_merge_ptr_value(conf->origins, prev->origins, NULL);
    ngx_conf_init_uint_value(conf->status, NGX_CHAT_STATUS_OFF);

    if (ngx_chat_conf_files_merge(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_chat_check_loc_conf(cf, conf);
}


static char *
ngx_chat_check_loc_conf(ngx_conf_t *cf, ngx_chat_loc_conf_t *conf)
{
    ngx_chat_main_conf_t      *chmcf;
    ngx_http_core_loc_conf_t  *clcf;

    chmcf = ngx_http_conf_get_module_main_conf(cf, ngx_chat_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->handler && clcf->handler && clcf->handler != conf->handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "location \"%V\" has a handler of a chat directive and "
                      "another handler, perhaps in an \"if\": use separate "
                      "locations", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (conf->api && conf->auth == NGX_CHAT_AUTH_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_api\" requires authentication: "
                           "add \"chat_auth on;\" to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->api && conf->publish.len == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"chat_api\" without \"chat_publish\": messages "
                           "are stored, but no notifications are sent");
    }

    if (conf->api && conf->publish.len
        && ngx_chat_publisher_add(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->subscriber && conf->auth == NGX_CHAT_AUTH_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_subscriber\" requires authentication: "
                           "add \"chat_auth on;\" to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->subscriber && ngx_chat_nchan_location(cf, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->login_redirect.len && conf->auth != NGX_CHAT_AUTH_OFF
        && conf->auth_redirect.len)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_auth\" redirects requests to \"chat_login\" "
                           "itself: add \"chat_auth off;\" to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->auth != NGX_CHAT_AUTH_OFF || conf->login_redirect.len
        || conf->logout_redirect.len || conf->status)
    {
        chmcf->used = 1;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_chat_postconfiguration(ngx_conf_t *cf)
{
    ngx_str_t              name = ngx_string("chat_login_error");
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_conf_get_module_main_conf(cf, ngx_chat_module);

    if (!chmcf->used) {
        return NGX_OK;
    }

    if (chmcf->db.user.len == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "a location uses chat, but no database is configured: "
                      "add \"chat_db\" to the \"http\" block");
        return NGX_ERROR;
    }

    if (ngx_chat_push_configure(cf, chmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (chmcf->zone == NULL) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "no \"chat_zone\": logins are not throttled, sockets of "
                      "other workers are closed late after a logout, and each "
                      "request looks up its session in the database");
    }

    if (chmcf->zone == NULL && chmcf->db.servers.nelts > 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"chat_db\" with several servers requires "
                      "\"chat_zone\"");
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
        && ngx_chat_conf_db_replica_init(cf, chmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    chmcf->login_error_index = ngx_http_get_variable_index(cf, &name);
    if (chmcf->login_error_index == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_chat_postconfiguration_handlers(cf);
}


static ngx_int_t
ngx_chat_postconfiguration_handlers(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /* the last handler of a phase runs first: this one before limit_req */

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
    ngx_chat_upload_filter_init();
    ngx_chat_stream_filter_init();

    return NGX_OK;
}


static ngx_int_t
ngx_chat_init_module(ngx_cycle_t *cycle)
{
    ngx_core_conf_t       *ccf;
    ngx_chat_main_conf_t  *chmcf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);
    chmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_chat_module);

    if (chmcf == NULL || chmcf->zone == NULL) {
        return NGX_OK;
    }

    chmcf->generation = ngx_chat_generation_new(
                                       ngx_chat_zone(chmcf->zone)->generations,
                                       ccf->worker_processes);

    return ngx_chat_zone_inherit(cycle, chmcf->zone);
}


static ngx_int_t
ngx_chat_init_process(ngx_cycle_t *cycle)
{
    ngx_core_conf_t        *ccf;
    ngx_chat_worker_t      *worker;
    ngx_chat_main_conf_t   *chmcf;
    const ngx_chat_zone_t  *zone;

    chmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_chat_module);

    if (chmcf == NULL || !chmcf->used
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    if (ngx_process_slot >= NGX_CHAT_PROCESSES) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "chat supports at most %d processes at a time",
                      NGX_CHAT_PROCESSES);
        return NGX_ERROR;
    }

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    zone = ngx_chat_zone(chmcf->zone);
    worker->zone = zone;

    worker->metrics = ngx_chat_metrics_create(cycle, zone->metrics);
    if (worker->metrics == NULL) {
        return NGX_ERROR;
    }

    if (ngx_chat_init_process_db(cycle, chmcf, worker) != NGX_OK) {
        return NGX_ERROR;
    }

    worker->turns = ngx_chat_turns_create(cycle);
    worker->logins = ngx_chat_turns_create(cycle);
    worker->changes = ngx_chat_turns_create(cycle);
    worker->password = ngx_chat_password_create(cycle, chmcf->thread_pool,
                                                worker->metrics);
    if (worker->turns == NULL || worker->logins == NULL
        || worker->changes == NULL || worker->password == NULL)
    {
        return NGX_ERROR;
    }

    if (chmcf->presence) {
        worker->presence_zone = zone->presence;
    }

    chmcf->worker = worker;

    if (ngx_chat_sweep_create(cycle, chmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    ngx_chat_generation_start(zone->generations, chmcf->generation,
                              ccf->worker_processes);
    ngx_chat_outbox_zone_start(zone->outbox);

    return ngx_chat_push_create(cycle, chmcf);
}


static ngx_int_t
ngx_chat_init_process_db(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf,
    ngx_chat_worker_t *worker)
{
    const ngx_chat_zone_t  *zone;

    zone = worker->zone;

    worker->db = ngx_chat_db_create(cycle, &chmcf->db, zone->server,
                                    chmcf->db.servers.nelts > 1
                                    ? &ngx_chat_query_setup_writer
                                    : &ngx_chat_query_setup,
                                    ngx_chat_query_types, worker->metrics);
    if (worker->db == NULL) {
        return NGX_ERROR;
    }

    if (chmcf->replica.servers.nelts) {
        worker->replica = ngx_chat_replica_create(cycle, &chmcf->replica,
                                                  zone->replica, zone->gtid,
                                                  worker->db, chmcf->several,
                                                  ngx_chat_query_types,
                                                  worker->metrics);
        if (worker->replica == NULL) {
            return NGX_ERROR;
        }
    }

    if (!chmcf->several && worker->replica == NULL) {
        worker->changed = zone->changed;
    }

    return NGX_OK;
}


static void
ngx_chat_exit_process(ngx_cycle_t *cycle)
{
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_chat_module);

    if (chmcf == NULL || chmcf->worker == NULL) {
        return;
    }

    ngx_chat_generation_end(chmcf->worker->zone->generations);

    if (chmcf->worker->notify) {
        ngx_chat_notify_exit(chmcf->worker->notify);
    }
}
