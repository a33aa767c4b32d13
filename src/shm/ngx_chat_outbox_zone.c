
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_outbox_zone.h"


/* bytes of the zone per entry, maximum number of entries, and number of
   entries that are examined to find a free one */
#define NGX_CHAT_OUTBOX_SHARE   (32 * sizeof(ngx_chat_outbox_entry_t))
#define NGX_CHAT_OUTBOX_MAX     4096
#define NGX_CHAT_OUTBOX_PROBES  64

/* owner of a released entry; not a valid process id */
#define NGX_CHAT_OUTBOX_RELEASED  0x7fffffff


struct ngx_chat_outbox_zone_s {
    ngx_atomic_t                next;         /* index to examine first */
    ngx_uint_t                  n;
    ngx_chat_outbox_entry_t     entries[];
};


ngx_chat_outbox_zone_t *
ngx_chat_outbox_zone_create(ngx_slab_pool_t *shpool)
{
    ngx_uint_t               n;
    ngx_chat_outbox_zone_t  *zone;

    n = shpool->pfree * ngx_pagesize / NGX_CHAT_OUTBOX_SHARE;
    n = ngx_min(n, NGX_CHAT_OUTBOX_MAX);

    zone = ngx_slab_calloc(shpool, sizeof(ngx_chat_outbox_zone_t)
                                   + n * sizeof(ngx_chat_outbox_entry_t));
    if (zone) {
        zone->n = n;
    }

    return zone;
}


void
ngx_chat_outbox_zone_start(ngx_chat_outbox_zone_t *zone)
{
    ngx_uint_t  i;

    if (zone == NULL) {
        return;
    }

    for (i = 0; i < zone->n; i++) {
        if (zone->entries[i].owner == (ngx_atomic_uint_t) ngx_pid) {
            ngx_chat_outbox_entry_release(&zone->entries[i]);
        }
    }
}


/* an entry is taken before it is filled; a crash in between is harmless */

ngx_chat_outbox_entry_t *
ngx_chat_outbox_entry_add(ngx_chat_outbox_zone_t *zone, uint32_t sender_id,
    ngx_str_t *client_id)
{
    ngx_uint_t                i;
    ngx_chat_outbox_entry_t  *entry;

    if (zone == NULL || client_id->len > NGX_CHAT_CLIENT_ID_MAX) {
        return NULL;
    }

    for (i = 0; i < NGX_CHAT_OUTBOX_PROBES; i++) {

        entry = &zone->entries[ngx_atomic_fetch_add(&zone->next, 1) % zone->n];

        if (entry->owner == 0
            && ngx_atomic_cmp_set(&entry->owner, 0, (ngx_atomic_t) ngx_pid))
        {
            entry->due = 0;
            entry->tries = 0;
            entry->sender_id = sender_id;
            entry->client_id_len = (u_short) client_id->len;
            ngx_memcpy(entry->client_id, client_id->data, client_id->len);

            return entry;
        }
    }

    return NULL;
}


void
ngx_chat_outbox_entry_delete(ngx_chat_outbox_entry_t *entry)
{
    ngx_memory_barrier();

    entry->owner = 0;
}


void
ngx_chat_outbox_entry_release(ngx_chat_outbox_entry_t *entry)
{
    ngx_memory_barrier();

    entry->owner = NGX_CHAT_OUTBOX_RELEASED;
}


ngx_chat_outbox_entry_t *
ngx_chat_outbox_entry_next(ngx_chat_outbox_zone_t *zone, ngx_uint_t *n)
{
    ngx_atomic_uint_t         owner;
    ngx_chat_outbox_entry_t  *entry;

    while (*n < zone->n) {

        entry = &zone->entries[(*n)++];
        owner = entry->owner;

        if (owner == (ngx_atomic_uint_t) ngx_pid) {
            if (entry->due
                && (ngx_msec_int_t) (entry->due - ngx_current_msec) <= 0)
            {
                return entry;
            }

            continue;
        }

        /* kill() also fails if the id belongs to a process of another user */

        if (owner
            && (owner == NGX_CHAT_OUTBOX_RELEASED
                || kill((ngx_pid_t) owner, 0) == -1)
            && ngx_atomic_cmp_set(&entry->owner, owner,
                                  (ngx_atomic_t) ngx_pid))
        {
            entry->due = ngx_current_msec;
            entry->tries = 0;

            return entry;
        }
    }

    return NULL;
}
