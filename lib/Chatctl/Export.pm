#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Export;

# Prints the data of a user as JSON.

use strict;
use warnings;

use Chatctl::Database qw(number rows statements);
use Chatctl::Names qw(require_user);
use Chatctl::Output qw(fail);

# The members of a row: text, a number (+), a boolean (?), or text (-) or a number
# (=) or JSON (~) that is omitted when empty.

my %fields = (
    account       => [qw(+user_id username ?is_admin ?is_active created_at
                         -last_seen_at -display_name -avatar_url)],
    sessions      => [qw(created_at expires_at -last_seen_at -address -agent)],
    conversations => [qw(user +message_count +last_message_id +unread +read_id
                         +peer_read_id)],
    blocks        => [qw(username since)],
    messages      => [qw(+id user recipient timestamp -client_id body
                         =reply_to -edited_at ~files)],
    files         => [qw(file name type +size created_at =message_id)],
);
my @order = qw(account sessions conversations blocks messages files end);

my %plain = (n => "\n", t => "\t", 0 => "\0");

my (@sections, $section, %count, @expected);


# export_user NAME: the rows come from one snapshot and are printed one by
# one, since there may be many.  The last row has the numbers of the others,
# counted by other queries; the JSON is completed only if they match.

sub export_user {
    my ($name) = @_;

    my $id = require_user($name);

    @sections = @order;
    begin_section();

    my $complete = rows(\&print_row, statements('export'), id => number($id));

    fail('the export is incomplete') if !$complete || !@expected;

    for my $name (@order[0 .. 5]) {
        my ($found, $expected) = ($count{$name} // 0, shift @expected);

        fail("the export is incomplete: $found of $expected rows of \"$name\"")
            if $found != $expected;
    }

    put("\n}\n");
    close STDOUT or fail("standard output: $!");
}


# print_row ROW: the client escapes tabs, line ends and backslashes

sub print_row {
    my ($row) = @_;

    chomp $row;

    my ($name, @values) = map { s{\\(.)}{$plain{$1} // $1}ger }
                              split /\t/, $row, -1;

    while ($section ne $name) {
        put($count{$section} ? "\n]" : ']') if $section ne 'account';
        begin_section();
    }

    if ($name eq 'end') {
        @expected = @values;
        return;
    }

    my @names = @{ $fields{$name} };

    fail('unexpected response of the database') if @values != @names;

    my @members;

    for my $field (@names) {
        my ($type, $key) = $field =~ /^(\W?)(.*)/;
        my $value = shift @values;

        push @members, "\"$key\":" . json($type, $value)
            if $type !~ /[-=~]/ || length $value;
    }

    put($count{$name}++ ? ',' : '', $name eq 'account' ? '' : "\n",
        '{', join(',', @members), '}');
}


sub begin_section {
    $section = shift @sections // fail('unexpected response of the database');

    put($section eq 'account' ? "{\n\"account\":"
        : $section eq 'end' ? '' : ",\n\"$section\":[");
}


# json TYPE, BYTES: UTF-8 is not escaped

sub json {
    my ($type, $text) = @_;

    return $text if $type =~ /[+=~]/;
    return $text ? 'true' : 'false' if $type eq '?';

    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/([\0-\x1f])/sprintf '\\u%04x', ord $1/ge;

    return "\"$text\"";
}


sub put {
    print @_ or fail("standard output: $!");
}


1;
