
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"
#include "src/core/ngx_chat_json.h"


static ngx_int_t json_test_parse(ngx_pool_t *pool, const char *type,
    ngx_str_t *input, ngx_chat_field_t *fields, ngx_str_t *error);
static void json_test_pairs(void);
static void json_test_limits(void);
static void json_test_out(void);
static ngx_int_t json_test_write(ngx_pool_t *pool, ngx_str_t *out);
static void json_test_out_all(void);
static void json_test_out_memory(void);


static test_row_t  json_test_rows[] = {

    { T("{\"recipient\":\"u2\",\"body\":\"hi\"}"), "text(u2) text(hi)" },
    { T(" {\"body\" : \"hi\",\t\"recipient\" : \"u2\" }\r\n"),
      "text(u2) text(hi)" },
    { T("{}"), "missing missing" },
    { T("{\"recipient\":\"\",\"body\":\" \"}"), "text() text( )" },
    { T("{\"recipient\":null,\"body\":\"\"}"), "null text()" },
    { T("{\"recipient\":true,\"body\":false}"), "invalid invalid" },
    { T("{\"recipient\":{},\"body\":[]}"), "invalid invalid" },

    /* a number is returned as text */

    { T("{\"recipient\":12,\"body\":-0.50e+3}"), "text(12) text(-0.50e+3)" },
    { T("{\"body\":123456789012345678901234567890}"),
      "missing text(123456789012345678901234567890)" },

    /* members of other values are not fields */

    { T("{\"x\":{\"recipient\":\"a\",\"body\":[{\"body\":1}]},"
        "\"y\":[1,\"b\"]}"),
      "missing missing" },
    { T("{\"recipient\":[\"a\"],\"body\":{\"body\":\"b\"}}"),
      "invalid invalid" },
    { T("{\"x\":{\"a\":1,\"a\":2},\"body\":\"hi\"}"), "missing text(hi)" },
    { T("{\"Body\":\"a\",\"bod\":\"b\",\"body \":\"c\"}"), "missing missing" },

    /* escapes */

    { T("{\"b\\u006fdy\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"),
      "missing text(\"\\/\b\f\n\r\t)" },
    { T("{\"recipient\":\"\\u00e9\\u20ac\",\"body\":\"\\ud83d\\ude00\"}"),
      "text(\xc3\xa9\xe2\x82\xac) text(\xf0\x9f\x98\x80)" },
    { T("{\"body\":\"\xf0\x9f\x98\x80\"}"), "missing text(\xf0\x9f\x98\x80)" },
    { T("{\"body\":\"a\\u0000b\"}"), "missing text(a\\0b)" },
    { T("{\"body\":\"\\\\ud800\"}"), "missing text(\\ud800)" },

    /* not an object */

    { T("[]"), "abort list" },
    { T("[{\"body\":\"hi\"}]"), "abort list" },
    { T("\"body\""), "abort str" },
    { T("17"), "abort int" },
    { T("-0"), "abort int" },
    { T("1.5"), "abort float" },
    { T("1E5"), "abort float" },
    { T("true"), "abort bool" },
    { T(" null "), "abort NoneType" },

    /* malformed JSON */

    { T(""), "declined Premature EOF near byte 0" },
    { T(" \r\n\t"), "declined Premature EOF near byte 4" },
    { T("{\"body\":\"hi\""), "declined Premature EOF near byte 12" },
    { T("{\"body\":\"hi"), "declined Premature EOF near byte 11" },
    { T("{\"body\":\"hi\"}}"), "declined Trailing garbage near byte 14" },
    { T("{\"body\":\"hi\"}\n{}"), "declined Trailing garbage near byte 15" },
    { T("{} \"x"), "declined Trailing garbage near byte 5" },
    { T("[]\""), "declined Trailing garbage near byte 3" },
    { T("{}tru"), "declined Trailing garbage near byte 5" },
    { T("{}2"), "declined Trailing garbage near byte 3" },
    { T("1 2"), "declined Trailing garbage near byte 3" },
    { T("{\"body\":\"hi\",}"), "declined Invalid object key (must be a string)"
      " near byte 14" },
    { T("[1,]"), "declined Unallowed token at this point in JSON text"
      " near byte 4" },
    { T("{body:1}"), "declined Invalid char in json text near byte 2" },
    { T("{'body':1}"), "declined Invalid char in json text near byte 2" },
    { T("{\"body\" 1}"), "declined Object key and value must be separated by"
      " a colon (':') near byte 9" },
    { T("{1:2}"), "declined Invalid object key (must be a string)"
      " near byte 2" },
    { T("{\"body\":1 2}"), "declined After key and value, inside map, I expect"
      " ',' or '}' near byte 10" },
    { T("[1 2]"), "declined After array element, I expect ',' or ']'"
      " near byte 4" },
    { T("recipient=u2&body=hi"), "declined Invalid char in json text"
      " near byte 1" },
    { T("{\"body\":NaN}"), "declined Invalid char in json text near byte 9" },
    { T("{\"body\":tru}"), "declined Invalid string in json text"
      " near byte 11" },
    { T("{\"body\":01}"), "declined After key and value, inside map, I expect"
      " ',' or '}' near byte 9" },
    { T("{\"body\":1.}"), "declined Malformed number, a digit is required after"
      " the decimal point near byte 10" },
    { T("{\"body\":1e}"), "declined Malformed number, a digit is required after"
      " the exponent near byte 10" },
    { T("{\"body\":-}"), "declined Malformed number, a digit is required after"
      " the minus sign near byte 9" },
    { T("{\"body\":+1}"), "declined Invalid char in json text near byte 9" },
    { T("{/* */}"), "declined Probable comment found in input text, comments"
      " are not enabled near byte 1" },
    { T("{\"body\":\"a\nb\"}"), "declined Invalid character inside string"
      " near byte 10" },
    { T("{\"body\":\"a\0b\"}"), "declined Invalid character inside string"
      " near byte 10" },
    { T("{\"body\":\"\\x\"}"), "declined Inside a string, '\\' occurs before a"
      " character which it may not near byte 10" },
    { T("{\"body\":\"\\u12g4\"}"), "declined Invalid (non-hex) character occurs"
      " after '\\u' inside string near byte 13" },
    { T("\xef\xbb\xbf{}"), "declined Invalid char in json text near byte 1" },

    /* rejected, although yajl accepts it */

    { T("{\"body\":\"\\ud83d\"}"), "declined Lone surrogate near byte 9" },
    { T("{\"body\":\"\\ude00\"}"), "declined Lone surrogate near byte 9" },
    { T("{\"body\":\"\\ud83d\\ud83d\\ude00\"}"),
      "declined Lone surrogate near byte 9" },
    { T("{\"body\":\"\\ud83dx\\ude00\"}"),
      "declined Lone surrogate near byte 9" },
    { T("{\"body\":\"\\ud83d\\u"), "declined Lone surrogate near byte 9" },
    { T("{\"body\":\"\xed\xa0\xbd\xed\xb8\x80\"}"), "declined Invalid UTF-8" },
    { T("{\"body\":\"\xc0\xaf\"}"), "declined Invalid UTF-8" },
    { T("{\"body\":\"\xf4\x90\x80\x80\"}"), "declined Invalid UTF-8" },
    { T("{\"body\":\"\xe9\"}"), "declined Invalid UTF-8" },
    { T("{\"body\":1,\"body\":2}"), "declined Duplicate key near byte 16" },
    { T("{\"body\":1,\"b\\u006fdy\":2}"),
      "declined Duplicate key near byte 21" },
    { T("{\"x\":1,\"x\":2}"), "declined Duplicate key near byte 10" },
    { T("{\"\":1,\"\":2}"), "declined Duplicate key near byte 8" },
    { T("{\"body\\u0000\":1}"),
      "declined Null character in a key near byte 13" },

    { ngx_null_string, NULL }
};


