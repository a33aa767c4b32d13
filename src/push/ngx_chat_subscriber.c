
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/push/ngx_chat_channel.h"
#include "src/push/ngx_chat_nchan.h"
#include "src/push/ngx_chat_subscriber.h"
#include "src/push/ngx_chat_wait.h"


/* interval at which revocations of other workers are read, ms */
#define NGX_CHAT_SUBSCRIBER_TICK     500

/* the database is queried for the session of a socket at this multiple of the
   chat_session_check of its location: each minute by default */
#define NGX_CHAT_SUBSCRIBER_RECHECK  6

/* concurrent lookups */
#define NGX_CHAT_SUBSCRIBER_LOOKUPS  32

/* a resync closes sockets in this number of steps, with this interval, ms: one
   second in all, so that clients do not return at the same moment */
#define NGX_CHAT_SUBSCRIBER_STEPS    20
#define NGX_CHAT_SUBSCRIBER_STEP     50

/*
 * Time that a worker without sockets waits before it exits, milliseconds.  It
 * protects locations of other users of nchan: its workers send each other
 * pointers to shared messages.  One that exits meanwhile frees them, and others
 * crash.
 */
#define NGX_CHAT_SUBSCRIBER_LINGER   250

/* maximum time to wait for other workers to begin to exit, and the interval of
   the check, ms */
#define NGX_CHAT_SUBSCRIBER_WAIT     5000
#define NGX_CHAT_SUBSCRIBER_LOOK     50


typedef struct ngx_chat_subscriber_s  ngx_chat_subscriber_t;


/* a socket; in the pool of its request */

struct ngx_chat_subscriber_s {
    ngx_queue_t                 queue;         /* oldest check first */
    ngx_queue_t                 link;          /* of the channel */
    ngx_chat_channel_t         *channel;
    ngx_http_request_t         *request;
    ngx_chat_subscribers_t     *subscribers;

    uint32_t                    user_id;
    ngx_chat_hash_t             hash;
    time_t                      expires;       /* 0: not by a session */
    ngx_msec_t                  checked;       /* ngx_current_msec */
    ngx_msec_t                  recheck;       /* ms */
    unsigned                    closed:1;
    unsigned                    resync:1;      /* to be closed */
    unsigned                    due:1;         /* for a lookup at once */
    unsigned                    eof:1;         /* hidden from nchan */

    ngx_chat_wait_t             wait;          /* for Redis */

    ngx_chat_db_job_t          *job;           /* a lookup, or NULL */
    ngx_pool_t                 *pool;          /* of the lookup, since a
                                                  socket lives long */

    union {
        ngx_chat_db_job_t         job;
        ngx_chat_query_session_t  session;
        ngx_chat_query_user_t     user;
    } op;
};


struct ngx_chat_subscribers_s {
    ngx_queue_t                 queue;         /* of this worker */
    ngx_uint_t                  lookups;       /* in progress */
    ngx_msec_t                  waited;        /* for other workers, ms */
    unsigned                    suspended:1;   /* some are due, but too many
                                                  lookups are in progress */
    ngx_uint_t                  revision;      /* of revocations read */
    ngx_event_t                 event;
    ngx_event_t                 resync;        /* timer */
    ngx_uint_t                  steps;         /* of the resync, left */
    ngx_chat_worker_t          *worker;
    ngx_chat_db_t              *db;
    ngx_chat_metrics_t         *metrics;
    ngx_chat_revocations_t     *revocations;
    ngx_chat_generations_t     *generations;
};


static void ngx_chat_subscriber_remove(void *data);
static void ngx_chat_subscriber_tick(ngx_event_t *ev);
static ngx_uint_t ngx_chat_subscribers_close(ngx_chat_subscribers_t *subs);
static void ngx_chat_subscriber_revoked(ngx_chat_subscribers_t *subs);
static void ngx_chat_subscriber_due(ngx_chat_subscribers_t *subs);
static void ngx_chat_subscriber_recheck(ngx_chat_subscribers_t *subs);
static ngx_int_t ngx_chat_subscriber_lookup(ngx_chat_subscriber_t *sub);
static void ngx_chat_subscriber_looked_up(ngx_chat_db_job_t *job);
static void ngx_chat_subscriber_close(ngx_chat_subscriber_t *sub);

