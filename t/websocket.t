#
# Copyright (C) ngx_chat contributors
#

# who hears of a message: WebSocket, EventSource, long-polling

use Test::Nginx::Socket 'no_plan';
use Chat;

# send_message FROM, TO, [BODY]: its id

sub send_message {
    my ($from, $to, $body) = @_;

    my $res = api($from, POST => '/api/v1/message/',
                  { recipient => $to, body => $body // 'x' });
    die 'not sent: ' . $res->code . "\n" unless $res->code == 201;

    return $res->json->{id};
}

# storm N: N sends from six connections; each 201 is to be stored once, and
# told once to each side

sub storm {
    my ($total) = @_;

    my %socket = map { ($_ => [web_socket($_), web_socket($_)]) } qw(u1 u2 u3);
    is(join(' ', map { $_->{code} } map { @$_ } values %socket),
       join(' ', (101) x 6), 'two sockets each');

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

    ok(wait_until { $answered == $total }, "all $total are answered")
        or diag($answered);
    is("@bad", '', 'by 201');
    is(scalar sql('SELECT COUNT(*) FROM chat_message'), $total,
       'each is stored once');

    for my $who (sort keys %socket) {
        my $wanted = join "\n", map { qq({"message": "$_"}) }
                                    sort { $a <=> $b } @{ $expected{$who} };

        for my $socket (@{ $socket{$who} }) {
            wait_until { @{ $socket->{frames} } >= @{ $expected{$who} } };

            # across workers the order is not promised
            my @frames = sort { ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] }
                              @{ $socket->{frames} };
            is(join("\n", @frames), $wanted, "$who is told once of each");
        }
    }
}

run_tests();


__DATA__

=== both sides are told once, on all their sockets, and nobody else
--- then
my @mine = map { web_socket('u1') } 1 .. 2;
my @theirs = map { web_socket('u2') } 1 .. 2;
my $other = web_socket('u3');

is(join(' ', map { $_->{code} } @mine, @theirs, $other),
   '101 101 101 101 101', 'open');

my $id = send_message(u1 => 'u2');

for my $socket (@mine, @theirs) {
    ok(wait_until { @{ $socket->{frames} } }, 'told');
}

settle();
is_deeply($_->{frames}, [qq({"message": "$id"})], 'to the letter, once')
    for @mine, @theirs;
is_deeply($other->{frames}, [], 'not the other one');


=== by form, as jQuery does
--- then
my $socket = web_socket('u2', path => '/ws?session_key=x');
is($socket->{code}, 101, 'open');

my $ua = Mojo::UserAgent->new;
my $id = $ua->post(url('/api/v1/message/'),
                   { Cookie => 'sessionid=' . token('u1'), Origin => url('') },
                   form => { recipient => 'u2', body => 'x' })
            ->res->json->{id};

ok(wait_until { @{ $socket->{frames} } }, 'told');
is_deeply($socket->{frames}, [qq({"message": "$id"})], 'to the letter');


=== a message to oneself: once
--- then
my $socket = web_socket('u1');
my $id = send_message(u1 => 'u1');

ok(wait_until { @{ $socket->{frames} } }, 'told');
settle();
is_deeply($socket->{frames}, [qq({"message": "$id"})], 'once');


=== nothing is replayed on connecting
--- then
my $early = web_socket('u2');
send_message(u1 => 'u2');
ok(wait_until { @{ $early->{frames} } }, 'told');

my @late = map { web_socket('u2') } 1 .. 4;
settle();
is_deeply($_->{frames}, [], 'nothing') for @late;

my $id = send_message(u1 => 'u2');

for my $socket (@late) {
    ok(wait_until { @{ $socket->{frames} } }, 'told');
    is_deeply($socket->{frames}, [qq({"message": "$id"})], 'of the next');
}


=== what is told can be fetched at once
--- then
my $socket = web_socket('u2');
my @ids;

for my $n (1 .. 20) {
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => $n });
    wait_until { @{ $socket->{frames} } == $n } or last;

    my ($id) = $socket->{frames}[-1] =~ /(\d+)/;
    push @ids, api('u2', GET => "/api/v1/message/$id/")->json->{body};
}

is("@ids", join(' ', 1 .. 20), 'each');


=== a repeated send is told once
--- then
my $socket = web_socket('u2');
my %ids;

Mojo::Promise->all(map {
    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'x' }, 'Idempotency-Key' => 'key')
        ->then(sub { $ids{ $_[0]->json->{id} }++ });
} 1 .. 10)->wait;

ok(wait_until { @{ $socket->{frames} } }, 'told');
settle();
is_deeply($socket->{frames}, [map { qq({"message": "$_"}) } keys %ids],
          'once, of the one that is stored');


=== the headers of the sender do not reach nchan
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


=== no session
--- then
is(web_socket('')->{code}, 403, 'refused');


=== a session nobody has
--- then
is(web_socket('nobody')->{code}, 403, 'refused');


=== Origin and Sec-Fetch-Site
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


