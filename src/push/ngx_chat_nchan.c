
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/push/ngx_chat_nchan.h"
#include "src/push/ngx_chat_publish.h"

#include <dlfcn.h>


/*
 * The beginning of nchan_redis_conf_t of nchan 1.3.6 to 1.3.8, which is at the
 * offset of nchan_redis_pass.
 */

typedef struct {
    ngx_str_t                     url;
    ngx_flag_t                    url_enabled;
    time_t                        ping_interval;
    ngx_str_t                     namespace;
    int                           storage_mode;
    ngx_int_t                     nostore_fastpublish;
    ngx_str_t                     upstream_url;
    ngx_http_upstream_srv_conf_t *upstream;
} ngx_chat_nchan_redis_t;


/*
 * nchan_channel_id, nchan_subscriber_channel_id and nchan_publisher_channel_id:
 * three of these are before the value of nchan_channel_group.
 */

typedef struct {
    ngx_http_complex_value_t     *values[8];
    ngx_int_t                     n;
} ngx_chat_nchan_ids_t;


typedef ngx_int_t (*ngx_chat_nchan_owner_pt)(ngx_str_t *id);


static void ngx_chat_nchan_warn(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf);
static ngx_module_t *ngx_chat_nchan_module(ngx_cycle_t *cycle);
static void *ngx_chat_nchan_conf(ngx_module_t *nchan, const char *directive,
    void **loc_conf);
static ngx_int_t ngx_chat_nchan_check_subscribers(ngx_conf_t *cf,
    ngx_module_t *nchan, ngx_chat_main_conf_t *chmcf);
static ngx_int_t ngx_chat_nchan_check_publishers(ngx_conf_t *cf,
    ngx_module_t *nchan, ngx_chat_main_conf_t *chmcf);
static ngx_int_t ngx_chat_nchan_check_location(ngx_conf_t *cf,
    ngx_module_t *nchan, ngx_str_t *name, void **loc_conf);
static ngx_int_t ngx_chat_nchan_group(ngx_conf_t *cf, ngx_module_t *nchan,
    ngx_str_t *name, void **loc_conf, ngx_chat_main_conf_t *chmcf,
    const char *variable, ngx_uint_t *group);
static ngx_int_t ngx_chat_nchan_ids(ngx_conf_t *cf, ngx_str_t *name,
    ngx_chat_nchan_ids_t *ids, const char *variable);
static ngx_http_location_tree_node_t *ngx_chat_nchan_find(
    ngx_http_location_tree_node_t *node, ngx_str_t *uri);
static void ngx_chat_nchan_block(ngx_event_t *rev);


/*
 * nchan may be in the binary or in a module, which may be loaded before or
 * after this one.
 */

extern ngx_int_t memstore_channel_owner(ngx_str_t *id) __attribute__((weak));

static ngx_chat_nchan_owner_pt  ngx_chat_nchan_owner_function;


ngx_int_t
ngx_chat_nchan_init(ngx_log_t *log)
{
    ngx_chat_nchan_owner_function = memstore_channel_owner;

    if (ngx_chat_nchan_owner_function == NULL) {
        *(void **) &ngx_chat_nchan_owner_function =
                                dlsym(RTLD_DEFAULT, "memstore_channel_owner");
    }

    if (ngx_chat_nchan_owner_function == NULL) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "chat: nchan has no function memstore_channel_owner(): "
                      "nchan 1.3.6 or later is required");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_chat_nchan_owner(ngx_str_t *id)
{
    return ngx_chat_nchan_owner_function(id);
}


ngx_int_t
ngx_chat_nchan_location(ngx_conf_t *cf, ngx_chat_loc_conf_t *chlcf)
{
    ngx_http_conf_ctx_t   *ctx;
    ngx_chat_location_t   *location;
    ngx_chat_main_conf_t  *chmcf;

    ctx = cf->ctx;
    chmcf = ngx_http_conf_get_module_main_conf(cf, ngx_chat_module);

    location = ngx_array_push(&chmcf->locations);
    if (location == NULL) {
        return NGX_ERROR;
    }

    if (chlcf->subscriber == NGX_CHAT_SUBSCRIBER_EVENTS) {
        chmcf->events = 1;
    }

    location->chlcf = chlcf;
    location->loc_conf = ctx->loc_conf;

    return NGX_OK;
}


