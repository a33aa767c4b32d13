
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_QUERY_H_INCLUDED_
#define _NGX_CHAT_QUERY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"
#include "src/core/ngx_chat_json.h"
#include "src/core/ngx_chat_types.h"
#include "src/core/ngx_chat_string.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * All statements of the module.  An operation is a structure that begins with
 * a database job.  The caller zeroes it, sets job.type, job.handler, job.data,
 * job.pool and the members below "in", and submits &op->job.  When the handler
 * is called and job.rc is NGX_OK, the members below "out" are set.
 *
 * Strings below "in" must stay valid until then.  Strings below "out" are in
 * job.pool.
 */


/*
 * All query types except setup, in the order of NGX_CHAT_METRICS_QUERIES; ends
 * with NULL.
 */
extern const ngx_chat_db_type_t *const  ngx_chat_query_types[];


/* The operation of query types that list rows of a user as JSON. */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    ngx_chat_hash_t        hash;              /* session of the request; zeros:
                                                 none */
    /* out */
    ngx_chat_json_t       *rows;              /* array of objects */
} ngx_chat_query_list_t;


/*
 * user_by_name: in any case, the first of the forms that has a row; with the
 * password.  user_by_id: without the password.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_chat_forms_t       name;
    uint32_t               id;
    /* out */
    ngx_chat_user_t        user;
} ngx_chat_query_user_t;

extern const ngx_chat_db_type_t  ngx_chat_query_user_by_name;
extern const ngx_chat_db_type_t  ngx_chat_query_user_by_id;


/*
 * Active users except one, ordered by id, or with a limit by name.  With a
 * limit, rows have a profile.
 */

typedef struct {
    uint32_t               id;
    ngx_str_t              name;
    ngx_chat_profile_t     profile;
} ngx_chat_query_row_t;

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               except;            /* id */
    ngx_chat_forms_t       search;            /* prefix of the name, in any
                                                 case, or of a word of the
                                                 display name */
    ngx_chat_forms_t       after;             /* name of the last row of the
                                                 previous page, or any text */
    ngx_uint_t             limit;             /* 0: no limit, by id */
    unsigned               scan:1;            /* for a search that ends with
                                                 "words" set */
    /* out */
    ngx_array_t           *users;             /* ngx_chat_query_row_t */
    ngx_uint_t             has_more;          /* flag */
    unsigned               words:1;           /* too many words match: rows may
                                                 be missing */
} ngx_chat_query_users_t;

extern const ngx_chat_db_type_t  ngx_chat_query_users;


/*
 * profile_get: an active user, with the blocks between it and "viewer_id".
 * profile_set: sets the display name, and with "site" the avatar; empty: none.
 * profile_create: adds a user, unless the name exists, and reads its row.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_chat_forms_t       name;              /* profile_get */
    uint32_t               viewer_id;
    uint32_t               user_id;           /* profile_set */
    ngx_str_t              username;          /* profile_create, in NFC */
    ngx_str_t              display_name;
    ngx_str_t              avatar_url;
    uint32_t               site;              /* flag */
    /* out */
    ngx_chat_user_t        user;              /* id 0: no such user */
    ngx_chat_profile_t     profile;           /* profile_get */
} ngx_chat_query_profile_t;

extern const ngx_chat_db_type_t  ngx_chat_query_profile_get;
extern const ngx_chat_db_type_t  ngx_chat_query_profile_set;
extern const ngx_chat_db_type_t  ngx_chat_query_profile_create;


/*
 * session_get: the user of the valid sessions among "hashes".
 * session_delete: deletes these sessions.
 */

/* maximum number of hashes of a request, bits of "valid" */
#define NGX_CHAT_QUERY_SESSIONS  8

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_chat_hash_t       *hashes;
    ngx_uint_t             n;
    /* out */
    /* the first valid session */
    ngx_chat_user_t        user;              /* id 0: no session is valid */
    time_t                 expires;           /* seconds since 1970 */
    ngx_uint_t             found;             /* index in hashes */
    ngx_uint_t             valid;             /* bit mask of hashes */
    ngx_uint_t             ended;             /* deleted sessions */
    unsigned               ambiguous:1;       /* sessions of two users */
    unsigned               seen:1;            /* last_seen_at of that session
                                                 needs an update */
} ngx_chat_query_session_t;

