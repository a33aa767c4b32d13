
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_db_conn.h"
#include "src/db/ngx_chat_db_types.h"


#define NGX_CHAT_DB_MAX_TEXT  65536       /* bytes, of an idle connection */
#define NGX_CHAT_DB_BUF_SIZE  4096        /* initial size, bytes */


static ngx_chat_db_event_e ngx_chat_db_conn_run(ngx_chat_db_conn_t *conn,
    const ngx_chat_db_type_t *type, const ngx_chat_db_guard_t *guard,
    ngx_chat_db_state_e state);
static ngx_int_t ngx_chat_db_conn_query(ngx_chat_db_conn_t *conn);
static ngx_chat_db_event_e ngx_chat_db_conn_process(ngx_chat_db_conn_t *conn,
    ngx_int_t rc);
static void ngx_chat_db_conn_read(ngx_chat_db_conn_t *conn);
static ngx_chat_db_event_e ngx_chat_db_conn_done(ngx_chat_db_conn_t *conn);
static ngx_chat_db_event_e ngx_chat_db_conn_failed(ngx_chat_db_conn_t *conn);
static ngx_chat_db_event_e ngx_chat_db_conn_unfit(ngx_chat_db_conn_t *conn,
    ngx_uint_t errcode, const char *reason);
static void ngx_chat_db_conn_build_rollback(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_db_conn_timeout_handler(ngx_event_t *ev);
static void ngx_chat_db_conn_ready_handler(ngx_event_t *ev);
static void ngx_chat_db_conn_event_handler(ngx_event_t *ev);
static void ngx_chat_db_conn_resume(ngx_chat_db_conn_t *conn, ngx_uint_t ready);
static ngx_uint_t ngx_chat_db_conn_readable(ngx_connection_t *c);
static ngx_int_t ngx_chat_db_conn_watch(ngx_chat_db_conn_t *conn,
    ngx_uint_t wait);
static void ngx_chat_db_conn_unwatch(ngx_chat_db_conn_t *conn);


static const ngx_chat_db_type_t  ngx_chat_db_conn_rollback_type = {
    .name = ngx_string("rollback"),
    .batch = 1,
    .build = ngx_chat_db_conn_build_rollback
};


void
ngx_chat_db_conn_init(ngx_chat_db_conn_t *conn, ngx_chat_db_t *db,
    ngx_chat_db_conf_t *conf, const ngx_chat_db_type_t *setup,
    ngx_chat_db_event_pt handler, ngx_log_t *log)
{
    conn->db = db;
    conn->ident = (ngx_socket_t) -1;
    conn->conf = conf;
    conn->setup = setup;
    conn->handler = handler;
    conn->log = log;

    conn->timer.handler = ngx_chat_db_conn_timeout_handler;
    conn->timer.data = conn;
    conn->timer.log = log;

    conn->ready.handler = ngx_chat_db_conn_ready_handler;
    conn->ready.data = conn;
    conn->ready.log = log;
}


ngx_chat_db_event_e
ngx_chat_db_conn_open(ngx_chat_db_conn_t *conn, ngx_uint_t server)
{
    ngx_int_t              rc;
    ngx_chat_db_server_t  *servers;

    servers = conn->conf->servers.elts;

    conn->server = server;
    conn->begin = ngx_current_msec;
    conn->stepwise = 0;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, conn->log, 0, "chat db connect \"%V\"",
                   &servers[server].name);

    rc = ngx_chat_mysql_connect(&conn->my, conn->conf, &servers[server],
                                &conn->ready, conn->log);

    conn->state = NGX_CHAT_DB_CONNECTING;

    if (conn->my == NULL) {
        return ngx_chat_db_conn_unfit(conn, 0, "no memory");
    }

    ngx_add_timer(&conn->timer, conn->conf->connect_timeout);

    return ngx_chat_db_conn_process(conn, rc);
}


ngx_chat_db_event_e
ngx_chat_db_conn_send(ngx_chat_db_conn_t *conn, const ngx_chat_db_type_t *type,
    const ngx_chat_db_guard_t *guard, ngx_msec_t timeout)
{
    ngx_add_timer(&conn->timer, timeout);

    return ngx_chat_db_conn_run(conn, type, guard, NGX_CHAT_DB_BUSY);
}


