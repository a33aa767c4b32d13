
/*
 * Copyright (C) ngx_chat contributors
 */


#include "ngx_stub.h"

#include <inttypes.h>
#include <strings.h>


static ngx_uint_t  ngx_stub_allowed = NGX_STUB_UNLIMITED;


void
ngx_stub_allow(ngx_uint_t n)
{
    ngx_stub_allowed = n;
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    return calloc(1, sizeof(ngx_pool_t));
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_pool_large_t  *block;

    while (pool->large) {
        block = pool->large;
        pool->large = block->next;

        free(block->alloc);
        free(block);
    }

    free(pool);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    ngx_pool_large_t  *block;

    if (ngx_stub_allowed == 0) {
        return NULL;
    }

    if (ngx_stub_allowed != NGX_STUB_UNLIMITED) {
        ngx_stub_allowed--;
    }

    block = malloc(sizeof(ngx_pool_large_t));

    block->alloc = malloc(size);
    block->next = pool->large;
    pool->large = block;

    return block->alloc;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_palloc(pool, size);

    if (p != NULL) {
        ngx_memzero(p, size);
    }

    return p;
}


ngx_array_t *
ngx_array_create(ngx_pool_t *pool, ngx_uint_t n, size_t size)
{
    ngx_array_t  *a;

    a = ngx_pcalloc(pool, sizeof(ngx_array_t));
    if (a == NULL) {
        return NULL;
    }

    a->elts = ngx_palloc(pool, n * size);
    a->size = size;
    a->nalloc = n;
    a->pool = pool;

    return a->elts ? a : NULL;
}


void *
ngx_array_push(ngx_array_t *a)
{
    void  *elts;

    if (a->nelts == a->nalloc) {

        elts = ngx_palloc(a->pool, 2 * a->nalloc * a->size);
        if (elts == NULL) {
            return NULL;
        }

        memcpy(elts, a->elts, a->nelts * a->size);
        (void) ngx_pfree(a->pool, a->elts);

        a->elts = elts;
        a->nalloc *= 2;
    }

    return (u_char *) a->elts + a->size * a->nelts++;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    ngx_pool_large_t  *block, **link;

    for (link = &pool->large; *link; link = &(*link)->next) {
        block = *link;

        if (block->alloc == p) {
            *link = block->next;

            free(block->alloc);
            free(block);

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    char  text[17];

    memcpy(text, line, n);
    text[n] = '\0';

    /* strtol() accepts blanks, signs and "0x" as well */

    if (strspn(text, "0123456789abcdefABCDEF") != n) {
        return NGX_ERROR;
    }

    return strtol(text, NULL, 16);
}


u_char *
ngx_pstrdup(ngx_pool_t *pool, ngx_str_t *src)
{
    u_char  *dst;

    dst = ngx_pnalloc(pool, src->len);

    if (dst != NULL) {
        memcpy(dst, src->data, src->len);
    }

    return dst;
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    static const u_char  hex[] = "0123456789abcdef";

    while (len--) {
        *dst++ = hex[*src >> 4];
        *dst++ = hex[*src++ & 0xf];
    }

    return dst;
}


/* %s, %uz and %uL only; without a terminating null, as in nginx */

u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    char         number[32];
    va_list      args;
    const char  *text;

    va_start(args, fmt);

    while (*fmt) {

        if (*fmt != '%') {
            *buf++ = (u_char) *fmt++;
            continue;
        }

        text = number;

        if (strncmp(fmt, "%s", 2) == 0) {
            text = va_arg(args, char *);
            fmt += 2;

        } else if (strncmp(fmt, "%uz", 3) == 0) {
            sprintf(number, "%zu", va_arg(args, size_t));
            fmt += 3;

        } else if (strncmp(fmt, "%uL", 3) == 0) {
            sprintf(number, "%" PRIu64, va_arg(args, uint64_t));
            fmt += 3;

        } else {
            abort();
        }

        buf = ngx_cpymem(buf, text, strlen(text));
    }

    va_end(args);

    return buf;
}
