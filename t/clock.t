#
# Copyright (C) ngx_chat contributors
#

# a clock that is set back while sockets are open

use File::Temp qw(tempdir);

my ($dir, $why);

BEGIN {
    $why = 'an nginx with sanitizers loads no other library first'
        if $ENV{TEST_NGINX_BINARY} || $ENV{TEST_NGINX_USE_VALGRIND};

    if (!$why) {
        $dir = tempdir(CLEANUP => 1);
        chmod 0755, $dir;

        system("cc -O2 -fPIC -shared -o $dir/preload.so t/lib/preload.c") == 0
            or die "cc failed\n";

        open my $file, '>', "$dir/clock" or die "$dir/clock: $!\n";
        print $file pack 'i', 0;
        close $file;

        # nginx inherits them
        $ENV{CLOCK} = "$dir/clock";
        $ENV{LD_PRELOAD} = "$dir/preload.so";
    }
}

use Test::Nginx::Socket $why ? (skip_all => $why) : 'no_plan';
use Chat;
use Chat::Busy qw(slowness);
use Chat::Wire;

# set_clock SECONDS: adds them to the time of nginx

sub set_clock {
    open my $file, '+<', "$dir/clock" or die "$dir/clock: $!\n";
    print $file pack 'i', $_[0];
    close $file;
}

run_tests();


__DATA__

=== after the clock is set back, no notification is missed
--- then
my $post = sub {
    return api('u1', POST => '/api/v1/message/',
               { recipient => 'u2', body => 'text' })->json->{id};
};

my $told = sub {
    my ($id, @sockets) = @_;

    return wait_until(sub {
        !grep { ($_->{frames}[-1] // '') !~ /"$id"|"id":$id\b/ } @sockets
    }, 2 * slowness());
};

my $open = sub {
    return map { (web_socket('u2'), web_socket('u2', path => '/events')) }
               1 .. 4;
};

my @sockets = $open->();
my $before = api('u1', GET => '/up')->headers->date;

ok($told->($post->(), @sockets), 'all sockets are notified');

set_clock(-3600);
ok(wait_until(sub { api('u1', GET => '/up')->headers->date ne $before }),
   'the clock of nginx is set back');

# new sockets are opened while the old ones are being closed
my $id = $post->();
my @new = $open->();

ok($told->($post->(), @new), 'new sockets are notified at once');
ok(wait_until(sub { !grep { !$_->{closed} } @sockets }, 2 + 2 * slowness()),
   'old sockets are closed: clients catch up');
ok(!(grep { $_->{closed} } @new), 'new ones stay open');

@sockets = $open->();
ok($told->($post->(), @new, @sockets), 'all sockets are notified');
is(exits(), '', 'no worker has died');
--- error_log
the clock was set back: closing chat sockets
