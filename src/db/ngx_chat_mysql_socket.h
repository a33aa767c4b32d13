
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_MYSQL_SOCKET_H_INCLUDED_
#define _NGX_CHAT_MYSQL_SOCKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a connection of a client library */

typedef struct ngx_chat_mysql_s  ngx_chat_mysql_t;


#define NGX_CHAT_MYSQL_READ   1
#define NGX_CHAT_MYSQL_WRITE  2


/* returns the socket events to wait for; 0: none */
ngx_uint_t ngx_chat_mysql_wait(ngx_chat_mysql_t *my);

/* returns the socket, which may change while connecting */
ngx_socket_t ngx_chat_mysql_fd(ngx_chat_mysql_t *my);


#endif /* _NGX_CHAT_MYSQL_SOCKET_H_INCLUDED_ */
