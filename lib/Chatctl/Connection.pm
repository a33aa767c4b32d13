#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Connection;

# Reads the connection options from an option file of the MySQL client.  No
# other option of the file changes the behaviour of the client.

use strict;
use warnings;

my %groups = map { $_ => 1 }
    qw(client client-server client-mariadb mysql mariadb-client);
my @names = qw(
    host port socket protocol bind-address dns-srv-name connect-timeout
    user password password1 password2 password3 database
    connect-expired-password compress compression-algorithms
    zstd-compression-level ssl ssl-ca ssl-capath ssl-cert ssl-cipher
    ssl-crl ssl-crlpath ssl-fips-mode ssl-fp ssl-fplist ssl-key
    ssl-mode ssl-session-data ssl-session-data-continue-on-failed-reuse
    ssl-verify-server-cert tls-ciphersuites tls-fp tls-fplist
    tls-sni-servername tls-version secure-auth default-auth plugin-dir
    enable-cleartext-plugin get-server-public-key
    server-public-key-path oci-config-file
    authentication-oci-client-config-profile
    plugin-authentication-kerberos-client-mode
    plugin-authentication-webauthn-device
    plugin-authentication-webauthn-client-preserve-privacy
);
my %known = map { $_ => 1 } @names;

my ($options, $database);


# read_file PATH: returns the options as text of an option file, and the name of
# the database as an SQL identifier, if the file sets one.  Dies on errors.

sub read_file {
    my ($path) = @_;

    ($options, $database) = ('', undef);
    include($path, 0);

    return ($options, $database);
}


sub include {
    my ($path, $depth) = @_;

    die "$path: too many nested includes\n" if $depth > 10;

    open my $file, '<', $path or die "$path: $!\n";

    # the client itself prints a warning and ignores such a file
    die "$path is writable by all users; run \"chmod 600\"\n"
        if -f $file && (stat _)[2] & 2;

    my $text = do { local $/; readline $file };
    die "$path: $!\n" if !defined $text && $!;
    $text //= '';

    die "$path is not UTF-8 text\n" if $text =~ /\A(?:\xff\xfe|\xfe\xff)|\0/;

    $text =~ s/\A\xef\xbb\xbf//;

    my $group = '';

    for my $line (split /\r\n?|\n/, $text) {
        $line =~ s/^\s+|\s+$//g;

        if ($line =~ /^(?:[#;]|$)/) {
            next;

        } elsif ($line =~ /^!include\s+(.*)/) {
            include($1, $depth + 1);

        } elsif ($line =~ /^!includedir\s+(.*)/) {
            my $dir = $1;

            opendir my $in, $dir or die "$dir: $!\n";
            include("$dir/$_", $depth + 1)
                for sort grep { /\.cnf\z/ } readdir $in;

        } elsif ($line =~ /^\[\s*(.*?)\s*\]/) {
            $group = $1;

        } elsif ($groups{$group}) {
            option($group, $line);
        }
    }
}


# option GROUP, LINE: keeps a connection option.  Its name may be abbreviated.
# The client interprets quotes and escapes in the value.

sub option {
    my ($group, $line) = @_;

    my ($name, $value) = split /\s*=/, $line, 2;

    $name =~ tr/_/-/;
    $name =~ s/^((?:loose-)?(?:skip-|disable-|enable-)?)//;
    my $prefix = $1;

    # "enable-" may be a part of the name
    if ($prefix =~ s/enable-\z// && $known{"enable-$name"}) {
        $name = "enable-$name";
    }

    if (!$known{$name}) {
        my @full = grep { index($_, $name) == 0 && !/\d\z/ } @names;

        return if @full != 1;

        $name = $full[0];
    }

    $options .= "[$group]\n$prefix$name"
                . (defined $value ? "=$value" : '') . "\n";

    $database = identifier($value) if $name eq 'database' && defined $value;
}


# identifier VALUE: the value as the client reads it, as an SQL identifier

sub identifier {
    my ($text) = @_;
    my %plain = (b => "\b", n => "\n", r => "\r", s => ' ', t => "\t");

    $text =~ s/^\s+//;
    $text =~ s/^((?:[^#"'\\]|\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*)\#.*/$1/s;
    $text =~ s/\s+\z//;
    $text =~ s/^(["'])(.*)\1\z/$2/s;
    $text =~ s/\\([bnrst"'\\])/$plain{$1} \/\/ $1/ge;
    $text =~ s/`/``/g;

    return "`$text`";
}


1;
