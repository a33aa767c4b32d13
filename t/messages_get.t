#
# Copyright (C) ngx_chat contributors
#

# /api/v1/message/ID/

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== the sender gets the message
--- given
message(u1 => 'u2', 'hello "you"');
--- as: u1
--- request
GET /api/v1/message/1/
--- response_body chomp
{"id":1,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"hello \"you\""}
--- response_headers
Content-Type: application/json
Allow: GET, PATCH, DELETE, HEAD, OPTIONS
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
X-Frame-Options: DENY
Referrer-Policy: same-origin
Cache-Control: no-store


=== the recipient gets the message
--- given
message(u1 => 'u2', 'hello');
--- as: u2
--- request
GET /api/v1/message/1/
--- response_body chomp
{"id":1,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"hello"}


=== a time without a fraction has six digits
--- given
message(u1 => 'u2', 'hello');
sql("UPDATE chat_message SET created_at = '2026-01-01 00:00:00'");
--- as: u1
--- request
GET /api/v1/message/1/
--- response_body_like: "timestamp":"2026-01-01T00:00:00\.000000Z"


=== other users get a 404
--- given
message(u1 => 'u2', 'hello');
--- as: u3
--- request
GET /api/v1/message/1/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== other users get a 404 if the message is cached
--- then
my $id = api('u1', POST => '/api/v1/message/',
             { recipient => 'u2', body => 'secret' })->json->{id};

# each worker serves some of them
for (1 .. 10) {
    is(api('u2', GET => "/api/v1/message/$id/")->json->{body}, 'secret',
       'the recipient gets it');
    my $res = api('u3', GET => "/api/v1/message/$id/");
    is($res->code, 404, 'another user gets a 404');
    is($res->body, '{"detail":"Not found."}', 'as for a missing message');
}


=== an unknown id returns 404
--- as: u1
--- request
GET /api/v1/message/1/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== an id that is not a number returns 404
--- as: u1
--- request
GET /api/v1/message/one/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== an id with trailing characters returns 404
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- request
GET /api/v1/message/1x/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== id 0 returns 404
--- as: u1
--- request
GET /api/v1/message/0/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== a negative id returns 404
--- as: u1
--- request
GET /api/v1/message/-1/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== an id beyond 64 bits returns 404
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- request
GET /api/v1/message/18446744073709551617/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== trailing characters after the slash return 404
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- request
GET /api/v1/message/1/body/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== a path without the trailing slash works or redirects
--- given
message(u1 => 'u2', 'hello');
--- then
my $res = api('u1', GET => '/api/v1/message/1');

if ($res->code == 301) {
    like($res->headers->location,
         qr{^(?:http://127\.0\.0\.1:\d+)?/api/v1/message/1/$}, 'it redirects');

} else {
    is($res->code, 200, 'it works');
    is($res->json->{body}, 'hello', 'as with the slash');
}


=== arguments are ignored
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- request
GET /api/v1/message/1/?page=9&_=1700000000
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== simultaneous requests get their own messages
--- given
message(u1 => 'u2', $_) for 1 .. 40;
--- then
my %got;

Mojo::Promise->all(map {
    my $id = $_;
    request('u1', GET => "/api/v1/message/$id/")
        ->then(sub { $got{$id} = $_[0]->code == 200 ? $_[0]->json->{body}
                                                    : $_[0]->code });
} 1 .. 41)->wait;

is_deeply(\%got, { (map { $_ => $_ } 1 .. 40), 41 => 404 },
          '40 messages and one 404');


=== HEAD returns the headers only
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- request
HEAD /api/v1/message/1/
--- response_body
--- response_headers
Content-Type: application/json
Content-Length: 94
Allow: GET, PATCH, DELETE, HEAD, OPTIONS


=== HEAD of an unknown id returns 404
--- as: u1
--- request
HEAD /api/v1/message/1/
--- error_code: 404
--- response_body


=== OPTIONS describes the resource
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- request
OPTIONS /api/v1/message/1/
--- response_body_like: ^\{.*\}$
--- response_headers
Content-Type: application/json
Allow: GET, PATCH, DELETE, HEAD, OPTIONS


=== POST is not allowed
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- type: json
--- request
POST /api/v1/message/1/
{"body":"x"}
--- error_code: 405
--- response_body chomp
{"detail":"Method \"POST\" not allowed."}


=== PUT is not allowed
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- type: json
--- request
PUT /api/v1/message/1/
{"recipient":"u2","body":"x"}
--- error_code: 405
--- response_body chomp
{"detail":"Method \"PUT\" not allowed."}
--- response_headers
Allow: GET, PATCH, DELETE, HEAD, OPTIONS


=== PATCH does not change an old message
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- type: json
--- request
PATCH /api/v1/message/1/
{"body":"x"}
--- error_code: 403
--- response_body chomp
{"detail":"This message can no longer be changed."}
--- then
is(scalar sql('SELECT body FROM chat_message'), 'hello', 'nothing is changed');


=== DELETE does not delete an old message
--- given
message(u1 => 'u2', 'hello');
--- as: u1
--- request
DELETE /api/v1/message/1/
--- error_code: 403
--- response_body chomp
{"detail":"This message can no longer be changed."}
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'the message is kept');


=== with chat_redis, a message is not cached
--- http
chat_redis  127.0.0.1:1;
--- then
my $id = api('u1', POST => '/api/v1/message/',
             { recipient => 'u2', body => 'old' })->json->{id};

# as another host
sql("UPDATE chat_message SET body = 'new' WHERE id = ?", $id);

is(api('u1', GET => "/api/v1/message/$id/")->json->{body}, 'new',
   'changes of other hosts are seen');
