
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"
#include "ngx_chat_db_statement.h"
#include "ngx_chat_sql_text.h"


typedef struct {
    ngx_str_t              input;
    const char            *expected;
} sql_test_string_t;


static void sql_test_strings(const char *what,
    ngx_chat_sql_value_t (*value)(const ngx_str_t *string),
    sql_test_string_t *row);
static void sql_test_pairs(void);
static void sql_test_values(void);
static void sql_test_statements(void);
static void sql_test_refused(const char *sql);
static void sql_test_fields(void);
static ngx_int_t sql_test_read(ngx_str_t *literal, u_char *p, size_t *len);
static ngx_str_t sql_test_take(ngx_chat_db_text_t *text);


static sql_test_string_t  sql_test_string_rows[] = {

    { T(""), "''" },
    { T("bob"), "'bob'" },
    { T("' OR 1 = 1 -- "), "'\\' OR 1 = 1 -- '" },
    { T("\\"), "'\\\\'" },
    { T("\\'; DROP TABLE chat_user; #"),
      "'\\\\\\'; DROP TABLE chat_user; #'" },
    { T("\""), "'\\\"'" },
    { T("a\0b\nc\rd\x1a" "e\tf"), "'a\\0b\\nc\\rd\\Ze\tf'" },
    { T("50%_"), "'50%_'" },
    { T("$1 $2"), "'$1 $2'" },
    { T("\xc3\xa9\xf0\x9f\x98\x80"), "'\xc3\xa9\xf0\x9f\x98\x80'" },
    { ngx_null_string, NULL }
};


static sql_test_string_t  sql_test_prefix_rows[] = {

    { T(""), "'%'" },
    { T("bob"), "'bob%'" },
    { T("a_b"), "'a\\\\_b%'" },
    { T("%"), "'\\\\%%'" },
    { T("\\"), "'\\\\\\\\%'" },
    { T("\\%'"), "'\\\\\\\\\\\\%\\'%'" },
    { ngx_null_string, NULL }
};


void
test_sql(void)
{
    sql_test_strings("string", ngx_chat_sql_string, sql_test_string_rows);
    sql_test_strings("prefix", ngx_chat_sql_prefix, sql_test_prefix_rows);
    sql_test_pairs();
    sql_test_values();
    sql_test_statements();
    sql_test_refused("SELECT $2");
    sql_test_refused("SELECT $0");
    sql_test_refused("SELECT $");
    sql_test_fields();
}


static void
sql_test_strings(const char *what,
    ngx_chat_sql_value_t (*value)(const ngx_str_t *string),
    sql_test_string_t *row)
{
    ngx_str_t           got;
    ngx_chat_db_text_t  text;

    for ( /* void */ ; row->expected; row++) {
        ngx_memzero(&text, sizeof(ngx_chat_db_text_t));

        ngx_chat_sql_add(&text, "$1", value(&row->input));

        got = sql_test_take(&text);
        test_is((char *) got.data, row->expected, what, &row->input);
        free(got.data);
    }
}


/* any two bytes: one literal, and the database reads the same from it */

static void
sql_test_pairs(void)
{
    u_char              pair[2], read[8];
    size_t              len;
    ngx_str_t           got, input;
    ngx_uint_t          i, good;
    ngx_chat_db_text_t  text;

    good = 0;

    for (i = 0; i < 65536; i++) {
        pair[0] = (u_char) (i >> 8);
        pair[1] = (u_char) i;

        input.data = pair;
        input.len = 2;

        ngx_memzero(&text, sizeof(ngx_chat_db_text_t));
        ngx_chat_sql_add(&text, "$1", ngx_chat_sql_string(&input));
        got = sql_test_take(&text);

        good += (sql_test_read(&got, read, &len) == NGX_OK
                 && len == 2 && ngx_memcmp(read, pair, 2) == 0);

        free(got.data);
    }

    test_ok(good == 65536, "string: any two bytes are read back");
}


static void
sql_test_values(void)
{
    u_char              bytes[] = { 0x00, 0x27, 0x5c, 0xff };
    ngx_str_t           got, name = ngx_string("$2");
    ngx_chat_db_text_t  text;

    ngx_memzero(&text, sizeof(ngx_chat_db_text_t));

    ngx_chat_sql_text(&text, "SELECT '%' ");
    ngx_chat_sql_add(&text, "$1,$2,$3,$1;",
                     ngx_chat_sql_number(UINT64_MAX),
                     ngx_chat_sql_string(&name),
                     ngx_chat_sql_bytes(bytes, sizeof(bytes)));
    ngx_chat_sql_add(&text, "$1", ngx_chat_sql_number(0));

    got = sql_test_take(&text);
    test_is((char *) got.data,
            "SELECT '%' 18446744073709551615,'$2',x'00275cff',"
            "18446744073709551615;0", "values", &name);
    free(got.data);
}


/* a packet in two statements, whatever is in their values */

