#
# Copyright (C) ngx_chat contributors
#

# GET /api/v1/message/ by pages

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== the list is empty without messages
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


=== a user's own messages are listed, newest first
--- given
message(u1 => 'u2', 'sent');
message(u2 => 'u3', 'not mine');
message(u3 => 'u1', 'received');
--- as: u1
--- request
GET /api/v1/message/
--- response_body chomp
{"count":2,"next":null,"previous":null,"results":[{"id":3,"user":"u3","recipient":"u1","timestamp":"2025-12-30T07:03:02.325660Z","body":"received"},{"id":1,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"sent"}]}


=== the response is JSON regardless of Accept
--- as: u1
--- more_headers
Accept: text/html,application/xhtml+xml
--- request
GET /api/v1/message/
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}
--- response_headers
Content-Type: application/json


=== a page has 15 messages
--- given
message(u1 => 'u2', $_) for 1 .. 27;
--- as: u1
--- request
GET /api/v1/message/
--- bodies: 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13
--- response_body_like chomp
^\{"count":27,"next":"http://localhost/api/v1/message/\?page=2","previous":null,"results":\[


=== the link from the second page to the first has no page
--- given
message(u1 => 'u2', $_) for 1 .. 27;
--- as: u1
--- request
GET /api/v1/message/?page=2
--- bodies: 12 11 10 9 8 7 6 5 4 3 2 1
--- response_body_like chomp
^\{"count":27,"next":null,"previous":"http://localhost/api/v1/message/","results":\[


=== a page in the middle links to both neighbours
--- given
message(u1 => 'u2', $_) for 1 .. 31;
--- as: u1
--- request
GET /api/v1/message/?page=2
--- bodies: 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2
--- response_body_like chomp
^\{"count":31,"next":"http://localhost/api/v1/message/\?page=3","previous":"http://localhost/api/v1/message/","results":\[


=== page=last returns the last page
--- given
message(u1 => 'u2', $_) for 1 .. 31;
--- as: u1
--- request
GET /api/v1/message/?page=last
--- bodies: 1
--- response_body_like chomp
^\{"count":31,"next":null,"previous":"http://localhost/api/v1/message/\?page=2","results":\[


=== page=last returns the second of two full pages
--- given
message(u1 => 'u2', $_) for 1 .. 30;
--- as: u1
--- request
GET /api/v1/message/?page=last
--- bodies: 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1
--- response_body_like chomp
^\{"count":30,"next":null,"previous":"http://localhost/api/v1/message/","results":\[


=== page=last of an empty list returns an empty page
--- as: u1
--- request
GET /api/v1/message/?page=last
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== page 1 of an empty list returns an empty page
--- as: u1
--- request
GET /api/v1/message/?page=1
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== a page after the last is rejected
--- given
message(u1 => 'u2', $_) for 1 .. 15;
--- as: u1
--- request
GET /api/v1/message/?page=2
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== page 0 is rejected
--- as: u1
--- request
GET /api/v1/message/?page=0
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a negative page is rejected
--- as: u1
--- request
GET /api/v1/message/?page=-1
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a page that is not a number is rejected
--- as: u1
--- request
GET /api/v1/message/?page=two
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== an empty page is rejected
--- as: u1
--- request
GET /api/v1/message/?page=
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a page beyond 64 bits is rejected
--- given
message(u1 => 'u2', 'x');
--- as: u1
--- request
GET /api/v1/message/?page=18446744073709551617
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== a page with an offset beyond 64 bits is rejected
--- given
message(u1 => 'u2', 'x');
--- as: u1
--- request
GET /api/v1/message/?page=18446744073709551615
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}


=== the last of two page= parameters is used
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- request
GET /api/v1/message/?page=7&page=2
--- bodies: 1


=== target= selects both directions of a conversation
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


=== case is ignored in target=
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=U2
--- bodies: one


=== target= is decoded
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=%752
--- bodies: one


=== the last of two target= parameters is used
--- given
message(u1 => 'u2', 'one');
message(u1 => 'u3', 'two');
--- as: u1
--- request
GET /api/v1/message/?target=u2&target=u3
--- bodies: two


=== an unknown target returns an empty list
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=nobody
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== an empty target selects all messages
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== SQL in target= is plain text
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=u2'%20OR%20'1'='1
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== a target in invalid UTF-8 returns an empty list
--- as: u1
--- request
GET /api/v1/message/?target=%ff%00
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== the user's own name selects nothing without notes to self
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/?target=u1
--- response_body chomp
{"count":0,"next":null,"previous":null,"results":[]}


=== the user's own name selects notes to self
--- given
message(u1 => 'u2', 'one');
message(u1 => 'u1', 'note');
--- as: u1
--- request
GET /api/v1/message/?target=u1
--- bodies: note
--- response_body_like: ^\{"count":1,


=== notes to self are listed once among all messages
--- given
message(u1 => 'u1', 'note');
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/message/
--- bodies: one note
--- response_body_like: ^\{"count":2,


=== an invalid page of an unknown target is rejected
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


=== links keep repeated parameters
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- request
GET /api/v1/message/?target=u3&a=2&target=u2&a=1
--- response_body_like eval
quotemeta('"next":"http://localhost/api/v1/message/?a=2&a=1&page=2&target=u3&target=u2","previous":null,')


=== links keep the maximum number of parameters
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- then
# parameters with the same name keep their order

my @args = map { my $key = sprintf '%02x', $_; ("$key=2", "$key=1") }
               reverse 0 .. 255;
my $sorted = join '&', (map { my $key = sprintf '%02x', $_;
                              ("$key=2", "$key=1") } 0 .. 255), 'page=2';
my $next = api('u1', GET => '/api/v1/message/?' . join '&', @args)
               ->json->{next};

is($next =~ s/.*\?//r, $sorted, 'sorted');


=== links encode non-ASCII letters
--- given
sql("UPDATE chat_user SET username = 'ütwo' WHERE id = 2");
message(u1 => 'ütwo', $_) for 1 .. 16;
--- as: u1
--- request
GET /api/v1/message/?target=%c3%bctwo
--- response_body_like eval
quotemeta('"next":"http://localhost/api/v1/message/?page=2&target=%C3%BCtwo",')


=== links have the host of the request
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- more_headers
Host: chat.example.org:8443
--- request
GET /api/v1/message/
--- response_body_like eval
quotemeta('"next":"http://chat.example.org:8443/api/v1/message/?page=2",')


=== a Host with quotes does not end the string
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- more_headers
Host: a","x":"b
--- request
GET /api/v1/message/
--- error_code_like: ^(?:200|400)$
--- response_body_unlike: "x":"b


=== invalid UTF-8 in the path does not break the JSON response
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- raw_request eval
"GET /api/v1/x\xff/../message/?a=\xff HTTP/1.1\r\nHost: h\r\n"
. 'Cookie: sessionid=' . Chat::token('u1') . "\r\nConnection: close\r\n\r\n"
--- response_body_like eval
quotemeta('"next":"http://h/api/v1/x%FF/../message/?a=%FF&page=2",')


=== invalid UTF-8 in Host is encoded, or rejected by nginx from 1.29.4
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


=== the path of the API without the trailing slash redirects
--- as: u1
--- request
GET /api/v1?a=b
--- undescribed: it is nginx's own
--- error_code: 301
--- response_headers_like
Location: http://[^/]+/api/v1/\?a=b


=== a path without the trailing slash works, or redirects with its arguments
--- given
message(u1 => 'u2', 'one');
--- then
my $res = api('u1', GET => '/api/v1/message?target=u2&page=1');

if ($res->code == 301) {
    like($res->headers->location,
         qr{^(?:http://127\.0\.0\.1:\d+)?/api/v1/message/\?target=u2&page=1$},
         'the arguments are kept');

} else {
    is($res->code, 200, 'it works');
    is_deeply([texts($res->json->{results})], ['one'], 'as with the slash');
}


=== chat_page_size sets the size of pages
--- given
message(u1 => 'u2', $_) for 1 .. 4;
--- server
chat_page_size 3;
--- as: u1
--- request
GET /api/v1/message/
--- bodies: 4 3 2
--- response_body_like: ^\{"count":4,"next":"http://localhost/api/v1/message/\?page=2",


=== a sent message is listed at once
--- then
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $_ })
    for qw(one two);

for my $who (qw(u1 u2)) {
    my $list = api($who, GET => '/api/v1/message/')->json;
    is($list->{count}, 2, "$who has two");
    is_deeply([texts($list->{results})], [qw(two one)], "newest first");
}

is(api('u3', GET => '/api/v1/message/')->json->{count}, 0, 'u3 has none');


=== HEAD returns the headers only
--- as: u1
--- request
HEAD /api/v1/message/
--- response_body
--- response_headers
Content-Type: application/json
Content-Length: 52
Allow: GET, POST, HEAD, OPTIONS


=== OPTIONS describes the resource
--- as: u1
--- request
OPTIONS /api/v1/message/
--- response_body_like: ^\{.*\}$
--- response_headers
Content-Type: application/json
Allow: GET, POST, HEAD, OPTIONS


=== PUT is not allowed
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


=== PATCH is not allowed
--- as: u1
--- request
PATCH /api/v1/message/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"PATCH\" not allowed."}
--- response_headers
Allow: GET, POST, HEAD, OPTIONS


=== DELETE is not allowed
--- as: u1
--- request
DELETE /api/v1/message/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"DELETE\" not allowed."}
--- response_headers
Allow: GET, POST, HEAD, OPTIONS


=== an unknown method is not allowed
--- as: u1
--- request
BREW /api/v1/message/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"BREW\" not allowed."}


=== pages far from both ends are rejected
--- given
# with three users, notes to self among them
sql("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
     WITH d AS (SELECT 0 AS k UNION SELECT 1 UNION SELECT 2 UNION SELECT 3
                UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7
                UNION SELECT 8 UNION SELECT 9),
          n AS (SELECT 1 + a.k + 10 * b.k + 100 * c.k + 1000 * e.k
                       + 10000 * f.k AS i
                FROM d a, d b, d c, d e, d f)
     SELECT IF(i % 2, 1, 2), IF(i % 2, IF(i % 5, 2, IF(i % 3, 1, 3)), 1), NOW(),
            i FROM n WHERE i <= 26000 ORDER BY i");
sql('INSERT INTO chat_conversation (lo_id, hi_id, message_count, last_message_id)
     SELECT lo_id, hi_id, COUNT(*), MAX(id) FROM chat_message
     GROUP BY lo_id, hi_id');
--- then
for my $target ('', 'u2') {
    my $where = $target ? 'WHERE lo_id = 1 AND hi_id = 2' : '';
    my $query = $target ? "target=$target&" : '';
    my @ids = sql("SELECT id FROM chat_message $where ORDER BY id DESC");
    my $count = @ids;
    my $pages = int(($count + 14) / 15);
    my $far = 10000 / 15;

    # pages at the limits, and some on both sides of them
    my $last = int(($count - 10000 - 15) / 15) + 2;
    my %served = map { $_ => 1 } 1, 2, 300, int($far) + 1, $last, $last + 1,
                                 $pages - 300, $pages - 1, $pages;
    my %refused = map { $_ => 1 } int($far) + 2, 700, $last - 1;

    for my $page (sort { $a <=> $b } keys %served) {
        my $res = api('u1', GET => "/api/v1/message/?${query}page=$page");
        my $json = $res->json;
        my $first = 15 * ($page - 1);
        my $end = $first + 14 > $#ids ? $#ids : $first + 14;

        is($res->code, 200, "page $page of $pages");
        is("$json->{count} " . join(' ', map { $_->{id} } @{ $json->{results} }),
           "$count @ids[$first .. $end]", 'the page has the expected messages');
        like($json->{next} // '-',
             $page < $pages ? qr/page=@{[$page + 1]}\b/ : qr/^-$/, 'next');
        like($json->{previous} // '-',
             $page > 2 ? qr/page=@{[$page - 1]}\b/
                       : $page > 1 ? qr/message\/(\?target=u2)?$/ : qr/^-$/,
             'previous');
    }

    for my $page (sort { $a <=> $b } keys %refused) {
        my $res = api('u1', GET => "/api/v1/message/?${query}page=$page");

        is($res->code, 404, "page $page is too far");
        is($res->json->{detail},
           'This page is more than 10000 messages away from the newest and the '
           . 'oldest one. Use "before" to read on.', 'the reason');
    }

    for my $page ($pages + 1, 1_000_000, 1 << 30) {
        my $res = api('u1', GET => "/api/v1/message/?${query}page=$page");

        is($res->code, 404, "page $page does not exist");
        is($res->json->{detail}, 'Invalid page.', 'as before');
    }

    is_deeply(api('u1', GET => "/api/v1/message/?${query}page=last")->json,
              api('u1', GET => "/api/v1/message/?${query}page=$pages")->json,
              'the last page has its number');
}


=== a page far beyond the messages of an unknown target is rejected
--- as: u1
--- request
GET /api/v1/message/?target=nobody&page=100000
--- error_code: 404
--- response_body chomp
{"detail":"Invalid page."}
