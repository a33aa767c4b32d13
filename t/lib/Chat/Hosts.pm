#
# Copyright (C) ngx_chat contributors
#

package Chat::Hosts;

# Several hosts, each with its own nginx, with one database and one Redis
# server.  Each host and the Redis server have a network namespace on a bridge,
# or an address of this machine where namespaces cannot be created.
#
#   BEGIN { plan skip_all => $why if $why = Chat::Hosts->missing }
#   BEGIN { Chat::Hosts->enter }       restarts this file in namespaces
#   $redis = Chat::Redis->new(NAME => VALUE, ...);
#                                      with these settings
#   $redis->{parameters} = 'password_file=PATH';
#                                      of chat_redis in hosts configured later
#   $host = Chat::Host->new(N, FOLDER);
#   $host->configure($redis, Chat::example());
#   $host->start_nginx;                returns when it is connected to Redis
#   $host->with_redis;                 workers that are connected to Redis
#   $host->end;                        kills all processes at once
#   $host->cut;                        drops packets to and from Redis
#   $host->mend;
#   at($host, sub { ... });            with api() and similar functions
#
#   $redis->start;
#   $redis->signal('STOP');
#   $redis->end;
#   $redis->ask('PING');               returns the output of redis-cli
#
#   $redis = Chat::Redis::Cluster->new(N, NAME => VALUE, ...);
#                                      N masters instead of one Redis server
#   $redis->{nodes}[0]->end;

use strict;
use warnings;

use Chat::Site;
use Exporter qw(import);

our @EXPORT = qw(at);

my $Net = '10.77.0';


# missing: returns the reason why the tests cannot run, or undef

sub missing {
    for my $program (qw(redis-check-rdb redis-cli)) {
        return "no $program on the path, install redis-tools"
            if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
    }

    return undef;
}


# enter: all processes that are started inside end with the namespace

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


# address N: returns the address of host N

sub address {
    my ($n) = @_;

    return spaces() ? "$Net." . ($n + 1) : '127.0.0.' . ($n + 1);
}


# plug: starts a process that holds the namespace, in which commands are run

sub plug {
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


# isolate "on" or "off": an isolated host does not reach other isolated ones,
# but all others

sub isolate {
    my ($self, $on) = @_;

    local $self->{in} = '';
    $self->sh("ip link set chat$self->{n} type bridge_slave isolated $on");
}


sub unplug {
    my ($self) = @_;

    my $pid = delete $self->{holder} // return;

    kill KILL => $pid;
    waitpid $pid, 0;
}


# at HOST, CODE: runs CODE with requests to the host

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

    $self->preload;
    Chat::Hosts::plug($self) if Chat::Hosts::spaces();

    return $self;
}


# configure REDIS, HTTP, SERVER: with parts of nginx.conf.example, in which the
# directives for several hosts are enabled

sub configure {
    my ($self, $redis, $http, $server) = @_;

    my $parameters = join ' ', $redis->addresses, $redis->{parameters} // ();

    s/^( *)##(?=[^\s#])/$1/mg for $http, $server;

    $http =~ s{\bchat_redis\s+\K[^;]+}{$parameters}
        or die "nothing for several hosts in nginx.conf.example\n";

    $self->SUPER::configure($http, $server);
}


# start_nginx: waits for Redis

sub start_nginx {
    my ($self) = @_;

    $self->SUPER::start_nginx;

    $self->wait_redis(10) or die "no Redis\n", $self->error_log;
}


# with_redis: returns the workers that have both connections, by log messages

sub with_redis {
    my ($self) = @_;

    my $line = qr/\] (\d+)#\d+: chat redis: (connected|lost|cannot connect)/;
    my %ready;

    for (split /^/, $self->error_log) {
        $ready{$1}{$3} = $2 eq 'connected'
            if /$line.* for (publishing|subscribing)/;
    }

    return grep { $ready{$_}{publishing} && $ready{$_}{subscribing} }
                $self->workers($self->master);
}


# wait_redis SECONDS: returns whether all workers are connected in time

