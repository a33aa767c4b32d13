#
# Copyright (C) ngx_chat contributors
#

package Chatctl::User;

# Accounts of users.

use strict;
use warnings;

use Chatctl::Database qw(is_stored number rows sql statements text);
use Chatctl::NameRule;
use Chatctl::Names qw(check_unused require_user);
use Chatctl::Output qw(fail say_done wrong_usage);
use Chatctl::Password;
use Exporter qw(import);

our @EXPORT_OK = qw(end_user);


sub add {
    my (@arguments) = @_;

    my $no_password = $arguments[0] eq '--no-password' && shift @arguments;
    my $name = Chatctl::NameRule::new_name($arguments[0]);

    check_unused($name);

    my $hash = $no_password ? '!' : Chatctl::Password::read_hash();
    my %values = (name => text($name), hash => text($hash));

    sql('INSERT INTO chat_user (username, password) VALUES (@name, @hash)',
        %values);
    is_stored('username = @name AND password = @hash AND is_active',
              "\"$name\"", %values);
    say_done("Added $name.");
}


# rename_user NAME, NEW or --id, ID, NEW, for a name that cannot be typed

sub rename_user {
    my (@arguments) = @_;

    my $id;

    if ($arguments[0] eq '--id') {
        shift @arguments;
        wrong_usage('--id requires the id of a user')
            if $arguments[0] !~ /\A[0-9]+\z/;

        $id = sql('SELECT id FROM chat_user WHERE id = @id',
                  id => number($arguments[0]));
        chomp $id;
        fail("no user has the id $arguments[0]") if $id eq '';

    } else {
        $id = require_user($arguments[0]);
    }

    my $name = Chatctl::NameRule::new_name($arguments[1]);

    check_unused($name, $id);
    change_user($id, 'username = @name, name_unchecked = FALSE',
                name => text($name));
    is_stored('id = @id AND username = @name', "\"$name\"",
              id => number($id), name => text($name));
    say_done("Renamed user $id to $name.");
}


# passwd NAME: sessions that the old password started end

sub passwd {
    my ($name) = @_;

    my $id = require_user($name);
    my $hash = Chatctl::Password::read_hash();

    my $ended = end_user($id, 'password = @hash', hash => text($hash));
    is_stored('id = @id AND password = @hash', 'the new password',
              id => number($id), hash => text($hash));
    say_done("Changed the password of $name. Sessions ended: $ended.");
}


sub disable {
    my ($name) = @_;

    my $id = require_user($name);
    my $ended = end_user($id, 'is_active = FALSE');

    is_stored('id = @id AND NOT is_active', 'the state', id => number($id));
    say_done("Disabled $name. Sessions ended: $ended.");
}


sub enable {
    my ($name) = @_;

    my $id = require_user($name);
    my $changed = change_user($id, 'is_active = TRUE');

    is_stored('id = @id AND is_active', 'the state', id => number($id));
    say_done($changed ? "Enabled $name." : "$name is already enabled.");
}


sub admin {
    my ($name, $state) = @_;

    my $id = require_user($name);

    if (!defined $state) {
        my $changed = change_user($id, 'is_admin = TRUE');

        is_stored('id = @id AND is_admin', 'the role', id => number($id));
        say_done($changed ? "$name is now an administrator."
                          : "$name is already an administrator.");

    } elsif ($state eq 'off') {
        my $changed = change_user($id, 'is_admin = FALSE');

        is_stored('id = @id AND NOT is_admin', 'the role', id => number($id));
        say_done($changed ? "$name is no longer an administrator."
                          : "$name is not an administrator.");

    } else {
        wrong_usage('"user admin NAME" accepts only "off"');
    }
}


sub logout {
    my ($name) = @_;

    my $ended = end_user(require_user($name), 'session_floor = session_floor');

    say_done("Sessions of $name ended: $ended.");
}


# show NAME: prints a line for each column, and the number of valid sessions

sub show {
    my ($name) = @_;

    my $account = sql(statements('show-user'), id => number(require_user($name)));

    # the client escapes line ends and backslashes
    $account =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ge;

    print $account or fail("standard output: $!");
    close STDOUT or fail("standard output: $!");
}


# list: prints a table with tabs.  The last row of the response is the number of
# the others.

sub list {
    my ($rows, $count) = (0, -1);

    print "NAME\tROLE\tSTATE\tCREATED\tLAST SEEN\n"
        or fail("standard output: $!");

    my $complete = rows(sub {
        my ($row) = @_;

        if ($row =~ /\t/) {
            print $row or fail("standard output: $!");
            $rows++;

        } else {
            $count = $row + 0;
        }
    }, statements('list-users'));

    close STDOUT or fail("standard output: $!");
    fail("the list is incomplete: $rows of $count users")
        if !$complete || $rows != $count;
}


# audit: prints a table with tabs

sub audit {
    print "TIME\tACTOR\tACTION\tTARGET\tDETAIL\tADDRESS\n"
        or fail("standard output: $!");

    rows(sub { print @_ or fail("standard output: $!") },
         statements('list-audit'))
        or fail('the list is incomplete');

    close STDOUT or fail("standard output: $!");
}


# --- changes ----------------------------------------------------------------

# change_user ID, ASSIGNMENTS, VALUES: returns the number of changed rows

sub change_user {
    my ($id, $assignments, %values) = @_;

    my $changed = sql("UPDATE chat_user SET $assignments WHERE id = \@id;
                       SELECT ROW_COUNT();", %values, id => number($id));

    $changed =~ /\A([01])\n\z/
        or fail('the database did not return the number of changed rows');

    return $1;
}


# end_user ID, ASSIGNMENTS, VALUES: the same, and ends all sessions of the
# user. Returns the number of the deleted sessions.  The first UPDATE locks
# the row, so no session starts before the second one.

sub end_user {
    my ($id, $assignments, %values) = @_;

    my $found = sql("START TRANSACTION;
                     UPDATE chat_user SET $assignments WHERE id = \@id;\n"
                    . statements('end-sessions'), %values, id => number($id));

    fail("user $id does not exist any more") if $found ne "1\n";

    # this may take a while, and no request waits for it
    my $ended = sql(statements('delete-sessions'), id => number($id));

    $ended =~ /\A(\d+)\n\z/
        or fail('the database did not return the number of deleted sessions');

    return $1;
}


1;
