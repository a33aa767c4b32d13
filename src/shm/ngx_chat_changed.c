
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/shm/ngx_chat_changed.h"


/*
 * The mark of an entry is the number of sends in progress, in its low bits, and
 * a version above.  Both the beginning and the end of a send increment the
 * version.  A result is valid while the mark is what it was when the query
 * began, without sends in progress.
 *
 *     send:   increment the mark      query:   read the mark
 *             store the message                query the database
 *             (response, notification)         compare the mark, store the
 *             change the mark                  result with it
 *
 * If a client knows of a message, its send has incremented the mark before, and
 * the increment is a full barrier.  A later request sees another mark than that
 * of a result without the message.
 *
 * A process that crashes leaves its sends in progress.  This affects only the
 * use of the entry, until no send has begun for some time.  A send that takes
 * longer than that may then be missing for a second.
 *
 * The mutex protects results, not marks: a send does not take it.
 */


/* entries: bytes of the zone for each, and maximum number */
#define NGX_CHAT_CHANGED_SHARE      (32 * sizeof(ngx_chat_changed_entry_t))
#define NGX_CHAT_CHANGED_ENTRIES    16384

#define NGX_CHAT_CHANGED_TTL        1000      /* ms, from the beginning of the
                                                 query */
#define NGX_CHAT_CHANGED_ABANDONED  60000     /* ms */

#define NGX_CHAT_CHANGED_SENDS      0xffff    /* mask */
#define NGX_CHAT_CHANGED_VERSION    (NGX_CHAT_CHANGED_SENDS + 1)


typedef struct {
    ngx_atomic_t                mark;
    ngx_atomic_t                since;        /* beginning of the last send,
                                                 ngx_current_msec */

    /* a result */
    uint32_t                    user_id;      /* 0: none */
    uint32_t                    changes;      /* flag */
    uint64_t                    id;
    ngx_chat_changed_query_t    query;
} ngx_chat_changed_entry_t;


struct ngx_chat_changed_s {
    ngx_slab_pool_t            *shpool;
    ngx_chat_changed_entry_t   *entries;
    ngx_uint_t                  n;
};


static ngx_chat_changed_entry_t *ngx_chat_changed_entry(
    ngx_chat_changed_t *changed, uint32_t user_id);
static ngx_atomic_uint_t ngx_chat_changed_mark(ngx_chat_changed_entry_t *entry);


ngx_chat_changed_t *
ngx_chat_changed_create(ngx_slab_pool_t *shpool)
{
    ngx_uint_t           n;
    ngx_chat_changed_t  *changed;

    n = shpool->pfree * ngx_pagesize / NGX_CHAT_CHANGED_SHARE;
    n = ngx_min(n, NGX_CHAT_CHANGED_ENTRIES);

    changed = ngx_slab_calloc(shpool, sizeof(ngx_chat_changed_t));
    if (changed == NULL) {
        return NULL;
    }

    changed->shpool = shpool;
    changed->n = n;
    changed->entries = ngx_slab_calloc(shpool,
                                       n * sizeof(ngx_chat_changed_entry_t));

    return changed->entries ? changed : NULL;
}


static ngx_chat_changed_entry_t *
ngx_chat_changed_entry(ngx_chat_changed_t *changed, uint32_t user_id)
{
    uint32_t  hash;

    hash = ngx_murmur_hash2((u_char *) &user_id, sizeof(uint32_t));

    return &changed->entries[hash % changed->n];
}


void
ngx_chat_changed_begin(ngx_chat_changed_t *changed, uint32_t user_id)
{
    ngx_chat_changed_entry_t  *entry;

    if (changed == NULL) {
        return;
    }

    entry = ngx_chat_changed_entry(changed, user_id);

    /* in this order, see ngx_chat_changed_mark() */

    entry->since = ngx_current_msec;

    (void) ngx_atomic_fetch_add(&entry->mark, NGX_CHAT_CHANGED_VERSION + 1);
}


void
ngx_chat_changed_end(ngx_chat_changed_t *changed, uint32_t user_id)
{
    ngx_atomic_uint_t          mark, next;
    ngx_chat_changed_entry_t  *entry;

    if (changed == NULL) {
        return;
    }

    entry = ngx_chat_changed_entry(changed, user_id);

    /* a send that took too long has been removed already */

    do {
        mark = entry->mark;
        next = mark + NGX_CHAT_CHANGED_VERSION;

        if (mark & NGX_CHAT_CHANGED_SENDS) {
            next--;
        }

    } while (!ngx_atomic_cmp_set(&entry->mark, mark, next));
}


/* returns the mark, after it has removed sends of crashed processes */

static ngx_atomic_uint_t
ngx_chat_changed_mark(ngx_chat_changed_entry_t *entry)
{
    ngx_msec_t         since;
    ngx_atomic_uint_t  mark;

    mark = entry->mark;

    if ((mark & NGX_CHAT_CHANGED_SENDS) == 0) {
        return mark;
    }

    ngx_memory_barrier();

    since = entry->since;

    if ((ngx_msec_int_t) (ngx_current_msec - since)
        > NGX_CHAT_CHANGED_ABANDONED)
    {
        (void) ngx_atomic_cmp_set(&entry->mark, mark,
                                  (mark | NGX_CHAT_CHANGED_SENDS) + 1);
    }

    return entry->mark;
}


ngx_int_t
ngx_chat_changed_get(ngx_chat_changed_t *changed, uint32_t user_id,
    uint64_t id, ngx_uint_t changes, ngx_chat_changed_query_t *query)
{
    ngx_int_t                  rc;
    ngx_chat_changed_entry_t  *entry;

    if (changed == NULL) {
        return NGX_DECLINED;
    }

    entry = ngx_chat_changed_entry(changed, user_id);

    query->mark = ngx_chat_changed_mark(entry);
    query->begun = ngx_current_msec;

    /* the query begins after the mark is read */

    ngx_memory_barrier();

    ngx_shmtx_lock(&changed->shpool->mutex);

    rc = (entry->user_id == user_id
          && entry->id == id
          && entry->changes == changes
          && entry->query.mark == query->mark
          && (ngx_msec_int_t) (query->begun - entry->query.begun)
             < NGX_CHAT_CHANGED_TTL)
         ? NGX_OK : NGX_DECLINED;

    ngx_shmtx_unlock(&changed->shpool->mutex);

    return rc;
}


/* a process that crashes here leaves no result */

void
ngx_chat_changed_put(ngx_chat_changed_t *changed, uint32_t user_id,
    uint64_t id, ngx_uint_t changes, ngx_chat_changed_query_t *query)
{
    ngx_chat_changed_entry_t  *entry;

    if (changed == NULL) {
        return;
    }

    entry = ngx_chat_changed_entry(changed, user_id);

    if ((query->mark & NGX_CHAT_CHANGED_SENDS) || query->mark != entry->mark) {
        return;
    }

    ngx_shmtx_lock(&changed->shpool->mutex);

    entry->user_id = 0;

    ngx_memory_barrier();

    entry->id = id;
    entry->changes = changes;
    entry->query = *query;

    ngx_memory_barrier();

    entry->user_id = user_id;

    ngx_shmtx_unlock(&changed->shpool->mutex);
}
