
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_WAKEUP_H_INCLUDED_
#define _NGX_CHAT_WAKEUP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * An eventfd per process slot, by which workers wake each other.  The master
 * process creates them before it starts workers, which inherit all of them.
 * They are kept during reloads, so that old and new workers reach each other.
 */


typedef struct ngx_chat_wakeup_s  ngx_chat_wakeup_t;


/*
 * Called by init module.  "wakeup" is that of the previous configuration, or
 * NULL.  The eventfds exist as long as a cycle refers to them.  Returns NULL if
 * they could not be created.
 */
ngx_chat_wakeup_t *ngx_chat_wakeup_create(ngx_cycle_t *cycle,
    ngx_chat_wakeup_t *wakeup);

/*
 * Wakes the process in a slot.  Returns NGX_OK, or NGX_DECLINED if this process
 * has not inherited its eventfd: it reads by a timer.
 */
ngx_int_t ngx_chat_wakeup(ngx_chat_wakeup_t *wakeup, ngx_int_t slot,
    ngx_log_t *log);

/*
 * Called by init process: "handler" is called when this process is woken, with
 * a connection whose "data" is "data".  The connection is closed by the caller.
 * Returns NULL on error.
 */
ngx_connection_t *ngx_chat_wakeup_listen(ngx_chat_wakeup_t *wakeup,
    ngx_event_handler_pt handler, void *data, ngx_log_t *log);

/* called by the handler */
void ngx_chat_wakeup_read(ngx_connection_t *c);


#endif /* _NGX_CHAT_WAKEUP_H_INCLUDED_ */
