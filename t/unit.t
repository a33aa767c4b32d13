#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# Unit tests of files without dependencies on nginx, with t/unit/*.c and the
# sanitizers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Chat::Unit;

my $test = Chat::Unit::compile();

if (!$test) {
    print "Bail out! $@\n";
    exit 1;
}

system($test);
exit($? == 0 ? 0 : 1);
