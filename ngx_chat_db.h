
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_H_INCLUDED_
#define _NGX_CHAT_DB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_thread_pool.h>
#include "ngx_chat_db_server.h"
#include "ngx_chat_metrics.h"


/*
 * The database as an asynchronous service, one ngx_chat_db_t a worker.  It is
 * used like nginx's resolver: fill in a job, submit it; its handler is called
 * exactly once, from the event loop and never from inside submit; or the owner
 * cancels it, and the handler is not called at all.
 *
 * A job belongs to a class.  Jobs of one class that wait together go out
 * together: the class builds one packet (one or more SQL statements) for up to
 * "batch" of them, and reads the results back into them.  When a packet for
 * several jobs is refused by the database, its halves are tried, and so on, so
 * that one bad job harms nobody else's.
 *
 * The packet's bytes and results belong to the connection.  A job belongs to
 * its owner; a cancelled one only loses its place in the packet.
 */


typedef struct ngx_chat_db_s         ngx_chat_db_t;
typedef struct ngx_chat_db_conn_s    ngx_chat_db_conn_t;
typedef struct ngx_chat_db_job_s     ngx_chat_db_job_t;
typedef struct ngx_chat_db_result_s  ngx_chat_db_result_t;


/* what "chat_db" and its companions say; read-only after start-up */

typedef struct {
    ngx_array_t            servers;           /* ngx_chat_db_server_t, in the
                                                 order of preference */
    ngx_str_t              user;              /* these are null-terminated */
    ngx_str_t              password;
    ngx_str_t              database;

    /*
     * tls refuses a plain connection.  With tls_ca the server's certificate
     * must come from there (its name is not compared: at run time there is an
     * address only); without, the connection is encrypted and no more.
     */
    ngx_flag_t             tls;
    ngx_str_t              tls_ca;            /* file, may be empty */
    ngx_thread_pool_t     *thread_pool;       /* where a TLS handshake that
                                                 blocks takes place */

    ngx_uint_t             connections;       /* per worker */
    ngx_uint_t             queue;             /* jobs waiting per worker */
    ngx_msec_t             timeout;           /* a job's, waiting and running */
    ngx_msec_t             connect_timeout;
} ngx_chat_db_conf_t;


/*
 * The text of a packet.  Values enter SQL only through ngx_chat_sql.c, which
 * writes here.  Grows as needed; "error" is set when memory ran out, and
 * looked at once by the database layer, after build().
 */

typedef struct {
    u_char                *start;
    u_char                *pos;
    u_char                *end;
    unsigned               error:1;
} ngx_chat_db_text_t;


/* makes room for "size" bytes at text->pos, or returns NGX_ERROR */
ngx_int_t ngx_chat_db_text_reserve(ngx_chat_db_text_t *text, size_t size);


typedef struct {
    ngx_str_t              name;              /* "message.send": logs, status */
    ngx_uint_t             batch;             /* jobs in a packet, at least 1 */
    ngx_uint_t             parallel;          /* packets in flight per worker,
                                                 0: as many as connections but
                                                 one, at least 1 */
    unsigned               transaction:1;     /* the packet opens one, which
                                                 an error must roll back */
    unsigned               replica:1;         /* a replica can do it */
    unsigned               news:1;            /* people learn of messages and
                                                 read marks by it */

    /*
     * Writes the packet for jobs[0] .. jobs[n - 1], all of this class, none
     * NULL, and clears what an earlier try left in them.
     */
    void                 (*build)(ngx_chat_db_text_t *text,
                                  ngx_chat_db_job_t **jobs, ngx_uint_t n);

    /*
     * Called after each statement of the packet, in order; jobs[i] is NULL
     * where the owner has cancelled.  What is kept of a result is copied into
     * job->pool.  NGX_ERROR (no memory) fails the jobs.  May be NULL.
     */
    ngx_int_t            (*result)(ngx_chat_db_result_t *res,
                                   ngx_chat_db_job_t **jobs, ngx_uint_t n);
} ngx_chat_db_class_t;


typedef void (*ngx_chat_db_handler_pt)(ngx_chat_db_job_t *job);


struct ngx_chat_db_job_s {
    /* filled in by the owner */
    const ngx_chat_db_class_t  *class;
    ngx_chat_db_handler_pt      handler;
    void                       *data;
    ngx_pool_t                 *pool;         /* outlives the job */
    ngx_uint_t                  need;         /* for replicas: their guard's */

    /*
     * The outcome:
     *   NGX_OK        done; the results are in the class's own members
     *   NGX_DECLINED  the database refused this job alone; errcode says why
     *   NGX_BUSY      not done within the time-out, or the database is out
     *                 of reach or cannot do this now: answer 503; a write may
     *                 or may not be stored
     *   NGX_ERROR     no memory
     */
    ngx_int_t                   rc;
    ngx_uint_t                  errcode;      /* the database's error number */
    unsigned                    repeated:1;   /* an earlier try ended with
                                                 unknown outcome */
    unsigned                    replica:1;    /* a replica has done it */
    ngx_uint_t                  time;         /* microseconds it took, waiting
                                                 included */

