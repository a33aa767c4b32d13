
/*
 * Copyright (C) ngx_chat contributors
 */


/*
 * chatload: many people at once, to measure a chat server by.
 *
 *     chatload -p PORT -s FILE [-u URI] [-n SOCKETS] [-c SENDERS] [-r RATE]
 *              [-m COUNT] [-d SECONDS] [-w SECONDS] [-b BYTES] [-f] [-R]
 *
 * It opens SOCKETS WebSockets at URI for the people of FILE ("ID NAME TOKEN";
 * TOKEN "-": no cookie), prints "ready" (-R), and without SENDERS holds them
 * for -w seconds or until a signal.  Else it sends messages of BYTES over
 * SENDERS connections, COUNT of them or for -d seconds, and tells, as one line
 * of JSON, how long it took to the 201 (answer_ms), to the first notification
 * on a socket of the recipient (notify_ms), and to the message in the hands of
 * the recipient, who asked for it when the notification came (fetch_ms, -f);
 * and how many notifications never came (lost) or came again (doubled).
 *
 * With a RATE the loop is open: message k is due k / RATE seconds after the
 * start, whatever became of those before, and its times count from then, so
 * that a server which stalls is charged for all who had to wait.  Without one
 * each connection sends its next message as soon as the last is answered, for
 * the highest throughput.  The people send in turn, over connections used in
 * turn: the cookie tells whose a message is.
 *
 * A notification may overtake the 201, with an id that nobody knows yet.  So
 * the record of a message begins with whichever comes first.  Whose it is shows
 * with the 201 only: until then whoever has a message coming fetches it, and
 * what proves to be one's own is not measured.
 *
 * A pair of an acknowledged message and a socket of its sender or recipient is
 * lost if there is no frame GRACE after the 201, or at the end, and the socket
 * is still open.  Sockets that the server closed are not opened again.  HTTP
 * connections are; a request that went down with one is an error.
 *
 * What only listens looks into no frame, and rests between two reads so that
 * one takes many frames: it shares the machine with what it measures.  One
 * thread, one buffer for all input; connecting and writing block, since what is
 * written is smaller than the buffers of a local socket.
 */


#define _GNU_SOURCE

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define MSEC        1000000ULL               /* all times are nanoseconds */
#define SEC         (1000 * MSEC)
#define TICK        (20 * MSEC)              /* closed ones are reopened */
#define SETTLE      SEC                      /* 101 is before workers know */
#define GRACE       (5 * SEC)
#define GIVE_UP     (20 * SEC)               /* nothing answered for so long */
#define HANDSHAKES  200                      /* at once */
#define BUCKETS     (1 << 18)                /* a power of two */
#define CELLS       6000000                  /* a minute, in 10 microseconds */
#define INPUT       (256 * 1024)
#define BODY_MAX    32768
#define WORD_MAX    1024                     /* a name, a token, a path */
#define NOBODY      UINT32_MAX

/* the example of RFC 6455, section 1.3 */

#define WS_KEY      "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT   "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* the first few tell it; thousands would take the time that is measured */

#define fault(...)  (void) (faults++ < 5 ? warnx(__VA_ARGS__) : (void) 0)


enum { POST = 0, GET, SOCKET };              /* kinds of connections */
enum { CLOSED = 0, IDLE, BUSY };             /* BUSY: an answer is due */


typedef struct message_s  message_t;

typedef struct {
    char                    *name;
    char                    *cookie;         /* a header line, or "" */
    uint32_t                 coming;         /* sent, no 201 yet */
} person_t;

typedef struct side_s {                      /* one of a message's two people */
    STAILQ_ENTRY(side_s)     next;           /* that wait to be fetched */
    message_t               *message;
    uint64_t                 first;          /* frame; 0: none yet */
    uint64_t                 fetched;
    uint32_t                 who;
} side_t;

