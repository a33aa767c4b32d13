#
# Copyright (C) ngx_chat contributors
#

package Chat::Proxy;

# A process between nginx and the database, on a socket of its own, to be a
# database that goes away, comes back, or does not answer.
#
#   $proxy = Chat::Proxy->new(PATH, UPSTREAM);
#   $proxy->pass;       hands everything on: how it begins
#   $proxy->refuse;     closes all connections and takes no new ones
#   $proxy->hold;       takes connections and reads them, but says nothing
#   $proxy->stall;      hands on the first thing the database says to each
#                       connection, and nothing after it
#   $proxy->swallow;    hands on, but instead of the next answer there is the
#                       end of its connection; then passes
#   $proxy->cut;        closes all connections; then passes
#   $proxy->opened;     how many connections have been made so far

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);

sub new {
    my ($class, $path, $upstream) = @_;

    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "socketpair: $!\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        close $ours;
        eval { serve($path, $upstream, $theirs) };
        print STDERR $@ if $@;

        # none of the parent's END blocks
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


for my $command (qw(pass refuse hold stall swallow cut opened)) {
    no strict 'refs';
    *$command = sub { return $_[0]->tell($command) };
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{owner} != $$;

    # this may be the end of the test, with its exit status in here
    local $?;

    close $self->{control};
    waitpid $self->{pid}, 0;
}


# --- the process -----------------------------------------------------------

# a socket => the other end's, and the sockets of the database's side

my (%peer, %servers);

my $select = IO::Select->new;


sub serve {
    my ($path, $upstream, $control) = @_;

    my ($listen, $mode, $opened) = (undef, 'refuse', 0);

    local $SIG{PIPE} = 'IGNORE';

    $select->add($control);

    for ( ;; ) {
        for my $socket ($select->can_read) {

            if ($socket == $control) {
                sysread $control, my $command, 64 or return;
                chomp $command;

                if ($command ne 'opened') {
                    $mode = $command;
                    $listen = change_mode($mode, $listen, $path);
                    $mode = 'pass' if $mode eq 'cut';
                }

                syswrite $control, "$opened\n";

                # the sockets have changed under this loop
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
                hand_on($socket);
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

    # what the server says waits meanwhile
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
    $select->remove($socket, $peer);
    close $_ for $socket, $peer;
}


sub hand_on {
    my ($socket) = @_;

    my $n = sysread $socket, my $bytes, 65536;

    if (!$n) {
        drop($socket);
        return;
    }

    for (my $done = 0; $done < $n; ) {
        my $written = syswrite($peer{$socket}, $bytes, $n - $done, $done)
            // return;
        $done += $written;
    }
}


1;
