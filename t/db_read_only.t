#
# Copyright (C) ngx_chat contributors
#

# Two servers in chat_db, one of them read-only, unavailable or at its
# connection limit: requests until the other server is used

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat::Server;

our ($one, $two);

BEGIN {
    $two = Chat::Server->new;
    $one = Chat::Server->new;
}

use Chat;

our $number = 0;

# begin ROLES: each is "primary" or "replica", a read-only server; the second
# server has the users and sessions of the first, and neither has messages

sub begin {
    my (@roles) = @_;

    $number = 0;
    limit(0);

    for my $server ($one, $two) {
        $server->sql('SET GLOBAL read_only = '
                     . (shift @roles eq 'replica' ? 1 : 0));
    }

    my $rows = $one->sql(
        "SELECT CONCAT('INSERT INTO chat_user (id, username, password)',
                       ' VALUES (', id, ', ', QUOTE(username), ', ',
                       QUOTE(password), ');')
         FROM chat.chat_user
         UNION ALL
         SELECT CONCAT('INSERT INTO chat_session (token_hash, user_id, created_at, expires_at) VALUES (UNHEX(''',
                       HEX(token_hash), '''), ', user_id, ', ',
                       QUOTE(created_at), ', ', QUOTE(expires_at), ');')
         FROM chat.chat_session");

    $two->sql('USE chat; '
              . join('', map { "DELETE FROM $_;" }
                         qw(chat_writing chat_session chat_conversation
                            chat_message chat_user))
              . $rows);
}


# limit N: limits the module's connections to the first server

sub limit {
    my ($n) = @_;

    $one->sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS $n");
}


# burst N, [READS]: statuses of N sends, and of reads, all at once

sub burst {
    my ($n, $reads) = @_;

    $number++;

    return answers(([POST => '/api/v1/message/',
                     { recipient => 'u2', body => "text $number" }]) x $n,
                   ([GET => '/api/v1/message/']) x ($reads // 0));
}


# answers REQUEST, ...: the statuses of concurrent requests

sub answers {
    my (@requests) = @_;

    my %codes;
    my $open = @requests;

    my $count = sub { $codes{ $_[0] && $_[0]->code // 0 }++; $open-- };

    # at most two queries per user are in progress
    my @promises = map { request('u' . (1 + int rand 3), @$_)
                             ->then($count, $count) } @requests;

    wait_until { !$open };

    return join ', ', map { "$codes{$_} times $_" } sort keys %codes;
}


# refuses N: the first server has rejected N further connections, so that the
# pause before the next attempt is longer

sub refuses {
    my ($n) = @_;

    ok(wait_until(sub { burst(3, 5); logged('error 1226') >= $n }),
       'further connections are rejected');

    # Oracle's library does not always have the reason and reports another one
    cmp_ok(logged('\[error\].* is unavailable: .*error 1226'), '<=',
           2 + logged('is unavailable: .*error 2000'), 'logged once per worker');
    is(logged('failover from'), 0, 'without a failover')
        or diag(grep { /chat/ } error_log() =~ /^.*\n/mg);
}


sub logged {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /$pattern/g);
}

run_tests();


__DATA__

=== a server at its connection limit that becomes read-only is replaced at once
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
is(burst(1), '1 times 201', 'all sends succeed');
limit(1);

# no response for a second, since there was no request
settle(1.2);
refuses(5);
$one->sql('SET GLOBAL read_only = 1');

is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');
is(logged('\[error\].* failover from .*: it is read-only, error 1290'), 1,
   'failover');
is(logged('\[notice\].* the database is available again'), 1,
   'the connection is restored');


=== a second worker follows the failover at once
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
is(burst(1), '1 times 201', 'all sends succeed');
limit(2);
is(burst(1), '1 times 201', 'a recent response');
refuses(10);
$one->sql('SET GLOBAL read_only = 1');

is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');


=== a server at its connection limit that exits is replaced at once
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
is(burst(1), '1 times 201', 'all sends succeed');
limit(1);
refuses(5);
$one->end('KILL');

is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');
$one->start;


=== the second server is used if the first one is read-only
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('replica', 'primary');
--- then
is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');
cmp_ok(logged('\[error\].* failover from .* to "unix:'
              . quotemeta($two->{socket})
              . '": it is read-only, error 0'),
       '>=', 1, 'the log reports it');
is($one->sql('SELECT COUNT(*) FROM chat.chat_message'), 0,
   'the read-only server has no message');
is($two->sql('SELECT COUNT(*) FROM chat.chat_message'), 20,
   'the other one has all');


=== sends get 503 at once while all servers are read-only
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('replica', 'replica');
--- then
my $none = sub {
    for (1 .. 5) {
        my $begin = time;
        my $res = api('u1', POST => '/api/v1/message/',
                      { recipient => 'u2', body => 'none' });
        is($res->code, 503, 'no primary');
        like($res->headers->header('Retry-After'), qr/^[1-9]/,
             'with Retry-After');
        cmp_ok(time - $begin, '<', 2, 'without delay');
        settle(0.1);
    }
};

# all workers, three times in a row
my $again = sub {
    my $begin = time;

    ok(wait_until(sub { 3 == grep { burst(16) eq '16 times 201' } 1 .. 3 }, 8),
       "$_[0]: sends succeed again");
    diag(sprintf '%s: after %.1f s', $_[0], time - $begin);
};

$none->();
$two->sql('SET GLOBAL read_only = 0');
$again->('the second server');

my $count = $two->sql('SELECT COUNT(*) FROM chat.chat_message');

# with open connections
$two->sql('SET GLOBAL read_only = 1');
$none->();
$one->sql('SET GLOBAL read_only = 0');
$again->('the first server');

is($two->sql('SELECT COUNT(*) FROM chat.chat_message'), $count,
   'the read-only server stores no message');


=== two kinds of writes in progress cause one failover
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
my ($worker) = worker_pids();

my $id = api('u2', POST => '/api/v1/message/',
             { recipient => 'u1', body => 'to be read' })->json->{id};

# one batch each, both sent before the first response
my $both = sub {
    kill 'STOP', $worker;

    # it continues when both requests are there
    Mojo::IOLoop->timer(0.2 => sub { kill 'CONT', $worker });

    return answers([POST => '/api/v1/message/',
                    { recipient => 'u2', body => 'both' }],
                   [POST => '/api/v1/conversation/u2/read', { id => $id }]);
};

is($both->(), '1 times 200, 1 times 201', 'all requests succeed') for 1 .. 3;
$one->sql('SET GLOBAL read_only = 1');

is($both->(), '1 times 200, 1 times 201', 'no request fails');
is(logged('\[error\].* failover from .*: it is read-only, error 1290'), 1,
   'one failover');
