
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_cache.h"
#include "src/core/ngx_chat_string.h"


/*
 * The cache consists of a log, in which records are written one after another,
 * round and round, and of slots, a hash table with the positions of records.
 *
 * A position only grows; modulo the size of the log it is an offset.  The last
 * "log_size" bytes before "head" are valid.  Overwritten records therefore
 * become invalid by themselves, and nothing is freed.  Records in use do not
 * need to be kept: sessions and users are stored again when they expire, and
 * messages are read soon after they are sent.
 *
 * The log replaces a tree, a queue and nodes of the slab allocator.  Records
 * differ in size, and the log does not become fragmented.  A worker may be
 * killed at any point: a record is reachable only when it is complete, and a
 * slot is valid only if the key of its record matches.
 */


#define NGX_CHAT_CACHE_WAYS         8         /* slots of a bucket */
#define NGX_CHAT_CACHE_RECORD_SIZE  128       /* average, bytes */

#define NGX_CHAT_CACHE_KEY_MAX      NGX_CHAT_NAME_SIZE
#define NGX_CHAT_CACHE_TEXT_MAX     16384

/* a user may be renamed or deactivated */
#define NGX_CHAT_CACHE_USER_TTL     10000     /* ms */

/* messages may be deleted in the database, by "chatctl" */
#define NGX_CHAT_CACHE_MESSAGE_TTL  600000    /* ms */

/* a changed message prevents one of so many from being stored for some time */
#define NGX_CHAT_CACHE_CHANGES      1024


typedef enum {
    NGX_CHAT_CACHE_SESSION = 1,
    NGX_CHAT_CACHE_USER,
    NGX_CHAT_CACHE_USER_LIST,
    NGX_CHAT_CACHE_MESSAGE
} ngx_chat_cache_kind_e;


typedef struct {
    ngx_msec_t                  since;        /* ngx_current_msec */
    ngx_msec_t                  until;
    time_t                      expires;      /* session */
    ngx_uint_t                  revision;     /* session: at which it was
                                                 valid */
    uint32_t                    user_id;      /* message: sender */
    uint32_t                    recipient_id; /* user: profile */
    u_short                     key_len;
    u_short                     text_len;
    u_char                      kind;
    unsigned                    admin:1;
    unsigned                    active:1;
    /* followed by the key and the text: a name, or JSON */
} ngx_chat_cache_record_t;


/* a record outside of the zone */

typedef struct {
    ngx_chat_cache_kind_e       kind;
    uint32_t                    hash;
    ngx_str_t                   key;
    ngx_chat_cache_record_t     record;
    ngx_str_t                   text;
    ngx_msec_t                 *changed;      /* the item is not stored until
                                                 this time; NULL: none */
} ngx_chat_cache_item_t;


typedef struct {
    uint64_t                    position;
    uint32_t                    hash;
} ngx_chat_cache_slot_t;


struct ngx_chat_cache_s {
    ngx_slab_pool_t            *shpool;       /* its mutex protects the cache */
    ngx_chat_revocations_t     *revocations;

    ngx_chat_cache_slot_t      *slots;
    ngx_uint_t                  buckets;

    ngx_msec_t                 *changes;      /* ngx_current_msec, by message
                                                 id */

    u_char                     *log;
    size_t                      log_size;     /* bytes */
    uint64_t                    head;         /* position of the next record */
};


/* returns 1 if the record may be returned; called with the mutex locked */
typedef ngx_uint_t (*ngx_chat_cache_check_pt)(ngx_chat_cache_t *cache,
    ngx_chat_cache_record_t *rec, ngx_chat_cache_item_t *item);


static void ngx_chat_cache_item(ngx_chat_cache_item_t *item,
    ngx_chat_cache_kind_e kind, void *key, size_t len);
static ngx_int_t ngx_chat_cache_get(ngx_chat_cache_t *cache,
    ngx_chat_cache_item_t *item, ngx_chat_cache_check_pt check,
    ngx_pool_t *pool);
static void ngx_chat_cache_put(ngx_chat_cache_t *cache,
    ngx_chat_cache_item_t *item, ngx_msec_t ttl);
static ngx_chat_cache_record_t *ngx_chat_cache_find(ngx_chat_cache_t *cache,
    ngx_chat_cache_item_t *item);
static ngx_chat_cache_record_t *ngx_chat_cache_record(ngx_chat_cache_t *cache,
    ngx_chat_cache_slot_t *slot, ngx_chat_cache_item_t *item);

static ngx_uint_t ngx_chat_cache_session_check(ngx_chat_cache_t *cache,
    ngx_chat_cache_record_t *rec, ngx_chat_cache_item_t *item);
