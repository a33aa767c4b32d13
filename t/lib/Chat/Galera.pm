#
# Copyright (C) ngx_chat contributors
#

package Chat::Galera;

# A cluster of three MariaDB servers with Galera on this machine.
#
#   BEGIN { plan skip_all => $why if $why = Chat::Galera->missing }
#   BEGIN { $cluster = Chat::Galera->new }
#   use Chat;            the tables and accounts of the first node are there
#
#   $cluster->addresses; "127.0.0.1:PORT ...", in the order of nodes
#   $cluster->end(N, SIGNAL);
#   $cluster->start(N);  waits until the node takes part
#   $cluster->sql(N, STATEMENT);
#                        returns the output of the client
#   $cluster->repeat(N, STATEMENT, SECONDS);
#                        runs it repeatedly; returns the id of the process
#   $cluster->use(N);    sql() of Chat uses this node

use strict;
use warnings;

use Chat::Family;
use Chat::Ports qw(free_port);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use POSIX ();
use Time::HiRes qw(sleep time);

my $Top = abs_path(dirname(__FILE__) . '/../../..');
my $Password = 'pw-Rm4kTz';
my $Library = '/usr/lib/galera/libgalera_smm.so';
my $Nodes = 3;

# a missing node is declared dead after two seconds instead of five
my $Options = 'evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;'
              . 'evs.inactive_timeout=PT6S;evs.inactive_check_period=PT0.5S;'
              . 'gcache.size=16M';


sub missing {
    return 'Galera requires MariaDB' if $Mysql;
    return "no $Library: install galera-4" if !-e $Library;

    for my $program (qw(mariadbd rsync lsof wsrep_sst_rsync)) {
        return "no $program on the path, install "
               . ($program =~ /^[rl]/ ? $program : 'mariadb-server')
            if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
    }

    return undef;
}


