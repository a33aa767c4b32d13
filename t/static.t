#
# Copyright (C) ngx_chat contributors
#

# the files of the web client: caching by browsers, and compression

use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin;
use HTTP::Tiny;
use Test::Nginx::Socket 'no_plan';
use Chat;

my $source = "$FindBin::Bin/../html";
our $html = tempdir(CLEANUP => 1);
our @files = map { s{^\Q$source\E}{}r } glob "$source/*.html $source/static/*";

chmod 0755, $html;
make_path("$html/static");
copy("$source$_", "$html$_") or die "$_: $!\n" for @files;

# paths and users
our %served = (
    '/'           => 'u1',
    '/index.html' => 'u1',
    map { $_ => '' } grep { m{^/static/} } @files,
);

# get USER, PATH, HEADERS: returns the response without decompressing it

sub get {
    my ($who, $path, %headers) = @_;

    $headers{cookie} = 'sessionid=' . token($who) if length $who;

    return HTTP::Tiny->new(max_redirect => 0, timeout => 10)
                     ->get(url($path), { headers => \%headers });
}

# zipped RESPONSE: returns whether the response is compressed

sub zipped {
    my ($res) = @_;

    return ($res->{headers}{'content-encoding'} // '') eq 'gzip'
           && substr($res->{content}, 0, 2) eq "\x1f\x8b";
}

# requests of a site, with the status

our @answers = (
    ['',   '/',                      302],
    ['',   '/nothing',               302],
    ['u1', '/',                      200],
    ['u1', '/nothing',               404],
    ['',   '/static/nothing.js',     404],
    ['',   '/static/app.js',         200],
    ['',   '/login/',                200],
    ['',   '/api/v1/session/',       403],
    ['u1', '/api/v1/session/',       200],
    ['u1', '/api/v1/message/',       200],
    ['u1', '/api/v1/message/99999/', 404],
    ['u1', '/logout/',               302],
);

# type RESPONSE: returns the content type without parameters

sub type {
    return $_[0]{headers}{'content-type'} =~ s/;.*//r;
}

run_tests();


__DATA__

=== responses that depend on the session or version are not cached
--- then
for (@answers) {
    my ($who, $path, $status) = @$_;
    my $res = get($who, $path);
    my $kept = $res->{headers}{'cache-control'} // '';

    is($res->{status}, $status, "$path has the expected status");
    like($kept, $path =~ m{^/(login|logout|api)/} ? qr/^no-store$/
                                                  : qr/^no-cache$/,
         "$path as '$who', $status");
    ok(!exists $res->{headers}{expires}, "$path has no Expires");
}


=== a failed login is not cached
--- then
my $res = HTTP::Tiny->new->post_form(url('/login/'),
                                     { username => 'u1', password => 'x' });
is($res->{status}, 200, 'the login page');
is($res->{headers}{'cache-control'}, 'no-store', 'not stored');


=== after an upgrade, only changed files are sent
--- change
s{root [^;]+;}{root $main::html;} or die;
--- then
for my $path (sort keys %served) {
    my $who = $served{$path};
    my $file = "$html$path" . ($path eq '/' ? 'index.html' : '');

    for my $encoding ('', 'gzip') {
        my %accept = $encoding ? ('accept-encoding' => $encoding) : ();
        my $old = get($who, $path, %accept);
        my $etag = $old->{headers}{etag};
        my $modified = $old->{headers}{'last-modified'};

        # as browsers do
        my @again = ($who, $path, %accept, 'if-none-match' => $etag,
                     'if-modified-since' => $modified);

        is($old->{status}, 200, "$path $encoding");
        is(get(@again)->{status}, 304, "$path $encoding is unchanged");

        # the same size and an earlier time: from a package with an earlier date
        my $time = (stat $file)[9];
        my $text = Chat::read_file($file) =~ tr/a-z/b-za/r;

        open my $out, '>', $file or die "$file: $!\n";
        print $out $text;
        close $out;
        utime $time - 86400, $time - 86400, $file;

        my $new = get(@again);

        is($new->{status}, 200, "$path $encoding has changed");
        isnt($new->{headers}{etag}, $etag, 'another ETag');
        ok($new->{content} ne $old->{content}, 'another content');
        is($new->{headers}{'cache-control'}, 'no-cache', 'to be revalidated');
    }
}


=== a logged-out client gets no 304
--- then
my $etag = get('u1', '/')->{headers}{etag};

is(get('u1', '/', 'if-none-match' => $etag)->{status}, 304, 'logged in');
is(get('', '/', 'if-none-match' => $etag)->{status}, 302, 'logged out');


=== compression: files are compressed
--- then
for my $path (sort keys %served) {
    my $res = get($served{$path}, $path, 'accept-encoding' => 'gzip, br');

    ok(zipped($res), "$path is compressed");
    is($res->{headers}{vary}, 'Accept-Encoding', "$path: Vary is set");
    like($res->{headers}{etag}, qr{^W/"}, "$path has a weak ETag");

    my $plain = get($served{$path}, $path);

    ok(!zipped($plain), "$path is not compressed without gzip support");
    is($plain->{headers}{vary}, 'Accept-Encoding',
       "$path: Vary is set without gzip");
    cmp_ok(length $res->{content}, '<', length $plain->{content},
           "$path is smaller");
    is(type($res), type($plain), "$path keeps its type");
}


=== compression: scripts are compressed with any mime.types
--- change
s{include [^;]+mime.types;}{types { text/css css; text/javascript js; }} or die;
--- then
ok(zipped(get('', "/static/$_", 'accept-encoding' => 'gzip')), $_)
    for qw(app.js chat.js style.css);


=== compression: responses with users' texts are never compressed
--- http
gzip on;
gzip_types *;
gzip_min_length 1;
gzip_vary on;
--- given
message('u2', 'u1', 'hello ' x 500);
message('u1', 'u2', 'hello ' x 500);
--- then
for my $path (qw(/api/v1/message/ /api/v1/message/?after=0 /api/v1/conversation/
                 /api/v1/user/ /api/v1/session/ /login/))
{
    my $res = get('u1', $path, 'accept-encoding' => 'gzip, deflate, br');

    cmp_ok(length $res->{content}, '>', 20, "$path has a body");
    ok(!exists $res->{headers}{'content-encoding'}, "$path is not compressed");
}
