#
# Copyright (C) ngx_chat contributors
#

# catching up with changes, and counters while messages are changed

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Changes;

run_tests();


__DATA__

=== changes=1 returns messages and changes by id
--- given
new_message(u1 => 'u2', 'one');
new_message(u1 => 'u2', 'two');
new_message(u3 => 'u4', 'other');
new_message(u1 => 'u3', 'third');
--- then
my (undef, $cursor) = changes('u2', 0);

edit('u1', 1, 'one!');
edit('u3', 3, 'other!');
remove('u1', 2);
edit('u1', 4, 'third!');

my $all = api('u2', GET => "/api/v1/message/?after=$cursor&changes=1")->json;

is_deeply($all->{results}, [
    { id => 5, change => 'edited',
      message => api('u2', GET => '/api/v1/message/1/')->json },
    { id => 7, change => 'deleted', message_id => 2, user => 'u1',
      recipient => 'u2' },
], 'the changes');
is($all->{cursor}, 7, 'and the cursor');
ok(!$all->{has_more}, 'no more');
like(api('u2', GET => "/api/v1/message/?after=$cursor&changes=1")->body,
     qr/^{"results":\[{"id":5,"change":"edited","message":{"id":1,.*},
        {"id":7,"change":"deleted","message_id":2,"user":"u1",
        "recipient":"u2"}\],"has_more":false,"cursor":"7"}$/x,
     'in this order');

is((changes('u2', 7))[0], '', 'nothing follows');
is((changes('u2', 0))[0], 'one! 1=one! -2', 'from the beginning');
is((changes('u1', 0))[0], 'one! third! 1=one! -2 4=third!',
   'all of the sender');
is((changes('u1', 0, '&target=u3'))[0], 'third! 4=third!',
   'with one user');
is((changes('u1', 0, '&target=u2'))[0], 'one! 1=one! -2', 'with another one');
is((changes('u4', 0))[0], 'other! 3=other!', 'other users have theirs');
is((changes('u1', 0, '&target=u4'))[0], '', 'nothing with others');
is(join(' ', texts(list('u2', "?after=$cursor"))), '',
   'without changes=1 there are messages only');
is(join(' ', texts(list('u2', '?after=0&changes=0'))), 'one!', 'as with 0');
is(join(' ', texts(list('u2', '?changes=1'))), 'one!', 'pages have none');

edit('u1', 1, 'one!!');
is((changes('u2', 7))[0], '1=one!!', 'another edit');
is((changes('u2', 0))[0], 'one!! -2 1=one!!',
   'is the only one of this message');
remove('u1', 1);
is((changes('u2', 0))[0], '-2 -1', 'a deletion replaces it');
is((changes('u2', 7))[0], '-1', 'also after the first one');


=== changes=1 returns pages
--- given
new_message(u1 => 'u2', $_) for 1 .. 9;
--- then
edit('u1', $_, "n$_") for 1 .. 4;
remove('u1', $_) for 5 .. 7;
send_to('u2', 'u1', 'last');

my $expected = 'n1 n2 n3 n4 8 9 1=n1 2=n2 3=n3 4=n4 -5 -6 -7 last';

for my $limit (1, 2, 3, 5, 13, 14, 100) {
    for my $who ('u1', 'u2') {
        is((changes($who, 0, "&limit=$limit"))[0], $expected,
           "$limit for $who");
        is((changes($who, 0, "&limit=$limit&target="
                             . ($who eq 'u1' ? 'u2' : 'u1')))[0],
           $expected, 'of one conversation');
    }
}

my $latest = api('u1', GET => '/api/v1/message/?after=latest&changes=1')->json;

is($latest->{cursor}, 17, 'the latest cursor');
edit('u1', 8, 'n8');
is((changes('u1', $latest->{cursor}))[0], '8=n8', 'the next change');
is(api('u1', GET => '/api/v1/message/?after=latest&changes=1')->json->{cursor},
   18, 'the latest cursor may be a change');
is(api('u1', GET => '/api/v1/message/?after=latest')->json->{cursor},
   17, 'or a message, without changes');


=== a change that is committed late is not skipped
--- given
new_message(u1 => 'u2', $_) for 1 .. 3;
--- then
my $db = connect_db();

$db->begin_work;
$db->do('INSERT INTO chat_writing (slot, floor_id)
         SELECT CONNECTION_ID() % 256, COALESCE(MAX(id), 0) + 1
         FROM chat_message
         ON DUPLICATE KEY UPDATE turn = turn + 1,
                                 floor_id = VALUES(floor_id)');
$db->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, kind,
                                   target_id, body)
         VALUES (1, 2, UTC_TIMESTAMP(6), 1, 1, '')");
$db->do("UPDATE chat_message SET body = 'late', edited_at = UTC_TIMESTAMP(6),
                                 change_id = LAST_INSERT_ID() WHERE id = 1");

# a later one
is(edit('u1', 2, 'early')->code, 200, 'an edit with a higher id');

for my $query ('', '&target=u1') {
    my ($first, $cursor) = changes('u2', 3, $query);

    is($first, '2=early', 'which is found');
    cmp_ok($cursor, '<=', 3, 'the cursor is below the first one');
}

my (undef, $cursor) = changes('u2', 3);
my $latest = api('u2', GET => '/api/v1/message/?after=latest&changes=1')
             ->json->{cursor};
my $plain = api('u2', GET => '/api/v1/message/?after=3')->json->{cursor};

$db->commit;

is((changes('u2', $_))[0], '1=late 2=early', 'both are found')
    for $cursor, $latest, $plain;


=== a deletion by hand without a floor is found as well
--- given
new_message(u1 => 'u2', $_) for 1 .. 3;
--- then
my $db = connect_db();

$db->begin_work;
$db->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, kind,
                                   target_id, body)
         VALUES (1, 2, UTC_TIMESTAMP(6), 1, 1, '')");
is(edit('u1', 2, 'early')->code, 200, 'an edit with a higher id');

my ($first, $cursor) = changes('u2', 3);

$db->do("UPDATE chat_message SET kind = 2, body = '' WHERE id = 1");
$db->commit;

is((changes('u2', $cursor))[0], '-1 2=early', 'both are found');


=== a change waits for a lock, and does not hold back other users
--- given
new_message(u1 => 'u2', 'one');
new_message(u3 => 'u4', 'other');
--- then
my $db = connect_db();

$db->begin_work;
$db->do('SELECT id FROM chat_message WHERE id = 1 FOR UPDATE');

my ($code, $other);

request('u1', PATCH => '/api/v1/message/1/', { body => 'two' })
    ->then(sub { $code = $_[0]->code });
settle(0.5);

is($code, undef, 'the change waits');
is(send_to('u1', 'u2', 'three')->code, 201, 'a send does not');
is(edit('u3', 2, 'x')->code, 200, 'nor another change');
is((changes('u3', 0))[0], 'x 2=x', 'which is found');
$db->rollback;
ok(wait_until { defined $code }, 'it ends');
is($code, 200, 'and succeeds');


=== a send that is not committed does not affect a deletion
--- given
new_message(u1 => 'u2', 'one');
new_message(u1 => 'u2', 'two');
--- then
my $db = connect_db();

# as the module, which is about to update the conversation
$db->begin_work;
$db->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
         VALUES (1, 2, UTC_TIMESTAMP(6), 'three')");
my $id = $db->selectrow_array('SELECT LAST_INSERT_ID()');

is(remove('u1', 2)->code, 204, 'the last visible message is deleted');
is(last_of('u2'), 'one', 'the one before is the last');

$db->do('UPDATE chat_conversation SET message_count = message_count + 1,
                last_message_id = GREATEST(last_message_id, ?),
                hi_unread = hi_unread + 1', undef, $id);
$db->commit;

is(last_of('u2'), 'three', 'then the new one is');
counters_are_right();


=== read marks count deleted messages correctly
--- given
new_message(u1 => 'u2', $_) for 1 .. 6;
--- then
my $read = sub {
    return api('u2', POST => '/api/v1/conversation/u1/read/', { id => $_[0] })
           ->json;
};

remove('u1', 2);
is($read->(3)->{unread}, 3, 'a deleted message is not subtracted');
remove('u1', 3);
is(unread('u2', 'u1'), 3, 'a read message does not matter');
remove('u1', 5);
is(unread('u2', 'u1'), 2, 'an unread one does');
counters_are_right();
is_deeply($read->(5), { unread => 1, read_id => 4 },
          'the mark is the message before');
remove('u1', 6);
is(unread('u2', 'u1'), 0, 'nothing is unread');
is_deeply($read->(99), { unread => 0, read_id => 4 },
          'the mark is the last message');
counters_are_right();
remove('u1', 4);
is_deeply($read->(99), { unread => 0, read_id => 4 },
          'the mark does not move back');
send_to('u1', 'u2', 'x');
is(unread('u2', 'u1'), 1, 'a new message is unread');
counters_are_right();


=== a message that is deleted while a read mark counts is not subtracted
--- given
new_message(u1 => 'u2', $_) for 1 .. 4;
--- then
my $db = connect_db();
my $mark;

# the read mark has counted, and waits for the conversation
$db->begin_work;
$db->do('SELECT message_count FROM chat_conversation FOR UPDATE');
request('u2', POST => '/api/v1/conversation/u1/read/', { id => 3 })
    ->then(sub { $mark = $_[0]->json });
settle(0.15);

# one message fewer, and another one
$db->do("UPDATE chat_message SET kind = 2, body = '' WHERE id = 2");
$db->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
         VALUES (1, 2, UTC_TIMESTAMP(6), 'x')");
$db->do('UPDATE chat_conversation SET deleted_count = deleted_count + 1,
                last_message_id = 5');
$db->commit;

ok(wait_until { $mark }, 'the mark is set');
is($mark->{unread}, 2, 'two messages are unread');
counters_are_right();


=== concurrent changes, sends and read marks keep the counters right
--- timeout: 60
--- given
new_message($_ % 3 ? ('u1' => 'u2') : ('u2' => 'u1'), $_) for 1 .. 60;
--- then
my ($left, %codes) = (0);
my $count = sub {
    my ($what, $promise) = @_;

    $left++;
    $promise->then(sub { $codes{"$what " . $_[0]->code}++; $left-- });
};

for my $id (1 .. 60) {
    my $who = $id % 3 ? 'u1' : 'u2';
    my $other = $id % 3 ? 'u2' : 'u1';

    # each message is deleted by two requests, and half of them are edited
    $count->(edit => request($who, PATCH => "/api/v1/message/$id/",
                             { body => "e$id" })) if $id % 2;
    $count->(delete => request($who, DELETE => "/api/v1/message/$id/"))
        for 1 .. 2;
    $count->(send => request($who, POST => '/api/v1/message/',
                             { recipient => $other, body => "s$id" }));
    $count->(read => request($other,
                             POST => "/api/v1/conversation/$who/read/",
                             { id => $id }));

    wait_until { $left < 30 };
}

ok(wait_until { $left == 0 }, 'all requests end');
is($codes{'delete 204'}, 60, 'each message is deleted');
is($codes{'delete 404'}, 60, 'once');
is($codes{'send 201'}, 60, 'each message is sent');
is($codes{'read 200'}, 60, 'each mark is set');
is(($codes{'edit 200'} // 0) + ($codes{'edit 404'} // 0), 30,
   'each edit succeeds or is too late');
is(api('u1', GET => '/api/v1/message/')->json->{count}, 60,
   'the messages sent remain');
counters_are_right();

for my $who ('u1', 'u2') {
    my %gone = map { $_ => 1 } (changes($who, 0))[0] =~ /-(\d+)/g;

    is(scalar(grep { $gone{$_} } 1 .. 60), 60, "$who finds each deletion");
}


=== concurrent edits of one message leave one text
--- given
new_message(u1 => 'u2', 'one');
--- then
my @codes;
my $left = 20;

request('u1', PATCH => '/api/v1/message/1/', { body => "e$_" })
    ->then(sub { push @codes, $_[0]->code; $left-- }) for 1 .. 20;
ok(wait_until { $left == 0 }, 'all requests end');
is(scalar(grep { $_ == 200 } @codes), 20, 'all succeed');

my $body = api('u2', GET => '/api/v1/message/1/')->json->{body};

is((changes('u2', 1))[0], "1=$body", 'there is one change');
is(api($_, GET => '/api/v1/message/1/')->json->{body}, $body, "for $_")
    for ('u1', 'u2') x 4;
counters_are_right();


=== changes are not announced to /ws
--- given
new_message(u1 => 'u2', 'one');
--- then
my @sockets = map { web_socket($_) } 'u1', 'u2';

edit('u1', 1, 'two');
remove('u1', 1);
settle();
is(send_to('u1', 'u2', 'three')->code, 201, 'a message');

for (@sockets) {
    my $socket = $_;

    ok(wait_until { @{ $socket->{frames} } }, 'is announced');
    is_deeply($socket->{frames}, ['{"message": "4"}'], 'nothing else is');
}

close_all(@sockets);
