#
# Copyright (C) ngx_chat contributors
#

# a stored message is answered and published despite failures

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Sockets;

sub send_message {
    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => 'x' });
}

# raw_send BODY: returns a request in wire format

sub raw_send {
    my ($body) = @_;

    my $json = qq({"recipient":"u2","body":"$body"});

    return "POST /api/v1/message/ HTTP/1.1\r\nHost: localhost\r\n"
           . 'Cookie: sessionid=' . token('u1') . "\r\n"
           . "Content-Type: application/json\r\n"
           . 'Content-Length: ' . length($json) . "\r\n\r\n$json";
}

sub reset_by_peer {
    my ($socket) = @_;

    # a reset instead of a normal close
    setsockopt($socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(),
               pack('ii', 1, 0));
    close $socket;
}

# load_modules MODULE ...: sets the modules and their order for the next start

sub load_modules {
    $Test::Nginx::Util::LoadModules = "@_";
}


# One of two workers is stopped, the other is killed while it waits for a reply
# of the stopped one.

sub answered_late {

    # nchan distributes channels to workers by name: both workers have some of
    # four users
    my ($slow, $dead) = worker_pids();

    stop_worker($slow);

    my @sent = map {
        my $who = $_;
        map { api($who, POST => '/api/v1/message/',
                  { recipient => $who, body => 'x' })->code } 1 .. 5;
    } qw(u1 u2 u3 u4);

    is("@sent", join(' ', (201) x 20), 'the other worker stores all messages');
    kill 'KILL', $dead;

    my ($next) = ();
    ok(wait_until { ($next) = grep { $_ != $slow && $_ != $dead }
                                   worker_pids() },
       'another worker starts');

    # longer than a worker that only has to write needs
    settle(0.8);
    kill 'CONT', $slow;
    settle(1);

    is(join(' ', worker_pids()), join(' ', sort { $a <=> $b } $slow, $next),
       'the stopped worker continues');
}

run_tests();


__DATA__

=== without chat_publish, messages are stored but not published
--- change
s/^ *chat_publish [^;]*;//m;
--- then
my $socket = web_socket('u2');

is(send_message()->code, 201, 'sent');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'stored');
settle();
is_deeply($socket->{frames}, [], 'without a notification');


=== a publisher location without nchan is logged
--- change
s{chat_publish +/chat/publish}{chat_publish /nowhere};
--- then
is(send_message()->code, 201, 'sent') for 1 .. 4;
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 4, 'stored');
--- error_log
no location with "chat_subscriber" has the "nchan_channel_group" "" of a location of "chat_publish"


=== a publisher location may return another success status
--- server
location = /elsewhere { internal; return 204; }
--- change
s{chat_publish +/chat/publish}{chat_publish /elsewhere};
--- then
my $res = send_message();
is($res->code, 201, 'sent');
is($res->json->{body}, 'x', 'with the message in the response');


=== a failing publisher location is tried again
--- server
location = /elsewhere {
    internal;
    nchan_channel_group chat;
    return 507;
}
--- change
s{chat_publish +/chat/publish}{chat_publish /elsewhere};
--- then
my $socket = web_socket('u2');

is(send_message()->code, 201, 'sent');
ok(wait_until(sub { $socket->{closed} }, 30),
   'the socket is closed in the end, so that the client catches up');
--- error_log
chat publish to "/elsewhere" failed with status 507
chat message 1 could not be published: closing the sockets of this worker


=== output of the publisher location does not reach the client
--- server
location = /elsewhere { internal; default_type text/html; return 200 "nonsense"; }
--- change
s{chat_publish +/chat/publish}{chat_publish /elsewhere};
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"x"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"x"}


=== each of several messages on one connection is published
--- then
my $socket = web_socket('u2');
my $sender = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);

print $sender raw_send($_) for 1 .. 20;

ok(wait_until { @{ $socket->{frames} } == 20 }, 'all are published')
    or diag(scalar @{ $socket->{frames} });


=== a send whose client disconnects is stored and published, or neither
--- then
my $socket = web_socket('u2');

