
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PRESENCE_ZONE_H_INCLUDED_
#define _NGX_CHAT_PRESENCE_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Users who are online, in shared memory.  Workers report the users with open
 * sockets every few seconds.  A user is online as long as the last report is
 * not older than ten seconds.  So neither a reload nor a client that reconnects
 * changes the state, and a worker that crashes does not leave users online.
 * Reports of other hosts, which arrive through Redis, count for 15 seconds.
 *
 * If more users are online than there are entries, the others appear offline.
 */


typedef struct ngx_chat_presence_zone_s  ngx_chat_presence_zone_t;


typedef struct {
    uint32_t               user_id;
    ngx_msec_t             ago;               /* ms since the last report */
    unsigned               changed:1;         /* the state has changed */
    unsigned               online:1;
    unsigned               store:1;           /* last_seen_at is due */
} ngx_chat_presence_change_t;


/* returns NULL if the zone is too small; others accept NULL */
ngx_chat_presence_zone_t *ngx_chat_presence_zone_create(
    ngx_slab_pool_t *shpool);

/*
 * Reports that the user has an open socket, or had one until now; on another
 * host, if "remote" is set.
 */
void ngx_chat_presence_zone_report(ngx_chat_presence_zone_t *zone,
    uint32_t user_id, ngx_uint_t remote);

/* returns whether the user is online */
ngx_uint_t ngx_chat_presence_zone_online(ngx_chat_presence_zone_t *zone,
    uint32_t user_id);

/*
 * Returns NGX_OK and a user with something to do, which no other call returns,
 * or NGX_DECLINED.  Examines a part of the entries from *pos on, and sets *pos
 * for the next call; 0 is the first one, and the end of a round.
 */
ngx_int_t ngx_chat_presence_zone_next(ngx_chat_presence_zone_t *zone,
    ngx_uint_t *pos, ngx_chat_presence_change_t *change);


#endif /* _NGX_CHAT_PRESENCE_ZONE_H_INCLUDED_ */