    /* private to ngx_chat_db.c */
    ngx_queue_t                 queue;        /* waiting, or done */
    ngx_queue_t                 order;        /* of deadlines, until done */
    ngx_chat_db_t              *db;
    ngx_chat_db_conn_t         *conn;         /* NULL while it waits */
    ngx_uint_t                  slot;         /* in conn's packet */
    ngx_uint_t                  conflicts;    /* so far */
    ngx_uint_t                  losses;       /* of its connection */
    ngx_uint_t                  limit;        /* of its packet; 0: the batch */
    ngx_msec_t                  deadline;
    ngx_msec_t                  turn;         /* the least of those that wait
                                                 is next */
    ngx_chat_metrics_query_t   *metrics;      /* of its class */
    uint64_t                    start;        /* ngx_chat_metrics_now() */
    unsigned                    done:1;       /* handler about to be called */
};


#define NGX_CHAT_DB_REASON  160


/* one statement's result, while class->result() runs */

struct ngx_chat_db_result_s {
    ngx_uint_t             statement;         /* in the packet, from 0 */
    uint64_t               affected;          /* rows changed */
    uint64_t               insert_id;
    ngx_uint_t             nfields;           /* 0: no rows, as for INSERT */
    ngx_str_t             *fields;            /* of the row fetched last */
    u_char                 reason[NGX_CHAT_DB_REASON]; /* null-terminated: why
                                                 setup refuses it */
    void                  *data;              /* private to ngx_chat_mysql.c */
};


/*
 * Called from init process.  Never connects: the first job does.  "conf" must
 * live as long as the cycle.  "setup" is a packet run on each new connection
 * before its first job (session variables are ngx_chat_mysql.c's business;
 * this is for the schema check); a result it refuses, with a reason, marks the
 * server unfit: jobs get NGX_BUSY, and the connection is tried again later, or
 * another server is, of several.  NGX_AGAIN says that it can take a
 * transaction back between two statements of a packet, so that they have to be
 * sent one by one.  May be NULL.  "choice" is the workers' common one, or NULL.
 * "classes", which ends with NULL, says where each is measured.
 */
ngx_chat_db_t *ngx_chat_db_create(ngx_cycle_t *cycle, ngx_chat_db_conf_t *conf,
    ngx_chat_db_choice_t *choice, const ngx_chat_db_class_t *setup,
    const ngx_chat_db_class_t *const *classes, ngx_chat_metrics_t *metrics);

/*
 * NGX_OK: accepted, the handler will be called.  NGX_BUSY: the queue is full
 * or the database is known to be down just now; NGX_ERROR: no memory; in both
 * the handler is not called.
 */
ngx_int_t ngx_chat_db_submit(ngx_chat_db_t *db, ngx_chat_db_job_t *job);

/* job must have been accepted and its handler not been called yet */
void ngx_chat_db_cancel(ngx_chat_db_job_t *job);

/*
 * The servers of "db" are replicas of those of "primary", for classes that
 * read.  What they do not do, for any reason but memory, "primary" does, within
 * its time-out, of which replicas get a part.
 *
 * In front of each packet goes what guard->build() writes, a statement with its
 * semicolon that asks the replica whether it has what the jobs need, and
 * guard->result() judges the answer.  NGX_DECLINED: it lacks something that the
 * primary had at the time that build() has returned (ngx_current_msec).
 *
 * Until guard->ready() says NGX_OK a job waits, as long as replicas may take.
 */

typedef struct {
    ngx_int_t            (*ready)(ngx_chat_db_job_t *job, void *data);
    ngx_msec_t           (*build)(ngx_chat_db_text_t *text,
                                  ngx_chat_db_job_t **jobs, ngx_uint_t n,
                                  void *data);
    ngx_int_t            (*result)(ngx_chat_db_result_t *res);
    void                  *data;
} ngx_chat_db_guard_t;

void ngx_chat_db_replicas(ngx_chat_db_t *db, ngx_chat_db_t *primary,
    const ngx_chat_db_guard_t *guard);

/* look again who is ready; or else those that wait are for "primary" */
void ngx_chat_db_replica_wake(ngx_chat_db_t *db, ngx_uint_t ready);

/*
 * NGX_OK: replicas can be asked; else a connection is opened, for no job waits
 * for the first one.  To be called now and then.
 */
ngx_int_t ngx_chat_db_replica_ready(ngx_chat_db_t *db);

/* the next row, its fields as strings (data NULL for SQL's NULL), or NULL */
ngx_str_t *ngx_chat_db_fetch(ngx_chat_db_result_t *res);


#endif /* _NGX_CHAT_DB_H_INCLUDED_ */
