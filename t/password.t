#
# Copyright (C) ngx_chat contributors
#

# POST /api/v1/password/

use Test::Nginx::Socket 'no_plan';
use Chat;

# log_in USER, PASSWORD: logs in and returns the status

sub log_in {
    my ($who, $password) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $who, password => $password })->code;
}

run_tests();


__DATA__

=== a new password replaces the old one
--- then
my $res = api('u1', POST => '/api/v1/password/',
              { old_password => 'correct horse',
                new_password => 'battery staple' });

is($res->code, 204, 'changed');
is($res->body, '', 'without a body');
is(log_in('u1', 'battery staple'), 200, 'the new password is accepted');
is(log_in('u1', 'correct horse'), 403, 'the old password is rejected');
like(scalar sql('SELECT password FROM chat_user WHERE id = 1'), qr/^\$y\$/,
     'hashed with yescrypt');
is(log_in('u2', 'correct horse'), 200, "another user's password is unchanged");


=== a password change ends all other sessions
--- given
add_session('u1', token => $_ x 43) for qw(x y);
--- then
my $with = sub {
    return api('', GET => '/api/v1/session/', undef,
               Authorization => 'Bearer ' . $_[0] x 43)->code;
};

is($with->('x'), 200, 'another session is valid') for 1 .. 4;

api('u1', POST => '/api/v1/password/',
    { old_password => 'correct horse', new_password => 'battery staple' });

is($with->('x'), 403, 'another session has ended') for 1 .. 4;
is($with->('y'), 403, 'a third session has ended');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'this session stays');
is(api('u2', GET => '/api/v1/session/')->code, 200, "another user's session");


=== a login in progress with the old password fails after a change
--- then
# the change is committed after the old password has been checked

my $change = connect_db();
$change->begin_work;
$change->do("UPDATE chat_user SET password = '!' WHERE id = 1");

my $code;

request('', POST => '/api/v1/session/',
        { username => 'u1', password => $Chat::Password })
    ->then(sub { $code = $_[0]->code });

settle(1);
is($code, undef, 'the login waits');
$change->commit;

ok(wait_until { defined $code }, 'the login ends');
is($code, 403, 'with a wrong password');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 1,
   'without a session');


=== a login in progress succeeds if the same password is rehashed
--- then
my $change = connect_db();
$change->begin_work;
$change->do('UPDATE chat_user SET password = ? WHERE id = 1', {},
            crypt($Chat::Password, '$6$anothersalt'));

my $code;

request('', POST => '/api/v1/session/',
        { username => 'u1', password => $Chat::Password })
    ->then(sub { $code = $_[0]->code });

settle(1);
is($code, undef, 'the login waits');
$change->commit;

ok(wait_until { defined $code }, 'the login ends');
is($code, 200, 'the password is still valid');


=== of two changes at a time, the one with a lost connection fails
--- then
# it is retried, after the other change

my $change = connect_db();
$change->begin_work;
$change->do("UPDATE chat_user SET password = '!' WHERE id = 1");

my $code;

request('u1', POST => '/api/v1/password/',
        { old_password => 'correct horse', new_password => 'battery staple' })
    ->then(sub { $code = $_[0]->code });

my $waiting = "SELECT id FROM information_schema.processlist
               WHERE info LIKE 'UPDATE chat_user SET password = %'
                     AND command <> 'Sleep'";
my ($id, $next);

ok(wait_until { ($id) = sql($waiting) }, 'the change waits');
sql("KILL $id");
ok(wait_until { ($next) = grep { $_ != $id } sql($waiting) },
   'the retried change waits');
is($code, undef, 'without a response');
$change->commit;

ok(wait_until { defined $code }, 'the change ends');
is($code, 403, 'with a wrong password');
is(scalar sql('SELECT password FROM chat_user WHERE id = 1'), '!',
   'the password of the other change stays');


=== a wrong old password is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/password/
{"old_password":"wrong horse","new_password":"battery staple"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong password."}
--- then
is(log_in('u1', 'correct horse'), 200, 'the password is unchanged');


=== guesses of the old password are throttled
--- then
my $res;

for (1 .. 40) {
    $res = api('u1', POST => '/api/v1/password/',
               { old_password => 'wrong', new_password => 'battery staple' });
    last if $res->code == 429;
}

is($res->code, 429, 'throttled at last');
like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/,
     'the time to wait');


=== a short password is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/password/
{"old_password":"correct horse","new_password":"1234567"}
--- error_code: 400
--- json
{"new_password":["<text>"]}


