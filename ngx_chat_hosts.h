
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_HOSTS_H_INCLUDED_
#define _NGX_CHAT_HOSTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db.h"
#include "ngx_chat_sql.h"
#include "ngx_chat_workers.h"


/*
 * Other hosts that have the same database and, by nchan, the same Redis.  Each
 * has epochs of its own (ngx_chat_workers.h), and sockets that listen to their
 * channels; who publishes has to know them.  They tell each other by the
 * database: a worker says and asks it once a second.
 */


typedef struct ngx_chat_hosts_s  ngx_chat_hosts_t;


/* of init process; "workers" may be NULL */
ngx_chat_hosts_t *ngx_chat_hosts_create(ngx_cycle_t *cycle, ngx_chat_db_t *db,
    ngx_chat_workers_t *workers);

/*
 * Fills in up to NGX_CHAT_SQL_EPOCHS that some host, maybe this one, is in, the
 * first one left out; returns how many.  "hosts" may be NULL (no chat_hosts).
 */
ngx_uint_t ngx_chat_hosts_epochs(ngx_chat_hosts_t *hosts, uint32_t *epochs);


#endif /* _NGX_CHAT_HOSTS_H_INCLUDED_ */
