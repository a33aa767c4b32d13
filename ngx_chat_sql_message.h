
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SQL_MESSAGE_H_INCLUDED_
#define _NGX_CHAT_SQL_MESSAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"


/*
 * A message as part of a row, for the ngx_chat_sql*.c files alone: "m" is
 * chat_message, "s" and "r" are its two people.
 */

#define NGX_CHAT_SQL_COLUMNS(sender, recipient)                               \
    "m.id, m.sender_id, m.recipient_id, " sender ", " recipient ","           \
    " m.created_at, m.body"

#define NGX_CHAT_SQL_MESSAGE                                                  \
    NGX_CHAT_SQL_COLUMNS("s.username", "r.username")

#define NGX_CHAT_SQL_JOIN_NAMES                                               \
    " JOIN chat_user s ON s.id = m.sender_id"                                 \
    " JOIN chat_user r ON r.id = m.recipient_id"


/* row[0] is the first of NGX_CHAT_SQL_MESSAGE */
ngx_int_t ngx_chat_sql_get_message(ngx_pool_t *pool, ngx_str_t *row,
    ngx_chat_message_t *message);


#endif /* _NGX_CHAT_SQL_MESSAGE_H_INCLUDED_ */
