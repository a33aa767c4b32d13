#
# Copyright (C) ngx_chat contributors
#

package Bench::Table;

# Rows and the table of results.

use strict;
use warnings;

use Bench::Process;
use Exporter qw(import);
use JSON::PP;
use List::Util qw(sum0);

our @EXPORT = qw($rounds bool median rates row show);

our $rounds = 3;            # of the module and the yardstick in turn


# rates CASE, CODE, YARDSTICK, CODE, TARGET: measures the module and the
# yardstick in turn.  A case with missing notifications is not met.

sub rates {
    my ($case, $ours, $yard, $yardstick, $target) = @_;
    my (@ours, @yard);

    for my $round (1 .. $rounds) {
        progress("$case, round $round");
        push @ours, $ours->();
        push @yard, $yardstick->();
    }

    my $errors = sum0(map { $_->{errors} // 0 } @ours, @yard);
    die "$case: $errors errors\n" if $errors;

    my $missing = sum0(map { $_->{missing} // 0 } @ours, @yard);

    return { %{ row(case => $case, unit => '/s', yard => $yard,
                    ours => median(map { $_->{rate} } @ours),
                    yardstick => median(map { $_->{rate} } @yard),
                    target => $target) },
             $missing ? (missing => $missing, met => bool(0),
                         note => "$missing notifications missing") : (),
             p50_ms => median(map { $_->{p50_ms} } @ours),
             p99_ms => median(map { $_->{p99_ms} } @ours),
             yardstick_p99_ms => median(map { $_->{p99_ms} } @yard) };
}


sub row {
    my %row = @_;
    my $at_most = delete $row{at_most};

    $row{ratio} = 0 + sprintf '%.3f', $row{ours} / $row{yardstick};

    if (defined $row{target}) {
        my $target = $row{target};
        $row{met} = bool($at_most ? $row{ratio} <= $target
                                  : $row{ratio} >= $target);
        $row{target} = ($at_most ? '<= ' : '>= ') . $target;
    }

    return \%row;
}


sub bool { return $_[0] ? JSON::PP::true : JSON::PP::false }


sub median {
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[@sorted / 2];
}


sub figure {
    my ($value, $unit) = @_;
    return '-' if !defined $value;

    my $text = sprintf $value >= 100 || $unit eq '' ? '%.0f' : '%.2f', $value;
    1 while $text =~ s/^(\d+)(\d{3})/$1,$2/;

    return "$text$unit";
}


sub show {
    my (@results) = @_;

    my $line = "| %-58s | %12s | %9s | %-24s | %12s | %9s | %5s | %-16s |"
               . " %-3s |\n";

    my $text = sprintf $line, 'Case', 'Result', 'p99', 'Yardstick', 'Result',
                       'p99', 'Ratio', 'Target', 'Met';
    $text .= sprintf $line, '---', '--:', '--:', '---', '--:', '--:', '--:',
                     '---', '---';

    for my $r (@results) {
        my $unit = $r->{unit} =~ m{^/|^$} ? $r->{unit} : " $r->{unit}";

        my $case = $r->{case} . ($r->{note} ? " ($r->{note})" : '');

        $text .= sprintf $line, $case,
                         figure($r->{ours}, $unit), figure($r->{p99_ms}, ' ms'),
                         $r->{yard}, figure($r->{yardstick}, $unit),
                         figure($r->{yardstick_p99_ms}, ' ms'),
                         defined $r->{ratio} ? sprintf('%.2f', $r->{ratio})
                                             : '-',
                         $r->{target},
                         defined $r->{met} ? ($r->{met} ? 'yes' : 'NO') : '';
    }

    print "\n$text";
}


1;
