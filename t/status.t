#
# Copyright (C) ngx_chat contributors
#

# responses of chat_status: metrics, live, ready; and variables for the log

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Proxy;
use Chat::Sockets;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});

sub status {
    return api('', GET => '/chat/status')->json;
}

# shows METRIC, EXPECTED, NAME: waits for the value, since a request is counted
# when it ends, shortly after the client receives the response

sub shows {
    my ($figure, $expected, $name) = @_;

    wait_until(sub { explain(status()->{$figure}) eq explain($expected) }, 3);
    is_deeply(status()->{$figure}, $expected, $name // $figure);
}

sub explain {
    return JSON::PP->new->canonical->allow_nonref->encode($_[0]);
}

# requests: returns the counts by "POST message/ 201"

sub requests {
    return { map { ("$_->{method} $_->{endpoint} $_->{code}", $_->{count}) }
                 @{ status()->{requests} } };
}

sub shows_requests {
    my ($expected, $name) = @_;

    wait_until(sub { explain(requests()) eq explain($expected) }, 3);
    is_deeply(requests(), $expected, $name // 'requests')
        or diag(explain(requests()));
}

sub post {
    my ($body, %headers) = @_;

    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => $body }, %headers);
}

# promtool TEXT: returns the errors that promtool finds

sub promtool {
    my ($text) = @_;

    open my $out, '>', "$dir/metrics" or die "$dir/metrics: $!\n";
    print $out $text;
    close $out;

    my $said = qx(promtool check metrics <$dir/metrics 2>&1);

    return $? == 0 ? $said : "status $?: $said";
}

run_tests();


__DATA__

=== requests are counted by endpoint, method and status
--- given
message('u2', 'u1', 'hello');
--- then
our $before = requests();
is_deeply($before, {}, 'no requests, and status is not counted');

