
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SUBSCRIBER_H_INCLUDED_
#define _NGX_CHAT_SUBSCRIBER_H_INCLUDED_


#include "ngx_chat_http.h"


/*
 * The sockets that listen on this worker, each with the session that opened
 * it.  When the session ends, here, on another worker or on another host, the
 * socket is closed; and when a worker has died, see ngx_chat_workers.h.
 */


ngx_chat_subscribers_t *ngx_chat_subscribers_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);

/* forgotten by itself when the request ends; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_subscriber_add(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/*
 * From postconfiguration, for chat_db_replica: what goes out on a socket is an
 * event of its person, wherever the message was stored.
 */
void ngx_chat_subscriber_filter_init(void);


#endif /* _NGX_CHAT_SUBSCRIBER_H_INCLUDED_ */
