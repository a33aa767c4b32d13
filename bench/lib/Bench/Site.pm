#
# Copyright (C) ngx_chat contributors
#

package Bench::Site;

# The nginx instances of the benchmarks.

use strict;
use warnings;

use Bench::Database;
use Bench::Process;
use Exporter qw(import);
use HTTP::Tiny;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

our @EXPORT = qw(%site address configuration connect_to edit get memory
                 message_of plain remove send_one start stop);

# "cold" has a zone that is too small for the requested messages, "grown" a
# large database, "many" also a zone with room for the sessions of its users,
# and "four" four workers instead of two.

our %site = (
    usual => { database => 'small', zone => '32m' },
    cold  => { database => 'small', zone => '2m' },
    grown => { database => 'large', zone => '2m' },
    many  => { database => 'large', zone => '32m' },
    four  => { database => 'small', zone => '32m', workers => 4 },
);

my $http = HTTP::Tiny->new(timeout => 30);


# configuration SITE, PORT: derived from the nginx.conf that "./dev" has written

sub configuration {
    my ($site, $port) = @_;
    my $s = $site{$site};
    my $conf = read_file("$dir/nginx.conf");
    my $workers = $s->{workers} // 2;
    my $returns = join '', map {
        "location = /return/$_ { default_type application/json;"
        . ' return 200 "' . 'x' x $_ . "\"; }\n";
    } sort keys %{ $s->{returns} };

    for ([ qr/listen .*;/, "listen 127.0.0.1:$port;" ],
         [ qr/database=\w+;/, "database=bench_$s->{database};" ],
         [ qr/chat_zone .*;/, "chat_zone chat $s->{zone};" ],
         [ qr/worker_processes .*;/, "worker_processes $workers;" ],
         [ qr/worker_connections .*;/, 'worker_connections 16384;' ],
         [ qr/error_log .*;/, "error_log $dir/error-$site.log warn;\n"
                              . "worker_rlimit_nofile 65536;" ],
         [ qr/pid .*;/, "pid $dir/nginx-$site.pid;" ],
         [ qr/access_log .*;/,
           "access_log $dir/access.log combined buffer=64k flush=1s;" ],
         [ qr/location = \/ws \{/,
           "${returns}location = /return/none { return 204; }
            location = /bare {
                nchan_subscriber                websocket;
                nchan_channel_group             chat;
                nchan_channel_id                \$cookie_sessionid;
                nchan_subscriber_first_message  newest;
                nchan_websocket_ping_interval   30s;
            }
            location = /ws {" ])
    {
        my ($from, $to) = @$_;
        $conf =~ s/$from/$to/ or die "nginx.conf has no $from\n";
    }

    $conf =~ s{load_module \S*/ngx_chat_module\.so;}
              {load_module $ENV{CHAT_MODULE};} if $ENV{CHAT_MODULE};

    return $conf;
}


sub start {
    my $site = shift;
    my $s = $site{$site};
    return if $s->{pid};

    prepare_database($s->{database})
        if !$database{ $s->{database} }{ready}++;

    $s->{port} = free_port();
    write_file("$dir/nginx-$site.conf", configuration($site, $s->{port}));
    output('nginx', '-p', "$dir/", '-c', "$dir/nginx-$site.conf");

    for (1 .. 100) {
        last if $s->{pid} = -s "$dir/nginx-$site.pid"
                            ? 0 + read_file("$dir/nginx-$site.pid") : 0;
        sleep 0.1;
    }

    die "nginx does not start\n" if !$s->{pid};
}


sub stop {
    my $s = $site{ $_[0] };
    my $pid = delete $s->{pid} or return;

    kill TERM => $pid;
    for (1 .. 200) {
        return if !kill 0 => $pid;
        sleep 0.1;
    }

    kill KILL => $pid;
}


# memory SITE: PSS of all workers, KiB

sub memory {
    my $master = $site{ $_[0] }{pid};
    my $kib = 0;

    for my $pid (split ' ', read_file("/proc/$master/task/$master/children")) {
        $kib += $1 if read_file("/proc/$pid/smaps_rollup") =~ /^Pss: +(\d+)/m;
    }

    return $kib;
}


sub connect_to {
    my $site = shift;
    start($site);
    return IO::Socket::INET->new(
        PeerAddr => "127.0.0.1:$site{$site}{port}") || die "connect: $!\n";
}


sub address { return "http://127.0.0.1:$site{ $_[0] }{port}" }


sub get {
    my ($site, $person, $path) = @_;
    start($site);

    my $r = $http->get(address($site) . $path,
        { headers => { Cookie => 'sessionid=' . token($person) } });
    die "$path: $r->{status} $r->{content}\n" if $r->{status} != 200;

    return $r->{content};
}


sub send_one {
    my ($from, $to) = @_;
    start('usual');

    my $r = $http->post(address('usual') . '/api/v1/message/',
        { headers => { 'Content-Type' => 'application/json',
                       Cookie => 'sessionid=' . token($from) },
          content => "{\"recipient\":\"user$to\",\"body\":\"" . 'x' x 64
                     . '"}' });
    die "send: $r->{status} $r->{content}\n" if $r->{status} != 201;

    return decode($r->{content})->{id};
}


sub edit {
    my ($id, $person) = @_;
    change('PATCH', $id, $person, '{"body":"' . 'y' x 64 . '"}', 200);
}


sub remove {
    my ($id, $person) = @_;
    change('DELETE', $id, $person, '', 204);
}


sub change {
    my ($method, $id, $person, $content, $status) = @_;

    my $r = $http->request($method, address('usual') . "/api/v1/message/$id/",
        { headers => { 'Content-Type' => 'application/json',
                       Cookie => 'sessionid=' . token($person) },
          content => $content });
    die "$method: $r->{status} $r->{content}\n" if $r->{status} != $status;
}


sub message_of {
    my ($site, $from, $to) = @_;
    start($site);

    return $site{$site}{"message $from $to"} //= sql($site{$site}{database},
        "SELECT MIN(id) FROM chat_message
         WHERE sender_id = $from AND recipient_id = $to")->[0][0];
}


# plain SITE, SIZE: returns the path of a "return 200" with a body of this size

sub plain {
    my ($site, $size) = @_;

    if (!$site{$site}{returns}{$size}++) {
        stop($site);
        start($site);
    }

    return "/return/$size";
}


1;
