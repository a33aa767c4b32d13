
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"
#include "src/push/ngx_chat_redis_text.h"
#include "src/push/ngx_chat_resp.h"

#include <inttypes.h>


static void redis_test_replies(void);
static void redis_test_reply(ngx_str_t *input, const char *expected);
static void redis_test_parts(void);
static void redis_test_limits(void);
static void redis_test_limit(const char *what, ngx_str_t input,
    ngx_int_t expected);
static void redis_test_commands(void);
static void redis_test_channels(void);
static void redis_test_records(void);
static void redis_test_online(void);
static void redis_test_rounds(void);
static void redis_test_round(ngx_chat_record_t record, uint64_t instance,
    const char *expected);


/* values in prefix notation, "rest" is the number of bytes behind the reply */

static test_row_t  redis_test_reply_rows[] = {

    { T("+OK\r\n"), "+OK" },
    { T("+\r\n"), "+" },
    { T("+PONG\r\n+PONG\r\n"), "+PONG rest 7" },
    { T("-ERR unknown command\r\n"), "-ERR unknown command" },
    { T(":0\r\n"), ":0" },
    { T(":1000\r\n"), ":1000" },
    { T(":-1\r\n"), ":-1" },
    { T(":9223372036854775807\r\n"), ":9223372036854775807" },
    { T(":-9223372036854775808\r\n"), ":-9223372036854775808" },
    { T("$6\r\nfoobar\r\n"), "$foobar" },
    { T("$0\r\n\r\n"), "$" },
    { T("$2\r\n\r\n\r\n"), "$\r\n" },
    { T("$-1\r\n"), "null" },
    { T("*-1\r\n"), "null" },
    { T("*0\r\n"), "*0" },
    { T("*2\r\n*0\r\n:1\r\n"), "*2 *0 :1" },
    { T("*2\r\n*2\r\n:1\r\n:2\r\n$1\r\na\r\n:3\r\n"), "*2 *2 :1 :2 $a rest 4" },
    { T("*3\r\n$9\r\nsubscribe\r\n$6\r\nchat:5\r\n:1\r\n"),
      "*3 $subscribe $chat:5 :1" },
    { T("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"),
      "*3 $unsubscribe null :0" },
    { T("*2\r\n$4\r\npong\r\n$0\r\n\r\n"), "*2 $pong $" },

    /* incomplete */

    { T(""), "again" },
    { T("*"), "again" },
    { T("$5\r\nfooba\r"), "again" },
    { T("*2\r\n:1\r\n"), "again" },

    /* invalid */

    { T("OK\r\n"), "error" },
    { T("\r\n"), "error" },
    { T("+OK\n"), "error" },
    { T("+O\rK\r\n"), "error" },
    { T("+O\nK\r\n"), "error" },
    { T(":\r\n"), "error" },
    { T(":-\r\n"), "error" },
    { T(":+1\r\n"), "error" },
    { T(": 1\r\n"), "error" },
    { T(":01\r\n"), "error" },
    { T(":-0\r\n"), "error" },
    { T(":1a\r\n"), "error" },
    { T(":9223372036854775808\r\n"), "error" },
    { T(":-9223372036854775809\r\n"), "error" },
    { T(":18446744073709551617\r\n"), "error" },
    { T("$-2\r\n"), "error" },
    { T("$\r\n\r\n"), "error" },
    { T("$3\r\nfoobar\r\n"), "error" },
    { T("$2049\r\n"), "error" },
    { T("$9223372036854775807\r\n"), "error" },
    { T("*-2\r\n"), "error" },
    { T("*16\r\n"), "error" },
    { T("*9223372036854775807\r\n"), "error" },
    { T("*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), "error" },
    { T("%1\r\n+a\r\n+b\r\n"), "error" },
    { T("_\r\n"), "error" },

    { T(""), NULL }
};


void
test_redis(void)
{
    redis_test_replies();
    redis_test_parts();
    redis_test_limits();
    redis_test_commands();
    redis_test_channels();
    redis_test_records();
    redis_test_rounds();
}


static void
redis_test_replies(void)
{
    test_row_t  *row;

    for (row = redis_test_reply_rows; row->expected; row++) {
        redis_test_reply(&row->input, row->expected);
    }
}


static void
redis_test_reply(ngx_str_t *input, const char *expected)
{
    char                   *result;
    FILE                   *out;
    size_t                  size;
    u_char                 *copy, *pos, *last;
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_chat_resp_t         resp;
    ngx_chat_resp_value_t  *value;

    /* the sanitizer detects reads after the end */

    copy = malloc(input->len);
    memcpy(copy, input->data, input->len);

    pos = copy;
    last = copy + input->len;

    rc = ngx_chat_resp_read(&resp, &pos, last);
    out = open_memstream(&result, &size);

    if (rc != NGX_OK) {
        fputs(rc == NGX_AGAIN ? "again" : "error", out);

    } else {
        for (i = 0; i < resp.nvalues; i++) {
            value = &resp.values[i];

            if (i) {
                fputc(' ', out);
            }

            if (value->type == NGX_CHAT_RESP_NULL) {
                fputs("null", out);
                continue;
            }

            fputc("+-:$*"[value->type], out);

            if (value->type == NGX_CHAT_RESP_INTEGER
                || value->type == NGX_CHAT_RESP_ARRAY)
            {
                fprintf(out, "%" PRId64, value->number);

            } else {
                test_show(out, &value->text);
            }
        }

        if (pos != last) {
            fprintf(out, " rest %d", (int) (last - pos));
        }
    }

    fclose(out);
    free(copy);

    test_is(result, expected, "reply", input);
    free(result);
}


/* a part of a reply is incomplete, wherever it ends */

static void
redis_test_parts(void)
{
    u_char           *copy, *pos;
    size_t            n;
    ngx_uint_t        good;
    ngx_chat_resp_t   resp;

    ngx_str_t  reply = T("*3\r\n$7\r\nmessage\r\n$6\r\nchat:5\r\n"
                         "*2\r\n:-17\r\n$-1\r\n");

    good = 1;

    for (n = 0; n < reply.len; n++) {
        copy = malloc(n);
        memcpy(copy, reply.data, n);

        pos = copy;
        good &= (ngx_chat_resp_read(&resp, &pos, copy + n) == NGX_AGAIN
                 && pos == copy);

        free(copy);
    }

    test_ok(good, "parts of a reply are incomplete");
}


static void
redis_test_limits(void)
{
    redis_test_limit("the longest line", test_repeat("+", "a", 512, "\r\n"),
                     NGX_OK);
    redis_test_limit("a longer line", test_repeat("+", "a", 513, "\r\n"),
                     NGX_ERROR);
    redis_test_limit("the end of the longest line is missing",
                     test_repeat("-", "a", 512, ""), NGX_AGAIN);
    redis_test_limit("the end of a longer line is missing",
                     test_repeat("-", "a", 513, ""), NGX_ERROR);
    redis_test_limit("the longest bulk string",
                     test_repeat("$2048\r\n", "a", 2048, "\r\n"), NGX_OK);
    redis_test_limit("the most values",
                     test_repeat("*15\r\n", "+a\r\n", 15, ""), NGX_OK);
    redis_test_limit("more values, nested",
                     test_repeat("*2\r\n*14\r\n", "+a\r\n", 15, ""), NGX_ERROR);
    redis_test_limit("a megabyte of a bulk string",
                     test_repeat("$1048576\r\n", "a", 1048576, "\r\n"),
                     NGX_ERROR);
    redis_test_limit("the size of a reply",
                     test_repeat("*15\r\n", "$1000\r\n", 1, ""), NGX_AGAIN);
    redis_test_limit("bulk strings of more than this size",
                     test_repeat("*15\r\n$1000\r\n", "a", 5000, ""),
                     NGX_ERROR);
}


static void
redis_test_limit(const char *what, ngx_str_t input, ngx_int_t expected)
{
    u_char           *pos;
    ngx_chat_resp_t   resp;

    pos = input.data;

    test_ok(ngx_chat_resp_read(&resp, &pos, pos + input.len) == expected,
            "%s", what);

    free(input.data);
}


static void
redis_test_commands(void)
{
    u_char     buf[256];
    ngx_str_t  text;

    ngx_str_t  ping[] = { T("PING") };
    ngx_str_t  publish[] = { T("PUBLISH"), T("chat:5"), T("a\r\nb"), T("") };

    text.data = buf;
    text.len = ngx_chat_resp_write(buf, ping, 1) - buf;

    buf[text.len] = '\0';

    test_is((char *) buf, "*1\r\n$4\r\nPING\r\n", "command",
            &ping[0]);
    test_ok(text.len <= ngx_chat_resp_size(ping, 1), "its size");

    text.len = ngx_chat_resp_write(buf, publish, 4) - buf;

    buf[text.len] = '\0';

    test_is((char *) buf,
            "*4\r\n$7\r\nPUBLISH\r\n$6\r\nchat:5\r\n$4\r\na\r\nb\r\n$0\r\n\r\n",
            "command", &publish[0]);
    test_ok(text.len <= ngx_chat_resp_size(publish, 4), "its size");
}


static void
redis_test_channels(void)
{
    u_char       buf[NGX_CHAT_REDIS_CHANNEL_LEN];
    uint32_t     id;
    ngx_str_t    text;
    ngx_uint_t   i;

    static const uint32_t  ids[] = { 0, 1, 10, 4294967295 };

    static ngx_str_t  invalid[] = {
        T(""), T("chat:"), T("chat:0"), T("chat:05"), T("chat:-5"),
        T("chat: 5"), T("chat:5 "), T("chat:4294967296"), T("chat:5x"),
        T("Chat:5"), T("chat:resyn"), T("chat:resync2"), T("xchat:5")
    };

    for (i = 0; i < 4; i++) {
        text.data = buf;
        text.len = ngx_chat_redis_channel_write(buf, ids[i]) - buf;

        test_ok(text.len <= sizeof(buf)
                && ngx_chat_redis_channel_read(&text, &id) == NGX_OK
                && id == ids[i],
                "channel %.*s", (int) text.len, buf);
    }

    for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        test_ok(ngx_chat_redis_channel_read(&invalid[i], &id) == NGX_ERROR,
                "no channel: %s", invalid[i].data);
    }
}


static void
redis_test_records(void)
{
    uint64_t           instance;
    ngx_str_t          text;
    ngx_uint_t         i;
    ngx_chat_record_t  record;

    static ngx_str_t  invalid[] = {
        T(""),
        T("1:0123456789abcdef"),
        T("1:0123456789abcdef:1:5:7"),
        T("1:0123456789abcdef:1:5:7:"),
        T("1:0123456789abcdef:1:5:7:4711:"),
        T("1:0123456789abcdef:1:5:7:4711 "),
        T("1:0123456789abcdef:1:5:7:04711"),
        T("1:0123456789abcdef:1:5:0:4711"),
        T("1:0123456789abcdef:1:4294967296:7:4711"),
        T("1:0123456789abcdef:256:5:7:4711"),
        T("1:0123456789abcdef:1:5:7:18446744073709551616"),
        T("1:0123456789ABCDEF:1:5:7:4711"),
        T("1:0123456789abcde:1:5:7:4711"),
        T("1:0123456789abcdefa:1:5:7:4711"),
        T("2:0123456789abcdef:1:5:7:4711"),
        T("1:0123456789abcdef:1:5:-7:4711"),
        T("1:0123456789abcdef:1:5:7:4711:{}"),
        T("1:0123456789abcdef:3:5:7:0:"),
        T("1:0123456789abcdef:3:5:7:0:{"),
        T("1:0123456789abcdef:3:5:7:0:x{}"),
        T("1:0123456789abcdef:3:5:7:0:{}x"),
        T("1:0123456789abcdef:3:5:7:0:{\n}"),
        T("1:0123456789abcdef:3:5:7:0:{\xff}"),
        T("{\"message\": \"4711\"}")
    };

    for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        test_ok(ngx_chat_redis_record_read(&invalid[i], &instance, &record)
                == NGX_ERROR,
                "no record: %s", invalid[i].data);
    }

    redis_test_online();

    text = invalid[1];

    test_ok(ngx_chat_redis_resync_read(&text, &instance) == NGX_OK
            && instance == 0x0123456789abcdef,
            "a resync");

    for (text.len = 0; text.len < invalid[1].len; text.len++) {
        if (ngx_chat_redis_resync_read(&text, &instance) != NGX_ERROR) {
            break;
        }
    }

    test_ok(text.len == invalid[1].len, "parts of it are invalid");
    test_ok(ngx_chat_redis_resync_read(&invalid[3], &instance) == NGX_ERROR,
            "no resync");
}


