#
# Copyright (C) ngx_chat contributors
#

# messages whose request could not announce them: somebody else does

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Proxy;
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


# post_by_hand BODY: its connection, without the answer, and the worker's pid

sub post_by_hand {
    my ($body) = @_;

    my $c = dial();
    my $post = sub {
        send_all($c, wire(POST => '/api/v1/message/', as => 'u1',
                          json => qq({"recipient": "u2", "body": "$_[0]"})));
    };

    # who they are is known then, and the worker is connected
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


# heard ID, SOCKETS: whether one of them was told, in time

sub heard {
    my ($id, @sockets) = @_;

    return wait_until(sub {
        grep { grep { $_ eq qq({"message": "$id"}) } @{ $_->{frames} } }
             @sockets;
    }, 40);
}

run_tests();


__DATA__

=== a worker dies when its message is stored and not announced
--- undescribed: a header of this site
--- workers: 2
--- api
add_header X-Worker $pid always;
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my @sockets = map { web_socket('u2') } 1 .. 12;

my ($c, $pid) = post_by_hand('left');
ok(wait_until { stored('left') }, 'stored');
my $id = stored('left');

# its answer is on its way from the database, and comes too late
kill KILL => $pid;
ok(wait_until { !grep { !$_->{closed} } @sockets },
   'all sockets are closed, those of the other worker as well');

@sockets = map { web_socket('u2') } 1 .. 12;
$proxy->pass;

for my $i (0 .. $#sockets) {
    ok(heard($id, $sockets[$i]), "who has come back is told, socket $i");
}

ok(wait_until { error_log() =~ /message $id is announced by another/ },
   'so is the log');

my $next = post('next')->json->{id};

for my $i (0 .. $#sockets) {
    ok(heard($next, $sockets[$i]), "of what comes after, too, socket $i");
}
--- no_error_log
exited on signal 11
exited on signal 6


=== nobody knows whether it was stored: 503, and it is announced nevertheless
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
is(post('second')->code, 503, 'no answer in time');
ok(wait_until { stored('second') }, 'but it is stored');
$proxy->cut;

my $id = stored('second');
ok(heard($id, $sockets[0]), 'the sender is told');
ok(heard($id, $sockets[1]), 'the recipient is told');


=== the database is gone when it is to be announced
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
is(post('second')->code, 503, 'no answer in time');
ok(wait_until { stored('second') }, 'but it is stored');

my @old = worker_pids();

# requests meanwhile find it gone, and so nobody asks it
$proxy->refuse;
ok(!wait_until(sub { api('u1', GET => '/api/v1/message/')->code == 200 }, 3),
   'no database');
$proxy->pass;

ok(heard(stored('second'), $u2), 'the recipient is told');
is("@{[worker_pids()]}", "@old", 'by the same worker');
--- no_error_log
exited on signal


=== where nobody is to be told, nobody is
--- undescribed: another place
--- workers: 1
--- server
location /quiet/ {
    chat_api   on;
    chat_auth  on;
}
--- then
my $u2 = web_socket('u2');

is(api('u1', POST => '/quiet/message/',
       { recipient => 'u2', body => 'quiet' })->code, 201, 'stored');
settle(2.5);
is("@{ $u2->{frames} }", '', 'nobody is told');
unlike(error_log(), qr/is announced by another/, 'nor later');


=== a message that was not stored after all is forgotten in the end
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

# the slot is changed first: the transaction waits here, and is rolled back
my $db = connect_db();
$db->begin_work;
$db->do('SELECT * FROM chat_writing FOR UPDATE');

is(post('second')->code, 503, 'no answer in time');
$proxy->cut;
settle(1.5);
$db->rollback;

is(post('third')->code, 201, 'the site goes on');
ok(heard(stored('third'), $u2), 'and so does what is told');


=== a message that nchan has no memory for is announced when there is some again
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
# one worker: with two, nchan may not say that it could not tell the other
my @sockets = map { web_socket($_) } qw(u1 u2);
ok(heard(post('first')->json->{id}, $_), 'there is room') for @sockets;

my ($length, $code) = (7000, 0);

for (1 .. 2000) {
    $code = talk(wire(POST => '/fill', type => 'text/plain',
                      body => 'x' x $length))->{code};
    next if $code < 300;
    last if $length < 10;
    $length = int($length / 3);
}

cmp_ok($code, '>=', 500, 'no room any more');

my $res = post('hello');
is($res->code, 201, 'the message is stored all the same');

my $id = $res->json->{id};
is(scalar grep({ grep { /"$id"/ } @{ $_->{frames} } } @sockets), 0,
   'nobody was told');

like(error_log(), qr/chat publish to .* failed with status 50[07]/,
     'nchan has refused it');

ok(heard($id, $_), 'until there is room again') for @sockets;
--- no_error_log
exited on signal
