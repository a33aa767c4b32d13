
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_block_zone.h"


#define NGX_CHAT_BLOCK_ZONE_ENTRIES  256


/* an entry of another pair is overwritten */

typedef struct {
    uint32_t                    lo_id;
    uint32_t                    hi_id;
    ngx_uint_t                  blocks;
    ngx_uint_t                  revision;
    ngx_msec_t                  time;         /* ngx_current_msec */
} ngx_chat_block_entry_t;


struct ngx_chat_block_zone_s {
    ngx_slab_pool_t            *shpool;       /* its mutex protects entries */
    ngx_atomic_t                revision;
    ngx_chat_block_entry_t      entries[NGX_CHAT_BLOCK_ZONE_ENTRIES];
};


static ngx_chat_block_entry_t *ngx_chat_block_zone_entry(
    ngx_chat_block_zone_t *zone, uint32_t lo_id, uint32_t hi_id);


ngx_chat_block_zone_t *
ngx_chat_block_zone_create(ngx_slab_pool_t *shpool)
{
    ngx_chat_block_zone_t  *zone;

    zone = ngx_slab_calloc(shpool, sizeof(ngx_chat_block_zone_t));

    if (zone) {
        zone->shpool = shpool;
    }

    return zone;
}


ngx_uint_t
ngx_chat_block_zone_revision(ngx_chat_block_zone_t *zone)
{
    return zone ? zone->revision : 0;
}


void
ngx_chat_block_zone_changed(ngx_chat_block_zone_t *zone)
{
    if (zone) {
        (void) ngx_atomic_fetch_add(&zone->revision, 1);
    }
}


ngx_int_t
ngx_chat_block_zone_get(ngx_chat_block_zone_t *zone, uint32_t lo_id,
    uint32_t hi_id, ngx_msec_t age, ngx_uint_t *blocks)
{
    ngx_int_t                rc;
    ngx_chat_block_entry_t  *entry;

    if (zone == NULL) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;
    entry = ngx_chat_block_zone_entry(zone, lo_id, hi_id);

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (entry->lo_id == lo_id && entry->hi_id == hi_id
        && entry->revision == zone->revision
        && (ngx_msec_int_t) (ngx_current_msec - entry->time)
           < (ngx_msec_int_t) age)
    {
        *blocks = entry->blocks;
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


void
ngx_chat_block_zone_set(ngx_chat_block_zone_t *zone, uint32_t lo_id,
    uint32_t hi_id, ngx_uint_t blocks, ngx_uint_t revision)
{
    ngx_chat_block_entry_t  *entry;

    if (zone == NULL) {
        return;
    }

    entry = ngx_chat_block_zone_entry(zone, lo_id, hi_id);

    ngx_shmtx_lock(&zone->shpool->mutex);

    entry->lo_id = lo_id;
    entry->hi_id = hi_id;
    entry->blocks = blocks;
    entry->revision = revision;
    entry->time = ngx_current_msec;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


static ngx_chat_block_entry_t *
ngx_chat_block_zone_entry(ngx_chat_block_zone_t *zone, uint32_t lo_id,
    uint32_t hi_id)
{
    uint32_t  ids[2] = { lo_id, hi_id };

    return &zone->entries[ngx_murmur_hash2((u_char *) ids, sizeof(ids))
                          % NGX_CHAT_BLOCK_ZONE_ENTRIES];
}
