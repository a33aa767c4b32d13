
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_revocation.h"


struct ngx_chat_revocations_s {
    ngx_slab_pool_t            *shpool;       /* its mutex protects the ring */
    ngx_atomic_t                revision;
    ngx_chat_revocation_t       ring[NGX_CHAT_REVOCATION_MAX];
};


static void ngx_chat_revocation_add(ngx_chat_revocations_t *revocations,
    uint32_t user_id, u_char *hash);


ngx_chat_revocations_t *
ngx_chat_revocation_create(ngx_slab_pool_t *shpool)
{
    ngx_chat_revocations_t  *revocations;

    revocations = ngx_slab_calloc(shpool, sizeof(ngx_chat_revocations_t));

    if (revocations) {
        revocations->shpool = shpool;
    }

    return revocations;
}


ngx_uint_t
ngx_chat_revocation_revision(ngx_chat_revocations_t *revocations)
{
    return revocations ? revocations->revision : 0;
}


void
ngx_chat_revocation_session(ngx_chat_revocations_t *revocations, u_char *hash)
{
    ngx_chat_revocation_add(revocations, 0, hash);
}


void
ngx_chat_revocation_user(ngx_chat_revocations_t *revocations, uint32_t user_id,
    u_char *keep)
{
    ngx_chat_revocation_add(revocations, user_id, keep);
}


static void
ngx_chat_revocation_add(ngx_chat_revocations_t *revocations, uint32_t user_id,
    u_char *hash)
{
    ngx_chat_revocation_t  *revocation;

    if (revocations == NULL) {
        return;
    }

    ngx_shmtx_lock(&revocations->shpool->mutex);

    revocation = &revocations->ring[revocations->revision
                                    % NGX_CHAT_REVOCATION_MAX];

    revocation->user_id = user_id;

    if (hash) {
        ngx_memcpy(revocation->hash, hash, NGX_CHAT_HASH_LEN);

    } else {
        ngx_memzero(revocation->hash, NGX_CHAT_HASH_LEN);
    }

    ngx_memory_barrier();

    revocations->revision++;

    ngx_shmtx_unlock(&revocations->shpool->mutex);
}


ngx_int_t
ngx_chat_revocation_get(ngx_chat_revocations_t *revocations,
    ngx_uint_t revision, ngx_chat_revocation_t *revocation)
{
    ngx_int_t  rc;

    if (revocations == NULL || revision == revocations->revision) {
        return NGX_DECLINED;
    }

    ngx_shmtx_lock(&revocations->shpool->mutex);

    if (revocations->revision - revision > NGX_CHAT_REVOCATION_MAX) {
        rc = NGX_ABORT;

    } else {
        *revocation = revocations->ring[revision % NGX_CHAT_REVOCATION_MAX];
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&revocations->shpool->mutex);

    return rc;
}


ngx_uint_t
ngx_chat_revocation_ended(ngx_chat_revocations_t *revocations,
    ngx_uint_t revision, uint32_t user_id, u_char *hash)
{
    ngx_uint_t              same;
    ngx_chat_revocation_t  *revocation;

    if (revocations->revision - revision > NGX_CHAT_REVOCATION_MAX) {
        return 1;
    }

    for ( /* void */ ; revision != revocations->revision; revision++) {

        revocation = &revocations->ring[revision % NGX_CHAT_REVOCATION_MAX];
        same = (ngx_memcmp(revocation->hash, hash, NGX_CHAT_HASH_LEN) == 0);

        if (revocation->user_id ? revocation->user_id == user_id && !same
                                : same)
        {
            return 1;
        }
    }

    return 0;
}
