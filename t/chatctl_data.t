#
# Copyright (C) ngx_chat contributors
#

# chatctl purge, export and erase, alone and beside a site that is in use

use File::Temp qw(tempdir);
use JSON::PP;
use POSIX qw(WNOHANG);
use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;

our $dir = tempdir(CLEANUP => 1);
our $chatctl = "$ENV{PWD}/chatctl --config $ENV{CHAT_TEST_CNF}";

our ($Code, $Errors);

# chatctl ARGUMENTS: what it prints, as bytes; $Code and what it says in $Errors

sub chatctl {
    my ($arguments) = @_;

    my $output = `$chatctl $arguments 2>$dir/errors </dev/null`;

    $Code = $? >> 8;
    $Errors = Chat::read_file("$dir/errors");

    return $output;
}

# begin ARGUMENTS: the same in the background; its process

sub begin {
    my ($arguments) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        exec "exec >$dir/output 2>&1 </dev/null $chatctl $arguments"
            or POSIX::_exit(127);
    }

    return $pid;
}

# ended PROCESS: whether it has, its exit code then in $Code

sub ended {
    my ($pid) = @_;

    return 0 if waitpid($pid, WNOHANG) == 0;

    $Code = $? >> 8;

    return 1;
}

# aged FROM => TO, DAYS, [BODY]: a message that is so old

