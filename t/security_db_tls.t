#
# Copyright (C) ngx_chat contributors
#

# Eavesdropping on the database connection and changes to its data.  The test
# has its own server with TLS, and a relay in front of it.

use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use POSIX qw(strftime);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Family;
use Chat::Site ();

our $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

sub sh {
    my ($command) = @_;

    system("cd $dir && { $command; } >log 2>&1 </dev/null") == 0
        or die "$command\n" . `cat $dir/log`;
}

# certify SECONDS: creates a certificate of the authority for the server

sub certify {
    my ($seconds) = @_;

    my $end = strftime('%Y%m%d%H%M%SZ', gmtime(time + $seconds));

    sh("openssl ca -batch -config ca.cnf -in server.csr -notext -enddate $end
        -out server.pem" =~ s/\n */ /r);
}

open my $config, '>', "$dir/ca.cnf" or die $!;
print $config <<"END";
[ca]
default_ca       = authority
[authority]
certificate      = $dir/ca.pem
private_key      = $dir/ca.key
database         = $dir/index
new_certs_dir    = $dir
rand_serial      = yes
unique_subject   = no
default_md       = sha256
policy           = any
[any]
commonName       = supplied
END
close $config or die $!;
sh(': >index');

sh('openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca
    -keyout ca.key -out ca.pem' =~ s/\n */ /r);
sh('openssl req -newkey rsa:2048 -nodes -subj /CN=database -keyout server.key
    -out server.csr' =~ s/\n */ /r);
certify(86400);

my $user = $> == 0 ? '--user=root' : '';

sh(install_command("$dir/data", $user));

my @children;

END {
    # the status of the test stays
    local $?;

    for my $child (@children) {
        kill KILL => $child;
        waitpid $child, 0;
    }
}

sub spawn {
    my ($code) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        @children = ();
        eval { $code->() };
        print STDERR $@ if $@;

        require POSIX;
        POSIX::_exit(1);
    }

    push @children, $pid;
}

my $port = Chat::Site::free_port();

spawn(sub {
    open STDERR, '>>', "$dir/log";
    exec server_command(), $user ? $user : (),
         '--bind-address=127.0.0.1', "--port=$port",
         "--datadir=$dir/data", "--socket=$dir/server.sock",
         "--ssl-ca=$dir/ca.pem", "--ssl-cert=$dir/server.pem",
         "--ssl-key=$dir/server.key", '--innodb-buffer-pool-size=16M';
});

our $reread = $Mysql ? 'ALTER INSTANCE RELOAD TLS' : 'FLUSH SSL';
our $client = "$Client --no-defaults -u root -S $dir/server.sock"
              . ($Mysql ? '' : ' --skip-ssl');

wait_until(sub { system("$client -e 'SELECT 1' >/dev/null 2>&1") == 0 }, 20)
    or die "no server\n" . `cat $dir/log`;

my $schema = __FILE__ =~ s{[^/]*$}{../sql/schema.sql}r;

# the server accepts connections with and without TLS; the module decides

sh("$client -e \"CREATE DATABASE chat;
    CREATE USER chat\@localhost IDENTIFIED BY 'pw-Vk5tGy';
    GRANT ALL ON chat.* TO chat\@localhost\"" =~ s/\n */ /rg);
system("$client chat < $schema") == 0 or die "cannot load schema.sql\n";

my $hash = sql("SELECT SHA2('" . token('u1') . "', 256)");

sh("$client chat -e \"INSERT INTO chat_user (id, username)
                      VALUES (1, 'u1'), (2, 'u2');
    INSERT INTO chat_session (token_hash, user_id, created_at, expires_at) VALUES (UNHEX('$hash'), 1, NOW(),
                                     NOW() + INTERVAL 1 DAY)\""
   =~ s/\n */ /rg);

open my $file, '>', "$dir/password" or die $!;
print $file "pw-Vk5tGy\n";
close $file;
chmod 0600, "$dir/password";

# The relays record the traffic.  One relay removes the TLS flag from the first
# packet of the server: a length byte, a version that ends with a NUL, a number,
# eight bytes and one, then the flags, of which 0x0800 is TLS.

my $Offer = qr/^(....\x0a [^\0]* \0 .{4} .{8} \0 .) (.)/sx;

my %At;

sub relay {
    my ($name, $change, $address) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => $address // '127.0.0.1',
                                       Listen => 64)
        or die "$name: $!\n";
    $At{$name} = $listen->sockhost . ':' . $listen->sockport;

    spawn(sub { serve($name, $listen, $change) });
}

sub serve {
    my ($name, $listen, $change) = @_;

    my $select = IO::Select->new($listen);
    my (%peer, %asks);

    local $SIG{PIPE} = 'IGNORE';

    for ( ;; ) {
        for my $socket ($select->can_read) {

            if ($socket == $listen) {
                my $asks = $listen->accept or next;
                my $server = IO::Socket::INET->new("127.0.0.1:$port") or next;

                @peer{$asks, $server} = ($server, $asks);
                $asks{$asks} = 1;
                $select->add($asks, $server);

                sysread $server, my $greeting, 65536;
                $greeting = $change->($greeting) if $change;
                syswrite $asks, $greeting;
                next;
            }

            my $peer = $peer{$socket} or next;

            if (!sysread $socket, my $bytes, 65536) {
                $select->remove($socket, $peer);
                delete @peer{$socket, $peer};
                close $_ for $socket, $peer;
                last;

            } else {
                open my $kept, '>>', "$dir/$name." . ($asks{$socket} ? 'asked'
                                                                     : 'told');
                syswrite $kept, $bytes;
                syswrite $peer, $bytes;
            }
        }
    }
}

sub strip {
    my ($greeting) = @_;

    $greeting =~ s{$Offer}{$1 . chr(ord($2) & ~0x08)}e
        or die "the server said something else\n";

    return $greeting;
}

relay('listener');

# not "localhost", for which host names are not compared
relay('afar', undef, '127.0.0.2');
relay('stripper', \&strip);

# and one that requests the password in plain text

relay('asker', sub {
    my ($greeting) = @_;

    $greeting = substr strip($greeting), 4;
    $greeting =~ s/(?:mysql_native|caching_sha2)_password/mysql_clear_password/
        or die "the server said something else\n";

    return pack('VX', length $greeting) . "\0$greeting";
});

# kept NAME, [SIDE]: returns and removes the recorded traffic in both
# directions, or the data "asked" by the module or "told" by the server

sub kept {
    my ($name, $only) = @_;

    my $text = '';

    for my $side ($only // qw(asked told)) {
        open my $in, '<:raw', "$dir/$name.$side" or next;
        local $/;
        $text .= readline($in) // '';
    }

    unlink "$dir/$name.asked", "$dir/$name.told";

    return $text;
}

# forget NAME: removes traffic of the previous block

sub forget {
    settle(0.1);
    kept($_[0]);
}

# use_it: sends a message with a known text and returns the status

sub use_it {
    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => 'text-Hd9pWr' })->code;
}

