
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_db.h"
#include "ngx_chat_db_conn.h"
#include "ngx_chat_mysql.h"


/*
 * A job's way:
 *
 *   submit -> the lane of its class -> a connection's packet -> done -> handler
 *                 ^                         |
 *                 +---- tried again <-------+
 *
 * All jobs that are not done stand in db->jobs too, in the order of their
 * deadlines, which is the order they came in, for the time-out is the same for
 * all.  One timer there ends them in time, wherever they are; it keeps an
 * exiting worker alive as long as somebody waits, and no longer.
 *
 * A job that replicas do not do goes from where it is into the lane of the same
 * class of the database.
 *
 * Handlers are called last of all, from ngx_chat_db_settle(), at the end of
 * each event: nothing of this file is on the stack then but that loop, and a
 * handler may submit, cancel and free as it likes.
 */


/* connections that a job may lose before it is given up */
#define NGX_CHAT_DB_LOSSES  3

/* of a job's time-out, what replicas may use of it: a half, at most so many
   milliseconds */
#define NGX_CHAT_DB_REPLICA_TIMEOUT  1000


static void ngx_chat_db_cleanup(void *data);
static ngx_chat_db_lane_t *ngx_chat_db_lane(ngx_chat_db_t *db,
    const ngx_chat_db_class_t *class, ngx_uint_t alone);
static ngx_chat_metrics_query_t *ngx_chat_db_metrics(ngx_chat_db_t *db,
    const ngx_chat_db_class_t *class);
static ngx_int_t ngx_chat_db_accept(ngx_chat_db_t *db, ngx_chat_db_job_t *job);
static void ngx_chat_db_fall_back(ngx_chat_db_job_t *job);
static void ngx_chat_db_missed(ngx_chat_db_t *db);
static ngx_uint_t ngx_chat_db_backing_off(ngx_chat_db_t *db);
static ngx_uint_t ngx_chat_db_resting(ngx_chat_db_t *db);
static void ngx_chat_db_take_out(ngx_chat_db_job_t *job);
static void ngx_chat_db_done(ngx_chat_db_job_t *job, ngx_int_t rc);

static void ngx_chat_db_posted_handler(ngx_event_t *ev);
static void ngx_chat_db_pause_handler(ngx_event_t *ev);
static void ngx_chat_db_deadline_handler(ngx_event_t *ev);

static void ngx_chat_db_report(ngx_chat_db_t *db);
static void ngx_chat_db_dispatch(ngx_chat_db_t *db);
static ngx_chat_db_lane_t *ngx_chat_db_next_lane(ngx_chat_db_t *db);
static ngx_uint_t ngx_chat_db_parallel(ngx_chat_db_lane_t *lane);
static ngx_chat_db_conn_t *ngx_chat_db_next_conn(ngx_chat_db_t *db);
static void ngx_chat_db_close_idle(ngx_chat_db_t *db);
static void ngx_chat_db_start(ngx_chat_db_conn_t *conn,
    ngx_chat_db_lane_t *lane);
static void ngx_chat_db_packet_done(ngx_chat_db_conn_t *conn);


ngx_chat_db_t *
ngx_chat_db_create(ngx_cycle_t *cycle, ngx_chat_db_conf_t *conf,
    ngx_chat_db_choice_t *choice, const ngx_chat_db_class_t *setup,
    const ngx_chat_db_class_t *const *classes, ngx_chat_metrics_t *metrics)
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
    db->setup = setup;
    db->classes = classes;
    db->metrics = metrics;
    db->pool = cycle->pool;
    db->ident = (ngx_socket_t) -1;
    db->log = cycle->log;

    ngx_queue_init(&db->lanes);
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
        ngx_chat_db_conn_init(&db->conns[i], db);
    }

    cln->handler = ngx_chat_db_cleanup;
    cln->data = db;

    return db;
}


static void
ngx_chat_db_cleanup(void *data)
{
    ngx_chat_db_t *db = data;

    ngx_uint_t  i;

    /* the worker ends; one that ends in good order has closed them before */

    for (i = 0; i < db->conf->connections; i++) {
        if (db->conns[i].my != NULL) {
            ngx_chat_db_close(&db->conns[i]);
        }

        if (db->conns[i].jobs != NULL) {
            ngx_free(db->conns[i].jobs);
        }
    }

    /* replicas are cleaned up before what they are replicas of */

    if (db->primary == NULL) {
        ngx_chat_mysql_library_end();
    }
}


