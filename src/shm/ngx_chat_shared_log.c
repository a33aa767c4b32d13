
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_shared_log.h"


/* parts of the free memory of the zone: 1/8 for records, 1/16 for bits */
#define NGX_CHAT_SHARED_LOG_SHARE  8
#define NGX_CHAT_READER_SHARE      16

/* bits of a reader */
#define NGX_CHAT_READER_MIN        128
#define NGX_CHAT_READER_MAX        65536

#define NGX_CHAT_READER_WORD       (8 * sizeof(ngx_atomic_t))


typedef struct {
    ngx_atomic_t                pid;          /* 0: no process */
    ngx_atomic_t                awake;        /* woken, has not read yet */
    ngx_atomic_t                cursor;       /* position of the next record */
} ngx_chat_reader_t;


/* a record in the ring; its text follows */

typedef struct {
    uint64_t                    message_id;
    uint32_t                    sender_id;
    uint32_t                    recipient_id;
    uint32_t                    kind;
    uint32_t                    len;          /* of the text */
} ngx_chat_shared_log_record_t;


/*
 * Positions are numbers of bytes since the start.  Bytes up to "reserved" may
 * have been written, records up to "head" are complete.
 */

struct ngx_chat_shared_log_s {
    ngx_slab_pool_t            *shpool;
    ngx_uint_t                  size;         /* of the ring */
    ngx_uint_t                  words;        /* of bits, per reader */
    ngx_atomic_t                used;         /* readers: the highest + 1 */
    ngx_atomic_t               *bits;
    u_char                     *ring;

    ngx_atomic_t                reserved;
    ngx_atomic_t                head;

    ngx_chat_reader_t           readers[NGX_CHAT_PROCESSES];
};


static size_t ngx_chat_shared_log_size(size_t len);
static void ngx_chat_shared_log_write(ngx_chat_shared_log_t *log,
    ngx_atomic_uint_t pos, void *data, size_t len);
static void ngx_chat_shared_log_read(ngx_chat_shared_log_t *log,
    ngx_atomic_uint_t pos, void *data, size_t len);


ngx_chat_shared_log_t *
ngx_chat_shared_log_create(ngx_slab_pool_t *shpool)
{
    size_t                  size;
    ngx_uint_t              n, bits;
    ngx_chat_shared_log_t  *log;

    size = shpool->pfree * ngx_pagesize;

    log = ngx_slab_calloc(shpool, sizeof(ngx_chat_shared_log_t));
    if (log == NULL) {
        return NULL;
    }

    bits = NGX_CHAT_READER_MIN;

    while (bits < NGX_CHAT_READER_MAX
           && 2 * bits / 8 * NGX_CHAT_PROCESSES <= size / NGX_CHAT_READER_SHARE)
    {
        bits *= 2;
    }

    /* a power of two: positions may overflow */

    n = 4096;

    while (2 * n <= size / NGX_CHAT_SHARED_LOG_SHARE) {
        n *= 2;
    }

    log->shpool = shpool;
    log->size = n;
    log->words = bits / NGX_CHAT_READER_WORD;

    log->bits = ngx_slab_calloc(shpool, NGX_CHAT_PROCESSES * bits / 8);
    log->ring = ngx_slab_alloc(shpool, n);

    return (log->bits && log->ring) ? log : NULL;
}


ngx_uint_t
ngx_chat_shared_log_bits(ngx_chat_shared_log_t *log)
{
    return log->words * NGX_CHAT_READER_WORD;
}


void
ngx_chat_shared_log_append(ngx_chat_shared_log_t *log,
    ngx_chat_record_t *record)
{
    ngx_atomic_uint_t             head, next;
    ngx_chat_shared_log_record_t  header;

    header.message_id = record->message_id;
    header.sender_id = record->sender_id;
    header.recipient_id = record->recipient_id;
    header.kind = record->kind;
    header.len = (record->text.len <= NGX_CHAT_RECORD_TEXT)
                 ? (uint32_t) record->text.len : 0;

    ngx_shmtx_lock(&log->shpool->mutex);

    head = log->head;
    next = head + ngx_chat_shared_log_size(header.len);

    log->reserved = next;

    ngx_memory_barrier();

    ngx_chat_shared_log_write(log, head, &header, sizeof(header));
    ngx_chat_shared_log_write(log, head + sizeof(header), record->text.data,
                              header.len);

    ngx_memory_barrier();

    log->head = next;

    ngx_shmtx_unlock(&log->shpool->mutex);
}


/* the size of a record; headers are aligned */

static size_t
ngx_chat_shared_log_size(size_t len)
{
    return sizeof(ngx_chat_shared_log_record_t)
           + ngx_align(len, sizeof(uint64_t));
}


static void
ngx_chat_shared_log_write(ngx_chat_shared_log_t *log, ngx_atomic_uint_t pos,
    void *data, size_t len)
{
    size_t  n;

    pos %= log->size;
    n = ngx_min(len, log->size - pos);

    ngx_memcpy(log->ring + pos, data, n);
    ngx_memcpy(log->ring, (u_char *) data + n, len - n);
}


static void
ngx_chat_shared_log_read(ngx_chat_shared_log_t *log, ngx_atomic_uint_t pos,
    void *data, size_t len)
{
    size_t  n;

    pos %= log->size;
    n = ngx_min(len, log->size - pos);

    ngx_memcpy(data, log->ring + pos, n);
    ngx_memcpy((u_char *) data + n, log->ring, len - n);
}


