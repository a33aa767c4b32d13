#
# Copyright (C) ngx_chat contributors
#

# guessing: what the answers to log-ins tell, by their bytes and their time,
# and whom throttling stops

use List::Util qw(max min);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;

# each try may come from an address of its own
our $Real_ip = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Real-IP;\n";

my $Tries = 0;

# fresh: an address that has not failed yet

sub fresh {
    $Tries++;

    return sprintf '198.51.%d.%d', $Tries >> 8, $Tries & 255;
}

# try_api WHO, PASSWORD, ADDRESS: the response

sub try_api {
    my ($who, $password, $address) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $who, password => $password },
               'X-Real-IP' => $address);
}

# try_form WHO, PASSWORD, ADDRESS: the response

sub try_form {
    my ($who, $password, $address) = @_;

    return Mojo::UserAgent->new(max_redirects => 0)->post(
        url('/login/'), { 'X-Real-IP' => $address },
        form => { username => $who, password => $password }
    )->res;
}

# bytes RESPONSE: all of it, but for the time of day

sub bytes {
    my ($res) = @_;

    $res->headers->remove('Date');

    return join "\n", $res->code, (sort split /\r\n/, $res->headers->to_string),
                $res->body;
}

# fastest ROUNDS, NAME => CODE, ...: the fewest seconds each takes, in turns.
# Whatever else the machine does adds to them: there are more rounds then.

sub fastest {
    my ($rounds, %code) = @_;

    my %fewest = map { $_ => 9e9 } keys %code;

    for my $round (0 .. 8 * $rounds) {
        for my $name (sort keys %code) {
            my $start = time;
            $code{$name}->();

            # the first round opens connections to the database
            $fewest{$name} = min($fewest{$name}, time - $start) if $round > 0;
        }

        last if $round >= $rounds
                && max(values %fewest) < 1.25 * min(values %fewest);
    }

    return %fewest;
}

# alike WHAT, SECONDS: within a quarter of that of "wrong".  A hash takes tens
# of milliseconds, all else one or two: who is spared the hash is far off.

sub alike {
    my ($what, %seconds) = @_;

    my $wrong = delete $seconds{wrong};

    cmp_ok($wrong, '>', 0.01, "$what: a wrong password is hashed");

    for my $name (sort keys %seconds) {
        my $part = $seconds{$name} / $wrong;

        ok($part > 0.75 && $part < 1.33, "$what: \"$name\" takes as long")
            or diag(sprintf '%.1f ms, wrong password %.1f ms',
                    1000 * $seconds{$name}, 1000 * $wrong);
    }
}

# nobody's name, a name that nobody can have, and somebody's in several states

our %Names = (
    wrong       => ['u1', 'wrong horse'],
    unknown     => ['nobody', 'wrong horse'],
    impossible  => ['no body', 'wrong horse'],
    disabled    => ['u2', 'wrong horse'],
    'disabled, its password' => ['u2', 'correct horse'],
    'no password'            => ['u3', 'wrong horse'],
    'too long'               => ['u1', 'x' x 2000],
    'unknown, too long'      => ['nobody', 'x' x 2000],
);

our $Given = sub {
    sql('UPDATE chat_user SET is_active = FALSE WHERE id = 2');
    set_password('u3', '!');
};

run_tests();


__DATA__

=== refusals of the API are the same to the byte
--- server eval: $::Real_ip
--- given
$Given->();
--- then
my $wrong = bytes(try_api(@{ $Names{wrong} }, fresh()));
like($wrong, qr/^403\n.*Wrong username or password/s, 'a refusal');

is(bytes(try_api(@{ $Names{$_} }, fresh())), $wrong, $_)
    for sort keys %Names;


=== refusals of the form are the same to the byte
--- server eval: $::Real_ip
--- given
$Given->();
--- then
my $wrong = bytes(try_form(@{ $Names{wrong} }, fresh()));
like($wrong, qr/^200\n.*Wrong username or password/s, 'a refusal');

is(bytes(try_form(@{ $Names{$_} }, fresh())), $wrong, $_)
    for sort keys %Names;


=== refusals of the plain form are the same to the byte
--- server eval: $::Real_ip
--- change
s{chat_login  page=/login.html;}{chat_login;} or die;
--- given
$Given->();
--- then
my $wrong = bytes(try_form(@{ $Names{wrong} }, fresh()));
like($wrong, qr/^200\n.*Wrong username or password/s, 'a refusal');

is(bytes(try_form(@{ $Names{$_} }, fresh())), $wrong, $_)
    for sort keys %Names;


=== refusals take the same time
--- server eval: $::Real_ip
--- given
$Given->();
--- timeout: 60
--- then
alike('API', fastest(15, map {
    my @try = @{ $Names{$_} };
    ($_ => sub { try_api(@try, fresh()) });
} keys %Names));

alike('form', fastest(9, map {
    my @try = @{ $Names{$_} };
    ($_ => sub { try_form(@try, fresh()) });
} qw(wrong unknown disabled)));


=== being throttled does not tell whether there is such a name
--- server eval: $::Real_ip
--- given
$Given->();
--- then
my %seen;

