
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _CHATLOAD_H_INCLUDED_
#define _CHATLOAD_H_INCLUDED_


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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define MSEC        1000000ULL               /* all times are nanoseconds */
#define SEC         (1000 * MSEC)
#define TICK        (20 * MSEC)              /* reopens connections */
#define SETTLE      SEC                      /* after the last 101 */
#define GRACE       (5 * SEC)
#define LATE        (2 * SEC)                /* of a notification */
#define GIVE_UP     (20 * SEC)               /* without a response */
#define HANDSHAKES  200                      /* at once */
#define BUCKETS     (1 << 18)                /* a power of two */
#define TALLY       (1ULL << 26)             /* messages, a power of two */
#define TALLY_MAX   128                      /* sockets */
#define CELLS       6000000                  /* one minute, 10 us each */
#define INPUT       (256 * 1024)
#define BODY_MAX    32768
#define WORD_MAX    1024                     /* a name, a token, a path */
#define NOBODY      UINT32_MAX

/* the example of RFC 6455, section 1.3 */

#define WS_KEY      "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT   "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* prints the first few; thousands would distort the measurement */

#define fault(...)  (void) (faults++ < 5 ? warnx(__VA_ARGS__) : (void) 0)


enum { POST = 0, GET, SOCKET };              /* kinds of connections */
enum { CLOSED = 0, IDLE, BUSY };             /* BUSY: awaits a response */


typedef struct message_s  message_t;

typedef struct {
    char                    *name;
    char                    *cookie;         /* header line or "" */
    uint32_t                 coming;         /* messages without 201 */
} person_t;

typedef struct side_s {                      /* sender or recipient */
    STAILQ_ENTRY(side_s)     next;           /* of waiting */
    message_t               *message;
    uint64_t                 first;          /* frame; 0: none */
    uint64_t                 fetched;
    uint32_t                 who;
} side_t;

struct message_s {
    message_t               *chain;          /* of its bucket */
    STAILQ_ENTRY(message_s)  next;           /* of unsettled */
    uint64_t                 id, due;
    uint64_t                 answered;       /* 0: no 201 yet */
    uint32_t                 to;
    side_t                   sides[2];
    uint64_t                 seen[];         /* two rows, bit per socket */
};

typedef struct conn_s {
    TAILQ_ENTRY(conn_s)      next;           /* of idle[] */
    char                    *rest;           /* incomplete input */
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
    uint32_t                 cells[CELLS];   /* sparse in memory */
} times_t;


/* chatload.c */

extern double                opt[128];       /* by letter */
extern const char           *uri;
extern int                   port;
extern uint32_t              npeople, nsockets, senders;

extern uint32_t              opened, closed, faults;
extern uint64_t              frames, others, sent, errors, lost, doubled;
extern uint64_t              messages, notified;  /* of the tally */
extern times_t               answer_ms, notify_ms, fetch_ms;

extern person_t             *people;
extern conn_t               *conns;          /* senders, fetchers, sockets */
extern conn_t               *sockets;
extern size_t                words;          /* per row of seen[] */

extern char                  text[BODY_MAX + 1];
extern uint64_t              now, ended;
extern uint64_t              progress;       /* time of the last response */


/* chatload_conn.c */

int conn_init(void);
int conn_open(conn_t *c);
void conn_read(conn_t *c);
void conn_broken(conn_t *c, const char *why);
void socket_open(conn_t *c);
void http_post(conn_t *c, uint64_t due);
void http_fetch(void);

extern int                   ep;
extern uint32_t              busy[3];        /* by kind */
extern TAILQ_HEAD(conns_s, conn_s)  idle[3];
extern STAILQ_HEAD(sides_s, side_s)  waiting;  /* for one of idle[GET] */


/* chatload_message.c */

void message_answered(conn_t *c, const char *body);
void message_notified(uint32_t n, const char *p);
int message_settle(int all);
int tally_init(void);
void tally_add(uint32_t n, const char *p);
void tally_sum(void);
void times_add(times_t *t, uint64_t from, uint64_t to);
void times_print(const char *name, times_t *t);
uint64_t clock_read(void);


#endif /* _CHATLOAD_H_INCLUDED_ */