static void ngx_chat_subscriber_resync(ngx_chat_subscribers_t *subs,
    ngx_chat_subscriber_t *sub);
static void ngx_chat_subscribers_resync_step(ngx_event_t *ev);


ngx_chat_subscribers_t *
ngx_chat_subscribers_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_chat_subscribers_t  *subs;

    subs = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_subscribers_t));
    if (subs == NULL) {
        return NULL;
    }

    ngx_queue_init(&subs->queue);

    subs->worker = chmcf->worker;
    subs->db = chmcf->worker->db;
    subs->metrics = chmcf->worker->metrics;
    subs->generations = chmcf->worker->zone->generations;
    subs->revocations = chmcf->worker->zone->revocations;
    subs->revision = ngx_chat_revocation_revision(subs->revocations);

    subs->event.handler = ngx_chat_subscriber_tick;
    subs->event.data = subs;
    subs->event.log = cycle->log;
    subs->event.cancelable = 1;

    subs->resync.handler = ngx_chat_subscribers_resync_step;
    subs->resync.data = subs;
    subs->resync.log = cycle->log;
    subs->resync.cancelable = 1;

    return subs;
}


ngx_int_t
ngx_chat_subscriber_add(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_pool_cleanup_t      *cln;
    ngx_chat_channel_t      *channel;
    ngx_chat_loc_conf_t     *chlcf;
    ngx_chat_main_conf_t    *chmcf;
    ngx_chat_subscriber_t   *sub;
    ngx_chat_subscribers_t  *subs;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_subscriber_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);
    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);
    subs = chmcf->worker->subscribers;

    channel = ngx_chat_channel_get(chmcf->worker->channels,
                                   chlcf->subscriber
                                   == NGX_CHAT_SUBSCRIBER_EVENTS,
                                   chlcf->group, ctx->user.id,
                                   r->connection->log);
    if (channel == NULL) {
        return NGX_BUSY;
    }

    sub = cln->data;
    ngx_memzero(sub, sizeof(ngx_chat_subscriber_t));

    sub->channel = channel;
    ngx_queue_insert_tail(&channel->sockets, &sub->link);

    ctx->push.channel = channel->name;

    sub->request = r;
    sub->subscribers = subs;
    sub->user_id = ctx->user.id;

    /* the session may have been in the zone for that time */

    sub->checked = ngx_current_msec - chlcf->session_check;
    sub->recheck = NGX_CHAT_SUBSCRIBER_RECHECK * chlcf->session_check;
    sub->recheck = ngx_max(sub->recheck, 5000);
    sub->due = (ctx->auth.revision != ngx_chat_http_revision(r));

    if (ctx->auth.session) {
        ngx_memcpy(sub->hash, ctx->auth.hash, NGX_CHAT_HASH_LEN);
        sub->expires = ctx->auth.expires;
    }

    if (ngx_chat_stream_quic(r->connection)) {

        /* the end of the request is not the end of the connection */

        sub->eof = r->connection->read->eof;
        r->connection->read->eof = 0;

        ngx_chat_stream_watch(r);
    }

    cln->handler = ngx_chat_subscriber_remove;

    ngx_queue_insert_tail(&subs->queue, &sub->queue);
    subs->metrics->gauges[NGX_CHAT_GAUGE_SOCKETS]++;

    ngx_chat_presence_zone_report(subs->worker->presence_zone, sub->user_id,
                                  0);

    if (!subs->event.timer_set) {

        /* earlier revocations do not concern this session */

        subs->revision = ngx_chat_http_revision(r);

        ngx_add_timer(&subs->event, NGX_CHAT_SUBSCRIBER_TICK);
    }

    return ngx_chat_wait(&sub->wait, subs->worker->redis, r, sub->user_id);
}


ngx_uint_t
ngx_chat_subscriber_fit(ngx_http_request_t *r)
{
    ngx_chat_generations_t  *generations;

    generations = ngx_chat_http_worker(r)->zone->generations;

    return !ngx_exiting && !ngx_chat_generation_resized(generations);
}