for my $n (1 .. 60) {
    my $sender = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);

    $sender->syswrite(raw_send($n));

    # some disconnect at once, some during the database query
    select undef, undef, undef, ($n % 6) / 2000;
    reset_by_peer($sender);
}

my $stored = -1;
wait_until {
    my $now = sql('SELECT COUNT(*) FROM chat_message');
    my $still = $now == $stored;
    $stored = $now;
    settle();
    $still;
};

cmp_ok($stored, '>', 0, 'some were stored');

# Some may be published twice: a client that disconnects ends the subrequest
# to nchan before its result is known.
my %told;
ok(wait_until {
       $told{$_} = 1 for @{ $socket->{frames} };
       keys %told >= $stored;
   }, 'all are published')
    or diag(keys(%told) . " of $stored");
is(scalar keys %told, $stored, 'nothing else is published');
is(scalar sql('SELECT SUM(message_count) FROM chat_conversation'), $stored,
   'all are counted');
is(send_message()->code, 201, 'the next send');


=== a message is published if its client disconnects while the database is slow
--- then
my $socket = web_socket('u2');

# the transaction of the send waits for this row
my $other = connect_db();
message(u1 => 'u2', 'first');
$other->begin_work;
$other->do('SELECT * FROM chat_conversation FOR UPDATE');

my $sender = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);
$sender->syswrite(raw_send('late'));
settle();
reset_by_peer($sender);
settle();
$other->rollback;

ok(wait_until { @{ $socket->{frames} } }, 'published');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'late'"), 1,
   'stored once');


=== a client that disconnects after half of its request stores nothing
--- then
for (1 .. 10) {
    my $sender = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);
    my $request = raw_send('x');

    $sender->syswrite(substr $request, 0, length($request) - 5);
    reset_by_peer($sender);
}

is(send_message()->code, 201, 'the next send');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1,
   'only this one is stored');


=== clients that disconnect while they read do no harm
--- given
message(u1 => 'u2', 'x' x 4000) for 1 .. 15;
--- then
for my $n (1 .. 40) {
    my $reader = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);
    my $path = ('message/', 'message/1/', 'user/', 'conversation/',
                'message/?after=0')[$n % 5];

    $reader->syswrite("GET /api/v1/$path HTTP/1.1\r\nHost: localhost\r\n"
                      . 'Cookie: sessionid=' . token('u1') . "\r\n\r\n");
    select undef, undef, undef, ($n % 4) / 2000;
    reset_by_peer($reader);
}

is(send_message()->code, 201, 'the next send');


=== users with long ids are notified by each of four workers
--- workers: 4
--- given
sql('INSERT INTO chat_user (id, username) VALUES (4294967294, ?), (4294967295, ?)',
    'v1', 'v2');
add_session($_) for qw(v1 v2);
--- then
my @sockets = web_sockets('v2', 24);

my $id = api('v1', POST => '/api/v1/message/',
             { recipient => 'v2', body => 'x' })->json->{id};

ok(wait_until {
       @sockets == grep {
           "@{ $_->{frames} }" eq qq({"message": "$id"}) } @sockets
   }, 'each socket is notified once');
close_all(@sockets);


=== a message is stored and published after a worker is killed
--- then
my @before = worker_pids();
my @sockets = web_sockets('u2', 16);

kill 'KILL', $before[0];
ok(wait_until { my @now = worker_pids();
                @now == @before && !grep { $_ == $before[0] } @now },
   'another worker starts');

# nchan needs some time to find the new worker
settle();

my %codes;
$codes{ send_message()->code }++ for 1 .. 20;
is_deeply(\%codes, { 201 => 20 }, 'all are stored');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 20, 'once');

my @open = grep { !$_->{closed} } @sockets;
cmp_ok(scalar @open, '<', scalar @sockets,
       'sockets of the killed worker are closed');
cmp_ok(scalar @open, '>', 0, 'sockets of the other worker stay open');
ok(wait_until { @open == grep { @{ $_->{frames} } == 20 } @open },
   'and are notified');

