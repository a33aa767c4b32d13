
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_replica.h"


/*
 * The database is asked for its position once a second, by one worker of all:
 * the first whose tick finds that nobody has done so.  And sooner when it has
 * been read for somebody whose last event is later than the position, but not
 * more often than this, milliseconds.
 */
#define NGX_CHAT_REPLICA_TICK  1000
#define NGX_CHAT_REPLICA_SOON  250

/* a timer of another worker may come a little early */
#define NGX_CHAT_REPLICA_SLACK  100


struct ngx_chat_replica_s {
    ngx_chat_db_t              *db;
    ngx_chat_db_t              *primary;
    ngx_chat_fresh_t           *fresh;

    /* a timer's ident is after 3 pointers, as in ngx_connection_t */
    ngx_socket_t                ident;

    ngx_chat_metrics_t         *metrics;
    ngx_chat_db_guard_t         guard;
    ngx_event_t                 tick;

    ngx_chat_fresh_question_t   question;
    ngx_chat_sql_position_t     op;
    u_char                      buf[NGX_CHAT_FRESH_POSITION];
    ngx_uint_t                  wanted;        /* number, by who waits */
    unsigned                    asking:1;
    unsigned                    hosts:1;       /* there are others */
};


static ngx_int_t ngx_chat_replica_guard_ready(ngx_chat_db_job_t *job,
    void *data);
static ngx_msec_t ngx_chat_replica_guard(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n, void *data);
static ngx_int_t ngx_chat_replica_guarded(ngx_chat_db_result_t *res);
static void ngx_chat_replica_tick(ngx_event_t *ev);
static void ngx_chat_replica_ask(ngx_chat_replica_t *replica,
    ngx_msec_t interval);
static void ngx_chat_replica_answered(ngx_chat_db_job_t *job);
static void ngx_chat_replica_tell(ngx_chat_replica_t *replica);


