#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Schema;

# Creates, upgrades and checks the tables.

use strict;
use warnings;

use Chatctl::Database qw(count has_table schema_file sql statements);
use Chatctl::Names qw(name_faults same_names unusual_names);
use Chatctl::Output qw(fail note say_done);

my $bad;


sub init {
    my $tables = count_tables();

    fail("the database already has $tables tables; \"db init\" requires an",
         'empty database, "db migrate" upgrades existing tables')
        if $tables != 0;

    my $schema = schema_file('schema.sql');

    sql($schema);

    my $expected = () = $schema =~ /^CREATE TABLE /mg;
    $tables = count_tables();

    fail("the database has $tables tables, but schema.sql creates $expected")
        if $tables != $expected;

    my $version = version();

    fail("the schema has version \"$version\", not " . newest_version())
        if $version ne newest_version();

    say_done("Schema version $version.");
}


# migrate: applies the migrations, which are numbered without a gap.  The
# session that ran a file sets the version, so a failed file does not count.

sub migrate {
    require_tables();

    my $version = version();
    my $first = $version;
    my $dir = Chatctl::Database::schema_dir() . '/migrations';

    for my $name (migrations($dir)) {
        my ($number) = $name =~ /^0*(\d+)-/;

        next if $number <= $version;

        fail('migration ' . ($version + 1) . " is missing before $dir/$name")
            if $number != $version + 1;

        say_done("Applying $name");
        sql(schema_file("migrations/$name")
            . "UPDATE chat_schema SET version = $number;");

        $version = version();

        fail("the schema has version \"$version\" after migration $number")
            if $version ne $number;
    }

    my $newest = newest_version();

    fail("the schema has version $version, but $dir has no migration to",
         "version $newest") if $version < $newest;

    say_done("Schema version $version, up to date.") if $version == $first;
}


sub migrations {
    my ($dir) = @_;

    opendir my $in, $dir or return;

    return sort grep { /^[0-9]{4}-.*\.sql\z/s } readdir $in;
}


sub count_tables {
    return count('information_schema.tables WHERE table_schema = DATABASE()');
}


sub newest_version {
    my ($version) = schema_file('schema.sql')
                    =~ /^INSERT INTO chat_schema .* VALUES \((.*)\);/m;

    return $version // fail('schema.sql has no version');
}


sub version {
    my $version = sql('SELECT version FROM chat_schema');

    chomp $version;

    return $version;
}


sub require_tables {
    fail('the database has no ngx_chat tables; run "chatctl db init"')
        if !has_table('chat_schema');
}


# --- db check ---------------------------------------------------------------

sub check {
    my $server = sql('SELECT VERSION()');

    chomp $server;
    say_done("ok   connected to $server");

    require_tables();
    check_version();

    report(count("information_schema.tables
                  WHERE table_schema = DATABASE() AND engine <> 'InnoDB'"),
           'tables do not use InnoDB', 'all tables use InnoDB');
    report(sql(statements('check-counters')) + 0,
           'conversations do not match their messages',
           'conversations match their messages');
    report(sql(statements('check-empty')) + 0,
           'conversations count messages that do not exist',
           'conversations count existing messages');

    check_names();

    my $found = sql(statements('check-passwords')) + 0;

    say_done("note $found active users have no supported password hash")
        if $found;

    exit 1 if $bad;
}


sub check_version {
    my ($version, $newest) = (version(), newest_version());

    if ($version eq $newest) {
        say_done("ok   schema version $version");
        return;
    }

    say_done("BAD  schema version $version, should be $newest");
    $bad = 1;
}


sub check_names {
    my @rows = unusual_names('chat_user');
    my @faults = name_faults(@rows);

    report(scalar @faults, 'names break the rule for new names; rename these'
           . " users with\n     \"chatctl user rename --id ID NAME\"",
           'all names follow the rule');
    show_lines(@faults);

    my @same = same_names('chat_user', @rows);

    report(scalar @same, 'names belong to several users in different Unicode'
           . " forms; rename all but one\n     with \"chatctl user rename --id"
           . ' ID NAME"', 'all names differ in every Unicode form');
    show_lines(@same);
}


# report NUMBER, PROBLEM, SUCCESS

sub report {
    my ($number, $problem, $success) = @_;

    if ($number == 0) {
        say_done("ok   $success");

    } else {
        say_done("BAD  $number $problem");
        $bad = 1;
    }
}


# show_lines LINES: the first twenty

sub show_lines {
    my (@lines) = @_;

    my @more = splice @lines, 20;

    say_done("     $_") for @lines;
    say_done('     and ' . @more . ' more') if @more;
}


1;
