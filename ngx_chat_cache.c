
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include "ngx_chat_cache.h"

#include <openssl/rand.h>


/*
 * The zone holds seven things, laid out once:
 *
 *   ngx_chat_cache_t   revision and ring of revocations
 *   metrics            what is counted, without the mutex
 *   workers            what they leave behind, without the mutex
 *   choice             of a database server, without the mutex; of a replica
 *   fresh              whether a replica may answer; positions by the mutex
 *   scores             failed log-ins by key
 *   slots              where in the log a key's record is
 *   log                records, written one after another, round and round
 *
 * A position in the log is a number that only grows; it is taken modulo the
 * log's size to get at the bytes.  The last "log_size" bytes up to "head" are
 * alive, so what is overwritten dies without being looked for, and there is
 * nothing to free.  What is in use does not grow old here: sessions and people
 * are put in anew when their time is up, messages are fetched right after
 * they are sent.
 *
 * This takes the place of a tree, a queue and nodes from the slab allocator
 * because records differ much in size (no fragmentation), and because a worker
 * may be killed at any point: a record is out of reach until it is whole, and
 * a slot is believed only as far as the record's own key confirms it.
 */


#define NGX_CHAT_CACHE_WAYS         8         /* in a bucket */
#define NGX_CHAT_CACHE_MIN_PAGES    16

#define NGX_CHAT_CACHE_KEY_MAX      512
#define NGX_CHAT_CACHE_TEXT_MAX     16384

/* how long a name is believed to be this person */
#define NGX_CHAT_CACHE_USER_TTL     10000     /* ms */

/* messages do not change, but one deleted by hand is not to stay for ever */
#define NGX_CHAT_CACHE_MESSAGE_TTL  600000    /* ms */

#define NGX_CHAT_CACHE_FAILURE      1000      /* what one adds to a score */
#define NGX_CHAT_CACHE_SCORE_MAX    1000000000


typedef enum {
    NGX_CHAT_CACHE_SESSION = 1,
    NGX_CHAT_CACHE_USER,
    NGX_CHAT_CACHE_EVERYBODY,
    NGX_CHAT_CACHE_MESSAGE
} ngx_chat_cache_kind_e;


typedef struct {
    ngx_chat_cache_kind_e       kind;
    uint32_t                    hash;
    ngx_str_t                   value;
} ngx_chat_cache_key_t;


typedef struct {
    ngx_msec_t                  since;        /* ngx_current_msec */
    ngx_msec_t                  until;
    time_t                      expires;      /* of the session itself */
    ngx_uint_t                  revision;     /* session: not revoked so far */
    uint32_t                    user_id;      /* message: its sender */
    uint32_t                    recipient_id;
    u_short                     key_len;
    u_short                     text_len;
    u_char                      kind;
    unsigned                    admin:1;
    unsigned                    active:1;
    /* the key and the text follow: a name, or a message's JSON */
} ngx_chat_cache_record_t;


typedef struct {
    uint64_t                    position;
    uint32_t                    hash;
} ngx_chat_cache_slot_t;


typedef struct {
    u_char                      key[16];      /* of its salted SHA-1 */
    ngx_msec_t                  last;         /* failure */
    uint32_t                    score;        /* at that time */
} ngx_chat_cache_score_t;


struct ngx_chat_cache_s {
    ngx_slab_pool_t            *shpool;       /* its mutex guards the rest */

    ngx_atomic_t                revision;
    ngx_chat_metrics_zone_t    *metrics;

    ngx_chat_revoked_t          revoked[NGX_CHAT_CACHE_REVOKED];

    ngx_chat_db_choice_t        choice;
    ngx_chat_db_choice_t        replica;
    ngx_chat_fresh_t           *fresh;
    ngx_chat_workers_t         *workers;

    ngx_chat_cache_score_t     *scores;
    ngx_uint_t                  score_buckets;
    u_char                      salt[16];     /* nobody can aim at a bucket */

    ngx_chat_cache_slot_t      *slots;
    ngx_uint_t                  slot_buckets;

