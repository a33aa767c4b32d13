
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Called by LeakSanitizer when a process exits.  An nginx that does not start,
 * such as "nginx -t", does not free its memory.
 */

int __lsan_is_turned_off(void);


int
__lsan_is_turned_off(void)
{
    return ngx_process != NGX_PROCESS_MASTER
           && ngx_process != NGX_PROCESS_WORKER
           && ngx_process != NGX_PROCESS_HELPER;
}
