
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_QUEUE_H_INCLUDED_
#define _NGX_CHAT_DB_QUEUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_db_conn.h"


/*
 * The meaning of error numbers of MariaDB and MySQL, which are the same up to
 * 1880, and of the two client libraries.
 *
 * Statements are constant and values were validated, so an error usually
 * depends on the state of the server.  Until an operator or time ends that
 * state, the response is 503.  Permanent and unknown errors result in 500, and
 * each is logged.  A permanent 503 would hide a fault of the module, and
 * clients would retry forever.
 */


typedef enum {
    NGX_CHAT_DB_REFUSED = 0,              /* the statement always fails */
    NGX_CHAT_DB_CONFLICT,                 /* retry */
    NGX_CHAT_DB_LOCKED,                   /* retry; it waited for a lock and
                                             may wait again */
    NGX_CHAT_DB_SHORT,                    /* too large now, retry in parts */
    NGX_CHAT_DB_UNABLE,                   /* such statements fail now */
    NGX_CHAT_DB_STALE,                    /* same, but may succeed on a new
                                             connection */
    NGX_CHAT_DB_LOST,                     /* the connection is lost */
    NGX_CHAT_DB_UNFIT                     /* the server accepts no work now */
} ngx_chat_db_action_e;


typedef struct {
    ngx_chat_db_action_e   action;
    const char            *reason;        /* for the log, of SHORT, UNABLE and
                                             STALE; else NULL */
    ngx_uint_t             elsewhere;     /* flag: another server may succeed */
    ngx_uint_t             codes[32];     /* end with 0 */
} ngx_chat_db_error_t;


/* returns the meaning, never NULL; errors with the same reason share it */
const ngx_chat_db_error_t *ngx_chat_db_error(ngx_uint_t code);


/*
 * The database of a worker, its queues, and the states of jobs.  Private to the
 * database layer, whose files call each other downwards only:
 *
 *   ngx_chat_db.c           submits, cancels and dispatches jobs
 *   ngx_chat_db_packet.c    sends packets, handles events of connections
 *   ngx_chat_db_failover.c  opens and closes connections, changes servers,
 *                           suspends replicas that lag
 *   ngx_chat_db_lock.c      isolates jobs of locked conversations
 *   ngx_chat_db_queue.c     queues, states of jobs
 *   ngx_chat_db_conn.c      a connection
 */


/* a query type has up to three queues, see ngx_chat_db_lock.c */

typedef enum {
    NGX_CHAT_DB_BATCH = 0,                /* packets of up to type->batch */
    NGX_CHAT_DB_ALONE,                    /* packets of one job, which may be
                                             locked */
    NGX_CHAT_DB_HELD                      /* packets of one locked job */
} ngx_chat_db_queue_e;


struct ngx_chat_db_queue_s {
    ngx_queue_t                 link;     /* in db->queues */
    ngx_chat_db_t              *db;

    /* ngx_event_ident() expects it after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    const ngx_chat_db_type_t   *type;
    ngx_chat_metrics_query_t   *metrics;
    ngx_queue_t                 jobs;     /* waiting */
    ngx_uint_t                  running;  /* packets in flight */
    ngx_chat_db_queue_e         kind;
    ngx_event_t                 pause;    /* timer, set after a conflict */
    unsigned                    lockable:1;   /* packets may wait for locks
                                                 while others could run */

    /* used by BATCH queues */
    ngx_uint_t                  patience; /* doublings of the limit of its
                                             packets */
    ngx_msec_t                  eased;    /* last change of patience */
    unsigned                    suspected:1;  /* a packet has met a lock, and no
                                                 locked job was found yet */

    /* an error that prevents statements of this type; NULL: none */
    const ngx_chat_db_error_t  *trouble;
    ngx_msec_t                  troubled; /* last occurrence */
};


/* a locked conversation */

typedef struct {
    const ngx_chat_db_type_t   *type;     /* NULL: unused */
    uint64_t                    key;
    ngx_msec_t                  seen;
} ngx_chat_db_locked_t;

#define NGX_CHAT_DB_LOCKED_KEYS  32


