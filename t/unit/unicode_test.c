
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"
#include "src/core/ngx_chat_string.h"

#include <utf8proc.h>


typedef struct {
    ngx_str_t              input;
    ngx_int_t              name;
    ngx_int_t              lookup;
} unicode_test_name_t;


static void unicode_test_names(void);
static void unicode_test_blank(void);
static void unicode_test_forms(const char *what, test_row_t *row,
    ngx_int_t (*make)(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms));
static ngx_int_t unicode_test_trimmed(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms);
static ngx_int_t unicode_test_as_is(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms);
static void unicode_test_keys(void);
static void unicode_test_sizes(void);
static void unicode_print_line(ngx_str_t *text);
static void unicode_print_hex(ngx_str_t *text);


static unicode_test_name_t  unicode_test_name_rows[] = {

    { T("u1"), NGX_OK, NGX_OK },
    { T("_.@+-"), NGX_OK, NGX_OK },
    { T("Zo\xc3\xab"), NGX_OK, NGX_OK },
    { T("\xe6\x9d\x8e"), NGX_OK, NGX_OK },
    { T("azAZ09"), NGX_OK, NGX_OK },
    { T("..."), NGX_OK, NGX_OK },
    { T(".a"), NGX_OK, NGX_OK },
    { T("\xf0\x9f\x98\x80"), NGX_OK, NGX_OK },
    { T("e\xcc\x81"), NGX_OK, NGX_OK },       /* chatctl checks NFC */
    { T("x\xcc\x81"), NGX_OK, NGX_OK },
    { T("\xe2\xa0\x81"), NGX_OK, NGX_OK },    /* Braille, not the blank */

    { T("."), NGX_ERROR, NGX_OK },
    { T(".."), NGX_ERROR, NGX_OK },
    { T("a b"), NGX_ERROR, NGX_OK },
    { T(" "), NGX_ERROR, NGX_OK },
    { T("a/b"), NGX_ERROR, NGX_OK },
    { T("a,b"), NGX_ERROR, NGX_OK },
    { T("a:b"), NGX_ERROR, NGX_OK },
    { T("a?b"), NGX_ERROR, NGX_OK },
    { T("a[b"), NGX_ERROR, NGX_OK },
    { T("a`b"), NGX_ERROR, NGX_OK },
    { T("a{b"), NGX_ERROR, NGX_OK },
    { T("a%b"), NGX_ERROR, NGX_OK },
    { T("a\xc2\xa0"), NGX_ERROR, NGX_OK },    /* no-break space */
    { T("a\xe3\x80\x80"), NGX_ERROR, NGX_OK },        /* ideographic space */
    { T("a\xe2\x80\x8b"), NGX_ERROR, NGX_OK },        /* zero width space */
    { T("a\xe2\x80\x8c"), NGX_ERROR, NGX_OK },        /* non-joiner */
    { T("a\xe2\x80\xae"), NGX_ERROR, NGX_OK },        /* right-to-left */
    { T("a\xef\xbb\xbf"), NGX_ERROR, NGX_OK },        /* byte order mark */
    { T("a\xc2\xad"), NGX_ERROR, NGX_OK },    /* soft hyphen */
    { T("a\xf3\xa0\x80\xa1"), NGX_ERROR, NGX_OK },    /* a tag */
    { T("a\xcd\x8f"), NGX_ERROR, NGX_OK },    /* grapheme joiner */
    { T("\xe3\x85\xa4"), NGX_ERROR, NGX_OK }, /* Hangul filler */
    { T("\xef\xbe\xa0"), NGX_ERROR, NGX_OK }, /* its halfwidth form */
    { T("\xe2\xa0\x80"), NGX_ERROR, NGX_OK }, /* Braille's blank */
    { T("a\xef\xb8\x8f"), NGX_ERROR, NGX_OK },        /* variation selector */
    { T("\xee\x80\x80"), NGX_ERROR, NGX_OK }, /* private use */
    { T("\xef\xbf\xbf"), NGX_ERROR, NGX_OK }, /* a noncharacter */
    { T("\xcc\x81" "a"), NGX_ERROR, NGX_OK }, /* a mark comes first */

    { T(""), NGX_ERROR, NGX_ERROR },
    { T("a\0"), NGX_ERROR, NGX_ERROR },
    { T("a\n"), NGX_ERROR, NGX_ERROR },
    { T("a\x7f"), NGX_ERROR, NGX_ERROR },
    { T("a\xc2\x80"), NGX_ERROR, NGX_ERROR }, /* a control */
    { T("\xe9"), NGX_ERROR, NGX_ERROR },      /* invalid UTF-8 */
    { ngx_null_string, 0, 0 }
};


