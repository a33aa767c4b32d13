
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/core/ngx_chat_json.h"
#include "src/push/ngx_chat_channel.h"
#include "src/push/ngx_chat_notify.h"
#include "src/push/ngx_chat_presence.h"
#include "src/push/ngx_chat_redis.h"


/* interval at which changes are handled, ms, and at which users are reported,
   in such intervals */
#define NGX_CHAT_PRESENCE_TICK     1000
#define NGX_CHAT_PRESENCE_REPORT   3

/* concurrent lookups of a worker: if all users come online at once, for example
   after a start of nginx, the database is not flooded */
#define NGX_CHAT_PRESENCE_LOOKUPS  16


/* a change whose partners are looked up; in its own pool */

typedef struct {
    ngx_chat_query_presence_t    op;           /* first member */
    ngx_chat_presence_t         *presence;
    ngx_chat_presence_change_t   change;
} ngx_chat_presence_lookup_t;


/* users whose last_seen_at is being stored; in its own pool */

typedef struct {
    ngx_chat_query_presence_store_t  op;       /* first member */
    ngx_chat_presence_t         *presence;
} ngx_chat_presence_store_t;


struct ngx_chat_presence_s {
    ngx_chat_presence_zone_t    *zone;
    ngx_chat_worker_t           *worker;
    ngx_log_t                   *log;
    ngx_event_t                  tick;         /* timer */
    ngx_uint_t                   ticks;
    ngx_uint_t                   pos;          /* in the zone */
    ngx_uint_t                   lookups;      /* in progress */
    ngx_chat_presence_store_t   *store;        /* being filled, or NULL */
    unsigned                     storing:1;    /* a query is in progress */
    unsigned                     events:1;     /* as chmcf->events */
};


static void ngx_chat_presence_tick(ngx_event_t *ev);
static void ngx_chat_presence_report(ngx_chat_presence_t *presence);
static void ngx_chat_presence_share(ngx_chat_presence_t *presence,
    uint32_t *ids, ngx_uint_t n);
static void ngx_chat_presence_changes(ngx_chat_presence_t *presence);
static void ngx_chat_presence_lookup(ngx_chat_presence_t *presence,
    ngx_chat_presence_change_t *change);
static void ngx_chat_presence_looked_up(ngx_chat_db_job_t *job);
static ngx_int_t ngx_chat_presence_event(ngx_chat_presence_lookup_t *lookup,
    ngx_str_t *user, ngx_str_t *event);
static void ngx_chat_presence_store_add(ngx_chat_presence_t *presence,
    ngx_chat_presence_change_t *change);
static void ngx_chat_presence_store_submit(ngx_chat_presence_t *presence);
static void ngx_chat_presence_stored(ngx_chat_db_job_t *job);


ngx_chat_presence_t *
ngx_chat_presence_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_chat_presence_t  *presence;

    presence = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_presence_t));
    if (presence == NULL) {
        return NULL;
    }

    presence->zone = chmcf->worker->presence_zone;
    presence->worker = chmcf->worker;
    presence->events = chmcf->events;
    presence->log = cycle->log;

    presence->tick.handler = ngx_chat_presence_tick;
    presence->tick.data = presence;
    presence->tick.log = cycle->log;
    presence->tick.cancelable = 1;

    if (presence->zone) {
        ngx_add_timer(&presence->tick, NGX_CHAT_PRESENCE_TICK);
    }

    return presence;
}


static void
ngx_chat_presence_tick(ngx_event_t *ev)
{
    ngx_chat_presence_t *presence = ev->data;

    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(ev, NGX_CHAT_PRESENCE_TICK);

    if (presence->ticks++ % NGX_CHAT_PRESENCE_REPORT == 0) {
        ngx_chat_presence_report(presence);
    }

    ngx_chat_presence_changes(presence);
}


static void
ngx_chat_presence_report(ngx_chat_presence_t *presence)
{
    uint32_t              id, ids[NGX_CHAT_REDIS_IDS];
    ngx_uint_t            i, n;
    ngx_chat_channel_t   *channel;
    ngx_chat_channels_t  *channels;

    n = 0;
    channels = presence->worker->channels;

    /* hints and events of each group */

    for (i = 0; i < 2 * ngx_chat_channels_groups(channels); i++) {

        channel = NULL;

        while ((channel = ngx_chat_channel_next(channels, i % 2, i / 2,
                                                channel))
               != NULL)
        {
            id = (uint32_t) channel->node.key;

            ngx_chat_presence_zone_report(presence->zone, id, 0);

            ids[n++] = id;

            if (n == NGX_CHAT_REDIS_IDS) {
                ngx_chat_presence_share(presence, ids, n);
                n = 0;
            }
        }
    }

    ngx_chat_presence_share(presence, ids, n);
}


/* reports users to other hosts */

static void
ngx_chat_presence_share(ngx_chat_presence_t *presence, uint32_t *ids,
    ngx_uint_t n)
{
    if (presence->worker->redis && n) {
        ngx_chat_redis_publish_online(presence->worker->redis, ids, n);
    }
}


/* handles a round of changes, or the first ones if there are many */

