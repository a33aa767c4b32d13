
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_TYPES_H_INCLUDED_
#define _NGX_CHAT_DB_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_thread_pool.h>
#include "src/core/ngx_chat_metrics.h"
#include "src/core/ngx_chat_turn.h"


/*
 * The types that the database layer shares with its users: servers, the
 * configuration, query types, jobs, results.  ngx_chat_db.h describes how they
 * are used.
 */


/*
 * The server of "chat_db" that is in use.  It is the same for all workers,
 * because transactions in progress on another node of a cluster are invisible,
 * and "after=" would skip their messages.  Therefore the choice is in the zone,
 * and a worker that fails over switches all workers.
 */


typedef struct {
    ngx_str_t              name;              /* as configured */
    ngx_str_t              host;              /* address; empty: "socket" */
    ngx_str_t              socket;            /* path, null-terminated */
    in_port_t              port;
    uint32_t               key;               /* hash of the name, not 0 */
} ngx_chat_db_server_t;


/*
 * In the zone.  A server is identified by its key, since after a reload old
 * workers may use another list.
 */

typedef struct {
    ngx_atomic_t           current;           /* key; 0: none so far */
    ngx_atomic_t           answered;          /* time of its last response to
                                                 any worker, ngx_current_msec */
} ngx_chat_db_choice_t;


/* the servers as a worker sees them */

typedef struct {
    ngx_array_t           *list;              /* ngx_chat_db_server_t */
    ngx_chat_db_choice_t  *choice;
    ngx_uint_t             current;           /* index in the list */
    ngx_msec_t            *failed;            /* last failure of each server,
                                                 ngx_current_msec; 0: none */
} ngx_chat_db_servers_t;


/* "choice" may be NULL (no chat_zone): then each worker has its own */
ngx_int_t ngx_chat_db_servers_init(ngx_chat_db_servers_t *servers,
    ngx_pool_t *pool, ngx_array_t *list, ngx_chat_db_choice_t *choice);

/* returns NGX_OK if another worker has changed the server */
ngx_int_t ngx_chat_db_servers_switch(ngx_chat_db_servers_t *servers);

/*
 * Server "n" has failed.  It is replaced by the first server of the list that
 * has not failed recently.  Returns NGX_DECLINED if there is none.  With
 * "anyway", the server whose failure is the oldest is then current, but the
 * caller must pause before it connects.
 */
ngx_int_t ngx_chat_db_servers_failover(ngx_chat_db_servers_t *servers,
    ngx_uint_t n, ngx_uint_t anyway);

/* returns true if server "n" has not failed recently in this worker */
ngx_uint_t ngx_chat_db_servers_rested(ngx_chat_db_servers_t *servers,
    ngx_uint_t n);

/* records a response of server "n" */
void ngx_chat_db_servers_answered(ngx_chat_db_servers_t *servers,
    ngx_uint_t n);

/* returns true if server "n" has responded to any worker after "since" */
ngx_uint_t ngx_chat_db_servers_answering(ngx_chat_db_servers_t *servers,
    ngx_uint_t n, ngx_msec_t since);


/* more than any packet has */
#define NGX_CHAT_DB_STATEMENTS  128


/*
 * The text of a packet.  Values enter SQL only through
 * ngx_chat_query_builder.c, which writes here and records where statements end.
 * The buffer grows as needed.  "error" is set when memory runs out; it is
 * tested once, after build().
 */

typedef struct {
    u_char                *start;
    u_char                *pos;
    u_char                *end;
    ngx_uint_t             nends;
    uint32_t               ends[NGX_CHAT_DB_STATEMENTS]; /* offsets of the
                                                 semicolons of statements */
    ngx_uint_t             schema;            /* version of the tables; 0: the
                                                 current one */
    unsigned               error:1;
} ngx_chat_db_buf_t;


/* makes room for "size" bytes at buf->pos, or returns NGX_ERROR */
ngx_int_t ngx_chat_db_buf_reserve(ngx_chat_db_buf_t *buf, size_t size);


typedef struct ngx_chat_db_s         ngx_chat_db_t;
typedef struct ngx_chat_db_conn_s    ngx_chat_db_conn_t;
typedef struct ngx_chat_db_job_s     ngx_chat_db_job_t;
typedef struct ngx_chat_db_result_s  ngx_chat_db_result_t;


/* the "chat_db" directives; read-only after start */

typedef struct {
    ngx_array_t            servers;           /* ngx_chat_db_server_t, in order
                                                 of preference */
    ngx_str_t              user;              /* null-terminated, as are the
                                                 next two */
    ngx_str_t              password;
    ngx_str_t              database;

    /*
     * With "tls", unencrypted connections are rejected.  With "tls_ca", the
     * server certificate must be signed by this CA.  Its name is not verified,
     * because only an address is known at run time.  Without "tls_ca" the
     * connection is encrypted, but the server is not authenticated.
     */
    ngx_flag_t             tls;
    ngx_str_t              tls_ca;            /* file name; may be empty */
    ngx_thread_pool_t     *thread_pool;       /* runs blocking TLS handshakes */

    ngx_uint_t             connections;       /* per worker */
    ngx_uint_t             queue;             /* waiting jobs per worker */
    ngx_msec_t             timeout;           /* for waiting and running jobs,
                                                 ms */
    ngx_msec_t             connect_timeout;   /* ms */
} ngx_chat_db_conf_t;


/* a query type */

