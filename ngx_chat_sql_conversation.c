
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_sql_message.h"
#include "ngx_chat_sql_text.h"


/* Statements on conversations. */


/* pair $1, $2; person $3, who is the pair's "lo" or "hi"; message $4 */
#define NGX_CHAT_SQL_READ(side)                                               \
    "START TRANSACTION;"                                                      \
    "SELECT " side "_unread, " side "_read_id FROM chat_conversation"         \
    " WHERE lo_id = $1 AND hi_id = $2 FOR UPDATE;"                            \
    "UPDATE chat_conversation FORCE INDEX (PRIMARY) SET "                     \
    side "_read_id = LEAST($4, last_message_id), "                            \
    side "_unread ="                                                          \
        " (SELECT COUNT(*) FROM chat_message FORCE INDEX (conversation)"      \
        " WHERE lo_id = $1 AND hi_id = $2 AND id > $4 AND sender_id <> $3)"   \
    " WHERE lo_id = $1 AND hi_id = $2"                                        \
    " AND " side "_read_id <= LEAST($4, last_message_id);"                    \
    "SELECT " side "_unread, " side "_read_id FROM chat_conversation"         \
    " WHERE lo_id = $1 AND hi_id = $2;"                                       \
    "COMMIT"


/* the block that the last of $4 + 1 conversations below message $2 is in */
#define NGX_CHAT_SQL_FIRST_BLOCK(where, index)                                \
    "COALESCE((SELECT last_block FROM chat_conversation"                      \
    " FORCE INDEX (" index ") WHERE " where                                   \
    " AND last_block <= $2 >> 16 AND last_message_id < $2"                    \
    " ORDER BY last_block DESC LIMIT $4, 1), 0)"


static void ngx_chat_sql_conversations_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_conversations_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_get_conversation(
    ngx_chat_sql_conversations_t *op, ngx_str_t *row,
    ngx_chat_conversation_t *conversation);

static void ngx_chat_sql_read_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_read_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


const ngx_chat_db_class_t  ngx_chat_sql_conversations = {
    .name = ngx_string("conversations"),
    .batch = 1,
    .replica = 1,
    .news = 1,
    .build = ngx_chat_sql_conversations_build,
    .result = ngx_chat_sql_conversations_result
};


const ngx_chat_db_class_t  ngx_chat_sql_read = {
    .name = ngx_string("read"),
    .batch = 1,
    .transaction = 1,
    .news = 1,
    .build = ngx_chat_sql_read_build,
    .result = ngx_chat_sql_read_result
};


static void
ngx_chat_sql_conversations_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_conversations_t  *op;

    op = (ngx_chat_sql_conversations_t *) jobs[0];

    op->conversations = NULL;
    op->more = 0;

    /*
     * One row beyond the limit tells whether there are more.  A block has all
     * of the ids of its conversations or none: those of the latest blocks that
     * together have enough rows are read and sorted.
     */

    ngx_chat_sql_add(text,
        "SELECT STRAIGHT_JOIN c.peer_id, u.username, c.unread, c.read_id,"
                            " c.peer_read_id, "
        NGX_CHAT_SQL_COLUMNS("NULL", "NULL")
        " FROM ("
        "(SELECT last_message_id AS id, hi_id AS peer_id, lo_unread AS unread,"
               " lo_read_id AS read_id, hi_read_id AS peer_read_id"
        " FROM chat_conversation FORCE INDEX (lo_inbox)"
        " WHERE lo_id = $1 AND last_block <= $2 >> 16"
        " AND last_message_id < $2 AND last_block >= "
        NGX_CHAT_SQL_FIRST_BLOCK("lo_id = $1", "lo_inbox")
        " ORDER BY last_message_id DESC LIMIT $3)"
        " UNION ALL "
        "(SELECT last_message_id, lo_id, hi_unread, hi_read_id, lo_read_id"
        " FROM chat_conversation FORCE INDEX (hi_inbox)"
        " WHERE hi_id = $1 AND lo_id <> $1 AND last_block <= $2 >> 16"
        " AND last_message_id < $2 AND last_block >= "
        NGX_CHAT_SQL_FIRST_BLOCK("hi_id = $1 AND lo_id <> $1", "hi_inbox")
        " ORDER BY last_message_id DESC LIMIT $3)"
        " ORDER BY id DESC LIMIT $3"
        ") AS c JOIN chat_user u ON u.id = c.peer_id"
        " JOIN chat_message m ON m.id = c.id"
        " ORDER BY c.id DESC",
        ngx_chat_sql_number(op->user_id),
        ngx_chat_sql_number(op->before ? op->before : UINT64_MAX),
        ngx_chat_sql_number(op->limit + 1),
        ngx_chat_sql_number(op->limit));
}


