
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"


/*
 * A change is a row of chat_message of kind 1, with an id of its own, so that
 * "after=" never skips it (docs/design/changes.md).  Only the latest change of
 * a message is of this kind; earlier ones become kind 2, as the message itself
 * when it is deleted.
 *
 * In the statements, $1 is the message, $2 its sender, $3 its recipient, $4 the
 * time, $5 the limit of the wait for a lock, ms, and $6 and $7 are the users of
 * the conversation.
 *
 * Locks are taken before the floor, which would hold back the horizon of all
 * users meanwhile.  Their order is that of a single send and of "chatctl":
 * users, message, conversation.  If a row is not as expected, a variable is
 * NULL, and the column sender_id rejects it.
 */

#define NGX_CHAT_QUERY_CHANGE_LOCK                                            \
    "START TRANSACTION;"                                                      \
    NGX_CHAT_QUERY_LIMIT("$5")                                                \
    "SELECT " NGX_CHAT_QUERY_HINT("$5")                                       \
    " MAX(IF(id = $2 AND is_active, 0, NULL)) INTO @chat_active"              \
    " FROM chat_user WHERE id IN ($2, $3) LOCK IN SHARE MODE;"                \
    NGX_CHAT_QUERY_LIMIT("$5")                                                \
    "SELECT " NGX_CHAT_QUERY_HINT("$5") " MAX(id), MAX(change_id)"            \
    " INTO @chat_message, @chat_previous FROM chat_message"                   \
    " FORCE INDEX (PRIMARY)"                                                  \
    " WHERE id = $1 AND sender_id = $2 AND kind = 0 FOR UPDATE;"

#define NGX_CHAT_QUERY_CHANGE_INSERT                                          \
    NGX_CHAT_QUERY_FLOOR                                                      \
    "INSERT INTO chat_message"                                                \
    " (sender_id, recipient_id, created_at, kind, target_id, body)"           \
    " VALUES ($2 + @chat_active + 0 * @chat_message, $3, $4, 1, $1, '');"     \
    "SET @chat_change = LAST_INSERT_ID();"                                    \
    "UPDATE chat_message FORCE INDEX (PRIMARY) SET kind = 2"                  \
    " WHERE id = @chat_previous;"


static uint64_t ngx_chat_query_change_key(ngx_chat_db_job_t *job);


static const ngx_chat_query_member_t  ngx_chat_query_change_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_change_t, id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_change_t, sender_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_change_t, recipient_id),
    ngx_chat_query_member(STRING, ngx_chat_query_change_t, time),
    ngx_chat_query_member(NUMBER, ngx_chat_query_change_t, job.lock_wait),
    ngx_chat_query_member(NUMBER, ngx_chat_query_change_t, lo_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_change_t, hi_id),
    ngx_chat_query_member(STRING, ngx_chat_query_change_t, body),
    ngx_chat_query_members_end
};


/*
 * The first edit keeps a hash of the first text, with which a repeated send is
 * recognized.  An edit does not cross a block, like a send; a deletion does.
 */

static const ngx_chat_query_plain_t  ngx_chat_query_change_edit_plain = {
    .sql = NGX_CHAT_QUERY_CHANGE_LOCK
           NGX_CHAT_QUERY_LIMIT("$5")
           "SELECT " NGX_CHAT_QUERY_HINT("$5")
           " @chat_active + IF(MAX(blocks) > 0, NULL, 0) INTO @chat_active"
           " FROM chat_conversation"
           " WHERE lo_id = $6 AND hi_id = $7 LOCK IN SHARE MODE;"
           NGX_CHAT_QUERY_CHANGE_INSERT
           "UPDATE chat_message FORCE INDEX (PRIMARY) SET"
           " sent_hash = IF(edited_at IS NULL,"
                          " UNHEX(SHA2(CONCAT(client_id, body), 256)),"
                          " sent_hash),"
           " body = $8, edited_at = $4, change_id = @chat_change"
           " WHERE id = $1;"
           "COMMIT",
    .previous = NGX_CHAT_QUERY_BLOCKS_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_BLOCKS,
    .values = ngx_chat_query_change_values
};


