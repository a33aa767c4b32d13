#
# Copyright (C) ngx_chat contributors
#

# the tables of the previous version, and their migration while the site is in
# use

use File::Basename qw(dirname);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Files;

our @Migrations = map { dirname(__FILE__) . "/../sql/migrations/$_" }
                      '0006-changes.sql', '0007-blocks.sql',
                      '0008-files.sql',
                      '0009-members.sql';

# go_back: gives the tables the form of version 5; go_back_to_N: of version N

sub go_back_to_8 {
    sql('DROP TABLE chat_user_word, chat_audit');
    sql('ALTER TABLE chat_user DROP COLUMN display_name,
         DROP COLUMN avatar_url');
    sql('ALTER TABLE chat_user RENAME INDEX name TO username_key');
    sql('UPDATE chat_schema SET version = 8');
}

sub go_back_to_7 {
    go_back_to_8();
    sql('DROP TABLE chat_file');
    sql('ALTER TABLE chat_message DROP COLUMN files');
    sql('ALTER TABLE chat_session RENAME INDEX session TO id');
    sql('UPDATE chat_schema SET version = 7');
}

sub go_back_to_6 {
    go_back_to_7();
    sql('DROP TABLE chat_block');
    sql('ALTER TABLE chat_conversation DROP COLUMN blocks');
    sql('ALTER TABLE chat_session RENAME INDEX expires TO expires_at');
    sql('UPDATE chat_schema SET version = 6');
}

sub go_back {
    go_back_to_6();
    sql('ALTER TABLE chat_message
         ADD KEY conversation (lo_id, hi_id, id),
         ADD KEY sender (sender_id, id), ADD KEY recipient (recipient_id, id),
         DROP KEY pair, DROP KEY sent, DROP KEY received, DROP COLUMN kind,
         DROP COLUMN target_id, DROP COLUMN change_id, DROP COLUMN reply_to,
         DROP COLUMN edited_at, DROP COLUMN sent_hash');
    sql('ALTER TABLE chat_conversation DROP COLUMN deleted_count');
    sql('CREATE TABLE IF NOT EXISTS chat_epoch
         (epoch INT UNSIGNED NOT NULL PRIMARY KEY, seen_at DATETIME NOT NULL)');
    sql('UPDATE chat_schema SET version = 5');
}

# statements FILE

sub statements {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";

    return grep { /\S/ } split /;/, join '', grep { !/^--/ } <$file>;
}

# migrate: as "chatctl db migrate" does

sub migrate {
    for my $path (@Migrations) {
        my ($version) = $path =~ m{/0*(\d+)-[^/]*$};

        next if $version <= sql('SELECT version FROM chat_schema');

        sql($_) for statements($path);
        sql("UPDATE chat_schema SET version = $version");
    }
}

# works NAME: performs the operations of all versions

sub works {
    my ($name) = @_;

    my @codes = map { $_->code } (
        api('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => $name, client_id => $name }),
        api('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => $name, client_id => $name }),
        api('u2', GET => '/api/v1/message/1/'),
        (map { api('u2', GET => "/api/v1/message/$_") }
             '', '?target=u1', '?page=last', '?before=latest', '?after=0',
             '?after=latest', '?after=0&changes=1',
             '?after=0&changes=1&target=u1'),
        api('u2', GET => '/api/v1/conversation/'),
        api('u2', POST => '/api/v1/conversation/u1/read/', { id => 2 }),
        api('u2', POST => '/api/v1/conversation/u2/read/', { id => 2 }),
    );

    is("@codes", '201 200' . ' 200' x 12, $name);
}

run_tests();


__DATA__

=== tables of the previous version work, without changes
--- given
message(u1 => 'u2', $_) for 'one', 'two', 'three';
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
go_back();
--- change
# every operation queries the database
s/^ *chat_zone [^;]*;//m or die;
--- then
works("previous-$_") for 1 .. 4;

is(api('u1', PATCH => '/api/v1/message/1/', { body => 'x' })->code, 503,
   'an edit');
is(api('u1', DELETE => '/api/v1/message/1/')->code, 503, 'a deletion');
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'x', reply_to => 1 })->code, 503,
   'a reply');
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'x', reply_to => 99 })->code, 400,
   'a reply to no message');

