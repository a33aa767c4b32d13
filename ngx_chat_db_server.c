
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_db_server.h"


/* ms: one that has failed is not tried again while another can be */
#define NGX_CHAT_DB_SERVER_REST  2000


static ngx_uint_t ngx_chat_db_servers_next(ngx_chat_db_servers_t *servers,
    ngx_uint_t n, ngx_uint_t *rested);


ngx_int_t
ngx_chat_db_servers_init(ngx_chat_db_servers_t *servers, ngx_pool_t *pool,
    ngx_array_t *list, ngx_chat_db_choice_t *choice)
{
    ngx_uint_t             i;
    ngx_atomic_uint_t      key;
    ngx_chat_db_server_t  *server;

    if (choice == NULL) {
        choice = ngx_pcalloc(pool, sizeof(ngx_chat_db_choice_t));
        if (choice == NULL) {
            return NGX_ERROR;
        }
    }

    servers->failed = ngx_pcalloc(pool, list->nelts * sizeof(ngx_msec_t));
    if (servers->failed == NULL) {
        return NGX_ERROR;
    }

    servers->list = list;
    servers->choice = choice;

    /* what an earlier list has chosen holds if it is in this one, too */

    server = list->elts;
    key = choice->current;

    for (i = 0; i < list->nelts; i++) {
        if (server[i].key == key) {
            servers->current = i;
            return NGX_OK;
        }
    }

    (void) ngx_atomic_cmp_set(&choice->current, key, server[0].key);
    (void) ngx_chat_db_servers_follow(servers);

    return NGX_OK;
}


ngx_int_t
ngx_chat_db_servers_follow(ngx_chat_db_servers_t *servers)
{
    ngx_uint_t             i;
    ngx_atomic_uint_t      key;
    ngx_chat_db_server_t  *server;

    server = servers->list->elts;
    key = servers->choice->current;

    if (server[servers->current].key == key) {
        return NGX_DECLINED;
    }

    for (i = 0; i < servers->list->nelts; i++) {
        if (server[i].key == key) {
            servers->current = i;
            return NGX_OK;
        }
    }

    /* a newer configuration has chosen one that this one does not have */

    return NGX_DECLINED;
}


ngx_int_t
ngx_chat_db_servers_leave(ngx_chat_db_servers_t *servers, ngx_uint_t n,
    ngx_uint_t anyway)
{
    ngx_uint_t             next, rested;
    ngx_chat_db_server_t  *server;

    if (servers->list->nelts == 1) {
        return NGX_DECLINED;
    }

    /* 0 means never */

    servers->failed[n] = ngx_current_msec ? ngx_current_msec : 1;

    if (ngx_chat_db_servers_follow(servers) == NGX_OK
        || servers->current != n)
    {
        /* somebody has left it before */
        return NGX_OK;
    }

    next = ngx_chat_db_servers_next(servers, n, &rested);

    if (!rested && !anyway) {
        return NGX_DECLINED;
    }

    server = servers->list->elts;

    if (!ngx_atomic_cmp_set(&servers->choice->current, server[n].key,
                            server[next].key))
    {
        /* somebody else was faster, or the zone is a newer configuration's */

        if (ngx_chat_db_servers_follow(servers) == NGX_OK) {
            return NGX_OK;
        }

    } else {
        /* that was the other one */
        servers->choice->answered = 0;
    }

    servers->current = next;

    return rested ? NGX_OK : NGX_DECLINED;
}


/* from the beginning of the list, so that all hosts come to the same */

static ngx_uint_t
ngx_chat_db_servers_next(ngx_chat_db_servers_t *servers, ngx_uint_t n,
    ngx_uint_t *rested)
{
    ngx_uint_t  i, next;
    ngx_msec_t  ago, most;

    next = n;
    most = 0;
    *rested = 1;

    for (i = 0; i < servers->list->nelts; i++) {

        if (i == n) {
            continue;
        }

        if (ngx_chat_db_servers_rested(servers, i)) {
            return i;
        }

        ago = ngx_current_msec - servers->failed[i];

        if (next == n || ago > most) {
            next = i;
            most = ago;
        }
    }

    *rested = 0;

    return next;
}


ngx_uint_t
ngx_chat_db_servers_rested(ngx_chat_db_servers_t *servers, ngx_uint_t n)
{
    return servers->failed[n] == 0
           || ngx_current_msec - servers->failed[n] >= NGX_CHAT_DB_SERVER_REST;
}


void
ngx_chat_db_servers_answered(ngx_chat_db_servers_t *servers, ngx_uint_t n)
{
    if (n == servers->current) {
        servers->choice->answered = ngx_current_msec;
    }
}


ngx_uint_t
ngx_chat_db_servers_answering(ngx_chat_db_servers_t *servers, ngx_uint_t n,
    ngx_msec_t since)
{
    ngx_chat_db_server_t  *server;

    server = servers->list->elts;

    return servers->choice->current == server[n].key
           && (ngx_msec_int_t) (servers->choice->answered - since) > 0;
}
