#
# Copyright (C) ngx_chat contributors
#

package Chat::Unit;

# Compiles the program of t/unit/*.c: sources that do not need nginx, with the
# sanitizers and the headers of the nginx that the module is built for.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

my $Top = abs_path(dirname(__FILE__) . '/../../..');


# compile: returns the path of the program, or undef and the reason in $@

sub compile {
    my $nginx = ($ENV{CHAT_BUILD} // "$Top/run/build") . '/nginx';
    my $program = tempdir(CLEANUP => 1) . '/unit';

    if (!-f "$nginx/objs/ngx_auto_config.h") {
        $@ = "no nginx headers in $nginx: \"./dev build\" first";
        return undef;
    }

    my @flags = split ' ', '-g -O1 -Wall -Wextra -Wshadow -Wvla -Werror
        -Wno-unused-parameter -fsanitize=address,undefined
        -fno-sanitize-recover=undefined';
    my @includes = map { "-I$_" } "$Top/t/unit", $Top, "$nginx/objs",
                   map { "$nginx/src/$_" }
                       qw(core event event/quic os/unix);
    my @sources = (glob("$Top/t/unit/*.c"),
                   map { "$Top/src/$_.c" }
                       qw(core/ngx_chat_form core/ngx_chat_string
                          core/ngx_chat_unicode
                          core/ngx_chat_json core/ngx_chat_json_message
                          core/ngx_chat_image
                          push/ngx_chat_redis_text push/ngx_chat_resp
                          query/ngx_chat_query_builder
                          query/ngx_chat_query_plain));

    if (system('cc', @flags, @includes, '-o', $program, @sources,
               '-lyajl', '-lutf8proc'))
    {
        $@ = 'the test does not compile';
        return undef;
    }

    return $program;
}


1;
