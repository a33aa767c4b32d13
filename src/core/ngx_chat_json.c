
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_json.h"
#include "src/core/ngx_chat_string.h"

#include <setjmp.h>
#include <yajl/yajl_parse.h>
#include <yajl/yajl_gen.h>


#define NGX_CHAT_JSON_LEVELS  32
#define NGX_CHAT_JSON_KEYS    64              /* in the outermost object */
#define NGX_CHAT_JSON_SIZE    512             /* initial buffer, bytes */


/*
 * yajl does not check allocations.  A failed one leaves it by longjmp(), which
 * leaks nothing, since all memory of yajl is in the pool.
 */

typedef struct {
    ngx_pool_t              *pool;
    jmp_buf                  failed;
} ngx_chat_json_memory_t;


typedef struct {
    ngx_chat_json_memory_t   memory;

    ngx_str_t               *input;
    ngx_chat_field_t        *fields;
    ngx_uint_t               nfields;

    ngx_chat_field_t        *field;           /* field of the last key; NULL:
                                                 not listed */
    ngx_chat_field_t        *list;            /* field of an open array */
    ngx_uint_t               levels;          /* open objects and arrays */
    ngx_uint_t               nkeys;
    ngx_str_t                keys[NGX_CHAT_JSON_KEYS];

    const char              *type;            /* Python type of the document */
    const char              *error;           /* set by a callback */
} ngx_chat_json_reader_t;


struct ngx_chat_json_s {
    ngx_chat_json_memory_t   memory;
    yajl_gen                 gen;

    uint64_t                 levels;          /* one bit per level after a
                                                 leading 1; 1: object */
    u_char                  *start;
    u_char                  *pos;
    u_char                  *end;

    unsigned                 error:1;
};


static ngx_int_t ngx_chat_json_parse(ngx_chat_json_reader_t *reader,
    ngx_str_t *error);
static const char *ngx_chat_json_reason(yajl_handle yajl);
static ngx_int_t ngx_chat_json_error(ngx_pool_t *pool, ngx_str_t *error,
    const char *text, size_t offset);

static int ngx_chat_json_on_null(void *data);
static int ngx_chat_json_on_bool(void *data, int value);
static int ngx_chat_json_on_number(void *data, const char *value, size_t len);
static int ngx_chat_json_on_string(void *data, const u_char *value,
    size_t len);
static int ngx_chat_json_on_object(void *data);
static int ngx_chat_json_on_key(void *data, const u_char *value, size_t len);
static int ngx_chat_json_on_array(void *data);
static int ngx_chat_json_on_end(void *data);
static ngx_chat_field_t *ngx_chat_json_value(ngx_chat_json_reader_t *reader,
    const char *type, ngx_chat_field_e state);
static int ngx_chat_json_level(ngx_chat_json_reader_t *reader);
static void ngx_chat_json_item(ngx_chat_json_reader_t *reader,
    const void *data, size_t len);
static void ngx_chat_json_keep(ngx_chat_json_reader_t *reader,
    ngx_str_t *value, const void *data, size_t len);

static yajl_gen ngx_chat_json_gen(ngx_chat_json_t *json);
static void ngx_chat_json_print(void *data, const char *text, size_t len);
static ngx_int_t ngx_chat_json_grow(ngx_chat_json_t *json, size_t len);

static void *ngx_chat_json_alloc(void *data, size_t size);
static void *ngx_chat_json_realloc(void *data, void *p, size_t size);
static void ngx_chat_json_free(void *data, void *p);


/* after an error, nothing is called; "failed" below must not change */

#define ngx_chat_json_write(json, call)                                       \
    if (!(json)->error && (call) != yajl_gen_status_ok) {                     \
        (json)->error = 1;                                                    \
    }


static yajl_callbacks  ngx_chat_json_callbacks = {
    ngx_chat_json_on_null,
    ngx_chat_json_on_bool,
    NULL,                                  /* integer and double: as number */
    NULL,
    ngx_chat_json_on_number,
    ngx_chat_json_on_string,
    ngx_chat_json_on_object,
    ngx_chat_json_on_key,
    ngx_chat_json_on_end,
    ngx_chat_json_on_array,
    ngx_chat_json_on_end
};


