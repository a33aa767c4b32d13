
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"
#include "ngx_chat_sql.h"

#include <sanitizer/asan_interface.h>


/*
 * Whatever the values are, a packet must say the same to the database: that is
 * read here as the database reads it, written down with "?" for each literal,
 * and compared with what harmless values give.  The literals themselves must
 * be the values that were put in.
 */


#define FUZZ_SQL_JOBS    64
#define FUZZ_SQL_VALUES  (FUZZ_SQL_JOBS * 8)


typedef struct {
    u_char     *text;                         /* the statements, without */
    size_t      len;                          /* their literals */
    ngx_str_t   value[FUZZ_SQL_VALUES];       /* of strings, in order */
    ngx_uint_t  n;
    u_char     *memory;
    u_char     *end;
} fuzz_sql_packet_t;


/* any operation, large enough for each */

typedef union {
    ngx_chat_db_job_t              job;
    ngx_chat_sql_session_t         session;
    ngx_chat_sql_session_create_t  create;
    ngx_chat_sql_user_t            user;
    ngx_chat_sql_password_t        password;
    ngx_chat_sql_users_t           users;
    ngx_chat_sql_send_t            send;
    ngx_chat_sql_message_t         message;
} fuzz_sql_op_t;


typedef struct {
    const ngx_chat_db_class_t  *class;

    /* puts two strings and a number in; what is to come of them, in order */
    void                      (*fill)(fuzz_sql_op_t *op, ngx_str_t *one,
                                      ngx_str_t *two, uint64_t number);

    /*
     * of a job: "1" and "2", the strings; "p", the first as a pattern, "n",
     * the second, none if they are empty; "h", a hash, "t", a time
     */
    const char                 *values;
} fuzz_sql_class_t;


static void fuzz_sql_packet(fuzz_sql_class_t *c, ngx_str_t *one,
    ngx_str_t *two, uint64_t number, ngx_uint_t n, fuzz_sql_packet_t *packet);
static void fuzz_sql_read(ngx_chat_db_text_t *text,
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


static fuzz_sql_class_t  fuzz_sql_classes[] = {
    { &ngx_chat_sql_session_get, fuzz_sql_session, "h" },
    { &ngx_chat_sql_session_create, fuzz_sql_create, "hh1" },
    { &ngx_chat_sql_user_by_name, fuzz_sql_user, "1" },
    { &ngx_chat_sql_password_set, fuzz_sql_password, "121h1" },
    { &ngx_chat_sql_users, fuzz_sql_users, "pn" },
    { &ngx_chat_sql_send, fuzz_sql_send, "t21" },
    { &ngx_chat_sql_message_by_client, fuzz_sql_message, "1" }
};


/* put in everywhere; the database has no "Z" in a time */

static ngx_str_t  fuzz_sql_hash =
    ngx_string("0123456789'\\\"\0\xff\n\r\x1a;-%_$1)(/*#`xx");

static ngx_str_t  fuzz_sql_timestamp =
    ngx_string("2025-12-30T07:03:02.325660Z");

static ngx_str_t  fuzz_sql_time = ngx_string("2025-12-30T07:03:02.325660");


/* the first byte is the class, the second the number of jobs; then a line */

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

    c = &fuzz_sql_classes[data[0] % 7];

    n = 1 + data[1] % ngx_min(c->class->batch, 3);

    if (data[1] == 0xa5 && data[2] == 0x5a) {

        /* many of few bytes, as it takes long */

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
    ngx_uint_t           i;
    fuzz_sql_op_t       *op;
    ngx_chat_db_text_t   text;
    ngx_chat_db_job_t   *jobs[FUZZ_SQL_JOBS];

    fuzz_assert(n <= FUZZ_SQL_JOBS);

    op = calloc(n, sizeof(fuzz_sql_op_t));

    for (i = 0; i < n; i++) {
        c->fill(&op[i], one, two, number + i);
        jobs[i] = &op[i].job;
    }

    ngx_memzero(&text, sizeof(ngx_chat_db_text_t));

    c->class->build(&text, jobs, n);
    fuzz_assert(!text.error);

    fuzz_sql_read(&text, packet);

    ASAN_UNPOISON_MEMORY_REGION(text.start, text.end - text.start);

    free(text.start);
    free(op);
}


/* outside of literals there is nothing but what we have written */

static void
fuzz_sql_read(ngx_chat_db_text_t *text, fuzz_sql_packet_t *packet)
{
    u_char      *p, *last, *dst;
    size_t       size;
    ngx_str_t   *value;

    size = text->pos - text->start;

    /* what is read is never longer than what is written */

    packet->memory = malloc(2 * size);
    packet->text = packet->memory;
    packet->len = 0;
    packet->n = 0;

    dst = packet->memory + size;
    last = text->pos;

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

        packet->text[packet->len++] = *p++;
    }
}


/* behind the quote that closes; a doubled one would go on, and is not ours */

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


/* takes those out that do not come of a value, as harmless ones show */

static void
fuzz_sql_constants(fuzz_sql_packet_t *packet, fuzz_sql_packet_t *plain)
{
    ngx_str_t   *value;
    ngx_uint_t   i, n;

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


/* compares from the value i on; the one behind */

static ngx_uint_t
fuzz_sql_expect(const char *values, fuzz_sql_packet_t *packet, ngx_uint_t i,
    ngx_str_t *one, ngx_str_t *two)
{
    ngx_str_t  *value;

    for ( /* void */ ; *values; values++) {

        if ((*values == 'p' && one->len == 0)
            || (*values == 'n' && two->len == 0))
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
        case 'n':
            fuzz_assert(fuzz_same(value, two));
            break;

        case 'p':
            fuzz_assert(fuzz_sql_pattern(value, one));
            break;

        case 'h':
            fuzz_assert(fuzz_same(value, &fuzz_sql_hash));
            break;

        default:
            fuzz_assert(fuzz_same(value, &fuzz_sql_time));
        }
    }

    return i;
}


/* does it match what begins with the text, and nothing else? */

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
    ngx_memcpy(op->session.hash, fuzz_sql_hash.data, NGX_CHAT_HASH_LEN);
}


static void
fuzz_sql_create(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    ngx_memcpy(op->create.hash, fuzz_sql_hash.data, NGX_CHAT_HASH_LEN);

    op->create.user_id = (uint32_t) number;
    op->create.expires = (time_t) (number >> 1);
    op->create.password = *one;
}


static void
fuzz_sql_user(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->user.name = *one;
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
    op->users.search = *one;
    op->users.after = *two;
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
}


static void
fuzz_sql_message(fuzz_sql_op_t *op, ngx_str_t *one, ngx_str_t *two,
    uint64_t number)
{
    op->message.sender_id = (uint32_t) number;
    op->message.client_id = *one;
}


/* as the database layer's, but never a byte more than is asked for */

ngx_int_t
ngx_chat_db_text_reserve(ngx_chat_db_text_t *text, size_t size)
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
