
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_METRICS_H_INCLUDED_
#define _NGX_CHAT_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Metrics, which chat_status returns.
 *
 * Counters and histograms only increase.  All processes add to them without a
 * lock.  Gauges are current values: each process has a slot with its own ones;
 * slots of processes that have ended are ignored.
 *
 * Both are in the zone.  Without chat_zone they are in the memory of the
 * process, and include this process only.
 */


typedef enum {
    NGX_CHAT_COUNT_SENT = 0,                  /* messages stored */
    NGX_CHAT_COUNT_RECORDS,                   /* appended to the shared log */
    NGX_CHAT_COUNT_WAKEUPS,                   /* of other workers */
    NGX_CHAT_COUNT_OVERRUNS,                  /* of readers */
    NGX_CHAT_COUNT_RESYNCS,                   /* sockets closed for a resync */
    NGX_CHAT_COUNT_PUBLISHED,                 /* to channels of a worker */
    NGX_CHAT_COUNT_PUBLISH_FAILED,
    NGX_CHAT_COUNT_ANNOUNCED_LATE,            /* published from the outbox */
    NGX_CHAT_COUNT_LOGIN_OK,
    NGX_CHAT_COUNT_LOGIN_FAILED,
    NGX_CHAT_COUNT_LOGIN_THROTTLED,
    NGX_CHAT_COUNT_LOGIN_BUSY,                /* too many hashes waiting */
    NGX_CHAT_COUNT_SESSION_COOKIE,            /* sessions created */
    NGX_CHAT_COUNT_SESSION_TOKEN,
    NGX_CHAT_COUNT_SESSION_LOGOUT,            /* sessions ended, by reason */
    NGX_CHAT_COUNT_SESSION_PASSWORD,
    NGX_CHAT_COUNT_SESSION_EXPIRED,
    NGX_CHAT_COUNT_SESSION_HIT,
    NGX_CHAT_COUNT_SESSION_MISS,
    NGX_CHAT_COUNT_USER_HIT,
    NGX_CHAT_COUNT_USER_MISS,
    NGX_CHAT_COUNT_EVERYBODY_HIT,
    NGX_CHAT_COUNT_EVERYBODY_MISS,
    NGX_CHAT_COUNT_MESSAGE_HIT,
    NGX_CHAT_COUNT_MESSAGE_MISS,
    NGX_CHAT_COUNT_DB_CONNECTED,
    NGX_CHAT_COUNT_DB_CONNECT_FAILED,
    NGX_CHAT_COUNT_DB_LOST,                   /* connections */
    NGX_CHAT_COUNT_DB_RETRIED,                /* jobs */
    NGX_CHAT_COUNT_DB_REJECTED,
    NGX_CHAT_COUNT_DB_GIVEN_UP,
    NGX_CHAT_COUNT_REPLICA_OK,                /* reads of a replica */
    NGX_CHAT_COUNT_REPLICA_RECENT,            /* reads of the primary, by
                                                 reason */
    NGX_CHAT_COUNT_REPLICA_LAGGING,
    NGX_CHAT_COUNT_REPLICA_UNAVAILABLE,
    NGX_CHAT_COUNT_REDIS_CONNECTED,
    NGX_CHAT_COUNT_REDIS_CONNECT_FAILED,
    NGX_CHAT_COUNT_REDIS_LOST,                /* connections */
    NGX_CHAT_COUNT_REDIS_PUBLISHED,           /* records, as the next two */
    NGX_CHAT_COUNT_REDIS_DROPPED,
    NGX_CHAT_COUNT_REDIS_RECEIVED,            /* from other hosts */
    NGX_CHAT_COUNT_REDIS_RESYNC_SENT,         /* to other hosts */
    NGX_CHAT_COUNT_REDIS_RESYNC_RECEIVED,
    NGX_CHAT_COUNT_MAX
} ngx_chat_count_e;


typedef enum {
    NGX_CHAT_GAUGE_SOCKETS = 0,
    NGX_CHAT_GAUGE_PASSWORDS,                 /* in progress or waiting */
    NGX_CHAT_GAUGE_DB_CONNECTIONS,
    NGX_CHAT_GAUGE_DB_BUSY,                   /* connections */
    NGX_CHAT_GAUGE_DB_WAITING,                /* jobs */
    NGX_CHAT_GAUGE_REPLICA_CONNECTIONS,
    NGX_CHAT_GAUGE_REDIS_CONNECTIONS,         /* two per process */
    NGX_CHAT_GAUGE_MAX
} ngx_chat_gauge_e;


/* requests are counted by endpoint, method and status */

typedef enum {
    NGX_CHAT_REQUEST_MESSAGES = 0,
    NGX_CHAT_REQUEST_MESSAGE,
    NGX_CHAT_REQUEST_USERS,
    NGX_CHAT_REQUEST_USER,
    NGX_CHAT_REQUEST_PROFILE,
    NGX_CHAT_REQUEST_PROFILE_OWN,
    NGX_CHAT_REQUEST_CONVERSATIONS,
    NGX_CHAT_REQUEST_READ,
    NGX_CHAT_REQUEST_TYPING,
    NGX_CHAT_REQUEST_BLOCKS,
    NGX_CHAT_REQUEST_BLOCK,
    NGX_CHAT_REQUEST_FILES,
    NGX_CHAT_REQUEST_FILE,
    NGX_CHAT_REQUEST_SESSION,
    NGX_CHAT_REQUEST_SESSIONS,
    NGX_CHAT_REQUEST_SESSION_ID,
    NGX_CHAT_REQUEST_ADMIN_USERS,
    NGX_CHAT_REQUEST_ADMIN_USER,
    NGX_CHAT_REQUEST_ADMIN_AUDIT,
    NGX_CHAT_REQUEST_PASSWORD,
    NGX_CHAT_REQUEST_ROOT,
    NGX_CHAT_REQUEST_LOGIN,
    NGX_CHAT_REQUEST_LOGOUT,
    NGX_CHAT_REQUEST_SOCKET,
    NGX_CHAT_REQUEST_OTHER,                   /* unknown path of the API */
    NGX_CHAT_REQUEST_MAX                      /* not counted */
} ngx_chat_request_e;

