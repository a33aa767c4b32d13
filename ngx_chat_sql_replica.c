
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_sql.h"
#include "ngx_chat_sql_text.h"


/*
 * How far a server has come.  MariaDB and MySQL say it by other names: what is
 * one's is a comment to the other.
 */


static void ngx_chat_sql_position_build(ngx_chat_db_text_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_sql_position_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_uint_t ngx_chat_sql_position_char(u_char c);


const ngx_chat_db_class_t  ngx_chat_sql_position = {
    .name = ngx_string("position"),
    .batch = 1,
    .build = ngx_chat_sql_position_build,
    .result = ngx_chat_sql_position_result
};


/*
 * What has been acknowledged is in there, with both: it is in the binary log
 * before its client hears of it.  Without a log MariaDB says nothing; MySQL
 * would, of what it has had from others.
 */

static void
ngx_chat_sql_position_build(ngx_chat_db_text_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_sql_position_t  *op = (ngx_chat_sql_position_t *) jobs[0];

    op->position.len = 0;
    op->position.data = op->buf;
    op->too_long = 0;

    ngx_chat_sql_text(text,
        "SELECT /*M!100301 @@GLOBAL.gtid_binlog_pos */"
        "/*!80000 IF(@@GLOBAL.log_bin AND @@GLOBAL.gtid_mode = 'ON',"
                   " @@GLOBAL.gtid_executed, '') */");
}


/*
 * It goes back into a statement, between the marks of a comment: nothing but
 * what positions are made of.  MySQL folds long ones into lines.
 */

static ngx_int_t
ngx_chat_sql_position_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    size_t                    i;
    ngx_str_t                *row;
    ngx_chat_sql_position_t  *op = (ngx_chat_sql_position_t *) jobs[0];

    if (op == NULL) {
        return NGX_OK;
    }

    row = ngx_chat_db_fetch(res);
    if (row == NULL || row->data == NULL) {
        return NGX_OK;
    }

    for (i = 0; i < row->len; i++) {

        if (row->data[i] == LF || row->data[i] == ' ') {
            continue;
        }

        if (op->position.len == op->size
            || !ngx_chat_sql_position_char(row->data[i]))
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
ngx_chat_sql_position_char(u_char c)
{
    return (c >= '0' && c <= '9')
           || (c >= 'a' && c <= 'z')
           || (c >= 'A' && c <= 'Z')
           || c == '_' || c == '-' || c == ':' || c == ',';
}


/*
 * 0: it has; no position is one that nobody has reached.  A replica is given a
 * moment, in which it mostly gets what is just on its way.
 */

void
ngx_chat_sql_reached_build(ngx_chat_db_text_t *text, ngx_str_t *position)
{
    if (position->len == 0) {
        ngx_chat_sql_text(text, "SELECT 1;");
        return;
    }

    ngx_chat_sql_add(text,
        "SELECT /*M!100301 MASTER_GTID_WAIT($1, 0.02) */"
        "/*!80000 WAIT_FOR_EXECUTED_GTID_SET($1, 0.02) */;",
        ngx_chat_sql_string(position));
}


ngx_int_t
ngx_chat_sql_reached(ngx_chat_db_result_t *res)
{
    ngx_str_t  *row;

    row = ngx_chat_db_fetch(res);

    /* NULL, as on a server that replicates from nobody, is no 0 */

    return (row != NULL && row->len == 1 && row->data[0] == '0')
           ? NGX_OK : NGX_DECLINED;
}
