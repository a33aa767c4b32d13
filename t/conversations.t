#
# Copyright (C) ngx_chat contributors
#

# /api/v1/conversation/: the inbox, what is unread, read marks

use Test::Nginx::Socket 'no_plan';
use Chat;

# inbox WHO: "user:unread ..."

sub inbox {
    my ($who) = @_;

    my $page = api($who, GET => '/api/v1/conversation/')->json;

    return join ' ', map { "$_->{user}:$_->{unread}" } @{ $page->{results} };
}

# mark_read WHO, PEER, ID: "status unread read_id"

sub mark_read {
    my ($who, $peer, $id) = @_;

    my $res = api($who, POST => "/api/v1/conversation/$peer/read",
                  { id => $id });

    return $res->code . ' '
           . ($res->code == 200
              ? join ' ', @{ $res->json }{qw(unread read_id)}
              : $res->body);
}

run_tests();


__DATA__

=== nothing yet
--- as: u1
--- request
GET /api/v1/conversation/
--- json
{"results":[],"has_more":false,"cursor":null}
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
Cache-Control: no-store


=== latest first, each with its last message
--- given
message(u1 => 'u2', 'one');
message(u3 => 'u1', 'two');
message(u2 => 'u3', 'not mine');
message(u2 => 'u1', 'three');
message(u2 => 'u1', 'four');
--- as: u1
--- request
GET /api/v1/conversation/
--- json
{"results":[
{"user":"u2","unread":2,"read_id":0,"peer_read_id":0,"last_message":
{"id":5,"user":"u2","recipient":"u1","timestamp":"<time>","body":"four"}},
{"user":"u3","unread":1,"read_id":0,"peer_read_id":0,"last_message":
{"id":2,"user":"u3","recipient":"u1","timestamp":"<time>","body":"two"}}],
"has_more":false,"cursor":"<text>"}


=== the keys of the last message are in order
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/conversation/
--- response_body_like eval
quotemeta('"last_message":{"id":1,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"one"}')


=== the other side
--- given
message(u1 => 'u2', 'one');
message(u3 => 'u1', 'two');
--- as: u2
--- request
GET /api/v1/conversation/
--- json
{"results":[
{"user":"u1","unread":1,"read_id":0,"peer_read_id":0,"last_message":
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"one"}}],
"has_more":false,"cursor":"<text>"}


=== notes to self are never unread
--- then
api('u1', POST => '/api/v1/message/', { recipient => 'u1', body => 'note' });
is(inbox('u1'), 'u1:0', 'the inbox');


=== pages
--- given
for my $n (5 .. 11) {
    sql('INSERT INTO chat_user (id, username) VALUES (?, ?)', $n, "u$n");
    message("u$n" => 'u1', $n);
}
--- then
my ($query, @pages, @more) = ('limit=3');

for (1 .. 3) {
    my $page = api('u1', GET => "/api/v1/conversation/?$query")->json;

    push @pages, join ' ', map { $_->{user} } @{ $page->{results} };
    push @more, $page->{has_more} ? 1 : 0;
    $query = "limit=3&before=$page->{cursor}";
}

is_deeply(\@pages, ['u11 u10 u9', 'u8 u7 u6', 'u5'], 'three pages');
is_deeply(\@more, [1, 1, 0], 'has_more');


=== pages, when I have the lower id or the higher
--- given
message(u1 => 'u3', 1);
message(u3 => 'u4', 2);
message(u3 => 'u2', 3);
message(u3 => 'u3', 4);
--- then
my ($query, @users) = ('limit=1');

for (1 .. 4) {
    my $page = api('u3', GET => "/api/v1/conversation/?$query")->json;

    push @users, $page->{results}[0]{user};
    $query = "limit=1&before=$page->{cursor}";
}

is("@users", 'u3 u2 u4 u1', 'each once, latest first');


=== limit is no number
--- as: u1
--- request
GET /api/v1/conversation/?limit=many
--- error_code: 400
--- response_body chomp
{"limit":["A valid integer from 1 to 100 is required."]}


=== before is no cursor
--- as: u1
--- request
GET /api/v1/conversation/?before=u2
--- error_code: 400
--- response_body chomp
{"before":["A valid cursor is required."]}


=== what is sent is unread for the recipient alone
--- then
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $_ })
    for 1 .. 3;

is(inbox('u1'), 'u2:0', 'the sender');
is(inbox('u2'), 'u1:3', 'the recipient');


