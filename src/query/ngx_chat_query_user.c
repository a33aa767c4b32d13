
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


static void ngx_chat_query_names(ngx_chat_db_buf_t *text,
    ngx_chat_forms_t *forms);
static void ngx_chat_query_user_by_name_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_user_by_name_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_uint_t ngx_chat_query_is_padded(ngx_chat_query_user_t *op);

static void ngx_chat_query_users_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_users_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


static const ngx_chat_query_member_t  ngx_chat_query_user_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_user_t, id),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_user_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_user_t, id),
    ngx_chat_query_member(STRING, ngx_chat_user_t, name),
    ngx_chat_query_member(BOOL, ngx_chat_user_t, admin),
    ngx_chat_query_member(BOOL, ngx_chat_user_t, active),
    ngx_chat_query_member(STRING, ngx_chat_user_t, password),
    ngx_chat_query_members_end
};


/* by id; a query by name writes its own SQL */

static const ngx_chat_query_plain_t  ngx_chat_query_user_plain = {
    .sql = "SELECT id, username, is_admin, is_active, NULL"
           " FROM chat_user WHERE id = $1",
    .values = ngx_chat_query_user_values,
    .columns = ngx_chat_query_user_columns,
    .row = offsetof(ngx_chat_query_user_t, user)
};


static const ngx_chat_query_member_t  ngx_chat_query_users_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_row_t, id),
    ngx_chat_query_member(STRING, ngx_chat_query_row_t, name),
    ngx_chat_query_member(TIME, ngx_chat_query_row_t, seen),
    ngx_chat_query_member(NUMBER, ngx_chat_query_row_t, blocks),
    ngx_chat_query_members_end
};


const ngx_chat_db_type_t  ngx_chat_query_user_by_name = {
    .name = ngx_string("user.by_name"),
    .batch = 32,
    .build = ngx_chat_query_user_by_name_build,
    .result = ngx_chat_query_user_by_name_result,
    .data = &ngx_chat_query_user_plain
};


const ngx_chat_db_type_t  ngx_chat_query_user_by_id = {
    .name = ngx_string("user.by_id"),
    .batch = 32,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_user_plain
};


const ngx_chat_db_type_t  ngx_chat_query_users = {
    .name = ngx_string("users"),
    .batch = 1,
    .replica = 1,
    .build = ngx_chat_query_users_build,
    .result = ngx_chat_query_users_result
};


/*
 * Each job has a statement.  Rows of a common IN () could not be assigned to
 * jobs, because only the database compares names by its collation.
 */

static void
ngx_chat_query_user_by_name_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t              i;
    ngx_chat_query_user_t  *op;

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_user_t *) jobs[i];

        ngx_memzero(&op->user, sizeof(ngx_chat_user_t));

        ngx_chat_query_text(text,
            "SELECT id, username, is_admin, is_active, password"
            " FROM chat_user WHERE ");
        ngx_chat_query_names(text, &op->name);
        ngx_chat_query_text(text, ";");
    }
}


/* selects the row of the first form that has one, at most one row */

static void
ngx_chat_query_names(ngx_chat_db_buf_t *text, ngx_chat_forms_t *forms)
{
    ngx_uint_t  i;

    /* LOWER() depends on the collation; it must be that of the column */

    if (forms->n == 1) {
        ngx_chat_query_add(text, "username_key = LOWER($1 COLLATE utf8mb4_bin)",
                           ngx_chat_query_string(&forms->text[0]));
        return;
    }

    ngx_chat_query_text(text, "username_key IN (");

    for (i = 0; i < forms->n; i++) {
        ngx_chat_query_text(text, i ? ", " : "");
        ngx_chat_query_add(text, "LOWER($1 COLLATE utf8mb4_bin)",
                           ngx_chat_query_string(&forms->text[i]));
    }

    ngx_chat_query_text(text, ") ORDER BY FIELD(username_key");

    for (i = 0; i < forms->n; i++) {
        ngx_chat_query_add(text, ", LOWER($1 COLLATE utf8mb4_bin)",
                           ngx_chat_query_string(&forms->text[i]));
    }

    ngx_chat_query_text(text, ") LIMIT 1");
}


