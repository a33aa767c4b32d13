#
# Copyright (C) ngx_chat contributors
#

# clients that leave, wholly or by half, and what must not stay behind

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::Nginx::Socket 'no_plan';
use Chat;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $h2 = "$dir/h2.sock";

# client: a connection

sub client {
    return IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r,
                                 Timeout => 10);
}

# post FROM, TO, BODY: a send as it is on the wire

sub post {
    my ($from, $to, $body) = @_;

    my $json = qq({"recipient":"$to","body":"$body"});

    return "POST /api/v1/message/ HTTP/1.1\r\nHost: localhost\r\n"
           . 'Cookie: sessionid=' . token($from) . "\r\n"
           . "Content-Type: application/json\r\n"
           . 'Content-Length: ' . length($json) . "\r\n\r\n$json";
}

# get FROM, PATH: the same of a question

sub get {
    my ($from, $path) = @_;

    return "GET $path HTTP/1.1\r\nHost: localhost\r\n"
           . 'Cookie: sessionid=' . token($from) . "\r\n\r\n";
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

# frame TYPE, FLAGS, STREAM, PAYLOAD: of HTTP/2

sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}

# h2_post FROM, TO, BODY: a connection's beginning with a send on stream 1

sub h2_post {
    my ($from, $to, $body) = @_;

    my @headers = (':method' => 'POST', ':scheme' => 'http',
                   ':path' => '/api/v1/message/', ':authority' => 'localhost',
                   'content-type' => 'application/json',
                   cookie => 'sessionid=' . token($from));
    my $block = '';

    while (my ($name, $value) = splice @headers, 0, 2) {
        $block .= pack 'C C/a* C/a*', 0, $name, $value;
    }

    return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, '')
           . frame(1, 4, 1, $block)
           . frame(0, 1, 1, qq({"recipient":"$to","body":"$body"}));
}

# connections: how many nginx has open, but for the one that asks

sub connections {
    my ($n) = api('', GET => '/status')->body =~ /Active connections: (\d+)/;

    return $n - 1;
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

my $client = client();
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
my @clients = map { client() } 1 .. 8;

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

my @clients = map { client() } 1 .. 4;
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
