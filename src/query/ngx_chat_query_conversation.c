
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/* maximum number of messages that a packet of a read mark examines */
#define NGX_CHAT_QUERY_READ_STEP  1000


/*
 * Statements of a read mark: conversation $1, $2; user $3, its "lo" or "hi";
 * mark $4; messages per packet $5; limit of the wait for a lock $6, ms.
 */

/* changes with each message and each deletion; the latter is for old tables */
#define NGX_CHAT_QUERY_READ_VERSION      "message_count + 2 * deleted_count"
#define NGX_CHAT_QUERY_READ_OLD_VERSION  "message_count"

/* the messages of the conversation: index, key */
#define NGX_CHAT_QUERY_READ_MESSAGES                                          \
    " FORCE INDEX (pair) WHERE lo_id = $1 AND hi_id = $2 AND kind = 0"
#define NGX_CHAT_QUERY_READ_OLD_MESSAGES                                      \
    " FORCE INDEX (conversation) WHERE lo_id = $1 AND hi_id = $2"

/*
 * Reads the conversation, to count messages and to detect changes later.
 * @chat_hi is $2 if the new mark is above the old one.  Otherwise it matches no
 * row, so that none is locked; a condition beside the key would not prevent it.
 */
#define NGX_CHAT_QUERY_READ_SEE(side, version)                                \
    "SELECT MAX(" side "_read_id), MAX(" version "), MAX(last_message_id),"   \
    " IF(MAX(" side "_read_id) < LEAST($4, MAX(last_message_id)), $2, 0)"     \
    " INTO @chat_read, @chat_count, @chat_last, @chat_hi"                     \
    " FROM chat_conversation WHERE lo_id = $1 AND hi_id = $2;"

/* counts the next messages up to the mark, unless it is at the end */
#define NGX_CHAT_QUERY_READ_COUNT(messages)                                   \
    "SELECT COUNT(*), SUM(sender_id <> $3), MAX(id)"                          \
    " INTO @chat_n, @chat_unread, @chat_to"                                   \
    " FROM (SELECT id, sender_id FROM chat_message" messages                  \
    " AND id > @chat_read AND id <= $4"                                       \
    " AND $4 < @chat_last ORDER BY id LIMIT $5) AS m;"

#define NGX_CHAT_QUERY_READ_LOCK(side, version)                               \
    "START TRANSACTION;"                                                      \
    NGX_CHAT_QUERY_LIMIT("$6")                                                \
    "SELECT " NGX_CHAT_QUERY_HINT("$6") " MAX(" side "_read_id),"             \
    " MAX(" side "_read_id) = @chat_read"                                     \
    " AND MAX(" version ") = @chat_count INTO @chat_now, @chat_same"          \
    " FROM chat_conversation WHERE lo_id = $1 AND hi_id = @chat_hi"           \
    " FOR UPDATE;"

#define NGX_CHAT_QUERY_READ_AGAIN(messages)                                   \
    "SELECT COUNT(*) INTO @chat_again FROM chat_message" messages             \
    " AND id > @chat_now AND id <= @chat_to"                                  \
    " AND sender_id <> $3 AND NOT @chat_same;"

#define NGX_CHAT_QUERY_READ_ACTIVE                                            \
    " AND EXISTS (SELECT 1 FROM chat_user WHERE id = $3 AND is_active);"

#define NGX_CHAT_QUERY_READ_MARK(side)                                        \
    "UPDATE chat_conversation FORCE INDEX (PRIMARY) SET "                     \
    side "_unread = IF($4 >= last_message_id, 0, " side "_unread"             \
        " - LEAST(" side "_unread, IF(@chat_same, @chat_unread,"              \
                                    " @chat_again))), "                       \
    side "_read_id = IF($4 >= last_message_id, last_message_id, @chat_to)"    \
    " WHERE lo_id = $1 AND hi_id = @chat_hi"                                  \
    " AND " side "_read_id"                                                   \
        " < IF($4 >= last_message_id, last_message_id, @chat_to)"             \
    NGX_CHAT_QUERY_READ_ACTIVE