static test_row_t  unicode_test_blank_rows[] = {

    { T(""), "blank" },
    { T(" \t\r\n"), "blank" },
    { T("\xe2\x80\x8b"), "blank" },
    { T("\xe2\x80\x8d\xef\xb8\x8f"), "blank" },
    { T("\xe3\x85\xa4 \xe2\xa0\x80\xcd\x8f"), "blank" },
    { T("\xe2\x80\xae\xf3\xa0\x81\xbf"), "blank" },
    { T("\xc2\x85\xc2\xa0\x1c"), "blank" },
    { T("\xef\xbb\xbf\xe2\x81\xa0\xc2\xad"), "blank" },

    { T("a"), "text" },
    { T("\xe2\x80\x8b" "a"), "text" },
    { T("\xe2\xa0\x81"), "text" },
    { T("\xe2\x9d\xa4\xef\xb8\x8f"), "text" },
    { T("\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9"), "text" },
    { T("\xcc\x81"), "text" },
    { T("\x01"), "text" },                    /* browsers show these */
    { T("\xc2\x9b"), "text" },
    { T("\xdb\x9d"), "text" },                /* visible, but not in names */
    { T("\xef\xa3\xbf"), "text" },            /* private use as well */
    { ngx_null_string, NULL }
};


#define COMPOSED    "Jos\xc3\xa9"
#define DECOMPOSED  "Jose\xcc\x81"

static test_row_t  unicode_test_name_forms[] = {

    { T("u1"), "u1*" },
    { T(COMPOSED), COMPOSED "* " DECOMPOSED },
    { T(DECOMPOSED), DECOMPOSED " " COMPOSED "*" },
    { T("\xe2\x84\xab"), "\xe2\x84\xab \xc3\x85* A\xcc\x8a" },
    { T("\xe6\x9d\x8e"), "\xe6\x9d\x8e*" },
    { T("x\xcc\x81"), "x\xcc\x81*" },
    { T("\tu1\n"), "u1*" },
    { T("\xc2\xa0" DECOMPOSED "\xc2\xa0"),
      "\xc2\xa0" DECOMPOSED "\xc2\xa0 " DECOMPOSED " " COMPOSED "*" },
    { T(""), "declined" },
    { T("\n"), "declined" },
    { T("a\nb"), "declined" },
    { T("\xe9"), "declined" },
    { T("u1\xc2\xa0\x8d"), "declined" },
    { ngx_null_string, NULL }
};


static test_row_t  unicode_test_as_is_forms[] = {

    { T("u1"), "u1*" },
    { T(DECOMPOSED), DECOMPOSED " " COMPOSED "*" },
    { T(" " DECOMPOSED " "), " " DECOMPOSED "   " COMPOSED " *" },
    { T("u1\n"), "declined" },
    { T(""), "declined" },
    { T("u1\x8d"), "declined" },
    { ngx_null_string, NULL }
};


static test_row_t  unicode_test_text_forms[] = {

    { T(""), "" },
    { T("u"), "u*" },
    { T(DECOMPOSED), DECOMPOSED " " COMPOSED "*" },
    { T("\t"), "\t*" },
    { ngx_null_string, NULL }
};


