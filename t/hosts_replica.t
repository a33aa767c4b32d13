#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# Several hosts with Redis, and a replica whose replication has stopped: a user
# who was notified on one host, or has changed data there, sees the change in
# the next response of every host.
# Responses read from the replica are recognized by a suffix of each text, which
# the test adds on the replica only.

use strict;
use warnings;

use Chat::Galera ();
use Chat::Hosts;
use Chat::Server;
use Test::More;

my ($primary, $replica, $why);

BEGIN {
    $why = Chat::Hosts->missing;
    plan(skip_all => $why) if $why;

    $SIG{INT} = $SIG{TERM} = sub { exit 1 };
    Chat::Hosts->enter;

    $primary = Chat::Server->new(
        options => Chat::Server->binlog(Chat::Galera::free_port()));
    $replica = Chat::Server->new(options => Chat::Server->replica,
                                 of => $primary);
}

use Chat;

Chat::reset_tables();

my $redis = Chat::Redis->new;

# the third host has no chat_hosts: it learns of the others through Redis
my ($one, $two, $three) = map { start_host($_) } 1 .. 3;


sub start_host {
    my ($n) = @_;

    my ($http, $server) = Chat::example();
    my $host = Chat::Host->new($n, "$ENV{CHAT_RUN}/hosts_replica/$n");

    $http =~ s/##chat_hosts\s+on;// or die if $n == 3;

    $host->configure($redis,
                     "${http}chat_db_replica unix:$replica->{socket};\n",
                     $server);
    $host->start_nginx;

    return $host;
}


sub get {
    my ($host, $who, $path) = @_;

    return at($host, sub { api($who, GET => "/api/v1/$path") })->json;
}


sub put {
    my ($host, $who, $path, $json) = @_;

    return at($host, sub { api($who, POST => "/api/v1/$path", $json) });
}


# latest HOST, USER, [PARAMETERS]: the latest text

sub latest {
    my ($host, $who, $parameters) = @_;

    my $page = get($host, $who, 'message/' . ($parameters // ''));

    return (texts($page->{results}))[-1] if ($parameters // '') =~ /after/;
    return (texts($page->{results}))[0];
}


# inbox HOST, USER: "last text, unread, read by the peer"

sub inbox {
    my ($host, $who) = @_;

    my ($first) = @{ get($host, $who, 'conversation/')->{results} };

    return "$first->{last_message}{body}, $first->{unread},"
           . " $first->{peer_read_id}";
}


# go_on: replicates and marks all texts, waits until the hosts read from the
# replica, and stops the replication

sub go_on {
    my ($what) = @_;

    $replica->apply;
    ok($replica->reaches($primary->position), "$what: replicated");
    $replica->sql("UPDATE chat.chat_message SET body ="
                  . " CONCAT(body, ' by the replica')"
                  . " WHERE body NOT LIKE '% by the replica'");

    for my $host ($two, $three) {
        for my $who ('u1', 'u2') {
            my $n = 0;

            # so often in a row that each worker does so
            ok(wait_until(sub {
                $n = latest($host, $who) =~ / by the replica$/ ? $n + 1 : 0;
                $n == 6
            }, 10), "host $host->{n} reads from the replica for $who");
        }
    }

    $replica->hold;
}


is(put($one, 'u2', 'message/', { recipient => 'u1', body => 'first' })->code,
   201, 'the send succeeds');

my %listen = (
    'a WebSocket'    => sub { web_socket('u2') },
    'an EventSource' => sub { event_source('u2') },
    'a long poll'    => sub { long_poll('u2') },
);

# each time another list is first
my @lists = ('', '?target=u1', '?before=latest', '?after=0', 'inbox');
my $read = 0;

for my $by ((sort keys %listen) x 2) {
    my %listeners = map { my $host = $_;
                          $host->{n} => at($host, sub { $listen{$by}->() }) }
                        $two, $three;

    go_on($by);

    my $id = put($one, 'u1', 'message/', { recipient => 'u2', body => $by })
                 ->json->{id};

    for my $host ($two, $three) {
        my $listener = $listeners{ $host->{n} };

        ok(wait_until(sub {
            grep { /"$id"/ } @{ $listener->{frames} // [] },
                             $listener->{text} // ''
        }, 5), "$by: host $host->{n} notifies")
            or diag($listener->{code} // 'no answer');

        is($_ eq 'inbox' ? inbox($host, 'u2') : latest($host, 'u2', $_),
           $_ eq 'inbox' ? "$by, 1, 0" : $by, "and returns it: $_")
            for @lists;
        is(get($host, 'u2', "message/$id/")->{body}, $by,
           'the message by its id');
    }

    is(latest($two, 'u1', $_), $by, "the sender sees it on another host: $_")
        for '', '?target=u2', '?before=latest';
    is(inbox($two, 'u1'), "$by, 1, $read", 'the inbox');

    $read = $id;
    is(put($one, 'u2', 'conversation/u1/read/', { id => $id })->code, 200,
       'the read mark succeeds');
    is(inbox($two, 'u2'), "$by, 0, 0", 'it is visible on another host');
    is(inbox($two, 'u1'), "$by, 1, $read", 'to the peer as well');

    push @lists, shift @lists;
    Chat::close_all(values %listeners);
}

for my $host ($one, $two, $three) {
    unlike($host->error_log, qr/\[(?:alert|emerg)\]/, 'no alerts');
}

done_testing();
