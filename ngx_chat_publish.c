
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_publish.h"


/*
 * One publish by subrequest to nchan's publisher location.  What is known of
 * nchan (1.3.6 to 1.3.8) and makes this file what it is:
 *
 * - With more than one worker nchan ends the subrequest from its inter-process
 *   handler, and never ends it when the worker that it has asked exits or dies
 *   first.  So the answer does not wait for that: the subrequest is one in the
 *   background.  It has to begin before the answer is sent, since a client
 *   that has left then ends both; the parent is therefore posted behind it.
 *   The post-subrequest handler only takes notes: finalizing the parent or
 *   running posted requests there is use after free.  It posts the write
 *   event of the connection, though, whose handler runs posted requests.  What
 *   never ends is ended by a timer.
 *
 * - The subrequest inherits the client's headers; If-None-Match makes nchan
 *   answer 400, Upgrade takes its WebSocket path, Origin may be refused.  It
 *   is given none.
 *
 * - Without NGX_HTTP_SUBREQUEST_IN_MEMORY nchan's text reaches the client.
 *
 * - It drops what comes from a client that has left, or has closed its side
 *   only.  The message is stored all the same, so the subrequest is not shown
 *   that; afterwards the connection learns of it again, since no event will
 *   tell it a second time.
 */


/* how long a publish may take, milliseconds: one that is heard of takes few */
#define NGX_CHAT_PUBLISH_TIMEOUT  5000

/*
 * How long others may take to answer a worker that died, milliseconds: to come
 * to what it has asked, and then to write.
 */
#define NGX_CHAT_PUBLISH_UNREAD   2000
#define NGX_CHAT_PUBLISH_DRAIN    250


static ngx_int_t ngx_chat_publish_channels(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_message_t *message);
static void ngx_chat_publish_prepare(ngx_http_request_t *sr,
    ngx_http_request_body_t *body, ngx_list_t *headers);
static ngx_http_request_body_t *ngx_chat_publish_body(ngx_pool_t *pool,
    uint64_t id);
static ngx_int_t ngx_chat_publish_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
static void ngx_chat_publish_timeout(ngx_event_t *ev);
static void ngx_chat_publish_cleanup(void *data);
static ngx_uint_t ngx_chat_publish_pipe(ngx_connection_t *c);
static void ngx_chat_publish_discard(ngx_connection_t *c, ngx_msec_t msec);


static ngx_str_t  ngx_chat_publish_method = ngx_string("POST");


ngx_int_t
ngx_chat_publish(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_t *message)
{
    ngx_list_t                  *headers;
    ngx_event_t                 *rev;
    ngx_pool_cleanup_t          *cln;
    ngx_http_request_t          *sr;
    ngx_chat_loc_conf_t         *chlcf;
    ngx_http_request_body_t     *body;
    ngx_http_post_subrequest_t  *psr;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->publish.len == 0) {
        return NGX_DECLINED;
    }

    psr = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    body = ngx_chat_publish_body(r->pool, message->id);
    headers = ngx_list_create(r->pool, 1, sizeof(ngx_table_elt_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (psr == NULL || body == NULL || headers == NULL || cln == NULL
        || ngx_chat_publish_channels(r, ctx, message) != NGX_OK)
    {
        goto failed;
    }

    cln->handler = ngx_chat_publish_cleanup;
    cln->data = ctx;

    psr->handler = ngx_chat_publish_done;
    psr->data = ctx;

    r->connection->log->action = "publishing a message";

    if (ngx_http_subrequest(r, &chlcf->publish, NULL, &sr, psr,
                            NGX_HTTP_SUBREQUEST_IN_MEMORY
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        goto failed;
    }

    ctx->publishing = 1;

    ctx->publish.handler = ngx_chat_publish_timeout;
    ctx->publish.data = sr;
    ctx->publish.log = r->connection->log;

    ngx_add_timer(&ctx->publish, NGX_CHAT_PUBLISH_TIMEOUT);

    rev = r->connection->read;

    ctx->eof = rev->eof;
    ctx->pending_eof = rev->pending_eof;

    rev->eof = 0;
    rev->pending_eof = 0;

    /* the subrequest has only been posted: it runs when we have returned */

    ngx_chat_publish_prepare(sr, body, headers);

    return (ngx_http_post_request(r, NULL) == NGX_OK) ? NGX_AGAIN
                                                      : NGX_DECLINED;

failed:

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chat message %uL is stored, but could not be published",
                  message->id);

    ngx_chat_http_count(r, NGX_CHAT_COUNT_PUBLISH_FAILED);

    return NGX_DECLINED;
}


/*
 * The channels of both people in this epoch, in those of other hosts and, as a
 * location of nchan may be named by $chat_user_id alone, in the first one.
 */

static ngx_int_t
ngx_chat_publish_channels(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_t *message)
{
    u_char                *p;
    uint32_t               epochs[NGX_CHAT_SQL_EPOCHS + 2];
    ngx_uint_t             i, n, own;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    n = ngx_chat_hosts_epochs(chmcf->worker->hosts, epochs);
    own = ngx_chat_http_epoch(r);

    for (i = 0; i < n && epochs[i] != own; i++) { /* void */ }

    if (i == n && own) {
        epochs[n++] = own;
    }

    epochs[n++] = 0;

    p = ngx_pnalloc(r->pool, n * 2 * (NGX_CHAT_CHANNEL_LEN + 1));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->channels.data = p;

    for (i = 0; i < n; i++) {
        p = ngx_chat_http_channel(p, message->sender_id, epochs[i]);
        *p++ = ',';

        if (message->recipient_id != message->sender_id) {
            p = ngx_chat_http_channel(p, message->recipient_id, epochs[i]);
            *p++ = ',';
        }
    }

    ctx->channels.len = p - 1 - ctx->channels.data;

    return NGX_OK;
}


/* a POST of its own, without what it has inherited */

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
    sr->headers_in.server = sr->main->headers_in.server;
    sr->headers_in.content_length_n = body->buf->last - body->buf->pos;
    sr->headers_in.keep_alive_n = -1;
}


