#
# Copyright (C) ngx_chat contributors
#

package Chat::Hosts;

# Several hosts with an nginx each, on one database and one Redis.  Each host is
# a network name space on a bridge or, where these cannot be made, an address of
# this machine's own.
#
#   BEGIN { plan skip_all => $why if $why = Chat::Hosts->missing }
#   BEGIN { Chat::Hosts->enter }       runs this file anew, in name spaces
#   $redis = Chat::Redis->new(NAME => VALUE, ...);
#                                      its own settings
#   $host = Chat::Host->new(N, FOLDER);
#   $host->configure($redis, Chat::example());
#   $host->start_nginx;
#   $host->end;                        all of it, at once
#   at($host, sub { ... });            with api() and its kin
#
#   $redis->start;
#   $redis->signal('STOP');
#   $redis->end;
#   $redis->ask('PING');               what redis-cli prints

use strict;
use warnings;

use Chat::Site;
use Exporter qw(import);

our @EXPORT = qw(at);

my $Net = '10.77.0';


# missing: why it cannot be done here; undef: it can

sub missing {
    for my $program (qw(redis-check-rdb redis-cli)) {
        return "no $program on the path, it is of redis-tools"
            if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
    }

    return undef;
}


# enter: all that is started in there ends with it

sub enter {
    my @unshare = qw(unshare --net --pid --fork --kill-child --mount-proc);

    if (!defined $ENV{CHAT_HOSTS}) {
        my $bridge = 'ip link set lo up && ip link add chat0 type bridge'
                     . " && ip addr add $Net.1/24 dev chat0"
                     . ' && ip link set chat0 up';
        my $able = system(@unshare, 'sh', '-c', "exec >/dev/null 2>&1; $bridge");

        $ENV{CHAT_HOSTS} = $able == 0 ? 'name spaces' : 'addresses';

        exec @unshare, 'sh', '-c', $bridge . ' && exec "$@"', 'sh', $^X,
             (map { "-I$_" } @INC), $0
            or die "unshare: $!\n"
            if $able == 0;
    }

    print "# hosts are $ENV{CHAT_HOSTS}\n";
}


sub spaces {
    return $ENV{CHAT_HOSTS} eq 'name spaces';
}


# address N: of host N; 0: of this one

sub address {
    my ($n) = @_;

    return spaces() ? "$Net." . ($n + 1) : '127.0.0.' . ($n + 1);
}


# at HOST, CODE: requests of CODE go there

sub at {
    my ($host, $code) = @_;

    local $Chat::Address = "$host->{address}:$host->{port}";

    return $code->();
}


# --- a host ----------------------------------------------------------------

package Chat::Host;

use parent 'Chat::Site';

use File::Path qw(make_path remove_tree);
use POSIX ();
use Time::HiRes qw(sleep);


sub new {
    my ($class, $n, $dir) = @_;

    remove_tree($dir);
    make_path("$dir/tmp", "$dir/deaths");

    my $self = bless {
        dir => $dir, owner => $$, in => '', n => $n,
        address => Chat::Hosts::address($n),
        port => Chat::Hosts::spaces() ? 80 : Chat::Site::free_port(),
        nginx => $ENV{TEST_NGINX_BINARY} // Chat::Site::find('nginx'),
    }, $class;

    $self->connect if Chat::Hosts::spaces();

    return $self;
}


# connect: a process holds the name space, in which all commands are run

sub connect {
    my ($self) = @_;

    my ($n, $up) = ($self->{n}, "$self->{dir}/up");
    my $pid = $self->{holder} = fork // die "fork: $!\n";

    if ($pid == 0) {
        exec 'unshare', '--net', 'sh', '-c',
             "ip link set lo up && touch $up && exec sleep 3600"
            or POSIX::_exit(1);
    }

    until (-e $up) {
        die "no name space\n" if waitpid($pid, POSIX::WNOHANG()) == $pid;
        sleep 0.01;
    }

    $self->sh("ip link add chat$n type veth peer name eth0 netns $pid");
    $self->sh("ip link set chat$n master chat0 up");

    $self->{in} = "nsenter --net --target=$pid ";
    $self->sh("ip addr add $self->{address}/24 dev eth0");
    $self->sh('ip link set eth0 up');
}


# configure REDIS, HTTP, SERVER: those of nginx.conf.example, with what it has
# for several hosts

sub configure {
    my ($self, $redis, $http, $server) = @_;

    my $text = "$http\0$server";
    my $url = $redis->url;

    $text =~ s/^( *)##(?=\S)/$1/mg >= 4
        && $text =~ s{redis://[\w.:]+}{$url}
        or die "nothing for several hosts in nginx.conf.example\n";

    $self->SUPER::configure(split /\0/, $text);
}


# end: as if its power had failed

sub end {
    my ($self) = @_;

    while (my @pids = $self->processes) {
        Chat::Site::end_all(@pids);
    }
}


sub error_log {
    my ($self) = @_;

    return Chat::Site::slurp("$self->{dir}/error.log");
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    # this may be the end of the test, with its exit status in here
    local $?;

    $self->end;

    if (my $pid = delete $self->{holder}) {
        kill KILL => $pid;
        waitpid $pid, 0;
    }
}


# --- Redis -----------------------------------------------------------------

package Chat::Redis;

use File::Temp qw(tempdir);
use POSIX ();


sub new {
    my ($class, %settings) = @_;

    my $self = bless {
        dir => tempdir(CLEANUP => 1), owner => $$, settings => \%settings,
        address => Chat::Hosts::address(0), port => Chat::Site::free_port(),
    }, $class;

    $self->start;

    return $self;
}


sub url {
    my ($self) = @_;

    return "redis://$self->{address}:$self->{port}";
}


# start: the program is what it is called by; without a service of its own it
# comes under the name of one that looks into files

sub start {
    my ($self) = @_;

    my $pid = $self->{pid} = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;

        exec { Chat::Site::find('redis-check-rdb') } 'redis-server',
             '--bind', $self->{address}, '--port', $self->{port},
             '--protected-mode', 'no', '--save', '', '--dir', $self->{dir},
             map({ ("--$_", $self->{settings}{$_}) } keys %{ $self->{settings} })
            or POSIX::_exit(1);
    }

    Chat::Site::wait_for(sub { $self->ask('PING') eq 'PONG' }, 10)
        or die "no Redis\n", Chat::Site::slurp("$self->{dir}/log");
}


sub ask {
    my ($self, $command) = @_;

    my $answer = `redis-cli -h $self->{address} -p $self->{port} $command 2>&1`;
    chomp $answer;

    return $answer;
}


sub signal {
    my ($self, $signal) = @_;

    kill $signal => $self->{pid};
}


sub end {
    my ($self) = @_;

    my $pid = delete $self->{pid} // return;

    kill KILL => $pid;
    waitpid $pid, 0;
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    local $?;
    $self->end;
}


1;
