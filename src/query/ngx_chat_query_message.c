
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * Statements that store a message, or select one by id or client id.  Lists are
 * in ngx_chat_query_history.c.
 */


#define NGX_CHAT_QUERY_SEND_BATCH  64


/* changes of a conversation by a packet of messages */

typedef struct {
    uint32_t               lo_id;
    uint32_t               hi_id;
    ngx_uint_t             count;
    ngx_uint_t             last;              /* index in the packet */
    ngx_uint_t             lo_unread;
    ngx_uint_t             hi_unread;
} ngx_chat_query_pair_t;


/* packet of a send: index of the INSERT, and statements that lock before it */
#define NGX_CHAT_QUERY_SEND_INSERT  2
#define NGX_CHAT_QUERY_SEND_LOCKS   2

/* columns of the INSERT, which only packets that need them name */
#define NGX_CHAT_QUERY_SEND_PLAIN    0
#define NGX_CHAT_QUERY_SEND_REPLIES  1
#define NGX_CHAT_QUERY_SEND_FILES    2

/*
 * The step of ids that the INSERT has used.  A Galera node may change it
 * between two statements.  MySQL does not, and warns about assignments.
 */
#define NGX_CHAT_QUERY_KEEP_STEP                                              \
    "/*M! + 0 * (@chat_step := @@auto_increment_increment)*/"
#define NGX_CHAT_QUERY_STEP                                                   \
    "/*M! @chat_step*//*!80000 @@auto_increment_increment*/"


static void ngx_chat_query_send_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_uint_t ngx_chat_query_send_columns(ngx_chat_db_job_t **jobs,
    ngx_uint_t n);
