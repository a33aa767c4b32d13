#
# Copyright (C) ngx_chat contributors
#

# GET /api/v1/message/ with "after": several users in one packet, and answers
# of the zone

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);
use Chat::Proxy;
use Chat::Wire;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});


# users N: creates users with a session each, which the zone has

sub users {
    my @names = map { "v$_" } 1 .. $_[0];

    for (@names) {
        sql("INSERT INTO chat_user (username, password) VALUES (?, '!')", $_);
        add_session($_);
        api($_, GET => '/api/v1/session/');
    }

    return @names;
}

# hold: returns a connection that locks messages, so that queries wait

sub hold {
    my $other = connect_db();
    $other->do('LOCK TABLES chat_message WRITE');

    return $other;
}

sub waiting {
    return scalar sql("SELECT COUNT(*) FROM information_schema.processlist
                       WHERE user = 'chat' AND state LIKE 'Waiting for%'");
}

sub after {
    my ($who, $query) = @_;

    return api($who, GET => "/api/v1/message/?after=$query");
}

# packets: returns the numbers of packets and of queries so far

sub packets {
    my $query = api('', GET => '/chat/status')->json
                    ->{queries}{'messages.after'};

    return ($query->{batch_size}{count} // 0, $query->{seconds}{count} // 0);
}

# queries CODE: returns the number of queries of the code

sub queries(&) {
    my ($code) = @_;

    my (undef, $before) = packets();
    $code->();
    my (undef, $after) = packets();

    return $after - $before;
}

# ask_all QUERIES: requests all at once while messages are locked; returns the
# responses and the number of packets

sub ask_all {
    my @queries = @_;

    my @answers;
    my $answered = 0;
    my ($before) = packets();
    my $other = hold();

    for my $i (0 .. $#queries) {
        my ($who, $query) = @{ $queries[$i] };

        request($who, GET => "/api/v1/message/?after=$query")->then(sub {
            $answers[$i] = $_[0];
            $answered++;
        });
    }

    settle(0.3 * slowness());
    $other->do('UNLOCK TABLES');

    wait_until { $answered == @queries };

    return (\@answers, (packets())[0] - $before);
}

# send_until_seen N: N times, a message is sent and requested by sender and
# recipient at once; returns the number of missing ones

sub send_until_seen {
    my ($n) = @_;

    my %cursor = (u1 => 0, u2 => 0);
    my ($done, $missing) = (0, 0);
    my $read = {};
    my $polls = 1;

    # reads all the time, so that the zone has current results
    my $poll;
    $poll = sub {
        my $who = shift;

        request($who, GET => "/api/v1/message/?after=$cursor{$who}")
            ->then(sub {
                my $page = $_[0]->json;

                $read->{$who}{$_->{id}} = 1 for @{ $page->{results} };
                $cursor{$who} = $page->{cursor}
                    if $page->{cursor} > $cursor{$who};
                $poll->($who) if $polls;
            });
    };

    my $check = sub {
        my ($who, $id) = @_;

        # the cursor that may be in the zone, and may be above the id
        my $from = $cursor{$who};

        return request($who, GET => "/api/v1/message/?after=$from&limit=100")
            ->then(sub {
                $missing++ unless $from >= $id || $read->{$who}{$id}
                    || grep { $_->{id} == $id } @{ $_[0]->json->{results} };
            });
    };

    my $send;
    $send = sub {
        request('u1', POST => '/api/v1/message/',
                { recipient => 'u2', body => 'text' })
            ->then(sub {
                my $id = $_[0]->json->{id};

                return Mojo::Promise->all($check->('u1', $id),
                                          $check->('u2', $id));
            })
            ->then(sub {
                # now and then long enough for a result in the zone
                return Mojo::Promise->timer($done % 4 ? 0 : 0.02);
            })
            ->then(sub { $send->() if ++$done < $n });
    };

    $poll->($_) for qw(u1 u1 u2 u2);
    $send->();
    $send->();

    wait_until { $done >= $n };
    $polls = 0;
    settle(0.3);

    return $missing;
}


run_tests();


__DATA__

=== queries of several users share packets and have their own results
--- workers: 1
--- given
message(u1 => 'u2', "text $_") for 1 .. 5;
message(u3 => 'u3', 'note');
message(u2 => 'u1', "text $_") for 6 .. 12;
message(u2 => 'u4', "text $_") for 13 .. 40;
--- then
my @queries = ([ u1 => 0 ], [ u1 => '12' ], [ u2 => '5&limit=3' ],
               [ u2 => '5&limit=32' ], [ u3 => 0 ], [ u3 => 6 ], [ u4 => 0 ],
               [ u4 => '12&limit=1' ], [ u4 => 41 ], [ u4 => 1000 ],
               [ u2 => '4.3' ], [ u2 => '0&target=u1' ],
               [ u1 => '3&target=u2&limit=2' ], [ u3 => '0&target=u3' ],
               [ u1 => '0&target=u4' ], [ u1 => '0&target=nobody' ]);

# two at a time of each user; sessions and names are in the zone then
my @single = map { after(@$_)->body } @queries;

settle(1.1);

my ($answers, $packets) = ask_all(@queries);

is($answers->[$_]->body, $single[$_], "after=$queries[$_][1]")
    for 0 .. $#queries;

# the first packets have the queries that arrived first
cmp_ok($packets, '<=', 7, 'they are in few packets');


=== after=latest is in a packet of its own
--- workers: 1
--- given
message(u1 => 'u2', "text $_") for 1 .. 5;
message(u2 => 'u2', 'note');
--- then
my @queries = map { [ $_ => 'latest' ], [ $_ => 0 ] } 'u1', 'u2', 'u3';

my @single = map { after(@$_)->body } @queries;
settle(1.1);
my ($answers) = ask_all(@queries);

is($answers->[$_]->body, $single[$_], "after=$queries[$_][1]")
    for 0 .. $#queries;


=== the queries of many users are sent together
--- workers: 1
--- then
my @users = users(40);
message($_ => 'u1', "of $_") for @users;

my ($answers, $packets) = ask_all(map { [ $_ => 0 ] } @users);

is(join(' ', map { texts($_->json->{results}) } @$answers),
   join(' ', map { "of $_" } @users), 'each user gets the own message');
cmp_ok($packets, '<=', 6, 'in few packets');


=== large limits make packets smaller
--- workers: 1
--- then
my @users = users(33);
message($_ => 'u1', "of $_") for @users;

my ($answers, $packets) = ask_all(map { [ $_ => '0&limit=100' ] } @users);

is(join(' ', map { texts($_->json->{results}) } @$answers),
   join(' ', map { "of $_" } @users), 'each user gets the own message');
cmp_ok($packets, '>=', 5, 'in more packets');


=== a client that disconnects does not affect others of its packet
--- workers: 1
--- then
my @users = users(12);
message($_ => 'u1', "of $_") for @users;

my $other = hold();
my @clients = map {
    my $client = dial();
    send_all($client, wire(GET => '/api/v1/message/?after=0', as => $_));
    $client;
} @users;

ok(wait_until { waiting() == 2 }, 'queries wait');
settle(0.3 * slowness());

close $_ for @clients[0, 1, 3, 11];
settle(0.3 * slowness());
$other->do('UNLOCK TABLES');

for (2, 4 .. 10) {
    my $answer = read_answer($clients[$_]);

    is($answer->{code}, 200, 'a connected client gets a response');
    like($answer->{body}, qr/"of $users[$_]"/, 'with its message');
}


=== each query of a packet has a valid cursor while transactions are open
--- workers: 1
--- given
message(u1 => 'u2', 'before');
message(u3 => 'u4', 'before');
--- then
my $late = connect_db();
$late->begin_work;
$late->do('INSERT INTO chat_writing (slot, floor_id)
           SELECT CONNECTION_ID() % 256, COALESCE(MAX(id), 0) + 1
           FROM chat_message
           ON DUPLICATE KEY UPDATE turn = turn + 1,
                                   floor_id = VALUES(floor_id)');
$late->do("INSERT INTO chat_message
                  (sender_id, recipient_id, created_at, client_id, body)
           VALUES (2, 1, UTC_TIMESTAMP(6), UUID(), 'late')");

# these have higher ids and are committed before
is(api($_->[0], POST => '/api/v1/message/',
       { recipient => $_->[1], body => 'early' })->code, 201, 'a send')
    for [ 'u1', 'u2' ], [ 'u3', 'u4' ], [ 'u3', 'u1' ];

# the lock on the table would wait for the transaction
my @queries = map { [ $_, 0 ] } 'u1' .. 'u4';
my %cursor;

request($_, GET => '/api/v1/message/?after=0')->then(do {
    my $who = $_;
    sub { $cursor{$who} = $_[0]->json->{cursor} };
}) for 'u1' .. 'u4';

ok(wait_until { keys %cursor == 4 }, 'all get a response');
is_deeply(\%cursor, { u1 => 1, u2 => 1, u3 => 2, u4 => 2 },
          'no cursor passes the open transaction');

$late->commit;

is_deeply([ texts(after('u1', $cursor{u1})->json->{results}) ],
          [qw(late early early)], 'the late message is found');


=== the zone answers a repeated request without the database
--- workers: 2
--- given
message(u1 => 'u2', 'text');
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_timeout 1s;
--- then
# the session is in the zone then
api('u1', GET => '/api/v1/session/');

my $answers = promptly(sub {
    my $answer = after('u1', 1);

    $proxy->hold;
    my @answers = ($answer, map { after('u1', $_) } (1) x 8);
    $proxy->pass;

    return \@answers;
}, 0.5);
my ($first, @others) = @$answers;

is($_->code, 200, 'a response while the database does not respond')
    for @others;
is($_->body, '{"results":[],"has_more":false,"cursor":"1"}', 'the same body')
    for $first, @others;

my %headers = map { ($_ => $first->headers->header($_)) }
                  grep { $_ !~ /^Date$/i } @{ $first->headers->names };

for my $answer (@others) {
    is_deeply({ map { ($_ => $answer->headers->header($_)) }
                    grep { $_ !~ /^Date$/i } @{ $answer->headers->names } },
              \%headers, 'the same headers');
}


=== an answer of the zone expires after a second
--- workers: 2
--- given
message(u1 => 'u2', 'text');
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_timeout 1s;
--- then
is(after('u1', 1)->code, 200, 'the database answers');

# answers of the zone do not extend the time
for (1 .. 10) {
    settle(0.05);
    after('u1', 1);
}

$proxy->hold;
settle(1.1);
is(after('u1', 1)->code, 503, 'the zone does not answer later');
$proxy->pass;


=== other cursors and conversations are queried
--- workers: 1
--- given
message(u1 => 'u2', 'text');
message(u2 => 'u1', 'text');
--- then
# the zone has a result for the last cursor only
for my $query ('0', '1', '3', '1.1', 'latest', '2&target=u2') {
    my $n = queries { after('u1', $_) for 2, $query };

    is($n, 2, "after=$query");
    settle(1.1);
}

my $n = promptly(sub {
    settle(1.1);
    return queries { after('u1', 2) for 1 .. 5 };
}, 1.6);
is($n, 1, 'one query for five requests');

$n = promptly(sub {
    settle(1.1);
    return queries { after('u1', $_) for 0, (2) x 5 };
}, 1.6);
is($n, 1, 'a page sets the result for its cursor');


=== with other limits, the zone gives the same answer
--- workers: 1
--- given
message(u1 => 'u2', 'text');
--- then
my $n = promptly(sub {
    settle(1.1);
    return queries { after('u1', $_) for '1', '1&limit=1', '1&limit=100' };
}, 1.6);

is($n, 1, 'one query for three requests');


=== a message is found at once by sender and recipient
--- workers: 2
--- then
for my $n (1 .. 20) {
    my %cursor = map { ($_ => after($_, $n == 1 ? 0 : 'latest')->json
                                  ->{cursor}) } 'u1', 'u2';

    after($_, $cursor{$_}) for 'u1', 'u1', 'u2', 'u2';

    my $id = api('u1', POST => '/api/v1/message/',
                 { recipient => 'u2', body => "text $n" })->json->{id};

    is_deeply([ map { $_->{id} }
                @{ after($_, $cursor{$_})->json->{results} } ], [$id],
              "message $n of $_")
        for 'u1', 'u2';
}


=== no message is missing during concurrent sends, with 2 workers
--- workers: 2
--- then
my $n;
my $queries = queries { $n = send_until_seen(300) };

is($n, 0, 'all messages are found at once');
diag("$queries queries");


=== no message is missing during concurrent sends, with 4 workers
--- workers: 4
--- then
is(send_until_seen(300), 0, 'all messages are found at once');


=== a message of another program is found within a second
--- workers: 2
--- given
message(u1 => 'u2', 'text');
--- then
after('u2', 1) for 1 .. 2;
message(u1 => 'u2', 'by hand');
settle(1.1);
is_deeply([ texts(after('u2', 1)->json->{results}) ], ['by hand'],
          'the message is found');


=== a send whose outcome was unknown is found when it is acknowledged
--- workers: 2
--- given
message(u1 => 'u2', 'text');
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
# users and sessions are in the zone then
api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'first' });

for my $n (1 .. 5) {
    my $cursor = after('u2', 'latest')->json->{cursor};
    after('u2', $cursor);

    $proxy->swallow;

    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => "text $n" });

    is($res->code, 201, 'the send is repeated');
    is_deeply([ texts(after('u2', $cursor)->json->{results}) ], ["text $n"],
              'and its message is found');
}


