
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_mysql_tls.h"

#include <poll.h>
#include <openssl/crypto.h>
#include <openssl/err.h>


#if (NGX_CHAT_MARIADB)

/*
 * Once the server has said hello, the library does the TLS handshake on a
 * blocking socket, though asked not to (up to 3.4 at least), having read all
 * certificates the system trusts.  So the connection is made in a thread.
 * When it is given up meanwhile, the handle stays with the task, whose end
 * closes it.  That end shall be soon, for others want the thread, and the
 * library goes on as long as a byte comes now and then: the socket is shut
 * down, by a descriptor of our own, for the library may close its any time.
 *
 * And it goes on in plain, password first, when the server offers no TLS (up
 * to 3.4, unless the name is verified, too).  So the thread looks at what the
 * server says before the library does.
 */


#define NGX_CHAT_MYSQL_HELLO     512
#define NGX_CHAT_MYSQL_SSL       0x0800

#define NGX_CHAT_MYSQL_GIVEN_UP  ((ngx_atomic_uint_t) -1)


struct ngx_chat_mysql_tls_s {
    ngx_thread_task_t       task;
    ngx_event_t            *ready;            /* NULL: given up */
    MYSQL                  *handle;
    ngx_chat_db_conf_t     *conf;
    ngx_chat_db_server_t   *server;
    MYSQL                  *connected;

    /* 0: none yet, or GIVEN_UP; else a duplicate descriptor, and 1 */
    ngx_atomic_t            socket;

    unsigned                greeted:1;
    unsigned                plain:1;          /* no TLS is offered */
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
     * With a CA its signature is verified, the name is not.  Up to 3.3 that is
     * what 0 means; from 3.4 on, that any certificate will do.
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

    /* the thread gives up by itself: seconds, rounded up */

    timeout = (conf->connect_timeout + 999) / 1000;

    if (mysql_options(handle, MYSQL_OPT_CONNECT_TIMEOUT, &timeout) != 0
        || (conf->tls_ca.len
            && mysql_options(handle, MYSQL_OPT_SSL_CA, conf->tls_ca.data)
               != 0))
    {
        return NGX_ERROR;
    }

#if (MARIADB_PACKAGE_VERSION_ID >= 30402)

    /* with GnuTLS it is too early to ask: there the name is verified, too */

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
 * OpenSSL has been through the certificates, and what was wrong is in the
 * handle.  The library does not say in which, but it asks from within the call
 * that connects.
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

    /* it may have waited long for a thread */

    if (tls->socket == NGX_CHAT_MYSQL_GIVEN_UP) {
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

    /* nginx does not wait for its threads, so OpenSSL may end before they do */

    OPENSSL_thread_stop();
}


/*
 * A TCP connection under way is the first that is waited for, so that nothing
 * has been read when it is made.  One to a socket of this host is made at once,
 * and if it has been greeted, too, there may be nothing to wait for: then a
 * server without TLS is noticed too late, though nobody is in between, and a
 * handshake that is given up ends by the library's own time-outs.
 */

static ngx_int_t
ngx_chat_mysql_tls_poll(ngx_chat_mysql_tls_t *tls, int wait)
{
    struct pollfd  pfd;

    if (tls->socket == NGX_CHAT_MYSQL_GIVEN_UP
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
 * A header of four bytes, the protocol, the version and its NUL, the number of
 * the connection, nine bytes of salt, the flags.  It stays for the library to
 * be read; a packet that has not come as a whole is taken for one without TLS.
 */

static ngx_int_t
ngx_chat_mysql_tls_offered(ngx_socket_t fd)
{
    u_char   *p, *last, hello[NGX_CHAT_MYSQL_HELLO];
    ssize_t   n;

    n = recv(fd, hello, sizeof(hello), MSG_PEEK);

    /* an error is told by the library, in the server's words */

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
ngx_chat_mysql_tls_give_up(ngx_chat_mysql_tls_t *tls)
{
    tls->ready = NULL;

    if (!ngx_atomic_cmp_set(&tls->socket, 0, NGX_CHAT_MYSQL_GIVEN_UP)) {
        (void) shutdown((ngx_socket_t) (tls->socket - 1), SHUT_RDWR);
    }
}


static void
ngx_chat_mysql_tls_free(ngx_chat_mysql_tls_t *tls)
{
    if (tls->socket != 0 && tls->socket != NGX_CHAT_MYSQL_GIVEN_UP) {
        (void) ngx_close_socket((ngx_socket_t) (tls->socket - 1));
    }

    ngx_free(tls);
}

#endif
