#
# Copyright (C) ngx_chat contributors
#

# administration as the contract describes it

use JSON::PP;
use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;
use Chat::Data;
use Chat::Grants;

our $Denied = '403 {"detail":"Authentication credentials were not provided."}';
our $Missing = '404 {"detail":"Not found."}';

# outcome ...: code and body of api()

sub outcome {
    my $res = api(@_);

    return $res->code . ' ' . $res->body;
}

sub change {
    my ($who, $name, %members) = @_;

    return api($who, PATCH => "/api/v1/admin/user/$name/", \%members);
}

# flags NAME: is_active and is_admin

sub flags {
    my ($name) = @_;

    return join ' ', sql('SELECT is_active, is_admin FROM chat_user
                          WHERE username = ?', $name);
}

# audit: the entries, oldest first

sub audit {
    return map { [sql('SELECT actor, action, target, detail FROM chat_audit
                       WHERE id = ?', $_)] }
               sql('SELECT id FROM chat_audit ORDER BY id');
}

our ($Yes, $No) = (JSON::PP::true, JSON::PP::false);

run_tests();


__DATA__

=== the authorization matrix
--- given
grant('admin');
sql('UPDATE chat_user SET is_admin = TRUE WHERE id IN (1, 4)');
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 4');
--- then
my @requests = (
    [GET => 'admin/user/'], [GET => 'admin/audit/'],
    [PATCH => 'admin/user/u2/', { display_name => 'x' }],
    [PATCH => 'admin/user/missing/', { display_name => 'x' }],
    [OPTIONS => 'admin/user/'], [OPTIONS => 'admin/user/u2/'],
    [OPTIONS => 'admin/audit/'],
    [GET => 'admin/'], [GET => 'admin/nothing/'],
);

for my $request (@requests) {
    my ($method, $path, $json) = @$request;
    my @request = ($method => "/api/v1/$path", $json);

    is(outcome('', @request), $Denied, "$method $path: no user");
    is(outcome('u4', @request), $Denied, "$method $path: disabled");
    is(outcome('u2', @request), $Missing, "$method $path: a member");
    is(api('u2', @request)->headers->header('Allow'), undef, 'no methods');
}

is(api('u2', HEAD => "/api/v1/admin/$_/")->code, 404, "HEAD of $_")
    for qw(user audit);
is(scalar sql('SELECT COUNT(*) FROM chat_audit'), 0, 'nothing is logged');
is(scalar sql('SELECT COUNT(*) FROM chat_user
               WHERE display_name IS NOT NULL'), 0, 'nothing has changed');

is(api('u1', GET => '/api/v1/admin/user/')->code, 200, 'the administrator');
is(api('u1', GET => '/api/v1/admin/audit/')->code, 200, 'the audit log');
is(api('u1', DELETE => '/api/v1/admin/user/u2/')->code, 405, 'the methods');
is(outcome('u1', PATCH => '/api/v1/admin/user/missing/', {}), $Missing,
   'an unknown user');
is(outcome('u1', GET => '/api/v1/admin/nothing/'), $Missing, 'another path');


=== all users
--- given
grant('admin');
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 3');
--- then
is(change('u1', 'u2', display_name => 'Bob Öz')->code, 200, 'a name');

my $names = sub {
    my ($query) = @_;
    my $page = api('u1', GET => "/api/v1/admin/user/?$query")->json;

    return join ' ', (map { $_->{username} } @{ $page->{results} }),
                     $page->{has_more} ? '+' : ();
};

is($names->(''), 'u1 u2 u3 u4', 'also the own and disabled ones');
is($names->('limit=2'), 'u1 u2 +', 'a page');
is($names->('limit=2&after=U2'), 'u3 u4', 'the next page');
is($names->('search=oz'), 'u2', 'a word');
is($names->('search=U3'), 'u3', 'a name');
is($names->('search=%25'), '', 'no pattern');

my $created = sql("SELECT DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ')
                   FROM chat_user WHERE id = 2");
my ($row) = @{ api('u1', GET => '/api/v1/admin/user/?search=u2')
                   ->json->{results} };

is_deeply($row, { username => 'u2', display_name => 'Bob Öz',
                  avatar_url => undef, is_active => $Yes, is_admin => $No,
                  created_at => $created, last_seen_at => undef },
          'the members');
is(api('u1', GET => '/api/v1/admin/user/?limit=0')->code, 400, 'a limit');


=== changes, and the audit log
--- given
grant('admin');
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- then
my @sockets = map { web_socket('u2') } 1 .. 4;

is_deeply([@{ change('u1', 'U2', is_active => $No)->json }
               {qw(username is_active is_admin)}], ['u2', $No, $No],
          'disabled');
is(api('u2', GET => '/api/v1/session/')->code, 403, 'logged out at once')
    for 1 .. 4;
ok(wait_until { 4 == grep { $_->{closed} } @sockets }, 'sockets are closed');
is(change('u1', 'u2', is_active => $Yes)->json->{is_active}, $Yes, 'enabled');
is(api('u2', GET => '/api/v1/session/')->code, 403,
   'the former session has ended');

is(api('u3', GET => '/api/v1/admin/user/')->code, 404, 'not yet');
is(change('u1', 'u3', is_admin => $Yes, display_name => 'Carl')->json
       ->{is_admin}, $Yes, 'an administrator');
is(api('u3', GET => '/api/v1/admin/user/')->code, 200, 'at once') for 1 .. 4;
is(change('u3', 'u1', is_admin => $No)->code, 200, 'revokes the rights');
is(api('u1', GET => '/api/v1/admin/user/')->code, 404, 'at once') for 1 .. 4;

is(outcome('u3', PATCH => '/api/v1/admin/user/u3/', { is_admin => $No }),
   '409 {"detail":"You cannot revoke your own rights."}', 'not the own ones');
is(change('u3', 'U3', is_active => $No)->code, 409, 'nor the account');
is(change('u3', 'u3', is_active => $Yes, is_admin => $Yes,
          display_name => undef)->code, 200, 'other changes');
is(flags('u3'), '1 1', 'an administrator remains');

is(outcome('u3', PATCH => '/api/v1/admin/user/u1/', { is_active => 'x' }),
   '400 {"is_active":["Must be a valid boolean."]}', 'no boolean');
is(change('u3', 'u1', is_admin => undef)->code, 400, 'null');
is(change('u3', 'u1', display_name => "a\nb")->code, 400, 'an invalid name');

is_deeply([audit()],
          [['u1', 'user.change', 'u2', 'is_active=0'],
           ['u1', 'user.change', 'u2', 'is_active=1'],
           ['u1', 'user.change', 'u3', 'is_admin=1 display_name'],
           ['u3', 'user.change', 'u1', 'is_admin=0'],
           ['u3', 'user.change', 'u3', 'is_active=1 is_admin=1 display_name']],
          'the log');

my $page = api('u3', GET => '/api/v1/admin/audit/?limit=2')->json;

is(join(' ', map { "$_->{actor}>$_->{target}" } @{ $page->{results} }),
   'u3>u3 u3>u1', 'latest first');
is($page->{results}[0]{address}, '127.0.0.1', 'the address');
ok($page->{has_more}, 'more');
is(join(' ', map { $_->{target} }
             @{ api('u3', GET => "/api/v1/admin/audit/?before=$page->{cursor}")
                    ->json->{results} }), 'u3 u2 u2', 'the next page');
is(api('u3', GET => '/api/v1/admin/audit/?before=x')->code, 400, 'a cursor');
like(chatctl('audit'), qr/^TIME.*\n\S+Z\tu3\tuser.change\tu3\t/,
     'chatctl prints it');
close_all(@sockets);


=== two administrators revoke each other's rights
--- given
grant('admin');
--- then
for my $round (1 .. 8) {
    sql('UPDATE chat_user SET is_admin = TRUE WHERE id IN (1, 2)');

    for my $who (qw(u1 u2)) {
        wait_until(sub { api($who, GET => '/api/v1/admin/user/')->code == 200 });
    }

    my $left = 2;

    request("u$_", PATCH => '/api/v1/admin/user/u' . (3 - $_) . '/',
            { is_admin => $No })->finally(sub { $left-- }) for 1, 2;
    wait_until { $left == 0 };
    is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE is_admin'), 1,
       'one remains');
}


=== an old session
--- given
grant('admin');
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
sql('UPDATE chat_session SET created_at = UTC_TIMESTAMP() - INTERVAL 16 MINUTE');
--- then
is(outcome('u1', PATCH => '/api/v1/admin/user/u2/', { is_admin => $Yes }),
   '403 {"detail":"Log in again to confirm this."}', 'must be confirmed');
is(flags('u2'), '1 0', 'nothing has changed');
is(change('u1', 'u2', is_active => $Yes)->code, 200, 'other changes');

sql('UPDATE chat_session SET created_at = UTC_TIMESTAMP()');
is(change('u1', 'u2', is_admin => $Yes)->code, 200, 'confirmed');


=== without the rights
--- given
revoke('admin');
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- then
is(change('u1', 'u2', is_active => $No)->code, 503, 'a change');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'other requests');
is(flags('u2'), '1 0', 'nothing has changed');
