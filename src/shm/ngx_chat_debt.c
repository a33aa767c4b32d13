
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/shm/ngx_chat_debt.h"
#include "src/shm/ngx_chat_generation.h"


struct ngx_chat_debt_s {
    ngx_atomic_t  left;                        /* by workers that exited */
    ngx_atomic_t  workers[NGX_CHAT_PROCESSES]; /* by ngx_process_slot */
};


ngx_chat_debt_t *
ngx_chat_debt_create(ngx_slab_pool_t *shpool)
{
    return ngx_slab_calloc(shpool, sizeof(ngx_chat_debt_t));
}


void
ngx_chat_debt_set(ngx_chat_debt_t *debt, ngx_uint_t owes)
{
    debt->workers[ngx_process_slot] = owes;
}


ngx_uint_t
ngx_chat_debt_get(ngx_chat_debt_t *debt)
{
    return debt->workers[ngx_process_slot];
}


void
ngx_chat_debt_leave(ngx_chat_debt_t *debt)
{
    if (debt->workers[ngx_process_slot]) {
        debt->left = 1;
        debt->workers[ngx_process_slot] = 0;
    }
}


ngx_uint_t
ngx_chat_debt_take(ngx_chat_debt_t *debt)
{
    return ngx_atomic_cmp_set(&debt->left, 1, 0);
}
