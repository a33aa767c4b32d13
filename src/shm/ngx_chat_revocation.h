
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REVOCATION_H_INCLUDED_
#define _NGX_CHAT_REVOCATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_types.h"


/*
 * Revocations: a session has ended, or all sessions of a user except one.  The
 * revision is the number of revocations so far; the last
 * NGX_CHAT_REVOCATION_MAX of them are kept in a ring.
 *
 * Cached sessions are not searched for those that a revocation ends.  Each
 * session carries the revision at which it was valid, and is compared with
 * later revocations when it is read.  Workers do the same for sockets.
 */

#define NGX_CHAT_REVOCATION_MAX  256


typedef struct ngx_chat_revocations_s  ngx_chat_revocations_t;


typedef struct {
    uint32_t               user_id;           /* 0: the session "hash" ends */
    ngx_chat_hash_t        hash;              /* with user_id: the session to
                                                 keep; zeros: none */
} ngx_chat_revocation_t;


/* returns NULL if the zone is too small */
ngx_chat_revocations_t *ngx_chat_revocation_create(ngx_slab_pool_t *shpool);

ngx_uint_t ngx_chat_revocation_revision(ngx_chat_revocations_t *revocations);

/* ends one session */
void ngx_chat_revocation_session(ngx_chat_revocations_t *revocations,
    u_char *hash);

/* ends the sessions of a user except "keep", which may be NULL */
void ngx_chat_revocation_user(ngx_chat_revocations_t *revocations,
    uint32_t user_id, u_char *keep);

/*
 * Copies the revocation that led from "revision" to the next one.  Returns
 * NGX_OK, NGX_DECLINED if "revision" is the current one, or NGX_ABORT if the
 * revocation is not in the ring any more.
 */
ngx_int_t ngx_chat_revocation_get(ngx_chat_revocations_t *revocations,
    ngx_uint_t revision, ngx_chat_revocation_t *revocation);

/*
 * Returns 1 if a session that was valid at "revision" has ended or may have
 * ended since.  The caller holds the mutex of the zone.
 */
ngx_uint_t ngx_chat_revocation_ended(ngx_chat_revocations_t *revocations,
    ngx_uint_t revision, uint32_t user_id, u_char *hash);


#endif /* _NGX_CHAT_REVOCATION_H_INCLUDED_ */
