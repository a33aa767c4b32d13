
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_subscriber.h"


/* how often other workers' revocations are looked for, milliseconds */
#define NGX_CHAT_SUBSCRIBER_TICK     500

/* a socket's session is looked up in the database after so many times the
   chat_session_check of its location: each minute by default */
#define NGX_CHAT_SUBSCRIBER_RECHECK  6

/* look-ups at a time */
#define NGX_CHAT_SUBSCRIBER_LOOKUPS  32

/*
 * How long a worker lives on without sockets before it exits, milliseconds.
 * nchan's workers send each other pointers to shared messages: one that exits
 * with some under way frees them, and others crash.
 */
#define NGX_CHAT_SUBSCRIBER_LINGER   250

/* how long it waits for others that hear late that all are to leave, and how
   often it looks for them */
#define NGX_CHAT_SUBSCRIBER_WAIT     5000
#define NGX_CHAT_SUBSCRIBER_LOOK     50


typedef struct ngx_chat_subscriber_s  ngx_chat_subscriber_t;


/* of one socket; in its request's pool */

struct ngx_chat_subscriber_s {
    ngx_queue_t                 queue;         /* oldest check first */
    ngx_http_request_t         *request;
    ngx_chat_subscribers_t     *subscribers;

    uint32_t                    user_id;
    u_char                      hash[NGX_CHAT_HASH_LEN];
    time_t                      expires;       /* 0: no session of ours */
    time_t                      checked;
    time_t                      recheck;       /* seconds */
    ngx_uint_t                  epoch;
    unsigned                    closed:1;

    ngx_chat_db_job_t          *job;           /* a look-up, or NULL */
    ngx_pool_t                 *pool;          /* of the look-up: a socket
                                                  lives long */

    union {
        ngx_chat_db_job_t       job;
        ngx_chat_sql_session_t  session;
        ngx_chat_sql_user_t     user;
    } op;
};


struct ngx_chat_subscribers_s {
    ngx_queue_t                 queue;         /* all of this worker */
    ngx_uint_t                  lookups;       /* under way */
    ngx_msec_t                  waited;        /* for others to leave, too */
    unsigned                    more:1;        /* others are due for one */
    ngx_uint_t                  revision;      /* revocations seen */
    ngx_event_t                 event;
    ngx_chat_db_t              *db;
    ngx_chat_metrics_t         *metrics;
    ngx_shm_zone_t             *zone;          /* NULL: no chat_zone */
    ngx_chat_workers_t         *workers;
};


static void ngx_chat_subscriber_remove(void *data);
static void ngx_chat_subscriber_tick(ngx_event_t *ev);
static void ngx_chat_subscribers_leave(ngx_event_t *rev);
static ngx_uint_t ngx_chat_subscribers_close(ngx_chat_subscribers_t *subs);
static void ngx_chat_subscribers_spare(void);
static void ngx_chat_subscribers_spared(ngx_event_t *rev);
static void ngx_chat_subscriber_revoked(ngx_chat_subscribers_t *subs);
static void ngx_chat_subscriber_due(ngx_chat_subscribers_t *subs);
static void ngx_chat_subscriber_recheck(ngx_chat_subscribers_t *subs);
static ngx_int_t ngx_chat_subscriber_lookup(ngx_chat_subscriber_t *sub);
static void ngx_chat_subscriber_looked_up(ngx_chat_db_job_t *job);
static void ngx_chat_subscriber_close(ngx_chat_subscriber_t *sub);

static ngx_int_t ngx_chat_subscriber_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


/* of the configuration read last, as all of nginx's filters have it */
static ngx_http_output_body_filter_pt  ngx_chat_next_body_filter;


ngx_chat_subscribers_t *
ngx_chat_subscribers_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_socket_t             fd;
    ngx_connection_t        *c;
    ngx_chat_subscribers_t  *subs;

    subs = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_subscribers_t));
    if (subs == NULL) {
        return NULL;
    }

    ngx_queue_init(&subs->queue);

    subs->db = chmcf->worker->db;
    subs->metrics = chmcf->worker->metrics;
    subs->zone = chmcf->zone;
    subs->workers = chmcf->worker->workers;
    subs->revision = ngx_chat_cache_revision(subs->zone ? subs->zone->data
                                                        : NULL);

    subs->event.handler = ngx_chat_subscriber_tick;
    subs->event.data = subs;
    subs->event.log = cycle->log;
    subs->event.cancelable = 1;

    /*
     * A connection that leads nowhere and is always idle: nginx ends those when
     * the worker begins to exit, which is how it is known here.
     */

    fd = ngx_socket(AF_UNIX, SOCK_DGRAM, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NULL;
    }

    c = ngx_get_connection(fd, cycle->log);

    if (c == NULL) {
        (void) ngx_close_socket(fd);
        return NULL;
    }

    c->data = subs;
    c->idle = 1;
    c->read->handler = ngx_chat_subscribers_leave;

    return subs;
}


