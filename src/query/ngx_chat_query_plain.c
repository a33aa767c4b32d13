
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query_builder.h"
#include "src/core/ngx_chat_json.h"


#define NGX_CHAT_QUERY_PLAIN_VALUES  9        /* $1 to $9 */
#define NGX_CHAT_QUERY_PLAIN_ROWS    64       /* initial size of an array */


static void ngx_chat_query_plain_reset(const ngx_chat_query_plain_t *plain,
    u_char *op);
static ngx_chat_query_value_t ngx_chat_query_plain_value(
    const ngx_chat_query_member_t *member, u_char *p);
static uint64_t ngx_chat_query_plain_number(
    const ngx_chat_query_member_t *member, u_char *p);
static ngx_int_t ngx_chat_query_plain_json(ngx_chat_db_result_t *res,
    ngx_pool_t *pool, const ngx_chat_query_member_t *columns,
    ngx_chat_json_t **json);
static ngx_int_t ngx_chat_query_plain_field(ngx_pool_t *pool,
    const ngx_chat_query_member_t *column, ngx_str_t *field,
    ngx_chat_json_t *json);


void
ngx_chat_query_plain_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    u_char                         *op;
    const char                     *sql;
    ngx_uint_t                      i, k;
    ngx_chat_query_value_t          values[NGX_CHAT_QUERY_PLAIN_VALUES];
    const ngx_chat_query_plain_t   *plain;
    const ngx_chat_query_member_t  *member;

    plain = jobs[0]->type->data;
    sql = ngx_chat_query_before(text, plain->since) ? plain->previous
                                                    : plain->sql;

    for (i = 0; i < n; i++) {
        op = (u_char *) jobs[i];
        member = plain->values;

        ngx_chat_query_plain_reset(plain, op);

        for (k = 0;
             member && k < NGX_CHAT_QUERY_PLAIN_VALUES && member[k].type;
             k++)
        {
            values[k] = ngx_chat_query_plain_value(&member[k],
                                                   op + member[k].offset);
        }

        ngx_chat_query_text(text, i ? ";" : "");
        ngx_chat_query_add_values(text, sql, values, k);
    }
}


/* removes the results of an earlier try */

static void
ngx_chat_query_plain_reset(const ngx_chat_query_plain_t *plain, u_char *op)
{
    const ngx_chat_query_member_t  *column;

    if (plain->affected) {
        *(ngx_uint_t *) (op + plain->affected) = 0;
    }

    if (plain->json) {
        *(ngx_chat_json_t **) (op + plain->json) = NULL;
        return;
    }

    if (plain->columns) {
        for (column = plain->columns; column->type; column++) {
            ngx_memzero(op + plain->row + column->offset, column->size);
        }
    }
}


static ngx_chat_query_value_t
ngx_chat_query_plain_value(const ngx_chat_query_member_t *member, u_char *p)
{
    switch (member->type) {

    case NGX_CHAT_MEMBER_STRING:
        return ngx_chat_query_string((ngx_str_t *) p);

    case NGX_CHAT_MEMBER_PREFIX:
        return ngx_chat_query_prefix((ngx_str_t *) p);

    case NGX_CHAT_MEMBER_BYTES:
        return ngx_chat_query_bytes(p, member->size);

    default: /* NGX_CHAT_MEMBER_NUMBER, NGX_CHAT_MEMBER_BOOL */
        return ngx_chat_query_number(ngx_chat_query_plain_number(member, p));
    }
}


static uint64_t
ngx_chat_query_plain_number(const ngx_chat_query_member_t *member, u_char *p)
{
    return (member->size == sizeof(uint32_t)) ? *(uint32_t *) p
                                              : *(uint64_t *) p;
}


/* in a batch, the number of the statement is the number of the job */

