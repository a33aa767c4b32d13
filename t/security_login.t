#
# Copyright (C) ngx_chat contributors
#

# guesses of passwords: bytes and time of responses to logins do not reveal
# users, and throttling stops the attacker only

use List::Util qw(max min);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Wire;
use File::Temp qw(tempdir);
use IO::Socket::UNIX;

# each try may come from its own address
our $Real_ip = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Real-IP;\n";

our $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
our $H2 = "$dir/h2.sock";

my $Tries = 0;

# fresh: returns an address without failures

sub fresh {
    $Tries++;

    return sprintf '198.51.%d.%d', $Tries >> 8, $Tries & 255;
}

# try_api USER, PASSWORD, ADDRESS: returns the response

sub try_api {
    my ($who, $password, $address) = @_;

    return api('', POST => '/api/v1/session/',
               { username => $who, password => $password },
               'X-Real-IP' => $address);
}

# try_form USER, PASSWORD, ADDRESS: returns the response

sub try_form {
    my ($who, $password, $address) = @_;

    return Mojo::UserAgent->new(max_redirects => 0)->post(
        url('/login/'), { 'X-Real-IP' => $address },
        form => { username => $who, password => $password }
    )->res;
}

# bytes RESPONSE: returns the response without its date

sub bytes {
    my ($res) = @_;

    $res->headers->remove('Date');

    return join "\n", $res->code, (sort split /\r\n/, $res->headers->to_string),
                $res->body;
}

# fastest ROUNDS, NAME => CODE, ...: runs the codes in turn and returns the
# shortest time of each, in seconds.  There are more rounds if other processes
# disturb them.  If they interrupt each hash, returns the shortest CPU time of
# the workers.

sub fastest {
    my ($rounds, %code) = @_;

    my %fewest = map { $_ => 9e9 } keys %code;
    my %used = %fewest;

    for my $round (0 .. 3 * $rounds) {
        for my $name (sort keys %code) {
            my ($start, $before) = (time, used());
            $code{$name}->();

            # the first round opens connections to the database
            next if $round == 0;

            $fewest{$name} = min($fewest{$name}, time - $start);
            $used{$name} = min($used{$name}, used() - $before);
        }

        last if $round >= $rounds && even(%fewest);
    }

    return even(%fewest) ? %fewest : %used;
}

sub even {
    my (%seconds) = @_;

    return max(values %seconds) < 1.25 * min(values %seconds);
}

# used: returns the CPU time of all threads of the workers, in seconds

sub used {
    my $used = 0;

    for my $file (map { glob "/proc/$_/task/*/schedstat" } worker_pids()) {
        $used += (split ' ', Chat::read_file($file))[0];
    }

    return $used / 1e9;
}

# alike WHAT, SECONDS: times are within a quarter of that of "wrong".  A hash
# takes tens of milliseconds, everything else takes one or two, so the time of a
# login without a hash differs.

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

# an unknown name, an impossible name, and users in several states

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

=== API responses to failed logins are identical
--- server eval: $::Real_ip
--- given
$Given->();
--- then
my $wrong = bytes(try_api(@{ $Names{wrong} }, fresh()));
like($wrong, qr/^403\n.*Wrong username or password/s, 'a failed login');

is(bytes(try_api(@{ $Names{$_} }, fresh())), $wrong, $_)
    for sort keys %Names;


=== form responses to failed logins are identical
--- server eval: $::Real_ip
--- given
$Given->();
--- then
my $wrong = bytes(try_form(@{ $Names{wrong} }, fresh()));
like($wrong, qr/^200\n.*Wrong username or password/s, 'a failed login');

is(bytes(try_form(@{ $Names{$_} }, fresh())), $wrong, $_)
    for sort keys %Names;


=== plain form responses to failed logins are identical
--- server eval: $::Real_ip
--- change
s{chat_login  page=/login.html;}{chat_login;} or die;
--- given
$Given->();
--- then
my $wrong = bytes(try_form(@{ $Names{wrong} }, fresh()));
like($wrong, qr/^200\n.*Wrong username or password/s, 'a failed login');

is(bytes(try_form(@{ $Names{$_} }, fresh())), $wrong, $_)
    for sort keys %Names;


=== failed logins take the same time
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


=== throttling does not reveal whether a name exists
--- server eval: $::Real_ip
--- given
$Given->();
--- then
my %seen;

for my $name ('u1', 'u2', 'u3', 'nobody', 'no body') {
    my $address = fresh();
    my @answers = map { bytes(try_api($name, 'wrong', $address)) } 1 .. 8;

    # the time to wait depends on the current second
    s/^Retry-After: \d+$/Retry-After: N/m for @answers;
    $seen{ join "\n", @answers }++;
    like($answers[-1], qr/^429\n/, "$name: throttled at last");
}

is(scalar keys %seen, 1, 'the responses for all names are identical')
    or diag(join "\n---\n", keys %seen);


=== an attacker at another address does not lock the user out
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

