#
# Copyright (C) ngx_chat contributors
#

# TLS to the database, with a server of this test's own

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat::Server;

# certificates: one authority that signs the server's, and another

our ($server, $dir);

BEGIN {
    $server = Chat::Server->new;
    $dir = $server->{dir};

    my $new = 'openssl req -newkey rsa:2048 -nodes -days 2';

    $server->sh("$new -x509 -subj /CN=$_ -keyout $dir/$_.key -out $dir/$_.pem")
        for qw(ca other);
    $server->sh("$new -subj /CN=database -keyout $dir/server.key
                 -out $dir/server.csr");
    $server->sh("openssl x509 -req -in $dir/server.csr -CA $dir/ca.pem
                 -CAkey $dir/ca.key -CAcreateserial -days 2
                 -out $dir/server.pem");

    $server->end('TERM');
    $server->start("--ssl-ca=$dir/ca.pem", "--ssl-cert=$dir/server.pem",
                   "--ssl-key=$dir/server.key");
}

use Chat;
use Chat::Faults;
use Chat::Proxy;

our $proxy = Chat::Proxy->new("$dir/proxy.sock", $server->{socket});
our $settings = $Chat::Faults::Settings;

# each of 32 threads has a heap of its own, which the first handshake fills
$Chat::Faults::Growth = 8 << 20;

sql("ALTER USER 'chat'\@'localhost' REQUIRE SSL");

sub ask {
    return api('u1', GET => '/api/v1/message/')->code;
}

sub db {
    my ($socket, $tls) = @_;

    s{(chat_db\s+)\S+([^;]+);}{$1unix:$dir/$socket$2 $tls;}
        or die "no chat_db\n";
}

run_tests();


__DATA__

=== a plain connection, which this server does not take
--- change
db('db.sock', 'tls=off');
--- then
is(ask(), 503, 'refused') for 1 .. 4;
like(error_log(), qr/Access denied for user 'chat'/, 'by the server');


=== TLS
--- change
db('db.sock', 'tls=on');
--- then
is(ask(), 200, 'answered') for 1 .. 10;


=== TLS, and the authority that has signed the server's certificate
--- change
db('db.sock', "tls=on tls_ca=$dir/ca.pem");
--- then
is(ask(), 200, 'answered') for 1 .. 10;


=== TLS, and another authority
--- change
db('db.sock', "tls=on tls_ca=$dir/other.pem");
--- then
is(ask(), 503, 'refused') for 1 .. 4;
like(error_log(),
     qr/\[error\].* chat: the database is out of reach: .*(?:TLS|SSL)/,
     'by us');


=== a handshake that does not end holds up nobody
--- workers: 1
--- given
$proxy->stall;
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- http
chat_db_connect_timeout 1s;
--- then
my ($start, $code) = time;
request('u1', GET => '/api/v1/session/')->then(sub { $code = $_[0]->code });
wait_until { 0 } 0.3;

is(api('', GET => '/up')->code, 200, 'the rest of the site');
ok(time - $start < 0.8, 'does not wait');
is($code, undef, 'the handshake goes on');

ok(wait_until { defined $code }, 'it ends');
is($code, 503, 'without success');
ok(time - $start < 2, 'in time');

$proxy->pass;
ok(wait_until(sub { ask() == 200 }, 6), 'the next one is better');


=== a connection that ends within TLS is the end of no other
--- workers: 1
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- given
$proxy->pass;
--- http
chat_db_timeout 1s;
chat_db_connect_timeout 1s;
chat_db_connections 1;
--- server eval
<<"END"
listen 127.0.0.1:$ENV{TEST_NGINX_STREAM_PORT} ssl;
ssl_certificate $::dir/server.pem;
ssl_certificate_key $::dir/server.key;
END
--- then
is(ask(), 200, 'answered');

# instead of an answer there is the end, or nothing
for my $way (qw(swallow hold)) {
    for my $round (1 .. 3) {
        $proxy->$way;
        is(ask(), $way eq 'hold' ? 503 : 200, "$way $round: answered");

        $proxy->pass;
        ok(wait_until(sub { ask() == 200 }, 6), "$way $round: the next one");

        # one of nginx's own: it tells of errors that it finds there
        $proxy->$way;
        ask();
        $proxy->pass;

        my $site = "127.0.0.1:$ENV{TEST_NGINX_STREAM_PORT}";
        is(system("openssl s_client -connect $site </dev/null >/dev/null 2>&1"),
           0, "$way $round: https");
    }
}


=== a server that hangs at one moment or another of the handshake
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- given
$proxy->pass;
--- http eval: $::settings
--- then
warm_up();

# before it says hello, before it goes on, when it has to read a question
for my $round (0 .. 2) {
    my $way = (qw(hold stall pass))[$round];

    $proxy->cut;
    $proxy->$way;
    $server->stop if $way eq 'pass';
    all_answered($way, 12, send => 503, list => 503);
    $server->cont;
    $proxy->pass;
    recovered($way);
}

sound();


=== a handshake that comes byte by byte is given up in time
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- given
$proxy->pass;
--- http eval: $::settings
--- then
warm_up();

# from its first byte on, or after the server has said hello
for my $way (qw(trickle drip)) {
    $proxy->cut;
    $proxy->$way($way eq 'drip' ? 0.001 : ());
    all_answered($way, 12, send => '201|503', list => '200|503');
    $proxy->pass;
    recovered($way);
}

sound();


=== handshakes that are given up keep no thread
--- main_config
thread_pool default threads=2;
--- workers: 1
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- given
$proxy->drip(0.3);
--- http
chat_db_connect_timeout 1s;
chat_db_connections 1;
--- then
my $opened = $proxy->opened + 0;

# each byte comes in time, the last of them in half an hour
ok(wait_until { ask(); $proxy->opened >= $opened + 2 }, 'two are tried');
is(ask(), 503, 'given up');

# those begun go on so
$proxy->pass;
ok(wait_until(sub { ask() == 200 }, 6), 'the next one has a thread');


=== garbled
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- given
$proxy->pass;
--- http eval: $::settings
--- then
warm_up();

for my $round (1 .. 4) {
    $proxy->cut if $round % 2;
    $proxy->garble($round);
    all_answered("garbled $round", 6, map { $_ => '200|503' } qw(list after));
    $proxy->pass;
}

recovered('garbled');
sound();
