
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_NOTIFY_H_INCLUDED_
#define _NGX_CHAT_NOTIFY_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * The path of a notification:
 *
 *   the worker that has stored a message         each worker
 *   ------------------------------------         -----------
 *   ngx_chat_notify_message(): append to shared log ---> read the shared log
 *                      wake interested workers   find the channels of its users
 *                                                publish to them with nchan
 *
 * With several hosts, records also pass through Redis, to the workers of other
 * hosts that have sockets of its users (src/push/ngx_chat_redis.h).
 *
 * A sender does not wait for any of it.  If nchan fails, the reader stops at
 * the record and tries it again.  If it fails for good, or if records were
 * overwritten before they were read, sockets for hints are closed, and sockets
 * for events get the event "resync": their clients catch up.
 */


/* called by init process; returns NULL on error */
ngx_chat_notify_t *ngx_chat_notify_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);

/*
 * Notifies the sockets of both users of a new message, or of one that was
 * edited.  "json" is the message as in responses; NULL: it is not available.
 * "notify" may be NULL.
 */
void ngx_chat_notify_message(ngx_chat_notify_t *notify,
    ngx_chat_record_e kind, ngx_chat_message_t *message, ngx_str_t *json);

/*
 * Sends an event of the kind NGX_CHAT_RECORD_EVENT, TRANSIENT or LOCAL to the
 * sockets for events of two users; sender_id may be 0.  The event is a
 * JSON object; clients catch up instead of one that is longer than
 * NGX_CHAT_RECORD_TEXT bytes.  "notify" may be NULL.
 */
void ngx_chat_notify_event(ngx_chat_notify_t *notify, ngx_chat_record_e kind,
    uint32_t sender_id, uint32_t recipient_id, ngx_str_t *event);

/* called by exit process */
void ngx_chat_notify_exit(ngx_chat_notify_t *notify);


#endif /* _NGX_CHAT_NOTIFY_H_INCLUDED_ */
