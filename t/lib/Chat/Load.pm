#
# Copyright (C) ngx_chat contributors
#

package Chat::Load;

# Simulates all activities of users on a site, at a moderate rate.
#
#   $load = Chat::Load->new(rate => REQUESTS A SECOND, people => [NAMES],
#                           sockets => N)
#   $load->start;           in the event loop of Mojo
#   $load->stop;            returns when all requests are answered
#   $taken = $load->taken;  since the last call: a hash with "requests", "again"
#                           (retried since the connection ended), "errors", "ms"
#                           of each request, from its scheduled time, except for
#                           those that hash a password
#
# The last three users only log in and out and change their passwords.

use strict;
use warnings;

use Chat;
use Chat::Client;
use Chat::Wire qw(wire);
use List::Util qw(max);
use Mojo::IOLoop;
use Time::HiRes qw(time);

# number in a thousand requests, and kind
my @Kinds = (
    [ 300 => \&send ],
    [ 300 => \&read_one ],
    [ 100 => \&read_list ],
    [ 100 => \&inbox ],
    [  60 => \&everybody ],
    [  50 => \&session ],
    [  40 => \&mark_read ],
    [  40 => \&leave_early ],
    [   5 => \&log_in ],
    [   4 => \&wrong ],
    [   1 => \&change_password ],
);

# messages that are read; connections that are kept
my $Known = 5000;
my $Kept = 20;

# simultaneous requests
my $Busy = 50;

# average time that a socket is open, seconds
my $Lives = 30;


sub new {
    my ($class, %option) = @_;

    my $self = bless { %option, idle => [], known => [], busy => 0 }, $class;

    my @people = @{ $self->{people} };
    ($self->{guest}, $self->{wrong}, $self->{changer}) =
        splice @people, -3;
    $self->{people} = \@people;

    $self->taken;

    return $self;
}


sub start {
    my ($self) = @_;

    $self->{going} = 1;
    $self->{sent} = 0;
    $self->{began} = time;

    $self->{timer} = Mojo::IOLoop->recurring(0.01 => sub { $self->tick });

    $self->{listeners} = [ map { $self->listener($_) } 1 .. $self->{sockets} ];
}


sub stop {
    my ($self) = @_;

    $self->{going} = 0;
    Mojo::IOLoop->remove($self->{timer});
    $_->{socket}->leave for @{ $self->{listeners} };

    return wait_until { !$self->{busy} };
}


sub taken {
    my ($self) = @_;

    my $taken = $self->{taken};

    $self->{taken} = { requests => 0, again => 0, errors => [], ms => [] };

    return $taken;
}


# tick: sends all due requests.  A slow request does not delay others, but the
# number of simultaneous requests is limited for a slow machine.

sub tick {
    my ($self) = @_;

    my $now = (time - $self->{began}) * $self->{rate};

    # requests that were due for a second are dropped
    $self->{sent} = int max $self->{sent}, $now - $self->{rate};

    while ($self->{sent} < $now && $self->{busy} < $Busy) {
        my $due = $self->{began} + $self->{sent}++ / $self->{rate};
        my $n = int rand 1000;

        for my $kind (@Kinds) {
            $n -= $kind->[0];
            next if $n >= 0;

            $self->{due} = $due;
            $kind->[1]->($self);
            last;
        }
    }
}


# --- one request -----------------------------------------------------------

sub ask {
    my ($self, $codes, $bytes, $then) = @_;

    my $due = delete $self->{due};

    # some requests use a new connection
    my $client = rand() < 0.2 ? $self->client(keep => 0)
                 : pop @{ $self->{idle} } // $self->client(keep => 1);

    $self->{busy}++;

    $client->ask($bytes, sub {
        my ($answer) = @_;

        $self->{busy}--;

        @{ $self->{idle} } < $Kept ? push @{ $self->{idle} }, $client
                                   : $client->leave
            if $client->{keep};

        $self->note($bytes, $codes, $answer, $due);
        $then->($answer) if $then;
    });
}


sub client {
    my ($self, %option) = @_;

    return Chat::Client->new(address => $self->{address}, %option);
}


