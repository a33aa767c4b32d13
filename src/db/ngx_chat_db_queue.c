
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_db_queue.h"


/*
 * The states of a job:
 *
 *   waiting in a queue -> in the packet of a connection -> done
 *          ^                           |
 *          +-------- retried <---------+
 */


/* number of lost connections after which a job ends */
#define NGX_CHAT_DB_LOSSES  3


static ngx_chat_metrics_query_t *ngx_chat_db_metrics(ngx_chat_db_t *db,
    const ngx_chat_db_type_t *type);
static void ngx_chat_db_pause_handler(ngx_event_t *ev);
static ngx_int_t ngx_chat_db_retry_job(ngx_chat_db_conn_t *conn,
    ngx_chat_db_job_t *job, ngx_chat_db_action_e action);


ngx_chat_db_queue_t *
ngx_chat_db_queue(ngx_chat_db_t *db, const ngx_chat_db_type_t *type,
    ngx_chat_db_queue_e kind)
{
    ngx_queue_t          *q;
    ngx_chat_db_queue_t  *queue;

    for (q = ngx_queue_head(&db->queues);
         q != ngx_queue_sentinel(&db->queues);
         q = ngx_queue_next(q))
    {
        queue = ngx_queue_data(q, ngx_chat_db_queue_t, link);

        if (queue->type == type && queue->kind == kind) {
            return queue;
        }
    }

    queue = ngx_pcalloc(db->pool, sizeof(ngx_chat_db_queue_t));
    if (queue == NULL) {
        return NULL;
    }

    queue->db = db;
    queue->ident = (ngx_socket_t) -1;
    queue->type = type;
    queue->kind = kind;
    queue->metrics = ngx_chat_db_metrics(db, type);
    ngx_queue_init(&queue->jobs);

    queue->lockable = (kind != NGX_CHAT_DB_BATCH
                       || (type->key != NULL && type->parallel == 0));

    queue->pause.handler = ngx_chat_db_pause_handler;
    queue->pause.data = queue;
    queue->pause.log = db->log;
    queue->pause.cancelable = 1;

    ngx_queue_insert_tail(&db->queues, &queue->link);

    return queue;
}


static ngx_chat_metrics_query_t *
ngx_chat_db_metrics(ngx_chat_db_t *db, const ngx_chat_db_type_t *type)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CHAT_METRICS_QUERIES - 1 && db->types[i]; i++) {
        if (db->types[i] == type) {
            break;
        }
    }

    return &db->metrics->totals->queries[i];
}


static void
ngx_chat_db_pause_handler(ngx_event_t *ev)
{
    ngx_chat_db_queue_t  *queue = ev->data;

    ngx_post_event(&queue->db->posted, &ngx_posted_events);
}


ngx_uint_t
ngx_chat_db_weight(ngx_chat_db_job_t *job)
{
    return (job->type->weight != NULL) ? job->type->weight(job) : 1;
}


void
ngx_chat_db_take_out(ngx_chat_db_job_t *job)
{
    ngx_chat_db_t  *db;

    db = job->db;

    if (job->conn != NULL) {
        job->conn->jobs[job->slot] = NULL;
        job->conn = NULL;

    } else {
        ngx_queue_remove(&job->queue);
        db->waiting--;
    }

    ngx_queue_remove(&job->order);

    if (ngx_queue_empty(&db->jobs) && db->timer.timer_set) {
        ngx_del_timer(&db->timer);
    }
}


void
ngx_chat_db_done(ngx_chat_db_job_t *job, ngx_int_t rc)
{
    ngx_chat_db_t  *db;

    db = job->db;

    ngx_chat_db_take_out(job);

    job->rc = rc;
    job->done = 1;

    ngx_queue_insert_tail(&db->done, &job->queue);

    if (db->primary != NULL) {

        if (rc == NGX_BUSY || rc == NGX_DECLINED) {
            job->fallback = 1;
            ngx_chat_db_count_fallback(db);
            return;
        }

        job->replica = 1;
    }

    ngx_chat_db_count(db, db->role->done);

    job->time = ngx_chat_metrics_now() - job->start;
    ngx_chat_metrics_time(&job->metrics->time, job->time);

    if (rc == NGX_BUSY) {
        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_DB_GIVEN_UP);
    }
}


void
ngx_chat_db_refuse_waiting(ngx_chat_db_t *db)
{
    ngx_queue_t          *q;
    ngx_chat_db_job_t    *job;
    ngx_chat_db_queue_t  *queue;

    for (q = ngx_queue_head(&db->queues);
         q != ngx_queue_sentinel(&db->queues);
         q = ngx_queue_next(q))
    {
        queue = ngx_queue_data(q, ngx_chat_db_queue_t, link);

        while (!ngx_queue_empty(&queue->jobs)) {
            job = ngx_queue_data(ngx_queue_head(&queue->jobs),
                                 ngx_chat_db_job_t, queue);

            ngx_chat_db_done(job, NGX_BUSY);
        }
    }
}


