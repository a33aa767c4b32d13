
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_MYSQL_TLS_H_INCLUDED_
#define _NGX_CHAT_MYSQL_TLS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"

#include <mysql.h>


/*
 * Private to ngx_chat_mysql.c: what MariaDB's library does of TLS, in a thread
 * of conf->thread_pool.
 */


#if (NGX_CHAT_MARIADB)

typedef struct ngx_chat_mysql_tls_s  ngx_chat_mysql_tls_t;


/* without TLS, too, so that nothing is left to the library's version */
ngx_int_t ngx_chat_mysql_tls_options(MYSQL *handle, ngx_chat_db_conf_t *conf);

/*
 * Begins to connect; NULL: no memory, or no thread.  When that has ended
 * "ready" is called, once, from the event loop; until then the handle is the
 * thread's.
 */
ngx_chat_mysql_tls_t *ngx_chat_mysql_tls_connect(MYSQL *handle,
    ngx_chat_db_conf_t *conf, ngx_chat_db_server_t *server, ngx_event_t *ready,
    ngx_log_t *log);

/*
 * What came of it, and the end of "tls".  NGX_DECLINED: the server does not
 * offer TLS; NGX_ERROR: the handle knows why.
 */
ngx_int_t ngx_chat_mysql_tls_connected(ngx_chat_mysql_tls_t *tls);

/* instead: "ready" will not be called, and the handle is closed in the end */
void ngx_chat_mysql_tls_give_up(ngx_chat_mysql_tls_t *tls);

#endif


#endif /* _NGX_CHAT_MYSQL_TLS_H_INCLUDED_ */
