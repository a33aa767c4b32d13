#
# Copyright (C) ngx_chat contributors
#

# chat_db_replica: reads by a replica, and what one has sent or been told of is
# never missing from the next answer, however far the replica is behind.
#
# What is "by the replica" can be told: there alone each text has that behind
# it, put there by hand.

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat::Galera ();
use Chat::Proxy;
use Chat::Server;

our ($primary, $replica, $other);

BEGIN {
    # the tables and the account are there, but it follows nobody
    $other = Chat::Server->new(options => Chat::Server->replica);

    $primary = Chat::Server->new(
        options => Chat::Server->binlog(Chat::Galera::free_port()));
    $replica = Chat::Server->new(options => Chat::Server->replica,
                                 of => $primary);
}

use Chat;

our $far = 'chat_db_replica unix:' . $replica->{socket} . ';';

# ways on which things happen, to the replica and to the primary
our ($way, $first) = map { "$primary->{dir}/$_.sock" } 'way', 'first';
our $proxy = Chat::Proxy->new($way, $replica->{socket});
our $slow = Chat::Proxy->new($first, $primary->{socket});


# replicated: the replica has all that the primary has

sub replicated {
    ok($replica->reaches($primary->position), 'replicated');
}


# mark: all messages so far, on the replica

sub mark {
    replicated();
    $replica->sql("UPDATE chat.chat_message SET body ="
                  . " CONCAT(body, ' by the replica')"
                  . " WHERE body NOT LIKE '% by the replica'");
}


# list WHO, [PATH]: the texts

sub list {
    my ($who, $path) = @_;

    my $res = api($who, GET => $path // '/api/v1/message/');

    return $res->code if $res->code != 200;
    return join ', ', texts($res->json->{results});
}


# inbox WHO: "peer: last text, unread, read", of each conversation

sub inbox {
    my ($who) = @_;

    return join '; ', map { "$_->{user}: $_->{last_message}{body},"
                            . " $_->{unread}, $_->{peer_read_id}" }
                          @{ api($who, GET => '/api/v1/conversation/')
                                 ->json->{results} };
}


# by_replica WHO: soon enough answers come from there, by whichever worker

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

=== what a replica does, and what not
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
like(api('u1', GET => '/api/v1/user/?search=u')->body, qr/"u9"/, 'people');

is(list('u1', '/api/v1/message/?after=0'), 'one', 'after= is not its');
is(api('u3', GET => '/api/v1/user/9/')->code, 404, 'nor is a person by id');
is(api('u2', GET => '/api/v1/message/1/')->json->{body}, 'one',
   'nor a message');
put('u1', 'u2', 'two');
is(list('u1'), 'two, one', 'nor what is read just after a send');

my $reads = reads();
cmp_ok($reads->{ok}, '>=', 6, 'counted');
cmp_ok($reads->{recent}, '>=', 1, 'those not, too');
is($reads->{lagging}, 0, 'which were not for a lag');
cmp_ok(api('', GET => '/chat/status')->json->{db_replica_connections}, '>', 0,
       'connections');
$replica->sql('DELETE FROM chat.chat_user WHERE id = 9');


=== what one has sent is in one's next answer, while the replica stands still
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
    like(list('u2'), qr/^new $n, /, 'of whom it is sent to, too');
    like(inbox('u2'), qr/^u1: new $n, $n, /, 'inbox');

    $replica->apply;
    mark();
}


=== so is what one has marked as read
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
       'unread, says the replica');
    $replica->hold;
    is(api('u1', POST => '/api/v1/conversation/u2/read/', { id => $id })->code,
       200, 'read');
    is(inbox('u1'), "u2: new $n, 0, 0", 'read');

    $replica->apply;
}


=== so is what has been announced, whoever has stored it
--- http eval: $::far
--- server
location ~ ^/elsewhere/(?<channel>\d+)$ {
    nchan_publisher;
    nchan_channel_id $channel;
    nchan_channel_group chat;
}
--- given
message(u2 => 'u1', 'one');
mark();
--- undescribed: nchan answers publishers itself
--- then
my $number = 0;