migrate();

works("current-$_") for 1 .. 4;

is(api('u1', PATCH => '/api/v1/message/1/', { body => 'x' })->json->{body},
   'x', 'an edit');
is(api('u1', DELETE => '/api/v1/message/2/')->code, 204, 'a deletion');
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'x', reply_to => 1 })->code, 201,
   'a reply');
is(join(' ', map { $_->{change} // () }
             @{ api('u2', GET => '/api/v1/message/?after=0&changes=1&limit=99')
                    ->json->{results} }),
   'edited deleted', 'the changes');
is(join(' ', grep { !/^(previous|current)/ }
             texts(api('u2', GET => '/api/v1/message/?after=0&limit=99')
                       ->json->{results})),
   'x three x', 'the messages');
unlike(error_log(), qr/needs \d/, 'no version is rejected');


=== a change is the first request after the migration
--- given
message(u1 => 'u2', $_) for 'one', 'two', 'three';
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
go_back();
--- then
works('previous');
migrate();
is(api('u1', PATCH => '/api/v1/message/1/', { body => 'x' })->code, 200,
   'an edit') for 1 .. 4;
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'x', reply_to => 1 })->code, 201,
   'a reply') for 1 .. 4;
is(api('u1', DELETE => '/api/v1/message/1/')->code, 204, 'a deletion');
is(api('u2', GET => '/api/v1/message/1/')->code, 404, 'it is deleted')
    for 1 .. 8;


=== tables without blocks
--- given
message(u1 => 'u2', $_) for 'one', 'two', 'three';
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
go_back_to_6();
--- change
# every operation queries the database
s/^ *chat_zone [^;]*;//m or die;
--- then
works("previous-$_") for 1 .. 4;

is(api('u1', GET => '/api/v1/block/')->body, '{"results":[]}', 'no blocks');
is(api('u1', PUT => '/api/v1/block/u2/')->code, 503, 'blocking')
    for 1 .. 4;
is(api('u1', DELETE => '/api/v1/block/u2/')->code, 503, 'unblocking');
is(api('u1', POST => '/api/v1/conversation/u2/typing/')->code, 204, 'typing');

# connections have read the former version
migrate();
sql('INSERT INTO chat_block VALUES (2, 1, UTC_TIMESTAMP(6))');
sql('UPDATE chat_conversation SET blocks = 2 WHERE lo_id = 1 AND hi_id = 2');

is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
       ->code, 403, 'a block is respected at once') for 1 .. 8;
is(api('u1', POST => '/api/v1/conversation/u2/typing/')->code, 204, 'typing');
is(api('u2', GET => '/api/v1/block/')->json->{results}[0]{username}, 'u1',
   'the list') for 1 .. 4;
is(api('u2', DELETE => '/api/v1/block/u1/')->code, 204, 'unblocked');
works("current-$_") for 1 .. 4;
is(api('u1', PUT => '/api/v1/block/u2/')->code, 204, 'blocked');
unlike(error_log(), qr/needs \d/, 'no version is rejected');


=== tables without files
--- given
message(u1 => 'u2', $_) for 'one', 'two', 'three';
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
go_back_to_7();
--- change
# every operation queries the database
s/^ *chat_zone [^;]*;//m or die;
with_files();
--- then
works("previous-$_") for 1 .. 4;

my $token = '0' x 32;

is(upload('u1', 'name=a', 'x')->code, 503, 'an upload') for 1 .. 4;
is(api('u1', GET => "/api/v1/file/$token/")->code, 404, 'a download');
is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u2', files => [$token] })->code, 400, 'a message');
is(api('u1', DELETE => '/api/v1/message/3/')->code, 204, 'a deletion');

