#
# Copyright (C) ngx_chat contributors
#

# errors of all directives except chat_db and chat_db_*

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

=== a missing chat_zone causes a warning
--- change
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- starts
--- error_log
[warn]
no "chat_zone": logins are not throttled


=== a duplicate chat_zone is rejected
--- http
chat_zone other 1m;
--- error_log
[emerg]
"chat_zone" directive is duplicate


=== an invalid size of chat_zone is rejected
--- change
s/^ *chat_zone [^;]*;/chat_zone chat large;/m;
--- error_log
[emerg]
invalid size "large" of "chat_zone"


=== a size of chat_zone below the minimum is rejected
--- change
s/^ *chat_zone [^;]*;/chat_zone chat 64k;/m;
--- error_log
[emerg]
"chat_zone" "chat" is too small: at least 256k


=== a name of chat_zone that another zone has is rejected
--- http
limit_req_zone $binary_remote_addr zone=chat:1m rate=1r/s;
--- error_log eval
[qr/\[emerg\] .*"chat"/]


=== chat_zone without a size is rejected
--- change
s/^ *chat_zone [^;]*;/chat_zone chat;/m;
--- error_log
[emerg]
invalid number of arguments in "chat_zone" directive


=== an unknown thread pool in chat_thread_pool is rejected
--- http
chat_thread_pool passwords;
--- error_log
[emerg]
unknown thread pool "passwords"


=== chat_thread_pool selects another thread pool
--- main_config
thread_pool passwords threads=2;
--- http
chat_thread_pool passwords;
--- then
is(api('', POST => '/api/v1/session/',
       { username => 'u1', password => 'correct horse' })->code, 200,
       'the login succeeds');


=== a duplicate chat_thread_pool is rejected
--- http
chat_thread_pool a;
chat_thread_pool b;
--- error_log
[emerg]
"chat_thread_pool" directive is duplicate


=== chat_hosts accepts only on and off
--- http
chat_hosts yes;
--- error_log
[emerg]
invalid value "yes" in "chat_hosts" directive, it must be "on" or "off"


=== chat_api accepts only on and off
--- server
location /x/ { chat_auth on; chat_api yes; }
--- error_log
[emerg]
invalid value "yes" in "chat_api" directive, it must be "on" or "off"


=== a duplicate chat_api is rejected
--- api
chat_api on;
--- error_log
[emerg]
"chat_api" directive is duplicate


=== chat_api without chat_auth is rejected
--- server
location /x/ { chat_api on; }
--- error_log
[emerg]
"chat_api" requires authentication: add "chat_auth on;" to its location


=== chat_api in a location without a trailing slash is rejected
--- server
location /x { chat_auth on; chat_api on; }
--- error_log
[emerg]
"chat_api" directive needs a prefix location that ends with "/", such as "location /api/v1/"


=== chat_api in a regular expression location is rejected
--- server
location ~ ^/x/ { chat_auth on; chat_api on; }
--- error_log
[emerg]
"chat_api" directive needs a prefix location that ends with "/", such as "location /api/v1/"


=== chat_api at server level is rejected
--- server
chat_api on;
--- error_log
[emerg]
"chat_api" directive is not allowed here


=== chat_auth accepts only on, off and a variable
--- server
location /x/ { chat_auth yes; }
--- error_log
[emerg]
invalid value "yes" of "chat_auth": it is "on", "off", or a variable with the user name


=== an unknown variable in chat_auth is rejected
--- server
location /x/ { chat_auth $nobody_knows; }
--- error_log
[emerg]
unknown "nobody_knows" variable


=== an unknown parameter of chat_auth is rejected
--- server
location /x/ { chat_auth on page=/login/; }
--- error_log
[emerg]
invalid parameter "page=/login/" of "chat_auth": supported is redirect=


=== chat_auth redirect= accepts only an absolute path
--- server
location /x/ { chat_auth on redirect=login; }
--- error_log
[emerg]
"login" in "chat_auth" is not a path: it must begin with "/"


