
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_sql_message.h"
#include "ngx_chat_sql_text.h"


/*
 * Statements on messages.
 *
 * All of a person's messages are two indexes of chat_message: (sender_id, id)
 * and (recipient_id, id); all of a pair's are one: (lo_id, hi_id, id).  A list
 * is found in those alone, as ids; bodies and names are fetched for the few
 * rows that remain.  The indexes are named, since a LIMIT can talk the
 * optimizer into walking the primary key, through everybody's messages.
 */


#define NGX_CHAT_SQL_SEND_BATCH  64

/* how far back messages_after without a limit looks for unsettled rows */
#define NGX_CHAT_SQL_RECENT      256


/* what a packet of messages adds to one conversation */

typedef struct {
    uint32_t               lo_id;
    uint32_t               hi_id;
    ngx_uint_t             count;
    ngx_uint_t             last;              /* in the packet */
    ngx_uint_t             lo_unread;
    ngx_uint_t             hi_unread;
} ngx_chat_sql_pair_t;


/* a row of chat_writing, as it was before commit */

typedef struct {
    uint64_t               slot;
    uint64_t               turn;
    uint64_t               floor;
} ngx_chat_sql_writing_t;


/* in the packet of a send */
#define NGX_CHAT_SQL_SEND_INSERT  2

/*
 * The step of ids that the INSERT has used: a Galera node may change it between
 * two statements, MySQL does not, and frowns at what sets variables.
 */
#define NGX_CHAT_SQL_KEEP_STEP                                                \
    "/*M! + 0 * (@chat_step := @@auto_increment_increment)*/"
#define NGX_CHAT_SQL_STEP                                                     \
    "/*M! @chat_step*//*!80000 @@auto_increment_increment*/"


/* the statements of messages_after that return rows */

typedef enum {
    NGX_CHAT_SQL_AFTER_MAX = 2,
    NGX_CHAT_SQL_AFTER_WRITING = 3,
    NGX_CHAT_SQL_AFTER_DIRTY = 4,
    NGX_CHAT_SQL_AFTER_WRITTEN = 6,
    NGX_CHAT_SQL_AFTER_ROWS = 7
} ngx_chat_sql_after_e;


