#
# Copyright (C) ngx_chat contributors
#

# HTTP/3: requests, early disconnects, and subscribers

use File::Temp qw(tempdir);
use JSON::PP;
use List::Util qw(max);
use Test::Nginx::Socket;
use Chat::HTTP3;

my $why;

BEGIN {
    $why = Chat::HTTP3->missing;
    plan(skip_all => $why) if $why;
    plan('no_plan');
}

use Chat;
use Chat::Wire;

my $dir = tempdir(CLEANUP => 1);

system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost
        -keyout $dir/key -out $dir/cert 2>/dev/null" =~ s/\n */ /r) == 0
    or die "openssl cannot make a certificate\n";

our $Port = $ENV{TEST_NGINX_STREAM_PORT};

Chat::HTTP3::port($Port);

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(server => ($block->server // '') . <<"END");
listen 127.0.0.1:$Port quic reuseport;
listen 127.0.0.1:$Port ssl;
ssl_certificate $dir/cert;
ssl_certificate_key $dir/key;
END
});

# A connection whose client disappears stays open for keepalive_timeout, which
# is therefore short in some blocks.

# send_h3 TO, USER, TEXT: starts a send to u2

sub send_h3 {
    my ($to, $who, $text, %option) = @_;

    return start_h3($to, POST => '/api/v1/message/', as => $who,
                    json => qq({"recipient":"u2","body":"$text"}), %option);
}

# listen_h3 TO, USER: an open EventSource

sub listen_h3 {
    my ($to, $who, %option) = @_;

    my $it = start_h3($to, GET => '/ws', as => $who,
                      headers => [accept => 'text/event-stream'], %option);

    wait_until { $it->{text} =~ /hi/ || over($it) };

    return $it;
}

# poll_h3 TO, USER: a long poll; there is no response before a message

sub poll_h3 {
    my ($to, $who, %option) = @_;

    my $it = start_h3($to, GET => '/ws', as => $who, %option);

    settle();

    return $it;
}

# over REQUEST: whether its response has ended or was reset

sub over {
    return $_[0]{ended} || defined $_[0]{reset};
}

# sockets: the number in chat_status

sub sockets {
    return api('', GET => '/chat/status')->json->{sockets};
}

# send_one: sends a message to u2 with HTTP/1

sub send_one {
    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => 'x' })->json->{id};
}

# connections: the number of open connections, except that of this request

sub connections {
    my ($n) = api('', GET => '/stub')->body =~ /Active connections: (\d+)/;

    return $n - 1;
}

# how_often SOCKET: the number of notifications per id

sub how_often {
    my ($socket) = @_;

    my %times;
    $times{$_}++ for map { /(\d+)/ } @{ $socket->{frames} };

    return \%times;
}

# notified_once SOCKET: expects one notification for each stored message

sub notified_once {
    my ($socket) = @_;

    my @ids = sql('SELECT id FROM chat_message WHERE id > 1 ORDER BY id');
    my $got = '';

    ok(wait_until { $got = join ' ', sort { $a <=> $b } keys %{ how_often($socket) };
                    $got eq "@ids" }, 'stored messages are notified')
        or diag("$got and not @ids");

    # the outbox publishes within two seconds
    settle(2.5);

    my $times = how_often($socket);
    is(join(' ', grep { $times->{$_} > 1 } sort keys %$times), '', 'once');
    is(scalar sql('SELECT SUM(message_count) FROM chat_conversation'),
       @ids + 1, 'and counted');
    unlike(error_log(), qr/\[(crit|alert)\]|chat publish|could not be/,
           'no error is logged');
    is(api('', GET => '/chat/status')->json->{publishes}{failed}, 0,
       'no failed publish is counted');

    return scalar @ids;
}

run_tests();


__DATA__

=== a session is created, used and ended
--- then
my $login = '{"username":"u1","password":"correct horse"}';
my $it = ask_h3(POST => '/api/v1/session/', json => $login);
is($it->{code}, 200, 'login');