/* the text clients know: {"message": "4711"} */

static ngx_http_request_body_t *
ngx_chat_publish_body(ngx_pool_t *pool, uint64_t id)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = ngx_pcalloc(pool, sizeof(ngx_http_request_body_t));
    b = ngx_create_temp_buf(pool, sizeof("{\"message\": \"\"}")
                                  + NGX_INT64_LEN);
    cl = ngx_alloc_chain_link(pool);

    if (rb == NULL || b == NULL || cl == NULL) {
        return NULL;
    }

    b->last = ngx_sprintf(b->last, "{\"message\": \"%uL\"}", id);
    b->last_buf = 1;
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    rb->buf = b;
    rb->bufs = cl;

    return rb;
}


static ngx_int_t
ngx_chat_publish_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_chat_ctx_t *ctx = data;

    ngx_uint_t         status;
    ngx_connection_t  *c;

    /*
     * A handler that finalizes calls this again: once is enough.  nchan's does
     * and returns NGX_OK besides, while Redis is out of reach; nginx would log
     * an alert for it, though nothing is counted twice.
     */

    if (!ctx->publishing) {
        sr->logged = 0;
        return rc;
    }

    ngx_chat_publish_cleanup(ctx);

    ctx->publishing = 0;

    status = (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? (ngx_uint_t) rc
                                               : sr->headers_out.status;

    c = sr->connection;

    if (ctx->eof) {
        c->read->eof = 1;
    }

    if (ctx->pending_eof) {
        c->read->pending_eof = 1;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "chat publish done: %i, %ui", rc, status);

    if (rc == NGX_ERROR || status < NGX_HTTP_OK
        || status >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "chat publish to \"%V\" failed with status %ui: "
                      "the message is stored, clients find it when they "
                      "catch up", &sr->uri, status);

        ngx_chat_http_count(sr, NGX_CHAT_COUNT_PUBLISH_FAILED);

    } else {
        ctx->announced = 1;
        ngx_chat_http_count(sr, NGX_CHAT_COUNT_PUBLISHED);
    }

    /* where the client has left, this ends the request: let somebody run it */
    ngx_post_event(c->write, &ngx_posted_events);

    return NGX_OK;
}


/*
 * It is not heard of any more.  Until it ends the connection takes no further
 * request, and an answer that is still being sent refers to it.
 */

static void
ngx_chat_publish_timeout(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *sr;

    sr = ev->data;

    if (!sr->main->done) {
        ngx_add_timer(ev, NGX_CHAT_PUBLISH_TIMEOUT);
        return;
    }

    c = sr->connection;

    ngx_http_set_log_request(c->log, sr);

    ngx_http_finalize_request(sr, NGX_HTTP_GATEWAY_TIME_OUT);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_publish_cleanup(void *data)
{
    ngx_chat_ctx_t *ctx = data;

    if (ctx->publish.timer_set) {
        ngx_del_timer(&ctx->publish);
    }
}


/*
 * nchan's pipe to a worker outlives it.  In there are answers to what the dead
 * one had asked, with pointers into its memory: the first of them would be the
 * next one's death.  So would those be that others are about to write, who may
 * have been busy and have its questions still before them: each of their pipes
 * has to be seen empty.  This worker has taken no connection so far, so that
 * nobody waits for it.
 *
 * nchan has just made a connection of an end of each pipe: it reads from this
 * worker's, and writes to the others'.
 */

void
ngx_chat_publish_drain(ngx_cycle_t *cycle)
{
    int                unread;
    ngx_uint_t         i, msec;
    ngx_connection_t  *c, *own;

    own = NULL;

    for (i = 0; i < cycle->connection_n; i++) {
        c = &cycle->connections[i];

        if (ngx_chat_publish_pipe(c) && c->read->active) {
            own = c;
            break;
        }
    }

    if (own == NULL) {
        return;
    }

    msec = 0;

    for (i = 0; i < cycle->connection_n; i++) {
        c = &cycle->connections[i];

        if (c == own || !ngx_chat_publish_pipe(c)) {
            continue;
        }

        while (msec < NGX_CHAT_PUBLISH_UNREAD
               && ioctl(c->fd, FIONREAD, &unread) == 0
               && unread)
        {
            ngx_chat_publish_discard(own, 5);
            msec += 5;
        }
    }

    ngx_chat_publish_discard(own, NGX_CHAT_PUBLISH_DRAIN);
}


static ngx_uint_t
ngx_chat_publish_pipe(ngx_connection_t *c)
{
    struct stat  sb;

    return c->fd != (ngx_socket_t) -1
           && fstat(c->fd, &sb) == 0
           && S_ISFIFO(sb.st_mode);
}


/* what comes from it in so many milliseconds */

static void
ngx_chat_publish_discard(ngx_connection_t *c, ngx_msec_t msec)
{
    u_char      buf[4096];
    ngx_msec_t  passed;

    for (passed = 0; passed < msec; passed += 5) {

        while (read(c->fd, buf, sizeof(buf)) > 0) { /* void */ }

        ngx_msleep(5);
    }
}
