
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/db/ngx_chat_mysql_library.h"

#include <poll.h>
#include <openssl/crypto.h>
#include <openssl/err.h>


#if (NGX_CHAT_MARIADB)

/*
 * After the server's greeting, the library loads all certificates that the
 * system trusts and performs the TLS handshake on a blocking socket, even in
 * non-blocking mode (up to 3.4 at least).  Therefore a thread connects.
 *
 * If the connection is aborted meanwhile, the task keeps the handle and closes
 * it at its end.  The library continues as long as it receives a byte now and
 * then, so the socket is shut down to release the thread soon.  This uses a
 * duplicate descriptor, because the library may close its own at any time.
 *
 * If the server does not offer TLS, the library continues without it and sends
 * the password (up to 3.4, unless the name is verified, too).  Therefore the
 * thread inspects the greeting before the library reads it.
 */


#define NGX_CHAT_MYSQL_HELLO    512       /* inspected greeting, bytes */
#define NGX_CHAT_MYSQL_SSL      0x0800    /* CLIENT_SSL */

#define NGX_CHAT_MYSQL_ABORTED  ((ngx_atomic_uint_t) -1)


struct ngx_chat_mysql_tls_s {
    ngx_thread_task_t       task;
    ngx_event_t            *ready;            /* NULL: aborted */
    MYSQL                  *handle;
    ngx_chat_db_conf_t     *conf;
    ngx_chat_db_server_t   *server;
    MYSQL                  *connected;

    /* 0: none yet, or ABORTED; else a duplicate descriptor plus 1 */
    ngx_atomic_t            socket;

    unsigned                greeted:1;
    unsigned                plain:1;          /* TLS is not offered */
};


static void ngx_chat_mysql_tls_thread(void *data, ngx_log_t *log);
static ngx_int_t ngx_chat_mysql_tls_poll(ngx_chat_mysql_tls_t *tls, int wait);
static ngx_int_t ngx_chat_mysql_tls_share(ngx_chat_mysql_tls_t *tls);
static ngx_int_t ngx_chat_mysql_tls_offered(ngx_socket_t fd);
static void ngx_chat_mysql_tls_done(ngx_event_t *ev);
static void ngx_chat_mysql_tls_free(ngx_chat_mysql_tls_t *tls);
#if (MARIADB_PACKAGE_VERSION_ID >= 30402)
static int ngx_chat_mysql_tls_verify(void *tls, unsigned int flags);


static __thread MYSQL  *ngx_chat_mysql_tls_handle;
#endif


ngx_int_t
ngx_chat_mysql_tls_options(MYSQL *handle, ngx_chat_db_conf_t *conf)
{
    my_bool       enforce, verify;
    unsigned int  timeout;
#if (MARIADB_PACKAGE_VERSION_ID >= 30402)
    const char   *library;
#endif

    enforce = conf->tls;

    /*
     * With a CA, the signature is verified but not the name.  Up to 3.3 this is
     * the meaning of 0; since 3.4, 0 accepts any certificate.
     */

#if (MARIADB_PACKAGE_VERSION_ID >= 30400)
    verify = (conf->tls_ca.len != 0);
#else
    verify = 0;
#endif

    if (mysql_options(handle, MYSQL_OPT_SSL_ENFORCE, &enforce) != 0
        || mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify)
           != 0)
    {
        return NGX_ERROR;
    }

    if (!conf->tls) {
        return NGX_OK;
    }

    /* in seconds, rounded up: limits the thread */

    timeout = (conf->connect_timeout + 999) / 1000;

    if (mysql_options(handle, MYSQL_OPT_CONNECT_TIMEOUT, &timeout) != 0
        || (conf->tls_ca.len
            && mysql_options(handle, MYSQL_OPT_SSL_CA, conf->tls_ca.data)
               != 0))
    {
        return NGX_ERROR;
    }

