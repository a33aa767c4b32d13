
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_api.h"
#include "ngx_chat_people.h"


/* how old the list of everybody may be, milliseconds */
#define NGX_CHAT_PEOPLE_LIST_TTL  2000

/* people, or conversations, in an answer where no limit is asked for */
#define NGX_CHAT_PEOPLE_LIMIT     50
#define NGX_CHAT_PEOPLE_MAX       100


/* a name that is being looked up */

typedef struct {
    ngx_chat_sql_user_t             op;        /* first: the job */
    ngx_chat_user_t                *user;      /* where it is wanted */
    ngx_chat_step_pt                next;
    void                           *data;      /* the endpoint's */
} ngx_chat_user_find_t;


typedef struct {
    ngx_chat_sql_read_t             op;        /* first: the job */
    ngx_chat_user_t                 peer;
} ngx_chat_conversation_read_t;


static ngx_int_t ngx_chat_user_found(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_list_everybody(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_list_others(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_list_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_user_get_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_user_array(ngx_chat_json_t *json, ngx_array_t *users);
static void ngx_chat_user_json(ngx_chat_json_t *json, ngx_chat_user_t *user);
static ngx_int_t ngx_chat_people_limit(ngx_chat_field_t *field,
    ngx_uint_t *limit);
static ngx_int_t ngx_chat_people_bad_limit(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_conversation_list_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_conversation_read_mark(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_conversation_read_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 *   find -> (zone: NGX_OK) -> found -> next
 */

ngx_int_t
ngx_chat_user_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name, ngx_chat_user_t *user, ngx_chat_step_pt next)
{
    ngx_int_t              rc;
    ngx_chat_user_find_t  *find;

    ctx->next = next;

    if (ngx_chat_text_name(name) != NGX_OK) {
        user->id = 0;
        return NGX_OK;
    }

    rc = ngx_chat_cache_user_get(ngx_chat_http_cache(r), name, r->pool, user);

    if (rc == NGX_OK) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_HIT);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_chat_http_count(r, NGX_CHAT_COUNT_USER_MISS);

    find = ngx_pcalloc(r->pool, sizeof(ngx_chat_user_find_t));
    if (find == NULL) {
        return NGX_ERROR;
    }

    find->op.name = *name;
    find->user = user;
    find->next = next;
    find->data = ctx->data;

    ctx->data = find;

    return ngx_chat_api_query(r, ctx, &find->op.job,
                              &ngx_chat_sql_user_by_name,
                              ngx_chat_user_found);
}


static ngx_int_t
ngx_chat_user_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_user_find_t *find = ctx->data;

    if (find->op.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    *find->user = find->op.user;

    if (find->user->id && find->user->active) {
        ngx_chat_cache_user_put(ngx_chat_http_cache(r), &find->op.name,
                                find->user);
    }

    ctx->data = find->data;
    ctx->next = find->next;

    return NGX_OK;
}


/*
 * GET user/: everybody but oneself, a plain array by id.
 *
 *   list -> (zone) -> list_everybody -> list_others
 *
 * GET user/?search=PREFIX&limit=N&after=NAME: by name, with "has_more".
 *
 *   list -> list_done
 */

ngx_int_t
ngx_chat_user_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_uint_t             everybody;
    ngx_chat_sql_users_t  *op;

    enum { SEARCH, AFTER, LIMIT };

    ngx_chat_field_t  args[] = {
        { ngx_string("search"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("after"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("limit"), NGX_CHAT_FIELD_MISSING, ngx_null_string }
    };

    if (ngx_chat_http_args(r, args, 3) != NGX_OK) {
        return NGX_ERROR;
    }

    everybody = args[SEARCH].state == NGX_CHAT_FIELD_MISSING
                && args[AFTER].state == NGX_CHAT_FIELD_MISSING
                && args[LIMIT].state == NGX_CHAT_FIELD_MISSING;

    if (everybody) {
        rc = ngx_chat_cache_everybody_get(ngx_chat_http_cache(r), r->pool,
                                          &ctx->body);

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

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_sql_users_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    ctx->data = op;

    if (everybody) {
        return ngx_chat_api_query(r, ctx, &op->job, &ngx_chat_sql_users,
                                  ngx_chat_user_list_everybody);
    }

    if (args[SEARCH].state == NGX_CHAT_FIELD_INVALID) {
        return ngx_chat_http_invalid(r, ctx, "search", "Not a valid string.");
    }

    if (args[AFTER].state == NGX_CHAT_FIELD_INVALID) {
        return ngx_chat_http_invalid(r, ctx, "after", "Not a valid string.");
    }

    if (ngx_chat_people_limit(&args[LIMIT], &op->limit) != NGX_OK) {
        return ngx_chat_people_bad_limit(r, ctx);
    }

    op->search = args[SEARCH].value;
    op->after = args[AFTER].value;
    op->except = ctx->user.id;

    return ngx_chat_api_query(r, ctx, &op->job, &ngx_chat_sql_users,
                              ngx_chat_user_list_done);
}


static ngx_int_t
ngx_chat_user_list_everybody(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_users_t *op = ctx->data;

    ngx_chat_json_t  *json;

    if (op->job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_user_array(json, op->users);

    if (ngx_chat_json_done(json, &ctx->body) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_cache_everybody_put(ngx_chat_http_cache(r), &ctx->body,
                                 NGX_CHAT_PEOPLE_LIST_TTL);

    return ngx_chat_user_list_others(r, ctx);
}


/* cuts oneself out of the list, which is a copy of our own */

static ngx_int_t
ngx_chat_user_list_others(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    u_char           *p, *last, *end;
    ngx_str_t         own;
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_user_json(json, &ctx->user);

    if (ngx_chat_json_done(json, &own) != NGX_OK) {
        return NGX_ERROR;
    }

    end = ctx->body.data + ctx->body.len;
    p = memmem(ctx->body.data, ctx->body.len, own.data, own.len);

    if (p == NULL) {
        return NGX_HTTP_OK;
    }

    last = p + own.len;

    /* with one of the commas beside it */

    if (*last == ',') {
        last++;

    } else if (p[-1] == ',') {
        p--;
    }

    ctx->body.len -= last - p;
    ngx_memmove(p, last, end - last);

    return NGX_HTTP_OK;
}


static ngx_int_t
ngx_chat_user_list_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_users_t *op = ctx->data;

    ngx_chat_json_t  *json;

    if (op->job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "results");
    ngx_chat_user_array(json, op->users);
    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, op->more);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_user_array(ngx_chat_json_t *json, ngx_array_t *users)
{
    ngx_uint_t        i;
    ngx_chat_user_t  *user;

    ngx_chat_json_array(json);

    if (users) {
        user = users->elts;

        for (i = 0; i < users->nelts; i++) {
            ngx_chat_user_json(json, &user[i]);
        }
    }

    ngx_chat_json_end(json);
}


/* GET user/<id>/ */

ngx_int_t
ngx_chat_user_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_user_t  *op;

    if (ctx->id > NGX_MAX_UINT32_VALUE) {
        return ngx_chat_http_not_found(r, ctx);
    }

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_sql_user_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->id = (uint32_t) ctx->id;
    ctx->data = op;

    return ngx_chat_api_query(r, ctx, &op->job, &ngx_chat_sql_user_by_id,
                              ngx_chat_user_get_done);
}


static ngx_int_t
ngx_chat_user_get_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_user_t *op = ctx->data;

    ngx_chat_json_t  *json;

    if (op->job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    if (op->user.id == 0 || !op->user.active) {
        return ngx_chat_http_not_found(r, ctx);
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_user_json(json, &op->user);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_user_json(ngx_chat_json_t *json, ngx_chat_user_t *user)
{
    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "username");
    ngx_chat_json_string(json, &user->name);
    ngx_chat_json_end(json);
}


static ngx_int_t
ngx_chat_people_limit(ngx_chat_field_t *field, ngx_uint_t *limit)
{
    uint64_t  n;

    if (field->state == NGX_CHAT_FIELD_MISSING) {
        *limit = NGX_CHAT_PEOPLE_LIMIT;
        return NGX_OK;
    }

    if (ngx_chat_text_id(&field->value, &n) != NGX_OK
        || n > NGX_CHAT_PEOPLE_MAX)
    {
        return NGX_DECLINED;
    }

    *limit = (ngx_uint_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_people_bad_limit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    return ngx_chat_http_invalid(r, ctx, "limit",
                                 "A valid integer from 1 to 100 is "
                                 "required.");
}


/* GET conversation/?limit=N&before=CURSOR: the inbox */

ngx_int_t
ngx_chat_conversation_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_conversations_t  *op;

    enum { BEFORE, LIMIT };

    ngx_chat_field_t  args[] = {
        { ngx_string("before"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("limit"), NGX_CHAT_FIELD_MISSING, ngx_null_string }
    };

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_sql_conversations_t));
    if (op == NULL || ngx_chat_http_args(r, args, 2) != NGX_OK) {
        return NGX_ERROR;
    }

    op->user_id = ctx->user.id;
    op->user = ctx->user.name;
    ctx->data = op;

    if (ngx_chat_people_limit(&args[LIMIT], &op->limit) != NGX_OK) {
        return ngx_chat_people_bad_limit(r, ctx);
    }

    if (args[BEFORE].state != NGX_CHAT_FIELD_MISSING
        && ngx_chat_text_id(&args[BEFORE].value, &op->before) != NGX_OK)
    {
        return ngx_chat_http_invalid(r, ctx, "before",
                                     "A valid cursor is required.");
    }

    return ngx_chat_api_query(r, ctx, &op->job, &ngx_chat_sql_conversations,
                              ngx_chat_conversation_list_done);
}


static ngx_int_t
ngx_chat_conversation_list_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_conversations_t *op = ctx->data;

    ngx_uint_t                i;
    ngx_chat_json_t          *json;
    ngx_chat_conversation_t  *conv, *last;

    if (op->job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "results");
    ngx_chat_json_array(json);

    conv = op->conversations ? op->conversations->elts : NULL;
    last = NULL;

    for (i = 0; conv && i < op->conversations->nelts; i++) {
        last = &conv[i];

        ngx_chat_json_object(json);
        ngx_chat_json_key(json, "user");
        ngx_chat_json_string(json, &last->peer);
        ngx_chat_json_key(json, "unread");
        ngx_chat_json_number(json, last->unread);
        ngx_chat_json_key(json, "last_message");
        ngx_chat_json_message(json, &last->last);
        ngx_chat_json_key(json, "read_id");
        ngx_chat_json_number(json, last->read_id);
        ngx_chat_json_key(json, "peer_read_id");
        ngx_chat_json_number(json, last->peer_read_id);
        ngx_chat_json_end(json);
    }

    ngx_chat_json_end(json);

    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, op->more);
    ngx_chat_json_key(json, "cursor");

    if (last) {
        ngx_chat_json_id(json, last->last.id);

    } else {
        ngx_chat_json_null(json);
    }

    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


/*
 * POST conversation/<name>/read/ {"id":N}
 *
 *   read -> (peer looked up) -> read_mark -> read_done
 */

ngx_int_t
ngx_chat_conversation_read(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_chat_conversation_read_t  *read;

    ngx_chat_field_t  fields[] = {
        { ngx_string("id"), NGX_CHAT_FIELD_MISSING, ngx_null_string }
    };

    rc = ngx_chat_http_fields(r, ctx, fields, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_chat_http_required(r, ctx, fields, 1, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    read = ngx_pcalloc(r->pool, sizeof(ngx_chat_conversation_read_t));
    if (read == NULL) {
        return NGX_ERROR;
    }

    if (ngx_chat_text_id(&fields[0].value, &read->op.id) != NGX_OK) {
        return ngx_chat_http_invalid(r, ctx, "id",
                                     "A valid message id is required.");
    }

    ctx->data = read;

    return ngx_chat_user_find(r, ctx, &ctx->name, &read->peer,
                              ngx_chat_conversation_read_mark);
}


static ngx_int_t
ngx_chat_conversation_read_mark(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_read_t *read = ctx->data;

    if (read->peer.id == 0) {
        return ngx_chat_http_not_found(r, ctx);
    }

    read->op.user_id = ctx->user.id;
    read->op.peer_id = read->peer.id;

    return ngx_chat_api_query(r, ctx, &read->op.job, &ngx_chat_sql_read,
                              ngx_chat_conversation_read_done);
}


static ngx_int_t
ngx_chat_conversation_read_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_conversation_read_t *read = ctx->data;

    ngx_chat_json_t  *json;

    if (read->op.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "unread");
    ngx_chat_json_number(json, read->op.unread);
    ngx_chat_json_key(json, "read_id");
    ngx_chat_json_number(json, read->op.read_id);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}