static void ngx_chat_query_send_conversations(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_send_active(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_uint_t ngx_chat_query_pairs(ngx_chat_query_pair_t *pairs,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_send_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_send_lock(ngx_chat_db_buf_t *text,
    ngx_chat_query_send_t *op);
static void ngx_chat_query_send_limit(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t *job);
static uint64_t ngx_chat_query_send_key(ngx_chat_db_job_t *job);

static void ngx_chat_query_send_add_files(ngx_chat_db_buf_t *text,
    ngx_chat_query_send_t *op);

static void ngx_chat_query_message_by_client_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_message_get_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_message_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


static const char  *ngx_chat_query_send_insert[] = {
    "INSERT INTO chat_message"
    " (sender_id, recipient_id, created_at, client_id, body) VALUES ",
    "INSERT INTO chat_message"
    " (sender_id, recipient_id, created_at, client_id, body, reply_to) VALUES ",
    "INSERT INTO chat_message"
    " (sender_id, recipient_id, created_at, client_id, body, reply_to, files)"
    " VALUES "
};


static const char  *ngx_chat_query_send_values[] = {
    ",$1,$2,$3,$4)",
    ",$1,$2,$3,$4,NULLIF($5,0))",
    ",$1,$2,$3,$4,NULLIF($5,0),$6)"
};


static const ngx_uint_t  ngx_chat_query_send_since[] = {
    0,
    NGX_CHAT_SCHEMA_CHANGES,
    NGX_CHAT_SCHEMA_FILES
};


const ngx_chat_db_type_t  ngx_chat_query_send = {
    .name = ngx_string("message.send"),
    .batch = NGX_CHAT_QUERY_SEND_BATCH,
    .parallel = 1,
    .transaction = 1,
    .visible = 1,
    .declines = 1,
    .build = ngx_chat_query_send_build,
    .result = ngx_chat_query_send_result,
    .key = ngx_chat_query_send_key
};


const ngx_chat_db_type_t  ngx_chat_query_send_files = {
    .name = ngx_string("message.send_files"),
    .batch = 1,
    .parallel = 1,
    .transaction = 1,
    .visible = 1,
    .declines = 1,
    .build = ngx_chat_query_send_build,
    .result = ngx_chat_query_send_result,
    .key = ngx_chat_query_send_key
};


const ngx_chat_db_type_t  ngx_chat_query_message_get = {
    .name = ngx_string("message.get"),
    .batch = 64,
    .visible = 1,
    .build = ngx_chat_query_message_get_build,
    .result = ngx_chat_query_message_get_result
};


static const ngx_chat_query_member_t
    ngx_chat_query_message_by_client_columns[] =
{
    ngx_chat_query_member(BOOL, ngx_chat_query_message_t, edited),
    ngx_chat_query_member(NUMBER, ngx_chat_query_message_t, message.id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_message_t, message.sender_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_message_t,
                          message.recipient_id),
    ngx_chat_query_member(STRING, ngx_chat_query_message_t, message.sender),
    ngx_chat_query_member(STRING, ngx_chat_query_message_t, message.recipient),
    ngx_chat_query_member(TIME, ngx_chat_query_message_t, message.timestamp),
    ngx_chat_query_member(STRING, ngx_chat_query_message_t, message.body),
    ngx_chat_query_member(NUMBER, ngx_chat_query_message_t, message.reply_to),
    ngx_chat_query_member(TIME, ngx_chat_query_message_t, message.edited),
    ngx_chat_query_member(STRING, ngx_chat_query_message_t, message.files),
    ngx_chat_query_members_end
};


const ngx_chat_query_member_t  ngx_chat_query_message_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_message_t, id),
    ngx_chat_query_member(NUMBER, ngx_chat_message_t, sender_id),
    ngx_chat_query_member(NUMBER, ngx_chat_message_t, recipient_id),
    ngx_chat_query_member(STRING, ngx_chat_message_t, sender),
    ngx_chat_query_member(STRING, ngx_chat_message_t, recipient),
    ngx_chat_query_member(TIME, ngx_chat_message_t, timestamp),
    ngx_chat_query_member(STRING, ngx_chat_message_t, body),
    ngx_chat_query_member(NUMBER, ngx_chat_message_t, reply_to),
    ngx_chat_query_member(TIME, ngx_chat_message_t, edited),
    ngx_chat_query_member(STRING, ngx_chat_message_t, files),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  ngx_chat_query_message_by_client_plain = {
    .columns = ngx_chat_query_message_by_client_columns
};


const ngx_chat_db_type_t  ngx_chat_query_message_by_client = {
    .name = ngx_string("message.by_client"),
    .batch = 1,
    .visible = 1,
    .build = ngx_chat_query_message_by_client_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_message_by_client_plain
};


void
ngx_chat_query_add_changed(ngx_chat_db_buf_t *text)
{
    ngx_chat_query_text(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES)
        ? NGX_CHAT_QUERY_NOT_CHANGED : NGX_CHAT_QUERY_CHANGED);
    ngx_chat_query_add_files(text, "m.files");
}


/*
 * The floor is written before ids are taken, into the connection's slot (see
 * NGX_CHAT_QUERY_SLOT).  Each node of a cluster has slots of its own.  INSERT
 * ... SELECT reads the maximum without locks under READ COMMITTED.  The ids of
 * one INSERT ascend from LAST_INSERT_ID() in steps, which are larger than 1 in
 * a cluster.  The server returns the id of a single row with its result.
 *
 * Conversations are locked in the order of their key, not of the messages, so
 * that two workers cannot wait for each other.
 */

static void
ngx_chat_query_send_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t               timestamp;
    ngx_uint_t              i, columns;
    ngx_chat_query_send_t  *op;

    columns = ngx_chat_query_send_columns(jobs, n);

    if (ngx_chat_query_before(text, ngx_chat_query_send_since[columns])) {
        ngx_chat_query_text(text, columns == NGX_CHAT_QUERY_SEND_FILES
                                  ? NGX_CHAT_QUERY_FILES_UNSUPPORTED
                                  : NGX_CHAT_QUERY_UNSUPPORTED);
        return;
    }

    ngx_chat_query_text(text, "START TRANSACTION;");

    if (jobs[0]->suspect) {
        ngx_chat_query_send_lock(text, (ngx_chat_query_send_t *) jobs[0]);
    }

    ngx_chat_query_text(text, NGX_CHAT_QUERY_FLOOR);

    ngx_chat_query_send_limit(text, jobs[0]);
    ngx_chat_query_text(text, ngx_chat_query_send_insert[columns]);

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_send_t *) jobs[i];
        op->message.id = 0;

        /* without "Z" */
        timestamp.data = op->message.timestamp.data;
        timestamp.len = NGX_CHAT_TIMESTAMP_LEN - 1;

        if (i == 0) {
            ngx_chat_query_add(text, "($1" NGX_CHAT_QUERY_KEEP_STEP,
                               ngx_chat_query_number(op->message.sender_id));
            ngx_chat_query_send_active(text, jobs, n);

        } else {
            ngx_chat_query_add(text, ",($1",
                               ngx_chat_query_number(op->message.sender_id));
        }

        ngx_chat_query_add(text, ngx_chat_query_send_values[columns],
                           ngx_chat_query_number(op->message.recipient_id),
                           ngx_chat_query_string(&timestamp),
                           ngx_chat_query_string(&op->client_id),
                           ngx_chat_query_string(&op->message.body),
                           ngx_chat_query_number(op->message.reply_to),
                           ngx_chat_query_string(&op->message.files));
    }

    if (n > 1) {
        ngx_chat_query_text(text,
            ";SELECT LAST_INSERT_ID()," NGX_CHAT_QUERY_STEP);
    }

    ngx_chat_query_send_add_files(text, (ngx_chat_query_send_t *) jobs[0]);

    ngx_chat_query_text(text, ";");
    ngx_chat_query_send_limit(text, jobs[0]);
    ngx_chat_query_send_conversations(text, jobs, n);
    ngx_chat_query_text(text, ";COMMIT");
}


