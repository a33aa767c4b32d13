#
# Copyright (C) ngx_chat contributors
#

# POST /api/v1/password/

use Test::Nginx::Socket 'no_plan';
use Chat;

# log_in WHO, PASSWORD: the status

sub log_in {
    my ($who, $password) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $who, password => $password })->code;
}

run_tests();


__DATA__

=== a new password
--- then
my $res = api('u1', POST => '/api/v1/password/',
              { old_password => 'correct horse',
                new_password => 'battery staple' });

is($res->code, 204, 'done');
is($res->body, '', 'without a body');
is(log_in('u1', 'battery staple'), 200, 'the new one');
is(log_in('u1', 'correct horse'), 403, 'the old one');
like(scalar sql('SELECT password FROM chat_user WHERE id = 1'), qr/^\$y\$/,
     'stored by yescrypt');
is(log_in('u2', 'correct horse'), 200, "another person's is as it was");


=== other sessions end, this one does not
--- given
add_session('u1', token => $_ x 43) for qw(x y);
--- then
my $with = sub {
    return api('', GET => '/api/v1/session/', undef,
               Authorization => 'Bearer ' . $_[0] x 43)->code;
};

is($with->('x'), 200, 'the other one') for 1 .. 4;

api('u1', POST => '/api/v1/password/',
    { old_password => 'correct horse', new_password => 'battery staple' });

is($with->('x'), 403, 'has ended') for 1 .. 4;
is($with->('y'), 403, 'so has a third');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'this one goes on');
is(api('u2', GET => '/api/v1/session/')->code, 200, "another person's as well");


=== a log-in under way with the old password does not outlive it
--- then
# the new one is stored, and not committed before the old one has been checked

my $change = connect_db();
$change->begin_work;
$change->do("UPDATE chat_user SET password = '!' WHERE id = 1");

my $code;

request('', POST => '/api/v1/session/',
        { username => 'u1', password => $Chat::Password })
    ->then(sub { $code = $_[0]->code });

settle(1);
is($code, undef, 'it waits');
$change->commit;

ok(wait_until { defined $code }, 'and is answered');
is($code, 403, 'as a wrong one');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 1'), 1,
   'without a session');


=== a log-in under way while the same password is hashed anew
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
is($code, undef, 'it waits');
$change->commit;

ok(wait_until { defined $code }, 'and is answered');
is($code, 200, 'it still is the right one');


=== two changes at a time, and the connection of the second is lost
--- then
# it is tried again, but the first has been quicker

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

ok(wait_until { ($id) = sql($waiting) }, 'it waits');
sql("KILL $id");
ok(wait_until { ($next) = grep { $_ != $id } sql($waiting) },
   'tried again, it waits');
is($code, undef, 'not answered yet');
$change->commit;

ok(wait_until { defined $code }, 'and is answered');
is($code, 403, 'as it has changed nothing');
is(scalar sql('SELECT password FROM chat_user WHERE id = 1'), '!', 'nothing');


=== the old password is wrong
--- as: u1
--- type: json
--- request
POST /api/v1/password/
{"old_password":"wrong horse","new_password":"battery staple"}
--- error_code: 403
--- response_body chomp
{"detail":"Wrong password."}
--- then
is(log_in('u1', 'correct horse'), 200, 'nothing is changed');


=== guessing at it is throttled
--- then
my $res;

for (1 .. 40) {
    $res = api('u1', POST => '/api/v1/password/',
               { old_password => 'wrong', new_password => 'battery staple' });
    last if $res->code == 429;
}

is($res->code, 429, 'refused at last');
like($res->headers->header('Retry-After'), qr/^[1-9]\d*$/, 'for a while');


=== the new one is too short
--- as: u1
--- type: json
--- request
POST /api/v1/password/
{"old_password":"correct horse","new_password":"1234567"}
--- error_code: 400
--- json
{"new_password":["<text>"]}


=== eight characters will do, of any language
--- then
is(api('u1', POST => '/api/v1/password/',
       { old_password => 'correct horse', new_password => 'пароль12' })->code,
   204, 'done');
is(log_in('u1', 'пароль12'), 200, 'it works');


=== blanks are part of it
--- then
is(api('u1', POST => '/api/v1/password/',
       { old_password => 'correct horse', new_password => ' battery ' })->code,
   204, 'done');
is(log_in('u1', ' battery '), 200, 'with them');
is(log_in('u1', 'battery'), 403, 'not without');


=== fields missing
--- as: u1
--- type: json
--- request
POST /api/v1/password/
{}
--- error_code: 400
--- response_body chomp
{"old_password":["This field is required."],"new_password":["This field is required."]}


=== without a session
--- type: json
--- request
POST /api/v1/password/
{"old_password":"correct horse","new_password":"battery staple"}
--- error_code: 403
--- response_body chomp
{"detail":"Authentication credentials were not provided."}


=== GET
--- as: u1
--- request
GET /api/v1/password/
--- error_code: 405
--- response_body chomp
{"detail":"Method \"GET\" not allowed."}
--- response_headers
Allow: POST, OPTIONS
