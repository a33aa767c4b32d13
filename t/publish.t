#
# Copyright (C) ngx_chat contributors
#

# a message that is stored is answered and announced, whatever happens

use Test::Nginx::Socket 'no_plan';
use Chat;

sub send_message {
    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => 'x' });
}

# raw_send BODY: a request as it is on the wire

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

    # a reset at once instead of a polite end
    setsockopt($socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(),
               pack('ii', 1, 0));
    close $socket;
}

# load_modules MODULE ...: in this order, from the next start on

sub load_modules {
    $Test::Nginx::Util::LoadModules = "@_";
}


# of two workers one is stopped and the other killed, which had asked it

sub answered_late {

    # nchan's memory of channels is shared out by their names: of four people
    # both have some
    my ($slow, $dead) = worker_pids();

    kill 'STOP', $slow;

    my @sent = map {
        my $who = $_;
        map { api($who, POST => '/api/v1/message/',
                  { recipient => $who, body => 'x' })->code } 1 .. 5;
    } qw(u1 u2 u3 u4);

    is("@sent", join(' ', (201) x 20), 'the other one stores all');
    kill 'KILL', $dead;

    my ($next) = ();
    ok(wait_until { ($next) = grep { $_ != $slow && $_ != $dead }
                                   worker_pids() },
       'another takes its place');

    # longer than anybody needs who only has to write
    settle(0.8);
    kill 'CONT', $slow;
    settle(1);

    is(join(' ', worker_pids()), join(' ', sort { $a <=> $b } $slow, $next),
       'which lives');
}

run_tests();


__DATA__

=== no chat_publish: nobody is told, all is stored
--- change
s/^ *chat_publish [^;]*;//m;
--- then
my $socket = web_socket('u2');

is(send_message()->code, 201, 'sent');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'stored');
settle();
is_deeply($socket->{frames}, [], 'not told');


=== the publisher location is missing
--- change
s{chat_publish +/chat/publish}{chat_publish /nowhere};
--- then
is(send_message()->code, 201, 'sent') for 1 .. 4;
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 4, 'stored');
--- error_log
chat publish to "/nowhere" failed with status 404: the message is stored, clients find it when they catch up


=== the publisher location is no publisher
--- server
location = /elsewhere { internal; return 204; }
--- change
s{chat_publish +/chat/publish}{chat_publish /elsewhere};
--- then
my $res = send_message();
is($res->code, 201, 'sent');
is($res->json->{body}, 'x', 'with its answer');


=== the publisher location fails
--- server
location = /elsewhere { internal; return 507; }
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
--- error_log
chat publish to "/elsewhere" failed with status 507: the message is stored, clients find it when they catch up


=== the publisher location talks
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


=== many on one connection, told each
--- then
my $socket = web_socket('u2');
my $sender = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);

print $sender raw_send($_) for 1 .. 20;

ok(wait_until { @{ $socket->{frames} } == 20 }, 'all are told')
    or diag(scalar @{ $socket->{frames} });


=== a client that leaves during its send: stored and told, or neither
--- then
my $socket = web_socket('u2');

for my $n (1 .. 60) {
    my $sender = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);

    $sender->syswrite(raw_send($n));

    # some leave at once, some while the database is at work
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

# some may be told twice: who leaves takes with him what nchan had to say
my %told;
ok(wait_until {
       $told{$_} = 1 for @{ $socket->{frames} };
       keys %told >= $stored;
   }, 'all of them are told')
    or diag(keys(%told) . " of $stored");
is(scalar keys %told, $stored, 'and nothing else');
is(scalar sql('SELECT SUM(message_count) FROM chat_conversation'), $stored,
   'and counted');
is(send_message()->code, 201, 'the next one');


=== a client that leaves while the database is slow: told all the same
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

ok(wait_until { @{ $socket->{frames} } }, 'told');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'late'"), 1,
   'stored once');


=== a client that sends half of its request and leaves
--- then
for (1 .. 10) {
    my $sender = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r);
    my $request = raw_send('x');

    $sender->syswrite(substr $request, 0, length($request) - 5);
    reset_by_peer($sender);
}

is(send_message()->code, 201, 'the next one');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'is the only one');


=== clients that leave while they read
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

is(send_message()->code, 201, 'all is well');


