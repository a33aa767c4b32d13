
/*
 * Copyright (C) ngx_chat contributors
 */


/*
 * chatload: a load generator that acts as many users at a time.
 *
 *     chatload -p PORT -s FILE [-u URI] [-n SOCKETS] [-c SENDERS] [-r RATE]
 *              [-m COUNT] [-d SECONDS] [-w SECONDS] [-b BYTES] [-f] [-R]
 *
 * It opens SOCKETS WebSockets at URI for the users of FILE ("ID NAME TOKEN";
 * TOKEN "-": no cookie) and prints "ready" (-R). Without SENDERS it holds them
 * for -w seconds or until a signal. With SENDERS it sends messages of BYTES,
 * COUNT of them or for -d seconds, and prints one line of JSON: the times to
 * the 201 (answer_ms), to the first notification on a socket of the recipient
 * (notify_ms), and to the message that the recipient requests on this
 * notification (fetch_ms, -f), and the numbers of lost and doubled
 * notifications.
 *
 * With a RATE the loop is open: message k is due k / RATE seconds after the
 * start, and its times count from then, so a stalled server is charged for all
 * waiting messages. Without a RATE each connection sends its next message
 * after the last response, for the highest throughput. The users send in turn,
 * over connections used in turn; the cookie identifies the sender.
 *
 * A notification may arrive before the 201, with an id that chatload does not
 * know yet, so either of them creates the record of a message. The sender and
 * recipient are known with the 201 only: until then each user with an
 * unanswered message fetches it, and the measurement excludes fetches of
 * senders.
 *
 * An acknowledged message is lost for a socket of its sender or recipient if
 * there is no frame LATE after the 201, or at the end, and the socket is
 * still open. Sockets that the server closed remain closed. HTTP connections
 * are opened again; a request that failed with its connection is an error.
 *
 * Without SENDERS, and with at most TALLY_MAX sockets, chatload only marks the
 * sockets that have received each message, and reports the number of messages
 * and of different notifications ("notified"). The caller compares them with
 * the messages in the database. chatload pauses between two reads then, so that
 * one read returns many frames, since it shares the machine with the server.
 *
 * One thread, one buffer for all input. Connecting and writing block, since
 * requests are smaller than the buffers of a local socket.
 */


#include "chatload.h"


static void options(int argc, char **argv);
static void people_read(const char *file);
static void start(void);
static void on_signal(int signo);

static void load_open(void);
static void load_send(void);
static void load_report(void);
static void load_turn(uint64_t wait);


double                        opt[128];
const char                   *uri = "/ws";
int                           port;
uint32_t                      npeople, nsockets, senders;

uint32_t                      opened, closed, faults;
uint64_t                      frames, others, sent, errors, lost, doubled;
uint64_t                      messages, notified;
times_t                       answer_ms, notify_ms, fetch_ms;

person_t                     *people;
conn_t                       *conns;
conn_t                       *sockets;
size_t                        words;

char                          text[BODY_MAX + 1];
uint64_t                      now, ended;
uint64_t                      progress;

static uint64_t               tick, begun;
static volatile sig_atomic_t  signals;


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
        tally_sum();
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
                errx(1, "-%c requires a number", c);
            }
        }
    }

    if (optind < argc || opt['p'] < 1 || opt['p'] > 65535 || file == NULL
        || opt['b'] < 1 || opt['b'] > BODY_MAX || strlen(uri) > WORD_MAX)
    {
        errx(1, "-p PORT and -s FILE are required, -b is at most %d", BODY_MAX);
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
        errx(1, "%s: too few users", file);
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

    /* two fetchers for each sender, so that they are not the bottleneck */
    n = senders + (opt['f'] && senders ? 2 * senders + 16 : 0);

    words = nsockets / npeople / 64 + 1;
    conns = calloc(n + nsockets + 1, sizeof(conn_t));
    sockets = conns + n;
    rl.rlim_cur = rl.rlim_max = n + nsockets + 16;

    if (setrlimit(RLIMIT_NOFILE, &rl) == -1 || conn_init() == -1
        || conns == NULL || tally_init() == -1)
    {
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
            errx(1, "%u handshakes without a response", busy[SOCKET]);
        }
    }

    if (nsockets && opened == 0 && !signals) {
        errx(1, "cannot open a WebSocket");
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

    /* the notifications of the last messages may arrive later */
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
            conn_broken(c, "no response");
        }
    }
}


static void
load_report(void)
{
    double  s = (double) (ended - begun) / SEC;

    printf("{\"sockets\":%u,\"opened\":%u,\"closed_by_server\":%u,"
           "\"frames\":%lu,\"others\":%lu,\"messages\":%lu,"
           "\"notified\":%lu,\"sent\":%lu,\"errors\":%lu,"
           "\"lost\":%lu,\"doubled\":%lu,\"seconds\":%.3f,\"rate\":%.1f",
           nsockets, opened, closed, frames, others, messages, notified, sent,
           errors, lost, doubled, s, s > 0 ? answer_ms.n / s : 0);

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

    /* the milliseconds of epoll_wait() are too coarse for a rate */
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
