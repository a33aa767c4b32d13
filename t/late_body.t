#
# Copyright (C) ngx_chat contributors
#

# A request body that arrives after its header: the session is checked again,
# the database rejects disabled users, and the whole body has a time limit

use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Wire;

our $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
our $h2 = "$dir/h2.sock";

our $denied = '{"detail":"Authentication credentials were not provided."}';

# each request that writes, as arguments of wire() and h2_request()
our @writes = (
    ['a send', POST => '/api/v1/message/',
     json => '{"recipient":"u2","body":"late"}'],
    ['a send by a form', POST => '/api/v1/message/',
     form => 'recipient=u2&body=late'],
    ['a send in chunks', POST => '/api/v1/message/', chunked => 1,
     json => '{"recipient":"u2","body":"late"}'],
    ['a read mark', POST => '/api/v1/conversation/u2/read/',
     json => '{"id":1}'],
    ['a new password', POST => '/api/v1/password/',
     json => '{"old_password":"correct horse",'
             . '"new_password":"battery staple"}'],
);

# figures: values that the writes change
sub figures {
    return join ' ',
        sql('SELECT COUNT(*), COALESCE(MAX(id), 0) FROM chat_message'),
        sql('SELECT lo_unread, lo_read_id FROM chat_conversation'),
        sql('SELECT password FROM chat_user WHERE id = 1');
}

# halves WRITE, BETWEEN, OPTIONS: the response to a request whose last bytes are
# sent after BETWEEN has run
sub halves {
    my ($write, $between, %option) = @_;
    my ($name, @request) = @$write;

    my $bytes = wire(@request, as => 'u1', %option);
    my $socket = dial();

    send_all($socket, substr $bytes, 0, -4);
    settle(0.2);
    $between->();
    send_all($socket, substr $bytes, -4);

    return read_answer($socket);
}

sub halves_h2 {
    my ($write, $between) = @_;
    my ($name, @request) = @$write;
    my %option = @request[2 .. $#request];

    my $body = $option{json} // $option{form};
    my $bytes = h2_request(1, @request, as => 'u1');

    # the frame of the body comes last, after 9 bytes of header
    my $head = substr $bytes, 0, -9 - length $body;
    my $socket = IO::Socket::UNIX->new($h2) or die "$h2: $!\n";

    send_all($socket, h2_begin() . $head . frame(0, 0, 1, substr $body, 0, 5));
    settle(0.2);
    $between->();
    send_all($socket, frame(0, 1, 1, substr $body, 5));

    # a GOAWAY from the client would hide the response, so wait for its body
    my $answer = '';
    wait_until(sub {
        my $n = sysread $socket, my $more, 65536;
        $answer .= $more if $n;
        return $answer =~ /"detail"|"unread"|"id":/ || defined $n && !$n;
    }, 5);

    return { code => $answer =~ /\Q$denied/ ? 403 : 0, body => $denied };
}

run_tests();


__DATA__

=== a session that ends before the body arrives is rejected
--- given
message(u2 => 'u1', 'first');
--- then
my %ends = (
    'logout' => sub { api('u1', DELETE => '/api/v1/session/') },
    'row deleted, nothing in the zone' => sub {
        sql('DELETE FROM chat_session WHERE user_id = 1');
        settle(0.6);
    },
    'disabled' => sub {
        sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
    },
);

for my $end (sort keys %ends) {
    for my $write (@writes) {
        my $before = main::figures();
        my $answer = halves($write, $ends{$end});

        is($answer->{code}, 403, "$write->[0], $end");
        is($answer->{body}, $denied, 'with the reason');
        is(main::figures(), $before, 'the tables are unchanged');

        sql('UPDATE chat_user SET is_active = TRUE WHERE id = 1');
        sql('DELETE FROM chat_session WHERE user_id = 1');
        add_session('u1');
        settle(0.6);
    }
}
--- server
chat_session_check 500ms;


=== a session that ends before an HTTP/2 body arrives is rejected
--- given
message(u2 => 'u1', 'first');
--- change
s{^(\s*)(# the web client)}{$1listen unix:$h2 http2;\n$1$2}m or die;
--- then
for my $write (grep { $_->[0] !~ /chunks/ } @writes) {
    my $before = main::figures();
    my $answer = halves_h2($write,
                           sub { api('u1', DELETE => '/api/v1/session/') });

    is($answer->{code}, 403, "$write->[0], logout");
    is(main::figures(), $before, 'the tables are unchanged');

    add_session('u1');
}


=== the database rejects a disabled user whose session is in the zone
--- given
message(u2 => 'u1', 'first');
--- server
chat_session_check 10m;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 200,
   'the session is in the zone');
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
is(api('u1', GET => '/api/v1/session/')->code, 200, 'it is still in the zone');

my $before = main::figures();

for my $write (@writes) {
    my ($name, @request) = @$write;
    my $answer = talk(wire(@request, as => 'u1'));

    is($answer->{code}, 403, "$name, in one piece");

    $answer = halves($write, sub { });
    is($answer->{code}, 403, "$name, in two pieces");
}

is(main::figures(), $before, 'the tables are unchanged');


=== other sends in the batch of a disabled sender succeed
--- workers: 1
--- server
chat_session_check 10m;
--- then
api("u$_", GET => '/api/v1/session/') for 1 .. 4;
sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');

# the previous batch delays the next sends, which form one batch
my $other = connect_db();
$other->begin_work;
$other->do('SELECT id FROM chat_user WHERE id = 4 FOR UPDATE');

my @sockets = map { dial() } 0 .. 30;
send_all($sockets[0], wire(POST => '/api/v1/message/', as => 'u4',
                           form => 'recipient=u4&body=x'));
settle();
for my $n (1 .. 30) {
    send_all($sockets[$n], wire(POST => '/api/v1/message/',
                                as => 'u' . (1 + $n % 3),
                                form => 'recipient=u4&body=' . $n));
}
settle();
$other->rollback;

my %codes;
for my $n (1 .. 30) {
    $codes{1 + $n % 3}{ read_answer($sockets[$n])->{code} }++;
}

is_deeply(\%codes, { 1 => { 403 => 10 }, 2 => { 201 => 10 },
                     3 => { 201 => 10 } }, 'each send gets its own response');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE sender_id = 1'), 0,
   'no message of the disabled user is stored');


=== a write whose body arrives late is stored once if the session is valid
--- given
message(u2 => 'u1', 'first');
--- then
my @codes = map { halves($_, sub { })->{code} } @writes;
is("@codes", '201 201 201 200 204', 'all writes succeed');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 4,
   'each message is stored once');


