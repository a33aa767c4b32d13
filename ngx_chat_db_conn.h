
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_CONN_H_INCLUDED_
#define _NGX_CHAT_DB_CONN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_db.h"
#include "ngx_chat_db_error.h"
#include "ngx_chat_mysql.h"


/*
 * Private to the database layer: ngx_chat_db.c has the jobs, the queue and the
 * choice of the next packet, ngx_chat_db_conn.c the connections that packets
 * run on, ngx_chat_db_move.c the way from one server to another.
 *
 * A connection's way:
 *
 *   CLOSED -> CONNECTING -> SETUP -> IDLE -> BUSY -> IDLE
 *                                              \-> ROLLBACK -> IDLE
 *
 * Every step may fail, which closes it.
 */


typedef enum {
    NGX_CHAT_DB_CLOSED = 0,
    NGX_CHAT_DB_CONNECTING,
    NGX_CHAT_DB_SETUP,
    NGX_CHAT_DB_IDLE,
    NGX_CHAT_DB_BUSY,
    NGX_CHAT_DB_ROLLBACK
} ngx_chat_db_state_e;


/*
 * The waiting jobs of a class.  If it has packets for several, those that a
 * lock has kept waiting have a lane of their own: nobody knows which one of
 * them was the reason, so that each goes on alone, and the others not behind
 * it.
 */

typedef struct {
    ngx_queue_t                 queue;    /* in db->lanes */
    ngx_chat_db_t              *db;

    /* a timer's ident is after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    const ngx_chat_db_class_t  *class;
    ngx_chat_metrics_query_t   *metrics;
    ngx_queue_t                 jobs;
    ngx_uint_t                  running;  /* packets in flight */
    unsigned                    alone:1;  /* one job in a packet */
    ngx_event_t                 pause;    /* timer, set after a conflict */

    /* what keeps the server from doing these now, or NULL */
    const ngx_chat_db_error_t  *trouble;
    ngx_msec_t                  troubled; /* when it was seen last */
} ngx_chat_db_lane_t;


struct ngx_chat_db_conn_s {
    ngx_chat_db_t              *db;
    ngx_chat_mysql_t           *my;       /* NULL: closed */
    ngx_connection_t           *connection;   /* nginx's view of its socket */

    /* a timer's ident is after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    ngx_chat_db_state_e         state;
    ngx_uint_t                  server;   /* of db->servers */
    ngx_msec_t                  begin;    /* of connecting */
    ngx_msec_t                  since;    /* it is connected */
    ngx_event_t                 timer;    /* set unless closed or idle */
    ngx_event_t                 ready;    /* connected without its socket */

    /* the packet */
    const ngx_chat_db_class_t  *class;
    ngx_chat_db_lane_t         *lane;     /* NULL: none, or not for jobs */
    ngx_chat_db_job_t         **jobs;     /* NULL where cancelled */
    ngx_uint_t                  njobs;
    ngx_uint_t                  size;     /* of jobs */
    ngx_chat_db_text_t          text;
    size_t                      sent;     /* of text */
    ngx_chat_db_result_t        result;
    ngx_msec_t                  needed;       /* guard->build() returned it */
    unsigned                    reading:1;    /* sent, results come in */
    unsigned                    failed:1;     /* class->result() did */
    unsigned                    stepwise:1;   /* setup says: transactions go
                                                 statement by statement */
    unsigned                    guarded:1;    /* the guard's result is next */
    unsigned                    lagging:1;    /* the guard says */
};


struct ngx_chat_db_s {
    ngx_chat_db_conf_t         *conf;
    ngx_chat_db_servers_t       servers;
    const ngx_chat_db_class_t  *setup;
    ngx_pool_t                 *pool;     /* the cycle's */

    /* a timer's ident is after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    ngx_log_t                  *log;
    ngx_chat_db_conn_t         *conns;    /* conf->connections of them */
    ngx_queue_t                 lanes;
    ngx_queue_t                 jobs;     /* by order: not done yet */
    ngx_queue_t                 done;     /* by queue: handler to be called */
    ngx_event_t                 timer;    /* the deadline of the first job */
    ngx_event_t                 posted;   /* jobs were submitted */

    ngx_uint_t                  opening;  /* connections, 0 or 1 */
    ngx_uint_t                  errcode;  /* of the last connect that failed */
    u_char                      reason[NGX_CHAT_DB_REASON];   /* of that */
    ngx_msec_t                  backoff;  /* 0: the last connect went well,
                                             or others failed elsewhere */
    ngx_msec_t                  retry_at; /* no connect until then */
    ngx_event_t                 retry;    /* timer, for those that wait */

    ngx_uint_t                  connected;  /* connections */
    ngx_uint_t                  running;    /* packets in flight */
    ngx_uint_t                  waiting;    /* jobs */
    ngx_chat_metrics_t         *metrics;
    const ngx_chat_db_class_t *const *classes;

    /* of replicas: what they do not do goes to "primary", or NULL */
    ngx_chat_db_t              *primary;
    const ngx_chat_db_guard_t  *guard;
    ngx_msec_t                  rest;     /* 0: none */
    ngx_msec_t                  rest_until;
    ngx_msec_t                  lags_since;
    ngx_msec_t                  lagged_at;    /* last */
    unsigned                    away_told:1;  /* that it is out of reach */
    unsigned                    lags:1;       /* since, without a success */
    unsigned                    lag_told:1;
    unsigned                    lagging:1;    /* what is missed now is so */
};


/* ngx_chat_db.c */

/* what every event ends with: new packets, then the handlers of done jobs */
void ngx_chat_db_settle(ngx_chat_db_t *db);

/* of a job, or its packet, milliseconds */
ngx_msec_t ngx_chat_db_timeout(ngx_chat_db_t *db);

/* counts what is not counted of replicas */
void ngx_chat_db_count(ngx_chat_db_t *db, ngx_chat_count_e counter);

/* all that wait: the servers cannot do it now */
void ngx_chat_db_refuse_waiting(ngx_chat_db_t *db);

/* end the packet: its jobs are done, or go back into their lane */
void ngx_chat_db_finish(ngx_chat_db_conn_t *conn, ngx_int_t rc,
    ngx_uint_t errcode);
void ngx_chat_db_retry(ngx_chat_db_conn_t *conn, ngx_chat_db_action_e action);


/* ngx_chat_db_conn.c: none of these calls a job's handler */

void ngx_chat_db_conn_init(ngx_chat_db_conn_t *conn, ngx_chat_db_t *db);
void ngx_chat_db_connect(ngx_chat_db_conn_t *conn);

/* runs a packet for conn->jobs on an idle connection */
void ngx_chat_db_send(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_class_t *class);

void ngx_chat_db_close(ngx_chat_db_conn_t *conn);


/* ngx_chat_db_move.c: from one of several servers to the next */

/*
 * The server of this connection has failed, for "anyway" see
 * ngx_chat_db_servers_leave().  NGX_OK: another one is in use now.
 */
ngx_int_t ngx_chat_db_move(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason, ngx_uint_t anyway);

/* db->servers.current is another one */
void ngx_chat_db_moved(ngx_chat_db_t *db);

/* leaves connections to a server that is no longer in use, unless busy */
void ngx_chat_db_follow(ngx_chat_db_t *db);

/* for the log */
ngx_str_t *ngx_chat_db_server_name(ngx_chat_db_t *db, ngx_uint_t n);
const char *ngx_chat_db_title(ngx_chat_db_t *db);


#endif /* _NGX_CHAT_DB_CONN_H_INCLUDED_ */
