
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/push/ngx_chat_publish.h"


/*
 * A request accumulates the memory of its subrequests, so it is freed after
 * this number of publishes at the latest.
 */
#define NGX_CHAT_PUBLISH_BATCH    32

/*
 * A subrequest that has not ended at once will hardly ever end, for example
 * because of directives in its location.  It counts as failed, and is ended
 * after this time, ms.
 */
#define NGX_CHAT_PUBLISH_TIMEOUT  5000


/* of a request without a client: ctx->data */

typedef struct {
    ngx_chat_publisher_t       *publisher;     /* NULL: it waits for the end of
                                                  its subrequest by itself */
    ngx_http_request_t         *sr;            /* in progress, or NULL */
    ngx_uint_t                  status;        /* of the last one */
    ngx_event_t                 timeout;
} ngx_chat_publish_batch_t;


static ngx_int_t ngx_chat_publish_begin(ngx_http_request_t *r,
    ngx_chat_publish_batch_t *batch, ngx_str_t *text);
static void ngx_chat_publish_prepare(ngx_http_request_t *sr,
    ngx_http_request_body_t *body, ngx_list_t *headers);
static ngx_http_request_body_t *ngx_chat_publish_body(ngx_pool_t *pool,
    ngx_str_t *text);
static ngx_int_t ngx_chat_publish_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
static void ngx_chat_publish_timeout(ngx_event_t *ev);
static void ngx_chat_publish_cleanup(void *data);

static ngx_chat_publish_batch_t *ngx_chat_publish_batch(
    ngx_chat_publisher_t *publisher, ngx_log_t *log);
static ngx_http_request_t *ngx_chat_publish_request(
    ngx_chat_publisher_t *publisher, ngx_log_t *log);
static ngx_int_t ngx_chat_publish_request_init(ngx_http_request_t *r);
static ngx_connection_t *ngx_chat_publish_connection(ngx_log_t *log);
static void ngx_chat_publish_event(ngx_event_t *ev);
static void ngx_chat_publish_wake(ngx_http_request_t *r);
static void ngx_chat_publish_close(ngx_http_request_t *r);


static ngx_str_t        ngx_chat_publish_method = ngx_string("POST");
static struct sockaddr  ngx_chat_publish_sockaddr = { .sa_family = AF_UNIX };
static ngx_str_t        ngx_chat_publish_addr = ngx_string("unix:");


ngx_int_t
ngx_chat_publisher_add(ngx_conf_t *cf, ngx_chat_loc_conf_t *chlcf)
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

    ngx_memzero(publisher, sizeof(ngx_chat_publisher_t));

    publisher->uri = chlcf->publish;
    publisher->conf = *conf;

    return NGX_OK;
}