/*
 * The row of a deleted message remains for its client_id.  The last message of
 * the conversation is read after the message is deleted, while the conversation
 * is locked.  Sends that are not committed set it afterwards.
 */

#define NGX_CHAT_QUERY_CHANGE_DELETE(columns, files)                          \
    NGX_CHAT_QUERY_CHANGE_LOCK                                                \
    NGX_CHAT_QUERY_LIMIT("$5")                                                \
    "SELECT " NGX_CHAT_QUERY_HINT("$5") " MAX(last_message_id)"               \
    " INTO @chat_last FROM chat_conversation"                                 \
    " WHERE lo_id = $6 AND hi_id = $7 FOR UPDATE;"                            \
    NGX_CHAT_QUERY_CHANGE_INSERT                                              \
    "UPDATE chat_message FORCE INDEX (PRIMARY) SET"                           \
    " kind = 2, body = '', reply_to = NULL, edited_at = NULL,"                \
    " sent_hash = NULL, change_id = @chat_change" columns " WHERE id = $1;"   \
    files                                                                     \
    "SELECT MAX(id) INTO @chat_last FROM chat_message"                        \
    " FORCE INDEX (pair) WHERE lo_id = $6 AND hi_id = $7 AND kind = 0;"       \
    "UPDATE chat_conversation FORCE INDEX (PRIMARY) SET"                      \
    " message_count = message_count - LEAST(message_count, 1),"               \
    " deleted_count = deleted_count + 1,"                                     \
    " last_message_id = COALESCE(@chat_last, 0),"                             \
    " lo_unread = lo_unread - IF(lo_id = $3 AND lo_read_id < $1,"             \
                               " LEAST(lo_unread, 1), 0),"                    \
    " hi_unread = hi_unread - IF(hi_id = $3 AND hi_read_id < $1,"             \
                               " LEAST(hi_unread, 1), 0)"                     \
    " WHERE lo_id = $6 AND hi_id = $7;"                                       \
    "COMMIT"


static const ngx_chat_query_plain_t  ngx_chat_query_change_delete_plain = {
    .sql = NGX_CHAT_QUERY_CHANGE_DELETE("", ""),
    .previous = NGX_CHAT_QUERY_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_CHANGES,
    .values = ngx_chat_query_change_values
};


/* the contents are removed later, when the transaction is committed */

static const ngx_chat_query_plain_t
    ngx_chat_query_change_delete_files_plain =
{
    .sql = NGX_CHAT_QUERY_CHANGE_DELETE(", files = NULL",
               "UPDATE chat_file SET state = 2, name = ''"
               " WHERE message_id = $1 AND state = 1;"),
    .previous = NGX_CHAT_QUERY_FILES_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_FILES,
    .values = ngx_chat_query_change_values
};


const ngx_chat_db_type_t  ngx_chat_query_change_edit = {
    .name = ngx_string("message.edit"),
    .batch = 1,
    .transaction = 1,
    .visible = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .key = ngx_chat_query_change_key,
    .data = &ngx_chat_query_change_edit_plain
};


const ngx_chat_db_type_t  ngx_chat_query_change_delete = {
    .name = ngx_string("message.delete"),
    .batch = 1,
    .transaction = 1,
    .visible = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .key = ngx_chat_query_change_key,
    .data = &ngx_chat_query_change_delete_plain
};


const ngx_chat_db_type_t  ngx_chat_query_change_delete_files = {
    .name = ngx_string("message.delete_files"),
    .batch = 1,
    .transaction = 1,
    .visible = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .key = ngx_chat_query_change_key,
    .data = &ngx_chat_query_change_delete_files_plain
};


static uint64_t
ngx_chat_query_change_key(ngx_chat_db_job_t *job)
{
    ngx_chat_query_change_t  *op = (ngx_chat_query_change_t *) job;

    return ngx_chat_query_pair_key(op->lo_id, op->hi_id);
}
