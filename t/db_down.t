#
# Copyright (C) ngx_chat contributors
#

# an unavailable database, and its return

use File::Temp qw(tempdir);
use IO::Socket::INET;
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Proxy;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});

sub list {
    return api('u1', GET => '/api/v1/message/');
}

# A port that does not respond, like a host that is down: its listener accepts
# no connection, and its queue is full.

our $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
    or die "listen: $!\n";
listen $mute, 0;
our @waiting = map {
    IO::Socket::INET->new(PeerAddr => $mute->sockhost . ':' . $mute->sockport,
                          Blocking => 0)
} 1 .. 3;

run_tests();


__DATA__

=== nginx starts without the database and returns 503 for chat only
--- workers: 1
--- given
$proxy->refuse;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(api('', GET => '/up')->code, 200, 'the rest of the site works');

for (1 .. 10) {
    my $start = time;
    my $res = list();

    is($res->code, 503, 'an API request gets a 503');
    like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/,
         'with Retry-After');
    like($res->body, qr/^\{"detail":"[^"]+"\}$/, 'with the reason');
    ok(time - $start < 0.5, 'without delay');
}

for my $path ('/', '/ws') {
    my $res = api('u1', GET => $path);

    is($res->code, 503, $path);
    like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/,
         'with Retry-After');
}

$proxy->pass;

ok(wait_until(sub { list()->code == 200 }, 4), 'requests succeed again');
like(error_log(), qr/\[notice\].* chat: the database is available again/,
     'and the log reports it');


=== a server that does not respond does not delay other requests
--- workers: 1
--- change
s{unix:[^ ]+}{'127.0.0.1:' . $mute->sockport}e;
--- http
chat_db_connect_timeout 1s;
--- then
my ($code, @up);
my $start = time;

request('u1', GET => '/api/v1/message/')
    ->then(sub { $code = $_[0]->code }, sub { $code = "none: @_" });

until (defined $code || time - $start > 5) {
    my $begin = time;
    is(api('', GET => '/up')->code, 200, 'the rest of the site works');
    push @up, time - $begin;
    settle(0.1);
}

is($code, 503, 'no database');
cmp_ok(time - $start, '<', 2, 'within the timeout');
cmp_ok((sort { $b <=> $a } @up)[0], '<', 0.5, 'no other request waits');
like(error_log(), qr/is unavailable: timed out/, 'the log reports the reason');


=== the second server is used if the first one does not respond
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:([^ ]+)}{'127.0.0.1:' . $mute->sockport . " unix:$socket"}e;
--- http
chat_db_connect_timeout 500ms;
--- then
my $start = time;
is(list()->code, 200, 'a response from the second server');
cmp_ok(time - $start, '<', 2, 'within the timeout');
like(error_log(), qr/failover from database server "\S+" to "unix:\Q$socket\E": timed out/,
     'the log reports the reason');


=== every endpoint returns 503, with and without a cached session
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my $login = { username => 'u1', password => 'correct horse' };

my @requests = (
    [GET => 'message/'], [GET => 'message/?target=u2'],
    [GET => 'message/?after=1'], [GET => 'message/?before=9'],
    [GET => 'message/1/'], [HEAD => 'message/'],
    [POST => 'message/', { recipient => 'u2', body => 'hello' }],
    [GET => 'user/'], [GET => 'user/?search=u'], [GET => 'user/2/'],
    [GET => 'conversation/'], [POST => 'conversation/u2/read', { id => 1 }],
    [POST => 'session/', $login], [DELETE => 'session/'],
    [POST => 'password/', { old_password => 'correct horse',
                            new_password => 'battery staple' }],
    [GET => '/chat/status/ready'],
);

# the session of u1 is in the zone, that of u2 is not
is(api('u1', GET => '/api/v1/session/')->code, 200, 'known') for 1 .. 4;
$proxy->refuse;

sub down {
    my ($who, $name, $res) = @_;

    is($res->code, 503, "$who: $name");
    like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/,
         'with Retry-After');
}

for my $request (@requests) {
    my ($method, $path, $json) = @$request;

    $path = "/api/v1/$path" if $path !~ m{^/};
    down($_, "$method $path", api($_, $method, $path, $json)) for 'u1', 'u2';
}

# without a session, or with one that cannot be looked up
for my $method (qw(GET HEAD OPTIONS POST PUT DELETE)) {
    down('u2', "$method no/such/path",
         api('u2', $method, '/api/v1/no/such/path/'));
}

down('', 'the login form',
     Mojo::UserAgent->new->post(url('/login/') => form => $login)->res);
down('u1', 'the logout link', api('u1', GET => '/logout/'));
down('u2', $_, api('u2', GET => $_)) for '/', '/ws';


=== an unavailable database is logged once
--- workers: 1
--- given
$proxy->refuse;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my $end = time + 1;

while (time < $end) {
    is(list()->code, 503, 'unavailable');
    select undef, undef, undef, 0.05;
}

my @logged = error_log() =~ /\[(?:warn|error|crit|alert|emerg)\].* chat: .*/g;
is(scalar @logged, 1, 'one line') or diag(join "\n", @logged);
like($logged[0], qr/is unavailable: .*\Q$socket\E/, 'with the reason');


=== requests succeed after a short outage with open connections
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(list()->code, 200, 'available') for 1 .. 10;

$proxy->refuse;
is(list()->code, 503, 'unavailable') for 1 .. 10;

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4), 'available again');


=== workers survive an outage while sends have an unknown outcome
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_timeout 500ms;
--- then
sub post {
    return request('u1', POST => '/api/v1/message/',
                   { recipient => 'u2', body => "text $_[0]" });
}

my @codes;

sub send_all {
    my (@texts) = @_;

    @codes = ();
    post($_)->then(sub { push @codes, $_[0]->code }) for @texts;
    wait_until { @codes == @texts };
}

my @pids = worker_pids();
my $u2 = web_socket('u2');
send_all(0);
is("@codes", '201', 'the users are in the zone');

$proxy->hold;
send_all(1 .. 8);
is("@codes", join(' ', (503) x 8), 'the outcome is unknown');

# the outbox is checked every second
$proxy->refuse;
settle(2.5);
is(list()->code, 503, 'unavailable');
is(join(' ', worker_pids()), "@pids", 'the same workers run');

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4), 'available');
my @stored = sql("SELECT id FROM chat_message WHERE body LIKE 'text %'");
ok(wait_until(sub { @{ $u2->{frames} } >= @stored }, 5),
   'stored messages are notified');


=== closed idle connections are replaced
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(list()->code, 200, 'available') for 1 .. 20;

my $opened = $proxy->cut;
is(list()->code, 200, 'requests do not fail') for 1 .. 20;
ok($proxy->opened > $opened, 'new connections are opened');


=== sessions survive an outage of the database
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'available') for 1 .. 5;

$proxy->refuse;
select undef, undef, undef, 2.5;
isnt(api('u1', GET => '/api/v1/session/')->code, 403,
     'unavailable, but not logged out')
    for 1 .. 5;

$proxy->pass;
ok(wait_until(sub { api('u1', GET => '/api/v1/session/')->code == 200 }, 4),
   'available');
