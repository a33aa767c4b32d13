#
# Copyright (C) ngx_chat contributors
#

package Chat::Chaos::Faults;

# Faults of the site: nginx and its database, each caused by a separate process,
# so that faults coincide.

use strict;
use warnings;

use Chat;
use Chat::Chaos;
use Chat::Site;
use List::Util qw(shuffle);
use Time::HiRes qw(sleep time);

# each kind occurs as often as it is listed, in random order, before the list
# is repeated
my @nginx = (('worker') x 8, ('reload') x 4, ('master') x 2, ('upgrade') x 2);
my @database = (('db_kill') x 2, ('db_stop') x 2);

# seconds that a new server may take to start
my $limit = 30;


# nginx SITE, TOLD: runs until the end, with all processes running then

sub nginx {
    my ($site, $told) = @_;

    my @kinds;

    # some pauses are longer, so that silent sockets are detected
    until (pause($told, chance(0.15) ? between(6, 9) : between(0.1, 2.5))) {
        @kinds = shuffle(@nginx) unless @kinds;

        __PACKAGE__->can(shift @kinds)->($site);
    }

    return {};
}


# killed PIDS: kills them and notes it, so that "exited on signal 9" is expected

sub killed {
    my ($kind, @pids) = @_;

    note_fault($kind, "kill -9 @pids");
    Chat::Site::end_all(@pids) or die "@pids do not end\n";
}


sub worker {
    my ($site) = @_;

    my @workers = $site->workers($site->master);

    return if !@workers;

    killed(worker => chance(0.2) ? @workers : pick(@workers));
}


sub reload {
    my ($site) = @_;

    for (1 .. (chance(0.2) ? 3 : 1)) {
        note_fault(reload => 'HUP ' . $site->master);
        kill HUP => $site->master;
        sleep between(0, 0.3);
    }
}


sub master {
    my ($site) = @_;

    # nginx may just have started another worker
    while (my @pids = $site->processes) {
        killed(master => @pids);
    }

    sleep between(0, 1);
    $site->start_nginx;
    note_fault(master => 'started ' . $site->master);
}


# upgrade: the old workers end gracefully, the new master has the same sockets

sub upgrade {
    my ($site) = @_;

    my $old = $site->master;

    # Upgrades do not overlap: nginx ignores the signal while its parent runs,
    # which ends shortly after its PID file is removed
    Chat::Site::wait_for(sub { !$site->is_new($old) }, $limit)
        or die "the old master process does not end\n";

    note_fault(upgrade => "USR2 $old");
    kill USR2 => $old;

    my $new;

    Chat::Site::wait_for(sub {
        $new = $site->master;
        return $new && $new != $old && $site->workers($new);
    }, $limit) or die "no new master process\n";

    sleep between(0, 0.5);
    killed(upgrade => pick($site->workers($new))) if chance(0.2);

    note_fault(upgrade => "WINCH $old, new $new");
    kill WINCH => $old;
    sleep between(0, 1);
    note_fault(upgrade => "QUIT $old");
    kill QUIT => $old;
}


# database SITE, TOLD: runs until the end, with the server running then

sub database {
    my ($site, $told) = @_;

    my @kinds;

    until (pause($told, between(1, 6))) {
        @kinds = shuffle(@database) unless @kinds;

        __PACKAGE__->can(shift @kinds)->($site);
    }

    return {};
}


sub db_kill {
    my ($site) = @_;

    killed(db_kill => $site->db_pid);
    sleep between(0, 2);
    $site->start_db;

    my $end = time + $limit;

    # MariaDB 10.11 may abort during recovery: an assertion in trx0purge.cc
    until ($site->wait_db(2)) {
        die "the database does not come back\n" if time > $end;
        $site->start_db if !$site->db_pid;
    }

    note_fault(db_kill => 'started ' . $site->db_pid);
}


sub db_stop {
    my ($site) = @_;

    my $pid = $site->db_pid;

    note_fault(db_stop => "STOP $pid");
    kill STOP => $pid;
    sleep between(1, 6);

    # a stopped server dies with unfinished work
    if (chance(0.2)) {
        db_kill($site);
        return;
    }

    kill CONT => $pid;
    note_fault(db_stop => "CONT $pid");
}


# late TOLD, NAME, PEOPLE: transactions that take their ids long before they
# commit, like sends on a slow server.  Returns the numbers of their results.

sub late {
    my ($told, $name, @people) = @_;

    my %done = (committed => 0, rolled_back => 0, lost => 0);

    for (my $n = 0; !pause($told, between(0.2, 1.5)); $n++) {
        my $end = chance(0.8) ? 'committed' : 'rolled_back';
        my $db = eval { connect_db() };

        eval { late_one($told, $db, "late-$name-$n", $end, @people); 1 }
            or $end = 'lost';

        # fails as well if the server has ended
        eval { $db->disconnect };

        $done{$end}++;
    }

    return \%done;
}


sub late_one {
    my ($told, $db, $marker, $end, @people) = @_;

    my ($from, $to) = (pick(@people), pick(@people));

    $db->begin_work;

    # separate slots, so that sends do not wait for them
    $db->do('INSERT INTO chat_writing (slot, floor_id)
             SELECT 1000000 + CONNECTION_ID() % 256, COALESCE(MAX(id), 0) + 1
             FROM chat_message
             ON DUPLICATE KEY UPDATE turn = turn + 1,
                                     floor_id = VALUES(floor_id)');

    $db->do('INSERT INTO chat_message
                    (sender_id, recipient_id, created_at, client_id, body)
             SELECT s.id, r.id, UTC_TIMESTAMP(6), ?, ?
             FROM chat_user s, chat_user r
             WHERE s.username = ? AND r.username = ?',
            undef, $marker, $marker, $from, $to);

    pause($told, between(0.1, 4));

    $db->do('INSERT INTO chat_conversation
                    (lo_id, hi_id, message_count, last_message_id)
             SELECT lo_id, hi_id, 1, id FROM chat_message
             WHERE id = LAST_INSERT_ID()
             ON DUPLICATE KEY UPDATE
                    message_count = message_count + 1,
                    last_message_id = GREATEST(last_message_id,
                                               VALUES(last_message_id))');

    $end eq 'committed' ? $db->commit : $db->rollback;
}


1;
