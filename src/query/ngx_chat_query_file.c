
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query_file.h"
#include "src/query/ngx_chat_query_builder.h"
#include "src/core/ngx_chat_file.h"


/*
 * The rows of files.  A file is sent by the transaction of its message; see
 * ngx_chat_query_message.c.
 *
 * A send accepts files of one day.  The sweep takes those of 25 hours, so it
 * does not remove a file that is being sent.
 */


#define NGX_CHAT_QUERY_FILE_USAGE                                             \
    "SELECT COALESCE(SUM(size), 0) FROM chat_file"

/* no row, for tables without files */
#define NGX_CHAT_QUERY_FILE_NONE                                              \
    "SELECT 0 FROM chat_session FORCE INDEX (id) LIMIT 0"


static void ngx_chat_query_file_find_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_file_find_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_file_sweep_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_file_sweep_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_file_removed_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


static const ngx_chat_query_member_t  ngx_chat_query_file_usage_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, user_id),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_file_usage_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, usage),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  ngx_chat_query_file_usage_plain = {
    .sql = NGX_CHAT_QUERY_FILE_USAGE
           " WHERE owner_id = $1"
           " AND created_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY",
    .previous = NGX_CHAT_QUERY_FILES_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_FILES,
    .values = ngx_chat_query_file_usage_values,
    .columns = ngx_chat_query_file_usage_columns
};


const ngx_chat_db_type_t  ngx_chat_query_file_usage = {
    .name = ngx_string("file.usage"),
    .batch = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_file_usage_plain
};


static const ngx_chat_query_member_t  ngx_chat_query_file_create_values[] = {
    ngx_chat_query_member(STRING, ngx_chat_query_file_t, file.token),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, user_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, file.size),
    ngx_chat_query_member(STRING, ngx_chat_query_file_t, file.type),
    ngx_chat_query_member(STRING, ngx_chat_query_file_t, file.name),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, file.width),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, file.height),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, quota),
    ngx_chat_query_members_end
};


/* the user, or the quota, may have changed while the file was uploaded */

static const ngx_chat_query_plain_t  ngx_chat_query_file_create_plain = {
    .sql = "INSERT INTO chat_file (token, owner_id, created_at, size, type,"
                                 " name, width, height)"
           " SELECT $1, id, UTC_TIMESTAMP(6), $3, $4, $5, NULLIF($6, 0),"
                  " NULLIF($7, 0) FROM chat_user"
           " WHERE id = $2 AND is_active AND $3 + ("
           NGX_CHAT_QUERY_FILE_USAGE
           " WHERE owner_id = $2"
           " AND created_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY) <= $8",
    .previous = NGX_CHAT_QUERY_FILES_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_FILES,
    .values = ngx_chat_query_file_create_values,
    .affected = offsetof(ngx_chat_query_file_t, created)
};


const ngx_chat_db_type_t  ngx_chat_query_file_create = {
    .name = ngx_string("file.create"),
    .batch = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_file_create_plain
};


static const ngx_chat_query_member_t  ngx_chat_query_file_get_values[] = {
    ngx_chat_query_member(STRING, ngx_chat_query_file_t, file.token),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, user_id),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_file_get_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_t, file.size),
    ngx_chat_query_member(STRING, ngx_chat_query_file_t, file.type),
    ngx_chat_query_member(STRING, ngx_chat_query_file_t, file.name),
    ngx_chat_query_members_end
};


/* a file is never empty: without a row, its size is 0 */

static const ngx_chat_query_plain_t  ngx_chat_query_file_get_plain = {
    .sql = "SELECT f.size, f.type, f.name FROM chat_file f"
           " LEFT JOIN chat_message m ON m.id = f.message_id AND m.kind = 0"
           " WHERE f.token = $1 AND ("
           "f.state = 0 AND f.owner_id = $2"
           " AND f.created_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY"
           " OR f.state = 1 AND (m.sender_id = $2 OR m.recipient_id = $2))",
    .previous = NGX_CHAT_QUERY_FILE_NONE,
    .since = NGX_CHAT_SCHEMA_FILES,
    .values = ngx_chat_query_file_get_values,
    .columns = ngx_chat_query_file_get_columns
};


const ngx_chat_db_type_t  ngx_chat_query_file_get = {
    .name = ngx_string("file.get"),
    .batch = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_file_get_plain
};


static const ngx_chat_query_member_t  ngx_chat_query_file_find_columns[] = {
    ngx_chat_query_member(STRING, ngx_chat_query_file_row_t, token),
    ngx_chat_query_member(STRING, ngx_chat_query_file_row_t, name),
    ngx_chat_query_member(STRING, ngx_chat_query_file_row_t, type),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_row_t, size),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_row_t, width),
    ngx_chat_query_member(NUMBER, ngx_chat_query_file_row_t, height),
    ngx_chat_query_members_end
};


