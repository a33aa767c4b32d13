
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_string.h"

#include <utf8proc.h>


/* maximum number of code points of a decomposed text to normalize */
#define NGX_CHAT_UNICODE_CODES  1024


typedef struct {
    uint32_t               first;
    uint32_t               last;
    ngx_uint_t             seen;              /* shows something, but is not
                                                 for names */
} ngx_chat_unicode_range_t;


static ngx_chat_unicode_range_t *ngx_chat_unicode_find(
    ngx_chat_unicode_range_t *ranges, ngx_uint_t n, uint32_t code);
static ngx_uint_t ngx_chat_unicode_is_normal(ngx_str_t *text,
    ngx_chat_unicode_form_e form);
static u_char *ngx_chat_unicode_encode(u_char *p, u_char *last,
    utf8proc_int32_t code);
static ngx_int_t ngx_chat_unicode_add_normals(ngx_pool_t *pool,
    ngx_chat_forms_t *forms, ngx_str_t *text);
static ngx_int_t ngx_chat_unicode_add_normal(ngx_pool_t *pool,
    ngx_chat_forms_t *forms, ngx_str_t *text, ngx_chat_unicode_form_e form);
static ngx_uint_t ngx_chat_unicode_add(ngx_chat_forms_t *forms,
    ngx_str_t *text);


/*
 * Controls, formats, private use, separators (the categories Cc, Cf, Co, Z*),
 * noncharacters, Default_Ignorable_Code_Point, and letters and symbols without
 * a glyph, such as U+2800.  With them, names could look like other names.
 *
 * These are ranges of code points instead of properties, since the module,
 * chatctl and the database must agree, although their libraries support
 * different versions of Unicode.  t/names_rule.t compares them.
 *
 * Ranges with 1 are visible, also control characters (CSS Text, section 3).
 */

static ngx_chat_unicode_range_t  ngx_chat_unicode_unseen[] = {
    { 0x0000, 0x0008, 1 },
    { 0x0009, 0x000d, 0 },
    { 0x000e, 0x001b, 1 },
    { 0x001c, 0x0020, 0 },
    { 0x007f, 0x0084, 1 },
    { 0x0085, 0x0085, 0 },
    { 0x0086, 0x009f, 1 },
    { 0x00a0, 0x00a0, 0 },
    { 0x00ad, 0x00ad, 0 },
    { 0x034f, 0x034f, 0 },
    { 0x0600, 0x0605, 1 },
    { 0x061c, 0x061c, 0 },
    { 0x06dd, 0x06dd, 1 },
    { 0x070f, 0x070f, 1 },
    { 0x0890, 0x0891, 1 },
    { 0x08e2, 0x08e2, 1 },
    { 0x115f, 0x1160, 0 },
    { 0x1680, 0x1680, 0 },
    { 0x17b4, 0x17b5, 0 },
    { 0x180b, 0x180f, 0 },
    { 0x2000, 0x200f, 0 },
    { 0x2028, 0x202f, 0 },
    { 0x205f, 0x206f, 0 },
    { 0x2800, 0x2800, 0 },
    { 0x3000, 0x3000, 0 },
    { 0x3164, 0x3164, 0 },
    { 0xe000, 0xf8ff, 1 },
    { 0xfdd0, 0xfdef, 0 },
    { 0xfe00, 0xfe0f, 0 },
    { 0xfeff, 0xfeff, 0 },
    { 0xffa0, 0xffa0, 0 },
    { 0xfff0, 0xfffb, 0 },
    { 0xfffc, 0xfffc, 1 },
    { 0xfffe, 0xffff, 0 },
    { 0x110bd, 0x110bd, 1 },
    { 0x110cd, 0x110cd, 1 },
    { 0x13430, 0x1343f, 1 },
    { 0x16fe4, 0x16fe4, 0 },
    { 0x1bca0, 0x1bca3, 0 },
    { 0x1d159, 0x1d159, 0 },
    { 0x1d173, 0x1d17a, 0 },
    { 0x1fffe, 0x1ffff, 0 },
    { 0x2fffe, 0x2ffff, 0 },
    { 0x3fffe, 0x3ffff, 0 },
    { 0x4fffe, 0x4ffff, 0 },
    { 0x5fffe, 0x5ffff, 0 },
    { 0x6fffe, 0x6ffff, 0 },
    { 0x7fffe, 0x7ffff, 0 },
    { 0x8fffe, 0x8ffff, 0 },
    { 0x9fffe, 0x9ffff, 0 },
    { 0xafffe, 0xaffff, 0 },
    { 0xbfffe, 0xbffff, 0 },
    { 0xcfffe, 0xcffff, 0 },
    { 0xdfffe, 0xe0fff, 0 },
    { 0xefffe, 0xeffff, 0 },
    { 0xf0000, 0x10ffff, 1 }
};


