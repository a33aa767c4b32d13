
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_db.h"
#include "src/db/ngx_chat_db_queue.h"


/*
 * A submitted job waits in a queue of its query type.  At the end of each event
 * ngx_chat_db_settle() first dispatches waiting jobs to connections, so that
 * the server works in the meantime.  Then it calls the handlers of jobs that
 * are done.  Nothing else is on the stack at that time, so a handler may
 * submit, cancel and free.
 *
 * All jobs that are not done are also in db->jobs, in the order of their
 * deadlines.  The time-out is the same for all, so this is the order of
 * arrival.  One timer ends the jobs in time, wherever they are.  It keeps an
 * exiting worker alive as long as jobs are in progress.
 *
 * A job that no replica completes moves to the queue of its query type of the
 * primary.
 */


/* replicas may use half of a job's time-out, at most this, ms */
#define NGX_CHAT_DB_REPLICA_TIMEOUT  1000


static void ngx_chat_db_cleanup(void *data);
static ngx_int_t ngx_chat_db_accept(ngx_chat_db_t *db, ngx_chat_db_job_t *job);
static void ngx_chat_db_fall_back(ngx_chat_db_job_t *job);

static void ngx_chat_db_posted_handler(ngx_event_t *ev);
static void ngx_chat_db_deadline_handler(ngx_event_t *ev);
static void ngx_chat_db_conn_handler(ngx_chat_db_conn_t *conn,
    ngx_chat_db_event_e event);

static void ngx_chat_db_settle(ngx_chat_db_t *db);
static void ngx_chat_db_report(ngx_chat_db_t *db);
static void ngx_chat_db_gauge(ngx_chat_db_t *db, ngx_chat_gauge_e gauge,
    ngx_uint_t n);
static void ngx_chat_db_dispatch(ngx_chat_db_t *db);
static ngx_chat_db_queue_t *ngx_chat_db_next_queue(ngx_chat_db_t *db);
static ngx_uint_t ngx_chat_db_parallel(ngx_chat_db_queue_t *queue);
static ngx_chat_db_conn_t *ngx_chat_db_next_conn(ngx_chat_db_t *db);
static void ngx_chat_db_close_idle(ngx_chat_db_t *db);
static void ngx_chat_db_fill(ngx_chat_db_queue_t *queue);


static const ngx_chat_db_role_t  ngx_chat_db_role_primary = {
    .title = "database",
    .opened = NGX_CHAT_COUNT_DB_CONNECTED,
    .unfit = NGX_CHAT_COUNT_DB_CONNECT_FAILED,
    .lost = NGX_CHAT_COUNT_DB_LOST,
    .done = NGX_CHAT_COUNT_MAX,
    .connected = NGX_CHAT_GAUGE_DB_CONNECTIONS,
    .running = NGX_CHAT_GAUGE_DB_BUSY,
    .waiting = NGX_CHAT_GAUGE_DB_WAITING
};


static const ngx_chat_db_role_t  ngx_chat_db_role_replica = {
    .title = "replica",
    .opened = NGX_CHAT_COUNT_MAX,
    .unfit = NGX_CHAT_COUNT_MAX,
    .lost = NGX_CHAT_COUNT_MAX,
    .done = NGX_CHAT_COUNT_REPLICA_OK,
    .connected = NGX_CHAT_GAUGE_REPLICA_CONNECTIONS,
    .running = NGX_CHAT_GAUGE_MAX,
    .waiting = NGX_CHAT_GAUGE_MAX
};


ngx_chat_db_t *
ngx_chat_db_create(ngx_cycle_t *cycle, ngx_chat_db_conf_t *conf,
    ngx_chat_db_choice_t *choice, const ngx_chat_db_type_t *setup,
    const ngx_chat_db_type_t *const *types, ngx_chat_metrics_t *metrics)
{
    ngx_uint_t           i;
    ngx_chat_db_t       *db;
    ngx_pool_cleanup_t  *cln;

    db = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_db_t));
    if (db == NULL) {
        return NULL;
    }

    db->conns = ngx_pcalloc(cycle->pool,
                            conf->connections * sizeof(ngx_chat_db_conn_t));
    if (db->conns == NULL) {
        return NULL;
    }

    if (ngx_chat_db_servers_init(&db->servers, cycle->pool, &conf->servers,
                                 choice)
        != NGX_OK)
    {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    if (ngx_chat_mysql_library_init(cycle->log) != NGX_OK) {
        return NULL;
    }

    db->conf = conf;
    db->types = types;
    db->metrics = metrics;
    db->pool = cycle->pool;
    db->ident = (ngx_socket_t) -1;
    db->log = cycle->log;
    db->timeout = conf->timeout;
    db->role = &ngx_chat_db_role_primary;

    ngx_queue_init(&db->queues);
    ngx_queue_init(&db->jobs);
    ngx_queue_init(&db->done);

    db->timer.handler = ngx_chat_db_deadline_handler;
    db->timer.data = db;
    db->timer.log = db->log;

    db->posted.handler = ngx_chat_db_posted_handler;
    db->posted.data = db;
    db->posted.log = db->log;

    db->retry.handler = ngx_chat_db_posted_handler;
    db->retry.data = db;
    db->retry.log = db->log;
    db->retry.cancelable = 1;

    for (i = 0; i < conf->connections; i++) {
        ngx_chat_db_conn_init(&db->conns[i], db, conf, setup,
                              ngx_chat_db_conn_handler, cycle->log);
    }

    cln->handler = ngx_chat_db_cleanup;
    cln->data = db;

    return db;
}


