
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_mysql.h"
#include "ngx_chat_mysql_tls.h"

#include <poll.h>
#include <mysql.h>
#include <errmsg.h>
#include <openssl/err.h>


/*
 * The only file that knows the client libraries, but for what is of MariaDB's
 * with TLS.  Both do one thing at a time on a handle, "op" says which:
 *
 *   connect:  CONNECT -> QUERY (session set-up) -> NEXT ... -> done
 *   query:    QUERY -> done
 *   result:   NEXT (not for the first) -> STORE (if it has rows) -> done
 *
 * ngx_chat_mysql_call() does a step, or goes on with one, in the way of the
 * library; ngx_chat_mysql_run() takes the steps one after another.
 *
 * OpenSSL has one queue of errors for all connections of a thread, and while
 * anything is in it, it takes "not yet" for the end of a connection.  MariaDB's
 * library neither empties it before it reads nor takes out what it has met.  So
 * it is emptied in front of the library's calls, whoever has left something
 * there, and behind those that end a connection, for nginx's own.
 */


/* more than any statement asks for */
#define NGX_CHAT_MYSQL_FIELDS  16

/* ms, of Oracle's library: how often it is asked whether TCP is connected */
#define NGX_CHAT_MYSQL_TCP     20


typedef enum {
    NGX_CHAT_MYSQL_IDLE = 0,
    NGX_CHAT_MYSQL_CONNECT,
    NGX_CHAT_MYSQL_QUERY,
    NGX_CHAT_MYSQL_NEXT,
    NGX_CHAT_MYSQL_STORE
} ngx_chat_mysql_op_e;


struct ngx_chat_mysql_s {
    MYSQL                  *handle;
    ngx_chat_db_conf_t     *conf;
    ngx_chat_db_server_t   *server;
    ngx_event_t            *ready;
    ngx_log_t              *log;

    ngx_chat_mysql_op_e     op;
    u_char                 *text;             /* the caller's, or setup */
    size_t                  len;
    ngx_chat_db_result_t   *res;              /* the caller's, to fill in */

    MYSQL_RES              *rows;             /* of the result at hand */
    ngx_str_t               fields[NGX_CHAT_MYSQL_FIELDS];    /* of its row */

#if (NGX_CHAT_MARIADB)
    int                     wait;             /* MYSQL_WAIT_* */
    int                     failed;           /* the call's return values */
    MYSQL                  *connected;
    ngx_chat_mysql_tls_t   *tls;              /* connects with it, or NULL */
#endif

    unsigned                started:1;        /* of op: to be continued */
    unsigned                first:1;          /* result comes without NEXT */
    unsigned                setup:1;          /* connecting, not yet usable */
    unsigned                plain:1;          /* no TLS where it is wanted */

    u_char                  setup_text[1024];
};


static ngx_int_t ngx_chat_mysql_options(ngx_chat_mysql_t *my);
static ngx_int_t ngx_chat_mysql_begin(ngx_chat_mysql_t *my,
    ngx_chat_mysql_op_e op);
static ngx_int_t ngx_chat_mysql_run(ngx_chat_mysql_t *my, ngx_uint_t ready);
static ngx_int_t ngx_chat_mysql_fill(ngx_chat_mysql_t *my);
static ngx_int_t ngx_chat_mysql_call(ngx_chat_mysql_t *my, ngx_uint_t ready);
static void ngx_chat_mysql_abandon(ngx_chat_mysql_t *my);
#if (NGX_CHAT_MARIADB)
static ngx_int_t ngx_chat_mysql_tls(ngx_chat_mysql_t *my);
#else
static enum net_async_status ngx_chat_mysql_step(ngx_chat_mysql_t *my);
static ngx_uint_t ngx_chat_mysql_pending(ngx_chat_mysql_t *my);
static ngx_uint_t ngx_chat_mysql_unconnected(ngx_chat_mysql_t *my);
#endif


/*
 * Backslash escapes stay on, the builder in ngx_chat_sql.c relies on them.
 * READ COMMITTED, for a repeatable snapshot would hide from a retried send
 * what its first try has stored.
 *
 * What nobody waits for any more ends by itself, unless the server's own limit
 * is lower: in MariaDB any statement, in MySQL one that reads, or waits for a
 * table.  Each reads the comment that is for it, and not the other's.
 */

static u_char  ngx_chat_mysql_setup[] =
    "SET NAMES utf8mb4, autocommit = 1, time_zone = '+00:00',"
    " sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION',"
    " innodb_lock_wait_timeout = %ui, lock_wait_timeout = %ui"
    "/*M!100101 , max_statement_time ="
    " LEAST(IFNULL(NULLIF(@@max_statement_time, 0), %ui), %ui) */"
    "/*!50708 , max_execution_time ="
    " CAST(LEAST(IFNULL(NULLIF(@@max_execution_time, 0), %ui000), %ui000)"
    " AS UNSIGNED) */;"
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";


