#
# Copyright (C) ngx_chat contributors
#

# clients that leave, wholly or by half, and what must not stay behind

use File::Temp qw(tempdir);
use Digest::SHA;
use IO::Select;
use IO::Socket::UNIX;
use List::Util qw(max);
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

# asked: one for each thing that can be asked, as wire() and h2_request() take
# it; all messages are from u1 to u2.  What ends sessions or changes passwords
# needs new ones each time, and so is a function.

sub asked {
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
        sub { [DELETE => '/api/v1/session/', as => session('u3')] },
        # what is sent along changes nothing
        sub { [DELETE => '/api/v1/session/', as => session('u3'), @json] },
        sub { [GET => '/logout/', as => session('u3')] },
        sub { [POST => '/api/v1/password/', as => person(),
               json => '{"old_password":"correct horse",'
                       . '"new_password":"battery staple"}'] },

        map({ [GET => '/ws', as => 'u3', headers => $_] }
            \@ws, ['Accept: text/event-stream'], []),
    );
}

sub fresh {
    my ($asked) = @_;

    return ref $asked eq 'CODE' ? @{ $asked->() } : @$asked;
}

# session WHO: a new one, with an open socket

our ($Number, @Sessions, @People);

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

# person: the session of a new one, who has another

our $Cheap = crypt 'correct horse', '$y$jA.$saltsaltsalt';

sub person {
    my $name = 'gone-' . $Number++;

    sql('INSERT INTO chat_user (username, password) VALUES (?, ?)', $name,
        $Cheap);

    push @People, { name => $name, kept => session($name),
                    other => session($name) };

    return $People[-1]{kept};
}

# given: a message, and hashes that many can be made of; one of more rounds than
# the default is not dated, so that it stays, and one of less memory is cheap

sub given {
    ($Number, @Sessions, @People) = (0);
    message(u1 => 'u2', 'first');
    set_password('u3', $Cheap);
}

our @Late = (20, 35, 50, 70, 100, 150, 250);

# points ASKED: at which to leave, as [BYTES, SECONDS AFTER THEM].  Who has a
# hash computed may go later; these come first, or it would be computed behind
# those of all the others.

sub points {
    my ($asked) = @_;

    my $bytes = wire(fresh($asked));
    my $headers = index($bytes, "\r\n\r\n") + 4;
    my $length = length $bytes;

    my %points = map { (int $_ => 1) }
        0, 1, 4, 12, 30, $headers / 2, $headers - 3, $headers - 1, $headers,
        $headers + 1, ($headers + $length) / 2, $length - 1;

    return (map({ [wire(fresh($asked)), $_ && $_ / 1000] }
                ($bytes =~ /password/ ? (undef, @Late) : ()),
                0, 0.3, 0.6, 1, 1.5, 2, 3, 5, 8, 13),
            map({ [substr(wire(fresh($asked)), 0, $_), 0.001 * rand 3] }
                grep { $_ < $length } sort { $a <=> $b } keys %points));
}

# leave CONNECT, ROWS: each row is bytes to be sent, seconds after them (undef:
# when there is an answer), and bytes sent before, whose answer comes first.
# Many are under way at a time.

