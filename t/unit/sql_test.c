
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"
#include "src/core/ngx_chat_json.h"
#include "src/query/ngx_chat_query_builder.h"


typedef struct {
    ngx_str_t              input;
    const char            *expected;
} sql_test_string_t;


typedef struct {
    uint32_t               id;
    uint64_t               number;
    ngx_uint_t             flag;
    ngx_str_t              name;
    ngx_str_t              time;
} sql_test_row_t;


typedef struct {
    ngx_chat_db_job_t      job;
    uint32_t               id;
    ngx_str_t              name;
    u_char                 bytes[2];
    sql_test_row_t         row;
    ngx_chat_json_t       *json;
    ngx_uint_t             affected;
} sql_test_op_t;


static void sql_test_strings(const char *what,
    ngx_chat_query_value_t (*value)(const ngx_str_t *string),
    sql_test_string_t *row);
static void sql_test_pairs(void);
static void sql_test_values(void);
static void sql_test_statements(void);
static void sql_test_statements_limit(void);
static void sql_test_refused(const char *sql);
static void sql_test_fields(void);
static void sql_test_plain_row(void);
static void sql_test_plain_json(void);
static void sql_test_plain_memory(void);
static void sql_test_time(const char *field, const char *expected);
static void sql_test_rows(void);
static void sql_test_op(sql_test_op_t *op, const ngx_chat_db_type_t *type,
    ngx_pool_t *pool);
static ngx_int_t sql_test_read(ngx_str_t *literal, u_char *p, size_t *len);
static ngx_str_t sql_test_take(ngx_chat_db_buf_t *text);


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


static const ngx_chat_query_member_t  sql_test_plain_values[] = {
    ngx_chat_query_member(NUMBER, sql_test_op_t, id),
    ngx_chat_query_member(STRING, sql_test_op_t, name),
    ngx_chat_query_member(PREFIX, sql_test_op_t, name),
    ngx_chat_query_member(BYTES, sql_test_op_t, bytes),
    ngx_chat_query_members_end
};


static const ngx_chat_query_member_t  sql_test_plain_columns[] = {
    ngx_chat_query_member(NUMBER, sql_test_row_t, id),
    ngx_chat_query_member(NUMBER, sql_test_row_t, number),
    ngx_chat_query_member(BOOL, sql_test_row_t, flag),
    ngx_chat_query_member(STRING, sql_test_row_t, name),
    ngx_chat_query_member(TIME, sql_test_row_t, time),
    ngx_chat_query_members_end
};


static const ngx_chat_query_plain_t  sql_test_plain = {
    .sql = "A $1,$2,$3,$4",
    .values = sql_test_plain_values,
    .columns = sql_test_plain_columns,
    .row = offsetof(sql_test_op_t, row)
};


static const ngx_chat_db_type_t  sql_test_type = {
    .batch = 2,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &sql_test_plain
};


static const ngx_chat_query_plain_t  sql_test_json_plain = {
    .sql = "A;B;C",
    .columns = sql_test_plain_columns,
    .statement = 1,
    .json = offsetof(sql_test_op_t, json),
    .affected = offsetof(sql_test_op_t, affected)
};


static const ngx_chat_db_type_t  sql_test_json_type = {
    .batch = 1,
    .build = ngx_chat_query_plain_build,
    .result = ngx_chat_query_plain_result,
    .data = &sql_test_json_plain
};


/* the rows that ngx_chat_db_fetch() returns */

static ngx_str_t  sql_test_fetched[3][5] = {
    { T("7"), T("18446744073709551615"), T("2"), T("bob"),
      T("2025-12-30 07:03:02.325660") },
    { T("8"), T("0"), T("0"), T("a\"b"), T("2025-12-30 07:03:02") },
    { ngx_null_string, ngx_null_string, ngx_null_string, ngx_null_string,
      ngx_null_string }
};

static ngx_uint_t  sql_test_nfetched;


void
test_sql(void)
{
    sql_test_strings("string", ngx_chat_query_string, sql_test_string_rows);
    sql_test_strings("prefix", ngx_chat_query_prefix, sql_test_prefix_rows);
    sql_test_pairs();
    sql_test_values();
    sql_test_statements();
    sql_test_statements_limit();
    sql_test_refused("SELECT $2");
    sql_test_refused("SELECT $0");
    sql_test_refused("SELECT $");
    sql_test_fields();
    sql_test_plain_row();
    sql_test_plain_json();
    sql_test_plain_memory();
    sql_test_time("2025-12-30 07:03:02.325660", "2025-12-30T07:03:02.325660Z");
    sql_test_time("2025-12-30 07:03:02", "2025-12-30T07:03:02.000000Z");
    sql_test_time("2025-12-30", NULL);
    sql_test_rows();
}