ngx_int_t
ngx_chat_mysql_library_init(ngx_log_t *log)
{
    if (mysql_library_init(0, NULL, NULL) != 0) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "the MySQL client library cannot be initialized");
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_chat_mysql_library_end(void)
{
    mysql_library_end();
}


ngx_int_t
ngx_chat_mysql_connect(ngx_chat_mysql_t **myp, ngx_chat_db_conf_t *conf,
    ngx_chat_db_server_t *server, ngx_event_t *ready, ngx_log_t *log)
{
    ngx_uint_t         limit;
    ngx_chat_mysql_t  *my;

    *myp = NULL;

    my = ngx_calloc(sizeof(ngx_chat_mysql_t), log);
    if (my == NULL) {
        return NGX_ERROR;
    }

    my->conf = conf;
    my->server = server;
    my->ready = ready;
    my->log = log;

    my->handle = mysql_init(NULL);
    if (my->handle == NULL) {
        ngx_free(my);
        return NGX_ERROR;
    }

    *myp = my;

    if (ngx_chat_mysql_options(my) != NGX_OK) {
        return NGX_ERROR;
    }

    my->setup = 1;
    my->text = my->setup_text;

    /*
     * Seconds.  A lock that gives up at half time leaves the job a second try;
     * a statement has a second more than the packet, whose time-out is first.
     */

    limit = (conf->timeout + 999) / 1000 + 1;

    my->len = ngx_snprintf(my->setup_text, sizeof(my->setup_text),
                           (char *) ngx_chat_mysql_setup,
                           ngx_max(conf->timeout / 2000, 1),
                           limit, limit, limit, limit, limit)
              - my->setup_text;

    return ngx_chat_mysql_begin(my, NGX_CHAT_MYSQL_CONNECT);
}


ngx_int_t
ngx_chat_mysql_query(ngx_chat_mysql_t *my, u_char *text, size_t len)
{
    my->text = text;
    my->len = len;

    return ngx_chat_mysql_begin(my, NGX_CHAT_MYSQL_QUERY);
}


ngx_int_t
ngx_chat_mysql_result(ngx_chat_mysql_t *my, ngx_chat_db_result_t *res)
{
    my->res = res;

    if (!my->first) {
        return ngx_chat_mysql_begin(my, NGX_CHAT_MYSQL_NEXT);
    }

    my->first = 0;

    if (mysql_field_count(my->handle) != 0) {
        return ngx_chat_mysql_begin(my, NGX_CHAT_MYSQL_STORE);
    }

    return ngx_chat_mysql_fill(my);
}


ngx_str_t *
ngx_chat_mysql_fetch(ngx_chat_db_result_t *res)
{
    MYSQL_ROW          row;
    ngx_uint_t         i;
    unsigned long     *lengths;
    ngx_chat_mysql_t  *my;

    my = res->data;

    if (my->rows == NULL) {
        return NULL;
    }

    row = mysql_fetch_row(my->rows);
    if (row == NULL) {
        return NULL;
    }

    lengths = mysql_fetch_lengths(my->rows);

    for (i = 0; i < res->nfields; i++) {
        my->fields[i].len = lengths[i];
        my->fields[i].data = (u_char *) row[i];
    }

    return my->fields;
}


void
ngx_chat_mysql_free_result(ngx_chat_mysql_t *my, ngx_chat_db_result_t *res)
{
    /* the rows were stored, so that freeing them reads nothing more */

    if (my->rows != NULL) {
        mysql_free_result(my->rows);
        my->rows = NULL;
    }

    res->nfields = 0;
    res->fields = NULL;
}


ngx_int_t
ngx_chat_mysql_resume(ngx_chat_mysql_t *my, ngx_uint_t ready)
{
    return ngx_chat_mysql_run(my, ready);
}


ngx_uint_t
ngx_chat_mysql_errno(ngx_chat_mysql_t *my)
{
    return my->plain ? CR_SSL_CONNECTION_ERROR : mysql_errno(my->handle);
}


const char *
ngx_chat_mysql_error(ngx_chat_mysql_t *my)
{
    ngx_uint_t  code;

    if (my->plain) {
        return "SSL is required, but the server does not support it";
    }

    /*
     * What the server says about a statement may quote a value ("Duplicate
     * entry 'x'"); the library's own texts, and those met while connecting,
     * do not.
     */

    code = mysql_errno(my->handle);

    if (my->setup || (code >= 2000 && code < 3000)) {
        return mysql_error(my->handle);
    }

    return mysql_sqlstate(my->handle);
}


