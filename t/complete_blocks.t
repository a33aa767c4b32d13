#
# Copyright (C) ngx_chat contributors
#

# blocking and the expected user as the contract describes them

use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;
use Chat::Changes;
use Chat::Wire;

our $Refused = '403 {"detail":"This person does not accept messages from you."}';
our $Own = '403 {"detail":"You have blocked this person."}';
our $Other = '409 {"detail":"You are logged in as another user."}';

# outcome USER, METHOD => PATH, OPTIONS of wire(): code and body

sub outcome {
    my ($who, $method, $path, %option) = @_;

    my $answer = talk(wire($method, "/api/v1/$path", as => $who, %option),
                      method => $method);

    return join ' ', $answer->{code}, length $answer->{body} ? $answer->{body}
                                                             : ();
}

# allow USER, METHOD => PATH: code and Allow

sub allow {
    my ($who, $method, $path) = @_;

    my $answer = talk(wire($method, "/api/v1/$path", as => $who),
                      method => $method);

    return join ' ', $answer->{code}, $answer->{head} =~ /^Allow: (.*)\r$/m;
}

sub send_raw {
    my ($from, $to, %option) = @_;

    return outcome($from, POST => 'message/',
                   json => qq({"recipient":"$to","body":"x"}), %option);
}

# state: all that requests of the tests may change

