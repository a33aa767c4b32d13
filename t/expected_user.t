#
# Copyright (C) ngx_chat contributors
#

# X-Chat-User: the user that the client of an unsafe request expects

use Test::Nginx::Socket 'no_plan';
use Chat;

our $Other = '{"detail":"You are logged in as another user."}';

# send_as USER, EXPECTED, HEADERS: returns the status of a send with
# X-Chat-User

sub send_as {
    my ($who, $expected, %headers) = @_;

    my $res = api($who, POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'x' },
                  'X-Chat-User' => $expected, %headers);

    is($res->body, $Other, 'with the reason') if $res->code == 409;

    return $res->code;
}

run_tests();


__DATA__

=== an unsafe request must name the user of the session
--- then
is(send_as('u1', 'u1'), 201, 'the same user');
is(send_as('u1', 'U1'), 201, 'in another case');
is(send_as('u1', '%75%31'), 201, 'percent-encoded');
is(send_as('u1', $_), 409, "another user: \"$_\"")
    for 'u2', 'u10', 'u', 'nobody', '%', '%00', "\xff", 'u1,u2', 'x' x 3000;
is(sql('SELECT COUNT(*) FROM chat_message'), 3, 'nothing else is stored');


=== an empty name and a second header do not match
--- then
is(send_as('u1', ''), 409, 'empty');
is(send_as('u1', ['u1', 'u2']), 409, 'another user in the second header');
is(send_as('u1', ['u1', 'u1']), 201, 'twice');


=== names are compared as the database compares them
--- given
sql("UPDATE chat_user SET username = 'Zoë' WHERE id = 1");
--- then
is(send_as('u1', 'Zo%C3%AB'), 201, 'percent-encoded');
is(send_as('u1', 'zo%c3%8b'), 201, 'in another case');
is(send_as('u1', 'Zoe%CC%88'), 201, 'decomposed');
is(send_as('u1', "Zo\xc3\xab"), 201, 'in UTF-8');
is(send_as('u1', 'Zoe'), 409, 'without the accent');


=== the header does not reveal anything to unauthenticated requests
--- then
is(send_as('', 'u1'), 403, 'unauthenticated');
is(send_as('u1', 'u2', Origin => 'https://evil.example'), 403, 'cross-origin');


=== safe requests ignore the header
--- given
message(u1 => 'u2', 'one');
--- then
for my $method (qw(GET HEAD OPTIONS)) {
    is(api('u1', $method => '/api/v1/message/1/', undef,
           'X-Chat-User' => 'u2')->code, 200, $method);
}


=== a logout for another user ends no session
--- then
is(api('u1', DELETE => '/api/v1/session/', undef, 'X-Chat-User' => 'u2')->code,
   409, 'the logout is rejected');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'the session is valid');


=== a login replaces the session of the expected user only
--- then
my @login = (POST => '/api/v1/session/',
             { username => 'u2', password => $Chat::Password });

is(api('u1', @login, 'X-Chat-User' => 'u2')->code, 409, 'another user');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'the session is valid');
is(api('u1', @login, 'X-Chat-User' => 'u1')->code, 200, 'the same user');
is(api('', @login, 'X-Chat-User' => 'u1')->code, 200, 'without a session');


=== bearer tokens are checked as well
--- then
my @send = (POST => '/api/v1/message/', { recipient => 'u2', body => 'x' },
            Authorization => 'Bearer ' . token('u1'));

is(api('', @send, 'X-Chat-User' => 'u2')->code, 409, 'another user');
is(api('', @send, 'X-Chat-User' => 'u1')->code, 201, 'the same user');
