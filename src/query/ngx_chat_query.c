
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * Query types of the workers themselves: set-up of a connection, GTID
 * positions.  The others are in files of their own.
 */


/* returns a row with ON from a Galera node, and no row from other servers */
#define NGX_CHAT_QUERY_GALERA  ";SHOW VARIABLES LIKE 'wsrep_on'"


/*
 * Selects the slot of chat_writing that the connection writes its floors into:
 * a number whose lock no other connection to this server holds.  The server
 * releases the lock with the connection.  If all 256 numbers are taken, or the
 * server does not grant locks (as in some clusters), connections share slots.
 * Then they wait for each other's COMMIT, which has no other effect.
 */
#define NGX_CHAT_QUERY_DIGIT(name)                                            \
    "(SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3) AS " name
#define NGX_CHAT_QUERY_SLOT_NUMBER  "64 * a.n + 16 * b.n + 4 * c.n + d.n"
#define NGX_CHAT_QUERY_SLOT                                                   \
    ";SET @chat_slot = COALESCE((SELECT " NGX_CHAT_QUERY_SLOT_NUMBER          \
    " FROM " NGX_CHAT_QUERY_DIGIT("a") "," NGX_CHAT_QUERY_DIGIT("b") ","      \
             NGX_CHAT_QUERY_DIGIT("c") "," NGX_CHAT_QUERY_DIGIT("d")          \
    " WHERE GET_LOCK(CONCAT('ngx_chat.', CRC32(DATABASE()), '.',"             \
                          " " NGX_CHAT_QUERY_SLOT_NUMBER "), 0) = 1"          \
    " LIMIT 1), CONNECTION_ID() % 256)"


static void ngx_chat_query_ready_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_setup_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_setup_writer_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_setup_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


const ngx_chat_db_type_t  ngx_chat_query_setup = {
    .name = ngx_string("setup"),
    .batch = 1,
    .build = ngx_chat_query_setup_build,
    .result = ngx_chat_query_setup_result
};


const ngx_chat_db_type_t  ngx_chat_query_setup_writer = {
    .name = ngx_string("setup"),
    .batch = 1,
    .build = ngx_chat_query_setup_writer_build,
    .result = ngx_chat_query_setup_result
};


const ngx_chat_db_type_t  ngx_chat_query_ready = {
    .name = ngx_string("ready"),
    .batch = 64,
    .declines = 1,
    .build = ngx_chat_query_ready_build
};




/*
 * GTID positions.  Names differ between MariaDB and MySQL; those of one are in
 * comments for the other.
 */


static void ngx_chat_query_position_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_position_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_uint_t ngx_chat_query_position_char(u_char c);


const ngx_chat_db_type_t  ngx_chat_query_position = {
    .name = ngx_string("position"),
    .batch = 1,
    .build = ngx_chat_query_position_build,
    .result = ngx_chat_query_position_result
};


static void
ngx_chat_query_ready_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_query_text(text, "SELECT version FROM chat_schema");
}


static void
ngx_chat_query_setup_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_query_text(text,
        "SELECT version FROM chat_schema" NGX_CHAT_QUERY_GALERA
        NGX_CHAT_QUERY_SLOT);
}


/*
 * For a server of a list.  A node of a cluster must have applied all earlier
 * commits, otherwise new ids might be below those that clients have seen; for
 * MySQL the prefix is a comment.  A read-only server follows another one, whose
 * open transactions it does not show.  Newer versions return "OFF" for 0.
 */

static void
ngx_chat_query_setup_writer_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_text(text,
        "/*M!100301 SET STATEMENT wsrep_sync_wait = 1 FOR */ "
        "SELECT version, @@GLOBAL.read_only NOT IN ('0', 'OFF')"
        " OR @@GLOBAL.innodb_read_only FROM chat_schema" NGX_CHAT_QUERY_GALERA
        NGX_CHAT_QUERY_SLOT);
}


