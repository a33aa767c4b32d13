
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * history_after: messages above an id, and the horizon.
 *
 * Ids are assigned in one order and become visible in another.  A cursor must
 * not pass an id that is assigned and not committed yet: its row would never be
 * found.  The packet therefore reads, in this order,
 *
 *     dirty:      1. the highest id
 *                 2. the slots of the transactions that store messages
 *                 3. the ids of the user
 *     committed:  4. the slots
 *                 5. the messages of the user
 *
 * The horizon is the lowest of 1, of the ids before the floors that are in 2
 * and not in 4, and of the id before the first one that is in 3 and not in 5.
 * No message at or below the horizon and the last row of 5 can appear later.
 * Proof, for a transaction with such a message:
 *
 *   - it took the id after step 1: then the id is above 1, which was in use;
 *   - it took it before and ended before step 4: then 5 contains the message,
 *     or the message never appears;
 *   - it took it before and had not ended at step 4: then its turn of the slot
 *     was in 2 and not in 4, since it locks the row until it ends, and the id
 *     is not below its floor.
 *
 * Step 3 covers messages that are inserted manually, without a floor, and
 * committed late.
 *
 * Without a limit, only the horizon is needed, for a cursor that means "from
 * now on".  3 and 5 are then the latest messages.  5 contains twice as many, so
 * that messages that arrive meanwhile do not displace others.
 *
 * The horizon itself would disclose the number of all messages, and when they
 * are sent.  The last message of the user at or below it is equivalent, since
 * none can appear in between.  3 starts at "id", to check whether that is one.
 *
 * Many clients catch up at the same moment when their sockets were closed.  The
 * jobs of a packet share all five steps.  3 and 5 are single statements, in
 * which each job has an ordered list with a limit in each index: a statement
 * costs more than such a list.  The steps are in the same order for each job,
 * and so is the proof.
 */


/*
 * A packet has at most BATCH jobs with a limit of at most SHARE messages.  A
 * job with a larger limit counts as several.  This limits the memory for the
 * rows of a packet, and the time that its jobs wait for each other.
 */
#define NGX_CHAT_QUERY_AFTER_BATCH   32
#define NGX_CHAT_QUERY_AFTER_SHARE   32

/* messages that a job without a limit checks for uncommitted ones */
#define NGX_CHAT_QUERY_AFTER_RECENT  256


/* statements that return rows */

typedef enum {
    NGX_CHAT_QUERY_AFTER_MAX = 2,
    NGX_CHAT_QUERY_AFTER_WRITING = 3,
    NGX_CHAT_QUERY_AFTER_DIRTY = 4,
    NGX_CHAT_QUERY_AFTER_WRITTEN = 6,
    NGX_CHAT_QUERY_AFTER_ROWS = 7
} ngx_chat_query_after_e;


/* a row of chat_writing, before its transaction is committed */

typedef struct {
    uint64_t               slot;
    uint64_t               turn;
    uint64_t               floor;
} ngx_chat_query_writing_t;


static ngx_uint_t ngx_chat_query_after_weight(ngx_chat_db_job_t *job);
static void ngx_chat_query_after_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_after_clear(ngx_chat_query_history_t *op);
static void ngx_chat_query_after_add_ids(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n, ngx_uint_t dirty);
static void ngx_chat_query_after_add_range(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, ngx_uint_t dirty);

static ngx_int_t ngx_chat_query_after_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_after_lower(ngx_chat_db_job_t **jobs, ngx_uint_t n,
    uint64_t horizon);
