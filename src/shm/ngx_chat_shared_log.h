
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SHARED_LOG_H_INCLUDED_
#define _NGX_CHAT_SHARED_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_generation.h"


/*
 * The shared log: what workers tell each other about committed messages.  It is
 * a ring of records in the zone.  Each worker is a reader with a cursor of its
 * own, so a record is never removed, only overwritten.
 *
 * Records are appended under the mutex of the zone, and become visible when
 * they are complete: a worker that dies in the middle of an append leaves no
 * trace.  Readers take no lock.  They copy a record, and then check that it has
 * not been overwritten meanwhile.
 *
 * Readers are indexed by ngx_process_slot.  They wait for records with hashed
 * user ids: a reader sets the bit of each user that has sockets in its process.
 * A sender wakes only readers with such a bit (src/shm/ngx_chat_wakeup.h).
 */


typedef struct ngx_chat_shared_log_s  ngx_chat_shared_log_t;


typedef enum {
    NGX_CHAT_RECORD_MESSAGE = 1,              /* a new message */
    NGX_CHAT_RECORD_EDITED,                   /* for events only, as the next */
    NGX_CHAT_RECORD_EVENT,
    NGX_CHAT_RECORD_TRANSIENT,                /* an event that may get lost */
    NGX_CHAT_RECORD_LOCAL                     /* as above, for this host only */
} ngx_chat_record_e;

/*
 * A record without a text has an event that was too long, or no location has
 * "chat_subscriber events".
 */

#define NGX_CHAT_RECORD_TEXT  1024

typedef struct {
    ngx_chat_record_e      kind;
    uint32_t               sender_id;         /* 0: only the recipient */
    uint32_t               recipient_id;
    uint64_t               message_id;        /* 0: none */
    ngx_str_t              text;              /* an event, JSON */
} ngx_chat_record_t;


/* returns NULL if the zone is too small */
ngx_chat_shared_log_t *ngx_chat_shared_log_create(ngx_slab_pool_t *shpool);

/* number of bits per reader, for ngx_chat_reader_bit() */
ngx_uint_t ngx_chat_shared_log_bits(ngx_chat_shared_log_t *log);

/*
 * Appends a record, without its text if that is longer than
 * NGX_CHAT_RECORD_TEXT.  The caller wakes readers afterwards, see
 * ngx_chat_shared_log_waiting().
 */
void ngx_chat_shared_log_append(ngx_chat_shared_log_t *log,
    ngx_chat_record_t *record);

/*
 * Returns the next reader after *slot whose process waits for the record, has
 * not been woken yet, and is marked as woken by this call, or NGX_DECLINED.
 * *slot is -1 in the first call.  ngx_chat_shared_log_asleep() marks a reader
 * that could not be woken.
 */
ngx_int_t ngx_chat_shared_log_waiting(ngx_chat_shared_log_t *log,
    ngx_chat_record_t *record, ngx_int_t *slot);
void ngx_chat_shared_log_asleep(ngx_chat_shared_log_t *log, ngx_int_t slot);


/*
 * A reader, used by its own process only.  "start" is called by init process:
 * the reader waits for nothing.  "end" is called when the process exits.
 */

void ngx_chat_reader_start(ngx_chat_shared_log_t *log);
void ngx_chat_reader_end(ngx_chat_shared_log_t *log);

/* moves the cursor to the end of the log */
void ngx_chat_reader_skip(ngx_chat_shared_log_t *log);

/* sets or clears the bit of a user; returns its index */
ngx_uint_t ngx_chat_reader_bit(ngx_chat_shared_log_t *log, uint32_t user_id);
void ngx_chat_reader_set(ngx_chat_shared_log_t *log, ngx_uint_t bit);
void ngx_chat_reader_clear(ngx_chat_shared_log_t *log, ngx_uint_t bit);

/* called before records are read: later records wake the reader again */
void ngx_chat_reader_awake(ngx_chat_shared_log_t *log);

/*
 * Copies the record at the cursor, and returns NGX_OK, or NGX_DECLINED if there
 * is none.  The caller has set record->text.data to a buffer of
 * NGX_CHAT_RECORD_TEXT bytes.  NGX_ABORT means that records were overwritten
 * before they were read; the cursor is then at the end of the log.
 */
ngx_int_t ngx_chat_reader_get(ngx_chat_shared_log_t *log,
    ngx_chat_record_t *record);

/* moves the cursor behind this record */
void ngx_chat_reader_next(ngx_chat_shared_log_t *log,
    ngx_chat_record_t *record);


#endif /* _NGX_CHAT_SHARED_LOG_H_INCLUDED_ */
