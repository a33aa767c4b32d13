#
# Copyright (C) ngx_chat contributors
#

# sql/grants.sql: the module's account has the rights that it needs and no other

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Files;

our $Database = $ENV{TEST_NGINX_CHAT_DB};
our $Account = "'chat'\@'localhost'";

# as_module: returns a connection with the module's account and password

sub as_module {
    my ($database) = @_;

    open my $file, '<', $ENV{TEST_NGINX_CHAT_PASSWORD_FILE} or die $!;
    chomp(my $password = readline $file);

    return DBI->connect(
        'DBI:MariaDB:database=' . ($database // $Database)
        . ";mariadb_socket=$ENV{TEST_NGINX_CHAT_SOCKET}", 'chat', $password,
        { RaiseError => 0, PrintError => 0 });
}

# rights: returns the rights in grants.sql: [TABLE, RIGHT, COLUMN or undef], ...

sub rights {
    my $path = __FILE__ =~ s{[^/]*$}{../sql/grants.sql}r;

    open my $file, '<', $path or die "$path: $!\n";
    my $text = join '', grep { !/^--/ } <$file>;
    my @rights;

    while ($text =~ /GRANT \s+ (.*?) \s+ ON \s+ chat\.(\w+) \s+ TO/gsx) {
        my ($list, $table) = ($1, $2);

        while ($list =~ /(\w+) \s* (?: \( ([^)]*) \) )?/gx) {
            my ($right, $columns) = ($1, $2);

            push @rights, map { [$table, $right, $_] }
                              defined $columns ? split /\s*,\s*/, $columns
                                               : undef;
        }
    }

    return @rights;
}

# name RIGHT, clause RIGHT: return the right as text, and for GRANT

sub name {
    my ($table, $right, $column) = @{ $_[0] };

    return "$right on $table" . (defined $column ? ".$column" : '');
}

sub clause {
    my ($table, $right, $column) = @{ $_[0] };

    return $right . (defined $column ? " ($column)" : '')
           . " ON $Database.$table";
}

# use_all: performs every operation once and returns the names of those that
# fail

my $Round = 0;

# files: the same for files

sub files {
    my @failed;

    my $token = eval { uploaded('u1', 'x') } // return 'upload';
    my $message = eval { send_files('u1', 'u2', $token) } // return 'send files';

    push @failed, 'download'
        if api('u2', GET => "/api/v1/file/$token/")->code != 200;

    sql('UPDATE chat_file SET created_at = created_at - INTERVAL 2 DAY');

    push @failed, 'delete files'
        if api('u1', DELETE => "/api/v1/message/$message->{id}/")->code != 204;

    wait_until(sub { !sql('SELECT COUNT(*) FROM chat_file') }, 2)
        or push @failed, 'removal of files';

    return @failed;
}

