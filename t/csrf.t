#
# Copyright (C) ngx_chat contributors
#

# where an unsafe request with a cookie may come from

use Test::Nginx::Socket 'no_plan';
use Chat;

our $Foreign = '{"detail":"CSRF Failed: request from a foreign origin."}';

# send_with HEADERS: the status of a send with the cookie; the Host is that of
# url()

sub send_with {
    my (%headers) = @_;

    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'x' }, %headers);

    is($res->body, $Foreign, 'the reason') if $res->code == 403;

    return $res->code;
}

run_tests();


__DATA__

=== none of the headers: no browser
--- then
is(send_with(), 201, 'sent');


=== Sec-Fetch-Site
--- then
is(send_with('Sec-Fetch-Site' => $_->[0]), $_->[1], $_->[0])
    for ['same-origin', 201], ['none', 201], ['same-site', 403],
        ['cross-site', 403], ['x', 403];


=== Origin
--- then
my $own = url('');
my ($port) = $own =~ /(\d+)$/;

is(send_with(Origin => $_->[0]), $_->[1], $_->[0])
    for [$own, 201],
        ["https://127.0.0.1:$port", 201],      # TLS may end before nginx
        ['http://127.0.0.1', 403],
        ["http://127.0.0.1:1$port", 403],
        ["http://localhost:$port", 403],
        ["http://127.0.0.1:$port.evil.example", 403],
        ["http://evil.example/127.0.0.1:$port", 403],
        ["http://evil.example#127.0.0.1:$port", 403],
        ["http://127.0.0.1:$port\@evil.example", 403],
        ['https://evil.example', 403],
        ['null', 403],
        ['x', 403];


=== Referer, when there is nothing else
--- then
my $own = url('');

is(send_with(Referer => $_->[0]), $_->[1], $_->[0])
    for ["$own/", 201],
        ["$own/some/page?x=y", 201],
        ["https://evil.example/", 403],
        ["https://evil.example/?$own/", 403];


=== Sec-Fetch-Site counts before Origin, Origin before Referer
--- then
my $own = url('');

is(send_with('Sec-Fetch-Site' => 'cross-site', Referer => "$own/"), 403,
   'cross-site');
is(send_with(Origin => 'https://evil.example', Referer => "$own/"), 403,
   'a foreign Origin');
is(send_with(Origin => $own, Referer => 'https://evil.example/'), 201,
   'an Origin of its own');


=== the Host names the site, whatever its case
--- as: u1
--- type: json
--- more_headers
Host: Chat.Example.org
Origin: http://chat.example.org
--- request
POST /api/v1/message/
{"recipient":"u2","body":"x"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"x"}


=== chat_allowed_origins
--- server
chat_allowed_origins https://app.example.org http://other.example:81;
--- then
is(send_with(Origin => $_->[0], 'Sec-Fetch-Site' => 'cross-site'), $_->[1],
   $_->[0])
    for ['https://app.example.org', 201],
        ['http://other.example:81', 201],
        ['http://app.example.org', 403],
        ['https://app.example.org:444', 403],
        ['https://app.example.org.evil.example', 403],
        ['https://evil.example', 403];


=== nothing is stored
--- as: u1
--- type: json
--- more_headers
Sec-Fetch-Site: cross-site
--- request
POST /api/v1/message/
{"recipient":"u2","body":"x"}
--- error_code: 403
--- response_body chomp
{"detail":"CSRF Failed: request from a foreign origin."}
--- response_headers
Content-Type: application/json
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'no message');


=== reading is allowed
--- as: u1
--- more_headers
Origin: https://evil.example
Sec-Fetch-Site: cross-site
--- request
GET /api/v1/message/
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}
--- response_headers
! Access-Control-Allow-Origin


=== OPTIONS promises nothing to other sites
--- as: u1
--- more_headers
Origin: https://evil.example
Access-Control-Request-Method: POST
--- request
OPTIONS /api/v1/message/
--- response_headers
! Access-Control-Allow-Origin


=== a bearer token cannot be borrowed
--- type: json
--- more_headers eval
'Authorization: Bearer ' . Chat::token('u1') . "\n"
. "Origin: https://evil.example\nSec-Fetch-Site: cross-site"
--- request
POST /api/v1/message/
{"recipient":"u2","body":"x"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"x"}


=== a foreign page cannot end the session
--- then
my $res = api('u1', DELETE => '/api/v1/session/', undef,
              'Sec-Fetch-Site' => 'cross-site');

is($res->code, 403, 'refused');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'it goes on');


=== nor mark anything read, nor change the password
--- given
message(u2 => 'u1', 'x');
--- then
is(api('u1', POST => '/api/v1/conversation/u2/read', { id => 1 },
       'Sec-Fetch-Site' => 'cross-site')->body, $Foreign, 'refused');
is(scalar sql('SELECT lo_unread FROM chat_conversation'), 1, 'unread');

is(api('u1', POST => '/api/v1/password/',
       { old_password => 'correct horse', new_password => 'battery staple' },
       'Sec-Fetch-Site' => 'cross-site')->body, $Foreign, 'refused');


=== nor log in by the API
--- type: json
--- more_headers
Origin: https://evil.example
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- error_code: 403
--- response_body chomp
{"detail":"CSRF Failed: request from a foreign origin."}
--- response_headers
! Set-Cookie
