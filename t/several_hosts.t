#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# Three hosts with one database and one Redis: changes on one host take effect
# on the others within the documented time (docs/operations.md).  No message is
# missed when a worker, Redis or a host fails, or a host loses Redis.

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
use Cwd qw(abs_path);
use FindBin;
use Time::HiRes qw(time);

my $dir = "$ENV{CHAT_RUN}/hosts";

# seconds: chat_session_check of the hosts, and the resulting limits in
# docs/operations.md; for sockets, at least one second is multiplied
my $check = 1;
my ($api_time, $socket_time) = ($check, 6);

# a cached name
my $name_time = 10;

# for immediate effects, on a busy machine
sub grace { return 2 * slowness() }

Chat::reset_tables();

my $redis = Chat::Redis->new;
my @hosts = map { start_host($_, $redis) } 1 .. 3;
my ($one, $two, $three) = @hosts;


sub start_host {
    my ($n, $redis) = @_;

    my ($http, $server) = Chat::example();
    my $host = Chat::Host->new($n, "$dir/$n");

    $host->configure($redis, "${http}chat_session_check ${check}s;\n", $server);
    $host->start_nginx;

    return $host;
}


# post HOST, FROM => TO, BODY, [KEY]: returns the response of any worker

sub post {
    my ($host, $from, $to, $body, $key) = @_;

    return at($host, sub {
        api($from, POST => '/api/v1/message/',
            { recipient => $to, body => $body,
              $key ? (client_id => $key) : () }, Connection => 'close')
    });
}


sub get {
    my ($host, $who, $path, @more) = @_;

    return at($host, sub { api($who, GET => "/api/v1/$path", @more) });
}


# found HOST, USER, FROM: catches up and returns the ids after this cursor

sub found {
    my ($host, $who, $from) = @_;

    my ($page, @ids);

    do {
        $page = get($host, $who, "message/?after=$from")->json;
        push @ids, map { $_->{id} } @{ $page->{results} };
        $from = $page->{cursor};
    } while $page->{has_more};

    return @ids;
}


# log_in HOST, USER, PASSWORD, [FORM]: logs in by the form or the API and
# returns the token, undef if rejected

sub log_in {
    my ($host, $who, $password, $form) = @_;

    my %fields = (username => $who, password => $password);

    my $res = at($host, sub {
        $form ? Mojo::UserAgent->new->post(Chat::url('/login/')
                                           => form => \%fields)->res
              : api('', POST => '/api/v1/session/', \%fields)
    });
    my ($token) = ($res->headers->set_cookie // '') =~ /sessionid=([^;]+)/;

    return $token;
}


sub cookie {
    return Cookie => "sessionid=$_[0]";
}


# sockets HOST, USER, N, HEADERS: opens enough sockets for each worker to have
# some.  nchan has subscribed them when this returns.  USER is only text if
# HEADERS has a session.

sub sockets {
    my ($host, $who, $n, %headers) = @_;

    my @sockets = at($host, sub {
        map { web_socket(%headers ? '' : $who, headers => \%headers) }
            1 .. $n // 6
    });

    is(join(' ', map { $_->{code} } @sockets), join(' ', (101) x @sockets),
       "$who has sockets on host $host->{n}");
    settle(1);

    return @sockets;
}


# told ID, SECONDS, SOCKETS: returns whether all sockets are notified in time

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


# served IDS, SECONDS, SOCKETS: returns whether each socket is notified of all
# messages, or closed, so that its client catches up

sub served {
    my ($ids, $seconds, @sockets) = @_;

    my %ids = map { (qq({"message": "$_"}) => 1) } @$ids;

    return wait_until(sub {
        !grep {
            my %missing = %ids;
            delete @missing{ @{ $_->{frames} } };
            !$_->{closed} && %missing
        } @sockets
    }, $seconds);
}


# alerts HOST: returns alerts, except for workers killed by the test

sub alerts {
    my ($host) = @_;

    return grep { /\[(?:alert|emerg)\]/ && !/exited on signal 9$/ }
                split /^/, $host->error_log;
}


# --- users on different hosts ----------------------------------------------

{
    my %sockets = map { $_->{n} => [sockets($_, 'u2')] } @hosts;

    for my $host (@hosts) {
        my $sent = post($host, 'u1', 'u2', "from $host->{n}");
        my $id = $sent->json->{id};

        is($sent->code, 201, "sent on host $host->{n}");
        ok(told($id, grace(), @{ $sockets{ $_->{n} } }),
           "host $_->{n} notifies")
            for @hosts;
        is(get($_, 'u2', "message/$id/")->json->{body}, "from $host->{n}",
           "host $_->{n} has it") for @hosts;
    }

    settle();
    is(join(' ', map { scalar @{ $_->{frames} } } map { @$_ } values %sockets),
       join(' ', (3) x 18), 'every socket is notified once');

    my $unread = sub {
        get($_[0], 'u2', 'conversation/')->json->{results}[0]{unread}
    };
    my $last = get($one, 'u2', 'message/')->json->{results}[0]{id};

    is($unread->($three), 3, 'unread');
    at($one, sub {
        api('u2', POST => '/api/v1/conversation/u1/read', { id => $last })
    });
    is($unread->($three), 0, 'read on another host');

    # changes on one host, which others must not have cached
    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', 'first')->json->{id};
        my $path = "message/$id/";

        for my $other ((@hosts) x 2) {
            is(get($other, 'u2', $path)->json->{body}, 'first',
               "host $other->{n} has the message");
        }

        is(at($host, sub {
            api('u1', PATCH => "/api/v1/$path", { body => 'second' })
        })->code, 200, "edited on host $host->{n}");
        is(get($_, 'u2', $path)->json->{body}, 'second',
           "host $_->{n} has the new text") for (@hosts) x 2;
        is(at($host, sub { api('u1', DELETE => "/api/v1/$path") })->code, 204,
           'deleted');
        is(get($_, 'u2', $path)->code, 404, "host $_->{n} does not find it")
            for (@hosts) x 2;
        is(get($_, 'u2', "message/?after=$id&changes=1")
               ->json->{results}[0]{message_id}, $id,
           "host $_->{n} has the deletion") for @hosts;
    }

    Chat::close_all(map { @$_ } values %sockets);
}


