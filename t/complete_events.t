#
# Copyright (C) ngx_chat contributors
#

# /events and typing as the contract describes them: exact texts on each kind of
# connection, and no text for anybody else; t/presence.t tests presence

use JSON::PP qw(decode_json);
use Mojo::Util qw(encode url_escape);
use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;
use Chat::Changes;
use Chat::Wire;

# events USER, HEADERS: a WebSocket at /events

sub events {
    my ($who, %headers) = @_;

    return web_socket($who, path => '/events', headers => \%headers);
}

# plain TEXT: without times

sub plain {
    return $_[0] =~ s/("(?:timestamp|edited_at)":)"[^"]+"/$1"T"/gr;
}

# frames SOCKET: its texts without times

sub frames {
    return [map { plain($_) } @{ $_[0]{frames} }];
}

# received N, SOCKET: waits for N texts and a moment longer

sub received {
    my ($n, $socket) = @_;

    wait_until { @{ $socket->{frames} } >= $n };
    settle(0.2);

    return frames($socket);
}

sub typing {
    my ($who, $name, @more) = @_;

    return api($who, POST => "/api/v1/conversation/$name/typing/", @more);
}

sub mark {
    my ($who, $name, $id) = @_;

    return api($who, POST => "/api/v1/conversation/$name/read/",
               { id => $id });
}

# user NAME, ID: adds a user with a session

