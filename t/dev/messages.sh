# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# Messages of "./dev" and of the scripts that it runs, which set $messages_from.


# step TEXT: prints progress on standard error

step() {
    echo "$*..." >&2
}


# die MESSAGE: prints an error and exits

die() {
    printf '%s: %s\n' "${messages_from:-dev}" "$*" >&2
    exit 1
}


# die_log FILE MESSAGE: prints the last lines of a log and an error, and exits

die_log() {
    tail -n "${log_lines:-15}" "$1" >&2 || :
    die "$2; see $1"
}
