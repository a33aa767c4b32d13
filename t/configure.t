#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# nginx's configure finds what the module needs, or says what it misses

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my $top = abs_path("$FindBin::Bin/..");
my $dir = tempdir(CLEANUP => 1);
my $family = $ENV{CHAT_LIBRARY} // 'mariadb';
my $library = $family eq 'mysql' ? '-lmysqlclient' : '-lmariadb';

system("cp -r /usr/share/nginx/src $dir/nginx") == 0
    or die "cannot copy nginx's headers\n";

# a system on which nothing tells where the libraries are

mkdir "$dir/bin";

for my $program (qw(mariadb_config mysql_config pkg-config)) {
    open my $out, '>', "$dir/bin/$program" or die "$program: $!\n";
    print $out "#!/bin/sh\nexit 1\n";
    close $out;
    chmod 0755, "$dir/bin/$program";
}

delete $ENV{NGX_CHAT_MYSQL_CONFIG};
$ENV{PATH} = "$dir/bin:$ENV{PATH}";


# configure OPTIONS: its exit status, 0 or 1, and what it said

sub configure {
    my ($options) = @_;

    my $said = `cd $dir/nginx && ./configure --with-compat $options \\
                    --without-http_rewrite_module --without-http_gzip_module \\
                    --add-dynamic-module=$top 2>&1`;

    return ($? ? 1 : 0, $said);
}


my ($status, $said) = configure('');
is($status, 1, 'an nginx without threads');
like($said, qr/^\.\/configure: error: .*: add --with-threads\.$/m, 'told');

($status, $said) = configure('--with-threads');
is($status, 1, 'no client library');
like($said, qr/error: ngx_chat needs the client library .*libmariadb-dev/,
     'told');

($status, $said) = configure('--with-threads --with-cc-opt='
                             . "-I/usr/include/$family");
is($status, 0, 'a client library that flags lead to') or diag($said);
like($said, qr/client library \(\Q$library\E\) \.\.\. found/, 'found by them');
like(`cat $dir/nginx/objs/Makefile`, qr/\Q$library\E/, 'and linked');

done_testing();
