#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# Acknowledged messages are stored once, and every user sees all of them, and all
# changes.  Users send, edit, delete and listen while nginx and its database are killed, stopped, reloaded and
# upgraded.  CHAT_CHAOS has the duration in seconds (60) and optionally the
# random seed.  t/README.md describes the output.

use strict;
use warnings;

my ($site, $dir, $seconds, $seed);

BEGIN {
    require Chat::Site;

    ($seconds, $seed) = split ' ', $ENV{CHAT_CHAOS} // '';
    $seconds ||= 60;
    $seed ||= 1 + int rand 1e6;
    "$seconds $seed" =~ /^\d+ \d+$/ or die "no number of seconds and seed\n";

    $SIG{INT} = $SIG{TERM} = sub { exit 1 };

    $dir = "$ENV{CHAT_RUN}/chaos";
    $site = Chat::Site->new($dir);
    $site->start_db;
    $site->prepare;
}

END { undef $site }

use Chat;
use Chat::Busy qw(slowness);
use Chat::Chaos;
use Chat::Chaos::Changers;
use Chat::Chaos::Faults;
use Chat::Chaos::Listeners;
use Chat::Chaos::Senders;
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

# seconds in which the site must recover after the last fault
my $peace = 15;

# slowness of the machine, a factor of the time limits
my $slow = 1;

my @users = map { "u$_" } 1 .. 10;

my (%report, @faults, @messages, %deleted);
my ($nchan_deaths, %figures) = (0);


# --- steps -----------------------------------------------------------------

note("$seconds seconds, seed $seed");

add_users();
$site->configure(Chat::example());
$site->start_nginx;
run();
compare();
done_testing();


