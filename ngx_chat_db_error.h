
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_ERROR_H_INCLUDED_
#define _NGX_CHAT_DB_ERROR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * What an error of the database means, by its number: those of MariaDB and of
 * MySQL, which are the same up to 1880, and of the two client libraries.
 *
 * Statements are ours and values are checked before, so that an error is
 * mostly the server's state: it ends when an operator or time ends it, and
 * until then the answer is 503, "try again".  What would be refused tomorrow
 * as well, and every number that is not known, is 500 with a line in the error
 * log for each: a 503 that never ends would hide a fault of ours, and make
 * clients repeat it for ever.
 */


typedef enum {
    NGX_CHAT_DB_REFUSED = 0,              /* this statement, for good */
    NGX_CHAT_DB_CONFLICT,                 /* try again, the server is fine */
    NGX_CHAT_DB_LOCKED,                   /* the same, but it has taken long,
                                             and may do so again */
    NGX_CHAT_DB_SHORT,                    /* too much just now, try less */
    NGX_CHAT_DB_UNABLE,                   /* statements like it, just now */
    NGX_CHAT_DB_STALE,                    /* the same, but a new connection
                                             may fare better */
    NGX_CHAT_DB_LOST,                     /* this connection is gone */
    NGX_CHAT_DB_UNFIT                     /* the server takes nothing now */
} ngx_chat_db_action_e;


typedef struct {
    ngx_chat_db_action_e   action;
    const char            *reason;        /* of SHORT, UNABLE and STALE: what
                                             the log says, else NULL */
    const ngx_uint_t      *codes;         /* up to 0 */
    ngx_uint_t             elsewhere;     /* another server can do it, if there
                                             is one; a flag */
} ngx_chat_db_error_t;


/* never NULL; one error_t for all that have the same reason */
const ngx_chat_db_error_t *ngx_chat_db_error(ngx_uint_t code);


#endif /* _NGX_CHAT_DB_ERROR_H_INCLUDED_ */
