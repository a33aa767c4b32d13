
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_CHANGED_H_INCLUDED_
#define _NGX_CHAT_CHANGED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Users without new messages, in shared memory.  An entry says that a user has
 * no message above an id, with or without changes of messages.  It is the
 * result of a query, and answers the same question for one second.
 *
 * A request that stores a message, or changes one, makes the entries of sender
 * and recipient invalid from the moment when the message may be stored until
 * the request ends.  Only a query that begins later sets them again.  Therefore
 * an entry includes each message of this host that a client can know of.
 * Messages of other programs, and those of requests whose outcome is unknown,
 * may be missing for the second.
 *
 * Entries are hashed by user.  If two users share one, it is valid for one of
 * them, and messages of both make it invalid.
 */


typedef struct ngx_chat_changed_s  ngx_chat_changed_t;


typedef struct {
    ngx_atomic_uint_t      mark;
    ngx_msec_t             begun;             /* ngx_current_msec */
} ngx_chat_changed_query_t;


/* returns NULL if the zone is too small; others accept NULL */
ngx_chat_changed_t *ngx_chat_changed_create(ngx_slab_pool_t *shpool);

/* a message of the user may be stored or changed between these calls */
void ngx_chat_changed_begin(ngx_chat_changed_t *changed, uint32_t user_id);
void ngx_chat_changed_end(ngx_chat_changed_t *changed, uint32_t user_id);

/*
 * Returns NGX_OK if the user has no message above the id.  Otherwise returns
 * NGX_DECLINED, and a query of the database may begin.
 */
ngx_int_t ngx_chat_changed_get(ngx_chat_changed_t *changed, uint32_t user_id,
    uint64_t id, ngx_uint_t changes, ngx_chat_changed_query_t *query);

/* the query has found no message of the user above the id */
void ngx_chat_changed_put(ngx_chat_changed_t *changed, uint32_t user_id,
    uint64_t id, ngx_uint_t changes, ngx_chat_changed_query_t *query);


#endif /* _NGX_CHAT_CHANGED_H_INCLUDED_ */
