#
# Copyright (C) ngx_chat contributors
#

# locations with several directives that set a handler

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

=== all directives are accepted at their levels
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


=== an invalid value of chat_status is rejected
--- server
location /x { chat_status off; }
--- error_log
[emerg]
invalid value "off"


=== a duplicate chat_status is rejected
--- server
location /x { chat_status on; chat_status live; }
--- error_log
[emerg]
"chat_status" directive is duplicate


=== chat_status at server level is rejected
--- server
chat_status on;
--- error_log
[emerg]
"chat_status" directive is not allowed here


=== chat_status without chat_db is rejected
--- http_config
--- config
location /x { chat_status on; }
--- error_log
[emerg]
a location uses chat, but no database is configured: add "chat_db" to the "http" block


=== an "if" block inherits chat_status of its location
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


=== nginx starts without any chat directive
--- http_config
--- config
location = /up { return 200 up; }
--- request
GET /up
--- response_body chomp
up


=== chat_api and another handler in one location are rejected
--- server
location /t/ {
    chat_api on;
    chat_auth on;
    chat_publish /p;
    proxy_pass http://127.0.0.1:1;
}
--- error_log
location "/t/" has a handler of a chat directive and another handler, perhaps in an "if": use separate locations


=== chat_api after another handler is rejected
--- server
location /t/ {
    proxy_pass http://127.0.0.1:1;
    chat_api on;
    chat_auth on;
    chat_publish /p;
}
--- error_log
"chat_api" directive needs a separate location: this one already has a handler


=== chat_api and another handler in an "if" are rejected
--- server
location /t/ {
    chat_api on;
    chat_auth on;
    chat_publish /p;
    if ($arg_x) { proxy_pass http://127.0.0.1:1; }
}
--- error_log
location "/t/" has a handler of a chat directive and another handler, perhaps in an "if": use separate locations


=== chat_api and FastCGI in an "if" are rejected
--- server
location /t/ {
    chat_api on;
    chat_auth on;
    chat_publish /p;
    if ($arg_x) { fastcgi_pass 127.0.0.1:1; }
}
--- error_log
location "/t/" has a handler of a chat directive


=== chat_login and another handler are rejected
--- server
location = /t { chat_login; proxy_pass http://127.0.0.1:1; }
--- error_log
location "/t" has a handler of a chat directive


=== chat_logout and another handler in an "if" are rejected
--- server
location = /t { chat_logout; if ($arg_x) { uwsgi_pass 127.0.0.1:1; } }
--- error_log
location "/t" has a handler of a chat directive


=== chat_status and another handler are rejected
--- server
location = /t { chat_status on; stub_status; }
--- error_log
location "/t" has a handler of a chat directive


=== chat_auth of the API protects other handlers that inherit it
--- server
location /other { return 200 other; }
location /t/ {
    chat_api on;
    chat_auth on;
    chat_publish /chat/publish;

    location /t/sub/ { proxy_pass http://$TEST_NGINX_SERVER_PORT/other; }
    limit_except GET { proxy_pass http://127.0.0.1:1; }
}
--- then
is(api('', GET => '/t/sub/x')->code, 403,
   'a nested location rejects unauthenticated requests');
is(api('u1', GET => '/t/sub/x')->body, 'other', 'users get its content');
is(api('', POST => '/t/message/')->code, 403,
   'limit_except rejects unauthenticated requests');
is(api('u1', POST => '/t/message/')->code, 502,
   'requests of users are proxied');
is(api('u1', GET => '/t/session/')->code, 200, 'the API works');


=== an "if" block without a handler inherits the API
--- server
location /t/ {
    chat_api on;
    chat_auth on;
    chat_publish /chat/publish;
    if ($arg_x) { add_header X-A a always; }
}
--- then
is(api('', GET => '/t/session/?x=1')->code, 403, 'unauthenticated');
my $res = api('u1', GET => '/t/session/?x=1');
is($res->code . $res->headers->header('X-A'), '200a',
   'the response is that of the API');


=== a channel group with variables is rejected
--- server
location /ws2 {
    chat_auth on;
    chat_subscriber on;
    nchan_subscriber websocket;
    nchan_channel_group $host;
    nchan_channel_id $chat_channel;
}
--- error_log
"nchan_channel_group" in chat location "/ws2" must not have variables


=== redis of nchan is rejected in a location for sockets
--- http
upstream redis { nchan_redis_server redis://127.0.0.1:1; }
--- change
s{nchan_channel_id +\$chat_channel;}{$& nchan_redis_pass redis;};
--- error_log
"nchan_redis_pass" in chat location "/ws" is not supported: use "chat_redis"


=== group accounting is rejected in the publisher location
--- change
s{nchan_publisher;}{$& nchan_channel_group_accounting on;};
--- error_log
"nchan_channel_group_accounting" in chat location "/chat/publish" is not supported
