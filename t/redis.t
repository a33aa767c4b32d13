#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# chat_redis with a Redis server that is stopped or slow, with a password, and
# with TLS: a message that one host stores is notified by the others, or their
# clients catch up.  t/several_hosts.t has the other faults.

use strict;
use warnings;

use Chat::Hosts;
use Test::More;

my $why;

BEGIN {
    $why = Chat::Hosts->missing;
    plan(skip_all => $why) if $why;

    $SIG{INT} = $SIG{TERM} = sub { exit 1 };
    Chat::Hosts->enter;
}

use Chat;
use Chat::Busy qw(slowness);
use File::Temp qw(tempdir);
use Time::HiRes qw(time);

my $dir = "$ENV{CHAT_RUN}/redis";
my $files = tempdir(CLEANUP => 1);

# for immediate effects, on a busy machine
sub grace { return 2 * slowness() }

Chat::reset_tables();


# host N, REDIS, [BROKEN]: returns a running host that is connected to Redis, or
# one that is not started

sub host {
    my ($n, $redis, $broken) = @_;

    my ($http, $server) = Chat::example();
    my $host = Chat::Host->new($n, "$dir/$n");

    # metrics are read from another address
    $server =~ s/\bdeny\s+all;// or die "no status location\n";

    $host->configure($redis, $http, $server);

    return $host if $broken;

    $host->start_nginx;
    return $host;
}