struct message_s {
    message_t               *chain;          /* of its bucket */
    STAILQ_ENTRY(message_s)  next;           /* in the order of answers */
    uint64_t                 id, due;
    uint64_t                 answered;       /* 0: not (yet) ours */
    uint32_t                 to;
    side_t                   sides[2];
    uint64_t                 seen[];         /* two rows, a bit per socket */
};

typedef struct conn_s {
    TAILQ_ENTRY(conn_s)      next;           /* of idle[] */
    char                    *rest;           /* input not complete yet */
    uint32_t                 have;
    int                      fd;
    uint8_t                  kind, state;
    uint32_t                 from, to;       /* POST */
    uint64_t                 due;
    side_t                  *side;           /* GET */
} conn_t;

typedef struct {
    uint64_t                 n;
    uint32_t                 max;
    uint32_t                 cells[CELLS];   /* only used pages are memory */
} times_t;


static void options(int argc, char **argv);
static void people_read(const char *file);
static void start(void);
static void on_signal(int signo);

static void load_open(void);
static void load_send(void);
static void load_report(void);
static void load_turn(uint64_t wait);

static int conn_open(conn_t *c);
static void conn_idle(conn_t *c);
static void conn_ask(conn_t *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void conn_read(conn_t *c);
static void conn_answer(conn_t *c, int status, const char *body);
static void conn_broken(conn_t *c, const char *why);

static void socket_open(conn_t *c);
static char *socket_input(conn_t *c, char *p, char *last);
static void socket_pong(conn_t *c, char *p, size_t len);
static void http_post(conn_t *c, uint64_t due);
static void http_fetch(void);
static char *http_input(conn_t *c, char *p, char *last);

static side_t *message_side(const char *p, uint32_t who);
static void message_answered(conn_t *c, const char *body);
static void message_notified(uint32_t n, const char *p);
static int message_settle(int all);
static void times_add(times_t *t, uint64_t from, uint64_t to);
static void times_print(const char *name, times_t *t);
static uint64_t clock_read(void);


static double                    opt[128];   /* by letter */
static const char               *uri = "/ws";
static const char               *kinds[] = { "a send", "a fetch", "a socket" };
static int                       port;
static uint32_t                  npeople, nsockets, senders;

static uint32_t                  opened, closed, faults;
static uint64_t                  frames, sent, errors, lost, doubled;
static times_t                   answer_ms, notify_ms, fetch_ms;

static person_t                 *people;
static conn_t                   *conns;      /* senders, fetchers, sockets */
static conn_t                   *sockets;
static uint32_t                  busy[3];    /* by kind */
static TAILQ_HEAD(, conn_s)      idle[3];
static STAILQ_HEAD(, side_s)     waiting;    /* for one of idle[GET] */
static STAILQ_HEAD(, message_s)  unsettled;
static message_t                *buckets[BUCKETS];
static size_t                    words;      /* of bits in a row */

static int                       ep;
static char                      input[INPUT + 1], text[BODY_MAX + 1];
static uint64_t                  now, tick, begun, ended;
static uint64_t                  progress;   /* the last answer */
static volatile sig_atomic_t     signals;


int
main(int argc, char **argv)
{
    options(argc, argv);
    start();
    load_open();

    if (opt['R']) {
        puts("ready");
        fflush(stdout);
    }

    begun = ended = progress = now = clock_read();

    if (senders) {
        load_send();

    } else {
        while (!signals && (opt['w'] == 0 || now < begun + opt['w'] * SEC)) {
            load_turn(TICK);
            usleep(20000);
        }

        ended = now;
    }

    load_report();
    return 0;
}


static void
options(int argc, char **argv)
{
    int    c;
    char  *end, *file = NULL;

    opt['n'] = -1;
    opt['b'] = 64;
    opt['d'] = -1;

    while ((c = getopt(argc, argv, "p:u:s:n:c:r:m:d:w:fb:R")) != -1) {
        switch (c) {
        case 'u': uri = optarg; break;
        case 's': file = optarg; break;
        case 'f': case 'R': opt[c] = 1; break;
        case '?': exit(1);
        default:
            opt[c] = strtod(optarg, &end);
            if (*end || opt[c] < 0) {
                errx(1, "-%c takes a number", c);
            }
        }
    }

    if (optind < argc || opt['p'] < 1 || opt['p'] > 65535 || file == NULL
        || opt['b'] < 1 || opt['b'] > BODY_MAX || strlen(uri) > WORD_MAX)
    {
        errx(1, "-p PORT and -s FILE are needed, -b is at most %d", BODY_MAX);
    }

    port = opt['p'];
    senders = opt['c'];
    opt['d'] = opt['d'] >= 0 ? opt['d'] : opt['m'] > 0 ? 1e6 : 5;
    people_read(file);
    nsockets = opt['n'] < 0 ? npeople : opt['n'];
}


static void
people_read(const char *file)
{
    int        n;
    char      *name, *token;
    FILE      *in = fopen(file, "r");
    person_t  *person;

    if (in == NULL) {
        err(1, "%s", file);
    }

    while ((n = fscanf(in, "%*s %1024ms %1024ms", &name, &token)) != EOF) {
        people = realloc(people, (npeople + 1) * sizeof(person_t));
        person = &people[npeople++];

        if (people == NULL || n != 2 || strpbrk(name, "\"\\")) {
            errx(1, "%s:%u: not \"ID NAME TOKEN\"", file, npeople);
        }

        *person = (person_t) { .name = name, .cookie = "" };

        if (strcmp(token, "-") != 0
            && asprintf(&person->cookie, "Cookie: sessionid=%s\r\n", token) < 0)
        {
            err(1, "asprintf()");
        }

        free(token);
    }

    fclose(in);

    if (npeople < (senders ? 2 : 1)) {
        errx(1, "%s: too few people", file);
    }
}


static void
start(void)
{
    conn_t         *c;
    uint32_t        n;
    struct rlimit   rl;

    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    srand(1);
    memset(text, 'x', opt['b']);
    TAILQ_INIT(&idle[POST]);
    TAILQ_INIT(&idle[GET]);
    TAILQ_INIT(&idle[SOCKET]);
    STAILQ_INIT(&waiting);
    STAILQ_INIT(&unsettled);

    /* two fetchers for each sender: they should not be what limits */
    n = senders + (opt['f'] && senders ? 2 * senders + 16 : 0);

    words = nsockets / npeople / 64 + 1;
    conns = calloc(n + nsockets + 1, sizeof(conn_t));
    sockets = conns + n;
    ep = epoll_create1(0);
    rl.rlim_cur = rl.rlim_max = n + nsockets + 16;

    if (setrlimit(RLIMIT_NOFILE, &rl) == -1 || ep == -1 || conns == NULL) {
        err(1, "%u connections", n + nsockets);
    }

    for (c = conns; c < sockets; c++) {
        c->kind = c < conns + senders ? POST : GET;

        if (conn_open(c) == -1) {
            err(1, "127.0.0.1:%d", port);
        }
    }
}


static void
on_signal(int signo)
{
    signals += signo != 0;
}


static void
load_open(void)
{
    conn_t    *c = sockets;
    uint64_t   settle = senders && nsockets ? SETTLE : 0;

    progress = now = clock_read();

    while (!signals && (c < sockets + nsockets || busy[SOCKET]
                        || now < progress + settle))
    {
        while (c < sockets + nsockets && busy[SOCKET] < HANDSHAKES) {
            socket_open(c++);
        }

        load_turn(TICK);

        if (now > progress + GIVE_UP) {
            errx(1, "%u handshakes without an answer", busy[SOCKET]);
        }
    }

    if (nsockets && opened == 0 && !signals) {
        errx(1, "no WebSocket could be opened");
    }
}


static void
load_send(void)
{
    conn_t    *c;
    uint64_t   due, until = begun + opt['d'] * SEC;

    while (!signals && now < until && now < progress + GIVE_UP
           && (opt['m'] == 0 || sent < opt['m']))
    {
        due = opt['r'] > 0 ? begun + sent / opt['r'] * SEC : now;
        c = TAILQ_FIRST(&idle[POST]);

        if (c && due <= now) {
            http_post(c, due);
            now = clock_read();

        } else {
            load_turn(c && due < now + TICK ? due - now : TICK);
        }
    }

    progress = now;

    /* after the last answer, too, its notifications have time to come */
    while ((busy[POST] || busy[GET] || !STAILQ_EMPTY(&waiting)
            || !message_settle(0))
           && now < progress + GRACE && signals < 2)
    {
        load_turn(TICK);
    }

    message_settle(1);
    errors += !STAILQ_EMPTY(&waiting);

    for (c = conns; c < sockets; c++) {
        if (c->state == BUSY) {
            conn_broken(c, "never answered");
        }
    }
}


static void
load_report(void)
{
    double  s = (double) (ended - begun) / SEC;

    printf("{\"sockets\":%u,\"opened\":%u,\"closed_by_server\":%u,"
           "\"frames\":%lu,\"sent\":%lu,\"errors\":%lu,\"lost\":%lu,"
           "\"doubled\":%lu,\"seconds\":%.3f,\"rate\":%.1f",
           nsockets, opened, closed, frames, sent, errors, lost, doubled, s,
           s > 0 ? answer_ms.n / s : 0);

    times_print("answer_ms", &answer_ms);
    times_print("notify_ms", &notify_ms);

    if (opt['f']) {
        times_print("fetch_ms", &fetch_ms);
    }

    printf("}\n");
}


static void
load_turn(uint64_t wait)
{
    int                 i, n;
    conn_t             *c;
    struct timespec     ts = { .tv_nsec = wait };
    struct epoll_event  events[512];

    /* milliseconds, as of epoll_wait(), would be too coarse for a rate */
    n = epoll_pwait2(ep, events, 512, &ts, NULL);
    now = clock_read();

    for (i = 0; i < n; i++) {
        c = events[i].data.ptr;

        if (c->state != CLOSED) {
            conn_read(c);
        }
    }

    if (now >= tick) {
        tick = now + TICK;

        for (c = conns; c < sockets; c++) {
            if (c->state == CLOSED && conn_open(c) == -1) {
                fault("connect: %s", strerror(errno));
            }
        }

        message_settle(0);
    }
}


static int
conn_open(conn_t *c)
{
    int                 one = 1;
    struct sockaddr_in  sin = { .sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct epoll_event  ee = { .events = EPOLLIN, .data.ptr = c };

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd == -1) {
        return -1;
    }

    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    if (connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ee) == -1)
    {
        close(c->fd);
        return -1;
    }

    conn_idle(c);
    return 0;
}


