# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# The benchmarks: "./dev bench" sources this before it runs bench/run.


# bench_prepare: compiles the load generators, starts a private database server
# with durable settings and enough memory for all data, and writes nginx.conf

bench_prepare() {
    choose_account

    BENCH_JSON=$CHAT_RUN/bench.json
    CHAT_RUN=$CHAT_RUN/bench
    mkdir -p "$CHAT_RUN/tmp"

    # shellcheck disable=SC2046
    {
        cc -O2 -o "$CHAT_RUN/chatload" "$TOP"/bench/chatload*.c
        cc -O2 -o "$CHAT_RUN/reload" "$TOP/bench/reload.c"
        cc -O2 -o "$CHAT_RUN/sqlload" "$TOP/bench/sqlload.c" \
           $(mariadb_config --cflags --libs) -lpthread
    } || die "the load generators do not compile"

    db_options="--innodb-buffer-pool-size=1G --innodb-log-file-size=512M
                --innodb-flush-log-at-trx-commit=1 --max-connections=400"
    db_start "$CHAT_RUN" chat_bench
    started_db=$CHAT_RUN
    write_conf

    export BENCH_JSON BENCH_SOCKET="$socket"
}
