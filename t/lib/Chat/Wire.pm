#
# Copyright (C) ngx_chat contributors
#

package Chat::Wire;

# Requests in wire format, for those that no well-behaved client sends.
#
#   $bytes = wire(METHOD => PATH, OPTIONS)      returns a request
#   $answer = talk($bytes, OPTIONS)             sends it on a new connection
#   $answer = ask($bytes, OPTIONS)              sends it on a kept connection
#
# A response is a hash with "code", "head", "body" and "text", which is all of
# it.  The code is 0 if the connection ended or time expired before.

use strict;
use warnings;

use Chat;
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

our @EXPORT = qw(wire dial send_all talk ask read_answer reset_by_peer
                 frame h2_begin h2_request exits);

# seconds: a response that takes longer is lost
my $limit = 10;

# the kept connection
my $kept;


# wire METHOD => PATH, as => USER, headers => [LINES], version => '1.1',
# json => BYTES, form => BYTES, or type => TYPE with body => BYTES, and
# chunked => 1 for a body without a length

sub wire {
    my ($method, $path, %option) = @_;

    my ($type, $body) = type_and_body(%option);

    my @lines = ("$method $path HTTP/" . ($option{version} // '1.1'),
                 'Host: localhost');

    push @lines, 'Cookie: sessionid=' . token($option{as})
        if length($option{as} // '');
    push @lines, "Content-Type: $type" if defined $type;
    push @lines, @{ $option{headers} // [] };

    if ($option{chunked}) {
        push @lines, 'Transfer-Encoding: chunked';
        $body = sprintf "%x\r\n%s\r\n0\r\n\r\n", length $body, $body;

    } elsif (defined $body) {
        push @lines, 'Content-Length: ' . length $body;
    }

    return join("\r\n", @lines, '', '') . ($body // '');
}


sub type_and_body {
    my (%option) = @_;

    return ('application/json', $option{json}) if defined $option{json};
    return ('application/x-www-form-urlencoded', $option{form})
        if defined $option{form};

    return @option{qw(type body)};
}


sub dial {
    my $socket = IO::Socket::INET->new(PeerAddr => url('') =~ s{.*//}{}r,
                                       Timeout => $limit)
        or die "cannot connect: $@\n";

    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;

    return $socket;
}


# send_all SOCKET, BYTES: returns whether all bytes were sent.  The server may
# have responded and closed the connection before.

sub send_all {
    my ($socket, $bytes) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $end = time() + $limit;
    my $select = IO::Select->new($socket);

    $socket->blocking(0);

    for (my $done = 0; $done < length $bytes; ) {
        my $n = syswrite $socket, $bytes, length($bytes) - $done, $done;

        if (!defined $n) {
            return 0 unless $!{EAGAIN} && $select->can_write($end - time());
            next;
        }

        $done += $n;
    }

    return 1;
}


# read_answer SOCKET, head => 1 (it may never end), method => 'HEAD',
# seconds => N: returns the next response; \$rest keeps the following bytes

sub read_answer {
    my ($socket, %option) = @_;

    my $rest = $option{rest} // \(my $none = '');
    my $end = time() + ($option{seconds} // $limit);
    my $select = IO::Select->new($socket);
    my $closed = 0;

    $socket->blocking(0);

    for ( ;; ) {
        my $answer = parse($rest, $closed, %option);

        return $answer if $answer;
        return { code => 0, head => '', body => '', text => $$rest,
                 closed => $closed }
            if $closed || !$select->can_read($end - time());

        my $n = sysread $socket, $$rest, 65536, length $$rest;
        $closed = 1 if defined $n ? !$n : !$!{EAGAIN};
    }
}


sub parse {
    my ($rest, $closed, %option) = @_;

    # "100 Continue" is not the response
    $$rest =~ s{\AHTTP/1\.1 100 [^\r]*\r\n\r\n}{};

    return unless $$rest =~ m{\A(HTTP/1\.[01] (\d+).*?\r\n)\r\n(.*)}s;

    my ($head, $code, $body) = ($1, $2, $3);
    my ($length, $value);

    if (($option{method} // '') eq 'HEAD' || $option{head}
        || $code =~ /^(1|204|304)/)
    {
        $length = 0;

    } elsif ($head =~ /^Content-Length: (\d+)/mi) {
        $length = $1;

    } elsif ($head =~ /^Transfer-Encoding: chunked/mi) {
        ($length, $value) = unchunk($body);

    } elsif ($closed) {
        $length = length $body;
    }

    return if !defined $length || length $body < $length;

    my $text = substr $$rest, 0, length($head) + 2 + $length, '';

    return { code => $code, head => $head, text => $text,
             body => $value // substr($body, 0, $length) };
}


# unchunk BYTES: returns the length up to the last chunk, and the data

sub unchunk {
    my ($bytes) = @_;

    my $value = '';

    while ($bytes =~ /\G([0-9a-f]+)\r\n/gci) {
        my $n = hex $1;
        my $at = pos $bytes;

        return if length $bytes < $at + $n + 2;
        return ($at + 2, $value) if $n == 0;

        $value .= substr $bytes, $at, $n;
        pos $bytes = $at + $n + 2;
    }

    return;
}


# talk BYTES, shut => 1 (shuts down writing after them), and those of
# read_answer()

sub talk {
    my ($bytes, %option) = @_;

    my $socket = dial();

    send_all($socket, $bytes);
    shutdown $socket, 1 if $option{shut};

    return note($bytes, read_answer($socket, %option), %option);
}


# note BYTES, ANSWER, OPTIONS: records the response if BYTES may be a request,
# unless only its head was read

sub note {
    my ($bytes, $answer, %option) = @_;

    if ($answer->{code} && !$option{head}
        && (my @asked = $bytes =~ m{\A(\S+) (\S+) HTTP/1\.[01]\r\n}))
    {
        answered(@asked, $answer->{code},
                 [$answer->{head} =~ /^([^\s:]+): *(.*)\r$/mg],
                 $answer->{body});
    }

    return $answer;
}


# ask BYTES: fast for many small requests

sub ask {
    my ($bytes, %option) = @_;

    for my $try (1, 2) {
        my $fresh = !$kept;

        $kept //= dial();
        send_all($kept, $bytes);

        my $answer = read_answer($kept, %option);

        # nginx closes a connection after keepalive_requests
        undef $kept
            if !$answer->{code} || $answer->{head} =~ /^Connection: close/mi;

        return note($bytes, $answer, %option) if $answer->{code} || $fresh;
    }
}


sub reset_by_peer {
    for my $socket (@_) {
        setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
        close $socket;
    }
}


# --- HTTP/2 ----------------------------------------------------------------

# frame TYPE, FLAGS, STREAM, PAYLOAD

sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}


# h2_begin: returns the start of a connection

sub h2_begin {
    return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, '');
}


# h2_request STREAM, METHOD => PATH, OPTIONS: as for wire()

sub h2_request {
    my ($stream, $method, $path, %option) = @_;

    my ($type, $body) = type_and_body(%option);

    my @headers = ([':method', $method], [':scheme', 'http'],
                   [':path', $path], [':authority', 'localhost'],
                   map { [lc $1, $2] if /\A([^:]+): *(.*)\z/s }
                       @{ $option{headers} // [] });

    push @headers, ['cookie', 'sessionid=' . token($option{as})]
        if length($option{as} // '');
    push @headers, ['content-type', $type] if defined $type;

    my $block = join '', map { "\0" . h2_string($_->[0]) . h2_string($_->[1]) }
                             @headers;

    return frame(1, defined $body ? 4 : 5, $stream, $block)
           . (defined $body ? frame(0, 1, $stream, $body) : '');
}


# h2_string BYTES: returns them with their length (RFC 7541, 5.1 and 5.2)

sub h2_string {
    my ($bytes) = @_;

    my $length = length $bytes;

    return chr($length) . $bytes if $length < 127;

    my $prefix = "\x7f";

    for ($length -= 127; $length > 127; $length >>= 7) {
        $prefix .= chr($length & 127 | 128);
    }

    return $prefix . chr($length) . $bytes;
}


# --- nginx -----------------------------------------------------------------

# exits: returns the log lines of crashed workers, as a text

sub exits {
    return join '', grep { /exited on signal|\[alert\]|\[emerg\]/ }
                         split /^/, error_log();
}


1;
