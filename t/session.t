#
# Copyright (C) ngx_chat contributors
#

# /api/v1/session/, the cookie, the bearer token, and how a session ends

use Test::Nginx::Socket 'no_plan';
use Chat;

# log_in WHO, PASSWORD: the response

sub log_in {
    my ($who, $password) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $who, password => $password // 'correct horse' });
}

# with TOKEN: the status of "who am I"

sub with {
    my ($token) = @_;

    return api('', GET => '/api/v1/session/', undef,
               Authorization => "Bearer $token")->code;
}

run_tests();


__DATA__

=== logging in
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- json
{"username":"u1","user_id":1,"is_admin":false}
--- response_headers_like
Content-Type: application/json
Set-Cookie: sessionid=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax
Cache-Control: no-store


=== logging in by form, the name in another case
--- type: form
--- request
POST /api/v1/session/
username=U1&password=correct+horse
--- json
{"username":"u1","user_id":1,"is_admin":false}


=== the cookie works, and its hash alone is stored
--- given
sql('DELETE FROM chat_session');
--- then
my $res = log_in('u1');
my ($cookie) = $res->headers->set_cookie =~ /^(sessionid=([^;]+))/;
my $token = $2;

my $who = api('', GET => '/api/v1/session/', undef, Cookie => "a=b; $cookie");
is($who->code, 200, 'the cookie is taken');
is($who->json->{username}, 'u1', 'for the right person');

# this holds for all tests: their client sends no cookie by itself
is(api('', GET => '/api/v1/session/')->code, 403, 'without it one is nobody');

is(scalar sql('SELECT user_id FROM chat_session WHERE token_hash =
               UNHEX(SHA2(?, 256))', $token), 1, 'the hash is stored');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE expires_at BETWEEN
               UTC_TIMESTAMP() + INTERVAL 1209500 SECOND
               AND UTC_TIMESTAMP() + INTERVAL 1209700 SECOND'), 1,
   'for a fortnight');


=== each log-in has a token of its own
--- then
my %tokens = map { log_in('u1')->headers->set_cookie => 1 } 1 .. 3;

is(scalar keys %tokens, 3, 'three');


=== an expired session of the person goes at the next log-in
--- given
sql('DELETE FROM chat_session');
add_session('u1', lasts => -10);
--- then
log_in('u1');
is(scalar sql('SELECT COUNT(*) FROM chat_session'), 1, 'one is left');


=== chat_session_lifetime
--- server
chat_session_lifetime 1h;
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- json
{"username":"u1","user_id":1,"is_admin":false}
--- response_headers_like
Set-Cookie: sessionid=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=3600; Path=/; SameSite=Lax


=== chat_cookie
--- server
chat_cookie chat;
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- json
{"username":"u1","user_id":1,"is_admin":false}
--- response_headers_like
Set-Cookie: chat=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax


=== chat_cookie: the old name no longer counts
--- server
chat_cookie chat;
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_cookie secure=on
--- server
chat_cookie sessionid secure=on;
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- json
{"username":"u1","user_id":1,"is_admin":false}
--- response_headers_like
Set-Cookie: __Host-sessionid=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax; Secure


=== chat_cookie secure=on: the name without its prefix is not taken
--- server
chat_cookie sessionid secure=on;
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_cookie secure=on: the name with its prefix is
--- server
chat_cookie sessionid secure=on;
--- more_headers eval
'Cookie: __Host-sessionid=' . Chat::token('u1')
--- request
GET /api/v1/session/
--- json
{"username":"u1","user_id":1,"is_admin":false}


=== chat_cookie secure=on: links are the client's, who wrote https
--- http
chat_cookie sessionid secure=on;
chat_page_size 1;
--- given
message(u1 => 'u2', $_) for 1 .. 2;
--- then
my $res = api('', GET => '/api/v1/message/', undef,
              Cookie => '__Host-sessionid=' . token('u1'));
like($res->json->{next}, qr{^https://[^/]+/api/v1/message/\?page=2$}, 'next');


=== the wrong password
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"wrong horse"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}
--- response_headers
Content-Type: application/json
! Set-Cookie


=== nobody of that name
--- type: json
--- request
POST /api/v1/session/
{"username":"nobody","password":"correct horse"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== somebody who is disabled
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== somebody without a password
--- given
set_password('u1', '!');
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"!"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== a stored form that nobody knows
--- given
set_password('u1', 'md5$x$y');
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"md5$x$y"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== a password that goes on behind a null character
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse\u0000x"}
--- error_code_like: ^40[03]$
--- response_headers
! Set-Cookie


=== a password is not trimmed
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":" correct horse"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== fields missing
--- type: json
--- request
POST /api/v1/session/
{}
--- error_code: 400
--- response_body chomp
{"username":["This field is required."],"password":["This field is required."]}


=== fields blank
--- type: form
--- request
POST /api/v1/session/
username=&password=
--- error_code: 400
--- response_body chomp
{"username":["This field may not be blank."],"password":["This field may not be blank."]}


=== a password from Django, which is hashed anew
--- given
set_password('u1', 'pbkdf2_sha256$1000$saltsaltsalt$F7o7+5VTVzFAO998X6s3AHrDsJVdMiIlgndIMe19NvY=');
--- then
is(log_in('u1', 'wrong horse')->code, 403, 'the wrong one');
like(scalar sql('SELECT password FROM chat_user WHERE id = 1'),
     qr/^pbkdf2_sha256\$/, 'is not stored');

is(log_in('u1')->code, 200, 'the right one');
ok(wait_until { sql('SELECT password FROM chat_user WHERE id = 1')
                    =~ /^\$y\$/ }, 'is stored by yescrypt');
is(log_in('u1')->code, 200, 'and works again');


=== who am I
--- given
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- as: u1
--- request
GET /api/v1/session/
--- response_body chomp
{"username":"u1","user_id":1,"is_admin":true}
--- response_headers
Content-Type: application/json
Allow: GET, POST, DELETE, HEAD, OPTIONS
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
Cache-Control: no-store


=== nobody
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== logging out
--- then
my $res = api('u1', DELETE => '/api/v1/session/');

is($res->code, 204, 'done');
is($res->body, '', 'without a body');
like($res->headers->set_cookie,
     qr/^sessionid=(?:"")?; .*Max-Age=0; .*Path=\//, 'the cookie is deleted');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 0,
   'the session as well');


=== after it, no worker knows the session
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'it is known')
    for 1 .. 10;
api('u1', DELETE => '/api/v1/session/');
is(api('u1', GET => '/api/v1/session/')->code, 403, 'no longer') for 1 .. 10;


=== other sessions stay
--- given
add_session('u1', token => 'x' x 43);
--- then
api('u1', DELETE => '/api/v1/session/');
is(with('x' x 43), 200, 'the other one');


=== logging out without a session
--- request
DELETE /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a token for programs
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse","token":true}
--- json
{"username":"u1","user_id":1,"is_admin":false,"token":"<text>"}
--- response_headers
! Set-Cookie


=== the token works
--- then
my $token = api('', POST => '/api/v1/session/',
                { username => 'u1', password => 'correct horse',
                  token => JSON::PP::true })->json->{token};

like($token, qr/^[A-Za-z0-9_-]{43}$/, 'a token');
is(with($token), 200, 'it is taken');

my $res = api('', POST => '/api/v1/message/',
              { recipient => 'u2', body => 'x' },
              Authorization => "Bearer $token");
is($res->code, 201, 'for sending, too');

$res = api('', DELETE => '/api/v1/session/', undef,
           Authorization => "Bearer $token");
is($res->code, 204, 'it can be given back');
is(with($token), 403, 'and is worth nothing then');


=== token false: a cookie
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse","token":false}
--- json
{"username":"u1","user_id":1,"is_admin":false}
--- response_headers_like
Set-Cookie: sessionid=.*


=== a bearer token nobody has
--- more_headers
Authorization: Bearer xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== tokens of any shape
--- then
for my $token ('', ' ', 'x', "x' OR '1'='1", 'x' x 129, 'x' x 3000, 'ü', '%00',
               '"' . token('u1') . 'x"')
{
    is(api('', GET => '/api/v1/session/', undef,
           Cookie => "sessionid=$token")->code, 403,
       'a cookie of ' . length $token);
    is(with($token), 403, 'a token of ' . length $token);
}


=== an expired session
--- given
sql('DELETE FROM chat_session');
add_session('u1', lasts => -1);
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a session that expires while it is in memory
--- given
sql('DELETE FROM chat_session');
add_session('u1', lasts => 2);
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'good') for 1 .. 4;
ok(wait_until { api('u1', GET => '/api/v1/session/')->code == 403 },
   'over');


=== the session of somebody who is disabled
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== ended on another host: known here after chat_session_check
--- server
chat_session_check 1s;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'good') for 1 .. 4;
sql('DELETE FROM chat_session WHERE user_id = 1');
ok(wait_until { api('u1', GET => '/api/v1/session/')->code == 403 },
   'over');


