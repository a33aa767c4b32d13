#
# Copyright (C) ngx_chat contributors
#

# GET /api/v1/user/

use Test::Nginx::Socket 'no_plan';
use Chat;

# search QUERY: returns the names, followed by "+" if there are more

sub search {
    my ($query) = @_;

    my $page = api('u1', GET => "/api/v1/user/?$query")->json;

    return join(' ', map { $_->{username} } @{ $page->{results} })
           . ($page->{has_more} ? ' +' : '');
}

run_tests();


__DATA__

=== other users are listed by id
--- given
sql("INSERT INTO chat_user (id, username) VALUES (5, 'anna')");
--- as: u2
--- request
GET /api/v1/user/
--- response_body chomp
[{"username":"u1"},{"username":"u3"},{"username":"u4"},{"username":"anna"}]
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
X-Frame-Options: DENY
Referrer-Policy: same-origin


=== the list is empty without other users
--- given
sql('DELETE FROM chat_user WHERE id > 1');
--- as: u1
--- request
GET /api/v1/user/
--- response_body chomp
[]


=== disabled users are not listed
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');
--- as: u1
--- request
GET /api/v1/user/
--- response_body chomp
[{"username":"u2"},{"username":"u4"}]


=== non-ASCII names are returned
--- given
sql('DELETE FROM chat_user WHERE id > 1');
sql("INSERT INTO chat_user (username) VALUES ('Þórður')");
--- as: u1
--- request
GET /api/v1/user/
--- response_body chomp
[{"username":"Þórður"}]


=== a user is returned by id
--- as: u1
--- request
GET /api/v1/user/2/
--- response_body chomp
{"username":"u2"}
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS


=== an unknown id returns 404
--- as: u1
--- request
GET /api/v1/user/99/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== a path without the trailing slash works or redirects
--- then
my $res = api('u1', GET => '/api/v1/user');

if ($res->code == 301) {
    like($res->headers->location,
         qr{^(?:http://127\.0\.0\.1:\d+)?/api/v1/user/$}, 'it redirects');

} else {
    is($res->code, 200, 'it works');
    is(scalar @{ $res->json }, 3, 'as with the slash');
}


=== search finds the beginning of names in any case
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_)
    for qw(Bob bobby alice BOBO robob);
--- then
is(search('search=bob'), 'Bob bobby BOBO', 'part of a name');
is(search('search=BOBB'), 'bobby', 'another case');
is(search('search=nobody'), '', 'no match');
is(search('search='), 'alice Bob bobby BOBO robob u2 u3 u4', 'all users');
is(search('search=u1'), '', 'not the user itself');


=== search does not interpret special characters of SQL
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_)
    for 'a_b', 'axb', 'a.b', 'a+b';
--- then
is(search('search=a_'), 'a_b', 'an underscore');
is(search('search=%25'), '', 'a percent sign');
is(search('search=%5c'), '', 'a backslash');
is(search('search=%27'), '', 'a quote');
is(search('search=a%2b'), 'a+b', 'a plus');


=== search finds non-ASCII letters
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_) for qw(René Rene ÉLISE);
--- then
is(search('search=ren%c3%89'), 'René',
   'accents are significant, case is ignored');
is(search('search=%c3%a9l'), 'ÉLISE', 'at the beginning');


=== limit= and after= return all users page by page
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_) for qw(a1 A2 a3 a4 a5);
--- then
is(search('search=a&limit=2'), 'a1 A2 +', 'the first page');
is(search('search=a&limit=2&after=A2'), 'a3 a4 +', 'the second page');
is(search('search=a&limit=2&after=a4'), 'a5', 'the last page');
is(search('limit=5&after=a5'), 'u2 u3 u4', 'without search=');


=== search does not find disabled users
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');
--- as: u1
--- request
GET /api/v1/user/?search=u
--- response_body chomp
{"results":[{"username":"u2","display_name":null,"avatar_url":null,"online":false,"last_seen_at":null},{"username":"u4","display_name":null,"avatar_url":null,"online":false,"last_seen_at":null}],"has_more":false}


=== limit=0 is rejected
--- as: u1
--- request
GET /api/v1/user/?limit=0
--- error_code: 400
--- response_body chomp
{"limit":["A valid integer from 1 to 100 is required."]}


=== other arguments are ignored
--- as: u1
--- request
GET /api/v1/user/?_=1700000000
--- response_body chomp
[{"username":"u2"},{"username":"u3"},{"username":"u4"}]


=== a request without a session is rejected
--- request
GET /api/v1/user/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}
--- response_headers
Content-Type: application/json


=== HEAD returns the headers only
--- as: u1
--- request
HEAD /api/v1/user/
--- response_body
--- response_headers
Content-Type: application/json
Content-Length: 55


=== OPTIONS describes the resource
--- as: u1
--- request
OPTIONS /api/v1/user/
--- response_body_like: ^\{.*\}$
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS


=== POST creates no user
--- as: u1
--- type: json
--- request
POST /api/v1/user/
{"username":"u5"}
--- error_code: 405
--- response_body chomp
{"detail":"Method \"POST\" not allowed."}
--- response_headers
Allow: GET, HEAD, OPTIONS
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'no user is created');


=== DELETE deletes no user
--- as: u1
--- request
DELETE /api/v1/user/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"DELETE\" not allowed."}


=== DELETE of a user deletes no user
--- as: u1
--- request
DELETE /api/v1/user/2/
--- error_code_like: ^40[45]$
--- response_body_like: ^\{"detail":"[^}]+"\}$
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'no user is deleted');


=== the list is cached and excludes the user that requests it
--- then
my $names = sub {
    join ' ', map { $_->{username} }
                  @{ api(shift, GET => '/api/v1/user/')->json };
};

is($names->('u1'), 'u2 u3 u4', 'the first user');
sql("INSERT INTO chat_user (username, password) VALUES ('new', '!')");
is($names->('u2'), 'u1 u3 u4', 'a user in the middle, from the zone');
is($names->('u4'), 'u1 u2 u3', 'the last user');

wait_until { $names->('u4') eq 'u1 u2 u3 new' };
is($names->('u1'), 'u2 u3 u4 new', 'a new user is listed soon');
