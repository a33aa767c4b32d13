
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include "src/push/ngx_chat_redis_link.h"


#define NGX_CHAT_REDIS_TIMEOUT    2000        /* ms, until READY */
#define NGX_CHAT_REDIS_TICK       1000        /* ms, between two PINGs */
#define NGX_CHAT_REDIS_SILENT     3           /* ticks without a reply */

/* delay of a reconnect, doubled after each round of all servers, ms */
#define NGX_CHAT_REDIS_DELAY      100
#define NGX_CHAT_REDIS_DELAY_MAX  1600

#define NGX_CHAT_REDIS_IN         (4 * NGX_CHAT_RESP_SIZE)


static void ngx_chat_redis_link_connect(ngx_chat_redis_link_t *link);
static void ngx_chat_redis_link_connected(ngx_chat_redis_link_t *link);
static void ngx_chat_redis_link_greet(ngx_chat_redis_link_t *link);
static void ngx_chat_redis_link_timer_handler(ngx_event_t *ev);
static void ngx_chat_redis_link_tick(ngx_chat_redis_link_t *link);
static void ngx_chat_redis_link_read_handler(ngx_event_t *rev);
static ngx_int_t ngx_chat_redis_link_process(ngx_chat_redis_link_t *link);
static ngx_int_t ngx_chat_redis_link_reply(ngx_chat_redis_link_t *link,
    ngx_chat_resp_t *resp);
static ngx_uint_t ngx_chat_redis_link_pong(ngx_chat_resp_t *resp);
static void ngx_chat_redis_link_error(ngx_chat_redis_link_t *link,
    ngx_str_t *text);
static ngx_uint_t ngx_chat_redis_link_level(ngx_chat_redis_link_t *link);
static void ngx_chat_redis_link_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_chat_redis_link_add(ngx_chat_redis_link_t *link,
    const ngx_str_t *args, ngx_uint_t n);
static ngx_int_t ngx_chat_redis_link_flush(ngx_chat_redis_link_t *link);
static void ngx_chat_redis_link_failed(ngx_chat_redis_link_t *link,
    ngx_err_t err, const char *reason);
static void ngx_chat_redis_link_close(ngx_chat_redis_link_t *link);

#if (NGX_SSL)
static ngx_int_t ngx_chat_redis_link_tls(ngx_chat_redis_link_t *link);
static void ngx_chat_redis_link_tls_handler(ngx_connection_t *c);
#endif


static const ngx_str_t  ngx_chat_redis_ping = ngx_string("PING");


void
ngx_chat_redis_link_start(ngx_chat_redis_link_t *link)
{
    link->timer.handler = ngx_chat_redis_link_timer_handler;
    link->timer.data = link;
    link->timer.log = link->log;
    link->timer.cancelable = 1;

    ngx_add_timer(&link->timer, 1);
}


static void
ngx_chat_redis_link_connect(ngx_chat_redis_link_t *link)
{
    ngx_int_t                 rc;
    ngx_connection_t         *c;
    ngx_peer_connection_t    *pc;
    ngx_chat_redis_server_t  *server;

    server = link->conf->servers.elts;
    server += link->server;

    pc = &link->peer;
    ngx_memzero(pc, sizeof(ngx_peer_connection_t));

    pc->sockaddr = server->sockaddr;
    pc->socklen = server->socklen;
    pc->name = &server->name;
    pc->get = ngx_event_get_peer;
    pc->log = link->log;
    pc->log_error = NGX_ERROR_INFO;

    link->state = NGX_CHAT_REDIS_CONNECTING;

    link->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, link->log);
    link->in.start = ngx_alloc(NGX_CHAT_REDIS_IN, link->log);
    link->out.start = ngx_alloc(link->queue, link->log);

    if (link->pool == NULL || link->in.start == NULL || link->out.start == NULL)
    {
        ngx_chat_redis_link_failed(link, 0, "no memory");
        return;
    }

    link->in.pos = link->in.last = link->in.start;
    link->in.end = link->in.start + NGX_CHAT_REDIS_IN;
    link->out.pos = link->out.last = link->out.start;
    link->out.end = link->out.start + link->queue;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, link->log, 0,
                   "chat redis connect \"%V\", %s", &server->name, link->title);

    rc = ngx_event_connect_peer(pc);

    c = pc->connection;

    if (c == NULL) {
        ngx_chat_redis_link_failed(link, 0, "connect() failed");
        return;
    }

    c->data = link;
    c->pool = link->pool;

    c->read->handler = ngx_chat_redis_link_read_handler;
    c->write->handler = ngx_chat_redis_link_write_handler;

    ngx_add_timer(&link->timer, NGX_CHAT_REDIS_TIMEOUT);

    if (rc == NGX_OK) {
        ngx_chat_redis_link_connected(link);
    }
}


