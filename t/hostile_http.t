#
# Copyright (C) ngx_chat contributors
#

# requests that are too long, incomplete, contradictory or slow

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Wire;

our $Json = '{"recipient":"u2","body":"x"}';

# the start of a send by u1

our $Start = "POST /api/v1/message/ HTTP/1.1\r\nHost: localhost\r\n"
             . 'Cookie: sessionid=' . token('u1') . "\r\n"
             . "Content-Type: application/json\r\n";

sub get {
    my ($path, @headers) = @_;

    return wire(GET => $path, as => 'u1', headers => \@headers);
}

sub post {
    my (@headers) = @_;

    return wire(POST => '/api/v1/message/', as => 'u1', headers => \@headers,
                json => $Json);
}

# chunks TEXTS: a chunked body

sub chunks {
    return join '', map { sprintf "%x\r\n%s\r\n", length, $_ } @_, '';
}

our @Workers;

# answers_are ROWS: a row has a name, the bytes, the expected code ("0": the
# connection ends; "400|413": either), and optionally a pattern of the body.
# "cut" comes first in a row whose bytes are incomplete: the client then closes
# its side.
# All rows are sent twice, so that both workers get some, and consequences of
# one row affect later ones.

sub answers_are {
    my (@rows) = @_;

    @Workers = worker_pids();

    my $stored = 0;

    for my $row (@rows, @rows) {
        my $cut = $row->[0] eq 'cut';
        my ($name, $bytes, $code, $like) = @$row[$cut .. $cut + 3];

        my $answer = talk($bytes, shut => $cut);

        # versions of nginx differ in the requests that they reject
        like($answer->{code}, qr/\A(?:$code)\z/, $name)
            or diag(substr $answer->{text}, 0, 500);
        like($answer->{body}, $like, 'with the reason') if $like;

        $stored++ if $answer->{code} == 201;
    }

    is(scalar sql('SELECT COUNT(*) FROM chat_message'), $stored,
       'each message with a 201 is stored');
    all_is_well();
}

sub all_is_well {
    my $socket = web_socket('u2');
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'well' });

    is($res->code, 201, 'a send succeeds afterwards');
    ok(wait_until { @{ $socket->{frames} } }, 'and is notified');
    is_deeply([worker_pids()], \@Workers, 'the workers are the same');
    is(exits(), '', 'no worker has died');
}

run_tests();


__DATA__

=== long values are accepted within limits and rejected above
--- then
my $long = 'x' x 9000;
my $cookie = 'Cookie: sessionid=' . token('u1');

