#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# After all of t/*.t: each answer that docs/openapi.yaml has was given to some
# Runs after all of t/*.t: each response in docs/openapi.yaml was returned to a
# request, or no test can cause it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Chat::OpenAPI qw(operations);
use Test::More;

my $file = $ENV{CHAT_TEST_SEEN};

plan(skip_all => 'runs only after all other tests') unless defined $file;

# "METHOD path status" and the reason

my @unseen = (
    [qr{^OPTIONS .* 500$} => 'fails only without memory'],
    [qr{^\w+ /api/v1/ 500$} => 'as above'],
    [qr{^(GET|HEAD) /api/v1/session/ 500$} => 'as above'],
    [qr{^(GET|HEAD) /login/ 500$} => 'as above'],
);

open my $in, '<', $file or die "$file: $!\n";
my %seen = map { s/\n\z//r => 1 } <$in>;
my %unused = map { $_->[0] => 1 } @unseen;

for my $op (operations()) {
    for my $code (sort keys %{ $op->[2]{responses} }) {
        my $what = "$op->[0] $op->[1] $code";
        my ($reason) = grep { $what =~ $_->[0] } @unseen;

        delete $unused{$reason->[0]} if $reason;

        if ($reason && !$seen{$what}) {
            pass("$what: none, $reason->[1]");
            next;
        }

        ok($seen{$what} && !$reason, "$what was seen")
            or diag($reason ? "this reason no longer holds: $reason->[1]"
                            : 'no test causes it');
    }
}

is(join(' ', keys %unused), '', 'each reason applies');

done_testing();
