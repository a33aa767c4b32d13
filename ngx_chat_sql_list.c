
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_sql_message.h"
#include "ngx_chat_sql_text.h"


/*
 * Lists of messages.
 *
 * All of a person's messages are two indexes of chat_message: (sender_id, id)
 * and (recipient_id, id); all of a pair's are one: (lo_id, hi_id, id).  A list
 * is found in those alone, as ids; bodies and names are fetched for the few
 * rows that remain.  The indexes are named, since a LIMIT can talk the
 * optimizer into walking the primary key, through everybody's messages.
 */


/* how far back messages_after without a limit looks for unsettled rows */
#define NGX_CHAT_SQL_RECENT      256


/* a row of chat_writing, as it was before commit */

typedef struct {
    uint64_t               slot;
    uint64_t               turn;
    uint64_t               floor;
} ngx_chat_sql_writing_t;


/* the statements of messages_after that return rows */

typedef enum {
    NGX_CHAT_SQL_AFTER_MAX = 2,
    NGX_CHAT_SQL_AFTER_WRITING = 3,
    NGX_CHAT_SQL_AFTER_DIRTY = 4,
    NGX_CHAT_SQL_AFTER_WRITTEN = 6,
    NGX_CHAT_SQL_AFTER_ROWS = 7
} ngx_chat_sql_after_e;


static void ngx_chat_sql_messages_page_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_messages_page_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_last_page(ngx_chat_sql_messages_t *op);
static void ngx_chat_sql_messages_before_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_messages_before_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_messages_after_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_messages_after_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_get_writing(ngx_chat_db_result_t *res,
    ngx_chat_sql_messages_t *op);
static void ngx_chat_sql_get_written(ngx_chat_db_result_t *res,
    ngx_chat_sql_messages_t *op);
static ngx_int_t ngx_chat_sql_get_dirty(ngx_chat_db_result_t *res,
    ngx_chat_sql_messages_t *op);
static void ngx_chat_sql_settle(ngx_chat_sql_messages_t *op, uint64_t id);
static void ngx_chat_sql_own_horizon(ngx_chat_sql_messages_t *op);

static void ngx_chat_sql_clear_messages(ngx_chat_sql_messages_t *op);
static void ngx_chat_sql_add_messages(ngx_chat_db_text_t *text,
    ngx_chat_sql_messages_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit);
static void ngx_chat_sql_add_ids(ngx_chat_db_text_t *text,
    ngx_chat_sql_messages_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit);
static void ngx_chat_sql_add_pair(ngx_chat_db_text_t *text,
    ngx_chat_sql_messages_t *op);
static void ngx_chat_sql_add_range(ngx_chat_db_text_t *text,
    ngx_chat_sql_messages_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit);
static ngx_int_t ngx_chat_sql_get_messages(ngx_chat_db_result_t *res,
    ngx_chat_sql_messages_t *op);


const ngx_chat_db_class_t  ngx_chat_sql_messages_page = {
    .name = ngx_string("messages.page"),
    .batch = 1,
    .replica = 1,
    .news = 1,
    .build = ngx_chat_sql_messages_page_build,
    .result = ngx_chat_sql_messages_page_result
};


const ngx_chat_db_class_t  ngx_chat_sql_messages_before = {
    .name = ngx_string("messages.before"),
    .batch = 1,
    .replica = 1,
    .news = 1,
    .build = ngx_chat_sql_messages_before_build,
    .result = ngx_chat_sql_messages_before_result
};


const ngx_chat_db_class_t  ngx_chat_sql_messages_after = {
    .name = ngx_string("messages.after"),
    .batch = 1,
    .transaction = 1,
    .news = 1,
    .build = ngx_chat_sql_messages_after_build,
    .result = ngx_chat_sql_messages_after_result
};


/*
 * The last page is read from the other end, since its offset is known to
 * nobody before the packet is run: the oldest messages, oldest first, of which
 * as many are kept as the count leaves for that page.
 */

