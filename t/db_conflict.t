#
# Copyright (C) ngx_chat contributors
#

# sends that meet other transactions, and each other

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;

# hold: another transaction has the conversation of u1 and u2

sub hold {
    my $other = connect_db();

    message('u1', 'u2', 'hello');

    $other->begin_work;
    $other->selectall_arrayref('SELECT * FROM chat_conversation
                                WHERE lo_id = 1 AND hi_id = 2 FOR UPDATE');

    return $other;
}

# post WHO, TO, BODY, [KEY]: pushes the status to a list, some time

sub post {
    my ($codes, $who, $to, $body, @key) = @_;

    return request($who, POST => '/api/v1/message/',
                   { recipient => $to, body => $body },
                   map { ('Idempotency-Key' => $_) } @key)
           ->then(sub { push @$codes, $_[0]->code });
}

# blocked: a transaction of the module waits for a lock

sub blocked {
    return wait_until {
        # it is made anew only when nobody has read it for 0.1 seconds
        wait_until { 0 } 0.12;
        sql("SELECT COUNT(*) FROM information_schema.innodb_trx
             WHERE trx_state = 'LOCK WAIT'");
    };
}

run_tests();


__DATA__

=== a deadlock: the send is tried again
--- workers: 1
--- then
my $other = hold();

# the transaction that changed less is the victim
$other->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
            VALUES (3, 4, NOW(), 'weight')") for 1 .. 20;

my @codes;
post(\@codes, 'u1', 'u2', 'mine', 'key-1');
ok(blocked(), 'it waits for the conversation');

$other->selectall_arrayref("SELECT * FROM chat_message
                            WHERE sender_id = 1 AND client_id = 'key-1'
                            FOR UPDATE");
$other->commit;

ok(wait_until { @codes }, 'it ends');
is("@codes", '201', 'well');
like(error_log(), qr/database error 1213 .*"message.send"/, 'after a deadlock');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'mine'"), 1,
   'stored once');


=== a lock held for too long: the send is tried again
--- workers: 1
--- http
chat_db_timeout 4s;
--- then
my $other = hold();
my @codes;
post(\@codes, 'u1', 'u2', 'mine');

ok(wait_until { error_log() =~ /database error 1205 .*"message.send"/ },
   'it gives up waiting');
$other->commit;

ok(wait_until { @codes }, 'it ends');
is("@codes", '201', 'well');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'mine'"), 1,
   'stored once');


=== a lock that is never given back: those who do not need it do not wait
--- workers: 1
--- http
chat_db_timeout 3s;
--- then
my $other = hold();
my (@blocked, @together, @later);

# one who waits, and a packet that has another of them in it
post(\@blocked, 'u1', 'u2', 'mine');
ok(blocked(), 'it waits for the conversation');

post(\@together, 'u3', 'u4', "with it $_") for 1 .. 3;
post(\@blocked, 'u2', 'u1', 'mine too');
post(\@together, 'u4', 'u3', "with it $_") for 4 .. 6;

ok(wait_until { error_log() =~ /(?:error 1205 .*){2}/s }, 'both give up');

# meanwhile they are tried again, by themselves
my $start = time;
for (1 .. 20) {
    post(\@later, 'u3', 'u4', "later $_");
    settle(0.02);
}
ok(wait_until { @later == 20 }, 'who comes later');
is("@later", join(' ', (201) x 20), 'is not concerned');
cmp_ok(time - $start, '<', 1.5, 'and need not wait');

ok(wait_until { @together == 6 && @blocked == 2 }, 'they all end');
is("@together", join(' ', (201) x 6), 'who was in their packet');
is("@blocked", '503 503', 'they themselves');
$other->rollback;


=== marks of what is read, all for one locked conversation
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
ok(blocked(), 'they wait for it');

my $start = time;
is(api($_, GET => '/api/v1/conversation/')->code, 200, "$_ reads")
    for 'u2', 'u3', 'u4';

my @codes;
post(\@codes, 'u3', 'u4', 'hello');
ok(wait_until { @codes }, 'u3 sends');
is("@codes", '201', 'well');
cmp_ok(time - $start, '<', 0.7, 'at once');
is("@marks", '', 'the marks wait still');

$other->commit;
ok(wait_until { @marks == 6 }, 'then they end');
is("@marks", join(' ', (200) x 6), 'well');


=== sends that wait together are stored together
--- workers: 1
--- then
my $other = hold();
my @codes;
post(\@codes, 'u1', 'u2', 'first');
ok(blocked(), 'the first waits');

post(\@codes, 'u3', 'u4', "text $_") for 1 .. 20;
settle(0.5);
is("@codes", '', 'the others wait for it');

my (undef, $before) = sql("SHOW GLOBAL STATUS LIKE 'Com_commit'");
$other->rollback;

ok(wait_until { @codes == 21 }, 'they all end');
is(scalar(grep { $_ == 201 } @codes), 21, 'well');

my (undef, $after) = sql("SHOW GLOBAL STATUS LIKE 'Com_commit'");
cmp_ok($after - $before, '<=', 3, 'in few transactions');
is(scalar sql("SELECT COUNT(DISTINCT body) FROM chat_message
               WHERE body LIKE 'text %'"), 20, 'each of them');
is(scalar sql('SELECT message_count FROM chat_conversation WHERE lo_id = 3'),
   20, 'and counted');


=== one that is refused does not harm those it travels with
--- workers: 1
--- then
my $other = hold();
my (@first, @twice, @others);
post(\@first, 'u1', 'u2', 'first');
ok(blocked(), 'the first waits');

post(\@others, 'u3', 'u4', "text $_") for 1 .. 5;
post(\@twice, 'u3', 'u4', 'twice', 'key-1') for 1 .. 2;
post(\@others, 'u4', 'u3', "text $_") for 6 .. 10;
settle(0.5);

$other->rollback;

ok(wait_until { @first + @twice + @others == 13 }, 'they all end');
is("@first", '201', 'the first');
is("@others", join(' ', (201) x 10), 'the others');
is(join(' ', sort @twice), '200 201', 'the same key twice');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE sender_id > 2'), 11,
   'each is stored once');
is(scalar sql('SELECT message_count FROM chat_conversation WHERE lo_id = 3'),
   11, 'and counted once');


=== what was refused is not in the log
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

is($res->code, 500, 'a statement that failed');
is($res->json->{detail}, 'Internal server error.', 'is an answer in JSON');
like(error_log(), qr/\[error\].* chat: database error 1644 \(45000\)/,
     'is told by its number');
unlike(error_log(), qr/secret/, 'and by no more');