=== marking read
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 2), '200 1 2', 'up to the second');
is(inbox('u2'), 'u1:1', 'one is left');
is(mark_read('u2', 'u1', 3), '200 0 3', 'up to the third');
is(inbox('u2'), 'u1:0', 'none is left');

my $mine = api('u2', GET => '/api/v1/conversation/')->json->{results}[0];
is("$mine->{read_id} $mine->{peer_read_id}", '3 0', 'for the reader');

my $other = api('u1', GET => '/api/v1/conversation/')->json->{results}[0];
is("$other->{read_id} $other->{peer_read_id}", '0 3', 'for the other side');


=== marking read, the reader having the lower id
--- given
message(u2 => 'u1', $_) for 1 .. 3;
--- then
is(mark_read('u1', 'u2', 2), '200 1 2', 'up to the second');
is(inbox('u1'), 'u2:1', 'one is left');


=== one's own messages are not counted
--- given
message(u1 => 'u2', 1);
message(u2 => 'u1', 2);
message(u1 => 'u2', 3);
--- then
is(inbox('u2'), 'u1:2', 'two are unread');
is(mark_read('u2', 'u1', 1), '200 1 1', 'one is left');


=== never backwards
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 3), '200 0 3', 'all');
is(mark_read('u2', 'u1', 1), '200 0 3', 'a lower id changes nothing');
is(inbox('u2'), 'u1:0', 'none is unread');


=== never beyond the last message
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 1000), '200 0 3', 'the last message');

api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'new' });
is(inbox('u2'), 'u1:1', 'the next one is unread');


=== what comes after the mark is unread
--- given
message(u1 => 'u2', $_) for 1 .. 2;
--- then
is(mark_read('u2', 'u1', 2), '200 0 2', 'all');
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'new' });
is(inbox('u2'), 'u1:1', 'one is unread');
is(mark_read('u2', 'u1', 2), '200 1 2', 'the old mark again');


=== marks and sends at the same time leave the right figure
--- given
message(u1 => 'u2', $_) for 1 .. 5;
--- then
Mojo::Promise->all(
    (map { request('u1', POST => '/api/v1/message/',
                   { recipient => 'u2', body => "x" }) } 1 .. 20),
    (map { request('u2', POST => '/api/v1/conversation/u1/read',
                   { id => $_ }) } 1 .. 20),
)->wait;

my ($read) = sql('SELECT hi_read_id FROM chat_conversation');
is(scalar sql('SELECT hi_unread FROM chat_conversation'),
   scalar sql('SELECT COUNT(*) FROM chat_message WHERE id > ?', $read),
   'unread is what is behind the mark');


=== the mark of a conversation that never was
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/u2/read
{"id":7}
--- json
{"unread":0,"read_id":0}


=== a form, the name in another case, a closing slash
--- given
message(u2 => 'u1', 1);
--- as: u1
--- type: form
--- request
POST /api/v1/conversation/U2/read/
id=1
--- json
{"unread":0,"read_id":1}


=== the name, encoded
--- given
sql("UPDATE chat_user SET username = 'ü.2+\@' WHERE id = 2");
message('ü.2+@' => 'u1', 1);
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/%C3%BC.2+%40/read
{"id":1}
--- json
{"unread":0,"read_id":1}


=== nobody of that name
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/nobody/read
{"id":1}
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== no id
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/u2/read
{}
--- error_code: 400
--- response_body chomp
{"id":["This field is required."]}


=== an id that is none
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/u2/read
{"id":"last"}
--- error_code: 400
--- json
{"id":["<text>"]}


=== without a session
--- type: json
--- request
POST /api/v1/conversation/u2/read
{"id":1}
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== GET of the mark
--- as: u1
--- request
GET /api/v1/conversation/u2/read
--- error_code: 405
--- response_body chomp
{"detail":"Method \"GET\" not allowed."}
--- response_headers
Allow: POST, OPTIONS


=== POST to the inbox
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/
{}
--- error_code: 405
--- response_body chomp
{"detail":"Method \"POST\" not allowed."}
--- response_headers
Allow: GET, HEAD, OPTIONS


=== HEAD
--- as: u1
--- request
HEAD /api/v1/conversation/
--- response_body
--- response_headers
Content-Type: application/json


=== OPTIONS
--- as: u1
--- request
OPTIONS /api/v1/conversation/
--- response_body_like: ^\{.*\}$
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS
