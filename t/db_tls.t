#
# Copyright (C) ngx_chat contributors
#

# TLS to the database, with a private server

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat::Server;

# certificates: the authority of the server's certificate, and another one

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

# each of 32 threads has its own heap, which the first handshake fills
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

=== a plain connection is rejected by a server that requires TLS
--- change
db('db.sock', 'tls=off');
--- then
is(ask(), 503, 'requests get a 503') for 1 .. 4;
like(error_log(), qr/Access denied for user 'chat'/,
     'the server rejects the connection');


=== tls=on encrypts connections
--- change
db('db.sock', 'tls=on');
--- then
is(ask(), 200, 'requests succeed') for 1 .. 10;


=== tls_ca= accepts a certificate of this authority
--- change
db('db.sock', "tls=on tls_ca=$dir/ca.pem");
--- then
is(ask(), 200, 'requests succeed') for 1 .. 10;


=== tls_ca= rejects a certificate of another authority
--- change
db('db.sock', "tls=on tls_ca=$dir/other.pem");
--- then
is(ask(), 503, 'requests get a 503') for 1 .. 4;
like(error_log(),
     qr/\[error\].* chat: the database is unavailable: .*(?:TLS|SSL)/,
     'the module rejects the connection');


=== a handshake that hangs does not delay other requests
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

is(api('', GET => '/up')->code, 200, 'the rest of the site works');
ok(time - $start < 0.8, 'without delay');
is($code, undef, 'the handshake continues');

ok(wait_until { defined $code }, 'the request ends');
is($code, 503, 'with a 503');
ok(time - $start < 2, 'at the timeout');

$proxy->pass;
ok(wait_until(sub { ask() == 200 }, 6), 'the next handshake succeeds');


=== a lost TLS connection does not affect other TLS connections
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
is(ask(), 200, 'the request succeeds');

# the connection is closed or stalls before the response
for my $way (qw(swallow hold)) {
    for my $round (1 .. 3) {
        $proxy->$way;
        is(ask(), $way eq 'hold' ? 503 : 200, "$way $round: the request ends");

        $proxy->pass;
        ok(wait_until(sub { ask() == 200 }, 6),
           "$way $round: the next one succeeds");

        # a TLS connection of nginx, which would report errors left in OpenSSL's
        # queue
        $proxy->$way;
        ask();
        $proxy->pass;

        my $site = "127.0.0.1:$ENV{TEST_NGINX_STREAM_PORT}";
        is(system("openssl s_client -connect $site </dev/null >/dev/null 2>&1"),
           0, "$way $round: https");
    }
}


=== requests get 503 while the server hangs during the handshake
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- given
$proxy->pass;
--- http eval: $::settings
--- then
warm_up();

# before the greeting, during the handshake, and before the first query
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


=== a handshake that arrives byte by byte ends at the timeout
--- change
db('proxy.sock', "tls=on tls_ca=$dir/ca.pem");
--- given
$proxy->pass;
--- http eval: $::settings
--- then
warm_up();

# from the first byte on, or after the greeting
for my $way (qw(trickle drip)) {
    $proxy->cut;
    $proxy->$way($way eq 'drip' ? 0.001 : ());
    all_answered($way, 12, send => '201|503', list => '200|503');
    $proxy->pass;
    recovered($way);
}

sound();


=== abandoned handshakes do not block threads
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

# each byte arrives in time, the last one after half an hour
ok(wait_until { ask(); $proxy->opened >= $opened + 2 },
   'two handshakes have started');
is(ask(), 503, 'the request ends with a 503');

# the handshakes in progress continue slowly
$proxy->pass;
ok(wait_until(sub { ask() == 200 }, 6), 'the next handshake has a thread');


=== requests succeed after a garbled TLS connection
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
