#
# Copyright (C) ngx_chat contributors
#

package Chat;

# Common parts of t/*.t: tables with four users, the configuration of
# nginx.conf.example, additional sections for Test::Nginx, and a client for
# scenarios with several steps.
#
# A block starts its own nginx with these tables: users u1 to u4 with the ids
# 1 to 4, the password "correct horse", and one session each.  A block may have
# these sections besides those of Test::Nginx:
#
#   given     Perl, run before nginx starts: message(...), sql(...)
#   http, server, api
#             more directives for http {}, server {}, location /api/v1/
#   change    Perl, run with all of the configuration in $_
#   workers   instead of 2
#   as        user whose session is sent as a cookie
#   type      Content-Type: json, form, multipart, or written out
#   json      the expected body, compared by value; "<time>" matches any
#             timestamp and "<text>" any non-empty string
#   bodies    the texts of the messages in {"results": [...]}, in order
#   then      Perl, run after the response, while nginx runs
#   undescribed
#             the reason why responses differ from docs/openapi.yaml, with which
#             all other responses are compared
#
# A block has no_error_log "[alert]" by default.

use strict;
use warnings;

# another encoder, if installed, writes 1e9 as 1000000000.0
BEGIN { $ENV{MOJO_NO_JSON_XS} = 1 }

use Chat::OpenAPI;
use Cwd qw(abs_path);
use DBI;
use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use File::Basename qw(dirname);
use JSON::PP;
use Mojo::IOLoop;
use Mojo::UserAgent;
use Test::More ();
use Test::Nginx::Socket ();
use Test::Nginx::Util;
use Time::HiRes ();

our @EXPORT = qw(
    sql connect_db message token add_session set_password
    api request web_socket event_source long_poll wait_until promptly settle
    texts close_all multipart master_pid worker_pids stop_worker error_log url
    answered
);


# run_perl BLOCK, SECTION: runs it without access to the variables below; "no
# strict" gives access to "our" variables of the test

sub run_perl {
    my ($block, $section) = @_;

    eval 'package main; use utf8; no strict;'
         . "\n# line 1 \"" . $block->name . ", $section\"\n"
         . $block->$section . "\n; 1"
        or die $@;
}


our $Password = 'correct horse';

# its yescrypt hash with the default cost, computed once
my $Hash = '$y$j9T$fJn1I5lsjBzZkyWHNPHbX1$'
           . 'oiq9nB3CiNJVNWbK.rwHWzBzH3yzlnKR3.cq.PBI2o6';

my $Top = abs_path(dirname(__FILE__) . '/../..');
my $Port = $ENV{TEST_NGINX_PORT} || 1984;

my %Types = (
    json      => 'application/json',
    form      => 'application/x-www-form-urlencoded',
    multipart => 'multipart/form-data; boundary=b0undary',
);


# --- tables ----------------------------------------------------------------

sub need {
    my ($name) = @_;

    return $ENV{$name} // die "no $name in the environment: run ./dev test\n";
}


# connect_db: returns a new connection as the owner of the tables

sub connect_db {
    my $db = DBI->connect(
        'DBI:MariaDB:database=' . need('TEST_NGINX_CHAT_DB')
        . ';mariadb_read_default_file=' . need('CHAT_TEST_CNF')
        . ';mariadb_read_default_group=client',
        undef, undef,
        {
            RaiseError => 1,
            PrintError => 0,

            # a statement that waits for nginx fails after this time
            mariadb_init_command =>
                "SET time_zone = '+00:00', lock_wait_timeout = 10,"
                . ' innodb_lock_wait_timeout = 10',
        }
    );

    # like the module's connections
    $db->do('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');

    return $db;
}

my ($Db, $Response, @Answers);

# sql STATEMENT, VALUES: returns all fields of all rows, the first one in scalar
# context

sub sql {
    my ($statement, @values) = @_;

    # the server may have been restarted
    $Db = connect_db() if !$Db->ping;

    my $sth = $Db->prepare($statement);
    $sth->execute(@values);

    return unless $sth->{NUM_OF_FIELDS};

    my @fields = map { @$_ } @{ $sth->fetchall_arrayref };

    return wantarray ? @fields : $fields[0];
}


# The tables come from schema.sql, never from the module under test.  The
# privileges of the module's account refer to names and outlive the tables.

