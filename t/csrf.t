#
# Copyright (C) ngx_chat contributors
#

# same-origin check of unsafe requests with a cookie

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Wire ();

our $Foreign = '{"detail":"CSRF Failed: cross-origin request."}';

# send_with HEADERS: returns the status of a send with the cookie; Host is that
# of url()

sub send_with {
    my (%headers) = @_;

    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'x' }, %headers);

    is($res->body, $Foreign, 'with the reason') if $res->code == 403;

    return $res->code;
}

run_tests();


__DATA__

=== a request without any of the headers is accepted
--- then
is(send_with(), 201, 'the send succeeds');


=== Sec-Fetch-Site must be same-origin or none
--- then
is(send_with('Sec-Fetch-Site' => $_->[0]), $_->[1], $_->[0])
    for ['same-origin', 201], ['none', 201], ['same-site', 403],
        ['cross-site', 403], ['x', 403];


=== Origin must match Host
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


=== Referer is checked if there is no other header
--- then
my $own = url('');

is(send_with(Referer => $_->[0]), $_->[1], $_->[0])
    for ["$own/", 201],
        ["$own/some/page?x=y", 201],
        ["https://evil.example/", 403],
        ["https://evil.example/?$own/", 403];


=== Sec-Fetch-Site takes precedence over Origin, and Origin over Referer
--- then
my $own = url('');

is(send_with('Sec-Fetch-Site' => 'cross-site', Referer => "$own/"), 403,
   'cross-site');
is(send_with(Origin => 'https://evil.example', Referer => "$own/"), 403,
   'a cross-origin Origin');
is(send_with(Origin => $own, Referer => 'https://evil.example/'), 201,
   'a same-origin Origin');


=== Host is compared ignoring case
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


=== chat_allowed_origins allows other origins
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


=== a rejected send is not stored
--- as: u1
--- type: json
--- more_headers
Sec-Fetch-Site: cross-site
--- request
POST /api/v1/message/
{"recipient":"u2","body":"x"}
--- error_code: 403
--- response_body chomp
{"detail":"CSRF Failed: cross-origin request."}
--- response_headers
Content-Type: application/json
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'no message');


=== cross-origin reads are allowed
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


=== OPTIONS does not allow cross-origin requests
--- as: u1
--- more_headers
Origin: https://evil.example
Access-Control-Request-Method: POST
--- request
OPTIONS /api/v1/message/
--- response_headers
! Access-Control-Allow-Origin


=== requests with a bearer token are not checked
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


=== a cross-origin logout is rejected
--- then
my $res = api('u1', DELETE => '/api/v1/session/', undef,
              'Sec-Fetch-Site' => 'cross-site');

is($res->code, 403, 'the logout is rejected');
is(api('u1', GET => '/api/v1/session/')->code, 200,
   'the session is still valid');


=== cross-origin read marks and password changes are rejected
--- given
message(u2 => 'u1', 'x');
--- then
is(api('u1', POST => '/api/v1/conversation/u2/read', { id => 1 },
       'Sec-Fetch-Site' => 'cross-site')->body, $Foreign,
       'the mark is rejected');
is(scalar sql('SELECT lo_unread FROM chat_conversation'), 1,
   'the message is still unread');

is(api('u1', POST => '/api/v1/password/',
       { old_password => 'correct horse', new_password => 'battery staple' },
       'Sec-Fetch-Site' => 'cross-site')->body, $Foreign,
       'the password change is rejected');


=== a cross-origin login by the API is rejected
--- type: json
--- more_headers
Origin: https://evil.example
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- error_code: 403
--- response_body chomp
{"detail":"CSRF Failed: cross-origin request."}
--- response_headers
! Set-Cookie


=== default ports are ignored in comparisons
--- server
chat_allowed_origins https://app.example:443 http://dev.example;
--- then
my @cases = (
    ['h:80', Origin => 'http://h', 204], ['h', Origin => 'http://h:80', 204],
    ['h:80', Origin => 'http://h:80', 204],
    ['h:443', Origin => 'https://h', 204],
    ['h', Origin => 'https://h:443', 204], ['H:80', Origin => 'HTTP://h', 204],
    ['h:80', Referer => 'http://h/x:y', 204],
    ['h', Referer => 'http://h:80/', 204],
    ['[::1]:80', Origin => 'http://[::1]', 204],
    ['h', Origin => 'https://app.example', 204],
    ['h', Origin => 'https://app.example:443', 204],
    ['h', Origin => 'http://dev.example:80', 204],

    ['h:80', Origin => 'http://h:8080', 403],
    ['h:443', Origin => 'http://h', 403], ['h', Origin => 'http://h:443', 403],
    ['h:80', Origin => 'https://h', 403], ['h', Origin => 'https://h:80', 403],
    ['h:8080', Origin => 'http://h', 403], ['h:80', Origin => 'http://h:', 403],
    ['h', Origin => 'http://h:080', 403], ['h', Origin => ':80', 403],
    ['h', Origin => 'http://app.example', 403],
    ['h', Origin => 'http://:80', 403],
);

for my $case (@cases) {
    my ($host, $name, $value, $code) = @$case;
    my $answer = Chat::Wire::talk(
        "DELETE /api/v1/session/ HTTP/1.1\r\nHost: $host\r\n$name: $value\r\n"
        . 'Cookie: sessionid=' . token('u1') . "\r\nConnection: close\r\n\r\n");

    is($answer->{code}, $code, "$host, $name: $value");
    add_session('u1') if $answer->{code} == 204;
}


=== a page loaded over http gets a specific error if https is required
--- server
chat_cookie sessionid secure=on;
--- then
my $ask = sub {
    return api('', DELETE => '/api/v1/session/', undef, @_,
               Cookie => '__Host-sessionid=' . token('u1'));
};
my $insecure = '{"detail":"CSRF Failed: the page was loaded over http, but its '
               . 'session cookie requires https."}';
my ($host) = url('') =~ m{//(.*)};

for my $header (['Origin', "http://$host"], ['Referer', "http://$host/x"]) {
    my $res = $ask->(@$header);
    is($res->code, 403, $header->[0]);
    is($res->body, $insecure, 'with the reason');
}

like($ask->(Origin => 'http://other')->body, qr/cross-origin/,
     'another origin');
like(error_log(), qr/loaded over http, while the session cookie requires https/,
     'the log reports it');
is($ask->(Origin => "https://$host")->code, 204, 'an https origin is accepted');
