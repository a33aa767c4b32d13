
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
#include <unistd.h>


/*
 * Loaded before a nginx that nobody debugs (LD_PRELOAD): a process that dies of
 * a fault of its own leaves the calls that led there in $BACKTRACE/PID.  With
 * $FILL what a configuration had is filled when nginx frees it, and not used
 * again, so that nobody who goes on reading it finds what was there.
 */

#define FRAMES     64

/* NGX_CYCLE_POOL_SIZE, and what malloc adds */
#define POOL_SIZE  16384
#define POOL_MORE  32


/* glibc's, which ours is found before */
extern void __libc_free(void *p);

static void died(int signo);
static void begin(void) __attribute__((constructor));


static int   fill;
static char  folder[256];


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

    /* its action is the default one by now */

    raise(signo);
}


static void
begin(void)
{
    void              *frame;
    size_t             i;
    struct sigaction   sa = { .sa_handler = died, .sa_flags = SA_RESETHAND };

    static const int   signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL };

    fill = getenv("FILL") != NULL;

    if (getenv("BACKTRACE") == NULL) {
        return;
    }

    snprintf(folder, sizeof(folder), "%s", getenv("BACKTRACE"));

    /* the first call loads a library, which is nothing for a handler */

    (void) backtrace(&frame, 1);

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &sa, NULL);
    }
}