sub wait_redis {
    my ($self, $seconds) = @_;

    return Chat::Site::wait_for(sub {
        $self->with_redis == ($ENV{CHAT_WORKERS} // 2)
    }, $seconds);
}


# end: simulates a power failure

sub end {
    my ($self) = @_;

    while (my @pids = $self->processes) {
        Chat::Site::end_all(@pids);
    }
}


sub cut  { Chat::Hosts::isolate($_[0], 'on') }
sub mend { Chat::Hosts::isolate($_[0], 'off') }



sub error_log {
    my ($self) = @_;

    return Chat::Site::slurp("$self->{dir}/error.log");
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    # the status of the test, which may be ending, stays
    local $?;

    $self->end;
    Chat::Hosts::unplug($self);
}


# --- Redis -----------------------------------------------------------------

package Chat::Redis;

use parent -norequire, 'Chat::Server';

use File::Temp qw(tempdir);
use POSIX ();

# number of the next server, like those of hosts
my $Number = 100;


sub new {
    my ($class, %settings) = @_;

    my $self = bless {
        dir => tempdir(CLEANUP => 1), owner => $$, in => '', n => $Number,
        settings => \%settings,
        address => Chat::Hosts::address($Number++),
        port => $settings{'tls-port'} // Chat::Site::free_port(),
    }, $class;

    if (Chat::Hosts::spaces()) {
        Chat::Hosts::plug($self);

        # the nodes of a cluster reach each other
        Chat::Hosts::isolate($self, 'on') if !$settings{'cluster-enabled'};
    }

    # The name of the program selects its function.  redis-check-rdb is the same
    # program, and is installed without a service.
    symlink Chat::Site::find('redis-check-rdb'), "$self->{dir}/redis-server";

    $self->start;

    return $self;
}


sub addresses {
    my ($self) = @_;

    return "$self->{address}:$self->{port}";
}


sub start {
    my ($self) = @_;

    my $pid = $self->{pid} = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;

        exec split(' ', $self->{in}), "$self->{dir}/redis-server",
             '--bind', $self->{address},
             $self->{settings}{'tls-port'} ? ('--port', 0)
                                           : ('--port', $self->{port}),
             '--protected-mode', 'no', '--save', '', '--dir', $self->{dir},
             $self->{settings}{'cluster-enabled'}
             ? ('--bind-source-addr', $self->{address},
                '--cluster-announce-ip', $self->{address}) : (),
             map({ ("--$_", $self->{settings}{$_}) } keys %{ $self->{settings} })
            or POSIX::_exit(1);
    }

    Chat::Site::wait_for(sub { $self->ask('PING') eq 'PONG' }, 10)
        or die "no Redis\n", Chat::Site::slurp("$self->{dir}/log");
}


sub ask {
    my ($self, $command) = @_;

    my $settings = $self->{settings};
    my $tls = $settings->{'tls-port'}
              ? "--tls --cacert $settings->{'tls-ca-cert-file'}" : '';

    local $ENV{REDISCLI_AUTH};
    delete $ENV{REDISCLI_AUTH};
    $ENV{REDISCLI_AUTH} = $settings->{requirepass} if $settings->{requirepass};

    my $answer = `redis-cli -h $self->{address} -p $self->{port} $tls \\
                  --no-auth-warning $command 2>&1`;
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
    Chat::Hosts::unplug($self);
}


# --- Redis Cluster ---------------------------------------------------------

package Chat::Redis::Cluster;

sub new {
    my ($class, $n, %settings) = @_;

    my @nodes = map {
        Chat::Redis->new('cluster-enabled' => 'yes',
                         'cluster-port' => Chat::Site::free_port(), %settings)
    } 1 .. $n;

    my $self = bless { nodes => \@nodes }, $class;
    my $made = `timeout 20 redis-cli --cluster create @{[ $self->addresses ]} \\
                --cluster-yes 2>&1`;

    Chat::Site::wait_for(sub { $self->ok }, 10)
        or die "no cluster\n$made", Chat::Site::slurp("$nodes[0]{dir}/log");

    return $self;
}


sub addresses {
    return map { "$_->{address}:$_->{port}" } @{ $_[0]{nodes} };
}


# ok: returns whether all nodes report a complete cluster

sub ok {
    my ($self) = @_;

    return !grep { $_->ask('CLUSTER INFO') !~ /^cluster_state:ok/ }
                 @{ $self->{nodes} };
}


1;
