
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_STUB_H_INCLUDED_
#define _NGX_STUB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The functions of nginx that the tested files call, for a program without
 * nginx.  Each allocation uses malloc(), and ngx_pfree() frees at once, so that
 * the sanitizers detect errors that a pool would hide.
 */

#define NGX_STUB_UNLIMITED  ((ngx_uint_t) -1)

/* the next n allocations succeed */
void ngx_stub_allow(ngx_uint_t n);


#endif /* _NGX_STUB_H_INCLUDED_ */
