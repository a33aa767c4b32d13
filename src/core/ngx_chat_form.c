
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_form.h"
#include "src/core/ngx_chat_string.h"


#define NGX_CHAT_FORM_BOUNDARY   70           /* RFC 2046, section 5.1.1 */


static ngx_int_t ngx_chat_form_hex(u_char *p);
static void ngx_chat_form_set(ngx_chat_field_t *field, ngx_str_t *value);

static ngx_int_t ngx_chat_form_delimiter(ngx_pool_t *pool, ngx_str_t *type,
    ngx_str_t *delimiter);
static u_char *ngx_chat_form_find(ngx_str_t *delimiter, u_char *p,
    u_char *last, u_char **next);
static ngx_int_t ngx_chat_form_match(ngx_str_t *delimiter, u_char *p,
    u_char *last, u_char **next);
static void ngx_chat_form_part(u_char *p, u_char *last,
    ngx_chat_field_t *fields, ngx_uint_t n);
static ngx_int_t ngx_chat_form_param(ngx_str_t *header, const char *name,
    ngx_str_t *value);


void
ngx_chat_form_reset(ngx_chat_field_t *fields, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        fields[i].state = NGX_CHAT_FIELD_MISSING;
        ngx_str_null(&fields[i].value);
    }
}


ngx_chat_field_t *
ngx_chat_form_field(ngx_chat_field_t *fields, ngx_uint_t n, ngx_str_t *name)
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
ngx_chat_form_parse(ngx_pool_t *pool, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n)
{
    u_char            *p, *last, *end, *equals;
    ngx_str_t          name, value;
    ngx_chat_field_t  *field;

    ngx_chat_form_reset(fields, n);

    /* data may be NULL; adding to NULL is undefined behaviour */

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

        if (ngx_chat_form_decode(pool, p, equals, &name) != NGX_OK) {
            return NGX_ERROR;
        }

        field = ngx_chat_form_field(fields, n, &name);
        if (field == NULL) {
            continue;
        }

        if (ngx_chat_form_decode(pool, ngx_min(equals + 1, end), end, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_chat_form_set(field, &value);
    }

    return NGX_OK;
}


/* text without escapes is not copied */

ngx_int_t
ngx_chat_form_decode(ngx_pool_t *pool, u_char *p, u_char *last,
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
            c = ngx_chat_form_hex(p + 1);

            if (c != NGX_ERROR) {
                *dst++ = (u_char) c;
                p += 3;
                continue;
            }
        }

        /* a "%" that does not begin an escape is literal */

        *dst++ = (*p == '+') ? ' ' : *p;
        p++;
    }

    value->len = dst - value->data;

    return NGX_OK;
}


u_char *
ngx_chat_form_encode(u_char *dst, ngx_str_t *text)
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


/* returns the value of two hexadecimal digits, or NGX_ERROR */

static ngx_int_t
ngx_chat_form_hex(u_char *p)
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
ngx_chat_form_set(ngx_chat_field_t *field, ngx_str_t *value)
{
    field->value = *value;
    field->state = (ngx_chat_string_utf8(value) == NGX_OK)
                   ? NGX_CHAT_FIELD_TEXT : NGX_CHAT_FIELD_INVALID;
}


/*
 * Text before the first delimiter and after the final one is ignored, as RFC
 * 2046 requires.  Values are not copied.
 */

ngx_int_t
ngx_chat_form_multipart(ngx_pool_t *pool, ngx_str_t *type, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_str_t *error)
{
    u_char     *p, *last, *end, *next;
    ngx_int_t   rc;
    ngx_str_t   delimiter, first;

    ngx_chat_form_reset(fields, n);

    rc = ngx_chat_form_delimiter(pool, type, &delimiter);

    if (rc == NGX_DECLINED) {
        ngx_str_set(error, "No valid boundary in the Content-Type");
    }

    if (rc != NGX_OK) {
        return rc;
    }

    p = input->data;
    last = p + input->len;

    /* the first delimiter may be the start of the body */

    first.len = delimiter.len - 2;
    first.data = delimiter.data + 2;

    if (ngx_chat_form_match(&first, p, last, &next) != NGX_OK
        && ngx_chat_form_find(&delimiter, p, last, &next) == NULL)
    {
        ngx_str_set(error, "The boundary is not in the body");
        return NGX_DECLINED;
    }

    while (next != NULL) {

        p = next;

        /* two delimiters share a line end in an empty part */

        end = ngx_chat_form_find(&delimiter, p - 2, last, &next);

        if (end == NULL) {
            ngx_str_set(error, "The final boundary is missing");
            return NGX_DECLINED;
        }

        ngx_chat_form_part(p, end, fields, n);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_form_delimiter(ngx_pool_t *pool, ngx_str_t *type,
    ngx_str_t *delimiter)
{
    u_char     *p;
    ngx_str_t   boundary;

    if (ngx_chat_form_param(type, "boundary", &boundary) != NGX_OK
        || boundary.len == 0
        || boundary.len > NGX_CHAT_FORM_BOUNDARY)
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


/* returns the next delimiter or NULL; sets *next as the function below */

static u_char *
ngx_chat_form_find(ngx_str_t *delimiter, u_char *p, u_char *last,
    u_char **next)
{
    for ( ;; ) {

        p = ngx_strlchr(p, last, CR);

        if (p == NULL
            || ngx_chat_form_match(delimiter, p, last, next) == NGX_OK)
        {
            return p;
        }

        p++;
    }
}


/*
 * Returns NGX_OK if a delimiter is at p.  *next is set to the line after it, or
 * to NULL if it is the final one.
 */

static ngx_int_t
ngx_chat_form_match(ngx_str_t *delimiter, u_char *p, u_char *last,
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
 * Ignores a part that has no empty line after its headers, has a CR or LF in
 * them that is not a CRLF, has no name, or is a file.
 *
 * Names of fields contain no characters that need escaping, therefore names in
 * the body are not unescaped.
 */

static void
ngx_chat_form_part(u_char *p, u_char *last, ngx_chat_field_t *fields,
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

    if (ngx_chat_form_param(&header, "name", &name) != NGX_OK
        || ngx_chat_form_param(&header, "filename", &file) == NGX_OK
        || ngx_chat_form_param(&header, "filename*", &file) == NGX_OK)
    {
        return;
    }

    field = ngx_chat_form_field(fields, n, &name);

    if (field != NULL) {
        value.data = end + 1;
        value.len = last - value.data;

        ngx_chat_form_set(field, &value);
    }
}


/*
 * Finds a parameter of a header: value; name=token; name="string".  A string
 * without a closing quote extends to the end, such as "C:\" from Windows.
 */

static ngx_int_t
ngx_chat_form_param(ngx_str_t *header, const char *name, ngx_str_t *value)
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
