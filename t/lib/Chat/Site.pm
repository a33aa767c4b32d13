#
# Copyright (C) ngx_chat contributors
#

package Chat::Site;

# A database server and an nginx for one test, which the test may kill.
#
#   BEGIN { $site = Chat::Site->new(FOLDER); $site->start_db; $site->prepare }
#   use Chat;                  uses the tables, accounts and port of this site
#
#   $site->configure(Chat::example());
#   $site->start_nginx;
#   end_all($site->processes);      masters and workers
#
# Unlike those of a Chat::Server, its methods work in any process that has the
# object, since files have the state of processes.

use strict;
use warnings;

use parent 'Chat::Server';

use Chat::Family;
use Chat::Ports qw(free_port);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use POSIX ();
use Time::HiRes qw(sleep time);

my $Top = abs_path(dirname(__FILE__) . '/../../..');

# servers that drop root privileges could not write to the directories
my $User = $> == 0 ? 'root' : undef;


sub new {
    my ($class, $dir) = @_;

    remove_tree($dir);
    make_path("$dir/tmp", "$dir/deaths");

    # the path of a socket has a small maximum length
    my $self = bless {
        dir => $dir, owner => $$, in => '', run => tempdir(CLEANUP => 1),
        nginx => $ENV{TEST_NGINX_BINARY} // find('nginx'),
    }, $class;

    $self->preload;

    $self->{address} = '127.0.0.1';
    $self->{port} = free_port();
    $self->{socket} = "$self->{run}/db.sock";

    # a starting server removes tables of other servers from a shared directory
    # for temporary files
    $self->sh("TMPDIR=$dir/tmp "
              . install_command("$dir/data", $User ? "--user=$User" : ()));

    return $self;
}


# preload: none for an nginx with sanitizers, which report crashes

sub preload {
    my ($self) = @_;

    return if $ENV{TEST_NGINX_BINARY};

    $self->sh("cc -O2 -fPIC -shared -o $self->{dir}/preload.so
               $Top/t/lib/preload.c");
    $self->{preload} = "LD_PRELOAD=$self->{dir}/preload.so";
}


# find PROGRAM: returns the full path, which an upgrade of nginx needs

sub find {
    my ($program) = @_;

    my ($path) = grep { -x } map { "$_/$program" } split /:/, $ENV{PATH};

    return $path // die "no $program on $ENV{PATH}\n";
}


sub slurp {
    my ($path) = @_;

    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}


# --- processes -------------------------------------------------------------

# alive PID: returns false for zombies as well

sub alive {
    my ($pid) = @_;

    return slurp("/proc/$pid/stat") =~ /\) [^ZX] /;
}


# wait_for CONDITION, SECONDS: returns whether it becomes true in time

sub wait_for {
    my ($condition, $seconds) = @_;

    my $end = time() + $seconds;

    until ($condition->()) {
        return 0 if time() > $end;
        sleep 0.02;
    }

    return 1;
}


# end_all PIDS: kills all of them at once

sub end_all {
    my (@pids) = @_;

    kill KILL => $_ for @pids;

    return wait_for(sub { !grep { alive($_) } @pids }, 20);
}


# --- database --------------------------------------------------------------

sub db_pid {
    my ($self) = @_;

    my ($pid) = slurp("$self->{dir}/db.pid") =~ /^(\d+)$/ or return;

    return alive($pid)
           && slurp("/proc/$pid/cmdline") =~ m{\Q$self->{dir}\E/} ? $pid : ();
}


# start_db: committed transactions survive "kill -9", and others see no
# transaction before it is durable; the binary log ensures this

sub start_db {
    my ($self) = @_;

    my $dir = $self->{dir};

    # MySQL's lock file may name a zombie
    unlink $self->{socket}, "$self->{socket}.lock";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/db.log";
        open STDERR, '>&', \*STDOUT;

        exec server_command(), $User ? "--user=$User" : (),
             "--datadir=$dir/data", "--socket=$self->{socket}",
             "--tmpdir=$dir/tmp", '--skip-networking',
             '--character-set-server=utf8mb4',
             '--innodb-buffer-pool-size=64M', log_size(32),
             '--innodb-flush-log-at-trx-commit=1', '--log-bin=binlog',
             '--sync-binlog=1', '--max-connections=400'
            or POSIX::_exit(1);
    }

    $self->put('db.pid', "$pid\n");
}


# wait_db SECONDS: returns whether the server responds in time

sub wait_db {
    my ($self, $seconds) = @_;

    return wait_for(sub {
        waitpid -1, 1;
        return system("$Client --no-defaults -u root -S $self->{socket}"
                      . ' -e "SELECT 1" >/dev/null 2>&1') == 0;
    }, $seconds);
}


