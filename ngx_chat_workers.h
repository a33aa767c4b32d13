
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_WORKERS_H_INCLUDED_
#define _NGX_CHAT_WORKERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_text.h"


/*
 * What a worker leaves to the others when it dies.  It lies in the zone, and
 * needs no lock.  "workers" may be NULL in every call (no chat_zone).
 */


typedef struct ngx_chat_workers_s  ngx_chat_workers_t;


/* NULL: the zone is too small */
ngx_chat_workers_t *ngx_chat_workers_create(ngx_slab_pool_t *shpool);


/*
 * Epochs.  When a worker dies, nchan's other workers go on waiting for it: the
 * channels that were its business are silent for good.  So the sockets are
 * closed then, and those that come after listen to channels of other names,
 * which have the number of the epoch in them.  It begins with 0.
 *
 * A worker tells when it starts, and when it ends in good order.  NGX_DECLINED:
 * its predecessor did not, so that there is to be a new epoch.
 */

ngx_int_t ngx_chat_workers_start(ngx_chat_workers_t *workers,
    uint32_t generation);
void ngx_chat_workers_end(ngx_chat_workers_t *workers);
void ngx_chat_workers_new_epoch(ngx_chat_workers_t *workers);
ngx_uint_t ngx_chat_workers_epoch(ngx_chat_workers_t *workers);


/*
 * Generations.  Workers of one configuration leave together, but some may hear
 * of it late.  The master begins a generation; a worker tells when it begins to
 * leave, and may ask whether there are others of its own that have not, or not
 * been at it for so many milliseconds yet.
 */

uint32_t ngx_chat_workers_new_generation(ngx_chat_workers_t *workers);
void ngx_chat_workers_leave(ngx_chat_workers_t *workers);
ngx_uint_t ngx_chat_workers_staying(ngx_chat_workers_t *workers,
    ngx_msec_t msec);


/*
 * Sends whose message is not announced yet.  Each has an entry from the moment
 * when its message may be stored until it is announced; what its process has
 * left unannounced, by its death or otherwise, is handed out again by
 * ngx_chat_workers_due().  An entry belongs to the process that "owner" names,
 * which alone touches it; the sender and the client id name the message in the
 * database.
 */

typedef struct {
    ngx_atomic_t           owner;             /* process id; 0: free */
    ngx_msec_t             due;               /* when to see to it; 0: its
                                                 request will */
    ngx_uint_t             tries;
    uint32_t               sender_id;
    u_short                client_id_len;
    u_char                 client_id[NGX_CHAT_CLIENT_ID_MAX];
} ngx_chat_unannounced_t;

/* NULL: no room, or no zone; then only a catching up will find it */
ngx_chat_unannounced_t *ngx_chat_workers_unannounced(
    ngx_chat_workers_t *workers, uint32_t sender_id, ngx_str_t *client_id);
void ngx_chat_workers_announced(ngx_chat_unannounced_t *entry);

/* leaves it to the other workers */
void ngx_chat_workers_left(ngx_chat_unannounced_t *entry);

/*
 * The next entry from place *n on that is due, or has been left by a process
 * that is gone and is this one's now; NULL: there are no more.
 */
ngx_chat_unannounced_t *ngx_chat_workers_due(ngx_chat_workers_t *workers,
    ngx_uint_t *n);


#endif /* _NGX_CHAT_WORKERS_H_INCLUDED_ */
