#
# Copyright (C) ngx_chat contributors
#

# where passwords, tokens and texts of messages must not show: logs at any
# level, the list of processes, "nginx -T", pages of errors, answers, the disk

use File::Copy qw(copy);
use File::Temp qw(tempdir);

# workers with fewer rights than the master, as a site has them
BEGIN { $ENV{TEST_NGINX_WORKER_USER} //= $ENV{CHAT_TEST_ACCOUNT} }

use Test::Nginx::Socket 'no_plan';
use Chat;

our $dir = tempdir(CLEANUP => 1);
our $Nginx = $ENV{TEST_NGINX_BINARY} // 'nginx';

# each of them is found by no other text

our %Secret = (
    password  => 'pass-Zw4nfH',
    fresh     => 'fresh-Kq8bTd',
    wrong     => 'wrong-Rm2xLs',
    body      => 'body-Yc6jPv',
    search    => 'find-Ug7sNe',
    key       => 'key-Ob3wQa',
);

our ($Token, $Bearer);

# database_password: what is in the file that chat_db names

sub database_password {
    open my $file, '<', $ENV{TEST_NGINX_CHAT_PASSWORD_FILE} or die $!;
    chomp(my $password = readline $file);

    return $password;
}

# set_up: u1's password is ours

sub set_up {
    set_password('u1', crypt $Secret{password}, '$y$j75$saltsaltsalt');
}

# use_it: all that there is to do with secrets, well and badly; the answers

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

    # JSON that ends too early, and a type that is not read
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

# log_lines: of the error log and the access log

sub log_lines {
    open my $access, '<', "$Test::Nginx::Util::ServRoot/logs/access.log"
        or die "access.log: $!\n";

    # an answer may be there before its line is
    settle();

    return (split(/\n/, error_log()), readline $access);
}

# shown SECRETS: the lines of the logs that have any of them

sub shown {
    my $any = join '|', map { quotemeta } @_;

    return grep { /$any/ } log_lines();
}

# hashes: what the tables hold of the passwords and tokens

sub hashes {
    return sql('SELECT password FROM chat_user WHERE id = 1'),
           map { lc } sql('SELECT HEX(token_hash) FROM chat_session');
}

run_tests();


__DATA__

=== logs: no secret at level "info"
--- given
set_up();
--- log_level: info
--- then
my @hashes = hashes();
my @answers = use_it();

is(join(' ', map { $_->code } @answers),
   '403 200 200 200 302 201 201 201 200 403 403 404 400 200 200 200 200 400'
   . ' 415 403 204 204 403', 'all went as it should');

my @lines = log_lines();
is(scalar(grep { /chat log-in failed/ } @lines), 2, 'the log is that log');
is(scalar(grep { m{POST /api/v1/message/} } @lines) > 5, 1, 'and the other');

is_deeply([shown(values %Secret, $Token, $Bearer, token('u2'), @hashes,
                 hashes(), database_password())], [], 'no line shows any');


=== logs: at level "debug" tokens show in nginx's own lines alone
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
       1, 'ours are there');

    is_deeply([shown(@Secret{qw(password fresh wrong body)}, @hashes, hashes(),
                     database_password())],
              [], 'no password, text or hash in any line');

    # README and SECURITY warn of these: the headers as they came and went

    my $headers = join '|',
        map({ qr/ \[debug\] \S+ \*\d+ (?:http|parse) header: "$_: / }
            qw(Cookie Authorization Idempotency-Key)),
        qr/^Set-Cookie: /;

    my @shown = shown($Token, $Bearer, token('u2'), $Secret{key});
    is_deeply([grep { !/$headers/ } @shown], [],
              'tokens in lines of headers only');
    is(scalar(grep { /$headers/ } @shown) > 5, 1, 'there they are');
}


=== logs: what the database refuses to store
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
cmp_ok($res->code, '>=', 500, 'refused');
unlike($res->body, qr/\Q$Secret{body}\E|chat_message|Data too long/i,
       'without a word of the database');