static void
sql_test_statements(void)
{
    u_char              *p, *last;
    ngx_uint_t           i, k;
    ngx_chat_db_text_t   text;

    static ngx_str_t  values[] = {
        T(""), T(";"), T("'"), T("\\"), T("';"), T("\\;"), T("\\';"),
        T("\\\\';"), T("'';'"), T("; COMMIT; '"), T("\0;"), T("\n;\x1a;\"`;")
    };

    for (i = 0; i < sizeof(values) / sizeof(ngx_str_t); i++) {
        for (k = 0; k < sizeof(values) / sizeof(ngx_str_t); k++) {

            ngx_memzero(&text, sizeof(ngx_chat_db_text_t));
            ngx_chat_sql_add(&text, "A $1,x'3b';B $2",
                             ngx_chat_sql_string(&values[i]),
                             ngx_chat_sql_string(&values[k]));

            last = text.pos;
            p = ngx_chat_db_statement_end(text.start, last);

            test_ok(last - p > 3 && ngx_memcmp(p, ";B ", 3) == 0
                    && ngx_chat_db_statement_end(p + 1, last) == last,
                    "statements: %s, %s", values[i].data, values[k].data);

            free(text.start);
        }
    }
}


static void
sql_test_refused(const char *sql)
{
    ngx_chat_db_text_t  text;

    ngx_memzero(&text, sizeof(ngx_chat_db_text_t));

    ngx_chat_sql_add(&text, sql, ngx_chat_sql_number(1));
    test_ok(text.error, "refused: %s", sql);

    free(text.start);
}


static void
sql_test_fields(void)
{
    ngx_str_t    string;
    ngx_str_t    number = ngx_string("18446744073709551615");
    ngx_str_t    name = ngx_string("bob");
    ngx_str_t    null = ngx_null_string;
    ngx_pool_t  *pool;

    test_ok(ngx_chat_sql_get_number(&number) == UINT64_MAX, "number");
    test_ok(ngx_chat_sql_get_number(&null) == 0, "number: NULL");

    pool = ngx_create_pool(1024, NULL);

    test_ok(ngx_chat_sql_get_string(pool, &name, &string) == NGX_OK
            && string.len == 3 && string.data != name.data
            && ngx_memcmp(string.data, "bob", 3) == 0, "string: a copy");
    test_ok(ngx_chat_sql_get_string(pool, &null, &string) == NGX_OK
            && string.len == 0 && string.data != NULL, "string: NULL");

    ngx_stub_allow(0);
    test_ok(ngx_chat_sql_get_string(pool, &name, &string) == NGX_ERROR,
            "string: no memory");
    ngx_stub_allow(NGX_STUB_UNLIMITED);

    ngx_destroy_pool(pool);
}


/* a literal as the database reads it; NGX_ERROR: not one, or more than one */

static ngx_int_t
sql_test_read(ngx_str_t *literal, u_char *p, size_t *len)
{
    u_char  *in, *last, *start;

    in = literal->data;
    last = in + literal->len - 1;
    start = p;

    if (literal->len < 2 || *in != '\'' || *last != '\'') {
        return NGX_ERROR;
    }

    for (in++; in < last; in++) {

        if (*in == '\'') {
            return NGX_ERROR;
        }

        if (*in != '\\') {
            *p++ = *in;
            continue;
        }

        if (++in == last) {
            return NGX_ERROR;
        }

        switch (*in) {

        case '0':
            *p++ = '\0';
            break;

        case 'n':
            *p++ = '\n';
            break;

        case 'r':
            *p++ = '\r';
            break;

        case 't':
            *p++ = '\t';
            break;

        case 'b':
            *p++ = '\b';
            break;

        case 'Z':
            *p++ = 0x1a;
            break;

        case '%':
        case '_':
            *p++ = '\\';
            *p++ = *in;
            break;

        default:
            *p++ = *in;
        }
    }

    *len = p - start;

    return NGX_OK;
}


/* null-terminated, to be given to free() */

static ngx_str_t
sql_test_take(ngx_chat_db_text_t *text)
{
    ngx_str_t  taken;

    taken.len = text->pos - text->start;

    if (ngx_chat_db_text_reserve(text, 1) == NGX_OK) {
        *text->pos = '\0';
    }

    taken.data = text->start;

    return taken;
}


/* as the database layer's, but never a byte more than is asked for */

ngx_int_t
ngx_chat_db_text_reserve(ngx_chat_db_text_t *text, size_t size)
{
    u_char  *p;
    size_t   used;

    used = text->pos - text->start;

    p = malloc(used + size);
    if (p == NULL) {
        text->error = 1;
        return NGX_ERROR;
    }

    if (used) {
        ngx_memcpy(p, text->start, used);
    }

    free(text->start);

    text->start = p;
    text->pos = p + used;
    text->end = p + used + size;

    return NGX_OK;
}