static void
conn_idle(conn_t *c)
{
    c->state = IDLE;
    TAILQ_INSERT_TAIL(&idle[c->kind], c, next);
    http_fetch();
}


static void
conn_ask(conn_t *c, const char *fmt, ...)
{
    int          len;
    va_list      args;
    static char  request[BODY_MAX + 8 * WORD_MAX];

    va_start(args, fmt);
    len = vsnprintf(request, sizeof(request), fmt, args);
    va_end(args);

    c->state = BUSY;
    busy[c->kind]++;
    TAILQ_REMOVE(&idle[c->kind], c, next);

    if (send(c->fd, request, len, 0) != len) {
        conn_broken(c, strerror(errno));
    }
}


static void
conn_read(conn_t *c)
{
    char     *p;
    size_t    len;
    ssize_t   n;

    if (c->have) {
        memcpy(input, c->rest, c->have);
    }

    n = recv(c->fd, input + c->have, INPUT - c->have, MSG_DONTWAIT);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            conn_broken(c, n ? strerror(errno) : "closed by the server");
        }
        return;
    }

    now = clock_read();
    len = c->have + n;
    input[len] = '\0';

    p = (c->kind == SOCKET) ? socket_input(c, input, input + len)
                            : http_input(c, input, input + len);

    if (p == NULL || (p == input && len == INPUT)) {
        conn_broken(c, "input not understood");

        if (c->kind != SOCKET) {
            (void) conn_open(c);             /* else at the next tick */
        }

        return;
    }

    free(c->rest);
    c->have = input + len - p;
    c->rest = c->have ? malloc(c->have) : NULL;

    if (c->rest) {
        memcpy(c->rest, p, c->have);

    } else if (c->have) {
        err(1, "malloc()");
    }
}