my ($cookie) = @{ $it->{headers}{'set-cookie'} };
like($cookie, qr/^__Host-sessionid=[A-Za-z0-9_-]{43}; .*; Secure$/,
     'with a secure cookie');
($cookie) = $cookie =~ /^([^;]+)/;

my @as = (headers => [cookie => $cookie]);
is(ask_h3(GET => '/api/v1/session/', @as)->{code}, 200, 'the session is valid');
is(ask_h3(DELETE => '/api/v1/session/', @as)->{code}, 204, 'logout');
is(ask_h3(GET => '/api/v1/session/', @as)->{code}, 403,
   'the session has ended');

is(ask_h3(POST => '/login/', form => 'username=u1&password=correct+horse')
       ->{code}, 302, 'login with the form');


=== cookies may be in several fields; a cookie without the prefix is ignored
--- then
my @cookie = cookie_h3('u1');

is(ask_h3(GET => '/api/v1/session/',
          headers => [cookie => 'a=b', @cookie, cookie => 'c=d'])->{code},
   200, 'between other cookies');
is(ask_h3(GET => '/api/v1/session/',
          headers => [cookie => 'sessionid=' . token('u1')])->{code},
   403, 'without its prefix');


=== bodies are read with and without a length, and rejected if they are too long
--- then
my $to = connect_h3();
my @send = (POST => '/api/v1/message/', as => 'u1', to => $to);

is(ask_h3(@send, json => '{"recipient":"u2","body":"x"}')->{code}, 201,
   'without a length');
is(ask_h3(@send, json => '{"recipient":"u2","body":"x"}', length => 1)->{code},
   201, 'with a length');
is(ask_h3(@send, form => 'recipient=u2&body=x')->{code}, 201, 'a form');
is(ask_h3(@send, body => multipart(recipient => 'u2', body => 'x'),
          type => 'multipart/form-data; boundary=b0undary')->{code}, 201,
   'multipart');

my $it = send_h3($to, 'u1', 'in two', end => 0);
settle();
is($it->{code}, undef, 'no response before the end of the body');
body_h3($it, '');
ok(wait_until { over($it) }, 'the request ends');
is($it->{code}, 201, 'with a 201');

$it = send_h3($to, 'u1', 'cut', headers => ['content-length' => 100]);
ok(wait_until { over($it) }, 'a body shorter than its length');
is($it->{code}, 400, 'is rejected');

my $long = '{"recipient":"u2","body":"' . 'x' x 70000 . '"}';
is(ask_h3(@send, json => $long, length => 1)->{code}, 413,
   'a body that is too long');
is(ask_h3(@send, json => $long)->{code}, 413, 'without a length');

my $text = ask_h3(GET => '/api/v1/message/', as => 'u1', to => $to)->{text};

for my $method (qw(GET HEAD OPTIONS)) {
    my $it = ask_h3($method => '/api/v1/message/', as => 'u1',
                    json => '{"recipient":"u2","body":"x"}');
    is($it->{code}, 200, "$method with a body");
    is($it->{text}, $text, 'the same response') if $method eq 'GET';
    is($it->{text}, '', 'no body') if $method eq 'HEAD';
}

is(ask_h3(PUT => '/api/v1/message/', as => 'u1', to => $to, json => $long)
       ->{code}, 405, 'a method that is not allowed');
is(ask_h3(GET => '/api/v1/session/', as => 'u1', to => $to)->{code}, 200,
   'the connection is still open');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 5, 'messages are stored');


=== links use :authority or Host
--- given
message(u1 => 'u2', $_) for 1 .. 40;
--- then
for (["localhost:$Port"],
     # nginx 1.26 rejects a Host with a port
     ['localhost', authority => undef, headers => [host => 'localhost']])
{
    my ($host, @option) = @$_;
    my $it = ask_h3(GET => '/api/v1/message/?page=2', as => 'u1', @option);
    my $json = decode_json($it->{text});
    my $list = "https://$host/api/v1/message/";

    is($json->{next}, "$list?page=3", "$host: next");
    is($json->{previous}, $list, 'the previous page');
}


=== cross-origin requests are rejected
--- then
my @send = (POST => '/api/v1/message/', as => 'u1',
            json => '{"recipient":"u2","body":"x"}');
