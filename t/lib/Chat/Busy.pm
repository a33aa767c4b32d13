#
# Copyright (C) ngx_chat contributors
#

package Chat::Busy;

# slowness(): the number of processes per processor that want to run, from one
# to three.  Time limits are multiplied by it, since a busy machine is no fault.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(slowness);

my $Most = 3;


sub slowness {
    my ($load) = split ' ', slurp('/proc/loadavg');
    my $processors = () = slurp('/proc/cpuinfo') =~ /^processor\b/mg;
    my $slowness = ($load // 1) / ($processors || 1);

    return $slowness < 1 ? 1 : $slowness > $Most ? $Most : $slowness;
}


sub slurp {
    my ($file) = @_;

    local $/;
    open my $in, '<', $file or return '';
    return <$in> // '';
}


1;
