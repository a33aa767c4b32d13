
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_STUB_H_INCLUDED_
#define _NGX_STUB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The little of nginx's core that the rooms under test call, for a program
 * without nginx.  Each allocation is malloc()'s own, and ngx_pfree() frees at
 * once, so that the sanitizers see what a real pool would hide.
 */

#define NGX_STUB_UNLIMITED  ((ngx_uint_t) -1)

/* so many allocations succeed from now on */
void ngx_stub_allow(ngx_uint_t n);


#endif /* _NGX_STUB_H_INCLUDED_ */
