
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_publish.h"
#include "ngx_chat_announce.h"


/*
 * The zone knows the sends under way, by sender and client id.  Each worker
 * looks there now and then for what is left of them, of its own and of
 * processes that are gone, and sees to one after another:
 *
 *   tick -> next -> the message is looked up -> looked_up -> publish -> ended
 *             ^                                    |           |          |
 *             +---- not there, or failed: later ---+-----------+          |
 *             +---- announced by all publishers --------------------------+
 *
 * nchan takes subrequests only, and nobody's request is at hand: there is one
 * without a client for each publish, with a connection whose socket is never
 * used.  Whatever way nginx ends it, its pool's cleanup tells.
 */


#define NGX_CHAT_ANNOUNCE_FIRST  100          /* ms after a worker's start */
#define NGX_CHAT_ANNOUNCE_TICK   1000         /* ms */

/*
 * What is not there, or not taken by nchan, is tried again after 1, 2, 4, 8 and
 * 16 seconds.  A transaction whose client has gone ends long before.
 */
#define NGX_CHAT_ANNOUNCE_TRIES  5


struct ngx_chat_announcer_s {
    ngx_chat_workers_t         *workers;
    ngx_chat_metrics_t         *metrics;
    ngx_chat_db_t              *db;
    ngx_array_t                *publishers;
    ngx_log_t                  *log;

    ngx_event_t                 tick;
    ngx_event_t                 ended;         /* of a request; posted */
    ngx_uint_t                  place;         /* in the table, of the next */

    /* seen to just now */
    ngx_chat_unannounced_t     *entry;         /* or NULL */
    ngx_chat_sql_message_t      op;
    ngx_pool_t                 *pool;          /* of the look-up, or NULL */
    ngx_uint_t                  publisher;
    unsigned                    announced:1;   /* by this publisher */
};


static void ngx_chat_announcer_cleanup(void *data);
static void ngx_chat_announce_kept(void *data);
static void ngx_chat_announce_tick(ngx_event_t *ev);
static void ngx_chat_announce_next(ngx_chat_announcer_t *a);
static ngx_int_t ngx_chat_announce_look_up(ngx_chat_announcer_t *a);
static void ngx_chat_announce_looked_up(ngx_chat_db_job_t *job);
static void ngx_chat_announce_later(ngx_chat_announcer_t *a);
static void ngx_chat_announce_done(ngx_chat_announcer_t *a);
static ngx_int_t ngx_chat_announce_publish(ngx_chat_announcer_t *a);
static void ngx_chat_announce_ended(void *data);
static void ngx_chat_announce_ended_handler(ngx_event_t *ev);

static ngx_http_request_t *ngx_chat_announce_request(
    ngx_chat_publisher_t *publisher, ngx_log_t *log);
static ngx_connection_t *ngx_chat_announce_connection(ngx_log_t *log);
static void ngx_chat_announce_event(ngx_event_t *ev);
static void ngx_chat_announce_wake(ngx_http_request_t *r);
static void ngx_chat_announce_close(ngx_http_request_t *r);


static struct sockaddr  ngx_chat_announce_sockaddr = { .sa_family = AF_UNIX };
static ngx_str_t        ngx_chat_announce_addr = ngx_string("unix:");


ngx_int_t
ngx_chat_announce_publisher(ngx_conf_t *cf, ngx_chat_loc_conf_t *chlcf)
{
    ngx_uint_t             i;
    ngx_http_conf_ctx_t   *conf;
    ngx_chat_publisher_t  *publisher;
    ngx_chat_main_conf_t  *chmcf;

    conf = cf->ctx;

    chmcf = ngx_http_conf_get_module_main_conf(cf, ngx_chat_module);
    publisher = chmcf->publishers.elts;

    for (i = 0; i < chmcf->publishers.nelts; i++) {
        if (publisher[i].conf.srv_conf == conf->srv_conf
            && publisher[i].uri.len == chlcf->publish.len
            && ngx_memcmp(publisher[i].uri.data, chlcf->publish.data,
                          chlcf->publish.len) == 0)
        {
            return NGX_OK;
        }
    }

    publisher = ngx_array_push(&chmcf->publishers);
    if (publisher == NULL) {
        return NGX_ERROR;
    }

    publisher->uri = chlcf->publish;
    publisher->conf = *conf;

    return NGX_OK;
}