#define NGX_CHAT_QUERY_READ_OWN                                               \
    "UPDATE chat_conversation FORCE INDEX (PRIMARY)"                          \
    " SET hi_unread = 0, hi_read_id = LEAST($4, last_message_id)"             \
    " WHERE lo_id = $1 AND hi_id = @chat_hi"                                  \
    " AND hi_read_id < LEAST($4, last_message_id)"                            \
    NGX_CHAT_QUERY_READ_ACTIVE

#define NGX_CHAT_QUERY_READ_DONE(side, more)                                  \
    "SELECT u.is_active, c." side "_unread, c." side "_read_id, " more        \
    " FROM chat_user u LEFT JOIN chat_conversation c"                         \
    " ON c.lo_id = $1 AND c.hi_id = $2 WHERE u.id = $3;"                      \
    "COMMIT"

#define NGX_CHAT_QUERY_READ_WITH(side, version, messages)                     \
    NGX_CHAT_QUERY_READ_SEE(side, version)                                    \
    NGX_CHAT_QUERY_READ_COUNT(messages)                                       \
    NGX_CHAT_QUERY_READ_LOCK(side, version)                                   \
    NGX_CHAT_QUERY_READ_AGAIN(messages)                                       \
    NGX_CHAT_QUERY_READ_MARK(side)                                            \
    NGX_CHAT_QUERY_READ_DONE(side, "c." side "_read_id < $4"                  \
        " AND $4 < c.last_message_id"                                         \
        " AND (@chat_n = $5 OR $4 >= @chat_last)")

#define NGX_CHAT_QUERY_READ(side)                                             \
    NGX_CHAT_QUERY_READ_WITH(side, NGX_CHAT_QUERY_READ_VERSION,               \
                             NGX_CHAT_QUERY_READ_MESSAGES)
#define NGX_CHAT_QUERY_READ_OLD(side)                                         \
    NGX_CHAT_QUERY_READ_WITH(side, NGX_CHAT_QUERY_READ_OLD_VERSION,           \
                             NGX_CHAT_QUERY_READ_OLD_MESSAGES)

/* messages to oneself are never unread */
#define NGX_CHAT_QUERY_READ_NOTES                                             \
    NGX_CHAT_QUERY_READ_SEE("hi", NGX_CHAT_QUERY_READ_OLD_VERSION)            \
    NGX_CHAT_QUERY_READ_LOCK("hi", NGX_CHAT_QUERY_READ_OLD_VERSION)           \
    NGX_CHAT_QUERY_READ_OWN                                                   \
    NGX_CHAT_QUERY_READ_DONE("hi", "0")


/*
 * The conversations of an inbox, and the users and messages that its columns
 * name.  Only the latest blocks of ids that together have enough rows are read
 * and sorted.  One row beyond the limit shows whether there are more.
 */
#define NGX_CHAT_QUERY_INBOX(blocks, where)                                   \
    " FROM ("                                                                 \
    "(SELECT last_message_id AS id, hi_id AS peer_id, lo_unread AS unread,"   \
           " lo_read_id AS read_id, hi_read_id AS peer_read_id, "             \
           blocks " AS blocks"                                                \
    " FROM chat_conversation FORCE INDEX (lo_inbox)"                          \
    " WHERE lo_id = $1 AND last_block <= $2 >> 16"                            \
    " AND last_message_id < $2 AND last_block >= "                            \
    NGX_CHAT_QUERY_FIRST_BLOCK("lo_id = $1", "lo_inbox")                      \
    where                                                                     \
    " ORDER BY last_message_id DESC LIMIT $3)"                                \
    " UNION ALL "                                                             \
    "(SELECT last_message_id, lo_id, hi_unread, hi_read_id, lo_read_id, "     \
           blocks                                                             \
    " FROM chat_conversation FORCE INDEX (hi_inbox)"                          \
    " WHERE hi_id = $1 AND lo_id <> $1 AND last_block <= $2 >> 16"            \
    " AND last_message_id < $2 AND last_block >= "                            \
    NGX_CHAT_QUERY_FIRST_BLOCK("hi_id = $1 AND lo_id <> $1", "hi_inbox")      \
    " ORDER BY last_message_id DESC LIMIT $3)"                                \
    " ORDER BY id DESC LIMIT $3"                                              \
    ") AS c JOIN chat_user u ON u.id = c.peer_id"                             \
    " JOIN chat_message m ON m.id = c.id"                                     \
    " ORDER BY c.id DESC"


