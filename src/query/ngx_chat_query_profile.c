
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_builder.h"


/*
 * Display names and avatars.  The transaction that changes a name replaces the
 * rows of chat_user_word; sql/chatctl/words.sql has the same statement.  The
 * row of the user is locked before its words.
 */


/* characters that separate words, besides spaces */
#define NGX_CHAT_QUERY_SEPARATORS                                             \
    "' -''\".,:_/()[]{}<>|&+*#@!?=~"                                          \
    "\xc2\xa0\xc2\xab\xc2\xbb\xe2\x80\x90"                                    \
    "\xe2\x80\x91\xe2\x80\x93\xe2\x80\x94\xe2\x80\x98"                        \
    "\xe2\x80\x99\xe2\x80\x9c\xe2\x80\x9d\xe2\x80\x9e"                        \
    "\xe2\x80\xa2\xe2\x80\xa6\xe3\x80\x80\xe3\x83\xbb"                        \
    "'"

/* the position of a word in the display name */
#define NGX_CHAT_QUERY_WORD_START                                             \
    "(n.n = 1 OR LOCATE(SUBSTRING(u.display_name, n.n - 1, 1), "              \
        NGX_CHAT_QUERY_SEPARATORS " COLLATE utf8mb4_bin) > 0)"                \
    " AND LOCATE(SUBSTRING(u.display_name, n.n, 1), "                         \
        NGX_CHAT_QUERY_SEPARATORS " COLLATE utf8mb4_bin) = 0"

/* adds the words of the users that meet the condition */
#define NGX_CHAT_QUERY_WORDS(where)                                           \
    "INSERT IGNORE INTO chat_user_word (word, user_id)"                       \
    " WITH RECURSIVE n AS"                                                    \
    " (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 100)"            \
    " SELECT SUBSTRING(u.display_name, n.n, 60), u.id"                        \
    " FROM chat_user AS u"                                                    \
    " JOIN n ON n.n <= CHAR_LENGTH(u.display_name)"                           \
    " WHERE " where " AND " NGX_CHAT_QUERY_WORD_START


static void ngx_chat_query_profile_get_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_profile_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static void ngx_chat_query_profile_create_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);
static ngx_int_t ngx_chat_query_profile_create_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n);


static const ngx_chat_query_member_t  ngx_chat_query_profile_columns[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_profile_t, user.id),
    ngx_chat_query_member(STRING, ngx_chat_query_profile_t, user.name),
    ngx_chat_query_member(TIME, ngx_chat_query_profile_t, profile.seen),
    ngx_chat_query_member(NUMBER, ngx_chat_query_profile_t, profile.blocks),
    ngx_chat_query_member(STRING, ngx_chat_query_profile_t,
                          profile.display_name),
    ngx_chat_query_member(STRING, ngx_chat_query_profile_t,
                          profile.avatar_url),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  ngx_chat_query_profile_set_values[] = {
    ngx_chat_query_member(NUMBER, ngx_chat_query_profile_t, user_id),
    ngx_chat_query_member(STRING, ngx_chat_query_profile_t, display_name),
    ngx_chat_query_member(STRING, ngx_chat_query_profile_t, avatar_url),
    ngx_chat_query_member(NUMBER, ngx_chat_query_profile_t, site),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  ngx_chat_query_profile_set_plain = {
    .sql = "START TRANSACTION;"
           "UPDATE chat_user SET display_name = NULLIF($2, ''),"
                 " avatar_url = IF($4, NULLIF($3, ''), avatar_url)"
           " WHERE id = $1 AND is_active;"
           "DELETE FROM chat_user_word WHERE user_id = $1;"
           NGX_CHAT_QUERY_WORDS("u.id = $1") ";"
           "COMMIT",
    .previous = NGX_CHAT_QUERY_PROFILES_UNSUPPORTED,
    .since = NGX_CHAT_SCHEMA_PROFILES,
    .values = ngx_chat_query_profile_set_values
};


const ngx_chat_db_type_t  ngx_chat_query_profile_get = {
    .name = ngx_string("profile.get"),
    .batch = 1,
    .declines = 1,
    .build = ngx_chat_query_profile_get_build,
    .result = ngx_chat_query_profile_get_result
};


const ngx_chat_db_type_t  ngx_chat_query_profile_set = {
    .name = ngx_string("profile.set"),
    .batch = 1,
    .transaction = 1,
    .declines = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &ngx_chat_query_profile_set_plain
};


const ngx_chat_db_type_t  ngx_chat_query_profile_create = {
    .name = ngx_string("profile.create"),
    .batch = 1,
    .transaction = 1,
    .declines = 1,
    .build = ngx_chat_query_profile_create_build,
    .result = ngx_chat_query_profile_create_result
};


void
ngx_chat_query_add_words(ngx_chat_db_buf_t *text, uint32_t user_id)
{
    ngx_chat_query_add(text,
        NGX_CHAT_QUERY_WORDS("@chat_changed AND u.id = $1") ";",
        ngx_chat_query_number(user_id));
}


static void
ngx_chat_query_profile_get_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_query_profile_t  *op = (ngx_chat_query_profile_t *) jobs[0];

    ngx_memzero(&op->user, sizeof(ngx_chat_user_t));

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_PROFILES_UNSUPPORTED);
        return;
    }

    ngx_chat_query_add(text,
        "SELECT u.id, u.username, u.last_seen_at,"
        " (SELECT blocks FROM chat_conversation AS c"
        " WHERE c.lo_id = LEAST(u.id, $1) AND c.hi_id = GREATEST(u.id, $1))"
        NGX_CHAT_QUERY_PROFILE
        " FROM chat_user AS u WHERE u.is_active AND u.id ="
        " (SELECT id FROM chat_user WHERE ",
        ngx_chat_query_number(op->viewer_id));
    ngx_chat_query_names(text, &op->name);
    ngx_chat_query_text(text, ")");
}


