
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/api/ngx_chat_endpoint.h"


/* offsets of later pages would overflow */
#define NGX_CHAT_MESSAGE_MAX_PAGE  (1 << 30)

/* maximum offset of a page, from the newest or the oldest message */
#define NGX_CHAT_MESSAGE_MAX_OFFSET  10000

#define NGX_CHAT_MESSAGE_LATEST    0x7fffffffffffffffULL

#define NGX_CHAT_MESSAGE_MAX_SEARCH  100      /* characters */


/* state of a list */

typedef struct {
    ngx_chat_query_history_t   op;             /* first member */
    ngx_chat_user_t            target;
    ngx_str_t                  name;
    uint64_t                   page;           /* number, from 1 */
    ngx_uint_t                 size;           /* messages per page */
    uint64_t                   horizon;        /* second id of the cursor */
    unsigned                   latest:1;       /* after=latest */
    unsigned                   changed:1;      /* "query" is set */
    ngx_chat_changed_query_t   query;          /* for the zone */
    ngx_chat_query_history_t   own;            /* query of the user's last
                                                  message below the horizon */
    const ngx_chat_db_type_t  *type;
    ngx_chat_step_pt           answer;
} ngx_chat_message_list_t;


static ngx_int_t ngx_chat_message_list_args(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_message_list_t *list,
    ngx_chat_field_t *target);
static ngx_int_t ngx_chat_message_list_page_args(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_message_list_t *list, ngx_chat_field_t *page);
static ngx_int_t ngx_chat_message_list_keyset_args(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_message_list_t *list,
    ngx_chat_field_t *after, ngx_chat_field_t *before);
static ngx_int_t ngx_chat_message_list_search_args(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_message_list_t *list,
    ngx_chat_field_t *search, ngx_chat_field_t *after,
    ngx_chat_field_t *before);