extern const ngx_chat_db_type_t  ngx_chat_query_session_get;
extern const ngx_chat_db_type_t  ngx_chat_query_session_delete;


/*
 * Creates a session, if the user is active and the stored password is still
 * the one that was checked.  The same transaction deletes the sessions that it
 * replaces, expired sessions of the user, and the oldest beyond the limit.
 */

#define NGX_CHAT_QUERY_SESSION_LIMIT  50        /* per user */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_chat_hash_t        hash;
    ngx_chat_hash_t       *replaced;
    ngx_uint_t             nreplaced;
    uint32_t               user_id;
    ngx_str_t              password;          /* as stored */
    time_t                 expires;           /* seconds since 1970 */
    ngx_str_t              address;           /* client; may be empty */
    ngx_str_t              agent;             /* User-Agent; may be empty */
    /* out */
    ngx_uint_t             ended;             /* replaced sessions */
    ngx_uint_t             expired;           /* deleted expired sessions */
    unsigned               created:1;
} ngx_chat_query_session_create_t;

extern const ngx_chat_db_type_t  ngx_chat_query_session_create;


/* Sets last_seen_at of a session, if it is older than 5 minutes. */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_chat_hash_t        hash;
} ngx_chat_query_session_seen_t;

extern const ngx_chat_db_type_t  ngx_chat_query_session_seen;


/*
 * Ends all sessions of a user except "keep", in a time that does not depend on
 * their number.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    ngx_chat_hash_t        keep;              /* zeros: none */
    /* out */
    ngx_uint_t             ended;             /* sessions, at most 100 */
} ngx_chat_query_session_end_t;

extern const ngx_chat_db_type_t  ngx_chat_query_session_end;


/* Deletes a session of a user. */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    uint64_t               id;
    /* out */
    ngx_str_t              hash;              /* empty: no such session */
} ngx_chat_query_session_remove_t;

extern const ngx_chat_db_type_t  ngx_chat_query_session_remove;


/* Lists the valid sessions of a user, latest first: ngx_chat_query_list_t. */
extern const ngx_chat_db_type_t  ngx_chat_query_session_list;


/*
 * Replaces the stored password if it is still "old" and the user is active.
 * With end_sessions, all sessions of the user except "keep" end, in a time that
 * does not depend on their number.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    ngx_str_t              old;               /* as stored */
    ngx_str_t              new;
    u_char                 keep[NGX_CHAT_HASH_LEN];
    unsigned               end_sessions:1;
    /* out */
    ngx_uint_t             ended;             /* sessions, at most 100 */
    unsigned               changed:1;
} ngx_chat_query_password_t;

extern const ngx_chat_db_type_t  ngx_chat_query_password_set;


/* error numbers of the database that a send or a change may end with */
#define NGX_CHAT_QUERY_NO_SENDER   1048         /* NULL: the sender is inactive
                                                 or deleted, a user has blocked
                                                 the other one, or the message
                                                 to change does not exist */
#define NGX_CHAT_QUERY_DUPLICATE   1062         /* client id in use, or block
                                                 exists */
#define NGX_CHAT_QUERY_NO_PARENT   1452         /* foreign key: the recipient is
                                                 deleted */
#define NGX_CHAT_QUERY_OLD_SCHEMA  30006        /* set by the statement: the
                                                 tables lack its columns */


/*
 * Stores a message.  Sends that arrive while a packet is in progress form the
 * next transaction of the worker.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_chat_message_t     message;           /* without id */
    ngx_str_t              client_id;
    ngx_uint_t             nfiles;            /* send_files */
    ngx_str_t             *tokens;            /* of these files */
    /* out: message.id */
} ngx_chat_query_send_t;

extern const ngx_chat_db_type_t  ngx_chat_query_send;


/*
 * Stores a message with files: as ngx_chat_query_send, one message per
 * transaction.  If one of the files is not an unsent file of the sender any
 * more, the job ends with NGX_DECLINED and NGX_CHAT_QUERY_NO_SENDER.
 */

#define NGX_CHAT_QUERY_FILES  10              /* per message */

extern const ngx_chat_db_type_t  ngx_chat_query_send_files;


