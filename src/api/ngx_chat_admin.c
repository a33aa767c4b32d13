
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/query/ngx_chat_query_admin.h"
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/api/ngx_chat_endpoint.h"


/*
 * Administration.  The routing table rejects other users.  The queries check
 * the administrator again.
 */


/* state of a change */

typedef struct {
    ngx_chat_query_admin_t      op;            /* first member */
    ngx_chat_query_user_t       found;
} ngx_chat_admin_change_t;


static ngx_int_t ngx_chat_admin_users_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_admin_account(ngx_chat_json_t *json,
    ngx_chat_query_account_t *account);
static ngx_int_t ngx_chat_admin_flag(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_field_t *field, ngx_uint_t *set,
    ngx_uint_t *flag);
static ngx_int_t ngx_chat_admin_change_found(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_admin_change_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_admin_change_show(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_admin_audit_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* GET admin/user/?search=TEXT&after=NAME&limit=N: all users, by name */

ngx_int_t
ngx_chat_admin_users(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_chat_query_admin_t  *op;

    enum { SEARCH, AFTER, LIMIT };

    ngx_chat_field_t  args[] = {
        ngx_chat_field("search"),
        ngx_chat_field("after"),
        ngx_chat_field("limit")
    };

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_admin_t));
    if (op == NULL || ngx_chat_request_args(r, args, 3) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = SEARCH; i <= AFTER; i++) {
        if (args[i].state == NGX_CHAT_FIELD_INVALID) {
            return ngx_chat_response_invalid(r, ctx,
                                             (const char *) args[i].name.data,
                                             "Not a valid string.");
        }
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

    op->actor_id = ctx->user.id;
    ctx->data = op;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_admin_users,
                               ngx_chat_admin_users_done);
}


static ngx_int_t
ngx_chat_admin_users_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_admin_t  *op = ctx->data;

    ngx_uint_t                 i;
    ngx_chat_json_t           *json;
    ngx_chat_query_account_t  *account;

    if (op->job.rc != NGX_OK) {
        return ngx_chat_profile_declined(r, ctx, &op->job);
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "results");
    ngx_chat_json_array(json);

    account = op->rows->elts;

    for (i = 0; i < op->rows->nelts; i++) {
        ngx_chat_admin_account(json, &account[i]);
    }

    ngx_chat_json_end(json);
    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, op->has_more);
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_admin_account(ngx_chat_json_t *json,
    ngx_chat_query_account_t *account)
{
    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "username");
    ngx_chat_json_string(json, &account->name);
    ngx_chat_profile_member(json, "display_name",
                            &account->profile.display_name);
    ngx_chat_profile_member(json, "avatar_url", &account->profile.avatar_url);
    ngx_chat_json_key(json, "is_active");
    ngx_chat_json_bool(json, account->active);
    ngx_chat_json_key(json, "is_admin");
    ngx_chat_json_bool(json, account->admin);
    ngx_chat_json_key(json, "created_at");
    ngx_chat_json_string(json, &account->created);
    ngx_chat_profile_member(json, "last_seen_at", &account->profile.seen);
    ngx_chat_json_end(json);
}


/*
 * PATCH admin/user/<name>/ {"is_active":...,"is_admin":...,"display_name":...}
 *
 *   change -> (looked up) -> change_found -> change_done -> change_show
 */

ngx_int_t
ngx_chat_admin_change(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_uint_t                set, flag;
    ngx_chat_loc_conf_t      *chlcf;
    ngx_chat_admin_change_t  *change;

    enum { ACTIVE, ADMIN, NAME };

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("is_active"),
        ngx_chat_field("is_admin"),
        ngx_chat_field("display_name")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 3);
    if (rc != NGX_OK) {
        return rc;
    }

    change = ngx_pcalloc(r->pool, sizeof(ngx_chat_admin_change_t));
    if (change == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_chat_admin_flag(r, ctx, &fields[ACTIVE], &set, &flag);
    if (rc != NGX_OK) {
        return rc;
    }

    change->op.set_active = set;
    change->op.active = flag;

    rc = ngx_chat_admin_flag(r, ctx, &fields[ADMIN], &set, &flag);
    if (rc != NGX_OK) {
        return rc;
    }

    change->op.set_admin = set;
    change->op.admin = flag;

    if (fields[NAME].state != NGX_CHAT_FIELD_MISSING) {
        change->op.set_name = 1;

        rc = ngx_chat_profile_field(r, ctx, &fields[NAME],
                                    &change->op.display_name);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_chat_unicode_name_forms(r->pool, &ctx->name, 0,
                                     &change->found.name);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? ngx_chat_response_not_found(r, ctx)
                                    : NGX_ERROR;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    change->op.actor_id = ctx->user.id;
    change->op.site = (chlcf->auth == NGX_CHAT_AUTH_VARIABLE);
    change->op.address = r->connection->addr_text;
    ngx_memcpy(change->op.hash, ctx->auth.hash, NGX_CHAT_HASH_LEN);

    ctx->data = change;

    return ngx_chat_step_query(r, ctx, &change->found.job,
                               &ngx_chat_query_user_by_name,
                               ngx_chat_admin_change_found);
}


/* JSON true or false, or these words */

static ngx_int_t
ngx_chat_admin_flag(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *field, ngx_uint_t *set, ngx_uint_t *flag)
{
    *set = 0;
    *flag = 0;

    if (field->state == NGX_CHAT_FIELD_MISSING) {
        return NGX_OK;
    }

    *set = 1;

    if (field->value.len == 4
        && ngx_strncmp(field->value.data, "true", 4) == 0)
    {
        *flag = 1;
        return NGX_OK;
    }

    if (field->value.len == 5
        && ngx_strncmp(field->value.data, "false", 5) == 0)
    {
        return NGX_OK;
    }

    return ngx_chat_response_invalid(r, ctx, (const char *) field->name.data,
                                     "Must be a valid boolean.");
}


/*
 * No administrator revokes the own rights.  So the last administrator remains
 * one: any other one must be an administrator to revoke the rights.
 */

static ngx_int_t
ngx_chat_admin_change_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_admin_change_t  *change = ctx->data;

    if (change->found.user.id == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    change->op.id = change->found.user.id;

    if (change->op.id == ctx->user.id
        && ((change->op.set_admin && !change->op.admin)
            || (change->op.set_active && !change->op.active)))
    {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_CONFLICT,
                                       "You cannot revoke your own rights.");
    }

    ctx->write = 1;

    return ngx_chat_step_query(r, ctx, &change->op.job,
                               &ngx_chat_query_admin_change,
                               ngx_chat_admin_change_done);
}


