#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Database;

# Runs SQL statements with the client program of MariaDB or MySQL.
#
#   sql(STATEMENTS, NAME => VALUE ...)
#                           runs them, returns the output
#   rows(CALLBACK, STATEMENTS, NAME => VALUE ...)
#                           calls a function for each row, without reading all
#                           into memory; returns false if the client fails
#   attempt(STATEMENTS, NAME => VALUE ...)
#                           returns success, and the output with error messages
#   count('TABLE WHERE ...', NAME => VALUE ...)
#                           the number of rows
#   statements('NAME')      the text of sql/chatctl/NAME.sql
#
# STATEMENTS refer to values as @NAME.  A VALUE is the result of text() or
# number(), so it cannot be anything else than data.

use strict;
use warnings;

use Chatctl::Connection;
use Chatctl::Output qw(fail);
use Exporter qw(import);
use Fcntl qw(F_SETFD);
use File::Basename qw(dirname);
use POSIX ();

our @EXPORT_OK = qw(attempt count has_table is_stored number rows schema_file
                    sql statements text);

# the directory of lib/ and sql/
my $TOP = dirname(dirname(dirname(__FILE__)));

my ($conf, $options, $database, $client);


# configure FILE: reads the option file and finds the client program

sub configure {
    ($conf) = @_;

    fail("cannot read the option file $conf;",
         '"chatctl help" shows an example') if !-r $conf;

    ($client) = grep { -f && -x }
                map { my $name = $_; map { "$_/$name" } split /:/, $ENV{PATH} }
                    qw(mariadb mysql);
    fail('the client program mariadb or mysql is missing') if !$client;

    ($options, $database) = eval { Chatctl::Connection::read_file($conf) };

    if ($@) {
        print STDERR $@;
        fail("cannot read the connection options from $conf");
    }

    fail("$conf does not set \"database\" in section [mysql]")
        if !defined $database;
}


# --- values -----------------------------------------------------------------

# text BYTES: an SQL string, in hexadecimal

sub text {
    my ($bytes) = @_;

    return "_utf8mb4 x'" . unpack('H*', $bytes) . "' COLLATE utf8mb4_bin";
}


sub number {
    my ($digits) = @_;

    fail("\"$digits\" is not a number") if $digits !~ /\A[0-9]+\z/;

    return $digits;
}


# --- files ------------------------------------------------------------------

# schema_file NAME: the text of schema.sql or another file that CHATCTL_SQL may
# replace

sub schema_file {
    my ($name) = @_;

    my $path = schema_dir() . "/$name";

    return read_sql($path)
        // fail("cannot read $path: $!; CHATCTL_SQL sets the directory");
}


sub schema_dir {
    return $ENV{CHATCTL_SQL} || "$TOP/sql";
}


sub statements {
    my ($name) = @_;

    my $path = "$TOP/sql/chatctl/$name.sql";

    return read_sql($path) // fail("cannot read $path: $!");
}


# read_sql PATH: the text without a byte order mark and carriage returns

sub read_sql {
    my ($path) = @_;

    open my $file, '<', $path or return undef;
    local $/;
    my $text = readline($file) // return undef;

    $text =~ s/\A\xef\xbb\xbf//;
    $text =~ s/\r$//mg;

    return $text;
}


# --- statements -------------------------------------------------------------

sub sql {
    my ($statements, %values) = @_;

    my $process = start($statements, \%values);
    my $output = do { local $/; readline $process->{output} } // '';

    finish($process)
        or fail("the database reported an error (connection options: $conf)");

    return $output;
}


sub rows {
    my ($callback, $statements, %values) = @_;

    my $process = start($statements, \%values, '--quick');

    while (my $row = readline $process->{output}) {
        $callback->($row);
    }

    return finish($process);
}


sub attempt {
    my ($statements, %values) = @_;

    my $process = start($statements, \%values, '2>&1');
    my $output = do { local $/; readline $process->{output} } // '';

    return (finish($process), $output);
}


sub count {
    my ($condition, %values) = @_;

    my $number = sql("SELECT COUNT(*) FROM $condition", %values);

    $number =~ /\A(\d+)\n\z/
        or fail("unexpected response of the database: \"$number\"");

    return $1;
}


# is_stored CONDITION, WHAT, VALUES: fails unless one row of chat_user meets the
# condition.  A new session reads committed rows only.

sub is_stored {
    my ($condition, $what, %values) = @_;

    count("chat_user WHERE $condition", %values) == 1
        or fail("$what was not stored");
}


# has_table TABLE, [DATABASE]

sub has_table {
    my ($table, $schema) = @_;

    my $in = defined $schema ? '@schema COLLATE utf8mb4_general_ci'
                             : 'DATABASE()';

    return count('information_schema.tables'
                 . " WHERE table_schema = $in"
                 . ' AND table_name = @table COLLATE utf8mb4_general_ci',
                 table => text($table), schema => text($schema // ''));
}


# --- the client process -----------------------------------------------------

# start STATEMENTS, VALUES, [OPTION]: starts the client.  The connection
# options may include a password, so the client reads them from a pipe.  A
# process of its own writes to the client, whose output may fill the other
# pipe meanwhile.

sub start {
    my ($statements, $values, $option) = @_;

    my $set = join ', ', map { "\@$_ = $values->{$_}" } sort keys %$values;
    my $input = statements('session') . "USE $database;\n"
                . ($set ? "SET $set;\n" : '') . $statements;

    pipe my $options_in, my $options_out or fail("pipe: $!");
    pipe my $input_in, my $input_out or fail("pipe: $!");
    pipe my $output_in, my $output_out or fail("pipe: $!");

    my $writer = fork // fail("fork: $!");

    if ($writer == 0) {
        close $_ for $options_in, $input_in, $output_in, $output_out;
        print $options_out $options;
        close $options_out;
        print $input_out $input;
        close $input_out;
        POSIX::_exit(0);
    }

    my $pid = fork // fail("fork: $!");

    if ($pid == 0) {
        my @arguments = ('--batch', '--skip-column-names', '--comments',
                         '--default-character-set=utf8mb4', '--local-infile=0',
                         '--max-allowed-packet=1G', '--skip-reconnect');

        close $_ for $options_out, $input_out, $output_in;
        fcntl $options_in, F_SETFD, 0;
        open STDIN, '<&', $input_in or POSIX::_exit(127);
        open STDOUT, '>&', $output_out or POSIX::_exit(127);

        if (defined $option && $option eq '2>&1') {
            open STDERR, '>&', \*STDOUT or POSIX::_exit(127);

        } elsif (defined $option) {
            push @arguments, $option;
        }

        exec $client, '--defaults-file=/dev/fd/' . fileno $options_in,
             @arguments or POSIX::_exit(127);
    }

    return { pid => $pid, writer => $writer, output => $output_in };
}


# finish PROCESS: waits for the client; returns whether it succeeded

sub finish {
    my ($process) = @_;

    close $process->{output};
    waitpid $process->{writer}, 0;
    waitpid $process->{pid}, 0;

    return $? == 0;
}


1;
