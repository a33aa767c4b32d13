
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/core/ngx_chat_tree.h"
#include "src/push/ngx_chat_redis.h"
#include "src/push/ngx_chat_redis_held.h"
#include "src/push/ngx_chat_redis_link.h"
#include "src/push/ngx_chat_redis_text.h"


/*
 * A subscription has at most one command in flight, so that a confirmation
 * always belongs to the last command.  The next command follows if the state
 * is not the wanted one by then.
 */


#define NGX_CHAT_REDIS_PUBLISH_QUEUE    (1024 * 1024)
#define NGX_CHAT_REDIS_SUBSCRIBE_QUEUE  (64 * 1024)

/* time after which an acknowledged record has reached other hosts, ms */
#define NGX_CHAT_REDIS_RECENT           10000


typedef struct {
    ngx_rbtree_node_t           node;          /* key: user id */
    ngx_queue_t                 all;
    ngx_queue_t                 pending;       /* valid if "queued" is set */

    unsigned                    wanted:1;
    unsigned                    on:1;          /* confirmed by the server */
    unsigned                    sent:1;        /* a command is in flight */
    unsigned                    queued:1;      /* a command will be sent */
    unsigned                    renewing:1;    /* after a reconnect */
} ngx_chat_redis_subscription_t;


struct ngx_chat_redis_s {
    ngx_chat_redis_link_t             publisher;
    ngx_chat_redis_link_t             subscriber;
    const ngx_chat_redis_handlers_t  *handlers;
    ngx_chat_metrics_t               *metrics;
    ngx_log_t                        *log;
    uint64_t                          instance;
    ngx_chat_debt_t                  *debt;

    ngx_rbtree_t                      tree;
    ngx_rbtree_node_t                 sentinel;
    ngx_queue_t                       all;
    ngx_queue_t                       pending;
    ngx_uint_t                        renewing;   /* subscriptions */

    ngx_uint_t                        unacknowledged;  /* PUBLISH */
    ngx_msec_t                        published;  /* time of the last one */
    ngx_buf_t                         held;       /* records */

    unsigned                          missed:1;   /* records of other hosts */
    unsigned                          lost:1;     /* records for them */
    unsigned                          recent:1;   /* "published" is set */
};


static void ngx_chat_redis_cleanup(void *data);

static ngx_chat_redis_subscription_t *ngx_chat_redis_find(
    ngx_chat_redis_t *redis, uint32_t user_id);
static ngx_chat_redis_subscription_t *ngx_chat_redis_add(
    ngx_chat_redis_t *redis, uint32_t user_id);
static void ngx_chat_redis_remove(ngx_chat_redis_t *redis,
    ngx_chat_redis_subscription_t *s);
static void ngx_chat_redis_update(ngx_chat_redis_t *redis,
    ngx_chat_redis_subscription_t *s);
static void ngx_chat_redis_renewed(ngx_chat_redis_t *redis);
static void ngx_chat_redis_send_pending(void *data);

static void ngx_chat_redis_subscriber_ready(void *data);
static void ngx_chat_redis_subscriber_lost(void *data);
static ngx_int_t ngx_chat_redis_subscriber_reply(void *data,
    ngx_chat_resp_t *resp);
static ngx_int_t ngx_chat_redis_confirmed(ngx_chat_redis_t *redis,
    ngx_str_t *channel, ngx_uint_t on);
static void ngx_chat_redis_received(ngx_chat_redis_t *redis,
    ngx_str_t *channel, ngx_str_t *text);

static void ngx_chat_redis_owe(ngx_chat_redis_t *redis);
static void ngx_chat_redis_received_online(ngx_chat_redis_t *redis,
    ngx_str_t *text);
static ngx_int_t ngx_chat_redis_publish_users(ngx_chat_redis_t *redis,
    const ngx_chat_redis_held_t *held);
static void ngx_chat_redis_publisher_ready(void *data);
static ngx_int_t ngx_chat_redis_publish_text(ngx_chat_redis_t *redis,
    uint32_t user_id, const ngx_str_t *text);
