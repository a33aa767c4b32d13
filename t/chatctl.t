#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# chatctl: schema, migrations, users and import, in databases of its own.

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
      'password as an argument');
fails(2, qr/--config requires a file/, '', '--config',
      '--config without a file');
fails(1, qr/cannot read the option file \S+nowhere;/, '',
      "--config $dir/nowhere db check", 'no option file');

spew("$dir/no_server.cnf", "[client]\nsocket=$dir/no_server\n");
unlike((chatctl('', "--config $dir/no_server.cnf db check"))[1], qr/^ok/m,
       'no success without a server');


# the schema

sql('', "DROP DATABASE IF EXISTS $db; CREATE DATABASE $db");

fails(1, qr/no ngx_chat tables; run "chatctl db init"/, '', 'db check',
      'check without tables');
fails(1, qr/run "chatctl db init"/, '', 'db migrate',
      'migrate without tables');
is(run('', 'db init'), "Schema version 9.\n", 'init');
fails(1, qr/already has 10 tables/, '', 'db init', 'init twice');
is(run('', 'db migrate'), "Schema version 9, up to date.\n",
   'nothing to migrate');
like(run('', 'db check'), qr/^ok   schema version 9$/m, 'check');


# migration from version 1 results in the current schema

{
    my $shape = sub {
        my $text = sql($db, join ';', map { "SHOW CREATE TABLE $_" } qw(
            chat_schema chat_user chat_session chat_message chat_conversation
            chat_writing chat_block chat_file
            chat_user_word chat_audit));
        $text =~ s/ AUTO_INCREMENT=\d+//g;
        return $text;
    };
    my $wanted = $shape->();

    sql('', "DROP DATABASE $db; CREATE DATABASE $db");
    sql($db, slurp("$FindBin::Bin/data/schema-1.sql"));
    sql($db, q{INSERT INTO chat_user (id, username) VALUES
              (1, 'a'), (2, 'b'), (3, 'a b'), (4, _utf8mb4 x'61E2808C62'),
              (5, '..'), (6, _utf8mb4 x'CC8161'), (7, 'é_.@+-'),
              (8, _utf8mb4 x'65CC81');
              INSERT INTO chat_message (sender_id, recipient_id, created_at,
                                        body) VALUES (1, 2, NOW(), 'x');
              INSERT INTO chat_conversation (lo_id, hi_id, message_count,
                                             last_message_id)
              VALUES (1, 2, 1, 1)});

    # the latest fifty sessions of a user remain
    sql($db, 'INSERT INTO chat_session VALUES ' . join ',', map {
        my ($user, $n) = @$_;
        "(UNHEX(SHA2('$user $n', 256)), $user,"
        . " '2026-01-01' + INTERVAL $n MINUTE, '2036-01-01')"
    } (map { [1, $_] } 1 .. 70), (map { [2, $_] } 1 .. 3));

    is(run('', 'db migrate'), "Applying 0002-cheaper-sends.sql\n"
       . "Applying 0003-several-hosts.sql\n"
       . "Applying 0004-safer-accounts.sql\n"
       . "Applying 0005-list-sessions.sql\n"
       . "Applying 0006-changes.sql\n"
       . "Applying 0007-blocks.sql\n"
       . "Applying 0008-files.sql\n"
       . "Applying 0009-members.sql\n",
       'migrate from version 1');
    is($shape->(), $wanted, 'tables are those of schema.sql');
    is(sql($db, 'SELECT GROUP_CONCAT(id ORDER BY id) FROM chat_user
                 WHERE name_unchecked'), "3,4,5,6\n",
       'names that break the rule are marked');
    is(sql($db, 'SELECT user_id, COUNT(*), MIN(created_at) FROM chat_session
                 GROUP BY user_id ORDER BY user_id'),
       "1\t50\t2026-01-01 00:21:00\n2\t3\t2026-01-01 00:01:00\n",
       'latest fifty sessions remain');
    is(sql($db, 'SELECT COUNT(*) FROM chat_session s JOIN chat_user u
                 ON u.id = s.user_id AND s.id > u.session_floor'),
       "53\n", 'remaining sessions are valid');
    sql($db, 'UPDATE chat_user SET last_seen_at = UTC_TIMESTAMP(6)');
    is(sql($db, 'SELECT COUNT(*) FROM chat_user WHERE last_seen_at IS NULL'),
       "0\n", 'rows can be updated');
    fails(1, qr/conversations match/, '', 'db check', 'with existing rows');
    fails(1, qr/^BAD\ \ 5\ names\ break\ the\ rule.*rename\ --id\ ID\ NAME.*
                \ user\ 3,\ "a\ b":\ U\+0020\ .*
                \ user\ 4,\ "a\\x\{200c\}b":\ U\+200C\ .*
                \ user\ 5,\ "\.\.":\ it\ is\ a\ path\ component\n.*
                \ user\ 6,\ "\\x\{301\}a":\ U\+0301\ cannot\ be\ the\ first.*
                \ user\ 8,\ "e\x{301}":\ it\ is\ not\ in\ NFC$/xms,
          '', 'db check', 'names that break the rule');
    is(run('', "user rename --id 3 mary.ann"), "Renamed user 3 to mary.ann.\n",
       'rename by id');
    is(run('', "user rename 'a\x{200c}b' ab"), "Renamed user 4 to ab.\n",
       'rename by name');
    is(sql($db, 'SELECT id, name_unchecked FROM chat_user WHERE id IN (3, 4)'),
       "3\t0\n4\t0\n", 'renaming removes the mark');
    fails(1, qr/^BAD  3 names break/m, '', 'db check',
          'other names still break the rule');

    sql('', "DROP DATABASE $db; CREATE DATABASE $db");
    run('', 'db init');
}


# migrations in another directory

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
          'failing migration');
    is(sql($db, 'SELECT version FROM chat_schema'), "2\n",
       'version of the last successful migration');

    spew("$dir/sql/migrations/0003-three.sql", "INSERT INTO m VALUES (33);\n");
    fails(1, qr/migration 4 is missing before \S+0005-five\.sql/, '',
          'db migrate', 'gap in the numbers');

    spew("$dir/sql/migrations/0004-four.sql", "INSERT INTO m VALUES (4);\n");
    is(run('', 'db migrate'),
       "Applying 0004-four.sql\nApplying 0005-five.sql\n",
       'migrate continues after the failure');
    is(sql($db, 'SELECT n FROM m'), "3\n33\n4\n5\n",
       'each migration ran once, in order');
    is(sql($db, 'SELECT version FROM chat_schema'), "5\n", 'new version');
}

sql($db, 'UPDATE chat_schema SET version = 10');
fails(1, qr/^BAD  schema version 10, should be 9/m, '', 'db check',
      'check reports another version');
sql($db, 'DROP TABLE m; UPDATE chat_schema SET version = 9');


# users

is(run("s3cret\n", 'user add alice'), "Added alice.\n", 'add');
my $hash = sql($db, "SELECT password FROM chat_user");
chomp $hash;
like($hash, qr/^\$y\$j9T\$/, 'yescrypt');
is(crypt('s3cret', $hash), $hash, 'hash of the password without the line end');

is(run("x'\\\"\$(id) ü\n", 'user add Zoë'), "Added Zoë.\n",
   'name with a non-ASCII letter');
$hash = sql($db, "SELECT password FROM chat_user WHERE username = 'Zoë'");
chomp $hash;
my $password = "x'\\\"\$(id) ü";
utf8::encode($password);
is(crypt($password, $hash), $hash, 'password with special characters');

fails(1, qr/already has the name "ALICE"/, "x\n", 'user add ALICE',
      'name in another case');
is(run("x\n", 'user add Zoe'), "Added Zoe.\n",
   'names with and without accent differ');
fails(1, qr/the password is empty/, '', 'user add bob', 'no password');

for my $name ("'a b'", "\"'; DROP TABLE chat_user; --\"", 'a/b', "''",
              'x' x 151, "\"\\\\\"", "'%'", "\"\$(printf 'a\\nb')\"",
              "\"\$(printf '\\377')\"")
{
    fails(1, qr/is not a valid name/, "x\n", "user add $name", "name $name");
}

fails(1, qr/is not a valid name: it is a path/, "x\n", "user add $_", "name $_")
    for '.', '..';

for my $name ("a\x{200c}b", "a\x{200b}", "\x{feff}a", "a\x{a0}b", "\x{3164}",
              "\x{2800}", "a\x{ad}", "a\x{fe0f}", "\x{e000}", "a\x{e0020}",
              "a\x{34f}", "a\x{85}b", "\x{301}a", "a\x{2028}")
{
    fails(1, qr/is not a valid name: U\+/, "x\n", "user add '$name'",
          sprintf 'name %vx', $name);
}

# normal forms

is(run("x\n", "user add 'Jose\x{301}'"), "Added Jos\x{e9}.\n", 'decomposed');
is(sql($db, "SELECT HEX(username) FROM chat_user WHERE username LIKE 'Jos%'"),
   "4A6F73C3A9\n", 'name is stored in NFC');
fails(1, qr/already has the name "$_"/, "x\n", "user add '$_'", 'existing name')
    for "Jos\x{e9}", "JOS\x{c9}";
fails(1, qr/already has the name "Jos\x{e9}"/, "x\n", "user add 'Jose\x{301}'",
      'existing name, decomposed');
is(run('', "user disable 'jose\x{301}'"),
   "Disabled jose\x{301}. Sessions ended: 0.\n",
   'lookup by another Unicode form');
sql($db, "DELETE FROM chat_user WHERE username LIKE 'Jos%'");

sql($db, "INSERT INTO chat_user (id, username) VALUES
          (80, _utf8mb4 x'65CC81'), (81, _utf8mb4 x'61CD817465')");
fails(1, qr/user 80 already has the name "\x{e9}"/, "x\n",
      "user add \x{e9}", 'existing name in another Unicode form');
fails(1, qr/user 81 already has the name "\x{c1}TE"/, "x\n",
      "user add \x{c1}TE",
      'existing name with a singleton character');
fails(1, qr/user 81 already has the name "\x{e1}te"/, "x\n",
      "user rename --id 80 \x{e1}te", 'rename to an existing name');
is(run('', "user rename \x{e9} \x{e9}"), "Renamed user 80 to \x{e9}.\n",
   'rename to the same name in NFC');
is(sql($db, 'SELECT HEX(username) FROM chat_user WHERE id = 80'), "C3A9\n",
   'name is stored in NFC');
fails(1, qr/no user has the id 4711/, '', 'user rename --id 4711 x',
      'unknown id');
fails(2, qr/--id requires the id/, '', 'user rename --id x y', 'invalid id');
fails(1, qr/is not a valid name/, '', "user rename --id 80 'a b'",
      'rename to an invalid name');

sql($db, "INSERT INTO chat_user (id, username) VALUES
          (82, _utf8mb4 x'65CC81'), (83, 'áte')");
fails(1, qr/^BAD\ \ 2\ names\ belong\ to\ several.*
            \ \x{e9}\ \(id\ 80\),\ e\x{301}\ \(id\ 82\).*
            \ a\x{341}te\ \(id\ 81\),\ \x{e1}te\ \(id\ 83\)$/xms, '', 'db check',
      'rows that differ only in Unicode form');
is(run('', "user rename 'e\x{301}' other"), "Renamed user 82 to other.\n",
   'row with exactly this name');
sql($db, 'DELETE FROM chat_user WHERE id >= 80');
sql($db, 'ALTER TABLE chat_user AUTO_INCREMENT = 1');

# passwords

my $stored = sub {
    my $hash = sql($db, "SELECT password FROM chat_user WHERE username = 'nfc'");
    chomp $hash;
    return $hash;
};

is(run("passe\x{301}\n", 'user add nfc'), "Added nfc.\n",
   'decomposed password');
is(crypt("pass\xc3\xa9", $stored->()), $stored->(), 'hash of the NFC');
is(run("\x{212b}\x{301}\n", 'user passwd nfc')
   =~ /^Changed the password of nfc/, 1,
   'passwd with a decomposed password');
is(crypt("\xc7\xba", $stored->()), $stored->(), 'hash of the NFC after passwd');
is(run(("e\x{301}" x 255) . "\n", 'user passwd nfc')
   =~ /^Changed the password/, 1,
   'limit applies to the NFC');
fails(1, qr/the password is longer than 511 bytes/, ('x' x 512) . "\n",
      'user passwd nfc', 'password above the limit');
is(run('', 'user add --no-password site'), "Added site.\n", 'no password');
is(sql($db, "SELECT password FROM chat_user WHERE username = 'site'"), "!\n",
   'no password is stored');
sql($db, "DELETE FROM chat_user WHERE username IN ('nfc', 'site')");

is(run("x\n", 'user add ' . 'é' x 150), 'Added ' . 'é' x 150 . ".\n",
   '150 letters');
sql($db, "DELETE FROM chat_user WHERE CHAR_LENGTH(username) = 150");

fails(1, qr/no user has the name "bob"/, "x\n", 'user passwd bob',
      'passwd of an unknown user');
fails(1, qr/no user has the name "_l_ce"/, '', 'user disable _l_ce',
      'name with wildcards');

my $session = "INSERT INTO chat_session (token_hash, user_id, created_at,
                                         expires_at)
               SELECT UNHEX(SHA2(username, 256)), id,
               UTC_TIMESTAMP(), UTC_TIMESTAMP() FROM chat_user";
sql($db, $session);
is(run("other\n", 'user passwd Alice'), "Changed the password of Alice."
   . " Sessions ended: 1.\n", 'passwd');
$hash = sql($db, "SELECT password FROM chat_user WHERE username = 'alice'");
chomp $hash;
is(crypt('other', $hash), $hash, 'the new password');
is(sql($db, 'SELECT COUNT(*) FROM chat_session'), "2\n",
   'passwd ends the sessions of this user only');

is(run('', 'user disable zoë'), "Disabled zoë. Sessions ended: 1.\n",
   'disable');
is(sql($db, 'SELECT COUNT(*) FROM chat_session'), "1\n",
   'disable ends the sessions');
is(run('', 'user admin alice'), "alice is now an administrator.\n", 'admin');
like(run('', 'user list'),
     qr/\ANAME\t.*\nalice\tadmin\tactive\t[-\dT:]+Z\t-\n
        Zoe\tuser\tactive\t.*\nZoë\tuser\tdisabled\t.*\n\z/x, 'list');
is(run('', 'user enable zoë'), "Enabled zoë.\n", 'enable');
is(run('', 'user admin alice off'), "alice is no longer an administrator.\n",
   'admin off');
fails(2, qr/accepts only "off"/, '', 'user admin alice of',
      'admin with an invalid state');
unlike(run('', 'user list'), qr/admin|disabled/,
       'neither administrator nor disabled');


# inconsistent rows

sql($db, "INSERT INTO chat_message
            (sender_id, recipient_id, created_at, body)
          SELECT a.id, z.id, UTC_TIMESTAMP(6), 'hello'
          FROM chat_user AS a, chat_user AS z
          WHERE a.username = 'alice' AND z.username = 'Zoe'");
fails(1, qr/^BAD  1 conversations do not match their messages/m, '',
      'db check', 'check: message without a conversation');
sql($db, 'DELETE FROM chat_message;
          INSERT INTO chat_conversation (lo_id, hi_id, message_count)
          SELECT MIN(id), MAX(id), 7 FROM chat_user');
fails(1, qr/^BAD  1 conversations count messages that/m,
      '', 'db check', 'check: conversation without messages');
sql($db, 'DELETE FROM chat_conversation');
like(run('', 'db check'), qr/^ok   conversations count existing/m,
     'check: consistent rows');


# import from tables as Django's migrations create them

sql('', "DROP DATABASE IF EXISTS $django;
         CREATE DATABASE $django CHARACTER SET utf8mb3");

fails(1, qr/table \Q$django\E\.auth_user does not exist/, '',
      "import-django $django", 'import without tables');
fails(2, qr/is not a valid database name/, '', "import-django 'a`b'",
      'import with an invalid database name');

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

fails(1, qr/the tables contain users or messages/, '',
      "import-django $django", 'import into used tables');
sql($db, 'DELETE FROM chat_user');

fails(1, qr/differ only in case or.*u1 \(id 3\), U1 \(id 10\)/s, '',
      "import-django $django", 'names that differ only in case');
sql($django, "UPDATE auth_user SET username = 'u3' WHERE id = 10");

sql($django, "UPDATE auth_user SET username = _utf8mb3 x'75CC8832'
              WHERE id = 10");
fails(1, qr/Unicode form.*ü2 \(id 9\), u\x{308}2 \(id 10\)/s, '',
      "import-django $django", 'names that differ only in Unicode form');
is(sql($db, 'SELECT COUNT(*) FROM chat_user'), "0\n", 'no user is imported');
sql($django, "UPDATE auth_user SET username = 'u3' WHERE id = 10");

sql($django, "INSERT INTO core_messagemodel VALUES
              (30, '2025-03-30 02:30:01', 'from nobody', 3, 77)");
fails(1, qr/foreign key/, '', "import-django $django",
      'message of an unknown user');
is(sql($db, 'SELECT COUNT(*) FROM chat_user'), "0\n",
   'failed import changes nothing');
sql($django, 'DELETE FROM core_messagemodel WHERE id = 30');

is(run('', "import-django $django"),
   "Copying 3 messages...\n"
   . "Imported 3 users, 3 messages, 2 conversations.\n"
   . "1 users have no pbkdf2_sha256 password; set one with"
   . " \"chatctl user passwd\".\n", 'import');

is(sql($db, 'SELECT id, username, password, is_admin, is_active, created_at,
                    last_seen_at FROM chat_user ORDER BY id'),
   "3\tu1\tpbkdf2_sha256\$260000\$salt\$aGFzaA==\t1\t1"
   . "\t2024-01-02 03:04:05.000006\t2025-01-02 03:04:05.000006\n"
   . "9\tü2\tpbkdf2_sha256\$260000\$salt\$aGFzaB==\t0\t1"
   . "\t2024-01-02 03:04:06.000000\tNULL\n"
   . "10\tu3\t!\t0\t0\t2024-01-02 03:04:07.000000\tNULL\n", 'imported users');
is(sql($db, 'SELECT id, sender_id, recipient_id, created_at, HEX(body)
             FROM chat_message ORDER BY id'),
   "7\t3\t9\t2025-03-30 02:30:00.123457\tC3BC6D6C6175742027225C\n"
   . "20\t9\t3\t2025-03-30 02:30:00.123456\t7365636F6E64\n"
   . "21\t3\t3\t2025-03-30 02:30:01.000000\t746F206D7973656C66\n",
   'imported messages');
is(sql($db, 'SELECT * FROM chat_conversation ORDER BY lo_id, hi_id'),
   "3\t3\t1\t21\t0\t21\t21\t0\t0\t0\t0\n"
   . "3\t9\t2\t20\t0\t20\t20\t0\t0\t0\t0\n",
   'imported conversations are read');
like(run('', 'db check'), qr/^ok   conversations match/m,
     'check after the import');
fails(1, qr/the tables contain users or messages/, '',
      "import-django $django", 'import twice');

is(run("new\n", 'user add later'), "Added later.\n", 'add after the import');
is(sql($db, "SELECT id FROM chat_user WHERE username = 'later'"), "11\n",
   'new ids follow the imported ones');

# names that Django accepts, in another Unicode form or against the rule

sql($db, 'DELETE FROM chat_conversation; DELETE FROM chat_message;
          DELETE FROM chat_user');
sql($django, q{UPDATE auth_user SET username = _utf8mb3 x'4A6F7365CC81'
                   WHERE id = 3;
               UPDATE auth_user SET username = _utf8mb3 x'61E19F84E185A062'
                   WHERE id = 9;
               UPDATE auth_user SET username = 'a b' WHERE id = 10});

is(run('', "import-django $django"),
   "Copying 3 messages...\n"
   . "Imported 3 users, 3 messages, 2 conversations.\n"
   . "1 users have no pbkdf2_sha256 password; set one with"
   . " \"chatctl user passwd\".\n"
   . "3 names break the rule for new names. Names that are not in NFC were\n"
   . "normalized, others remain; change them with \"chatctl user rename\":\n"
   . "user 3, \"Jose\x{301}\": it is not in NFC\n"
   . "user 9, \"a\x{17c4}\\x{1160}b\": U+1160 is not a letter, a digit or one"
   . " of _.\@+-\n"
   . "user 10, \"a b\": U+0020 is not a letter, a digit or one of _.\@+-\n",
   'import of names that break the rule');
is(sql($db, 'SELECT id, HEX(username), name_unchecked FROM chat_user
             ORDER BY id'),
   "3\t4A6F73C3A9\t0\n9\t61E19F84E185A062\t1\n10\t612062\t1\n",
   'all users are imported');

sql('', "DROP DATABASE $db; DROP DATABASE $django");

done_testing();


# run STDIN, ARGUMENTS (for a shell): returns the output of a successful chatctl

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