static void ngx_chat_sql_send_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_uint_t ngx_chat_sql_pairs(ngx_chat_sql_pair_t *pairs,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_send_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_sql_message_get_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_message_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_message_by_client_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_message_by_client_result(
    ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs, ngx_uint_t n);

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
static ngx_int_t ngx_chat_sql_get_time(ngx_pool_t *pool, ngx_str_t *field,
    ngx_str_t *time);


const ngx_chat_db_class_t  ngx_chat_sql_send = {
    .name = ngx_string("message.send"),
    .batch = NGX_CHAT_SQL_SEND_BATCH,
    .parallel = 1,
    .transaction = 1,
    .news = 1,
    .build = ngx_chat_sql_send_build,
    .result = ngx_chat_sql_send_result
};


const ngx_chat_db_class_t  ngx_chat_sql_message_get = {
    .name = ngx_string("message.get"),
    .batch = 64,
    .news = 1,
    .build = ngx_chat_sql_message_get_build,
    .result = ngx_chat_sql_message_get_result
};


const ngx_chat_db_class_t  ngx_chat_sql_message_by_client = {
    .name = ngx_string("message.by_client"),
    .batch = 1,
    .news = 1,
    .build = ngx_chat_sql_message_by_client_build,
    .result = ngx_chat_sql_message_by_client_result
};


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
 * The floor is written before ids are taken, into one of 256 slots, which are
 * a cluster's node's own; INSERT ... SELECT reads it without locks under READ
 * COMMITTED.  Ids of one INSERT go up in steps, which are not 1 in a cluster,
 * from the one that LAST_INSERT_ID() names; of a single row it is told without
 * being asked.
 *
 * Conversations are locked in the order of their key, whatever the order of
 * the messages: two workers cannot wait for each other.
 */

static void
ngx_chat_sql_send_build(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t             timestamp;
    ngx_uint_t            i, npairs;
    ngx_chat_sql_send_t  *op;
    ngx_chat_sql_pair_t  *pair, pairs[NGX_CHAT_SQL_SEND_BATCH];

    ngx_chat_sql_text(text,
        "START TRANSACTION;"
        "INSERT INTO chat_writing (slot, floor_id)"
        " SELECT @@auto_increment_offset * 256 + CONNECTION_ID() % 256,"
               " COALESCE(MAX(id), 0) + 1"
        " FROM chat_message"
        " ON DUPLICATE KEY UPDATE"
        " turn = turn + 1, floor_id = VALUES(floor_id);"
        "INSERT INTO chat_message"
        " (sender_id, recipient_id, created_at, client_id, body) VALUES ");

    for (i = 0; i < n; i++) {
        op = (ngx_chat_sql_send_t *) jobs[i];
        op->message.id = 0;

        /* the database has no "Z" */
        timestamp.data = op->message.timestamp.data;
        timestamp.len = NGX_CHAT_TIMESTAMP_LEN - 1;

        ngx_chat_sql_add(text, i ? ",($1,$2,$3,$4,$5)"
                           : "($1" NGX_CHAT_SQL_KEEP_STEP ",$2,$3,$4,$5)",
                         ngx_chat_sql_number(op->message.sender_id),
                         ngx_chat_sql_number(op->message.recipient_id),
                         ngx_chat_sql_string(&timestamp),
                         ngx_chat_sql_string(&op->client_id),
                         ngx_chat_sql_string(&op->message.body));
    }

    if (n > 1) {
        ngx_chat_sql_text(text, ";SELECT LAST_INSERT_ID()," NGX_CHAT_SQL_STEP);
    }

    ngx_chat_sql_text(text,
        ";INSERT INTO chat_conversation"
        " (lo_id, hi_id, message_count, last_message_id, lo_unread, hi_unread)"
        " VALUES ");

    npairs = ngx_chat_sql_pairs(pairs, jobs, n);

    for (i = 0; i < npairs; i++) {
        pair = &pairs[i];

        ngx_chat_sql_text(text, i ? "," : "");
        ngx_chat_sql_add(text,
            "($1,$2,$3,LAST_INSERT_ID()+$4*" NGX_CHAT_SQL_STEP ",$5,$6)",
            ngx_chat_sql_number(pair->lo_id),
            ngx_chat_sql_number(pair->hi_id),
            ngx_chat_sql_number(pair->count),
            ngx_chat_sql_number(pair->last),
            ngx_chat_sql_number(pair->lo_unread),
            ngx_chat_sql_number(pair->hi_unread));
    }

    ngx_chat_sql_text(text,
        " ON DUPLICATE KEY UPDATE"
        " message_count = message_count + VALUES(message_count),"
        " last_message_id = GREATEST(last_message_id,"
                                   " VALUES(last_message_id)),"
        " lo_unread = lo_unread + VALUES(lo_unread),"
        " hi_unread = hi_unread + VALUES(hi_unread);"
        "COMMIT");
}


/* sums up by conversation, sorted */

static ngx_uint_t
ngx_chat_sql_pairs(ngx_chat_sql_pair_t *pairs, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    uint32_t              lo, hi;
    ngx_uint_t            i, k, npairs;
    ngx_chat_message_t   *message;
    ngx_chat_sql_pair_t  *pair;

    npairs = 0;

    for (i = 0; i < n; i++) {
        message = &((ngx_chat_sql_send_t *) jobs[i])->message;

        lo = ngx_min(message->sender_id, message->recipient_id);
        hi = ngx_max(message->sender_id, message->recipient_id);

        for (k = 0; k < npairs; k++) {
            if (pairs[k].lo_id > lo
                || (pairs[k].lo_id == lo && pairs[k].hi_id >= hi))
            {
                break;
            }
        }

        pair = &pairs[k];

        if (k == npairs || pair->lo_id != lo || pair->hi_id != hi) {
            ngx_memmove(pair + 1, pair,
                        (npairs - k) * sizeof(ngx_chat_sql_pair_t));
            npairs++;

            ngx_memzero(pair, sizeof(ngx_chat_sql_pair_t));

            pair->lo_id = lo;
            pair->hi_id = hi;
        }

        pair->count++;
        pair->last = i;

        /* a note to oneself is read */

        if (lo != hi) {
            if (message->recipient_id == lo) {
                pair->lo_unread++;

            } else {
                pair->hi_unread++;
            }
        }
    }

    return npairs;
}


static ngx_int_t
ngx_chat_sql_send_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    uint64_t              first, step;
    ngx_str_t            *row;
    ngx_uint_t            i;
    ngx_chat_sql_send_t  *op;

    if (n == 1) {
        op = (ngx_chat_sql_send_t *) jobs[0];

        if (op != NULL && res->statement == NGX_CHAT_SQL_SEND_INSERT) {
            op->message.id = res->insert_id;
        }

        return NGX_OK;
    }

    row = ngx_chat_db_fetch(res);
    if (row == NULL) {
        return NGX_OK;
    }

    first = ngx_chat_sql_get_number(&row[0]);
    step = ngx_chat_sql_get_number(&row[1]);

    for (i = 0; i < n; i++) {
        if (jobs[i] != NULL) {
            ((ngx_chat_sql_send_t *) jobs[i])->message.id = first + i * step;
        }
    }

    return NGX_OK;
}


