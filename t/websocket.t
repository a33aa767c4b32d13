#
# Copyright (C) ngx_chat contributors
#

# notifications: WebSocket, EventSource, long polling

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Busy qw(slowness);

# send_message FROM, TO, [BODY]: returns the id

sub send_message {
    my ($from, $to, $body) = @_;

    my $res = api($from, POST => '/api/v1/message/',
                  { recipient => $to, body => $body // 'x' });
    die 'not sent: ' . $res->code . "\n" unless $res->code == 201;

    return $res->json->{id};
}

# storm N: N sends from six connections.  Each 201 is stored once and published
# once to both sides.

sub storm {
    my ($total) = @_;

    my %socket = map { ($_ => [web_socket($_), web_socket($_)]) } qw(u1 u2 u3);
    is(join(' ', map { $_->{code} } map { @$_ } values %socket),
       join(' ', (101) x 6), 'two sockets for each user');

    # nchan accepts a socket before it subscribes it
    settle(0.5 * slowness());

    my ($sent, $answered, %expected, @bad) = (0, 0);

    my $send;
    $send = sub {
        return if $sent >= $total;

        my $n = $sent++;
        my @pair = map { 'u' . ($_ % 3 + 1) } $n, $n + $n % 4;

        request($pair[0], POST => '/api/v1/message/',
                { recipient => $pair[1], body => "$n" })
            ->then(sub {
                my ($res) = @_;

                $answered++;

                if ($res->code == 201) {
                    my $id = $res->json->{id};
                    my %people = map { $_ => 1 } @pair;
                    push @{ $expected{$_} }, $id for keys %people;

                } else {
                    push @bad, $res->code;
                }

                $send->();
            })
            ->catch(sub { $answered++; push @bad, $_[0]; $send->() });
    };

    $send->() for 1 .. 6;

    ok(wait_until { $answered == $total }, "all $total sends are answered")
        or diag($answered);
    is("@bad", '', 'all with status 201');
    is(scalar sql('SELECT COUNT(*) FROM chat_message'), $total,
       'each is stored once');

    for my $who (sort keys %socket) {
        my $wanted = join "\n", map { qq({"message": "$_"}) }
                                    sort { $a <=> $b } @{ $expected{$who} };

        for my $socket (@{ $socket{$who} }) {
            wait_until { @{ $socket->{frames} } >= @{ $expected{$who} } };

            # the order across workers is undefined
            my @frames = sort { ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] }
                              @{ $socket->{frames} };
            is(join("\n", @frames), $wanted,
               "$who is notified once of each message");
        }
    }
}

run_tests();


__DATA__

=== all sockets of both users are notified once, other users are not
--- then
my @mine = map { web_socket('u1') } 1 .. 2;
my @theirs = map { web_socket('u2') } 1 .. 2;
my $other = web_socket('u3');

is(join(' ', map { $_->{code} } @mine, @theirs, $other),
   '101 101 101 101 101', 'open');

my $id = send_message(u1 => 'u2');

for my $socket (@mine, @theirs) {
    ok(wait_until { @{ $socket->{frames} } }, 'notified');
}

settle();
is_deeply($_->{frames}, [qq({"message": "$id"})], 'the notification, once')
    for @mine, @theirs;
is_deeply($other->{frames}, [], 'no other user is notified');


=== a message sent by form is published
--- then
my $socket = web_socket('u2', path => '/ws?session_key=x');
is($socket->{code}, 101, 'open');

my $ua = Mojo::UserAgent->new;
my $id = $ua->post(url('/api/v1/message/'),
                   { Cookie => 'sessionid=' . token('u1'), Origin => url('') },
                   form => { recipient => 'u2', body => 'x' })
            ->res->json->{id};

ok(wait_until { @{ $socket->{frames} } }, 'notified');
is_deeply($socket->{frames}, [qq({"message": "$id"})], 'the notification');


=== a message of a user to itself is published once
--- then
my $socket = web_socket('u1');
my $id = send_message(u1 => 'u1');

ok(wait_until { @{ $socket->{frames} } }, 'notified');
settle();
is_deeply($socket->{frames}, [qq({"message": "$id"})], 'once');


=== earlier notifications are not sent to a new socket
--- then
my $early = web_socket('u2');
send_message(u1 => 'u2');
ok(wait_until { @{ $early->{frames} } }, 'notified');

my @late = map { web_socket('u2') } 1 .. 4;
settle();
is_deeply($_->{frames}, [], 'no notification') for @late;

my $id = send_message(u1 => 'u2');

for my $socket (@late) {
    ok(wait_until { @{ $socket->{frames} } }, 'notified');
    is_deeply($socket->{frames}, [qq({"message": "$id"})],
              'of the next message');
}


=== a message can be fetched as soon as it is published
--- then
my $socket = web_socket('u2');
my @ids;

for my $n (1 .. 20) {
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $n });
    wait_until { @{ $socket->{frames} } == $n } or last;

    my ($id) = $socket->{frames}[-1] =~ /(\d+)/;
    push @ids, api('u2', GET => "/api/v1/message/$id/")->json->{body};
}

