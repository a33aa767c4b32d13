#
# Copyright (C) ngx_chat contributors
#

# /api/v1/session/, the cookie, the bearer token, and the end of a session

use Test::Nginx::Socket 'no_plan';
use Chat;

# log_in USER, PASSWORD: returns the response

sub log_in {
    my ($who, $password) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $who, password => $password // 'correct horse' });
}

# with TOKEN: returns the status of a request for the session

sub with {
    my ($token) = @_;

    return api('', GET => '/api/v1/session/', undef,
               Authorization => "Bearer $token")->code;
}

run_tests();


__DATA__

=== a login in JSON sets a cookie
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


=== a login by form accepts the name in another case
--- type: form
--- request
POST /api/v1/session/
username=U1&password=correct+horse
--- json
{"username":"u1","user_id":1,"is_admin":false}


=== a cookie is accepted and only its hash is stored
--- given
sql('DELETE FROM chat_session');
--- then
my $res = log_in('u1');
my ($cookie) = $res->headers->set_cookie =~ /^(sessionid=([^;]+))/;
my $token = $2;

my $who = api('', GET => '/api/v1/session/', undef, Cookie => "a=b; $cookie");
is($who->code, 200, 'the cookie is accepted');
is($who->json->{username}, 'u1', 'for the right user');

# the test client sends no cookie by itself
is(api('', GET => '/api/v1/session/')->code, 403,
   'a request without it is unauthenticated');

