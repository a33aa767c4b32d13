#
# Copyright (C) ngx_chat contributors
#

# the shared log: notifications between workers, when workers are slow, when
# their number changes, and when their zone does

use Test::Nginx::Socket 'no_plan';
use Test::Nginx::Util qw($ServRoot);
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);
use Chat::Sockets;

sub post {
    my ($from, $to) = @_;

    return api($from, POST => '/api/v1/message/',
               { recipient => $to, body => 'x' });
}

# reload CHANGE: changes the configuration in $_, and waits until the previous
# workers have exited, unless WAIT is 0

sub reload {
    my ($change, $wait) = @_;

    my @old = worker_pids();
    my $file = "$ServRoot/conf/nginx.conf";

    local $_ = Chat::read_file($file);
    $change->();

    open my $out, '>', $file or die "$file: $!";
    print $out $_;
    close $out;

    kill HUP => master_pid();

    ok(wait_until {
           my @now = worker_pids();
           my @left = grep { my $pid = $_; grep { $_ == $pid } @old } @now;
           @now > @left && (@left == 0 || defined $wait);
       }, 'new workers have started')
        or diag("old @old, now @{[worker_pids()]}");
}

# got ID, SOCKETS: whether each socket has received the notification

sub got {
    my ($id, @sockets) = @_;

    return wait_until {
        @sockets == grep { grep { $_ eq qq({"message": "$id"}) }
                           @{ $_->{frames} } } @sockets;
    };
}

run_tests();


__DATA__

=== a worker that does not read for a while closes its sockets
--- change
s{chat_zone +(\w+) +\w+}{chat_zone $1 256k};
--- timeout: 60
--- then
my @sockets = web_sockets('u2', 16);
my $first = post('u1', 'u2')->json->{id};
ok(got($first, @sockets), 'all are notified');

# a stopped worker may have accepted a connection, so requests are concurrent
my ($slow) = worker_pids();
stop_worker($slow);

my ($done, $tried) = (0, 0);
my $send;
$send = sub {
    return if $done >= 5000 || $tried++ >= 6000;

    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
        ->then(sub { $done++ })->finally(sub { $send->() });
};
$send->() for 1 .. 32;
ok(wait_until(sub { $done >= 5000 }, 60), 'more messages than the log holds');

kill CONT => $slow;
ok(wait_until { grep { $_->{closed} } @sockets },
   'the sockets of the slow worker are closed');
settle(1.5);

my @open = grep { !$_->{closed} } @sockets;
cmp_ok(scalar @open, '>', 0, 'those of the other one are not');

my $socket = web_socket('u2');
my $last = post('u1', 'u2')->json->{id};
ok(got($last, $socket, @open), 'later notifications arrive');
--- error_log
chat notifications were overwritten before they were sent


=== sockets of a worker that waits are notified at once
--- timeout: 60
--- then
my @sockets = web_sockets('u2', 2);
my $begin = time;

# an idle worker reads by itself every 500 ms only
for (1 .. 20) {
    my $id = post('u1', 'u2')->json->{id};
    ok(got($id, @sockets), 'notified');
}

cmp_ok(time - $begin, '<', 5 * slowness(), 'workers are woken');


=== the number of workers changes while users are online
--- timeout: 60
--- then
my @people = qw(u1 u2 u3 u4);

for my $workers (4, 2, 3, 1, 2) {
    my @before = map { web_socket($_) } @people, @people;

    reload(sub { s/worker_processes \K\d+/$workers/ });
    ok(wait_until { !grep { !$_->{closed} } @before },
       'the sockets of the old workers are closed');

    my @sockets = map { web_socket($_) } @people, @people, @people;
    is(join(' ', map { $_->{code} } @sockets), join(' ', (101) x 12),
       "sockets open with $workers workers");

    my %id = map { $_ => post($_, $_)->json->{id} } @people;
    ok(got($id{ $people[$_ % 4] }, $sockets[$_]), 'notified') for 0 .. 11;
}
--- no_error_log
exited on signal
[emerg]


=== clients catch up after the zone has been replaced
--- workers: 1
--- then
post('u1', 'u2');

my $db = connect_db();
$db->begin_work;
$db->do('SELECT * FROM chat_conversation FOR UPDATE');

my $code;
request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'late' })
    ->then(sub { $code = $_[0]->code });

my $before = web_socket('u2');

reload(sub { s{chat_zone +\w+ +\K\w+}{2m} }, 0);
ok(wait_until { $before->{closed} }, 'the old worker closes its sockets');

my $socket = web_socket('u2');
settle();
ok(!$socket->{closed}, 'a socket stays open while an old worker has requests');
$db->rollback;

ok(wait_until { $code }, 'the old worker sends the response');
is($code, 201, 'which is a success');
ok(wait_until(sub { $socket->{closed} }, 10),
   'the socket is closed when the old worker has exited');


=== sockets are notified without chat_zone
--- change
s{chat_zone[^;]*;}{};
--- then
my @sockets = web_sockets('u2', 8);
my $id = post('u1', 'u2')->json->{id};
ok(got($id, @sockets), 'on each worker');


=== sockets are notified without a master process
--- master: off
--- then
my @sockets = map { web_socket('u2') } 1 .. 2;
my $id = post('u1', 'u2')->json->{id};
ok(got($id, @sockets), 'notified');


=== sockets and publishers of several groups
--- server
location = /other {
    chat_auth on;
    chat_subscriber on;
    nchan_subscriber websocket;
    nchan_channel_group other;
    nchan_channel_id $chat_channel;
    nchan_subscriber_first_message newest;
    nchan_subscriber_last_message_id "";
}
location = /other/publish {
    internal;
    nchan_publisher;
    nchan_channel_group other;
    nchan_channel_id $chat_channels;
    nchan_channel_id_split_delimiter ",";
    nchan_message_timeout 10s;
}
location /second/ {
    chat_api on;
    chat_auth on;
    chat_publish /other/publish;
}
--- undescribed: another path
--- then
my @sockets = map { web_socket('u2', path => $_) } ('/ws', '/other') x 6;

for my $path ('/api/v1/message/', '/second/message/') {
    my $id = api('u1', POST => $path, { recipient => 'u2', body => 'x' })
             ->json->{id};
    ok(got($id, @sockets), "a message sent to $path reaches both");
}
