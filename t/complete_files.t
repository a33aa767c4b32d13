#
# Copyright (C) ngx_chat contributors
#

# pictures and files: the contract, part 4.5

use utf8;
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Files;

our $Png = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR" . pack('NN', 640, 480)
           . "\x08\x02\0\0\0" . 'x' x 100;

# header RESPONSE, NAME

sub header {
    my ($res, $name) = @_;

    return $res->headers->header($name) // '';
}

run_tests();


__DATA__

=== a file is uploaded, sent, and downloaded by both people only
--- change
with_files();
--- then
my $res = upload('u1', 'name=photo.png', $Png, 'image/png');
my $file = $res->json;
my $token = $file->{file};

is($res->code, 201, 'uploaded');
like($token, qr/^[0-9a-f]{32}$/, 'a token');
is_deeply($file, { file => $token, name => 'photo.png', type => 'image/png',
                   size => length $Png, width => 640, height => 480 },
          'the response');

my $path = "/api/v1/file/$token/photo.png";

is(api('u1', GET => $path)->code, 200, 'the uploader reads it');
is(api($_, GET => $path)->code, 404, "$_ does not") for 'u2', 'u3';
is(api('', GET => $path)->code, 403, 'without a session');
is(api('u2', POST => '/api/v1/message/',
       { recipient => 'u1', files => [$token] })->body,
   '{"files":["No such file."]}', "another user's file");

my $message = send_files('u1', 'u2', $token);

is_deeply($message->{files},
          [{ file => $token, name => 'photo.png', type => 'image/png',
             size => length $Png, width => 640, height => 480,
             url => $path }], 'the message has the file');
is($message->{body}, '', 'and no text');
is(join(' ', sort keys %$message), 'body files id recipient timestamp user',
   'and no other members');

for my $who ('u1', 'u2') {
    $res = api($who, GET => $path);

    is($res->code, 200, "$who reads it");
    is($res->body, $Png, 'the contents');
}

is(header($res, 'Content-Type'), 'image/png', 'the type');
is(header($res, 'Content-Disposition'),
   q{inline; filename="photo.png"; filename*=UTF-8''photo.png}, 'the name');
is(header($res, 'X-Content-Type-Options'), 'nosniff', 'nosniff');
is(header($res, 'Content-Security-Policy'), "sandbox; default-src 'none'",
   'the policy');
is(header($res, 'Cache-Control'), 'private', 'the cache');

is(api('u3', GET => $path)->code, 404, 'another user');
is(api('u3', GET => $path)->body,
   api('u3', GET => "/api/v1/file/${\ ('0' x 32)}/x")->body,
   'as if it did not exist');
is(api('u2', GET => "/api/v1/file/$token/")->code, 200, 'without a name');
is(api('u2', GET => "/api/v1/file/$token")->code, 200, 'without a slash');
is(api('u2', GET => "/api/v1/file/$token/other")->code, 200, 'another name');
is(api('u2', HEAD => $path)->headers->content_length, length $Png, 'HEAD');

# every representation
for my $list ('message/', 'message/?target=u1', 'message/?after=0',
              'message/?after=0&target=u1', 'message/?after=0&changes=1',
              'message/?before=latest', 'message/?page=last')
{
    is_deeply(api('u2', GET => "/api/v1/$list")->json->{results}[0]{files},
              $message->{files}, $list);
}

is_deeply(api('u2', GET => "/api/v1/message/$message->{id}/")->json, $message,
          'the message');
is_deeply(api('u2', GET => '/api/v1/conversation/')->json
              ->{results}[0]{last_message}, $message, 'the conversation');


=== ranges and conditional requests
--- change
with_files();
--- then
my $path = '/api/v1/file/' . uploaded('u1', 'a.txt', '0123456789') . '/a.txt';
my $res = api('u1', GET => $path, undef, Range => 'bytes=2-4');

is($res->code . ' ' . $res->body, '206 234', 'a range');
is(header($res, 'Content-Range'), 'bytes 2-4/10', 'its position');
is(api('u1', $_ => $path, undef, Range => 'bytes=20-')->code, 416,
   "$_: no such range") for qw(GET HEAD);
is(api('u1', HEAD => $path, undef, Range => 'bytes=2-4')->code, 206,
   'HEAD of a range');

my $tag = header(api('u1', GET => $path), 'ETag');

isnt($tag, '', 'a tag');
is(api('u1', $_ => $path, undef, 'If-None-Match' => $tag)->code, 304,
   "$_: not modified") for qw(GET HEAD);
is(api('u3', GET => $path, undef, 'If-None-Match' => $tag)->code, 404,
   'to another user, it does not exist');


