#
# Copyright (C) ngx_chat contributors
#

# errors of the directives chat_db and chat_db_*

use Test::Nginx::Socket 'no_plan';
use Chat;

# a block that must not start: nginx prints its message on stderr, too

add_block_preprocessor(sub {
    my ($block) = @_;

    if (defined $block->error_log && !defined $block->starts) {
        $block->set_value(must_die => '');
        $block->set_value(suppress_stderr => '');
    }
});

run_tests();


__DATA__

=== a missing chat_db is rejected
--- change
s/chat_db .*?;//s;
--- error_log
[emerg]
a location uses chat, but no database is configured: add "chat_db" to the "http" block


=== a duplicate chat_db is rejected
--- http
chat_db 127.0.0.1 user=chat;
--- error_log
[emerg]
"chat_db" directive is duplicate


=== chat_db without an account is rejected
--- change
s/ user=chat\b//;
--- error_log
[emerg]
"chat_db" directive needs user=, the database account


=== an unknown parameter of chat_db is rejected
--- change
s/ user=chat\b/ user=chat pasword_file=x/;
--- error_log
[emerg]
invalid parameter "pasword_file=x" of "chat_db": supported are user=, password_file=, database=, tls=on|off and tls_ca=


=== a duplicate parameter of chat_db is rejected
--- change
s/ user=chat\b/ user=chat tls=on tls=off/;
--- error_log
[emerg]
duplicate parameter "tls=off" of "chat_db"


=== chat_db without an address is rejected
--- change
s/chat_db .*?;/chat_db user=chat;/s;
--- error_log
[emerg]
"chat_db" directive needs user=, the database account


=== an unknown host in chat_db is rejected
--- change
s/unix:\S+ user=/no-such-host.invalid user=/;
--- error_log eval
[qr/\[emerg\] .*host not found in "chat_db no-such-host.invalid"/]


=== an invalid port in chat_db is rejected
--- change
s/unix:\S+ user=/127.0.0.1:99999 user=/;
--- error_log
[emerg]
invalid port in "chat_db 127.0.0.1:99999"


=== a duplicate server in chat_db is rejected
--- change
s/(unix:\S+) user=/$1 127.0.0.1:99 $1 user=/;
--- error_log eval
[qr/\[emerg\] .*duplicate address "unix:\S+" in "chat_db"/]


=== an unknown host of the second server in chat_db is rejected
--- change
s/(unix:\S+) user=/$1 no-such-host.invalid user=/;
--- error_log eval
[qr/\[emerg\] .*host not found in "chat_db no-such-host.invalid"/]


=== several servers of chat_db without a zone are rejected
--- change
s/(unix:\S+) user=/$1 127.0.0.1:99 user=/;
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- error_log
[emerg]
"chat_db" with several servers requires "chat_zone"


=== chat_db_replica without a zone is rejected
--- http
chat_db_replica 127.0.0.1:99;
--- change
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- error_log
[emerg]
"chat_db_replica" requires "chat_zone"


=== a duplicate chat_db_replica is rejected
--- http
chat_db_replica 127.0.0.1:99;
chat_db_replica 127.0.0.1:98;
--- error_log
[emerg]
"chat_db_replica" directive is duplicate


=== an account in chat_db_replica is rejected
--- http
chat_db_replica 127.0.0.1:99 user=reader;
--- error_log
[emerg]
invalid parameter "user=reader" of "chat_db_replica": only addresses are supported, other parameters are those of "chat_db"


=== chat_db_replica without an address is rejected
--- http
chat_db_replica;
--- error_log
[emerg]
invalid number of arguments in "chat_db_replica" directive


=== an unknown host in chat_db_replica is rejected
--- http
chat_db_replica no-such-host.invalid;
--- error_log eval
[qr/\[emerg\] .*host not found in "chat_db_replica no-such-host.invalid"/]


=== an invalid port in chat_db_replica is rejected
--- http
chat_db_replica 127.0.0.1:99999;
--- error_log
[emerg]
invalid port in "chat_db_replica 127.0.0.1:99999"


=== a duplicate server in chat_db_replica is rejected
--- http
chat_db_replica 127.0.0.1:99 127.0.0.1:99;
--- error_log
[emerg]
duplicate address "127.0.0.1:99" in "chat_db_replica"