/*
 * message_get: by id, if the user has sent or received it.
 * message_by_client: by sender and client id.  A deleted message has no body.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint64_t               id;
    uint32_t               user_id;
    uint32_t               sender_id;
    ngx_str_t              client_id;
    ngx_str_t              body;              /* message_by_client */
    /* out */
    ngx_chat_message_t     message;           /* id 0: not found */
    ngx_uint_t             edited;            /* flag, message_by_client: "body"
                                                 is the text before any edit */
} ngx_chat_query_message_t;

extern const ngx_chat_db_type_t  ngx_chat_query_message_get;
extern const ngx_chat_db_type_t  ngx_chat_query_message_by_client;


/*
 * Replaces the text of a message, or deletes the message, and stores the
 * change.  If the user is inactive, has not sent the message, or the message
 * is deleted, the job ends with NGX_DECLINED and NGX_CHAT_QUERY_NO_SENDER.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint64_t               id;
    uint32_t               sender_id;
    uint32_t               recipient_id;
    uint32_t               lo_id;             /* of the two users, the lower
                                                 and the higher one */
    uint32_t               hi_id;
    ngx_str_t              time;              /* of the change, without "Z" */
    ngx_str_t              body;              /* change_edit */
} ngx_chat_query_change_t;

extern const ngx_chat_db_type_t  ngx_chat_query_change_edit;
extern const ngx_chat_db_type_t  ngx_chat_query_change_delete;

/* deletes a message that has files */
extern const ngx_chat_db_type_t  ngx_chat_query_change_delete_files;


/*
 * Users that a user has blocked.
 *
 * block_list: ngx_chat_query_list_t, latest first.
 * block_add, block_remove: when the job is done, all messages that were not
 * rejected are committed.  block_add ends with NGX_DECLINED and
 * NGX_CHAT_QUERY_DUPLICATE if the user is blocked already, or with
 * NGX_CHAT_QUERY_NO_SENDER if the blocker is inactive.
 * block_get: reads the blocks of a pair in both directions.
 */

#define NGX_CHAT_BLOCK_LO          1          /* the lower id has blocked the
                                                 higher one */
#define NGX_CHAT_BLOCK_HI          2

/* returns the bit of a block */
#define ngx_chat_block_bit(blocker_id, blocked_id)                            \
    ((blocker_id) < (blocked_id) ? NGX_CHAT_BLOCK_LO : NGX_CHAT_BLOCK_HI)

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               blocker_id;        /* block_get: the user */
    uint32_t               blocked_id;
    uint32_t               lo_id;             /* of the two users, the lower
                                                 and the higher one */
    uint32_t               hi_id;
    uint32_t               bit;               /* ngx_chat_block_bit() */
    ngx_str_t              time;              /* block_add, without "Z" */
    /* out, block_get */
    ngx_uint_t             active;            /* flag of the user */
    ngx_uint_t             blocks;            /* NGX_CHAT_BLOCK_LO|HI */
} ngx_chat_query_block_t;

extern const ngx_chat_db_type_t  ngx_chat_query_block_list;
extern const ngx_chat_db_type_t  ngx_chat_query_block_add;
extern const ngx_chat_db_type_t  ngx_chat_query_block_remove;
extern const ngx_chat_db_type_t  ngx_chat_query_block_get;


/*
 * presence_partners: the latest conversation partners of a user, without those
 * across a block.
 */

#define NGX_CHAT_QUERY_PARTNERS  200

typedef struct {
    uint32_t               id;                /* of the partner */
    ngx_str_t              user;              /* name of the user */
} ngx_chat_query_partner_t;

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    /* out */
    ngx_array_t           *partners;          /* ngx_chat_query_partner_t; NULL:
                                                 the query has failed */
} ngx_chat_query_presence_t;

extern const ngx_chat_db_type_t  ngx_chat_query_presence_partners;


/* presence_store: sets last_seen_at of users whose rows are not locked */

#define NGX_CHAT_QUERY_PRESENCE_BATCH  32

typedef struct {
    uint32_t               id;
    ngx_msec_t             ago;               /* ms */
} ngx_chat_query_seen_t;

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    ngx_uint_t             n;
    ngx_chat_query_seen_t  users[NGX_CHAT_QUERY_PRESENCE_BATCH];
} ngx_chat_query_presence_store_t;

