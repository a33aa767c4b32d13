
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_metrics.h"


/* bytes of the zone for each slot: 64 in the smallest */
#define NGX_CHAT_METRICS_SHARE  2048
#define NGX_CHAT_METRICS_SLOTS  512


static ngx_chat_metrics_slot_t *ngx_chat_metrics_take(
    ngx_chat_metrics_zone_t *zone);
static void ngx_chat_metrics_leave(void *data);
static ngx_uint_t ngx_chat_metrics_alive(ngx_atomic_uint_t pid);


const ngx_uint_t  ngx_chat_metrics_statuses[] = {
    200, 201, 204, 302, 400, 403, 404, 405, 408, 409, 413, 415, 429, 499,
    500, 503, 504, 101, 304, 0
};

const ngx_uint_t  ngx_chat_metrics_times[NGX_CHAT_METRICS_BUCKETS] = {
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
    1000000, 2500000, 5000000, 10000000, 0
};

const ngx_uint_t  ngx_chat_metrics_sizes[NGX_CHAT_METRICS_BUCKETS] = {
    1, 2, 4, 8, 16, 32, 64, 0
};


ngx_chat_metrics_zone_t *
ngx_chat_metrics_zone_create(ngx_slab_pool_t *shpool)
{
    ngx_uint_t                n;
    ngx_chat_metrics_zone_t  *zone;

    n = shpool->pfree * ngx_pagesize / NGX_CHAT_METRICS_SHARE;
    n = ngx_min(n, NGX_CHAT_METRICS_SLOTS);

    zone = ngx_slab_calloc(shpool, sizeof(ngx_chat_metrics_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->nslots = n;
    zone->slots = ngx_slab_calloc(shpool, n * sizeof(ngx_chat_metrics_slot_t));

    return zone->slots ? zone : NULL;
}


ngx_chat_metrics_t *
ngx_chat_metrics_create(ngx_cycle_t *cycle, ngx_chat_metrics_zone_t *zone)
{
    ngx_chat_metrics_t  *metrics;
    ngx_pool_cleanup_t  *cln;

    metrics = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_metrics_t));
    if (metrics == NULL) {
        return NULL;
    }

    metrics->zone = zone;

    if (zone == NULL) {
        metrics->totals = ngx_pcalloc(cycle->pool,
                                      sizeof(ngx_chat_metrics_totals_t));
        if (metrics->totals == NULL) {
            return NULL;
        }

    } else {
        metrics->totals = &zone->totals;

        cln = ngx_pool_cleanup_add(cycle->pool, 0);
        if (cln == NULL) {
            return NULL;
        }

        metrics->slot = ngx_chat_metrics_take(zone);

        if (metrics->slot) {
            cln->handler = ngx_chat_metrics_leave;
            cln->data = metrics->slot;

            metrics->gauges = metrics->slot->s.gauges;

            return metrics;
        }

        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "\"chat_zone\" is too small for metrics of more than "
                      "%ui processes", zone->nslots);
    }

    metrics->gauges = ngx_pcalloc(cycle->pool,
                                  NGX_CHAT_GAUGE_MAX * sizeof(uint32_t));

    return metrics->gauges ? metrics : NULL;
}


/*
 * All slots of ended processes are freed or taken now.  The master starts a new
 * worker at once, before the system assigns the process id of the ended one to
 * another process.
 */

static ngx_chat_metrics_slot_t *
ngx_chat_metrics_take(ngx_chat_metrics_zone_t *zone)
{
    ngx_uint_t                i;
    ngx_atomic_uint_t         pid, own;
    ngx_chat_metrics_slot_t  *slot, *taken;

    taken = NULL;

    for (i = 0; i < zone->nslots; i++) {
        slot = &zone->slots[i];
        pid = slot->s.pid;
        own = taken ? 0 : (ngx_atomic_uint_t) ngx_pid;

        if (pid == own
            || ngx_chat_metrics_alive(pid)
            || !ngx_atomic_cmp_set(&slot->s.pid, pid, own)
            || taken)
        {
            continue;
        }

        taken = slot;

        ngx_memzero(slot->s.gauges, sizeof(slot->s.gauges));
    }

    return taken;
}


static void
ngx_chat_metrics_leave(void *data)
{
    ngx_chat_metrics_slot_t *slot = data;

    slot->s.pid = 0;
}


static ngx_uint_t
ngx_chat_metrics_alive(ngx_atomic_uint_t pid)
{
    return pid != 0 && (kill((ngx_pid_t) pid, 0) == 0 || ngx_errno != ESRCH);
}


void
ngx_chat_metrics_add(ngx_chat_metrics_t *metrics, ngx_chat_count_e counter,
    ngx_uint_t n)
{
    (void) ngx_atomic_fetch_add(&metrics->totals->counts[counter], n);
}


void
ngx_chat_metrics_request(ngx_chat_metrics_t *metrics,
    ngx_chat_request_e request, ngx_chat_method_e method, ngx_uint_t status)
{
    ngx_uint_t  i;

    for (i = 0; ngx_chat_metrics_statuses[i]; i++) {
        if (ngx_chat_metrics_statuses[i] == status) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&metrics->totals->requests[request][method][i],
                                1);
}


void
ngx_chat_metrics_observe(ngx_chat_histogram_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t value)
{
    ngx_uint_t  i;

    for (i = 0; bounds[i]; i++) {
        if (value <= bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&histogram->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&histogram->sum, value);
}


/* the time of nginx is that of the event, and coarse on Linux */

uint64_t
ngx_chat_metrics_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


ngx_uint_t
ngx_chat_metrics_gauges(ngx_chat_metrics_t *metrics, ngx_uint_t *gauges)
{
    ngx_uint_t                i, j, processes;
    ngx_chat_metrics_slot_t  *slot;

    processes = 0;
    ngx_memzero(gauges, NGX_CHAT_GAUGE_MAX * sizeof(ngx_uint_t));

    if (metrics->slot == NULL) {
        processes = 1;

        for (j = 0; j < NGX_CHAT_GAUGE_MAX; j++) {
            gauges[j] = metrics->gauges[j];
        }
    }

    if (metrics->zone == NULL) {
        return processes;
    }

    for (i = 0; i < metrics->zone->nslots; i++) {
        slot = &metrics->zone->slots[i];

        if (!ngx_chat_metrics_alive(slot->s.pid)) {
            continue;
        }

        processes++;

        for (j = 0; j < NGX_CHAT_GAUGE_MAX; j++) {
            gauges[j] += slot->s.gauges[j];
        }
    }

    return processes;
}
