
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * Sends lock the rows of their users, in shared mode.  The update of
 * last_seen_at skips rows that are locked, so it never waits while it locks
 * others, and sends wait for its commit at most.  A time that is skipped is
 * stored a minute later.
 */


static void ngx_chat_query_presence_partners_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_presence_partners_result(
    ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_presence_store_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_presence_store_result(
    ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs, ngx_uint_t n);


static const ngx_chat_query_member_t  ngx_chat_query_presence_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_partner_t, id),
    ngx_chat_query_member(STRING, ngx_chat_query_partner_t, user),
    ngx_chat_query_members_end
};


const ngx_chat_db_type_t  ngx_chat_query_presence_partners = {
    .name = ngx_string("presence.partners"),
    .batch = 1,
    .build = ngx_chat_query_presence_partners_build,
    .result = ngx_chat_query_presence_partners_result
};


const ngx_chat_db_type_t  ngx_chat_query_presence_store = {
    .name = ngx_string("presence.store"),
    .batch = 1,
    .transaction = 1,
    .build = ngx_chat_query_presence_store_build,
    .result = ngx_chat_query_presence_store_result
};


static void
ngx_chat_query_presence_partners_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_presence_t  *op = (ngx_chat_query_presence_t *) jobs[0];

    op->partners = NULL;

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_BLOCKS)) {
        ngx_chat_query_text(text,
            "SELECT id, username FROM chat_user WHERE FALSE"
            NGX_CHAT_QUERY_NO_BLOCKS);
        return;
    }

    ngx_chat_query_add(text,
        "SELECT c.peer_id, u.username FROM ("
        "(SELECT last_message_id AS id, hi_id AS peer_id"
        " FROM chat_conversation FORCE INDEX (lo_inbox)"
        " WHERE lo_id = $1 AND hi_id <> $1 AND blocks = 0"
        " AND last_block >= "
        NGX_CHAT_QUERY_FIRST_BLOCK("lo_id = $1", "lo_inbox")
        " ORDER BY last_message_id DESC LIMIT $3)"
        " UNION ALL "
        "(SELECT last_message_id, lo_id"
        " FROM chat_conversation FORCE INDEX (hi_inbox)"
        " WHERE hi_id = $1 AND lo_id <> $1 AND blocks = 0"
        " AND last_block >= "
        NGX_CHAT_QUERY_FIRST_BLOCK("hi_id = $1 AND lo_id <> $1", "hi_inbox")
        " ORDER BY last_message_id DESC LIMIT $3)"
        " ORDER BY id DESC LIMIT $3"
        ") AS c JOIN chat_user u ON u.id = $1 WHERE u.is_active",
        ngx_chat_query_number(op->user_id),
        ngx_chat_query_number(UINT64_MAX),
        ngx_chat_query_number(NGX_CHAT_QUERY_PARTNERS),
        ngx_chat_query_number(NGX_CHAT_QUERY_PARTNERS - 1));
}


static ngx_int_t
ngx_chat_query_presence_partners_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t                  has_more;
    ngx_chat_query_presence_t  *op = (ngx_chat_query_presence_t *) jobs[0];

    return ngx_chat_query_get_rows(res, op->job.pool,
                                   ngx_chat_query_presence_columns,
                                   sizeof(ngx_chat_query_partner_t), 0,
                                   &op->partners, &has_more);
}


/* an UPDATE has no SKIP LOCKED, so each one names a single row, or none */

static void
ngx_chat_query_presence_store_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t                        i;
    ngx_chat_query_presence_store_t  *op;

    op = (ngx_chat_query_presence_store_t *) jobs[0];

    ngx_chat_query_text(text,
        "START TRANSACTION;"
        "SELECT GROUP_CONCAT(id) INTO @chat_ids FROM chat_user WHERE id IN (");

    for (i = 0; i < op->n; i++) {
        ngx_chat_query_add(text, i ? ",$1" : "$1",
                           ngx_chat_query_number(op->users[i].id));
    }

    ngx_chat_query_text(text, ") FOR UPDATE SKIP LOCKED;");

    for (i = 0; i < op->n; i++) {
        ngx_chat_query_add(text,
            "UPDATE chat_user SET"
            " last_seen_at = UTC_TIMESTAMP(6) - INTERVAL $2 MICROSECOND"
            " WHERE id = IF(FIND_IN_SET($1, @chat_ids), $1, NULL);",
            ngx_chat_query_number(op->users[i].id),
            ngx_chat_query_number((uint64_t) op->users[i].ago * 1000));
    }

    ngx_chat_query_text(text, "COMMIT");
}


static ngx_int_t
ngx_chat_query_presence_store_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    return NGX_OK;
}
