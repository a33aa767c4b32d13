
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_hosts.h"


#define NGX_CHAT_HOSTS_FIRST  1               /* ms after a worker's start */
#define NGX_CHAT_HOSTS_TICK   1000            /* ms */

/* how often this host's epoch is said, seconds; it is believed for a minute */
#define NGX_CHAT_HOSTS_SAY    10

/*
 * Seconds without an answer, after which what others have said last may be too
 * old to be in the next one; and how long it holds nevertheless, until they
 * have had the time to say it again.
 */
#define NGX_CHAT_HOSTS_AWAY   (60 - NGX_CHAT_HOSTS_SAY)
#define NGX_CHAT_HOSTS_KEEP   (NGX_CHAT_HOSTS_SAY + 5)


struct ngx_chat_hosts_s {
    ngx_chat_db_t              *db;
    ngx_chat_workers_t         *workers;       /* NULL: no chat_zone */
    ngx_event_t                 tick;

    ngx_uint_t                  epoch;         /* said last */
    time_t                      said;

    ngx_uint_t                  n;             /* as last heard */
    uint32_t                    epochs[NGX_CHAT_SQL_EPOCHS];
    time_t                      heard;
    time_t                      keep;          /* what was heard, until then */

    ngx_chat_sql_epochs_t       op;
    unsigned                    asking:1;
};


static void ngx_chat_hosts_cleanup(void *data);
static void ngx_chat_hosts_tick(ngx_event_t *ev);
static void ngx_chat_hosts_heard(ngx_chat_db_job_t *job);
static void ngx_chat_hosts_keep(ngx_chat_hosts_t *hosts);


ngx_chat_hosts_t *
ngx_chat_hosts_create(ngx_cycle_t *cycle, ngx_chat_db_t *db,
    ngx_chat_workers_t *workers)
{
    ngx_chat_hosts_t    *hosts;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_chat_hosts_t));
    if (cln == NULL) {
        return NULL;
    }

    hosts = cln->data;
    ngx_memzero(hosts, sizeof(ngx_chat_hosts_t));

    hosts->db = db;
    hosts->workers = workers;

    hosts->op.job.class = &ngx_chat_sql_epochs;
    hosts->op.job.handler = ngx_chat_hosts_heard;
    hosts->op.job.data = hosts;
    hosts->op.job.pool = cycle->pool;

    hosts->tick.handler = ngx_chat_hosts_tick;
    hosts->tick.data = hosts;
    hosts->tick.log = cycle->log;
    hosts->tick.cancelable = 1;

    ngx_add_timer(&hosts->tick, NGX_CHAT_HOSTS_FIRST);

    cln->handler = ngx_chat_hosts_cleanup;

    return hosts;
}


static void
ngx_chat_hosts_cleanup(void *data)
{
    ngx_chat_hosts_t *hosts = data;

    if (hosts->tick.timer_set) {
        ngx_del_timer(&hosts->tick);
    }

    if (hosts->asking) {
        ngx_chat_db_cancel(&hosts->op.job);
    }
}


static void
ngx_chat_hosts_tick(ngx_event_t *ev)
{
    ngx_uint_t         epoch;
    ngx_chat_hosts_t  *hosts;

    if (ngx_exiting) {
        return;
    }

    hosts = ev->data;
    epoch = ngx_chat_workers_epoch(hosts->workers);

    hosts->op.epoch = (epoch != hosts->epoch
                       || ngx_time() - hosts->said >= NGX_CHAT_HOSTS_SAY)
                      ? epoch : 0;

    if (ngx_chat_db_submit(hosts->db, &hosts->op.job) == NGX_OK) {
        hosts->asking = 1;
        return;
    }

    ngx_add_timer(ev, NGX_CHAT_HOSTS_TICK);
}


/* while the database is out of reach, what was heard last is as good as any */

static void
ngx_chat_hosts_heard(ngx_chat_db_job_t *job)
{
    ngx_chat_hosts_t *hosts = job->data;

    hosts->asking = 0;

    if (job->rc == NGX_OK) {

        if (ngx_time() - hosts->heard >= NGX_CHAT_HOSTS_AWAY) {
            hosts->keep = ngx_time() + NGX_CHAT_HOSTS_KEEP;
        }

        hosts->heard = ngx_time();

        if (ngx_time() < hosts->keep) {
            ngx_chat_hosts_keep(hosts);
        }

        hosts->n = hosts->op.n;
        ngx_memcpy(hosts->epochs, hosts->op.epochs, sizeof(hosts->epochs));

        if (hosts->op.epoch) {
            hosts->epoch = hosts->op.epoch;
            hosts->said = ngx_time();
        }
    }

    if (!ngx_exiting) {
        ngx_add_timer(&hosts->tick, NGX_CHAT_HOSTS_TICK);
    }
}


/* adds what was heard before to what is heard now, as far as there is room */

static void
ngx_chat_hosts_keep(ngx_chat_hosts_t *hosts)
{
    ngx_uint_t              i, k;
    ngx_chat_sql_epochs_t  *op;

    op = &hosts->op;

    for (i = 0; i < hosts->n && op->n < NGX_CHAT_SQL_EPOCHS; i++) {

        for (k = 0; k < op->n; k++) {
            if (op->epochs[k] == hosts->epochs[i]) {
                break;
            }
        }

        if (k == op->n) {
            op->epochs[op->n++] = hosts->epochs[i];
        }
    }
}


ngx_uint_t
ngx_chat_hosts_epochs(ngx_chat_hosts_t *hosts, uint32_t *epochs)
{
    if (hosts == NULL) {
        return 0;
    }

    ngx_memcpy(epochs, hosts->epochs, hosts->n * sizeof(uint32_t));

    return hosts->n;
}