=== Origin, where an "if" of the location is true
--- change
s{(location = /ws \{\n)}{$1if (\$http_x_name) { set \$x 1; }\n};
--- then
is(web_socket('u1', headers => { 'X-Name' => 'x',
                                 Origin => 'https://evil.example' })->{code},
   403, 'refused');
is(web_socket('u1', headers => { 'X-Name' => 'x', Origin => url('') })->{code},
   101, 'taken');


=== a bearer token opens a socket
--- then
is(web_socket('', headers => { Authorization => 'Bearer ' . token('u1') })
       ->{code}, 101, 'open');


=== chat_allowed_origins
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

is(api('u1', DELETE => '/ws')->code >= 400, 1, 'nor delete the channel');

my $id = send_message(u2 => 'u1');
ok(wait_until { @{ $socket->{frames} } }, 'told');
is_deeply($socket->{frames}, [qq({"message": "$id"})], 'of what was sent alone');


=== what a socket sends goes nowhere
--- then
my $socket = web_socket('u1');
my $other = web_socket('u2');

$socket->{tx}->send('{"message": "99"}');
settle();
is_deeply($other->{frames}, [], 'nothing');
is_deeply($socket->{frames}, [], 'nothing');


=== EventSource
--- then
my $stream = event_source('u2');
is($stream->{code}, 200, 'open');

my $id = send_message(u1 => 'u2');
ok(wait_until { $stream->{text} =~ /^data: \{"message": "$id"\}$/m }, 'told')
    or diag($stream->{text});


=== long-polling
--- then
my $poll = long_poll('u2');
is($poll->{closed}, undef, 'waits');

my $id = send_message(u1 => 'u2');
ok(wait_until { $poll->{closed} }, 'answered');
is($poll->{code}, 200, 'well');
is($poll->{text}, qq({"message": "$id"}), 'to the letter');

my $next = long_poll('u2');
is($next->{closed}, undef, 'the next one waits for the next message');
$id = send_message(u1 => 'u2');
ok(wait_until { $next->{closed} }, 'answered');
is($next->{text}, qq({"message": "$id"}), 'of the next');


=== ids that clients make up crash nobody
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
ok(wait_until { @{ $socket->{frames} } }, 'and tell of messages');


=== logging out closes the sockets, on every worker
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

ok(wait_until { (grep { $_->{closed} } @sockets) == 8 }, 'all are closed')
    or diag(scalar grep { $_->{closed} } @sockets);
ok(wait_until { $stream->{closed} }, 'the EventSource as well');
ok(wait_until { $poll->{closed} }, 'and the long poll');
is($other->{closed}, undef, 'another session of the person is not');
is($peer->{closed}, undef, "nor another person's");
is(web_socket('u1')->{code}, 403, 'no way back');

my $id = send_message(u2 => 'u1');
ok(wait_until { @{ $other->{frames} } }, 'the other session is told');
is_deeply($_->{frames}, [], 'the closed ones are not') for @sockets;


=== a new password closes the sockets of other sessions
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
is($mine->{closed}, undef, 'this one is not');


=== a new password of the past closes no socket of a later session
--- then
api('u1', POST => '/api/v1/password/',
    { old_password => 'correct horse', new_password => 'battery staple' });
add_session('u1', token => 'x' x 43);

my @sockets = map {
    web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 })
} 1 .. 4;

settle(1.5);
is(scalar(grep { $_->{closed} } @sockets), 0, 'they stay open');


=== a session that is ended on another host
--- http
chat_session_check 1s;
--- then
my @sockets = map { web_socket('u1') } 1 .. 4;
my $peer = web_socket('u2');

sql('DELETE FROM chat_session WHERE user_id = 1');
ok(wait_until { (grep { $_->{closed} } @sockets) == 4 }, 'they are closed')
    or diag(scalar grep { $_->{closed} } @sockets);
is($peer->{closed}, undef, "another person's is not");


=== a session that expires
--- http
chat_session_check 1s;
--- given
sql('DELETE FROM chat_session WHERE user_id = 1');
add_session('u1', lasts => 2);
--- then
my @sockets = map { web_socket('u1') } 1 .. 4;

is(join(' ', map { $_->{code} } @sockets), '101 101 101 101', 'open');
ok(wait_until { (grep { $_->{closed} } @sockets) == 4 }, 'they are closed')
    or diag(scalar grep { $_->{closed} } @sockets);


=== sockets that come and go while others send
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

# nchan may still be busy with those before

my $socket = web_socket('u2');
my $id = send_message(u1 => 'u2');
my $told = sub { grep { $_ eq qq({"message": "$id"}) } @{ $socket->{frames} } };

ok(wait_until { $told->() }, 'told');
settle();
is(scalar $told->(), 1, 'once');


=== 500 sends, two workers
--- timeout: 60
--- then
storm(500);


=== 500 sends, four workers
--- timeout: 60
--- workers: 4
--- then
storm(500);


=== one worker
--- workers: 1
--- then
storm(60);
