#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Erase;

# Deletes a user.

use strict;
use warnings;

use Chatctl::Database qw(count is_stored number sql statements text);
use Chatctl::Names qw(find_user require_user);
use Chatctl::Output qw(check_interrupt fail interruptible note say_done
                       wrong_usage);
use Chatctl::Purge qw(delete_messages);
use Chatctl::User qw(end_user);


# erase NAME, OPTIONS: closes the account, waits until no worker accepts its
# sessions any more, deletes the messages in small steps and then the account.
# If messages from other users remain, they need the row of the account, which
# loses its name.

sub erase {
    my ($name, @arguments) = @_;

    my %option = options(@arguments);
    my $id = require_user($name);

    confirm($name, $id, %option);

    end_user($id, "is_active = FALSE, password = '!'");
    is_stored("id = \@id AND NOT is_active AND password = '!'",
              'the closed account', id => number($id));

    my ($deleted, $emptied) = (0, 0);

    interruptible(sub { "the account is closed, deleted $deleted messages" });

    note("Waiting $option{wait} s until the workers reject the sessions...");
    sleep $option{wait};

    for ( ;; ) {
        for my $choice ('choose-sent',
                        $option{received} ? 'choose-received' : ())
        {
            for ( ;; ) {
                check_interrupt();
                my @counts = delete_messages($choice, id => number($id));
                last if $counts[2] == 0;

                $deleted += $counts[0];
                $emptied += $counts[1];
            }
        }

        last if delete_account($id, $option{received});
    }

    verify($id);

    say_done("Erased $name: deleted $deleted messages and $emptied empty"
             . ' conversations.');

    my $kept = sql('SELECT username FROM chat_user WHERE id = @id',
                   id => number($id));
    chomp $kept;
    say_done("Messages that other users sent to $name remain, with the"
             . " recipient \"$kept\".") if $kept ne '';
}


sub options {
    my (@arguments) = @_;

    my %option = (wait => 15, received => 0, yes => 0);

    while (@arguments) {
        my $argument = shift @arguments;

        if ($argument =~ /\A--(received|yes)\z/) {
            $option{$1} = 1;

        } elsif ($argument eq '--wait') {
            $option{wait} = shift @arguments // '';
            wrong_usage('--wait requires a number of seconds')
                if $option{wait} !~ /\A[0-9]+\z/;

        } else {
            wrong_usage("\"erase\" has no option \"$argument\"");
        }
    }

    return %option;
}


sub confirm {
    my ($name, $id, %option) = @_;

    my $sent = count('chat_message WHERE sender_id = @id AND kind = 0',
                     id => number($id));
    my $received = count('chat_message
                          WHERE recipient_id = @id AND sender_id <> @id
                          AND kind = 0', id => number($id));

    return if $option{yes};

    fail('"erase" requires confirmation at a terminal, or --yes')
        if !-t STDIN;

    note("This deletes the account and the sessions of $name, and $sent"
         . " messages that $name\nsent, for their recipients as well.");
    note($option{received}
         ? "It deletes $received messages that other users sent to $name."
         : "The $received messages that other users sent to $name remain for"
           . ' these users.');
    print STDERR 'This cannot be undone. Type the name to continue: ';

    my $answer = readline(STDIN) // '';
    chomp $answer;
    fail('the name differs; nothing was deleted') if $answer ne $name;
}


# delete_account ID, RECEIVED: returns false if messages that must be deleted
# before exist.  A running send locks the rows of its two users until its end.

sub delete_account {
    my ($id, $received) = @_;

    # a name that no other user has
    my $name = "deleted-$id";

    while ((my $other = find_user($name)) ne '') {
        last if $other eq $id;
        $name .= '-';
    }

    my $state = sql(statements('erase-user'), id => number($id),
                    name => text($name), received => number($received));

    $state =~ /\A(left|done)\n\z/
        or fail("unexpected response of the database: \"$state\"");

    return $1 eq 'done';
}


# verify ID: a new session reads committed rows only.  Running sends may still
# add messages.

sub verify {
    my ($id) = @_;

    my $left = count("(SELECT user_id FROM chat_session WHERE user_id = \@id
                       UNION ALL
                       SELECT id FROM chat_user WHERE id = \@id
                       AND (is_active OR password <> '!'
                            OR username NOT LIKE 'deleted-%')) AS remaining",
                     id => number($id));

    fail("$left deleted rows still exist") if $left != 0;
}


1;
