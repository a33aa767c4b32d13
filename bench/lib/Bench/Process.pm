#
# Copyright (C) ngx_chat contributors
#

package Bench::Process;

# Processes and files of the benchmarks.

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(strftime);

our @EXPORT = qw($dir $json $top %pid decode ended free_port output progress
                 read_file spawn write_file);

our $dir = $ENV{CHAT_RUN};
our $top = $ENV{TOP};
our $json = JSON::PP->new->canonical;
our %pid;               # running processes


sub progress { print STDERR strftime('%H:%M:%S', localtime), " @_...\n" }


sub decode { return $json->decode(shift) }


sub output {
    my ($pid, $out) = spawn(@_);
    local $/;
    my $text = <$out> // '';
    my $status = ended($pid);
    die "$_[0]: status $status: $text\n" if $status;
    return $text;
}


# ended PID: waits for the process and forgets its id, which may be reused

sub ended {
    my $pid = shift;
    waitpid $pid, 0;
    delete $pid{$pid};
    return $?;
}


# spawn COMMAND: returns the id and the standard output

sub spawn {
    my $pid = open my $out, '-|', @_;
    die "$_[0]: $!\n" if !$pid;
    $pid{$pid} = 1;
    return ($pid, $out);
}


sub read_file {
    my $file = shift;
    open my $f, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$f>;
}


sub write_file {
    my ($file, @text) = @_;
    open my $f, '>', $file or die "$file: $!\n";
    print $f @text;
    close $f or die "$file: $!\n";
}


# free_port: below the kernel's range for outgoing connections

sub free_port {
    for (1 .. 100) {
        my $port = 10000 + int rand 20000;
        return $port if IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port",
                                              Listen => 1, ReuseAddr => 1);
    }
    die "no unused port\n";
}


1;
