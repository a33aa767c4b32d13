#
# Copyright (C) ngx_chat contributors
#

# connections that end with a question asked, and a database that says nothing

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

=== the answer to a send is lost: it is stored once, and the client is told
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(post('first')->code, 201, 'who they are is known now');

my $u2 = web_socket('u2');
$proxy->swallow;

my $res = post('second');
is($res->code, 201, 'stored');
like(error_log(), qr/chat: database error \d+ .* in "message.send"/,
     'though the answer was lost');

my @ids = sql("SELECT id FROM chat_message WHERE body = 'second'");
is_deeply(\@ids, [ $res->json->{id} ], 'once');
is(scalar sql('SELECT message_count FROM chat_conversation'), 2,
   'counted once');

ok(wait_until { @{ $u2->{frames} } }, 'announced');
select undef, undef, undef, 0.3;
is_deeply($u2->{frames}, [ qq({"message": "$ids[0]"}) ], 'once');


=== the answer is lost when an earlier request has had the same key
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

is($send->()->code, 201, 'stored');

my $u2 = web_socket('u2');
$proxy->swallow;

my $res = $send->();
is($res->code, 200, 'the first message, not one of this request');
is($res->json->{id}, 1, 'that is it');
like(error_log(), qr/chat: database error \d+ .* in "message.send"/,
     'though the answer was lost');

select undef, undef, undef, 1.5;
settle();
is_deeply($u2->{frames}, [], 'and nobody is told again');


=== the answer to a question is lost: it is asked again
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
is($res->code, 200, 'answered');
is_deeply([ texts($res->json->{results}) ], [ 'hello' ], 'in full');
like(error_log(), qr/chat: database error \d+ /, 'though one was lost');


=== no answer at all: 503 when the time is over, and the site goes on
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

is(api('', GET => '/up')->code, 200, 'the rest of the site');
ok(time - $start < 0.7, 'does not wait');

ok(wait_until { defined $code }, 'it ends');
is($code, 503, 'unavailable');
ok(time - $start > 0.9 && time - $start < 2, 'in time');
ok(wait_until { error_log() =~ /no answer from the database/ }, 'and told');

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4), 'on a new connection');


=== a database that takes connections and does not say hello
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
ok(time - $start > 0.4 && time - $start < 1.5, 'in time');

$start = time;
is(list()->code, 503, 'the next one');
ok(time - $start < 0.2, 'at once');

$proxy->pass;
ok(wait_until(sub { list()->code == 200 }, 4), 'up');


=== more requests than may wait
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_connections 1;
chat_db_queue 4;
--- then
is(list()->code, 200, 'connected');
$proxy->hold;

my %codes;
request('u1', GET => '/api/v1/message/')->then(sub { $codes{$_[0]->code}++ })
    for 1 .. 20;

ok(wait_until(sub { ($codes{503} // 0) >= 12 }, 1), 'most are refused at once');
is($codes{200}, undef, 'some wait');

$proxy->pass;
ok(wait_until(sub { $codes{503} + ($codes{200} // 0) == 20 }, 3),
   'all are answered');
ok($codes{200} >= 4, 'those that waited');


=== a client that leaves does not disturb the others of its packet
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
    like($answer, qr/^HTTP\/1.1 200 .*"body":"hello"\}$/s, 'answered');
}