=== the only server of chat_db in chat_db_replica is rejected
--- http eval
"chat_db_replica unix:$ENV{TEST_NGINX_CHAT_SOCKET};"
--- error_log eval
[qr/\[emerg\] .*"unix:\S+" is specified in both "chat_db" and "chat_db_replica"/]


=== one of several servers of chat_db in chat_db_replica is accepted
--- http
chat_db_replica 127.0.0.1:99;
--- change
s/(unix:\S+) user=/$1 127.0.0.1:99 user=/;
--- as: u1
--- request
GET /api/v1/message/
--- json
{"count":0,"next":null,"previous":null,"results":[]}


=== chat_db_replica at server level is rejected
--- server
chat_db_replica 127.0.0.1;
--- error_log
[emerg]
"chat_db_replica" directive is not allowed here


=== a missing password_file is rejected
--- change
s{password_file=\S+}{password_file=/no/such/file};
--- error_log
[emerg]
password_file "/no/such/file" cannot be opened


=== an empty password_file is rejected
--- user_files
>>> empty

--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/empty};
--- error_log
[emerg]
must contain one line, the password


=== a password_file of two lines is rejected
--- user_files
>>> lines
one
two
--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/lines};
--- error_log
[emerg]
must contain one line, the password


=== a password_file above 512 bytes is rejected
--- user_files eval
[[ 'long' => 'x' x 513 ]]
--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/long};
--- error_log
[emerg]
is longer than 512 bytes


=== a password_file that other users can read causes a warning
--- user_files
>>> open
one
--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/open};
--- starts
--- error_log
[warn]
is accessible by other users: run "chmod 600"


=== tls_ca without tls is rejected
--- change
s{ user=chat\b}{ user=chat tls_ca=/etc/hostname};
--- error_log
[emerg]
"chat_db" directive has tls_ca= but no tls=on


=== a tls_ca file that cannot be read is rejected
--- change
s{ user=chat\b}{ user=chat tls=on tls_ca=/no/such/file};
--- error_log
[emerg]
tls_ca "/no/such/file" cannot be read


=== tls accepts only on and off
--- change
s{ user=chat\b}{ user=chat tls=maybe};
--- error_log
[emerg]
invalid parameter "tls=maybe" of "chat_db"


=== chat_db at server level is rejected
--- server
chat_db 127.0.0.1 user=chat;
--- error_log
[emerg]
"chat_db" directive is not allowed here


=== chat_db_connections 0 is rejected
--- http
chat_db_connections 0;
--- error_log
[emerg]
value must be between 1 and


=== chat_db_connections 65 is rejected
--- http
chat_db_connections 65;
--- error_log
[emerg]
value must be between 1 and 64 in


=== an invalid number in chat_db_connections is rejected
--- http
chat_db_connections many;
--- error_log
[emerg]
"chat_db_connections" directive invalid number


=== a duplicate chat_db_connections is rejected
--- http
chat_db_connections 2;
chat_db_connections 3;
--- error_log
[emerg]
"chat_db_connections" directive is duplicate


=== chat_db_queue 0 is rejected
--- http
chat_db_queue 0;
--- error_log
[emerg]
"chat_db_queue" directive must be above zero


=== a duplicate chat_db_queue is rejected
--- http
chat_db_queue 2;
chat_db_queue 3;
--- error_log
[emerg]
"chat_db_queue" directive is duplicate


=== an invalid time in chat_db_timeout is rejected
--- http
chat_db_timeout soon;
--- error_log
[emerg]
"chat_db_timeout" directive invalid value


=== chat_db_timeout 0 is rejected
--- http
chat_db_timeout 0;
--- error_log
[emerg]
"chat_db_timeout" directive must be above zero


=== a duplicate chat_db_timeout is rejected
--- http
chat_db_timeout 1s;
chat_db_timeout 2s;
--- error_log
[emerg]
"chat_db_timeout" directive is duplicate


=== chat_db_connect_timeout 0 is rejected
--- http
chat_db_connect_timeout 0;
--- error_log
[emerg]
"chat_db_connect_timeout" directive must be above zero


=== an invalid time in chat_db_connect_timeout is rejected
--- http
chat_db_connect_timeout soon;
--- error_log
[emerg]
"chat_db_connect_timeout" directive invalid value


=== a duplicate chat_db_connect_timeout is rejected
--- http
chat_db_connect_timeout 1s;
chat_db_connect_timeout 2s;
--- error_log
[emerg]
"chat_db_connect_timeout" directive is duplicate