void
ngx_chat_subscribers_confirm(ngx_chat_subscribers_t *subs,
    ngx_chat_channel_t *channel)
{
    ngx_queue_t            *q;
    ngx_chat_subscriber_t  *sub;

    for (q = ngx_queue_head(&channel->sockets);
         q != ngx_queue_sentinel(&channel->sockets);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, link);

        if (ngx_chat_wait_confirm(&sub->wait) == NGX_DECLINED) {
            ngx_chat_subscriber_resync(subs, sub);
        }
    }
}


static void
ngx_chat_subscriber_remove(void *data)
{
    ngx_chat_subscriber_t  *sub = data;

    if (sub->job) {
        ngx_chat_db_cancel(sub->job);
        ngx_destroy_pool(sub->pool);
        sub->subscribers->lookups--;
    }

    ngx_chat_wait_end(&sub->wait);

    if (sub->eof) {
        sub->request->connection->read->eof = 1;
    }

    ngx_chat_presence_zone_report(sub->subscribers->worker->presence_zone,
                                  sub->user_id, 0);

    ngx_queue_remove(&sub->link);
    ngx_chat_channel_release(sub->subscribers->worker->channels, sub->channel);

    ngx_queue_remove(&sub->queue);
    sub->subscribers->metrics->gauges[NGX_CHAT_GAUGE_SOCKETS]--;
}


static void
ngx_chat_subscriber_tick(ngx_event_t *ev)
{
    ngx_chat_subscribers_t  *subs = ev->data;

    if (ngx_exiting) {

        if (ngx_chat_subscribers_close(subs)) {
            ngx_add_timer(ev, NGX_CHAT_SUBSCRIBER_LINGER);
            return;
        }

        if (subs->waited < NGX_CHAT_SUBSCRIBER_WAIT
            && ngx_chat_generation_staying(subs->generations,
                                           NGX_CHAT_SUBSCRIBER_LINGER))
        {
            subs->waited += NGX_CHAT_SUBSCRIBER_LOOK;
            ngx_add_timer(ev, NGX_CHAT_SUBSCRIBER_LOOK);
            return;
        }

        ev->cancelable = 1;

    } else {
        ngx_chat_subscriber_revoked(subs);
        ngx_chat_subscriber_due(subs);
        ngx_chat_subscriber_recheck(subs);
    }

    /* without sockets, the next socket starts the timer again */

    if (!ngx_queue_empty(&subs->queue)) {
        ngx_add_timer(ev, NGX_CHAT_SUBSCRIBER_TICK);
    }
}


void
ngx_chat_subscribers_leave(ngx_chat_subscribers_t *subs)
{
    ngx_chat_nchan_block_pipes();
    ngx_chat_generation_leave(subs->generations);

    (void) ngx_chat_subscribers_close(subs);

    if (subs->event.timer_set) {
        ngx_del_timer(&subs->event);
    }

    subs->event.cancelable = 0;

    ngx_add_timer(&subs->event, NGX_CHAT_SUBSCRIBER_LINGER);
}


/*
 * Closes sockets, which do not receive notifications of new workers, and
 * returns their number.  Requests without a response get one: a handshake now,
 * a long poll when the worker exits.  HTTP/3 streams would not send it then.
 */

static ngx_uint_t
ngx_chat_subscribers_close(ngx_chat_subscribers_t *subs)
{
    ngx_uint_t              n;
    ngx_queue_t            *q;
    ngx_chat_subscriber_t  *sub;

    n = 0;

    for (q = ngx_queue_head(&subs->queue);
         q != ngx_queue_sentinel(&subs->queue);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);

        if (sub->wait.waiting) {

            /* it gets 503 */

            (void) ngx_chat_wait_confirm(&sub->wait);

        } else if (!sub->closed
                   && (sub->request->header_sent
                       || ngx_chat_stream_quic(sub->request->connection)))
        {
            ngx_chat_subscriber_close(sub);
            n++;
        }
    }

    return n;
}


/*
 * Closing only shuts the socket down, so that the queue does not change: the
 * request ends later, by its own read event.
 */

