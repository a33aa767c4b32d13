
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_db_queue.h"
#include "src/db/ngx_chat_db_types.h"


#define NGX_CHAT_DB_BACKOFF      100      /* ms, doubled by each failure */
#define NGX_CHAT_DB_MAX_BACKOFF  2000     /* ms */
#define NGX_CHAT_DB_FULL         1000     /* time without a response until
                                             failover from a server with too
                                             many connections, ms */


static ngx_uint_t ngx_chat_db_working(ngx_chat_db_conn_t *conn,
    ngx_uint_t errcode);
static void ngx_chat_db_log_unfit(ngx_chat_db_t *db, ngx_uint_t errcode,
    const char *reason);


/*
 * If the missing data is older than the usual lag, or data has been missing for
 * a while, other jobs would meet the same lag.  The replica is then suspended,
 * at first for a moment.  If the lag persists, another replica is tried.
 */


#define NGX_CHAT_DB_SLIGHT_LAG   1000     /* usual lag, ms */
#define NGX_CHAT_DB_LONG_LAG     3000     /* lag until failover, ms */
#define NGX_CHAT_DB_LAG_OVER     10000    /* pause that ends a lag, ms */
#define NGX_CHAT_DB_SUSPEND      100      /* ms, doubled each time */
#define NGX_CHAT_DB_MAX_SUSPEND  2000     /* ms */


static void ngx_chat_db_suspend(ngx_chat_db_t *db);
static void ngx_chat_db_lags_long(ngx_chat_db_t *db, ngx_uint_t server);


/* time for which a failed server is not used if there is another one, ms */
#define NGX_CHAT_DB_SERVER_REST  2000


static ngx_uint_t ngx_chat_db_servers_next(ngx_chat_db_servers_t *servers,
    ngx_uint_t n, ngx_uint_t *rested);


ngx_chat_db_event_e
ngx_chat_db_open(ngx_chat_db_conn_t *conn)
{
    conn->db->opening++;

    return ngx_chat_db_conn_open(conn, conn->db->servers.current);
}


void
ngx_chat_db_opened(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    (void) ngx_chat_db_servers_switch(&db->servers);

    if (conn->server != db->servers.current) {
        ngx_chat_db_close(conn);
        return;
    }

    ngx_chat_db_servers_answered(&db->servers, conn->server);

    if (db->unfit_logged) {
        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "chat: the %s is available again", db->role->title);
        db->unfit_logged = 0;
    }

    db->backoff = 0;

    conn->since = ngx_current_msec;

    db->opening--;
    db->connected++;

    ngx_chat_db_count(db, db->role->opened);

    ngx_chat_db_idle(conn);
}


void
ngx_chat_db_unfit(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    ngx_chat_db_count(db, db->role->unfit);

    if (!ngx_chat_db_working(conn, errcode)
        && ngx_chat_db_failover(conn, errcode, reason, 1) == NGX_OK)
    {
        ngx_chat_db_close(conn);
        return;
    }

    ngx_chat_db_log_unfit(db, errcode, reason);

    db->backoff = db->backoff ? ngx_min(db->backoff * 2,
                                        NGX_CHAT_DB_MAX_BACKOFF)
                              : NGX_CHAT_DB_BACKOFF;

    db->retry_at = ngx_current_msec + db->backoff;

    if (db->retry.timer_set) {
        ngx_del_timer(&db->retry);
    }

    ngx_add_timer(&db->retry, db->backoff);

    ngx_chat_db_close(conn);
}


/*
 * Tests if other connections, of any worker, still work with the server.  A
 * server that accepts no more connections rejects them sooner than it answers
 * others; and the accepted connections may have been idle for a while.
 */

static ngx_uint_t
ngx_chat_db_working(ngx_chat_db_conn_t *conn, ngx_uint_t errcode)
{
    ngx_uint_t      full;
    ngx_msec_t      since;
    ngx_chat_db_t  *db;

    db = conn->db;
    full = (ngx_chat_db_error(errcode)->action == NGX_CHAT_DB_UNFIT);

    if (full && db->connected) {
        return 1;
    }

    since = full ? conn->begin - NGX_CHAT_DB_FULL : conn->begin;

    return ngx_chat_db_servers_answering(&db->servers, conn->server, since);
}


