
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_TYPES_H_INCLUDED_
#define _NGX_CHAT_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Rows of the database, as the queries, the zone and the endpoints use them. */


#define NGX_CHAT_HASH_LEN       32            /* SHA-256, bytes */
#define NGX_CHAT_TIMESTAMP_LEN  (sizeof("2025-12-30T07:03:02.325660Z") - 1)
#define NGX_CHAT_CLIENT_ID_MAX  64            /* characters */
#define NGX_CHAT_DISPLAY_LEN    100           /* display name, characters */
#define NGX_CHAT_AVATAR_LEN     255           /* bytes */


typedef u_char  ngx_chat_hash_t[NGX_CHAT_HASH_LEN];  /* SHA-256 of a token */


typedef struct {
    uint32_t               id;                /* 0: no such user */
    ngx_str_t              name;              /* as written at creation */
    ngx_str_t              password;          /* hash; set by a query by name
                                                 only */
    ngx_uint_t             admin;             /* flag */
    ngx_uint_t             active;            /* flag */
    uint32_t               profile;           /* CRC-32 of the display name, a
                                                 space and the avatar; set by a
                                                 query by name only */
} ngx_chat_user_t;


/* members of a user that others see */

typedef struct {
    ngx_str_t              display_name;      /* empty: none */
    ngx_str_t              avatar_url;        /* empty: none */
    ngx_str_t              seen;              /* timestamp; empty: never */
    ngx_uint_t             blocks;            /* NGX_CHAT_BLOCK_LO|HI between
                                                 this user and the reader */
} ngx_chat_profile_t;


typedef struct {
    uint64_t               id;                /* 0: no such message */
    uint32_t               sender_id;
    uint32_t               recipient_id;
    ngx_str_t              sender;
    ngx_str_t              recipient;
    ngx_str_t              timestamp;         /* NGX_CHAT_TIMESTAMP_LEN bytes;
                                                 empty: deleted */
    ngx_str_t              body;
    uint64_t               reply_to;          /* message id; 0: no reply */
    ngx_str_t              edited;            /* as timestamp; empty: never */
    ngx_str_t              files;             /* array in JSON, as stored;
                                                 empty: none */
    uint64_t               target_id;         /* of a change: the message whose
                                                 members the others are; 0: not
                                                 a change */
} ngx_chat_message_t;


typedef struct {
    uint32_t               peer_id;
    ngx_str_t              peer;              /* name */
    uint64_t               unread;            /* messages */
    uint64_t               read_id;           /* read mark, a message id */
    uint64_t               peer_read_id;
    ngx_chat_message_t     last;
    ngx_chat_profile_t     profile;           /* of the peer */
} ngx_chat_conversation_t;


#endif /* _NGX_CHAT_TYPES_H_INCLUDED_ */
