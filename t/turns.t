#
# Copyright (C) ngx_chat contributors
#

# a user has two running queries in each worker, further queries wait

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);
use Chat::Wire;

# hold: returns a connection that locks messages, so that reads wait

sub hold {
    message('u1', 'u2', 'hello');

    my $other = connect_db();
    $other->do('LOCK TABLES chat_message WRITE');

    return $other;
}

# waiting: returns the number of waiting queries of the module

sub waiting {
    return scalar sql("SELECT COUNT(*) FROM information_schema.processlist
                       WHERE user = 'chat' AND state LIKE 'Waiting for%'");
}

# pages CODES, USER, [N]: requests N pages and pushes user and status of each

sub pages {
    my ($codes, $who, $n) = @_;

    for (1 .. $n // 1) {
        request($who, GET => '/api/v1/message/')
            ->then(sub { push @$codes, "$who " . $_[0]->code });
    }
}

run_tests();


__DATA__

=== queries of one user wait for each other, those of another user do not
--- workers: 1
--- then
my $other = hold();
my @codes;

pages(\@codes, 'u1', 12);
ok(wait_until { waiting() == 2 }, 'two queries run');
settle(0.3);
is(waiting(), 2, 'no further query runs');

pages(\@codes, 'u2');
ok(wait_until { waiting() == 3 }, "another user's query runs");

pages(\@codes, 'u2');
settle(0.3);
is("@codes", '', 'all requests wait');

$other->do('UNLOCK TABLES');
ok(wait_until { @codes == 14 }, 'all requests end');
is(scalar(grep { /200/ } @codes), 14, 'none is rejected');


=== one user does not fill a short queue
--- workers: 1
--- http
chat_db_queue 4;
--- then
# sessions are in the zone after this
api($_, GET => '/api/v1/session/') for 'u1' .. 'u4';

my $other = hold();
my @codes;

pages(\@codes, 'u1', 20);
ok(wait_until { waiting() == 2 }, 'two queries run');

pages(\@codes, $_) for 'u2', 'u3', 'u4';
settle(0.3);
is("@codes", '', 'no request is rejected');

$other->do('UNLOCK TABLES');
ok(wait_until { @codes == 23 }, 'all requests end');
is(scalar(grep { /200/ } @codes), 23, 'all succeed');


=== queries of disconnected clients do not block others
--- workers: 1
--- then
my $other = hold();
my @codes;

my @clients = map {
    my $client = dial();
    send_all($client, wire(GET => '/api/v1/message/', as => 'u1'));
    $client;
} 1 .. 6;
pages(\@codes, 'u1', 2);
settle(0.3);
close $_ for @clients[0, 1, 4];
settle(0.3);

$other->do('UNLOCK TABLES');
ok(wait_until { @codes == 2 }, 'the other requests end');
is("@codes", 'u1 200 u1 200', 'all succeed');

is(read_answer($_)->{code}, 200, 'a connected client gets its response')
    for @clients[2, 3, 5];

pages(\@codes, 'u1', 4);
ok(wait_until { @codes == 6 }, 'further requests end');


=== an exiting worker answers waiting requests
--- workers: 1
--- then
my $other = hold();
my @codes;

pages(\@codes, 'u1', 8);
ok(wait_until { waiting() == 2 }, 'two queries run');

kill HUP => master_pid();
settle(1);
$other->do('UNLOCK TABLES');

ok(wait_until { @codes == 8 }, 'all requests end');
is(scalar(grep { /200/ } @codes), 8, 'all succeed');


=== waiting requests fail at once when the database becomes unreachable
--- workers: 1
--- http
chat_db_timeout 1s;
chat_db_connect_timeout 500ms;
--- then
my $other = hold();
my @codes;

pages(\@codes, 'u1', 12);
ok(wait_until { waiting() == 2 }, 'two queries run');

# new connections are rejected
sql("ALTER USER 'chat'\@'localhost' ACCOUNT LOCK");
sql("KILL $_") for sql("SELECT id FROM information_schema.processlist
                        WHERE user = 'chat'");

my $start = time;
ok(wait_until { @codes == 12 }, 'all requests end');
is(scalar(grep { /503/ } @codes), 12, 'all return 503');
cmp_ok(time - $start, '<', 3, 'without delay');

$other->do('UNLOCK TABLES');
sql("ALTER USER 'chat'\@'localhost' ACCOUNT UNLOCK");


=== requests that have waited for the time-out do not wait for another one
--- workers: 1
--- http
chat_db_timeout 1s;
--- then
# the session is in the zone then
api('u1', GET => '/api/v1/session/');

my $other = hold();
my $start = time;
my @codes;

pages(\@codes, 'u1', 16);
ok(wait_until { @codes == 16 }, 'all get responses');
is(scalar(grep { /503/ } @codes), 16, 'with status 503');
cmp_ok(time - $start, '<', 5, 'and not two per time-out');

$other->do('UNLOCK TABLES');
is(api('u1', GET => '/api/v1/message/')->code, 200, 'the next request succeeds');


=== sends to a locked conversation do not delay other requests of the sender
--- workers: 1
--- then
message('u1', 'u2', 'hello');
message('u1', 'u3', 'hello');

my $other = connect_db();
$other->begin_work;
$other->selectall_arrayref('SELECT * FROM chat_conversation
                            WHERE lo_id = 1 AND hi_id = 2 FOR UPDATE');
my (@locked, @codes);

for (1 .. 4) {
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $_ })
        ->then(sub { push @locked, $_[0]->code });
}
settle(0.3);

my $start = time;
request('u1', POST => '/api/v1/message/', { recipient => 'u3', body => $_ })
    ->then(sub { push @codes, $_[0]->code }) for 1 .. 4;
pages(\@codes, 'u1');

ok(wait_until { @codes == 5 }, 'the other requests end');
is(scalar(grep { /20[01]/ } @codes), 5, 'all succeed');
cmp_ok(time - $start, '<', 1.5 * slowness(), 'without delay');
is("@locked", '', 'sends to the locked conversation wait');

$other->rollback;
ok(wait_until { @locked == 4 }, 'the sends end');
is("@locked", '201 201 201 201', 'all succeed');


=== sends that wait for others of their sender are published after they end
--- workers: 1
--- then
message('u1', 'u2', 'hello');
my $other = connect_db();
$other->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
$other->begin_work;
$other->selectall_arrayref('SELECT * FROM chat_writing FOR UPDATE');

my $socket = web_socket('u2');
my @codes;

for (1 .. 6) {
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $_ })
        ->then(sub { push @codes, $_[0]->code });
    settle(0.1);
}
is("@codes", '', 'the sends wait');
$other->rollback;

