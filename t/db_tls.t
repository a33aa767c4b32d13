#
# Copyright (C) ngx_chat contributors
#

# TLS to the database, with a server of this test's own

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Proxy;

our $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

sub sh {
    my ($command) = @_;

    system("cd $dir && { $command; } >log 2>&1 </dev/null") == 0
        or die "$command\n" . `cat $dir/log`;
}

# certificates: one authority that signs the server's, and another

sh("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$_
             -keyout $_.key -out $_.pem" =~ s/\n */ /r) for qw(ca other);
sh('openssl req -newkey rsa:2048 -nodes -subj /CN=database -keyout server.key
             -out server.csr' =~ s/\n */ /r);
sh('openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial
             -days 2 -out server.pem' =~ s/\n */ /r);

# the server: its account may come by TLS only

my $user = $> == 0 ? '--user=root' : '';

sh("mariadb-install-db --no-defaults $user --datadir=$dir/data --skip-test-db
     --auth-root-authentication-method=normal" =~ s/\n */ /r);

my $server = fork // die "fork: $!\n";

if ($server == 0) {
    open STDERR, '>>', "$dir/log";
    exec 'mariadbd', '--no-defaults', $user ? $user : (), '--skip-networking',
         "--datadir=$dir/data", "--socket=$dir/server.sock",
         "--ssl-ca=$dir/ca.pem", "--ssl-cert=$dir/server.pem",
         "--ssl-key=$dir/server.key", '--innodb-buffer-pool-size=16M';
}

END {
    if ($server) {
        # not to change the status of the test
        local $?;
        kill KILL => $server;
        waitpid $server, 0;
    }
}

my $client = "mariadb --no-defaults -u root -S $dir/server.sock";

wait_until(sub { system("$client -e 'SELECT 1' >/dev/null 2>&1") == 0 }, 20)
    or die "no server\n" . `cat $dir/log`;

my $schema = __FILE__ =~ s{[^/]*$}{../sql/schema.sql}r;

sh("$client -e \"CREATE DATABASE chat;
     CREATE USER chat\@localhost IDENTIFIED BY 'pw' REQUIRE SSL;
     GRANT ALL ON chat.* TO chat\@localhost\"" =~ s/\n */ /rg);
system("$client chat < $schema") == 0 or die "cannot load schema.sql\n";

open my $file, '>', "$dir/password" or die $!;
print $file "pw\n";
close $file;
chmod 0600, "$dir/password";

our $proxy = Chat::Proxy->new("$dir/proxy.sock", "$dir/server.sock");

# ask: nobody has a session there, so that 403 is the database's answer

sub ask {
    return api('u1', GET => '/api/v1/session/')->code;
}

sub db {
    my ($socket, $tls) = @_;

    s{chat_db [^;]+;}{chat_db unix:$dir/$socket user=chat
                      password_file=$dir/password $tls;}x
        or die "no chat_db\n";
}

run_tests();


__DATA__

=== a plain connection, which this server does not take
--- change
db('server.sock', 'tls=off');
--- then
is(ask(), 503, 'refused') for 1 .. 4;
like(error_log(), qr/Access denied for user 'chat'/, 'by the server');


=== TLS
--- change
db('server.sock', 'tls=on');
--- then
is(ask(), 403, 'answered') for 1 .. 10;


=== TLS, and the authority that has signed the server's certificate
--- change
db('server.sock', "tls=on tls_ca=$dir/ca.pem");
--- then
is(ask(), 403, 'answered') for 1 .. 10;


=== TLS, and another authority
--- change
db('server.sock', "tls=on tls_ca=$dir/other.pem");
--- then
is(ask(), 503, 'refused') for 1 .. 4;
like(error_log(), qr/\[error\].* chat: the database is out of reach: .*TLS/,
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
ok(wait_until(sub { ask() == 403 }, 6), 'the next one is better');