static void
ngx_chat_sql_messages_page_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_messages_t  *op = (ngx_chat_sql_messages_t *) jobs[0];

    ngx_chat_sql_clear_messages(op);

    if (op->peer_id) {
        ngx_chat_sql_add(text,
            "SELECT message_count FROM chat_conversation"
            " WHERE lo_id = $1 AND hi_id = $2;",
            ngx_chat_sql_number(ngx_min(op->user_id, op->peer_id)),
            ngx_chat_sql_number(ngx_max(op->user_id, op->peer_id)));

    } else {
        ngx_chat_sql_add(text,
            "SELECT SUM(message_count) FROM ("
            "SELECT message_count FROM chat_conversation WHERE lo_id = $1"
            " UNION ALL "
            "SELECT message_count FROM chat_conversation"
            " WHERE hi_id = $1 AND lo_id <> $1"
            ") AS c;",
            ngx_chat_sql_number(op->user_id));
    }

    if (op->last) {
        ngx_chat_sql_add_messages(text, op, "", "ASC", 0, op->limit);

    } else {
        ngx_chat_sql_add_messages(text, op, "", "DESC", op->offset, op->limit);
    }
}


static ngx_int_t
ngx_chat_sql_messages_page_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t                *row;
    ngx_chat_sql_messages_t  *op = (ngx_chat_sql_messages_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    if (res->statement == 0) {
        row = ngx_chat_db_fetch(res);
        op->count = (row != NULL) ? ngx_chat_sql_get_number(&row[0]) : 0;

        return NGX_OK;
    }

    if (ngx_chat_sql_get_messages(res, op) != NGX_OK) {
        return NGX_ERROR;
    }

    if (op->last) {
        ngx_chat_sql_last_page(op);
    }

    return NGX_OK;
}


static void
ngx_chat_sql_last_page(ngx_chat_sql_messages_t *op)
{
    ngx_uint_t           i, k;
    ngx_chat_message_t  *messages, message;

    if (op->count) {
        op->messages->nelts = ngx_min(op->messages->nelts,
                                      (op->count - 1) % op->limit + 1);
    }

    messages = op->messages->elts;

    for (i = 0, k = op->messages->nelts; i + 1 < k; i++) {
        k--;

        message = messages[i];
        messages[i] = messages[k];
        messages[k] = message;
    }
}


static void
ngx_chat_sql_messages_before_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_messages_t  *op = (ngx_chat_sql_messages_t *) jobs[0];

    ngx_chat_sql_clear_messages(op);

    /* one row beyond the limit tells whether there are more */

    ngx_chat_sql_add_messages(text, op, " AND id < $1", "DESC", 0,
                              op->limit + 1);
}


static ngx_int_t
ngx_chat_sql_messages_before_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_messages_t  *op = (ngx_chat_sql_messages_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    return ngx_chat_sql_get_messages(res, op);
}


/*
 * Ids are taken in one order and become visible in another.  A cursor must
 * not pass an id that somebody has taken and not committed yet: that row
 * would never be seen.  So the packet reads, in this order,
 *
 *     dirty:      1. the highest id
 *                 2. the slots of the transactions that store messages
 *                 3. this person's ids
 *     committed:  4. the slots
 *                 5. this person's messages
 *
 * and takes for the horizon the least of 1, of what precedes the floors that
 * are in 2 and not in 4, and of what precedes the first id that is in 3 and
 * not in 5.  No message at or below the horizon and the last row of 5 can
 * appear later.  For take a transaction that has one:
 *
 *   - it took the id after step 1: then the id is above 1, which was in use;
 *   - before, and it ended before step 4: then 5 has it, or nobody ever will;
 *   - before, and it had not ended at step 4: then its turn of the slot was in
 *     2 and not in 4, since it holds the row until it ends, and the id is not
 *     below its floor.
 *
 * Step 3 does the same for messages that somebody inserts by hand, without a
 * floor, and commits late.
 *
 * With no limit only the horizon is wanted, for a cursor that means "from now
 * on".  3 and 5 are then the latest messages; 5 has twice as many, lest those
 * that are just coming in push others out.
 *
 * The horizon itself would tell everybody how many messages there are, and
 * when.  The last of this person's messages at or below it serves as well, for
 * none can appear in between.  3 begins with "id", to see whether that is one.
 */

