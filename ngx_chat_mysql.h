
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_MYSQL_H_INCLUDED_
#define _NGX_CHAT_MYSQL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"


/*
 * The two client libraries, MariaDB Connector/C and Oracle's libmysqlclient
 * (8.0.16 or later), behind one small set of calls that never block.
 *
 * Each call that talks to the server returns NGX_OK, NGX_ERROR, or NGX_AGAIN:
 * then wait for the socket (ngx_chat_mysql_wait() says for what) and call
 * ngx_chat_mysql_resume(), until it is done.  When there is nothing on the
 * socket to wait for (0), "ready" is called, once, from the event loop.
 */


typedef struct ngx_chat_mysql_s  ngx_chat_mysql_t;


#define NGX_CHAT_MYSQL_READ   1
#define NGX_CHAT_MYSQL_WRITE  2


/* once per process, before the first connection; NGX_ERROR: no library */
ngx_int_t ngx_chat_mysql_library_init(ngx_log_t *log);
void ngx_chat_mysql_library_end(void);

/*
 * Allocates the handle (with malloc, it outlives requests) and begins to
 * connect.  *my is set, and is to be closed, unless NGX_ERROR comes with NULL.
 * After close "ready" is not called.
 */
ngx_int_t ngx_chat_mysql_connect(ngx_chat_mysql_t **my,
    ngx_chat_db_conf_t *conf, ngx_chat_db_server_t *server, ngx_event_t *ready,
    ngx_log_t *log);

/* one packet; text stays as it is until the packet's last result is read */
ngx_int_t ngx_chat_mysql_query(ngx_chat_mysql_t *my, u_char *text, size_t len);

/*
 * The result of the packet's next statement, stored whole: NGX_OK with res
 * filled in, NGX_DONE when there are no more.  After NGX_ERROR the packet is
 * over: its later statements have not been run.
 */
ngx_int_t ngx_chat_mysql_result(ngx_chat_mysql_t *my,
    ngx_chat_db_result_t *res);
ngx_str_t *ngx_chat_mysql_fetch(ngx_chat_db_result_t *res);
void ngx_chat_mysql_free_result(ngx_chat_mysql_t *my,
    ngx_chat_db_result_t *res);

/* goes on with the call that returned NGX_AGAIN, and returns as it does */
ngx_int_t ngx_chat_mysql_resume(ngx_chat_mysql_t *my, ngx_uint_t ready);

ngx_uint_t ngx_chat_mysql_wait(ngx_chat_mysql_t *my);
ngx_socket_t ngx_chat_mysql_fd(ngx_chat_mysql_t *my);

/* of the last NGX_ERROR; never shows a value that was sent */
ngx_uint_t ngx_chat_mysql_errno(ngx_chat_mysql_t *my);
const char *ngx_chat_mysql_error(ngx_chat_mysql_t *my);

/* closes the socket, which nginx has forgotten before, and frees the handle */
void ngx_chat_mysql_close(ngx_chat_mysql_t *my);


#endif /* _NGX_CHAT_MYSQL_H_INCLUDED_ */
