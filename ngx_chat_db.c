
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_db.h"
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
 * A connection's way:
 *
 *   CLOSED -> CONNECTING -> SETUP -> IDLE -> BUSY -> IDLE
 *                                              \-> ROLLBACK -> IDLE
 *
 * Every step may fail, which closes it.  Connections are opened one at a time,
 * and only for a packet that would have to wait otherwise.
 *
 * Handlers are called last of all, from ngx_chat_db_settle(), at the end of
 * each event: nothing of this file is on the stack then but that loop, and a
 * handler may submit, cancel and free as it likes.
 */


#define NGX_CHAT_DB_TRIES        3        /* with a connection lost each time */
#define NGX_CHAT_DB_BACKOFF      100      /* ms, doubles with each failure */
#define NGX_CHAT_DB_MAX_BACKOFF  2000
#define NGX_CHAT_DB_TEXT         4096     /* bytes at first, grows */
#define NGX_CHAT_DB_MAX_TEXT     65536    /* what an idle connection keeps */


typedef enum {
    NGX_CHAT_DB_CLOSED = 0,
    NGX_CHAT_DB_CONNECTING,
    NGX_CHAT_DB_SETUP,
    NGX_CHAT_DB_IDLE,
    NGX_CHAT_DB_BUSY,
    NGX_CHAT_DB_ROLLBACK
} ngx_chat_db_state_e;


/* what to do after an error, by its number */

typedef enum {
    NGX_CHAT_DB_REFUSED = 0,              /* this statement, for good */
    NGX_CHAT_DB_CONFLICT,                 /* try again, the server is fine */
    NGX_CHAT_DB_LOST,                     /* this connection is gone */
    NGX_CHAT_DB_UNFIT                     /* the server takes nothing now */
} ngx_chat_db_error_e;


/* the waiting jobs of a class */

typedef struct {
    ngx_queue_t                 queue;    /* in db->lanes */
    ngx_chat_db_t              *db;

    /* a timer's ident is after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    const ngx_chat_db_class_t  *class;
    ngx_queue_t                 jobs;
    ngx_uint_t                  running;  /* packets in flight */
    ngx_event_t                 pause;    /* timer, set after a conflict */
} ngx_chat_db_lane_t;


struct ngx_chat_db_conn_s {
    ngx_chat_db_t              *db;
    ngx_chat_mysql_t           *my;       /* NULL: closed */
    ngx_connection_t           *connection;   /* nginx's view of its socket */

    /* a timer's ident is after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    ngx_chat_db_state_e         state;
    ngx_event_t                 timer;    /* set unless closed or idle */
    ngx_event_t                 ready;    /* connected without its socket */

    /* the packet */
    const ngx_chat_db_class_t  *class;
    ngx_chat_db_lane_t         *lane;     /* NULL: none, or not for jobs */
    ngx_chat_db_job_t         **jobs;     /* NULL where cancelled */
    ngx_uint_t                  njobs;
    ngx_uint_t                  size;     /* of jobs */
    ngx_chat_db_text_t          text;
    ngx_chat_db_result_t        result;
    unsigned                    reading:1;    /* sent, results come in */
    unsigned                    failed:1;     /* class->result() did */
};


struct ngx_chat_db_s {
    ngx_chat_db_conf_t         *conf;
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
    ngx_msec_t                  backoff;  /* 0: the last connect went well */
    ngx_msec_t                  retry_at; /* no connect until then */
    ngx_chat_db_stat_t          stat;
};


static void ngx_chat_db_cleanup(void *data);
static ngx_chat_db_lane_t *ngx_chat_db_lane(ngx_chat_db_t *db,
    const ngx_chat_db_class_t *class);
static ngx_uint_t ngx_chat_db_backing_off(ngx_chat_db_t *db);
static void ngx_chat_db_done(ngx_chat_db_job_t *job, ngx_int_t rc);
static void ngx_chat_db_leave(ngx_chat_db_job_t *job);

static void ngx_chat_db_posted_handler(ngx_event_t *ev);
static void ngx_chat_db_pause_handler(ngx_event_t *ev);
static void ngx_chat_db_deadline_handler(ngx_event_t *ev);
static void ngx_chat_db_timeout_handler(ngx_event_t *ev);
static void ngx_chat_db_ready_handler(ngx_event_t *ev);
static void ngx_chat_db_event_handler(ngx_event_t *ev);
static ngx_uint_t ngx_chat_db_readable(ngx_connection_t *c);
static void ngx_chat_db_settle(ngx_chat_db_t *db);

