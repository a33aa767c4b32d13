#
# Copyright (C) ngx_chat contributors
#

# GET /api/v1/message/ with "after" and "before"

use Test::Nginx::Socket 'no_plan';
use Chat;


# take_slot DB: as a send does before it takes ids.  The next client id is
# a new one: an earlier block may have deleted a row with the same id that is
# not purged yet, and InnoDB would lock the gap after it, into which others
# insert.

sub take_slot {
    shift->do('INSERT INTO chat_writing (slot, floor_id)
               SELECT CONNECTION_ID() % 256, COALESCE(MAX(id), 0) + 1
               FROM chat_message
               ON DUPLICATE KEY UPDATE turn = turn + 1,
                                       floor_id = VALUES(floor_id)');
}


# read_after USER, CURSOR: returns all messages after the cursor, as (texts,
# cursor)

sub read_after {
    my ($who, $cursor) = @_;

    my @texts;

    for (1 .. 100) {
        my $page = api($who, GET => "/api/v1/message/?after=$cursor")->json;

        push @texts, texts($page->{results});
        $cursor = $page->{cursor};

        return (\@texts, $cursor) unless $page->{has_more};
    }

    die "too many pages";
}


run_tests();


__DATA__

=== after= returns the user's own messages, oldest first
--- given
message(u1 => 'u2', $_) for 1 .. 3;
message(u2 => 'u3', 'not mine');
message(u3 => 'u1', 4);
--- as: u1
--- request
GET /api/v1/message/?after=1
--- response_body chomp
{"results":[{"id":2,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"2"},{"id":3,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"3"},{"id":5,"user":"u3","recipient":"u1","timestamp":"2025-12-30T07:03:02.325660Z","body":"4"}],"has_more":false,"cursor":"5"}
--- response_headers
Content-Type: application/json
Allow: GET, POST, HEAD, OPTIONS
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
Cache-Control: no-store


=== after=0 returns messages from the beginning
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- as: u1
--- request
GET /api/v1/message/?after=0
--- bodies: 1 2 3


=== the cursor stays valid if there are no new messages
--- given
message(u1 => 'u2', 1);
--- then
my $page = api('u1', GET => '/api/v1/message/?after=1')->json;

is_deeply($page->{results}, [], 'no results');
ok(!$page->{has_more}, 'no more');

is(api('u2', POST => '/api/v1/message/', { recipient => 'u1', body => '2' })
       ->code, 201, 'another message');

is_deeply((read_after('u1', $page->{cursor}))[0], [2], 'the next message');


=== after= and target= select one conversation
--- given
message(u1 => 'u2', 'one');
message(u1 => 'u3', 'other');
message(u2 => 'u1', 'two');
--- as: u1
--- request
GET /api/v1/message/?after=0&target=u2
--- bodies: one two


=== after= and limit= return all messages page by page
--- given
message(u1 => 'u2', $_) for 1 .. 7;
--- then
my ($cursor, @pages, @more) = (0);

for (1 .. 3) {
    my $page = api('u1', GET => "/api/v1/message/?after=$cursor&limit=3")->json;

    push @pages, join ' ', texts($page->{results});
    push @more, $page->{has_more} ? 1 : 0;
    $cursor = $page->{cursor};
}

is_deeply(\@pages, ['1 2 3', '4 5 6', '7'], 'three pages');
is_deeply(\@more, [1, 1, 0], 'has_more');


=== has_more is false when the last page is full
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- as: u1
--- request
GET /api/v1/message/?after=0&limit=3
--- bodies: 1 2 3
--- response_body_like: "has_more":false,"cursor":"3"\}$


=== without limit=, after= returns one page
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- as: u1
--- request
GET /api/v1/message/?after=0
--- bodies: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
--- response_body_like: "has_more":true,"cursor":"15"\}$


=== limit= overrides chat_page_size
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- server
chat_page_size 2;
--- then
is_deeply([texts(api('u1', GET => '/api/v1/message/?after=0')
                     ->json->{results})],
          [1, 2], 'two');
is_deeply([texts(api('u1', GET => '/api/v1/message/?after=0&limit=3')
                     ->json->{results})],
          [1, 2, 3], 'three');


=== after=latest returns the current cursor and no messages
--- given
message(u1 => 'u2', $_) for 1 .. 3;
--- then
my $page = api('u1', GET => '/api/v1/message/?after=latest')->json;

is_deeply($page->{results}, [], 'no results');
ok(!$page->{has_more}, 'no more');

message(u2 => 'u1', 4);
is_deeply((read_after('u1', $page->{cursor}))[0], [4],
          'only later messages are returned');


=== after=latest works for a user without messages
--- given
message(u1 => 'u2', 1);
--- then
my $page = api('u3', GET => '/api/v1/message/?after=latest')->json;

is_deeply($page->{results}, [], 'no results');

message(u2 => 'u3', 2);
is_deeply((read_after('u3', $page->{cursor}))[0], [2],
          'only later messages are returned');


