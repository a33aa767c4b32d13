
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_MYSQL_LIBRARY_H_INCLUDED_
#define _NGX_CHAT_MYSQL_LIBRARY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_db_types.h"
#include "src/db/ngx_chat_mysql_socket.h"

#include <mysql.h>


/*
 * TLS with the library of MariaDB: connections are opened in a thread of
 * conf->thread_pool.  Private to ngx_chat_mysql_mariadb.c.
 */


#if (NGX_CHAT_MARIADB)

typedef struct ngx_chat_mysql_tls_s  ngx_chat_mysql_tls_t;


/* sets all options, even without "tls", since defaults depend on the version */
ngx_int_t ngx_chat_mysql_tls_options(MYSQL *handle, ngx_chat_db_conf_t *conf);

/*
 * Begins to connect.  Returns NULL if there is no memory or no thread.  When
 * the thread has finished, the handler of "ready" is called once, from the
 * event loop.  Until then the thread owns the handle.
 */
ngx_chat_mysql_tls_t *ngx_chat_mysql_tls_connect(MYSQL *handle,
    ngx_chat_db_conf_t *conf, ngx_chat_db_server_t *server, ngx_event_t *ready,
    ngx_log_t *log);

/*
 * Returns the result and frees "tls".  NGX_DECLINED: the server does not offer
 * TLS; NGX_ERROR: see mysql_error().
 */
ngx_int_t ngx_chat_mysql_tls_connected(ngx_chat_mysql_tls_t *tls);

/* called instead to abort: the handle is closed when the thread has finished */
void ngx_chat_mysql_tls_abort(ngx_chat_mysql_tls_t *tls);

#endif


/*
 * Private to ngx_chat_mysql.c: the handle, and the functions that differ
 * between the client libraries.  ngx_chat_mysql_mariadb.c and
 * ngx_chat_mysql_oracle.c implement them, and those of ngx_chat_mysql_socket.h.
 */


/* columns, more than any statement has */
#define NGX_CHAT_MYSQL_FIELDS  24

/* the session set-up without the name of the database, bytes */
#define NGX_CHAT_MYSQL_SETUP   1024

/* length of an identifier: 64 characters of 4 bytes; a backquote is doubled */
#define NGX_CHAT_MYSQL_NAME    (64 * 4)


typedef enum {
    NGX_CHAT_MYSQL_IDLE = 0,
    NGX_CHAT_MYSQL_CONNECT,
    NGX_CHAT_MYSQL_QUERY,
    NGX_CHAT_MYSQL_NEXT,
    NGX_CHAT_MYSQL_STORE
} ngx_chat_mysql_op_e;


struct ngx_chat_mysql_s {
    MYSQL                  *handle;
    ngx_chat_db_conf_t     *conf;
    ngx_chat_db_server_t   *server;
    ngx_event_t            *ready;            /* the caller's */
    ngx_log_t              *log;

    ngx_chat_mysql_op_e     op;
    u_char                 *text;             /* the caller's, or setup_text */
    size_t                  len;
    ngx_chat_db_result_t   *res;              /* the caller's */

    MYSQL_RES              *rows;             /* rows of the current result */
    ngx_str_t               fields[NGX_CHAT_MYSQL_FIELDS];    /* latest row */

#if (NGX_CHAT_MARIADB)
    int                     wait;             /* MYSQL_WAIT_* */
    int                     failed;           /* the call's return values */
    MYSQL                  *connected;
    ngx_chat_mysql_tls_t   *tls;              /* connecting, or NULL */
#endif

    unsigned                started:1;        /* op is to be continued */
    unsigned                first:1;          /* the result needs no NEXT */
    unsigned                setup:1;          /* connecting or set-up */
    unsigned                plain:1;          /* TLS is required but missing */

    u_char                  setup_text[NGX_CHAT_MYSQL_SETUP
                                       + NGX_CHAT_MYSQL_NAME];
};


/* sets the options of a new handle */
ngx_int_t ngx_chat_mysql_options(ngx_chat_mysql_t *my);

/*
 * Starts or continues my->op.  Returns NGX_OK, NGX_AGAIN or NGX_ERROR, or
 * NGX_DONE if there are no more results.
 */
ngx_int_t ngx_chat_mysql_call(ngx_chat_mysql_t *my, ngx_uint_t ready);

/* ends an operation in progress before the handle is closed */
void ngx_chat_mysql_abandon(ngx_chat_mysql_t *my);


#endif /* _NGX_CHAT_MYSQL_LIBRARY_H_INCLUDED_ */