=== a duplicate chat_auth is rejected
--- api
chat_auth on;
--- error_log
[emerg]
"chat_auth" directive is duplicate


=== chat_subscriber without chat_auth is rejected
--- server
location /x/ { chat_subscriber on; }
--- error_log
[emerg]
"chat_subscriber" requires authentication: add "chat_auth on;" to its location


=== an invalid value of chat_subscriber is rejected
--- server
location /x/ { chat_auth on; chat_subscriber yes; }
--- error_log
[emerg]
invalid value "yes" in "chat_subscriber" directive, it must be "on", "hints", "events" or "off"


=== a duplicate chat_subscriber is rejected
--- server
location /x/ { chat_auth on; chat_subscriber on; chat_subscriber on; }
--- error_log
[emerg]
"chat_subscriber" directive is duplicate


=== chat_publish accepts only an absolute path
--- server
chat_publish chat/publish;
--- error_log
[emerg]
"chat/publish" in "chat_publish" is not a path: it must begin with "/"


=== a missing chat_publish causes a warning
--- change
s/^ *chat_publish [^;]*;//m;
--- starts
--- error_log
[warn]
"chat_api" without "chat_publish": messages are stored, but no notifications are sent


=== a duplicate chat_publish is rejected
--- api
chat_publish /x;
--- error_log
[emerg]
"chat_publish" directive is duplicate


=== chat_page_size 0 is rejected
--- server
chat_page_size 0;
--- error_log
[emerg]
value must be between 1 and


=== chat_page_size 101 is rejected
--- server
chat_page_size 101;
--- error_log
[emerg]
value must be between 1 and 100 in


=== a duplicate chat_page_size is rejected
--- server
chat_page_size 1;
chat_page_size 2;
--- error_log
[emerg]
"chat_page_size" directive is duplicate


=== chat_max_message 0 is rejected
--- server
chat_max_message 0;
--- error_log
[emerg]
value must be between 1 and


=== chat_max_message 1000001 is rejected
--- server
chat_max_message 1000001;
--- error_log
[emerg]
value must be between 1 and 1000000 in


=== a duplicate chat_max_message is rejected
--- server
chat_max_message 1;
chat_max_message 2;
--- error_log
[emerg]
"chat_max_message" directive is duplicate


=== chat_change_window 0 is rejected
--- server
chat_change_window 0;
--- error_log
[emerg]
"chat_change_window" directive must be above zero


=== an invalid time in chat_change_window is rejected
--- server
chat_change_window on;
--- error_log
[emerg]
"chat_change_window" directive invalid value


=== a duplicate chat_change_window is rejected
--- server
chat_change_window off;
chat_change_window off;
--- error_log
[emerg]
"chat_change_window" directive is duplicate


=== a time after chat_change_window off is rejected
--- server
chat_change_window off;
chat_change_window 1h;
--- error_log
[emerg]
"chat_change_window" directive is duplicate


=== chat_session_lifetime 0 is rejected
--- server
chat_session_lifetime 0;
--- error_log
[emerg]
"chat_session_lifetime" directive must be above zero


=== an invalid time in chat_session_lifetime is rejected
--- server
chat_session_lifetime forever;
--- error_log
[emerg]
"chat_session_lifetime" directive invalid value


=== a duplicate chat_session_lifetime is rejected
--- server
chat_session_lifetime 1h;
chat_session_lifetime 2h;
--- error_log
[emerg]
"chat_session_lifetime" directive is duplicate


=== an invalid time in chat_session_check is rejected
--- server
chat_session_check often;
--- error_log
[emerg]
"chat_session_check" directive invalid value


=== a duplicate chat_session_check is rejected
--- server
chat_session_check 1s;
chat_session_check 2s;
--- error_log
[emerg]
"chat_session_check" directive is duplicate


