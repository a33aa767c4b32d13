#
# Copyright (C) ngx_chat contributors
#

# chatctl purge, export and erase, without and with concurrent requests

use JSON::PP;
use POSIX qw(WNOHANG);
use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;
use Chat::Data;

# begin ARGUMENTS: starts it in the background; returns the process id

sub begin {
    my ($arguments) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        exec "exec >$dir/output 2>&1 </dev/null $chatctl $arguments"
            or POSIX::_exit(127);
    }

    return $pid;
}

# ended PROCESS: tells whether it has terminated; sets $Code

sub ended {
    my ($pid) = @_;

    return 0 if waitpid($pid, WNOHANG) == 0;

    $Code = $? >> 8;

    return 1;
}

# mass N, DAYS: adds N old messages between u1, u2 and u3

sub mass {
    my ($n, $days) = @_;

    my ($time) = sql('SELECT UTC_TIMESTAMP(6) - INTERVAL ? DAY', $days);
    my @rows = map {
        sprintf "(%d, %d, '$time', 'old $_')", 1 + $_ % 3, 1 + int($_ / 3) % 3
    } 1 .. $n;

    while (my @some = splice @rows, 0, 1000) {
        sql('INSERT INTO chat_message
                    (sender_id, recipient_id, created_at, body) VALUES '
            . join ', ', @some);
    }

    recount();
}

# recount: conversations that match the messages, half of which are read

