
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_chat_fresh.h"


/* stamps: bytes of the zone for each, and most of all */
#define NGX_CHAT_FRESH_SHARE   (32 * sizeof(ngx_atomic_t))
#define NGX_CHAT_FRESH_STAMPS  4096

/* answers that are kept, and for how long, ms: nobody is shown what is older */
#define NGX_CHAT_FRESH_ANSWERS  8
#define NGX_CHAT_FRESH_AGE      3000


typedef struct {
    ngx_atomic_t                number;       /* of the question; 0: none */
    ngx_msec_t                  begun;
    size_t                      len;
    u_char                      text[NGX_CHAT_FRESH_POSITION];
} ngx_chat_fresh_answer_t;


struct ngx_chat_fresh_s {
    ngx_slab_pool_t            *shpool;       /* its mutex guards answers */

    ngx_atomic_t                asked;        /* number of the last question */
    ngx_atomic_t                asked_at;     /* ngx_current_msec */
    ngx_atomic_t                told;         /* ngx_chat_fresh_e */

    ngx_uint_t                  latest;       /* number, of those answered */
    ngx_uint_t                  none;         /* it was: there is none */
    ngx_chat_fresh_answer_t     answers[NGX_CHAT_FRESH_ANSWERS];

    ngx_atomic_t               *stamps;       /* numbers of questions */
    ngx_uint_t                  nstamps;
};


static ngx_atomic_t *ngx_chat_fresh_stamp(ngx_chat_fresh_t *fresh,
    uint32_t user_id);
static ngx_chat_fresh_answer_t *ngx_chat_fresh_first(ngx_chat_fresh_t *fresh,
    ngx_uint_t number);


ngx_chat_fresh_t *
ngx_chat_fresh_create(ngx_slab_pool_t *shpool)
{
    ngx_uint_t         n;
    ngx_chat_fresh_t  *fresh;

    n = shpool->pfree * ngx_pagesize / NGX_CHAT_FRESH_SHARE;
    n = ngx_min(n, NGX_CHAT_FRESH_STAMPS);

    fresh = ngx_slab_calloc(shpool, sizeof(ngx_chat_fresh_t));
    if (fresh == NULL) {
        return NULL;
    }

    fresh->shpool = shpool;
    fresh->nstamps = n;
    fresh->stamps = ngx_slab_calloc(shpool, n * sizeof(ngx_atomic_t));

    return fresh->stamps ? fresh : NULL;
}


static ngx_atomic_t *
ngx_chat_fresh_stamp(ngx_chat_fresh_t *fresh, uint32_t user_id)
{
    uint32_t  hash;

    hash = ngx_murmur_hash2((u_char *) &user_id, sizeof(uint32_t));

    return &fresh->stamps[hash % fresh->nstamps];
}


void
ngx_chat_fresh_event(ngx_chat_fresh_t *fresh, uint32_t user_id)
{
    ngx_atomic_t       *stamp;
    ngx_atomic_uint_t   next, old;

    stamp = ngx_chat_fresh_stamp(fresh, user_id);
    next = fresh->asked + 1;

    /* never backwards: another process may be ahead of us */

    do {
        old = *stamp;

        if (old >= next) {
            return;
        }

    } while (!ngx_atomic_cmp_set(stamp, old, next));
}