=== an invalid cookie name in chat_cookie is rejected
--- server
chat_cookie "session id";
--- error_log
[emerg]
"session id" is not a valid cookie name


=== an empty name in chat_cookie is rejected
--- server
chat_cookie "";
--- error_log
[emerg]
"chat_cookie" directive needs a name


=== an unknown parameter of chat_cookie is rejected
--- server
chat_cookie sessionid secure=maybe;
--- error_log
[emerg]
invalid parameter "secure=maybe" of "chat_cookie": supported is secure=auto|on|off


=== a duplicate chat_cookie is rejected
--- server
chat_cookie a;
chat_cookie b;
--- error_log
[emerg]
"chat_cookie" directive is duplicate


=== a host without a scheme in chat_allowed_origins is rejected
--- server
chat_allowed_origins www.example.org;
--- error_log
[emerg]
"www.example.org" is not an origin: specify scheme and host without a path, such as "https://www.example.org"


=== an origin with a path in chat_allowed_origins is rejected
--- server
chat_allowed_origins https://www.example.org https://www.example.org/;
--- error_log
[emerg]
"https://www.example.org/" is not an origin: specify scheme and host without a path, such as "https://www.example.org"


=== a duplicate chat_allowed_origins is rejected
--- server
chat_allowed_origins https://a.example;
chat_allowed_origins https://b.example;
--- error_log
[emerg]
"chat_allowed_origins" directive is duplicate


=== an unknown parameter of chat_login is rejected
--- server
location = /x { chat_login file=/x.html; }
--- error_log
[emerg]
invalid parameter "file=/x.html" of "chat_login": supported are page= and redirect=


=== chat_login page= accepts only an absolute path
--- server
location = /x { chat_login page=login.html; }
--- error_log
[emerg]
"login.html" in "chat_login" is not a path: it must begin with "/"


=== chat_login redirect= accepts only an absolute path
--- server
location = /x { chat_login redirect=https://www.example.org/; }
--- error_log
[emerg]
"https://www.example.org/" in "chat_login" is not a path: it must begin with "/"


=== a duplicate parameter of chat_login is rejected
--- server
location = /x { chat_login page=/a page=/b; }
--- error_log
[emerg]
duplicate parameter "page=/b" of "chat_login"


=== chat_login in a location that chat_auth redirects is rejected
--- server
chat_auth on redirect=/x;
location = /x { chat_login; }
--- error_log
[emerg]
"chat_auth" redirects requests to "chat_login" itself: add "chat_auth off;" to its location


=== chat_login and chat_logout in one location are rejected
--- server
location = /x { chat_login; chat_logout; }
--- error_log
[emerg]
"chat_logout" directive needs a separate location: this one already has a handler


=== chat_api and chat_login in one location are rejected
--- api
chat_login;
--- error_log
[emerg]
needs a separate location: this one already has a handler


=== chat_status and chat_login in one location are rejected
--- server
location = /x { chat_login; chat_status on; }
--- error_log
[emerg]
"chat_status" directive needs a separate location: this one already has a handler


=== a duplicate chat_login is rejected
--- server
location = /x { chat_login; chat_login; }
--- error_log
[emerg]
"chat_login" directive is duplicate


=== an unknown parameter of chat_logout is rejected
--- server
location = /x { chat_logout page=/; }
--- error_log
[emerg]
invalid parameter "page=/" of "chat_logout": supported is redirect=


=== chat_logout redirect= accepts only an absolute path
--- server
location = /x { chat_logout redirect=; }
--- error_log
[emerg]
"" in "chat_logout" is not a path: it must begin with "/"


=== a duplicate chat_logout is rejected
--- server
location = /x { chat_logout; chat_logout; }
--- error_log
[emerg]
"chat_logout" directive is duplicate


=== chat_login and chat_logout at server level are rejected
--- server
chat_login;
--- error_log
[emerg]
"chat_login" directive is not allowed here