/* returns the columns that the packet needs */

static ngx_uint_t
ngx_chat_query_send_columns(ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t              i, columns;
    ngx_chat_query_send_t  *op;

    columns = NGX_CHAT_QUERY_SEND_PLAIN;

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_send_t *) jobs[i];

        if (op->nfiles) {
            return NGX_CHAT_QUERY_SEND_FILES;
        }

        if (op->message.reply_to) {
            columns = NGX_CHAT_QUERY_SEND_REPLIES;
        }
    }

    return columns;
}


/* the single message of the packet takes its files */

static void
ngx_chat_query_send_add_files(ngx_chat_db_buf_t *text,
    ngx_chat_query_send_t *op)
{
    ngx_uint_t  i;

    if (op->nfiles == 0) {
        return;
    }

    ngx_chat_query_text(text, ";");
    ngx_chat_query_send_limit(text, &op->job);
    ngx_chat_query_add(text,
        "UPDATE chat_file SET state = 1, message_id = LAST_INSERT_ID()"
        " WHERE owner_id = $1 AND state = 0"
        " AND created_at > UTC_TIMESTAMP(6) - INTERVAL 25 HOUR"
        " AND token IN (",
        ngx_chat_query_number(op->message.sender_id));

    for (i = 0; i < op->nfiles; i++) {
        ngx_chat_query_add(text, i ? ",$1" : "$1",
                           ngx_chat_query_string(&op->tokens[i]));
    }

    ngx_chat_query_text(text, ")");
}


static void
ngx_chat_query_send_conversations(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t              i, npairs, nfiles;
    ngx_chat_query_pair_t  *pair, pairs[NGX_CHAT_QUERY_SEND_BATCH];

    ngx_chat_query_text(text,
        "INSERT INTO chat_conversation"
        " (lo_id, hi_id, message_count, last_message_id, lo_unread, hi_unread)"
        " VALUES ");

    npairs = ngx_chat_query_pairs(pairs, jobs, n);
    nfiles = ((ngx_chat_query_send_t *) jobs[0])->nfiles;

    for (i = 0; i < npairs; i++) {
        pair = &pairs[i];

        ngx_chat_query_text(text, i ? "," : "");
        /* NULL, which the column rejects, if a file was not taken */

        ngx_chat_query_add(text, nfiles
            ? "($1,$2,IF((SELECT COUNT(*) FROM chat_file"
                        " WHERE message_id = LAST_INSERT_ID()) = $7,$3,NULL),"
              "LAST_INSERT_ID()+$4*" NGX_CHAT_QUERY_STEP ",$5,$6)"
            : "($1,$2,$3,LAST_INSERT_ID()+$4*" NGX_CHAT_QUERY_STEP ",$5,$6)",
            ngx_chat_query_number(pair->lo_id),
            ngx_chat_query_number(pair->hi_id),
            ngx_chat_query_number(pair->count),
            ngx_chat_query_number(pair->last),
            ngx_chat_query_number(pair->lo_unread),
            ngx_chat_query_number(pair->hi_unread),
            ngx_chat_query_number(nfiles));
    }

    ngx_chat_query_text(text,
        " ON DUPLICATE KEY UPDATE"
        " message_count = message_count + VALUES(message_count),"
        " last_message_id = GREATEST(last_message_id,"
                                   " VALUES(last_message_id)),"
        " lo_unread = lo_unread"
            " + IF(VALUES(last_message_id) > lo_read_id,"
                 " VALUES(lo_unread), 0),"
        " hi_unread = hi_unread"
            " + IF(VALUES(last_message_id) > hi_read_id,"
                 " VALUES(hi_unread), 0)");

    /* NULL, which the column rejects; a block is committed before this row is
       locked, or after this transaction */

    ngx_chat_query_text(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_BLOCKS)
        ? "" : ", blocks = IF(blocks, NULL, 0)");
}