static test_size_t  json_test_sizes[] = {

    { "json: a long text", json_test_parse, NULL,
      "{\"body\":\"", "abcdefgh", "\"}", NGX_OK },
    { "json: a long text of escapes", json_test_parse, NULL,
      "{\"body\":\"", "\\ud83d\\ude00", "\"}", NGX_OK },
    { "json: a long text without end", json_test_parse, NULL,
      "{\"body\":\"", "abcdefgh", "", NGX_DECLINED },
    { "json: a long key", json_test_parse, NULL,
      "{\"", "\\u0061", "\":1}", NGX_OK },
    { "json: a long number", json_test_parse, NULL,
      "{\"body\":1", "00000000", "}", NGX_OK },
    { "json: a long outermost number", json_test_parse, NULL,
      "1", "00000000", "", NGX_ABORT },
    { "json: long white space", json_test_parse, NULL,
      "", "        ", "{}", NGX_OK },
    { "json: many values", json_test_parse, NULL,
      "{\"x\":[1", ",{\"a\":1}", "]}", NGX_OK },
};


void
test_json(void)
{
    test_rows("json", json_test_parse, json_test_rows);

    json_test_pairs();
    json_test_limits();
    test_sizes(json_test_sizes, sizeof(json_test_sizes) / sizeof(test_size_t));

    test_truncated("json", json_test_parse, NULL,
        "{\"recipient\":\"u\\u00e9\\ud83d\\ude00\",\"x\":[1.5e3,{}],"
        "\"body\":\"h\xc3\xa9\"}");

    test_memory("json", json_test_parse, NULL,
        "{\"recipient\":\"\\u00e9\",\"x\":[1.5e3,{}],\"body\":\"\\n\"}");
    test_memory("bad json", json_test_parse, NULL, "{\"body");

    json_test_out();
    json_test_out_all();
    json_test_out_memory();
}


