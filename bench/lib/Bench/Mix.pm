#
# Copyright (C) ngx_chat contributors
#

package Bench::Mix;

# Other events during a benchmark of sends: users type, come and go.

use strict;
use warnings;

use Bench::Database;
use Bench::Process;
use Bench::Site;
use Exporter qw(import);
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(mixed);

my $typing = 50;            # requests per second
my $coming = 10;            # users per second who open their only socket
my $stay = 15;              # seconds until they close it: two changes each


# mixed SITE, USERS, CODE: returns the result of CODE, which runs while some of
# USERS, ids, type and others change their presence

sub mixed {
    my ($site, $users, $run) = @_;
    start($site);

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        eval { events($site, @$users) };
        warn "events: $@" if $@;
        POSIX::_exit(1);
    }

    $pid{$pid} = 1;
    my $result = eval { $run->() };
    my $failed = $@;

    kill TERM => $pid;

    # a status instead of the signal: the events have ended too early
    my $status = ended($pid);
    die $failed if $failed;
    die "the other events ended with status $status\n"
        if POSIX::WIFEXITED($status);

    return $result;
}


# events SITE, USERS: until a signal

sub events {
    my ($site, @users) = @_;
    my $keyboard = connect_to($site);
    my (@open, $typed, $came);
    my $start = time;

    $SIG{TERM} = 'DEFAULT';

    for (($typed, $came) = (0, 0);; sleep 0.005) {
        my $now = time - $start;

        if ($typed < $now * $typing) {
            my ($from, $to) = map { 1 + ($typed * 7 + $_ * 11) % $PEOPLE } 0, 1;

            print $keyboard request(POST => "conversation/user$to/typing/",
                                    $from) or die "typing: $!\n";
            sysread $keyboard, my $text, 65536 or die "typing: closed\n";
            $text =~ m{^HTTP/1.1 204 } or die "typing: $text\n";

            # nginx closes a connection after 1,000 requests
            $keyboard = connect_to($site) if ++$typed % 500 == 0;
        }

        if ($came < $now * $coming) {
            my $socket = connect_to($site);

            print $socket upgrade($users[$came++ % @users]);
            push @open, [$now, $socket];
        }

        close +(shift @open)->[1] while @open && $open[0][0] < $now - $stay;
    }
}


sub request {
    my ($method, $path, $user) = @_;

    return "$method /api/v1/$path HTTP/1.1\r\nHost: localhost\r\n"
           . 'Cookie: sessionid=' . token($user) . "\r\n"
           . "Content-Length: 0\r\n\r\n";
}


sub upgrade {
    my ($user) = @_;

    return "GET /events HTTP/1.1\r\nHost: localhost\r\n"
           . "Connection: Upgrade\r\nUpgrade: websocket\r\n"
           . "Sec-WebSocket-Version: 13\r\n"
           . "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           . 'Cookie: sessionid=' . token($user) . "\r\n\r\n";
}


1;
