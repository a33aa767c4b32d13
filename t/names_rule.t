#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# The module, chatctl and the CHECK of the database implement the rule for new
# names. They agree on each code point, and on normal forms.

use strict;
use warnings;

use Cwd qw(abs_path);
use Encode qw(decode);
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../lib";
use Chat::Unit;
use Chatctl::NameRule;
use Test::More;
use Unicode::Normalize qw(NFD);

# for the property "assigned"
no warnings qw(nonchar surrogate non_unicode);

my $top = abs_path("$FindBin::Bin/..");
my $dir = tempdir(CLEANUP => 1);
my $db = "$ENV{TEST_NGINX_CHAT_DB}_names";
my ($client) = grep { !system "command -v $_ >/dev/null" } qw(mariadb mysql);
my $unit = Chat::Unit::compile() or BAIL_OUT($@);

my @codes = grep { $_ < 0xd800 || $_ > 0xdfff } 0 .. 0x10ffff;


# --- each code point, after a letter and at the beginning

sql('', "DROP DATABASE IF EXISTS $db; CREATE DATABASE $db");
sql($db, slurp("$top/sql/schema.sql"));

my $second = accepted('a');
my $first = accepted('');

is(join(' ', map { scalar keys %{ $second->{$_} } } qw(module chatctl database)),
   join(' ', (scalar keys %{ $second->{module} }) x 3),
   'same number of valid characters');

for my $other (qw(chatctl database)) {
    is(differ($second->{module}, $second->{$other}), '',
       "$other agrees with the module: any character");
    is(differ($first->{module}, $first->{$other}), '',
       "$other agrees with the module: first character");
}

# examples, since all three could have the same error

ok(!$second->{module}{$_}, sprintf 'U+%04X is invalid', $_)
    for 0, 0x0a, 0x20, 0x22, 0x2f, 0x3c, 0x7f, 0x85, 0xa0, 0xad, 0x34f, 0x61c,
        0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b, 0x180e, 0x180f, 0x200b .. 0x200f,
        0x2028, 0x202e, 0x2060, 0x2065, 0x206f, 0x2800, 0x3000, 0x3164, 0xe000,
        0xf8ff, 0xfdd0, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffe, 0x1d159,
        0x1d173, 0x1ffff, 0xe0001, 0xe0020, 0xe01ef, 0xe0fff, 0xf0000, 0x10ffff;
ok($second->{module}{$_}, sprintf 'U+%04X is valid', $_)
    for map({ ord } 'a' .. 'z', 'A' .. 'Z', 0 .. 9, qw(_ . @ + -)), 0xe9, 0x301,
        0x5d0, 0x628, 0x915, 0x94d, 0xe01, 0x1100, 0x1161, 0x2801, 0x4e2d,
        0xac00, 0x1f600, 0x20000;
ok(!$first->{module}{$_}, sprintf 'U+%04X is invalid as the first character', $_)
    for 0x2e, 0x300, 0x36f, 0x483, 0x1ab0, 0x1dc0, 0x20e3, 0x3099, 0xfe20;

# by Unicode properties of Perl

is(join(' ', map { sprintf 'U+%04X', $_ }
             grep { $_ >= 0x80 && $second->{module}{$_}
                    && chr =~ /[\p{Cc}\p{Cf}\p{Co}\p{Z}\p{NChar}\p{DI}]/ }
             @codes), '', 'no valid character is invisible');


# --- normal forms

# only the first four planes have characters with another normal form

my @texts = (map({ chr } grep { $_ < 0x33000 } @codes), mixed(20000));
my @results = module(@texts);
my @bad;

for my $i (0 .. $#texts) {
    my ($assigned, $nfc, $nfd) = (split ' ', $results[$i])[3 .. 5];
    my $text = $texts[$i];

    # versions of Unicode differ in assigned characters
    next if !$assigned || $text =~ /\p{Unassigned}/;

    push @bad, sprintf '%vx', $text
        if $nfc ne hex_of(Chatctl::NameRule::nfc($text))
           || $nfd ne hex_of(NFD($text));
}

is("@bad[0 .. ($#bad < 9 ? $#bad : 9)]", '', 'NFC and NFD are those of Perl');


# --- the key of the login throttle: equal for names that match the same row

my %lower = split ' ', sql($db, <<"END");
SELECT n, HEX(lower) FROM (
    SELECT n, c, LOWER(c COLLATE utf8mb4_bin) AS lower FROM (@{[ characters() ]})
    AS x) AS y WHERE HEX(lower) <> HEX(c)
END

my @upper = sort { $a <=> $b } keys %lower;

cmp_ok(scalar @upper, '>', 600, 'number of upper-case characters');

my @of_upper = module(map { chr } @upper);
my @of_lower = module(map { decode('UTF-8', pack 'H*', $lower{$_}) } @upper);