sub create_tables {
    my $name = need('TEST_NGINX_CHAT_DB');

    $Db = connect_db();
    sql("DROP DATABASE $name");
    sql("CREATE DATABASE $name");
    sql("USE $name");

    my $program = $ENV{CHAT_DB} // 'mariadb';
    open my $client, '|-', $program,
         '--defaults-file=' . need('CHAT_TEST_CNF'), $name
        or die "$program: $!\n";
    print $client read_file("$Top/sql/schema.sql");
    close $client
        or die "cannot load schema.sql\n";
}


sub read_file {
    my ($path) = @_;

    open my $file, '<', $path or die "$path: $!\n";
    local $/;
    return readline $file;
}


sub reset_tables {
    $Db = connect_db() if !$Db->ping;
    $Db->begin_work;
    sql("DELETE FROM $_")
        for qw(chat_writing chat_session chat_conversation
               chat_message chat_file chat_user chat_audit);

    for my $id (1 .. 4) {
        sql('INSERT INTO chat_user (id, username, password) VALUES (?, ?, ?)',
            $id, "u$id", $Hash);
        add_session("u$id");
    }

    $Db->commit;

    # tests rely on the ids
    sql("ALTER TABLE $_ AUTO_INCREMENT = 1") for qw(chat_message chat_user);
}


# token NAME: returns the token of NAME's session, with 43 characters

sub token {
    my ($name) = @_;

    return $name . '-' x (43 - length $name);
}


# add_session NAME, [token => ...,] [lasts => SECONDS]