for my $name ('u1', 'u2', 'u3', 'nobody', 'no body') {
    my $address = fresh();
    my @answers = map { bytes(try_api($name, 'wrong', $address)) } 1 .. 8;

    # how long one has to wait depends on the second
    s/^Retry-After: \d+$/Retry-After: N/m for @answers;
    $seen{ join "\n", @answers }++;
    like($answers[-1], qr/^429\n/, "$name: throttled at last");
}

is(scalar keys %seen, 1, 'the answers to all of them are the same')
    or diag(join "\n---\n", keys %seen);


=== an attacker elsewhere does not keep the victim out
--- server eval: $::Real_ip
--- then
my ($home, @elsewhere) = map { fresh() } 0 .. 20;

for my $address (@elsewhere) {
    my $code = 0;

    for (1 .. 10) {
        $code = try_api('u1', 'wrong', $address)->code;
        last if $code == 429;
    }

    is($code, 429, 'throttled') if $address eq $elsewhere[-1];
}

# and going on while the victim logs in

for my $n (1 .. 5) {
    request('', POST => '/api/v1/session/',
            { username => 'u1', password => 'wrong' }, 'X-Real-IP' => $_)
        for @elsewhere[0 .. 4];

    is(try_api('u1', 'correct horse', $home)->code, 200, 'the victim is in');
    is(try_form('u1', 'correct horse', $home)->code, 302, 'by the form, too');
}


=== typing errors of one's own at home count from zero
--- server eval: $::Real_ip
--- then
try_api('u1', 'wrong', '203.0.113.9') for 1 .. 10;

# what others do elsewhere takes none of the tries at home

my $home = fresh();
is(try_api('u1', 'wrong', $home)->code, 403, 'wrong') for 1 .. 5;
is(try_api('u1', 'correct horse', $home)->code, 200, 'right');


=== a neighbour behind the same address is stopped by fifty failures only
--- server eval: $::Real_ip
--- then
my $shared = fresh();

try_api('u2', 'wrong', $shared) for 1 .. 12;
is(try_api('u2', 'correct horse', $shared)->code, 429, 'the name is stopped');
is(try_api('u1', 'correct horse', $shared)->code, 200, 'the address is not');


=== one who has been throttled there is in elsewhere, and stays throttled there
--- server eval: $::Real_ip
--- then
my ($there, $here) = (fresh(), fresh());

try_api('u1', 'wrong', $there) for 1 .. 10;
is(try_api('u1', 'correct horse', $here)->code, 200, 'in here');
is(try_api('u1', 'correct horse', $there)->code, 429, 'not there: guessing '
   . 'does not begin anew when the victim logs in');


=== an account of one's own does not buy guesses at another
--- server eval: $::Real_ip
--- then
my $address = fresh();
my %codes;

for (1 .. 60) {
    $codes{ try_api('u2', 'wrong', $address)->code }++;
    try_api('u1', 'correct horse', $address) if $_ % 4 == 0;
}

cmp_ok($codes{403}, '<=', 8, 'few guesses') or diag(%codes);


=== names in another case are the same name
--- server eval: $::Real_ip
--- given
sql("UPDATE chat_user SET username = 'long_name_here' WHERE id = 1");
--- then
my $address = fresh();
my %codes;

for my $n (0 .. 15) {
    my @letters = split //, 'long_name_here';
    $letters[$_] = uc $letters[$_] for grep { $n >> $_ & 1 } 0 .. 3;
    $codes{ try_api(join('', @letters), 'wrong', $address)->code }++;
}

cmp_ok($codes{403}, '<=', 8, 'few guesses') or diag(%codes);


=== blanks around a name are no other name
--- server eval: $::Real_ip
--- then
my $address = fresh();
my %codes;

$codes{ try_api(' ' x $_ . 'u1' . "\t" x $_, 'wrong', $address)->code }++
    for 0 .. 15;

cmp_ok($codes{403}, '<=', 8, 'few guesses') or diag(%codes);


=== a client cannot say where it comes from, unless nginx has been told so
--- then
my %codes;

$codes{ api('', POST => '/api/v1/session/',
            { username => 'u1', password => 'wrong' },
            'X-Real-IP' => fresh(), 'X-Forwarded-For' => fresh(),
            Forwarded => 'for=' . fresh())->code }++ for 1 .. 15;

cmp_ok($codes{403}, '<=', 8, 'few guesses') or diag(%codes);


=== guesses at the old password, all at a time: most of them learn nothing
--- then
my %codes;
my $left = 40;

for (1 .. 40) {
    request('u1', POST => '/api/v1/password/',
            { old_password => 'wrong', new_password => 'battery staple' })
        ->then(sub { $codes{ $_[0]->code }++ })
        ->finally(sub { $left-- });
}

ok(wait_until { $left == 0 }, 'all are answered');
cmp_ok($codes{403} // 0, '<', 12, 'few are told that it is wrong')
    or diag(%codes);
is(($codes{403} // 0) + ($codes{429} // 0), 40, 'the others to wait');


=== a stolen session does not buy more guesses at the password than a log-in
--- then
my %codes;

for (1 .. 12) {
    $codes{ api('u1', POST => '/api/v1/password/',
                { old_password => 'wrong',
                  new_password => 'battery staple' })->code }++;
    $codes{ api('', POST => '/api/v1/session/',
                { username => 'u1', password => 'wrong' })->code }++;
}

cmp_ok($codes{403}, '<=', 8, 'few guesses by both') or diag(%codes);
