
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_typing.h"


#define NGX_CHAT_TYPING_INTERVAL  1000        /* ms */
#define NGX_CHAT_TYPING_ENTRIES   256


/* an entry of another pair is overwritten */

typedef struct {
    uint32_t                user_id;
    uint32_t                peer_id;
    ngx_msec_t              time;             /* ngx_current_msec */
} ngx_chat_typing_entry_t;


struct ngx_chat_typing_s {
    ngx_chat_typing_entry_t  entries[NGX_CHAT_TYPING_ENTRIES];
};


ngx_chat_typing_t *
ngx_chat_typing_create(ngx_slab_pool_t *shpool)
{
    return ngx_slab_calloc(shpool, sizeof(ngx_chat_typing_t));
}


ngx_int_t
ngx_chat_typing(ngx_chat_typing_t *typing, uint32_t user_id, uint32_t peer_id)
{
    uint32_t                  ids[2] = { user_id, peer_id };
    ngx_chat_typing_entry_t  *entry;

    if (typing == NULL) {
        return NGX_OK;
    }

    entry = &typing->entries[ngx_murmur_hash2((u_char *) ids, sizeof(ids))
                             % NGX_CHAT_TYPING_ENTRIES];

    if (entry->user_id == user_id && entry->peer_id == peer_id
        && (ngx_msec_int_t) (ngx_current_msec - entry->time)
           < NGX_CHAT_TYPING_INTERVAL)
    {
        return NGX_DECLINED;
    }

    entry->user_id = user_id;
    entry->peer_id = peer_id;
    entry->time = ngx_current_msec;

    return NGX_OK;
}
