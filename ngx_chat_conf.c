
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_conf.h"
#include "ngx_chat_api.h"


#define NGX_CHAT_CONF_PASSWORD_FILE_MAX  512


static char *ngx_chat_conf_db_server(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_chat_db_conf_t *dbcf, ngx_str_t *address);
static char *ngx_chat_conf_db_password(ngx_conf_t *cf, ngx_chat_db_conf_t *dbcf,
    ngx_str_t *path);
static ngx_int_t ngx_chat_conf_once(ngx_conf_t *cf, ngx_uint_t n);
static char *ngx_chat_conf_path(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *value);
static char *ngx_chat_conf_handler(ngx_http_core_loc_conf_t *clcf,
    ngx_http_handler_pt handler);


/*
 * chat_db unix:/path | address[:port] ... user=name [password_file=path]
 *         [database=name] [tls=on|off] [tls_ca=path];
 */

char *
ngx_chat_conf_db(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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

    for (i = 1; i < cf->args->nelts; i++) {

        if (i == 1 || ngx_strchr(value[i].data, '=') == NULL) {
            /* a server, see below */
            continue;
        }

        if (ngx_chat_conf_once(cf, i) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (ngx_strncmp(value[i].data, "user=", 5) == 0) {
            dbcf->user.data = value[i].data + 5;
            dbcf->user.len = value[i].len - 5;

        } else if (ngx_strncmp(value[i].data, "database=", 9) == 0) {
            dbcf->database.data = value[i].data + 9;
            dbcf->database.len = value[i].len - 9;

        } else if (ngx_strncmp(value[i].data, "password_file=", 14) == 0) {
            text.data = value[i].data + 14;
            text.len = value[i].len - 14;

            rv = ngx_chat_conf_db_password(cf, dbcf, &text);
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

    if (ngx_array_init(&dbcf->servers, cf->pool, 1,
                       sizeof(ngx_chat_db_server_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        if (i == 1 || ngx_strchr(value[i].data, '=') == NULL) {
            rv = ngx_chat_conf_db_server(cf, cmd, dbcf, &value[i]);
            if (rv != NGX_CONF_OK) {
                return rv;
            }
        }
    }

    return NGX_CONF_OK;
}


/* "name=value": of two with one name the last would win, and say nothing */

static ngx_int_t
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


/* chat_db_replica unix:/path | address[:port] ...; */

char *
ngx_chat_conf_db_replica(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_main_conf_t *chmcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (chmcf->replica.servers.nelts) {
        return "is duplicate";
    }

    if (ngx_array_init(&chmcf->replica.servers, cf->pool, 1,
                       sizeof(ngx_chat_db_server_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strchr(value[i].data, '=') != NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" of "
                               "\"chat_db_replica\": it takes addresses, all "
                               "else is that of \"chat_db\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        rv = ngx_chat_conf_db_server(cf, cmd, &chmcf->replica, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


/* names are resolved here, once: a look-up at run time would block */

static char *
ngx_chat_conf_db_server(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_chat_db_conf_t *dbcf, ngx_str_t *address)
{
    u_char                *p;
    size_t                 len;
    uint32_t               key;
    ngx_url_t              u;
    ngx_addr_t            *addr;
    ngx_uint_t             i;
    ngx_chat_db_server_t  *server;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *address;
    u.default_port = 3306;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in \"%V %V\"",
                           u.err ? u.err : "invalid address", &cmd->name,
                           address);
        return NGX_CONF_ERROR;
    }

    addr = &u.addrs[0];
    key = ngx_crc32_long(address->data, address->len) | 1;

    server = dbcf->servers.elts;

    for (i = 0; i < dbcf->servers.nelts; i++) {
        if (server[i].key == key) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is in \"%V\" twice", address,
                               &cmd->name);
            return NGX_CONF_ERROR;
        }
    }

    server = ngx_array_push(&dbcf->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_chat_db_server_t));

    server->name = *address;
    server->key = key;

#if (NGX_HAVE_UNIX_DOMAIN)

    if (u.family == AF_UNIX) {
        server->socket.data = (u_char *)
                        ((struct sockaddr_un *) addr->sockaddr)->sun_path;
        server->socket.len = ngx_strlen(server->socket.data);

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

    server->host.data = p;
    server->host.len = len;
    server->port = ngx_inet_get_port(addr->sockaddr);

    return NGX_CONF_OK;
}


/*
 * Read while the master still is root, so that workers cannot.  One line; a
 * newline at its end is not part of it.
 */

static char *
ngx_chat_conf_db_password(ngx_conf_t *cf, ngx_chat_db_conf_t *dbcf,
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

    buf = ngx_pcalloc(cf->pool, NGX_CHAT_CONF_PASSWORD_FILE_MAX + 2);
    if (buf == NULL) {
        ngx_close_file(file.fd);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_file(&file, buf, NGX_CHAT_CONF_PASSWORD_FILE_MAX + 1, 0);

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    if (n == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (n > NGX_CHAT_CONF_PASSWORD_FILE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password_file \"%V\" is longer than %d bytes",
                           path, NGX_CHAT_CONF_PASSWORD_FILE_MAX);
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

    if (size < (ssize_t) (32 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chat_zone\" \"%V\" is too small: "
                           "at least %uzk", &value[1],
                           32 * ngx_pagesize / 1024);
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


char *
ngx_chat_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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

        /* as for a proxied location: without the slash it is a redirect */
        clcf->auto_redirect = 1;

        return ngx_chat_conf_handler(clcf, ngx_chat_api_handler);
    }

    return NGX_CONF_OK;
}


/* one location is one thing: the last of two would win, and say nothing */

static char *
ngx_chat_conf_handler(ngx_http_core_loc_conf_t *clcf,
    ngx_http_handler_pt handler)
{
    if (clcf->handler == ngx_chat_api_handler
        || clcf->handler == ngx_chat_api_login_handler
        || clcf->handler == ngx_chat_api_logout_handler
        || clcf->handler == ngx_chat_api_status_handler)
    {
        return "needs a location of its own: another directive of chat "
               "answers here";
    }

    clcf->handler = handler;

    return NGX_CONF_OK;
}


/* chat_auth on | off | $variable [redirect=URI]; */

char *
ngx_chat_conf_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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

    return ngx_chat_conf_path(cf, cmd, &chlcf->auth_redirect);
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

char *
ngx_chat_conf_login(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
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
                               "known are page= and redirect=", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    return ngx_chat_conf_handler(clcf, ngx_chat_api_login_handler);
}


/* chat_logout [redirect=URI]; */

char *
ngx_chat_conf_logout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_loc_conf_t *chlcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (chlcf->logout_redirect.len) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    rv = ngx_chat_conf_handler(clcf, ngx_chat_api_logout_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

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

    return ngx_chat_conf_path(cf, cmd, &chlcf->logout_redirect);
}


char *
ngx_chat_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      *rv;
    ngx_http_core_loc_conf_t  *clcf;

    rv = ngx_conf_set_enum_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    return ngx_chat_conf_handler(clcf, ngx_chat_api_status_handler);
}


/* a URI of this site */

static char *
ngx_chat_conf_path(ngx_conf_t *cf, ngx_command_t *cmd, ngx_str_t *value)
{
    if (value->len == 0 || value->data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"%V\" is no path: it begins with \"/\"",
                           value, &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_chat_conf_positive(ngx_conf_t *cf, void *post, void *data)
{
    ngx_int_t *np = data;

    return (*np > 0) ? NGX_CONF_OK : "must be above zero";
}


char *
ngx_chat_conf_positive_msec(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *mp = data;

    return (*mp > 0) ? NGX_CONF_OK : "must be above zero";
}