static ngx_int_t ngx_chat_message_list_search(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_cursor(ngx_str_t *value,
    ngx_chat_message_list_t *list);
static ngx_int_t ngx_chat_message_list_query(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_known(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_far(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_page(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_keyset(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_own(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_message_list_horizon(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_message_cursor(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_json_t *json, u_char *buf);
static void ngx_chat_message_results(ngx_http_request_t *r,
    ngx_chat_json_t *json, ngx_array_t *messages);


/*
 * GET message/[?target=NAME][&page=N | &after=CURSOR[&changes=1] | &before=ID]
 *     [&limit=N]
 * GET message/?search=TEXT[&target=NAME][&before=ID][&limit=N]
 *
 *   list -> (target looked up) -> list_query -> list_page | list_keyset
 *                                               | list_search
 *                                               | list_far -> list_page
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

    return ngx_chat_user_find(r, ctx, &list->name, 0, &list->target,
                              ngx_chat_message_list_query);
}


static ngx_int_t
ngx_chat_message_list_args(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_list_t *list, ngx_chat_field_t *target)
{
    ngx_int_t             rc;
    ngx_chat_loc_conf_t  *chlcf;

    enum { TARGET, PAGE, AFTER, BEFORE, LIMIT, CHANGES, SEARCH };

    ngx_chat_field_t  args[] = {
        ngx_chat_field("target"),
        ngx_chat_field("page"),
        ngx_chat_field("after"),
        ngx_chat_field("before"),
        ngx_chat_field("limit"),
        ngx_chat_field("changes"),
        ngx_chat_field("search")
    };

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (ngx_chat_request_args(r, args, 7) != NGX_OK) {
        return NGX_ERROR;
    }

    *target = args[TARGET];

    list->page = 1;
    list->size = chlcf->page_size;
    list->op.limit = chlcf->page_size;

    if (args[AFTER].state == NGX_CHAT_FIELD_MISSING
        && args[BEFORE].state == NGX_CHAT_FIELD_MISSING
        && args[SEARCH].state == NGX_CHAT_FIELD_MISSING)
    {
        return ngx_chat_message_list_page_args(r, ctx, list, &args[PAGE]);
    }

    if (args[LIMIT].state != NGX_CHAT_FIELD_MISSING) {
        rc = ngx_chat_request_limit(r, ctx, &args[LIMIT], &list->op.limit);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (args[SEARCH].state != NGX_CHAT_FIELD_MISSING) {
        return ngx_chat_message_list_search_args(r, ctx, list, &args[SEARCH],
                                                 &args[AFTER], &args[BEFORE]);
    }

    list->op.changes = (args[AFTER].state != NGX_CHAT_FIELD_MISSING
                        && args[CHANGES].value.len == 1
                        && args[CHANGES].value.data[0] == '1');

    return ngx_chat_message_list_keyset_args(r, ctx, list, &args[AFTER],
                                             &args[BEFORE]);
}


static ngx_int_t
ngx_chat_message_list_page_args(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_list_t *list, ngx_chat_field_t *page)
{
    list->type = &ngx_chat_query_history_page;
    list->answer = ngx_chat_message_list_page;

    if (page->state == NGX_CHAT_FIELD_MISSING) {
        return NGX_OK;
    }

    if (page->value.len == 4
        && ngx_strncmp(page->value.data, "last", 4) == 0)
    {
        list->op.last = 1;
        return NGX_OK;
    }

    if (ngx_chat_string_id(&page->value, &list->page) != NGX_OK
        || list->page > NGX_CHAT_MESSAGE_MAX_PAGE)
    {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                       "Invalid page.");
    }

    list->op.offset = (list->page - 1) * list->op.limit;

    if (list->op.offset > NGX_CHAT_MESSAGE_MAX_OFFSET) {
        list->type = &ngx_chat_query_history_count;
        list->answer = ngx_chat_message_list_far;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_list_keyset_args(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_list_t *list, ngx_chat_field_t *after,
    ngx_chat_field_t *before)
{
    list->answer = ngx_chat_message_list_keyset;

    if (after->state != NGX_CHAT_FIELD_MISSING) {
        list->type = &ngx_chat_query_history_after;
        list->answer = ngx_chat_message_list_own;

        if (before->state != NGX_CHAT_FIELD_MISSING
            || ngx_chat_message_list_cursor(&after->value, list)
               != NGX_OK)
        {
            return ngx_chat_response_invalid(r, ctx, "after",
                                             "A valid cursor is required.");
        }

        return NGX_OK;
    }

    list->type = &ngx_chat_query_history_before;

    if (before->value.len == 6
        && ngx_strncmp(before->value.data, "latest", 6) == 0)
    {
        list->op.id = NGX_CHAT_MESSAGE_LATEST;

    } else if (ngx_chat_string_id(&before->value, &list->op.id)
               != NGX_OK)
    {
        return ngx_chat_response_invalid(r, ctx, "before",
                                         "A valid cursor is required.");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_message_list_search_args(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_message_list_t *list, ngx_chat_field_t *search,
    ngx_chat_field_t *after, ngx_chat_field_t *before)
{
    ngx_int_t  rc;

    if (search->state == NGX_CHAT_FIELD_INVALID || search->value.len == 0
        || ngx_chat_string_length(&search->value)
           > NGX_CHAT_MESSAGE_MAX_SEARCH)
    {
        return ngx_chat_response_invalid(r, ctx, "search",
                                         "1 to 100 characters are required.");
    }

    if (after->state != NGX_CHAT_FIELD_MISSING) {
        return ngx_chat_response_invalid(r, ctx, "after",
                                         "A valid cursor is required.");
    }

    if (before->state == NGX_CHAT_FIELD_MISSING) {
        list->op.id = NGX_CHAT_MESSAGE_LATEST;

    } else {
        rc = ngx_chat_message_list_keyset_args(r, ctx, list, after, before);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    list->op.search = search->value;
    list->type = &ngx_chat_query_history_search;
    list->answer = ngx_chat_message_list_search;

    return NGX_OK;
}


/*
 * A cursor is an id up to which all messages have been returned.  While a
 * client reads several pages, it may be two ids, "4711.4650": pages have been
 * read up to the first id, but messages at or below it may still be committed,
 * so the next round begins at the second id.
 */

static ngx_int_t
ngx_chat_message_list_cursor(ngx_str_t *value, ngx_chat_message_list_t *list)
{
    u_char    *p, *last;
    ngx_str_t  first, second;

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

        } else if (ngx_chat_string_id(&second, &list->horizon) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    if (first.len == 1 && first.data[0] == '0') {
        return NGX_OK;
    }

    return ngx_chat_string_id(&first, &list->op.id);
}


static ngx_int_t
ngx_chat_message_list_query(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t  *list = ctx->data;

    list->op.peer_id = list->target.id;
    list->op.peer = list->target.name;
    list->op.user = ctx->user.name;

    /* no messages with an unknown user, but the response has a cursor */

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

    if (ngx_chat_message_list_known(r, ctx) == NGX_OK) {
        ctx->next = list->answer;
        return NGX_OK;
    }

    return ngx_chat_step_query(r, ctx, &list->op.job, list->type,
                               list->answer);
}


/* sets the result if the zone knows that there are no messages after the id */

static ngx_int_t
ngx_chat_message_list_known(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t  *list = ctx->data;

    ngx_chat_main_conf_t  *chmcf;

    if (list->type != &ngx_chat_query_history_after
        || list->op.peer_id
        || list->horizon != NGX_CHAT_MESSAGE_LATEST
        || list->latest)
    {
        return NGX_DECLINED;
    }

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    if (ngx_chat_changed_get(chmcf->worker->changed, ctx->user.id, list->op.id,
                             list->op.changes, &list->query)
        != NGX_OK)
    {
        list->changed = 1;
        return NGX_DECLINED;
    }

    list->op.horizon = list->op.id;
    list->op.own = 1;

    return NGX_OK;
}


/* large offsets are slow: count from the other end, or reject */

static ngx_int_t
ngx_chat_message_list_far(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t  *list = ctx->data;

    uint64_t  rest, offset;

    if (list->op.offset >= list->op.count) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                       "Invalid page.");
    }

    /* from the oldest message to the newest of this page */

    rest = list->op.count - list->op.offset;
    offset = (rest > list->size) ? rest - list->size : 0;

    if (offset > NGX_CHAT_MESSAGE_MAX_OFFSET) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                       "This page is more than 10000 messages "
                                       "away from the newest and the oldest "
                                       "one. Use \"before\" to read on.");
    }

    list->op.offset = offset;
    list->op.limit = rest - offset;

    return ngx_chat_step_query(r, ctx, &list->op.job,
                               &ngx_chat_query_history_far,
                               ngx_chat_message_list_page);
}


static ngx_int_t
ngx_chat_message_list_page(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t  *list = ctx->data;

    uint64_t          pages;
    ngx_chat_json_t  *json;

    pages = list->op.count ? (list->op.count + list->size - 1) / list->size
                           : 1;

    if (list->op.last) {
        list->page = pages;
    }

    if (list->page > pages) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                       "Invalid page.");
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "count");
    ngx_chat_json_number(json, list->op.count);

    if (ngx_chat_request_page_link(r, json, "next",
                                   (list->page < pages) ? list->page + 1 : 0)
        != NGX_OK
        || ngx_chat_request_page_link(r, json, "previous", list->page - 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_chat_message_results(r, json, list->op.messages);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/* the horizon is known; find one that may be sent to this user */

static ngx_int_t
ngx_chat_message_list_own(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t  *list = ctx->data;

    if (list->op.own) {
        ctx->next = ngx_chat_message_list_keyset;
        return NGX_OK;
    }

    list->own.user_id = ctx->user.id;
    list->own.id = list->op.horizon + 1;
    list->own.limit = 1;
    list->own.changes = list->op.changes;

    return ngx_chat_step_query(r, ctx, &list->own.job,
                               &ngx_chat_query_history_before,
                               ngx_chat_message_list_horizon);
}


static ngx_int_t
ngx_chat_message_list_horizon(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t  *list = ctx->data;

    ngx_chat_message_t  *message;

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
    ngx_chat_message_list_t  *list = ctx->data;

    u_char           *buf;
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    buf = ngx_pnalloc(r->pool, 2 * NGX_INT64_LEN + 1);

    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_message_results(r, json, list->op.messages);
    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, list->op.has_more);
    ngx_chat_json_key(json, "cursor");
    ngx_chat_message_cursor(r, ctx, json, buf);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


static ngx_int_t
ngx_chat_message_list_search(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_message_list_t  *list = ctx->data;

    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_message_results(r, json, list->op.messages);
    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, list->op.has_more);
    ngx_chat_json_key(json, "cursor");

    if (list->op.lowest) {
        ngx_chat_json_id(json, list->op.lowest);

    } else {
        ngx_chat_json_null(json);
    }

    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_message_cursor(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_json_t *json, u_char *buf)
{
    ngx_chat_message_list_t  *list = ctx->data;

    uint64_t               id, horizon;
    ngx_str_t              cursor;
    ngx_chat_message_t    *messages;
    ngx_chat_main_conf_t  *chmcf;

    id = list->op.id;

    if (list->op.messages && list->op.messages->nelts) {
        messages = list->op.messages->elts;
        id = messages[list->op.messages->nelts - 1].id;
    }

    if (list->type == &ngx_chat_query_history_before) {

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

        if (list->changed && !list->op.has_more) {
            chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

            ngx_chat_changed_put(chmcf->worker->changed, ctx->user.id, id,
                                 list->op.changes, &list->query);
        }

    } else if (list->op.has_more) {
        cursor.len = ngx_sprintf(buf, "%uL.%uL", id, horizon) - buf;

    } else {
        cursor.len = ngx_sprintf(buf, "%uL", horizon) - buf;
    }

    ngx_chat_json_string(json, &cursor);
}


static void
ngx_chat_message_results(ngx_http_request_t *r, ngx_chat_json_t *json,
    ngx_array_t *messages)
{
    ngx_uint_t           i;
    ngx_chat_message_t  *message;

    ngx_chat_json_key(json, "results");
    ngx_chat_json_array(json);

    if (messages) {
        message = messages->elts;

        for (i = 0; i < messages->nelts; i++) {
            if (message[i].target_id) {
                ngx_chat_json_change(json, &message[i],
                                     ngx_chat_http_base(r));

            } else {
                ngx_chat_json_message(json, &message[i],
                                      ngx_chat_http_base(r));
            }
        }
    }

    ngx_chat_json_end(json);
}