static ngx_int_t
json_test_parse(ngx_pool_t *pool, const char *type, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_str_t *error)
{
    return ngx_chat_json_fields(pool, input, fields, 2, error);
}


/*
 * Of all texts of two bytes, these are JSON: {} [] "" 10 .. 99, -0 .. -9, and a
 * digit before or after white space, which includes \v and \f in yajl.
 */

static void
json_test_pairs(void)
{
    u_char      *p;
    uint32_t     i;
    ngx_int_t    rc;
    ngx_str_t    input;
    ngx_uint_t   objects, others;

    p = malloc(2);
    input.len = 2;
    input.data = p;

    objects = 0;
    others = 0;

    for (i = 0; i <= 0xffff; i++) {
        p[0] = (u_char) (i >> 8);
        p[1] = (u_char) i;

        rc = test_rc(json_test_parse, NULL, &input);

        objects += (rc == NGX_OK);
        others += (rc == NGX_ABORT);
    }

    test_ok(objects == 1, "json: one object of two bytes");
    test_ok(others == 1 + 1 + 90 + 10 + 2 * 6 * 10,
            "json: other values of two bytes");

    free(p);
}


static void
json_test_limits(void)
{
    FILE        *out;
    size_t       i;
    ngx_str_t    input;
    ngx_uint_t   n;

    /* levels */

    static const struct {
        ngx_uint_t  n;
        ngx_int_t   expected;
    } levels[] = {
        { 31, NGX_OK }, { 32, NGX_DECLINED }, { 10000, NGX_DECLINED }
    };

    for (i = 0; i < 3; i++) {
        n = levels[i].n;

        input.len = sizeof("{\"x\":}") - 1 + 2 * n;
        input.data = malloc(input.len);
        memcpy(input.data, "{\"x\":", 5);
        memset(input.data + 5, '[', n);
        memset(input.data + 5 + n, ']', n);
        input.data[input.len - 1] = '}';

        test_ok(test_rc(json_test_parse, NULL, &input)
                == levels[i].expected,
                "json: %u lists inside", (unsigned) n);

        free(input.data);
    }

    input = test_repeat("", "[", 1000000, "");
    test_ok(test_rc(json_test_parse, NULL, &input) == NGX_DECLINED,
            "json: a million levels");
    free(input.data);

    input = test_repeat("", "{\"a\":", 1000000, "");
    test_ok(test_rc(json_test_parse, NULL, &input) == NGX_DECLINED,
            "json: a million objects");
    free(input.data);

    /* keys */

    for (n = 64; n <= 65; n++) {
        out = open_memstream((char **) &input.data, &input.len);

        for (i = 0; i < n; i++) {
            fprintf(out, "%s\"k%zu\":1", i ? "," : "{", i);
        }

        fputs("}", out);
        fclose(out);

        test_ok(test_rc(json_test_parse, NULL, &input)
                == (n == 64 ? NGX_OK : NGX_DECLINED),
                "json: %u keys", (unsigned) n);

        free(input.data);
    }
}