sub new {
    my ($class) = @_;

    my $dir = tempdir(CLEANUP => 1);

    chmod 0755, $dir;

    my $self = bless { dir => $dir, owner => $$, pid => [],
                       user => $> == 0 ? '--user=www-data' : '' }, $class;

    $self->{ports} = [map { { map { $_ => free_port() }
                              qw(sql group ist sst) } } 1 .. $Nodes];

    for my $n (0 .. $Nodes - 1) {
        mkdir "$dir/$n";

        # rsync, run as root, could not read the data
        chown((getpwnam 'www-data')[2, 3], "$dir/$n") if $> == 0;

        put("$dir/$n/client.cnf",
            "[client]\nuser=root\nsocket=$dir/$n/db.sock\n");
    }

    # all nodes start with the same data, so nothing is copied
    $self->sh("mariadb-install-db --no-defaults --force --skip-test-db
               $self->{user} --datadir=$dir/0/data
               --innodb-log-file-size=8M
               --auth-root-authentication-method=normal");
    $self->sh("cp -a $dir/0/data $dir/$_/data") for 1 .. $Nodes - 1;

    $self->start(0, '--wsrep-new-cluster');
    $self->prepare;
    $self->start($_) for 1 .. $Nodes - 1;

    return $self;
}


sub put {
    my ($path, $text) = @_;

    open my $file, '>', $path or die "$path: $!\n";
    chmod 0600, $path;
    print $file $text;
    close $file or die "$path: $!\n";
}


sub sh {
    my ($self, $command) = @_;

    $command =~ s/\s+/ /g;
    system("$command >>$self->{dir}/log 2>&1 </dev/null") == 0
        or die "$command\n" . `tail $self->{dir}/log`;
}


sub launch {
    my ($self, $n, @options) = @_;

    my $dir = "$self->{dir}/$n";
    my $port = $self->{ports}[$n];
    my $group = join ',', map { "127.0.0.1:$_->{group}" } @{ $self->{ports} };

    unlink "$dir/db.sock";

    my $pid = $self->{pid}[$n] = fork // die "fork: $!\n";

    return if $pid;

    open STDIN, '<', '/dev/null';
    open STDERR, '>>', "$dir/log";
    open STDOUT, '>&', \*STDERR;
    exec 'mariadbd', '--no-defaults', $self->{user} || (),
         "--datadir=$dir/data", "--socket=$dir/db.sock", "--tmpdir=$dir",
         '--bind-address=127.0.0.1', "--port=$port->{sql}",
         '--character-set-server=utf8mb4', '--innodb-buffer-pool-size=32M',
         '--innodb-log-file-size=8M', '--innodb-autoinc-lock-mode=2',
         '--innodb-flush-log-at-trx-commit=2', '--binlog-format=ROW',
         '--wsrep-on=ON', "--wsrep-provider=$Library",
         "--wsrep-cluster-address=gcomm://$group",
         "--wsrep-node-address=127.0.0.1:$port->{group}",
         "--wsrep-node-name=node$n", '--wsrep-sst-method=rsync',
         "--wsrep-sst-receive-address=127.0.0.1:$port->{sst}",
         '--wsrep-slave-threads=2',
         "--wsrep-provider-options=$Options;"
         . "gmcast.listen_addr=tcp://127.0.0.1:$port->{group};"
         . "ist.recv_addr=127.0.0.1:$port->{ist}",
         @options
        or POSIX::_exit(1);
}


sub start {
    my ($self, $n, @options) = @_;

    $self->launch($n, @options);

    my $end = time + 60;

    until (eval { $self->sql($n, "SHOW STATUS LIKE 'wsrep_ready'") }
           && $self->sql($n, "SHOW STATUS LIKE 'wsrep_ready'") =~ /ON/)
    {
        die "no node $n\n" . `grep -hiE "error|sst" $self->{dir}/*/log | cut -c1-200 | tail -n 50`
            if time > $end || waitpid($self->{pid}[$n], 1) != 0;
        sleep 0.1;
    }
}


# prepare: as Chat.pm needs, and the module's account, here by address

sub prepare {
    my ($self) = @_;

    my $dir = $self->{dir};

    put("$dir/password", "$Password\n");

    open my $file, '<', "$Top/sql/grants.sql" or die "grants.sql: $!\n";
    my $grants = join '', <$file>;
    $grants =~ s/'chat'\@'localhost'/'chat'\@'127.0.0.1'/g;
    put("$dir/grants.sql", $grants);

    put("$dir/chat.sql", "CREATE DATABASE chat;\n"
                         . "CREATE USER 'chat'\@'127.0.0.1'"
                         . " IDENTIFIED BY '$Password';\nUSE chat;\n"
                         . "SOURCE $Top/sql/schema.sql\n"
                         . "SOURCE $dir/grants.sql\n");

    $self->sh("mariadb --defaults-file=$dir/0/client.cnf
               -e 'SOURCE $dir/chat.sql'");

    $ENV{TEST_NGINX_CHAT_SOCKET} = "$dir/0/db.sock";
    $ENV{TEST_NGINX_CHAT_PASSWORD_FILE} = "$dir/password";
    $ENV{TEST_NGINX_CHAT_DB} = 'chat';
    $self->use(0);
}


sub use {
    my ($self, $n) = @_;

    $ENV{CHAT_TEST_CNF} = "$self->{dir}/$n/client.cnf";
}


sub addresses {
    my ($self) = @_;

    return join ' ', map { "127.0.0.1:$_->{sql}" } @{ $self->{ports} };
}


sub sql {
    my ($self, $n, $statement) = @_;

    my $answer = `mariadb --defaults-file=$self->{dir}/$n/client.cnf -N \\
                  -e "$statement" chat 2>>$self->{dir}/log`;

    # the database does not exist at first
    $answer = `mariadb --defaults-file=$self->{dir}/$n/client.cnf -N \\
               -e "$statement" 2>>$self->{dir}/log` if $?;

    die "node $n: $statement\n" if $?;
    chomp $answer;

    return $answer;
}


# repeat N, STATEMENT, SECONDS: runs it a hundred times a second

sub repeat {
    my ($self, $n, $statement, $seconds) = @_;

    my $pid = fork // die "fork: $!\n";

    return $pid if $pid;

    my $end = time + $seconds;

    open my $client, '|-', "mariadb --defaults-file=$self->{dir}/$n/client.cnf"
                           . " --force chat >>$self->{dir}/log 2>&1"
        or POSIX::_exit(1);

    while (time < $end) {
        syswrite $client, "$statement;\n" or last;
        sleep 0.01;
    }

    # without the END blocks of the parent
    close $client;
    POSIX::_exit(0);
}


sub end {
    my ($self, $n, $signal) = @_;

    my $pid = delete $self->{pid}[$n] // return;

    kill $signal => $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    # the status of the test, which may be ending, stays
    local $?;

    $self->end($_, 'KILL') for 0 .. $Nodes - 1;
}


1;