static ngx_uint_t ngx_chat_cache_message_check(ngx_chat_cache_t *cache,
    ngx_chat_cache_record_t *rec, ngx_chat_cache_item_t *item);
static void ngx_chat_cache_get_user(ngx_chat_cache_item_t *item,
    ngx_chat_user_t *user);
static void ngx_chat_cache_set_user(ngx_chat_cache_item_t *item,
    ngx_chat_user_t *user);


ngx_chat_cache_t *
ngx_chat_cache_create(ngx_slab_pool_t *shpool,
    ngx_chat_revocations_t *revocations)
{
    ngx_uint_t         n;
    ngx_chat_cache_t  *cache;

    cache = ngx_slab_calloc(shpool, sizeof(ngx_chat_cache_t));
    if (cache == NULL) {
        return NULL;
    }

    cache->changes = ngx_slab_calloc(shpool, NGX_CHAT_CACHE_CHANGES
                                             * sizeof(ngx_msec_t));
    if (cache->changes == NULL) {
        return NULL;
    }

    n = shpool->pfree * ngx_pagesize
        / (NGX_CHAT_CACHE_WAYS * (NGX_CHAT_CACHE_RECORD_SIZE
                                  + sizeof(ngx_chat_cache_slot_t)));

    cache->shpool = shpool;
    cache->revocations = revocations;
    cache->buckets = n;
    cache->slots = ngx_slab_calloc(shpool, n * NGX_CHAT_CACHE_WAYS
                                           * sizeof(ngx_chat_cache_slot_t));
    if (cache->slots == NULL) {
        return NULL;
    }

    cache->log_size = shpool->pfree * ngx_pagesize;
    cache->log = ngx_slab_alloc(shpool, cache->log_size);
    if (cache->log == NULL) {
        return NULL;
    }

    /* makes position 0, which is that of empty slots, invalid */

    cache->head = 2 * (uint64_t) cache->log_size;

    return cache;
}


static void
ngx_chat_cache_item(ngx_chat_cache_item_t *item, ngx_chat_cache_kind_e kind,
    void *key, size_t len)
{
    item->kind = kind;
    item->hash = ngx_murmur_hash2(key, len) + kind;
    item->key.len = len;
    item->key.data = key;

    ngx_memzero(&item->record, sizeof(ngx_chat_cache_record_t));
    ngx_str_null(&item->text);
    item->changed = NULL;
}


/* copies the record with the key of the item, and its text to the pool */

static ngx_int_t
ngx_chat_cache_get(ngx_chat_cache_t *cache, ngx_chat_cache_item_t *item,
    ngx_chat_cache_check_pt check, ngx_pool_t *pool)
{
    ngx_int_t                 rc;
    ngx_chat_cache_record_t  *rec;

    if (cache == NULL || item->key.len > NGX_CHAT_CACHE_KEY_MAX) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;

    ngx_shmtx_lock(&cache->shpool->mutex);

    rec = ngx_chat_cache_find(cache, item);

    if (rec && (check == NULL || check(cache, rec, item))) {

        item->record = *rec;
        item->text.len = rec->text_len;
        item->text.data = ngx_pnalloc(pool, rec->text_len);

        if (item->text.data == NULL) {
            rc = NGX_ERROR;

        } else {
            ngx_memcpy(item->text.data, (u_char *) (rec + 1) + rec->key_len,
                       rec->text_len);
            rc = NGX_OK;
        }
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);

    return rc;
}


/* completes the record of an item and writes it with its key and text */