sub use_all {
    my @failed;

    # nothing is left of an earlier round that failed
    Chat::reset_tables();
    message(u2 => 'u1', 'x');
    sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');

    $Round++;
    add_session('u4', token => 'x' x 43);

    my $step = sub {
        my ($name, $code, $who, @request) = @_;
        my $res = api($who, @request);

        push @failed, $name if $res->code != $code;
        return $res;
    };

    my $log_in = { username => 'u1', password => 'correct horse' };

    $step->('log in', 200, '', POST => '/api/v1/session/', $log_in);
    $step->('who am I', 200, 'u1', GET => '/api/v1/session/');
    $step->('send', 201, 'u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'x' }, 'Idempotency-Key' => $Round);
    $step->('send again', 200, 'u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'x' }, 'Idempotency-Key' => $Round);
    $step->('get', 200, 'u1', GET => '/api/v1/message/1/');
    $step->('list', 200, 'u1', GET => '/api/v1/message/');
    $step->('list with one', 200, 'u1', GET => '/api/v1/message/?target=u2');
    $step->('before', 200, 'u1',
            GET => '/api/v1/message/?target=u2&before=latest');
    $step->('after', 200, 'u1', GET => '/api/v1/message/?after=0');
    $step->('after latest', 200, 'u1', GET => '/api/v1/message/?after=latest');
    $step->('edit', 200, 'u2', PATCH => '/api/v1/message/1/', { body => 'y' });
    $step->('edit again', 200, 'u2', PATCH => '/api/v1/message/1/',
            { body => 'z' });
    $step->('changes', 200, 'u1', GET => '/api/v1/message/?after=0&changes=1');
    $step->('reply', 201, 'u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'x', reply_to => 1 });
    $step->('delete', 204, 'u2', DELETE => '/api/v1/message/1/');
    push @failed, files();
    $step->('people', 200, 'u1', GET => '/api/v1/user/');
    $step->('search', 200, 'u1', GET => '/api/v1/user/?search=u');
    $step->('profile', 200, 'u1', GET => '/api/v1/profile/u2/');
    $step->('new name', 200, 'u1', PATCH => '/api/v1/profile/',
            { display_name => "Name $Round" });
    $step->('inbox', 200, 'u1', GET => '/api/v1/conversation/');
    $step->('read', 200, 'u1', POST => '/api/v1/conversation/u2/read/',
            { id => 1 });
    $step->('typing', 204, 'u1', POST => '/api/v1/conversation/u2/typing/');
    $step->('block', 204, 'u1', PUT => '/api/v1/block/u3/');
    $step->('list blocks', 200, 'u1', GET => '/api/v1/block/');
    $step->('unblock', 204, 'u1', DELETE => '/api/v1/block/u3/');
    $step->('password', 204, 'u3', POST => '/api/v1/password/',
            { old_password => 'correct horse',
              new_password => 'battery staple' });
    $step->('list sessions', 200, 'u1', GET => '/api/v1/session/all/');
    $step->('end sessions', 204, 'u1', DELETE => '/api/v1/session/all/');

    sql('UPDATE chat_session SET last_seen_at = UTC_TIMESTAMP() - INTERVAL 1 DAY
         WHERE user_id = 2');
    $step->('session in use', 200, 'u2', GET => '/api/v1/session/');
    wait_until(sub {
        return sql('SELECT last_seen_at > UTC_TIMESTAMP() - INTERVAL 1 HOUR
                    FROM chat_session WHERE user_id = 2');
    }, 2) or push @failed, 'time of use';

    $step->('log out', 204, 'u4', DELETE => '/api/v1/session/');

    return @failed;
}

# reconnect: kills the connections of nginx, whose successors see new rights

sub reconnect {
    my @ids = sql('SELECT id FROM information_schema.processlist
                   WHERE user = ?', 'chat');

    eval { sql("KILL $_") } for @ids;
}

# refusals: returns the number of logged errors due to a missing right

sub refusals {
    return scalar(() = error_log() =~ /chat: .*\b(?:1142|1143)\b/g);
}

# tried BY, STATEMENT: returns the error number, 0 for success

sub tried {
    my ($db, $statement) = @_;

    return defined $db->do($statement) ? 0 : $db->err;
}

run_tests();


__DATA__

=== the module works with all rights and needs each of them
--- http
chat_db_connections 1;
--- change
# without a cache, every operation queries the database
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg or die;
with_files();
--- timeout: 200
--- then
# the rights for chat_hosts are tested below
my @rights = rights();

cmp_ok(scalar @rights, '>=', 15, 'grants.sql is read') or diag(scalar @rights);
is(join(', ', use_all()), '', 'every operation works with all rights');

# and after its connections are killed
for (1 .. 3) {
    reconnect();
    is(join(', ', use_all()), '', 'every operation works with new connections');
}

is(refusals(), 0, 'no right is missing');

for my $right (@rights) {
    my $refusals = refusals();

    sql('REVOKE ' . clause($right) . " FROM $Account");
    reconnect();

    my @failed = use_all();

    isnt(scalar @failed, 0, 'without ' . name($right) . ', operations fail: '
                            . join ', ', @failed);
    cmp_ok(refusals(), '>', $refusals, 'the missing right is logged');

    sql('GRANT ' . clause($right) . " TO $Account");
    reconnect();

    # the module tries an unreachable database again after two seconds
    wait_until {
        api('u1', GET => '/api/v1/session/')->code == 200
        && api('u1', GET => '/api/v1/user/')->code == 200
    };
}

is(join(', ', use_all()), '', 'every operation works with all rights again');


=== the account has only the rights in grants.sql
--- then
my %granted;

for (sql("SHOW GRANTS FOR $Account")) {
    s/IDENTIFIED BY PASSWORD .*//;
    $granted{$1} = 1 if /^GRANT (.*?) TO /;
}

is(delete $granted{'USAGE ON *.*'}, 1, 'the account may connect');
is(scalar(grep { !/ ON `\Q$Database\E`\.`chat_\w+`$/ } keys %granted), 0,
   'all rights are on single tables') or diag(join "\n", keys %granted);
is(scalar(grep { /ALL|GRANT OPTION/ } keys %granted), 0,
   'all rights are listed');

my %tables = map { $_->[0] => 1 } rights();
is(scalar keys %granted, scalar keys %tables, 'each table has a line');


=== the account has no other rights
--- given
message(u1 => 'u2', 'x');
sql("CREATE DATABASE IF NOT EXISTS ${Database}_other");
sql("CREATE TABLE IF NOT EXISTS ${Database}_other.t (n INT)");
--- then
my $db = as_module();
ok($db, 'the account connects');

# 1044 database, 1142 table, 1143 column, 1227 right of the server, 1370
# routine, 1045 file: access denied

my $denied = qr/^(?:1044|1045|1142|1143|1227|1370)$/;

for my $statement (
    # tables
    'DROP TABLE chat_message', 'TRUNCATE TABLE chat_message',
    'ALTER TABLE chat_user ADD COLUMN x INT', 'CREATE TABLE x (n INT)',
    'CREATE TEMPORARY TABLE x (n INT)', 'CREATE INDEX x ON chat_message (id)',
    'RENAME TABLE chat_user TO x', 'CREATE VIEW x AS SELECT 1 AS n',
    'LOCK TABLES chat_message WRITE',
    'CREATE TRIGGER x BEFORE INSERT ON chat_message FOR EACH ROW SET @x = 1',
    'CREATE PROCEDURE x() SELECT 1', 'CREATE EVENT x ON SCHEDULE EVERY 1 DAY
     DO SELECT 1', "DROP DATABASE $Database", 'CREATE DATABASE chat_x',

    # users: no insert and delete; rank, name and state cannot be changed
    "INSERT INTO chat_user (username) VALUES ('x')",
    'DELETE FROM chat_user', 'UPDATE chat_user SET is_admin = TRUE',
    'UPDATE chat_user SET is_active = TRUE',
    "UPDATE chat_user SET username = 'x'", 'UPDATE chat_user SET id = 9',

    # messages keep their users, times and keys
    'DELETE FROM chat_message', 'UPDATE chat_message SET recipient_id = 3',
    'UPDATE chat_message SET sender_id = 3',
    'UPDATE chat_message SET created_at = NOW()',
    'UPDATE chat_message SET client_id = NULL',
    'UPDATE chat_message SET target_id = 1', 'UPDATE chat_message SET id = 9',
    "REPLACE INTO chat_message (id, sender_id, recipient_id, created_at, body)
     VALUES (1, 1, 2, NOW(), 'x')",
    'DELETE FROM chat_conversation', 'DELETE FROM chat_writing',

    # sessions keep their users and times
    'UPDATE chat_session SET user_id = 1',
    'UPDATE chat_session SET expires_at = NOW() + INTERVAL 1 YEAR',
    'UPDATE chat_schema SET version = 9', 'DELETE FROM chat_schema',

    # other databases
    "SELECT * FROM ${Database}_other.t", "USE ${Database}_other",
    'SELECT * FROM mysql.global_priv', 'SELECT * FROM mysql.user', 'USE mysql',

    # files
    'SELECT body FROM chat_message INTO OUTFILE "/tmp/ngx_chat_outfile"',
    'LOAD DATA INFILE "/etc/passwd" INTO TABLE chat_writing',

    # the server
    'SET GLOBAL general_log = 1', 'FLUSH TABLES', 'SHUTDOWN',
    "CREATE USER x\@localhost", "SET PASSWORD FOR root\@localhost = ''",
    "GRANT SELECT ON chat_user TO $Account",
    "GRANT ALL ON *.* TO $Account WITH GRANT OPTION",
    'CREATE FUNCTION loaded RETURNS STRING SONAME "x.so"',
    'SHOW CREATE USER root@localhost',
) {
    like(tried($db, $statement), $denied,
         join ' ', split ' ', substr $statement, 0, 70) or diag($db->errstr);
}

# these return nothing instead of an error

is($db->selectrow_array("SELECT LOAD_FILE('/etc/passwd')"), undef,
   'files of the server cannot be read');

my @others = grep { $_->[1] ne 'chat' }
                  @{ $db->selectall_arrayref('SHOW PROCESSLIST') };
is(scalar @others, 0, 'statements of other accounts are hidden');

# all accounts of MySQL see performance_schema
is(join(' ', grep { $_ ne 'performance_schema' }
                  map { @$_ } @{ $db->selectall_arrayref('SHOW DATABASES') }),
   "$Database information_schema", 'other databases are hidden');

is(as_module('mysql'), undef, 'and cannot be used');
sql("DROP DATABASE ${Database}_other");


=== statements within the rights succeed
--- given
message(u1 => 'u2', 'x');
--- then
my $db = as_module();

is(tried($db, $_), 0, $_) for (
    'SELECT username, password FROM chat_user',
    'UPDATE chat_user SET password = password',
    'UPDATE chat_user SET last_seen_at = NOW()',
    'SELECT body FROM chat_message',
    'UPDATE chat_conversation SET lo_unread = 0',
    'DELETE FROM chat_session WHERE user_id = 9',
    'SELECT version FROM chat_schema',
);


=== the account needs its password and a local connection
--- then
my $connect = sub {
    my ($user, $password) = @_;

    return DBI->connect(
        "DBI:MariaDB:mariadb_socket=$ENV{TEST_NGINX_CHAT_SOCKET}", $user,
        $password, { RaiseError => 0, PrintError => 0 });
};

is($connect->('chat', ''), undef, 'no password');
is($connect->('chat', 'wrong'), undef, 'a wrong password');
is(join(' ', sql("SELECT host FROM mysql.user WHERE user = 'chat'")),
   'localhost', 'the account is local');
