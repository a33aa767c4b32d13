
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_conf.h"


static char *ngx_chat_conf_redis_parameter(ngx_conf_t *cf,
    ngx_chat_redis_conf_t *rcf, ngx_str_t *value);
static char *ngx_chat_conf_redis_check(ngx_conf_t *cf,
    ngx_chat_redis_conf_t *rcf);
static char *ngx_chat_conf_redis_server(ngx_conf_t *cf,
    ngx_chat_redis_conf_t *rcf, ngx_str_t *address);
static char *ngx_chat_conf_redis_host(ngx_conf_t *cf,
    ngx_chat_redis_server_t *server, ngx_url_t *u);
static char *ngx_chat_conf_redis_tls(ngx_conf_t *cf,
    ngx_chat_redis_conf_t *rcf);


/*
 * chat_redis unix:/path | address[:port] ... [tls=on|off] [tls_ca=path]
 *            [password_file=path];
 */

char *
ngx_chat_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                   *rv, *p = conf;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_chat_redis_conf_t  *rcf;

    rcf = (ngx_chat_redis_conf_t *) (p + cmd->offset);

    if (rcf->servers.elts != NULL) {
        return "is duplicate";
    }

    if (ngx_array_init(&rcf->servers, cf->pool, 1,
                       sizeof(ngx_chat_redis_server_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strchr(value[i].data, '=') == NULL) {
            rv = ngx_chat_conf_redis_server(cf, rcf, &value[i]);

        } else if (ngx_chat_conf_once(cf, i) == NGX_OK) {
            rv = ngx_chat_conf_redis_parameter(cf, rcf, &value[i]);

        } else {
            rv = NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    rv = ngx_chat_conf_redis_check(cf, rcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return rcf->tls ? ngx_chat_conf_redis_tls(cf, rcf) : NGX_CONF_OK;
}


static char *
ngx_chat_conf_redis_parameter(ngx_conf_t *cf, ngx_chat_redis_conf_t *rcf,
    ngx_str_t *value)
{
    ngx_str_t  path;

    if (ngx_strcmp(value->data, "tls=on") == 0) {
        rcf->tls = 1;

    } else if (ngx_strcmp(value->data, "tls=off") == 0) {
        rcf->tls = 0;

    } else if (ngx_strncmp(value->data, "tls_ca=", 7) == 0
               && value->len > 7)
    {
        rcf->tls_ca.data = value->data + 7;
        rcf->tls_ca.len = value->len - 7;

        if (ngx_conf_full_name(cf->cycle, &rcf->tls_ca, 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

    } else if (ngx_strncmp(value->data, "password_file=", 14) == 0) {
        path.data = value->data + 14;
        path.len = value->len - 14;

        return ngx_chat_conf_password_file(cf, &path, &rcf->password);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"chat_redis\": "
                           "supported are password_file=, tls=on|off and "
                           "tls_ca=", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_chat_conf_redis_check(ngx_conf_t *cf, ngx_chat_redis_conf_t *rcf)
{
    ngx_uint_t                i;
    ngx_chat_redis_server_t  *server;

    if (rcf->servers.nelts == 0) {
        return "needs the address of a Redis server";
    }

    if (rcf->tls_ca.len && !rcf->tls) {
        return "has tls_ca= but no tls=on";
    }

    if (!rcf->tls) {
        return NGX_CONF_OK;
    }

    if (rcf->tls_ca.len == 0) {
        return "has tls=on but no tls_ca=, the certificates of the "
               "authorities that are trusted";
    }

    if (access((const char *) rcf->tls_ca.data, R_OK) == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "tls_ca \"%V\" cannot be read", &rcf->tls_ca);
        return NGX_CONF_ERROR;
    }

    server = rcf->servers.elts;

    for (i = 0; i < rcf->servers.nelts; i++) {
        if (server[i].host.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "tls=on of \"chat_redis\" requires a host, "
                               "whose name is verified, not \"%V\"",
                               &server[i].name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* each address of a name is a server */

static char *
ngx_chat_conf_redis_server(ngx_conf_t *cf, ngx_chat_redis_conf_t *rcf,
    ngx_str_t *address)
{
    ngx_url_t                 u;
    ngx_uint_t                i;
    ngx_chat_redis_server_t  *server;

    server = rcf->servers.elts;

    for (i = 0; i < rcf->servers.nelts; i++) {
        if (server[i].name.len == address->len
            && ngx_strncmp(server[i].name.data, address->data, address->len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is in \"chat_redis\" twice", address);
            return NGX_CONF_ERROR;
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *address;
    u.default_port = 6379;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in \"chat_redis %V\"",
                           u.err ? u.err : "invalid address", address);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < u.naddrs; i++) {

        server = ngx_array_push(&rcf->servers);
        if (server == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(server, sizeof(ngx_chat_redis_server_t));

        server->sockaddr = u.addrs[i].sockaddr;
        server->socklen = u.addrs[i].socklen;
        server->name = *address;

        if (ngx_chat_conf_redis_host(cf, server, &u) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* sets the name or address in the certificate, as a string of OpenSSL */

static char *
ngx_chat_conf_redis_host(ngx_conf_t *cf, ngx_chat_redis_server_t *server,
    ngx_url_t *u)
{
    u_char     *p;
    ngx_str_t   host;

#if (NGX_HAVE_UNIX_DOMAIN)
    if (u->family == AF_UNIX) {
        return NGX_CONF_OK;
    }
#endif

    host = u->host;

    if (host.len > 2 && host.data[0] == '[') {
        host.data++;
        host.len -= 2;
    }

    server->address = (ngx_inet_addr(host.data, host.len) != INADDR_NONE
                       || ngx_strlchr(host.data, host.data + host.len, ':'));

    p = ngx_pnalloc(cf->pool, host.len + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_cpystrn(p, host.data, host.len + 1);

    server->host.data = p;
    server->host.len = host.len;

    return NGX_CONF_OK;
}


#if (NGX_SSL)

/* each connection checks the result of the verification and the name */

static char *
ngx_chat_conf_redis_tls(ngx_conf_t *cf, ngx_chat_redis_conf_t *rcf)
{
    ngx_pool_cleanup_t  *cln;

    rcf->ssl.log = cf->log;

    if (ngx_ssl_create(&rcf->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(&rcf->ssl);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = &rcf->ssl;

    if (ngx_ssl_trusted_certificate(cf, &rcf->ssl, &rcf->tls_ca, 8) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* a server without a certificate is rejected */

    SSL_CTX_set_verify(rcf->ssl.ctx, SSL_VERIFY_PEER,
                       SSL_CTX_get_verify_callback(rcf->ssl.ctx));

    return NGX_CONF_OK;
}

#else

static char *
ngx_chat_conf_redis_tls(ngx_conf_t *cf, ngx_chat_redis_conf_t *rcf)
{
    return "supports tls=on only if nginx is built with SSL";
}

#endif
