
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/push/ngx_chat_lookup.h"


struct ngx_chat_lookup_s {
    ngx_chat_db_t              *db;
    ngx_chat_cache_t           *cache;
    const ngx_str_t            *base;          /* of the API */
    ngx_chat_lookup_pt          handler;
    void                       *data;
    ngx_log_t                  *log;
    ngx_queue_t                 reads;         /* ngx_chat_lookup_read_t */
};


typedef struct {
    ngx_chat_query_message_t    op;
    ngx_queue_t                 link;
    ngx_chat_lookup_t          *lookup;
    ngx_chat_record_t           record;        /* without text */
} ngx_chat_lookup_read_t;


static void ngx_chat_lookup_cleanup(void *data);
static ngx_int_t ngx_chat_lookup_cached(ngx_chat_lookup_t *lookup,
    ngx_chat_record_t *record, ngx_pool_t *pool);
static ngx_int_t ngx_chat_lookup_submit(ngx_chat_lookup_t *lookup,
    ngx_chat_record_t *record, ngx_pool_t *pool);
static void ngx_chat_lookup_done(ngx_chat_db_job_t *job);
static ngx_int_t ngx_chat_lookup_found(ngx_chat_lookup_t *lookup,
    ngx_chat_record_t *record, ngx_pool_t *pool, ngx_str_t *json);
static void ngx_chat_lookup_failed(ngx_chat_lookup_t *lookup,
    ngx_chat_record_t *record);


ngx_chat_lookup_t *
ngx_chat_lookup_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf,
    ngx_chat_lookup_pt handler, void *data)
{
    ngx_chat_lookup_t   *lookup;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_chat_lookup_t));
    if (cln == NULL) {
        return NULL;
    }

    lookup = cln->data;

    lookup->db = chmcf->worker->db;
    lookup->cache = chmcf->several ? NULL : chmcf->worker->zone->cache;
    lookup->base = &chmcf->api_base;
    lookup->handler = handler;
    lookup->data = data;
    lookup->log = cycle->log;

    ngx_queue_init(&lookup->reads);

    cln->handler = ngx_chat_lookup_cleanup;

    return lookup;
}


static void
ngx_chat_lookup_cleanup(void *data)
{
    ngx_chat_lookup_t  *lookup = data;

    ngx_queue_t             *q;
    ngx_chat_lookup_read_t  *read;

    while (!ngx_queue_empty(&lookup->reads)) {
        q = ngx_queue_head(&lookup->reads);
        ngx_queue_remove(q);

        read = ngx_queue_data(q, ngx_chat_lookup_read_t, link);
        ngx_destroy_pool(read->op.job.pool);
    }
}


void
ngx_chat_lookup(ngx_chat_lookup_t *lookup, ngx_chat_record_t *record)
{
    ngx_int_t    rc;
    ngx_pool_t  *pool;

    pool = NULL;
    rc = NGX_ERROR;

    if (record->kind == NGX_CHAT_RECORD_MESSAGE
        || record->kind == NGX_CHAT_RECORD_EDITED)
    {
        pool = ngx_create_pool(1024, lookup->log);
    }

    if (pool) {
        rc = ngx_chat_lookup_cached(lookup, record, pool);

        if (rc == NGX_DECLINED) {
            rc = ngx_chat_lookup_submit(lookup, record, pool);
        }
    }

    if (rc == NGX_AGAIN) {
        return;
    }

    if (pool) {
        ngx_destroy_pool(pool);
    }

    if (rc != NGX_OK) {
        ngx_chat_lookup_failed(lookup, record);
    }
}


/* of an edited message, the zone may still have the former text */

static ngx_int_t
ngx_chat_lookup_cached(ngx_chat_lookup_t *lookup, ngx_chat_record_t *record,
    ngx_pool_t *pool)
{
    ngx_int_t  rc;
    ngx_str_t  json;

    if (record->kind != NGX_CHAT_RECORD_MESSAGE) {
        return NGX_DECLINED;
    }

    rc = ngx_chat_cache_message_get(lookup->cache, record->message_id,
                                    record->recipient_id, pool, &json);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_chat_lookup_found(lookup, record, pool, &json);
}


/* returns NGX_AGAIN; then ngx_chat_lookup_done() destroys the pool */

static ngx_int_t
ngx_chat_lookup_submit(ngx_chat_lookup_t *lookup, ngx_chat_record_t *record,
    ngx_pool_t *pool)
{
    ngx_chat_lookup_read_t  *read;

    read = ngx_pcalloc(pool, sizeof(ngx_chat_lookup_read_t));
    if (read == NULL) {
        return NGX_ERROR;
    }

    read->lookup = lookup;
    read->record = *record;
    ngx_str_null(&read->record.text);

    read->op.id = record->message_id;
    read->op.user_id = record->recipient_id;

    read->op.job.type = &ngx_chat_query_message_get;
    read->op.job.handler = ngx_chat_lookup_done;
    read->op.job.data = read;
    read->op.job.pool = pool;

    if (ngx_chat_db_submit(lookup->db, &read->op.job) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&lookup->reads, &read->link);

    return NGX_AGAIN;
}


static void
ngx_chat_lookup_done(ngx_chat_db_job_t *job)
{
    ngx_chat_lookup_read_t *read = job->data;

    ngx_int_t         rc;
    ngx_str_t         text;
    ngx_chat_json_t  *json;

    ngx_queue_remove(&read->link);

    rc = NGX_ERROR;

    if (job->rc == NGX_OK && read->op.message.id) {
        json = ngx_chat_json_create(job->pool);
        ngx_chat_json_message(json, &read->op.message, read->lookup->base);

        rc = ngx_chat_json_done(json, &text);

        if (rc == NGX_OK) {
            rc = ngx_chat_lookup_found(read->lookup, &read->record, job->pool,
                                       &text);
        }
    }

    if (rc != NGX_OK) {
        ngx_chat_lookup_failed(read->lookup, &read->record);
    }

    ngx_destroy_pool(job->pool);
}


static ngx_int_t
ngx_chat_lookup_found(ngx_chat_lookup_t *lookup, ngx_chat_record_t *record,
    ngx_pool_t *pool, ngx_str_t *json)
{
    u_char     *p;
    ngx_str_t   text;

    p = ngx_pnalloc(pool, json->len + NGX_CHAT_LOOKUP_EVENT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text = ngx_chat_lookup_event(p, record->kind, json);

    lookup->handler(lookup->data, record, &text);

    return NGX_OK;
}


static void
ngx_chat_lookup_failed(ngx_chat_lookup_t *lookup, ngx_chat_record_t *record)
{
    ngx_str_t  text = ngx_string(NGX_CHAT_LOOKUP_RESYNC);

    lookup->handler(lookup->data, record, &text);
}


ngx_str_t
ngx_chat_lookup_event(u_char *p, ngx_chat_record_e kind, ngx_str_t *json)
{
    ngx_str_t  text;

    text.data = p;
    text.len = ngx_sprintf(p, NGX_CHAT_LOOKUP_EVENT,
                           kind == NGX_CHAT_RECORD_EDITED ? "edited"
                                                          : "message",
                           json)
               - p;

    return text;
}
