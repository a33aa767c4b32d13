
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * The messages of a user are in two indexes of chat_message, (sender_id, kind,
 * id) and (recipient_id, kind, id); those of a conversation are in one, (lo_id,
 * hi_id, kind, id).  A list of ids is read from indexes only, one kind at a
 * time; bodies and names are read for the few rows that remain.  The indexes
 * are named, since with LIMIT the optimizer may scan the primary key, with the
 * messages of all users.
 */


/* an index with the ids of one kind; earlier tables have messages only */

typedef struct {
    const char            *part;              /* $1, $2: the users */
    const char            *old;
} ngx_chat_query_part_t;


static void ngx_chat_query_history_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_history_add_count(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op);
static ngx_int_t ngx_chat_query_history_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_reverse(ngx_chat_query_history_t *op);
static void ngx_chat_query_add_messages(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit);
static void ngx_chat_query_add_changes(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit);
static void ngx_chat_query_add_range(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit);


/* of a conversation, and of a user; changes follow the messages */

static const ngx_chat_query_part_t  ngx_chat_query_pair_parts[] = {
    { " FORCE INDEX (pair) WHERE lo_id = $1 AND hi_id = $2 AND kind = 0",
      " FORCE INDEX (conversation) WHERE lo_id = $1 AND hi_id = $2" },
    { " FORCE INDEX (pair) WHERE lo_id = $1 AND hi_id = $2 AND kind = 1",
      NULL }
};

static const ngx_chat_query_part_t  ngx_chat_query_user_parts[] = {
    { " FORCE INDEX (sent) WHERE sender_id = $1 AND kind = 0",
      " FORCE INDEX (sender) WHERE sender_id = $1" },
    { " FORCE INDEX (received) WHERE recipient_id = $1 AND kind = 0",
      " FORCE INDEX (recipient) WHERE recipient_id = $1" },
    { " FORCE INDEX (sent) WHERE sender_id = $1 AND kind = 1",
      NULL },
    { " FORCE INDEX (received) WHERE recipient_id = $1 AND kind = 1",
      NULL }
};


const ngx_chat_db_type_t  ngx_chat_query_history_page = {
    .name = ngx_string("messages.page"),
    .batch = 1,
    .replica = 1,
    .visible = 1,
    .build = ngx_chat_query_history_build,
    .result = ngx_chat_query_history_result
};


const ngx_chat_db_type_t  ngx_chat_query_history_count = {
    .name = ngx_string("messages.count"),
    .batch = 1,
    .replica = 1,
    .build = ngx_chat_query_history_build,
    .result = ngx_chat_query_history_result
};


const ngx_chat_db_type_t  ngx_chat_query_history_far = {
    .name = ngx_string("messages.far"),
    .batch = 1,
    .replica = 1,
    .visible = 1,
    .build = ngx_chat_query_history_build,
    .result = ngx_chat_query_history_result
};


const ngx_chat_db_type_t  ngx_chat_query_history_before = {
    .name = ngx_string("messages.before"),
    .batch = 1,
    .replica = 1,
    .visible = 1,
    .build = ngx_chat_query_history_build,
    .result = ngx_chat_query_history_result
};


/*
 * The last page is read from the other end, since its offset is not known
 * before the packet runs: the oldest messages, oldest first.  The count shows
 * how many of them belong to that page.
 */

static void
ngx_chat_query_history_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    const ngx_chat_db_type_t  *type = jobs[0]->type;
    ngx_chat_query_history_t  *op = (ngx_chat_query_history_t *) jobs[0];

    ngx_chat_query_clear_messages(op);

    if (type == &ngx_chat_query_history_before) {

        /* one row beyond the limit shows whether there are more */

        ngx_chat_query_add_messages(text, op, " AND id < $1", "DESC", 0,
                                    op->limit + 1);
        return;
    }

    if (type == &ngx_chat_query_history_far) {
        ngx_chat_query_add_messages(text, op, "", "ASC", op->offset, op->limit);
        return;
    }

    ngx_chat_query_history_add_count(text, op);

    if (type == &ngx_chat_query_history_page) {
        ngx_chat_query_text(text, ";");
        ngx_chat_query_add_messages(text, op, "", op->last ? "ASC" : "DESC",
                                    op->last ? 0 : op->offset, op->limit);
    }
}


