#
# Copyright (C) ngx_chat contributors
#

# requests that are too long, cut off, contradictory or slow

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Wire;

our $Json = '{"recipient":"u2","body":"x"}';

# a send by u1, in pieces

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

# chunks TEXTS: as a body

sub chunks {
    return join '', map { sprintf "%x\r\n%s\r\n", length, $_ } @_, '';
}

our @Workers;

# answers_are ROWS: each is a name, the bytes, the code that is expected ("0":
# the connection ends; "400|413": either), and what the body is to match, or
# undef.  "cut" comes before a row whose bytes are not all: this side then says
# that it is done.
#
# All are sent twice, so that both workers get some, and what has gone wrong is
# seen by those behind.

sub answers_are {
    my (@rows) = @_;

    @Workers = worker_pids();

    my $stored = 0;

    for my $row (@rows, @rows) {
        my $cut = $row->[0] eq 'cut';
        my ($name, $bytes, $code, $like) = @$row[$cut .. $cut + 3];

        my $answer = talk($bytes, shut => $cut);

        # versions of nginx differ in what they take for a bad request
        like($answer->{code}, qr/\A(?:$code)\z/, $name)
            or diag(substr $answer->{text}, 0, 500);
        like($answer->{body}, $like, 'saying so') if $like;

        $stored++ if $answer->{code} == 201;
    }

    is(scalar sql('SELECT COUNT(*) FROM chat_message'), $stored,
       'what is answered by 201 is stored');
    all_is_well();
}

sub all_is_well {
    my $socket = web_socket('u2');
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'well' });

    is($res->code, 201, 'afterwards a message is stored');
    ok(wait_until { @{ $socket->{frames} } }, 'and told');
    is_deeply([worker_pids()], \@Workers, 'by the same workers');
    is(exits(), '', 'none of which has died');
}

run_tests();


__DATA__

=== too long
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
    ['two of it', get('/api/v1/message/?after=' . '1.' x 3500), 400,
     qr/cursor/],
    ['many parameters', get('/api/v1/message/?' . 'a=b&' x 1800), 200],
    ['nothing but ampersands', get('/api/v1/message/?' . '&' x 7000), 200],
    ['all of it escaped', get('/api/v1/message/?target=' . '%2e' x 2300), 200,
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
    ['an origin', post('Origin: http://' . 'x' x 7000), 403, qr/foreign/],
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
    ['a body that is said to be', "${Start}Content-Length: 999999999\r\n\r\n",
     413],
);


=== cut off, or not as long as they say
--- then
my $length = length $Json;
my $cut = substr $Json, 0, 10;

answers_are(
    [cut => 'nothing', '', 0],
    [cut => 'half of a line', 'GET /api', 0],
    [cut => 'half of the headers', $Start, 0],
    [cut => 'half of a body',
     "${Start}Content-Length: $length\r\n\r\n$cut", 0],
    [cut => 'no body', "${Start}Content-Length: $length\r\n\r\n", 0],
    ['less than there is', "${Start}Content-Length: 10\r\n\r\n$Json", 400,
     qr/^\{"detail":"JSON parse error - /],
    ['nothing said', "$Start\r\n$Json", 400, qr/This field is required/],
    map({ ["Content-Length: $_", "${Start}Content-Length: $_\r\n\r\n$Json",
           400] }
        '-1', '+29', 'x', '0x1d', '29 29', '29,29', '1e1',
        '99999999999999999999', '-99999999999999999999'),
    ['two lengths', "${Start}Content-Length: $length\r\n"
                    . "Content-Length: 3\r\n\r\n$Json", 400],
    ['two lengths, the same', "${Start}Content-Length: $length\r\n"
                              . "Content-Length: $length\r\n\r\n$Json", 400],
    ['a body where none is', wire(GET => '/api/v1/message/', as => 'u1',
                                  json => $Json), 200],
    ['half of it', wire(GET => '/api/v1/session/', as => 'u1', body => 'x',
                        type => 'x') =~ s/Length: 1/Length: 999/r, 200],
);


=== what is behind the length is another request
--- then
my $socket = dial();
my $rest = '';

send_all($socket, "${Start}Content-Length: " . length($Json) . "\r\n\r\n$Json"
                  . get('/api/v1/session/'));

is(read_answer($socket, rest => \$rest)->{code}, 201, 'the first');
like(read_answer($socket, rest => \$rest)->{body}, qr/"username":"u1"/,
     'the second');

# what looks like one in a body is none
$socket = dial();
$rest = '';
my $body = get('/logout/');

send_all($socket, wire(GET => '/api/v1/user/', as => 'u1', type => 'x',
                       body => $body) . get('/api/v1/session/'));
like(read_answer($socket, rest => \$rest)->{body}, qr/"u2"/, 'a body is not');
like(read_answer($socket, rest => \$rest)->{body}, qr/"username":"u1"/,
     'taken for a request');

# a refusal reads the body as well
$socket = dial();
$rest = '';
send_all($socket, wire(POST => '/api/v1/message/', json => $body)
                  . get('/api/v1/session/'));
is(read_answer($socket, rest => \$rest)->{code}, 403, 'a refusal');
like(read_answer($socket, rest => \$rest)->{body}, qr/"username":"u1"/,
     'nor when it is refused');

# a body that is none hides no end: nothing is read on
$socket = dial();
$rest = '';
send_all($socket, get('/api/v1/session/', 'Transfer-Encoding: chunked')
                  . "zz\r\n" . get('/api/v1/session/'));
like(read_answer($socket, rest => \$rest)->{head},
     qr{\AHTTP/1.1 200 .*^Connection: close}ms, 'a body that is none');
is(read_answer($socket, rest => \$rest)->{code}, 0, 'is the end');


=== nor is it on a subscriber's connection
--- then
@Workers = worker_pids();

my $body = wire(GET => '/api/v1/session/', as => 'u1');
my @asked = (
    map({ [$_, $_ eq 'OPTIONS' ? 200 : 403] }
        qw(OPTIONS HEAD POST PUT PATCH DELETE BREW)),
    map({ [GET => 200, @$_] } ['Accept: text/event-stream'],
        ['Accept: multipart/mixed'], [])
);

# the last ones are answered when there is a message
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
           qr/username|400/, 'nothing is behind it');
}

