#
# Copyright (C) ngx_chat contributors
#

# GET and DELETE /api/v1/session/all/

use Test::Nginx::Socket 'no_plan';
use Chat;

# log_in NAME, HEADERS: the token of a new session

sub log_in {
    my ($name, @headers) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $name, password => $Chat::Password,
                 token => \1 }, @headers)->json->{token};
}

# with METHOD, PATH, TOKEN: the response

sub with {
    my ($method, $path, $token) = @_;

    return api('', $method => "/api/v1/$path", undef,
               Authorization => "Bearer $token");
}

# sessions TOKEN: the list

sub sessions {
    my ($token) = @_;

    return @{ with(GET => 'session/all/', $token)->json->{results} };
}

run_tests();


__DATA__

=== GET: the user's sessions, latest first
--- given
sql('DELETE FROM chat_session');
--- then
my $first = log_in('u1', 'User-Agent' => 'first/1.0');
my $second = log_in('u1', 'User-Agent' => 'second/2.0');
my $other = log_in('u2');

my $res = with(GET => 'session/all/', $first);
my @list = @{ $res->json->{results} };

is($res->code, 200, 'status');
is(scalar @list, 2, 'only the sessions of this user');
is_deeply([map { $_->{agent} } @list], ['second/2.0', 'first/1.0'],
          'User-Agent, latest first');
is_deeply([map { $_->{current} ? 1 : 0 } @list], [0, 1], 'current');
is_deeply([map { $_->{address} } @list], ['127.0.0.1', '127.0.0.1'],
          'address');
is_deeply([sort keys %{ $list[0] }],
          [qw(address agent created_at current id last_seen_at)], 'members');
cmp_ok($list[0]{id}, '>', $list[1]{id}, 'ids');

my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
like($list[0]{created_at}, $time, 'created_at');
like($list[0]{last_seen_at}, $time, 'last_seen_at');


=== GET: expired and ended sessions are not listed
--- given
sql('DELETE FROM chat_session');
add_session('u1');
add_session('u1', token => 'e' x 43, lasts => -10);
add_session('u1', token => 'f' x 43);
sql('UPDATE chat_session AS s JOIN chat_user AS u ON u.id = s.user_id
     SET u.session_floor = s.id WHERE s.token_hash = UNHEX(SHA2(?, 256))',
    'e' x 43);
add_session('u1', token => 'g' x 43);
--- then
my @list = sessions('g' x 43);

is(scalar @list, 2, 'two are valid');
is($list[0]{agent}, undef, 'unknown agent');
is($list[0]{address}, undef, 'unknown address');
is($list[0]{last_seen_at}, undef, 'unknown time');


=== GET: User-Agent is shortened at a character
--- then
my $token = log_in('u1', 'User-Agent' => "\xc3\xa4" x 200);

is((sessions($token))[0]{agent}, "\x{e4}" x 127, 'at most 255 bytes');


=== GET: User-Agent that is not UTF-8
--- then
is((sessions(log_in('u1', 'User-Agent' => "a\xff")))[0]{agent}, undef,
   'not stored');