sub aged {
    my ($from, $to, $days, $body) = @_;

    my $id = message($from => $to, $body // "$days days");

    sql('UPDATE chat_message
         SET created_at = UTC_TIMESTAMP(6) - INTERVAL ? DAY WHERE id = ?',
        $days, $id);

    return $id;
}

# mass N, DAYS: so many old messages among u1, u2 and u3, in one go

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

# recount: conversations as their messages want them, half of them read

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

# sound: the tables agree with each other, in all that chatctl looks at, and in
# what is unread.  Erased people read nothing.

sub sound {
    my $report = chatctl('db check');

    unlike($report, qr/^BAD/m, 'db check is content');
    is($Code, 0, 'and says so');

    my $unread = 'SELECT COUNT(*) FROM chat_conversation AS c
                  JOIN chat_user AS u ON u.id = c.%s_id AND u.is_active
                  WHERE %s_unread <> (SELECT COUNT(*) FROM chat_message AS m
                        WHERE m.lo_id = c.lo_id AND m.hi_id = c.hi_id
                          AND c.lo_id <> c.hi_id AND m.recipient_id = c.%s_id
                          AND m.id > c.%s_read_id)';

    is(scalar sql($unread =~ s/%s/lo/gr), 0, 'what is unread is counted');
    is(scalar sql($unread =~ s/%s/hi/gr), 0, 'on both sides');
}

# keep_sending WHO => TO: sends one after the other until stop() is called, which
# returns the codes of the answers, each with its number

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

# waiting: whether somebody comes to wait for a lock.  InnoDB tells no news to
# who asks more often than each tenth of a second.

sub waiting {
    return wait_until {
        settle(0.2);
        return sql("SELECT COUNT(*) FROM information_schema.innodb_trx
                    WHERE trx_state = 'LOCK WAIT'");
    };
}

run_tests();


__DATA__

=== purge: what is older goes, and the rest is as it should be
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
     qr/\A4 messages from before \S+ \S+ UTC are deleted, 1 conversations have none left\.\n\z/,
     'it says what it did');
is($Code, 0, 'and that it did');
is($Errors, '', 'and no more');
is_deeply([sql('SELECT body FROM chat_message ORDER BY id')],
          ['kept', 'another note', 'the last'], 'what is left');
is_deeply([sql('SELECT lo_id, hi_id, message_count, last_message_id, lo_read_id,
                       hi_read_id, lo_unread, hi_unread
                FROM chat_conversation ORDER BY lo_id, hi_id')],
          [1, 1, 1, 6, 0, 0, 0, 0,
           1, 2, 2, 7, 2, 0, 1, 1], 'the conversations');
sound();

my $inbox = api('u1', GET => '/api/v1/conversation/')->json;
is_deeply([map { $_->{user} } @{ $inbox->{results} }], ['u2', 'u1'],
          'the inbox has those that are left');

like(chatctl('purge --older-than 90d'), qr/^0 messages /, 'once more: nothing');


=== purge and erase: a client program that warns of something
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
like(chatctl('purge --older-than 90d'), qr/^2500 messages /, 'all of them');
is($Code, 0, 'done');
like($Errors, qr/^WARNING: /m, 'what it warns of can be read');

aged(u1 => 'u2', 1);
recount();
like(chatctl('erase u1 --yes --wait 0'), qr/^Erased u1: 1 messages /, 'erased');
is($Code, 0, 'done');

sound();


=== purge: the newest message may be older than others
--- then
aged(u1 => 'u2', 1, 'kept');
aged(u1 => 'u2', 100, 'the last');

like(chatctl('purge --older-than 3M'), qr/^1 messages /, 'it goes');
sound();
is(api('u1', GET => '/api/v1/conversation/')
       ->json->{results}[0]{last_message}{body}, 'kept', 'the one before is last');


=== purge: whoever wrote to an empty conversation begins anew
--- then
aged(u1 => 'u2', 100) for 1 .. 3;
api('u2', POST => '/api/v1/conversation/u1/read/', { id => 2 });

like(chatctl('purge --older-than 1y'), qr/^0 messages /, 'a year');
like(chatctl('purge --older-than 14w'), qr/^3 messages .* 1 conv/, '14 weeks');
is_deeply(api('u2', GET => '/api/v1/conversation/')->json->{results}, [],
          'there is none');
is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
       ->json->{id}, 4, 'ids go on');
is(api('u2', GET => '/api/v1/conversation/')->json->{results}[0]{unread}, 1,
   'it is unread');
sound();


=== purge: a gap of younger ones is no end, and many batches
--- then
mass(3000, 100);
mass(5000, 1);
mass(1500, 100);

like(chatctl('purge --older-than 2160h'), qr/^4500 messages /, 'all of them');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 5000, 'and no other');
sound();


=== purge: ages that are none
--- then
aged(u1 => 'u2', 36500);

for my $age ('90', 'd', '100000d', '99999y', '0d', '09d', '-1d', '1.5d', '90s', '90m', "'9 d'", 'x',
             "''", '99999999999999999999y', "\"1d'\"")
{
    is(chatctl("purge --older-than $age"), '', "$age: nothing is done");
    isnt($Code, 0, 'as the code tells');
    isnt($Errors, '', 'and the words');
    unlike($Errors, qr/ERROR/, 'which are its own');
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'nothing was');

for my $wrong ('purge', 'purge 90d', 'purge --older 90d', 'purge --older-than',
               'purge --older-than 90d 1')
{
    chatctl($wrong);
    is($Code, 2, $wrong);
}


=== purge: beside sends, all of which are stored
--- then
mass(12000, 100);

my $stop = keep_sending(u1 => 'u2', u2 => 'u1', u3 => 'u1', u1 => 'u3');
my $purge = begin('purge --older-than 90d');

ok(wait_until(sub { ended($purge) }, 60), 'it ends');
my $codes = $stop->();

is($Code, 0, 'well');
is_deeply([keys %$codes], [201], 'each send is stored meanwhile')
    or Test::More::diag(Test::More::explain($codes));
cmp_ok($codes->{201}, '>', 20, 'and there were many');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $codes->{201},
   'these are left, and none of the old');
is(scalar sql('SELECT SUM(message_count) FROM chat_conversation'),
   $codes->{201}, 'and counted');
sound();


=== purge: beside people who read
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

is($Code, 0, 'it ends well');
sound();
is(api('u2', POST => '/api/v1/conversation/u1/read/', { id => $last })
       ->json->{unread}, 0, 'all is read at last');


=== purge: what is read while it waits is not taken off twice
--- then
aged(u2 => 'u1', 100) for 1 .. 3;
aged(u2 => 'u1', 1) for 1 .. 2;

# a read mark under way
my $other = connect_db();
$other->begin_work;
$other->do('UPDATE chat_conversation SET lo_read_id = 3, lo_unread = 2');

my $purge = begin('purge --older-than 90d');

ok(waiting(), 'it waits');
$other->commit;

ok(wait_until(sub { ended($purge) }, 30), 'and ends');
is(scalar sql('SELECT lo_unread FROM chat_conversation'), 2, 'two are unread');
sound();