answers_are(
    ['a path within limits', get('/api/v1/' . 'x' x 7000), 404,
     qr/^\{"detail":"Not found\."\}$/],
    ['a path', get("/api/v1/$long"), 414],
    ['an id', get('/api/v1/message/' . '9' x 7000), 404, qr/Not found/],
    ['a name', get('/api/v1/conversation/' . 'n' x 7000 . '/read/'), 404,
     qr/Not found/],
    ['a path of slashes', get('/api/v1' . '/' x 7000 . 'message/'), 200],
    ['a path of dots', get('/api/v1/' . 'x/../' x 1400 . 'message/'), 200],
    ['a target', get('/api/v1/message/?target=' . 'n' x 7000), 200,
     qr/"count":0/],
    ['a page', get('/api/v1/message/?page=' . '1' x 7000), 404,
     qr/Invalid page/],
    ['a cursor', get('/api/v1/message/?after=' . '1' x 7000), 400, qr/cursor/],
    ['a two-part cursor', get('/api/v1/message/?after=' . '1.' x 3500), 400,
     qr/cursor/],
    ['many parameters', get('/api/v1/message/?' . 'a=b&' x 1800), 200],
    ['ampersands only', get('/api/v1/message/?' . '&' x 7000), 200],
    ['an escaped target',
     get('/api/v1/message/?target=' . '%2e' x 2300), 200,
     qr/"count":0/],
    ['a search', get('/api/v1/user/?search=' . '%25' x 2300), 200,
     qr/"results":\[\]/],
    ['a method', $Start =~ s/^POST/'A' x 900/er . "\r\n", 405,
     qr/^\{"detail":"Method \\"A{900}\\" not allowed\."\}$/],
    ['a header', get('/api/v1/message/', "X-Long: $long"), 400],
    ['the name of a header', get('/api/v1/message/', 'X' x 9000 . ': x'), 400],
    ['a cookie', get('/api/v1/message/', "Cookie: a=$long"), 400],
    ['a cookie within limits',
     wire(GET => '/api/v1/message/',
          headers => ["$cookie; a=" . 'x' x 7000]), 200],
    ['a token', wire(GET => '/api/v1/message/',
                     headers => ['Cookie: sessionid=' . 'x' x 7000]), 403],
    ['a bearer token',
     wire(GET => '/api/v1/message/',
          headers => ['Authorization: Bearer ' . 'x' x 7000]), 403],
    ['an origin', post('Origin: http://' . 'x' x 7000), 403, qr/cross-origin/],
    ['a key', post('Idempotency-Key: ' . 'x' x 7000), 400, qr/client_id/],
    ['a type', wire(POST => '/api/v1/message/', as => 'u1', body => $Json,
                    type => 'text/' . 'x' x 7000), 415, qr/text\/x{7000}/],
    ['a Host', wire(GET => '/api/v1/')
               =~ s/localhost/'x' x 7000 . "\r\n$cookie"/er, 200,
     qr{http://x{7000}/api/v1/message/}],
    ['headers, many', get('/api/v1/message/', ('X: y') x 400), 200],
    ['headers, too many', get('/api/v1/message/',
                              ('X-Header-Flood: ' . 'y' x 100) x 1000), 400],
    ['cookies, many', get('/api/v1/message/', ('Cookie: a=b') x 500), 200],
    ['a body', wire(POST => '/api/v1/message/', as => 'u1',
                    json => $Json . ' ' x 70000), 413],
    ['a large Content-Length', "${Start}Content-Length: 999999999\r\n\r\n",
     413],
);


=== incomplete bodies and wrong lengths do no harm
--- then
my $length = length $Json;
my $cut = substr $Json, 0, 10;

answers_are(
    [cut => 'nothing', '', 0],
    [cut => 'half a line', 'GET /api', 0],
    [cut => 'half the headers', $Start, 0],
    [cut => 'half a body',
     "${Start}Content-Length: $length\r\n\r\n$cut", 0],
    [cut => 'no body', "${Start}Content-Length: $length\r\n\r\n", 0],
    ['a length too small', "${Start}Content-Length: 10\r\n\r\n$Json", 400,
     qr/^\{"detail":"JSON parse error - /],
    ['no length', "$Start\r\n$Json", 400, qr/This field is required/],
    map({ ["Content-Length: $_", "${Start}Content-Length: $_\r\n\r\n$Json",
           400] }
        '-1', '+29', 'x', '0x1d', '29 29', '29,29', '1e1',
        '99999999999999999999', '-99999999999999999999'),
    ['two different lengths', "${Start}Content-Length: $length\r\n"
                    . "Content-Length: 3\r\n\r\n$Json", 400],
    ['two equal lengths', "${Start}Content-Length: $length\r\n"
                              . "Content-Length: $length\r\n\r\n$Json", 400],
    ['a body of a GET', wire(GET => '/api/v1/message/', as => 'u1',
                                  json => $Json), 200],
    ['half of that', wire(GET => '/api/v1/session/', as => 'u1', body => 'x',
                        type => 'x') =~ s/Length: 1/Length: 999/r, 200],
);


=== bytes after the body are the next request
--- then
my $socket = dial();
my $rest = '';

send_all($socket, "${Start}Content-Length: " . length($Json) . "\r\n\r\n$Json"
                  . get('/api/v1/session/'));

is(read_answer($socket, rest => \$rest)->{code}, 201, 'the first request');
like(read_answer($socket, rest => \$rest)->{body}, qr/"username":"u1"/,
     'the second request');

# a body that looks like a request is not one
$socket = dial();
$rest = '';
my $body = get('/logout/');

send_all($socket, wire(GET => '/api/v1/user/', as => 'u1', type => 'x',
                       body => $body) . get('/api/v1/session/'));
like(read_answer($socket, rest => \$rest)->{body}, qr/"u2"/,
     'a body is not parsed');
like(read_answer($socket, rest => \$rest)->{body}, qr/"username":"u1"/,
     'as a request');

# a rejected request discards its body
$socket = dial();
$rest = '';
send_all($socket, wire(POST => '/api/v1/message/', json => $body)
                  . get('/api/v1/session/'));
is(read_answer($socket, rest => \$rest)->{code}, 403, 'a rejected request');
like(read_answer($socket, rest => \$rest)->{body}, qr/"username":"u1"/,
     'the next request');

# the connection is closed after an invalid body
$socket = dial();
$rest = '';
send_all($socket, get('/api/v1/session/', 'Transfer-Encoding: chunked')
                  . "zz\r\n" . get('/api/v1/session/'));
like(read_answer($socket, rest => \$rest)->{head},
     qr{\AHTTP/1.1 200 .*^Connection: close}ms, 'an invalid body');
is(read_answer($socket, rest => \$rest)->{code}, 0, 'ends the connection');


=== a body on a subscriber's connection is not parsed as a request
--- then
@Workers = worker_pids();

my $body = wire(GET => '/api/v1/session/', as => 'u1');
my @asked = (
    map({ [$_, $_ eq 'OPTIONS' ? 200 : 403] }
        qw(OPTIONS HEAD POST PUT PATCH DELETE BREW)),
    map({ [GET => 200, @$_] } ['Accept: text/event-stream'],
        ['Accept: multipart/mixed'], [])
);

# the last requests get a response after a message
my @open = map {
    my ($method, $code, @headers) = @$_;

    map {
        my $socket = dial();
        send_all($socket, wire($method => '/ws', as => 'u1', type => 'x',
                               headers => \@headers, body => $body,
                               chunked => $_));
        { socket => $socket, code => $code, rest => '',
          name => "$method @headers" . ($_ ? ', in chunks' : '') }
    } 0, 1;
} @asked;

settle();
ask(wire(POST => '/api/v1/message/', as => 'u2',
         json => '{"recipient":"u1","body":"x"}'));
settle();

for (@open) {
    my ($socket, $name) = @$_{qw(socket name)};
    my %option = (rest => \$_->{rest},
                  head => scalar $name =~ /HEAD|event-stream/);

    is(read_answer($socket, %option, seconds => 3)->{code}, $_->{code}, $name);
    unlike(read_answer($socket, %option, seconds => 0.1)->{text},
           qr/username|400/, 'no further response');
}

all_is_well();


=== a body that arrives while a response is prepared is discarded
--- server
lingering_timeout 100ms;
--- then
@Workers = worker_pids();

# the sessions are in the zone, so that the database gets the endpoint's queries
# only; at most two queries run, the second waits
my @sessions = map { token("u1.$_") } 1 .. 6;
add_session('u1', token => $_) for @sessions;
ask(wire(GET => '/api/v1/session/', as => $_)) for 'u1', @sessions;

my $other = connect_db();
$other->do('LOCK TABLES ' . join ', ', map { "$_ WRITE" }
               qw(chat_session chat_message chat_conversation));

my @asked = map {
    my ($method, $path, $code, @as) = @$_;

    # complete, chunked, and started with the headers
    map { { bytes => wire($method => $path, as => $as[$_] // 'u1',
                          headers => [('Content-Length: 9',
                                       'Transfer-Encoding: chunked',
                                       'Content-Length: 12')[$_]])
                     . ('', '', 'xyz')[$_],
            rest => ('123456789', chunks('123456789'), '123456789')[$_],
            name => "$method $path", code => $code } } 0 .. 2
} [GET => '/api/v1/message/?target=u2', 200],
  [GET => '/api/v1/conversation/', 200],
  [DELETE => '/api/v1/session/', 204, @sessions[0 .. 2]],
  [GET => '/logout/', 302, @sessions[3 .. 5]];

for (@asked) {
    $_->{socket} = dial();
    send_all($_->{socket}, $_->{bytes});
}

settle();
send_all($_->{socket}, $_->{rest} . get('/api/v1/session/')) for @asked;
settle();
$other->do('UNLOCK TABLES');

for (@asked) {
    my $rest = '';
    my @codes = map { read_answer($_, rest => \$rest, seconds => 3)->{code} }
                    ($_->{socket}) x 2;

    is("@codes", "$_->{code} 200", "$_->{name}, and the next request");
}

all_is_well();


=== chunked bodies are parsed strictly
--- then
my $chunked = "${Start}Transfer-Encoding: chunked\r\n\r\n";

answers_are(
    ['one chunk', $chunked . chunks($Json), 201],
    ['many chunks', $chunked . chunks(split //, $Json), 201],
    ['even more chunks', $chunked . chunks(split //, $Json . ' ' x 5000), 201],
    ['with extensions', $chunked . sprintf("%x;a=b;c=\"d\"\r\n%s\r\n0\r\n\r\n",
                                           length $Json, $Json), 201],
    ['with zeros', $chunked . sprintf("%012x\r\n%s\r\n000\r\n\r\n",
                                      length $Json, $Json), 201],
    ['with trailers', $chunked . chunks($Json)
                      =~ s/\r\n\z/X: y\r\nCookie: sessionid=z\r\n\r\n/r, 201],
    ['empty', $chunked . chunks(), 400, qr/This field is required/],
    ['NULs', $chunked . chunks("\0" x 100), 400, qr/JSON parse error/],
    ['no chunk size', "$chunked\r\n$Json\r\n0\r\n\r\n", 400],
    ['no number as chunk size', "${chunked}zz\r\n$Json\r\n0\r\n\r\n", 400],
    ['a negative size', "$chunked-1\r\n$Json\r\n0\r\n\r\n", 400],
    [cut => 'a size above 64 bits', $chunked . 'f' x 17 . "\r\n$Json", 400],
    ['the largest chunk size', $chunked . '7' . 'f' x 15 . "\r\n$Json",
     '400|413'],
    [cut => 'a chunk size that is too small',
     "${chunked}3\r\n$Json\r\n0\r\n\r\n", 400],
    [cut => 'no last chunk', $chunked . chunks($Json) =~ s/0\r\n\r\n\z//r, 0],
    [cut => 'an incomplete chunk', "${chunked}1d\r\n{\"rec", 0],
    [cut => 'an incomplete chunk size', "${chunked}1", 0],
    ['a body above the limit', $chunked . chunks((' ' x 1000) x 70), 413],
    ['both a length and chunks', "${Start}Content-Length: 3\r\n"
                      . "Transfer-Encoding: chunked\r\n\r\n" . chunks($Json),
     400],
    ['chunked twice', "${Start}Transfer-Encoding: chunked, chunked\r\n\r\n"
              . chunks($Json), 501],
    ['gzip and chunked', "${Start}Transfer-Encoding: gzip, chunked\r\n\r\n"
                   . chunks($Json), 501],
    ['chunked with HTTP/1.0', $chunked =~ s{1\.1}{1.0}r . chunks($Json), 400],
    ['a chunked body of a GET',
     get('/api/v1/session/', 'Transfer-Encoding: chunked') . chunks($Json),
     200, qr/"username":"u1"/],
);


=== an endless body is cut off
--- server
lingering_time 1s;
--- then
@Workers = worker_pids();

my $chunk = sprintf "%x\r\n%s\r\n", 4000, ' ' x 4000;

for my $case (['message/', 413], ['session/', 413], ['nothing/', 404],
              ['message/1/', 405])
{
    my ($path, $code) = @$case;
    my $socket = dial();
    my $end = time() + 8;
    my ($sent, $head) = (0, '');

    send_all($socket, $Start =~ s{message/}{$path}r
                      . "Transfer-Encoding: chunked\r\n\r\n");

    while (time() < $end && send_all($socket, $chunk)) {
        $sent += length $chunk;
        sysread $socket, $head, 65536, length $head;
    }

    like($head, qr{\AHTTP/1\.1 $code }, "$path: a response");
    cmp_ok(time(), '<', $end, 'the connection is closed') or diag($sent);
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'no message is stored');
all_is_well();


=== conditional headers do not change responses
--- then
for my $condition ('If-Match: "x"', 'If-None-Match: *',
                   'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT')
{
    my $key = 'Idempotency-Key: ' . unpack 'H*', substr $condition, 0, 16;

    is(talk(get('/api/v1/session/', $condition))->{code}, 200,
       "$condition, a read");
    is(talk(post($condition, $key))->{code}, 201, 'a send');
    is(talk(post($condition, $key))->{code}, 200, 'a retry');
}


=== contradictory requests are rejected
--- then
my $cookie = 'Cookie: sessionid=' . token('u1');

answers_are(
    ['no Host', "GET /api/v1/session/ HTTP/1.1\r\n$cookie\r\n\r\n", 400],
    ['no Host with HTTP/1.0', "GET /api/v1/ HTTP/1.0\r\n$cookie\r\n\r\n", 200],
    ['two Host headers', get('/api/v1/session/', 'Host: evil.example'), 400],
    ['a Host with a path', get('/api/v1/') =~ s/localhost/a\/b/r, 400],
    ['a Host with a NUL', get('/api/v1/') =~ s/localhost/a\0b/r, 400],
    ['a Host with a port only', get('/api/v1/') =~ s/localhost/:80/r, 400],
    ['HTTP/9.9', wire(GET => '/api/v1/', version => '9.9'), 505],
    [cut => 'HTTP/0.9', "GET /api/v1/message/\r\n", 0],
    ['bytes of TLS', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ['HTTP/2 on an HTTP/1.1 port', h2_begin(), 400],
    ['a method in lower case', wire(get => '/api/v1/'), 400],
    ['a method of special characters', wire('<>' => '/api/v1/'), 400],
    ['a method of letters', wire('X_-Y' => '/api/v1/message/', as => 'u1'),
     405, qr/^\{"detail":"Method \\"X_-Y\\" not allowed\."\}$/],
    ['TRACE', wire(TRACE => '/api/v1/session/', as => 'u1'), 405],
    ['CONNECT', wire(CONNECT => 'localhost:80'), '400|405'],
    ['an absolute URI', get('http://evil.example/api/v1/session/'), 200],
    ['a NUL in the path', get("/api/v1/message/\0"), 400],
    ['an escaped NUL in the path', get('/api/v1/message/%00'), 400],
    ['a path above the root', get('/api/v1/../../../etc/passwd'), 400],
    ['an escaped path above the root', get('/%2e%2e/%2e%2e/etc/passwd'), 400],
    ['a path not in UTF-8', get("/api/v1/conversation/\xff\xfe\x80/read/"), 404,
     qr/Not found/],
    ['an invalid escape', get('/api/v1/message/%zz'), 400],
    ['an escaped question mark', get('/api/v1/message/%3Fpage=1'), 404],
    ['an escaped slash', get('/api/v1/message%2F'), 200],
    ['a NUL in a header', get('/api/v1/session/', "X: a\0b"), 400],
    ['a NUL in the cookie', wire(GET => '/api/v1/session/',
                               headers => ["$cookie\0x"]), 400],
    ['a header without a colon', get('/api/v1/session/', 'X'), '400|200'],
    ['a header without a name', get('/api/v1/session/', ': x'), '400|200'],
    ['a folded header', get('/api/v1/session/', 'X: y', ' z'),
     '400|200'],
    ['lone line feeds', get('/api/v1/session/') =~ s/\r//gr, 200],
    ['a lone carriage return', get('/api/v1/session/', "X: a\rCookie: b"), 400],
    ['a send with a Range', post('Range: bytes=0-,0-,0-'), 201],
    ['a send with another Accept', post('Accept: nothing/at-all'), 201],
    ['a send with Expect: 100-continue', post('Expect: 100-continue'), 201],
    ['a send with an unknown Expect', post('Expect: nothing'), 201],
    ['a send with Upgrade',
     post('Upgrade: websocket', 'Connection: Upgrade',
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='), 201],
    ['a send with X-HTTP-Method', post('X-HTTP-Method-Override: PUT'),
     201],
);


=== slow clients do not delay others
--- server
client_body_timeout 4s;
lingering_timeout 4s;
--- then
@Workers = worker_pids();

my $session = get('/api/v1/session/');
my $request = post();
my $chunked = "${Start}Transfer-Encoding: chunked\r\n\r\n" . chunks($Json);
my $unread = wire(GET => '/api/v1/session/', as => 'u1', type => 'x',
                  body => 'unread');

# six bytes, one per second: of the headers, of the end of a body, of a chunked
# body, and of a discarded body, which another request follows
my @slow = map {
    my ($bytes, $done, @codes) = @$_;

    map {
        my $socket = dial();
        send_all($socket, substr $bytes, 0, $done);
        { socket => $socket, bytes => $bytes, done => $done, codes => \@codes }
    } 1 .. 25;
} [$request, 20, 201],
  [$request, length($request) - 6, 201],
  [$chunked, length($chunked) - 6, 201],
  [$unread . $session, length($unread) - 6, 200, 200];

my $worst = 0;

# altogether longer than the timeouts between two bytes
for my $second (1 .. 6) {
    for my $slow (@slow) {
        send_all($slow->{socket}, substr $slow->{bytes}, $slow->{done}++, 1);
    }

    for my $n (1 .. 50) {
        my $start = time();

        is(talk(get('/api/v1/message/'))->{code}, 200, 'other requests succeed')
            if $n == 1;
        talk($session)->{code} == 200 or fail('another request fails');

        my $took = time() - $start;
        $worst = $took if $worst < $took;
    }

    settle(0.7);
}

cmp_ok($worst, '<', 1, 'without delay');

my %wrong;

for my $slow (@slow) {
    my $rest = '';

    send_all($slow->{socket}, substr $slow->{bytes}, $slow->{done});

    for my $code (@{ $slow->{codes} }) {
        my $got = read_answer($slow->{socket}, rest => \$rest)->{code};
        $wrong{"$got, not $code"}++ if $got != $code;
    }
}

is_deeply(\%wrong, {}, 'the slow requests succeed, too');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 75,
   'each message is stored once');
all_is_well();


=== silent clients are disconnected
--- server
client_header_timeout 1s;
client_body_timeout 1s;
location = /status { stub_status; }
--- then
@Workers = worker_pids();

my $connections = sub {
    return api('', GET => '/status')->body =~ /Active connections: (\d+)/
           ? $1 : -1;
};

my $before = $connections->();
my $request = post();
my @silent = map { my $socket = dial(); send_all($socket, $_); $socket }
                 ('', 'G', substr($request, 0, 40), substr($request, 0, -1),
                  "${Start}Transfer-Encoding: chunked\r\n\r\n",
                  "${Start}Transfer-Encoding: chunked\r\n\r\n3\r\n{}") x 8;

ok(wait_until { $connections->() <= $before }, 'all connections are closed');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'no message is stored');
all_is_well();
