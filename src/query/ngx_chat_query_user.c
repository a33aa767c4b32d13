
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * Up to so many rows of chat_user_word are read and sorted.  If a search has
 * more, many users match, and those of a page are found in the order of names.
 */
#define NGX_CHAT_QUERY_WORDS_MAX  3000


static void ngx_chat_query_user_by_name_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_user_by_name_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_uint_t ngx_chat_query_is_padded(ngx_chat_query_user_t *op);

static void ngx_chat_query_users_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_users_page(ngx_chat_db_buf_t *text,
    ngx_chat_query_users_t *op);
static void ngx_chat_query_users_by_name(ngx_chat_db_buf_t *text,
    ngx_chat_query_users_t *op);
static void ngx_chat_query_users_by_word(ngx_chat_db_buf_t *text,
    ngx_chat_query_users_t *op);
static void ngx_chat_query_users_by_scan(ngx_chat_db_buf_t *text,
    ngx_chat_query_users_t *op);
static ngx_int_t ngx_chat_query_users_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


static const ngx_chat_query_member_t  ngx_chat_query_user_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_user_t, id),
    ngx_chat_query_members_end
};


const ngx_chat_query_member_t  ngx_chat_query_user_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_user_t, id),
    ngx_chat_query_member(STRING, ngx_chat_user_t, name),
    ngx_chat_query_member(BOOL, ngx_chat_user_t, admin),
    ngx_chat_query_member(BOOL, ngx_chat_user_t, active),
    ngx_chat_query_member(STRING, ngx_chat_user_t, password),
    ngx_chat_query_member(NUMBER, ngx_chat_user_t, profile),
    ngx_chat_query_members_end
};


/* by id; a query by name writes its own SQL */

static const ngx_chat_query_plain_t  ngx_chat_query_user_plain = {
    .sql = "SELECT id, username, is_admin, is_active, NULL, 0"
           " FROM chat_user WHERE id = $1",
    .values = ngx_chat_query_user_values,
    .columns = ngx_chat_query_user_columns,
    .row = offsetof(ngx_chat_query_user_t, user)
};


static const ngx_chat_query_member_t  ngx_chat_query_users_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_row_t, id),
    ngx_chat_query_member(STRING, ngx_chat_query_row_t, name),
    ngx_chat_query_member(TIME, ngx_chat_query_row_t, profile.seen),
    ngx_chat_query_member(NUMBER, ngx_chat_query_row_t, profile.blocks),
    ngx_chat_query_member(STRING, ngx_chat_query_row_t, profile.display_name),
    ngx_chat_query_member(STRING, ngx_chat_query_row_t, profile.avatar_url),
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

        ngx_chat_query_add_user(text);
        ngx_chat_query_names(text, &op->name);
        ngx_chat_query_text(text, ";");
    }
}


void
ngx_chat_query_add_user(ngx_chat_db_buf_t *text)
{
    ngx_chat_query_text(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)
        ? "SELECT id, username, is_admin, is_active, password, 0"
          " FROM chat_user WHERE TRUE" NGX_CHAT_QUERY_NO_PROFILES " AND "
        : "SELECT id, username, is_admin, is_active, password,"
                " CRC32(CONCAT(COALESCE(display_name, ''), ' ',"
                             " COALESCE(avatar_url, '')))"
          " FROM chat_user WHERE ");
}


/* selects the row of the first form that has one, at most one row */

void
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
    ngx_chat_query_users_t  *op = (ngx_chat_query_users_t *) jobs[0];

    op->users = NULL;
    op->has_more = 0;
    op->words = 0;

    if (op->limit) {
        ngx_chat_query_users_page(text, op);
        return;
    }

    ngx_chat_query_add(text,
        "SELECT id, username, NULL, 0, NULL, NULL FROM chat_user"
        " WHERE is_active AND id <> $1 ORDER BY id",
        ngx_chat_query_number(op->except));
}


/*
 * The rows are chosen by the indexes before their columns are read.  Those of
 * names and those of words are in the same order, so one page of each suffices.
 * One row beyond the limit shows whether there are more.
 */

static void
ngx_chat_query_users_page(ngx_chat_db_buf_t *text, ngx_chat_query_users_t *op)
{
    ngx_uint_t  words;

    words = op->search.n
            && !ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES);

    ngx_chat_query_add(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_BLOCKS)
        ? "SELECT STRAIGHT_JOIN u.id, u.username, u.last_seen_at, 0"
        : "SELECT STRAIGHT_JOIN u.id, u.username, u.last_seen_at,"
          " (SELECT blocks FROM chat_conversation AS c"
          " WHERE c.lo_id = LEAST(u.id, $1) AND c.hi_id = GREATEST(u.id, $1))",
        ngx_chat_query_number(op->except));
    ngx_chat_query_text(text,
        ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)
        ? NGX_CHAT_QUERY_NO_PROFILE " FROM ("
        : NGX_CHAT_QUERY_PROFILE " FROM (");

    ngx_chat_query_users_by_name(text, op);

    if (words) {
        ngx_chat_query_text(text, " UNION ");

        if (op->scan) {
            ngx_chat_query_users_by_scan(text, op);

        } else {
            ngx_chat_query_users_by_word(text, op);
        }
    }

    ngx_chat_query_add(text,
        " ORDER BY username_key LIMIT $1"
        ") AS p JOIN chat_user AS u ON u.id = p.id ORDER BY u.username_key",
        ngx_chat_query_number(op->limit + 1));

    if (words && !op->scan) {
        ngx_chat_query_add(text,
            ";SELECT COUNT(*) FROM (SELECT 1 FROM chat_user_word"
            " WHERE word LIKE $1 LIMIT $2) AS w",
            ngx_chat_query_prefix(&op->search.text[op->search.nfc]),
            ngx_chat_query_number(NGX_CHAT_QUERY_WORDS_MAX));
    }
}