static ngx_int_t ngx_chat_query_after_writing(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_after_add_writing(ngx_chat_query_history_t *op,
    ngx_str_t *row);
static uint64_t ngx_chat_query_after_written(ngx_chat_db_result_t *res,
    ngx_chat_query_history_t *op);
static ngx_int_t ngx_chat_query_after_dirty(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs);
static ngx_int_t ngx_chat_query_after_rows(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_after_row(ngx_chat_query_history_t *op,
    ngx_str_t *row);
static void ngx_chat_query_after_settle(ngx_chat_query_history_t *op,
    uint64_t id);
static void ngx_chat_query_after_own(ngx_chat_query_history_t *op);


const ngx_chat_db_type_t  ngx_chat_query_history_after = {
    .name = ngx_string("messages.after"),
    .batch = NGX_CHAT_QUERY_AFTER_BATCH,
    .parallel = 2,
    .transaction = 1,
    .visible = 1,
    .weight = ngx_chat_query_after_weight,
    .build = ngx_chat_query_after_build,
    .result = ngx_chat_query_after_result
};


/* a job without a limit is alone in its packet, see "rows" */

static ngx_uint_t
ngx_chat_query_after_weight(ngx_chat_db_job_t *job)
{
    ngx_chat_query_history_t  *op = (ngx_chat_query_history_t *) job;

    if (op->limit == 0) {
        return NGX_CHAT_QUERY_AFTER_BATCH;
    }

    return (op->limit + NGX_CHAT_QUERY_AFTER_SHARE - 1)
           / NGX_CHAT_QUERY_AFTER_SHARE;
}


static void
ngx_chat_query_after_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_uint_t  i, before;

    for (i = 0; i < n; i++) {
        ngx_chat_query_after_clear((ngx_chat_query_history_t *) jobs[i]);
    }

    ngx_chat_query_text(text,
        "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED;"
        "START TRANSACTION READ ONLY;"
        "SELECT MAX(id) FROM chat_message;"
        "SELECT slot, turn, floor_id FROM chat_writing ORDER BY slot;");

    ngx_chat_query_after_add_ids(text, jobs, n, 1);

    ngx_chat_query_text(text,
        " ORDER BY job, id;"
        "COMMIT;"
        "SELECT slot, turn FROM chat_writing ORDER BY slot;");

    if (((ngx_chat_query_history_t *) jobs[0])->limit == 0) {
        ngx_chat_query_after_add_ids(text, jobs, n, 0);
        ngx_chat_query_text(text, " ORDER BY job, id");
        return;
    }

    /* "m" is the row of a message or of its change, "t" the message */

    before = ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES);

    ngx_chat_query_text(text, before
        ? "SELECT STRAIGHT_JOIN p.job, " NGX_CHAT_QUERY_MESSAGE
          NGX_CHAT_QUERY_NOT_CHANGED
        : "SELECT STRAIGHT_JOIN p.job,"
          " m.id, m.sender_id, m.recipient_id, s.username, r.username,"
          " t.created_at, t.body, t.reply_to, t.edited_at");
    ngx_chat_query_add_files(text, "t.files");
    ngx_chat_query_text(text, before ? ", NULL FROM ("
                                     : ", m.target_id FROM (");
    ngx_chat_query_after_add_ids(text, jobs, n, 0);
    ngx_chat_query_text(text,
        ") AS p JOIN chat_message m ON m.id = p.id" NGX_CHAT_QUERY_JOIN_NAMES);
    ngx_chat_query_text(text, before
        ? " ORDER BY p.job, p.id"
        : " LEFT JOIN chat_message t"
          " ON t.id = COALESCE(m.target_id, m.id) AND t.kind = 0"
          " ORDER BY p.job, p.id");
}


static void
ngx_chat_query_after_clear(ngx_chat_query_history_t *op)
{
    op->messages = NULL;
    op->horizon = 0;
    op->own = 0;
    op->has_more = 0;
    op->dirty = NULL;
    op->ndirty = 0;
    op->writing = NULL;
}


/*
 * Selects ids of messages with the index of their job.  The first SELECT
 * returns nothing; it spares the others a different form for a single one.
 */

static void
ngx_chat_query_after_add_ids(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n, ngx_uint_t dirty)
{
    ngx_uint_t                 i, k, parts;
    ngx_chat_query_history_t  *op;

    ngx_chat_query_text(text,
        "SELECT 0 AS job, id FROM chat_message WHERE FALSE");

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_history_t *) jobs[i];

        parts = ngx_chat_query_parts(text, op);

        for (k = 0; k < parts; k++) {
            ngx_chat_query_add(text,
                               " UNION ALL (SELECT $1, id FROM chat_message",
                               ngx_chat_query_number(i));
            ngx_chat_query_add_part(text, op, k);
            ngx_chat_query_after_add_range(text, op, dirty);
        }
    }
}


/* one row beyond the limit shows whether there are more */

