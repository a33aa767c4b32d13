
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_FRESH_H_INCLUDED_
#define _NGX_CHAT_FRESH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Whether a replica may answer somebody.  It lies in the zone, common to the
 * workers.
 *
 * A position is what the database says of how far it has come; a replica that
 * has reached it has all that was committed before the question was asked.
 * Questions are numbered when they begin.  An event is what a person has just
 * done, or been told: the person's stamp is then the number of the next
 * question, which begins after it.  Once that has been answered, whoever has
 * reached the answer knows of the event.
 *
 * The latest answers are kept, for a replica is to have reached no more than it
 * must: the first of them that has the person's events.
 *
 * Stamps are hashed by person.  Two that share one ask the database a little
 * longer than they need.
 */


typedef struct ngx_chat_fresh_s  ngx_chat_fresh_t;


/* longest position, bytes: longer ones are not kept */
#define NGX_CHAT_FRESH_POSITION  1024


typedef struct {
    ngx_uint_t             number;
    ngx_msec_t             begun;
} ngx_chat_fresh_question_t;


/* what has been told of positions in the log */

typedef enum {
    NGX_CHAT_FRESH_KNOWN = 0,
    NGX_CHAT_FRESH_NONE,                      /* the database has none */
    NGX_CHAT_FRESH_TOO_LONG
} ngx_chat_fresh_e;


/* NULL: the zone is too small */
ngx_chat_fresh_t *ngx_chat_fresh_create(ngx_slab_pool_t *shpool);

void ngx_chat_fresh_event(ngx_chat_fresh_t *fresh, uint32_t user_id);

/*
 * NGX_OK: this question's answer has all of the person's events.  NGX_AGAIN:
 * one that begins now will.  NGX_DECLINED: there is no position, or no new one.
 */
ngx_int_t ngx_chat_fresh_covers(ngx_chat_fresh_t *fresh, uint32_t user_id,
    ngx_uint_t *number);

/* NGX_OK: the question that begins next; NGX_DECLINED: as above */
ngx_int_t ngx_chat_fresh_next(ngx_chat_fresh_t *fresh, ngx_uint_t *number);

/* NGX_OK: there is an answer to this question or a later one; NGX_AGAIN */
ngx_int_t ngx_chat_fresh_answered(ngx_chat_fresh_t *fresh, ngx_uint_t number);

/* NGX_DECLINED: somebody has asked less than "interval" milliseconds ago */
ngx_int_t ngx_chat_fresh_ask(ngx_chat_fresh_t *fresh, ngx_msec_t interval,
    ngx_chat_fresh_question_t *question);

/* its answer, of NGX_CHAT_FRESH_POSITION bytes at most; empty: there is none */
void ngx_chat_fresh_answer(ngx_chat_fresh_t *fresh,
    ngx_chat_fresh_question_t *question, ngx_str_t *position);

/*
 * The answer to this question, or to the next of which there is one, into
 * position->data, NGX_CHAT_FRESH_POSITION bytes; empty: there is none.  Returns
 * when that was asked, by ngx_current_msec.
 */
ngx_msec_t ngx_chat_fresh_position(ngx_chat_fresh_t *fresh, ngx_uint_t number,
    ngx_str_t *position);

/* NGX_OK: this is new, say it; NGX_DECLINED: it has been told */
ngx_int_t ngx_chat_fresh_tell(ngx_chat_fresh_t *fresh,
    ngx_chat_fresh_e what);


#endif /* _NGX_CHAT_FRESH_H_INCLUDED_ */