static ngx_int_t
ngx_chat_query_profile_get_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t          *row;
    ngx_chat_db_job_t  *job = jobs[0];

    row = ngx_chat_db_fetch(res);

    return (row != NULL)
           ? ngx_chat_query_get_row(job->pool, row,
                                    ngx_chat_query_profile_columns, job)
           : NGX_OK;
}


/*
 * Of several transactions with one name, the unique index lets one insert the
 * row; the others wait for it and then read it.  MariaDB requires more rights
 * for ON DUPLICATE KEY UPDATE than for IGNORE.
 */

static void
ngx_chat_query_profile_create_build(ngx_chat_db_buf_t *text,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_chat_forms_t           forms;
    ngx_chat_query_profile_t  *op = (ngx_chat_query_profile_t *) jobs[0];

    ngx_memzero(&op->user, sizeof(ngx_chat_user_t));

    if (ngx_chat_query_before(text, NGX_CHAT_SCHEMA_PROFILES)) {
        ngx_chat_query_text(text, NGX_CHAT_QUERY_PROFILES_UNSUPPORTED);
        return;
    }

    ngx_memzero(&forms, sizeof(ngx_chat_forms_t));
    forms.n = 1;
    forms.text[0] = op->username;

    ngx_chat_query_add(text,
        "START TRANSACTION;"
        "INSERT IGNORE INTO chat_user (username, display_name, avatar_url)"
        " VALUES ($1, NULLIF($2, ''), NULLIF($3, ''));"
        "SET @chat_created = ROW_COUNT();"
        NGX_CHAT_QUERY_WORDS("@chat_created AND"
            " u.username_key = LOWER($1 COLLATE utf8mb4_bin)") ";"
        "COMMIT;",
        ngx_chat_query_string(&op->username),
        ngx_chat_query_string(&op->display_name),
        ngx_chat_query_string(&op->avatar_url));

    ngx_chat_query_add_user(text);
    ngx_chat_query_names(text, &forms);
}


/* only the last statement returns a row */

static ngx_int_t
ngx_chat_query_profile_create_result(ngx_chat_db_result_t *res,
    ngx_chat_db_job_t **jobs, ngx_uint_t n)
{
    ngx_str_t  *row;
    ngx_chat_query_profile_t  *op = (ngx_chat_query_profile_t *) jobs[0];

    row = ngx_chat_db_fetch(res);

    return (row != NULL)
           ? ngx_chat_query_get_row(op->job.pool, row,
                                    ngx_chat_query_user_columns, &op->user)
           : NGX_OK;
}