sub post {
    my ($host, $body) = @_;

    my $sent = at($host, sub {
        api('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => $body }, Connection => 'close')
    });

    is($sent->code, 201, "sent on host $host->{n}: $body");

    return $sent->json->{id};
}


sub sockets {
    my ($host, $n) = @_;

    my @sockets = at($host, sub { map { web_socket('u2') } 1 .. $n });

    is(join(' ', map { $_->{code} } @sockets), join(' ', (101) x $n),
       "sockets on host $host->{n}");

    return @sockets;
}


sub told {
    my ($id, $seconds, @sockets) = @_;

    my $text = qq({"message": "$id"});

    return wait_until(sub {
        !grep { !grep { $_ eq $text } @{ $_->{frames} } } @sockets
    }, $seconds);
}


# all_closed SECONDS, SOCKETS: returns whether they are closed, after the last
# resync

sub all_closed {
    my ($seconds, @sockets) = @_;

    wait_until(sub { !grep { !$_->{closed} } @sockets }, $seconds) or return 0;

    # each worker may request a resync, which waits for up to a second
    settle(2.5);

    return 1;
}


# metric HOST, NAME

sub metric {
    my ($host, $name) = @_;

    return at($host, sub { api('', GET => '/chat/status') })->json->{$name};
}


sub put {
    my ($name, $text) = @_;

    open my $out, '>', "$files/$name" or die "$files/$name: $!\n";
    print $out $text;
    close $out;
    chmod 0600, "$files/$name";

    return "$files/$name";
}


# --- records ---------------------------------------------------------------

my $redis = Chat::Redis->new;
my @hosts = map { host($_, $redis) } 1 .. 3;
my ($one, $two, $three) = @hosts;

{
    my @sockets = map { sockets($_, 4) } @hosts;

    my @ids = map { post($hosts[$_ % 3], "message $_") } 0 .. 29;

    is(scalar(grep { !told($_, grace(), @sockets) } @ids), 0,
       'each socket of each host is notified');
    is(join(' ', map { scalar @{ $_->{frames} } } @sockets),
       join(' ', (30) x @sockets), 'once');

    my $records = metric($one, 'redis_records');

    is($records->{published}, 10, 'published records are counted');
    cmp_ok($records->{received}, '>=', 20, 'received ones, by each worker');
    is($records->{dropped}, 0, 'none was dropped');
    is(metric($one, 'redis_connections'),
       2 * scalar($one->workers($one->master)), 'two connections per worker');

    # subscriptions
    my ($user) = sql("SELECT id FROM chat_user WHERE username = 'u2'");
    my @workers = map { $_->workers($_->master) } @hosts;

    like($redis->ask('PUBSUB NUMSUB chat:resync'),
         qr/^chat:resync\s+@{[ scalar @workers ]}$/,
         'all workers subscribe to resyncs');
    cmp_ok($redis->ask("PUBSUB NUMSUB chat:$user") =~ s/.*\s//sr, '>=', 3,
           'those with sockets subscribe to the user');

    # texts that are no records
    for my $text ('', 'x' x 900, '{}', '1:0123456789abcdef',
                  "1:0123456789abcdef:1:$user:$user",
                  "1:0123456789abcdef:2:$user:$user:1",
                  "1:0123456789abcdef:1:4000000000:4000000001:1",
                  "2:0123456789abcdef:1:$user:$user:1")
    {
        $redis->ask("PUBLISH chat:$user '$text'");
    }

    my $id = post($two, 'after invalid texts');

    ok(told($id, grace(), @sockets), 'other texts are ignored');
    is(scalar(grep { @{ $_->{frames} } != 31 } @sockets), 0, 'without effect');
    ok(!(grep { $_->{closed} } @sockets), 'all sockets stay open');

    # a resync of another host
    $redis->ask('PUBLISH chat:resync 1:0123456789abcdef');
    ok(all_closed(2 + grace(), @sockets), 'a resync closes all sockets');

    ok(wait_until(sub {
        $redis->ask("PUBSUB NUMSUB chat:$user") =~ /\s0$/
    }, grace()), 'workers without sockets do not subscribe to the user');
}


# --- events ----------------------------------------------------------------

# Redis has no texts of messages: other hosts read them from the database

{
    my @sockets = map { my $host = $_;
                        map { at($host, sub { web_socket('u2',
                                                     path => '/events') }) }
                            1 .. 4 } @hosts;
    my @own = @sockets[0 .. 3];
    my @others = @sockets[4 .. 11];

    # seen TYPE, SOCKETS: returns whether it is the last event of all

    my $seen = sub {
        my ($type, @of) = @_;

        return wait_until(sub {
            !grep { ($_->{frames}[-1] // '') !~ /^\{"type":"$type"/ } @of
        }, grace());
    };

    my $change = sub {
        my ($method, $path, $json) = @_;

        return at($one, sub { api('u1', $method => "/api/v1/$path", $json) });
    };

    is($change->(POST => 'conversation/u2/typing/')->code, 204, 'typing');
    ok($seen->('typing', @sockets), 'is an event on all hosts');

    # same SOCKETS: returns whether their last events have the same text

    my $same = sub {
        my %texts = map { $_->{frames}[-1] => 1 } @_;

        return keys %texts == 1;
    };

    my $id = post($one, 'an event');

    ok($seen->('message', @sockets), 'a message is an event on all hosts');
    ok($same->(@sockets), 'the same one');
    like($others[0]{frames}[-1], qr/"id":$id,.*"body":"an event"/, 'complete');

    my $long = "\x{1}" x 4000;

    is($change->(PATCH => "message/$id/", { body => $long })->code, 200,
       'edited');
    ok($seen->('edited', @sockets), 'an event on all hosts');
    ok($same->(@sockets), 'the same one');
    like($others[0]{frames}[-1], qr/"body":"(?:\\u0001){4000}"/, 'complete');

    is($change->(DELETE => "message/$id/")->code, 204, 'deleted');
    ok($seen->('deleted', @sockets), 'an event on all hosts');
    ok(!(grep { $_->{closed} } @sockets), 'all sockets stay open');

    $redis->ask('PUBLISH chat:resync 1:0123456789abcdef');
    ok($seen->('resync', @sockets), 'a resync is an event');
    settle(1.2);    # each worker waits for up to a second
    ok(!(grep { $_->{closed} } @sockets), 'which closes no socket');

    Chat::close_all(@sockets);
}


# --- presence --------------------------------------------------------------

# of users with sockets on other hosts

{
    my ($id) = at($one, sub { api('u1', POST => '/api/v1/message/',
                 { recipient => 'u2', body => 'partner' }) });
    is($id->code, 201, 'a conversation');

    my $partner = at($one, sub { web_socket('u1', path => '/events') });
    my $online = sub {
        my ($state) = @_;

        return wait_until(sub {
            ($partner->{frames}[-1] // '')
                =~ /"presence","user":"u2","online":$state/
        }, 18 + grace());
    };

    settle(16);    # after earlier sockets of this user
    my ($socket) = at($two, sub { web_socket('u2') });

    ok($online->('true'), 'an event on another host');
    is(scalar(grep { /"presence"/ && /"u2"/ && /true/ }
                   @{ $partner->{frames} }), 1, 'once');

    my $listed = sub {
        my ($page) = at($_[0], sub { api('u1',
                            GET => '/api/v1/user/?search=u2&limit=1') })->json;

        return $page->{results}[0]{online} ? 1 : 0;
    };

    is(join('', map { $listed->($_) } @hosts), '111', 'online on each host');

    Chat::close_all($socket);
    ok($online->('false'), 'an event after the last socket');
    is(join('', map { $listed->($_) } $one, $two), '00', 'offline');

    Chat::close_all($partner);
}


# --- Redis does not answer -------------------------------------------------

{
    my @sockets = map { sockets($_, 4) } @hosts;

    $redis->signal('STOP');
    my $begin = time;

    my $id = post($one, 'Redis is stopped');

    ok(told($id, grace(), @sockets[0 .. 3]), 'its own sockets are notified');

    ok(wait_until(sub { !grep { $_->with_redis } @hosts }, 6 + grace()),
       'all workers detect it');
    note(sprintf 'after %.1f s', time - $begin);

    my $connect = time;
    my @late = map { sockets($_, 1) } @hosts;

    cmp_ok(time - $connect, '<', 3 * (1 + grace()),
           'handshakes wait for a second');

    ok(!(grep { $_->{closed} } @sockets, @late), 'all sockets stay open');

    $redis->signal('CONT');

    ok($_->wait_redis(4 + grace()), "host $_->{n} has Redis again") for @hosts;
    ok(all_closed(2 + grace(), @sockets, @late), 'all clients catch up');

    cmp_ok(metric($one, 'redis_resyncs')->{sent}, '>=', 1,
           'the sender requests it');

    @sockets = map { sockets($_, 4) } @hosts;
    $id = post($three, 'Redis is back');

    ok(told($id, grace(), @sockets), 'all sockets are notified');
    Chat::close_all(@sockets);
}


# --- one connection is lost ------------------------------------------------

# lose HOST, SUBSCRIBED: closes the connections of a host that subscribe, or
# those that publish

sub lose {
    my ($host, $subscribed) = @_;

    for (split /\n/, $redis->ask('CLIENT LIST')) {
        my ($id) = /^id=(\d+) addr=\Q$host->{address}\E:/ or next;

        $redis->ask("CLIENT KILL ID $id") if $subscribed == !/ sub=0 /;
    }
}

SKIP: {
    skip 'addresses of one host are the same for Redis', 1
        if !Chat::Hosts::spaces();

    my %sockets = map { $_->{n} => [sockets($_, 4)] } @hosts;
    my @others = map { @{ $sockets{ $_->{n} } } } $two, $three;

    lose($one, 1);

    ok(all_closed(2 + grace(), @{ $sockets{1} }),
       'without subscriptions, the clients of the host catch up');
    ok(!(grep { $_->{closed} } @others), 'those of other hosts do not');

    $sockets{1} = [sockets($one, 4)];

    ok(told(post($two, 'subscribed again'), grace(), @{ $sockets{1} }, @others),
       'all sockets are notified');

    post($one, "sent just before, $_") for 1 .. 8;
    lose($one, 0);

    ok(all_closed(2 + grace(), @others),
       'if records may be lost, the clients of the other hosts catch up');
    ok(!(grep { $_->{closed} } @{ $sockets{1} }), 'those of the host do not');

    @others = map { sockets($_, 4) } $two, $three;

    ok(told(post($one, 'published again'), grace(), @{ $sockets{1} }, @others),
       'all sockets are notified');

    Chat::close_all(@{ $sockets{1} }, @others);
}


# --- a reload --------------------------------------------------------------

# under load: the other hosts receive all messages, without a resync

{
    my @others = map { sockets($_, 4) } $two, $three;
    my ($n, @ids, @failed) = (0);

    my $sender = Mojo::IOLoop->recurring(0.005 => sub {
        at($one, sub {
            request('u1', POST => '/api/v1/message/',
                    { recipient => 'u2', body => 'load ' . ++$n },
                    Connection => 'close')
        })->then(sub {
            my ($res) = @_;

            return push @failed, $res->code if ($res->code // 0) != 201;
            push @ids, $res->json->{id};
        }, sub { push @failed, $_[0] });
    });

    for (1 .. 3) {
        settle(0.7);
        kill HUP => $one->master;
    }

    settle(1);
    Mojo::IOLoop->remove($sender);
    ok(wait_until(sub { @ids + @failed == $n }, 10), "$n sends have ended");

    is("@failed", '', 'all succeed');
    is(scalar(grep { !told($_, grace(), @others) } @ids), 0,
       'the other hosts are notified of all messages');
    ok(!(grep { $_->{closed} } @others), 'without a resync');

    Chat::close_all(@others);
}


# --- a worker exits before its record is published --------------------------

{
    my @others = map { sockets($_, 2) } $two, $three;
    my @old = $one->workers($one->master);

    $redis->ask('ACL SETUSER default -publish');
    post($one, 'not published');

    kill HUP => $one->master;
    ok(wait_until(sub { !grep { Chat::Site::alive($_) } @old }, 20),
       'the worker has exited');
    ok(!(grep { $_->{closed} } @others), 'other hosts do not know');

    $redis->ask('ACL SETUSER default +publish');
    ok(all_closed(4 + grace(), @others), 'another worker makes clients catch up');
}


# --- Redis is started after nginx ------------------------------------------

# A worker holds records until it is connected for the first time.  Redis counts
# two publishes per message, for sender and recipient.

for my $case ([9, 3], [10, 3000]) {
    my ($n, $messages) = @$case;

    my $late = Chat::Redis->new;
    my $host = host($n, $late, 'not started');

    $late->end;
    $host->Chat::Site::start_nginx;

    my ($begun, $ended, $stored) = (0, 0, 0);

    my $send;
    $send = sub {
        return if ++$begun > $messages;

        at($host, sub {
            request('u1', POST => '/api/v1/message/',
                    { recipient => 'u2', body => "held $begun" })
        })->then(sub { $stored++ if $_[0]->code == 201 })
          ->finally(sub { $ended++; $send->() });
    };

    $send->() for 1 .. 20;
    ok(wait_until(sub { $ended == $messages }, 30 * grace()),
       "$messages sends end without Redis");
    is($stored, $messages, 'and are stored');
    undef $send;

    my $dropped = metric($host, 'redis_records')->{dropped};

    $late->start;
    ok($host->wait_redis(4 + grace()), 'Redis is there');

    my $published = sub {
        return $late->ask('INFO commandstats') =~ /cmdstat_publish:calls=(\d+)/
               ? $1 : 0;
    };

    if ($messages < 10) {
        is($dropped, 0, 'no record is dropped');
        ok(wait_until(sub { $published->() == 2 * $messages }, grace()),
           'the records are published');
        is(metric($host, 'redis_resyncs')->{sent}, 0, 'without a resync');

    } else {
        cmp_ok($dropped, '>', 0, 'records are dropped');
        ok(wait_until(sub { metric($host, 'redis_resyncs')->{sent} > 0 },
                      grace()),
           'clients of other hosts catch up');
        cmp_ok($published->(), '<', $messages, 'instead');
    }

    $host->end;
}


# --- an old subscription ends, a new one begins ----------------------------

# quickly, while the commands are still on the way

for my $round (1 .. 10) {
    my ($old) = at($two, sub { web_socket('u2') });
    Chat::close_all($old);

    my ($new) = at($two, sub { web_socket('u2') });
    my $id = post($one, "round $round");

    ok(told($id, grace(), $new), 'a new socket is notified at once');
    Chat::close_all($new);
}


# --- Redis is slow ---------------------------------------------------------

# it executes commands every 0.8 seconds only

{
    my @sockets = map { sockets($_, 2) } @hosts;
    my $slow = fork // die "fork: $!\n";

    if ($slow == 0) {
        $redis->ask('CLIENT PAUSE 800 ALL') while 1;
    }

    settle(1);

    my @ids = map { post($hosts[$_ % 3], "slow $_") } 0 .. 29;

    is(scalar(grep { !told($_, 4 + grace(), @sockets) } @ids), 0,
       'all sockets are notified by a slow Redis');

    settle(4);

    ok(!(grep { $_->{closed} } @sockets), 'and stay open');
    is(scalar(grep { $_->with_redis != $_->workers($_->master) } @hosts), 0,
       'no connection is lost');

    kill KILL => $slow;
    waitpid $slow, 0;
    Chat::close_all(@sockets);
    $redis->ask('CLIENT UNPAUSE');
}


# --- a password ------------------------------------------------------------

{
    my $secret = 'a "long" secret $1 {}';
    my $locked = Chat::Redis->new(requirepass => $secret);

    put('right', "$secret\n");
    put('wrong', "another\n");

    $locked->{parameters} = "password_file=$files/right";
    my $right = host(4, $locked);

    my ($socket) = sockets($right, 1);

    for my $case ([5, wrong => 'WRONGPASS'], [8, none => 'NOAUTH']) {
        my ($n, $name, $error) = @$case;

        $locked->{parameters} = $name eq 'none' ? ''
                                : "password_file=$files/$name";

        my $host = host($n, $locked, 'broken');
        $host->Chat::Site::start_nginx;

        ok(wait_until(sub {
            $host->error_log =~ /returned the error $error .*password_file=/
        }, 3 + grace()), "$name: the error log names the error");

        is(scalar($host->with_redis), 0, 'the host has no Redis');
        post($host, 'sends succeed');
        ok(!@{ $socket->{frames} }, 'the other host is not notified');

        unlike($host->error_log, qr/another|\Q$secret\E/,
               'the log has no password');

        $host->end;
    }

    Chat::close_all($socket);
    $right->end;
}


# --- TLS -------------------------------------------------------------------

# certificate NAME, AUTHORITY, NAMES: creates the files NAME.pem and NAME.key

sub certificate {
    my ($name, $ca, $names) = @_;

    my $new = "openssl req -newkey rsa:2048 -nodes -days 2 -subj /CN=$name"
              . " -keyout $files/$name.key";
    my $command = $ca
        ? "$new -out $files/$name.csr && openssl x509 -req -days 2"
          . " -in $files/$name.csr -CA $files/$ca.pem -CAkey $files/$ca.key"
          . " -CAcreateserial -extfile " . put("$name.ext", $names)
          . " -out $files/$name.pem"
        : "$new -x509 -out $files/$name.pem";

    system("($command) 2>/dev/null") == 0 or die "openssl: $command\n";
}

{
    my $own = 'subjectAltName=' . join ',', map { 'IP:'
                                                  . Chat::Hosts::address($_) }
                                                100 .. 110;

    certificate($_) for qw(ca foreign);
    certificate('good', 'ca', $own);
    certificate('stranger', 'foreign', $own);
    certificate('name', 'ca', 'subjectAltName=DNS:redis.example.org');

    my $redis = Chat::Redis->new(
        'tls-port' => Chat::Site::free_port(), 'tls-auth-clients' => 'no',
        'tls-cert-file' => "$files/good.pem",
        'tls-key-file' => "$files/good.key",
        'tls-ca-cert-file' => "$files/ca.pem",
        requirepass => 'secret');

    $redis->{parameters} = "tls=on tls_ca=$files/ca.pem password_file="
                           . put('secret', "secret\n");

    my ($first, $second) = map { host($_, $redis) } 6, 7;
    my @sockets = map { sockets($_, 2) } $first, $second;

    ok(told(post($first, 'by TLS'), grace(), @sockets),
       'hosts are connected by TLS');

    my @all = ($first, $second);
    my %reason = (stranger => qr/self.signed certificate in/,
                  name => qr/IP address mismatch/);

    for my $name (qw(stranger name)) {
        my $before = length $first->error_log;

        $redis->end;
        $redis->{settings}{"tls-$_-file"} = "$files/$name."
            . ($_ eq 'cert' ? 'pem' : 'key') for qw(cert key);
        $redis->{settings}{'tls-ca-cert-file'} =
            $name eq 'stranger' ? "$files/foreign.pem" : "$files/ca.pem";
        $redis->start;

        ok(wait_until(sub {
            substr($first->error_log, $before)
                =~ /cannot connect to .*: $reason{$name}/
        }, 4 + grace()), "a wrong certificate is rejected: $name");

        settle(1);
        is(scalar(map { $_->with_redis } @all), 0, 'no host is connected');
        is(scalar(grep { /cmd=(?:auth|ping|subscribe)/ }
                       split /\n/, $redis->ask('CLIENT LIST')), 0,
           'the server gets no command');
    }

    $redis->end;
    $redis->{settings}{'tls-cert-file'} = "$files/good.pem";
    $redis->{settings}{'tls-key-file'} = "$files/good.key";
    $redis->start;

    ok($_->wait_redis(4 + grace()), "host $_->{n} has Redis again") for @all;
    ok(all_closed(2 + grace(), @sockets), 'all clients catch up');

    @sockets = map { sockets($_, 2) } @all;
    ok(told(post($second, 'by TLS again'), grace(), @sockets),
       'hosts are connected by TLS again');

    Chat::close_all(@sockets);
    push @hosts, @all;
}

is(join('', map { grep { /\[(?:alert|emerg|crit)\]/ }
                  split /^/, $_->error_log } @hosts), '', 'no alerts');

done_testing();
