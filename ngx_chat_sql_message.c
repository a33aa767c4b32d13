
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_sql_message.h"
#include "ngx_chat_sql_text.h"


/*
 * A message: to store it, and to get it by its id or by its client id.  Lists
 * are in ngx_chat_sql_list.c.
 */


#define NGX_CHAT_SQL_SEND_BATCH  64


/* what a packet of messages adds to one conversation */

typedef struct {
    uint32_t               lo_id;
    uint32_t               hi_id;
    ngx_uint_t             count;
    ngx_uint_t             last;              /* in the packet */
    ngx_uint_t             lo_unread;
    ngx_uint_t             hi_unread;
} ngx_chat_sql_pair_t;


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