static ngx_int_t
ngx_chat_sql_conversations_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t                     *row;
    ngx_chat_conversation_t       *conversation;
    ngx_chat_sql_conversations_t  *op;

    op = (ngx_chat_sql_conversations_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    op->conversations = ngx_array_create(op->job.pool, op->limit + 1,
                                         sizeof(ngx_chat_conversation_t));
    if (op->conversations == NULL) {
        return NGX_ERROR;
    }

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        if (op->conversations->nelts == op->limit) {
            op->more = 1;
            break;
        }

        conversation = ngx_array_push(op->conversations);
        if (conversation == NULL) {
            return NGX_ERROR;
        }

        if (ngx_chat_sql_get_conversation(op, row, conversation) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_sql_get_conversation(ngx_chat_sql_conversations_t *op,
    ngx_str_t *row, ngx_chat_conversation_t *conversation)
{
    ngx_chat_message_t  *last;

    conversation->peer_id = ngx_chat_sql_get_number(&row[0]);
    conversation->unread = ngx_chat_sql_get_number(&row[2]);
    conversation->read_id = ngx_chat_sql_get_number(&row[3]);
    conversation->peer_read_id = ngx_chat_sql_get_number(&row[4]);

    if (ngx_chat_sql_get_string(op->job.pool, &row[1], &conversation->peer)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    last = &conversation->last;

    if (ngx_chat_sql_get_message(op->job.pool, &row[5], last) != NGX_OK) {
        return NGX_ERROR;
    }

    last->sender = (last->sender_id == op->user_id) ? op->user
                                                    : conversation->peer;
    last->recipient = (last->recipient_id == op->user_id)
                      ? op->user : conversation->peer;

    return NGX_OK;
}


/*
 * The conversation is locked first, and counted in a statement of its own: a
 * statement sees what was committed when it began, and one that had to wait
 * for a sender would miss that message.  The count looks at what is not read
 * yet, no further.
 *
 * The same mark again counts again, for a message below it may have been
 * committed since.
 */

static void
ngx_chat_sql_read_build(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_sql_read_t  *op = (ngx_chat_sql_read_t *) jobs[0];

    op->unread = 0;
    op->read_id = 0;

    ngx_chat_sql_add(text,
        op->user_id < op->peer_id ? NGX_CHAT_SQL_READ("lo")
                                  : NGX_CHAT_SQL_READ("hi"),
        ngx_chat_sql_number(ngx_min(op->user_id, op->peer_id)),
        ngx_chat_sql_number(ngx_max(op->user_id, op->peer_id)),
        ngx_chat_sql_number(op->user_id),
        ngx_chat_sql_number(op->id));
}


/* the figures before, which also lock the row, and then those that count */

static ngx_int_t
ngx_chat_sql_read_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t            *row;
    ngx_chat_sql_read_t  *op = (ngx_chat_sql_read_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    row = ngx_chat_db_fetch(res);
    if (row == NULL) {
        return NGX_OK;
    }

    op->unread = ngx_chat_sql_get_number(&row[0]);
    op->read_id = ngx_chat_sql_get_number(&row[1]);

    return NGX_OK;
}
