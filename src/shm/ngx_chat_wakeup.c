
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/shm/ngx_chat_wakeup.h"

#include <sys/eventfd.h>


/*
 * Slots that are usually in use: by the workers of two configurations, and by
 * other processes of nginx.  An older worker with fewer eventfds cannot wake
 * workers in later slots.
 */
#define NGX_CHAT_WAKEUP_SLOTS(workers)  (4 * (workers) + 8)


/* in private memory: each process has the eventfds that it has inherited */

struct ngx_chat_wakeup_s {
    ngx_uint_t              references;        /* cycles */
    ngx_uint_t              n;
    ngx_socket_t            fds[NGX_MAX_PROCESSES];
};


static void ngx_chat_wakeup_cleanup(void *data);


ngx_chat_wakeup_t *
ngx_chat_wakeup_create(ngx_cycle_t *cycle, ngx_chat_wakeup_t *wakeup)
{
    int                  fd;
    ngx_uint_t           n;
    ngx_core_conf_t     *ccf;
    ngx_pool_cleanup_t  *cln;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    n = NGX_CHAT_WAKEUP_SLOTS((ngx_uint_t) ccf->worker_processes);
    n = ngx_min(n, NGX_MAX_PROCESSES);

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    if (wakeup == NULL) {
        wakeup = ngx_calloc(sizeof(ngx_chat_wakeup_t), cycle->log);
        if (wakeup == NULL) {
            return NULL;
        }
    }

    wakeup->references++;

    cln->handler = ngx_chat_wakeup_cleanup;
    cln->data = wakeup;

    while (wakeup->n < n) {
        fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

        if (fd == -1) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "chat eventfd() failed");
            return NULL;
        }

        wakeup->fds[wakeup->n++] = fd;
    }

    return wakeup;
}


static void
ngx_chat_wakeup_cleanup(void *data)
{
    ngx_chat_wakeup_t  *wakeup = data;

    if (--wakeup->references) {
        return;
    }

    while (wakeup->n) {
        (void) close(wakeup->fds[--wakeup->n]);
    }

    ngx_free(wakeup);
}


ngx_int_t
ngx_chat_wakeup(ngx_chat_wakeup_t *wakeup, ngx_int_t slot, ngx_log_t *log)
{
    uint64_t  one = 1;

    if ((ngx_uint_t) slot >= wakeup->n) {
        return NGX_DECLINED;
    }

    if (write(wakeup->fds[slot], &one, sizeof(one)) != sizeof(one)) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      "chat write() to eventfd failed");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_connection_t *
ngx_chat_wakeup_listen(ngx_chat_wakeup_t *wakeup, ngx_event_handler_pt handler,
    void *data, ngx_log_t *log)
{
    int                fd;
    ngx_connection_t  *c;

    /* a duplicate, since the connection is closed before the cycle ends */

    fd = ((ngx_uint_t) ngx_process_slot < wakeup->n)
         ? dup(wakeup->fds[ngx_process_slot])
         : eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno, "chat dup() failed");
        return NULL;
    }

    c = ngx_get_connection(fd, log);

    if (c == NULL) {
        (void) close(fd);
        return NULL;
    }

    c->data = data;
    c->read->handler = handler;
    c->read->log = log;
    c->write->log = log;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_close_connection(c);
        return NULL;
    }

    return c;
}


void
ngx_chat_wakeup_read(ngx_connection_t *c)
{
    uint64_t  n;

    /* EAGAIN is no error: another read has seen the same wake-ups */

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ALERT, c->log, ngx_errno,
                      "chat read() of eventfd failed");
    }

    (void) ngx_handle_read_event(c->read, 0);
}
