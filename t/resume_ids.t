#
# Copyright (C) ngx_chat contributors
#

# nchan workers abort on message ids invented by clients.  No such id reaches
# nchan, in any form.

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Wire;

# expired, invented and malformed message ids

our @Ids = (
    '1:0', '0:0', '-1:-1', '1700000000:0', '9999999999:5', '1:1,0,[0]',
    '1:0,0,[0]', '1700000000:[0],1', '1700000000:0,-1,2', ':', '0', 'x', '',
    '18446744073709551616:1', '1:99999', '1:' . '0,' x 200, "1:0\xff",
    '%00:%00', '1' x 500 . ':0',
);

# nchan may really have assigned an id with the current time

sub id {
    my $n = int rand @Ids + 3;

    return $Ids[$n] // time() - int(rand 3) =~ s/\..*//r . ':' . int rand 3;
}

sub date {
    return ('Thu, 01 Jan 1970 00:00:01 GMT', 'Fri, 31 Dec 2100 23:59:59 GMT',
            'Sat, 01 Jan 2000 00:00:00 GMT', 'x',
            scalar(gmtime) =~ s/(...) (...) +(\d+) (\S+) (\d+)/
                                sprintf '%s, %02d %s %d %s GMT', $1, $3, $2,
                                        $5, $4/er)[rand 5];
}

# requests of the subscriber types

our @Ways = (
    ['Accept: text/event-stream'],
    ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
     'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='],
    ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
     'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
     'Sec-WebSocket-Protocol: ws+meta.nchan'],
    [],
    ['Accept: multipart/mixed'],
    ['TE: chunked', 'Accept: text/plain'],
);

# ask_for_channel COOKIE, METHOD, WAYS: returns arguments for wire() or
# h2_request(), with invented ids

sub ask_for_channel {
    my ($cookie, $method, @ways) = @_;

    my $id = id();
    my @ids = (
        [], ["Last-Event-ID: $id"], ["last-event-id: $id", 'Last-Event-ID: 1'],
        ["If-None-Match: $id"], ['If-Modified-Since: ' . date()],
        ["If-None-Match: $id", 'If-Modified-Since: ' . date()],
        ["If-None-Match: \"$id\"", 'If-Match: *', "Last-Event-ID: $id"],
        ["If-None-Match: $id", 'If-None-Match: 0',
         'If-Modified-Since: ' . date(), 'If-Modified-Since: ' . date()],
        ["Cookie: last_event_id=$id; Last-Event-ID=$id"],
        ["X-Last-Event-ID: $id", "X-Nchan-Message-Id: $id", "If-Range: $id"],
    );
    my @paths = ('/ws', "/ws?last_event_id=$id", "/ws?Last-Event-ID=$id",
                 "/ws?last_event_id=$id&last_event_id=1:0",
                 "/ws?x=y&last%5Fevent_id=$id", "/ws?$id",
                 "/%77s?last_event_id=$id");

    return ($method, $paths[rand @paths],
            headers => [@{ $ways[rand @ways] }, @{ $ids[rand @ids] }, $cookie]);
}

# cookie TOKEN: returns a Cookie header, which mostly has the token

sub cookie {
    my ($token) = @_;

    my $good = "sessionid=$token";

    return 'Cookie: ' . ($good, $good, $good, "a=b; $good; c=d",
                         "$good; last_event_id=1:0", "$good; sessionid=x",
                         'sessionid=' . 'x' x 43, 'sessionid=')[rand 8];
}

# post USER: returns a send to u1

sub post {
    my ($who) = @_;

    return wire(POST => '/api/v1/message/', as => $who,
                json => '{"recipient":"u1","body":"x"}');
}

# fresh TOKENS: returns a new connection that has requested a channel

sub fresh {
    my (@tokens) = @_;

    my $socket = dial();

    send_all($socket, wire(ask_for_channel(cookie($tokens[rand @tokens]),
                                           rand() < 0.03 ? 'HEAD' : 'GET',
                                           @Ways)));

    return $socket;
}

# fresh_h2 TOKENS: the same for HTTP/2, on several streams and without upgrades

our $h2 = tempdir(CLEANUP => 1);
chmod 0755, $h2;
$h2 .= '/h2.sock';

our $Streams = 5;

sub fresh_h2 {
    my (@tokens) = @_;

    my @ways = grep { "@$_" !~ /Upgrade|TE:/ } @Ways;
    my $socket = IO::Socket::UNIX->new($h2) || die "$h2: $!";

    send_all($socket, join '', h2_begin(), map {
        h2_request(2 * $_ - 1,
                   ask_for_channel(cookie($tokens[rand @tokens]),
                                   rand() < 0.03 ? 'HEAD' : 'GET', @ways))
    } 1 .. $Streams);

    return $socket;
}

# codes BYTES: returns the statuses of the responses, of either version

