#
# Copyright (C) ngx_chat contributors
#

package Bench::Instructions;

# Counts the instructions of a worker under callgrind.

use strict;
use warnings;

use Bench::Process;
use Bench::Site;
use Exporter qw(import);
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(callgrind);


sub callgrind {
    my ($request, $n) = @_;

    my $conf = configuration('usual', 0);
    $conf =~ s/^worker_processes .*$/worker_processes 1;/m;
    $conf =~ s{\bnginx-usual\.}{nginx-callgrind.}g;
    my $port = free_port();
    $conf =~ s/listen .*;/listen 127.0.0.1:$port;/;
    write_file("$dir/callgrind.conf",
               "master_process off;\ndaemon off;\n$conf");

    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>', "$dir/callgrind.log";
        open STDERR, '>&', \*STDOUT;
        exec 'valgrind', '--tool=callgrind',
             "--callgrind-out-file=$dir/callgrind.out", 'nginx', '-p',
             "$dir/", '-c', "$dir/callgrind.conf";
        die "valgrind: $!\n";
    }

    $pid{$pid} = 1;

    my $s;
    my $until = time + 60;
    until ($s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")) {
        die "nginx does not start under valgrind\n" if time > $until;
        sleep 0.2;
    }

    my ($method, $path, $token, $body) = @$request;
    $body //= '';
    my $text = "$method $path HTTP/1.1\r\nHost: localhost\r\n"
               . "Cookie: sessionid=$token\r\n"
               . ($body ? "Content-Type: application/json\r\nContent-Length: "
                          . length($body) . "\r\n" : '')
               . "\r\n$body";

    # the first request adds the message to the zone
    for (1 .. $n) {
        print $s $text;
        my $answer = read_answer($s);
        die "$path: $answer\n" if $answer !~ m{^HTTP/1.1 20[01] };
    }

    kill TERM => $pid;
    ended($pid);

    open my $f, '<', "$dir/callgrind.out" or die "callgrind.out: $!\n";
    while (my $line = <$f>) {
        return $1 if $line =~ /^(?:summary|totals): (\d+)/;
    }

    die "no total in callgrind.out\n";
}


sub read_answer {
    my $s = shift;
    my $text = '';

    until ($text =~ /\r\n\r\n/) {
        sysread $s, $text, 65536, length $text or return 'closed';
    }

    my ($length) = $text =~ /^Content-Length: (\d+)/mi;

    my $head = index($text, "\r\n\r\n") + 4;
    while (length($text) < $head + ($length // 0)) {
        sysread $s, $text, 65536, length $text or return 'closed';
    }

    return $text;
}


1;