/* combining marks, which would modify the text before the name */

static ngx_chat_unicode_range_t  ngx_chat_unicode_marks[] = {
    { 0x0300, 0x036f, 1 },
    { 0x0483, 0x0489, 1 },
    { 0x1ab0, 0x1aff, 1 },
    { 0x1dc0, 0x1dff, 1 },
    { 0x20d0, 0x20ff, 1 },
    { 0x302a, 0x302f, 1 },
    { 0x3099, 0x309a, 1 },
    { 0xfe20, 0xfe2f, 1 }
};


#define ngx_chat_unicode_within(ranges, code)                                 \
    ngx_chat_unicode_find(ranges, sizeof(ranges) / sizeof(ranges[0]), code)


/*
 * All visible characters beyond ASCII are accepted as letters: the letters of
 * Python's \w are about 700 ranges, and more with each version.
 */

ngx_int_t
ngx_chat_unicode_name(ngx_str_t *name)
{
    u_char      *p, *last;
    uint32_t     c;
    ngx_uint_t   n;

    if (name->len == 0) {
        return NGX_ERROR;
    }

    /* invalid as part of a path */

    if (name->data[0] == '.'
        && (name->len == 1 || (name->len == 2 && name->data[1] == '.')))
    {
        return NGX_ERROR;
    }

    p = name->data;
    last = p + name->len;

    for (n = 0; p < last; n++) {
        c = ngx_chat_string_char(&p, last);

        if (c >= 0x80) {
            if (c == NGX_CHAT_STRING_NO_CHAR
                || ngx_chat_unicode_within(ngx_chat_unicode_unseen, c)
                || (n == 0
                    && ngx_chat_unicode_within(ngx_chat_unicode_marks, c)))
            {
                return NGX_ERROR;
            }

            continue;
        }

        if ((c < '0' || c > '9') && (c < 'A' || c > 'Z')
            && (c < 'a' || c > 'z')
            && c != '_' && c != '.' && c != '@' && c != '+' && c != '-')
        {
            return NGX_ERROR;
        }
    }

    return (n <= NGX_CHAT_NAME_LEN) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_chat_unicode_lookup(ngx_str_t *name)
{
    u_char      *p, *last;
    uint32_t     c;
    ngx_uint_t   n;

    if (name->len == 0 || name->len > NGX_CHAT_NAME_SIZE) {
        return NGX_ERROR;
    }

    p = name->data;
    last = p + name->len;

    for (n = 0; p < last; n++) {
        c = (*p < 0x80) ? *p++ : ngx_chat_string_char(&p, last);

        if (c < 0x20 || (c >= 0x7f && c < 0xa0)
            || c == NGX_CHAT_STRING_NO_CHAR)
        {
            return NGX_ERROR;
        }
    }

    return (n <= NGX_CHAT_NAME_LEN) ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_chat_unicode_blank(ngx_str_t *text)
{
    u_char                    *p, *last;
    ngx_chat_unicode_range_t  *range;

    if (text->len == 0) {
        return 1;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {
        range = ngx_chat_unicode_within(ngx_chat_unicode_unseen,
                                        ngx_chat_string_char(&p, last));

        if (range == NULL || range->seen) {
            return 0;
        }
    }

    return 1;
}


static ngx_chat_unicode_range_t *
ngx_chat_unicode_find(ngx_chat_unicode_range_t *ranges, ngx_uint_t n,
    uint32_t code)
{
    ngx_uint_t  low, middle;

    low = 0;

    while (low < n) {
        middle = (low + n) / 2;

        if (code > ranges[middle].last) {
            low = middle + 1;

        } else if (code < ranges[middle].first) {
            n = middle;

        } else {
            return &ranges[middle];
        }
    }

    return NULL;
}


ngx_int_t
ngx_chat_unicode_normalize(ngx_str_t *text, ngx_chat_unicode_form_e form,
    u_char *buf, size_t size, ngx_str_t *normal)
{
    u_char             *p;
    ngx_int_t           rc;
    utf8proc_int32_t    codes[NGX_CHAT_UNICODE_CODES];
    utf8proc_ssize_t    i, n;
    utf8proc_option_t   options;

    if (ngx_chat_unicode_is_normal(text, form)) {
        *normal = *text;
        return NGX_OK;
    }

    if (text->len > 4 * NGX_CHAT_UNICODE_CODES) {
        return NGX_DECLINED;
    }

    options = UTF8PROC_STABLE;
    options |= (form == NGX_CHAT_UNICODE_NFC) ? UTF8PROC_COMPOSE
                                              : UTF8PROC_DECOMPOSE;

    n = utf8proc_decompose(text->data, text->len, codes,
                           NGX_CHAT_UNICODE_CODES, options);

    if (n >= 0 && n <= NGX_CHAT_UNICODE_CODES) {
        n = utf8proc_normalize_utf32(codes, n, options);

    } else {
        n = -1;
    }

    rc = NGX_DECLINED;

    if (n >= 0) {
        p = buf;

        for (i = 0; i < n && p; i++) {
            p = ngx_chat_unicode_encode(p, buf + size, codes[i]);
        }

        if (p) {
            normal->data = buf;
            normal->len = p - buf;
            rc = NGX_OK;
        }
    }

    /* may contain a password */

    explicit_bzero(codes, sizeof(codes));

    return rc;
}


/* sufficient for most texts: NFC, without bytes of U+0300 (0xcc) and above */

static ngx_uint_t
ngx_chat_unicode_is_normal(ngx_str_t *text, ngx_chat_unicode_form_e form)
{
    u_char  limit;
    size_t  i;

    limit = (form == NGX_CHAT_UNICODE_NFC) ? 0xcc : 0x80;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] >= limit) {
            return 0;
        }
    }

    return 1;
}


