
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_ZONE_H_INCLUDED_
#define _NGX_CHAT_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_metrics.h"
#include "src/db/ngx_chat_db_types.h"
#include "src/shm/ngx_chat_block_zone.h"
#include "src/shm/ngx_chat_cache.h"
#include "src/shm/ngx_chat_changed.h"
#include "src/shm/ngx_chat_debt.h"
#include "src/shm/ngx_chat_generation.h"
#include "src/shm/ngx_chat_outbox_zone.h"
#include "src/shm/ngx_chat_presence_zone.h"
#include "src/shm/ngx_chat_revocation.h"
#include "src/shm/ngx_chat_shared_log.h"
#include "src/shm/ngx_chat_shm_gtid.h"
#include "src/shm/ngx_chat_throttle.h"
#include "src/shm/ngx_chat_typing.h"
#include "src/shm/ngx_chat_wakeup.h"


/*
 * The shared memory of "chat_zone", at least 256k.  Its parts are allocated
 * once, and never freed.  Nothing in it is needed for correctness.
 *
 * Without chat_zone all members are NULL.  The functions of the parts accept
 * NULL, find nothing and store nothing.
 */

typedef struct {
    ngx_chat_cache_t           *cache;
    ngx_chat_revocations_t     *revocations;
    ngx_chat_throttle_t        *throttle;
    ngx_chat_typing_t          *typing;
    ngx_chat_block_zone_t      *blocks;
    ngx_chat_presence_zone_t   *presence;
    ngx_chat_generations_t     *generations;
    ngx_chat_shared_log_t      *shared_log;
    ngx_chat_wakeup_t          *wakeup;       /* set by init module */
    ngx_chat_outbox_zone_t     *outbox;
    ngx_chat_gtid_t            *gtid;
    ngx_chat_changed_t         *changed;
    ngx_chat_metrics_zone_t    *metrics;
    ngx_chat_db_choice_t       *server;       /* of chat_db */
    ngx_chat_db_choice_t       *replica;      /* of chat_db_replica */
    ngx_chat_debt_t            *debt;         /* to other hosts */
    uint64_t                    instance;     /* random, of this host */
} ngx_chat_zone_t;


/* sets the init function of a zone */
void ngx_chat_zone_add(ngx_shm_zone_t *shm_zone);

/* returns the parts of a zone; shm_zone may be NULL */
const ngx_chat_zone_t *ngx_chat_zone(ngx_shm_zone_t *shm_zone);

/*
 * Called by init module: creates what workers inherit by fork().  Returns
 * NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_chat_zone_inherit(ngx_cycle_t *cycle, ngx_shm_zone_t *shm_zone);


#endif /* _NGX_CHAT_ZONE_H_INCLUDED_ */
