
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _FUZZ_HTTP_H_INCLUDED_
#define _FUZZ_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "fuzz.h"


/*
 * For static functions that use nginx: a target includes the source file, and
 * is linked with parsers and pools from the source of nginx.  Functions that a
 * target does not call are not linked.
 */


ngx_module_t           ngx_http_core_module;
ngx_module_t           ngx_chat_module = { .ctx_index = 1 };

volatile ngx_cycle_t  *ngx_cycle;


static ngx_log_t                  fuzz_log;
static ngx_connection_t           fuzz_connection;
static ngx_http_core_main_conf_t  fuzz_cmcf;
static ngx_http_core_loc_conf_t   fuzz_clcf;
static ngx_chat_main_conf_t       fuzz_chmcf;
static ngx_chat_loc_conf_t        fuzz_chlcf;

static void                      *fuzz_main_conf[] = { &fuzz_cmcf,
                                                       &fuzz_chmcf };
static void                      *fuzz_loc_conf[] = { &fuzz_clcf,
                                                      &fuzz_chlcf };


/* creates the variables of nginx once */

static ngx_inline void
fuzz_variables(void)
{
    ngx_conf_t           cf;
    ngx_http_conf_ctx_t  ctx;

    static ngx_cycle_t   cycle;

    if (fuzz_cmcf.variables_hash.size) {
        return;
    }

    cycle.log = &fuzz_log;
    ngx_cycle = &cycle;
    ngx_pagesize = 4096;
    ngx_cacheline_size = 64;

    ngx_memzero(&cf, sizeof(ngx_conf_t));

    cf.pool = ngx_create_pool(4096, &fuzz_log);
    cf.temp_pool = cf.pool;
    cf.log = &fuzz_log;
    cf.ctx = &ctx;

    ctx.main_conf = fuzz_main_conf;

    fuzz_cmcf.variables_hash_max_size = 1024;
    fuzz_cmcf.variables_hash_bucket_size = 64;

    fuzz_assert(ngx_http_variables_add_core_vars(&cf) == NGX_OK
                && ngx_array_init(&fuzz_cmcf.variables, cf.pool, 1,
                                  sizeof(ngx_http_variable_t)) == NGX_OK
                && ngx_http_variables_init_vars(&cf) == NGX_OK);
}


/* the caller destroys the pool of the request */

static ngx_inline ngx_http_request_t *
fuzz_request(void)
{
    ngx_pool_t          *pool;
    ngx_http_request_t  *r;

    fuzz_variables();

    ngx_str_set(&fuzz_clcf.name, "/api/v1/");
    ngx_str_set(&fuzz_chlcf.cookie, "sessionid");

    fuzz_chlcf.page_size = 15;
    fuzz_connection.log = &fuzz_log;

    pool = ngx_create_pool(1024, &fuzz_log);

    r = ngx_pcalloc(pool, sizeof(ngx_http_request_t));

    r->pool = pool;
    r->main = r;
    r->connection = &fuzz_connection;
    r->main_conf = fuzz_main_conf;
    r->loc_conf = fuzz_loc_conf;

    fuzz_assert(ngx_list_init(&r->headers_in.headers, pool, 8,
                              sizeof(ngx_table_elt_t)) == NGX_OK);

    return r;
}


#endif /* _FUZZ_HTTP_H_INCLUDED_ */
