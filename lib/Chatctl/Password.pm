#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Password;

# Reads and hashes passwords.

use strict;
use warnings;

use Chatctl::Output qw(fail note);
use POSIX ();
use Unicode::Normalize qw(NFC);

my $MAX_BYTES = 511;

my $terminal = POSIX::Termios->new;
my $modes;      # local modes to restore


# read_hash: reads a password and returns its hash

sub read_hash {
    my $password = -t STDIN ? from_terminal() : read_line();

    # the login form keeps spaces, too
    note('chatctl: note: the password ends with a space or a tab')
        if !-t STDIN && $password =~ /[ \t]\z/;

    fail('the password is empty') if $password eq '';

    return hash($password);
}


# from_terminal: asks twice, without echo

sub from_terminal {
    $terminal->getattr(0);
    $modes = $terminal->getlflag;
    $terminal->setlflag($modes & ~POSIX::ECHO);

    local @SIG{qw(HUP INT TERM)} = (sub { exit 1 }) x 3;

    $terminal->setattr(0, POSIX::TCSANOW);

    my @passwords;

    for my $prompt ('Password: ', 'Password again: ') {
        print STDERR $prompt;
        push @passwords, read_line();
        print STDERR "\n";
    }

    restore_terminal();
    fail('the passwords differ') if $passwords[0] ne $passwords[1];

    return $passwords[0];
}


sub restore_terminal {
    return if !defined $modes;

    $terminal->setlflag($modes);
    $terminal->setattr(0, POSIX::TCSANOW);
    $modes = undef;
}


END { restore_terminal() }


# read_line: returns the first line of standard input without its line end.
# It leaves the following bytes to the next command.  It accepts the formats of
# text editors, and rejects passwords that cannot be typed.

sub read_line {
    my $line = '';

    for ( ;; ) {
        my $n = sysread STDIN, my $byte, 1;

        fail("cannot read standard input: $!") if !defined $n;
        last if $n == 0 || $byte eq "\n";

        $line .= $byte;
        fail("the password is longer than $MAX_BYTES bytes")
            if length $line > 2000;
    }

    fail('standard input is in UTF-16 or contains a null byte; use UTF-8')
        if $line =~ /\A(?:\xff\xfe|\xfe\xff)|\0/;

    $line =~ s/\A\xef\xbb\xbf//;
    $line =~ s/\r.*//s;

    my $text = $line;

    fail('the password is not in UTF-8') if !utf8::decode($text);
    fail('the password contains a control character')
        if $text =~ /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;

    return $line;
}


# hash PASSWORD: returns the yescrypt hash of its NFC, as the module does.  24
# characters of the alphabet are 18 bytes of salt.

sub hash {
    my ($password) = @_;

    utf8::decode($password);
    $password = NFC($password);
    utf8::encode($password);

    fail("the password is longer than $MAX_BYTES bytes")
        if length $password > $MAX_BYTES;

    open my $random, '<', '/dev/urandom' or fail("/dev/urandom: $!");
    (read($random, my $bytes, 24) // 0) == 24 or fail("/dev/urandom: $!");

    my @letters = ('.', '/', 0 .. 9, 'A' .. 'Z', 'a' .. 'z');
    my $salt = join '', map { $letters[$_ & 63] } unpack 'C*', $bytes;
    my $hash = crypt($password, "\$y\$j9T\$$salt");

    defined $hash && $hash =~ /^\$y\$j9T\$\Q$salt\E\$[.\/0-9A-Za-z]{43}$/
        or fail('crypt() of this system does not support yescrypt');

    return $hash;
}


1;