static void
sql_test_strings(const char *what,
    ngx_chat_query_value_t (*value)(const ngx_str_t *string),
    sql_test_string_t *row)
{
    ngx_str_t          got;
    ngx_chat_db_buf_t  text;

    for ( /* void */ ; row->expected; row++) {
        ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));

        ngx_chat_query_add(&text, "$1", value(&row->input));

        got = sql_test_take(&text);
        test_is((char *) got.data, row->expected, what, &row->input);
        free(got.data);
    }
}


/* any two bytes are one literal, which the database reads unchanged */

static void
sql_test_pairs(void)
{
    u_char             pair[2], read[8];
    size_t             len;
    ngx_str_t          got, input;
    ngx_uint_t         i, good;
    ngx_chat_db_buf_t  text;

    good = 0;

    for (i = 0; i < 65536; i++) {
        pair[0] = (u_char) (i >> 8);
        pair[1] = (u_char) i;

        input.data = pair;
        input.len = 2;

        ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));
        ngx_chat_query_add(&text, "$1", ngx_chat_query_string(&input));
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
    u_char  bytes[] = { 0x00, 0x27, 0x5c, 0xff };
    ngx_str_t           got, name = ngx_string("$2");
    ngx_chat_db_buf_t  text;

    ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));

    ngx_chat_query_text(&text, "SELECT '%' ");
    ngx_chat_query_add(&text, "$1,$2,$3,$1;",
                       ngx_chat_query_number(UINT64_MAX),
                       ngx_chat_query_string(&name),
                       ngx_chat_query_bytes(bytes, sizeof(bytes)));
    ngx_chat_query_add(&text, "$1", ngx_chat_query_number(0));

    got = sql_test_take(&text);
    test_is((char *) got.data,
            "SELECT '%' 18446744073709551615,'$2',x'00275cff',"
            "18446744073709551615;0", "values", &name);
    free(got.data);
}


/* the end of each statement is recorded, whatever its values contain */

static void
sql_test_statements(void)
{
    u_char            *p;
    ngx_uint_t         i, k;
    ngx_chat_db_buf_t  text;

    static ngx_str_t  values[] = {
        T(""), T(";"), T("'"), T("\\"), T("';"), T("\\;"), T("\\';"),
        T("\\\\';"), T("'';'"), T("; COMMIT; '"), T("\0;"), T("\n;\x1a;\"`;")
    };

    for (i = 0; i < sizeof(values) / sizeof(ngx_str_t); i++) {
        for (k = 0; k < sizeof(values) / sizeof(ngx_str_t); k++) {

            ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));
            ngx_chat_query_add(&text, "A $1,x'3b';B $2",
                               ngx_chat_query_string(&values[i]),
                               ngx_chat_query_string(&values[k]));

            p = text.start + text.ends[0];

            test_ok(text.nends == 1
                    && text.pos - p > 3 && ngx_memcmp(p, ";B ", 3) == 0,
                    "statements: %s, %s", values[i].data, values[k].data);

            free(text.start);
        }
    }
}


static void
sql_test_statements_limit(void)
{
    ngx_uint_t         i;
    ngx_chat_db_buf_t  text;

    ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));

    for (i = 0; i < NGX_CHAT_DB_STATEMENTS / 2; i++) {
        ngx_chat_query_text(&text, "A;B;");
    }

    test_ok(!text.error && text.nends == NGX_CHAT_DB_STATEMENTS
            && text.ends[0] == 1
            && text.ends[NGX_CHAT_DB_STATEMENTS - 1]
               == 2 * NGX_CHAT_DB_STATEMENTS - 1,
            "statements: all are recorded");

    ngx_chat_query_text(&text, "A");
    test_ok(!text.error, "statements: the last one needs no semicolon");

    ngx_chat_query_text(&text, ";");
    test_ok(text.error, "statements: too many");

    free(text.start);
}


static void
sql_test_refused(const char *sql)
{
    ngx_chat_db_buf_t  text;

    ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));

    ngx_chat_query_add(&text, sql, ngx_chat_query_number(1));
    test_ok(text.error, "refused: %s", sql);

    free(text.start);
}


