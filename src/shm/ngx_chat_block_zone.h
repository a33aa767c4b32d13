
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_BLOCK_ZONE_H_INCLUDED_
#define _NGX_CHAT_BLOCK_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Blocks between pairs of users, in shared memory, for events that are not
 * stored.  Sends do not use them.
 *
 * A block that any worker changes makes all entries invalid, before its query
 * is submitted and when it is done.  An entry has the revision that was current
 * before its query was submitted, so it is never older than a block of this
 * host that has been acknowledged.
 */


typedef struct ngx_chat_block_zone_s  ngx_chat_block_zone_t;


/* returns NULL if the zone is too small */
ngx_chat_block_zone_t *ngx_chat_block_zone_create(ngx_slab_pool_t *shpool);


/* In the following functions, "zone" may be NULL. */

ngx_uint_t ngx_chat_block_zone_revision(ngx_chat_block_zone_t *zone);

/* makes all entries invalid */
void ngx_chat_block_zone_changed(ngx_chat_block_zone_t *zone);

/*
 * Reads the blocks of a pair, NGX_CHAT_BLOCK_LO and NGX_CHAT_BLOCK_HI.  Returns
 * NGX_OK, or NGX_DECLINED if the zone has no entry that is younger than "age",
 * ms.
 */
ngx_int_t ngx_chat_block_zone_get(ngx_chat_block_zone_t *zone, uint32_t lo_id,
    uint32_t hi_id, ngx_msec_t age, ngx_uint_t *blocks);

/* stores the blocks of a pair, as read by a query of this revision */
void ngx_chat_block_zone_set(ngx_chat_block_zone_t *zone, uint32_t lo_id,
    uint32_t hi_id, ngx_uint_t blocks, ngx_uint_t revision);


#endif /* _NGX_CHAT_BLOCK_ZONE_H_INCLUDED_ */
