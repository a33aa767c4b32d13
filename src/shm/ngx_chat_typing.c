
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_typing.h"


#define NGX_CHAT_TYPING_INTERVAL  1000        /* ms */

/*
 * Entries are hashed by pair into sets.  The oldest entry of a set is
 * overwritten.
 */
#define NGX_CHAT_TYPING_SETS      256
#define NGX_CHAT_TYPING_SET       8           /* entries */


typedef struct {
    uint32_t                user_id;
    uint32_t                peer_id;
    ngx_msec_t              time;             /* ngx_current_msec */
} ngx_chat_typing_entry_t;


struct ngx_chat_typing_s {
    ngx_chat_typing_entry_t  sets[NGX_CHAT_TYPING_SETS][NGX_CHAT_TYPING_SET];
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
    ngx_uint_t                i;
    ngx_msec_int_t            age, oldest;
    ngx_chat_typing_entry_t  *set, *entry;

    if (typing == NULL) {
        return NGX_OK;
    }

    set = typing->sets[ngx_murmur_hash2((u_char *) ids, sizeof(ids))
                       % NGX_CHAT_TYPING_SETS];

    entry = &set[0];
    oldest = -1;

    for (i = 0; i < NGX_CHAT_TYPING_SET; i++) {
        age = ngx_current_msec - set[i].time;

        if (set[i].user_id == user_id && set[i].peer_id == peer_id) {

            if (age < NGX_CHAT_TYPING_INTERVAL) {
                return NGX_DECLINED;
            }

            entry = &set[i];
            break;
        }

        if (age > oldest) {
            entry = &set[i];
            oldest = age;
        }
    }

    entry->user_id = user_id;
    entry->peer_id = peer_id;
    entry->time = ngx_current_msec;

    return NGX_OK;
}