# connections have read the former version; message 2 is not in the zone
migrate();
sql("UPDATE chat_message SET files = '[{\"file\":\"$token\",\"name\":\"a\",'
     '\"type\":\"a/b\",\"size\":1,\"url\":\"file/$token/a\"}]' WHERE id = 2");

for (1 .. 8) {
    is(api('u2', GET => '/api/v1/message/2/')->json->{files}[0]{url},
       "/api/v1/file/$token/a", 'a message has its files at once');
    is(api('u2', GET => '/api/v1/message/?before=3')->json
           ->{results}[0]{files}[0]{file}, $token, 'also in a list');
}

is(upload('u1', 'name=a', 'x')->code, 201, 'an upload') for 1 .. 4;
works("current-$_") for 1 .. 4;
unlike(error_log(), qr/needs \d/, 'no version is rejected');


=== tables without profiles
--- given
message(u1 => 'u2', 'one');
go_back_to_8();
--- change
# every operation queries the database
s/^ *chat_zone [^;]*;//m or die;
--- then
my $search = sub {
    return api('u1', GET => '/api/v1/user/?search=u2')->body;
};
my $inbox = sub {
    return api('u1', GET => '/api/v1/conversation/')->json->{results}[0];
};

like($search->(), qr/"u2","display_name":null/, 'a search') for 1 .. 4;
is($inbox->()->{display_name}, undef, 'an inbox') for 1 .. 4;
is(api('u1', GET => '/api/v1/profile/u2/')->code, 503, 'a profile');
is(api('u1', PATCH => '/api/v1/profile/', { display_name => 'x' })->code, 503,
   'a new name');
is(api('', POST => '/api/v1/session/',
       { username => 'u1', password => 'correct horse' })->code, 200,
   'a login');

# connections have read the former version
migrate();
sql("UPDATE chat_user SET display_name = 'Bob' WHERE id = 2");

like($search->(), qr/"u2","display_name":"Bob"/, 'a search') for 1 .. 8;
is($inbox->()->{display_name}, 'Bob', 'an inbox') for 1 .. 8;
is(api('u1', GET => '/api/v1/profile/u2/')->json->{display_name}, 'Bob',
   'a profile');
is(api('u1', PATCH => '/api/v1/profile/', { display_name => 'Al' })->code, 200,
   'a new name');
unlike(error_log(), qr/needs \d/, 'no version is rejected');


=== requests succeed during the migration
--- timeout: 60
--- given
message(u1 => 'u2', $_) for 1 .. 300;
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
go_back();
--- then
my ($left, $end, $n, %codes) = (0, 0, 0);

my $next;
$next = sub {
    my ($i) = @_;

    return if $end;
    $left++;
    $n++;

    my @request = (
        ['u1', POST => '/api/v1/message/',
         { recipient => 'u2', body => $n, client_id => "k$n" }],
        ['u2', GET => '/api/v1/message/?target=u1'],
        ['u2', GET => '/api/v1/message/?after=280&changes=1'],
        ['u2', GET => '/api/v1/message/'],
        ['u2', GET => '/api/v1/message/' . (1 + $n % 300) . '/'],
        ['u2', POST => '/api/v1/conversation/u1/read/', { id => $n }],
    );
    my ($who, @rest) = @{ $request[$i % @request] };

    request($who, @rest)->then(sub {
        $codes{"$rest[0] $rest[1]" =~ s/\d+/N/gr . ' ' . $_[0]->code}++;
    })->finally(sub { $left--; $next->($i) });
};

$next->($_) for 0 .. 11;
settle(0.5);

my $pid = fork // die "fork: $!\n";

if ($pid == 0) {
    my $db = connect_db();

    for my $n (0 .. $#Migrations) {
        $db->do($_) for statements($Migrations[$n]);
        $db->do('UPDATE chat_schema SET version = ' . (6 + $n));
    }

    POSIX::_exit(0);
}

ok(wait_until { waitpid($pid, 1) }, 'the migration ends');
settle(1);
$end = 1;
ok(wait_until { $left == 0 }, 'all requests end');

my @failed = grep { !/ 20[01]$/ } sort keys %codes;

is("@failed", '', 'all requests succeed') or diag(explain(\%codes));
is(api('u1', PATCH => '/api/v1/message/1/', { body => 'x' })->code, 200,
   'messages can be edited');
is(scalar sql('SELECT message_count - (SELECT COUNT(*) FROM chat_message
                                       WHERE kind = 0)
               FROM chat_conversation'), 0, 'the count is correct');