sub db {
    my ($name, $tls) = @_;

    s{chat_db [^;]+;}{chat_db $At{$name} user=chat
                      password_file=$dir/password $tls;}x
        or die "no chat_db\n";
}

run_tests();


__DATA__

=== without TLS, the relay reads the text of a message
--- change
db('listener', 'tls=off');
--- then
forget('listener');
is(use_it(), 201, 'stored');

my $kept = kept('listener');
like($kept, qr/text-Hd9pWr/, 'the text');
like($kept, qr/INSERT INTO chat_message/, 'the statement');
unlike($kept, qr/pw-Vk5tGy/, 'the password is never sent');


=== with TLS, the relay reads nothing
--- change
db('listener', 'tls=on');
--- then
forget('listener');
is(use_it(), 201, 'stored');

my $kept = kept('listener');
cmp_ok(length $kept, '>', 1000, 'the traffic passes the relay');
unlike($kept, qr/text-Hd9pWr|chat_message|SELECT|INSERT|pw-Vk5tGy/,
       'it is encrypted');


=== with a known authority, any name in the certificate is accepted
--- change
db('afar', "tls=on tls_ca=$dir/ca.pem");
--- then
is(use_it(), 201, 'stored');


=== a certificate of another authority is rejected
--- change
sh('openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other
    -keyout other.key -out other.pem' =~ s/\n */ /r);
db('afar', "tls=on tls_ca=$dir/other.pem");
--- then
forget('afar');
is(use_it(), 503, 'rejected') for 1 .. 3;
unlike(kept('afar'), qr/pw-Vk5tGy/, 'the password is not sent');


=== without TLS, a removed TLS flag is not detected
--- change
db('stripper', 'tls=off');
--- then
forget('stripper');
is(use_it(), 201, 'stored');
like(kept('stripper'), qr/text-Hd9pWr/, 'the relay reads the text');


=== with TLS, nothing is sent after the TLS flag is removed
--- change
db('stripper', 'tls=on');
--- then
forget('stripper');
is(use_it(), 503, 'rejected') for 1 .. 3;
is(kept('stripper', 'asked'), '', 'no byte is sent');
like(error_log(), qr/\[error\].* chat: the database is unavailable: .*SSL/,
     'the reason is logged');


=== with a known authority, nothing is sent after the TLS flag is removed
--- change
db('stripper', "tls=on tls_ca=$dir/ca.pem");
--- then
forget('stripper');
is(use_it(), 503, 'rejected') for 1 .. 3;
is(kept('stripper', 'asked'), '', 'no byte is sent');


=== a plain-text password is not sent on request, with TLS
--- change
db('asker', 'tls=on');
--- then
forget('asker');
is(use_it(), 503, 'rejected') for 1 .. 3;
unlike(kept('asker'), qr/pw-Vk5tGy/, 'the password is not sent');


=== a plain-text password is not sent on request, without TLS
--- change
db('asker', 'tls=off');
--- then
forget('asker');
is(use_it(), 503, 'rejected') for 1 .. 3;
unlike(kept('asker'), qr/pw-Vk5tGy/, 'the password is not sent');


=== a server without TLS is rejected
--- change
s{(chat_db [^;]+);}{$1 tls=on;} or die;
--- then
is(api('u1', GET => '/api/v1/session/')->code, 503, 'rejected') for 1 .. 3;
like(error_log(), qr/chat: the database is unavailable: .*SSL/,
     'the reason is logged');


=== an expired certificate is rejected if the authority is known
--- change
db('listener', "tls=on tls_ca=$dir/ca.pem");
--- then
forget('listener');
is(use_it(), 201, 'a valid certificate is accepted');

sh("cp server.pem good.pem");

# a server may reject a certificate that has already expired
certify(5);
sh("$client -e '$reread'");
settle(6);

# the old connection is killed, so that a new one is opened
sh("$client -N -e \"SELECT CONCAT('KILL ', id, ';') FROM
    information_schema.processlist WHERE user = 'chat'\" >kill"
   =~ s/\n */ /r);
sh("$client < kill");

is(use_it(), 503, 'rejected') for 1 .. 3;
kept('listener');
is(use_it(), 503, 'rejected');
unlike(kept('listener'), qr/text-Hd9pWr|chat_message/, 'no statement is sent');

sh("cp good.pem server.pem");
sh("$client -e '$reread'");
ok(wait_until(sub { use_it() == 201 }, 6),
   'a valid certificate is accepted again');
