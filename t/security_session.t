#
# Copyright (C) ngx_chat contributors
#

# sessions under attack: tokens chosen by others, and how fast what has ended
# stops working, on every worker and on every kind of connection

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

# as TOKEN: who that is, or ''

sub as {
    my ($token) = @_;

    my $res = api('', GET => '/api/v1/session/', undef,
                  Cookie => "sessionid=$token");

    return $res->code == 200 ? $res->json->{username} : '';
}

# given_token RESPONSE: that of its cookie

sub given_token {
    my ($res) = @_;

    return ($res->headers->set_cookie // '') =~ /^sessionid=([^;]+)/
           ? $1 : '';
}

# ended SOCKET, SECONDS: whether there is the end of it by then

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

# spread TOKEN, N: N sockets of the session, at the port whose connections the
# kernel divides among the workers

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

# held: how many connections to that port each of the workers holds

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

# closed SOCKETS: whether all are; and how long after START the last one was

sub closed {
    my ($start, @sockets) = @_;

    wait_until { !grep { !$_->{closed} } @sockets };

    my @open = grep { !$_->{closed} } @sockets;
    my ($last) = sort { $b <=> $a } map { $_->{closed} // 0 } @sockets;

    return (!@open, $last - $start);
}

# frame TYPE, FLAGS, STREAM, PAYLOAD: of HTTP/2

sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}

# h2_event_source STREAM, TOKEN: the request of one

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

# h2_read CLIENT, STREAMS: what has come, into "text" and "ended" of each

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

# h2_open TOKENS: a connection with an EventSource each, on streams 1, 3, 5...

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

# h2_told CLIENT, STREAMS, NUMBERS: one more message, and whether all have heard

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

=== a token that was there before the log-in is not taken over
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

    is(as($token), 'u1', "$name: in");
    isnt($token, $planted, 'with another token');
    is(as($planted), '', 'the planted one is worth nothing');
}


=== a log-in leaves the session that was there before to its owner
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

    is(as($token), 'u1', "$name: in");
    isnt($token, token('u2'), 'with another token');
    is(as(token('u2')), 'u2', 'the one before is still that of u2');
}


=== a bearer token of the client's own choice is not taken over
--- then
my $planted = 'f' x 43;
my $res = api('', POST => '/api/v1/session/',
              { username => 'u1', password => 'correct horse',
                token => JSON::PP::true },
              Authorization => "Bearer $planted",
              Cookie => "sessionid=$planted");

my $token = $res->json->{token};
is(as($token), 'u1', 'in');
isnt($token, $planted, 'with another token');
is(as($planted), '', 'the planted one is worth nothing');


=== tokens have nothing in common
--- then
my @tokens = map {
    given_token(api('', POST => '/api/v1/session/',
                    { username => 'u1', password => 'correct horse' }))
} 1 .. 8;

# places where any two have the same letter: 43 letters, one in 64 by chance

my $most = 0;

for my $i (0 .. $#tokens) {
    for my $j (0 .. $i - 1) {
        my $same = grep { substr($tokens[$i], $_, 1)
                          eq substr($tokens[$j], $_, 1) } 0 .. 42;
        $most = $same if $same > $most;
    }
}

is(scalar(grep { length == 43 } @tokens), 8, '43 letters each');
cmp_ok($most, '<', 12, 'few are the same');


=== a failed log-in gives no token and takes none away
--- then
my $res = api('u1', POST => '/api/v1/session/',
              { username => 'u1', password => 'wrong' });

is($res->code, 403, 'refused');
is($res->headers->set_cookie, undef, 'no cookie');
is(as(token('u1')), 'u1', 'the session that was there goes on');


=== a cookie that another host of the domain has set does not get in front
--- server
chat_cookie sessionid secure=on;
--- then
my ($u1, $u2) = (token('u1'), token('u2'));

for my $cookies ("sessionid=$u2; __Host-sessionid=$u1",
                 "__Host-sessionid=$u1; sessionid=$u2")
{
    is(api('', GET => '/api/v1/session/', undef, Cookie => $cookies)
           ->json->{username}, 'u1', 'the one with the prefix counts');
}


=== what ends a session closes its sockets on each of four workers at once
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

    # the kernel divides by a hash: until each worker has some

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

    # nchan says so a moment before it is ready
    settle();

    my $start = time;
    cmp_ok($end->()->code, '<', 400, 'it ends');

    my ($all, $seconds) = closed($start, @sockets);
    ok($all, 'all are closed');
    cmp_ok($seconds, '<', 2, 'at once');
    is(at_port($letter x 43)->{code}, 403, 'and stay so');
}

is(scalar(grep { $_->{closed} } @mine), 0,
   'those of the session that changed the password are open');


