#
# Copyright (C) ngx_chat contributors
#

# early disconnects: clients close their connection, or one side of it

use File::Temp qw(tempdir);
use Digest::SHA;
use IO::Select;
use IO::Socket::UNIX;
use List::Util qw(max);
use Time::HiRes qw(time sleep);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Sockets;
use Chat::Wire;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $h2 = "$dir/h2.sock";

# post FROM, TO, BODY: a send, as bytes

sub post {
    my ($from, $to, $body) = @_;

    return wire(POST => '/api/v1/message/', as => $from,
                json => qq({"recipient":"$to","body":"$body"}));
}

# get FROM, PATH: a read, as bytes

sub get {
    my ($from, $path) = @_;

    return wire(GET => $path, as => $from);
}

# answers CLIENT, N: status codes of its next N responses

sub answers {
    my ($client, $n) = @_;

    my $text = '';

    $client->blocking(0);

    wait_until {
        my $got = $client->sysread($text, 65536, length $text);
        (() = $text =~ m{HTTP/1\.1 \d}g) >= $n || defined $got && !$got;
    };

    return join ' ', $text =~ m{HTTP/1\.1 (\d+)}g;
}

# h2_post FROM, TO, BODY: the start of a connection, with a send on stream 1

sub h2_post {
    my ($from, $to, $body) = @_;

    return h2_begin()
           . h2_request(1, POST => '/api/v1/message/', as => $from,
                        json => qq({"recipient":"$to","body":"$body"}));
}

# connections: the number of open connections, except that of this request

sub connections {
    my ($n) = api('', GET => '/status')->body =~ /Active connections: (\d+)/;

    return $n - 1;
}

# all_requests: one request of each kind, as arguments of wire() and
# h2_request(); all messages are from u1 to u2.  A request that ends sessions or
# changes a password needs new ones each time, so it is a function.

sub all_requests {
    my $to = '/api/v1/message/';
    my @json = (json => '{"recipient":"u2","body":"x"}');
    my $login = '{"username":"u3","password":"correct horse"}';
    my @ws = ('Upgrade: websocket', 'Connection: Upgrade',
              'Sec-WebSocket-Version: 13',
              'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==');

    return (
        map({ [GET => $_, as => 'u1'] }
            map({ "/api/v1/$_" } '', qw(message/ message/1/ message/?after=0
                message/?before=latest&target=u2 message/?page=9 user/ user/2/
                user/?search=u conversation/ session/ nothing/)),
            '/', '/login/', '/static/style.css'),
        map({ [$_ => $to, as => 'u1'] } qw(HEAD OPTIONS PUT)),
        map({ [GET => $_] } $to, '/', '/logout/', '/chat/status',
            '/chat/status/live', '/chat/status/ready'),

        [POST => $to, as => 'u1', @json],
        [POST => $to, as => 'u1', json => '{"recipient":"nobody","body":"x"}'],
        [POST => $to, as => 'u1', form => 'recipient=u2&body=x'],
        [POST => $to, as => 'u1', body => multipart(recipient => 'u2',
                                                    body => 'x'),
         type => 'multipart/form-data; boundary=b0undary'],
        [POST => $to, as => 'u1', @json, chunked => 1],
        [POST => $to, as => 'u1', @json, headers => ['Idempotency-Key: key']],
        [POST => $to, as => 'u1', json => '{"recipient":"u2","body":"y"}',
         headers => ['Idempotency-Key: key']],
        [POST => $to, as => 'u1', json => '{'],
        [POST => $to, @json],
        [POST => '/api/v1/conversation/u1/read/', as => 'u2',
         json => '{"id":1}'],

        [POST => '/api/v1/session/', json => $login],
        [POST => '/login/', form => 'username=u3&password=correct+horse'],
        sub { [DELETE => '/api/v1/session/', as => session('u4')] },
        # the body does not matter
        sub { [DELETE => '/api/v1/session/', as => session('u4'), @json] },
        sub { [GET => '/logout/', as => session('u4')] },
        sub { [POST => '/api/v1/password/', as => new_user(),
               json => '{"old_password":"correct horse",'
                       . '"new_password":"battery staple"}'] },

        map({ [GET => '/ws', as => 'u3', headers => $_] }
            \@ws, ['Accept: text/event-stream'], []),
    );
}