=== after the death of a worker during a send, the database is queried
--- workers: 1
--- given
message(u1 => 'u2', 'text');
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- api
add_header X-Worker $pid always;
--- undescribed: a header of this site
--- then
my $first = api('u1', POST => '/api/v1/message/',
                { recipient => 'u2', body => 'first' });
my $pid = $first->headers->header('X-Worker');

$proxy->hold;

my $c = dial();
send_all($c, wire(POST => '/api/v1/message/', as => 'u1',
                  json => '{"recipient": "u2", "body": "lost"}'));
settle(0.5 * slowness());
kill KILL => $pid;
$proxy->pass;

ok(wait_until { after('u2', 0)->code }, 'another worker runs');

my $cursor = after('u2', 'latest')->json->{cursor};

# a message that the zone does not know of is found without delay
after('u2', $cursor) for 1 .. 2;
my $id = message(u1 => 'u2', 'by hand');
is_deeply([ grep { $_ eq 'by hand' }
            texts(after('u2', $cursor)->json->{results}) ], ['by hand'],
          'the message is found at once');
--- no_error_log
[emerg]


=== with chat_hosts, each request is queried
--- workers: 1
--- given
message(u1 => 'u2', 'text');
--- http
chat_hosts on;
--- then
is(queries { after('u1', 1) for 1 .. 5 }, 5, 'five queries');


=== after each change, the zone answers again
--- workers: 1
--- then
my $body = sub { return { recipient => $_[0], body => 'text' } };
my $id = api('u1', POST => '/api/v1/message/', $body->('u2'))->json->{id};
my $message = "/api/v1/message/$id/";

my @changes = (
    [201, POST => '/api/v1/message/', $body->('u2')],
    [404, POST => '/api/v1/message/', $body->('nobody')],
    [200, PATCH => $message, { body => 'edited' }],
    [204, PUT => '/api/v1/block/u2/'],
    [403, POST => '/api/v1/message/', $body->('u2')],
    [403, PATCH => $message, { body => 'blocked' }],
    [204, DELETE => $message],
    [204, DELETE => '/api/v1/block/u2/'],
);

for my $change (@changes) {
    my ($code, @request) = @$change;

    is(api('u1', @request)->code, $code, "$request[0] $request[1]");
    my $cursor = after('u1', 'latest')->json->{cursor};

    my $n = promptly(sub {
        settle(1.1);
        return queries { after('u1', $cursor) for 1 .. 5 };
    }, 1.6);
    is($n, 1, 'then one query for five requests');
}