static ngx_int_t
ngx_chat_query_setup_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    u_char     *last;
    uint64_t    version;
    ngx_str_t  *row;

    row = ngx_chat_db_fetch(res);

    if (res->statement > 1) {
        return NGX_OK;
    }

    if (res->statement == 1) {
        return (row != NULL && row[1].len == 2
                && ngx_strncmp(row[1].data, "ON", 2) == 0)
               ? NGX_AGAIN : NGX_OK;
    }

    version = (row != NULL) ? ngx_chat_query_get_number(&row[0]) : 0;

    last = res->reason + sizeof(res->reason);

    res->schema = version;
    res->outdated = (version != NGX_CHAT_SCHEMA_VERSION);

    if (version < NGX_CHAT_SCHEMA_PREVIOUS
        || version > NGX_CHAT_SCHEMA_VERSION)
    {
        (void) ngx_slprintf(res->reason, last,
                            "its schema has version %uL, this module needs %d: "
                            "%s%Z", version, NGX_CHAT_SCHEMA_VERSION,
                            version < NGX_CHAT_SCHEMA_VERSION
                            ? "run \"chatctl db migrate\""
                            : "install a newer module");

        return NGX_ERROR;
    }

    if (res->nfields > 1 && ngx_chat_query_get_number(&row[1])) {
        (void) ngx_slprintf(res->reason, last, "it is read-only%Z");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The position includes all acknowledged transactions: both servers write the
 * binary log before they acknowledge.  Without a log, MariaDB returns nothing,
 * but MySQL would return the position of replicated transactions.
 */

static void
ngx_chat_query_position_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_query_position_t  *op = (ngx_chat_query_position_t *) jobs[0];

    op->position.len = 0;
    op->position.data = op->buf;
    op->too_long = 0;

    ngx_chat_query_text(text,
        "SELECT /*M!100301 @@GLOBAL.gtid_binlog_pos */"
        "/*!80000 IF(@@GLOBAL.log_bin AND @@GLOBAL.gtid_mode = 'ON',"
                   " @@GLOBAL.gtid_executed, '') */");
}


/*
 * The position becomes part of a statement, inside of a comment, so only
 * characters of positions are accepted.  MySQL folds long ones into lines.
 */

static ngx_int_t
ngx_chat_query_position_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    size_t      i;
    ngx_str_t  *row;
    ngx_chat_query_position_t  *op = (ngx_chat_query_position_t *) jobs[0];

    row = ngx_chat_db_fetch(res);
    if (row == NULL || row->data == NULL) {
        return NGX_OK;
    }

    for (i = 0; i < row->len; i++) {

        if (row->data[i] == LF || row->data[i] == ' ') {
            continue;
        }

        if (op->position.len == op->size
            || !ngx_chat_query_position_char(row->data[i]))
        {
            op->too_long = 1;
            op->position.len = 0;
            return NGX_OK;
        }

        op->buf[op->position.len++] = row->data[i];
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_chat_query_position_char(u_char c)
{
    return (c >= '0' && c <= '9')
           || (c >= 'a' && c <= 'z')
           || (c >= 'A' && c <= 'Z')
           || c == '_' || c == '-' || c == ':' || c == ',';
}


/*
 * The statement returns 0 if the position is reached.  An empty position is
 * never reached.  The replica waits for a moment, in which it usually receives
 * the last transactions.
 */

void
ngx_chat_query_reached_build(ngx_chat_db_buf_t *text, ngx_str_t *position)
{
    if (position->len == 0) {
        ngx_chat_query_text(text, "SELECT 1;");
        return;
    }

    ngx_chat_query_add(text,
        "SELECT /*M!100301 MASTER_GTID_WAIT($1, 0.02) */"
        "/*!80000 WAIT_FOR_EXECUTED_GTID_SET($1, 0.02) */;",
        ngx_chat_query_string(position));
}


ngx_int_t
ngx_chat_query_reached(ngx_chat_db_result_t *res)
{
    ngx_str_t  *row;

    row = ngx_chat_db_fetch(res);

    /* NULL, as on a server that is not a replica, is not 0 */

    return (row != NULL && row->len == 1 && row->data[0] == '0')
           ? NGX_OK : NGX_DECLINED;
}
