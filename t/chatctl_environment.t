#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# chatctl with different shells, variables, locales, links, standard streams,
# and file formats of text editors.

use strict;
use warnings;

use lib 't/lib';
use Chat::Chatctl;
use Cwd qw(abs_path);
use FindBin;
use Test::More;

my $top = abs_path("$FindBin::Bin/..");
my $ctl = Chat::Chatctl->new;
my $dir = $ctl->path('a dir');

$ctl->reset;
$ctl->tables;
$ctl->fill(20);
mkdir $dir;

my $Export = $ctl->run('export alice')->{out};
like($Export, qr/"id":20,.*\n\],\n"files":\[\]\n\}\n\z/s, 'export');

my $usual = q{exec "$CHATCTL" "$@"};

environment();
shells();
links();
streams();
limits();
passwords();
option_files();
sql_files();
terminal();

done_testing();


# works NAME, OPTIONS: the commands "with" succeed as usual; "all" are all
# commands

sub works {
    my ($name, %option) = @_;

    my @faults;
    my $is = sub {
        my ($got, $expected, $what) = @_;

        push @faults, "$what: " . substr $got, 0, 400 if $got ne $expected;
    };

    $option{shell} //= $usual if !$option{chatctl};

    my $with = delete $option{with} // 'add';
    my $wanted = $with eq 'all' ? qr/./ : qr/\A(?:$with)\z/;
    my $run;

    if ($with && 'add' =~ $wanted) {
        $run = $ctl->run(['user', 'add', "Zo\xc3\xab"], %option,
                         in => "s\xc3\xa4cret x\n");
        $is->("$run->{out}$run->{code}$run->{err}", "Added Zo\xc3\xab.\n0",
              'user add');

        my $hash = $ctl->sql("SELECT password FROM chat_user
                              WHERE username = _utf8mb4 x'5a6fc3ab'");
        $is->(defined $hash && crypt("s\xc3\xa4cret x", $hash) eq $hash, '1',
              'password');
    }

    if ($with && 'disable' =~ $wanted) {
        $run = $ctl->run(['user', 'disable', "ZO\xc3\x8b"], %option);
        $is->("$run->{out}$run->{code}$run->{err}",
              "Disabled ZO\xc3\x8b. Sessions ended: 0.\n0", 'user disable');
    }

    if ($with && 'list' =~ $wanted) {
        $run = $ctl->run('user list', %option);
        $is->($run->{code} . $run->{err} . ($run->{out} =~ s/\t.*//gr),
              "0NAME\nalice\nbob\nZo\xc3\xab\n", 'user list');
    }

    if ($with && 'check' =~ $wanted) {
        $run = $ctl->run('db check', %option);
        $is->($run->{code} . $run->{err}
              . ($run->{out} =~ /^BAD/m ? $run->{out} : ''), '0', 'db check');
    }

    # "export" is fast and reads no password
    $run = $ctl->run('export alice', %option);
    $is->($run->{code} . $run->{err}, '0', 'export');
    $is->($run->{out} eq $Export, '1', 'export');

    $ctl->sql("DELETE FROM chat_user WHERE id > 2");
    is(join("\n", @faults), '', $name);
}


# refuses NAME, REGEX, OPTIONS: chatctl fails with this error and stores nothing

sub refuses {
    my ($name, $regex, %option) = @_;

    my $run = $ctl->run('user add carol', in => "secret\n", %option);

    is($run->{code}, 1, "$name: code");
    is($run->{out}, '', 'no output');
    like($run->{err}, $regex, 'error');
    is(scalar $ctl->sql("SELECT COUNT(*) FROM chat_user WHERE id > 2"), '0',
       'nothing is stored');
    $ctl->sql('DELETE FROM chat_user WHERE id > 2');
}


sub environment {
    my $lib = "$dir/lib";

    mkdir $lib;
    Chat::Chatctl::spew("$lib/strict.pm", "die qq{hostile\\n};\n");
    Chat::Chatctl::spew("$dir/rc", "echo hostile\nexit 3\n");
    Chat::Chatctl::spew("$dir/.my.cnf", "[client]\nraw\nhtml\nuser=nobody\n");

    my @variables = (
        (map { { PERL5OPT => $_ } } '-Mnosuch', '-CSDA'),
        (map { { PERL_UNICODE => $_ } } '', 'SDA'),
        (map { { PERLIO => $_ } } ':crlf', 'nonsense'),
        { PERL5LIB => $lib }, { PERL5DB => 'die' }, { PERLLIB => $lib },
        (map { { IFS => $_ } } 'abc/-', ''), { CDPATH => '/tmp:/:.' },
        { BASH_ENV => "$dir/rc" }, { ENV => "$dir/rc" },
        { POSIXLY_CORRECT => 1 }, { NO_COLOR => 1 }, { TERM => 'dumb' },
        { HOME => undef }, { HOME => '/nowhere' }, { HOME => $dir },
        { HOME => $dir, MYSQL_HOME => $dir },
        { MYSQL_HOST => '192.0.2.1', MYSQL_TCP_PORT => 1 },
        { MYSQL_UNIX_PORT => '/nowhere', MARIADB_UNIX_PORT => '/nowhere' },
        { MYSQL_PWD => 'wrong' }, { MYSQL_GROUP_SUFFIX => '_suffix' },
        { MYSQL_TEST_LOGIN_FILE => "$dir/.my.cnf" },
        { MYSQL_HISTFILE => "$dir/history", MYSQL_PS1 => 'x' },
        { PATH => undef }, { PATH => '' }, { PATH => '/nowhere' },
        { PATH => '/usr/bin:/bin' }, { PATH => ":$ENV{PATH}" },
        (map { { TMPDIR => $_ } } '/nowhere', '/proc'),
        { TZ => 'Pacific/Auckland' }, { LD_LIBRARY_PATH => '' },
        { password => 'x', again => 'y', hash => 'z', options => 'o', id => 7 },
        { yes => 1, received => 1, bad => 'yes', state => 'left', conf => '/' },
        { connection => 'x', database => 'x', client => 'false', count => 'x' },
        { CHATCTL_PID => 1 }, { CHATCTL_PID => '' }, { CHATCTL_SQL => '' },
        { SHELLOPTS => 'noglob:xtrace:allexport', BASHOPTS => 'failglob' },
        { 'BASH_FUNC_printf%%' => '() { echo hostile; }',
          'BASH_FUNC_cd%%' => '() { echo hostile; }' },
        { GLOBIGNORE => '*', GREP_OPTIONS => '-v', SHELL => '/bin/false' },
        { LANGUAGE => 'tr:de', LANG => 'de_DE.UTF-8' },
        (map { { LC_ALL => $_ } }
             '', 'POSIX', 'C.UTF-8', 'xx_XX'),
        locales(),
    );

    for my $env (@variables) {
        my $name = join ', ', map { "$_=" . ($env->{$_} // '(unset)') }
                              sort keys %$env;

        # the hash of a password takes a second
        works($name, env => $env,
              with => $name =~ /PERL|LC_|LANG|IFS|BASH|POSIX|PATH=|password/
                      ? 'add' : '');
    }

    works('environment of cron', only => 1, with => 'all',
          shell => "exec env -i /bin/sh -c 'CHATCTL_CONF=\"\$0\" exec \"\$@\"'"
                   . ' "$CHATCTL_CONF" "$CHATCTL" "$@" ');
    works('environment of cron, with --config', only => 1,
          shell => 'exec env -i LANG=C "$CHATCTL"'
                   . ' --config "$CHATCTL_CONF" "$@"');
}


# locales: compiles locales in a directory of the test

sub locales {
    my @made;

    for my $name (qw(tr_TR.UTF-8 de_DE.ISO-8859-1 ja_JP.EUC-JP)) {
        my ($language, $charset) = split /\./, $name, 2;

        system("localedef -i $language -f $charset '$dir/$name'"
               . ' >/dev/null 2>&1') == 0
            or note "no locale $name here" or next;

        push @made, { LOCPATH => $dir, LC_ALL => $name };
    }

    return @made;
}


sub shells {
    my @shells = grep { program((split)[0]) }
                 'dash', 'bash', 'bash --posix', 'busybox sh', 'ksh93', 'mksh',
                 'yash', 'zsh';

    # a copy of the script finds the modules beside it
    mkdir "$dir/shell";
    symlink "$top/$_", "$dir/shell/$_" for 'lib', 'sql';

    for my $shell (@shells) {
        works("$shell chatctl", with => 'add|list',
              shell => "exec $shell \"\$CHATCTL\" \"\$@\"");

        # as the system's /bin/sh
        next if $shell !~ /^(?:dash|bash|busybox|mksh)/;

        my ($program, $argument) = split ' ', $shell;
        my $path = program($program);
        $path .= " $argument" if $argument;

        my $text = Chat::Chatctl::slurp("$top/chatctl") =~ s{/bin/sh}{$path}gr;
        Chat::Chatctl::spew("$dir/shell/copy", $text);
        chmod 0755, "$dir/shell/copy";
        works("$shell as /bin/sh", with => 'all',
              chatctl => "$dir/shell/copy");
    }

    works("sh $_ chatctl", shell => "exec sh $_ \"\$CHATCTL\" \"\$@\"")
        for '-f', '-a', '-C', '-u', '-e';

    my $run = $ctl->run('user add carol', in => "secret\n",
                        shell => 'exec sh -x "$CHATCTL" "$@"');
    is($run->{out}, "Added carol.\n", 'sh -x');
    unlike($run->{err}, qr/secret|owner-Qx7/, 'trace has no secrets');
    $ctl->sql('DELETE FROM chat_user WHERE id > 2');
}


# program NAME: returns its path, or undef

sub program {
    my ($name) = @_;

    my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};

    return $path;
}


sub links {
    mkdir "$dir/bin";
    mkdir "$dir/bin/-deep";
    symlink "$top/chatctl", "$dir/bin/absolute";
    symlink 'absolute', "$dir/bin/chain";
    symlink '../bin/chain', "$dir/bin/longer";
    symlink $top, "$dir/checkout";
    symlink '../checkout/chatctl', "$dir/bin/through";
    symlink '../longer', "$dir/bin/-deep/-x";
    symlink '../absolute', "$dir/bin/-deep/chatctl";

    my %commands = (
        'a link'                => '"$DIR/bin/absolute" "$@"',
        'a chain of links'      => '"$DIR/bin/longer" "$@"',
        'a linked folder'       => '"$DIR/checkout/chatctl" "$@"',
        'links in a link'       => '"$DIR/bin/through" "$@"',
        'relative'              => 'cd "$DIR/bin" && ./through "$@"',
        'from a folder below'   => 'cd "$DIR/bin/-deep" && ../chain "$@"',
        'by PATH'               => 'PATH="$DIR/bin:$PATH" && chain "$@"',
        'by a relative PATH'    => 'cd "$DIR" && PATH="bin:$PATH" && longer "$@"',
        'by a PATH of one dot'  => 'cd "$DIR/bin" && PATH=".:$PATH" && chain "$@"',
        'by a PATH with a dash' =>
            'cd "$DIR/bin" && PATH="./-deep:$PATH" && chatctl "$@"',
        'a name with a dash'    => 'cd "$DIR/bin/-deep" && ./-x "$@"',
        'by sh'                 => 'cd "$DIR/bin" && sh chain "$@"',
        'by sh, with CDPATH'    =>
            'cd "$DIR/bin" && CDPATH=/:. && export CDPATH && sh through "$@"',
        'by env'                => 'env PATH="$DIR/bin:$PATH" through "$@"',
        'from /'                => 'cd / && "$DIR/bin/chain" "$@"',
        'from a folder that is gone' =>
            'mkdir "$DIR/gone" && cd "$DIR/gone" && rmdir "$DIR/gone"'
            . ' && "$DIR/bin/absolute" "$@" 2>/dev/null',
        'with a loop of links'  =>
            'ln -sf loop "$DIR/loop"; "$DIR/bin/absolute" "$@"',
    );

    works($_, with => 'check', shell => $commands{$_}, env => { DIR => $dir })
        for sort keys %commands;
}


sub streams {
    my %fine = (
        'nothing to read from' => '"$CHATCTL" "$@" <&0',
        'no standard error'    => '"$CHATCTL" "$@" 2>&-',
        'a pipe on both sides' => 'cat | "$CHATCTL" "$@" | cat',
        'without a terminal'   => 'setsid -w "$CHATCTL" "$@"',
        'nohup'                => 'nohup "$CHATCTL" "$@" 2>/dev/null',
        'nice'                 => 'nice -n 19 "$CHATCTL" "$@"',
        'SIGPIPE ignored'      => q(trap '' PIPE; "$CHATCTL" "$@"),
        'SIGHUP ignored'       => q(trap '' HUP INT TERM; "$CHATCTL" "$@"),
        'umask 077'            => 'umask 077; "$CHATCTL" "$@"',
        'umask 000'            => 'umask 000; "$CHATCTL" "$@"',
        'umask 777'            => 'umask 777; "$CHATCTL" "$@"',
        'more descriptors'     => '"$CHATCTL" "$@" 3>&1 4</dev/null 9>&1',
    );

    works($_, with => 'add|list', shell => $fine{$_}) for sort keys %fine;

    refuses('standard input closed', qr/the password is empty/,
            shell => '"$CHATCTL" "$@" <&-');
    refuses('standard input is a folder', qr/cannot read standard input/,
            shell => '"$CHATCTL" "$@" </');
    refuses('standard input is empty', qr/the password is empty/, in => '');
    refuses('standard output closed', qr/standard output is closed/,
            shell => '"$CHATCTL" "$@" >&-');

    for my $command ('export alice', 'user list', 'db check', 'help') {
        for my $where ('>&-', '>/dev/full', '1</dev/null') {
            my $run = $ctl->run($command,
                                shell => "\"\$CHATCTL\" \"\$@\" $where");

            isnt($run->{code}, 0, "$command $where fails");
            isnt($run->{err}, '', 'and says so');
        }
    }

    my $run = $ctl->run('user add carol', in => "secret\n",
                        shell => '"$CHATCTL" "$@" >/dev/full');
    is($run->{code}, 1, 'user add >/dev/full');
    like($run->{err}, qr/the command succeeded, but .*Added carol/, 'error');
    $ctl->sql('DELETE FROM chat_user WHERE id > 2');

    $run = $ctl->run('export alice', shell => '"$CHATCTL" "$@" | head -n 1');
    is($run->{out}, "{\n", 'export to a closed pipe');

    $run = $ctl->run('user list', shell =>
                     '{ "$CHATCTL" "$@"; echo $? >&2; } | true');
    like($run->{err}, qr/^(?:141|1)$/m, 'list to a closed pipe');

    # each command reads one line
    $run = $ctl->run('user add', in => "one\r\ntwo\nthree\n", shell =>
                     'for n in carol dave eve; do "$CHATCTL" "$@" $n; done');
    is($run->{out}, "Added carol.\nAdded dave.\nAdded eve.\n",
       'three commands share standard input');

    for my $pair (['carol', 'one'], ['dave', 'two'], ['eve', 'three']) {
        my $hash = $ctl->sql('SELECT password FROM chat_user
                              WHERE username = ?', $pair->[0]);
        is(crypt($pair->[1], $hash), $hash, "the password of $pair->[0]");
    }

    $run = $ctl->run('user', in => "carol\ndave\neve\n", shell =>
                     'while read -r n; do "$CHATCTL" "$@" disable $n; done');
    is(() = $run->{out} =~ /^Disabled/mg, 3,
       'other commands do not read standard input');
    $ctl->sql('DELETE FROM chat_user WHERE id > 2');
}


sub limits {
    works($_, shell => "$_; \"\$CHATCTL\" \"\$@\"")
        for 'ulimit -n 24', 'ulimit -c 0', 'ulimit -s 1024';

    works('ulimit -f 0', shell =>
          '(ulimit -f 0; exec "$CHATCTL" "$@") | cat');

    for my $limit ('ulimit -n 4', 'ulimit -v 8192', 'ulimit -t 0') {
        my $run = $ctl->run('export alice',
                            shell => "$limit; \"\$CHATCTL\" \"\$@\"");

        ok($run->{code} != 0 || $run->{out} eq $Export,
           "$limit: complete output or an error");
        isnt(substr($run->{out}, -2), "}\n", 'incomplete JSON after an error')
            if $run->{code};
    }
}


# standard input, and the password or the error

sub passwords {
    my @table = (
        ["secret\n", 'secret'], ['secret', 'secret'], ["secret\r\n", 'secret'],
        ["secret\r", 'secret'], ["secret\rmore\r", 'secret'],
        ["secret\nmore\n", 'secret'], ["secret\r\n\x1a", 'secret'],
        ["\xef\xbb\xbfsecret\n", 'secret'],
        ["\xef\xbb\xbfsecret\r\n", 'secret'],
        [" secret\n", ' secret'], ["se cret\n", 'se cret'],
        ["secret \n", 'secret ', qr/note: .* ends with a space/],
        ["secret\t\r\n", "secret\t", qr/note: .* ends with a space/],
        ["-n\n", '-n'], ["-e x\\n\\0101\n", '-e x\\n\\0101'],
        ["\\\n", '\\'], ["se\\cret\\\\\n", 'se\\cret\\\\'],
        ["\$(id) `id` \"'*\n", "\$(id) `id` \"'*"], ["%s%n\n", '%s%n'],
        ["p\xc3\xa4ss\n", "p\xc3\xa4ss"],
        ["\xf0\x9f\x98\x80\n", "\xf0\x9f\x98\x80"],
        ['x' x 511 . "\n", 'x' x 511],
        ['x' x 512 . "\n", undef, qr/longer than 511 bytes/],
        ['x' x 5_000_000, undef, qr/longer than 511 bytes/],
        ["\n", undef, qr/the password is empty/],
        ["\r\n", undef, qr/the password is empty/],
        ["\xef\xbb\xbf\r\n", undef, qr/the password is empty/],
        ["\n\nsecret\n", undef, qr/the password is empty/],
        ["\xff\xfes\0e\0c\0\n\0", undef, qr/UTF-16/],
        ["\xfe\xff\0s\0e\0c\0\n", undef, qr/UTF-16/],
        ["s\0e\0c\0\r\0\n\0", undef, qr/UTF-16/],
        ["\0s\0e\0c\0\n", undef, qr/UTF-16/],
        ["sec\0ret\n", undef, qr/UTF-16 or contains a null/],
        ["p\xe4ss\n", undef, qr/not in UTF-8/],
        ["p\xc3\n", undef, qr/not in UTF-8/],
        ["sec\x1b[Dret\n", undef, qr/control character/],
        ["sec\x7fret\n", undef, qr/control character/],
    );

    for my $row (@table) {
        my ($in, $password, $regex) = @$row;
        my $name = substr $in, 0, 24;

        $name =~ s/([^ -~]|\\)/sprintf '\\x%02x', ord $1/ge;

        if (!defined $password) {
            refuses("password $name", $regex, in => $in);
            next;
        }

        my $run = $ctl->run('user add carol', in => $in);
        my $hash = $ctl->sql('SELECT password FROM chat_user WHERE id > 2');

        is("$run->{code}$run->{out}", "0Added carol.\n", "password $name");
        is(crypt($password, $hash // '*'), $hash, 'hash of the password');
        like($run->{err}, $regex // qr/\A\z/, 'note');
        $ctl->sql('DELETE FROM chat_user WHERE id > 2');
    }
}


sub option_files {
    my $file = $ctl->path('chatctl.cnf');
    my $text = Chat::Chatctl::slurp($file);
    my ($password) = $text =~ /^password=(.*)/m;
    my $head = $text =~ s/^\[mysql\].*//msr;

    mkdir "$dir/included";
    Chat::Chatctl::spew("$dir/included/a.cnf", "[client]\nuser=owner\n");
    Chat::Chatctl::spew("$dir/included/b.cnf", "[mysql]\ndatabase=ctl\nraw\n");
    Chat::Chatctl::spew("$dir/included/c.txt", "[client]\nuser=nobody\n");

    my %fine = (
        'as it is'             => $text,
        'CRLF'                 => $text =~ s/\n/\r\n/gr,
        'CR'                   => $text =~ s/\n/\r/gr,
        'BOM'                  => "\xef\xbb\xbf$text",
        'BOM and CRLF'         => "\xef\xbb\xbf" . $text =~ s/\n/\r\n/gr,
        'no line end at last'  => $text =~ s/\n\z//r,
        'blanks'               => $text =~ s/^(\w+)=(.*)/ $1 = $2 \t/mgr,
        'blanks in sections'   => $text =~ s/^\[(.*)\]/ [$1] /mgr,
        'comments'             => "# x\n; y\n\n$text\n#raw\n",
        'comments behind'      => $text =~ s/^(user=.*)/$1 # root/mr,
        'quotes'               => $text =~ s/^(\w+)=(.*)/$1="$2"/mgr,
        'other quotes'         => $text =~ s/^(\w+)=(.*)/$1='$2'/mgr,
        'abbreviations'        => $text =~ s/^password/pass/mr
                                       =~ s/^database/data/mr
                                       =~ s/^socket/sock/mr,
        'loose'                => $text =~ s/^user/loose-user/mr,
        'underscores'          => $text . "connect_timeout=9\nssl_cipher=\n",
        'another one before'   => "[client]\nuser=nobody\n$text",
        'a database of [client]' => "${head}database=ctl\n",
        'a database in quotes' => "${head}database=\"ct\\l\"\n" =~ s/\\l/l/r,
        'other sections'       => "[mysqld]\nuser=x\n[mysqldump]\nhost=y\n$text",
        'includes'             => "!include $dir/included/b.cnf\n$head",
        'a folder of includes' => "$text!includedir $dir/included\n",
        'what includes leave'  => "[client]\n!include $dir/included/b.cnf\n"
                                  . $head =~ s/^\[client\]\n//r,
    );

    for my $name (sort keys %fine) {
        Chat::Chatctl::spew($file, $fine{$name});

        my $run = $ctl->run('export alice');
        is("$run->{code}$run->{err}", '0', "option file: $name");
        ok($run->{out} eq $Export, 'export');
    }

    my %wrong = (
        'no database'     => [$head, qr/does not set "database"/],
        'empty'           => ['', qr/does not set "database"/],
        'UTF-16'          => ["\xff\xfe[\0c\0", qr/is not UTF-8 text/],
        'UTF-16, no mark' => ["[\0c\0]\0\n\0", qr/is not UTF-8 text/],
        'a missing include' => ["!include /nowhere\n$text", qr/\/nowhere: No/],
        'itself'          => ["!include $file\n$text", qr/too many nested includes/],
    );

    for my $name (sort keys %wrong) {
        Chat::Chatctl::spew($file, $wrong{$name}[0]);
        refuses("option file: $name", $wrong{$name}[1]);
    }

    Chat::Chatctl::spew($file, $text);
    chmod 0666, $file;
    refuses('option file: world-writable',
            qr/writable by all users; run "chmod 600"/);
    chmod 0600, $file;

    Chat::Chatctl::spew("$dir/a b.cnf", $text);
    works('option file: --config with a blank',
          shell => '"$CHATCTL" --config "$DIR/a b.cnf" "$@"',
          env => { DIR => $dir });
    works('option file: --config=, relative', env => { DIR => $dir },
          shell => 'cd "$DIR" && "$CHATCTL" --config="a b.cnf" "$@"');
    works('option file: from a pipe',
          shell => 'exec 5<&0; cat "$CHATCTL_CONF" |'
                   . ' "$CHATCTL" --config /dev/fd/6 "$@" 6<&0 <&5');

    refuses('option file: a folder', qr/\Q$dir\E/,
            env => { CHATCTL_CONF => $dir });
    refuses('option file: none', qr/cannot read the option file \/nowhere/,
            env => { CHATCTL_CONF => '/nowhere' });
}


# schema and migrations with other line ends and byte order marks

sub sql_files {
    my $copy = "$dir/sql";

    system('cp', '-r', "$top/sql", $copy);
    local $ENV{COPY} = $copy;
    system('find "$COPY" -name "*.sql" -exec perl -pi -e '
           . q('s/^/\xef\xbb\xbf/ if $. == 1; s/\n/\r\n/; close ARGV if eof')
           . ' {} +');

    my $env = { CHATCTL_SQL => $copy };

    $ctl->reset;
    my $run = $ctl->run('db init', env => $env);
    like("$run->{code}$run->{out}$run->{err}", qr/^0Schema version \d+\.\n\z/,
         'db init with CRLF and byte order marks');
    like($ctl->run('db check', env => $env)->{out}, qr/^ok   schema version/m,
         'db check');

    $ctl->reset;
    $ctl->load("$FindBin::Bin/data/schema-1.sql");
    $run = $ctl->run('db migrate', env => $env);
    is("$run->{code}$run->{err}", '0', 'db migrate');
    is($ctl->run('db check', env => $env)->{code}, 0, 'db check after migrate');

    $ctl->reset;
    $ctl->load("$FindBin::Bin/data/schema-1.sql");
    $run = $ctl->run('db migrate',
                     shell => 'exec sh -f "$CHATCTL" "$@"');
    like($run->{out}, qr/^Applying 0002.*^Applying 0003/ms, 'sh -f');

    unlink glob "\Q$copy\E/migrations/*";
    $ctl->reset;
    $ctl->load("$FindBin::Bin/data/schema-1.sql");
    $run = $ctl->run('db migrate', env => $env);
    is($run->{code}, 1, 'missing migrations');
    like($run->{err}, qr/has no migration to version/, 'error');

    $run = $ctl->run('db init', env => { CHATCTL_SQL => '/nowhere' });
    is($run->{code}, 1, 'missing schema.sql');

    $ctl->reset;
    $run = $ctl->run('db init', env => { CHATCTL_SQL => '/nowhere' });
    like($run->{err}, qr{cannot read /nowhere/schema.sql}, 'error');
    $ctl->tables;
    $ctl->fill(20);
}


# prompts on a Linux terminal

sub terminal {
    my ($said, $code, $modes) = on_terminal('user add carol',
                                            'sesame street', 'sesame street');

    is($code, 0, 'a terminal');
    like($said, qr/Password: \s*Password again: \s*Added carol\./,
         'two prompts');
    unlike($said, qr/sesame/, 'no echo');
    like($modes, qr/(?<!-)\becho\b/, 'echo is restored');
    my $hash = $ctl->sql("SELECT password FROM chat_user
                          WHERE username = 'carol'");
    is(crypt('sesame street', $hash), $hash, 'the password');

    ($said, $code, $modes) = on_terminal('user passwd carol', 'one', 'two');
    is($code, 1, 'passwords differ');
    like($said, qr/the passwords differ/, 'error');
    like($modes, qr/(?<!-)\becho\b/, 'echo is restored');

    ($said, $code, $modes) = on_terminal('user passwd carol', "\3");
    isnt($code, 0, 'interrupted');
    like($modes, qr/(?<!-)\becho\b/, 'echo is restored');
    is(scalar $ctl->sql("SELECT password FROM chat_user
                         WHERE username = 'carol'"), $hash, 'password is unchanged');

    ($said, $code) = on_terminal('erase carol --wait 0', 'carola');
    is($code, 1, 'erase: wrong name');
    like($said, qr/nothing was deleted/, 'error');

    ($said, $code) = on_terminal('erase carol --wait 0', 'carol');
    is($code, 0, 'erase: right name');
    like($said, qr/Erased carol: deleted 0 messages/, 'done');
}


# on_terminal COMMAND, LINES: returns the output, the exit code and the final
# modes

sub on_terminal {
    my ($command, @lines) = @_;

    open my $master, '+<', '/dev/ptmx' or die "/dev/ptmx: $!\n";
    my ($number, $unlock) = (pack('i', 0), pack('i', 0));
    ioctl $master, 0x40045431, $unlock or die "TIOCSPTLCK: $!\n";
    ioctl $master, 0x80045430, $number or die "TIOCGPTN: $!\n";
    my $slave = '/dev/pts/' . unpack 'i', $number;

    # keeps the terminal open to read the last output
    open my $keep, '+<', $slave or die "$slave: $!\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        POSIX::setsid();
        open STDIN, '+<', $slave or die "$slave: $!\n";
        ioctl STDIN, 0x540e, 0;
        open STDOUT, '>&', \*STDIN;
        open STDERR, '>&', \*STDIN;
        $ENV{CHATCTL_CONF} = $ctl->path('chatctl.cnf');
        exec "$top/chatctl", split ' ', $command or POSIX::_exit(127);
    }

    my $said = '';
    my $read = sub {
        my ($seconds) = @_;

        vec(my $ready = '', fileno $master, 1) = 1;
        return 0 if select($ready, undef, undef, $seconds) < 1;
        return sysread $master, $said, 4096, length $said;
    };

    for my $line (@lines) {
        my $end = time + 20;
        my $before = length $said;

        # a prompt ends with a space
        until (substr($said, $before) =~ /: \z/) {
            last if !$read->(1) && time > $end;
        }

        select undef, undef, undef, 0.1;
        syswrite $master, $line eq "\3" ? $line : "$line\n";
    }

    waitpid $pid, 0;
    my $code = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    while ($read->(0.1)) { }

    my $modes = `stty -a <$slave`;

    return ($said, $code, $modes);
}
