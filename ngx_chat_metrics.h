
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_METRICS_H_INCLUDED_
#define _NGX_CHAT_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * What is counted and measured, for who operates it; ngx_chat_status.c shows
 * it.
 *
 * Counters and histograms only grow, and are the same for all processes, which
 * add to them without a lock.  Gauges say how things are now: each process has
 * a slot with its own, and that of a process which died, however, is left out.
 *
 * Both lie in the zone; without chat_zone in the process, of which alone they
 * tell then.
 */


typedef enum {
    NGX_CHAT_COUNT_SENT = 0,                  /* messages stored */
    NGX_CHAT_COUNT_PUBLISHED,
    NGX_CHAT_COUNT_PUBLISH_FAILED,
    NGX_CHAT_COUNT_ANNOUNCED_LATE,            /* not by who has stored it */
    NGX_CHAT_COUNT_LOGIN_OK,
    NGX_CHAT_COUNT_LOGIN_FAILED,
    NGX_CHAT_COUNT_LOGIN_THROTTLED,
    NGX_CHAT_COUNT_LOGIN_BUSY,                /* too many passwords waited */
    NGX_CHAT_COUNT_SESSION_COOKIE,            /* begun */
    NGX_CHAT_COUNT_SESSION_TOKEN,
    NGX_CHAT_COUNT_SESSION_LOGOUT,            /* ended; so are the next two */
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
    NGX_CHAT_COUNT_DB_RETRIED,                /* jobs; so are the next two */
    NGX_CHAT_COUNT_DB_REJECTED,
    NGX_CHAT_COUNT_DB_GIVEN_UP,
    NGX_CHAT_COUNT_REPLICA_OK,                /* reads, by a replica */
    NGX_CHAT_COUNT_REPLICA_RECENT,            /* not: of somebody's own news */
    NGX_CHAT_COUNT_REPLICA_LAGGING,
    NGX_CHAT_COUNT_REPLICA_UNAVAILABLE,
    NGX_CHAT_COUNT_MAX
} ngx_chat_count_e;


typedef enum {
    NGX_CHAT_GAUGE_SOCKETS = 0,
    NGX_CHAT_GAUGE_PASSWORDS,                 /* in work and waiting */
    NGX_CHAT_GAUGE_DB_CONNECTIONS,
    NGX_CHAT_GAUGE_DB_BUSY,                   /* connections */
    NGX_CHAT_GAUGE_DB_WAITING,                /* jobs */
    NGX_CHAT_GAUGE_REPLICA_CONNECTIONS,
    NGX_CHAT_GAUGE_MAX
} ngx_chat_gauge_e;


/* requests are counted by endpoint, method and status */

typedef enum {
    NGX_CHAT_REQUEST_MESSAGES = 0,
    NGX_CHAT_REQUEST_MESSAGE,
    NGX_CHAT_REQUEST_USERS,
    NGX_CHAT_REQUEST_USER,
    NGX_CHAT_REQUEST_CONVERSATIONS,
    NGX_CHAT_REQUEST_READ,
    NGX_CHAT_REQUEST_SESSION,
    NGX_CHAT_REQUEST_PASSWORD,
    NGX_CHAT_REQUEST_ROOT,
    NGX_CHAT_REQUEST_LOGIN,
    NGX_CHAT_REQUEST_LOGOUT,
    NGX_CHAT_REQUEST_SOCKET,
    NGX_CHAT_REQUEST_OTHER,                   /* of the API, no such path */
    NGX_CHAT_REQUEST_MAX                      /* none of ours: not counted */
} ngx_chat_request_e;

typedef enum {
    NGX_CHAT_METHOD_GET = 0,                  /* and HEAD */
    NGX_CHAT_METHOD_POST,
    NGX_CHAT_METHOD_DELETE,
    NGX_CHAT_METHOD_OTHER,
    NGX_CHAT_METHOD_MAX
} ngx_chat_method_e;

/* the last is 0, for all that are not in the list */
#define NGX_CHAT_METRICS_STATUSES  20

