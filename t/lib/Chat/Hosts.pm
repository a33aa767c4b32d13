#
# Copyright (C) ngx_chat contributors
#

package Chat::Hosts;

# Several hosts with an nginx each, on one database and one Redis.  Each host is
# a network name space on a bridge, and so is that of Redis; or, where these
# cannot be made, an address of this machine's own.
#
#   BEGIN { plan skip_all => $why if $why = Chat::Hosts->missing }
#   BEGIN { Chat::Hosts->enter }       runs this file anew, in name spaces
#   $redis = Chat::Redis->new(NAME => VALUE, ...);
#                                      its own settings
#   $host = Chat::Host->new(N, FOLDER);
#   $host->configure($redis, Chat::example());
#   $host->start_nginx;                returns when it has Redis
#   $host->with_redis;                 its workers that have
#   $host->end;                        all of it, at once
#   $host->cut;                        no packet goes from it to Redis, or back
#   $host->mend;
#   at($host, sub { ... });            with api() and its kin
#
#   $redis->start;
#   $redis->signal('STOP');
#   $redis->end;
#   $redis->ask('PING');               what redis-cli prints
#
#   $redis = Chat::Redis::Cluster->new(N, NAME => VALUE, ...);
#                                      of so many masters, in place of one Redis
#   $redis->{nodes}[0]->end;

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


# address N: of host N

sub address {
    my ($n) = @_;

    return spaces() ? "$Net." . ($n + 1) : '127.0.0.' . ($n + 1);
}


# plug WHAT: a process holds its name space, in which all commands are run

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


# isolate WHAT, "on" or "off": who is isolated reaches no other who is, but all
# others

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

    $self->preload;
    Chat::Hosts::plug($self) if Chat::Hosts::spaces();

    return $self;
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


# start_nginx: before that sockets would be refused.  nchan would go on reading
# what a reload has freed.

sub start_nginx {
    my ($self) = @_;

    local $ENV{FILL} = 'yes';

    $self->SUPER::start_nginx;

    Chat::Site::wait_for(sub {
        $self->with_redis == ($ENV{CHAT_WORKERS} // 2)
    }, 10) or die "no Redis\n", $self->error_log;
}


# with_redis: as nchan logs it

sub with_redis {
    my ($self) = @_;

    my %last = $self->error_log =~
                   /\] (\d+)#\d+: nchan: Redis .* (disconnected|ready)$/mg;

    return grep { ($last{$_} // '') eq 'ready' }
                $self->workers($self->master);
}


# end: as if its power had failed

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

    # this may be the end of the test, with its exit status in here
    local $?;

    $self->end;
    Chat::Hosts::unplug($self);
}


# --- Redis -----------------------------------------------------------------

package Chat::Redis;

use parent -norequire, 'Chat::Server';

use File::Temp qw(tempdir);
use POSIX ();

# as the hosts have theirs: the next one's
my $Number = 100;


sub new {
    my ($class, %settings) = @_;

    my $self = bless {
        dir => tempdir(CLEANUP => 1), owner => $$, in => '', n => $Number,
        settings => \%settings,
        address => Chat::Hosts::address($Number++),
        port => Chat::Site::free_port(),
    }, $class;

    if (Chat::Hosts::spaces()) {
        Chat::Hosts::plug($self);

        # nodes have to reach each other
        Chat::Hosts::isolate($self, 'on') if !$settings{'cluster-enabled'};
    }

    # the program is what it is called by; without a service of its own it
    # comes under the name of one that looks into files
    symlink Chat::Site::find('redis-check-rdb'), "$self->{dir}/redis-server";

    $self->start;

    return $self;
}


sub url {
    my ($self) = @_;

    return "redis://$self->{address}:$self->{port}";
}


sub start {
    my ($self) = @_;

    my $pid = $self->{pid} = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/log";
        open STDERR, '>&', \*STDOUT;

        exec split(' ', $self->{in}), "$self->{dir}/redis-server",
             '--bind', $self->{address}, '--port', $self->{port},
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


# ok: all of them know that all is there

sub ok {
    my ($self) = @_;

    return !grep { $_->ask('CLUSTER INFO') !~ /^cluster_state:ok/ }
                 @{ $self->{nodes} };
}


# url: with what is between two of them

sub url {
    my ($self) = @_;

    return join ";\nnchan_redis_server ", map { $_->url } @{ $self->{nodes} };
}


1;