is(scalar sql('SELECT user_id FROM chat_session WHERE token_hash =
               UNHEX(SHA2(?, 256))', $token), 1, 'the hash is stored');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE expires_at BETWEEN
               UTC_TIMESTAMP() + INTERVAL 1209500 SECOND
               AND UTC_TIMESTAMP() + INTERVAL 1209700 SECOND'), 1,
   'for two weeks');


=== each login creates a new token
--- then
my %tokens = map { log_in('u1')->headers->set_cookie => 1 } 1 .. 3;

is(scalar keys %tokens, 3, 'three');


=== a login deletes an expired session of the user
--- given
sql('DELETE FROM chat_session');
add_session('u1', lasts => -10);
--- then
log_in('u1');
is(scalar sql('SELECT COUNT(*) FROM chat_session'), 1, 'one session is left');


=== chat_session_lifetime sets the lifetime of sessions
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


=== chat_cookie sets the name of the cookie
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


=== chat_cookie disables the old name
--- server
chat_cookie chat;
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_cookie secure=on adds the __Host- prefix
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


=== chat_cookie secure=on rejects the name without the prefix
--- server
chat_cookie sessionid secure=on;
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== chat_cookie secure=on accepts the name with the prefix
--- server
chat_cookie sessionid secure=on;
--- more_headers eval
'Cookie: __Host-sessionid=' . Chat::token('u1')
--- request
GET /api/v1/session/
--- json
{"username":"u1","user_id":1,"is_admin":false}


=== chat_cookie secure=on creates links with https
--- http
chat_cookie sessionid secure=on;
chat_page_size 1;
--- given
message(u1 => 'u2', $_) for 1 .. 2;
--- then
my $res = api('', GET => '/api/v1/message/', undef,
              Cookie => '__Host-sessionid=' . token('u1'));
like($res->json->{next}, qr{^https://[^/]+/api/v1/message/\?page=2$}, 'next');


=== a wrong password is rejected
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


=== an unknown name is rejected
--- type: json
--- request
POST /api/v1/session/
{"username":"nobody","password":"correct horse"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== a disabled user is rejected
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== a user without a password is rejected
--- given
set_password('u1', '!');
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"!"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== a stored password in an unknown format is rejected
--- given
set_password('u1', 'md5$x$y');
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"md5$x$y"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong username or password."}


=== a password that continues after a null character is rejected
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


=== missing fields are rejected
--- type: json
--- request
POST /api/v1/session/
{}
--- error_code: 400
--- response_body chomp
{"username":["This field is required."],"password":["This field is required."]}


=== blank fields are rejected
--- type: form
--- request
POST /api/v1/session/
username=&password=
--- error_code: 400
--- response_body chomp
{"username":["This field may not be blank."],"password":["This field may not be blank."]}


=== a password hash from Django is replaced
--- given
set_password('u1', 'pbkdf2_sha256$1000$saltsaltsalt$F7o7+5VTVzFAO998X6s3AHrDsJVdMiIlgndIMe19NvY=');
--- then
is(log_in('u1', 'wrong horse')->code, 403, 'a wrong password');
like(scalar sql('SELECT password FROM chat_user WHERE id = 1'),
     qr/^pbkdf2_sha256\$/, 'the hash is unchanged');

is(log_in('u1')->code, 200, 'the right password');
ok(wait_until { sql('SELECT password FROM chat_user WHERE id = 1')
                    =~ /^\$y\$/ }, 'the new hash is yescrypt');
is(log_in('u1')->code, 200, 'the new hash matches');


=== GET returns the user of the session
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


=== GET without a session is rejected
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a logout deletes the cookie and the session
--- then
my $res = api('u1', DELETE => '/api/v1/session/');

is($res->code, 204, 'logged out');
is($res->body, '', 'without a body');
like($res->headers->set_cookie,
     qr/^sessionid=(?:"")?; .*Max-Age=0; .*Path=\//, 'the cookie is deleted');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 0,
   'the session is deleted');


=== no worker accepts a session after its logout
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'the session is accepted')
    for 1 .. 10;
api('u1', DELETE => '/api/v1/session/');
is(api('u1', GET => '/api/v1/session/')->code, 403,
   'the session is rejected') for 1 .. 10;


=== a logout does not end other sessions
--- given
add_session('u1', token => 'x' x 43);
--- then
api('u1', DELETE => '/api/v1/session/');
is(with('x' x 43), 200, 'the other session is valid');


=== a logout without a session succeeds
--- request
DELETE /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a login can return a token for programs
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse","token":true}
--- json
{"username":"u1","user_id":1,"is_admin":false,"token":"<text>"}
--- response_headers
! Set-Cookie


=== a bearer token is accepted until its logout
--- then
my $token = api('', POST => '/api/v1/session/',
                { username => 'u1', password => 'correct horse',
                  token => JSON::PP::true })->json->{token};

like($token, qr/^[A-Za-z0-9_-]{43}$/, 'a token');
is(with($token), 200, 'the token is accepted');

my $res = api('', POST => '/api/v1/message/',
              { recipient => 'u2', body => 'x' },
              Authorization => "Bearer $token");
is($res->code, 201, 'also for sends');

$res = api('', DELETE => '/api/v1/session/', undef,
           Authorization => "Bearer $token");
is($res->code, 204, 'logged out');
is(with($token), 403, 'the token is rejected');


=== a login with a false token member sets a cookie
--- type: json
--- request
POST /api/v1/session/
{"username":"u1","password":"correct horse","token":false}
--- json
{"username":"u1","user_id":1,"is_admin":false}
--- response_headers_like
Set-Cookie: sessionid=.*


=== an unknown bearer token is rejected
--- more_headers
Authorization: Bearer xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== malformed tokens are rejected
--- then
for my $token ('', ' ', 'x', "x' OR '1'='1", 'x' x 129, 'x' x 3000, 'ü', '%00',
               '"' . token('u1') . 'x"')
{
    is(api('', GET => '/api/v1/session/', undef,
           Cookie => "sessionid=$token")->code, 403,
       'a cookie of ' . length $token);
    is(with($token), 403, 'a token of ' . length $token);
}


=== an expired session is rejected
--- given
sql('DELETE FROM chat_session');
add_session('u1', lasts => -1);
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a session that expires in the cache is rejected
--- given
sql('DELETE FROM chat_session');
--- then
add_session('u1', lasts => 4);
is(api('u1', GET => '/api/v1/session/')->code, 200, 'accepted') for 1 .. 4;
ok(wait_until { api('u1', GET => '/api/v1/session/')->code == 403 },
   'rejected');


=== a session of a disabled user is rejected
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
--- as: u1
--- request
GET /api/v1/session/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== a session deleted by another host is rejected after chat_session_check
--- server
chat_session_check 1s;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'accepted') for 1 .. 4;
sql('DELETE FROM chat_session WHERE user_id = 1');
ok(wait_until { api('u1', GET => '/api/v1/session/')->code == 403 },
   'rejected');


=== chat_session_check 0 rejects a deleted session at once
--- server
chat_session_check 0;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'accepted') for 1 .. 4;
sql('DELETE FROM chat_session WHERE user_id = 1');
is(api('u1', GET => '/api/v1/session/')->code, 403, 'rejected') for 1 .. 4;


=== chat_session_check 0 in one location does not affect others
--- server
location /strict/ {
    chat_auth           on;
    chat_session_check  0;
    empty_gif;
}
--- then
is(api('u1', GET => '/strict/x')->code, 200, 'accepted');
is(api('u1', GET => '/api/v1/session/')->code, 200,
   'accepted in the other location');
is(api('u1', GET => '/api/v1/session/')->code, 200,
   'still accepted in the other location');
sql('DELETE FROM chat_session WHERE user_id = 1');
is(api('u1', GET => '/strict/x')->code, 403, 'rejected at once');


=== sessions work without chat_zone
--- change
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200, 'accepted') for 1 .. 4;
is(log_in('u1')->code, 200, 'login');
is(api('u1', DELETE => '/api/v1/session/')->code, 204, 'logout');
is(api('u1', GET => '/api/v1/session/')->code, 403, 'rejected') for 1 .. 4;


=== simultaneous logins succeed
--- then
my %codes;

Mojo::Promise->all(map {
    request('', POST => '/api/v1/session/',
            { username => 'u' . ($_ % 4 + 1), password => 'correct horse' })
        ->then(sub { $codes{ $_[0]->code }++ });
} 1 .. 60)->wait;

is_deeply(\%codes, { 200 => 60 }, 'all succeed');


=== PUT is not allowed
--- as: u1
--- type: json
--- request
PUT /api/v1/session/
{}
--- error_code: 405
--- response_body chomp
{"detail":"Method \"PUT\" not allowed."}
