#
# Copyright (C) ngx_chat contributors
#

# Reloads and binary upgrades under load: nginx answers each request that it has
# begun to read, old workers exit, and sockets reconnect and miss nothing.
#
# A client may have to repeat a request on an idle connection that is closed.
# The log, in which each try has a number, must have no line of a try without
# a response.

use Time::HiRes qw(time);

BEGIN {
    # a binary upgrade starts the program by the path nginx was started with
    my ($path) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}),
                                                '/usr/sbin';
    $ENV{TEST_NGINX_BINARY} //= $path;
}

use Test::Nginx::Socket 'no_plan';
use Test::Nginx::Util qw($ServRoot);
use Chat;
use Chat::Client;
use Chat::Proxy;
use Chat::Wire;
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use List::Util qw(max);

our $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $Proxy = Chat::Proxy->new("$dir/db.sock", $ENV{TEST_NGINX_CHAT_SOCKET});

my @people = qw(u1 u2 u3);

# results of all requests

our (@tries, @bad, %stored, %parts, @listeners, %count, $going);


# --- load ------------------------------------------------------------------

sub client {
    my (%option) = @_;

    return Chat::Client->new(address => url('') =~ s{.*//}{}r,
                             tries => \@tries, %option);
}

# ask CLIENT, BYTES, CODES, THEN: sends a request and records the response

sub ask_for {
    my ($client, $bytes, $codes, $then) = @_;

    $count{asked}++;

    $client->ask($bytes, sub {
        my ($answer) = @_;

        $count{answered}++;
        $count{again} += $answer->{retried};

        my ($what) = $bytes =~ /^(.*) HTTP/;
        push @bad, join ' ', "$what:", map { $_ // '' }
                                           @$answer{qw(code why body)}
            unless $answer->{code} =~ /\A(?:$codes)\z/;

        $then->($answer) if $then;
    });
}

# endlessly CLIENT, REQUEST: repeats the requests that REQUEST returns

sub endlessly {
    my ($client, $request) = @_;

    return unless $going;

    my ($bytes, $codes, $then) = $request->();

    ask_for($client, $bytes, $codes, sub {
        $then->(@_) if $then;
        soon(sub { endlessly($client, $request) });
    });
}

sub soon {
    my ($do) = @_;

    Mojo::IOLoop->timer(0.005 + rand 0.03 => $do);
}

# post USER, KEY: returns a send, which sometimes takes several reads

sub post {
    my ($who, $key) = @_;

    my ($to) = grep { $_ ne $who } sort { rand() <=> 0.5 } @people;
    my $text = $key . 'x' x (rand() < 0.3 ? 3900 : 30);

    return wire(POST => '/api/v1/message/', as => $who,
                headers => ["Idempotency-Key: $key"],
                json => qq({"recipient":"$to","body":"$text"}));
}

sub posted {
    my ($key, $answer) = @_;

    $stored{$key} = $1 if ($answer->{body} // '') =~ /\A\{"id":(\d+),/;
}

sub key {
    return 'key-' . ++$count{keys};
}

sub sender {
    my ($who, $keep) = @_;

    endlessly(client(keep => $keep), sub {
        my $key = key();

        # 200: a repeated send that was stored the first time
        return (post($who, $key), '200|201', sub { posted($key, @_) });
    });
}

sub reader {
    my ($who, $keep) = @_;

    endlessly(client(keep => $keep), sub {
        my @ids = values %stored;
        my @paths = (qw(message/ message/?target=u1 message/?after=0&limit=5
                        conversation/ user/),
                     map { "message/$ids[rand @ids]/" } (1 .. 5) x !!@ids);

        return (wire(GET => "/api/v1/$paths[rand @paths]", as => $who),
                # a message between other users is not found
                '200|404');
    });
}

sub guest {
    endlessly(client(), sub {
        return (wire(POST => '/api/v1/session/',
                     json => '{"username":"u4","password":"correct horse"}'),
                200);
    });
}

# A send in two parts: nginx has asked for the body and received half of it.
# finish_parts() sends the rest.

sub in_parts {
    my ($who) = @_;

    return unless $going;

    my $key = key();
    my ($head, $body) = split /(?<=\r\n\r\n)/, post($who, $key);

    my $client = client(keep => 1);

    $client->{go_on} = sub {
        $client->more(substr $body, 0, -20);
        $parts{$key} = sub { $client->more(substr $body, -20) };
    };

    ask_for($client, $head =~ s/\r\n/\r\nExpect: 100-continue\r\n/r, 201, sub {
        delete $parts{$key};
        delete $client->{go_on};
        $client->leave;

        posted($key, @_);
        soon(sub { in_parts($who) });
    });
}

sub finish_parts {
    $_->() for map { delete $parts{$_} } keys %parts;
}


# --- listeners -------------------------------------------------------------

# A socket that reconnects at once when it is closed.  It then catches up, and
# again a second later, as html/static/chat.js does.

sub listener {
    my ($who) = @_;

    my $self = { who => $who, seen => {}, cursor => 0, closed => 0,
                 reader => client(keep => 1) };

    push @listeners, $self;
    listen_on($self);
}

sub listen_on {
    my ($self) = @_;

    my $began = time;

    $self->{socket} = client(
        keep => 1, tries => undef,
        frame => sub {
            $self->{seen}{$1} = 1 if $_[0] =~ /"(\d+)"/;
            $count{frames}++;
        },
        closed => sub {
            $self->{closed}++;
            $self->{open} = 0;
            listen_on($self) if $going;
        });

    ask_for($self->{socket},
        wire(GET => '/ws', as => $self->{who},
             headers => ['Upgrade: websocket', 'Connection: Upgrade',
                         'Sec-WebSocket-Version: 13',
                         'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']),
        101, sub {
            $count{slowest} = max(time - $began, $count{slowest} // 0);
            $self->{open} = 1;

            catch_up($self);
            Mojo::IOLoop->timer(1 => sub { catch_up($self) });
        });
}

sub catch_up {
    my ($self) = @_;

    $self->{again} = 1;
    next_page($self) unless $self->{reader}{then};
}

sub next_page {
    my ($self) = @_;

    $self->{again} = 0;

    ask_for($self->{reader},
        wire(GET => "/api/v1/message/?after=$self->{cursor}&limit=50",
             as => $self->{who}),
        200, sub {
            my ($answer) = @_;

            return if $answer->{code} != 200;

            my $page = decode_json($answer->{body});
            $self->{seen}{ $_->{id} } = 1 for @{ $page->{results} };
            $self->{cursor} = $page->{cursor};

            next_page($self) if $page->{has_more} || $self->{again};
        });
}

# --- steps of a test --------------------------------------------------

sub start_load {
    @tries = @bad = @listeners = ();
    %stored = %parts = %count = ();
    $going = 1;

    listener($_) for @people, @people;

    for my $who (@people) {
        for my $keep (0, 1) {
            sender($who, $keep);
            reader($who, $keep);
            in_parts($who);
        }
    }

    guest();

    ok(wait_until { ready() && keys %stored > 20 }, 'all clients are working');
}

sub ready {
    return !(grep { !$_->{open} } @listeners) && keys %parts == 2 * @people;
}

# replace SLOW, SIGNALS, PIDS: the signals end these workers while sends are
# half received, passwords are checked, and the database is slow if SLOW is true

sub replace {
    my ($slow, $signals, @pids) = @_;

    ok(wait_until { ready() }, 'sends are half received');
    $_->{closed} = 0 for @listeners;

    $Proxy->hold if $slow;
    settle(0.05);

    $signals->();

    my $began = time;

    settle(rand 0.2);
    finish_parts();
    settle(0.1 + rand 0.2);
    $Proxy->pass if $slow;

    ok(wait_until(sub {
        finish_parts();
        !grep { !$_->{open} || !$_->{closed} } @listeners;
    }, 3), 'all sockets have reconnected')
        or diag(join ' ', map { "$_->{who}:open$_->{open}:closed$_->{closed}" }
                              @listeners);
    # less than worker_shutdown_timeout, which does not end them
    ok(wait_until(sub {
        finish_parts();
        !kill 0, @pids;
    }, 4), 'the old workers have exited');

    push @{ $count{ended} }, sprintf '%.1f', time - $began;
}

sub stop_load {
    $going = 0;

    ok(wait_until {
        finish_parts();
        $count{asked} == $count{answered};
    }, 'all requests are answered');

    # sockets find messages without a notification by catching up
    settle(0.5);
    catch_up($_) for @listeners;
    wait_until { $count{asked} == $count{answered} };

    close_all_listeners();
    results();
}

sub close_all_listeners {
    for (@listeners) {
        $_->{socket}->leave;
        $_->{reader}->leave;
    }
}

sub results {
    is(join("\n", @bad), '', 'all responses are as expected')
        or diag(grep { /\[(?:error|crit|alert)\]/ } split /^/, error_log());

    # a request is logged when it has ended
    my %lines;
    wait_until { %lines = logged(); keys %lines >= grep { $_->{code} } @tries };

    my @wrong = grep {
        join(' ', @{ $lines{$_} // [] }) ne ($tries[$_]{code} || '')
    } 0 .. $#tries;

    is(join("\n", map { "$_: $tries[$_]{code}, in the log @{ $lines{$_} // [] }" }
                      @wrong),
       '', 'the log has each response once');
    delete @lines{0 .. $#tries};
    is(join(' ', keys %lines), '', 'the log has no other request');

    my %rows = sql('SELECT client_id, id FROM chat_message');
    is_deeply(\%rows, \%stored, 'each send is stored once');

    for my $self (@listeners) {
        my @missed = grep { !$self->{seen}{$_} }
            sql('SELECT m.id FROM chat_message m
                 JOIN chat_user u ON u.id IN (sender_id, recipient_id)
                 WHERE username = ?', $self->{who});
        is("@missed", '', "a socket of $self->{who} has missed no message");
    }

    diag("$count{asked} requests, $count{again} sent again,"
         . ' ' . keys(%stored) . " messages, $count{frames} frames,"
         . " workers ended after @{ $count{ended} } s");
}

sub logged {
    my %lines;

    open my $log, '<', "$ServRoot/logs/tries.log" or die "tries.log: $!\n";

    while (my $line = <$log>) {
        my ($try, $status, $uri) = split ' ', $line;

        # a socket is logged when it ends, with its first status; the other
        # path is the request of the block
        push @{ $lines{$try} }, $status unless $uri =~ m{^/(?:ws|up)$};
    }

    return %lines;
}

run_tests();


__DATA__

=== ten reloads under load lose nothing
--- change
s{unix:\S+ user}{unix:$main::dir/db.sock user};
--- http
log_format  tries  '$http_x_try $status $uri';
--- server
access_log  logs/tries.log  tries;
--- main_config
worker_shutdown_timeout  10s;
--- then
start_load();

for my $n (1 .. 10) {
    replace($n % 2, sub { kill HUP => master_pid() }, worker_pids());
}

stop_load();


=== two binary upgrades under load lose nothing
--- change
s{unix:\S+ user}{unix:$main::dir/db.sock user};
--- http
log_format  tries  '$http_x_try $status $uri';
--- server
access_log  logs/tries.log  tries;
--- main_config
worker_shutdown_timeout  10s;
--- then
start_load();

for my $n (1 .. 2) {
    my $old = master_pid();
    my @workers = worker_pids();

    kill USR2 => $old;
    ok(wait_until { -s "$ServRoot/logs/nginx.pid" && master_pid() != $old
                     && (() = worker_pids()) == 2 },
       'new workers run beside the old ones');

    # both accept requests for some time
    settle(0.5);
    is(kill(0, $old, @workers), 3, 'the old workers still run');

    replace($n % 2, sub { kill WINCH => $old }, @workers);

    kill QUIT => $old;
    ok(wait_until { !kill 0, $old }, 'the old master has exited');

    # its successors close their sockets, which catch up
    settle(2);
}

stop_load();


=== workers exit together if one receives the reload late
--- then
my ($slow, $other) = worker_pids();

# notifications that the other worker receives reach both
my @sockets = map { web_socket($_) } qw(u1 u2 u3 u1 u2 u3);

stop_worker($slow);
my $begin = time;
kill HUP => master_pid();
ok(wait_until { (() = worker_pids()) == 4 }, 'new workers have started');

# for five seconds, which pass earlier on a busy machine
settle(1);
ok(kill(0, $other) || time - $begin >= 5, 'the other worker waits for it');

kill CONT => $slow;
ok(wait_until(sub { !kill 0, $slow, $other }, 3), 'both have exited');
ok(wait_until { !grep { !$_->{closed} } @sockets }, 'all sockets are closed');
--- no_error_log
[emerg]
exited on signal


=== a worker waits only for a limited time for one that does not respond
--- then
my ($deaf, $other) = worker_pids();

stop_worker($deaf);
kill HUP => master_pid();
ok(wait_until { (() = worker_pids()) == 4 }, 'new workers have started');
ok(wait_until(sub { !kill 0, $other }, 10), 'the other worker exits');

kill CONT => $deaf;
ok(wait_until { !kill 0, $deaf }, 'the stopped worker exits when it continues');


=== an old worker closes its sockets before its last request ends
--- workers: 1
--- then
my $other = connect_db();
message('u1', 'u2', 'hello');
$other->begin_work;
$other->selectall_arrayref('SELECT * FROM chat_conversation FOR UPDATE');

my @streams = (web_socket('u2'), event_source('u2'));
is(join(' ', map { $_->{code} } @streams), '101 200', 'open');
my @polls = map { long_poll($_) } qw(u2 u3);

my $code;
request('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
    ->then(sub { $code = $_[0]->code });
settle();

my @old = worker_pids();
kill HUP => master_pid();

ok(wait_until(sub { !grep { !$_->{closed} } @streams }, 2),
   'the sockets are closed at once');
ok(kill(0, @old), 'the old worker still runs');
is($code, undef, 'its request is not answered yet');

my $socket = web_socket('u2');
is($socket->{code}, 101, 'the new worker accepts sockets');

$other->rollback;
ok(wait_until { defined $code }, 'the request ends');
is($code, 201, 'the message is stored');

my $id = sql("SELECT id FROM chat_message WHERE body = 'x'");
ok(wait_until(sub { "@{ $socket->{frames} }" =~ /"$id"/ }, 5),
   'and published to the new worker');

ok(wait_until { !grep { !$_->{closed} } @polls }, 'long polls end');
is($_->{code}, 410, 'long polls end with 410') for @polls;