is("@ids", join(' ', 1 .. 20), 'each message');


=== a repeated send is published once
--- then
my $socket = web_socket('u2');
my %ids;

Mojo::Promise->all(map {
    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'x' }, 'Idempotency-Key' => 'key')
        ->then(sub { $ids{ $_[0]->json->{id} }++ });
} 1 .. 10)->wait;

ok(wait_until { @{ $socket->{frames} } }, 'notified');
settle();
is_deeply($socket->{frames}, [map { qq({"message": "$_"}) } keys %ids],
          'once, of the stored message');


=== headers of the sender do not reach nchan
--- then
my $socket = web_socket('u2');
my $n = 0;

for my $header (
    ['If-None-Match' => '"x"'],
    ['If-Modified-Since' => 'Thu, 01 Jan 1970 00:00:01 GMT'],
    ['Last-Event-ID' => '1:0'],
    ['X-EventSource-Event' => 'x'],
    ['Accept' => 'text/event-stream'],
    ['Range' => 'bytes=0-1'],
    ['Expect' => '100-continue'],
    ['X-Accel-Redirect' => '/x'],
) {
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'x' }, @$header);

    is($res->code, 201, "$header->[0]: sent");
    $n++;
    ok(wait_until { @{ $socket->{frames} } == $n }, 'told')
        or last;
}


=== a socket without a session is rejected
--- then
is(web_socket('')->{code}, 403, 'rejected');


=== a socket with an unknown session is rejected
--- then
is(web_socket('nobody')->{code}, 403, 'rejected');


=== cross-origin sockets are rejected
--- then
my $own = url('');

is(web_socket('u1', headers => { $_->[0] => $_->[1] })->{code}, $_->[2],
   "$_->[0]: $_->[1]")
    for [Origin => $own, 101],
        [Origin => 'https://evil.example', 403],
        [Origin => 'null', 403],
        ['Sec-Fetch-Site' => 'same-origin', 101],
        ['Sec-Fetch-Site' => 'cross-site', 403],
        ['Sec-Fetch-Site' => 'same-site', 403];

is(event_source('u1', Origin => 'https://evil.example')->{code}, 403,
   'EventSource');


=== cross-origin sockets are rejected inside an "if" of the location
--- change
s{(location = /ws \{\n)}{$1if (\$http_x_name) { set \$x 1; }\n};
--- then
is(web_socket('u1', headers => { 'X-Name' => 'x',
                                 Origin => 'https://evil.example' })->{code},
   403, 'rejected');
is(web_socket('u1', headers => { 'X-Name' => 'x', Origin => url('') })->{code},
   101, 'accepted');


=== a bearer token opens a socket
--- then
is(web_socket('', headers => { Authorization => 'Bearer ' . token('u1') })
       ->{code}, 101, 'open');


=== chat_allowed_origins permits further origins
--- server
chat_allowed_origins https://app.example.org;
--- then
is(web_socket('u1', headers => { Origin => 'https://app.example.org' })
       ->{code}, 101, 'allowed');


=== clients cannot publish
--- then
my $socket = web_socket('u1');

for my $path ('/ws', '/chat/publish', '/chat/publish?id=1') {
    my $res = api('u1', POST => $path, { message => '1' });
    cmp_ok($res->code, '>=', 400, "POST $path") or diag($res->body);
}

is(api('u1', DELETE => '/ws')->code >= 400, 1,
   'clients cannot delete the channel');

my $id = send_message(u2 => 'u1');
ok(wait_until { @{ $socket->{frames} } }, 'notified');
is_deeply($socket->{frames}, [qq({"message": "$id"})],
          'only of the sent message');


=== data sent on a socket is ignored
--- then
my $socket = web_socket('u1');
my $other = web_socket('u2');

$socket->{tx}->send('{"message": "99"}');
settle();
is_deeply($other->{frames}, [], 'no notification');
is_deeply($socket->{frames}, [], 'no notification');


=== an EventSource is notified
--- then
my $stream = event_source('u2');
is($stream->{code}, 200, 'open');

my $id = send_message(u1 => 'u2');
ok(wait_until { $stream->{text} =~ /^data: \{"message": "$id"\}$/m },
   'notified')
    or diag($stream->{text});


=== a long poll is notified
--- then
my $poll = long_poll('u2');
is($poll->{closed}, undef, 'the poll waits');

my $id = send_message(u1 => 'u2');
ok(wait_until { $poll->{closed} }, 'the poll ends');
is($poll->{code}, 200, 'with status 200');
is($poll->{text}, qq({"message": "$id"}), 'the notification');

my $next = long_poll('u2');
is($next->{closed}, undef, 'the next poll waits for the next message');
$id = send_message(u1 => 'u2');
ok(wait_until { $next->{closed} }, 'the poll ends');
is($next->{text}, qq({"message": "$id"}), 'of the next message');


=== message ids invented by clients crash no worker
--- then
my @workers = worker_pids();

for my $round (1 .. 6) {
    my @open;

    for my $id ('1:0', '1700000000:0', '9999999999:5', '0:0', '-1:-1', 'x',
                '1:0,0,[0]', '')
    {
        push @open, event_source('u1', 'Last-Event-ID' => $id),
             event_source('u1', path => "/ws?last_event_id=$id"),
             web_socket('u1', path => "/ws?last_event_id=$id"),
             web_socket('u1', headers => { 'Last-Event-ID' => $id }),
             event_source('u1', 'If-None-Match' => $id,
                          'If-Modified-Since' =>
                              'Thu, 01 Jan 1970 00:00:01 GMT');
    }

    send_message(u2 => 'u1') if $round % 2;
    close_all(@open);
}

is_deeply([worker_pids()], \@workers, 'the workers are the same');

my $socket = web_socket('u1');
send_message(u2 => 'u1');
ok(wait_until { @{ $socket->{frames} } }, 'the next message is published');


=== a logout closes the sockets on every worker
--- given
add_session('u1', token => 'x' x 43);
--- then
my @sockets = map { web_socket('u1') } 1 .. 8;
my $stream = event_source('u1');
my $poll = long_poll('u1');
my $other = web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 });
my $peer = web_socket('u2');

