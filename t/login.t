#
# Copyright (C) ngx_chat contributors
#

# login and logout with a browser's form, and throttling

use Test::Nginx::Socket 'no_plan';
use Chat;

# form_login USER, PASSWORD, [ADDRESS]: the response

sub form_login {
    my ($who, $password, $address) = @_;

    my $agent = Mojo::UserAgent->new;
    $agent->socket_options({ LocalAddr => $address }) if $address;

    return $agent->post(
        url('/login/') => form => { username => $who, password => $password }
    )->res;
}

run_tests();


__DATA__

=== the login page is returned
--- request
GET /login/
--- response_body_like: <form.*name="username".*name="password"
--- response_headers_like
Content-Type: text/html.*


=== HEAD of the login page has no body
--- request
HEAD /login/
--- response_body


=== the correct password creates a session
--- type: form
--- request
POST /login/
username=u1&password=correct+horse
--- error_code: 302
--- response_headers_like
Location: /
Set-Cookie: sessionid=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax


=== the cookie is valid for the page and the API
--- then
my ($cookie) = form_login('u1', 'correct horse')->headers->set_cookie
               =~ /^([^;]+)/;

is(api('', GET => '/api/v1/session/', undef, Cookie => $cookie)
       ->json->{username}, 'u1', 'the API');
is(api('', GET => '/', undef, Cookie => $cookie)->code, 200, 'the page');


=== a multipart form is accepted
--- type: multipart
--- request eval
"POST /login/\n" . Chat::multipart(username => 'u1', password => 'correct horse')
--- error_code: 302
--- response_headers
Location: /


=== a wrong password returns the page with an error
--- type: form
--- request
POST /login/
username=u1&password=wrong
--- response_body_like: role="alert".*<form|<form.*role="alert"
--- response_headers_like
Content-Type: text/html.*


=== a page from another server does not receive the password
--- change
s{chat_login  page=/login.html;}{chat_login  page=/elsewhere;};
--- server
location = /elsewhere {
    internal;
    proxy_set_header  Host  elsewhere;
    proxy_pass  http://$TEST_NGINX_SERVER_PORT/mirror;
}
location = /mirror {
    return 200 "$request_method [$content_length] [$http_content_type]";
}
--- type: form
--- request
POST /login/
username=u1&password=wrong
--- undescribed: a page of the test
--- response_body chomp
GET [0] [application/x-www-form-urlencoded]


=== a wrong password does not create a session
--- given
sql('DELETE FROM chat_session');
--- type: form
--- request
POST /login/
username=u1&password=wrong
--- response_headers
! Set-Cookie
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_session'), 0, 'no session is stored');


=== an unknown name returns the same page as a wrong password
--- then
is(form_login('nobody', 'wrong')->body, form_login('u1', 'wrong')->body,
   'the same page');


=== missing fields return the page with an error
--- type: form
--- request
POST /login/
x=1
--- response_body_like: role="alert"


=== submitted values are not returned as markup
--- type: form
--- request
POST /login/
username=%3Cscript%3Ealert(1)%3C/script%3E&password=x&next=%22%3E%3Cscript%3Ealert(2)%3C/script%3E
--- response_body_unlike: <script>alert


=== next= redirects to a path of this host
--- type: form
--- request
POST /login/?next=/chat/%3Fa=b
username=u1&password=correct+horse
--- error_code: 302
--- response_headers
Location: /chat/?a=b


=== next may be a field of the form
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2Fchat%2F
--- error_code: 302
--- response_headers
Location: /chat/


=== next with another host is ignored
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=https%3A%2F%2Fevil.example%2F
--- error_code: 302
--- response_headers
Location: /


=== next with another host and no scheme is ignored
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%2Fevil.example%2F
--- error_code: 302
--- response_headers
Location: /


=== next with a backslash, which browsers take for a slash, is ignored
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%5Cevil.example%2F
--- error_code: 302
--- response_headers
Location: /


=== next with another host in the query is ignored
--- type: form
--- request
POST /login/?next=//evil.example/
username=u1&password=correct+horse
--- error_code: 302
--- response_headers
Location: /


=== next with a tab, which browsers remove, does not lead to another host
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%09%2Fevil.example%2F
--- error_code: 302
--- response_headers_like
Location: /(?:%09/evil\.example/)?


=== next with a script is ignored
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=javascript%3Aalert(1)
--- error_code: 302
--- response_headers
Location: /


=== next with a line break does not add a header
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%0D%0AX-Evil%3A+1
--- error_code: 302
--- response_headers_like
Location: /(?:%0D%0AX-Evil:%201)?
--- raw_response_headers_unlike: ^X-Evil


=== chat_login redirect= sets the default destination
--- change
s{chat_login +page=/login.html;}{chat_login page=/login.html redirect=/inbox/;};
--- type: form
--- request
POST /login/
username=u1&password=correct+horse
--- error_code: 302
--- response_headers
Location: /inbox/


=== an "if" block inherits chat_login of its location
--- change
s{chat_login  page=/login.html;}{chat_login; if (\$http_x_name) { set \$x 1; }};
--- more_headers
X-Name: x
--- type: form
--- request
POST /login/
username=u1&password=correct+horse
--- error_code: 302
--- response_headers
Location: /


=== an unauthenticated request for the page is redirected to the login
--- request
GET /
--- error_code: 302
--- response_headers
Location: /login/?next=/


=== the redirect to the login keeps the query
--- request
GET /?a=b&c=d
--- error_code: 302
--- response_headers
Location: /login/?next=/%3Fa=b%26c=d


