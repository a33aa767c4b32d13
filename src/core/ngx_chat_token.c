
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_file.h"
#include "src/core/ngx_chat_string.h"

#include <openssl/evp.h>
#include <openssl/rand.h>


#define NGX_CHAT_TOKEN_MAX  128               /* longest in requests, bytes */


ngx_int_t
ngx_chat_token_create(u_char *token)
{
    u_char     random[32];
    ngx_str_t  src, dst;

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return NGX_ERROR;
    }

    src.len = sizeof(random);
    src.data = random;
    dst.data = token;

    ngx_encode_base64url(&dst, &src);

    explicit_bzero(random, sizeof(random));

    return NGX_OK;
}


ngx_int_t
ngx_chat_token_hash(ngx_str_t *token, u_char *hash)
{
    if (token->len == 0 || token->len > NGX_CHAT_TOKEN_MAX) {
        return NGX_ERROR;
    }

    if (EVP_Digest(token->data, token->len, hash, NULL, EVP_sha256(), NULL)
        != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_chat_file_token(u_char *token)
{
    u_char  random[NGX_CHAT_FILE_TOKEN_LEN / 2];

    if (RAND_bytes(random, sizeof(random)) != 1) {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(token, random, sizeof(random));

    return NGX_OK;
}


ngx_int_t
ngx_chat_file_token_check(ngx_str_t *token)
{
    u_char  c;
    size_t  i;

    if (token->len != NGX_CHAT_FILE_TOKEN_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < token->len; i++) {
        c = token->data[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


u_char *
ngx_chat_file_path(u_char *p, u_char *token)
{
    *p++ = token[0];
    *p++ = token[1];
    *p++ = '/';
    *p++ = token[2];
    *p++ = token[3];
    *p++ = '/';

    return ngx_cpymem(p, token, NGX_CHAT_FILE_TOKEN_LEN);
}
