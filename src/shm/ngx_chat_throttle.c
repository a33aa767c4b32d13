
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include "src/shm/ngx_chat_throttle.h"

#include <openssl/rand.h>


#define NGX_CHAT_THROTTLE_WAYS     8          /* scores in a bucket */
#define NGX_CHAT_THROTTLE_ATTEMPT  1000       /* added to a score by one */
#define NGX_CHAT_THROTTLE_MAX      1000000000


typedef struct {
    u_char                      key[16];      /* of the salted SHA-1 */
    ngx_msec_t                  last;         /* last attempt,
                                                 ngx_current_msec */
    uint32_t                    score;        /* at that time */
} ngx_chat_throttle_score_t;


struct ngx_chat_throttle_s {
    ngx_slab_pool_t            *shpool;       /* its mutex protects scores */
    ngx_chat_throttle_score_t  *scores;
    ngx_uint_t                  buckets;
    u_char                      salt[16];     /* buckets are unpredictable */
};


static ngx_chat_throttle_score_t *ngx_chat_throttle_score(
    ngx_chat_throttle_t *throttle, u_char *digest, ngx_msec_t half);
static void ngx_chat_throttle_digest(ngx_chat_throttle_t *throttle,
    ngx_str_t *key, u_char *digest);
static ngx_msec_t ngx_chat_throttle_age(ngx_chat_throttle_score_t *score);
static uint64_t ngx_chat_throttle_now(ngx_chat_throttle_score_t *score,
    ngx_msec_t half);
static ngx_uint_t ngx_chat_throttle_seconds(ngx_chat_throttle_score_t *score,
    ngx_uint_t burst, ngx_msec_t half);


ngx_chat_throttle_t *
ngx_chat_throttle_create(ngx_slab_pool_t *shpool, size_t size)
{
    ngx_uint_t            n;
    ngx_chat_throttle_t  *throttle;

    throttle = ngx_slab_calloc(shpool, sizeof(ngx_chat_throttle_t));
    if (throttle == NULL) {
        return NULL;
    }

    if (RAND_bytes(throttle->salt, sizeof(throttle->salt)) != 1) {
        return NULL;
    }

    n = size / (NGX_CHAT_THROTTLE_WAYS * sizeof(ngx_chat_throttle_score_t));

    throttle->shpool = shpool;
    throttle->buckets = n;
    throttle->scores = ngx_slab_calloc(shpool, n * NGX_CHAT_THROTTLE_WAYS
                                       * sizeof(ngx_chat_throttle_score_t));

    return throttle->scores ? throttle : NULL;
}


ngx_uint_t
ngx_chat_throttle_wait(ngx_chat_throttle_t *throttle, ngx_str_t *key,
    ngx_uint_t burst, time_t half)
{
    u_char                      digest[20];
    ngx_uint_t                  wait;
    ngx_chat_throttle_score_t  *score;

    if (throttle == NULL) {
        return 0;
    }

    ngx_chat_throttle_digest(throttle, key, digest);

    ngx_shmtx_lock(&throttle->shpool->mutex);

    score = ngx_chat_throttle_score(throttle, digest, 0);

    wait = score ? ngx_chat_throttle_seconds(score, burst,
                                             (ngx_msec_t) half * 1000)
                 : 0;

    ngx_shmtx_unlock(&throttle->shpool->mutex);

    return wait;
}


void
ngx_chat_throttle_charge(ngx_chat_throttle_t *throttle, ngx_str_t *key,
    time_t half)
{
    u_char                      digest[20];
    uint64_t                    now;
    ngx_msec_t                  ms;
    ngx_chat_throttle_score_t  *score;

    if (throttle == NULL) {
        return;
    }

    ms = (ngx_msec_t) half * 1000;

    ngx_chat_throttle_digest(throttle, key, digest);

    ngx_shmtx_lock(&throttle->shpool->mutex);

    score = ngx_chat_throttle_score(throttle, digest, ms);

    now = ngx_chat_throttle_now(score, ms) + NGX_CHAT_THROTTLE_ATTEMPT;

    score->score = (uint32_t) ngx_min(now, NGX_CHAT_THROTTLE_MAX);
    score->last = ngx_current_msec;

    ngx_shmtx_unlock(&throttle->shpool->mutex);
}