/* returns the end of the character, or NULL if there is no room */

static u_char *
ngx_chat_unicode_encode(u_char *p, u_char *last, utf8proc_int32_t code)
{
    u_char            encoded[4];
    utf8proc_ssize_t  len;

    len = utf8proc_encode_char(code, encoded);

    if (last - p < len) {
        return NULL;
    }

    return ngx_cpymem(p, encoded, len);
}


/*
 * The database compares names by LOWER(), which also converts capitals beyond
 * ASCII.
 */

void
ngx_chat_unicode_key(ngx_str_t *name, u_char *buf, size_t size,
    ngx_str_t *key)
{
    u_char     *p, *end, *next, *last;
    u_char      nfc[NGX_CHAT_NAME_SIZE];
    uint32_t    c;
    ngx_str_t   normal;

    normal = *name;

    if (ngx_chat_string_utf8(&normal) == NGX_OK) {
        ngx_chat_string_trim(&normal);

    } else {
        normal.len = 0;
    }

    if (normal.len == 0
        || ngx_chat_unicode_normalize(&normal, NGX_CHAT_UNICODE_NFC, nfc,
                                      sizeof(nfc), &normal)
           != NGX_OK)
    {
        key->data = buf;
        key->len = ngx_min(name->len, size);
        ngx_memcpy(buf, name->data, key->len);
        return;
    }

    p = normal.data;
    last = p + normal.len;
    end = buf;

    while (p < last) {
        c = ngx_chat_string_char(&p, last);

        /* U+0130 in NFD: its LOWER() is that of "i" with a dot above */

        if (c == 0x0307 && end > buf && end[-1] == 'i') {
            continue;
        }

        next = ngx_chat_unicode_encode(end, buf + size, utf8proc_tolower(c));
        if (next == NULL) {
            break;
        }

        end = next;
    }

    key->data = buf;
    key->len = end - buf;
}


