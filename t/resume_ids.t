#
# Copyright (C) ngx_chat contributors
#

# nchan's workers abort on resume ids that clients make up: none of them may
# get there, by whichever way it comes

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Wire;

# ids of messages that have been, never were, or are no ids

our @Ids = (
    '1:0', '0:0', '-1:-1', '1700000000:0', '9999999999:5', '1:1,0,[0]',
    '1:0,0,[0]', '1700000000:[0],1', '1700000000:0,-1,2', ':', '0', 'x', '',
    '18446744073709551616:1', '1:99999', '1:' . '0,' x 200, "1:0\xff",
    '%00:%00', '1' x 500 . ':0',
);

# a time of now is one that nchan may really have given

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

# the ways to ask for a channel

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

# ask_for_channel COOKIE, METHOD: with made-up ids in it

sub ask_for_channel {
    my ($cookie, $method) = @_;

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

    return wire($method, $paths[rand @paths],
                headers => [@{ $Ways[rand @Ways] }, @{ $ids[rand @ids] },
                            $cookie]);
}

# cookie TOKEN: mostly with it

sub cookie {
    my ($token) = @_;

    my $good = "sessionid=$token";

    return 'Cookie: ' . ($good, $good, $good, "a=b; $good; c=d",
                         "$good; last_event_id=1:0", "$good; sessionid=x",
                         'sessionid=' . 'x' x 43, 'sessionid=')[rand 8];
}

# post WHO: a send to u1

sub post {
    my ($who) = @_;

    return wire(POST => '/api/v1/message/', as => $who,
                json => '{"recipient":"u1","body":"x"}');
}

# storm SECONDS: connects of u1 and u2, many at a time, that come and go; now
# and then one of their sessions ends and with it its sockets, and now and then
# there is a message.  How many connects there were, and answers by code.

sub storm {
    my ($seconds) = @_;

    my @tokens = map { token("u1.$_") } 1 .. 4;
    add_session('u1', token => $_) for @tokens;

    my ($connects, $logouts, $sends, $next) = (0, 0, 0, 4);
    my (%codes, @open);
    my $end = time() + $seconds;

    while (time() < $end) {
        my @new;

        for (1 .. 40) {
            my $socket = dial();
            send_all($socket, ask_for_channel(cookie($tokens[rand @tokens]),
                                              rand() < 0.03 ? 'HEAD' : 'GET'));
            push @new, $socket;
            $connects++;
        }

        # some stay for a while beside those that come
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

        while (@open > 160 * rand) {
            my $socket = splice @open, rand @open, 1;

            $socket->blocking(0);
            sysread $socket, my $text, 65536;
            $codes{channel}{$1}++ if ($text // '') =~ m{\AHTTP/1\.1 (\d+)};

            rand() < 0.5 ? reset_by_peer($socket) : close $socket;
        }
    }

    reset_by_peer(@open);

    diag("$connects connects, $logouts log-outs, $sends sends");

    return ($connects, \%codes);
}

run_tests();


__DATA__

=== thousands of them crash no worker
--- timeout: 60
--- then
my @workers = worker_pids();
my $socket = web_socket('u1');

my ($connects, $codes) = storm(12);

cmp_ok($connects, '>', 2000, 'there were thousands');
is_deeply([grep { !$codes->{channel}{$_} } 101, 200, 403], [],
          'of all kinds');
is_deeply([keys %{ $codes->{send} }], [201], 'all sends are answered');
is_deeply([keys %{ $codes->{logout} }], [204], 'and all log-outs');

is_deeply([worker_pids()], \@workers, 'the workers are the same');
is(exits(), '', 'and say nothing of a crash');

my $sent = scalar sql('SELECT COUNT(*) FROM chat_message');
is($sent, $codes->{send}{201}, 'all is stored');
ok(wait_until { @{ $socket->{frames} } >= $sent }, 'and was told')
    or diag(@{ $socket->{frames} } . " of $sent");
is(api('u2', POST => '/api/v1/message/', { recipient => 'u1', body => 'x' })
       ->code, 201, 'afterwards a message is sent');
ok(wait_until { @{ $socket->{frames} } == $sent + 1 }, 'and told, once');


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
is(exits(), '', 'and say nothing of a crash');
