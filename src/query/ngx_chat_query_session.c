
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * Locks are taken in one order: the user before the sessions.  An INSERT of a
 * session also locks the row of its user, for the foreign key.  Two logins of a
 * user that updated that row afterwards would cause a deadlock.
 */


/* statements of the packet of a new session */
#define NGX_CHAT_QUERY_CREATE_INSERT   3
#define NGX_CHAT_QUERY_CREATE_REPLACE  4
#define NGX_CHAT_QUERY_CREATE_EXPIRE   5

/* statements of the packet of a new password */
#define NGX_CHAT_QUERY_PASSWORD_SHOW  2
#define NGX_CHAT_QUERY_PASSWORD_END   5

/*
 * Deletes sessions of a user.  They are found by the index on user_id and id,
 * which the optimizer might not choose.  "rows" follows FROM chat_session.
 */
#define NGX_CHAT_QUERY_DELETE_SESSIONS(rows)                                  \
    "DELETE s FROM (SELECT token_hash, expires_at, id FROM chat_session"      \
    " FORCE INDEX (user) " rows ") AS d STRAIGHT_JOIN chat_session AS s"      \
    " ON s.token_hash = d.token_hash"

/*
 * Ends all sessions of user $1 except the one with hash $2, if the user's row
 * meets the condition.  The user is locked, so that no session begins.  The
 * session to keep, if it is valid, gets a new id above the floor.  The floor
 * ends all others; up to 100 rows are deleted.
 */
#define NGX_CHAT_QUERY_END_SESSIONS(condition)                                \
    "REPLACE INTO chat_session (token_hash, user_id, created_at, expires_at," \
                              " last_seen_at, address, agent)"                \
    " SELECT token_hash, user_id, created_at, expires_at, last_seen_at,"      \
           " address, agent"                                                  \
    " FROM chat_session WHERE token_hash = $2 AND user_id = $1"               \
    " AND id > (SELECT session_floor FROM chat_user"                          \
              " WHERE id = $1" condition ");"                                 \
    "UPDATE chat_user SET session_floor ="                                    \
    " COALESCE((SELECT id FROM chat_session FORCE INDEX (user)"               \
              " WHERE user_id = $1 AND token_hash <> $2"                      \
              " ORDER BY id DESC LIMIT 1), 0)"                                \
    " WHERE id = $1" condition ";"                                            \
    NGX_CHAT_QUERY_DELETE_SESSIONS("WHERE user_id = $1 AND id <="             \
                                 " (SELECT session_floor FROM chat_user"      \
                                 " WHERE id = $1" condition ")"               \
                                 " ORDER BY id LIMIT 100")

/* age of last_seen_at after which it is updated */
#define NGX_CHAT_QUERY_SEEN  "5 MINUTE"


static void ngx_chat_query_hashes(ngx_chat_db_buf_t *text, const char *list,
    ngx_chat_hash_t *hashes, ngx_uint_t n);
static void ngx_chat_query_session_get_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_session_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_session_row(ngx_chat_query_session_t *op,
    ngx_str_t *row);
static void ngx_chat_query_session_delete_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_session_create_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_session_create_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_query_password_set_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_password_set_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


const ngx_chat_db_type_t  ngx_chat_query_session_get = {
    .name = ngx_string("session.get"),
    .batch = 32,
    .build = ngx_chat_query_session_get_build,
    .result = ngx_chat_query_session_get_result
};


static const ngx_chat_query_plain_t  ngx_chat_query_session_delete_plain = {
    .affected = offsetof(ngx_chat_query_session_t, ended)
};


const ngx_chat_db_type_t  ngx_chat_query_session_delete = {
    .name = ngx_string("session.delete"),
    .batch = 1,
    .build = ngx_chat_query_session_delete_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_session_delete_plain
};


const ngx_chat_db_type_t  ngx_chat_query_session_create = {
    .name = ngx_string("session.create"),
    .batch = 1,
    .transaction = 1,
    .build = ngx_chat_query_session_create_build,
    .result = ngx_chat_query_session_create_result
};