static ngx_int_t
ngx_chat_admin_change_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_admin_change_t  *change = ctx->data;

    if (change->op.job.rc != NGX_OK) {
        return ngx_chat_profile_declined(r, ctx, &change->op.job);
    }

    if (!change->op.allowed) {
        return ngx_chat_response_not_found(r, ctx);
    }

    if (!change->op.fresh) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                       "Log in again to confirm this.");
    }

    /* records of the zone have the former rights; sockets connect again */

    if (change->op.set_active || change->op.set_admin) {
        ngx_chat_revocation_user(ngx_chat_http_zone(r)->revocations,
                                 change->op.id,
                                 change->op.id == ctx->user.id
                                 ? ctx->auth.hash : NULL);
    }

    return ngx_chat_step_query(r, ctx, &change->op.job,
                               &ngx_chat_query_admin_users,
                               ngx_chat_admin_change_show);
}


static ngx_int_t
ngx_chat_admin_change_show(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_admin_change_t  *change = ctx->data;

    ngx_chat_json_t  *json;

    if (change->op.job.rc != NGX_OK) {
        return ngx_chat_profile_declined(r, ctx, &change->op.job);
    }

    if (change->op.rows->nelts == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_admin_account(json, change->op.rows->elts);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/* GET admin/audit/?before=ID&limit=N: the audit log, latest first */

ngx_int_t
ngx_chat_admin_audit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_chat_query_admin_t  *op;

    enum { BEFORE, LIMIT };

    ngx_chat_field_t  args[] = {
        ngx_chat_field("before"),
        ngx_chat_field("limit")
    };

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_admin_t));
    if (op == NULL || ngx_chat_request_args(r, args, 2) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_chat_request_limit(r, ctx, &args[LIMIT], &op->limit);
    if (rc != NGX_OK) {
        return rc;
    }

    if (args[BEFORE].state != NGX_CHAT_FIELD_MISSING
        && ngx_chat_string_id(&args[BEFORE].value, &op->before) != NGX_OK)
    {
        return ngx_chat_response_invalid(r, ctx, "before",
                                         "A valid cursor is required.");
    }

    op->actor_id = ctx->user.id;
    ctx->data = op;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_admin_audit,
                               ngx_chat_admin_audit_done);
}


static ngx_int_t
ngx_chat_admin_audit_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_admin_t  *op = ctx->data;

    ngx_uint_t               i;
    ngx_chat_json_t         *json;
    ngx_chat_query_entry_t  *entry;

    if (op->job.rc != NGX_OK) {
        return ngx_chat_profile_declined(r, ctx, &op->job);
    }

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "results");
    ngx_chat_json_array(json);

    entry = op->rows->elts;

    for (i = 0; i < op->rows->nelts; i++) {
        ngx_chat_json_object(json);
        ngx_chat_json_key(json, "id");
        ngx_chat_json_number(json, entry[i].id);
        ngx_chat_json_key(json, "created_at");
        ngx_chat_json_string(json, &entry[i].created);
        ngx_chat_json_key(json, "actor");
        ngx_chat_json_string(json, &entry[i].actor);
        ngx_chat_json_key(json, "action");
        ngx_chat_json_string(json, &entry[i].action);
        ngx_chat_profile_member(json, "target", &entry[i].target);
        ngx_chat_profile_member(json, "detail", &entry[i].detail);
        ngx_chat_profile_member(json, "address", &entry[i].address);
        ngx_chat_json_end(json);
    }

    ngx_chat_json_end(json);
    ngx_chat_json_key(json, "has_more");
    ngx_chat_json_bool(json, op->has_more);
    ngx_chat_json_key(json, "cursor");

    if (op->rows->nelts) {
        ngx_chat_json_id(json, entry[op->rows->nelts - 1].id);

    } else {
        ngx_chat_json_null(json);
    }

    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}
