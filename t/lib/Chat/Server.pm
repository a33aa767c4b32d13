#
# Copyright (C) ngx_chat contributors
#

package Chat::Server;

# A database server for one test, for faults that affect the whole server.
#
#   BEGIN { $server = Chat::Server->new }
#   use Chat;            uses the tables and accounts of this server
#
#   $server->stop;       sends SIGSTOP
#   $server->cont;
#   $server->end(SIGNAL);
#   $server->start(OPTION, ...);
#                        with the existing data and further options
#   $server->fill;       fills its disk; returns false without a separate disk
#   $server->free;
#
# With options for each start, and as a replica of another server:
#
#   $primary = Chat::Server->new(options => Chat::Server->binlog(PORT));
#   $replica = Chat::Server->new(options => Chat::Server->replica,
#                                of => $primary);
#   $replica->hold;      stops the application of changes
#   $replica->apply;
#   $replica->reaches($primary->position);
#   $replica->sql(STATEMENT);
#                        runs it as root and returns the output of the client
#
# The data are on a small disk in memory, in a mount namespace, if one can be
# created: see "unshare".

use strict;
use warnings;

use Chat::Family;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use POSIX ();
use Time::HiRes qw(sleep time);

my $Top = abs_path(dirname(__FILE__) . '/../../..');
my $Password = 'pw-Rm4kTz';

# options; and megabytes, more than half of which the newest versions need for
# empty tables
my $Log = log_size(8);
my $Disk = $Mysql ? 192 : 128;

sub new {
    my ($class, %option) = @_;

    my $dir = tempdir(CLEANUP => 1);

    # for the module's account
    chmod 0755, $dir;
    mkdir "$dir/disk";

    my $self = bless {
        dir => $dir, owner => $$, socket => "$dir/db.sock",
        user => $> == 0 ? '--user=root' : '',
        options => $option{options} // [],
    }, $class;

    $self->mount_disk;
    $self->sh(install_command("$dir/disk/data", $Log, $self->{user}));
    $self->start;

    if (my $primary = $option{of}) {
        $self->follow($primary);

    } else {
        $self->prepare;
    }

    return $self;
}


# binlog PORT: returns options of a primary; replica: those of a replica

sub binlog {
    my (undef, $port) = @_;

    return ['--skip-networking=0', '--bind-address=127.0.0.1',
            "--port=$port", '--skip-name-resolve', '--log-bin=bin',
            '--binlog-format=ROW', '--server-id=1', gtid()];
}


sub replica {
    return ['--server-id=2', '--read-only', gtid()];
}


sub gtid {
    return $Mysql ? qw(--gtid-mode=ON --enforce-gtid-consistency=ON) : ();
}


# follow PRIMARY: replicates its whole binary log, which has all of its data

sub follow {
    my ($self, $primary) = @_;

    my ($port) = map { /^--port=(\d+)/ ? $1 : () } @{ $primary->{options} };
    my $source = $Mysql ? 'SOURCE' : 'MASTER';

    $primary->sql("CREATE USER IF NOT EXISTS repl\@'127.0.0.1'"
                  . " IDENTIFIED BY '$Password'");
    $primary->sql("GRANT REPLICATION SLAVE ON *.* TO repl\@'127.0.0.1'");

    $self->sql('CHANGE ' . ($Mysql ? 'REPLICATION SOURCE' : 'MASTER') . ' TO '
               . "${source}_HOST = '127.0.0.1', ${source}_PORT = $port,"
               . " ${source}_USER = 'repl', ${source}_PASSWORD = '$Password',"
               . " ${source}_CONNECT_RETRY = 1, "
               . ($Mysql ? 'SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1'
                         : 'MASTER_USE_GTID = slave_pos'));
    $self->apply;
}


sub hold  { $_[0]->sql('STOP REPLICA SQL_THREAD') }
sub apply { $_[0]->sql('START REPLICA') }


sub position {
    return $_[0]->sql('SELECT @@GLOBAL.'
                      . ($Mysql ? 'gtid_executed' : 'gtid_binlog_pos'));
}


# reaches POSITION: returns whether it does within some seconds

sub reaches {
    my ($self, $position) = @_;

    return $self->sql('SELECT ' . ($Mysql ? 'WAIT_FOR_EXECUTED_GTID_SET'
                                          : 'MASTER_GTID_WAIT')
                      . "('$position', 20)") eq '0';
}


sub sql {
    my ($self, $statement) = @_;

    open my $client, '-|', $Client, '--no-defaults', '-N', '-u', 'root',
         '-S', $self->{socket}, '-e', $statement
        or die "$Client: $!\n";
    my $answer = join '', <$client>;
    close $client or die "$statement\n";
    chomp $answer;

    return $answer;
}


# mount_disk: starts a process that holds the namespace, for all commands

