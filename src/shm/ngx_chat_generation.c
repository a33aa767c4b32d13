
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/shm/ngx_chat_generation.h"


/* a slot of nginx's table of processes, which has one process at a time */

typedef struct {
    ngx_pid_t                   pid;          /* 0: none */
    ngx_uint_t                  generation;
    ngx_uint_t                  workers;      /* of the generation */
    ngx_msec_t                  left;         /* when it began to exit; 0: not
                                                 yet */
} ngx_chat_generation_worker_t;


/* of which the exit is awaited; more are ignored */
#define NGX_CHAT_GENERATION_STRANGERS  64


struct ngx_chat_generations_s {
    ngx_atomic_t                  last;
    ngx_atomic_t                  workers;    /* of the last one */
    ngx_pid_t                     strangers[NGX_CHAT_GENERATION_STRANGERS];
    ngx_chat_generation_worker_t  slots[NGX_CHAT_PROCESSES];
};


static void ngx_chat_generation_first(ngx_chat_generations_t *generations);


ngx_chat_generations_t *
ngx_chat_generation_create(ngx_slab_pool_t *shpool)
{
    return ngx_slab_calloc(shpool, sizeof(ngx_chat_generations_t));
}


ngx_uint_t
ngx_chat_generation_new(ngx_chat_generations_t *generations,
    ngx_uint_t workers)
{
    if (generations == NULL) {
        return 0;
    }

    if (generations->last == 0) {
        ngx_chat_generation_first(generations);
    }

    generations->workers = workers;

    return ngx_atomic_fetch_add(&generations->last, 1) + 1;
}


/* the zone is new; the master process knows its workers, and its predecessor */

static void
ngx_chat_generation_first(ngx_chat_generations_t *generations)
{
    ngx_int_t   i;
    ngx_uint_t  n;

    n = 0;

    if (ngx_inherited) {
        generations->strangers[n++] = ngx_parent;
    }

    for (i = 0; i < ngx_last_process && n < NGX_CHAT_GENERATION_STRANGERS;
         i++)
    {
        if (ngx_processes[i].pid != -1) {
            generations->strangers[n++] = ngx_processes[i].pid;
        }
    }
}


void
ngx_chat_generation_start(ngx_chat_generations_t *generations,
    ngx_uint_t generation, ngx_uint_t workers)
{
    ngx_chat_generation_worker_t  *slot;

    if (generations) {
        slot = &generations->slots[ngx_process_slot];

        slot->generation = generation;
        slot->workers = workers;
        slot->left = 0;
        slot->pid = ngx_pid;
    }
}


void
ngx_chat_generation_leave(ngx_chat_generations_t *generations)
{
    if (generations) {
        generations->slots[ngx_process_slot].left = ngx_max(ngx_current_msec,
                                                            1);
    }
}


void
ngx_chat_generation_end(ngx_chat_generations_t *generations)
{
    if (generations) {
        generations->slots[ngx_process_slot].pid = 0;
    }
}


ngx_uint_t
ngx_chat_generation_resized(ngx_chat_generations_t *generations)
{
    return generations
           && generations->slots[ngx_process_slot].workers
              != generations->workers;
}


ngx_uint_t
ngx_chat_generation_strangers(ngx_chat_generations_t *generations)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_CHAT_GENERATION_STRANGERS; i++) {
        /* a master process belongs to another user */

        if (generations->strangers[i]
            && (kill(generations->strangers[i], 0) == 0
                || ngx_errno != NGX_ESRCH))
        {
            n++;
        }
    }

    return n;
}


ngx_uint_t
ngx_chat_generation_staying(ngx_chat_generations_t *generations,
    ngx_msec_t msec)
{
    ngx_uint_t                     i, n, generation;
    ngx_msec_t                     left;
    ngx_chat_generation_worker_t  *slot;

    if (generations == NULL) {
        return 0;
    }

    n = 0;
    generation = generations->slots[ngx_process_slot].generation;

    for (i = 0; i < NGX_CHAT_PROCESSES; i++) {
        slot = &generations->slots[i];

        if (slot->pid == 0 || slot->pid == ngx_pid
            || slot->generation != generation)
        {
            continue;
        }

        left = slot->left;

        if (left
            && (ngx_msec_int_t) (ngx_current_msec - left)
               >= (ngx_msec_int_t) msec)
        {
            continue;
        }

        /* a crashed worker has not reported its end */

        if (kill(slot->pid, 0) == 0) {
            n++;
        }
    }

    return n;
}
