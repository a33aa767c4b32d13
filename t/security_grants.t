#
# Copyright (C) ngx_chat contributors
#

# sql/grants.sql: the module's account can do what it needs to, and no more

use Test::Nginx::Socket 'no_plan';
use Chat;

our $Database = $ENV{TEST_NGINX_CHAT_DB};
our $Account = "'chat'\@'localhost'";

# as_module: a connection with the module's account and password

sub as_module {
    my ($database) = @_;

    open my $file, '<', $ENV{TEST_NGINX_CHAT_PASSWORD_FILE} or die $!;
    chomp(my $password = readline $file);

    return DBI->connect(
        'DBI:MariaDB:database=' . ($database // $Database)
        . ";mariadb_socket=$ENV{TEST_NGINX_CHAT_SOCKET}", 'chat', $password,
        { RaiseError => 0, PrintError => 0 });
}

# rights: all that grants.sql gives: [TABLE, RIGHT, COLUMN or undef], ...

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

# name RIGHT, and clause RIGHT: for people, and for GRANT

sub name {
    my ($table, $right, $column) = @{ $_[0] };

    return "$right on $table" . (defined $column ? ".$column" : '');
}

sub clause {
    my ($table, $right, $column) = @{ $_[0] };

    return $right . (defined $column ? " ($column)" : '')
           . " ON $Database.$table";
}

# use_all: every operation there is, once; the names of those that failed

my $Round = 0;

sub use_all {
    my @failed;

    # nothing is left of an earlier round that did not get far
    Chat::reset_tables();
    message(u2 => 'u1', 'x');

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
    $step->('people', 200, 'u1', GET => '/api/v1/user/');
    $step->('search', 200, 'u1', GET => '/api/v1/user/?search=u');
    $step->('inbox', 200, 'u1', GET => '/api/v1/conversation/');
    $step->('read', 200, 'u1', POST => '/api/v1/conversation/u2/read/',
            { id => 1 });
    $step->('password', 204, 'u3', POST => '/api/v1/password/',
            { old_password => 'correct horse',
              new_password => 'battery staple' });
    $step->('log out', 204, 'u4', DELETE => '/api/v1/session/');

    return @failed;
}

# reconnect: nginx's connections end; what is read when one begins is read anew

sub reconnect {
    my @ids = sql('SELECT id FROM information_schema.processlist
                   WHERE user = ?', 'chat');

    eval { sql("KILL $_") } for @ids;
}

# refusals: how often the log says that a right was missing

sub refusals {
    return scalar(() = error_log() =~ /chat: .*\b(?:1142|1143)\b/g);
}

# tried BY, STATEMENT: the error's number, 0 for success

sub tried {
    my ($db, $statement) = @_;

    return defined $db->do($statement) ? 0 : $db->err;
}

run_tests();


__DATA__

=== with all of its rights the module works, and it needs each of them
--- http
chat_db_connections 1;
--- change
# nothing is remembered that is to be asked
s/^ *chat_zone [^;]*;//m or die;
--- timeout: 200
--- then
# what is needed with chat_hosts alone is below
my @rights = grep { $_->[0] ne 'chat_epoch' } rights();

cmp_ok(scalar @rights, '>=', 15, 'grants.sql is read') or diag(scalar @rights);
is(join(', ', use_all()), '', 'with all of them everything works');

# nor does it mind that its connections end
for (1 .. 3) {
    reconnect();
    is(join(', ', use_all()), '', 'with new connections, too');
}

is(refusals(), 0, 'no right is missing');

for my $right (@rights) {
    my $refusals = refusals();

    sql('REVOKE ' . clause($right) . " FROM $Account");
    reconnect();

    my @failed = use_all();

    isnt(scalar @failed, 0, 'without ' . name($right) . ' it does not: '
                            . join ', ', @failed);
    cmp_ok(refusals(), '>', $refusals, 'for want of that right');

    sql('GRANT ' . clause($right) . " TO $Account");
    reconnect();

    # a database that was out of reach is tried again after two seconds
    wait_until {
        api('u1', GET => '/api/v1/session/')->code == 200
        && api('u1', GET => '/api/v1/user/')->code == 200
    };
}

is(join(', ', use_all()), '', 'and with all of them it works again');


=== of several hosts it needs those on the table of epochs
--- http
chat_hosts on;
--- then
# an epoch begins
kill KILL => (worker_pids())[0];
ok(wait_until { sql('SELECT COUNT(*) FROM chat_epoch') }, 'it is written');
is(refusals(), 0, 'no right is missing');

for my $right (grep { $_->[0] eq 'chat_epoch' } rights()) {
    my $refusals = refusals();

    sql('REVOKE ' . clause($right) . " FROM $Account");
    reconnect();
    ok(wait_until { refusals() > $refusals }, 'without ' . name($right)
                                              . ' it cannot be');

    # sends do not mind
    is(api('u1', POST => '/api/v1/message/',
           { recipient => 'u2', body => 'x' })->code, 201, 'a send');

    sql('GRANT ' . clause($right) . " TO $Account");
    reconnect();
}
--- no_error_log
[emerg]


=== the account has these rights, and no other
--- then
my %granted;

for (sql("SHOW GRANTS FOR $Account")) {
    s/IDENTIFIED BY PASSWORD .*//;
    $granted{$1} = 1 if /^GRANT (.*?) TO /;
}

is(delete $granted{'USAGE ON *.*'}, 1, 'it may connect');
is(scalar(grep { !/ ON `\Q$Database\E`\.`chat_\w+`$/ } keys %granted), 0,
   'rights on single tables alone') or diag(join "\n", keys %granted);
is(scalar(grep { /ALL|GRANT OPTION/ } keys %granted), 0, 'listed one by one');

my %tables = map { $_->[0] => 1 } rights();
is(scalar keys %granted, scalar keys %tables, 'a line for each table');


=== what the account cannot do
--- given
message(u1 => 'u2', 'x');
sql("CREATE DATABASE IF NOT EXISTS ${Database}_other");
sql("CREATE TABLE IF NOT EXISTS ${Database}_other.t (n INT)");
--- then
my $db = as_module();
ok($db, 'it connects');

# 1044 database, 1142 table, 1143 column, 1227 a right of the server, 1370
# routine, 1045 file: denied, each; nothing else will do

my $denied = qr/^(?:1044|1045|1142|1143|1227|1370)$/;

for my $statement (
    # the tables as such
    'DROP TABLE chat_message', 'TRUNCATE TABLE chat_message',
    'ALTER TABLE chat_user ADD COLUMN x INT', 'CREATE TABLE x (n INT)',
    'CREATE TEMPORARY TABLE x (n INT)', 'CREATE INDEX x ON chat_message (id)',
    'RENAME TABLE chat_user TO x', 'CREATE VIEW x AS SELECT 1 AS n',
    'LOCK TABLES chat_message WRITE',
    'CREATE TRIGGER x BEFORE INSERT ON chat_message FOR EACH ROW SET @x = 1',
    'CREATE PROCEDURE x() SELECT 1', 'CREATE EVENT x ON SCHEDULE EVERY 1 DAY
     DO SELECT 1', "DROP DATABASE $Database", 'CREATE DATABASE chat_x',

    # people: no new ones, none gone, no rank, name or state of theirs
    "INSERT INTO chat_user (username) VALUES ('x')",
    'DELETE FROM chat_user', 'UPDATE chat_user SET is_admin = TRUE',
    'UPDATE chat_user SET is_active = TRUE',
    "UPDATE chat_user SET username = 'x'", 'UPDATE chat_user SET id = 9',

    # messages stay as they were sent
    "UPDATE chat_message SET body = 'x'", 'DELETE FROM chat_message',
    'UPDATE chat_message SET recipient_id = 3',
    "REPLACE INTO chat_message (id, sender_id, recipient_id, created_at, body)
     VALUES (1, 1, 2, NOW(), 'x')",
    'DELETE FROM chat_conversation', 'DELETE FROM chat_writing',

    # a session is nobody else's afterwards, and lasts no longer
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

# these give nothing instead of an error

is($db->selectrow_array("SELECT LOAD_FILE('/etc/passwd')"), undef,
   'no file of the server is read');

my @others = grep { $_->[1] ne 'chat' }
                  @{ $db->selectall_arrayref('SHOW PROCESSLIST') };
is(scalar @others, 0, 'no statement of others is seen');

# that of the server's own figures all accounts of MySQL see
is(join(' ', grep { $_ ne 'performance_schema' }
                  map { @$_ } @{ $db->selectall_arrayref('SHOW DATABASES') }),
   "$Database information_schema", 'no other database is seen');

is(as_module('mysql'), undef, 'nor connected to');
sql("DROP DATABASE ${Database}_other");


=== what it can do goes through: the refusals above are of rights
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


=== an account without a password, or of another host, is none
--- then
my $connect = sub {
    my ($user, $password) = @_;

    return DBI->connect(
        "DBI:MariaDB:mariadb_socket=$ENV{TEST_NGINX_CHAT_SOCKET}", $user,
        $password, { RaiseError => 0, PrintError => 0 });
};

is($connect->('chat', ''), undef, 'no password');
is($connect->('chat', 'wrong'), undef, 'the wrong one');
is(join(' ', sql("SELECT host FROM mysql.user WHERE user = 'chat'")),
   'localhost', 'from here alone');