sub state {
    return join ' | ', map { join ' ', map { $_ // '-' } sql($_) }
        'SELECT id, body, kind, edited_at FROM chat_message ORDER BY id',
        'SELECT blocker_id, blocked_id FROM chat_block ORDER BY 1, 2',
        'SELECT lo_id, hi_id, lo_read_id, hi_read_id FROM chat_conversation
         ORDER BY 1, 2',
        'SELECT COUNT(*) FROM chat_session',
        'SELECT password FROM chat_user ORDER BY id';
}

# both_ways: a block is in effect on each worker, and in each format

sub both_ways {
    my @sockets = map { web_socket($_, path => '/events') } qw(u1 u2) x 4;
    my @hints = map { web_socket($_) } qw(u1 u2);

    for my $round (1 .. 4) {
        is(outcome('u2', PUT => 'block/u1'), '204', 'blocked');

        # the next connections are accepted by any worker
        is(send_raw('u1', 'u2'), $Refused, 'to the blocker') for 1 .. 6;
        is(send_raw('u2', 'u1'), $Own, 'from the blocker') for 1 .. 6;
        is(send_raw('u1', 'U2', json => undef, form => 'recipient=U2&body=x'),
           $Refused, 'form');
        is(send_raw('u1', 'u2', json => '{"recipient":"u2","body":"x",'
                                . '"reply_to":1}'), $Refused, 'a reply');
        is(send_raw('u1', 'u2', headers => ["Idempotency-Key: $round"]),
           $Refused, 'with a key');
        is(outcome('u1', PATCH => 'message/1/', json => '{"body":"insult"}'),
           $Refused, 'an edit');
        is(outcome($_, POST => 'message/',
                   json => qq({"recipient":"$_","body":"note"})) =~ /^201/, 1,
           'a note to oneself') for 'u1', 'u2';
        is(outcome('u2', DELETE => 'block/U1/'), '204', 'unblocked');
        like(send_raw('u1', 'u2', headers => ["Idempotency-Key: $round"]),
             qr/^201 /, 'the key is unused');
        like(send_raw('u2', 'u1'), qr/^201 /, 'the other direction');
    }

    is(scalar sql('SELECT COUNT(*) FROM chat_message
                   WHERE sender_id <> recipient_id'), 1 + 8,
       'nothing else is stored');
    settle(0.4);
    is(join(' ', map { scalar @{ $_->{frames} } } @sockets, @hints),
       join(' ', (12) x 10), 'or announced');
    counters_are_right();
    is(exits(), '', 'no worker has died');
}

run_tests();


__DATA__

=== methods, Allow, and texts of block/
--- then
for my $slash ('', '/') {
    is(allow('u1', $_ => "block$slash"), '200 GET, HEAD, OPTIONS', $_)
        for qw(GET HEAD OPTIONS);
    is(allow('u1', $_ => "block$slash"), '405 GET, HEAD, OPTIONS', $_)
        for qw(POST PUT PATCH DELETE);
    is(allow('u1', OPTIONS => "block/u2$slash"), '200 PUT, DELETE, OPTIONS',
       'OPTIONS');
    is(allow('u1', $_ => "block/u2$slash"), '405 PUT, DELETE, OPTIONS', $_)
        for qw(GET HEAD POST PATCH);
    is(outcome('u1', GET => "block/u2$slash"),
       '405 {"detail":"Method \"GET\" not allowed."}', 'text');
    is(allow('u1', $_ => "block/u2$slash"), '204 PUT, DELETE, OPTIONS', $_)
        for qw(PUT DELETE PUT PUT DELETE DELETE);
}

is(outcome('u1', PUT => 'block/u2/x'), '404 {"detail":"Not found."}',
   'a longer path');
is(outcome('u1', $_ => 'block/u1/'),
   '400 {"detail":"You cannot block yourself."}', "$_ oneself")
    for qw(PUT DELETE);
is(outcome('u1', $_ => 'block/nobody/'), '404 {"detail":"Not found."}',
   "$_ an unknown user") for qw(PUT DELETE);
is(outcome('u1', PUT => 'block/u2/', @$_), '204', 'any body')
    for [json => '{'], [form => 'x'], [type => 'text/plain', body => 'x'];


=== a block keeps its time, and is no part of other lists
--- given
new_message(u1 => 'u2', 'one');
--- then
my $list = sub { outcome('u1', GET => 'block/') };
my $views = sub {
    return join "\n", map { outcome($_->[0], GET => $_->[1]) }
        map { my $who = $_; map { [$who, $_] } 'message/', 'conversation/',
              'message/?after=0&changes=1', 'message/?search=o', 'user/' }
            qw(u1 u2);
};
my $before = $views->();

is(outcome('u1', PUT => "block/$_/"), '204', "block $_") for qw(u3 u2 u4);

my $first = $list->();

like($first, qr/^200[ ]\{"results":\[\{"username":"u4","since":
     "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"\},\{"username":"u2",
     "since":"[^"]+"\},\{"username":"u3","since":"[^"]+"\}\]\}$/x, 'the list');
is(outcome('u1', PUT => 'block/U3/'), '204', 'again');
is($list->(), $first, 'the time remains');
is($views->(), $before, 'other lists remain');
is(outcome('u2', GET => 'block/'), '200 {"results":[]}', 'as does the peer');
is(outcome('u1', DELETE => 'block/u3/'), '204', 'unblocked');
is(outcome('u1', PUT => 'block/u3/'), '204', 'blocked again');
like($list->(), qr/^200 \{"results":\[\{"username":"u3"/, 'is the latest');
is($views->(), $before, 'other lists remain');


=== blocks in both directions, two workers
--- http
chat_presence off;
--- timeout: 60
--- given
new_message(u1 => 'u2', 'one');
--- then
both_ways();


=== blocks in both directions, four workers
--- http
chat_presence off;
--- timeout: 60
--- workers: 4
--- given
new_message(u1 => 'u2', 'one');
--- then
both_ways();


=== the own history remains usable during a block
--- given
new_message(u1 => 'u2', 'one');
new_message(u1 => 'u2', 'two');
new_message(u2 => 'u1', 'three');
--- then
is(outcome('u2', PUT => 'block/u1/'), '204', 'blocked');
is(outcome('u1', PATCH => 'message/1/', json => '{"body":"one"}') =~ /^200 /, 1,
   'an identical text');
is(outcome('u1', PATCH => 'message/3/', json => '{"body":"x"}'),
   '403 {"detail":"Only the sender can change a message."}',
   'a message of the peer');
is(outcome('u3', PATCH => 'message/1/', json => '{"body":"x"}'),
   '404 {"detail":"Not found."}', 'a third user');
is(outcome('u1', DELETE => 'message/2/'), '204', 'a deletion');
is((changes('u2', 0))[0], 'one three -2', 'is found');
is(join(' ', texts(list('u1', '?search=e&target=u2'))), 'three one', 'search');
is(outcome('u2', POST => 'conversation/u1/read/', json => '{"id":1}'),
   '200 {"unread":0,"read_id":1}', 'read marks');
is(unread('u1', 'u2'), 1, 'unread messages');
counters_are_right();


=== X-Chat-User on each unsafe method
--- http
chat_presence off;
--- given
new_message(u1 => 'u2', 'one');
new_message(u2 => 'u1', 'two');
sql('INSERT INTO chat_block VALUES (1, 3, UTC_TIMESTAMP(6))');
sql('INSERT INTO chat_conversation (lo_id, hi_id, blocks) VALUES (1, 3, 1)');
--- then
my @requests = (
    [201, POST => 'message/', json => '{"recipient":"u2","body":"x"}'],
    [201, POST => 'message/', form => 'recipient=u2&body=x'],
    [200, PATCH => 'message/1/', json => '{"body":"new"}'],
    [204, DELETE => 'message/1/'],
    [200, POST => 'conversation/u2/read/', json => '{"id":2}'],
    [204, POST => 'conversation/u2/typing/'],
    [204, PUT => 'block/u2/'],
    [204, DELETE => 'block/u3/'],
    [405, PUT => 'message/1/', json => '{}'],
    [204, POST => 'password/', json =>
     qq({"old_password":"$Chat::Password","new_password":"battery staple"})],
    [204, DELETE => 'session/all/'],
    [200, POST => 'session/', json =>
     '{"username":"u1","password":"battery staple","token":true}'],
);
my $before = state();
my $event = web_socket('u2', path => '/events');

for my $request (@requests) {
    my ($code, @request) = @$request;

    is(outcome('u1', @request, headers => ["X-Chat-User: $_"]), $Other,
       "@request[0, 1] as \"$_\"") for 'u2', 'nobody', 'u1 x';
    is(outcome('u1', @request, headers => ["X-Chat-User: $_"]),
       '403 {"detail":"CSRF Failed: cross-origin request."}', 'cross-origin')
        for "u2\r\nOrigin: https://evil.example";
}

is(state(), $before, 'nothing is done');
settle();
is(scalar @{ $event->{frames} }, 0, 'or announced');

for my $request (@requests) {
    my ($code, @request) = @$request;

    like(outcome('u1', @request, headers => ['X-Chat-User: %55%31']),
         qr/^$code( |$)/, "@request[0, 1] as oneself");
}