ngx_int_t
ngx_chat_query_plain_result(ngx_chat_db_result_t *res, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    u_char                        *op;
    ngx_str_t                     *row;
    ngx_uint_t                     i;
    ngx_chat_db_job_t             *job;
    const ngx_chat_query_plain_t  *plain;

    i = ngx_min(res->statement, n - 1);
    job = jobs[i];

    if (job == NULL) {
        return NGX_OK;
    }

    plain = job->type->data;
    op = (u_char *) job;

    if (res->statement - i != plain->statement) {
        return NGX_OK;
    }

    if (plain->affected) {
        *(ngx_uint_t *) (op + plain->affected) = res->affected;
    }

    if (plain->json) {
        return ngx_chat_query_plain_json(res, job->pool, plain->columns,
                                         (ngx_chat_json_t **)
                                         (op + plain->json));
    }

    if (plain->columns) {
        row = ngx_chat_db_fetch(res);

        if (row != NULL) {
            return ngx_chat_query_get_row(job->pool, row, plain->columns,
                                          op + plain->row);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_query_plain_json(ngx_chat_db_result_t *res, ngx_pool_t *pool,
    const ngx_chat_query_member_t *columns, ngx_chat_json_t **json)
{
    ngx_str_t   *row;
    ngx_uint_t   i;

    *json = ngx_chat_json_create(pool);

    ngx_chat_json_array(*json);

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        ngx_chat_json_object(*json);

        for (i = 0; columns[i].type; i++) {
            ngx_chat_json_key(*json, columns[i].name);

            if (ngx_chat_query_plain_field(pool, &columns[i], &row[i], *json)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        ngx_chat_json_end(*json);
    }

    ngx_chat_json_end(*json);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_query_plain_field(ngx_pool_t *pool,
    const ngx_chat_query_member_t *column, ngx_str_t *field,
    ngx_chat_json_t *json)
{
    ngx_str_t  time;

    if (field->data == NULL) {
        ngx_chat_json_null(json);
        return NGX_OK;
    }

    switch (column->type) {

    case NGX_CHAT_MEMBER_NUMBER:
        ngx_chat_json_number(json, ngx_chat_query_get_number(field));
        return NGX_OK;

    case NGX_CHAT_MEMBER_BOOL:
        ngx_chat_json_bool(json, ngx_chat_query_get_number(field) != 0);
        return NGX_OK;

    case NGX_CHAT_MEMBER_TIME:

        if (ngx_chat_query_get_time(pool, field, &time) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_chat_json_string(json, &time);
        return NGX_OK;

    default: /* NGX_CHAT_MEMBER_STRING */
        ngx_chat_json_string(json, field);
        return NGX_OK;
    }
}


ngx_int_t
ngx_chat_query_get_row(ngx_pool_t *pool, ngx_str_t *row,
    const ngx_chat_query_member_t *columns, void *data)
{
    u_char                         *p;
    uint64_t                        number;
    const ngx_chat_query_member_t  *column;

    for (column = columns; column->type; column++, row++) {

        p = (u_char *) data + column->offset;

        switch (column->type) {

        case NGX_CHAT_MEMBER_STRING:

            if (ngx_chat_query_get_string(pool, row, (ngx_str_t *) p)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            break;

        case NGX_CHAT_MEMBER_TIME:

            if (ngx_chat_query_get_time(pool, row, (ngx_str_t *) p)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            break;

        default: /* NGX_CHAT_MEMBER_NUMBER, NGX_CHAT_MEMBER_BOOL */

            number = ngx_chat_query_get_number(row);

            if (column->type == NGX_CHAT_MEMBER_BOOL) {
                number = (number != 0);
            }

            if (column->size == sizeof(uint32_t)) {
                *(uint32_t *) p = (uint32_t) number;

            } else {
                *(uint64_t *) p = number;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_chat_query_get_rows(ngx_chat_db_result_t *res, ngx_pool_t *pool,
    const ngx_chat_query_member_t *columns, size_t size, ngx_uint_t limit,
    ngx_array_t **rows, ngx_uint_t *has_more)
{
    void       *data;
    ngx_str_t  *row;

    *rows = ngx_array_create(pool, limit ? limit : NGX_CHAT_QUERY_PLAIN_ROWS,
                             size);
    if (*rows == NULL) {
        return NGX_ERROR;
    }

    while ((row = ngx_chat_db_fetch(res)) != NULL) {

        if (limit && (*rows)->nelts == limit) {
            *has_more = 1;
            break;
        }

        data = ngx_array_push(*rows);
        if (data == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(data, size);

        if (ngx_chat_query_get_row(pool, row, columns, data) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