=== the end of a session ends its stream of HTTP/2, and no other
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- given
add_session('u1', token => 'x' x 43);
--- then
my ($client, $streams) = h2_open('x' x 43, token('u1'), token('u2'));
ok(wait_until { h2_told($client, $streams, 1, 3, 5) }, 'all are told');

api('', DELETE => '/api/v1/session/', undef,
    Cookie => 'sessionid=' . 'x' x 43);
settle(1);
$_->{text} = '' for @$streams{1, 3, 5};

ok(wait_until { h2_told($client, $streams, 3, 5) }, 'the others are told');
is($streams->{1}{text}, '', 'it is not');
ok($streams->{1}{ended}, 'it has ended');
is(scalar(grep { $streams->{$_}{ended} } 3, 5), 0, 'the others go on');


=== the end of a session ends its stream of HTTP/2: the client learns at once
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- given
add_session('u1', token => 'x' x 43);
--- then
my ($client, $streams) = h2_open('x' x 43, token('u1'), token('u2'));
ok(wait_until { h2_told($client, $streams, 1, 3, 5) }, 'all are told');

my $start = time;
api('', DELETE => '/api/v1/session/', undef,
    Cookie => 'sessionid=' . 'x' x 43);

wait_until(sub { h2_read($client, $streams); $streams->{1}{ended} }, 4);
ok($streams->{1}{ended}, 'it has ended');
cmp_ok(time - $start, '<', 2, 'at once');
is(scalar(grep { $streams->{$_}{ended} } 3, 5), 0, 'the others go on');


=== a session that expires closes its sockets within two seconds
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
is(scalar(grep { $_->{closed} } @sockets), 0, 'until it expires');

ok(wait_until { $stream->{closed} && 4 == grep { $_->{closed} } @sockets },
   'then they are closed');
cmp_ok(time - $end, '<', 2.5, 'soon');
is(as('x' x 43), '', 'and the API knows it no longer');


=== somebody disabled: the API and the sockets, within the stated times
--- server
chat_session_check 1s;
--- then
my @sockets = (map { web_socket('u1') } 1 .. 4);
my $peer = web_socket('u2');

is(as(token('u1')), 'u1', 'in') for 1 .. 4;

my $start = time;
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');

# as README says: the API after chat_session_check, sockets after six of it

ok(wait_until { as(token('u1')) eq '' }, 'not in the API');
cmp_ok(time - $start, '<', 2.5, 'after one time');
is(as(token('u1')), '', 'for good') for 1 .. 4;

ok(wait_until { 4 == grep { $_->{closed} } @sockets }, 'no socket');
cmp_ok(time - $start, '<', 8.5, 'after six times');
is($peer->{closed}, undef, 'those of others stay');


=== nor is anybody forgotten where there are many sockets
--- workers: 1
--- server
chat_session_check 1s;
--- then
# the first ones' turn comes again while the last ones still wait for theirs

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

ok(ended($last, 12), 'the last one ends');
cmp_ok(time - $start, '<', 8.5, 'after six times');
ok(!ended($crowd[0], 0), 'the others stay');


=== a session expires while the database says nothing: its sockets close
--- workers: 1
--- given
$proxy->pass;
add_session('u2', token => 'x' x 43, lasts => 8);
--- change
s{unix:[^ ]+}{unix:$db};
--- server
chat_session_check 1s;
--- then
# after six seconds both are looked up, in vain

my ($end) = sql("SELECT TIMESTAMPDIFF(SECOND, '1970-01-01', expires_at)
                 FROM chat_session WHERE token_hash = UNHEX(SHA2(?, 256))",
                'x' x 43);
my $other = web_socket('u1');
my $socket = web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 });

is("$other->{code} $socket->{code}", '101 101', 'open');
$proxy->hold;

wait_until(sub { time > $end - 0.5 }, 10);
is($socket->{closed}, undef, 'until it expires');
ok(wait_until { $socket->{closed} }, 'then it is closed');
cmp_ok(time - $end, '<', 2.5, 'soon');
is($other->{closed}, undef, 'the other stays');


=== somebody disabled whom the site's own log-in lets in: the sockets as well
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

ok(wait_until { 4 == grep { $_->{closed} } @sockets }, 'no socket');
cmp_ok(time - $start, '<', 8.5, 'after six times');
is($peer->{closed}, undef, 'those of others stay');


=== a token is no good as another kind of thing
--- then
# the hash, which is what the database and its backups hold
my $hash = Digest::SHA::sha256_hex(token('u1'));

is(as($hash), '', 'the stored hash, in hex');
is(as(pack 'H*', $hash =~ s/(?:0[0-9a-f]|1[0-9a-f]|3b|7f)/41/gr), '',
   'or raw');
is(as(substr token('u1'), 0, 42), '', 'a part of it');
is(as(token('u1') . '-'), '', 'more than it');
is(as(uc token('u1')), '', 'in another case');
