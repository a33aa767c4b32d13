
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/shm/ngx_chat_shm_gtid.h"


/* last events: bytes of the zone for each, and maximum number */
#define NGX_CHAT_GTID_SHARE   (32 * sizeof(ngx_atomic_t))
#define NGX_CHAT_GTID_EVENTS  4096

/* number of positions, and their maximum age, ms */
#define NGX_CHAT_GTID_RESULTS  8
#define NGX_CHAT_GTID_AGE      3000


typedef struct {
    ngx_atomic_t                number;       /* of the query; 0: none */
    ngx_msec_t                  begun;
    size_t                      len;
    u_char                      text[NGX_CHAT_GTID_POSITION];
} ngx_chat_gtid_result_t;


struct ngx_chat_gtid_s {
    ngx_slab_pool_t            *shpool;       /* its mutex protects results */

    ngx_atomic_t                begun;        /* number of the last query */
    ngx_atomic_t                begun_at;     /* ngx_current_msec */
    ngx_atomic_t                logged;       /* ngx_chat_gtid_e */

    ngx_uint_t                  latest;       /* number of the last result */
    ngx_uint_t                  none;         /* flag: it had no position */
    ngx_chat_gtid_result_t      results[NGX_CHAT_GTID_RESULTS];

    ngx_atomic_t               *events;       /* last events: numbers of
                                                 queries */
    ngx_uint_t                  nevents;
};


static ngx_atomic_t *ngx_chat_gtid_last_write(ngx_chat_gtid_t *gtid,
    uint32_t user_id);
static ngx_chat_gtid_result_t *ngx_chat_gtid_first(ngx_chat_gtid_t *gtid,
    ngx_uint_t number);


ngx_chat_gtid_t *
ngx_chat_gtid_create(ngx_slab_pool_t *shpool)
{
    ngx_uint_t        n;
    ngx_chat_gtid_t  *gtid;

    n = shpool->pfree * ngx_pagesize / NGX_CHAT_GTID_SHARE;
    n = ngx_min(n, NGX_CHAT_GTID_EVENTS);

    gtid = ngx_slab_calloc(shpool, sizeof(ngx_chat_gtid_t));
    if (gtid == NULL) {
        return NULL;
    }

    gtid->shpool = shpool;
    gtid->nevents = n;
    gtid->events = ngx_slab_calloc(shpool, n * sizeof(ngx_atomic_t));

    return gtid->events ? gtid : NULL;
}


static ngx_atomic_t *
ngx_chat_gtid_last_write(ngx_chat_gtid_t *gtid, uint32_t user_id)
{
    uint32_t  hash;

    hash = ngx_murmur_hash2((u_char *) &user_id, sizeof(uint32_t));

    return &gtid->events[hash % gtid->nevents];
}


void
ngx_chat_gtid_write(ngx_chat_gtid_t *gtid, uint32_t user_id)
{
    ngx_atomic_t      *event;
    ngx_atomic_uint_t  next, old;

    event = ngx_chat_gtid_last_write(gtid, user_id);
    next = gtid->begun + 1;

    /* never decreases: other processes may be ahead */

    do {
        old = *event;

        if (old >= next) {
            return;
        }

    } while (!ngx_atomic_cmp_set(event, old, next));
}