post("message $_") for 1 .. 3;
api('u1', POST => '/api/v1/message/', { recipient => 'u2' });
api('u1', POST => '/api/v1/message/', { recipient => 'nobody', body => 'x' });
api('', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' });
api('u1', GET => '/api/v1/message/') for 1 .. 2;
api('u1', HEAD => '/api/v1/message/');
api('u1', OPTIONS => '/api/v1/message/');
api('u1', PUT => '/api/v1/message/1/');
api('u1', GET => '/api/v1/message/1/');
api('u1', GET => '/api/v1/message/999/');
api('u1', GET => '/api/v1/user/');
api('u1', GET => '/api/v1/user/2/');
api('u1', GET => '/api/v1/conversation/');
api('u1', POST => '/api/v1/conversation/u2/read/', { id => 1 });
api('u1', GET => '/api/v1/');
api('u1', GET => '/api/v1/no/such/path/');
api('u1', POST => '/api/v1/message/', { body => 'x' x 70000 });
api('u1', GET => '/api/v1/session/');
api('', GET => '/login/');
api('u1', GET => '/');
api('', GET => '/ws');
api('u1', DELETE => '/api/v1/session/');
api('u2', GET => '/logout/');
api('u3', POST => '/api/v1/password/', { old_password => 'x' });

shows_requests({
    'POST message/ 201'                => 3,
    'POST message/ 400'                => 1,
    'POST message/ 404'                => 1,
    'POST message/ 403'                => 1,
    'GET message/ 200'                 => 3,
    'other message/ 200'               => 1,
    'PUT message/ID/ 405'              => 1,
    'GET message/ID/ 200'              => 1,
    'GET message/ID/ 404'              => 1,
    'GET user/ 200'                    => 1,
    'GET user/ID/ 200'                 => 1,
    'GET conversation/ 200'            => 1,
    'POST conversation/NAME/read/ 200' => 1,
    'GET root 200'                     => 1,
    'GET other 404'                    => 1,
    'POST other 413'                   => 1,
    'GET session/ 200'                 => 1,
    'GET login 200'                    => 1,
    'GET socket 403'                   => 1,
    'DELETE session/ 204'              => 1,
    'GET logout 302'                   => 1,
    'POST password/ 400'               => 1,
});

my $text = api('', GET => '/chat/status?format=openmetrics')->body;
ok(length $text > 20_000, 'a long text') or diag(length $text);
is(scalar(() = $text =~ /^ngx_chat_requests_total\{.*\} \d+$/mg), 22, 'whole');
like($text, qr/\n# EOF\n\z/, 'the last line');


=== repeated login pages, disconnected clients and rejections are counted
--- undescribed: a limit without @chat_limited
--- http
limit_req_zone $chat_user_id zone=few:1m rate=1r/m;
limit_req_status 429;
--- api
limit_req zone=few burst=2 nodelay;
error_page 429 @too_many;
--- server
location @too_many { return 429 'slowly'; }
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
is(api('', POST => '/login/', undef, 'Content-Type' =>
       'application/x-www-form-urlencoded')->code, 200, 'the login page again');

is(post('first')->code, 201, 'within the limit');

$proxy->hold;
my $client = IO::Socket::INET->new(PeerAddr => url('') =~ s{http://}{}r);
print $client "GET /api/v1/conversation/ HTTP/1.1\r\nHost: localhost\r\n"
              . 'Cookie: sessionid=' . token('u2') . "\r\n\r\n";
settle();
close $client;
settle();
$proxy->pass;

post('x') for 1 .. 4;

shows_requests({
    'POST login 200'         => 1,
    'POST message/ 201'      => 3,
    'POST other 429'         => 2,
    'GET other 499'          => 1,
});


=== messages, logins, caches and queries are counted
--- given
message('u3', 'u4', 'hello');
--- then
post("message $_") for 1 .. 3;
post('once', 'Idempotency-Key' => 'key') for 1 .. 2;

shows(messages_sent => 4);
shows(records => 4);

for my $password (($Chat::Password) x 2, ('wrong') x 7) {
    api('', POST => '/api/v1/session/',
        { username => 'u1', password => $password });
}

shows(logins => { ok => 2, failed => 6, throttled => 1, busy => 0 });

api('u4', GET => '/api/v1/message/1/') for 1 .. 3;
api('u1', GET => '/api/v1/user/') for 1 .. 2;

shows(cache_hits => { session => 8, user => 4, users => 1, message => 2 });
shows(cache_misses => { session => 2, user => 1, users => 1, message => 1 });

my $status = status();
is($status->{scope}, 'all workers', 'the scope is all workers');
is($status->{processes}, 2, 'both workers');
is($status->{shared}, 1, 'shared memory is used');

is($status->{send_seconds}{count}, 4, 'stored messages are counted');
ok($status->{send_seconds}{sum} > 0 && $status->{send_seconds}{sum} < 10,
   'the time is counted');

my %expected = ('message.send' => 5, 'message.by_client' => 1,
                'message.get' => 1, 'session.get' => 2, 'users' => 1,
                'session.create' => 2, 'user.by_name' => 9);

is_deeply({ map { ($_ => $status->{queries}{$_}{seconds}{count}) }
                keys %{ $status->{queries} } }, \%expected, 'queries');
is_deeply({ map { ($_ => $status->{queries}{$_}{batch_size}{sum}) }
                keys %{ $status->{queries} } }, \%expected,
          'all queries have batch sizes');


=== sessions are counted by start and end
--- then
sub log_in {
    my (%more) = @_;

    my $res = api('', POST => '/api/v1/session/',
                  { username => 'u1', password => $Chat::Password, %more });

    return $more{token} ? $res->json->{token}
                        : $res->headers->set_cookie =~ s/;.*//sr;
}

my ($first, $second) = (log_in(), log_in());
my $token = log_in(token => 'true');

shows(sessions_begun => { cookie => 2, token => 1 });
shows(sessions_ended => { logout => 0, password => 0, expired => 0 });

# a repeated logout and an unknown session end nothing
is(api('', GET => '/logout/', undef, Cookie => $_)->code, 302, 'logged out')
    for ($first) x 2, 'sessionid=' . '0' x 43;
is(api('', DELETE => '/api/v1/session/', undef,
       Authorization => "Bearer $token")->code, 204,
   'logged out with the bearer token');

shows(sessions_ended => { logout => 2, password => 0, expired => 0 });

# u1 has the session of t/lib/Chat.pm and this one
is(api('', POST => '/api/v1/password/',
       { old_password => $Chat::Password, new_password => 'another one' },
       Cookie => $second)->code, 204, 'password changed');

shows(sessions_ended => { logout => 2, password => 1, expired => 0 });

# a failed login does not delete expired sessions
sql('UPDATE chat_session SET expires_at = UTC_TIMESTAMP() WHERE user_id IN'
    . ' (1, 2)');
api('', POST => '/api/v1/session/', { username => 'u1', password => 'wrong' });
is(api('', POST => '/api/v1/session/',
       { username => 'u1', password => 'another one' })->code, 200,
   'logged in again');

shows(sessions_begun => { cookie => 3, token => 1 });
shows(sessions_ended => { logout => 2, password => 1, expired => 1 });


=== batches, waiting queries and busy connections are counted
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_connections 1;
--- then
is(post('first')->code, 201, 'connected');

# A user has two queries at a time.  Sessions are cached now.
api($_, GET => '/api/v1/session/') for 'u2', 'u3';

shows(db_connections => 1);
shows(db_connections_busy => 0);
shows(db_connections_limit => 1);

$proxy->hold;
my $done = 0;
my $send = sub {
    request($_[0], POST => '/api/v1/message/',
            { recipient => 'u2', body => 'x' })->then(sub { $done++ });
};

$send->('u1');
settle();
$send->($_) for 'u1', ('u2', 'u3') x 2;

ok(wait_until { status()->{db_queries_waiting} == 5 }, 'five queries wait');
is(status()->{db_connections_busy}, 1, 'one query runs');

$proxy->pass;
ok(wait_until { $done == 6 }, 'answered');

shows(db_queries_waiting => 0);
shows(db_connections_busy => 0);

my $batch = status()->{queries}{'message.send'}{batch_size};
is($batch->{count}, 3, 'three packets');
is($batch->{sum}, 7, 'seven messages');
is_deeply($batch->{up_to}, { '1.0' => 2, '2.0' => 2, '4.0' => 2, '8.0' => 3,
                             '16.0' => 3, '32.0' => 3, '64.0' => 3 },
          'the last packet has five messages');


=== failed publishes are counted
--- change
s{(nchan_publisher;)}{$1 nchan_channel_id none; return 507;};
--- then
my $socket = web_socket('u2');
is(post('hello')->code, 201, 'stored');
ok(wait_until { status()->{publishes}{failed} }, 'counted');
is(status()->{publishes}{ok}, 0, 'none succeeded');


=== database failures are counted
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_connections 1;
--- then
is(post('first')->code, 201, 'stored');
shows(db_connects => { ok => 1, failed => 0 });

$proxy->cut;
shows(db_connections => 0);
shows(db_connections_lost => 1);
is(post('second')->code, 201, 'stored over a new connection');
shows(db_connects => { ok => 2, failed => 0 });

$proxy->swallow;
is(post('third')->code, 201, 'stored after a retry');
shows(db_retries => 1);

$proxy->refuse;
is(api('u1', GET => '/api/v1/message/')->code, 503, 'unreachable');
is(api('u1', GET => '/api/v1/message/')->code, 503, 'known to be unreachable');

my $status = status();
ok($status->{db_connects}{failed} >= 1, 'connects have failed')
    and ok($status->{db_failures}{given_up} >= 1, 'queries were given up')
    and ok($status->{db_failures}{rejected} >= 1, 'queries were rejected')
    or diag(explain($status));
--- no_error_log
[alert]


=== password operations are counted
--- workers: 1
--- then
my ($most, $done) = (0, 0);

request('', POST => '/api/v1/session/',
        { username => "u$_", password => 'wrong' })->then(sub { $done++ })
    for 1 .. 4;

wait_until {
    request('', GET => '/chat/status')->then(sub {
        my $n = $_[0]->json->{passwords_pending};
        $most = $n if $n > $most;
    });
    $done == 4;
};

ok($most >= 1 && $most <= 4, 'some') or diag($most);
shows(passwords_pending => 0);


=== a killed worker keeps its counters but not its sockets
--- then
my @sockets = web_sockets('u2', 12);
shows(sockets => scalar @sockets);

is(post($_)->code, 201, 'sent') for 1 .. 8;
shows(messages_sent => 8);
shows(records => 8);

my %before = %{ status()->{queries}{'message.send'}{seconds} };
my @before = worker_pids();

kill 'KILL', $before[0];
ok(wait_until { my @now = worker_pids();
                @now == @before && !grep { $_ == $before[0] } @now },
   'another worker starts');

ok(wait_until { grep { $_->{closed} } @sockets }, 'its sockets have ended');
settle();
shows(sockets => scalar grep { !$_->{closed} } @sockets);
shows(processes => 2);
shows(messages_sent => 8);
is_deeply(status()->{queries}{'message.send'}{seconds}, \%before,
          'times are kept');
--- error_log
[alert]
exited on signal 9
--- no_error_log
[emerg]


=== a reload keeps counters
--- then
my @before = worker_pids();

is(post($_)->code, 201, 'sent') for 1 .. 4;
shows(messages_sent => 4);

kill 'HUP', master_pid();
ok(wait_until { !grep { my $pid = $_; grep { $_ == $pid } @before }
                      worker_pids() },
   'the old workers have exited');

shows(processes => 2);
is(post('again')->code, 201, 'sent');
shows(messages_sent => 5);


=== sockets are counted
--- then
my @sockets = map { web_socket('u2') } 1 .. 5;
push @sockets, event_source('u2'), long_poll('u2');
shows(sockets => 7);

close_all(@sockets);
shows(sockets => 0);
shows_requests({ 'GET socket 499' => 7 }, 'with the status of nchan');


=== without chat_zone, metrics cover one worker, as their scope says
--- workers: 1
--- change
s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- then
is(post($_)->code, 201, 'sent') for 1 .. 3;

shows(messages_sent => 3);

my $status = status();
is($status->{scope}, 'this worker: no chat_zone', 'the scope is one worker');
is($status->{shared}, 0, 'shared memory is not used');
is($status->{processes}, 1, 'one process');
is($status->{cache_hits}{session}, 0, 'no hits');
is($status->{cache_misses}{session}, 3, 'all lookups missed');
like(api('', GET => '/chat/status?format=prometheus')->body,
     qr/^ngx_chat_shared 0$/m, 'also for Prometheus');


=== promtool accepts the Prometheus format, which has the same values
--- then
is(promtool(api('', GET => '/chat/status?format=prometheus')->body), '',
   'without requests');

post("message $_") for 1 .. 3;
api('u2', GET => '/api/v1/message/1/');
api('', POST => '/api/v1/session/', { username => 'u1', password => 'wrong' });
my $open = web_socket('u1');
shows(records => 3);
shows_requests({ 'POST message/ 201' => 3, 'GET message/ID/ 200' => 1,
                 'POST session/ 403' => 1 });

my $status = status();
my $res = api('', GET => '/chat/status?format=prometheus');
my $text = $res->body;

is($res->headers->content_type, 'text/plain; version=0.0.4; charset=utf-8',
   'type');
is(promtool($text), '', 'with requests');
isnt(promtool($text =~ s/^# HELP .*\n//r), '', 'promtool detects errors');

like($text, qr/^\Q$_\E$/m, $_) for
    'ngx_chat_messages_sent_total 3',
    'ngx_chat_records_total 3',
    'ngx_chat_logins_total{result="failed"} 1',
    'ngx_chat_sessions_begun_total{kind="cookie"} 0',
    'ngx_chat_sessions_ended_total{reason="expired"} 0',
    'ngx_chat_requests_total{endpoint="message/",method="POST",code="201"} 3',
    'ngx_chat_cache_hits_total{cache="message"} 1',
    'ngx_chat_processes 2',
    'ngx_chat_sockets 1',
    'ngx_chat_shared 1',
    'ngx_chat_db_connections_limit 8',
    'ngx_chat_send_duration_seconds_bucket{le="+Inf"} 3',
    'ngx_chat_send_duration_seconds_count 3',
    'ngx_chat_db_query_duration_seconds_count{query="message.send"} 3',
    'ngx_chat_db_batch_size_sum{query="message.send"} 3.0',
    'ngx_chat_db_batch_size_bucket{query="message.send",le="64.0"} 3';

my ($sum) = $text =~ /^ngx_chat_send_duration_seconds_sum (\S+)$/m;
ok($sum == $status->{send_seconds}{sum}, 'seconds') or diag($sum);

my @bounds = $text =~ /^ngx_chat_send_duration_seconds_bucket\{le="(.*)"\}/mg;
is("@bounds", '0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5'
              . ' 1.0 2.5 5.0 10.0 +Inf', 'bucket bounds');

# each family appears once, followed by its samples
my %seen;
$seen{$_}++ for $text =~ /^# TYPE (\S+)/mg;
is_deeply([ grep { $seen{$_} > 1 } keys %seen ], [],
          'each family appears once');


=== OpenMetrics differs in names of counter families and in the end only
--- then
post('hello');
shows(records => 1);
shows_requests({ 'POST message/ 201' => 1 });

my $plain = api('', GET => '/chat/status?format=prometheus')->body;
my $res = api('', GET => '/chat/status?format=openmetrics');

is($res->headers->content_type,
   'application/openmetrics-text; version=1.0.0; charset=utf-8', 'type');
is($res->body, $plain =~ s/^(# (?:HELP|TYPE) \S+?)_total /$1 /mgr . "# EOF\n",
   'text');


=== the format depends on the argument and on Accept
--- then
my $firefox = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
my $prometheus = 'application/openmetrics-text; version=1.0.0,'
                 . 'application/openmetrics-text; version=0.0.1;q=0.75,'
                 . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
my $older = 'text/plain;version=0.0.4;q=1,*/*;q=0.1';

for (['', 'application/json', 'json'],
     ['', '*/*', 'json'],
     ['', $firefox, 'json'],
     ['', $prometheus, 'openmetrics'],
     ['', $older, 'plain'],
     ['?format=json', $prometheus, 'json'],
     ['?format=prometheus', $firefox, 'plain'],
     ['?format=openmetrics', '*/*', 'openmetrics'])
{
    my ($query, $accept, $type) = @$_;
    my $res = api('', GET => "/chat/status$query", undef, Accept => $accept);

    is($res->code, 200, "$query $accept");
    like($res->headers->content_type, qr/\b$type\b/, $type);
    is($res->headers->header('Cache-Control'), 'no-store', 'not stored');
}

my $res = api('', GET => '/chat/status?format=xml');
is($res->code, 400, 'an unknown format');
is_deeply($res->json, { format => ['json, prometheus or openmetrics is '
                                   . 'required.'] }, 'the reason');

is(api('', HEAD => '/chat/status')->code, 200, 'HEAD');
is(api('', POST => '/chat/status')->code, 405, 'POST');


=== access is controlled by allow and deny
--- change
s/allow  127.0.0.1;//;
--- then
is(api('', GET => "/chat/status$_")->code, 403, "$_") for '', '/live', '/ready';


=== metrics have no name, text or token
--- then
post('the text of a message');
api('', POST => '/api/v1/session/',
    { username => 'somebody', password => 'some password' });
api('u1', GET => '/api/v1/message/?target=somebody');

for my $format (qw(json prometheus openmetrics)) {
    unlike(api('u1', GET => "/chat/status?format=$format")->body,
           qr/somebody|some password|the text|u1|u2/, $format);
}


=== live and ready return the state of the worker and the database
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
sub probe {
    my ($what) = @_;

    my $start = time;
    my $res = api('', GET => "/chat/status/$what");

    return ($res->code, time - $start, $res);
}

my ($code, $time, $res) = probe('live');
is($code, 200, 'live');
is($res->body, '{"status":"live"}', 'the body of live');

($code, $time, $res) = probe('ready');
is($code, 200, 'ready');
is($res->body, '{"status":"ready"}', 'the body of ready');

$proxy->refuse;

for (1 .. 3) {
    ($code, $time, $res) = probe('ready');
    is($code, 503, 'not ready without a database');
    ok($time < 0.5, 'at once');
    like($res->headers->header('Retry-After'), qr/^[1-9]/,
         'with the time to wait');
}

is((probe('live'))[0], 200, 'still live');

$proxy->pass;
ok(wait_until(sub { (probe('ready'))[0] == 200 }, 4), 'ready again');

$proxy->hold;
($code, $time) = probe('ready');
is($code, 503, 'not ready if the database is silent');
ok($time > 0.9 && $time < 2, 'after a second') or diag($time);
is((probe('live'))[0], 200, 'still live');

$proxy->pass;
is((probe('ready'))[0], 200, 'ready after a late response');

shows_requests({}, 'probes are not counted');


=== a probe whose client disconnects is removed from the queue
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
chat_db_connections 1;
chat_db_timeout 20s;
--- then
is(api('', GET => '/chat/status/ready')->code, 200, 'ready');
$proxy->hold;

for (1 .. 20) {
    my $client = IO::Socket::INET->new(PeerAddr => url('') =~ s{http://}{}r);
    print $client "GET /chat/status/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    settle(0.02);
    close $client;
}

shows(db_queries_waiting => 0);
settle(1.2);
$proxy->pass;
is(api('', GET => '/chat/status/ready')->code, 200, 'ready');


=== a database with another schema version is not ready
--- workers: 1
--- given
sql('UPDATE chat_schema SET version = version + 1');
--- then
is(api('', GET => '/chat/status/ready')->code, 503, 'not ready');
sql('UPDATE chat_schema SET version = version - 1');
ok(wait_until(sub { api('', GET => '/chat/status/ready')->code == 200 }, 4),
   'ready');


=== log variables are set, also after an error_page
--- undescribed: a limit without @chat_limited
--- http
log_format chat '$status $chat_user $chat_user_id $chat_message_id '
                '$chat_db_time';
limit_req_zone $chat_user_id zone=few:1m rate=1r/m;
limit_req_status 429;
--- server
access_log logs/chat.log chat;
location @too_many { return 429 'slowly'; }
--- api
limit_req zone=few burst=3 nodelay;
error_page 429 @too_many;
--- then
our $log = "$Test::Nginx::Util::ServRoot/logs/chat.log";

# unauthenticated requests, of which there may be several, come first
sub log_lines {
    my ($n) = @_;

    my @lines;
    wait_until {
        @lines = grep { !/^200 - - - -$/ } split /\n/, Chat::read_file($log);
        @lines >= $n;
    };

    return $lines[$n - 1];
}

ok(wait_until { -f $log && Chat::read_file($log) =~ /^200 - - - -\n/ },
   'an unauthenticated request');

my $id = post('hello')->json->{id};
like(log_lines(1), qr/^201 u1 1 $id 0\.\d\d\d$/, 'sent');

post('hello again');
$id++;
like(log_lines(2), qr/^201 u1 1 $id 0\.\d\d\d$/, 'sent');

api('u1', GET => "/api/v1/message/$id/");
is(log_lines(3), "200 u1 1 $id -", 'from the zone without a query');

is(post('x')->code, 201, 'the last allowed request');
like(log_lines(4), qr/^201 u1 1 \d+ 0\.\d\d\d$/, 'sent');

is(post('x')->code, 429, 'too many');
is(log_lines(5), '429 u1 1 - -', 'the user is logged');


=== $chat_message_id is the id of the message
--- http
log_format chat '$status $chat_message_id';
--- server
access_log logs/chat.log chat;
--- then
our $log = "$Test::Nginx::Util::ServRoot/logs/chat.log";

for (1, 2) {
    api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' },
        'Idempotency-Key' => 'key');
}

api('u1', GET => "/api/v1/$_")
    for 'message/1/', 'message/9/', 'user/2/', 'message/', 'session/';

# unauthenticated requests come first
my $lines = sub { Chat::read_file($log) =~ s/\A(?:200 -\n)+//r };

ok(wait_until { (() = $lines->() =~ /\n/g) == 7 }, 'logged');
is($lines->() =~ tr/\n/,/r, '201 1,200 1,200 1,404 9,200 -,200 -,200 -,',
   'all requests have the right id');


=== $chat_db_time is the time of a slow query
--- workers: 1
--- given
$proxy->pass;
--- change
s{unix:[^ ]+}{unix:$socket};
--- http
log_format chat '$chat_db_time $request_time';
--- server
access_log logs/chat.log chat;
--- then
is(api('u1', GET => '/api/v1/message/')->code, 200, 'connected');

$proxy->hold;
my $code;
request('u1', GET => '/api/v1/message/')->then(sub { $code = $_[0]->code });
settle(0.5);
$proxy->pass;
ok(wait_until { defined $code }, 'answered');

my $log = "$Test::Nginx::Util::ServRoot/logs/chat.log";
ok(wait_until { Chat::read_file($log) =~ /^(?:.+\n){3}/ }, 'logged');
my ($db, $all) = Chat::read_file($log) =~ /(\S+) (\S+)\n\z/;

ok($db > 0.3 && $db <= $all + 0.02, 'most of the time') or diag("$db $all");
