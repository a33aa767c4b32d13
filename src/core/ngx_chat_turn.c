
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/core/ngx_chat_turn.h"


/*
 * A user with turns has an entry in a hash table.  An entry without turns is
 * kept for the next user.
 *
 *                take -----> TAKEN ----> RUNNING
 *                 |          ^   \          |
 *                 v          |    v         v
 *              WAITING --> READY  ASIDE <---+
 *
 * A turn may end in each state.
 *
 * TAKEN and READY turns count, RUNNING and ASIDE turns do not.  A RUNNING turn
 * that is set aside counts again if its user has too many ASIDE turns.  A
 * posted event calls the handlers of READY turns unless ngx_chat_turns_ready()
 * does, so that no handler runs while another turn ends.
 */


#define NGX_CHAT_TURNS_TAKEN  2           /* turns of a user at a time */
#define NGX_CHAT_TURNS_ASIDE  8           /* uncounted turns of a user */

#define NGX_CHAT_TURNS_SIZE   256         /* table size, a power of 2 */


struct ngx_chat_turns_user_s {
    ngx_queue_t                queue;     /* in the table or the free list */
    uint32_t                   id;
    ngx_uint_t                 taken;     /* including READY */
    ngx_uint_t                 running;
    ngx_uint_t                 aside;
    ngx_queue_t                waiting;   /* ngx_chat_turn_t */
    const void                *failed;    /* kind of the latest failure */
};


struct ngx_chat_turns_s {
    ngx_pool_t                *pool;      /* owned by the cycle */
    ngx_queue_t                free;
    ngx_queue_t                ready;     /* ngx_chat_turn_t */
    ngx_event_t                event;     /* posted for READY turns */
    ngx_queue_t                table[NGX_CHAT_TURNS_SIZE];
};


static ngx_chat_turns_user_t *ngx_chat_turns_user(ngx_chat_turns_t *turns,
    uint32_t id);
static void ngx_chat_turns_next(ngx_chat_turns_t *turns,
    ngx_chat_turns_user_t *user);
static void ngx_chat_turns_handler(ngx_event_t *ev);


ngx_chat_turns_t *
ngx_chat_turns_create(ngx_cycle_t *cycle)
{
    ngx_uint_t         i;
    ngx_chat_turns_t  *turns;

    turns = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_turns_t));
    if (turns == NULL) {
        return NULL;
    }

    turns->pool = cycle->pool;

    ngx_queue_init(&turns->free);
    ngx_queue_init(&turns->ready);

    for (i = 0; i < NGX_CHAT_TURNS_SIZE; i++) {
        ngx_queue_init(&turns->table[i]);
    }

    turns->event.handler = ngx_chat_turns_handler;
    turns->event.data = turns;
    turns->event.log = cycle->log;

    return turns;
}


ngx_int_t
ngx_chat_turn_take(ngx_chat_turns_t *turns, ngx_chat_turn_t *turn,
    uint32_t user_id)
{
    ngx_chat_turns_user_t  *user;

    user = ngx_chat_turns_user(turns, user_id);
    if (user == NULL) {
        return NGX_ERROR;
    }

    turn->turns = turns;
    turn->user = user;

    if (user->taken >= NGX_CHAT_TURNS_TAKEN) {
        turn->state = NGX_CHAT_TURN_WAITING;
        turn->since = ngx_current_msec;
        ngx_queue_insert_tail(&user->waiting, &turn->queue);

        return NGX_AGAIN;
    }

    turn->state = NGX_CHAT_TURN_TAKEN;
    user->taken++;

    return NGX_OK;
}


static ngx_chat_turns_user_t *
ngx_chat_turns_user(ngx_chat_turns_t *turns, uint32_t id)
{
    ngx_queue_t            *q, *list;
    ngx_chat_turns_user_t  *user;

    list = &turns->table[id & (NGX_CHAT_TURNS_SIZE - 1)];

    for (q = ngx_queue_head(list);
         q != ngx_queue_sentinel(list);
         q = ngx_queue_next(q))
    {
        user = ngx_queue_data(q, ngx_chat_turns_user_t, queue);

        if (user->id == id) {
            return user;
        }
    }

    if (ngx_queue_empty(&turns->free)) {
        user = ngx_pcalloc(turns->pool, sizeof(ngx_chat_turns_user_t));
        if (user == NULL) {
            return NULL;
        }

        ngx_queue_init(&user->waiting);

    } else {
        q = ngx_queue_head(&turns->free);
        ngx_queue_remove(q);

        user = ngx_queue_data(q, ngx_chat_turns_user_t, queue);
    }

    user->id = id;
    user->failed = NULL;

    ngx_queue_insert_tail(list, &user->queue);

    return user;
}