static void
json_test_out(void)
{
    char               *got;
    ngx_str_t           out, text;
    ngx_pool_t         *pool;
    ngx_chat_json_t    *json;

    static ngx_str_t    whole = ngx_string("whole document");

    pool = ngx_create_pool(0, NULL);

    test_ok(json_test_write(pool, &out) == NGX_OK, "out: a document");

    got = strndup((char *) out.data, out.len);

    test_is(got,
        "{\"count\":0,\"most\":18446744073709551615,\"next\":null,"
        "\"more\":true,\"less\":false,\"cursor\":\"4711\",\"empty\":{},"
        "\"none\":[],"
        "\"results\":[{\"id\":18446744073709551615,\"user\":\"u1\","
        "\"recipient\":\"Zo\xc3\xab\","
        "\"timestamp\":\"2025-12-30T07:03:02.325660Z\","
        "\"body\":\"\\\"</\\\\\\b\\f\\n\\r\\t\\u0001\\u001F\x7f"
        "\xf0\x9f\x98\x80\\u0000\","
        "\"files\":[{\"file\":\"a\",\"name\":\"\\\"url\\\":\\\"\","
        "\"url\":\"/api/file/a/\",\"width\":1},{\"url\":\"/api/x\"}]}]}",
        "out", &whole);

    free(got);

    /* an incomplete or invalid document is not returned */

    json = ngx_chat_json_create(pool);
    ngx_chat_json_array(json);
    test_ok(ngx_chat_json_done(json, &out) == NGX_ERROR, "out: not complete");

    json = ngx_chat_json_create(pool);
    ngx_chat_json_object(json);
    ngx_chat_json_number(json, 1);
    ngx_chat_json_end(json);
    test_ok(ngx_chat_json_done(json, &out) == NGX_ERROR, "out: no key");

    /* larger than a buffer */

    text = test_repeat("", "a", 1024 * 1024, "");

    json = ngx_chat_json_create(pool);
    ngx_chat_json_array(json);
    ngx_chat_json_string(json, &text);
    ngx_chat_json_string(json, &text);
    ngx_chat_json_end(json);
    test_ok(ngx_chat_json_done(json, &out) == NGX_OK
            && out.len == 2 * text.len + sizeof("[\"\",\"\"]") - 1,
            "out: large");

    free(text.data);
    ngx_destroy_pool(pool);
}