    u_char                     *log;
    size_t                      log_size;
    uint64_t                    head;         /* position of the next record */
};


static ngx_int_t ngx_chat_cache_init(ngx_shm_zone_t *zone, void *data);
static ngx_chat_cache_key_t ngx_chat_cache_key(ngx_chat_cache_kind_e kind,
    void *data, size_t len);
static ngx_chat_cache_record_t *ngx_chat_cache_record(ngx_chat_cache_t *cache,
    ngx_chat_cache_slot_t *slot, ngx_chat_cache_key_t *key);
static ngx_chat_cache_record_t *ngx_chat_cache_find(ngx_chat_cache_t *cache,
    ngx_chat_cache_key_t *key);
static void ngx_chat_cache_put(ngx_chat_cache_t *cache,
    ngx_chat_cache_key_t *key, ngx_chat_cache_record_t *rec, ngx_msec_t ttl,
    ngx_str_t *text);
static ngx_int_t ngx_chat_cache_text(ngx_chat_cache_record_t *rec,
    ngx_pool_t *pool, ngx_str_t *text);
static ngx_int_t ngx_chat_cache_user(ngx_chat_cache_record_t *rec,
    ngx_pool_t *pool, ngx_chat_user_t *user);
static void ngx_chat_cache_put_user(ngx_chat_cache_t *cache,
    ngx_chat_cache_key_t *key, ngx_chat_cache_record_t *rec, ngx_msec_t ttl,
    ngx_chat_user_t *user);
static ngx_uint_t ngx_chat_cache_is_revoked(ngx_chat_cache_t *cache,
    ngx_chat_cache_record_t *rec, u_char *hash);
static void ngx_chat_cache_revoke(ngx_chat_cache_t *cache, uint32_t user_id,
    u_char *hash);
static ngx_chat_cache_score_t *ngx_chat_cache_bucket(ngx_chat_cache_t *cache,
    ngx_str_t *key, u_char *digest);
static ngx_chat_cache_score_t *ngx_chat_cache_score(
    ngx_chat_cache_score_t *bucket, u_char *digest);
static ngx_chat_cache_score_t *ngx_chat_cache_score_new(
    ngx_chat_cache_score_t *bucket, u_char *digest, ngx_msec_t half);
static ngx_msec_t ngx_chat_cache_score_age(ngx_chat_cache_score_t *score);
static uint64_t ngx_chat_cache_score_now(ngx_chat_cache_score_t *score,
    ngx_msec_t half);
static ngx_uint_t ngx_chat_cache_score_wait(ngx_chat_cache_score_t *score,
    uint64_t limit, ngx_msec_t half);


void
ngx_chat_cache_zone(ngx_shm_zone_t *zone)
{
    zone->init = ngx_chat_cache_init;
}


