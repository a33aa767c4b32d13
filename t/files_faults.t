#
# Copyright (C) ngx_chat contributors
#

# uploads that end early: slow and disconnected clients, logouts, killed
# workers, and a directory that cannot be written

use Mojo::UserAgent;
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Files;
use Chat::Wire;

# temporary_files: names of uploads in progress

sub temporary_files {
    return grep { -f } glob files_dir() . '/tmp/*';
}

# begin N, LENGTH: sends N bytes of an upload with this length

sub begin {
    my ($n, $length) = @_;

    my $client = dial();
    my $text = wire(POST => '/api/v1/file/?name=a', as => 'u1', type => 'a/b',
                    body => 'x' x $length);

    send_all($client, substr $text, 0, $n - $length);

    return $client;
}

run_tests();


__DATA__

=== an upload may be slow, but has a minimum rate
--- change
with_files('chat_body_timeout 500ms; chat_file_min_rate 100;');
--- then
my $client = begin(10, 1000);

# as after client_body_timeout
is(read_answer($client)->{code}, 0, 'a client that sends nothing');

# half of the rate's time passes between two parts
my $length = 700;
$client = begin(100, $length);

for (1 .. 6) {
    settle(0.2);
    send_all($client, 'x' x 100);
}

is(read_answer($client)->{code}, 201, 'a slow client');
ok(wait_until { !temporary_files() }, 'no temporary file is left');


=== a disconnect removes the file
--- change
with_files();
--- then
my $client = begin(200_000, 300_000);

ok(wait_until { temporary_files() == 1 }, 'a temporary file');
close $client;
ok(wait_until { !temporary_files() }, 'it is removed');
is(scalar sql('SELECT COUNT(*) FROM chat_file'), 0, 'there is no row');


=== bodies without a length
--- change
with_files('chat_max_file 1000;');
--- then
is(talk(wire(POST => '/api/v1/file/?name=a', as => 'u1', type => 'a/b',
             body => 'x' x 1000, chunked => 1))->{code}, 201, 'the largest');
is(talk(wire(POST => '/api/v1/file/?name=a', as => 'u1', type => 'a/b',
             body => 'x' x 1001, chunked => 1))->{code}, 413, 'too large');
is(talk(wire(POST => '/api/v1/file/?name=a', as => 'u1'))->{code}, 400,
   'no body');
is(talk("POST /api/v1/file/?name=a HTTP/1.1\r\nHost: localhost\r\n"
        . 'Cookie: sessionid=' . token('u1')
        . "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")->{code}, 400,
   'an empty body');
ok(wait_until { !temporary_files() }, 'no temporary file is left');


=== the session must be valid when the file is complete
--- change
with_files();
--- then
my $client = begin(200_000, 300_000);

ok(wait_until { temporary_files() == 1 }, 'a temporary file');
is(api('u1', DELETE => '/api/v1/session/')->code, 204, 'a logout');
send_all($client, 'x' x 100_000);
is(read_answer($client)->{code}, 403, 'the upload is rejected');
ok(wait_until { !temporary_files() }, 'its file is removed');
is(scalar sql('SELECT COUNT(*) FROM chat_file'), 0, 'there is no row');


=== a directory that cannot be written
--- change
with_files();
--- then
# root may write to any directory, but not create one below a file
my @blocked;

for my $name (map { sprintf '%02x', $_ } 0 .. 255) {
    my $path = files_dir() . "/$name";

    rename $path, "$path.away";
    open my $file, '>', $path or die "$path: $!\n";
    push @blocked, $path;
}

my $res = upload('u1', 'name=a', 'x', 'a/b');

is($res->code, 503, 'status');
like($res->body, qr/^\{"detail":/, 'body');
ok(wait_until { !temporary_files() }, 'no temporary file is left');

for my $path (@blocked) {
    unlink $path or die "$path: $!\n";
    rename "$path.away", $path;
}

is(upload('u1', 'name=a', 'x', 'a/b')->code, 201, 'it can be written again');
like(error_log(), qr/mkdir\(\) of a file in .* failed/, 'the error is logged');


=== killed workers lose no acknowledged file
--- timeout: 120
--- no_error_log
[emerg]
--- change
with_files('chat_file_quota off;');
--- then
my $agent = Mojo::UserAgent->new(inactivity_timeout => 20);
my (%stored, $end, $n);
my $running = 0;

my $next;
$next = sub {
    return if $end;

    my $text = 'file ' . ++$n . ' ' . 'x' x (1000 * ($n % 50));
    my $tx = $agent->build_tx(
        POST => url("/api/v1/file/?name=$n"),
        { Cookie => 'sessionid=' . token('u1'), 'Content-Type' => 'a/b' },
        $text);

    $running++;
    $agent->start_p($tx)->then(sub {
        my $res = $_[0]->res;
        $stored{$res->json->{file}} = $text if ($res->code // 0) == 201;
    }, sub { })->finally(sub { $running--; $next->() });
};

$next->() for 1 .. 8;

for (1 .. 8) {
    my $before = keys %stored;

    wait_until { keys %stored > $before + 5 };
    kill KILL => (worker_pids())[$_ % 2];
}

$end = 1;
ok(wait_until { $running == 0 }, 'all uploads end');
cmp_ok(scalar keys %stored, '>', 40, 'files are acknowledged');

my @lost = grep {
    my $token = $_;
    my $res;

    wait_until { ($res = api('u1', GET => "/api/v1/file/$token/"))->code
                     != 503 } 20;
    $res->body ne $stored{$token};
} sort keys %stored;

is(scalar @lost, 0, 'none of them is lost') or diag("@lost");

# other blocks count them
unlink temporary_files();
