#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# Runs t/fuzz/run for a minute, divided among its targets: no crash, leak or
# timeout.  If a target fails, the last line has the input.

use strict;
use warnings;

use FindBin;
use Test::More;

# the fuzzers are built from nginx's source, which some mirrors do not have
plan(skip_all => "the source of this nginx cannot be fetched: t/asan/source")
    if system("$FindBin::Bin/asan/source") >> 8 == 2;

plan(tests => scalar(() = glob "$FindBin::Bin/fuzz/fuzz_*.c"));

open my $run, '-|', "$FindBin::Bin/fuzz/run", 60
    or die "cannot run t/fuzz/run: $!\n";

my $log = '';

while (my $line = <$run>) {
    if ($line =~ /^(\w+): (\d+) executions$/) {
        cmp_ok($2, '>', 0, "$1, $2 times");

    } elsif ($line =~ /^(\w+): failed after /) {
        fail($1);
        diag($log, $line);
        $log = '';

    } else {
        $log .= $line;
    }
}
