#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Files;

# Compares the directory of "chat_files" with the rows of files.

use strict;
use warnings;

use Chatctl::Database qw(number sql statements text);
use Chatctl::Output qw(check_interrupt fail interruptible say_done
                       wrong_usage);
use Chatctl::Schema;

# the module stores the row of an upload within this time, and ends an upload
# within a day, seconds
my $RECENT = 3600;
my $DAY = 86400;

my $BATCH = 500;
my $TOKEN = qr/\A[0-9a-f]{32}\z/;

my ($dir, $delete, $left);


# check DIRECTORY [--delete]: exits with 1 if there is something to delete

sub check {
    my ($path, $option) = @_;

    wrong_usage("unknown option \"$option\"")
        if defined $option && $option ne '--delete';

    ($dir, $delete, $left) = ($path, defined $option, 0);

    # of a file system that is not mounted, no rows are deleted
    fail("$dir is not the directory of \"chat_files\": it has no \"tmp\"")
        if !-d "$dir/tmp";

    Chatctl::Schema::require_tables();
    interruptible(sub { return 'The check is incomplete' });

    files_without_rows();
    temporary_files();
    rows_without_files();
    rows_without_messages();

    exit 1 if $left;
}


# report NUMBER, WHAT

sub report {
    my ($number, $what) = @_;

    say_done(($number == 0 ? 'ok   ' : $delete ? 'done ' : 'BAD  ')
             . "$number $what"
             . ($number && $delete ? ', deleted' : ''));
    $left += $number if !$delete;
}


sub files_without_rows {
    my ($found, @tokens) = (0);

    for my $first (entries($dir, qr/\A[0-9a-f]{2}\z/)) {
        for my $second (entries("$dir/$first", qr/\A[0-9a-f]{2}\z/)) {
            push @tokens, grep { $_ =~ /\A$first$second/
                                 && age(path($_)) > $RECENT }
                               entries("$dir/$first/$second", $TOKEN);

            next if @tokens < $BATCH;

            $found += unknown(splice @tokens);
        }
    }

    $found += unknown(@tokens);

    report($found, 'files have no row');
}


# unknown TOKENS: deletes the files that have no row, and returns their number

sub unknown {
    my @tokens = @_ or return 0;

    check_interrupt();

    my %known = map { $_ => 1 } split /\n/,
        sql(statements('files-known'), tokens => text(join ',', @tokens));
    my @unknown = grep { !$known{$_} } @tokens;

    remove(map { path($_) } @unknown);

    return scalar @unknown;
}


sub temporary_files {
    my @old = grep { age($_) > $DAY }
              map { "$dir/tmp/$_" } entries("$dir/tmp", qr/\A[0-9]+\z/);

    remove(@old);
    report(scalar @old, 'temporary files are left of interrupted uploads');
}


sub rows_without_files {
    my ($found, $last) = (0, '');

    while (1) {
        check_interrupt();

        my @tokens = split /\n/, sql(statements('files-next'),
                                     last => text($last));

        last if !@tokens;

        $last = $tokens[-1];

        my @missing = grep { $_ !~ $TOKEN || !-e path($_) } @tokens;

        $found += @missing;
        sql(statements('files-missing'), tokens => text(join ',', @missing))
            if $delete && @missing;
    }

    report($found, 'rows have no file');
}


# the module removes these files

sub rows_without_messages {
    my $found = sql(statements('files-lost')) + 0;

    sql(statements('files-release')) if $delete && $found;

    report($found, 'files belong to messages that do not exist');
}


sub remove {
    my (@paths) = @_;

    return if !$delete;

    for my $path (@paths) {
        unlink $path or $!{ENOENT} or fail("cannot delete $path: $!");
    }
}


sub path {
    my ($token) = @_;

    return join '/', $dir, substr($token, 0, 2), substr($token, 2, 2), $token;
}


# age PATH: seconds; 0 if the file does not exist any more

sub age {
    my ($path) = @_;

    my @stat = stat $path or return 0;

    return time - $stat[9];
}


sub entries {
    my ($path, $pattern) = @_;

    opendir my $in, $path or fail("cannot read $path: $!");

    return sort grep { $_ =~ $pattern } readdir $in;
}


1;
