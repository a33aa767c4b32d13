
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/api/ngx_chat_endpoint.h"


/* maximum age of the list of all users in the zone, ms */
#define NGX_CHAT_USER_LIST_TTL  2000


/* a lookup by name */

typedef struct {
    ngx_chat_query_user_t           op;        /* first member */
    ngx_chat_user_t                *user;      /* result, of the caller */
    ngx_chat_step_pt                next;
    void                           *data;      /* ctx->data of the caller */
    unsigned                        cached:1;  /* store it in the zone */
} ngx_chat_user_find_t;


static ngx_int_t ngx_chat_user_found(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_list_all(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_list_others(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_list_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_get_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_user_array(ngx_http_request_t *r, ngx_chat_json_t *json,
    ngx_chat_query_users_t *op);
static void ngx_chat_user_json(ngx_chat_json_t *json, ngx_str_t *name);


/*
 *   find -> (zone: NGX_OK) -> found -> next
 */

ngx_int_t
ngx_chat_user_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name, ngx_uint_t trim, ngx_chat_user_t *user,
    ngx_chat_step_pt next)
{
    ngx_int_t              rc;
    ngx_str_t              text;
    ngx_uint_t             cached;
    ngx_chat_user_find_t  *find;

    ctx->next = next;

    text = *name;

    if (trim) {
        ngx_chat_string_trim(&text);
    }

    /* the zone contains names as sent, without "trim" */

    cached = (text.len == name->len);

    rc = cached ? ngx_chat_cache_user_get(ngx_chat_http_zone(r)->cache, name,
                                          r->pool, user)
                : NGX_DECLINED;

    if (rc == NGX_OK) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_HIT);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    find = ngx_pcalloc(r->pool, sizeof(ngx_chat_user_find_t));
    if (find == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_chat_unicode_name_forms(r->pool, name, trim, &find->op.name);

    if (rc == NGX_DECLINED) {
        user->id = 0;
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_MISS);

    find->user = user;
    find->next = next;
    find->data = ctx->data;
    find->cached = cached;

    ctx->data = find;

    return ngx_chat_step_query(r, ctx, &find->op.job,
                               &ngx_chat_query_user_by_name,
                               ngx_chat_user_found);
}


static ngx_int_t
ngx_chat_user_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_user_find_t  *find = ctx->data;

    *find->user = find->op.user;

    if (find->user->id && find->user->active && find->cached) {
        ngx_chat_cache_user_put(ngx_chat_http_zone(r)->cache,
                                &find->op.name.text[0], find->user);
    }

    ctx->data = find->data;
    ctx->next = find->next;

    return NGX_OK;
}


/*
 * GET user/: an array of all other users, by id.
 *
 *   list -> (not in the zone) -> list_all -> list_others
 *
 * GET user/?search=PREFIX&limit=N&after=NAME: by name, with "has_more".
 *
 *   list -> list_done
 *            ^   |
 *            +---+ many users match a search
 */

ngx_int_t
ngx_chat_user_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_uint_t               all;
    ngx_chat_query_users_t  *op;

    enum { SEARCH, AFTER, LIMIT };

    ngx_chat_field_t  args[] = {
        ngx_chat_field("search"),
        ngx_chat_field("after"),
        ngx_chat_field("limit")
    };

    if (ngx_chat_request_args(r, args, 3) != NGX_OK) {
        return NGX_ERROR;
    }

    all = args[SEARCH].state == NGX_CHAT_FIELD_MISSING
                && args[AFTER].state == NGX_CHAT_FIELD_MISSING
                && args[LIMIT].state == NGX_CHAT_FIELD_MISSING;

    if (all) {
        rc = ngx_chat_cache_user_list_get(ngx_chat_http_zone(r)->cache, r->pool,
                                          &ctx->response.body);

        if (rc == NGX_OK) {
            ngx_chat_http_count(r, NGX_CHAT_COUNT_EVERYBODY_HIT);
            return ngx_chat_user_list_others(r, ctx);
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        /* rc == NGX_DECLINED */

        ngx_chat_http_count(r, NGX_CHAT_COUNT_EVERYBODY_MISS);
    }

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_users_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    ctx->data = op;

    if (all) {
        return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_users,
                                   ngx_chat_user_list_all);
    }

    if (args[SEARCH].state == NGX_CHAT_FIELD_INVALID) {
        return ngx_chat_response_invalid(r, ctx, "search",
                                         "Not a valid string.");
    }

    if (args[AFTER].state == NGX_CHAT_FIELD_INVALID) {
        return ngx_chat_response_invalid(r, ctx, "after",
                                         "Not a valid string.");
    }

    rc = ngx_chat_request_limit(r, ctx, &args[LIMIT], &op->limit);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_chat_unicode_text_forms(r->pool, &args[SEARCH].value, &op->search)
        != NGX_OK
        || ngx_chat_unicode_text_forms(r->pool, &args[AFTER].value, &op->after)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    op->except = ctx->user.id;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_users,
                               ngx_chat_user_list_done);
}


