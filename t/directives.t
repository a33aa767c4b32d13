#
# Copyright (C) ngx_chat contributors
#

# what "nginx -t" says of a configuration that cannot work

use Test::Nginx::Socket 'no_plan';
use Chat;

# a block that must not start: nginx's own message is on stderr, too

add_block_preprocessor(sub {
    my ($block) = @_;

    if (defined $block->error_log && !defined $block->starts) {
        $block->set_value(must_die => '');
        $block->set_value(suppress_stderr => '');
    }
});

run_tests();


__DATA__

=== no chat_db
--- change
s/chat_db .*?;//s;
--- error_log
[emerg]
chat is used in a location, but no database is named: add "chat_db" to the "http" block


=== chat_db twice
--- http
chat_db 127.0.0.1 user=chat;
--- error_log
[emerg]
"chat_db" directive is duplicate


=== chat_db without an account
--- change
s/ user=chat\b//;
--- error_log
[emerg]
"chat_db" directive needs user=, the account to log in to the database with


=== chat_db with a parameter it does not know
--- change
s/ user=chat\b/ user=chat pasword_file=x/;
--- error_log
[emerg]
invalid parameter "pasword_file=x" of "chat_db": known are user=, password_file=, database=, tls=on|off and tls_ca=


=== chat_db with a parameter twice
--- change
s/ user=chat\b/ user=chat tls=on tls=off/;
--- error_log
[emerg]
duplicate parameter "tls=off" of "chat_db"


=== chat_db without an address
--- change
s/chat_db .*?;/chat_db user=chat;/s;
--- error_log
[emerg]
"chat_db" directive needs user=, the account to log in to the database with


=== chat_db with a host that does not exist
--- change
s/unix:\S+ user=/no-such-host.invalid user=/;
--- error_log eval
[qr/\[emerg\] .*host not found in "chat_db no-such-host.invalid"/]


=== chat_db with a port that is none
--- change
s/unix:\S+ user=/127.0.0.1:99999 user=/;
--- error_log
[emerg]
invalid port in "chat_db 127.0.0.1:99999"


=== chat_db with a server twice
--- change
s/(unix:\S+) user=/$1 127.0.0.1:99 $1 user=/;
--- error_log eval
[qr/\[emerg\] .*"unix:\S+" is in "chat_db" twice/]


=== chat_db with a second server that does not exist
--- change
s/(unix:\S+) user=/$1 no-such-host.invalid user=/;
--- error_log eval
[qr/\[emerg\] .*host not found in "chat_db no-such-host.invalid"/]


=== several servers without a zone
--- change
s/(unix:\S+) user=/$1 127.0.0.1:99 user=/;
s/chat_zone .*?;//;
--- error_log
[emerg]
several servers of "chat_db" need a "chat_zone", in which workers agree on one of them


=== chat_db_replica without a zone
--- http
chat_db_replica 127.0.0.1:99;
--- change
s/chat_zone .*?;//;
--- error_log
[emerg]
"chat_db_replica" needs a "chat_zone", which has what a replica must have reached for whom


=== chat_db_replica twice
--- http
chat_db_replica 127.0.0.1:99;
chat_db_replica 127.0.0.1:98;
--- error_log
[emerg]
"chat_db_replica" directive is duplicate


=== chat_db_replica with an account
--- http
chat_db_replica 127.0.0.1:99 user=reader;
--- error_log
[emerg]
invalid parameter "user=reader" of "chat_db_replica": it takes addresses, all else is that of "chat_db"


=== chat_db_replica without an address
--- http
chat_db_replica;
--- error_log
[emerg]
invalid number of arguments in "chat_db_replica" directive


=== chat_db_replica with a host that does not exist
--- http
chat_db_replica no-such-host.invalid;
--- error_log eval
[qr/\[emerg\] .*host not found in "chat_db_replica no-such-host.invalid"/]


=== chat_db_replica with a port that is none
--- http
chat_db_replica 127.0.0.1:99999;
--- error_log
[emerg]
invalid port in "chat_db_replica 127.0.0.1:99999"


