#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Purge;

# Deletes messages in small steps, while messages are being sent.

use strict;
use warnings;

use Chatctl::Database qw(attempt count number sql statements text);
use Chatctl::Output qw(check_interrupt fail interruptible say_done
                       wrong_usage);
use Chatctl::Schema;
use Exporter qw(import);

our @EXPORT_OK = qw(delete_messages);

my %units = (h => 'HOUR', d => 'DAY', w => 'WEEK', M => 'MONTH', y => 'YEAR');


# purge --older-than, AGE: ids and times increase together, except for a few
# seconds between hosts with different clocks.  The purge ends after ten
# thousand successive younger messages.

sub purge {
    my ($option, $age) = @_;

    wrong_usage('"purge" requires --older-than') if $option ne '--older-than';

    my $before = time_before($age);
    my ($deleted, $emptied, $last, $younger) = (0, 0, 0, 0);
    my $result = sub {
        return "Deleted $deleted messages from before $before UTC"
               . " and $emptied empty conversations";
    };

    interruptible($result);

    while ($younger < 10) {
        check_interrupt();

        my $next = sql(statements('purge-next'), before => text($before),
                       last => number($last));

        last if $next =~ /\ANULL\t/;

        $next =~ /\A(\d+)\t(\d+)\n\z/
            or fail("unexpected response of the database: \"$next\"");

        my ($upto, $old) = ($1, $2);

        $younger++;

        if ($old > 0) {
            my @counts = delete_messages('choose-old', before => text($before),
                             last => number($last), upto => number($upto));
            $deleted += $counts[0];
            $emptied += $counts[1];
            $younger = 0;
        }

        $last = $upto;
    }

    say_done($result->() . '.');
}


sub time_before {
    my ($age) = @_;

    $age =~ /\A([1-9][0-9]{0,4})(\D)\z/
        or wrong_usage("\"$age\" is not a valid age, such as 90d");

    my ($number, $unit) = ($1, $units{$2});

    wrong_usage("\"$age\" is not a valid age: it ends with h, d, w, M or y")
        if !defined $unit;

    Chatctl::Schema::require_tables();

    my $before = sql("SELECT UTC_TIMESTAMP() - INTERVAL $number $unit");

    chomp $before;
    wrong_usage("\"$age\" is too long ago") if $before eq 'NULL';

    $before =~ /\A[-0-9: ]+\z/
        or fail("unexpected response of the database: \"$before\"");

    return $before;
}


# delete_messages CHOICE, VALUES: deletes the messages that the file CHOICE
# selects, about a thousand.  Returns the number of deleted messages, the number
# of conversations that became empty, and the number of deleted rows, including
# those of changes and of messages deleted before.

sub delete_messages {
    my ($choice, %values) = @_;

    my $statements = statements('delete-begin') . statements($choice)
                     . statements('delete-end');
    my ($done, $output);

    for my $tries (1 .. 11) {
        ($done, $output) = attempt($statements, %values);

        # a deadlock or a lock time-out has rolled the transaction back
        last if $done || $output !~ /ERROR (?:1213|1205) / || $tries == 11;
        sleep 1;
        check_interrupt();
    }

    if (!$done) {
        print STDERR $output;
        fail('the database reported an error');
    }

    # the output may contain warnings of the client as well
    my ($rows, $deleted, $emptied, $newest)
        = $output =~ /^deleted (\d+) (\d+) (\d+) (\d+)$/m;

    if (!defined $rows) {
        print STDERR $output;
        fail('the database did not return the number of deleted messages');
    }

    # a new session reads committed rows only
    fail("message $newest was deleted and still exists")
        if $rows && count('chat_message WHERE id = @id',
                             id => number($newest)) != 0;

    return ($deleted, $emptied, $rows);
}


1;
