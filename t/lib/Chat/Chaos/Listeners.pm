#
# Copyright (C) ngx_chat contributors
#

package Chat::Chaos::Listeners;

# People who want to see every message of theirs: by a socket and catching up,
# as html/static/chat.js does with longer pauses, or by "after=" alone.

use strict;
use warnings;

use Chat;
use Chat::Chaos;
use Mojo::IOLoop;
use Mojo::UserAgent;
use Time::HiRes qw(time);

# seconds
my $TIMEOUT = 15;      # for a request or a handshake
my $WATCH = 15;        # between two looks at what the socket lost
my $SETTLE = 1;        # after connecting, until the last look
my $REST = 40;         # for the last round of all

my ($Agent, $Ending, $Running);


# listen TOLD, PEOPLE: returns a list of listeners, each with
#
#   who, kind       "socket" or "after"
#   seen            { ID => 'FROM > TO: MARKER' } by "after="
#   heard           { ID => TIME } by the socket
#   open            [[FROM, TO], ...]: when there was a socket
#   rounds          [[TIME, AFTER, CURSOR, IDS ...], ...]: requests that had
#                   news, or another cursor
#   odd             [texts from the socket that are no hints]
#   done            whether the last round ended
#   codes           { STATUS => how often } of requests, handshakes apart

sub listen {
    my ($told, @people) = @_;

    $Agent = Mojo::UserAgent->new(max_connections => 32, connect_timeout => 5,
                                  request_timeout => $TIMEOUT);

    my @all = map { my $who = $_; map { new($who, $_) } qw(socket after) }
                  @people;

    $Running = @all;

    Mojo::IOLoop->singleton->reactor->io($told => sub {
        Mojo::IOLoop->singleton->reactor->remove($told);
        $Ending = 1;
        Mojo::IOLoop->timer($REST => sub { Mojo::IOLoop->stop });
        last_round($_) for @all;
    })->watch($told, 1, 0);

    for my $self (@all) {
        $self->{kind} eq 'socket' ? connect_socket($self) : poll($self);
    }

    Mojo::IOLoop->start;

    $_->{open}[-1][1] //= time() for grep { @{ $_->{open} } } @all;

    return [map { my $self = $_;
                  +{ map { $_ => $self->{$_} }
                         qw(who kind seen heard open rounds odd done codes) } }
                @all];
}


sub new {
    my ($who, $kind) = @_;

    return { who => $who, kind => $kind, cursor => 0, done => 0, n => 0,
             seen => {}, heard => {}, open => [], rounds => [], odd => [],
             codes => {} };
}


# --- after= ----------------------------------------------------------------

# catch_up SELF, CALL: all there is; then CALL with how many were new, or undef
# when that failed.  A call while one is running waits for another round.

sub catch_up {
    my ($self, $call) = @_;

    push @{ $self->{wanted} }, $call;
    begin_round($self) unless $self->{calls};
}


sub begin_round {
    my ($self) = @_;

    $self->{calls} = delete $self->{wanted};
    $self->{new} = 0;
    next_page($self);
}


sub end_round {
    my ($self, $new) = @_;

    my $calls = delete $self->{calls};

    $_->($new) for @$calls;

    begin_round($self) if $self->{wanted};
}


