# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# The environment, the lock and the clean-up of "./dev", and the build of the
# module.  "./dev" sets TOP to the checkout.


# --- environment ------------------------------------------------------------

# prepare: checks and exports the environment, takes the lock of $CHAT_RUN and
# sets the traps

prepare() {
    CHAT_RUN=${CHAT_RUN:-$TOP/run}
    CHAT_PORT=${CHAT_PORT:-8080}
    CHAT_WORKERS=${CHAT_WORKERS:-2}
    CHAT_JOBS=${CHAT_JOBS:-3}

    { mkdir -p "$CHAT_RUN" 2>/dev/null && [ -w "$CHAT_RUN" ]; } ||
        die "cannot write to $CHAT_RUN; set CHAT_RUN to another directory"
    CHAT_RUN=$(cd "$CHAT_RUN" && pwd -P)
    CHAT_BUILD=${CHAT_BUILD:-$CHAT_RUN/build}
    export TOP CHAT_RUN CHAT_PORT CHAT_WORKERS CHAT_BUILD CHAT_DB CHAT_LIBRARY

    case "$TOP$CHAT_RUN" in
    *[[:space:]\"\'\\\$\;\{\}\#\`]*)
        die "the paths $TOP and $CHAT_RUN must not contain spaces, quotes" \
            "or any of \\\$;{}#\`, which nginx's build does not support"
    esac

    case $CHAT_PORT$CHAT_WORKERS$CHAT_JOBS in
    *[!0-9]*) die "CHAT_PORT, CHAT_WORKERS and CHAT_JOBS must be numbers"
    esac
    if [ "$CHAT_PORT" -lt 1 ] || [ "$CHAT_PORT" -gt 65535 ]; then
        die "CHAT_PORT must be between 1 and 65535"
    fi
    [ "$CHAT_WORKERS" -ge 1 ] || die "CHAT_WORKERS must be at least 1"
    [ "$CHAT_JOBS" -ge 1 ] || die "CHAT_JOBS must be at least 1"

    # PATH of an ordinary user lacks the directories of nginx and mariadbd
    PATH=$PATH:/usr/sbin:/sbin

    db_options="--innodb-buffer-pool-size=64M"
    started_db=
    started_slots=
    started_nginx=
    sites=

    exec 9>"$CHAT_RUN/lock"
    flock -n 9 || die "another ./dev uses $CHAT_RUN"
    trap undo EXIT
    trap 'exit 130' HUP INT TERM
}


# undo: stops the processes that a failed or interrupted command started

undo() {
    # without messages, since the last line is the count of the tests
    for site in $sites; do
        CHAT_RUN=$site "$TOP/dev" stop 2>/dev/null
    done
    [ ! "$started_nginx" ] || end_process "$CHAT_RUN/nginx.pid" "$CHAT_RUN"
    [ ! "$started_db" ] || db_stop "$started_db"
    [ ! "$started_slots" ] || end_slots
}


# choose_account: sets $account to the account of the servers.  Servers started
# by root drop privileges, unless only root can read the checkout.

choose_account() {
    account=$(id -un)
    [ "$(id -u)" -eq 0 ] || return 0

    if setpriv --reuid=www-data --regid=www-data --init-groups \
               test -r "$TOP/html/index.html" -a -x "$CHAT_RUN" 2>/dev/null
    then
        account=www-data
    else
        echo "Note: only root can read $TOP or $CHAT_RUN," \
             "so the servers run as root." >&2
    fi
}


require_root() {
    [ "$(id -u)" -eq 0 ] || die "this command requires root, for chroot"
}


# run COMMAND [ARGUMENT ...]: runs a command in the checkout and exits with its
# status.  Processes that it leaves behind do not hold the lock.

run() {
    cd "$TOP"
    status=0
    "$@" 9>&- || status=$?
    exit $status
}


# --- processes --------------------------------------------------------------

# pid_of FILE DIR: prints the id in FILE if that process is alive and has DIR in
# its command line; otherwise another process may have reused the id

pid_of() {
    pid=$(cat "$1" 2>/dev/null) && [ "$pid" ] &&
        grep -aqF -- "$2/" "/proc/$pid/cmdline" 2>/dev/null &&
        echo "$pid"
}


# end_process FILE DIR: terminates the process and waits for its end

end_process() {
    pid=$(pid_of "$1" "$2") || return 0
    kill "$pid"
    tries=600

    while pid_of "$1" "$2" >/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "process $pid does not terminate"
        sleep 0.1
    done
}


# free_port: prints an unused port.  It lies below the kernel's range for
# outgoing connections, since a restarted server needs it again, and outside
# the range of t/run.

free_port() {
    perl -MIO::Socket::INET -e '
        do {
            $port = 30000 + int rand 2000;
        } until IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
                                      Listen => 1, ReuseAddr => 1);
        print $port;
    '
}


random() {
    head -c 12 /dev/urandom | base64 | tr '+/' 'xz'
}


# --- the module -------------------------------------------------------------

# build_module: configures and makes the module if its sources changed.  The
# package nginx-dev contains nginx's headers and configure script; configure
# writes to its own directory, so this works on a copy.

build_module() {
    # shellcheck disable=SC2086
    install_packages $BUILD_PACKAGES

    mkdir -p "$CHAT_BUILD"

    stamp=$(dpkg-query -W -f '${Version}' nginx-dev
            ls "$TOP"/ngx_chat_*.[ch] "$TOP"/src/*/*.[ch]
            cat "$TOP/config"
            echo "$CHAT_LIBRARY")

    if [ "$stamp" != "$(cat "$CHAT_BUILD/stamp" 2>/dev/null)" ]; then
        step "Configuring for nginx $(dpkg-query -W -f '${Version}' nginx-dev)"

        rm -rf "$CHAT_BUILD/nginx" "$CHAT_BUILD/stamp"
        cp -r /usr/share/nginx/src "$CHAT_BUILD/nginx"

        # shellcheck disable=SC2016
        (cd "$CHAT_BUILD/nginx" && bash -c '. ./conf_flags
            ./configure "${NGX_CONF_FLAGS[@]}" --add-dynamic-module="$1"
        ' configure "$TOP") >"$CHAT_BUILD/configure.log" 2>&1 ||
            die_log "$CHAT_BUILD/configure.log" "configure failed"

        echo "$stamp" >"$CHAT_BUILD/stamp"
    fi

    if ! make -q -C "$CHAT_BUILD/nginx" -f objs/Makefile modules \
              >/dev/null 2>&1
    then
        step "Building the module"
        make -C "$CHAT_BUILD/nginx" -f objs/Makefile modules \
             -j"$(nproc)" >"$CHAT_BUILD/make.log" 2>&1 ||
            die_log "$CHAT_BUILD/make.log" "the module does not compile"
    fi
}
