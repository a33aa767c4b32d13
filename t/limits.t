#
# Copyright (C) ngx_chat contributors
#

# limits by nginx's own limit_req and limit_conn, as the example has them: per
# person where it is known who is calling, per address where it is not

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;

# limits: switches those of nginx.conf.example on, in the configuration in $_

sub limits {
    s/^( *)#(?=[^\s#])/$1/mg >= 25 or die "no limits in the configuration\n";
}

our $Limited = '{"detail":"Too many requests. Try again later."}';

# from others than this one
our $Real_ip = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Real-IP;\n";

# flood N, CODE: N promises of responses at once: the responses, in no order

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

# codes RESPONSES: how many of each

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

=== one's flood is stopped, by an answer that a client can handle
--- change
limits();
--- then
my $start = time;
my @responses = flood(120, sub { send_from('u1', $_[0]) });
my $most = 51 + 10 * (time - $start + 1);
my $codes = codes(@responses);

cmp_ok($codes->{201} // 0, '>=', 51, 'the burst is sent');
cmp_ok($codes->{201} // 0, '<=', $most, 'little more') or diag(%$codes);
is(($codes->{201} // 0) + ($codes->{429} // 0), 120, 'the others are refused');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $codes->{201},
   'and not stored');

my ($res) = grep { $_->code == 429 } @responses;

is($res->body, $Limited, 'in JSON');
is($res->headers->content_type, 'application/json', 'of that type');
is($res->headers->header('Retry-After'), 1, 'with a time');
is($res->headers->header('X-Content-Type-Options'), 'nosniff', 'nosniff');
is($res->headers->cache_control, 'no-store', 'for nobody else');


=== what was refused is taken later, and once
--- change
limits();
--- then
my @responses = flood(80, sub { send_from('u1', $_[0]) });
is(codes(@responses)->{429} > 0, 1, 'some are refused');
my $stored = sql('SELECT COUNT(*) FROM chat_message');

my ($res) = grep { $_->code == 429 } @responses;
settle($res->headers->header('Retry-After'));

is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u3', body => 'again' })->code, 201,
   'after the time that was told');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $stored + 1, 'once');


=== one's flood does not hinder another
--- change
limits();
--- then
my ($flooding, $answered, %codes) = (1, 0);

# u1 keeps 20 sends under way

my $next;
$next = sub {
    return if !$flooding;

    send_from('u1', 'x')->then(sub { $codes{ $_[0]->code }++ })
                        ->finally(sub { $answered++; $next->() });
};

$next->() for 1 .. 20;
wait_until { $codes{429} };

my (@seconds, %others);

for my $n (1 .. 30) {
    my ($start, $res) = time;

    send_from('u2', $n)->then(sub { $res = $_[0] });
    wait_until { $res };
    push @seconds, time - $start;
    $others{ $res->code }++;
}

$flooding = 0;
settle();

is_deeply(\%others, { 201 => 30 }, 'all of u2 are sent');
cmp_ok((sort { $a <=> $b } @seconds)[15], '<', 0.5, 'in good time');
cmp_ok($codes{429} // 0, '>', 30, 'while u1 is refused') or diag(%codes);


=== a person counts as one, whatever the session and the way in
--- change
limits();
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
cmp_ok($codes->{201} // 0, '<', 90, 'not many sends') or diag(%$codes);
cmp_ok($codes->{429} // 0, '>', 60, 'the others are refused');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), $codes->{201}, 'stored');


=== who may not send may still read, mark as read and listen
--- change
limits();
--- given
message(u2 => 'u1', 'x');
--- then
my $codes = codes(flood(80, sub { send_from('u1', $_[0]) }));
cmp_ok($codes->{429} // 0, '>', 0, 'sends are refused');

is(api('u1', GET => '/api/v1/message/')->code, 200, 'reading');
is(api('u1', POST => '/api/v1/conversation/u2/read/', { id => 1 })->code, 200,
   'marking as read');
is(web_socket('u1')->{code}, 101, 'listening');


=== requests of nobody are counted by address alone
--- change
limits();
--- then
my $codes = codes(flood(100, sub { send_from('', $_[0]) }));
is_deeply($codes, { 403 => 100 }, 'not by the limit for people');
is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u2', body => 'x' })->code, 201, 'which is as it was');


=== an address that asks too much of anything is stopped, and no other
--- change
limits();
s/zone=chat_address  burst=500/zone=chat_address  burst=40/ or die;
# however long the machine takes for a flood
s/rate=100r/rate=10r/ or die;
--- server eval: $::Real_ip
--- then
my $from = sub {
    my ($address, $path) = @_;

    return request('', GET => $path, undef, 'X-Real-IP' => $address);
};

my @responses = flood(150, sub { $from->('192.0.2.1', '/api/v1/message/') });
my $codes = codes(@responses);

cmp_ok($codes->{429} // 0, '>', 50, 'refused') or diag(%$codes);
my ($res) = grep { $_->code == 429 } @responses;
is($res->body, $Limited, 'in JSON');

is_deeply(codes(flood(20, sub { $from->('192.0.2.2', '/api/v1/message/') })),
          { 403 => 20 }, 'another address is not');


=== a flood of log-ins does not keep others from logging in
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

# right passwords: what throttles wrong ones does not see them

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
is_deeply(\%others, { 200 => 5 }, 'others are in');
cmp_ok($codes{429} // 0, '>', 200, 'the flood is refused') or diag(%codes);
is($codes{503}, undef, 'and never filled the queue of hashes');


=== a flood of log-ins without the limit does: the limit is needed
--- server eval: $::Real_ip
--- workers: 1
--- then
my $log_in = sub {
    my ($who, $address) = @_;

    return request('', POST => '/api/v1/session/',
                   { username => $who, password => 'correct horse' },
                   'X-Real-IP' => $address);
};

my ($left, %codes) = 300;

$log_in->('u4', '192.0.2.1')->then(sub { $codes{ $_[0]->code }++ })
    ->finally(sub { $left-- }) for 1 .. 300;

wait_until { $left == 0 };
cmp_ok($codes{503} // 0, '>', 0, 'some got 503') or diag(%codes);


=== the log-in form is counted with the log-ins of the API
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
cmp_ok($codes->{429} // 0, '>', 25, 'refused') or diag(%$codes);
cmp_ok(($codes->{200} // 0) + ($codes->{403} // 0), '<', 35, 'few are let in');
is(codes(map { $agent->get(url('/login/'))->res } 1 .. 10)->{200}, 10,
   'the page itself is not counted');


=== the module's own 429 stays what it is
--- change
limits();
--- then
my $res;

for (1 .. 12) {
    $res = api('', POST => '/api/v1/session/',
               { username => 'u1', password => 'wrong' });
    last if $res->code == 429;
}

is($res->code, 429, 'throttled');
is($res->body, '{"detail":"Too many attempts. Try again later."}',
   'as the module says it');
cmp_ok($res->headers->header('Retry-After'), '>', 1, 'with its own time');


=== one's sockets are limited, and another's are not
--- change
limits();
s/chat_sockets  20/chat_sockets  4/ or die;
--- then
my @sockets = map { web_socket('u1') } 1 .. 4;
is(join(' ', map { $_->{code} } @sockets), '101 101 101 101', 'open');

my $refused = event_source('u1');
is($refused->{code}, 429, 'no fifth');
is($refused->{text}, $Limited, 'it says why') or diag($refused->{text});
is(web_socket('u1')->{code}, 429, 'nor by a WebSocket');
is(web_socket('u2')->{code}, 101, "another's is open");

close_all(pop @sockets);
ok(wait_until { web_socket('u1')->{code} == 101 }, 'one goes, one may come');


=== sockets that a log-out closes are no longer counted
--- change
limits();
s/chat_sockets  20/chat_sockets  4/ or die;
--- given
add_session('u1', token => 'x' x 43);
--- then
my @sockets = map {
    web_socket('', headers => { Cookie => 'sessionid=' . 'x' x 43 })
} 1 .. 4;

is(join(' ', map { $_->{code} } @sockets), '101 101 101 101', 'open');
is(web_socket('u1')->{code}, 429, 'no more');

api('', DELETE => '/api/v1/session/', undef,
    Cookie => 'sessionid=' . 'x' x 43);

ok(wait_until { 4 == grep { $_->{closed} } @sockets }, 'closed');
my @again = map { my $socket; wait_until { $socket = web_socket('u1');
                                           $socket->{code} == 101 }; $socket }
                1 .. 4;
is(join(' ', map { $_->{code} } @again), '101 101 101 101', 'open again');


=== a limit that delays instead of refusing
--- http
limit_req_zone $chat_user_id zone=slow:1m rate=5r/s;
--- api
limit_req zone=slow burst=20;
--- then
my $start = time;
my $codes = codes(flood(8, sub { send_from('u1', $_[0]) }));

is_deeply($codes, { 201 => 8 }, 'all are sent');
cmp_ok(time - $start, '>', 1.2, 'one after the other');


=== the answer of nginx alone, which has no JSON
--- undescribed: the site has left @chat_limited out
--- http
limit_req_zone $chat_user_id zone=slow:1m rate=1r/m;
limit_req_status 429;
--- api
limit_req zone=slow;
--- then
is(api('u1', GET => '/api/v1/user/')->code, 200, 'one');

my $res = api('u1', GET => '/api/v1/user/');
is($res->code, 429, 'no more');
like($res->headers->content_type, qr{^text/html}, 'in HTML');
is($res->headers->header('Retry-After'), undef, 'without a time');
