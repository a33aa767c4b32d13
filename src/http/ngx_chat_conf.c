
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_conf.h"


static char *ngx_chat_conf_redirect(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *value, ngx_str_t *uri);
static char *ngx_chat_conf_path(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *value);


static ngx_conf_enum_t  ngx_chat_conf_statuses[] = {
    { ngx_string("on"), NGX_CHAT_STATUS_ON },
    { ngx_string("live"), NGX_CHAT_STATUS_LIVE },
    { ngx_string("ready"), NGX_CHAT_STATUS_READY },
    { ngx_null_string, 0 }
};


char *
ngx_chat_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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

    ngx_chat_zone_add(chmcf->zone);

    return NGX_CONF_OK;
}


/* cmd->post of these directives is the content handler */

char *
ngx_chat_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char                      *rv;
    ngx_command_t              flag;
    ngx_http_core_loc_conf_t  *clcf;

    flag = *cmd;
    flag.post = NULL;

    rv = ngx_conf_set_flag_slot(cf, &flag, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (chlcf->api) {
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

        if (clcf->name.len == 0 || clcf->name.data[clcf->name.len - 1] != '/'
            || clcf->exact_match || clcf->regex || clcf->named)
        {
            return "needs a prefix location that ends with \"/\", "
                   "such as \"location /api/v1/\"";
        }

        /* redirect requests without the slash, as in a proxied location */
        clcf->auto_redirect = 1;

        return ngx_chat_conf_handler(cf, cmd, chlcf);
    }

    return NGX_CONF_OK;
}


/* chat_login [page=URI] [redirect=URI]; */