static void
sql_test_fields(void)
{
    ngx_str_t  string;
    ngx_str_t    number = ngx_string("18446744073709551615");
    ngx_str_t    name = ngx_string("bob");
    ngx_str_t    null = ngx_null_string;
    ngx_pool_t  *pool;

    test_ok(ngx_chat_query_get_number(&number) == UINT64_MAX, "number");
    test_ok(ngx_chat_query_get_number(&null) == 0, "number: NULL");

    pool = ngx_create_pool(1024, NULL);

    test_ok(ngx_chat_query_get_string(pool, &name, &string) == NGX_OK
            && string.len == 3 && string.data != name.data
            && ngx_memcmp(string.data, "bob", 3) == 0, "string: a copy");
    test_ok(ngx_chat_query_get_string(pool, &null, &string) == NGX_OK
            && string.len == 0 && string.data != NULL, "string: NULL");

    ngx_stub_allow(0);
    test_ok(ngx_chat_query_get_string(pool, &name, &string) == NGX_ERROR,
            "string: no memory");
    ngx_stub_allow(NGX_STUB_UNLIMITED);

    ngx_destroy_pool(pool);
}


/* two jobs of a batch, the first of which is cancelled */

static void
sql_test_plain_row(void)
{
    ngx_str_t             got;
    ngx_pool_t           *pool;
    sql_test_op_t         op[2];
    ngx_chat_db_job_t    *jobs[2] = { &op[0].job, &op[1].job };
    ngx_chat_db_buf_t     text;
    ngx_chat_db_result_t  res;

    pool = ngx_create_pool(1024, NULL);

    sql_test_op(&op[0], &sql_test_type, pool);
    sql_test_op(&op[1], &sql_test_type, pool);

    op[1].id = 2;
    op[1].row.id = 9;

    ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));
    ngx_chat_query_plain_build(&text, jobs, 2);

    got = sql_test_take(&text);
    test_is((char *) got.data,
            "A 1,'a\\'_','a\\'\\\\_%',x'00ff';A 2,'a\\'_','a\\'\\\\_%',x'00ff'",
            "plain: values", &op[0].name);
    test_ok(op[1].row.id == 0, "plain: an earlier result is removed");
    free(got.data);

    ngx_memzero(&res, sizeof(ngx_chat_db_result_t));
    jobs[0] = NULL;
    sql_test_nfetched = 0;

    test_ok(ngx_chat_query_plain_result(&res, jobs, 2) == NGX_OK
            && sql_test_nfetched == 0, "plain: a cancelled job");

    res.statement = 1;

    test_ok(ngx_chat_query_plain_result(&res, jobs, 2) == NGX_OK
            && op[1].row.id == 7 && op[1].row.number == UINT64_MAX
            && op[1].row.flag == 1 && op[1].row.name.len == 3
            && op[1].row.time.len == NGX_CHAT_TIMESTAMP_LEN,
            "plain: the columns of a row");

    ngx_destroy_pool(pool);
}


/* the second of three statements */

static void
sql_test_plain_json(void)
{
    ngx_str_t             json;
    ngx_pool_t           *pool;
    sql_test_op_t         op;
    ngx_chat_db_job_t    *jobs[1] = { &op.job };
    ngx_chat_db_result_t  res;

    static const char  expected[] =
        "[{\"id\":7,\"number\":18446744073709551615,\"flag\":true,"
          "\"name\":\"bob\",\"time\":\"2025-12-30T07:03:02.325660Z\"},"
         "{\"id\":8,\"number\":0,\"flag\":false,"
          "\"name\":\"a\\\"b\",\"time\":\"2025-12-30T07:03:02.000000Z\"},"
         "{\"id\":null,\"number\":null,\"flag\":null,\"name\":null,"
          "\"time\":null}]";

    pool = ngx_create_pool(1024, NULL);
    sql_test_op(&op, &sql_test_json_type, pool);

    ngx_memzero(&res, sizeof(ngx_chat_db_result_t));
    sql_test_nfetched = 0;

    for (res.statement = 0; res.statement < 3; res.statement++) {
        res.affected = 10 + res.statement;
        test_ok(ngx_chat_query_plain_result(&res, jobs, 1) == NGX_OK,
                "plain: statement %d", (int) res.statement);
    }

    test_ok(op.affected == 11, "plain: rows changed by one statement");
    test_ok(ngx_chat_json_done(op.json, &json) == NGX_OK
            && json.len == sizeof(expected) - 1
            && ngx_memcmp(json.data, expected, json.len) == 0,
            "plain: JSON");

    ngx_destroy_pool(pool);
}


