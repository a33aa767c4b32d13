
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DEBT_H_INCLUDED_
#define _NGX_CHAT_DEBT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Workers whose records may not have reached other hosts, in shared memory.
 * The other hosts then need a resync.  If the worker exits, another one
 * requests it; if it crashes, its successor.
 */


typedef struct ngx_chat_debt_s  ngx_chat_debt_t;


/* returns NULL if the zone is too small */
ngx_chat_debt_t *ngx_chat_debt_create(ngx_slab_pool_t *shpool);

/* sets and returns the state of this worker, or of its crashed predecessor */
void ngx_chat_debt_set(ngx_chat_debt_t *debt, ngx_uint_t owes);
ngx_uint_t ngx_chat_debt_get(ngx_chat_debt_t *debt);

/* called when this worker exits */
void ngx_chat_debt_leave(ngx_chat_debt_t *debt);

/* returns whether this worker must request a resync for one that has exited */
ngx_uint_t ngx_chat_debt_take(ngx_chat_debt_t *debt);


#endif /* _NGX_CHAT_DEBT_H_INCLUDED_ */
