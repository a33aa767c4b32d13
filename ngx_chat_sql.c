
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_sql_text.h"


/*
 * Statements on people and sessions; those on messages are in
 * ngx_chat_sql_message.c.
 *
 * Locks are taken in one order, the person before the sessions: inserting a
 * session locks its person's row too, for the foreign key, and two log-ins of
 * one person that both update the row after that would be a deadlock.
 */


/* in the packet of a new session */
#define NGX_CHAT_SQL_CREATE_DELETE  2
#define NGX_CHAT_SQL_CREATE_INSERT  3

/* in that of a new password */
#define NGX_CHAT_SQL_PASSWORD_SHOW  2
#define NGX_CHAT_SQL_PASSWORD_END   3

/* a row with ON: a node; none at all: a server that cannot be one */
#define NGX_CHAT_SQL_GALERA  ";SHOW VARIABLES LIKE 'wsrep_on'"


static void ngx_chat_sql_ready_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_setup_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_setup_writer_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_setup_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_sql_session_get_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_session_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_session_delete_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_session_delete_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_session_create_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_session_create_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_sql_user_by_name_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_sql_user_by_id_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_user_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_sql_password_set_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_password_set_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_sql_users_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_users_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);

static void ngx_chat_sql_epochs_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_epochs_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


const ngx_chat_db_class_t  ngx_chat_sql_setup = {
    .name = ngx_string("setup"),
    .batch = 1,
    .build = ngx_chat_sql_setup_build,
    .result = ngx_chat_sql_setup_result
};


const ngx_chat_db_class_t  ngx_chat_sql_setup_writer = {
    .name = ngx_string("setup"),
    .batch = 1,
    .build = ngx_chat_sql_setup_writer_build,
    .result = ngx_chat_sql_setup_result
};


const ngx_chat_db_class_t  ngx_chat_sql_ready = {
    .name = ngx_string("ready"),
    .batch = 64,
    .build = ngx_chat_sql_ready_build
};


const ngx_chat_db_class_t  ngx_chat_sql_session_get = {
    .name = ngx_string("session.get"),
    .batch = 32,
    .build = ngx_chat_sql_session_get_build,
    .result = ngx_chat_sql_session_get_result
};


const ngx_chat_db_class_t  ngx_chat_sql_session_delete = {
    .name = ngx_string("session.delete"),
    .batch = 1,
    .build = ngx_chat_sql_session_delete_build,
    .result = ngx_chat_sql_session_delete_result
};


const ngx_chat_db_class_t  ngx_chat_sql_session_create = {
    .name = ngx_string("session.create"),
    .batch = 1,
    .transaction = 1,
    .build = ngx_chat_sql_session_create_build,
    .result = ngx_chat_sql_session_create_result
};


const ngx_chat_db_class_t  ngx_chat_sql_user_by_name = {
    .name = ngx_string("user.by_name"),
    .batch = 32,
    .build = ngx_chat_sql_user_by_name_build,
    .result = ngx_chat_sql_user_result
};


const ngx_chat_db_class_t  ngx_chat_sql_user_by_id = {
    .name = ngx_string("user.by_id"),
    .batch = 32,
    .build = ngx_chat_sql_user_by_id_build,
    .result = ngx_chat_sql_user_result
};


const ngx_chat_db_class_t  ngx_chat_sql_password_set = {
    .name = ngx_string("password.set"),
    .batch = 1,
    .transaction = 1,
    .build = ngx_chat_sql_password_set_build,
    .result = ngx_chat_sql_password_set_result
};


const ngx_chat_db_class_t  ngx_chat_sql_users = {
    .name = ngx_string("users"),
    .batch = 1,
    .replica = 1,
    .build = ngx_chat_sql_users_build,
    .result = ngx_chat_sql_users_result
};


const ngx_chat_db_class_t  ngx_chat_sql_epochs = {
    .name = ngx_string("epochs"),
    .batch = 1,
    .build = ngx_chat_sql_epochs_build,
    .result = ngx_chat_sql_epochs_result
};


const ngx_chat_db_class_t *const  ngx_chat_sql_classes[] = {
    &ngx_chat_sql_send,
    &ngx_chat_sql_message_get,
    &ngx_chat_sql_message_by_client,
    &ngx_chat_sql_messages_page,
    &ngx_chat_sql_messages_before,
    &ngx_chat_sql_messages_after,
    &ngx_chat_sql_conversations,
    &ngx_chat_sql_read,
    &ngx_chat_sql_users,
    &ngx_chat_sql_user_by_name,
    &ngx_chat_sql_user_by_id,
    &ngx_chat_sql_session_get,
    &ngx_chat_sql_session_create,
    &ngx_chat_sql_session_delete,
    &ngx_chat_sql_password_set,
    &ngx_chat_sql_ready,
    &ngx_chat_sql_epochs,
    &ngx_chat_sql_position,
    NULL
};