is(join(' ', map { sprintf 'U+%04X', $upper[$_] }
             grep { key($of_upper[$_]) ne key($of_lower[$_]) } 0 .. $#upper),
   '', 'upper and lower case have the same key');

sql('', "DROP DATABASE $db");

done_testing();


# accepted BEFORE: returns the valid code points after BEFORE, by implementation

sub accepted {
    my ($before) = @_;

    my %by = (module => {}, chatctl => {}, database => {});
    my @module = module(map { $before . chr } @codes);

    for my $i (0 .. $#codes) {
        $by{module}{ $codes[$i] } = 1 if $module[$i] =~ /^1/;
        $by{chatctl}{ $codes[$i] } = 1
            if !defined Chatctl::NameRule::fault($before . chr $codes[$i]);
    }

    # the expression of the CHECK

    my ($check) = slurp("$top/sql/schema.sql")
                  =~ /CONSTRAINT chat_user_name CHECK \((.*?)\)\n\) ENGINE/s
        or BAIL_OUT('sql/schema.sql has no chat_user_name');

    $by{database}{$_} = 1 for split ' ', sql($db, <<"END");
SELECT n FROM (SELECT FALSE AS name_unchecked, n, CONCAT('$before', c) AS username
               FROM (@{[ characters() ]}) AS x) AS y
WHERE $check
END

    return \%by;
}


# characters: returns a query of all code points, as n and c

sub characters {
    my $digits = join ' UNION ALL ',
                      map { "SELECT $_" . ($_ ? '' : ' AS d') } 0 .. 15;
    my $n = join ' + ', map { "d$_.d * " . 16 ** $_ } 0 .. 4;
    my $tables = join ', ', map { "($digits) AS d$_" } 0 .. 4;
    my $planes = join ' UNION ALL ',
                      map { "SELECT $_" . ($_ ? '' : ' AS p') } 0, 1;

    return "SELECT n, CONVERT(CONVERT(UNHEX(LPAD(HEX(n), 8, '0')) USING utf32)
                              USING utf8mb4) COLLATE utf8mb4_bin AS c
            FROM (SELECT $n + p.p * 1048576 AS n FROM $tables, ($planes) AS p)
                 AS numbers
            WHERE n <= 0x10ffff AND n NOT BETWEEN 0xd800 AND 0xdfff";
}


# module TEXTS: returns a line of "unit unicode" for each text: digits for
# valid name, looked up, blank and assigned, and NFC, NFD and key in
# hexadecimal

sub module {
    my (@texts) = @_;

    open my $in, '>', "$dir/texts" or die "$dir/texts: $!\n";
    print $in map { hex_of($_) . "\n" } @texts;
    close $in or die "$dir/texts: $!\n";

    open my $out, '-|', "$unit unicode <$dir/texts" or die "$unit: $!\n";
    my @results;

    while (my $line = <$out>) {
        push @results, $line;
    }

    close $out or die "$unit failed\n";
    die "$unit: lines are missing\n" if @results != @texts;

    return @results;
}


sub hex_of {
    my ($text) = @_;

    utf8::encode($text);

    return unpack 'H*', $text;
}


sub key {
    my ($line) = @_;

    return (split ' ', $line)[6];
}


# mixed N: returns random texts of letters, Hangul and marks

sub mixed {
    my ($n) = @_;

    my @alphabet = map({ chr } 0x41 .. 0x5a, 0xc0 .. 0x24f, 0x300 .. 0x345,
                       0x3b1 .. 0x3c9, 0x5d0 .. 0x5ea, 0x5b0 .. 0x5bd,
                       0x622 .. 0x655, 0x915 .. 0x93c, 0x1100 .. 0x1112,
                       0x1161 .. 0x1175, 0x11a7 .. 0x11c2, 0xac00 .. 0xac40,
                       0x1e00 .. 0x1fff, 0x2126, 0x212a, 0x212b, 0x3099 .. 0x30ff,
                       0xfb1d .. 0xfb4f, 0x1d15e .. 0x1d164, 0x2f800 .. 0x2f8ff);

    # a fixed seed
    my $seed = 1;
    my $random = sub {
        $seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
        return ($seed >> 8) % $_[0];
    };

    return map {
        join '', map { $alphabet[ $random->(scalar @alphabet) ] }
                     0 .. $random->(8)
    } 1 .. $n;
}


# differ ONE, TWO: returns code points that are in one of them

sub differ {
    my ($one, $two) = @_;

    my @differ = grep { !$one->{$_} != !$two->{$_} } @codes;
    splice @differ, 10;

    return join ' ', map { sprintf 'U+%04X', $_ } @differ;
}


sub sql {
    my ($database, $statements) = @_;

    open my $out, '>', "$dir/statements" or die "$dir/statements: $!\n";
    print $out $statements;
    close $out or die "$dir/statements: $!\n";

    my $output = `$client --defaults-file=$ENV{CHAT_TEST_CNF} \\
                          --default-character-set=utf8mb4 --batch --raw \\
                          --skip-column-names --database='$database' \\
                          <$dir/statements`;
    die "failed: " . substr($statements, 0, 500) . "\n" if $?;

    return $output;
}


sub slurp {
    my ($file) = @_;

    local $/;
    open my $in, '<', $file or die "$file: $!\n";
    return <$in>;
}