=== purge: waits for who has locked a row, and is done once more
--- then
aged(u1 => 'u2', 100) for 1 .. 3;

# the order that is not ours: first the conversation, then a message
my $other = connect_db();
$other->begin_work;
$other->do('SELECT * FROM chat_conversation FOR UPDATE');

my $purge = begin('purge --older-than 90d');

ok(waiting(), 'it waits');

# one of the two is the victim of the deadlock
eval { $other->do('SELECT * FROM chat_message FOR UPDATE') };
eval { $other->rollback };

ok(wait_until(sub { ended($purge) }, 30), 'it ends');
is($Code, 0, 'well') or Test::More::diag(Chat::read_file("$dir/output"));
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'all are gone');
sound();


=== purge: interrupted, and run again
--- then
mass(15000, 100);

my $purge = begin('purge --older-than 90d');

ok(wait_until(sub {
    sql('SELECT COUNT(*) FROM chat_message') < 13000
}, 30), 'on its way');
kill 'TERM', $purge;
ok(wait_until(sub { ended($purge) }, 30), 'it ends');

isnt($Code, 0, 'before its time');
like(Chat::read_file("$dir/output"),
     qr/^Interrupted: \d+ messages .*run it again to go on/m, 'and says so');

my $left = sql('SELECT COUNT(*) FROM chat_message');
cmp_ok($left, '>', 0, 'some are left');
sound();

# and by force
$purge = begin('purge --older-than 90d');
ok(wait_until(sub {
    sql('SELECT COUNT(*) FROM chat_message') < $left
}, 30), 'on its way again');
kill 'KILL', $purge;
ok(wait_until(sub { ended($purge) }, 30), 'killed');
settle(1);
sound();

like(chatctl('purge --older-than 90d'), qr/^\d+ messages /, 'a last time');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'all are gone');
sound();


