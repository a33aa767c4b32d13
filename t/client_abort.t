#
# Copyright (C) ngx_chat contributors
#

# clients that leave, wholly or by half, and what must not stay behind

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Time::HiRes qw(time sleep);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Wire;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $h2 = "$dir/h2.sock";

# post FROM, TO, BODY: a send as it is on the wire

sub post {
    my ($from, $to, $body) = @_;

    return wire(POST => '/api/v1/message/', as => $from,
                json => qq({"recipient":"$to","body":"$body"}));
}

# get FROM, PATH: the same of a question

sub get {
    my ($from, $path) = @_;

    return wire(GET => $path, as => $from);
}

# answers CLIENT, N: the status codes of its next N answers

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

# h2_post FROM, TO, BODY: a connection's beginning with a send on stream 1

sub h2_post {
    my ($from, $to, $body) = @_;

    return h2_begin()
           . h2_request(1, POST => '/api/v1/message/', as => $from,
                        json => qq({"recipient":"$to","body":"$body"}));
}

# connections: how many nginx has open, but for the one that asks

sub connections {
    my ($n) = api('', GET => '/status')->body =~ /Active connections: (\d+)/;

    return $n - 1;
}

# requests: one for each thing that can be asked, but for what ends sessions and
# what computes hashes; all messages are from u1 to u2

sub requests {
    my $json = '{"recipient":"u2","body":"x"}';
    my $to = '/api/v1/message/';
    my @ws = ('Upgrade: websocket', 'Connection: Upgrade',
              'Sec-WebSocket-Version: 13',
              'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==');

    return (
        map({ get('u1', $_) }
            map({ "/api/v1/$_" } '', qw(message/ message/1/ message/?after=0
                message/?before=latest&target=u2 message/?page=9 user/ user/2/
                user/?search=u conversation/ session/ nothing/)),
            '/', '/login/', '/static/style.css'),
        map({ wire($_ => $to, as => 'u1') } qw(HEAD OPTIONS PUT)),
        wire(GET => $to), wire(GET => '/'), wire(GET => '/logout/'),

        post('u1', 'u2', 'x'),
        post('u1', 'nobody', 'x'),
        wire(POST => $to, as => 'u1', form => 'recipient=u2&body=x'),
        wire(POST => $to, as => 'u1', body => multipart(recipient => 'u2',
                                                        body => 'x'),
             type => 'multipart/form-data; boundary=b0undary'),
        wire(POST => $to, as => 'u1', type => 'application/json',
             headers => ['Transfer-Encoding: chunked'])
        . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $json, $json),
        wire(POST => $to, as => 'u1', json => $json,
             headers => ['Idempotency-Key: key']),
        wire(POST => $to, as => 'u1', json => '{"recipient":"u2","body":"y"}',
             headers => ['Idempotency-Key: key']),
        wire(POST => $to, as => 'u1', json => '{'),
        wire(POST => $to, json => $json),
        wire(POST => '/api/v1/conversation/u1/read/', as => 'u2',
             json => '{"id":1}'),

        map({ wire(GET => '/ws', as => 'u3', headers => $_) }
            \@ws, ['Accept: text/event-stream'], []),
    );
}

# hard: what ends sessions and what computes hashes; each needs a new one

our $Token = 0;

sub hard {
    my ($token, $other) = map { 'gone-' . ++$Token } 1 .. 2;
    my $old = '"old_password":"correct horse"';
    my $login = '{"username":"u3","password":"correct horse"}';

    add_session('u3', token => token($_)) for $token, $other;

    return (
        wire(DELETE => '/api/v1/session/', as => $token),
        wire(GET => '/logout/', as => $other),
        wire(POST => '/api/v1/session/', json => $login),
        wire(POST => '/login/', form => 'username=u3&password=correct+horse'),
        wire(POST => '/api/v1/password/', as => 'u4',
             json => qq({$old,"new_password":"correct horse"})),
    );
}

# points BYTES: at which to leave, as [BYTES SENT, SECONDS AFTER THEM]

sub points {
    my ($bytes) = @_;

    my $headers = index($bytes, "\r\n\r\n") + 4;
    my $length = length $bytes;

    my %points = map { (int $_ => 1) }
        0, 1, 4, 12, 30, $headers / 2, $headers - 3, $headers - 1, $headers,
        $headers + 1, ($headers + $length) / 2, $length - 1;

    return (map({ [$_, 0.001 * rand 3] } grep { $_ < $length }
                sort { $a <=> $b } keys %points),
            map({ [$length, $_ / 1000] } 0, 0.3, 0.6, 1, 1.5, 2, 3, 5, 8, 13));
}

# leave CONNECT, ROWS: each row is bytes to be sent, seconds after them, and
# bytes sent before, whose answer comes first.  Many are under way at a time.

