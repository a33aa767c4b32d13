
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"
#include "src/query/ngx_chat_query.h"

#include <sanitizer/asan_interface.h>


/*
 * Values do not change the meaning of a packet.  The target parses a packet
 * like the database, replaces each literal by "?", and compares the result with
 * that of harmless values.  The literals must be the values of the job.
 */


#define FUZZ_SQL_JOBS    64
#define FUZZ_SQL_VALUES  (FUZZ_SQL_JOBS * 8)


typedef struct {
    u_char     *text;                         /* the statements without */
    size_t      len;                          /* their literals */
    ngx_str_t   value[FUZZ_SQL_VALUES];       /* of strings, in order */
    ngx_uint_t  n;
    u_char     *memory;
    u_char     *end;
} fuzz_sql_packet_t;


/* large enough for any job */

typedef union {
    ngx_chat_db_job_t                job;
    ngx_chat_query_session_t         session;
    ngx_chat_query_session_create_t  create;
    ngx_chat_query_user_t            user;
    ngx_chat_query_password_t        password;
    ngx_chat_query_users_t           users;
    ngx_chat_query_send_t            send;
    ngx_chat_query_message_t         message;
    ngx_chat_query_change_t          change;
} fuzz_sql_op_t;


typedef struct {
    const ngx_chat_db_type_t  *class;

    /* sets two strings and a number of a job */
    void                      (*fill)(fuzz_sql_op_t *op, ngx_str_t *one,
                                      ngx_str_t *two, uint64_t number);

    /*
     * expected values in order: "1" and "2", the strings; "p", the first as a
     * pattern, "n", the second, both omitted if empty; "m", the second if the
     * first is not empty either; "h", a hash; "t", a time; "e", an empty string
     */
    const char                 *values;
} fuzz_sql_class_t;


static void fuzz_sql_packet(fuzz_sql_class_t *c, ngx_str_t *one,
    ngx_str_t *two, uint64_t number, ngx_uint_t n, fuzz_sql_packet_t *packet);
static void fuzz_sql_read(ngx_chat_db_buf_t *text,
    fuzz_sql_packet_t *packet);
static u_char *fuzz_sql_read_string(u_char *p, u_char *last, u_char **dst);
static u_char *fuzz_sql_read_hex(u_char *p, u_char *last, u_char **dst);
static void fuzz_sql_constants(fuzz_sql_packet_t *packet,
    fuzz_sql_packet_t *plain);
static ngx_uint_t fuzz_sql_expect(const char *values,
    fuzz_sql_packet_t *packet, ngx_uint_t i, ngx_str_t *one, ngx_str_t *two);
static ngx_uint_t fuzz_sql_pattern(ngx_str_t *pattern, ngx_str_t *text);

static void fuzz_sql_session(fuzz_sql_op_t *op, ngx_str_t *one,
    ngx_str_t *two, uint64_t number);
static void fuzz_sql_create(fuzz_sql_op_t *op, ngx_str_t *one,
    ngx_str_t *two, uint64_t number);
static void fuzz_sql_user(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number);
static void fuzz_sql_password(fuzz_sql_op_t *op, ngx_str_t *one,
    ngx_str_t *two, uint64_t number);
static void fuzz_sql_users(fuzz_sql_op_t *op, ngx_str_t *one,
    ngx_str_t *two, uint64_t number);
static void fuzz_sql_send(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number);
static void fuzz_sql_message(fuzz_sql_op_t *op, ngx_str_t *one,
    ngx_str_t *two, uint64_t number);
static void fuzz_sql_edit(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number);


static fuzz_sql_class_t  fuzz_sql_classes[] = {
    { &ngx_chat_query_session_get, fuzz_sql_session, "h" },
    { &ngx_chat_query_session_create, fuzz_sql_create, "hh1e1e11h" },
    { &ngx_chat_query_user_by_name, fuzz_sql_user, "ee1212" },
    { &ngx_chat_query_password_set, fuzz_sql_password, "121h1h11" },
    { &ngx_chat_query_users, fuzz_sql_users, "pnpmp" },
    { &ngx_chat_query_send, fuzz_sql_send, "t21" },
    { &ngx_chat_query_message_by_client, fuzz_sql_message, "21" },
    { &ngx_chat_query_change_edit, fuzz_sql_edit, "t01t" }
};