static void
ngx_chat_sql_ready_build(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_sql_text(text, "SELECT version FROM chat_schema");
}


static void
ngx_chat_sql_setup_build(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_sql_text(text,
        "SELECT version FROM chat_schema" NGX_CHAT_SQL_GALERA);
}


/*
 * One server of several.  A node of a cluster must have applied what others
 * have committed before, or ids that are taken here could be below some that
 * have been handed out; to MySQL the beginning is a comment.  And one that is
 * read-only follows another: what is under way there cannot be seen here.
 * (Newer versions say "OFF" for 0.)
 */

static void
ngx_chat_sql_setup_writer_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_text(text,
        "/*M!100301 SET STATEMENT wsrep_sync_wait = 1 FOR */ "
        "SELECT version, @@GLOBAL.read_only NOT IN ('0', 'OFF')"
        " OR @@GLOBAL.innodb_read_only FROM chat_schema" NGX_CHAT_SQL_GALERA);
}


static ngx_int_t
ngx_chat_sql_setup_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    u_char     *last;
    uint64_t    version;
    ngx_str_t  *row;

    row = ngx_chat_db_fetch(res);

    if (res->statement == 1) {
        return (row != NULL && row[1].len == 2
                && ngx_strncmp(row[1].data, "ON", 2) == 0)
               ? NGX_AGAIN : NGX_OK;
    }

    version = (row != NULL) ? ngx_chat_sql_get_number(&row[0]) : 0;

    last = res->reason + sizeof(res->reason);

    if (version != NGX_CHAT_SCHEMA_VERSION) {
        (void) ngx_slprintf(res->reason, last,
                      "its schema has version %uL, this module needs %d: %s%Z",
                      version, NGX_CHAT_SCHEMA_VERSION,
                      version < NGX_CHAT_SCHEMA_VERSION
                      ? "run \"chatctl db migrate\""
                      : "install a newer module");

        return NGX_ERROR;
    }

    if (res->nfields > 1 && ngx_chat_sql_get_number(&row[1])) {
        (void) ngx_slprintf(res->reason, last, "it is read-only%Z");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_chat_sql_session_get_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_chat_sql_session_t  *op;

    ngx_chat_sql_text(text,
        "SELECT STRAIGHT_JOIN s.token_hash, u.id, u.username, u.is_admin,"
              " TIMESTAMPDIFF(SECOND, '1970-01-01', s.expires_at)"
        " FROM chat_session s JOIN chat_user u ON u.id = s.user_id"
        " WHERE u.is_active AND s.expires_at > UTC_TIMESTAMP()"
        " AND s.token_hash IN (");

    for (i = 0; i < n; i++) {
        op = (ngx_chat_sql_session_t *) jobs[i];

        ngx_memzero(&op->user, sizeof(ngx_chat_user_t));
        op->expires = 0;

        ngx_chat_sql_add(text, i ? ",$1" : "$1",
                         ngx_chat_sql_bytes(op->hash, NGX_CHAT_HASH_LEN));
    }

    ngx_chat_sql_text(text, ")");
}


static ngx_int_t
ngx_chat_sql_session_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t               *row;
    ngx_uint_t               i;
    ngx_chat_sql_session_t  *op;

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        for (i = 0; i < n; i++) {
            op = (ngx_chat_sql_session_t *) jobs[i];

            if (op == NULL
                || row[0].len != NGX_CHAT_HASH_LEN
                || ngx_memcmp(row[0].data, op->hash, NGX_CHAT_HASH_LEN) != 0)
            {
                continue;
            }

            op->user.id = ngx_chat_sql_get_number(&row[1]);
            op->user.admin = (ngx_chat_sql_get_number(&row[3]) != 0);
            op->user.active = 1;
            op->expires = ngx_chat_sql_get_number(&row[4]);

            if (ngx_chat_sql_get_string(op->job.pool, &row[2], &op->user.name)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_chat_sql_session_delete_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_session_t  *op = (ngx_chat_sql_session_t *) jobs[0];

    op->ended = 0;

    ngx_chat_sql_add(text, "DELETE FROM chat_session WHERE token_hash = $1",
                     ngx_chat_sql_bytes(op->hash, NGX_CHAT_HASH_LEN));
}


static ngx_int_t
ngx_chat_sql_session_delete_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_session_t  *op = (ngx_chat_sql_session_t *) jobs[0];

    if (op != NULL) {
        op->ended = (res->affected != 0);
    }

    return NGX_OK;
}