static ngx_int_t
ngx_chat_query_user_by_name_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_user_t  *op;

    if (ngx_chat_query_plain_result(res, jobs, n) != NGX_OK) {
        return NGX_ERROR;
    }

    op = (res->statement < n) ? (ngx_chat_query_user_t *) jobs[res->statement]
                              : NULL;

    if (op != NULL && ngx_chat_query_is_padded(op)) {
        ngx_memzero(&op->user, sizeof(ngx_chat_user_t));
    }

    return NGX_OK;
}


/* the collation ignores trailing spaces, but a name with them is another one */

static ngx_uint_t
ngx_chat_query_is_padded(ngx_chat_query_user_t *op)
{
    ngx_str_t  *name, *found;

    if (op->user.id == 0 || op->name.trimmed) {
        return 0;
    }

    name = &op->name.text[0];
    found = &op->user.name;

    return name->data[name->len - 1] == ' '
           && (found->len == 0 || found->data[found->len - 1] != ' ');
}


static void
ngx_chat_query_users_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_uint_t  i, before;
    ngx_chat_query_users_t  *op = (ngx_chat_query_users_t *) jobs[0];

    op->users = NULL;
    op->has_more = 0;

    before = ngx_chat_query_before(text, NGX_CHAT_SCHEMA_BLOCKS);

    ngx_chat_query_add(text,
        op->limit == 0 ? "SELECT id, username, NULL, 0"
        : before ? "SELECT id, username, last_seen_at, 0"
        : "SELECT id, username, last_seen_at,"
          " (SELECT blocks FROM chat_conversation AS c"
          " WHERE c.lo_id = LEAST(u.id, $1) AND c.hi_id = GREATEST(u.id, $1))",
        ngx_chat_query_number(op->except));
    ngx_chat_query_add(text,
        " FROM chat_user AS u WHERE is_active AND id <> $1",
        ngx_chat_query_number(op->except));
    ngx_chat_query_text(text, before ? NGX_CHAT_QUERY_NO_BLOCKS : "");

    for (i = 0; i < op->search.n; i++) {
        ngx_chat_query_text(text, i ? " OR " : " AND (");
        ngx_chat_query_add(text,
            "username_key LIKE LOWER($1 COLLATE utf8mb4_bin)",
            ngx_chat_query_prefix(&op->search.text[i]));
    }

    ngx_chat_query_text(text, i ? ")" : "");

    if (op->limit == 0) {
        ngx_chat_query_text(text, " ORDER BY id");
        return;
    }

    if (op->after.n == 1) {
        ngx_chat_query_add(text,
            " AND username_key > LOWER($1 COLLATE utf8mb4_bin)",
            ngx_chat_query_string(&op->after.text[0]));

    } else if (op->after.n) {

        /* a cursor is the name of a row; rows are ordered by their keys */

        ngx_chat_query_text(text,
            " AND username_key > COALESCE((SELECT username_key"
            " FROM chat_user WHERE ");
        ngx_chat_query_names(text, &op->after);
        ngx_chat_query_add(text, "), LOWER($1 COLLATE utf8mb4_bin))",
            ngx_chat_query_string(&op->after.text[op->after.nfc]));
    }

    /* one row beyond the limit shows whether there are more */

    ngx_chat_query_add(text, " ORDER BY username_key LIMIT $1",
                       ngx_chat_query_number(op->limit + 1));
}


static ngx_int_t
ngx_chat_query_users_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_query_users_t  *op = (ngx_chat_query_users_t *) jobs[0];

    return ngx_chat_query_get_rows(res, op->job.pool,
                                   ngx_chat_query_users_columns,
                                   sizeof(ngx_chat_query_row_t), op->limit,
                                   &op->users, &op->has_more);
}
