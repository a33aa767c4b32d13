
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/core/ngx_chat_tree.h"
#include "src/push/ngx_chat_channel.h"
#include "src/push/ngx_chat_nchan.h"
#include "src/push/ngx_chat_redis.h"


/*
 * Suffixes that are tried, times the number of workers.  Each one fails with a
 * probability of 1 - 1/workers, all of them with less than e^-64.
 */
#define NGX_CHAT_CHANNEL_TRIES  64


struct ngx_chat_channels_s {
    ngx_rbtree_t               *trees;        /* by group: hints, events */
    ngx_rbtree_node_t           sentinel;
    ngx_array_t                *groups;       /* ngx_str_t */
    ngx_uint_t                  n;
    ngx_uint_t                  tries;        /* per name */
    ngx_uint_t                  first;        /* suffix to try first */
    ngx_uint_t                  last;         /* highest suffix used */

    ngx_chat_worker_t          *worker;
    ngx_chat_shared_log_t      *log;
    ngx_chat_generations_t     *generations;
    uint16_t                   *bits;         /* users by bit of the reader */
};


static ngx_int_t ngx_chat_channel_name(ngx_chat_channels_t *channels,
    ngx_chat_channel_t *channel);


ngx_chat_channels_t *
ngx_chat_channels_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_uint_t            i;
    ngx_core_conf_t      *ccf;
    ngx_chat_channels_t  *channels;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    channels = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_channels_t));
    if (channels == NULL) {
        return NULL;
    }

    channels->groups = &chmcf->groups;
    channels->tries = NGX_CHAT_CHANNEL_TRIES * ccf->worker_processes;
    channels->worker = chmcf->worker;
    channels->log = chmcf->worker->zone->shared_log;
    channels->generations = chmcf->worker->zone->generations;

    channels->trees = ngx_pcalloc(cycle->pool, chmcf->groups.nelts * 2
                                               * sizeof(ngx_rbtree_t));
    channels->bits = ngx_pcalloc(cycle->pool,
                                 ngx_chat_shared_log_bits(channels->log)
                                 * sizeof(uint16_t));

    if (channels->trees == NULL || channels->bits == NULL) {
        return NULL;
    }

    for (i = 0; i < chmcf->groups.nelts * 2; i++) {
        ngx_rbtree_init(&channels->trees[i], &channels->sentinel,
                        ngx_rbtree_insert_value);
    }

    return channels;
}


ngx_uint_t
ngx_chat_channels_number(ngx_chat_channels_t *channels)
{
    return channels->n;
}


ngx_uint_t
ngx_chat_channels_groups(ngx_chat_channels_t *channels)
{
    return channels->groups->nelts;
}


ngx_chat_channel_t *
ngx_chat_channel_find(ngx_chat_channels_t *channels, ngx_uint_t events,
    ngx_uint_t group, uint32_t user_id)
{
    /* "node" is the first member */

    return (ngx_chat_channel_t *)
               ngx_chat_tree_find(&channels->trees[2 * group + events],
                                  user_id);
}


ngx_chat_channel_t *
ngx_chat_channel_next(ngx_chat_channels_t *channels, ngx_uint_t events,
    ngx_uint_t group, ngx_chat_channel_t *channel)
{
    ngx_rbtree_t  *tree;

    tree = &channels->trees[2 * group + events];

    if (channel) {
        return (ngx_chat_channel_t *) ngx_rbtree_next(tree, &channel->node);
    }

    return (tree->root == tree->sentinel)
           ? NULL
           : (ngx_chat_channel_t *) ngx_rbtree_min(tree->root, tree->sentinel);
}