sub add_session {
    my ($name, %option) = @_;

    sql('INSERT INTO chat_session (token_hash, user_id, created_at, expires_at)
         SELECT UNHEX(?), id, NOW(), NOW() + INTERVAL ? SECOND
         FROM chat_user WHERE username = ?',
        sha256_hex($option{token} // token($name)), $option{lasts} // 86400,
        $name);
}


# set_password NAME, HASH

sub set_password {
    my ($name, $hash) = @_;

    sql('UPDATE chat_user SET password = ? WHERE username = ?', $hash, $name);
}


# message FROM => TO, BODY: stores a message and returns its id.  All have the
# same time, since ids determine the order.

sub message {
    my ($from, $to, $body) = @_;

    my ($sender) = sql('SELECT id FROM chat_user WHERE username = ?', $from);
    my ($recipient) = sql('SELECT id FROM chat_user WHERE username = ?', $to);

    sql("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
         VALUES (?, ?, '2025-12-30 07:03:02.325660', ?)",
        $sender, $recipient, $body);

    my $id = sql('SELECT LAST_INSERT_ID()');

    sql('INSERT INTO chat_conversation
                (lo_id, hi_id, message_count, last_message_id,
                 lo_unread, hi_unread)
         VALUES (LEAST(?, ?), GREATEST(?, ?), 1, ?, ?, ?)
         ON DUPLICATE KEY UPDATE
                message_count = message_count + 1,
                last_message_id = VALUES(last_message_id),
                lo_unread = lo_unread + VALUES(lo_unread),
                hi_unread = hi_unread + VALUES(hi_unread)',
        $sender, $recipient, $sender, $recipient, $id,
        $recipient < $sender ? 1 : 0, $recipient > $sender ? 1 : 0);

    return $id;
}


# --- configuration ---------------------------------------------------------

# example: returns the parts of nginx.conf.example for http {} and server {},
# with the paths of this machine.  A missing line is an error.

sub example {
    my $text = read_file("$Top/nginx.conf.example");

    my ($http) = $text =~ /^( {4}# chat: the database.*?)^ {4}server \{/ms;
    my ($server) = $text =~ /^( {8}# chat: response of the.*?)^ {4}\}$/ms;
    die "nginx.conf.example is not as expected\n"
        unless defined $http && defined $server;

    $http =~ s{unix:/run/mysqld/mysqld.sock}
              {'unix:' . need('TEST_NGINX_CHAT_SOCKET')}e
        && $http =~ s{/etc/nginx/chat.password}
                     {need('TEST_NGINX_CHAT_PASSWORD_FILE')}e
        && $http =~ s{database=chat;}
                     {'database=' . need('TEST_NGINX_CHAT_DB') . ';'}e
        or die "nginx.conf.example has another chat_db\n";

    return ($http, $server);
}


sub configure {
    my ($block) = @_;

    my ($http, $server) = example();

    $http .= $block->http if defined $block->http;

    $server = "root $Top/html;\n"
              . "include /etc/nginx/mime.types;\n"
              . "location = /up { default_type text/plain; return 200 up; }\n"
              . ($block->server // '') . $server;

    if (defined $block->api) {
        my $more = $block->api;
        $server =~ s{(location /api/v1/ \{\n)}{$1$more};
    }

    if (defined $block->change) {
        # as one text, so that a change does not depend on the part
        local $_ = "$http\0$server";
        run_perl($block, 'change');
        ($http, $server) = split /\0/;
    }

    $block->set_value(http_config => $http) unless defined $block->http_config;
    $block->set_value(config => $server) unless defined $block->config;
}


# --- blocks ----------------------------------------------------------------

# before each block

sub prepare {
    my ($block) = @_;

    reset_tables();
    run_perl($block, 'given') if defined $block->given;

    workers($block->workers // 2);
    configure($block);

    my $main = $block->main_config // '';
    $main .= "worker_shutdown_timeout 3s;\n"
        unless $main =~ /^worker_shutdown_timeout/m;
    $main .= "env LSAN_OPTIONS;\nenv UBSAN_OPTIONS;\n" if $ENV{UBSAN_OPTIONS};
    $block->set_value(main_config => $main);
    $block->set_value(no_error_log => "[alert]")
        unless defined $block->no_error_log;

    return if defined $block->must_die;

    if (!defined $block->request && !defined $block->raw_request
        && !defined $block->pipelined_requests)
    {
        $block->set_value(request => 'GET /up');
        $block->set_value(response_body => 'up');
    }

    my $headers = $block->more_headers // '';
    $headers .= "\n" if $headers =~ /[^\n]\z/;

    $headers .= 'Cookie: sessionid=' . token($block->as) . "\n"
        if defined $block->as;
    $headers .= 'Content-Type: ' . ($Types{$block->type} // $block->type) . "\n"
        if defined $block->type;

    $block->set_value(more_headers => $headers);

    $block->set_value(response_headers => 'Content-Type: application/json')
        if defined $block->json && !defined $block->response_headers
           && !defined $block->response_headers_like;
}


# after each response

sub check {
    my ($block, $body, $n) = @_;

    my $name = $block->name;

    if (my ($method, $target) = request_line($block, $n)) {
        answered($method, $target, $Response->code,
                 [$Response->headers->flatten], $body);
    }

    if (defined $block->json) {
        my $got = eval { decode_json($body) };
        my $expected = JSON::PP->new->utf8->allow_nonref
                           ->decode($block->json);
        fill_in($got, $expected);
        Test::More::is_deeply($got, $expected, "$name - json")
            or Test::More::diag("body: $body");
    }

    if (defined $block->bodies) {
        my $results = eval { decode_json($body)->{results} };
        Test::More::is(join(' ', texts($results)), $block->bodies,
                       "$name - bodies")
            or Test::More::diag("body: $body");
    }

    run_perl($block, 'then') if defined $block->then;

    hold_answers($block);
}


# answered METHOD, TARGET, CODE, [NAME => VALUE, ...], BODY: records a response,
# which is checked after the block, since that takes time

sub answered {
    push @Answers, [@_];
}


sub hold_answers {
    my ($block) = @_;

    my (%known, @faults);

    for my $answer (splice @Answers) {
        my ($method, $target, $code, $headers, $body) = @$answer;

        next if $known{ join "\0", $method, $target, $code, @$headers, $body }++;

        push @faults, map { "$method $target -> $code: $_" }
                          Chat::OpenAPI::faults(@$answer);
    }

    return if defined $block->undescribed;

    Test::More::is(join("\n", @faults), '',
                   $block->name . ' - answers as docs/openapi.yaml has them');
}


# the response whose body is checked; Test::Nginx passes the body only

{
    no warnings 'redefine';

    my $parse = \&Test::Nginx::Socket::parse_response;

    *Test::Nginx::Socket::parse_response = sub ($$$) {
        my @parsed = $parse->(@_);

        $Response = $parsed[0];

        return @parsed;
    };

    # Test::Nginx would run ps(1) several times for each block
    *Test::Nginx::Util::is_defunct = sub {
        return (eval { read_file("/proc/$_[0]/stat") } // ') X') =~ /\) [ZX] /;
    };
}


# request_line BLOCK, N: returns method and target of its request N

sub request_line {
    my ($block, $n) = @_;

    my $requests = Test::Nginx::Socket::get_req_from_block($block);
    my $bytes = join '', map { $_->{value} } map { @$_ } @$requests;
    my @lines = $bytes =~ m{([A-Z]+) (\S+) HTTP/1\.[01]\r$}mg;

    return @lines[2 * $n, 2 * $n + 1];
}


# fill_in GOT, EXPECTED: replaces the data that placeholders match

sub fill_in {
    my ($got, undef) = @_;

    if (ref $_[1] eq 'HASH' && ref $got eq 'HASH') {
        fill_in($got->{$_}, $_[1]{$_}) for keys %{ $_[1] };

    } elsif (ref $_[1] eq 'ARRAY' && ref $got eq 'ARRAY') {
        fill_in($got->[$_], $_[1][$_]) for 0 .. $#{ $_[1] };

    } elsif (defined $_[1] && defined $got && !ref $got) {
        $_[1] = $got
            if $_[1] eq '<time>'
               && $got =~ /\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\z/
               || $_[1] eq '<text>' && length $got;
    }
}


# texts RESULTS: returns the bodies of the messages

sub texts {
    my ($results) = @_;

    return map { $_->{body} } @{ $results // [] };
}


# multipart NAME => VALUE, ...: returns a body for the type "multipart"

sub multipart {
    my (@fields) = @_;

    my $body = '';

    while (my ($name, $value) = splice @fields, 0, 2) {
        $body .= "--b0undary\r\n"
                 . "Content-Disposition: form-data; name=\"$name\"\r\n\r\n"
                 . "$value\r\n";
    }

    return "$body--b0undary--";
}


# --- a client --------------------------------------------------------------

# Each request has a connection, so that all workers get some.  The client sends
# only the cookies of the test; otherwise '' would be the last user to log in.

my $Agent = Mojo::UserAgent->new(max_connections => 0, max_redirects => 0,
                                 connect_timeout => 5, request_timeout => 150,
                                 inactivity_timeout => 150);
$Agent->cookie_jar->ignore(sub { 1 });

# Responses to all agents are checked, including those of the tests.

{
    no warnings 'redefine';

    my $build = \&Mojo::UserAgent::Transactor::tx;

    *Mojo::UserAgent::Transactor::tx = sub {
        my $tx = $build->(@_);

        return $tx->on(finish => \&finished) && $tx;
    };
}


sub finished {
    my ($tx) = @_;

    my ($req, $res) = ($tx->req, $tx->res);

    return if !$res->code || ($res->error && !$res->error->{code});

    my @headers = map {
        my $name = $_;
        map { ($name, $_) } @{ $res->headers->every_header($name) };
    } @{ $res->headers->names };

    answered($req->method, $req->url->path_query, $res->code, \@headers,
             $res->body);
}


# the address of requests, if not the nginx of Test::Nginx
our $Address;

sub url {
    my ($path) = @_;

    return 'http://' . ($Address // "127.0.0.1:$Port") . $path;
}


# headers USER, HEADERS: adds the session of USER, unless USER is ''

sub headers {
    my ($who, %headers) = @_;

    $headers{Cookie} = 'sessionid=' . token($who) if length $who;

    return \%headers;
}


# request USER, METHOD => PATH, [{ JSON }, [HEADER => VALUE, ...]]: returns a
# promise of the response

sub request {
    my ($who, $method, $path, $json, %headers) = @_;

    return $Agent->start_p(
        $Agent->build_tx($method => url($path), headers($who, %headers),
                         defined $json ? (json => $json) : ())
    )->then(sub { $_[0]->res });
}


# api ...: the same, returns the response (code, json, body, headers)

sub api {
    my ($who, $method, $path, $json, %headers) = @_;

    return $Agent->start(
        $Agent->build_tx($method => url($path), headers($who, %headers),
                         defined $json ? (json => $json) : ())
    )->res;
}


# wait_until { CONDITION } or wait_until(sub { CONDITION }, SECONDS): returns
# whether it becomes true in time; the default suffices for a busy machine

sub wait_until(&;$) {
    my ($condition, $seconds) = @_;

    my $end = Time::HiRes::time() + ($seconds // 60);

    until ($condition->()) {
        return 0 if Time::HiRes::time() > $end;

        go_on(0.01);
    }

    return 1;
}


# promptly { STEPS } SECONDS: repeats STEPS until they take less than SECONDS,
# for a result that is only valid for a short time; returns the last result

sub promptly(&$) {
    my ($steps, $seconds) = @_;

    my $result;

    for (1 .. 20) {
        my $begin = Time::HiRes::time();

        $result = $steps->();
        last if Time::HiRes::time() - $begin < $seconds;
    }

    return $result;
}


# settle [SECONDS]: waits, for effects that are not expected

sub settle {
    my ($seconds) = @_;

    go_on($seconds // 0.3);
}


sub go_on {
    my ($seconds) = @_;

    Mojo::IOLoop->timer($seconds => sub { Mojo::IOLoop->stop });
    Mojo::IOLoop->start;
}


# web_socket USER, [path => ..., headers => { ... }]: returns a hash with "code"
# of the handshake, "frames" so far, and "closed" at its end

sub web_socket {
    my ($who, %option) = @_;

    my $socket = { frames => [] };

    # each socket has an agent, which ends with it
    my $agent = $socket->{agent} =
        Mojo::UserAgent->new(inactivity_timeout => 0, connect_timeout => 5);

    $agent->websocket(
        url($option{path} // '/ws') => headers($who, %{ $option{headers} // {} })
        => sub {
            my (undef, $tx) = @_;

            $socket->{code} = $tx->res->code // 0;
            return unless $tx->is_websocket;

            $socket->{tx} = $tx;
            $tx->on(text => sub { push @{ $socket->{frames} }, $_[1] });
            $tx->on(finish => sub { $socket->{closed} = 1 });
        }
    );

    wait_until { defined $socket->{code} };

    return $socket;
}


# stream USER, HEADERS: sends GET /ws, whose response may never end; returns a
# hash with "code", "text" so far, and "closed" at its end

sub stream {
    my ($who, %headers) = @_;

    my $stream = { text => '' };
    my $agent = $stream->{agent} =
        Mojo::UserAgent->new(inactivity_timeout => 0, connect_timeout => 5,
                             max_connections => 0);
    my $path = delete $headers{path} // '/ws';

    my $tx = $agent->build_tx(GET => url($path), headers($who, %headers));

    $tx->res->content->on(body => sub {
        my ($content) = @_;

        $stream->{code} = $tx->res->code;

        # a stream without a length ends with its connection
        $content->relaxed(1) unless defined $content->headers->content_length;
    });

    $tx->res->content->unsubscribe('read')->on(read => sub {
        $stream->{text} .= $_[1];
    });

    $agent->start($tx => sub {
        my (undef, $done) = @_;

        $stream->{code} //= $done->res->code // 0;
        $stream->{closed} = 1;
    });

    return $stream;
}


# close_all STREAMS AND SOCKETS: disconnects their clients

sub close_all {
    delete $_->{agent} for @_;
    delete $_->{tx} for @_;
}


# event_source USER, HEADERS: waits until it is open or rejected

sub event_source {
    my ($who, %headers) = @_;

    my $stream = stream($who, Accept => 'text/event-stream', %headers);
    wait_until { defined $stream->{code} };

    return $stream;
}


# long_poll USER, HEADERS: returns at once; the response comes with a message

sub long_poll {
    my ($who, %headers) = @_;

    my $stream = stream($who, %headers);

    # nchan sends no data before a message, so wait until it has the request
    settle();

    return $stream;
}


# --- nginx -----------------------------------------------------------------

sub master_pid {
    return get_pid_from_pidfile('master_pid');
}


sub worker_pids {
    my $master = master_pid();

    return sort { $a <=> $b }
                split ' ', read_file("/proc/$master/task/$master/children");
}


# stop_worker PID: returns when it has stopped.  Before that, a new connection
# may wake up only this worker and wait for it.

sub stop_worker {
    my ($pid) = @_;

    kill STOP => $pid;
    wait_until { read_file("/proc/$pid/stat") =~ /\) T / }
        or die "process $pid does not stop\n";
}


sub error_log {
    return read_file("$ServRoot/logs/error.log");
}


# --- beginning -------------------------------------------------------------

# more time on a busy machine
timeout(10);

no_root_location();
no_long_string();
master_on();
log_level('info');
worker_connections(1024);

# loopback only
$ENV{TEST_NGINX_STREAM_PORT} //= $Port + 1;
server_port_for_client($Port);
server_port("127.0.0.1:$Port");

create_tables();
add_block_preprocessor(\&prepare);
Test::Nginx::Socket::add_response_body_check(\&check);


1;
