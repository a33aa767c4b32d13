
/*
 * Copyright (C) ngx_chat contributors
 */


/* The messages, their notifications, and the measured times. */


#include "chatload.h"


typedef unsigned __int128  tally_t;          /* bit per socket */


static side_t *message_side(const char *p, uint32_t who);
static uint64_t message_id(const char *p);


static message_t                 *buckets[BUCKETS];
static STAILQ_HEAD(, message_s)   unsettled
                                      = STAILQ_HEAD_INITIALIZER(unsettled);

static tally_t                   *tally;
static uint64_t                   tally_first = UINT64_MAX, tally_last;


/*
 * returns the side of this user in the message whose id is the first number at
 * p; adds the message or the user if they are new
 */

static side_t *
message_side(const char *p, uint32_t who)
{
    side_t      *side;
    uint64_t     id;
    message_t   *m, **bucket;

    /* successive ids do not need a hash function */
    id = message_id(p);
    bucket = &buckets[id % BUCKETS];

    for (m = *bucket; m && m->id != id; m = m->chain) { /* void */ }

    if (m == NULL) {
        m = calloc(1, sizeof(message_t) + 2 * words * sizeof(uint64_t));
        if (m == NULL) {
            err(1, "calloc()");
        }

        m->id = id;
        m->sides[0] = m->sides[1] = (side_t) { .message = m, .who = NOBODY };
        m->chain = *bucket;
        *bucket = m;
    }

    for (side = m->sides; side < m->sides + 2; side++) {
        if (side->who == NOBODY || side->who == who) {
            side->who = who;
            return side;
        }
    }

    fault("message %lu reached more than two users", id);
    errors++;

    return NULL;
}


void
message_answered(conn_t *c, const char *body)
{
    side_t     *to;
    message_t  *m;

    to = message_side(body, c->to);

    if (message_side(body, c->from) == NULL || to == NULL
        || to->message->answered)
    {
        fault("a 201 without a new id: %s", body);
        errors++;
        return;
    }

    m = to->message;
    m->to = c->to;
    m->due = c->due;
    m->answered = now;
    STAILQ_INSERT_TAIL(&unsettled, m, next);

    if (to->first) {
        times_add(&notify_ms, m->due, to->first);
    }

    if (to->fetched) {
        times_add(&fetch_ms, m->due, to->fetched);
    }
}


void
message_notified(uint32_t n, const char *p)
{
    side_t     *side;
    uint32_t    who, nth;
    uint64_t   *seen;
    message_t  *m;

    who = n % npeople;
    nth = n / npeople;

    side = message_side(p, who);
    if (side == NULL) {
        return;
    }

    m = side->message;
    seen = &m->seen[(side - m->sides) * words + nth / 64];
    doubled += *seen >> nth % 64 & 1;
    *seen |= 1ULL << nth % 64;

    if (side->first) {
        return;
    }

    side->first = now;

    if (m->answered && m->to == who) {
        times_add(&notify_ms, m->due, now);
    }

    if (opt['f'] && (m->answered ? m->to == who : people[who].coming > 0)) {
        STAILQ_INSERT_TAIL(&waiting, side, next);
        http_fetch();
    }
}


/* returns 1 if all messages are settled */

int
message_settle(int all)
{
    side_t     *side;
    uint32_t    n, nth, missing;
    uint64_t   *seen;
    message_t  *m;

    while ((m = STAILQ_FIRST(&unsettled)) != NULL) {
        missing = 0;

        for (side = m->sides; side < m->sides + 2; side++) {
            seen = &m->seen[(side - m->sides) * words];

            for (n = side->who; n < nsockets; n += npeople) {
                nth = n / npeople;
                missing += sockets[n].state == IDLE
                           && !(seen[nth / 64] >> nth % 64 & 1);
            }
        }

        if (missing && !all && now < m->answered + LATE) {
            return 0;
        }

        lost += missing;
        STAILQ_REMOVE_HEAD(&unsettled, next);
    }

    return 1;
}


static uint64_t
message_id(const char *p)
{
    return strtoull(p + strcspn(p, "0123456789"), NULL, 10);
}


/* memory is used for the ids that are seen only; returns 0, or -1 */

int
tally_init(void)
{
    if (senders || nsockets > TALLY_MAX) {
        return 0;
    }

    tally = mmap(NULL, TALLY * sizeof(tally_t), PROT_READ|PROT_WRITE,
                 MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

    return tally == MAP_FAILED ? -1 : 0;
}


void
tally_add(uint32_t n, const char *p)
{
    tally_t    bit, *seen;
    uint64_t   id;

    if (tally == NULL) {
        return;
    }

    id = message_id(p);
    bit = (tally_t) 1 << n;
    seen = &tally[id % TALLY];

    doubled += (*seen & bit) != 0;
    *seen |= bit;

    tally_first = id < tally_first ? id : tally_first;
    tally_last = id > tally_last ? id : tally_last;
}


/* counts messages and their different notifications */

void
tally_sum(void)
{
    tally_t    seen;
    uint64_t   id, n, most;

    if (tally == NULL || tally_last == 0) {
        return;
    }

    if (tally_last - tally_first >= TALLY) {
        errx(1, "too many messages");
    }

    /* sockets of two users */
    most = 2 * ((nsockets + npeople - 1) / npeople);

    for (id = tally_first; id <= tally_last; id++) {
        seen = tally[id % TALLY];
        n = __builtin_popcountll((uint64_t) seen)
            + __builtin_popcountll((uint64_t) (seen >> 64));

        messages += n > 0;
        notified += n;

        if (n > most) {
            fault("message %lu reached more than two users", id);
            errors++;
        }
    }
}


void
times_add(times_t *t, uint64_t from, uint64_t to)
{
    uint64_t  n = (to - from) / (MSEC / 100);

    n = n < CELLS ? n : CELLS - 1;
    t->n++;
    t->cells[n]++;
    t->max = n > t->max ? n : t->max;
}


void
times_print(const char *name, times_t *t)
{
    uint32_t  p50, p99;
    uint64_t  below;

    if (t->n == 0) {                         /* 0 would look good */
        printf(",\"%s\":{\"p50\":null,\"p99\":null,\"max\":null}", name);
        return;
    }

    below = t->cells[0];

    for (p50 = 0; below <= t->n / 2; below += t->cells[++p50]) { /* void */ }
    for (p99 = p50; below <= t->n * 99 / 100; below += t->cells[++p99]) { }

    printf(",\"%s\":{\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f}", name,
           p50 / 100.0, p99 / 100.0, t->max / 100.0);
}


uint64_t
clock_read(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SEC + ts.tv_nsec;
}