# --- sessions --------------------------------------------------------------

# logins on the first host, requests on the others

{
    # u1 logs out, u2 is disabled, u3 changes the password
    my %session = map { $_ => log_in($one, $_, $Chat::Password, 'form') }
                      qw(u1 u2 u3);
    my $changes = log_in($one, 'u3', $Chat::Password);

    my %sockets = map {
        my $who = $_;
        $who => [map { sockets($_, $who, 6, cookie($session{$who})) }
                     $two, $three]
    } sort keys %session;
    my ($stays) = sockets($two, 'u3 by the other session', 1, cookie($changes));

    my $status = sub {
        my ($host, $token) = @_;

        return get($host, '', 'user/', undef, cookie($token))->code;
    };

    # all hosts have cached the sessions
    for my $host (@hosts) {
        is($status->($host, $session{$_}), 200, "$_ on host $host->{n}")
            for sort keys %session;
    }
    is(post($three, 'u4', 'u2', 'hello')->code, 201, 'u2 can receive messages');

    at($one, sub {
        is(api('', GET => '/logout/', undef, cookie($session{u1}))->code, 302,
           'logged out');
        is(api('', POST => '/api/v1/password/',
               { old_password => $Chat::Password,
                 new_password => 'long enough' }, cookie($changes))->code,
           204, 'password changed');
    });

    my $begin = time;

    {
        local $ENV{CHATCTL_CONF} = $ENV{CHAT_TEST_CNF};
        local $ENV{CHAT_RUN};

        is(system(abs_path("$FindBin::Bin/../chatctl")
                  . ' user disable u2 >/dev/null'), 0, 'disabled');
    }

    # changes that are read from the database take effect at once
    for my $host ($two, $three) {
        is(log_in($host, 'u3', $Chat::Password, 'form'), undef,
           "host $host->{n} rejects the old password");
        is(log_in($host, 'u2', $Chat::Password, 'form'), undef,
           'and the disabled user');
        ok(log_in($host, 'u3', 'long enough', 'form'),
           'and accepts the new password');
    }

    for my $host ($two, $three) {
        for my $who (sort keys %session) {
            ok(wait_until(sub { $status->($host, $session{$who}) == 403 },
                          $begin + $api_time + grace() - time),
               "the session of $who ends on host $host->{n}");
        }
    }

    note(sprintf 'sessions ended after %.1f s', time - $begin);

    ok(all_closed($begin + $socket_time + grace() - time, @{ $sockets{$_} }),
       "the sockets of $_ are closed") for sort keys %session;
    note(sprintf 'sockets closed after %.1f s', time - $begin);

    ok(wait_until(sub { post($three, 'u4', 'u2', 'hello')->code == 404 },
                  $begin + $name_time + grace() - time),
       'a disabled user cannot receive messages');
    note(sprintf 'messages rejected after %.1f s', time - $begin);

    ok(!$stays->{closed}, 'the session that changed the password stays');
    is($status->($_, $changes), 200, "on host $_->{n}") for @hosts;
    is($status->($_, Chat::token('u3')), 403,
       'an earlier session is rejected') for @hosts;

    Chat::close_all($stays);
    Chat::reset_tables();
}