my $own = "https://localhost:$Port";

for ([origin => $own, 201], [origin => 'https://evil.example', 403],
     [origin => $own =~ s/https/http/r, 403],
     ['sec-fetch-site' => 'same-origin', 201],
     ['sec-fetch-site' => 'cross-site', 403])
{
    my ($name, $value, $code) = @$_;

    is(ask_h3(@send, headers => [$name => $value])->{code}, $code,
       "$name: $value");

    my $it = start_h3(connect_h3(), GET => '/ws', as => 'u1',
                      headers => [accept => 'text/event-stream',
                                  $name => $value]);
    ok(wait_until { defined $it->{code} }, 'a stream has a response');
    is($it->{code}, $code == 201 ? 200 : 403, 'with the same result');
}


=== subscribers are notified, whether their request has ended or not
--- then
my $to = connect_h3();
my @streams = (listen_h3($to, 'u2'), listen_h3($to, 'u2', end => 0),
               listen_h3($to, 'u2', end => 0),
               listen_h3($to, 'u2', json => '{}'));
my @polls = (poll_h3($to, 'u2'), poll_h3($to, 'u2', end => 0),
             poll_h3($to, 'u2', end => 0));

is($_->{code}, 200, 'the stream is open') for @streams;
like($_->{headers}{'content-type'}[0], qr{^text/event-stream},
     'with the content type of events')
    for @streams;

# the request ends later, in two cases with a body
body_h3($_, '') for $streams[1], $polls[1];
body_h3($_, 'x' x 1000, 0) for $streams[2], $polls[2];
settle();

is(scalar(grep { over($_) } @streams, @polls), 0, 'all responses are open');
ok(wait_until { sockets() == 7 }, 'and counted') or diag(sockets());

my $id = send_one();

for (@streams, @polls) {
    my $it = $_;
    ok(wait_until { $it->{text} =~ /{"message": "$id"}/ },
       'the subscriber is notified')
        or diag($it->{text});
}

ok(wait_until { 3 == grep { over($_) } @polls }, 'the long polls end');
is($_->{code}, 200, 'successfully') for @polls;
is(scalar(grep { over($_) } @streams), 0, 'the streams continue');

$id = send_one();
my $next = poll_h3($to, 'u2');
is($next->{text}, '', 'the earlier notification is not resent');
ok(wait_until { 4 == grep { $_->{text} =~ /"$id"/ } @streams },
   'the streams are notified again');
ok(wait_until { sockets() == 5 },
   'five subscribers are left') or diag(sockets());


=== subscribers are notified beyond the idle timeout of QUIC connections
--- server
keepalive_timeout 3s;
--- change
s/(nchan_eventsource_ping_interval) +30s/$1 1s/ or die;
--- then
my $stream = listen_h3(connect_h3(), 'u2');

settle(5);
ok(!over($stream), 'the stream is open');

my $id = send_one();
ok(wait_until { $stream->{text} =~ /"$id"/ }, 'the subscriber is notified');


=== subscribers that disconnect are removed
--- server
location = /stub { stub_status; }
keepalive_timeout 2s;
--- then
my $before = connections();

for my $how (qw(reset stop both close drop)) {
    my $to = connect_h3();

    # a request that has not ended can be reset
    my @all = (listen_h3($to, 'u2'), poll_h3($to, 'u2'),
               listen_h3($to, 'u2', end => 0), poll_h3($to, 'u2', end => 0));
    ok(wait_until { sockets() == 4 }, "$how: all are open") or diag(sockets());

    if ($how =~ /close|drop/) {
        leave_h3($how => $to);

    } else {
        # a request that has ended can only be stopped
        for (@all) {
            my $ended = $_ == $all[0] || $_ == $all[1];

            leave_h3(reset => $_) if $how ne 'stop' && !$ended;
            leave_h3(stop => $_) if $how ne 'reset' || $ended;
        }
    }

    ok(wait_until(sub { sockets() == 0 }, 6),
       'the subscribers are removed') or diag(sockets());

    next if $how =~ /close|drop/;

    is(ask_h3(GET => '/api/v1/session/', as => 'u1', to => $to)->{code}, 200,
       'the connection is still open');
}