extern const ngx_uint_t  ngx_chat_metrics_statuses[NGX_CHAT_METRICS_STATUSES];


/*
 * Of values up to each bound and above the one before it, and in the last
 * bucket of those above all; how many there are is the sum of the buckets.
 */

#define NGX_CHAT_METRICS_BUCKETS   16

typedef struct {
    ngx_atomic_t           buckets[NGX_CHAT_METRICS_BUCKETS];
    ngx_atomic_t           sum;
} ngx_chat_histogram_t;

/* microseconds; jobs in a packet.  A bound of 0 ends the list */
extern const ngx_uint_t  ngx_chat_metrics_times[NGX_CHAT_METRICS_BUCKETS];
extern const ngx_uint_t  ngx_chat_metrics_sizes[NGX_CHAT_METRICS_BUCKETS];


/* kinds of queries, by the place in ngx_chat_sql_classes[] */

#define NGX_CHAT_METRICS_QUERIES   24

typedef struct {
    ngx_chat_histogram_t   time;              /* of jobs, waiting included */
    ngx_chat_histogram_t   batch;             /* jobs in a packet */
} ngx_chat_metrics_query_t;


typedef struct {
    ngx_atomic_t              counts[NGX_CHAT_COUNT_MAX];
    ngx_atomic_t              requests[NGX_CHAT_REQUEST_MAX]
                                      [NGX_CHAT_METHOD_MAX]
                                      [NGX_CHAT_METRICS_STATUSES];
    ngx_chat_histogram_t      send;           /* from the body to the answer */
    ngx_chat_metrics_query_t  queries[NGX_CHAT_METRICS_QUERIES];
} ngx_chat_metrics_totals_t;


/* a cache line, as each belongs to another process */

typedef union {
    struct {
        ngx_atomic_t       pid;               /* 0: free */
        uint32_t           gauges[NGX_CHAT_GAUGE_MAX];
    } s;

    u_char                 line[64];
} ngx_chat_metrics_slot_t;


/* what is in the zone */

typedef struct {
    ngx_chat_metrics_totals_t  totals;
    ngx_uint_t                 nslots;
    ngx_chat_metrics_slot_t   *slots;
} ngx_chat_metrics_zone_t;


/* of a process */

typedef struct {
    ngx_chat_metrics_totals_t  *totals;
    uint32_t                   *gauges;
    ngx_chat_metrics_zone_t    *zone;         /* NULL: no chat_zone */
    ngx_chat_metrics_slot_t    *slot;         /* NULL: none was left */
} ngx_chat_metrics_t;


/* NULL: the zone is too small */
ngx_chat_metrics_zone_t *ngx_chat_metrics_zone_create(
    ngx_slab_pool_t *shpool);

/* from init process; "zone" may be NULL; NULL: no memory */
ngx_chat_metrics_t *ngx_chat_metrics_create(ngx_cycle_t *cycle,
    ngx_chat_metrics_zone_t *zone);

void ngx_chat_metrics_count(ngx_chat_metrics_t *metrics,
    ngx_chat_count_e counter);
void ngx_chat_metrics_add(ngx_chat_metrics_t *metrics,
    ngx_chat_count_e counter, ngx_uint_t n);
void ngx_chat_metrics_request(ngx_chat_metrics_t *metrics,
    ngx_chat_request_e request, ngx_chat_method_e method, ngx_uint_t status);
void ngx_chat_metrics_time(ngx_chat_histogram_t *histogram, ngx_uint_t usec);
void ngx_chat_metrics_size(ngx_chat_histogram_t *histogram, ngx_uint_t n);

/* microseconds, of a clock that is never set back */
uint64_t ngx_chat_metrics_now(void);

/* how many processes there are, and the sums of their gauges */
ngx_uint_t ngx_chat_metrics_gauges(ngx_chat_metrics_t *metrics,
    ngx_uint_t *gauges);


#endif /* _NGX_CHAT_METRICS_H_INCLUDED_ */