ngx_int_t
ngx_chat_gtid_covers(ngx_chat_gtid_t *gtid, uint32_t user_id,
    ngx_uint_t *number)
{
    ngx_int_t                rc;
    ngx_chat_gtid_result_t  *first;

    ngx_shmtx_lock(&gtid->shpool->mutex);

    first = ngx_chat_gtid_first(gtid, 0);

    if (first == NULL || gtid->none) {
        rc = NGX_DECLINED;

    } else {
        rc = NGX_AGAIN;
        first = ngx_chat_gtid_first(gtid,
                                    *ngx_chat_gtid_last_write(gtid, user_id));

        if (first) {
            rc = NGX_OK;
            *number = first->number;
        }
    }

    ngx_shmtx_unlock(&gtid->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_chat_gtid_next(ngx_chat_gtid_t *gtid, ngx_uint_t *number)
{
    ngx_int_t  rc;

    ngx_shmtx_lock(&gtid->shpool->mutex);

    rc = (gtid->none || ngx_chat_gtid_first(gtid, 0) == NULL)
         ? NGX_DECLINED : NGX_OK;

    ngx_shmtx_unlock(&gtid->shpool->mutex);

    *number = gtid->begun + 1;

    return rc;
}


ngx_int_t
ngx_chat_gtid_query_ended(ngx_chat_gtid_t *gtid, ngx_uint_t number)
{
    ngx_int_t  rc;

    ngx_shmtx_lock(&gtid->shpool->mutex);

    rc = ngx_chat_gtid_first(gtid, number) ? NGX_OK : NGX_AGAIN;

    ngx_shmtx_unlock(&gtid->shpool->mutex);

    return rc;
}


/* returns the result of this query or of the first later one, unless old */

static ngx_chat_gtid_result_t *
ngx_chat_gtid_first(ngx_chat_gtid_t *gtid, ngx_uint_t number)
{
    ngx_uint_t               i;
    ngx_chat_gtid_result_t  *result, *first;

    first = NULL;

    for (i = 0; i < NGX_CHAT_GTID_RESULTS; i++) {
        result = &gtid->results[i];

        if (result->number == 0
            || result->number < number
            || (first && result->number > first->number)
            || (ngx_msec_int_t) (ngx_current_msec - result->begun)
               >= NGX_CHAT_GTID_AGE)
        {
            continue;
        }

        first = result;
    }

    return first;
}


ngx_int_t
ngx_chat_gtid_query_begin(ngx_chat_gtid_t *gtid, ngx_msec_t interval,
    ngx_chat_gtid_query_t *query)
{
    ngx_atomic_uint_t  last;

    last = gtid->begun_at;

    if (interval == 0) {
        gtid->begun_at = ngx_current_msec;

    } else if ((last && (ngx_msec_int_t) (ngx_current_msec - last)
                        < (ngx_msec_int_t) interval)
               || !ngx_atomic_cmp_set(&gtid->begun_at, last,
                                      ngx_current_msec))
    {
        return NGX_DECLINED;
    }

    query->begun = ngx_current_msec;
    query->number = ngx_atomic_fetch_add(&gtid->begun, 1) + 1;

    return NGX_OK;
}


/*
 * Results may arrive in another order than queries began.  A process that
 * crashes here leaves an invalid result.
 */

void
ngx_chat_gtid_query_end(ngx_chat_gtid_t *gtid,
    ngx_chat_gtid_query_t *query, ngx_str_t *position)
{
    ngx_chat_gtid_result_t  *result;

    ngx_shmtx_lock(&gtid->shpool->mutex);

    result = &gtid->results[query->number % NGX_CHAT_GTID_RESULTS];

    if (query->number > gtid->latest) {
        gtid->latest = query->number;
        gtid->none = (position->len == 0);
    }

    if (query->number > result->number && position->len) {

        result->number = 0;

        ngx_memory_barrier();

        result->begun = query->begun;
        result->len = position->len;
        ngx_memcpy(result->text, position->data, position->len);

        ngx_memory_barrier();

        result->number = query->number;
    }

    ngx_shmtx_unlock(&gtid->shpool->mutex);
}


ngx_msec_t
ngx_chat_gtid_position(ngx_chat_gtid_t *gtid, ngx_uint_t number,
    ngx_str_t *position)
{
    ngx_msec_t               begun;
    ngx_chat_gtid_result_t  *result;

    ngx_shmtx_lock(&gtid->shpool->mutex);

    result = ngx_chat_gtid_first(gtid, number);

    if (result) {
        begun = result->begun;
        position->len = result->len;
        ngx_memcpy(position->data, result->text, result->len);

    } else {
        begun = ngx_current_msec;
        position->len = 0;
    }

    ngx_shmtx_unlock(&gtid->shpool->mutex);

    return begun;
}


ngx_int_t
ngx_chat_gtid_report(ngx_chat_gtid_t *gtid, ngx_chat_gtid_e what)
{
    ngx_atomic_uint_t  old;

    old = gtid->logged;

    return (old != (ngx_atomic_uint_t) what
            && ngx_atomic_cmp_set(&gtid->logged, old, what))
           ? NGX_OK : NGX_DECLINED;
}
