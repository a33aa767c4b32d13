
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_api.h"
#include "ngx_chat_people.h"
#include "ngx_chat_message.h"


/* pages beyond are empty anyway, and their offsets would overflow */
#define NGX_CHAT_MESSAGE_MAX_PAGE  (1 << 30)

#define NGX_CHAT_MESSAGE_LATEST    0x7fffffffffffffffULL


/* a parameter of the query string */

typedef struct {
    ngx_str_t                  key;
    ngx_str_t                  value;
    ngx_uint_t                 order;          /* as it came */
} ngx_chat_message_arg_t;


/* of a list */

typedef struct {
    ngx_chat_sql_messages_t    op;             /* first: the job */
    ngx_chat_user_t            target;
    ngx_str_t                  name;
    uint64_t                   page;           /* from 1 */
    uint64_t                   horizon;        /* of an earlier page */
    unsigned                   latest:1;
    ngx_chat_sql_messages_t    own;            /* the last at the horizon */
    const ngx_chat_db_class_t *class;
    ngx_chat_step_pt           answer;
} ngx_chat_message_list_t;


static ngx_int_t ngx_chat_message_list_args(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_message_list_t *list,
    ngx_chat_field_t *target);
static ngx_int_t ngx_chat_message_list_cursor(ngx_str_t *value,
    ngx_chat_message_list_t *list);
