
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PUSH_H_INCLUDED_
#define _NGX_CHAT_PUSH_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * Notifications.  The files of this folder, from the bottom:
 *
 *   nchan       nchan's owner function, checks of its configuration
 *   channel     the channels of this worker, by user
 *   publish     a text to channels of this worker
 *   subscriber  the sockets of this worker, each with its session
 *   lookup      messages whose event is not in the shared log
 *   notify      the path of a notification through the shared log
 *   outbox      notifications whose request could not send them
 */


/*
 * Called by postconfiguration: creates chat_zone if notifications are used
 * without it, and checks the locations of nchan.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_chat_push_configure(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf);

/* called by init process; returns NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_push_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);


#endif /* _NGX_CHAT_PUSH_H_INCLUDED_ */