static void
ngx_chat_subscriber_revoked(ngx_chat_subscribers_t *subs)
{
    ngx_int_t               rc;
    ngx_uint_t              same;
    ngx_queue_t            *q;
    ngx_chat_subscriber_t  *sub;
    ngx_chat_revocation_t   revocation;

    for ( ;; ) {
        rc = ngx_chat_revocation_get(subs->revocations, subs->revision,
                                     &revocation);

        if (rc == NGX_DECLINED) {
            return;
        }

        if (rc == NGX_ABORT) {

            /* revocations were missed: look up all sessions */

            subs->revision = ngx_chat_revocation_revision(subs->revocations);

            for (q = ngx_queue_head(&subs->queue);
                 q != ngx_queue_sentinel(&subs->queue);
                 q = ngx_queue_next(q))
            {
                sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);
                sub->due = 1;
            }

            return;
        }

        /* rc == NGX_OK */

        subs->revision++;

        for (q = ngx_queue_head(&subs->queue);
             q != ngx_queue_sentinel(&subs->queue);
             q = ngx_queue_next(q))
        {
            sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);

            same = sub->expires
                   && ngx_memcmp(sub->hash, revocation.hash, NGX_CHAT_HASH_LEN)
                      == 0;

            if (revocation.user_id
                ? (sub->user_id == revocation.user_id && !same) : same)
            {
                ngx_chat_subscriber_close(sub);
            }
        }
    }
}


/* closes sockets whose session has expired */

static void
ngx_chat_subscriber_due(ngx_chat_subscribers_t *subs)
{
    ngx_queue_t            *q;
    ngx_connection_t       *c;
    ngx_chat_subscriber_t  *sub;

    for (q = ngx_queue_head(&subs->queue);
         q != ngx_queue_sentinel(&subs->queue);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);
        c = sub->request->connection;

        if (c->error || ngx_chat_stream_gone(c)) {

            /* nchan has missed the end of the stream */

            sub->closed = 1;

            if (ngx_chat_stream_reset(sub->request) != NGX_OK) {
                ngx_post_event(c->read, &ngx_posted_events);
            }

        } else if (sub->expires && sub->expires <= ngx_time()) {
            ngx_chat_subscriber_close(sub);
        }
    }
}


/*
 * Looks up sessions that are due, a limited number at a time.  They move to the
 * end of the queue; otherwise the first ones would be due again before the last
 * ones are looked up.
 */

static void
ngx_chat_subscriber_recheck(ngx_chat_subscribers_t *subs)
{
    ngx_queue_t            *q, *next;
    ngx_chat_subscriber_t  *sub;

    subs->suspended = 0;

    for (q = ngx_queue_head(&subs->queue);
         q != ngx_queue_sentinel(&subs->queue);
         q = next)
    {
        next = ngx_queue_next(q);
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);

        if (sub->closed || sub->job
            || !(sub->due || ngx_current_msec - sub->checked >= sub->recheck))
        {
            continue;
        }

        if (subs->lookups == NGX_CHAT_SUBSCRIBER_LOOKUPS) {
            subs->suspended = 1;
            return;
        }

        if (ngx_chat_subscriber_lookup(sub) != NGX_OK) {
            return;
        }

        ngx_queue_remove(&sub->queue);
        ngx_queue_insert_tail(&subs->queue, &sub->queue);
    }
}


static ngx_int_t
ngx_chat_subscriber_lookup(ngx_chat_subscriber_t *sub)
{
    ngx_int_t           rc;
    ngx_chat_db_job_t  *job;

    ngx_memzero(&sub->op, sizeof(sub->op));

    sub->pool = ngx_create_pool(512, sub->request->connection->log);
    if (sub->pool == NULL) {
        return NGX_ERROR;
    }

    job = &sub->op.job;

    job->handler = ngx_chat_subscriber_looked_up;
    job->data = sub;
    job->pool = sub->pool;

    if (sub->expires) {
        job->type = &ngx_chat_query_session_get;
        sub->op.session.hashes = &sub->hash;
        sub->op.session.n = 1;

    } else {
        job->type = &ngx_chat_query_user_by_id;
        sub->op.user.id = sub->user_id;
    }

    rc = ngx_chat_db_submit(sub->subscribers->db, job);

    if (rc != NGX_OK) {
        ngx_destroy_pool(sub->pool);
        return rc;
    }

    sub->job = job;
    sub->due = 0;
    sub->subscribers->lookups++;

    return NGX_OK;
}


