#
# Copyright (C) ngx_chat contributors
#

# A database that hangs, exits or rejects connections: requests get 503 within
# the timeout and succeed after the fault.  db_unable.t has faults of a running
# server, db_wire.t those of the network.

use Test::Nginx::Socket 'no_plan';
use Chat::Server;

our $server;
BEGIN { $server = Chat::Server->new }

use Chat;
use Chat::Family;
use Chat::Faults;

our $settings = $Chat::Faults::Settings;

# logged PATTERN: the number of matching lines of level "error"

sub logged {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /\[error\].* chat: $pattern/g);
}

run_tests();


__DATA__

=== requests get 503 while a connected server hangs
--- http eval: $::settings
--- then
warm_up();

for my $round (1 .. 2) {
    $server->stop;
    all_answered("hung $round", 48, send => 503, list => 503, login => 503);
    $server->cont;
    recovered("hung $round");
}

sound();


=== requests get 503 while a server hangs before its greeting
--- http eval: $::settings
--- given
$server->stop;
--- then
for my $path ('/', '/ws', '/api/v1/message/', '/api/v1/session/') {
    for (1, 2) {
        my $res = api('u1', GET => $path);
        is($res->code, 503, "$path of an uncached user");
        like($res->headers->header('Retry-After'), qr/^[1-9]/,
             'with Retry-After');
    }
}

is(api('', GET => '/up')->code, 200, 'the rest of the site works');
like(error_log(), qr/is unavailable: timed out/, 'the log reports the reason');

$server->cont;
warm_up();
sound();


=== requests beyond the queue limit get 503
--- workers: 1
--- http eval: $::settings =~ s/db_timeout +1s/db_timeout 5s/r . 'chat_db_queue 32;'
--- then
# at most two queries per user

for my $n (1 .. 50) {
    sql('INSERT INTO chat_user (username) VALUES (?)', "w$n");
    add_session("w$n");
    api("w$n", GET => '/api/v1/session/');
}

warm_up();
$server->stop;

# two connections have a batch each; all 24 requests of warm_up() and
# recovered() may come in one iteration of the event loop and must fit into the
# queue
my $answers = [];
my $most = 0;

watch($answers, 'list', request('w' . (1 + $_ % 50),
                                GET => '/api/v1/message/'), "w$_")
    for 1 .. 100;

wait_until {
    my $status = api('', GET => '/chat/status')->json;

    $most = $status->{db_queries_waiting}
        if $most < $status->{db_queries_waiting};
    @$answers == 100;
};

is(scalar(grep { $_->{code} == 503 && $_->{retry} > 0 } @$answers), 100,
   'all get Retry-After');
is($most, 32, 'at most 32 requests wait at a time');

$server->cont;
recovered('many');
sound();


=== requests get 503 while the server is killed, and succeed after its start
--- http eval: $::settings
--- then
warm_up();

for my $signal ('KILL', 'TERM') {
    # some requests are in progress when it exits
    Mojo::IOLoop->timer($_ * 0.01 => sub { begin(8, qw(send list)) })
        for 1 .. 20;
    settle(0.1);
    $server->end($signal);
    settle(1.5);

    all_answered("SIG$signal", 48, send => 503, list => 503, login => 503);
    $server->start;
    recovered("SIG$signal");
}

sound();


=== requests get 503 if the server has too many connections
--- http eval: $::settings
--- then
sql('SET GLOBAL max_connections = 10');
my @others;
while (my $other = eval { connect_db() }) { push @others, $other }

for my $path ('/', '/api/v1/message/') {
    for (1 .. 4) {
        my $res = api('u1', GET => $path);
        is($res->code, 503, $path);
        like($res->headers->header('Retry-After'), qr/^[1-9]/,
             'with Retry-After');
    }
}

# one of the two workers may have no request
like(logged('the database is unavailable: Too many connections.*1040'),
     qr/^[12]$/, 'logged once per worker');

@others = ();
warm_up();
sql('SET GLOBAL max_connections = 100');
sound();


=== requests get 503 if the account is locked or its password has expired
--- http eval: $::settings
--- then
warm_up();

sub cut {
    sql("KILL $_") for sql("SELECT id FROM information_schema.processlist
                            WHERE user = 'chat'");
}

for my $change ('ACCOUNT LOCK', 'PASSWORD EXPIRE') {
    sql("ALTER USER 'chat'\@'localhost' $change");
    cut();
    all_answered($change, 24, send => 503, list => 503);
    my $password = $change =~ /LOCK/ ? 'ACCOUNT UNLOCK'
                                     : 'PASSWORD EXPIRE NEVER';
    sql("ALTER USER 'chat'\@'localhost' $password");
    sql("ALTER USER 'chat'\@'localhost' IDENTIFIED BY 'pw-Rm4kTz'");
    recovered($change);
}

sound();


=== reads continue while all tables are locked, as during a backup
--- http eval: $::settings
--- then
warm_up();
my $other = connect_db();
$other->do('FLUSH TABLES WITH READ LOCK');

# sends have one connection, reads the other
all_answered('locked', 24, send => 503, map { $_ => 200 } qw(list inbox after));

$other->do('UNLOCK TABLES');
recovered('locked');
sound();


=== statements without a waiting request are cancelled
--- http eval: $::settings
--- then
warm_up();
my $other = connect_db();
$other->do('LOCK TABLES chat_message WRITE');

all_answered('locked', 24, list => 503);
ok(wait_until(sub {
    !sql("SELECT COUNT(*) FROM information_schema.processlist
          WHERE user = 'chat' AND command = 'Query'")
}, 3), 'no statement remains on the server');

$other->do('UNLOCK TABLES');
recovered('locked');
sound();


=== requests get 503 if the server cancels their statements
--- http eval: $::settings
--- then
warm_up();
my $other = connect_db();

# MySQL limits reads only; a send waits for a table lock as for a row lock
my $limit = $Mysql ? 'max_execution_time' : 'max_statement_time';

$other->do('LOCK TABLES chat_message WRITE');
sql("SET GLOBAL $limit = " . ($Mysql ? 200 : 0.2));

sql("KILL $_") for sql("SELECT id FROM information_schema.processlist
                        WHERE user = 'chat'");

all_answered('slow', 24, send => 503, list => 503);
like(error_log(), qr/"messages\.page": .*, error (?:1969|3024)/,
     'the log has the statement');
like(error_log(), qr/a statement took too long/, 'and the reason');

# releases its locks
$other->disconnect;
recovered('slow');
sql("SET GLOBAL $limit = 0");
sound();