static const ngx_chat_query_member_t  ngx_chat_query_session_seen_values[] = {
    ngx_chat_query_member(BYTES, ngx_chat_query_session_seen_t, hash),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  ngx_chat_query_session_seen_plain = {
    .sql = "UPDATE chat_session SET last_seen_at = UTC_TIMESTAMP()"
           " WHERE token_hash = $1"
           " AND last_seen_at < UTC_TIMESTAMP() - INTERVAL "
           NGX_CHAT_QUERY_SEEN,
    .values = ngx_chat_query_session_seen_values
};


const ngx_chat_db_type_t  ngx_chat_query_session_seen = {
    .name = ngx_string("session.seen"),
    .batch = 1,
    .parallel = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_session_seen_plain
};


static const ngx_chat_query_member_t  ngx_chat_query_session_end_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_session_end_t, user_id),
    ngx_chat_query_member(BYTES, ngx_chat_query_session_end_t, keep),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  ngx_chat_query_session_end_plain = {
    .sql = "START TRANSACTION;"
           "UPDATE chat_user SET session_floor = session_floor WHERE id = $1;"
           NGX_CHAT_QUERY_END_SESSIONS("") ";"
           "COMMIT",
    .values = ngx_chat_query_session_end_values,
    .statement = 4,
    .affected = offsetof(ngx_chat_query_session_end_t, ended)
};


const ngx_chat_db_type_t  ngx_chat_query_session_end = {
    .name = ngx_string("session.end"),
    .batch = 1,
    .transaction = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_session_end_plain
};


static const ngx_chat_query_member_t  ngx_chat_query_session_remove_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_session_remove_t, user_id),
    ngx_chat_query_member(NUMBER, ngx_chat_query_session_remove_t, id),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_session_remove_cols[] = {
    ngx_chat_query_member(STRING, ngx_chat_query_session_remove_t, hash),
    ngx_chat_query_members_end
};


/* the user is locked before the session */

static const ngx_chat_query_plain_t  ngx_chat_query_session_remove_plain = {
    .sql = "START TRANSACTION;"
           "UPDATE chat_user SET session_floor = session_floor WHERE id = $1;"
           "SELECT token_hash FROM chat_session WHERE id = $2 AND user_id = $1"
           " AND expires_at > UTC_TIMESTAMP()"
           " AND id > (SELECT session_floor FROM chat_user WHERE id = $1);"
           "DELETE FROM chat_session WHERE id = $2 AND user_id = $1;"
           "COMMIT",
    .values = ngx_chat_query_session_remove_values,
    .columns = ngx_chat_query_session_remove_cols,
    .statement = 2
};


const ngx_chat_db_type_t  ngx_chat_query_session_remove = {
    .name = ngx_string("session.remove"),
    .batch = 1,
    .transaction = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_session_remove_plain
};


static const ngx_chat_query_member_t  ngx_chat_query_session_list_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_list_t, user_id),
    ngx_chat_query_member(BYTES, ngx_chat_query_list_t, hash),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_session_list_columns[] = {
    ngx_chat_query_column(NUMBER, "id"),
    ngx_chat_query_column(TIME, "created_at"),
    ngx_chat_query_column(TIME, "last_seen_at"),
    ngx_chat_query_column(BOOL, "current"),
    ngx_chat_query_column(STRING, "address"),
    ngx_chat_query_column(STRING, "agent"),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  ngx_chat_query_session_list_plain = {
    .sql = "SELECT id, created_at, last_seen_at, token_hash = $2, address,"
                 " agent"
           " FROM chat_session"
           " WHERE user_id = $1 AND expires_at > UTC_TIMESTAMP()"
           " AND id > (SELECT session_floor FROM chat_user WHERE id = $1)"
           " ORDER BY id DESC LIMIT 50",
    .values = ngx_chat_query_session_list_values,
    .columns = ngx_chat_query_session_list_columns,
    .json = offsetof(ngx_chat_query_list_t, rows)
};


const ngx_chat_db_type_t  ngx_chat_query_session_list = {
    .name = ngx_string("session.list"),
    .batch = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_session_list_plain
};


const ngx_chat_db_type_t  ngx_chat_query_password_set = {
    .name = ngx_string("password.set"),
    .batch = 1,
    .transaction = 1,
    .build = ngx_chat_query_password_set_build,
    .result = ngx_chat_query_password_set_result
};


/* writes a list of hashes; "list" precedes the first one: "(" or "," */

static void
ngx_chat_query_hashes(ngx_chat_db_buf_t *text, const char *list,
    ngx_chat_hash_t *hashes, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        ngx_chat_query_text(text, i ? "," : list);
        ngx_chat_query_add(text, "$1",
                           ngx_chat_query_bytes(hashes[i], NGX_CHAT_HASH_LEN));
    }
}


