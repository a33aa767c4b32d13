
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SQL_H_INCLUDED_
#define _NGX_CHAT_SQL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"


/*
 * Every statement of the module.  Each operation is a struct that begins with
 * its database job: the owner zeroes it, fills in job.handler, job.data,
 * job.pool, job.class (one of the classes below) and the members under "in",
 * and submits &op->job.  The handler finds the members under "out" filled in
 * when job.rc is NGX_OK.
 *
 * Strings under "in" must live until the handler is called; strings under
 * "out" are in job.pool.
 */


#define NGX_CHAT_HASH_LEN       32            /* SHA-256 of a session token */
#define NGX_CHAT_TIMESTAMP_LEN  (sizeof("2025-12-30T07:03:02.325660Z") - 1)

#define NGX_CHAT_SCHEMA_VERSION  3

/* error numbers of the database that mean something to the endpoints */
#define NGX_CHAT_SQL_DUPLICATE   1062
#define NGX_CHAT_SQL_NO_PARENT   1452         /* foreign key: no such user */


typedef struct {
    uint32_t               id;                /* 0: no such user */
    ngx_str_t              name;              /* as written at creation */
    ngx_str_t              password;          /* only from user_by_name */
    unsigned               admin:1;
    unsigned               active:1;
} ngx_chat_user_t;


typedef struct {
    uint64_t               id;                /* 0: no such message */
    uint32_t               sender_id;
    uint32_t               recipient_id;
    ngx_str_t              sender;
    ngx_str_t              recipient;
    ngx_str_t              timestamp;         /* NGX_CHAT_TIMESTAMP_LEN bytes */
    ngx_str_t              body;
} ngx_chat_message_t;


typedef struct {
    uint32_t               peer_id;
    ngx_str_t              peer;
    uint64_t               unread;
    uint64_t               read_id;
    uint64_t               peer_read_id;
    ngx_chat_message_t     last;
} ngx_chat_conversation_t;


/* the schema's version, as setup of ngx_chat_db_create() */
extern const ngx_chat_db_class_t  ngx_chat_sql_setup;
extern const ngx_chat_db_class_t  ngx_chat_sql_setup_writer;

/* whether the database answers: needs its job alone */
extern const ngx_chat_db_class_t  ngx_chat_sql_ready;

/* all but setup, in the order of NGX_CHAT_METRICS_QUERIES; ends with NULL */
extern const ngx_chat_db_class_t *const  ngx_chat_sql_classes[];


/* session_get, session_delete: by hash */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    u_char                 hash[NGX_CHAT_HASH_LEN];
    /* out */
    ngx_chat_user_t        user;              /* id 0: no session, expired, or
                                                 the person is disabled */
    time_t                 expires;           /* seconds since the epoch */
    unsigned               ended:1;           /* deleted: there was one */
} ngx_chat_sql_session_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_session_get;
extern const ngx_chat_db_class_t  ngx_chat_sql_session_delete;


/*
 * A new session, if the stored password still is the one that was checked and
 * the person is active; the person's expired ones go at the same time.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    u_char                 hash[NGX_CHAT_HASH_LEN];
    uint32_t               user_id;
    ngx_str_t              password;          /* as it is stored */
    time_t                 expires;
    /* out */
    ngx_uint_t             expired;           /* of how many that is so */
    unsigned               created:1;
} ngx_chat_sql_session_create_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_session_create;


/* user_by_name: any case; user_by_id */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_str_t              name;
    uint32_t               id;
    /* out */
    ngx_chat_user_t        user;
} ngx_chat_sql_user_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_user_by_name;
extern const ngx_chat_db_class_t  ngx_chat_sql_user_by_id;


/*
 * password_set: replaces the stored password if it still is "old".  With
 * end_sessions all of the person's sessions go but that of "keep".
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    ngx_str_t              old;
    ngx_str_t              new;
    u_char                 keep[NGX_CHAT_HASH_LEN];
    unsigned               end_sessions:1;
    /* out */
    ngx_uint_t             ended;             /* sessions */
    unsigned               changed:1;
} ngx_chat_sql_password_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_password_set;


/* active people but "except", by id; with limit, by name after "after" */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               except;
    ngx_str_t              search;            /* prefix, any case */
    ngx_str_t              after;
    ngx_uint_t             limit;             /* 0: all, by id */
    /* out */
    ngx_array_t           *users;             /* ngx_chat_user_t: id, name */
    unsigned               more:1;
} ngx_chat_sql_users_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_users;


