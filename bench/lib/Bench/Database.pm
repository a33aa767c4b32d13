#
# Copyright (C) ngx_chat contributors
#

package Bench::Database;

# The databases of the benchmarks.

use strict;
use warnings;

use Bench::Process;
use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use IPC::Open3;
use List::Util qw(min);

our @EXPORT = qw($MESSAGES $PEOPLE %database prepare_account prepare_database
                 sql token);

our $PEOPLE = 50;           # users who send messages to each other
our $MESSAGES = 20_000;

our %database = (
    small => { people => $PEOPLE, messages => $MESSAGES },
    large => { people => 20_000, messages => 2_000_000 },
);


sub token { return sprintf 'bench%038d', shift }


sub sql {
    my ($database, @statements) = @_;

    my $pid = open3(my $in, my $out, undef, 'mariadb',
                    "--defaults-file=$dir/chatctl.cnf", '--batch',
                    '--skip-column-names', '--raw', '--database',
                    $database ? "bench_$database" : '');
    print $in map { "$_;\n" } @statements;
    close $in;
    my @rows = map { chomp; [ split /\t/ ] } <$out>;
    waitpid $pid, 0;
    die "SQL: @{ $rows[-1] // [] }\n" if $?;

    return \@rows;
}


sub prepare_account {
    my $password = `head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \\n'`;

    umask 077;
    write_file("$dir/chat.password", "$password\n");
    umask 022;

    sql('', "CREATE OR REPLACE USER 'chat'\@'localhost'
             IDENTIFIED BY '$password'");
}


sub prepare_database {
    my $name = shift;

    populate($name) if !populated($name);

    (my $grants = read_file("$top/sql/grants.sql"))
        =~ s/ ON chat\./ ON bench_$name./g;
    sql('', $grants);
    sessions($name);
}


# the large database remains for the next run, with messages sent meanwhile

sub populated {
    my $name = shift;
    return 0 if $name eq 'small';
    return @{ sql('', "SELECT 1 FROM information_schema.tables
                       WHERE table_schema = 'bench_$name'
                       AND table_name = 'bench_ready'") };
}


# The users 1 to 50 have as many messages with each other in both databases,
# except for the long conversation of 1 and 26, which has a tenth of all
# messages.  The other users have the rest.  The messages of a conversation
# are not adjacent.

sub populate {
    my $name = shift;
    my ($people, $messages) = @{ $database{$name} }{qw(people messages)};
    my $pairs = $PEOPLE * ($PEOPLE - 1) / 2;
    my $every = $messages / $MESSAGES;

    progress("filling a database with $people users and $messages messages");

    sql('', "DROP DATABASE IF EXISTS bench_$name",
            "CREATE DATABASE bench_$name");
    sql($name, read_file("$top/sql/schema.sql"));

    my $hash = crypt 'benchmark', '$y$j9T$benchmark...$';
    die "no yescrypt in crypt()\n" if ($hash // '') !~ /^\$y\$/;

    sql($name,
        'SET unique_checks = 0, foreign_key_checks = 0',
        "INSERT INTO chat_user (id, username, password)
         SELECT seq, CONCAT('user', seq), '$hash' FROM seq_1_to_$people",
        "CREATE TABLE pair (k INT PRIMARY KEY, lo INT, hi INT)
         SELECT ROW_NUMBER() OVER () - 1 AS k, a.seq AS lo, b.seq AS hi
         FROM seq_1_to_$PEOPLE AS a, seq_1_to_$PEOPLE AS b
         WHERE a.seq < b.seq",
        "INSERT INTO chat_message (id, sender_id, recipient_id, created_at,
                                   client_id, body)
         SELECT seq, IF(way, lo, hi), IF(way, hi, lo),
                '2025-01-01' + INTERVAL seq SECOND, CONCAT('b', seq),
                REPEAT('x', 32 + seq % 64)
         FROM (SELECT s.seq, (s.seq DIV $every) % 2 AS way,
                      CASE WHEN s.seq % $every = 0 THEN p.lo
                           WHEN s.seq % 10 = 5 THEN 1
                           ELSE $PEOPLE + 1 + s.seq * 7919
                                % ($people - $PEOPLE - 1) END AS lo,
                      CASE WHEN s.seq % $every = 0 THEN p.hi
                           WHEN s.seq % 10 = 5 THEN 26
                           ELSE $PEOPLE + 2 + s.seq * 7919
                                % ($people - $PEOPLE - 1) END AS hi
               FROM seq_1_to_$messages AS s
               JOIN pair AS p ON p.k = (s.seq DIV $every) * 7919 % $pairs) AS m",
        "INSERT INTO chat_conversation (lo_id, hi_id, message_count,
                                        last_message_id, lo_unread, hi_unread)
         SELECT lo_id, hi_id, COUNT(*), MAX(id), SUM(recipient_id = lo_id),
                SUM(recipient_id = hi_id)
         FROM chat_message GROUP BY lo_id, hi_id",
        'ANALYZE TABLE chat_user, chat_message, chat_conversation',
        'CREATE TABLE bench_ready (id INT)');
}


# all users have a session; chatload reads the file

sub sessions {
    my $name = shift;
    my $n = min($database{$name}{people}, 5000);
    my @rows = map { "(x'" . sha256_hex(token($_)) . "', $_, UTC_TIMESTAMP(),
                      UTC_TIMESTAMP() + INTERVAL 1 DAY)" } 1 .. $n;

    while (my @some = splice @rows, 0, 1000) {
        sql($name, 'REPLACE INTO chat_session'
                   . ' (token_hash, user_id, created_at, expires_at) VALUES '
                   . join ',', @some);
    }

    write_file("$dir/sessions.$name",
               map { "$_ user$_ " . token($_) . "\n" } 1 .. $n);
}


1;