# --- a worker dies ---------------------------------------------------------

for my $round (1 .. 3) {
    my @before = sockets($one, 'u2');
    my @workers = $one->workers($one->master);

    kill KILL => $workers[$round % @workers];

    ok(wait_until(sub {
        $one->workers($one->master) == @workers && $one->wait_redis(0)
    }, 10), "round $round: the worker is replaced");

    my @after = (sockets($one, 'u2'), grep { !$_->{closed} } @before);

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', "round $round")->json->{id};

        ok(told($id, grace(), @after),
           "new and remaining sockets receive from host $host->{n}");
    }

    Chat::close_all(@after);
}


# --- a reload --------------------------------------------------------------

{
    my @before = sockets($one, 'u2');
    my @workers = $one->workers($one->master);

    kill HUP => $one->master;
    ok(all_closed(10, @before), 'a reload closes the sockets of its host');

    my @after = map { sockets($_, 'u2', 4) } @hosts;

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', 'reloaded')->json->{id};

        ok(told($id, grace(), @after),
           "all sockets receive from host $host->{n}");
    }

    ok(wait_until(sub { !grep { Chat::Site::alive($_) } @workers }, 5),
       'the old workers exit');
    Chat::close_all(@after);
}


# --- Redis stops -----------------------------------------------------------

{
    my %sockets = map { $_->{n} => [sockets($_, 'u2')] } @hosts;
    my $cursor = get($one, 'u2', 'message/?after=0')->json->{cursor};
    my $begin;

    $redis->end;

    my @sent = map { post($_, 'u1', 'u2', "without Redis $_->{n}") } @hosts;
    is(join(' ', map { $_->code } @sent), '201 201 201', 'sends succeed');

    my @ids = map { $_->json->{id} } @sent;

    is(join(' ', found($_, 'u2', $cursor)), "@ids",
       "found on host $_->{n} by catching up") for @hosts;

    ok(told($ids[$_], grace(), @{ $sockets{ $hosts[$_]{n} } }),
       "sockets of host $hosts[$_]{n} are notified of its message") for 0 .. 2;

    $begin = time;
    my $late = at($one, sub { web_socket('u2') });
    is($late->{code}, 101, 'new sockets are accepted');
    cmp_ok(time - $begin, '<', 1 + grace(), 'after a second');

    my @sockets = map { @$_ } values %sockets;
    ok(!(grep { $_->{closed} } @sockets), 'open sockets stay open');

    settle(2);
    $redis->start;
    $begin = time;

    ok(all_closed(4 + grace(), $late, @sockets),
       'all sockets are closed when Redis is back: their clients catch up');
    note(sprintf 'after %.1f s', time - $begin);

    ok($_->wait_redis(4 + grace()), "host $_->{n} has Redis again") for @hosts;
    @sockets = map { sockets($_, 'u2', 2) } @hosts;

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', 'with Redis')->json->{id};

        ok(told($id, grace(), @sockets),
           "all sockets receive from host $host->{n}");
    }

    Chat::close_all(@sockets);
}


# --- a host is cut off from Redis ------------------------------------------