ok(wait_until { connections() == $before }, 'all connections are closed')
    or diag(connections() . " and not $before");


=== a logout ends the streams of its session only
--- given
add_session('u2', token => token('other'));
--- then
my $to = connect_h3();
my @mine = (listen_h3($to, 'u2'), poll_h3($to, 'u2'),
            listen_h3($to, 'u2', end => 0));
my @others = (listen_h3($to, 'other'), poll_h3($to, 'other'),
              listen_h3($to, 'u1'));
ok(wait_until { sockets() == 6 }, 'all are open');

is(ask_h3(DELETE => '/api/v1/session/', as => 'u2', to => $to)->{code}, 204,
   'logout');
ok(wait_until(sub { 3 == grep { over($_) } @mine }, 2),
   'the streams of the session end')
    or diag(JSON::PP->new->canonical->encode(\@mine));
ok(wait_until { sockets() == 3 }, 'and are no longer counted');
is(scalar(grep { over($_) } @others), 0, 'the other streams continue');
is(listen_h3($to, 'u2')->{code}, 403, 'the session cannot subscribe again');

my $id = send_one();
ok(wait_until { 3 == grep { $_->{text} =~ /"$id"/ } @others },
   'the others are notified');
is(scalar(grep { $_->{text} =~ /"$id"/ } @mine), 0,
   'the ended streams are not');


=== streams end with their session, whether expired, deleted or disabled
--- server
chat_session_check 1s;
--- given
add_session('u2', token => token('short'), lasts => 4);
add_session('u2', token => token('other'));
--- then
my $to = connect_h3();
my $stays = listen_h3($to, 'u2');
my %all = map { ($_ => [listen_h3($to, $_), poll_h3($to, $_)]) }
              qw(short other u3);

is(scalar(grep { over($_) } map { @$_ } values %all), 0, 'all are open');
ok(wait_until { 2 == grep { over($_) } @{ $all{short} } },
   'the streams of the expired session end');
is(scalar(grep { over($_) } map { @$_ } @all{qw(other u3)}), 0,
   'and no others');

sql('DELETE FROM chat_session WHERE token_hash = UNHEX(SHA2(?, 256))',
    token('other'));
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');

ok(wait_until(sub { 4 == grep { over($_) } map { @$_ } @all{qw(other u3)} },
              8.5), 'the other streams end within six intervals');
ok(!over($stays), 'the valid session continues');


=== a send whose client disconnects during the query is completed
--- given
message(u1 => 'u2', 'first');
--- server
location = /stub { stub_status; }
keepalive_timeout 2s;
--- then
my $before = connections();
my $socket = web_socket('u2');
settle();

my $other = connect_db();
$other->begin_work;
$other->do('SELECT * FROM chat_conversation FOR UPDATE');

my @reads;

for my $how (qw(reset stop both close drop)) {
    my $to = connect_h3();
    my @sends = map { send_h3($to, 'u1', "$how $_") } 1 .. 3;

    # HTTP/3 does not order requests
    my $kept = connect_h3();
    push @reads, start_h3($kept, GET => '/api/v1/session/', as => 'u1');

    settle();

    if ($how =~ /close|drop/) {
        leave_h3($how => $to);
        next;
    }

    for (@sends) {
        leave_h3(reset => $_) if $how ne 'stop';
        leave_h3(stop => $_) if $how ne 'reset';
    }
}

settle();
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1,
   'no message is stored yet');
is($_->{code}, 200, 'other requests succeed') for @reads;
$other->rollback;

ok(wait_until { sql('SELECT COUNT(*) FROM chat_message') == 16 },
   'all messages are stored');
is(notified_once($socket), 15, 'all messages are notified');
close_all($socket);
ok(wait_until { connections() <= $before }, 'all connections are closed')
    or diag(connections() . " and not $before");