is(scalar(grep { /chat: database error 1406 \(22001\)/ } log_lines()) > 0, 1,
   'the log has number and state');
is_deeply([shown($Secret{body})], [], 'not the text');

# the tables are made once for all blocks
sql('ALTER TABLE chat_message MODIFY body MEDIUMTEXT CHARACTER SET utf8mb4
     COLLATE utf8mb4_bin NOT NULL');


=== logs: a duplicate that the database would quote
--- log_level: debug
--- no_error_log
[alert]
--- then
my @keys = ('Idempotency-Key' => $Secret{key});

api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' }, @keys);
is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'y' },
       @keys)->code, 409, 'refused');
is_deeply([grep { !/http header: "/ } shown($Secret{key})], [],
          'the key is in no line but those of headers');


=== the list of processes
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

cmp_ok(delete $shown{read}, '>=', 3, 'it can be read');
is_deeply(\%shown, {}, 'no secret in arguments or environment');


=== nginx -T
--- then
my $root = $Test::Nginx::Util::ServRoot;
my $text = `$Nginx -T -p $root/ -c $root/conf/nginx.conf 2>&1`;

like($text, qr/password_file=\Q$ENV{TEST_NGINX_CHAT_PASSWORD_FILE}\E/,
     'the name of the file');
unlike($text, qr/\Q@{[database_password()]}\E/, 'not what is in it');


=== a password file that others can read is warned of
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
     qr/\Q$file\E" is open to others/, 'open');
chmod 0600, $file;
unlike(scalar `$Nginx -t -p $root/ -c $dir/nginx.conf 2>&1`,
       qr/is open to others/, 'closed');


=== the workers cannot read the password file, if nginx begins as root
--- then
SKIP: {
    main::skip('not root', 3) if $> != 0;

    for my $pid (worker_pids()) {
        open my $status, '<', "/proc/$pid/status" or die $!;
        my ($uid) = map { /^Uid:\s+\d+\s+(\d+)/ } <$status>;

        main::skip('the workers are root here', 3) if $uid == 0;

        local $> = $uid;
        ok(!open(my $file, '<', $ENV{TEST_NGINX_CHAT_PASSWORD_FILE}), 'closed');
    }

    is(api(u1 => GET => '/api/v1/user/')->code, 200, 'they need not');
}


=== answers: no hash, token or password of anybody comes out
--- given
set_up();
message(u2 => 'u1', 'x');
--- then
my @answers = use_it();
my $bodies = join "\n", map { $_->body } @answers;

# the token is given once, to who asked for it

is(scalar(() = $bodies =~ /\Q$Bearer\E/g), 1, 'the token, once');
unlike($bodies, qr/\Q$Token\E/, 'a cookie in no body');
unlike($bodies, qr/\$y\$|pbkdf2/, 'no stored password');
unlike($bodies, qr/\Q$Secret{$_}\E/, "no $_") for qw(password fresh wrong);

my $bad = join "\n", map { $_->body } grep { $_->code >= 400 } @answers;
unlike($bad, qr/\Q$Secret{body}\E/, 'no error repeats the text');


=== answers: pages of errors tell nothing of what is inside
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
       'nothing inside') for @answers;


=== files: neither passwords nor tokens are left in any
--- given
set_up();
--- then
use_it();

my $root = $Test::Nginx::Util::ServRoot;
my $found = `grep -rlF -e $Secret{password} -e $Secret{fresh} -e $Token $root`;
is($found, '', 'in none below the server');


=== the database: neither tokens nor passwords are in it
--- given
set_up();
--- then
use_it();

my @tables = sql('SHOW TABLES');
my $all = '';

for my $table (@tables) {
    $all .= join "\n", map { $_ // '' } sql("SELECT * FROM $table");
}

like($all, qr/\Q$Secret{body}\E/, 'messages are');
unlike($all, qr/\Q$Token\E|\Q$Bearer\E/, 'no token');
unlike($all, qr/\Q$Secret{$_}\E/, "no $_") for qw(password fresh wrong);
