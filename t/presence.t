#
# Copyright (C) ngx_chat contributors
#

# presence: "online" and "last_seen_at" of users, and the event "presence"

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);
use Chat::Sockets;
use Chat::Wire;

our $Time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/;

# people USER: a page of the list, as { NAME => USER }

sub people {
    my ($who) = @_;

    return { map { $_->{username} => $_ }
             @{ api($who, GET => '/api/v1/user/?limit=100')->json->{results} } };
}

# inbox USER: { NAME => CONVERSATION }

sub inbox {
    my ($who) = @_;

    return { map { $_->{user} => $_ }
             @{ api($who, GET => '/api/v1/conversation/')->json->{results} } };
}

# online USER, NAME: as both lists agree, by each worker

sub online {
    my ($who, $name) = @_;

    my %seen = map { ((people($who)->{$name}{online} ? 1 : 0)
                      . (inbox($who)->{$name}{online} ? 1 : 0) => 1) } 1 .. 4;

    return join ' ', sort keys %seen;
}

# events SOCKET: those of presence, as "NAME STATE"

sub events {
    return join ', ', map { /"user":"(\w+)","online":(\w+)/ ? "$1 $2" : $_ }
                      grep { /"presence"/ } @{ $_[0]{frames} };
}

sub event_socket { return web_socket($_[0], path => '/events') }

run_tests();


__DATA__

=== a user with an open socket is online
--- given
message(u1 => 'u2', 'hello');
--- timeout: 60
--- then
is(online('u1', 'u2'), '00', 'no socket is open');
is(people('u1')->{u2}{last_seen_at}, undef, 'the user was never seen');

my ($partner, $other) = map { event_socket($_) } qw(u1 u3);
my @sockets = map { event_socket('u2'), web_socket('u2') } 1 .. 4;

is(online('u1', 'u2'), '11', 'at once, for all workers');
ok(wait_until(sub { events($partner) }, 3 * slowness()), 'an event');
settle(2);
is(events($partner), 'u2 true', 'for the partner, once');
is(events($other), '', 'not for others');
like($partner->{frames}[0], qr/^\{"type":"presence","user":"u2","online":true,
                               "last_seen_at":"$Time"\}$/x, 'the event');

ok(wait_until { people('u1')->{u2}{last_seen_at} }, 'the time is stored');
like(people('u1')->{u2}{last_seen_at}, qr/^$Time$/, 'in the list');
like(inbox('u1')->{u2}{last_seen_at}, qr/^$Time$/, 'in the inbox');
is(api('u1', GET => '/api/v1/user/')->body,
   '[{"username":"u2"},{"username":"u3"},{"username":"u4"}]',
   'the list of all users has names only');

# the state is kept for ten seconds
close_all(@sockets);
my $closed = time;

is(online('u1', 'u2'), '11', 'without sockets for a moment');
@sockets = event_socket('u2');
settle(12);
is(online('u1', 'u2'), '11', 'still online');
is(events($partner), 'u2 true', 'a new socket is no event');

close_all(@sockets);
$closed = time;

ok(wait_until(sub { events($partner) =~ /false/ }, 14 * slowness()),
   'offline');
cmp_ok(time - $closed, '>', 9, 'after ten seconds');
is(events($partner), 'u2 true, u2 false', 'once');
is(online('u1', 'u2'), '00', 'in the lists');

my ($seen) = $partner->{frames}[-1] =~ /"last_seen_at":"($Time)"/;
ok(wait_until { people('u1')->{u2}{last_seen_at} ge substr $seen, 0, 20 },
   'with the time of the last socket');