=== export: all there is of a person
--- given
sql("INSERT INTO chat_user (id, username, last_seen_at)
     VALUES (9, 'Zoë', '2025-01-02 03:04:05.000006')");
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
sql('UPDATE chat_conversation SET hi_read_id = 3, hi_unread = 1, lo_read_id = 5
     WHERE lo_id = 1 AND hi_id = 9');

my $bytes = chatctl('export Zoë');
is($Code, 0, 'done') or Test::More::diag($Errors);
is($Errors, '', 'in silence');

my $all = decode_json($bytes);

is_deeply([sort keys %$all], [qw(account conversations messages sessions)],
          'its parts');
my $created = delete $all->{account}{created_at};
like($created, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'times');
is_deeply($all->{account},
          { user_id => 9, username => 'Zoë', is_admin => JSON::PP::false,
            is_active => JSON::PP::true,
            last_seen_at => '2025-01-02T03:04:05.000006Z' }, 'the account');
is(scalar @{ $all->{sessions} }, 1, 'one session');
is_deeply([sort keys %{ $all->{sessions}[0] }], ['created_at', 'expires_at'],
          'without what it could be known by');
is_deeply($all->{conversations}, [
    { user => 'Zoë', message_count => 1, last_message_id => 9, unread => 0,
      read_id => 0, peer_read_id => 0 },
    { user => 'u1', message_count => 8, last_message_id => 8, unread => 1,
      read_id => 3, peer_read_id => 5 },
], 'the conversations') or Test::More::diag(Test::More::explain($all->{conversations}));
is_deeply([map { $_->{body} } @{ $all->{messages} }],
          [@texts, 'an answer', 'a note'], 'the messages, in order');
is_deeply([map { $_->{id} } @{ $all->{messages} }], [1 .. 9], 'their ids');
is_deeply($all->{messages}[7],
          { id => 8, user => 'u1', recipient => 'Zoë', body => 'an answer',
            timestamp => '2025-12-30T07:03:02.325660Z' },
          'of others not even the key');
is($all->{messages}[0]{client_id}, 'key"\\1', 'but the own ones');
is($all->{messages}[8]{client_id}, undef, 'where there is one');
unlike($bytes, qr/of others|password|token|\$y\$/, 'and nothing else');
like($bytes, qr/\xf0\x9f\x98\x80/, 'UTF-8 is not escaped');


=== export: somebody who has nothing, and nobody
--- then
sql('DELETE FROM chat_session');
my $all = decode_json(chatctl('export U4'));

is($all->{account}{username}, 'u4', 'the account');
is($all->{account}{last_seen_at}, undef, 'never seen');
is_deeply([@$all{qw(sessions conversations messages)}], [[], [], []],
          'and no more');

is(chatctl('export u5'), '', 'nobody');
is($Code, 1, 'is an error');
like($Errors, qr/there is nobody called "u5"/, 'that says so');


=== export: many messages, as they were at one time
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

cmp_ok(scalar @{ $all->{messages} }, '>', 11000, 'all are there');
is_deeply({ map { ($_->{user} => $_->{message_count}) }
                @{ $all->{conversations} } }, \%count,
          'as many as were counted at that time');


=== export: the end of the connection is no complete export
--- then
mass(40000, 1);

# nobody reads: it stands still in the middle
POSIX::mkfifo("$dir/pipe", 0600) or die "mkfifo: $!\n";
open my $pipe, '+<', "$dir/pipe" or die "$dir/pipe: $!\n";

my $export = begin("export u1 >$dir/pipe");
my $reading = "FROM information_schema.processlist
               WHERE info LIKE 'SELECT STRAIGHT_JOIN %'";

ok(wait_until(sub { sql("SELECT COUNT(*) $reading") > 0 }, 15), 'begun');
settle(1);
sql("KILL $_") for sql("SELECT id $reading");

my $bytes = '';
$pipe->blocking(0);
ok(wait_until(sub {
    while (sysread $pipe, $bytes, 65536, length $bytes) { }
    return ended($export);
}, 30), 'ended');

isnt($Code, 0, 'not well');
like($bytes, qr/\A\{\n"account":/, 'nor is it all:');
ok(!eval { decode_json($bytes) }, 'it is no JSON');


=== erase: the account, its sessions and its messages
--- then
message(u1 => 'u2', 'from u1');
message(u2 => 'u1', 'from u2');
message(u1 => 'u3', 'to u3');
message(u1 => 'u1', 'a note');
message(u2 => 'u3', 'of others');
sql('UPDATE chat_conversation SET lo_unread = 0, hi_unread = 0
     WHERE lo_id = hi_id');

is(chatctl('erase u1 --wait 0'), '', 'it asks before');
is($Code, 1, 'and does nothing');
like($Errors, qr/erase asks/, 'but says so');
is(api('u1', GET => '/api/v1/user/')->code, 200, 'u1 is there');

is(chatctl('erase U1 --yes --wait 1'),
   "Erased U1: 3 messages are deleted, 2 conversations have none left.\n"
   . "What others wrote to U1 is still theirs, sent to \"deleted-1\".\n",
   'it says what it did');
is($Code, 0, 'and that it did') or Test::More::diag($Errors);

is_deeply([sql('SELECT id, body FROM chat_message ORDER BY id')],
          [2 => 'from u2', 5 => 'of others'], 'what is left');
is_deeply([sql('SELECT username, password, is_admin, is_active, last_seen_at,
                       created_at FROM chat_user WHERE id = 1')],
          ['deleted-1', '!', 0, 0, undef, '1970-01-01 00:00:00.000000'],
          'a row without a person');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 0,
   'and without a session');
sound();

is_deeply([map { $_->{username} }
               @{ api('u2', GET => '/api/v1/user/?limit=9')->json->{results} }],
          ['u3', 'u4'], 'nobody sees u1');
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'deleted-1', body => 'x' })->code, 404,
   'nobody writes to what is left');
is_deeply([texts(api('u2', GET => '/api/v1/message/?target=deleted-1')
                     ->json->{results})], ['from u2'],
          'u2 still has what u2 wrote');
is(api('u3', GET => '/api/v1/conversation/')->json->{results}[0]{user}, 'u2',
   'u3 has nothing of u1');
is(chatctl('erase u1 --yes --wait 0'), '', 'once more');
like($Errors, qr/there is nobody called "u1"/, 'there is nobody');

# the rest as well, later
is(chatctl('erase deleted-1 --received --yes --wait 0'),
   "Erased deleted-1: 1 messages are deleted, 1 conversations have none left.\n",
   'what others wrote, too');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 1'), 0,
   'then the row goes');
sound();


=== erase: somebody to whom nobody wrote leaves nothing
--- given
sql("INSERT INTO chat_user (username) VALUES ('deleted-4'), ('deleted-4-')");
message(u4 => 'u2', 'x');
--- then
like(chatctl('erase u4 --wait 0 --yes'), qr/\AErased u4: 1 messages .*\n\z/,
     'done');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 4'), 0, 'no row');
is(scalar sql('SELECT COUNT(*) FROM chat_conversation'), 0, 'no conversation');
sound();


=== erase: the name of what is left is one that nobody has
--- given
sql("INSERT INTO chat_user (username) VALUES ('Deleted-4'), ('deleted-4-')");
message(u2 => 'u4', 'x');
--- then
like(chatctl('erase u4 --yes --wait 0'), qr/sent to "deleted-4--"/, 'it differs');
sound();


=== erase: with what others wrote
--- then
message(u1 => 'u2', 'x');
message(u2 => 'u1', 'y');
message(u2 => 'u3', 'of others');

like(chatctl('erase u1 --received --yes --wait 0'), qr/\AErased u1: 2 mess.*\n\z/,
     'both');
is_deeply([sql('SELECT body FROM chat_message')], ['of others'], 'gone');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 1'), 0,
   'and the row of the account');
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
is($Code, 1, 'no name');
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'nobody is gone');


