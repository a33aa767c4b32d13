
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_STEP_H_INCLUDED_
#define _NGX_CHAT_STEP_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * The step runner.  It reads the body, checks the session again, runs the steps
 * of an endpoint, and sends the response.  No other code finalizes a request.
 */


/*
 * For content handlers: starts a request with the first step.  Returns the
 * result for the content handler.
 */
ngx_int_t ngx_chat_step_begin(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_step_pt step);

/* continues with ctx->next */
void ngx_chat_step_run(ngx_http_request_t *r);


/*
 * For steps.  The following functions return the result for the step.  "next"
 * runs with job->rc NGX_OK, or NGX_DECLINED after a wrong password and for
 * query types that expect it.  The runner responds to other results.
 */

ngx_int_t ngx_chat_step_query(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_db_job_t *job, const ngx_chat_db_type_t *type,
    ngx_chat_step_pt next);
ngx_int_t ngx_chat_step_password(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_password_job_t *job, ngx_chat_step_pt next);

/* "next" runs when the job is done, with any job->rc */
ngx_int_t ngx_chat_step_file(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_file_job_t *job, ngx_chat_step_pt next);

/*
 * Takes a turn of "id".  Returns NGX_OK to continue with "next", NGX_AGAIN if
 * the request waits for the turn, or NGX_ERROR.  The caller ends the turn, also
 * when the request ends.
 */
ngx_int_t ngx_chat_step_park(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_turns_t *turns, ngx_chat_turn_t *turn, uint32_t id,
    ngx_chat_step_pt next);


/*
 * For endpoints that return rows of the user, {"results":[...]}: runs a query
 * whose operation is ngx_chat_query_list_t.  Returns the result for the step.
 */
ngx_int_t ngx_chat_step_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const ngx_chat_db_type_t *type);


#endif /* _NGX_CHAT_STEP_H_INCLUDED_ */