sub leave {
    my ($connect, @rows) = @_;

    my $left = 0;

    while (my @some = splice @rows, 0, 24) {
        my @open;

        for my $row (@some) {
            my ($bytes, $seconds, $before) = @$row;
            my $socket = $connect->();

            if (defined $before) {
                send_all($socket, $before);
                read_answer($socket);
            }

            send_all($socket, $bytes);
            push @open, [$socket, time() + $seconds];

            # some are due while others still come
            @open = grep { $_->[1] > time() || (reset_by_peer($_->[0]), 0) }
                         @open;
            $left++;
        }

        for (sort { $a->[1] <=> $b->[1] } @open) {
            my $wait = $_->[1] - time();

            sleep $wait if $wait > 0;
            reset_by_peer($_->[0]);
        }
    }

    return $left;
}

# leave_h2 QUESTIONS: the same of HTTP/2, with whole connections and with single
# streams.  Each question is what h2_request() takes.

our $Json = '{"recipient":"u2","body":"x"}';
our @Send = [POST => '/api/v1/message/', as => 'u1', json => $Json];

sub leave_h2 {
    my (@asked) = @_;

    my $connect = sub { return IO::Socket::UNIX->new($h2) || die "$h2: $!" };
    my $cancel = sub { return frame(3, 0, 2 * $_[0] + 1, pack 'N', 8) };
    my $bye = frame(7, 0, 0, pack 'NN', 0, 0);
    my (@rows, @late);

    for my $asked (@asked) {
        my $one = h2_begin() . h2_request(1, @$asked);
        my ($all, $some) = (h2_begin(), h2_begin());

        for my $n (0 .. 9) {
            my $stream = h2_request(2 * $n + 1, @{ $n % 2 ? $asked
                                                   : $asked[rand @asked] });

            $all .= $stream;
            $some .= $stream . ($n % 3 ? '' : $cancel->($n));
        }

        push @rows,
            map({ [substr($one, 0, length($one) * $_ / 12), 0.001 * rand 3] }
                0 .. 11),
            map({ [$one, $_ / 1000] } 0, 0.5, 1, 2, 4, 8),
            map({ [$some, $_ / 1000] } 0, 1, 3, 9),
            [$all . $bye, 0.002];

        push @late, ($all) x 6;
    }

    leave($connect, @rows);

    # all streams are cancelled while they are answered
    for my $all (@late) {
        my $client = $connect->();

        send_all($client, $all);
        sleep 0.001 * rand 5;
        send_all($client, join '', map { $cancel->($_) } 0 .. 9);
        sleep 0.001;
        reset_by_peer($client);
    }

    return @rows + @late;
}

# listener: a socket of u2; nchan says that it is open a moment before it is

sub listener {
    my $socket = web_socket('u2');

    settle();

    return $socket;
}

# told SOCKET: the ids that it was told, and whether one was told more than
# twice: who leaves before nchan has taken a message has it announced again

sub told {
    my ($socket) = @_;

    my %times;
    $times{$_}++ for map { /(\d+)/ } @{ $socket->{frames} };

    return (join(' ', sort { $a <=> $b } keys %times),
            scalar grep { $_ > 2 } values %times);
}

# all_is_well WORKERS, SOCKET, BEFORE: nobody has died, what is stored has been
# told to SOCKET, nothing is left of the connections, and all kinds of requests
# are answered.  A connection that is reset while nginx passes over the rest of
# a refused body stays, on any page of nginx, for keepalive_timeout; so that is
# short here.

sub all_is_well {
    my ($workers, $socket, $before) = @_;

    ok(wait_until { connections() == $before }, 'no connection stays')
        or diag(connections() . " and not $before");

    my @ids = sort { $a <=> $b }
                   sql('SELECT id FROM chat_message WHERE id > 1');

    ok(wait_until { (told($socket))[0] eq "@ids" }, 'what is stored is told')
        or diag((told($socket))[0] . " and not @ids");
    settle();
    is((told($socket))[1], 0, 'once, or twice');
    is(scalar sql('SELECT SUM(message_count) FROM chat_conversation'),
       @ids + 1, 'and counted');

    is_deeply([worker_pids()], $workers, 'the workers are the same');
    is(exits(), '', 'none has died');
    unlike(error_log(), qr/chat publish to|could not be published/,
           'nchan has answered');

    my @silent = grep { !talk($_, head => 1)->{code} }
                 grep { !m{\AGET /ws(?!.*^(Upgrade|Accept))}ms } requests();
    is("@silent", '', 'all requests are answered');

    return scalar @ids;
}

run_tests();


__DATA__

=== a client that closes its side only: answered, and told
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

is(answers($client, 1), '201', 'answered');
ok(wait_until { @{ $socket->{frames} } }, 'told');


=== the connection of one that closes its side ends
--- server
location = /status { stub_status; }
--- then
my $before = connections();
my @clients = map { dial() } 1 .. 8;

for my $client (@clients) {
    $client->syswrite(post('u1', 'u2', 'x'));
    shutdown $client, 1;
}

ok(wait_until { connections() == $before }, 'all have ended')
    or diag(connections());


=== HTTP/2 connections that close before nchan has told leave nothing
--- server
location = /status { stub_status; }
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- then
my $before = connections();