ngx_int_t
ngx_chat_publish(ngx_chat_publisher_t *publisher, ngx_str_t *channels,
    ngx_str_t *text, ngx_log_t *log)
{
    ngx_uint_t                 status;
    ngx_chat_ctx_t            *ctx;
    ngx_http_request_t        *r;
    ngx_chat_publish_batch_t  *batch;

    batch = ngx_chat_publish_batch(publisher, log);
    if (batch == NULL) {
        return NGX_ERROR;
    }

    r = publisher->request;
    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    ctx->push.channels.len = channels->len;
    ctx->push.channels.data = ngx_pstrdup(r->pool, channels);

    if (ctx->push.channels.data == NULL
        || ngx_chat_publish_begin(r, batch, text) != NGX_OK)
    {
        ngx_chat_publish_end(publisher);
        return NGX_ERROR;
    }

    ngx_http_run_posted_requests(r->connection);

    if (publisher->request == NULL) {

        /* nginx has ended the request because of an error */

        status = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else if (batch->sr) {

        status = 0;

        batch->publisher = NULL;
        publisher->request = NULL;

        ngx_add_timer(&batch->timeout, NGX_CHAT_PUBLISH_TIMEOUT);

    } else {
        status = batch->status;

        if (++publisher->n == NGX_CHAT_PUBLISH_BATCH) {
            ngx_chat_publish_end(publisher);
        }
    }

    if (status < NGX_HTTP_OK || status >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "chat publish to \"%V\" failed with status %ui",
                      &publisher->uri, status);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_chat_publish_end(ngx_chat_publisher_t *publisher)
{
    if (publisher->request) {
        ngx_chat_publish_close(publisher->request);
    }
}


/* posts the subrequest */

static ngx_int_t
ngx_chat_publish_begin(ngx_http_request_t *r, ngx_chat_publish_batch_t *batch,
    ngx_str_t *text)
{
    ngx_list_t                  *headers;
    ngx_http_request_t          *sr;
    ngx_http_request_body_t     *body;
    ngx_http_post_subrequest_t  *psr;

    psr = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    body = ngx_chat_publish_body(r->pool, text);
    headers = ngx_list_create(r->pool, 1, sizeof(ngx_table_elt_t));

    if (psr == NULL || body == NULL || headers == NULL) {
        return NGX_ERROR;
    }

    psr->handler = ngx_chat_publish_done;
    psr->data = batch;

    if (ngx_http_subrequest(r, &r->uri, NULL, &sr, psr,
                            NGX_HTTP_SUBREQUEST_IN_MEMORY
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_chat_publish_prepare(sr, body, headers);

    batch->sr = sr;

    return NGX_OK;
}


static void
ngx_chat_publish_prepare(ngx_http_request_t *sr, ngx_http_request_body_t *body,
    ngx_list_t *headers)
{
    sr->method = NGX_HTTP_POST;
    sr->method_name = ngx_chat_publish_method;
    sr->request_body = body;

    ngx_memzero(&sr->headers_in, sizeof(ngx_http_headers_in_t));

    sr->headers_in.headers = *headers;
    sr->headers_in.headers.last = &sr->headers_in.headers.part;
    sr->headers_in.content_length_n = body->buf->last - body->buf->pos;
    sr->headers_in.keep_alive_n = -1;
}


static ngx_http_request_body_t *
ngx_chat_publish_body(ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = ngx_pcalloc(pool, sizeof(ngx_http_request_body_t));
    b = ngx_create_temp_buf(pool, text->len);
    cl = ngx_alloc_chain_link(pool);

    if (rb == NULL || b == NULL || cl == NULL) {
        return NULL;
    }

    b->last = ngx_cpymem(b->last, text->data, text->len);
    b->last_buf = 1;
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    rb->buf = b;
    rb->bufs = cl;

    return rb;
}


/* only records the result: nchan calls it, and nginx ends the subrequest */

static ngx_int_t
ngx_chat_publish_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_chat_publish_batch_t  *batch = data;

    if (batch->timeout.timer_set) {
        ngx_del_timer(&batch->timeout);
    }

    batch->sr = NULL;
    batch->status = (rc >= NGX_HTTP_SPECIAL_RESPONSE)
                    ? (ngx_uint_t) rc : sr->headers_out.status;

    if (batch->publisher == NULL) {

        /* it has ended late: the request ends, too */

        ngx_post_event(sr->connection->write, &ngx_posted_events);
    }

    return NGX_OK;
}


static void
ngx_chat_publish_timeout(ngx_event_t *ev)
{
    ngx_connection_t          *c;
    ngx_http_request_t        *sr;
    ngx_chat_publish_batch_t  *batch;

    batch = ev->data;
    sr = batch->sr;
    c = sr->connection;

    ngx_http_set_log_request(c->log, sr);

    ngx_http_finalize_request(sr, NGX_HTTP_GATEWAY_TIME_OUT);

    ngx_http_run_posted_requests(c);
}


/* the request is being freed */

static void
ngx_chat_publish_cleanup(void *data)
{
    ngx_chat_publish_batch_t  *batch = data;

    if (batch->timeout.timer_set) {
        ngx_del_timer(&batch->timeout);
    }

    if (batch->publisher) {
        batch->publisher->request = NULL;
        batch->publisher->n = 0;
    }
}


/* returns the batch of a publisher, created if necessary */

static ngx_chat_publish_batch_t *
ngx_chat_publish_batch(ngx_chat_publisher_t *publisher, ngx_log_t *log)
{
    ngx_chat_ctx_t            *ctx;
    ngx_pool_cleanup_t        *cln;
    ngx_http_request_t        *r;
    ngx_chat_publish_batch_t  *batch;

    if (publisher->request) {
        ctx = ngx_http_get_module_ctx(publisher->request, ngx_chat_module);
        return ctx->data;
    }

    r = ngx_chat_publish_request(publisher, log);
    if (r == NULL) {
        return NULL;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_chat_ctx_t));
    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_publish_batch_t));

    if (ctx == NULL || cln == NULL) {
        ngx_chat_publish_close(r);
        return NULL;
    }

    batch = cln->data;
    ngx_memzero(batch, sizeof(ngx_chat_publish_batch_t));

    batch->publisher = publisher;
    batch->timeout.handler = ngx_chat_publish_timeout;
    batch->timeout.data = batch;
    batch->timeout.log = r->connection->log;

    cln->handler = ngx_chat_publish_cleanup;

    ctx->data = batch;
    ngx_http_set_ctx(r, ctx, ngx_chat_module);

    publisher->request = r;
    publisher->n = 0;

    return batch;
}


