#
# Copyright (C) ngx_chat contributors
#

# Names in other Unicode forms, and rows whose names break the rule for new ones

use Mojo::Util qw(url_escape);
use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;

our $Nfc = "Jos\x{e9}";
our $Nfd = "Jose\x{301}";

# used in a list, a request and a row
our @Odd = ('mary ann', ' lead', "no\x{a0}break", "a\x{200c}b", 'a/b', 'a?b#c',
            "\x{3164}", "\x{301}x", '100%', '"quoted"', "tom\x{feff}");

# user NAME, [ID]: adds a row, as an earlier version or an import does

sub user {
    my ($name, $id) = @_;

    sql('INSERT INTO chat_user (id, username, password, name_unchecked)
         SELECT ?, ?, password, TRUE FROM chat_user WHERE id = 1', $id, $name);
}

# path NAME: returns the name as a path component

sub path {
    my ($name) = @_;

    utf8::encode($name);

    return url_escape($name);
}

# to NAME, BODY: sends a message and returns the name of its recipient, or the
# status

sub to {
    my ($name, $body) = @_;

    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => $name, body => $body // 'hello' });

    return $res->code == 201 ? $res->json->{recipient} : $res->code;
}

# with NAME: returns the number of messages with the user

sub with {
    my ($name) = @_;

    return api('u1', GET => '/api/v1/message/?target=' . path($name))
               ->json->{count};
}

# mark NAME, ID: returns the status of a read mark

sub mark {
    my ($name, $id) = @_;

    return api('u1', POST => '/api/v1/conversation/' . path($name) . '/read/',
               { id => $id })->code;
}

# log_in NAME, [PASSWORD]: logs in by JSON and returns the status

sub log_in {
    my ($name, $password) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $name, password => $password // $Chat::Password })
               ->code;
}

# log_in_form NAME: logs in by the form and returns the status

sub log_in_form {
    my ($name) = @_;

    return Mojo::UserAgent->new(max_redirects => 0)
               ->post(url('/login/'), form => { username => $name,
                                                password => $Chat::Password })
               ->res->code;
}

# search QUERY: returns the names, followed by "+" if there are more

sub search {
    my ($query) = @_;

    my $page = api('u1', GET => "/api/v1/user/?$query")->json;

    return join(' ', map { $_->{username} } @{ $page->{results} })
           . ($page->{has_more} ? ' +' : '');
}

run_tests();


__DATA__

=== a composed name is found in either form and returned as stored
--- given
user($Nfc, 5);
message($Nfc => 'u1', 'hello');
--- then
for my $name ($Nfc, $Nfd, uc $Nfc, uc $Nfd, " $Nfd\n") {
    is(to($name), $Nfc, 'as a recipient') for 1 .. 3;
    cmp_ok(with($name), '>', 0, 'as a target') unless $name =~ /\n/;
    is(log_in($name), 200, 'at login');
    is(log_in_form($name), 302, 'in the form');
}

is(mark($_, 1), 200, 'in a path') for $Nfc, $Nfd;


=== a decomposed name is found in either form and returned as stored
--- given
user($Nfd, 5);
message($Nfd => 'u1', 'hello');
--- then
for my $name ($Nfd, $Nfc, uc $Nfd, uc $Nfc) {
    is(to($name), $Nfd, 'as a recipient') for 1 .. 3;
    cmp_ok(with($name), '>', 0, 'as a target');
    is(log_in($name), 200, 'at login');
    is(log_in_form($name), 302, 'in the form');
    is(mark($name, 1), 200, 'in a path');
}


=== of rows that differ by normalization, the row with the same bytes is used
--- given
user($Nfd, 5);
user($Nfc, 6);
message($Nfd => 'u1', 'from 5');
--- then
for (1 .. 4) {
    is(to($Nfc), $Nfc, 'the composed name');
    is(to($Nfd), $Nfd, 'the decomposed name');
}

is(with($Nfc), 4, 'messages with the composed name');
is(with($Nfd), 5, 'messages with the decomposed name');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE recipient_id = 5'), 4,
   'stored for the right user');