/* how the primary and the replicas differ in logs and metrics */

typedef struct {
    const char                 *title;
    ngx_chat_count_e            opened;   /* NGX_CHAT_COUNT_MAX: not counted */
    ngx_chat_count_e            unfit;
    ngx_chat_count_e            lost;
    ngx_chat_count_e            done;
    ngx_chat_gauge_e            connected;    /* NGX_CHAT_GAUGE_MAX: none */
    ngx_chat_gauge_e            running;
    ngx_chat_gauge_e            waiting;
} ngx_chat_db_role_t;


struct ngx_chat_db_s {
    ngx_chat_db_conf_t         *conf;
    const ngx_chat_db_role_t   *role;
    ngx_pool_t                 *pool;     /* owned by the cycle */

    /* ngx_event_ident() expects it after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    ngx_log_t                  *log;
    ngx_chat_db_servers_t       servers;
    ngx_msec_t                  timeout;  /* for a job or packet, ms */
    ngx_chat_db_conn_t         *conns;    /* conf->connections elements */
    ngx_queue_t                 queues;   /* ngx_chat_db_queue_t */
    ngx_queue_t                 jobs;     /* not done, by deadline */
    ngx_queue_t                 done;     /* jobs whose handler is due */
    ngx_event_t                 timer;    /* deadline of the first job */
    ngx_event_t                 posted;   /* calls ngx_chat_db_settle() */

    ngx_uint_t                  opening;  /* connections, 0 or 1 */

    /* the last failure to open a connection */
    ngx_uint_t                  errcode;
    u_char                      reason[NGX_CHAT_DB_REASON];

    ngx_msec_t                  backoff;  /* ms; 0: the last connection was
                                             opened, or failed elsewhere */
    ngx_msec_t                  retry_at; /* earliest time of opening one */
    ngx_event_t                 retry;    /* timer, for waiting jobs */

    ngx_uint_t                  connected;    /* open connections */
    ngx_uint_t                  running;  /* packets in flight */
    ngx_uint_t                  waiting;  /* waiting jobs */
    ngx_uint_t                  lockable; /* packets in flight of lockable
                                             queues */
    ngx_chat_db_locked_t        locked[NGX_CHAT_DB_LOCKED_KEYS];
    ngx_uint_t                  nlocked;  /* number ever added */
    unsigned                    locks:1;  /* queues other than BATCH may have
                                             jobs or packets in flight, or keys
                                             may be known to be locked */

    ngx_chat_metrics_t                *metrics;
    const ngx_chat_db_type_t *const   *types;

    /* used by replicas */
    ngx_chat_db_t              *primary;  /* NULL: this is the primary */
    const ngx_chat_db_guard_t  *guard;
    ngx_msec_t                  suspended;    /* ms; 0: not suspended */
    ngx_msec_t                  suspended_until;
    ngx_msec_t                  lag_since;
    ngx_msec_t                  lag_last;

    unsigned                    unfit_logged:1;   /* a failure was logged */
    unsigned                    lag:1;        /* lag_since is set */
    unsigned                    lag_logged:1; /* the lag was logged */
    unsigned                    lag_now:1;    /* jobs fall back now */
};


/* returns the queue, which is created if necessary; NULL: no memory */
ngx_chat_db_queue_t *ngx_chat_db_queue(ngx_chat_db_t *db,
    const ngx_chat_db_type_t *type, ngx_chat_db_queue_e kind);

/* returns the number of jobs of a packet that the job counts as */
ngx_uint_t ngx_chat_db_weight(ngx_chat_db_job_t *job);

/* removes the job from its queue or packet, and from db->jobs */
void ngx_chat_db_take_out(ngx_chat_db_job_t *job);

/* ends the job; its handler is called later, at the end of the event */
void ngx_chat_db_done(ngx_chat_db_job_t *job, ngx_int_t rc);

/* ends all waiting jobs with NGX_BUSY */
void ngx_chat_db_refuse_waiting(ngx_chat_db_t *db);

/* end the packet; its jobs are done, or return to their queue */
void ngx_chat_db_finish(ngx_chat_db_conn_t *conn, ngx_int_t rc,
    ngx_uint_t errcode);