sub note {
    my ($self, $bytes, $codes, $answer, $due) = @_;

    my $taken = $self->{taken};

    $taken->{requests}++;
    $taken->{again} += $answer->{retried};
    push @{ $taken->{ms} }, 1000 * (time - $due) if $due;

    return if $answer->{code} =~ /\A(?:$codes)\z/;

    my ($what) = $bytes =~ /^(.*) HTTP/;

    push @{ $taken->{errors} },
         join ' ', "$what:", map { $_ // '' } @$answer{qw(code why body)};
}


sub one_of {
    return $_[rand @_];
}


sub someone {
    my ($self) = @_;

    return one_of(@{ $self->{people} });
}


# --- kinds of requests -----------------------------------------------------

sub send {
    my ($self) = @_;

    my ($from, $to) = ($self->someone, $self->someone);
    my $text = 'x' x (rand() < 0.1 ? 3900 : 20 + rand 100);

    # the key allows retries; one in ten sends is always repeated
    my $key = join '-', $$, ++$self->{keys};
    my $bytes = wire(POST => '/api/v1/message/', as => $from,
                     headers => ["Idempotency-Key: $key"],
                     json => qq({"recipient":"$to","body":"$text"}));
    my $again = rand() < 0.1;

    $self->ask('200|201', $bytes, sub {
        my ($id) = ($_[0]{body} // '') =~ /\A\{"id":(\d+),/ or return;

        $self->{known}[rand $Known] = [$id, $from, $to];
        $self->ask(200, $bytes) if $again;
    });
}


sub known {
    my ($self) = @_;

    return one_of(grep { $_ } @{ $self->{known} }[map { rand $Known } 1 .. 20])
           // [1, $self->{people}[0], $self->{people}[0]];
}


sub read_one {
    my ($self) = @_;

    my ($id, @people) = @{ $self->known };

    # the first message may not be sent yet
    $self->ask($id == 1 ? '200|404' : 200,
               wire(GET => "/api/v1/message/$id/", as => one_of(@people)));
}


sub read_list {
    my ($self) = @_;

    my $to = $self->someone;
    my ($id) = @{ $self->known };

    $self->ask(200, wire(GET => '/api/v1/message/' . one_of(
        '', "?target=$to", "?target=$to&page=last", "?before=$id",
        "?after=$id&limit=20", '?after=latest'
    ), as => $self->someone));
}


sub inbox {
    my ($self) = @_;

    $self->ask(200, wire(GET => '/api/v1/conversation/',
                         as => $self->someone));
}


sub everybody {
    my ($self) = @_;

    $self->ask(200, wire(GET => '/api/v1/user/' . one_of('', '?search=u1'),
                         as => $self->someone));
}


sub session {
    my ($self) = @_;

    $self->ask(200, wire(GET => '/api/v1/session/', as => $self->someone));
}


sub mark_read {
    my ($self) = @_;

    my ($id, $from, $to) = @{ $self->known };

    $self->ask('20\d|404', wire(POST => "/api/v1/conversation/$from/read",
                                as => $to, json => qq({"id":$id})));
}


# leave_early: disconnects after a part of the request or before the response

sub leave_early {
    my ($self) = @_;

    my $bytes = one_of(
        wire(POST => '/api/v1/message/', as => $self->someone,
             json => '{"recipient":"' . $self->someone . '","body":"left"}'),
        wire(GET => '/api/v1/conversation/', as => $self->someone));

    $bytes = substr $bytes, 0, rand length $bytes if rand() < 0.5;

    my $client = $self->client(keep => 1);

    $client->ask($bytes, sub { });
    Mojo::IOLoop->timer(rand 0.02 => sub { $client->leave(rand() < 0.5) });
}


sub login {
    my ($who, $password) = @_;

    return wire(POST => '/api/v1/session/',
                json => qq({"username":"$who","password":"$password"}));
}


# log_in: logs in, and out again some seconds later

sub log_in {
    my ($self) = @_;

    delete $self->{due};

    $self->ask(200, login($self->{guest}, $Chat::Password), sub {
        my ($token) = ($_[0]{head} // '') =~ /sessionid=([^;]+)/ or return;
        my @with = (headers => ["Cookie: sessionid=$token"]);

        Mojo::IOLoop->timer(1 + rand 4 => sub {
            $self->ask(200, wire(GET => '/api/v1/message/', @with), sub {
                $self->ask(204, wire(DELETE => '/api/v1/session/', @with));
            });
        });
    });
}


# wrong: tries a wrong password, rarely enough not to be throttled forever

sub wrong {
    my ($self) = @_;

    return if time < ($self->{next_wrong} // 0);

    $self->{next_wrong} = time + 10;
    delete $self->{due};

    $self->ask('403|429', login($self->{wrong}, 'a guess'));
}


# change_password: uses a new connection, since a retry would fail

sub change_password {
    my ($self) = @_;

    my $client = $self->client;
    my @passwords = @$self{qw(password next_password)};

    return if $self->{changing};

    $self->{changing} = 1;
    @passwords = ($Chat::Password, 'another horse') unless $passwords[0];

    my $bytes = wire(POST => '/api/v1/password/', as => $self->{changer},
                     json => sprintf '{"old_password":"%s",'
                                     . '"new_password":"%s"}', @passwords);

    $self->{busy}++;
    $client->ask($bytes, sub {
        my ($answer) = @_;

        $self->{busy}--;
        $self->{changing} = 0;
        @$self{qw(next_password password)} = @passwords
            if $answer->{code} == 204;
        $self->note($bytes, 204, $answer);
    });
}


# --- sockets ---------------------------------------------------------------

sub listener {
    my ($self, $n) = @_;

    my $listener = { who => $self->{people}[$n % @{ $self->{people} }] };

    Mojo::IOLoop->timer(rand 5 => sub { $self->connect_listener($listener) });

    return $listener;
}


sub connect_listener {
    my ($self, $listener) = @_;

    return unless $self->{going};

    my $later = sub {
        $listener->{open} = 0;
        Mojo::IOLoop->timer(rand 0.5 => sub {
            $self->connect_listener($listener);
        });
    };

    my $socket = $listener->{socket} = $self->client(
        keep => 1, closed => $later, frame => sub { $self->{frames}++ });

    my $bytes = wire(GET => '/ws', as => $listener->{who}, headers => [
        'Upgrade: websocket', 'Connection: Upgrade',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']);

    $socket->ask($bytes, sub {
        my ($answer) = @_;

        return if !$self->{going};

        $self->note($bytes, 101, $answer);
        return $later->() if $answer->{code} != 101;

        $listener->{open} = 1;
        $self->ask(200, wire(GET => '/api/v1/message/?after=latest',
                             as => $listener->{who}));

        Mojo::IOLoop->timer(-$Lives * log(1 - rand) => sub {
            return unless $socket->{socket} && $self->{going};

            $socket->leave(rand() < 0.3);
            $later->();
        });
    });
}


sub open_sockets {
    my ($self) = @_;

    return scalar grep { $_->{open} } @{ $self->{listeners} };
}


1;