# another host: it has the database and Redis in common with this one
my $elsewhere = sub {
    my ($told) = @_;

    my $id = message(u2 => 'u1', 'new ' . ++$number);
    my $ua = Mojo::UserAgent->new;
    $ua->post(url('/elsewhere/1') => qq({"message": "$id"}));
    ok(wait_until(sub { $told->($id) }), 'told');
    like(list('u1'), qr/^new $number, /, 'and so it is there');
};

for my $n (1 .. 3) {
    my $socket = web_socket('u1');
    by_replica('u1');
    $replica->hold;
    $elsewhere->(sub { grep { /"$_[0]"/ } @{ $socket->{frames} } });
    close_all($socket);
    $replica->apply;
    mark();

    my $source = event_source('u1');
    by_replica('u1');
    $replica->hold;
    $elsewhere->(sub { $source->{text} =~ /"$_[0]"/ });
    close_all($source);
    $replica->apply;
    mark();

    my $poll = long_poll('u1');
    by_replica('u1');
    $replica->hold;
    $elsewhere->(sub { $poll->{text} =~ /"$_[0]"/ });
    close_all($poll);
    $replica->apply;
    mark();
}


=== so is all that a cursor stands for, and a message that was fetched
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
       'the cursor is behind it');
    like(list('u1'), qr/^later $n, /, 'and the page has it');
    $replica->apply;
    mark();

    for my $from ('database', 'zone') {
        by_replica('u1');
        $replica->hold;
        $id = message(u2 => 'u1', "fetched $n");

        # by u2 for u1, who then finds it in the zone
        api('u2', GET => "/api/v1/message/$id/") if $from eq 'zone';
        is(api('u1', GET => "/api/v1/message/$id/")->json->{body},
           "fetched $n", "fetched, from the $from");
        like(list('u1'), qr/^fetched $n, /, 'and the page has it');
        $replica->apply;
        mark();
    }
}


=== a replica that is behind: the database does its work, until it is not
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
--- then
by_replica($_) for 'u1', 'u2';
$replica->hold;
message(u2 => 'u1', 'two');
settle(4);

# nobody has been told of it, but a position that is asked for by now has it
is(list('u1'), 'two, one', 'not by the replica');

my $end = time + 8;
while (time < $end) {
    is(list($_), 'two, one', 'nor later') for 'u1', 'u2';
    settle(0.2);
}

cmp_ok(reads()->{lagging}, '>', 0, 'counted');
like(error_log(), qr/\[warn\].*the replica "unix:\S+" lags, the database does/,
     'told');
cmp_ok(scalar(() = error_log() =~ /\[warn\].* lags,/g), '<=', 2,
       'once by each worker');

$replica->apply;
mark();
by_replica('u1');
ok(wait_until(sub { list($_) for 'u1', 'u2';
                    error_log() =~ /\[notice\].*has caught up/ }), 'told');


=== a replica that is killed, then hangs, then is back: no request fails
--- http eval: $::far . 'chat_db_connect_timeout 500ms;'
--- given
message(u2 => 'u1', 'one');
mark();
--- then
my (%codes, $open);

# for SECONDS there are eight readers
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
is(join(' ', keys %codes), 200, 'killed');
like(error_log(), qr/\[error\].*chat: the replica is out of reach: /, 'told');
unlike(error_log(), qr/the database is out of reach/, 'of the replica only');

$replica->start;
mark();
by_replica('u1');
Mojo::IOLoop->timer(0.5 => sub { $replica->stop });
cmp_ok($readers->(4), '<', 3, 'hung: none waits for long');
is(join(' ', keys %codes), 200, 'and none fails');

$replica->cont;
by_replica('u1');
is(api('', GET => '/chat/status')->json->{db_failures}{given_up}, 0,
   'none was given up');


