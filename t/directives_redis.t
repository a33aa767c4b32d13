#
# Copyright (C) ngx_chat contributors
#

# errors of the directive chat_redis

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

=== chat_redis without a server is rejected
--- http
chat_redis tls=off;
--- error_log
[emerg]
"chat_redis" directive needs the address of a Redis server


=== a duplicate chat_redis is rejected
--- http
chat_redis 127.0.0.1;
chat_redis 127.0.0.1;
--- error_log
[emerg]
"chat_redis" directive is duplicate


=== chat_redis is not allowed in a location
--- api
chat_redis 127.0.0.1;
--- error_log
[emerg]
"chat_redis" directive is not allowed here


=== an unknown parameter of chat_redis is rejected
--- http
chat_redis 127.0.0.1 pasword_file=x;
--- error_log
[emerg]
invalid parameter "pasword_file=x" of "chat_redis": supported are password_file=, tls=on|off and tls_ca=


=== a duplicate parameter of chat_redis is rejected
--- http
chat_redis 127.0.0.1 tls=off tls=on;
--- error_log
[emerg]
duplicate parameter "tls=on" of "chat_redis"


=== a server twice in chat_redis is rejected
--- http
chat_redis 127.0.0.1:6380 127.0.0.1:6380;
--- error_log
[emerg]
"127.0.0.1:6380" is in "chat_redis" twice


=== an unknown name in chat_redis is rejected
--- http
chat_redis redis.invalid;
--- error_log
[emerg]
host not found in "chat_redis redis.invalid"


=== an invalid port in chat_redis is rejected
--- http
chat_redis 127.0.0.1:66000;
--- error_log
[emerg]
invalid port in "chat_redis 127.0.0.1:66000"


=== tls of chat_redis without tls_ca is rejected
--- http
chat_redis 127.0.0.1 tls=on;
--- error_log
[emerg]
"chat_redis" directive has tls=on but no tls_ca=, the certificates of the authorities that are trusted


=== tls_ca of chat_redis without tls is rejected
--- http
chat_redis 127.0.0.1 tls_ca=/etc/hostname;
--- error_log
[emerg]
"chat_redis" directive has tls_ca= but no tls=on


=== a tls_ca file of chat_redis that is missing is rejected
--- http
chat_redis 127.0.0.1 tls=on tls_ca=/no/such/file;
--- error_log
[emerg]
tls_ca "/no/such/file" cannot be read


=== a tls_ca file of chat_redis without certificates is rejected
--- http
chat_redis 127.0.0.1 tls=on tls_ca=/etc/hostname;
--- error_log
[emerg]
SSL_CTX_load_verify_locations("/etc/hostname") failed


=== tls of chat_redis is rejected for a socket, which has no name to verify
--- http
chat_redis unix:/run/redis.sock tls=on tls_ca=/etc/hostname;
--- error_log
[emerg]
tls=on of "chat_redis" requires a host, whose name is verified, not "unix:/run/redis.sock"


=== a password_file of chat_redis that is missing is rejected
--- http
chat_redis 127.0.0.1 password_file=/no/such/file;
--- error_log
[emerg]
password_file "/no/such/file" cannot be opened


=== a password_file of chat_redis with two lines is rejected
--- user_files
>>> lines
one
two
--- http
chat_redis 127.0.0.1 password_file=$TEST_NGINX_SERVER_ROOT/html/lines;
--- error_log
[emerg]
must contain one line, the password