/*
 * Creates a request without a client.  It has the members that handlers of a
 * subrequest use, and those that nginx needs to end it.
 */

static ngx_http_request_t *
ngx_chat_publish_request(ngx_chat_publisher_t *publisher, ngx_log_t *log)
{
    ngx_connection_t       *c;
    ngx_http_log_ctx_t     *ctx;
    ngx_http_request_t     *r;
    ngx_http_connection_t  *hc;

    c = ngx_chat_publish_connection(log);
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
    r->write_event_handler = ngx_chat_publish_wake;

    if (ngx_chat_publish_request_init(r) != NGX_OK) {
        ngx_chat_publish_close(r);
        return NULL;
    }

    r->uri = publisher->uri;

    return r;
}


static ngx_int_t
ngx_chat_publish_request_init(ngx_http_request_t *r)
{
    ngx_time_t                 *tp;
    ngx_http_core_main_conf_t  *cmcf;

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
        return NGX_ERROR;
    }

    r->method = NGX_HTTP_POST;
    r->http_version = NGX_HTTP_VERSION_11;
    r->headers_in.content_length_n = -1;
    r->headers_in.keep_alive_n = -1;
    r->headers_out.content_length_n = -1;
    r->headers_out.last_modified_time = -1;
    r->http_state = NGX_HTTP_PROCESS_REQUEST_STATE;

    r->count = 1;
    r->uri_changes = NGX_HTTP_MAX_URI_CHANGES + 1;
    r->subrequests = NGX_HTTP_MAX_SUBREQUESTS + 1;

    tp = ngx_timeofday();
    r->start_sec = tp->sec;
    r->start_msec = tp->msec;

    /* without a client there is no access log, and limits do not apply */

    r->done = 1;
    r->logged = 1;
    r->limit_conn_status = 1;
    r->limit_req_status = 1;

    return NGX_OK;
}


static ngx_connection_t *
ngx_chat_publish_connection(ngx_log_t *log)
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

    c->sockaddr = &ngx_chat_publish_sockaddr;
    c->socklen = sizeof(struct sockaddr);
    c->addr_text = ngx_chat_publish_addr;
    c->local_sockaddr = &ngx_chat_publish_sockaddr;
    c->local_socklen = sizeof(struct sockaddr);

    c->read->log = c->log;
    c->read->handler = ngx_chat_publish_event;
    c->write->log = c->log;
    c->write->handler = ngx_chat_publish_event;

    return c;
}


static void
ngx_chat_publish_event(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    c = ev->data;
    r = c->data;

    if (c->close) {
        ngx_chat_publish_close(r);
        return;
    }

    ngx_http_set_log_request(c->log, r);

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_publish_wake(ngx_http_request_t *r)
{
    ngx_chat_ctx_t            *ctx;
    ngx_chat_publish_batch_t  *batch;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    batch = ctx->data;

    if (batch->publisher == NULL && batch->sr == NULL) {
        ngx_chat_publish_close(r);
    }
}


static void
ngx_chat_publish_close(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_free_request(r, 0);
    ngx_http_close_connection(c);
}
