
/*
 * Copyright (C) ngx_chat contributors
 */


/*
 * reload: measures the time until all clients are back after a reload.
 *
 *     reload -p PORT -s FILE -n CLIENTS -k PID [-u URI] [-c HANDSHAKES]
 *            [-t SECONDS]
 *
 * FILE is that of chatload.  CLIENTS users of it open a WebSocket at URI and
 * request the current cursor.  Then the process sends SIGHUP to the nginx
 * master process PID.  A client whose socket is closed opens another one, and
 * then requests the messages after its cursor on a new connection.  At most
 * HANDSHAKES clients do so at a time, because a listening socket has a backlog
 * of 511 connections.
 *
 * One line of JSON has the times from the signal until all clients are
 * connected, and until all have caught up.  A refused connection, a closed one
 * or another status is an error; the client repeats its request.
 */


#define _GNU_SOURCE

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define MAX_RESPONSE  (64 * 1024)


typedef enum {
    CLOSED = 0,                              /* has to open its socket */
    HANDSHAKE,
    CATCH_UP,                                /* has to request messages */
    REQUEST,
    DONE
} state_t;


typedef struct client_s  client_t;

typedef struct {
    client_t  *client;
    int        fd;                           /* -1: none */
} end_t;

struct client_s {
    char       token[128];
    char       cursor[64];
    state_t    state;
    end_t      socket;
    end_t      http;
};


static void options(int argc, char **argv);
static void clients_read(const char *file);
static void turn(void);
static void client_next(client_t *c);
static void client_event(end_t *e);
static void client_failed(end_t *e, const char *why);
static void client_caught_up(client_t *c, const char *text);
static int end_open(end_t *e);
static void end_close(end_t *e);
static double clock_ms(void);


static int         port, nclients, master, ep;
static int         handshakes = 256, limit = 60;
static const char *uri = "/ws";
static client_t   *clients;
static int         pending, connected, done, errors;
static double      begun, connected_at, done_at;


int
main(int argc, char **argv)
{
    double         until;
    struct rlimit  rl;

    signal(SIGPIPE, SIG_IGN);
    options(argc, argv);

    rl.rlim_cur = rl.rlim_max = 2 * nclients + 64;
    ep = epoll_create1(0);

    if (setrlimit(RLIMIT_NOFILE, &rl) == -1 || ep == -1) {
        err(1, "%d clients", nclients);
    }

    until = clock_ms() + 1000 * limit;

    while (done < nclients && clock_ms() < until) {
        turn();
    }

    if (done < nclients || errors) {
        errx(1, "%d of %d clients are ready, %d errors", done, nclients,
             errors);
    }

    connected = done = 0;
    begun = clock_ms();
    until = begun + 1000 * limit;

    if (kill(master, SIGHUP) == -1) {
        err(1, "kill()");
    }

    while (done < nclients && clock_ms() < until) {
        turn();
    }

    printf("{\"clients\":%d,\"connected\":%d,\"caught_up\":%d,"
           "\"connected_ms\":%.0f,\"caught_up_ms\":%.0f,\"errors\":%d}\n",
           nclients, connected, done, connected_at - begun, done_at - begun,
           errors);

    return 0;
}


static void
options(int argc, char **argv)
{
    int    c;
    char  *file = NULL;

    while ((c = getopt(argc, argv, "p:s:n:k:u:c:t:")) != -1) {
        switch (c) {
        case 'p': port = atoi(optarg); break;
        case 's': file = optarg; break;
        case 'n': nclients = atoi(optarg); break;
        case 'k': master = atoi(optarg); break;
        case 'u': uri = optarg; break;
        case 'c': handshakes = atoi(optarg); break;
        case 't': limit = atoi(optarg); break;
        default: exit(1);
        }
    }

    if (port <= 0 || file == NULL || nclients <= 0 || master <= 1
        || handshakes <= 0 || limit <= 0)
    {
        errx(1, "-p PORT, -s FILE, -n CLIENTS and -k PID are required");
    }

    clients_read(file);
}


static void
clients_read(const char *file)
{
    int        n;
    FILE      *in = fopen(file, "r");
    client_t  *c;

    clients = calloc(nclients, sizeof(client_t));

    if (in == NULL || clients == NULL) {
        err(1, "%s", file);
    }

    for (n = 0; n < nclients; n++) {
        c = &clients[n];

        if (fscanf(in, "%*s %*s %127s", c->token) != 1) {
            errx(1, "%s: only %d users", file, n);
        }

        strcpy(c->cursor, "latest");
        c->socket = (end_t) { c, -1 };
        c->http = (end_t) { c, -1 };
    }

    fclose(in);
}