static void ngx_chat_redis_publish_resync(void *data);
static void ngx_chat_redis_publisher_lost(void *data);
static ngx_int_t ngx_chat_redis_publisher_reply(void *data,
    ngx_chat_resp_t *resp);


static const ngx_chat_redis_link_handlers_t  ngx_chat_redis_publisher = {
    .ready = ngx_chat_redis_publisher_ready,
    .lost = ngx_chat_redis_publisher_lost,
    .reply = ngx_chat_redis_publisher_reply,
    .sent = ngx_chat_redis_publish_resync
};

static const ngx_chat_redis_link_handlers_t  ngx_chat_redis_subscriber = {
    .ready = ngx_chat_redis_subscriber_ready,
    .lost = ngx_chat_redis_subscriber_lost,
    .reply = ngx_chat_redis_subscriber_reply,
    .sent = ngx_chat_redis_send_pending
};


ngx_chat_redis_t *
ngx_chat_redis_create(ngx_cycle_t *cycle, const ngx_chat_redis_conf_t *conf,
    const ngx_chat_redis_handlers_t *handlers, const ngx_chat_zone_t *zone,
    ngx_chat_metrics_t *metrics)
{
    ngx_uint_t              i;
    ngx_chat_redis_t       *redis;
    ngx_pool_cleanup_t     *cln;
    ngx_chat_redis_link_t  *link;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_chat_redis_t));
    if (cln == NULL) {
        return NULL;
    }

    redis = cln->data;
    ngx_memzero(redis, sizeof(ngx_chat_redis_t));

    if (ngx_chat_redis_held_init(&redis->held, cycle->pool) != NGX_OK) {
        return NULL;
    }

    redis->handlers = handlers;
    redis->metrics = metrics;
    redis->log = cycle->log;
    redis->instance = zone->instance;
    redis->debt = zone->debt;

    /* the previous process of this slot has crashed */

    redis->lost = ngx_chat_debt_get(redis->debt);

    ngx_rbtree_init(&redis->tree, &redis->sentinel, ngx_rbtree_insert_value);
    ngx_queue_init(&redis->all);
    ngx_queue_init(&redis->pending);

    cln->handler = ngx_chat_redis_cleanup;

    if (ngx_chat_redis_subscribe(redis, NGX_CHAT_REDIS_RESYNC) == NGX_ERROR) {
        return NULL;
    }

    redis->publisher.handlers = &ngx_chat_redis_publisher;
    redis->publisher.title = "publishing";
    redis->publisher.queue = NGX_CHAT_REDIS_PUBLISH_QUEUE;

    redis->subscriber.handlers = &ngx_chat_redis_subscriber;
    redis->subscriber.title = "subscribing";
    redis->subscriber.queue = NGX_CHAT_REDIS_SUBSCRIBE_QUEUE;
    redis->subscriber.leave = 1;

    for (i = 0; i < 2; i++) {
        link = i ? &redis->subscriber : &redis->publisher;

        link->conf = conf;
        link->data = redis;
        link->metrics = metrics;
        link->log = cycle->log;

        ngx_chat_redis_link_start(link);
    }

    return redis;
}


/*
 * The publishing connection of an exiting worker stays open until now, for the
 * sends that are still in progress.
 */

void
ngx_chat_redis_close(ngx_chat_redis_t *redis)
{
    ngx_chat_redis_link_end(&redis->publisher);
    ngx_chat_redis_link_end(&redis->subscriber);

    ngx_chat_debt_leave(redis->debt);
}


static void
ngx_chat_redis_cleanup(void *data)
{
    ngx_queue_t                    *q;
    ngx_chat_redis_t               *redis = data;
    ngx_chat_redis_subscription_t  *s;

    ngx_chat_redis_close(redis);

    while (!ngx_queue_empty(&redis->all)) {
        q = ngx_queue_head(&redis->all);
        s = ngx_queue_data(q, ngx_chat_redis_subscription_t, all);

        ngx_chat_redis_remove(redis, s);
    }
}