static ngx_int_t
json_test_write(ngx_pool_t *pool, ngx_str_t *out)
{
    ngx_chat_json_t     *json;

    static ngx_str_t     base = ngx_string("/api/");

    ngx_chat_message_t   message = {
        .id = UINT64_MAX,
        .sender = T("u1"),
        .recipient = T("Zo\xc3\xab"),
        .timestamp = T("2025-12-30T07:03:02.325660Z"),
        .files = T("[{\"file\":\"a\",\"name\":\"\\\"url\\\":\\\"\","
                   "\"url\":\"file/a/\",\"width\":1},{\"url\":\"x\"}]"),
        .body = T("\"</\\\b\f\n\r\t\x01\x1f\x7f\xf0\x9f\x98\x80\0")
    };

    json = ngx_chat_json_create(pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);

    ngx_chat_json_key(json, "count");
    ngx_chat_json_number(json, 0);
    ngx_chat_json_key(json, "most");
    ngx_chat_json_number(json, UINT64_MAX);
    ngx_chat_json_key(json, "next");
    ngx_chat_json_null(json);
    ngx_chat_json_key(json, "more");
    ngx_chat_json_bool(json, 2);
    ngx_chat_json_key(json, "less");
    ngx_chat_json_bool(json, 0);
    ngx_chat_json_key(json, "cursor");
    ngx_chat_json_id(json, 4711);
    ngx_chat_json_key(json, "empty");
    ngx_chat_json_object(json);
    ngx_chat_json_end(json);
    ngx_chat_json_key(json, "none");
    ngx_chat_json_array(json);
    ngx_chat_json_end(json);
    ngx_chat_json_key(json, "results");
    ngx_chat_json_array(json);
    ngx_chat_json_message(json, &message, &base);
    ngx_chat_json_end(json);

    ngx_chat_json_end(json);

    return ngx_chat_json_done(json, out);
}


/* every code point is written and parsed again */

static void
json_test_out_all(void)
{
    size_t             size;
    uint32_t           code;
    ngx_int_t          rc;
    ngx_str_t          text, out, error;
    ngx_pool_t        *pool;
    ngx_chat_json_t   *json;

    static ngx_str_t   list = T("{\"body\":[\"a\",\"b\",1,[\"c\"],\"d\"],"
                                "\"e\":[\"f\"]}");

    ngx_chat_field_t   field = { T("body"), 0, ngx_null_string };

    /* strings of an array; other values are no strings */

    pool = ngx_create_pool(0, NULL);
    rc = ngx_chat_json_fields(pool, &list, &field, 1, &error);
    test_ok(rc == NGX_OK && field.state == NGX_CHAT_FIELD_INVALID
            && field.value.len > 4
            && memcmp(field.value.data, "a,b,", 4) == 0,
            "in: an array of strings");
    ngx_destroy_pool(pool);

    size = 0;
    text.data = malloc(4 * 0x110000);

    for (code = 0; code <= 0x10ffff; code++) {
        if (code < 0xd800 || code > 0xdfff) {
            size += test_encode(text.data + size, code);
        }
    }

    text.len = size;

    pool = ngx_create_pool(0, NULL);
    json = ngx_chat_json_create(pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "body");
    ngx_chat_json_string(json, &text);
    ngx_chat_json_end(json);

    rc = ngx_chat_json_done(json, &out);
    test_ok(rc == NGX_OK, "out: every code point");

    rc = ngx_chat_json_fields(pool, &out, &field, 1, &error);
    test_ok(rc == NGX_OK && field.value.len == text.len
            && memcmp(field.value.data, text.data, text.len) == 0,
            "out: every code point comes in again");

    free(text.data);
    ngx_destroy_pool(pool);
}


static void
json_test_out_memory(void)
{
    ngx_int_t    rc;
    ngx_str_t    out;
    ngx_uint_t   n;
    ngx_pool_t  *pool;

    rc = NGX_ERROR;

    for (n = 0; rc == NGX_ERROR && n < 100; n++) {
        pool = ngx_create_pool(0, NULL);

        ngx_stub_allow(n);
        rc = json_test_write(pool, &out);
        ngx_stub_allow(NGX_STUB_UNLIMITED);

        ngx_destroy_pool(pool);
    }

    test_ok(n > 1 && rc == NGX_OK, "out: no memory for any of %u allocations",
            (unsigned) n - 1);
}
