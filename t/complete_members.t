#
# Copyright (C) ngx_chat contributors
#

# members of a site: names from a variable, profiles, and the search for names

use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;
use Chat::Grants;
use Encode qw(decode_utf8 encode_utf8);
use JSON::PP;

# member NAME, METHOD => PATH, [JSON], HEADERS: a request that the site has
# authenticated

sub member {
    my ($name, $method, $path, $json, %headers) = @_;

    return api('', $method, "/api/v1/$path", $json, 'X-Member' => $name,
               %headers);
}

# found USER, QUERY: the names that GET user/ finds

sub found {
    my ($who, $query) = @_;

    my $page = api($who, GET => "/api/v1/user/?$query")->json;

    return join(' ', map { $_->{username} } @{ $page->{results} })
           . ($page->{has_more} ? ' +' : '');
}

# users NAME => DISPLAY NAME, ...: adds users as the module does

sub users {
    while (my ($name, $display) = splice @_, 0, 2) {
        sql('INSERT INTO chat_user (username) VALUES (?)', $name);
        add_session($name);

        my $res = api($name, PATCH => '/api/v1/profile/',
                      { display_name => $display });
        die $res->body if $res->code != 200;
    }
}

run_tests();


__DATA__

=== profiles
--- then
is(api('u1', GET => '/api/v1/profile/u2/')->body,
   '{"username":"u2","display_name":null,"avatar_url":null,"online":false,'
   . '"last_seen_at":null,"blocked":false}', 'without a name');

my $set = api('u2', PATCH => '/api/v1/profile/',
              { display_name => ' Zoé  Müller ' });

is($set->code, 200, 'a name is set');
is(decode_utf8($set->body),
   '{"username":"u2","display_name":"Zoé  Müller","avatar_url":null,'
   . '"online":false,"last_seen_at":null,"blocked":false}', 'the response');
is(api('u1', GET => '/api/v1/profile/U2')->json->{display_name},
   'Zoé  Müller', 'others see it, in any case of the name');
is(api('u2', GET => '/api/v1/profile/u2/')->json->{blocked}, JSON::PP::false,
   'the own profile');
is(api('u1', GET => "/api/v1/profile/$_/")->code, 404, "$_ is not found")
    for 'nobody', 'u22', 'u2%2fx';

sql('UPDATE chat_user SET avatar_url = ? WHERE id = 2', '/a/2.png');
is(api('u1', GET => '/api/v1/profile/u2/')->json->{avatar_url}, '/a/2.png',
   'an avatar');
is(api('u2', PATCH => '/api/v1/profile/', { display_name => 'Zoe' })
       ->json->{avatar_url}, '/a/2.png', 'it is not changed by a name');

my $page = api('u1', GET => '/api/v1/user/?limit=1')->body;

is($page, '{"results":[{"username":"u2","display_name":"Zoe",'
   . '"avatar_url":"/a/2.png","online":false,"last_seen_at":null}],'
   . '"has_more":true}', 'a page of users');
is(api('u1', GET => '/api/v1/user/')->body,
   '[{"username":"u2"},{"username":"u3"},{"username":"u4"}]',
   'the list of all users has not changed');

message(u2 => 'u1', 'hello');

my ($talk) = @{ api('u1', GET => '/api/v1/conversation/')->json->{results} };

is("@$talk{qw(user display_name avatar_url)}", 'u2 Zoe /a/2.png',
   'a conversation');

