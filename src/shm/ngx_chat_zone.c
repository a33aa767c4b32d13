
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_zone.h"

#include <openssl/rand.h>


#define NGX_CHAT_ZONE_MIN_PAGES  16


static ngx_int_t ngx_chat_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static ngx_chat_zone_t *ngx_chat_zone_create(ngx_slab_pool_t *shpool);


void
ngx_chat_zone_add(ngx_shm_zone_t *shm_zone)
{
    shm_zone->init = ngx_chat_zone_init;
}


const ngx_chat_zone_t *
ngx_chat_zone(ngx_shm_zone_t *shm_zone)
{
    static const ngx_chat_zone_t  none;

    return shm_zone ? shm_zone->data : &none;
}


ngx_int_t
ngx_chat_zone_inherit(ngx_cycle_t *cycle, ngx_shm_zone_t *shm_zone)
{
    ngx_chat_zone_t  *zone;

    zone = shm_zone->data;
    zone->wakeup = ngx_chat_wakeup_create(cycle, zone->wakeup);

    return zone->wakeup ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_chat_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    if (data) {
        shm_zone->data = data;
        return NGX_OK;
    }

    shm_zone->data = ngx_chat_zone_create((ngx_slab_pool_t *)
                                          shm_zone->shm.addr);
    if (shm_zone->data == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "chat_zone \"%V\" is too small: give it more than %uzk",
                      &shm_zone->shm.name, shm_zone->shm.size / 1024);

        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the sizes of the parts depend on the memory that is free at that moment */

static ngx_chat_zone_t *
ngx_chat_zone_create(ngx_slab_pool_t *shpool)
{
    ngx_chat_zone_t       *zone;
    ngx_chat_db_choice_t  *choices;

    if (shpool->pfree < NGX_CHAT_ZONE_MIN_PAGES) {
        return NULL;
    }

    zone = ngx_slab_calloc(shpool, sizeof(ngx_chat_zone_t));
    choices = ngx_slab_calloc(shpool, 2 * sizeof(ngx_chat_db_choice_t));

    if (zone == NULL || choices == NULL) {
        return NULL;
    }

    if (RAND_bytes((u_char *) &zone->instance, sizeof(zone->instance)) != 1) {
        return NULL;
    }

    zone->server = &choices[0];
    zone->replica = &choices[1];

    zone->metrics = ngx_chat_metrics_zone_create(shpool);
    zone->generations = ngx_chat_generation_create(shpool);
    zone->shared_log = ngx_chat_shared_log_create(shpool);
    zone->debt = ngx_chat_debt_create(shpool);
    zone->outbox = ngx_chat_outbox_zone_create(shpool);
    zone->gtid = ngx_chat_gtid_create(shpool);
    zone->changed = ngx_chat_changed_create(shpool);
    zone->revocations = ngx_chat_revocation_create(shpool);
    zone->typing = ngx_chat_typing_create(shpool);
    zone->blocks = ngx_chat_block_zone_create(shpool);
    zone->presence = ngx_chat_presence_zone_create(shpool);

    if (zone->metrics == NULL || zone->generations == NULL
        || zone->shared_log == NULL || zone->debt == NULL
        || zone->outbox == NULL
        || zone->gtid == NULL || zone->changed == NULL
        || zone->revocations == NULL || zone->typing == NULL
        || zone->blocks == NULL || zone->presence == NULL)
    {
        return NULL;
    }

    zone->throttle = ngx_chat_throttle_create(shpool, shpool->pfree
                                                      * ngx_pagesize / 16);
    if (zone->throttle == NULL) {
        return NULL;
    }

    /* takes the rest */

    zone->cache = ngx_chat_cache_create(shpool, zone->revocations);

    return zone->cache ? zone : NULL;
}
