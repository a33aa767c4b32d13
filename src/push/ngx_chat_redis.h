
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REDIS_H_INCLUDED_
#define _NGX_CHAT_REDIS_H_INCLUDED_


#include "src/http/ngx_chat_http.h"
#include "src/shm/ngx_chat_shared_log.h"
#include "src/push/ngx_chat_redis_text.h"


/*
 * Records between hosts.  Each worker of each host has two connections to
 * Redis.  One publishes the records of this worker to the channels of both
 * users.  The other subscribes to the channels of the users with sockets of
 * this worker.
 *
 * A record contains ids only.  A host ignores its own records, which its
 * workers read from the shared log.  If records may be lost, a resync takes
 * their place, on this host or on the others.
 *
 * Redis has no queue: records that are published while a connection is lost do
 * not arrive later.
 *
 *   - The subscribing connection is lost: after all subscriptions are renewed,
 *     the sockets of this worker get a resync.
 *   - The publishing connection is lost, or its queue is full: the other hosts
 *     get a resync.  A server may acknowledge a record and fail before it has
 *     passed it to all nodes of its cluster, so recent records count as lost.
 *
 * A new worker holds records until it is connected, so that a reload does not
 * cause a resync.
 */


typedef struct {
    void   *data;

    /* a record of another host for a user with a subscription */
    void  (*record)(void *data, uint32_t user_id, ngx_chat_record_t *record);

    /* the subscription is confirmed; again after each reconnect */
    void  (*subscribed)(void *data, uint32_t user_id);

    /*
     * Records of other hosts may be missing: all sockets of this worker must
     * catch up.  All subscriptions are confirmed.
     */
    void  (*resync)(void *data);

    /* the user has an open socket on another host */
    void  (*online)(void *data, uint32_t user_id);
} ngx_chat_redis_handlers_t;


/*
 * Called by init process; returns NULL if there is no memory.  "conf" and
 * "handlers" must exist as long as the cycle.
 */
ngx_chat_redis_t *ngx_chat_redis_create(ngx_cycle_t *cycle,
    const ngx_chat_redis_conf_t *conf,
    const ngx_chat_redis_handlers_t *handlers, const ngx_chat_zone_t *zone,
    ngx_chat_metrics_t *metrics);

/* called by exit process */
void ngx_chat_redis_close(ngx_chat_redis_t *redis);

/*
 * Called when a user gets the first socket.  Returns NGX_OK if the subscription
 * is confirmed already, NGX_AGAIN if "subscribed" will be called, or NGX_ERROR.
 */
ngx_int_t ngx_chat_redis_subscribe(ngx_chat_redis_t *redis, uint32_t user_id);

/* called when the last socket of the user is closed */
void ngx_chat_redis_unsubscribe(ngx_chat_redis_t *redis, uint32_t user_id);

/* called after COMMIT, by the worker that stored the record */
void ngx_chat_redis_publish(ngx_chat_redis_t *redis, ngx_chat_record_t *record);

/* tells other hosts of users with open sockets, at most NGX_CHAT_REDIS_IDS */
void ngx_chat_redis_publish_online(ngx_chat_redis_t *redis,
    const uint32_t *ids, ngx_uint_t n);


#endif /* _NGX_CHAT_REDIS_H_INCLUDED_ */