my $log_in = sub {
    return api('', POST => '/api/v1/session/',
               { username => $_[0], password => $Chat::Password })
               ->json->{user_id};
};

is($log_in->($Nfd), 5, 'login of the decomposed name');
is($log_in->($Nfc), 6, 'login of the composed name');


=== names in canonically equivalent forms are found
--- given
user("\x{c5}ngstr\x{f6}m", 5);
user("q\x{323}\x{307}", 6);
--- then
is(to("\x{212b}ngstro\x{308}m"), "\x{c5}ngstr\x{f6}m", 'the angstrom sign');
is(to("q\x{307}\x{323}"), "q\x{323}\x{307}", 'marks in another order');
is(to("q\x{307}"), 404, 'another name');


=== names that break the rule are listed and found
--- given
my $id = 5;

for my $name (@Odd) {
    user($name, $id++);
    message($name => 'u1', 'hello');
}
--- then
my %listed = map { $_->{username} => 1 }
                 @{ api('u1', GET => '/api/v1/user/')->json };

for my $name (@Odd) {
    ok($listed{$name}, 'listed');
    is(to($name), $name, 'as a recipient') for 1 .. 2;
    is(with($name), 3, 'as a target');
    is(mark($name, 1), 200, 'in a path');
    is(log_in($name), 200, 'at login');
    is(log_in_form($name), 302, 'in the form');
}


=== white space around a name is removed unless a row has it
--- given
user(' u2', 5);
--- then
is(to(' u2'), ' u2', 'a row with white space');
is(to("\t\x{a0}u2\x{3000} "), 'u2', 'a row without white space');
is(to((' ' x 1000) . 'u3'), 'u3', 'much white space');
is(log_in("\x{a0}u2 "), 200, 'at login');

# fields are trimmed as in the Django app, targets and paths are not
message(u1 => 'u2', 'hello');
is(with('u2'), 2, 'a target');

for my $name ('u2 ', "u2\x{a0}", ' u3') {
    is(to($name), ($name =~ /(u\d)/)[0], 'as a field') for 1 .. 2;
    is(with($name), 0, 'as a target');
    is(mark($name, 1), 404, 'in a path');
}

is(with(' u2'), 1, 'the row with white space');


=== trailing white space of a row is significant
--- given
user('u5 ', 5);
user("u6\x{a0}", 6);
--- then
for my $name ('u5 ', "u6\x{a0}") {
    is(to($name), $name, 'as a recipient') for 1 .. 2;
    is(with($name), 2, 'as a target');
    is(mark($name, 1), 200, 'in a path');
    is(log_in($name), 200, 'at login');
}

is(to('u6'), 404, 'without white space');


=== a name that no row can have is not found
--- then
is(to($_), 404, 'as a recipient') for "a\nb", 'x' x 151, "\x{e9}" x 151;
is(with($_), 0, 'as a target') for "u\x{0}2", "\x{85}x", '', ' ';
is(mark($_, 1), 404, 'in a path') for "u2\n", 'x' x 151;
is(api('u1', GET => '/api/v1/message/?target=%ff')->json->{count}, 0,
   'invalid UTF-8');


=== a decomposed name from the site is found
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s;
--- given
user($Nfc, 5);
user('mary ann', 6);
--- then
my $id = sub {
    my ($name) = @_;

    utf8::encode($name);
    my $res = api('', GET => '/api/v1/session/', undef, 'X-Name' => $name);

    return $res->code == 200 ? $res->json->{user_id} : $res->code;
};

for (1 .. 2) {
    is($id->($Nfc), 5, 'composed');
    is($id->($Nfd), 5, 'decomposed');
    is($id->('mary ann'), 6, 'with a space');
    is($id->("Jose\x{300}"), 403, 'another name');
}


