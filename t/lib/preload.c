
/*
 * Copyright (C) ngx_chat contributors
 */


#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


/*
 * Loaded into an nginx without a debugger (LD_PRELOAD): a crashing process
 * writes its stack trace to $BACKTRACE/PID.  With $FILL, the memory of a
 * configuration is overwritten when nginx frees it, and is not reused, so that
 * later reads do not find the old data.  The file $CLOCK contains an int, in
 * seconds, that is added to the time of day.
 */

#define FRAMES     64

/* NGX_CYCLE_POOL_SIZE, and the overhead of malloc() */
#define POOL_SIZE  16384
#define POOL_MORE  32


/* the function of glibc, which free() below replaces */
extern void __libc_free(void *p);

static void died(int signo);
static void set_clock(const char *path);
static void begin(void) __attribute__((constructor));


static int            fill;
static char           folder[256];
static volatile int  *clock_offset;


void
free(void *p)
{
    size_t  size;

    if (fill && p) {
        size = malloc_usable_size(p);

        if (size >= POOL_SIZE && size <= POOL_SIZE + POOL_MORE) {
            memset(p, 0xa5, size);
            return;
        }
    }

    __libc_free(p);
}


int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec  ts;

    (void) tz;

    if (clock_gettime(CLOCK_REALTIME, &ts) == -1) {
        return -1;
    }

    tv->tv_sec = ts.tv_sec + (clock_offset ? *clock_offset : 0);
    tv->tv_usec = ts.tv_nsec / 1000;

    return 0;
}


static void
died(int signo)
{
    int    fd, n;
    char   path[300];
    void  *frames[FRAMES];

    snprintf(path, sizeof(path), "%s/%d", folder, (int) getpid());

    fd = open(path, O_WRONLY|O_CREAT|O_TRUNC, 0644);
    n = backtrace(frames, FRAMES);
    backtrace_symbols_fd(frames, n, fd);

    /* the signal has its default action again */

    raise(signo);
}


static void
set_clock(const char *path)
{
    int    fd;
    void  *p;

    fd = open(path, O_RDONLY);
    p = mmap(NULL, sizeof(int), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);

    if (p != MAP_FAILED) {
        clock_offset = p;
    }
}


static void
begin(void)
{
    void              *frame;
    size_t             i;
    struct sigaction   sa = { .sa_handler = died, .sa_flags = SA_RESETHAND };

    static const int   signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL };

    fill = getenv("FILL") != NULL;

    if (getenv("CLOCK")) {
        set_clock(getenv("CLOCK"));
    }

    if (getenv("BACKTRACE") == NULL) {
        return;
    }

    snprintf(folder, sizeof(folder), "%s", getenv("BACKTRACE"));

    /* the first call loads a library, which a signal handler must not do */

    (void) backtrace(&frame, 1);

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &sa, NULL);
    }
}