=== eight characters of any language are accepted
--- then
is(api('u1', POST => '/api/v1/password/',
       { old_password => 'correct horse', new_password => 'пароль12' })->code,
   204, 'changed');
is(log_in('u1', 'пароль12'), 200, 'login with the new password');


=== the Unicode form of a password is ignored
--- then
# the same letters as keyboards of different systems send them

my $nfc = "pass\x{e9}-\x{1ec7}\x{ac00}";
my $nfd = "passe\x{301}-e\x{302}\x{323}\x{1100}\x{1161}";

for my $new ($nfc, $nfd) {
    sql('UPDATE chat_user SET password =
             (SELECT password FROM (SELECT * FROM chat_user) AS u WHERE id = 2)
         WHERE id = 1');

    is(api('u1', POST => '/api/v1/password/',
           { old_password => 'correct horse', new_password => $new })->code,
       204, 'changed');

    my $hash = sql('SELECT password FROM chat_user WHERE id = 1');
    my $bytes = $nfc;
    utf8::encode($bytes);
    is(crypt($bytes, $hash), $hash, 'NFC is hashed');

    is(log_in('u1', $_), 200, 'login with either form') for $nfc, $nfd;
    is(sql('SELECT password FROM chat_user WHERE id = 1'), $hash,
       'the password is not rehashed');
}

is(api('u1', POST => '/api/v1/password/',
       { old_password => $nfd, new_password => 'correct horse' })->code,
   204, 'the old password in the other form');


=== a hash of the bytes as typed still matches and is replaced
--- then
my ($nfc, $nfd) = ("pass\x{e9}", "passe\x{301}");
my ($typed, $normal) = ($nfd, $nfc);
utf8::encode($_) for $typed, $normal;

my $setting = sql('SELECT password FROM chat_user WHERE id = 2');
my $hash = crypt($typed, $setting);

set_password('u1', $hash);

is(log_in('u1', $nfc), 403, 'another form does not match yet');
is(log_in('u1', "passe\x{300}"), 403, 'another accent does not match');
is(log_in('u1', $nfd), 200, 'the bytes as typed match');

$hash = sql('SELECT password FROM chat_user WHERE id = 1');
is(crypt($normal, $hash), $hash, 'the hash is of NFC now');
is(log_in('u1', $_), 200, 'both forms match') for $nfc, $nfd;
is(sql('SELECT password FROM chat_user WHERE id = 1'), $hash,
   'the hash is unchanged');

set_password('u1', crypt($typed, $setting));
is(api('u1', POST => '/api/v1/password/',
       { old_password => $nfd, new_password => 'battery staple' })->code,
   204, 'the old password as typed');


=== the length of a password is the length of its NFC form
--- then
my $change = sub {
    my ($new) = @_;

    my $res = api('u1', POST => '/api/v1/password/',
                  { old_password => 'correct horse', new_password => $new });

    return $res->code == 400 ? $res->json->{new_password}[0] : $res->code;
};

like($change->("e\x{301}" x 7), qr/too short/, 'seven characters');
like($change->("\x{e9}" x 256), qr/too long/, '512 bytes');
like($change->("e\x{301}" x 256), qr/too long/, '512 bytes, decomposed');
like($change->('x' x 512), qr/too long/, '512 bytes of ASCII');
like($change->("e\x{301}" x 20000), qr/too long/, '20,000 characters');
is($change->("e\x{301}" x 255), 204, '510 bytes, decomposed');
is(log_in('u1', "\x{e9}" x 255), 200, 'it matches in NFC');
is(log_in('u1', "e\x{301}" x 255), 200, 'it matches decomposed');
is(log_in('u1', "e\x{301}" x 20000), 403, 'more characters are wrong');


=== blanks are part of a password
--- then
is(api('u1', POST => '/api/v1/password/',
       { old_password => 'correct horse', new_password => ' battery ' })->code,
   204, 'changed');
is(log_in('u1', ' battery '), 200, 'with blanks');
is(log_in('u1', 'battery'), 403, 'without blanks');


=== missing fields are rejected
--- as: u1
--- type: json
--- request
POST /api/v1/password/
{}
--- error_code: 400
--- response_body chomp
{"old_password":["This field is required."],"new_password":["This field is required."]}


=== a request without a session is rejected
--- type: json
--- request
POST /api/v1/password/
{"old_password":"correct horse","new_password":"battery staple"}
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== GET is not allowed
--- as: u1
--- request
GET /api/v1/password/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"GET\" not allowed."}
--- response_headers
Allow: POST, OPTIONS
