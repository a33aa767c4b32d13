
/*
 * Copyright (C) ngx_chat contributors
 */


/* The connections of senders, fetchers and WebSockets. */


#include "chatload.h"


static void conn_idle(conn_t *c);
static void conn_ask(conn_t *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void conn_answer(conn_t *c, int status, const char *body);

static char *socket_input(conn_t *c, char *p, char *last);
static int socket_announces(const char *p, size_t len);
static void socket_pong(conn_t *c, char *p, size_t len);
static char *http_input(conn_t *c, char *p, char *last);


int                  ep;
uint32_t             busy[3];
struct conns_s       idle[3];
struct sides_s       waiting;

static const char   *kinds[] = { "a send", "a fetch", "a socket" };
static char          input[INPUT + 1];


/* returns the epoll instance, or -1 */

int
conn_init(void)
{
    TAILQ_INIT(&idle[POST]);
    TAILQ_INIT(&idle[GET]);
    TAILQ_INIT(&idle[SOCKET]);
    STAILQ_INIT(&waiting);

    ep = epoll_create1(0);

    return ep;
}


int
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


void
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
        conn_broken(c, "invalid input");

        if (c->kind != SOCKET) {
            (void) conn_open(c);             /* or at the next tick */
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


/* status 0: no response; the body is the reason */

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


void
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


void
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


/* returns the start of incomplete input, or NULL to close the connection */

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
            fault("response to a handshake: %s", p);
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
            return NULL;                     /* too long, or a close frame */
        }

        if ((size_t) (last - p) < head + len) {
            break;
        }

        if ((u[0] & 0x0f) == 0x1) {
            frames++;

            if (!socket_announces(p + head, len)) {
                others++;

            } else if (senders) {
                message_notified(c - sockets, p + head);

            } else {
                tally_add(c - sockets, p + head);
            }

        } else if ((u[0] & 0x0f) == 0x9) {
            socket_pong(c, p + head, len);
        }

        p += head + len;
    }

    return p;
}


/* texts of /ws and events of /events: only messages are counted */

static int
socket_announces(const char *p, size_t len)
{
    static const char  typed[] = "{\"type\":";
    static const char  message[] = "{\"type\":\"message\"";

    return len < sizeof(typed) || memcmp(p, typed, sizeof(typed) - 1) != 0
           || memcmp(p, message, sizeof(message) - 1) == 0;
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


void
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


void
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