sub next_page {
    my ($self) = @_;

    my $after = $self->{cursor};
    my $limit = pick(1, 3, 10, 100, 100);

    $Agent->get(
        url("/api/v1/message/?after=$after&limit=$limit")
        => { Cookie => 'sessionid=' . token($self->{who}) } => sub {
            my (undef, $tx) = @_;

            my $page = $tx->res->code && !$tx->res->error ? $tx->res->json
                                                          : undef;

            $self->{codes}{ $tx->res->code // 'none' }++;

            return end_round($self, undef) if !$page || !$page->{results};

            take_page($self, $after, $page);
            $page->{has_more} ? next_page($self)
                              : end_round($self, $self->{new});
        }
    );
}


sub take_page {
    my ($self, $after, $page) = @_;

    for my $message (@{ $page->{results} }) {
        my $id = $message->{id};
        my ($marker) = $message->{body} =~ /^(\S+)/;
        my $text = "$message->{user} > $message->{recipient}: $marker";

        $self->{new}++ unless $self->{heard}{$id} || $self->{seen}{$id};

        # what was seen first is what a client believes
        $self->{seen}{$id} //= $text;
    }

    $self->{cursor} = $page->{cursor};

    push @{ $self->{rounds} },
         [sprintf('%.3f', time()), $after, $page->{cursor},
          map { $_->{id} } @{ $page->{results} }]
        if @{ $page->{results} } || $page->{cursor} ne $after;
}


# poll SELF: of those that have no socket

sub poll {
    my ($self) = @_;

    return if $Ending;

    catch_up($self, sub {
        Mojo::IOLoop->timer(between(0.1, 1) => sub { poll($self) });
    });
}


# last_round SELF: until it succeeds

sub last_round {
    my ($self) = @_;

    catch_up($self, sub {
        my ($new) = @_;

        if (!defined $new) {
            Mojo::IOLoop->timer(0.2 => sub { last_round($self) });
            return;
        }

        $self->{done} = 1;
        Mojo::IOLoop->stop if --$Running == 0;
    });
}


# --- socket ----------------------------------------------------------------

sub connect_socket {
    my ($self) = @_;

    my $attempt = $self->{attempt} = ++$self->{n};

    # one agent each: it ends with its socket
    my $agent = $self->{agent} = Mojo::UserAgent->new(
        inactivity_timeout => 0, connect_timeout => 5,
        request_timeout => $TIMEOUT);

    $agent->websocket(
        url('/ws') => { Cookie => 'sessionid=' . token($self->{who}) } => sub {
            my (undef, $tx) = @_;

            return if $self->{attempt} != $attempt;
            return lost($self, $attempt) if !$tx->is_websocket;

            $self->{tx} = $tx;
            push @{ $self->{open} }, [time(), undef];

            $tx->on(text => sub { hint($self, $_[1]) });
            $tx->on(finish => sub { lost($self, $attempt) });

            connected($self, $attempt);
        }
    );
}


sub connected {
    my ($self, $attempt) = @_;

    catch_up($self, sub {
        return lost($self, $attempt) if !defined $_[0];

        watch($self, $attempt);
    });

    # nchan may take a socket a moment before it listens for it
    Mojo::IOLoop->timer($SETTLE => sub {
        return if $self->{attempt} != $attempt;

        catch_up($self, sub { lost($self, $attempt) if !defined $_[0] });
    });
}


# watch: news that the socket has kept quiet give it away

sub watch {
    my ($self, $attempt) = @_;

    Mojo::IOLoop->timer($WATCH * between(0.8, 1.2) => sub {
        return if $self->{attempt} != $attempt;

        catch_up($self, sub {
            my ($new) = @_;

            return if $self->{attempt} != $attempt;
            return lost($self, $attempt) if !defined $new || $new;

            watch($self, $attempt);
        });
    });
}


sub lost {
    my ($self, $attempt) = @_;

    return if $self->{attempt} != $attempt;

    $self->{attempt} = 0;
    $self->{open}[-1][1] //= time() if @{ $self->{open} };

    # not while it calls us
    my $agent = delete $self->{agent};
    Mojo::IOLoop->next_tick(sub { undef $agent });
    delete $self->{tx};

    return if $Ending;

    Mojo::IOLoop->timer(between(0.05, 0.5) => sub { connect_socket($self) });
}


sub hint {
    my ($self, $text) = @_;

    my ($id) = $text =~ /^\{"message": "(\d+)"\}$/
        or return push @{ $self->{odd} }, $text;

    $self->{heard}{$id} //= time();
}


1;