extern const ngx_chat_db_type_t  ngx_chat_query_presence_store;


/*
 * The rest is for other files of src/query.
 *
 * Columns of a message: "m" is chat_message, "s" and "r" are its users.
 */

#define NGX_CHAT_QUERY_COLUMNS(sender, recipient)                             \
    "m.id, m.sender_id, m.recipient_id, " sender ", " recipient ","           \
    " m.created_at, m.body"

#define NGX_CHAT_QUERY_MESSAGE                                                \
    NGX_CHAT_QUERY_COLUMNS("s.username", "r.username")

/* the columns that follow; the others are for earlier tables */
#define NGX_CHAT_QUERY_CHANGED      ", m.reply_to, m.edited_at"
#define NGX_CHAT_QUERY_NOT_CHANGED  ", NULL, NULL"

/*
 * Statements for tables without files name an index that the migration renames.
 * They fail after it, instead of returning messages without their files.
 */
#define NGX_CHAT_QUERY_NO_FILES                                               \
    ", (SELECT NULL FROM chat_session FORCE INDEX (id) LIMIT 0)"

/* as NGX_CHAT_QUERY_UNSUPPORTED, for tables without files */
#define NGX_CHAT_QUERY_FILES_UNSUPPORTED                                      \
    "DO (SELECT id FROM chat_session FORCE INDEX (id) LIMIT 0);"              \
    "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30006"

/* writes the columns behind the text of a message */
void ngx_chat_query_add_changed(ngx_chat_db_buf_t *text);

/* writes the column "files" of a table, "m" or "t" */
#define ngx_chat_query_add_files(text, column)                                \
    ngx_chat_query_text(text,                                                 \
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_FILES)                    \
        ? NGX_CHAT_QUERY_NO_FILES : ", " column)

#define NGX_CHAT_QUERY_JOIN_NAMES                                             \
    " JOIN chat_user s ON s.id = m.sender_id"                                 \
    " JOIN chat_user r ON r.id = m.recipient_id"

/*
 * Statements for earlier tables would show changes as messages.  Each of them
 * names an index that the migration removes, and therefore fails after it.
 */
#define NGX_CHAT_QUERY_OLD_INDEX(index)                                       \
    " FORCE INDEX (" index ", conversation)"

/* the block of the last of $4 + 1 conversations below message $2 */
#define NGX_CHAT_QUERY_FIRST_BLOCK(where, index)                              \
    "COALESCE((SELECT last_block FROM chat_conversation"                      \
    " FORCE INDEX (" index ") WHERE " where                                   \
    " AND last_block <= $2 >> 16 AND last_message_id < $2"                    \
    " ORDER BY last_block DESC LIMIT $4, 1), 0)"

/* a packet for earlier tables that have no columns for it */
#define NGX_CHAT_QUERY_UNSUPPORTED                                            \
    "DO (SELECT id FROM chat_message FORCE INDEX (conversation) LIMIT 0);"    \
    "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30006"

/*
 * Statements for tables without blocks would ignore them.  Each has this
 * condition, and therefore fails after the migration, which renames the index.
 */
#define NGX_CHAT_QUERY_NO_BLOCKS                                              \
    " AND NOT EXISTS (SELECT 1 FROM chat_session FORCE INDEX (expires_at)"    \
                    " WHERE FALSE)"

/*
 * The same for tables without profiles, which the statements would not return
 * after the migration.
 */
#define NGX_CHAT_QUERY_NO_PROFILES                                            \
    " AND NOT EXISTS (SELECT 1 FROM chat_user FORCE INDEX (username_key)"     \
                    " WHERE FALSE)"
#define NGX_CHAT_QUERY_PROFILES_UNSUPPORTED                                   \
    "DO (SELECT id FROM chat_user FORCE INDEX (username_key) LIMIT 0);"       \
    "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30006"

/* columns of chat_user u; the second one is for earlier tables */
#define NGX_CHAT_QUERY_PROFILE     ", u.display_name, u.avatar_url"
#define NGX_CHAT_QUERY_NO_PROFILE  ", NULL, NULL"

/* writes a statement that adds the words of a user, if @chat_changed is true */
void ngx_chat_query_add_words(ngx_chat_db_buf_t *text, uint32_t user_id);