ngx_int_t
ngx_chat_json_fields(ngx_pool_t *pool, ngx_str_t *input,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_str_t *error)
{
    size_t                  offset;
    ngx_int_t               rc;
    ngx_chat_json_reader_t  reader;

    ngx_chat_form_reset(fields, n);

    /* yajl accepts overlong forms and replaces lone surrogates with "?" */

    if (ngx_chat_string_utf8(input) != NGX_OK) {
        ngx_str_set(error, "Invalid UTF-8");
        return NGX_DECLINED;
    }

    if (ngx_chat_string_surrogates(input, &offset) != NGX_OK) {
        return ngx_chat_json_error(pool, error, "Lone surrogate", offset);
    }

    ngx_memzero(&reader, sizeof(ngx_chat_json_reader_t));

    reader.memory.pool = pool;
    reader.input = input;
    reader.fields = fields;
    reader.nfields = n;

    rc = ngx_chat_json_parse(&reader, error);

    if (rc == NGX_OK && ngx_strcmp(reader.type, "dict") != 0) {
        error->len = ngx_strlen(reader.type);
        error->data = (u_char *) reader.type;
        return NGX_ABORT;
    }

    return rc;
}


static ngx_int_t
ngx_chat_json_parse(ngx_chat_json_reader_t *reader, ngx_str_t *error)
{
    size_t             offset;
    ngx_int_t          rc;
    const char        *text;
    yajl_handle        yajl;
    yajl_status        status;
    yajl_alloc_funcs   funcs = {
        ngx_chat_json_alloc, ngx_chat_json_realloc, ngx_chat_json_free,
        &reader->memory
    };

    if (setjmp(reader->memory.failed)) {
        return NGX_ERROR;
    }

    yajl = yajl_alloc(&ngx_chat_json_callbacks, &funcs, reader);

    /* already validated */
    yajl_config(yajl, yajl_dont_validate_strings, 1);

    status = yajl_parse(yajl, reader->input->data, reader->input->len);
    offset = yajl_get_bytes_consumed(yajl);

    if (status == yajl_status_ok) {
        status = yajl_complete_parse(yajl);
        offset = reader->input->len;
    }

    if (status == yajl_status_client_canceled) {
        text = reader->error;

    } else if (status != yajl_status_ok) {
        text = ngx_chat_json_reason(yajl);

    } else if (yajl_parse(yajl, (u_char *) "\n", 1) != yajl_status_ok) {

        /*
         * yajl 2.1 ignores an unterminated string after the document; a line
         * end in the string causes an error
         */

        text = "Trailing garbage";

    } else {
        text = NULL;
    }

    rc = (text == NULL) ? NGX_OK
                        : ngx_chat_json_error(reader->memory.pool, error, text,
                                              offset);
    yajl_free(yajl);

    return rc;
}


/* returns "Invalid char" for "lexical error: invalid char." of yajl */

static const char *
ngx_chat_json_reason(yajl_handle yajl)
{
    char  *text, *p;

    text = (char *) yajl_get_error(yajl, 0, NULL, 0);

    p = strstr(text, ": ");
    if (p != NULL) {
        text = p + 2;
    }

    text[strcspn(text, ".\n")] = '\0';
    *text = (char) ngx_toupper(*text);

    return text;
}