sub recount {
    sql('DELETE FROM chat_conversation');
    sql('INSERT INTO chat_conversation (lo_id, hi_id, message_count,
                                        last_message_id, lo_read_id)
         SELECT lo_id, hi_id, COUNT(*), MAX(id), (MIN(id) + MAX(id)) DIV 2
         FROM chat_message GROUP BY lo_id, hi_id');
    sql('UPDATE chat_conversation AS c
         SET lo_unread = (SELECT COUNT(*) FROM chat_message AS m
                          WHERE m.lo_id = c.lo_id AND m.hi_id = c.hi_id
                            AND m.recipient_id = c.lo_id
                            AND m.sender_id = c.hi_id AND c.lo_id <> c.hi_id
                            AND m.id > c.lo_read_id),
             hi_unread = (SELECT COUNT(*) FROM chat_message AS m
                          WHERE m.lo_id = c.lo_id AND m.hi_id = c.hi_id
                            AND m.recipient_id = c.hi_id
                            AND m.sender_id = c.lo_id AND c.lo_id <> c.hi_id
                            AND m.id > c.hi_read_id)');
}

# keep_sending FROM => TO: sends messages until the returned function is
# called, which returns the number of responses by status

sub keep_sending {
    my (@pairs) = @_;

    my (%codes, @slow);
    my ($going, $waiting) = (1, 0);

    while (my ($from, $to) = splice @pairs, 0, 2) {
        my $next;

        $waiting++;

        $next = sub {
            return $waiting-- if !$going;

            my $start = Time::HiRes::time();

            request($from, POST => '/api/v1/message/',
                    { recipient => $to, body => 'meanwhile' })->then(sub {
                $codes{ $_[0]->code }++;
                push @slow, Time::HiRes::time() - $start;
            })->finally(sub { $next->() });
        };

        $next->();
    }

    return sub {
        $going = 0;
        wait_until { !$waiting };

        return \%codes;
    };
}

# waiting: waits until a transaction waits for a lock.  InnoDB updates the
# table ten times per second.

sub waiting {
    return wait_until {
        settle(0.2);
        return sql("SELECT COUNT(*) FROM information_schema.innodb_trx
                    WHERE trx_state = 'LOCK WAIT'");
    };
}

run_tests();


__DATA__

=== purge: old messages are deleted, counters match
--- then
aged(u1 => 'u2', 100);
aged(u2 => 'u1', 91);
aged(u2 => 'u1', 89, 'kept');
aged(u3 => 'u1', 400, 'the only one');
aged(u1 => 'u1', 400, 'a note');
aged(u1 => 'u1', 1, 'another note');
aged(u1 => 'u2', 1, 'the last');
sql('UPDATE chat_conversation SET lo_read_id = 2, lo_unread = 1
     WHERE lo_id = 1 AND hi_id = 2');
sql('UPDATE chat_conversation SET lo_unread = 0, hi_unread = 0
     WHERE lo_id = hi_id');

like(chatctl('purge --older-than 90d'),
     qr/\ADeleted 4 messages from before \S+ \S+ UTC and 1 empty conversations\.\n\z/,
     'output');
is($Code, 0, 'exit status');
is($Errors, '', 'no error output');
is_deeply([sql('SELECT body FROM chat_message ORDER BY id')],
          ['kept', 'another note', 'the last'], 'remaining messages');
is_deeply([sql('SELECT lo_id, hi_id, message_count, last_message_id, lo_read_id,
                       hi_read_id, lo_unread, hi_unread
                FROM chat_conversation ORDER BY lo_id, hi_id')],
          [1, 1, 1, 6, 0, 0, 0, 0,
           1, 2, 2, 7, 2, 0, 1, 1], 'the conversations');
sound();

my $inbox = api('u1', GET => '/api/v1/conversation/')->json;
is_deeply([map { $_->{user} } @{ $inbox->{results} }], ['u2', 'u1'],
          'inbox');

like(chatctl('purge --older-than 90d'), qr/^Deleted 0 messages /,
     'second purge');


=== purge and erase: a client program that prints warnings
--- then
my ($real) = grep { -x } map { ("$_/mariadb", "$_/mysql") }
                             split /:/, $ENV{PATH};

mkdir "$dir/warns";
open my $client, '>', "$dir/warns/mariadb" or die "$dir/warns: $!\n";
print $client <<"END";
#!/bin/sh
echo "WARNING: option --ssl-verify-server-cert is disabled, 1 2 3" >&2
$real "\$@" || code=\$?
echo "[Warning] Using a password can be insecure." >&2
exit \${code:-0}
END
close $client;
chmod 0755, "$dir/warns/mariadb";

local $ENV{PATH} = "$dir/warns:$ENV{PATH}";

mass(2500, 100);
like(chatctl('purge --older-than 90d'), qr/^Deleted 2500 messages /,
     'all old messages');
is($Code, 0, 'exit status');
like($Errors, qr/^WARNING: /m, 'warnings are printed');

aged(u1 => 'u2', 1);
recount();
like(chatctl('erase u1 --yes --wait 0'), qr/^Erased u1: deleted 1 messages /,
     'output');
is($Code, 0, 'exit status');

sound();


=== purge: the newest message is older than others
--- then
aged(u1 => 'u2', 1, 'kept');
aged(u1 => 'u2', 100, 'the last');

like(chatctl('purge --older-than 3M'), qr/^Deleted 1 messages /, 'one message');
sound();
is(api('u1', GET => '/api/v1/conversation/')
       ->json->{results}[0]{last_message}{body}, 'kept',
   'previous message is the last one');


=== purge: a send to an empty conversation creates it
--- then
aged(u1 => 'u2', 100) for 1 .. 3;
api('u2', POST => '/api/v1/conversation/u1/read/', { id => 2 });

like(chatctl('purge --older-than 1y'), qr/^Deleted 0 messages /, 'a year');
like(chatctl('purge --older-than 14w'), qr/^Deleted 3 messages .* 1 empty conv/,
     '14 weeks');
is_deeply(api('u2', GET => '/api/v1/conversation/')->json->{results}, [],
          'no conversation');
is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
       ->json->{id}, 4, 'next id');
is(api('u2', GET => '/api/v1/conversation/')->json->{results}[0]{unread}, 1,
   'unread message');
sound();


=== purge: many batches, and newer messages between old ones
--- then
mass(3000, 100);
mass(5000, 1);
mass(1500, 100);

like(chatctl('purge --older-than 2160h'), qr/^Deleted 4500 messages /,
     'all old messages');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 5000,
   'newer messages remain');
sound();


=== purge: invalid ages
--- then
aged(u1 => 'u2', 36500);

for my $age ('90', 'd', '100000d', '99999y', '0d', '09d', '-1d', '1.5d',
             '90s', '90m', "'9 d'", 'x',
             "''", '99999999999999999999y', "\"1d'\"")
{
    is(chatctl("purge --older-than $age"), '', "$age: no output");
    isnt($Code, 0, 'exit status');
    isnt($Errors, '', 'error');
    unlike($Errors, qr/ERROR/, 'error is not from the database');
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'no message is deleted');

for my $wrong ('purge', 'purge 90d', 'purge --older 90d', 'purge --older-than',
               'purge --older-than 90d 1')
{
    chatctl($wrong);
    is($Code, 2, $wrong);
}


=== purge: concurrent sends are stored
--- then
mass(12000, 100);

my $stop = keep_sending(u1 => 'u2', u2 => 'u1', u3 => 'u1', u1 => 'u3');
my $purge = begin('purge --older-than 90d');

ok(wait_until(sub { ended($purge) }, 60), 'purge ends');
my $codes = $stop->();

is($Code, 0, 'exit status');
is_deeply([keys %$codes], [201], 'all sends succeed')
    or Test::More::diag(Test::More::explain($codes));
cmp_ok($codes->{201}, '>', 20, 'number of sends');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $codes->{201},
   'only new messages remain');
is(scalar sql('SELECT SUM(message_count) FROM chat_conversation'),
   $codes->{201}, 'message counts');
sound();


=== purge: concurrent read requests
--- then
mass(6000, 100);
message(u1 => 'u2', 'new');
recount();

my $last = sql('SELECT MAX(id) FROM chat_message');
my $purge = begin('purge --older-than 90d');
my $mark = 1;

until (ended($purge)) {
    my $res = api('u2', POST => '/api/v1/conversation/u1/read/',
                  { id => $mark });
    is($res->code, 200, "read up to $mark") if $res->code != 200;
    $mark += 150 if $mark + 150 < $last;
}

is($Code, 0, 'exit status');
sound();
is(api('u2', POST => '/api/v1/conversation/u1/read/', { id => $last })
       ->json->{unread}, 0, 'all messages are read');


=== purge: a concurrent read does not decrement counts twice
--- then
aged(u2 => 'u1', 100) for 1 .. 3;
aged(u2 => 'u1', 1) for 1 .. 2;

# an open transaction of a read request
my $other = connect_db();
$other->begin_work;
$other->do('UPDATE chat_conversation SET lo_read_id = 3, lo_unread = 2');

my $purge = begin('purge --older-than 90d');

ok(waiting(), 'purge waits');
$other->commit;

ok(wait_until(sub { ended($purge) }, 30), 'purge ends');
is(scalar sql('SELECT lo_unread FROM chat_conversation'), 2,
   'two unread messages');
sound();


=== purge: a step is repeated after a deadlock
--- then
aged(u1 => 'u2', 100) for 1 .. 3;

# the reverse order of locks: the conversation, then messages
my $other = connect_db();
$other->begin_work;
$other->do('SELECT * FROM chat_conversation FOR UPDATE');

my $purge = begin('purge --older-than 90d');

ok(waiting(), 'purge waits');

# one of the transactions is the victim of the deadlock
eval { $other->do('SELECT * FROM chat_message FOR UPDATE') };
eval { $other->rollback };

ok(wait_until(sub { ended($purge) }, 30), 'purge ends');
is($Code, 0, 'exit status') or Test::More::diag(Chat::read_file("$dir/output"));
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'no message remains');
sound();


=== purge: interrupted and repeated
--- then
mass(15000, 100);

my $purge = begin('purge --older-than 90d');

ok(wait_until(sub {
    sql('SELECT COUNT(*) FROM chat_message') < 13000
}, 30), 'purge has started');
kill 'TERM', $purge;
ok(wait_until(sub { ended($purge) }, 30), 'purge ends');

isnt($Code, 0, 'exit status after SIGTERM');
like(Chat::read_file("$dir/output"),
     qr/^Interrupted: Deleted \d+ messages .*run the command again/m, 'message');

my $left = sql('SELECT COUNT(*) FROM chat_message');
cmp_ok($left, '>', 0, 'some messages remain');
sound();

# SIGKILL
$purge = begin('purge --older-than 90d');
ok(wait_until(sub {
    sql('SELECT COUNT(*) FROM chat_message') < $left
}, 30), 'purge has started again');
kill 'KILL', $purge;
ok(wait_until(sub { ended($purge) }, 30), 'purge was killed');
settle(1);
sound();

like(chatctl('purge --older-than 90d'), qr/^Deleted \d+ messages /,
     'third purge');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'no message remains');
sound();


=== export: all data of a user
--- given
sql("INSERT INTO chat_user (id, username, last_seen_at, display_name,
                            avatar_url)
     VALUES (9, 'Zoë', '2025-01-02 03:04:05.000006', 'Zoë \"Z\"', '/z.png')");
--- then
add_session('Zoë', token => 'zzz');
my $texts = join '', map { chr } 1 .. 31, 0x22, 0x27, 0x5c, 0x7f, 0xe9, 0x2028,
                                 0xfffe, 0x1f600;
my @texts = ($texts, '\\n \\t \\0 \\\\ \\', 'NULL', "</script>\n\n", "a\tb",
             "\r\n", ' ');

message('Zoë' => 'u1', $_) for @texts;
message('u1' => 'Zoë', 'an answer');
message('Zoë' => 'Zoë', 'a note');
message('u1' => 'u2', 'of others');
sql("UPDATE chat_message SET client_id = CONCAT('key\"\\\\', id) WHERE id <= 8");
sql("INSERT INTO chat_block VALUES (9, 2, '2025-01-02 03:04:05'),
     (1, 9, '2025-01-02 03:04:05')");
sql('UPDATE chat_conversation SET hi_read_id = 3, hi_unread = 1, lo_read_id = 5
     WHERE lo_id = 1 AND hi_id = 9');

my $bytes = chatctl('export Zoë');
is($Code, 0, 'exit status') or Test::More::diag($Errors);
is($Errors, '', 'no error output');

my $all = decode_json($bytes);

is_deeply([sort keys %$all], [qw(account blocks conversations files messages
               sessions)],
          'members');
my $created = delete $all->{account}{created_at};
like($created, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'times');
is_deeply($all->{account},
          { user_id => 9, username => 'Zoë', is_admin => JSON::PP::false,
            is_active => JSON::PP::true,
            last_seen_at => '2025-01-02T03:04:05.000006Z',
            display_name => 'Zoë "Z"', avatar_url => '/z.png' },
          'the account');
is(scalar @{ $all->{sessions} }, 1, 'one session');
is_deeply([sort keys %{ $all->{sessions}[0] }], ['created_at', 'expires_at'],
          'session has no token');
is_deeply($all->{conversations}, [
    { user => 'Zoë', message_count => 1, last_message_id => 9, unread => 0,
      read_id => 0, peer_read_id => 0 },
    { user => 'u1', message_count => 8, last_message_id => 8, unread => 1,
      read_id => 3, peer_read_id => 5 },
], 'the conversations') or Test::More::diag(Test::More::explain($all->{conversations}));
is_deeply($all->{blocks}, [
    { username => 'u2', since => '2025-01-02T03:04:05.000000Z' }
], 'the own blocks');
is_deeply([map { $_->{body} } @{ $all->{messages} }],
          [@texts, 'an answer', 'a note'], 'messages in order');
is_deeply([map { $_->{id} } @{ $all->{messages} }], [1 .. 9],
          'ids of messages');
is_deeply($all->{messages}[7],
          { id => 8, user => 'u1', recipient => 'Zoë', body => 'an answer',
            timestamp => '2025-12-30T07:03:02.325660Z' },
          'client id of another sender is omitted');
is($all->{messages}[0]{client_id}, 'key"\\1', 'own client id');
is($all->{messages}[8]{client_id}, undef, 'no client id');
unlike($bytes, qr/of others|password|token|\$y\$/, 'no other data');
like($bytes, qr/\xf0\x9f\x98\x80/, 'UTF-8 is not escaped');


=== export: a user without data, and an unknown user
--- then
sql('DELETE FROM chat_session');
my $all = decode_json(chatctl('export U4'));

is($all->{account}{username}, 'u4', 'the account');
is($all->{account}{$_}, undef, "$_ is omitted")
    for qw(last_seen_at display_name);
is_deeply([@$all{qw(sessions conversations messages)}], [[], [], []],
          'empty lists');

is(chatctl('export u5'), '', 'unknown user');
is($Code, 1, 'exit status');
like($Errors, qr/no user has the name "u5"/, 'error');


=== export: a snapshot of many messages
--- then
mass(20000, 1);

my $stop = keep_sending(u1 => 'u2', u2 => 'u1');
my $export = begin('export u1');

ok(wait_until(sub { ended($export) }, 60), 'done');
$stop->();

my $all = decode_json(Chat::read_file("$dir/output"));
my %count;

$count{ $_->{user} eq 'u1' ? $_->{recipient} : $_->{user} }++
    for @{ $all->{messages} };

cmp_ok(scalar @{ $all->{messages} }, '>', 11000, 'number of messages');
is_deeply({ map { ($_->{user} => $_->{message_count}) }
                @{ $all->{conversations} } }, \%count,
          'message counts match');


=== export: a lost connection results in an error
--- then
mass(40000, 1);

# the export blocks, since no process reads the pipe
POSIX::mkfifo("$dir/pipe", 0600) or die "mkfifo: $!\n";
open my $pipe, '+<', "$dir/pipe" or die "$dir/pipe: $!\n";

my $export = begin("export u1 >$dir/pipe");
my $reading = "FROM information_schema.processlist
               WHERE info LIKE 'SELECT STRAIGHT_JOIN %'";

ok(wait_until(sub { sql("SELECT COUNT(*) $reading") > 0 }, 15),
   'export has started');
settle(1);
sql("KILL $_") for sql("SELECT id $reading");

my $bytes = '';
$pipe->blocking(0);
ok(wait_until(sub {
    while (sysread $pipe, $bytes, 65536, length $bytes) { }
    return ended($export);
}, 30), 'export ends');

isnt($Code, 0, 'exit status');
like($bytes, qr/\A\{\n"account":/, 'output has started');
ok(!eval { decode_json($bytes) }, 'output is not valid JSON');


=== purge and erase: blocks
--- then
message(u1 => 'u2', 'old');
is(api($_->[0], PUT => "/api/v1/block/$_->[1]/")->code, 204, 'blocked')
    for ['u1', 'u2'], ['u2', 'u1'], ['u3', 'u1'], ['u2', 'u3'];

like(chatctl('purge --older-than 90d'), qr/^Deleted 1 messages /, 'purge');
is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
       ->code, 403, 'the block remains');

is(api('u2', DELETE => '/api/v1/block/u1/')->code, 204, 'unblocked');
is(api('u1', DELETE => '/api/v1/block/u2/')->code, 204, 'unblocked');
message(u2 => 'u1', 'remains');
is(api('u1', PUT => '/api/v1/block/u2/')->code, 204, 'blocked');
like(chatctl('erase u1 --yes --wait 0'), qr/^Erased u1: /, 'erase');
is(join(' ', sql('SELECT CONCAT(blocker_id, blocked_id) FROM chat_block')),
   '23', 'blocks of other users remain');
is(join(' ', sql('SELECT CONCAT(lo_id, hi_id, blocks) FROM chat_conversation
                  ORDER BY 1')), '120 231', 'in the conversations too');
is(chatctl('export u2') =~ /"blocks":\[\n(.*?)\n\]/s ? $1 : '',
   api('u2', GET => '/api/v1/block/')->body =~ /\[(.*)\]/ ? $1 : undef,
   'the list of another user');


=== erase: the account, its sessions and its messages
--- then
message(u1 => 'u2', 'from u1');
message(u2 => 'u1', 'from u2');
message(u1 => 'u3', 'to u3');
message(u1 => 'u1', 'a note');
message(u2 => 'u3', 'of others');
sql("INSERT INTO chat_user_word VALUES ('u', 1), ('u', 2)");
sql('UPDATE chat_conversation SET lo_unread = 0, hi_unread = 0
     WHERE lo_id = hi_id');

is(chatctl('erase u1 --wait 0'), '', 'no output without confirmation');
is($Code, 1, 'exit status without confirmation');
like($Errors, qr/"erase" requires confirmation/, 'error');
is(api('u1', GET => '/api/v1/user/')->code, 200, 'u1 still exists');

is(chatctl('erase U1 --yes --wait 1'),
   "Erased U1: deleted 3 messages and 2 empty conversations.\n"
   . "Messages that other users sent to U1 remain, with the recipient"
   . " \"deleted-1\".\n",
   'output');
is($Code, 0, 'exit status') or Test::More::diag($Errors);

is_deeply([sql('SELECT id, body FROM chat_message ORDER BY id')],
          [2 => 'from u2', 5 => 'of others'], 'remaining messages');
is_deeply([sql('SELECT username, password, is_admin, is_active, last_seen_at,
                       created_at, display_name, avatar_url
                FROM chat_user WHERE id = 1')],
          ['deleted-1', '!', 0, 0, undef, '1970-01-01 00:00:00.000000', undef,
           undef],
          'anonymous row');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 0,
   'no sessions');
is(join(' ', sql('SELECT user_id FROM chat_user_word')), '2', 'no words');
sound();

is_deeply([map { $_->{username} }
               @{ api('u2', GET => '/api/v1/user/?limit=9')->json->{results} }],
          ['u3', 'u4'], 'u1 is not listed');
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'deleted-1', body => 'x' })->code, 404,
   'no sends to the anonymous row');
is_deeply([texts(api('u2', GET => '/api/v1/message/?target=deleted-1')
                     ->json->{results})], ['from u2'],
          'u2 keeps the sent message');
is(api('u3', GET => '/api/v1/conversation/')->json->{results}[0]{user}, 'u2',
   'conversation of u3 with u1 is deleted');
is(chatctl('erase u1 --yes --wait 0'), '', 'second erase');
like($Errors, qr/no user has the name "u1"/, 'error');

# erase the received messages later
is(chatctl('erase deleted-1 --received --yes --wait 0'),
   "Erased deleted-1: deleted 1 messages and 1 empty conversations.\n",
   'received messages are deleted');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 1'), 0,
   'row is deleted');
sound();


=== erase: a user without received messages
--- given
sql("INSERT INTO chat_user (username) VALUES ('deleted-4'), ('deleted-4-')");
message(u4 => 'u2', 'x');
--- then
like(chatctl('erase u4 --wait 0 --yes'),
     qr/\AErased u4: deleted 1 messages .*\n\z/,
     'output');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 4'), 0, 'no row');
is(scalar sql('SELECT COUNT(*) FROM chat_conversation'), 0, 'no conversation');
sound();


=== erase: the anonymous name is unique
--- given
sql("INSERT INTO chat_user (username) VALUES ('Deleted-4'), ('deleted-4-')");
message(u2 => 'u4', 'x');
--- then
like(chatctl('erase u4 --yes --wait 0'), qr/the recipient "deleted-4--"/,
     'anonymous name');
sound();


=== erase: with received messages
--- then
message(u1 => 'u2', 'x');
message(u2 => 'u1', 'y');
message(u2 => 'u3', 'of others');

like(chatctl('erase u1 --received --yes --wait 0'),
     qr/\AErased u1: deleted 2 mess.*\n\z/,
     'output');
is_deeply([sql('SELECT body FROM chat_message')], ['of others'],
          'remaining messages');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 1'), 0,
   'row is deleted');
sound();


=== erase: wrong usage
--- then
for my $wrong ('erase', 'erase u1 --all', 'erase u1 --wait', 'erase u1 --wait x',
               'erase u1 u2')
{
    chatctl($wrong);
    is($Code, 2, $wrong);
}

chatctl("erase 'u1;' --yes");
is($Code, 1, 'invalid name');
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'all users remain');


=== erase: sessions end, sockets close, lists omit cached messages
--- server
chat_session_check 1s;
--- then
my $socket = web_socket('u1');
my $id = api('u1', POST => '/api/v1/message/',
             { recipient => 'u2', body => 'x' })->json->{id};

is($socket->{code}, 101, 'WebSocket');
chatctl('erase u1 --yes --wait 2');
is($Code, 0, 'exit status') or Test::More::diag($Errors);

is(api('u1', GET => '/api/v1/session/')->code, 403, 'session has ended');
ok(wait_until(sub { $socket->{closed} }, 15), 'WebSocket is closed');

# docs/operations.md: for ten minutes both users can fetch a message by id
is(api('u2', GET => "/api/v1/message/$id/")->code, 200, 'cached message');
is(api('u3', GET => "/api/v1/message/$id/")->code, 404, 'not for other users');
is_deeply(api('u2', GET => '/api/v1/message/?after=0')->json->{results}, [],
          'not in lists');


=== erase: concurrent sends
--- then
mass(6000, 1);

my $stop = keep_sending(u1 => 'u2', u2 => 'u1', u3 => 'u1', u3 => 'u2');
my $erase = begin('erase u1 --yes --wait 0');

ok(wait_until(sub { ended($erase) }, 60), 'erase ends');
my $codes = $stop->();

is($Code, 0, 'exit status') or Test::More::diag(Chat::read_file("$dir/output"));
is(join(' ', grep { !/^(201|403|404)$/ } keys %$codes), '',
   'sends succeed or are rejected')
    or Test::More::diag(Test::More::explain($codes));

# workers may have accepted sends of cached sessions
chatctl('erase deleted-1 --yes --wait 11');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE sender_id = 1'), 0,
   'no message from u1');
cmp_ok(scalar sql('SELECT COUNT(*) FROM chat_message WHERE recipient_id = 1'),
       '>', 0, 'messages to u1 remain');
sound();


=== erase: waits for a running send
--- then
my $other = connect_db();
$other->begin_work;
$other->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
            VALUES (1, 2, UTC_TIMESTAMP(6), 'late')");

my $erase = begin('erase u1 --yes --wait 0');

settle(1.5);
ok(!ended($erase), 'erase waits');
$other->do('INSERT INTO chat_conversation (lo_id, hi_id, message_count,
                                           last_message_id, hi_unread)
            VALUES (1, 2, 1, LAST_INSERT_ID(), 1)');
$other->commit;

ok(wait_until(sub { ended($erase) }, 30), 'erase ends');
is($Code, 0, 'exit status') or Test::More::diag(Chat::read_file("$dir/output"));
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'message is deleted');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 1'), 0,
   'user is deleted');
sound();
