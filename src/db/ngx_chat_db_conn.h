
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_CONN_H_INCLUDED_
#define _NGX_CHAT_DB_CONN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_db_types.h"
#include "src/db/ngx_chat_mysql.h"


/*
 * A connection to a server.  Its states:
 *
 *   CLOSED -> CONNECTING -> SETUP -> IDLE -> BUSY -> IDLE
 *                                              \-> ROLLBACK -> IDLE
 *
 * The connection reports each result and each failure to its user.  The user
 * then calls another function of this file, at least ngx_chat_db_conn_idle() or
 * ngx_chat_db_conn_close().
 */


typedef enum {
    NGX_CHAT_DB_CLOSED = 0,
    NGX_CHAT_DB_CONNECTING,
    NGX_CHAT_DB_SETUP,
    NGX_CHAT_DB_IDLE,
    NGX_CHAT_DB_BUSY,
    NGX_CHAT_DB_ROLLBACK
} ngx_chat_db_state_e;


typedef enum {
    NGX_CHAT_DB_EVENT_NONE = 0,           /* an event will follow */
    NGX_CHAT_DB_EVENT_OPENED,             /* connected and set up */
    NGX_CHAT_DB_EVENT_UNFIT,              /* connecting or set-up failed; see
                                             errcode and reason */
    NGX_CHAT_DB_EVENT_DONE,               /* all results of the packet were
                                             read; see failed and lagging */
    NGX_CHAT_DB_EVENT_FAILED,             /* the packet failed; see errcode and
                                             reason */
    NGX_CHAT_DB_EVENT_NO_MEMORY,          /* no memory for the packet */
    NGX_CHAT_DB_EVENT_TIMED_OUT,          /* the packet timed out */
    NGX_CHAT_DB_EVENT_CLOSED              /* closed by the server, or because
                                             the worker is exiting */
} ngx_chat_db_event_e;


typedef struct ngx_chat_db_queue_s  ngx_chat_db_queue_t;

typedef void (*ngx_chat_db_event_pt)(ngx_chat_db_conn_t *conn,
    ngx_chat_db_event_e event);


struct ngx_chat_db_conn_s {
    ngx_chat_db_t              *db;       /* database of the user */
    ngx_chat_mysql_t           *my;       /* NULL: closed */
    ngx_connection_t           *connection;   /* watches the socket */

    /* ngx_event_ident() expects it after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    ngx_chat_db_conf_t         *conf;
    const ngx_chat_db_type_t   *setup;    /* may be NULL */
    ngx_chat_db_event_pt        handler;  /* called from the event loop only */
    ngx_log_t                  *log;

    ngx_chat_db_state_e         state;
    ngx_uint_t                  server;   /* index in conf->servers */
    ngx_msec_t                  begin;    /* start of connecting */
    ngx_msec_t                  since;    /* end of connecting; set by the
                                             user */
    ngx_event_t                 timer;    /* set unless closed or idle */
    ngx_event_t                 ready;    /* progress without socket events */

    /* the packet; members up to "start" are set by the user */
    ngx_chat_db_queue_t        *queue;    /* queue of the jobs, or NULL */
    ngx_chat_db_job_t         **jobs;     /* elements: NULL if cancelled */
    ngx_uint_t                  njobs;
    ngx_uint_t                  size;     /* allocated elements of jobs */
    uint64_t                    key;      /* key of the only job, even if it
                                             was cancelled; 0: none */
    ngx_msec_t                  start;    /* start of the packet */

    const ngx_chat_db_type_t   *type;
    const ngx_chat_db_guard_t  *guard;    /* NULL when its result was read */
    ngx_msec_t                  guard_time;   /* returned by guard->build() */
    ngx_chat_db_buf_t           text;
    size_t                      sent;     /* sent part of text, bytes */
    ngx_uint_t                  ended;    /* statements sent one by one */
    ngx_chat_db_result_t        result;
    unsigned                    reading:1;    /* sent, reading results */
    unsigned                    failed:1;     /* type->result() has failed */
    unsigned                    lagging:1;    /* result of the guard */
    unsigned                    stepwise:1;   /* statements of transactions
                                                 are sent one by one */

    /* the latest failure */
    ngx_uint_t                  errcode;  /* error of the database, or 0 */
    const char                 *reason;
};


void ngx_chat_db_conn_init(ngx_chat_db_conn_t *conn, ngx_chat_db_t *db,
    ngx_chat_db_conf_t *conf, const ngx_chat_db_type_t *setup,
    ngx_chat_db_event_pt handler, ngx_log_t *log);

/*
 * The following three functions return the event if it occurs at once.  They
 * return NGX_CHAT_DB_EVENT_NONE if conn->handler will be called with it.
 */

/* opens a closed connection to conf->servers[server] */
ngx_chat_db_event_e ngx_chat_db_conn_open(ngx_chat_db_conn_t *conn,
    ngx_uint_t server);

/* runs a packet for conn->jobs on an idle connection; "guard" may be NULL */
ngx_chat_db_event_e ngx_chat_db_conn_send(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_type_t *type, const ngx_chat_db_guard_t *guard,
    ngx_msec_t timeout);

/* rolls the transaction of a failed packet back */
ngx_chat_db_event_e ngx_chat_db_conn_rollback(ngx_chat_db_conn_t *conn);

/* makes the connection available for packets; after NGX_ERROR, close it */
ngx_int_t ngx_chat_db_conn_idle(ngx_chat_db_conn_t *conn);

void ngx_chat_db_conn_close(ngx_chat_db_conn_t *conn);


#endif /* _NGX_CHAT_DB_CONN_H_INCLUDED_ */