=== a read whose client disconnects during the query is cancelled
--- given
message(u1 => 'u2', 'first');
--- http
chat_db_timeout 8s;
--- change
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- no_error_log
[alert]
[error]
--- then
my $other = connect_db();
$other->do('LOCK TABLES chat_session WRITE');

my $to = connect_h3();
my @all = map { start_h3($to, GET => '/api/v1/message/', as => 'u1') } 1 .. 4;
settle();

leave_h3(stop => $all[0]);
leave_h3(reset => $all[1]);
leave_h3(stop => $all[2]);
leave_h3(reset => $all[2]);
settle();
$other->do('UNLOCK TABLES');

ok(wait_until { over($all[3]) }, 'the remaining request ends');
is($all[3]{code}, 200, 'successfully');
is(exits(), '', 'no worker has died');


=== clients may disconnect at each point of a send
--- given
message(u1 => 'u2', 'first');
--- server
location = /stub { stub_status; }
keepalive_timeout 2s;
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = web_socket('u2');
settle();
my $before = connections();
my $n = 0;

for my $how (qw(reset stop both close drop)) {
    for my $ms (map { ($_) x 4 } 0, 0.3, 0.6, 1, 1.5, 2, 3, 4, 5, 7, 10, 14, 20) {
        my $to = connect_h3();
        my @all = map { send_h3($to, 'u1', 'x', end => $_ != 2) } 1 .. 4;
        $n += @all;

        if ($how =~ /close|drop/) {
            leave_h3($how => $to, $ms / 1000);
            next;
        }

        for (@all) {
            leave_h3(stop => $_, $ms / 1000) if $how ne 'reset';
            leave_h3(reset => $_, $ms / 1000) if $how ne 'stop';
        }

        # when a connection ends, its other streams end
        leave_h3(close => $to, 0.5);
    }
}

cmp_ok($n, '>', 1000, 'a thousand disconnects');
settle(1);
cmp_ok(notified_once($socket), '>', 100, 'many messages are stored');
ok(wait_until { connections() == $before }, 'all connections are closed')
    or diag(connections() . " and not $before");
is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'no worker has died');


=== subscribers may disconnect at each point
--- server
location = /stub { stub_status; }
keepalive_timeout 2s;
--- timeout: 60
--- then
my @workers = worker_pids();
my $before = connections();

for my $how (qw(reset stop both close drop)) {
    for my $ms (map { ($_) x 2 } 0, 0.3, 0.6, 1, 1.5, 2, 3, 5, 10) {
        my $to = connect_h3();
        my @all = map {
            start_h3($to, GET => '/ws', as => 'u2', end => $_ % 3 != 0,
                     headers => [$_ % 2 ? (accept => 'text/event-stream') : ()])
        } 1 .. 8;

        if ($how =~ /close|drop/) {
            leave_h3($how => $to, $ms / 1000);
            next;
        }

        for (@all) {
            leave_h3(stop => $_, $ms / 1000) if $how ne 'reset';
            leave_h3(reset => $_, $ms / 1000) if $how ne 'stop';
        }

        leave_h3(close => $to, 0.5);
    }

    send_one();
}

ok(wait_until { sockets() == 0 }, 'all sockets are closed') or diag(sockets());
ok(wait_until { connections() == $before }, 'all connections are closed')
    or diag(connections() . " and not $before");
is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'no worker has died');


=== a reload ends the streams of subscribers, which can reconnect
--- server
keepalive_timeout 5s;
--- given
message(u1 => 'u2', 'first');
--- then
my $to = connect_h3();
my @all = (listen_h3($to, 'u2'), poll_h3($to, 'u2'));
my @before = worker_pids();

kill 'HUP', master_pid();

ok(wait_until(sub { 2 == grep { over($_) } @all }, 3), 'the streams have ended')
    or diag(JSON::PP->new->canonical->encode(\@all));
ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                     worker_pids() }, 'the old workers have exited');

my $next = connect_h3();
my $stream = listen_h3($next, 'u2');
is($stream->{code}, 200, 'a new stream is open');

my $id = send_one();
ok(wait_until { $stream->{text} =~ /"$id"/ }, 'the subscriber is notified');