=== an authenticated request gets the page
--- as: u1
--- request
GET /
--- response_body_like: <html
--- response_headers_like
Content-Type: text/html.*


=== files of the login page do not require authentication
--- request
GET /static/style.css
--- response_body_like: \{
--- response_headers_like
Content-Type: text/css.*


=== the internal login page cannot be requested
--- request
GET /login.html
--- error_code: 404


=== a logout ends the session and deletes the cookie
--- then
my $res = api('u1', POST => '/logout/', undef, Origin => url(''));

is($res->code, 302, 'a redirect');
is($res->headers->location, '/login/', 'to the login page');
like($res->headers->set_cookie,
     qr/^sessionid=(?:"")?; .*Max-Age=0; .*Path=\//, 'the cookie is deleted');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 0,
   'the session is deleted');
is(api('u1', GET => '/api/v1/session/')->code, 403,
   'the session has ended')
    for 1 .. 4;


=== a link can log out, as in the Django app
--- then
my $res = api('u1', GET => '/logout/');

is($res->code, 302, 'a redirect');
is(api('u1', GET => '/api/v1/session/')->code, 403,
   'the session has ended')
    for 1 .. 4;


=== a cross-origin link cannot log out
--- then
my $res = api('u1', GET => '/logout/', undef,
              'Sec-Fetch-Site' => 'cross-site');

is(api('u1', GET => '/api/v1/session/')->code, 200,
   'the session is still valid');


=== a logout without a session redirects to the login
--- request
GET /logout/
--- error_code: 302
--- response_headers
Location: /login/


=== wrong passwords throttle all logins with this name
--- then
my ($res, $tries);

for (1 .. 40) {
    $res = form_login('u1', 'wrong');
    $tries++;
    last if $res->code == 429;
}

is($res->code, 429, 'logins are throttled') or diag($res->code);
cmp_ok($tries, '>', 3, 'after some attempts');
like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'with Retry-After');
like($res->body, qr/<form/, 'with the page');

my $right = form_login('u1', 'correct horse');
is($right->code, 429, 'the correct password is rejected');
is($right->headers->set_cookie, undef, 'without a session');

my $api = api('', POST => '/api/v1/session/',
              { username => 'U1', password => 'correct horse' });
is($api->code, 429, 'also by the API');
is($api->body, '{"detail":"Too many attempts. Try again later."}',
   'with the reason');
like($api->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'with Retry-After');


=== wrong passwords from one address do not throttle other addresses
--- then
my $res;

for (1 .. 40) {
    $res = form_login('u1', 'wrong', '127.0.0.2');
    last if $res->code == 429;
}

is($res->code, 429, 'logins from this address are throttled');
is(form_login('u1', 'correct horse')->code, 302,
   'logins from another address succeed');


=== wrong passwords for many names throttle the address
--- then
my ($res, $tries);

for (1 .. 80) {
    $res = form_login("name$_", 'wrong');
    $tries++;
    last if $res->code == 429;
}

is($res->code, 429, 'logins are throttled');
cmp_ok($tries, '>', 40, 'typing errors of a household are allowed');
is(form_login('u1', 'correct horse')->code, 429, 'all names are throttled');


=== wrong passwords throttle an IPv6 network
--- server
set_real_ip_from 127.0.0.1;
real_ip_header X-Real-IP;
--- then
my $try = sub {
    my ($address, $password) = @_;

    return api('', POST => '/api/v1/session/',
               { username => 'u1', password => $password },
               'X-Real-IP' => $address)->code;
};

is((grep { $try->("2001:db8::$_", 'wrong') == 429 } 1 .. 12) > 0, 1,
   'the network is throttled');
is($try->('2001:db8:0:1::1', 'correct horse'), 200, 'another network is not');

is((grep { $try->("::ffff:192.0.2.$_", 'wrong') == 429 } 1 .. 12), 0,
   'mapped IPv4 addresses are counted one by one');


=== most concurrent wrong passwords are throttled
--- then
my %codes;
my $left = 40;

for (1 .. 40) {
    request('', POST => '/api/v1/session/',
            { username => 'u1', password => 'wrong' })
        ->then(sub { $codes{ $_[0]->code }++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all requests get a response');
cmp_ok($codes{403} // 0, '<', 12, 'few are reported as wrong');
is(($codes{403} // 0) + ($codes{429} // 0), 40, 'the others are throttled');


=== concurrent correct passwords are not throttled
--- then
my %codes;
my $left = 20;

for (1 .. 20) {
    request('', POST => '/api/v1/session/',
            { username => 'u1', password => 'correct horse' })
        ->then(sub { $codes{ $_[0]->code }++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all requests get a response');
is_deeply(\%codes, { 200 => 20 }, 'with a session');


=== a successful login resets the throttling
--- then
my %codes;

for (1 .. 10) {
    $codes{ form_login('u1', 'wrong')->code }++ for 1 .. 2;
    $codes{ form_login('u1', 'correct horse')->code }++;
}

is_deeply(\%codes, { 200 => 20, 302 => 10 }, 'no login is throttled');


=== a cross-origin login is rejected
--- type: form
--- more_headers
Origin: https://evil.example
Sec-Fetch-Site: cross-site
--- request
POST /login/
username=u1&password=correct+horse
--- error_code: 403
--- response_headers
! Set-Cookie


=== PUT of the login form is not allowed
--- type: form
--- request
PUT /login/
username=u1&password=correct+horse
--- error_code: 405
