#
# Copyright (C) ngx_chat contributors
#

# docs/openapi.yaml: responses of each operation match its description.  All
# other tests compare their responses with it too; this file requests the rest.

use File::Temp qw(tempdir);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Files;
use Chat::Grants;
use Chat::OpenAPI qw(operations description);
use Chat::Proxy;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;

our $socket = "$dir/db.sock";
our $proxy = Chat::Proxy->new($socket, $ENV{TEST_NGINX_CHAT_SOCKET});

# JSON with which operations succeed; other operations need none

our %Json = (
    '/api/v1/message/'                  => { recipient => 'u2', body => 'x' },
    '/api/v1/message/{id}/'             => { body => 'y' },
    '/api/v1/admin/user/{name}/'        => { display_name => 'x' },
    '/api/v1/profile/'                  => { display_name => 'x' },
    '/api/v1/conversation/{name}/read/' => { id => 1 },
    '/api/v1/session/'  => { username => 'u1', password => $Chat::Password },
    '/api/v1/password/' => { old_password => $Chat::Password,
                             new_password => $Chat::Password },
    '/api/v1/file/'     => { body => 'of the file' },
    '/login/'           => { username => 'u1', password => $Chat::Password },
);

# ours PATTERN: returns the operations with a matching path

sub ours {
    my ($pattern) = @_;

    return grep { $_->[1] =~ $pattern } operations();
}

# perform USER, [METHOD, PATH], QUERY, HEADERS: returns the response