void
ngx_chat_mysql_close(ngx_chat_mysql_t *my)
{
    /*
     * mysql_close() says good-bye.  Between two packets nothing is in the way
     * of these few bytes; otherwise the socket is shut down first, and cannot
     * keep anybody waiting.
     */

    if (my->op != NGX_CHAT_MYSQL_IDLE) {
        ngx_chat_mysql_abandon(my);
    }

    if (my->rows != NULL) {
        mysql_free_result(my->rows);
    }

    if (my->handle != NULL) {
        mysql_close(my->handle);
    }

    ERR_clear_error();

    ngx_free(my);
}


static ngx_int_t
ngx_chat_mysql_begin(ngx_chat_mysql_t *my, ngx_chat_mysql_op_e op)
{
    my->op = op;
    my->started = 0;

    return ngx_chat_mysql_run(my, 0);
}


static ngx_int_t
ngx_chat_mysql_run(ngx_chat_mysql_t *my, ngx_uint_t ready)
{
    ngx_int_t  rc;

    for ( ;; ) {

        ERR_clear_error();

        rc = ngx_chat_mysql_call(my, ready);

        if (rc == NGX_AGAIN) {
            my->started = 1;
            return NGX_AGAIN;
        }

        my->started = 0;

        if (rc == NGX_DONE && my->setup) {
            my->setup = 0;
            rc = NGX_OK;
            break;
        }

        if (rc != NGX_OK) {
            break;
        }

        if (my->setup) {
            my->op = (my->op == NGX_CHAT_MYSQL_CONNECT) ? NGX_CHAT_MYSQL_QUERY
                                                        : NGX_CHAT_MYSQL_NEXT;
            continue;
        }

        if (my->op == NGX_CHAT_MYSQL_QUERY) {
            my->first = 1;
            break;
        }

        if (my->op == NGX_CHAT_MYSQL_NEXT && mysql_field_count(my->handle)) {
            my->op = NGX_CHAT_MYSQL_STORE;
            continue;
        }

        rc = ngx_chat_mysql_fill(my);
        break;
    }

    my->op = NGX_CHAT_MYSQL_IDLE;

    return rc;
}


static ngx_int_t
ngx_chat_mysql_fill(ngx_chat_mysql_t *my)
{
    ngx_uint_t             n;
    ngx_chat_db_result_t  *res;

    res = my->res;

    n = (my->rows != NULL) ? mysql_num_fields(my->rows) : 0;

    if (n > NGX_CHAT_MYSQL_FIELDS) {
        return NGX_ERROR;
    }

    /* a server that answers with fewer than it was asked for sends NULLs */

    ngx_memzero(my->fields, sizeof(my->fields));

    res->affected = mysql_affected_rows(my->handle);
    res->insert_id = mysql_insert_id(my->handle);
    res->nfields = n;
    res->fields = my->fields;
    res->data = my;

    return NGX_OK;
}


#if (NGX_CHAT_MARIADB)

static ngx_int_t
ngx_chat_mysql_options(ngx_chat_mysql_t *my)
{
    MYSQL         *h;
    unsigned int   infile;

    h = my->handle;

    infile = 0;

    if (mysql_options(h, MYSQL_SET_CHARSET_NAME, "utf8mb4") != 0
        || mysql_options(h, MYSQL_OPT_LOCAL_INFILE, &infile) != 0)
    {
        return NGX_ERROR;
    }

#if (MARIADB_PACKAGE_VERSION_ID >= 30300)

    /* others hand the password over as it is, to a server that asks for it */

    if (mysql_options(h, MARIADB_OPT_RESTRICTED_AUTH,
                      "mysql_native_password,client_ed25519,"
                      "caching_sha2_password")
        != 0)
    {
        return NGX_ERROR;
    }

#endif

    if (mysql_options(h, MYSQL_OPT_NONBLOCK, 0) != 0) {
        return NGX_ERROR;
    }

    return ngx_chat_mysql_tls_options(h, my->conf);
}


