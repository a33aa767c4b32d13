
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PRESENCE_H_INCLUDED_
#define _NGX_CHAT_PRESENCE_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * Presence: each worker reports the users of its channels to the zone, and
 * handles changes that it finds there.  A change becomes an event for the
 * latest conversation partners that are online.  last_seen_at of users who are
 * online is stored once a minute, and when they go offline.
 *
 * With several hosts, each one has the reports of all, and sends events to its
 * own sockets.
 *
 * All of it is best effort: without the database, a change has no event.
 */


/* called by init process; returns NULL if there is no memory */
ngx_chat_presence_t *ngx_chat_presence_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);


#endif /* _NGX_CHAT_PRESENCE_H_INCLUDED_ */
