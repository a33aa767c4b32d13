
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Asked by LeakSanitizer when a process ends.  A nginx that does not start, as
 * "nginx -t" and what some tests want, leaves what it has to the system.
 */

int __lsan_is_turned_off(void);


int
__lsan_is_turned_off(void)
{
    return ngx_process != NGX_PROCESS_MASTER
           && ngx_process != NGX_PROCESS_WORKER
           && ngx_process != NGX_PROCESS_HELPER;
}
