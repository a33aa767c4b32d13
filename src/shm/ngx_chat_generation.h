
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_GENERATION_H_INCLUDED_
#define _NGX_CHAT_GENERATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Generations of workers.  The master process begins a generation when it has
 * read a configuration; workers of earlier generations exit soon.  Without
 * locks.  "generations" may be NULL in every call (no chat_zone).
 */


/*
 * Maximum number of processes at a time, including those of a reload.  Parts of
 * the zone are indexed by ngx_process_slot, which is less.
 */
#define NGX_CHAT_PROCESSES  256


typedef struct ngx_chat_generations_s  ngx_chat_generations_t;


/* returns NULL if the zone is too small */
ngx_chat_generations_t *ngx_chat_generation_create(ngx_slab_pool_t *shpool);

/*
 * Called by init module, with the number of workers; returns the number of the
 * new generation.
 */
ngx_uint_t ngx_chat_generation_new(ngx_chat_generations_t *generations,
    ngx_uint_t workers);

/*
 * A worker reports its start, the begin of its exit, and its end.  If it
 * crashes, it does not report anything.
 */
void ngx_chat_generation_start(ngx_chat_generations_t *generations,
    ngx_uint_t generation, ngx_uint_t workers);
void ngx_chat_generation_leave(ngx_chat_generations_t *generations);
void ngx_chat_generation_end(ngx_chat_generations_t *generations);

/*
 * Returns 1 if the latest generation has another number of workers than that of
 * this worker.
 */
ngx_uint_t ngx_chat_generation_resized(ngx_chat_generations_t *generations);

/*
 * Returns the number of processes with another zone that have not exited yet:
 * after a reload that has replaced the zone, and after a binary upgrade.
 */
ngx_uint_t ngx_chat_generation_strangers(ngx_chat_generations_t *generations);

/*
 * Returns the number of other workers of this worker's generation that have not
 * begun to exit at least "msec" milliseconds ago.
 */
ngx_uint_t ngx_chat_generation_staying(ngx_chat_generations_t *generations,
    ngx_msec_t msec);


#endif /* _NGX_CHAT_GENERATION_H_INCLUDED_ */