SKIP: {
    skip 'addresses of one host are not cut off from each other', 1
        if !Chat::Hosts::spaces();

    my %sockets = map { $_->{n} => [sockets($_, 'u2')] } @hosts;
    my @sockets = map { @$_ } values %sockets;
    my @workers = map { $_->workers($_->master) } @hosts;
    my $cursor = get($one, 'u2', 'message/?after=latest')->json->{cursor};
    my (%codes, %ids, @ids);

    my $write = sub {
        for my $host (@hosts) {
            my $sent = post($host, 'u1', 'u2', "cut off $host->{n}");

            $codes{ $sent->code }++;
            push @{ $ids{ $host->{n} } }, $sent->json->{id};
            push @ids, $sent->json->{id};
        }
    };

    # no packet returns, so PINGs are not answered
    $one->cut;
    my $begin = time;

    do { $write->(); settle(0.7) } while $one->with_redis && time < $begin + 25;

    is(scalar($one->with_redis), 0, 'each worker has detected the loss');
    cmp_ok(time - $begin, '<', 5 + grace(), 'in five seconds');
    note(sprintf 'after %.1f s', time - $begin);
    $write->();

    is(join(' ', keys %codes), 201, 'sends succeed');

    is(join(' ', found($_, 'u2', $cursor)), "@ids",
       "found on host $_->{n} by catching up") for @hosts;

    my @others = map { @{ $sockets{ $_->{n} } } } $two, $three;

    is(scalar(grep { !told($_, grace(), @others) } @{ $ids{2} }, @{ $ids{3} }), 0,
       'other hosts notify each other');
    is(scalar(grep { !told($_, grace(), @{ $sockets{1} }) } @{ $ids{1} }), 0,
       'the host notifies its own sockets');
    ok(!(grep { $_->{closed} } @sockets), 'sockets stay open');

    $one->mend;
    $begin = time;

    ok($one->wait_redis(4 + grace()), 'the host has Redis again');
    note(sprintf 'after %.1f s', time - $begin);

    ok(all_closed($begin + 6 + grace() - time, @sockets),
       'all clients catch up');
    note(sprintf 'after %.1f s', time - $begin);

    @sockets = map { sockets($_, 'u2') } @hosts;

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', 'no more cut off')->json->{id};

        ok(told($id, grace(), @sockets),
           "all sockets receive from host $host->{n}");
    }

    is(join(' ', map { $_->workers($_->master) } @hosts), "@workers",
       'no worker has died');

    Chat::close_all(@sockets);
}


# --- a host dies -----------------------------------------------------------