/* the condition of a row by name; writes at most one row */
void ngx_chat_query_names(ngx_chat_db_buf_t *text, ngx_chat_forms_t *forms);

/*
 * Compares a column, " AND column", with the name of the last row of the
 * previous page, if there is one.
 */
void ngx_chat_query_users_after(ngx_chat_db_buf_t *text,
    ngx_chat_forms_t *after, const char *column);

/* writes the columns of ngx_chat_user_t, and their source */
void ngx_chat_query_add_user(ngx_chat_db_buf_t *text);

/* the columns of ngx_chat_user_t */
extern const ngx_chat_query_member_t  ngx_chat_query_user_columns[];

/* as NGX_CHAT_QUERY_UNSUPPORTED, for tables without blocks */
#define NGX_CHAT_QUERY_BLOCKS_UNSUPPORTED                                     \
    "DO (SELECT id FROM chat_session FORCE INDEX (expires_at) LIMIT 0);"      \
    "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 30006"

/* writes a floor into the slot of the connection, before ids are taken */
#define NGX_CHAT_QUERY_FLOOR                                                  \
    "INSERT INTO chat_writing (slot, floor_id)"                               \
    " SELECT @@auto_increment_offset * 256 + @chat_slot,"                     \
           " COALESCE(MAX(id), 0) + 1"                                        \
    " FROM chat_message"                                                      \
    " ON DUPLICATE KEY UPDATE"                                                \
    " turn = turn + 1, floor_id = VALUES(floor_id);"


/*
 * Limits of the time of a statement, "$n" milliseconds: a prefix for MariaDB
 * and a hint after SELECT for MySQL, which has none for INSERT.
 */

#define NGX_CHAT_QUERY_LIMIT(ms)                                              \
    "/*M!100101 SET STATEMENT max_statement_time = " ms "e-3 FOR */"

#define NGX_CHAT_QUERY_HINT(ms)  "/*+ MAX_EXECUTION_TIME(" ms ") */"


/*
 * The columns of NGX_CHAT_QUERY_MESSAGE and those that follow, as members of
 * ngx_chat_message_t.
 */
extern const ngx_chat_query_member_t  ngx_chat_query_message_columns[];

/* returns the key of a conversation, for key() of a query type */
uint64_t ngx_chat_query_pair_key(uint32_t one, uint32_t other);


/*
 * Messages of a user, with all peers or with one.
 *
 * history_page: newest first, from an offset, and the number of all.
 * history_count: only the number of all.
 * history_far: newest first, from an offset that counts from the oldest.
 * history_before: ids below "id", newest first.
 * history_after: ids above "id", oldest first, and the horizon; messages is
 * NULL if there are none.
 * history_search: ids below "id" whose text contains "search", newest first.
 * It examines at most NGX_CHAT_QUERY_SEARCH_MAX messages; with has_more, the
 * next "id" is "lowest".
 *
 * No message of the user can appear at or below the horizon any more: see
 * chat_writing in sql/schema.sql.  If "own" is not set, the horizon is the id
 * of a message of other users, and must not be disclosed.
 */

#define NGX_CHAT_QUERY_SEARCH_MAX  2000

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    uint32_t               peer_id;           /* 0: all peers */
    ngx_str_t              user;              /* names; set if peer_id is */
    ngx_str_t              peer;
    uint64_t               id;
    uint64_t               offset;
    ngx_uint_t             limit;
    ngx_str_t              search;            /* history_search */
    unsigned               last:1;            /* history_page: the last page,
                                                 without an offset */
    unsigned               changes:1;         /* history_after, history_before:
                                                 messages and changes */
    /* out */
    ngx_array_t           *messages;          /* ngx_chat_message_t */
    uint64_t               count;             /* history_page, history_count */
    uint64_t               horizon;           /* history_after */
    uint64_t               lowest;            /* history_search: id, 0: no
                                                 message was examined */
    unsigned               own:1;             /* history_after: the horizon is
                                                 the id of a message of the
                                                 user, or 0 */
    unsigned               has_more:1;        /* not history_page */

    /* private to history_after: uncommitted data */
    uint64_t              *dirty;             /* ids */
    ngx_uint_t             ndirty;
    ngx_array_t           *writing;           /* slots of chat_writing */
} ngx_chat_query_history_t;

