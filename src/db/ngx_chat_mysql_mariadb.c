
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_mysql_library.h"


/* MariaDB Connector/C */


#if (NGX_CHAT_MARIADB)

static ngx_int_t ngx_chat_mysql_tls(ngx_chat_mysql_t *my);


ngx_int_t
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

    /* other plugins send the password in clear text if the server asks */

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


ngx_int_t
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


void
ngx_chat_mysql_abandon(ngx_chat_mysql_t *my)
{
    ngx_uint_t  n;

    if (my->tls != NULL) {
        ngx_chat_mysql_tls_abort(my->tls);
        my->handle = NULL;
        return;
    }

    (void) shutdown(ngx_chat_mysql_fd(my), SHUT_RDWR);

    /*
     * The library waits on a stack of its own, which holds memory.  It is
     * resumed with a time-out until it returns.  The limit prevents an endless
     * loop.
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

#endif