static void
ngx_chat_redis_link_connected(ngx_chat_redis_link_t *link)
{
    int                err;
    socklen_t          len;
    ngx_connection_t  *c;

    c = link->peer.connection;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_chat_redis_link_failed(link, err, "connect() failed");
        return;
    }

    if (link->peer.sockaddr->sa_family != AF_UNIX) {
        (void) ngx_tcp_nodelay(c);
    }

#if (NGX_SSL)

    if (link->conf->tls) {
        if (ngx_chat_redis_link_tls(link) != NGX_OK) {
            ngx_chat_redis_link_failed(link, 0, "no memory for TLS");
        }

        return;
    }

#endif

    ngx_chat_redis_link_greet(link);
}


#if (NGX_SSL)

static ngx_int_t
ngx_chat_redis_link_tls(ngx_chat_redis_link_t *link)
{
    ngx_ssl_t                *ssl;
    ngx_ssl_conn_t           *conn;
    ngx_connection_t         *c;
    X509_VERIFY_PARAM        *param;
    ngx_chat_redis_server_t  *server;

    c = link->peer.connection;
    ssl = (ngx_ssl_t *) &link->conf->ssl;

    server = link->conf->servers.elts;
    server += link->server;

    if (ngx_ssl_create_connection(ssl, c, NGX_SSL_CLIENT) != NGX_OK) {
        return NGX_ERROR;
    }

    conn = c->ssl->connection;
    param = SSL_get0_param(conn);

    if (server->address) {
        if (X509_VERIFY_PARAM_set1_ip_asc(param, (char *) server->host.data)
            == 0)
        {
            return NGX_ERROR;
        }

    } else if (X509_VERIFY_PARAM_set1_host(param, (char *) server->host.data,
                                           server->host.len)
               == 0
               || SSL_set_tlsext_host_name(conn, (char *) server->host.data)
                  == 0)
    {
        return NGX_ERROR;
    }

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_chat_redis_link_tls_handler;
        return NGX_OK;
    }

    ngx_chat_redis_link_tls_handler(c);

    return NGX_OK;
}


static void
ngx_chat_redis_link_tls_handler(ngx_connection_t *c)
{
    long                    rc;
    ngx_chat_redis_link_t  *link;

    link = c->data;

    /* nginx's callback lets the handshake succeed in any case */

    rc = SSL_get_verify_result(c->ssl->connection);

    if (c->ssl->handshaked && rc == X509_V_OK) {
        c->read->handler = ngx_chat_redis_link_read_handler;
        c->write->handler = ngx_chat_redis_link_write_handler;

        ngx_chat_redis_link_greet(link);
        return;
    }

    ngx_chat_redis_link_failed(link, 0,
                               (rc == X509_V_OK)
                               ? "the TLS handshake failed"
                               : X509_verify_cert_error_string(rc));
}

#endif


/* without a password, the reply to PING tells whether one is required */