ngx_int_t
ngx_chat_subscriber_add(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_pool_cleanup_t      *cln;
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

    sub = cln->data;
    ngx_memzero(sub, sizeof(ngx_chat_subscriber_t));

    sub->request = r;
    sub->subscribers = subs;
    sub->user_id = ctx->user.id;
    sub->checked = ctx->overtaken ? 0 : ngx_time();
    sub->recheck = NGX_CHAT_SUBSCRIBER_RECHECK * chlcf->session_check / 1000;
    sub->recheck = ngx_max(sub->recheck, 5);

    ctx->epoch = ngx_chat_http_epoch(r);
    sub->epoch = ctx->epoch;

    if (ctx->session) {
        ngx_memcpy(sub->hash, ctx->hash, NGX_CHAT_HASH_LEN);
        sub->expires = ctx->expires;
    }

    cln->handler = ngx_chat_subscriber_remove;

    ngx_queue_insert_tail(&subs->queue, &sub->queue);
    subs->metrics->gauges[NGX_CHAT_GAUGE_SOCKETS]++;

    if (!subs->event.timer_set) {

        /* what ended while nobody listened is not about this session */

        subs->revision = ngx_chat_cache_revision(ngx_chat_http_cache(r));

        ngx_add_timer(&subs->event, NGX_CHAT_SUBSCRIBER_TICK);
    }

    return NGX_OK;
}


static void
ngx_chat_subscriber_remove(void *data)
{
    ngx_chat_subscriber_t *sub = data;

    if (sub->job) {
        ngx_chat_db_cancel(sub->job);
        ngx_destroy_pool(sub->pool);
        sub->subscribers->lookups--;
    }

    ngx_queue_remove(&sub->queue);
    sub->subscribers->metrics->gauges[NGX_CHAT_GAUGE_SOCKETS]--;
}


