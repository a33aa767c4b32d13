
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/query/ngx_chat_query_file.h"
#include "src/http/ngx_chat_sweep.h"


/* ms: between two rounds, before the first one, and after a deletion */
#define NGX_CHAT_SWEEP_INTERVAL  600000
#define NGX_CHAT_SWEEP_FIRST     10000
#define NGX_CHAT_SWEEP_SOON      1


/*
 * A round:
 *
 *   tick -> (rows) -> found -> (thread) -> removed -> (rows) -> done
 *
 * Rounds follow each other while there are files.  The job in progress is in
 * the pool of the round.
 */

struct ngx_chat_sweep_s {
    ngx_chat_db_t              *db;
    ngx_chat_files_t           *files;
    ngx_str_t                   dir;
    ngx_log_t                  *log;
    ngx_event_t                 timer;
    ngx_pool_t                 *pool;          /* of the round, or NULL */
    ngx_chat_query_sweep_t      op;
    ngx_chat_file_job_t         job;
    unsigned                    again:1;       /* begin once more */
};


static void ngx_chat_sweep_cleanup(void *data);
static void ngx_chat_sweep_tick(ngx_event_t *ev);
static ngx_int_t ngx_chat_sweep_query(ngx_chat_sweep_t *sweep,
    const ngx_chat_db_type_t *type, ngx_chat_db_handler_pt handler);
static void ngx_chat_sweep_found(ngx_chat_db_job_t *job);
static void ngx_chat_sweep_removed(ngx_chat_file_job_t *job);
static void ngx_chat_sweep_done(ngx_chat_db_job_t *job);
static void ngx_chat_sweep_end(ngx_chat_sweep_t *sweep, ngx_msec_t next);


ngx_int_t
ngx_chat_sweep_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_chat_sweep_t    *sweep;
    ngx_pool_cleanup_t  *cln;

    if (chmcf->files.len == 0) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_chat_sweep_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    sweep = cln->data;
    ngx_memzero(sweep, sizeof(ngx_chat_sweep_t));

    cln->handler = ngx_chat_sweep_cleanup;

    chmcf->worker->files = ngx_chat_files_create(cycle, chmcf->thread_pool);
    if (chmcf->worker->files == NULL) {
        return NGX_ERROR;
    }

    sweep->db = chmcf->worker->db;
    sweep->files = chmcf->worker->files;
    sweep->dir = chmcf->files;
    sweep->log = cycle->log;

    sweep->timer.handler = ngx_chat_sweep_tick;
    sweep->timer.data = sweep;
    sweep->timer.log = cycle->log;
    sweep->timer.cancelable = 1;

    if (ngx_worker == 0) {
        ngx_add_timer(&sweep->timer, NGX_CHAT_SWEEP_FIRST);
    }

    chmcf->worker->sweep = sweep;

    return NGX_OK;
}


static void
ngx_chat_sweep_cleanup(void *data)
{
    ngx_chat_sweep_t  *sweep = data;

    if (sweep->pool) {
        ngx_destroy_pool(sweep->pool);
    }
}


void
ngx_chat_sweep_begin(ngx_chat_sweep_t *sweep)
{
    if (sweep == NULL) {
        return;
    }

    if (sweep->pool) {
        sweep->again = 1;
        return;
    }

    ngx_add_timer(&sweep->timer, NGX_CHAT_SWEEP_SOON);
}


static void
ngx_chat_sweep_tick(ngx_event_t *ev)
{
    ngx_chat_sweep_t *sweep = ev->data;

    if (ngx_exiting || sweep->pool) {
        return;
    }

    sweep->again = 0;
    sweep->pool = ngx_create_pool(1024, sweep->log);

    if (sweep->pool == NULL
        || ngx_chat_sweep_query(sweep, &ngx_chat_query_file_sweep,
                                ngx_chat_sweep_found)
           != NGX_OK)
    {
        ngx_chat_sweep_end(sweep, NGX_CHAT_SWEEP_INTERVAL);
    }
}


static ngx_int_t
ngx_chat_sweep_query(ngx_chat_sweep_t *sweep, const ngx_chat_db_type_t *type,
    ngx_chat_db_handler_pt handler)
{
    ngx_memzero(&sweep->op.job, sizeof(ngx_chat_db_job_t));

    sweep->op.job.type = type;
    sweep->op.job.handler = handler;
    sweep->op.job.data = sweep;
    sweep->op.job.pool = sweep->pool;

    return ngx_chat_db_submit(sweep->db, &sweep->op.job);
}


static void
ngx_chat_sweep_found(ngx_chat_db_job_t *job)
{
    ngx_chat_sweep_t *sweep = job->data;

    if (job->rc != NGX_OK || sweep->op.tokens.len == 0) {
        ngx_chat_sweep_end(sweep, NGX_CHAT_SWEEP_INTERVAL);
        return;
    }

    ngx_memzero(&sweep->job, sizeof(ngx_chat_file_job_t));

    sweep->job.dir = sweep->dir;
    sweep->job.tokens = sweep->op.tokens;
    sweep->job.handler = ngx_chat_sweep_removed;
    sweep->job.data = sweep;

    if (ngx_chat_file_submit(sweep->files, &sweep->job) != NGX_OK) {
        ngx_chat_sweep_end(sweep, NGX_CHAT_SWEEP_INTERVAL);
    }
}


static void
ngx_chat_sweep_removed(ngx_chat_file_job_t *job)
{
    ngx_chat_sweep_t *sweep = job->data;

    if (job->rc != NGX_OK
        || ngx_chat_sweep_query(sweep, &ngx_chat_query_file_removed,
                                ngx_chat_sweep_done)
           != NGX_OK)
    {
        ngx_chat_sweep_end(sweep, NGX_CHAT_SWEEP_INTERVAL);
    }
}


static void
ngx_chat_sweep_done(ngx_chat_db_job_t *job)
{
    ngx_chat_sweep_t *sweep = job->data;

    ngx_chat_sweep_end(sweep, job->rc == NGX_OK ? NGX_CHAT_SWEEP_SOON
                                                : NGX_CHAT_SWEEP_INTERVAL);
}


static void
ngx_chat_sweep_end(ngx_chat_sweep_t *sweep, ngx_msec_t next)
{
    if (sweep->pool) {
        ngx_destroy_pool(sweep->pool);
        sweep->pool = NULL;
    }

    if (sweep->again) {
        next = NGX_CHAT_SWEEP_SOON;
    }

    if (next == NGX_CHAT_SWEEP_SOON || ngx_worker == 0) {
        ngx_add_timer(&sweep->timer, next);
    }
}
