
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/core/ngx_chat_password.h"
#include "src/core/ngx_chat_string.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>


#define NGX_CHAT_PASSWORD_RUNNING     2
#define NGX_CHAT_PASSWORD_WAITING     128
#define NGX_CHAT_PASSWORD_LONGEST     60000   /* ms, of one job */

#define NGX_CHAT_PASSWORD_METHOD      "$y$"   /* yescrypt */
#define NGX_CHAT_PASSWORD_COST_LEN    3       /* "j9T": flavour, N, r */

#define NGX_CHAT_PASSWORD_PBKDF2      "pbkdf2_sha256$"
#define NGX_CHAT_PASSWORD_ITERATIONS  10000000


/*
 * Data of a thread.  It has its own memory, since the job and its pool may be
 * freed meanwhile; it is wiped before it is freed.
 */

typedef struct {
    ngx_thread_task_t           task;
    ngx_queue_t                 queue;        /* in password->waiting */
    ngx_chat_password_t        *password;
    ngx_chat_password_job_t    *job;          /* NULL: cancelled */
    size_t                      size;         /* including strings, bytes */

    /* null-terminated strings after this structure */
    ngx_str_t                   given;
    ngx_str_t                   stored;
    ngx_str_t                   fresh;
    ngx_str_t                   normal;       /* "given" in NFC, or "given" */

    unsigned                    upgrade:1;
    unsigned                    waiting:1;
    unsigned                    raw:1;        /* "given" matches and differs
                                                 from "normal" */

    ngx_int_t                   rc;
    size_t                      hash_len;     /* 0: no hash */
    char                        hash[CRYPT_OUTPUT_SIZE];

    u_char                      buf[NGX_CHAT_PASSWORD_MAX + 1];

    /* a new salt with method and cost of new passwords */
    char                        setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data           crypt;
} ngx_chat_password_work_t;


struct ngx_chat_password_s {
    ngx_thread_pool_t          *pool;
    ngx_chat_metrics_t         *metrics;
    ngx_log_t                  *log;

    ngx_queue_t                 waiting;
    ngx_uint_t                  nwaiting;
    ngx_uint_t                  nrunning;

    /* set while jobs run, so that an exiting worker waits for them */
    ngx_event_t                 timer;
};


static ngx_chat_password_work_t *ngx_chat_password_work(
    ngx_chat_password_t *password, ngx_chat_password_job_t *job);
static u_char *ngx_chat_password_copy(u_char *p, ngx_str_t *dst,
    ngx_str_t *src);
static void ngx_chat_password_free(ngx_chat_password_work_t *work);
static ngx_int_t ngx_chat_password_post(ngx_chat_password_work_t *work);
static void ngx_chat_password_late(ngx_event_t *ev);
static void ngx_chat_password_done(ngx_event_t *ev);
static void ngx_chat_password_deliver(ngx_chat_password_work_t *work);

static void ngx_chat_password_thread(void *data, ngx_log_t *log);
static ngx_int_t ngx_chat_password_match(ngx_chat_password_work_t *work);
static ngx_int_t ngx_chat_password_match_text(ngx_chat_password_work_t *work,
    ngx_str_t *text);
static ngx_int_t ngx_chat_password_match_crypt(ngx_chat_password_work_t *work,
    ngx_str_t *text);
static ngx_int_t ngx_chat_password_match_pbkdf2(
    ngx_chat_password_work_t *work, ngx_str_t *text);
static ngx_int_t ngx_chat_password_hash(ngx_chat_password_work_t *work,
    ngx_str_t *text);
static ngx_uint_t ngx_chat_password_usable(ngx_str_t *text);
static ngx_uint_t ngx_chat_password_dated(ngx_chat_password_work_t *work);


ngx_chat_password_t *
ngx_chat_password_create(ngx_cycle_t *cycle, ngx_thread_pool_t *pool,
    ngx_chat_metrics_t *metrics)
{
    ngx_chat_password_t  *password;

    password = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_password_t));
    if (password == NULL) {
        return NULL;
    }

    password->pool = pool;
    password->metrics = metrics;
    password->log = cycle->log;

    password->timer.handler = ngx_chat_password_late;
    password->timer.data = password;
    password->timer.log = cycle->log;

    ngx_queue_init(&password->waiting);

    return password;
}


