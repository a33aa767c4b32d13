
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_CACHE_H_INCLUDED_
#define _NGX_CHAT_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_types.h"
#include "src/shm/ngx_chat_revocation.h"


/*
 * Sessions, users and messages in shared memory; a megabyte holds about 4,000
 * messages.  The oldest record is overwritten first.
 *
 * The "get" functions copy a record to the pool and return NGX_OK, or return
 * NGX_DECLINED if it is not found, or NGX_ERROR if there is no memory.  "cache"
 * may be NULL.
 */


typedef struct ngx_chat_cache_s  ngx_chat_cache_t;


/* takes all free memory of the zone; returns NULL if it is too small */
ngx_chat_cache_t *ngx_chat_cache_create(ngx_slab_pool_t *shpool,
    ngx_chat_revocations_t *revocations);


/*
 * Sessions by hash.  "get" finds a session that was stored less than "age"
 * milliseconds ago, has not expired, and has not been revoked.  A user with id
 * 0 means that the session does not exist.
 *
 * "put" stores the session for "ttl" milliseconds.  "revision" is that of the
 * time when the lookup in the database began: a session that was deleted
 * meanwhile does not become valid again.
 */

ngx_int_t ngx_chat_cache_session_get(ngx_chat_cache_t *cache,
    u_char *hash, ngx_msec_t age, ngx_pool_t *pool, ngx_chat_user_t *user,
    time_t *expires);
void ngx_chat_cache_session_put(ngx_chat_cache_t *cache, u_char *hash,
    ngx_chat_user_t *user, time_t expires, ngx_msec_t ttl, ngx_uint_t revision);


/* active users, by the name in the request */

ngx_int_t ngx_chat_cache_user_get(ngx_chat_cache_t *cache, ngx_str_t *name,
    ngx_pool_t *pool, ngx_chat_user_t *user);
void ngx_chat_cache_user_put(ngx_chat_cache_t *cache, ngx_str_t *name,
    ngx_chat_user_t *user);


/* the list of all users, as JSON, unless it is too long */

ngx_int_t ngx_chat_cache_user_list_get(ngx_chat_cache_t *cache,
    ngx_pool_t *pool, ngx_str_t *json);
void ngx_chat_cache_user_list_put(ngx_chat_cache_t *cache, ngx_str_t *json,
    ngx_msec_t ttl);


/* messages, as JSON; only found for their sender and recipient */

ngx_int_t ngx_chat_cache_message_get(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t reader_id, ngx_pool_t *pool, ngx_str_t *json);
void ngx_chat_cache_message_put(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t sender_id, uint32_t recipient_id, ngx_str_t *json);

/*
 * Removes a message, and ignores "put" for some milliseconds: a query that
 * began before the message was changed may return its former state.
 */
void ngx_chat_cache_message_changed(ngx_chat_cache_t *cache, uint64_t id,
    ngx_msec_t time);


#endif /* _NGX_CHAT_CACHE_H_INCLUDED_ */