/*
 * Locks rows that other transactions may have locked.  This precedes the floor,
 * which would hold back the horizon of all users meanwhile.  Statements that
 * only lock can have a short limit.
 */

static void
ngx_chat_query_send_lock(ngx_chat_db_buf_t *text, ngx_chat_query_send_t *op)
{
    ngx_chat_query_add(text,
        NGX_CHAT_QUERY_LIMIT("$3")
        "SELECT " NGX_CHAT_QUERY_HINT("$3") " id FROM chat_user"
        " WHERE id IN ($1, $2) LOCK IN SHARE MODE;"
        NGX_CHAT_QUERY_LIMIT("$3")
        "SELECT " NGX_CHAT_QUERY_HINT("$3") " message_count"
        " FROM chat_conversation"
        " WHERE lo_id = $1 AND hi_id = $2 FOR UPDATE;",
        ngx_chat_query_number(ngx_min(op->message.sender_id,
                                      op->message.recipient_id)),
        ngx_chat_query_number(ngx_max(op->message.sender_id,
                                      op->message.recipient_id)),
        ngx_chat_query_number(op->job.lock_wait));
}


/* limits the time of the next statement, unless it has its locks */

static void
ngx_chat_query_send_limit(ngx_chat_db_buf_t *text, ngx_chat_db_job_t *job)
{
    if (!job->suspect) {
        ngx_chat_query_add(text, NGX_CHAT_QUERY_LIMIT("$1"),
                           ngx_chat_query_number(job->lock_wait));
    }
}


/*
 * Adds 0 to the id of the first sender if all senders are active, otherwise
 * NULL, which the column rejects.  A packet of several jobs is then halved.  A
 * single subquery is much cheaper than one per row.
 */

static void
ngx_chat_query_send_active(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    uint32_t    id, ids[NGX_CHAT_QUERY_SEND_BATCH];
    ngx_uint_t  i, k, nids;

    nids = 0;

    for (i = 0; i < n; i++) {
        id = ((ngx_chat_query_send_t *) jobs[i])->message.sender_id;

        for (k = 0; k < nids && ids[k] != id; k++) { /* void */ }

        if (k == nids) {
            ids[nids++] = id;
        }
    }

    ngx_chat_query_add(text,
        " + (SELECT IF(COUNT(*) = $1, 0, NULL) FROM chat_user"
        " WHERE is_active AND id IN (",
        ngx_chat_query_number(nids));

    for (k = 0; k < nids; k++) {
        ngx_chat_query_add(text, k ? ",$1" : "$1",
                           ngx_chat_query_number(ids[k]));
    }

    ngx_chat_query_text(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_BLOCKS)
        ? ")" NGX_CHAT_QUERY_NO_BLOCKS ")" : "))");
}


/* sums up the packet by conversation, sorted; returns their number */

static ngx_uint_t
ngx_chat_query_pairs(ngx_chat_query_pair_t *pairs, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    uint32_t                lo, hi;
    ngx_uint_t              i, k, npairs;
    ngx_chat_message_t     *message;
    ngx_chat_query_pair_t  *pair;

    npairs = 0;

    for (i = 0; i < n; i++) {
        message = &((ngx_chat_query_send_t *) jobs[i])->message;

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
                        (npairs - k) * sizeof(ngx_chat_query_pair_t));
            npairs++;

            ngx_memzero(pair, sizeof(ngx_chat_query_pair_t));

            pair->lo_id = lo;
            pair->hi_id = hi;
        }

        pair->count++;
        pair->last = i;

        /* messages to oneself are read */

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
ngx_chat_query_send_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    uint64_t                first, step;
    ngx_str_t              *row;
    ngx_uint_t              i, insert;
    ngx_chat_query_send_t  *op;

    if (n == 1) {
        op = (ngx_chat_query_send_t *) jobs[0];

        insert = NGX_CHAT_QUERY_SEND_INSERT;

        if (op->job.suspect) {
            insert += NGX_CHAT_QUERY_SEND_LOCKS;
        }

        if (res->statement == insert) {
            op->message.id = res->insert_id;
        }

        return NGX_OK;
    }

    row = ngx_chat_db_fetch(res);
    if (row == NULL) {
        return NGX_OK;
    }

    first = ngx_chat_query_get_number(&row[0]);
    step = ngx_chat_query_get_number(&row[1]);

    for (i = 0; i < n; i++) {
        if (jobs[i] != NULL) {
            ((ngx_chat_query_send_t *) jobs[i])->message.id = first + i * step;
        }
    }

    return NGX_OK;
}


