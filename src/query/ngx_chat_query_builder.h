
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_QUERY_BUILDER_H_INCLUDED_
#define _NGX_CHAT_QUERY_BUILDER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"
#include "src/core/ngx_chat_types.h"


/*
 * Values in SQL and in results, for files of src/query only.  Statements are
 * literals in which $1 to $9 stand for typed values:
 *
 *     ngx_chat_query_add(text, "SELECT body FROM chat_message WHERE id = $1",
 *                      ngx_chat_query_number(op->id));
 *
 * There is no other way to write a value.  Each type writes a complete literal,
 * with its quotes.  A semicolon in a statement ends it, and
 * must not be part of a string or comment: its offset is recorded.
 */


typedef enum {
    NGX_CHAT_QUERY_NUMBER = 0,
    NGX_CHAT_QUERY_STRING,                      /* 'valid UTF-8, escaped' */
    NGX_CHAT_QUERY_PREFIX,                      /* 'pattern for LIKE%' */
    NGX_CHAT_QUERY_BYTES                        /* x'00ff' */
} ngx_chat_query_value_e;


typedef struct {
    ngx_chat_query_value_e type;
    uint64_t               number;
    u_char                *data;              /* not copied */
    size_t                 len;
} ngx_chat_query_value_t;


/* writes a statement without values */
void ngx_chat_query_text(ngx_chat_db_buf_t *text, const char *sql);

/* writes a statement with values; a missing value sets text->error */
#define ngx_chat_query_add(text, sql, ...)                                    \
    ngx_chat_query_add_values(text, sql,                                      \
        (ngx_chat_query_value_t[]) { __VA_ARGS__ },                           \
        sizeof((ngx_chat_query_value_t[]) { __VA_ARGS__ })                    \
        / sizeof(ngx_chat_query_value_t))

void ngx_chat_query_add_values(ngx_chat_db_buf_t *text, const char *sql,
    const ngx_chat_query_value_t *values, ngx_uint_t n);

/* true if the tables have an earlier version; without one, they are current */
#define ngx_chat_query_before(text, version)                                  \
    ((text)->schema != 0 && (text)->schema < (version))

ngx_chat_query_value_t ngx_chat_query_number(uint64_t number);
ngx_chat_query_value_t ngx_chat_query_string(const ngx_str_t *string);
ngx_chat_query_value_t ngx_chat_query_prefix(const ngx_str_t *string);
ngx_chat_query_value_t ngx_chat_query_bytes(const u_char *data, size_t len);


/* read fields of a row; NULL is 0 or an empty string */
uint64_t ngx_chat_query_get_number(ngx_str_t *field);
ngx_int_t ngx_chat_query_get_string(ngx_pool_t *pool, ngx_str_t *field,
    ngx_str_t *string);

/*
 * Reads a DATETIME, with or without fractions, as NGX_CHAT_TIMESTAMP_LEN bytes
 * in ISO format.  Returns NGX_ERROR if there is no memory or for other types.
 */
ngx_int_t ngx_chat_query_get_time(ngx_pool_t *pool, ngx_str_t *field,
    ngx_str_t *time);


/*
 * Plain queries: tables in place of a pair of build() and result() functions.
 * The query type names the two functions below and a description:
 *
 *     typedef struct {
 *         ngx_chat_db_job_t      job;
 *         uint32_t               user_id;
 *         ngx_chat_json_t       *json;
 *     } ngx_chat_query_drafts_t;
 *
 *     static const ngx_chat_query_member_t  ngx_chat_query_drafts_values[] = {
 *         ngx_chat_query_member(NUMBER, ngx_chat_query_drafts_t, user_id),
 *         ngx_chat_query_members_end
 *     };
 *
 *     static const ngx_chat_query_member_t  ngx_chat_query_drafts_columns[] = {
 *         ngx_chat_query_column(NUMBER, "id"),
 *         ngx_chat_query_column(STRING, "body"),
 *         ngx_chat_query_column(TIME, "created_at"),
 *         ngx_chat_query_members_end
 *     };
 *
 *     static const ngx_chat_query_plain_t  ngx_chat_query_drafts_plain = {
 *         .sql = "SELECT id, body, created_at FROM chat_draft"
 *                " WHERE user_id = $1 ORDER BY id",
 *         .values = ngx_chat_query_drafts_values,
 *         .columns = ngx_chat_query_drafts_columns,
 *         .json = offsetof(ngx_chat_query_drafts_t, json)
 *     };
 *
 *     const ngx_chat_db_type_t  ngx_chat_query_drafts = {
 *         .name = ngx_string("drafts"),
 *         .batch = 1,
 *         .build = ngx_chat_query_plain_build,
 *         .result = ngx_chat_query_plain_result,
 *         .data = &ngx_chat_query_drafts_plain
 *     };
 *
 * When the handler is called with job.rc NGX_OK, op->json is an array of
 * objects, one per row, for ngx_chat_response_json().
 */


