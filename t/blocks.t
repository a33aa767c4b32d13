#
# Copyright (C) ngx_chat contributors
#

# blocking: /api/v1/block/ and its effect on messages and typing

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Changes;
use Chat::Wire;

our $Refused =
    '{"detail":"This person does not accept messages from you."}';
our $Own = '{"detail":"You have blocked this person."}';
our $Unknown = '{"detail":"Not found."}';

# block USER, NAME and unblock USER, NAME: return the code

sub block {
    my ($who, $name) = @_;

    return api($who, PUT => "/api/v1/block/$name/")->code;
}

sub unblock {
    my ($who, $name) = @_;

    return api($who, DELETE => "/api/v1/block/$name/")->code;
}

# blocked USER: the names of the list

sub blocked {
    my ($who) = @_;

    return join ' ', map { $_->{username} }
        @{ api($who, GET => '/api/v1/block/')->json->{results} };
}

# outcome USER, NAME: sends; returns the code and the reason

sub outcome {
    my $res = send_to(@_, 'x');

    return $res->code . ($res->code == 201 ? '' : ' ' . $res->body);
}

sub sent {
    return scalar sql('SELECT COUNT(*) FROM chat_message WHERE sender_id = ?
                       AND recipient_id = ?', @_);
}

# blocks_are_right: compares the rows with the bits of the conversations

sub blocks_are_right {
    my $rows = sql('SELECT COUNT(*) FROM chat_block');
    my $bits = sql('SELECT COALESCE(SUM((blocks & 1) + (blocks >> 1)), 0)
                    FROM chat_conversation');
    my $both = sql('SELECT COUNT(*) FROM chat_block AS b
                    JOIN chat_conversation AS c
                      ON c.lo_id = LEAST(b.blocker_id, b.blocked_id)
                     AND c.hi_id = GREATEST(b.blocker_id, b.blocked_id)
                     AND c.blocks & IF(b.blocker_id < b.blocked_id, 1, 2)');

    is("$rows $bits", "$both $both", 'rows and bits match');
}

# t/presence.t has these events
add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http => ($block->http // '') . "chat_presence off;\n");
});

run_tests();


__DATA__

=== a list of blocked users
--- then
is(api('u1', GET => '/api/v1/block/')->body, '{"results":[]}', 'empty');
is(block('u1', 'u2'), 204, 'blocked');
is(api('u1', PUT => '/api/v1/block/U3', { ignored => 1 })->code, 204,
   'in any case, without a slash, with a body');

is(api('u1', PUT => '/api/v1/block/u3/', { ignored => 'x' x 70000 })->code,
   413, 'a large body is rejected');

my $res = api('u1', GET => '/api/v1/block/');

like($res->body, qr/^\{"results":\[\{"username":"u3","since":
                     "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"\},
                     \{"username":"u2","since":"[^"]+"\}\]\}$/x,
     'latest first');
is($res->headers->header('Allow'), 'GET, HEAD, OPTIONS', 'methods of the list');
is(block('u1', 'u2'), 204, 'again') for 1 .. 4;
is(api('u1', GET => '/api/v1/block/')->body, $res->body, 'nothing changes');
is(blocked('u2'), '', 'the list of another user');
is(blocked('u3'), '', 'and of a third');

is(unblock('u1', 'u2'), 204, 'unblocked') for 1 .. 4;
is(blocked('u1'), 'u3', 'one is left');
is(unblock('u2', 'u1'), 204, 'a user that is not blocked');
blocks_are_right();
is(last_of('u1'), '', 'blocks are not in the inbox');
counters_are_right();


=== unknown users and oneself
--- then
is(block('u1', 'nobody'), 404, 'unknown');
is(unblock('u1', 'nobody'), 404, 'unknown');
is(block('u1', 'u1'), 400, 'oneself');
is(unblock('u1', 'u1'), 400, 'oneself');
is(api('u1', PUT => '/api/v1/block/u1/')->body,
   '{"detail":"You cannot block yourself."}', 'with a reason');
is(api('', $_ => '/api/v1/block/u2/')->code, 403, "$_ unauthenticated")
    for qw(GET PUT DELETE);
is(api('u1', POST => '/api/v1/block/u2/')->code, 405, 'POST');

my $options = api('u1', OPTIONS => '/api/v1/block/u2/');

is($options->code, 200, 'OPTIONS');
is($options->headers->header('Allow'), 'PUT, DELETE, OPTIONS', 'the methods');
is(api('u1', PUT => '/api/v1/block/u2/', undef, 'X-Chat-User' => 'u3')->code,
   409, 'another user');
is(api('u1', PUT => '/api/v1/block/u2/', undef,
       Origin => 'http://evil.example')->code, 403, 'cross-origin');
is(sql('SELECT COUNT(*) FROM chat_block'), 0, 'nothing is stored');
is(outcome('u1', 'u1'), 201, 'notes to oneself');


=== messages do not cross a block in either direction
--- given
new_message(u1 => 'u2', 'old');
--- then
my @sockets = map { web_socket($_, path => '/events') } qw(u1 u2) x 4;

is(block('u2', 'u1'), 204, 'blocked');

# by both workers
is(outcome('u1', 'u2'), "403 $Refused", 'to the blocker') for 1 .. 8;
is(outcome('u2', 'u1'), "403 $Own", 'from the blocker') for 1 .. 8;
is(outcome('u1', 'u3'), 201, 'to a third user');
is(outcome('u3', 'u2'), 201, 'from a third user');
is(sent(1, 2) . sent(2, 1), '10', 'no message is stored');
is(join(' ', texts(list('u1', '?target=u2'))), 'old', 'the history is readable')
    for 1 .. 4;
is(api('u2', GET => '/api/v1/message/1/')->code, 200, 'the message too');
is(api('u2', POST => '/api/v1/conversation/u1/read/', { id => 1 })->code, 200,
   'a read mark');

is(block('u1', 'u2'), 204, 'blocked mutually');
is(outcome('u1', 'u2'), "403 $Own", 'the own block is named');
is(outcome('u2', 'u1'), "403 $Own", 'to both');
blocks_are_right();
is(unblock('u2', 'u1'), 204, 'one remains');
is(outcome('u2', 'u1'), "403 $Refused", 'that of the other user');
blocks_are_right();
is(unblock('u1', 'u2'), 204, 'none remains');
is(outcome('u1', 'u2'), 201, 'messages pass') for 1 .. 4;
is(outcome('u2', 'u1'), 201, 'in both directions') for 1 .. 4;
blocks_are_right();
counters_are_right();

settle(0.3);
is(scalar(grep { /"user":"u1","recipient":"u2"/ } @{ $sockets[1]{frames} }), 4,
   'rejected messages are not announced');
is(exits(), '', 'no worker has died');


=== edits do not cross a block, deletions do
--- given
new_message(u1 => 'u2', $_) for 'one', 'two';
--- then
my @sockets = map { web_socket('u2', path => '/events') } 1 .. 4;

my $edited = sub {
    my $res = edit('u1', @_);

    return $res->code . ($res->code == 200 ? '' : ' ' . $res->body);
};

is(block('u2', 'u1'), 204, 'blocked');
is($edited->(1, 'insult'), "403 $Refused", 'an edit') for 1 .. 4;
is(block('u1', 'u2'), 204, 'blocked mutually');
is($edited->(1, 'insult'), "403 $Own", 'the own block is named');
is(unblock('u2', 'u1'), 204, 'one remains');
is($edited->(1, 'insult'), "403 $Own", 'the own block');
is(join(' ', texts(list('u2', '?target=u1'))), 'two one', 'nothing is stored');
is($edited->(1, 'one'), 200, 'an identical text changes nothing');
is(remove('u1', 1)->code, 204, 'a message is deleted');

is(unblock('u1', 'u2'), 204, 'none remains');
is($edited->(2, 'edited'), 200, 'an edit');

wait_until(sub { grep { /"edited"/ } @{ $sockets[0]{frames} } });
is(join(' ', map { /"type":"(\w+)"/ } @{ $_->{frames} }), 'deleted edited',
   'events') for @sockets;
counters_are_right();


=== a user without a conversation
--- then
is(block('u1', 'u2'), 204, 'blocked');
is(outcome('u2', 'u1'), "403 $Refused", 'no message');
is(api('u2', GET => '/api/v1/message/?target=u1')->json->{count}, 0, 'count');
is(api('u2', GET => '/api/v1/conversation/')->body,
   '{"results":[],"has_more":false,"cursor":null}', 'inbox');
is(unblock('u1', 'u2'), 204, 'unblocked');
is(outcome('u2', 'u1'), 201, 'the first message');
is(unread('u1', 'u2'), 1, 'it is unread');
counters_are_right();


=== safe retries of messages that were stored before a block
--- then
my %key = (client_id => 'k1');

is(send_to('u1', 'u2', 'x', %key)->code, 201, 'stored');
is(block('u2', 'u1'), 204, 'blocked');
is(send_to('u1', 'u2', 'x', %key)->code, 200, 'the first message');
is(send_to('u1', 'u2', 'y', %key)->code, 409, 'another message');
is(send_to('u1', 'u2', 'x', client_id => 'k2')->body, $Refused, 'a new one');
is(unblock('u2', 'u1'), 204, 'unblocked');
is(send_to('u1', 'u2', 'x', client_id => 'k2')->code, 201, 'the key is unused');


=== a batch with blocked messages stores the others
--- then
is(block('u2', 'u1'), 204, 'blocked');

my (%codes, $left);

for my $n (1 .. 60) {
    my ($from, $to) = @{ ([qw(u1 u2)], [qw(u1 u3)], [qw(u3 u2)],
                          [qw(u3 u1)])[$n % 4] };

    $left++;
    request($from, POST => '/api/v1/message/',
            { recipient => $to, body => "$n" })
        ->then(sub { $codes{"$from $to " . $_[0]->code}++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all requests end');
is_deeply(\%codes, { 'u1 u2 403' => 15, 'u1 u3 201' => 15, 'u3 u2 201' => 15,
                     'u3 u1 201' => 15 }, 'only one pair is blocked');
is(sent(1, 2), 0, 'no message is stored');
counters_are_right();


=== a send that waits while a block is committed
--- given
new_message(u1 => 'u2', 'old');
--- then
for my $worker (1 .. 4) {
    my $db = connect_db();

    $db->begin_work;
    $db->do('UPDATE chat_conversation SET blocks = 2');

    my $res;
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
        ->then(sub { $res = $_[0] });
    settle(0.3);
    ok(!$res, 'the send waits');
    $db->commit;
    ok(wait_until { $res }, 'it ends');
    is($res->body, $Refused, 'the message is rejected');
    sql('UPDATE chat_conversation SET blocks = 0');
}

is(sent(1, 2), 1, 'no message is stored');


=== no message passes when a block has been acknowledged
--- timeout: 60
--- then
my ($end, $left, %codes) = (0, 0);

my $next;
$next = sub {
    return if $end;
    $left++;
    request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
        ->then(sub { $codes{$_[0]->code}++ })
        ->finally(sub { $left--; $next->() });
};

$next->() for 1 .. 12;

for my $round (1 .. 12) {
    settle(0.1);

    my $code;
    request('u2', PUT => '/api/v1/block/u1/')->then(sub { $code = $_[0]->code });
    wait_until { $code };
    is($code, 204, 'blocked');

    my $stored = sent(1, 2);

    settle(0.2);
    is(sent(1, 2), $stored, 'no message is stored');
    is(unblock('u2', 'u1'), 204, 'unblocked');
}

settle(0.2);
$end = 1;
ok(wait_until { $left == 0 }, 'all requests end');
is(join(' ', sort keys %codes), '201 403', 'messages passed between the blocks')
    or diag(explain(\%codes));
is($codes{201}, sent(1, 2), 'each acknowledged message is stored');
blocks_are_right();
counters_are_right();
is(exits(), '', 'no worker has died');


=== blocking and unblocking at once
--- timeout: 60
--- then
my ($left, %codes) = (0);

for my $n (1 .. 80) {
    my ($who, $name) = $n % 3 ? qw(u1 u2) : qw(u2 u1);

    $left++;
    request($who, ($n % 2 ? 'PUT' : 'DELETE') => "/api/v1/block/$name/")
        ->then(sub { $codes{$_[0]->code}++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all requests end');
is_deeply(\%codes, { 204 => 80 }, 'all succeed');
blocks_are_right();


=== typing does not cross a block
--- then
my @one = map { web_socket('u1', path => '/events') } 1 .. 4;
my @two = map { web_socket('u2', path => '/events') } 1 .. 4;

my $typing = sub {
    my ($who, $name) = @_;

    is(api($who, POST => "/api/v1/conversation/$name/typing/")->code, 204,
       "$who is typing");
    settle(1.1);

    return scalar @{ ($who eq 'u1' ? \@two : \@one)->[0]{frames} };
};

is($typing->('u1', 'u2'), 1, 'an event');
is($typing->('u2', 'u1'), 1, 'in both directions');
is(block('u2', 'u1'), 204, 'blocked');
is($typing->('u1', 'u2'), 1, 'no event') for 1 .. 3;
is($typing->('u2', 'u1'), 1, 'in both directions') for 1 .. 3;
is(unblock('u2', 'u1'), 204, 'unblocked');
is($typing->('u1', 'u2'), 2, 'an event');
is($typing->('u1', 'u2'), 3, 'another one');


=== typing queries the database only after a change of a block
--- then
my $queries = sub {
    my $queries = api('u1', GET => '/chat/status')->json->{queries};
    return $queries->{'block.get'}{seconds}{count} // 0;
};

my $typing = sub {
    for (1 .. 3) {
        is(api('u1', POST => '/api/v1/conversation/u2/typing/')->code, 204,
           'typing');
        settle(1.1);
    }
};

my $before = $queries->();

$typing->();
is($queries->() - $before, 1, 'one query for the pair');

is(block('u2', 'u1'), 204, 'blocked');
is(unblock('u2', 'u1'), 204, 'unblocked');
$typing->();
is($queries->() - $before, 2, 'another one');


=== a disabled user cannot block
--- then
is(block('u1', 'u2'), 204, 'blocked');
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 2');
is(unblock('u1', 'u2'), 204, 'a disabled user is unblocked');
is(block('u1', 'u2'), 204, 'and blocked');
is(block('u2', 'u1'), 403, 'a disabled user blocks nobody')
    for 1 .. 4;
is(sql('SELECT COUNT(*) FROM chat_block'), 1, 'one block');