ngx_chat_announcer_t *
ngx_chat_announcer_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_pool_cleanup_t    *cln;
    ngx_chat_announcer_t  *a;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_chat_announcer_t));
    if (cln == NULL) {
        return NULL;
    }

    a = cln->data;
    ngx_memzero(a, sizeof(ngx_chat_announcer_t));

    a->workers = chmcf->worker->workers;
    a->metrics = chmcf->worker->metrics;
    a->db = chmcf->worker->db;
    a->publishers = &chmcf->publishers;
    a->log = cycle->log;

    a->tick.handler = ngx_chat_announce_tick;
    a->tick.data = a;
    a->tick.log = cycle->log;
    a->tick.cancelable = 1;

    a->ended.handler = ngx_chat_announce_ended_handler;
    a->ended.data = a;
    a->ended.log = cycle->log;

    ngx_add_timer(&a->tick, NGX_CHAT_ANNOUNCE_FIRST);

    cln->handler = ngx_chat_announcer_cleanup;

    return a;
}


static void
ngx_chat_announcer_cleanup(void *data)
{
    ngx_chat_announcer_t *a = data;

    if (a->tick.timer_set) {
        ngx_del_timer(&a->tick);
    }

    if (a->ended.posted) {
        ngx_delete_posted_event(&a->ended);
    }

    if (a->pool) {
        ngx_destroy_pool(a->pool);
    }
}


void
ngx_chat_announce_keep(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t sender_id, ngx_str_t *client_id)
{
    ngx_pool_cleanup_t    *cln;
    ngx_chat_loc_conf_t   *chlcf;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);
    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chmcf->worker->announcer == NULL || chlcf->publish.len == 0) {
        return;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return;
    }

    ctx->unannounced = ngx_chat_workers_unannounced(chmcf->worker->workers,
                                                    sender_id, client_id);

    cln->handler = ngx_chat_announce_kept;
    cln->data = ctx;
}


/* the request has ended */

static void
ngx_chat_announce_kept(void *data)
{
    ngx_chat_ctx_t *ctx = data;

    if (ctx->unannounced == NULL) {
        return;
    }

    if (ctx->announced) {
        ngx_chat_workers_announced(ctx->unannounced);
        return;
    }

    if (ngx_exiting) {
        ngx_chat_workers_left(ctx->unannounced);
        return;
    }

    ctx->unannounced->due = ngx_current_msec;
}


static void
ngx_chat_announce_tick(ngx_event_t *ev)
{
    ngx_chat_announcer_t *a = ev->data;

    a->place = 0;

    ngx_chat_announce_next(a);
}


/* an exiting worker leaves the rest to those that stay */

static void
ngx_chat_announce_next(ngx_chat_announcer_t *a)
{
    if (ngx_exiting) {
        return;
    }

    for ( ;; ) {
        a->entry = ngx_chat_workers_due(a->workers, &a->place);

        if (a->entry == NULL) {
            break;
        }

        if (ngx_chat_announce_look_up(a) == NGX_OK) {
            return;
        }

        a->entry->due = ngx_current_msec + NGX_CHAT_ANNOUNCE_TICK;
    }

    ngx_add_timer(&a->tick, NGX_CHAT_ANNOUNCE_TICK);
}


