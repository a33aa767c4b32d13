
/*
 * Copyright (C) ngx_chat contributors
 */


#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>


/*
 * Loaded before a nginx that nobody debugs (LD_PRELOAD): a process that dies of
 * a fault of its own leaves the calls that led there in $BACKTRACE/PID.
 */

#define FRAMES  64


static void died(int signo);
static void begin(void) __attribute__((constructor));


static char  folder[256];


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