static void
ngx_chat_query_after_add_range(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, ngx_uint_t dirty)
{
    if (op->limit == 0) {
        ngx_chat_query_add(text, " ORDER BY id DESC LIMIT $1)",
                           ngx_chat_query_number(dirty
                                          ? NGX_CHAT_QUERY_AFTER_RECENT
                                          : 2 * NGX_CHAT_QUERY_AFTER_RECENT));
        return;
    }

    if (dirty) {
        ngx_chat_query_add(text, " AND id >= $1 ORDER BY id LIMIT $2)",
                           ngx_chat_query_number(op->id),
                           ngx_chat_query_number(op->limit + 2));
        return;
    }

    ngx_chat_query_add(text, " AND id > $1 ORDER BY id LIMIT $2)",
                       ngx_chat_query_number(op->id),
                       ngx_chat_query_number(op->limit + 1));
}


static ngx_int_t
ngx_chat_query_after_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    uint64_t    id;
    ngx_str_t  *row;
    ngx_uint_t  i;

    switch (res->statement) {

    case NGX_CHAT_QUERY_AFTER_MAX:
        row = ngx_chat_db_fetch(res);
        id = (row != NULL) ? ngx_chat_query_get_number(&row[0]) : 0;

        for (i = 0; i < n; i++) {
            if (jobs[i] != NULL) {
                ((ngx_chat_query_history_t *) jobs[i])->horizon = id;
            }
        }

        return NGX_OK;

    case NGX_CHAT_QUERY_AFTER_WRITING:
        return ngx_chat_query_after_writing(res, jobs, n);

    case NGX_CHAT_QUERY_AFTER_DIRTY:
        return ngx_chat_query_after_dirty(res, jobs);

    case NGX_CHAT_QUERY_AFTER_WRITTEN:

        /* all jobs have the same slots */

        for (i = 0; i < n; i++) {
            if (jobs[i] != NULL) {
                id = ngx_chat_query_after_written(res,
                                        (ngx_chat_query_history_t *) jobs[i]);
                ngx_chat_query_after_lower(jobs, n, id);
                break;
            }
        }

        return NGX_OK;

    case NGX_CHAT_QUERY_AFTER_ROWS:
        return ngx_chat_query_after_rows(res, jobs, n);

    default:
        return NGX_OK;
    }
}


static void
ngx_chat_query_after_lower(ngx_chat_db_job_t **jobs, ngx_uint_t n,
    uint64_t horizon)
{
    ngx_uint_t                 i;
    ngx_chat_query_history_t  *op;

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_history_t *) jobs[i];

        if (op != NULL) {
            op->horizon = ngx_min(op->horizon, horizon);
        }
    }
}


/* each job has a copy, since any of them may be cancelled with its memory */

