
/*
 * Copyright (C) ngx_chat contributors
 */


/*
 * The yardstick of the benchmarks: a C client that repeats one SQL text on
 * several connections, with a thread each, and measures rate and duration.  It
 * calls the client library directly.
 *
 *     sqlload -S SOCKET -u USER -D DATABASE [-p PASSWORDFILE]
 *             [-c CONNECTIONS] [-d SECONDS] SQL
 *
 * "{1-50}" in SQL is replaced with a different number from 1 to 50 each time.
 * SQL may contain several statements, separated by ";".
 *
 * Prints {"rate":...,"p50_ms":...,"p99_ms":...,"count":...}; the first second
 * is the warm-up and is not counted.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mysql.h>


#define WARM_UP   1                       /* second */
#define MAX_SQL   65536
#define SAMPLES   (1 << 22)               /* of a thread */


typedef struct {
    pthread_t       id;
    unsigned short  seed[3];
    MYSQL          *mysql;
    float          *ms;
    size_t          count;
} client_t;


static void read_password(const char *path);
static void *run(void *data);
static size_t fill(client_t *client, char *p);
static void query(client_t *client, const char *text, size_t len);
static MYSQL *dial(void);
static void report(client_t *clients, int n);
static int compare(const void *one, const void *two);
static double now(void);
static void fail(const char *what, const char *why);


static const char  *socket_path, *user, *database, *sql;
static char         password[256];
static double       began, seconds = 4;


int
main(int argc, char **argv)
{
    int        i, n, opt;
    client_t  *clients;

    n = 32;

    while ((opt = getopt(argc, argv, "S:u:D:p:c:d:")) != -1) {
        switch (opt) {

        case 'S':
            socket_path = optarg;
            break;

        case 'u':
            user = optarg;
            break;

        case 'D':
            database = optarg;
            break;

        case 'p':
            read_password(optarg);
            break;

        case 'c':
            n = atoi(optarg);
            break;

        case 'd':
            seconds = atof(optarg);
            break;

        default:
            return 2;
        }
    }

    if (optind != argc - 1 || n < 1 || seconds <= 0) {
        fail("usage", "sqlload -S SOCKET -u USER -D DATABASE [options] SQL");
    }

    sql = argv[optind];

    clients = calloc(n, sizeof(client_t));
    if (clients == NULL || mysql_library_init(0, NULL, NULL) != 0) {
        fail("start", "no memory");
    }

    for (i = 0; i < n; i++) {
        /* other numbers in each run: some columns are unique */
        clients[i].seed[0] = (unsigned short) i;
        clients[i].seed[1] = (unsigned short) getpid();
        clients[i].seed[2] = (unsigned short) time(NULL);
        clients[i].mysql = dial();

        /* touched as it fills: pages cost nothing before */
        clients[i].ms = malloc(SAMPLES * sizeof(float));
        if (clients[i].ms == NULL) {
            fail("start", "no memory");
        }
    }

    began = now() + WARM_UP;

    for (i = 0; i < n; i++) {
        if (pthread_create(&clients[i].id, NULL, run, &clients[i]) != 0) {
            fail("start", "no thread");
        }
    }

    for (i = 0; i < n; i++) {
        pthread_join(clients[i].id, NULL);
        mysql_close(clients[i].mysql);
    }

    report(clients, n);

    return 0;
}


static void
read_password(const char *path)
{
    FILE  *file;

    file = fopen(path, "r");
    if (file == NULL || fgets(password, sizeof(password), file) == NULL) {
        fail(path, strerror(errno));
    }

    password[strcspn(password, "\n")] = '\0';
    fclose(file);
}


static void *
run(void *data)
{
    client_t *client = data;

    char    text[MAX_SQL];
    size_t  len;
    double  start, end;

    mysql_thread_init();

    for ( ;; ) {
        len = fill(client, text);

        start = now();
        query(client, text, len);
        end = now();

        if (end >= began + seconds) {
            break;
        }

        if (start >= began && client->count < SAMPLES) {
            client->ms[client->count++] = (float) (1000 * (end - start));
        }
    }

    mysql_thread_end();

    return NULL;
}


/* the text with its numbers */

static size_t
fill(client_t *client, char *text)
{
    int                  used;
    char                *p;
    const char          *from;
    unsigned long long   low, high;

    p = text;

    for (from = sql; *from != '\0'; from++) {

        if (p - text > MAX_SQL - 32) {
            fail("SQL", "too long");
        }

        if (*from == '{'
            && sscanf(from, "{%llu-%llu}%n", &low, &high, &used) == 2)
        {
            p += sprintf(p, "%llu",
                         low + (unsigned long long) (erand48(client->seed)
                                                     * (high - low + 1)));
            from += used - 1;
            continue;
        }

        *p++ = *from;
    }

    return p - text;
}


static void
query(client_t *client, const char *text, size_t len)
{
    int         next;
    MYSQL      *mysql;
    MYSQL_RES  *result;

    mysql = client->mysql;

    if (mysql_real_query(mysql, text, len) != 0) {
        fail(text, mysql_error(mysql));
    }

    do {
        result = mysql_store_result(mysql);

        if (result != NULL) {
            mysql_free_result(result);

        } else if (mysql_field_count(mysql) != 0) {
            fail(text, mysql_error(mysql));
        }

        next = mysql_next_result(mysql);

    } while (next == 0);

    if (next > 0) {
        fail(text, mysql_error(mysql));
    }
}


/* the session is set up as the module's are */

static MYSQL *
dial(void)
{
    MYSQL  *mysql;

    mysql = mysql_init(NULL);

    if (mysql == NULL
        || mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4") != 0
        || mysql_options(mysql, MYSQL_INIT_COMMAND,
                         "SET SESSION TRANSACTION ISOLATION LEVEL"
                         " READ COMMITTED")
           != 0)
    {
        fail("connect", "no memory");
    }

    if (mysql_real_connect(mysql, NULL, user, password, database, 0,
                           socket_path, CLIENT_MULTI_STATEMENTS)
        == NULL)
    {
        fail("connect", mysql_error(mysql));
    }

    return mysql;
}


static void
report(client_t *clients, int n)
{
    int      i;
    float   *ms;
    size_t   total;

    total = 0;

    for (i = 0; i < n; i++) {
        total += clients[i].count;
    }

    ms = malloc((total + 1) * sizeof(float));
    if (ms == NULL || total == 0) {
        fail("report", "nothing measured");
    }

    total = 0;

    for (i = 0; i < n; i++) {
        memcpy(ms + total, clients[i].ms, clients[i].count * sizeof(float));
        total += clients[i].count;
    }

    qsort(ms, total, sizeof(float), compare);

    printf("{\"rate\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"count\":%zu}\n",
           (double) total / seconds, ms[total / 2], ms[total * 99 / 100],
           total);
}


static int
compare(const void *one, const void *two)
{
    float  a, b;

    a = *(const float *) one;
    b = *(const float *) two;

    return (a > b) - (a < b);
}


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static void
fail(const char *what, const char *why)
{
    fprintf(stderr, "sqlload: %s: %s\n", what, why);
    exit(1);
}