ngx_chat_db_event_e
ngx_chat_db_conn_rollback(ngx_chat_db_conn_t *conn)
{
    return ngx_chat_db_conn_run(conn, &ngx_chat_db_conn_rollback_type, NULL,
                                NGX_CHAT_DB_ROLLBACK);
}


static ngx_chat_db_event_e
ngx_chat_db_conn_run(ngx_chat_db_conn_t *conn, const ngx_chat_db_type_t *type,
    const ngx_chat_db_guard_t *guard, ngx_chat_db_state_e state)
{
    ngx_chat_db_buf_t  *text;

    conn->state = state;
    conn->type = type;
    conn->guard = guard;
    conn->failed = 0;
    conn->lagging = 0;
    conn->result.statement = 0;

    text = &conn->text;
    text->pos = text->start;
    text->nends = 0;
    text->schema = conn->result.schema;
    text->error = 0;

    if (guard != NULL) {
        conn->guard_time = guard->build(text, conn->jobs, conn->njobs,
                                        guard->data);
    }

    type->build(text, conn->jobs, conn->njobs);

    if (text->error) {
        return (state == NGX_CHAT_DB_SETUP)
               ? ngx_chat_db_conn_unfit(conn, 0, "no memory")
               : NGX_CHAT_DB_EVENT_NO_MEMORY;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_EVENT, conn->log, 0,
                   "chat db packet \"%V\" jobs:%ui size:%uz",
                   &type->name, conn->njobs, text->pos - text->start);

    conn->sent = 0;
    conn->ended = 0;

    return ngx_chat_db_conn_process(conn, ngx_chat_db_conn_query(conn));
}


/*
 * Sends the next part of the packet, usually all of it.  If the server rolls a
 * transaction back between two statements, it does not report the error if it
 * received both statements together.
 */

static ngx_int_t
ngx_chat_db_conn_query(ngx_chat_db_conn_t *conn)
{
    u_char             *start, *last;
    ngx_chat_db_buf_t  *text;

    text = &conn->text;
    start = text->start + conn->sent;
    last = text->pos;

    if (conn->stepwise && conn->type->transaction
        && conn->ended < text->nends)
    {
        last = text->start + text->ends[conn->ended++];
    }

    /* skips the semicolon */
    conn->sent = ngx_min(last + 1, text->pos) - text->start;
    conn->reading = 0;

    return ngx_chat_mysql_query(conn->my, start, last - start);
}


/* proceeds until the connection has to wait, or returns an event */

static ngx_chat_db_event_e
ngx_chat_db_conn_process(ngx_chat_db_conn_t *conn, ngx_int_t rc)
{
    for ( ;; ) {

        if (rc == NGX_AGAIN) {
            rc = ngx_chat_db_conn_watch(conn, ngx_chat_mysql_wait(conn->my));
            if (rc == NGX_OK) {
                return NGX_CHAT_DB_EVENT_NONE;
            }
        }

        if (rc == NGX_ERROR) {
            return ngx_chat_db_conn_failed(conn);
        }

        if (rc == NGX_DONE) {

            if (conn->text.start + conn->sent == conn->text.pos) {
                return ngx_chat_db_conn_done(conn);
            }

            rc = ngx_chat_db_conn_query(conn);
            continue;
        }

        /* rc == NGX_OK */

        if (conn->state == NGX_CHAT_DB_CONNECTING) {

            if (conn->setup == NULL) {
                return NGX_CHAT_DB_EVENT_OPENED;
            }

            return ngx_chat_db_conn_run(conn, conn->setup, NULL,
                                        NGX_CHAT_DB_SETUP);
        }

        if (conn->reading) {
            ngx_chat_db_conn_read(conn);
        }

        conn->reading = 1;

        rc = ngx_chat_mysql_result(conn->my, &conn->result);
    }
}


/* passes the result of a statement to the guard or the query type */

