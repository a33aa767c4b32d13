
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/push/ngx_chat_channel.h"
#include "src/push/ngx_chat_lookup.h"
#include "src/push/ngx_chat_publish.h"
#include "src/push/ngx_chat_redis.h"
#include "src/push/ngx_chat_subscriber.h"
#include "src/push/ngx_chat_notify.h"


/* interval at which records are read if no worker can wake this one, ms */
#define NGX_CHAT_NOTIFY_POLL   500

/* records that are read before other events are handled */
#define NGX_CHAT_NOTIFY_BATCH  256

/*
 * If nchan fails, for example without memory, the record is tried again after
 * 250, 500, 1000, 2000, 4000 and 8000 ms.
 */
#define NGX_CHAT_NOTIFY_RETRY  250
#define NGX_CHAT_NOTIFY_TRIES  6


/* maximum delay of a resync that other hosts request, ms: one of several of
   them is sufficient, and not all workers query the database at once */
#define NGX_CHAT_NOTIFY_RESYNC 1000


struct ngx_chat_notify_s {
    ngx_chat_shared_log_t      *shared;
    ngx_chat_wakeup_t          *wakeup;
    ngx_chat_generations_t     *generations;
    ngx_chat_metrics_t         *metrics;
    ngx_chat_lookup_t          *lookup;
    ngx_chat_presence_zone_t   *presence;
    ngx_chat_channels_t        *channels;
    ngx_chat_subscribers_t     *subscribers;
    ngx_chat_redis_t           *redis;         /* NULL: one host */
    ngx_chat_redis_handlers_t   handlers;
    ngx_chat_replica_t         *replica;
    ngx_array_t                *publishers;
    ngx_log_t                  *log;

    ngx_connection_t           *connection;    /* is readable when this worker
                                                  is woken */
    ngx_event_t                 read;          /* posted */
    ngx_event_t                 end;           /* posted, of publishes */
    ngx_event_t                 poll;          /* timer */
    ngx_event_t                 retry;         /* timer */
    ngx_event_t                 resync;        /* timer */
    ngx_uint_t                  tries;         /* of the current record */
    time_t                      time;          /* of the last record */
    unsigned                    events:1;      /* as chmcf->events */
    unsigned                    strangers:1;   /* workers with another zone
                                                  have not exited yet */
};


static ngx_int_t ngx_chat_notify_redis(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf, ngx_chat_notify_t *notify);
static void ngx_chat_notify_leave(ngx_chat_notify_t *notify);
static void ngx_chat_notify_append(ngx_chat_notify_t *notify,
    ngx_chat_record_t *record);
static void ngx_chat_notify_wake(ngx_chat_notify_t *notify,
    ngx_chat_record_t *record);
static void ngx_chat_notify_woken(ngx_event_t *ev);
static void ngx_chat_notify_poll(ngx_event_t *ev);
static void ngx_chat_notify_read(ngx_event_t *ev);
static void ngx_chat_notify_end(ngx_event_t *ev);
static ngx_int_t ngx_chat_notify_record(ngx_chat_notify_t *notify,
    ngx_chat_record_t *record);
static ngx_int_t ngx_chat_notify_publish(ngx_chat_notify_t *notify,
    ngx_uint_t events, ngx_chat_record_t *record, ngx_str_t *text);
static void ngx_chat_notify_looked_up(void *data, ngx_chat_record_t *record,
    ngx_str_t *text);
static void ngx_chat_notify_resync(ngx_chat_notify_t *notify);
static void ngx_chat_notify_failed(ngx_chat_notify_t *notify,
    ngx_chat_record_t *record);
static void ngx_chat_notify_clock(ngx_chat_notify_t *notify);

static void ngx_chat_notify_remote(void *data, uint32_t user_id,
    ngx_chat_record_t *record);
static void ngx_chat_notify_remote_confirmed(void *data, uint32_t user_id);
static void ngx_chat_notify_remote_resync(void *data);
static void ngx_chat_notify_remote_online(void *data, uint32_t user_id);
static void ngx_chat_notify_resync_handler(ngx_event_t *ev);


