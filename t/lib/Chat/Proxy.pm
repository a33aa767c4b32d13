#
# Copyright (C) ngx_chat contributors
#

package Chat::Proxy;

# A process between nginx and the database, with its own socket, that simulates
# faults of the database.
#
#   $proxy = Chat::Proxy->new(PATH, UPSTREAM);
#   $proxy->pass;       forwards all data, the initial mode
#   $proxy->refuse;     closes all connections and accepts no new ones
#   $proxy->hold;       accepts and reads connections, but does not respond
#   $proxy->stall;      forwards only the first response of the database on each
#                       connection
#   $proxy->swallow;    forwards data, but closes a connection instead of its
#                       next response; then passes
#   $proxy->cut;        closes all connections; then passes
#   $proxy->slow;       forwards responses after 0.3 s
#   $proxy->trickle;    ... byte by byte
#   $proxy->drip(SECONDS);
#                       ... at this interval, except for the first response on
#                       each connection, which is forwarded after 0.3 s
#   $proxy->garble(N);  ... with random changes; N is the seed
#   $proxy->garble_answers(N);
#                       ... except for data before the first query of each
#                       connection
#   $proxy->opened;     returns the number of connections so far

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use Time::HiRes qw(time);

sub new {
    my ($class, $path, $upstream) = @_;

    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "socketpair: $!\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        close $ours;
        eval { serve($path, $upstream, $theirs) };
        print STDERR $@ if $@;

        # without the END blocks of the parent
        require POSIX;
        POSIX::_exit(0);
    }

    close $theirs;

    my $self = bless { pid => $pid, owner => $$, control => $ours }, $class;
    $self->tell('pass');

    return $self;
}


sub tell {
    my ($self, $command) = @_;

    syswrite $self->{control}, "$command\n";
    sysread $self->{control}, my $answer, 64 or die "the proxy has died\n";

    return $answer;
}


for my $command (qw(pass refuse hold stall swallow cut slow trickle drip
                    garble garble_answers opened))
{
    no strict 'refs';
    *$command = sub {
        my ($self, @argument) = @_;
        return $self->tell("$command @argument");
    };
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    # the status of the test, which may be ending, stays
    local $?;

    # shutdown() instead of close(), since other proxies may have a copy
    shutdown $self->{control}, 2;
    close $self->{control};
    waitpid $self->{pid}, 0;
}


# --- the process -----------------------------------------------------------

# socket => its peer, and sockets of the database

my (%peer, %servers);

# socket => pending data: [TIME, SOCKET, BYTES, BYTES PER WRITE, PAUSE]
my %later;

# sockets of the database with a response
my %greeted;

# sockets of the database with a query
my %asked;

# seconds between two bytes
my $pause = 0.001;

my $select = IO::Select->new;


sub serve {
    my ($path, $upstream, $control) = @_;

    my ($listen, $mode, $opened) = (undef, 'refuse', 0);

    local $SIG{PIPE} = 'IGNORE';

    $select->add($control);

    for ( ;; ) {
        my @ready = $select->can_read(wait_time());
        write_due();

        for my $socket (@ready) {

            if ($socket == $control) {
                sysread $control, my $command, 64 or return;
                ($command, my $argument) = split ' ', $command;
                srand $argument if $command =~ /^garble/;

                if ($command ne 'opened') {
                    $mode = $command;
                    $pause = $mode eq 'drip' ? $argument : 0.001;
                    $listen = change_mode($mode, $listen, $path);
                    $mode = 'pass' if $mode eq 'cut';
                }

                syswrite $control, "$opened\n";

                # the sets of sockets have changed
                last;
            }

            if ($listen && $socket == $listen) {
                my $client = $listen->accept;
                my $server = IO::Socket::UNIX->new(Peer => $upstream);

                join_ends($client, $server, $mode) if $client && $server;
                $opened++;
                next;
            }

            next if !$peer{$socket};

            if ($mode eq 'swallow' && $servers{$socket}) {
                $mode = 'pass';
                drop($socket);

            } else {
                my $way = $servers{$socket} ? $mode : 'pass';
                # slow, since a client does not wait for available data
                $way = $greeted{$socket} ? 'trickle' : 'slow'
                    if $way eq 'drip';
                $greeted{$socket} = 1 if $servers{$socket};
                $way = $asked{$socket} ? 'garble' : 'pass'
                    if $way eq 'garble_answers';

                hand_on($socket, $way);
                $select->remove($socket)
                    if $mode eq 'stall' && $servers{$socket};
            }
        }
    }
}