void ngx_chat_db_retry(ngx_chat_db_conn_t *conn, ngx_chat_db_action_e action);

/* ends the packet, whose jobs are elsewhere already */
void ngx_chat_db_packet_done(ngx_chat_db_conn_t *conn);

/* counts unless the role has no such counter */
void ngx_chat_db_count(ngx_chat_db_t *db, ngx_chat_count_e counter);

/* counts a read that the primary performs instead of a replica */
void ngx_chat_db_count_fallback(ngx_chat_db_t *db);

/* returns true if the replica is suspended, because it lags */
ngx_uint_t ngx_chat_db_suspended(ngx_chat_db_t *db);


/* Isolates jobs of locked conversations.  Private to the database layer. */


/* adds a new job to the queue of its type in which it has to wait */
void ngx_chat_db_lock_enter(ngx_chat_db_queue_t *batch, ngx_chat_db_job_t *job);

/* returns the first job of the queue that may be sent now, or NULL */
ngx_chat_db_job_t *ngx_chat_db_lock_first(ngx_chat_db_queue_t *queue);

/* sets the key and the limits of a packet, before it is built */
void ngx_chat_db_lock_prepare(ngx_chat_db_conn_t *conn);

/* returns the meaning of an error of the packet, which depends on its type */
const ngx_chat_db_error_t *ngx_chat_db_lock_error(ngx_chat_db_conn_t *conn,
    ngx_uint_t code);

/* the packet did not get a lock in time: its jobs continue one by one */
void ngx_chat_db_lock_met(ngx_chat_db_conn_t *conn);

/* the packet is done */
void ngx_chat_db_lock_passed(ngx_chat_db_conn_t *conn);


/*
 * Opens and closes connections, and changes from one of several servers to the
 * next.  Private to the database layer.
 */


/* begins to connect to the current server */
ngx_chat_db_event_e ngx_chat_db_open(ngx_chat_db_conn_t *conn);

/* the connection is set up */
void ngx_chat_db_opened(ngx_chat_db_conn_t *conn);

/*
 * The server does not accept work: closes the connection, and either changes to
 * another server or backs off.
 */
void ngx_chat_db_unfit(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason);

void ngx_chat_db_idle(ngx_chat_db_conn_t *conn);
void ngx_chat_db_close(ngx_chat_db_conn_t *conn);

/* returns true if no connection must be opened now */
ngx_uint_t ngx_chat_db_backing_off(ngx_chat_db_t *db);

/*
 * The server of the connection has failed.  Returns NGX_OK if another one is in
 * use now.  "anyway" is described at ngx_chat_db_servers_failover().
 */
ngx_int_t ngx_chat_db_failover(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason, ngx_uint_t anyway);

/* called when db->servers.current has changed */
void ngx_chat_db_switched(ngx_chat_db_t *db);

/*
 * Changes to the server that the workers use, and closes idle connections to
 * others.
 */
void ngx_chat_db_switch(ngx_chat_db_t *db);

/* returns the name of a server for the log */
ngx_str_t *ngx_chat_db_server_name(ngx_chat_db_t *db, ngx_uint_t n);


/* Suspends replicas that lag.  Private to the database layer. */


/* the replica lacks data that the jobs of the packet need: ends the packet */
void ngx_chat_db_lags(ngx_chat_db_conn_t *conn);

/* a replica has run a packet */
void ngx_chat_db_caught_up(ngx_chat_db_t *db);


/*
 * Sends packets and handles the events of connections.  Private to the database
 * layer.
 */


/* connects to the current server */
void ngx_chat_db_connect(ngx_chat_db_conn_t *conn);

/* sends jobs of the queue on an idle connection, unless there is no memory */
void ngx_chat_db_packet_send(ngx_chat_db_conn_t *conn,
    ngx_chat_db_queue_t *queue);

/* handles an event of a connection; calls no handlers of jobs */
void ngx_chat_db_packet_event(ngx_chat_db_conn_t *conn,
    ngx_chat_db_event_e event);


#endif /* _NGX_CHAT_DB_QUEUE_H_INCLUDED_ */