static void
ngx_chat_subscriber_looked_up(ngx_chat_db_job_t *job)
{
    ngx_pool_t              *pool;
    ngx_chat_subscriber_t   *sub;
    ngx_chat_subscribers_t  *subs;

    sub = job->data;
    subs = sub->subscribers;
    pool = sub->pool;

    sub->job = NULL;
    subs->lookups--;

    /* while the database is unavailable, sockets stay open */

    if (job->rc == NGX_OK) {
        sub->checked = ngx_current_msec;

        if (sub->expires ? sub->op.session.user.id == 0
                         : !sub->op.user.user.active)
        {
            ngx_chat_subscriber_close(sub);
        }

        if (subs->suspended) {
            ngx_chat_subscriber_recheck(subs);
        }

    } else {
        sub->due = 1;
    }

    ngx_destroy_pool(pool);
}


/*
 * For nchan, the client has disconnected.  nchan's own way to end a subscriber,
 * a DELETE of the channel, aborts workers if a subscribe is in progress.  A
 * stream shares its socket with others, so only the stream is reset.
 */

static void
ngx_chat_subscriber_close(ngx_chat_subscriber_t *sub)
{
    ngx_connection_t  *c;

    if (sub->closed) {
        return;
    }

    sub->closed = 1;

    c = sub->request->connection;

    ngx_log_error(NGX_LOG_INFO, c->log, 0,
                  "chat: closing a subscriber");

    if (ngx_chat_stream_reset(sub->request) == NGX_OK) {
        return;
    }

    if (shutdown(c->fd, SHUT_RDWR) == -1) {
        ngx_log_error(NGX_LOG_INFO, c->log, ngx_socket_errno,
                      "chat shutdown() failed");
    }
}


void
ngx_chat_subscribers_resync(ngx_chat_subscribers_t *subs, ngx_uint_t events)
{
    ngx_queue_t            *q;
    ngx_chat_subscriber_t  *sub;

    for (q = ngx_queue_head(&subs->queue);
         q != ngx_queue_sentinel(&subs->queue);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);

        if (events || !sub->channel->events) {
            ngx_chat_subscriber_resync(subs, sub);
        }
    }
}


void
ngx_chat_subscribers_resync_user(ngx_chat_subscribers_t *subs,
    ngx_chat_channel_t *channel)
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&channel->sockets);
         q != ngx_queue_sentinel(&channel->sockets);
         q = ngx_queue_next(q))
    {
        ngx_chat_subscriber_resync(subs,
                         ngx_queue_data(q, ngx_chat_subscriber_t, link));
    }
}


static void
ngx_chat_subscriber_resync(ngx_chat_subscribers_t *subs,
    ngx_chat_subscriber_t *sub)
{
    /* the client of a new socket catches up anyway */

    if (sub->resync || sub->wait.waiting) {
        return;
    }

    sub->resync = 1;

    ngx_chat_metrics_count(subs->metrics, NGX_CHAT_COUNT_RESYNCS);

    subs->steps = NGX_CHAT_SUBSCRIBER_STEPS;

    if (!subs->resync.timer_set) {
        ngx_add_timer(&subs->resync, NGX_CHAT_SUBSCRIBER_STEP);
    }
}


/* closes a random part of the sockets, and the rest in the last step */

static void
ngx_chat_subscribers_resync_step(ngx_event_t *ev)
{
    ngx_chat_subscribers_t *subs = ev->data;

    ngx_queue_t            *q;
    ngx_chat_subscriber_t  *sub;

    for (q = ngx_queue_head(&subs->queue);
         q != ngx_queue_sentinel(&subs->queue);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);

        if (sub->resync && (ngx_uint_t) ngx_random() % subs->steps == 0) {
            ngx_chat_subscriber_close(sub);
        }
    }

    if (--subs->steps && !ngx_exiting) {
        ngx_add_timer(ev, NGX_CHAT_SUBSCRIBER_STEP);
    }
}