=== erase: sessions end, sockets close, and what is cached is told no longer
--- server
chat_session_check 1s;
--- then
my $socket = web_socket('u1');
my $id = api('u1', POST => '/api/v1/message/',
             { recipient => 'u2', body => 'x' })->json->{id};

is($socket->{code}, 101, 'a socket');
chatctl('erase u1 --yes --wait 2');
is($Code, 0, 'erased') or Test::More::diag($Errors);

is(api('u1', GET => '/api/v1/session/')->code, 403, 'the session is over');
ok(wait_until(sub { $socket->{closed} }, 15), 'the socket closes');

# as README says: a message itself for ten minutes, by its id, to its people
is(api('u2', GET => "/api/v1/message/$id/")->code, 200, 'from the zone');
is(api('u3', GET => "/api/v1/message/$id/")->code, 404, 'to nobody else');
is_deeply(api('u2', GET => '/api/v1/message/?after=0')->json->{results}, [],
          'but in no list');


=== erase: beside sends, by all and to all
--- then
mass(6000, 1);

my $stop = keep_sending(u1 => 'u2', u2 => 'u1', u3 => 'u1', u3 => 'u2');
my $erase = begin('erase u1 --yes --wait 0');

ok(wait_until(sub { ended($erase) }, 60), 'it ends');
my $codes = $stop->();

is($Code, 0, 'well') or Test::More::diag(Chat::read_file("$dir/output"));
is(join(' ', grep { !/^(201|403|404)$/ } keys %$codes), '',
   'stored, or there is nobody any more') or Test::More::diag(Test::More::explain($codes));

# whom a worker still took for logged in may have sent on
chatctl('erase deleted-1 --yes --wait 11');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE sender_id = 1'), 0,
   'nothing by u1 is left');
cmp_ok(scalar sql('SELECT COUNT(*) FROM chat_message WHERE recipient_id = 1'),
       '>', 0, 'but what others wrote');
sound();


=== erase: a send under way is waited for
--- then
my $other = connect_db();
$other->begin_work;
$other->do("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
            VALUES (1, 2, UTC_TIMESTAMP(6), 'late')");

my $erase = begin('erase u1 --yes --wait 0');

settle(1.5);
ok(!ended($erase), 'it waits');
$other->do('INSERT INTO chat_conversation (lo_id, hi_id, message_count,
                                           last_message_id, hi_unread)
            VALUES (1, 2, 1, LAST_INSERT_ID(), 1)');
$other->commit;

ok(wait_until(sub { ended($erase) }, 30), 'and ends');
is($Code, 0, 'well') or Test::More::diag(Chat::read_file("$dir/output"));
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'with that message');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE id = 1'), 0, 'and u1');
sound();
