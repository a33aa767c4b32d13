#
# Copyright (C) ngx_chat contributors
#

# rate limits with limit_req and limit_conn, as in the example: per user for
# authenticated requests, per address for others

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;

# limits: enables the limits of nginx.conf.example, in the configuration in $_

sub limits {
    s/^( *)#(?=[^\s#])/$1/mg >= 25 or die "no limits in the configuration\n";
}

# slowly: limits with a tenth of the rates, since a flood may take seconds

sub slowly {
    limits();
    s/rate=(\d+)0r/rate=$1r/g >= 2 or die "no rates in the configuration\n";
}

our $Limited = '{"detail":"Too many requests. Try again later."}';

# requests from other addresses
our $Real_ip = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Real-IP;\n";

# flood N, CODE: N concurrent requests; returns the responses, in no order

sub flood {
    my ($n, $request) = @_;

    my @responses;
    my $left = $n;

    for my $i (1 .. $n) {
        $request->($i)->then(sub { push @responses, $_[0] })
                      ->finally(sub { $left-- });
    }

    wait_until { $left == 0 };

    return @responses;
}

# codes RESPONSES: the number of responses by status

sub codes {
    my %codes;

    $codes{ $_->code }++ for @_;

    return \%codes;
}

sub send_from {
    my ($who, $body) = @_;

    return request($who, POST => '/api/v1/message/',
                   { recipient => 'u3', body => "$body" });
}

run_tests();


__DATA__

=== a user's flood is limited with a 429 in JSON
--- change
slowly();
--- then
my $start = time;
my @responses = flood(120, sub { send_from('u1', $_[0]) });
my $most = 51 + time - $start + 1;
my $codes = codes(@responses);

cmp_ok($codes->{201} // 0, '>=', 51, 'the burst is accepted');
cmp_ok($codes->{201} // 0, '<=', $most,
       'little more is accepted') or diag(%$codes);
is(($codes->{201} // 0) + ($codes->{429} // 0), 120,
   'the other sends are rejected');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $codes->{201},
   'and not stored');

my ($res) = grep { $_->code == 429 } @responses;

is($res->body, $Limited, 'a response in JSON');
is($res->headers->content_type, 'application/json', 'with its content type');
is($res->headers->header('Retry-After'), 1, 'with Retry-After');
is($res->headers->header('X-Content-Type-Options'), 'nosniff', 'with nosniff');
is($res->headers->cache_control, 'no-store', 'without caching');


=== a send succeeds and is stored once after a 429 and a pause
--- change
limits();
--- then
my @responses = flood(80, sub { send_from('u1', $_[0]) });
is(codes(@responses)->{429} > 0, 1, 'some sends are rejected');
my $stored = sql('SELECT COUNT(*) FROM chat_message');

my ($res) = grep { $_->code == 429 } @responses;
settle($res->headers->header('Retry-After'));

is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u3', body => 'again' })->code, 201,
   'a send after the time of Retry-After succeeds');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $stored + 1,
   'it is stored once');


=== a user's flood does not delay other users
--- change
limits();
--- then
my ($flooding, $answered, %codes) = (1, 0);

# u1 always has 20 sends in progress

my $next;
$next = sub {
    return if !$flooding;

    send_from('u1', 'x')->then(sub { $codes{ $_[0]->code }++ })
                        ->finally(sub { $answered++; $next->() });
};

$next->() for 1 .. 20;
wait_until { $codes{429} };

my (@seconds, %others);

# a busy machine may delay all of an attempt
for my $attempt (1 .. 5) {
    @seconds = ();

    for my $n (1 .. 30) {
        my ($start, $res) = time;

        send_from('u2', $n)->then(sub { $res = $_[0] });
        wait_until { $res };
        push @seconds, time - $start;
        $others{ $res->code }++;
    }

    @seconds = sort { $a <=> $b } @seconds;
    last if $seconds[15] < 0.5;
}

$flooding = 0;
settle();

is(join(' ', keys %others), 201, 'all sends of u2 succeed');
cmp_ok($seconds[15], '<', 0.5, 'without delay');
cmp_ok($codes{429} // 0, '>', 30,
       'while sends of u1 are rejected') or diag(%codes);


=== a user has one limit for all sessions and paths
--- change
slowly();
--- given
add_session('u1', token => $_ x 43) for qw(a b c d);
--- then
my @ways = (
    [Cookie => 'sessionid=' . token('u1')],
    [Cookie => 'sessionid=' . 'a' x 43],
    [Authorization => 'Bearer ' . 'b' x 43],
    [Cookie => 'sessionid=' . 'c' x 43, 'X-Real-IP' => '192.0.2.1'],
    [Authorization => 'Bearer ' . 'd' x 43, 'X-Forwarded-For' => '192.0.2.1'],
);
my @paths = ('/api/v1/message/', '/api/v1/message', '/api/v1//message/',
             '/api/v1/%6dessage/', '/api/v1/./message/', '/api/v1/message/?x=y');

my @responses = flood(150, sub {
    my ($n) = @_;

    return request('', POST => $paths[$n % @paths],
                   { recipient => 'u3', body => "$n" }, @{ $ways[$n % @ways] });
});

my $codes = codes(@responses);
cmp_ok($codes->{201} // 0, '<', 90, 'few sends are accepted') or diag(%$codes);
cmp_ok($codes->{429} // 0, '>', 60, 'the other sends are rejected');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $codes->{201},
   'the accepted ones are stored');


=== a user at the limit of sends may read, mark as read and subscribe
--- change
limits();
--- given
message(u2 => 'u1', 'x');
--- then
my $codes = codes(flood(80, sub { send_from('u1', $_[0]) }));
cmp_ok($codes->{429} // 0, '>', 0, 'sends are rejected');

is(api('u1', GET => '/api/v1/message/')->code, 200, 'a read');
is(api('u1', POST => '/api/v1/conversation/u2/read/', { id => 1 })->code, 200,
   'a read mark');
is(web_socket('u1')->{code}, 101, 'a socket');


=== unauthenticated requests are counted by address only
--- change
limits();
--- then
my $codes = codes(flood(100, sub { send_from('', $_[0]) }));
is_deeply($codes, { 403 => 100 }, 'the limit per user does not apply');
is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u2', body => 'x' })->code, 201, 'and is not used up');


=== an address above its limit is limited, other addresses are not
--- change
limits();
s/zone=chat_address  burst=500/zone=chat_address  burst=40/ or die;
# the flood may take seconds
s/rate=100r/rate=10r/ or die;
--- server eval: $::Real_ip
--- then
my $from = sub {
    my ($address, $path) = @_;

    return request('', GET => $path, undef, 'X-Real-IP' => $address);
};

my @responses = flood(150, sub { $from->('192.0.2.1', '/api/v1/message/') });
my $codes = codes(@responses);

cmp_ok($codes->{429} // 0, '>', 50, 'requests are rejected') or diag(%$codes);
my ($res) = grep { $_->code == 429 } @responses;
is($res->body, $Limited, 'a response in JSON');

is_deeply(codes(flood(20, sub { $from->('192.0.2.2', '/api/v1/message/') })),
          { 403 => 20 }, 'another address is not limited');


=== a flood of logins does not prevent logins from other addresses
--- change
limits();
--- server eval: $::Real_ip
--- then
my $log_in = sub {
    my ($who, $password, $address) = @_;

    return request('', POST => '/api/v1/session/',
                   { username => $who, password => $password },
                   'X-Real-IP' => $address);
};

# correct passwords: throttling concerns wrong ones only

my ($left, %codes, %others) = 300;

$log_in->('u4', 'correct horse', '192.0.2.1')
    ->then(sub { $codes{ $_[0]->code }++ })->finally(sub { $left-- })
    for 1 .. 300;

for my $n (1 .. 5) {
    my $res;

    $log_in->('u1', 'correct horse', "192.0.2.2")->then(sub { $res = $_[0] });
    wait_until { $res };
    $others{ $res->code }++;
}

wait_until { $left == 0 };
is_deeply(\%others, { 200 => 5 }, 'logins from another address succeed');
cmp_ok($codes{429} // 0, '>', 200, 'the flood is limited') or diag(%codes);
is($codes{503}, undef, 'and does not fill the queue of hashes');


=== logins take turns by address without a limit
--- server eval: $::Real_ip
--- workers: 1
--- then
my $log_in = sub {
    my ($who, $address, $password) = @_;

    return request('', POST => '/api/v1/session/',
                   { username => $who, password => $password },
                   'X-Real-IP' => $address);
};

for my $password ('correct horse', 'wrong') {
    my ($left, %codes, %others) = (150);

    $log_in->('u4', '192.0.2.1', $password)
        ->then(sub { $codes{ $_[0]->code }++ })->finally(sub { $left-- })
        for 1 .. 150;

    for (1 .. 5) {
        my $res;

        $log_in->('u1', '192.0.2.2', 'correct horse')
            ->then(sub { $res = $_[0] });
        wait_until { $res };
        $others{ $res->code }++;
    }

    is_deeply(\%others, { 200 => 5 },
              "$password: logins from another address succeed");
    cmp_ok($left, '>', 0, 'during the flood') if $password ne 'wrong';

    wait_until(sub { $left == 0 }, 150);
    is($codes{503}, undef, 'no login is rejected because the queue is full');
    is($codes{429} // 0, $password eq 'wrong' ? 150 - $codes{403} : 0,
       'failures are throttled');
}


=== password changes take turns by user
--- workers: 1
--- then
my ($left, %codes) = (200);

request('u4', POST => '/api/v1/password/',
        { old_password => $Chat::Password, new_password => $Chat::Password })
    ->then(sub { $codes{ $_[0]->code }++ })->finally(sub { $left-- })
    for 1 .. 200;

for (1 .. 5) {
    is(api('', POST => '/api/v1/session/',
           { username => 'u1', password => $Chat::Password })->code, 200,
       'another user can log in');
}

wait_until(sub { $left == 0 }, 150);
is($codes{503}, undef, 'no request is rejected because the queue is full');


=== the login form shares the limit with logins by the API
--- change
limits();
--- then
my $agent = Mojo::UserAgent->new(max_connections => 0, max_redirects => 0);

my @responses = flood(60, sub {
    my ($n) = @_;

    return request('', POST => '/api/v1/session/',
                   { username => "n$n", password => 'x' }) if $n % 2;

    return $agent->post_p(url('/login/'),
                          form => { username => "n$n", password => 'x' })
                 ->then(sub { $_[0]->res });
});

my $codes = codes(@responses);
cmp_ok($codes->{429} // 0, '>', 25, 'logins are rejected') or diag(%$codes);
cmp_ok(($codes->{200} // 0) + ($codes->{403} // 0), '<', 35,
       'few logins are accepted');
is(codes(map { $agent->get(url('/login/'))->res } 1 .. 10)->{200}, 10,
   'the page itself is not limited');


=== the module's own 429 is not replaced
--- change
limits();
--- then
my $res;

for (1 .. 12) {
    $res = api('', POST => '/api/v1/session/',
               { username => 'u1', password => 'wrong' });
    last if $res->code == 429;
}

is($res->code, 429, 'the login is throttled');
is($res->body, '{"detail":"Too many attempts. Try again later."}',
   "with the module's reason");
cmp_ok($res->headers->header('Retry-After'), '>', 1, 'and its Retry-After');


=== the number of sockets per user is limited
--- change
limits();
s/chat_sockets  20/chat_sockets  4/ or die;
--- then
my @sockets = map { web_socket('u1') } 1 .. 4;
is(join(' ', map { $_->{code} } @sockets), '101 101 101 101',
   'four sockets are open');

my $refused = event_source('u1');
is($refused->{code}, 429, 'the fifth is rejected');
is($refused->{text}, $Limited, 'with the reason') or diag($refused->{text});
is(web_socket('u1')->{code}, 429, 'as a WebSocket, too');
is(web_socket('u2')->{code}, 101, "a socket of another user is open");

close_all(pop @sockets);
ok(wait_until { web_socket('u1')->{code} == 101 },
   'a closed socket makes room for another one');


=== sockets closed by a logout are no longer counted
--- change
limits();
s/chat_sockets  20/chat_sockets  4/ or die;
--- given
add_session('u1', token => 'x' x 43);
--- then
my @sockets = map {
    web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 })
} 1 .. 4;

is(join(' ', map { $_->{code} } @sockets), '101 101 101 101',
   'four sockets are open');
is(web_socket('u1')->{code}, 429, 'the fifth is rejected');

api('', DELETE => '/api/v1/session/', undef,
    Cookie => 'sessionid=' . 'x' x 43);

ok(wait_until { 4 == grep { $_->{closed} } @sockets },
   'the sockets are closed');
my @again = map { my $socket; wait_until { $socket = web_socket('u1');
                                           $socket->{code} == 101 }; $socket }
                1 .. 4;
is(join(' ', map { $_->{code} } @again), '101 101 101 101',
   'four new sockets are open');


=== limit_req may delay requests
--- http
limit_req_zone $chat_user_id zone=slow:1m rate=5r/s;
--- api
limit_req zone=slow burst=20;
--- then
my $start = time;
my $codes = codes(flood(8, sub { send_from('u1', $_[0]) }));

is_deeply($codes, { 201 => 8 }, 'all sends succeed');
cmp_ok(time - $start, '>', 1.2, 'one after the other');


=== without @chat_limited, the 429 is that of nginx
--- undescribed: a response without @chat_limited
--- http
limit_req_zone $chat_user_id zone=slow:1m rate=1r/m;
limit_req_status 429;
--- api
limit_req zone=slow;
--- then
is(api('u1', GET => '/api/v1/user/')->code, 200, 'the first request succeeds');

my $res = api('u1', GET => '/api/v1/user/');
is($res->code, 429, 'the second one is rejected');
like($res->headers->content_type, qr{^text/html}, 'in HTML');
is($res->headers->header('Retry-After'), undef, 'without Retry-After');