ngx_int_t
ngx_chat_unicode_name_forms(ngx_pool_t *pool, ngx_str_t *name,
    ngx_uint_t trim, ngx_chat_forms_t *forms)
{
    ngx_str_t  text;

    ngx_memzero(forms, sizeof(ngx_chat_forms_t));

    /* only valid UTF-8 can be trimmed */

    if (ngx_chat_string_utf8(name) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (ngx_chat_unicode_lookup(name) == NGX_OK) {
        (void) ngx_chat_unicode_add(forms, name);
    }

    text = *name;

    if (trim) {
        ngx_chat_string_trim(&text);
    }

    forms->trimmed = trim;

    if (ngx_chat_unicode_lookup(&text) != NGX_OK) {
        return forms->n ? NGX_OK : NGX_DECLINED;
    }

    (void) ngx_chat_unicode_add(forms, &text);

    return ngx_chat_unicode_add_normals(pool, forms, &text);
}


ngx_int_t
ngx_chat_unicode_text_forms(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms)
{
    ngx_memzero(forms, sizeof(ngx_chat_forms_t));

    if (text->len == 0) {
        return NGX_OK;
    }

    (void) ngx_chat_unicode_add(forms, text);

    return ngx_chat_unicode_add_normals(pool, forms, text);
}


static ngx_int_t
ngx_chat_unicode_add_normals(ngx_pool_t *pool, ngx_chat_forms_t *forms,
    ngx_str_t *text)
{
    if (ngx_chat_unicode_add_normal(pool, forms, text, NGX_CHAT_UNICODE_NFC)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_chat_unicode_add_normal(pool, forms, text,
                                       NGX_CHAT_UNICODE_NFD);
}


/* a form that is longer than any name is ignored */

static ngx_int_t
ngx_chat_unicode_add_normal(ngx_pool_t *pool, ngx_chat_forms_t *forms,
    ngx_str_t *text, ngx_chat_unicode_form_e form)
{
    u_char      buf[NGX_CHAT_NAME_SIZE];
    ngx_str_t   normal;
    ngx_uint_t  i;

    if (ngx_chat_unicode_normalize(text, form, buf, sizeof(buf), &normal)
        != NGX_OK)
    {
        return NGX_OK;
    }

    if (normal.data == buf) {
        normal.data = ngx_pstrdup(pool, &normal);
        if (normal.data == NULL) {
            return NGX_ERROR;
        }
    }

    i = ngx_chat_unicode_add(forms, &normal);

    if (form == NGX_CHAT_UNICODE_NFC) {
        forms->nfc = i;
    }

    return NGX_OK;
}


/* adds the text unless it is present; returns its index */

static ngx_uint_t
ngx_chat_unicode_add(ngx_chat_forms_t *forms, ngx_str_t *text)
{
    ngx_uint_t  i;

    for (i = 0; i < forms->n; i++) {
        if (forms->text[i].len == text->len
            && ngx_memcmp(forms->text[i].data, text->data, text->len) == 0)
        {
            return i;
        }
    }

    forms->text[forms->n++] = *text;

    return i;
}
