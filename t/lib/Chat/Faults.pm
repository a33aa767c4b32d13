#
# Copyright (C) ngx_chat contributors
#

package Chat::Faults;

# Assertions that hold for every database fault.
#
#   warm_up();                  opens all connections; puts the session of u1
#                               and a message into the zone
#   all_answered(NAME, N, KIND => CODE, ...)
#                               sends N requests at once, as many of each kind.
#                               Each has this status within the timeout, a 503
#                               has Retry-After, and requests that do not need
#                               the database succeed meanwhile.
#   begin(N, KIND, ...)         sends N requests at once without assertions
#   recovered(NAME)             the module recovers within seconds
#   sound()                     workers are the same, with no more descriptors
#                               and little more memory than after warm_up();
#                               acknowledged messages are stored once
#
# Kinds are the names of %Kinds.  The timeout is that of $Settings, which
# belongs into http {}; with another timeout, set $Limit as well.

use strict;
use warnings;

use Chat;
use Chat::Busy qw(slowness);
use Exporter qw(import);
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(warm_up begin watch all_answered recovered sound);

our $Settings = <<'END';
    chat_db_timeout          1s;
    chat_db_connect_timeout  1s;
    chat_db_connections      2;
    chat_session_check       1h;
END

# seconds: the timeout, and an allowance; more on a busy machine
our $Limit = 3;

# bytes that the heap of a worker may grow by
our $Growth = 2 << 20;

# a user has two running queries, so there are several users

sub anyone { return 'w' . (1 + int rand 12) }

my %Kinds = (
    send => sub {
        my ($text) = @_;

        return request(anyone(), POST => '/api/v1/message/',
                       { recipient => 'u2', body => $text });
    },
    list => sub { request(anyone(), GET => '/api/v1/message/') },
    inbox => sub { request(anyone(), GET => '/api/v1/conversation/') },
    after => sub { request(anyone(), GET => '/api/v1/message/?after=1') },
    login => sub {
        request('', POST => '/api/v1/session/',
                { username => 'u3', password => $Chat::Password });
    },
);

# texts of sends => status of the response
my %sent;
my $number = 0;

# results of warm_up()
my ($message, %before);


# begin N, KINDS: sends N requests at once, of each kind in turn; returns a list
# that receives the responses

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


# burst N, KINDS: the same, and waits for the responses

sub burst {
    my ($n, @kinds) = @_;

    my $answers = begin($n, @kinds);
    wait_until { @$answers == $n };

    return @$answers;
}


# watch ANSWERS, KIND, PROMISE, TEXT: adds the response to ANSWERS

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


# all_answered NAME, N, KIND => CODE, ...: CODE is a pattern

sub all_answered {
    my ($name, $n, %codes) = @_;

    my (@free, @answers);

    # several of each, since there are several workers
    my @paths = ('/up', '/', '/static/app.js', '/login/', '/api/v1/session/',
                 "/api/v1/message/$message/") x 3;

    # while the other requests wait
    Mojo::IOLoop->timer(0.2 => sub {
        watch(\@free, $_, request('u1', GET => $_)) for @paths;
    });

    @answers = burst($n, sort keys %codes);
    wait_until { @free == @paths };

    my @wrong = grep { $_->{code} !~ /^(?:$codes{ $_->{kind} })$/ } @answers;
    my @affected = grep { $_->{code} != 200 } @free;
    my @silent = grep { $_->{code} == 503 && $_->{retry} !~ /^[1-9]\d*$/ }
                      @answers;
    my $limit = $Limit * slowness();
    my @slow = grep { $_->{seconds} > $limit } @answers, @free;

    is(scalar @answers, $n, "$name: all requests are answered");
    is(told(@wrong), '', "$name: with the expected status");
    is(told(@silent), '', "$name: 503 with Retry-After");
    is(told(@slow), '', "$name: within the time limit");
    is(told(@affected), '', "$name: requests without the database succeed");

    return @answers;
}


sub told {
    return join ', ', map { sprintf '%s %d after %.1f s',
                                    @$_{qw(kind code seconds)} } @_;
}


# healthy: returns whether all workers recover within seconds.  A worker without
# a request has not tried to connect since the end of the fault.

sub healthy {
    my $well = 0;

    return wait_until(sub {
        my $good = grep { $_->{code} =~ /^20[01]$/ } burst(16, qw(send list));

        $well = $good == 16 ? $well + 1 : 0;
        return $well == 3;
    }, 10);
}


sub warm_up {
    for my $who (map { "w$_" } 1 .. 12) {
        next if sql('SELECT COUNT(*) FROM chat_user WHERE username = ?', $who);
        sql('INSERT INTO chat_user (username) VALUES (?)', $who);
        add_session($who);
        wait_until { api($who, GET => '/api/v1/session/')->code == 200 };
    }

    ok(healthy(), 'the workers are healthy');

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


# usage PID: returns the number of descriptors, and private memory in bytes,
# since the zone fills up as well

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

    # a connection may take some time to end
    ok(wait_until(sub {
        %now = map { $_ => usage($_) } @pids;
        !grep { $now{$_}{fds} > $before{$_}{fds} } @pids;
    }, 5), 'no more descriptors')
        or diag(explain(\%before, \%now));

    # sanitizers keep freed memory
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

    is("@lost", '', 'no acknowledged message is lost');
    is("@twice", '', 'no message is stored twice');

    my ($count) = sql('SELECT SUM(message_count) FROM chat_conversation');
    my ($messages) = sql('SELECT COUNT(*) FROM chat_message');
    is($count, $messages, 'conversations count all messages');

    %sent = ();
}


1;
