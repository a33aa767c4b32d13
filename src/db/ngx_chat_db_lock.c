
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/db/ngx_chat_db_queue.h"


/*
 * A row that another transaction has locked delays the jobs of its conversation
 * and no others.  A query type whose statements may wait for such a row names
 * the conversation of a job, its key.  The jobs of the type wait in up to three
 * queues:
 *
 *   BATCH --the packet met a lock--> ALONE --and so did this job--> HELD
 *     ^                                |                              |
 *     +----- not the locked one -------+------ lock is released ------+
 *
 * A packet waits for a lock for 0.2 seconds at most.  The error does not name
 * the job that waited, so each job of the packet continues alone, with a much
 * lower limit.  A job that meets the lock again is held: it is retried until
 * its deadline.  All held jobs of a type share one connection.
 *
 * All jobs of a key, including later ones, are in one queue, in order of
 * arrival.  One of them is sent at a time.  When one is done, the others return
 * to the BATCH queue.  So the queue drains even if jobs keep arriving.
 *
 * A slow server must not be mistaken for a lock, since batches would turn into
 * single packets when these cost most.  Therefore a single job takes its locks
 * first, in statements that do nothing else, and only these are limited.  If no
 * job of a packet turns out to be held, the limit of later packets is raised.
 *
 * A conversation that was held recently is not sent in a batch.  The same
 * applies to other conversations of a user with several such conversations,
 * because the row of that user may be locked.
 */


#define NGX_CHAT_DB_LOCK_WAIT      200    /* limit of a packet, ms; at most an
                                             eighth of the time-out of a job */
#define NGX_CHAT_DB_LOCK_PATIENCE  2      /* maximum number of doublings */
#define NGX_CHAT_DB_LOCK_EASE      1000   /* time between doublings, ms */
#define NGX_CHAT_DB_LOCK_KNOWN     10000  /* lifetime of a known key, ms */

/* ER_LOCK_WAIT_TIMEOUT */
#define NGX_CHAT_DB_LOCK_ERROR     1205

/* ER_STATEMENT_TIMEOUT of MariaDB, ER_QUERY_TIMEOUT of MySQL */
#define NGX_CHAT_DB_LOCK_STOPPED   1969
#define NGX_CHAT_DB_LOCK_STOPPED2  3024


static ngx_chat_db_queue_t *ngx_chat_db_lock_queue(ngx_chat_db_queue_t *batch,
    uint64_t key);
static ngx_uint_t ngx_chat_db_lock_has(ngx_chat_db_queue_t *queue,
    uint64_t key);
static ngx_uint_t ngx_chat_db_lock_running(ngx_chat_db_queue_t *queue,
    ngx_uint_t any, uint64_t key);
static ngx_uint_t ngx_chat_db_lock_in_packet(ngx_chat_db_conn_t *conn,
    uint64_t key);
static ngx_msec_t ngx_chat_db_lock_limit(ngx_chat_db_queue_t *queue,
    ngx_chat_db_job_t *job);
static ngx_uint_t ngx_chat_db_lock_others(ngx_chat_db_queue_t *queue,
    uint64_t key);
static void ngx_chat_db_lock_append(ngx_chat_db_queue_t *queue,
    ngx_chat_db_job_t *job);
static void ngx_chat_db_lock_follow(ngx_chat_db_conn_t *conn,
    ngx_chat_db_queue_t *queue, ngx_queue_t *last);
