#
# Copyright (C) ngx_chat contributors
#

# chatctl purge, export and erase of edited and deleted messages

use JSON::PP;
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Data;

run_tests();


__DATA__

=== purge: changes are deleted as messages are
--- then
aged(u1 => 'u2', 100, 'edited');
aged(u1 => 'u2', 100, 'deleted');
aged(u1 => 'u2', 1, 'edited later');
aged(u1 => 'u2', 1, 'deleted later');
aged(u1 => 'u3', 1, 'the only one');

for my $id (1 .. 5) {
    my $aged = $id < 3 ? 100 : 1;

    sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6) WHERE id = ?',
        $id);
    is(api('u1', $id % 2 && $id < 5
                     ? (PATCH => "/api/v1/message/$id/", { body => "e$id" })
                     : (DELETE => "/api/v1/message/$id/"))->code,
       $id % 2 && $id < 5 ? 200 : 204, "message $id is changed");

    # the change has the age of the message
    sql('UPDATE chat_message
         SET created_at = UTC_TIMESTAMP(6) - INTERVAL ? DAY
         WHERE id = ? OR target_id = ?', $aged, $id, $id);
}

sound();
like(chatctl('purge --older-than 90d'),
     qr/\ADeleted 1 messages from before .* and 0 empty conversations\.\n\z/,
     'only messages are counted');
is(join(' ', sql('SELECT id FROM chat_message ORDER BY id')), '3 4 5 8 9 10',
   'rows of changes are deleted');
sound();

# a change outlives its message
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6) - INTERVAL 99 DAY
     WHERE id = 3');
like(chatctl('purge --older-than 90d'), qr/\ADeleted 1 messages /,
     'an edited message');
is(join(' ', map { "$_->{change} $_->{message_id}" }
             @{ api('u2', GET => '/api/v1/message/?after=0&changes=1')
                    ->json->{results} }),
   'deleted 3 deleted 4', 'the change remains, as a deletion');
sound();

sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6) - INTERVAL 99 DAY');
like(chatctl('purge --older-than 90d'),
     qr/\ADeleted 0 messages from before .* and 1 empty conversations\.\n\z/,
     'rows of other kinds only');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'nothing remains');
sound();


=== erase: changes are deleted
--- given
message(u1 => 'u2', "$_ of u1") for 1 .. 3;
message(u2 => 'u1', "$_ of u2") for 1 .. 3;
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
--- then
for my $who ('u1', 'u2') {
    my $first = $who eq 'u1' ? 1 : 4;

    is(api($who, PATCH => "/api/v1/message/$first/", { body => 'x' })->code,
       200, 'edited');
    is(api($who, DELETE => '/api/v1/message/' . ($first + 1) . '/')->code, 204,
       'deleted');
}

is(chatctl('erase u1 --yes --wait 0'),
   "Erased u1: deleted 2 messages and 0 empty conversations.\n"
   . "Messages that other users sent to u1 remain, with the recipient"
   . " \"deleted-1\".\n",
   'the remaining messages are counted');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE sender_id = 1'), 0,
   'no row remains');
is(join(' ', map { $_->{body} // $_->{change} }
             @{ api('u2', GET => '/api/v1/message/?after=0&changes=1')
                    ->json->{results} }), 'x 3 of u2 edited deleted',
   'the messages of the other user remain');
sound();
is(chatctl('erase deleted-1 --received --yes --wait 0'),
   "Erased deleted-1: deleted 2 messages and 1 empty conversations.\n",
   'and are deleted later');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'with their changes');
sound();


=== export: replies and edits are part of it, deleted messages are not
--- given
message(u1 => 'u2', $_) for 'one', 'two', 'three';
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
--- then
api('u1', PATCH => '/api/v1/message/1/', { body => 'one!' });
api('u1', DELETE => '/api/v1/message/3/');
api('u2', POST => '/api/v1/message/',
    { recipient => 'u1', body => 'four', reply_to => 2 });

my $all = decode_json(chatctl('export u2'));
is($Code, 0, 'exit status');
is_deeply([map { $_->{body} } @{ $all->{messages} }], ['one!', 'two', 'four'],
          'the messages');
like($all->{messages}[0]{edited_at},
     qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'the time of the edit');
ok(!exists $all->{messages}[1]{edited_at}
   && !exists $all->{messages}[1]{reply_to}, 'members that do not apply');
is($all->{messages}[2]{reply_to}, 2, 'the reply');
is_deeply([map { @$_{qw(user message_count unread)} }
               @{ $all->{conversations} }], ['u1', 3, 2], 'the conversation');
