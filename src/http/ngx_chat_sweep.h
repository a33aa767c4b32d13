
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_SWEEP_H_INCLUDED_
#define _NGX_CHAT_SWEEP_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * Removes the contents of files whose messages are deleted, and of files that
 * were not sent within a day.  Nothing depends on its success: a file that
 * could not be removed is found again.
 */


/*
 * Sets "files" and "sweep" of the worker if there are chat_files; one worker of
 * a host sweeps regularly.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_chat_sweep_create(ngx_cycle_t *cycle,
    ngx_chat_main_conf_t *chmcf);

/* begins soon; "sweep" may be NULL */
void ngx_chat_sweep_begin(ngx_chat_sweep_t *sweep);


#endif /* _NGX_CHAT_SWEEP_H_INCLUDED_ */
