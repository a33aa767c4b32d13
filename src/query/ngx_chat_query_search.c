
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"


/* search in the messages of a user */


#define NGX_CHAT_QUERY_SEARCH_TIME  2000      /* ms */

/* bytes of the examined messages, times those of the text */
#define NGX_CHAT_QUERY_SEARCH_WORK  (8 * 1024 * 1024)

/* removes accents that are characters of their own, U+0300 to U+036F */
#define NGX_CHAT_QUERY_SEARCH_TEXT(text)                                      \
    "REGEXP_REPLACE(" text ", '[\xcc\x80-\xcd\xaf]', '')"


static void ngx_chat_query_search_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_search_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


const ngx_chat_db_type_t  ngx_chat_query_history_search = {
    .name = ngx_string("messages.search"),
    .batch = 1,
    .replica = 1,
    .visible = 1,
    .build = ngx_chat_query_search_build,
    .result = ngx_chat_query_search_result
};


/*
 * The first statement finds the lowest id to examine.  The second one reads
 * from there, so a message that arrives in between displaces none at the end.
 * The collation ignores case and accents of single characters.
 *
 * A text of few different characters is slow: each character of a message may
 * be compared with all of the text.  So fewer messages are examined if they or
 * the text are long.
 */

static void
ngx_chat_query_search_build(ngx_chat_db_buf_t *text, ngx_chat_db_job_t **jobs,
    ngx_uint_t n)
{
    ngx_chat_query_history_t  *op = (ngx_chat_query_history_t *) jobs[0];

    ngx_chat_query_clear_messages(op);
    op->lowest = 0;

    ngx_chat_query_add(text,
        "SELECT MIN(IF(bytes < $1, id, NULL)), COUNT(IF(bytes < $1, id, NULL)),"
              " COUNT(*) INTO @chat_low, @chat_n, @chat_all FROM ("
        "SELECT STRAIGHT_JOIN p.id, SUM(LENGTH(m.body))"
        " OVER (ORDER BY p.id DESC)"
        " - LENGTH(m.body) AS bytes FROM (",
        ngx_chat_query_number(NGX_CHAT_QUERY_SEARCH_WORK
                              / ngx_max(op->search.len, 1)));
    ngx_chat_query_add_ids(text, op, " AND id < $1", "DESC", 0,
                           NGX_CHAT_QUERY_SEARCH_MAX);
    ngx_chat_query_add(text,
        ") AS p JOIN chat_message m ON m.id = p.id) AS s;"
        NGX_CHAT_QUERY_LIMIT("$1")
        "SELECT " NGX_CHAT_QUERY_HINT("$1") " STRAIGHT_JOIN "
        NGX_CHAT_QUERY_MESSAGE,
        ngx_chat_query_number(NGX_CHAT_QUERY_SEARCH_TIME));
    ngx_chat_query_add_changed(text);
    ngx_chat_query_text(text, " FROM (");
    ngx_chat_query_add_ids(text, op, " AND id < $1 AND id >= @chat_low", "DESC",
                           0, 2 * NGX_CHAT_QUERY_SEARCH_MAX);
    ngx_chat_query_add(text,
        ") AS p JOIN chat_message m ON m.id = p.id" NGX_CHAT_QUERY_JOIN_NAMES
        " WHERE " NGX_CHAT_QUERY_SEARCH_TEXT("m.body")
        " COLLATE utf8mb4_unicode_520_ci"
        " LIKE CONCAT('%', " NGX_CHAT_QUERY_SEARCH_TEXT("$1") ")"
        " ORDER BY p.id DESC LIMIT $2;"
        "SELECT @chat_low, @chat_n, @chat_all",
        ngx_chat_query_prefix(&op->search),
        ngx_chat_query_number(op->limit + 1));
}


static ngx_int_t
ngx_chat_query_search_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    uint64_t             examined, all;
    ngx_str_t           *row;
    ngx_chat_message_t  *messages;
    ngx_chat_query_history_t  *op = (ngx_chat_query_history_t *) jobs[0];

    if (res->statement == 1) {
        return ngx_chat_query_get_messages(res, op);
    }

    row = ngx_chat_db_fetch(res);

    if (row == NULL || op->messages == NULL) {
        return NGX_OK;
    }

    if (op->has_more) {
        messages = op->messages->elts;
        op->lowest = messages[op->messages->nelts - 1].id;
        return NGX_OK;
    }

    op->lowest = ngx_chat_query_get_number(&row[0]);
    examined = ngx_chat_query_get_number(&row[1]);
    all = ngx_chat_query_get_number(&row[2]);

    op->has_more = (examined < all || all == NGX_CHAT_QUERY_SEARCH_MAX);

    return NGX_OK;
}