/* --- subscriptions ------------------------------------------------------- */


ngx_int_t
ngx_chat_redis_subscribe(ngx_chat_redis_t *redis, uint32_t user_id)
{
    ngx_chat_redis_subscription_t  *s;

    s = ngx_chat_redis_find(redis, user_id);

    if (s == NULL) {
        s = ngx_chat_redis_add(redis, user_id);
        if (s == NULL) {
            return NGX_ERROR;
        }
    }

    s->wanted = 1;

    ngx_chat_redis_update(redis, s);

    return (s->on && !s->sent) ? NGX_OK : NGX_AGAIN;
}


void
ngx_chat_redis_unsubscribe(ngx_chat_redis_t *redis, uint32_t user_id)
{
    ngx_chat_redis_subscription_t  *s;

    s = ngx_chat_redis_find(redis, user_id);

    if (s != NULL) {
        s->wanted = 0;
        ngx_chat_redis_update(redis, s);
    }
}


/* "node" is the first member */

static ngx_chat_redis_subscription_t *
ngx_chat_redis_find(ngx_chat_redis_t *redis, uint32_t user_id)
{
    return (ngx_chat_redis_subscription_t *)
               ngx_chat_tree_find(&redis->tree, user_id);
}


static ngx_chat_redis_subscription_t *
ngx_chat_redis_add(ngx_chat_redis_t *redis, uint32_t user_id)
{
    ngx_chat_redis_subscription_t  *s;

    s = ngx_calloc(sizeof(ngx_chat_redis_subscription_t), redis->log);
    if (s == NULL) {
        return NULL;
    }

    s->node.key = user_id;

    ngx_rbtree_insert(&redis->tree, &s->node);
    ngx_queue_insert_tail(&redis->all, &s->all);

    return s;
}


static void
ngx_chat_redis_remove(ngx_chat_redis_t *redis,
    ngx_chat_redis_subscription_t *s)
{
    if (s->queued) {
        ngx_queue_remove(&s->pending);
    }

    ngx_queue_remove(&s->all);
    ngx_rbtree_delete(&redis->tree, &s->node);

    ngx_free(s);
}


/* queues the next command, or frees the subscription */

static void
ngx_chat_redis_update(ngx_chat_redis_t *redis,
    ngx_chat_redis_subscription_t *s)
{
    ngx_uint_t  renewing;

    if (s->sent || (s->queued && s->wanted != s->on)) {
        return;
    }

    if (s->wanted != s->on) {
        s->queued = 1;
        ngx_queue_insert_tail(&redis->pending, &s->pending);

        ngx_chat_redis_send_pending(redis);
        return;
    }

    if (s->queued) {
        s->queued = 0;
        ngx_queue_remove(&s->pending);
    }

    renewing = s->renewing;

    if (s->wanted) {
        s->renewing = 0;

    } else {
        ngx_chat_redis_remove(redis, s);
    }

    if (renewing) {
        ngx_chat_redis_renewed(redis);
    }
}


static void
ngx_chat_redis_send_pending(void *data)
{
    ngx_chat_redis_t  *redis = data;

    u_char                          channel[NGX_CHAT_REDIS_CHANNEL_LEN];
    ngx_str_t                       args[2];
    ngx_queue_t                    *q;
    ngx_chat_redis_subscription_t  *s;

    while (!ngx_queue_empty(&redis->pending)) {

        q = ngx_queue_head(&redis->pending);
        s = ngx_queue_data(q, ngx_chat_redis_subscription_t, pending);

        if (s->wanted) {
            ngx_str_set(&args[0], "SUBSCRIBE");

        } else {
            ngx_str_set(&args[0], "UNSUBSCRIBE");
        }

        args[1].data = channel;
        args[1].len = ngx_chat_redis_channel_write(channel,
                                                   (uint32_t) s->node.key)
                      - channel;

        if (ngx_chat_redis_link_send(&redis->subscriber, args, 2) != NGX_OK) {
            return;
        }

        ngx_queue_remove(q);

        s->queued = 0;
        s->sent = 1;
    }
}