{
    my @sockets = sockets($three, 'u2');
    my (%acknowledged, $ended);
    my $n = 0;

    my $from = get($one, 'u2', 'message/?after=0')->json->{cursor};

    # a sender without a response tries the next host with the same key
    my $attempt;
    $attempt = sub {
        my ($key, @to) = @_;

        my $again = sub {
            Mojo::IOLoop->timer(0.1 => sub { $attempt->($key, @to[1 .. $#to],
                                                        $to[0]) });
        };

        at($to[0], sub {
            request('u1', POST => '/api/v1/message/',
                    { recipient => 'u2', body => $key, client_id => $key })
        })->then(sub {
            my ($res) = @_;

            return $again->() if ($res->code // 0) !~ /^20[01]$/;
            $acknowledged{$key} = $res->json->{id};
        }, $again);
    };

    my $sender = Mojo::IOLoop->recurring(0.03 => sub {
        my @to = @hosts[map { ($n + $_) % 3 } 0 .. 2];

        $attempt->('key-' . ++$n, @to);
    });

    settle(1);
    $three->end;
    ok(all_closed(5, @sockets), 'sockets of a dead host are closed');

    # each client connects to another host and catches up, twice
    my @again = at($two, sub { map { web_socket('u2') } @sockets });
    my %found;

    for (1 .. 2) {
        $found{$_} = 1 for found($two, 'u2', $from);
        settle(1);
    }

    Mojo::IOLoop->remove($sender);
    ok(wait_until(sub { keys %acknowledged == $n }, 10),
       'all sends are acknowledged');

    my %stored = map { split ' ' } map { "$_->[0] $_->[1]" } @{
        Chat::connect_db()->selectall_arrayref(
            "SELECT body, id FROM chat_message WHERE body LIKE 'key-%'") };

    is_deeply(\%stored, \%acknowledged, 'all are stored with the returned ids');
    is(sql("SELECT COUNT(*) FROM chat_message WHERE body LIKE 'key-%'"), $n,
       'each is stored once');

    for my $i (0 .. $#again) {
        my ($old, $new) = ($sockets[$i], $again[$i]);
        my %seen = %found;

        ok(wait_until(sub {
            $seen{$_} = 1 for map { /"(\d+)"/ } @{ $old->{frames} },
                                                @{ $new->{frames} };
            return !grep { !$seen{$_} } values %stored;
        }, 5), 'a client of the dead host misses nothing')
            or diag(join ' ', grep { !$seen{$_} } values %stored);
    }

    diag("$n messages");
    Chat::close_all(@again);

    $three->start_nginx;
    @sockets = map { sockets($_, 'u2', 2) } @hosts;

    ok(told(post($three, 'u1', 'u2', 'again')->json->{id}, grace(), @sockets),
       'other hosts receive from the restarted host');
    ok(told(post($one, 'u1', 'u2', 'welcome')->json->{id}, grace(), @sockets),
       'the restarted host receives from others');
}

is(join('', map { alerts($_) } @hosts), '',
   'no other alerts and no other dead workers');


# --- Redis Cluster ---------------------------------------------------------

# Three masters without replicas.  All hosts use the first one, until it fails.

{
    $_->end for @hosts;
    Chat::reset_tables();

    my $cluster = Chat::Redis::Cluster->new(3, 'cluster-node-timeout' => 1000);
    my @nodes = @{ $cluster->{nodes} };
    my @pair = map { start_host($_, $cluster) } 4, 5;
    my @users = qw(u1 u2 u3 u4);
    my %listens;

    # opens the missing sockets, and returns all

    my $listen = sub {
        for my $host (@pair) {
            for my $who (@users) {
                my $is = \$listens{$host->{n}}{$who};

                next if $$is && $$is->{code} == 101 && !$$is->{closed};
                $$is = at($host, sub { web_socket($who) });
            }
        }
    };

    # sends to every user by each host; returns the ids

    my @to = (@users) x 2;
    my $send = sub {
        my @sent = map { post($pair[$_ / 4], 'u1', $to[$_], 'cluster') } 0 .. 7;

        is(join(' ', map { $_->code } @sent), join(' ', (201) x 8),
           "sent $_[0]");
        return map { $_->json->{id} } @sent;
    };

    # all_served SECONDS, IDS: returns whether u1 and the recipients are notified
    # or catch up

    my $all_served = sub {
        my ($seconds, @ids) = @_;
        my $end = time + $seconds;

        return !grep {
            my %who = ('u1' => 1, $to[$_] => 1);

            !served([$ids[$_]], $end - time, map { @$_{keys %who} }
                                                 values %listens)
        } 0 .. 7;
    };

    my $closed = sub {
        return grep { $_->{closed} } map { values %$_ } values %listens;
    };

    $listen->();
    settle(1);

    ok($all_served->(grace(), $send->('to every user by each host')),
       'all users are notified');

    $nodes[1]->end;
    settle(2);

    ok($all_served->(grace(), $send->('without another master')),
       'all users are notified');
    is(scalar $closed->(), 0, 'no socket has been closed');

    $nodes[1]->start;
    ok(Chat::Site::wait_for(sub { $cluster->ok }, 20), 'the node is back');

    my $begin = time;

    $nodes[0]->end;
    my @ids = $send->('when the master dies that is used');

    ok($all_served->(4 + grace(), @ids), 'all users are notified or catch up');
    note(sprintf 'after %.1f s', time - $begin);
    ok($_->wait_redis(4 + grace()), "host $_->{n} uses the next node") for @pair;

    # a resync waits for up to a second, and closes sockets within another one
    settle(1 + slowness());
    $listen->();

    ok($all_served->(grace(), $send->('by another node')),
       'all users are notified');
    is(scalar $closed->(), 0, 'no socket has been closed');

    $nodes[0]->start;
    ok(Chat::Site::wait_for(sub { $cluster->ok }, 20), 'the node is back');

    ok($all_served->(grace(), $send->('when the node is back')),
       'all users are notified');

    is(join('', map { alerts($_) } @pair), '', 'no alerts and no dead workers');

    Chat::close_all(map { values %$_ } values %listens);
}

done_testing();
