
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_db_statement.h"


u_char *
ngx_chat_db_statement_end(u_char *p, u_char *last)
{
    ngx_uint_t  string;

    string = 0;

    for ( /* void */ ; p < last; p++) {

        switch (*p) {

        case '\\':
            p++;
            break;

        case '\'':
            string = !string;
            break;

        case ';':
            if (!string) {
                return p;
            }
        }
    }

    return last;
}
