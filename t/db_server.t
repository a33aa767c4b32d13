#
# Copyright (C) ngx_chat contributors
#

# a database that is there, but does not want us, or not as many of us

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;

our $dir = tempdir(CLEANUP => 1);

sub list {
    return api('u1', GET => '/api/v1/message/');
}

# what a block does to the server, undone whatever becomes of the block

END {
    Chat::connect_db()->do($_) for
        "ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 0",
        'SET GLOBAL read_only = OFF';
}

run_tests();


__DATA__

=== fewer connections than we want: those we have do the work
--- workers: 1
--- given
sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 1");
--- then
is(list()->code, 200, 'one');

my %codes;
for (1 .. 40) {
    request('u1', GET => $_ % 2 ? '/api/v1/message/' : '/api/v1/user/')
        ->then(sub { $codes{$_[0]->code}++ });
}
ok(wait_until { ($codes{200} // 0) == 40 }, 'all are answered')
    or diag(explain(\%codes));

sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 0");


=== fewer connections than we want: who waits is heard when there are more
--- workers: 1
--- given
sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 1");
--- then
is(list()->code, 200, 'one');

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
ok(wait_until { error_log() =~ /out of reach: .*1226/ }, 'no second one');

sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS 0");
ok(wait_until { $list }, 'until it is allowed');
is($list, 200, 'then it is opened');
cmp_ok(time - $start, '<', 1.2, 'soon');
ok(!$mark, 'before the first one is free');

$other->rollback;
ok(wait_until { $mark }, 'which it is later');


=== a server that may only be read
--- then
is(list()->code, 200, 'connected') for 1 .. 4;

sql('SET GLOBAL read_only = ON');
is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u2', body => 'hello' })->code, 503, 'not now');
sql('SET GLOBAL read_only = OFF');

ok(wait_until(sub {
    api('u1', POST => '/api/v1/message/',
        { recipient => 'u2', body => 'hello' })->code == 201
}, 4), 'then');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'stored once');


=== a schema of another version
--- workers: 1
--- given
sql('UPDATE chat_schema SET version = version + 1');
--- then
is(list()->code, 503, 'nobody writes to it') for 1 .. 5;
settle(0.5);
is(list()->code, 503, 'later neither');
is(scalar(() = error_log() =~ /\[error\].* chat: the database is out of reach: its schema has version 4, this module needs 3/g),
   1, 'and the log says why, once');

sql('UPDATE chat_schema SET version = version - 1');
ok(wait_until(sub { list()->code == 200 }, 4), 'until it fits');


=== no schema at all
--- given
sql('RENAME TABLE chat_schema TO chat_other');
--- then
is(list()->code, 503, 'nobody writes to it') for 1 .. 5;
like(error_log(), qr/\[error\].* chat: the database is out of reach: .*schema/,
     'and the log says why');

sql('RENAME TABLE chat_other TO chat_schema');
ok(wait_until(sub { list()->code == 200 }, 4), 'until it is there');


=== a wrong password
--- given
open my $file, '>', "$dir/password" or die $!;
print $file "not-the-password\n";
close $file;
chmod 0600, "$dir/password";
--- change
s{password_file=[^ ;]+}{password_file=$dir/password};
--- then
is(list()->code, 503, 'unavailable') for 1 .. 5;
like(error_log(), qr/\[error\].* chat: .*Access denied for user 'chat'/,
     'and the log says why');
unlike(error_log(), qr/not-the-password/, 'but not the password');
