#
# Copyright (C) ngx_chat contributors
#

package Chat::Data;

# Runs chatctl on the tables of a test, and checks them.

use strict;
use warnings;

use Chat;
use Exporter qw(import);
use File::Temp qw(tempdir);
use Test::More ();

our @EXPORT = qw(chatctl aged sound $chatctl $dir $Code $Errors);

our $dir = tempdir(CLEANUP => 1);
our $chatctl = "$ENV{PWD}/chatctl --config $ENV{CHAT_TEST_CNF}";

# exit status and error output of the last command
our ($Code, $Errors);


# chatctl ARGUMENTS: returns its output as bytes; sets $Code and $Errors

sub chatctl {
    my ($arguments) = @_;

    my $output = `$chatctl $arguments 2>$dir/errors </dev/null`;

    $Code = $? >> 8;
    $Errors = Chat::read_file("$dir/errors");

    return $output;
}


# aged FROM => TO, DAYS, [BODY]: adds an old message

sub aged {
    my ($from, $to, $days, $body) = @_;

    my $id = message($from => $to, $body // "$days days");

    sql('UPDATE chat_message
         SET created_at = UTC_TIMESTAMP(6) - INTERVAL ? DAY WHERE id = ?',
        $days, $id);

    return $id;
}


# sound: the tables match each other, including unread counts, except those of
# erased users

sub sound {
    my $report = chatctl('db check');

    Test::More::unlike($report, qr/^BAD/m, 'db check reports no problem');
    Test::More::is($Code, 0, 'exit status of db check');

    my $unread = 'SELECT COUNT(*) FROM chat_conversation AS c
                  JOIN chat_user AS u ON u.id = c.%s_id AND u.is_active
                  WHERE %s_unread <> (SELECT COUNT(*) FROM chat_message AS m
                        WHERE m.lo_id = c.lo_id AND m.hi_id = c.hi_id
                          AND m.kind = 0
                          AND c.lo_id <> c.hi_id AND m.recipient_id = c.%s_id
                          AND m.id > c.%s_read_id)';

    Test::More::is(scalar sql($unread =~ s/%s/lo/gr), 0, 'unread counts, lower id');
    Test::More::is(scalar sql($unread =~ s/%s/hi/gr), 0, 'unread counts, higher id');
}


1;
