
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_workers.h"


/* sends under way: bytes of the zone for each, most of all, and places that
   are looked at for a new one */
#define NGX_CHAT_WORKERS_SHARE   (32 * sizeof(ngx_chat_unannounced_t))
#define NGX_CHAT_WORKERS_SENDS   4096
#define NGX_CHAT_WORKERS_PROBES  64

/* owns what is left to the others: no process has this id */
#define NGX_CHAT_WORKERS_NOBODY  0x7fffffff


/* a slot of nginx's table of processes has one process at a time */

typedef struct {
    ngx_pid_t                   pid;          /* 0: none, or it ended well */
    uint32_t                    generation;
    ngx_msec_t                  left;         /* began to; 0: has not */
} ngx_chat_workers_slot_t;


struct ngx_chat_workers_s {
    ngx_atomic_t                epoch;
    ngx_atomic_t                generation;   /* the newest */
    ngx_chat_workers_slot_t     slots[NGX_MAX_PROCESSES];

    ngx_chat_unannounced_t     *unannounced;
    ngx_uint_t                  nunannounced;
    ngx_atomic_t                place;        /* of the next one */
};


ngx_chat_workers_t *
ngx_chat_workers_create(ngx_slab_pool_t *shpool)
{
    ngx_uint_t           n;
    ngx_chat_workers_t  *workers;

    n = shpool->pfree * ngx_pagesize / NGX_CHAT_WORKERS_SHARE;
    n = ngx_min(n, NGX_CHAT_WORKERS_SENDS);

    workers = ngx_slab_calloc(shpool, sizeof(ngx_chat_workers_t));
    if (workers == NULL) {
        return NULL;
    }

    workers->nunannounced = n;
    workers->unannounced = ngx_slab_calloc(shpool,
                                          n * sizeof(ngx_chat_unannounced_t));

    return workers->unannounced ? workers : NULL;
}


ngx_int_t
ngx_chat_workers_start(ngx_chat_workers_t *workers, uint32_t generation)
{
    ngx_pid_t                 pid;
    ngx_uint_t                i;
    ngx_chat_workers_slot_t  *slot;

    if (workers == NULL) {
        return NGX_OK;
    }

    slot = &workers->slots[ngx_process_slot];

    pid = slot->pid;

    slot->generation = generation;
    slot->left = 0;
    slot->pid = ngx_pid;

    /* one that died may have had the number that is ours now */

    for (i = 0; i < workers->nunannounced; i++) {
        if (workers->unannounced[i].owner == (ngx_atomic_uint_t) ngx_pid) {
            ngx_chat_workers_left(&workers->unannounced[i]);
        }
    }

    return (pid == 0) ? NGX_OK : NGX_DECLINED;
}


void
ngx_chat_workers_end(ngx_chat_workers_t *workers)
{
    if (workers) {
        workers->slots[ngx_process_slot].pid = 0;
    }
}


void
ngx_chat_workers_new_epoch(ngx_chat_workers_t *workers)
{
    (void) ngx_atomic_fetch_add(&workers->epoch, 1);
}


ngx_uint_t
ngx_chat_workers_epoch(ngx_chat_workers_t *workers)
{
    return workers ? workers->epoch : 0;
}


uint32_t
ngx_chat_workers_new_generation(ngx_chat_workers_t *workers)
{
    return workers ? (uint32_t) ngx_atomic_fetch_add(&workers->generation, 1)
                   : 0;
}


void
ngx_chat_workers_leave(ngx_chat_workers_t *workers)
{
    if (workers) {
        workers->slots[ngx_process_slot].left = ngx_max(ngx_current_msec, 1);
    }
}


ngx_uint_t
ngx_chat_workers_staying(ngx_chat_workers_t *workers, ngx_msec_t msec)
{
    uint32_t                  generation;
    ngx_uint_t                i, n;
    ngx_msec_t                left;
    ngx_chat_workers_slot_t  *slot;

    if (workers == NULL) {
        return 0;
    }

    n = 0;
    generation = workers->slots[ngx_process_slot].generation;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        slot = &workers->slots[i];

        if (slot->pid == 0 || slot->pid == ngx_pid
            || slot->generation != generation)
        {
            continue;
        }

        left = slot->left;

        if (left
            && (ngx_msec_int_t) (ngx_current_msec - left)
               >= (ngx_msec_int_t) msec)
        {
            continue;
        }

        /* one that died has not told */

        if (kill(slot->pid, 0) == 0) {
            n++;
        }
    }

    return n;
}


/* the place is taken before it is filled: who dies in between leaves no harm */

ngx_chat_unannounced_t *
ngx_chat_workers_unannounced(ngx_chat_workers_t *workers, uint32_t sender_id,
    ngx_str_t *client_id)
{
    ngx_uint_t               i;
    ngx_chat_unannounced_t  *entry;

    if (workers == NULL || client_id->len > NGX_CHAT_CLIENT_ID_MAX) {
        return NULL;
    }

    for (i = 0; i < NGX_CHAT_WORKERS_PROBES; i++) {

        entry = &workers->unannounced[ngx_atomic_fetch_add(&workers->place, 1)
                                    % workers->nunannounced];

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
ngx_chat_workers_announced(ngx_chat_unannounced_t *entry)
{
    ngx_memory_barrier();

    entry->owner = 0;
}


void
ngx_chat_workers_left(ngx_chat_unannounced_t *entry)
{
    ngx_memory_barrier();

    entry->owner = NGX_CHAT_WORKERS_NOBODY;
}


ngx_chat_unannounced_t *
ngx_chat_workers_due(ngx_chat_workers_t *workers, ngx_uint_t *n)
{
    ngx_atomic_uint_t        owner;
    ngx_chat_unannounced_t  *entry;

    while (*n < workers->nunannounced) {

        entry = &workers->unannounced[(*n)++];
        owner = entry->owner;

        if (owner == (ngx_atomic_uint_t) ngx_pid) {
            if (entry->due
                && (ngx_msec_int_t) (entry->due - ngx_current_msec) <= 0)
            {
                return entry;
            }

            continue;
        }

        /* a number that somebody else's process has now is not ours either */

        if (owner
            && (owner == NGX_CHAT_WORKERS_NOBODY
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
