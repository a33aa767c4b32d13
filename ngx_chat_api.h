
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_API_H_INCLUDED_
#define _NGX_CHAT_API_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * The routing table, and the content handlers of chat_api, chat_login,
 * chat_logout and chat_status.
 */

ngx_int_t ngx_chat_api_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_api_login_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_api_logout_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_api_status_handler(ngx_http_request_t *r);


#endif /* _NGX_CHAT_API_H_INCLUDED_ */
