#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# A minute of t/fuzz/run, shared by its targets: no crash, leak or time-out.
# Where one fails, the last line says on which input.

use strict;
use warnings;

use FindBin;
use Test::More;

# the fuzzers are built from nginx's source, of which a mirror may have none
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
