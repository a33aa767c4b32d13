#
# Copyright (C) ngx_chat contributors
#

package Chat::HTTP3;

# An HTTP/3 client based on t/lib/http3.py.
#
#   my $why = Chat::HTTP3->missing;       the reason if it cannot run, or undef
#   Chat::HTTP3::port(PORT)               the QUIC port of nginx
#
#   my $to = connect_h3();                a connection: "open", "closed"
#   my $it = start_h3($to, GET => '/ws', as => 'u1', headers => [NAME => VALUE]);
#                                         a running request: "code", "headers",
#                                         "text", "ended", "reset"
#   my $it = ask_h3(GET => '/', ...);     a request that has ended, on a new
#                                         connection or on {to => $to}
#
# json, form, type and body are as in Chat::Wire.  length => 1 sends
# Content-Length, "end => 0" leaves the stream open for body_h3().

use strict;
use warnings;

use Chat;
use Chat::Wire ();
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use IPC::Open2 qw(open2);
use JSON::PP;
use Mojo::IOLoop;

our @EXPORT = qw(connect_h3 start_h3 body_h3 leave_h3 ask_h3 cookie_h3);

my $Program = abs_path(dirname(__FILE__) . '/../http3.py');
my $Json = JSON::PP->new->utf8;

my ($Port, $In, $Pid, %Things);
my $Number = 0;


# missing: returns a reason if nginx has no HTTP/3 or there is no client

sub missing {
    my $nginx = $ENV{TEST_NGINX_BINARY} // 'nginx';

    return 'this nginx has no HTTP/3'
        if `$nginx -V 2>&1` !~ /--with-http_v3_module/;

    return 'no client of HTTP/3: python3-aioquic is not installed'
        if system('python3 -c "import aioquic.h3" 2>/dev/null') != 0;

    return;
}


sub port {
    ($Port) = @_;
}


sub begin {
    $Pid = open2(my $out, $In, 'python3', $Program);

    my $rest = '';

    $In->autoflush;
    $out->blocking(0);

    my $reactor = Mojo::IOLoop->singleton->reactor;

    $reactor->io($out => sub {
        my $n = sysread $out, $rest, 65536, length $rest;

        if (defined $n && !$n) {
            $reactor->remove($out);
            die "http3.py has ended\n";
        }

        happened($Json->decode($1)) while $rest =~ s/^(.*)\n//;
    })->watch($out, 1, 0);
}


END {
    if ($Pid) {
        my $status = $?;

        kill 'TERM', $Pid;
        waitpid $Pid, 0;
        $? = $status;
    }
}


sub happened {
    my ($what) = @_;

    my $thing = $Things{ $what->{id} // $what->{to} } // return;

    if ($what->{headers}) {
        for (@{ $what->{headers} }) {
            my ($name, $value) = @$_;

            push @{ $thing->{headers}{$name} }, $value;
        }

        $thing->{code} = $thing->{headers}{':status'}[0];
    }

    $thing->{text} .= $what->{text} // '';

    for (qw(open closed why ended reset)) {
        $thing->{$_} = $what->{$_} if defined $what->{$_};
    }
}


sub command {
    my (%command) = @_;

    begin() unless $Pid;
    print $In $Json->encode(\%command), "\n";
}


sub new_thing {
    $Number++;

    return $Things{$Number} = { number => $Number, text => '' };
}


sub connect_h3 {
    my $to = new_thing();

    command(op => 'open', to => $Number, port => 0 + $Port);
    wait_until { $to->{open} || defined $to->{closed} };

    return $to;
}


# cookie_h3 USER: returns the header, or nothing

sub cookie_h3 {
    my ($who) = @_;

    return length($who // '')
           ? (cookie => '__Host-sessionid=' . token($who)) : ();
}


sub start_h3 {
    my ($to, $method, $path, %option) = @_;

    my ($type, $body) = Chat::Wire::type_and_body(%option);
    my @headers = (
        ':method' => $method, ':scheme' => 'https',
        exists $option{authority}
            ? () : (':authority' => "localhost:$Port"),
        ':path' => $path,
        cookie_h3($option{as}),
        defined $type ? ('content-type' => $type) : (),
        $option{length} ? ('content-length' => length $body) : (),
        @{ $option{headers} // [] },
    );
    my @pairs;

    while (my ($name, $value) = splice @headers, 0, 2) {
        push @pairs, [$name, "$value"] if defined $value;
    }

    my $it = new_thing();

    command(op => 'start', to => $to->{number}, id => $Number, headers => \@pairs,
         body => $body // '',
         end => $option{end} // 1 ? JSON::PP::true : JSON::PP::false);

    return $it;
}


# body_h3 REQUEST, BYTES, [END]: sends more of the body, and its end if END

sub body_h3 {
    my ($it, $bytes, $end) = @_;

    command(op => 'body', id => $it->{number}, body => $bytes,
         end => $end // 1 ? JSON::PP::true : JSON::PP::false);
}


# leave_h3 HOW, REQUEST OR CONNECTION, [SECONDS]: HOW is "reset", "stop",
# "close" or "drop", after SECONDS

sub leave_h3 {
    my ($how, $thing, $after) = @_;

    my $what = $how =~ /reset|stop/ ? 'id' : 'to';

    command(op => $how, $what => $thing->{number}, after => $after // 0);
}


sub ask_h3 {
    my ($method, $path, %option) = @_;

    my $to = delete $option{to};
    my $own = $to ? undef : ($to = connect_h3());
    my $it = start_h3($to, $method, $path, %option);

    wait_until { $it->{ended} || defined $it->{reset} || defined $to->{closed} };

    leave_h3(close => $own) if $own;

    return $it;
}


1;
