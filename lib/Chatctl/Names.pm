#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Names;

# Names of users in the database: lookup, and names that break the rule for new
# ones.  TABLE is chat_user or auth_user of a Django app.

use strict;
use warnings;

use Chatctl::Database qw(number rows sql statements text);
use Chatctl::NameRule;
use Chatctl::Output qw(fail);
use Exporter qw(import);

our @EXPORT_OK = qw(check_unused find_user name_faults normal_names require_user
                    same_names unusual_names);


# find_user NAME: returns the id or an empty string.  As at login, case and
# Unicode form do not matter, but a row with exactly this name comes first.

sub find_user {
    my ($name) = @_;

    my ($exact, $nfc, $nfd) = Chatctl::NameRule::forms($name);
    my $id = sql(statements('find-user'), name => text($exact),
                 nfc => text($nfc), nfd => text($nfd));

    chomp $id;

    return $id;
}


sub require_user {
    my ($name) = @_;

    my $id = find_user($name);

    fail("no user has the name \"$name\"") if $id eq '';

    return $id;
}


# check_unused NAME, [ID]: fails if a user other than ID has the name in any
# form

sub check_unused {
    my ($name, $id) = @_;

    $id //= '';
    my $other = find_user($name);

    if ($other eq '' || $other eq $id) {
        my @rows = unusual_names('chat_user');

        $other = sql(normal_names(@rows) . statements('find-normal-name'),
                     name => text($name), id => number($id || 0));
        chomp $other;
    }

    fail("user $other already has the name \"$name\"")
        if $other ne '' && $other ne $id;
}


# unusual_names TABLE: returns [ID, NAME] of the names that may break the rule

sub unusual_names {
    my ($table) = @_;

    my @rows;
    my $add = sub {
        my ($row) = @_;

        $row =~ /\A(\d+)\t([0-9A-F]*)\n?\z/
            or fail("unexpected response of the database: \"$row\"");

        push @rows, [$1, Chatctl::NameRule::decode(pack 'H*', $2)];
    };

    rows($add, in_table('unusual-names', $table))
        or fail('cannot read the names');

    return @rows;
}


# name_faults ROWS: returns a line for each name that breaks the rule

sub name_faults {
    my (@rows) = @_;

    my @faults;

    for my $row (@rows) {
        my ($id, $name) = @$row;
        my $normal = Chatctl::NameRule::nfc($name);
        my $fault = Chatctl::NameRule::fault($normal);

        $fault //= 'it is not in NFC' if $normal ne $name;

        push @faults, "user $id, " . Chatctl::NameRule::show($name) . ": $fault"
            if defined $fault;
    }

    return @faults;
}


# normal_names ROWS: returns statements that create the temporary table
# chat_normal with the NFC of the names that break the rule, and the name to
# store: the NFC if it is valid, or else the name itself

sub normal_names {
    my (@rows) = @_;

    my $statements = statements('normal-names');

    for my $row (@rows) {
        my ($id, $name) = @$row;
        my $normal = Chatctl::NameRule::nfc($name);
        my $unchecked = defined Chatctl::NameRule::fault($normal) ? 1 : 0;

        next if $normal eq $name && !$unchecked;

        $statements .= 'INSERT INTO chat_normal VALUES (' . join(', ', $id,
            map({ text(Chatctl::NameRule::encode($_)) }
                $normal, $unchecked ? $name : $normal),
            $unchecked) . ");\n";
    }

    return $statements;
}


# same_names TABLE, ROWS: returns a line for each group of names that differ
# only in case and Unicode form

sub same_names {
    my ($table, @rows) = @_;

    return split /\n/, sql(normal_names(@rows)
                           . in_table('same-names', $table));
}


sub in_table {
    my ($name, $table) = @_;

    return statements($name) =~ s/ chat_user / $table /gr;
}


1;
