#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# t/run: the last lines of its output and its status for any result of a file

use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my $dir = tempdir(CLEANUP => 1);

# two slots, whose files need no database
for my $n (1, 2) {
    make_path("$dir/test/$n");
    put("test/$n/chatctl.cnf", "[client]\nsocket=none\n");
}

@ENV{qw(CHAT_RUN CHAT_TEST_SLOTS)} = ($dir, 2);
delete @ENV{qw(CHAT_TEST_AGAIN CHAT_TEST_SEEN UBSAN_OPTIONS)};


sub put {
    my ($name, $text) = @_;

    open my $file, '>', "$dir/$name" or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";
}


# run FILE => TEXT, ...: returns status and output of t/run for these files

sub run {
    my (%files) = @_;

    put($_, "use Test::More;\n$files{$_}\n") for keys %files;

    my @files = map { "$dir/$_" } sort keys %files;
    my $output = `$^X $FindBin::Bin/run @files 2>&1 </dev/null`;

    return ($? >> 8, $output);
}


my $good = 'ok(1); ok(1); done_testing();';

# name and text of a file, the expected output, and the numbers

for (
    ['passes', $good, undef, '2 passed, 0 failed'],
    ['fails', 'ok(1); is(1, 2, "one"); done_testing();',
     qr/failed 1 of 2 tests; exit status 1\n    not ok 2 - one\n.*got: '1'/s,
     '1 passed, 1 failed'],
    ['dies', 'ok(1); die "no more\n";', qr/exit status \d+\n.*no more/s,
     '1 passed, 1 failed'],
    ['does not compile', 'ok(1;', qr/ran no test\n.*syntax error/s,
     '0 passed, 1 failed'],
    ['is killed', 'ok(1); kill KILL => $$; sleep 5;', qr/signal 9/,
     '1 passed, 1 failed'],
    ['bails out', 'ok(1); BAIL_OUT("enough");', qr/bailed out.*enough/s,
     '1 passed, 1 failed'],
    ['says little and exits', 'print "ok 1\n"; exit 0;', qr/No plan/,
     '1 passed, 1 failed'],
    ['runs fewer than planned', 'plan(tests => 3); ok(1);', qr/planned 3/,
     '1 passed, 1 failed'],
    ['runs none', 'exit 0;', qr/ran no test/, '0 passed, 1 failed'],
    ['plans none', 'print "1..0\n";', qr/ran no test/, '0 passed, 1 failed'],
    ['takes too long', 'ok(1); sleep 60; done_testing();',
     qr/ended after \d+ s/, '1 passed, 1 failed'],
) {
    my ($what, $text, $said, $counts) = @$_;

    local $ENV{CHAT_TEST_LIMIT} = $text =~ /sleep 60/ ? 3 : 60;
    my ($status, $output) = run('a.t' => $text);

    is(($output =~ /(.*)\n\z/)[0], $counts, "$what: the last line")
        or diag($output);
    is($status, $said ? 1 : 0, "$what: the status");
    like($output, $said, "$what: the reason") if $said;
}

my ($status, $output) = run(
    'a.t' => 'plan(skip_all => "no moon");',
    'b.t' => 'SKIP: { skip "no sun", 2 } ok(1); done_testing();');

like($output, qr/^skipped, 1: no moon\nskipped, 2: no sun\n3 skipped\n/m,
     'the output has the reasons of skipped tests');
like($output, qr/^1 passed, 0 failed\n\z/m, 'skipped tests are not counted');
is($status, 0, 'a skipped file is not a failure');

($status) = run('a.t' => 'plan(skip_all => "no moon");');
is($status, 1, 'a run without a passed test fails');

# a file that passes when it is run again, and one that fails again

my $twice = "ok(-e '$dir/before'); open my \$out, '>', '$dir/before';"
            . ' done_testing();';

{
    local $ENV{CHAT_TEST_AGAIN} = 1;

    ($status, $output) = run('a.t' => $twice, 'b.t' => $good);
    is($status, 0, 'a failed file may be run again') or diag($output);
    like($output, qr/a\.t, .*; to be run again, alone\n/, 'it is named');
    unlike($output, qr/not ok/, 'without its failures');
    like($output, qr/^3 passed, 0 failed\n\z/m, 'the second result counts');

    ($status, $output) = run('a.t' => 'ok(0); done_testing();');
    is($status, 1, 'a file that fails again is a failure');
    like($output, qr/^    not ok 1\n.*^0 passed, 1 failed\n\z/ms,
         'which counts once');

    unlink "$dir/before";
    ($status, $output) = run('a.t' => $twice, 'b.t' => 'die;', 'c.t' => 'die;');
    is(() = $output =~ /run again/g, 1, 'no more files than asked for');
}

unlink "$dir/before";
($status) = run('a.t' => $twice, 'b.t' => $good);
is($status, 1, 'no file is run again otherwise');

# two files wait for each other, each with its own environment

my $meet = <<"END";
use Time::HiRes qw(sleep);
my (\$me) = \$0 =~ /(\\w)\\.t/;
open my \$out, '>', "$dir/\$me.here"; print \$out join "\\n",
    map { \$ENV{\$_} } qw(TEST_NGINX_PORT TEST_NGINX_SERVROOT TMPDIR);
close \$out;
for (1 .. 200) { last if -e "$dir/a.here" && -e "$dir/b.here"; sleep 0.02 }
ok(-e "$dir/a.here" && -e "$dir/b.here");
done_testing();
END

($status, $output) = run('a.t' => $meet, 'b.t' => $meet, 'c.t' => $good);
is($status, 0, 'two run at the same time') or diag($output);

my @values = map { split /\n/, slurp("$dir/$_.here") } qw(a b);
is(scalar(keys %{ { map { $_ => 1 } @values } }), 6,
   'each file has its own ports and directories') or diag("@values");

# processes that a file started end with it

run('a.t' => "my \$pid = fork; sleep 60 if !\$pid; ok(1);"
             . " open my \$out, '>', '$dir/child'; print \$out \$pid;"
             . ' done_testing();');
my $child = slurp("$dir/child");
like($child, qr/^\d+$/, 'the file starts a process');
unlike(slurp("/proc/$child/stat"), qr/\) [^ZX] /,
       'the process is ended with the file');

done_testing();


sub slurp {
    my ($path) = @_;

    open my $file, '<', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}
