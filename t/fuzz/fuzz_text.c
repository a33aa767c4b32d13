
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"

#include <ctype.h>


/*
 * Names, client ids, ids and texts: each result is compared with that of
 * another implementation.
 */


static size_t fuzz_text_characters(ngx_str_t *text);
static void fuzz_text_trimmed(ngx_str_t *text);
static void fuzz_text_name(ngx_str_t *text, size_t n);
static void fuzz_text_forms(ngx_str_t *text, size_t n);
static void fuzz_text_client_id(ngx_str_t *text);
static void fuzz_text_id(ngx_str_t *text);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t      n;
    ngx_str_t   text;

    text = fuzz_take(&data, &size, '\n');

    n = fuzz_text_characters(&text);

    fuzz_assert((ngx_chat_string_utf8(&text) == NGX_OK) == (n != (size_t) -1));

    if (n != (size_t) -1) {
        fuzz_assert(ngx_chat_string_length(&text) == n);
    }

    fuzz_text_name(&text, n);
    fuzz_text_forms(&text, n);
    fuzz_text_client_id(&text);
    fuzz_text_id(&text);
    fuzz_text_trimmed(&text);

    free(text.data);

    return 0;
}


/* by the table of RFC 3629, section 4; (size_t) -1 for invalid UTF-8 */

static size_t
fuzz_text_characters(ngx_str_t *text)
{
    size_t       i, k, n;
    ngx_uint_t   row;

    static const struct {
        u_char  first, last, second_first, second_last, more;
    } rows[] = {
        { 0x00, 0x7f, 0x00, 0x00, 0 },
        { 0xc2, 0xdf, 0x80, 0xbf, 1 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 2 },
        { 0xe1, 0xec, 0x80, 0xbf, 2 },
        { 0xed, 0xed, 0x80, 0x9f, 2 },
        { 0xee, 0xef, 0x80, 0xbf, 2 },
        { 0xf0, 0xf0, 0x90, 0xbf, 3 },
        { 0xf1, 0xf3, 0x80, 0xbf, 3 },
        { 0xf4, 0xf4, 0x80, 0x8f, 3 }
    };

    n = 0;

    for (i = 0; i < text->len; i += 1 + rows[row].more) {

        for (row = 0; row < 9; row++) {
            if (text->data[i] >= rows[row].first
                && text->data[i] <= rows[row].last)
            {
                break;
            }
        }

        if (row == 9 || text->len - i <= rows[row].more) {
            return -1;
        }

        for (k = 1; k <= rows[row].more; k++) {
            if (text->data[i + k] < (k == 1 ? rows[row].second_first : 0x80)
                || text->data[i + k] > (k == 1 ? rows[row].second_last : 0xbf))
            {
                return -1;
            }
        }

        n++;
    }

    return n;
}


/* a trimmed text is a part of the text and is trimmed completely */

static void
fuzz_text_trimmed(ngx_str_t *text)
{
    ngx_str_t  once, twice;

    once = *text;
    ngx_chat_string_trim(&once);

    fuzz_assert(once.data >= text->data
                && once.data + once.len <= text->data + text->len);

    twice = once;
    ngx_chat_string_trim(&twice);

    fuzz_assert(fuzz_same(&once, &twice));

    if (once.len) {
        fuzz_assert(memchr(" \t\r\n\v\f", once.data[0], 6) == NULL);
        fuzz_assert(memchr(" \t\r\n\v\f", once.data[once.len - 1], 6)
                    == NULL);
    }

    if (fuzz_text_characters(text) != (size_t) -1) {
        fuzz_assert(fuzz_text_characters(&once) != (size_t) -1);
    }
}


/* the exact result for ASCII, the length for other texts */