static void
turn(void)
{
    int                 i, n;
    static int          next;
    struct epoll_event  events[512];

    for (i = 0; i < nclients && pending < handshakes; i++) {
        client_next(&clients[next++ % nclients]);
    }

    n = epoll_wait(ep, events, 512, 1);

    for (i = 0; i < n; i++) {
        client_event(events[i].data.ptr);
    }
}


/* opens the socket of a client that has none, or requests its messages */

static void
client_next(client_t *c)
{
    int     len;
    char    request[1024];
    end_t  *e;

    if (c->state != CLOSED && c->state != CATCH_UP) {
        return;
    }

    e = (c->state == CLOSED) ? &c->socket : &c->http;
    pending++;

    if (end_open(e) == -1) {
        client_failed(e, strerror(errno));
        return;
    }

    if (c->state == CLOSED) {
        c->state = HANDSHAKE;
        len = snprintf(request, sizeof(request),
            "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Origin: http://127.0.0.1:%d\r\nCookie: sessionid=%s\r\n\r\n",
            uri, port, port, c->token);

    } else {
        c->state = REQUEST;
        len = snprintf(request, sizeof(request),
            "GET /api/v1/message/?after=%s HTTP/1.1\r\n"
            "Host: 127.0.0.1:%d\r\nConnection: close\r\n"
            "Cookie: sessionid=%s\r\n\r\n",
            c->cursor, port, c->token);
    }

    if (send(e->fd, request, len, 0) != len) {
        client_failed(e, strerror(errno));
    }
}


static void
client_event(end_t *e)
{
    char       text[MAX_RESPONSE];
    ssize_t    n, all;
    client_t  *c = e->client;

    if (e->fd == -1) {
        return;
    }

    for (all = 0; all < MAX_RESPONSE - 1; all += n) {
        n = recv(e->fd, text + all, MAX_RESPONSE - 1 - all, MSG_DONTWAIT);

        if (n <= 0) {
            break;
        }
    }

    text[all] = '\0';

    if (e == &c->socket && c->state == HANDSHAKE && all > 0) {

        if (strncmp(text, "HTTP/1.1 101", 12) != 0) {
            client_failed(e, text);
            return;
        }

        c->state = CATCH_UP;
        pending--;

        if (++connected == nclients) {
            connected_at = clock_ms();
        }

        return;
    }

    if (e == &c->http && all > 0) {

        /* a response of a few bytes arrives at once */

        if (strncmp(text, "HTTP/1.1 200", 12) != 0) {
            client_failed(e, text);
            return;
        }

        client_caught_up(c, text);
        return;
    }

    if (n == 0 || (n == -1 && errno != EAGAIN)) {

        if (e == &c->http || c->state == HANDSHAKE) {
            client_failed(e, "closed by the server");
            return;
        }

        if (c->state == REQUEST) {
            /* the other connection is closed, too */
            end_close(&c->http);
            pending--;
        }

        if (c->state != DONE) {
            errors++;
        }

        end_close(e);
        c->state = CLOSED;
    }
}


static void
client_failed(end_t *e, const char *why)
{
    client_t  *c = e->client;

    if (errors++ < 5) {
        warnx("%s: %.200s", e == &c->socket ? "socket" : "request", why);
    }

    end_close(e);
    c->state = (e == &c->socket) ? CLOSED : CATCH_UP;
    pending--;
}


static void
client_caught_up(client_t *c, const char *text)
{
    char  *p;

    end_close(&c->http);
    pending--;

    p = strstr(text, "\"cursor\":\"");

    if (p == NULL || sscanf(p + 10, "%63[0-9.]", c->cursor) != 1) {
        errx(1, "no cursor: %s", text);
    }

    c->state = CATCH_UP;

    if (strstr(text, "\"has_more\":false")) {
        c->state = DONE;

        if (++done == nclients) {
            done_at = clock_ms();
        }
    }
}


static int
end_open(end_t *e)
{
    struct sockaddr_in  sin = { .sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct epoll_event  ee = { .events = EPOLLIN, .data.ptr = e };

    e->fd = socket(AF_INET, SOCK_STREAM, 0);

    if (e->fd == -1
        || connect(e->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
    {
        return -1;
    }

    return epoll_ctl(ep, EPOLL_CTL_ADD, e->fd, &ee);
}


static void
end_close(end_t *e)
{
    if (e->fd != -1) {
        close(e->fd);
        e->fd = -1;
    }
}


static double
clock_ms(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}
