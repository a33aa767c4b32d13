
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REDIS_LINK_H_INCLUDED_
#define _NGX_CHAT_REDIS_LINK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include "src/core/ngx_chat_metrics.h"
#include "src/http/ngx_chat_redis_conf.h"
#include "src/push/ngx_chat_resp.h"


/*
 * A connection to one of the Redis servers.  It connects, authenticates, sends
 * a PING each second, and reconnects to the next server after a failure.  Its
 * states:
 *
 *   CLOSED -> CONNECTING -> GREETING -> READY -> CLOSED
 *
 * Commands are queued in READY only.  A link that is lost forgets them.
 */


typedef enum {
    NGX_CHAT_REDIS_CLOSED = 0,
    NGX_CHAT_REDIS_CONNECTING,            /* including TLS */
    NGX_CHAT_REDIS_GREETING,              /* AUTH and the first PING are sent */
    NGX_CHAT_REDIS_READY
} ngx_chat_redis_state_e;


/*
 * The handlers are called from the event loop only.  "ready" and "lost" report
 * the changes of READY.  "reply" receives all replies but those to PING, and
 * returns NGX_ERROR if the link must be closed.  "sent" reports that there is
 * room in the queue again.
 */

typedef struct {
    void       (*ready)(void *data);
    void       (*lost)(void *data);
    ngx_int_t  (*reply)(void *data, ngx_chat_resp_t *resp);
    void       (*sent)(void *data);
} ngx_chat_redis_link_handlers_t;


typedef struct {
    const ngx_chat_redis_conf_t           *conf;
    const ngx_chat_redis_link_handlers_t  *handlers;
    void                                  *data;       /* of the handlers */
    const char                            *title;      /* in the error log */
    ngx_chat_metrics_t                    *metrics;
    ngx_log_t                             *log;

    ngx_peer_connection_t       peer;
    ngx_pool_t                 *pool;          /* of the connection */
    ngx_event_t                 timer;         /* to connect, time-out, PING */
    ngx_chat_redis_state_e      state;
    ngx_uint_t                  server;        /* index in conf->servers */
    ngx_uint_t                  failures;      /* in a row */
    ngx_uint_t                  silent;        /* seconds without a reply */
    ngx_uint_t                  greetings;     /* replies due in GREETING */

    size_t                      queue;         /* size of out, bytes */
    ngx_buf_t                   out;           /* start is NULL if closed */
    ngx_buf_t                   in;

    unsigned                    leave:1;       /* closes as soon as the worker
                                                  begins to exit */
    unsigned                    stable:1;      /* for a second */
} ngx_chat_redis_link_t;


/* begins to connect; conf, handlers, data, title, metrics, log, queue, leave
   are set, and all other members are zero */
void ngx_chat_redis_link_start(ngx_chat_redis_link_t *link);

/*
 * Queues a command, which is sent at the end of the iteration of the event
 * loop.  Returns NGX_DECLINED if the link is not ready or the queue is full.
 */
ngx_int_t ngx_chat_redis_link_send(ngx_chat_redis_link_t *link,
    const ngx_str_t *args, ngx_uint_t n);

/* closes the link for good, without a call of "lost" */
void ngx_chat_redis_link_end(ngx_chat_redis_link_t *link);


#endif /* _NGX_CHAT_REDIS_LINK_H_INCLUDED_ */