/*
 * The barrier is between the append and the test of bits.  A reader sets its
 * bit and then reads the head, so one of them sees the other.  A reader that is
 * half a ring behind is woken as well, for each user: otherwise its cursor
 * would be overrun while it waits.
 */

ngx_int_t
ngx_chat_shared_log_waiting(ngx_chat_shared_log_t *log,
    ngx_chat_record_t *record, ngx_int_t *slot)
{
    ngx_int_t           i;
    ngx_uint_t          bit[2], k, waits;
    ngx_atomic_t       *bits;
    ngx_chat_reader_t  *reader;

    ngx_memory_barrier();

    bit[0] = ngx_chat_reader_bit(log, record->sender_id);
    bit[1] = ngx_chat_reader_bit(log, record->recipient_id);

    for (i = *slot + 1; i < (ngx_int_t) log->used; i++) {
        reader = &log->readers[i];

        if (reader->pid == 0 || reader->awake) {
            continue;
        }

        bits = &log->bits[i * log->words];
        waits = log->head - reader->cursor >= log->size / 2;

        for (k = 0; k < 2; k++) {
            waits |= bits[bit[k] / NGX_CHAT_READER_WORD]
                     >> bit[k] % NGX_CHAT_READER_WORD & 1;
        }

        if (waits && ngx_atomic_cmp_set(&reader->awake, 0, 1)) {
            *slot = i;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_chat_shared_log_asleep(ngx_chat_shared_log_t *log, ngx_int_t slot)
{
    log->readers[slot].awake = 0;
}


static ngx_chat_reader_t *
ngx_chat_reader(ngx_chat_shared_log_t *log)
{
    return &log->readers[ngx_process_slot];
}


void
ngx_chat_reader_start(ngx_chat_shared_log_t *log)
{
    ngx_chat_reader_t  *reader;

    reader = ngx_chat_reader(log);

    /* a process that has crashed leaves its bits */

    ngx_memzero((void *) &log->bits[ngx_process_slot * log->words],
                log->words * sizeof(ngx_atomic_t));

    reader->cursor = log->head;
    reader->awake = 0;
    reader->pid = ngx_pid;

    ngx_shmtx_lock(&log->shpool->mutex);

    log->used = ngx_max(log->used, (ngx_atomic_uint_t) ngx_process_slot + 1);

    ngx_shmtx_unlock(&log->shpool->mutex);
}


void
ngx_chat_reader_end(ngx_chat_shared_log_t *log)
{
    ngx_chat_reader(log)->pid = 0;
}


void
ngx_chat_reader_skip(ngx_chat_shared_log_t *log)
{
    ngx_memory_barrier();

    ngx_chat_reader(log)->cursor = log->head;
}


ngx_uint_t
ngx_chat_reader_bit(ngx_chat_shared_log_t *log, uint32_t user_id)
{
    return ngx_murmur_hash2((u_char *) &user_id, sizeof(uint32_t))
           % (log->words * NGX_CHAT_READER_WORD);
}


void
ngx_chat_reader_set(ngx_chat_shared_log_t *log, ngx_uint_t bit)
{
    log->bits[ngx_process_slot * log->words + bit / NGX_CHAT_READER_WORD]
        |= (ngx_atomic_uint_t) 1 << bit % NGX_CHAT_READER_WORD;

    ngx_memory_barrier();
}


void
ngx_chat_reader_clear(ngx_chat_shared_log_t *log, ngx_uint_t bit)
{
    log->bits[ngx_process_slot * log->words + bit / NGX_CHAT_READER_WORD]
        &= ~((ngx_atomic_uint_t) 1 << bit % NGX_CHAT_READER_WORD);
}


void
ngx_chat_reader_awake(ngx_chat_shared_log_t *log)
{
    ngx_chat_reader(log)->awake = 0;

    ngx_memory_barrier();
}


ngx_int_t
ngx_chat_reader_get(ngx_chat_shared_log_t *log, ngx_chat_record_t *record)
{
    ngx_atomic_uint_t             cursor;
    ngx_chat_reader_t            *reader;
    ngx_chat_shared_log_record_t  header;

    reader = ngx_chat_reader(log);
    cursor = reader->cursor;

    if (cursor == log->head) {
        return NGX_DECLINED;
    }

    ngx_memory_barrier();

    ngx_chat_shared_log_read(log, cursor, &header, sizeof(header));

    /* it may be overwritten just now */

    record->text.len = ngx_min(header.len, NGX_CHAT_RECORD_TEXT);

    ngx_chat_shared_log_read(log, cursor + sizeof(header), record->text.data,
                             record->text.len);

    ngx_memory_barrier();

    if (log->reserved - cursor > log->size) {
        reader->cursor = log->head;
        return NGX_ABORT;
    }

    record->kind = header.kind;
    record->sender_id = header.sender_id;
    record->recipient_id = header.recipient_id;
    record->message_id = header.message_id;

    return NGX_OK;
}


void
ngx_chat_reader_next(ngx_chat_shared_log_t *log, ngx_chat_record_t *record)
{
    ngx_chat_reader(log)->cursor += ngx_chat_shared_log_size(record->text.len);
}