all_is_well();


=== a body that comes while the answer is waited for
--- server
lingering_timeout 100ms;
--- then
@Workers = worker_pids();

# by the zone they are known, so that nothing is asked of the database but what
# the endpoint itself asks; of two queries the second waits
my @sessions = map { token("u1.$_") } 1 .. 6;
add_session('u1', token => $_) for @sessions;
ask(wire(GET => '/api/v1/session/', as => $_)) for 'u1', @sessions;

my $other = connect_db();
$other->do('LOCK TABLES ' . join ', ', map { "$_ WRITE" }
               qw(chat_session chat_message chat_conversation));

my @asked = map {
    my ($method, $path, $code, @as) = @$_;

    # whole, in chunks, and begun along with the headers
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

    is("@codes", "$_->{code} 200", "$_->{name}, and what is behind it");
}

all_is_well();


=== chunked
--- then
my $chunked = "${Start}Transfer-Encoding: chunked\r\n\r\n";

answers_are(
    ['one', $chunked . chunks($Json), 201],
    ['many', $chunked . chunks(split //, $Json), 201],
    ['many more', $chunked . chunks(split //, $Json . ' ' x 5000), 201],
    ['with extensions', $chunked . sprintf("%x;a=b;c=\"d\"\r\n%s\r\n0\r\n\r\n",
                                           length $Json, $Json), 201],
    ['with zeros', $chunked . sprintf("%012x\r\n%s\r\n000\r\n\r\n",
                                      length $Json, $Json), 201],
    ['with trailers', $chunked . chunks($Json)
                      =~ s/\r\n\z/X: y\r\nCookie: sessionid=z\r\n\r\n/r, 201],
    ['empty', $chunked . chunks(), 400, qr/This field is required/],
    ['NULs', $chunked . chunks("\0" x 100), 400, qr/JSON parse error/],
    ['no size', "$chunked\r\n$Json\r\n0\r\n\r\n", 400],
    ['no number', "${chunked}zz\r\n$Json\r\n0\r\n\r\n", 400],
    ['a negative size', "$chunked-1\r\n$Json\r\n0\r\n\r\n", 400],
    [cut => 'a size beyond 64 bits', $chunked . 'f' x 17 . "\r\n$Json", 400],
    ['the largest size', $chunked . '7' . 'f' x 15 . "\r\n$Json",
     '400|413'],
    [cut => 'a size that is too small',
     "${chunked}3\r\n$Json\r\n0\r\n\r\n", 400],
    [cut => 'no end', $chunked . chunks($Json) =~ s/0\r\n\r\n\z//r, 0],
    [cut => 'cut off', "${chunked}1d\r\n{\"rec", 0],
    [cut => 'cut off in a size', "${chunked}1", 0],
    ['beyond the limit', $chunked . chunks((' ' x 1000) x 70), 413],
    ['with a length', "${Start}Content-Length: 3\r\n"
                      . "Transfer-Encoding: chunked\r\n\r\n" . chunks($Json),
     400],
    ['twice', "${Start}Transfer-Encoding: chunked, chunked\r\n\r\n"
              . chunks($Json), 501],
    ['and packed', "${Start}Transfer-Encoding: gzip, chunked\r\n\r\n"
                   . chunks($Json), 501],
    ['by HTTP/1.0', $chunked =~ s{1\.1}{1.0}r . chunks($Json), 400],
    ['where none is wanted',
     get('/api/v1/session/', 'Transfer-Encoding: chunked') . chunks($Json),
     200, qr/"username":"u1"/],
);


=== a body without end
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

    like($head, qr{\AHTTP/1\.1 $code }, "$path: it is answered");
    cmp_ok(time(), '<', $end, 'and cut off') or diag($sent);
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'nothing is stored');
all_is_well();


=== a condition changes no answer that is not kept anyway
--- then
for my $condition ('If-Match: "x"', 'If-None-Match: *',
                   'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT')
{
    my $key = 'Idempotency-Key: ' . unpack 'H*', substr $condition, 0, 16;

    is(talk(get('/api/v1/session/', $condition))->{code}, 200,
       "$condition, a read");
    is(talk(post($condition, $key))->{code}, 201, 'a send');
    is(talk(post($condition, $key))->{code}, 200, 'once more');
}


=== contradictory
--- then
my $cookie = 'Cookie: sessionid=' . token('u1');

answers_are(
    ['no Host', "GET /api/v1/session/ HTTP/1.1\r\n$cookie\r\n\r\n", 400],
    ['no Host by HTTP/1.0', "GET /api/v1/ HTTP/1.0\r\n$cookie\r\n\r\n", 200],
    ['two', get('/api/v1/session/', 'Host: evil.example'), 400],
    ['a Host with a path', get('/api/v1/') =~ s/localhost/a\/b/r, 400],
    ['a Host with a NUL', get('/api/v1/') =~ s/localhost/a\0b/r, 400],
    ['a Host of a port', get('/api/v1/') =~ s/localhost/:80/r, 400],
    ['HTTP/9.9', wire(GET => '/api/v1/', version => '9.9'), 505],
    [cut => 'HTTP/0.9', "GET /api/v1/message/\r\n", 0],
    ['no HTTP at all', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ['HTTP/2 where it is not spoken', h2_begin(), 400],
    ['a method in small letters', wire(get => '/api/v1/'), 400],
    ['a method of signs', wire('<>' => '/api/v1/'), 400],
    ['a method of letters', wire('X_-Y' => '/api/v1/message/', as => 'u1'),
     405, qr/^\{"detail":"Method \\"X_-Y\\" not allowed\."\}$/],
    ['TRACE', wire(TRACE => '/api/v1/session/', as => 'u1'), 405],
    ['CONNECT', wire(CONNECT => 'localhost:80'), '400|405'],
    ['a whole address', get('http://evil.example/api/v1/session/'), 200],
    ['a NUL in the path', get("/api/v1/message/\0"), 400],
    ['one that is escaped', get('/api/v1/message/%00'), 400],
    ['a path to above', get('/api/v1/../../../etc/passwd'), 400],
    ['one that is escaped', get('/%2e%2e/%2e%2e/etc/passwd'), 400],
    ['bytes', get("/api/v1/conversation/\xff\xfe\x80/read/"), 404,
     qr/Not found/],
    ['escapes that are none', get('/api/v1/message/%zz'), 400],
    ['a question mark that is escaped', get('/api/v1/message/%3Fpage=1'), 404],
    ['a slash that is escaped', get('/api/v1/message%2F'), 200],
    ['a NUL in a header', get('/api/v1/session/', "X: a\0b"), 400],
    ['one in the cookie', wire(GET => '/api/v1/session/',
                               headers => ["$cookie\0x"]), 400],
    ['a header without a colon', get('/api/v1/session/', 'X'), '400|200'],
    ['a header that is empty', get('/api/v1/session/', ': x'), '400|200'],
    ['a line that is folded', get('/api/v1/session/', 'X: y', ' z'),
     '400|200'],
    ['lone line feeds', get('/api/v1/session/') =~ s/\r//gr, 200],
    ['a lone return', get('/api/v1/session/', "X: a\rCookie: b"), 400],
    ['a send that hopes for a part', post('Range: bytes=0-,0-,0-'), 201],
    ['one that hopes for another type', post('Accept: nothing/at-all'), 201],
    ['one that waits', post('Expect: 100-continue'), 201],
    ['one that waits for what does not come', post('Expect: nothing'), 201],
    ['one that would rather be a socket',
     post('Upgrade: websocket', 'Connection: Upgrade',
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='), 201],
    ['one that would be another method', post('X-HTTP-Method-Override: PUT'),
     201],
);


=== slow senders hold nobody up
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

# six bytes, one a second: of the headers, and the last ones of a body, of one
# in chunks, and of one that nobody reads, which another request is behind
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

# all in all longer than one may be silent
for my $second (1 .. 6) {
    for my $slow (@slow) {
        send_all($slow->{socket}, substr $slow->{bytes}, $slow->{done}++, 1);
    }

    for my $n (1 .. 50) {
        my $start = time();

        is(talk(get('/api/v1/message/'))->{code}, 200, 'others are served')
            if $n == 1;
        talk($session)->{code} == 200 or fail('served');

        my $took = time() - $start;
        $worst = $took if $worst < $took;
    }

    settle(0.7);
}

cmp_ok($worst, '<', 1, 'at once');

my %wrong;

for my $slow (@slow) {
    my $rest = '';

    send_all($slow->{socket}, substr $slow->{bytes}, $slow->{done});

    for my $code (@{ $slow->{codes} }) {
        my $got = read_answer($slow->{socket}, rest => \$rest)->{code};
        $wrong{"$got, not $code"}++ if $got != $code;
    }
}

is_deeply(\%wrong, {}, 'and in the end they are, too');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 75, 'each once');
all_is_well();


=== who says nothing more is let go of
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

ok(wait_until { $connections->() <= $before }, 'all of them are closed');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'nothing is stored');
all_is_well();
