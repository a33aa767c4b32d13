#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# The rooms that need no nginx, with t/unit/*.c and the sanitizers, compiled
# against the headers of the nginx that the module is built for.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use FindBin;

my $top = abs_path("$FindBin::Bin/..");
my $nginx = ($ENV{CHAT_BUILD} // "$top/run/build") . '/nginx';
my $test = tempdir(CLEANUP => 1) . '/unit';

bail("no nginx headers in $nginx: \"./dev build\" first")
    unless -f "$nginx/objs/ngx_auto_config.h";

my @flags = split ' ', '-g -O1 -Wall -Wextra -Wshadow -Wvla -Werror
    -Wno-unused-parameter -fsanitize=address,undefined
    -fno-sanitize-recover=undefined';
my @includes = map { "-I$_" } "$top/t/unit", $top, "$nginx/objs",
               map { "$nginx/src/$_" } qw(core event event/quic os/unix);
my @sources = (glob("$top/t/unit/*.c"),
               "$top/ngx_chat_text.c", "$top/ngx_chat_json.c",
               "$top/ngx_chat_sql_text.c", "$top/ngx_chat_db_statement.c");

system('cc', @flags, @includes, '-o', $test, @sources, '-lyajl') == 0
    or bail('the test does not compile');

system($test);
exit($? == 0 ? 0 : 1);


sub bail {
    print "Bail out! $_[0]\n";
    exit 1;
}
