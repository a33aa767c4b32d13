#
# Copyright (C) ngx_chat contributors
#

# the number of sessions of a user, and the time that ending them takes

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;

# log_in USER: returns the new token
sub log_in {
    my ($who) = @_;

    my $res = api('', POST => '/api/v1/session/',
                  { username => $who, password => $Chat::Password,
                    token => JSON::PP::true() });

    return $res->json->{token} if $res->code == 200;

    diag('login: ' . ($res->code // 0) . ' ' . $res->body);
    return '';
}

# valid TOKEN: returns whether the token is accepted
sub valid {
    return api('', GET => '/api/v1/session/', undef,
               Authorization => "Bearer $_[0]")->code == 200;
}

# fill USER_ID, N: adds that many sessions, as other hosts would
sub fill {
    my ($id, $n) = @_;

    sql('INSERT INTO chat_session (token_hash, user_id, created_at, expires_at)
         SELECT UNHEX(SHA2(UUID(), 256)), ?, UTC_TIMESTAMP() - INTERVAL 1 DAY,
                UTC_TIMESTAMP() + INTERVAL 1 DAY', $id);

    for (my $has = 1; $has < $n; $has *= 2) {
        sql('INSERT INTO chat_session
                    (token_hash, user_id, created_at, expires_at)
             SELECT UNHEX(SHA2(CONCAT(UUID(), RAND()), 256)), user_id,
                    created_at, expires_at
             FROM chat_session WHERE user_id = ? AND created_at <
                  UTC_TIMESTAMP() - INTERVAL 12 HOUR', $id);
    }
}

our $count = 'SELECT COUNT(*) FROM chat_session WHERE user_id = ?';

run_tests();


__DATA__

=== a login deletes the oldest of fifty sessions
--- server
chat_session_check 500ms;
--- timeout: 60
--- then
my @tokens = map { log_in('u1') } 1 .. 55;

is((grep { $_ eq '' } @tokens), 0, 'all logins succeed');
is(scalar sql($count, 1), 50, 'fifty sessions are left');
settle(0.7);
is(join('', map { valid($_) ? 1 : 0 } @tokens), '0' x 5 . '1' x 50,
   'the newest sessions are left');
is(scalar sql($count, 2), 1, 'sessions of other users stay');


=== a login deletes expired and ended sessions first
--- then
my @tokens = map { log_in('u1') } 1 .. 40;
sql('UPDATE chat_session SET expires_at = UTC_TIMESTAMP()
     WHERE user_id = 1 AND token_hash = UNHEX(SHA2(?, 256))', $_)
    for @tokens[10 .. 39];

my @more = map { log_in('u1') } 1 .. 38;
is((grep { !valid($_) } @tokens[0 .. 9], @more), 0, 'all valid sessions stay');
is(scalar sql($count, 1), 49, 'no other session is left');


=== simultaneous logins respect the limit
--- then
my $left = 60;
my %codes;
for (1 .. 60) {
    request('', POST => '/api/v1/session/',
            { username => 'u1', password => $Chat::Password })
        ->then(sub { $codes{ $_[0]->code }++ })->finally(sub { $left-- });
}
ok(wait_until(sub { $left == 0 }, 30), 'all are answered');
is($codes{200}, 60, 'all logins succeed') or diag(join ' ', %codes);
is(scalar sql($count, 1), 50, 'fifty sessions are left');


=== the time of a password change does not depend on the number of sessions
--- given
# with a user of no other block, since the database continues to purge the rows
fill(3, 200_000);
fill(4, 2);
--- timeout: 120
--- then
my %took;
my %own = map { $_ => log_in($_) } 'u3', 'u4';
my $change = sub {
    my ($who, $old, $new) = @_;
    my $start = time;
    my $res = api('', POST => '/api/v1/password/',
                  { old_password => $old, new_password => $new },
                  Authorization => "Bearer $own{$who}");
    $took{$who} = time - $start;
    return $res->code;
};

cmp_ok(scalar sql($count, 3), '>', 200_000, 'more than 200,000 sessions');

my $other = log_in('u3');
ok(valid($other), 'logged in');
is($change->('u3', $Chat::Password, 'battery staple'), 204, 'changed');
is($change->('u4', $Chat::Password, 'battery staple'), 204,
   'changed, with few sessions');
cmp_ok($took{u3}, '<', 5 * $took{u4} + 0.5, 'many sessions take no longer')
    or diag("$took{u3} s, $took{u4} s");

ok(valid($own{u3}), 'the current session stays');
ok(!valid($other), 'the other session has ended');
is(scalar sql('SELECT COUNT(*) FROM chat_session s JOIN chat_user u
               ON u.id = s.user_id AND s.id > u.session_floor
               WHERE u.id = 3'), 1, 'no other session is valid');

my $start = time;
is(api('', POST => '/api/v1/session/',
       { username => 'u3', password => 'battery staple' })->code, 200,
   'a login');
cmp_ok(time - $start, '<', 5 * $took{u4} + 0.5, 'a login takes no longer');


=== passwords can be changed twice and at the same time
--- then
is(api('u1', POST => '/api/v1/password/',
       { old_password => $Chat::Password, new_password => 'battery staple' })
       ->code, 204, 'first change');
is(api('u1', POST => '/api/v1/password/',
       { old_password => 'battery staple', new_password => 'correct horse' })
       ->code, 204, 'second change in the same session');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'the session stays');

my ($left, %codes) = (10);
for my $n (1 .. 10) {
    request('u1', POST => '/api/v1/password/',
            { old_password => 'correct horse', new_password => "staple $n$n" })
        ->then(sub { $codes{ $_[0]->code }++ })->finally(sub { $left-- });
}
ok(wait_until { $left == 0 }, 'all are answered');
is($codes{204}, 1, 'one change succeeds');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'the session stays');


=== the password of a disabled user cannot be changed
--- server
chat_session_check 10m;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200,
   'the session is in the zone');
my $old = sql('SELECT password FROM chat_user WHERE id = 1');
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
is(api('u1', POST => '/api/v1/password/',
       { old_password => $Chat::Password, new_password => 'battery staple' })
       ->code, 403, 'rejected');
is(scalar sql('SELECT password FROM chat_user WHERE id = 1'), $old, 'unchanged');
