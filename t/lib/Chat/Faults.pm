#
# Copyright (C) ngx_chat contributors
#

package Chat::Faults;

# What must hold whatever becomes of the database.
#
#   warm_up();                  all connections are open, u1's session and a
#                               message are in the zone
#   all_answered(NAME, N, KIND => CODE, ...)
#                               N requests at once, as many of each kind: each
#                               has this status, within the time-out, a 503 has
#                               Retry-After, and what needs no database is
#                               served meanwhile
#   begin(N, KIND, ...)         N requests at once, and nothing said of them
#   recovered(NAME)             all is well again, within seconds
#   sound()                     the same workers, with no more descriptors and
#                               little more memory than after warm_up(); what
#                               was acknowledged is stored, once
#
# Kinds are the names of %Kinds.  The time-out is that of $Settings, which goes
# into http {}; with another one $Limit is another, too.

use strict;
use warnings;

use Chat;
use Exporter qw(import);
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(warm_up begin all_answered recovered sound);

our $Settings = <<'END';
    chat_db_timeout          1s;
    chat_db_connect_timeout  1s;
    chat_db_connections      2;
    chat_session_check       1h;
END

# seconds: the time-out, and the machine's leisure
our $Limit = 3;

# bytes that a worker may grow by, its heap being as it is
our $Growth = 2 << 20;

my %Kinds = (
    send => sub {
        my ($text) = @_;

        return request('u1', POST => '/api/v1/message/',
                       { recipient => 'u2', body => $text });
    },
    list => sub { request('u1', GET => '/api/v1/message/') },
    inbox => sub { request('u1', GET => '/api/v1/conversation/') },
    after => sub { request('u1', GET => '/api/v1/message/?after=1') },
    login => sub {
        request('', POST => '/api/v1/session/',
                { username => 'u3', password => $Chat::Password });
    },
);

# texts that were sent => the status of the answer
my %sent;
my $number = 0;

# what warm_up() found
my ($message, %before);


# begin N, KINDS: N requests at once, taking the kinds in turn; the list that
# their answers will be in

sub begin {
    my ($n, @kinds) = @_;

    my $answers = [];

    for my $i (0 .. $n - 1) {
        my $kind = $kinds[$i % @kinds];
        my $text = 'text ' . ++$number;

        watch($answers, $kind, $Kinds{$kind}->($text), $text);
    }

    return $answers;
}


# burst N, KINDS: the same, and waits for the answers

sub burst {
    my ($n, @kinds) = @_;

    my $answers = begin($n, @kinds);
    wait_until { @$answers == $n };

    return @$answers;
}


# watch ANSWERS, KIND, PROMISE, TEXT: the answer joins them

sub watch {
    my ($answers, $kind, $promise, $text) = @_;

    my $begin = time;

    my $done = sub {
        my ($code, $retry) = @_;

        $sent{$text} = $code if $kind eq 'send';
        push @$answers, { kind => $kind, code => $code, retry => $retry // '',
                          seconds => time - $begin };
    };

    $promise->then(
        sub { $done->($_[0]->code, $_[0]->headers->header('Retry-After')) },
        sub { $done->(0) },
    );
}


# all_answered NAME, N, KIND => CODE, ...: codes are patterns

sub all_answered {
    my ($name, $n, %codes) = @_;

    my (@free, @answers);

    # of each several, since there are several workers
    my @paths = ('/up', '/', '/static/app.js', '/login/', '/api/v1/session/',
                 "/api/v1/message/$message/") x 3;

    # while the others wait
    Mojo::IOLoop->timer(0.2 => sub {
        watch(\@free, $_, request('u1', GET => $_)) for @paths;
    });

    @answers = burst($n, sort keys %codes);
    wait_until { @free == @paths };

    my @wrong = grep { $_->{code} !~ /^(?:$codes{ $_->{kind} })$/ } @answers;
    my @affected = grep { $_->{code} != 200 } @free;
    my @silent = grep { $_->{code} == 503 && $_->{retry} !~ /^[1-9]\d*$/ }
                      @answers;
    my @slow = grep { $_->{seconds} > $Limit } @answers, @free;

    is(scalar @answers, $n, "$name: all are answered");
    is(told(@wrong), '', "$name: as they should be");
    is(told(@silent), '', "$name: 503 with Retry-After");
    is(told(@slow), '', "$name: in time");
    is(told(@affected), '', "$name: what needs no database is served");

    return @answers;
}


sub told {
    return join ', ', map { sprintf '%s %d after %.1f s',
                                    @$_{qw(kind code seconds)} } @_;
}


# healthy: whether all workers are so within seconds.  None may have tried since
# the fault was over, and some have got nothing to try yet.

sub healthy {
    my $well = 0;

    return wait_until(sub {
        my $good = grep { $_->{code} =~ /^20[01]$/ } burst(16, qw(send list));

        $well = $good == 16 ? $well + 1 : 0;
        return $well == 3;
    }, 10);
}


sub warm_up {
    ok(healthy(), 'healthy');

    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'cached' });
    is($res->code, 201, 'a message is sent');
    $message = $res->json->{id};

    my @pids = worker_pids();
    my $connections = 2 * @pids;

    ok(wait_until {
        burst(24, sort keys %Kinds);
        $connections == sql("SELECT COUNT(*)
                             FROM information_schema.processlist
                             WHERE user = 'chat'");
    }, 'all connections are open');

    all_answered('warm', 24, map { $_ => '200|201' } sort keys %Kinds);

    %before = map { $_ => usage($_) } @pids;
}


sub recovered {
    my ($name) = @_;

    ok(healthy(), "$name: healthy within seconds");
    all_answered("$name, afterwards", 24, send => 201, list => 200,
                 inbox => 200);
}


# usage PID: descriptors, and bytes of its own, for the zone fills up as well

sub usage {
    my ($pid) = @_;

    opendir my $dir, "/proc/$pid/fd" or return { };
    my $fds = grep { /^\d/ } readdir $dir;

    open my $file, '<', "/proc/$pid/status" or return { };
    my ($rss) = join('', <$file>) =~ /^RssAnon:\s+(\d+) kB/m;

    return { fds => $fds, rss => $rss << 10 };
}


sub sound {
    my @pids = worker_pids();
    my %now;

    is("@pids", join(' ', sort { $a <=> $b } keys %before),
                   'the same workers');

    # a connection may take a moment to end
    ok(wait_until(sub {
        %now = map { $_ => usage($_) } @pids;
        !grep { $now{$_}{fds} > $before{$_}{fds} } @pids;
    }, 5), 'no more descriptors')
        or diag(explain(\%before, \%now));

    # sanitizers keep what was freed
    if (!$ENV{ASAN_OPTIONS}) {
        for my $pid (@pids) {
            cmp_ok($now{$pid}{rss} - $before{$pid}{rss}, '<',
                               $Growth, 'little more memory');
        }
    }

    my %stored;
    $stored{$_}++ for sql("SELECT body FROM chat_message
                           WHERE body LIKE 'text %'");

    my @lost = grep { $sent{$_} == 201 && !$stored{$_} } keys %sent;
    my @twice = grep { $stored{$_} > 1 } keys %stored;

    is("@lost", '', 'nothing acknowledged is lost');
    is("@twice", '', 'nothing is stored twice');

    my ($count) = sql('SELECT SUM(message_count) FROM chat_conversation');
    my ($messages) = sql('SELECT COUNT(*) FROM chat_message');
    is($count, $messages, 'conversations count what there is');

    %sent = ();
}


1;