=== chat_db_replica with a server twice
--- http
chat_db_replica 127.0.0.1:99 127.0.0.1:99;
--- error_log
[emerg]
"127.0.0.1:99" is in "chat_db_replica" twice


=== chat_db_replica with the only server of chat_db
--- http eval
"chat_db_replica unix:$ENV{TEST_NGINX_CHAT_SOCKET};"
--- error_log eval
[qr/\[emerg\] .*"unix:\S+" is in "chat_db" and in "chat_db_replica"/]


=== chat_db_replica with one of several of chat_db
--- http
chat_db_replica 127.0.0.1:99;
--- change
s/(unix:\S+) user=/$1 127.0.0.1:99 user=/;
--- as: u1
--- request
GET /api/v1/message/
--- json
{"count":0,"next":null,"previous":null,"results":[]}


=== chat_db_replica in a server
--- server
chat_db_replica 127.0.0.1;
--- error_log
[emerg]
"chat_db_replica" directive is not allowed here


=== password_file is missing
--- change
s{password_file=\S+}{password_file=/no/such/file};
--- error_log
[emerg]
password_file "/no/such/file" cannot be opened


=== password_file is empty
--- user_files
>>> empty

--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/empty};
--- error_log
[emerg]
must hold one line, the password


=== password_file has two lines
--- user_files
>>> lines
one
two
--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/lines};
--- error_log
[emerg]
must hold one line, the password


=== password_file is too long to be one
--- user_files eval
[[ 'long' => 'x' x 513 ]]
--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/long};
--- error_log
[emerg]
is longer than 512 bytes


=== password_file that all can read: a warning
--- user_files
>>> open
one
--- change
s{password_file=\S+}{password_file=$ENV{TEST_NGINX_SERVER_ROOT}/html/open};
--- starts
--- error_log
[warn]
is open to others: chmod 600 it


=== tls_ca without tls
--- change
s{ user=chat\b}{ user=chat tls_ca=/etc/hostname};
--- error_log
[emerg]
"chat_db" directive has tls_ca= but no tls=on


=== tls_ca that cannot be read
--- change
s{ user=chat\b}{ user=chat tls=on tls_ca=/no/such/file};
--- error_log
[emerg]
tls_ca "/no/such/file" cannot be read


=== tls is on or off
--- change
s{ user=chat\b}{ user=chat tls=maybe};
--- error_log
[emerg]
invalid parameter "tls=maybe" of "chat_db"


=== chat_db in a server
--- server
chat_db 127.0.0.1 user=chat;
--- error_log
[emerg]
"chat_db" directive is not allowed here


=== chat_db_connections 0
--- http
chat_db_connections 0;
--- error_log
[emerg]
value must be between 1 and


=== chat_db_connections 65
--- http
chat_db_connections 65;
--- error_log
[emerg]
value must be between 1 and 64 in


=== chat_db_connections is a number
--- http
chat_db_connections many;
--- error_log
[emerg]
"chat_db_connections" directive invalid number


=== chat_db_connections twice
--- http
chat_db_connections 2;
chat_db_connections 3;
--- error_log
[emerg]
"chat_db_connections" directive is duplicate


=== chat_db_queue 0
--- http
chat_db_queue 0;
--- error_log
[emerg]
"chat_db_queue" directive must be above zero


=== chat_db_queue twice
--- http
chat_db_queue 2;
chat_db_queue 3;
--- error_log
[emerg]
"chat_db_queue" directive is duplicate


=== chat_db_timeout is a time
--- http
chat_db_timeout soon;
--- error_log
[emerg]
"chat_db_timeout" directive invalid value


=== chat_db_timeout 0
--- http
chat_db_timeout 0;
--- error_log
[emerg]
"chat_db_timeout" directive must be above zero


=== chat_db_timeout twice
--- http
chat_db_timeout 1s;
chat_db_timeout 2s;
--- error_log
[emerg]
"chat_db_timeout" directive is duplicate


=== chat_db_connect_timeout 0
--- http
chat_db_connect_timeout 0;
--- error_log
[emerg]
"chat_db_connect_timeout" directive must be above zero


=== chat_db_connect_timeout is a time
--- http
chat_db_connect_timeout soon;
--- error_log
[emerg]
"chat_db_connect_timeout" directive invalid value