static void ngx_chat_query_conversations_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_conversations_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_query_read_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_read_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static uint64_t ngx_chat_query_read_key(ngx_chat_db_job_t *job);


static const ngx_chat_query_member_t  ngx_chat_query_conversation_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, peer_id),
    ngx_chat_query_member(STRING, ngx_chat_conversation_t, peer),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, unread),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, read_id),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, peer_read_id),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, last.id),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, last.sender_id),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, last.recipient_id),
    ngx_chat_query_member(TIME, ngx_chat_conversation_t, last.timestamp),
    ngx_chat_query_member(STRING, ngx_chat_conversation_t, last.body),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, last.reply_to),
    ngx_chat_query_member(TIME, ngx_chat_conversation_t, last.edited),
    ngx_chat_query_member(STRING, ngx_chat_conversation_t, last.files),
    ngx_chat_query_member(TIME, ngx_chat_conversation_t, profile.seen),
    ngx_chat_query_member(NUMBER, ngx_chat_conversation_t, profile.blocks),
    ngx_chat_query_member(STRING, ngx_chat_conversation_t,
                          profile.display_name),
    ngx_chat_query_member(STRING, ngx_chat_conversation_t, profile.avatar_url),
    ngx_chat_query_members_end
};


const ngx_chat_db_type_t  ngx_chat_query_conversations = {
    .name = ngx_string("conversations"),
    .batch = 1,
    .replica = 1,
    .visible = 1,
    .build = ngx_chat_query_conversations_build,
    .result = ngx_chat_query_conversations_result
};


static const ngx_chat_query_member_t  ngx_chat_query_read_columns[] = {
    ngx_chat_query_member(BOOL, ngx_chat_query_read_t, active),
    ngx_chat_query_member(NUMBER, ngx_chat_query_read_t, unread),
    ngx_chat_query_member(NUMBER, ngx_chat_query_read_t, read_id),
    ngx_chat_query_member(BOOL, ngx_chat_query_read_t, has_more),
    ngx_chat_query_members_end
};


const ngx_chat_db_type_t  ngx_chat_query_read = {
    .name = ngx_string("read"),
    .batch = 1,
    .transaction = 1,
    .visible = 1,
    .build = ngx_chat_query_read_build,
    .result = ngx_chat_query_read_result,
    .key = ngx_chat_query_read_key
};


static void
ngx_chat_query_conversations_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_conversations_t  *op;

    op = (ngx_chat_query_conversations_t *) jobs[0];

    op->conversations = NULL;
    op->has_more = 0;

    ngx_chat_query_text(text,
        "SELECT STRAIGHT_JOIN c.peer_id, u.username, c.unread, c.read_id,"
                            " c.peer_read_id, "
        "m.id, m.sender_id, m.recipient_id, m.created_at, m.body");
    ngx_chat_query_add_changed(text);

    ngx_chat_query_text(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)
        ? ", u.last_seen_at, c.blocks" NGX_CHAT_QUERY_NO_PROFILE
        : ", u.last_seen_at, c.blocks" NGX_CHAT_QUERY_PROFILE);
    ngx_chat_query_add(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_BLOCKS)
        ? NGX_CHAT_QUERY_INBOX("0", NGX_CHAT_QUERY_NO_BLOCKS)
        : ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)
        ? NGX_CHAT_QUERY_INBOX("blocks", NGX_CHAT_QUERY_NO_PROFILES)
        : NGX_CHAT_QUERY_INBOX("blocks", ""),
        ngx_chat_query_number(op->user_id),
        ngx_chat_query_number(op->before ? op->before : UINT64_MAX),
        ngx_chat_query_number(op->limit + 1),
        ngx_chat_query_number(op->limit));
}


