#
# Copyright (C) ngx_chat contributors
#

# chat_db_replica: a user's reads include everything that the user has sent or
# was notified of, regardless of the replica's lag.
#
# Texts on the replica have the suffix "by the replica", which shows where a
# response comes from.

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat::Busy qw(slowness);
use Chat::Galera ();
use Chat::Proxy;
use Chat::Server;

our ($primary, $replica, $other);

BEGIN {
    # it has the tables and the account, but replicates from no server
    $other = Chat::Server->new(options => Chat::Server->replica);

    $primary = Chat::Server->new(
        options => Chat::Server->binlog(Chat::Galera::free_port()));
    $replica = Chat::Server->new(options => Chat::Server->replica,
                                 of => $primary);
}

use Chat;

our $far = 'chat_db_replica unix:' . $replica->{socket} . ';';

# sockets of the proxies in front of the replica and of the primary
our ($way, $first) = map { "$primary->{dir}/$_.sock" } 'way', 'first';
our $proxy = Chat::Proxy->new($way, $replica->{socket});
our $slow = Chat::Proxy->new($first, $primary->{socket});


# replicated: waits until the replica has all transactions of the primary

sub replicated {
    ok($replica->reaches($primary->position), 'replicated');
}


# mark: adds the suffix to all messages on the replica

sub mark {
    replicated();
    $replica->sql("UPDATE chat.chat_message SET body ="
                  . " CONCAT(body, ' by the replica')"
                  . " WHERE body NOT LIKE '% by the replica'");
}


# list USER, [PATH]: returns the texts of the messages

