
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_http.h"
#include "src/http/ngx_chat_step.h"
#include "src/api/ngx_chat_endpoint.h"


static ngx_chat_query_profile_t *ngx_chat_profile_query(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_profile_show(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_profile_edited(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/*
 * GET profile/<name>/
 *
 *   get -> show
 */

ngx_int_t
ngx_chat_profile_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_chat_query_profile_t  *op;

    op = ngx_chat_profile_query(r, ctx);
    if (op == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_chat_unicode_name_forms(r->pool, &ctx->name, 0, &op->name);

    if (rc == NGX_DECLINED) {
        return ngx_chat_response_not_found(r, ctx);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_profile_get,
                               ngx_chat_profile_show);
}


static ngx_chat_query_profile_t *
ngx_chat_profile_query(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_profile_t  *op;

    op = ngx_pcalloc(r->pool, sizeof(ngx_chat_query_profile_t));
    if (op == NULL) {
        return NULL;
    }

    op->viewer_id = ctx->user.id;
    ctx->data = op;

    return op;
}


static ngx_int_t
ngx_chat_profile_show(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_profile_t  *op = ctx->data;

    ngx_uint_t        own;
    ngx_chat_json_t  *json;

    if (op->job.rc != NGX_OK) {
        return ngx_chat_profile_declined(r, ctx, &op->job);
    }

    if (op->user.id == 0) {
        return ngx_chat_response_not_found(r, ctx);
    }

    /* a block by the other user is not disclosed */

    own = ngx_chat_block_bit(ctx->user.id, op->user.id);

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "username");
    ngx_chat_json_string(json, &op->user.name);
    ngx_chat_user_profile(r, json, op->user.id, &op->profile);
    ngx_chat_json_key(json, "blocked");
    ngx_chat_json_bool(json, op->user.id != ctx->user.id
                             && (op->profile.blocks & own));
    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/*
 * PATCH profile/ {"display_name":"..."}
 *
 *   edit -> edited -> show
 */

ngx_int_t
ngx_chat_profile_edit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_chat_loc_conf_t       *chlcf;
    ngx_chat_query_profile_t  *op;

    ngx_chat_field_t  fields[] = {
        ngx_chat_field("display_name")
    };

    rc = ngx_chat_request_fields(r, ctx, fields, 1);
    if (rc != NGX_OK) {
        return rc;
    }

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    if (chlcf->profile && chlcf->auth == NGX_CHAT_AUTH_VARIABLE) {
        return ngx_chat_response_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                       "Profiles are managed by the site.");
    }

    op = ngx_chat_profile_query(r, ctx);
    if (op == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_chat_profile_field(r, ctx, &fields[0], &op->display_name);
    if (rc != NGX_OK) {
        return rc;
    }

    op->user_id = ctx->user.id;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_profile_set,
                               ngx_chat_profile_edited);
}


ngx_int_t
ngx_chat_profile_field(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *field, ngx_str_t *name)
{
    ngx_int_t  rc;

    ngx_str_null(name);

    /* null removes the name */

    if (field->state == NGX_CHAT_FIELD_NULL) {
        return NGX_OK;
    }

    rc = ngx_chat_request_required(r, ctx, field, 1, 0);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_chat_string_length(&field->value) > NGX_CHAT_DISPLAY_LEN) {
        return ngx_chat_response_invalid(r, ctx, "display_name",
                                         "Ensure this field has no more than "
                                         "100 characters.");
    }

    rc = ngx_chat_unicode_display(r->pool, &field->value, 0, name);

    if (rc == NGX_DECLINED) {
        return ngx_chat_response_invalid(r, ctx, "display_name",
                                         "Enter a valid name.");
    }

    return rc;
}


static ngx_int_t
ngx_chat_profile_edited(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_query_profile_t  *op = ctx->data;

    if (op->job.rc != NGX_OK) {
        return ngx_chat_profile_declined(r, ctx, &op->job);
    }

    op = ngx_chat_profile_query(r, ctx);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->name.n = 1;
    op->name.text[0] = ctx->user.name;

    return ngx_chat_step_query(r, ctx, &op->job, &ngx_chat_query_profile_get,
                               ngx_chat_profile_show);
}


ngx_int_t
ngx_chat_profile_declined(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_db_job_t *job)
{
    return (job->errcode == NGX_CHAT_QUERY_OLD_SCHEMA)
           ? ngx_chat_response_unavailable(r, ctx) : NGX_ERROR;
}


void
ngx_chat_user_profile(ngx_http_request_t *r, ngx_chat_json_t *json,
    uint32_t user_id, ngx_chat_profile_t *profile)
{
    ngx_chat_main_conf_t      *chmcf;
    ngx_chat_presence_zone_t  *zone;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);

    ngx_chat_profile_member(json, "display_name", &profile->display_name);
    ngx_chat_profile_member(json, "avatar_url", &profile->avatar_url);

    if (!chmcf->presence) {
        return;
    }

    zone = ngx_chat_http_worker(r)->presence_zone;

    ngx_chat_json_key(json, "online");
    ngx_chat_json_bool(json, !profile->blocks
                             && ngx_chat_presence_zone_online(zone, user_id));

    if (profile->blocks) {
        ngx_str_null(&profile->seen);
    }

    ngx_chat_profile_member(json, "last_seen_at", &profile->seen);
}


void
ngx_chat_profile_member(ngx_chat_json_t *json, const char *key,
    ngx_str_t *value)
{
    ngx_chat_json_key(json, key);

    if (value->len) {
        ngx_chat_json_string(json, value);

    } else {
        ngx_chat_json_null(json);
    }
}