ngx_int_t
ngx_chat_nchan_check(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf)
{
    ngx_module_t  *nchan;

    if (chmcf->locations.nelts == 0 && chmcf->publishers.nelts == 0) {
        return NGX_OK;
    }

    nchan = ngx_chat_nchan_module(cf->cycle);

    if (nchan == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"chat_publish\" and \"chat_subscriber\" require "
                      "nchan: load ngx_nchan_module");
        return NGX_ERROR;
    }

    if (ngx_chat_nchan_check_subscribers(cf, nchan, chmcf) != NGX_OK
        || ngx_chat_nchan_check_publishers(cf, nchan, chmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_chat_nchan_warn(cf, chmcf);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_nchan_check_subscribers(ngx_conf_t *cf, ngx_module_t *nchan,
    ngx_chat_main_conf_t *chmcf)
{
    ngx_str_t                 *group, *wanted;
    ngx_uint_t                 i;
    ngx_chat_location_t       *location;
    ngx_http_core_loc_conf_t  *clcf;

    location = chmcf->locations.elts;

    for (i = 0; i < chmcf->locations.nelts; i++) {
        clcf = location[i].loc_conf[ngx_http_core_module.ctx_index];

        if (ngx_chat_nchan_check_location(cf, nchan, &clcf->name,
                                          location[i].loc_conf)
            != NGX_OK
            || ngx_chat_nchan_group(cf, nchan, &clcf->name,
                                    location[i].loc_conf, chmcf,
                                    "$chat_channel", &location[i].chlcf->group)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        wanted = &location[i].chlcf->group_name;
        group = chmcf->groups.elts;
        group += location[i].chlcf->group;

        if (wanted->len
            && (wanted->len != group->len
                || ngx_memcmp(wanted->data, group->data, group->len) != 0))
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"nchan_channel_group\" of location \"%V\" is "
                          "\"%V\", but \"chat_subscriber\" has \"group=%V\"",
                          &clcf->name, group, wanted);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_nchan_check_publishers(ngx_conf_t *cf, ngx_module_t *nchan,
    ngx_chat_main_conf_t *chmcf)
{
    ngx_str_t                       name;
    ngx_uint_t                      i;
    ngx_chat_publisher_t           *publisher;
    ngx_http_core_srv_conf_t       *cscf;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_location_tree_node_t  *node;

    publisher = chmcf->publishers.elts;

    for (i = 0; i < chmcf->publishers.nelts; i++) {
        cscf = publisher[i].conf.srv_conf[ngx_http_core_module.ctx_index];
        clcf = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];
        node = ngx_chat_nchan_find(clcf->static_locations, &publisher[i].uri);

        if (node == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "no location for \"chat_publish\" \"%V\"",
                          &publisher[i].uri);
            return NGX_ERROR;
        }

        clcf = node->exact ? node->exact : node->inclusive;
        name = clcf->name;

        if (ngx_chat_nchan_check_location(cf, nchan, &name, clcf->loc_conf)
            != NGX_OK
            || ngx_chat_nchan_group(cf, nchan, &name, clcf->loc_conf, chmcf,
                                    "$chat_channels", &publisher[i].group)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* warns of groups in which notifications are only sent, or only received */

static void
ngx_chat_nchan_warn(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf)
{
    ngx_str_t             *group;
    ngx_uint_t             i, k, sent, received;
    ngx_chat_location_t   *location;
    ngx_chat_publisher_t  *publisher;

    group = chmcf->groups.elts;
    location = chmcf->locations.elts;
    publisher = chmcf->publishers.elts;

    for (i = 0; i < chmcf->groups.nelts; i++) {
        sent = 0;
        received = 0;

        for (k = 0; k < chmcf->locations.nelts; k++) {
            received |= (location[k].chlcf->group == i);
        }

        for (k = 0; k < chmcf->publishers.nelts; k++) {
            sent |= (publisher[k].group == i);
        }

        if (!sent && chmcf->publishers.nelts) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "no location of \"chat_publish\" has the "
                          "\"nchan_channel_group\" \"%V\" of a location with "
                          "\"chat_subscriber\"", &group[i]);
        }

        if (!received && chmcf->locations.nelts) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "no location with \"chat_subscriber\" has the "
                          "\"nchan_channel_group\" \"%V\" of a location of "
                          "\"chat_publish\"", &group[i]);
        }
    }
}


static ngx_module_t *
ngx_chat_nchan_module(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    for (i = 0; cycle->modules[i]; i++) {
        if (ngx_strcmp(cycle->modules[i]->name, "ngx_nchan_module") == 0) {
            return cycle->modules[i];
        }
    }

    return NULL;
}


/*
 * nchan's structures are private.  Its table of directives has the offsets of
 * their values in this version.
 */

static void *
ngx_chat_nchan_conf(ngx_module_t *nchan, const char *directive,
    void **loc_conf)
{
    ngx_command_t  *cmd;

    for (cmd = nchan->commands; cmd->name.len; cmd++) {
        if (ngx_strcmp(cmd->name.data, directive) == 0) {
            return (u_char *) loc_conf[nchan->ctx_index] + cmd->offset;
        }
    }

    return NULL;
}


/* rejects directives with which a publish takes longer than a function call */

static ngx_int_t
ngx_chat_nchan_check_location(ngx_conf_t *cf, ngx_module_t *nchan,
    ngx_str_t *name, void **loc_conf)
{
    ngx_flag_t                *accounting;
    ngx_chat_nchan_redis_t    *redis;
    ngx_http_complex_value_t **upstream;

    accounting = ngx_chat_nchan_conf(nchan, "nchan_channel_group_accounting",
                                     loc_conf);
    upstream = ngx_chat_nchan_conf(nchan, "nchan_publisher_upstream_request",
                                   loc_conf);
    redis = ngx_chat_nchan_conf(nchan, "nchan_redis_pass", loc_conf);

    if (redis && redis->upstream
        && redis->upstream != NGX_CONF_UNSET_PTR)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"nchan_redis_pass\" in chat location \"%V\" is not "
                      "supported: use \"chat_redis\" in the \"http\" block",
                      name);
        return NGX_ERROR;
    }

    if (accounting && *accounting == 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"nchan_channel_group_accounting\" in chat location "
                      "\"%V\" is not supported", name);
        return NGX_ERROR;
    }

    if (upstream && *upstream && *upstream != NGX_CONF_UNSET_PTR) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"nchan_publisher_upstream_request\" in chat location "
                      "\"%V\" is not supported", name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_nchan_ids(ngx_conf_t *cf, ngx_str_t *name, ngx_chat_nchan_ids_t *ids,
    const char *variable)
{
    ngx_int_t   i;
    ngx_str_t  *value;
    ngx_uint_t  k;

    for (k = 0; k < 3; k++) {

        for (i = 0; i < ids[k].n && i < 8; i++) {
            value = &ids[k].values[i]->value;

            if (value->len != ngx_strlen(variable)
                || ngx_strncmp(value->data, variable, value->len) != 0)
            {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "the channel id of chat location \"%V\" is "
                              "\"%V\": use \"nchan_channel_id %s\"",
                              name, value, variable);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* the group is a part of the name by which nchan finds the owner */

static ngx_int_t
ngx_chat_nchan_group(ngx_conf_t *cf, ngx_module_t *nchan, ngx_str_t *name,
    void **loc_conf, ngx_chat_main_conf_t *chmcf, const char *variable,
    ngx_uint_t *group)
{
    ngx_str_t                  value, *known;
    ngx_uint_t                 i;
    ngx_http_complex_value_t **cv;

    ngx_str_null(&value);

    cv = ngx_chat_nchan_conf(nchan, "nchan_channel_group", loc_conf);

    if (ngx_chat_nchan_ids(cf, name, (ngx_chat_nchan_ids_t *) cv - 3, variable)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (*cv) {

        if ((*cv)->lengths) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"nchan_channel_group\" in chat location \"%V\" "
                          "must not have variables", name);
            return NGX_ERROR;
        }

        value = (*cv)->value;
    }

    if (value.len > NGX_CHAT_GROUP_MAX) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"nchan_channel_group\" in chat location \"%V\" "
                      "is too long", name);
        return NGX_ERROR;
    }

    known = chmcf->groups.elts;

    for (i = 0; i < chmcf->groups.nelts; i++) {
        if (known[i].len == value.len
            && ngx_memcmp(known[i].data, value.data, value.len) == 0)
        {
            *group = i;
            return NGX_OK;
        }
    }

    known = ngx_array_push(&chmcf->groups);
    if (known == NULL) {
        return NGX_ERROR;
    }

    *known = value;
    *group = i;

    return NGX_OK;
}