/*
 * Epochs (ngx_chat_workers.h), for several hosts: says that this one is in
 * "epoch", and asks which others were said in the last minute.
 *
 * A publish names both people's channels in each of them, and nchan refuses it
 * if that is more than nchan_max_channel_id_length, 1024 bytes: with the first
 * epoch and this host's own, of ten digits each, 18 * 2 * 22 is below that.
 */

#define NGX_CHAT_SQL_EPOCHS  16

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               epoch;             /* 0: nothing to be said */
    /* out */
    ngx_uint_t             n;
    uint32_t               epochs[NGX_CHAT_SQL_EPOCHS];  /* latest first */
} ngx_chat_sql_epochs_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_epochs;


/*
 * Stores a message.  Sends that arrive while one is in flight on this worker
 * go into the next transaction together.  NGX_DECLINED comes with
 * NGX_CHAT_SQL_DUPLICATE (this sender has used the client id) or
 * NGX_CHAT_SQL_NO_PARENT (the recipient has been deleted).
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_chat_message_t     message;           /* but its id */
    ngx_str_t              client_id;
    /* out: message.id */
} ngx_chat_sql_send_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_send;


/*
 * message_get: by id, if it is of or to the user; message_by_client: sender +
 * client id.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint64_t               id;
    uint32_t               user_id;
    uint32_t               sender_id;
    ngx_str_t              client_id;
    /* out */
    ngx_chat_message_t     message;           /* id: 0 if there is none */
} ngx_chat_sql_message_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_message_get;
extern const ngx_chat_db_class_t  ngx_chat_sql_message_by_client;


/*
 * messages_page: newest first, by offset, with the count of all.
 * messages_before: ids below "id", newest first.
 * messages_after: ids above "id", oldest first, and the horizon.
 *
 * Nothing can appear at or below the horizon any more for this reader: see
 * chat_writing in sql/schema.sql.  Unless it is "own" it tells of messages of
 * others, and only the last one of this reader's at or below it may be told.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    uint32_t               peer_id;           /* 0: with anybody */
    ngx_str_t              user;              /* names, where there is a */
    ngx_str_t              peer;              /* peer */
    uint64_t               id;
    uint64_t               offset;
    ngx_uint_t             limit;
    unsigned               last:1;            /* the last page, not "offset" */
    /* out */
    ngx_array_t           *messages;          /* ngx_chat_message_t */
    uint64_t               count;             /* messages_page only */
    uint64_t               horizon;           /* messages_after only */
    unsigned               own:1;             /* the horizon is an id of this
                                                 reader's, or 0 */
    unsigned               more:1;            /* not messages_page */

    /* private: what messages_after has seen before it was committed, or not */
    uint64_t              *dirty;             /* ids */
    ngx_uint_t             ndirty;
    ngx_array_t           *writing;           /* slots of chat_writing */
} ngx_chat_sql_messages_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_messages_page;
extern const ngx_chat_db_class_t  ngx_chat_sql_messages_before;
extern const ngx_chat_db_class_t  ngx_chat_sql_messages_after;


/* the inbox: conversations whose last message is below "before" */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    ngx_str_t              user;              /* the name */
    uint64_t               before;            /* 0: from the latest */
    ngx_uint_t             limit;
    /* out */
    ngx_array_t           *conversations;     /* ngx_chat_conversation_t */
    unsigned               more:1;
} ngx_chat_sql_conversations_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_conversations;


/* marks read up to "id", never backwards */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    uint32_t               peer_id;
    uint64_t               id;
    /* out */
    uint64_t               unread;
    uint64_t               read_id;
} ngx_chat_sql_read_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_read;


/*
 * How far the database has come: a position, for ngx_chat_sql_reached_build().
 * A server that has reached it has all that was acknowledged before.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    u_char                *buf;
    size_t                 size;
    /* out */
    ngx_str_t              position;          /* in buf; empty: there is none */
    unsigned               too_long:1;        /* or not of known characters */
} ngx_chat_sql_position_t;

extern const ngx_chat_db_class_t  ngx_chat_sql_position;

/*
 * In front of another packet: has the server reached the position?  NGX_OK, or
 * NGX_DECLINED.
 */
void ngx_chat_sql_reached_build(ngx_chat_db_text_t *text,
    ngx_str_t *position);
ngx_int_t ngx_chat_sql_reached(ngx_chat_db_result_t *res);


#endif /* _NGX_CHAT_SQL_H_INCLUDED_ */
