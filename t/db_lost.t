#
# Copyright (C) ngx_chat contributors
#

# connections that are lost during a query, and a database that does not respond

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Proxy;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});

sub list {
    return api('u1', GET => '/api/v1/message/');
}

sub post {
    my ($body) = @_;

    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => $body });
}

run_tests();


__DATA__

=== a send whose database response is lost is stored once and succeeds
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(post('first')->code, 201, 'the users are in the zone');

my $u2 = web_socket('u2');
$proxy->swallow;

my $res = post('second');
is($res->code, 201, 'the send succeeds');
like(error_log(), qr/chat: database error \d+ .* in "message.send"/,
     'although the response was lost');

my @ids = sql("SELECT id FROM chat_message WHERE body = 'second'");
is_deeply(\@ids, [ $res->json->{id} ], 'the message is stored once');
is(scalar sql('SELECT message_count FROM chat_conversation'), 2,
   'and counted once');

ok(wait_until { @{ $u2->{frames} } }, 'the recipient is notified');
select undef, undef, undef, 0.3;
is_deeply($u2->{frames}, [ qq({"message": "$ids[0]"}) ], 'once');


=== a lost response to a send with a used key returns the earlier message
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
my $send = sub {
    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => 'hello' },
               'Idempotency-Key' => 'key');
};

is($send->()->code, 201, 'the first send succeeds');

my $u2 = web_socket('u2');
$proxy->swallow;

my $res = $send->();
is($res->code, 200, 'the second one returns the first message');
is($res->json->{id}, 1, 'with its id');
like(error_log(), qr/chat: database error \d+ .* in "message.send"/,
     'although the response was lost');

select undef, undef, undef, 1.5;
settle();
is_deeply($u2->{frames}, [], 'the message is not notified again');


=== a read whose response is lost is retried
--- workers: 1
--- given
$proxy->pass;
message('u1', 'u2', 'hello');
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(list()->code, 200, 'connected');

$proxy->swallow;

my $res = list();
is($res->code, 200, 'the read succeeds');
is_deeply([ texts($res->json->{results}) ], [ 'hello' ], 'with the message');
like(error_log(), qr/chat: database error \d+ /,
     'although a response was lost');


=== a query without a response gets 503 at the timeout, other requests succeed
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_timeout 1s;
--- then
is(list()->code, 200, 'connected');

$proxy->hold;
my $start = time;
my $code;
request('u1', GET => '/api/v1/message/')->then(sub { $code = $_[0]->code });
settle(0.2);

is(api('', GET => '/up')->code, 200, 'the rest of the site works');
ok(time - $start < 0.7, 'without delay');

ok(wait_until { defined $code }, 'the request ends');
is($code, 503, 'unavailable');
ok(time - $start > 0.9 && time - $start < 2, 'at the timeout');
ok(wait_until { error_log() =~ /the database did not respond to/ },
   'and the log reports it');

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4),
   'requests succeed on a new connection');


=== requests get 503 if the database does not send a greeting
--- workers: 1
--- given
$proxy->hold;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_connect_timeout 500ms;
--- then
my $start = time;
is(list()->code, 503, 'unavailable');
ok(time - $start > 0.4 && time - $start < 1.5, 'at the timeout');

$start = time;
is(list()->code, 503, 'the next request');
ok(time - $start < 0.2, 'without delay');

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4), 'requests succeed again');


=== requests beyond the queue limit get 503
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_connections 1;
chat_db_queue 4;
--- then
# at most two queries per user are queued, so there are twenty users
for my $n (1 .. 20) {
    sql('INSERT INTO chat_user (username) VALUES (?)', "w$n");
    add_session("w$n");
    is(api("w$n", GET => '/api/v1/session/')->code, 200,
       'the session is in the zone');
}
is(list()->code, 200, 'connected');
$proxy->hold;

my %codes;
request("w$_", GET => '/api/v1/message/')->then(sub { $codes{$_[0]->code}++ })
    for 1 .. 20;

ok(wait_until(sub { ($codes{503} // 0) >= 12 }, 1),
   'most requests are rejected without delay');
is($codes{200}, undef, 'some wait');

$proxy->pass;
ok(wait_until(sub { $codes{503} + ($codes{200} // 0) == 20 }, 3),
   'all requests end');
ok($codes{200} >= 4, 'those that waited succeed');


=== a client that disconnects does not affect others of its batch
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_connections 1;
--- then
is(list()->code, 200, 'connected');
my $id = message('u1', 'u2', 'hello');
$proxy->hold;

my @clients = map {
    my $client = IO::Socket::INET->new(PeerAddr => url('') =~ s{http://}{}r)
        or die "connect: $!\n";
    print $client "GET /api/v1/message/$id/ HTTP/1.1\r\nHost: localhost\r\n"
                  . "Cookie: sessionid=u1" . '-' x 41 . "\r\n"
                  . "Connection: close\r\n\r\n";
    $client;
} 1 .. 10;

select undef, undef, undef, 0.2;
close $clients[$_] for 0, 2, 4, 6, 8;
select undef, undef, undef, 0.2;

$proxy->pass;

for (1, 3, 5, 7, 9) {
    my $answer = do { local $/; readline $clients[$_] };
    like($answer, qr/^HTTP\/1.1 200 .*"body":"hello"\}$/s,
         'the others get a response');
}
