#
# Copyright (C) ngx_chat contributors
#

package Chat::Ports;

# Ports on 127.0.0.1 for servers of a test.
#
#   $port = free_port();
#
# t/run gives each test file a range of ports, CHAT_TEST_PORTS, "FIRST LAST".
# Without it, a port below those of outgoing connections is returned, so that a
# server can be restarted with the same port.

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::INET;

our @EXPORT_OK = qw(free_port);

my %taken;


# free_port: returns an unused port, a different one each time

sub free_port {
    my ($first, $last) = split ' ', $ENV{CHAT_TEST_PORTS} // '10000 29999';

    for (1 .. 10000) {
        my $port = $first + int rand $last - $first + 1;

        return $port
            if !$taken{$port}++
               && IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
                                        Listen => 1, ReuseAddr => 1);
    }

    die "no free port from $first to $last\n";
}


1;