static void
ngx_chat_db_cleanup(void *data)
{
    ngx_chat_db_t  *db = data;

    ngx_uint_t  i;

    /* a worker that exits gracefully has closed them already */

    for (i = 0; i < db->conf->connections; i++) {
        if (db->conns[i].my != NULL) {
            ngx_chat_db_close(&db->conns[i]);
        }

        if (db->conns[i].jobs != NULL) {
            ngx_free(db->conns[i].jobs);
        }
    }

    /* the primary is created first and cleaned up last */

    if (db->primary == NULL) {
        ngx_chat_mysql_library_end();
    }
}


void
ngx_chat_db_replicas(ngx_chat_db_t *db, ngx_chat_db_t *primary,
    const ngx_chat_db_guard_t *guard)
{
    db->role = &ngx_chat_db_role_replica;
    db->timeout = ngx_min(db->conf->timeout / 2, NGX_CHAT_DB_REPLICA_TIMEOUT);
    db->primary = primary;
    db->guard = guard;
}


ngx_int_t
ngx_chat_db_submit(ngx_chat_db_t *db, ngx_chat_db_job_t *job)
{
    if (db->primary != NULL && ngx_chat_db_replica_ready(db) != NGX_OK) {
        ngx_chat_db_count_fallback(db);
        db = db->primary;
    }

    job->rc = NGX_OK;
    job->errcode = 0;
    job->repeated = 0;
    job->replica = 0;
    job->done = 0;
    job->start = ngx_chat_metrics_now();
    job->deadline = ngx_current_msec + db->timeout;

    return ngx_chat_db_accept(db, job);
}


void
ngx_chat_db_replica_wake(ngx_chat_db_t *db, ngx_uint_t ready)
{
    if (db->waiting == 0) {
        return;
    }

    if (!ready) {
        ngx_chat_db_refuse_waiting(db);
    }

    ngx_post_event(&db->posted, &ngx_posted_events);
}