typedef struct {
    ngx_str_t              name;              /* as in logs and metrics */
    ngx_uint_t             batch;             /* maximum number of jobs in a
                                                 packet, at least 1 */
    ngx_uint_t             parallel;          /* packets in flight per worker;
                                                 0: one less than connections,
                                                 at least 1 */
    unsigned               transaction:1;     /* the packet is a transaction,
                                                 rolled back after errors */
    unsigned               replica:1;         /* replicas can run it */
    unsigned               visible:1;         /* its results show messages or
                                                 read marks to users */
    unsigned               declines:1;        /* requests expect NGX_DECLINED,
                                                 a rejected statement */

    /*
     * Returns the conversation whose lock the job may wait for: two user ids
     * of 32 bits.  Statements that may wait for it end after job->lock_wait.
     * NULL: the jobs wait for no lock.
     */
    uint64_t             (*key)(ngx_chat_db_job_t *job);

    /*
     * Returns the number of jobs of a packet that the job counts as, because
     * its result may be larger than that of others.  NULL: one.
     */
    ngx_uint_t           (*weight)(ngx_chat_db_job_t *job);

    /*
     * Writes the packet for jobs[0] .. jobs[n - 1], and resets the results of
     * an earlier attempt.  All jobs are of this type, none is NULL.
     */
    void                 (*build)(ngx_chat_db_buf_t *text,
                                  ngx_chat_db_job_t **jobs, ngx_uint_t n);

    /*
     * Called for the result of each statement, in order.  With several jobs,
     * jobs[i] is NULL if the job was cancelled; a single one is not NULL.
     * Data to be kept is copied to job->pool.  NGX_ERROR (no memory) fails the
     * jobs.  May be NULL.
     */
    ngx_int_t            (*result)(ngx_chat_db_result_t *res,
                                   ngx_chat_db_job_t **jobs, ngx_uint_t n);

    const void            *data;              /* for build() and result() */
} ngx_chat_db_type_t;


typedef void (*ngx_chat_db_handler_pt)(ngx_chat_db_job_t *job);


struct ngx_chat_db_job_s {
    /* set by the owner */
    const ngx_chat_db_type_t   *type;
    ngx_chat_db_handler_pt      handler;
    void                       *data;
    ngx_pool_t                 *pool;         /* outlives the job */
    ngx_uint_t                  min_position; /* that a replica must reach */

    ngx_chat_turn_t            *turn;         /* a taken turn, or NULL */

    /*
     * The outcome:
     *   NGX_OK        done; the type's result() has stored the results
     *   NGX_DECLINED  the database rejected this job; "errcode" is set
     *   NGX_BUSY      timed out, or the database is unavailable, or cannot
     *                 execute the statement now: respond with 503; a write may
     *                 or may not be stored
     *   NGX_ERROR     no memory
     */
    ngx_int_t                   rc;
    ngx_uint_t                  errcode;      /* error of the database */
    unsigned                    repeated:1;   /* an earlier attempt ended with
                                                 unknown outcome */
    unsigned                    replica:1;    /* done by a replica */
    ngx_uint_t                  time;         /* us, including waiting */

    /* for type->build() */
    ngx_msec_t                  lock_wait;    /* limit of a statement that may
                                                 wait for a lock, ms */
    unsigned                    suspect:1;    /* alone in its packet, because
                                                 its conversation may be
                                                 locked */

    /* private to the database layer */
    ngx_queue_t                 queue;        /* in a queue, or in db->done */
    ngx_queue_t                 order;        /* in db->jobs until done */
    ngx_chat_db_t              *db;
    ngx_chat_db_conn_t         *conn;         /* NULL while waiting */
    ngx_uint_t                  slot;         /* index in conn->jobs */
    ngx_uint_t                  conflicts;    /* conflicts so far */
    ngx_uint_t                  locks;        /* failed waits for locks */
    ngx_uint_t                  losses;       /* lost connections so far */
    ngx_uint_t                  limit;        /* jobs in its packet; 0: the
                                                 type's batch */
    ngx_msec_t                  deadline;     /* ngx_current_msec */
    ngx_msec_t                  priority;     /* the lowest is sent first */
    ngx_chat_metrics_query_t   *metrics;      /* metrics of the type */
    uint64_t                    start;        /* ngx_chat_metrics_now() */
    unsigned                    aside:1;      /* the turn was set aside */
    unsigned                    fallback:1;   /* to be passed to the primary */
    unsigned                    done:1;       /* in db->done */
};


#define NGX_CHAT_DB_REASON  160               /* bytes */


/* the result of a statement, valid during type->result() */

struct ngx_chat_db_result_s {
    ngx_uint_t             statement;         /* index in the packet */
    uint64_t               affected;          /* rows changed */
    uint64_t               insert_id;
    ngx_uint_t             nfields;           /* 0: no rows, as of INSERT */
    ngx_str_t             *fields;            /* fields of the latest row */
    ngx_uint_t             schema;            /* version of the tables; set by
                                                 setup */
    unsigned               outdated:1;        /* a newer version exists; set by
                                                 setup */
    u_char                 reason[NGX_CHAT_DB_REASON]; /* null-terminated; set
                                                 when setup rejects a server */
    void                  *data;              /* private to ngx_chat_mysql.c */
};


/*
 * The guard of a replica.  Its statement precedes each packet and asks the
 * replica whether it has the data that the jobs need.
 */

typedef struct {
    /* NGX_OK: the job can be sent; else it waits */
    ngx_int_t            (*ready)(ngx_chat_db_job_t *job, void *data);

    /*
     * Writes the statement with its semicolon.  Returns the time at which the
     * primary had that data, ngx_current_msec.
     */
    ngx_msec_t           (*build)(ngx_chat_db_buf_t *text,
                                  ngx_chat_db_job_t **jobs, ngx_uint_t n,
                                  void *data);

    /* NGX_DECLINED: the replica lacks some of that data */
    ngx_int_t            (*result)(ngx_chat_db_result_t *res);

    void                  *data;
} ngx_chat_db_guard_t;


#endif /* _NGX_CHAT_DB_TYPES_H_INCLUDED_ */
