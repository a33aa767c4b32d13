
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_FILE_H_INCLUDED_
#define _NGX_CHAT_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_thread_pool.h>
#include "src/core/ngx_chat_image.h"


/*
 * The contents of uploaded files, handled in a thread pool.  The file TOKEN is
 * DIR/ab/cd/TOKEN, with the first four characters of the token.
 *
 * A job is submitted, and its handler is called once from the event loop; or it
 * is cancelled, and the handler is not called.
 */


#define NGX_CHAT_FILE_TOKEN_LEN  32           /* 128 random bits, hexadecimal */

/* length of "ab/cd/TOKEN" */
#define NGX_CHAT_FILE_PATH_LEN   (6 + NGX_CHAT_FILE_TOKEN_LEN)


typedef struct ngx_chat_files_s     ngx_chat_files_t;
typedef struct ngx_chat_file_job_s  ngx_chat_file_job_t;


struct ngx_chat_file_job_s {
    /* in, copied by submit */
    ngx_str_t              dir;
    ngx_str_t              temp;              /* path of a file to keep under
                                                 the token; empty: remove the
                                                 files of all tokens */
    ngx_str_t              tokens;            /* without separators */

    void                 (*handler)(ngx_chat_file_job_t *job);
    void                  *data;

    /* out */
    ngx_int_t              rc;                /* NGX_OK: the file is on the
                                                 disk, or all are removed;
                                                 NGX_ERROR, which is logged */
    ngx_chat_image_t       image;             /* of a file that is kept */

    /* private */
    void                  *work;
};


ngx_chat_files_t *ngx_chat_files_create(ngx_cycle_t *cycle,
    ngx_thread_pool_t *pool);

/* returns NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_file_submit(ngx_chat_files_t *files,
    ngx_chat_file_job_t *job);
void ngx_chat_file_cancel(ngx_chat_file_job_t *job);

/* writes a new token, NGX_CHAT_FILE_TOKEN_LEN bytes; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_file_token(u_char *token);

/* returns NGX_OK if this may be a token, or NGX_DECLINED */
ngx_int_t ngx_chat_file_token_check(ngx_str_t *token);

/* writes "ab/cd/TOKEN"; returns the end */
u_char *ngx_chat_file_path(u_char *p, u_char *token);


#endif /* _NGX_CHAT_FILE_H_INCLUDED_ */
