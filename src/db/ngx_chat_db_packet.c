
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/db/ngx_chat_db_queue.h"


#define NGX_CHAT_DB_STALE_AGE  1000       /* minimum age of a connection that
                                             is replaced, ms */
#define NGX_CHAT_DB_TROUBLE    1000       /* time without an error after which
                                             it is over, ms */


static ngx_int_t ngx_chat_db_packet_reserve(ngx_chat_db_conn_t *conn,
    ngx_chat_db_queue_t *queue, ngx_uint_t max);
static ngx_uint_t ngx_chat_db_packet_take(ngx_chat_db_conn_t *conn,
    ngx_chat_db_queue_t *queue, ngx_uint_t max);
static void ngx_chat_db_packet_complete(ngx_chat_db_conn_t *conn);
static ngx_chat_db_event_e ngx_chat_db_packet_failed(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_packet_failed_jobs(ngx_chat_db_conn_t *conn,
    ngx_chat_db_action_e action, ngx_uint_t code);
static void ngx_chat_db_packet_timed_out(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_log_error(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text);
static void ngx_chat_db_log_trouble(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text);
static void ngx_chat_db_trouble_over(ngx_chat_db_queue_t *queue);


void
ngx_chat_db_connect(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_packet_event(conn, ngx_chat_db_open(conn));
}


void
ngx_chat_db_packet_send(ngx_chat_db_conn_t *conn, ngx_chat_db_queue_t *queue)
{
    ngx_uint_t      max;
    ngx_chat_db_t  *db;

    db = conn->db;
    max = (queue->kind == NGX_CHAT_DB_BATCH) ? queue->type->batch : 1;

    if (ngx_chat_db_packet_reserve(conn, queue, max) != NGX_OK) {
        return;
    }

    conn->njobs = ngx_chat_db_packet_take(conn, queue, max);
    conn->queue = queue;

    queue->running++;
    db->running++;

    if (queue->lockable) {
        db->lockable++;
    }

    ngx_chat_db_lock_prepare(conn);

    ngx_chat_metrics_size(&queue->metrics->batch, conn->njobs);

    ngx_chat_db_packet_event(conn,
                             ngx_chat_db_conn_send(conn, queue->type,
                                                   db->guard, db->timeout));
}


/* makes room for "max" jobs; without memory, ends the first job */

static ngx_int_t
ngx_chat_db_packet_reserve(ngx_chat_db_conn_t *conn,
    ngx_chat_db_queue_t *queue, ngx_uint_t max)
{
    ngx_queue_t         *q;
    ngx_chat_db_job_t  **jobs;

    if (conn->size >= max) {
        return NGX_OK;
    }

    jobs = ngx_alloc(max * sizeof(ngx_chat_db_job_t *), conn->log);

    if (jobs == NULL) {
        q = ngx_queue_head(&queue->jobs);
        ngx_chat_db_done(ngx_queue_data(q, ngx_chat_db_job_t, queue),
                         NGX_ERROR);

        return NGX_ERROR;
    }

    if (conn->jobs != NULL) {
        ngx_free(conn->jobs);
    }

    conn->jobs = jobs;
    conn->size = max;

    return NGX_OK;
}


/* moves jobs from the queue to the packet and returns their number */

static ngx_uint_t
ngx_chat_db_packet_take(ngx_chat_db_conn_t *conn, ngx_chat_db_queue_t *queue,
    ngx_uint_t max)
{
    ngx_uint_t          n, weight;
    ngx_queue_t        *q;
    ngx_chat_db_t      *db;
    ngx_chat_db_job_t  *job;

    db = conn->db;
    weight = 0;

    for (n = 0; n < max && !ngx_queue_empty(&queue->jobs); n++) {
        q = ngx_queue_head(&queue->jobs);
        job = (n == 0) ? ngx_chat_db_lock_first(queue)
                       : ngx_queue_data(q, ngx_chat_db_job_t, queue);

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

        weight += ngx_chat_db_weight(job);

        if (n > 0 && weight > queue->type->batch) {
            break;
        }

        ngx_queue_remove(&job->queue);
        db->waiting--;

        job->conn = conn;
        job->slot = n;

        conn->jobs[n] = job;
    }

    return n;
}


void
ngx_chat_db_packet_event(ngx_chat_db_conn_t *conn, ngx_chat_db_event_e event)
{
    if (event == NGX_CHAT_DB_EVENT_FAILED) {
        /* the event of a rollback, if there is one */
        event = ngx_chat_db_packet_failed(conn);
    }

    switch (event) {

    case NGX_CHAT_DB_EVENT_OPENED:
        ngx_chat_db_opened(conn);
        break;

    case NGX_CHAT_DB_EVENT_UNFIT:
        ngx_chat_db_unfit(conn, conn->errcode, conn->reason);
        break;

    case NGX_CHAT_DB_EVENT_DONE:
        ngx_chat_db_packet_complete(conn);
        break;

    case NGX_CHAT_DB_EVENT_FAILED:
        /* the rollback has failed, too */
        (void) ngx_chat_db_packet_failed(conn);
        break;

    case NGX_CHAT_DB_EVENT_NO_MEMORY:
        ngx_chat_db_finish(conn, NGX_ERROR, 0);
        ngx_chat_db_close(conn);
        break;

    case NGX_CHAT_DB_EVENT_TIMED_OUT:
        ngx_chat_db_packet_timed_out(conn);
        break;

    case NGX_CHAT_DB_EVENT_CLOSED:
        ngx_chat_db_finish(conn, NGX_BUSY, 0);
        ngx_chat_db_close(conn);
        break;

    default: /* NGX_CHAT_DB_EVENT_NONE */
        break;
    }
}


/* all results of the packet were read */

static void
ngx_chat_db_packet_complete(ngx_chat_db_conn_t *conn)
{
    if (conn->queue != NULL) {
        ngx_chat_db_trouble_over(conn->queue);
    }

    ngx_chat_db_servers_answered(&conn->db->servers, conn->server);

    if (conn->lagging) {
        ngx_chat_db_lags(conn);
        return;
    }

    if (conn->db->lag || conn->db->lag_logged) {
        ngx_chat_db_caught_up(conn->db);
    }

    ngx_chat_db_lock_passed(conn);

    ngx_chat_db_finish(conn, conn->failed ? NGX_ERROR : NGX_OK, 0);
    ngx_chat_db_idle(conn);
}


static ngx_chat_db_event_e
ngx_chat_db_packet_failed(ngx_chat_db_conn_t *conn)
{
    ngx_uint_t                  code, stale;
    const char                 *text;
    ngx_chat_db_action_e        action;
    const ngx_chat_db_type_t   *type;
    const ngx_chat_db_error_t  *error;

    type = conn->type;
    code = conn->errcode;
    text = conn->reason;

    error = ngx_chat_db_lock_error(conn, code);
    action = error->action;

    if (action == NGX_CHAT_DB_STALE && conn->result.outdated) {

        /* the schema has been upgraded: a new connection reads its version */

        ngx_chat_db_retry(conn, NGX_CHAT_DB_CONFLICT);
        ngx_chat_db_close(conn);

        return NGX_CHAT_DB_EVENT_NONE;
    }

    if (error->elsewhere
        && ngx_chat_db_failover(conn, code,
                                error->reason ? error->reason : text, 0)
           == NGX_OK)
    {
        ngx_chat_db_retry(conn, NGX_CHAT_DB_UNFIT);
        ngx_chat_db_close(conn);

        return NGX_CHAT_DB_EVENT_NONE;
    }

    ngx_chat_db_log_error(conn, error, code, text);

    if (conn->queue != NULL) {
        ngx_chat_db_packet_failed_jobs(conn, action, code);
    }

    /*
     * A new connection has current privileges and verifies the version of the
     * schema.  One such connection a second is enough.
     */

    stale = (action == NGX_CHAT_DB_STALE
             && ngx_current_msec - conn->since >= NGX_CHAT_DB_STALE_AGE);

    if (action == NGX_CHAT_DB_UNFIT) {
        ngx_chat_db_unfit(conn, code, text);

    } else if (action == NGX_CHAT_DB_LOST
               || stale
               || conn->state == NGX_CHAT_DB_ROLLBACK)
    {
        ngx_chat_db_close(conn);

    } else if (type->transaction) {
        return ngx_chat_db_conn_rollback(conn);

    } else {
        ngx_chat_db_idle(conn);
    }

    return NGX_CHAT_DB_EVENT_NONE;
}


static void
ngx_chat_db_packet_failed_jobs(ngx_chat_db_conn_t *conn,
    ngx_chat_db_action_e action, ngx_uint_t code)
{
    if (action == NGX_CHAT_DB_UNABLE || action == NGX_CHAT_DB_STALE) {
        ngx_chat_db_finish(conn, NGX_BUSY, code);

    } else if (action == NGX_CHAT_DB_SHORT && conn->njobs == 1) {
        ngx_chat_db_finish(conn, NGX_BUSY, code);

    } else if (action == NGX_CHAT_DB_REFUSED && conn->njobs == 1) {
        ngx_chat_db_finish(conn, NGX_DECLINED, code);

    } else if (action == NGX_CHAT_DB_LOCKED && conn->db->primary == NULL) {
        ngx_chat_db_lock_met(conn);

    } else {
        ngx_chat_db_retry(conn, action);
    }
}


/*
 * It is unknown if the server has executed the packet, and it may still send
 * results: the connection cannot be used again.
 */

static void
ngx_chat_db_packet_timed_out(ngx_chat_db_conn_t *conn)
{
    ngx_log_error(NGX_LOG_WARN, conn->log, 0,
                  "chat: the %s did not respond to \"%V\" in time, "
                  "closing the connection",
                  conn->db->role->title, &conn->type->name);

    ngx_chat_db_retry(conn, NGX_CHAT_DB_LOST);
    ngx_chat_db_close(conn);
}


static void
ngx_chat_db_log_error(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text)
{
    ngx_uint_t  level;

    if (error->reason != NULL) {
        ngx_chat_db_log_trouble(conn, error, code, text);
        return;
    }

    switch (error->action) {

    case NGX_CHAT_DB_UNFIT:
        /* logged by ngx_chat_db_unfit() */
        return;

    case NGX_CHAT_DB_CONFLICT:
    case NGX_CHAT_DB_LOCKED:
        level = NGX_LOG_INFO;
        break;

    default:
        /* query types expect integrity constraints, SQLSTATE 23xxx */
        level = (ngx_strncmp(text, "23", 2) == 0) ? NGX_LOG_DEBUG
                                                  : NGX_LOG_ERR;
    }

    ngx_log_error(level, conn->log, 0,
                  "chat: %s error %ui (%s) in \"%V\"",
                  conn->db->role->title, code, text, &conn->type->name);
}


/* logs a lasting error once per query type */

static void
ngx_chat_db_log_trouble(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text)
{
    ngx_uint_t            level;
    ngx_chat_db_queue_t  *queue;

    level = NGX_LOG_ERR;
    queue = conn->queue;

    if (queue != NULL) {
        level = (queue->trouble == error) ? NGX_LOG_INFO : NGX_LOG_ERR;

        queue->trouble = error;
        queue->troubled = ngx_current_msec;
    }

    ngx_log_error(level, conn->log, 0,
                  "chat: the %s cannot execute \"%V\": %s, error %ui (%s)",
                  conn->db->role->title, &conn->type->name, error->reason,
                  code, text);
}


/*
 * Called when a packet has succeeded.  The error is not over at once, because
 * other packets may still fail.
 */

static void
ngx_chat_db_trouble_over(ngx_chat_db_queue_t *queue)
{
    if (queue->trouble == NULL
        || ngx_current_msec - queue->troubled < NGX_CHAT_DB_TROUBLE)
    {
        return;
    }

    queue->trouble = NULL;

    ngx_log_error(NGX_LOG_NOTICE, queue->db->log, 0,
                  "chat: the %s executes \"%V\" again",
                  queue->db->role->title, &queue->type->name);
}