void
ngx_chat_db_replicas(ngx_chat_db_t *db, ngx_chat_db_t *primary,
    const ngx_chat_db_guard_t *guard)
{
    db->primary = primary;
    db->guard = guard;
}


ngx_int_t
ngx_chat_db_submit(ngx_chat_db_t *db, ngx_chat_db_job_t *job)
{
    if (db->primary != NULL && ngx_chat_db_replica_ready(db) != NGX_OK) {
        ngx_chat_db_missed(db);
        db = db->primary;
    }

    job->rc = NGX_OK;
    job->errcode = 0;
    job->repeated = 0;
    job->replica = 0;
    job->start = ngx_chat_metrics_now();
    job->deadline = ngx_current_msec + ngx_chat_db_timeout(db);
    job->done = 0;

    return ngx_chat_db_accept(db, job);
}


void
ngx_chat_db_replica_wake(ngx_chat_db_t *db, ngx_uint_t ready)
{
    if (!ready) {
        ngx_chat_db_refuse_waiting(db);
        return;
    }

    if (db->waiting) {
        ngx_post_event(&db->posted, &ngx_posted_events);
    }
}


ngx_int_t
ngx_chat_db_replica_ready(ngx_chat_db_t *db)
{
    ngx_chat_db_conn_t  *conn;

    ngx_chat_db_follow(db);

    if (ngx_chat_db_resting(db) || db->waiting >= db->conf->queue) {
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
    ngx_msec_t           wait;
    ngx_queue_t         *q;
    ngx_chat_db_job_t   *before;
    ngx_chat_db_lane_t  *lane;

    if (db->waiting >= db->conf->queue) {
        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_DB_REJECTED);
        return NGX_BUSY;
    }

    ngx_chat_db_follow(db);

    /* down: one job at a time finds out whether that is still so */

    if (db->backoff && db->connected == 0
        && (db->opening || ngx_chat_db_backing_off(db)))
    {
        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_DB_REJECTED);
        return NGX_BUSY;
    }

    lane = ngx_chat_db_lane(db, job->class, 0);
    if (lane == NULL) {
        return NGX_ERROR;
    }

    job->db = db;
    job->conn = NULL;
    job->conflicts = 0;
    job->losses = 0;
    job->limit = 0;
    job->turn = job->deadline;
    job->metrics = lane->metrics;

    /* behind the others, unless it has been with a replica */

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

    ngx_queue_insert_tail(&lane->jobs, &job->queue);

    db->waiting++;

    /* at the end of the event loop's turn: what comes together goes together */

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


static ngx_chat_db_lane_t *
ngx_chat_db_lane(ngx_chat_db_t *db, const ngx_chat_db_class_t *class,
    ngx_uint_t alone)
{
    ngx_queue_t         *q;
    ngx_chat_db_lane_t  *lane;

    for (q = ngx_queue_head(&db->lanes);
         q != ngx_queue_sentinel(&db->lanes);
         q = ngx_queue_next(q))
    {
        lane = ngx_queue_data(q, ngx_chat_db_lane_t, queue);

        if (lane->class == class && lane->alone == alone) {
            return lane;
        }
    }

    lane = ngx_pcalloc(db->pool, sizeof(ngx_chat_db_lane_t));
    if (lane == NULL) {
        return NULL;
    }

    lane->db = db;
    lane->ident = (ngx_socket_t) -1;
    lane->class = class;
    lane->alone = alone;
    lane->metrics = ngx_chat_db_metrics(db, class);
    ngx_queue_init(&lane->jobs);

    lane->pause.handler = ngx_chat_db_pause_handler;
    lane->pause.data = lane;
    lane->pause.log = db->log;
    lane->pause.cancelable = 1;

    ngx_queue_insert_tail(&db->lanes, &lane->queue);

    return lane;
}


static ngx_chat_metrics_query_t *
ngx_chat_db_metrics(ngx_chat_db_t *db, const ngx_chat_db_class_t *class)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CHAT_METRICS_QUERIES - 1 && db->classes[i]; i++) {
        if (db->classes[i] == class) {
            break;
        }
    }

    return &db->metrics->totals->queries[i];
}


