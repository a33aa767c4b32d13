# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# Private database servers.  All files of a server are in one directory.


# db_folder DIR: creates the server's directory and sets $socket, whose path is
# limited to 107 bytes

db_folder() {
    mkdir -p "$1/db"
    chown -R "$account" "$1/db"

    if [ ${#1} -lt 95 ]; then
        socket=$1/db/db.sock
        return
    fi

    if [ ! -d "$(cat "$1/socket_dir" 2>/dev/null)" ]; then
        mktemp -d /tmp/ngx_chat.XXXXXX >"$1/socket_dir"
    fi

    socket=$(cat "$1/socket_dir")/db.sock
    chown "$account" "${socket%/*}"
}


# sql: runs the statements of standard input as the owner of the server

sql() {
    "$CHAT_DB" --defaults-file="$db/chatctl.cnf" --database= --batch \
               --skip-column-names
}


# db_create DATA [OPTION ...]: creates a data directory.  MySQL does not
# authenticate root by the socket; its root has no password and is protected by
# the permissions of the directory.

MYSQL_OPTIONS="--no-defaults --secure-file-priv=NULL --mysqlx=OFF
               --skip-log-bin"

db_create() {
    data=$1
    shift

    if [ "$CHAT_DB" = mysql ]; then
        # shellcheck disable=SC2086
        mysqld $MYSQL_OPTIONS --initialize-insecure --user="$account" \
               --datadir="$data" "$@"
        return
    fi

    # TMPDIR: a starting server removes files that look like its own temporary
    # tables, and /tmp may contain those of other servers.  --force: the host
    # name need not resolve.
    TMPDIR=$db/db mariadb-install-db --no-defaults --force --datadir="$data" \
        --user="$account" --auth-root-authentication-method=socket \
        --auth-root-socket-user="$(id -un)" --skip-test-db "$@"
}


# db_make DIR [OPTION ...]: creates the data directory if it does not exist

db_make() {
    db=$1
    shift
    db_folder "$db"

    [ ! -d "$db/db/data" ] || return 0

    step "Creating a private database"
    rm -rf "$db/db/data.new"
    mkdir -m 700 "$db/db/data.new"
    chown "$account" "$db/db/data.new"
    db_create "$db/db/data.new" "$@" >"$db/db.log" 2>&1 </dev/null ||
        die_log "$db/db.log" "cannot create the data directory"
    mv "$db/db/data.new" "$db/db/data"
}


# db_start DIR DATABASE: starts a server and writes an option file for its
# owner, whom the server authenticates by the system account

db_start() {
    db=$1
    db_folder "$db"

    # newer clients require TLS, and newer servers enable it by default; all
    # versions run without it here
    case $CHAT_DB in
    mysql) owner=root       plain= ;;
    *)     owner=$(id -un)  plain=skip-ssl ;;
    esac

    (umask 077; cat >"$db/chatctl.cnf") <<END
[client]
user=$owner
socket=$socket
$plain

[mysql]
database=$2
END

    if pid_of "$db/db.pid" "$db" >/dev/null; then
        return
    fi

    db_make "$db"

    case $CHAT_DB in
    mysql) server="mysqld $MYSQL_OPTIONS --tls-version=" ;;
    *)     server="mariadbd --no-defaults --skip-ssl" ;;
    esac

    step "Starting $CHAT_DB"
    started_db=$db

    # shellcheck disable=SC2086
    setsid $server --user="$account" --datadir="$db/db/data" \
        --socket="$socket" --skip-networking --tmpdir="$db/db" \
        --character-set-server=utf8mb4 $db_options \
        >>"$db/db.log" 2>&1 </dev/null 9>&- &
    echo $! >"$db/db.pid"

    until echo "SELECT 1" | sql >/dev/null 2>&1; do
        pid_of "$db/db.pid" "$db" >/dev/null ||
            die_log "$db/db.log" "$CHAT_DB does not start"
        sleep 0.1
    done
}


db_stop() {
    end_process "$1/db.pid" "$1"

    if [ -s "$1/socket_dir" ]; then
        rm -rf "$(cat "$1/socket_dir")" "$1/socket_dir"
    fi
}


# db_account DIR DATABASE: creates the module's account with the privileges of
# sql/grants.sql; a file contains its password

db_account() {
    [ -s "$1/chat.password" ] ||
        (umask 077; random >"$1/chat.password")

    {
        echo "DROP USER IF EXISTS 'chat'@'localhost';
              CREATE USER 'chat'@'localhost'
              IDENTIFIED BY '$(cat "$1/chat.password")';"
        sed "s/ ON chat\./ ON $2./" "$TOP/sql/grants.sql"
    } | sql
}
