
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


#endif /* _NGX_CHAT_PUBLISH_H_INCLUDED_ */