/* values of every job; the database has no "Z" in a time */

static ngx_str_t  fuzz_sql_hash =
    ngx_string("0123456789'\\\"\0\xff\n\r\x1a;-%_$1)(/*#`xx");

static ngx_str_t  fuzz_sql_timestamp =
    ngx_string("2025-12-30T07:03:02.325660Z");

static ngx_str_t  fuzz_sql_time = ngx_string("2025-12-30T07:03:02.325660");


/* the first byte is the class, the second the number of jobs, then a line */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t           number;
    ngx_str_t          one, two;
    ngx_uint_t         i, n;
    fuzz_sql_class_t  *c;

    static fuzz_sql_packet_t  packet, plain;

    ngx_str_t  x = ngx_string("x");
    ngx_str_t  none = ngx_string("");

    if (size < 10) {
        return 0;
    }

    c = &fuzz_sql_classes[data[0] % (sizeof(fuzz_sql_classes)
                                     / sizeof(fuzz_sql_classes[0]))];

    n = 1 + data[1] % ngx_min(c->class->batch, 3);

    if (data[1] == 0xa5 && data[2] == 0x5a) {

        /* many jobs with short values, since this takes long */

        n = c->class->batch;
        size = ngx_min(size, 42);
    }

    memcpy(&number, data + 2, 8);

    data += 10;
    size -= 10;

    one = fuzz_take(&data, &size, '\n');

    two.len = size;
    two.data = (u_char *) data;

    fuzz_sql_packet(c, &one, &two, number, n, &packet);
    fuzz_sql_packet(c, one.len ? &x : &none, two.len ? &x : &none, number, n,
                    &plain);

    fuzz_assert(packet.len == plain.len && packet.n == plain.n
                && memcmp(packet.text, plain.text, packet.len) == 0);

    fuzz_sql_constants(&packet, &plain);


    for (i = 0; n; n--) {
        i = fuzz_sql_expect(c->values, &packet, i, &one, &two);
    }

    fuzz_assert(i == packet.n);

    free(packet.memory);
    free(plain.memory);
    free(one.data);

    return 0;
}


static void
fuzz_sql_packet(fuzz_sql_class_t *c, ngx_str_t *one, ngx_str_t *two,
    uint64_t number, ngx_uint_t n, fuzz_sql_packet_t *packet)
{
    ngx_uint_t          i;
    fuzz_sql_op_t      *op;
    ngx_chat_db_buf_t   text;
    ngx_chat_db_job_t  *jobs[FUZZ_SQL_JOBS];

    fuzz_assert(n <= FUZZ_SQL_JOBS);

    op = calloc(n, sizeof(fuzz_sql_op_t));

    for (i = 0; i < n; i++) {
        c->fill(&op[i], one, two, number + i);
        op[i].job.type = c->class;
        jobs[i] = &op[i].job;
    }

    ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));

    c->class->build(&text, jobs, n);
    fuzz_assert(!text.error);

    fuzz_sql_read(&text, packet);

    ASAN_UNPOISON_MEMORY_REGION(text.start, text.end - text.start);

    free(text.start);
    free(op);
}


/*
 * Splits a packet into statements and literals.  Each semicolon outside of
 * literals must be recorded.
 */