static void
ngx_chat_db_conn_read(ngx_chat_db_conn_t *conn)
{
    ngx_int_t                  rc;
    const ngx_chat_db_type_t  *type;

    if (conn->guard != NULL) {

        /* precedes the statements that the query type counts */

        conn->lagging = (conn->guard->result(&conn->result) != NGX_OK);
        conn->failed = conn->lagging;
        conn->guard = NULL;

        ngx_chat_mysql_free_result(conn->my, &conn->result);
        return;
    }

    type = conn->type;

    /* after a failure, results are read but ignored */

    if (type->result != NULL && !conn->failed
        && (conn->njobs != 1 || conn->jobs[0] != NULL))
    {
        rc = type->result(&conn->result, conn->jobs, conn->njobs);

        conn->failed = (rc != NGX_OK && rc != NGX_AGAIN);
        conn->stepwise |= (rc == NGX_AGAIN);
    }

    ngx_chat_mysql_free_result(conn->my, &conn->result);

    conn->result.statement++;
}


static ngx_chat_db_event_e
ngx_chat_db_conn_done(ngx_chat_db_conn_t *conn)
{
    if (conn->state != NGX_CHAT_DB_SETUP) {
        return NGX_CHAT_DB_EVENT_DONE;
    }

    if (conn->failed) {
        return ngx_chat_db_conn_unfit(conn, 0, (char *) conn->result.reason);
    }

    return NGX_CHAT_DB_EVENT_OPENED;
}


static ngx_chat_db_event_e
ngx_chat_db_conn_failed(ngx_chat_db_conn_t *conn)
{
    ngx_uint_t   code;
    const char  *text;

    code = ngx_chat_mysql_errno(conn->my);
    text = code ? ngx_chat_mysql_error(conn->my) : "nginx is out of resources";

    switch (conn->state) {

    case NGX_CHAT_DB_CONNECTING:
        return ngx_chat_db_conn_unfit(conn, code, text);

    case NGX_CHAT_DB_SETUP:
        return ngx_chat_db_conn_unfit(conn, code, "its schema cannot be read");

    default:
        conn->errcode = code;
        conn->reason = text;

        return NGX_CHAT_DB_EVENT_FAILED;
    }
}


static ngx_chat_db_event_e
ngx_chat_db_conn_unfit(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason)
{
    conn->errcode = errcode;
    conn->reason = reason;

    return NGX_CHAT_DB_EVENT_UNFIT;
}


static void
ngx_chat_db_conn_build_rollback(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    if (ngx_chat_db_buf_reserve(text, sizeof("ROLLBACK") - 1) == NGX_OK) {
        text->pos = ngx_cpymem(text->pos, "ROLLBACK", sizeof("ROLLBACK") - 1);
    }
}


ngx_int_t
ngx_chat_db_conn_idle(ngx_chat_db_conn_t *conn)
{
    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    conn->state = NGX_CHAT_DB_IDLE;

    if (ngx_chat_db_conn_watch(conn, NGX_CHAT_MYSQL_READ) != NGX_OK) {
        return NGX_ERROR;
    }

    conn->connection->idle = 1;

    if (conn->text.end - conn->text.start > NGX_CHAT_DB_MAX_TEXT) {
        ngx_free(conn->text.start);
        ngx_memzero(&conn->text, sizeof(ngx_chat_db_buf_t));
    }

    return NGX_OK;
}


void
ngx_chat_db_conn_close(ngx_chat_db_conn_t *conn)
{
    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_chat_db_conn_unwatch(conn);

    if (conn->my != NULL) {
        ngx_chat_mysql_close(conn->my);
        conn->my = NULL;
    }

    if (conn->text.start != NULL) {
        ngx_free(conn->text.start);
        ngx_memzero(&conn->text, sizeof(ngx_chat_db_buf_t));
    }

    conn->state = NGX_CHAT_DB_CLOSED;
}


