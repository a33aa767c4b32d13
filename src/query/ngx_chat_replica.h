
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REPLICA_H_INCLUDED_
#define _NGX_CHAT_REPLICA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"
#include "src/shm/ngx_chat_shm_gtid.h"


/*
 * Reads from asynchronous replicas, with read-your-writes.  A read may go to a
 * replica if a known position of the primary includes the last event of the
 * user (src/shm/ngx_chat_shm_gtid.h).  A statement before the read checks that
 * the replica has reached that position.  If it has not, or is unavailable, the
 * primary is used.
 *
 * With several hosts, events on other hosts are not known.  Then each read
 * waits for a position that was queried after the read arrived.
 *
 * "replica" may be NULL in every call (no chat_db_replica).
 */


typedef struct ngx_chat_replica_s  ngx_chat_replica_t;


/*
 * Called by init process after ngx_chat_db_create().  "conf" must exist as long
 * as the cycle.
 */
ngx_chat_replica_t *ngx_chat_replica_create(ngx_cycle_t *cycle,
    ngx_chat_db_conf_t *conf, ngx_chat_db_choice_t *choice,
    ngx_chat_gtid_t *gtid, ngx_chat_db_t *primary, ngx_uint_t hosts,
    const ngx_chat_db_type_t *const *classes, ngx_chat_metrics_t *metrics);

/* returns the database for a job of a user; job->type is set */
ngx_chat_db_t *ngx_chat_replica_choose(ngx_chat_replica_t *replica,
    ngx_chat_db_t *primary, ngx_chat_db_job_t *job, uint32_t user_id);

/* called when the job is done, before the response is sent */
void ngx_chat_replica_done(ngx_chat_replica_t *replica,
    ngx_chat_db_job_t *job, uint32_t user_id);

/*
 * Called before a user is notified of an event; responses to later requests
 * include it.
 */
void ngx_chat_replica_write(ngx_chat_replica_t *replica, uint32_t user_id);


#endif /* _NGX_CHAT_REPLICA_H_INCLUDED_ */