=== chat_db_connect_timeout twice
--- http
chat_db_connect_timeout 1s;
chat_db_connect_timeout 2s;
--- error_log
[emerg]
"chat_db_connect_timeout" directive is duplicate


=== no chat_zone: a warning
--- change
s/^ *chat_zone [^;]*;//m;
--- starts
--- error_log
[warn]
no "chat_zone": log-ins are not throttled


=== chat_zone twice
--- http
chat_zone other 1m;
--- error_log
[emerg]
"chat_zone" directive is duplicate


=== chat_zone of a size that is none
--- change
s/^ *chat_zone [^;]*;/chat_zone chat large;/m;
--- error_log
[emerg]
invalid size "large" of "chat_zone"


=== chat_zone that is too small
--- change
s/^ *chat_zone [^;]*;/chat_zone chat 64k;/m;
--- error_log
[emerg]
"chat_zone" "chat" is too small: at least 128k


=== chat_zone with the name of another zone
--- http
limit_req_zone $binary_remote_addr zone=chat:1m rate=1r/s;
--- error_log eval
[qr/\[emerg\] .*"chat"/]


=== chat_zone without a size
--- change
s/^ *chat_zone [^;]*;/chat_zone chat;/m;
--- error_log
[emerg]
invalid number of arguments in "chat_zone" directive


=== chat_thread_pool that does not exist
--- http
chat_thread_pool passwords;
--- error_log
[emerg]
unknown thread pool "passwords"


=== chat_thread_pool that does
--- main_config
thread_pool passwords threads=2;
--- http
chat_thread_pool passwords;
--- then
is(api('', POST => '/api/v1/session/',
       { username => 'u1', password => 'correct horse' })->code, 200, 'log in');


=== chat_thread_pool twice
--- http
chat_thread_pool a;
chat_thread_pool b;
--- error_log
[emerg]
"chat_thread_pool" directive is duplicate


=== chat_hosts is on or off
--- http
chat_hosts yes;
--- error_log
[emerg]
invalid value "yes" in "chat_hosts" directive, it must be "on" or "off"


=== chat_api is on or off
--- server
location /x/ { chat_auth on; chat_api yes; }
--- error_log
[emerg]
invalid value "yes" in "chat_api" directive, it must be "on" or "off"


=== chat_api twice
--- api
chat_api on;
--- error_log
[emerg]
"chat_api" directive is duplicate


=== chat_api without chat_auth
--- server
location /x/ { chat_api on; }
--- error_log
[emerg]
"chat_api" needs to know who is calling: add "chat_auth on;" to its location


=== chat_api in a location without a closing slash
--- server
location /x { chat_auth on; chat_api on; }
--- error_log
[emerg]
"chat_api" directive belongs in a prefix location that ends with "/", such as "location /api/v1/"


=== chat_api in a location of a regular expression
--- server
location ~ ^/x/ { chat_auth on; chat_api on; }
--- error_log
[emerg]
"chat_api" directive belongs in a prefix location that ends with "/", such as "location /api/v1/"


=== chat_api in a server
--- server
chat_api on;
--- error_log
[emerg]
"chat_api" directive is not allowed here


=== chat_auth is on, off or a variable
--- server
location /x/ { chat_auth yes; }
--- error_log
[emerg]
invalid value "yes" of "chat_auth": it is "on", "off", or a variable with the name of who is calling


=== chat_auth with a variable that does not exist
--- server
location /x/ { chat_auth $nobody_knows; }
--- error_log
[emerg]
unknown "nobody_knows" variable


=== chat_auth with a parameter it does not know
--- server
location /x/ { chat_auth on page=/login/; }
--- error_log
[emerg]
invalid parameter "page=/login/" of "chat_auth": known is redirect=


=== chat_auth redirect= is a path
--- server
location /x/ { chat_auth on redirect=login; }
--- error_log
[emerg]
"login" in "chat_auth" is no path: it begins with "/"


=== chat_auth twice
--- api
chat_auth on;
--- error_log
[emerg]
"chat_auth" directive is duplicate