static test_row_t  unicode_test_key_rows[] = {

    { T("u1"), "u1" },
    { T("U1"), "u1" },
    { T(" U1\n"), "u1" },
    { T("JOS\xc3\x89"), "jos\xc3\xa9" },
    { T("JOSE\xcc\x81"), "jos\xc3\xa9" },
    { T("\xe2\x84\xaa"), "k" },               /* the Kelvin sign */
    { T(""), "" },
    { T("\xe9"), "\xe9" },
    { T("u1\xc2\xa0\x8d"), "u1\xc2\xa0\x8d" },
    { ngx_null_string, NULL }
};


void
test_unicode(void)
{
    unicode_test_names();
    unicode_test_blank();
    unicode_test_forms("name forms", unicode_test_name_forms,
                       unicode_test_trimmed);
    unicode_test_forms("name forms as they are", unicode_test_as_is_forms,
                       unicode_test_as_is);
    unicode_test_forms("text forms", unicode_test_text_forms,
                       ngx_chat_unicode_text_forms);
    unicode_test_keys();
    unicode_test_sizes();
}


static void
unicode_test_names(void)
{
    ngx_str_t             input;
    unicode_test_name_t  *row;

    for (row = unicode_test_name_rows; row->input.data; row++) {
        test_is(ngx_chat_unicode_name(&row->input) == NGX_OK ? "taken"
                                                             : "refused",
                row->name == NGX_OK ? "taken" : "refused", "name",
                &row->input);
        test_is(ngx_chat_unicode_lookup(&row->input) == NGX_OK ? "looked up"
                                                               : "none",
                row->lookup == NGX_OK ? "looked up" : "none", "look-up",
                &row->input);
    }

    input = test_repeat("", "\xc3\xa9", 150, "");
    test_ok(ngx_chat_unicode_name(&input) == NGX_OK
            && ngx_chat_unicode_lookup(&input) == NGX_OK,
            "name: of 150 characters");
    free(input.data);

    input = test_repeat("", "a", 151, "");
    test_ok(ngx_chat_unicode_name(&input) == NGX_ERROR
            && ngx_chat_unicode_lookup(&input) == NGX_ERROR,
            "name: of 151 characters");
    free(input.data);
}


static void
unicode_test_blank(void)
{
    test_row_t  *row;

    for (row = unicode_test_blank_rows; row->expected; row++) {
        test_is(ngx_chat_unicode_blank(&row->input) ? "blank" : "text",
                row->expected, "blank", &row->input);
    }
}


/* compares forms, written with blanks between and a star after NFC */

