#
# Copyright (C) ngx_chat contributors
#

# exiting workers: database connections do not delay them, no write is lost

use Test::Nginx::Socket 'no_plan';
use Test::Nginx::Util qw(get_pid_from_pidfile);
use Chat;
use Chat::Wire;

sub signal_master {
    my ($signal) = @_;

    kill $signal => get_pid_from_pidfile('signal_master');
}

sub gone {
    my (@pids) = @_;

    # the shutdown timeout of these tests is 3 seconds
    return wait_until(sub { !kill 0, @pids }, 2);
}

sub connections {
    return sql("SELECT COUNT(*) FROM information_schema.processlist
                WHERE user = 'chat'");
}

run_tests();


__DATA__

=== after a reload the old workers and their connections end
--- then
for (1 .. 40) {
    is(api('u1', GET => '/api/v1/message/')->code, 200, 'connected');
}

my @old = worker_pids();
ok(connections() >= 1, 'the workers have connections');

signal_master('HUP');
ok(gone(@old), 'the old workers have exited');
ok(wait_until { connections() == 0 }, 'their connections are closed');

is(api('u1', GET => '/api/v1/message/')->code, 200,
   'the new workers serve requests');
unlike(error_log(), qr/open socket/, 'no connection was left open');


=== a send that waits for the database is completed before the worker exits
--- workers: 1
--- then
my $other = connect_db();
message('u1', 'u2', 'hello');
$other->begin_work;
$other->selectall_arrayref('SELECT * FROM chat_conversation FOR UPDATE');

my $code;
request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'mine' })
    ->then(sub { $code = $_[0]->code });

ok(wait_until {
    # the table is refreshed if it was not read for 0.1 seconds
    wait_until { 0 } 0.12;
    sql("SELECT COUNT(*) FROM information_schema.innodb_trx
         WHERE trx_state = 'LOCK WAIT'");
}, 'the send waits');

my @old = worker_pids();
signal_master('HUP');
settle(0.5);
ok(kill(0, @old), 'the old worker waits for it');

$other->rollback;
ok(wait_until { defined $code }, 'the send ends');
is($code, 201, 'successfully');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'mine'"), 1,
   'the message is stored');
ok(gone(@old), 'the old worker has exited');


=== a client that never finishes its request ends with worker_shutdown_timeout
--- main_config
worker_shutdown_timeout 1s;
--- then
my $slow = dial();
send_all($slow, substr wire(POST => '/api/v1/message/', as => 'u1',
                            json => '{"recipient":"u2","body":"x"}'), 0, -1);
settle(0.2);

my @old = worker_pids();
signal_master('HUP');

ok(wait_until(sub { kill(0, @old) < @old }, 1), 'one worker exits');
ok(gone(@old), 'the other one exits at the timeout');
