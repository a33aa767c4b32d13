
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_THROTTLE_H_INCLUDED_
#define _NGX_CHAT_THROTTLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Throttling of failed logins in shared memory, by keys such as an address, or
 * a name with an address.  A failure adds one to the score of its key, which
 * halves every "half" seconds, at least one.
 *
 * "throttle" may be NULL in every call (no chat_zone): then logins are not
 * throttled.
 */

typedef struct ngx_chat_throttle_s  ngx_chat_throttle_t;

/* returns NULL if the zone is too small or there are no random bytes */
ngx_chat_throttle_t *ngx_chat_throttle_create(ngx_slab_pool_t *shpool,
    size_t size);

/*
 * Returns the number of seconds until the score is at most "burst", which is at
 * least 1, or 0 if an attempt is allowed.
 */
ngx_uint_t ngx_chat_throttle_wait(ngx_chat_throttle_t *throttle,
    ngx_str_t *key, ngx_uint_t burst, time_t half);

/* adds a failed attempt */
void ngx_chat_throttle_charge(ngx_chat_throttle_t *throttle, ngx_str_t *key,
    time_t half);

/* resets the score */
void ngx_chat_throttle_forgive(ngx_chat_throttle_t *throttle,
    ngx_str_t *key);


#endif /* _NGX_CHAT_THROTTLE_H_INCLUDED_ */
