#
# Copyright (C) ngx_chat contributors
#

# a connection to the database that is slow, lost at any moment, or garbled

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Faults;
use Chat::Proxy;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});

our $settings = $Chat::Faults::Settings;
our $patient = $settings =~ s/timeout +\S+;/timeout 10s;/gr;
our $hasty = $settings =~ s/timeout +\S+;/timeout 500ms;/gr;

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(change => 's{unix:[^ ]+}{unix:$socket}');
    $proxy->pass;
});

run_tests();


__DATA__

=== requests succeed over a slow connection with a long timeout
--- http eval: $::patient
--- then
local $Chat::Faults::Limit = 12;
warm_up();

for my $way (qw(slow trickle)) {
    $proxy->cut;
    $proxy->$way;
    all_answered($way, 4, send => 201, list => 200);
    $proxy->pass;
    recovered($way);
}

sound();


=== requests succeed or get 503 over a slow connection with a short timeout
--- http eval: $::settings
--- then
warm_up();

for my $way (qw(slow trickle)) {
    $proxy->$way;
    all_answered("$way, connected", 60, send => '201|503', list => '200|503',
                 inbox => '200|503');
    $proxy->cut;
    $proxy->$way;
    all_answered("$way, not connected", 24, send => '201|503',
                 list => '200|503');
    $proxy->pass;
    recovered($way);
}

sound();


=== requests get a response over a garbled connection
--- undescribed: garbled texts from the database
--- http eval: $::hasty
--- then
warm_up();

# Oracle's library 9.7.4 crashes if the handshake is garbled
my $garble = ($ENV{CHAT_LIBRARY} // '') eq 'mysql' ? 'garble_answers'
                                                   : 'garble';
diag("garbled: $garble");

# no lookup of names, since the zone would cache garbled ones
for my $round (1 .. 12) {
    $round % 3 ? $proxy->pass : $proxy->cut;
    $proxy->$garble($round);
    all_answered("garbled $round", 9, map { $_ => '\d+' } qw(list inbox after));
}

$proxy->pass;
recovered('garbled');
sound();


=== requests succeed after many lost connections
--- http eval: $::settings
--- then
warm_up();

for my $round (1 .. 24) {
    $proxy->refuse if $round % 4 == 0;
    $proxy->cut if $round % 4 == 1;
    $proxy->swallow if $round % 4 == 2;
    all_answered("round $round", 8, send => '201|503', list => '200|503');
    $proxy->pass if $round % 4 == 0;
}

recovered('back');
cmp_ok($proxy->opened, '>', 24, 'over many connections');
sound();