=== without a zone, the database rejects an ended session
--- change
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- given
message(u2 => 'u1', 'first');
--- then
my $before = main::figures();
for my $write (@writes) {
    my $answer = halves($write, sub {
        sql('DELETE FROM chat_session WHERE user_id = 1');
    });
    is($answer->{code}, 403, $write->[0]);
    add_session('u1');
}
is(main::figures(), $before, 'the tables are unchanged');


=== chat_auth with a variable rejects a user disabled before the body arrives
--- change
s{(location /api/v1/ .*?chat_auth +)on;}{$1\$http_x_name;}s or die;
--- given
message(u2 => 'u1', 'first');
--- then
my $before = main::figures();
for my $write (@writes) {
    my $answer = halves($write, sub {
        sql('UPDATE chat_user SET is_active = FALSE WHERE id = 1');
    }, headers => ['X-Name: u1']);

    is($answer->{code}, 403, $write->[0]);
    sql('UPDATE chat_user SET is_active = TRUE WHERE id = 1');
}
is(main::figures(), $before, 'the tables are unchanged');


=== chat_body_timeout limits the time for a body that arrives byte by byte
--- change
s{^(\s*)(# the web client)}{$1chat_body_timeout 1s;\n$1listen unix:$h2 http2;\n$1$2}m or die;
--- then
my @slow = (['a send', as => 'u1', POST => '/api/v1/message/'],
            ['a login', as => '', POST => '/api/v1/session/'],
            ['the login form', as => '', POST => '/login/']);

for my $slow (@slow) {
    my ($name, %option) = ($slow->[0], as => $slow->[2]);
    my $socket = dial();
    my $start = time;

    send_all($socket, wire(POST => $slow->[4], %option,
                           type => 'application/json', body => ' ' x 1000)
                      =~ s/ {1000}\z//r);

    my $closed = 0;
    until ($closed || time - $start > 5) {
        send_all($socket, ' ');
        settle(0.1);
        my $n = sysread $socket, my $answer, 100;
        $closed = 1 if defined $n ? !$n : !$!{EAGAIN};
        is($answer, '', 'there is no response') if $n;
    }

    ok($closed, "$name: the connection is closed");
    cmp_ok(time - $start, '>', 0.9, 'not before the timeout');
    cmp_ok(time - $start, '<', 3, 'not much later');
}

# with HTTP/2, only the stream is closed
my $socket = IO::Socket::UNIX->new($h2) or die;
send_all($socket, h2_begin()
    . (h2_request(1, POST => '/api/v1/message/', as => 'u1', json => 'xxx')
       =~ s/.{12}\z//sr)
    . frame(0, 0, 1, 'x'));
my $answer = '';
ok(wait_until(sub {
    my $n = sysread $socket, my $more, 65536;
    $answer .= $more if $n;
    # RST_STREAM of stream 1, or a 408
    return index($answer, "\0\0\4\3\0\0\0\0\1") >= 0
           || $answer =~ /408/;
}, 5), 'HTTP/2: the stream ends');
send_all($socket, h2_request(3, GET => '/api/v1/session/', as => 'u1'));
ok(wait_until(sub {
    my $n = sysread $socket, my $more, 65536;
    $answer .= $more if $n;
    return $answer =~ /"username":"u1"/;
}, 5), 'the connection is still open');
--- grep_error_log: client did not send the request body in time
--- grep_error_log_out
client did not send the request body in time
client did not send the request body in time
client did not send the request body in time
client did not send the request body in time


=== a body in pieces within chat_body_timeout is accepted
--- server
chat_body_timeout 5s;
--- then
my $bytes = wire(POST => '/api/v1/message/', as => 'u1',
                 json => '{"recipient":"u2","body":"' . 'x' x 100 . '"}');
my ($head, $body) = $bytes =~ /\A(.*?\r\n\r\n)(.*)\z/s;
my $socket = dial();

send_all($socket, $head);
for my $piece (unpack '(a10)*', $body) {
    send_all($socket, $piece);
    settle(0.05);
}

is(read_answer($socket)->{code}, 201, 'the message is stored');
settle();
is(talk(wire(GET => '/api/v1/session/', as => 'u1'))->{code}, 200,
   'nginx continues');
