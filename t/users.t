#
# Copyright (C) ngx_chat contributors
#

# GET /api/v1/user/

use Test::Nginx::Socket 'no_plan';
use Chat;

# search WHO, QUERY: "names more"

sub search {
    my ($query) = @_;

    my $page = api('u1', GET => "/api/v1/user/?$query")->json;

    return join(' ', map { $_->{username} } @{ $page->{results} })
           . ($page->{has_more} ? ' +' : '');
}

run_tests();


__DATA__

=== everybody but oneself, by id
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


=== alone
--- given
sql('DELETE FROM chat_user WHERE id > 1');
--- as: u1
--- request
GET /api/v1/user/
--- response_body chomp
[]


=== nobody who is disabled
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');
--- as: u1
--- request
GET /api/v1/user/
--- response_body chomp
[{"username":"u2"},{"username":"u4"}]


=== letters that are no ASCII
--- given
sql('DELETE FROM chat_user WHERE id > 1');
sql("INSERT INTO chat_user (username) VALUES ('Þórður')");
--- as: u1
--- request
GET /api/v1/user/
--- response_body chomp
[{"username":"Þórður"}]


=== one person, by id
--- as: u1
--- request
GET /api/v1/user/2/
--- response_body chomp
{"username":"u2"}
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS


=== nobody of that id
--- as: u1
--- request
GET /api/v1/user/99/
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== without the closing slash: works, or leads there
--- then
my $res = api('u1', GET => '/api/v1/user');

if ($res->code == 301) {
    like($res->headers->location,
         qr{^(?:http://127\.0\.0\.1:\d+)?/api/v1/user/$}, 'leads there');

} else {
    is($res->code, 200, 'it works');
    is(scalar @{ $res->json }, 3, 'as with the slash');
}


=== search, by the beginning of the name, whatever the case
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_)
    for qw(Bob bobby alice BOBO robob);
--- then
is(search('search=bob'), 'Bob bobby BOBO', 'by name');
is(search('search=BOBB'), 'bobby', 'another case');
is(search('search=nobody'), '', 'nobody');
is(search('search='), 'alice Bob bobby BOBO robob u2 u3 u4', 'everybody');
is(search('search=u1'), '', 'not oneself');


=== search for what means something in SQL
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_)
    for 'a_b', 'axb', 'a.b', 'a+b';
--- then
is(search('search=a_'), 'a_b', 'an underscore');
is(search('search=%25'), '', 'a percent sign');
is(search('search=%5c'), '', 'a backslash');
is(search('search=%27'), '', 'a quote');
is(search('search=a%2b'), 'a+b', 'a plus');


=== search by letters that are no ASCII
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_) for qw(René Rene ÉLISE);
--- then
is(search('search=ren%c3%89'), 'René', 'accents count, the case does not');
is(search('search=%c3%a9l'), 'ÉLISE', 'at the beginning too');


=== limit and after: page by page
--- given
sql('INSERT INTO chat_user (username) VALUES (?)', $_) for qw(a1 A2 a3 a4 a5);
--- then
is(search('search=a&limit=2'), 'a1 A2 +', 'the first page');
is(search('search=a&limit=2&after=A2'), 'a3 a4 +', 'the second');
is(search('search=a&limit=2&after=a4'), 'a5', 'the last');
is(search('limit=5&after=a5'), 'u2 u3 u4', 'without search');


=== nobody disabled is found
--- given
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');
--- as: u1
--- request
GET /api/v1/user/?search=u
--- response_body chomp
{"results":[{"username":"u2"},{"username":"u4"}],"has_more":false}


=== limit 0
--- as: u1
--- request
GET /api/v1/user/?limit=0
--- error_code: 400
--- response_body chomp
{"limit":["A valid integer from 1 to 100 is required."]}


=== other parameters change nothing
--- as: u1
--- request
GET /api/v1/user/?_=1700000000
--- response_body chomp
[{"username":"u2"},{"username":"u3"},{"username":"u4"}]


=== without a session
--- request
GET /api/v1/user/
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}
--- response_headers
Content-Type: application/json


=== HEAD
--- as: u1
--- request
HEAD /api/v1/user/
--- response_body
--- response_headers
Content-Type: application/json
Content-Length: 55


=== OPTIONS
--- as: u1
--- request
OPTIONS /api/v1/user/
--- response_body_like: ^\{.*\}$
--- response_headers
Content-Type: application/json
Allow: GET, HEAD, OPTIONS


=== POST creates nobody
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
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'nobody is created');


=== DELETE deletes nobody
--- as: u1
--- request
DELETE /api/v1/user/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"DELETE\" not allowed."}


=== DELETE of one person deletes nobody
--- as: u1
--- request
DELETE /api/v1/user/2/
--- error_code_like: ^40[45]$
--- response_body_like: ^\{"detail":"[^}]+"\}$
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'nobody is deleted');


=== everybody is kept for a moment, and each is left out of their own list
--- then
my $names = sub {
    join ' ', map { $_->{username} }
                  @{ api(shift, GET => '/api/v1/user/')->json };
};

is($names->('u1'), 'u2 u3 u4', 'the first');
sql("INSERT INTO chat_user (username, password) VALUES ('new', '!')");
is($names->('u2'), 'u1 u3 u4', 'in the middle, and from the zone');
is($names->('u4'), 'u1 u2 u3', 'the last');

wait_until { $names->('u4') eq 'u1 u2 u3 new' };
is($names->('u1'), 'u2 u3 u4 new', 'somebody new comes soon');
