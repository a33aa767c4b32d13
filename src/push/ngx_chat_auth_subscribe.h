
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_AUTH_SUBSCRIBE_H_INCLUDED_
#define _NGX_CHAT_AUTH_SUBSCRIBE_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * Checks an authenticated request to a location with chat_subscriber, before
 * nchan handles it, and registers its socket.  Returns NGX_DECLINED to continue
 * with the next phase handler, or a status.
 */
ngx_int_t ngx_chat_auth_subscribe(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


#endif /* _NGX_CHAT_AUTH_SUBSCRIBE_H_INCLUDED_ */