void
ngx_chat_db_finish(ngx_chat_db_conn_t *conn, ngx_int_t rc, ngx_uint_t errcode)
{
    ngx_uint_t          i;
    ngx_chat_db_job_t  *job;

    for (i = 0; i < conn->njobs; i++) {
        job = conn->jobs[i];

        if (job != NULL) {
            job->errcode = errcode;
            ngx_chat_db_done(job, rc);
        }
    }

    ngx_chat_db_packet_done(conn);
}


/* the jobs return to the head of their queue, in their order */

void
ngx_chat_db_retry(ngx_chat_db_conn_t *conn, ngx_chat_db_action_e action)
{
    ngx_uint_t            i, conflicts;
    ngx_queue_t          *q;
    ngx_chat_db_job_t    *job;
    ngx_chat_db_queue_t  *queue;

    if (conn->db->primary != NULL) {
        ngx_chat_db_finish(conn, NGX_BUSY, 0);
        return;
    }

    queue = conn->queue;

    if (queue == NULL) {
        /* a rollback */
        return;
    }

    q = ngx_queue_sentinel(&queue->jobs);
    conflicts = 0;

    for (i = conn->njobs; i-- > 0; /* void */ ) {
        job = conn->jobs[i];

        if (job == NULL || ngx_chat_db_retry_job(conn, job, action) != NGX_OK) {
            continue;
        }

        conflicts = job->conflicts;

        job->conn = NULL;
        ngx_queue_insert_after(q, &job->queue);

        conn->db->waiting++;

        ngx_chat_metrics_count(conn->db->metrics, NGX_CHAT_COUNT_DB_RETRIED);
    }

    if (action == NGX_CHAT_DB_CONFLICT && conflicts) {
        /* up to 20 ms, then 40, 80, 160, 320 */
        ngx_add_timer(&queue->pause,
                      1 + ngx_random() % (10 << ngx_min(conflicts, 5)));
    }

    ngx_chat_db_packet_done(conn);
}


/* prepares a job for another attempt; NGX_DONE: it has ended instead */

static ngx_int_t
ngx_chat_db_retry_job(ngx_chat_db_conn_t *conn, ngx_chat_db_job_t *job,
    ngx_chat_db_action_e action)
{
    ngx_uint_t  several;

    /* a node may roll back a transaction that another node has stored */

    several = (conn->conf->servers.nelts > 1 || conn->stepwise);

    switch (action) {

    case NGX_CHAT_DB_REFUSED:
    case NGX_CHAT_DB_SHORT:
        /* one half does not contain the job that caused the error */
        job->limit = (conn->njobs + 1) / 2;
        break;

    case NGX_CHAT_DB_CONFLICT:
        job->conflicts++;
        job->repeated |= several;
        break;

    case NGX_CHAT_DB_LOST:
        job->repeated = 1;

        if (++job->losses == NGX_CHAT_DB_LOSSES) {
            ngx_chat_db_done(job, NGX_BUSY);
            return NGX_DONE;
        }

        /* a job that causes the loss must not affect the others */
        job->limit = 1;
        break;

    default: /* NGX_CHAT_DB_UNFIT */
        job->repeated |= several;
        break;
    }

    return NGX_OK;
}


void
ngx_chat_db_packet_done(ngx_chat_db_conn_t *conn)
{
    conn->njobs = 0;

    if (conn->queue != NULL) {
        conn->queue->running--;

        if (conn->queue->lockable) {
            conn->db->lockable--;
        }

        conn->queue = NULL;
        conn->db->running--;
    }
}


void
ngx_chat_db_count(ngx_chat_db_t *db, ngx_chat_count_e counter)
{
    if (counter != NGX_CHAT_COUNT_MAX) {
        ngx_chat_metrics_count(db->metrics, counter);
    }
}


void
ngx_chat_db_count_fallback(ngx_chat_db_t *db)
{
    ngx_chat_metrics_count(db->metrics,
                           (db->lag_now || ngx_chat_db_suspended(db))
                           ? NGX_CHAT_COUNT_REPLICA_LAGGING
                           : NGX_CHAT_COUNT_REPLICA_UNAVAILABLE);
}


ngx_uint_t
ngx_chat_db_suspended(ngx_chat_db_t *db)
{
    return db->suspended
           && (ngx_msec_int_t) (db->suspended_until - ngx_current_msec) > 0;
}