ngx_int_t
ngx_chat_password_submit(ngx_chat_password_t *password,
    ngx_chat_password_job_t *job)
{
    ngx_chat_password_work_t  *work;

    if (password->nwaiting == NGX_CHAT_PASSWORD_WAITING) {
        return NGX_BUSY;
    }

    work = ngx_chat_password_work(password, job);
    if (work == NULL) {
        return NGX_ERROR;
    }

    if (password->nrunning == NGX_CHAT_PASSWORD_RUNNING) {
        ngx_queue_insert_tail(&password->waiting, &work->queue);
        password->nwaiting++;
        work->waiting = 1;

    } else if (ngx_chat_password_post(work) != NGX_OK) {
        ngx_chat_password_free(work);
        return NGX_ERROR;
    }

    ngx_str_null(&job->hash);
    job->work = work;

    return NGX_OK;
}


void
ngx_chat_password_cancel(ngx_chat_password_job_t *job)
{
    ngx_chat_password_work_t  *work;

    work = job->work;

    job->work = NULL;
    work->job = NULL;

    if (work->waiting) {
        ngx_queue_remove(&work->queue);
        work->password->nwaiting--;
        ngx_chat_password_free(work);
    }
}


static ngx_chat_password_work_t *
ngx_chat_password_work(ngx_chat_password_t *password,
    ngx_chat_password_job_t *job)
{
    u_char                    *p;
    size_t                     size;
    ngx_chat_password_work_t  *work;

    size = sizeof(ngx_chat_password_work_t) + job->password.len + 1
           + job->stored.len + 1 + job->fresh.len + 1;

    work = ngx_calloc(size, password->log);
    if (work == NULL) {
        return NULL;
    }

    work->task.ctx = work;
    work->task.handler = ngx_chat_password_thread;
    work->task.event.data = work;
    work->task.event.handler = ngx_chat_password_done;
    work->task.event.log = password->log;

    work->password = password;
    work->job = job;
    work->size = size;
    work->upgrade = job->upgrade;
    work->rc = NGX_ERROR;

    p = (u_char *) (work + 1);
    p = ngx_chat_password_copy(p, &work->given, &job->password);
    p = ngx_chat_password_copy(p, &work->stored, &job->stored);
    (void) ngx_chat_password_copy(p, &work->fresh, &job->fresh);

    password->metrics->gauges[NGX_CHAT_GAUGE_PASSWORDS]++;

    return work;
}


static u_char *
ngx_chat_password_copy(u_char *p, ngx_str_t *dst, ngx_str_t *src)
{
    dst->data = p;
    dst->len = src->len;

    if (src->len) {
        p = ngx_cpymem(p, src->data, src->len);
    }

    *p++ = '\0';

    return p;
}


static void
ngx_chat_password_free(ngx_chat_password_work_t *work)
{
    work->password->metrics->gauges[NGX_CHAT_GAUGE_PASSWORDS]--;

    explicit_bzero(work, work->size);
    ngx_free(work);
}


static ngx_int_t
ngx_chat_password_post(ngx_chat_password_work_t *work)
{
    ngx_chat_password_t  *password;

    password = work->password;

    if (ngx_thread_task_post(password->pool, &work->task) != NGX_OK) {
        return NGX_ERROR;
    }

    password->nrunning++;

    ngx_add_timer(&password->timer, NGX_CHAT_PASSWORD_LONGEST);

    return NGX_OK;
}


static void
ngx_chat_password_late(ngx_event_t *ev)
{
    ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                  "chat: a password hash takes more than %d s",
                  NGX_CHAT_PASSWORD_LONGEST / 1000);
}