static void
ngx_chat_query_users_by_name(ngx_chat_db_buf_t *text,
    ngx_chat_query_users_t *op)
{
    ngx_uint_t  i;

    ngx_chat_query_add(text,
        "(SELECT id, username_key FROM chat_user"
        " WHERE is_active AND id <> $1",
        ngx_chat_query_number(op->except));

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_BLOCKS)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_NO_BLOCKS);

    } else if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_NO_PROFILES);
    }

    for (i = 0; i < op->search.n; i++) {
        ngx_chat_query_text(text, i ? " OR " : " AND (");
        ngx_chat_query_add(text,
            "username_key LIKE LOWER($1 COLLATE utf8mb4_bin)",
            ngx_chat_query_prefix(&op->search.text[i]));
    }

    ngx_chat_query_text(text, i ? ")" : "");
    ngx_chat_query_users_after(text, &op->after, " AND username_key");

    ngx_chat_query_add(text, " ORDER BY username_key LIMIT $1)",
                       ngx_chat_query_number(op->limit + 1));
}


/* users with one of the first rows of chat_user_word */

static void
ngx_chat_query_users_by_word(ngx_chat_db_buf_t *text,
    ngx_chat_query_users_t *op)
{
    ngx_chat_query_add(text,
        "(SELECT STRAIGHT_JOIN u.id, u.username_key FROM"
        " (SELECT DISTINCT user_id FROM (SELECT user_id FROM chat_user_word"
        " WHERE word LIKE $1 LIMIT $2) AS f) AS w"
        " JOIN chat_user AS u ON u.id = w.user_id"
        " WHERE u.is_active AND u.id <> $3",
        ngx_chat_query_prefix(&op->search.text[op->search.nfc]),
        ngx_chat_query_number(NGX_CHAT_QUERY_WORDS_MAX),
        ngx_chat_query_number(op->except));

    ngx_chat_query_users_after(text, &op->after, " AND u.username_key");

    ngx_chat_query_add(text, " ORDER BY u.username_key LIMIT $1)",
                       ngx_chat_query_number(op->limit + 1));
}


static void
ngx_chat_query_users_by_scan(ngx_chat_db_buf_t *text,
    ngx_chat_query_users_t *op)
{
    ngx_chat_query_add(text,
        "(SELECT u.id, u.username_key FROM chat_user AS u FORCE INDEX (name)"
        " WHERE u.is_active AND u.id <> $1",
        ngx_chat_query_number(op->except));

    ngx_chat_query_users_after(text, &op->after, " AND u.username_key");

    ngx_chat_query_add(text,
        " AND (SELECT 1 FROM chat_user_word AS w FORCE INDEX (user)"
             " WHERE w.user_id = u.id AND w.word LIKE $1 LIMIT 1)"
        " ORDER BY u.username_key LIMIT $2)",
        ngx_chat_query_prefix(&op->search.text[op->search.nfc]),
        ngx_chat_query_number(op->limit + 1));
}


void
ngx_chat_query_users_after(ngx_chat_db_buf_t *text, ngx_chat_forms_t *after,
    const char *column)
{
    if (after->n == 0) {
        return;
    }

    ngx_chat_query_text(text, column);

    if (after->n == 1) {
        ngx_chat_query_add(text, " > LOWER($1 COLLATE utf8mb4_bin)",
                           ngx_chat_query_string(&after->text[0]));
        return;
    }

    /* a cursor is the name of a row; rows are ordered by their keys */

    ngx_chat_query_text(text,
        " > COALESCE((SELECT username_key FROM chat_user WHERE ");
    ngx_chat_query_names(text, after);
    ngx_chat_query_add(text, "), LOWER($1 COLLATE utf8mb4_bin))",
        ngx_chat_query_string(&after->text[after->nfc]));
}


static ngx_int_t
ngx_chat_query_users_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t  *row;
    ngx_chat_query_users_t  *op = (ngx_chat_query_users_t *) jobs[0];

    if (res->statement == 1) {
        row = ngx_chat_db_fetch(res);
        op->words = (row != NULL && ngx_chat_query_get_number(&row[0])
                                    == NGX_CHAT_QUERY_WORDS_MAX);
        return NGX_OK;
    }

    return ngx_chat_query_get_rows(res, op->job.pool,
                                   ngx_chat_query_users_columns,
                                   sizeof(ngx_chat_query_row_t), op->limit,
                                   &op->users, &op->has_more);
}
