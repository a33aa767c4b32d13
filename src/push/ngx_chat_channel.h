
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_CHANNEL_H_INCLUDED_
#define _NGX_CHAT_CHANNEL_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * The channels of this worker: one for each user who has sockets here.  nchan
 * assigns a channel to one of its workers by a hash of the channel's name.  The
 * name is the user id and a suffix, "5.2", chosen so that nchan assigns the
 * channel to this worker.  No other worker subscribes or publishes to it.
 *
 * Channels are of two kinds: for hints, which contain a message id, and for
 * events.  They are found by user id, per kind and channel group of the
 * configuration.
 */


typedef struct {
    ngx_rbtree_node_t      node;              /* key: user id */
    ngx_queue_t            sockets;           /* ngx_chat_subscriber_t */
    ngx_uint_t             events;            /* kind: 0 hints, 1 events */
    ngx_uint_t             group;             /* index in chmcf->groups */
    ngx_str_t              name;              /* follows the structure */
    unsigned               forgotten:1;       /* not found any more */
} ngx_chat_channel_t;


/* maximum length of a name */
#define NGX_CHAT_CHANNEL_LEN  (1 + NGX_INT32_LEN + 1 + NGX_INT_T_LEN)


/* called by init process; returns NULL if there is no memory */
ngx_chat_channels_t *ngx_chat_channels_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);

/* number of channels of this worker */
ngx_uint_t ngx_chat_channels_number(ngx_chat_channels_t *channels);

/* number of groups of the configuration */
ngx_uint_t ngx_chat_channels_groups(ngx_chat_channels_t *channels);

/* returns the channel of a user, or NULL */
ngx_chat_channel_t *ngx_chat_channel_find(ngx_chat_channels_t *channels,
    ngx_uint_t events, ngx_uint_t group, uint32_t user_id);

/*
 * Returns the next channel of a kind and group, in the order of user ids, or
 * NULL.  "channel" is the previous one; NULL: returns the first one.
 */
ngx_chat_channel_t *ngx_chat_channel_next(ngx_chat_channels_t *channels,
    ngx_uint_t events, ngx_uint_t group, ngx_chat_channel_t *channel);

/*
 * Returns the channel of a user, created if necessary, or NULL: no memory, no
 * name was found, or nchan's workers may already be those of another
 * configuration.  From then on, records of the user wake this worker.
 */
ngx_chat_channel_t *ngx_chat_channel_get(ngx_chat_channels_t *channels,
    ngx_uint_t events, ngx_uint_t group, uint32_t user_id, ngx_log_t *log);

/* frees a channel without sockets */
void ngx_chat_channel_release(ngx_chat_channels_t *channels,
    ngx_chat_channel_t *channel);

/*
 * Channels are not found any more, and names of later ones differ from all
 * names that have been used.
 */
void ngx_chat_channels_rename(ngx_chat_channels_t *channels);


#endif /* _NGX_CHAT_CHANNEL_H_INCLUDED_ */
