
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/shm/ngx_chat_presence_zone.h"


/*
 * Entries are hashed by user into sets.  A new user takes a free entry of the
 * set, or one of a user whose absence is known.
 */
#define NGX_CHAT_PRESENCE_SET      8          /* entries */
#define NGX_CHAT_PRESENCE_SHARE    (64 * sizeof(ngx_chat_presence_set_t))
                                              /* bytes of the zone for a set */

#define NGX_CHAT_PRESENCE_TTL      10000      /* ms */
#define NGX_CHAT_PRESENCE_REMOTE   15000      /* ms, of other hosts */
#define NGX_CHAT_PRESENCE_STORE    60000      /* ms between two last_seen_at */

/* sets that one call of ngx_chat_presence_zone_next() examines */
#define NGX_CHAT_PRESENCE_STEP     64


typedef struct {
    uint32_t                    user_id;      /* 0: free */
    uint32_t                    online;       /* flag: the known state */
    ngx_msec_t                  seen;         /* ngx_current_msec */
    ngx_msec_t                  remote;       /* as above, by another host */
    ngx_msec_t                  stored;       /* as above, of last_seen_at */
} ngx_chat_presence_entry_t;


typedef struct {
    ngx_chat_presence_entry_t   entries[NGX_CHAT_PRESENCE_SET];
} ngx_chat_presence_set_t;


struct ngx_chat_presence_zone_s {
    ngx_slab_pool_t            *shpool;       /* its mutex protects entries */
    ngx_chat_presence_set_t    *sets;
    ngx_uint_t                  n;
};


static ngx_chat_presence_entry_t *ngx_chat_presence_zone_find(
    ngx_chat_presence_zone_t *zone, uint32_t user_id, ngx_uint_t create);
static ngx_int_t ngx_chat_presence_zone_set(ngx_chat_presence_set_t *set,
    ngx_chat_presence_change_t *change);
static ngx_uint_t ngx_chat_presence_zone_recent(
    ngx_chat_presence_entry_t *entry);
static ngx_int_t ngx_chat_presence_zone_change(
    ngx_chat_presence_entry_t *entry, ngx_chat_presence_change_t *change);


ngx_chat_presence_zone_t *
ngx_chat_presence_zone_create(ngx_slab_pool_t *shpool)
{
    ngx_uint_t                 n;
    ngx_chat_presence_zone_t  *zone;

    n = shpool->pfree * ngx_pagesize / NGX_CHAT_PRESENCE_SHARE;

    zone = ngx_slab_calloc(shpool, sizeof(ngx_chat_presence_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->shpool = shpool;
    zone->n = n;
    zone->sets = ngx_slab_calloc(shpool, n * sizeof(ngx_chat_presence_set_t));

    return zone->sets ? zone : NULL;
}


void
ngx_chat_presence_zone_report(ngx_chat_presence_zone_t *zone, uint32_t user_id,
    ngx_uint_t remote)
{
    ngx_chat_presence_entry_t  *entry;

    if (zone == NULL) {
        return;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    entry = ngx_chat_presence_zone_find(zone, user_id, 1);

    if (entry && remote) {
        entry->remote = ngx_current_msec;

    } else if (entry) {
        entry->seen = ngx_current_msec;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_uint_t
ngx_chat_presence_zone_online(ngx_chat_presence_zone_t *zone, uint32_t user_id)
{
    ngx_uint_t                  online;
    ngx_chat_presence_entry_t  *entry;

    if (zone == NULL) {
        return 0;
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    entry = ngx_chat_presence_zone_find(zone, user_id, 0);
    online = (entry && ngx_chat_presence_zone_recent(entry));

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return online;
}


ngx_int_t
ngx_chat_presence_zone_next(ngx_chat_presence_zone_t *zone, ngx_uint_t *pos,
    ngx_chat_presence_change_t *change)
{
    ngx_int_t   rc;
    ngx_uint_t  last;

    if (zone == NULL) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;
    last = ngx_min(*pos + NGX_CHAT_PRESENCE_STEP, zone->n);

    ngx_shmtx_lock(&zone->shpool->mutex);

    while (*pos < last) {

        rc = ngx_chat_presence_zone_set(&zone->sets[*pos], change);

        if (rc == NGX_OK) {

            /* the next call examines the rest of this set */

            break;
        }

        (*pos)++;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (*pos == zone->n) {
        *pos = 0;
    }

    return rc;
}


static ngx_int_t
ngx_chat_presence_zone_set(ngx_chat_presence_set_t *set,
    ngx_chat_presence_change_t *change)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CHAT_PRESENCE_SET; i++) {
        if (ngx_chat_presence_zone_change(&set->entries[i], change) == NGX_OK) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* called with the mutex locked */

static ngx_chat_presence_entry_t *
ngx_chat_presence_zone_find(ngx_chat_presence_zone_t *zone, uint32_t user_id,
    ngx_uint_t create)
{
    uint32_t                    hash;
    ngx_uint_t                  i;
    ngx_chat_presence_set_t    *set;
    ngx_chat_presence_entry_t  *entry, *unused;

    hash = ngx_murmur_hash2((u_char *) &user_id, sizeof(uint32_t));
    set = &zone->sets[hash % zone->n];

    unused = NULL;

    for (i = 0; i < NGX_CHAT_PRESENCE_SET; i++) {
        entry = &set->entries[i];

        if (entry->user_id == user_id) {
            return entry;
        }

        if (entry->user_id == 0
            || (!entry->online && !ngx_chat_presence_zone_recent(entry)))
        {
            unused = entry;
        }
    }

    if (!create || unused == NULL) {
        return NULL;
    }

    unused->user_id = user_id;
    unused->online = 0;
    unused->stored = ngx_current_msec - NGX_CHAT_PRESENCE_STORE;
    unused->seen = unused->stored;
    unused->remote = unused->stored;

    return unused;
}


static ngx_uint_t
ngx_chat_presence_zone_recent(ngx_chat_presence_entry_t *entry)
{
    return (ngx_msec_int_t) (ngx_current_msec - entry->seen)
           < NGX_CHAT_PRESENCE_TTL
           || (ngx_msec_int_t) (ngx_current_msec - entry->remote)
              < NGX_CHAT_PRESENCE_REMOTE;
}


static ngx_int_t
ngx_chat_presence_zone_change(ngx_chat_presence_entry_t *entry,
    ngx_chat_presence_change_t *change)
{
    ngx_uint_t      online;
    ngx_msec_int_t  ago;

    if (entry->user_id == 0) {
        return NGX_DECLINED;
    }

    online = ngx_chat_presence_zone_recent(entry);

    change->user_id = entry->user_id;
    change->online = online;
    change->changed = (online != entry->online);

    /* each host stores the times of its own sockets */

    change->store = (ngx_msec_int_t) (entry->seen - entry->stored)
                    >= (online ? NGX_CHAT_PRESENCE_STORE : 1);

    if (!change->changed && !change->store) {
        return NGX_DECLINED;
    }

    ago = ngx_current_msec - entry->seen;

    if (!change->store) {
        ago = ngx_min(ago, (ngx_msec_int_t) (ngx_current_msec
                                             - entry->remote));
    }

    change->ago = ngx_max(ago, 0);

    entry->online = online;

    if (change->store) {
        entry->stored = entry->seen;
    }

    return NGX_OK;
}