=== other spellings of a name do not reset the login throttle
--- given
user("$Nfc\x{c9}", 5);
--- then
my @names = ("$Nfc\x{c9}", "$Nfd\x{c9}", uc "$Nfc\x{e9}", lc "$Nfc\x{e9}",
             " $Nfc\x{e9}", "jose\x{301}e\x{301}", "JOSE\x{301}\x{e9}");
my $tries = 0;

for my $name ((@names) x 5) {
    last if log_in($name, 'wrong') == 429;
    $tries++;
}

cmp_ok($tries, '<=', 8, 'rejected after a few attempts in total');
is(log_in($_), 429, 'each spelling is throttled') for @names;
is(log_in('u1'), 200, 'another name is not throttled');


=== search= and after= find names in either form
--- given
user($Nfc, 5);
user("Rene\x{301}", 6);
user("Ren\x{e9}e", 7);
--- then
is(search('search=' . path($_)), $Nfc, 'a composed name') for $Nfc, $Nfd;
is(search('search=' . path($_)), "Rene\x{301} Ren\x{e9}e",
   'names in both forms') for "ren\x{e9}", "rene\x{301}";
is(search('search=rene'), "Rene\x{301}", 'without the accent');

is(search('limit=1&after=' . path($_)), "Rene\x{301} +",
   'after a composed name') for $Nfc, $Nfd;
is(search('limit=2&after=' . path("Rene\x{301}")), "Ren\x{e9}e u2 +",
   'after a decomposed name');
is(search('limit=2&after=' . path("Ren\x{e9}")), "Ren\x{e9}e u2 +",
   'after the name in the other form');
is(search('limit=9&after=' . path("Jozse\x{301}")),
   "Rene\x{301} Ren\x{e9}e u2 u3 u4", 'after a name that does not exist');


=== pages of users are complete
--- given
user($_) for $Nfc, "Jose\x{301}", "Jose\x{301}x", "Josef", "Jos\x{e9}x",
             "JOSE\x{300}";
--- then
my (@names, $after);

for (1 .. 20) {
    my $page = api('u1', GET => '/api/v1/user/?limit=1'
                   . (defined $after ? '&after=' . path($after) : ''))->json;

    push @names, map { $_->{username} } @{ $page->{results} };
    last if !$page->{has_more};
    $after = $names[-1];
}

my @all = sql('SELECT username FROM chat_user WHERE id <> 1
               ORDER BY username_key');
is_deeply(\@names, \@all, 'all users, in order');


=== a message of invisible characters is rejected
--- then
for my $body ("\x{200b}", "\x{200d}\x{fe0f}", " \x{3164} ", "\x{2800}\x{2800}",
              "\x{2060}\x{feff}\x{ad}", "\x{34f}", "\x{115f}\x{1160}",
              "\x{202e}", "\x{e0001}\x{e0020}", "\x{ffa0}", "\x{180e}",
              "\x{1d159}", "\x{fff9}\n\x{17b4}")
{
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => $body });

    is($res->code, 400, sprintf 'rejected: %vx', $body);
    is($res->body, '{"body":["This field may not be blank."]}', 'as blank');
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'no message is stored');


=== messages with invisible characters are stored unchanged
--- then
for my $body ("\x{2764}\x{fe0f}", "\x{1f468}\x{200d}\x{1f469}\x{200d}\x{1f467}",
              "\x{2801}", "a\x{200b}", "\x{200b}a", "\x{2800}\x{2803}", $Nfd,
              "\x{feff}x", "\x{1f3f4}\x{e0067}\x{e007f}", "\x{301}",
              "\x{f8ff}", "1\x{fe0f}\x{20e3}", "\x{1}\x{7}")
{
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => $body });

    is($res->code, 201, sprintf 'accepted: %vx', $body);
    is($res->json->{body}, $body, 'returned');
    is(scalar sql('SELECT body FROM chat_message ORDER BY id DESC LIMIT 1'),
       $body, 'stored');
}
