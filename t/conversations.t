#
# Copyright (C) ngx_chat contributors
#

# /api/v1/conversation/: the inbox, unread counters, read marks

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);

# inbox USER: "user:unread ..."

sub inbox {
    my ($who) = @_;

    my $page = api($who, GET => '/api/v1/conversation/')->json;

    return join ' ', map { "$_->{user}:$_->{unread}" } @{ $page->{results} };
}

# exact: u2's unread messages from u1, as stored and as counted

sub exact {
    return sql('SELECT hi_unread, (SELECT COUNT(*) FROM chat_message
                                   WHERE sender_id = 1 AND recipient_id = 2
                                     AND id > hi_read_id)
                FROM chat_conversation WHERE lo_id = 1 AND hi_id = 2');
}

# mark_read USER, PEER, ID: "status unread read_id"

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

=== an inbox without messages is empty
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


=== conversations are sorted latest first, each with its last message
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
{"user":"u2","unread":2,"read_id":0,"peer_read_id":0,"online":false,
 "last_seen_at":null,"display_name":null,"avatar_url":null,"last_message":
{"id":5,"user":"u2","recipient":"u1","timestamp":"<time>","body":"four"}},
{"user":"u3","unread":1,"read_id":0,"peer_read_id":0,"online":false,
 "last_seen_at":null,"display_name":null,"avatar_url":null,"last_message":
{"id":2,"user":"u3","recipient":"u1","timestamp":"<time>","body":"two"}}],
"has_more":false,"cursor":"<text>"}


=== the fields of the last message are in order
--- given
message(u1 => 'u2', 'one');
--- as: u1
--- request
GET /api/v1/conversation/
--- response_body_like eval
quotemeta('"last_message":{"id":1,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"one"}')


=== the peer sees the same conversation
--- given
message(u1 => 'u2', 'one');
message(u3 => 'u1', 'two');
--- as: u2
--- request
GET /api/v1/conversation/
--- json
{"results":[
{"user":"u1","unread":1,"read_id":0,"peer_read_id":0,"online":false,
 "last_seen_at":null,"display_name":null,"avatar_url":null,"last_message":
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"one"}}],
"has_more":false,"cursor":"<text>"}


=== notes to self are never unread
--- then
api('u1', POST => '/api/v1/message/', { recipient => 'u1', body => 'note' });
is(inbox('u1'), 'u1:0', 'the inbox');


=== the inbox is returned in pages
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


=== pages are complete for users with a lower and a higher id than their peers
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

is("@users", 'u3 u2 u4 u1', 'each conversation once, latest first');


=== an invalid limit is rejected
--- as: u1
--- request
GET /api/v1/conversation/?limit=many
--- error_code: 400
--- response_body chomp
{"limit":["A valid integer from 1 to 100 is required."]}


=== an invalid cursor is rejected
--- as: u1
--- request
GET /api/v1/conversation/?before=u2
--- error_code: 400
--- response_body chomp
{"before":["A valid cursor is required."]}


=== a sent message is unread for the recipient only
--- then
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $_ })
    for 1 .. 3;

is(inbox('u1'), 'u2:0', 'the sender');
is(inbox('u2'), 'u1:3', 'the recipient');


=== a read mark reduces the unread counter
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 2), '200 1 2', 'up to the second');
is(inbox('u2'), 'u1:1', 'one is left');
is(mark_read('u2', 'u1', 3), '200 0 3', 'up to the third');
is(inbox('u2'), 'u1:0', 'none is left');

my $mine = api('u2', GET => '/api/v1/conversation/')->json->{results}[0];
is("$mine->{read_id} $mine->{peer_read_id}", '3 0', 'the reader sees the mark');

my $other = api('u1', GET => '/api/v1/conversation/')->json->{results}[0];
is("$other->{read_id} $other->{peer_read_id}", '0 3', 'the peer sees it');


=== a read mark works for a reader with the lower id
--- given
message(u2 => 'u1', $_) for 1 .. 3;
--- then
is(mark_read('u1', 'u2', 2), '200 1 2', 'up to the second');
is(inbox('u1'), 'u2:1', 'one is left');