static void ngx_chat_db_lock_ease(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_lock_judge(ngx_chat_db_queue_t *queue,
    ngx_chat_db_queue_t *batch);

static void ngx_chat_db_lock_remember(ngx_chat_db_t *db,
    const ngx_chat_db_type_t *type, uint64_t key);
static void ngx_chat_db_lock_forget(ngx_chat_db_t *db,
    const ngx_chat_db_type_t *type, uint64_t key);
static ngx_uint_t ngx_chat_db_lock_any_known(ngx_chat_db_t *db);
static ngx_uint_t ngx_chat_db_lock_known(ngx_chat_db_t *db,
    const ngx_chat_db_type_t *type, uint64_t key);
static ngx_uint_t ngx_chat_db_lock_shares(uint64_t key, uint32_t user);


void
ngx_chat_db_lock_enter(ngx_chat_db_queue_t *batch, ngx_chat_db_job_t *job)
{
    ngx_chat_db_queue_t  *queue;

    queue = batch;

    if (batch->db->locks && batch->type->key != NULL) {
        queue = ngx_chat_db_lock_queue(batch, batch->type->key(job));
    }

    ngx_chat_db_lock_append(queue, job);
}


/*
 * Returns the queue of a new job of the key: the one that has such jobs, or
 * ALONE if the key is known to be locked.
 */

static ngx_chat_db_queue_t *
ngx_chat_db_lock_queue(ngx_chat_db_queue_t *batch, uint64_t key)
{
    ngx_uint_t            busy;
    ngx_queue_t          *q;
    ngx_chat_db_t        *db;
    ngx_chat_db_queue_t  *queue;

    db = batch->db;
    busy = 0;

    for (q = ngx_queue_head(&db->queues);
         q != ngx_queue_sentinel(&db->queues);
         q = ngx_queue_next(q))
    {
        queue = ngx_queue_data(q, ngx_chat_db_queue_t, link);

        if (queue->kind == NGX_CHAT_DB_BATCH) {
            continue;
        }

        busy |= (queue->running || !ngx_queue_empty(&queue->jobs));

        if (queue->type == batch->type
            && (ngx_chat_db_lock_has(queue, key)
                || ngx_chat_db_lock_running(queue, 0, key)))
        {
            return queue;
        }
    }

    if (!busy && !ngx_chat_db_lock_any_known(db)) {
        db->locks = 0;
        return batch;
    }

    if (batch->type->batch == 1
        || !ngx_chat_db_lock_known(db, batch->type, key)
        || ngx_chat_db_lock_has(batch, key))
    {
        return batch;
    }

    queue = ngx_chat_db_queue(db, batch->type, NGX_CHAT_DB_ALONE);

    return (queue != NULL) ? queue : batch;
}


static ngx_uint_t
ngx_chat_db_lock_has(ngx_chat_db_queue_t *queue, uint64_t key)
{
    ngx_queue_t        *q;
    ngx_chat_db_job_t  *job;

    for (q = ngx_queue_head(&queue->jobs);
         q != ngx_queue_sentinel(&queue->jobs);
         q = ngx_queue_next(q))
    {
        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (queue->type->key(job) == key) {
            return 1;
        }
    }

    return 0;
}


/* tests if a job of the key is in flight, of this or "any" queue of the type */

static ngx_uint_t
ngx_chat_db_lock_running(ngx_chat_db_queue_t *queue, ngx_uint_t any,
    uint64_t key)
{
    ngx_uint_t           i;
    ngx_chat_db_t       *db;
    ngx_chat_db_conn_t  *conn;

    db = queue->db;

    for (i = 0; i < db->conf->connections; i++) {
        conn = &db->conns[i];

        if (conn->queue != NULL
            && (conn->queue == queue
                || (any && conn->queue->type == queue->type))
            && ngx_chat_db_lock_in_packet(conn, key))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_chat_db_lock_in_packet(ngx_chat_db_conn_t *conn, uint64_t key)
{
    ngx_uint_t          i;
    ngx_chat_db_job_t  *job;

    if (conn->key == key) {
        return 1;
    }

    for (i = 0; i < conn->njobs; i++) {
        job = conn->jobs[i];

        if (job != NULL && job->type->key(job) == key) {
            return 1;
        }
    }

    return 0;
}


ngx_chat_db_job_t *
ngx_chat_db_lock_first(ngx_chat_db_queue_t *queue)
{
    ngx_queue_t        *q;
    ngx_chat_db_job_t  *job;

    for (q = ngx_queue_head(&queue->jobs);
         q != ngx_queue_sentinel(&queue->jobs);
         q = ngx_queue_next(q))
    {
        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (queue->type->key == NULL
            || (queue->kind == NGX_CHAT_DB_BATCH && queue->type->batch > 1)
            || !ngx_chat_db_lock_running(queue, 1, queue->type->key(job)))
        {
            return job;
        }
    }

    return NULL;
}


void
ngx_chat_db_lock_prepare(ngx_chat_db_conn_t *conn)
{
    ngx_uint_t            i;
    ngx_msec_t            limit;
    ngx_chat_db_queue_t  *queue;

    queue = conn->queue;

    conn->key = 0;
    conn->start = ngx_current_msec;

    if (queue->type->key == NULL) {
        return;
    }

    if (conn->njobs == 1) {
        conn->key = queue->type->key(conn->jobs[0]);
    }

    limit = ngx_chat_db_lock_limit(queue, conn->jobs[0]);

    for (i = 0; i < conn->njobs; i++) {
        conn->jobs[i]->lock_wait = limit;
        conn->jobs[i]->suspect = (queue->kind != NGX_CHAT_DB_BATCH);
    }
}


/*
 * A held job waits longer with each attempt, because each attempt loses its
 * place in the server's own queue.  The more conversations are held, the lower
 * the limit, so that each of them is tried often.
 */

static ngx_msec_t
ngx_chat_db_lock_limit(ngx_chat_db_queue_t *queue, ngx_chat_db_job_t *job)
{
    ngx_msec_t  wait, least, limit;

    wait = ngx_min(queue->db->conf->timeout / 8, NGX_CHAT_DB_LOCK_WAIT);
    wait = ngx_max(wait, 1);
    least = ngx_max(wait / 8, 1);

    switch (queue->kind) {

    case NGX_CHAT_DB_BATCH:
        return wait << queue->patience;

    case NGX_CHAT_DB_ALONE:
        return least;

    default: /* NGX_CHAT_DB_HELD */
        limit = 4 * wait / (1 + ngx_chat_db_lock_others(queue,
                                                        queue->type->key(job)));
        limit = ngx_min(limit, wait << ngx_min(job->locks, 2));

        return ngx_max(limit, least);
    }
}


/* returns about how many other keys wait in the queue */

static ngx_uint_t
ngx_chat_db_lock_others(ngx_chat_db_queue_t *queue, uint64_t key)
{
    uint64_t            before;
    ngx_uint_t          n;
    ngx_queue_t        *q;
    ngx_chat_db_job_t  *job;

    n = 0;
    before = key;

    /* jobs of the same key are usually adjacent */

    for (q = ngx_queue_head(&queue->jobs);
         q != ngx_queue_sentinel(&queue->jobs);
         q = ngx_queue_next(q))
    {
        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (queue->type->key(job) != key && queue->type->key(job) != before) {
            before = queue->type->key(job);
            n++;
        }
    }

    return n;
}


const ngx_chat_db_error_t *
ngx_chat_db_lock_error(ngx_chat_db_conn_t *conn, ngx_uint_t code)
{
    if (conn->queue != NULL
        && conn->type->key != NULL
        && (code == NGX_CHAT_DB_LOCK_STOPPED
            || code == NGX_CHAT_DB_LOCK_STOPPED2))
    {
        code = NGX_CHAT_DB_LOCK_ERROR;
    }

    return ngx_chat_db_error(code);
}


void
ngx_chat_db_lock_met(ngx_chat_db_conn_t *conn)
{
    ngx_uint_t            i, several, together;
    ngx_queue_t          *last;
    ngx_chat_db_t        *db;
    ngx_chat_db_job_t    *job;
    ngx_chat_db_queue_t  *queue, *batch;

    db = conn->db;
    queue = conn->queue;
    together = (conn->njobs > 1);

    if (queue->type->key != NULL || together) {
        queue = ngx_chat_db_queue(db, queue->type,
                                  together ? NGX_CHAT_DB_ALONE
                                           : NGX_CHAT_DB_HELD);
    }

    batch = ngx_chat_db_queue(db, conn->queue->type, NGX_CHAT_DB_BATCH);

    if (queue == NULL || batch == NULL) {
        ngx_chat_db_finish(conn, NGX_ERROR, 0);
        return;
    }

    db->locks = 1;
    batch->suspected = together;

    if (conn->key) {
        ngx_chat_db_lock_remember(db, queue->type, conn->key);
    }

    /* a node may roll back a transaction that another node has stored */

    several = (db->conf->servers.nelts > 1 || conn->stepwise);
    last = ngx_queue_last(&conn->queue->jobs);

    for (i = 0; i < conn->njobs; i++) {
        job = conn->jobs[i];

        if (job == NULL) {
            continue;
        }

        job->conn = NULL;
        job->locks++;
        job->repeated |= several;
        job->priority = ngx_current_msec + db->timeout;

        ngx_chat_db_lock_append(queue, job);
        db->waiting++;

        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_DB_RETRIED);
    }

    if (queue->type->key != NULL) {
        ngx_chat_db_lock_follow(conn, queue, last);
    }

    ngx_chat_db_packet_done(conn);
}


static void
ngx_chat_db_lock_append(ngx_chat_db_queue_t *queue, ngx_chat_db_job_t *job)
{
    ngx_queue_insert_tail(&queue->jobs, &job->queue);

    if (queue->kind == NGX_CHAT_DB_HELD && !job->aside) {
        job->aside = 1;

        if (job->turn != NULL) {
            ngx_chat_turn_aside(job->turn);
        }
    }
}


/*
 * Moves the jobs up to "last" that waited behind the packet and have one of its
 * keys, so that they stay behind it.
 */

static void
ngx_chat_db_lock_follow(ngx_chat_db_conn_t *conn, ngx_chat_db_queue_t *queue,
    ngx_queue_t *last)
{
    ngx_uint_t          end;
    ngx_queue_t        *q, *next;
    ngx_chat_db_job_t  *job;

    end = (last == ngx_queue_sentinel(&conn->queue->jobs));

    for (q = ngx_queue_head(&conn->queue->jobs); !end; q = next) {
        next = ngx_queue_next(q);
        end = (q == last);

        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (ngx_chat_db_lock_in_packet(conn, job->type->key(job))) {
            ngx_queue_remove(q);
            ngx_chat_db_lock_append(queue, job);
        }
    }
}


void
ngx_chat_db_lock_passed(ngx_chat_db_conn_t *conn)
{
    ngx_queue_t          *q, *previous;
    ngx_chat_db_job_t    *job;
    ngx_chat_db_queue_t  *queue, *batch;

    queue = conn->queue;

    if (queue == NULL) {
        return;
    }

    if (queue->kind == NGX_CHAT_DB_BATCH) {
        ngx_chat_db_lock_ease(conn);
        return;
    }

    if (queue->type->key == NULL) {
        return;
    }

    batch = ngx_chat_db_queue(conn->db, queue->type, NGX_CHAT_DB_BATCH);

    if (batch == NULL) {
        return;
    }

    ngx_chat_db_lock_forget(conn->db, queue->type, conn->key);

    /* the jobs behind it return to the BATCH queue, in their order */

    for (q = ngx_queue_last(&queue->jobs);
         q != ngx_queue_sentinel(&queue->jobs);
         q = previous)
    {
        previous = ngx_queue_prev(q);
        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (queue->type->key(job) == conn->key) {
            ngx_queue_remove(q);
            ngx_queue_insert_head(&batch->jobs, q);
        }
    }

    ngx_chat_db_lock_judge(queue, batch);
}


/* lowers the limit again after a fast packet */

static void
ngx_chat_db_lock_ease(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_queue_t  *queue;

    queue = conn->queue;

    if (queue->patience
        && ngx_current_msec - conn->start < NGX_CHAT_DB_LOCK_WAIT / 4
        && ngx_current_msec - queue->eased >= NGX_CHAT_DB_LOCK_EASE)
    {
        queue->patience--;
        queue->eased = ngx_current_msec;
    }
}


/* raises the limit if all jobs went on alone and none was held */

static void
ngx_chat_db_lock_judge(ngx_chat_db_queue_t *queue, ngx_chat_db_queue_t *batch)
{
    if (!batch->suspected
        || queue->kind != NGX_CHAT_DB_ALONE
        || queue->running > 1
        || !ngx_queue_empty(&queue->jobs))
    {
        return;
    }

    batch->suspected = 0;

    if (batch->patience < NGX_CHAT_DB_LOCK_PATIENCE) {
        batch->patience++;
        batch->eased = ngx_current_msec;
    }
}


static void
ngx_chat_db_lock_remember(ngx_chat_db_t *db, const ngx_chat_db_type_t *type,
    uint64_t key)
{
    ngx_chat_db_locked_t  *locked;

    ngx_chat_db_lock_forget(db, type, key);

    locked = &db->locked[db->nlocked++ % NGX_CHAT_DB_LOCKED_KEYS];

    locked->type = type;
    locked->key = key;
    locked->seen = ngx_current_msec;
}


static void
ngx_chat_db_lock_forget(ngx_chat_db_t *db, const ngx_chat_db_type_t *type,
    uint64_t key)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CHAT_DB_LOCKED_KEYS; i++) {
        if (db->locked[i].type == type && db->locked[i].key == key) {
            db->locked[i].type = NULL;
        }
    }
}


