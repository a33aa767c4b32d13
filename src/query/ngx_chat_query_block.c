
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"


/*
 * A block is a row of chat_block, and a bit of the conversation.  A send locks
 * the conversation in the statement that checks the bit.  So a change waits for
 * the sends of this pair that are in progress, and later ones see it.
 *
 * Locks are taken in the order of a send: users, by the foreign keys, then the
 * conversation.  The row of chat_block is locked before the conversation, so
 * that row and bit do not differ if the user blocks and unblocks at once.
 */


static uint64_t ngx_chat_query_block_key(ngx_chat_db_job_t *job);


static const ngx_chat_query_member_t  ngx_chat_query_block_list_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_list_t, user_id),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_block_list_columns[] = {
    ngx_chat_query_column(STRING, "username"),
    ngx_chat_query_column(TIME, "since"),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_block_add_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, blocker_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, blocked_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, lo_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, hi_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, bit),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, job.lock_wait),
    ngx_chat_query_member(STRING, ngx_chat_query_block_t, time),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_block_remove_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, blocker_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, blocked_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, lo_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, hi_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, bit),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, job.lock_wait),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_block_get_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, lo_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, hi_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, blocker_id),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_block_get_columns[] = {
    ngx_chat_query_member(BOOL, ngx_chat_query_block_t, active),
    ngx_chat_query_member(NUMBER, ngx_chat_query_block_t, blocks),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  ngx_chat_query_block_list_plain = {
    .sql = "SELECT u.username, b.since FROM chat_block b"
           " JOIN chat_user u ON u.id = b.blocked_id"
           " WHERE b.blocker_id = $1 ORDER BY b.since DESC, b.blocked_id",
    .previous = "SELECT username, created_at FROM chat_user"
                " WHERE id = $1 AND FALSE" NGX_CHAT_QUERY_NO_BLOCKS,
    .since = NGX_CHAT_SCHEMA_BLOCKS,
    .values = ngx_chat_query_block_list_values,
    .columns = ngx_chat_query_block_list_columns,
    .json = offsetof(ngx_chat_query_list_t, rows)
};


static const ngx_chat_query_plain_t  ngx_chat_query_block_add_plain = {
    .sql = "START TRANSACTION;"
           NGX_CHAT_QUERY_LIMIT("$6")
           "INSERT INTO chat_block (blocker_id, blocked_id, since)"
           " VALUES ($1 + (SELECT IF(is_active, 0, NULL) FROM chat_user"
                         " WHERE id = $1), $2, $7);"
           NGX_CHAT_QUERY_LIMIT("$6")
           "INSERT INTO chat_conversation (lo_id, hi_id, blocks)"
           " VALUES ($3, $4, $5)"
           " ON DUPLICATE KEY UPDATE blocks = blocks | VALUES(blocks);"
           "COMMIT",
    .previous = NGX_CHAT_QUERY_BLOCKS_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_BLOCKS,
    .values = ngx_chat_query_block_add_values
};


/* without a row, a bit may belong to a block that is being added */

static const ngx_chat_query_plain_t  ngx_chat_query_block_remove_plain = {
    .sql = "START TRANSACTION;"
           NGX_CHAT_QUERY_LIMIT("$6")
           "DELETE FROM chat_block WHERE blocker_id = $1 AND blocked_id = $2;"
           "SET @chat_removed = ROW_COUNT();"
           NGX_CHAT_QUERY_LIMIT("$6")
           "UPDATE chat_conversation FORCE INDEX (PRIMARY)"
           " SET blocks = blocks & (3 - $5)"
           " WHERE lo_id = $3 AND hi_id = $4 AND @chat_removed;"
           "COMMIT",
    .previous = NGX_CHAT_QUERY_BLOCKS_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_BLOCKS,
    .values = ngx_chat_query_block_remove_values
};


static const ngx_chat_query_plain_t  ngx_chat_query_block_get_plain = {
    .sql = "SELECT u.is_active, COALESCE(c.blocks, 0) FROM chat_user u"
           " LEFT JOIN chat_conversation c ON c.lo_id = $1 AND c.hi_id = $2"
           " WHERE u.id = $3",
    .previous = "SELECT is_active, 0 FROM chat_user WHERE id = $3"
                NGX_CHAT_QUERY_NO_BLOCKS,
    .since = NGX_CHAT_SCHEMA_BLOCKS,
    .values = ngx_chat_query_block_get_values,
    .columns = ngx_chat_query_block_get_columns
};


const ngx_chat_db_type_t  ngx_chat_query_block_list = {
    .name = ngx_string("block.list"),
    .batch = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_block_list_plain
};


const ngx_chat_db_type_t  ngx_chat_query_block_add = {
    .name = ngx_string("block.add"),
    .batch = 1,
    .transaction = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .key = ngx_chat_query_block_key,
    .data = &ngx_chat_query_block_add_plain
};


const ngx_chat_db_type_t  ngx_chat_query_block_remove = {
    .name = ngx_string("block.remove"),
    .batch = 1,
    .transaction = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .key = ngx_chat_query_block_key,
    .data = &ngx_chat_query_block_remove_plain
};


const ngx_chat_db_type_t  ngx_chat_query_block_get = {
    .name = ngx_string("block.get"),
    .batch = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_block_get_plain
};


static uint64_t
ngx_chat_query_block_key(ngx_chat_db_job_t *job)
{
    ngx_chat_query_block_t  *op = (ngx_chat_query_block_t *) job;

    return ngx_chat_query_pair_key(op->lo_id, op->hi_id);
}
