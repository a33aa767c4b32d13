
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_DB_STATEMENT_H_INCLUDED_
#define _NGX_CHAT_DB_STATEMENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Where the first statement of a packet ends: at its semicolon, or "last".
 * Strings are as ngx_chat_sql_text.c writes them, '\'' in them has a backslash.
 */
u_char *ngx_chat_db_statement_end(u_char *p, u_char *last);


#endif /* _NGX_CHAT_DB_STATEMENT_H_INCLUDED_ */
