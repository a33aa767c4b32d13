#
# Copyright (C) ngx_chat contributors
#

# The Cookie header, parsed as RFC 6265 specifies: selection of the session
# among several values and similar names

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Wire;

our $one = token('u1');
our $two = token('u2');

# who HEADERS: the authenticated user, or the status
sub who {
    my $answer = talk(wire(GET => '/api/v1/session/', headers => [@_]));

    return $answer->{body} =~ /"username":"(\w+)"/ ? $1 : $answer->{code};
}

# with HEADERS: the same with one Cookie header; A and B are the tokens of u1
# and u2, X is an unknown token
sub with {
    my ($cookie) = @_;
    my %token = (A => $one, B => $two, X => 'x' x 43);

    return who('Cookie: ' . $cookie =~ s/\b([ABX])\b/$token{$1}/gr);
}

run_tests();


__DATA__

=== session cookies are found in the Cookie header
--- then
my @cases = (
    'sessionid=A'                           => 'u1',
    'sessionid=A;'                          => 'u1',
    '; ;sessionid=A'                        => 'u1',
    'a=1;sessionid=A;b=2'                   => 'u1',
    "a=1; \t sessionid \t=\t A \t ; b=2"    => 'u1',

    # a comma is part of a value
    'prefs=x,sessionid=B; sessionid=A'      => 'u1',
    'prefs=x, sessionid=B; sessionid=A'     => 'u1',
    'prefs=x,sessionid=B'                   => 403,
    'sessionid=A,sessionid=B'               => 403,
    'sessionid=A, b=2'                      => 403,

    # so are quotes and spaces
    'prefs="x; sessionid=B"; sessionid=A'   => 'u1',
    'prefs="sessionid=B"; sessionid=A'      => 'u1',
    'sessionid="A"'                         => 403,
    'sessionid=A B'                         => 403,

    # names are compared byte by byte
    'SessionID=B; sessionid=A'              => 'u1',
    'SESSIONID=A'                           => 403,
    'xsessionid=B; sessionid=A'             => 'u1',
    'sessionid2=B; sessionid=A'             => 'u1',
    'session id=B; sessionid=A'             => 'u1',
    '$sessionid=B; sessionid=A'             => 'u1',
    '%73essionid=A'                         => 403,
    '__Host-sessionid=B; sessionid=A'       => 'u1',
    '=sessionid=B; sessionid=A'             => 'u1',
    '=A'                                    => 403,
    'sessionid'                             => 403,
    'sessionid='                            => 403,
    'sessionid=; sessionid=A'               => 'u1',

    # values without a session are ignored
    'sessionid=X; sessionid=A'              => 'u1',
    'sessionid=A; sessionid=X'              => 'u1',
    'sessionid=X; sessionid=y; sessionid=A' => 'u1',
    'sessionid=A; sessionid=A'              => 'u1',
    'sessionid="A"; sessionid=A'            => 'u1',
    'sessionid=X'                           => 403,

    # sessions of two users
    'sessionid=A; sessionid=B'              => 403,
    'sessionid=B; sessionid=X; sessionid=A' => 403,
);

for my $round (1, 2) {
    my @rest = @cases;

    while (my ($cookie, $who) = splice @rest, 0, 2) {
        is(with($cookie), $who, "$cookie, round $round");
    }
}

is(who("Cookie: sessionid=$one", "Cookie: sessionid=" . 'x' x 43), 'u1',
   'two Cookie headers');
is(who("Cookie: sessionid=$one", "cookie: sessionid=$two"), 403,
   'with sessions of two users');
is(who("Cookie: x=y", "COOKIE: sessionid=$two"), 'u2',
   'the second of two headers');
is(who("Authorization: Bearer $one", "Cookie: sessionid=$two"), 'u1',
   'a bearer token takes precedence');
is(who("Authorization: Bearer x", "Cookie: sessionid=$two"), 403,
   'even if it is invalid');


=== at most eight values of the cookie are looked up
--- then
my $x = sub { join '; ', map { "sessionid=x$_" } 1 .. $_[0] };

is(with($x->(7) . '; sessionid=A'), 'u1', 'the eighth value counts');
is(with($x->(8) . '; sessionid=A'), 403, 'the ninth value does not');
is(with(join('; ', ('sessionid=x') x 50) . '; sessionid=A'), 'u1',
   'a repeated value counts once');
is(with('sessionid=A; ' . $x->(500)), 'u1', 'many values after the first');