# prepare: creates the accounts and databases that Chat.pm needs

sub prepare {
    my ($self) = @_;

    $self->wait_db(60) or die "no database\n", slurp("$self->{dir}/db.log");
    $self->SUPER::prepare;

    $ENV{TEST_NGINX_PORT} = $self->{port};
}


# --- nginx -----------------------------------------------------------------

# configure HTTP, SERVER: the parts of nginx.conf.example from Chat::example

sub configure {
    my ($self, $http, $server) = @_;

    my $dir = $self->{dir};
    my $modules = join '', map { "load_module $_;\n" }
                               split ' ', $ENV{TEST_NGINX_LOAD_MODULES} // '';
    my $temp = join '', map { "${_}_temp_path $dir/tmp/$_;\n" }
                            qw(client_body proxy fastcgi uwsgi scgi);

    $self->put('nginx.conf',
        ($User ? "user $User;\n" : '')
        . "pid $dir/nginx.pid;\nerror_log $dir/error.log info;\n$modules"
        . join('', map { "env $_;\n" } qw(LD_PRELOAD BACKTRACE ASAN_OPTIONS
                                          LSAN_OPTIONS UBSAN_OPTIONS))
        . 'worker_processes ' . ($ENV{CHAT_WORKERS} // 2) . ";\n"
        . "worker_shutdown_timeout 10s;\n"
        . "events { worker_connections 1024; }\n"
        . "http {\naccess_log off;\n$temp$http"
        . "server {\nlisten $self->{address}:$self->{port};\n$server}\n}\n");
}


# start_nginx: stores the session, by which processes are recognized

sub start_nginx {
    my ($self) = @_;

    my $dir = $self->{dir};

    $self->sh("env BACKTRACE=$dir/deaths " . ($self->{preload} // '')
              . " $self->{nginx} -p $dir/ -c $dir/nginx.conf");
    $self->put('session', $self->master . "\n");
}


# master: returns the process that receives signals

sub master {
    my ($self) = @_;

    my ($pid) = slurp("$self->{dir}/nginx.pid") =~ /^(\d+)$/ or return;

    return alive($pid)
           && slurp("/proc/$pid/cmdline") =~ m{\Q$self->{dir}\E/} ? $pid : ();
}


# is_new MASTER: returns whether its predecessor still runs

sub is_new {
    my ($self, $master) = @_;

    my ($parent) = slurp("/proc/$master/stat") =~ /\) \S (\d+)/ or return;

    return $self->is_nginx($parent);
}


# is_nginx PID: returns whether it belongs to this site

sub is_nginx {
    my ($self, $pid) = @_;

    my ($session) = slurp("$self->{dir}/session") =~ /^(\d+)$/ or return;

    # pid (name) state parent group session
    return slurp("/proc/$pid/stat") =~ /\) [^ZX] \d+ \d+ $session /;
}


# workers MASTER: returns those that accept connections.  Process titles are not
# visible under valgrind.

sub workers {
    my ($self, $master) = @_;

    my %other = map { $_ => 1 } $self->master,
                slurp("$self->{dir}/error.log")
                    =~ / (\d+)#\d+: gracefully shutting down$/mg;

    return grep { !$other{$_} && alive($_) }
                split ' ', slurp("/proc/$master/task/$master/children");
}


# death PID: returns the stack trace of its crash, innermost call first, or ''

sub death {
    my ($self, $pid) = @_;

    return join '', grep { /^\s*#\d|^\S+\(/ } map { /.*\n/g }
                    slurp(death_file($self, $pid));
}


sub death_file {
    my ($self, $pid) = @_;

    my ($reports) = ($ENV{ASAN_OPTIONS} // '') =~ /log_path=([^:]+)/;

    return $reports ? "$reports.$pid" : "$self->{dir}/deaths/$pid";
}


# forgive PID: its report is not counted

sub forgive {
    my ($self, $pid) = @_;

    rename death_file($self, $pid), "$self->{dir}/deaths/$pid.forgiven";
}


# processes: returns all of this nginx, including orphans and other generations

sub processes {
    my ($self) = @_;

    return sort { $a <=> $b } grep { $self->is_nginx($_) }
                map { m{(\d+)/stat} } glob '/proc/[0-9]*/stat';
}


# --- the end ---------------------------------------------------------------

sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    # the status of the test, which may be ending, stays
    local $?;

    while (my @pids = ($self->processes, $self->db_pid)) {
        end_all(@pids);
    }
}


1;
