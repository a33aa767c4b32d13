
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/http/ngx_chat_upload.h"
#include "src/http/ngx_chat_auth.h"


static void ngx_chat_step_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_step_read_body(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_step_body_read(ngx_http_request_t *r);
static void ngx_chat_step_body_timeout(ngx_event_t *ev);
static ngx_int_t ngx_chat_step_authenticate(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_step_read_file(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_step_file_rate(ngx_event_t *ev);
static ngx_int_t ngx_chat_step_authenticated(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_step_forget_body(ngx_http_request_t *r);
static void ngx_chat_step_wake(ngx_http_request_t *r);
static ngx_int_t ngx_chat_step_submit(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_step_unpark(ngx_chat_turn_t *turn);
static void ngx_chat_step_turn(ngx_chat_turn_t *turn);
static void ngx_chat_step_query_done(ngx_chat_db_job_t *job);
static void ngx_chat_step_password_done(ngx_chat_password_job_t *job);
static void ngx_chat_step_file_done(ngx_chat_file_job_t *job);
static void ngx_chat_step_job_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t rc);
static void ngx_chat_step_cleanup(void *data);


static ngx_int_t ngx_chat_step_list_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


ngx_int_t
ngx_chat_step_begin(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_step_pt step)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_chat_step_cleanup;
    cln->data = ctx;

    ctx->next = step;

    if (ctx->endpoint) {
        ctx->log.request = ctx->endpoint->request;
    }

    if (ctx->endpoint && !ctx->endpoint->upload
        && ((r->method == NGX_HTTP_POST && step == ctx->endpoint->post)
            || (r->method == NGX_HTTP_PATCH && step == ctx->endpoint->patch)))
    {
        return ngx_chat_step_read_body(r, ctx);
    }

    r->main->count++;

    ngx_chat_step_check(r, ctx);
    ngx_chat_step_run(r);

    return NGX_DONE;
}


/*
 * After authentication, a request may have waited for its body, limit_req or
 * auth_request.  Its session is then checked again.
 */

static void
ngx_chat_step_check(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    if (ctx->user.id && !ctx->form && ngx_chat_auth_stale(r, ctx)
        && !(ctx->endpoint && ctx->endpoint->public
             && r->method == NGX_HTTP_POST))
    {
        ctx->step.first = ctx->next;
        ctx->next = ngx_chat_step_authenticate;
    }
}


/*
 * client_body_timeout is the time between two reads.  A client that sends
 * single bytes could keep a request forever.  chat_body_timeout limits the
 * complete body.
 */

static ngx_int_t
ngx_chat_step_read_body(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_chat_loc_conf_t  *chlcf;

    r->request_body_in_single_buf = 1;

    ctx->step.body_pending = 1;

    rc = ngx_http_read_client_request_body(r, ngx_chat_step_body_read);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    if (ctx->step.body_pending) {
        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

        ctx->step.body_timer.handler = ngx_chat_step_body_timeout;
        ctx->step.body_timer.data = r;
        ctx->step.body_timer.log = r->connection->log;

        ngx_add_timer(&ctx->step.body_timer, chlcf->body_timeout);
    }

    return NGX_DONE;
}


/*
 * Reads a file, after the first steps of its endpoint.  Both this function and
 * the handler of the body, which may be called here, have a reference to the
 * request.
 */

static void
ngx_chat_step_read_file(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_chat_loc_conf_t  *chlcf;

    ctx->step.body_pending = 1;

    rc = ngx_chat_upload_read(r, ctx, ngx_chat_step_body_read);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ctx->step.body_pending = 0;
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (ctx->step.body_pending) {
        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

        ctx->step.body_timer.handler = ngx_chat_step_file_rate;
        ctx->step.body_timer.data = r;
        ctx->step.body_timer.log = r->connection->log;

        ngx_add_timer(&ctx->step.body_timer, chlcf->body_timeout);
    }

    ngx_http_finalize_request(r, NGX_DONE);
}


/* a file may take any time, at a minimum rate */

static void
ngx_chat_step_file_rate(ngx_event_t *ev)
{
    ngx_chat_ctx_t       *ctx;
    ngx_http_request_t   *r;
    ngx_chat_loc_conf_t  *chlcf;

    r = ev->data;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx == NULL || ev != &ctx->step.body_timer || r->header_sent) {
        return;
    }

    if (ngx_chat_upload_slow(r, ctx)) {
        ngx_chat_step_body_timeout(ev);
        return;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    ngx_add_timer(ev, chlcf->body_timeout);
}


/* called by nginx when the body is complete */

static void
ngx_chat_step_body_read(ngx_http_request_t *r)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    ctx->step.body_pending = 0;

    if (ctx->step.body_timer.timer_set) {
        ngx_del_timer(&ctx->step.body_timer);
    }

    ngx_chat_step_check(r, ctx);
    ngx_chat_step_run(r);
}


/* as nginx after client_body_timeout */

static void
ngx_chat_step_body_timeout(ngx_event_t *ev)
{
    ngx_chat_ctx_t      *ctx;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ev->data;
    c = r->connection;

    /* the context is cleared by an internal redirect during the body */

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx == NULL || ev != &ctx->step.body_timer || !ctx->step.body_pending) {
        return;
    }

    ngx_http_set_log_request(c->log, r);

    ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                  "client did not send the request body in time");

    c->timedout = 1;

    ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);

    ngx_http_run_posted_requests(c);
}


