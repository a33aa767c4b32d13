#
# Copyright (C) ngx_chat contributors
#

# Several servers in chat_db: here two proxies of one server, which show the
# server in use.  galera.t tests a cluster.

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Busy qw(slowness);
use Chat::Proxy;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our ($first, $second) = ("$dir/1.sock", "$dir/2.sock");
our ($one, $two) = map { Chat::Proxy->new($_, $ENV{TEST_NGINX_CHAT_SOCKET}) }
                       $first, $second;
our $time = 'chat_db_timeout 3s; chat_db_connect_timeout 500ms;';

our $number = 0;

# sends N: the statuses of N sends, one after the other

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


# at_once N, SUB: the statuses of N requests that SUB starts

sub at_once {
    my ($n, $begin) = @_;

    my @codes;

    $begin->()->then(sub { push @codes, $_[0]->code }, sub { push @codes, 0 })
        for 1 .. $n;

    wait_until { @codes == $n };

    return join ' ', @codes;
}


# stored: each message is stored once

sub stored {
    my ($count) = sql('SELECT COUNT(DISTINCT body) FROM chat_message');
    my ($all) = sql('SELECT COUNT(*) FROM chat_message');

    is("$count $all", "$number $number", 'each message is stored once');
}


sub logged {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /$pattern/g);
}

run_tests();


__DATA__

=== all workers use the first server until it fails
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
my $before = $two->opened;
is(sends(20), join(' ', (201) x 20), 'all sends succeed');
cmp_ok($two->opened, '==', $before, 'the second server is not used');

$one->refuse;
my $begin = time;
is(burst(20), join(' ', (201) x 20),
   'no send fails when the first server fails');
cmp_ok(time - $begin, '<', 2, 'or waits long');
is(sends(20), join(' ', (201) x 20), 'nor later');
cmp_ok($two->opened, '>', $before, 'the second server is used');
like(error_log(), qr/\[error\].* failover from database server "unix:\S+1.sock" to "unix:\S+2.sock": .*error 2002/,
     'the log reports it');

$one->pass;
my $opened = $one->opened;
settle(2.5);
is(sends(20), join(' ', (201) x 20),
   'sends succeed when the first server returns');
is($one->opened, $opened, 'without it');

$two->refuse;
is(burst(20), join(' ', (201) x 20),
   'sends succeed when the second server fails');
cmp_ok($one->opened, '>', $opened, 'with the first server');
stored();


=== a send whose response is lost is retried on the other server and stored once
--- http eval: $::time
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
is(sends(1), '201', 'all sends succeed');

# the response to the send is lost
$one->swallow;
is(sends(1), '201', 'the send succeeds');
stored();


=== a server that does not send a greeting is replaced
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$two->pass;
$one->hold;
--- then
is(sends(20), join(' ', (201) x 20), 'no send fails');
like(error_log(), qr/1.sock" to "unix:\S+2.sock": timed out/,
     'the log reports it');
cmp_ok(logged('\[error\].* failover from'), '<=', 2, 'once per worker');
$one->pass;
stored();


=== without any server, requests get 503 until the first one returns
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
is(sends(4), '201 201 201 201', 'all sends succeed');
$_->refuse for $one, $two;
settle(0.5);

for (1 .. 10) {
    my $begin = time;
    my $res = api('u1', GET => '/api/v1/message/');
    is($res->code, 503, 'no server');
    like($res->headers->header('Retry-After'), qr/^[1-9]/, 'with Retry-After');
    cmp_ok(time - $begin, '<', slowness(), 'without delay');
}

$two->pass;
ok(wait_until(sub {
    3 == grep { $_ eq join ' ', (200) x 16 }
         map { at_once(16, sub { request('u1', GET => '/api/v1/message/') }) }
         1 .. 3
}, 8), 'all workers use the second server again');
is(sends(8), join(' ', (201) x 8), 'also for sends');
$one->pass;
stored();


=== one worker, no server left: the log names each server that is tried
--- http eval: $::time
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
is(sends(1), '201', 'the first server works');
$_->refuse for $one, $two;
ok(wait_until {
    api('u1', GET => '/api/v1/user/');
    error_log() =~ /\[notice\].* using database server "unix:\S+1.sock"/
}, 'the first server is tried again');
$two->pass;
ok(wait_until { api('u1', GET => '/api/v1/user/')->code == 200 },
   'the second server works');
like(error_log(), qr/\[notice\].* using database server "unix:\S+2.sock"/,
     'the log says so');
$one->pass;


=== a reload keeps the server in use
--- http eval: $::time
--- change
s{unix:\S+ user=}{unix:$first unix:$second user=};
--- given
$number = 0;
$_->pass for $one, $two;
--- then
is(sends(4), '201 201 201 201', 'all sends succeed');
$one->refuse;
is(sends(8), join(' ', (201) x 8), 'failover to the second server');
$one->pass;
my $opened = $one->opened;
my @old = worker_pids();
kill HUP => master_pid();
ok(wait_until {
    my %old = map { $_ => 1 } @old;
    my @new = worker_pids();
    @new == 2 && !grep { $old{$_} } @new;
}, 'the configuration is reloaded');
is(sends(20), join(' ', (201) x 20), 'all sends succeed');
is($one->opened, $opened, 'without the first server');
stored();