/* status 0: none, the body tells why */

static void
conn_answer(conn_t *c, int status, const char *body)
{
    message_t  *m;

    busy[c->kind]--;
    progress = now;

    if (c->kind == POST) {
        people[c->to].coming--;
    }

    if (c->kind == SOCKET && status == 101) {
        opened++;

    } else if (c->kind == POST && status == 201) {
        ended = now;
        times_add(&answer_ms, c->due, now);
        message_answered(c, body);

    } else if (c->kind == GET && status == 200) {
        c->side->fetched = now;
        m = c->side->message;

        if (m->answered && m->to == c->side->who) {
            times_add(&fetch_ms, m->due, now);
        }

    } else {
        errors += c->kind != SOCKET;
        fault("%s: %d %s", kinds[c->kind], status, body);
    }
}


static void
conn_broken(conn_t *c, const char *why)
{
    if (c->state == IDLE) {
        TAILQ_REMOVE(&idle[c->kind], c, next);
        closed += c->kind == SOCKET;

    } else {
        conn_answer(c, 0, why);
    }

    close(c->fd);
    free(c->rest);
    c->rest = NULL;
    c->have = 0;
    c->state = CLOSED;
}


static void
socket_open(conn_t *c)
{
    c->kind = SOCKET;

    if (conn_open(c) == -1) {
        fault("a socket: %s", strerror(errno));
        return;
    }

    conn_ask(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
             "Upgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: " WS_KEY "\r\nSec-WebSocket-Version: 13\r\n"
             "Origin: http://127.0.0.1:%d\r\n%s\r\n",
             uri, port, port, people[(c - sockets) % npeople].cookie);
}