static ngx_int_t
ngx_chat_mysql_tls(ngx_chat_mysql_t *my)
{
    ngx_int_t  rc;

    if (!my->started) {
        my->wait = 0;
        my->tls = ngx_chat_mysql_tls_connect(my->handle, my->conf, my->server,
                                             my->ready, my->log);

        return (my->tls != NULL) ? NGX_AGAIN : NGX_ERROR;
    }

    rc = ngx_chat_mysql_tls_connected(my->tls);

    my->tls = NULL;
    my->plain = (rc == NGX_DECLINED);

    return (rc == NGX_OK) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_chat_mysql_call(ngx_chat_mysql_t *my, ngx_uint_t ready)
{
    int                    wait;
    MYSQL                 *h;
    ngx_chat_db_conf_t    *conf;
    ngx_chat_db_server_t  *server;

    h = my->handle;
    conf = my->conf;
    server = my->server;

    switch (my->op) {

    case NGX_CHAT_MYSQL_CONNECT:

        if (conf->tls) {
            return ngx_chat_mysql_tls(my);
        }

        wait = my->started
               ? mysql_real_connect_cont(&my->connected, h, ready)
               : mysql_real_connect_start(&my->connected, h,
                     server->host.len ? (char *) server->host.data : NULL,
                     (char *) conf->user.data, (char *) conf->password.data,
                     (char *) conf->database.data, server->port,
                     server->host.len ? NULL : (char *) server->socket.data,
                     CLIENT_MULTI_STATEMENTS);

        my->failed = (my->connected == NULL);
        break;

    case NGX_CHAT_MYSQL_QUERY:
        wait = my->started
               ? mysql_real_query_cont(&my->failed, h, ready)
               : mysql_real_query_start(&my->failed, h, (char *) my->text,
                                        my->len);
        break;

    case NGX_CHAT_MYSQL_NEXT:
        wait = my->started
               ? mysql_next_result_cont(&my->failed, h, ready)
               : mysql_next_result_start(&my->failed, h);
        break;

    default: /* NGX_CHAT_MYSQL_STORE */
        wait = my->started
               ? mysql_store_result_cont(&my->rows, h, ready)
               : mysql_store_result_start(&my->rows, h);

        my->failed = (my->rows == NULL);
        break;
    }

    my->wait = wait;

    if (wait != 0) {
        return NGX_AGAIN;
    }

    if (my->failed == 0) {
        return NGX_OK;
    }

    /* mysql_next_result() returns -1 after the last one */

    return (my->op == NGX_CHAT_MYSQL_NEXT && my->failed == -1) ? NGX_DONE
                                                               : NGX_ERROR;
}


static void
ngx_chat_mysql_abandon(ngx_chat_mysql_t *my)
{
    ngx_uint_t  n;

    if (my->tls != NULL) {
        ngx_chat_mysql_tls_give_up(my->tls);
        my->handle = NULL;
        return;
    }

    (void) shutdown(ngx_chat_mysql_fd(my), SHUT_RDWR);

    /*
     * The library waits on a stack of its own, which holds memory: it is told
     * of a time-out until it has come to its end.  The limit is for the case
     * that it ever misses that.
     */

    for (n = 0; my->started && n < 16; n++) {
        if (ngx_chat_mysql_call(my, MYSQL_WAIT_TIMEOUT) != NGX_AGAIN) {
            my->started = 0;
        }
    }
}


ngx_uint_t
ngx_chat_mysql_wait(ngx_chat_mysql_t *my)
{
    return my->wait & (NGX_CHAT_MYSQL_READ|NGX_CHAT_MYSQL_WRITE);
}


ngx_socket_t
ngx_chat_mysql_fd(ngx_chat_mysql_t *my)
{
    return mysql_get_socket(my->handle);
}

#else /* NGX_CHAT_MYSQL */

static ngx_int_t
ngx_chat_mysql_options(ngx_chat_mysql_t *my)
{
    bool                 key;
    MYSQL               *h;
    unsigned int         infile, mode, seconds;
    ngx_chat_db_conf_t  *conf;

    h = my->handle;
    conf = my->conf;

    /* tls and tls_ca mean what they mean with the other library */

    if (conf->tls) {
        mode = conf->tls_ca.len ? SSL_MODE_VERIFY_CA : SSL_MODE_REQUIRED;

    } else {
        mode = SSL_MODE_DISABLED;
    }

    /* on a plain connection caching_sha2_password wants the server's key */

    key = !conf->tls;
    infile = 0;

    if (mysql_options(h, MYSQL_SET_CHARSET_NAME, "utf8mb4") != 0
        || mysql_options(h, MYSQL_OPT_LOCAL_INFILE, &infile) != 0
        || mysql_options(h, MYSQL_OPT_SSL_MODE, &mode) != 0
        || mysql_options(h, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &key) != 0)
    {
        return NGX_ERROR;
    }

    /*
     * An account of another kind than caching_sha2_password makes the server
     * ask for another answer while we log in, for which the library waits: not
     * for ever, then.  All other reads and writes return at once.
     */

    seconds = (conf->connect_timeout + 999) / 1000;

    if (mysql_options(h, MYSQL_OPT_READ_TIMEOUT, &seconds) != 0
        || mysql_options(h, MYSQL_OPT_WRITE_TIMEOUT, &seconds) != 0)
    {
        return NGX_ERROR;
    }

    if (conf->tls_ca.len
        && mysql_options(h, MYSQL_OPT_SSL_CA, conf->tls_ca.data) != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_mysql_call(ngx_chat_mysql_t *my, ngx_uint_t ready)
{
    enum net_async_status  status;

    /*
     * NET_ASYNC_NOT_READY may mean no more than that a read brought less than
     * was wanted.  An edge-triggered event method would not tell of the rest.
     */

    do {
        status = ngx_chat_mysql_step(my);
    } while (status == NET_ASYNC_NOT_READY && ngx_chat_mysql_pending(my));

    switch (status) {

    case NET_ASYNC_COMPLETE:
        return NGX_OK;

    case NET_ASYNC_NOT_READY:

        if (ngx_chat_mysql_unconnected(my)) {
            ngx_add_timer(my->ready, NGX_CHAT_MYSQL_TCP);
        }

        return NGX_AGAIN;

    case NET_ASYNC_COMPLETE_NO_MORE_RESULTS:
        return NGX_DONE;

    default: /* NET_ASYNC_ERROR */
        return NGX_ERROR;
    }
}


static enum net_async_status
ngx_chat_mysql_step(ngx_chat_mysql_t *my)
{
    MYSQL                  *h;
    ngx_chat_db_conf_t     *conf;
    ngx_chat_db_server_t   *server;
    enum net_async_status   status;

    h = my->handle;
    conf = my->conf;
    server = my->server;

    /* begun and gone on with by the same call */

    switch (my->op) {

    case NGX_CHAT_MYSQL_CONNECT:
        return mysql_real_connect_nonblocking(h,
                   server->host.len ? (char *) server->host.data : NULL,
                   (char *) conf->user.data, (char *) conf->password.data,
                   (char *) conf->database.data, server->port,
                   server->host.len ? NULL : (char *) server->socket.data,
                   CLIENT_MULTI_STATEMENTS);

    case NGX_CHAT_MYSQL_QUERY:
        return mysql_real_query_nonblocking(h, (char *) my->text, my->len);

    case NGX_CHAT_MYSQL_NEXT:
        return mysql_next_result_nonblocking(h);

    default: /* NGX_CHAT_MYSQL_STORE */
        status = mysql_store_result_nonblocking(h, &my->rows);

        return (status == NET_ASYNC_COMPLETE && my->rows == NULL)
               ? NET_ASYNC_ERROR : status;
    }
}


/* whichever of the two the library wants, it would get on with it now */

static ngx_uint_t
ngx_chat_mysql_pending(ngx_chat_mysql_t *my)
{
    struct pollfd  pfd;

    if (ngx_chat_mysql_unconnected(my)) {
        return 0;
    }

    pfd.fd = ngx_chat_mysql_fd(my);
    pfd.events = POLLIN|POLLOUT;
    pfd.revents = 0;

    return poll(&pfd, 1, 0) == 1
           && (pfd.revents & (POLLIN|POLLOUT)) == (POLLIN|POLLOUT);
}


/*
 * The library shows its socket, and has a buffer for it, when TCP is connected.
 * Before that "fd" is 0, which is somebody else's, and each step waits for a
 * millisecond by itself.
 */

static ngx_uint_t
ngx_chat_mysql_unconnected(ngx_chat_mysql_t *my)
{
    return my->op == NGX_CHAT_MYSQL_CONNECT && my->handle->net.buff == NULL;
}


static void
ngx_chat_mysql_abandon(ngx_chat_mysql_t *my)
{
    if (my->ready->timer_set) {
        ngx_del_timer(my->ready);
    }

    /* mysql_close() frees what an unfinished call holds */

    if (!ngx_chat_mysql_unconnected(my)) {
        (void) shutdown(ngx_chat_mysql_fd(my), SHUT_RDWR);
    }
}


ngx_uint_t
ngx_chat_mysql_wait(ngx_chat_mysql_t *my)
{
    if (ngx_chat_mysql_unconnected(my)) {
        return 0;
    }

    /* the library does not tell */

    return NGX_CHAT_MYSQL_READ|NGX_CHAT_MYSQL_WRITE;
}


ngx_socket_t
ngx_chat_mysql_fd(ngx_chat_mysql_t *my)
{
    return my->handle->net.fd;
}

#endif