static void
ngx_chat_db_conn_timeout_handler(ngx_event_t *ev)
{
    ngx_chat_db_conn_t  *conn = ev->data;

    ngx_chat_db_event_e  event;

    switch (conn->state) {

    case NGX_CHAT_DB_CONNECTING:
    case NGX_CHAT_DB_SETUP:
        event = ngx_chat_db_conn_unfit(conn, 0, "timed out");
        break;

    default:
        event = NGX_CHAT_DB_EVENT_TIMED_OUT;
    }

    conn->handler(conn, event);
}


static void
ngx_chat_db_conn_ready_handler(ngx_event_t *ev)
{
    ngx_chat_db_conn_resume(ev->data, 0);
}


static void
ngx_chat_db_conn_event_handler(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_chat_db_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, c->log, 0,
                   "chat db event state:%d write:%d",
                   conn->state, (int) ev->write);

    if (c->close) {
        /* the worker is exiting */
        conn->handler(conn, NGX_CHAT_DB_EVENT_CLOSED);
        return;
    }

    if (conn->state == NGX_CHAT_DB_IDLE) {

        /* the server sends nothing now, except when it closes */

        if (!ev->write && ngx_chat_db_conn_readable(c)) {
            conn->handler(conn, NGX_CHAT_DB_EVENT_CLOSED);
        }

        return;
    }

    ngx_chat_db_conn_resume(conn, ev->write ? NGX_CHAT_MYSQL_WRITE
                                            : NGX_CHAT_MYSQL_READ);
}


static void
ngx_chat_db_conn_resume(ngx_chat_db_conn_t *conn, ngx_uint_t ready)
{
    ngx_int_t            rc;
    ngx_chat_db_event_e  event;

    rc = ngx_chat_mysql_resume(conn->my, ready);

    event = ngx_chat_db_conn_process(conn, rc);

    if (event != NGX_CHAT_DB_EVENT_NONE) {
        conn->handler(conn, event);
    }
}


static ngx_uint_t
ngx_chat_db_conn_readable(ngx_connection_t *c)
{
    char     buf[1];
    ssize_t  n;

    n = recv(c->fd, buf, 1, MSG_PEEK);

    return n >= 0 || ngx_socket_errno != NGX_EAGAIN;
}


static ngx_int_t
ngx_chat_db_conn_watch(ngx_chat_db_conn_t *conn, ngx_uint_t wait)
{
    ngx_log_t         *log;
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    if (wait == 0) {
        /* conn->ready will be called */
        return NGX_OK;
    }

    log = conn->log;
    fd = ngx_chat_mysql_fd(conn->my);
    c = conn->connection;

    if (c == NULL || c->fd != fd) {

        ngx_chat_db_conn_unwatch(conn);

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
        c->read->handler = ngx_chat_db_conn_event_handler;
        c->write->log = log;
        c->write->handler = ngx_chat_db_conn_event_handler;

        conn->connection = c;

        if (ngx_add_conn != NULL && ngx_add_conn(c) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    c->idle = 0;

    /*
     * Edge-triggered methods are set up once, above or here.  With the others,
     * "ready" prevents the event from being added if it is not expected now.
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
 * The client library owns the socket and may have closed it already.  The
 * ngx_connection_t is freed, and the socket is not touched.
 */

static void
ngx_chat_db_conn_unwatch(ngx_chat_db_conn_t *conn)
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


ngx_int_t
ngx_chat_db_buf_reserve(ngx_chat_db_buf_t *buf, size_t size)
{
    u_char  *p;
    size_t   used, total;

    if ((size_t) (buf->end - buf->pos) >= size) {
        return NGX_OK;
    }

    used = buf->pos - buf->start;
    total = ngx_max((size_t) (buf->end - buf->start) * 2,
                    NGX_CHAT_DB_BUF_SIZE);
    total = ngx_max(total, used + size);

    p = ngx_alloc(total, ngx_cycle->log);
    if (p == NULL) {
        buf->error = 1;
        return NGX_ERROR;
    }

    if (buf->start != NULL) {
        ngx_memcpy(p, buf->start, used);
        ngx_free(buf->start);
    }

    buf->start = p;
    buf->pos = p + used;
    buf->end = p + total;

    return NGX_OK;
}
