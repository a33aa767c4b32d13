
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_TURN_H_INCLUDED_
#define _NGX_CHAT_TURN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/*
 * Turns of users, one ngx_chat_turns_t per worker.  A user has a limited number
 * of turns at a time; further ones wait, in order of arrival.  The requests of
 * a user therefore cannot fill the queue of the database, and none is rejected.
 */


typedef struct ngx_chat_turns_s       ngx_chat_turns_t;
typedef struct ngx_chat_turns_user_s  ngx_chat_turns_user_t;
typedef struct ngx_chat_turn_s        ngx_chat_turn_t;


typedef void (*ngx_chat_turn_handler_pt)(ngx_chat_turn_t *turn);


typedef enum {
    NGX_CHAT_TURN_NONE = 0,
    NGX_CHAT_TURN_WAITING,                /* for other turns of the user */
    NGX_CHAT_TURN_READY,                  /* the handler will be called */
    NGX_CHAT_TURN_TAKEN,
    NGX_CHAT_TURN_RUNNING,                /* in a packet of several jobs */
    NGX_CHAT_TURN_ASIDE
} ngx_chat_turn_e;


struct ngx_chat_turn_s {
    /* set by the owner, which zeroes the rest */
    ngx_chat_turn_handler_pt   handler;
    void                      *data;

    /* private */
    ngx_chat_turn_e            state;
    ngx_queue_t                queue;
    ngx_msec_t                 since;     /* start of waiting */
    ngx_chat_turns_t          *turns;
    ngx_chat_turns_user_t     *user;
};


/* returns NULL if there is no memory */
ngx_chat_turns_t *ngx_chat_turns_create(ngx_cycle_t *cycle);

/*
 * Returns NGX_OK if the turn is taken, NGX_AGAIN if the handler will be called
 * when it is, from the event loop, or NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_chat_turn_take(ngx_chat_turns_t *turns, ngx_chat_turn_t *turn,
    uint32_t user_id);

/* calls the handlers of the turns that are ready now */
void ngx_chat_turns_ready(ngx_chat_turns_t *turns);

/* returns 1 if the handler has not been called yet */
ngx_uint_t ngx_chat_turn_waits(ngx_chat_turn_t *turn);

/* a taken turn does not count any more */
void ngx_chat_turn_run(ngx_chat_turn_t *turn);

/* a taken or running turn does not count for now, within limits */
void ngx_chat_turn_aside(ngx_chat_turn_t *turn);

/* returns the turn, or stops waiting; does nothing without a turn */
void ngx_chat_turn_end(ngx_chat_turn_t *turn);

/*
 * Records whether the query of a turn, of some kind, has succeeded or the
 * database was unavailable.  After a failure, a turn for the same kind that has
 * waited for "timeout" milliseconds is hopeless.
 */
void ngx_chat_turn_result(ngx_chat_turn_t *turn, const void *kind,
    ngx_uint_t failed);
ngx_uint_t ngx_chat_turn_hopeless(ngx_chat_turn_t *turn, const void *kind,
    ngx_msec_t timeout);


#endif /* _NGX_CHAT_TURN_H_INCLUDED_ */