ngx_msec_t
ngx_chat_db_timeout(ngx_chat_db_t *db)
{
    if (db->primary == NULL) {
        return db->conf->timeout;
    }

    return ngx_min(db->conf->timeout / 2, NGX_CHAT_DB_REPLICA_TIMEOUT);
}


/* a replica that lags is left alone for a while */

static ngx_uint_t
ngx_chat_db_resting(ngx_chat_db_t *db)
{
    return db->rest
           && (ngx_msec_int_t) (db->rest_until - ngx_current_msec) > 0;
}


void
ngx_chat_db_count(ngx_chat_db_t *db, ngx_chat_count_e counter)
{
    if (db->primary == NULL) {
        ngx_chat_metrics_count(db->metrics, counter);
    }
}


static ngx_uint_t
ngx_chat_db_backing_off(ngx_chat_db_t *db)
{
    return db->backoff
           && (ngx_msec_int_t) (db->retry_at - ngx_current_msec) > 0;
}


/* takes the job out of its lane or packet, and out of the deadlines */

static void
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


static void
ngx_chat_db_done(ngx_chat_db_job_t *job, ngx_int_t rc)
{
    ngx_chat_db_t  *db;

    db = job->db;

    ngx_chat_db_take_out(job);

    if (db->primary != NULL) {

        if (rc == NGX_BUSY || rc == NGX_DECLINED) {
            ngx_chat_db_fall_back(job);
            return;
        }

        job->replica = 1;
        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_REPLICA_OK);
    }

    job->rc = rc;
    job->done = 1;

    ngx_queue_insert_tail(&db->done, &job->queue);

    job->time = ngx_chat_metrics_now() - job->start;
    ngx_chat_metrics_time(&job->metrics->time, job->time);

    if (rc == NGX_BUSY) {
        ngx_chat_metrics_count(db->metrics, NGX_CHAT_COUNT_DB_GIVEN_UP);
    }
}


/* what is left of its time is the database's */

static void
ngx_chat_db_fall_back(ngx_chat_db_job_t *job)
{
    ngx_int_t       rc;
    ngx_chat_db_t  *db, *primary;

    db = job->db;
    primary = db->primary;

    ngx_chat_db_missed(db);

    job->errcode = 0;
    job->deadline += ngx_chat_db_timeout(primary) - ngx_chat_db_timeout(db);

    rc = ngx_chat_db_accept(primary, job);

    if (rc == NGX_OK) {
        return;
    }

    job->db = primary;
    job->rc = rc;
    job->done = 1;
    job->time = ngx_chat_metrics_now() - job->start;

    ngx_queue_insert_tail(&primary->done, &job->queue);
    ngx_post_event(&primary->posted, &ngx_posted_events);
}


/* a read that replicas do not do */

static void
ngx_chat_db_missed(ngx_chat_db_t *db)
{
    ngx_chat_metrics_count(db->metrics,
                           (db->lagging || ngx_chat_db_resting(db))
                           ? NGX_CHAT_COUNT_REPLICA_LAGGING
                           : NGX_CHAT_COUNT_REPLICA_UNAVAILABLE);
}


static void
ngx_chat_db_posted_handler(ngx_event_t *ev)
{
    ngx_chat_db_settle(ev->data);
}


static void
ngx_chat_db_pause_handler(ngx_event_t *ev)
{
    ngx_chat_db_lane_t *lane = ev->data;

    ngx_chat_db_settle(lane->db);
}