/*
 * The second check of the session.
 *
 *   authenticate -> (database) -> authenticated -> the endpoint's first step
 */

static ngx_int_t
ngx_chat_step_authenticate(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                  rc;
    const ngx_chat_db_type_t  *type;

    rc = ngx_chat_auth_again(r, ctx, &type);

    if (rc == NGX_AGAIN) {
        return ngx_chat_step_query(r, ctx, ctx->data, type,
                                   ngx_chat_step_authenticated);
    }

    if (rc == NGX_DECLINED) {
        return ngx_chat_response_forbidden(r, ctx);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->next = ctx->step.first;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_step_authenticated(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    if (ngx_chat_auth_still(ctx, ctx->data) != NGX_OK) {
        return ngx_chat_response_forbidden(r, ctx);
    }

    ctx->data = NULL;
    ctx->next = ctx->step.first;

    return NGX_OK;
}


void
ngx_chat_step_run(ngx_http_request_t *r)
{
    ngx_int_t        rc;
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    do {
        rc = ctx->next(r, ctx);
    } while (rc == NGX_OK);

    if (rc == NGX_AGAIN) {

        /*
         * A read ends if its client disconnects.  A write continues, because
         * the notification of a stored message must be published.
         */

        r->read_event_handler = ctx->write ? ngx_http_block_reading
                                           : ngx_http_test_reading;
        r->write_event_handler = ngx_chat_step_wake;

        if (ctx->write) {
            ngx_chat_stream_watch(r);
        }

        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_chat_step_read_file(r, ctx);
        return;
    }

    if (rc == NGX_DONE) {
        if (r->method == NGX_HTTP_POST) {
            r->method = NGX_HTTP_GET;
            r->method_name = ngx_http_core_get_method;

            ngx_chat_step_forget_body(r);
        }

        rc = ngx_http_internal_redirect(r, &ctx->response.page, NULL);

        ngx_http_finalize_request(r, rc);
        return;
    }

    /* a status, or NGX_ERROR */

    /*
     * An unread body is discarded only now, because the handlers above use the
     * same read event.  An error in the body does not change the response.
     */

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    ngx_http_finalize_request(r, ngx_chat_response_send(r, ctx, rc));
}


/* the page may be proxied; the other server must not receive the password */

static void
ngx_chat_step_forget_body(ngx_http_request_t *r)
{
    if (r->request_body == NULL || r->discard_body) {
        return;
    }

    r->request_body->bufs = NULL;

    r->headers_in.content_length = NULL;
    r->headers_in.content_length_n = 0;
    r->headers_in.chunked = 0;
}


/*
 * Called when a publish has begun, and by write events of the client.  Of
 * these, only the end of an HTTP/3 stream matters.
 */

static void
ngx_chat_step_wake(ngx_http_request_t *r)
{
    ngx_chat_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (!ctx->write && ngx_chat_stream_gone(r->connection)) {
        ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    if (ctx->step.job || ctx->step.password_job || ctx->step.file_job
        || ctx->step.parked)
    {
        return;
    }

    ngx_chat_step_run(r);
}


ngx_int_t
ngx_chat_step_query(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_db_job_t *job, const ngx_chat_db_type_t *type,
    ngx_chat_step_pt next)
{
    ngx_int_t  rc;

    job->type = type;
    job->handler = ngx_chat_step_query_done;
    job->turn = NULL;
    job->data = r;
    job->pool = r->pool;

    ctx->step.job = job;
    ctx->next = next;

    if (ctx->user.id) {
        job->turn = &ctx->step.turn;

        ctx->step.turn.handler = ngx_chat_step_turn;
        ctx->step.turn.data = r;

        rc = ngx_chat_turn_take(ngx_chat_http_worker(r)->turns,
                                &ctx->step.turn, ctx->user.id);

        if (rc == NGX_AGAIN) {
            r->connection->log->action = "waiting for other requests";
            return NGX_AGAIN;
        }

        if (rc != NGX_OK) {
            ctx->step.job = NULL;
            return NGX_ERROR;
        }
    }

    rc = ngx_chat_step_submit(r, ctx);

    if (rc == NGX_OK) {
        return NGX_AGAIN;
    }

    ctx->step.job = NULL;
    ngx_chat_turn_end(&ctx->step.turn);

    if (rc == NGX_BUSY) {
        return ngx_chat_response_unavailable(r, ctx);
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_chat_step_park(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_turns_t *turns, ngx_chat_turn_t *turn, uint32_t id,
    ngx_chat_step_pt next)
{
    ngx_int_t  rc;

    ctx->next = next;

    turn->handler = ngx_chat_step_unpark;
    turn->data = r;

    rc = ngx_chat_turn_take(turns, turn, id);

    if (rc == NGX_AGAIN) {
        r->connection->log->action = "waiting for other requests";
        ctx->step.parked = 1;
    }

    return rc;
}


static void
ngx_chat_step_unpark(ngx_chat_turn_t *turn)
{
    ngx_chat_ctx_t      *ctx;
    ngx_http_request_t  *r;

    r = turn->data;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    ctx->step.parked = 0;

    ngx_chat_step_job_done(r, ctx, NGX_OK);
}


static ngx_int_t
ngx_chat_step_submit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_chat_db_t         *db;
    ngx_chat_submitted_pt  submitted;

    submitted = ctx->step.submitted;
    ctx->step.submitted = NULL;

    db = ngx_chat_replica_choose(ngx_chat_http_worker(r)->replica,
                                 ngx_chat_http_worker(r)->db, ctx->step.job,
                                 ctx->user.id);

    rc = ngx_chat_db_submit(db, ctx->step.job);

    if (rc != NGX_OK) {
        return rc;
    }

    r->connection->log->action = "waiting for the database";

    if (submitted) {
        submitted(r, ctx);
    }

    return NGX_OK;
}


/*
 * Called when the turn of the request begins.  The caller may be the database
 * layer, so the request must not run here.
 */

static void
ngx_chat_step_turn(ngx_chat_turn_t *turn)
{
    ngx_int_t              rc;
    ngx_chat_ctx_t        *ctx;
    ngx_http_request_t    *r;
    ngx_chat_main_conf_t  *chmcf;

    r = turn->data;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    if (ngx_chat_turn_hopeless(turn, ctx->step.job->type, chmcf->db.timeout)) {
        ctx->step.submitted = NULL;
        rc = NGX_BUSY;

    } else {
        rc = ngx_chat_step_submit(r, ctx);
    }

    if (rc != NGX_OK) {
        ngx_chat_db_reject(chmcf->worker->db, ctx->step.job, rc);
    }
}


static void
ngx_chat_step_query_done(ngx_chat_db_job_t *job)
{
    ngx_int_t            rc;
    ngx_chat_ctx_t      *ctx;
    ngx_http_request_t  *r;

    r = job->data;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chat query \"%V\" done: %i", &job->type->name, job->rc);

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    ctx->step.job = NULL;
    ngx_chat_turn_result(&ctx->step.turn, job->type, job->rc == NGX_BUSY);
    ngx_chat_turn_end(&ctx->step.turn);
    ctx->log.db_time += job->time;
    ctx->log.db_used = 1;

    ngx_chat_replica_done(ngx_chat_http_worker(r)->replica, job, ctx->user.id);

    rc = job->rc;

    if (rc == NGX_BUSY) {
        ctx->next = ngx_chat_response_unavailable;

    } else if (rc == NGX_DECLINED && !job->type->declines) {
        rc = NGX_ERROR;
    }

    ngx_chat_step_job_done(r, ctx, rc);
}


ngx_int_t
ngx_chat_step_password(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_password_job_t *job, ngx_chat_step_pt next)
{
    ngx_int_t  rc;

    job->handler = ngx_chat_step_password_done;
    job->data = r;
    job->pool = r->pool;

    rc = ngx_chat_password_submit(ngx_chat_http_worker(r)->password, job);

    if (rc == NGX_BUSY) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_LOGIN_BUSY);

        ctx->response.retry_after = NGX_CHAT_RESPONSE_RETRY_AFTER;
        return ngx_chat_response_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                       "Too many logins at the moment. "
                                       "Try again later.");
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    r->connection->log->action = "checking a password";

    ctx->step.password_job = job;
    ctx->next = next;

    return NGX_AGAIN;
}


static void
ngx_chat_step_password_done(ngx_chat_password_job_t *job)
{
    ngx_chat_ctx_t      *ctx;
    ngx_http_request_t  *r;

    r = job->data;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    ctx->step.password_job = NULL;

    ngx_chat_step_job_done(r, ctx, job->rc);
}


ngx_int_t
ngx_chat_step_file(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_file_job_t *job, ngx_chat_step_pt next)
{
    job->handler = ngx_chat_step_file_done;
    job->data = r;

    if (ngx_chat_file_submit(ngx_chat_http_worker(r)->files, job) != NGX_OK) {
        return NGX_ERROR;
    }

    r->connection->log->action = "storing a file";

    ctx->step.file_job = job;
    ctx->next = next;

    return NGX_AGAIN;
}


static void
ngx_chat_step_file_done(ngx_chat_file_job_t *job)
{
    ngx_chat_ctx_t      *ctx;
    ngx_http_request_t  *r;

    r = job->data;

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);
    ctx->step.file_job = NULL;

    ngx_chat_step_job_done(r, ctx, NGX_OK);
}