static void
redis_test_online(void)
{
    u_char      buf[NGX_CHAT_REDIS_TEXT_LEN];
    uint32_t    ids[NGX_CHAT_REDIS_IDS], read[NGX_CHAT_REDIS_IDS];
    uint64_t    instance;
    ngx_str_t   text;
    ngx_uint_t  i, n;

    static ngx_str_t  invalid[] = {
        T("1:0123456789abcdef"),
        T("1:0123456789abcdef:online"),
        T("1:0123456789abcdef:online:"),
        T("1:0123456789abcdef:online:0"),
        T("1:0123456789abcdef:online:05"),
        T("1:0123456789abcdef:online:5,"),
        T("1:0123456789abcdef:online:,5"),
        T("1:0123456789abcdef:online:5 7"),
        T("1:0123456789abcdef:online:4294967296"),
        T("2:0123456789abcdef:online:5"),
        T("1:0123456789abcdef:offline:5")
    };

    for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        test_ok(ngx_chat_redis_online_read(&invalid[i], &instance, read, &n)
                == NGX_ERROR,
                "no users: %s", invalid[i].data);
    }

    for (i = 0; i < NGX_CHAT_REDIS_IDS; i++) {
        ids[i] = 4294967295 - i;
    }

    for (i = 1; i <= NGX_CHAT_REDIS_IDS; i += NGX_CHAT_REDIS_IDS - 1) {
        text.data = buf;
        text.len = ngx_chat_redis_online_write(buf, 17, ids, i) - buf;

        test_ok(text.len <= sizeof(buf)
                && ngx_chat_redis_online_read(&text, &instance, read, &n)
                   == NGX_OK
                && instance == 17 && n == i
                && memcmp(ids, read, i * sizeof(uint32_t)) == 0,
                "%d users", (int) i);
    }

    text.len = ngx_sprintf(buf + text.len, ",1") - buf;

    test_ok(ngx_chat_redis_online_read(&text, &instance, read, &n)
            == NGX_ERROR,
            "too many users");
}


