
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SUBSCRIBER_H_INCLUDED_
#define _NGX_CHAT_SUBSCRIBER_H_INCLUDED_


#include "src/http/ngx_chat_http.h"
#include "src/push/ngx_chat_channel.h"


/*
 * The sockets of this worker, each with the session that opened it.  A socket
 * is closed when its session ends, on this worker, another worker or another
 * host, and when its client may have missed notifications (resync).
 */


ngx_chat_subscribers_t *ngx_chat_subscribers_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);

/*
 * Adds a socket until its request ends.  Returns NGX_OK, NGX_BUSY if this
 * worker has no channel for the user, or NGX_ERROR.  With several hosts, it
 * returns NGX_AGAIN if the phases run again when Redis has confirmed the
 * subscription, or after a second.
 */
ngx_int_t ngx_chat_subscriber_add(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/*
 * Called after NGX_AGAIN: returns 0 if the worker has begun to exit meanwhile,
 * whose channels belong to other workers of nchan.
 */
ngx_uint_t ngx_chat_subscriber_fit(ngx_http_request_t *r);

/*
 * Called when Redis has confirmed the subscription of a channel's user.  A
 * socket that was opened without it is closed: it may have missed records.
 */
void ngx_chat_subscribers_confirm(ngx_chat_subscribers_t *subs,
    ngx_chat_channel_t *channel);

/* called when the worker begins to exit: closes all sockets */
void ngx_chat_subscribers_leave(ngx_chat_subscribers_t *subs);

/*
 * Closes sockets within a second: all those for hints, and with "events" also
 * those for events; or those of a channel.
 */
void ngx_chat_subscribers_resync(ngx_chat_subscribers_t *subs,
    ngx_uint_t events);
void ngx_chat_subscribers_resync_user(ngx_chat_subscribers_t *subs,
    ngx_chat_channel_t *channel);


#endif /* _NGX_CHAT_SUBSCRIBER_H_INCLUDED_ */