sub leave {
    my ($connect, @rows) = @_;

    my @open;

    # reset_until N: the next ones, when their time has come, until N are left
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

# leave_h2 QUESTIONS: the same of HTTP/2, with whole connections and with single
# streams.  What is asked is as of asked().  Who leaves as soon where all is slow,
# as with sanitizers, has stored nothing.

our @Send = [POST => '/api/v1/message/', as => 'u1',
             json => '{"recipient":"u2","body":"x"}'];

sub leave_h2 {
    my (@asked) = @_;

    my $connect = sub { return IO::Socket::UNIX->new($h2) || die "$h2: $!" };
    my $cancel = sub { return frame(3, 0, 2 * $_[0] + 1, pack 'N', 8) };
    my $bye = frame(7, 0, 0, pack 'NN', 0, 0);
    my (@rows, @late);

    my $begin = time();
    api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
        for 1 .. 5;
    my $slow = max(1, (time() - $begin) / 5 / 0.004);

    for my $asked (@asked) {
        my $one = sub { h2_begin() . h2_request(1, fresh($asked)) };
        my ($all, $some) = (h2_begin(), h2_begin());
        my @same = fresh($asked);
        my $length = length $one->();

        for my $n (0 .. 9) {
            my $stream =
                h2_request(2 * $n + 1,
                           $n % 2 ? @same : fresh($asked[rand @asked]));

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

    # all streams are cancelled while they are answered
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

# sockets: how many of those of sessions are open; nothing but their end comes

sub sockets {
    for (@Sessions) {
        my $n = sysread $_->{socket}, my $bytes, 100;

        $_->{closed} = 1 if defined $n && !$n;
    }

    return scalar grep { !$_->{closed} } @Sessions;
}

# all_or_nothing: each session is there, for the database, its socket and the
# zone, or for none of them; and a password that was changed has ended the other
# session of its person

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
       'a session ends with its socket');

    my $client = dial();

    @wrong = grep {
        send_all($client, get($_->{token}, '/api/v1/session/'));
        read_answer($client)->{code} != ($_->{there} ? 200 : 403);
    } @Sessions;
    is(join(' ', map { $_->{token} } @wrong), '', 'for everybody');
    close $client;

    my %session = map { ($_->{token} => $_->{there}) } @Sessions;
    my %password = sql("SELECT username, password FROM chat_user
                        WHERE username LIKE 'gone-%'");

    @wrong = grep { !$session{ $_->{kept} }
                    || $session{ $_->{other} }
                       != ($password{ $_->{name} } eq $Cheap) } @People;
    is(join(' ', map { $_->{name} } @wrong), '', 'and as their password is');

    # those that were cut off have not
    cmp_ok(scalar(grep { !$_->{there} } @Sessions), '>', 0, 'some have ended');
    cmp_ok(scalar(grep { $_ ne $Cheap } values %password), '>', 0,
           'some were changed');

    close $_->{socket} for splice @Sessions;
}

# all_is_well WORKERS, SOCKET, BEFORE: nobody has died, what is stored has been
# told to SOCKET, nothing is left of the connections, and all kinds of requests
# are answered.  A connection that is reset while nginx passes over the rest of
# a refused body stays, on any page of nginx, for keepalive_timeout; so that is
# short here.

sub all_is_well {
    my ($workers, $socket, $before) = @_;

    ok(wait_until { connections() == $before + sockets() },
       'no connection stays')
        or diag(connections() . " and not $before + " . sockets());

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
                 grep { !m{\AGET /ws(?!.*^(Upgrade|Accept))}ms }
                 map { wire(fresh($_)) } asked();
    is("@silent", '', 'all requests are answered');

    all_or_nothing();

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
given();
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();
my $left = 0;

$left += leave(\&dial, map { points($_) } asked()) for 1 .. 3;

cmp_ok($left, '>', 2000, 'thousands have left') or diag($left);
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 100,
       'many sends were stored');


=== while it is looked up who is calling
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

my $left = leave(\&dial, map { points($_) } asked());

cmp_ok($left, '>', 700, 'hundreds have left') or diag($left);
cmp_ok(all_is_well(\@workers, $socket, $before), '>', 5,
       'some sends were stored');


=== a log-out, or a change of password, that the database has begun
--- given
given();
--- then
my @workers = worker_pids();
my @ended = map { session('u3') } 1 .. 3;
my @changed = map { person() } 1 .. 2;

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

# when there are hashes, not before
ok(wait_until { !sql("SELECT COUNT(*) FROM chat_user
                      WHERE username LIKE 'gone-%' FOR UPDATE SKIP LOCKED") },
   'passwords are changed');

# also one whose body is still to come
push @clients,
    $leaving->(DELETE => '/api/v1/session/', as => $ended[0]),
    $leaving->(GET => '/logout/', as => $ended[1]),
    $leaving->(DELETE => '/api/v1/session/', as => $ended[2],
               headers => ['Content-Length: 9']);
settle();

# by half, then wholly
shutdown $_, 1 for @clients;
settle(0.1);
reset_by_peer(@clients);
settle();

is(scalar sql("SELECT COUNT(*) FROM chat_user WHERE password = '$Cheap'"), 3,
   'not yet committed');
$other->rollback;

ok(wait_until { sql('SELECT COUNT(*) FROM chat_session') == 4 + 2 },
   'all is done');
all_or_nothing();
is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'none has died');


=== kept connections, and requests one behind the other
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

for my $asked (asked()) {
    push @rows, map({ [@$_, $first] } points($asked));

    # behind others, and before them
    push @rows, map({ [$first . post('u1', 'u2', 'x') . $_->[0], $_->[1]] }
                    points($asked));
    push @rows, map({ [wire(fresh($asked)) . post('u1', 'u2', 'x') . $first
                       . wire(fresh($asked)), 0.001 * $_ * $_] } 0 .. 9);
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
given();
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
s{(allow +)::1}{$1unix:} or die;
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = listener();
my $before = connections();

# but for who listens, below
my @asked = grep { (fresh($_))[1] ne '/ws' } asked();

cmp_ok(leave_h2(@asked), '>', 1000, 'thousands have left');
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

my @asked = ([GET => '/ws', as => 'u3',
              headers => ['Accept: text/event-stream']],
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
          headers => ['Accept: text/event-stream']],
         [GET => '/ws', as => 'u3']) for 1 .. 4;

ok(wait_until { connections() == $before }, 'no connection stays')
    or diag(connections() . " and not $before");


=== all at once, while their sends wait for the database
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
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'nothing is stored yet');
$other->rollback;

ok(wait_until { sql('SELECT COUNT(*) FROM chat_message') == 61 }, 'all are');
all_is_well(\@workers, $socket, $before);