=== a user's own messages are not counted as unread
--- given
message(u1 => 'u2', 1);
message(u2 => 'u1', 2);
message(u1 => 'u2', 3);
--- then
is(inbox('u2'), 'u1:2', 'two are unread');
is(mark_read('u2', 'u1', 1), '200 1 1', 'one message is left');


=== a read mark never moves backwards
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 3), '200 0 3', 'all');
is(mark_read('u2', 'u1', 1), '200 0 3', 'a lower id changes nothing');
is(inbox('u2'), 'u1:0', 'none is unread');


=== a read mark never exceeds the last message
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 1000), '200 0 3', 'the mark is at the last message');

api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'new' });
is(inbox('u2'), 'u1:1', 'the next one is unread');


=== messages after the mark are unread
--- given
message(u1 => 'u2', $_) for 1 .. 2;
--- then
is(mark_read('u2', 'u1', 2), '200 0 2', 'all');
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'new' });
is(inbox('u2'), 'u1:1', 'one is unread');
is(mark_read('u2', 'u1', 2), '200 1 2', 'the old mark again');


=== concurrent marks and sends result in correct counters
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
   'the counter is that of messages after the mark');


=== a message below the mark that commits late does not stay unread
--- then
for my $try (1 .. 10) {
    my $other = connect_db();
    message('u1', 'u2', "first $try");
    mark_read('u2', 'u1', 1e9);

    # the send has its id and waits for the conversation
    $other->begin_work;
    $other->selectall_arrayref('SELECT * FROM chat_conversation FOR UPDATE');

    my $code;
    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => "late $try" })
        ->then(sub { $code = $_[0]->code });

    my $dirty = connect_db();
    $dirty->do('SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED');
    wait_until { $dirty->selectrow_array("SELECT id FROM chat_message
                                          WHERE body = 'late $try'") } 1;

    # meanwhile a later message is stored and read
    $other->do("INSERT INTO chat_message
                    (sender_id, recipient_id, created_at, body)
                VALUES (1, 2, NOW(), 'second')");
    my $id = $other->last_insert_id(undef, undef, undef, undef);
    $other->do("UPDATE chat_conversation
                SET message_count = message_count + 1, last_message_id = $id,
                    hi_read_id = $id, hi_unread = 0");
    $other->commit;

    wait_until { $code };
    is($code, 201, 'the late message is stored');

    my ($late) = sql('SELECT id FROM chat_message WHERE body = ?',
                     "late $try");
    is(join(' ', exact()), $late < $id ? '0 0' : '1 1',
       'the counter is correct');

    last if $late < $id;

    # the machine was busy, the send has started again
    mark_read('u2', 'u1', $late);
}


=== marks that take several steps are correct during sends
--- then
sql("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
     WITH d AS (SELECT 0 AS k UNION SELECT 1 UNION SELECT 2 UNION SELECT 3
                UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7
                UNION SELECT 8 UNION SELECT 9),
          n AS (SELECT 1 + a.k + 10 * b.k + 100 * c.k + 1000 * e.k AS i
                FROM d a, d b, d c, d e)
     SELECT IF(i % 3, 1, 2), IF(i % 3, 2, 1), NOW(), i FROM n
     WHERE i <= 4500 ORDER BY i");
sql('INSERT INTO chat_conversation
         (lo_id, hi_id, message_count, last_message_id, lo_unread, hi_unread)
     SELECT 1, 2, COUNT(*), MAX(id), SUM(sender_id = 2), SUM(sender_id = 1)
     FROM chat_message');

# a mark in the middle takes five steps; some marks compete
my @marks;
Mojo::Promise->all(
    (map { request('u2', POST => '/api/v1/conversation/u1/read/',
                   { id => $_ })
               ->then(sub { push @marks, $_[0]->code }) }
         4400, 10, 2500, 4400, 1, 4399),
    (map { request($_ % 2 ? 'u1' : 'u2', POST => '/api/v1/message/',
                   { recipient => $_ % 2 ? 'u2' : 'u1', body => 'x' }) }
         1 .. 30),
)->wait;

is("@marks", '200 200 200 200 200 200', 'all marks succeed');
is(scalar sql('SELECT hi_read_id FROM chat_conversation'), 4400,
   'the highest one counts');
my ($unread, $count) = exact();
is($unread, $count, 'the counter is that of messages after the mark');
cmp_ok($count, '>', 80, 'which are many');

like(mark_read('u2', 'u1', 1e9), qr/^200 0 \d{4}$/, 'all are read');
is(join(' ', exact()), '0 0', 'none is left');
is(mark_read('u1', 'u2', 3000), '200 ' . sql('
    SELECT COUNT(*) FROM chat_message WHERE id > 3000 AND sender_id = 2')
   . ' 3000', "the other side's mark is correct, too");


=== a mark between two messages is placed at the first of them
--- given
message(u1 => 'u2', 1);
message(u1 => 'u3', 2);
message(u1 => 'u2', 3);
--- then
is(mark_read('u2', 'u1', 2), '200 1 1', 'one is read');
is(mark_read('u2', 'u1', 2), '200 1 1', 'the mark stays there');
is(join(' ', exact()), '1 1', 'one is left');


=== notes to self are marked and never counted
--- given
message(u1 => 'u1', $_) for 1 .. 3;
--- then
is(mark_read('u1', 'u1', 2), '200 0 2', 'up to the second');
is(mark_read('u1', 'u1', 1), '200 0 2', 'never backwards');
is(mark_read('u1', 'u1', 100), '200 0 3', 'all');


=== a mark that changes nothing does not wait for locks
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 2), '200 1 2', 'two are read');

my $other = connect_db();
$other->begin_work;
$other->selectall_arrayref('SELECT * FROM chat_conversation FOR UPDATE');

my $start = time;
is(mark_read('u2', 'u1', $_), '200 1 2', "up to $_ again") for 1, 2;
cmp_ok(time - $start, '<', 0.9 * slowness(), 'without delay');
$other->rollback;


=== a reader disabled meanwhile cannot mark messages
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
is(mark_read('u2', 'u1', 1), '200 2 1', 'the session is in the zone');

sql('UPDATE chat_user SET is_active = FALSE WHERE id = 2');
my $res = api('u2', POST => '/api/v1/conversation/u1/read', { id => 3 });
is($res->code, 403, 'the mark is rejected');
is($res->json->{detail}, 'Authentication credentials were not provided.',
   'as an unauthenticated request');
is(join(' ', sql('SELECT hi_read_id, hi_unread FROM chat_conversation')),
   '1 2', 'the mark is unchanged');


=== a mark in a conversation without messages has no effect
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/u2/read
{"id":7}
--- json
{"unread":0,"read_id":0}


=== the mark accepts a form, a name in another case, a trailing slash
--- given
message(u2 => 'u1', 1);
--- as: u1
--- type: form
--- request
POST /api/v1/conversation/U2/read/
id=1
--- json
{"unread":0,"read_id":1}


=== the name in the path may be percent-encoded
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


=== a mark for an unknown user is not found
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/nobody/read
{"id":1}
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== a mark without an id is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/u2/read
{}
--- error_code: 400
--- response_body chomp
{"id":["This field is required."]}


=== a mark with an invalid id is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/conversation/u2/read
{"id":"last"}
--- error_code: 400
--- json
{"id":["<text>"]}


=== an unauthenticated mark is rejected
--- type: json
--- request
POST /api/v1/conversation/u2/read
{"id":1}
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== GET of a mark is not allowed
--- as: u1
--- request
GET /api/v1/conversation/u2/read
--- error_code: 405
--- response_body chomp
{"detail":"Method \"GET\" not allowed."}
--- response_headers
Allow: POST, OPTIONS


=== POST to the inbox is not allowed
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


=== HEAD of the inbox has no body
--- as: u1
--- request
HEAD /api/v1/conversation/
--- response_body
--- response_headers
Content-Type: application/json


=== OPTIONS of the inbox lists its methods
--- as: u1
--- request
OPTIONS /api/v1/conversation/
--- response_body_like: ^\{.*\}$
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS
