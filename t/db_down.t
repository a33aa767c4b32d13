#
# Copyright (C) ngx_chat contributors
#

# the database is not there, or goes away and comes back

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

# A port that answers nobody, as a host that is off: its listener accepts
# nothing, and has as many connections waiting as it may.

our $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
    or die "listen: $!\n";
listen $mute, 0;
our @waiting = map {
    IO::Socket::INET->new(PeerAddr => $mute->sockhost . ':' . $mute->sockport,
                          Blocking => 0)
} 1 .. 3;

run_tests();


__DATA__

=== down when nginx starts: other things are served, chat says 503
--- workers: 1
--- given
$proxy->refuse;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(api('', GET => '/up')->code, 200, 'the rest of the site');

for (1 .. 10) {
    my $start = time;
    my $res = list();

    is($res->code, 503, 'chat');
    like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'later');
    like($res->body, qr/^\{"detail":"[^"]+"\}$/, 'why');
    ok(time - $start < 0.5, 'at once');
}

for my $path ('/', '/ws') {
    my $res = api('u1', GET => $path);

    is($res->code, 503, $path);
    like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'later');
}

$proxy->pass;

ok(wait_until(sub { list()->code == 200 }, 4), 'back by itself');
like(error_log(), qr/\[notice\].* chat: the database is back/, 'and says so');


=== a server that does not answer: the others of the worker do
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
    is(api('', GET => '/up')->code, 200, 'the rest of the site');
    push @up, time - $begin;
    settle(0.1);
}

is($code, 503, 'no database');
cmp_ok(time - $start, '<', 2, 'in time');
cmp_ok((sort { $b <=> $a } @up)[0], '<', 0.5, 'nobody else has waited');
like(error_log(), qr/out of reach: timed out/, 'the log says why');


=== a server that does not answer, and one that does
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:([^ ]+)}{'127.0.0.1:' . $mute->sockport . " unix:$socket"}e;
--- http
chat_db_connect_timeout 500ms;
--- then
my $start = time;
is(list()->code, 200, 'by the second');
cmp_ok(time - $start, '<', 2, 'in time');
like(error_log(), qr/is left for "unix:\Q$socket\E": timed out/,
     'the log says why');


=== every endpoint, for somebody who is known and for somebody who is not
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

# u1's session is in the zone, u2's is not
is(api('u1', GET => '/api/v1/session/')->code, 200, 'known') for 1 .. 4;
$proxy->refuse;

sub down {
    my ($who, $name, $res) = @_;

    is($res->code, 503, "$who: $name");
    like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'later');
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

down('', 'the log-in form',
     Mojo::UserAgent->new->post(url('/login/') => form => $login)->res);
down('u1', 'the log-out link', api('u1', GET => '/logout/'));
down('u2', $_, api('u2', GET => $_)) for '/', '/ws';


=== it is told once that the database is down
--- workers: 1
--- given
$proxy->refuse;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my $end = time + 1;

while (time < $end) {
    is(list()->code, 503, 'down');
    select undef, undef, undef, 0.05;
}

my @told = error_log() =~ /\[(?:warn|error|crit|alert|emerg)\].* chat: .*/g;
is(scalar @told, 1, 'one line') or diag(join "\n", @told);
like($told[0], qr/out of reach: .*\Q$socket\E/, 'which says what it is');


=== down for a moment, with connections open
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(list()->code, 200, 'up') for 1 .. 10;

$proxy->refuse;
is(list()->code, 503, 'down') for 1 .. 10;

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4), 'up again');


=== sends of unknown outcome, and then no database to ask about them
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
is("@codes", '201', 'they are known');

$proxy->hold;
send_all(1 .. 8);
is("@codes", join(' ', (503) x 8), 'nobody knows');

# those that see to it look every second
$proxy->refuse;
settle(2.5);
is(list()->code, 503, 'down');
is(join(' ', worker_pids()), "@pids", 'the worker lives');

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4), 'up');
my @stored = sql("SELECT id FROM chat_message WHERE body LIKE 'text %'");
ok(wait_until(sub { @{ $u2->{frames} } >= @stored }, 5),
   'what was stored is announced');


=== connections that ended while nobody used them
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(list()->code, 200, 'open') for 1 .. 20;

my $opened = $proxy->cut;
is(list()->code, 200, 'nobody notices') for 1 .. 20;
ok($proxy->opened > $opened, 'there are new ones');


=== the session is not lost with the database
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'up') for 1 .. 5;

$proxy->refuse;
select undef, undef, undef, 2.5;
isnt(api('u1', GET => '/api/v1/session/')->code, 403, 'down, not logged out')
    for 1 .. 5;

$proxy->pass;
ok(wait_until(sub { api('u1', GET => '/api/v1/session/')->code == 200 }, 4),
   'up');
