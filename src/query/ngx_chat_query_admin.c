
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query_admin.h"
#include "src/query/ngx_chat_query_builder.h"


/* the administrator of a request, at the time of the statement */
#define NGX_CHAT_QUERY_ADMIN                                                  \
    "EXISTS (SELECT 1 FROM chat_user WHERE id = $1 AND is_admin"              \
           " AND is_active)"


static void ngx_chat_query_admin_users_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_admin_users_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_admin_change_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_admin_set(ngx_chat_db_buf_t *text,
    ngx_chat_query_admin_t *op);
static ngx_int_t ngx_chat_query_admin_change_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static uint64_t ngx_chat_query_admin_key(ngx_chat_db_job_t *job);
static void ngx_chat_query_admin_audit_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_admin_audit_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


static const ngx_chat_query_member_t  ngx_chat_query_account_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_account_t, id),
    ngx_chat_query_member(STRING, ngx_chat_query_account_t, name),
    ngx_chat_query_member(STRING, ngx_chat_query_account_t,
                          profile.display_name),
    ngx_chat_query_member(STRING, ngx_chat_query_account_t,
                          profile.avatar_url),
    ngx_chat_query_member(TIME, ngx_chat_query_account_t, profile.seen),
    ngx_chat_query_member(TIME, ngx_chat_query_account_t, created),
    ngx_chat_query_member(BOOL, ngx_chat_query_account_t, active),
    ngx_chat_query_member(BOOL, ngx_chat_query_account_t, admin),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_entry_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_entry_t, id),
    ngx_chat_query_member(TIME, ngx_chat_query_entry_t, created),
    ngx_chat_query_member(STRING, ngx_chat_query_entry_t, actor),
    ngx_chat_query_member(STRING, ngx_chat_query_entry_t, action),
    ngx_chat_query_member(STRING, ngx_chat_query_entry_t, target),
    ngx_chat_query_member(STRING, ngx_chat_query_entry_t, detail),
    ngx_chat_query_member(STRING, ngx_chat_query_entry_t, address),
    ngx_chat_query_members_end
};


const ngx_chat_db_type_t  ngx_chat_query_admin_users = {
    .name = ngx_string("admin.users"),
    .batch = 1,
    .declines = 1,
    .build = ngx_chat_query_admin_users_build,
    .result = ngx_chat_query_admin_users_result
};


const ngx_chat_db_type_t  ngx_chat_query_admin_change = {
    .name = ngx_string("admin.change"),
    .batch = 1,
    .transaction = 1,
    .declines = 1,
    .build = ngx_chat_query_admin_change_build,
    .result = ngx_chat_query_admin_change_result,
    .key = ngx_chat_query_admin_key
};


const ngx_chat_db_type_t  ngx_chat_query_admin_audit = {
    .name = ngx_string("admin.audit"),
    .batch = 1,
    .declines = 1,
    .build = ngx_chat_query_admin_audit_build,
    .result = ngx_chat_query_admin_audit_result
};


static void
ngx_chat_query_admin_users_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_chat_query_admin_t  *op = (ngx_chat_query_admin_t *) jobs[0];

    op->rows = NULL;
    op->has_more = 0;

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_PROFILES_UNSUPPORTED);
        return;
    }

    ngx_chat_query_add(text,
        "SELECT u.id, u.username, u.display_name, u.avatar_url,"
              " u.last_seen_at, u.created_at, u.is_active, u.is_admin"
        " FROM chat_user AS u WHERE " NGX_CHAT_QUERY_ADMIN,
        ngx_chat_query_number(op->actor_id));

    if (op->id) {
        ngx_chat_query_add(text, " AND u.id = $1",
                           ngx_chat_query_number(op->id));
        return;
    }

    for (i = 0; i < op->search.n; i++) {
        ngx_chat_query_text(text, i ? " OR " : " AND (");
        ngx_chat_query_add(text,
            "u.username_key LIKE LOWER($1 COLLATE utf8mb4_bin)",
            ngx_chat_query_prefix(&op->search.text[i]));
    }

    if (i) {
        ngx_chat_query_add(text,
            " OR EXISTS (SELECT 1 FROM chat_user_word AS w FORCE INDEX (user)"
                       " WHERE w.user_id = u.id AND w.word LIKE $1))",
            ngx_chat_query_prefix(&op->search.text[op->search.nfc]));
    }

    ngx_chat_query_users_after(text, &op->after, " AND u.username_key");

    ngx_chat_query_add(text, " ORDER BY u.username_key LIMIT $1",
                       ngx_chat_query_number(op->limit + 1));
}


static ngx_int_t
ngx_chat_query_admin_users_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_admin_t  *op = (ngx_chat_query_admin_t *) jobs[0];

    return ngx_chat_query_get_rows(res, op->job.pool,
                                   ngx_chat_query_account_columns,
                                   sizeof(ngx_chat_query_account_t), op->limit,
                                   &op->rows, &op->has_more);
}


/*
 * The rows of both users are locked first.  Of two administrators that revoke
 * each other's rights at once, one is no administrator when its turn comes.  So
 * one always remains.
 */

