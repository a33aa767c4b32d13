#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# chatctl: schema, migrations, people, import.  In databases of its own beside
# that of the other tests.

use strict;
use warnings;
use utf8;

use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

binmode Test::More->builder->$_, ':utf8'
    for qw(output failure_output todo_output);

my $chatctl = abs_path("$FindBin::Bin/../chatctl");
my $dir = tempdir(CLEANUP => 1);
my $db = "$ENV{TEST_NGINX_CHAT_DB}_ctl";
my ($client) = grep { !system "command -v $_ >/dev/null" } qw(mariadb mysql);
my $django = "$ENV{TEST_NGINX_CHAT_DB}_django";

delete @ENV{qw(CHAT_RUN CHATCTL_SQL)};
$ENV{CHATCTL_CONF} = "$dir/chatctl.cnf";

my $conf = slurp($ENV{CHAT_TEST_CNF});
$conf =~ s/^database=.*/database=$db/m or die "no database in CHAT_TEST_CNF";
spew("$dir/chatctl.cnf", $conf);


# usage

fails(2, qr/^Usage: chatctl/, '', '', 'no command');
like(run('', 'help'), qr/^Usage: chatctl/, 'help');
fails(2, qr/unknown command "db drop"/, '', 'db drop', 'unknown command');
fails(2, qr/wrong number of arguments/, '', 'user add', 'no name');
fails(2, qr/wrong number of arguments/, '', 'user add a b',
      'a password on the command line');
fails(2, qr/--config wants a file/, '', '--config', '--config without a file');
fails(1, qr/cannot read \S+nowhere, the option file/, '',
      "--config $dir/nowhere db check", 'no option file');

spew("$dir/no_server.cnf", "[client]\nsocket=$dir/no_server\n");
unlike((chatctl('', "--config $dir/no_server.cnf db check"))[1], qr/^ok/m,
       'no server: nothing is ok');


# the schema

sql('', "DROP DATABASE IF EXISTS $db; CREATE DATABASE $db");

fails(1, qr/no tables of ngx_chat: "chatctl db init" first/, '', 'db check',
      'check without tables');
fails(1, qr/"chatctl db init" first/, '', 'db migrate',
      'migrate without tables');
is(run('', 'db init'), "Schema version 3.\n", 'init');
fails(1, qr/has 7 tables already/, '', 'db init', 'init twice');
is(run('', 'db migrate'), "Schema version 3, up to date.\n",
   'nothing to migrate');
like(run('', 'db check'), qr/^ok   schema version 3$/m, 'check');


# what version 1 has becomes what a new one has

