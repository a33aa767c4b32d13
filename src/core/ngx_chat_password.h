
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_PASSWORD_H_INCLUDED_
#define _NGX_CHAT_PASSWORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_thread_pool.h>
#include "src/core/ngx_chat_metrics.h"


/*
 * Passwords are checked and hashed in a thread pool, since a hash takes tens of
 * milliseconds.  A worker has at most two jobs in the pool and 128 waiting, so
 * that many logins do not occupy all processors.
 *
 * A job is submitted, and its handler is called once from the event loop; or it
 * is cancelled, and the handler is not called.
 */


/* maximum length in NFC, bytes, without NUL; a limit of crypt() */
#define NGX_CHAT_PASSWORD_MAX  511


typedef struct ngx_chat_password_s      ngx_chat_password_t;
typedef struct ngx_chat_password_job_s  ngx_chat_password_job_t;


struct ngx_chat_password_job_s {
    /*
     * In, copied by submit.  The password matches in NFC or unmodified.  A
     * password that contains NUL or exceeds the maximum does not match.  A
     * fresh password must be normalized; an invalid one causes NGX_ERROR.
     */
    ngx_str_t              password;
    ngx_str_t              stored;            /* crypt(3) string, pbkdf2_sha256,
                                                 or empty: no such user; takes
                                                 the same time */
    ngx_str_t              fresh;             /* to be hashed, or empty */
    unsigned               upgrade:1;         /* hash a matching password
                                                 again if the stored hash is
                                                 outdated or not of NFC */

    void                 (*handler)(ngx_chat_password_job_t *job);
    void                  *data;
    ngx_pool_t            *pool;

    /* out */
    ngx_int_t              rc;                /* NGX_OK match, NGX_DECLINED
                                                 no match, NGX_ERROR */
    ngx_str_t              hash;              /* new hash after a match, in
                                                 pool; empty: none */

    /* private */
    void                  *work;
};


ngx_chat_password_t *ngx_chat_password_create(ngx_cycle_t *cycle,
    ngx_thread_pool_t *pool, ngx_chat_metrics_t *metrics);

/* NGX_OK; NGX_BUSY: too many are waiting; NGX_ERROR: no memory */
ngx_int_t ngx_chat_password_submit(ngx_chat_password_t *password,
    ngx_chat_password_job_t *job);
void ngx_chat_password_cancel(ngx_chat_password_job_t *job);


#endif /* _NGX_CHAT_PASSWORD_H_INCLUDED_ */
