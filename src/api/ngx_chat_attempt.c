
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/api/ngx_chat_attempt.h"
#include "src/http/ngx_chat_step.h"


static ngx_int_t ngx_chat_attempt_queue(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_attempt_hashed(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_attempt_end(void *data);


/*
 * Spellings of a name have the same key, and so have the addresses of an IPv6
 * /64 network, which usually belongs to one customer.
 */

ngx_int_t
ngx_chat_attempt_keys(ngx_http_request_t *r, ngx_chat_login_t *login)
{
    u_char    *p;
    ngx_str_t  addr, name;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    addr = r->connection->addr_text;

#if (NGX_HAVE_INET6)

    sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;

    if (sin6->sin6_family == AF_INET6
        && !IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr))
    {
        addr.data = sin6->sin6_addr.s6_addr;
        addr.len = 8;
    }

#endif

    p = ngx_pnalloc(r->pool, 2 * addr.len + 1 + NGX_CHAT_NAME_SIZE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    login->address_key.data = p;
    login->address_key.len = addr.len;
    p = ngx_cpymem(p, addr.data, addr.len);

    login->name_key.data = p;
    p = ngx_cpymem(p, addr.data, addr.len);
    *p++ = ' ';

    ngx_chat_unicode_key(&login->name, p, NGX_CHAT_NAME_SIZE, &name);

    login->name_key.len = addr.len + 1 + name.len;

    return NGX_OK;
}


/* returns NGX_OK, or the result for the step if the attempt is throttled */

ngx_int_t
ngx_chat_attempt_throttle(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    ngx_uint_t            wait, longer;
    ngx_chat_throttle_t  *throttle;

    throttle = ngx_chat_http_zone(r)->throttle;
    login->throttle = throttle;

    wait = ngx_chat_throttle_wait(throttle, &login->name_key,
                                  NGX_CHAT_ATTEMPT_NAME_BURST,
                                  NGX_CHAT_ATTEMPT_HALF_LIFE);
    longer = ngx_chat_throttle_wait(throttle, &login->address_key,
                                    NGX_CHAT_ATTEMPT_ADDRESS_BURST,
                                    NGX_CHAT_ATTEMPT_HALF_LIFE);

    wait = ngx_max(wait, longer);

    if (wait == 0) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "chat login throttled for %ui seconds", wait);

    ngx_chat_http_count(r, NGX_CHAT_COUNT_LOGIN_THROTTLED);

    ctx->response.retry_after = wait;

    return ngx_chat_login_refuse(r, ctx, NGX_HTTP_TOO_MANY_REQUESTS,
                                 "Too many attempts. Try again later.");
}


/*
 * Checks a password.  At most two hashes per address are queued, or per user
 * for a password change.  Others wait for a turn, so that the queue has room
 * for other addresses.
 *
 *   hash -> (its turn) -> queue -> hashed -> "next"
 */

ngx_int_t
ngx_chat_attempt_hash(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_step_pt next)
{
    ngx_chat_login_t  *login = ctx->data;

    uint32_t               id;
    ngx_pool_cleanup_t    *cln;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_chat_attempt_end;
    cln->data = login;

    login->hashed = next;

    id = login->check.fresh.len ? ctx->user.id
                                : ngx_crc32_short(login->address_key.data,
                                                  login->address_key.len);

    return ngx_chat_step_park(r, ctx,
                              login->check.fresh.len
                              ? ngx_chat_http_worker(r)->changes
                              : ngx_chat_http_worker(r)->logins,
                              &login->turn, id, ngx_chat_attempt_queue);
}


/*
 * Queues the hash.  From now on the attempt counts as failed unless it
 * succeeds, also if the client disconnects.
 */

static ngx_int_t
ngx_chat_attempt_queue(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    ngx_int_t  rc;

    /* other attempts may have failed meanwhile */

    rc = ngx_chat_attempt_throttle(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_step_password(r, ctx, &login->check,
                                ngx_chat_attempt_hashed);

    login->pending = (rc == NGX_AGAIN);

    return rc;
}


/* of many simultaneous attempts, only the first ones get a result */

static ngx_int_t
ngx_chat_attempt_hashed(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_login_t  *login = ctx->data;

    login->pending = 0;
    ngx_chat_turn_end(&login->turn);

    ctx->next = login->hashed;

    return ngx_chat_attempt_throttle(r, ctx);
}


/* cleanup of the request: an attempt without a result has failed */

static void
ngx_chat_attempt_end(void *data)
{
    ngx_chat_login_t  *login = data;

    if (login->pending) {
        ngx_chat_attempt_charge(login);
    }

    ngx_chat_turn_end(&login->turn);
}


void
ngx_chat_attempt_charge(ngx_chat_login_t *login)
{
    login->pending = 0;

    ngx_chat_throttle_charge(login->throttle, &login->name_key,
                             NGX_CHAT_ATTEMPT_HALF_LIFE);
    ngx_chat_throttle_charge(login->throttle, &login->address_key,
                             NGX_CHAT_ATTEMPT_HALF_LIFE);
}
