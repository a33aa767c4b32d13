
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_MYSQL_H_INCLUDED_
#define _NGX_CHAT_MYSQL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/db/ngx_chat_db_types.h"
#include "src/db/ngx_chat_mysql_socket.h"


/*
 * One interface to two client libraries, MariaDB Connector/C and Oracle's
 * libmysqlclient 8.0.16 or later.  No function blocks.
 *
 * A function that communicates with the server returns NGX_OK, NGX_ERROR or
 * NGX_AGAIN.  After NGX_AGAIN the caller waits for the socket events that
 * ngx_chat_mysql_wait() returns, then calls ngx_chat_mysql_resume(), until the
 * operation is complete.  If there are no events to wait for, the handler of
 * "ready" is called once, from the event loop.
 */


/* once per process, before the first connection; NGX_ERROR: it has failed */
ngx_int_t ngx_chat_mysql_library_init(ngx_log_t *log);
void ngx_chat_mysql_library_end(void);

/*
 * Allocates a handle, with malloc, and begins to connect.  *my must be closed
 * unless it is NULL, which is possible after NGX_ERROR only.  After
 * ngx_chat_mysql_close() the handler of "ready" is not called.
 */
ngx_int_t ngx_chat_mysql_connect(ngx_chat_mysql_t **my,
    ngx_chat_db_conf_t *conf, ngx_chat_db_server_t *server, ngx_event_t *ready,
    ngx_log_t *log);

/* sends a packet; "text" must not change until the last result is read */
ngx_int_t ngx_chat_mysql_query(ngx_chat_mysql_t *my, u_char *text, size_t len);

/*
 * Reads the result of the next statement of the packet with all its rows.
 * Returns NGX_OK and fills "res" in, or NGX_DONE if there are no more results.
 * After NGX_ERROR the packet has ended; further statements were not executed.
 */
ngx_int_t ngx_chat_mysql_result(ngx_chat_mysql_t *my,
    ngx_chat_db_result_t *res);
ngx_str_t *ngx_chat_mysql_fetch(ngx_chat_db_result_t *res);
void ngx_chat_mysql_free_result(ngx_chat_mysql_t *my,
    ngx_chat_db_result_t *res);

/* continues the function that returned NGX_AGAIN, and returns as it does */
ngx_int_t ngx_chat_mysql_resume(ngx_chat_mysql_t *my, ngx_uint_t ready);

/* describe the last NGX_ERROR; the text contains no value of a statement */
ngx_uint_t ngx_chat_mysql_errno(ngx_chat_mysql_t *my);
const char *ngx_chat_mysql_error(ngx_chat_mysql_t *my);

/*
 * Closes the socket and frees the handle.  The socket's ngx_connection_t must
 * have been freed before.
 */
void ngx_chat_mysql_close(ngx_chat_mysql_t *my);


#endif /* _NGX_CHAT_MYSQL_H_INCLUDED_ */