static void
unicode_test_forms(const char *what, test_row_t *row,
    ngx_int_t (*make)(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms))
{
    char              *got;
    FILE              *out;
    size_t             size;
    ngx_int_t          rc;
    ngx_uint_t         i;
    ngx_pool_t        *pool;
    ngx_chat_forms_t   forms;

    for ( /* void */ ; row->expected; row++) {
        pool = ngx_create_pool(1024, NULL);
        out = open_memstream(&got, &size);

        if (make(pool, &row->input, &forms) != NGX_OK) {
            fprintf(out, "declined");
            forms.n = 0;
        }

        for (i = 0; i < forms.n; i++) {
            fprintf(out, "%s%.*s%s", i ? " " : "", (int) forms.text[i].len,
                    forms.text[i].data, i == forms.nfc ? "*" : "");
        }

        fclose(out);
        test_is(got, row->expected, what, &row->input);
        free(got);
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(1024, NULL);
    ngx_stub_allow(0);
    rc = make(pool, &unicode_test_name_forms[2].input, &forms);
    ngx_stub_allow(NGX_STUB_UNLIMITED);
    ngx_destroy_pool(pool);

    test_ok(rc == NGX_ERROR, "%s: no memory", what);
}


static ngx_int_t
unicode_test_trimmed(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms)
{
    return ngx_chat_unicode_name_forms(pool, text, 1, forms);
}


static ngx_int_t
unicode_test_as_is(ngx_pool_t *pool, ngx_str_t *text,
    ngx_chat_forms_t *forms)
{
    return ngx_chat_unicode_name_forms(pool, text, 0, forms);
}


static void
unicode_test_keys(void)
{
    char         got[NGX_CHAT_NAME_SIZE + 1];
    ngx_str_t    key;
    test_row_t  *row;

    for (row = unicode_test_key_rows; row->expected; row++) {
        ngx_chat_unicode_key(&row->input, (u_char *) got, NGX_CHAT_NAME_SIZE,
                             &key);
        got[key.len] = '\0';
        test_is(got, row->expected, "key", &row->input);
    }
}


/* nothing is written after the buffer, and long texts end early */

static void
unicode_test_sizes(void)
{
    u_char     *buf;
    size_t      size;
    ngx_int_t   rc;
    ngx_str_t   text, normal;

    text.data = (u_char *) DECOMPOSED;
    text.len = sizeof(DECOMPOSED) - 1;

    for (size = 0; size < 8; size++) {
        buf = malloc(size + 1);

        rc = ngx_chat_unicode_normalize(&text, NGX_CHAT_UNICODE_NFC, buf, size,
                                        &normal);
        test_ok(rc == (size < sizeof(COMPOSED) - 1 ? NGX_DECLINED : NGX_OK),
                "normalize: to a buffer of %u bytes", (unsigned) size);

        ngx_chat_unicode_key(&text, buf, size, &normal);
        test_ok(normal.len <= size, "key: in a buffer of %u bytes",
                (unsigned) size);

        free(buf);
    }

    text = test_repeat("", "e\xcc\x81", 400000, "");
    buf = malloc(NGX_CHAT_NAME_SIZE);

    rc = ngx_chat_unicode_normalize(&text, NGX_CHAT_UNICODE_NFC, buf,
                                    NGX_CHAT_NAME_SIZE, &normal);
    test_ok(rc == NGX_DECLINED, "normalize: a megabyte");

    ngx_chat_unicode_key(&text, buf, NGX_CHAT_NAME_SIZE, &normal);
    test_ok(normal.len == NGX_CHAT_NAME_SIZE, "key: of a megabyte");

    free(buf);
    free(text.data);
}


/*
 * "NAME LOOKUP BLANK ASSIGNED NFC NFD KEY": four digits, and three texts in
 * hexadecimal or "-".
 */

void
unicode_print(void)
{
    char       line[8192];
    size_t     len;
    u_char     bytes[4096];
    ngx_str_t  text;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        for (len = 0; line[2 * len] > ' '; len++) {
            bytes[len] = (u_char) ngx_hextoi((u_char *) line + 2 * len, 2);
        }

        text.data = bytes;
        text.len = len;

        unicode_print_line(&text);
    }
}


static void
unicode_print_line(ngx_str_t *text)
{
    u_char            buf[4096];
    ngx_str_t         result;
    utf8proc_int32_t  code;

    (void) utf8proc_iterate(text->data, text->len, &code);

    printf("%d %d %d %d", ngx_chat_unicode_name(text) == NGX_OK,
           ngx_chat_unicode_lookup(text) == NGX_OK,
           (int) ngx_chat_unicode_blank(text),
           utf8proc_category(code) != UTF8PROC_CATEGORY_CN);

    result.len = 0;
    (void) ngx_chat_unicode_normalize(text, NGX_CHAT_UNICODE_NFC, buf,
                                      sizeof(buf), &result);
    unicode_print_hex(&result);

    result.len = 0;
    (void) ngx_chat_unicode_normalize(text, NGX_CHAT_UNICODE_NFD, buf,
                                      sizeof(buf), &result);
    unicode_print_hex(&result);

    ngx_chat_unicode_key(text, buf, NGX_CHAT_NAME_SIZE, &result);
    unicode_print_hex(&result);

    putchar('\n');
}


static void
unicode_print_hex(ngx_str_t *text)
{
    size_t  i;

    putchar(' ');

    for (i = 0; i < text->len; i++) {
        printf("%02x", text->data[i]);
    }

    if (text->len == 0) {
        putchar('-');
    }
}
