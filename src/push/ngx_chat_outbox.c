
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/push/ngx_chat_notify.h"
#include "src/push/ngx_chat_outbox.h"


/*
 * The zone has an entry for each send in progress, with sender and client id.
 * Each worker regularly looks up the messages of entries that are due, its own
 * ones and those of processes that have ended, one after another.
 */


#define NGX_CHAT_OUTBOX_FIRST  100          /* ms after the start of a worker */
#define NGX_CHAT_OUTBOX_TICK   1000         /* ms */

/*
 * If the message is not found, the next tries follow after 1, 2, 4, 8 and 16
 * seconds.  A transaction of a lost connection ends long before.
 */
#define NGX_CHAT_OUTBOX_TRIES  5


struct ngx_chat_outbox_s {
    ngx_chat_outbox_zone_t     *zone;
    ngx_chat_changed_t         *changed;
    ngx_chat_metrics_t         *metrics;
    ngx_chat_db_t              *db;
    ngx_chat_notify_t          *notify;
    ngx_log_t                  *log;

    ngx_event_t                 tick;
    ngx_uint_t                  place;         /* index of the next entry */

    /* in progress */
    ngx_chat_outbox_entry_t    *entry;          /* or NULL */
    ngx_chat_query_message_t    op;
    ngx_pool_t                 *pool;          /* of the lookup, or NULL */
};


static void ngx_chat_outbox_cleanup(void *data);
static void ngx_chat_outbox_kept(void *data);
static void ngx_chat_outbox_tick(ngx_event_t *ev);
static void ngx_chat_outbox_next(ngx_chat_outbox_t *a);
static ngx_int_t ngx_chat_outbox_lookup(ngx_chat_outbox_t *a);
static void ngx_chat_outbox_looked_up(ngx_chat_db_job_t *job);
static void ngx_chat_outbox_changed(ngx_chat_outbox_t *a, uint32_t user_id);


ngx_chat_outbox_t *
ngx_chat_outbox_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_chat_outbox_t   *a;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_chat_outbox_t));
    if (cln == NULL) {
        return NULL;
    }

    a = cln->data;
    ngx_memzero(a, sizeof(ngx_chat_outbox_t));

    a->zone = chmcf->worker->zone->outbox;
    a->changed = chmcf->worker->zone->changed;
    a->metrics = chmcf->worker->metrics;
    a->db = chmcf->worker->db;
    a->notify = chmcf->worker->notify;
    a->log = cycle->log;

    a->tick.handler = ngx_chat_outbox_tick;
    a->tick.data = a;
    a->tick.log = cycle->log;
    a->tick.cancelable = 1;

    ngx_add_timer(&a->tick, NGX_CHAT_OUTBOX_FIRST);

    cln->handler = ngx_chat_outbox_cleanup;

    return a;
}


static void
ngx_chat_outbox_cleanup(void *data)
{
    ngx_chat_outbox_t  *a = data;

    if (a->tick.timer_set) {
        ngx_del_timer(&a->tick);
    }

    if (a->pool) {
        ngx_destroy_pool(a->pool);
    }
}


void
ngx_chat_outbox_keep(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t sender_id, ngx_str_t *client_id)
{
    ngx_pool_cleanup_t    *cln;
    ngx_chat_loc_conf_t   *chlcf;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);
    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chmcf->worker->outbox == NULL || chlcf->publish.len == 0) {
        return;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return;
    }

    ctx->push.entry = ngx_chat_outbox_entry_add(chmcf->worker->zone->outbox,
                                                    sender_id, client_id);

    cln->handler = ngx_chat_outbox_kept;
    cln->data = ctx;
}


/* the request has ended */

static void
ngx_chat_outbox_kept(void *data)
{
    ngx_chat_ctx_t  *ctx = data;

    if (ctx->push.entry == NULL) {
        return;
    }

    if (ctx->push.notified) {
        ngx_chat_outbox_entry_delete(ctx->push.entry);
        return;
    }

    if (ngx_exiting) {
        ngx_chat_outbox_entry_release(ctx->push.entry);
        return;
    }

    ctx->push.entry->due = ngx_current_msec;
}


static void
ngx_chat_outbox_tick(ngx_event_t *ev)
{
    ngx_chat_outbox_t  *a = ev->data;

    a->place = 0;

    ngx_chat_outbox_next(a);
}


/* an exiting worker leaves entries to other workers */

static void
ngx_chat_outbox_next(ngx_chat_outbox_t *a)
{
    if (ngx_exiting) {
        return;
    }

    for ( ;; ) {
        a->entry = ngx_chat_outbox_entry_next(a->zone, &a->place);

        if (a->entry == NULL) {
            break;
        }

        if (ngx_chat_outbox_lookup(a) == NGX_OK) {
            return;
        }

        a->entry->due = ngx_current_msec + NGX_CHAT_OUTBOX_TICK;
    }

    ngx_add_timer(&a->tick, NGX_CHAT_OUTBOX_TICK);
}


static ngx_int_t
ngx_chat_outbox_lookup(ngx_chat_outbox_t *a)
{
    ngx_memzero(&a->op, sizeof(ngx_chat_query_message_t));

    a->pool = ngx_create_pool(1024, a->log);
    if (a->pool == NULL) {
        return NGX_ERROR;
    }

    a->op.sender_id = a->entry->sender_id;
    a->op.client_id.data = a->entry->client_id;
    a->op.client_id.len = a->entry->client_id_len;

    a->op.job.type = &ngx_chat_query_message_by_client;
    a->op.job.handler = ngx_chat_outbox_looked_up;
    a->op.job.data = a;
    a->op.job.pool = a->pool;

    if (ngx_chat_db_submit(a->db, &a->op.job) != NGX_OK) {
        ngx_destroy_pool(a->pool);
        a->pool = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_chat_outbox_looked_up(ngx_chat_db_job_t *job)
{
    ngx_chat_outbox_t  *a = job->data;

    ngx_chat_outbox_entry_t  *entry;

    entry = a->entry;

    if (job->rc == NGX_BUSY || job->rc == NGX_ERROR) {

        /* unknown whether the message exists */

        entry->due = ngx_current_msec + NGX_CHAT_OUTBOX_TICK;

    } else if (a->op.message.id) {
        ngx_log_error(NGX_LOG_NOTICE, a->log, 0,
                      "chat message %uL is published from the outbox",
                      a->op.message.id);

        ngx_chat_outbox_changed(a, a->op.message.sender_id);
        ngx_chat_outbox_changed(a, a->op.message.recipient_id);

        ngx_chat_notify_message(a->notify, NGX_CHAT_RECORD_MESSAGE,
                                &a->op.message, NULL);
        ngx_chat_metrics_count(a->metrics, NGX_CHAT_COUNT_ANNOUNCED_LATE);
        ngx_chat_outbox_entry_delete(entry);

    } else if (entry->tries == NGX_CHAT_OUTBOX_TRIES) {

        /* not stored */

        ngx_chat_outbox_entry_delete(entry);

    } else {
        entry->due = ngx_current_msec + (1000 << entry->tries);
        entry->tries++;
    }

    ngx_destroy_pool(a->pool);
    a->pool = NULL;
    a->entry = NULL;

    ngx_chat_outbox_next(a);
}


/* the message was stored at an unknown time */

static void
ngx_chat_outbox_changed(ngx_chat_outbox_t *a, uint32_t user_id)
{
    ngx_chat_changed_begin(a->changed, user_id);
    ngx_chat_changed_end(a->changed, user_id);
}