/* called when a subscription is confirmed again, or removed */

static void
ngx_chat_redis_renewed(ngx_chat_redis_t *redis)
{
    if (--redis->renewing == 0 && redis->missed) {
        redis->missed = 0;
        redis->handlers->resync(redis->handlers->data);
    }
}


static void
ngx_chat_redis_subscriber_ready(void *data)
{
    ngx_chat_redis_t  *redis = data;

    ngx_queue_t                    *q;
    ngx_chat_redis_subscription_t  *s;

    redis->renewing = 0;        /* all are off, and their commands queued */

    for (q = ngx_queue_head(&redis->all);
         q != ngx_queue_sentinel(&redis->all);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_chat_redis_subscription_t, all);

        s->renewing = 1;
        redis->renewing++;
    }

    ngx_chat_redis_send_pending(redis);
}


static void
ngx_chat_redis_subscriber_lost(void *data)
{
    ngx_chat_redis_t  *redis = data;

    ngx_queue_t                    *q, *next;
    ngx_chat_redis_subscription_t  *s;

    redis->missed = 1;

    for (q = ngx_queue_head(&redis->all);
         q != ngx_queue_sentinel(&redis->all);
         q = next)
    {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_chat_redis_subscription_t, all);

        s->on = 0;
        s->sent = 0;
        s->renewing = 0;

        ngx_chat_redis_update(redis, s);
    }
}