static void ngx_chat_db_dispatch(ngx_chat_db_t *db);
static ngx_chat_db_lane_t *ngx_chat_db_next_lane(ngx_chat_db_t *db);
static ngx_chat_db_conn_t *ngx_chat_db_next_conn(ngx_chat_db_t *db);
static void ngx_chat_db_refuse_waiting(ngx_chat_db_t *db);
static void ngx_chat_db_start(ngx_chat_db_conn_t *conn,
    ngx_chat_db_lane_t *lane);
static void ngx_chat_db_connect(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_run(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_class_t *class, ngx_chat_db_state_e state);
static void ngx_chat_db_process(ngx_chat_db_conn_t *conn, ngx_int_t rc);
static void ngx_chat_db_read_result(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_connected(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_complete(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_error(ngx_chat_db_conn_t *conn);
static ngx_chat_db_error_e ngx_chat_db_classify(ngx_uint_t code);
static void ngx_chat_db_build_rollback(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_db_finish(ngx_chat_db_conn_t *conn, ngx_int_t rc,
    ngx_uint_t errcode);
static void ngx_chat_db_retry(ngx_chat_db_conn_t *conn,
    ngx_chat_db_error_e error);
static void ngx_chat_db_packet_done(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_idle(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_unfit(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason);
static void ngx_chat_db_close(ngx_chat_db_conn_t *conn);
static ngx_int_t ngx_chat_db_watch(ngx_chat_db_conn_t *conn, ngx_uint_t wait);
static void ngx_chat_db_unwatch(ngx_chat_db_conn_t *conn);


static ngx_chat_db_class_t  ngx_chat_db_rollback = {
    ngx_string("rollback"),
    1, 0, 0,
    ngx_chat_db_build_rollback,
    NULL
};


ngx_chat_db_t *
ngx_chat_db_create(ngx_cycle_t *cycle, ngx_chat_db_conf_t *conf,
    const ngx_chat_db_class_t *setup)
{
    ngx_uint_t           i;
    ngx_chat_db_t       *db;
    ngx_chat_db_conn_t  *conn;
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

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    if (ngx_chat_mysql_library_init(cycle->log) != NGX_OK) {
        return NULL;
    }

    db->conf = conf;
    db->setup = setup;
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

    for (i = 0; i < conf->connections; i++) {
        conn = &db->conns[i];

        conn->db = db;
        conn->ident = (ngx_socket_t) -1;
        conn->timer.handler = ngx_chat_db_timeout_handler;
        conn->timer.data = conn;
        conn->timer.log = db->log;

        conn->ready.handler = ngx_chat_db_ready_handler;
        conn->ready.data = conn;
        conn->ready.log = db->log;
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

    ngx_chat_mysql_library_end();
}


ngx_int_t
ngx_chat_db_submit(ngx_chat_db_t *db, ngx_chat_db_job_t *job)
{
    ngx_chat_db_lane_t  *lane;

    if (db->stat.waiting >= db->conf->queue) {
        return NGX_BUSY;
    }

    /* down: one job at a time finds out whether that is still so */

    if (db->backoff && db->stat.connected == 0
        && (db->opening || ngx_chat_db_backing_off(db)))
    {
        return NGX_BUSY;
    }

    lane = ngx_chat_db_lane(db, job->class);
    if (lane == NULL) {
        return NGX_ERROR;
    }

    job->rc = NGX_OK;
    job->errcode = 0;
    job->repeated = 0;
    job->db = db;
    job->conn = NULL;
    job->tries = 0;
    job->deadline = ngx_current_msec + db->conf->timeout;
    job->single = 0;
    job->done = 0;

    if (ngx_queue_empty(&db->jobs)) {
        ngx_add_timer(&db->timer, db->conf->timeout);
    }

    ngx_queue_insert_tail(&db->jobs, &job->order);
    ngx_queue_insert_tail(&lane->jobs, &job->queue);

    db->stat.waiting++;
    db->stat.jobs++;

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

    ngx_chat_db_leave(job);
}


ngx_str_t *
ngx_chat_db_fetch(ngx_chat_db_result_t *res)
{
    return ngx_chat_mysql_fetch(res);
}


ngx_chat_db_stat_t *
ngx_chat_db_stat(ngx_chat_db_t *db)
{
    return &db->stat;
}


ngx_int_t
ngx_chat_db_text_reserve(ngx_chat_db_text_t *text, size_t size)
{
    u_char  *p;
    size_t   used, total;

    if ((size_t) (text->end - text->pos) >= size) {
        return NGX_OK;
    }

    used = text->pos - text->start;
    total = ngx_max((size_t) (text->end - text->start) * 2,
                    NGX_CHAT_DB_TEXT);
    total = ngx_max(total, used + size);

    p = ngx_alloc(total, ngx_cycle->log);
    if (p == NULL) {
        text->error = 1;
        return NGX_ERROR;
    }

    if (text->start != NULL) {
        ngx_memcpy(p, text->start, used);
        ngx_free(text->start);
    }

    text->start = p;
    text->pos = p + used;
    text->end = p + total;

    return NGX_OK;
}


static ngx_chat_db_lane_t *
ngx_chat_db_lane(ngx_chat_db_t *db, const ngx_chat_db_class_t *class)
{
    ngx_queue_t         *q;
    ngx_chat_db_lane_t  *lane;

    for (q = ngx_queue_head(&db->lanes);
         q != ngx_queue_sentinel(&db->lanes);
         q = ngx_queue_next(q))
    {
        lane = ngx_queue_data(q, ngx_chat_db_lane_t, queue);

        if (lane->class == class) {
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
    ngx_queue_init(&lane->jobs);

    lane->pause.handler = ngx_chat_db_pause_handler;
    lane->pause.data = lane;
    lane->pause.log = db->log;
    lane->pause.cancelable = 1;

    ngx_queue_insert_tail(&db->lanes, &lane->queue);

    return lane;
}


static ngx_uint_t
ngx_chat_db_backing_off(ngx_chat_db_t *db)
{
    return db->backoff
           && (ngx_msec_int_t) (db->retry_at - ngx_current_msec) > 0;
}


/* takes the job out of its lane or packet, and out of the deadlines */

static void
ngx_chat_db_leave(ngx_chat_db_job_t *job)
{
    ngx_chat_db_t  *db;

    db = job->db;

    if (job->conn != NULL) {
        job->conn->jobs[job->slot] = NULL;
        job->conn = NULL;

    } else {
        ngx_queue_remove(&job->queue);
        db->stat.waiting--;
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

    ngx_chat_db_leave(job);

    job->rc = rc;
    job->done = 1;

    ngx_queue_insert_tail(&db->done, &job->queue);

    if (rc == NGX_BUSY) {
        db->stat.failures++;
    }
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


/*
 * Connecting, or a packet, took too long.  Nobody knows what the server made
 * of it, nor what it will send yet: the connection cannot be used any more.
 */

static void
ngx_chat_db_timeout_handler(ngx_event_t *ev)
{
    ngx_chat_db_conn_t *conn = ev->data;

    switch (conn->state) {

    case NGX_CHAT_DB_CONNECTING:
    case NGX_CHAT_DB_SETUP:
        ngx_chat_db_unfit(conn, 0, "timed out");
        break;

    default:
        ngx_log_error(NGX_LOG_WARN, conn->db->log, 0,
                      "chat: no answer from the database to \"%V\" in time, "
                      "closing the connection", &conn->class->name);

        ngx_chat_db_retry(conn, NGX_CHAT_DB_LOST);
        ngx_chat_db_close(conn);
    }

    ngx_chat_db_settle(conn->db);
}


static void
ngx_chat_db_ready_handler(ngx_event_t *ev)
{
    ngx_chat_db_conn_t *conn = ev->data;

    ngx_chat_db_process(conn, ngx_chat_mysql_resume(conn->my, 0));

    ngx_chat_db_settle(conn->db);
}


static void
ngx_chat_db_event_handler(ngx_event_t *ev)
{
    ngx_uint_t           ready;
    ngx_connection_t    *c;
    ngx_chat_db_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, c->log, 0,
                   "chat db event state:%d write:%d",
                   conn->state, (int) ev->write);

    if (c->close) {
        /* the worker exits, and waits no longer */
        ngx_chat_db_finish(conn, NGX_BUSY, 0);
        ngx_chat_db_close(conn);

    } else if (conn->state == NGX_CHAT_DB_IDLE) {
        /* the server has nothing to say now but good-bye */
        if (!ev->write && ngx_chat_db_readable(c)) {
            ngx_chat_db_close(conn);
        }

    } else {
        ready = ev->write ? NGX_CHAT_MYSQL_WRITE : NGX_CHAT_MYSQL_READ;

        ngx_chat_db_process(conn, ngx_chat_mysql_resume(conn->my, ready));
    }

    ngx_chat_db_settle(conn->db);
}


static ngx_uint_t
ngx_chat_db_readable(ngx_connection_t *c)
{
    char     buf[1];
    ssize_t  n;

    n = recv(c->fd, buf, 1, MSG_PEEK);

    return n >= 0 || ngx_socket_errno != NGX_EAGAIN;
}


/* the end of each event: new packets first, the server works meanwhile */

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

        job->handler(job);
    }
}


static void
ngx_chat_db_dispatch(ngx_chat_db_t *db)
{
    ngx_chat_db_conn_t  *conn;
    ngx_chat_db_lane_t  *lane;

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

    if (db->stat.connected == 0 && !db->opening && ngx_chat_db_backing_off(db))
    {
        ngx_chat_db_refuse_waiting(db);
    }
}


/* of those that may send a packet, the one whose first job waits longest */

static ngx_chat_db_lane_t *
ngx_chat_db_next_lane(ngx_chat_db_t *db)
{
    ngx_uint_t           parallel;
    ngx_queue_t         *q;
    ngx_msec_t           deadline;
    ngx_chat_db_job_t   *job;
    ngx_chat_db_lane_t  *lane, *next;

    next = NULL;
    deadline = 0;

    for (q = ngx_queue_head(&db->lanes);
         q != ngx_queue_sentinel(&db->lanes);
         q = ngx_queue_next(q))
    {
        lane = ngx_queue_data(q, ngx_chat_db_lane_t, queue);

        parallel = lane->class->parallel ? lane->class->parallel
                                         : db->conf->connections;

        if (ngx_queue_empty(&lane->jobs)
            || lane->running >= parallel
            || lane->pause.timer_set)
        {
            continue;
        }

        job = ngx_queue_data(ngx_queue_head(&lane->jobs), ngx_chat_db_job_t,
                             queue);

        if (next == NULL || (ngx_msec_int_t) (job->deadline - deadline) < 0) {
            next = lane;
            deadline = job->deadline;
        }
    }

    return next;
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


static void
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


static void
ngx_chat_db_start(ngx_chat_db_conn_t *conn, ngx_chat_db_lane_t *lane)
{
    ngx_uint_t           n, max;
    ngx_queue_t         *q;
    ngx_chat_db_t       *db;
    ngx_chat_db_job_t   *job, **jobs;

    db = conn->db;
    job = ngx_queue_data(ngx_queue_head(&lane->jobs), ngx_chat_db_job_t,
                         queue);

    max = job->single ? 1 : lane->class->batch;

    if (conn->size < max) {
        jobs = ngx_alloc(max * sizeof(ngx_chat_db_job_t *), db->log);
        if (jobs == NULL) {
            ngx_chat_db_done(job, NGX_ERROR);
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

        if (n > 0 && job->single) {
            break;
        }

        ngx_queue_remove(q);
        db->stat.waiting--;

        job->conn = conn;
        job->slot = n;

        conn->jobs[n] = job;
    }

    conn->njobs = n;
    conn->lane = lane;

    lane->running++;
    db->stat.running++;
    db->stat.packets++;

    ngx_add_timer(&conn->timer, db->conf->timeout);

    ngx_chat_db_run(conn, lane->class, NGX_CHAT_DB_BUSY);
}


static void
ngx_chat_db_connect(ngx_chat_db_conn_t *conn)
{
    ngx_int_t       rc;
    ngx_chat_db_t  *db;

    db = conn->db;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, db->log, 0, "chat db connect");

    rc = ngx_chat_mysql_connect(&conn->my, db->conf, &conn->ready, db->log);

    conn->state = NGX_CHAT_DB_CONNECTING;
    db->opening++;

    if (conn->my == NULL) {
        ngx_chat_db_unfit(conn, 0, "no memory");
        return;
    }

    ngx_add_timer(&conn->timer, db->conf->connect_timeout);

    ngx_chat_db_process(conn, rc);
}


static void
ngx_chat_db_run(ngx_chat_db_conn_t *conn, const ngx_chat_db_class_t *class,
    ngx_chat_db_state_e state)
{
    ngx_chat_db_text_t  *text;

    conn->state = state;
    conn->class = class;
    conn->reading = 0;
    conn->failed = 0;
    conn->result.statement = 0;

    text = &conn->text;
    text->pos = text->start;
    text->error = 0;

    class->build(text, conn->jobs, conn->njobs);

    if (text->error) {
        if (state == NGX_CHAT_DB_SETUP) {
            ngx_chat_db_unfit(conn, 0, "no memory");
            return;
        }

        ngx_chat_db_finish(conn, NGX_ERROR, 0);
        ngx_chat_db_close(conn);
        return;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_EVENT, conn->db->log, 0,
                   "chat db packet \"%V\" jobs:%ui size:%uz",
                   &class->name, conn->njobs, text->pos - text->start);

    ngx_chat_db_process(conn, ngx_chat_mysql_query(conn->my, text->start,
                                                   text->pos - text->start));
}


/* takes the connection as far as it goes without waiting */

static void
ngx_chat_db_process(ngx_chat_db_conn_t *conn, ngx_int_t rc)
{
    for ( ;; ) {

        if (rc == NGX_AGAIN) {
            rc = ngx_chat_db_watch(conn, ngx_chat_mysql_wait(conn->my));
            if (rc == NGX_OK) {
                return;
            }
        }

        if (rc == NGX_ERROR) {
            ngx_chat_db_error(conn);
            return;
        }

        if (rc == NGX_DONE) {
            ngx_chat_db_complete(conn);
            return;
        }

        /* rc == NGX_OK */

        if (conn->state == NGX_CHAT_DB_CONNECTING) {
            ngx_chat_db_connected(conn);
            return;
        }

        if (conn->reading) {
            ngx_chat_db_read_result(conn);
        }

        conn->reading = 1;

        rc = ngx_chat_mysql_result(conn->my, &conn->result);
    }
}


static void
ngx_chat_db_read_result(ngx_chat_db_conn_t *conn)
{
    const ngx_chat_db_class_t  *class;

    class = conn->class;

    /* after a failure the rest is read for the connection's sake only */

    if (class->result != NULL && !conn->failed
        && class->result(&conn->result, conn->jobs, conn->njobs) != NGX_OK)
    {
        conn->failed = 1;
    }

    ngx_chat_mysql_free_result(conn->my, &conn->result);

    conn->result.statement++;
}


static void
ngx_chat_db_connected(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    if (conn->state == NGX_CHAT_DB_CONNECTING && db->setup != NULL) {
        ngx_chat_db_run(conn, db->setup, NGX_CHAT_DB_SETUP);
        return;
    }

    if (db->backoff) {
        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "chat: the database is back");
        db->backoff = 0;
    }

    db->opening--;
    db->stat.connected++;
    db->stat.connects++;

    ngx_chat_db_idle(conn);
}


/* all results of a packet are read */

static void
ngx_chat_db_complete(ngx_chat_db_conn_t *conn)
{
    if (conn->state == NGX_CHAT_DB_SETUP) {
        if (conn->failed) {
            ngx_chat_db_unfit(conn, 0, "its schema is not the expected one");
            return;
        }

        ngx_chat_db_connected(conn);
        return;
    }

    ngx_chat_db_finish(conn, conn->failed ? NGX_ERROR : NGX_OK, 0);
    ngx_chat_db_idle(conn);
}


static void
ngx_chat_db_error(ngx_chat_db_conn_t *conn)
{
    ngx_uint_t                  code, level;
    const char                 *text;
    ngx_chat_db_error_e         error;
    const ngx_chat_db_class_t  *class;

    code = ngx_chat_mysql_errno(conn->my);
    text = ngx_chat_mysql_error(conn->my);

    if (conn->state == NGX_CHAT_DB_CONNECTING
        || conn->state == NGX_CHAT_DB_SETUP)
    {
        ngx_chat_db_unfit(conn, code, text);
        return;
    }

    class = conn->class;
    error = ngx_chat_db_classify(code);

    level = NGX_LOG_ERR;

    if (error == NGX_CHAT_DB_CONFLICT) {
        level = NGX_LOG_INFO;

    } else if (ngx_strncmp(text, "23", 2) == 0) {
        /* integrity constraints, SQLSTATE 23xxx, are the class's to judge */
        level = NGX_LOG_DEBUG;
    }

    if (error != NGX_CHAT_DB_UNFIT) {
        ngx_log_error(level, conn->db->log, 0,
                      "chat: database error %ui (%s) in \"%V\"",
                      code, text, &class->name);
    }

    if (error == NGX_CHAT_DB_REFUSED && conn->njobs == 1) {
        ngx_chat_db_finish(conn, NGX_DECLINED, code);

    } else {
        ngx_chat_db_retry(conn, error);
    }

    if (error == NGX_CHAT_DB_UNFIT) {
        ngx_chat_db_unfit(conn, code, text);

    } else if (error == NGX_CHAT_DB_LOST
               || conn->state == NGX_CHAT_DB_ROLLBACK)
    {
        ngx_chat_db_close(conn);

    } else if (class->transaction) {
        ngx_chat_db_run(conn, &ngx_chat_db_rollback, NGX_CHAT_DB_ROLLBACK);

    } else {
        ngx_chat_db_idle(conn);
    }
}


static ngx_chat_db_error_e
ngx_chat_db_classify(ngx_uint_t code)
{
    switch (code) {

    case 1020:  /* ER_CHECKREAD: row changed since it was read */
    case 1047:  /* ER_UNKNOWN_COM_ERROR: Galera node not in sync */
    case 1205:  /* ER_LOCK_WAIT_TIMEOUT */
    case 1213:  /* ER_LOCK_DEADLOCK */
        return NGX_CHAT_DB_CONFLICT;

    case 1040:  /* ER_CON_COUNT_ERROR: too many connections */
    case 1203:  /* ER_TOO_MANY_USER_CONNECTIONS */
    case 1226:  /* ER_USER_LIMIT_REACHED */
    case 1290:  /* ER_OPTION_PREVENTS_STATEMENT: read only */
    case 1836:  /* ER_READ_ONLY_MODE */
        return NGX_CHAT_DB_UNFIT;

    case 1053:  /* ER_SERVER_SHUTDOWN */
    case 1153:  /* ER_NET_PACKET_TOO_LARGE: it closes the connection */
    case 1180:  /* ER_ERROR_DURING_COMMIT: done or not, who knows */
    case 1317:  /* ER_QUERY_INTERRUPTED */
    case 1927:  /* ER_CONNECTION_KILLED */
    case 3169:  /* ER_SESSION_WAS_KILLED */
    case 4031:  /* ER_CLIENT_INTERACTION_TIMEOUT */
        return NGX_CHAT_DB_LOST;

    default:

        /* the client libraries' own, 0 being a socket that nginx refused */

        if (code == 0
            || (code >= 2000 && code < 3000)
            || (code >= 5000 && code < 6000))
        {
            return NGX_CHAT_DB_LOST;
        }

        return NGX_CHAT_DB_REFUSED;
    }
}


static void
ngx_chat_db_build_rollback(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    if (ngx_chat_db_text_reserve(text, sizeof("ROLLBACK") - 1) == NGX_OK) {
        text->pos = ngx_cpymem(text->pos, "ROLLBACK", sizeof("ROLLBACK") - 1);
    }
}


/* ends the packet and its jobs */

static void
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


/* ends the packet; its jobs go to the head of their lane, in their order */

static void
ngx_chat_db_retry(ngx_chat_db_conn_t *conn, ngx_chat_db_error_e error)
{
    ngx_uint_t           i, tries;
    ngx_chat_db_job_t   *job;
    ngx_chat_db_lane_t  *lane;

    lane = conn->lane;
    tries = 0;

    for (i = conn->njobs; i-- > 0; /* void */ ) {
        job = conn->jobs[i];

        if (job == NULL) {
            continue;
        }

        tries = ++job->tries;

        if (error == NGX_CHAT_DB_LOST) {
            job->repeated = 1;

            if (tries == NGX_CHAT_DB_TRIES) {
                ngx_chat_db_done(job, NGX_BUSY);
                continue;
            }
        }

        /* whatever it was, another job may have been the reason */

        if (error != NGX_CHAT_DB_CONFLICT) {
            job->single = 1;
        }

        job->conn = NULL;
        ngx_queue_insert_head(&lane->jobs, &job->queue);

        conn->db->stat.waiting++;
        conn->db->stat.retries++;
    }

    if (error == NGX_CHAT_DB_CONFLICT && tries != 0) {
        ngx_add_timer(&lane->pause,
                      1 + ngx_random() % (10 << ngx_min(tries, 5)));
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
        conn->db->stat.running--;
    }
}


static void
ngx_chat_db_idle(ngx_chat_db_conn_t *conn)
{
    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    conn->state = NGX_CHAT_DB_IDLE;

    if ((ngx_exiting && conn->db->stat.waiting == 0)
        || ngx_chat_db_watch(conn, NGX_CHAT_MYSQL_READ) != NGX_OK)
    {
        ngx_chat_db_close(conn);
        return;
    }

    conn->connection->idle = 1;

    if (conn->text.end - conn->text.start > NGX_CHAT_DB_MAX_TEXT) {
        ngx_free(conn->text.start);
        ngx_memzero(&conn->text, sizeof(ngx_chat_db_text_t));
    }
}


/* the server does not let us work: the connection is closed, for a while */

static void
ngx_chat_db_unfit(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason)
{
    ngx_uint_t      level;
    ngx_chat_db_t  *db;

    db = conn->db;

    /* a reason is told once, not at each try */

    level = (db->backoff && db->errcode == errcode) ? NGX_LOG_INFO
                                                    : NGX_LOG_ERR;

    ngx_log_error(level, db->log, 0,
                  "chat: the database is out of reach: %s (%ui)",
                  reason, errcode);

    db->errcode = errcode;

    db->backoff = db->backoff ? ngx_min(db->backoff * 2,
                                        NGX_CHAT_DB_MAX_BACKOFF)
                              : NGX_CHAT_DB_BACKOFF;

    db->retry_at = ngx_current_msec + db->backoff;

    ngx_chat_db_close(conn);
}


static void
ngx_chat_db_close(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_chat_db_unwatch(conn);

    if (conn->my != NULL) {
        ngx_chat_mysql_close(conn->my);
        conn->my = NULL;
    }

    if (conn->text.start != NULL) {
        ngx_free(conn->text.start);
        ngx_memzero(&conn->text, sizeof(ngx_chat_db_text_t));
    }

    if (conn->state == NGX_CHAT_DB_CONNECTING
        || conn->state == NGX_CHAT_DB_SETUP)
    {
        db->opening--;

    } else {
        db->stat.connected--;
    }

    conn->state = NGX_CHAT_DB_CLOSED;
}


static ngx_int_t
ngx_chat_db_watch(ngx_chat_db_conn_t *conn, ngx_uint_t wait)
{
    ngx_log_t         *log;
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    if (wait == 0) {
        /* conn->ready will tell */
        return NGX_OK;
    }

    log = conn->db->log;
    fd = ngx_chat_mysql_fd(conn->my);
    c = conn->connection;

    if (c == NULL || c->fd != fd) {

        ngx_chat_db_unwatch(conn);

        if (fd == (ngx_socket_t) -1) {
            return NGX_ERROR;
        }

        c = ngx_get_connection(fd, log);
        if (c == NULL) {
            return NGX_ERROR;
        }

        c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
        c->data = conn;

        c->read->log = log;
        c->read->handler = ngx_chat_db_event_handler;
        c->write->log = log;
        c->write->handler = ngx_chat_db_event_handler;

        conn->connection = c;

        if (ngx_add_conn != NULL && ngx_add_conn(c) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    c->idle = 0;

    /*
     * An edge-triggered method is told once, above or here; for the others
     * "ready" says that there is nothing to wait for now.
     */

    c->read->ready = (wait & NGX_CHAT_MYSQL_READ) ? 0 : 1;
    c->write->ready = (wait & NGX_CHAT_MYSQL_WRITE) ? 0 : 1;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK
        || ngx_handle_write_event(c->write, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The socket belongs to the client library, which may have closed it already:
 * nginx forgets it, and touches it no more.
 */

static void
ngx_chat_db_unwatch(ngx_chat_db_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->connection;

    if (c == NULL) {
        return;
    }

    if (ngx_del_conn != NULL) {
        ngx_del_conn(c, NGX_CLOSE_EVENT);

    } else {
        if (c->read->active || c->read->disabled) {
            ngx_del_event(c->read, NGX_READ_EVENT, NGX_CLOSE_EVENT);
        }

        if (c->write->active || c->write->disabled) {
            ngx_del_event(c->write, NGX_WRITE_EVENT, NGX_CLOSE_EVENT);
        }
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->closed = 1;
    c->write->closed = 1;

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    conn->connection = NULL;
}