static ngx_int_t
ngx_chat_user_list_all(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_users_t  *op = ctx->data;

    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_user_array(r, json, op);

    if (ngx_chat_json_done(json, &ctx->response.body) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_cache_user_list_put(ngx_chat_http_zone(r)->cache,
                                 &ctx->response.body,
                                 NGX_CHAT_USER_LIST_TTL);

    return ngx_chat_user_list_others(r, ctx);
}


/* removes the user of the request from the list, a copy in the pool */

static ngx_int_t
ngx_chat_user_list_others(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    u_char           *p, *last, *end;
    ngx_str_t         own, *body;
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_user_json(json, &ctx->user.name);

    if (ngx_chat_json_done(json, &own) != NGX_OK) {
        return NGX_ERROR;
    }

    body = &ctx->response.body;

    end = body->data + body->len;
    p = memmem(body->data, body->len, own.data, own.len);

    if (p == NULL) {
        return NGX_HTTP_OK;
    }

    last = p + own.len;

    /* with one of the adjacent commas */

    if (*last == ',') {
        last++;

    } else if (p[-1] == ',') {
        p--;
    }

    body->len -= last - p;
    ngx_memmove(p, last, end - last);

    return NGX_HTTP_OK;
}


static ngx_int_t
ngx_chat_user_list_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_users_t  *op = ctx->data;

    ngx_chat_json_t  *json;

    if (op->words) {
        op->scan = 1;

        return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_users,
                                   ngx_chat_user_list_done);
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "results");
    ngx_chat_user_array(r, json, op);
    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, op->has_more);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/* users of a page have their profile */

static void
ngx_chat_user_array(ngx_http_request_t *r, ngx_chat_json_t *json,
    ngx_chat_query_users_t *op)
{
    ngx_uint_t             i;
    ngx_chat_query_row_t  *row;

    ngx_chat_json_array(json);

    row = op->users ? op->users->elts : NULL;

    for (i = 0; row && i < op->users->nelts; i++) {

        if (op->limit == 0) {
            ngx_chat_user_json(json, &row[i].name);
            continue;
        }

        ngx_chat_json_object(json);
        ngx_chat_json_key(json, "username");
        ngx_chat_json_string(json, &row[i].name);
        ngx_chat_user_profile(r, json, row[i].id, &row[i].profile);
        ngx_chat_json_end(json);
    }

    ngx_chat_json_end(json);
}


/* GET user/<id>/ */

ngx_int_t
ngx_chat_user_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_user_t  *op;

    if (ctx->id > NGX_MAX_UINT32_VALUE) {
        return ngx_chat_response_not_found(r, ctx);
    }

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_user_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->id = (uint32_t) ctx->id;
    ctx->data = op;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_user_by_id,
                               ngx_chat_user_get_done);
}


static ngx_int_t
ngx_chat_user_get_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_user_t  *op = ctx->data;

    ngx_chat_json_t  *json;

    if (op->user.id == 0 || !op->user.active) {
        return ngx_chat_response_not_found(r, ctx);
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_user_json(json, &op->user.name);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_user_json(ngx_chat_json_t *json, ngx_str_t *name)
{
    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "username");
    ngx_chat_json_string(json, name);
    ngx_chat_json_end(json);
}