sub change_mode {
    my ($mode, $listen, $path) = @_;

    if ($mode =~ /refuse|cut/) {
        my @all = values %servers;
        drop($_) for @all;
    }

    if ($mode eq 'refuse') {
        $select->remove($listen) if $listen;
        unlink $path;
        return undef;
    }

    # responses of the server wait meanwhile
    for my $server (values %servers) {
        $mode eq 'hold' ? $select->remove($server) : $select->add($server);
    }

    return $listen if $listen;

    unlink $path;
    $listen = IO::Socket::UNIX->new(Local => $path, Listen => 64)
        or die "$path: $!\n";
    chmod 0777, $path;
    $select->add($listen);

    return $listen;
}


sub join_ends {
    my ($client, $server, $mode) = @_;

    $peer{$client} = $server;
    $peer{$server} = $client;
    $servers{$server} = $server;

    $select->add($client);
    $select->add($server) if $mode ne 'hold';
}


sub drop {
    my ($socket) = @_;

    my $peer = delete $peer{$socket};

    delete $peer{$peer};
    delete @servers{$socket, $peer};
    delete @greeted{$socket, $peer};
    delete @asked{$socket, $peer};
    delete @later{$socket, $peer};
    $select->remove($socket, $peer);
    close $_ for $socket, $peer;
}


sub hand_on {
    my ($socket, $mode) = @_;

    my $n = sysread $socket, my $bytes, 65536;

    if (!$n) {
        drop($socket);
        return;
    }

    my $peer = $peer{$socket};

    # commands have packet number 0, unlike packets of a login
    $asked{$peer} = 1 if $servers{$peer} && substr($bytes, 3, 1) eq "\0";

    $bytes = garbled($bytes) if $mode eq 'garble';

    # not before pending data
    if ($mode =~ /slow|trickle/ || $later{$peer}) {
        push @{ $later{$peer} }, [
            time + ($mode eq 'slow' ? 0.3 : 0), $peer, $bytes,
            $mode eq 'trickle' ? 1 : length $bytes, $pause
        ];

    } else {
        put($peer, $bytes);
    }
}


sub put {
    my ($socket, $bytes) = @_;

    for (my $done = 0; $done < length $bytes; ) {
        my $written = syswrite($socket, $bytes, length($bytes) - $done, $done)
            // return;
        $done += $written;
    }
}


sub wait_time {
    my ($first) = sort { $a <=> $b } map { $_->[0][0] } values %later;

    return unless defined $first;
    return $first > time ? $first - time : 0;
}


# write_due: writes the due data of each socket and schedules the rest

sub write_due {
    for my $key (keys %later) {
        my $first = $later{$key}[0];
        my ($time, $socket, $bytes, $n, $pause) = @$first;

        next if $time > time;

        put($socket, substr $bytes, 0, $n);
        @$first[0, 2] = (time + $pause, substr $bytes, $n);

        shift @{ $later{$key} } if $n >= length $bytes;
        delete $later{$key} if !@{ $later{$key} };
    }
}


# garbled BYTES: a packet has three bytes of length, a number, and the data

sub garbled {
    my ($bytes) = @_;

    my $any = sub { join '', map { chr int rand 256 } 1 .. $_[0] };

    for (int rand 6) {
        # random bytes
        return $any->(length $bytes) if $_ == 0;

        # a packet with random data
        return substr($bytes, 0, 4) . $any->(length($bytes) - 4) if $_ == 1;

        # another length, which shifts all following packets
        return chr(int rand 256) . substr($bytes, 1) if $_ == 2;
        return "\xff\xff\xff" . substr($bytes, 3) if $_ == 3;

        # truncated data
        return substr($bytes, 0, 1 + rand length $bytes) if $_ == 4;
    }

    # a few changed bytes
    substr($bytes, rand length $bytes, 1) = $any->(1) for 1 .. 1 + rand 3;

    return $bytes;
}


1;
