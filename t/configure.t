#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# configure finds the required libraries or reports those that are missing

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

# a system without information on the location of libraries

mkdir "$dir/bin";

for my $program (qw(mariadb_config mysql_config pkg-config)) {
    open my $out, '>', "$dir/bin/$program" or die "$program: $!\n";
    print $out "#!/bin/sh\nexit 1\n";
    close $out;
    chmod 0755, "$dir/bin/$program";
}

delete $ENV{NGX_CHAT_MYSQL_CONFIG};
$ENV{PATH} = "$dir/bin:$ENV{PATH}";


# configure OPTIONS: its exit code, 0 or 1, and its output

sub configure {
    my ($options) = @_;

    my $said = `cd $dir/nginx && ./configure --with-compat $options \\
                    --without-http_rewrite_module --without-http_gzip_module \\
                    --add-dynamic-module=$top 2>&1`;

    return ($? ? 1 : 0, $said);
}


my ($status, $said) = configure('');
is($status, 1, 'configure rejects an nginx without threads');
like($said, qr/^\.\/configure: error: .*: add --with-threads\.$/m,
     'and reports it');

($status, $said) = configure('--with-threads');
is($status, 1, 'configure rejects a missing client library');
like($said, qr/error: ngx_chat requires the client library .*libmariadb-dev/,
     'and reports it');

($status, $said) = configure('--with-threads --with-cc-opt='
                             . "-I/usr/include/$family");
is($status, 0,
   'configure accepts a client library in the include path') or diag($said);
like($said, qr/client library \(\Q$library\E\) \.\.\. found/,
     'the library is found');
like(`cat $dir/nginx/objs/Makefile`, qr/\Q$library\E/, 'and linked');

done_testing();