=== chat_subscriber without chat_auth
--- server
location /x/ { chat_subscriber on; }
--- error_log
[emerg]
"chat_subscriber" needs to know who is calling: add "chat_auth on;" to its location


=== chat_subscriber is on or off
--- server
location /x/ { chat_auth on; chat_subscriber yes; }
--- error_log
[emerg]
invalid value "yes" in "chat_subscriber" directive, it must be "on" or "off"


=== chat_subscriber twice
--- server
location /x/ { chat_auth on; chat_subscriber on; chat_subscriber on; }
--- error_log
[emerg]
"chat_subscriber" directive is duplicate


=== chat_publish is a path
--- server
chat_publish chat/publish;
--- error_log
[emerg]
"chat/publish" in "chat_publish" is no path: it begins with "/"


=== no chat_publish: a warning
--- change
s/^ *chat_publish [^;]*;//m;
--- starts
--- error_log
[warn]
"chat_api" without "chat_publish": messages are stored, but nobody is told


=== chat_publish twice
--- api
chat_publish /x;
--- error_log
[emerg]
"chat_publish" directive is duplicate


=== chat_page_size 0
--- server
chat_page_size 0;
--- error_log
[emerg]
value must be between 1 and


=== chat_page_size 101
--- server
chat_page_size 101;
--- error_log
[emerg]
value must be between 1 and 100 in


=== chat_page_size twice
--- server
chat_page_size 1;
chat_page_size 2;
--- error_log
[emerg]
"chat_page_size" directive is duplicate


=== chat_max_message 0
--- server
chat_max_message 0;
--- error_log
[emerg]
value must be between 1 and


=== chat_max_message 1000001
--- server
chat_max_message 1000001;
--- error_log
[emerg]
value must be between 1 and 1000000 in


=== chat_max_message twice
--- server
chat_max_message 1;
chat_max_message 2;
--- error_log
[emerg]
"chat_max_message" directive is duplicate


=== chat_session_lifetime 0
--- server
chat_session_lifetime 0;
--- error_log
[emerg]
"chat_session_lifetime" directive must be above zero


=== chat_session_lifetime is a time
--- server
chat_session_lifetime forever;
--- error_log
[emerg]
"chat_session_lifetime" directive invalid value


=== chat_session_lifetime twice
--- server
chat_session_lifetime 1h;
chat_session_lifetime 2h;
--- error_log
[emerg]
"chat_session_lifetime" directive is duplicate


=== chat_session_check is a time
--- server
chat_session_check often;
--- error_log
[emerg]
"chat_session_check" directive invalid value


=== chat_session_check twice
--- server
chat_session_check 1s;
chat_session_check 2s;
--- error_log
[emerg]
"chat_session_check" directive is duplicate


=== chat_cookie with a name no cookie can have
--- server
chat_cookie "session id";
--- error_log
[emerg]
"session id" cannot be the name of a cookie


=== chat_cookie with an empty name
--- server
chat_cookie "";
--- error_log
[emerg]
"chat_cookie" directive needs a name


=== chat_cookie with a parameter it does not know
--- server
chat_cookie sessionid secure=maybe;
--- error_log
[emerg]
invalid parameter "secure=maybe" of "chat_cookie": known is secure=auto|on|off


=== chat_cookie twice
--- server
chat_cookie a;
chat_cookie b;
--- error_log
[emerg]
"chat_cookie" directive is duplicate


=== chat_allowed_origins with a host alone
--- server
chat_allowed_origins www.example.org;
--- error_log
[emerg]
"www.example.org" is no origin: it is a scheme and a host without a path, such as "https://www.example.org"


=== chat_allowed_origins with a path
--- server
chat_allowed_origins https://www.example.org https://www.example.org/;
--- error_log
[emerg]
"https://www.example.org/" is no origin: it is a scheme and a host without a path, such as "https://www.example.org"


=== chat_allowed_origins twice
--- server
chat_allowed_origins https://a.example;
chat_allowed_origins https://b.example;
--- error_log
[emerg]
"chat_allowed_origins" directive is duplicate


