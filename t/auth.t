#
# Copyright (C) ngx_chat contributors
#

# chat_auth: in the API, elsewhere, with a name of the site's own; variables

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== without a session: refused, whatever the method or the path
--- then
for my $path (qw(message/ message/1/ message user/ conversation/ session/
                 conversation/u2/read password/ nothing/ nothing x/y/z), '')
{
    for my $method (qw(GET PUT PATCH DELETE OPTIONS BREW)) {
        my $res = api('', $method => "/api/v1/$path");

        is($res->code, 403, "$method $path");
        is($res->body,
           '{"detail":"Authentication credentials were not provided."}',
           'the reason');
    }
}


=== without a session: before the body is looked at
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


=== without a session: before the content type is looked at
--- type: text/plain
--- request
POST /api/v1/message/
x
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== without a session: HEAD
--- request
HEAD /api/v1/message/
--- error_code: 403
--- response_body


=== without a session: a connection is good for the next request
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


=== no such route
--- as: u1
--- request
GET /api/v1/nothing/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}
--- response_headers
Content-Type: application/json


=== the root of the API
--- as: u1
--- request
GET /api/v1/
--- response_body chomp
{"message":"http://localhost/api/v1/message/","user":"http://localhost/api/v1/user/","conversation":"http://localhost/api/v1/conversation/","session":"http://localhost/api/v1/session/"}
--- response_headers
Content-Type: application/json


=== a path that only begins like a route
--- as: u1
--- request
GET /api/v1/messages/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== a path of encoded letters is the same path
--- as: u1
--- request
GET /api/v1/%6dessage/
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== other locations: 403
--- server
location = /secret { chat_auth on; return 200 secret; }
location /files/ { chat_auth on; alias /etc/; }
--- request
GET /files/hostname
--- error_code: 403


=== other locations: what they have, with the variables
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


=== other locations: no unsafe request from a foreign page
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


=== the variables are empty for nobody
--- server
location = /open { return 200 "[$chat_user][$chat_user_id]"; }
--- as: u1
--- request
GET /open
--- response_body chomp
[][]


=== redirect= is for reading alone
--- server
location /pages/ { chat_auth on redirect=/login/; }
--- request
DELETE /pages/
--- error_code: 403


=== chat_auth off inside of on
--- server
chat_auth on;
location = /open { chat_auth off; try_files /static/style.css =404; }
--- request
GET /open
--- response_body_like: \{


=== limits can count by $chat_user_id
--- undescribed: limit_req answers in its own way
--- http
limit_req_zone $chat_user_id zone=each:64k rate=1r/m;
--- api
limit_req zone=each;
--- then
is(api('u1', GET => '/api/v1/user/')->code, 200, 'u1');
is(api('u1', GET => '/api/v1/user/')->code, 503, 'u1 again');
is(api('u2', GET => '/api/v1/user/')->code, 200, 'u2');
is(api('u2', GET => '/api/v1/user/')->code, 503, 'u2 again');


=== a name of the site's own
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- more_headers
X-Name: u3
--- request
GET /api/v1/session/
--- json
{"username":"u3","user_id":3,"is_admin":false}


=== a name of the site's own, in another case
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


=== a name of the site's own that we do not know
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- more_headers
X-Name: nobody
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a name of the site's own that is empty
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a name of the site's own: our sessions do not count
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a name of the site's own: somebody disabled
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


=== a name of the site's own: foreign pages send it as well
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
{"detail":"CSRF Failed: request from a foreign origin."}


=== $remote_user: the password is checked before the name is believed
--- undescribed: auth_basic answers in its own way
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

is($get->('wrong')->code, 401, 'the wrong one');

my $res = $get->('sesame');
is($res->code, 200, 'the right one');
is($res->json->{username}, 'u3', 'is believed');


=== a name of the site's own, for the sockets
--- change
s{(location = /ws .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- then
my $socket = web_socket('', headers => { 'X-Name' => 'u2' });

is($socket->{code}, 101, 'open');
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' });
ok(wait_until { @{ $socket->{frames} } }, 'told');

is(web_socket('', headers => { 'X-Name' => 'nobody' })->{code}, 403, 'refused');


=== the API in another place
--- change
s{location /api/v1/}{location /talk/};
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- request
GET /talk/message/
--- response_body_like: "next":"http://localhost/talk/message/\?page=2"


=== a route in a location that rewrites
--- api
rewrite ^/api/v1/short$ /other/xmessage/ break;
--- as: u1
--- request
GET /api/v1/short
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== an "if" is a part of its location: the API
--- api
if ($http_x_name) { set $x 1; }
--- more_headers
X-Name: x
--- request
GET /api/v1/message/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}