sub add_users {
    Chat::reset_tables();

    for my $who (@users[4 .. $#users]) {
        sql('INSERT INTO chat_user (username) VALUES (?)', $who);
        add_session($who);
    }
}


sub run {
    $Chat::Chaos::Log = "$dir/faults.log";
    $Chat::Chaos::Begin = time();

    my $n = $seed * 100;

    # the parts do not wait for each other, so each has its own seed
    my %part = map { $_->[0] => start($_->[0], $n++, $_->[1]) }
        [ listeners => sub { Chat::Chaos::Listeners::listen(@_, @users) } ],
        [ keyed => sub { Chat::Chaos::Senders::keyed(@_, @users) } ],
        (map { my $i = $_; [ "cutters $i" => sub {
            Chat::Chaos::Senders::cutters(@_, $i, @users) } ] } 1, 2),
        (map { my $i = $_; [ "changers $i" => sub {
            Chat::Chaos::Changers::changers(@_, $i, @users) } ] } 1, 2),
        (map { my $i = $_; [ "late $i" => sub {
            Chat::Chaos::Faults::late(@_, $i, @users) } ] } 1, 2),
        [ nginx => sub { Chat::Chaos::Faults::nginx($site, @_) } ],
        [ database => sub { Chat::Chaos::Faults::database($site, @_) } ];

    sleep $seconds;
    $slow = slowness();
    $peace *= $slow;

    # faults end first, listeners last: they must hear all messages
    for my $name (qw(nginx database)) {
        $report{$name} = $part{$name}->finish(60);
    }

    note_fault(peace => '');

    my $begin = time();
    ok($site->db_pid, 'the database runs');
    ok(wait_until(\&healthy, $peace), "healthy within $peace seconds")
        or diag("see $dir/error.log");
    note(sprintf 'healthy after %.1f seconds', time() - $begin);

    ok(wait_until(\&heard, $peace), 'new listeners are notified');
    note(sprintf 'heard after %.1f seconds', time() - $begin);

    for my $name ('keyed', 'cutters 1', 'cutters 2', 'changers 1',
                  'changers 2', 'late 1', 'late 2')
    {
        $report{$name} = $part{$name}->finish(60);
    }

    # workers may still have sends of clients that have disconnected
    ok(wait_until(\&settled, $peace), 'all sends end');

    $report{listeners} = $part{listeners}->finish(60);

    @faults = faults();
}


# healthy: successful requests to all workers, one after the other

sub healthy {
    for (1 .. 20) {
        return 0 if (api('u1', GET => '/api/v1/message/')->code // 0) != 200;
    }

    my $sent = api('u1', POST => '/api/v1/message/',
                   { recipient => 'u2', body => 'peace-' . time() });

    return ($sent->code // 0) == 201;
}


# settled: whether no message is stored within three seconds

sub settled {
    my $last = sql('SELECT MAX(id) FROM chat_message');

    settle(3);

    return sql('SELECT MAX(id) FROM chat_message') == $last;
}


# heard: whether every new listener is notified

sub heard {
    my %socket = map { $_ => web_socket($_) } @users;

    return 0 if grep { $_->{code} != 101 } values %socket;

    # nchan may accept a socket a moment before it subscribes it
    settle(1);

    for my $who (@users) {
        my $sent = api($who, POST => '/api/v1/message/',
                       { recipient => $who, body => 'heard-' . time() });

        return 0 if ($sent->code // 0) != 201;
    }

    my $all = wait_until(sub {
        !grep { !@{ $_->{frames} } } values %socket
    }, 2);

    Chat::close_all(values %socket);

    return $all;
}


# --- results ---------------------------------------------------------------

sub compare {
    my $db = connect_db();

    @messages = @{ $db->selectall_arrayref(
        "SELECT m.id, m.client_id AS marker_key, m.body,
                SUBSTRING_INDEX(m.body, ' ', 1) AS marker,
                s.username AS sender, r.username AS recipient,
                UNIX_TIMESTAMP(m.created_at) AS time
         FROM chat_message m
         JOIN chat_user s ON s.id = m.sender_id
         JOIN chat_user r ON r.id = m.recipient_id
         WHERE m.kind = 0 ORDER BY m.id", { Slice => {} }) };

    %deleted = map { $_ => 1 } @{ $db->selectcol_arrayref(
        'SELECT id FROM chat_message
         WHERE kind = 2 AND target_id IS NULL') };

    check_sent();
    check_changes();
    check_conversations($db);
    check_listeners();
    check_log();
    print_figures();
}


# none NAME, FOUND: expects no elements, prints some; returns their number

sub none {
    my ($name, @found) = @_;

    my @first = @found > 10 ? (@found[0 .. 9], '...') : @found;

    is(scalar @found, 0, $name) or diag(map { "$_\n" } @first);

    return scalar @found;
}


sub check_sent {
    my ($keyed, @cutters) = @report{'keyed', 'cutters 1', 'cutters 2'};

    my %acknowledged = map { %{ $_->{acknowledged} } } $keyed, @cutters;
    my %stored;

    push @{ $stored{ $_->{marker} } }, $_ for @messages;

    my @all = sort keys %acknowledged;

    none('acknowledged messages are stored with the returned ids',
         grep { !grep { $_->{id} == $acknowledged{$_->{marker}} }
                      @{ $stored{$_} // [] } } @all);
    $figures{doubled} =
        none('no message is stored twice',
             grep { @{ $stored{$_} } > 1 } sort keys %stored);
    none('no incomplete request is stored',
         grep { $stored{$_} } map { @{ $_->{halves} } } @cutters);
    none('requests with a key are acknowledged in the end',
         @{ $keyed->{unclear} });
    none('each key has one id', @{ $keyed->{differing} });
    none('no unexpected response',
         map { "$_: $keyed->{refused}{$_}" } sort keys %{ $keyed->{refused} });
    none('keys are stored with their messages',
         map { $_->{marker} }
         grep { $_->{marker} =~ /^(key|late)-/
                && $_->{marker_key} ne $_->{marker} } @messages);

    my %codes = sum(map { $_->{codes} } $keyed, @cutters);

    is($codes{hung} // 0, 0, 'no request hangs');
    none('sends result in 200, 201, 503, or no response',
         map { "$_: $codes{$_} times" }
         grep { !/^(200|201|503|none|hung)$/ } sort keys %codes);
}


# sum HASHES: the sums by key

sub sum {
    my %sum;

    for my $count (@_) {
        $sum{$_} += $count->{$_} for keys %$count;
    }

    return %sum;
}


sub check_changes {
    my @changers = @report{'changers 1', 'changers 2'};

    my %final = map { %{ $_->{final} } } @changers;
    my %stored = map { $_->{id} => $_->{body} } @messages;
    my (@wrong, @missed);

    none('no unexpected response to a change',
         map { my $refused = $_->{refused};
               map { "$_: $refused->{$_}" } sort keys %$refused } @changers);

    for my $id (sort { $a <=> $b } keys %final) {
        push @wrong, $id
            if defined $final{$id} ? ($stored{$id} // '') ne $final{$id}
                                   : !$deleted{$id} || exists $stored{$id};
    }

    none('acknowledged changes are stored', @wrong);

    for my $self (grep { $_->{kind} eq 'changes' } @{ $report{listeners} }) {
        my $state = $self->{state};

        push @missed, map { "$self->{who}: $_->{id} is \"$_->{body}\", was \""
                            . ($state->{ $_->{id} } // '') . '"' }
                      grep { ($state->{ $_->{id} } // '') ne $_->{body} }
                           theirs($self->{who});
        push @missed, map { "$self->{who}: $_ is deleted" }
                      grep { $deleted{$_} && defined $state->{$_} }
                           sort keys %$state;
    }

    none('listeners see all changes', @missed);

    $figures{changed} = keys %final;
    $figures{deleted} = keys %deleted;

    cmp_ok($figures{deleted}, '>', 0, 'some messages are deleted')
        if $seconds >= 60;
}


sub check_conversations {
    my ($db) = @_;

    none('conversations count the stored messages', map { join ' ', @$_ }
         @{ $db->selectall_arrayref(
             'SELECT m.lo_id, m.hi_id, m.n, m.last,
                     c.message_count, c.last_message_id
              FROM (SELECT lo_id, hi_id, COUNT(*) AS n, MAX(id) AS last
                    FROM chat_message WHERE kind = 0
                    GROUP BY lo_id, hi_id) m
              LEFT JOIN chat_conversation c USING (lo_id, hi_id)
              WHERE NOT (m.n <=> c.message_count
                         AND m.last <=> c.last_message_id)') });
}


sub check_listeners {
    my %text = map {
        $_->{id} => "$_->{sender} > $_->{recipient}: $_->{marker}"
    } @messages;

    my (@missed, @expected, @unnotified, @other, @odd, @undone);

    for my $self (@{ $report{listeners} }) {
        my ($who, $kind, $seen, $heard) = @$self{qw(who kind seen heard)};

        push @missed, map { missed($self, $_) }
                      grep { !exists $seen->{ $_->{id} }
                             && !exists $heard->{ $_->{id} } } theirs($who);
        if ($kind eq 'socket') {
            push @expected, expected($self, 1);
            push @unnotified, map { [$self, $_] }
                              grep { !$heard->{ $_->{id} } }
                                   expected($self, $slow);
        }

        push @other, map { "$who $kind: $_ was \"$seen->{$_}\", is \""
                           . ($text{$_} // '') . '"' }
                     grep { !$deleted{$_}
                            && $seen->{$_} ne ($text{$_} // '') }
                          sort keys %$seen;
        push @odd, (map { "$who: $_" } @{ $self->{odd} }),
                   map { "$who heard of $_" }
                   grep { !exists $text{$_} && !$deleted{$_} }
                        sort keys %$heard;
        push @undone, "$who $kind" if !$self->{done};
    }

    $figures{missed} = none('listeners see all stored messages', @missed);
    none('sockets are notified',
         map { my ($self, $message) = @$_;
               "$self->{who}: $message->{id} \"$message->{marker}\" after "
               . last_fault($message->{time}) } @unnotified);
    $figures{expected} = @expected;

    # otherwise the check above proves nothing
    cmp_ok(scalar @expected, '>', 0, 'some messages must be notified')
        if $seconds >= 60;

    none('messages seen are those stored', @other);
    none('no notification of a message that is not stored', @odd);
    none('all listeners catch up in the end', @undone);
}


sub theirs {
    my ($who) = @_;

    return grep { $_->{sender} eq $who || $_->{recipient} eq $who } @messages;
}


# missed LISTENER, MESSAGE: describes the request whose cursor skipped it

sub missed {
    my ($self, $message) = @_;

    my $id = $message->{id};
    my ($round) = grep { (split /\./, $_->[2])[-1] >= $id }
                       @{ $self->{rounds} };

    return "$self->{who} $self->{kind} missed $id \"$message->{marker}\""
           . ($round ? ": at $round->[0] after=$round->[1] gave"
                       . " cursor $round->[2], ids @$round[3 .. $#$round]"
                     : '');
}


# last_fault TIME: its kind, or an empty string

sub last_fault {
    my ($time) = @_;

    my ($fault) = grep { $_->{time} < $time + 0.1 } reverse @faults;

    return $fault ? $fault->{kind} : '';
}


# expected LISTENER, SLOWNESS: messages of which its socket must have been
# notified.  The socket was open long enough before the send for nchan to
# subscribe it.  It stayed open long after the message was acknowledged or
# visible to others, so that another worker could publish the outbox entries of
# a dead one.

sub expected {
    my ($self, $slow) = @_;

    my ($other) = grep { $_->{who} eq $self->{who} && $_->{kind} eq 'after' }
                       @{ $report{listeners} };
    my %since;

    for my $round (@{ $other->{rounds} }) {
        my ($time, undef, undef, @ids) = @$round;

        $since{$_} //= $time for @ids;
    }

    return grep {
        my $answered = $report{keyed}{at_once}{ $_->{marker} };
        my $since = $answered // $since{ $_->{id} } // 9e9;
        my ($from, $to) = ($_->{time} - 1.5 * $slow, $since + 3 * $slow);

        # another worker may have to query the database first
        $to += 9 if !$answered
                    && grep { $_->{kind} =~ /^db_/ && $_->{time} > $since - 3
                              && $_->{time} < $to } @faults;

        # messages inserted by hand are not notified
        $_->{marker} !~ /^late/
            && grep { $_->[0] < $from && ($_->[1] // 0) > $to }
                    @{ $self->{open} };
    } theirs($self->{who});
}


# check_log: unexpected exits of workers.  A killed worker may leave nchan's
# shared memory in a state that terminates other workers.  These are counted, if
# they end in nchan.

sub check_log {
    my %ours = map { $_ => 1 }
               map { $_->{text} =~ /^kill -9 (.*)/ ? split(' ', $1) : () }
                   @faults;

    my (%exiting, @died, @alerts);

    for (split /^/, Chat::Site::slurp("$dir/error.log")) {
        chomp;

        my ($time, $pid) = m{^[\d/]+ ([\d:]+) \[\w+\] (\d+)#};

        if (/: gracefully shutting down$/) {
            $exiting{$pid} = $time;

        } elsif (/process (\d+) exited (?:on signal|with .*code [1-9])/) {
            next if $ours{$1};

            my $dead = $1;
            my $where = $site->death($dead);

            # ended by the shutdown timeout
            next if $exiting{$dead}
                    && seconds($time) - seconds($exiting{$dead}) >= 9
                    && $where !~ /ngx_chat_/;

            if (%ours && innermost($where) =~ /nchan/) {
                $site->forgive($dead);
                $nchan_deaths++;
                next;
            }

            push @died, "$_\n$where";

        } elsif (/\[(alert|emerg|crit)\]/
                 && !/: aborting$|open socket #\d+ left in connection/
                 && !/shared memory zone "\w+" was locked by \d+$/)
        {
            push @alerts, $_;
        }
    }

    none('workers exit only as requested', @died);
    none('no alerts', @alerts);
}


# seconds TIME: of the day

sub seconds {
    my ($hours, $minutes, $seconds) = split /:/, shift;

    return ($hours * 60 + $minutes) * 60 + $seconds;
}


# innermost CALLS: the first function of a module, ngx_chat or nchan

sub innermost {
    my ($where) = @_;

    return (grep { /ngx_chat_|ngx_nchan_/ } split /^/, $where)[0] // '';
}


# --- figures ---------------------------------------------------------------

sub print_figures {
    my ($keyed, @cutters) = @report{'keyed', 'cutters 1', 'cutters 2'};

    my %codes = sum(map { $_->{codes} } $keyed, @cutters);
    my (%kind, %live);

    $kind{ $_->{kind} }++ for grep { $_->{text} =~ /kill|HUP|STOP|USR2/ }
                                   @faults;

    for my $self (grep { $_->{kind} eq 'socket' } @{ $report{listeners} }) {
        my $heard = $self->{heard};

        $live{sockets} += @{ $self->{open} };

        for my $message (theirs($self->{who})) {
            $live{ $heard->{ $message->{id} } ? 'live' : 'by catching up' }++;
        }
    }

    $figures{sent} = sum0(map { $_->{sent} } $keyed, @cutters);
    $figures{acknowledged} = sum0(map { scalar keys %{ $_->{acknowledged} } }
                                      $keyed, @cutters);
    $figures{stored} = @messages;

    note('faults: ', list(%kind), $nchan_deaths ? ", $nchan_deaths nchan" : '');
    note('late: ', list(sum(map { $report{"late $_"} } 1, 2)));
    note('answers: ', list(%codes));
    note('heard: ', list(%live), ", $figures{expected} could not but be live");
    note(join ', ', map { "$_ $figures{$_}" }
                        qw(sent acknowledged stored doubled missed changed
                           deleted));
}


sub list {
    my (%count) = @_;

    return join ', ', map { "$count{$_} $_" } sort keys %count;
}