{
    my $shape = sub {
        my $text = sql($db, join ';', map { "SHOW CREATE TABLE $_" } qw(
            chat_schema chat_user chat_session chat_message chat_conversation
            chat_writing chat_epoch));
        $text =~ s/ AUTO_INCREMENT=\d+//g;
        return $text;
    };
    my $wanted = $shape->();

    sql('', "DROP DATABASE $db; CREATE DATABASE $db");
    sql($db, slurp("$FindBin::Bin/data/schema-1.sql"));
    sql($db, 'INSERT INTO chat_user (id, username) VALUES (1, "a"), (2, "b");
              INSERT INTO chat_message (sender_id, recipient_id, created_at,
                                        body) VALUES (1, 2, NOW(), "x");
              INSERT INTO chat_conversation (lo_id, hi_id, message_count,
                                             last_message_id)
              VALUES (1, 2, 1, 1)');

    is(run('', 'db migrate'), "Applying 0002-cheaper-sends.sql\n"
       . "Applying 0003-several-hosts.sql\n",
       'migrate from version 1');
    is($shape->(), $wanted, 'the tables are those of a new one');
    like(run('', 'db check'), qr/conversations agree/, 'with what was there');

    sql('', "DROP DATABASE $db; CREATE DATABASE $db");
    run('', 'db init');
}


# migrations, in a folder of their own

mkdir "$dir/sql";
mkdir "$dir/sql/migrations";
copy("$FindBin::Bin/data/schema-1.sql", "$dir/sql/schema.sql");
sql($db, 'UPDATE chat_schema SET version = 1');

{
    local $ENV{CHATCTL_SQL} = "$dir/sql";

    spew("$dir/sql/migrations/0002-two.sql", "CREATE TABLE m (n INT);\n");
    spew("$dir/sql/migrations/0003-three.sql",
         "INSERT INTO m VALUES (3);\nINSERT INTO nowhere VALUES (1);\n");
    spew("$dir/sql/migrations/0005-five.sql", "INSERT INTO m VALUES (5);\n");

    fails(1, qr/nowhere' doesn't exist/, '', 'db migrate',
          'a migration that fails');
    is(sql($db, 'SELECT version FROM chat_schema'), "2\n",
       'version of the last that went well');

    spew("$dir/sql/migrations/0003-three.sql", "INSERT INTO m VALUES (33);\n");
    fails(1, qr/migration 4 is missing before \S+0005-five\.sql/, '',
          'db migrate', 'a gap in the numbers');

    spew("$dir/sql/migrations/0004-four.sql", "INSERT INTO m VALUES (4);\n");
    is(run('', 'db migrate'),
       "Applying 0004-four.sql\nApplying 0005-five.sql\n",
       'migrate goes on where it stopped');
    is(sql($db, 'SELECT n FROM m'), "3\n33\n4\n5\n", 'each once, in order');
    is(sql($db, 'SELECT version FROM chat_schema'), "5\n", 'version raised');
}

fails(1, qr/^BAD  schema version 5, should be 3/m, '', 'db check',
      'check finds another version');
sql($db, 'DROP TABLE m; UPDATE chat_schema SET version = 3');


# people

is(run("s3cret\n", 'user add alice'), "Added alice.\n", 'add');
my $hash = sql($db, "SELECT password FROM chat_user");
chomp $hash;
like($hash, qr/^\$y\$j9T\$/, 'yescrypt');
is(crypt('s3cret', $hash), $hash, 'the password without its line end');

is(run("x'\\\"\$(id) ü\n", 'user add Zoë'), "Added Zoë.\n",
   'a name of other letters');
$hash = sql($db, "SELECT password FROM chat_user WHERE username = 'Zoë'");
chomp $hash;
my $password = "x'\\\"\$(id) ü";
utf8::encode($password);
is(crypt($password, $hash), $hash, 'a password of any characters');

fails(1, qr/somebody called "ALICE" already/, "x\n", 'user add ALICE',
      'same name in upper case');
is(run("x\n", 'user add Zoe'), "Added Zoe.\n", 'accents count');
fails(1, qr/an empty password is none/, '', 'user add bob', 'no password');

for my $name ("'a b'", "\"'; DROP TABLE chat_user; --\"", 'a/b', "''",
              'x' x 151, "\"\\\\\"", "'%'", "\"\$(printf 'a\\nb')\"",
              "\"\$(printf '\\377')\"")
{
    fails(1, qr/cannot be a name/, "x\n", "user add $name", "name $name");
}

fails(1, qr/cannot be a name: paths/, "x\n", "user add $_", "name $_")
    for '.', '..';

is(run("x\n", 'user add ' . 'é' x 150), 'Added ' . 'é' x 150 . ".\n",
   '150 letters');
sql($db, "DELETE FROM chat_user WHERE CHAR_LENGTH(username) = 150");

fails(1, qr/nobody called "bob"/, "x\n", 'user passwd bob', 'passwd of nobody');
fails(1, qr/nobody called "_l_ce"/, '', 'user disable _l_ce',
      'no patterns in names');

my $session = "INSERT INTO chat_session SELECT UNHEX(SHA2(username, 256)), id,
               UTC_TIMESTAMP(), UTC_TIMESTAMP() FROM chat_user";
sql($db, $session);
is(run("other\n", 'user passwd Alice'), "New password for Alice.\n", 'passwd');
$hash = sql($db, "SELECT password FROM chat_user WHERE username = 'alice'");
chomp $hash;
is(crypt('other', $hash), $hash, 'the new password');
is(sql($db, 'SELECT COUNT(*) FROM chat_session'), "2\n",
   'passwd ends the sessions, of that person alone');

is(run('', 'user disable zoë'), "Disabled zoë.\n", 'disable');
is(sql($db, 'SELECT COUNT(*) FROM chat_session'), "1\n",
   'disable ends the sessions');
is(run('', 'user admin alice'), "alice is an administrator.\n", 'admin');
like(run('', 'user list'),
     qr/\ANAME\t.*\nalice\tadmin\tactive\t[-\dT:]+Z\t-\n
        Zoe\tuser\tactive\t.*\nZoë\tuser\tdisabled\t.*\n\z/x, 'list');
is(run('', 'user enable zoë'), "Enabled zoë.\n", 'enable');
is(run('', 'user admin alice off'), "alice is no administrator.\n",
   'admin off');
fails(2, qr/takes "off" or nothing/, '', 'user admin alice of',
      'admin, misspelt');
unlike(run('', 'user list'), qr/admin|disabled/, 'both taken back');


# what check finds

sql($db, "INSERT INTO chat_message
            (sender_id, recipient_id, created_at, body)
          SELECT a.id, z.id, UTC_TIMESTAMP(6), 'hello'
          FROM chat_user AS a, chat_user AS z
          WHERE a.username = 'alice' AND z.username = 'Zoe'");
fails(1, qr/^BAD  1 conversations differ from their messages/m, '',
      'db check', 'check: a message without its conversation');
sql($db, 'DELETE FROM chat_message;
          INSERT INTO chat_conversation (lo_id, hi_id, message_count)
          SELECT MIN(id), MAX(id), 7 FROM chat_user');
fails(1, qr/^BAD  1 conversations have a /m,
      '', 'db check', 'check: what has no messages');
sql($db, 'DELETE FROM chat_conversation');
like(run('', 'db check'), qr/no conversation without/, 'check: all well again');


# import from Django, whose tables are made as its migrations make them

sql('', "DROP DATABASE IF EXISTS $django;
         CREATE DATABASE $django CHARACTER SET utf8mb3");

fails(1, qr/there is no table \Q$django\E\.auth_user/, '',
      "import-django $django", 'import from nowhere');
fails(2, qr/cannot be the name of a database/, '', "import-django 'a`b'",
      'import from an impossible name');

sql($django, <<'END');
CREATE TABLE auth_user (
    id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    password varchar(128) NOT NULL, last_login datetime(6),
    is_superuser tinyint(1) NOT NULL,
    username varchar(150) COLLATE utf8mb3_bin NOT NULL UNIQUE,
    first_name varchar(150) NOT NULL, last_name varchar(150) NOT NULL,
    email varchar(254) NOT NULL, is_staff tinyint(1) NOT NULL,
    is_active tinyint(1) NOT NULL, date_joined datetime(6) NOT NULL);
CREATE TABLE core_messagemodel (
    id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    timestamp datetime(6) NOT NULL, body longtext NOT NULL,
    recipient_id int NOT NULL, user_id int NOT NULL);
INSERT INTO auth_user VALUES
    (3, 'pbkdf2_sha256$260000$salt$aGFzaA==', '2025-01-02 03:04:05.000006',
     1, 'u1', '', '', '', 1, 1, '2024-01-02 03:04:05.000006'),
    (9, 'pbkdf2_sha256$260000$salt$aGFzaB==', NULL,
     0, 'ü2', '', '', '', 0, 1, '2024-01-02 03:04:06'),
    (10, '!unusable', NULL,
     0, 'U1', '', '', '', 0, 0, '2024-01-02 03:04:07');
INSERT INTO core_messagemodel VALUES
    (20, '2025-03-30 02:30:00.123456', 'second', 3, 9),
    (7, '2025-03-30 02:30:00.123457', 'ümlaut ''"\\', 9, 3),
    (21, '2025-03-30 02:30:01', 'to myself', 3, 3);
END

fails(1, qr/there are people or messages already/, '',
      "import-django $django", 'import where there is something');
sql($db, 'DELETE FROM chat_user');

fails(1, qr/differ by upper and lower case only.*u1, U1/s, '',
      "import-django $django", 'names that differ by case only');
sql($django, "UPDATE auth_user SET username = 'u3' WHERE id = 10");

sql($django, "INSERT INTO core_messagemodel VALUES
              (30, '2025-03-30 02:30:01', 'from nobody', 3, 77)");
fails(1, qr/foreign key/, '', "import-django $django",
      'a message of somebody who is not there');
is(sql($db, 'SELECT COUNT(*) FROM chat_user'), "0\n",
   'a failed import leaves nothing behind');
sql($django, 'DELETE FROM core_messagemodel WHERE id = 30');

is(run('', "import-django $django"),
   "Copying 3 messages...\n"
   . "Took over 3 people, 3 messages, 2 conversations.\n"
   . "1 of the people have no pbkdf2_sha256 password: they need a new one, "
   . "by \"chatctl user passwd\".\n", 'import');

is(sql($db, 'SELECT id, username, password, is_admin, is_active, created_at,
                    last_seen_at FROM chat_user ORDER BY id'),
   "3\tu1\tpbkdf2_sha256\$260000\$salt\$aGFzaA==\t1\t1"
   . "\t2024-01-02 03:04:05.000006\t2025-01-02 03:04:05.000006\n"
   . "9\tü2\tpbkdf2_sha256\$260000\$salt\$aGFzaB==\t0\t1"
   . "\t2024-01-02 03:04:06.000000\tNULL\n"
   . "10\tu3\t!\t0\t0\t2024-01-02 03:04:07.000000\tNULL\n", 'its people');
is(sql($db, 'SELECT id, sender_id, recipient_id, created_at, HEX(body)
             FROM chat_message ORDER BY id'),
   "7\t3\t9\t2025-03-30 02:30:00.123457\tC3BC6D6C6175742027225C\n"
   . "20\t9\t3\t2025-03-30 02:30:00.123456\t7365636F6E64\n"
   . "21\t3\t3\t2025-03-30 02:30:01.000000\t746F206D7973656C66\n",
   'its messages');
is(sql($db, 'SELECT * FROM chat_conversation ORDER BY lo_id, hi_id'),
   "3\t3\t1\t21\t0\t21\t21\t0\t0\n3\t9\t2\t20\t0\t20\t20\t0\t0\n",
   'its conversations, read');
like(run('', 'db check'), qr/^ok   conversations agree/m,
     'check finds it well');
fails(1, qr/there are people or messages already/, '',
      "import-django $django", 'import twice');

is(run("new\n", 'user add later'), "Added later.\n", 'add after the import');
is(sql($db, "SELECT id FROM chat_user WHERE username = 'later'"), "11\n",
   'ids go on behind those of the import');

sql('', "DROP DATABASE $db; DROP DATABASE $django");

done_testing();


# run STDIN, ARGUMENTS (as for a shell): what chatctl prints; it must succeed

sub run {
    my ($input, $arguments) = @_;

    my ($code, $output) = chatctl($input, $arguments);
    diag("chatctl $arguments: exit code $code\n$output") if $code;

    return $code ? "exit code $code" : $output;
}


sub fails {
    my ($code, $pattern, $input, $arguments, $name) = @_;

    my ($got, $output) = chatctl($input, $arguments);
    is($got, $code, "$name: exit code");
    like($output, $pattern, "$name: message");
}


sub chatctl {
    my ($input, $arguments) = @_;

    spew("$dir/input", $input);
    utf8::encode($arguments);
    my $output = `$chatctl $arguments <$dir/input 2>&1`;
    utf8::decode($output);

    return ($? >> 8, $output);
}


sub sql {
    my ($database, $statements) = @_;

    spew("$dir/statements", $statements);
    my $output = `$client --defaults-file=$ENV{CHAT_TEST_CNF} \\
                          --default-character-set=utf8mb4 --batch --raw \\
                          --skip-column-names --database='$database' \\
                          <$dir/statements`;
    die "failed: $statements\n" if $?;
    utf8::decode($output);

    return $output;
}


sub slurp {
    my ($file) = @_;

    local $/;
    open my $in, '<:utf8', $file or die "$file: $!\n";
    return <$in>;
}


sub spew {
    my ($file, $text) = @_;

    open my $out, '>:utf8', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}
