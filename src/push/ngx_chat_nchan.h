
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_NCHAN_H_INCLUDED_
#define _NGX_CHAT_NCHAN_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * What the module must know of nchan (1.3.6 to 1.3.8) beyond its directives.
 * docs/nchan.md lists the faults that are worked around.
 */


/*
 * Called by init process.  Looks up nchan's memstore_channel_owner(), which is
 * in nchan's module or in the binary.  Returns NGX_OK, or logs an error and
 * returns NGX_ERROR.
 */
ngx_int_t ngx_chat_nchan_init(ngx_log_t *log);

/*
 * Returns the process slot of the worker that owns the channel "group/id".
 * nchan aborts the process if its number of workers has changed by a reload.
 */
ngx_int_t ngx_chat_nchan_owner(ngx_str_t *id);

/*
 * Called by merge: records a location with chat_subscriber.  Returns NGX_OK or
 * NGX_ERROR.
 */
ngx_int_t ngx_chat_nchan_location(ngx_conf_t *cf, ngx_chat_loc_conf_t *chlcf);

/*
 * Called by postconfiguration: checks nchan's directives in locations that
 * receive or publish notifications.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_chat_nchan_check(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf);

/* called when a worker begins to exit: gives nchan's pipes a read handler */
void ngx_chat_nchan_block_pipes(void);


#endif /* _NGX_CHAT_NCHAN_H_INCLUDED_ */
