
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"
#include "src/push/ngx_chat_redis_text.h"
#include "src/push/ngx_chat_resp.h"


/*
 * Replies of Redis, and the texts in them.  What was read is written again and
 * compared with the input; a reply that arrives in two parts has the same
 * result.
 */


static void fuzz_redis_reply(ngx_chat_resp_t *resp, u_char *start,
    u_char *end);
static void fuzz_redis_parts(u_char *start, size_t size, ngx_int_t rc,
    u_char *end);
static void fuzz_redis_text(ngx_str_t *text);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char           *copy, *pos, *start, *last;
    ngx_int_t         rc;
    ngx_str_t         all;
    ngx_uint_t        i;
    ngx_chat_resp_t   resp;

    copy = malloc(size + (size == 0));
    memcpy(copy, data, size);

    pos = copy;
    last = copy + size;

    do {
        start = pos;
        rc = ngx_chat_resp_read(&resp, &pos, last);

        fuzz_assert(rc == NGX_OK ? pos > start && pos <= last : pos == start);

        if (start == copy) {
            fuzz_redis_parts(start, size, rc, pos);
        }

        if (rc == NGX_OK) {
            fuzz_redis_reply(&resp, start, pos);

            for (i = 0; i < resp.nvalues; i++) {
                fuzz_redis_text(&resp.values[i].text);
            }
        }

    } while (rc == NGX_OK);

    fuzz_assert(rc == NGX_ERROR || last - pos < NGX_CHAT_RESP_SIZE);

    all.data = copy;
    all.len = size;

    fuzz_redis_text(&all);

    free(copy);

    return 0;
}


/* writes the reply again */

static void
fuzz_redis_reply(ngx_chat_resp_t *resp, u_char *start, u_char *end)
{
    char                   *text;
    FILE                   *out;
    size_t                  size;
    ngx_uint_t              i;
    ngx_chat_resp_value_t  *value;

    fuzz_assert(resp->nvalues > 0 && resp->nvalues <= NGX_CHAT_RESP_VALUES);

    out = open_memstream(&text, &size);

    for (i = 0; i < resp->nvalues; i++) {
        value = &resp->values[i];

        switch (value->type) {

        case NGX_CHAT_RESP_STATUS:
        case NGX_CHAT_RESP_ERROR:
            fputc(value->type == NGX_CHAT_RESP_STATUS ? '+' : '-', out);
            fwrite(value->text.data, 1, value->text.len, out);
            break;

        case NGX_CHAT_RESP_INTEGER:
            fprintf(out, ":%" PRId64, value->number);
            break;

        case NGX_CHAT_RESP_BULK:
            fprintf(out, "$%zu\r\n", value->text.len);
            fwrite(value->text.data, 1, value->text.len, out);
            break;

        case NGX_CHAT_RESP_ARRAY:
            fprintf(out, "*%" PRId64, value->number);
            break;

        default:
            fputs(start[ftell(out)] == '*' ? "*-1" : "$-1", out);
        }

        fputs("\r\n", out);
    }

    fclose(out);

    fuzz_assert(size == (size_t) (end - start)
                && memcmp(text, start, size) == 0);

    free(text);
}


/* each shorter part of a reply is incomplete; an error is found again */

static void
fuzz_redis_parts(u_char *start, size_t size, ngx_int_t rc, u_char *end)
{
    size_t            n, len;
    u_char           *part, *pos;
    ngx_int_t         got;
    ngx_chat_resp_t   resp;

    len = (rc == NGX_OK) ? (size_t) (end - start) : size;

    /* the ends of all parts would take too long */

    for (n = 0; n < len; n += 1 + n / 8) {
        part = malloc(n + (n == 0));
        memcpy(part, start, n);

        pos = part;
        got = ngx_chat_resp_read(&resp, &pos, part + n);

        fuzz_assert(got == NGX_AGAIN || (rc == NGX_ERROR && got == NGX_ERROR));

        free(part);
    }
}


static void
fuzz_redis_text(ngx_str_t *text)
{
    u_char             buf[NGX_CHAT_REDIS_TEXT_LEN];
    uint32_t           user_id;
    uint64_t           instance;
    ngx_str_t          again;
    ngx_chat_record_t  record;

    again.data = buf;

    if (ngx_chat_redis_channel_read(text, &user_id) == NGX_OK) {
        again.len = ngx_chat_redis_channel_write(buf, user_id) - buf;
        fuzz_assert(fuzz_same(text, &again));
    }

    if (ngx_chat_redis_resync_read(text, &instance) == NGX_OK) {
        again.len = ngx_chat_redis_resync_write(buf, instance) - buf;
        fuzz_assert(fuzz_same(text, &again));
    }

    if (ngx_chat_redis_record_read(text, &instance, &record) == NGX_OK) {
        again.len = ngx_chat_redis_record_write(buf, instance, &record) - buf;
        fuzz_assert(again.len <= sizeof(buf) && fuzz_same(text, &again));
    }
}
