
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_chat_text.h"


#define NGX_CHAT_TEXT_NAME       150          /* characters, as in Django */
#define NGX_CHAT_TEXT_BOUNDARY   70           /* RFC 2046, section 5.1.1 */

#define NGX_CHAT_TEXT_NO_CHAR    0xffffffff


typedef struct {
    uint32_t               first;
    uint32_t               last;
} ngx_chat_text_range_t;


static ngx_int_t ngx_chat_text_hex(u_char *p);
static void ngx_chat_text_set(ngx_chat_field_t *field, ngx_str_t *value);

static ngx_int_t ngx_chat_text_delimiter(ngx_pool_t *pool, ngx_str_t *type,
    ngx_str_t *delimiter);
static u_char *ngx_chat_text_find(ngx_str_t *delimiter, u_char *p,
    u_char *last, u_char **next);
static ngx_int_t ngx_chat_text_match(ngx_str_t *delimiter, u_char *p,
    u_char *last, u_char **next);
static void ngx_chat_text_part(u_char *p, u_char *last,
    ngx_chat_field_t *fields, ngx_uint_t n);
static ngx_int_t ngx_chat_text_param(ngx_str_t *header, const char *name,
    ngx_str_t *value);

static uint32_t ngx_chat_text_char(u_char **pos, u_char *last);
static ngx_uint_t ngx_chat_text_within(ngx_chat_text_range_t *range,
    uint32_t code);


static ngx_chat_text_range_t  ngx_chat_text_space[] = {
    { 0x0009, 0x000d },
    { 0x001c, 0x0020 },
    { 0x0085, 0x0085 },
    { 0x00a0, 0x00a0 },
    { 0x1680, 0x1680 },
    { 0x2000, 0x200a },
    { 0x2028, 0x2029 },
    { 0x202f, 0x202f },
    { 0x205f, 0x205f },
    { 0x3000, 0x3000 },
    { 0, 0 }
};


/*
 * Of the characters beyond ASCII, those that cannot be seen: controls and the
 * formats of Unicode 15 (category Cf).  They would let one name pass itself
 * off as another.
 */

static ngx_chat_text_range_t  ngx_chat_text_unseen[] = {
    { 0x0080, 0x009f },
    { 0x00ad, 0x00ad },
    { 0x0600, 0x0605 },
    { 0x061c, 0x061c },
    { 0x06dd, 0x06dd },
    { 0x070f, 0x070f },
    { 0x0890, 0x0891 },
    { 0x08e2, 0x08e2 },
    { 0x180e, 0x180e },
    { 0x200b, 0x200f },
    { 0x202a, 0x202e },
    { 0x2060, 0x206f },
    { 0xfeff, 0xfeff },
    { 0xfff9, 0xfffb },
    { 0x110bd, 0x110bd },
    { 0x110cd, 0x110cd },
    { 0x13430, 0x1343f },
    { 0x1bca0, 0x1bca3 },
    { 0x1d173, 0x1d17a },
    { 0xe0000, 0xe007f },
    { 0, 0 }
};


void
ngx_chat_text_reset(ngx_chat_field_t *fields, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        fields[i].state = NGX_CHAT_FIELD_MISSING;
        ngx_str_null(&fields[i].value);
    }
}