static ngx_int_t
ngx_chat_announce_look_up(ngx_chat_announcer_t *a)
{
    ngx_memzero(&a->op, sizeof(ngx_chat_sql_message_t));

    a->pool = ngx_create_pool(1024, a->log);
    if (a->pool == NULL) {
        return NGX_ERROR;
    }

    a->op.sender_id = a->entry->sender_id;
    a->op.client_id.data = a->entry->client_id;
    a->op.client_id.len = a->entry->client_id_len;

    a->op.job.class = &ngx_chat_sql_message_by_client;
    a->op.job.handler = ngx_chat_announce_looked_up;
    a->op.job.data = a;
    a->op.job.pool = a->pool;

    if (ngx_chat_db_submit(a->db, &a->op.job) != NGX_OK) {
        ngx_destroy_pool(a->pool);
        a->pool = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_chat_announce_looked_up(ngx_chat_db_job_t *job)
{
    ngx_chat_announcer_t *a = job->data;

    if (ngx_exiting) {

        /* a publish of ours would reach no socket */

        ngx_chat_workers_left(a->entry);

    } else if (job->rc == NGX_BUSY || job->rc == NGX_ERROR) {

        /* this tells nothing of the message */

        a->entry->due = ngx_current_msec + NGX_CHAT_ANNOUNCE_TICK;

    } else if (a->op.message.id == 0) {
        ngx_chat_announce_later(a);

    } else {
        a->publisher = 0;

        if (ngx_chat_announce_publish(a) == NGX_OK) {
            return;
        }

        ngx_chat_announce_later(a);
    }

    ngx_chat_announce_done(a);
    ngx_chat_announce_next(a);
}


static void
ngx_chat_announce_later(ngx_chat_announcer_t *a)
{
    if (a->entry->tries == NGX_CHAT_ANNOUNCE_TRIES) {

        if (a->op.message.id) {
            ngx_log_error(NGX_LOG_ERR, a->log, 0,
                          "chat message %uL could not be announced: "
                          "clients find it when they catch up",
                          a->op.message.id);
        }

        ngx_chat_workers_announced(a->entry);
        return;
    }

    a->entry->due = ngx_current_msec + (1000 << a->entry->tries);
    a->entry->tries++;
}


static void
ngx_chat_announce_done(ngx_chat_announcer_t *a)
{
    ngx_destroy_pool(a->pool);
    a->pool = NULL;
    a->entry = NULL;
}


static ngx_int_t
ngx_chat_announce_publish(ngx_chat_announcer_t *a)
{
    ngx_chat_ctx_t        *ctx;
    ngx_connection_t      *c;
    ngx_pool_cleanup_t    *cln;
    ngx_http_request_t    *r;
    ngx_chat_publisher_t  *publisher;

    publisher = a->publishers->elts;

    r = ngx_chat_announce_request(&publisher[a->publisher], a->log);
    if (r == NULL) {
        return NGX_ERROR;
    }

    c = r->connection;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_chat_ctx_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (ctx == NULL || cln == NULL) {
        ngx_chat_announce_close(r);
        return NGX_ERROR;
    }

    ngx_http_set_ctx(r, ctx, ngx_chat_module);

    ctx->data = a;
    a->announced = 0;

    cln->handler = ngx_chat_announce_ended;
    cln->data = ctx;

    if (ngx_chat_publish(r, ctx, &a->op.message) == NGX_AGAIN) {
        ngx_http_run_posted_requests(c);

    } else {
        ngx_chat_announce_close(r);
    }

    return NGX_OK;
}


/* takes notes only: the request is being freed */

static void
ngx_chat_announce_ended(void *data)
{
    ngx_chat_ctx_t *ctx = data;

    ngx_chat_announcer_t  *a;

    a = ctx->data;
    a->announced = ctx->announced;

    ngx_post_event(&a->ended, &ngx_posted_events);
}


static void
ngx_chat_announce_ended_handler(ngx_event_t *ev)
{
    ngx_chat_announcer_t *a = ev->data;

    if (a->announced) {

        if (++a->publisher < a->publishers->nelts
            && !ngx_exiting
            && ngx_chat_announce_publish(a) == NGX_OK)
        {
            return;
        }
    }

    if (a->publisher == a->publishers->nelts) {

        ngx_log_error(NGX_LOG_NOTICE, a->log, 0,
                      "chat message %uL is announced by another than who "
                      "has stored it", a->op.message.id);

        ngx_chat_metrics_count(a->metrics, NGX_CHAT_COUNT_ANNOUNCED_LATE);
        ngx_chat_workers_announced(a->entry);

    } else if (ngx_exiting) {
        ngx_chat_workers_left(a->entry);

    } else {
        ngx_chat_announce_later(a);
    }

    ngx_chat_announce_done(a);
    ngx_chat_announce_next(a);
}


/*
 * A request without a client, the main one of a publish.  It has all that
 * handlers of a subrequest look at, and that nginx needs to end it.
 */

static ngx_http_request_t *
ngx_chat_announce_request(ngx_chat_publisher_t *publisher, ngx_log_t *log)
{
    ngx_time_t                 *tp;
    ngx_connection_t           *c;
    ngx_http_log_ctx_t         *ctx;
    ngx_http_request_t         *r;
    ngx_http_connection_t      *hc;
    ngx_http_core_main_conf_t  *cmcf;

    c = ngx_chat_announce_connection(log);
    if (c == NULL) {
        return NULL;
    }

    ctx = c->log->data;

    r = ngx_pcalloc(c->pool, sizeof(ngx_http_request_t));
    hc = ngx_pcalloc(c->pool, sizeof(ngx_http_connection_t));

    if (r == NULL || hc == NULL) {
        ngx_http_close_connection(c);
        return NULL;
    }

    r->pool = ngx_create_pool(1024, c->log);
    if (r->pool == NULL) {
        ngx_http_close_connection(c);
        return NULL;
    }

    hc->conf_ctx = &publisher->conf;

    r->http_connection = hc;
    r->connection = c;
    r->signature = NGX_HTTP_MODULE;
    r->main = r;

    c->data = r;
    ctx->request = r;
    ctx->current_request = r;

    r->main_conf = publisher->conf.main_conf;
    r->srv_conf = publisher->conf.srv_conf;
    r->loc_conf = publisher->conf.loc_conf;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_chat_announce_wake;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    r->ctx = ngx_pcalloc(r->pool, sizeof(void *) * ngx_http_max_module);
    r->variables = ngx_pcalloc(r->pool, cmcf->variables.nelts
                                        * sizeof(ngx_http_variable_value_t));

    if (r->ctx == NULL || r->variables == NULL
        || ngx_list_init(&r->headers_in.headers, r->pool, 1,
                         sizeof(ngx_table_elt_t)) != NGX_OK
        || ngx_list_init(&r->headers_out.headers, r->pool, 1,
                         sizeof(ngx_table_elt_t)) != NGX_OK)
    {
        ngx_chat_announce_close(r);
        return NULL;
    }

    r->method = NGX_HTTP_POST;
    r->http_version = NGX_HTTP_VERSION_11;
    r->headers_in.content_length_n = -1;
    r->headers_in.keep_alive_n = -1;
    r->headers_out.content_length_n = -1;
    r->headers_out.last_modified_time = -1;
    r->http_state = NGX_HTTP_PROCESS_REQUEST_STATE;
    r->uri = publisher->uri;

    r->count = 1;
    r->uri_changes = NGX_HTTP_MAX_URI_CHANGES + 1;
    r->subrequests = NGX_HTTP_MAX_SUBREQUESTS + 1;

    tp = ngx_timeofday();
    r->start_sec = tp->sec;
    r->start_msec = tp->msec;

    /* no client waits for it, nobody logs it, limits are for clients */

    r->done = 1;
    r->logged = 1;
    r->limit_conn_status = 1;
    r->limit_req_status = 1;

    return r;
}


static ngx_connection_t *
ngx_chat_announce_connection(ngx_log_t *log)
{
    ngx_socket_t         fd;
    ngx_connection_t    *c;
    ngx_http_log_ctx_t  *ctx;

    fd = ngx_socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_socket_n " failed");
        return NULL;
    }

    c = ngx_get_connection(fd, log);

    if (c == NULL) {
        if (ngx_close_socket(fd) == -1) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                          ngx_close_socket_n " failed");
        }

        return NULL;
    }

    c->pool = ngx_create_pool(2048, log);

    if (c->pool == NULL) {
        ngx_close_connection(c);
        return NULL;
    }

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    c->log = ngx_palloc(c->pool, sizeof(ngx_log_t));
    ctx = ngx_pcalloc(c->pool, sizeof(ngx_http_log_ctx_t));

    if (c->log == NULL || ctx == NULL) {
        c->log = log;
        ngx_http_close_connection(c);
        return NULL;
    }

    *c->log = *log;

    ctx->connection = c;

    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->start_time = ngx_current_msec;

    c->log->connection = c->number;
    c->log->data = ctx;
    c->log->handler = NULL;

    c->sockaddr = &ngx_chat_announce_sockaddr;
    c->socklen = sizeof(struct sockaddr);
    c->addr_text = ngx_chat_announce_addr;
    c->local_sockaddr = &ngx_chat_announce_sockaddr;
    c->local_socklen = sizeof(struct sockaddr);

    c->read->log = c->log;
    c->read->handler = ngx_chat_announce_event;
    c->write->log = c->log;
    c->write->handler = ngx_chat_announce_event;

    return c;
}


static void
ngx_chat_announce_event(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    c = ev->data;
    r = c->data;

    if (c->close) {
        ngx_chat_announce_close(r);
        return;
    }

    ngx_http_set_log_request(c->log, r);

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_announce_wake(ngx_http_request_t *r)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (!ctx->publishing) {
        ngx_chat_announce_close(r);
    }
}


static void
ngx_chat_announce_close(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_free_request(r, 0);
    ngx_http_close_connection(c);
}