sub mount_disk {
    my ($self) = @_;

    my $dir = $self->{dir};
    my @map = $> == 0 ? () : '--map-root-user';

    $self->{in} = '';

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDERR, '>>', "$dir/log";
        open STDOUT, '>&', \*STDERR;
        exec 'unshare', '--mount', @map, 'sh', '-c',
             "mount -t tmpfs -o size=${Disk}m,mode=755 none $dir/disk"
             . " && touch $dir/mounted && exec sleep 3600"
            or POSIX::_exit(1);
    }

    until (-e "$dir/mounted") {
        return if waitpid($pid, 1) == $pid;
        sleep 0.01;
    }

    $self->{holder} = $pid;
    $self->{in} = "nsenter --mount --target=$pid "
                  . (@map ? '--user --preserve-credentials ' : '');
}


sub sh {
    my ($self, $command) = @_;

    $command =~ s/\s+/ /g;
    system("$self->{in}$command >>$self->{dir}/log 2>&1 </dev/null") == 0
        or die "$command\n" . `tail $self->{dir}/log`;
}


sub start {
    my ($self, @options) = @_;

    my $dir = $self->{dir};
    my @user = $self->{user} || ();

    unlink $self->{socket};

    my $pid = $self->{pid} = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>>', "$dir/log";
        open STDOUT, '>&', \*STDERR;
        exec split(' ', $self->{in}), server_command(), @user,
             '--skip-networking', "--datadir=$dir/disk/data",
             "--socket=$self->{socket}", "--tmpdir=$dir",
             '--character-set-server=utf8mb4', '--innodb-buffer-pool-size=16M',
             $Log, @{ $self->{options} }, @options
            or POSIX::_exit(1);
    }

    my $end = time + 30;

    until (system("$Client --no-defaults -u root -S $self->{socket}"
                  . ' -e "SELECT 1" >/dev/null 2>&1') == 0)
    {
        die "no server\n" . `tail $dir/log`
            if time > $end || waitpid($pid, 1) == $pid;
        sleep 0.05;
    }
}


# prepare: creates the accounts and databases that Chat.pm needs

sub prepare {
    my ($self) = @_;

    my ($dir, $socket) = @$self{qw(dir socket)};

    $self->put('client.cnf', "[client]\nuser=root\nsocket=$socket\n");
    $self->put('password', "$Password\n");

    $self->put('chat.sql', "CREATE DATABASE chat;\n"
                           . "CREATE USER 'chat'\@'localhost'"
                           . " IDENTIFIED BY '$Password';\nUSE chat;\n");

    # grants require the tables
    $self->sh("sh -c 'cat $dir/chat.sql $Top/sql/schema.sql $Top/sql/grants.sql |
               $Client --defaults-file=$dir/client.cnf'");

    $ENV{TEST_NGINX_CHAT_SOCKET} = $socket;
    $ENV{TEST_NGINX_CHAT_PASSWORD_FILE} = "$dir/password";
    $ENV{TEST_NGINX_CHAT_DB} = 'chat';
    $ENV{CHAT_TEST_CNF} = "$dir/client.cnf";
}


sub put {
    my ($self, $name, $text) = @_;

    open my $file, '>', "$self->{dir}/$name" or die "$name: $!\n";
    chmod 0600, "$self->{dir}/$name";
    print $file $text;
    close $file or die "$name: $!\n";
}


sub cont { kill CONT => $_[0]{pid} }


# stop: waits until it has stopped, since a thread may still respond

sub stop {
    my ($self) = @_;

    kill STOP => $self->{pid};
    sleep 0.001 until $self->stopped;
}


sub stopped {
    my ($self) = @_;

    for my $path (glob "/proc/$self->{pid}/task/*/stat") {
        open my $file, '<', $path or next;
        return 0 if readline($file) !~ /\) T /;
    }

    return 1;
}


sub end {
    my ($self, $signal) = @_;

    my $pid = delete $self->{pid} // return;

    kill $signal => $pid;
    waitpid $pid, 0;
}


# --- the disk --------------------------------------------------------------

# filler: returns the path of a file on the server's disk, seen from outside

sub filler {
    my ($self) = @_;

    return "/proc/$self->{holder}/root$self->{dir}/disk/filler";
}


sub fill {
    my ($self) = @_;

    return 0 unless $self->{holder};

    open my $file, '>>', $self->filler or die "filler: $!\n";
    1 while syswrite $file, "\0" x 4096;

    return 1;
}


sub free {
    my ($self) = @_;

    unlink $self->filler or die "filler: $!\n";
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    # the status of the test, which may be ending, stays
    local $?;

    $self->end('KILL');

    if (my $pid = delete $self->{holder}) {
        kill KILL => $pid;
        waitpid $pid, 0;
    }
}


1;
