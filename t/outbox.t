#
# Copyright (C) ngx_chat contributors
#

# outbox: notifications of messages whose request cannot publish them

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Proxy;
use Chat::Sockets;
use Chat::Wire;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});

sub post {
    my ($body, @headers) = @_;

    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => $body }, @headers);
}


# post_by_hand BODY: returns a connection, before the response, and the worker's
# pid

sub post_by_hand {
    my ($body) = @_;

    my $c = dial();
    my $post = sub {
        send_all($c, wire(POST => '/api/v1/message/', as => 'u1',
                          json => qq({"recipient": "u2", "body": "$_[0]"})));
    };

    # the users are in the zone then, and the worker is connected
    $post->('first');
    my ($pid) = read_answer($c)->{head} =~ /^X-Worker: (\d+)/m;

    $proxy->hold;
    $post->($body);

    return ($c, $pid);
}


sub stored {
    my ($body) = @_;

    my ($id) = sql('SELECT id FROM chat_message WHERE body = ?', $body);

    return $id;
}


# heard ID, SOCKETS: whether one of the sockets receives the notification in
# time

sub heard {
    my ($id, @sockets) = @_;

    return wait_until(sub {
        grep { grep { $_ eq qq({"message": "$id"}) } @{ $_->{frames} } }
             @sockets;
    }, 40);
}

run_tests();


__DATA__

=== another worker publishes a message whose worker has died
--- undescribed: a header of this site
--- workers: 2
--- api
add_header X-Worker $pid always;
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my @sockets = web_sockets('u2', 12);

my ($c, $pid) = post_by_hand('left');
ok(wait_until { stored('left') }, 'the message is stored');
my $id = stored('left');

# the response of the database is on its way and arrives too late
kill KILL => $pid;
ok(wait_until { grep { $_->{closed} } @sockets },
   'the sockets of the killed worker are closed');
settle();

@sockets = grep { !$_->{closed} } @sockets;
push @sockets, web_sockets('u2', 4);
$proxy->pass;

for my $i (0 .. $#sockets) {
    ok(heard($id, $sockets[$i]), "a client is notified, socket $i");
}

ok(wait_until { error_log() =~ /message $id is published from the outbox/ },
   'the log reports it');

my $next = post('next')->json->{id};

for my $i (0 .. $#sockets) {
    ok(heard($next, $sockets[$i]),
       "the next message is notified, too, socket $i");
}
--- no_error_log
exited on signal 11
exited on signal 6


=== a stored message is published although the response was a 503
--- workers: 2
--- http
chat_db_timeout 2s;
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my @sockets = map { web_socket($_) } qw(u1 u2);

is(post('first')->code, 201, 'connected');

$proxy->hold;
is(post('second')->code, 503, 'a send without a response in time');
ok(wait_until { stored('second') }, 'the message is stored');
$proxy->cut;

my $id = stored('second');
ok(heard($id, $sockets[0]), 'the sender is notified');
ok(heard($id, $sockets[1]), 'the recipient is notified');


=== an outbox entry is published after an outage of the database
--- workers: 1
--- http
chat_db_timeout 500ms;
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my $u2 = web_socket('u2');

is(post('first')->code, 201, 'connected');

$proxy->hold;
is(post('second')->code, 503, 'a send without a response in time');
ok(wait_until { stored('second') }, 'the message is stored');

my @old = worker_pids();

# meanwhile requests find no database, so no worker queries it
$proxy->refuse;
ok(!wait_until(sub { api('u1', GET => '/api/v1/message/')->code == 200 }, 3),
   'the database is unavailable');
$proxy->pass;

ok(heard(stored('second'), $u2), 'the recipient is notified');
is("@{[worker_pids()]}", "@old", 'by the same worker');
--- no_error_log
exited on signal


=== a location without chat_publish sends no notifications
--- undescribed: another location
--- workers: 1
--- server
location /quiet/ {
    chat_api   on;
    chat_auth  on;
}
--- then
my $u2 = web_socket('u2');

is(api('u1', POST => '/quiet/message/',
       { recipient => 'u2', body => 'quiet' })->code, 201,
       'the message is stored');
settle(2.5);
is("@{ $u2->{frames} }", '', 'no notification is sent');
unlike(error_log(), qr/is published from the outbox/, 'nor later');


=== the outbox entry of a message that was not stored is removed
--- workers: 1
--- http
chat_db_timeout 500ms;
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my $u2 = web_socket('u2');

is(post('first')->code, 201, 'connected');

# the slot is updated first: the transaction waits here and is rolled back
my $db = connect_db();
$db->begin_work;
$db->do('SELECT * FROM chat_writing FOR UPDATE');

is(post('second')->code, 503, 'a send without a response in time');
$proxy->cut;
settle(1.5);
$db->rollback;

is(post('third')->code, 201, 'the next send succeeds');
ok(heard(stored('third'), $u2), 'its recipient is notified');


=== a message that nchan has no memory for is published later
--- workers: 1
--- change
s{(nchan_max_reserved_memory) +\w+}{$1 2m};
--- server
location = /fill {
    nchan_publisher;
    nchan_channel_id             fill;
    nchan_message_buffer_length  100000;
    nchan_message_timeout        8s;
}
--- then
# one worker: with two, nchan may not report that it cannot notify the other
my @sockets = map { web_socket($_) } qw(u1 u2);
ok(heard(post('first')->json->{id}, $_), 'nchan has memory') for @sockets;

my ($length, $code) = (7000, 0);

for (1 .. 2000) {
    $code = talk(wire(POST => '/fill', type => 'text/plain',
                      body => 'x' x $length))->{code};
    next if $code < 300;
    last if $length < 10;
    $length = int($length / 3);
}

cmp_ok($code, '>=', 500, 'nchan has no memory left');

my $res = post('hello');
is($res->code, 201, 'the message is stored');

my $id = $res->json->{id};
is(scalar grep({ grep { /"$id"/ } @{ $_->{frames} } } @sockets), 0,
   'no client is notified');

like(error_log(), qr/chat publish to .* failed with status 50[07]/,
     'nchan rejects it');

ok(heard($id, $_), 'the client is notified once there is memory') for @sockets;
--- no_error_log
exited on signal