static void
ngx_chat_query_history_add_count(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op)
{
    op->count = 0;

    if (op->peer_id) {
        ngx_chat_query_add(text,
            "SELECT message_count FROM chat_conversation"
            " WHERE lo_id = $1 AND hi_id = $2",
            ngx_chat_query_number(ngx_min(op->user_id, op->peer_id)),
            ngx_chat_query_number(ngx_max(op->user_id, op->peer_id)));
        return;
    }

    ngx_chat_query_add(text,
        "SELECT SUM(message_count) FROM ("
        "SELECT message_count FROM chat_conversation WHERE lo_id = $1"
        " UNION ALL "
        "SELECT message_count FROM chat_conversation"
        " WHERE hi_id = $1 AND lo_id <> $1"
        ") AS c",
        ngx_chat_query_number(op->user_id));
}


static ngx_int_t
ngx_chat_query_history_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t                 *row;
    const ngx_chat_db_type_t  *type;
    ngx_chat_query_history_t  *op = (ngx_chat_query_history_t *) jobs[0];

    type = op->job.type;

    if (res->statement == 0
        && (type == &ngx_chat_query_history_page
            || type == &ngx_chat_query_history_count))
    {
        row = ngx_chat_db_fetch(res);
        op->count = (row != NULL) ? ngx_chat_query_get_number(&row[0]) : 0;

        return NGX_OK;
    }

    if (ngx_chat_query_get_messages(res, op) != NGX_OK) {
        return NGX_ERROR;
    }

    if (op->last && op->count) {
        op->messages->nelts = ngx_min(op->messages->nelts,
                                      (op->count - 1) % op->limit + 1);
    }

    if (op->last || type == &ngx_chat_query_history_far) {
        ngx_chat_query_reverse(op);
    }

    return NGX_OK;
}


static void
ngx_chat_query_reverse(ngx_chat_query_history_t *op)
{
    ngx_uint_t           i, k;
    ngx_chat_message_t  *messages, message;

    messages = op->messages->elts;

    for (i = 0, k = op->messages->nelts; i + 1 < k; i++) {
        k--;

        message = messages[i];
        messages[i] = messages[k];
        messages[k] = message;
    }
}


void
ngx_chat_query_clear_messages(ngx_chat_query_history_t *op)
{
    op->messages = NULL;
    op->has_more = 0;
}


/*
 * Selects messages of a user; in "where", $1 is op->id.  Without changes, the
 * row of a message has all its members.  With a peer, the names are known;
 * without joins this is three times as fast.
 */

static void
ngx_chat_query_add_messages(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit)
{
    if (op->changes && !ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES)) {
        ngx_chat_query_add_changes(text, op, where, order, offset, limit);
        return;
    }

    ngx_chat_query_text(text, op->peer_id
        ? "SELECT " NGX_CHAT_QUERY_COLUMNS("NULL", "NULL")
        : "SELECT STRAIGHT_JOIN " NGX_CHAT_QUERY_MESSAGE);
    ngx_chat_query_add_changed(text);
    ngx_chat_query_text(text, op->changes ? ", 0" : "");

    if (op->peer_id && offset == 0) {
        ngx_chat_query_text(text, " FROM chat_message m");
        ngx_chat_query_add_part(text, op, 0);
        ngx_chat_query_add_range(text, op, where, order, 0, limit);
        return;
    }

    /* only the index is read for skipped rows */

    ngx_chat_query_text(text, " FROM (");
    ngx_chat_query_add_ids(text, op, where, order, offset, limit);
    ngx_chat_query_text(text, op->peer_id
        ? ") AS p STRAIGHT_JOIN chat_message m ON m.id = p.id ORDER BY p.id "
        : ") AS p JOIN chat_message m ON m.id = p.id"
          NGX_CHAT_QUERY_JOIN_NAMES " ORDER BY p.id ");
    ngx_chat_query_text(text, order);
}


/* "m" is the row of a message or of its change, "t" the message */

