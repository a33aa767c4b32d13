
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_replica.h"


/*
 * One of the workers queries the position of the primary once a second: the
 * first one whose timer finds that it is due.  If the last event of a user is
 * later than the position, it is queried sooner, at this interval, ms.
 */
#define NGX_CHAT_REPLICA_TICK  1000
#define NGX_CHAT_REPLICA_SOON  250

/* timers of other workers may be a little early */
#define NGX_CHAT_REPLICA_SLACK  100


struct ngx_chat_replica_s {
    ngx_chat_db_t              *db;
    ngx_chat_db_t              *primary;
    ngx_chat_gtid_t            *gtid;

    /* a timer's ident is after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    ngx_chat_metrics_t         *metrics;
    ngx_chat_db_guard_t         guard;
    ngx_event_t                 tick;

    ngx_chat_gtid_query_t       query;
    ngx_chat_query_position_t   op;
    u_char                      buf[NGX_CHAT_GTID_POSITION];
    ngx_uint_t                  wanted;        /* number of the query that jobs
                                                  wait for */
    unsigned                    querying:1;
    unsigned                    hosts:1;       /* several hosts */
};


static ngx_int_t ngx_chat_replica_guard_ready(ngx_chat_db_job_t *job,
    void *data);
static ngx_msec_t ngx_chat_replica_guard(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n, void *data);
static void ngx_chat_replica_tick(ngx_event_t *ev);
static void ngx_chat_replica_query(ngx_chat_replica_t *replica,
    ngx_msec_t interval);
static void ngx_chat_replica_received(ngx_chat_db_job_t *job);
static void ngx_chat_replica_report(ngx_chat_replica_t *replica);


ngx_chat_replica_t *
ngx_chat_replica_create(ngx_cycle_t *cycle, ngx_chat_db_conf_t *conf,
    ngx_chat_db_choice_t *choice, ngx_chat_gtid_t *gtid,
    ngx_chat_db_t *primary, ngx_uint_t hosts,
    const ngx_chat_db_type_t *const *classes, ngx_chat_metrics_t *metrics)
{
    ngx_chat_replica_t  *replica;

    replica = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_replica_t));
    if (replica == NULL) {
        return NULL;
    }

    replica->db = ngx_chat_db_create(cycle, conf, choice, &ngx_chat_query_setup,
                                     classes, metrics);
    if (replica->db == NULL) {
        return NULL;
    }

    replica->primary = primary;
    replica->ident = (ngx_socket_t) -1;
    replica->gtid = gtid;
    replica->metrics = metrics;
    replica->hosts = hosts;

    replica->guard.ready = ngx_chat_replica_guard_ready;
    replica->guard.build = ngx_chat_replica_guard;
    replica->guard.result = ngx_chat_query_reached;
    replica->guard.data = replica;

    ngx_chat_db_replicas(replica->db, primary, &replica->guard);

    replica->tick.handler = ngx_chat_replica_tick;
    replica->tick.data = replica;
    replica->tick.log = cycle->log;
    replica->tick.cancelable = 1;

    ngx_add_timer(&replica->tick, 1);

    return replica;
}


ngx_chat_db_t *
ngx_chat_replica_choose(ngx_chat_replica_t *replica, ngx_chat_db_t *primary,
    ngx_chat_db_job_t *job, uint32_t user_id)
{
    ngx_int_t  rc;

    if (replica == NULL || !job->type->replica) {
        return primary;
    }

    if (replica->hosts) {
        rc = ngx_chat_gtid_next(replica->gtid, &job->min_position);

        if (rc == NGX_OK) {
            replica->wanted = job->min_position;
            ngx_chat_replica_query(replica, 0);

            if (!replica->querying) {
                /* no query would wake the job */
                rc = NGX_DECLINED;
            }
        }

    } else {
        rc = ngx_chat_gtid_covers(replica->gtid, user_id, &job->min_position);
    }

    if (rc == NGX_OK) {
        return replica->db;
    }

    ngx_chat_metrics_count(replica->metrics,
                           rc == NGX_AGAIN
                           ? NGX_CHAT_COUNT_REPLICA_RECENT
                           : NGX_CHAT_COUNT_REPLICA_UNAVAILABLE);

    return primary;
}


/*
 * A read of the primary is an event: a replica might return less than the
 * previous page, or than the cursor of "after=" includes.  A user who reads
 * usually continues to read.
 */

