
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"


/*
 * Unit tests of files that do not need nginx.  Prints TAP for t/unit.t.
 * "unit unicode" is for t/names_rule.t.
 */


static ngx_uint_t  test_count;
static ngx_uint_t  test_failed;


int
main(int argc, char *argv[])
{
    if (argc == 2 && strcmp(argv[1], "unicode") == 0) {
        unicode_print();
        return 0;
    }

    test_json();
    test_text();
    test_unicode();
    test_sql();
    test_redis();
    test_image();

    printf("1..%u\n", (unsigned) test_count);

    return test_failed ? 1 : 0;
}


void
test_ok(ngx_uint_t good, const char *fmt, ...)
{
    va_list  args;

    printf("%sok %u - ", good ? "" : "not ", (unsigned) ++test_count);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");

    if (!good) {
        test_failed++;
    }
}


void
test_is(const char *got, const char *expected, const char *what,
    ngx_str_t *input)
{
    size_t      i;
    ngx_uint_t  good;

    good = (strcmp(got, expected) == 0);

    printf("%sok %u - %s: ", good ? "" : "not ",
           (unsigned) ++test_count, what);

    /* "#" would start a directive of TAP */

    for (i = 0; i < input->len; i++) {
        if (input->data[i] >= ' ' && input->data[i] < 0x7f
            && input->data[i] != '#' && input->data[i] != '\\')
        {
            putchar(input->data[i]);

        } else {
            printf("\\x%02x", input->data[i]);
        }
    }

    printf("\n");

    if (!good) {
        test_failed++;
        printf("# got      %s\n# expected %s\n", got, expected);
    }
}


void
test_rows(const char *what, test_parse_pt parse, test_row_t *row)
{
    for ( /* void */ ; row->expected; row++) {
        test_parsed(what, parse, NULL, &row->input, row->expected);
    }
}


/*
 * The input is copied, so that the sanitizer detects reads after its end.
 * Previous values of the fields must not matter.
 */

void
test_parsed(const char *what, test_parse_pt parse, const char *type,
    ngx_str_t *input, const char *expected)
{
    char              *result;
    FILE              *out;
    size_t             size;
    ngx_int_t          rc;
    ngx_str_t          copy, error;
    ngx_uint_t         i;
    ngx_pool_t        *pool;

    static const char *states[] = { "missing", "null", "invalid", "text" };

    ngx_chat_field_t   fields[] = {
        { T("recipient"), NGX_CHAT_FIELD_TEXT, T("old") },
        { T("body"), NGX_CHAT_FIELD_NULL, T("old") }
    };

    copy.len = input->len;
    copy.data = malloc(input->len);
    memcpy(copy.data, input->data, input->len);

    pool = ngx_create_pool(0, NULL);
    rc = parse(pool, type, &copy, fields, &error);
    out = open_memstream(&result, &size);

    if (rc == NGX_OK) {
        for (i = 0; i < 2; i++) {
            fprintf(out, "%s%s", i ? " " : "", states[fields[i].state]);

            if (fields[i].state == NGX_CHAT_FIELD_TEXT) {
                fputc('(', out);
                test_show(out, &fields[i].value);
                fputc(')', out);
            }
        }

    } else {
        fprintf(out, "%s ", rc == NGX_DECLINED ? "declined" : "abort");
        test_show(out, &error);
    }

    fclose(out);
    ngx_destroy_pool(pool);
    free(copy.data);

    test_is(result, expected, what, input);
    free(result);
}


ngx_int_t
test_rc(test_parse_pt parse, const char *type, ngx_str_t *input)
{
    ngx_int_t          rc;
    ngx_str_t          error;
    ngx_pool_t        *pool;

    ngx_chat_field_t   fields[] = {
        { T("recipient"), 0, ngx_null_string },
        { T("body"), 0, ngx_null_string }
    };

    pool = ngx_create_pool(0, NULL);
    rc = parse(pool, type, input, fields, &error);
    ngx_destroy_pool(pool);

    return rc;
}


void
test_sizes(test_size_t *size, ngx_uint_t n)
{
    ngx_str_t  input;

    for ( /* void */ ; n; n--, size++) {
        input = test_repeat(size->before, size->text,
                            (1024 * 1024) / strlen(size->text), size->after);

        test_ok(test_rc(size->parse, size->type, &input) == size->expected,
                "%s", size->what);

        free(input.data);
    }
}


/* an input truncated at any byte is rejected */

void
test_truncated(const char *what, test_parse_pt parse,
    const char *type, const char *text)
{
    ngx_str_t   input;
    ngx_uint_t  taken;

    taken = 0;

    for (input.len = 0; input.len < strlen(text); input.len++) {
        input.data = malloc(input.len);
        memcpy(input.data, text, input.len);

        taken += (test_rc(parse, type, &input) != NGX_DECLINED);

        free(input.data);
    }

    test_ok(taken == 0, "%s: truncated", what);

    input.data = (u_char *) text;
    test_ok(test_rc(parse, type, &input) == NGX_OK, "%s: complete", what);
}


/* each allocation fails in turn */

void
test_memory(const char *what, test_parse_pt parse,
    const char *type, const char *text)
{
    ngx_int_t   rc;
    ngx_str_t   input;
    ngx_uint_t  n;

    input.len = strlen(text);
    input.data = (u_char *) text;

    for (n = 0; n < 100; n++) {
        ngx_stub_allow(n);
        rc = test_rc(parse, type, &input);
        ngx_stub_allow(NGX_STUB_UNLIMITED);

        if (rc != NGX_ERROR) {
            break;
        }
    }

    test_ok(n > 0 && rc == test_rc(parse, type, &input),
            "%s: no memory for any of %u allocations", what, (unsigned) n);
}


void
test_show(FILE *out, ngx_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == '\0') {
            fputs("\\0", out);

        } else {
            fputc(text->data[i], out);
        }
    }
}


ngx_str_t
test_repeat(const char *before, const char *text, ngx_uint_t n,
    const char *after)
{
    u_char     *p;
    ngx_str_t   result;

    result.len = strlen(before) + n * strlen(text) + strlen(after);
    result.data = malloc(result.len);

    p = ngx_cpymem(result.data, before, strlen(before));

    while (n--) {
        p = ngx_cpymem(p, text, strlen(text));
    }

    memcpy(p, after, strlen(after));

    return result;
}


size_t
test_encode(u_char *p, uint32_t code)
{
    if (code < 0x80) {
        p[0] = (u_char) code;
        return 1;
    }

    if (code < 0x800) {
        p[0] = (u_char) (0xc0 | code >> 6);
        p[1] = (u_char) (0x80 | (code & 0x3f));
        return 2;
    }

    if (code < 0x10000) {
        p[0] = (u_char) (0xe0 | code >> 12);
        p[1] = (u_char) (0x80 | (code >> 6 & 0x3f));
        p[2] = (u_char) (0x80 | (code & 0x3f));
        return 3;
    }

    p[0] = (u_char) (0xf0 | code >> 18);
    p[1] = (u_char) (0x80 | (code >> 12 & 0x3f));
    p[2] = (u_char) (0x80 | (code >> 6 & 0x3f));
    p[3] = (u_char) (0x80 | (code & 0x3f));
    return 4;
}