#if (MARIADB_PACKAGE_VERSION_ID >= 30402)

    /* with GnuTLS the callback runs too early, so the name is verified, too */

    if (conf->tls_ca.len
        && mariadb_get_infov(NULL, MARIADB_TLS_LIBRARY, &library) == 0
        && ngx_strncmp(library, "OpenSSL", 7) == 0
        && mysql_optionsv(handle, MARIADB_OPT_TLS_VERIFICATION_CALLBACK,
                          (void *) ngx_chat_mysql_tls_verify)
           != 0)
    {
        return NGX_ERROR;
    }

#endif

    return NGX_OK;
}


#if (MARIADB_PACKAGE_VERSION_ID >= 30402)

/*
 * OpenSSL has verified the certificates and stored the errors in the handle.
 * The library does not pass the handle, but it calls this function from within
 * the call that connects.
 */

static int
ngx_chat_mysql_tls_verify(void *tls, unsigned int flags)
{
    return ngx_chat_mysql_tls_handle->net.tls_verify_status;
}

#endif


ngx_chat_mysql_tls_t *
ngx_chat_mysql_tls_connect(MYSQL *handle, ngx_chat_db_conf_t *conf,
    ngx_chat_db_server_t *server, ngx_event_t *ready, ngx_log_t *log)
{
    ngx_chat_mysql_tls_t  *tls;

    tls = ngx_calloc(sizeof(ngx_chat_mysql_tls_t), log);
    if (tls == NULL) {
        return NULL;
    }

    tls->ready = ready;
    tls->handle = handle;
    tls->conf = conf;
    tls->server = server;

    tls->task.ctx = tls;
    tls->task.handler = ngx_chat_mysql_tls_thread;
    tls->task.event.handler = ngx_chat_mysql_tls_done;
    tls->task.event.data = tls;

    if (ngx_thread_task_post(conf->thread_pool, &tls->task) != NGX_OK) {
        ngx_free(tls);
        return NULL;
    }

    return tls;
}


static void
ngx_chat_mysql_tls_thread(void *data, ngx_log_t *log)
{
    ngx_chat_mysql_tls_t *tls = data;

    int                    wait;
    MYSQL                 *h;
    ngx_chat_db_conf_t    *conf;
    ngx_chat_db_server_t  *server;

    h = tls->handle;
    conf = tls->conf;
    server = tls->server;

    /* the task may have waited for a thread for a long time */

    if (tls->socket == NGX_CHAT_MYSQL_ABORTED) {
        return;
    }

#if (MARIADB_PACKAGE_VERSION_ID >= 30402)
    ngx_chat_mysql_tls_handle = h;
#endif

    ERR_clear_error();

    wait = mysql_real_connect_start(&tls->connected, h,
                         server->host.len ? (char *) server->host.data : NULL,
                         (char *) conf->user.data,
                         (char *) conf->password.data,
                         (char *) conf->database.data, server->port,
                         server->host.len ? NULL : (char *) server->socket.data,
                         CLIENT_MULTI_STATEMENTS);

    while (wait) {
        wait = mysql_real_connect_cont(&tls->connected, h,
                                       ngx_chat_mysql_tls_poll(tls, wait));
    }

    if (tls->connected && mysql_get_ssl_cipher(h) == NULL) {
        tls->plain = 1;
    }

    /* nginx does not join its threads, so OpenSSL may be unloaded before */

    OPENSSL_thread_stop();
}


/*
 * The first event that the library waits for is the TCP connection, so nothing
 * was read before.  A connection to a Unix socket is established at once.  If
 * the greeting has also arrived, the library may not wait at all.  Then a
 * server without TLS is detected too late, which is harmless on the same host,
 * and an aborted handshake ends by the time-outs of the library.
 */

