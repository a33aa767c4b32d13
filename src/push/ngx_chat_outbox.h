
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_OUTBOX_H_INCLUDED_
#define _NGX_CHAT_OUTBOX_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * Notifies of messages whose request could not: the worker has crashed between
 * storing and notifying, or the outcome of the send is unknown.  Such messages
 * are looked up by their client id.  Users may be notified twice then.
 */


/* called by init process; returns NULL if there is no memory */
ngx_chat_outbox_t *ngx_chat_outbox_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);

/*
 * Called before the message may be stored.  If ctx->push.notified is not set
 * when the request ends, the message is looked up and its users are notified.
 */
void ngx_chat_outbox_keep(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t sender_id, ngx_str_t *client_id);


#endif /* _NGX_CHAT_OUTBOX_H_INCLUDED_ */
