#
# Copyright (C) ngx_chat contributors
#

# logging in and out by a browser's form, and throttling

use Test::Nginx::Socket 'no_plan';
use Chat;

# form_login WHO, PASSWORD, [ADDRESS]: the response

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

=== the page
--- request
GET /login/
--- response_body_like: <form.*name="username".*name="password"
--- response_headers_like
Content-Type: text/html.*


=== HEAD
--- request
HEAD /login/
--- response_body


=== the right password
--- type: form
--- request
POST /login/
username=u1&password=correct+horse
--- error_code: 302
--- response_headers_like
Location: /
Set-Cookie: sessionid=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax


=== the cookie is good for the page and the API
--- then
my ($cookie) = form_login('u1', 'correct horse')->headers->set_cookie
               =~ /^([^;]+)/;

is(api('', GET => '/api/v1/session/', undef, Cookie => $cookie)
       ->json->{username}, 'u1', 'the API');
is(api('', GET => '/', undef, Cookie => $cookie)->code, 200, 'the page');


=== multipart
--- type: multipart
--- request eval
"POST /login/\n" . Chat::multipart(username => 'u1', password => 'correct horse')
--- error_code: 302
--- response_headers
Location: /


=== the wrong password: the page again, saying so
--- type: form
--- request
POST /login/
username=u1&password=wrong
--- response_body_like: role="alert".*<form|<form.*role="alert"
--- response_headers_like
Content-Type: text/html.*


=== the wrong password: the page, where it comes from, is shown none
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
--- undescribed: the page is of the test
--- response_body chomp
GET [0] [application/x-www-form-urlencoded]


=== the wrong password: no session
--- given
sql('DELETE FROM chat_session');
--- type: form
--- request
POST /login/
username=u1&password=wrong
--- response_headers
! Set-Cookie
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_session'), 0, 'none is stored');


=== nobody of that name: the same
--- then
is(form_login('nobody', 'wrong')->body, form_login('u1', 'wrong')->body,
   'the same page');


=== fields missing: the page again
--- type: form
--- request
POST /login/
x=1
--- response_body_like: role="alert"


=== what is typed does not come back as markup
--- type: form
--- request
POST /login/
username=%3Cscript%3Ealert(1)%3C/script%3E&password=x&next=%22%3E%3Cscript%3Ealert(2)%3C/script%3E
--- response_body_unlike: <script>alert


=== next, a path here
--- type: form
--- request
POST /login/?next=/chat/%3Fa=b
username=u1&password=correct+horse
--- error_code: 302
--- response_headers
Location: /chat/?a=b


=== next as a field of the form
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2Fchat%2F
--- error_code: 302
--- response_headers
Location: /chat/


=== next on another host
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=https%3A%2F%2Fevil.example%2F
--- error_code: 302
--- response_headers
Location: /


=== next on another host, without a scheme
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%2Fevil.example%2F
--- error_code: 302
--- response_headers
Location: /


=== next on another host, as browsers read backslashes
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%5Cevil.example%2F
--- error_code: 302
--- response_headers
Location: /


=== next on another host, in the query
--- type: form
--- request
POST /login/?next=//evil.example/
username=u1&password=correct+horse
--- error_code: 302
--- response_headers
Location: /


=== next on another host, with a tab that browsers drop
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%09%2Fevil.example%2F
--- error_code: 302
--- response_headers_like
Location: /(?:%09/evil\.example/)?


=== next that is a script
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=javascript%3Aalert(1)
--- error_code: 302
--- response_headers
Location: /


=== next with a line of its own
--- type: form
--- request
POST /login/
username=u1&password=correct+horse&next=%2F%0D%0AX-Evil%3A+1
--- error_code: 302
--- response_headers_like
Location: /(?:%0D%0AX-Evil:%201)?
--- raw_response_headers_unlike: ^X-Evil


=== chat_login redirect=
--- change
s{chat_login +page=/login.html;}{chat_login page=/login.html redirect=/inbox/;};
--- type: form
--- request
POST /login/
username=u1&password=correct+horse
--- error_code: 302
--- response_headers
Location: /inbox/


=== an "if" is a part of its location: where the log-in leads
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


=== without a session the page leads to the login page
--- request
GET /
--- error_code: 302
--- response_headers
Location: /login/?next=/


=== without a session: the query goes along
--- request
GET /?a=b&c=d
--- error_code: 302
--- response_headers
Location: /login/?next=/%3Fa=b%26c=d


=== with a session: the page
--- as: u1
--- request
GET /
--- response_body_like: <html
--- response_headers_like
Content-Type: text/html.*