is(join(' ', map { $_->{code} } @sockets), join(' ', (101) x 8), 'open');

api('u1', DELETE => '/api/v1/session/');

ok(wait_until { (grep { $_->{closed} } @sockets) == 8 },
   'all sockets are closed')
    or diag(scalar grep { $_->{closed} } @sockets);
ok(wait_until { $stream->{closed} }, 'the EventSource is closed');
ok(wait_until { $poll->{closed} }, 'the long poll is closed');
is($other->{closed}, undef, 'another session of the user stays open');
is($peer->{closed}, undef, "another user's socket stays open");
is(web_socket('u1')->{code}, 403, 'a new socket is rejected');

my $id = send_message(u2 => 'u1');
ok(wait_until { @{ $other->{frames} } }, 'the other session is notified');
is_deeply($_->{frames}, [], 'closed sockets are not') for @sockets;


=== a password change closes the sockets of other sessions
--- given
add_session('u1', token => 'x' x 43);
--- then
my @others = map {
    web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 })
} 1 .. 4;
my $mine = web_socket('u1');

api('u1', POST => '/api/v1/password/',
    { old_password => 'correct horse', new_password => 'battery staple' });

ok(wait_until { (grep { $_->{closed} } @others) == 4 }, 'they are closed');
is($mine->{closed}, undef, 'the socket of this session stays open');


=== an earlier password change does not close sockets of later sessions
--- then
api('u1', POST => '/api/v1/password/',
    { old_password => 'correct horse', new_password => 'battery staple' });
add_session('u1', token => 'x' x 43);

my @sockets = map {
    web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 })
} 1 .. 4;

settle(1.5);
is(scalar(grep { $_->{closed} } @sockets), 0, 'they stay open');


=== sockets of a session deleted by another host are closed
--- http
chat_session_check 1s;
--- then
my @sockets = map { web_socket('u1') } 1 .. 4;
my $peer = web_socket('u2');

sql('DELETE FROM chat_session WHERE user_id = 1');
ok(wait_until { (grep { $_->{closed} } @sockets) == 4 }, 'they are closed')
    or diag(scalar grep { $_->{closed} } @sockets);
is($peer->{closed}, undef, "another user's socket stays open");


=== sockets of an expired session are closed
--- http
chat_session_check 1s;
--- given
sql('DELETE FROM chat_session WHERE user_id = 1');
--- then
add_session('u1', lasts => 4);
my @sockets = map { web_socket('u1') } 1 .. 4;

is(join(' ', map { $_->{code} } @sockets), '101 101 101 101', 'open');
ok(wait_until { (grep { $_->{closed} } @sockets) == 4 }, 'they are closed')
    or diag(scalar grep { $_->{closed} } @sockets);


=== sockets can open and close while others send
--- then
my @workers = worker_pids();
my @open;

for my $n (1 .. 30) {
    push @open, web_socket('u' . ($n % 2 + 1));
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $n });
    close_all(shift @open) if $n % 3 == 0;
}

settle();
is_deeply([worker_pids()], \@workers, 'the workers are the same');

# nchan may still process the earlier sends

my $socket = web_socket('u2');
settle(0.5 * slowness());
my $id = send_message(u1 => 'u2');
my $told = sub { grep { $_ eq qq({"message": "$id"}) } @{ $socket->{frames} } };

ok(wait_until { $told->() }, 'notified');
settle();
is(scalar $told->(), 1, 'once');


=== 500 sends to two workers are published once
--- timeout: 60
--- then
storm(500);


=== 500 sends to four workers are published once
--- timeout: 60
--- workers: 4
--- then
storm(500);


=== 60 sends to one worker are published once
--- workers: 1
--- then
storm(60);