void
ngx_chat_replica_done(ngx_chat_replica_t *replica, ngx_chat_db_job_t *job,
    uint32_t user_id)
{
    if (replica == NULL || job->replica) {
        return;
    }

    if (job->type->visible) {
        ngx_chat_gtid_write(replica->gtid, user_id);
    }

    if (job->type->replica) {
        ngx_chat_replica_query(replica, NGX_CHAT_REPLICA_SOON);
    }
}


void
ngx_chat_replica_write(ngx_chat_replica_t *replica, uint32_t user_id)
{
    if (replica) {
        ngx_chat_gtid_write(replica->gtid, user_id);
    }
}


static ngx_int_t
ngx_chat_replica_guard_ready(ngx_chat_db_job_t *job, void *data)
{
    ngx_chat_replica_t  *replica = data;

    return ngx_chat_gtid_query_ended(replica->gtid, job->min_position);
}


static ngx_msec_t
ngx_chat_replica_guard(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n, void *data)
{
    ngx_chat_replica_t  *replica = data;

    u_char      buf[NGX_CHAT_GTID_POSITION];
    ngx_str_t   position;
    ngx_uint_t  i, min_position;
    ngx_msec_t  begun;

    min_position = 0;

    for (i = 0; i < n; i++) {
        min_position = ngx_max(min_position, jobs[i]->min_position);
    }

    position.data = buf;

    begun = ngx_chat_gtid_position(replica->gtid, min_position, &position);

    ngx_chat_query_reached_build(text, &position);

    return begun;
}


static void
ngx_chat_replica_tick(ngx_event_t *ev)
{
    ngx_chat_replica_t  *replica = ev->data;

    if (ngx_exiting) {
        return;
    }

    (void) ngx_chat_db_replica_ready(replica->db);

    ngx_chat_replica_query(replica,
                           NGX_CHAT_REPLICA_TICK - NGX_CHAT_REPLICA_SLACK);

    ngx_add_timer(ev, NGX_CHAT_REPLICA_TICK);
}


static void
ngx_chat_replica_query(ngx_chat_replica_t *replica, ngx_msec_t interval)
{
    ngx_chat_db_job_t  *job;

    if (replica->querying || ngx_exiting
        || ngx_chat_gtid_query_begin(replica->gtid, interval, &replica->query)
           != NGX_OK)
    {
        return;
    }

    job = &replica->op.job;

    replica->op.buf = replica->buf;
    replica->op.size = NGX_CHAT_GTID_POSITION;

    job->type = &ngx_chat_query_position;
    job->handler = ngx_chat_replica_received;
    job->data = replica;

    replica->querying = (ngx_chat_db_submit(replica->primary, job) == NGX_OK);
}


static void
ngx_chat_replica_received(ngx_chat_db_job_t *job)
{
    ngx_chat_replica_t  *replica = job->data;

    replica->querying = 0;

    if (job->rc == NGX_OK) {
        ngx_chat_gtid_query_end(replica->gtid, &replica->query,
                                &replica->op.position);

        ngx_chat_replica_report(replica);
    }

    /* jobs that arrived meanwhile wait for the next query */

    ngx_chat_db_replica_wake(replica->db, job->rc == NGX_OK
                                          && replica->op.position.len);

    if (replica->wanted > replica->query.number) {
        ngx_chat_replica_query(replica, 0);

        if (!replica->querying) {
            ngx_chat_db_replica_wake(replica->db, 0);
        }
    }
}


static void
ngx_chat_replica_report(ngx_chat_replica_t *replica)
{
    ngx_log_t       *log;
    ngx_chat_gtid_e  what;

    log = replica->tick.log;

    if (replica->op.position.len) {
        what = NGX_CHAT_GTID_KNOWN;

    } else {
        what = replica->op.too_long ? NGX_CHAT_GTID_TOO_LONG
                                    : NGX_CHAT_GTID_NONE;
    }

    if (ngx_chat_gtid_report(replica->gtid, what) != NGX_OK) {
        return;
    }

    switch (what) {

    case NGX_CHAT_GTID_KNOWN:
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "chat: replicas can be used now");
        break;

    case NGX_CHAT_GTID_TOO_LONG:
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "chat: replicas are not used: the position of the "
                      "database has more than %d characters or unknown ones",
                      NGX_CHAT_GTID_POSITION);
        break;

    default: /* NGX_CHAT_GTID_NONE */
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "chat: replicas are not used: the database has no GTID "
                      "position, set log_bin, and gtid_mode for MySQL");
    }
}