sub fresh {
    my ($request) = @_;

    return ref $request eq 'CODE' ? @{ $request->() } : @$request;
}

# session USER: a new session with an open socket

our ($Number, @Sessions, @Users);

sub session {
    my ($who) = @_;

    my $token = token('gone-' . $Number++);
    my $socket = dial();

    add_session($who, token => $token);
    send_all($socket, wire(GET => '/ws', as => $token, headers => [
        'Upgrade: websocket', 'Connection: Upgrade',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']));
    read_answer($socket)->{code} == 101 or die "no socket\n";

    push @Sessions, { token => $token, socket => $socket, closed => 0 };

    return $token;
}

# new_user: a session of a new user with two sessions

our $Cheap = crypt 'correct horse', '$y$jA.$saltsaltsalt';

sub new_user {
    my $name = 'gone-' . $Number++;

    sql('INSERT INTO chat_user (username, password) VALUES (?, ?)', $name,
        $Cheap);

    push @Users, { name => $name, kept => session($name),
                   other => session($name) };

    return $Users[-1]{kept};
}

# given: a message and cheap hashes.  A hash with more rounds than the default
# is not outdated, so it stays; with less memory it is cheap.

sub given {
    ($Number, @Sessions, @Users) = (0);
    message(u1 => 'u2', 'first');
    set_password('u3', $Cheap);
}

our @Late = (20, 35, 50, 70, 100, 150, 250);

# points REQUEST: when to disconnect, as [BYTES, SECONDS AFTER THEM].  Requests
# that compute a hash may disconnect later.  They come first, because their
# hashes would otherwise wait for all others.

sub points {
    my ($request) = @_;

    my $bytes = wire(fresh($request));
    my $headers = index($bytes, "\r\n\r\n") + 4;
    my $length = length $bytes;

    my %points = map { (int $_ => 1) }
        0, 1, 4, 12, 30, $headers / 2, $headers - 3, $headers - 1, $headers,
        $headers + 1, ($headers + $length) / 2, $length - 1;

    return (map({ [wire(fresh($request)), $_ && $_ / 1000] }
                ($bytes =~ /password/ ? (undef, @Late) : ()),
                0, 0.3, 0.6, 1, 1.5, 2, 3, 5, 8, 13),
            map({ [substr(wire(fresh($request)), 0, $_), 0.001 * rand 3] }
                grep { $_ < $length } sort { $a <=> $b } keys %points));
}

# leave CONNECT, ROWS: disconnects.  A row has the bytes to send, seconds after
# them (undef: after the response), and bytes to send before, whose response is
# read first.  Many rows are in progress at a time.

sub leave {
    my ($connect, @rows) = @_;

    my @open;

    # reset_until N: resets the next connections in time, until N are left
    my $reset_until = sub {
        my ($n) = @_;

        @open = sort { $a->[1] <=> $b->[1] } @open;

        while (@open && (@open > $n || $open[0][1] <= time())) {
            my ($socket, $end) = @{ shift @open };
            my $wait = $end - time();

            sleep $wait if $wait > 0;
            reset_by_peer($socket);
        }
    };

    for my $row (@rows) {
        my ($bytes, $seconds, $before) = @$row;
        my $socket = $connect->();

        if (defined $before) {
            send_all($socket, $before);
            read_answer($socket);
        }

        send_all($socket, $bytes);
        IO::Select->new($socket)->can_read(10) if !defined $seconds;
        push @open, [$socket, time() + ($seconds // 0)];
        $reset_until->(23);
    }

    $reset_until->(0);

    return scalar @rows;
}

# leave_h2 REQUESTS: the same with HTTP/2, with whole connections and with
# single streams.  REQUESTS are those of all_requests().  On a slow machine, as
# with sanitizers, an immediate disconnect would store nothing.

our @Send = [POST => '/api/v1/message/', as => 'u1',
             json => '{"recipient":"u2","body":"x"}'];

sub leave_h2 {
    my (@requests) = @_;

    my $connect = sub { return IO::Socket::UNIX->new($h2) || die "$h2: $!" };
    my $cancel = sub { return frame(3, 0, 2 * $_[0] + 1, pack 'N', 8) };
    my $bye = frame(7, 0, 0, pack 'NN', 0, 0);
    my (@rows, @late);

    my $begin = time();
    api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
        for 1 .. 5;
    my $slow = max(1, (time() - $begin) / 5 / 0.004);

    for my $request (@requests) {
        my $one = sub { h2_begin() . h2_request(1, fresh($request)) };
        my ($all, $some) = (h2_begin(), h2_begin());
        my @same = fresh($request);
        my $length = length $one->();

        for my $n (0 .. 9) {
            my $stream =
                h2_request(2 * $n + 1,
                           $n % 2 ? @same : fresh($requests[rand @requests]));

            $all .= $stream;
            $some .= $stream . ($n % 3 ? '' : $cancel->($n));
        }

        push @rows,
            map({ [substr($one->(), 0, $length * $_ / 12),
                   $slow * 0.001 * rand 3] } 0 .. 11),
            map({ [$one->(), $slow * $_ / 1000] }
                ("@same" =~ /password/ ? @Late : ()), 0, 0.5, 1, 2, 4, 8),
            map({ [$some, $slow * $_ / 1000] } 0, 1, 3, 9),
            [$all . $bye, $slow * 0.002];

        push @late, ($all) x 6;
    }

    leave($connect, @rows);

    # all streams are cancelled during the responses
    for my $all (@late) {
        my $client = $connect->();

        send_all($client, $all);
        sleep $slow * 0.001 * rand 5;
        send_all($client, join '', map { $cancel->($_) } 0 .. 9);
        sleep 0.001;
        reset_by_peer($client);
    }

    return @rows + @late;
}

# listener: a socket of u2; nchan reports it open a moment before it subscribes
# it

sub listener {
    my $socket = web_socket('u2');

    settle();

    return $socket;
}

# notified SOCKET: the ids in its notifications, and how many of them were
# received more than once

sub notified {
    my ($socket) = @_;

    my %times;
    $times{$_}++ for map { /(\d+)/ } @{ $socket->{frames} };

    return (join(' ', sort { $a <=> $b } keys %times),
            scalar grep { $_ > 1 } values %times);
}

# sockets: the number of open sockets of sessions; they receive no
# notifications

sub sockets {
    for (@Sessions) {
        my $n = sysread $_->{socket}, my $bytes, 100;

        $_->{closed} = 1 if defined $n && !$n;
    }

    return scalar grep { !$_->{closed} } @Sessions;
}

# report SESSIONS: their state, the responses other than 200 and 201, and the
# module's messages in the log

sub report {
    my (@sessions) = @_;

    my $log = Chat::read_file("$Test::Nginx::Util::ServRoot/logs/access.log");
    my %count;

    $count{"$1 $2"}++ while $log =~ m{"(\S+ \S+) HTTP/[\d.]+" (\d+)}g;

    return join "\n",
        map({ "$_->{token}: " . ($_->{there} ? 'a row' : 'no row')
              . ($_->{closed} ? ', closed' : ', open') } @sessions),
        map({ "$count{$_} times $_" }
            grep { !/ 20[01]$/ } sort keys %count),
        grep { /chat:|chat session/ } split /\n/, error_log();
}

# all_or_nothing: the row, the socket and the zone agree on whether a session
# exists.  A changed password has ended the other session of its user.

sub all_or_nothing {
    my (%there, @wrong);

    wait_until {
        %there = map { $_ => 1 }
                     sql('SELECT LOWER(HEX(token_hash)) FROM chat_session');
        $_->{there} = $there{ Digest::SHA::sha256_hex($_->{token}) } // 0
            for @Sessions;

        sockets();
        @wrong = grep { $_->{there} == $_->{closed} } @Sessions;
        !@wrong;
    };

    is(join(' ', map { $_->{token} } @wrong), '',
       'a session ends with its socket')
        or diag(report(@wrong));

    my $client = dial();

    @wrong = grep {
        send_all($client, get($_->{token}, '/api/v1/session/'));
        read_answer($client)->{code} != ($_->{there} ? 200 : 403);
    } @Sessions;
    is(join(' ', map { $_->{token} } @wrong), '', 'the API agrees');
    close $client;

    my %session = map { ($_->{token} => $_->{there}) } @Sessions;
    my %password = sql("SELECT username, password FROM chat_user
                        WHERE username LIKE 'gone-%'");

    @wrong = grep { !$session{ $_->{kept} }
                    || $session{ $_->{other} }
                       != ($password{ $_->{name} } eq $Cheap) } @Users;
    is(join(' ', map { $_->{name} } @wrong), '',
       'changed passwords have ended the other session');

    # incomplete requests have not ended theirs
    cmp_ok(scalar(grep { !$_->{there} } @Sessions), '>', 0,
           'some sessions have ended');
    cmp_ok(scalar(grep { $_ ne $Cheap } values %password), '>', 0,
           'some passwords are changed');

    close $_->{socket} for splice @Sessions;
}

# all_is_well WORKERS, SOCKET, BEFORE: no worker has died, SOCKET was notified
# of the stored messages, all connections are closed, and all kinds of requests
# get a response.  nginx keeps a connection that is reset while it discards the
# body of a rejected request for keepalive_timeout, which is therefore short.

sub all_is_well {
    my ($workers, $socket, $before) = @_;

    ok(wait_until { connections() == $before + sockets() },
       'all connections are closed')
        or diag(connections() . " and not $before + " . sockets());

    my @ids = sort { $a <=> $b }
                   sql('SELECT id FROM chat_message WHERE id > 1');

    ok(wait_until { (notified($socket))[0] eq "@ids" },
       'stored messages are notified')
        or diag((notified($socket))[0] . " and not @ids");
    settle(1.5);
    is((notified($socket))[1], 0, 'once');
    is(scalar sql('SELECT SUM(message_count) FROM chat_conversation'),
       @ids + 1, 'and counted');

    is_deeply([worker_pids()], $workers, 'the workers are the same');
    is(exits(), '', 'no worker has died');
    unlike(error_log(), qr/chat publish to|could not be published/,
           'nchan has responded');

    my @silent = grep { !talk($_, head => 1)->{code} }
                 grep { !m{\AGET /ws(?!.*^(Upgrade|Accept))}ms }
                 map { wire(fresh($_)) } all_requests();
    is("@silent", '', 'all requests get a response');

    all_or_nothing();

    return scalar @ids;
}

# The sockets of session() do not answer pings: nchan closes one after two
# intervals.

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(change =>
        's/(nchan_websocket_ping_interval +)30s;/${1}30m;/ or die;' . "\n"
        . ($block->change // ''));
});

run_tests();


__DATA__

=== a send on a half-closed connection gets its response and is notified
--- then
my $socket = web_socket('u2');

# the transaction of the send waits for this row
my $other = connect_db();
message(u1 => 'u2', 'first');
$other->begin_work;
$other->do('SELECT * FROM chat_conversation FOR UPDATE');

my $client = dial();
$client->syswrite(post('u1', 'u2', 'x'));
settle();
shutdown $client, 1;
settle();
$other->rollback;

is(answers($client, 1), '201', 'the send gets its response');
ok(wait_until { @{ $socket->{frames} } }, 'the recipient is notified');


=== a half-closed connection ends
--- server
location = /status { stub_status; }
--- then
my $before = connections();
my @clients = map { dial() } 1 .. 8;

for my $client (@clients) {
    $client->syswrite(post('u1', 'u2', 'x'));
    shutdown $client, 1;
}

ok(wait_until { connections() == $before }, 'all connections have ended')
    or diag(connections());


=== HTTP/2 connections that close before the response of nchan are freed
--- server
location = /status { stub_status; }
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- then
my $before = connections();

# each channel belongs to a worker; the stopped worker publishes later
my ($stopped) = worker_pids();
stop_worker($stopped);

# all at once: only the first may wake the stopped worker

my @clients = map { IO::Socket::UNIX->new($h2) or die "$h2: $!" } 1 .. 4;

for my $n (1 .. 4) {
    my $client = shift @clients;

    $client->syswrite(h2_post("u$n", "u$n", 'x'));
    ok(wait_until { sql('SELECT COUNT(*) FROM chat_message') == $n },
       'the message is stored');
    settle();
    close $client;
}

settle();
kill 'CONT', $stopped;

ok(wait_until { connections() == $before }, 'all connections are closed')
    or diag(connections());


=== a stopped worker does not delay sends and notifications of other workers
--- then
my @sockets = web_sockets('u1', 16);
stop_worker(my $stopped = (worker_pids())[0]);

my @clients = map { dial() } 1 .. 4;
my (@sent, @notified);

for my $n (1 .. 4) {
    my $client = $clients[$n - 1];

    $client->syswrite(post("u$n", 'u1', 'x'));
    push @sent, answers($client, 1);
}

ok(wait_until { @notified = grep { @{ $_->{frames} } == 4 } @sockets }, 'told');

$clients[$_ - 1]->syswrite(get("u$_", '/api/v1/session/')) for 1 .. 4;
my @next = map { answers($_, 1) } @clients;

cmp_ok(scalar @notified, '<', scalar @sockets, 'others are not');
kill 'CONT', $stopped;
ok(wait_until { !grep { @{ $_->{frames} } != 4 } @sockets }, 'later');
is("@sent", '201 201 201 201', 'sends get a response');
is("@next", '200 200 200 200', 'as do the next requests');


=== clients may disconnect at each point of each request
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
given();
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();
my $left = 0;

$left += leave(\&dial, map { points($_) } all_requests()) for 1 .. 3;

cmp_ok($left, '>', 2000, 'thousands of disconnects') or diag($left);
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 100,
       'many messages are stored');


=== clients may disconnect during the session lookup
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- api
chat_session_check 0;
--- given
given();
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

my $left = leave(\&dial, map { points($_) } all_requests());

cmp_ok($left, '>', 700, 'hundreds of disconnects') or diag($left);
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 5,
       'some messages are stored');


=== a logout or password change is completed after a disconnect
--- given
given();
--- then
my @workers = worker_pids();
my @ended = map { session('u4') } 1 .. 3;
my @changed = map { new_user() } 1 .. 2;

my $other = connect_db();
$other->begin_work;
$other->do('SELECT * FROM chat_session FOR UPDATE');

my $leaving = sub {
    my $client = dial();
    send_all($client, wire(@_));
    return $client;
};

my @clients = map {
    $leaving->(POST => '/api/v1/password/', as => $_,
               json => '{"old_password":"correct horse",'
                       . '"new_password":"battery staple"}')
} @changed;

# disconnect after the hashes are computed
ok(wait_until { !sql("SELECT COUNT(*) FROM chat_user
                      WHERE username LIKE 'gone-%' FOR UPDATE SKIP LOCKED") },
   'the database changes the passwords');

# one with an incomplete body, too
push @clients,
    $leaving->(DELETE => '/api/v1/session/', as => $ended[0]),
    $leaving->(GET => '/logout/', as => $ended[1]),
    $leaving->(DELETE => '/api/v1/session/', as => $ended[2],
               headers => ['Content-Length: 9']);
settle();

# half-closed first, then closed
shutdown $_, 1 for @clients;
settle(0.1);
reset_by_peer(@clients);
settle();

is(scalar sql("SELECT COUNT(*) FROM chat_user WHERE password = '$Cheap'"), 3,
   'the changes are not committed yet');
$other->rollback;

ok(wait_until { sql('SELECT COUNT(*) FROM chat_session') == 4 + 2 },
   'all changes are committed');
all_or_nothing();
is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'no worker has died');


=== keepalive connections and pipelined requests may disconnect
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
given();
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

my $first = get('u1', '/api/v1/session/');
my @rows;

for my $request (all_requests()) {
    push @rows, map({ [@$_, $first] } points($request));

    # after other requests, and before them
    push @rows, map({ [$first . post('u1', 'u2', 'x') . $_->[0], $_->[1]] }
                    points($request));
    push @rows, map({ [wire(fresh($request)) . post('u1', 'u2', 'x') . $first
                       . wire(fresh($request)), 0.001 * $_ * $_] } 0 .. 9);
}

my $left = leave(\&dial, @rows);

cmp_ok($left, '>', 1500, 'thousands of disconnects') or diag($left);
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 100,
       'many messages are stored');


=== HTTP/2 connections and streams may be closed at any point
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
given();
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
s{(allow +)::1}{$1unix:} or die;
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

# sockets and streams of notifications follow below
my @requests = grep { (fresh($_))[1] ne '/ws' } all_requests();

cmp_ok(leave_h2(@requests), '>', 1000, 'thousands of disconnects');
# on a slow machine, many disconnect before the message is stored
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 30,
       'many messages are stored');


=== HTTP/2 subscribers may disconnect at any point
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

my @requests = ([GET => '/ws', as => 'u3',
                 headers => ['Accept: text/event-stream']],
                [GET => '/ws', as => 'u3'], @Send);

cmp_ok(leave_h2(@requests) + leave_h2(@requests), '>', 100, 'many disconnects');

# sends may still be in progress
my @ids;

ok(wait_until { @ids = sql('SELECT id FROM chat_message ORDER BY id');
                (notified($socket))[0] eq "@ids" },
   'stored messages are notified');
ok(wait_until { sql('SELECT SUM(message_count) FROM chat_conversation')
                == sql('SELECT COUNT(*) FROM chat_message') }, 'and counted');
is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'no worker has died');


=== HTTP/2 subscribers that disconnect leave no connection
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- timeout: 60
--- then
my $before = connections();

leave_h2([GET => '/ws', as => 'u3',
          headers => ['Accept: text/event-stream']],
         [GET => '/ws', as => 'u3']) for 1 .. 4;

ok(wait_until { connections() == $before }, 'all connections are closed')
    or diag(connections() . " and not $before");


=== clients may disconnect at once while their sends wait for the database
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
given();
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

my $other = connect_db();
$other->begin_work;
$other->do('SELECT * FROM chat_conversation FOR UPDATE');

my @clients = map { dial() } 1 .. 40;
send_all($_, post('u1', 'u2', 'x') . get('u1', '/api/v1/session/'))
    for @clients;

for (1 .. 20) {
    push @clients, IO::Socket::UNIX->new($h2);
    send_all($clients[-1], h2_post('u1', 'u2', 'x'));
}

settle();
reset_by_peer(@clients);
settle();
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1,
   'no message is stored yet');
$other->rollback;

ok(wait_until { sql('SELECT COUNT(*) FROM chat_message') == 61 },
   'all messages are stored');
all_is_well(\@workers, $socket, $before);