static void
ngx_chat_password_done(ngx_event_t *ev)
{
    ngx_queue_t               *q;
    ngx_chat_password_t       *password;
    ngx_chat_password_work_t  *work, *next;

    work = ev->data;
    password = work->password;

    password->nrunning--;

    while (password->nrunning < NGX_CHAT_PASSWORD_RUNNING
           && !ngx_queue_empty(&password->waiting))
    {
        q = ngx_queue_head(&password->waiting);
        next = ngx_queue_data(q, ngx_chat_password_work_t, queue);

        ngx_queue_remove(q);
        password->nwaiting--;
        next->waiting = 0;

        if (ngx_chat_password_post(next) != NGX_OK) {
            ngx_chat_password_deliver(next);
        }
    }

    if (password->nrunning == 0 && password->timer.timer_set) {
        ngx_del_timer(&password->timer);
    }

    ngx_chat_password_deliver(work);
}


static void
ngx_chat_password_deliver(ngx_chat_password_work_t *work)
{
    ngx_str_t                 hash;
    ngx_chat_password_job_t  *job;

    job = work->job;

    if (job == NULL) {
        ngx_chat_password_free(work);
        return;
    }

    job->work = NULL;
    job->rc = work->rc;

    if (work->hash_len) {
        hash.len = work->hash_len;
        hash.data = (u_char *) work->hash;

        job->hash.len = hash.len;
        job->hash.data = ngx_pstrdup(job->pool, &hash);

        if (job->hash.data == NULL) {
            job->hash.len = 0;
            job->rc = NGX_ERROR;
        }
    }

    ngx_chat_password_free(work);

    job->handler(job);
}


/*
 * The functions from here to ngx_chat_password_dated() run in a thread.  They
 * use "work" only, and do not log.
 */

static void
ngx_chat_password_thread(void *data, ngx_log_t *log)
{
    ngx_chat_password_work_t  *work = data;

    if (crypt_gensalt_rn(NGX_CHAT_PASSWORD_METHOD, 0, NULL, 0, work->setting,
                         sizeof(work->setting))
        == NULL)
    {
        return;
    }

    work->rc = ngx_chat_password_match(work);

    if (work->rc != NGX_OK) {
        return;
    }

    if (work->fresh.len) {
        work->rc = ngx_chat_password_hash(work, &work->fresh);

    } else if (work->upgrade && ngx_chat_password_dated(work)) {

        /* if this fails, the login still succeeds */

        (void) ngx_chat_password_hash(work, &work->normal);
    }
}


/*
 * Systems encode the same password differently; therefore its NFC is hashed.
 * Hashes of earlier versions and of Django are of the unmodified bytes.
 */

static ngx_int_t
ngx_chat_password_match(ngx_chat_password_work_t *work)
{
    ngx_int_t  rc;

    if (ngx_chat_unicode_normalize(&work->given, NGX_CHAT_UNICODE_NFC,
                                   work->buf, NGX_CHAT_PASSWORD_MAX,
                                   &work->normal)
        != NGX_OK)
    {
        work->normal = work->given;
    }

    rc = ngx_chat_password_match_text(work, &work->normal);

    if (rc != NGX_DECLINED
        || (work->normal.len == work->given.len
            && ngx_memcmp(work->normal.data, work->given.data,
                          work->given.len)
               == 0))
    {
        return rc;
    }

    rc = ngx_chat_password_match_text(work, &work->given);

    work->raw = (rc == NGX_OK);

    return rc;
}


static ngx_int_t
ngx_chat_password_match_text(ngx_chat_password_work_t *work, ngx_str_t *text)
{
    ngx_int_t  rc;

    if (ngx_chat_password_usable(text)) {
        rc = ngx_strncmp(work->stored.data, NGX_CHAT_PASSWORD_PBKDF2,
                         sizeof(NGX_CHAT_PASSWORD_PBKDF2) - 1)
             ? ngx_chat_password_match_crypt(work, text)
             : ngx_chat_password_match_pbkdf2(work, text);

        if (rc != NGX_ABORT) {
            return rc;
        }
    }

    /* no hash to compare with: takes the same time */

    return crypt_rn("", work->setting, &work->crypt, sizeof(work->crypt))
           ? NGX_DECLINED : NGX_ERROR;
}


