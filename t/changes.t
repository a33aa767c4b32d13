#
# Copyright (C) ngx_chat contributors
#

# editing, deleting and replying: PATCH and DELETE /api/v1/message/<id>/, and
# "reply_to"

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Changes;
use Chat::Proxy;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});

our $Late = '{"detail":"This message can no longer be changed."}';
our $NotSender = '{"detail":"Only the sender can change a message."}';
our $Unknown = '{"detail":"Not found."}';
our $NoTarget = '{"reply_to":["No such message in this conversation."]}';

run_tests();


__DATA__

=== the sender replaces the text of a message
--- given
new_message(u1 => 'u2', 'one');
--- then
my $res = edit('u1', 1, "  two \n");
my $message = $res->json;

is($res->code, 200, 'edited');
like($res->body, qr/^{"id":1,"user":"u1","recipient":"u2","timestamp":"[^"]+",
                     "body":"two","edited_at":"[^"]+"}$/x,
     'with the time at the end');
is($message->{timestamp}, api('u2', GET => '/api/v1/message/1/')
                          ->json->{timestamp}, 'the time of the message remains');
cmp_ok($message->{edited_at}, 'gt', $message->{timestamp}, 'and is earlier');

# by both workers
for (1 .. 8) {
    is_deeply(api('u2', GET => '/api/v1/message/1/')->json, $message,
              'the recipient gets it');
}

is_deeply(list('u2', ''), [$message], 'in a page');
is_deeply(list('u2', '?target=u1'), [$message], 'in a conversation');
is_deeply(list('u2', '?after=0'), [$message], 'after a cursor');
is_deeply(list('u2', '?before=latest'), [$message], 'before a cursor');
is_deeply(api('u2', GET => '/api/v1/conversation/')->json->{results}[0]
          {last_message}, $message, 'in the inbox');
is(unread('u2', 'u1'), 1, 'it remains unread');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'one'"), 0,
   'the first text is gone');
counters_are_right();


=== the text of an edit follows the rules of a new message
--- given
new_message(u1 => 'u2', 'one');
--- http
chat_max_message 10;
--- then
my @cases = (
    ['{}', '{"body":["This field is required."]}'],
    ['{"body":""}', '{"body":["This field may not be blank."]}'],
    ['{"body":" \n"}', '{"body":["This field may not be blank."]}'],
    ['{"body":null}', '{"body":["This field may not be null."]}'],
    ['{"body":[]}', '{"body":["Not a valid string."]}'],
    ['{"body":"01234567890"}',
     '{"body":["Ensure this field has no more than 10 characters."]}'],
);

for (@cases) {
    my $tx = Mojo::UserAgent->new->build_tx(
        PATCH => url('/api/v1/message/1/'),
        { Cookie => 'sessionid=' . token('u1'),
          'Content-Type' => 'application/json' }, $_->[0]);
    my $res = Mojo::UserAgent->new->start($tx)->res;

    is($res->code, 400, $_->[0]);
    is($res->body, $_->[1], 'with the reason');
}

is(edit('u1', 1, 42)->json->{body}, '42', 'a number is used as text');
is(edit('u1', 1, '0123456789')->code, 200, 'the maximum length');


=== an edit may be form-encoded
--- given
new_message(u1 => 'u2', 'one');
--- as: u1
--- type: form
--- request
PATCH /api/v1/message/1
body=two+words
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"two words","edited_at":"<time>"}


=== an identical text changes nothing
--- given
new_message(u1 => 'u2', 'one');
--- then
my $res = edit('u1', 1, 'one');

is($res->code, 200, 'accepted');
ok(!exists $res->json->{edited_at}, 'not edited');
is((changes('u1', 0))[0], 'one', 'there is no change');

my $first = edit('u1', 1, 'two');

is(edit('u1', 1, 'two')->body, $first->body,
   'a repeated edit has the same response');
is((changes('u1', 0))[0], '1=two' =~ s/^/two /r, 'and there is one change');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 2, 'and one row for it');


=== the sender deletes a message
--- given
new_message(u1 => 'u2', 'one');
new_message(u1 => 'u2', 'secret');
new_message(u2 => 'u1', 'three');
new_message(u1 => 'u2', 'secret too');
--- then
is(edit('u1', 2, 'secret again')->code, 200, 'edited before');

