#
# Copyright (C) ngx_chat contributors
#

package Chatctl::NameRule;

# The rule for names of new users.  ngx_chat_unicode.c and the CHECK of
# sql/schema.sql contain the same ranges; t/names_rule.t compares the three.
# Names are characters in this file and bytes in all others.

use strict;
use warnings;
no warnings qw(nonchar);

use Chatctl::Output qw(fail);
use Unicode::Normalize ();

my $unseen = qr/[
    \x{0}-\x{2A}\x{2C}\x{2F}\x{3A}-\x{3F}\x{5B}-\x{5E}\x{60}\x{7B}-\x{A0}
    \x{AD}\x{34F}\x{600}-\x{605}\x{61C}\x{6DD}\x{70F}\x{890}-\x{891}
    \x{8E2}\x{115F}-\x{1160}\x{1680}\x{17B4}-\x{17B5}\x{180B}-\x{180F}
    \x{2000}-\x{200F}\x{2028}-\x{202F}\x{205F}-\x{206F}\x{2800}\x{3000}
    \x{3164}\x{E000}-\x{F8FF}\x{FDD0}-\x{FDEF}\x{FE00}-\x{FE0F}\x{FEFF}
    \x{FFA0}\x{FFF0}-\x{FFFC}\x{FFFE}-\x{FFFF}\x{110BD}\x{110CD}
    \x{13430}-\x{1343F}\x{16FE4}\x{1BCA0}-\x{1BCA3}\x{1D159}
    \x{1D173}-\x{1D17A}\x{1FFFE}-\x{1FFFF}\x{2FFFE}-\x{2FFFF}
    \x{3FFFE}-\x{3FFFF}\x{4FFFE}-\x{4FFFF}\x{5FFFE}-\x{5FFFF}
    \x{6FFFE}-\x{6FFFF}\x{7FFFE}-\x{7FFFF}\x{8FFFE}-\x{8FFFF}
    \x{9FFFE}-\x{9FFFF}\x{AFFFE}-\x{AFFFF}\x{BFFFE}-\x{BFFFF}
    \x{CFFFE}-\x{CFFFF}\x{DFFFE}-\x{E0FFF}\x{EFFFE}-\x{10FFFF}
]/xx;

my $mark = qr/[
    \x{300}-\x{36F}\x{483}-\x{489}\x{1AB0}-\x{1AFF}\x{1DC0}-\x{1DFF}
    \x{20D0}-\x{20FF}\x{302A}-\x{302F}\x{3099}-\x{309A}\x{FE20}-\x{FE2F}
]/xx;


sub nfc {
    return Unicode::Normalize::NFC($_[0]);
}


# fault NAME: the reason why a new user cannot have this name, or undef

sub fault {
    my ($name) = @_;

    return 'it is empty' if $name eq '';
    return 'it is a path component' if $name =~ /\A\.\.?\z/;
    return sprintf 'U+%04X is not a letter, a digit or one of _.@+-', ord $1
        if $name =~ /($unseen)/;
    return sprintf 'U+%04X cannot be the first character', ord $name
        if $name =~ /\A$mark/;
    return 'it has more than 150 characters' if length $name > 150;

    return undef;
}


# decode BYTES: returns characters; fails if the bytes are not UTF-8

sub decode {
    my ($bytes) = @_;

    utf8::decode($bytes)
        or fail("\"$bytes\" is not a valid name: it is not in UTF-8");

    return $bytes;
}


sub encode {
    my ($name) = @_;

    utf8::encode($name);

    return $name;
}


# show NAME: returns the name as bytes, in quotes, with invisible characters as
# code points

sub show {
    my ($name) = @_;

    $name =~ s/($unseen)/ord $1 >= 0x20 && ord $1 < 0x7f
                         ? $1 : sprintf "\\x{%x}", ord $1/ge;
    $name =~ s/\A($mark)/sprintf "\\x{%x}", ord $1/e;

    return '"' . encode($name) . '"';
}


# new_name BYTES: returns the name as it is stored; fails if it breaks the rule

sub new_name {
    my ($bytes) = @_;

    my $name = nfc(decode($bytes));
    my $fault = fault($name);

    fail(show($name), "is not a valid name: $fault") if defined $fault;

    return encode($name);
}


# forms BYTES: returns the name, its NFC and its NFD, which matches the row of a
# decomposed name

sub forms {
    my ($bytes) = @_;

    my $name = decode($bytes);

    return map { encode($_) } $name, nfc($name), Unicode::Normalize::NFD($name);
}


1;
