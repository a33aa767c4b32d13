
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"


/*
 * nginx 1.25 to 1.30 handles a QUIC stream as follows:
 *
 * - The end of the request causes a read event.  Reading it sets rev->eof,
 *   which over TCP means that the client has closed the connection.
 *
 * - RESET_STREAM sets rev->error and posts the read event.
 *
 * - STOP_SENDING sets wev->error and posts the write event.  A client that has
 *   sent its complete request often sends only this frame.
 *
 * - The end of the QUIC connection sets c->close and posts the read event of
 *   each stream, and again when another stream ends.  nginx then terminates the
 *   request, regardless of its handlers, and waits for the remaining streams.
 *
 * - c->fd is the socket of the listener.
 */


static void ngx_chat_stream_read(ngx_event_t *rev);
static ngx_uint_t ngx_chat_stream_unread(ngx_http_request_t *r);
static ngx_int_t ngx_chat_stream_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_chat_stream_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


/* as in nginx's filters, those of the latest configuration */
static ngx_http_output_header_filter_pt  ngx_chat_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_chat_stream_next_body_filter;


void
ngx_chat_stream_watch(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    if (ngx_chat_stream_quic(c)) {
        c->read->handler = ngx_chat_stream_read;
    }
}


/*
 * nchan takes each read event for a disconnect, or for data, to which it
 * responds with 400.  It detects errors by c->error, and by rev->error in
 * ngx_http_test_reading().  If c->write->error was set, nchan would finalize a
 * request that is being terminated, and nginx would free it twice.
 */

static void
ngx_chat_stream_read(ngx_event_t *rev)
{
    ngx_chat_ctx_t       *ctx;
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_chat_loc_conf_t  *chlcf;

    c = rev->data;
    r = c->data;
    r = r->main;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (c->close && ctx && ctx->write
        && (ctx->step.job || ctx->step.password_job))
    {
        return;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->subscriber) {

        if (!rev->error && !rev->timedout && !c->error && !c->close) {
            return;
        }

        c->error = 1;
        c->write->error = 0;
    }

    /* nginx has one handler for both events */

    c->write->handler(rev);
}


ngx_uint_t
ngx_chat_stream_gone(ngx_connection_t *c)
{
    return ngx_chat_stream_quic(c)
           && (c->error || c->close || c->read->error || c->write->error);
}


ngx_int_t
ngx_chat_stream_reset(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    if (ngx_chat_stream_quic(c)) {
        c->error = 1;
        c->read->error = 1;
        c->write->error = 0;

        ngx_post_event(c->read, &ngx_posted_events);

        return NGX_OK;
    }

    if (r->http_version < NGX_HTTP_VERSION_20) {
        return NGX_DECLINED;
    }

    c->error = 1;

    ngx_post_event(c->read, &ngx_posted_events);

#if (NGX_HTTP_V2)

    /* otherwise the frame would not be sent before the next write */

    if (r->stream) {
        c = r->stream->connection->connection;
        ngx_post_event(c->write, &ngx_posted_events);
    }

#endif

    return NGX_OK;
}


void
ngx_chat_stream_filter_init(void)
{
    ngx_chat_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_chat_stream_header_filter;

    ngx_chat_stream_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_chat_stream_body_filter;
}


/*
 * Resets the stream of a subscriber that has stopped reading, and returns 1 if
 * nothing must be written.  A failed write would set c->write->error.
 */

static ngx_uint_t
ngx_chat_stream_unread(ngx_http_request_t *r)
{
    ngx_chat_loc_conf_t  *chlcf;

    if (!ngx_chat_stream_gone(r->connection) || r != r->main) {
        return 0;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (!chlcf->subscriber) {
        return 0;
    }

    (void) ngx_chat_stream_reset(r);

    return 1;
}


/*
 * nchan starts an EventSource response with status 204 and the status line "200
 * OK", to prevent chunked encoding.  HTTP/3 has no status line, and browsers do
 * not reconnect after a 204.
 */

static ngx_int_t
ngx_chat_stream_header_filter(ngx_http_request_t *r)
{
    ngx_chat_loc_conf_t  *chlcf;

    if (ngx_chat_stream_unread(r)) {
        r->header_sent = 1;
        return NGX_OK;
    }

    if (ngx_chat_stream_quic(r->connection)
        && r == r->main
        && r->headers_out.status == NGX_HTTP_NO_CONTENT
        && r->headers_out.status_line.len)
    {
        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

        if (chlcf->subscriber) {
            r->headers_out.status = NGX_HTTP_OK;
            ngx_str_null(&r->headers_out.status_line);
            r->header_only = 0;
        }
    }

    return ngx_chat_next_header_filter(r);
}


static ngx_int_t
ngx_chat_stream_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t  *cl;

    if (!ngx_chat_stream_unread(r)) {
        return ngx_chat_stream_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    return NGX_OK;
}