typedef enum {
    NGX_CHAT_METHOD_GET = 0,                  /* GET and HEAD */
    NGX_CHAT_METHOD_POST,
    NGX_CHAT_METHOD_PUT,
    NGX_CHAT_METHOD_PATCH,
    NGX_CHAT_METHOD_DELETE,
    NGX_CHAT_METHOD_OTHER,
    NGX_CHAT_METHOD_MAX
} ngx_chat_method_e;

/* the last element is 0 and counts other values */
#define NGX_CHAT_METRICS_STATUSES  20

extern const ngx_uint_t  ngx_chat_metrics_statuses[NGX_CHAT_METRICS_STATUSES];


/*
 * A bucket counts values up to its bound and above the previous bound; the last
 * one counts values above all bounds.
 */

#define NGX_CHAT_METRICS_BUCKETS   16

typedef struct {
    ngx_atomic_t           buckets[NGX_CHAT_METRICS_BUCKETS];
    ngx_atomic_t           sum;
} ngx_chat_histogram_t;

/* bounds of times, us, and of jobs in a packet; both lists end with 0 */
extern const ngx_uint_t  ngx_chat_metrics_times[NGX_CHAT_METRICS_BUCKETS];
extern const ngx_uint_t  ngx_chat_metrics_sizes[NGX_CHAT_METRICS_BUCKETS];


/* query types, by index in ngx_chat_query_types[] */

#define NGX_CHAT_METRICS_QUERIES   64

typedef struct {
    ngx_chat_histogram_t   time;              /* jobs, including waiting */
    ngx_chat_histogram_t   batch;             /* jobs per packet */
} ngx_chat_metrics_query_t;


typedef struct {
    ngx_atomic_t              counts[NGX_CHAT_COUNT_MAX];
    ngx_atomic_t              requests[NGX_CHAT_REQUEST_MAX]
                                      [NGX_CHAT_METHOD_MAX]
                                      [NGX_CHAT_METRICS_STATUSES];
    ngx_chat_histogram_t      send;           /* sends, body to response */
    ngx_chat_metrics_query_t  queries[NGX_CHAT_METRICS_QUERIES];
} ngx_chat_metrics_totals_t;


/* a cache line, since a slot is written by one process */

typedef union {
    struct {
        ngx_atomic_t       pid;               /* 0: free */
        uint32_t           gauges[NGX_CHAT_GAUGE_MAX];
    } s;

    u_char                 line[64];
} ngx_chat_metrics_slot_t;


/* part of the zone */

typedef struct {
    ngx_chat_metrics_totals_t  totals;
    ngx_uint_t                 nslots;
    ngx_chat_metrics_slot_t   *slots;
} ngx_chat_metrics_zone_t;


/* the metrics of a process */

typedef struct {
    ngx_chat_metrics_totals_t  *totals;
    uint32_t                   *gauges;
    ngx_chat_metrics_zone_t    *zone;         /* NULL: no chat_zone */
    ngx_chat_metrics_slot_t    *slot;         /* NULL: no free slot */
} ngx_chat_metrics_t;


/* returns NULL if the zone is too small */
ngx_chat_metrics_zone_t *ngx_chat_metrics_zone_create(
    ngx_slab_pool_t *shpool);

/* called by init process; "zone" may be NULL; NULL: no memory */
ngx_chat_metrics_t *ngx_chat_metrics_create(ngx_cycle_t *cycle,
    ngx_chat_metrics_zone_t *zone);

void ngx_chat_metrics_add(ngx_chat_metrics_t *metrics,
    ngx_chat_count_e counter, ngx_uint_t n);
#define ngx_chat_metrics_count(metrics, counter)                              \
    ngx_chat_metrics_add(metrics, counter, 1)

void ngx_chat_metrics_request(ngx_chat_metrics_t *metrics,
    ngx_chat_request_e request, ngx_chat_method_e method, ngx_uint_t status);

/* adds a value to a histogram with these bounds */
void ngx_chat_metrics_observe(ngx_chat_histogram_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t value);
#define ngx_chat_metrics_time(histogram, usec)                                \
    ngx_chat_metrics_observe(histogram, ngx_chat_metrics_times, usec)
#define ngx_chat_metrics_size(histogram, n)                                   \
    ngx_chat_metrics_observe(histogram, ngx_chat_metrics_sizes, n)

/* returns microseconds of a monotonic clock */
uint64_t ngx_chat_metrics_now(void);

/* returns the number of processes, and the sums of their gauges */
ngx_uint_t ngx_chat_metrics_gauges(ngx_chat_metrics_t *metrics,
    ngx_uint_t *gauges);


#endif /* _NGX_CHAT_METRICS_H_INCLUDED_ */