my $res = remove('u1', 2);

is($res->code, 204, 'deleted');
is($res->body, '', 'without a body');
is($res->headers->content_type, undef, 'and without a type');
is(remove('u1', 2)->code, 404, 'a repeated request finds nothing');

for (1 .. 8) {
    is(api($_, GET => '/api/v1/message/2/')->body, $Unknown, "not for $_")
        for 'u1', 'u2';
}

is(edit('u1', 2, 'x')->body, $Unknown, 'it cannot be edited');
is(join(' ', texts(list('u2', ''))), 'secret too three one', 'not in a page');
is(api('u2', GET => '/api/v1/message/')->json->{count}, 3, 'nor in the count');
is(join(' ', texts(list('u2', '?target=u1'))), 'secret too three one',
   'nor in a conversation');
is(join(' ', texts(list('u2', '?page=last'))), 'secret too three one',
   'nor in the last page');
is(join(' ', texts(list('u2', '?before=latest'))), 'secret too three one',
   'nor before a cursor');
is(join(' ', texts(list('u2', '?after=0'))), 'one three secret too',
   'nor after a cursor');
is(unread('u2', 'u1'), 2, 'nor unread');
counters_are_right();

is(remove('u1', 4)->code, 204, 'the last one is deleted');
is(last_of('u1'), 'three', 'the last message is the one before');
is(unread('u2', 'u1'), 1, 'one is unread');

is(scalar sql("SELECT COUNT(*) FROM chat_message
               WHERE body LIKE '%secret%' OR sent_hash IS NOT NULL"),
   0, 'the texts are gone');

is(remove('u1', 1)->code, 204, 'another one is deleted');
is(remove('u2', 3)->code, 204, 'and the last one that is left');
is(last_of('u1'), '', 'there is no conversation');
is(last_of('u2'), '', 'for neither of them');
is(api('u1', GET => '/api/v1/message/')->json->{count}, 0, 'and no message');
is(api('u1', GET => '/api/v1/message/?target=u2')->json->{count}, 0,
   'nor with the other user');
counters_are_right();

is(send_to('u1', 'u2', 'again')->code, 201, 'a new message');
is(last_of('u2'), 'again', 'is the last one');
is(unread('u2', 'u1'), 1, 'and unread');
counters_are_right();


=== only the sender changes a message
--- given
new_message(u1 => 'u2', 'one');
--- then
for my $request ([PATCH => { body => 'x' }], [DELETE => undef]) {
    my ($method, $json) = @$request;
    my $code_and_body = sub {
        my $res = api($_[0], $method => "/api/v1/message/$_[1]/", $json);

        return $res->code . ' ' . $res->body;
    };

    is($code_and_body->('u2', 1), "403 $NotSender", "$method by the recipient");
    $json &&= {};
    is($code_and_body->('u2', 1), "403 $NotSender", 'also without a text');
    is($code_and_body->('u1', 9), "404 $Unknown", 'as an unknown message');
    $json &&= { body => 'x' };
    is($code_and_body->('u3', 1), "404 $Unknown", 'by another user');
    is($code_and_body->('u1', $_), "404 $Unknown", "message $_")
        for 0, 2, 'x', '18446744073709551615';
    is(api('', $method => '/api/v1/message/1/', $json)->code, 403,
       'unauthenticated');
    is(api('u1', $method => '/api/v1/message/1/', $json,
           'X-Chat-User' => 'u2')->code, 409, 'by another user than expected');
    is(api('u1', $method => '/api/v1/message/1/', $json,
           Origin => 'https://evil.example')->code, 403, 'cross-origin');
}

is(join(' ', sql('SELECT id, body, kind FROM chat_message')), '1 one 0',
   'nothing is changed');


=== a message of the recipient cannot be changed after a change either
--- given
new_message(u1 => 'u2', 'one');
--- then
edit('u1', 1, 'two');

my ($id) = map { $_->{id} } grep { $_->{change} } @{ list('u1',
                                                    '?after=0&changes=1') };

is($id, 2, 'the change has an id');
is(api($_, GET => "/api/v1/message/$id/")->body, $Unknown,
   'which is no message') for 'u1', 'u2';
is(edit('u1', $id, 'x')->body, $Unknown, 'and cannot be edited');
is(remove('u1', $id)->body, $Unknown, 'or deleted');
is(send_to('u1', 'u2', 'x', reply_to => $id)->body, $NoTarget,
   'or replied to');
is(api('u2', POST => '/api/v1/conversation/u1/read/', { id => $id })
   ->json->{read_id}, 1, 'a read mark is that of the message before');
is(api('u1', GET => '/api/v1/message/')->json->{count}, 1,
   'it is not counted');
is(last_of('u1'), 'two', 'and not the last message');
counters_are_right();


=== notes to oneself are changed
--- given
new_message(u1 => 'u1', 'one');
new_message(u1 => 'u1', 'two');
--- then
is(edit('u1', 1, 'three')->code, 200, 'edited');
is(remove('u1', 2)->code, 204, 'deleted');
is((changes('u1', 0))[0], 'three 1=three -2', 'each appears once');
is(last_of('u1'), 'three', 'in the inbox');
counters_are_right();


=== a message is changed within chat_change_window
--- given
new_message(u1 => 'u2', $_) for 1 .. 4;
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6) - INTERVAL ? SECOND
     WHERE id = ?', @$_)
    for [86300, 1], [86500, 2], [86500, 3];