/* each allocation fails once */

static void
sql_test_plain_memory(void)
{
    ngx_int_t             rc;
    ngx_str_t             json;
    ngx_uint_t            i, n;
    ngx_pool_t           *pool;
    sql_test_op_t         op;
    ngx_chat_db_job_t    *jobs[1] = { &op.job };
    ngx_chat_db_result_t  res;

    const ngx_chat_db_type_t  *types[] = { &sql_test_type,
                                           &sql_test_json_type };

    for (i = 0; i < 2; i++) {
        rc = NGX_ERROR;

        for (n = 0; rc != NGX_OK && n < 100; n++) {
            pool = ngx_create_pool(1024, NULL);
            sql_test_op(&op, types[i], pool);

            ngx_memzero(&res, sizeof(ngx_chat_db_result_t));
            res.statement = i;
            sql_test_nfetched = 0;

            ngx_stub_allow(n);
            rc = ngx_chat_query_plain_result(&res, jobs, 1);

            if (rc == NGX_OK && i) {
                rc = ngx_chat_json_done(op.json, &json);
            }

            ngx_stub_allow(NGX_STUB_UNLIMITED);
            ngx_destroy_pool(pool);
        }

        test_ok(n > 2 && n < 100, "plain: no memory, %d", (int) i);
    }
}


static void
sql_test_time(const char *field, const char *expected)
{
    ngx_int_t    rc;
    ngx_str_t    text, time;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    text.len = strlen(field);
    text.data = (u_char *) field;

    rc = ngx_chat_query_get_time(pool, &text, &time);

    test_ok(expected ? rc == NGX_OK && time.len == strlen(expected)
                       && ngx_memcmp(time.data, expected, time.len) == 0
                     : rc == NGX_ERROR,
            "time: %s", field);

    ngx_destroy_pool(pool);
}


static void
sql_test_rows(void)
{
    ngx_uint_t             has_more;
    ngx_pool_t            *pool;
    ngx_array_t           *rows;
    sql_test_row_t        *row;
    ngx_chat_db_result_t   res;

    pool = ngx_create_pool(1024, NULL);
    ngx_memzero(&res, sizeof(ngx_chat_db_result_t));

    sql_test_nfetched = 0;
    has_more = 0;

    test_ok(ngx_chat_query_get_rows(&res, pool, sql_test_plain_columns,
                                    sizeof(sql_test_row_t), 1, &rows,
                                    &has_more)
            == NGX_OK && rows->nelts == 1 && has_more, "rows: more");

    row = rows->elts;
    test_ok(row->id == 7, "rows: the first");

    sql_test_nfetched = 0;
    has_more = 0;

    test_ok(ngx_chat_query_get_rows(&res, pool, sql_test_plain_columns,
                                    sizeof(sql_test_row_t), 2, &rows,
                                    &has_more)
            == NGX_OK && rows->nelts == 2 && has_more, "rows: one more");

    ngx_destroy_pool(pool);
}


static void
sql_test_op(sql_test_op_t *op, const ngx_chat_db_type_t *type,
    ngx_pool_t *pool)
{
    ngx_memzero(op, sizeof(sql_test_op_t));

    op->job.type = type;
    op->job.pool = pool;
    op->id = 1;
    op->bytes[1] = 0xff;
    ngx_str_set(&op->name, "a'_");
}


ngx_str_t *
ngx_chat_db_fetch(ngx_chat_db_result_t *res)
{
    return (sql_test_nfetched < 3) ? sql_test_fetched[sql_test_nfetched++]
                                   : NULL;
}


/* reads one literal like the database; NGX_ERROR: none or several */

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


/* null-terminated, freed by the caller */

static ngx_str_t
sql_test_take(ngx_chat_db_buf_t *text)
{
    ngx_str_t  taken;

    taken.len = text->pos - text->start;

    if (ngx_chat_db_buf_reserve(text, 1) == NGX_OK) {
        *text->pos = '\0';
    }

    taken.data = text->start;

    return taken;
}


/* like the original, but with room for the requested bytes only */

ngx_int_t
ngx_chat_db_buf_reserve(ngx_chat_db_buf_t *text, size_t size)
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