void
ngx_chat_turn_result(ngx_chat_turn_t *turn, const void *kind,
    ngx_uint_t failed)
{
    if (turn->state == NGX_CHAT_TURN_NONE) {
        return;
    }

    if (failed) {
        turn->user->failed = kind;

    } else if (turn->user->failed == kind) {
        turn->user->failed = NULL;
    }
}


ngx_uint_t
ngx_chat_turn_hopeless(ngx_chat_turn_t *turn, const void *kind,
    ngx_msec_t timeout)
{
    return turn->user->failed == kind
           && ngx_current_msec - turn->since >= timeout;
}


ngx_uint_t
ngx_chat_turn_waits(ngx_chat_turn_t *turn)
{
    return turn->state == NGX_CHAT_TURN_WAITING
           || turn->state == NGX_CHAT_TURN_READY;
}


void
ngx_chat_turn_run(ngx_chat_turn_t *turn)
{
    ngx_chat_turns_user_t  *user;

    if (turn->state != NGX_CHAT_TURN_TAKEN) {
        return;
    }

    user = turn->user;

    turn->state = NGX_CHAT_TURN_RUNNING;

    user->taken--;
    user->running++;

    ngx_chat_turns_next(turn->turns, user);
}


void
ngx_chat_turn_aside(ngx_chat_turn_t *turn)
{
    ngx_chat_turns_user_t  *user;

    user = turn->user;

    if (turn->state == NGX_CHAT_TURN_RUNNING) {
        turn->state = NGX_CHAT_TURN_TAKEN;

        user->running--;
        user->taken++;
    }

    if (turn->state != NGX_CHAT_TURN_TAKEN
        || user->aside == NGX_CHAT_TURNS_ASIDE)
    {
        return;
    }

    turn->state = NGX_CHAT_TURN_ASIDE;

    user->taken--;
    user->aside++;

    ngx_chat_turns_next(turn->turns, user);
}


void
ngx_chat_turn_end(ngx_chat_turn_t *turn)
{
    ngx_chat_turns_user_t  *user;

    user = turn->user;

    switch (turn->state) {

    case NGX_CHAT_TURN_NONE:
        return;

    case NGX_CHAT_TURN_WAITING:
        ngx_queue_remove(&turn->queue);
        break;

    case NGX_CHAT_TURN_READY:
        ngx_queue_remove(&turn->queue);
        user->taken--;
        break;

    case NGX_CHAT_TURN_TAKEN:
        user->taken--;
        break;

    case NGX_CHAT_TURN_RUNNING:
        user->running--;
        break;

    case NGX_CHAT_TURN_ASIDE:
        user->aside--;
        break;
    }

    turn->state = NGX_CHAT_TURN_NONE;

    ngx_chat_turns_next(turn->turns, user);
}


static void
ngx_chat_turns_next(ngx_chat_turns_t *turns, ngx_chat_turns_user_t *user)
{
    ngx_queue_t      *q;
    ngx_chat_turn_t  *turn;

    if (!ngx_queue_empty(&user->waiting)) {

        if (user->taken >= NGX_CHAT_TURNS_TAKEN) {
            return;
        }

        q = ngx_queue_head(&user->waiting);
        ngx_queue_remove(q);

        turn = ngx_queue_data(q, ngx_chat_turn_t, queue);
        turn->state = NGX_CHAT_TURN_READY;

        user->taken++;

        ngx_queue_insert_tail(&turns->ready, q);
        ngx_post_event(&turns->event, &ngx_posted_events);

        return;
    }

    if (user->taken == 0 && user->running == 0 && user->aside == 0) {
        ngx_queue_remove(&user->queue);
        ngx_queue_insert_head(&turns->free, &user->queue);
    }
}


static void
ngx_chat_turns_handler(ngx_event_t *ev)
{
    ngx_chat_turns_ready(ev->data);
}


void
ngx_chat_turns_ready(ngx_chat_turns_t *turns)
{
    ngx_queue_t      *q;
    ngx_chat_turn_t  *turn;

    while (!ngx_queue_empty(&turns->ready)) {
        q = ngx_queue_head(&turns->ready);
        ngx_queue_remove(q);

        turn = ngx_queue_data(q, ngx_chat_turn_t, queue);
        turn->state = NGX_CHAT_TURN_TAKEN;

        turn->handler(turn);
    }
}