=== chat_login with a parameter it does not know
--- server
location = /x { chat_login file=/x.html; }
--- error_log
[emerg]
invalid parameter "file=/x.html" of "chat_login": known are page= and redirect=


=== chat_login page= is a path
--- server
location = /x { chat_login page=login.html; }
--- error_log
[emerg]
"login.html" in "chat_login" is no path: it begins with "/"


=== chat_login redirect= is a path
--- server
location = /x { chat_login redirect=https://www.example.org/; }
--- error_log
[emerg]
"https://www.example.org/" in "chat_login" is no path: it begins with "/"


=== chat_login with a parameter twice
--- server
location = /x { chat_login page=/a page=/b; }
--- error_log
[emerg]
duplicate parameter "page=/b" of "chat_login"


=== chat_login where chat_auth leads to it
--- server
chat_auth on redirect=/x;
location = /x { chat_login; }
--- error_log
[emerg]
nobody would reach "chat_login" where "chat_auth" redirects: add "chat_auth off;" to its location


=== chat_login and chat_logout in one location
--- server
location = /x { chat_login; chat_logout; }
--- error_log
[emerg]
"chat_logout" directive needs a location of its own: another directive of chat answers here


=== chat_api and chat_login in one location
--- api
chat_login;
--- error_log
[emerg]
needs a location of its own: another directive of chat answers here


=== chat_status and chat_login in one location
--- server
location = /x { chat_login; chat_status on; }
--- error_log
[emerg]
"chat_status" directive needs a location of its own: another directive of chat answers here


=== chat_login twice
--- server
location = /x { chat_login; chat_login; }
--- error_log
[emerg]
"chat_login" directive is duplicate


=== chat_logout with a parameter it does not know
--- server
location = /x { chat_logout page=/; }
--- error_log
[emerg]
invalid parameter "page=/" of "chat_logout": known is redirect=


=== chat_logout redirect= is a path
--- server
location = /x { chat_logout redirect=; }
--- error_log
[emerg]
"" in "chat_logout" is no path: it begins with "/"


=== chat_logout twice
--- server
location = /x { chat_logout; chat_logout; }
--- error_log
[emerg]
"chat_logout" directive is duplicate


=== chat_login and chat_logout in a server
--- server
chat_login;
--- error_log
[emerg]
"chat_login" directive is not allowed here


=== all of them, in their places
--- http
chat_db_connections 2;
chat_db_queue 10;
chat_db_timeout 2s;
chat_db_connect_timeout 500ms;
chat_page_size 10;
chat_max_message 100;
chat_session_lifetime 1d;
chat_session_check 1s;
chat_cookie a secure=off;
chat_allowed_origins https://a.example;
--- server
chat_page_size 11;
chat_max_message 101;
chat_session_lifetime 2d;
chat_session_check 2s;
chat_cookie b secure=auto;
chat_allowed_origins https://b.example https://c.example;
--- api
chat_page_size 12;
chat_max_message 102;
chat_session_lifetime 3d;
chat_session_check 3s;
chat_cookie c;
chat_allowed_origins https://d.example;
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- json
{"username":"u1","user_id":1,"is_admin":false}
--- response_headers_like
Set-Cookie: c=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=259200; Path=/; SameSite=Lax


=== chat_status of what there is not
--- server
location /x { chat_status off; }
--- error_log
[emerg]
invalid value "off"


=== chat_status twice
--- server
location /x { chat_status on; chat_status live; }
--- error_log
[emerg]
"chat_status" directive is duplicate


=== chat_status in a server
--- server
chat_status on;
--- error_log
[emerg]
"chat_status" directive is not allowed here


=== chat_status needs a database to tell of
--- http_config
--- config
location /x { chat_status on; }
--- error_log
[emerg]
chat is used in a location, but no database is named: add "chat_db" to the "http" block


=== chat_status within an "if" is still its location's
--- server
location = /x {
    chat_status live;
    if ($arg_a) { add_header X-A a always; }
}
--- request
GET /x?a=1
--- json
{"status":"live"}
--- response_headers
X-A: a


=== an nginx without chat needs nothing of it
--- http_config
--- config
location = /up { return 200 up; }
--- request
GET /up
--- response_body chomp
up