static void
ngx_chat_subscriber_tick(ngx_event_t *ev)
{
    ngx_chat_subscribers_t *subs = ev->data;

    if (ngx_exiting) {

        if (ngx_chat_subscribers_close(subs)) {
            ngx_add_timer(ev, NGX_CHAT_SUBSCRIBER_LINGER);
            return;
        }

        if (subs->waited < NGX_CHAT_SUBSCRIBER_WAIT
            && ngx_chat_workers_staying(subs->workers,
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

    /* without sockets the next one starts it again */

    if (!ngx_queue_empty(&subs->queue)) {
        ngx_add_timer(ev, NGX_CHAT_SUBSCRIBER_TICK);
    }
}


static void
ngx_chat_subscribers_leave(ngx_event_t *rev)
{
    ngx_connection_t        *c;
    ngx_chat_subscribers_t  *subs;

    c = rev->data;
    subs = c->data;

    ngx_close_connection(c);

    ngx_chat_subscribers_spare();
    ngx_chat_workers_leave(subs->workers);

    (void) ngx_chat_subscribers_close(subs);

    if (subs->event.timer_set) {
        ngx_del_timer(&subs->event);
    }

    subs->event.cancelable = 0;

    ngx_add_timer(&subs->event, NGX_CHAT_SUBSCRIBER_LINGER);
}


/*
 * What the new workers are sent does not reach these any more.  Who has no
 * answer yet gets one: a handshake, or a long poll when the worker exits.
 * Returns how many there were.
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

        if (sub->request->header_sent && !sub->closed) {
            ngx_chat_subscriber_close(sub);
            n++;
        }
    }

    return n;
}


/*
 * When worker_shutdown_timeout ends, nginx calls the read handlers of all
 * connections.  Those by which nchan's workers write to each other have none,
 * which the worker would die of; and nchan would count it as alive for ever,
 * and abort others at later reloads.
 */

static void
ngx_chat_subscribers_spare(void)
{
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = ngx_cycle->connections;

    for (i = 0; i < ngx_cycle->connection_n; i++) {
        if (c[i].fd != (ngx_socket_t) -1 && c[i].read->handler == NULL) {
            c[i].read->handler = ngx_chat_subscribers_spared;
        }
    }
}


static void
ngx_chat_subscribers_spared(ngx_event_t *rev)
{
    /* void */
}


/*
 * Closing shuts the socket down and touches nothing else, so that the queue
 * stays as it is: the request ends later, by its own read event.
 */

static void
ngx_chat_subscriber_revoked(ngx_chat_subscribers_t *subs)
{
    ngx_int_t               rc;
    ngx_uint_t              same;
    ngx_queue_t            *q;
    ngx_chat_cache_t       *cache;
    ngx_chat_revoked_t      revoked;
    ngx_chat_subscriber_t  *sub;

    cache = subs->zone ? subs->zone->data : NULL;

    for ( ;; ) {
        rc = ngx_chat_cache_revoked(cache, subs->revision, &revoked);

        if (rc == NGX_DECLINED) {
            return;
        }

        if (rc == NGX_ABORT) {

            /* too much has happened to know what: look everybody up */

            subs->revision = ngx_chat_cache_revision(cache);

            for (q = ngx_queue_head(&subs->queue);
                 q != ngx_queue_sentinel(&subs->queue);
                 q = ngx_queue_next(q))
            {
                sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);
                sub->checked = 0;
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
                   && ngx_memcmp(sub->hash, revoked.hash, NGX_CHAT_HASH_LEN)
                      == 0;

            if (revoked.user_id ? (sub->user_id == revoked.user_id && !same)
                                : same)
            {
                ngx_chat_subscriber_close(sub);
            }
        }
    }
}


/* what has expired is closed, and what nchan may have left silent */

static void
ngx_chat_subscriber_due(ngx_chat_subscribers_t *subs)
{
    ngx_uint_t              epoch;
    ngx_queue_t            *q;
    ngx_connection_t       *c;
    ngx_chat_subscriber_t  *sub;

    epoch = ngx_chat_workers_epoch(subs->workers);

    for (q = ngx_queue_head(&subs->queue);
         q != ngx_queue_sentinel(&subs->queue);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);
        c = sub->request->connection;

        if (c->error) {

            /* a stream of HTTP/2 whose end nchan has missed, once or more */

            sub->closed = 1;
            ngx_post_event(c->read, &ngx_posted_events);

        } else if (sub->epoch != epoch
                   || (sub->expires && sub->expires <= ngx_time()))
        {
            ngx_chat_subscriber_close(sub);
        }
    }
}


/*
 * Who has not been looked up for long, is, so many at a time.  They go to the
 * end of the queue, or the first ones' turn would come again before the last
 * ones' has come.
 */

static void
ngx_chat_subscriber_recheck(ngx_chat_subscribers_t *subs)
{
    ngx_queue_t            *q, *next;
    ngx_chat_subscriber_t  *sub;

    subs->more = 0;

    for (q = ngx_queue_head(&subs->queue);
         q != ngx_queue_sentinel(&subs->queue);
         q = next)
    {
        next = ngx_queue_next(q);
        sub = ngx_queue_data(q, ngx_chat_subscriber_t, queue);

        if (sub->closed || sub->job
            || sub->checked + sub->recheck > ngx_time())
        {
            continue;
        }

        if (subs->lookups == NGX_CHAT_SUBSCRIBER_LOOKUPS) {
            subs->more = 1;
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
    ngx_int_t          rc;
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
        job->class = &ngx_chat_sql_session_get;
        ngx_memcpy(sub->op.session.hash, sub->hash, NGX_CHAT_HASH_LEN);

    } else {
        job->class = &ngx_chat_sql_user_by_id;
        sub->op.user.id = sub->user_id;
    }

    rc = ngx_chat_db_submit(sub->subscribers->db, job);

    if (rc != NGX_OK) {
        ngx_destroy_pool(sub->pool);
        return rc;
    }

    sub->job = job;
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

    /* a database out of reach closes nothing: the next tick asks again */

    if (job->rc == NGX_OK) {
        sub->checked = ngx_time();

        if (sub->expires ? sub->op.session.user.id == 0
                         : !sub->op.user.user.active)
        {
            ngx_chat_subscriber_close(sub);
        }

        if (subs->more) {
            ngx_chat_subscriber_recheck(subs);
        }
    }

    ngx_destroy_pool(pool);
}


/*
 * nchan sees a client that has gone.  Its own way to end a subscriber, DELETE
 * on the channel, aborts workers when it races with a subscribe.  A stream of
 * HTTP/2 shares its connection, so that the stream alone is failed.
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
                  "chat session has ended, or a worker: closing a subscriber");

    if (sub->request->http_version >= NGX_HTTP_VERSION_20) {
        c->error = 1;
        ngx_post_event(c->read, &ngx_posted_events);

#if (NGX_HTTP_V2)

        /* the frame that tells the client would wait for the next write */

        if (sub->request->stream) {
            c = sub->request->stream->connection->connection;
            ngx_post_event(c->write, &ngx_posted_events);
        }

#endif

        return;
    }

    if (shutdown(c->fd, SHUT_RDWR) == -1) {
        ngx_log_error(NGX_LOG_INFO, c->log, ngx_socket_errno,
                      "chat shutdown() failed");
    }
}


void
ngx_chat_subscriber_filter_init(void)
{
    ngx_chat_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_chat_subscriber_filter;
}


/*
 * All that nchan says passes here, by WebSocket, EventSource or long-polling.
 * A message that another host has stored is known to this one from here only;
 * so the stamp is set before its person can hear of it.
 */

static ngx_int_t
ngx_chat_subscriber_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chat_ctx_t       *ctx;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->subscriber && in != NULL && r == r->main) {

        ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

        if (ctx && ctx->user.id) {
            ngx_chat_http_event(r, ctx->user.id);
        }
    }

    return ngx_chat_next_body_filter(r, in);
}