typedef enum {
    NGX_CHAT_MEMBER_END = 0,
    NGX_CHAT_MEMBER_NUMBER,                   /* uint32_t, uint64_t */
    NGX_CHAT_MEMBER_BOOL,                     /* the same; 0 or 1 */
    NGX_CHAT_MEMBER_STRING,                   /* ngx_str_t */
    NGX_CHAT_MEMBER_TIME,                     /* ngx_str_t; columns only:
                                                 DATETIME in ISO format */
    NGX_CHAT_MEMBER_PREFIX,                   /* ngx_str_t; values only:
                                                 pattern for LIKE */
    NGX_CHAT_MEMBER_BYTES                     /* u_char[]; values only */
} ngx_chat_query_member_e;


typedef struct {
    ngx_chat_query_member_e         type;
    const char                     *name;     /* key in JSON */
    size_t                          offset;   /* offset of the member, bytes */
    size_t                          size;
} ngx_chat_query_member_t;


/* a value or a column that is a member of a structure */
#define ngx_chat_query_member(type, s, member)                                \
    { NGX_CHAT_MEMBER_ ## type, #member, offsetof(s, member),                 \
      sizeof(((s *) 0)->member) }

/* a column that is written to JSON only */
#define ngx_chat_query_column(type, name)                                     \
    { NGX_CHAT_MEMBER_ ## type, name, 0, 0 }

#define ngx_chat_query_members_end  { NGX_CHAT_MEMBER_END, NULL, 0, 0 }


/* Members that are 0 are unused. */

typedef struct {
    const char                     *sql;      /* SQL of one job; a single
                                                 statement if batch > 1 */
    const char                     *previous; /* SQL for tables before version
                                                 "since" */
    ngx_uint_t                      since;
    const ngx_chat_query_member_t  *values;   /* $1, $2, ...: members of the
                                                 operation */
    const ngx_chat_query_member_t  *columns;

    /*
     * The results of one statement, the first one unless "statement" is set:
     * the members of the operation, by offset.
     */
    ngx_uint_t                      statement;
    size_t                          json;     /* ngx_chat_json_t *: all rows */
    size_t                          row;      /* without "json": structure with
                                                 the columns of the first row,
                                                 which are zeroed if there is no
                                                 row; 0: the operation */
    size_t                          affected; /* ngx_uint_t: rows changed */
} ngx_chat_query_plain_t;


void ngx_chat_query_plain_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
ngx_int_t ngx_chat_query_plain_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


/*
 * Parts of the above for other queries.
 *
 * ngx_chat_query_get_row() copies the columns of a row to the members of
 * "data".  ngx_chat_query_get_rows() creates an array of structures of "size"
 * bytes with all rows, or "limit" of them if it is not 0; *has_more is set to
 * 1 if the database has returned more.  They return NGX_OK, or NGX_ERROR if
 * there is no memory.
 */

ngx_int_t ngx_chat_query_get_row(ngx_pool_t *pool, ngx_str_t *row,
    const ngx_chat_query_member_t *columns, void *data);
ngx_int_t ngx_chat_query_get_rows(ngx_chat_db_result_t *res, ngx_pool_t *pool,
    const ngx_chat_query_member_t *columns, size_t size, ngx_uint_t limit,
    ngx_array_t **rows, ngx_uint_t *has_more);


#endif /* _NGX_CHAT_QUERY_BUILDER_H_INCLUDED_ */
