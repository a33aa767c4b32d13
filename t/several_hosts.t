#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# Three hosts on one database and one Redis: what happens on one takes effect on
# the others, within the time that the README states, and nothing is missed when
# a worker, Redis or a host dies, or a host is cut off from Redis.

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
use Cwd qw(abs_path);
use FindBin;
use Time::HiRes qw(time);

my $dir = "$ENV{CHAT_RUN}/hosts";

# seconds: what the hosts are told of chat_session_check, and what the README
# promises by it; of sockets, it is five at least that are multiplied
my $check = 1;
my ($api_time, $socket_time) = ($check, 6);

# a name that is known
my $name_time = 10;

# for what is done at once, on a busy machine
my $grace = 2;

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


# post HOST, FROM => TO, BODY, [KEY]: its answer, by whichever worker

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


# found HOST, WHO, FROM: ids of what is behind this cursor, by catching up

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


# log_in HOST, WHO, PASSWORD, [FORM]: the session, by the form or by the API;
# none if that was refused

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


# sockets HOST, WHO, N, HEADERS: so many that each worker has some; nchan listens
# for them when this returns.  With a session that is in HEADERS, WHO is in words

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


# told ID, SECONDS, SOCKETS: whether all are, in time

sub told {
    my ($id, $seconds, @sockets) = @_;

    my $text = qq({"message": "$id"});

    return wait_until(sub {
        !grep { !grep { $_ eq $text } @{ $_->{frames} } } @sockets
    }, $seconds);
}


sub all_closed {
    my ($seconds, @sockets) = @_;

    return wait_until(sub { !grep { !$_->{closed} } @sockets }, $seconds);
}


# alerts HOST: but for the workers that died by our hand, and for what comes of
# nchan closing each of its connections to Redis twice: the second time it may be
# another one that has the number by then

sub alerts {
    my ($host) = @_;

    return grep { /\[(?:alert|emerg)\]/ && !/exited on signal 9$/
                  && !/\(9: Bad file descriptor\)/
                  && !/ epoll_ctl\(\d, \d+\) failed \(2: / }
                split /^/, $host->error_log;
}


# --- people on different hosts ---------------------------------------------

{
    my %sockets = map { $_->{n} => [sockets($_, 'u2')] } @hosts;

    for my $host (@hosts) {
        my $sent = post($host, 'u1', 'u2', "from $host->{n}");
        my $id = $sent->json->{id};

        is($sent->code, 201, "sent on host $host->{n}");
        ok(told($id, $grace, @{ $sockets{ $_->{n} } }), "host $_->{n} tells")
            for @hosts;
        is(get($_, 'u2', "message/$id/")->json->{body}, "from $host->{n}",
           "host $_->{n} has it") for @hosts;
    }

    settle();
    is(join(' ', map { scalar @{ $_->{frames} } } map { @$_ } values %sockets),
       join(' ', (3) x 18), 'everybody is told once');

    my $unread = sub {
        get($_[0], 'u2', 'conversation/')->json->{results}[0]{unread}
    };
    my $last = get($one, 'u2', 'message/')->json->{results}[0]{id};

    is($unread->($three), 3, 'unread');
    at($one, sub {
        api('u2', POST => '/api/v1/conversation/u1/read', { id => $last })
    });
    is($unread->($three), 0, 'read on another host');

    Chat::close_all(map { @$_ } values %sockets);
}


# --- sessions --------------------------------------------------------------

# by those who log in on the first host, and go to others then

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

    # all hosts know them
    for my $host (@hosts) {
        is($status->($host, $session{$_}), 200, "$_ on host $host->{n}")
            for sort keys %session;
    }
    is(post($three, 'u4', 'u2', 'hello')->code, 201, 'u2 can be written to');

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

    # what the database alone is asked holds at once
    for my $host ($two, $three) {
        is(log_in($host, 'u3', $Chat::Password, 'form'), undef,
           "host $host->{n} takes the old password no more");
        is(log_in($host, 'u2', $Chat::Password, 'form'), undef,
           'nor who is disabled');
        ok(log_in($host, 'u3', 'long enough', 'form'), 'but the new one');
    }

    for my $host ($two, $three) {
        for my $who (sort keys %session) {
            ok(wait_until(sub { $status->($host, $session{$who}) == 403 },
                          $begin + $api_time + $grace - time),
               "the session of $who ends on host $host->{n}");
        }
    }

    note(sprintf 'sessions ended after %.1f s', time - $begin);

    ok(all_closed($begin + $socket_time + $grace - time, @{ $sockets{$_} }),
       "and so do the sockets of $_") for sort keys %session;
    note(sprintf 'sockets closed after %.1f s', time - $begin);

    ok(wait_until(sub { post($three, 'u4', 'u2', 'hello')->code == 404 },
                  $begin + $name_time + $grace - time),
       'nobody writes to who is disabled');
    note(sprintf 'not written to after %.1f s', time - $begin);

    ok(!$stays->{closed}, 'the session that has changed the password stays');
    is($status->($_, $changes), 200, "on host $_->{n}") for @hosts;
    is($status->($_, Chat::token('u3')), 403,
       'and no other that was there before') for @hosts;

    Chat::close_all($stays);
    Chat::reset_tables();
}