sub perform {
    my ($who, $op, $query, @headers) = @_;

    my ($method, $path) = @$op;
    my $json = $method =~ /^(POST|PATCH)$/ ? $Json{$path} : undef;

    $path = path($path);
    $path .= '?name=a' if $path eq '/api/v1/file/' && !length($query // '');

    return api($who, $method => $path . ($query // ''), $json, @headers);
}

# path PATTERN: returns a path

sub path {
    my ($path) = @_;

    $path =~ s/\{id\}/1/;
    $path =~ s/\{file\}/'0' x 32/e;
    $path =~ s/\{filename\}/a/;
    $path =~ s/\{name\}/u2/;

    return $path;
}

# codes_are EXPECTED, USER, OPERATIONS: compares the status of each operation

sub codes_are {
    my ($expected, $who, $operations, @more) = @_;

    cmp_ok(scalar @$operations, '>', 0, "operations that return $expected");

    for my $op (@$operations) {
        is(perform($who, $op, @more)->code, $expected,
           "$op->[0] $op->[1]: $expected");
    }
}

# refusing TABLES, CODE: runs CODE while each read of a row in TABLES fails with
# an error that the module does not know.  A missing index would be an error
# that it knows.

sub refusing {
    my ($tables, $code) = @_;

    sql("CREATE FUNCTION refuse() RETURNS INT
         BEGIN SIGNAL SQLSTATE '45000'; RETURN 0; END");

    for my $table (@$tables) {
        sql("RENAME TABLE $table TO away_$table");
        sql("CREATE VIEW $table AS SELECT * FROM away_$table WHERE refuse()");
    }

    my $fault = eval { $code->(); '' } // $@;

    for my $table (@$tables) {
        sql("DROP VIEW $table");
        sql("RENAME TABLE away_$table TO $table");
    }

    sql('DROP FUNCTION refuse');
    die $fault if length $fault;
}

# with_body: returns the operations with a request body that has fields

sub with_body {
    return grep { $_->[2]{requestBody} && $_->[1] ne '/api/v1/file/' }
                operations();
}

# all paths exist
add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(change => 'with_files();' . ($block->change // ''));
});

grant('admin');
run_tests();


__DATA__

=== HEAD returns the headers of GET without a body
--- given
message(u1 => 'u2', 'one');
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- then
my %queries = (
    '/api/v1/message/'      => ['', '?after=x', '?page=9', '?after=0'],
    '/api/v1/message/{id}/' => ['', '/../9'],
    '/api/v1/user/'         => ['', '?limit=0', '?search=u'],
    '/api/v1/user/{id}/'    => ['', '/../9'],
    '/api/v1/conversation/' => ['', '?limit=0'],
    '/api/v1/profile/{name}/' => ['', '/../nobody'],
    '/api/v1/admin/user/'   => ['', '?limit=0'],
    '/api/v1/admin/audit/'  => ['', '?limit=0'],
);

for my $op (grep { $_->[0] eq 'HEAD' } ours(qr{^/api/})) {
    for my $query (@{ $queries{$op->[1]} // [''] }) {
        my $head = perform('u1', $op, $query);
        my $get = perform('u1', [GET => $op->[1]], $query);
        my @both = map { $_->headers->remove('Date'); $_->headers->to_hash }
                       $head, $get;

        is($head->code, $get->code, "$op->[1]$query: same status");
        is_deeply(@both, 'same headers');
        is($head->body, '', 'no body');
    }
}


=== OPTIONS describes a path
--- then
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
codes_are(200, 'u1', [grep { $_->[0] eq 'OPTIONS' } operations()]);


=== all ways to log out redirect
--- then
codes_are(302, 'u1', [grep { $_->[0] ne 'OPTIONS' } ours(qr{^/logout/})]);


=== unauthenticated requests are rejected
--- then
codes_are(403, '', [grep { !$_->[2]{security} } ours(qr{^/api/})]);


=== cross-origin requests are rejected
--- then
my @headers = (Origin => 'https://evil.example');

sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
codes_are(403, 'u1',
          [grep { $_->[0] =~ /POST|PUT|PATCH|DELETE/ }
               ours(qr{^/(api|login)/})],
          '', @headers);
codes_are(403, 'u1', [ours(qr{^/logout/})], '', @headers);


=== requests for another user are rejected
--- given
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- then
codes_are(409, 'u1',
          [grep { $_->[0] =~ /POST|PUT|PATCH|DELETE/ } ours(qr{^/api/})],
          '', 'X-Chat-User' => 'u2');


=== other methods are not allowed
--- given
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- then
my $paths = description()->{paths};

for my $path (sort keys %$paths) {
    for my $method (qw(PUT PATCH POST DELETE GET HEAD BREW)) {
        next if $paths->{$path}{lc $method};

        my $res = perform('u1', [$method, $path]);

        is($res->code, 405, "$method $path: 405");
        is($res->headers->header('Allow'), $paths->{$path}{'x-allow'},
           'allowed methods');
    }
}


=== bodies of a wrong type, of a wrong size, or malformed are rejected
--- change
s/(chat_login  page=.*\n)/$1client_max_body_size 64k;\n/ or die;
--- given
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- then
for my $op (with_body()) {
    my ($method, $path) = @$op;
    my $url = path($path);

    my %bodies = (413 => ['application/json', ' ' x 66000],
                  415 => ['text/plain', 'x'],
                  400 => ['application/json', '{']);

    for my $code (sort keys %bodies) {
        my ($type, $body) = @{ $bodies{$code} };
        my $tx = Mojo::UserAgent->new->build_tx(
            $method => url($url),
            { Cookie => 'sessionid=' . token('u1'), 'Content-Type' => $type },
            $body);

        is(Mojo::UserAgent->new->start($tx)->res->code, $code,
           "$method $path: $code");
    }
}


=== without a database, requests return 503
--- given
$proxy->refuse;
--- change
s{unix:[^ ]+}{unix:$socket};
--- then
codes_are(503, 'u1', [ours(qr{^/api/})]);
codes_are(503, 'u1', [grep { $_->[0] eq 'POST' } ours(qr{^/login/})]);
codes_are(503, 'u1', [grep { $_->[0] ne 'OPTIONS' } ours(qr{^/logout/})]);


=== rejected statements return 500
--- server
chat_session_check 1h;
--- given
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 1');
--- then
message(u1 => 'u2', 'one');

# from now on the session is cached
is(api('u1', GET => '/api/v1/session/')->code, 200, 'logged in');

refusing(['chat_conversation'], sub {
    codes_are(500, 'u1', [grep { $_->[0] =~ /GET|HEAD/ }
                               ours(qr{^/api/v1/message/$})]);
});

# a message by its id names an index of chat_message, and joins chat_user
refusing(['chat_user'], sub {
    codes_are(500, 'u1', [grep { $_->[0] ne 'OPTIONS' }
                               ours(qr{^/api/v1/message/\{id\}/$})]);
});

refusing([qw(chat_session chat_user chat_message)], sub {
    codes_are(500, 'u1', [grep { $_->[0] ne 'OPTIONS'
                                 && "@$_[0, 1]" !~ m{^(?!POST).*/message/} }
                               ours(qr{^/api/v1/(message|user|profile|admin|conversation|
                                                 password)/}x)]);
    codes_are(500, 'u1', [grep { $_->[0] =~ /POST|DELETE/ }
                               ours(qr{^/(api/v1/session|login)/})]);
    codes_are(500, 'u1', [grep { $_->[0] ne 'OPTIONS' }
                               ours(qr{^/logout/})]);
});

sql("INSERT INTO chat_file (token, owner_id, created_at, size, type, name)
     VALUES (REPEAT('0', 32), 1, UTC_TIMESTAMP(6), 1, 'a/b', 'a')");
refusing(['chat_file'], sub {
    codes_are(500, 'u1', [grep { $_->[0] ne 'OPTIONS' }
                               ours(qr{^/api/v1/file/})]);
});

is(api('u1', PUT => '/api/v1/block/u2/')->code, 204, 'blocked');
refusing([qw(chat_block chat_user chat_conversation)], sub {
    codes_are(500, 'u1', [grep { $_->[0] ne 'OPTIONS' }
                               ours(qr{^/api/v1/block/})]);
});

refusing(['chat_session'], sub {
    codes_are(500, 'u1', [grep { $_->[0] =~ /GET|HEAD/ }
                               ours(qr{^/api/v1/session/all/})]);
});


=== requests above the limits are rejected
--- change
s/^( *)#(?=[^\s#])/$1/mg >= 25 or die "no limits in the configuration\n";
s/(rate=)\d+r\/s/${1}1r\/m/g;
s/(burst=)\d+ +nodelay/nodelay/g;
--- then
is(api('', GET => '/api/v1/')->code, 403, 'the first request is accepted');
is(api('', POST => '/login/', {})->code, 200, 'and the first login');
codes_are(429, 'u1', [ours(qr{^/api/})]);
codes_are(429, 'u1', [grep { $_->[0] eq 'POST' } ours(qr{^/login/})]);


=== differences from the description are found
--- then
my $time = '2025-12-30T07:03:02.325660Z';
my %headers = (
    'Allow'                  => 'GET, PATCH, DELETE, HEAD, OPTIONS',
    'Cache-Control'          => 'no-store',
    'Content-Type'           => 'application/json',
    'Referrer-Policy'        => 'same-origin',
    'Vary'                   => 'Accept, Cookie',
    'X-Content-Type-Options' => 'nosniff',
    'X-Frame-Options'        => 'DENY',
);
my $message = '{"id":1,"user":"u1","recipient":"u2","timestamp":"'
              . "$time\",\"body\":\"x\"}";

my $faults = sub {
    my ($method, $target, $code, $body, %change) = @_;

    my %all = (%headers, %change);

    return scalar(my @faults = Chat::OpenAPI::faults(
        $method, $target, $code,
        [map { ($_ => $all{$_}) } grep { defined $all{$_} } keys %all],
        $body));
};
my $of = sub { return $faults->(GET => '/api/v1/message/1', 200, @_) };

is($of->($message), 0, 'an unchanged message');
is($faults->(HEAD => '/api/v1/message/1/', 200, ''), 0, 'HEAD');
is($faults->(GET => 'http://h/api//v1/x/../%6dessage/1/?a=b', 200, $message),
   0, 'a path in another form');
is($faults->(GET => '/api/v1/none/', 404, '{"detail":"Not found."}',
             Allow => undef), 0, 'an unknown path');
is($faults->(PUT => '/api/v1/message/1/', 405,
             '{"detail":"Method \"PUT\" not allowed."}'), 0,
   'a method that is not allowed');
is($faults->(GET => '/', 500, '', 'X-Other' => 1), 0, 'a path outside the API');

isnt($of->($message =~ s/$time/2025-12-30T07:03:02Z/r), 0,
     'the format of a time');
isnt($of->($message =~ s/1/"1"/r), 0, 'the type of an id');
isnt($of->($message =~ s/"u1"/null/r), 0, 'null');
isnt($of->($message =~ s/"user":"u1",//r), 0, 'a missing member');
isnt($of->($message =~ s/"user"/"z":1,"user"/r), 0, 'an additional member');
isnt($of->("[$message]"), 0, 'an array');
isnt($of->("$message x"), 0, 'invalid JSON');
isnt($of->($message =~ s/"x"/"\xff"/r), 0, 'invalid UTF-8');
isnt($of->(''), 0, 'no body');
isnt($of->($message, $_ => undef), 0, "no $_") for sort keys %headers;
isnt($of->($message, $_ => 'x'), 0, "another $_") for sort keys %headers;
isnt($of->($message, 'Content-Type' => 'application/json; charset=utf-8'), 0,
     'a parameter of the content type');
isnt($of->($message, 'Allow' => 'GET, HEAD, OPTIONS'), 0, 'a missing method');
isnt($of->($message, 'X-Other' => 1), 0, 'an additional header');
isnt($of->($message, 'Set-Cookie' => 'a=b'), 0, 'a cookie');
isnt($faults->(HEAD => '/api/v1/message/1/', 200, $message), 0,
     'a body in a response to HEAD');
isnt($faults->(GET => '/api/v1/message/1/', 201, $message), 0, 'a status');
isnt($faults->(PUT => '/api/v1/message/1/', 200, $message), 0, 'a method');
isnt($faults->(GET => '/api/v1/none/', 200, $message), 0, 'a path');
isnt($faults->(GET => '/api/v1/message/1/', 403, '{"detail":"Go away."}'), 0,
     'another message');
isnt($faults->(DELETE => '/api/v1/session/', 204, ''), 0,
     'a logout with a content type and without a cookie');