is(api('u1', PUT => '/api/v1/block/u2/')->code, 204, 'blocked');
sql("UPDATE chat_user SET last_seen_at = '2025-01-02 03:04:05'
     WHERE id IN (1, 2)");
is(api('u1', GET => '/api/v1/profile/u2/')->json->{blocked}, JSON::PP::true,
   'the blocker sees the block');

my $blocker = api('u2', GET => '/api/v1/profile/u1/')->json;

is($blocker->{blocked}, JSON::PP::false, 'the blocked user does not');
is($blocker->{last_seen_at}, undef, 'and not when the blocker was seen');

is(api('u2', PATCH => '/api/v1/profile/', { display_name => undef })
       ->json->{display_name}, undef, 'null removes the name');
is(scalar sql('SELECT COUNT(*) FROM chat_user_word'), 0, 'and its words');

sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');
is(api('u1', GET => '/api/v1/profile/u3/')->code, 404, 'a disabled user');
is(api('u3', PATCH => '/api/v1/profile/', { display_name => 'x' })->code, 403,
   'a disabled user has no profile to change');


=== names that cannot be set
--- then
my $set = sub {
    my ($name) = @_;

    return api('u1', PATCH => '/api/v1/profile/',
               { @_ ? (display_name => $name) : () });
};

is($set->()->body, '{"display_name":["This field is required."]}', 'missing');
is($set->('   ')->body, '{"display_name":["This field may not be blank."]}',
   'blank');
is($set->('x' x 101)->body,
   '{"display_name":["Ensure this field has no more than 100 characters."]}',
   'too long');
is($set->('é' x 100)->code, 200, 'as long as possible');
is($set->($_)->body, '{"display_name":["Enter a valid name."]}',
   sprintf 'U+%04X', ord substr $_, 1)
    for "a\x{1}b", "a\nb", "a\x{202e}b", "a\x{2066}b", "a\x{7f}b", "a\x{200f}b";
is($set->("\x{200b}\x{2060}")->code, 400, 'no visible character');
is($set->({ x => 1 })->body, '{"display_name":["Not a valid string."]}',
   'an object');
is($set->("nl: 'x' \"y\" \\ \$1; -- %_")->json->{display_name},
   "nl: 'x' \"y\" \\ \$1; -- %_", 'special characters of SQL');
is($set->("U\x{308}mit")->json->{display_name}, 'Ümit', 'NFC');
is($set->('王小明 🙂')->json->{display_name}, '王小明 🙂', 'other scripts');
is(api('u1', PATCH => '/api/v1/profile/', { display_name => 'x' },
       Origin => 'http://evil.example')->code, 403, 'cross-origin');
is(api('', PATCH => '/api/v1/profile/', { display_name => 'x' })->code, 403,
   'unauthenticated');
is(api('u1', GET => '/api/v1/profile/')->code, 405, 'no GET');
is(api('u1', POST => '/api/v1/profile/u1/', {})->code, 405, 'no POST');


=== the search finds the beginning of each word
--- then
users(anna1 => 'Anna-Maria Müller', bert => 'Dr. Bertold  Anders',
      cleo => "Cléo d'Arc", omar => 'عمر', wang => '王小明',
      ann => undef, zed => 'ANNA "Annie" Öz');

is(found('u1', 'search=anna'), 'anna1 zed', 'the first word and a user name');
is(found('u1', 'search=ann'), 'ann anna1 zed', 'each user once');
is(found('u1', 'search=MULL'), 'anna1', 'another case, without the accent');
is(found('u1', 'search=m%c3%bc'), 'anna1', 'with the accent');
is(found('u1', 'search=mu%cc%88l'), 'anna1', 'decomposed');
is(found('u1', 'search=maria%20m'), 'anna1', 'two words');
is(found('u1', 'search=anders'), 'bert', 'the last word');
is(found('u1', 'search=arc'), 'cleo', 'behind an apostrophe');
is(found('u1', 'search=o'), 'omar zed', 'one letter');
is(found('u1', 'search=a'), 'ann anna1 bert cleo zed', 'names and words');
is(found('u1', 'search=an'), 'ann anna1 bert zed', 'two letters');
is(found('u1', 'search=%d8%b9'), 'omar', 'Arabic');
is(found('u1', 'search=%e7%8e%8b%e5%b0%8f'), 'wang', 'Chinese');
is(found('u1', 'search=nna'), '', 'not inside a word');
is(found('u1', "search=$_"), '', "no pattern: $_")
    for qw(%25 _ %5c %25nn an%25 a_ %27 %22);
is(found('anna1', 'search=anna'), 'zed', 'not the user itself');

is(found('u1', 'search=a&limit=2'), 'ann anna1 +', 'the first page');
is(found('u1', 'search=a&limit=2&after=anna1'), 'bert cleo +', 'the second');
is(found('u1', 'search=a&limit=2&after=CLEO'), 'zed', 'the last');
is(found('u1', 'search=ann&limit=1&after=anna1'), 'zed', 'of a longer text');

sql("UPDATE chat_user SET is_active = FALSE WHERE username = 'zed'");
is(found('u1', 'search=anna'), 'anna1', 'not disabled users');

# the statements of chatctl make the same rows
my @rows = sql('SELECT word, user_id FROM chat_user_word ORDER BY 1, 2');
my ($statements) = do {
    open my $file, '<', __FILE__ =~ s{[^/]*$}{../sql/chatctl/words.sql}r or die;
    local $/;
    readline $file;
};

my $db = connect_db();

$db->do('CREATE TEMPORARY TABLE chat_named SELECT id FROM chat_user');
$db->do('SET NAMES utf8mb4');
$db->do('DELETE FROM chat_user_word');
$db->do($_) for grep { /\S/ } split /;/, $statements =~ s/^--.*//mgr;
is_deeply([sql('SELECT word, user_id FROM chat_user_word ORDER BY 1, 2')],
          \@rows, 'the statements of chatctl');
cmp_ok(scalar @rows, '>', 20, 'the words');

# a word that thousands of users have
sql("INSERT INTO chat_user (username, display_name)
     WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 56)
     SELECT CONCAT('m', LPAD(56 * a.n + b.n - 56, 5, '0')),
            IF(b.n % 2, 'Anna Berg', 'Ben Berg')
     FROM n AS a JOIN n AS b");
sql("INSERT INTO chat_user_word SELECT display_name, id FROM chat_user
     WHERE username LIKE 'm0%'");
sql("INSERT INTO chat_user_word SELECT 'Berg', id FROM chat_user
     WHERE username LIKE 'm0%'");
is(found('u1', 'search=berg&limit=3'), 'm00001 m00002 m00003 +', 'many users');
is(found('u1', 'search=b&limit=3&after=m00002'), 'm00003 m00004 m00005 +',
   'the next page');
is(found('u1', 'search=anna&limit=3'), 'anna1 m00001 m00003 +', 'fewer users');
sql("UPDATE chat_user SET is_active = FALSE WHERE username = 'm00002'");
is(found('u1', 'search=berg&limit=2'), 'm00001 m00003 +', 'not disabled ones');


=== new members are added
--- http
map $http_x_member $member {
    default  $http_x_member;
}
--- given
grant('members');
--- change
s/chat_auth     on;/chat_auth     \$member create;/ or die;
--- then
is(member('anna', GET => 'session/')->json->{username}, 'anna', 'added');
is(member('anna', GET => 'session/')->json->{username}, 'anna', 'again');
is(member('ANNA', GET => 'session/')->json->{username}, 'anna',
   'in another case');
is(member('U1', GET => 'session/')->json->{user_id}, 1, 'an existing user');
is(member(encode_utf8("Zoe\x{301}"), GET => 'session/')->json->{username},
   'Zoé', 'NFC');
is(member(encode_utf8('Zoé'), GET => 'session/')->json->{username}, 'Zoé',
   'the same user');
is(member($_, GET => 'session/')->code, 403, "not a valid name: $_")
    for '', ' ', 'a b', 'x/y', '..', "a\x{ff}", 'x' x 151, '$(id)', "a'b";
is(sql("SELECT COUNT(*) FROM chat_user WHERE username = 'anna'
        AND password = '!' AND NOT is_admin AND is_active"), 1, 'the row');
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 6, 'no other rows');

is(member('anna', POST => 'message/', { recipient => 'bob', body => 'x' })
       ->code, 404, 'recipients are not added');
is(member('anna', POST => 'message/', { recipient => 'u1', body => 'x' })
       ->code, 201, 'a new member sends');

sql("UPDATE chat_user SET is_active = FALSE WHERE username = 'u3'");
is(member('u3', GET => 'session/')->code, 403, 'a disabled user');
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 6, 'is not added again');
like(error_log(), qr/\[error\].* chat: the name in the variable of "chat_auth"/,
     'the log has the reason');


=== five hundred new members at once
--- http
map $http_x_member $member {
    default  $http_x_member;
}
--- timeout: 60
--- given
grant('members');
--- change
s/chat_auth     on;/chat_auth     \$member create;/ or die;
--- then
my (%codes, $left);

for my $n (1 .. 500) {
    # some names arrive several times, in several spellings
    my $name = $n % 5 ? "member$n" : $n % 2 ? 'Same.Name' : 'same.NAME';

    $left++;
    request('', GET => '/api/v1/session/', undef, 'X-Member' => $name)
        ->then(sub { $codes{ $_[0]->code }++ })
        ->catch(sub { $codes{error}++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all responses');
is_deeply(\%codes, { 200 => 500 }, 'no error');
is(scalar sql("SELECT COUNT(*) FROM chat_user WHERE username LIKE 'member%'"),
   400, 'a row for each member');
is(scalar sql("SELECT COUNT(*) FROM chat_user
               WHERE username_key = 'same.name'"), 1, 'one row for a name');


=== without the right to add users
--- http
map $http_x_member $member {
    default  $http_x_member;
}
--- given
revoke('members');
--- change
s/chat_auth     on;/chat_auth     \$member create;/ or die;
--- then
is(member('anna', GET => 'session/')->code, 503, 'a new member');
is(member('u1', GET => 'session/')->code, 200, 'others');
is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'no row');
like(error_log(), qr/a privilege of sql\/grants/, 'the reason');


=== names and avatars of the site
--- http
map $http_x_member $member {
    default  $http_x_member;
}
--- given
grant('members');
--- change
s/chat_auth     on;/chat_auth     \$member create;
                    chat_profile  \$http_x_name \$http_x_avatar;/ or die;
--- then
my $stored = sub {
    my ($name) = @_;

    return join '|', map { $_ // '-' }
        sql('SELECT display_name, avatar_url FROM chat_user
             WHERE username = ?', $name);
};
my $as = sub {
    my ($name, %headers) = @_;

    return member($name, GET => 'session/', undef,
                  map { ("X-$_" => encode_utf8($headers{$_})) } keys %headers)
           ->code;
};

is($as->('anna', Name => 'Anna Öz', Avatar => '/a.png'), 200, 'a new member');
is($stored->('anna'), 'Anna Öz|/a.png', 'with name and avatar');
is(member('u1', GET => 'user/?search=oz')->json->{results}[0]{username},
   'anna', 'is found');

my $ids = join ' ', sql('SELECT word, user_id FROM chat_user_word');

is($as->('anna', Name => 'Anna Öz', Avatar => '/a.png'), 200, 'no change')
    for 1 .. 4;
is($as->('anna', Name => 'Anna Berg', Avatar => 'https://x.test/b.png'), 200,
   'a change');
ok(wait_until { $stored->('anna') eq 'Anna Berg|https://x.test/b.png' },
   'is stored');
is(member('u1', GET => 'user/?search=oz')->json->{results}[0], undef,
   'the former name is not found');
is($as->('anna'), 200, 'no name');
settle();
is($stored->('anna'), 'Anna Berg|https://x.test/b.png', 'removes nothing');
is($as->('anna', Name => 'Anna Berg'), 200, 'no avatar');
ok(wait_until { $stored->('anna') eq 'Anna Berg|-' }, 'removes the avatar');

is($as->('u1', Name => 'x' x 120), 200, 'a long name');
ok(wait_until { $stored->('u1') eq 'x' x 100 . '|-' }, 'is cut');

for my $url ('javascript:alert(1)', 'data:x', '//' . 'x' x 300, '/a b',
             '/a"b', 'x.png', 'http:/x')
{
    is($as->('u2', Name => "U $url", Avatar => $url), 200, 'an avatar');
    ok(wait_until { $stored->('u2') eq substr("U $url", 0, 100) . '|-' },
       "is not stored: $url");
}

is(member('u1', PATCH => 'profile/', { display_name => 'x' })->body,
   '{"detail":"Profiles are managed by the site."}', 'it cannot be changed');

# the site's own name wins over one that chatctl has stored
sql("UPDATE chat_user SET display_name = 'Old' WHERE username = 'u4'");
is($as->('u4', Name => 'New'), 200, 'a name that differs');
ok(wait_until { $stored->('u4') eq 'New|-' }, 'is replaced');


=== members without a user
--- http
map $http_x_member $member {
    default  $http_x_member;
}
--- change
s/chat_auth  on redirect=\/login\/;/chat_auth \$member redirect=\/signin;/ or die;
s/chat_auth     on;/chat_auth     \$member;/ or die;
--- then
my $page = sub {
    my (%headers) = @_;

    my $res = api('', GET => '/', undef, %headers);

    return join ' ', $res->code, $res->headers->location // ();
};

like($page->(), qr{^302 .*/signin\?next=/$}, 'a visitor is redirected');
is($page->('X-Member' => 'u1'), '200', 'a member');
is($page->('X-Member' => 'nobody'), '403',
   'a member without a user is not redirected again');
is($page->('X-Member' => 'a b'), '403', 'nor one with an invalid name');
is(member('nobody', GET => 'session/')->body,
   '{"detail":"Authentication credentials were not provided."}', 'in JSON');
like(error_log(),
     qr/\[error\].*does not belong to an active user/, 'the log has the reason');