static ngx_uint_t
ngx_chat_db_lock_any_known(ngx_chat_db_t *db)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CHAT_DB_LOCKED_KEYS; i++) {
        if (db->locked[i].type != NULL
            && ngx_current_msec - db->locked[i].seen < NGX_CHAT_DB_LOCK_KNOWN)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_chat_db_lock_known(ngx_chat_db_t *db, const ngx_chat_db_type_t *type,
    uint64_t key)
{
    ngx_uint_t             i, lo, hi;
    ngx_chat_db_locked_t  *locked;

    lo = 0;
    hi = 0;

    for (i = 0; i < ngx_min(db->nlocked, NGX_CHAT_DB_LOCKED_KEYS); i++) {
        locked = &db->locked[i];

        if (locked->type != type
            || ngx_current_msec - locked->seen >= NGX_CHAT_DB_LOCK_KNOWN)
        {
            continue;
        }

        if (locked->key == key) {
            return 1;
        }

        lo += ngx_chat_db_lock_shares(locked->key, (uint32_t) (key >> 32));
        hi += ngx_chat_db_lock_shares(locked->key, (uint32_t) key);
    }

    return lo > 1 || hi > 1;
}


static ngx_uint_t
ngx_chat_db_lock_shares(uint64_t key, uint32_t user)
{
    return (uint32_t) (key >> 32) == user || (uint32_t) key == user;
}