ngx_chat_notify_t *
ngx_chat_notify_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_chat_notify_t  *notify;
    ngx_chat_worker_t  *worker;

    notify = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_notify_t));
    if (notify == NULL) {
        return NULL;
    }

    worker = chmcf->worker;

    notify->shared = worker->zone->shared_log;
    notify->wakeup = worker->zone->wakeup;
    notify->generations = worker->zone->generations;
    notify->metrics = worker->metrics;
    notify->presence = worker->presence_zone;
    notify->channels = worker->channels;
    notify->subscribers = worker->subscribers;
    notify->publishers = &chmcf->publishers;
    notify->log = cycle->log;
    notify->time = ngx_time();
    notify->events = chmcf->events;
    notify->strangers = ngx_chat_generation_strangers(notify->generations) > 0;

    notify->lookup = ngx_chat_lookup_create(cycle, chmcf,
                                            ngx_chat_notify_looked_up, notify);
    if (notify->lookup == NULL) {
        return NULL;
    }

    notify->read.handler = ngx_chat_notify_read;
    notify->read.data = notify;
    notify->read.log = cycle->log;

    notify->end.handler = ngx_chat_notify_end;
    notify->end.data = notify;
    notify->end.log = cycle->log;

    notify->poll.handler = ngx_chat_notify_poll;
    notify->poll.data = notify;
    notify->poll.log = cycle->log;
    notify->poll.cancelable = 1;

    notify->retry.handler = ngx_chat_notify_read;
    notify->retry.data = notify;
    notify->retry.log = cycle->log;
    notify->retry.cancelable = 1;

    notify->resync.handler = ngx_chat_notify_resync_handler;
    notify->resync.data = notify;
    notify->resync.log = cycle->log;
    notify->resync.cancelable = 1;

    ngx_chat_reader_start(notify->shared);

    notify->connection = ngx_chat_wakeup_listen(notify->wakeup,
                                                ngx_chat_notify_woken, notify,
                                                cycle->log);

    if (notify->connection == NULL) {
        return NULL;
    }

    /* nginx closes idle connections when a worker begins to exit */

    notify->connection->idle = 1;

    ngx_add_timer(&notify->poll, NGX_CHAT_NOTIFY_POLL);

    if (chmcf->redis.servers.nelts
        && ngx_chat_notify_redis(cycle, chmcf, notify) != NGX_OK)
    {
        return NULL;
    }

    return notify;
}


static ngx_int_t
ngx_chat_notify_redis(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf,
    ngx_chat_notify_t *notify)
{
    ngx_chat_worker_t  *worker;

    worker = chmcf->worker;

    notify->replica = worker->replica;

    notify->handlers.data = notify;
    notify->handlers.record = ngx_chat_notify_remote;
    notify->handlers.subscribed = ngx_chat_notify_remote_confirmed;
    notify->handlers.resync = ngx_chat_notify_remote_resync;
    notify->handlers.online = ngx_chat_notify_remote_online;

    notify->redis = ngx_chat_redis_create(cycle, &chmcf->redis,
                                          &notify->handlers,
                                          worker->zone,
                                          worker->metrics);
    worker->redis = notify->redis;

    return notify->redis ? NGX_OK : NGX_ERROR;
}


/* called when the process exits: nothing is published any more */

static void
ngx_chat_notify_leave(ngx_chat_notify_t *notify)
{
    ngx_chat_reader_end(notify->shared);

    if (notify->connection) {
        ngx_close_connection(notify->connection);
        notify->connection = NULL;
    }

    if (notify->poll.timer_set) {
        ngx_del_timer(&notify->poll);
    }

    if (notify->retry.timer_set) {
        ngx_del_timer(&notify->retry);
    }

    if (notify->resync.timer_set) {
        ngx_del_timer(&notify->resync);
    }

    if (notify->read.posted) {
        ngx_delete_posted_event(&notify->read);
    }
}


void
ngx_chat_notify_exit(ngx_chat_notify_t *notify)
{
    ngx_chat_notify_leave(notify);

    if (notify->redis) {
        ngx_chat_redis_close(notify->redis);
    }
}


void
ngx_chat_notify_message(ngx_chat_notify_t *notify, ngx_chat_record_e kind,
    ngx_chat_message_t *message, ngx_str_t *json)
{
    u_char             text[NGX_CHAT_RECORD_TEXT];
    ngx_chat_record_t  record;

    if (notify == NULL) {
        return;
    }

    record.kind = kind;
    record.sender_id = message->sender_id;
    record.recipient_id = message->recipient_id;
    record.message_id = message->id;
    record.text.data = text;
    record.text.len = 0;

    if (notify->events && json
        && json->len <= sizeof(text) - NGX_CHAT_LOOKUP_EVENT_LEN)
    {
        record.text = ngx_chat_lookup_event(text, kind, json);
    }

    ngx_chat_notify_append(notify, &record);
}


