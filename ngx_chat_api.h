
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_API_H_INCLUDED_
#define _NGX_CHAT_API_H_INCLUDED_


#include "ngx_chat_http.h"


/*
 * The routes, the runner of steps, and the answers.  The endpoints themselves
 * live in ngx_chat_message.c, ngx_chat_people.c, ngx_chat_session.c and
 * ngx_chat_status.c.
 */


/* content handlers: chat_api, chat_login, chat_logout, chat_status */
ngx_int_t ngx_chat_api_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_api_login_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_api_logout_handler(ngx_http_request_t *r);
ngx_int_t ngx_chat_api_status_handler(ngx_http_request_t *r);

/* goes on with ctx->next; the only place that finalizes a request of ours */
void ngx_chat_api_run(ngx_http_request_t *r);


/*
 * For steps; both return what the step is to return.  "next" follows with the
 * job's rc NGX_OK or NGX_DECLINED, all else is answered for it.
 */

ngx_int_t ngx_chat_api_query(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_db_job_t *job, const ngx_chat_db_class_t *class,
    ngx_chat_step_pt next);
ngx_int_t ngx_chat_api_password(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_password_job_t *job, ngx_chat_step_pt next);


#endif /* _NGX_CHAT_API_H_INCLUDED_ */
