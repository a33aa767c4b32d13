
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/push/ngx_chat_redis.h"
#include "src/push/ngx_chat_wait.h"


#define NGX_CHAT_WAIT_TIMEOUT  1000           /* ms */


static void ngx_chat_wait_handler(ngx_event_t *ev);


ngx_int_t
ngx_chat_wait(ngx_chat_wait_t *wait, ngx_chat_redis_t *redis,
    ngx_http_request_t *r, uint32_t user_id)
{
    ngx_int_t  rc;

    if (redis == NULL) {
        return NGX_OK;
    }

    rc = ngx_chat_redis_subscribe(redis, user_id);

    if (rc != NGX_AGAIN) {
        return rc;
    }

    wait->request = r;
    wait->waiting = 1;

    wait->event.handler = ngx_chat_wait_handler;
    wait->event.data = wait;
    wait->event.log = r->connection->log;

    ngx_add_timer(&wait->event, NGX_CHAT_WAIT_TIMEOUT);

    r->connection->log->action = "subscribing with Redis";
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/* posted, because the phases may end the request and others of its user */

ngx_int_t
ngx_chat_wait_confirm(ngx_chat_wait_t *wait)
{
    if (wait->event.timer_set) {
        ngx_del_timer(&wait->event);
        ngx_post_event(&wait->event, &ngx_posted_events);
        return NGX_OK;
    }

    if (wait->late) {
        wait->late = 0;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_chat_wait_handler(ngx_event_t *ev)
{
    ngx_chat_wait_t *wait = ev->data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = wait->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "chat subscriber waited, timed out:%d", ev->timedout);

    wait->waiting = 0;
    wait->late = ev->timedout;

    c->log->action = NULL;
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);

    ngx_http_run_posted_requests(c);
}


void
ngx_chat_wait_end(ngx_chat_wait_t *wait)
{
    if (wait->event.timer_set) {
        ngx_del_timer(&wait->event);
    }

    if (wait->event.posted) {
        ngx_delete_posted_event(&wait->event);
    }
}