void
ngx_chat_notify_event(ngx_chat_notify_t *notify, ngx_chat_record_e kind,
    uint32_t sender_id, uint32_t recipient_id, ngx_str_t *event)
{
    ngx_chat_record_t  record;

    if (notify == NULL || !notify->events) {
        return;
    }

    record.kind = kind;
    record.sender_id = sender_id;
    record.recipient_id = recipient_id;
    record.message_id = 0;
    record.text = *event;

    ngx_chat_notify_append(notify, &record);
}


static void
ngx_chat_notify_append(ngx_chat_notify_t *notify, ngx_chat_record_t *record)
{
    ngx_chat_shared_log_append(notify->shared, record);
    ngx_chat_notify_wake(notify, record);

    if (notify->redis && record->kind != NGX_CHAT_RECORD_LOCAL) {
        ngx_chat_redis_publish(notify->redis, record);
    }

    ngx_chat_metrics_count(notify->metrics, NGX_CHAT_COUNT_RECORDS);
}


/* this worker is a reader, too */

static void
ngx_chat_notify_wake(ngx_chat_notify_t *notify, ngx_chat_record_t *record)
{
    ngx_int_t  slot;

    slot = -1;

    while (ngx_chat_shared_log_waiting(notify->shared, record, &slot)
           == NGX_OK)
    {
        if (slot == ngx_process_slot) {
            ngx_post_event(&notify->read, &ngx_posted_events);
            continue;
        }

        if (ngx_chat_wakeup(notify->wakeup, slot, notify->log) == NGX_OK) {
            ngx_chat_metrics_count(notify->metrics, NGX_CHAT_COUNT_WAKEUPS);

        } else {
            ngx_chat_shared_log_asleep(notify->shared, slot);
        }
    }
}


static void
ngx_chat_notify_woken(ngx_event_t *ev)
{
    ngx_connection_t   *c;
    ngx_chat_notify_t  *notify;

    c = ev->data;
    notify = c->data;

    if (c->close) {
        ngx_chat_notify_leave(notify);
        ngx_chat_subscribers_leave(notify->subscribers);
        return;
    }

    ngx_chat_wakeup_read(c);

    ngx_chat_notify_read(&notify->read);
}


static void
ngx_chat_notify_poll(ngx_event_t *ev)
{
    ngx_chat_notify_t *notify = ev->data;

    ngx_add_timer(ev, NGX_CHAT_NOTIFY_POLL);

    ngx_chat_notify_read(&notify->read);

    /*
     * Messages that workers with another zone have stored are not in this
     * shared log.  When the last one has exited, clients catch up once.
     */

    if (notify->strangers
        && ngx_chat_generation_strangers(notify->generations) == 0)
    {
        notify->strangers = 0;
        ngx_chat_notify_resync(notify);
    }
}


static void
ngx_chat_notify_read(ngx_event_t *ev)
{
    ngx_chat_notify_t *notify = ev->data;

    ngx_int_t          rc;
    ngx_uint_t         n;
    ngx_chat_record_t  record;

    u_char             text[NGX_CHAT_RECORD_TEXT];

    if (notify->retry.timer_set) {

        /* stopped at a record that is tried again later */

        return;
    }

    ngx_chat_reader_awake(notify->shared);

    if (ngx_exiting || ngx_chat_generation_resized(notify->generations)) {

        /* sockets are being closed; nchan's workers may be others already */

        return;
    }

    if (ngx_chat_channels_number(notify->channels) == 0) {
        ngx_chat_reader_skip(notify->shared);
        return;
    }

    ngx_chat_notify_clock(notify);

    record.text.data = text;

    for (n = 0; n < NGX_CHAT_NOTIFY_BATCH; n++) {

        rc = ngx_chat_reader_get(notify->shared, &record);

        if (rc == NGX_DECLINED) {
            break;
        }

        if (rc == NGX_ABORT) {
            ngx_log_error(NGX_LOG_WARN, notify->log, 0,
                          "chat notifications were overwritten before they "
                          "were sent: closing the sockets of this worker, "
                          "whose clients catch up; increase \"chat_zone\"");

            ngx_chat_metrics_count(notify->metrics, NGX_CHAT_COUNT_OVERRUNS);
            ngx_chat_notify_resync(notify);
            break;
        }

        if (ngx_chat_notify_record(notify, &record) != NGX_OK) {
            ngx_chat_notify_failed(notify, &record);
            break;
        }

        notify->tries = 0;
        ngx_chat_reader_next(notify->shared, &record);
    }

    ngx_chat_notify_end(&notify->end);

    if (n == NGX_CHAT_NOTIFY_BATCH) {
        ngx_post_event(&notify->read, &ngx_posted_next_events);
    }
}