ngx_int_t
ngx_chat_db_replica_ready(ngx_chat_db_t *db)
{
    ngx_chat_db_conn_t  *conn;

    ngx_chat_db_switch(db);

    if (ngx_chat_db_suspended(db) || db->waiting >= db->conf->queue) {
        return NGX_DECLINED;
    }

    if (db->connected) {
        return NGX_OK;
    }

    if (!ngx_exiting) {
        conn = ngx_chat_db_next_conn(db);

        if (conn != NULL) {
            ngx_chat_db_connect(conn);
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_chat_db_accept(ngx_chat_db_t *db, ngx_chat_db_job_t *job)
{
    ngx_msec_t            wait;
    ngx_queue_t          *q;
    ngx_chat_db_job_t    *before;
    ngx_chat_db_queue_t  *queue;

    if (db->waiting >= db->conf->queue) {
        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_DB_REJECTED);
        return NGX_BUSY;
    }

    ngx_chat_db_switch(db);

    /* if the database is down, one job at a time tests it */

    if (db->backoff && db->connected == 0
        && (db->opening || ngx_chat_db_backing_off(db)))
    {
        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_DB_REJECTED);
        return NGX_BUSY;
    }

    queue = ngx_chat_db_queue(db, job->type, NGX_CHAT_DB_BATCH);
    if (queue == NULL) {
        return NGX_ERROR;
    }

    job->db = db;
    job->conn = NULL;
    job->conflicts = 0;
    job->locks = 0;
    job->aside = 0;
    job->losses = 0;
    job->limit = 0;
    job->fallback = 0;
    job->done = 0;
    job->priority = job->deadline;
    job->metrics = queue->metrics;

    /* jobs are added at the end, except for those passed from a replica */

    for (q = ngx_queue_last(&db->jobs);
         q != ngx_queue_sentinel(&db->jobs);
         q = ngx_queue_prev(q))
    {
        before = ngx_queue_data(q, ngx_chat_db_job_t, order);

        if ((ngx_msec_int_t) (before->deadline - job->deadline) <= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &job->order);

    if (ngx_queue_head(&db->jobs) == &job->order) {
        wait = job->deadline - ngx_current_msec;
        ngx_add_timer(&db->timer, ngx_max((ngx_msec_int_t) wait, 0));
    }

    ngx_chat_db_lock_enter(queue, job);

    db->waiting++;

    /* jobs of the same iteration of the event loop are sent together */

    ngx_post_event(&db->posted, &ngx_posted_events);

    return NGX_OK;
}


void
ngx_chat_db_cancel(ngx_chat_db_job_t *job)
{
    if (job->done) {
        ngx_queue_remove(&job->queue);
        return;
    }

    ngx_chat_db_take_out(job);
    ngx_chat_db_report(job->db);
}


/* passes a job of replicas to the primary, with the rest of its time */

static void
ngx_chat_db_fall_back(ngx_chat_db_job_t *job)
{
    ngx_int_t       rc;
    ngx_chat_db_t  *db, *primary;

    db = job->db;
    primary = db->primary;

    job->errcode = 0;
    job->deadline += primary->timeout - db->timeout;

    rc = ngx_chat_db_accept(primary, job);

    if (rc == NGX_OK) {
        return;
    }

    ngx_chat_db_reject(primary, job, rc);

    job->time = ngx_chat_metrics_now() - job->start;
}


void
ngx_chat_db_reject(ngx_chat_db_t *db, ngx_chat_db_job_t *job, ngx_int_t rc)
{
    job->db = db;
    job->rc = rc;
    job->errcode = 0;
    job->replica = 0;
    job->time = 0;
    job->fallback = 0;
    job->done = 1;

    ngx_queue_insert_tail(&db->done, &job->queue);
    ngx_post_event(&db->posted, &ngx_posted_events);
}


static void
ngx_chat_db_posted_handler(ngx_event_t *ev)
{
    ngx_chat_db_settle(ev->data);
}


static void
ngx_chat_db_deadline_handler(ngx_event_t *ev)
{
    ngx_queue_t        *q;
    ngx_chat_db_t      *db;
    ngx_msec_int_t      left;
    ngx_chat_db_job_t  *job;

    db = ev->data;

    while (!ngx_queue_empty(&db->jobs)) {
        q = ngx_queue_head(&db->jobs);
        job = ngx_queue_data(q, ngx_chat_db_job_t, order);

        left = (ngx_msec_int_t) (job->deadline - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(&db->timer, left);
            break;
        }

        ngx_chat_db_done(job, NGX_BUSY);
    }

    ngx_chat_db_settle(db);
}


static void
ngx_chat_db_conn_handler(ngx_chat_db_conn_t *conn, ngx_chat_db_event_e event)
{
    ngx_chat_db_packet_event(conn, event);
    ngx_chat_db_settle(conn->db);
}


/* the end of each event */

static void
ngx_chat_db_settle(ngx_chat_db_t *db)
{
    ngx_queue_t        *q;
    ngx_chat_db_job_t  *job;

    ngx_chat_db_dispatch(db);

    while (!ngx_queue_empty(&db->done)) {
        q = ngx_queue_head(&db->done);
        ngx_queue_remove(q);

        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (job->fallback) {
            ngx_chat_db_fall_back(job);
            continue;
        }

        job->handler(job);
    }

    ngx_chat_db_report(db);
}


static void
ngx_chat_db_report(ngx_chat_db_t *db)
{
    ngx_chat_db_gauge(db, db->role->connected, db->connected);
    ngx_chat_db_gauge(db, db->role->running, db->running);
    ngx_chat_db_gauge(db, db->role->waiting, db->waiting);
}


static void
ngx_chat_db_gauge(ngx_chat_db_t *db, ngx_chat_gauge_e gauge, ngx_uint_t n)
{
    if (gauge != NGX_CHAT_GAUGE_MAX) {
        db->metrics->gauges[gauge] = n;
    }
}


/* sends packets as long as there are jobs and connections */

static void
ngx_chat_db_dispatch(ngx_chat_db_t *db)
{
    ngx_chat_db_conn_t   *conn;
    ngx_chat_db_queue_t  *queue;

    ngx_chat_db_switch(db);

    for ( ;; ) {
        queue = ngx_chat_db_next_queue(db);
        if (queue == NULL) {
            break;
        }

        conn = ngx_chat_db_next_conn(db);
        if (conn == NULL) {
            break;
        }

        if (conn->state == NGX_CHAT_DB_CLOSED) {
            ngx_chat_db_connect(conn);
            continue;
        }

        ngx_chat_db_fill(queue);

        /* the submission of new jobs may have closed the connection */

        if (conn->state == NGX_CHAT_DB_IDLE) {
            ngx_chat_db_packet_send(conn, queue);
        }
    }

    if (db->connected == 0
        && (db->primary != NULL
            || (!db->opening && ngx_chat_db_backing_off(db))))
    {
        ngx_chat_db_refuse_waiting(db);
    }

    if (ngx_exiting && db->waiting == 0) {
        ngx_chat_db_close_idle(db);
    }
}


/* returns the queue with the job that is sent next, or NULL */

static ngx_chat_db_queue_t *
ngx_chat_db_next_queue(ngx_chat_db_t *db)
{
    ngx_msec_t            priority;
    ngx_queue_t          *q;
    ngx_chat_db_job_t    *job;
    ngx_chat_db_queue_t  *queue, *next;

    next = NULL;
    priority = 0;

    for (q = ngx_queue_head(&db->queues);
         q != ngx_queue_sentinel(&db->queues);
         q = ngx_queue_next(q))
    {
        queue = ngx_queue_data(q, ngx_chat_db_queue_t, link);

        if (ngx_queue_empty(&queue->jobs)
            || queue->running >= ngx_chat_db_parallel(queue)
            || queue->pause.timer_set
            || (queue->lockable
                && db->lockable + 2 >= ngx_max(db->conf->connections, 3)))
        {
            continue;
        }

        job = ngx_chat_db_lock_first(queue);
        if (job == NULL) {
            continue;
        }

        if (db->guard != NULL
            && db->guard->ready(job, db->guard->data) != NGX_OK)
        {
            continue;
        }

        if (next == NULL || (ngx_msec_int_t) (job->priority - priority) < 0) {
            next = queue;
            priority = job->priority;
        }
    }

    return next;
}


/* no query type occupies all connections */

static ngx_uint_t
ngx_chat_db_parallel(ngx_chat_db_queue_t *queue)
{
    ngx_int_t  n;

    n = queue->db->conf->connections - 1;

    switch (queue->kind) {

    case NGX_CHAT_DB_BATCH:
        if (queue->type->parallel) {
            n = queue->type->parallel;
        }
        break;

    case NGX_CHAT_DB_ALONE:
        n -= queue->type->parallel;
        break;

    default: /* NGX_CHAT_DB_HELD */
        n = 1;
    }

    return ngx_max(n, 1);
}


/* returns an idle connection, or else a closed one that may be opened now */

static ngx_chat_db_conn_t *
ngx_chat_db_next_conn(ngx_chat_db_t *db)
{
    ngx_uint_t           i;
    ngx_chat_db_conn_t  *conn, *closed;

    closed = NULL;

    for (i = 0; i < db->conf->connections; i++) {
        conn = &db->conns[i];

        if (conn->state == NGX_CHAT_DB_IDLE) {
            return conn;
        }

        if (conn->state == NGX_CHAT_DB_CLOSED && closed == NULL) {
            closed = conn;
        }
    }

    if (db->opening || ngx_chat_db_backing_off(db)) {
        return NULL;
    }

    return closed;
}


/* closes connections that became idle after nginx began to exit */

static void
ngx_chat_db_close_idle(ngx_chat_db_t *db)
{
    ngx_uint_t  i;

    for (i = 0; i < db->conf->connections; i++) {
        if (db->conns[i].state == NGX_CHAT_DB_IDLE) {
            ngx_chat_db_close(&db->conns[i]);
        }
    }
}


/*
 * The turns of jobs in the next packet end, so that further jobs of their users
 * can fill it.  The turns of jobs that count as several continue.  Packets that
 * are retried in halves are not filled.
 */

static void
ngx_chat_db_fill(ngx_chat_db_queue_t *queue)
{
    ngx_uint_t          n, weight;
    ngx_queue_t        *q;
    ngx_chat_db_job_t  *job;

    if (queue->kind != NGX_CHAT_DB_BATCH || queue->type->batch == 1) {
        return;
    }

    q = ngx_queue_head(&queue->jobs);

    for (n = 0; n < queue->type->batch; n += weight) {

        if (q == ngx_queue_sentinel(&queue->jobs)) {
            return;
        }

        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (job->limit) {
            return;
        }

        weight = ngx_chat_db_weight(job);

        if (job->turn != NULL && weight == 1) {
            ngx_chat_turn_run(job->turn);

            if (q == ngx_queue_last(&queue->jobs)) {
                ngx_chat_turns_ready(job->turn->turns);
            }
        }

        q = ngx_queue_next(q);
    }
}


ngx_str_t *
ngx_chat_db_fetch(ngx_chat_db_result_t *res)
{
    return ngx_chat_mysql_fetch(res);
}
