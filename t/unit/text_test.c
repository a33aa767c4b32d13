
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"


typedef struct {
    const char            *type;
    ngx_str_t              input;
    const char            *expected;
} text_test_part_t;


typedef struct {
    ngx_str_t              input;
    ngx_int_t              expected;
} text_test_check_t;


static ngx_int_t text_test_form(ngx_pool_t *pool, const char *type,
    ngx_str_t *input, ngx_chat_field_t *fields, ngx_str_t *error);
static ngx_int_t text_test_multipart(ngx_pool_t *pool, const char *type,
    ngx_str_t *input, ngx_chat_field_t *fields, ngx_str_t *error);
static void text_test_parts(void);
static void text_test_verdicts(const char *what,
    ngx_int_t (*check)(ngx_str_t *text), text_test_check_t *row);
static void text_test_texts(void);
static void text_test_utf8(void);


static test_row_t  text_test_form_rows[] = {

    { T("recipient=u2&body=hi"), "text(u2) text(hi)" },
    { T(""), "missing missing" },
    { T("&&=&=x&"), "missing missing" },
    { T("body"), "missing text()" },
    { T("body="), "missing text()" },
    { T("body=a=b=c"), "missing text(a=b=c)" },
    { T("body=a;recipient=b"), "missing text(a;recipient=b)" },
    { T("body=1&body=2&recipient=3&body=4"), "text(3) text(4)" },
    { T("body=a+b%20c%2Bd%2bd"), "missing text(a b c+d+d)" },
    { T("b%6Fdy=x&reci%70ient=y"), "text(y) text(x)" },
    { T("body+=x&+body=y&Body=z"), "missing missing" },
    { T("body=%26%3D%25"), "missing text(&=%)" },

    /* invalid escapes are kept */

    { T("body=%"), "missing text(%)" },
    { T("body=%4"), "missing text(%4)" },
    { T("body=%zz%4x%x4"), "missing text(%zz%4x%x4)" },
    { T("body=100%+%41"), "missing text(100% A)" },
    { T("body=%%41"), "missing text(%A)" },
    { T("body=%4&recipient=1"), "text(1) text(%4)" },

    { T("body=%F0%9F%98%80+\xc3\xa9"),
      "missing text(\xf0\x9f\x98\x80 \xc3\xa9)" },
    { T("body=%00"), "missing text(\\0)" },
    { T("body=%E9&recipient=u2"), "text(u2) invalid" },
    { T("body=\xe9"), "missing invalid" },
    { T("body=%C0%AF"), "missing invalid" },
    { T("body=%ED%A0%80"), "missing invalid" },
    { T("body=%E9&body=e"), "missing text(e)" },

    { ngx_null_string, NULL }
};


#define B         "multipart/form-data; boundary=AaB03x"
#define NAME(n)   "Content-Disposition: form-data; name=\"" n "\"\r\n"