/*
 * Logs a reason once, not for each attempt.  The text of an error number may
 * vary.
 */

static void
ngx_chat_db_log_unfit(ngx_chat_db_t *db, ngx_uint_t errcode,
    const char *reason)
{
    ngx_uint_t  level;

    level = (db->unfit_logged && db->errcode == errcode
             && (errcode
                 || ngx_strncmp(db->reason, reason, NGX_CHAT_DB_REASON - 1)
                    == 0))
            ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, db->log, 0,
                  "chat: the %s is unavailable: %s, error %ui",
                  db->role->title, reason, errcode);

    db->errcode = errcode;
    db->unfit_logged = 1;
    ngx_cpystrn(db->reason, (u_char *) reason, NGX_CHAT_DB_REASON);
}


void
ngx_chat_db_idle(ngx_chat_db_conn_t *conn)
{
    if (ngx_chat_db_conn_idle(conn) != NGX_OK) {
        ngx_chat_db_close(conn);
    }
}


void
ngx_chat_db_close(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    if (conn->state == NGX_CHAT_DB_CONNECTING
        || conn->state == NGX_CHAT_DB_SETUP)
    {
        db->opening--;

    } else {
        db->connected--;

        if (db->connected == 0) {
            /* a rejected connection does not predict the next one */
            db->backoff = 0;
        }

        if (!ngx_exiting && !ngx_terminate && !ngx_quit) {
            ngx_chat_db_count(db, db->role->lost);
        }
    }

    ngx_chat_db_conn_close(conn);
}


ngx_uint_t
ngx_chat_db_backing_off(ngx_chat_db_t *db)
{
    return db->backoff
           && (ngx_msec_int_t) (db->retry_at - ngx_current_msec) > 0;
}


ngx_int_t
ngx_chat_db_failover(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason, ngx_uint_t anyway)
{
    ngx_uint_t      left;
    ngx_chat_db_t  *db;

    db = conn->db;
    left = (conn->server != db->servers.current);

    if (ngx_chat_db_servers_failover(&db->servers, conn->server, anyway)
        != NGX_OK)
    {
        if (conn->server != db->servers.current) {

            /* all have failed recently: the next one is tried after a pause */

            ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                          "chat: using %s server \"%V\"",
                          db->role->title,
                          ngx_chat_db_server_name(db, db->servers.current));
        }

        return NGX_DECLINED;
    }

    if (left) {
        /* logged by the connection that left it */
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, db->log, 0,
                  "chat: failover from %s server \"%V\" to \"%V\": "
                  "%s, error %ui",
                  db->role->title,
                  ngx_chat_db_server_name(db, conn->server),
                  ngx_chat_db_server_name(db, db->servers.current),
                  reason, errcode);

    ngx_chat_db_switched(db);

    return NGX_OK;
}


/*
 * Failures of the previous server do not delay a connection to this one.  If
 * this worker has seen it fail recently, the backoff remains, because workers
 * could otherwise change servers without pause while all are down.
 */

void
ngx_chat_db_switched(ngx_chat_db_t *db)
{
    db->retry_at = ngx_current_msec;

    if (ngx_chat_db_servers_rested(&db->servers, db->servers.current)) {
        db->backoff = 0;
    }
}


ngx_str_t *
ngx_chat_db_server_name(ngx_chat_db_t *db, ngx_uint_t n)
{
    ngx_chat_db_server_t  *server;

    server = db->conf->servers.elts;

    return &server[n].name;
}


/* packets in flight end by themselves: the old server is down or read-only */

void
ngx_chat_db_switch(ngx_chat_db_t *db)
{
    ngx_uint_t  i;

    if (db->conf->servers.nelts == 1) {
        return;
    }

    if (ngx_chat_db_servers_switch(&db->servers) == NGX_OK) {

        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "chat: using %s server \"%V\"",
                      db->role->title,
                      ngx_chat_db_server_name(db, db->servers.current));

        ngx_chat_db_switched(db);
    }

    for (i = 0; i < db->conf->connections; i++) {
        if (db->conns[i].state == NGX_CHAT_DB_IDLE
            && db->conns[i].server != db->servers.current)
        {
            ngx_chat_db_close(&db->conns[i]);
        }
    }
}


