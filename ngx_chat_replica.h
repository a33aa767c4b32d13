
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_REPLICA_H_INCLUDED_
#define _NGX_CHAT_REPLICA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"
#include "ngx_chat_fresh.h"


/*
 * Reads by replicas.  Those that may be done there are so if the person has
 * done nothing, and been told of nothing, that the positions known of the
 * database do not have: see ngx_chat_fresh.h.  The replica is asked first
 * whether it has reached that; if it has not, or cannot be asked, the database
 * does it.
 *
 * With other hosts it is not known here what a person has done there: then each
 * read waits for a position that was asked for after it came.
 *
 * "replica" may be NULL in every call (no chat_db_replica).
 */


typedef struct ngx_chat_replica_s  ngx_chat_replica_t;


/*
 * From init process, behind the database's own.  "conf" must live as long as
 * the cycle.
 */
ngx_chat_replica_t *ngx_chat_replica_create(ngx_cycle_t *cycle,
    ngx_chat_db_conf_t *conf, ngx_chat_db_choice_t *choice,
    ngx_chat_fresh_t *fresh, ngx_chat_db_t *primary, ngx_uint_t hosts,
    const ngx_chat_db_class_t *const *classes, ngx_chat_metrics_t *metrics);

/* where to submit a job, that has its class, for this person */
ngx_chat_db_t *ngx_chat_replica_choose(ngx_chat_replica_t *replica,
    ngx_chat_db_t *primary, ngx_chat_db_job_t *job, uint32_t user_id);

/* to be called when the job is done, before its answer can be sent */
void ngx_chat_replica_done(ngx_chat_replica_t *replica,
    ngx_chat_db_job_t *job, uint32_t user_id);

/*
 * To be called before the person can hear of something new: the answer to the
 * next request has it.
 */
void ngx_chat_replica_event(ngx_chat_replica_t *replica, uint32_t user_id);


#endif /* _NGX_CHAT_REPLICA_H_INCLUDED_ */