=== names
--- change
with_files();
--- then
for ([ 'a%0D%0ASet-Cookie:%20x=1', 'a line break' ], [ 'a%00b', 'a null' ],
     [ '..', 'a parent' ], [ '.', 'a directory' ], [ 'a%2Fb', 'a slash' ],
     [ '..%5Ca', 'a backslash' ], [ '', 'empty' ], [ '%20%20', 'blank' ],
     [ 'x' x 256, 'too long' ], [ '%FF', 'invalid UTF-8' ],
     [ 'exe%E2%80%AEgpj', 'a change of direction' ])
{
    my $res = upload('u1', "name=$_->[0]", 'x', 'text/plain');

    is($res->code, 400, "$_->[1]: status");
    like($res->body, qr/^\{"name":\["[^"]+"\]\}$/, "$_->[1]: body");
}

is(upload('u1', '', 'x', 'text/plain')->body,
   '{"name":["This field is required."]}', 'no name');

for ([ 'Fu%C3%9F%20%E2%9C%93%25%22%3B.pdf', 'Fuß ✓%";.pdf',
       q{filename="Fu_ ___;.pdf"; }
       . q{filename*=UTF-8''Fu%C3%9F%20%E2%9C%93%25%22%3B.pdf} ],
     [ 'e%CC%81.txt', 'é.txt',
       q{filename="_.txt"; filename*=UTF-8''%C3%A9.txt} ],
     [ '%E6%96%87%E4%BB%B6', '文件',
       q{filename="__"; filename*=UTF-8''%E6%96%87%E4%BB%B6} ])
{
    my ($escaped, $name, $disposition) = @$_;
    my $file = upload('u1', "name=$escaped", 'x', 'application/pdf')->json;

    is($file->{name}, $name, "the name $escaped");

    my $sent = send_files('u1', 'u2', $file->{file})->{files}[0];

    is($sent->{name}, $name, 'in the message');

    my $res = api('u2', GET => $sent->{url});

    is($res->code, 200, 'its URL');
    is(header($res, 'Content-Disposition'), "attachment; $disposition",
       'its header');
}


=== types
--- change
with_files();
--- then
for ([ 'image/png', $Png, 'image/png', 'inline' ],
     [ 'IMAGE/PNG; x=y', $Png, 'image/png', 'inline' ],
     [ 'image/png', '<script>alert(1)</script>', 'application/octet-stream',
       'attachment' ],
     [ 'image/jpeg', $Png, 'application/octet-stream', 'attachment' ],
     [ 'image/svg+xml', '<svg/>', 'image/svg+xml', 'attachment' ],
     [ 'text/html', '<script/>', 'text/html', 'attachment' ],
     [ 'video/mp4', 'x', 'video/mp4', 'inline' ],
     [ 'audio/ogg', 'x', 'audio/ogg', 'inline' ],
     [ 'a/b/c', 'x', 'application/octet-stream', 'attachment' ],
     [ 'x y/z', 'x', 'application/octet-stream', 'attachment' ],
     [ undef, 'x', 'application/octet-stream', 'attachment' ])
{
    my ($sent, $body, $type, $kind) = @$_;
    my $file = upload('u1', 'name=a', $body, $sent)->json;
    my $name = ($sent // 'none') . ' ' . substr $body, 0, 8;

    is($file->{type}, $type, "the type of $name");

    my $res = api('u1', GET => "/api/v1/file/$file->{file}/a");

    is(header($res, 'Content-Type'), $type, 'in the response');
    like(header($res, 'Content-Disposition'), qr/^$kind;/, $kind);
}


=== sizes and the quota
--- change
with_files('chat_max_file 1000; chat_file_quota 2500;');
--- then
my $res = upload('u1', 'name=a', '', 'text/plain');

is($res->code . ' ' . $res->body, '400 {"detail":"The file is empty."}',
   'empty');

$res = upload('u1', 'name=a', 'x' x 1001, 'text/plain');
is($res->code . ' ' . $res->body, '413 {"detail":"The file is too large."}',
   'too large');
is(upload('u1', 'name=a', 'x' x 1000, 'text/plain')->code, 201, 'the largest')
    for 1, 2;

$res = upload('u1', 'name=a', 'x' x 501, 'text/plain');
is($res->code, 429, 'the quota');
cmp_ok(header($res, 'Retry-After'), '>', 0, 'when to try again');
is(upload('u1', 'name=a', 'x' x 500, 'text/plain')->code, 201, 'the rest');
is(upload('u1', 'name=a', 'x', 'text/plain')->code, 429, 'nothing is left');
is(upload('u2', 'name=a', 'x', 'text/plain')->code, 201, 'of another user');

sql('UPDATE chat_file SET created_at = created_at - INTERVAL 1 DAY');
is(upload('u1', 'name=a', 'x', 'text/plain')->code, 201, 'a day later');

is(upload('', 'name=a', 'x', 'text/plain')->code, 403, 'without a session');
is(upload('u1', 'name=a', 'x', 'text/plain', Origin => 'http://evil.example')
       ->code, 403, 'a foreign origin');
is(api('u1', PUT => '/api/v1/file/')->code, 405, 'another method');


=== sending
--- change
with_files();
--- then
my @tokens = map { uploaded('u1', "$_.txt") } 1 .. 14;
my $send = sub {
    my (%fields) = @_;
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', %fields }, 'Idempotency-Key' =>
                  delete $fields{key} // rand);

    return $res->code . ' ' . ($res->code < 300
        ? join ',', map { $_->{name} } @{ $res->json->{files} // [] }
        : $res->body);
};

is($send->(files => [@tokens[2, 0, 1]], body => 'x'), '201 3.txt,1.txt,2.txt',
   'files in their order');
is($send->(files => [$tokens[0]]), '400 {"files":["No such file."]}',
   'a file that is sent');
is($send->(files => [$tokens[3], $tokens[3]]),
   '400 {"files":["No such file."]}', 'a file twice');
is($send->(files => [@tokens[3 .. 13]]), '400 {"files":["No such file."]}',
   'eleven files');
is($send->(files => [$tokens[3], '0' x 32]),
   '400 {"files":["No such file."]}', 'an unknown file among others');
is($send->(files => [$tokens[3], 1]), '400 {"files":["No such file."]}',
   'a number');
is($send->(files => { a => 1 }), '400 {"files":["No such file."]}',
   'an object');
is($send->(files => "../$tokens[3]"), '400 {"files":["No such file."]}',
   'a path');
is($send->(files => [], body => 'x'), '201 ', 'no files');
is($send->(files => undef, body => 'x'), '201 ', 'null');
is($send->(files => []), '400 {"body":["This field is required."]}',
   'no files and no text');
is($send->(files => "$tokens[3], $tokens[4]", body => '  '),
   '201 4.txt,5.txt', 'a list in a string, and a blank text');

# the same key
is($send->(files => [$tokens[5]], key => 'k'), '201 6.txt', 'a key');
is($send->(files => [$tokens[5]], key => 'k'), '200 6.txt', 'again');
like($send->(files => [$tokens[6]], key => 'k'), qr/^409 /, 'another file');
like($send->(body => 'x', key => 'k'), qr/^409 /, 'a text');
like($send->(files => [@tokens[5, 6]], key => 'k'), qr/^409 /, 'one more');
is(scalar sql('SELECT COUNT(*) FROM chat_file WHERE state = 1'), 6,
   'files are sent once');

# two messages with the same file at once
my @codes;
request('u1', POST => '/api/v1/message/',
        { recipient => 'u2', files => [$tokens[7]] })
    ->then(sub { push @codes, $_[0]->code }) for 1 .. 6;
wait_until { @codes == 6 };
is(join(' ', sort @codes), '201 400 400 400 400 400', 'only one has the file');

is(api('u2', PUT => '/api/v1/block/u1/')->code, 204, 'blocked');
like($send->(files => [$tokens[8]]), qr/^403 /, 'a message across a block');
is(scalar sql('SELECT state FROM chat_file WHERE token = ?', $tokens[8]), 0,
   'its file is not sent');


=== deletion
--- change
with_files();
--- then
my ($one, $two) = map { uploaded('u1', "$_.txt") } 1, 2;
my $message = send_files('u1', 'u2', $one, $two);
my $path = "/api/v1/message/$message->{id}/";

ok(-f stored($_), 'the file is stored') for $one, $two;

my $res = api('u1', PATCH => $path, { body => 'x' });
is($res->json->{files}[1]{file}, $two, 'an edit keeps the files');
is(api('u1', PATCH => $path, { body => '' })->json->{body}, '',
   'the text may become empty');

is(api('u1', DELETE => $path)->code, 204, 'deleted');
is(api($_, GET => "/api/v1/file/$one/")->code, 404, "$_ cannot read it")
    for 'u1', 'u2';
ok(wait_until { !-e stored($one) && !-e stored($two) }, 'the files disappear');
is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE files IS NOT NULL'), 0,
   'and the names');
ok(wait_until { !sql('SELECT COUNT(*) FROM chat_file WHERE state = 2') },
   'and are marked as removed');
is(scalar sql("SELECT COUNT(*) FROM chat_file WHERE name <> ''"), 0,
   'without names');

# not sent within a day
my $old = uploaded('u1', 'old.txt');
sql('UPDATE chat_file SET created_at = created_at - INTERVAL 26 HOUR');
is(api('u1', GET => "/api/v1/file/$old/")->code, 404, 'an old unsent file');
is(api('u1', POST => '/api/v1/message/', { recipient => 'u2',
       files => [$old] })->code, 400, 'cannot be sent');

$message = send_files('u1', 'u2', uploaded('u1', 'x.txt'));
is(api('u1', DELETE => "/api/v1/message/$message->{id}/")->code, 204,
   'another deletion');
ok(wait_until { !-e stored($old) }, 'it disappears');
ok(wait_until { sql('SELECT COUNT(*) FROM chat_file') == 1 },
   'rows of the quota are deleted after a day');