void
ngx_chat_throttle_forgive(ngx_chat_throttle_t *throttle, ngx_str_t *key)
{
    u_char                      digest[20];
    ngx_chat_throttle_score_t  *score;

    if (throttle == NULL) {
        return;
    }

    ngx_chat_throttle_digest(throttle, key, digest);

    ngx_shmtx_lock(&throttle->shpool->mutex);

    score = ngx_chat_throttle_score(throttle, digest, 0);

    if (score) {
        score->score = 0;
    }

    ngx_shmtx_unlock(&throttle->shpool->mutex);
}


static void
ngx_chat_throttle_digest(ngx_chat_throttle_t *throttle, ngx_str_t *key,
    u_char *digest)
{
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, throttle->salt, sizeof(throttle->salt));
    ngx_sha1_update(&sha1, key->data, key->len);
    ngx_sha1_final(digest, &sha1);
}


/*
 * Returns the score of a key.  If it has none, returns NULL if "half" is 0,
 * otherwise a new one.  It replaces the lowest score of its bucket, so that
 * many keys that failed once do not displace a key that failed often.
 */

static ngx_chat_throttle_score_t *
ngx_chat_throttle_score(ngx_chat_throttle_t *throttle, u_char *digest,
    ngx_msec_t half)
{
    uint32_t                    n;
    ngx_uint_t                  i;
    ngx_chat_throttle_score_t  *bucket, *lowest;

    ngx_memcpy(&n, digest, sizeof(uint32_t));

    bucket = throttle->scores + n % throttle->buckets * NGX_CHAT_THROTTLE_WAYS;

    for (i = 0; i < NGX_CHAT_THROTTLE_WAYS; i++) {
        if (ngx_memcmp(bucket[i].key, digest, sizeof(bucket->key)) == 0) {
            return &bucket[i];
        }
    }

    if (half == 0) {
        return NULL;
    }

    lowest = bucket;

    for (i = 1; i < NGX_CHAT_THROTTLE_WAYS; i++) {
        if (ngx_chat_throttle_now(&bucket[i], half)
            < ngx_chat_throttle_now(lowest, half))
        {
            lowest = &bucket[i];
        }
    }

    lowest->score = 0;
    ngx_memcpy(lowest->key, digest, sizeof(lowest->key));

    return lowest;
}


/* the time of another worker may be slightly ahead */

static ngx_msec_t
ngx_chat_throttle_age(ngx_chat_throttle_score_t *score)
{
    ngx_msec_int_t  age;

    age = (ngx_msec_int_t) (ngx_current_msec - score->last);

    return (age > 0) ? age : 0;
}


/* halves every "half" milliseconds, linearly in between */

static uint64_t
ngx_chat_throttle_now(ngx_chat_throttle_score_t *score, ngx_msec_t half)
{
    uint64_t    now;
    ngx_msec_t  age;

    age = ngx_chat_throttle_age(score);

    if (age / half >= 32) {
        return 0;
    }

    now = score->score >> (age / half);

    return now - now * (age % half) / (2 * (uint64_t) half);
}


static ngx_uint_t
ngx_chat_throttle_seconds(ngx_chat_throttle_score_t *score, ngx_uint_t burst,
    ngx_msec_t half)
{
    uint64_t  start, limit, ms;

    limit = (uint64_t) burst * NGX_CHAT_THROTTLE_ATTEMPT;

    if (ngx_chat_throttle_now(score, half) <= limit) {
        return 0;
    }

    ms = 0;

    for (start = score->score; start / 2 > limit; start /= 2) {
        ms += half;
    }

    ms += ((start - limit) * 2 * half + start - 1) / start;
    ms -= ngx_chat_throttle_age(score);

    return (ms + 999) / 1000;
}