=== chat_session_check 0: known at once
--- server
chat_session_check 0;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'good') for 1 .. 4;
sql('DELETE FROM chat_session WHERE user_id = 1');
is(api('u1', GET => '/api/v1/session/')->code, 403, 'over') for 1 .. 4;


=== chat_session_check 0 of one location, where others believe longer
--- server
location /strict/ {
    chat_auth           on;
    chat_session_check  0;
    empty_gif;
}
--- then
is(api('u1', GET => '/strict/x')->code, 200, 'in');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'known to the others');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'for a while');
sql('DELETE FROM chat_session WHERE user_id = 1');
is(api('u1', GET => '/strict/x')->code, 403, 'there it is over at once');


=== without a chat_zone
--- change
s/^ *chat_zone [^;]*;//m;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'good') for 1 .. 4;
is(log_in('u1')->code, 200, 'logging in');
is(api('u1', DELETE => '/api/v1/session/')->code, 204, 'logging out');
is(api('u1', GET => '/api/v1/session/')->code, 403, 'over') for 1 .. 4;


=== many log in at once
--- then
my %codes;

Mojo::Promise->all(map {
    request('', POST => '/api/v1/session/',
            { username => 'u' . ($_ % 4 + 1), password => 'correct horse' })
        ->then(sub { $codes{ $_[0]->code }++ });
} 1 .. 60)->wait;

is_deeply(\%codes, { 200 => 60 }, 'all are in');


=== PUT
--- as: u1
--- type: json
--- request
PUT /api/v1/session/
{}
--- error_code: 405
--- response_body chomp
{"detail":"Method \"PUT\" not allowed."}
