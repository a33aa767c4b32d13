
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_auth.h"
#include "src/push/ngx_chat_auth_subscribe.h"
#include "src/push/ngx_chat_subscriber.h"


static void ngx_chat_auth_subscribe_clean(ngx_http_request_t *r);


/*
 * nchan does not check Origin: a page of another site could open a socket with
 * the cookies of its visitor.
 */

ngx_int_t
ngx_chat_auth_subscribe(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    if (ctx->push.channel.len) {

        /* the phases run again after waiting for Redis */

        return ngx_chat_subscriber_fit(r) ? NGX_DECLINED
                                          : NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (ngx_chat_origin(r) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chat subscriber from a foreign origin");
        return NGX_HTTP_FORBIDDEN;
    }

    /* nchan publishes on POST, and does not respond to HEAD */

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_OPTIONS))) {
        return NGX_HTTP_FORBIDDEN;
    }

    /* nchan does not read a body, which would become the next request */

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        r->keepalive = 0;
    }

    ngx_chat_auth_subscribe_clean(r);

    switch (ngx_chat_subscriber_add(r, ctx)) {

    case NGX_OK:
        return NGX_DECLINED;

    case NGX_AGAIN:
        return NGX_AGAIN;

    case NGX_BUSY:
        return NGX_HTTP_SERVICE_UNAVAILABLE;

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


/*
 * Removes resume ids: invalid ones crash workers with nchan 1.3.6 to 1.3.8.
 * nchan reads them from Last-Event-ID, If-None-Match, If-Modified-Since and the
 * query string.  Clients do not need them, because they catch up with "after=".
 */

static void
ngx_chat_auth_subscribe_clean(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    r->headers_in.if_modified_since = NULL;
    r->headers_in.if_none_match = NULL;

    /*
     * A failed precondition is removed as well: nginx's 412 clears the context
     * of nchan, which then crashes at the next message.
     */
    r->disable_not_modified = 1;

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len == sizeof("Last-Event-ID") - 1
            && ngx_strncasecmp(header[i].key.data, (u_char *) "Last-Event-ID",
                               header[i].key.len) == 0)
        {
            /* also emptied, because nginx's variables ignore "hash" */
            header[i].hash = 0;
            header[i].value.len = 0;
        }
    }

    r->args.len = 0;
}
