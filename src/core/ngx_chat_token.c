
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
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
