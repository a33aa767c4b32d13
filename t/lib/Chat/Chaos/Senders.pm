#
# Copyright (C) ngx_chat contributors
#

package Chat::Chaos::Senders;

# Users that send messages and retry.  Each message begins with a unique word,
# its marker, by which it is found in the database.

use strict;
use warnings;

use Chat;
use Chat::Chaos;
use Chat::Wire;
use Mojo::IOLoop;
use Mojo::UserAgent;
use Time::HiRes qw(time);

# seconds: a response that takes longer is lost; and how long to retry unclear
# sends after the end
my $PATIENCE = 20;
my $REST = 40;


# --- with a key ------------------------------------------------------------

# keyed TOLD, PEOPLE: each message has a key and is sent again with it until
# there is a response.  Returns
#
#   sent            number of messages
#   acknowledged    { MARKER => ID }
#   at_once         { MARKER => TIME } of messages answered at the first try
#   unclear         [MARKERS] without a response at the end
#   refused         { MARKER => STATUS } of unexpected responses
#   differing       [MARKERS] with two ids
#   codes           { STATUS => number }, "none" without a response, "hung"
#                   after a timeout

sub keyed {
    my ($told, @people) = @_;

    my $self = {
        people => \@people, sent => 0, waiting => {}, n => 0,
        agent => Mojo::UserAgent->new(max_connections => 32,
                                      connect_timeout => 5,
                                      inactivity_timeout => 0),
        map { $_ => {} } qw(acknowledged at_once refused codes
                            differing),
    };

    Mojo::IOLoop->singleton->reactor->io($told => sub {
        Mojo::IOLoop->singleton->reactor->remove($told);
        $self->{ending} = 1;
        Mojo::IOLoop->timer($REST => sub { Mojo::IOLoop->stop });
        done($self);
    })->watch($told, 1, 0);

    send_next($self, $_) for @people;

    Mojo::IOLoop->start;

    return {
        (map { $_ => $self->{$_} }
             qw(sent acknowledged at_once refused codes)),
        unclear => [sort keys %{ $self->{waiting} }],
        differing => [sort keys %{ $self->{differing} }],
    };
}


sub done {
    my ($self) = @_;

    Mojo::IOLoop->stop if $self->{ending} && !%{ $self->{waiting} };
}


sub send_next {
    my ($self, $who) = @_;

    return done($self) if $self->{ending};

    my $marker = 'key-' . ++$self->{n};
    my $message = {
        who => $who, marker => $marker, to => pick(@{ $self->{people} }),
        body => text($marker),
    };

    $self->{waiting}{$marker} = $message;
    $self->{sent}++;

    # sometimes twice at the same time: only one may be stored
    attempt($self, $message) for 1 .. (chance(0.05) ? 2 : 1);
}


# text MARKER: returns a text, which is sometimes long

sub text {
    my ($marker) = @_;

    return "$marker " . 'x' x (chance(0.05) ? rand 3000 : rand 100) . '.';
}


sub attempt {
    my ($self, $message) = @_;

    my ($who, $marker) = @$message{qw(who marker)};

    $message->{attempts}++;

    my $json = { recipient => $message->{to}, body => $message->{body} };
    my $headers = { Cookie => 'sessionid=' . token($who) };

    # two ways to send the key
    chance(0.5) ? ($json->{client_id} = $marker)
                : ($headers->{'Idempotency-Key'} = $marker);

    # some clients disconnect before the response
    my $patience = chance(0.05) ? between(0.001, 0.3) : $PATIENCE;
    my $begin = time();

    $self->{agent}->request_timeout($patience)->post(
        url('/api/v1/message/') => $headers => json => $json => sub {
            my (undef, $tx) = @_;

            my $error = $tx->error;
            my $code = $error ? $error->{code} // 'none' : $tx->res->code;

            $code = 'hung'
                if $code eq 'none' && $patience == $PATIENCE
                   && time() - $begin > $PATIENCE - 1;

            take_answer($self, $message, $code, $tx->res);
        }
    );
}


sub take_answer {
    my ($self, $message, $code, $res) = @_;

    my $marker = $message->{marker};

    $self->{codes}{$code}++;

    if ($code eq '200' || $code eq '201') {
        my $id = $res->json->{id};
        my $first = $self->{acknowledged}{$marker} //= $id;

        $self->{differing}{$marker} = 1 if $id != $first;
        $self->{at_once}{$marker} = time() if $message->{attempts} == 1;

    } elsif ($code =~ /^5/ || $code !~ /\d/) {
        $self->{refused}{$marker} = '503 without Retry-After'
            if $code eq '503' && !$res->headers->header('Retry-After');

        Mojo::IOLoop->timer(between(0.02, 0.5) => sub {
            attempt($self, $message)
                unless exists $self->{acknowledged}{$marker};
        });
        return;

    } else {
        $self->{refused}{$marker} = $code;
    }

    # of two sends at the same time, the second response is ignored
    return if !delete $self->{waiting}{$marker};

    Mojo::IOLoop->timer(between(0, 0.15) => sub {
        send_next($self, $message->{who});
    });

    done($self);
}


# --- without a key -----------------------------------------------------------

# cutters TOLD, NAME, PEOPLE: complete, partial and pipelined requests, on
# connections that end at some point, without retries.  Returns
#
#   sent            number of complete requests
#   acknowledged    { MARKER => ID }
#   halves          [MARKERS] that must not be stored
#   codes           as above

sub cutters {
    my ($told, $name, @people) = @_;

    my $self = { sent => 0, acknowledged => {}, halves => [], codes => {} };

    for (my $n = 0; !pause($told, between(0, 0.1)); $n++) {
        eval { cut($self, "cut-$name-$n", @people); 1 }
            or $self->{codes}{none}++;
    }

    return $self;
}


sub cut {
    my ($self, $marker, @people) = @_;

    my @markers = ($marker, chance(0.2) ? "$marker-b" : ());
    my @requests = map {
        wire(POST => '/api/v1/message/', as => pick(@people), json =>
             '{"recipient":"' . pick(@people) . '","body":"' . text($_) . '"}')
    } @markers;

    my $socket = dial();

    if (chance(0.3)) {
        my $half = pop @markers;

        push @{ $self->{halves} }, $half;
        $requests[-1] = substr $requests[-1], 0,
                               1 + int rand(length($requests[-1]) - 1);
    }

    $self->{sent} += @markers;

    # in two parts, with a pause between them
    my $bytes = join '', @requests;
    my $at = int rand length $bytes;

    send_all($socket, substr $bytes, 0, $at);
    select undef, undef, undef, between(0, 0.01) if chance(0.5);
    send_all($socket, substr $bytes, $at);

    my $rest = '';

    for my $sent (chance(0.5) ? @markers : ()) {
        my $answer = read_answer($socket, rest => \$rest,
                                 seconds => $PATIENCE);
        my $code = $answer->{code} || ($answer->{closed} ? 'none' : 'hung');

        $self->{codes}{$code}++;
        last if $code =~ /\D/;

        ($self->{acknowledged}{$sent}) = $answer->{body} =~ /"id":(\d+)/
            if $code == 201;
    }

    chance(0.5) ? reset_by_peer($socket) : close $socket;
}


1;