static ngx_int_t
ngx_chat_query_conversations_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t                       i;
    ngx_chat_message_t              *last;
    ngx_chat_conversation_t         *conversation;
    ngx_chat_query_conversations_t  *op;

    op = (ngx_chat_query_conversations_t *) jobs[0];

    if (ngx_chat_query_get_rows(res, op->job.pool,
                                ngx_chat_query_conversation_columns,
                                sizeof(ngx_chat_conversation_t), op->limit,
                                &op->conversations, &op->has_more)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    conversation = op->conversations->elts;

    for (i = 0; i < op->conversations->nelts; i++) {
        last = &conversation[i].last;

        last->sender = (last->sender_id == op->user_id)
                       ? op->user : conversation[i].peer;
        last->recipient = (last->recipient_id == op->user_id)
                          ? op->user : conversation[i].peer;
    }

    return NGX_OK;
}


/*
 * "unread" is the number of visible messages of the peer with an id above the
 * read mark.  A send increases it only if its ids are above the mark; otherwise
 * a message that is committed late would stay unread for ever.
 *
 * A mark is always the id of a visible message of the conversation.  Ids that
 * another packet has taken for the conversation and not committed yet, a block
 * without gaps, are therefore all above the mark or all below it.
 *
 * Work that grows with the history is not done while the row is locked.  With
 * a mark at the last message, none is unread.  Another mark subtracts the
 * messages between the old mark and the new one.  They are counted before the
 * row is locked, a limited number at a time; the endpoint repeats the packet
 * while there are more.  The count is correct if the conversation has not
 * changed since, which NGX_CHAT_QUERY_READ_VERSION shows.  If it has changed,
 * the same messages, and those committed meanwhile, are counted again under the
 * lock.
 *
 * A statement reads the rows that were committed when it began.  Therefore a
 * separate statement locks the row, before those that depend on it.
 */

static void
ngx_chat_query_read_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    const char  *template;
    ngx_chat_query_read_t  *op = (ngx_chat_query_read_t *) jobs[0];

    op->unread = 0;
    op->read_id = 0;
    op->active = 0;
    op->has_more = 0;

    if (op->user_id == op->peer_id) {
        template = NGX_CHAT_QUERY_READ_NOTES;

    } else if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES)) {
        template = op->user_id < op->peer_id ? NGX_CHAT_QUERY_READ_OLD("lo")
                                             : NGX_CHAT_QUERY_READ_OLD("hi");

    } else {
        template = op->user_id < op->peer_id ? NGX_CHAT_QUERY_READ("lo")
                                             : NGX_CHAT_QUERY_READ("hi");
    }

    ngx_chat_query_add(text, template,
        ngx_chat_query_number(ngx_min(op->user_id, op->peer_id)),
        ngx_chat_query_number(ngx_max(op->user_id, op->peer_id)),
        ngx_chat_query_number(op->user_id),
        ngx_chat_query_number(op->id),
        ngx_chat_query_number(NGX_CHAT_QUERY_READ_STEP),
        ngx_chat_query_number(op->job.lock_wait));
}


/* only the last statement returns a row, unless the reader is deleted */

static ngx_int_t
ngx_chat_query_read_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t          *row;
    ngx_chat_db_job_t  *job = jobs[0];

    row = ngx_chat_db_fetch(res);

    return (row != NULL) ? ngx_chat_query_get_row(job->pool, row,
                                                  ngx_chat_query_read_columns,
                                                  job)
                         : NGX_OK;
}


static uint64_t
ngx_chat_query_read_key(ngx_chat_db_job_t *job)
{
    ngx_chat_query_read_t  *op = (ngx_chat_query_read_t *) job;

    return ngx_chat_query_pair_key(op->user_id, op->peer_id);
}
