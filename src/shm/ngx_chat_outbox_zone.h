
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_OUTBOX_ZONE_H_INCLUDED_
#define _NGX_CHAT_OUTBOX_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_types.h"


/*
 * Outbox entries in shared memory, without locks.  A send has an entry from the
 * moment when its message may be stored until its notification is published.
 * Entries of a process that has crashed or given up are returned to other
 * processes by ngx_chat_outbox_entry_next().
 */


typedef struct ngx_chat_outbox_zone_s  ngx_chat_outbox_zone_t;


/* modified by its owner only */

typedef struct {
    ngx_atomic_t           owner;             /* process id; 0: free */
    ngx_msec_t             due;               /* time of the next try; 0: its
                                                 request is in progress */
    ngx_uint_t             tries;

    /* identify the message in the database */
    uint32_t               sender_id;
    u_short                client_id_len;
    u_char                 client_id[NGX_CHAT_CLIENT_ID_MAX];
} ngx_chat_outbox_entry_t;


/* returns NULL if the zone is too small */
ngx_chat_outbox_zone_t *ngx_chat_outbox_zone_create(ngx_slab_pool_t *shpool);

/*
 * Called when a process starts: releases entries of a crashed process that had
 * the same process id.  "zone" may be NULL.
 */
void ngx_chat_outbox_zone_start(ngx_chat_outbox_zone_t *zone);

/*
 * Returns NULL if there is no room or no zone; then clients find the message
 * only when they catch up.
 */
ngx_chat_outbox_entry_t *ngx_chat_outbox_entry_add(
    ngx_chat_outbox_zone_t *zone, uint32_t sender_id, ngx_str_t *client_id);

void ngx_chat_outbox_entry_delete(ngx_chat_outbox_entry_t *entry);

/* leaves the entry to other processes */
void ngx_chat_outbox_entry_release(ngx_chat_outbox_entry_t *entry);

/*
 * Returns the next entry from index *n that is due or has been taken over from
 * another process, or NULL.
 */
ngx_chat_outbox_entry_t *ngx_chat_outbox_entry_next(
    ngx_chat_outbox_zone_t *zone, ngx_uint_t *n);


#endif /* _NGX_CHAT_OUTBOX_ZONE_H_INCLUDED_ */