sub user {
    my ($name, $id) = @_;

    sql('INSERT INTO chat_user (id, username, password, name_unchecked)
         SELECT ?, ?, password, TRUE FROM chat_user WHERE id = 1', $id, $name);
    sql('INSERT INTO chat_session (token_hash, user_id, created_at, expires_at)
         SELECT UNHEX(SHA2(?, 256)), ?, NOW(), NOW() + INTERVAL 1 DAY',
        token("id$id"), $id);
}

# all_events WORKERS: each type of event, for each kind of connection

our @Expected = (
    '{"type":"message","message":{"id":1,"user":"u1","recipient":"u2",'
    . '"timestamp":"T","body":"one"}}',
    '{"type":"message","message":{"id":2,"user":"u2","recipient":"u1",'
    . '"timestamp":"T","body":"two","reply_to":1}}',
    '{"type":"edited","message":{"id":2,"user":"u2","recipient":"u1",'
    . '"timestamp":"T","body":"2","reply_to":1,"edited_at":"T"}}',
    '{"type":"read","reader":"u2","sender":"u1","id":1}',
    '{"type":"deleted","message_id":2,"user":"u2","recipient":"u1"}',
    '{"type":"message","message":{"id":5,"user":"u1","recipient":"u2",'
    . '"timestamp":"T","body":"three"}}',
);

sub all_events {
    my @both = map { my $who = $_; map { events($who) } 1 .. 4 } qw(u1 u2);
    my @third = map { events($_) } qw(u3 u4);
    my @hints = map { web_socket($_) } qw(u1 u2 u3);
    my @sources = map { event_source($_, path => '/events') } qw(u1 u2 u3);

    my @steps = (
        sub { send_to('u1', 'u2', 'one') },
        sub { send_to('u2', 'u1', 'two', reply_to => 1) },
        sub { edit('u2', 2, '2') },
        sub { mark('u2', 'u1', 1) },
        sub { remove('u2', 2) },
        sub { send_to('u1', 'u2', 'three') },
    );

    # the next step is another worker's, so the order is that of the requests
    for my $n (1 .. @steps) {
        cmp_ok($steps[$n - 1]->()->code, '<', 300, "step $n");
        is_deeply(received($n, $_), [@Expected[0 .. $n - 1]], 'is an event')
            for $both[0], $both[4];
    }

    is_deeply(frames($_), \@Expected, 'on each socket') for @both;
    is_deeply(frames($_), [], 'and no other one') for @third;
    is_deeply(frames($hints[$_]), [$_ == 2 ? () : map { "{\"message\": \"$_\"}" }
                                                      1, 2, 5],
              '/ws has ids only') for 0 .. 2;

    wait_until { $sources[$_]{text} =~ /three/ } for 0, 1;
    is_deeply([map { plain($_) } $sources[$_]{text} =~ /^data: (.*?)\r?$/mg],
              $_ == 2 ? [] : \@Expected, 'EventSource') for 0 .. 2;
    is(exits(), '', 'no worker has died');
    close_all(@both, @third, @hints, @sources);
}

run_tests();


__DATA__

=== each type of event, two workers
--- http
chat_presence off;
--- then
all_events();


=== each type of event, four workers
--- http
chat_presence off;
--- workers: 4
--- then
all_events();


=== a long poll ends with one event of each type
--- http
chat_presence off;
--- given
new_message(u1 => 'u2', $_) for 'one', 'two';
--- then
my @steps = (
    [sub { send_to('u1', 'u2', 'three') }, 'u2', qr/^\{"type":"message",/],
    [sub { edit('u1', 1, 'new') }, 'u1', qr/^\{"type":"edited","message":\{"id":1,/],
    [sub { remove('u1', 2) }, 'u2',
     qr/^\{"type":"deleted","message_id":2,"user":"u1","recipient":"u2"\}$/],
    [sub { mark('u2', 'u1', 1) }, 'u1',
     qr/^\{"type":"read","reader":"u2","sender":"u1","id":1\}$/],
    [sub { typing('u1', 'u2') }, 'u2', qr/^\{"type":"typing","user":"u1"\}$/],
);

for my $step (@steps) {
    my $poll = long_poll($step->[1], path => '/events');
    my $other = long_poll('u3', path => '/events');

    cmp_ok($step->[0]->()->code, '<', 300, 'a request');
    ok(wait_until { $poll->{closed} }, 'ends the poll');
    is($poll->{code}, 200, 'with 200');
    like($poll->{text}, $step->[2], 'and the event');
    ok(!$other->{closed}, 'but no poll of another user');
    close_all($other);
}


=== requests without effect cause no event
--- http
chat_presence off;
--- given
new_message(u1 => 'u2', 'one');
new_message(u1 => 'u2', 'two');
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6) - INTERVAL 2 DAY
     WHERE id = 2');
--- then
my @sockets = map { events($_) } qw(u1 u2 u3);
my @codes = (
    edit('u1', 1, 'one'), edit('u1', 1, ''), edit('u2', 1, 'x'),
    edit('u3', 1, 'x'), edit('u1', 2, 'x'), edit('', 1, 'x'),
    edit('u1', 1, 'x', 'X-Chat-User' => 'u2'),
    edit('u1', 1, 'x', Origin => 'https://evil.example'),
    remove('u2', 1), remove('u3', 1), remove('u1', 2), remove('u1', 99),
    send_to('u1', 'u2', ''), send_to('u1', 'u2', 'x', reply_to => 99),
    send_to('u1', 'nobody', 'x'),
    mark('u2', 'nobody', 1), mark('u2', 'u1', 'x'),
    typing('u1', 'nobody'), typing('u1', 'u2', undef, 'X-Chat-User' => 'u2'),
    typing('u1', 'u2', undef, Origin => 'https://evil.example'),
    typing('', 'u2'), typing('u1', 'u1'),
);

is(join(' ', map { $_->code } @codes),
   '200 400 403 404 403 403 409 403 403 404 403 404 400 400 404 404 400 404 409'
   . ' 403 403 204', 'statuses');
settle(0.5);
is_deeply(frames($_), [], 'no event') for @sockets;

is(send_to('u1', 'u2', 'k', client_id => 'k')->code, $_, 'a repeated send')
    for 201, 200, 200;
is(edit('u1', 3, 'e')->code, 200, 'a repeated edit') for 1 .. 3;
is(remove('u1', 3)->code, $_, 'a repeated deletion') for 204, 404, 404;

for (@sockets[0, 1]) {
    received(3, $_);
    is(join(' ', map { decode_json($_)->{type} } @{ $_->{frames} }),
       'message edited deleted', 'one event each');
}

is_deeply(frames($sockets[2]), [], 'none for others');


=== notes to oneself cause one event each
--- http
chat_presence off;
--- then
my @sockets = map { events('u1') } 1 .. 4;
my $hint = web_socket('u1');

my $id = send_to('u1', 'u1', 'n')->json->{id};
edit('u1', $id, 'm');
mark('u1', 'u1', $id);
remove('u1', $id);

for (@sockets) {
    my @types = map { decode_json($_)->{type} } @{ received(4, $_) };
    my $types = join ' ', grep { $_ ne 'read' } @types;

    is($types, 'message edited deleted', 'once');
    cmp_ok(scalar(grep { $_ eq 'read' } @types), '<=', 1, 'at most one mark');
}

is_deeply(frames($hint), ["{\"message\": \"$id\"}"], 'one hint');


=== texts of any characters are one line of valid JSON
--- http
chat_presence off;
--- then
my @texts = ("a\nb\r\n\r\ndata: c", "\x{2028}\x{2029}\x{85}x", '"\\/</script>',
             "\x{1f600}\x{1f468}\x{200d}\x{1f469}", "\x01\x1f\x7f",
             "\x{feff}x\x{10ffff}", '%s%n{}[]', '{"type":"resync"}');
my $socket = events('u2');
my $source = event_source('u2', path => '/events');
my @messages = map { send_to('u1', 'u2', $_)->json } @texts;

received(scalar @texts, $socket);
is_deeply([map { decode_json($_) } @{ $socket->{frames} }],
          [map { { type => 'message', message => $_ } } @messages],
          'WebSocket');
is_deeply([map { $_->{body} } @messages[0, 2, 3, 6, 7]], [@texts[0, 2, 3, 6, 7]],
          'the texts');

wait_until { $source->{text} =~ /resync.*\n/ };
is_deeply([map { decode_json($_)->{message} }
               $source->{text} =~ /^data: (.*?)\r?$/mg], \@messages,
          'EventSource');


=== the longest messages are complete
--- http
chat_presence off;
--- then
for my $char ('x', '"', "\x{e9}", "\x{20ac}", "\x{1f600}") {
    my @sockets = map { events($_) } qw(u1 u2) x 3;
    my $message = send_to('u1', 'u2', 'a' . $char x 3998 . 'a')->json;

    is(length $message->{body}, 4000, '4000 characters');

    for (@sockets) {
        received(1, $_);
        is_deeply([map { decode_json($_) } @{ $_->{frames} }],
                  [{ type => 'message', message => $message }],
                  sprintf 'U+%04X', ord $char);
    }

    close_all(@sockets);
}


=== names of any characters in events and paths
--- http
chat_presence off;
--- given
user("\x{1f600}" x 150, 5);
user('a"b\\c', 6);
user('Zoë', 7);
user('a/read', 8);
user('100% + ?#&', 9);
user('typing', 10);
--- then
my $names = { 5 => "\x{1f600}" x 150, 6 => 'a"b\\c', 7 => 'Zoë', 8 => 'a/read',
              9 => '100% + ?#&', 10 => 'typing' };

for my $id (5 .. 10) {
    my $name = $names->{$id};
    my $path = url_escape(encode('UTF-8', $name));
    my ($own, $other) = map { events($_) } "id$id", 'u1';

    my $message = send_to('u1', $name, 'x')->json;

    is($message->{recipient}, $name, 'a message');
    is(typing('u1', $path)->code, 204, 'typing');
    is(typing("id$id", 'u1')->code, 204, 'and back');
    is(mark("id$id", 'u1', $message->{id})->code, 200, 'a read mark');
    is(send_to("id$id", 'u1', 'y')->code, 201, 'a response');
    is(mark('u1', $path, 99)->code, 200, 'is read');
    is(remove('u1', $message->{id})->code, 204, 'a deletion');
    is(api('u1', PUT => "/api/v1/block/$path")->code, 204, 'a block');
    is(api('u1', GET => '/api/v1/block/')->json->{results}[0]{username}, $name,
       'of this user');
    is(api('u1', DELETE => "/api/v1/block/$path/")->code, 204, 'and its end');

    for (received(6, $own), received(6, $other)) {
        my @events = map { decode_json($_) } @$_;
        my %seen = map { $_->{type} => $_ } @events;

        ok($seen{message}, 'message');
        is($seen{message}{message}{$seen{message}{message}{user} eq 'u1'
           ? 'recipient' : 'user'}, $name, 'with the name');
        is_deeply($seen{deleted},
                  { type => 'deleted', message_id => $message->{id},
                    user => 'u1', recipient => $name }, 'deleted');
    }

    my @typing = grep { $_->{type} eq 'typing' }
                 map { decode_json($_) } @{ $other->{frames} };

    is_deeply(\@typing, [{ type => 'typing', user => $name }], 'typing');
    close_all($own, $other);
}


=== sessions and origins are handled as for /ws
--- http
chat_presence off;
--- then
my $handshake = sub {
    my ($path, %option) = @_;

    my $answer = talk(wire($option{method} // 'GET', $path, as => $option{as},
        headers => ['Connection: Upgrade', 'Upgrade: websocket',
                    'Sec-WebSocket-Version: 13',
                    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
                    @{ $option{headers} // [] }]),
        head => 1);

    return join "\n", $answer->{code}, grep { !/^(Date|Server)/ }
                                            split /\r\n/, $answer->{head};
};

my @cases = (
    [as => 'u1'], [as => ''], [as => 'nobody'],
    [as => 'u1', headers => ['Origin: https://evil.example']],
    [as => 'u1', headers => ['Origin: http://localhost']],
    [as => 'u1', headers => ['Origin: null']],
    [as => 'u1', headers => ['Sec-Fetch-Site: cross-site']],
    [headers => ['Authorization: Bearer ' . token('u1')]],
    [headers => ['Authorization: Bearer x']],
);

is($handshake->('/events', @$_), $handshake->('/ws', @$_), "@$_") for @cases;
is($handshake->('/events?a=1&target=u2', as => 'u1'),
   $handshake->('/ws', as => 'u1'), 'the query string is ignored');

for my $method (qw(POST PUT DELETE PATCH)) {
    my ($ws, $events) = map {
        talk(wire($method, $_, as => 'u1'), method => $method, seconds => 3)
            ->{code};
    } '/ws', '/events';

    is($events, $ws, $method);
    cmp_ok($events, '>=', 400, 'is rejected');
}

my @sockets = map { events('u1') } 1 .. 4;

$sockets[0]{tx}->send('x');
ok(wait_until { $sockets[0]{closed} }, 'a socket that sends data is closed');
settle();
ok(!$sockets[1]{closed}, 'no other one');
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
is(event_source('u2', path => '/events')->{code}, 200, 'EventSource');
is(event_source('', path => '/events')->{code}, 403, 'without a session');


=== typing: methods, bodies and callers
--- http
chat_presence off;
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 4');
--- then
my $to = sub {
    my ($method, $path, %option) = @_;
    my $answer = talk(wire($method, "/api/v1/conversation/$path", as => 'u1',
                           %option), method => $method);

    return join ' ', $answer->{code}, $answer->{head} =~ /^Allow: (.*)\r$/m,
                length $answer->{body} ? $answer->{body} : ();
};
my $rows = sub {
    return join ' ', map { scalar sql("SELECT COUNT(*) FROM $_") }
                         qw(chat_message chat_conversation chat_writing);
};
my $before = $rows->();

is($to->(POST => $_), '204 POST, OPTIONS', $_) for 'u2/typing/', 'u2/typing',
    'U2/typing', '%752/typing/';
is($to->(POST => 'u2/typing/', @$_), '204 POST, OPTIONS', 'any body')
    for [json => '{}'], [json => '{'], [form => 'x=y'], [json => ''];
is($to->($_ => 'u2/typing/'),
   "405 POST, OPTIONS {\"detail\":\"Method \\\"$_\\\" not allowed.\"}", $_)
    for qw(GET PUT PATCH DELETE);
is($to->(HEAD => 'u2/typing/'), '405 POST, OPTIONS', 'HEAD');
like($to->(OPTIONS => 'u2/typing'), qr/^200 POST, OPTIONS \{"name":/, 'OPTIONS');
is($to->(POST => $_), '404 POST, OPTIONS {"detail":"Not found."}', $_)
    for 'nobody/typing/', 'u4/typing/', 'u2%20x/typing/';
is($to->(POST => $_), '404 {"detail":"Not found."}', $_)
    for 'typing/', '/typing/', 'u2/typing/x', 'u2/typingx';
is($rows->(), $before, 'nothing is stored');


=== typing: repeats, four workers
--- http
chat_presence off;
--- workers: 4
--- then
my %sockets = map { my $who = $_; ($who => [map { events($who) } 1 .. 3]) }
                  qw(u1 u2 u3);
my ($left, %codes) = (24);

# the same second for all workers and pairs
for my $n (1 .. 8) {
    request(@$_[0], POST => "/api/v1/conversation/@$_[1]/typing/")
        ->then(sub { $codes{ $_[0]->code }++; $left-- })
        for ['u1', 'u2'], ['u2', 'u1'], ['u3', 'u2'];
}

ok(wait_until { $left == 0 }, 'all requests end');
is_deeply(\%codes, { 204 => 24 }, 'with 204');
is_deeply([sort @{ received(2, $_) }], ['{"type":"typing","user":"u1"}',
                                        '{"type":"typing","user":"u3"}'],
          'one event of each user') for @{ $sockets{u2} };
is_deeply(received(1, $_), ['{"type":"typing","user":"u2"}'],
          'and direction') for @{ $sockets{u1} };
is_deeply(frames($_), [], 'none for others') for @{ $sockets{u3} };


=== typing: no query if the zone knows both users
--- http
chat_presence off;
--- then
my $queries = sub {
    my $all = api('u1', GET => '/chat/status')->json->{queries};

    return { map { ($_ => $all->{$_}{seconds}{count} // 0) } keys %$all };
};

# both workers share what the first request has read
is(typing('u1', 'u2')->code, 204, 'typing');

my $before = $queries->();

for (1 .. 3) {
    settle(1.1);
    is(typing('u1', 'u2')->code, 204, 'again') for 1 .. 4;
}

is_deeply($queries->(), $before, 'no query');


=== a read mark is an event with a message of the sender
--- http
chat_presence off;
--- given
new_message(u1 => 'u2', 'one');
new_message(u2 => 'u1', 'two');
new_message(u1 => 'u3', 'three');
--- then
my @sockets = map { events($_) } qw(u1 u2 u3 u4);

is(mark('u2', 'u1', 3)->code, 200, 'up to a message of others');
is_deeply(received(1, $_), ['{"type":"read","reader":"u2","sender":"u1","id":2}'],
          'the last one of the two') for @sockets[0, 1];
is_deeply(frames($_), [], 'none for others') for @sockets[2, 3];
