#
# Copyright (C) ngx_chat contributors
#

package Chat::Chaos::Listeners;

# Users that read all of their messages: by a socket and catching up, as
# html/static/chat.js does with longer pauses, or by "after=" only, without and
# with changes.

use strict;
use warnings;

use Chat;
use Chat::Chaos;
use Mojo::IOLoop;
use Mojo::UserAgent;
use Time::HiRes qw(time);

# seconds
my $TIMEOUT = 15;      # of a request or a handshake
my $WATCH = 15;        # between two checks for lost notifications
my $SETTLE = 1;        # after connecting, until the last check
my $REST = 40;         # for the last round of all listeners

my ($Agent, $Ending, $Running);


# listen TOLD, PEOPLE: returns a list of listeners, each with
#
#   who, kind       "socket", "after" or "changes"
#   seen            { ID => 'FROM > TO: MARKER' } by "after="
#   state           { ID => TEXT } with changes, undef for a deleted message
#   heard           { ID => TIME } by the socket
#   open            [[FROM, TO], ...]: times with a socket
#   rounds          [[TIME, AFTER, CURSOR, IDS ...], ...]: requests with new
#                   messages or another cursor
#   odd             [texts from the socket that are not notifications]
#   done            whether the last round ended
#   codes           { STATUS => number } of requests, without handshakes

sub listen {
    my ($told, @people) = @_;

    $Agent = Mojo::UserAgent->new(max_connections => 32, connect_timeout => 5,
                                  request_timeout => $TIMEOUT);

    my @all = map { my $who = $_;
                    map { new($who, $_) } qw(socket after changes) } @people;

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
                         qw(who kind seen state heard open rounds odd done
                            codes) } }
                @all];
}


sub new {
    my ($who, $kind) = @_;

    return { who => $who, kind => $kind, cursor => 0, done => 0, n => 0,
             seen => {}, state => {}, heard => {}, open => [], rounds => [], odd => [],
             codes => {} };
}


# --- after= ----------------------------------------------------------------

# catch_up SELF, CALL: catches up, then calls CALL with the number of new
# messages, or undef on failure.  A call during a round waits for another one.

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
        url("/api/v1/message/?after=$after&limit=$limit"
            . ($self->{kind} eq 'changes' ? '&changes=1' : ''))
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

        if ($message->{change}) {
            my $current = $message->{message};

            $self->{state}{ $current ? $current->{id}
                                     : $message->{message_id} }
                = $current && $current->{body};
            next;
        }

        $self->{state}{$id} = $message->{body};

        my ($marker) = $message->{body} =~ /^(\S+)/;
        my $text = "$message->{user} > $message->{recipient}: $marker";

        $self->{new}++ unless $self->{heard}{$id} || $self->{seen}{$id};

        # a client keeps the first version of a message
        $self->{seen}{$id} //= $text;
    }

    $self->{cursor} = $page->{cursor};

    push @{ $self->{rounds} },
         [sprintf('%.3f', time()), $after, $page->{cursor},
          map { $_->{id} } @{ $page->{results} }]
        if @{ $page->{results} } || $page->{cursor} ne $after;
}


# poll SELF: for those without a socket

sub poll {
    my ($self) = @_;

    return if $Ending;

    catch_up($self, sub {
        Mojo::IOLoop->timer(between(0.1, 1) => sub { poll($self) });
    });
}


# last_round SELF: repeats until it succeeds

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

    # each socket has an agent, which ends with it
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

    # nchan may accept a socket before it subscribes it
    Mojo::IOLoop->timer($SETTLE => sub {
        return if $self->{attempt} != $attempt;

        catch_up($self, sub { lost($self, $attempt) if !defined $_[0] });
    });
}


# watch: new messages without a notification show a silent socket

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

    # not within its callback
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