=== no binary log, no position: said once, and nothing is asked of replicas
--- http eval: "chat_db_replica unix:$::primary->{socket};"
--- change
s{chat_db    unix:\S+}{chat_db unix:$replica->{socket}};
--- given
message(u2 => 'u1', 'one');
mark();
--- then
settle(2.5);
is(list('u1'), 'one by the replica', 'it works') for 1 .. 4;
is(reads()->{ok}, 0, 'by the database');
cmp_ok(reads()->{unavailable}, '>=', 4, 'counted');
is(scalar(() = error_log() =~ /\[error\].*replicas are not used: the database has no GTID/g),
   1, 'told once');


=== tables of another version, on the replica
--- http eval: $::far
--- given
message(u2 => 'u1', 'one');
mark();
$replica->sql('UPDATE chat.chat_schema SET version = version - 1');
--- then
settle(1.2);
is(list('u1'), 'one', 'not used') for 1 .. 4;
like(error_log(), qr/the replica is out of reach: its schema has version/,
     'told');
$replica->sql('UPDATE chat.chat_schema SET version = version + 1');
by_replica('u1');


=== of several the first that is not behind
--- http eval: "chat_db_replica unix:$::other->{socket} unix:$::replica->{socket};"
--- given
message(u2 => 'u1', 'one');
mark();
--- then
by_replica('u1');
like(error_log(), qr/the replica "unix:\Q$other->{socket}\E" lags/, 'told');


=== several hosts: what one has done on another one is there
--- http eval: $::far . 'chat_hosts on;'
--- change
s{chat_db    unix:\S+}{chat_db unix:$first};
--- given
message(u2 => 'u1', 'one');
mark();
--- then
for my $n (1 .. 5) {
    by_replica('u1');
    $replica->hold;

    # by another host, and nobody has said a word here
    my $id = message(u1 => 'u2', "elsewhere $n");
    like(list('u1'), qr/^elsewhere $n, /, 'there');
    like(inbox('u1'), qr/^u2: elsewhere $n, /, 'inbox');
    like(list('u2', '/api/v1/message/?before=latest'), qr/^elsewhere $n, /,
         'for the other, too');

    $replica->apply;
    mark();
}

by_replica('u1');
my $before = api('', GET => '/chat/status')->json;
my @bodies;
$slow->slow;
request('u1', GET => '/api/v1/message/')->then(sub { push @bodies, texts($_[0]->json->{results}) })
    for 1 .. 100;
ok(wait_until(sub { @bodies == 600 }), 'a hundred at once');
is(scalar(grep { / by the replica$/ } @bodies), 600, 'all by the replica');

# "position" is asked for all that wait, not for each
my $after = api('', GET => '/chat/status')->json;
my ($questions) = map { $after->{queries}{position}{seconds}{count} - $_ }
                      $before->{queries}{position}{seconds}{count};
cmp_ok($questions, '>', 0, 'after questions');
cmp_ok($questions, '<', 40, 'but fewer');
diag("$questions questions");
$slow->pass;

# a question that cannot be put: nobody waits for its answer
$before = reads();
$slow->refuse;
list('u1');
my ($begin, $longest) = (time, 0);

# as long as answers are not too old
while (time < $begin + 2) {
    my $since = time;

    list('u1');
    $longest = time - $since if time - $since > $longest;
    settle(0.02);
}

cmp_ok($longest, '<', 0.7, 'none waits');
cmp_ok(reads()->{unavailable}, '>', $before->{unavailable}, 'counted');
$slow->pass;
by_replica('u1');


=== after a reload, with what one has sent before
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
is(list('u1'), 'two, one', 'there') for 1 .. 20;
$replica->apply;
mark();
by_replica('u1');


=== a replica that breaks off, is slow, or says no end: no request fails
--- http eval: "chat_db_replica unix:$::way;"
--- given
message(u2 => 'u1', 'one');
message(u1 => 'u2', 'two');
--- then
mark();
is(list('u3'), '', 'nothing for others');

for my $fault (qw(cut swallow stall hold slow trickle refuse)) {
    by_replica($_) for 'u1', 'u2';
    $proxy->$fault;
    is(list($_ % 2 ? 'u1' : 'u2') =~ s/ by the replica//gr, 'two, one', $fault)
        for 1 .. 8;
    $proxy->pass;
}