--- then
is(edit('u1', 1, 'x')->code, 200, 'within the default of 24 hours');
is(edit('u1', 2, 'x')->body, $Late, 'an edit is too late');
is(edit('u1', 2, 'x')->code, 403, 'with 403');
is(edit('u1', 2, '2')->code, 200, 'an identical text is accepted');
is(remove('u1', 3)->body, $Late, 'a deletion is too late');
is(edit('u3', 2, 'x')->code, 404, 'other users see nothing');
is(edit('u2', 2, 'x')->body, $NotSender, 'and the recipient no time');
is(remove('u1', 4)->code, 204, 'a new one is deleted');


=== chat_change_window off forbids changes
--- given
new_message(u1 => 'u2', 'one');
--- http
chat_change_window 1h;
--- api
chat_change_window off;
--- then
is(edit('u1', 1, 'x')->body, $Late, 'an edit');
is(remove('u1', 1)->body, $Late, 'a deletion');
is(send_to('u1', 'u2', 'x', reply_to => 1)->code, 201, 'but not a reply');


=== chat_change_window may be longer than the time
--- given
message(u1 => 'u2', 'one');
sql("UPDATE chat_message SET created_at = '1970-01-02'");
--- http
chat_change_window 100y;
--- then
is(edit('u1', 1, 'x')->code, 200, 'the oldest message is edited');


=== a message replies to another one
--- given
new_message(u1 => 'u2', 'one');
new_message(u1 => 'u3', 'other');
new_message(u1 => 'u1', 'note');
--- then
my $res = send_to('u2', 'u1', 'two', reply_to => 1);

is($res->code, 201, 'a reply');
like($res->body, qr/"body":"two","reply_to":1}$/, 'its target is at the end');

my $reply = $res->json;

for (1 .. 4) {
    is_deeply(api('u1', GET => "/api/v1/message/$reply->{id}/")->json, $reply,
              'the recipient gets it');
}

is_deeply(list('u1', "?after=3"), [$reply], 'after a cursor');
is_deeply(list('u1', '?target=u2')->[0], $reply, 'in a conversation');
is_deeply(api('u1', GET => '/api/v1/conversation/')->json->{results}[0]
          {last_message}, $reply, 'in the inbox');

is(send_to('u1', 'u2', 'x', reply_to => '1')->json->{reply_to}, 1,
   'an id as text');
is(send_to('u1', 'u2', 'x', reply_to => 1)->code, 201,
   "a reply to one's own message");
ok(!exists send_to('u1', 'u2', 'x', reply_to => undef)->json->{reply_to},
   'null is no reply');
is(send_to('u1', 'u1', 'x', reply_to => 3)->code, 201, 'to a note');

for (2, 3, 99, 0, -1, '', 'x', '1x', 1.5, [1], { id => 1 },
     '18446744073709551617', \1)
{
    my $res = send_to('u1', 'u2', 'x', reply_to => $_);

    is($res->code, 400, 'an invalid target');
    is($res->body, $NoTarget, 'with the reason');
}

is(send_to('u2', 'u3', 'x', reply_to => 2)->body, $NoTarget,
   "a message of other users");