static void
ngx_chat_sql_session_create_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_session_create_t  *op;

    op = (ngx_chat_sql_session_create_t *) jobs[0];

    op->created = 0;
    op->expired = 0;

    /*
     * The UPDATE holds the person, so that no change of password passes.  A
     * second try, after one of unknown outcome, may meet its own row.
     */

    ngx_chat_sql_add(text,
        "START TRANSACTION;"
        "UPDATE chat_user SET last_seen_at = UTC_TIMESTAMP(6) WHERE id = $2;"
        "DELETE FROM chat_session WHERE user_id = $2"
        " AND (token_hash = $1 OR expires_at <= UTC_TIMESTAMP());"
        "INSERT INTO chat_session (token_hash, user_id, created_at,"
                                 " expires_at)"
        " SELECT $1, id, UTC_TIMESTAMP(), '1970-01-01' + INTERVAL $3 SECOND"
        " FROM chat_user WHERE id = $2 AND password = $4 AND is_active;"
        "COMMIT",
        ngx_chat_sql_bytes(op->hash, NGX_CHAT_HASH_LEN),
        ngx_chat_sql_number(op->user_id),
        ngx_chat_sql_number(op->expires),
        ngx_chat_sql_string(&op->password));
}


static ngx_int_t
ngx_chat_sql_session_create_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_session_create_t  *op;

    op = (ngx_chat_sql_session_create_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    if (res->statement == NGX_CHAT_SQL_CREATE_DELETE && !op->job.repeated) {
        op->expired = res->affected;
    }

    if (res->statement == NGX_CHAT_SQL_CREATE_INSERT) {
        op->created = (res->affected != 0);
    }

    return NGX_OK;
}


/*
 * One statement a job: the statement's number is the job's.  By name it is
 * the database that knows which names are the same, so that rows of an IN ()
 * could not be told apart here.
 */

static void
ngx_chat_sql_user_by_name_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t            i;
    ngx_chat_sql_user_t  *op;

    for (i = 0; i < n; i++) {
        op = (ngx_chat_sql_user_t *) jobs[i];

        ngx_memzero(&op->user, sizeof(ngx_chat_user_t));

        /* LOWER() depends on the collation: the one of the column */

        ngx_chat_sql_add(text,
            "SELECT id, username, is_admin, is_active, password"
            " FROM chat_user"
            " WHERE username_key = LOWER($1 COLLATE utf8mb4_bin);",
            ngx_chat_sql_string(&op->name));
    }
}


static void
ngx_chat_sql_user_by_id_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_uint_t            i;
    ngx_chat_sql_user_t  *op;

    for (i = 0; i < n; i++) {
        op = (ngx_chat_sql_user_t *) jobs[i];

        ngx_memzero(&op->user, sizeof(ngx_chat_user_t));

        ngx_chat_sql_add(text,
            "SELECT id, username, is_admin, is_active, NULL"
            " FROM chat_user WHERE id = $1;",
            ngx_chat_sql_number(op->id));
    }
}


static ngx_int_t
ngx_chat_sql_user_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t            *row;
    ngx_chat_sql_user_t  *op;

    op = (res->statement < n) ? (ngx_chat_sql_user_t *) jobs[res->statement]
                              : NULL;
    if (op == NULL) {
        return NGX_OK;
    }

    row = ngx_chat_db_fetch(res);
    if (row == NULL) {
        return NGX_OK;
    }

    op->user.id = ngx_chat_sql_get_number(&row[0]);
    op->user.admin = (ngx_chat_sql_get_number(&row[2]) != 0);
    op->user.active = (ngx_chat_sql_get_number(&row[3]) != 0);

    if (ngx_chat_sql_get_string(op->job.pool, &row[1], &op->user.name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_chat_sql_get_string(op->job.pool, &row[4], &op->user.password);
}


static void
ngx_chat_sql_password_set_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_sql_password_t  *op = (ngx_chat_sql_password_t *) jobs[0];

    op->changed = 0;
    op->ended = 0;

    /*
     * The new string is salted, nobody else sets the same one: what stands
     * there afterwards tells whether this job, or an earlier try of it, has
     * changed it.
     */

    ngx_chat_sql_add(text,
        "START TRANSACTION;"
        "UPDATE chat_user SET password = $2 WHERE id = $1 AND password = $3;"
        "SELECT password = $2 FROM chat_user WHERE id = $1;",
        ngx_chat_sql_number(op->user_id),
        ngx_chat_sql_string(&op->new),
        ngx_chat_sql_string(&op->old));

    if (op->end_sessions) {
        ngx_chat_sql_add(text,
            "DELETE FROM chat_session"
            " WHERE user_id = $1 AND token_hash <> $3"
            " AND $2 = (SELECT password FROM chat_user WHERE id = $1);",
            ngx_chat_sql_number(op->user_id),
            ngx_chat_sql_string(&op->new),
            ngx_chat_sql_bytes(op->keep, NGX_CHAT_HASH_LEN));
    }

    ngx_chat_sql_text(text, "COMMIT");
}


