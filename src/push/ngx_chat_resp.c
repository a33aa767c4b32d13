
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/push/ngx_chat_resp.h"


/*
 * An incomplete reply is read again from its start when more data has arrived.
 * Replies are short, so this costs less than the state of a reader.
 */


static ngx_int_t ngx_chat_resp_value(ngx_chat_resp_value_t *value, u_char **pos,
    u_char *last);
static ngx_int_t ngx_chat_resp_line(ngx_str_t *line, u_char **pos,
    u_char *last);
static ngx_int_t ngx_chat_resp_number(ngx_str_t *text, int64_t *number);
static ngx_int_t ngx_chat_resp_bulk(ngx_chat_resp_value_t *value, u_char **pos,
    u_char *last);


ngx_int_t
ngx_chat_resp_read(ngx_chat_resp_t *resp, u_char **pos, u_char *last)
{
    u_char                 *p;
    ngx_int_t               rc;
    ngx_uint_t              depth;
    int64_t                 missing[NGX_CHAT_RESP_DEPTH];
    ngx_chat_resp_value_t  *value;

    p = *pos;
    depth = 0;
    missing[0] = 1;
    resp->nvalues = 0;

    do {
        if (resp->nvalues == NGX_CHAT_RESP_VALUES) {
            return NGX_ERROR;
        }

        value = &resp->values[resp->nvalues];

        rc = ngx_chat_resp_value(value, &p, last);

        if (rc == NGX_AGAIN) {
            return (last - *pos < NGX_CHAT_RESP_SIZE) ? NGX_AGAIN : NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        resp->nvalues++;
        missing[depth]--;

        if (value->type == NGX_CHAT_RESP_ARRAY) {

            if (depth == NGX_CHAT_RESP_DEPTH - 1) {
                return NGX_ERROR;
            }

            missing[++depth] = value->number;
        }

        while (depth && missing[depth] == 0) {
            depth--;
        }

    } while (missing[depth]);

    if (p - *pos > NGX_CHAT_RESP_SIZE) {
        return NGX_ERROR;
    }

    *pos = p;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_resp_value(ngx_chat_resp_value_t *value, u_char **pos, u_char *last)
{
    u_char     type;
    ngx_int_t  rc;

    if (*pos == last) {
        return NGX_AGAIN;
    }

    type = *(*pos)++;

    rc = ngx_chat_resp_line(&value->text, pos, last);
    if (rc != NGX_OK) {
        return rc;
    }

    value->number = 0;

    switch (type) {

    case '+':
        value->type = NGX_CHAT_RESP_STATUS;
        return NGX_OK;

    case '-':
        value->type = NGX_CHAT_RESP_ERROR;
        return NGX_OK;

    case ':':
        value->type = NGX_CHAT_RESP_INTEGER;
        return ngx_chat_resp_number(&value->text, &value->number);

    case '$':
        value->type = NGX_CHAT_RESP_BULK;
        break;

    case '*':
        value->type = NGX_CHAT_RESP_ARRAY;
        break;

    default:
        return NGX_ERROR;
    }

    if (ngx_chat_resp_number(&value->text, &value->number) != NGX_OK
        || value->number < -1)
    {
        return NGX_ERROR;
    }

    if (value->number == -1) {
        value->type = NGX_CHAT_RESP_NULL;
        return NGX_OK;
    }

    if (value->type == NGX_CHAT_RESP_BULK) {
        return ngx_chat_resp_bulk(value, pos, last);
    }

    return (value->number < NGX_CHAT_RESP_VALUES) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_chat_resp_line(ngx_str_t *line, u_char **pos, u_char *last)
{
    u_char  *p, *end;

    end = (last - *pos > NGX_CHAT_RESP_LINE) ? *pos + NGX_CHAT_RESP_LINE + 1
                                             : last;

    for (p = *pos; p < end; p++) {

        if (*p == LF) {
            return NGX_ERROR;
        }

        if (*p == CR) {
            break;
        }
    }

    if (p - *pos > NGX_CHAT_RESP_LINE) {
        return NGX_ERROR;
    }

    if (last - p < 2) {
        return NGX_AGAIN;
    }

    if (p[1] != LF) {
        return NGX_ERROR;
    }

    line->data = *pos;
    line->len = p - *pos;

    *pos = p + 2;

    return NGX_OK;
}


/* reads an integer of 64 bits, without leading zeros */

static ngx_int_t
ngx_chat_resp_number(ngx_str_t *text, int64_t *number)
{
    u_char    *p, *last;
    uint64_t   n, max;

    p = text->data;
    last = p + text->len;
    max = INT64_MAX;

    if (p < last && *p == '-') {
        p++;
        max++;
    }

    if (p == last || (*p == '0' && text->len > 1)) {
        return NGX_ERROR;
    }

    for (n = 0; p < last; p++) {

        if (*p < '0' || *p > '9' || n > (max - (*p - '0')) / 10) {
            return NGX_ERROR;
        }

        n = n * 10 + (*p - '0');
    }

    *number = (text->data[0] == '-') ? (int64_t) (0 - n) : (int64_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_chat_resp_bulk(ngx_chat_resp_value_t *value, u_char **pos, u_char *last)
{
    size_t  len;

    if (value->number > NGX_CHAT_RESP_TEXT) {
        return NGX_ERROR;
    }

    len = (size_t) value->number;

    if ((size_t) (last - *pos) < len + 2) {
        return NGX_AGAIN;
    }

    value->text.data = *pos;
    value->text.len = len;
    value->number = 0;

    *pos += len + 2;

    return ((*pos)[-2] == CR && (*pos)[-1] == LF) ? NGX_OK : NGX_ERROR;
}


size_t
ngx_chat_resp_size(const ngx_str_t *args, ngx_uint_t n)
{
    size_t      size;
    ngx_uint_t  i;

    size = sizeof("*\r\n") - 1 + NGX_SIZE_T_LEN;

    for (i = 0; i < n; i++) {
        size += sizeof("$\r\n\r\n") - 1 + NGX_SIZE_T_LEN + args[i].len;
    }

    return size;
}


u_char *
ngx_chat_resp_write(u_char *p, const ngx_str_t *args, ngx_uint_t n)
{
    ngx_uint_t  i;

    p = ngx_sprintf(p, "*%uz\r\n", (size_t) n);

    for (i = 0; i < n; i++) {
        p = ngx_sprintf(p, "$%uz\r\n", args[i].len);
        p = ngx_cpymem(p, args[i].data, args[i].len);
        p = ngx_cpymem(p, CRLF, sizeof(CRLF) - 1);
    }

    return p;
}