ok(wait_until { @codes == 6 }, 'the sends end');
is("@codes", join(' ', (201) x 6), 'all succeed');
is(join(' ', sql('SELECT body FROM chat_message WHERE id > 1 ORDER BY id')),
   '1 2 3 4 5 6', 'in order');
ok(wait_until { @{ $socket->{frames} } == 6 },
   'the recipient is notified of each');


=== waiting sends of one user share the next packet
--- workers: 1
--- then
message('u1', 'u2', 'hello');
my $other = connect_db();
$other->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
$other->begin_work;
$other->selectall_arrayref('SELECT * FROM chat_writing FOR UPDATE');

sql("SET GLOBAL log_output = 'TABLE', general_log = 1");

my @codes;

for (1 .. 12) {
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $_ })
        ->then(sub { push @codes, $_[0]->code });
    settle(0.3) if $_ == 1;
}
settle(0.3);
is("@codes", '', 'the sends wait');
$other->rollback;

ok(wait_until { @codes == 12 }, 'the sends end');
is("@codes", join(' ', (201) x 12), 'all succeed');

sql('SET GLOBAL general_log = 0');
is(scalar sql("SELECT COUNT(*) FROM mysql.general_log
               WHERE argument LIKE '%INSERT INTO chat_message (%'"),
   2, 'all further sends share one packet');
sql('TRUNCATE mysql.general_log');