static void
fuzz_sql_read(ngx_chat_db_buf_t *text, fuzz_sql_packet_t *packet)
{
    u_char      *p, *last, *dst;
    size_t       size;
    ngx_str_t   *value;
    ngx_uint_t   n;

    size = text->pos - text->start;

    /* the parsed text is never longer than the packet */

    packet->memory = malloc(2 * size);
    packet->text = packet->memory;
    packet->len = 0;
    packet->n = 0;

    dst = packet->memory + size;
    last = text->pos;
    n = 0;

    for (p = text->start; p < last; /* void */ ) {

        if (*p == '\'' || (*p == 'x' && last - p > 1 && p[1] == '\'')) {

            fuzz_assert(packet->n < FUZZ_SQL_VALUES);
            value = &packet->value[packet->n++];
            value->data = dst;

            p = (*p == 'x') ? fuzz_sql_read_hex(p + 2, last, &dst)
                            : fuzz_sql_read_string(p + 1, last, &dst);

            value->len = dst - value->data;
            packet->text[packet->len++] = '?';

            continue;
        }

        fuzz_assert(*p >= ' ' && *p < 0x7f && *p != '"' && *p != '\\'
                    && *p != '#' && *p != '$');

        if (*p == ';') {
            fuzz_assert(n < text->nends
                        && text->ends[n++] == (uint32_t) (p - text->start));
        }

        packet->text[packet->len++] = *p++;
    }

    fuzz_assert(n == text->nends);
}


/* returns the end of a literal; the builder never doubles quotes */

static u_char *
fuzz_sql_read_string(u_char *p, u_char *last, u_char **dst)
{
    u_char  *d;

    static const char  from[] = "0nrtbZ";
    static const char  to[] = "\0\n\r\t\b\x1a";

    for (d = *dst; p < last && *p != '\''; p++) {

        if (*p != '\\') {
            *d++ = *p;
            continue;
        }

        fuzz_assert(++p < last);

        if (*p == '%' || *p == '_') {
            *d++ = '\\';
            *d++ = *p;

        } else if (*p && strchr(from, *p)) {
            *d++ = to[strchr(from, *p) - from];

        } else {
            *d++ = *p;
        }
    }

    fuzz_assert(p < last && (p + 1 == last || p[1] != '\''));

    *dst = d;

    return p + 1;
}


static u_char *
fuzz_sql_read_hex(u_char *p, u_char *last, u_char **dst)
{
    ngx_int_t  byte;

    while (p < last && *p != '\'') {
        fuzz_assert(last - p > 2);

        byte = ngx_hextoi(p, 2);
        fuzz_assert(byte != NGX_ERROR);

        *(*dst)++ = (u_char) byte;
        p += 2;
    }

    fuzz_assert(p < last);

    return p + 1;
}


/* removes constant literals, which harmless values reveal */

static void
fuzz_sql_constants(fuzz_sql_packet_t *packet, fuzz_sql_packet_t *plain)
{
    ngx_str_t  *value;
    ngx_uint_t  i, n;

    ngx_str_t    x = ngx_string("x");
    ngx_str_t    pattern = ngx_string("x%");

    n = 0;

    for (i = 0; i < packet->n; i++) {
        value = &plain->value[i];

        if (value->len == 0
            || fuzz_same(value, &x) || fuzz_same(value, &pattern)
            || fuzz_same(value, &fuzz_sql_hash)
            || fuzz_same(value, &fuzz_sql_time))
        {
            packet->value[n++] = packet->value[i];
            continue;
        }

        fuzz_assert(fuzz_same(&packet->value[i], value));
    }

    packet->n = n;
}


/* compares values from the value i on, returns the next index */

static ngx_uint_t
fuzz_sql_expect(const char *values, fuzz_sql_packet_t *packet, ngx_uint_t i,
    ngx_str_t *one, ngx_str_t *two)
{
    ngx_str_t  *value;

    for ( /* void */ ; *values; values++) {

        if ((*values == 'p' && one->len == 0)
            || (*values == 'n' && two->len == 0)
            || (*values == 'm' && (one->len == 0 || two->len == 0)))
        {
            continue;
        }

        fuzz_assert(i < packet->n);
        value = &packet->value[i++];

        switch (*values) {

        case '1':
            fuzz_assert(fuzz_same(value, one));
            break;

        case '2':
        case 'm':
        case 'n':
            fuzz_assert(fuzz_same(value, two));
            break;

        case 'p':
            fuzz_assert(fuzz_sql_pattern(value, one));
            break;

        case '0':
            fuzz_assert(value->len == 0);
            break;

        case 'h':
            fuzz_assert(fuzz_same(value, &fuzz_sql_hash));
            break;

        case 'e':
            fuzz_assert(value->len == 0);
            break;

        default:
            fuzz_assert(fuzz_same(value, &fuzz_sql_time));
        }
    }

    return i;
}


