
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db_conn.h"


ngx_int_t
ngx_chat_db_move(ngx_chat_db_conn_t *conn, ngx_uint_t errcode,
    const char *reason, ngx_uint_t anyway)
{
    ngx_uint_t      left;
    ngx_chat_db_t  *db;

    db = conn->db;
    left = (conn->server != db->servers.current);

    if (ngx_chat_db_servers_leave(&db->servers, conn->server, anyway)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (left) {
        /* another connection has, and told so */
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, db->log, 0,
                  "chat: the %s server \"%V\" is left for \"%V\": "
                  "%s, error %ui",
                  ngx_chat_db_title(db),
                  ngx_chat_db_server_name(db, conn->server),
                  ngx_chat_db_server_name(db, db->servers.current),
                  reason, errcode);

    ngx_chat_db_moved(db);

    return NGX_OK;
}


/*
 * Whatever this worker has met elsewhere, it need not wait.  One that it has
 * seen fail lately is tried with care, though: others may be at a loss, too,
 * and go from one to the next.
 */

void
ngx_chat_db_moved(ngx_chat_db_t *db)
{
    db->retry_at = ngx_current_msec;

    if (ngx_chat_db_servers_rested(&db->servers, db->servers.current)) {
        db->backoff = 0;
    }
}


ngx_str_t *
ngx_chat_db_server_name(ngx_chat_db_t *db, ngx_uint_t n)
{
    ngx_chat_db_server_t  *server;

    server = db->conf->servers.elts;

    return &server[n].name;
}


const char *
ngx_chat_db_title(ngx_chat_db_t *db)
{
    return db->primary ? "replica" : "database";
}


/*
 * Packets under way on the old server end as they may: it is gone, or does not
 * commit them.
 */

void
ngx_chat_db_follow(ngx_chat_db_t *db)
{
    ngx_uint_t  i;

    if (db->conf->servers.nelts == 1) {
        return;
    }

    if (ngx_chat_db_servers_follow(&db->servers) == NGX_OK) {

        ngx_log_error(NGX_LOG_NOTICE, db->log, 0,
                      "chat: the %s server is \"%V\" now",
                      ngx_chat_db_title(db),
                      ngx_chat_db_server_name(db, db->servers.current));

        ngx_chat_db_moved(db);
    }

    for (i = 0; i < db->conf->connections; i++) {
        if (db->conns[i].state == NGX_CHAT_DB_IDLE
            && db->conns[i].server != db->servers.current)
        {
            ngx_chat_db_close(&db->conns[i]);
        }
    }
}
