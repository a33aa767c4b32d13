#
# Copyright (C) ngx_chat contributors
#

package Chat::Grants;

# The optional rights of sql/grants-NAME.sql.
#
#   grant('admin');      gives them to the module's account, until the end of
#                        the test: rights outlive the tables
#   revoke('admin');     takes them

use strict;
use warnings;

use Chat;
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);

our @EXPORT = qw(grant revoke);

my $Top = abs_path(dirname(__FILE__) . '/../../..');

my %granted;


sub grant {
    my ($name) = @_;

    sql($_) for statements($name);
    $granted{$name} = 1;
}


sub revoke {
    my ($name) = @_;

    # only existing rights can be revoked
    grant($name);

    sql(s/^\s*GRANT /REVOKE /r =~ s/ TO 'chat'/ FROM 'chat'/r)
        for map { s/\s+/ /gr } statements($name);

    delete $granted{$name};
}


sub statements {
    my ($name) = @_;

    my $text = Chat::read_file("$Top/sql/grants-$name.sql");

    $text =~ s/^--.*\n//mg;
    $text =~ s/ ON chat\./ ON $ENV{TEST_NGINX_CHAT_DB}./g;

    return grep { /\S/ } split /;/, $text;
}


END {
    my $status = $?;

    eval { revoke($_) } for keys %granted;
    $? = $status;
}


1;