static ngx_int_t
ngx_chat_json_error(ngx_pool_t *pool, ngx_str_t *error, const char *text,
    size_t offset)
{
    u_char  *last;

    error->data = ngx_pnalloc(pool, ngx_strlen(text)
                                    + sizeof(" near byte ") - 1
                                    + NGX_SIZE_T_LEN);
    if (error->data == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(error->data, "%s near byte %uz", text, offset);

    error->len = last - error->data;

    return NGX_DECLINED;
}


/* yajl continues if a callback returns 1 and stops if it returns 0 */

static int
ngx_chat_json_on_null(void *data)
{
    (void) ngx_chat_json_value(data, "NoneType", NGX_CHAT_FIELD_NULL);

    return 1;
}


static int
ngx_chat_json_on_bool(void *data, int value)
{
    ngx_chat_field_t  *field;

    static ngx_str_t  words[] = { ngx_string("false"), ngx_string("true") };

    field = ngx_chat_json_value(data, "bool", NGX_CHAT_FIELD_INVALID);

    if (field != NULL) {
        field->value = words[value != 0];
    }

    return 1;
}


static int
ngx_chat_json_on_number(void *data, const char *value, size_t len)
{
    size_t             i;
    const char        *type;
    ngx_chat_field_t  *field;

    type = "int";

    for (i = 0; i < len; i++) {
        if (value[i] == '.' || value[i] == 'e' || value[i] == 'E') {
            type = "float";
        }
    }

    field = ngx_chat_json_value(data, type, NGX_CHAT_FIELD_TEXT);

    if (field != NULL) {
        ngx_chat_json_keep(data, &field->value, value, len);
    }

    return 1;
}


static int
ngx_chat_json_on_string(void *data, const u_char *value, size_t len)
{
    ngx_chat_field_t        *field;
    ngx_chat_json_reader_t  *reader = data;

    if (reader->list != NULL && reader->levels == 2) {
        ngx_chat_json_item(reader, value, len);
        return 1;
    }

    field = ngx_chat_json_value(data, "str", NGX_CHAT_FIELD_TEXT);

    if (field != NULL) {
        ngx_chat_json_keep(data, &field->value, value, len);
    }

    return 1;
}


static int
ngx_chat_json_on_object(void *data)
{
    (void) ngx_chat_json_value(data, "dict", NGX_CHAT_FIELD_INVALID);

    return ngx_chat_json_level(data);
}


static int
ngx_chat_json_on_array(void *data)
{
    ngx_chat_field_t        *field;
    ngx_chat_json_reader_t  *reader = data;

    field = ngx_chat_json_value(data, "list", NGX_CHAT_FIELD_INVALID);

    if (field != NULL) {
        reader->list = field;
        field->value.data = ngx_chat_json_alloc(data, reader->input->len);
        field->value.len = 0;
    }

    return ngx_chat_json_level(data);
}


static int
ngx_chat_json_on_end(void *data)
{
    ngx_chat_json_reader_t *reader = data;

    if (--reader->levels == 1) {
        reader->list = NULL;
    }

    return 1;
}


/* only keys of the outermost object are fields */

static int
ngx_chat_json_on_key(void *data, const u_char *value, size_t len)
{
    ngx_chat_json_reader_t *reader = data;

    ngx_str_t   *key;
    ngx_uint_t   i;

    if (reader->levels != 1) {
        return 1;
    }

    if (reader->nkeys == NGX_CHAT_JSON_KEYS) {
        reader->error = "Too many keys";
        return 0;
    }

    key = &reader->keys[reader->nkeys];
    ngx_chat_json_keep(reader, key, value, len);

    for (i = 0; i < len; i++) {
        if (value[i] == '\0') {
            reader->error = "Null character in a key";
            return 0;
        }
    }

    for (i = 0; i < reader->nkeys; i++) {
        if (reader->keys[i].len == len
            && ngx_memcmp(reader->keys[i].data, value, len) == 0)
        {
            reader->error = "Duplicate key";
            return 0;
        }
    }

    reader->nkeys++;
    reader->field = ngx_chat_form_field(reader->fields, reader->nfields, key);

    return 1;
}


/* records the type of a value; returns the field that it belongs to, or NULL */

static ngx_chat_field_t *
ngx_chat_json_value(ngx_chat_json_reader_t *reader, const char *type,
    ngx_chat_field_e state)
{
    if (reader->levels == 0) {
        reader->type = type;
    }

    if (reader->list != NULL) {
        ngx_chat_json_item(reader, ",", 1);
    }

    if (reader->levels != 1 || reader->field == NULL) {
        return NULL;
    }

    reader->field->state = state;

    return reader->field;
}


/* a string in an array; other values are empty items */

static void
ngx_chat_json_item(ngx_chat_json_reader_t *reader, const void *data,
    size_t len)
{
    u_char     *p;
    ngx_str_t  *value;

    value = &reader->list->value;

    if (value->len + len >= reader->input->len) {
        return;
    }

    p = value->data + value->len;

    if (value->len) {
        *p++ = ',';
    }

    p = ngx_cpymem(p, data, len);
    value->len = p - value->data;
}


static int
ngx_chat_json_level(ngx_chat_json_reader_t *reader)
{
    if (reader->levels == NGX_CHAT_JSON_LEVELS) {
        reader->error = "Nested too deeply";
        return 0;
    }

    reader->levels++;

    return 1;
}


/* copies a value with escapes, which is in a buffer of yajl */

static void
ngx_chat_json_keep(ngx_chat_json_reader_t *reader, ngx_str_t *value,
    const void *data, size_t len)
{
    u_char  *p;

    p = (u_char *) data;

    if (p < reader->input->data
        || p >= reader->input->data + reader->input->len)
    {
        p = ngx_chat_json_alloc(&reader->memory, len);
        ngx_memcpy(p, data, len);
    }

    value->len = len;
    value->data = p;
}


ngx_chat_json_t *
ngx_chat_json_create(ngx_pool_t *pool)
{
    ngx_chat_json_t  *json;

    static const ngx_chat_json_t  failed = { .error = 1 };

    json = ngx_pcalloc(pool, sizeof(ngx_chat_json_t));
    if (json == NULL) {
        return (ngx_chat_json_t *) &failed;
    }

    json->memory.pool = pool;
    json->levels = 1;

    json->start = ngx_pnalloc(pool, NGX_CHAT_JSON_SIZE);
    json->gen = ngx_chat_json_gen(json);

    if (json->start && json->gen) {
        json->pos = json->start;
        json->end = json->start + NGX_CHAT_JSON_SIZE;

    } else {
        json->error = 1;
    }

    return json;
}


/* yajl allocates only here; later, longjmp() would have no target */

static yajl_gen
ngx_chat_json_gen(ngx_chat_json_t *json)
{
    yajl_gen           gen;
    yajl_alloc_funcs   funcs = {
        ngx_chat_json_alloc, ngx_chat_json_realloc, ngx_chat_json_free,
        &json->memory
    };

    if (setjmp(json->memory.failed)) {
        return NULL;
    }

    gen = yajl_gen_alloc(&funcs);

    yajl_gen_config(gen, yajl_gen_print_callback, ngx_chat_json_print, json);

    return gen;
}


static void
ngx_chat_json_print(void *data, const char *text, size_t len)
{
    ngx_chat_json_t *json = data;

    if ((size_t) (json->end - json->pos) < len
        && ngx_chat_json_grow(json, len) != NGX_OK)
    {
        json->error = 1;
        return;
    }

    json->pos = ngx_cpymem(json->pos, text, len);
}


static ngx_int_t
ngx_chat_json_grow(ngx_chat_json_t *json, size_t len)
{
    u_char  *start;
    size_t   size, used;

    used = json->pos - json->start;
    size = 2 * ngx_max((size_t) (json->end - json->start), used + len);

    start = ngx_pnalloc(json->memory.pool, size);
    if (start == NULL) {
        return NGX_ERROR;
    }

    json->pos = ngx_cpymem(start, json->start, used);
    json->end = start + size;

    (void) ngx_pfree(json->memory.pool, json->start);
    json->start = start;

    return NGX_OK;
}


void
ngx_chat_json_object(ngx_chat_json_t *json)
{
    if (!json->error) {
        json->levels = json->levels << 1 | 1;
    }

    ngx_chat_json_write(json, yajl_gen_map_open(json->gen));
}


void
ngx_chat_json_array(ngx_chat_json_t *json)
{
    if (!json->error) {
        json->levels = json->levels << 1;
    }

    ngx_chat_json_write(json, yajl_gen_array_open(json->gen));
}


void
ngx_chat_json_end(ngx_chat_json_t *json)
{
    ngx_chat_json_write(json, (json->levels & 1)
                              ? yajl_gen_map_close(json->gen)
                              : yajl_gen_array_close(json->gen));

    if (!json->error) {
        json->levels >>= 1;
    }
}


void
ngx_chat_json_string(ngx_chat_json_t *json, ngx_str_t *value)
{
    ngx_chat_json_write(json, yajl_gen_string(json->gen, value->data,
                                              value->len));
}


void
ngx_chat_json_text(ngx_chat_json_t *json, const char *value)
{
    ngx_str_t  text = { ngx_strlen(value), (u_char *) value };

    ngx_chat_json_string(json, &text);
}


/* yajl_gen_integer() is signed */

void
ngx_chat_json_number(ngx_chat_json_t *json, uint64_t value)
{
    u_char  *last, text[NGX_INT64_LEN];

    last = ngx_sprintf(text, "%uL", value);

    ngx_chat_json_write(json, yajl_gen_number(json->gen, (char *) text,
                                              last - text));
}


void
ngx_chat_json_millionths(ngx_chat_json_t *json, uint64_t value)
{
    u_char  *last, text[NGX_INT64_LEN + 7];

    last = ngx_sprintf(text, "%uL.%06uL", value / 1000000, value % 1000000);

    ngx_chat_json_write(json, yajl_gen_number(json->gen, (char *) text,
                                              last - text));
}


void
ngx_chat_json_id(ngx_chat_json_t *json, uint64_t value)
{
    u_char  *last, text[NGX_INT64_LEN];

    last = ngx_sprintf(text, "%uL", value);

    ngx_chat_json_write(json, yajl_gen_string(json->gen, text, last - text));
}


void
ngx_chat_json_bool(ngx_chat_json_t *json, ngx_uint_t value)
{
    ngx_chat_json_write(json, yajl_gen_bool(json->gen, value != 0));
}


void
ngx_chat_json_null(ngx_chat_json_t *json)
{
    ngx_chat_json_write(json, yajl_gen_null(json->gen));
}


/* an empty number: yajl writes what precedes a value, and nothing else */

void
ngx_chat_json_raw(ngx_chat_json_t *json, ngx_uint_t begin, const u_char *data,
    size_t len)
{
    if (begin) {
        ngx_chat_json_write(json, yajl_gen_number(json->gen, "", 0));
    }

    if (!json->error) {
        ngx_chat_json_print(json, (const char *) data, len);
    }
}


ngx_int_t
ngx_chat_json_done(ngx_chat_json_t *json, ngx_str_t *out)
{
    if (json->error || json->levels != 1) {
        return NGX_ERROR;
    }

    out->len = json->pos - json->start;
    out->data = json->start;

    return NGX_OK;
}


/* the size precedes the block, since yajl's realloc() does not pass it */

static void *
ngx_chat_json_alloc(void *data, size_t size)
{
    ngx_chat_json_memory_t *memory = data;

    size_t  *block;

    block = ngx_palloc(memory->pool, sizeof(size_t) + size);

    if (block == NULL) {
        longjmp(memory->failed, 1);
    }

    *block++ = size;

    return block;
}


static void *
ngx_chat_json_realloc(void *data, void *p, size_t size)
{
    void    *new;
    size_t  *block;

    new = ngx_chat_json_alloc(data, size);

    if (p != NULL) {
        block = p;
        ngx_memcpy(new, p, ngx_min(block[-1], size));
        ngx_chat_json_free(data, p);
    }

    return new;
}


static void
ngx_chat_json_free(void *data, void *p)
{
    ngx_chat_json_memory_t *memory = data;

    if (p != NULL) {
        (void) ngx_pfree(memory->pool, (size_t *) p - 1);
    }
}
