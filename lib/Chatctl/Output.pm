#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Output;

# Messages of chatctl.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(fail note say_done wrong_usage
                    interruptible check_interrupt);

my ($interrupted, $interrupt_message);


# fail MESSAGE: prints an error and exits with status 1

sub fail {
    my (@message) = @_;

    check_interrupt();
    note("chatctl: @message");
    exit 1;
}


sub wrong_usage {
    my ($message) = @_;

    note("chatctl: $message; see \"chatctl help\"");
    exit 2;
}


# note TEXT: prints a line on standard error

sub note {
    my ($text) = @_;

    print STDERR "$text\n";
}


# say_done TEXT: prints a result on standard output

sub say_done {
    my ($text) = @_;

    local $| = 1;

    print "$text\n" or fail('the command succeeded, but standard output cannot'
                            . " be written: $text");
}


# interruptible MESSAGE: from now on a signal ends chatctl in the next call of
# check_interrupt() or fail(), with this message; MESSAGE is a function

sub interruptible {
    ($interrupt_message) = @_;

    for my $signal (qw(HUP INT TERM)) {
        next if ($SIG{$signal} // '') eq 'IGNORE';
        $SIG{$signal} = sub { $interrupted = 1 };
    }
}


sub check_interrupt {
    return if !$interrupted;

    note('Interrupted: ' . $interrupt_message->()
         . '; run the command again to continue.');
    exit 1;
}


1;
