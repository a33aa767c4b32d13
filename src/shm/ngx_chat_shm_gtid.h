
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SHM_GTID_H_INCLUDED_
#define _NGX_CHAT_SHM_GTID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * GTID positions of the primary, and last events of users, in shared memory.
 *
 * A position query returns the position of the primary.  A replica that has
 * reached it has all that was committed before the query began.  Queries are
 * numbered when they begin.  An event of a user is a write, or data that the
 * user has received.  The last event is stored as the number of the next query,
 * which begins after the event.  The result of that query, and later ones,
 * include the event.
 *
 * The latest positions are kept, since a replica should not have to reach more
 * than necessary: the first position that includes the last event of the user.
 *
 * Last events are hashed by user.  If two users share one, reads of both may go
 * to the primary a little longer than necessary.
 */


typedef struct ngx_chat_gtid_s  ngx_chat_gtid_t;


/* maximum length of a position, bytes */
#define NGX_CHAT_GTID_POSITION  1024


typedef struct {
    ngx_uint_t             number;
    ngx_msec_t             begun;             /* ngx_current_msec */
} ngx_chat_gtid_query_t;


/* state of positions that was logged last */

typedef enum {
    NGX_CHAT_GTID_KNOWN = 0,
    NGX_CHAT_GTID_NONE,                      /* the primary has none */
    NGX_CHAT_GTID_TOO_LONG
} ngx_chat_gtid_e;


/* returns NULL if the zone is too small */
ngx_chat_gtid_t *ngx_chat_gtid_create(ngx_slab_pool_t *shpool);

/* records an event of a user */
void ngx_chat_gtid_write(ngx_chat_gtid_t *gtid, uint32_t user_id);

/*
 * Returns NGX_OK and the number of a query that includes the last event of the
 * user, NGX_AGAIN if a query that begins now would, or NGX_DECLINED if there is
 * no recent position.
 */
ngx_int_t ngx_chat_gtid_covers(ngx_chat_gtid_t *gtid, uint32_t user_id,
    ngx_uint_t *number);

/* returns NGX_OK and the number of the next query, or NGX_DECLINED as above */
ngx_int_t ngx_chat_gtid_next(ngx_chat_gtid_t *gtid, ngx_uint_t *number);

/* returns NGX_OK if this query or a later one has ended, or NGX_AGAIN */
ngx_int_t ngx_chat_gtid_query_ended(ngx_chat_gtid_t *gtid, ngx_uint_t number);

/*
 * Begins a query and returns NGX_OK, or returns NGX_DECLINED if the last one
 * began less than "interval" milliseconds ago.
 */
ngx_int_t ngx_chat_gtid_query_begin(ngx_chat_gtid_t *gtid, ngx_msec_t interval,
    ngx_chat_gtid_query_t *query);

/* stores the result of a query; empty: the primary has no position */
void ngx_chat_gtid_query_end(ngx_chat_gtid_t *gtid,
    ngx_chat_gtid_query_t *query, ngx_str_t *position);

/*
 * Copies the result of this query, or of the first later one that has a result,
 * to position->data, which has NGX_CHAT_GTID_POSITION bytes; empty: none.
 * Returns the time at which the query began, ngx_current_msec.
 */
ngx_msec_t ngx_chat_gtid_position(ngx_chat_gtid_t *gtid, ngx_uint_t number,
    ngx_str_t *position);

/* returns NGX_OK if the state must be logged, NGX_DECLINED if it was logged */
ngx_int_t ngx_chat_gtid_report(ngx_chat_gtid_t *gtid,
    ngx_chat_gtid_e what);


#endif /* _NGX_CHAT_SHM_GTID_H_INCLUDED_ */