void
ngx_chat_db_lags(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    if (!db->lag || ngx_current_msec - db->lag_last > NGX_CHAT_DB_LAG_OVER) {
        db->lag = 1;
        db->lag_since = ngx_current_msec;
    }

    db->lag_last = ngx_current_msec;
    db->lag_now = 1;

    ngx_chat_db_finish(conn, NGX_BUSY, 0);

    /* guard_time may be slightly later than the time of this worker */

    if ((ngx_msec_int_t) (ngx_current_msec - conn->guard_time)
        >= NGX_CHAT_DB_SLIGHT_LAG
        || ngx_current_msec - db->lag_since >= NGX_CHAT_DB_SLIGHT_LAG)
    {
        ngx_chat_db_suspend(db);
    }

    db->lag_now = 0;

    ngx_chat_db_idle(conn);

    if (ngx_current_msec - db->lag_since >= NGX_CHAT_DB_LONG_LAG) {
        ngx_chat_db_lags_long(db, conn->server);
    }
}


static void
ngx_chat_db_suspend(ngx_chat_db_t *db)
{
    if (db->suspended == 0) {
        db->suspended = NGX_CHAT_DB_SUSPEND;

    } else if (!ngx_chat_db_suspended(db)) {
        db->suspended = ngx_min(db->suspended * 2, NGX_CHAT_DB_MAX_SUSPEND);
    }

    db->suspended_until = ngx_current_msec + db->suspended;

    ngx_chat_db_refuse_waiting(db);
}


static void
ngx_chat_db_lags_long(ngx_chat_db_t *db, ngx_uint_t server)
{
    ngx_uint_t  level;

    level = db->lag_logged ? NGX_LOG_INFO : NGX_LOG_WARN;

    ngx_log_error(level, db->log, 0,
                  "chat: the replica \"%V\" lags, reads use the primary",
                  ngx_chat_db_server_name(db, server));

    db->lag_logged = 1;

    if (ngx_chat_db_servers_failover(&db->servers, server, 0) == NGX_OK) {
        db->lag = 0;
        db->suspended = 0;

        ngx_chat_db_switched(db);
    }
}


void
ngx_chat_db_caught_up(ngx_chat_db_t *db)
{
    if (db->lag_logged) {
        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "chat: the replica has caught up");
    }

    db->lag = 0;
    db->lag_logged = 0;
    db->suspended = 0;
}


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

    /* keep the choice of an earlier list if this one contains the server */

    server = list->elts;
    key = choice->current;

    for (i = 0; i < list->nelts; i++) {
        if (server[i].key == key) {
            servers->current = i;
            return NGX_OK;
        }
    }

    (void) ngx_atomic_cmp_set(&choice->current, key, server[0].key);
    (void) ngx_chat_db_servers_switch(servers);

    return NGX_OK;
}


ngx_int_t
ngx_chat_db_servers_switch(ngx_chat_db_servers_t *servers)
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

    /* workers of a newer configuration use a server that is not in this list */

    return NGX_DECLINED;
}


ngx_int_t
ngx_chat_db_servers_failover(ngx_chat_db_servers_t *servers, ngx_uint_t n,
    ngx_uint_t anyway)
{
    ngx_uint_t             next, rested;
    ngx_chat_db_server_t  *server;

    if (servers->list->nelts == 1) {
        return NGX_DECLINED;
    }

    /* 0 means never */

    servers->failed[n] = ngx_current_msec ? ngx_current_msec : 1;

    if (ngx_chat_db_servers_switch(servers) == NGX_OK
        || servers->current != n)
    {
        /* another worker or connection has left it before */
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
        /* another worker was faster, or a newer configuration is in use */

        if (ngx_chat_db_servers_switch(servers) == NGX_OK) {
            return NGX_OK;
        }

    } else {
        /* the time was that of the previous server */
        servers->choice->answered = 0;
    }

    servers->current = next;

    return rested ? NGX_OK : NGX_DECLINED;
}


/* searches from the start of the list, so that hosts find the same server */

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
