#
# Copyright (C) ngx_chat contributors
#

# Two servers in chat_db, of which one may not be written to, or lets nobody
# else in, or is gone: what becomes of requests until the other is in use.

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

# begin ROLES: each "primary" or "replica", that is read-only; the second server
# has the same people and sessions as the first, and neither has a message

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
         SELECT CONCAT('INSERT INTO chat_session VALUES (UNHEX(''',
                       HEX(token_hash), '''), ', user_id, ', ',
                       QUOTE(created_at), ', ', QUOTE(expires_at), ');')
         FROM chat.chat_session");

    $two->sql('USE chat; '
              . join('', map { "DELETE FROM $_;" }
                         qw(chat_writing chat_session chat_conversation
                            chat_message chat_user))
              . $rows);
}


# limit N: so many connections of the module's the first server takes

sub limit {
    my ($n) = @_;

    $one->sql("ALTER USER 'chat'\@'localhost' WITH MAX_USER_CONNECTIONS $n");
}


# burst N, [READS]: statuses of so many sends, and reads, all at once

sub burst {
    my ($n, $reads) = @_;

    $number++;

    return answers(([POST => '/api/v1/message/',
                     { recipient => 'u2', body => "text $number" }]) x $n,
                   ([GET => '/api/v1/message/']) x ($reads // 0));
}


# answers REQUEST, ...: the statuses of u1's, all asked at once

sub answers {
    my (@requests) = @_;

    my %codes;
    my $open = @requests;

    my $count = sub { $codes{ $_[0] && $_[0]->code // 0 }++; $open-- };

    my @promises = map { request('u1', @$_)->then($count, $count) } @requests;

    wait_until { !$open };

    return join ', ', map { "$codes{$_} times $_" } sort keys %codes;
}


# refuses N: the first server has taken no further connection so often, by
# which the pause until the next try has become longer

sub refuses {
    my ($n) = @_;

    ok(wait_until(sub { burst(3, 5); told('error 1226') >= $n }),
       'no further connection is let in');

    # what Oracle's library does not always know is another reason each time
    cmp_ok(told('\[error\].* out of reach: .*error 1226'), '<=',
           2 + told('out of reach: .*error 2000'), 'told once by each worker');
    is(told('is left for'), 0, 'which is no reason to leave')
        or diag(grep { /chat/ } error_log() =~ /^.*\n/mg);
}


sub told {
    my ($pattern) = @_;

    return scalar(() = error_log() =~ /$pattern/g);
}

run_tests();


__DATA__

=== no further connection, then read-only: nobody waits for the next try
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
is(burst(1), '1 times 201', 'all well');
limit(1);

# nobody has had an answer for a second, for nobody has asked
settle(1.2);
refuses(5);
$one->sql('SET GLOBAL read_only = 1');

is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');
is(told('\[error\].* is left for .*: it is read-only, error 1290'), 1,
   'the server is left');
is(told('\[notice\].* the database is back'), 1, 'there is one to be reached');


=== the same for the worker that follows
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
is(burst(1), '1 times 201', 'all well');
limit(2);
is(burst(1), '1 times 201', 'an answer of now');
refuses(10);
$one->sql('SET GLOBAL read_only = 1');

is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');


=== the same when it is gone
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
is(burst(1), '1 times 201', 'all well');
limit(1);
refuses(5);
$one->end('KILL');

is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');
$one->start;


=== the first of the list is read-only: the next is used
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('replica', 'primary');
--- then
is(burst(20, 20), '20 times 200, 20 times 201', 'no request fails');
cmp_ok(told('\[error\].* is left for "unix:' . quotemeta($two->{socket})
            . '": it is read-only, error 0'),
       '>=', 1, 'told');
is($one->sql('SELECT COUNT(*) FROM chat.chat_message'), 0, 'nothing is there');
is($two->sql('SELECT COUNT(*) FROM chat.chat_message'), 20, 'but here');


=== all are read-only: 503 at once, until one is made a primary
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
        is($res->code, 503, 'none');
        like($res->headers->header('Retry-After'), qr/^[1-9]/, 'later');
        cmp_ok(time - $begin, '<', 2, 'at once');
        settle(0.1);
    }
};

# all workers, three times in a row
my $again = sub {
    my $begin = time;

    ok(wait_until(sub { 3 == grep { burst(16) eq '16 times 201' } 1 .. 3 }, 8),
       "$_[0]: sends go on by themselves");
    diag(sprintf '%s: after %.1f s', $_[0], time - $begin);
};

$none->();
$two->sql('SET GLOBAL read_only = 0');
$again->('the second');

my $count = $two->sql('SELECT COUNT(*) FROM chat.chat_message');

# with connections that are open
$two->sql('SET GLOBAL read_only = 1');
$none->();
$one->sql('SET GLOBAL read_only = 0');
$again->('the first');

is($two->sql('SELECT COUNT(*) FROM chat.chat_message'), $count,
   'nothing is stored by one that is read-only');


=== writes of two kinds under way: the server is left once
--- workers: 1
--- change
s{unix:\S+ user=}{unix:$one->{socket} unix:$two->{socket} user=};
--- given
begin('primary', 'primary');
--- then
my ($worker) = worker_pids();

my $id = api('u2', POST => '/api/v1/message/',
             { recipient => 'u1', body => 'to be read' })->json->{id};

# a packet each, and both are sent before either is answered
my $both = sub {
    kill 'STOP', $worker;

    # it goes on when both are there
    Mojo::IOLoop->timer(0.2 => sub { kill 'CONT', $worker });

    return answers([POST => '/api/v1/message/',
                    { recipient => 'u2', body => 'both' }],
                   [POST => '/api/v1/conversation/u2/read', { id => $id }]);
};

is($both->(), '1 times 200, 1 times 201', 'all well') for 1 .. 3;
$one->sql('SET GLOBAL read_only = 1');

is($both->(), '1 times 200, 1 times 201', 'no request fails');
is(told('\[error\].* is left for .*: it is read-only, error 1290'), 1,
   'once');
