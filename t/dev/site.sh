# shellcheck shell=sh
#
# Copyright (C) ngx_chat contributors
#
# A private site: a database server with three users, and nginx with the
# configuration of nginx.conf.example.


# populate: creates the schema and three users, once.  $CHAT_RUN/passwords is
# renamed into place at the end, so the next run repeats an interrupted one.

populate() {
    if [ ! -s "$CHAT_RUN/passwords" ]; then
        step "Creating the schema and the users alice, bob and carol"
        echo "DROP DATABASE IF EXISTS chat; CREATE DATABASE chat;" | sql
        "$TOP/chatctl" db init >&2

        rm -f "$CHAT_RUN/passwords.new"
        for name in alice bob carol; do
            password=$(random)
            echo "$password" | "$TOP/chatctl" user add $name >&2
            (umask 077
             echo "$name $password" >>"$CHAT_RUN/passwords.new")
        done
    fi

    "$TOP/chatctl" db migrate >&2
    db_account "$CHAT_RUN" chat

    [ -s "$CHAT_RUN/passwords" ] ||
        mv "$CHAT_RUN/passwords.new" "$CHAT_RUN/passwords"
}


# write_conf: writes nginx.conf, which is nginx.conf.example, or the file
# $EXAMPLE, with the paths and the port of this site.  A line that is missing
# there is an error.

write_conf() {
    account=$account socket=$socket perl -0777 -pe '
        sub put {
            my ($line, $new) = @_;
            s/^(\s*)$line/$1$new/m
                or die "dev: $ARGV has no line \"$line\"\n";
        }

        my %e = %ENV;

        put("load_module modules/ngx_nchan_module.so;",
            ($> == 0 ? "user $e{account};\n" : "")
            . "pid $e{CHAT_RUN}/nginx.pid;\n"
            . "error_log $e{CHAT_RUN}/error.log info;\n\n"
            . "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;");
        put("load_module modules/ngx_chat_module.so;",
            "load_module $e{CHAT_BUILD}/nginx/objs/ngx_chat_module.so;");
        put("worker_processes  auto;", "worker_processes  $e{CHAT_WORKERS};");
        put("include       mime.types;",
            "include       /etc/nginx/mime.types;\n"
            . "    access_log    $e{CHAT_RUN}/access.log;\n"
            . join "\n", map { "    ${_}_temp_path $e{CHAT_RUN}/tmp/$_;" }
                             qw(client_body proxy fastcgi uwsgi scgi));
        put("chat_db    unix:/run/mysqld/mysqld.sock user=chat",
            "chat_db    unix:$e{socket} user=chat");
        put("password_file=/etc/nginx/chat.password database=chat;",
            "password_file=$e{CHAT_RUN}/chat.password database=chat;");
        put("listen       80;", "listen       127.0.0.1:$e{CHAT_PORT};");
        put("server_name  chat.example.org;", "server_name  localhost;");
        put("root  /usr/share/ngx_chat/html;", "root  $e{TOP}/html;");
        s/^( *)###(?=\S)/$1/mg;
        s{/var/lib/ngx_chat/files}{$e{CHAT_RUN}/files}g;
    ' "${EXAMPLE-$TOP/nginx.conf.example}" >"$CHAT_RUN/nginx.conf"
}


# answers: succeeds if nginx, the module and the database respond to a request
# with an unknown session

answers() {
    perl -MHTTP::Tiny -e '
        my $r = HTTP::Tiny->new(timeout => 5)->get(
            "http://127.0.0.1:$ENV{CHAT_PORT}/api/v1/session/",
            { headers => { Authorization => "Bearer " . "0" x 43 } });
        exit($r->{status} != 403);
    '
}


site_start() {
    # shellcheck disable=SC2086
    install_packages $BUILD_PACKAGES $SITE_PACKAGES
    build_module

    choose_account
    db_start "$CHAT_RUN" chat
    populate

    end_process "$CHAT_RUN/nginx.pid" "$CHAT_RUN"

    perl -MIO::Socket::INET -e '
        exit !IO::Socket::INET->new(LocalAddr => "127.0.0.1:$ENV{CHAT_PORT}",
                                    Listen => 1, ReuseAddr => 1);
    ' || die "cannot listen on 127.0.0.1:$CHAT_PORT;" \
             "set CHAT_PORT to an unused port"

    step "Starting nginx"
    mkdir -p "$CHAT_RUN/tmp"
    write_conf
    nginx -p "$CHAT_RUN/" -c "$CHAT_RUN/nginx.conf" \
          >"$CHAT_RUN/start.log" 2>&1 </dev/null 9>&- ||
        die_log "$CHAT_RUN/start.log" "nginx does not start"
    started_nginx=yes

    tries=100
    until answers; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] ||
            die_log "$CHAT_RUN/error.log" "the module does not respond"
        sleep 0.1
    done

    echo
    echo "Chat is at http://127.0.0.1:$CHAT_PORT/"
    echo "Log in as"
    sed 's/^\([^ ]*\) /    \1, password /' "$CHAT_RUN/passwords"
}


site_stop() {
    step "Stopping"
    end_process "$CHAT_RUN/nginx.pid" "$CHAT_RUN"
    db_stop "$CHAT_RUN"
}


# site_run: starts the site and stops it at a signal

site_run() {
    site_start
    echo "Press Ctrl-C to stop."
    started_db=$CHAT_RUN

    trap 'step Stopping; exit 130' HUP INT TERM

    # another "./dev start" in this directory may restart nginx meanwhile, or
    # "./dev stop" may stop it
    exec 9>&-

    while pid_of "$CHAT_RUN/nginx.pid" "$CHAT_RUN" >/dev/null || {
          sleep 3
          pid_of "$CHAT_RUN/nginx.pid" "$CHAT_RUN" >/dev/null
    }; do
        sleep 1
    done

    die "nginx has terminated; see $CHAT_RUN/error.log"
}