static void
ngx_chat_presence_changes(ngx_chat_presence_t *presence)
{
    ngx_int_t                   rc;
    ngx_chat_presence_change_t  change;

    do {
        if (presence->lookups == NGX_CHAT_PRESENCE_LOOKUPS
            || presence->storing)
        {
            break;
        }

        rc = ngx_chat_presence_zone_next(presence->zone, &presence->pos,
                                         &change);

        if (rc != NGX_OK) {
            continue;
        }

        if (change.store) {
            ngx_chat_presence_store_add(presence, &change);
        }

        if (change.changed && presence->events) {
            ngx_chat_presence_lookup(presence, &change);
        }

    } while (rc == NGX_OK || presence->pos);

    if (presence->store && !presence->storing) {
        ngx_chat_presence_store_submit(presence);
    }
}


static void
ngx_chat_presence_lookup(ngx_chat_presence_t *presence,
    ngx_chat_presence_change_t *change)
{
    ngx_pool_t                  *pool;
    ngx_chat_db_job_t           *job;
    ngx_chat_presence_lookup_t  *lookup;

    pool = ngx_create_pool(1024, presence->log);
    if (pool == NULL) {
        return;
    }

    lookup = ngx_pcalloc(pool, sizeof(ngx_chat_presence_lookup_t));
    if (lookup == NULL) {
        ngx_destroy_pool(pool);
        return;
    }

    lookup->presence = presence;
    lookup->change = *change;
    lookup->op.user_id = change->user_id;

    job = &lookup->op.job;

    job->type = &ngx_chat_query_presence_partners;
    job->handler = ngx_chat_presence_looked_up;
    job->pool = pool;

    if (ngx_chat_db_submit(presence->worker->db, job) != NGX_OK) {
        ngx_destroy_pool(pool);
        return;
    }

    presence->lookups++;
}


static void
ngx_chat_presence_looked_up(ngx_chat_db_job_t *job)
{
    ngx_str_t                    event;
    ngx_uint_t                   i;
    ngx_chat_presence_t         *presence;
    ngx_chat_query_partner_t    *partner;
    ngx_chat_presence_lookup_t  *lookup;

    lookup = (ngx_chat_presence_lookup_t *) job;
    presence = lookup->presence;

    presence->lookups--;

    if (job->rc == NGX_OK && lookup->op.partners
        && lookup->op.partners->nelts)
    {
        partner = lookup->op.partners->elts;

        if (ngx_chat_presence_event(lookup, &partner[0].user, &event)
            == NGX_OK)
        {
            for (i = 0; i < lookup->op.partners->nelts; i++) {
                if (ngx_chat_presence_zone_online(presence->zone,
                                                  partner[i].id))
                {
                    ngx_chat_notify_event(presence->worker->notify,
                                          NGX_CHAT_RECORD_LOCAL, 0,
                                          partner[i].id, &event);
                }
            }
        }
    }

    ngx_destroy_pool(job->pool);
}


/*
 * {"type":"presence","user":"alice","online":true,
 *  "last_seen_at":"2025-12-30T07:03:02.325660Z"}
 */

static ngx_int_t
ngx_chat_presence_event(ngx_chat_presence_lookup_t *lookup, ngx_str_t *user,
    ngx_str_t *event)
{
    u_char            seen[NGX_CHAT_TIMESTAMP_LEN];
    ngx_str_t         text;
    ngx_chat_json_t  *json;

    text.data = seen;
    text.len = NGX_CHAT_TIMESTAMP_LEN;

    ngx_chat_string_time(seen, lookup->change.ago);

    json = ngx_chat_json_create(lookup->op.job.pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "type");
    ngx_chat_json_text(json, "presence");
    ngx_chat_json_key(json, "user");
    ngx_chat_json_string(json, user);
    ngx_chat_json_key(json, "online");
    ngx_chat_json_bool(json, lookup->change.online);
    ngx_chat_json_key(json, "last_seen_at");
    ngx_chat_json_string(json, &text);
    ngx_chat_json_end(json);

    return ngx_chat_json_done(json, event);
}


static void
ngx_chat_presence_store_add(ngx_chat_presence_t *presence,
    ngx_chat_presence_change_t *change)
{
    ngx_pool_t                 *pool;
    ngx_chat_presence_store_t  *store;

    store = presence->store;

    if (store == NULL) {
        pool = ngx_create_pool(2048, presence->log);
        if (pool == NULL) {
            return;
        }

        store = ngx_pcalloc(pool, sizeof(ngx_chat_presence_store_t));
        if (store == NULL) {
            ngx_destroy_pool(pool);
            return;
        }

        store->presence = presence;
        store->op.job.pool = pool;

        presence->store = store;
    }

    store->op.users[store->op.n].id = change->user_id;
    store->op.users[store->op.n].ago = change->ago;
    store->op.n++;

    if (store->op.n == NGX_CHAT_QUERY_PRESENCE_BATCH) {
        ngx_chat_presence_store_submit(presence);
    }
}


static void
ngx_chat_presence_store_submit(ngx_chat_presence_t *presence)
{
    ngx_chat_db_job_t  *job;

    job = &presence->store->op.job;

    presence->store = NULL;

    job->type = &ngx_chat_query_presence_store;
    job->handler = ngx_chat_presence_stored;

    if (ngx_chat_db_submit(presence->worker->db, job) != NGX_OK) {
        ngx_destroy_pool(job->pool);
        return;
    }

    presence->storing = 1;
}


static void
ngx_chat_presence_stored(ngx_chat_db_job_t *job)
{
    ngx_chat_presence_store_t  *store = (ngx_chat_presence_store_t *) job;

    store->presence->storing = 0;

    ngx_destroy_pool(job->pool);
}
