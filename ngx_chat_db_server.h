
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_SERVER_H_INCLUDED_
#define _NGX_CHAT_DB_SERVER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Which of the servers that chat_db names is in use.  It is one for all
 * workers, which is more than a convenience: of transactions under way on
 * another node of a cluster nothing can be seen, and "after=" would skip their
 * messages.  So the choice lies in the zone, and who has to leave a server
 * leaves it for all.
 */


typedef struct {
    ngx_str_t              name;              /* as configured */
    ngx_str_t              host;              /* address; empty: a socket */
    ngx_str_t              socket;            /* path, null-terminated */
    in_port_t              port;
    uint32_t               key;               /* of the name, never 0 */
} ngx_chat_db_server_t;


/*
 * In the zone.  A server is named by its key, since after a reload workers
 * with another list live on for a while.
 */

typedef struct {
    ngx_atomic_t           current;           /* key; 0: none so far */
    ngx_atomic_t           answered;          /* ngx_current_msec, when it has
                                                 done so to somebody */
} ngx_chat_db_choice_t;


/* of a process */

typedef struct {
    ngx_array_t           *list;              /* ngx_chat_db_server_t */
    ngx_chat_db_choice_t  *choice;
    ngx_uint_t             current;           /* of the list, as last seen */
    ngx_msec_t            *failed;            /* when each did; 0: never */
} ngx_chat_db_servers_t;


/* "choice" may be NULL (no chat_zone), each worker chooses for itself then */
ngx_int_t ngx_chat_db_servers_init(ngx_chat_db_servers_t *servers,
    ngx_pool_t *pool, ngx_array_t *list, ngx_chat_db_choice_t *choice);

/* NGX_OK: servers->current has changed, as somebody has left the one before */
ngx_int_t ngx_chat_db_servers_follow(ngx_chat_db_servers_t *servers);

/*
 * Server "n" has failed: the first of the list that has not done so lately
 * takes its place.  NGX_DECLINED: there is none; with "anyway" the one that
 * failed first is next all the same, but not without a pause.
 */
ngx_int_t ngx_chat_db_servers_leave(ngx_chat_db_servers_t *servers,
    ngx_uint_t n, ngx_uint_t anyway);

/* server "n" has not failed lately, as far as this process knows */
ngx_uint_t ngx_chat_db_servers_rested(ngx_chat_db_servers_t *servers,
    ngx_uint_t n);

/* the server has answered; and whether it has, to anybody, after "since" */
void ngx_chat_db_servers_answered(ngx_chat_db_servers_t *servers,
    ngx_uint_t n);
ngx_uint_t ngx_chat_db_servers_answering(ngx_chat_db_servers_t *servers,
    ngx_uint_t n, ngx_msec_t since);


#endif /* _NGX_CHAT_DB_SERVER_H_INCLUDED_ */