static void
ngx_chat_query_admin_change_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_admin_t  *op = (ngx_chat_query_admin_t *) jobs[0];

    op->allowed = 0;
    op->fresh = 0;

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_PROFILES_UNSUPPORTED);
        return;
    }

    ngx_chat_query_add(text,
        "START TRANSACTION;"
        "UPDATE chat_user SET session_floor = session_floor"
        " WHERE id IN ($1, $2) ORDER BY id;"
        "SELECT COUNT(*) INTO @chat_admin FROM chat_user"
        " WHERE id = $1 AND is_admin AND is_active;"
        "SELECT $3 OR COUNT(*) > 0, @chat_admin AND ($3 OR COUNT(*) > 0)"
        " INTO @chat_fresh, @chat_changed FROM chat_session"
        " WHERE token_hash = $4 AND created_at > UTC_TIMESTAMP()"
        " - INTERVAL " NGX_CHAT_QUERY_ADMIN_FRESH " MINUTE;",
        ngx_chat_query_number(op->actor_id),
        ngx_chat_query_number(op->id),
        ngx_chat_query_number(op->site || !op->set_admin),
        ngx_chat_query_bytes(op->hash, NGX_CHAT_HASH_LEN));

    ngx_chat_query_admin_set(text, op);

    ngx_chat_query_add(text,
        "INSERT INTO chat_audit (created_at, actor, action, target, detail,"
                               " address)"
        " SELECT UTC_TIMESTAMP(6), a.username, 'user.change', t.username,"
               " CONCAT_WS(' ', IF($3, CONCAT('is_active=', $4), NULL),"
               " IF($5, CONCAT('is_admin=', $6), NULL),"
               " IF($7, 'display_name', NULL)), NULLIF($8, '')"
        " FROM chat_user AS a JOIN chat_user AS t ON t.id = $2"
        " WHERE a.id = $1 AND @chat_changed;"
        "SELECT @chat_admin, @chat_fresh;"
        "COMMIT",
        ngx_chat_query_number(op->actor_id),
        ngx_chat_query_number(op->id),
        ngx_chat_query_number(op->set_active),
        ngx_chat_query_number(op->active),
        ngx_chat_query_number(op->set_admin),
        ngx_chat_query_number(op->admin),
        ngx_chat_query_number(op->set_name),
        ngx_chat_query_string(&op->address));
}


static void
ngx_chat_query_admin_set(ngx_chat_db_buf_t *text, ngx_chat_query_admin_t *op)
{
    if (op->set_admin) {
        ngx_chat_query_add(text,
            "UPDATE chat_user SET is_admin = $2"
            " WHERE id = $1 AND @chat_changed;",
            ngx_chat_query_number(op->id), ngx_chat_query_number(op->admin));
    }

    if (op->set_active) {
        ngx_chat_query_add(text,
            "UPDATE chat_user SET is_active = $2,"
            " session_floor = IF($2, session_floor, COALESCE((SELECT MAX(id)"
            " FROM chat_session WHERE user_id = $1), 0))"
            " WHERE id = $1 AND @chat_changed;",
            ngx_chat_query_number(op->id), ngx_chat_query_number(op->active));
    }

    if (op->set_name) {
        ngx_chat_query_add(text,
            "UPDATE chat_user SET display_name = NULLIF($2, '')"
            " WHERE id = $1 AND @chat_changed;"
            "DELETE FROM chat_user_word WHERE user_id = $1 AND @chat_changed;",
            ngx_chat_query_number(op->id),
            ngx_chat_query_string(&op->display_name));
        ngx_chat_query_add_words(text, op->id);
    }
}


/* only one statement returns a row */

static ngx_int_t
ngx_chat_query_admin_change_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t               *row;
    ngx_chat_query_admin_t  *op = (ngx_chat_query_admin_t *) jobs[0];

    row = ngx_chat_db_fetch(res);

    if (row != NULL) {
        op->allowed = (ngx_chat_query_get_number(&row[0]) != 0);
        op->fresh = (ngx_chat_query_get_number(&row[1]) != 0);
    }

    return NGX_OK;
}


static uint64_t
ngx_chat_query_admin_key(ngx_chat_db_job_t *job)
{
    return ((ngx_chat_query_admin_t *) job)->id;
}


static void
ngx_chat_query_admin_audit_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_admin_t  *op = (ngx_chat_query_admin_t *) jobs[0];

    op->rows = NULL;
    op->has_more = 0;

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_PROFILES_UNSUPPORTED);
        return;
    }

    ngx_chat_query_add(text,
        "SELECT id, created_at, actor, action, target, detail, address"
        " FROM chat_audit WHERE " NGX_CHAT_QUERY_ADMIN " AND id < $2"
        " ORDER BY id DESC LIMIT $3",
        ngx_chat_query_number(op->actor_id),
        ngx_chat_query_number(op->before ? op->before : INT64_MAX),
        ngx_chat_query_number(op->limit + 1));
}


static ngx_int_t
ngx_chat_query_admin_audit_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_admin_t  *op = (ngx_chat_query_admin_t *) jobs[0];

    return ngx_chat_query_get_rows(res, op->job.pool,
                                   ngx_chat_query_entry_columns,
                                   sizeof(ngx_chat_query_entry_t), op->limit,
                                   &op->rows, &op->has_more);
}