static void
ngx_chat_sql_messages_after_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_messages_t  *op = (ngx_chat_sql_messages_t *) jobs[0];

    ngx_chat_sql_clear_messages(op);

    ngx_chat_sql_text(text,
        "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED;"
        "START TRANSACTION READ ONLY;"
        "SELECT MAX(id) FROM chat_message;"
        "SELECT slot, turn, floor_id FROM chat_writing ORDER BY slot;"
        "SELECT id FROM (");

    if (op->limit) {
        ngx_chat_sql_add_ids(text, op, " AND id >= $1", "ASC", 0,
                             op->limit + 2);
        ngx_chat_sql_text(text,
            ") AS p ORDER BY id;COMMIT;"
            "SELECT slot, turn FROM chat_writing ORDER BY slot;");
        ngx_chat_sql_add_messages(text, op, " AND id > $1", "ASC", 0,
                                  op->limit + 1);
        return;
    }

    ngx_chat_sql_add_ids(text, op, "", "DESC", 0, NGX_CHAT_SQL_RECENT);
    ngx_chat_sql_text(text,
        ") AS p ORDER BY id;COMMIT;"
        "SELECT slot, turn FROM chat_writing ORDER BY slot;"
        "SELECT id FROM (");
    ngx_chat_sql_add_ids(text, op, "", "DESC", 0, 2 * NGX_CHAT_SQL_RECENT);
    ngx_chat_sql_text(text, ") AS p ORDER BY id");
}


