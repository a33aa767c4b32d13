#
# Copyright (C) ngx_chat contributors
#

# A database that is read-only, full or altered: what it can still do is done,
# the rest is 503, told once, and over when the cause is.

use Test::Nginx::Socket 'no_plan';
use Chat::Server;

our $server;
BEGIN { $server = Chat::Server->new }

use Chat;
use Chat::Faults;

our $settings = $Chat::Faults::Settings;

# told PATTERN: lines of the error log, of level "error"

sub told {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /\[error\].* chat: $pattern/g);
}

run_tests();


__DATA__

=== read-only: reads go on
--- http eval: $::settings
--- then
my %ways = (
    'read_only' => sub { sql("SET GLOBAL read_only = $_[0]") },

    # of sessions that begin now, and not of others
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

# each worker, and each kind of write, says so once
cmp_ok(told('.*it is read-only'), '<=', 2 * 2 * 2, 'told once');
like(error_log(),
     qr/cannot do "message\.send" now: it is read-only, error 1290/,
     'with a reason');
select undef, undef, undef, 1;
recovered('at last');
like(error_log(), qr/\[notice\].* can do "message.send" again/, 'and its end');
sound();


=== started read-only
--- http eval: $::settings
--- then
warm_up();
$server->end('TERM');
$server->start('--innodb-read-only');
ok(wait_until(sub { api('u1', GET => '/api/v1/message/')->code == 200 }, 5),
   'there it is');
all_answered('innodb_read_only', 48, send => 503, login => 503, list => 200,
             after => 200);
$server->end('TERM');
$server->start;
recovered('innodb_read_only');
sound();


=== a full disk: reads go on
--- http eval: $::settings
--- then
SKIP: {
    skip 'no disk of its own for the server: cannot "unshare"', 1
        if !$server->{holder};

    # where it is found that there is no place for a row or its index; a row
    # that is longer than a page makes MariaDB 10.11 itself abort
    warm_up();
    $server->fill;

    my $text = 'long ' x 500;
    my ($first, @refused);

    # where one has had no place another one may
    for (1 .. 100) {
        my $res = api('u1', POST => '/api/v1/message/',
                      { recipient => 'u2', body => "$text $_" });
        next if $res->code == 201;

        $first //= told('.*is full');
        push @refused, $res;
        last if @refused == 6;
    }

    is(scalar @refused, 6, 'it is full some time');
    like(error_log(), qr/"message\.send" now: its disk or a table is full/,
         'told');

    for my $res (@refused) {
        is($res->code, 503, 'no place for this');
        like($res->headers->header('Retry-After'), qr/^[1-9]/, 'later');
    }

    all_answered('full', 48, send => '201|503', list => 200, inbox => 200);
    cmp_ok(told('.*is full'), '<=', 2 * $first + 2, 'not told each time');

    $server->free;
    is(api('u1', POST => '/api/v1/message/',
           { recipient => 'u2', body => $text })->code, 201, 'now there is');
    recovered('full');
    sound();
}


=== tables and rights that go while connections are up
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

    ['a column that is new', 1364, 'a table or column',
     'ALTER TABLE chat_session ADD COLUMN place INT NOT NULL',
     'ALTER TABLE chat_session DROP COLUMN place',
     send => 201, list => 200, login => 503],

    ['a right on a table', 1142, 'a right of sql/grants.sql',
     "REVOKE SELECT ON chat_message FROM $chat",
     "GRANT SELECT ON chat_message TO $chat",
     list => 503, inbox => 503, after => 503, login => 200],

    ['a right to insert', 1142, 'a right of sql/grants.sql',
     "REVOKE INSERT ON chat_session FROM $chat",
     "GRANT INSERT ON chat_session TO $chat",
     send => 201, list => 200, login => 503],
);

warm_up();

for my $fault (@faults) {
    my ($name, $code, $reason, $break, $mend, %codes) = @$fault;

    sql($break);
    all_answered($name, 18, %codes) for 1, 2;
    like(error_log(), qr/cannot do "\S+" now: $reason .*error $code/,
         "$name: the log says why");
    sql($mend);
    recovered($name);
    all_answered("$name, at last", 12, map { $_ => 200 } qw(login inbox after));
}

sound();


=== migrated to another version while connections are up
--- http eval: $::settings
--- then
warm_up();
sql('UPDATE chat_schema SET version = version + 1');
sql('ALTER TABLE chat_message RENAME COLUMN body TO text');
select undef, undef, undef, 1;

# the first that fails makes new connections look at the version
all_answered('first', 24, send => 503, list => 503);
all_answered('then', 24, send => 503, list => 503, login => '200|503');
like(error_log(), qr/its schema has version 4, this module needs 3: install/,
     'the log says why');

sql('ALTER TABLE chat_message RENAME COLUMN text TO body');
sql('UPDATE chat_schema SET version = version - 1');
recovered('back');
sound();
