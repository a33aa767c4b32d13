
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REDIS_TEXT_H_INCLUDED_
#define _NGX_CHAT_REDIS_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_shared_log.h"


/*
 * Names of channels and texts of messages in Redis.
 *
 *   chat:5       "1:0123456789abcdef:1:5:7:4711": version, instance, kind,
 *                sender, recipient and message id of a record for user 5
 *   chat:resync  "1:0123456789abcdef": records of this instance are missing
 *                "1:0123456789abcdef:online:5,7": users with open sockets
 *
 * A record of kind NGX_CHAT_RECORD_EVENT or NGX_CHAT_RECORD_TRANSIENT ends with
 * a colon and its text, unless that was too long.  It contains names and ids.
 * The texts of messages are not in Redis.
 *
 * The instance is a random number of the host that publishes.
 */


#define NGX_CHAT_REDIS_RESYNC       0     /* in place of a user id */

#define NGX_CHAT_REDIS_CHANNEL_LEN  (sizeof("chat:resync") - 1                 \
                                     + NGX_INT32_LEN)
#define NGX_CHAT_REDIS_TEXT_LEN     (sizeof("1:0123456789abcdef:::::") - 1     \
                                     + 3 * NGX_INT32_LEN + NGX_INT64_LEN       \
                                     + 1 + NGX_CHAT_RECORD_TEXT)


/* users of one text */
#define NGX_CHAT_REDIS_IDS          64


/* write the text; return its end */
u_char *ngx_chat_redis_channel_write(u_char *p, uint32_t user_id);
u_char *ngx_chat_redis_resync_write(u_char *p, uint64_t instance);
u_char *ngx_chat_redis_online_write(u_char *p, uint64_t instance,
    const uint32_t *ids, ngx_uint_t n);
u_char *ngx_chat_redis_record_write(u_char *p, uint64_t instance,
    ngx_chat_record_t *record);

/*
 * Return NGX_OK, or NGX_ERROR if the text is invalid or of another version.
 * record->text is a part of the text.
 */
ngx_int_t ngx_chat_redis_channel_read(ngx_str_t *text, uint32_t *user_id);
ngx_int_t ngx_chat_redis_resync_read(ngx_str_t *text, uint64_t *instance);
ngx_int_t ngx_chat_redis_online_read(ngx_str_t *text, uint64_t *instance,
    uint32_t *ids, ngx_uint_t *n);
ngx_int_t ngx_chat_redis_record_read(ngx_str_t *text, uint64_t *instance,
    ngx_chat_record_t *record);


#endif /* _NGX_CHAT_REDIS_TEXT_H_INCLUDED_ */
