#
# Copyright (C) ngx_chat contributors
#

# a database that rejects connections or is unsuitable

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);

our $dir = tempdir(CLEANUP => 1);

sub list {
    return api('u1', GET => '/api/v1/message/');
}

# undo the changes of the blocks even after a failure

END {
    Chat::connect_db()->do($_) for
        "ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 0",
        'SET GLOBAL read_only = OFF';
}

run_tests();


__DATA__

=== requests succeed with fewer connections than configured
--- workers: 1
--- given
sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 1");
--- then
is(list()->code, 200, 'one connection');

my %codes;
for (1 .. 40) {
    request('u1', GET => $_ % 2 ? '/api/v1/message/' : '/api/v1/user/')
        ->then(sub { $codes{$_[0]->code}++ });
}
ok(wait_until { ($codes{200} // 0) == 40 }, 'all requests succeed')
    or diag(explain(\%codes));

sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 0");


=== queued requests run as soon as the server accepts another connection
--- workers: 1
--- given
sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 1");
--- then
is(list()->code, 200, 'one connection');

message('u1', 'u2', 'hello');
my $other = connect_db();
$other->begin_work;
$other->do('SELECT * FROM chat_conversation FOR UPDATE');

my ($mark, $list);
request('u1', POST => '/api/v1/conversation/u2/read', { id => 1 })
    ->then(sub { $mark = $_[0]->code });
settle(0.2);

my $start = time;
request('u1', GET => '/api/v1/message/')
    ->then(sub { $list = $_[0]->code });
ok(wait_until { error_log() =~ /is unavailable: .*1226/ },
   'the second connection is rejected');

sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 0");
ok(wait_until { $list }, 'the request ends when it is accepted');
is($list, 200, 'successfully');
cmp_ok(time - $start, '<', 1.2 * slowness(), 'without delay');
ok(!$mark, 'before the first connection is free');

$other->rollback;
ok(wait_until { $mark }, 'which it is later');


=== sends get 503 while the server is read-only
--- then
is(list()->code, 200, 'connected') for 1 .. 4;

sql('SET GLOBAL read_only = ON');
is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u2', body => 'hello' })->code, 503,
       'the send gets a 503');
sql('SET GLOBAL read_only = OFF');

ok(wait_until(sub {
    api('u1', POST => '/api/v1/message/',
        { recipient => 'u2', body => 'hello' })->code == 201
}, 4), 'then it succeeds');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1,
   'the message is stored once');


=== a schema of another version is rejected
--- workers: 1
--- given
sql('UPDATE chat_schema SET version = version + 1');
--- then
is(list()->code, 503, 'requests get a 503') for 1 .. 5;
settle(0.5);
is(list()->code, 503, 'later as well');
is(scalar(() = error_log() =~ /\[error\].* chat: the database is unavailable: its schema has version \d+, this module needs \d/g),
   1, 'the log reports the reason once');

sql('UPDATE chat_schema SET version = version - 1');
ok(wait_until(sub { list()->code == 200 }, 4),
   'requests succeed with the right version');


=== a missing schema is rejected
--- given
sql('RENAME TABLE chat_schema TO chat_other');
--- then
is(list()->code, 503, 'requests get a 503') for 1 .. 5;
like(error_log(), qr/\[error\].* chat: the database is unavailable: .*schema/,
     'the log reports the reason');

sql('RENAME TABLE chat_other TO chat_schema');
ok(wait_until(sub { list()->code == 200 }, 4),
   'requests succeed with the schema');


=== a wrong database password is reported without the password
--- given
open my $file, '>', "$dir/password" or die $!;
print $file "not-the-password\n";
close $file;
chmod 0600, "$dir/password";
--- change
s{password_file=[^ ;]+}{password_file=$dir/password};
--- then
is(list()->code, 503, 'requests get a 503') for 1 .. 5;
like(error_log(), qr/\[error\].* chat: .*Access denied for user 'chat'/,
     'the log reports the reason');
unlike(error_log(), qr/not-the-password/, 'but not the password');
