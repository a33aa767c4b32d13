#
# Copyright (C) ngx_chat contributors
#

# a real Prometheus server reads chat_status; docs/grafana.json and
# docs/alerts.yml use metrics that exist

use Chat::Ports qw(free_port);
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use FindBin;
use HTTP::Tiny;
use POSIX ();
use Test::Nginx::Socket 'no_plan';
use Chat;

our $top = abs_path("$FindBin::Bin/..");
our $dir = tempdir(CLEANUP => 1);

my ($prometheus, $address);

sub start_prometheus {
    $address = '127.0.0.1:' . free_port();

    my $nginx = url('') =~ s{http://}{}r;

    open my $conf, '>', "$dir/prometheus.yml" or die "prometheus.yml: $!\n";
    print $conf <<"CONF";
global: { scrape_interval: 500ms, evaluation_interval: 500ms }
rule_files: [ "$top/docs/alerts.yml" ]
scrape_configs:
  - job_name: ngx_chat
    metrics_path: /chat/status
    static_configs: [ { targets: [ "$nginx" ] } ]
CONF
    close $conf;

    $prometheus = fork // die "fork: $!\n";

    if ($prometheus == 0) {
        open STDOUT, '>', "$dir/log";
        open STDERR, '>&', \*STDOUT;
        exec 'prometheus', "--config.file=$dir/prometheus.yml",
             "--storage.tsdb.path=$dir/data", "--web.listen-address=$address"
            or POSIX::_exit(1);
    }
}

END {
    if ($prometheus) {
        local $?;
        kill 'TERM', $prometheus;
        waitpid $prometheus, 0;
    }
}

# ask PATH, PARAMETERS: sends a query to the API of Prometheus, which is not the
# API that Chat.pm compares with its description

my $agent = HTTP::Tiny->new(timeout => 10);

sub ask {
    my ($path, %form) = @_;

    my $answer = $agent->get("http://$address/api/v1/$path?"
                             . $agent->www_form_urlencode(\%form))->{content};

    return eval { JSON::PP->new->utf8->decode($answer) }
           // { status => 'none', error => $answer };
}

# expressions: returns those of all panels of the dashboard with their titles

sub dashboard {
    return JSON::PP->new->decode(Chat::read_file("$top/docs/grafana.json"));
}

sub expressions {
    my @found;

    for my $panel (@{ dashboard()->{panels} }) {
        push @found, map { [ "$panel->{title}: $_->{legendFormat}",
                             $_->{expr} =~ s/\$instance/.*/gr
                                        =~ s/\$__rate_interval/5s/gr ] }
                         @{ $panel->{targets} };
    }

    return @found;
}

run_tests();


__DATA__

=== Prometheus reads the metrics and each panel has data
--- server
location /chat/broken { return 200 'no metrics'; }
--- then
start_prometheus();

my $target;
ok(wait_until { my ($t) = @{ ask('targets')->{data}{activeTargets} // [] };
                $target = $t;
                ($t->{health} // '') eq 'up' }, 'the target is up')
    or diag(JSON::PP->new->encode($target), Chat::read_file("$dir/log"));
is($target->{lastError}, '', 'without an error');

my $traffic = sub {
    for my $path (qw(message/ message/1/ user/ conversation/)) {
        api('u1', GET => "/api/v1/$path");
    }

    api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' });
};

# logins, and the first sample of each metric, need several rounds for a rate
my $n = 0;
my %open = map { ($_->[0] => $_->[1]) } expressions();
delete $open{'Workers: hosts without chat_zone'};
my %wrong;

ok(wait_until(sub {
    $traffic->();
    api('', POST => '/api/v1/session/',
        { username => 'nobody', password => $n++ }) if $n < 5;

    for my $title (sort keys %open) {
        my $answer = ask(query => query => $open{$title});

        $wrong{$title} = $answer->{error} if $answer->{status} ne 'success';

        delete $open{$title}
            if grep { $_->{value}[1] ne 'NaN' } @{ $answer->{data}{result} };
    }

    return !keys %open;
}, 20), 'all panels have data')
    or diag(map { "no data: $_: $open{$_}\n" } sort keys %open);

is_deeply(\%wrong, {}, 'no query fails');

my $sent = ask(query => query => 'ngx_chat_messages_sent_total')
               ->{data}{result}[0]{value}[1];
ok($sent > 0 && $sent <= api('', GET => '/chat/status')->json->{messages_sent},
   'at most the number of sent messages') or diag($sent);

is_deeply(ask(query => query => 'ALERTS')->{data}{result}, [], 'no alert');


=== alerts are raised by their conditions only
--- then
is(qx(promtool check rules $top/docs/alerts.yml 2>&1) =~ /SUCCESS/ ? $? : 1, 0,
   'rules');

my $said = qx(promtool test rules $top/t/data/alerts.yml 2>&1);
is($?, 0, 'tests of rules') or diag($said);

my @named = Chat::read_file("$top/docs/alerts.yml") =~ /alert: (\w+)/g;
my @tested = Chat::read_file("$top/t/data/alerts.yml") =~ /alertname="(\w+)"/g;
is_deeply([ sort @tested ], [ sort @named ], 'all are tested');


=== metrics in the dashboard, alerts and documentation exist
--- then
my %there = map { ($_ => 1) }
                api('', GET => '/chat/status?format=prometheus')->body
                =~ /^# TYPE (\S+)/mg;

ok(keys %there > 15, 'chat_status has metrics');

for my $file (qw(docs/grafana.json docs/alerts.yml t/data/alerts.yml)) {
    my %named = map { ($_ => 1) }
                    Chat::read_file("$top/$file") =~ /\b(ngx_chat_\w+)/g;

    is_deeply([ grep { !$there{ s/_(?:bucket|sum|count)$//r }
                       && !$there{$_} } sort keys %named ], [], $file);
}

# each metric is in the dashboard
my %shown = map { (s/_(?:bucket|sum|count)$//r => 1) }
                map { $_->[1] =~ /\b(ngx_chat_\w+)/g } expressions();

is_deeply([ grep { !$shown{$_} } sort keys %there ], [],
          'each has a panel in the dashboard');

my ($table) = Chat::read_file("$top/docs/operations.md")
                  =~ /^\| `ngx_chat_\.\.\.` .*?\n\|---.*?\n(.*?)\n\n/ms;
my %described = map { ("ngx_chat_$_" => 1) }
                    map { /^\| (.*?) \|/ ? $1 =~ /`(\w+)/g : () }
                        split /\n/, $table;

is_deeply(\%described, \%there, 'docs/operations.md');


=== panels of the dashboard do not overlap
--- then
my (%ids, %taken, @over);

for my $panel (@{ dashboard()->{panels} }) {
    my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw(x y w h)};

    push @over, $panel->{title} if $ids{ $panel->{id} }++ || $x + $w > 24;

    for my $row ($y .. $y + $h - 1) {
        push @over, $panel->{title}
            if grep { $taken{"$row $_"}++ } $x .. $x + $w - 1;
    }
}

is_deeply(\@over, [], 'no two panels overlap');