static void
ngx_chat_query_session_get_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t                 i;
    ngx_chat_query_session_t  *op;

    ngx_chat_query_text(text,
        "SELECT STRAIGHT_JOIN s.token_hash, u.id, u.username, u.is_admin,"
              " TIMESTAMPDIFF(SECOND, '1970-01-01', s.expires_at),"
              " s.last_seen_at < UTC_TIMESTAMP()"
                               " - INTERVAL " NGX_CHAT_QUERY_SEEN
        " FROM chat_session s JOIN chat_user u ON u.id = s.user_id"
        " WHERE u.is_active AND s.id > u.session_floor"
        " AND s.expires_at > UTC_TIMESTAMP() AND s.token_hash IN ");

    for (i = 0; i < n; i++) {
        op = (ngx_chat_query_session_t *) jobs[i];

        ngx_memzero(&op->user, sizeof(ngx_chat_user_t));
        op->expires = 0;
        op->found = 0;
        op->valid = 0;
        op->ambiguous = 0;
        op->seen = 0;

        ngx_chat_query_hashes(text, i ? "," : "(", op->hashes, op->n);
    }

    ngx_chat_query_text(text, ")");
}


static ngx_int_t
ngx_chat_query_session_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t                 *row;
    ngx_uint_t                 i;
    ngx_chat_query_session_t  *op;

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        for (i = 0; i < n; i++) {
            op = (ngx_chat_query_session_t *) jobs[i];

            if (op != NULL
                && ngx_chat_query_session_row(op, row) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* rows have no order; the first valid session in the list of hashes counts */

static ngx_int_t
ngx_chat_query_session_row(ngx_chat_query_session_t *op, ngx_str_t *row)
{
    uint32_t    id;
    ngx_uint_t  i;

    for (i = 0; i < op->n; i++) {

        if (row[0].len != NGX_CHAT_HASH_LEN
            || ngx_memcmp(row[0].data, op->hashes[i], NGX_CHAT_HASH_LEN) != 0)
        {
            continue;
        }

        id = ngx_chat_query_get_number(&row[1]);

        if (op->user.id && op->user.id != id) {
            op->ambiguous = 1;
        }

        op->valid |= (ngx_uint_t) 1 << i;

        if (op->user.id && op->found < i) {
            continue;
        }

        op->found = i;
        op->user.id = id;
        op->user.admin = (ngx_chat_query_get_number(&row[3]) != 0);
        op->user.active = 1;
        op->expires = ngx_chat_query_get_number(&row[4]);
        op->seen = (ngx_chat_query_get_number(&row[5]) != 0);

        if (ngx_chat_query_get_string(op->job.pool, &row[2], &op->user.name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_chat_query_session_delete_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_session_t  *op = (ngx_chat_query_session_t *) jobs[0];

    op->ended = 0;

    ngx_chat_query_text(text, "DELETE FROM chat_session WHERE token_hash IN ");
    ngx_chat_query_hashes(text, "(", op->hashes, op->n);
    ngx_chat_query_text(text, ")");
}


/*
 * The first UPDATE locks the user, so that the password cannot change
 * meanwhile.  If the packet is repeated after an unknown outcome, the first
 * DELETE removes the row of the earlier try.
 *
 * Expired sessions are searched for among the latest 100, and at most 100
 * beyond the limit are deleted: the duration of a login does not depend on the
 * number of imported rows.
 */

static void
ngx_chat_query_session_create_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_session_create_t  *op;

    op = (ngx_chat_query_session_create_t *) jobs[0];

    op->created = 0;
    op->ended = 0;
    op->expired = 0;

    ngx_chat_query_add(text,
        "START TRANSACTION;"
        "UPDATE chat_user SET last_seen_at = UTC_TIMESTAMP(6) WHERE id = $2;"
        "DELETE FROM chat_session WHERE token_hash = $1;"
        "INSERT INTO chat_session (token_hash, user_id, created_at,"
                                 " expires_at, last_seen_at, address, agent)"
        " SELECT $1, id, UTC_TIMESTAMP(), '1970-01-01' + INTERVAL $3 SECOND,"
               " UTC_TIMESTAMP(), NULLIF($5, ''), NULLIF($6, '')"
        " FROM chat_user WHERE id = $2 AND password = $4 AND is_active;"
        "DELETE FROM chat_session WHERE EXISTS (SELECT 1 FROM chat_user"
        " WHERE id = $2 AND password = $4 AND is_active)"
        " AND token_hash IN (NULL",
        ngx_chat_query_bytes(op->hash, NGX_CHAT_HASH_LEN),
        ngx_chat_query_number(op->user_id),
        ngx_chat_query_number(op->expires),
        ngx_chat_query_string(&op->password),
        ngx_chat_query_string(&op->address),
        ngx_chat_query_string(&op->agent));

    ngx_chat_query_hashes(text, ",", op->replaced, op->nreplaced);

    ngx_chat_query_add(text,
        ");"
        NGX_CHAT_QUERY_DELETE_SESSIONS("WHERE user_id = $2"
                                     " ORDER BY id DESC LIMIT 100")
        " WHERE d.expires_at <= UTC_TIMESTAMP()"
        " OR d.id <= (SELECT session_floor FROM chat_user WHERE id = $2);"
        NGX_CHAT_QUERY_DELETE_SESSIONS("WHERE user_id = $2"
                                     " ORDER BY id DESC LIMIT $1, 100")
        ";"
        "COMMIT",
        ngx_chat_query_number(NGX_CHAT_QUERY_SESSION_LIMIT),
        ngx_chat_query_number(op->user_id));
}


static ngx_int_t
ngx_chat_query_session_create_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_session_create_t  *op;

    op = (ngx_chat_query_session_create_t *) jobs[0];

    switch (res->statement) {

    case NGX_CHAT_QUERY_CREATE_INSERT:
        op->created = (res->affected != 0);
        break;

    case NGX_CHAT_QUERY_CREATE_REPLACE:
        op->ended = res->affected;
        break;

    case NGX_CHAT_QUERY_CREATE_EXPIRE:
        op->expired = res->affected;
        break;
    }

    return NGX_OK;
}


static void
ngx_chat_query_password_set_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_password_t  *op = (ngx_chat_query_password_t *) jobs[0];

    op->changed = 0;
    op->ended = 0;

    /*
     * The new string has a random salt.  If the row contains it afterwards,
     * this job or an earlier try of it has changed the password.
     */

    ngx_chat_query_add(text,
        "START TRANSACTION;"
        "UPDATE chat_user SET password = $2"
        " WHERE id = $1 AND password = $3 AND is_active;"
        "SELECT password = $2 FROM chat_user WHERE id = $1;",
        ngx_chat_query_number(op->user_id),
        ngx_chat_query_string(&op->new),
        ngx_chat_query_string(&op->old));

    if (op->end_sessions) {
        ngx_chat_query_add(text,
            NGX_CHAT_QUERY_END_SESSIONS(" AND password = $3") ";",
            ngx_chat_query_number(op->user_id),
            ngx_chat_query_bytes(op->keep, NGX_CHAT_HASH_LEN),
            ngx_chat_query_string(&op->new));
    }

    ngx_chat_query_text(text, "COMMIT");
}


static ngx_int_t
ngx_chat_query_password_set_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t  *row;
    ngx_chat_query_password_t  *op = (ngx_chat_query_password_t *) jobs[0];

    if (res->statement == NGX_CHAT_QUERY_PASSWORD_SHOW) {
        row = ngx_chat_db_fetch(res);
        op->changed = (row != NULL && ngx_chat_query_get_number(&row[0]) != 0);
    }

    /* not reached without end_sessions, when COMMIT is statement 3 */

    if (res->statement == NGX_CHAT_QUERY_PASSWORD_END) {
        op->ended = res->affected;
    }

    return NGX_OK;
}