sub list {
    my ($who, $path) = @_;

    my $res = api($who, GET => $path // '/api/v1/message/');

    return $res->code if $res->code != 200;
    return join ', ', texts($res->json->{results});
}


# inbox USER: returns "peer: last text, unread, read" of each conversation

sub inbox {
    my ($who) = @_;

    return join '; ', map { "$_->{user}: $_->{last_message}{body},"
                            . " $_->{unread}, $_->{peer_read_id}" }
                          @{ api($who, GET => '/api/v1/conversation/')
                                 ->json->{results} };
}


# by_replica USER: waits until all workers read from the replica

sub by_replica {
    my ($who) = @_;

    my $n = 0;

    ok(wait_until(sub { $n = list($who) =~ / by the replica/ ? $n + 1 : 0;
                        $n == 6 }, 10),
       "by the replica, for $who")
        or diag(JSON::PP->new->encode([list($who), reads()]),
                $replica->sql('SELECT body FROM chat.chat_message'),
                error_log() =~ s/.* closed keepalive .*\n//gr);
}


sub put {
    my ($from, $to, $body) = @_;

    my $res = api($from, POST => '/api/v1/message/',
                  { recipient => $to, body => $body });
    is($res->code, 201, "$body: sent");

    return $res->json->{id};
}


sub reads {
    return api('', GET => '/chat/status')->json->{db_replica_reads};
}

run_tests();


__DATA__

=== the replica serves pages, inboxes and lists of users only
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
$replica->sql("INSERT INTO chat.chat_user (id, username) VALUES (9, 'u9')");
--- then
by_replica('u1');
is(list('u1', '/api/v1/message/?target=u2'), 'one by the replica', 'target=');
is(list('u1', '/api/v1/message/?page=last'), 'one by the replica', 'page=');
is(list('u1', '/api/v1/message/?before=latest'), 'one by the replica',
   'before=');
is(inbox('u1'), 'u2: one by the replica, 1, 0', 'inbox');
like(api('u1', GET => '/api/v1/user/?search=u')->body, qr/"u9"/, 'users');

is(list('u1', '/api/v1/message/?after=0'), 'one',
   'after= is read from the primary');
is(api('u3', GET => '/api/v1/user/9/')->code, 404,
   'a user by id is read from the primary');
is(api('u2', GET => '/api/v1/message/1/')->json->{body}, 'one',
   'a message by id is read from the primary');

my $just_sent = promptly { put('u1', 'u2', 'two'); list('u1') } 0.2;
like($just_sent, qr/\A(two, )+one\z/,
     'a read after a send goes to the primary');

my $reads = reads();
cmp_ok($reads->{ok}, '>=', 6, 'counted');
cmp_ok($reads->{recent}, '>=', 1, 'recent writes are counted');
is($reads->{lagging}, 0, 'no lag is counted');
cmp_ok(api('', GET => '/chat/status')->json->{db_replica_connections}, '>', 0,
       'connections');
$replica->sql('DELETE FROM chat.chat_user WHERE id = 9');


=== a sent message is in the next response while replication is stopped
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
--- then
for my $n (1 .. 5) {
    by_replica($_) for 'u1', 'u2';
    $replica->hold;
    put('u1', 'u2', "new $n");

    like(list('u1', '/api/v1/message/?target=u2'), qr/^new $n, /, 'target=');
    like(list('u1', '/api/v1/message/?before=latest'), qr/^new $n, /,
         'before=');
    like(inbox('u1'), qr/^u2: new $n, 1, /, 'inbox');
    like(list('u2'), qr/^new $n, /, 'also for the recipient');
    like(inbox('u2'), qr/^u1: new $n, $n, /, 'inbox');

    $replica->apply;
    mark();
}


=== a read mark is in the next response while replication is stopped
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
--- then
for my $n (1 .. 3) {
    my $id = message(u2 => 'u1', "new $n");
    mark();
    by_replica('u1');
    ok(wait_until(sub { inbox('u1') =~ /by the replica, [12], 0$/ }, 10),
       'unread on the replica');
    $replica->hold;
    is(api('u1', POST => '/api/v1/conversation/u2/read/', { id => $id })->code,
       200, 'read');
    is(inbox('u1'), "u2: new $n, 0, 0", 'read');

    $replica->apply;
}


=== messages before a cursor and fetched messages are in the next response
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
--- then
for my $n (1 .. 3) {
    by_replica('u1');
    $replica->hold;
    my $id = message(u2 => 'u1', "later $n");
    is(api('u1', GET => '/api/v1/message/?after=latest')->json->{cursor}, $id,
       'the cursor is after the message');
    like(list('u1'), qr/^later $n, /, 'the page has the message');
    $replica->apply;
    mark();

    for my $from ('database', 'zone') {
        by_replica('u1');
        $replica->hold;
        $id = message(u2 => 'u1', "fetched $n");

        # u2 fetches it, and u1 then finds it in the zone
        api('u2', GET => "/api/v1/message/$id/") if $from eq 'zone';
        is(api('u1', GET => "/api/v1/message/$id/")->json->{body},
           "fetched $n", "fetched, from the $from");
        like(list('u1'), qr/^fetched $n, /, 'the page has the message');
        $replica->apply;
        mark();
    }
}


=== the primary replaces a replica that lags, until it has caught up
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
--- then
by_replica($_) for 'u1', 'u2';
$replica->hold;
message(u2 => 'u1', 'two');
settle(4);

# no user was notified of it, but a position query has returned since
is(list('u1'), 'two, one', 'read from the primary');

my $end = time + 8;
while (time < $end) {
    is(list($_), 'two, one', 'still read from the primary') for 'u1', 'u2';
    settle(0.2);
}

cmp_ok(reads()->{lagging}, '>', 0, 'counted');
like(error_log(), qr/\[warn\].*the replica "unix:\S+" lags, reads use the primary/,
     'logged');
cmp_ok(scalar(() = error_log() =~ /\[warn\].* lags,/g), '<=', 2,
       'once by each worker');

$replica->apply;
mark();
by_replica('u1');
ok(wait_until(sub { list($_) for 'u1', 'u2';
                    error_log() =~ /\[notice\].*has caught up/ }), 'logged');


=== no request fails while a replica is killed, stopped and restarted
--- http eval: $::far . 'chat_db_connect_timeout 500ms;'
--- given
message(u2 => 'u1', 'one');
mark();
--- then
my (%codes, $open);

# eight clients read for SECONDS
my $readers = sub {
    my ($seconds) = @_;

    my $end = time + $seconds;
    my $longest = 0;
    %codes = ();

    my $next; $next = sub {
        my $begin = time;

        return $open-- if $begin > $end;

        request('u' . (1 + int rand 2), GET => '/api/v1/message/?target=u'
                                              . (1 + int rand 2))
            ->then(sub { $codes{ $_[0]->code }++ }, sub { $codes{failed}++ })
            ->then(sub { $longest = time - $begin
                             if time - $begin > $longest; $next->() });
    };

    $open = 8;
    $next->() for 1 .. 8;
    wait_until(sub { !$open }, $seconds + 20);

    return $longest;
};

by_replica('u1');
Mojo::IOLoop->timer(0.5 => sub { $replica->end('KILL') });
$readers->(2);
is(join(' ', keys %codes), 200, 'no request fails after a kill');
like(error_log(), qr/\[error\].*chat: the replica is unavailable: /, 'logged');
unlike(error_log(), qr/the database is unavailable/, 'for the replica only');

$replica->start;
mark();
by_replica('u1');
Mojo::IOLoop->timer(0.5 => sub { $replica->stop });
cmp_ok($readers->(4), '<', 2 + slowness(),
       'no request waits long for a stopped replica');
is(join(' ', keys %codes), 200, 'no request fails');

$replica->cont;
by_replica('u1');
is(api('', GET => '/chat/status')->json->{db_failures}{given_up}, 0,
   'no query was given up');


=== without GTIDs on the primary, an error is logged and replicas are not used
--- http eval: "chat_db_replica unix:$::primary->{socket};"
--- change
s{chat_db    unix:\S+}{chat_db unix:$replica->{socket}};
--- given
message(u2 => 'u1', 'one');
mark();
--- then
settle(2.5);
is(list('u1'), 'one by the replica', 'it works') for 1 .. 4;
is(reads()->{ok}, 0, 'by the primary');
cmp_ok(reads()->{unavailable}, '>=', 4, 'counted');
is(scalar(() = error_log() =~ /\[error\].*replicas are not used: the database has no GTID/g),
   1, 'logged once');


=== a replica with another schema version is not used
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
$replica->sql('UPDATE chat.chat_schema SET version = version + 100');
--- then
settle(1.2);
is(list('u1'), 'one', 'not used') for 1 .. 4;
like(error_log(), qr/the replica is unavailable: its schema has version/,
     'logged');
$replica->sql('UPDATE chat.chat_schema SET version = version - 100');
by_replica('u1');


=== the first replica that does not lag is used
--- http eval: "chat_db_replica unix:$::other->{socket} unix:$::replica->{socket};"
--- given
message(u2 => 'u1', 'one');
mark();
--- then
by_replica('u1');
like(error_log(), qr/the replica "unix:\Q$other->{socket}\E" lags/, 'logged');


=== changes on another host are in the next response
--- http eval: $::far . 'chat_hosts on; chat_session_check 1h;'
--- change
s{chat_db    unix:\S+}{chat_db unix:$first};
--- given
message(u2 => 'u1', 'one');
mark();
--- then
for my $n (1 .. 5) {
    by_replica('u1');
    $replica->hold;

    # stored by another host without a notification
    my $id = message(u1 => 'u2', "elsewhere $n");
    like(list('u1'), qr/^elsewhere $n, /, 'listed');
    like(inbox('u1'), qr/^u2: elsewhere $n, /, 'inbox');
    like(list('u2', '/api/v1/message/?before=latest'), qr/^elsewhere $n, /,
         'also for the other user');

    $replica->apply;
    mark();
}

by_replica('u1');
my ($before, @bodies);
$slow->slow;

# on a busy machine the primary may return its position too late
for (1 .. 3) {
    @bodies = ();
    $before = api('', GET => '/chat/status')->json;
    request($_ % 2 ? 'u1' : 'u2', GET => '/api/v1/message/')
        ->then(sub { push @bodies, texts($_[0]->json->{results}) })
        for 1 .. 100;
    ok(wait_until(sub { @bodies == 600 }), '100 simultaneous reads');
    last if 600 == grep { / by the replica$/ } @bodies;
}

is(scalar(grep { / by the replica$/ } @bodies), 600,
   'all read from the replica');

# one position query serves all waiting reads
my $after = api('', GET => '/chat/status')->json;
my ($questions) = map { $after->{queries}{position}{seconds}{count} - $_ }
                      $before->{queries}{position}{seconds}{count};
cmp_ok($questions, '>', 0, 'position queries');
# each worker has two waiting reads per user
cmp_ok($questions, '<', 70, 'fewer than reads');
diag("$questions position queries");
$slow->pass;

# reads do not wait if a position query cannot be sent
$before = reads();
$slow->refuse;
list('u1');
my ($begin, $longest) = (time, 0);

# until positions expire
while (time < $begin + 2) {
    my $since = time;

    list('u1');
    $longest = time - $since if time - $since > $longest;
    settle(0.02);
}

cmp_ok($longest, '<', 0.7 * slowness(), 'no read waits');
cmp_ok(reads()->{unavailable}, '>', $before->{unavailable}, 'counted')
    or diag(JSON::PP->new->canonical->encode([$before, reads()]));
$slow->pass;
by_replica('u1');


=== a sent message is in the next response after a reload
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
--- then
by_replica('u1');
$replica->hold;
put('u1', 'u2', 'two');
my @old = worker_pids();
kill HUP => master_pid();
ok(wait_until {
    my %old = map { $_ => 1 } @old;
    my @new = worker_pids();
    @new == 2 && !grep { $old{$_} } @new;
}, 'reloaded');
is(list('u1'), 'two, one', 'the message is listed') for 1 .. 20;
$replica->apply;
mark();
by_replica('u1');


=== no request fails while a replica disconnects, is slow or stops responding
--- http eval: "chat_db_replica unix:$::way;"
--- given
message(u2 => 'u1', 'one');
message(u1 => 'u2', 'two');
--- then
mark();
is(list('u3'), '', 'no messages of other users');

for my $fault (qw(cut swallow stall hold slow trickle refuse)) {
    by_replica($_) for 'u1', 'u2';
    $proxy->$fault;
    is(list($_ % 2 ? 'u1' : 'u2') =~ s/ by the replica//gr, 'two, one', $fault)
        for 1 .. 8;
    $proxy->pass;
}