static void
ngx_chat_cache_put(ngx_chat_cache_t *cache, ngx_chat_cache_item_t *item,
    ngx_msec_t ttl)
{
    u_char                   *p;
    size_t                    size, left;
    uint64_t                  position;
    ngx_uint_t                i;
    ngx_chat_cache_slot_t    *slot, *oldest;
    ngx_chat_cache_record_t  *rec;

    if (cache == NULL) {
        return;
    }

    size = sizeof(ngx_chat_cache_record_t) + item->key.len + item->text.len;
    size = ngx_align(size, sizeof(uint64_t));

    if (item->key.len > NGX_CHAT_CACHE_KEY_MAX
        || item->text.len > NGX_CHAT_CACHE_TEXT_MAX
        || size > cache->log_size)
    {
        return;
    }

    rec = &item->record;

    rec->since = ngx_current_msec;
    rec->until = rec->since + ttl;
    rec->kind = (u_char) item->kind;
    rec->key_len = (u_short) item->key.len;
    rec->text_len = (u_short) item->text.len;

    ngx_shmtx_lock(&cache->shpool->mutex);

    if (item->changed
        && (ngx_msec_int_t) (*item->changed - ngx_current_msec) > 0)
    {
        ngx_shmtx_unlock(&cache->shpool->mutex);
        return;
    }

    position = cache->head;

    left = cache->log_size - position % cache->log_size;
    if (left < size) {
        position += left;
    }

    /* records are invalid before they are overwritten */

    cache->head = position + size;

    ngx_memory_barrier();

    p = cache->log + position % cache->log_size;
    p = ngx_cpymem(p, rec, sizeof(ngx_chat_cache_record_t));
    p = ngx_cpymem(p, item->key.data, item->key.len);
    ngx_memcpy(p, item->text.data, item->text.len);

    ngx_memory_barrier();

    slot = cache->slots
           + item->hash % cache->buckets * NGX_CHAT_CACHE_WAYS;

    oldest = slot;

    for (i = 0; i < NGX_CHAT_CACHE_WAYS; i++) {

        if (ngx_chat_cache_record(cache, &slot[i], item)) {
            oldest = &slot[i];
            break;
        }

        if (slot[i].position < oldest->position) {
            oldest = &slot[i];
        }
    }

    oldest->hash = item->hash;
    oldest->position = position;

    ngx_shmtx_unlock(&cache->shpool->mutex);
}


static ngx_chat_cache_record_t *
ngx_chat_cache_find(ngx_chat_cache_t *cache, ngx_chat_cache_item_t *item)
{
    ngx_uint_t                i;
    ngx_chat_cache_slot_t    *slot;
    ngx_chat_cache_record_t  *rec;

    slot = cache->slots
           + item->hash % cache->buckets * NGX_CHAT_CACHE_WAYS;

    for (i = 0; i < NGX_CHAT_CACHE_WAYS; i++) {

        rec = ngx_chat_cache_record(cache, &slot[i], item);

        if (rec) {
            return ((ngx_msec_int_t) (rec->until - ngx_current_msec) > 0)
                   ? rec : NULL;
        }
    }

    return NULL;
}


/* returns the record of a slot if it has the key of the item, or NULL */

static ngx_chat_cache_record_t *
ngx_chat_cache_record(ngx_chat_cache_t *cache, ngx_chat_cache_slot_t *slot,
    ngx_chat_cache_item_t *item)
{
    ngx_chat_cache_record_t  *rec;

    if (slot->hash != item->hash
        || cache->head - slot->position > cache->log_size)
    {
        return NULL;
    }

    rec = (ngx_chat_cache_record_t *)
              (cache->log + slot->position % cache->log_size);

    if (rec->kind != item->kind
        || rec->key_len != item->key.len
        || ngx_memcmp((u_char *) (rec + 1), item->key.data, item->key.len)
           != 0)
    {
        return NULL;
    }

    return rec;
}


/*
 * A session that is read is compared only with revocations since the last time
 * it was read.
 */

static ngx_uint_t
ngx_chat_cache_session_check(ngx_chat_cache_t *cache,
    ngx_chat_cache_record_t *rec, ngx_chat_cache_item_t *item)
{
    if ((ngx_msec_int_t) (ngx_current_msec - rec->since)
        >= (ngx_msec_int_t) item->record.since
        || rec->expires <= ngx_time()
        || ngx_chat_revocation_ended(cache->revocations, rec->revision,
                                     rec->user_id, item->key.data))
    {
        return 0;
    }

    rec->revision = ngx_chat_revocation_revision(cache->revocations);

    return 1;
}


static void
ngx_chat_cache_get_user(ngx_chat_cache_item_t *item, ngx_chat_user_t *user)
{
    ngx_memzero(user, sizeof(ngx_chat_user_t));

    user->id = item->record.user_id;
    user->admin = item->record.admin;
    user->active = item->record.active;
    user->profile = item->record.recipient_id;
    user->name = item->text;
}


static void
ngx_chat_cache_set_user(ngx_chat_cache_item_t *item, ngx_chat_user_t *user)
{
    item->record.user_id = user->id;
    item->record.admin = user->admin;
    item->record.active = user->active;
    item->record.recipient_id = user->profile;
    item->text = user->name;
}


ngx_int_t
ngx_chat_cache_session_get(ngx_chat_cache_t *cache, u_char *hash,
    ngx_msec_t age, ngx_pool_t *pool, ngx_chat_user_t *user, time_t *expires)
{
    ngx_int_t              rc;
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_SESSION, hash,
                        NGX_CHAT_HASH_LEN);

    item.record.since = age;

    rc = ngx_chat_cache_get(cache, &item, ngx_chat_cache_session_check, pool);

    if (rc == NGX_OK) {
        *expires = item.record.expires;
        ngx_chat_cache_get_user(&item, user);
    }

    return rc;
}