static void
ngx_chat_query_add_changes(ngx_chat_db_buf_t *text,
    ngx_chat_query_history_t *op, const char *where, const char *order,
    uint64_t offset, uint64_t limit)
{
    ngx_chat_query_text(text,
        "SELECT STRAIGHT_JOIN m.id, m.sender_id, m.recipient_id,");
    ngx_chat_query_text(text, op->peer_id ? " NULL, NULL,"
                                          : " s.username, r.username,");
    ngx_chat_query_text(text,
        " t.created_at, t.body, t.reply_to, t.edited_at");
    ngx_chat_query_add_files(text, "t.files");
    ngx_chat_query_text(text, ", m.target_id FROM (");
    ngx_chat_query_add_ids(text, op, where, order, offset, limit);
    ngx_chat_query_text(text, ") AS p JOIN chat_message m ON m.id = p.id");
    ngx_chat_query_text(text, op->peer_id ? "" : NGX_CHAT_QUERY_JOIN_NAMES);
    ngx_chat_query_text(text,
        " LEFT JOIN chat_message t"
        " ON t.id = COALESCE(m.target_id, m.id) AND t.kind = 0"
        " ORDER BY p.id ");
    ngx_chat_query_text(text, order);
}


/* UNION without ALL, since a message to oneself is in two parts */

void
ngx_chat_query_add_ids(ngx_chat_db_buf_t *text, ngx_chat_query_history_t *op,
    const char *where, const char *order, uint64_t offset, uint64_t limit)
{
    ngx_uint_t  i, n;

    n = ngx_chat_query_parts(text, op);

    if (n == 1) {
        ngx_chat_query_text(text, "SELECT id FROM chat_message");
        ngx_chat_query_add_part(text, op, 0);
        ngx_chat_query_add_range(text, op, where, order, offset, limit);
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_chat_query_text(text, i ? " UNION (SELECT id FROM chat_message"
                                    : "(SELECT id FROM chat_message");
        ngx_chat_query_add_part(text, op, i);
        ngx_chat_query_add_range(text, op, where, order, 0, offset + limit);
        ngx_chat_query_text(text, ")");
    }

    ngx_chat_query_add_range(text, op, "", order, offset, limit);
}


ngx_uint_t
ngx_chat_query_parts(ngx_chat_db_buf_t *text, ngx_chat_query_history_t *op)
{
    ngx_uint_t  changes;

    changes = op->changes
              && !ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES);

    return (op->peer_id ? 1 : 2) << changes;
}


/* LEAST() and GREATEST() would cost a quarter more */

void
ngx_chat_query_add_part(ngx_chat_db_buf_t *text, ngx_chat_query_history_t *op,
    ngx_uint_t i)
{
    const ngx_chat_query_part_t  *part;

    part = op->peer_id ? &ngx_chat_query_pair_parts[i]
                       : &ngx_chat_query_user_parts[i];

    ngx_chat_query_add(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES) ? part->old
                                                             : part->part,
        ngx_chat_query_number(op->peer_id ? ngx_min(op->user_id, op->peer_id)
                                          : op->user_id),
        ngx_chat_query_number(ngx_max(op->user_id, op->peer_id)));
}


static void
ngx_chat_query_add_range(ngx_chat_db_buf_t *text, ngx_chat_query_history_t *op,
    const char *where, const char *order, uint64_t offset, uint64_t limit)
{
    ngx_chat_query_add(text, where, ngx_chat_query_number(op->id));
    ngx_chat_query_text(text, " ORDER BY id ");
    ngx_chat_query_text(text, order);
    ngx_chat_query_add(text, " LIMIT $1, $2",
                       ngx_chat_query_number(offset),
                       ngx_chat_query_number(limit));
}


ngx_int_t
ngx_chat_query_get_messages(ngx_chat_db_result_t *res,
    ngx_chat_query_history_t *op)
{
    ngx_str_t           *row;
    ngx_chat_message_t  *message;

    op->messages = ngx_array_create(op->job.pool, op->limit + 1,
                                    sizeof(ngx_chat_message_t));
    if (op->messages == NULL) {
        return NGX_ERROR;
    }

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        if (op->messages->nelts == op->limit) {
            op->has_more = (op->limit != 0);
            continue;
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

        message->target_id = op->changes ? ngx_chat_query_get_number(&row[10])
                                         : 0;

        if (op->peer_id) {
            message->sender = (message->sender_id == op->user_id) ? op->user
                                                                  : op->peer;
            message->recipient = (message->recipient_id == op->user_id)
                                 ? op->user : op->peer;
        }
    }

    return NGX_OK;
}
