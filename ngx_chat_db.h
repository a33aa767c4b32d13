
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_H_INCLUDED_
#define _NGX_CHAT_DB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/db/ngx_chat_db_types.h"


/*
 * The database as an asynchronous service; each worker has one ngx_chat_db_t.
 * The interface resembles that of nginx's resolver.  The owner sets up a job
 * and submits it.  The job's handler is called exactly once, from the event
 * loop, never inside submit.  If the owner cancels the job, the handler is not
 * called.
 *
 * A job has a query type.  Waiting jobs of the same type are sent together: the
 * type builds one packet of one or more SQL statements for up to "batch" jobs,
 * and assigns the results to the jobs.  If the database rejects a packet of
 * several jobs, its halves are tried, and so on, so that an invalid job does
 * not affect the others.
 *
 * A job may hold a turn of its user.  The turn counts while the job waits.  It
 * does not count any more in a packet that takes several jobs, so that other
 * jobs of the user can fill that packet or wait for the next one.
 *
 * The connection owns the text and the results of the packet.  The owner of a
 * job owns the job; when a job is cancelled, its place in the packet is
 * cleared.
 */


/*
 * Called from init process.  No connection is opened before the first job.
 * "conf" must live as long as the cycle.
 *
 * "setup" is a packet that each new connection runs before its first job; it
 * checks the schema and may be NULL.  (Session variables are set by
 * ngx_chat_mysql.c.)  If its result() rejects the server and sets a reason,
 * jobs end with NGX_BUSY.  The connection is retried later, or another server
 * is used.  If result() returns NGX_AGAIN, the server can roll back a
 * transaction between two statements of a packet; statements of transactions
 * are then sent one by one.
 *
 * "choice" is shared by all workers, or NULL.  "types" ends with NULL and maps
 * query types to metrics.
 */
ngx_chat_db_t *ngx_chat_db_create(ngx_cycle_t *cycle, ngx_chat_db_conf_t *conf,
    ngx_chat_db_choice_t *choice, const ngx_chat_db_type_t *setup,
    const ngx_chat_db_type_t *const *types, ngx_chat_metrics_t *metrics);

/*
 * Returns NGX_OK if the job was accepted; its handler will be called.  Returns
 * NGX_BUSY if the queue is full or the database is down, or NGX_ERROR if there
 * is no memory; the handler is not called.
 */
ngx_int_t ngx_chat_db_submit(ngx_chat_db_t *db, ngx_chat_db_job_t *job);

/*
 * Ends a job that was not accepted with "rc".  Its handler will be called from
 * the event loop.
 */
void ngx_chat_db_reject(ngx_chat_db_t *db, ngx_chat_db_job_t *job,
    ngx_int_t rc);

/*
 * Cancels a job that was accepted or rejected and whose handler has not been
 * called.
 */
void ngx_chat_db_cancel(ngx_chat_db_job_t *job);

/*
 * Makes "db" the replicas of "primary", for query types that read.  A job that
 * no replica completes is passed to "primary", unless memory ran out.  Replicas
 * may use a part of the primary's time-out.
 */
void ngx_chat_db_replicas(ngx_chat_db_t *db, ngx_chat_db_t *primary,
    const ngx_chat_db_guard_t *guard);

/*
 * Tests again which jobs guard->ready() accepts.  If "ready" is 0, all waiting
 * jobs are passed to the primary.
 */
void ngx_chat_db_replica_wake(ngx_chat_db_t *db, ngx_uint_t ready);

/*
 * Returns NGX_OK if replicas can be queried.  Otherwise a connection is opened,
 * because no job waits for it.  Must be called from time to time.
 */
ngx_int_t ngx_chat_db_replica_ready(ngx_chat_db_t *db);

/*
 * Returns the fields of the next row as strings, or NULL after the last row.
 * The data of an SQL NULL is NULL.
 */
ngx_str_t *ngx_chat_db_fetch(ngx_chat_db_result_t *res);


#endif /* _NGX_CHAT_DB_H_INCLUDED_ */
