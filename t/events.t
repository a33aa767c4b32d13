#
# Copyright (C) ngx_chat contributors
#

# /events: typed events by WebSocket, EventSource and long-polling

use JSON::PP qw(decode_json);
use Test::Nginx::Socket 'no_plan';
use Chat;

sub post {
    my ($from, $to, $body) = @_;

    return api($from, POST => '/api/v1/message/',
               { recipient => $to, body => $body // 'x' });
}

sub events {
    return web_socket($_[0], path => '/events');
}

# seen N, SOCKET: its events, once there are N

sub seen {
    my ($n, $socket) = @_;

    wait_until { @{ $socket->{frames} } >= $n };
    settle(0.2);

    return [map { decode_json($_) } @{ $socket->{frames} }];
}

# t/presence.t has these events
add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http => ($block->http // '') . "chat_presence off;\n");
});

run_tests();


__DATA__

=== a message is an event for both users, and a hint on /ws
--- then
my @sockets = map { events($_) } qw(u1 u2) x 6;
my @other = events('u3');
my @hints = map { web_socket($_) } qw(u1 u2);

my $message = post('u1', 'u2', "\x{1f600} \"hello\"")->json;

for my $socket (@sockets) {
    is_deeply(seen(1, $socket), [{ type => 'message', message => $message }],
              'the complete message');
}

is_deeply(seen(1, $_), [{ message => "$message->{id}" }], 'the hint')
    for @hints;
is_deeply(seen(0, $_), [], 'other users get no event') for @other;


=== a long message is sent completely
--- then
my @sockets = map { events($_) } qw(u1 u2) x 6;

# with one byte per character in JSON, and with six
my @messages = map { post('u1', 'u2', $_ x 4000)->json } 'x', "\x{1}";
my %events = map { $_->{id} => { type => 'message', message => $_ } } @messages;

for my $socket (@sockets) {
    my %got = map { ($_->{message}{id} // '') => $_ } @{ seen(2, $socket) };

    is_deeply(\%got, \%events, 'the complete messages');
}


=== a message to oneself is sent once
--- then
my $socket = events('u1');
my $message = post('u1', 'u1')->json;

is_deeply(seen(1, $socket), [{ type => 'message', message => $message }],
          'once');


=== an EventSource and a long poll get events
--- then
my $source = event_source('u2', path => '/events');
my $poll = long_poll('u2', path => '/events');
settle();
my $id = post('u1', 'u2')->json->{id};

ok(wait_until { $source->{text} =~ /^data: \{"type":"message".*"id":$id,/m },
   'EventSource');
ok(wait_until { $poll->{text} =~ /\A\{"type":"message".*"id":$id,/ }, 'poll');


=== an edited message is an event, a deleted one too, without hints
--- then
my $id = post('u1', 'u2')->json->{id};
my @sockets = map { events($_) } qw(u1 u2) x 4;
my $hints = web_socket('u2');
my $path = "/api/v1/message/$id/";

my $message = api('u1', PATCH => $path, { body => 'better' })->json;
is($message->{body}, 'better', 'edited');
is_deeply(seen(1, $_), [{ type => 'edited', message => $message }],
          'the message as it is now') for @sockets;

$message = api('u1', PATCH => $path, { body => 'x' x 4000 })->json;
is_deeply(seen(2, $_)->[1], { type => 'edited', message => $message },
          'also if it is long') for @sockets;

is(api('u1', DELETE => $path)->code, 204, 'deleted');
is_deeply(seen(3, $_)->[2], { type => 'deleted', message_id => $id,
                              user => 'u1', recipient => 'u2' },
          'its id and people') for @sockets;
is_deeply(seen(0, $hints), [], 'no hint');


=== a read mark is an event for both users
--- then
my $id = post('u1', 'u2')->json->{id};
my @sockets = map { events($_) } qw(u1 u2);
my $hints = web_socket('u1');

is(api('u2', POST => '/api/v1/conversation/u1/read/', { id => $id })->code, 200,
   'marked');

is_deeply(seen(1, $_), [{ type => 'read', reader => 'u2', sender => 'u1',
                          id => $id }], 'with the last id') for @sockets;
is_deeply(seen(0, $hints), [], 'no hint');


=== a read mark without a message is no event
--- then
my ($socket) = events('u1');

is(api('u4', POST => '/api/v1/conversation/u1/read/', { id => 1 })->body,
   '{"unread":0,"read_id":0}', 'of a stranger');
is_deeply(seen(0, $socket), [], 'no event');


=== typing is an event for the other person, at most once a second
--- then
my @sockets = map { events($_) } qw(u2 u2);
my $own = events('u1');

is(api('u1', POST => '/api/v1/conversation/u2/typing/')->code, 204, 'typing')
    for 1 .. 5;
is_deeply(seen(1, $_), [{ type => 'typing', user => 'u1' }], 'one event')
    for @sockets;
settle(1);
is(api('u1', POST => '/api/v1/conversation/u2/typing/')->code, 204, 'again');
is(scalar @{ seen(2, $_) }, 2, 'another event') for @sockets;
is_deeply(seen(0, $own), [], 'no event for oneself');


=== typing of other users does not repeat an event
--- given
sql("INSERT INTO chat_user (id, username, password) VALUES (211, 'vv', '!')");
--- workers: 1
--- then
my ($socket) = events('u2');

# these pairs have the same hash modulo 256
my $n = promptly(sub {
    settle(1.1);
    my $before = @{ $socket->{frames} };

    for (['u1', 'u2'], ['u3', 'vv'], ['u1', 'u2'], ['u3', 'vv'], ['u1', 'u2']) {
        my ($who, $name) = @$_;

        is(api($who, POST => "/api/v1/conversation/$name/typing/")->code, 204,
           "$who is typing");
    }

    return @{ seen($before + 1, $socket) } - $before;
}, 2.2);
is($n, 1, 'one event');


=== typing to nobody, to oneself, and without a session
--- then
is(api('u1', POST => '/api/v1/conversation/nobody/typing/')->code, 404,
   'unknown');
is(api('u1', POST => '/api/v1/conversation/u1/typing/')->code, 204, 'oneself');
is(api('', POST => '/api/v1/conversation/u1/typing/')->code, 403,
   'unauthenticated');
is(api('u1', GET => '/api/v1/conversation/u2/typing/')->code, 405, 'GET');
is(api('u1', POST => '/api/v1/conversation/u2/typing/',
       { x => 'x' x 70000 })->code, 413, 'too large');


=== events need the session and origin of /ws
--- then
is(events('')->{code}, 403, 'without a session');
is(web_socket('u1', path => '/events',
              headers => { Origin => 'http://evil.example' })->{code}, 403,
   'cross-origin');

my $socket = events('u1');
is(api('u1', DELETE => '/api/v1/session/')->code, 204, 'logout');
ok(wait_until { $socket->{closed} }, 'the socket is closed');


=== a group that nchan does not have is rejected
--- change
s/chat_subscriber +on;/chat_subscriber on group=other;/;
--- must_die
--- suppress_stderr
--- error_log
"nchan_channel_group" of location "/ws" is "chat", but "chat_subscriber" has "group=other"
