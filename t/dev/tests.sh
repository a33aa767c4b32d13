# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# The tests: slots with a database server each, and the site for t/browser/.


# run_tests [--quick | FILE ...]: runs all tests or some

run_tests() {
    cd "$TOP"

    if [ "${1-}" = --quick ]; then
        # shellcheck disable=SC2046
        set -- $(quick_tests)
    fi

    # the last file examines the responses that all others received
    if [ $# -eq 0 ]; then
        set -- t/*.t t/browser/*.test.mjs t/last/openapi_seen.t
        export CHAT_TEST_SEEN="$CHAT_RUN/test/seen"
    fi

    browser=
    fuzz=
    case "$*" in *.mjs*) browser=yes ;; esac
    case "$*" in *fuzz.t*) fuzz=yes ;; esac
    case "$CHAT_DB $*" in mariadb*galera.t*) install_galera ;; esac

    install_test_packages
    # shellcheck disable=SC2086
    install_packages ${browser:+$BROWSER_PACKAGES} ${fuzz:+$FUZZ_PACKAGES}
    case "$*" in *http3.t*) install_http3 ;; esac
    [ ! $browser ] || npm_packages "$TOP/t/browser"

    build_module
    test_slots "$(count_jobs "$CHAT_JOBS" .t "$@")"
    [ ! $browser ] || test_sites "$(count_jobs $((CHAT_JOBS / 2)) .mjs "$@")"

    run t/run "$@"
}


# quick_tests: prints the files that take a few seconds each

quick_tests() {
    for name in unit auth authorization conversations csrf django_compat \
                idempotency login 'messages_*' openapi password session \
                static users
    do
        # shellcheck disable=SC2086
        echo t/$name.t
    done
}


# count_jobs MAX SUFFIX FILE ...: prints how many files with this suffix run at a
# time

count_jobs() {
    max=$1
    suffix=$2
    shift 2

    n=0
    for file; do
        case $file in
        *"$suffix") n=$((n + 1)) ;;
        esac
    done

    [ "$n" -le "$max" ] || n=$max
    [ "$n" -gt 0 ] || n=1
    echo "$n"
}


test_modules() {
    modules=/usr/lib/nginx/modules/ngx_nchan_module.so
    modules="$modules ${CHAT_MODULE:-$CHAT_BUILD/nginx/objs/ngx_chat_module.so}"

    export TEST_NGINX_LOAD_MODULES="$modules"
}


# test_slots N: creates directories for N test files that run at a time.  Each
# slot has a database server, since tests kill its connections and change its
# settings.  Its data directory is a copy, and it does not wait for the disk.
# The module uses the account "chat"; the account in CHAT_TEST_CNF owns the
# server.

test_slots() {
    choose_account

    rm -rf "$CHAT_RUN/test/seen"
    mkdir -p "$CHAT_RUN/test"
    end_slots

    case $CHAT_DB in
    mysql) log_size=--innodb-redo-log-capacity=16M ;;
    *)     log_size=--innodb-log-file-size=16M ;;
    esac

    db_make "$CHAT_RUN/test/empty" $log_size
    step "Starting $1 database servers for the tests"
    started_slots=yes
    slots=

    for n in $(seq "$1"); do
        make_slot "$CHAT_RUN/test/$n" 2>"$CHAT_RUN/test/$n.log" &
        slots="$slots $n:$!"
    done

    for slot in $slots; do
        wait "${slot#*:}" ||
            die_log "$CHAT_RUN/test/${slot%:*}.log" \
                    "cannot start a database server for the tests"
    done

    # the first slot, for programs other than t/run
    db_folder "$CHAT_RUN/test/1"
    test_modules
    TEST_NGINX_PORT=$(free_port)
    export TEST_NGINX_PORT
    export TEST_NGINX_SERVROOT="$CHAT_RUN/test/1/servroot"
    export TEST_NGINX_CHAT_SOCKET="$socket"
    export TEST_NGINX_CHAT_PASSWORD_FILE="$CHAT_RUN/test/1/chat.password"
    export TEST_NGINX_CHAT_DB=chat_test
    export CHAT_TEST_CNF="$CHAT_RUN/test/1/chatctl.cnf"
    export CHAT_TEST_ACCOUNT="$account"
    export CHAT_TEST_SLOTS="$1"
}


make_slot() {
    rm -rf "$1"
    db_folder "$1"
    cp -a "$CHAT_RUN/test/empty/db/data" "$1/db/data"

    db_options="$db_options $log_size --innodb-flush-log-at-trx-commit=0
                --innodb-flush-method=nosync --innodb-doublewrite=OFF"
    db_start "$1" chat_test

    # GRANT requires the tables
    {
        echo "CREATE DATABASE chat_test; USE chat_test;"
        cat "$TOP/sql/schema.sql"
    } | sql
    db_account "$1" chat_test
}


# end_slots: kills the servers, whose data is not needed any more

end_slots() {
    for folder in "$CHAT_RUN"/test/[0-9]*/; do
        folder=${folder%/}
        pid=$(pid_of "$folder/db.pid" "$folder") && kill -9 "$pid"
        [ ! -s "$folder/socket_dir" ] || rm -rf "$(cat "$folder/socket_dir")"
    done
}


# test_sites N: starts complete sites for t/browser/, which also stops and starts
# them

test_sites() {
    CHAT_TEST_SITES=

    for n in $(seq "$1"); do
        site=$CHAT_RUN/test/site$n
        site_port=$(free_port)

        if [ -d "$site" ]; then
            CHAT_RUN=$site "$TOP/dev" stop
            rm -rf "$site"
        fi

        CHAT_RUN=$site CHAT_PORT=$site_port "$TOP/dev" start >/dev/null
        sites="$sites $site"
        CHAT_TEST_SITES="$CHAT_TEST_SITES $site:$site_port"
    done

    export CHAT_TEST_SITES
    export CHAT_DEV="$TOP/dev"
}
