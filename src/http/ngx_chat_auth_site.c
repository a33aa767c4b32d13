
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/http/ngx_chat_auth.h"
#include "src/http/ngx_chat_http.h"


/* Members of the site: their display names and avatars, of chat_profile. */


static ngx_int_t ngx_chat_auth_site_avatar(ngx_str_t *url);
static void ngx_chat_auth_site_copied(ngx_chat_db_job_t *job);


/*
 * A request of a location that does not know the name must not remove it, so an
 * empty variable changes nothing.  Without a name, the avatar is not read.
 */

ngx_int_t
ngx_chat_auth_site_profile(ngx_http_request_t *r, ngx_str_t *display_name,
    ngx_str_t *avatar_url)
{
    ngx_int_t             rc;
    ngx_str_t             value;
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    ngx_str_null(display_name);
    ngx_str_null(avatar_url);

    if (chlcf->profile == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_complex_value(r, &chlcf->profile->display_name, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_chat_unicode_display(r->pool, &value, 1, display_name);

    if (rc != NGX_OK) {
        if (rc == NGX_DECLINED && value.len) {
            ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                          "chat: invalid display name of \"chat_profile\"");
        }

        return rc;
    }

    if (!chlcf->profile->avatar) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, &chlcf->profile->avatar_url, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (value.len && ngx_chat_auth_site_avatar(&value) != NGX_OK) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chat: invalid avatar of \"chat_profile\"");
        value.len = 0;
    }

    *avatar_url = value;

    return NGX_OK;
}


/* a path, or an address of http or https, without quotes and spaces */

static ngx_int_t
ngx_chat_auth_site_avatar(ngx_str_t *url)
{
    size_t  i;

    if (url->len > NGX_CHAT_AVATAR_LEN) {
        return NGX_ERROR;
    }

    if (url->data[0] != '/'
        && (url->len < 8
            || (ngx_strncasecmp(url->data, (u_char *) "http://", 7) != 0
                && ngx_strncasecmp(url->data, (u_char *) "https://", 8) != 0)))
    {
        return NGX_ERROR;
    }

    for (i = 0; i < url->len; i++) {
        if (url->data[i] <= ' ' || url->data[i] >= 0x7f
            || ngx_strchr("\"'<>\\", url->data[i]) != NULL)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_chat_auth_site_copy(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name)
{
    uint32_t                   crc;
    ngx_int_t                  rc;
    ngx_str_t                  display_name, avatar_url;
    ngx_pool_t                *pool;
    ngx_chat_query_profile_t  *op;

    rc = ngx_chat_auth_site_profile(r, &display_name, &avatar_url);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    /* rc == NGX_OK */

    ngx_crc32_init(crc);
    ngx_crc32_update(&crc, display_name.data, display_name.len);
    ngx_crc32_update(&crc, (u_char *) " ", 1);
    ngx_crc32_update(&crc, avatar_url.data, avatar_url.len);
    ngx_crc32_final(crc);

    if (crc == ctx->user.profile) {
        return NGX_OK;
    }

    /* if storing fails, the next attempt follows when this record expires */

    ctx->user.profile = crc;
    ngx_chat_cache_user_put(ngx_chat_http_zone(r)->cache, name, &ctx->user);

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op = ngx_pcalloc(pool, sizeof(ngx_chat_query_profile_t));
    if (op == NULL) {
        ngx_destroy_pool(pool);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op->user_id = ctx->user.id;
    op->site = 1;
    op->display_name.len = display_name.len;
    op->display_name.data = ngx_pstrdup(pool, &display_name);
    op->avatar_url.len = avatar_url.len;
    op->avatar_url.data = ngx_pstrdup(pool, &avatar_url);

    op->job.type = &ngx_chat_query_profile_set;
    op->job.handler = ngx_chat_auth_site_copied;
    op->job.pool = pool;

    if (op->display_name.data == NULL || op->avatar_url.data == NULL
        || ngx_chat_db_submit(ngx_chat_http_worker(r)->db, &op->job) != NGX_OK)
    {
        ngx_destroy_pool(pool);
    }

    return NGX_OK;
}


static void
ngx_chat_auth_site_copied(ngx_chat_db_job_t *job)
{
    ngx_destroy_pool(job->pool);
}