static ngx_int_t
ngx_chat_cache_init(ngx_shm_zone_t *zone, void *data)
{
    size_t             size, n;
    ngx_slab_pool_t   *shpool;
    ngx_chat_cache_t  *cache;

    if (data) {
        zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (shpool->pfree < NGX_CHAT_CACHE_MIN_PAGES) {
        goto failed;
    }

    cache = ngx_slab_calloc(shpool, sizeof(ngx_chat_cache_t));
    if (cache == NULL) {
        goto failed;
    }

    cache->shpool = shpool;

    if (RAND_bytes(cache->salt, sizeof(cache->salt)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    cache->metrics = ngx_chat_metrics_zone_create(shpool);
    cache->workers = ngx_chat_workers_create(shpool);
    cache->fresh = ngx_chat_fresh_create(shpool);

    if (cache->metrics == NULL || cache->workers == NULL
        || cache->fresh == NULL)
    {
        goto failed;
    }

    size = shpool->pfree * ngx_pagesize;

    /* a sixteenth for scores, one slot for each 128 bytes of the rest */

    n = size / 16 / (NGX_CHAT_CACHE_WAYS * sizeof(ngx_chat_cache_score_t));

    cache->score_buckets = n;
    cache->scores = ngx_slab_calloc(shpool, n * NGX_CHAT_CACHE_WAYS
                                            * sizeof(ngx_chat_cache_score_t));
    if (cache->scores == NULL) {
        goto failed;
    }

    n = size / (NGX_CHAT_CACHE_WAYS * (128 + sizeof(ngx_chat_cache_slot_t)));

    cache->slot_buckets = n;
    cache->slots = ngx_slab_calloc(shpool, n * NGX_CHAT_CACHE_WAYS
                                           * sizeof(ngx_chat_cache_slot_t));
    if (cache->slots == NULL) {
        goto failed;
    }

    cache->log_size = shpool->pfree * ngx_pagesize;
    cache->log = ngx_slab_alloc(shpool, cache->log_size);
    if (cache->log == NULL) {
        goto failed;
    }

    /* far enough for the position 0 of empty slots to be dead */

    cache->head = 2 * (uint64_t) cache->log_size;

    zone->data = cache;

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0,
                  "chat_zone \"%V\" is too small: give it more than %uzk",
                  &zone->shm.name, zone->shm.size / 1024);

    return NGX_ERROR;
}


static ngx_chat_cache_key_t
ngx_chat_cache_key(ngx_chat_cache_kind_e kind, void *data, size_t len)
{
    ngx_chat_cache_key_t  key;

    key.kind = kind;
    key.hash = ngx_murmur_hash2(data, len) + kind;
    key.value.len = len;
    key.value.data = data;

    return key;
}


/* the key's record, if that is what the slot leads to */

static ngx_chat_cache_record_t *
ngx_chat_cache_record(ngx_chat_cache_t *cache, ngx_chat_cache_slot_t *slot,
    ngx_chat_cache_key_t *key)
{
    ngx_chat_cache_record_t  *rec;

    if (slot->hash != key->hash
        || cache->head - slot->position > cache->log_size)
    {
        return NULL;
    }

    rec = (ngx_chat_cache_record_t *)
              (cache->log + slot->position % cache->log_size);

    if (rec->kind != key->kind
        || rec->key_len != key->value.len
        || ngx_memcmp((u_char *) (rec + 1), key->value.data, key->value.len)
           != 0)
    {
        return NULL;
    }

    return rec;
}


static ngx_chat_cache_record_t *
ngx_chat_cache_find(ngx_chat_cache_t *cache, ngx_chat_cache_key_t *key)
{
    ngx_uint_t                i;
    ngx_chat_cache_slot_t    *slot;
    ngx_chat_cache_record_t  *rec;

    slot = cache->slots
           + key->hash % cache->slot_buckets * NGX_CHAT_CACHE_WAYS;

    for (i = 0; i < NGX_CHAT_CACHE_WAYS; i++) {

        rec = ngx_chat_cache_record(cache, &slot[i], key);

        if (rec) {
            return ((ngx_msec_int_t) (rec->until - ngx_current_msec) > 0)
                   ? rec : NULL;
        }
    }

    return NULL;
}


/* the record is the caller's; here it gets its key, its text and its place */

static void
ngx_chat_cache_put(ngx_chat_cache_t *cache, ngx_chat_cache_key_t *key,
    ngx_chat_cache_record_t *rec, ngx_msec_t ttl, ngx_str_t *text)
{
    u_char                 *p;
    size_t                  size, rest;
    uint64_t                position;
    ngx_uint_t              i;
    ngx_chat_cache_slot_t  *slot, *oldest;

    size = sizeof(ngx_chat_cache_record_t) + key->value.len + text->len;
    size = ngx_align(size, sizeof(uint64_t));

    if (key->value.len > NGX_CHAT_CACHE_KEY_MAX
        || text->len > NGX_CHAT_CACHE_TEXT_MAX
        || size > cache->log_size)
    {
        return;
    }

    rec->since = ngx_current_msec;
    rec->until = rec->since + ttl;
    rec->kind = (u_char) key->kind;
    rec->key_len = (u_short) key->value.len;
    rec->text_len = (u_short) text->len;

    ngx_shmtx_lock(&cache->shpool->mutex);

    position = cache->head;

    rest = cache->log_size - position % cache->log_size;
    if (rest < size) {
        position += rest;
    }

    /* what is about to be overwritten must be dead before */

    cache->head = position + size;

    ngx_memory_barrier();

    p = cache->log + position % cache->log_size;
    p = ngx_cpymem(p, rec, sizeof(ngx_chat_cache_record_t));
    p = ngx_cpymem(p, key->value.data, key->value.len);
    ngx_memcpy(p, text->data, text->len);

    ngx_memory_barrier();

    slot = cache->slots
           + key->hash % cache->slot_buckets * NGX_CHAT_CACHE_WAYS;

    oldest = slot;

    for (i = 0; i < NGX_CHAT_CACHE_WAYS; i++) {

        if (ngx_chat_cache_record(cache, &slot[i], key)) {
            oldest = &slot[i];
            break;
        }

        if (slot[i].position < oldest->position) {
            oldest = &slot[i];
        }
    }

    oldest->hash = key->hash;
    oldest->position = position;

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


static ngx_int_t
ngx_chat_cache_text(ngx_chat_cache_record_t *rec, ngx_pool_t *pool,
    ngx_str_t *text)
{
    text->len = rec->text_len;
    text->data = ngx_pnalloc(pool, text->len);

    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text->data, (u_char *) (rec + 1) + rec->key_len, text->len);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_cache_user(ngx_chat_cache_record_t *rec, ngx_pool_t *pool,
    ngx_chat_user_t *user)
{
    ngx_memzero(user, sizeof(ngx_chat_user_t));

    user->id = rec->user_id;
    user->admin = rec->admin;
    user->active = rec->active;

    return ngx_chat_cache_text(rec, pool, &user->name);
}


static void
ngx_chat_cache_put_user(ngx_chat_cache_t *cache, ngx_chat_cache_key_t *key,
    ngx_chat_cache_record_t *rec, ngx_msec_t ttl, ngx_chat_user_t *user)
{
    rec->user_id = user->id;
    rec->admin = user->admin;
    rec->active = user->active;

    ngx_chat_cache_put(cache, key, rec, ttl, &user->name);
}


ngx_int_t
ngx_chat_cache_session_get(ngx_chat_cache_t *cache, u_char *hash,
    ngx_msec_t age, ngx_pool_t *pool, ngx_chat_user_t *user, time_t *expires)
{
    ngx_int_t                 rc;
    ngx_chat_cache_key_t      key;
    ngx_chat_cache_record_t  *rec;

    if (cache == NULL) {
        return NGX_DECLINED;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_SESSION, hash, NGX_CHAT_HASH_LEN);
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&cache->shpool->mutex);

    rec = ngx_chat_cache_find(cache, &key);

    if (rec
        && (ngx_msec_int_t) (ngx_current_msec - rec->since)
           < (ngx_msec_int_t) age
        && rec->expires > ngx_time()
        && !ngx_chat_cache_is_revoked(cache, rec, hash))
    {
        rec->revision = cache->revision;
        *expires = rec->expires;

        rc = ngx_chat_cache_user(rec, pool, user);
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


void
ngx_chat_cache_session_put(ngx_chat_cache_t *cache, u_char *hash,
    ngx_chat_user_t *user, time_t expires, ngx_msec_t ttl, ngx_uint_t revision)
{
    ngx_chat_cache_key_t     key;
    ngx_chat_cache_record_t  rec;

    if (cache == NULL) {
        return;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_SESSION, hash, NGX_CHAT_HASH_LEN);

    ngx_memzero(&rec, sizeof(ngx_chat_cache_record_t));

    rec.expires = expires;
    rec.revision = revision;

    ngx_chat_cache_put_user(cache, &key, &rec, ttl, user);
}


/*
 * Cached sessions are not searched for what a revocation ends, each is held
 * against the revocations since its look-up began or it was last asked for.
 */

static ngx_uint_t
ngx_chat_cache_is_revoked(ngx_chat_cache_t *cache,
    ngx_chat_cache_record_t *rec, u_char *hash)
{
    ngx_uint_t           revision, same;
    ngx_chat_revoked_t  *revoked;

    if (cache->revision - rec->revision > NGX_CHAT_CACHE_REVOKED) {
        return 1;
    }

    for (revision = rec->revision; revision != cache->revision; revision++) {

        revoked = &cache->revoked[revision % NGX_CHAT_CACHE_REVOKED];
        same = (ngx_memcmp(revoked->hash, hash, NGX_CHAT_HASH_LEN) == 0);

        if (revoked->user_id ? revoked->user_id == rec->user_id && !same
                             : same)
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_chat_cache_revision(ngx_chat_cache_t *cache)
{
    return cache ? cache->revision : 0;
}


void
ngx_chat_cache_revoke_session(ngx_chat_cache_t *cache, u_char *hash)
{
    ngx_chat_cache_revoke(cache, 0, hash);
}


void
ngx_chat_cache_revoke_user(ngx_chat_cache_t *cache, uint32_t user_id,
    u_char *keep)
{
    ngx_chat_cache_revoke(cache, user_id, keep);
}


static void
ngx_chat_cache_revoke(ngx_chat_cache_t *cache, uint32_t user_id, u_char *hash)
{
    ngx_chat_revoked_t  *revoked;

    if (cache == NULL) {
        return;
    }

    ngx_shmtx_lock(&cache->shpool->mutex);

    revoked = &cache->revoked[cache->revision % NGX_CHAT_CACHE_REVOKED];

    revoked->user_id = user_id;

    if (hash) {
        ngx_memcpy(revoked->hash, hash, NGX_CHAT_HASH_LEN);

    } else {
        ngx_memzero(revoked->hash, NGX_CHAT_HASH_LEN);
    }

    ngx_memory_barrier();

    cache->revision++;

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


ngx_int_t
ngx_chat_cache_revoked(ngx_chat_cache_t *cache, ngx_uint_t revision,
    ngx_chat_revoked_t *revoked)
{
    ngx_int_t  rc;

    if (cache == NULL || revision == cache->revision) {
        return NGX_DECLINED;
    }

    ngx_shmtx_lock(&cache->shpool->mutex);

    if (cache->revision - revision > NGX_CHAT_CACHE_REVOKED) {
        rc = NGX_ABORT;

    } else {
        *revoked = cache->revoked[revision % NGX_CHAT_CACHE_REVOKED];
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_chat_cache_user_get(ngx_chat_cache_t *cache, ngx_str_t *asked,
    ngx_pool_t *pool, ngx_chat_user_t *user)
{
    ngx_int_t                 rc;
    ngx_chat_cache_key_t      key;
    ngx_chat_cache_record_t  *rec;

    if (cache == NULL) {
        return NGX_DECLINED;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_USER, asked->data, asked->len);

    ngx_shmtx_lock(&cache->shpool->mutex);

    rec = ngx_chat_cache_find(cache, &key);
    rc = rec ? ngx_chat_cache_user(rec, pool, user) : NGX_DECLINED;

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


void
ngx_chat_cache_user_put(ngx_chat_cache_t *cache, ngx_str_t *asked,
    ngx_chat_user_t *user)
{
    ngx_chat_cache_key_t     key;
    ngx_chat_cache_record_t  rec;

    if (cache == NULL) {
        return;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_USER, asked->data, asked->len);

    ngx_memzero(&rec, sizeof(ngx_chat_cache_record_t));

    ngx_chat_cache_put_user(cache, &key, &rec, NGX_CHAT_CACHE_USER_TTL, user);
}


ngx_int_t
ngx_chat_cache_everybody_get(ngx_chat_cache_t *cache, ngx_pool_t *pool,
    ngx_str_t *json)
{
    ngx_int_t                 rc;
    ngx_chat_cache_key_t      key;
    ngx_chat_cache_record_t  *rec;

    if (cache == NULL) {
        return NGX_DECLINED;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_EVERYBODY, "", 0);
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&cache->shpool->mutex);

    rec = ngx_chat_cache_find(cache, &key);

    if (rec) {
        rc = ngx_chat_cache_text(rec, pool, json);
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


void
ngx_chat_cache_everybody_put(ngx_chat_cache_t *cache, ngx_str_t *json,
    ngx_msec_t ttl)
{
    ngx_chat_cache_key_t     key;
    ngx_chat_cache_record_t  rec;

    if (cache == NULL) {
        return;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_EVERYBODY, "", 0);

    ngx_memzero(&rec, sizeof(ngx_chat_cache_record_t));

    ngx_chat_cache_put(cache, &key, &rec, ttl, json);
}


ngx_int_t
ngx_chat_cache_message_get(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t reader_id, ngx_pool_t *pool, ngx_str_t *json)
{
    ngx_int_t                 rc;
    ngx_chat_cache_key_t      key;
    ngx_chat_cache_record_t  *rec;

    if (cache == NULL) {
        return NGX_DECLINED;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_MESSAGE, &id, sizeof(uint64_t));
    rc = NGX_DECLINED;

    ngx_shmtx_lock(&cache->shpool->mutex);

    rec = ngx_chat_cache_find(cache, &key);

    if (rec && (rec->user_id == reader_id || rec->recipient_id == reader_id)) {
        rc = ngx_chat_cache_text(rec, pool, json);
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


void
ngx_chat_cache_message_put(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t sender_id, uint32_t recipient_id, ngx_str_t *json)
{
    ngx_chat_cache_key_t     key;
    ngx_chat_cache_record_t  rec;

    if (cache == NULL) {
        return;
    }

    key = ngx_chat_cache_key(NGX_CHAT_CACHE_MESSAGE, &id, sizeof(uint64_t));

    ngx_memzero(&rec, sizeof(ngx_chat_cache_record_t));

    rec.user_id = sender_id;
    rec.recipient_id = recipient_id;

    ngx_chat_cache_put(cache, &key, &rec, NGX_CHAT_CACHE_MESSAGE_TTL, json);
}


/*
 * Scores have memory of their own, which nothing else can fill.  A new key
 * takes the place of the lowest score in its bucket, so that a flood of keys
 * that failed once does not make one forgotten that failed often.
 */

static ngx_chat_cache_score_t *
ngx_chat_cache_bucket(ngx_chat_cache_t *cache, ngx_str_t *key, u_char *digest)
{
    uint32_t    n;
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, cache->salt, sizeof(cache->salt));
    ngx_sha1_update(&sha1, key->data, key->len);
    ngx_sha1_final(digest, &sha1);

    ngx_memcpy(&n, digest, sizeof(uint32_t));

    return cache->scores + n % cache->score_buckets * NGX_CHAT_CACHE_WAYS;
}


static ngx_chat_cache_score_t *
ngx_chat_cache_score(ngx_chat_cache_score_t *bucket, u_char *digest)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CHAT_CACHE_WAYS; i++) {
        if (ngx_memcmp(bucket[i].key, digest, sizeof(bucket->key)) == 0) {
            return &bucket[i];
        }
    }

    return NULL;
}


static ngx_chat_cache_score_t *
ngx_chat_cache_score_new(ngx_chat_cache_score_t *bucket, u_char *digest,
    ngx_msec_t half)
{
    ngx_uint_t               i;
    ngx_chat_cache_score_t  *lowest;

    lowest = bucket;

    for (i = 1; i < NGX_CHAT_CACHE_WAYS; i++) {
        if (ngx_chat_cache_score_now(&bucket[i], half)
            < ngx_chat_cache_score_now(lowest, half))
        {
            lowest = &bucket[i];
        }
    }

    lowest->score = 0;
    ngx_memcpy(lowest->key, digest, sizeof(lowest->key));

    return lowest;
}


/* another worker's clock may be a moment ahead of this one's */

static ngx_msec_t
ngx_chat_cache_score_age(ngx_chat_cache_score_t *score)
{
    ngx_msec_int_t  age;

    age = (ngx_msec_int_t) (ngx_current_msec - score->last);

    return (age > 0) ? age : 0;
}


/* halves every "half" milliseconds, and goes straight in between */

static uint64_t
ngx_chat_cache_score_now(ngx_chat_cache_score_t *score, ngx_msec_t half)
{
    uint64_t    now;
    ngx_msec_t  age;

    age = ngx_chat_cache_score_age(score);

    if (age / half >= 32) {
        return 0;
    }

    now = score->score >> (age / half);

    return now - now * (age % half) / (2 * (uint64_t) half);
}


/* seconds until ngx_chat_cache_score_now() comes down to the limit */

static ngx_uint_t
ngx_chat_cache_score_wait(ngx_chat_cache_score_t *score, uint64_t limit,
    ngx_msec_t half)
{
    uint64_t  start, ms;

    if (ngx_chat_cache_score_now(score, half) <= limit) {
        return 0;
    }

    ms = 0;

    for (start = score->score; start / 2 > limit; start /= 2) {
        ms += half;
    }

    ms += ((start - limit) * 2 * half + start - 1) / start;
    ms -= ngx_chat_cache_score_age(score);

    return (ms + 999) / 1000;
}


ngx_uint_t
ngx_chat_cache_throttled(ngx_chat_cache_t *cache, ngx_str_t *key,
    ngx_uint_t burst, time_t half)
{
    u_char                   digest[20];
    ngx_uint_t               wait;
    ngx_chat_cache_score_t  *score, *bucket;

    if (cache == NULL) {
        return 0;
    }

    bucket = ngx_chat_cache_bucket(cache, key, digest);

    ngx_shmtx_lock(&cache->shpool->mutex);

    score = ngx_chat_cache_score(bucket, digest);

    wait = score ? ngx_chat_cache_score_wait(score,
                                   (uint64_t) burst * NGX_CHAT_CACHE_FAILURE,
                                   (ngx_msec_t) half * 1000)
                 : 0;

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return wait;
}


void
ngx_chat_cache_failed(ngx_chat_cache_t *cache, ngx_str_t *key, time_t half)
{
    u_char                   digest[20];
    uint64_t                 now;
    ngx_msec_t               ms;
    ngx_chat_cache_score_t  *score, *bucket;

    if (cache == NULL) {
        return;
    }

    ms = (ngx_msec_t) half * 1000;

    bucket = ngx_chat_cache_bucket(cache, key, digest);

    ngx_shmtx_lock(&cache->shpool->mutex);

    score = ngx_chat_cache_score(bucket, digest);

    if (score == NULL) {
        score = ngx_chat_cache_score_new(bucket, digest, ms);
    }

    now = ngx_chat_cache_score_now(score, ms) + NGX_CHAT_CACHE_FAILURE;

    score->score = ngx_min(now, NGX_CHAT_CACHE_SCORE_MAX);
    score->last = ngx_current_msec;

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


void
ngx_chat_cache_forgive(ngx_chat_cache_t *cache, ngx_str_t *key)
{
    u_char                   digest[20];
    ngx_chat_cache_score_t  *score, *bucket;

    if (cache == NULL) {
        return;
    }

    bucket = ngx_chat_cache_bucket(cache, key, digest);

    ngx_shmtx_lock(&cache->shpool->mutex);

    score = ngx_chat_cache_score(bucket, digest);

    if (score) {
        score->score = 0;
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


ngx_chat_metrics_zone_t *
ngx_chat_cache_metrics(ngx_chat_cache_t *cache)
{
    return cache ? cache->metrics : NULL;
}


ngx_chat_db_choice_t *
ngx_chat_cache_choice(ngx_chat_cache_t *cache)
{
    return cache ? &cache->choice : NULL;
}


ngx_chat_db_choice_t *
ngx_chat_cache_replica(ngx_chat_cache_t *cache)
{
    return cache ? &cache->replica : NULL;
}


ngx_chat_fresh_t *
ngx_chat_cache_fresh(ngx_chat_cache_t *cache)
{
    return cache ? cache->fresh : NULL;
}


ngx_chat_workers_t *
ngx_chat_cache_workers(ngx_chat_cache_t *cache)
{
    return cache ? cache->workers : NULL;
}