extern const ngx_chat_db_type_t  ngx_chat_query_history_page;
extern const ngx_chat_db_type_t  ngx_chat_query_history_count;
extern const ngx_chat_db_type_t  ngx_chat_query_history_far;
extern const ngx_chat_db_type_t  ngx_chat_query_history_before;
extern const ngx_chat_db_type_t  ngx_chat_query_history_after;
extern const ngx_chat_db_type_t  ngx_chat_query_history_search;


/* Parts of these queries, for files of src/query only. */

/* selects ids of the messages; in "where", $1 is op->id */
void ngx_chat_query_add_ids(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit);

/* reads op->messages and op->has_more; returns NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_query_get_messages(ngx_chat_db_result_t *res,
    ngx_chat_query_history_t *op);

/* removes the results of an earlier attempt */
void ngx_chat_query_clear_messages(ngx_chat_query_history_t *op);

/*
 * For other files of src/query: the number of indexes and kinds that have the
 * ids of the operation, and the rest of a SELECT from one of them, up to its
 * WHERE.
 */
ngx_uint_t ngx_chat_query_parts(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op);
void ngx_chat_query_add_part(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, ngx_uint_t i);


/* conversations whose last message is below "before", latest first */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    ngx_str_t              user;              /* name */
    uint64_t               before;            /* message id; 0: from the latest
                                                 conversation */
    ngx_uint_t             limit;
    /* out */
    ngx_array_t           *conversations;     /* ngx_chat_conversation_t */
    ngx_uint_t             has_more;          /* flag */
} ngx_chat_query_conversations_t;

extern const ngx_chat_db_type_t  ngx_chat_query_conversations;


/*
 * Sets a read mark to the last message at or below "id"; it never moves back.
 * A packet examines a limited number of messages, and is repeated while
 * has_more is set.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    uint32_t               peer_id;
    uint64_t               id;
    /* out */
    uint64_t               unread;            /* messages */
    uint64_t               read_id;
    ngx_uint_t             active;            /* flag of the user; if 0, the
                                                 mark is not set */
    ngx_uint_t             has_more;          /* flag */
} ngx_chat_query_read_t;

extern const ngx_chat_db_type_t  ngx_chat_query_read;


/*
 * Queries the GTID position of the database.  A server that has reached it has
 * all data that was acknowledged before the query.
 */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    u_char                *buf;
    size_t                 size;              /* size of buf, bytes */
    /* out */
    ngx_str_t              position;          /* in buf; empty: none */
    unsigned               too_long:1;        /* or has unknown characters */
} ngx_chat_query_position_t;

extern const ngx_chat_db_type_t  ngx_chat_query_position;


/*
 * Writes a statement that waits until the server has reached a position, to
 * precede another packet.
 */
void ngx_chat_query_reached_build(ngx_chat_db_buf_t *text,
    ngx_str_t *position);

/* reads its result; returns NGX_OK, or NGX_DECLINED if it is not reached */
ngx_int_t ngx_chat_query_reached(ngx_chat_db_result_t *res);


/*
 * Versions of the schema that the module works with: from that of the previous
 * release to the current one, so that the tables are upgraded while the site is
 * in use.
 */
#define NGX_CHAT_SCHEMA_VERSION   9
#define NGX_CHAT_SCHEMA_PREVIOUS  5

/* the version that added changes of messages */
#define NGX_CHAT_SCHEMA_CHANGES   6

/* the version that added blocks */
#define NGX_CHAT_SCHEMA_BLOCKS    7

/* the version that added files */
#define NGX_CHAT_SCHEMA_FILES     8

/* the version that added profiles */
#define NGX_CHAT_SCHEMA_PROFILES  9


/*
 * "setup" of ngx_chat_db_create(): checks the version of the schema and selects
 * a slot of chat_writing.  The second one is for one server of a list: it also
 * rejects a read-only server.
 */
extern const ngx_chat_db_type_t  ngx_chat_query_setup;
extern const ngx_chat_db_type_t  ngx_chat_query_setup_writer;

/* succeeds if the database responds; the job has no other members */
extern const ngx_chat_db_type_t  ngx_chat_query_ready;


#endif /* _NGX_CHAT_QUERY_H_INCLUDED_ */
