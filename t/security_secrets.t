#
# Copyright (C) ngx_chat contributors
#

# Passwords, tokens and texts of messages do not appear in logs, the process
# list, the output of "nginx -T", error pages, responses and files.

use File::Copy qw(copy);
use File::Temp qw(tempdir);

# workers with fewer rights than the master, as a site has them
BEGIN { $ENV{TEST_NGINX_WORKER_USER} //= $ENV{CHAT_TEST_ACCOUNT} }

use Test::Nginx::Socket 'no_plan';
use Chat;

our $dir = tempdir(CLEANUP => 1);
our $Nginx = $ENV{TEST_NGINX_BINARY} // 'nginx';

# each secret is unique

our %Secret = (
    password  => 'pass-Zw4nfH',
    fresh     => 'fresh-Kq8bTd',
    wrong     => 'wrong-Rm2xLs',
    body      => 'body-Yc6jPv',
    search    => 'find-Ug7sNe',
    key       => 'key-Ob3wQa',
);

our ($Token, $Bearer);

# database_password: returns the password in the file that chat_db names

sub database_password {
    open my $file, '<', $ENV{TEST_NGINX_CHAT_PASSWORD_FILE} or die $!;
    chomp(my $password = readline $file);

    return $password;
}

# set_up: sets the password of u1

sub set_up {
    set_password('u1', crypt $Secret{password}, '$y$j75$saltsaltsalt');
}

# use_it: performs valid and invalid operations with secrets; returns responses

sub use_it {
    my $log_in = sub {
        return api('', POST => '/api/v1/session/', { username => 'u1', @_ });
    };

    my @answers = map { $log_in->(password => $_) } @Secret{qw(wrong password)};

    ($Token) = $answers[1]->headers->set_cookie =~ /^sessionid=([^;]+)/;

    push @answers, $log_in->(password => $Secret{password},
                             token => JSON::PP::true);
    $Bearer = $answers[-1]->json->{token};

    my @cookie = (Cookie => "sessionid=$Token");
    my @bearer = (Authorization => "Bearer $Bearer");
    my $agent = Mojo::UserAgent->new(max_redirects => 0);

    push @answers, map {
        $agent->post(url('/login/'),
                     form => { username => 'u1', password => $_ })->res
    } @Secret{qw(wrong password)};

    my %message = (recipient => 'u2', body => $Secret{body});

    my $socket = web_socket('u2');
    push @answers,
        (map { api('', POST => '/api/v1/message/', { %message }, @$_) }
             \@cookie, \@bearer, [@cookie, 'Idempotency-Key' => $Secret{key}],
             [@cookie, 'Idempotency-Key' => $Secret{key}],
             [@cookie, Origin => 'https://evil.example']),
        Mojo::UserAgent->new->post(url('/api/v1/message/'),
                                   json => { %message })->res,
        api('', POST => '/api/v1/message/', { %message, recipient => 'nobody' },
            @cookie),
        api('', POST => '/api/v1/message/',
            { %message, body => $Secret{body} x 1000 }, @cookie),
        api('', GET => '/api/v1/message/1/', undef, @cookie),
        api('', GET => '/api/v1/message/', undef, @bearer),
        api('', GET => '/api/v1/conversation/', undef, @cookie),
        api('', GET => '/', undef, @cookie);

    # truncated JSON, and an unsupported content type
    push @answers, map {
        $agent->post(url('/api/v1/message/'), { @cookie, 'Content-Type' => $_ },
                     qq({"recipient":"u2","body":"$Secret{body}))->res
    } 'application/json', 'text/plain';

    push @answers, map {
        api('', POST => '/api/v1/password/',
            { old_password => $_, new_password => $Secret{fresh} }, @cookie)
    } @Secret{qw(wrong password)};

    push @answers, api('', DELETE => '/api/v1/session/', undef, @cookie),
         api('', DELETE => '/api/v1/session/', undef, @bearer);

    wait_until { @{ $socket->{frames} } >= 3 };

    return @answers;
}

# log_lines: returns the lines of the error log and the access log

sub log_lines {
    open my $access, '<', "$Test::Nginx::Util::ServRoot/logs/access.log"
        or die "access.log: $!\n";

    # a response may arrive before its line is written
    settle();

    return (split(/\n/, error_log()), readline $access);
}

# shown SECRETS: returns the lines of the logs with one of the secrets

sub shown {
    my $any = join '|', map { quotemeta } @_;

    return grep { /$any/ } log_lines();
}

# hashes: returns the stored hashes of passwords and tokens

sub hashes {
    return sql('SELECT password FROM chat_user WHERE id = 1'),
           map { lc } sql('SELECT HEX(token_hash) FROM chat_session');
}

run_tests();


__DATA__

=== logs: level info shows no secret
--- given
set_up();
--- log_level: info
--- then
my @hashes = hashes();
my @answers = use_it();

is(join(' ', map { $_->code } @answers),
   '403 200 200 200 302 201 201 201 200 403 403 404 400 200 200 200 200 400'
   . ' 415 403 204 204 403', 'all responses are as expected');

my @lines = log_lines();
is(scalar(grep { /chat login failed/ } @lines), 2, 'the error log has logins');
is(scalar(grep { m{POST /api/v1/message/} } @lines) > 5, 1,
   'the access log has sends');

is_deeply([shown(values %Secret, $Token, $Bearer, token('u2'), @hashes,
                 hashes(), database_password())], [], 'no line has a secret');


=== logs: level debug shows tokens only in nginx's own lines
--- given
set_up();
--- log_level: debug
--- then
my @hashes = hashes();
use_it();

my @lines = log_lines();

SKIP: {
    main::skip('this nginx has no debug log', 4) if !grep { /\[debug\]/ } @lines;

    is(scalar(grep { /\[debug\].*chat db packet "message\.send"/ } @lines) > 2,
       1, 'the module writes debug lines');

    is_deeply([shown(@Secret{qw(password fresh wrong body)}, @hashes, hashes(),
                     database_password())],
              [], 'no password, text or hash in any line');

    # headers of requests and responses, as described in SECURITY.md

    my $headers = join '|',
        map({ qr/ \[debug\] \S+ \*\d+ (?:http|parse) header: "$_: / }
            qw(Cookie Authorization Idempotency-Key)),
        qr/^Set-Cookie: /;

    my @shown = shown($Token, $Bearer, token('u2'), $Secret{key});
    is_deeply([grep { !/$headers/ } @shown], [],
              'only header lines have tokens');
    is(scalar(grep { /$headers/ } @shown) > 5, 1, 'header lines have tokens');
}


=== logs: text rejected by the database is not logged
--- http
chat_db_timeout 1s;
--- log_level: debug
--- no_error_log
[alert]
--- given
set_up();
sql('ALTER TABLE chat_message MODIFY body VARCHAR(3) NOT NULL');
--- then
my $res = api('u1', POST => '/api/v1/message/',
              { recipient => 'u2', body => $Secret{body} });
cmp_ok($res->code, '>=', 500, 'rejected');
unlike($res->body, qr/\Q$Secret{body}\E|chat_message|Data too long/i,
       'the response has no text of the database');
is(scalar(grep { /chat: database error 1406 \(22001\)/ } log_lines()) > 0, 1,
   'the log has error number and SQL state');
is_deeply([shown($Secret{body})], [], 'the log does not have the text');

# the tables exist for all blocks
sql('ALTER TABLE chat_message MODIFY body MEDIUMTEXT CHARACTER SET utf8mb4
     COLLATE utf8mb4_bin NOT NULL');


=== logs: a duplicate key in a database error is not logged
--- log_level: debug
--- no_error_log
[alert]
--- then
my @keys = ('Idempotency-Key' => $Secret{key});

api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' }, @keys);
is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'y' },
       @keys)->code, 409, 'rejected');
is_deeply([grep { !/http header: "/ } shown($Secret{key})], [],
          'only header lines have the key');


=== the process list shows no secret
--- given
set_up();
--- then
use_it();

my %shown;
my $secrets = join '|', map { quotemeta } values %Secret, $Token, $Bearer,
                                          database_password();

for my $pid (master_pid(), worker_pids()) {
    for my $name (qw(cmdline environ comm)) {
        open my $file, '<', "/proc/$pid/$name" or next;
        local $/;
        my $text = readline($file) // '';

        $shown{read}++;
        $shown{$name}++ if $text =~ /$secrets/;
    }
}

cmp_ok(delete $shown{read}, '>=', 3, 'the files are readable');
is_deeply(\%shown, {}, 'no secret in the arguments or environment');


=== nginx -T shows no password
--- then
my $root = $Test::Nginx::Util::ServRoot;
my $text = `$Nginx -T -p $root/ -c $root/conf/nginx.conf 2>&1`;

like($text, qr/password_file=\Q$ENV{TEST_NGINX_CHAT_PASSWORD_FILE}\E/,
     'the output has the name of the file');
unlike($text, qr/\Q@{[database_password()]}\E/,
       'the output does not have the password');


=== a password file that is readable by other accounts causes a warning
--- then
my $root = $Test::Nginx::Util::ServRoot;
my $file = "$dir/password";
copy($ENV{TEST_NGINX_CHAT_PASSWORD_FILE}, $file) or die $!;
chmod 0644, $file;

open my $conf, '<', "$root/conf/nginx.conf" or die $!;
my $text = do { local $/; readline $conf };
$text =~ s/password_file=[^ ;]+/password_file=$file/ or die;
open my $changed, '>', "$dir/nginx.conf" or die $!;
print $changed $text;
close $changed;

like(scalar `$Nginx -t -p $root/ -c $dir/nginx.conf 2>&1`,
     qr/\Q$file\E" is accessible by other users/, 'mode 0644');
chmod 0600, $file;
unlike(scalar `$Nginx -t -p $root/ -c $dir/nginx.conf 2>&1`,
       qr/is accessible by other users/, 'mode 0600');


=== workers cannot read the password file if nginx starts as root
--- then
SKIP: {
    main::skip('not root', 3) if $> != 0;

    for my $pid (worker_pids()) {
        open my $status, '<', "/proc/$pid/status" or die $!;
        my ($uid) = map { /^Uid:\s+\d+\s+(\d+)/ } <$status>;

        main::skip('the workers are root here', 3) if $uid == 0;

        local $> = $uid;
        ok(!open(my $file, '<', $ENV{TEST_NGINX_CHAT_PASSWORD_FILE}),
           'not readable');
    }

    is(api(u1 => GET => '/api/v1/user/')->code, 200,
       'the workers work without it');
}


=== responses contain no hash, password or token of another user
--- given
set_up();
message(u2 => 'u1', 'x');
--- then
my @answers = use_it();
my $bodies = join "\n", map { $_->body } @answers;

# the token is returned once, to the client that requested it

is(scalar(() = $bodies =~ /\Q$Bearer\E/g), 1, 'the token is returned once');
unlike($bodies, qr/\Q$Token\E/, 'no body has a cookie');
unlike($bodies, qr/\$y\$|pbkdf2/, 'no body has a stored password');
unlike($bodies, qr/\Q$Secret{$_}\E/, "no $_") for qw(password fresh wrong);

my $bad = join "\n", map { $_->body } grep { $_->code >= 400 } @answers;
unlike($bad, qr/\Q$Secret{body}\E/, 'no error has the text of a message');


=== error pages do not reveal internals
--- server
error_page 404 /404.html;
--- then
my @answers = (
    api('u1', GET => '/nothing'),
    api('u1', GET => '/api/v1/nothing'),
    api('', GET => '/ws'),
    api('u1', POST => '/api/v1/message/', { body => 'x' x 70000 }),
    api('u1', GET => '/chat/publish'),
    api('u1', GET => '/login.html'),
);

is(join(' ', map { $_->code } @answers), '404 404 403 413 404 404', 'errors');
unlike($_->body, qr/chat_|mysql|maria|select|\.c\b|sessionid|\Q@{[token('u1')]}\E/i,
       'no internals') for @answers;


=== no file has a password or token
--- given
set_up();
--- then
use_it();

my $root = $Test::Nginx::Util::ServRoot;
my $found = `grep -rlF -e $Secret{password} -e $Secret{fresh} -e $Token $root`;
is($found, '', 'no file of the server has a secret');


=== the database has no token or plain-text password
--- given
set_up();
--- then
use_it();

my @tables = sql('SHOW TABLES');
my $all = '';

for my $table (@tables) {
    $all .= join "\n", map { $_ // '' } sql("SELECT * FROM $table");
}

like($all, qr/\Q$Secret{body}\E/, 'messages are stored');
unlike($all, qr/\Q$Token\E|\Q$Bearer\E/, 'no token');
unlike($all, qr/\Q$Secret{$_}\E/, "no $_") for qw(password fresh wrong);