static void
ngx_chat_notify_end(ngx_event_t *ev)
{
    ngx_chat_notify_t *notify = ev->data;

    ngx_uint_t             i;
    ngx_chat_publisher_t  *publisher;

    publisher = notify->publishers->elts;

    for (i = 0; i < notify->publishers->nelts; i++) {
        ngx_chat_publish_end(&publisher[i]);
    }
}


static ngx_int_t
ngx_chat_notify_record(ngx_chat_notify_t *notify, ngx_chat_record_t *record)
{
    u_char     hint[sizeof("{\"message\": \"\"}") + NGX_INT64_LEN];
    ngx_str_t  text;

    if (record->kind == NGX_CHAT_RECORD_MESSAGE) {
        text.data = hint;
        text.len = ngx_sprintf(hint, "{\"message\": \"%uL\"}",
                               record->message_id)
                   - hint;

        if (ngx_chat_notify_publish(notify, 0, record, &text) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!notify->events) {
        return NGX_OK;
    }

    return ngx_chat_notify_publish(notify, 1, record, &record->text);
}


/*
 * Publishes to the channels of both users by each publisher of their groups.
 * An empty text is looked up first.
 */

static ngx_int_t
ngx_chat_notify_publish(ngx_chat_notify_t *notify, ngx_uint_t events,
    ngx_chat_record_t *record, ngx_str_t *text)
{
    u_char                *p;
    u_char                 names[2 * (NGX_CHAT_CHANNEL_LEN + 1)];
    ngx_str_t              list;
    ngx_uint_t             i, k, n;
    ngx_chat_channel_t    *channel;
    ngx_chat_publisher_t  *publisher;

    uint32_t  ids[2] = { record->recipient_id, record->sender_id };

    n = (ids[0] == ids[1] || ids[1] == 0) ? 1 : 2;
    publisher = notify->publishers->elts;

    for (i = 0; i < notify->publishers->nelts; i++) {
        p = names;

        for (k = 0; k < n; k++) {
            channel = ngx_chat_channel_find(notify->channels, events,
                                            publisher[i].group, ids[k]);
            if (channel) {
                p = ngx_sprintf(p, "%V,", &channel->name);
            }
        }

        if (p == names) {
            continue;
        }

        list.data = names;
        list.len = p - 1 - names;

        if (text->len == 0) {
            ngx_chat_lookup(notify->lookup, record);
            return NGX_OK;
        }

        if (ngx_chat_publish(&publisher[i], &list, text, notify->log)
            != NGX_OK)
        {
            ngx_chat_metrics_count(notify->metrics,
                                   NGX_CHAT_COUNT_PUBLISH_FAILED);
            return NGX_ERROR;
        }

        ngx_chat_metrics_count(notify->metrics, NGX_CHAT_COUNT_PUBLISHED);
    }

    return NGX_OK;
}


/* the record may have left the log: if nchan fails, there is a resync */

static void
ngx_chat_notify_looked_up(void *data, ngx_chat_record_t *record,
    ngx_str_t *text)
{
    ngx_chat_notify_t *notify = data;

    if (ngx_exiting || ngx_chat_generation_resized(notify->generations)) {
        return;
    }

    if (ngx_chat_notify_publish(notify, 1, record, text) != NGX_OK) {
        ngx_chat_notify_resync(notify);
    }

    ngx_post_event(&notify->end, &ngx_posted_events);
}


static void
ngx_chat_notify_resync(ngx_chat_notify_t *notify)
{
    ngx_str_t              text = ngx_string(NGX_CHAT_LOOKUP_RESYNC);
    uint32_t               user_id;
    ngx_uint_t             i;
    ngx_chat_channel_t    *channel, *next;
    ngx_chat_publisher_t  *publisher;

    if (ngx_exiting || ngx_chat_generation_resized(notify->generations)) {
        return;
    }

    ngx_chat_subscribers_resync(notify->subscribers, 0);

    publisher = notify->publishers->elts;

    for (i = 0; i < notify->publishers->nelts; i++) {

        for (channel = ngx_chat_channel_next(notify->channels, 1,
                                             publisher[i].group, NULL);
             channel;
             channel = next)
        {
            /* a publish may end the last socket of its own channel */

            user_id = (uint32_t) channel->node.key;
            next = ngx_chat_channel_next(notify->channels, 1,
                                         publisher[i].group, channel);

            if (ngx_chat_publish(&publisher[i], &channel->name, &text,
                                 notify->log)
                == NGX_OK)
            {
                continue;
            }

            channel = ngx_chat_channel_find(notify->channels, 1,
                                            publisher[i].group, user_id);
            if (channel) {
                ngx_chat_subscribers_resync_user(notify->subscribers, channel);
            }
        }

        ngx_chat_publish_end(&publisher[i]);
    }
}


/* the reader stops at the record, or skips all records */

static void
ngx_chat_notify_failed(ngx_chat_notify_t *notify, ngx_chat_record_t *record)
{
    if (notify->tries < NGX_CHAT_NOTIFY_TRIES) {
        ngx_add_timer(&notify->retry, NGX_CHAT_NOTIFY_RETRY << notify->tries);
        notify->tries++;
        return;
    }

    ngx_log_error(NGX_LOG_ERR, notify->log, 0,
                  "chat message %uL could not be published: closing the "
                  "sockets of this worker, whose clients catch up",
                  record->message_id);

    notify->tries = 0;

    ngx_chat_reader_skip(notify->shared);
    ngx_chat_notify_resync(notify);
}


/*
 * nchan orders the messages of a channel by ngx_time().  If the clock has been
 * set back, sockets would miss new messages: they are closed, and their
 * successors get channels with other names.
 */

static void
ngx_chat_notify_clock(ngx_chat_notify_t *notify)
{
    if (ngx_time() < notify->time) {
        ngx_log_error(NGX_LOG_WARN, notify->log, 0,
                      "the clock was set back: closing chat sockets");

        ngx_chat_channels_rename(notify->channels);
        ngx_chat_subscribers_resync(notify->subscribers, 1);
    }

    notify->time = ngx_time();
}


/*
 * A record of another host, for one of its users.  There is no log in which it
 * could wait: if nchan fails, the sockets of this worker get a resync.
 */

static void
ngx_chat_notify_remote(void *data, uint32_t user_id, ngx_chat_record_t *record)
{
    ngx_chat_notify_t *notify = data;

    ngx_chat_record_t  one;

    if (ngx_exiting || ngx_chat_generation_resized(notify->generations)) {
        return;
    }

    ngx_chat_notify_clock(notify);

    /* before the notification, which causes reads */
    ngx_chat_replica_write(notify->replica, user_id);

    one = *record;
    one.sender_id = 0;
    one.recipient_id = user_id;

    if (ngx_chat_notify_record(notify, &one) != NGX_OK) {
        ngx_chat_notify_resync(notify);
    }

    ngx_post_event(&notify->end, &ngx_posted_events);
}


static void
ngx_chat_notify_remote_confirmed(void *data, uint32_t user_id)
{
    ngx_chat_notify_t  *notify = data;

    ngx_uint_t           i;
    ngx_chat_channel_t  *channel;

    /* hints and events of each group */

    for (i = 0; i < 2 * ngx_chat_channels_groups(notify->channels); i++) {
        channel = ngx_chat_channel_find(notify->channels, i % 2, i / 2,
                                        user_id);
        if (channel) {
            ngx_chat_subscribers_confirm(notify->subscribers, channel);
        }
    }
}


static void
ngx_chat_notify_remote_resync(void *data)
{
    ngx_chat_notify_t *notify = data;

    if (!notify->resync.timer_set) {
        ngx_add_timer(&notify->resync,
                      (ngx_msec_t) ngx_random() % NGX_CHAT_NOTIFY_RESYNC);
    }
}


static void
ngx_chat_notify_remote_online(void *data, uint32_t user_id)
{
    ngx_chat_notify_t *notify = data;

    ngx_chat_presence_zone_report(notify->presence, user_id, 1);
}


static void
ngx_chat_notify_resync_handler(ngx_event_t *ev)
{
    ngx_chat_notify_resync(ev->data);
}