my $socket = web_socket('u2');
is($socket->{code}, 101, 'a new socket opens');
is(scalar @{ api('u2', GET => '/api/v1/message/?after=0&limit=100')
                 ->json->{results} }, 20, 'no message is lost');
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]


=== a late reply to a killed worker does not reach its successor
--- then
answered_late();
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]
exited on signal 11
exited on signal 6


=== a late reply does not reach the successor if nchan is loaded last
--- given
load_modules(reverse split ' ', $ENV{TEST_NGINX_LOAD_MODULES});
--- then
answered_late();
load_modules(split ' ', $ENV{TEST_NGINX_LOAD_MODULES});
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]
exited on signal 11
exited on signal 6


=== responses are correct if a worker is killed during sends
--- then
my ($sent, $ended, %stored) = (0, 0);

my $send;
$send = sub {
    return if $sent >= 100;

    my $key = 'key-' . $sent++;

    kill 'KILL', (worker_pids())[0] if $sent == 40;

    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => $key }, 'Idempotency-Key' => $key)
        ->then(sub { $stored{$key} = $_[0]->json->{id} if $_[0]->code == 201 })
        ->catch(sub { })
        ->finally(sub { $ended++; $send->() });
};

$send->() for 1 .. 6;
ok(wait_until { $ended == 100 }, 'all sends have ended') or diag($ended);

my %rows = sql('SELECT client_id, id FROM chat_message');
is_deeply([grep { $rows{$_} != $stored{$_} } keys %stored], [],
          'messages with a 201 are stored');

# the same sends again: messages stored without a response are not repeated
for my $n (0 .. 99) {
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => "key-$n" },
                  'Idempotency-Key' => "key-$n");
    like($res->code, $rows{"key-$n"} ? qr/^200$/ : qr/^201$/, "key-$n");
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 100, 'all are stored once');
is(scalar sql('SELECT message_count FROM chat_conversation'), 100,
   'all are counted');
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]


=== messages are published after a reload
--- then
my @before = worker_pids();

is(send_message()->code, 201, 'before');

kill 'HUP', master_pid();
ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                      worker_pids() },
   'the old workers have exited')
    or diag(join ' ', @before, '-', worker_pids());

my $socket = web_socket('u2');
is(send_message()->code, 201, 'after') for 1 .. 4;
ok(wait_until { @{ $socket->{frames} } == 4 }, 'all are published');
is(api('u1', GET => '/api/v1/message/')->json->{count}, 5, 'all are stored');


=== old workers with open sockets exit after a reload
--- then
my @sockets = map { web_socket('u2') } 1 .. 6;
my @before = worker_pids();

kill 'HUP', master_pid();
ok(wait_until { (grep { $_->{closed} } @sockets) == 6 },
   'the sockets are closed');
ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                      worker_pids() },
   'the old workers have exited');

my $socket = web_socket('u2');
is(send_message()->code, 201, 'sent');
ok(wait_until { @{ $socket->{frames} } }, 'published');

# nchan leaves its own pipes open during a reload
--- no_error_log eval
qr/\[alert\] .*exited on signal/


=== no send is lost during reloads
--- then
my @before = worker_pids();
my ($sent, $ended, @bad) = (0, 0);

my $send;
$send = sub {
    return if $sent >= 150;

    my $n = $sent++;
    kill 'HUP', master_pid() if $n == 50;

    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => "$n" })
        ->then(sub { push @bad, $_[0]->code if $_[0]->code != 201 })
        ->catch(sub { push @bad, $_[0] })
        ->finally(sub { $ended++; $send->() });
};

$send->() for 1 .. 6;
ok(wait_until { $ended == 150 }, 'all sends have ended') or diag($ended);
is("@bad", '', 'all with status 201');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 150, 'each is stored once');

# nginx must not end before: nchan aborts a worker if old and new workers exit
# together

ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                      worker_pids() },
   'the old workers have exited');
--- no_error_log eval
qr/\[alert\] .*exited on signal/
