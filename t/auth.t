#
# Copyright (C) ngx_chat contributors
#

# chat_auth in the API and elsewhere, names given by the site, variables

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== unauthenticated requests are rejected for all methods and paths
--- then
for my $path (qw(message/ message/1/ message user/ conversation/ session/
                 conversation/u2/read password/ nothing/ nothing x/y/z), '')
{
    for my $method (qw(GET PUT PATCH DELETE OPTIONS BREW)) {
        my $res = api('', $method => "/api/v1/$path");

        is($res->code, 403, "$method $path");
        is($res->body,
           '{"detail":"Authentication credentials were not provided."}',
           'with the reason');
    }
}


=== an unauthenticated request is rejected before its body is parsed
--- type: json
--- request
POST /api/v1/message/
{"recipient":
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}
--- response_headers
Content-Type: application/json
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
X-Frame-Options: DENY
Referrer-Policy: same-origin


=== an unauthenticated request is rejected before its content type is checked
--- type: text/plain
--- request
POST /api/v1/message/
x
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== an unauthenticated HEAD request is rejected
--- request
HEAD /api/v1/message/
--- error_code: 403
--- response_body


=== a rejected request leaves the connection open for the next one
--- type: json
--- pipelined_requests eval
[
    "POST /api/v1/message/\n" . '{"recipient":"u2","body":"one"}',
    "POST /api/v1/message/\n" . '{"recipient":"u2","body":"two"}',
]
--- error_code eval
[403, 403]
--- response_body eval
[('{"detail":"Authentication credentials were not provided."}') x 2]


=== an unknown route is not found
--- as: u1
--- request
GET /api/v1/nothing/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}
--- response_headers
Content-Type: application/json


=== the root of the API lists the collections
--- as: u1
--- request
GET /api/v1/
--- response_body chomp
{"message":"http://localhost/api/v1/message/","user":"http://localhost/api/v1/user/","conversation":"http://localhost/api/v1/conversation/","session":"http://localhost/api/v1/session/"}
--- response_headers
Content-Type: application/json


=== a path with a route as its prefix is not found
--- as: u1
--- request
GET /api/v1/messages/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== a path with percent-encoded letters is the same path
--- as: u1
--- request
GET /api/v1/%6dessage/
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== other locations return 403
--- server
location = /secret { chat_auth on; return 200 secret; }
location /files/ { chat_auth on; alias /etc/; }
--- request
GET /files/hostname
--- error_code: 403


=== other locations return their content, with the variables
--- server
location = /secret {
    chat_auth on;
    add_header X-User $chat_user;
    add_header X-User-Id $chat_user_id;
    try_files /static/style.css =404;
}
--- as: u2
--- request
GET /secret
--- response_body_like: \{
--- response_headers
X-User: u2
X-User-Id: 2


=== other locations reject cross-origin unsafe requests
--- server
location = /own {
    chat_auth on;
    try_files /static/style.css =405;
}
--- as: u1
--- request
POST /own
--- more_headers
Sec-Fetch-Site: cross-site
--- error_code: 403


=== the variables are empty in unauthenticated requests
--- server
location = /open { return 200 "[$chat_user][$chat_user_id]"; }
--- as: u1
--- request
GET /open
--- response_body chomp
[][]


=== redirect= applies to safe methods only
--- server
location /pages/ { chat_auth on redirect=/login/; }
--- request
DELETE /pages/
--- error_code: 403


=== chat_auth off overrides an inherited chat_auth on
--- server
chat_auth on;
location = /open { chat_auth off; try_files /static/style.css =404; }
--- request
GET /open
--- response_body_like: \{


=== limit_req can use $chat_user_id as its key
--- undescribed: responses of limit_req
--- http
limit_req_zone $chat_user_id zone=each:64k rate=1r/m;
--- api
limit_req zone=each;
--- then
is(api('u1', GET => '/api/v1/user/')->code, 200, 'u1');
is(api('u1', GET => '/api/v1/user/')->code, 503, 'u1 again');
is(api('u2', GET => '/api/v1/user/')->code, 200, 'u2');
is(api('u2', GET => '/api/v1/user/')->code, 503, 'u2 again');


=== chat_auth with a variable accepts its value as the user name
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- more_headers
X-Name: u3
--- request
GET /api/v1/session/
--- json
{"username":"u3","user_id":3,"is_admin":false,"login":"site"}


=== chat_auth with a variable ignores the case of the name
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- type: json
--- more_headers
X-Name: U3
--- request
POST /api/v1/message/
{"recipient":"u1","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u3","recipient":"u1","timestamp":"<time>","body":"hello"}


=== chat_auth with a variable rejects an unknown name
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- more_headers
X-Name: nobody
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_auth with a variable rejects an empty name
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_auth with a variable ignores session cookies
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_auth with a variable rejects a disabled user
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- more_headers
X-Name: u3
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_auth with a variable rejects cross-origin requests
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- type: json
--- more_headers
X-Name: u3
Origin: https://evil.example
--- request
POST /api/v1/message/
{"recipient":"u1","body":"hello"}
--- error_code: 403
--- response_body chomp
{"detail":"CSRF Failed: cross-origin request."}


=== $remote_user is used after auth_basic has checked the password
--- undescribed: responses of auth_basic
--- user_files eval
my $hash = crypt('sesame', '$1$saltsalt$');
">>> people\nu3:$hash\n";
--- change
s{(location /api/v1/ .*?)chat_auth +on;}
 {$1auth_basic site; auth_basic_user_file $ENV{TEST_NGINX_SERVER_ROOT}/html/people; chat_auth \$remote_user;}s;
--- then
my $get = sub {
    return api('', GET => '/api/v1/session/', undef,
               Authorization => 'Basic '
                                . Mojo::Util::b64_encode("u3:$_[0]", ''));
};

is($get->('wrong')->code, 401, 'a wrong password is rejected');

my $res = $get->('sesame');
is($res->code, 200, 'the correct password is accepted');
is($res->json->{username}, 'u3', 'with its user name');


=== chat_auth with a variable applies to sockets
--- change
s{(location = /ws .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- then
my $socket = web_socket('', headers => { 'X-Name' => 'u2' });

is($socket->{code}, 101, 'the socket is open');
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' });
ok(wait_until { @{ $socket->{frames} } }, 'the user is notified');

is(web_socket('', headers => { 'X-Name' => 'nobody' })->{code}, 403,
   'an unknown user is rejected');


=== the API works under another path
--- change
s{location /api/v1/}{location /talk/};
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- request
GET /talk/message/
--- response_body_like: "next":"http://localhost/talk/message/\?page=2"


=== a rewritten path without a route is not found
--- api
rewrite ^/api/v1/short$ /other/xmessage/ break;
--- as: u1
--- request
GET /api/v1/short
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== an "if" block inherits chat_auth of its API location
--- api
if ($http_x_name) { set $x 1; }
--- more_headers
X-Name: x
--- request
GET /api/v1/message/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}