/* whether the pattern matches exactly values that begin with the text */

static ngx_uint_t
fuzz_sql_pattern(ngx_str_t *pattern, ngx_str_t *text)
{
    u_char  *p, *last;
    size_t   i;

    p = pattern->data;
    last = p + pattern->len;

    for (i = 0; i < text->len; i++) {

        if (p < last && (*p == '%' || *p == '_')) {
            return 0;
        }

        if (p < last && *p == '\\') {
            p++;
        }

        if (p == last || *p++ != text->data[i]) {
            return 0;
        }
    }

    return last - p == 1 && *p == '%';
}


static void
fuzz_sql_session(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->session.hashes = (ngx_chat_hash_t *) fuzz_sql_hash.data;
    op->session.n = 1;
}


static void
fuzz_sql_create(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    ngx_memcpy(op->create.hash, fuzz_sql_hash.data, NGX_CHAT_HASH_LEN);

    op->create.replaced = (ngx_chat_hash_t *) fuzz_sql_hash.data;
    op->create.nreplaced = 1;
    op->create.user_id = (uint32_t) number;
    op->create.expires = (time_t) (number >> 1);
    op->create.password = *one;
    op->create.address = *one;
    op->create.agent = *one;
}


static void
fuzz_sql_user(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->user.name.n = 2;
    op->user.name.text[0] = *one;
    op->user.name.text[1] = *two;
}


static void
fuzz_sql_password(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    ngx_memcpy(op->password.keep, fuzz_sql_hash.data, NGX_CHAT_HASH_LEN);

    op->password.user_id = (uint32_t) number;
    op->password.new = *one;
    op->password.old = *two;
    op->password.end_sessions = 1;
}


static void
fuzz_sql_users(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->users.except = (uint32_t) number;
    op->users.search.n = (one->len != 0);
    op->users.search.text[0] = *one;
    op->users.after.n = (two->len != 0);
    op->users.after.text[0] = *two;
    op->users.limit = 1 + number % 100;
}


static void
fuzz_sql_send(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->send.message.sender_id = (uint32_t) number;
    op->send.message.recipient_id = (uint32_t) (number >> 32);
    op->send.message.timestamp = fuzz_sql_timestamp;
    op->send.message.body = *one;
    op->send.client_id = *two;
    op->send.message.reply_to = number & 1;
}


static void
fuzz_sql_message(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->message.sender_id = (uint32_t) number;
    op->message.client_id = *one;
    op->message.body = *two;
}


static void
fuzz_sql_edit(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->change.id = number;
    op->change.sender_id = (uint32_t) number;
    op->change.recipient_id = (uint32_t) (number >> 32);
    op->change.time = fuzz_sql_time;
    op->change.body = *one;
}


/* like the original, but with room for the requested bytes only */

ngx_int_t
ngx_chat_db_buf_reserve(ngx_chat_db_buf_t *text, size_t size)
{
    size_t  used, room;

    used = text->pos - text->start;
    room = text->end - text->start;

    if (used + size > room) {
        ASAN_UNPOISON_MEMORY_REGION(text->start, room);

        room = 2 * (used + size);

        text->start = realloc(text->start, room);
        text->pos = text->start + used;
        text->end = text->start + room;
    }

    ASAN_UNPOISON_MEMORY_REGION(text->start, used + size);
    ASAN_POISON_MEMORY_REGION(text->pos + size, room - used - size);

    return NGX_OK;
}