ngx_chat_field_t *
ngx_chat_text_field(ngx_chat_field_t *fields, ngx_uint_t n, ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (fields[i].name.len == name->len
            && ngx_memcmp(fields[i].name.data, name->data, name->len) == 0)
        {
            return &fields[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_chat_text_form(ngx_pool_t *pool, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n)
{
    u_char            *p, *last, *end, *equals;
    ngx_str_t          name, value;
    ngx_chat_field_t  *field;

    ngx_chat_text_reset(fields, n);

    /* data may be NULL, which nothing may be added to, nor copied from */

    if (input->len == 0) {
        return NGX_OK;
    }

    last = input->data + input->len;

    for (p = input->data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        equals = ngx_strlchr(p, end, '=');
        if (equals == NULL) {
            equals = end;
        }

        if (ngx_chat_text_decode(pool, p, equals, &name) != NGX_OK) {
            return NGX_ERROR;
        }

        field = ngx_chat_text_field(fields, n, &name);
        if (field == NULL) {
            continue;
        }

        if (ngx_chat_text_decode(pool, ngx_min(equals + 1, end), end, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_chat_text_set(field, &value);
    }

    return NGX_OK;
}


/* what needs no decoding stays in the input */

ngx_int_t
ngx_chat_text_decode(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *value)
{
    u_char     *dst;
    ngx_int_t   c;

    value->data = p;
    value->len = last - p;

    while (p < last && *p != '%' && *p != '+') {
        p++;
    }

    if (p == last) {
        return NGX_OK;
    }

    dst = ngx_pnalloc(pool, value->len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    p = value->data;
    value->data = dst;

    while (p < last) {

        if (*p == '%' && last - p > 2) {
            c = ngx_chat_text_hex(p + 1);

            if (c != NGX_ERROR) {
                *dst++ = (u_char) c;
                p += 3;
                continue;
            }
        }

        /* a "%" that begins no escape is meant as it is */

        *dst++ = (*p == '+') ? ' ' : *p;
        p++;
    }

    value->len = dst - value->data;

    return NGX_OK;
}


u_char *
ngx_chat_text_encode(u_char *dst, ngx_str_t *text)
{
    u_char  ch;
    size_t  i;

    static const u_char  hex[] = "0123456789ABCDEF";

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9')
            || ch == '-' || ch == '.' || ch == '_' || ch == '~')
        {
            *dst++ = ch;

        } else if (ch == ' ') {
            *dst++ = '+';

        } else {
            *dst++ = '%';
            *dst++ = hex[ch >> 4];
            *dst++ = hex[ch & 0xf];
        }
    }

    return dst;
}


/* the value of two hexadecimal digits */

static ngx_int_t
ngx_chat_text_hex(u_char *p)
{
    u_char      c;
    ngx_int_t   value;
    ngx_uint_t  i;

    value = 0;

    for (i = 0; i < 2; i++) {
        c = (u_char) (p[i] | 0x20);

        if (p[i] >= '0' && p[i] <= '9') {
            value = value * 16 + p[i] - '0';

        } else if (c >= 'a' && c <= 'f') {
            value = value * 16 + c - 'a' + 10;

        } else {
            return NGX_ERROR;
        }
    }

    return value;
}


static void
ngx_chat_text_set(ngx_chat_field_t *field, ngx_str_t *value)
{
    field->value = *value;
    field->state = (ngx_chat_text_utf8(value) == NGX_OK)
                   ? NGX_CHAT_FIELD_TEXT : NGX_CHAT_FIELD_INVALID;
}


/*
 * What comes before the first delimiter and after the final one is passed
 * over, as RFC 2046 wants it.  Values stay in the input.
 */

ngx_int_t
ngx_chat_text_multipart(ngx_pool_t *pool, ngx_str_t *type, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_str_t *error)
{
    u_char     *p, *last, *end, *next;
    ngx_int_t   rc;
    ngx_str_t   delimiter, first;

    ngx_chat_text_reset(fields, n);

    rc = ngx_chat_text_delimiter(pool, type, &delimiter);

    if (rc == NGX_DECLINED) {
        ngx_str_set(error, "No valid boundary in the Content-Type");
    }

    if (rc != NGX_OK) {
        return rc;
    }

    p = input->data;
    last = p + input->len;

    /* the first one needs no line end before it */

    first.len = delimiter.len - 2;
    first.data = delimiter.data + 2;

    if (ngx_chat_text_match(&first, p, last, &next) != NGX_OK
        && ngx_chat_text_find(&delimiter, p, last, &next) == NULL)
    {
        ngx_str_set(error, "The boundary is not in the body");
        return NGX_DECLINED;
    }

    while (next != NULL) {

        p = next;

        /* in an empty part two delimiters share a line end */

        end = ngx_chat_text_find(&delimiter, p - 2, last, &next);

        if (end == NULL) {
            ngx_str_set(error, "The final boundary is missing");
            return NGX_DECLINED;
        }

        ngx_chat_text_part(p, end, fields, n);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_text_delimiter(ngx_pool_t *pool, ngx_str_t *type,
    ngx_str_t *delimiter)
{
    u_char     *p;
    ngx_str_t   boundary;

    if (ngx_chat_text_param(type, "boundary", &boundary) != NGX_OK
        || boundary.len == 0
        || boundary.len > NGX_CHAT_TEXT_BOUNDARY)
    {
        return NGX_DECLINED;
    }

    delimiter->len = boundary.len + 4;
    delimiter->data = ngx_pnalloc(pool, delimiter->len);

    if (delimiter->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(delimiter->data, "\r\n--", 4);
    ngx_memcpy(p, boundary.data, boundary.len);

    return NGX_OK;
}


/* the next delimiter, or NULL; "next" as in ngx_chat_text_match() */

static u_char *
ngx_chat_text_find(ngx_str_t *delimiter, u_char *p, u_char *last,
    u_char **next)
{
    for ( ;; ) {

        p = ngx_strlchr(p, last, CR);

        if (p == NULL
            || ngx_chat_text_match(delimiter, p, last, next) == NGX_OK)
        {
            return p;
        }

        p++;
    }
}


/*
 * Is there a delimiter at p?  If so, *next is the beginning of the line after
 * it, or NULL if it is the final one.
 */

static ngx_int_t
ngx_chat_text_match(ngx_str_t *delimiter, u_char *p, u_char *last,
    u_char **next)
{
    if ((size_t) (last - p) < delimiter->len
        || ngx_memcmp(p, delimiter->data, delimiter->len) != 0)
    {
        return NGX_DECLINED;
    }

    p += delimiter->len;

    if (last - p >= 2 && p[0] == '-' && p[1] == '-') {
        *next = NULL;
        return NGX_OK;
    }

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    if (last - p >= 2 && p[0] == CR && p[1] == LF) {
        *next = p + 2;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/*
 * A part without an empty line after its headers, with a CR or LF in them that
 * is no CRLF, without a name, or with a file is none of ours.
 *
 * The names that are wanted contain nothing that is ever escaped, so nothing
 * is unescaped in those that come.
 */

static void
ngx_chat_text_part(u_char *p, u_char *last, ngx_chat_field_t *fields,
    ngx_uint_t n)
{
    u_char            *end;
    ngx_str_t          header, name, value, file;
    ngx_chat_field_t  *field;

    static ngx_str_t   disposition = ngx_string("Content-Disposition:");

    header.len = 0;
    header.data = p;

    for ( ;; ) {
        end = ngx_strlchr(p, last, LF);
        if (end == NULL || ngx_strlchr(p, end, CR) != end - 1) {
            return;
        }

        if (p == end - 1) {
            break;
        }

        if ((size_t) (end - p) > disposition.len
            && ngx_strncasecmp(p, disposition.data, disposition.len) == 0)
        {
            header.len = end - p;
            header.data = p;
        }

        p = end + 1;
    }

    if (ngx_chat_text_param(&header, "name", &name) != NGX_OK
        || ngx_chat_text_param(&header, "filename", &file) == NGX_OK
        || ngx_chat_text_param(&header, "filename*", &file) == NGX_OK)
    {
        return;
    }

    field = ngx_chat_text_field(fields, n, &name);

    if (field != NULL) {
        value.data = end + 1;
        value.len = last - value.data;

        ngx_chat_text_set(field, &value);
    }
}


/*
 * A parameter of a header, "value; name=token; name="string"".  One whose
 * closing quote is missing reaches to the end: Windows' "C:\" looks so.
 */

static ngx_int_t
ngx_chat_text_param(ngx_str_t *header, const char *name, ngx_str_t *value)
{
    u_char      *p, *last, *start;
    size_t       len;
    ngx_uint_t   found;

    p = header->data;
    last = p + header->len;
    len = ngx_strlen(name);

    for ( ;; ) {

        p = ngx_strlchr(p, last, ';');
        if (p == NULL) {
            return NGX_DECLINED;
        }

        do {
            p++;
        } while (p < last && (*p == ' ' || *p == '\t'));

        start = p;

        while (p < last && *p != '=' && *p != ';') {
            p++;
        }

        if (p == last || *p == ';') {
            continue;
        }

        found = ((size_t) (p - start) == len
                 && ngx_strncasecmp(start, (u_char *) name, len) == 0);

        p++;

        if (p < last && *p == '"') {
            value->data = ++p;

            while (p < last && *p != '"') {
                p += (*p == '\\' && last - p > 1 && p[1] == '"') ? 2 : 1;
            }

        } else {
            value->data = p;

            while (p < last && *p > ' ' && *p != ';') {
                p++;
            }
        }

        if (found) {
            value->len = p - value->data;
            return NGX_OK;
        }
    }
}


ngx_int_t
ngx_chat_text_utf8(ngx_str_t *text)
{
    u_char    *p, *last;
    uint64_t   block;

    if (text->len == 0) {
        return NGX_OK;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {

        /* mostly ASCII: eight at a time */

        if (last - p >= 8) {
            ngx_memcpy(&block, p, 8);

            if ((block & 0x8080808080808080) == 0) {
                p += 8;
                continue;
            }
        }

        if (ngx_chat_text_char(&p, last) == NGX_CHAT_TEXT_NO_CHAR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


size_t
ngx_chat_text_length(ngx_str_t *text)
{
    size_t  i, length;

    length = 0;

    for (i = 0; i < text->len; i++) {
        length += ((text->data[i] & 0xc0) != 0x80);
    }

    return length;
}


void
ngx_chat_text_trim(ngx_str_t *text)
{
    u_char  *p, *start, *last, *end;

    if (text->len == 0) {
        return;
    }

    start = text->data;
    last = start + text->len;

    for (p = start; p < last; start = p) {
        if (!ngx_chat_text_within(ngx_chat_text_space,
                                  ngx_chat_text_char(&p, last)))
        {
            break;
        }
    }

    for (end = last; start < end; last = end) {

        do {
            end--;
        } while (end > start && (*end & 0xc0) == 0x80);

        p = end;

        if (!ngx_chat_text_within(ngx_chat_text_space,
                                  ngx_chat_text_char(&p, last)))
        {
            break;
        }
    }

    text->data = start;
    text->len = last - start;
}


/*
 * Beyond ASCII all that can be seen is taken for a letter: what Python calls
 * one (\w) is a table of some 700 ranges, and grows with each Unicode.
 */

ngx_int_t
ngx_chat_text_name(ngx_str_t *name)
{
    u_char      *p, *last;
    uint32_t     c;
    ngx_uint_t   n;

    if (name->len == 0) {
        return NGX_ERROR;
    }

    p = name->data;
    last = p + name->len;

    for (n = 0; p < last; n++) {
        c = ngx_chat_text_char(&p, last);

        if (c >= 0x80) {
            if (c == NGX_CHAT_TEXT_NO_CHAR
                || ngx_chat_text_within(ngx_chat_text_space, c)
                || ngx_chat_text_within(ngx_chat_text_unseen, c))
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

    return (n >= 1 && n <= NGX_CHAT_TEXT_NAME) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_chat_text_client_id(ngx_str_t *id)
{
    size_t  i;

    if (id->len == 0 || id->len > NGX_CHAT_CLIENT_ID_MAX) {
        return NGX_ERROR;
    }

    for (i = 0; i < id->len; i++) {
        if (id->data[i] <= ' ' || id->data[i] >= 0x7f) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_chat_text_id(ngx_str_t *text, uint64_t *id)
{
    size_t    i;
    uint64_t  value, digit;

    value = 0;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            return NGX_ERROR;
        }

        digit = text->data[i] - '0';

        if (value > (UINT64_MAX - digit) / 10) {
            return NGX_ERROR;
        }

        value = value * 10 + digit;
    }

    if (value == 0) {
        return NGX_ERROR;
    }

    *id = value;

    return NGX_OK;
}


/*
 * The character at *pos, which goes behind it; NGX_CHAT_TEXT_NO_CHAR, and one
 * byte further, if there is none.
 */

static uint32_t
ngx_chat_text_char(u_char **pos, u_char *last)
{
    u_char    *p;
    uint32_t   c, least;
    ngx_int_t  more;

    p = (*pos)++;
    c = *p++;

    if (c < 0x80) {
        return c;
    }

    if (c >= 0xc2 && c < 0xe0) {
        c &= 0x1f;
        least = 0x80;
        more = 1;

    } else if (c >= 0xe0 && c < 0xf0) {
        c &= 0x0f;
        least = 0x800;
        more = 2;

    } else if (c >= 0xf0 && c < 0xf5) {
        c &= 0x07;
        least = 0x10000;
        more = 3;

    } else {
        return NGX_CHAT_TEXT_NO_CHAR;
    }

    if (last - p < more) {
        return NGX_CHAT_TEXT_NO_CHAR;
    }

    for ( /* void */ ; more; more--) {
        if ((*p & 0xc0) != 0x80) {
            return NGX_CHAT_TEXT_NO_CHAR;
        }

        c = c << 6 | (*p++ & 0x3f);
    }

    if (c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        return NGX_CHAT_TEXT_NO_CHAR;
    }

    *pos = p;

    return c;
}


static ngx_uint_t
ngx_chat_text_within(ngx_chat_text_range_t *range, uint32_t code)
{
    for ( /* void */ ; range->last; range++) {
        if (code >= range->first && code <= range->last) {
            return 1;
        }
    }

    return 0;
}