/* as ngx_http_core_find_static_location() */

static ngx_http_location_tree_node_t *
ngx_chat_nchan_find(ngx_http_location_tree_node_t *node, ngx_str_t *uri)
{
    size_t                          len, n;
    u_char                         *p;
    ngx_int_t                       rc;
    ngx_http_location_tree_node_t  *found;

    found = NULL;
    p = uri->data;
    len = uri->len;

    while (node) {
        n = ngx_min(len, (size_t) node->len);
        rc = ngx_filename_cmp(p, node->name, n);

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;
            continue;
        }

        if (len < (size_t) node->len) {
            node = node->left;
            continue;
        }

        if (len == (size_t) node->len) {
            return (node->exact || node->inclusive) ? node : found;
        }

        if (node->inclusive) {
            found = node;
            p += n;
            len -= n;
            node = node->tree;
            continue;
        }

        node = node->right;
    }

    return found;
}


/*
 * When worker_shutdown_timeout expires, nginx calls the read handlers of all
 * connections.  nchan's pipes between workers have none, and the worker would
 * crash.  nchan would then consider it alive for ever, and abort other workers
 * at later reloads.
 */

void
ngx_chat_nchan_block_pipes(void)
{
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = ngx_cycle->connections;

    for (i = 0; i < ngx_cycle->connection_n; i++) {
        if (c[i].fd != (ngx_socket_t) -1 && c[i].read->handler == NULL) {
            c[i].read->handler = ngx_chat_nchan_block;
        }
    }
}


static void
ngx_chat_nchan_block(ngx_event_t *rev)
{
    /* void */
}