char *
ngx_chat_conf_login(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (chlcf->login_redirect.len) {
        return "is duplicate";
    }

    ngx_str_set(&chlcf->login_redirect, "/");

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_chat_conf_once(cf, i) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (ngx_strncmp(value[i].data, "page=", 5) == 0) {
            chlcf->login_page.data = value[i].data + 5;
            chlcf->login_page.len = value[i].len - 5;

            rv = ngx_chat_conf_path(cf, cmd, &chlcf->login_page);

        } else if (ngx_strncmp(value[i].data, "redirect=", 9) == 0) {
            chlcf->login_redirect.data = value[i].data + 9;
            chlcf->login_redirect.len = value[i].len - 9;

            rv = ngx_chat_conf_path(cf, cmd, &chlcf->login_redirect);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of \"chat_login\": "
                               "supported are page= and redirect=", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return ngx_chat_conf_handler(cf, cmd, chlcf);
}


/* chat_logout [redirect=URI]; */

char *
ngx_chat_conf_logout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char       *rv;
    ngx_str_t  *value;

    if (chlcf->logout_redirect.len) {
        return "is duplicate";
    }

    rv = ngx_chat_conf_handler(cf, cmd, chlcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (cf->args->nelts == 1) {
        ngx_str_set(&chlcf->logout_redirect, "/login/");
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    return ngx_chat_conf_redirect(cf, cmd, &value[1], &chlcf->logout_redirect);
}


char *
ngx_chat_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char           *rv;
    ngx_command_t   status;

    status = *cmd;
    status.post = ngx_chat_conf_statuses;

    rv = ngx_conf_set_enum_slot(cf, &status, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_chat_conf_handler(cf, cmd, chlcf);
}


/*
 * A location has one content handler.  ngx_chat_merge_loc_conf() rejects a
 * handler that another directive has set later.
 */

char *
ngx_chat_conf_handler(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_chat_loc_conf_t *chlcf)
{
    ngx_http_handler_pt  *handler = cmd->post;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "needs a separate location: this one already has "
               "a handler";
    }

    clcf->handler = *handler;
    chlcf->handler = *handler;

    return NGX_CONF_OK;
}


/* chat_auth on | off | $variable [create] [redirect=URI]; */

char *
ngx_chat_conf_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t   *value, name;
    ngx_uint_t   i;

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
                           "\"on\", \"off\", or a variable with the user "
                           "name", &value[1]);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_chat_conf_once(cf, i) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (ngx_strcmp(value[i].data, "create") == 0) {

            if (chlcf->auth != NGX_CHAT_AUTH_VARIABLE) {
                return "has the parameter \"create\" without a variable";
            }

            chlcf->auth_create = 1;

        } else if (ngx_chat_conf_redirect(cf, cmd, &value[i],
                                          &chlcf->auth_redirect)
                   != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* chat_profile name [avatar]; */

char *
ngx_chat_conf_profile(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t                         *value;
    ngx_chat_profile_conf_t           *profile;
    ngx_http_compile_complex_value_t   ccv;

    if (chlcf->profile != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        chlcf->profile = NULL;
        return NGX_CONF_OK;
    }

    profile = ngx_pcalloc(cf->pool, sizeof(ngx_chat_profile_conf_t));
    if (profile == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = &profile->display_name;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {
        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[2];
        ccv.complex_value = &profile->avatar_url;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        profile->avatar = 1;
    }

    chlcf->profile = profile;

    return NGX_CONF_OK;
}


/* cmd->post is the handler of authenticated requests */

/* chat_subscriber on|hints|events|off [group=NAME]; */

char *
ngx_chat_conf_subscriber(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t         *value;
    ngx_uint_t         i;
    ngx_chat_step_pt  *subscribe = cmd->post;

    static const struct {
        const char  *name;
        ngx_uint_t   subscriber;
    } kinds[] = {
        { "off", NGX_CHAT_SUBSCRIBER_OFF },
        { "on", NGX_CHAT_SUBSCRIBER_HINTS },
        { "hints", NGX_CHAT_SUBSCRIBER_HINTS },
        { "events", NGX_CHAT_SUBSCRIBER_EVENTS }
    };

    if (chlcf->subscriber != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 0; ngx_strcmp(value[1].data, kinds[i].name) != 0; /* void */ ) {

        if (++i == sizeof(kinds) / sizeof(kinds[0])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" in \"chat_subscriber\" "
                               "directive, it must be \"on\", \"hints\", "
                               "\"events\" or \"off\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    chlcf->subscriber = kinds[i].subscriber;
    chlcf->subscribe = *subscribe;

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "group=", 6) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        chlcf->group_name.data = value[2].data + 6;
        chlcf->group_name.len = value[2].len - 6;
    }

    return NGX_CONF_OK;
}


char *
ngx_chat_conf_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char  *rv;

    rv = ngx_conf_set_str_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_chat_conf_path(cf, cmd, &chlcf->publish);
}


/* chat_cookie name [secure=auto|on|off]; */

char *
ngx_chat_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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
                               "\"%V\" is not a valid cookie name",
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
                           "supported is secure=auto|on|off", &value[2]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_chat_conf_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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
                               "\"%V\" is not an origin: specify scheme and "
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


/* rejects a second parameter with the same name */

ngx_int_t
ngx_chat_conf_once(ngx_conf_t *cf, ngx_uint_t n)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    len = value[n].len + 1;

    p = (u_char *) ngx_strchr(value[n].data, '=');
    if (p) {
        len = p + 1 - value[n].data;
    }

    for (i = 1; i < n; i++) {
        if (ngx_strncmp(value[i].data, value[n].data, len) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\" of \"%V\"",
                               &value[n], &value[0]);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the only optional parameter of a directive */

static char *
ngx_chat_conf_redirect(ngx_conf_t *cf, ngx_command_t *cmd, ngx_str_t *value,
    ngx_str_t *uri)
{
    if (ngx_strncmp(value->data, "redirect=", 9) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"%V\": "
                           "supported is redirect=", value, &cmd->name);
        return NGX_CONF_ERROR;
    }

    uri->data = value->data + 9;
    uri->len = value->len - 9;

    return ngx_chat_conf_path(cf, cmd, uri);
}


/* checks a URI of this site */

static char *
ngx_chat_conf_path(ngx_conf_t *cf, ngx_command_t *cmd, ngx_str_t *value)
{
    if (value->len == 0 || value->data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"%V\" is not a path: it must begin "
                           "with \"/\"", value, &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* chat_change_window time | off; */

char *
ngx_chat_conf_change_window(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") != 0) {
        return ngx_conf_set_sec_slot(cf, cmd, conf);
    }

    if (chlcf->change_window != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    chlcf->change_window = 0;

    return NGX_CONF_OK;
}


/* numbers and times have the same size */

char *
ngx_chat_conf_positive(ngx_conf_t *cf, void *post, void *data)
{
    ngx_uint_t *np = data;

    return (*np > 0) ? NGX_CONF_OK : "must be above zero";
}