ngx_int_t
ngx_chat_fresh_covers(ngx_chat_fresh_t *fresh, uint32_t user_id,
    ngx_uint_t *number)
{
    ngx_int_t                 rc;
    ngx_chat_fresh_answer_t  *first;

    ngx_shmtx_lock(&fresh->shpool->mutex);

    first = ngx_chat_fresh_first(fresh, 0);

    if (first == NULL || fresh->none) {
        rc = NGX_DECLINED;

    } else {
        rc = NGX_AGAIN;
        first = ngx_chat_fresh_first(fresh,
                                     *ngx_chat_fresh_stamp(fresh, user_id));

        if (first) {
            rc = NGX_OK;
            *number = first->number;
        }
    }

    ngx_shmtx_unlock(&fresh->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_chat_fresh_next(ngx_chat_fresh_t *fresh, ngx_uint_t *number)
{
    ngx_int_t  rc;

    ngx_shmtx_lock(&fresh->shpool->mutex);

    rc = (fresh->none || ngx_chat_fresh_first(fresh, 0) == NULL)
         ? NGX_DECLINED : NGX_OK;

    ngx_shmtx_unlock(&fresh->shpool->mutex);

    *number = fresh->asked + 1;

    return rc;
}


ngx_int_t
ngx_chat_fresh_answered(ngx_chat_fresh_t *fresh, ngx_uint_t number)
{
    ngx_int_t  rc;

    ngx_shmtx_lock(&fresh->shpool->mutex);

    rc = ngx_chat_fresh_first(fresh, number) ? NGX_OK : NGX_AGAIN;

    ngx_shmtx_unlock(&fresh->shpool->mutex);

    return rc;
}


/* of the answers that are not too old, that to this question or the next */

static ngx_chat_fresh_answer_t *
ngx_chat_fresh_first(ngx_chat_fresh_t *fresh, ngx_uint_t number)
{
    ngx_uint_t                i;
    ngx_chat_fresh_answer_t  *answer, *first;

    first = NULL;

    for (i = 0; i < NGX_CHAT_FRESH_ANSWERS; i++) {
        answer = &fresh->answers[i];

        if (answer->number == 0
            || answer->number < number
            || (first && answer->number > first->number)
            || (ngx_msec_int_t) (ngx_current_msec - answer->begun)
               >= NGX_CHAT_FRESH_AGE)
        {
            continue;
        }

        first = answer;
    }

    return first;
}


ngx_int_t
ngx_chat_fresh_ask(ngx_chat_fresh_t *fresh, ngx_msec_t interval,
    ngx_chat_fresh_question_t *question)
{
    ngx_atomic_uint_t  last;

    last = fresh->asked_at;

    if (interval == 0) {
        fresh->asked_at = ngx_current_msec;

    } else if ((last && (ngx_msec_int_t) (ngx_current_msec - last)
                        < (ngx_msec_int_t) interval)
               || !ngx_atomic_cmp_set(&fresh->asked_at, last,
                                      ngx_current_msec))
    {
        return NGX_DECLINED;
    }

    question->begun = ngx_current_msec;
    question->number = ngx_atomic_fetch_add(&fresh->asked, 1) + 1;

    return NGX_OK;
}


/*
 * Answers may come in another order than the questions went.  A process that
 * dies in here leaves an answer that nobody takes for one.
 */

void
ngx_chat_fresh_answer(ngx_chat_fresh_t *fresh,
    ngx_chat_fresh_question_t *question, ngx_str_t *position)
{
    ngx_chat_fresh_answer_t  *answer;

    ngx_shmtx_lock(&fresh->shpool->mutex);

    answer = &fresh->answers[question->number % NGX_CHAT_FRESH_ANSWERS];

    if (question->number > fresh->latest) {
        fresh->latest = question->number;
        fresh->none = (position->len == 0);
    }

    if (question->number > answer->number && position->len) {

        answer->number = 0;

        ngx_memory_barrier();

        answer->begun = question->begun;
        answer->len = position->len;
        ngx_memcpy(answer->text, position->data, position->len);

        ngx_memory_barrier();

        answer->number = question->number;
    }

    ngx_shmtx_unlock(&fresh->shpool->mutex);
}


ngx_msec_t
ngx_chat_fresh_position(ngx_chat_fresh_t *fresh, ngx_uint_t number,
    ngx_str_t *position)
{
    ngx_msec_t                begun;
    ngx_chat_fresh_answer_t  *answer;

    ngx_shmtx_lock(&fresh->shpool->mutex);

    answer = ngx_chat_fresh_first(fresh, number);

    if (answer) {
        begun = answer->begun;
        position->len = answer->len;
        ngx_memcpy(position->data, answer->text, answer->len);

    } else {
        begun = ngx_current_msec;
        position->len = 0;
    }

    ngx_shmtx_unlock(&fresh->shpool->mutex);

    return begun;
}


ngx_int_t
ngx_chat_fresh_tell(ngx_chat_fresh_t *fresh, ngx_chat_fresh_e what)
{
    ngx_atomic_uint_t  old;

    old = fresh->told;

    return (old != (ngx_atomic_uint_t) what
            && ngx_atomic_cmp_set(&fresh->told, old, what))
           ? NGX_OK : NGX_DECLINED;
}