static void
redis_test_rounds(void)
{
    ngx_chat_record_t  record;

    ngx_str_null(&record.text);

    record.kind = 1;
    record.sender_id = 5;
    record.recipient_id = 7;
    record.message_id = 4711;

    redis_test_round(record, 0x0123456789abcdef,
                     "1:0123456789abcdef:1:5:7:4711");

    record.kind = 255;
    record.sender_id = 4294967295;
    record.recipient_id = 4294967295;
    record.message_id = UINT64_MAX;

    redis_test_round(record, UINT64_MAX, "1:ffffffffffffffff:255:4294967295:"
                     "4294967295:18446744073709551615");

    record.message_id = 0;

    redis_test_round(record, 0, "1:0000000000000000:255:4294967295:"
                     "4294967295:0");

    record.kind = NGX_CHAT_RECORD_EVENT;
    record.sender_id = 5;
    record.recipient_id = 7;

    redis_test_round(record, 1, "1:0000000000000001:3:5:7:0");

    ngx_str_set(&record.text, "{\"type\":\"deleted\"}");

    redis_test_round(record, 1, "1:0000000000000001:3:5:7:0:"
                     "{\"type\":\"deleted\"}");

    record.kind = NGX_CHAT_RECORD_TRANSIENT;
    record.sender_id = 0;
    ngx_str_set(&record.text, "{\"type\":\"typing\"}");

    redis_test_round(record, 1, "1:0000000000000001:4:0:7:0:"
                     "{\"type\":\"typing\"}");
}


static void
redis_test_round(ngx_chat_record_t record, uint64_t instance,
    const char *expected)
{
    char               buf[NGX_CHAT_REDIS_TEXT_LEN + 1];
    uint64_t           got;
    ngx_str_t          text;
    ngx_chat_record_t  again;

    text.data = (u_char *) buf;
    text.len = ngx_chat_redis_record_write(text.data, instance, &record)
               - text.data;
    buf[text.len] = '\0';

    test_is(buf, expected, "record", &text);
    test_ok(ngx_chat_redis_record_read(&text, &got, &again) == NGX_OK
            && got == instance && again.kind == record.kind
            && again.sender_id == record.sender_id
            && again.recipient_id == record.recipient_id
            && again.message_id == record.message_id
            && again.text.len == record.text.len,
            "the record is read");
}