/* returns NGX_ABORT if crypt() does not support the string, such as "!" */

static ngx_int_t
ngx_chat_password_match_crypt(ngx_chat_password_work_t *work, ngx_str_t *text)
{
    char    *hash;
    size_t   len;

    /* a string without "$" is DES, which uses only eight characters */

    if (work->stored.data[0] != '$') {
        return NGX_ABORT;
    }

    hash = crypt_rn((char *) text->data, (char *) work->stored.data,
                    &work->crypt, sizeof(work->crypt));

    if (hash == NULL) {
        return (ngx_errno == NGX_ENOMEM) ? NGX_ERROR : NGX_ABORT;
    }

    len = ngx_strlen(hash);

    return (len == work->stored.len
            && CRYPTO_memcmp(hash, work->stored.data, len) == 0)
           ? NGX_OK : NGX_DECLINED;
}


/* pbkdf2_sha256$ITERATIONS$SALT$BASE64 of Django */

static ngx_int_t
ngx_chat_password_match_pbkdf2(ngx_chat_password_work_t *work,
    ngx_str_t *text)
{
    u_char     *iterations, *salt, *base64, *last;
    u_char      expected[64], hash[32];
    ngx_int_t   n;
    ngx_str_t   src, dst;

    last = work->stored.data + work->stored.len;
    iterations = work->stored.data + sizeof(NGX_CHAT_PASSWORD_PBKDF2) - 1;

    salt = ngx_strlchr(iterations, last, '$');
    if (salt == NULL) {
        return NGX_ABORT;
    }

    base64 = ngx_strlchr(salt + 1, last, '$');
    if (base64 == NULL) {
        return NGX_ABORT;
    }

    n = ngx_atoi(iterations, salt - iterations);

    if (n < 1 || n > NGX_CHAT_PASSWORD_ITERATIONS) {
        return NGX_ABORT;
    }

    salt++;
    base64++;

    src.data = base64;
    src.len = last - base64;
    dst.data = expected;

    if (ngx_base64_decoded_length(src.len) > sizeof(expected)
        || ngx_decode_base64(&dst, &src) != NGX_OK
        || dst.len != sizeof(hash))
    {
        return NGX_ABORT;
    }

    if (PKCS5_PBKDF2_HMAC((char *) text->data, text->len,
                          salt, base64 - 1 - salt, n, EVP_sha256(),
                          sizeof(hash), hash)
        != 1)
    {
        return NGX_ERROR;
    }

    return (CRYPTO_memcmp(hash, expected, sizeof(hash)) == 0)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_chat_password_hash(ngx_chat_password_work_t *work, ngx_str_t *text)
{
    char  *hash;

    if (!ngx_chat_password_usable(text)) {
        return NGX_ERROR;
    }

    hash = crypt_rn((char *) text->data, work->setting, &work->crypt,
                    sizeof(work->crypt));
    if (hash == NULL) {
        return NGX_ERROR;
    }

    work->hash_len = ngx_strlen(hash);
    ngx_memcpy(work->hash, hash, work->hash_len);

    return NGX_OK;
}


/* crypt() would end the text at NUL, and rejects longer ones */

static ngx_uint_t
ngx_chat_password_usable(ngx_str_t *text)
{
    return text->len <= NGX_CHAT_PASSWORD_MAX
           && ngx_strlen(text->data) == text->len;
}


/* characters of a yescrypt cost sort as their values */

static ngx_uint_t
ngx_chat_password_dated(ngx_chat_password_work_t *work)
{
    size_t  method;

    method = sizeof(NGX_CHAT_PASSWORD_METHOD) - 1;

    return work->raw
           || ngx_strncmp(work->stored.data, NGX_CHAT_PASSWORD_METHOD, method)
              != 0
           || ngx_strncmp(work->stored.data + method, work->setting + method,
                          NGX_CHAT_PASSWORD_COST_LEN)
              < 0;
}
