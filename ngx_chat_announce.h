
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_ANNOUNCE_H_INCLUDED_
#define _NGX_CHAT_ANNOUNCE_H_INCLUDED_


#include "ngx_chat_http.h"


/*
 * Announces what a request could not: the message of a worker that has died
 * between storing and publishing, of a send that nobody knows the end of, of a
 * publish that has failed.  It may be announced twice then.  Needs chat_zone.
 */


/* merge: the location publishes, with this configuration; NGX_OK, NGX_ERROR */
ngx_int_t ngx_chat_announce_publisher(ngx_conf_t *cf,
    ngx_chat_loc_conf_t *chlcf);

/* init process; NULL: no memory */
ngx_chat_announcer_t *ngx_chat_announcer_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);

/*
 * From now on the message may be stored.  When the request has ended and
 * ctx->announced is not set, it is looked for and announced.
 */
void ngx_chat_announce_keep(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t sender_id, ngx_str_t *client_id);


#endif /* _NGX_CHAT_ANNOUNCE_H_INCLUDED_ */
