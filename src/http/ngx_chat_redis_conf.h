
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REDIS_CONF_H_INCLUDED_
#define _NGX_CHAT_REDIS_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* The configuration of chat_redis, read-only after start. */


typedef struct {
    struct sockaddr            *sockaddr;
    socklen_t                   socklen;
    ngx_str_t                   name;          /* as configured */
    ngx_str_t                   host;          /* in its certificate */
    unsigned                    address:1;     /* host is an IP address */
} ngx_chat_redis_server_t;


typedef struct {
    ngx_array_t                 servers;       /* ngx_chat_redis_server_t;
                                                  none: no chat_redis */
    ngx_str_t                   password;      /* empty: none */
    ngx_str_t                   tls_ca;        /* path */
    unsigned                    tls:1;
#if (NGX_SSL)
    ngx_ssl_t                   ssl;           /* valid if "tls" is set */
#endif
} ngx_chat_redis_conf_t;


#endif /* _NGX_CHAT_REDIS_CONF_H_INCLUDED_ */