/* where the input not complete begins, NULL: to be closed; so http_input() */

static char *
socket_input(conn_t *c, char *p, char *last)
{
    char           *end;
    size_t          head, len;
    unsigned char  *u;

    if (c->state == BUSY) {
        end = memmem(p, last - p, "\r\n\r\n", 4);
        if (end == NULL) {
            return p;
        }

        if (strncmp(p, "HTTP/1.1 101", 12) || !strstr(p, WS_ACCEPT "\r\n")) {
            fault("a handshake was answered %s", p);
            return NULL;
        }

        p = end + 4;
        conn_answer(c, 101, p);
        conn_idle(c);
    }

    while (last - p >= 2) {
        u = (unsigned char *) p;
        head = 2;
        len = u[1];                          /* servers do not mask */

        if (len == 126) {
            head = 4;
            len = (last - p < 4) ? 0 : u[2] << 8 | u[3];
        }

        if (u[1] > 126 || (u[0] & 0x0f) == 0x8) {
            return NULL;                     /* too long, or a closing frame */
        }

        if ((size_t) (last - p) < head + len) {
            break;
        }

        if ((u[0] & 0x0f) == 0x1) {
            frames++;

            if (senders) {
                message_notified(c - sockets, p + head);
            }

        } else if ((u[0] & 0x0f) == 0x9) {
            socket_pong(c, p + head, len);
        }

        p += head + len;
    }

    return p;
}


