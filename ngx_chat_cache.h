
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_CACHE_H_INCLUDED_
#define _NGX_CHAT_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_metrics.h"
#include "ngx_chat_db_server.h"
#include "ngx_chat_fresh.h"
#include "ngx_chat_workers.h"


/*
 * The shared-memory zone, of 128k at least; a megabyte holds some 4,000
 * messages.  The oldest goes when it is full.  Nothing in it is needed for
 * correctness: a look-up that finds nothing asks the database, a "put" that
 * finds no room is forgotten.  Results are copied into the caller's pool under
 * the lock.
 *
 * "cache" may be NULL in every call (no chat_zone): then nothing is found,
 * nothing is kept, and nobody is throttled.
 */


typedef struct ngx_chat_cache_s  ngx_chat_cache_t;


/* of the shm_zone: sets zone->init; zone->data is then ngx_chat_cache_t */
void ngx_chat_cache_zone(ngx_shm_zone_t *zone);


/*
 * Sessions.  NGX_OK with *user (id, name, admin) and *expires filled in, if it
 * was put in less than "age" milliseconds ago, or NGX_DECLINED, or NGX_ERROR
 * (no memory).
 *
 * "put" keeps it for "ttl" milliseconds, unless something has been revoked
 * since ngx_chat_cache_revision() returned "revision": a session that was
 * deleted while it was being looked up must not come back.
 */

ngx_int_t ngx_chat_cache_session_get(ngx_chat_cache_t *cache,
    u_char *hash, ngx_msec_t age, ngx_pool_t *pool, ngx_chat_user_t *user,
    time_t *expires);
void ngx_chat_cache_session_put(ngx_chat_cache_t *cache, u_char *hash,
    ngx_chat_user_t *user, time_t expires, ngx_msec_t ttl, ngx_uint_t revision);


/*
 * Revocations: a session has ended (hash), or all of a person's sessions but
 * one (user_id, and the hash to keep or NULL).  Cached sessions go at once.
 * The last NGX_CHAT_CACHE_REVOKED are remembered, for the workers that hold
 * sockets: each walks from the revision it has seen to the present one.
 */

#define NGX_CHAT_CACHE_REVOKED  256

typedef struct {
    uint32_t               user_id;           /* 0: the session "hash" alone */
    u_char                 hash[NGX_CHAT_HASH_LEN];  /* to end, or to keep;
                                                 zeros: keep none */
} ngx_chat_revoked_t;

ngx_uint_t ngx_chat_cache_revision(ngx_chat_cache_t *cache);
void ngx_chat_cache_revoke_session(ngx_chat_cache_t *cache, u_char *hash);
void ngx_chat_cache_revoke_user(ngx_chat_cache_t *cache, uint32_t user_id,
    u_char *keep);

/*
 * The revocation that led from "revision" to "revision" + 1.  NGX_OK;
 * NGX_DECLINED: there is none yet; NGX_ABORT: forgotten already, look at all.
 */
ngx_int_t ngx_chat_cache_revoked(ngx_chat_cache_t *cache, ngx_uint_t revision,
    ngx_chat_revoked_t *revoked);


/* people who are active, by the name as it was asked for */

ngx_int_t ngx_chat_cache_user_get(ngx_chat_cache_t *cache, ngx_str_t *asked,
    ngx_pool_t *pool, ngx_chat_user_t *user);
void ngx_chat_cache_user_put(ngx_chat_cache_t *cache, ngx_str_t *asked,
    ngx_chat_user_t *user);


/* everybody: the ready JSON of all people, where it is not too long */

ngx_int_t ngx_chat_cache_everybody_get(ngx_chat_cache_t *cache,
    ngx_pool_t *pool, ngx_str_t *json);
void ngx_chat_cache_everybody_put(ngx_chat_cache_t *cache, ngx_str_t *json,
    ngx_msec_t ttl);


/* messages: the ready JSON, given to its two people only */

ngx_int_t ngx_chat_cache_message_get(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t reader_id, ngx_pool_t *pool, ngx_str_t *json);
void ngx_chat_cache_message_put(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t sender_id, uint32_t recipient_id, ngx_str_t *json);


/*
 * Throttling of failed log-ins, by any key (a name with an address, an
 * address).  Each failure adds one to the key's score; the score halves every
 * "half" seconds (at least one).  Above "burst" the answer is the seconds to
 * wait, else 0.
 */

ngx_uint_t ngx_chat_cache_throttled(ngx_chat_cache_t *cache, ngx_str_t *key,
    ngx_uint_t burst, time_t half);
void ngx_chat_cache_failed(ngx_chat_cache_t *cache, ngx_str_t *key,
    time_t half);
void ngx_chat_cache_forgive(ngx_chat_cache_t *cache, ngx_str_t *key);


/* what is counted lies here, too; NULL: no chat_zone */
ngx_chat_metrics_zone_t *ngx_chat_cache_metrics(ngx_chat_cache_t *cache);
ngx_chat_db_choice_t *ngx_chat_cache_choice(ngx_chat_cache_t *cache);
ngx_chat_db_choice_t *ngx_chat_cache_replica(ngx_chat_cache_t *cache);
ngx_chat_fresh_t *ngx_chat_cache_fresh(ngx_chat_cache_t *cache);
ngx_chat_workers_t *ngx_chat_cache_workers(ngx_chat_cache_t *cache);


#endif /* _NGX_CHAT_CACHE_H_INCLUDED_ */
