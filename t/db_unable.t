#
# Copyright (C) ngx_chat contributors
#

# A database that is read-only, full or altered: requests that it can serve
# succeed, others get 503, logged once, until the fault ends.

use Test::Nginx::Socket 'no_plan';
use Chat::Server;

our $server;
BEGIN { $server = Chat::Server->new }

use Chat;
use Chat::Faults;

our $settings = $Chat::Faults::Settings;

# logged PATTERN: the number of matching lines of level "error"

sub logged {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /\[error\].* chat: $pattern/g);
}

run_tests();


__DATA__

=== reads continue while the database is read-only
--- http eval: $::settings
--- then
my %ways = (
    'read_only' => sub { sql("SET GLOBAL read_only = $_[0]") },

    # affects new sessions only
    'transaction_read_only' => sub {
        sql('SET GLOBAL TRANSACTION READ ' . ($_[0] eq 'ON' ? 'ONLY'
                                                            : 'WRITE'));
        sql("KILL $_") for sql("SELECT id FROM information_schema.processlist
                                WHERE user = 'chat'");
    },
);

warm_up();

for my $way (sort keys %ways) {
    $ways{$way}->('ON');
    all_answered($way, 48, send => 503, login => 503,
                 map { $_ => 200 } qw(list inbox after)) for 1, 2;
    $ways{$way}->('OFF');
    recovered($way);
}

# once per worker and query type
cmp_ok(logged('.*it is read-only'), '<=', 2 * 2 * 2, 'logged once');
like(error_log(),
     qr/cannot execute "message\.send": it is read-only, error 1290/,
     'with the reason');
select undef, undef, undef, 1;
recovered('finally');
like(error_log(), qr/\[notice\].* executes "message.send" again/,
     'the end is logged');
sound();


=== reads continue on a server started read-only
--- http eval: $::settings
--- then
warm_up();
$server->end('TERM');
$server->start('--innodb-read-only');
ok(wait_until(sub { api('u1', GET => '/api/v1/message/')->code == 200 }, 5),
   'requests succeed');
all_answered('innodb_read_only', 48, send => 503, login => 503, list => 200,
             after => 200);
$server->end('TERM');
$server->start;
recovered('innodb_read_only');
sound();


=== reads continue while the disk is full
--- http eval: $::settings
--- then
SKIP: {
    skip 'the server has no separate disk: cannot "unshare"', 1
        if !$server->{holder};

    # Inserts fail for lack of space for a row or its index.  A row longer than
    # a page makes MariaDB 10.11 abort.
    warm_up();
    $server->fill;

    my $text = 'long ' x 500;
    my ($first, @refused);

    # after a failed insert, another one may still succeed
    for (1 .. 100) {
        my $res = api('u1', POST => '/api/v1/message/',
                      { recipient => 'u2', body => "$text $_" });
        next if $res->code == 201;

        $first //= logged('.*is full');
        push @refused, $res;
        last if @refused == 6;
    }

    is(scalar @refused, 6, 'the disk is full');
    like(error_log(), qr/"message\.send": its disk or a table is full/,
         'the log reports it');

    for my $res (@refused) {
        is($res->code, 503, 'the send gets a 503');
        like($res->headers->header('Retry-After'), qr/^[1-9]/,
             'with Retry-After');
    }

    all_answered('full', 48, send => '201|503', list => 200, inbox => 200);
    cmp_ok(logged('.*is full'), '<=', 2 * $first + 2,
           'not each failure is logged');

    $server->free;
    is(api('u1', POST => '/api/v1/message/',
           { recipient => 'u2', body => $text })->code, 201,
           'the send succeeds with free space');
    recovered('full');
    sound();
}


=== removed tables and privileges cause 503 for queries that need them
--- http eval: $::settings
--- then
my $chat = q('chat'@'localhost');

my @faults = (
    ['a table', 1146, 'a table or column',
     'RENAME TABLE chat_writing TO chat_other',
     'RENAME TABLE chat_other TO chat_writing',
     send => 503, list => 200, login => 200],

    ['a column', 1054, 'a table or column',
     'ALTER TABLE chat_conversation RENAME COLUMN lo_unread TO lo_other',
     'ALTER TABLE chat_conversation RENAME COLUMN lo_other TO lo_unread',
     send => 503, inbox => 503, list => 200, login => 200],

    ['a new column', 1364, 'a table or column',
     'ALTER TABLE chat_session ADD COLUMN place INT NOT NULL',
     'ALTER TABLE chat_session DROP COLUMN place',
     send => 201, list => 200, login => 503],

    ['a privilege on a table', 1142, 'a privilege of sql/grants.sql',
     "REVOKE SELECT ON chat_message FROM $chat",
     "GRANT SELECT ON chat_message TO $chat",
     list => 503, inbox => 503, after => 503, login => 200],

    ['the privilege to insert', 1142, 'a privilege of sql/grants.sql',
     "REVOKE INSERT ON chat_session FROM $chat",
     "GRANT INSERT ON chat_session TO $chat",
     send => 201, list => 200, login => 503],
);

warm_up();

for my $fault (@faults) {
    my ($name, $code, $reason, $break, $mend, %codes) = @$fault;

    sql($break);
    all_answered($name, 18, %codes) for 1, 2;
    like(error_log(), qr/cannot execute "\S+": $reason .*error $code/,
         "$name: the log reports the reason");
    sql($mend);
    recovered($name);
    all_answered("$name, finally", 12, map { $_ => 200 } qw(login inbox after));
}

sound();


=== requests get 503 if the schema is migrated to another version
--- http eval: $::settings
--- then
warm_up();
my $version = sql('SELECT version FROM chat_schema');
sql('UPDATE chat_schema SET version = version + 1');
sql('ALTER TABLE chat_message RENAME COLUMN body TO text');
select undef, undef, undef, 1;

# after the first failure, new connections check the version
all_answered('first', 24, send => 503, list => 503);
all_answered('then', 24, send => 503, list => 503, login => '200|503');
like(error_log(),
     qr/its schema has version @{[$version + 1]}, this module needs $version: /,
     'the log reports the reason');

sql('ALTER TABLE chat_message RENAME COLUMN text TO body');
sql('UPDATE chat_schema SET version = version - 1');
recovered('back');
sound();
