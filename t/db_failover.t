#
# Copyright (C) ngx_chat contributors
#

# Several servers in chat_db: here two ways to the same one, so that what goes
# where can be told.  A cluster is in galera.t.

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Proxy;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our ($first, $second) = ("$dir/1.sock", "$dir/2.sock");
our ($one, $two) = map { Chat::Proxy->new($_, $ENV{TEST_NGINX_CHAT_SOCKET}) }
                       $first, $second;
our $time = 'chat_db_timeout 3s; chat_db_connect_timeout 500ms;';

our $number = 0;

# sends N: the statuses of as many sends, one after the other

sub sends {
    my ($n) = @_;

    return join ' ', map {
        api('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'text ' . ++$number })->code
    } 1 .. $n;
}


# burst N: the same, all at once

sub burst {
    my ($n) = @_;

    return at_once($n, sub {
        request('u1', POST => '/api/v1/message/',
                { recipient => 'u2', body => 'text ' . ++$number });
    });
}


# at_once N, SUB: the statuses of N requests that SUB begins

sub at_once {
    my ($n, $begin) = @_;

    my @codes;

    $begin->()->then(sub { push @codes, $_[0]->code }, sub { push @codes, 0 })
        for 1 .. $n;

    wait_until { @codes == $n };

    return join ' ', @codes;
}


# stored: all that was sent, once

sub stored {
    my ($count) = sql('SELECT COUNT(DISTINCT body) FROM chat_message');
    my ($all) = sql('SELECT COUNT(*) FROM chat_message');

    is("$count $all", "$number $number", 'all is stored, once');
}


sub told {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /$pattern/g);
}

run_tests();


__DATA__

=== the first that works, by all workers, until it fails
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
my $before = $two->opened;
is(sends(20), join(' ', (201) x 20), 'all well');
cmp_ok($two->opened, '==', $before, 'nobody asks the second');

$one->refuse;
my $begin = time;
is(burst(20), join(' ', (201) x 20), 'the first is gone: no send fails');
cmp_ok(time - $begin, '<', 2, 'nor waits for long');
is(sends(20), join(' ', (201) x 20), 'nor later');
cmp_ok($two->opened, '>', $before, 'the second is asked');
like(error_log(), qr/\[error\].* server "unix:\S+1.sock" is left for "unix:\S+2.sock": .*error 2002/,
     'the log says so');

$one->pass;
my $opened = $one->opened;
settle(2.5);
is(sends(20), join(' ', (201) x 20), 'the first is back');
is($one->opened, $opened, 'and is left alone');

$two->refuse;
is(burst(20), join(' ', (201) x 20), 'until the second is gone');
cmp_ok($one->opened, '>', $opened, 'then it is asked');
stored();


=== an answer that is lost on the way: tried on the other, stored once
--- http eval: $::time
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
is(sends(1), '201', 'all well');

# the answer of the send is lost with the server
$one->swallow;
is(sends(1), '201', 'sent');
stored();


=== hung: left when it does not even say hello
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$two->pass;
$one->hold;
--- then
is(sends(20), join(' ', (201) x 20), 'no send fails');
like(error_log(), qr/1.sock" is left for "unix:\S+2.sock": timed out/, 'told');
cmp_ok(told('\[error\].* is left for'), '<=', 2, 'once by each worker');
$one->pass;
stored();


=== none is left: 503, then the first that comes back
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
is(sends(4), '201 201 201 201', 'all well');
$_->refuse for $one, $two;
settle(0.5);

for (1 .. 10) {
    my $begin = time;
    my $res = api('u1', GET => '/api/v1/message/');
    is($res->code, 503, 'none');
    like($res->headers->header('Retry-After'), qr/^[1-9]/, 'later');
    cmp_ok(time - $begin, '<', 1, 'at once');
}

$two->pass;
ok(wait_until(sub {
    3 == grep { $_ eq join ' ', (200) x 16 }
         map { at_once(16, sub { request('u1', GET => '/api/v1/message/') }) }
         1 .. 3
}, 8), 'the second is back, for all workers');
is(sends(8), join(' ', (201) x 8), 'for sends, too');
$one->pass;
stored();


=== after a reload: where it was
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
is(sends(4), '201 201 201 201', 'all well');
$one->refuse;
is(sends(8), join(' ', (201) x 8), 'moved');
$one->pass;
my $opened = $one->opened;
my @old = worker_pids();
kill HUP => master_pid();
ok(wait_until {
    my %old = map { $_ => 1 } @old;
    my @new = worker_pids();
    @new == 2 && !grep { $old{$_} } @new;
}, 'reloaded');
is(sends(20), join(' ', (201) x 20), 'goes on');
is($one->opened, $opened, 'without the first');
stored();