=== a cursor above the last id is lowered
--- given
message(u1 => 'u2', 1);
message(u2 => 'u3', 2);
--- as: u1
--- request
GET /api/v1/message/?after=1000
--- response_body chomp
{"results":[],"has_more":false,"cursor":"1"}


=== the cursor is the id of a message of the user
--- given
message(u1 => 'u2', 1);
message(u2 => 'u3', 2);
message(u2 => 'u1', 3);
message(u2 => 'u3', 4);
--- then
my %cursors = (0 => 3, 1 => 3, 2 => 3, 3 => 3, 4 => 3, 5 => 3, latest => 3,
               '2.1' => 1, '4.2' => 2, '4.4' => 3, '5.0' => 0,
               '0&target=u2' => 3, '4&target=u2' => 3, '3&target=u3' => 3,
               'latest&target=u2' => 3);

is(api('u1', GET => "/api/v1/message/?after=$_")->json->{cursor},
   $cursors{$_}, "after=$_")
    for sort keys %cursors;

is(api('u4', GET => "/api/v1/message/?after=$_")->json->{cursor}, 0,
   "of a user without messages, $_")
    for 0, 4, 5, '3.3', 'latest';


=== before= returns the newest messages first
--- given
message(u1 => 'u2', $_) for 1 .. 5;
--- as: u1
--- request
GET /api/v1/message/?before=4&limit=2
--- bodies: 3 2
--- response_body_like: ^\{"results":\[\{"id":3,.*\],"has_more":true,"cursor":"2"\}$


=== the cursor of before= selects the next page
--- given
message(u1 => 'u2', $_) for 1 .. 5;
--- as: u1
--- request
GET /api/v1/message/?before=2&limit=2
--- bodies: 1
--- response_body_like: "has_more":false,


=== before=latest and target= select one conversation
--- given
message(u1 => 'u2', 'one');
message(u1 => 'u3', 'other');
message(u2 => 'u1', 'two');
--- as: u1
--- request
GET /api/v1/message/?before=latest&target=u2
--- bodies: two one


=== before=latest returns the user's own messages only
--- given
message(u1 => 'u2', 'one');
message(u3 => 'u4', 'not mine');
message(u3 => 'u1', 'two');
message(u1 => 'u1', 'note');
--- as: u1
--- request
GET /api/v1/message/?before=latest
--- bodies: note two one


=== before= the first message returns an empty list
--- given
message(u1 => 'u2', 1);
--- as: u1
--- request
GET /api/v1/message/?before=1
--- response_body_like: ^\{"results":\[\],"has_more":false,


=== after= with an unknown target returns an empty list
--- given
message(u1 => 'u2', 1);
--- as: u1
--- request
GET /api/v1/message/?after=0&target=nobody
--- response_body_like: ^\{"results":\[\],"has_more":false,"cursor":


=== before= with an unknown target returns an empty list
--- given
message(u1 => 'u2', 1);
--- as: u1
--- request
GET /api/v1/message/?before=latest&target=nobody
--- response_body_like: ^\{"results":\[\],"has_more":false,"cursor":


=== an invalid after= is rejected
--- as: u1
--- request
GET /api/v1/message/?after=yesterday
--- error_code: 400
--- response_body chomp
{"after":["A valid cursor is required."]}


=== an empty after= is rejected
--- as: u1
--- request
GET /api/v1/message/?after=
--- error_code: 400
--- response_body chomp
{"after":["A valid cursor is required."]}


=== a negative after= is rejected
--- as: u1
--- request
GET /api/v1/message/?after=-1
--- error_code: 400
--- response_body chomp
{"after":["A valid cursor is required."]}


=== an invalid before= is rejected
--- as: u1
--- request
GET /api/v1/message/?before=1%27
--- error_code: 400
--- response_body chomp
{"before":["A valid cursor is required."]}


=== limit=0 is rejected
--- as: u1
--- request
GET /api/v1/message/?after=0&limit=0
--- error_code: 400
--- response_body chomp
{"limit":["A valid integer from 1 to 100 is required."]}


=== limit=101 is rejected
--- as: u1
--- request
GET /api/v1/message/?before=latest&limit=101
--- error_code: 400
--- response_body chomp
{"limit":["A valid integer from 1 to 100 is required."]}


=== an invalid limit= is rejected
--- as: u1
--- request
GET /api/v1/message/?after=0&limit=ten
--- error_code: 400
--- response_body chomp
{"limit":["A valid integer from 1 to 100 is required."]}


=== a message that is committed late is not skipped
--- given
message(u1 => 'u2', 'before');
--- then
# the transaction of another worker, as the module writes it: it has an id but
# is not committed while other sends continue

my $late = connect_db();
$late->begin_work;
take_slot($late);
$late->do("INSERT INTO chat_message
                  (sender_id, recipient_id, created_at, client_id, body)
           VALUES (2, 1, UTC_TIMESTAMP(6), UUID(), 'late')");

is(api('u3', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'early' })->code, 201, 'other sends continue');

my ($texts, $cursor) = read_after('u1', 0);
is_deeply($texts, ['before', 'early'], 'committed messages are returned');

my $latest = api('u1', GET => '/api/v1/message/?after=latest')
                 ->json->{cursor};

$late->commit;

($texts) = read_after('u1', $cursor);
is(scalar(grep { $_ eq 'late' } @$texts), 1,
   'the late message follows the cursor') or diag("cursor $cursor: @$texts");

($texts) = read_after('u1', $latest);
is(scalar(grep { $_ eq 'late' } @$texts), 1,
   'and the cursor of "latest"') or diag("cursor $latest: @$texts");


=== a message of a running transaction is not skipped
--- given
message(u1 => 'u2', 'before');
--- then
# the row in chat_writing is changed, the message is not visible yet

my $late = connect_db();
$late->begin_work;
take_slot($late);
$late->do("INSERT INTO chat_message
                  (sender_id, recipient_id, created_at, client_id, body)
           VALUES (2, 1, UTC_TIMESTAMP(6), UUID(), 'late')");

is(api('u3', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'early' })->code, 201, 'other sends continue');

my ($texts, $cursor) = read_after('u1', 0);
is_deeply($texts, ['before', 'early'], 'committed messages are returned');

$late->commit;

($texts) = read_after('u1', $cursor);
is(scalar(grep { $_ eq 'late' } @$texts), 1,
   'the late message follows the cursor') or diag("cursor $cursor: @$texts");


=== a message with a taken id and no visible row is not skipped
--- given
message(u1 => 'u2', 'before');
sql('ALTER TABLE chat_message AUTO_INCREMENT = 3');
--- then
# with a slot that existed before, and with a new one

for my $turn (1, 2) {
    my $late = connect_db();

    if ($turn == 1) {
        $late->begin_work;
        take_slot($late);
        $late->commit;
    }

    my $id = 2 * $turn;
    $late->begin_work;
    take_slot($late);

    is(api('u3', POST => '/api/v1/message/',
           { recipient => 'u1', body => "early $turn" })->code, 201,
       'other sends continue');

    my ($texts, $cursor) = read_after('u1', $id - 1);
    is_deeply($texts, ["early $turn"], 'committed messages are returned');
    cmp_ok($cursor, '<', $id, 'the cursor waits');

    $late->do("INSERT INTO chat_message
                      (id, sender_id, recipient_id, created_at, body)
               VALUES ($id, 2, 1, UTC_TIMESTAMP(6), 'late')");
    $late->commit;

    ($texts) = read_after('u1', $cursor);
    is(scalar(grep { $_ eq 'late' } @$texts), 1, 'the late one is returned');

    sql('ALTER TABLE chat_message AUTO_INCREMENT = 5');
}


=== a message of a program without chat_writing is not skipped
--- given
message(u1 => 'u2', 'before');
--- then
my $late = connect_db();
$late->begin_work;
$late->do("INSERT INTO chat_message
                  (sender_id, recipient_id, created_at, body)
           VALUES (2, 1, UTC_TIMESTAMP(6), 'late')");

is(api('u3', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'early' })->code, 201, 'other sends continue');

my ($texts, $cursor) = read_after('u1', 0);
is_deeply($texts, ['before', 'early'], 'committed messages are returned');

$late->commit;

($texts) = read_after('u1', $cursor);
is(scalar(grep { $_ eq 'late' } @$texts), 1,
   'the late message follows the cursor') or diag("cursor $cursor: @$texts");


=== a transaction that is rolled back does not delay others
--- given
message(u1 => 'u2', 'before');
--- then
my $late = connect_db();
$late->begin_work;
take_slot($late);
$late->do("INSERT INTO chat_message
                  (sender_id, recipient_id, created_at, client_id, body)
           VALUES (2, 1, UTC_TIMESTAMP(6), UUID(), 'late')");
$late->rollback;

is(api('u3', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'early' })->code, 201, 'other sends continue');

my ($texts, $cursor) = read_after('u1', 0);
is_deeply($texts, ['before', 'early'], 'committed messages are returned');
is_deeply((read_after('u1', $cursor))[0], [], 'and returned once');


=== a reading client misses nothing while many clients send
--- then
# three users send six messages at a time; the client reads meanwhile

my $total = 120;
my ($sent, $cursor, %seen) = (0, 0);

my $send;
$send = sub {
    return if $sent >= $total;

    my $n = ++$sent;
    my $from = $n % 3 + 2;

    request("u$from", POST => '/api/v1/message/',
            { recipient => 'u1', body => "$n" })
        ->then(sub { $send->() });
};

my $read;
$read = sub {
    request('u1', GET => "/api/v1/message/?after=$cursor&limit=100")
        ->then(sub {
            my $page = $_[0]->json;

            $seen{$_}++ for texts($page->{results});
            $cursor = $page->{cursor};
            $read->() if keys %seen < $total;
        });
};

$send->() for 1 .. 6;
$read->();

ok(wait_until { keys %seen == $total }, "all $total were seen")
    or diag(join ' ', grep { !$seen{$_} } 1 .. $total);
