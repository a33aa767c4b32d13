
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_mysql.h"
#include "src/db/ngx_chat_mysql_library.h"

#include <errmsg.h>
#include <openssl/err.h>


/*
 * The calls of the client libraries.  ngx_chat_mysql_library.h declares those
 * that differ.  A handle runs one operation at a time, "op":
 *
 *   connect:  CONNECT -> QUERY (session set-up) -> NEXT ... -> done
 *   query:    QUERY -> done
 *   result:   NEXT (except for the first) -> STORE (if it has rows) -> done
 *
 * ngx_chat_mysql_call() starts or continues an operation with the functions of
 * the library; ngx_chat_mysql_resume() runs one operation after another.
 *
 * OpenSSL has one error queue for all connections of a thread.  As long as it
 * is not empty, OpenSSL takes "try again" for the end of a connection.  The
 * library of MariaDB neither clears the queue before it reads nor removes its
 * own errors.  Therefore the queue is cleared before each call of the library
 * that may use OpenSSL, and, for nginx, after calls that close a connection.
 * Without TLS, OpenSSL is only used for the password, while connecting.
 */


static ngx_int_t ngx_chat_mysql_setup(ngx_chat_mysql_t *my);
static ngx_int_t ngx_chat_mysql_begin(ngx_chat_mysql_t *my,
    ngx_chat_mysql_op_e op);
static ngx_int_t ngx_chat_mysql_fill(ngx_chat_mysql_t *my);


/*
 * ngx_chat_query_builder.c relies on backslash escapes.  READ COMMITTED is
 * required because a retried send would not find the rows of its first attempt
 * in a repeatable snapshot.
 *
 * All variables that change results are set, regardless of the server's
 * defaults.  A transaction, table locks or another database of init_connect are
 * ended.  sql_mode comes first, since it changes how statements are parsed.
 * Setting max_join_size resets sql_big_selects.  transaction_read_only is not
 * set, so that an operator can use it to prevent writes.
 *
 * A statement ends by itself when its job has timed out, or sooner if the
 * server has a lower limit.  MariaDB limits all statements, MySQL those that
 * read or wait for a table.  Each server executes its own comment only.
 */

static u_char  ngx_chat_mysql_session[] =
    "SET sql_mode='STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION',completion_type=0;"
    "ROLLBACK;UNLOCK TABLES;"
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin,autocommit=1,timestamp=DEFAULT,"
    "time_zone='+00:00',sql_select_limit=~0,max_join_size=~0,"
    "sql_big_selects=1,sql_safe_updates=0,sql_auto_is_null=0,"
    "foreign_key_checks=1,unique_checks=1,max_sort_length=1024,"
    "innodb_lock_wait_timeout=%ui,lock_wait_timeout=%ui"
    "/*M!100201 ,check_constraint_checks=1,max_statement_time="
    "LEAST(IFNULL(NULLIF(@@max_statement_time,0),%ui),%ui)*/"
    "/*!50708 ,max_execution_time="
    "CAST(LEAST(IFNULL(NULLIF(@@max_execution_time,0),%ui000),%ui000)"
    "AS UNSIGNED),innodb_lock_wait_timeout=1*/;"
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"
    "USE `";


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

    if (ngx_chat_mysql_options(my) != NGX_OK
        || ngx_chat_mysql_setup(my) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_chat_mysql_begin(my, NGX_CHAT_MYSQL_CONNECT);
}


static ngx_int_t
ngx_chat_mysql_setup(ngx_chat_mysql_t *my)
{
    u_char      *p, *last;
    ngx_str_t   *database;
    ngx_uint_t   limit, i;

    my->setup = 1;
    my->text = my->setup_text;

    p = my->setup_text;
    last = p + sizeof(my->setup_text);

    /*
     * In seconds.  Waiting for a lock ends at half the time-out, so that the
     * job can be retried once.  A statement ends a second after the packet.
     */

    limit = (my->conf->timeout + 999) / 1000 + 1;

    p = ngx_slprintf(p, last, (char *) ngx_chat_mysql_session,
                     ngx_max(my->conf->timeout / 2000, 1),
                     limit, limit, limit, limit, limit);

    database = &my->conf->database;

    for (i = 0; i < database->len; i++) {

        if (last - p < 3) {
            return NGX_ERROR;
        }

        if (database->data[i] == '`') {
            *p++ = '`';
        }

        *p++ = database->data[i];
    }

    *p++ = '`';

    my->len = p - my->setup_text;

    return NGX_OK;
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
    /* all rows were stored, so nothing is read here */

    if (my->rows != NULL) {
        mysql_free_result(my->rows);
        my->rows = NULL;
    }

    res->nfields = 0;
    res->fields = NULL;
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
     * An error message about a statement may quote a value ("Duplicate entry
     * 'x'"); those of the library, and those while connecting, do not.
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
     * mysql_close() sends a few bytes.  Between two packets they fit into the
     * socket buffer.  Otherwise the socket is shut down first, so that writing
     * cannot block.
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

    return ngx_chat_mysql_resume(my, 0);
}


ngx_int_t
ngx_chat_mysql_resume(ngx_chat_mysql_t *my, ngx_uint_t ready)
{
    ngx_int_t  rc;

    for ( ;; ) {

        if (my->conf->tls || my->setup) {
            ERR_clear_error();
        }

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

    /* missing columns read as NULL */

    ngx_memzero(my->fields, sizeof(my->fields));

    res->affected = mysql_affected_rows(my->handle);
    res->insert_id = mysql_insert_id(my->handle);
    res->nfields = n;
    res->fields = my->fields;
    res->data = my;

    return NGX_OK;
}