# --- a worker dies ---------------------------------------------------------

# nchan leaves some of the other worker's sockets silent then, unless they have
# channels that nobody has had; other hosts have to know these

for my $round (1 .. 3) {
    my @before = sockets($one, 'u2');
    my @workers = $one->workers($one->master);
    my ($epoch) = sql('SELECT COALESCE(MAX(epoch), 0) FROM chat_epoch');

    kill KILL => $workers[$round % @workers];
    ok(all_closed(10, @before), "round $round: all sockets are closed");

    # they may all have been the dead one's: others are closed until there is one
    ok(wait_until(sub {
        $epoch < sql('SELECT COALESCE(MAX(epoch), 0) FROM chat_epoch')
    }, 10), 'a new epoch');

    my @after = sockets($one, 'u2');

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', "round $round")->json->{id};

        ok(told($id, 5, @after), "new ones hear of host $host->{n}");
    }

    Chat::close_all(@after);
}


# --- a reload --------------------------------------------------------------

# its zone stays, and with it the epoch that the other hosts know

{
    my @before = sockets($one, 'u2');
    my @workers = $one->workers($one->master);

    kill HUP => $one->master;
    ok(all_closed(10, @before), 'a reload closes the sockets of its host');

    my @after = map { sockets($_, 'u2', 4) } @hosts;

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', 'reloaded')->json->{id};

        ok(told($id, $grace, @after), "then all hear of host $host->{n}");
    }

    ok(wait_until(sub { !grep { Chat::Site::alive($_) } @workers }, 5),
       'the old workers end');
    Chat::close_all(@after);
}


# --- Redis stops -----------------------------------------------------------

{
    my @sockets = map { sockets($_, 'u2') } @hosts;
    my $cursor = get($one, 'u2', 'message/?after=0')->json->{cursor};
    my $begin;

    $redis->end;

    my @sent = map { post($_, 'u1', 'u2', "without Redis $_->{n}") } @hosts;
    is(join(' ', map { $_->code } @sent), '201 201 201', 'sends go on');

    my @ids = map { $_->json->{id} } @sent;

    is(join(' ', found($_, 'u2', $cursor)), "@ids",
       "found on host $_->{n} by catching up") for @hosts;

    is(at($one, sub { web_socket('u2') })->{code}, 503,
       'sockets are told to come back');
    ok(!(grep { $_->{closed} } @sockets), 'those that are open stay');

    settle(2);
    $redis->start;
    $begin = time;

    # tried after 1, 2, 4, 8 and 16 seconds
    for my $i (0 .. $#ids) {
        ok(told($ids[$i], 33, @sockets), 'told of when it is back');
    }
    note(sprintf 'after %.1f s', time - $begin);

    push @sockets, map { sockets($_, 'u2', 2) } @hosts;

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', 'with Redis')->json->{id};

        ok(told($id, $grace, @sockets), "all hear of host $host->{n} at once");
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

    # no packet comes back that would tell: nchan waits for its time-out
    $one->cut;
    my $begin = time;

    do { $write->(); settle(0.7) } while $one->with_redis && time < $begin + 25;

    is(scalar($one->with_redis), 0, 'each worker knows that Redis is away');
    note(sprintf 'after %.1f s', time - $begin);
    $write->();

    is(join(' ', keys %codes), 201, 'sends go on');

    is(join(' ', found($_, 'u2', $cursor)), "@ids",
       "found on host $_->{n} by catching up") for @hosts;

    my @others = map { @{ $sockets{ $_->{n} } } } $two, $three;

    is(scalar(grep { !told($_, $grace, @others) } @{ $ids{2} }, @{ $ids{3} }), 0,
       'other hosts tell each other as ever');

    $one->mend;
    $begin = time;

    ok(wait_until(sub { $one->with_redis == $one->workers($one->master) },
                  3 + $grace), 'it has Redis again');
    note(sprintf 'after %.1f s', time - $begin);

    for my $host (@hosts) {
        my $id = post($host, 'u1', 'u2', 'no more cut off')->json->{id};

        ok(told($id, $grace, @sockets), "all hear of host $host->{n} at once");
    }

    # tried after 1, 2, 4, 8 and 16 seconds
    is(scalar(grep { !told($_, $begin + 33 - time, @others) } @{ $ids{1} }), 0,
       'other hosts tell what it has taken meanwhile');
    note(sprintf 'after %.1f s', time - $begin);

    # one of its workers announces what it can, when another may not have Redis
    # yet, which keeps the newest ones only
    my $own = $sockets{1};

    diag(scalar(grep { !told($_, 0, @$own) } @{ $ids{1} }) . ' of '
         . @{ $ids{1} } . ' messages, its own sockets are told no more');

    ok(!(grep { $_->{closed} } @sockets), 'sockets stay open');
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

    # who gets no answer tries the next host, by the same key
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
    ok(all_closed(5, @sockets), 'the clients of a host that dies notice');

    # each goes on elsewhere: listens, catches up, and once more
    my @again = at($two, sub { map { web_socket('u2') } @sockets });
    my %found;

    for (1 .. 2) {
        $found{$_} = 1 for found($two, 'u2', $from);
        settle(1);
    }

    Mojo::IOLoop->remove($sender);
    ok(wait_until(sub { keys %acknowledged == $n }, 10), 'all are acknowledged');

    my %stored = map { split ' ' } map { "$_->[0] $_->[1]" } @{
        Chat::connect_db()->selectall_arrayref(
            "SELECT body, id FROM chat_message WHERE body LIKE 'key-%'") };

    is_deeply(\%stored, \%acknowledged, 'and stored, by the ids that were told');
    is(sql("SELECT COUNT(*) FROM chat_message WHERE body LIKE 'key-%'"), $n,
       'once');

    for my $i (0 .. $#again) {
        my ($old, $new) = ($sockets[$i], $again[$i]);
        my %seen = %found;

        ok(wait_until(sub {
            $seen{$_} = 1 for map { /"(\d+)"/ } @{ $old->{frames} },
                                                @{ $new->{frames} };
            return !grep { !$seen{$_} } values %stored;
        }, 5), 'a client of it misses nothing')
            or diag(join ' ', grep { !$seen{$_} } values %stored);
    }

    diag("$n messages");
    Chat::close_all(@again);

    $three->start_nginx;
    @sockets = map { sockets($_, 'u2', 2) } @hosts;

    ok(told(post($three, 'u1', 'u2', 'again')->json->{id}, $grace, @sockets),
       'it comes back and is heard');
    ok(told(post($one, 'u1', 'u2', 'welcome')->json->{id}, $grace, @sockets),
       'and hears');
}