static void
fuzz_text_name(ngx_str_t *text, size_t n)
{
    size_t      i;
    ngx_uint_t  good, ascii;

    ascii = 1;
    good = (n >= 1 && n <= 150);

    for (i = 0; i < text->len; i++) {
        if (text->data[i] >= 0x80) {
            ascii = 0;

        } else {
            good &= (isalnum(text->data[i])
                     || (text->data[i] && strchr("_.@+-", text->data[i])));
        }
    }

    if (ascii) {
        good &= !(text->len <= 2 && memcmp(text->data, "..", text->len) == 0);
        fuzz_assert((ngx_chat_unicode_name(text) == NGX_OK) == good);

    } else if (ngx_chat_unicode_name(text) == NGX_OK) {
        fuzz_assert(good);
    }

    if (ngx_chat_unicode_name(text) == NGX_OK) {
        fuzz_assert(ngx_chat_unicode_lookup(text) == NGX_OK
                    && !ngx_chat_unicode_blank(text));
    }
}


/*
 * Forms are valid and unique, and have the same forms; a spelling has the key
 * of its normal form.
 */

static void
fuzz_text_forms(ngx_str_t *text, size_t n)
{
    u_char            keys[2][NGX_CHAT_NAME_SIZE];
    ngx_str_t         one, two;
    ngx_uint_t        i, k;
    ngx_pool_t       *pool;
    ngx_chat_forms_t  forms, again;

    ngx_chat_unicode_key(text, keys[0], NGX_CHAT_NAME_SIZE, &one);

    pool = ngx_create_pool(1024, NULL);

    if (ngx_chat_unicode_name_forms(pool, text, 1, &forms) != NGX_OK) {
        ngx_destroy_pool(pool);
        return;
    }

    fuzz_assert(n != (size_t) -1 && forms.n >= 1
                && forms.n <= NGX_CHAT_UNICODE_FORMS && forms.nfc < forms.n);

    for (i = 0; i < forms.n; i++) {
        fuzz_assert(forms.text[i].len
                    && ngx_chat_string_utf8(&forms.text[i]) == NGX_OK);

        for (k = 0; k < i; k++) {
            fuzz_assert(!fuzz_same(&forms.text[i], &forms.text[k]));
        }

        ngx_chat_unicode_key(&forms.text[i], keys[1], NGX_CHAT_NAME_SIZE,
                             &two);
        fuzz_assert(fuzz_same(&one, &two));

        if (i && ngx_chat_unicode_name_forms(pool, &forms.text[i], 1, &again)
                 == NGX_OK)
        {
            fuzz_assert(fuzz_same(&forms.text[forms.nfc],
                                  &again.text[again.nfc]));
        }
    }

    ngx_destroy_pool(pool);
}


static void
fuzz_text_client_id(ngx_str_t *text)
{
    size_t      i;
    ngx_uint_t  good;

    good = (text->len >= 1 && text->len <= 64);

    for (i = 0; i < text->len; i++) {
        good &= (text->data[i] > 0x20 && text->data[i] < 0x7f);
    }

    fuzz_assert((ngx_chat_string_client_id(text) == NGX_OK) == good);
}


/* a parsed id is the text without leading zeros */

static void
fuzz_text_id(ngx_str_t *text)
{
    int         len;
    char        number[32];
    size_t      zeros;
    uint64_t    id;
    ngx_uint_t  good;

    for (zeros = 0; zeros < text->len && text->data[zeros] == '0'; zeros++) {
        /* void */
    }

    if (ngx_chat_string_id(text, &id) == NGX_OK) {
        len = snprintf(number, sizeof(number), "%" PRIu64, id);

        fuzz_assert(id != 0 && (size_t) len == text->len - zeros
                    && memcmp(number, text->data + zeros, len) == 0);
        return;
    }

    /* rejected: up to nineteen digits are always an id */

    good = (text->len > zeros && text->len - zeros < 20);

    for ( /* void */ ; zeros < text->len; zeros++) {
        good &= (text->data[zeros] >= '0' && text->data[zeros] <= '9');
    }

    fuzz_assert(!good);
}
