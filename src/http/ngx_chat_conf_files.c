
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_conf.h"


/* the end of the location's name; the rest is the URI of the API */
#define NGX_CHAT_CONF_FILE  "/file/"

/* directory of temporary files, below that of chat_files */
#define NGX_CHAT_CONF_TEMP  "/tmp"


static char *ngx_chat_conf_files_location(ngx_conf_t *cf,
    ngx_chat_main_conf_t *chmcf);
static ngx_path_t *ngx_chat_conf_files_path(ngx_conf_t *cf, ngx_str_t *dir,
    const char *suffix);
static char *ngx_chat_conf_files_uri(ngx_conf_t *cf, ngx_str_t *value,
    size_t prefix, ngx_str_t *uri);


/* chat_files directory uri=URI [thumbs=URI]; */

char *
ngx_chat_conf_files(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char                  *rv;
    ngx_str_t             *value;
    ngx_uint_t             i;
    ngx_chat_main_conf_t  *chmcf;

    if (chlcf->files.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    chmcf = ngx_http_conf_get_module_main_conf(cf, ngx_chat_module);

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_chat_conf_once(cf, i) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (ngx_strncmp(value[i].data, "uri=", 4) == 0) {
            rv = ngx_chat_conf_files_uri(cf, &value[i], 4, &chlcf->files_uri);

        } else if (ngx_strncmp(value[i].data, "thumbs=", 7) == 0) {
            rv = ngx_chat_conf_files_uri(cf, &value[i], 7, &chlcf->thumbs_uri);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"chat_files\": "
                               "supported are uri= and thumbs=", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (chlcf->files_uri.len == 0) {
        return "needs \"uri=\", the location that contains the directory";
    }

    chlcf->files = value[1];

    while (chlcf->files.len > 1
           && chlcf->files.data[chlcf->files.len - 1] == '/')
    {
        chlcf->files.data[--chlcf->files.len] = '\0';
    }

    if (ngx_conf_full_name(cf->cycle, &chlcf->files, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_chat_conf_files_location(cf, chmcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (chmcf->files.len
        && (chmcf->files.len != chlcf->files.len
            || ngx_memcmp(chmcf->files.data, chlcf->files.data,
                          chlcf->files.len)
               != 0))
    {
        return "must have the same directory in all locations";
    }

    chmcf->files = chlcf->files;

    chlcf->files_temp = ngx_chat_conf_files_path(cf, &chlcf->files,
                                                 NGX_CHAT_CONF_TEMP);
    if (chlcf->files_temp == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_chat_conf_handler(cf, cmd, chlcf);
}


/* the first location determines the URLs in messages */

static char *
ngx_chat_conf_files_location(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf)
{
    size_t                     len;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    len = sizeof(NGX_CHAT_CONF_FILE) - 1;

    if (clcf->name.len < len
        || ngx_memcmp(clcf->name.data + clcf->name.len - len,
                      NGX_CHAT_CONF_FILE, len)
           != 0
        || clcf->exact_match || clcf->regex || clcf->named)
    {
        return "needs a prefix location that ends with \"/file/\", "
               "such as \"location /api/v1/file/\"";
    }

    clcf->auto_redirect = 1;

    if (chmcf->files.len == 0) {
        chmcf->api_base.data = clcf->name.data;
        chmcf->api_base.len = clcf->name.len - len + 1;
    }

    return NGX_CONF_OK;
}


/* nginx creates the directories, which belong to the user of the workers */

static ngx_path_t *
ngx_chat_conf_files_path(ngx_conf_t *cf, ngx_str_t *dir, const char *suffix)
{
    u_char      *p;
    ngx_uint_t   i;
    ngx_path_t  *path;

    path = NULL;

    for (i = 0; i < 2; i++) {
        path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
        if (path == NULL) {
            return NULL;
        }

        p = ngx_pnalloc(cf->pool, dir->len + ngx_strlen(suffix) + 1);
        if (p == NULL) {
            return NULL;
        }

        path->name.data = p;
        path->name.len = ngx_sprintf(p, "%V%s%Z", dir, i ? suffix : "") - p - 1;
        path->conf_file = cf->conf_file->file.name.data;
        path->line = cf->conf_file->line;

        if (ngx_add_path(cf, &path) != NGX_OK) {
            return NULL;
        }
    }

    return path;
}


static char *
ngx_chat_conf_files_uri(ngx_conf_t *cf, ngx_str_t *value, size_t prefix,
    ngx_str_t *uri)
{
    uri->data = value->data + prefix;
    uri->len = value->len - prefix;

    if (uri->len == 0 || uri->data[0] != '/'
        || uri->data[uri->len - 1] != '/')
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"chat_files\": the "
                           "URI must begin and end with \"/\"", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* chat_file_quota size | off; */

char *
ngx_chat_conf_file_quota(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") != 0) {
        return ngx_conf_set_off_slot(cf, cmd, conf);
    }

    if (chlcf->file_quota != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    chlcf->file_quota = NGX_MAX_OFF_T_VALUE;

    return NGX_CONF_OK;
}


void
ngx_chat_conf_files_create(ngx_chat_loc_conf_t *conf)
{
    conf->max_file = NGX_CONF_UNSET;
    conf->file_quota = NGX_CONF_UNSET;
    conf->file_rate = NGX_CONF_UNSET_SIZE;
}


/*
 * The body of an upload is written to the file system of the directory.  Its
 * size is checked by the module: the user and the quota come first.
 */

char *
ngx_chat_conf_files_merge(ngx_conf_t *cf, ngx_chat_loc_conf_t *prev,
    ngx_chat_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && !clcf->lmt_excpt) {
        conf->files = prev->files;
        conf->files_uri = prev->files_uri;
        conf->thumbs_uri = prev->thumbs_uri;
        conf->files_temp = prev->files_temp;
    }

    ngx_conf_merge_off_value(conf->max_file, prev->max_file,
                             10 * 1024 * 1024);
    ngx_conf_merge_off_value(conf->file_quota, prev->file_quota,
                             1024 * 1024 * 1024);
    ngx_conf_merge_size_value(conf->file_rate, prev->file_rate, 1024);

    if (conf->files.len == 0) {
        return NGX_CONF_OK;
    }

    if (conf->auth == NGX_CHAT_AUTH_OFF) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_files\" requires authentication: "
                           "add \"chat_auth on;\" to its location");
        return NGX_CONF_ERROR;
    }

    clcf->client_body_temp_path = conf->files_temp;
    clcf->client_max_body_size = 0;

    return NGX_CONF_OK;
}