my $edited = edit('u2', $reply->{id}, 'three');

like($edited->body,
     qr/"body":"three","reply_to":1,"edited_at":"[^"]+"}$/,
     'members have a fixed order');

remove('u1', 1);
is(send_to('u2', 'u1', 'x', reply_to => 1)->body, $NoTarget,
   'a deleted message');
is(api('u1', GET => "/api/v1/message/$reply->{id}/")->json->{reply_to}, 1,
   'earlier replies remain');


=== a reply may be form-encoded
--- given
new_message(u1 => 'u2', 'one');
--- as: u2
--- type: form
--- request
POST /api/v1/message/
recipient=u1&body=two&reply_to=1
--- error_code: 201
--- json
{"id":2,"user":"u2","recipient":"u1","timestamp":"<time>","body":"two","reply_to":1}


=== a repeated send finds its message, in the current state
--- then
my @send = ('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'one', client_id => 'k' });
my $first = api(@send)->json;

is(edit('u1', $first->{id}, 'two')->code, 200, 'edited');

my $res = api(@send);

is($res->code, 200, 'the same request');
is($res->json->{body}, 'two', 'returns the current text');
is(edit('u1', $first->{id}, 'three')->code, 200, 'edited again');
is(api(@send)->json->{body}, 'three', 'also after another edit');

$send[3]{body} = 'three';
is(api(@send)->code, 409, 'the new text is another content');
$send[3]{body} = 'one';

is(remove('u1', $first->{id})->code, 204, 'deleted');
is(api(@send)->code, 409, 'a deleted message is not sent again');
is(api('u1', GET => '/api/v1/message/')->json->{count}, 0, 'nor stored');

# a reply
my $target = send_to('u2', 'u1', 'target')->json->{id};

@send = ('u1', POST => '/api/v1/message/',
         { recipient => 'u2', body => 'one', client_id => 'r',
           reply_to => $target });
is(api(@send)->code, 201, 'a reply');
is(api(@send)->code, 200, 'repeated');
is(remove('u2', $target)->code, 204, 'its target is deleted');
is(api(@send)->code, 200, 'repeated after that');
$send[3]{body} = 'x';
is(api(@send)->code, 409, 'another text');
delete $send[3]{reply_to};
$send[3]{body} = 'one';
is(api(@send)->code, 409, 'without the target');
$send[3]{client_id} = 'new';
$send[3]{reply_to} = $target;
is(api(@send)->body, $NoTarget, 'a new reply is rejected');


=== a disabled user cannot change a message
--- http
chat_session_check 1h;
--- given
new_message(u1 => 'u2', 'one');
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'the session is cached')
    for 1 .. 8;
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
is(edit('u1', 1, 'x')->code, 403, 'an edit');
is(remove('u1', 1)->code, 403, 'a deletion');
is(join(' ', sql('SELECT id, body, kind FROM chat_message')), '1 one 0',
   'nothing is changed');


=== a read that began before a change does not restore the former text
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
# each worker has read the sessions from the database
for my $who (('u1', 'u2') x 8) {
    is(api($who, GET => '/api/v1/session/')->code, 200, "$who is cached");
}

for my $change ([PATCH => { body => 'new' }], ['DELETE']) {
    my ($method, @json) = @$change;
    my ($id, $old, $waited);

    # a busy machine may need several attempts
    for (1 .. 10) {
        $id = new_message(u1 => 'u2', 'old');
        $old = undef;

        # the database has sent the former text, which arrives later
        $proxy->slow;
        request('u2', GET => "/api/v1/message/$id/")->then(sub {
            $old = $_[0]->json;
        });
        settle(0.1);
        $proxy->pass;

        cmp_ok(api('u1', $method => "/api/v1/message/$id/", @json)->code, '<',
               300, "$method succeeds");
        $waited = !$old;
        wait_until { $old };

        last if $waited && ($old->{body} // '') eq 'old';
    }

    ok($waited, 'meanwhile a read waits');
    is($old->{body}, 'old', 'which has the former text');

    for (1 .. 8) {
        my $res = api('u2', GET => "/api/v1/message/$id/");

        is($res->json->{body} // $res->code, $method eq 'PATCH' ? 'new' : 404,
           'later reads have the change');
    }
}
