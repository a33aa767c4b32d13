
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PUBLISH_H_INCLUDED_
#define _NGX_CHAT_PUBLISH_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * Publishes to channels of this worker.  nchan accepts a publish as a request
 * only: a subrequest to the location of chat_publish, of a request without a
 * client.  The channels belong to this worker, so nchan has sent the text to
 * their sockets when the subrequest ends, and it ends at once.
 */


typedef struct ngx_chat_publisher_s  ngx_chat_publisher_t;

/* a URI of chat_publish, with the configuration of an API location */

struct ngx_chat_publisher_s {
    ngx_str_t                   uri;
    ngx_http_conf_ctx_t         conf;
    ngx_uint_t                  group;         /* index in chmcf->groups */

    ngx_http_request_t         *request;       /* of the batch, or NULL */
    ngx_uint_t                  n;             /* subrequests of the batch */
};


/*
 * Called by merge: records a chat_publish, once per server and URI.  Returns
 * NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_chat_publisher_add(ngx_conf_t *cf, ngx_chat_loc_conf_t *chlcf);

/*
 * Publishes a text to channels, which are separated by commas.  Returns NGX_OK,
 * or logs an error and returns NGX_ERROR.  "channels" and "text" may be freed
 * afterwards.
 */
ngx_int_t ngx_chat_publish(ngx_chat_publisher_t *publisher,
    ngx_str_t *channels, ngx_str_t *text, ngx_log_t *log);

/* frees the request of a batch of publishes; called when there are no more */
void ngx_chat_publish_end(ngx_chat_publisher_t *publisher);


#endif /* _NGX_CHAT_PUBLISH_H_INCLUDED_ */
