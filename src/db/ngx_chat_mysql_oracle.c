
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/db/ngx_chat_mysql_library.h"

#include <poll.h>


/* Oracle's libmysqlclient */


#if (NGX_CHAT_MYSQL)

/* interval of tests whether TCP is connected, ms */
#define NGX_CHAT_MYSQL_TCP  20


static enum net_async_status ngx_chat_mysql_step(ngx_chat_mysql_t *my);
static ngx_uint_t ngx_chat_mysql_pending(ngx_chat_mysql_t *my);
static ngx_uint_t ngx_chat_mysql_unconnected(ngx_chat_mysql_t *my);


ngx_int_t
ngx_chat_mysql_options(ngx_chat_mysql_t *my)
{
    bool                 key;
    MYSQL               *h;
    unsigned int         infile, mode, seconds;
    ngx_chat_db_conf_t  *conf;

    h = my->handle;
    conf = my->conf;

    /* tls and tls_ca have the same meaning as with the other library */

    if (conf->tls) {
        mode = conf->tls_ca.len ? SSL_MODE_VERIFY_CA : SSL_MODE_REQUIRED;

    } else {
        mode = SSL_MODE_DISABLED;
    }

    /* without TLS, caching_sha2_password requires the key of the server */

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
     * If the account does not use caching_sha2_password, the server requests
     * another plugin, and the library blocks until it has replied.  These
     * options limit that time.  All other reads and writes return at once.
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


ngx_int_t
ngx_chat_mysql_call(ngx_chat_mysql_t *my, ngx_uint_t ready)
{
    enum net_async_status  status;

    /*
     * NET_ASYNC_NOT_READY may mean that a read returned less than requested.
     * An edge-triggered event method would not report the rest.
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

    /* the same call starts and continues an operation */

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


/* returns true if the socket is ready for both reading and writing */

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
 * The library sets its socket and allocates a buffer when TCP is connected.
 * Before that, "fd" is 0, which is an unrelated descriptor, and each step
 * blocks for a millisecond.
 */

static ngx_uint_t
ngx_chat_mysql_unconnected(ngx_chat_mysql_t *my)
{
    return my->op == NGX_CHAT_MYSQL_CONNECT && my->handle->net.buff == NULL;
}


void
ngx_chat_mysql_abandon(ngx_chat_mysql_t *my)
{
    if (my->ready->timer_set) {
        ngx_del_timer(my->ready);
    }

    /* mysql_close() frees the memory of an unfinished call */

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

    /* the library does not report which one */

    return NGX_CHAT_MYSQL_READ|NGX_CHAT_MYSQL_WRITE;
}


ngx_socket_t
ngx_chat_mysql_fd(ngx_chat_mysql_t *my)
{
    return my->handle->net.fd;
}

#endif
