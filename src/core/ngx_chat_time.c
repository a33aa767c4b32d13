
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_string.h"


void
ngx_chat_string_time(u_char *buf, uint64_t ago)
{
    uint64_t        usec;
    ngx_tm_t        tm;
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    usec = (uint64_t) tv.tv_sec * 1000000 + tv.tv_usec - ago * 1000;

    ngx_gmtime((time_t) (usec / 1000000), &tm);

    ngx_sprintf(buf, "%4d-%02d-%02dT%02d:%02d:%02d.%06dZ",
                tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                (int) (usec % 1000000));
}
