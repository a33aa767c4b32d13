#
# Copyright (C) ngx_chat contributors
#

# sessions under attack: tokens chosen by an attacker, and how fast an ended
# session stops working on every worker and every kind of connection

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Proxy;
use Chat::Wire qw(wire dial send_all read_answer);

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $db = "$dir/db.sock";
our $proxy = Chat::Proxy->new($db, $ENV{TEST_NGINX_CHAT_SOCKET});
our $h2 = "$dir/h2.sock";
our $Port = $ENV{TEST_NGINX_STREAM_PORT};
our $Agent = Mojo::UserAgent->new(max_connections => 0, max_redirects => 0);

# as TOKEN: returns the name of the user, or ''

sub as {
    my ($token) = @_;

    my $res = api('', GET => '/api/v1/session/', undef,
                  Cookie => "sessionid=$token");

    return $res->code == 200 ? $res->json->{username} : '';
}

# given_token RESPONSE: returns the token in its cookie

sub given_token {
    my ($res) = @_;

    return ($res->headers->set_cookie // '') =~ /^sessionid=([^;]+)/
           ? $1 : '';
}

# ended SOCKET, SECONDS: returns whether the socket is closed by then

sub ended {
    my ($socket, $seconds) = @_;

    my $end = time + $seconds;
    my $select = IO::Select->new($socket);

    while ($select->can_read($end - time > 0 ? $end - time : 0)) {
        my $n = sysread $socket, my $bytes, 4096;
        return 1 unless $n;
    }

    return 0;
}

# spread TOKEN, N: opens N sockets of the session at the port whose connections
# the kernel distributes to the workers

sub spread {
    my ($token, $n) = @_;

    return map { at_port($token) } 1 .. $n;
}

sub at_port {
    my ($token) = @_;

    my $socket = {};
    my $agent = $socket->{agent} =
        Mojo::UserAgent->new(inactivity_timeout => 0, connect_timeout => 5);

    $agent->websocket(
        "ws://127.0.0.1:$Port/ws" => { Cookie => "sessionid=$token" } => sub {
            my (undef, $tx) = @_;

            $socket->{code} = $tx->res->code // 0;
            return unless $tx->is_websocket;

            $socket->{tx} = $tx;
            $tx->on(finish => sub { $socket->{closed} = time });
        }
    );

    wait_until { defined $socket->{code} };

    return $socket;
}

# held: returns the number of connections to that port for each worker

sub held {
    my $local = sprintf ':%04X', $Port;
    my %inode;

    open my $tcp, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";

    while (<$tcp>) {
        my @field = split;
        $inode{$field[9]} = 1 if $field[1] =~ /$local$/ && $field[3] eq '01';
    }

    return map {
        scalar grep { (readlink // '') =~ /^socket:\[(\d+)\]$/ && $inode{$1} }
                    glob "/proc/$_/fd/*"
    } worker_pids();
}

# closed SOCKETS: returns whether all sockets are closed, and the seconds from
# START until the last one was

sub closed {
    my ($start, @sockets) = @_;

    wait_until { !grep { !$_->{closed} } @sockets };

    my @open = grep { !$_->{closed} } @sockets;
    my ($last) = sort { $b <=> $a } map { $_->{closed} // 0 } @sockets;

    return (!@open, $last - $start);
}

# frame TYPE, FLAGS, STREAM, PAYLOAD: returns an HTTP/2 frame

sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}

# h2_event_source STREAM, TOKEN: returns the request of an EventSource

sub h2_event_source {
    my ($stream, $token) = @_;

    my @headers = (':method' => 'GET', ':scheme' => 'http', ':path' => '/ws',
                   ':authority' => 'localhost',
                   accept => 'text/event-stream',
                   cookie => "sessionid=$token");
    my $block = '';

    while (my ($name, $value) = splice @headers, 0, 2) {
        $block .= pack 'C C/a* C/a*', 0, $name, $value;
    }

    return frame(1, 5, $stream, $block);
}

# h2_read CLIENT, STREAMS: reads available data into "text" and "ended" of each

sub h2_read {
    my ($client, $streams) = @_;

    $client->sysread($streams->{buffer}, 65536,
                     length($streams->{buffer} //= ''));

    while (length $streams->{buffer} >= 9) {
        my ($high, $low, $type, $flags, $stream) =
            unpack 'C n C C N', $streams->{buffer};
        my $length = $high << 16 | $low;

        last if length $streams->{buffer} < 9 + $length;

        my $payload = substr $streams->{buffer}, 9, $length;
        substr $streams->{buffer}, 0, 9 + $length, '';

        $streams->{$stream}{text} .= $payload if $type == 0;
        $streams->{$stream}{ended} = 1
            if $type == 3 || $type <= 1 && $flags & 1;
    }
}

# h2_open TOKENS: opens a connection with an EventSource for each, on streams 1,
# 3, 5...

sub h2_open {
    my (@tokens) = @_;

    my $client = IO::Socket::UNIX->new($h2) or die "$h2: $!\n";

    $client->blocking(0);
    $client->syswrite("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, '')
                      . join '', map { h2_event_source(2 * $_ + 1, $tokens[$_]) }
                                     0 .. $#tokens);
    settle();

    return ($client, {});
}

# h2_told CLIENT, STREAMS, NUMBERS: sends a message and returns whether these
# streams have received a notification

sub h2_told {
    my ($client, $streams, @numbers) = @_;

    api('u2', POST => '/api/v1/message/', { recipient => 'u1', body => 'x' });
    settle(0.1);
    h2_read($client, $streams);

    return !grep { ($streams->{$_}{text} // '') !~ /^data: \{"message"/m }
                 @numbers;
}

run_tests();


__DATA__

=== a login does not adopt an existing token
--- then
my $planted = 'f' x 43;
my %who = (username => 'u1', password => 'correct horse');

for my $way (
    ['the API, by cookie', sub {
        api('', POST => '/api/v1/session/', { %who },
            Cookie => "sessionid=$planted")
    }],
    ['the API, by bearer token', sub {
        api('', POST => '/api/v1/session/', { %who },
            Authorization => "Bearer $planted")
    }],
    ['the form', sub {
        $Agent->post(url('/login/'), { Cookie => "sessionid=$planted" },
                     form => { %who })->res
    }],
    ['the form, by a field', sub {
        $Agent->post(url('/login/'),
                     form => { %who, sessionid => $planted })->res
    }],
) {
    my ($name, $log_in) = @$way;
    my $token = given_token($log_in->());

    is(as($token), 'u1', "$name: logged in");
    isnt($token, $planted, 'with another token');
    is(as($planted), '', 'the planted token is invalid');
}


=== a login ends the previous session of any user
--- then
for my $way (
    ['the API', sub {
        api('u2', POST => '/api/v1/session/',
            { username => 'u1', password => 'correct horse' })
    }],
    ['the form', sub {
        $Agent->post(url('/login/'),
                     { Cookie => 'sessionid=' . token('u2') },
                     form => { username => 'u1',
                               password => 'correct horse' })->res
    }],
) {
    my ($name, $log_in) = @$way;
    my $token = given_token($log_in->());

    is(as($token), 'u1', "$name: logged in");
    isnt($token, token('u2'), 'with another token');
    is(as(token('u2')), '', 'the previous session has ended');
    add_session('u2');
}


=== a login does not adopt a bearer token chosen by the client
--- then
my $planted = 'f' x 43;
my $res = api('', POST => '/api/v1/session/',
              { username => 'u1', password => 'correct horse',
                token => JSON::PP::true },
              Authorization => "Bearer $planted",
              Cookie => "sessionid=$planted");

my $token = $res->json->{token};
is(as($token), 'u1', 'logged in');
isnt($token, $planted, 'with another token');
is(as($planted), '', 'the planted token is invalid');


=== tokens are random
--- then
my @tokens = map {
    given_token(api('', POST => '/api/v1/session/',
                    { username => 'u1', password => 'correct horse' }))
} 1 .. 8;

# positions with equal letters in two tokens of 43 letters: by chance one in 64

my $most = 0;

for my $i (0 .. $#tokens) {
    for my $j (0 .. $i - 1) {
        my $same = grep { substr($tokens[$i], $_, 1)
                          eq substr($tokens[$j], $_, 1) } 0 .. 42;
        $most = $same if $same > $most;
    }
}

is(scalar(grep { length == 43 } @tokens), 8, '43 letters each');
cmp_ok($most, '<', 12, 'few letters are equal');


=== a failed login creates no token and ends no session
--- then
my $res = api('u1', POST => '/api/v1/session/',
              { username => 'u1', password => 'wrong' });

is($res->code, 403, 'rejected');
is($res->headers->set_cookie, undef, 'no cookie');
is(as(token('u1')), 'u1', 'the current session stays');


=== a cookie set by another host of the domain has no precedence
--- server
chat_cookie sessionid secure=on;
--- then
my ($u1, $u2) = (token('u1'), token('u2'));

for my $cookies ("sessionid=$u2; __Host-sessionid=$u1",
                 "__Host-sessionid=$u1; sessionid=$u2")
{
    is(api('', GET => '/api/v1/session/', undef, Cookie => $cookies)
           ->json->{username}, 'u1', 'the cookie with the prefix is used');
}


=== the end of a session closes its sockets on each of four workers at once
--- workers: 4
--- server eval
"listen 127.0.0.1:$::Port reuseport;"
--- given
add_session('u1', token => $_ x 43) for qw(a b c);
--- timeout: 60
--- then
my @mine = spread(token('u1'), 8);

for my $way (
    ['the API', 'a', sub {
        api('', DELETE => '/api/v1/session/', undef,
            Cookie => 'sessionid=' . 'a' x 43)
    }],
    ['the link', 'b', sub {
        api('', GET => '/logout/', undef, Cookie => 'sessionid=' . 'b' x 43)
    }],
    ['a new password', 'c', sub {
        api('u1', POST => '/api/v1/password/',
            { old_password => 'correct horse',
              new_password => 'battery staple' })
    }],
) {
    my ($name, $letter, $end) = @$way;
    my @sockets;

    # the kernel distributes by a hash: repeated until each worker has sockets

    my @before = held();
    my $each = sub {
        my @now = held();
        return !grep { $now[$_] - $before[$_] < 2 } 0 .. 3;
    };

    for (1 .. 20) {
        push @sockets, spread($letter x 43, 8);
        last if $each->();
    }

    ok($each->(), "$name: each worker has some of its sockets")
        or diag(join ' ', held());
    is(scalar(grep { $_->{code} == 101 } @sockets), scalar @sockets,
       'all are open');

    # nchan accepts a socket before it subscribes it
    settle();

    my $start = time;
    cmp_ok($end->()->code, '<', 400, 'the session ends');

    my ($all, $seconds) = closed($start, @sockets);
    ok($all, 'all are closed');
    cmp_ok($seconds, '<', 2, 'at once');
    is(at_port($letter x 43)->{code}, 403, 'a new socket is rejected');
}

is(scalar(grep { $_->{closed} } @mine), 0,
   'sockets of the session that changed the password stay open');


=== the end of a session ends only its HTTP/2 stream
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- given
add_session('u1', token => 'x' x 43);
--- then
my ($client, $streams) = h2_open('x' x 43, token('u1'), token('u2'));
ok(wait_until { h2_told($client, $streams, 1, 3, 5) },
   'all streams are notified');

api('', DELETE => '/api/v1/session/', undef,
    Cookie => 'sessionid=' . 'x' x 43);
settle(1);
$_->{text} = '' for @$streams{1, 3, 5};

ok(wait_until { h2_told($client, $streams, 3, 5) },
   'the other streams are notified');
is($streams->{1}{text}, '', 'the stream is not notified');
ok($streams->{1}{ended}, 'the stream has ended');
is(scalar(grep { $streams->{$_}{ended} } 3, 5), 0,
   'the other streams stay open');


=== the end of a session is sent at once on its HTTP/2 stream
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- given
add_session('u1', token => 'x' x 43);
--- then
my ($client, $streams) = h2_open('x' x 43, token('u1'), token('u2'));
ok(wait_until { h2_told($client, $streams, 1, 3, 5) },
   'all streams are notified');

my $start = time;
api('', DELETE => '/api/v1/session/', undef,
    Cookie => 'sessionid=' . 'x' x 43);

wait_until(sub { h2_read($client, $streams); $streams->{1}{ended} }, 4);
ok($streams->{1}{ended}, 'the stream has ended');
cmp_ok(time - $start, '<', 2, 'at once');
is(scalar(grep { $streams->{$_}{ended} } 3, 5), 0,
   'the other streams stay open');


=== an expired session closes its sockets within two seconds
--- given
add_session('u1', token => 'x' x 43, lasts => 4);
--- then
my ($end) = sql("SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', expires_at)
                 FROM chat_session WHERE token_hash = UNHEX(SHA2(?, 256))",
                'x' x 43);
my @sockets = map {
    web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 })
} 1 .. 4;

my $stream = event_source('', Cookie => 'sessionid=' . 'x' x 43);
$_->{tx}->on(finish => sub { $_[0]->{at} = time }) for @sockets;

is(join(' ', map { $_->{code} } @sockets), '101 101 101 101', 'open');

wait_until { time > $end - 0.5 };
is(scalar(grep { $_->{closed} } @sockets), 0, 'open until the session expires');

ok(wait_until { $stream->{closed} && 4 == grep { $_->{closed} } @sockets },
   'closed after the session expires');
cmp_ok(time - $end, '<', 2.5, 'within the limit');
is(as('x' x 43), '', 'the API rejects the session');


=== a disabled user loses the API and sockets within the documented times
--- server
chat_session_check 1s;
--- then
my @sockets = (map { web_socket('u1') } 1 .. 4);
my $peer = web_socket('u2');

is(as(token('u1')), 'u1', 'logged in') for 1 .. 4;

my $start = time;
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');

# docs/operations.md: the API after chat_session_check, sockets after six times
# chat_session_check

ok(wait_until { as(token('u1')) eq '' }, 'the API rejects the session');
cmp_ok(time - $start, '<', 2.5, 'within chat_session_check');
is(as(token('u1')), '', 'the session stays rejected') for 1 .. 4;

ok(wait_until { 4 == grep { $_->{closed} } @sockets },
   'all sockets are closed');
cmp_ok(time - $start, '<', 8.5, 'within six times chat_session_check');
is($peer->{closed}, undef, 'sockets of other users stay open');


=== many sockets of other users do not delay the check of a session
--- workers: 1
--- server
chat_session_check 1s;
--- then
# the first sockets are checked again while the last ones still wait

my $open = sub {
    my $socket = dial();

    send_all($socket, wire(GET => '/ws', as => $_[0],
                           headers => ['Accept: text/event-stream']));
    is(read_answer($socket, head => 1)->{code}, 200, 'open') or die;

    return $socket;
};

my @crowd = map { $open->('u2') } 1 .. 700;
my $last = $open->('u1');

my $start = time;
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');

ok(ended($last, 12), 'the last socket is closed');
cmp_ok(time - $start, '<', 8.5, 'within six times chat_session_check');
ok(!ended($crowd[0], 0), 'the other sockets stay open');


=== sockets of an expired session are closed while the database is silent
--- workers: 1
--- given
$proxy->pass;
add_session('u2', token => 'x' x 43, lasts => 8);
--- change
s{unix:[^ ]+}{unix:$db};
--- server
chat_session_check 1s;
--- then
# both sessions are checked without a result after six seconds

my ($end) = sql("SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', expires_at)
                 FROM chat_session WHERE token_hash = UNHEX(SHA2(?, 256))",
                'x' x 43);
my $other = web_socket('u1');
my $socket = web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 });

is("$other->{code} $socket->{code}", '101 101', 'open');
$proxy->hold;

wait_until(sub { time > $end - 0.5 }, 10);
is($socket->{closed}, undef, 'open until the session expires');
ok(wait_until { $socket->{closed} }, 'closed after the session expires');
cmp_ok(time - $end, '<', 2.5, 'within the limit');
is($other->{closed}, undef, 'the other socket stays open');


=== a disabled user with a login of the site loses its sockets
--- server
chat_session_check 1s;
--- change
s{(location = /ws .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- then
my @sockets = map { web_socket('', headers => { 'X-Name' => 'u1' }) } 1 .. 4;
my $peer = web_socket('', headers => { 'X-Name' => 'u2' });

is(join(' ', map { $_->{code} } @sockets), '101 101 101 101', 'open');

my $start = time;
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');

ok(wait_until { 4 == grep { $_->{closed} } @sockets },
   'all sockets are closed');
cmp_ok(time - $start, '<', 8.5, 'within six times chat_session_check');
is($peer->{closed}, undef, 'sockets of other users stay open');


=== only the exact token is accepted
--- then
# the hash in the database and its backups
my $hash = Digest::SHA::sha256_hex(token('u1'));

is(as($hash), '', 'the stored hash in hexadecimal');
is(as(pack 'H*', $hash =~ s/(?:0[0-9a-f]|1[0-9a-f]|3b|7f)/41/gr), '',
   'the stored hash in binary');
is(as(substr token('u1'), 0, 42), '', 'a truncated token');
is(as(token('u1') . '-'), '', 'a token with an additional character');
is(as(uc token('u1')), '', 'a token in another case');