const ngx_chat_db_type_t  ngx_chat_query_file_find = {
    .name = ngx_string("file.find"),
    .batch = 1,
    .build = ngx_chat_query_file_find_build,
    .result = ngx_chat_query_file_find_result
};


const ngx_chat_db_type_t  ngx_chat_query_file_sweep = {
    .name = ngx_string("file.sweep"),
    .batch = 1,
    .build = ngx_chat_query_file_sweep_build,
    .result = ngx_chat_query_file_sweep_result
};


const ngx_chat_db_type_t  ngx_chat_query_file_removed = {
    .name = ngx_string("file.removed"),
    .batch = 1,
    .build = ngx_chat_query_file_removed_build
};


static void
ngx_chat_query_file_find_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t              i;
    ngx_chat_query_file_t  *op = (ngx_chat_query_file_t *) jobs[0];

    op->files = NULL;

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_FILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_FILE_NONE);
        return;
    }

    ngx_chat_query_add(text,
        "SELECT token, name, type, size, width, height FROM chat_file"
        " WHERE owner_id = $1 AND state = 0"
        " AND created_at > UTC_TIMESTAMP(6) - INTERVAL 1 DAY AND token IN (",
        ngx_chat_query_number(op->user_id));

    for (i = 0; i < op->n; i++) {
        ngx_chat_query_add(text, i ? ",$1" : "$1",
                           ngx_chat_query_string(&op->tokens[i]));
    }

    ngx_chat_query_text(text, ")");
}


static ngx_int_t
ngx_chat_query_file_find_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t              has_more;
    ngx_chat_query_file_t  *op = (ngx_chat_query_file_t *) jobs[0];

    return ngx_chat_query_get_rows(res, op->job.pool,
                                   ngx_chat_query_file_find_columns,
                                   sizeof(ngx_chat_query_file_row_t), 0,
                                   &op->files, &has_more);
}


static void
ngx_chat_query_file_sweep_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_sweep_t  *op = (ngx_chat_query_sweep_t *) jobs[0];

    ngx_str_null(&op->tokens);

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_FILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_FILE_NONE);
        return;
    }

    ngx_chat_query_add(text,
        "UPDATE chat_file SET state = 2"
        " WHERE state = 0"
        " AND created_at < UTC_TIMESTAMP(6) - INTERVAL 25 HOUR LIMIT $1;"
        "SELECT token FROM chat_file WHERE state = 2 ORDER BY created_at"
        " LIMIT $1",
        ngx_chat_query_number(NGX_CHAT_QUERY_SWEEP));
}


static ngx_int_t
ngx_chat_query_file_sweep_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    u_char                  *p;
    ngx_str_t               *row;
    ngx_chat_query_sweep_t  *op = (ngx_chat_query_sweep_t *) jobs[0];

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        if (ngx_chat_file_token_check(&row[0]) != NGX_OK) {
            continue;
        }

        if (op->tokens.data == NULL) {
            op->tokens.data = ngx_pnalloc(op->job.pool,
                                          NGX_CHAT_QUERY_SWEEP
                                          * NGX_CHAT_FILE_TOKEN_LEN);
            if (op->tokens.data == NULL) {
                return NGX_ERROR;
            }
        }

        if (op->tokens.len
            == NGX_CHAT_QUERY_SWEEP * NGX_CHAT_FILE_TOKEN_LEN)
        {
            break;
        }

        p = op->tokens.data + op->tokens.len;
        ngx_memcpy(p, row[0].data, NGX_CHAT_FILE_TOKEN_LEN);
        op->tokens.len += NGX_CHAT_FILE_TOKEN_LEN;
    }

    return NGX_OK;
}


/* for a day after the upload, the row counts in the quota */

static void
ngx_chat_query_file_removed_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    size_t                   i;
    ngx_str_t                token;
    ngx_chat_query_sweep_t  *op = (ngx_chat_query_sweep_t *) jobs[0];

    ngx_chat_query_text(text,
        "UPDATE chat_file SET state = 3, name = '' WHERE state = 2"
        " AND token IN (''");

    token.len = NGX_CHAT_FILE_TOKEN_LEN;

    for (i = 0; i < op->tokens.len; i += NGX_CHAT_FILE_TOKEN_LEN) {
        token.data = op->tokens.data + i;
        ngx_chat_query_add(text, ",$1", ngx_chat_query_string(&token));
    }

    ngx_chat_query_add(text,
        ");"
        "DELETE FROM chat_file WHERE state = 3"
        " AND created_at < UTC_TIMESTAMP(6) - INTERVAL 1 DAY LIMIT $1",
        ngx_chat_query_number(10 * NGX_CHAT_QUERY_SWEEP));
}