static ngx_int_t ngx_chat_message_list_query(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_page(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_keyset(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_own(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_horizon(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_message_cursor(ngx_chat_json_t *json,
    ngx_chat_message_list_t *list, u_char *buf);
static void ngx_chat_message_results(ngx_chat_json_t *json,
    ngx_array_t *messages);
static ngx_int_t ngx_chat_message_link(ngx_http_request_t *r,
    ngx_chat_json_t *json, const char *key, uint64_t page);
static ngx_int_t ngx_chat_message_link_args(ngx_http_request_t *r,
    ngx_array_t *args, uint64_t page);
static int ngx_chat_message_cmp_args(const void *one, const void *two);

static ngx_int_t ngx_chat_message_get_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 * GET message/[?target=NAME][&page=N | &after=CURSOR | &before=ID][&limit=N]
 *
 *   list -> (target looked up) -> list_query -> list_page | list_keyset
 *                                               | list_own -> list_keyset
 *                                               | list_own -> list_horizon
 *                                                 -> list_keyset
 */

ngx_int_t
ngx_chat_message_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_chat_field_t          target;
    ngx_chat_message_list_t  *list;

    list = ngx_pcalloc(r->pool, sizeof(ngx_chat_message_list_t));
    if (list == NULL) {
        return NGX_ERROR;
    }

    ctx->data = list;

    rc = ngx_chat_message_list_args(r, ctx, list, &target);
    if (rc != NGX_OK) {
        return rc;
    }

    list->op.user_id = ctx->user.id;

    if (target.state == NGX_CHAT_FIELD_MISSING) {
        ctx->next = ngx_chat_message_list_query;
        return NGX_OK;
    }

    list->name = target.value;

    return ngx_chat_user_find(r, ctx, &list->name, &list->target,
                              ngx_chat_message_list_query);
}


static ngx_int_t
ngx_chat_message_list_args(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_list_t *list, ngx_chat_field_t *target)
{
    uint64_t              limit;
    ngx_chat_loc_conf_t  *chlcf;

    enum { TARGET, PAGE, AFTER, BEFORE, LIMIT };

    ngx_chat_field_t  args[] = {
        { ngx_string("target"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("page"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("after"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("before"), NGX_CHAT_FIELD_MISSING, ngx_null_string },
        { ngx_string("limit"), NGX_CHAT_FIELD_MISSING, ngx_null_string }
    };

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (ngx_chat_http_args(r, args, 5) != NGX_OK) {
        return NGX_ERROR;
    }

    *target = args[TARGET];

    list->page = 1;
    list->op.limit = chlcf->page_size;

    if (args[AFTER].state == NGX_CHAT_FIELD_MISSING
        && args[BEFORE].state == NGX_CHAT_FIELD_MISSING)
    {
        list->class = &ngx_chat_sql_messages_page;
        list->answer = ngx_chat_message_list_page;

        if (args[PAGE].state == NGX_CHAT_FIELD_MISSING) {
            return NGX_OK;
        }

        if (args[PAGE].value.len == 4
            && ngx_strncmp(args[PAGE].value.data, "last", 4) == 0)
        {
            list->op.last = 1;
            return NGX_OK;
        }

        if (ngx_chat_text_id(&args[PAGE].value, &list->page) != NGX_OK
            || list->page > NGX_CHAT_MESSAGE_MAX_PAGE)
        {
            return ngx_chat_http_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                       "Invalid page.");
        }

        list->op.offset = (list->page - 1) * list->op.limit;

        return NGX_OK;
    }

    list->answer = ngx_chat_message_list_keyset;

    if (args[LIMIT].state != NGX_CHAT_FIELD_MISSING) {

        if (ngx_chat_text_id(&args[LIMIT].value, &limit) != NGX_OK
            || limit > 100)
        {
            return ngx_chat_http_invalid(r, ctx, "limit",
                                         "A valid integer from 1 to 100 is "
                                         "required.");
        }

        list->op.limit = limit;
    }

    if (args[AFTER].state != NGX_CHAT_FIELD_MISSING) {
        list->class = &ngx_chat_sql_messages_after;
        list->answer = ngx_chat_message_list_own;

        if (args[BEFORE].state != NGX_CHAT_FIELD_MISSING
            || ngx_chat_message_list_cursor(&args[AFTER].value, list)
               != NGX_OK)
        {
            return ngx_chat_http_invalid(r, ctx, "after",
                                         "A valid cursor is required.");
        }

        return NGX_OK;
    }

    list->class = &ngx_chat_sql_messages_before;

    if (args[BEFORE].value.len == 6
        && ngx_strncmp(args[BEFORE].value.data, "latest", 6) == 0)
    {
        list->op.id = NGX_CHAT_MESSAGE_LATEST;

    } else if (ngx_chat_text_id(&args[BEFORE].value, &list->op.id)
               != NGX_OK)
    {
        return ngx_chat_http_invalid(r, ctx, "before",
                                     "A valid cursor is required.");
    }

    return NGX_OK;
}


/*
 * A cursor is an id: all up to it has been handed out.  While a client reads
 * page after page, it may be two, "4711.4650": pages have been read up to the
 * first, but something at or below it might still commit, so that the next
 * round has to begin at the second.
 */

static ngx_int_t
ngx_chat_message_list_cursor(ngx_str_t *value, ngx_chat_message_list_t *list)
{
    u_char     *p, *last;
    ngx_str_t   first, second;

    list->horizon = NGX_CHAT_MESSAGE_LATEST;

    if (value->len == 6 && ngx_strncmp(value->data, "latest", 6) == 0) {
        list->latest = 1;
        list->op.limit = 0;
        return NGX_OK;
    }

    first = *value;
    last = first.data + first.len;

    p = ngx_strlchr(first.data, last, '.');

    if (p) {
        second.data = p + 1;
        second.len = last - p - 1;
        first.len = p - first.data;

        if (second.len == 1 && second.data[0] == '0') {
            list->horizon = 0;

        } else if (ngx_chat_text_id(&second, &list->horizon) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    if (first.len == 1 && first.data[0] == '0') {
        return NGX_OK;
    }

    return ngx_chat_text_id(&first, &list->op.id);
}


static ngx_int_t
ngx_chat_message_list_query(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t *list = ctx->data;

    list->op.peer_id = list->target.id;
    list->op.peer = list->target.name;
    list->op.user = ctx->user.name;

    /* with nobody there is nothing, but a cursor is always wanted */

    if (list->name.data && list->target.id == 0) {

        list->op.messages = ngx_array_create(r->pool, 1,
                                             sizeof(ngx_chat_message_t));
        if (list->op.messages == NULL) {
            return NGX_ERROR;
        }

        list->op.horizon = list->op.id;
        list->op.own = 1;

        ctx->next = list->answer;
        return NGX_OK;
    }

    return ngx_chat_api_query(r, ctx, &list->op.job, list->class,
                              list->answer);
}


static ngx_int_t
ngx_chat_message_list_page(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t *list = ctx->data;

    uint64_t          pages;
    ngx_chat_json_t  *json;

    if (list->op.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    pages = list->op.count ? (list->op.count + list->op.limit - 1)
                             / list->op.limit
                           : 1;

    if (list->op.last) {
        list->page = pages;
    }

    if (list->page > pages) {
        return ngx_chat_http_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                   "Invalid page.");
    }

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "count");
    ngx_chat_json_number(json, list->op.count);

    if (ngx_chat_message_link(r, json, "next",
                              (list->page < pages) ? list->page + 1 : 0)
        != NGX_OK
        || ngx_chat_message_link(r, json, "previous", list->page - 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_chat_message_results(json, list->op.messages);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


/* the horizon is known; is it one that may be told? */

static ngx_int_t
ngx_chat_message_list_own(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t *list = ctx->data;

    if (list->op.job.rc == NGX_DECLINED || list->op.own) {
        ctx->next = ngx_chat_message_list_keyset;
        return NGX_OK;
    }

    list->own.user_id = ctx->user.id;
    list->own.id = list->op.horizon + 1;
    list->own.limit = 1;

    return ngx_chat_api_query(r, ctx, &list->own.job,
                              &ngx_chat_sql_messages_before,
                              ngx_chat_message_list_horizon);
}


static ngx_int_t
ngx_chat_message_list_horizon(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t *list = ctx->data;

    ngx_chat_message_t  *message;

    if (list->own.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    list->op.horizon = 0;

    if (list->own.messages->nelts) {
        message = list->own.messages->elts;
        list->op.horizon = message->id;
    }

    ctx->next = ngx_chat_message_list_keyset;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_list_keyset(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t *list = ctx->data;

    u_char           *buf;
    ngx_chat_json_t  *json;

    if (list->op.job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    json = ngx_chat_json_create(r->pool);
    buf = ngx_pnalloc(r->pool, 2 * NGX_INT64_LEN + 1);

    if (json == NULL || buf == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_message_results(json, list->op.messages);
    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, list->op.more);
    ngx_chat_json_key(json, "cursor");
    ngx_chat_message_cursor(json, list, buf);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_message_cursor(ngx_chat_json_t *json, ngx_chat_message_list_t *list,
    u_char *buf)
{
    uint64_t             id, horizon;
    ngx_str_t            cursor;
    ngx_chat_message_t  *messages;

    id = list->op.id;

    if (list->op.messages && list->op.messages->nelts) {
        messages = list->op.messages->elts;
        id = messages[list->op.messages->nelts - 1].id;
    }

    if (list->class == &ngx_chat_sql_messages_before) {

        if (list->op.messages->nelts == 0) {
            ngx_chat_json_null(json);
            return;
        }

        ngx_chat_json_id(json, id);
        return;
    }

    horizon = ngx_min(list->horizon, list->op.horizon);

    if (list->latest) {
        id = horizon;
    }

    cursor.data = buf;

    if (horizon >= id) {
        cursor.len = ngx_sprintf(buf, "%uL", id) - buf;

    } else if (list->op.more) {
        cursor.len = ngx_sprintf(buf, "%uL.%uL", id, horizon) - buf;

    } else {
        cursor.len = ngx_sprintf(buf, "%uL", horizon) - buf;
    }

    ngx_chat_json_string(json, &cursor);
}


static void
ngx_chat_message_results(ngx_chat_json_t *json, ngx_array_t *messages)
{
    ngx_uint_t           i;
    ngx_chat_message_t  *message;

    ngx_chat_json_key(json, "results");
    ngx_chat_json_array(json);

    if (messages) {
        message = messages->elts;

        for (i = 0; i < messages->nelts; i++) {
            ngx_chat_json_message(json, &message[i]);
        }
    }

    ngx_chat_json_end(json);
}


/*
 * The link to another page: absolute, the other parameters kept and sorted by
 * key, none for page 1, null for page 0.
 */

static ngx_int_t
ngx_chat_message_link(ngx_http_request_t *r, ngx_chat_json_t *json,
    const char *key, uint64_t page)
{
    u_char                  *p;
    size_t                   len;
    ngx_str_t                base, path, link;
    ngx_uint_t               i;
    ngx_array_t              args;
    ngx_chat_message_arg_t  *arg;

    ngx_chat_json_key(json, key);

    if (page == 0) {
        ngx_chat_json_null(json);
        return NGX_OK;
    }

    path = r->unparsed_uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');
    if (p) {
        path.len = p - path.data;
    }

    if (ngx_chat_http_base(r, &base) != NGX_OK
        || ngx_chat_http_escape(r, &path) != NGX_OK
        || ngx_array_init(&args, r->pool, 4, sizeof(ngx_chat_message_arg_t))
           != NGX_OK
        || ngx_chat_message_link_args(r, &args, page) != NGX_OK)
    {
        return NGX_ERROR;
    }

    arg = args.elts;
    len = base.len + path.len;

    for (i = 0; i < args.nelts; i++) {
        len += 2 + 3 * (arg[i].key.len + arg[i].value.len);
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    link.data = p;

    p = ngx_sprintf(p, "%V%V", &base, &path);

    for (i = 0; i < args.nelts; i++) {
        *p++ = i ? '&' : '?';
        p = ngx_chat_text_encode(p, &arg[i].key);
        *p++ = '=';
        p = ngx_chat_text_encode(p, &arg[i].value);
    }

    link.len = p - link.data;

    ngx_chat_json_string(json, &link);

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_link_args(ngx_http_request_t *r, ngx_array_t *args,
    uint64_t page)
{
    u_char                  *p, *next, *last, *eq;
    ngx_str_t                key;
    ngx_uint_t               i;
    ngx_chat_message_arg_t  *arg;

    p = r->args.data;
    last = r->args.len ? p + r->args.len : p;

    for ( /* void */ ; p < last; p = next + 1) {
        next = ngx_strlchr(p, last, '&');
        if (next == NULL) {
            next = last;
        }

        if (next == p) {
            continue;
        }

        eq = ngx_strlchr(p, next, '=');
        if (eq == NULL) {
            eq = next;
        }

        if (ngx_chat_text_decode(r->pool, p, eq, &key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (key.len == 4 && ngx_strncmp(key.data, "page", 4) == 0) {
            continue;
        }

        arg = ngx_array_push(args);
        if (arg == NULL) {
            return NGX_ERROR;
        }

        arg->key = key;

        if (ngx_chat_text_decode(r->pool, ngx_min(eq + 1, next), next,
                                 &arg->value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (page > 1) {
        arg = ngx_array_push(args);
        if (arg == NULL) {
            return NGX_ERROR;
        }

        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_str_set(&arg->key, "page");

        arg->value.data = p;
        arg->value.len = ngx_sprintf(p, "%uL", page) - p;
    }

    arg = args->elts;

    for (i = 0; i < args->nelts; i++) {
        arg[i].order = i;
    }

    /* ngx_sort() takes half a second for as many as a request may have */

    ngx_qsort(args->elts, args->nelts, sizeof(ngx_chat_message_arg_t),
              ngx_chat_message_cmp_args);

    return NGX_OK;
}


static int
ngx_chat_message_cmp_args(const void *one, const void *two)
{
    const ngx_chat_message_arg_t *a = one;
    const ngx_chat_message_arg_t *b = two;

    ngx_int_t  rc;

    rc = ngx_memn2cmp(a->key.data, b->key.data, a->key.len, b->key.len);

    if (rc == 0) {
        return (a->order < b->order) ? -1 : 1;
    }

    return (rc < 0) ? -1 : 1;
}


/*
 * GET message/<id>/
 *
 *   get -> (zone: answered) -> get_done
 */

ngx_int_t
ngx_chat_message_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_chat_sql_message_t  *op;

    ctx->message_id = ctx->id;

    rc = ngx_chat_cache_message_get(ngx_chat_http_cache(r), ctx->id,
                                    ctx->user.id, r->pool, &ctx->body);

    if (rc == NGX_OK) {
        ngx_chat_http_count(r, NGX_CHAT_COUNT_MESSAGE_HIT);
        ngx_chat_http_event(r, ctx->user.id);
        return NGX_HTTP_OK;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* rc == NGX_DECLINED */

    ngx_chat_http_count(r, NGX_CHAT_COUNT_MESSAGE_MISS);

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_sql_message_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->id = ctx->id;
    op->user_id = ctx->user.id;
    ctx->data = op;

    return ngx_chat_api_query(r, ctx, &op->job, &ngx_chat_sql_message_get,
                              ngx_chat_message_get_done);
}


static ngx_int_t
ngx_chat_message_get_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_sql_message_t *op = ctx->data;

    if (op->job.rc == NGX_DECLINED) {
        return NGX_ERROR;
    }

    if (op->message.id == 0) {
        return ngx_chat_http_not_found(r, ctx);
    }

    return ngx_chat_message_one(r, ctx, NGX_HTTP_OK, &op->message);
}


/* the message is the answer, and is kept for the next who asks */

ngx_int_t
ngx_chat_message_one(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_message_t *message)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_message(json, message);

    if (ngx_chat_json_done(json, &ctx->body) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_chat_cache_message_put(ngx_chat_http_cache(r), message->id,
                               message->sender_id, message->recipient_id,
                               &ctx->body);

    return status;
}
