#
# Copyright (C) ngx_chat contributors
#

# A database that hangs, dies, or lets nobody in: 503 within the time-out, and
# over when the cause is.  What it cannot do while it is there is in
# db_unable.t, what the network does to it in db_wire.t.

use Test::Nginx::Socket 'no_plan';
use Chat::Server;

our $server;
BEGIN { $server = Chat::Server->new }

use Chat;
use Chat::Family;
use Chat::Faults;

our $settings = $Chat::Faults::Settings;

# told PATTERN: lines of the error log, of level "error"

sub told {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /\[error\].* chat: $pattern/g);
}

run_tests();


__DATA__

=== hung, with connections open
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


=== hung before it has said hello
--- http eval: $::settings
--- given
$server->stop;
--- then
for my $path ('/', '/ws', '/api/v1/message/', '/api/v1/session/') {
    for (1, 2) {
        my $res = api('u1', GET => $path);
        is($res->code, 503, "$path of a stranger");
        like($res->headers->header('Retry-After'), qr/^[1-9]/, 'later');
    }
}

is(api('', GET => '/up')->code, 200, 'the rest of the site');
like(error_log(), qr/out of reach: timed out/, 'and the log says why');

$server->cont;
warm_up();
sound();


=== more requests than may wait
--- workers: 1
--- http eval: $::settings =~ s/db_timeout +1s/db_timeout 5s/r . 'chat_db_queue 32;'
--- then
warm_up();
$server->stop;

# two connections have a list each; all 24 requests of warm_up() and recovered()
# may come in one turn of the event loop, and must find room
my $answers = begin(100, 'list');
my $most = 0;

wait_until {
    my $status = api('', GET => '/chat/status')->json;

    $most = $status->{db_queries_waiting}
        if $most < $status->{db_queries_waiting};
    @$answers == 100;
};

is(scalar(grep { $_->{code} == 503 && $_->{retry} > 0 } @$answers), 100,
   'all are told to come later');
is($most, 32, 'and no more have waited at a time');

$server->cont;
recovered('many');
sound();


=== killed, and started again
--- http eval: $::settings
--- then
warm_up();

for my $signal ('KILL', 'TERM') {
    # some are under way when it ends
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


=== no connection to be had
--- http eval: $::settings
--- then
sql('SET GLOBAL max_connections = 10');
my @others;
while (my $other = eval { connect_db() }) { push @others, $other }

for my $path ('/', '/api/v1/message/') {
    for (1 .. 4) {
        my $res = api('u1', GET => $path);
        is($res->code, 503, $path);
        like($res->headers->header('Retry-After'), qr/^[1-9]/, 'later');
    }
}

# of two workers one may have been asked nothing
like(told('the database is out of reach: Too many connections.*1040'),
     qr/^[12]$/, 'told once by each worker');

@others = ();
warm_up();
sql('SET GLOBAL max_connections = 100');
sound();


=== an account that may connect no more
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


=== locked as a whole, as for a backup: reads go on
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


=== statements that nobody waits for any more
--- http eval: $::settings
--- then
warm_up();
my $other = connect_db();
$other->do('LOCK TABLES chat_message WRITE');

all_answered('locked', 24, list => 503);
ok(wait_until(sub {
    !sql("SELECT COUNT(*) FROM information_schema.processlist
          WHERE user = 'chat' AND command = 'Query'")
}, 3), 'are not left with the server');

$other->do('UNLOCK TABLES');
recovered('locked');
sound();


=== statements that the server stops
--- http eval: $::settings
--- then
warm_up();
my $other = connect_db();
my ($limit, %codes, $told);

if ($Mysql) {
    # it stops reads only, which wait for nothing but a whole table
    $other->do('LOCK TABLES chat_message WRITE');

    $limit = 'max_execution_time';
    sql("SET GLOBAL $limit = 200");
    %codes = (send => 503, list => 503);
    $told = qr/"messages\.page" now: .*, error 3024/;

} else {
    $other->begin_work;
    $other->selectall_arrayref('SELECT * FROM chat_conversation FOR UPDATE');

    $limit = 'max_statement_time';
    sql("SET GLOBAL $limit = 0.2");
    %codes = (send => 503, list => 200);
    $told = qr/"message\.send" now: .*, error 1969/;
}

sql("KILL $_") for sql("SELECT id FROM information_schema.processlist
                        WHERE user = 'chat'");

all_answered('slow', 24, %codes);
like(error_log(), $told, 'told');
like(error_log(), qr/it stopped what took too long/, 'and what it was');

# with its locks
$other->disconnect;
recovered('slow');
sql("SET GLOBAL $limit = 0");
sound();