=== GET: User-Agent with quotes and backslashes
--- then
my $agent = q{it's "a" \\ $1 <b>};

is((sessions(log_in('u1', 'User-Agent' => $agent)))[0]{agent}, $agent,
   'as sent');


=== GET: last_seen_at is updated by requests, at most every 5 minutes
--- server
chat_session_check 0s;
--- then
my $token = log_in('u1');
my $seen = sub {
    return scalar sql('SELECT TIMESTAMPDIFF(SECOND, last_seen_at,
                                            UTC_TIMESTAMP())
                       FROM chat_session
                       WHERE token_hash = UNHEX(SHA2(?, 256))', $token);
};
my $age = sub {
    sql('UPDATE chat_session
         SET last_seen_at = UTC_TIMESTAMP() - INTERVAL ? SECOND
         WHERE token_hash = UNHEX(SHA2(?, 256))', $_[0], $token);
};

$age->(200);
is(with(GET => 'session/', $token)->code, 200, 'a request');
settle(0.3);
cmp_ok($seen->(), '>=', 200, 'recent enough');

$age->(1000);
is(with(GET => 'session/', $token)->code, 200, 'a request');
ok(wait_until(sub { $seen->() < 60 }), 'updated');


=== DELETE: ends all sessions except the current one
--- given
sql('DELETE FROM chat_session');
add_session('u2');
--- then
my @ended = map { log_in('u1') } 1 .. 3;
my $kept = log_in('u1', 'User-Agent' => 'kept');

is(with(GET => 'session/', $_)->code, 200, 'valid') for @ended, $kept;

my $res = with(DELETE => 'session/all/', $kept);
is($res->code, 204, 'status');
is($res->body, '', 'no body');
is($res->headers->set_cookie, undef, 'the cookie stays');

# several requests, so that each worker handles some
for (1 .. 4) {
    is(with(GET => 'session/', $_)->code, 403, 'ended at once') for @ended;
}

is(with(GET => 'session/', $kept)->code, 200, 'the current one is valid');
is(api('u2', GET => '/api/v1/session/')->code, 200, 'other users are not');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 1,
   'rows are deleted');

my @list = sessions($kept);
is(scalar @list, 1, 'one is listed');
is($list[0]{agent}, 'kept', 'with its columns');
ok($list[0]{current}, 'the current one');

is(with(DELETE => 'session/all/', $kept)->code, 204, 'again');
is(with(GET => 'session/', $kept)->code, 200, 'still valid');
is(with(GET => 'session/', log_in('u1'))->code, 200, 'a new login');


=== DELETE: sockets of the ended sessions are closed on all workers
--- then
my $other = 'o' x 43;
add_session('u1', token => $other);

my @closed = map { web_socket('', headers => { Cookie => "sessionid=$other" }) }
             1 .. 6;
my @kept = map { web_socket('u1') } 1 .. 6;

is(api('u1', DELETE => '/api/v1/session/all/')->code, 204, 'status');

ok(wait_until(sub { (grep { $_->{closed} } @closed) == 6 }, 2), 'all closed');
is(scalar(grep { $_->{closed} } @kept), 0, 'not those of the current one');


=== DELETE: a constant number of rows, all sessions end
--- given
sql('DELETE FROM chat_session');
sql('INSERT INTO chat_session (token_hash, user_id, created_at, expires_at)
     SELECT UNHEX(SHA2(CONCAT("many", seq), 256)), 1, UTC_TIMESTAMP(),
            UTC_TIMESTAMP() + INTERVAL 1 DAY FROM (
         WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL
                              SELECT seq + 1 FROM n WHERE seq < 250)
         SELECT seq FROM n) AS numbers');
add_session('u1');
--- then
is(api('u1', DELETE => '/api/v1/session/all/')->code, 204, 'status');
is(scalar sql('SELECT COUNT(*) FROM chat_session'), 151,
   '100 rows are deleted, others wait for the next login');
is(with(GET => 'session/', "many$_")->code, 403, 'ended') for 1, 200, 250;
is(api('u1', GET => '/api/v1/session/')->code, 200, 'current');


=== DELETE: a repetition after a lost connection
--- then
is(api('u1', DELETE => '/api/v1/session/all/')->code, 204, 'once');
is(api('u1', DELETE => '/api/v1/session/all/')->code, 204, 'twice');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'current');


=== DELETE: counted as logouts
--- then
my $count = sub {
    return api('', GET => '/chat/status')
           ->json->{sessions_ended}{logout};
};
my $before = $count->();

log_in('u3') for 1 .. 2;
is(api('u3', DELETE => '/api/v1/session/all/')->code, 204, 'status');
is($count->() - $before, 2, 'two sessions');


=== DELETE: without a session, by a name from a variable, all end
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- then
my $token = 'v' x 43;
add_session('u1', token => $token);
add_session('u1', token => 'w' x 43);

my @list = @{ api('', GET => '/api/v1/session/all/', undef,
                  'X-Name' => 'u1')->json->{results} };
cmp_ok(scalar @list, '>=', 2, 'sessions of earlier logins');
is(scalar(grep { $_->{current} } @list), 0, 'none is current');

is(api('', DELETE => '/api/v1/session/all/', undef, 'X-Name' => 'u1')->code,
   204, 'status');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 0,
   'none is left');


=== unauthenticated requests
--- request eval
['GET /api/v1/session/all/', 'DELETE /api/v1/session/all/']
--- error_code eval
[403, 403]
--- response_body eval
['{"detail":"Authentication credentials were not provided."}',
 '{"detail":"Authentication credentials were not provided."}']
--- no_error_log
[alert]


=== DELETE: not from another origin
--- as: u1
--- more_headers
Origin: https://evil.example
--- request
DELETE /api/v1/session/all/
--- error_code: 403
--- response_body_like: CSRF Failed


=== other methods
--- as: u1
--- request
PUT /api/v1/session/all/
--- error_code: 405
--- response_headers
Allow: GET, DELETE, HEAD, OPTIONS
--- response_body chomp
{"detail":"Method \"PUT\" not allowed."}


=== no trailing slash
--- as: u1
--- request
GET /api/v1/session/all
--- response_body_like: ^\{"results":\[\{"id":\d+,"created_at":"[^"]*","last_seen_at":null,"current":true,"address":null,"agent":null\}\]\}$
--- no_error_log
[alert]


=== DELETE of one session: the own ones only
--- given
sql('DELETE FROM chat_session');
--- then
my ($one, $two) = map { log_in($_) } 'u1', 'u2';
my ($own, $other) = map { with(GET => 'session/all/', $_)->json
                              ->{results}[0]{id} } $one, $two;

is(with(DELETE => "session/$other/", $one)->code, 404, "another user's");
is(with(GET => 'session/', $two)->code, 200, 'it still exists');
is(with(DELETE => "session/$own/", $one)->code, 204, 'the own one');
is(with(GET => 'session/', $one)->code, 403, 'it has ended');