# the attack continues while the user logs in

for my $n (1 .. 5) {
    request('', POST => '/api/v1/session/',
            { username => 'u1', password => 'wrong' }, 'X-Real-IP' => $_)
        for @elsewhere[0 .. 4];

    is(try_api('u1', 'correct horse', $home)->code, 200, 'the user logs in');
    is(try_form('u1', 'correct horse', $home)->code, 302, 'also by the form');
}


=== the user's own failures are counted separately for each address
--- server eval: $::Real_ip
--- then
try_api('u1', 'wrong', '203.0.113.9') for 1 .. 10;

# failures from other addresses do not count at home

my $home = fresh();
is(try_api('u1', 'a wrong password', $home)->code, 403, 'wrong') for 1 .. 5;
is(try_api('u1', 'correct horse', $home)->code, 200, 'the right password');


=== another user at a shared address is throttled after fifty failures only
--- server eval: $::Real_ip
--- then
my $shared = fresh();

try_api('u2', 'wrong', $shared) for 1 .. 12;
is(try_api('u2', 'correct horse', $shared)->code, 429, 'the name is throttled');
is(try_api('u1', 'correct horse', $shared)->code, 200,
   'the address is not throttled');


=== a throttled address stays throttled after a login from another one
--- server eval: $::Real_ip
--- then
my ($there, $here) = (fresh(), fresh());

try_api('u1', 'wrong', $there) for 1 .. 10;
is(try_api('u1', 'correct horse', $here)->code, 200,
   'accepted at another address');
is(try_api('u1', 'correct horse', $there)->code, 429, 'still throttled at '
   . 'the address of the attacker');


=== logins to the attacker's own account allow no more guesses
--- server eval: $::Real_ip
--- then
my $address = fresh();
my %codes;

for (1 .. 60) {
    $codes{ try_api('u2', 'wrong', $address)->code }++;
    try_api('u1', 'correct horse', $address) if $_ % 4 == 0;
}

cmp_ok($codes{403}, '<=', 8, 'few guesses') or diag(%codes);


=== names that differ in case share one throttle
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


=== names that differ in surrounding blanks share one throttle
--- server eval: $::Real_ip
--- then
my $address = fresh();
my %codes;

$codes{ try_api(' ' x $_ . 'u1' . "\t" x $_, 'wrong', $address)->code }++
    for 0 .. 15;

cmp_ok($codes{403}, '<=', 8, 'few guesses') or diag(%codes);


=== clients cannot choose their address without a trusted proxy
--- then
my %codes;

$codes{ api('', POST => '/api/v1/session/',
            { username => 'u1', password => 'wrong' },
            'X-Real-IP' => fresh(), 'X-Forwarded-For' => fresh(),
            Forwarded => 'for=' . fresh())->code }++ for 1 .. 15;

cmp_ok($codes{403}, '<=', 8, 'few guesses') or diag(%codes);


=== simultaneous guesses of the old password are throttled
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
cmp_ok($codes{403} // 0, '<', 12, 'few are rejected as wrong')
    or diag(%codes);
is(($codes{403} // 0) + ($codes{429} // 0), 40, 'the others are throttled');


=== password changes and logins share one throttle
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


=== attempts whose client disconnects count
--- server eval: "$::Real_ip set_real_ip_from unix:; listen unix:$::H2 http2;"
--- workers: 1
--- then
my $address = fresh();
my $body = '{"username":"u1","password":"wrong"}';

# the workers of a busy machine have received the requests in a later round only
for my $round (1 .. 12) {
    my $socket = IO::Socket::UNIX->new($::H2) or die "$::H2: $!\n";
    my $bytes = h2_begin();

    for my $stream (map { 2 * $_ - 1 } 1 .. 5) {
        $bytes .= h2_request($stream, POST => '/api/v1/session/',
                             json => $body,
                             headers => ["X-Real-IP: $address"]);
    }
    send_all($socket, $bytes);
    settle(0.05 * $round);
    send_all($socket, join '', map { frame(3, 0, 2 * $_ - 1, pack 'N', 8) }
                                   1 .. 5);
    settle(0.2);
}

is(try_api('u1', 'correct horse', $address)->code, 429,
   'the name is throttled');
is(try_api('u1', 'correct horse', fresh())->code, 200,
   'not at another address');

# whole connections with other names: the address is throttled
$address = fresh();

my ($n, $code) = (0, 0);

while ($n < 300 && $code != 429) {
    my $socket = dial();
    send_all($socket, wire(POST => '/api/v1/session/',
                           json => qq({"username":"n$n","password":"wrong"}),
                           headers => ["X-Real-IP: $address"]));

    # hashing has started or is about to start
    settle(0.02 + $n / 2000);
    reset_by_peer($socket);

    $code = try_api('u2', 'correct horse', $address)->code if ++$n % 20 == 0;
}

is($code, 429, 'the address is throttled');
cmp_ok($n, '>', 40, 'not at once');