my ($ago) = sql("SELECT TIMESTAMPDIFF(SECOND, last_seen_at, UTC_TIMESTAMP())
                 FROM chat_user WHERE username = 'u2'");
cmp_ok(abs($ago - (time - $closed)), '<', 3, 'which is stored');


=== neither a reload nor the death of a worker is an event
--- given
message(u1 => 'u2', 'hello');
--- timeout: 60
--- no_error_log
[emerg]
--- then
my $partner = event_socket('u1');
my @sockets = web_sockets('u2', 4);

ok(wait_until(sub { events($partner) }, 3 * slowness()), 'online');

my @old = worker_pids();
kill HUP => master_pid();
ok(wait_until { $partner->{closed} && !grep { !$_->{closed} } @sockets },
   'a reload closes sockets');
ok(wait_until { my @now = worker_pids();
                !grep { my $pid = $_; grep { $_ == $pid } @old } @now },
   'the old workers have exited');
$partner = event_socket('u1');
@sockets = web_sockets('u2', 4);

# the worker without the socket of the partner
my ($victim) = grep { $_ != Chat::Sockets::worker_of($partner) } worker_pids();
kill KILL => $victim;
ok(wait_until { grep { $_->{closed} } @sockets }, 'a worker dies');
settle(12);

is(online('u1', 'u2'), '11', 'online');
is(events($partner), '', 'no event');

# all sockets of the user end with their worker
close_all(@sockets);
my $socket;

for (1 .. 100) {
    $socket = web_socket('u2');
    last if Chat::Sockets::worker_of($socket)
            != Chat::Sockets::worker_of($partner);
    close_all($socket);
}

kill KILL => Chat::Sockets::worker_of($socket);
ok(wait_until(sub { events($partner) }, 15 * slowness()), 'an event');
is(events($partner), 'u2 false', 'offline');
--- error_log
exited on signal 9


=== presence does not cross a block
--- given
message(u1 => 'u2', 'hello');
message(u3 => 'u2', 'hello');
--- timeout: 60
--- then
my @partners = map { event_socket($_) } qw(u1 u3);

is(api('u2', PUT => '/api/v1/block/u1/')->code, 204, 'blocked');
my $socket = event_socket('u2');

ok(wait_until(sub { events($partners[1]) }, 3 * slowness()), 'an event');
is(events($partners[0]), '', 'none for the blocked user');
ok(wait_until { people('u3')->{u2}{last_seen_at} }, 'the time is stored');

is(online('u3', 'u2'), '11', 'online for others');
is(online('u1', 'u2'), '00', 'offline for the blocked user');
is(online('u2', 'u1'), '00', 'and the other way round');

for my $list (people('u1')->{u2}, inbox('u1')->{u2}) {
    ok(exists $list->{last_seen_at} && !defined $list->{last_seen_at},
       'without a time');
}

is(api('u2', DELETE => '/api/v1/block/u1/')->code, 204, 'unblocked');
is(online('u1', 'u2'), '11', 'online');


=== events go to the 200 latest partners
--- given
sql("INSERT INTO chat_user (username, password)
     VALUES " . join ',', map { "('v$_', '!')" } 1 .. 210);
message("v$_" => 'u1', 'x') for 1 .. 210;
add_session($_) for qw(v1 v10 v11 v210);
--- timeout: 60
--- then
my %socket = map { $_ => event_socket($_) } qw(v1 v10 v11 v210);
my $socket = event_socket('u1');

ok(wait_until(sub { events($socket{v11}) && events($socket{v210}) },
              3 * slowness()), 'the latest 200');
settle(1);
is(join('', map { events($socket{$_}) } qw(v1 v10)), '', 'no others');


=== without chat_presence, there are no members and no events
--- given
message(u1 => 'u2', 'hello');
--- http
chat_presence off;
--- then
my @sockets = map { event_socket($_) } qw(u1 u2);
settle(3);

is(events($sockets[0]), '', 'no event');
is(api('u1', GET => '/api/v1/user/?limit=1')->body,
   '{"results":[{"username":"u2","display_name":null,"avatar_url":null}],'
   . '"has_more":true}', 'users');
unlike(api('u1', GET => '/api/v1/conversation/')->body,
       qr/online|last_seen_at/, 'inbox');
is(scalar sql("SELECT COUNT(*) FROM chat_user WHERE last_seen_at IS NOT NULL"),
   0, 'no time is stored');


=== a time is stored once a minute
--- given
message(u1 => 'u2', 'hello');
--- then
my $stored = sub {
    return api('', GET => '/chat/status')->json
           ->{queries}{'presence.store'}{seconds}{count} // 0;
};

my @sockets = map { event_socket('u1'), web_socket('u2') } 1 .. 4;
ok(wait_until { 2 == sql("SELECT COUNT(*) FROM chat_user
                          WHERE last_seen_at IS NOT NULL") }, 'stored');

my $before = $stored->();

for (1 .. 5) {
    close_all(splice @sockets);
    @sockets = map { event_socket('u1'), web_socket('u2') } 1 .. 2;
    settle(0.5);
}

is($stored->(), $before, 'and not again');


=== a locked user is skipped
--- given
message(u1 => 'u2', 'hello');
--- then
my $other = connect_db();
$other->begin_work;
$other->do("SELECT * FROM chat_user WHERE username = 'u1' FOR UPDATE");

my @sockets = map { web_socket($_) } qw(u1 u2);

ok(wait_until { sql("SELECT COUNT(*) FROM chat_user WHERE username = 'u2'
                     AND last_seen_at IS NOT NULL") }, 'the other is stored');
$other->rollback;
is(scalar sql("SELECT last_seen_at FROM chat_user WHERE username = 'u1'"),
   undef, 'the locked one is not');
