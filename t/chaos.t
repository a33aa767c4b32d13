#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# What is acknowledged is stored, once, and everybody sees all of it: many
# people send and listen while nginx and its database are killed, stopped,
# reloaded and upgraded.  CHAT_CHAOS is how many seconds of it (60), and the
# seed of chance, if it shall be a certain one.  HACKING.md says how to read
# what it prints.

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
use Chat::Chaos;
use Chat::Chaos::Faults;
use Chat::Chaos::Listeners;
use Chat::Chaos::Senders;
use List::Util qw(sum0);
use Test::More;
use Time::HiRes qw(sleep time);

# seconds until all is well again, once nothing more happens
my $peace = 15;

my @people = map { "u$_" } 1 .. 10;

my (%report, @faults, @messages);
my ($nchan_deaths, %figures) = (0);


# --- the story -------------------------------------------------------------

note("$seconds seconds, seed $seed");

add_people();
$site->configure(Chat::example());
$site->start_nginx;
run();
compare();
done_testing();


sub add_people {
    Chat::reset_tables();

    for my $who (@people[4 .. $#people]) {
        sql('INSERT INTO chat_user (username) VALUES (?)', $who);
        add_session($who);
    }
}


sub run {
    $Chat::Chaos::Log = "$dir/faults.log";
    $Chat::Chaos::Begin = time();

    my $n = $seed * 100;

    # each with a seed of its own: they do not wait for each other
    my %part = map { $_->[0] => start($_->[0], $n++, $_->[1]) }
        [ listeners => sub { Chat::Chaos::Listeners::listen(@_, @people) } ],
        [ keyed => sub { Chat::Chaos::Senders::keyed(@_, @people) } ],
        (map { my $i = $_; [ "cutters $i" => sub {
            Chat::Chaos::Senders::cutters(@_, $i, @people) } ] } 1, 2),
        (map { my $i = $_; [ "late $i" => sub {
            Chat::Chaos::Faults::late(@_, $i, @people) } ] } 1, 2),
        [ nginx => sub { Chat::Chaos::Faults::nginx($site, @_) } ],
        [ database => sub { Chat::Chaos::Faults::database($site, @_) } ];

    sleep $seconds;

    # those that do harm first; who listens hears all the others out
    for my $name (qw(nginx database)) {
        $report{$name} = $part{$name}->finish(60);
    }

    note_fault(peace => '');

    my $begin = time();
    ok($site->db_pid, 'the database is there');
    ok(wait_until(\&healthy, $peace), "healthy within $peace seconds")
        or diag("see $dir/error.log");
    note(sprintf 'healthy after %.1f seconds', time() - $begin);

    ok(wait_until(\&heard, $peace), 'who listens anew hears of messages');
    note(sprintf 'heard after %.1f seconds', time() - $begin);

    for my $name ('keyed', 'cutters 1', 'cutters 2', 'late 1', 'late 2',
                  'listeners')
    {
        $report{$name} = $part{$name}->finish(60);
    }

    @faults = faults();
}


# healthy: requests of all workers, one after the other

sub healthy {
    for (1 .. 20) {
        return 0 if (api('u1', GET => '/api/v1/message/')->code // 0) != 200;
    }

    my $sent = api('u1', POST => '/api/v1/message/',
                   { recipient => 'u2', body => 'peace-' . time() });

    return ($sent->code // 0) == 201;
}


# heard: messages, by everybody who listens anew

sub heard {
    my %socket = map { $_ => web_socket($_) } @people;

    return 0 if grep { $_->{code} != 101 } values %socket;

    # nchan may take a socket a moment before it listens for it
    settle(1);

    for my $who (@people) {
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


# --- what it came to -------------------------------------------------------

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
         ORDER BY m.id", { Slice => {} }) };

    check_sent();
    check_conversations($db);
    check_listeners();
    check_log();
    print_figures();
}


# none NAME, FOUND: examples of what should not be there; how many there are

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

    none('all acknowledged is stored, by the id that was told',
         grep { !grep { $_->{id} == $acknowledged{$_->{marker}} }
                      @{ $stored{$_} // [] } } @all);
    $figures{doubled} =
        none('nothing is stored twice',
             grep { @{ $stored{$_} } > 1 } sort keys %stored);
    none('nothing is stored of half a request',
         grep { $stored{$_} } map { @{ $_->{halves} } } @cutters);
    none('all that has a key is acknowledged in the end',
         @{ $keyed->{unclear} });
    none('a key leads to one id', @{ $keyed->{differing} });
    none('no answer makes no sense',
         map { "$_: $keyed->{refused}{$_}" } sort keys %{ $keyed->{refused} });
    none('keys are stored with their messages',
         map { $_->{marker} }
         grep { $_->{marker} =~ /^(key|late)-/
                && $_->{marker_key} ne $_->{marker} } @messages);

    my %codes = sum(map { $_->{codes} } $keyed, @cutters);

    is($codes{hung} // 0, 0, 'no request hangs');
    none('sends are 200, 201, 503, or have no answer',
         map { "$_: $codes{$_} times" }
         grep { !/^(200|201|503|none|hung)$/ } sort keys %codes);
}


# sum HASHES: by key

sub sum {
    my %sum;

    for my $count (@_) {
        $sum{$_} += $count->{$_} for keys %$count;
    }

    return %sum;
}


sub check_conversations {
    my ($db) = @_;

    none('conversations count what is stored', map { join ' ', @$_ }
         @{ $db->selectall_arrayref(
             'SELECT m.lo_id, m.hi_id, m.n, m.last,
                     c.message_count, c.last_message_id
              FROM (SELECT lo_id, hi_id, COUNT(*) AS n, MAX(id) AS last
                    FROM chat_message GROUP BY lo_id, hi_id) m
              LEFT JOIN chat_conversation c USING (lo_id, hi_id)
              WHERE NOT (m.n <=> c.message_count
                         AND m.last <=> c.last_message_id)') });
}


sub check_listeners {
    my %text = map {
        $_->{id} => "$_->{sender} > $_->{recipient}: $_->{marker}"
    } @messages;

    my (@missed, @expected, @other, @odd, @undone);

    for my $self (@{ $report{listeners} }) {
        my ($who, $kind, $seen, $heard) = @$self{qw(who kind seen heard)};

        push @missed, map { missed($self, $_) }
                      grep { !exists $seen->{ $_->{id} }
                             && !exists $heard->{ $_->{id} } } theirs($who);
        push @expected, map { [$self, $_] } expected($self)
            if $kind eq 'socket';
        push @other, map { "$who $kind: $_ was \"$seen->{$_}\", is \""
                           . ($text{$_} // '') . '"' }
                     grep { $seen->{$_} ne ($text{$_} // '') } sort keys %$seen;
        push @odd, (map { "$who: $_" } @{ $self->{odd} }),
                   map { "$who heard of $_" }
                   grep { !exists $text{$_} } sort keys %$heard;
        push @undone, "$who $kind" if !$self->{done};
    }

    $figures{missed} = none('who listens sees all that is stored', @missed);
    none('who has a socket is told',
         map { my ($self, $message) = @$_;
               "$self->{who}: $message->{id} \"$message->{marker}\" after "
               . last_fault($message->{time}) }
         grep { !$_->[0]{heard}{ $_->[1]{id} } } @expected);
    $figures{expected} = @expected;

    # or the line above says nothing
    cmp_ok(scalar @expected, '>', 0, 'some could not but be told')
        if $seconds >= 60;

    none('what was seen is what is stored', @other);
    none('nothing is announced but what is stored', @odd);
    none('all who listen catch up in the end', @undone);
}


sub theirs {
    my ($who) = @_;

    return grep { $_->{sender} eq $who || $_->{recipient} eq $who } @messages;
}


# missed LISTENER, MESSAGE: with the request whose cursor led past it

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


# last_fault TIME: its kind, or ''

sub last_fault {
    my ($time) = @_;

    my ($fault) = grep { $_->{time} < $time + 0.1 } reverse @faults;

    return $fault ? $fault->{kind} : '';
}


# expected LISTENER: messages that its socket should have told.  It was open
# from long enough before they were sent, for nchan to listen for it, until long
# after they were acknowledged, or could be seen without a socket, for others to
# announce what a dead worker has left.

sub expected {
    my ($self) = @_;

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
        my ($from, $to) = ($_->{time} - 1.5, $since + 3);

        # who shall announce it may have to ask the database, too
        $to += 9 if !$answered
                    && grep { $_->{kind} =~ /^db_/ && $_->{time} > $since - 3
                              && $_->{time} < $to } @faults;

        # nobody has told of those by hand
        $_->{marker} !~ /^late/
            && grep { $_->[0] < $from && ($_->[1] // 0) > $to }
                    @{ $self->{open} };
    } theirs($self->{who});
}


# check_log: workers that end otherwise than we end them.  What one that was
# killed has left in nchan's shared memory is the death of others: these are
# counted, as long as nchan is where they die.

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

            # what the shutdown's time-out ends
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

    none('nobody dies but by our hand', @died);
    none('no alerts', @alerts);
}


# seconds TIME: of the day

sub seconds {
    my ($hours, $minutes, $seconds) = split /:/, shift;

    return ($hours * 60 + $minutes) * 60 + $seconds;
}


# innermost CALLS: the first of a module, be it ours or nchan's

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
                        qw(sent acknowledged stored doubled missed));
}


sub list {
    my (%count) = @_;

    return join ', ', map { "$count{$_} $_" } sort keys %count;
}
