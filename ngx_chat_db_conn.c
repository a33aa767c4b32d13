
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_db.h"
#include "ngx_chat_db_conn.h"
#include "ngx_chat_db_statement.h"
#include "ngx_chat_mysql.h"


#define NGX_CHAT_DB_BACKOFF      100      /* ms, doubles with each failure */
#define NGX_CHAT_DB_MAX_BACKOFF  2000
#define NGX_CHAT_DB_FULL         1000     /* ms, full for all: it is left */
#define NGX_CHAT_DB_SLIGHT_LAG   1000     /* ms, no replica is without */
#define NGX_CHAT_DB_LONG_LAG     3000     /* ms, then another is tried */
#define NGX_CHAT_DB_LAG_OVER     10000    /* ms without news of it */
#define NGX_CHAT_DB_STALE_AGE    1000     /* ms, of a connection */
#define NGX_CHAT_DB_TROUBLE      1000     /* ms without it, then it is over */
#define NGX_CHAT_DB_MAX_TEXT     65536    /* what an idle connection keeps */


static void ngx_chat_db_run(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_class_t *class, ngx_chat_db_state_e state);
static ngx_int_t ngx_chat_db_query(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_process(ngx_chat_db_conn_t *conn, ngx_int_t rc);
static void ngx_chat_db_read_result(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_connected(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_fit(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_complete(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_lags(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_lags_long(ngx_chat_db_t *db, ngx_uint_t server);
static void ngx_chat_db_caught_up(ngx_chat_db_t *db);
static void ngx_chat_db_failed(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_log_error(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text);
static void ngx_chat_db_log_trouble(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text);
static void ngx_chat_db_trouble_over(ngx_chat_db_lane_t *lane);
static void ngx_chat_db_build_rollback(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_db_idle(ngx_chat_db_conn_t *conn);
static void ngx_chat_db_unfit(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason);

static void ngx_chat_db_timeout_handler(ngx_event_t *ev);
static void ngx_chat_db_ready_handler(ngx_event_t *ev);
static void ngx_chat_db_event_handler(ngx_event_t *ev);
static ngx_uint_t ngx_chat_db_readable(ngx_connection_t *c);
static ngx_int_t ngx_chat_db_watch(ngx_chat_db_conn_t *conn, ngx_uint_t wait);
static void ngx_chat_db_unwatch(ngx_chat_db_conn_t *conn);


static const ngx_chat_db_class_t  ngx_chat_db_rollback = {
    .name = ngx_string("rollback"),
    .batch = 1,
    .build = ngx_chat_db_build_rollback
};


void
ngx_chat_db_conn_init(ngx_chat_db_conn_t *conn, ngx_chat_db_t *db)
{
    conn->db = db;
    conn->ident = (ngx_socket_t) -1;

    conn->timer.handler = ngx_chat_db_timeout_handler;
    conn->timer.data = conn;
    conn->timer.log = db->log;

    conn->ready.handler = ngx_chat_db_ready_handler;
    conn->ready.data = conn;
    conn->ready.log = db->log;
}


void
ngx_chat_db_connect(ngx_chat_db_conn_t *conn)
{
    ngx_int_t              rc;
    ngx_chat_db_t         *db;
    ngx_chat_db_server_t  *server;

    db = conn->db;

    conn->server = db->servers.current;
    conn->begin = ngx_current_msec;
    conn->stepwise = 0;

    server = db->conf->servers.elts;
    server += conn->server;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, db->log, 0, "chat db connect \"%V\"",
                   &server->name);

    rc = ngx_chat_mysql_connect(&conn->my, db->conf, server, &conn->ready,
                                db->log);

    conn->state = NGX_CHAT_DB_CONNECTING;
    db->opening++;

    if (conn->my == NULL) {
        ngx_chat_db_unfit(conn, 0, "no memory");
        return;
    }

    ngx_add_timer(&conn->timer, db->conf->connect_timeout);

    ngx_chat_db_process(conn, rc);
}


void
ngx_chat_db_send(ngx_chat_db_conn_t *conn, const ngx_chat_db_class_t *class)
{
    ngx_add_timer(&conn->timer, ngx_chat_db_timeout(conn->db));

    ngx_chat_db_run(conn, class, NGX_CHAT_DB_BUSY);
}


static void
ngx_chat_db_run(ngx_chat_db_conn_t *conn, const ngx_chat_db_class_t *class,
    ngx_chat_db_state_e state)
{
    ngx_chat_db_text_t  *text;

    conn->state = state;
    conn->class = class;
    conn->failed = 0;
    conn->guarded = 0;
    conn->lagging = 0;
    conn->result.statement = 0;

    text = &conn->text;
    text->pos = text->start;
    text->error = 0;

    if (conn->db->guard != NULL && state == NGX_CHAT_DB_BUSY) {
        conn->guarded = 1;
        conn->needed = conn->db->guard->build(text, conn->jobs, conn->njobs,
                                              conn->db->guard->data);
    }

    class->build(text, conn->jobs, conn->njobs);

    if (text->error) {
        if (state == NGX_CHAT_DB_SETUP) {
            ngx_chat_db_unfit(conn, 0, "no memory");
            return;
        }

        ngx_chat_db_finish(conn, NGX_ERROR, 0);
        ngx_chat_db_close(conn);
        return;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_EVENT, conn->db->log, 0,
                   "chat db packet \"%V\" jobs:%ui size:%uz",
                   &class->name, conn->njobs, text->pos - text->start);

    conn->sent = 0;

    ngx_chat_db_process(conn, ngx_chat_db_query(conn));
}


/*
 * What is to be sent next of the packet: all of it, as a rule.  The error of a
 * transaction that is taken back between two statements reaches nobody, if they
 * came together.
 */

static ngx_int_t
ngx_chat_db_query(ngx_chat_db_conn_t *conn)
{
    u_char              *start, *last;
    ngx_chat_db_text_t  *text;

    text = &conn->text;
    start = text->start + conn->sent;
    last = text->pos;

    if (conn->stepwise && conn->class->transaction) {
        last = ngx_chat_db_statement_end(start, last);
    }

    /* a semicolon, or the end */
    conn->sent = ngx_min(last + 1, text->pos) - text->start;
    conn->reading = 0;

    return ngx_chat_mysql_query(conn->my, start, last - start);
}


/* takes the connection as far as it goes without waiting */

static void
ngx_chat_db_process(ngx_chat_db_conn_t *conn, ngx_int_t rc)
{
    for ( ;; ) {

        if (rc == NGX_AGAIN) {
            rc = ngx_chat_db_watch(conn, ngx_chat_mysql_wait(conn->my));
            if (rc == NGX_OK) {
                return;
            }
        }

        if (rc == NGX_ERROR) {
            ngx_chat_db_failed(conn);
            return;
        }

        if (rc == NGX_DONE) {

            if (conn->text.start + conn->sent == conn->text.pos) {
                ngx_chat_db_complete(conn);
                return;
            }

            rc = ngx_chat_db_query(conn);
            continue;
        }

        /* rc == NGX_OK */

        if (conn->state == NGX_CHAT_DB_CONNECTING) {
            ngx_chat_db_connected(conn);
            return;
        }

        if (conn->reading) {
            ngx_chat_db_read_result(conn);
        }

        conn->reading = 1;

        rc = ngx_chat_mysql_result(conn->my, &conn->result);
    }
}


static void
ngx_chat_db_read_result(ngx_chat_db_conn_t *conn)
{
    ngx_int_t                   rc;
    const ngx_chat_db_class_t  *class;

    class = conn->class;

    if (conn->guarded) {

        /* it comes before what the class counts */

        conn->guarded = 0;
        conn->lagging = (conn->db->guard->result(&conn->result) != NGX_OK);
        conn->failed = conn->lagging;

        ngx_chat_mysql_free_result(conn->my, &conn->result);
        return;
    }

    /* after a failure the rest is read for the connection's sake only */

    if (class->result != NULL && !conn->failed) {
        rc = class->result(&conn->result, conn->jobs, conn->njobs);

        conn->failed = (rc != NGX_OK && rc != NGX_AGAIN);
        conn->stepwise |= (rc == NGX_AGAIN);
    }

    ngx_chat_mysql_free_result(conn->my, &conn->result);

    conn->result.statement++;
}


static void
ngx_chat_db_connected(ngx_chat_db_conn_t *conn)
{
    if (conn->db->setup != NULL) {
        ngx_chat_db_run(conn, conn->db->setup, NGX_CHAT_DB_SETUP);
        return;
    }

    ngx_chat_db_fit(conn);
}


/* the server lets us work: the connection is ready for packets */

static void
ngx_chat_db_fit(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    (void) ngx_chat_db_servers_follow(&db->servers);

    if (conn->server != db->servers.current) {
        ngx_chat_db_close(conn);
        return;
    }

    ngx_chat_db_servers_answered(&db->servers, conn->server);

    if (db->away_told) {
        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "chat: the %s is back", ngx_chat_db_title(db));
        db->away_told = 0;
    }

    db->backoff = 0;

    conn->since = ngx_current_msec;

    db->opening--;
    db->connected++;

    ngx_chat_db_count(db, NGX_CHAT_COUNT_DB_CONNECTED);

    ngx_chat_db_idle(conn);
}


/* all results of a packet are read */

static void
ngx_chat_db_complete(ngx_chat_db_conn_t *conn)
{
    if (conn->state == NGX_CHAT_DB_SETUP) {
        if (conn->failed) {
            ngx_chat_db_unfit(conn, 0, (char *) conn->result.reason);
            return;
        }

        ngx_chat_db_fit(conn);
        return;
    }

    if (conn->lane != NULL) {
        ngx_chat_db_trouble_over(conn->lane);
    }

    ngx_chat_db_servers_answered(&conn->db->servers, conn->server);

    if (conn->lagging) {
        ngx_chat_db_lags(conn);
        return;
    }

    if (conn->db->lags || conn->db->lag_told) {
        ngx_chat_db_caught_up(conn->db);
    }

    ngx_chat_db_finish(conn, conn->failed ? NGX_ERROR : NGX_OK, 0);
    ngx_chat_db_idle(conn);
}


/*
 * The replica lacks something that these jobs need.  If that is older than lag
 * is as a rule, or has been so for a while, others would fare no better: it is
 * left alone, at first for a moment, and when this goes on another one is
 * tried, if there is one.
 */

static void
ngx_chat_db_lags(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    if (!db->lags || ngx_current_msec - db->lagged_at > NGX_CHAT_DB_LAG_OVER) {
        db->lags = 1;
        db->lags_since = ngx_current_msec;
    }

    db->lagged_at = ngx_current_msec;
    db->lagging = 1;

    ngx_chat_db_finish(conn, NGX_BUSY, 0);

    /* "needed" may be another worker's time, a little later than ours */

    if ((ngx_msec_int_t) (ngx_current_msec - conn->needed)
        >= NGX_CHAT_DB_SLIGHT_LAG
        || ngx_current_msec - db->lags_since >= NGX_CHAT_DB_SLIGHT_LAG)
    {
        if (db->rest == 0) {
            db->rest = NGX_CHAT_DB_BACKOFF;

        } else if ((ngx_msec_int_t) (db->rest_until - ngx_current_msec) <= 0) {
            db->rest = ngx_min(db->rest * 2, NGX_CHAT_DB_MAX_BACKOFF);
        }

        db->rest_until = ngx_current_msec + db->rest;

        ngx_chat_db_refuse_waiting(db);
    }

    db->lagging = 0;

    ngx_chat_db_idle(conn);

    if (ngx_current_msec - db->lags_since >= NGX_CHAT_DB_LONG_LAG) {
        ngx_chat_db_lags_long(db, conn->server);
    }
}


static void
ngx_chat_db_lags_long(ngx_chat_db_t *db, ngx_uint_t server)
{
    ngx_uint_t  level;

    level = db->lag_told ? NGX_LOG_INFO : NGX_LOG_WARN;

    ngx_log_error(level, db->log, 0,
                  "chat: the replica \"%V\" lags, the database does its work",
                  ngx_chat_db_server_name(db, server));

    db->lag_told = 1;

    if (ngx_chat_db_servers_leave(&db->servers, server, 0) == NGX_OK) {
        db->lags = 0;
        db->rest = 0;

        ngx_chat_db_moved(db);
    }
}


static void
ngx_chat_db_caught_up(ngx_chat_db_t *db)
{
    if (db->lag_told) {
        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "chat: the replica has caught up");
    }

    db->lags = 0;
    db->lag_told = 0;
    db->rest = 0;
}


static void
ngx_chat_db_failed(ngx_chat_db_conn_t *conn)
{
    ngx_uint_t                  code, stale;
    const char                 *text;
    ngx_chat_db_action_e        action;
    const ngx_chat_db_class_t  *class;
    const ngx_chat_db_error_t  *error;

    code = ngx_chat_mysql_errno(conn->my);
    text = code ? ngx_chat_mysql_error(conn->my) : "nginx is out of resources";

    if (conn->state == NGX_CHAT_DB_CONNECTING) {
        ngx_chat_db_unfit(conn, code, text);
        return;
    }

    if (conn->state == NGX_CHAT_DB_SETUP) {
        ngx_chat_db_unfit(conn, code, "its schema cannot be read");
        return;
    }

    class = conn->class;
    error = ngx_chat_db_error(code);
    action = error->action;

    if (error->elsewhere
        && ngx_chat_db_move(conn, code, error->reason ? error->reason : text, 0)
           == NGX_OK)
    {
        ngx_chat_db_retry(conn, NGX_CHAT_DB_UNFIT);
        ngx_chat_db_close(conn);
        return;
    }

    ngx_chat_db_log_error(conn, error, code, text);

    /* the jobs */

    if (action == NGX_CHAT_DB_UNABLE || action == NGX_CHAT_DB_STALE) {
        ngx_chat_db_finish(conn, NGX_BUSY, code);

    } else if (action == NGX_CHAT_DB_SHORT && conn->njobs == 1) {
        ngx_chat_db_finish(conn, NGX_BUSY, code);

    } else if (action == NGX_CHAT_DB_REFUSED && conn->njobs == 1) {
        ngx_chat_db_finish(conn, NGX_DECLINED, code);

    } else {
        ngx_chat_db_retry(conn, action);
    }

    /*
     * The connection.  A new one is told about a schema of another version,
     * and has the rights of today; one a second is enough of that.
     */

    stale = (action == NGX_CHAT_DB_STALE
             && ngx_current_msec - conn->since >= NGX_CHAT_DB_STALE_AGE);

    if (action == NGX_CHAT_DB_UNFIT) {
        ngx_chat_db_unfit(conn, code, text);

    } else if (action == NGX_CHAT_DB_LOST
               || stale
               || conn->state == NGX_CHAT_DB_ROLLBACK)
    {
        ngx_chat_db_close(conn);

    } else if (class->transaction) {
        ngx_chat_db_run(conn, &ngx_chat_db_rollback, NGX_CHAT_DB_ROLLBACK);

    } else {
        ngx_chat_db_idle(conn);
    }
}


static void
ngx_chat_db_log_error(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text)
{
    ngx_uint_t  level;

    if (error->reason != NULL) {
        ngx_chat_db_log_trouble(conn, error, code, text);
        return;
    }

    switch (error->action) {

    case NGX_CHAT_DB_UNFIT:
        /* ngx_chat_db_unfit() tells */
        return;

    case NGX_CHAT_DB_CONFLICT:
    case NGX_CHAT_DB_LOCKED:
        level = NGX_LOG_INFO;
        break;

    default:
        /* integrity constraints, SQLSTATE 23xxx, are the class's to judge */
        level = (ngx_strncmp(text, "23", 2) == 0) ? NGX_LOG_DEBUG
                                                  : NGX_LOG_ERR;
    }

    ngx_log_error(level, conn->db->log, 0,
                  "chat: %s error %ui (%s) in \"%V\"",
                  ngx_chat_db_title(conn->db), code, text,
                  &conn->class->name);
}


/* what lasts is told once for each class, not for each packet */

static void
ngx_chat_db_log_trouble(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_error_t *error, ngx_uint_t code, const char *text)
{
    ngx_uint_t           level;
    ngx_chat_db_lane_t  *lane;

    level = NGX_LOG_ERR;
    lane = conn->lane;

    if (lane != NULL) {
        level = (lane->trouble == error) ? NGX_LOG_INFO : NGX_LOG_ERR;

        lane->trouble = error;
        lane->troubled = ngx_current_msec;
    }

    ngx_log_error(level, conn->db->log, 0,
                  "chat: the %s cannot do \"%V\" now: %s, error %ui (%s)",
                  ngx_chat_db_title(conn->db), &conn->class->name,
                  error->reason, code, text);
}


/* a packet has been done; a while later, for some may pass and some not */

static void
ngx_chat_db_trouble_over(ngx_chat_db_lane_t *lane)
{
    if (lane->trouble == NULL
        || ngx_current_msec - lane->troubled < NGX_CHAT_DB_TROUBLE)
    {
        return;
    }

    lane->trouble = NULL;

    ngx_log_error(NGX_LOG_NOTICE, lane->db->log, 0,
                  "chat: the %s can do \"%V\" again",
                  ngx_chat_db_title(lane->db), &lane->class->name);
}


static void
ngx_chat_db_build_rollback(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    if (ngx_chat_db_text_reserve(text, sizeof("ROLLBACK") - 1) == NGX_OK) {
        text->pos = ngx_cpymem(text->pos, "ROLLBACK", sizeof("ROLLBACK") - 1);
    }
}


static void
ngx_chat_db_idle(ngx_chat_db_conn_t *conn)
{
    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    conn->state = NGX_CHAT_DB_IDLE;

    if (ngx_chat_db_watch(conn, NGX_CHAT_MYSQL_READ) != NGX_OK) {
        ngx_chat_db_close(conn);
        return;
    }

    conn->connection->idle = 1;

    if (conn->text.end - conn->text.start > NGX_CHAT_DB_MAX_TEXT) {
        ngx_free(conn->text.start);
        ngx_memzero(&conn->text, sizeof(ngx_chat_db_text_t));
    }
}


/* the server does not let us work: the connection is closed, for a while */

static void
ngx_chat_db_unfit(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason)
{
    ngx_uint_t      level, full;
    ngx_msec_t      since;
    ngx_chat_db_t  *db;

    db = conn->db;

    ngx_chat_db_count(db, NGX_CHAT_COUNT_DB_CONNECT_FAILED);

    /*
     * If others still work there, the reason is not the server's end.  One that
     * has no place for more says so at once, sooner than it answers them; and
     * those that it has let in may have asked nothing for long.
     */

    full = (ngx_chat_db_error(errcode)->action == NGX_CHAT_DB_UNFIT);
    since = full ? conn->begin - NGX_CHAT_DB_FULL : conn->begin;

    if (!(full && db->connected)
        && !ngx_chat_db_servers_answering(&db->servers, conn->server, since)
        && ngx_chat_db_move(conn, errcode, reason, 1) == NGX_OK)
    {
        ngx_chat_db_close(conn);
        return;
    }

    /*
     * A reason is told once, not at each try.  The words for an error number
     * may differ from one to the next.
     */

    level = (db->away_told && db->errcode == errcode
             && (errcode
                 || ngx_strncmp(db->reason, reason, NGX_CHAT_DB_REASON - 1)
                    == 0))
            ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, db->log, 0,
                  "chat: the %s is out of reach: %s, error %ui",
                  ngx_chat_db_title(db), reason, errcode);

    db->errcode = errcode;
    db->away_told = 1;
    ngx_cpystrn(db->reason, (u_char *) reason, NGX_CHAT_DB_REASON);

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


void
ngx_chat_db_close(ngx_chat_db_conn_t *conn)
{
    ngx_chat_db_t  *db;

    db = conn->db;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_chat_db_unwatch(conn);

    if (conn->my != NULL) {
        ngx_chat_mysql_close(conn->my);
        conn->my = NULL;
    }

    if (conn->text.start != NULL) {
        ngx_free(conn->text.start);
        ngx_memzero(&conn->text, sizeof(ngx_chat_db_text_t));
    }

    if (conn->state == NGX_CHAT_DB_CONNECTING
        || conn->state == NGX_CHAT_DB_SETUP)
    {
        db->opening--;

    } else {
        db->connected--;

        if (db->connected == 0) {
            /* that no more were let in says nothing about the next */
            db->backoff = 0;
        }

        if (!ngx_exiting && !ngx_terminate && !ngx_quit) {
            ngx_chat_db_count(db, NGX_CHAT_COUNT_DB_LOST);
        }
    }

    conn->state = NGX_CHAT_DB_CLOSED;
}


/*
 * Connecting, or a packet, took too long.  Nobody knows what the server made
 * of it, nor what it will send yet: the connection cannot be used any more.
 */

static void
ngx_chat_db_timeout_handler(ngx_event_t *ev)
{
    ngx_chat_db_conn_t *conn = ev->data;

    switch (conn->state) {

    case NGX_CHAT_DB_CONNECTING:
    case NGX_CHAT_DB_SETUP:
        ngx_chat_db_unfit(conn, 0, "timed out");
        break;

    default:
        ngx_log_error(NGX_LOG_WARN, conn->db->log, 0,
                      "chat: no answer from the %s to \"%V\" in time, "
                      "closing the connection",
                      ngx_chat_db_title(conn->db), &conn->class->name);

        ngx_chat_db_retry(conn, NGX_CHAT_DB_LOST);
        ngx_chat_db_close(conn);
    }

    ngx_chat_db_settle(conn->db);
}


static void
ngx_chat_db_ready_handler(ngx_event_t *ev)
{
    ngx_chat_db_conn_t *conn = ev->data;

    ngx_chat_db_process(conn, ngx_chat_mysql_resume(conn->my, 0));

    ngx_chat_db_settle(conn->db);
}


static void
ngx_chat_db_event_handler(ngx_event_t *ev)
{
    ngx_uint_t           ready;
    ngx_connection_t    *c;
    ngx_chat_db_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, c->log, 0,
                   "chat db event state:%d write:%d",
                   conn->state, (int) ev->write);

    if (c->close) {
        /* the worker exits, and waits no longer */
        ngx_chat_db_finish(conn, NGX_BUSY, 0);
        ngx_chat_db_close(conn);

    } else if (conn->state == NGX_CHAT_DB_IDLE) {
        /* the server has nothing to say now but good-bye */
        if (!ev->write && ngx_chat_db_readable(c)) {
            ngx_chat_db_close(conn);
        }

    } else {
        ready = ev->write ? NGX_CHAT_MYSQL_WRITE : NGX_CHAT_MYSQL_READ;

        ngx_chat_db_process(conn, ngx_chat_mysql_resume(conn->my, ready));
    }

    ngx_chat_db_settle(conn->db);
}


static ngx_uint_t
ngx_chat_db_readable(ngx_connection_t *c)
{
    char     buf[1];
    ssize_t  n;

    n = recv(c->fd, buf, 1, MSG_PEEK);

    return n >= 0 || ngx_socket_errno != NGX_EAGAIN;
}


static ngx_int_t
ngx_chat_db_watch(ngx_chat_db_conn_t *conn, ngx_uint_t wait)
{
    ngx_log_t         *log;
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    if (wait == 0) {
        /* conn->ready will tell */
        return NGX_OK;
    }

    log = conn->db->log;
    fd = ngx_chat_mysql_fd(conn->my);
    c = conn->connection;

    if (c == NULL || c->fd != fd) {

        ngx_chat_db_unwatch(conn);

        if (fd == (ngx_socket_t) -1) {
            return NGX_ERROR;
        }

        c = ngx_get_connection(fd, log);
        if (c == NULL) {
            return NGX_ERROR;
        }

        c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
        c->data = conn;

        c->read->log = log;
        c->read->handler = ngx_chat_db_event_handler;
        c->write->log = log;
        c->write->handler = ngx_chat_db_event_handler;

        conn->connection = c;

        if (ngx_add_conn != NULL && ngx_add_conn(c) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    c->idle = 0;

    /*
     * An edge-triggered method is told once, above or here; for the others
     * "ready" says that there is nothing to wait for now.
     */

    c->read->ready = (wait & NGX_CHAT_MYSQL_READ) ? 0 : 1;
    c->write->ready = (wait & NGX_CHAT_MYSQL_WRITE) ? 0 : 1;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK
        || ngx_handle_write_event(c->write, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The socket belongs to the client library, which may have closed it already:
 * nginx forgets it, and touches it no more.
 */

static void
ngx_chat_db_unwatch(ngx_chat_db_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->connection;

    if (c == NULL) {
        return;
    }

    if (ngx_del_conn != NULL) {
        ngx_del_conn(c, NGX_CLOSE_EVENT);

    } else {
        if (c->read->active || c->read->disabled) {
            ngx_del_event(c->read, NGX_READ_EVENT, NGX_CLOSE_EVENT);
        }

        if (c->write->active || c->write->disabled) {
            ngx_del_event(c->write, NGX_WRITE_EVENT, NGX_CLOSE_EVENT);
        }
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    c->read->closed = 1;
    c->write->closed = 1;

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    conn->connection = NULL;
}