=== with two sessions of one user, the first one is used and both end
--- given
add_session('u1', token => 'second' . '-' x 37);
--- then
my $second = 'second' . '-' x 37;

is(who("Cookie: sessionid=$second; sessionid=$one"), 'u1',
   'sessions of one user');
is(api('', DELETE => '/api/v1/session/', undef,
       Cookie => "sessionid=$second; sessionid=$one")->code, 204, 'logout');
is(who("Cookie: sessionid=$one"), 403, 'the first session has ended');
is(who("Cookie: sessionid=$second"), 403, 'the second session has ended');


=== an unknown token is not looked up with each request
--- then
# the zone caches an unknown token that comes with a valid one

my $cookie = "Cookie: sessionid=stale; sessionid=$one";
my $asked = sub { (sql("SHOW GLOBAL STATUS LIKE 'Com_select'"))[1] };

is(who($cookie), 'u1', 'the first request');
my $before = $asked->();
is(who($cookie), 'u1', 'a repeated request') for 1 .. 20;
cmp_ok($asked->() - $before, '<', 10, 'the zone has the unknown token');


=== over https only the cookie with the __Host- prefix counts
--- server
chat_cookie sessionid secure=on;
--- then
is(with('sessionid=A'), 403, 'without the prefix');
is(with('__Host-sessionid=A'), 'u1', 'with the prefix');
is(with('__Host-sessionid=A; sessionid=B'), 'u1',
   'the cookie without the prefix is ignored');
is(with('prefs=x,__Host-sessionid=B; __Host-sessionid=A'), 'u1',
   'a comma in another cookie');
is(with('__HOST-sessionid=B; __Host-sessionid=A'), 'u1',
   'a prefix in another case');
is(with('__Host-sessionid=X; __Host-sessionid=A'), 'u1',
   'an unknown token before the valid one');


=== a page redirects to the login, which ends all sessions of the request
--- server
location = /page { chat_auth on redirect=/login/; try_files /index.html =404; }
--- then
my $cookie = "sessionid=$one; sessionid=$two";

my $page = api('', GET => '/page', undef, Cookie => $cookie);
is($page->code, 302, 'sessions of two users');
is($page->headers->location, '/login/?next=/page', 'redirect to the login');

my $login = api('', POST => '/api/v1/session/',
                { username => 'u3', password => $Chat::Password },
                Cookie => $cookie);
is($login->code, 200, 'login');
my ($new) = $login->headers->set_cookie =~ /sessionid=([^;]+)/;

is(api('', GET => '/page', undef, Cookie => "$cookie; sessionid=$new")->code,
   200, 'the page with all cookies of the browser');
is(who("Cookie: $cookie; sessionid=$new"), 'u3',
   'the new user is authenticated');
is(who("Cookie: sessionid=$_"), 403,
   'the old sessions have ended')
    for $one, $two;
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id IN (1, 2)'), 0,
   'also in the database');


=== a failed login does not end sessions
--- then
is(api('', POST => '/api/v1/session/', { username => 'u3', password => 'x' },
       Cookie => "sessionid=$one")->code, 403, 'a wrong password');
is(who("Cookie: sessionid=$one"), 'u1', 'the session is still valid');


=== a login for a token does not end the session of the page
--- then
my $login = api('', POST => '/api/v1/session/',
                { username => 'u1', password => $Chat::Password,
                  token => JSON::PP::true() }, Cookie => "sessionid=$one");
my $token = $login->json->{token};
is(who("Cookie: sessionid=$one"), 'u1', 'the session is still valid');
is(who("Authorization: Bearer $token"), 'u1', 'the token is valid');

is(api('', POST => '/api/v1/session/',
       { username => 'u1', password => $Chat::Password,
         token => JSON::PP::true() }, Authorization => "Bearer $token")->code,
   200, 'a new token replaces that of the request');
is(who("Authorization: Bearer $token"), 403, 'the old token is invalid');


=== sockets select the session in the same way
--- then
my $socket = web_socket('', headers => {
    Cookie => "sessionid=x; prefs=a,sessionid=$two; sessionid=$one" });
is($socket->{code}, 101, 'the socket is open');
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'u1', body => 'hello' })->code, 201, 'u2 sends to u1');
ok(wait_until { @{ $socket->{frames} } }, 'u1 is notified');

is(web_socket('', headers => {
       Cookie => "sessionid=$one; sessionid=$two" })->{code}, 403,
       'sessions of two users are rejected');
