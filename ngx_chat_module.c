
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_api.h"
#include "ngx_chat_auth.h"
#include "ngx_chat_subscriber.h"
#include "ngx_chat_mysql.h"


#define NGX_CHAT_PASSWORD_FILE_MAX  512


static ngx_int_t ngx_chat_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_chat_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_chat_init_process(ngx_cycle_t *cycle);

static void *ngx_chat_create_main_conf(ngx_conf_t *cf);
static char *ngx_chat_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_chat_create_loc_conf(ngx_conf_t *cf);
static char *ngx_chat_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

static char *ngx_chat_db(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_chat_db_address(ngx_conf_t *cf, ngx_chat_db_conf_t *dbcf,
    ngx_str_t *address);
static char *ngx_chat_db_password(ngx_conf_t *cf, ngx_chat_db_conf_t *dbcf,
    ngx_str_t *path);
static char *ngx_chat_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_chat_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_chat_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_chat_publish_uri(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_chat_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_chat_origins(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_chat_login(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_chat_logout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_chat_positive(ngx_conf_t *cf, void *post, void *data);
static char *ngx_chat_positive_msec(ngx_conf_t *cf, void *post, void *data);
static char *ngx_chat_path(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *value);

static ngx_int_t ngx_chat_variable_user(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_user_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_message_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_channels(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_none(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_chat_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);


static ngx_conf_num_bounds_t  ngx_chat_connections_bounds = {
    ngx_conf_check_num_bounds, 1, 64
};

static ngx_conf_num_bounds_t  ngx_chat_page_bounds = {
    ngx_conf_check_num_bounds, 1, 100
};

static ngx_conf_num_bounds_t  ngx_chat_message_bounds = {
    ngx_conf_check_num_bounds, 1, 1000000
};

static ngx_conf_post_t  ngx_chat_positive_post = { ngx_chat_positive };
static ngx_conf_post_t  ngx_chat_positive_msec_post = {
    ngx_chat_positive_msec
};


static ngx_command_t  ngx_chat_commands[] = {

    { ngx_string("chat_db"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_chat_db,
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
      ngx_chat_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_thread_pool"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_chat_main_conf_t, thread_pool_name),
      NULL },

    { ngx_string("chat_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_chat_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_chat_loc_conf_t, api),
      NULL },

    { ngx_string("chat_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_chat_auth,
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
      ngx_chat_publish_uri,
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
      ngx_chat_cookie,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_allowed_origins"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_chat_origins,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_login"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_chat_login,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chat_logout"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_chat_logout,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

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
    NULL,                                  /* init module */
    ngx_chat_init_process,                 /* init process */
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

    chmcf->db.connections = NGX_CONF_UNSET_UINT;
    chmcf->db.queue = NGX_CONF_UNSET_UINT;
    chmcf->db.timeout = NGX_CONF_UNSET_MSEC;
    chmcf->db.connect_timeout = NGX_CONF_UNSET_MSEC;
    chmcf->login_error_index = NGX_ERROR;

    return chmcf;
}


static char *
ngx_chat_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_chat_main_conf_t *chmcf = conf;

    ngx_conf_init_uint_value(chmcf->db.connections, 4);
    ngx_conf_init_uint_value(chmcf->db.queue, 1024);
    ngx_conf_init_msec_value(chmcf->db.timeout, 5000);
    ngx_conf_init_msec_value(chmcf->db.connect_timeout, 2000);

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

    return chlcf;
}


static char *
ngx_chat_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_chat_loc_conf_t *prev = parent;
    ngx_chat_loc_conf_t *conf = child;

    ngx_chat_main_conf_t  *chmcf;

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

    if (conf->api && conf->auth == NGX_CHAT_AUTH_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_api\" needs to know who is calling: "
                           "add \"chat_auth on;\" to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->subscriber && conf->auth == NGX_CHAT_AUTH_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_subscriber\" needs to know who is calling: "
                           "add \"chat_auth on;\" to its location");
        return NGX_CONF_ERROR;
    }

    if (conf->auth != NGX_CHAT_AUTH_OFF || conf->login_redirect.len
        || conf->logout_redirect.len)
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

    chmcf->thread_pool = ngx_thread_pool_add(cf, chmcf->thread_pool_name.len
                                                 ? &chmcf->thread_pool_name
                                                 : NULL);
    if (chmcf->thread_pool == NULL) {
        return NGX_ERROR;
    }

    chmcf->db.thread_pool = chmcf->thread_pool;

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

    return NGX_OK;
}


static ngx_int_t
ngx_chat_init_process(ngx_cycle_t *cycle)
{
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

    worker->db = ngx_chat_db_create(cycle, &chmcf->db, &ngx_chat_sql_setup);
    if (worker->db == NULL) {
        return NGX_ERROR;
    }

    worker->password = ngx_chat_password_create(cycle, chmcf->thread_pool);
    if (worker->password == NULL) {
        return NGX_ERROR;
    }

    chmcf->worker = worker;

    worker->subscribers = ngx_chat_subscribers_create(cycle, chmcf);
    if (worker->subscribers == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * chat_db unix:/path | address[:port] user=name [password_file=path]
 *         [database=name] [tls=on|off] [tls_ca=path];
 */

static char *
ngx_chat_db(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_main_conf_t *chmcf = conf;

    char                *rv;
    ngx_str_t           *value, text;
    ngx_uint_t           i;
    ngx_chat_db_conf_t  *dbcf;

    dbcf = &chmcf->db;

    if (dbcf->user.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "user=", 5) == 0) {
            dbcf->user.data = value[i].data + 5;
            dbcf->user.len = value[i].len - 5;

        } else if (ngx_strncmp(value[i].data, "database=", 9) == 0) {
            dbcf->database.data = value[i].data + 9;
            dbcf->database.len = value[i].len - 9;

        } else if (ngx_strncmp(value[i].data, "password_file=", 14) == 0) {
            text.data = value[i].data + 14;
            text.len = value[i].len - 14;

            rv = ngx_chat_db_password(cf, dbcf, &text);
            if (rv != NGX_CONF_OK) {
                return rv;
            }

        } else if (ngx_strcmp(value[i].data, "tls=on") == 0) {
            dbcf->tls = 1;

        } else if (ngx_strcmp(value[i].data, "tls=off") == 0) {
            dbcf->tls = 0;

        } else if (ngx_strncmp(value[i].data, "tls_ca=", 7) == 0
                   && value[i].len > 7)
        {
            dbcf->tls_ca.data = value[i].data + 7;
            dbcf->tls_ca.len = value[i].len - 7;

            if (ngx_conf_full_name(cf->cycle, &dbcf->tls_ca, 1) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"chat_db\": "
                               "known are user=, password_file=, database=, "
                               "tls=on|off and tls_ca=", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (dbcf->user.len == 0) {
        return "needs user=, the account to log in to the database with";
    }

    if (dbcf->database.len == 0) {
        ngx_str_set(&dbcf->database, "chat");
    }

    if (dbcf->password.data == NULL) {
        ngx_str_set(&dbcf->password, "");
    }

    if (dbcf->tls_ca.len && !dbcf->tls) {
        return "has tls_ca= but no tls=on";
    }

    if (dbcf->tls_ca.len
        && access((const char *) dbcf->tls_ca.data, R_OK) == -1)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "tls_ca \"%V\" cannot be read", &dbcf->tls_ca);
        return NGX_CONF_ERROR;
    }

    return ngx_chat_db_address(cf, dbcf, &value[1]);
}


/* names are resolved here, once: a look-up at run time would block */

static char *
ngx_chat_db_address(ngx_conf_t *cf, ngx_chat_db_conf_t *dbcf,
    ngx_str_t *address)
{
    u_char      *p;
    size_t       len;
    ngx_url_t    u;
    ngx_addr_t  *addr;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *address;
    u.default_port = 3306;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in \"chat_db %V\"",
                           u.err ? u.err : "invalid address", address);
        return NGX_CONF_ERROR;
    }

    addr = &u.addrs[0];

#if (NGX_HAVE_UNIX_DOMAIN)

    if (u.family == AF_UNIX) {
        dbcf->socket.data = (u_char *)
                        ((struct sockaddr_un *) addr->sockaddr)->sun_path;
        dbcf->socket.len = ngx_strlen(dbcf->socket.data);

        return NGX_CONF_OK;
    }

#endif

    p = ngx_pcalloc(cf->pool, NGX_SOCKADDR_STRLEN + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    len = ngx_sock_ntop(addr->sockaddr, addr->socklen, p, NGX_SOCKADDR_STRLEN,
                        0);

    /* the client library wants a bare IPv6 address */

    if (len > 2 && p[0] == '[' && p[len - 1] == ']') {
        p[len - 1] = '\0';
        p++;
        len -= 2;
    }

    dbcf->host.data = p;
    dbcf->host.len = len;
    dbcf->port = ngx_inet_get_port(addr->sockaddr);

    return NGX_CONF_OK;
}


/*
 * Read while the master still is root, so that workers cannot.  One line; a
 * newline at its end is not part of it.
 */

static char *
ngx_chat_db_password(ngx_conf_t *cf, ngx_chat_db_conf_t *dbcf,
    ngx_str_t *path)
{
    u_char           *buf;
    ssize_t           n;
    ngx_file_t        file;
    ngx_file_info_t   fi;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *path;
    file.log = cf->log;

    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "password_file \"%V\" cannot be opened", path);
        return NGX_CONF_ERROR;
    }

    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR) {
        fi.st_mode = 0;
    }

    if (fi.st_mode & (S_IRWXO|S_IWGRP)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "password_file \"%V\" is open to others: "
                           "chmod 600 it", path);
    }

    buf = ngx_pcalloc(cf->pool, NGX_CHAT_PASSWORD_FILE_MAX + 1);
    if (buf == NULL) {
        ngx_close_file(file.fd);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_file(&file, buf, NGX_CHAT_PASSWORD_FILE_MAX, 0);

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    if (n == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    while (n > 0 && (buf[n - 1] == LF || buf[n - 1] == CR)) {
        n--;
    }

    buf[n] = '\0';

    if (n == 0 || ngx_strlen(buf) != (size_t) n || ngx_strchr(buf, LF)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password_file \"%V\" must hold one line, "
                           "the password", path);
        return NGX_CONF_ERROR;
    }

    dbcf->password.data = buf;
    dbcf->password.len = n;

    return NGX_CONF_OK;
}


static char *
ngx_chat_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_main_conf_t *chmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (chmcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" of \"chat_zone\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) (64 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_zone\" \"%V\" is too small: "
                           "at least %uzk", &value[1],
                           64 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    chmcf->zone = ngx_shared_memory_add(cf, &value[1], size,
                                        &ngx_chat_module);
    if (chmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_chat_cache_zone(chmcf->zone);

    return NGX_CONF_OK;
}


static char *
ngx_chat_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char                      *rv;
    ngx_http_core_loc_conf_t  *clcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (chlcf->api) {
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

        if (clcf->name.len == 0 || clcf->name.data[clcf->name.len - 1] != '/'
            || clcf->exact_match || clcf->regex || clcf->named)
        {
            return "belongs in a prefix location that ends with \"/\", "
                   "such as \"location /api/v1/\"";
        }

        clcf->handler = ngx_chat_api_handler;
    }

    return NGX_CONF_OK;
}


/* chat_auth on | off | $variable [redirect=URI]; */

static char *
ngx_chat_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t  *value, name;

    if (chlcf->auth != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        chlcf->auth = NGX_CHAT_AUTH_SESSION;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        chlcf->auth = NGX_CHAT_AUTH_OFF;

    } else if (value[1].len > 1 && value[1].data[0] == '$') {
        name.data = value[1].data + 1;
        name.len = value[1].len - 1;

        chlcf->auth = NGX_CHAT_AUTH_VARIABLE;
        chlcf->auth_index = ngx_http_get_variable_index(cf, &name);

        if (chlcf->auth_index == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"chat_auth\": it is "
                           "\"on\", \"off\", or a variable with the name of "
                           "who is calling", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[2].data, "redirect=", 9) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"chat_auth\": "
                           "known is redirect=", &value[2]);
        return NGX_CONF_ERROR;
    }

    name.data = value[2].data + 9;
    name.len = value[2].len - 9;

    chlcf->auth_redirect = name;

    return ngx_chat_path(cf, cmd, &chlcf->auth_redirect);
}


static char *
ngx_chat_publish_uri(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char  *rv;

    rv = ngx_conf_set_str_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_chat_path(cf, cmd, &chlcf->publish);
}


/* chat_cookie name [secure=auto|on|off]; */

static char *
ngx_chat_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;

    if (chlcf->cookie.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] <= ' ' || value[1].data[i] >= 0x7f
            || ngx_strchr("()<>@,;:\\\"/[]?={}", value[1].data[i]))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" cannot be the name of a cookie",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    if (value[1].len == 0) {
        return "needs a name";
    }

    chlcf->cookie = value[1];

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[2].data, "secure=auto") == 0) {
        chlcf->secure = NGX_CHAT_SECURE_AUTO;

    } else if (ngx_strcmp(value[2].data, "secure=on") == 0) {
        chlcf->secure = NGX_CHAT_SECURE_ON;

    } else if (ngx_strcmp(value[2].data, "secure=off") == 0) {
        chlcf->secure = NGX_CHAT_SECURE_OFF;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"chat_cookie\": "
                           "known is secure=auto|on|off", &value[2]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_chat_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    u_char      *host, *last;
    ngx_str_t   *value, *origin;
    ngx_uint_t   i;

    if (chlcf->origins != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    chlcf->origins = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                      sizeof(ngx_str_t));
    if (chlcf->origins == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        last = value[i].data + value[i].len;
        host = NULL;

        if (ngx_strncasecmp(value[i].data, (u_char *) "http://", 7) == 0) {
            host = value[i].data + 7;

        } else if (ngx_strncasecmp(value[i].data, (u_char *) "https://", 8)
                   == 0)
        {
            host = value[i].data + 8;
        }

        if (host == NULL || host == last || ngx_strlchr(host, last, '/')) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is no origin: it is a scheme and a "
                               "host without a path, such as "
                               "\"https://www.example.org\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(chlcf->origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}


/* chat_login [page=URI] [redirect=URI]; */

static char *
ngx_chat_login(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_core_loc_conf_t  *clcf;

    if (chlcf->login_redirect.len) {
        return "is duplicate";
    }

    ngx_str_set(&chlcf->login_redirect, "/");

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "page=", 5) == 0) {
            chlcf->login_page.data = value[i].data + 5;
            chlcf->login_page.len = value[i].len - 5;

            rv = ngx_chat_path(cf, cmd, &chlcf->login_page);

        } else if (ngx_strncmp(value[i].data, "redirect=", 9) == 0) {
            chlcf->login_redirect.data = value[i].data + 9;
            chlcf->login_redirect.len = value[i].len - 9;

            rv = ngx_chat_path(cf, cmd, &chlcf->login_redirect);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"chat_login\": "
                               "known are page= and redirect=", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_chat_api_login_handler;

    return NGX_CONF_OK;
}


/* chat_logout [redirect=URI]; */

static char *
ngx_chat_logout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (chlcf->logout_redirect.len) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_chat_api_logout_handler;

    if (cf->args->nelts == 1) {
        ngx_str_set(&chlcf->logout_redirect, "/login/");
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "redirect=", 9) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"chat_logout\": "
                           "known is redirect=", &value[1]);
        return NGX_CONF_ERROR;
    }

    chlcf->logout_redirect.data = value[1].data + 9;
    chlcf->logout_redirect.len = value[1].len - 9;

    return ngx_chat_path(cf, cmd, &chlcf->logout_redirect);
}


/* a URI of this site */

static char *
ngx_chat_path(ngx_conf_t *cf, ngx_command_t *cmd, ngx_str_t *value)
{
    if (value->len == 0 || value->data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"%V\" is no path: it begins with \"/\"",
                           value, &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_chat_positive(ngx_conf_t *cf, void *post, void *data)
{
    ngx_int_t *np = data;

    return (*np > 0) ? NGX_CONF_OK : "must be above zero";
}


static char *
ngx_chat_positive_msec(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *mp = data;

    return (*mp > 0) ? NGX_CONF_OK : "must be above zero";
}


static ngx_int_t
ngx_chat_variable_user(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_chat_module);

    return ngx_chat_variable_set(v, (ctx && ctx->user.id) ? &ctx->user.name
                                                          : NULL);
}


static ngx_int_t
ngx_chat_variable_user_id(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t        value;
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r->main, ngx_chat_module);

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

    ctx = ngx_http_get_module_ctx(r->main, ngx_chat_module);

    if (ctx == NULL || ctx->id == 0) {
        return ngx_chat_variable_set(v, NULL);
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%uL", ctx->id) - value.data;

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