static void
socket_pong(conn_t *c, char *p, size_t len)
{
    size_t         i;
    unsigned char  pong[6 + 126] = { 0x8a, 0x80 | len, 0x37, 0xfa, 0x21, 0x3d };

    for (i = 0; i < len && i < 126; i++) {
        pong[6 + i] = p[i] ^ pong[2 + i % 4];
    }

    (void) send(c->fd, pong, 6 + i, MSG_DONTWAIT);
}


static void
http_post(conn_t *c, uint64_t due)
{
    c->due = due;
    c->from = sent++ % npeople;
    c->to = (c->from + 1 + rand() % (npeople - 1)) % npeople;

    people[c->to].coming++;

    conn_ask(c, "POST /api/v1/message/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
             "%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
             "{\"recipient\":\"%s\",\"body\":\"%s\"}",
             port, people[c->from].cookie,
             strlen(people[c->to].name) + strlen(text) + 26,
             people[c->to].name, text);
}


static void
http_fetch(void)
{
    conn_t  *c = TAILQ_FIRST(&idle[GET]);
    side_t  *side = STAILQ_FIRST(&waiting);

    if (side && c) {
        STAILQ_REMOVE_HEAD(&waiting, next);
        c->side = side;

        conn_ask(c, "GET /api/v1/message/%lu/ HTTP/1.1\r\n"
                 "Host: 127.0.0.1:%d\r\n%s\r\n",
                 side->message->id, port, people[side->who].cookie);
    }
}


static char *
http_input(conn_t *c, char *p, char *last)
{
    char    *body, *length, *closing;
    size_t   len;

    body = memmem(p, last - p, "\r\n\r\n", 4);
    if (body == NULL) {
        return p;
    }

    length = strcasestr(p, "\r\nContent-Length:");
    closing = strcasestr(p, "\r\nConnection: close");

    if (c->state != BUSY || strncmp(p, "HTTP/1.1 ", 9) != 0
        || length == NULL || length > body)
    {
        return NULL;
    }

    len = strtoul(length + sizeof("\r\nContent-Length:") - 1, NULL, 10);

    if (last - body < (ssize_t) len + 4) {
        return p;
    }

    conn_answer(c, atoi(p + 9), body + 4);

    if (closing && closing < body) {
        c->state = IDLE;
        TAILQ_INSERT_TAIL(&idle[c->kind], c, next);
        return NULL;
    }

    conn_idle(c);

    return body + 4 + len;
}


/* of the message whose id is the first number at p, whoever is new to it */

static side_t *
message_side(const char *p, uint32_t who)
{
    side_t      *side;
    uint64_t     id;
    message_t   *m, **bucket;

    /* ids follow each other: they need no hash function to spread */
    id = strtoull(p + strcspn(p, "0123456789"), NULL, 10);
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

    fault("message %lu is known to more than two people", id);
    errors++;

    return NULL;
}


static void
message_answered(conn_t *c, const char *body)
{
    side_t     *to;
    message_t  *m;

    to = message_side(body, c->to);

    if (message_side(body, c->from) == NULL || to == NULL
        || to->message->answered)
    {
        fault("a 201 without an id of its own: %s", body);
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


static void
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


/* returns 1 when none is left */

static int
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

        if (missing && !all && now < m->answered + GRACE) {
            return 0;
        }

        lost += missing;
        STAILQ_REMOVE_HEAD(&unsettled, next);
    }

    return 1;
}


static void
times_add(times_t *t, uint64_t from, uint64_t to)
{
    uint64_t  n = (to - from) / (MSEC / 100);

    n = n < CELLS ? n : CELLS - 1;
    t->n++;
    t->cells[n]++;
    t->max = n > t->max ? n : t->max;
}


static void
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


static uint64_t
clock_read(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SEC + ts.tv_nsec;
}
