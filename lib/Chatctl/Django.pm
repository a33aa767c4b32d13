#
# Copyright (C) ngx_chat contributors
#

package Chatctl::Django;

# Copies users and messages from the tables of a Django app.

use strict;
use warnings;

use Chatctl::Database qw(count has_table schema_file sql);
use Chatctl::Names qw(name_faults normal_names same_names unusual_names);
use Chatctl::Output qw(fail note say_done wrong_usage);
use Chatctl::Schema;


# import_tables DATABASE: one transaction copies everything into empty tables,
# so a failed import can be repeated

sub import_tables {
    my ($django) = @_;

    wrong_usage("\"$django\" is not a valid database name")
        if $django !~ /\A[A-Za-z0-9_-]+\z/;

    Chatctl::Schema::require_tables();

    for my $table ('auth_user', 'core_messagemodel') {
        fail("table $django.$table does not exist, or this account cannot read",
             'it') if !has_table($table, $django);
    }

    fail('the tables contain users or messages; import-django keeps ids and',
         'requires empty tables')
        if count('(SELECT id FROM chat_user UNION ALL
                   SELECT id FROM chat_message) AS existing') != 0;

    my @names = unusual_names("`$django`.auth_user");
    my @faults = name_faults(@names);
    my @same = same_names("`$django`.auth_user", @names);

    fail("these names differ only in case or Unicode form, which ngx_chat"
         . " ignores; rename them in the Django app:\n" . join "\n", @same)
        if @same;

    note('Copying ' . count("`$django`.core_messagemodel") . ' messages...');

    my $counts = sql(normal_names(@names)
                     . schema_file('import-django.sql')
                       =~ s/ django\./ `$django`./gr);

    $counts =~ /\A(\d+)\n(\d+)\n(\d+)\n\z/
        or fail('the database did not return the number of copied rows');

    my ($users, $messages, $conversations) = ($1, $2, $3);

    # new sessions read committed rows only
    fail('the copied rows were not stored')
        if count('chat_user') < $users || count('chat_message') < $messages;

    say_done("Imported $users users, $messages messages, $conversations"
             . ' conversations.');

    my $found = count("chat_user
                       WHERE password NOT LIKE 'pbkdf2\\_sha256\$%'");

    say_done("$found users have no pbkdf2_sha256 password; set one with"
             . ' "chatctl user passwd".') if $found;

    say_done(join "\n", @faults . ' names break the rule for new names. Names'
             . " that are not in NFC were\nnormalized, others remain; change"
             . ' them with "chatctl user rename":', @faults) if @faults;
}


1;