is(join('', map { alerts($_) } @hosts), '', 'no alerts, nor deaths but these');


# --- Redis Cluster ---------------------------------------------------------

# three masters without replicas, of which one is away for a while.  A person's
# channel is on one of them.  A worker may abort in nchan at that, which costs
# its sockets and requests: clients come back, so do these.

{
    $_->end for @hosts;
    Chat::reset_tables();

    my $cluster = Chat::Redis::Cluster->new(3, 'cluster-node-timeout' => 1000);
    my @pair = map { start_host($_, $cluster) } 4, 5;
    my %listens;

    my $listen = sub {
        for my $host (@pair) {
            for my $who (qw(u1 u2 u3 u4)) {
                my $is = \$listens{$host->{n}}{$who};

                next if $$is && $$is->{code} == 101 && !$$is->{closed};
                $$is = at($host, sub { web_socket($who) });
            }
        }
    };

    # to everybody, by each host: answers, ids
    my @to = (qw(u1 u2 u3 u4)) x 2;
    my $send = sub {
        return map { post($pair[$_ / 4], 'u1', $to[$_], 'cluster') } 0 .. 7;
    };
    my $everybody = sub {
        my @sent = $send->();

        is(join(' ', map { $_->code } @sent), join(' ', (201) x 8),
           "sent $_[0]");
        return map { $_->json->{id} } @sent;
    };

    # unheard SECONDS, IDS: of those to everybody, on whichever host
    my $unheard = sub {
        my ($seconds, @ids) = @_;

        return grep {
            my @who = ('u1', $to[$_]);

            !told($ids[$_], $seconds, map { @$_{@who} } values %listens)
        } 0 .. $#ids;
    };

    $listen->();
    settle(1);

    my @ids = $everybody->('to everybody by each host');
    is(join(' ', $unheard->($grace, @ids)), '', 'everybody hears, and u1');

    my $unread = sub {
        get($_[0], 'u2', 'conversation/')->json->{results}[0]{unread}
    };

    is($unread->($pair[1]), 2, 'unread');
    at($pair[0], sub {
        api('u2', POST => '/api/v1/conversation/u1/read', { id => $ids[5] })
    });
    is($unread->($pair[1]), 0, 'read on another host');

    my $cursor = get($pair[0], 'u2', 'message/?after=latest')
                     ->json->{cursor};

    $cluster->{nodes}[1]->end;
    @ids = $everybody->('when a node dies');
    settle(2);
    push @ids, $everybody->('later');

    my @found = found($pair[1], 'u2', $cursor);
    is("@found", join(' ', @ids[1, 5, 9, 13]), 'found by catching up');

    $cluster->{nodes}[1]->start;
    ok(Chat::Site::wait_for(sub { $cluster->ok }, 20), 'it is back');

    # nchan tries again every two seconds at least
    my $begin = time;
    ok(wait_until(sub {
        $listen->();
        settle(0.5);
        @ids = map { ($_->json // {})->{id} // 0 } $send->();
        return !$unheard->(0.5, @ids);
    }, 30), 'everybody hears again');
    diag(sprintf 'Redis Cluster: after %.1f s', time - $begin);

    diag("nchan has ended a worker: $_")
        for map { grep { /exited on signal/ } split /^/, $_->error_log } @pair;

    Chat::close_all(map { values %$_ } values %listens);
}

done_testing();