# channels belong to a worker each: what this one has to tell comes later
my ($stopped) = worker_pids();
kill 'STOP', $stopped;

# all at once: the first may wake the worker that is stopped, and it alone

my @clients = map { IO::Socket::UNIX->new($h2) or die "$h2: $!" } 1 .. 4;

for my $n (1 .. 4) {
    my $client = shift @clients;

    $client->syswrite(h2_post("u$n", "u$n", 'x'));
    ok(wait_until { sql('SELECT COUNT(*) FROM chat_message') == $n },
       'stored');
    settle();
    close $client;
}

settle();
kill 'CONT', $stopped;

ok(wait_until { connections() == $before }, 'no connection stays')
    or diag(connections());


=== a worker that does not answer another's publish holds nobody up for good
--- then
my ($stopped) = worker_pids();
kill 'STOP', $stopped;

my @clients = map { dial() } 1 .. 4;
my @sent;

for my $n (1 .. 4) {
    my $client = $clients[$n - 1];

    $client->syswrite(post("u$n", "u$n", 'x'));
    push @sent, answers($client, 1);
}

$clients[$_ - 1]->syswrite(get("u$_", '/api/v1/session/')) for 1 .. 4;
my @next = map { answers($_, 1) } @clients;

kill 'CONT', $stopped;

is("@sent", '201 201 201 201', 'sends are answered');
is("@next", '200 200 200 200', 'and what comes next on their connections');
--- error_log
chat publish to "/chat/publish" failed with status 504


=== at each point of each request
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
message(u1 => 'u2', 'first');
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();
my $left = 0;

for my $round (1 .. 3) {
    my @rows = map { my $bytes = $_;
                     map { [substr($bytes, 0, $_->[0]), $_->[1]] }
                         points($bytes) } requests();

    $left += leave(\&dial, @rows);
}

# no more of these than hashes can be computed
$left += leave(\&dial, map { [substr($_, 0, length($_) * rand), 0.001],
                             [$_, 0.02 * rand] } hard()) for 1 .. 12;

cmp_ok($left, '>', 2000, 'thousands have left') or diag($left);
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 100,
       'many sends were stored');


=== kept connections, and requests one behind the other
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
message(u1 => 'u2', 'first');
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

my $first = get('u1', '/api/v1/session/');
my @rows;

for my $bytes (requests()) {
    my @points = points($bytes);

    push @rows, map({ [substr($bytes, 0, $_->[0]), $_->[1], $first] } @points);

    # behind others, and before them
    push @rows, map({ [$first . post('u1', 'u2', 'x')
                       . substr($bytes, 0, $_->[0]), $_->[1]] } @points);
    push @rows, map({ [$bytes . post('u1', 'u2', 'x') . $first . $bytes,
                       $_->[1]] } @points);
}

my $left = leave(\&dial, @rows);

cmp_ok($left, '>', 1500, 'thousands have left') or diag($left);
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 100,
       'many sends were stored');


=== HTTP/2, whole connections and single streams
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
message(u1 => 'u2', 'first');
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

my @asked = (
    map({ [GET => "/api/v1/$_", as => 'u1'] }
        qw(message/ message/1/ message/?after=0 user/ conversation/ session/)),
    [GET => '/'],
    [POST => '/api/v1/message/', json => $Json],
    [POST => '/api/v1/conversation/u1/read/', as => 'u2', json => '{"id":1}'],
    @Send,
);

cmp_ok(leave_h2(@asked) + leave_h2(@asked), '>', 500, 'hundreds have left');
# a slow machine is left before it has stored
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 30,
       'many sends were stored');


=== HTTP/2, who listens
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

my @asked = ([GET => '/ws', as => 'u3', headers => ['accept',
                                                    'text/event-stream']],
             [GET => '/ws', as => 'u3'], @Send);

cmp_ok(leave_h2(@asked) + leave_h2(@asked), '>', 100, 'many have left');

# sends may still be under way
my @ids;

ok(wait_until { @ids = sql('SELECT id FROM chat_message ORDER BY id');
                (told($socket))[0] eq "@ids" }, 'what is stored is told');
ok(wait_until { sql('SELECT SUM(message_count) FROM chat_conversation')
                == sql('SELECT COUNT(*) FROM chat_message') }, 'and counted');
is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'none has died');


=== HTTP/2, nothing stays of who listened
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- timeout: 60
--- then
my $before = connections();

leave_h2([GET => '/ws', as => 'u3',
          headers => ['accept', 'text/event-stream']],
         [GET => '/ws', as => 'u3']) for 1 .. 4;

ok(wait_until { connections() == $before }, 'no connection stays')
    or diag(connections() . " and not $before");


=== all at once, while their sends wait for the database
--- server
location = /status { stub_status; }
keepalive_timeout 2s;
--- given
message(u1 => 'u2', 'first');
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
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'nothing is stored yet');
$other->rollback;

ok(wait_until { sql('SELECT COUNT(*) FROM chat_message') == 61 }, 'all are');
all_is_well(\@workers, $socket, $before);
