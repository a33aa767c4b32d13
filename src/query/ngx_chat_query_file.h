
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_QUERY_FILE_H_INCLUDED_
#define _NGX_CHAT_QUERY_FILE_H_INCLUDED_


#include "src/query/ngx_chat_query.h"


/*
 * Uploaded files.
 *
 * file_usage: bytes that the user has uploaded within a day.
 * file_create: stores the row of a file, if the owner is active and the quota
 * is not exceeded.  "created" is then 1.
 * file_find: the unsent files of the owner among "tokens", in any order.
 * file_get: the file, if the user has uploaded it and not sent it, or is one of
 * the two people of its message.
 */

typedef struct {
    ngx_str_t              token;             /* empty: not found */
    ngx_str_t              name;
    ngx_str_t              type;
    uint64_t               size;              /* bytes */
    uint32_t               width;             /* 0: not an image, or unknown */
    uint32_t               height;
} ngx_chat_query_file_row_t;

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               user_id;
    uint64_t               quota;             /* file_create, bytes */
    ngx_uint_t             n;                 /* file_find */
    ngx_str_t             *tokens;
    ngx_chat_query_file_row_t  file;          /* file_create; the token:
                                                 file_get.  Out: file_get */
    /* out */
    uint64_t               usage;             /* file_usage, bytes */
    ngx_array_t           *files;             /* file_find:
                                                 ngx_chat_query_file_row_t */
    ngx_uint_t             created;           /* file_create, flag */
} ngx_chat_query_file_t;

extern const ngx_chat_db_type_t  ngx_chat_query_file_usage;
extern const ngx_chat_db_type_t  ngx_chat_query_file_create;
extern const ngx_chat_db_type_t  ngx_chat_query_file_find;
extern const ngx_chat_db_type_t  ngx_chat_query_file_get;


/*
 * file_sweep: files whose contents must be removed, including those that were
 * not sent within a day.
 * file_removed: their contents are removed.
 */

#define NGX_CHAT_QUERY_SWEEP  100             /* files */

typedef struct {
    ngx_chat_db_job_t      job;
    /* in, file_removed; out, file_sweep: without separators */
    ngx_str_t              tokens;
} ngx_chat_query_sweep_t;

extern const ngx_chat_db_type_t  ngx_chat_query_file_sweep;
extern const ngx_chat_db_type_t  ngx_chat_query_file_removed;


#endif /* _NGX_CHAT_QUERY_FILE_H_INCLUDED_ */
