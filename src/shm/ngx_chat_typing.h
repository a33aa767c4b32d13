
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_TYPING_H_INCLUDED_
#define _NGX_CHAT_TYPING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The times of the last typing events, in shared memory, without locks.  Two
 * workers at the same moment may both send an event.
 */


typedef struct ngx_chat_typing_s  ngx_chat_typing_t;


/* returns NULL if the zone is too small */
ngx_chat_typing_t *ngx_chat_typing_create(ngx_slab_pool_t *shpool);

/*
 * Returns NGX_OK and stores the current time, or NGX_DECLINED if this user has
 * typed to this peer less than a second ago.  "typing" may be NULL.
 */
ngx_int_t ngx_chat_typing(ngx_chat_typing_t *typing, uint32_t user_id,
    uint32_t peer_id);


#endif /* _NGX_CHAT_TYPING_H_INCLUDED_ */