static uint64_t
ngx_chat_query_send_key(ngx_chat_db_job_t *job)
{
    ngx_chat_query_send_t  *op = (ngx_chat_query_send_t *) job;

    return ngx_chat_query_pair_key(op->message.sender_id,
                                   op->message.recipient_id);
}


uint64_t
ngx_chat_query_pair_key(uint32_t one, uint32_t other)
{
    return (uint64_t) ngx_min(one, other) << 32 | ngx_max(one, other);
}


static void
ngx_chat_query_message_by_client_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t                 old;
    ngx_chat_query_message_t  *op = (ngx_chat_query_message_t *) jobs[0];

    old = ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES);

    ngx_memzero(&op->message, sizeof(ngx_chat_message_t));
    op->edited = 0;

    ngx_chat_query_add(text, old
        ? "SELECT STRAIGHT_JOIN FALSE, " NGX_CHAT_QUERY_MESSAGE
        : "SELECT STRAIGHT_JOIN COALESCE(m.sent_hash ="
          " UNHEX(SHA2(CONCAT(m.client_id, $1), 256)), FALSE), "
          NGX_CHAT_QUERY_MESSAGE,
        ngx_chat_query_string(&op->body));
    ngx_chat_query_add_changed(text);
    ngx_chat_query_add(text, old
        ? " FROM chat_message m" NGX_CHAT_QUERY_OLD_INDEX("client_id")
          NGX_CHAT_QUERY_JOIN_NAMES
          " WHERE m.sender_id = $1 AND m.client_id = $2"
        : " FROM chat_message m" NGX_CHAT_QUERY_JOIN_NAMES
          " WHERE m.sender_id = $1 AND m.client_id = $2",
        ngx_chat_query_number(op->sender_id),
        ngx_chat_query_string(&op->client_id));
}


/*
 * Messages of other users are not returned by the database: the response time
 * would reveal whether such a message exists.
 */

static void
ngx_chat_query_message_get_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t                 i, old;
    ngx_chat_query_message_t  *op;

    old = ngx_chat_query_before(text, NGX_CHAT_SCHEMA_CHANGES);

    ngx_chat_query_text(text, "SELECT STRAIGHT_JOIN " NGX_CHAT_QUERY_MESSAGE);
    ngx_chat_query_add_changed(text);
    ngx_chat_query_text(text, " FROM chat_message m");
    ngx_chat_query_text(text, old ? NGX_CHAT_QUERY_OLD_INDEX("PRIMARY")
                                  : " FORCE INDEX (PRIMARY)");
    ngx_chat_query_text(text, NGX_CHAT_QUERY_JOIN_NAMES " WHERE");

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_message_t *) jobs[i];

        ngx_memzero(&op->message, sizeof(ngx_chat_message_t));

        ngx_chat_query_text(text, i ? " OR" : "");
        ngx_chat_query_add(text,
            old ? " (m.id = $1 AND (m.sender_id = $2 OR m.recipient_id = $2))"
                : " (m.id = $1 AND m.kind = 0"
                  " AND (m.sender_id = $2 OR m.recipient_id = $2))",
            ngx_chat_query_number(op->id), ngx_chat_query_number(op->user_id));
    }
}


static ngx_int_t
ngx_chat_query_message_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    uint64_t                   id, sender_id, recipient_id;
    ngx_str_t                 *row;
    ngx_uint_t                 i;
    ngx_chat_query_message_t  *op;

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        id = ngx_chat_query_get_number(&row[0]);
        sender_id = ngx_chat_query_get_number(&row[1]);
        recipient_id = ngx_chat_query_get_number(&row[2]);

        for (i = 0; i < n; i++) {
            op = (ngx_chat_query_message_t *) jobs[i];

            if (op == NULL || op->id != id
                || (op->user_id != sender_id && op->user_id != recipient_id))
            {
                continue;
            }

            if (ngx_chat_query_get_row(op->job.pool, row,
                                       ngx_chat_query_message_columns,
                                       &op->message)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}