/*
 * Runs the request after a job.  This may free the request, so the connection
 * is saved.  Posted requests must be run here, as nginx does not run them after
 * other events.
 */

static void
ngx_chat_step_job_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (rc == NGX_ERROR) {
        ctx->next = ngx_chat_response_internal_error;
    }

    ngx_chat_step_run(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_step_cleanup(void *data)
{
    ngx_chat_ctx_t  *ctx = data;

    if (ctx->step.body_timer.timer_set) {
        ngx_del_timer(&ctx->step.body_timer);
    }

    if (ctx->step.job) {
        if (!ngx_chat_turn_waits(&ctx->step.turn)) {
            ngx_chat_db_cancel(ctx->step.job);
        }

        ctx->step.job = NULL;
    }

    ngx_chat_turn_end(&ctx->step.turn);

    if (ctx->step.password_job) {
        ngx_chat_password_cancel(ctx->step.password_job);
        ctx->step.password_job = NULL;
    }

    if (ctx->step.file_job) {
        ngx_chat_file_cancel(ctx->step.file_job);
        ctx->step.file_job = NULL;
    }
}


/*
 *   list -> list_done
 */

ngx_int_t
ngx_chat_step_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const ngx_chat_db_type_t *type)
{
    ngx_chat_query_list_t  *op;

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_list_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->user_id = ctx->user.id;

    if (ctx->auth.session) {
        ngx_memcpy(op->hash, ctx->auth.hash, NGX_CHAT_HASH_LEN);
    }

    ctx->data = op;

    return ngx_chat_step_query(r, ctx, &op->job, type, ngx_chat_step_list_done);
}


static ngx_int_t
ngx_chat_step_list_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_list_t  *op = ctx->data;

    u_char     *p;
    ngx_str_t   rows;

    if (ngx_chat_json_done(op->rows, &rows) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(r->pool, sizeof("{\"results\":}") - 1 + rows.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->response.body.data = p;
    ctx->response.body.len = ngx_sprintf(p, "{\"results\":%V}", &rows) - p;

    return NGX_HTTP_OK;
}
