#
# Copyright (C) ngx_chat contributors
#

package Chat::Chaos;

# Processes that work until the test ends them, and then return a result.
#
#   $senders = start('senders', SEED, sub { my ($told) = @_; ...; return DATA })
#   $data = $senders->finish(SECONDS)
#
# "told" is a file handle that is readable when the process is to end; pause()
# waits for it.

use strict;
use warnings;

use IO::Select;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(time);

use Exporter qw(import);

our @EXPORT = qw(start pause note_fault faults chance between pick);

my $json = JSON::PP->new->canonical->utf8;

# file name of the log of faults, and its start time
our ($Log, $Begin);

# running processes, in the process that started them
my %running;

END {
    # the status of the test stays
    local $?;

    kill KILL => $_ for keys %running;
    waitpid $_, 0 for keys %running;
}


sub start {
    my ($name, $seed, $code) = @_;

    pipe my $told, my $tell or die "pipe: $!\n";
    pipe my $results, my $report or die "pipe: $!\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        %running = ();
        close $results;
        srand $seed;

        my $ok = eval {
            my $text = $json->encode($code->($told));
            print $report $text;
            close $report;
        };

        print STDERR "$name: $@" unless $ok;

        # without the END blocks of the parent
        POSIX::_exit($ok ? 0 : 1);
    }

    close $report;
    $running{$pid} = 1;

    return bless { name => $name, pid => $pid, tell => $tell,
                   results => $results }, __PACKAGE__;
}


# finish SECONDS: ends the process and returns its result

sub finish {
    my ($self, $seconds) = @_;

    # a byte instead of close(), since other processes have copies
    syswrite $self->{tell}, '.';

    my $end = time() + $seconds;
    my $select = IO::Select->new($self->{results});
    my $text = '';

    while ($select->can_read($end - time())) {
        sysread $self->{results}, $text, 65536, length $text or last;
    }

    my $data = eval { $json->decode($text) };

    kill KILL => $self->{pid} unless $data;
    waitpid $self->{pid}, 0;
    delete $running{ $self->{pid} };

    return $data // die "$self->{name} did not end as they should\n";
}


# pause TOLD, SECONDS: waits and returns whether the process is to end

sub pause {
    my ($told, $seconds) = @_;

    return scalar IO::Select->new($told)->can_read($seconds);
}


# --- chance ----------------------------------------------------------------

sub chance {
    my ($probability) = @_;

    return rand() < $probability;
}


sub between {
    my ($from, $to) = @_;

    return $from + rand($to - $from);
}


sub pick {
    return $_[rand @_];
}


# --- faults ----------------------------------------------------------------

# note_fault KIND, TEXT: writes a line to the log, from any process

sub note_fault {
    my ($kind, $text) = @_;

    open my $log, '>>', $Log or die "$Log: $!\n";
    syswrite $log, sprintf "%8.3f %-8s %s\n", time() - $Begin, $kind, $text;
}


# faults: returns those in the log, each with "time", "kind" and "text"

sub faults {
    open my $log, '<', $Log or return;

    return map { /^ *(\S+) (\S+) +(.*)/
                 ? { time => $1 + $Begin, kind => $2, text => $3 } : () }
               readline $log;
}


1;
