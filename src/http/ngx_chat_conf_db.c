
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_conf.h"


#define NGX_CHAT_CONF_PASSWORD_FILE_MAX  512


static char *ngx_chat_conf_db_parameter(ngx_conf_t *cf,
    ngx_chat_db_conf_t *dbcf, ngx_str_t *value);
static char *ngx_chat_conf_db_server(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_chat_db_conf_t *dbcf, ngx_str_t *address);


/*
 * chat_db unix:/path | address[:port] ... user=name [password_file=path]
 *         [database=name] [tls=on|off] [tls_ca=path];
 */

char *
ngx_chat_conf_db(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_chat_main_conf_t *chmcf = conf;

    char                *rv;
    ngx_str_t           *value;
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

        rv = ngx_chat_conf_db_parameter(cf, dbcf, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (dbcf->user.len == 0) {
        return "needs user=, the database account";
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


static char *
ngx_chat_conf_db_parameter(ngx_conf_t *cf, ngx_chat_db_conf_t *dbcf,
    ngx_str_t *value)
{
    ngx_str_t  path;

    if (ngx_strncmp(value->data, "user=", 5) == 0) {
        dbcf->user.data = value->data + 5;
        dbcf->user.len = value->len - 5;

    } else if (ngx_strncmp(value->data, "database=", 9) == 0) {
        dbcf->database.data = value->data + 9;
        dbcf->database.len = value->len - 9;

    } else if (ngx_strncmp(value->data, "password_file=", 14) == 0) {
        path.data = value->data + 14;
        path.len = value->len - 14;

        return ngx_chat_conf_password_file(cf, &path, &dbcf->password);

    } else if (ngx_strcmp(value->data, "tls=on") == 0) {
        dbcf->tls = 1;

    } else if (ngx_strcmp(value->data, "tls=off") == 0) {
        dbcf->tls = 0;

    } else if (ngx_strncmp(value->data, "tls_ca=", 7) == 0
               && value->len > 7)
    {
        dbcf->tls_ca.data = value->data + 7;
        dbcf->tls_ca.len = value->len - 7;

        if (ngx_conf_full_name(cf->cycle, &dbcf->tls_ca, 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"chat_db\": "
                           "supported are user=, password_file=, database=, "
                           "tls=on|off and tls_ca=", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
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
                               "\"chat_db_replica\": only addresses are "
                               "supported, other parameters are those of "
                               "\"chat_db\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        rv = ngx_chat_conf_db_server(cf, cmd, &chmcf->replica, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


/* names are resolved here, because a lookup at run time would block */

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
                               "duplicate address \"%V\" in \"%V\"", address,
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

    /* the client library expects IPv6 addresses without brackets */

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
 * Reads the password as root, so that the file need not be readable by workers.
 * The file contains one line; the line end is not part of the password.
 */

char *
ngx_chat_conf_password_file(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *password)
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
                           "password_file \"%V\" is accessible by other users: "
                           "run \"chmod 600\"", path);
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
                           "password_file \"%V\" must contain one line, "
                           "the password", path);
        return NGX_CONF_ERROR;
    }

    password->data = buf;
    password->len = n;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_chat_conf_db_replica_init(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf)
{
    ngx_uint_t             i;
    ngx_array_t            servers;
    ngx_chat_db_server_t  *primary, *replica;

    if (chmcf->zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"chat_db_replica\" requires \"chat_zone\"");
        return NGX_ERROR;
    }

    servers = chmcf->replica.servers;

    primary = chmcf->db.servers.elts;
    replica = servers.elts;

    /* one of several servers may be a replica until a failover */

    for (i = 0; chmcf->db.servers.nelts == 1 && i < servers.nelts; i++) {
        if (replica[i].key == primary->key) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%V\" is specified in both \"chat_db\" and "
                          "\"chat_db_replica\"", &replica[i].name);
            return NGX_ERROR;
        }
    }

    /* all other parameters are those of chat_db */

    chmcf->replica = chmcf->db;
    chmcf->replica.servers = servers;

    return NGX_OK;
}