=== several hosts: told in each of sixteen epochs, however long their names are
--- http
chat_hosts on;
--- server
location = /epoch {
    nchan_subscriber longpoll;
    nchan_channel_group chat;
    nchan_channel_id $arg_id;
    nchan_subscriber_first_message newest;
    nchan_subscriber_last_message_id "";
}
--- given
sql('INSERT INTO chat_user (id, username) VALUES (4294967294, ?), (4294967295, ?)',
    'v1', 'v2');
add_session($_) for qw(v1 v2);
sql('INSERT INTO chat_epoch VALUES (?, UTC_TIMESTAMP())', 4294967295 - $_)
    for 0 .. 15;
--- undescribed: nchan answers there
--- then
# until both workers have asked
settle(1.5);

my @polls = map { Chat::stream('', path => "/epoch?id=4294967295.$_") }
                map { 4294967295 - $_ } 0 .. 15;
my $socket = web_socket('v2');
settle();

my $sent = api('v1', POST => '/api/v1/message/',
               { recipient => 'v2', body => 'x' });
is($sent->code, 201, 'sent');

my $id = $sent->json->{id};
ok(wait_until { 16 == grep { $_->{text} =~ /"$id"/ } @polls }, 'all are told');
ok(wait_until { grep { /"$id"/ } @{ $socket->{frames} } },
   'and so is who is here');
close_all(@polls, $socket);


=== kill -9 of a worker
--- then
my @before = worker_pids();
my @sockets = map { web_socket('u2') } 1 .. 6;

kill 'KILL', $before[0];
ok(wait_until { my @now = worker_pids();
                @now == @before && !grep { $_ == $before[0] } @now },
   'another takes its place');

# nchan needs a moment to hear of the new one
settle();

my %codes;
$codes{ send_message()->code }++ for 1 .. 20;
is_deeply(\%codes, { 201 => 20 }, 'all is stored');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 20, 'once');

my $socket = web_socket('u2');
is($socket->{code}, 101, 'a new socket');
is(scalar @{ api('u2', GET => '/api/v1/message/?after=0&limit=100')
                 ->json->{results} }, 20, 'nothing is lost');
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]


=== what others answer a worker late that was killed is not for the next one
--- then
answered_late();
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]
exited on signal 11
exited on signal 6


=== the same when nchan is loaded last
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


=== kill -9 of a worker during sends: each answer is true
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
ok(wait_until { $ended == 100 }, 'all have ended') or diag($ended);

my %rows = sql('SELECT client_id, id FROM chat_message');
is_deeply([grep { $rows{$_} != $stored{$_} } keys %stored], [],
          'what was answered by 201 is stored');

# the same again: what went in unanswered is not stored a second time
for my $n (0 .. 99) {
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => "key-$n" },
                  'Idempotency-Key' => "key-$n");
    like($res->code, $rows{"key-$n"} ? qr/^200$/ : qr/^201$/, "key-$n");
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 100, 'a hundred');
is(scalar sql('SELECT message_count FROM chat_conversation'), 100, 'counted');
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]


=== reload
--- then
my @before = worker_pids();

is(send_message()->code, 201, 'before');

kill 'HUP', master_pid();
ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                      worker_pids() },
   'the old workers have gone') or diag(join ' ', @before, '-', worker_pids());

my $socket = web_socket('u2');
is(send_message()->code, 201, 'after') for 1 .. 4;
ok(wait_until { @{ $socket->{frames} } == 4 }, 'and told');
is(api('u1', GET => '/api/v1/message/')->json->{count}, 5, 'all are there');


=== reload with sockets open: the old workers go all the same
--- then
my @sockets = map { web_socket('u2') } 1 .. 6;
my @before = worker_pids();

kill 'HUP', master_pid();
ok(wait_until { (grep { $_->{closed} } @sockets) == 6 },
   'the sockets are closed');
ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                      worker_pids() },
   'the old workers have gone');

my $socket = web_socket('u2');
is(send_message()->code, 201, 'sent');
ok(wait_until { @{ $socket->{frames} } }, 'told');

# nchan leaves its own pipes open when it reloads
--- no_error_log eval
qr/\[alert\] .*exited on signal/


=== reload during sends: none is lost
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
ok(wait_until { $ended == 150 }, 'all have ended') or diag($ended);
is("@bad", '', 'by 201');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 150, 'each is stored once');

# nginx must not end before: of workers of both kinds that leave together nchan
# aborts one

ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                      worker_pids() },
   'the old workers have gone');
--- no_error_log eval
qr/\[alert\] .*exited on signal/