static ngx_int_t
ngx_chat_query_after_writing(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t   *row;
    ngx_uint_t   i;

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        for (i = 0; i < n; i++) {
            if (jobs[i] != NULL
                && ngx_chat_query_after_add_writing(
                       (ngx_chat_query_history_t *) jobs[i], row)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_query_after_add_writing(ngx_chat_query_history_t *op, ngx_str_t *row)
{
    ngx_chat_query_writing_t  *writing;

    if (op->writing == NULL) {
        op->writing = ngx_array_create(op->job.pool, 16,
                                       sizeof(ngx_chat_query_writing_t));
        if (op->writing == NULL) {
            return NGX_ERROR;
        }
    }

    writing = ngx_array_push(op->writing);
    if (writing == NULL) {
        return NGX_ERROR;
    }

    writing->slot = ngx_chat_query_get_number(&row[0]);
    writing->turn = ngx_chat_query_get_number(&row[1]);
    writing->floor = ngx_chat_query_get_number(&row[2]);

    return NGX_OK;
}


/*
 * Returns the id before the lowest floor of a transaction in progress.  Both
 * lists are ordered by slot; the committed one may have new slots.
 */

static uint64_t
ngx_chat_query_after_written(ngx_chat_db_result_t *res,
    ngx_chat_query_history_t *op)
{
    uint64_t                   slot, horizon;
    ngx_str_t                 *row;
    ngx_uint_t                 i;
    ngx_chat_query_writing_t  *writing;

    horizon = UINT64_MAX;

    if (op->writing == NULL) {
        return horizon;
    }

    writing = op->writing->elts;
    row = ngx_chat_db_fetch(res);

    for (i = 0; i < op->writing->nelts; i++) {

        slot = 0;

        while (row != NULL) {
            slot = ngx_chat_query_get_number(&row[0]);

            if (slot >= writing[i].slot) {
                break;
            }

            row = ngx_chat_db_fetch(res);
        }

        if (row == NULL
            || slot != writing[i].slot
            || ngx_chat_query_get_number(&row[1]) < writing[i].turn)
        {
            horizon = ngx_min(horizon, writing[i].floor - 1);
        }
    }

    return horizon;
}


/* the ids of a job ascend; a message to oneself is there twice */

static ngx_int_t
ngx_chat_query_after_dirty(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs)
{
    size_t                     size;
    uint64_t                   id;
    ngx_str_t                 *row;
    ngx_chat_query_history_t  *op;

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        op = (ngx_chat_query_history_t *)
                 jobs[ngx_chat_query_get_number(&row[0])];

        if (op == NULL) {
            continue;
        }

        id = ngx_chat_query_get_number(&row[1]);

        if (op->limit && id == op->id) {
            op->own = 1;
            continue;
        }

        /* four lists: sent and received, messages and changes */

        size = op->limit ? op->limit + 2 : 4 * NGX_CHAT_QUERY_AFTER_RECENT;

        if (op->dirty == NULL) {
            op->dirty = ngx_palloc(op->job.pool, size * sizeof(uint64_t));
            if (op->dirty == NULL) {
                return NGX_ERROR;
            }

        } else if (op->dirty[op->ndirty - 1] == id) {
            continue;
        }

        if (op->ndirty + op->own < size) {
            op->dirty[op->ndirty++] = id;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_query_after_rows(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t                 *row;
    ngx_uint_t                 i;
    ngx_chat_query_history_t  *op;

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        op = (ngx_chat_query_history_t *)
                 jobs[ngx_chat_query_get_number(&row[0])];

        if (op != NULL && ngx_chat_query_after_row(op, &row[1]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_history_t *) jobs[i];

        if (op != NULL) {
            ngx_chat_query_after_settle(op, UINT64_MAX);
            ngx_chat_query_after_own(op);
        }
    }

    return NGX_OK;
}


/* rows of a job are ordered as its dirty ids; without a limit, of ids only */

static ngx_int_t
ngx_chat_query_after_row(ngx_chat_query_history_t *op, ngx_str_t *row)
{
    uint64_t             id;
    ngx_chat_message_t  *message;

    id = ngx_chat_query_get_number(&row[0]);

    if (op->limit == 0) {
        ngx_chat_query_after_settle(op, id);
        return NGX_OK;
    }

    if (op->has_more) {
        return NGX_OK;
    }

    if (op->messages == NULL) {
        op->messages = ngx_array_create(op->job.pool, 4,
                                        sizeof(ngx_chat_message_t));
        if (op->messages == NULL) {
            return NGX_ERROR;
        }

    } else {
        message = op->messages->elts;

        if (message[op->messages->nelts - 1].id == id) {
            return NGX_OK;
        }
    }

    ngx_chat_query_after_settle(op, id);

    if (op->messages->nelts == op->limit) {
        op->has_more = 1;
        return NGX_OK;
    }

    message = ngx_array_push(op->messages);
    if (message == NULL) {
        return NGX_ERROR;
    }

    if (ngx_chat_query_get_row(op->job.pool, row,
                               ngx_chat_query_message_columns, message)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    message->target_id = ngx_chat_query_get_number(&row[10]);

    return NGX_OK;
}


/* "id" is the next committed id: lower dirty ids are not committed */

static void
ngx_chat_query_after_settle(ngx_chat_query_history_t *op, uint64_t id)
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
ngx_chat_query_after_own(ngx_chat_query_history_t *op)
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

    if (op->messages == NULL) {
        return;
    }

    messages = op->messages->elts;

    for (i = 0; i < op->messages->nelts && messages[i].id <= horizon; i++) {
        op->horizon = messages[i].id;
        op->own = 1;
    }
}
