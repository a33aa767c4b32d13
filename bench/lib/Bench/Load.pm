#
# Copyright (C) ngx_chat contributors
#

package Bench::Load;

# Load generators: wrk, and chatload and sqlload of this directory.

use strict;
use warnings;

use Bench::Database;
use Bench::Process;
use Bench::Site;
use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use List::Util qw(shuffle);
use Time::HiRes qw(sleep);

our @EXPORT = qw(by_id chatload chatload_args checked forget inboxes
                 insert listening pages requests sends sqlload statement
                 typing wrk wrk_one yard_sql);

our $seconds = 4;           # of each measurement

my $late = 2;               # after this time, s, a notification is missing
my $socket = $ENV{BENCH_SOCKET};


# requests LINES: writes the requests in random order to a file for wrk

sub requests {
    my @lines = map { join("\t", map { $_ // '' } @$_[0 .. 3]) . "\n" } @_;
    my $file = "$dir/tmp/requests." . substr sha256_hex(@lines), 0, 16;

    write_file($file, shuffle(@lines));

    return $file;
}


sub sends {
    return requests(map {
        my $i = $_;
        map { [ POST => '/api/v1/message/', token($i),
                "{\"recipient\":\"user$_\",\"body\":\"" . 'x' x 64 . '"}' ] }
            grep { $_ != $i } 1 .. $PEOPLE;
    } 1 .. $PEOPLE);
}


sub typing {
    return requests(map {
        my $i = $_;
        map { [ POST => "/api/v1/conversation/user$_/typing/", token($i) ] }
            grep { $_ != $i } 1 .. $PEOPLE;
    } 1 .. $PEOPLE);
}


# by_id SITE: requests of each sender for own messages, each once before they
# repeat; by then the zone has evicted them

sub by_id {
    my $site = shift;
    start($site);

    my $rows = $site{$site}{by_id} //= sql($site{$site}{database}, "
        SELECT id, sender_id FROM chat_message
        WHERE sender_id <= $PEOPLE AND id <= $database{
            $site{$site}{database}}{messages}
        ORDER BY RAND(1) LIMIT $MESSAGES");

    return requests(map { [ GET => "/api/v1/message/$_->[0]/",
                            token($_->[1]) ] } @$rows);
}


sub pages {
    return requests(map {
        my $i = $_;
        map { [ GET => "/api/v1/message/?target=user$_", token($i) ] }
            26 .. 50;
    } 1 .. 25);
}


sub inboxes {
    return requests(map { [ GET => '/api/v1/conversation/', token($_) ] }
                        1 .. $PEOPLE);
}


sub wrk {
    my ($site, $connections, $file) = @_;
    start($site);

    return wrk_output('-c', $connections, address($site), '--', $file);
}


# wrk_one: repeats one request on 32 connections

sub wrk_one {
    my ($site, $path) = @_;
    start($site);

    return wrk_output('-c', 32, '-H', 'Cookie: sessionid=' . token(1),
                      address($site) . $path);
}


sub wrk_output {
    my $out = output('wrk', '-t', 1, '-d', $seconds, '-s',
                     "$top/bench/wrk.lua", @_);
    my ($line) = $out =~ /^(\{"rate.*\})$/m or die "wrk: $out\n";

    return decode($line);
}


# insert: a one-row INSERT into the table of messages

sub insert {
    return "INSERT INTO chat_message (sender_id, recipient_id, created_at,"
           . " client_id, body) VALUES ({1-$PEOPLE}, {1-$PEOPLE},"
           . " UTC_TIMESTAMP(6), '{100000000000000000-999999999999999999}',"
           . " '" . 'x' x 64 . "')";
}


sub sqlload {
    my ($database, $connections, $seconds, $sql) = @_;
    prepare_database($database) if !$database{$database}{ready}++;

    return decode(output("$dir/sqlload", '-S', $socket, '-u', 'chat', '-p',
                         "$dir/chat.password", '-D', "bench_$database", '-c',
                         $connections, '-d', $seconds, $sql));
}


sub yard_sql {
    my ($database, $connections, $sql) = @_;
    return sub { sqlload($database, $connections, $seconds, $sql) };
}


# statement SITE, USER, PATH, FROM => TO ...: returns the statements of the
# module for this request, from the server's log, with numbers replaced

sub statement {
    my ($site, $person, $path, @replace) = @_;
    my $database = $site{$site}{database};
    my $sql = '';

    # forget() may request this message last
    for (1 .. 5) {

        # adds the session and the names to the zone
        get($site, $person, '/api/v1/message/?target=user31');
        get($site, $person, '/api/v1/session/');
        forget($site);

        sql($database, "TRUNCATE mysql.general_log");
        sql($database, "SET GLOBAL log_output = 'TABLE'");
        sql($database, "SET GLOBAL general_log = 1");
        get($site, $person, $path);
        sql($database, "SET GLOBAL general_log = 0");

        my $rows = sql($database, "SELECT argument FROM mysql.general_log
                                   WHERE command_type = 'Query'
                                   AND user_host LIKE 'chat[%'
                                   ORDER BY event_time");
        $sql = join ';', map { $_->[0] } @$rows;
        last if $sql ne '';
    }

    die "no statement seen for $path\n" if $sql eq '';

    while (my ($from, $to) = splice @replace, 0, 2) {
        $sql =~ s/\b$from\b/$to/g;
    }

    return $sql;
}


# forget SITE: reads other messages until the zone has evicted the earlier ones

sub forget {
    my $site = shift;
    return if $site{$site}{zone} eq '32m';
    wrk($site, 32, by_id($site));
}


sub chatload_args {
    my ($site, @args) = @_;
    start($site);

    return "$dir/chatload", '-p', $site{$site}{port}, '-s',
           "$dir/sessions.$site{$site}{database}", @args;
}


sub chatload {
    return checked(decode(output(chatload_args(@_))));
}


# checked REPORT: returns the report of chatload

sub checked {
    my $r = shift;
    die "chatload: $r->{errors} errors, $r->{lost} lost\n"
        if $r->{errors} || $r->{lost};
    return $r;
}


# listening CODE, SITE, EACH, URI: runs code that sends messages with wrk while
# each user has EACH sockets.  Adds to its result: {stored}, the messages in the
# database, {notifications}, of which each socket of both users should have
# received one, and {missing}, those that have not arrived after $late seconds.

sub listening {
    my ($run, $site, $each, $uri) = @_;
    $site //= 'usual';
    $each //= 1;
    $uri //= '/ws';

    my $sockets = $each * $PEOPLE;
    my @load = chatload_args($site, '-R', '-n', $sockets, '-u', $uri, '-w',
                             $seconds + 60);
    my $database = $site{$site}{database};
    my $last = sql($database, 'SELECT COALESCE(MAX(id), 0)
                               FROM chat_message')->[0][0];

    my ($pid, $out) = spawn(@load);
    my $ready = <$out>;
    my $result = $run->();

    sleep $late;
    kill TERM => $pid;
    my $report = checked(decode(do { local $/; <$out> }));
    ended($pid);

    # more than wrk has counted: it disconnects before the last responses
    my $stored = sql($database, "SELECT COUNT(*) FROM chat_message
                                 WHERE id > $last")->[0][0];

    die "only $stored of $result->{count} acknowledged messages are stored\n"
        if $stored < $result->{count} - $result->{errors};

    warn "$report->{closed_by_server} of $sockets sockets were closed\n"
        if $report->{closed_by_server};

    return { %$result, stored => $stored,
             notifications => 2 * $each * $stored,
             missing => 2 * $each * $stored - $report->{notified} };
}


1;