ngx_chat_channel_t *
ngx_chat_channel_get(ngx_chat_channels_t *channels, ngx_uint_t events,
    ngx_uint_t group, uint32_t user_id, ngx_log_t *log)
{
    ngx_uint_t           bit;
    ngx_chat_channel_t  *channel;

    channel = ngx_chat_channel_find(channels, events, group, user_id);

    if (channel) {
        return channel;
    }

    channel = ngx_calloc(sizeof(ngx_chat_channel_t) + NGX_CHAT_CHANNEL_LEN,
                         log);
    if (channel == NULL) {
        return NULL;
    }

    channel->node.key = user_id;
    channel->events = events;
    channel->group = group;
    channel->name.data = (u_char *) &channel[1];

    ngx_queue_init(&channel->sockets);

    if (ngx_chat_channel_name(channels, channel) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "chat: no channel for user %uD on this worker", user_id);
        ngx_free(channel);
        return NULL;
    }

    bit = ngx_chat_reader_bit(channels->log, user_id);

    if (channels->bits[bit]++ == 0) {
        ngx_chat_reader_set(channels->log, bit);
    }

    /* a worker without channels ignores records */

    if (channels->n++ == 0) {
        ngx_chat_reader_skip(channels->log);
    }

    ngx_rbtree_insert(&channels->trees[2 * group + events], &channel->node);

    return channel;
}


void
ngx_chat_channel_release(ngx_chat_channels_t *channels,
    ngx_chat_channel_t *channel)
{
    uint32_t    user_id;
    ngx_uint_t  i, bit;

    if (!ngx_queue_empty(&channel->sockets)) {
        return;
    }

    user_id = (uint32_t) channel->node.key;
    bit = ngx_chat_reader_bit(channels->log, user_id);

    if (--channels->bits[bit] == 0) {
        ngx_chat_reader_clear(channels->log, bit);
    }

    channels->n--;

    if (!channel->forgotten) {
        ngx_rbtree_delete(&channels->trees[2 * channel->group
                                           + channel->events],
                          &channel->node);
    }

    ngx_free(channel);

    if (channels->worker->redis == NULL) {
        return;
    }

    for (i = 0; i < 2 * channels->groups->nelts; i++) {
        if (ngx_chat_channel_find(channels, i % 2, i / 2, user_id)) {
            return;
        }
    }

    ngx_chat_redis_unsubscribe(channels->worker->redis, user_id);
}


void
ngx_chat_channels_rename(ngx_chat_channels_t *channels)
{
    ngx_uint_t           i;
    ngx_rbtree_t        *tree;
    ngx_chat_channel_t  *channel;

    channels->first = channels->last + 1;

    for (i = 0; i < 2 * channels->groups->nelts; i++) {
        tree = &channels->trees[i];

        while (tree->root != tree->sentinel) {
            channel = (ngx_chat_channel_t *) tree->root;

            ngx_rbtree_delete(tree, &channel->node);
            channel->forgotten = 1;
        }
    }
}


/*
 * nchan computes the owner with the current number of workers.  After a reload
 * that changes it, nchan aborts a process of the previous configuration.
 */

static ngx_int_t
ngx_chat_channel_name(ngx_chat_channels_t *channels,
    ngx_chat_channel_t *channel)
{
    u_char      *p;
    ngx_str_t    id, *group;
    ngx_uint_t   i;

    u_char       buf[NGX_CHAT_GROUP_MAX + 1 + NGX_CHAT_CHANNEL_LEN];

    if (ngx_chat_generation_resized(channels->generations)) {
        return NGX_DECLINED;
    }

    group = channels->groups->elts;
    group += channel->group;

    for (i = channels->first; i < channels->first + channels->tries; i++) {

        channel->name.len = ngx_sprintf(channel->name.data, "%s%uD.%ui",
                                        channel->events ? "e" : "",
                                        (uint32_t) channel->node.key, i)
                            - channel->name.data;

        p = ngx_sprintf(buf, "%V/%V", group, &channel->name);

        id.data = buf;
        id.len = p - buf;

        if (ngx_chat_nchan_owner(&id) == ngx_process_slot) {
            channels->last = ngx_max(channels->last, i);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}
