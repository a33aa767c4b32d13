#
# Copyright (C) ngx_chat contributors
#

package Chat::Sockets;

# WebSockets of known workers

use strict;
use warnings;

use Chat;
use Exporter qw(import);

our @EXPORT = qw(web_sockets);

# web_sockets USER, N, OPTIONS: returns N sockets as of web_socket(), and more if
# necessary, so that each worker has one

sub web_sockets {
    my ($who, $n, %option) = @_;

    my %missing = map { $_ => 1 } Chat::worker_pids();
    my @sockets;

    while (@sockets < $n || %missing) {
        die "no socket of worker ", join(', ', keys %missing), "\n"
            if @sockets == $n + 200;

        my $socket = web_socket($who, %option);
        push @sockets, $socket;

        delete $missing{ worker_of($socket) };
    }

    return @sockets;
}


# worker_of SOCKET: returns the id of the process that has its connection, or ''

sub worker_of {
    my ($socket) = @_;

    my $tx = $socket->{tx} or return '';
    my $peer = sprintf ':%04X', $tx->local_port;
    my $own = sprintf ':%04X', $tx->remote_port;

    my ($inode) = map { (split)[9] }
                  grep { my @field = split;
                         $field[1] =~ /$own$/ && $field[2] =~ /$peer$/ }
                  split /^/, join '', map { Chat::read_file("/proc/net/$_") }
                                          grep { -e "/proc/net/$_" }
                                          'tcp', 'tcp6';

    for my $pid (Chat::worker_pids()) {
        return $pid if grep { (readlink // '') eq "socket:[$inode]" }
                            glob "/proc/$pid/fd/*";
    }

    return '';
}


1;
