#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Sync;

# Copies the members of a site, one per line of standard input.

use strict;
use warnings;

use Chatctl::Database qw(number sql statements text);
use Chatctl::NameRule;
use Chatctl::Output qw(fail note say_done wrong_usage);
use JSON::PP ();

# rows of a statement, and problems that are shown
my ($BATCH, $SHOWN) = (1000, 20);

my $decoder = JSON::PP->new->utf8;

# characters that a display name cannot contain, as in ngx_chat_display.c
my $invalid = qr/[\x{0}-\x{1f}\x{7f}-\x{9f}\x{61c}\x{200e}\x{200f}
                  \x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}]/xx;


# sync [--disable-missing]

sub sync {
    my (@arguments) = @_;

    my $missing = @arguments && shift @arguments;

    wrong_usage('"user sync" accepts only --disable-missing')
        if $missing && $missing ne '--disable-missing';

    my (%seen, @rows, @problems);
    my $statements = statements('sync-begin');
    my $count = 0;
    my $json;

    while (my $line = readline STDIN) {
        $line =~ s/\r?\n\z//;
        $line =~ s/\A\xef\xbb\xbf// if $. == 1;
        next if $line !~ /\S/;

        $json //= $line =~ /\A\s*\{/ ? 1 : 0;

        my ($row, $key) = eval { row($json ? object($line) : columns($line)) };

        $@ = "the name occurs twice\n" if $row && $seen{$key}++;

        if ($@) {
            push @problems, "line $.: $@";
            next;
        }

        push @rows, $row;
        $count++;

        $statements .= insert(splice @rows) if @rows == $BATCH;
    }

    fail("standard input: $!") if $!{EIO};

    # an empty file would disable all
    if ($count == 0 || ($missing && @problems)) {
        show(@problems);
        fail('standard input contains no valid member') if $count == 0;
        fail('nothing was changed, because lines are invalid');
    }

    $statements .= insert(@rows) . statements('sync-end') . statements('words')
                   . "COMMIT;\nSELECT \@added, \@changed, \@enabled, \@disabled;";

    my $result = sql($statements, missing => number($missing ? 1 : 0));

    $result =~ /\A(\d+)\t(\d+)\t(\d+)\t(\d+)\n\z/
        or fail('the database did not return the numbers of changes');

    say_done("Read $count members: added $1, changed $2, enabled $3, disabled"
             . " $4.");

    show(@problems);
    fail('invalid lines were ignored') if @problems;
}


# show PROBLEMS: prints the first ones

sub show {
    my (@problems) = @_;

    chomp @problems;
    note($_) for splice @problems, 0, $SHOWN;
    note('and ' . @problems . ' more') if @problems;
}


# object LINE: returns name, display name, avatar and state; undef: not given

sub object {
    my ($line) = @_;

    my $object = eval { $decoder->decode($line) };

    die "it is not a JSON object\n" if ref $object ne 'HASH';

    my @fields = map { $object->{$_} } qw(name display_name avatar_url active);

    die "it has no name\n" if !defined $fields[0];
    die "a member is not a text\n"
        if grep { ref $_ && !JSON::PP::is_bool($_) } @fields;

    # null removes a value
    $fields[1] //= '' if exists $object->{display_name};
    $fields[2] //= '' if exists $object->{avatar_url};
    $fields[3] = $fields[3] ? 1 : 0 if defined $fields[3];

    return @fields;
}


# columns LINE: the same for values with tabs between them

sub columns {
    my ($line) = @_;

    utf8::decode($line) or die "it is not in UTF-8\n";

    my @fields = split /\t/, $line, -1;

    die "it has more than four columns\n" if @fields > 4;

    if (defined $fields[3]) {
        die "the fourth column is not 0 or 1\n" if $fields[3] !~ /\A[01]\z/;
    }

    return @fields[0 .. 3];
}


# row NAME, DISPLAY NAME, AVATAR, STATE: returns the values of an INSERT, and the
# key of the name; dies if one is invalid

sub row {
    my ($name, $display, $avatar, $active) = @_;

    $name = Chatctl::NameRule::nfc($name);

    my $fault = Chatctl::NameRule::fault($name);

    die "the name is not valid: $fault\n" if defined $fault;

    my ($has_display, $has_avatar) = (defined $display, defined $avatar);

    if ($has_display) {
        $display = Chatctl::NameRule::nfc($display);
        $display =~ s/\A\s+|\s+\z//g;
        $display = substr $display, 0, 100;
        $display =~ s/\s+\z//;

        die "the display name has invalid characters\n"
            if $display =~ $invalid;
    }

    die "the avatar is neither a path nor an address\n"
        if $has_avatar && length $avatar
           && (length $avatar > 255
               || $avatar !~ m{\A(?:/|https?://)[!#-&(-;=?-\[\]-~]*\z}i);

    my @values = (
        text(Chatctl::NameRule::encode($name)),
        $has_display && length $display
            ? text(Chatctl::NameRule::encode($display)) : 'NULL',
        $has_avatar && length $avatar ? text($avatar) : 'NULL',
        number($active // 1), $has_display ? 1 : 0, $has_avatar ? 1 : 0,
        defined $active ? 1 : 0,
    );

    return ('(' . join(', ', @values) . ')', lc $name);
}


sub insert {
    my (@rows) = @_;

    return '' if !@rows;

    return 'REPLACE INTO chat_sync (username, display_name, avatar_url,'
           . " is_active, has_name, has_avatar, has_active) VALUES\n"
           . join(",\n", @rows) . ";\n";
}


1;