=== without a session: what the login page needs
--- request
GET /static/style.css
--- response_body_like: \{
--- response_headers_like
Content-Type: text/css.*


=== the page of the login error is not for clients
--- request
GET /login.html
--- error_code: 404


=== logging out
--- then
my $res = api('u1', POST => '/logout/', undef, Origin => url(''));

is($res->code, 302, 'leads away');
is($res->headers->location, '/login/', 'to the login page');
like($res->headers->set_cookie,
     qr/^sessionid=(?:"")?; .*Max-Age=0; .*Path=\//, 'the cookie is deleted');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 0,
   'so is the session');
is(api('u1', GET => '/api/v1/session/')->code, 403, 'over') for 1 .. 4;


=== logging out by a link, as in the Django app
--- then
my $res = api('u1', GET => '/logout/');

is($res->code, 302, 'leads away');
is(api('u1', GET => '/api/v1/session/')->code, 403, 'over') for 1 .. 4;


=== logging out by the link of a foreign page
--- then
my $res = api('u1', GET => '/logout/', undef,
              'Sec-Fetch-Site' => 'cross-site');

is(api('u1', GET => '/api/v1/session/')->code, 200, 'still in');


=== logging out without a session
--- request
GET /logout/
--- error_code: 302
--- response_headers
Location: /login/


=== wrong passwords: throttled, and the right one too
--- then
my ($res, $tries);

for (1 .. 40) {
    $res = form_login('u1', 'wrong');
    $tries++;
    last if $res->code == 429;
}

is($res->code, 429, 'refused at last') or diag($res->code);
cmp_ok($tries, '>', 3, 'not at once');
like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'for a while');
like($res->body, qr/<form/, 'with the page');

my $right = form_login('u1', 'correct horse');
is($right->code, 429, 'even the right one');
is($right->headers->set_cookie, undef, 'opens nothing');

my $api = api('', POST => '/api/v1/session/',
              { username => 'U1', password => 'correct horse' });
is($api->code, 429, 'nor by the API');
is($api->body, '{"detail":"Too many attempts. Try again later."}', 'which says it');
like($api->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'for how long');


=== wrong passwords from elsewhere do not lock anybody out
--- then
my $res;

for (1 .. 40) {
    $res = form_login('u1', 'wrong', '127.0.0.2');
    last if $res->code == 429;
}

is($res->code, 429, 'refused there');
is(form_login('u1', 'correct horse')->code, 302, 'not here');


=== wrong passwords for many names, from one address: throttled as well
--- then
my ($res, $tries);

for (1 .. 80) {
    $res = form_login("name$_", 'wrong');
    $tries++;
    last if $res->code == 429;
}

is($res->code, 429, 'refused at last');
cmp_ok($tries, '>', 40, 'a household has its typing errors');
is(form_login('u1', 'correct horse')->code, 429, 'for all of them');


=== wrong passwords from the addresses of one IPv6 network: throttled
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

is((grep { $try->("2001:db8::$_", 'wrong') == 429 } 1 .. 12) > 0, 1, 'refused');
is($try->('2001:db8:0:1::1', 'correct horse'), 200, 'another network is not');

is((grep { $try->("::ffff:192.0.2.$_", 'wrong') == 429 } 1 .. 12), 0,
   'IPv4 by IPv6: each address counts for itself');


=== wrong passwords at a time: most of them learn nothing
--- then
my %codes;
my $left = 40;

for (1 .. 40) {
    request('', POST => '/api/v1/session/',
            { username => 'u1', password => 'wrong' })
        ->then(sub { $codes{ $_[0]->code }++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all are answered');
cmp_ok($codes{403} // 0, '<', 12, 'few are told that it is wrong');
is(($codes{403} // 0) + ($codes{429} // 0), 40, 'the others to wait');


=== right passwords at a time
--- then
my %codes;
my $left = 20;

for (1 .. 20) {
    request('', POST => '/api/v1/session/',
            { username => 'u1', password => 'correct horse' })
        ->then(sub { $codes{ $_[0]->code }++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all are answered');
is_deeply(\%codes, { 200 => 20 }, 'by a session');


=== a success forgives
--- then
my %codes;

for (1 .. 10) {
    $codes{ form_login('u1', 'wrong')->code }++ for 1 .. 2;
    $codes{ form_login('u1', 'correct horse')->code }++;
}

is_deeply(\%codes, { 200 => 20, 302 => 10 }, 'nobody is locked out');


=== logging in from a foreign page
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


=== PUT
--- type: form
--- request
PUT /login/
username=u1&password=correct+horse
--- error_code: 405
