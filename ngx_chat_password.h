
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PASSWORD_H_INCLUDED_
#define _NGX_CHAT_PASSWORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_thread_pool.h>
#include "ngx_chat_metrics.h"


/*
 * Passwords, checked and hashed in a thread pool, since one hash takes tens of
 * milliseconds.  Each worker keeps at most two in the pool and 128 waiting, so
 * that a crowd that logs in leaves the processor to the others.
 *
 * A job works like the database's: submit, one call of the handler from the
 * event loop, or cancel and none.
 */


/* in bytes, without the final NUL: more crypt() does not take */
#define NGX_CHAT_PASSWORD_MAX  511


typedef struct ngx_chat_password_s      ngx_chat_password_t;
typedef struct ngx_chat_password_job_s  ngx_chat_password_job_t;


struct ngx_chat_password_job_s {
    /*
     * In: the job copies them, the owner's may go after submit.  A password
     * with a NUL or longer than the maximum matches nothing; such a fresh one
     * gives NGX_ERROR: the owner has checked it.
     */
    ngx_str_t              password;
    ngx_str_t              stored;            /* crypt(3) string, pbkdf2_sha256,
                                                 or empty: nobody, but work as
                                                 if there were somebody */
    ngx_str_t              fresh;             /* to hash as well, or empty */
    unsigned               upgrade:1;         /* a match whose stored form is
                                                 dated is hashed anew */

    void                 (*handler)(ngx_chat_password_job_t *job);
    void                  *data;
    ngx_pool_t            *pool;

    /* out */
    ngx_int_t              rc;                /* NGX_OK match, NGX_DECLINED
                                                 no match, NGX_ERROR */
    ngx_str_t              hash;              /* of "fresh" or of an upgrade,
                                                 in pool; empty: none.  Only
                                                 after a match */

    /* private */
    void                  *work;
};


ngx_chat_password_t *ngx_chat_password_create(ngx_cycle_t *cycle,
    ngx_thread_pool_t *pool, ngx_chat_metrics_t *metrics);

/* NGX_OK; NGX_BUSY: too many wait; NGX_ERROR: no memory */
ngx_int_t ngx_chat_password_submit(ngx_chat_password_t *password,
    ngx_chat_password_job_t *job);
void ngx_chat_password_cancel(ngx_chat_password_job_t *job);


/* tokens: 43 characters of base64url, of 32 random bytes; and their SHA-256 */

#define NGX_CHAT_TOKEN_LEN  43

ngx_int_t ngx_chat_password_token(u_char *token);
ngx_int_t ngx_chat_password_token_hash(ngx_str_t *token, u_char *hash);


#endif /* _NGX_CHAT_PASSWORD_H_INCLUDED_ */