static void
ngx_chat_redis_link_greet(ngx_chat_redis_link_t *link)
{
    ngx_str_t          args[2];
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = link->peer.connection;

    link->state = NGX_CHAT_REDIS_GREETING;
    link->greetings = 1;

    rc = NGX_OK;

    if (link->conf->password.len) {
        ngx_str_set(&args[0], "AUTH");
        args[1] = link->conf->password;

        rc = ngx_chat_redis_link_add(link, args, 2);
        link->greetings++;
    }

    if (rc != NGX_OK
        || ngx_chat_redis_link_add(link, &ngx_chat_redis_ping, 1) != NGX_OK
        || ngx_handle_read_event(c->read, 0) != NGX_OK
        || ngx_chat_redis_link_flush(link) != NGX_OK)
    {
        ngx_chat_redis_link_failed(link, 0, "the greeting cannot be sent");
        return;
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


static void
ngx_chat_redis_link_timer_handler(ngx_event_t *ev)
{
    ngx_chat_redis_link_t  *link = ev->data;

    switch (link->state) {

    case NGX_CHAT_REDIS_CLOSED:
        if (!ngx_exiting) {
            ngx_chat_redis_link_connect(link);
        }

        return;

    case NGX_CHAT_REDIS_READY:
        ngx_chat_redis_link_tick(link);
        return;

    default:
        ngx_chat_redis_link_failed(link, 0, "timed out");
    }
}


/*
 * Time is counted in ticks: a worker that was stopped for a while reads the
 * replies before it counts.
 */

static void
ngx_chat_redis_link_tick(ngx_chat_redis_link_t *link)
{
    if (link->leave && ngx_exiting) {
        ngx_chat_redis_link_end(link);
        return;
    }

    if (link->silent == NGX_CHAT_REDIS_SILENT) {
        ngx_chat_redis_link_failed(link, 0, "no reply to PING");
        return;
    }

    link->silent++;

    if (!link->stable) {
        link->stable = 1;
        link->failures = 0;
    }

    ngx_add_timer(&link->timer, NGX_CHAT_REDIS_TICK);

    /* if the queue is full, the replies to its commands are waited for */

    (void) ngx_chat_redis_link_send(link, &ngx_chat_redis_ping, 1);
}


static void
ngx_chat_redis_link_read_handler(ngx_event_t *rev)
{
    ssize_t                 n;
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_chat_redis_link_t  *link;

    c = rev->data;
    link = c->data;

    if (c->close) {
        /* the worker is exiting */
        ngx_chat_redis_link_end(link);
        return;
    }

    if (link->state == NGX_CHAT_REDIS_CONNECTING) {
        return;
    }

    for ( ;; ) {
        n = c->recv(c, link->in.last, link->in.end - link->in.last);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            ngx_chat_redis_link_failed(link, 0, "the connection was closed");
            return;
        }

        link->in.last += n;

        rc = ngx_chat_redis_link_process(link);

        if (rc != NGX_OK) {
            ngx_chat_redis_link_failed(link, 0, (rc == NGX_DECLINED)
                                                ? "it returned an error"
                                                : "unexpected reply");
            return;
        }
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_chat_redis_link_failed(link, 0, "nginx is out of resources");
    }
}


/*
 * Calls the handlers, which do not close the link.  Returns NGX_DECLINED after
 * an error of the server, which is logged.
 */

static ngx_int_t
ngx_chat_redis_link_process(ngx_chat_redis_link_t *link)
{
    size_t           len;
    ngx_int_t        rc;
    ngx_buf_t       *in;
    ngx_chat_resp_t  resp;

    in = &link->in;

    for ( ;; ) {
        rc = ngx_chat_resp_read(&resp, &in->pos, in->last);

        if (rc == NGX_AGAIN) {
            break;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        rc = ngx_chat_redis_link_reply(link, &resp);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    len = in->last - in->pos;

    if (len) {
        ngx_memmove(in->start, in->pos, len);
    }

    in->pos = in->start;
    in->last = in->start + len;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_redis_link_reply(ngx_chat_redis_link_t *link, ngx_chat_resp_t *resp)
{
    ngx_uint_t                level;
    ngx_connection_t         *c;
    ngx_chat_redis_server_t  *server;

    link->silent = 0;

    if (resp->values[0].type == NGX_CHAT_RESP_ERROR) {
        ngx_chat_redis_link_error(link, &resp->values[0].text);
        return NGX_DECLINED;
    }

    if (link->state == NGX_CHAT_REDIS_READY) {
        return ngx_chat_redis_link_pong(resp)
               ? NGX_OK : link->handlers->reply(link->data, resp);
    }

    /* link->state == NGX_CHAT_REDIS_GREETING */

    if (resp->values[0].type != NGX_CHAT_RESP_STATUS) {
        return NGX_ERROR;
    }

    if (--link->greetings) {
        return NGX_OK;
    }

    server = link->conf->servers.elts;
    c = link->peer.connection;

    /* nginx calls the read handler of idle connections when it exits */
    c->idle = link->leave;

    link->state = NGX_CHAT_REDIS_READY;

    ngx_add_timer(&link->timer, NGX_CHAT_REDIS_TICK);

    ngx_chat_metrics_count(link->metrics, NGX_CHAT_COUNT_REDIS_CONNECTED);
    link->metrics->gauges[NGX_CHAT_GAUGE_REDIS_CONNECTIONS]++;

    level = link->failures ? NGX_LOG_NOTICE : NGX_LOG_INFO;

    ngx_log_error(level, link->log, 0,
                  "chat redis: connected to \"%V\" for %s",
                  &server[link->server].name, link->title);

    link->handlers->ready(link->data);

    return NGX_OK;
}


/* the reply to PING is an array if the connection has subscriptions */

static ngx_uint_t
ngx_chat_redis_link_pong(ngx_chat_resp_t *resp)
{
    ngx_chat_resp_value_t  *value;

    value = &resp->values[0];

    if (value->type == NGX_CHAT_RESP_STATUS) {
        return value->text.len == 4
               && ngx_strncmp(value->text.data, "PONG", 4) == 0;
    }

    if (value->type == NGX_CHAT_RESP_ARRAY && value->number == 2) {
        return value[1].type == NGX_CHAT_RESP_BULK && value[1].text.len == 4
               && ngx_strncmp(value[1].text.data, "pong", 4) == 0;
    }

    return 0;
}


/* logs the error code only, since the text may quote a password */

static void
ngx_chat_redis_link_error(ngx_chat_redis_link_t *link, ngx_str_t *text)
{
    ngx_str_t                 code;
    ngx_uint_t                level;
    ngx_chat_redis_server_t  *server;

    code.data = text->data;

    for (code.len = 0; code.len < text->len && code.len < 32; code.len++) {
        if (code.data[code.len] < 'A' || code.data[code.len] > 'Z') {
            break;
        }
    }

    server = link->conf->servers.elts;
    level = ngx_chat_redis_link_level(link);

    ngx_log_error(level, link->log, 0,
                  "chat redis: \"%V\" returned the error %V for %s%s",
                  &server[link->server].name, &code, link->title,
                  (link->state == NGX_CHAT_REDIS_GREETING
                   && (ngx_strncmp(text->data, "NOAUTH", 6) == 0
                       || ngx_strncmp(text->data, "WRONGPASS", 9) == 0))
                  ? ": check password_file= of chat_redis" : "");
}


/* during an outage, each server is logged once */

static ngx_uint_t
ngx_chat_redis_link_level(ngx_chat_redis_link_t *link)
{
    return (link->failures < link->conf->servers.nelts) ? NGX_LOG_ERR
                                                        : NGX_LOG_INFO;
}


static void
ngx_chat_redis_link_write_handler(ngx_event_t *wev)
{
    ngx_connection_t       *c;
    ngx_chat_redis_link_t  *link;

    c = wev->data;
    link = c->data;

    if (link->state == NGX_CHAT_REDIS_CONNECTING) {
        ngx_chat_redis_link_connected(link);
        return;
    }

    if (ngx_chat_redis_link_flush(link) != NGX_OK) {
        ngx_chat_redis_link_failed(link, 0, "the connection was closed");
        return;
    }

    if (link->state == NGX_CHAT_REDIS_READY && link->out.pos == link->out.last)
    {
        link->handlers->sent(link->data);
    }
}


ngx_int_t
ngx_chat_redis_link_send(ngx_chat_redis_link_t *link, const ngx_str_t *args,
    ngx_uint_t n)
{
    if (link->state != NGX_CHAT_REDIS_READY
        || ngx_chat_redis_link_add(link, args, n) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_post_event(link->peer.connection->write, &ngx_posted_events);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_redis_link_add(ngx_chat_redis_link_t *link, const ngx_str_t *args,
    ngx_uint_t n)
{
    size_t      size, len;
    ngx_buf_t  *out;

    out = &link->out;
    size = ngx_chat_resp_size(args, n);

    if ((size_t) (out->end - out->last) < size && out->pos > out->start) {
        len = out->last - out->pos;

        ngx_memmove(out->start, out->pos, len);

        out->pos = out->start;
        out->last = out->start + len;
    }

    if ((size_t) (out->end - out->last) < size) {
        return NGX_DECLINED;
    }

    out->last = ngx_chat_resp_write(out->last, args, n);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_redis_link_flush(ngx_chat_redis_link_t *link)
{
    ssize_t            n;
    ngx_buf_t         *out;
    ngx_connection_t  *c;

    out = &link->out;
    c = link->peer.connection;

    while (out->pos < out->last && c->write->ready) {

        n = c->send(c, out->pos, out->last - out->pos);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        out->pos += n;
    }

    if (out->pos == out->last) {
        out->pos = out->start;
        out->last = out->start;
    }

    return ngx_handle_write_event(c->write, 0);
}


static void
ngx_chat_redis_link_failed(ngx_chat_redis_link_t *link, ngx_err_t err,
    const char *reason)
{
    ngx_msec_t                delay;
    ngx_uint_t                level, ready, round, n;
    ngx_chat_redis_server_t  *server;

    n = link->conf->servers.nelts;
    server = link->conf->servers.elts;
    ready = (link->state == NGX_CHAT_REDIS_READY);

    level = ngx_chat_redis_link_level(link);

    ngx_log_error(level, link->log, err,
                  ready ? "chat redis: lost \"%V\" for %s: %s"
                        : "chat redis: cannot connect to \"%V\" for %s: %s",
                  &server[link->server].name, link->title, reason);

    ngx_chat_metrics_count(link->metrics,
                           ready ? NGX_CHAT_COUNT_REDIS_LOST
                                 : NGX_CHAT_COUNT_REDIS_CONNECT_FAILED);

    ngx_chat_redis_link_close(link);

    link->server = (link->server + 1) % n;

    round = ngx_min(link->failures / n, 4);
    link->failures++;

    delay = ngx_min(NGX_CHAT_REDIS_DELAY << round, NGX_CHAT_REDIS_DELAY_MAX);
    delay = delay / 2 + (ngx_msec_t) ngx_random() % (delay / 2);

    ngx_add_timer(&link->timer, delay);

    if (ready) {
        link->handlers->lost(link->data);
    }
}


static void
ngx_chat_redis_link_close(ngx_chat_redis_link_t *link)
{
    ngx_connection_t  *c;

    if (link->state == NGX_CHAT_REDIS_READY) {
        link->metrics->gauges[NGX_CHAT_GAUGE_REDIS_CONNECTIONS]--;
    }

    c = link->peer.connection;

    if (c != NULL) {

#if (NGX_SSL)

        if (c->ssl) {
            c->ssl->no_wait_shutdown = 1;
            c->ssl->no_send_shutdown = 1;
            (void) ngx_ssl_shutdown(c);
        }

#endif

        ngx_close_connection(c);
        link->peer.connection = NULL;
    }

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }

    if (link->pool != NULL) {
        ngx_destroy_pool(link->pool);
        link->pool = NULL;
    }

    if (link->in.start != NULL) {
        ngx_free(link->in.start);
        link->in.start = NULL;
    }

    if (link->out.start != NULL) {
        ngx_free(link->out.start);
        link->out.start = NULL;
    }

    link->state = NGX_CHAT_REDIS_CLOSED;
    link->silent = 0;
    link->stable = 0;
}


void
ngx_chat_redis_link_end(ngx_chat_redis_link_t *link)
{
    ngx_chat_redis_link_close(link);
}
