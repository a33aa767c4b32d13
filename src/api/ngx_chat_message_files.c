
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/query/ngx_chat_query_file.h"
#include "src/http/ngx_chat_http.h"
#include "src/api/ngx_chat_endpoint.h"


/*
 * The files of a message are stored with it, as the array that clients receive.
 * Its URLs are relative to the API.
 */


/* the beginning of an object, which cannot occur inside of a string */
#define NGX_CHAT_MESSAGE_FILE  "{\"file\":\""


static ngx_int_t ngx_chat_message_file(ngx_pool_t *pool,
    ngx_chat_json_t *json, ngx_chat_query_file_row_t *file);


ngx_int_t
ngx_chat_message_files(ngx_pool_t *pool, ngx_chat_field_t *field,
    ngx_str_t **tokens, ngx_uint_t *n)
{
    u_char      *p, *next, *last;
    ngx_str_t   *token;
    ngx_uint_t   i;

    *n = 0;

    if (field->value.len == 0) {
        return (field->state == NGX_CHAT_FIELD_INVALID
                && field->value.data == NULL)
               ? NGX_DECLINED : NGX_OK;
    }

    token = ngx_palloc(pool, NGX_CHAT_QUERY_FILES * sizeof(ngx_str_t));
    if (token == NULL) {
        return NGX_ERROR;
    }

    *tokens = token;

    p = field->value.data;
    last = p + field->value.len;

    for ( ;; ) {

        if (*n == NGX_CHAT_QUERY_FILES) {
            return NGX_DECLINED;
        }

        next = ngx_strlchr(p, last, ',');

        token[*n].data = p;
        token[*n].len = (next ? next : last) - p;

        ngx_chat_string_trim(&token[*n]);

        if (ngx_chat_file_token_check(&token[*n]) != NGX_OK) {
            return NGX_DECLINED;
        }

        for (i = 0; i < *n; i++) {
            if (ngx_memcmp(token[i].data, token[*n].data, token[i].len) == 0) {
                return NGX_DECLINED;
            }
        }

        (*n)++;

        if (next == NULL) {
            return NGX_OK;
        }

        p = next + 1;
    }
}


ngx_int_t
ngx_chat_message_files_store(ngx_pool_t *pool, ngx_str_t *tokens,
    ngx_uint_t n, ngx_array_t *rows, ngx_str_t *files)
{
    ngx_uint_t                  i, k;
    ngx_chat_json_t            *json;
    ngx_chat_query_file_row_t  *row;

    json = ngx_chat_json_create(pool);
    ngx_chat_json_array(json);

    row = rows->elts;

    for (i = 0; i < n; i++) {

        for (k = 0; k < rows->nelts; k++) {
            if (row[k].token.len == tokens[i].len
                && ngx_memcmp(row[k].token.data, tokens[i].data,
                              tokens[i].len)
                   == 0)
            {
                break;
            }
        }

        if (k == rows->nelts) {
            return NGX_DECLINED;
        }

        if (ngx_chat_message_file(pool, json, &row[k]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_chat_json_end(json);

    return ngx_chat_json_done(json, files);
}


static ngx_int_t
ngx_chat_message_file(ngx_pool_t *pool, ngx_chat_json_t *json,
    ngx_chat_query_file_row_t *file)
{
    u_char     *p;
    ngx_str_t   url;

    p = ngx_pnalloc(pool, sizeof("file//") - 1 + file->token.len
                          + 3 * file->name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url.data = p;

    p = ngx_sprintf(p, "file/%V/", &file->token);
    p = (u_char *) ngx_escape_uri(p, file->name.data, file->name.len,
                                  NGX_ESCAPE_URI_COMPONENT);
    url.len = p - url.data;

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "file");
    ngx_chat_json_string(json, &file->token);
    ngx_chat_json_key(json, "name");
    ngx_chat_json_string(json, &file->name);
    ngx_chat_json_key(json, "type");
    ngx_chat_json_string(json, &file->type);
    ngx_chat_json_key(json, "size");
    ngx_chat_json_number(json, file->size);
    ngx_chat_json_key(json, "url");
    ngx_chat_json_string(json, &url);

    if (file->width) {
        ngx_chat_json_key(json, "width");
        ngx_chat_json_number(json, file->width);
        ngx_chat_json_key(json, "height");
        ngx_chat_json_number(json, file->height);
    }

    ngx_chat_json_end(json);

    return NGX_OK;
}


ngx_uint_t
ngx_chat_message_files_same(ngx_str_t *files, ngx_str_t *tokens, ngx_uint_t n)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    p = files->data;
    last = p + files->len;

    for (i = 0; p && p < last; i++) {

        p = memmem(p, last - p, NGX_CHAT_MESSAGE_FILE,
                   sizeof(NGX_CHAT_MESSAGE_FILE) - 1);
        if (p == NULL) {
            break;
        }

        p += sizeof(NGX_CHAT_MESSAGE_FILE) - 1;

        if (i == n || (size_t) (last - p) < tokens[i].len
            || ngx_memcmp(p, tokens[i].data, tokens[i].len) != 0)
        {
            return 0;
        }
    }

    return i == n;
}
