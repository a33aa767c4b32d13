
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_STRING_H_INCLUDED_
#define _NGX_CHAT_STRING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_types.h"


#define NGX_CHAT_STRING_NO_CHAR  0xffffffff


/*
 * Returns the character at *pos and moves *pos behind it.  Returns
 * NGX_CHAT_STRING_NO_CHAR and moves *pos by one byte if the bytes are invalid.
 */
uint32_t ngx_chat_string_char(u_char **pos, u_char *last);

/*
 * Returns NGX_OK for valid UTF-8, without overlong forms, surrogates, and
 * values above U+10FFFF.
 */
ngx_int_t ngx_chat_string_utf8(ngx_str_t *text);

/*
 * Returns NGX_OK, or NGX_ERROR and the offset of a lone surrogate among the
 * escapes of a JSON text.
 */
ngx_int_t ngx_chat_string_surrogates(ngx_str_t *input, size_t *offset);

/* returns the number of characters of valid UTF-8 */
size_t ngx_chat_string_length(ngx_str_t *text);

/* removes white space at both ends, as Python's str.strip() */
void ngx_chat_string_trim(ngx_str_t *text);

/* returns NGX_OK for 1 to 64 printable ASCII characters without spaces */
ngx_int_t ngx_chat_string_client_id(ngx_str_t *id);

/* reads a decimal number without sign, 1 to UINT64_MAX; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_string_id(ngx_str_t *text, uint64_t *id);

/* writes the time of "ago" ms ago, NGX_CHAT_TIMESTAMP_LEN bytes */
void ngx_chat_string_time(u_char *buf, uint64_t ago);


/* length of a token: 32 random bytes in base64url */
#define NGX_CHAT_TOKEN_LEN  43


/* writes a new token of NGX_CHAT_TOKEN_LEN bytes; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_token_create(u_char *token);

/*
 * Writes the SHA-256 of a token, NGX_CHAT_HASH_LEN bytes.  Returns NGX_ERROR if
 * the token is empty or longer than any token.
 */
ngx_int_t ngx_chat_token_hash(ngx_str_t *token, u_char *hash);


/* Visible characters, names of users, and normal forms, with libutf8proc. */


#define NGX_CHAT_NAME_LEN   150               /* characters, as in Django */
#define NGX_CHAT_NAME_SIZE  (4 * NGX_CHAT_NAME_LEN)     /* bytes */


/*
 * Returns NGX_OK if a new user may have this name, which is in NFC, or
 * NGX_ERROR.  sql/schema.sql contains the same rule.
 */
ngx_int_t ngx_chat_unicode_name(ngx_str_t *name);

/*
 * Returns NGX_OK if a row may have this name, or NGX_ERROR.  Rows of earlier
 * versions may break the rule for new names.  Valid are up to NGX_CHAT_NAME_LEN
 * characters of UTF-8 without control characters.
 */
ngx_int_t ngx_chat_unicode_lookup(ngx_str_t *name);

/* returns 1 if no character of this UTF-8 is visible */
ngx_uint_t ngx_chat_unicode_blank(ngx_str_t *text);

/*
 * Returns NGX_OK and a display name: the NFC of a text without white space at
 * both ends, with "cut" shortened to NGX_CHAT_DISPLAY_LEN characters.  Returns
 * NGX_DECLINED if the text is blank, invalid or too long, or has control
 * characters or characters that change the direction of text; NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_chat_unicode_display(ngx_pool_t *pool, ngx_str_t *text,
    ngx_uint_t cut, ngx_str_t *name);


typedef enum {
    NGX_CHAT_UNICODE_NFC = 0,
    NGX_CHAT_UNICODE_NFD
} ngx_chat_unicode_form_e;

/*
 * Returns NGX_OK and the normal form of a text, which is the text itself or in
 * buf, or NGX_DECLINED if it is not UTF-8 or too long for the buffer.
 */
ngx_int_t ngx_chat_unicode_normalize(ngx_str_t *text,
    ngx_chat_unicode_form_e form, u_char *buf, size_t size,
    ngx_str_t *normal);

/*
 * Writes the key of a name for throttling to buf.  All spellings of a name that
 * match the same row have the same key.  The key of invalid UTF-8 is the text,
 * cut to the size of the buffer.
 */
void ngx_chat_unicode_key(ngx_str_t *name, u_char *buf, size_t size,
    ngx_str_t *key);


/*
 * The distinct forms in which a text is looked up, in order of precedence:
 * unmodified; optionally trimmed; NFC; and NFD, which matches the row of a
 * decomposed name.
 */

#define NGX_CHAT_UNICODE_FORMS  4

typedef struct {
    ngx_uint_t             n;
    ngx_uint_t             nfc;               /* index of this form */
    ngx_str_t              text[NGX_CHAT_UNICODE_FORMS];
    unsigned               trimmed:1;
} ngx_chat_forms_t;

/* NGX_OK; NGX_DECLINED: not a valid name of a row; NGX_ERROR: no memory */
ngx_int_t ngx_chat_unicode_name_forms(ngx_pool_t *pool, ngx_str_t *name,
    ngx_uint_t trim, ngx_chat_forms_t *forms);

/* for any UTF-8; n is 0 if it is empty; NGX_ERROR: no memory */
ngx_int_t ngx_chat_unicode_text_forms(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms);


#endif /* _NGX_CHAT_STRING_H_INCLUDED_ */
