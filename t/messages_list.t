#
# Copyright (C) ngx_chat contributors
#

# GET /api/v1/message/ by pages

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== nothing yet
--- as: u1
--- request
GET /api/v1/message/
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}
--- response_headers
Content-Type: application/json
Content-Length: 52
Allow: GET, POST, HEAD, OPTIONS
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
X-Frame-Options: DENY
Referrer-Policy: same-origin
Cache-Control: no-store


=== sent and received, newest first, nobody else's
--- given
message(u1 => 'u2', 'sent');
message(u2 => 'u3', 'not mine');
message(u3 => 'u1', 'received');
--- as: u1
--- request
GET /api/v1/message/
--- response_body chomp
{"count":2,"next":null,"previous":null,"results":[{"id":3,"user":"u3","recipient":"u1","timestamp":"2025-12-30T07:03:02.325660Z","body":"received"},{"id":1,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"sent"}]}


=== JSON whatever Accept says
--- as: u1
--- more_headers
Accept: text/html,application/xhtml+xml
--- request
GET /api/v1/message/
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}
--- response_headers
Content-Type: application/json


=== 15 a page
--- given
message(u1 => 'u2', $_) for 1 .. 27;
--- as: u1
--- request
GET /api/v1/message/
--- bodies: 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13
--- response_body_like chomp
^\{"count":27,"next":"http://localhost/api/v1/message/\?page=2","previous":null,"results":\[


=== the second page: the link to the first one carries no page
--- given
message(u1 => 'u2', $_) for 1 .. 27;
--- as: u1
--- request
GET /api/v1/message/?page=2
--- bodies: 12 11 10 9 8 7 6 5 4 3 2 1
--- response_body_like chomp
^\{"count":27,"next":null,"previous":"http://localhost/api/v1/message/","results":\[


=== a page between others
--- given
message(u1 => 'u2', $_) for 1 .. 31;
--- as: u1
--- request
GET /api/v1/message/?page=2
--- bodies: 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2
--- response_body_like chomp
^\{"count":31,"next":"http://localhost/api/v1/message/\?page=3","previous":"http://localhost/api/v1/message/","results":\[


=== page=last
--- given
message(u1 => 'u2', $_) for 1 .. 31;
--- as: u1
--- request
GET /api/v1/message/?page=last
--- bodies: 1
--- response_body_like chomp
^\{"count":31,"next":null,"previous":"http://localhost/api/v1/message/\?page=2","results":\[


=== page=last of exactly two
--- given
message(u1 => 'u2', $_) for 1 .. 30;
--- as: u1
--- request
GET /api/v1/message/?page=last
--- bodies: 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1
--- response_body_like chomp
^\{"count":30,"next":null,"previous":"http://localhost/api/v1/message/","results":\[


=== page=last of nothing
--- as: u1
--- request
GET /api/v1/message/?page=last
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== page 1 of nothing
--- as: u1
--- request
GET /api/v1/message/?page=1
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== no such page
--- given
message(u1 => 'u2', $_) for 1 .. 15;
--- as: u1
--- request
GET /api/v1/message/?page=2
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== page 0
--- as: u1
--- request
GET /api/v1/message/?page=0
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a negative page
--- as: u1
--- request
GET /api/v1/message/?page=-1
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a page that is no number
--- as: u1
--- request
GET /api/v1/message/?page=two
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== an empty page
--- as: u1
--- request
GET /api/v1/message/?page=
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a page beyond 64 bits
--- given
message(u1 => 'u2', 'x');
--- as: u1
--- request
GET /api/v1/message/?page=18446744073709551617
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a page whose offset is beyond 64 bits
--- given
message(u1 => 'u2', 'x');
--- as: u1
--- request
GET /api/v1/message/?page=18446744073709551615
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a parameter given twice: the last one counts
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- request
GET /api/v1/message/?page=7&page=2
--- bodies: 1


=== with one person, both directions
--- given
message(u1 => 'u2', 'one');
message(u2 => 'u1', 'two');
message(u1 => 'u3', 'other');
message(u2 => 'u3', 'not mine');
--- as: u1
--- request
GET /api/v1/message/?target=u2
--- bodies: two one
--- response_body_like: ^\{"count":2,"next":null,"previous":null,


=== target in another case
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=U2
--- bodies: one


=== target, encoded
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=%752
--- bodies: one


=== target given twice: the last one counts
--- given
message(u1 => 'u2', 'one');
message(u1 => 'u3', 'two');
--- as: u1
--- request
GET /api/v1/message/?target=u2&target=u3
--- bodies: two


=== target nobody has
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=nobody
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== empty target
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== target that holds SQL
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=u2'%20OR%20'1'='1
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== target that is no UTF-8
--- as: u1
--- request
GET /api/v1/message/?target=%ff%00
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== oneself, without notes to self
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=u1
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== oneself, with notes to self
--- given
message(u1 => 'u2', 'one');
message(u1 => 'u1', 'note');
--- as: u1
--- request
GET /api/v1/message/?target=u1
--- bodies: note
--- response_body_like: ^\{"count":1,


=== notes to self among all: once
--- given
message(u1 => 'u1', 'note');
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/
--- bodies: one note
--- response_body_like: ^\{"count":2,


=== an invalid page of somebody unknown
--- as: u1
--- request
GET /api/v1/message/?target=nobody&page=2
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== links keep the other parameters, sorted by key
--- given
message(u1 => 'u2', $_) for 1 .. 31;
--- as: u1
--- request
GET /api/v1/message/?target=u2&z=1&page=2&a=x%20y%2fz&b=
--- response_body_like eval
'^\{"count":31,'
. quotemeta('"next":"http://localhost/api/v1/message/?a=x+y%2Fz&b=&page=3&target=u2&z=1",')
. quotemeta('"previous":"http://localhost/api/v1/message/?a=x+y%2Fz&b=&target=u2&z=1",')


=== links keep a parameter given twice
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- request
GET /api/v1/message/?target=u3&a=2&target=u2&a=1
--- response_body_like eval
quotemeta('"next":"http://localhost/api/v1/message/?a=2&a=1&page=2&target=u3&target=u2","previous":null,')


=== links keep as many parameters as there may be
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- then
# of two with one name the order stays

my @args = map { my $key = sprintf '%02x', $_; ("$key=2", "$key=1") }
               reverse 0 .. 255;
my $sorted = join '&', (map { my $key = sprintf '%02x', $_;
                              ("$key=2", "$key=1") } 0 .. 255), 'page=2';
my $next = api('u1', GET => '/api/v1/message/?' . join '&', @args)
               ->json->{next};

is($next =~ s/.*\?//r, $sorted, 'sorted');


=== links keep letters that are no ASCII, encoded
--- given
sql("UPDATE chat_user SET username = 'ütwo' WHERE id = 2");
message(u1 => 'ütwo', $_) for 1 .. 16;
--- as: u1
--- request
GET /api/v1/message/?target=%c3%bctwo
--- response_body_like eval
quotemeta('"next":"http://localhost/api/v1/message/?page=2&target=%C3%BCtwo",')


=== links name the host of the request
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- more_headers
Host: chat.example.org:8443
--- request
GET /api/v1/message/
--- response_body_like eval
quotemeta('"next":"http://chat.example.org:8443/api/v1/message/?page=2",')


=== a Host with what would end the string is not let in
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- more_headers
Host: a","x":"b
--- request
GET /api/v1/message/
--- error_code_like: ^(?:200|400)$
--- response_body_unlike: "x":"b


=== bytes that are no UTF-8, in the path, leave the answer JSON
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- raw_request eval
"GET /api/v1/x\xff/../message/?a=\xff HTTP/1.1\r\nHost: h\r\n"
. 'Cookie: sessionid=' . Chat::token('u1') . "\r\nConnection: close\r\n\r\n"
--- response_body_like eval
quotemeta('"next":"http://h/api/v1/x%FF/../message/?a=%FF&page=2",')


=== and in Host, which nginx refuses itself from 1.29.4 on
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- raw_request eval
"GET /api/v1/message/ HTTP/1.1\r\nHost: h\xff\r\n"
. 'Cookie: sessionid=' . Chat::token('u1') . "\r\nConnection: close\r\n\r\n"
--- error_code_like: ^(?:200|400)$
--- response_body_like eval
'^<html>\s*<head><title>400 |'
. quotemeta('"next":"http://h%FF/api/v1/message/?page=2",')


=== the API itself without its closing slash leads there
--- as: u1
--- request
GET /api/v1?a=b
--- undescribed: it is nginx's own
--- error_code: 301
--- response_headers_like
Location: http://[^/]+/api/v1/\?a=b


=== without the closing slash: works, or leads there with its query
--- given
message(u1 => 'u2', 'one');
--- then
my $res = api('u1', GET => '/api/v1/message?target=u2&page=1');

if ($res->code == 301) {
    like($res->headers->location,
         qr{^(?:http://127\.0\.0\.1:\d+)?/api/v1/message/\?target=u2&page=1$},
         'the query is kept');

} else {
    is($res->code, 200, 'it works');
    is_deeply([texts($res->json->{results})], ['one'], 'as with the slash');
}


=== chat_page_size
--- given
message(u1 => 'u2', $_) for 1 .. 4;
--- server
chat_page_size 3;
--- as: u1
--- request
GET /api/v1/message/
--- bodies: 4 3 2
--- response_body_like: ^\{"count":4,"next":"http://localhost/api/v1/message/\?page=2",


=== what was just sent is in the list
--- then
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $_ })
    for qw(one two);

for my $who (qw(u1 u2)) {
    my $list = api($who, GET => '/api/v1/message/')->json;
    is($list->{count}, 2, "$who has two");
    is_deeply([texts($list->{results})], [qw(two one)], "newest first");
}

is(api('u3', GET => '/api/v1/message/')->json->{count}, 0, 'u3 has none');


=== HEAD
--- as: u1
--- request
HEAD /api/v1/message/
--- response_body
--- response_headers
Content-Type: application/json
Content-Length: 52
Allow: GET, POST, HEAD, OPTIONS


=== OPTIONS
--- as: u1
--- request
OPTIONS /api/v1/message/
--- response_body_like: ^\{.*\}$
--- response_headers
Content-Type: application/json
Allow: GET, POST, HEAD, OPTIONS


=== PUT
--- as: u1
--- type: json
--- request
PUT /api/v1/message/
{"recipient":"u2","body":"x"}
--- error_code: 405
--- response_body chomp
{"detail":"Method \"PUT\" not allowed."}
--- response_headers
Content-Type: application/json
Allow: GET, POST, HEAD, OPTIONS


=== PATCH
--- as: u1
--- request
PATCH /api/v1/message/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"PATCH\" not allowed."}
--- response_headers
Allow: GET, POST, HEAD, OPTIONS


=== DELETE
--- as: u1
--- request
DELETE /api/v1/message/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"DELETE\" not allowed."}
--- response_headers
Allow: GET, POST, HEAD, OPTIONS


=== a method nobody knows
--- as: u1
--- request
BREW /api/v1/message/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"BREW\" not allowed."}