static text_test_part_t  text_test_multipart_rows[] = {

    { B, T("--AaB03x\r\n" NAME("recipient") "\r\nu2\r\n"
           "--AaB03x\r\n" NAME("body") "\r\nhi\r\n--AaB03x--\r\n"),
      "text(u2) text(hi)" },
    { B, T("--AaB03x--"), "missing missing" },
    { B, T("--AaB03x\r\n--AaB03x--"), "missing missing" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\n\r\n--AaB03x--"),
      "missing text()" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\n\r\na\r\n\r\n\r\n--AaB03x--"),
      "missing text(\r\na\r\n\r\n)" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\n1\r\n"
           "--AaB03x\r\n" NAME("body") "\r\n2\r\n--AaB03x--"),
      "missing text(2)" },

    /* the boundary and similar texts */

    { "multipart/form-data; charset=utf-8; boundary=\"a b;c\" ; x=y",
      T("--a b;c\r\n" NAME("body") "\r\nhi\r\n--a b;c--"),
      "missing text(hi)" },
    { "Multipart/Form-Data;BOUNDARY=x;charset=utf-8",
      T("--x\r\n" NAME("body") "\r\nhi\r\n--x--"), "missing text(hi)" },
    { B, T("--AaB03x \t\r\n" NAME("body") "\r\nhi\r\n--AaB03x-- \r\n"),
      "missing text(hi)" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\n--AaB03x-\r\n--AaB03\r\n"
           "--AaB03xy\r\n-AaB03x\r\r\n\n--AaB03x--\r\n--AaB03x--"),
      "missing text(--AaB03x-\r\n--AaB03\r\n--AaB03xy\r\n-AaB03x\r\r\n\n"
      "--AaB03x--)" },
    { B, T("preamble --AaB03x--\r\n--AaB03x\r\n" NAME("body") "\r\nhi"
           "\r\n--AaB03x--\r\nepilogue\r\n--AaB03x\r\n" NAME("body") "\r\n"),
      "missing text(hi)" },

    /* headers */

    { B, T("--AaB03x\r\nContent-Type: text/plain; charset=utf-8\r\n"
           "content-disposition:form-data;NAME=body\r\n"
           "Content-Transfer-Encoding: base64\r\n\r\nhi\r\n--AaB03x--"),
      "missing text(hi)" },
    { B, T("--AaB03x\r\nContent-Disposition: form-data; x; y=\"a;\\\" name=b\""
           " ; name=\"body\"\r\n\r\nhi\r\n--AaB03x--"),
      "missing text(hi)" },
    { B, T("--AaB03x\r\n" NAME("b%6Fdy") "\r\n1\r\n--AaB03x\r\n"
           NAME("bo\\\"dy") "\r\n2\r\n--AaB03x\r\n" NAME("bo%22dy")
           "\r\n3\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\nContent-Disposition: form-data; name=\"body"
           "\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\nX-Content-Disposition: form-data; name=\"body\""
           "\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\n" NAME("body") "hi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\n\r\n" NAME("body") "\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\n" NAME("body") "\rX: y\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\n" NAME("body") "X: y\rz\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\nContent-Disposition: form-data; name=\"body\"\n"
           "\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\n" NAME("body") "\nhi\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },

    /* files */

    { B, T("--AaB03x\r\nContent-Disposition: form-data; name=\"body\";"
           " filename=\"a.txt\"\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\nContent-Disposition: form-data; name=\"body\";"
           " filename=\"C:\\\"\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\nContent-Disposition: form-data; name=\"body\";"
           " filename*=UTF-8''a\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },
    { B, T("--AaB03x\r\nContent-Disposition: form-data; filename=\"\";"
           " name=\"body\"\r\n\r\nhi\r\n--AaB03x--"),
      "missing missing" },

    /* bytes */

    { B, T("--AaB03x\r\n" NAME("body") "\r\n\xf0\x9f\x98\x80\r\n--AaB03x--"),
      "missing text(\xf0\x9f\x98\x80)" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\na+%41\0\r\n--AaB03x--"),
      "missing text(a+%41\\0)" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\n\xe9\r\n--AaB03x--"),
      "missing invalid" },

    /* malformed */

    { B, T(""), "declined The boundary is not in the body" },
    { B, T("--AaB03"), "declined The boundary is not in the body" },
    { B, T("--AaB03x"), "declined The boundary is not in the body" },
    { B, T("x--AaB03x--"), "declined The boundary is not in the body" },
    { B, T("\n--AaB03x--"), "declined The boundary is not in the body" },
    { B, T("--AaB03x\r\n"), "declined The final boundary is missing" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\nhi"),
      "declined The final boundary is missing" },
    { B, T("--AaB03x\r\n" NAME("body") "\r\nhi\r\n--AaB03x\r\n"),
      "declined The final boundary is missing" },
    { "multipart/form-data", T("--AaB03x--"),
      "declined No valid boundary in the Content-Type" },
    { "multipart/form-data; boundary", T("--AaB03x--"),
      "declined No valid boundary in the Content-Type" },
    { "multipart/form-data; boundary=", T("----"),
      "declined No valid boundary in the Content-Type" },
    { "multipart/form-data; boundary=\"\"", T("----"),
      "declined No valid boundary in the Content-Type" },
    { "multipart/form-data; xboundary=x", T("--x--"),
      "declined No valid boundary in the Content-Type" },
    { "multipart/form-data; boundary="
      "1234567890123456789012345678901234567890123456789012345678901234567890",
      T("--1234567890123456789012345678901234567890123456789012345678901234567"
        "890--"), "missing missing" },
    { "multipart/form-data; boundary="
      "1234567890123456789012345678901234567890123456789012345678901234567890x",
      T("--x--"), "declined No valid boundary in the Content-Type" },

    { NULL, ngx_null_string, NULL }
};


static text_test_check_t  text_test_client_ids[] = {

    { T("7f9c2ba4-e88f-4827-a71d"), NGX_OK },
    { T("!~"), NGX_OK },
    { T("1234567890123456789012345678901234567890123456789012345678901234"),
      NGX_OK },
    { T("12345678901234567890123456789012345678901234567890123456789012345"),
      NGX_ERROR },
    { T(""), NGX_ERROR },
    { T("a b"), NGX_ERROR },
    { T("a\n"), NGX_ERROR },
    { T("a\0"), NGX_ERROR },
    { T("a\x7f"), NGX_ERROR },
    { T("\xc3\xa9"), NGX_ERROR },
    { ngx_null_string, 0 }
};


static test_row_t  text_test_ids[] = {

    { T("1"), "1" },
    { T("0042"), "42" },
    { T("9223372036854775808"), "9223372036854775808" },
    { T("18446744073709551615"), "18446744073709551615" },
    { T("18446744073709551616"), "refused" },
    { T("18446744073709551620"), "refused" },
    { T("99999999999999999999999999"), "refused" },
    { T(""), "refused" },
    { T("0"), "refused" },
    { T("000"), "refused" },
    { T("-1"), "refused" },
    { T("+1"), "refused" },
    { T(" 1"), "refused" },
    { T("1 "), "refused" },
    { T("1.0"), "refused" },
    { T("0x1"), "refused" },
    { T("1\0"), "refused" },
    { T("\xd9\xa1"), "refused" },
    { ngx_null_string, NULL }
};


static test_row_t  text_test_trims[] = {

    { T(""), "" },
    { T("a"), "a" },
    { T(" a b "), "a b" },
    { T(" \t\r\n\v\f\x1c\x1d\x1e\x1f"), "" },
    { T("\xc2\x85\xc2\xa0" "a\xe1\x9a\x80"), "a" },
    { T("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\x9f\xe3\x80\x80"), "" },
    { T("\xe2\x80\x80\xe2\x80\x8a" "a\xe2\x80\x80\xe2\x80\x8a"), "a" },
    { T("\xe2\x80\x8b" "a\xe2\x80\x8b"), "\xe2\x80\x8b" "a\xe2\x80\x8b" },
    { T(" \xc3\xa9 \xf0\x9f\x98\x80 "), "\xc3\xa9 \xf0\x9f\x98\x80" },
    { T("\x01" "a\x7f"), "\x01" "a\x7f" },

    /* invalid UTF-8: the result stays within the bytes */

    { T(" \xa0\xa0 "), "\xa0\xa0" },
    { T(" \xe3\x80 "), "\xe3\x80" },
    { ngx_null_string, NULL }
};


static test_size_t  text_test_sizes[] = {

    { "form: a long text", text_test_form, NULL,
      "body=", "a+%41", "", NGX_OK },
    { "form: many fields", text_test_form, NULL,
      "", "a=b&=&&", "body=hi", NGX_OK },
    { "multipart: many line ends", text_test_multipart, B,
      "--AaB03x\r\n\r\n", "\r\n--AaB0", "\r\n--AaB03x--", NGX_OK },
    { "multipart: many parts", text_test_multipart, B,
      "", "--AaB03x\r\n\r\nb\r\n", "--AaB03x--", NGX_OK },
    { "multipart: many parameters", text_test_multipart, B,
      "--AaB03x\r\nContent-Disposition: form-data", ";a=\"\\\"\";;b=",
      "\r\n\r\n\r\n--AaB03x--", NGX_OK },
};


void
test_text(void)
{
    test_rows("form", text_test_form, text_test_form_rows);
    text_test_parts();
    test_sizes(text_test_sizes, sizeof(text_test_sizes) / sizeof(test_size_t));

    test_truncated("multipart", text_test_multipart, B,
        "--AaB03x\r\n" NAME("recipient") "\r\nu2\r\n"
        "--AaB03x\r\n" NAME("body") "\r\nhi\r\n--AaB03x--");

    test_memory("form", text_test_form, NULL, "bod%79=hi&recipient=u%32");
    test_memory("multipart", text_test_multipart, B, "--AaB03x--");

    text_test_verdicts("client id", ngx_chat_string_client_id,
                       text_test_client_ids);
    text_test_texts();
    text_test_utf8();
}


static ngx_int_t
text_test_form(ngx_pool_t *pool, const char *type, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_str_t *error)
{
    return ngx_chat_form_parse(pool, input, fields, 2);
}


static ngx_int_t
text_test_multipart(ngx_pool_t *pool, const char *type, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_str_t *error)
{
    ngx_str_t  header;

    header.len = strlen(type);
    header.data = (u_char *) type;

    return ngx_chat_form_multipart(pool, &header, input, fields, 2, error);
}


static void
text_test_parts(void)
{
    text_test_part_t  *row;

    for (row = text_test_multipart_rows; row->expected; row++) {
        test_parsed("multipart", text_test_multipart, row->type, &row->input,
                    row->expected);
    }
}


static void
text_test_verdicts(const char *what, ngx_int_t (*check)(ngx_str_t *text),
    text_test_check_t *row)
{
    for ( /* void */ ; row->input.data; row++) {
        test_is(check(&row->input) == NGX_OK ? "taken" : "refused",
                row->expected == NGX_OK ? "taken" : "refused", what,
                &row->input);
    }
}


static void
text_test_texts(void)
{
    char             *got;
    size_t            size;
    FILE             *out;
    uint64_t          id;
    ngx_str_t         text;
    test_row_t       *row;

    for (row = text_test_ids; row->expected; row++) {
        out = open_memstream(&got, &size);

        if (ngx_chat_string_id(&row->input, &id) == NGX_OK) {
            fprintf(out, "%llu", (unsigned long long) id);

        } else {
            fprintf(out, "refused");
        }

        fclose(out);
        test_is(got, row->expected, "id", &row->input);
        free(got);
    }

    for (row = text_test_trims; row->expected; row++) {
        text = row->input;
        ngx_chat_string_trim(&text);

        out = open_memstream(&got, &size);
        test_show(out, &text);
        fclose(out);
        test_is(got, row->expected, "trim", &row->input);
        free(got);
    }
}


/*
 * Every sequence of up to three bytes and every code point, compared with the
 * expected numbers.
 */

static void
text_test_utf8(void)
{
    size_t      length;
    u_char      p[8];
    uint32_t    i, code;
    ngx_str_t   text;
    ngx_uint_t  n, good, spaces;

    static const ngx_uint_t  expected[] = {
        128,
        128 * 128 + 1920,
        128 * 128 * 128 + 2 * 128 * 1920 + 61440
    };

    text.data = p;

    for (n = 1; n <= 3; n++) {
        text.len = n;
        good = 0;

        for (i = 0; i < 1u << 8 * n; i++) {
            p[0] = (u_char) i;
            p[1] = (u_char) (i >> 8);
            p[2] = (u_char) (i >> 16);

            good += (ngx_chat_string_utf8(&text) == NGX_OK);
        }

        test_ok(good == expected[n - 1], "utf8: sequences of %u bytes",
                (unsigned) n);
    }

    good = 0;
    length = 0;
    spaces = 0;

    for (code = 0; code <= 0x1fffff; code++) {
        text.len = test_encode(p, code);

        if (ngx_chat_string_utf8(&text) == NGX_OK) {
            good++;
            length += ngx_chat_string_length(&text);
            ngx_chat_string_trim(&text);
            spaces += (text.len == 0);
        }

        text.data = p;
    }

    test_ok(good == 0x110000 - 0x800, "utf8: code points");
    test_ok(length == good, "length: one for each code point");
    test_ok(spaces == 29, "trim: Python's number of white space");

    /* the overlong forms of four bytes */

    good = 0;

    for (code = 0; code <= 0xffff; code++) {
        p[0] = 0xf0;
        p[1] = 0x80 | (u_char) (code >> 12);
        p[2] = 0x80 | (u_char) (code >> 6 & 0x3f);
        p[3] = 0x80 | (u_char) (code & 0x3f);
        text.len = 4;

        good += (ngx_chat_string_utf8(&text) == NGX_OK);
    }

    test_ok(good == 0, "utf8: overlong forms");

    /* an invalid byte at each position, since eight bytes are read at a time */

    good = 0;

    for (i = 0; i < 40; i++) {
        text = test_repeat("", "a", 40, "");
        text.data[i] = 0xff;
        good += (ngx_chat_string_utf8(&text) == NGX_OK);
        free(text.data);
    }

    test_ok(good == 0, "utf8: a bad byte at any place");
}