static ngx_int_t
ngx_chat_sql_password_set_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t                *row;
    ngx_chat_sql_password_t  *op = (ngx_chat_sql_password_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    if (res->statement == NGX_CHAT_SQL_PASSWORD_SHOW) {
        row = ngx_chat_db_fetch(res);
        op->changed = (row != NULL && ngx_chat_sql_get_number(&row[0]) != 0);
    }

    /* without end_sessions it is the COMMIT, which changes no row */

    if (res->statement == NGX_CHAT_SQL_PASSWORD_END) {
        op->ended = res->affected;
    }

    return NGX_OK;
}


static void
ngx_chat_sql_users_build(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_sql_users_t  *op = (ngx_chat_sql_users_t *) jobs[0];

    op->users = NULL;
    op->more = 0;

    ngx_chat_sql_add(text,
        "SELECT id, username FROM chat_user WHERE is_active AND id <> $1",
        ngx_chat_sql_number(op->except));

    if (op->search.len) {
        ngx_chat_sql_add(text,
            " AND username_key LIKE LOWER($1 COLLATE utf8mb4_bin)",
            ngx_chat_sql_prefix(&op->search));
    }

    if (op->limit == 0) {
        ngx_chat_sql_text(text, " ORDER BY id");
        return;
    }

    if (op->after.len) {
        ngx_chat_sql_add(text,
            " AND username_key > LOWER($1 COLLATE utf8mb4_bin)",
            ngx_chat_sql_string(&op->after));
    }

    /* one row beyond the limit tells whether there are more */

    ngx_chat_sql_add(text, " ORDER BY username_key LIMIT $1",
                     ngx_chat_sql_number(op->limit + 1));
}


static ngx_int_t
ngx_chat_sql_users_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t             *row;
    ngx_chat_user_t       *user;
    ngx_chat_sql_users_t  *op = (ngx_chat_sql_users_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    op->users = ngx_array_create(op->job.pool, op->limit ? op->limit : 64,
                                 sizeof(ngx_chat_user_t));
    if (op->users == NULL) {
        return NGX_ERROR;
    }

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        if (op->limit && op->users->nelts == op->limit) {
            op->more = 1;
            break;
        }

        user = ngx_array_push(op->users);
        if (user == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(user, sizeof(ngx_chat_user_t));

        user->id = ngx_chat_sql_get_number(&row[0]);
        user->active = 1;

        if (ngx_chat_sql_get_string(op->job.pool, &row[1], &user->name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* a host that says nothing for a minute is gone, or in another epoch */

static void
ngx_chat_sql_epochs_build(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_sql_epochs_t *op = (ngx_chat_sql_epochs_t *) jobs[0];

    op->n = 0;

    if (op->epoch) {
        ngx_chat_sql_add(text,
            "INSERT INTO chat_epoch (epoch, seen_at)"
            " VALUES ($1, UTC_TIMESTAMP())"
            " ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at);",
            ngx_chat_sql_number(op->epoch));
    }

    ngx_chat_sql_add(text,
        "SELECT epoch FROM chat_epoch"
        " WHERE seen_at > UTC_TIMESTAMP() - INTERVAL 60 SECOND"
        " ORDER BY seen_at DESC, epoch DESC LIMIT $1",
        ngx_chat_sql_number(NGX_CHAT_SQL_EPOCHS));
}


static ngx_int_t
ngx_chat_sql_epochs_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_str_t              *row;
    ngx_chat_sql_epochs_t  *op = (ngx_chat_sql_epochs_t *) jobs[0];

    if (op == NULL || res->nfields == 0) {
        return NGX_OK;
    }

    while (op->n < NGX_CHAT_SQL_EPOCHS
           && (row = ngx_chat_db_fetch(res)) != NULL)
    {
        op->epochs[op->n++] = ngx_chat_sql_get_number(&row[0]);
    }

    return NGX_OK;
}