void
ngx_chat_cache_session_put(ngx_chat_cache_t *cache, u_char *hash,
    ngx_chat_user_t *user, time_t expires, ngx_msec_t ttl, ngx_uint_t revision)
{
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_SESSION, hash,
                        NGX_CHAT_HASH_LEN);
    ngx_chat_cache_set_user(&item, user);

    item.record.expires = expires;
    item.record.revision = revision;

    ngx_chat_cache_put(cache, &item, ttl);
}


ngx_int_t
ngx_chat_cache_user_get(ngx_chat_cache_t *cache, ngx_str_t *name,
    ngx_pool_t *pool, ngx_chat_user_t *user)
{
    ngx_int_t              rc;
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_USER, name->data, name->len);

    rc = ngx_chat_cache_get(cache, &item, NULL, pool);

    if (rc == NGX_OK) {
        ngx_chat_cache_get_user(&item, user);
    }

    return rc;
}


void
ngx_chat_cache_user_put(ngx_chat_cache_t *cache, ngx_str_t *name,
    ngx_chat_user_t *user)
{
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_USER, name->data, name->len);
    ngx_chat_cache_set_user(&item, user);

    ngx_chat_cache_put(cache, &item, NGX_CHAT_CACHE_USER_TTL);
}


ngx_int_t
ngx_chat_cache_user_list_get(ngx_chat_cache_t *cache, ngx_pool_t *pool,
    ngx_str_t *json)
{
    ngx_int_t              rc;
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_USER_LIST, "", 0);

    rc = ngx_chat_cache_get(cache, &item, NULL, pool);

    if (rc == NGX_OK) {
        *json = item.text;
    }

    return rc;
}


void
ngx_chat_cache_user_list_put(ngx_chat_cache_t *cache, ngx_str_t *json,
    ngx_msec_t ttl)
{
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_USER_LIST, "", 0);

    item.text = *json;

    ngx_chat_cache_put(cache, &item, ttl);
}


static ngx_uint_t
ngx_chat_cache_message_check(ngx_chat_cache_t *cache,
    ngx_chat_cache_record_t *rec, ngx_chat_cache_item_t *item)
{
    return rec->user_id == item->record.user_id
           || rec->recipient_id == item->record.user_id;
}


ngx_int_t
ngx_chat_cache_message_get(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t reader_id, ngx_pool_t *pool, ngx_str_t *json)
{
    ngx_int_t              rc;
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_MESSAGE, &id, sizeof(uint64_t));

    item.record.user_id = reader_id;

    rc = ngx_chat_cache_get(cache, &item, ngx_chat_cache_message_check, pool);

    if (rc == NGX_OK) {
        *json = item.text;
    }

    return rc;
}


void
ngx_chat_cache_message_put(ngx_chat_cache_t *cache, uint64_t id,
    uint32_t sender_id, uint32_t recipient_id, ngx_str_t *json)
{
    ngx_chat_cache_item_t  item;

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_MESSAGE, &id, sizeof(uint64_t));

    if (cache == NULL) {
        return;
    }

    item.record.user_id = sender_id;
    item.record.recipient_id = recipient_id;
    item.text = *json;
    item.changed = &cache->changes[id % NGX_CHAT_CACHE_CHANGES];

    ngx_chat_cache_put(cache, &item, NGX_CHAT_CACHE_MESSAGE_TTL);
}


void
ngx_chat_cache_message_changed(ngx_chat_cache_t *cache, uint64_t id,
    ngx_msec_t time)
{
    ngx_msec_t                until, *changed;
    ngx_chat_cache_item_t     item;
    ngx_chat_cache_record_t  *rec;

    if (cache == NULL) {
        return;
    }

    ngx_chat_cache_item(&item, NGX_CHAT_CACHE_MESSAGE, &id, sizeof(uint64_t));

    until = ngx_current_msec + time;
    changed = &cache->changes[id % NGX_CHAT_CACHE_CHANGES];

    ngx_shmtx_lock(&cache->shpool->mutex);

    if ((ngx_msec_int_t) (until - *changed) > 0) {
        *changed = until;
    }

    rec = ngx_chat_cache_find(cache, &item);

    if (rec) {
        rec->until = ngx_current_msec;
    }

    ngx_shmtx_unlock(&cache->shpool->mutex);
}