static void
ngx_chat_db_deadline_handler(ngx_event_t *ev)
{
    ngx_msec_int_t      left;
    ngx_queue_t        *q;
    ngx_chat_db_t      *db;
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


/* the end of each event: new packets first, the server works meanwhile */

void
ngx_chat_db_settle(ngx_chat_db_t *db)
{
    ngx_queue_t        *q;
    ngx_chat_db_job_t  *job;

    ngx_chat_db_dispatch(db);

    while (!ngx_queue_empty(&db->done)) {
        q = ngx_queue_head(&db->done);
        ngx_queue_remove(q);

        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        job->handler(job);
    }

    ngx_chat_db_report(db);
}


static void
ngx_chat_db_report(ngx_chat_db_t *db)
{
    uint32_t  *gauges;

    gauges = db->metrics->gauges;

    if (db->primary != NULL) {
        gauges[NGX_CHAT_GAUGE_REPLICA_CONNECTIONS] = db->connected;
        return;
    }

    gauges[NGX_CHAT_GAUGE_DB_CONNECTIONS] = db->connected;
    gauges[NGX_CHAT_GAUGE_DB_BUSY] = db->running;
    gauges[NGX_CHAT_GAUGE_DB_WAITING] = db->waiting;
}


static void
ngx_chat_db_dispatch(ngx_chat_db_t *db)
{
    ngx_chat_db_conn_t  *conn;
    ngx_chat_db_lane_t  *lane;

    ngx_chat_db_follow(db);

    for ( ;; ) {
        lane = ngx_chat_db_next_lane(db);
        if (lane == NULL) {
            break;
        }

        conn = ngx_chat_db_next_conn(db);
        if (conn == NULL) {
            break;
        }

        if (conn->state == NGX_CHAT_DB_CLOSED) {
            ngx_chat_db_connect(conn);

        } else {
            ngx_chat_db_start(conn, lane);
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


/* of those that may send a packet, the one whose first job's turn it is */

static ngx_chat_db_lane_t *
ngx_chat_db_next_lane(ngx_chat_db_t *db)
{
    ngx_msec_t           turn;
    ngx_queue_t         *q;
    ngx_chat_db_job_t   *job;
    ngx_chat_db_lane_t  *lane, *next;

    next = NULL;
    turn = 0;

    for (q = ngx_queue_head(&db->lanes);
         q != ngx_queue_sentinel(&db->lanes);
         q = ngx_queue_next(q))
    {
        lane = ngx_queue_data(q, ngx_chat_db_lane_t, queue);

        if (ngx_queue_empty(&lane->jobs)
            || lane->running >= ngx_chat_db_parallel(lane)
            || lane->pause.timer_set)
        {
            continue;
        }

        job = ngx_queue_data(ngx_queue_head(&lane->jobs), ngx_chat_db_job_t,
                             queue);

        if (db->guard != NULL
            && db->guard->ready(job, db->guard->data) != NGX_OK)
        {
            continue;
        }

        if (next == NULL || (ngx_msec_int_t) (job->turn - turn) < 0) {
            next = lane;
            turn = job->turn;
        }
    }

    return next;
}


/* whatever keeps jobs of a class waiting leaves the others a connection */

static ngx_uint_t
ngx_chat_db_parallel(ngx_chat_db_lane_t *lane)
{
    ngx_int_t  n;

    n = lane->db->conf->connections - 1;

    if (lane->alone) {
        n -= lane->class->parallel;

    } else if (lane->class->parallel) {
        n = lane->class->parallel;
    }

    return ngx_max(n, 1);
}


/* an idle connection, or else a closed one that may be opened now */

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


void
ngx_chat_db_refuse_waiting(ngx_chat_db_t *db)
{
    ngx_queue_t         *q;
    ngx_chat_db_job_t   *job;
    ngx_chat_db_lane_t  *lane;

    for (q = ngx_queue_head(&db->lanes);
         q != ngx_queue_sentinel(&db->lanes);
         q = ngx_queue_next(q))
    {
        lane = ngx_queue_data(q, ngx_chat_db_lane_t, queue);

        while (!ngx_queue_empty(&lane->jobs)) {
            job = ngx_queue_data(ngx_queue_head(&lane->jobs),
                                 ngx_chat_db_job_t, queue);

            ngx_chat_db_done(job, NGX_BUSY);
        }
    }
}


/* those that nginx has found idle when it began to exit are closed already */

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


static void
ngx_chat_db_start(ngx_chat_db_conn_t *conn, ngx_chat_db_lane_t *lane)
{
    ngx_uint_t           n, max;
    ngx_queue_t         *q;
    ngx_chat_db_t       *db;
    ngx_chat_db_job_t   *job, **jobs;

    db = conn->db;
    max = lane->alone ? 1 : lane->class->batch;

    if (conn->size < max) {
        jobs = ngx_alloc(max * sizeof(ngx_chat_db_job_t *), db->log);
        if (jobs == NULL) {
            q = ngx_queue_head(&lane->jobs);
            ngx_chat_db_done(ngx_queue_data(q, ngx_chat_db_job_t, queue),
                             NGX_ERROR);
            return;
        }

        if (conn->jobs != NULL) {
            ngx_free(conn->jobs);
        }

        conn->jobs = jobs;
        conn->size = max;
    }

    for (n = 0; n < max && !ngx_queue_empty(&lane->jobs); n++) {
        q = ngx_queue_head(&lane->jobs);
        job = ngx_queue_data(q, ngx_chat_db_job_t, queue);

        if (n > 0 && db->guard != NULL
            && db->guard->ready(job, db->guard->data) != NGX_OK)
        {
            break;
        }

        if (job->limit) {
            if (n >= job->limit) {
                break;
            }

            max = ngx_min(max, job->limit);
        }

        ngx_queue_remove(q);
        db->waiting--;

        job->conn = conn;
        job->slot = n;

        conn->jobs[n] = job;
    }

    conn->njobs = n;
    conn->lane = lane;

    lane->running++;
    db->running++;

    ngx_chat_metrics_size(&lane->metrics->batch, n);

    ngx_chat_db_send(conn, lane->class);
}


/* ends the packet and its jobs */

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


/*
 * Ends the packet.  Its jobs go to the head of their lane, in their order;
 * those that a lock has kept waiting behind the others.
 */

void
ngx_chat_db_retry(ngx_chat_db_conn_t *conn, ngx_chat_db_action_e action)
{
    ngx_uint_t           i, several, conflicts;
    ngx_queue_t         *q;
    ngx_chat_db_job_t   *job;
    ngx_chat_db_lane_t  *lane;

    if (conn->db->primary != NULL) {
        ngx_chat_db_finish(conn, NGX_BUSY, 0);
        return;
    }

    lane = conn->lane;

    if (lane == NULL) {
        /* a rollback */
        return;
    }

    if (action == NGX_CHAT_DB_LOCKED && lane->class->batch > 1) {
        lane = ngx_chat_db_lane(conn->db, lane->class, 1);

        if (lane == NULL) {
            ngx_chat_db_finish(conn, NGX_ERROR, 0);
            return;
        }
    }

    q = (action == NGX_CHAT_DB_LOCKED) ? ngx_queue_last(&lane->jobs)
                                       : ngx_queue_sentinel(&lane->jobs);

    /* what a node takes back, another one may have stored */

    several = (conn->db->conf->servers.nelts > 1 || conn->stepwise);

    conflicts = 0;

    for (i = conn->njobs; i-- > 0; /* void */ ) {
        job = conn->jobs[i];

        if (job == NULL) {
            continue;
        }

        switch (action) {

        case NGX_CHAT_DB_REFUSED:
        case NGX_CHAT_DB_SHORT:
            /* half of them are free of the one that was the reason */
            job->limit = (conn->njobs + 1) / 2;
            break;

        case NGX_CHAT_DB_CONFLICT:
            conflicts = ++job->conflicts;
            job->repeated |= several;
            break;

        case NGX_CHAT_DB_LOCKED:
            job->turn = ngx_current_msec + ngx_chat_db_timeout(conn->db);
            job->repeated |= several;
            break;

        case NGX_CHAT_DB_LOST:
            job->repeated = 1;

            if (++job->losses == NGX_CHAT_DB_LOSSES) {
                ngx_chat_db_done(job, NGX_BUSY);
                continue;
            }

            /* if one of them was the reason, the others shall not suffer */
            job->limit = 1;
            break;

        default: /* NGX_CHAT_DB_UNFIT */
            job->repeated |= several;
            break;
        }

        job->conn = NULL;
        ngx_queue_insert_after(q, &job->queue);

        conn->db->waiting++;

        ngx_chat_metrics_count(conn->db->metrics, NGX_CHAT_COUNT_DB_RETRIED);
    }

    if (conflicts) {
        /* up to 20 ms, then 40, 80, 160, 320 */
        ngx_add_timer(&lane->pause,
                      1 + ngx_random() % (10 << ngx_min(conflicts, 5)));
    }

    ngx_chat_db_packet_done(conn);
}


static void
ngx_chat_db_packet_done(ngx_chat_db_conn_t *conn)
{
    conn->njobs = 0;

    if (conn->lane != NULL) {
        conn->lane->running--;
        conn->lane = NULL;
        conn->db->running--;
    }
}


ngx_str_t *
ngx_chat_db_fetch(ngx_chat_db_result_t *res)
{
    return ngx_chat_mysql_fetch(res);
}
