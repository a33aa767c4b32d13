#
# Copyright (C) ngx_chat contributors
#

package Chat::Chatctl;

# Runs chatctl with a database server of the test, as an account without
# SUPER, so the server executes init_connect.
#
#   $ctl = Chat::Chatctl->new;
#   $ctl->reset;         empties the databases, writes an option file
#   $ctl->fill;          adds two users, and messages with special characters
#   $ctl->conf(TEXT, ...);
#                        writes the option file with additional lines
#   $run = $ctl->run('user add alice', in => "secret\n");
#                        returns code, out and err as bytes.  Options:
#     in => TEXT         standard input
#     env => { ... }     additional variables; undef removes a variable
#     only => 1          no other variables
#     shell => COMMAND   run by "sh"; $CHATCTL is chatctl
#   $ctl->sql(STATEMENT, VALUES);
#                        runs a statement as root

use strict;
use warnings;

use Chat::Server;
use Cwd qw(abs_path);
use DBI;
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use POSIX ();

my $Top = abs_path(dirname(__FILE__) . '/../../..');
my $Password = 'owner-Qx7';

sub new {
    my ($class) = @_;

    my $server = Chat::Server->new;
    my $dir = tempdir(CLEANUP => 1);
    my $self = bless { server => $server, dir => $dir }, $class;

    $self->{db} = DBI->connect(
        "DBI:MariaDB:database=mysql;mariadb_socket=$server->{socket}", 'root',
        '', { RaiseError => 1, PrintError => 0 });

    $self->sql("CREATE USER owner\@localhost IDENTIFIED BY '$Password'");
    $self->sql("GRANT ALL ON `ctl%`.* TO owner\@localhost");

    return $self;
}


sub sql {
    my ($self, $statement, @values) = @_;

    my $sth = $self->{db}->prepare($statement);
    $sth->execute(@values);

    return unless $sth->{NUM_OF_FIELDS};

    my @fields = map { @$_ } @{ $sth->fetchall_arrayref };

    return wantarray ? @fields : $fields[0];
}


sub reset {
    my ($self) = @_;

    for my $name (qw(ctl ctl_other)) {
        $self->sql("DROP DATABASE IF EXISTS $name");
        $self->sql("CREATE DATABASE $name");
    }

    $self->sql('USE ctl');
    $self->conf;
}


# load FILE: runs the statements in chatctl's database

sub load {
    my ($self, $file) = @_;

    for my $statement (split /;\n/, slurp($file) =~ s/^--.*\n//mgr) {
        $self->sql($statement) if $statement =~ /\S/;
    }
}


sub tables { $_[0]->load("$Top/sql/schema.sql") }


sub fill {
    my ($self, $n) = @_;

    my @bodies = ("back\\slash \\n \\t \\0", "line\nend\ttab\rreturn", 'x' x 3000,
                  "<b>\"&amp;'</b> `| + -", "\x{1f600} \x{e9}", "--- || ; //");

    $self->sql("INSERT INTO chat_user (id, username, created_at)
                VALUES (1, 'alice', '2025-12-30 07:03:02.325660'),
                       (2, 'bob', '2025-12-30 07:03:02.325660')");
    $self->sql("INSERT INTO chat_session (token_hash, user_id, created_at,
                                          expires_at)
                VALUES (REPEAT('x', 32), 1, '2025-12-30 07:03:02',
                        '2025-12-30 07:03:02')");

    my $row = "(?, ?, '2025-12-30 07:03:02.325660', ?)";
    my @values = map { (1 + $_ % 2, 2 - $_ % 2, $bodies[$_] // "text $_") }
                     0 .. $n - 1;

    $self->sql('INSERT INTO chat_message (sender_id, recipient_id, created_at,
                                          body) VALUES '
               . join(', ', ($row) x $n), @values);
    $self->sql('INSERT INTO chat_conversation (lo_id, hi_id, message_count,
                                               last_message_id)
                SELECT lo_id, hi_id, COUNT(*), MAX(id) FROM chat_message
                GROUP BY lo_id, hi_id');
}


sub path { return "$_[0]{dir}/$_[1]" }


# conf LINES: the lines are in section [mysql], or begin with another section

sub conf {
    my ($self, @lines) = @_;

    spew($self->path('chatctl.cnf'), join '', map { "$_\n" }
         '[client]', 'user=owner', "password=$Password",
         "socket=$self->{server}{socket}", 'loose-skip-ssl', '[mysql]',
         'database=ctl', @lines);
}


sub run {
    my ($self, $arguments, %option) = @_;

    my ($in, $out, $err) = map { $self->path($_) } qw(in out err);
    my @command = ($option{chatctl} // "$Top/chatctl",
                   ref $arguments ? @$arguments : split ' ', $arguments);

    spew($in, $option{in} // '');

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        %ENV = (PATH => $ENV{PATH}, HOME => $ENV{HOME} // '/') if $option{only};
        delete @ENV{qw(CHAT_RUN CHATCTL_SQL)};
        $ENV{CHATCTL_CONF} = $self->path('chatctl.cnf');

        my $env = $option{env} // {};
        defined $env->{$_} ? ($ENV{$_} = $env->{$_}) : delete $ENV{$_}
            for keys %$env;

        open STDIN, '<', $in or die "$in: $!\n";
        open STDOUT, '>', $out or die "$out: $!\n";
        open STDERR, '>', $err or die "$err: $!\n";

        if (defined $option{shell}) {
            my $file = shift @command;
            $ENV{CHATCTL} = $file;
            @command = ('/bin/sh', '-c', $option{shell}, 'sh', @command);
        }

        exec { $command[0] } @command or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return { code => $? & 127 ? 128 + ($? & 127) : $? >> 8,
             out => slurp($out), err => slurp($err) };
}


sub slurp {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    return readline($file) // '';
}


sub spew {
    my ($path, $text) = @_;

    utf8::encode($text) if utf8::is_utf8($text);
    open my $file, '>', $path or die "$path: $!\n";
    chmod 0600, $path;
    print $file $text;
    close $file or die "$path: $!\n";
}


1;
