
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_LOOKUP_H_INCLUDED_
#define _NGX_CHAT_LOOKUP_H_INCLUDED_


#include "src/http/ngx_chat_http.h"
#include "src/shm/ngx_chat_shared_log.h"


/*
 * Texts of events whose record has none: messages of other hosts, since Redis
 * carries ids only, messages of the outbox, and those that are too long for a
 * record.  Each worker that has a socket for the event reads the message.
 */


typedef struct ngx_chat_lookup_s  ngx_chat_lookup_t;

/* the event of a user whose client must catch up */
#define NGX_CHAT_LOOKUP_RESYNC     "{\"type\":\"resync\"}"

/*
 * Receives the text, at once or later, which is valid during the call.  It is
 * NGX_CHAT_LOOKUP_RESYNC if the message was not found, for example because it
 * has been deleted, or could not be read.
 */
typedef void (*ngx_chat_lookup_pt)(void *data, ngx_chat_record_t *record,
    ngx_str_t *text);


/* called by init process; returns NULL if there is no memory */
ngx_chat_lookup_t *ngx_chat_lookup_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf, ngx_chat_lookup_pt handler, void *data);

/* copies the record; its recipient has sent or received the message */
void ngx_chat_lookup(ngx_chat_lookup_t *lookup, ngx_chat_record_t *record);

/*
 * Returns the text of the event of a record of kind NGX_CHAT_RECORD_MESSAGE or
 * NGX_CHAT_RECORD_EDITED at "p", which has room for the message in JSON and
 * NGX_CHAT_LOOKUP_EVENT_LEN.
 */
#define NGX_CHAT_LOOKUP_EVENT      "{\"type\":\"%s\",\"message\":%V}"
#define NGX_CHAT_LOOKUP_EVENT_LEN  sizeof(NGX_CHAT_LOOKUP_EVENT "message")

ngx_str_t ngx_chat_lookup_event(u_char *p, ngx_chat_record_e kind,
    ngx_str_t *json);


#endif /* _NGX_CHAT_LOOKUP_H_INCLUDED_ */