/*
 * What is not for who asks does not leave the database: by its length it would
 * take longer to be refused than what is not there.
 */

static void
ngx_chat_sql_message_get_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_chat_sql_message_t  *op;

    ngx_chat_sql_text(text,
        "SELECT STRAIGHT_JOIN " NGX_CHAT_SQL_MESSAGE
        " FROM chat_message m FORCE INDEX (PRIMARY)" NGX_CHAT_SQL_JOIN_NAMES
        " WHERE");

    for (i = 0; i < n; i++) {
        op = (ngx_chat_sql_message_t *) jobs[i];

        ngx_memzero(&op->message, sizeof(ngx_chat_message_t));

        ngx_chat_sql_text(text, i ? " OR" : "");
        ngx_chat_sql_add(text,
            " (m.id = $1 AND (m.sender_id = $2 OR m.recipient_id = $2))",
            ngx_chat_sql_number(op->id), ngx_chat_sql_number(op->user_id));
    }
}


static ngx_int_t
ngx_chat_sql_message_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    uint64_t                 id, sender_id, recipient_id;
    ngx_str_t               *row;
    ngx_uint_t               i;
    ngx_chat_sql_message_t  *op;

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        id = ngx_chat_sql_get_number(&row[0]);
        sender_id = ngx_chat_sql_get_number(&row[1]);
        recipient_id = ngx_chat_sql_get_number(&row[2]);

        for (i = 0; i < n; i++) {
            op = (ngx_chat_sql_message_t *) jobs[i];

            if (op == NULL || op->id != id
                || (op->user_id != sender_id && op->user_id != recipient_id))
            {
                continue;
            }

            if (ngx_chat_sql_get_message(op->job.pool, row, &op->message)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_chat_sql_message_by_client_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_message_t  *op = (ngx_chat_sql_message_t *) jobs[0];

    ngx_memzero(&op->message, sizeof(ngx_chat_message_t));

    ngx_chat_sql_add(text,
        "SELECT STRAIGHT_JOIN " NGX_CHAT_SQL_MESSAGE
        " FROM chat_message m" NGX_CHAT_SQL_JOIN_NAMES
        " WHERE m.sender_id = $1 AND m.client_id = $2",
        ngx_chat_sql_number(op->sender_id),
        ngx_chat_sql_string(&op->client_id));
}


static ngx_int_t
ngx_chat_sql_message_by_client_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t               *row;
    ngx_chat_sql_message_t  *op = (ngx_chat_sql_message_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    row = ngx_chat_db_fetch(res);
    if (row == NULL) {
        return NGX_OK;
    }

    return ngx_chat_sql_get_message(op->job.pool, row, &op->message);
}


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


ngx_int_t
ngx_chat_sql_get_message(ngx_pool_t *pool, ngx_str_t *row,
    ngx_chat_message_t *message)
{
    message->id = ngx_chat_sql_get_number(&row[0]);
    message->sender_id = ngx_chat_sql_get_number(&row[1]);
    message->recipient_id = ngx_chat_sql_get_number(&row[2]);

    if (ngx_chat_sql_get_string(pool, &row[3], &message->sender) != NGX_OK
        || ngx_chat_sql_get_string(pool, &row[4], &message->recipient)
           != NGX_OK
        || ngx_chat_sql_get_time(pool, &row[5], &message->timestamp) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_chat_sql_get_string(pool, &row[6], &message->body);
}


/* "2025-12-30 07:03:02.325660" of a DATETIME(6) */

static ngx_int_t
ngx_chat_sql_get_time(ngx_pool_t *pool, ngx_str_t *field, ngx_str_t *time)
{
    if (field->len != NGX_CHAT_TIMESTAMP_LEN - 1) {
        return NGX_ERROR;
    }

    time->data = ngx_pnalloc(pool, NGX_CHAT_TIMESTAMP_LEN);
    if (time->data == NULL) {
        return NGX_ERROR;
    }

    time->len = NGX_CHAT_TIMESTAMP_LEN;

    ngx_memcpy(time->data, field->data, field->len);

    time->data[sizeof("2025-12-30") - 1] = 'T';
    time->data[NGX_CHAT_TIMESTAMP_LEN - 1] = 'Z';

    return NGX_OK;
}
