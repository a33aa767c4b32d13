
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PUBLISH_H_INCLUDED_
#define _NGX_CHAT_PUBLISH_H_INCLUDED_


#include "ngx_chat_http.h"


/*
 * Tells nchan that a message is stored: one publish to the channels of its two
 * people.  NGX_AGAIN: ctx->next is run when that has begun; how it ends is
 * logged and counted.  NGX_DECLINED: nothing to tell it with (no
 * chat_publish), or it could not be started.
 */
ngx_int_t ngx_chat_publish(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_t *message);

/*
 * Of init process: the worker before this one has died, and what nchan's others
 * have sent to it is not for this one.
 */
void ngx_chat_publish_drain(ngx_cycle_t *cycle);


#endif /* _NGX_CHAT_PUBLISH_H_INCLUDED_ */