sub codes {
    my ($bytes) = @_;

    return $1 if $bytes =~ m{\AHTTP/1\.1 (\d+)};

    my @codes;

    while (length $bytes > 9) {
        my ($high, $low, $type) = unpack 'CnC', $bytes;
        my $payload = substr $bytes, 9, $high << 16 | $low;

        # 200 is in the HPACK table, other statuses are sent as digits
        push @codes, $1 // 200
            if $type == 1
               && $payload =~ /\A\x20?(?:\x88|[\x08\x48]\x03(\d{3}))/;

        substr $bytes, 0, 9 + length $payload, '';
    }

    return @codes;
}

# storm SECONDS, [http2 => 1]: u1 and u2 open and close many connections at a
# time.  Sometimes a session of u1 ends with its sockets, or u2 sends a message.
# Returns the number of connections, and the number of responses by status.

sub storm {
    my ($seconds, %option) = @_;

    my @tokens = map { token("u1.$_") } 1 .. 4;
    add_session('u1', token => $_) for @tokens;

    my ($fresh, $streams) = $option{http2} ? (\&fresh_h2, $Streams)
                                           : (\&fresh, 1);
    my ($connects, $logouts, $sends, $next) = (0, 0, 0, 4);
    my (%codes, @open);
    my $end = time() + $seconds;

    while (time() < $end) {
        my @new = map { $fresh->(@tokens) } 1 .. 40 / $streams;

        $connects += $streams * @new;

        # some stay open for a while
        push @open, @new;

        if (rand() < 0.5) {
            $sends++;
            $codes{send}{ ask(post('u2'))->{code} }++;
        }

        if (rand() < 0.3) {
            $logouts++;
            my $gone = splice @tokens, rand @tokens, 1;
            $codes{logout}{ ask(wire(DELETE => '/api/v1/session/', headers =>
                                     ["Cookie: sessionid=$gone"]))->{code} }++;

            push @tokens, token('u1.' . ++$next);
            add_session('u1', token => $tokens[-1]);
        }

        if ($option{http2}) {
            send_all($open[rand @open],
                     frame(3, 0, 2 * int(rand $streams) + 1, pack 'N', 8))
                for 1 .. 5;
        }

        while (@open * $streams > 160 * rand) {
            my $socket = splice @open, rand @open, 1;

            $socket->blocking(0);
            sysread $socket, my $text, 65536;
            $codes{channel}{$_}++ for codes($text // '');

            rand() < 0.5 ? reset_by_peer($socket) : close $socket;
        }
    }

    reset_by_peer(@open);

    diag("$connects connects, $logouts logouts, $sends sends");

    return ($connects, \%codes);
}

# survived SECONDS, CONNECTS, [CODES], OPTIONS: a storm of at least that many
# connections, with responses of at least these statuses

sub survived {
    my ($seconds, $least, $kinds, %option) = @_;

    my @workers = worker_pids();
    my $socket = web_socket('u1');

    my ($connects, $codes) = storm($seconds, %option);

    cmp_ok($connects, '>', $least, 'the number of connections');
    is_deeply([grep { !$codes->{channel}{$_} } @$kinds], [],
              'responses have all statuses');
    is_deeply([keys %{ $codes->{send} }], [201], 'all sends succeed');
    is_deeply([keys %{ $codes->{logout} }], [204], 'all logouts succeed');

    is_deeply([worker_pids()], \@workers, 'the workers are the same');
    is(exits(), '', 'no crash is logged');

    my $sent = scalar sql('SELECT COUNT(*) FROM chat_message');
    is($sent, $codes->{send}{201}, 'all messages are stored');
    ok(wait_until { @{ $socket->{frames} } >= $sent }, 'and published')
        or diag(@{ $socket->{frames} } . " of $sent");
    is(api('u2', POST => '/api/v1/message/', { recipient => 'u1', body => 'x' })
           ->code, 201, 'the next send');
    ok(wait_until { @{ $socket->{frames} } == $sent + 1 }, 'is published once');
}

run_tests();


__DATA__

=== thousands of invented ids crash no worker
--- timeout: 60
--- then
survived(12, 2000, [101, 200, 403]);


=== invented ids in HTTP/2 crash no worker
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- timeout: 60
--- then
survived(4, 1000, [200, 403], http2 => 1);


=== a condition that fails crashes no worker
--- then
my @workers = worker_pids();

for my $condition ('If-Match: "x"', 'If-Match: x, y',
                   'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT')
{
    for my $way (@Ways) {
        my @open = map { dial() } 1 .. 4;

        send_all($_, wire(GET => '/ws', as => 'u1',
                          headers => [@$way, $condition])) for @open;
        settle(0.1);
        is(ask(post('u2'))->{code}, 201, "$condition, @$way");

        like(read_answer($_, head => 1, seconds => 3)->{code},
             qr/^(101|200)$/, 'answered') for @open;
        reset_by_peer(@open);
    }
}

is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'no crash is logged');
