#
# Copyright (C) ngx_chat contributors
#

# sends that conflict with other transactions and with each other

use Test::Nginx::Socket 'no_plan';
use List::Util;
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);
use Chat::Family;

# The longest duration of a send without a lock conflict.  MySQL cannot limit
# the lock wait of an INSERT to less than a second, which each lock may take
# once.
our $Soon = $Mysql ? 6 : 0.9;

# hold: another transaction locks the conversation of u1 and u2

sub hold {
    my $other = connect_db();

    message('u1', 'u2', 'hello');

    $other->begin_work;
    $other->selectall_arrayref('SELECT * FROM chat_conversation
                                WHERE lo_id = 1 AND hi_id = 2 FOR UPDATE');

    return $other;
}

# lock_rows SELECT, [STATEMENT ...]: another transaction locks the rows

sub lock_rows {
    my ($select, @before) = @_;

    my $other = connect_db();
    $other->do($_) for @before;
    $other->begin_work;
    $other->selectall_arrayref("$select FOR UPDATE");

    return $other;
}

# hold_slots: blocks all sends at their first statement, which has no limit; the
# gaps between the rows are locked as well

sub hold_slots {
    message('u1', 'u2', 'hello');

    return lock_rows('SELECT * FROM chat_writing',
                     'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
}

# users N: names of N more users, whose sessions are in the zone.  The module
# queries at most two jobs of a user at a time.

sub users {
    my @names = map { "v$_" } 1 .. $_[0];

    for (@names) {
        sql("INSERT INTO chat_user (username, password) VALUES (?, '!')", $_);
        add_session($_);
        api($_, GET => '/api/v1/session/');
    }

    return @names;
}

# traffic USER, TO, SECONDS, [CODE]: sends every 30 milliseconds and calls CODE
# between sends.  Returns the statuses and the longest duration of a send.

sub traffic {
    my ($who, $to, $seconds, $code) = @_;
    my ($start, $n, $slowest) = (time, 0, 0);
    my %codes;

    while (time - $start < $seconds) {
        my $begin = time;
        $n++;

        request($who, POST => '/api/v1/message/',
                { recipient => $to, body => "traffic $n" })
            ->then(sub {
                $codes{ $_[0]->code }++;
                $slowest = time - $begin if time - $begin > $slowest;
            });

        $code->($n) if $code;
        settle(0.03);
    }

    wait_until { $n == List::Util::sum0(values %codes) };

    return (join(' ', sort keys %codes), $slowest);
}

# soon CODE: the sends of CODE, which returns the longest duration, are not
# delayed.  A busy machine may delay some of an attempt, a lock delays some of
# each.

sub soon {
    my ($code) = @_;

    my $slowest;

    for (1 .. 5) {
        $slowest = $code->();
        last if $slowest < $Soon;
    }

    cmp_ok($slowest, '<', $Soon, 'without delay');
}

# sent FROM, TO: message texts in the order of their ids

sub sent {
    my ($from, $to) = @_;

    return join ' ', sql('SELECT body FROM chat_message
                          WHERE sender_id = ? AND recipient_id = ?
                          ORDER BY id', $from, $to);
}

# commits: the number of commits so far

sub commits {
    my (undef, $n) = sql("SHOW GLOBAL STATUS LIKE 'Com_commit'");

    return $n;
}

# post USER, TO, BODY, [KEY]: sends and later adds the status to a list

sub post {
    my ($codes, $who, $to, $body, @key) = @_;

    return request($who, POST => '/api/v1/message/',
                   { recipient => $to, body => $body },
                   map { ('Idempotency-Key' => $_) } @key)
           ->then(sub { push @$codes, $_[0]->code });
}

# blocked: waits until a transaction of the module waits for a lock

sub blocked {
    return wait_until {
        # the table is refreshed if it was not read for 0.1 seconds
        wait_until { 0 } 0.12;
        sql("SELECT COUNT(*) FROM information_schema.innodb_trx
             WHERE trx_state = 'LOCK WAIT'");
    };
}

run_tests();


__DATA__

=== a send is retried after a deadlock
--- workers: 1
--- then
my $other = hold();

# the transaction with fewer changes is the victim
$other->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
            VALUES (3, 4, NOW(), 'weight')") for 1 .. 20;

my @codes;
post(\@codes, 'u1', 'u2', 'mine', 'key-1');
ok(blocked(), 'the send waits for the conversation');

$other->selectall_arrayref("SELECT * FROM chat_message
                            WHERE sender_id = 1 AND client_id = 'key-1'
                            FOR UPDATE");
$other->commit;

ok(wait_until { @codes }, 'the send ends');
is("@codes", '201', 'successfully');
like(error_log(), qr/database error 1213 .*"message.send"/, 'after a deadlock');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'mine'"), 1,
   'stored once');


=== a send is retried after a lock timeout
--- workers: 1
--- http
chat_db_timeout 4s;
--- then
my $other = hold();
my @codes;
post(\@codes, 'u1', 'u2', 'mine');

ok(wait_until { error_log() =~ /database error (?:1205|1969|3024) .*"message/ },
   'the send stops waiting');
$other->commit;

ok(wait_until { @codes }, 'the send ends');
is("@codes", '201', 'successfully');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'mine'"), 1,
   'stored once');


=== a lock that is never released delays only the sends that need it
--- workers: 1
--- http
chat_db_timeout 3s;
--- then
my $other = hold();
my (@blocked, @together, @later);

# a blocked send, and a batch that contains another one
post(\@blocked, 'u1', 'u2', 'mine');
ok(blocked(), 'the send waits for the conversation');

post(\@together, 'u3', 'u4', "with it $_") for 1 .. 3;
post(\@blocked, 'u2', 'u1', 'mine too');
post(\@together, 'u4', 'u3', "with it $_") for 4 .. 6;

ok(wait_until { error_log() =~ /(?:error (?:1205|1969|3024) .*){2}/s },
   'both blocked sends time out');

# meanwhile they are retried alone
my $start = time;
for (1 .. 20) {
    post(\@later, 'u3', 'u4', "later $_");
    settle(0.02);
}
ok(wait_until { @later == 20 }, 'later sends end');
is("@later", join(' ', (201) x 20), 'successfully');
# the timeout is 3 s
cmp_ok(time - $start, '<', 0.9 + 0.6 * slowness(), 'without delay');

ok(wait_until { @together == 6 && @blocked == 2 }, 'all sends end');
is("@together", join(' ', (201) x 6), 'the others of the batch succeed');
is("@blocked", '503 503', 'the blocked sends fail');
$other->rollback;


=== a locked conversation does not delay other conversations
--- then
message('u1', 'u2', 'hello');

soon(sub {
    my $other = lock_rows('SELECT * FROM chat_conversation WHERE lo_id = 1');
    my ($sent, @codes) = (0);

    my ($codes, $slowest) = traffic('u3', 'u4', 3, sub {
        return if $_[0] % 8 > 1;

        post(\@codes, $_[0] % 2 ? ('u1', 'u2') : ('u2', 'u1'), $_[0]);
        $sent++;
    });
    is($codes, '201', 'the other sends succeed');
    is("@codes", '', 'sends to the locked conversation wait');

    $other->rollback;
    ok(wait_until { @codes == $sent }, 'they end after the lock');
    is("@codes", join(' ', (201) x $sent), 'successfully');

    return $slowest;
});


=== sends to a locked conversation are stored in order
--- workers: 1
--- then
message('u1', 'u2', 'hello');
my $other = lock_rows('SELECT * FROM chat_conversation WHERE lo_id = 1');
my @codes;

for (1 .. 12) {
    post(\@codes, 'u1', 'u2', $_);
    post(\@codes, 'u3', 'u4', "other $_");
    settle(0.1);
}
ok(wait_until { @codes >= 12 }, 'the other sends end');
is("@codes", join(' ', (201) x 12), 'successfully');

$other->rollback;
ok(wait_until { @codes == 24 }, 'all sends end');
is("@codes", join(' ', (201) x 24), 'successfully');
is(sent(1, 2), join(' ', 'hello', 1 .. 12), 'in the order of the requests');


=== batches continue after a lock is detected
--- workers: 1
--- then
my @users = users(20);
message('u1', $_, 'hello') for @users;
my $other = lock_rows('SELECT * FROM chat_conversation WHERE lo_id = 1');
my @codes;

post(\@codes, $_, 'u1', "first $_") for @users;
ok(wait_until { error_log() =~ /(?:error (?:1205|1969|3024) .*){2}/s },
   'the lock is detected');

$other->rollback;
ok(wait_until { @codes == 20 }, 'the sends end after the lock');

for my $to ('u1', 'u2') {
    my @more;
    my $slots = lock_rows('SELECT * FROM chat_writing');
    post(\@more, $_, $to, 'more') for @users;
    settle(0.5);

    my $before = commits();
    $slots->rollback;

    ok(wait_until { @more == 20 }, 'the next sends end');
    is("@more", join(' ', (201) x 20), 'successfully');
    cmp_ok(commits() - $before, '<=', 4, 'in few transactions');
}


=== locked users and many locked conversations do not delay other ones
--- then
my @users = users(16);

for my $select ('SELECT id FROM chat_user WHERE id = 1',
                'SELECT * FROM chat_conversation WHERE lo_id = 1')
{
    soon(sub {
        my $other = lock_rows($select);
        my @codes;

        my ($codes, $slowest) = traffic('u3', 'u4', 3, sub {
            my ($n) = @_;

            post(\@codes, $n % 2 ? ('u1', $users[$n % 16])
                                 : ($users[$n % 16], 'u1'), $n)
                if $n <= 32;
        });
        is($codes, '201', 'the other sends succeed');
        is("@codes", '', 'sends to the locked conversations wait');

        $other->rollback;
        ok(wait_until { @codes == 32 }, 'they end after the lock');
        is(scalar(grep { $_ != 201 } @codes), 0, 'successfully');

        return $slowest;
    });
}


=== read marks in a locked conversation do not delay other requests
--- workers: 1
--- http
chat_db_timeout 3s;
--- then
my $other = hold();
my @marks;

for (1 .. 6) {
    request('u1', POST => '/api/v1/conversation/u2/read', { id => 1 })
        ->then(sub { push @marks, $_[0]->code });
}
ok(blocked(), 'the marks wait for the lock');

my $start = time;
is(api($_, GET => '/api/v1/conversation/')->code, 200, "$_ reads")
    for 'u2', 'u3', 'u4';

my @codes;
post(\@codes, 'u3', 'u4', 'hello');
ok(wait_until { @codes }, 'u3 sends');
is("@codes", '201', 'successfully');
cmp_ok(time - $start, '<', 0.7 * slowness(), 'without delay');
is("@marks", '', 'the marks still wait');

$other->commit;
ok(wait_until { @marks == 6 }, 'the marks end after the lock');
is("@marks", join(' ', (200) x 6), 'successfully');


=== sends that wait at the same time are stored in a batch
--- workers: 1
--- then
my @users = users(20);
my $other = hold_slots();
my @codes;
post(\@codes, 'u1', 'u2', 'first');
ok(blocked(), 'the first send waits');

post(\@codes, $_, 'u4', "text $_") for @users;
settle(0.5);
is("@codes", '', 'the other sends wait for it');

my $before = commits();
$other->rollback;

ok(wait_until { @codes == 21 }, 'all sends end');
is(scalar(grep { $_ == 201 } @codes), 21, 'successfully');

cmp_ok(commits() - $before, '<=', 3, 'in few transactions');
is(scalar sql("SELECT COUNT(DISTINCT body) FROM chat_message
               WHERE body LIKE 'text %'"), 20, 'each message is stored');
is(scalar sql('SELECT SUM(message_count) FROM chat_conversation
              WHERE lo_id = 4'), 20, 'and counted');


=== a rejected send does not affect the others of its batch
--- workers: 1
--- then
my $other = hold_slots();
my (@first, @twice, @others);
post(\@first, 'u1', 'u2', 'first');
ok(blocked(), 'the first send waits');

post(\@others, 'u3', 'u4', "text $_") for 1 .. 5;
post(\@twice, 'u3', 'u4', 'twice', 'key-1') for 1 .. 2;
post(\@others, 'u4', 'u3', "text $_") for 6 .. 10;
settle(0.5);

$other->rollback;

ok(wait_until { @first + @twice + @others == 13 }, 'all sends end');
is("@first", '201', 'the first send succeeds');
is("@others", join(' ', (201) x 10), 'the other sends succeed');
is(join(' ', sort @twice), '200 201',
   'one of two sends with the same key is stored');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE sender_id > 2'), 11,
   'each message is stored once');
is(scalar sql('SELECT message_count FROM chat_conversation WHERE lo_id = 3'),
   11, 'and counted once');


=== rejected values are not in the log
--- workers: 1
--- then
my $key = 'a-secret-key';
my $body = 'a secret text';

for (1 .. 2) {
    api('u1', POST => '/api/v1/message/',
        { recipient => 'u2', body => $body }, 'Idempotency-Key' => $key);
}

sql("CREATE TRIGGER refuse BEFORE INSERT ON chat_message FOR EACH ROW
     SIGNAL SQLSTATE '45000'");
my $res = api('u1', POST => '/api/v1/message/',
              { recipient => 'u2', body => $body });
sql('DROP TRIGGER refuse');

is($res->code, 500, 'a failed statement');
is($res->json->{detail}, 'Internal server error.',
   'results in a JSON response');
like(error_log(), qr/\[error\].* chat: database error 1644 \(45000\)/,
     'the log has its number');
unlike(error_log(), qr/secret/, 'but no values');
