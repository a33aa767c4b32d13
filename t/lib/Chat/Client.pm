#
# Copyright (C) ngx_chat contributors
#

package Chat::Client;

# An HTTP client with one connection, in the event loop of Mojo, for tests in
# which servers close connections.  It reports the result of each request.
#
#   $client = Chat::Client->new(address => 'HOST:PORT', OPTIONS)
#   $client->ask(BYTES, sub { my ($answer) = @_; ... })
#   $client->more(BYTES)        sends more of the current request
#   $client->leave              closes the connection, even during a request
#
# Options:
#
#   keep => 1      requests use one connection; without it, each has a new one
#                  and sends "Connection: close"
#   tries => []    gets a hash for each try, with its "code", which is 0 without
#                  a response.  Its index is sent as X-Try, so the log of a
#                  server shows the requests that it has begun to read.
#   go_on => sub   called at "100 Continue"
#   frame => sub, closed => sub
#                  called with the text of each frame, and at the end of the
#                  connection, once a WebSocket is open
#
# A response is a hash with "code", "head", "body", and "retried".  Without a
# response, the code is 0 and "why" has the reason.
#
# A server may close a kept connection while a request is sent.  The request is
# then retried once, on a new connection (RFC 9112, section 9.3.1), if no byte
# of a response was received and the connection was not new.  Sends need an
# Idempotency-Key.

use strict;
use warnings;

use IO::Socket::INET;
use Mojo::IOLoop;
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER);

# seconds: a response that takes longer is lost
my $limit = 20;


sub new {
    my ($class, %option) = @_;

    return bless { %option }, $class;
}


sub ask {
    my ($self, $bytes, $then) = @_;

    die "one request at a time\n" if $self->{then};

    @$self{qw(then bytes retried)} = ($then, $bytes, 0);

    $self->{timer} = reactor()->timer($limit => sub {
        $self->end("no answer in $limit seconds");
    });

    $self->try;
}


sub more {
    my ($self, $bytes) = @_;

    $self->put($bytes) if $self->{then};
}


# leave [RESET]: closes the connection, with a reset if RESET

sub leave {
    my ($self, $reset) = @_;

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)
        if $reset && $self->{socket};

    $self->hang_up;
    $self->done({ code => 0, why => 'left' }) if $self->{then};
}


# --- one try ---------------------------------------------------------------

sub try {
    my ($self) = @_;

    my $bytes = $self->{bytes};

    if ($self->{tries}) {
        push @{ $self->{tries} }, $self->{try} = { code => 0 };
        $bytes =~ s/\r\n/"\r\nX-Try: $#{ $self->{tries} }\r\n"/e;
    }

    $bytes =~ s/\r\n/\r\nConnection: close\r\n/ unless $self->{keep};

    $self->{input} = '';
    $self->{began} = 0;

    $self->{socket} || $self->dial
        or return $self->done({ code => 0, why => "cannot connect: $!" });

    $self->put($bytes);
}


sub dial {
    my ($self) = @_;

    my $socket = $self->{socket} =
        IO::Socket::INET->new(PeerAddr => $self->{address}, Timeout => $limit)
        or return 0;

    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    $socket->blocking(0);
    @$self{qw(used output)} = (0, '');

    reactor()->io($socket => sub {
        my ($reactor, $writable) = @_;

        return unless $self->{socket};

        $writable ? $self->flush : $self->receive;
    })->watch($socket, 1, 0);

    return 1;
}


sub put {
    my ($self, $bytes) = @_;

    return unless $self->{socket};

    $self->{output} .= $bytes;
    $self->flush;
}


# reading reports write errors

sub flush {
    my ($self) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $n = syswrite $self->{socket}, $self->{output};

    if (defined $n) {
        substr $self->{output}, 0, $n, '';

    } elsif (!$!{EAGAIN}) {
        $self->{output} = '';
    }

    reactor()->watch($self->{socket}, 1, length $self->{output} ? 1 : 0);
}


sub receive {
    my ($self) = @_;

    my $n = sysread $self->{socket}, $self->{input}, 65536,
                    length $self->{input};

    if ($n) {
        $self->{open} ? $self->frames : $self->parse;
        return;
    }

    $self->end(defined $n ? 'closed' : "$!") unless !defined $n && $!{EAGAIN};
}


# ends the connection, also after a timeout

sub end {
    my ($self, $why) = @_;

    my $closed = delete $self->{open} && $self->{closed};
    my $again = $self->{then} && $self->{used} && !$self->{began}
                && !length $self->{input} && !$self->{retried}++;

    $self->hang_up;

    if ($again) {
        $self->try;

    } elsif ($self->{then}) {
        $self->done({ code => 0,
                      why => "$why after \"$self->{input}\""
                             . ($self->{began} ? ', begun' : '') });
    }

    $closed->() if $closed;
}


sub hang_up {
    my ($self) = @_;

    my $socket = delete $self->{socket} or return;

    delete $self->{open};
    reactor()->remove($socket);
    close $socket;
}


sub parse {
    my ($self) = @_;

    return unless $self->{then};

    if ($self->{input} =~ s{\AHTTP/1\.1 100 .*?\r\n\r\n}{}s) {
        $self->{began} = 1;
        $self->{go_on}->();
    }

    return unless $self->{input} =~ m{\A(HTTP/1\.1 (\d+) .*?\r\n)\r\n}s;

    my ($head, $code) = ($1, $2);
    my $from = length($head) + 2;
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;

    # all other responses of the module have a length
    $length //= 0 if $code =~ /^(?:101|204)$/;

    return if !defined $length || length $self->{input} < $from + $length;

    my $body = substr $self->{input}, $from, $length;

    substr $self->{input}, 0, $from + $length, '';
    $self->{used}++;
    $self->{open} = 1 if $code == 101;

    $self->hang_up if $head =~ /^Connection: close/mi;

    $self->done({ code => $code, head => $head, body => $body });
    $self->frames if $self->{open};
}


sub done {
    my ($self, $answer) = @_;

    my $then = delete $self->{then};

    reactor()->remove(delete $self->{timer});

    $answer->{retried} = $self->{retried};
    $self->{try}{code} = $answer->{code};

    $then->($answer);
}


# --- WebSocket -------------------------------------------------------------

# short frames, as nchan sends them

sub frames {
    my ($self) = @_;

    while ($self->{open} && length $self->{input} >= 2) {
        my ($type, $length) = unpack 'CC', $self->{input};

        return if length $self->{input} < 2 + $length;

        my $text = substr $self->{input}, 2, $length;
        substr $self->{input}, 0, 2 + $length, '';

        if ($type == 0x81) {
            $self->{frame}->($text);

        } elsif ($type == 0x89) {
            # a mask of zeros does not change the data
            $self->put(pack 'CCN a*', 0x8a, 0x80 | $length, 0, $text);
        }
    }
}


sub reactor {
    return Mojo::IOLoop->singleton->reactor;
}


1;