static ngx_int_t
ngx_chat_sql_messages_after_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t                *row;
    ngx_chat_sql_messages_t  *op = (ngx_chat_sql_messages_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    switch (res->statement) {

    case NGX_CHAT_SQL_AFTER_MAX:
        row = ngx_chat_db_fetch(res);
        op->horizon = (row != NULL) ? ngx_chat_sql_get_number(&row[0]) : 0;
        return NGX_OK;

    case NGX_CHAT_SQL_AFTER_WRITING:
        return ngx_chat_sql_get_writing(res, op);

    case NGX_CHAT_SQL_AFTER_DIRTY:
        return ngx_chat_sql_get_dirty(res, op);

    case NGX_CHAT_SQL_AFTER_WRITTEN:
        ngx_chat_sql_get_written(res, op);
        return NGX_OK;

    case NGX_CHAT_SQL_AFTER_ROWS:

        if (ngx_chat_sql_get_messages(res, op) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_chat_sql_settle(op, UINT64_MAX);
        ngx_chat_sql_own_horizon(op);
        return NGX_OK;

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_chat_sql_get_writing(ngx_chat_db_result_t *res,
    ngx_chat_sql_messages_t *op)
{
    ngx_str_t               *row;
    ngx_chat_sql_writing_t  *writing;

    op->writing = ngx_array_create(op->job.pool, 16,
                                   sizeof(ngx_chat_sql_writing_t));
    if (op->writing == NULL) {
        return NGX_ERROR;
    }

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        writing = ngx_array_push(op->writing);
        if (writing == NULL) {
            return NGX_ERROR;
        }

        writing->slot = ngx_chat_sql_get_number(&row[0]);
        writing->turn = ngx_chat_sql_get_number(&row[1]);
        writing->floor = ngx_chat_sql_get_number(&row[2]);
    }

    return NGX_OK;
}


/* both lists go up by slot; what is committed now may have come in since */

static void
ngx_chat_sql_get_written(ngx_chat_db_result_t *res,
    ngx_chat_sql_messages_t *op)
{
    uint64_t                 slot;
    ngx_str_t               *row;
    ngx_uint_t               i;
    ngx_chat_sql_writing_t  *writing;

    writing = op->writing->elts;
    row = ngx_chat_db_fetch(res);

    for (i = 0; i < op->writing->nelts; i++) {

        slot = 0;

        while (row != NULL) {
            slot = ngx_chat_sql_get_number(&row[0]);

            if (slot >= writing[i].slot) {
                break;
            }

            row = ngx_chat_db_fetch(res);
        }

        if (row == NULL
            || slot != writing[i].slot
            || ngx_chat_sql_get_number(&row[1]) < writing[i].turn)
        {
            op->horizon = ngx_min(op->horizon, writing[i].floor - 1);
        }
    }
}


static ngx_int_t
ngx_chat_sql_get_dirty(ngx_chat_db_result_t *res, ngx_chat_sql_messages_t *op)
{
    size_t      size;
    ngx_str_t  *row;

    size = op->limit ? op->limit + 2 : NGX_CHAT_SQL_RECENT;

    op->dirty = ngx_palloc(op->job.pool, size * sizeof(uint64_t));
    if (op->dirty == NULL) {
        return NGX_ERROR;
    }

    while (op->ndirty < size && (row = ngx_chat_db_fetch(res)) != NULL) {
        op->dirty[op->ndirty++] = ngx_chat_sql_get_number(&row[0]);
    }

    if (op->limit && op->ndirty && op->dirty[0] == op->id) {
        op->own = 1;
        op->dirty++;
        op->ndirty--;
    }

    return NGX_OK;
}


/* "id" is the next committed one: dirty ones below it are not committed */

static void
ngx_chat_sql_settle(ngx_chat_sql_messages_t *op, uint64_t id)
{
    while (op->ndirty && op->dirty[0] <= id) {

        if (op->dirty[0] < id) {
            op->horizon = ngx_min(op->horizon, op->dirty[0] - 1);
        }

        op->dirty++;
        op->ndirty--;
    }
}


static void
ngx_chat_sql_own_horizon(ngx_chat_sql_messages_t *op)
{
    uint64_t             horizon;
    ngx_uint_t           i;
    ngx_chat_message_t  *messages;

    if (op->limit == 0) {
        return;
    }

    horizon = op->horizon;

    op->horizon = ngx_min(horizon, op->id);
    op->own = (op->id == 0 || (op->own && op->id <= horizon));

    messages = op->messages->elts;

    for (i = 0; i < op->messages->nelts && messages[i].id <= horizon; i++) {
        op->horizon = messages[i].id;
        op->own = 1;
    }
}


static void
ngx_chat_sql_clear_messages(ngx_chat_sql_messages_t *op)
{
    op->messages = NULL;
    op->count = 0;
    op->horizon = 0;
    op->own = 0;
    op->more = 0;
    op->ndirty = 0;
}


/* a person's messages; "where" may name the operation's id as $1 */

static void
ngx_chat_sql_add_messages(ngx_chat_db_text_t *text,
    ngx_chat_sql_messages_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit)
{
    if (op->peer_id == 0) {
        ngx_chat_sql_text(text,
            "SELECT STRAIGHT_JOIN " NGX_CHAT_SQL_MESSAGE " FROM (");
        ngx_chat_sql_add_ids(text, op, where, order, offset, limit);
        ngx_chat_sql_text(text,
            ") AS p JOIN chat_message m ON m.id = p.id" NGX_CHAT_SQL_JOIN_NAMES
            " ORDER BY p.id ");
        ngx_chat_sql_text(text, order);
        return;
    }

    /* the names are known: without joins it is three times as fast */

    ngx_chat_sql_text(text,
        "SELECT " NGX_CHAT_SQL_COLUMNS("NULL", "NULL") " FROM ");

    if (offset == 0) {
        ngx_chat_sql_text(text, "chat_message m FORCE INDEX (conversation)");
        ngx_chat_sql_add_pair(text, op);
        ngx_chat_sql_add_range(text, op, where, order, 0, limit);
        return;
    }

    /* only the index is read for what is skipped */

    ngx_chat_sql_text(text, "(");
    ngx_chat_sql_add_ids(text, op, where, order, offset, limit);
    ngx_chat_sql_text(text,
        ") AS p STRAIGHT_JOIN chat_message m ON m.id = p.id ORDER BY p.id ");
    ngx_chat_sql_text(text, order);
}


static void
ngx_chat_sql_add_ids(ngx_chat_db_text_t *text, ngx_chat_sql_messages_t *op,
    const char *where, const char *order, uint64_t offset, uint64_t limit)
{
    if (op->peer_id) {
        ngx_chat_sql_text(text,
            "SELECT id FROM chat_message FORCE INDEX (conversation)");
        ngx_chat_sql_add_pair(text, op);
        ngx_chat_sql_add_range(text, op, where, order, offset, limit);
        return;
    }

    /* UNION without ALL, for a note to oneself is in both */

    ngx_chat_sql_add(text,
        "(SELECT id FROM chat_message FORCE INDEX (sender)"
        " WHERE sender_id = $1",
        ngx_chat_sql_number(op->user_id));
    ngx_chat_sql_add_range(text, op, where, order, 0, offset + limit);

    ngx_chat_sql_add(text,
        ") UNION (SELECT id FROM chat_message FORCE INDEX (recipient)"
        " WHERE recipient_id = $1",
        ngx_chat_sql_number(op->user_id));
    ngx_chat_sql_add_range(text, op, where, order, 0, offset + limit);

    ngx_chat_sql_text(text, ")");
    ngx_chat_sql_add_range(text, op, "", order, offset, limit);
}


static void
ngx_chat_sql_add_pair(ngx_chat_db_text_t *text, ngx_chat_sql_messages_t *op)
{
    /* LEAST() and GREATEST() would cost a quarter more */

    ngx_chat_sql_add(text, " WHERE lo_id = $1 AND hi_id = $2",
                     ngx_chat_sql_number(ngx_min(op->user_id, op->peer_id)),
                     ngx_chat_sql_number(ngx_max(op->user_id, op->peer_id)));
}


static void
ngx_chat_sql_add_range(ngx_chat_db_text_t *text, ngx_chat_sql_messages_t *op,
    const char *where, const char *order, uint64_t offset, uint64_t limit)
{
    ngx_chat_sql_add(text, where, ngx_chat_sql_number(op->id));
    ngx_chat_sql_text(text, " ORDER BY id ");
    ngx_chat_sql_text(text, order);
    ngx_chat_sql_add(text, " LIMIT $1, $2",
                     ngx_chat_sql_number(offset), ngx_chat_sql_number(limit));
}


static ngx_int_t
ngx_chat_sql_get_messages(ngx_chat_db_result_t *res,
    ngx_chat_sql_messages_t *op)
{
    ngx_str_t           *row;
    ngx_chat_message_t  *message;

    op->messages = ngx_array_create(op->job.pool, op->limit + 1,
                                    sizeof(ngx_chat_message_t));
    if (op->messages == NULL) {
        return NGX_ERROR;
    }

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        ngx_chat_sql_settle(op, ngx_chat_sql_get_number(&row[0]));

        if (op->messages->nelts == op->limit) {
            op->more = (op->limit != 0);
            continue;
        }

        message = ngx_array_push(op->messages);
        if (message == NULL) {
            return NGX_ERROR;
        }

        if (ngx_chat_sql_get_message(op->job.pool, row, message) != NGX_OK) {
            return NGX_ERROR;
        }

        if (op->peer_id) {
            message->sender = (message->sender_id == op->user_id) ? op->user
                                                                  : op->peer;
            message->recipient = (message->recipient_id == op->user_id)
                                 ? op->user : op->peer;
        }
    }

    return NGX_OK;
}