static ngx_int_t
ngx_chat_redis_subscriber_reply(void *data, ngx_chat_resp_t *resp)
{
    ngx_chat_redis_t  *redis = data;

    ngx_str_t              *kind;
    ngx_chat_resp_value_t  *value;

    value = resp->values;

    if (resp->nvalues != 4 || value[0].type != NGX_CHAT_RESP_ARRAY
        || value[0].number != 3 || value[1].type != NGX_CHAT_RESP_BULK
        || value[2].type != NGX_CHAT_RESP_BULK)
    {
        return NGX_ERROR;
    }

    kind = &value[1].text;

    if (kind->len == 7 && ngx_strncmp(kind->data, "message", 7) == 0
        && value[3].type == NGX_CHAT_RESP_BULK)
    {
        ngx_chat_redis_received(redis, &value[2].text, &value[3].text);
        return NGX_OK;
    }

    if (value[3].type != NGX_CHAT_RESP_INTEGER) {
        return NGX_ERROR;
    }

    if (kind->len == 9 && ngx_strncmp(kind->data, "subscribe", 9) == 0) {
        return ngx_chat_redis_confirmed(redis, &value[2].text, 1);
    }

    if (kind->len == 11 && ngx_strncmp(kind->data, "unsubscribe", 11) == 0) {
        return ngx_chat_redis_confirmed(redis, &value[2].text, 0);
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_chat_redis_confirmed(ngx_chat_redis_t *redis, ngx_str_t *channel,
    ngx_uint_t on)
{
    uint32_t                        user_id;
    ngx_uint_t                      confirmed;
    ngx_chat_redis_subscription_t  *s;

    if (ngx_chat_redis_channel_read(channel, &user_id) != NGX_OK) {
        return NGX_ERROR;
    }

    s = ngx_chat_redis_find(redis, user_id);

    if (s == NULL || !s->sent || s->on == on) {
        return NGX_ERROR;
    }

    s->sent = 0;
    s->on = on;

    confirmed = (s->on && s->wanted);

    ngx_chat_redis_update(redis, s);

    if (confirmed && user_id != NGX_CHAT_REDIS_RESYNC) {
        redis->handlers->subscribed(redis->handlers->data, user_id);
    }

    return NGX_OK;
}


/* other texts are ignored */

static void
ngx_chat_redis_received(ngx_chat_redis_t *redis, ngx_str_t *channel,
    ngx_str_t *text)
{
    uint32_t                        user_id;
    uint64_t                        instance;
    ngx_chat_record_t               record;
    ngx_chat_redis_subscription_t  *s;

    if (ngx_chat_redis_channel_read(channel, &user_id) != NGX_OK) {
        return;
    }

    if (user_id == NGX_CHAT_REDIS_RESYNC) {

        if (ngx_chat_redis_resync_read(text, &instance) == NGX_OK
            && instance != redis->instance)
        {
            ngx_chat_metrics_count(redis->metrics,
                                   NGX_CHAT_COUNT_REDIS_RESYNC_RECEIVED);
            redis->handlers->resync(redis->handlers->data);
            return;
        }

        ngx_chat_redis_received_online(redis, text);
        return;
    }

    if (ngx_chat_redis_record_read(text, &instance, &record) != NGX_OK
        || instance == redis->instance
        || (user_id != record.sender_id && user_id != record.recipient_id))
    {
        return;
    }

    s = ngx_chat_redis_find(redis, user_id);

    if (s == NULL || !s->wanted) {
        return;
    }

    ngx_chat_metrics_count(redis->metrics, NGX_CHAT_COUNT_REDIS_RECEIVED);

    redis->handlers->record(redis->handlers->data, user_id, &record);
}


static void
ngx_chat_redis_received_online(ngx_chat_redis_t *redis, ngx_str_t *text)
{
    uint32_t    ids[NGX_CHAT_REDIS_IDS];
    uint64_t    instance;
    ngx_uint_t  i, n;

    if (ngx_chat_redis_online_read(text, &instance, ids, &n) != NGX_OK
        || instance == redis->instance)
    {
        return;
    }

    for (i = 0; i < n; i++) {
        redis->handlers->online(redis->handlers->data, ids[i]);
    }
}


/* --- publishing ---------------------------------------------------------- */


void
ngx_chat_redis_publish(ngx_chat_redis_t *redis, ngx_chat_record_t *record)
{
    u_char                 buf[NGX_CHAT_REDIS_TEXT_LEN];
    ngx_int_t              rc;
    ngx_chat_redis_held_t  held;

    held.sender_id = record->sender_id;
    held.recipient_id = record->recipient_id;
    held.text.data = buf;
    held.text.len = ngx_chat_redis_record_write(buf, redis->instance, record)
                    - buf;

    if (redis->publisher.state == NGX_CHAT_REDIS_READY) {
        rc = ngx_chat_redis_publish_users(redis, &held);

    } else if (redis->lost) {
        rc = NGX_DECLINED;

    } else {
        rc = ngx_chat_redis_held_add(&redis->held, &held);
    }

    if (rc != NGX_OK && record->kind != NGX_CHAT_RECORD_TRANSIENT) {
        redis->lost = 1;
    }

    ngx_chat_redis_owe(redis);

    ngx_chat_metrics_count(redis->metrics,
                           (rc == NGX_OK) ? NGX_CHAT_COUNT_REDIS_PUBLISHED
                                          : NGX_CHAT_COUNT_REDIS_DROPPED);
}


/* without a connection, nothing is sent; the next report follows soon */

void
ngx_chat_redis_publish_online(ngx_chat_redis_t *redis, const uint32_t *ids,
    ngx_uint_t n)
{
    u_char     buf[NGX_CHAT_REDIS_TEXT_LEN];
    ngx_str_t  text;

    text.data = buf;
    text.len = ngx_chat_redis_online_write(buf, redis->instance, ids, n) - buf;

    (void) ngx_chat_redis_publish_text(redis, NGX_CHAT_REDIS_RESYNC, &text);
}


/* called after each change of these members */

static void
ngx_chat_redis_owe(ngx_chat_redis_t *redis)
{
    ngx_chat_debt_set(redis->debt, redis->lost || redis->unacknowledged
                                   || redis->held.last != redis->held.pos);
}


static void
ngx_chat_redis_publisher_ready(void *data)
{
    ngx_chat_redis_t *redis = data;

    ngx_chat_redis_held_t  held;

    /* after a loss, the resync includes all records */

    while (ngx_chat_redis_held_get(&redis->held, &held) == NGX_OK) {
        if (!redis->lost
            && ngx_chat_redis_publish_users(redis, &held) != NGX_OK)
        {
            redis->lost = 1;
        }
    }

    ngx_chat_redis_publish_resync(redis);
}


static ngx_int_t
ngx_chat_redis_publish_users(ngx_chat_redis_t *redis,
    const ngx_chat_redis_held_t *held)
{
    ngx_int_t  rc;

    rc = ngx_chat_redis_publish_text(redis, held->recipient_id, &held->text);

    if (rc == NGX_OK && held->sender_id != 0
        && held->sender_id != held->recipient_id)
    {
        rc = ngx_chat_redis_publish_text(redis, held->sender_id, &held->text);
    }

    if (rc == NGX_OK) {
        redis->recent = 1;
        redis->published = ngx_current_msec;

        /* an exiting worker waits for the reply */

        redis->publisher.timer.cancelable = !ngx_exiting;
    }

    return rc;
}


static ngx_int_t
ngx_chat_redis_publish_text(ngx_chat_redis_t *redis, uint32_t user_id,
    const ngx_str_t *text)
{
    u_char     channel[NGX_CHAT_REDIS_CHANNEL_LEN];
    ngx_int_t  rc;
    ngx_str_t  args[3];

    ngx_str_set(&args[0], "PUBLISH");

    args[1].data = channel;
    args[1].len = ngx_chat_redis_channel_write(channel, user_id) - channel;
    args[2] = *text;

    rc = ngx_chat_redis_link_send(&redis->publisher, args, 3);

    if (rc == NGX_OK) {
        redis->unacknowledged++;
    }

    return rc;
}


/* called when the connection is ready, and when its queue is empty */

static void
ngx_chat_redis_publish_resync(void *data)
{
    ngx_chat_redis_t  *redis = data;

    u_char     buf[NGX_CHAT_REDIS_TEXT_LEN];
    ngx_str_t  text;

    if (ngx_chat_debt_take(redis->debt)) {
        redis->lost = 1;
    }

    if (!redis->lost) {
        ngx_chat_redis_owe(redis);
        return;
    }

    text.data = buf;
    text.len = ngx_chat_redis_resync_write(buf, redis->instance) - buf;

    if (ngx_chat_redis_publish_text(redis, NGX_CHAT_REDIS_RESYNC, &text)
        == NGX_OK)
    {
        redis->lost = 0;
        redis->recent = 1;
        redis->published = ngx_current_msec;

        ngx_chat_metrics_count(redis->metrics,
                               NGX_CHAT_COUNT_REDIS_RESYNC_SENT);
    }

    ngx_chat_redis_owe(redis);
}


static void
ngx_chat_redis_publisher_lost(void *data)
{
    ngx_chat_redis_t  *redis = data;

    if (redis->unacknowledged
        || (redis->recent && ngx_current_msec - redis->published
                             < NGX_CHAT_REDIS_RECENT))
    {
        redis->lost = 1;
    }

    redis->unacknowledged = 0;
    redis->recent = 0;
    redis->publisher.timer.cancelable = 1;

    ngx_chat_redis_owe(redis);
}


/* the number of subscribers that have received a record */

static ngx_int_t
ngx_chat_redis_publisher_reply(void *data, ngx_chat_resp_t *resp)
{
    ngx_chat_redis_t  *redis = data;

    if (resp->values[0].type != NGX_CHAT_RESP_INTEGER
        || redis->unacknowledged == 0)
    {
        return NGX_ERROR;
    }

    if (--redis->unacknowledged == 0) {
        redis->publisher.timer.cancelable = 1;
        ngx_chat_redis_owe(redis);
    }

    return NGX_OK;
}
