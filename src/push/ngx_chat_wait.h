
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_WAIT_H_INCLUDED_
#define _NGX_CHAT_WAIT_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * A handshake waits until Redis has confirmed the subscription of its user.
 * From then on, this worker is notified of messages that other hosts store.
 */

typedef struct {
    ngx_http_request_t         *request;
    ngx_event_t                 event;         /* timer, or posted */
    unsigned                    waiting:1;
    unsigned                    late:1;        /* not confirmed in time */
} ngx_chat_wait_t;


/*
 * Subscribes the user.  Returns NGX_OK if this is confirmed, or NGX_AGAIN if
 * the phases of the request run again when it is, after one second at the
 * latest.  Otherwise returns NGX_ERROR.  "redis" may be NULL.
 */
ngx_int_t ngx_chat_wait(ngx_chat_wait_t *wait, ngx_chat_redis_t *redis,
    ngx_http_request_t *r, uint32_t user_id);

/*
 * Called when Redis has confirmed the subscription.  Returns NGX_DECLINED if
 * the handshake has not waited for it, and NGX_OK otherwise.
 */
ngx_int_t ngx_chat_wait_confirm(ngx_chat_wait_t *wait);

/* called when the request ends */
void ngx_chat_wait_end(ngx_chat_wait_t *wait);


#endif /* _NGX_CHAT_WAIT_H_INCLUDED_ */