ngx_chat_replica_t *
ngx_chat_replica_create(ngx_cycle_t *cycle, ngx_chat_db_conf_t *conf,
    ngx_chat_db_choice_t *choice, ngx_chat_fresh_t *fresh,
    ngx_chat_db_t *primary, ngx_uint_t hosts,
    const ngx_chat_db_class_t *const *classes, ngx_chat_metrics_t *metrics)
{
    ngx_chat_replica_t  *replica;

    replica = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_replica_t));
    if (replica == NULL) {
        return NULL;
    }

    replica->db = ngx_chat_db_create(cycle, conf, choice, &ngx_chat_sql_setup,
                                     classes, metrics);
    if (replica->db == NULL) {
        return NULL;
    }

    replica->primary = primary;
    replica->ident = (ngx_socket_t) -1;
    replica->fresh = fresh;
    replica->metrics = metrics;
    replica->hosts = hosts;

    replica->guard.ready = ngx_chat_replica_guard_ready;
    replica->guard.build = ngx_chat_replica_guard;
    replica->guard.result = ngx_chat_replica_guarded;
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

    if (replica == NULL || !job->class->replica) {
        return primary;
    }

    if (replica->hosts) {
        rc = ngx_chat_fresh_next(replica->fresh, &job->need);

        if (rc == NGX_OK) {
            replica->wanted = job->need;
            ngx_chat_replica_ask(replica, 0);

            if (!replica->asking) {
                /* nobody would wake who waits */
                rc = NGX_DECLINED;
            }
        }

    } else {
        rc = ngx_chat_fresh_covers(replica->fresh, user_id, &job->need);
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
 * What the database has shown is an event: a replica could know less than the
 * page before, or than a cursor of "after=" stands for.  Who reads is likely to
 * go on reading.
 */

void
ngx_chat_replica_done(ngx_chat_replica_t *replica, ngx_chat_db_job_t *job,
    uint32_t user_id)
{
    if (replica == NULL || job->replica) {
        return;
    }

    if (job->class->news) {
        ngx_chat_fresh_event(replica->fresh, user_id);
    }

    if (job->class->replica) {
        ngx_chat_replica_ask(replica, NGX_CHAT_REPLICA_SOON);
    }
}


void
ngx_chat_replica_event(ngx_chat_replica_t *replica, uint32_t user_id)
{
    if (replica) {
        ngx_chat_fresh_event(replica->fresh, user_id);
    }
}


static ngx_int_t
ngx_chat_replica_guard_ready(ngx_chat_db_job_t *job, void *data)
{
    ngx_chat_replica_t *replica = data;

    return ngx_chat_fresh_answered(replica->fresh, job->need);
}


static ngx_msec_t
ngx_chat_replica_guard(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n, void *data)
{
    ngx_chat_replica_t *replica = data;

    u_char      buf[NGX_CHAT_FRESH_POSITION];
    ngx_str_t   position;
    ngx_uint_t  i, need;
    ngx_msec_t  begun;

    need = 0;

    for (i = 0; i < n; i++) {
        need = ngx_max(need, jobs[i]->need);
    }

    position.data = buf;

    begun = ngx_chat_fresh_position(replica->fresh, need, &position);

    ngx_chat_sql_reached_build(text, &position);

    return begun;
}


static ngx_int_t
ngx_chat_replica_guarded(ngx_chat_db_result_t *res)
{
    return ngx_chat_sql_reached(res);
}


static void
ngx_chat_replica_tick(ngx_event_t *ev)
{
    ngx_chat_replica_t *replica = ev->data;

    if (ngx_exiting) {
        return;
    }

    (void) ngx_chat_db_replica_ready(replica->db);

    ngx_chat_replica_ask(replica,
                         NGX_CHAT_REPLICA_TICK - NGX_CHAT_REPLICA_SLACK);

    ngx_add_timer(ev, NGX_CHAT_REPLICA_TICK);
}


static void
ngx_chat_replica_ask(ngx_chat_replica_t *replica, ngx_msec_t interval)
{
    ngx_chat_db_job_t  *job;

    if (replica->asking || ngx_exiting
        || ngx_chat_fresh_ask(replica->fresh, interval, &replica->question)
           != NGX_OK)
    {
        return;
    }

    job = &replica->op.job;

    replica->op.buf = replica->buf;
    replica->op.size = NGX_CHAT_FRESH_POSITION;

    job->class = &ngx_chat_sql_position;
    job->handler = ngx_chat_replica_answered;
    job->data = replica;

    replica->asking = (ngx_chat_db_submit(replica->primary, job) == NGX_OK);
}


static void
ngx_chat_replica_answered(ngx_chat_db_job_t *job)
{
    ngx_chat_replica_t *replica = job->data;

    replica->asking = 0;

    if (job->rc == NGX_OK) {
        ngx_chat_fresh_answer(replica->fresh, &replica->question,
                              &replica->op.position);

        ngx_chat_replica_tell(replica);
    }

    /* who came while it was under way waits for the next, all together */

    ngx_chat_db_replica_wake(replica->db, job->rc == NGX_OK
                                          && replica->op.position.len);

    if (replica->wanted > replica->question.number) {
        ngx_chat_replica_ask(replica, 0);

        if (!replica->asking) {
            ngx_chat_db_replica_wake(replica->db, 0);
        }
    }
}


static void
ngx_chat_replica_tell(ngx_chat_replica_t *replica)
{
    ngx_log_t         *log;
    ngx_chat_fresh_e   what;

    log = replica->tick.log;

    if (replica->op.position.len) {
        what = NGX_CHAT_FRESH_KNOWN;

    } else {
        what = replica->op.too_long ? NGX_CHAT_FRESH_TOO_LONG
                                    : NGX_CHAT_FRESH_NONE;
    }

    if (ngx_chat_fresh_tell(replica->fresh, what) != NGX_OK) {
        return;
    }

    switch (what) {

    case NGX_CHAT_FRESH_KNOWN:
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "chat: replicas can be used now");
        break;

    case NGX_CHAT_FRESH_TOO_LONG:
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "chat: replicas are not used: the position of the "
                      "database has more than %d characters, or others than "
                      "are known", NGX_CHAT_FRESH_POSITION);
        break;

    default: /* NGX_CHAT_FRESH_NONE */
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "chat: replicas are not used: the database has no GTID "
                      "to compare by, set log_bin, for MySQL gtid_mode as "
                      "well");
    }
}