static ngx_int_t
ngx_chat_mysql_tls_poll(ngx_chat_mysql_tls_t *tls, int wait)
{
    struct pollfd  pfd;

    if (tls->socket == NGX_CHAT_MYSQL_ABORTED
        || (tls->socket == 0 && ngx_chat_mysql_tls_share(tls) != NGX_OK))
    {
        return MYSQL_WAIT_TIMEOUT;
    }

    pfd.fd = mysql_get_socket(tls->handle);
    pfd.events = ((wait & MYSQL_WAIT_READ) ? POLLIN : 0)
                 | ((wait & MYSQL_WAIT_WRITE) ? POLLOUT : 0)
                 | ((wait & MYSQL_WAIT_EXCEPT) ? POLLPRI : 0);

    if (poll(&pfd, 1, tls->conf->connect_timeout) < 1) {
        return MYSQL_WAIT_TIMEOUT;
    }

    if (!tls->greeted && !(pfd.revents & (POLLERR|POLLHUP))) {
        tls->greeted = 1;
        pfd.events = POLLIN;

        if (poll(&pfd, 1, tls->conf->connect_timeout) < 1) {
            return MYSQL_WAIT_TIMEOUT;
        }

        if (ngx_chat_mysql_tls_offered(pfd.fd) != NGX_OK) {
            tls->plain = 1;
            (void) shutdown(pfd.fd, SHUT_RDWR);
        }
    }

    return wait & (MYSQL_WAIT_READ|MYSQL_WAIT_WRITE|MYSQL_WAIT_EXCEPT);
}


static ngx_int_t
ngx_chat_mysql_tls_share(ngx_chat_mysql_tls_t *tls)
{
    ngx_socket_t  fd;

    fd = dup(mysql_get_socket(tls->handle));

    if (fd == (ngx_socket_t) -1) {
        return NGX_ERROR;
    }

    if (!ngx_atomic_cmp_set(&tls->socket, 0, (ngx_atomic_uint_t) fd + 1)) {
        (void) ngx_close_socket(fd);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Tests the flags of the greeting, which remains to be read by the library.  It
 * consists of a header of four bytes, the protocol, the version with a NUL, the
 * connection id, nine bytes of salt, and the flags.  An incomplete packet
 * counts as one without TLS.
 */

static ngx_int_t
ngx_chat_mysql_tls_offered(ngx_socket_t fd)
{
    u_char   *p, *last, hello[NGX_CHAT_MYSQL_HELLO];
    ssize_t   n;

    n = recv(fd, hello, sizeof(hello), MSG_PEEK);

    /* the library reports an error of the server */

    if (n < 5 || hello[4] == 0xff) {
        return (n < 5) ? NGX_ERROR : NGX_OK;
    }

    last = hello + n;

    p = ngx_strlchr(hello + 5, last, '\0');

    if (p == NULL || last - p < 1 + 4 + 9 + 2) {
        return NGX_ERROR;
    }

    p += 1 + 4 + 9;

    return ((p[0] | p[1] << 8) & NGX_CHAT_MYSQL_SSL) ? NGX_OK : NGX_ERROR;
}


static void
ngx_chat_mysql_tls_done(ngx_event_t *ev)
{
    ngx_chat_mysql_tls_t *tls = ev->data;

    if (tls->ready != NULL) {
        tls->ready->handler(tls->ready);
        return;
    }

    mysql_close(tls->handle);
    ERR_clear_error();

    ngx_chat_mysql_tls_free(tls);
}


ngx_int_t
ngx_chat_mysql_tls_connected(ngx_chat_mysql_tls_t *tls)
{
    ngx_int_t  rc;

    if (tls->plain) {
        rc = NGX_DECLINED;

    } else if (tls->connected == NULL
               || ngx_nonblocking(mysql_get_socket(tls->handle)) == -1)
    {
        rc = NGX_ERROR;

    } else {
        rc = NGX_OK;
    }

    ngx_chat_mysql_tls_free(tls);

    return rc;
}


void
ngx_chat_mysql_tls_abort(ngx_chat_mysql_tls_t *tls)
{
    tls->ready = NULL;

    if (!ngx_atomic_cmp_set(&tls->socket, 0, NGX_CHAT_MYSQL_ABORTED)) {
        (void) shutdown((ngx_socket_t) (tls->socket - 1), SHUT_RDWR);
    }
}


static void
ngx_chat_mysql_tls_free(ngx_chat_mysql_tls_t *tls)
{
    if (tls->socket != 0 && tls->socket != NGX_CHAT_MYSQL_ABORTED) {
        (void) ngx_close_socket((ngx_socket_t) (tls->socket - 1));
    }

    ngx_free(tls);
}

#endif
