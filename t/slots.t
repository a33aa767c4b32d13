#
# Copyright (C) ngx_chat contributors
#

# slots of chat_writing: each connection has its own

use Test::Nginx::Socket 'no_plan';
use Chat;

# the condition under which a slot is taken, with the number in place of "%s"

our $lock = "CONCAT('ngx_chat.', CRC32(DATABASE()), '.', %s)";

# holders: the connections that hold the locks of slots

sub holders {
    return map { sql('SELECT IS_USED_LOCK(' . sprintf($lock, $_) . ')') // () }
           0 .. 255;
}

sub connections {
    return sort { $a <=> $b } sql("SELECT id FROM information_schema.processlist
                                   WHERE user = 'chat'");
}

sub post {
    my ($codes, $body) = @_;

    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => $body })
        ->then(sub { push @$codes, $_[0]->code });
}

run_tests();


__DATA__

=== each connection has a slot of its own, which the next one takes over
--- then
my @codes;

post(\@codes, $_) for 1 .. 40;
ok(wait_until { @codes == 40 }, 'messages are sent');
is("@codes", join(' ', (201) x 40), 'by both workers');

my @connections = connections();
cmp_ok(scalar @connections, '>=', 2, 'there are several connections');
is(join(' ', sort { $a <=> $b } grep { defined } holders()), "@connections",
   'each holds one lock');

my @reserved = grep { sql('SELECT IS_USED_LOCK(' . sprintf($lock, $_) . ')') }
                    0 .. 255;
my @used = sql('SELECT slot - @@auto_increment_offset * 256
                FROM chat_writing');
my $rows = @used;

cmp_ok($rows, '>=', 1, 'sends use slots');
is(join(' ', grep { my $slot = $_; !grep { $_ == $slot } @reserved } @used), '',
   'which are reserved');

sql("KILL $_") for @connections;
ok(wait_until { !connections() }, 'the connections end');

@codes = ();
post(\@codes, $_) for 1 .. 40;
ok(wait_until { @codes == 40 }, 'more messages are sent');

my $most = () = connections();

$most = $rows if $most < $rows;
cmp_ok(sql('SELECT COUNT(*) FROM chat_writing'), '<=', $most,
       'slots are reused');
--- no_error_log
[alert]


=== sends that have no free slot share one
--- then
my $other = connect_db();
$other->do('DO ' . join ', ', map { 'GET_LOCK(' . sprintf($lock, $_) . ', 0)' }
                              0 .. 255);
my @codes;

post(\@codes, $_) for 1 .. 20;
ok(wait_until { @codes == 20 }, 'messages are sent');
is("@codes", join(' ', (201) x 20), 'and stored');
--- no_error_log
[alert]
