#
# Copyright (C) ngx_chat contributors
#

# values with a meaning in SQL, JSON, nchan or a terminal, and invalid values:
# each is stored unchanged or rejected

use Encode qw(encode_utf8 decode_utf8);
use JSON::PP;
use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;
use Chat::Wire;

our $Json = '{"recipient":"u2","body":"x"}';

# valid texts, which must be returned unchanged

our @Texts = (
    "'", "''", '"', '\\', '\\\\', "\\'", "'\\", '\\"', '`', '%', '_', ';',
    '--', '-- x', '/*', '/*!50000 x */', '#x', '$1', '$1 $2 $9', '%s%n%V%d',
    '%27', '%00', '+', '&a=b', '?', ':x', '@@version', '\\n', '\\0', '\\Z',
    "x' OR '1'='1", "'); DROP TABLE chat_message; --", "x'; DELETE FROM"
    . " chat_user; COMMIT; --", "', 2, 3, NOW(), NULL, 'x'), (1, 2, 'y",
    "' UNION SELECT password FROM chat_user --", "' AND SLEEP(5) --",
    "\\' OR 1=1; --", "\x{bf}' OR 1=1 --", "\x{bf}\\' OR 1=1 --",
    "ʼ OR 1=1", "＇ OR 1=1", 'x" OR ""="', "a\tb", "a\nb", "a\r\nb", "a\x{1a}b",
    "a\x{8}b", "a\x{7f}b", "a\x{1}\x{2}\x{1f}b", "\e[31mred\e[0m",
    'null', 'true', '{}', '[]', '{"message": "1"}', '1e400', '-0', '0x1',
    '99999999999999999999999999', '\\u0000', '\\ud800', "a\x{2028}b",
    "a\x{fffe}b", "a\x{ffff}b", "a\x{fdd0}b", "a\x{10ffff}b", "a\x{202e}b",
    "\x{feff}a", "é", "e\x{301}", "İıſß", "😀", "👩\x{200d}👩\x{200d}👧",
    "\x{0301}a",
    '<script>alert(1)</script>', '<!--# echo var="chat_user" -->',
    '${jndi:ldap://x}', '{{7*7}}', "'" x 4000, '\\' x 4000, '😀' x 4000,
    join('', map { chr } 0x21 .. 0x7e),
    join('', 'a', map({ chr } 1 .. 31), 'b'),
);

# names of no user

our @Names = (
    grep({ length($_) < 3000 } @Texts),
    'u2,u3', 'u2/u3', "u2\x{1f}u3", '2,3', '2', '*', 'chat/2', '/chat/2',
    'u2/../u3', '../u2', '..', '.', 'u2 ', ' ', "u2\x{a0}x", 'u2%', 'u_',
    "u2\0",
    "u2\0x", "u\x{200b}2", "u2\x{ad}", 'ｕ2', 'u2\\', "u2'", 'n' x 151,
    'é' x 151, '😀' x 151,
);

sub escape {
    return join '', map { sprintf '%%%02x', ord } split //, encode_utf8($_[0]);
}

# units CHARACTER: its UTF-16 code units; Encode rejects surrogates

sub units {
    my ($n) = @_;

    return $n if $n < 0x10000;

    return (0xd800 + ($n - 0x10000 >> 10), 0xdc00 + ($n & 0x3ff));
}

# stored: all rows, for comparison

sub stored {
    return [map { [sql("SELECT * FROM $_ ORDER BY 1, 2")] }
                qw(chat_user chat_session chat_message chat_conversation)];
}

sub count {
    return scalar sql('SELECT COUNT(*) FROM chat_message');
}

# post JSON: a send by u1

sub post {
    my ($json, %option) = @_;

    return ask(wire(POST => $option{path} // '/api/v1/message/', as => 'u1',
                    json => $json));
}

# refused NAME, BODIES: each body must result in a JSON 400

sub refused {
    my ($what, @bodies) = @_;

    my @bad;

    for my $body (@bodies) {
        my $answer = post($body);
        my $json = eval { decode_json($answer->{body}) };

        push @bad, substr("$answer->{code} to $body", 0, 100)
            if $answer->{code} != 400 || ref $json ne 'HASH';
    }

    is_deeply(\@bad, [], $what);
}

# presence stores times of users
add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http => ($block->http // '') . "chat_presence off;\n");
});

run_tests();


__DATA__

=== texts are returned unchanged
--- then
my $before = stored();
my $socket = web_socket('u2');
my $n = 0;

for my $text (@Texts) {
    my $bytes = encode_utf8($text);
    my $shown = substr(unpack('H*', $bytes), 0, 60);

    # with two kinds of escapes, as a form, and as multipart
    my @bodies = (
        [json => '{"recipient":"u2","body":'
                 . JSON::PP->new->utf8->allow_nonref->encode($text) . '}'],
        [json => '{"recipient":"u2","body":"'
                 . join('', map { sprintf '\\u%04x', $_ }
                                map { units(ord) } split //, $text)
                 . '"}'],
        [form => 'recipient=u2&body=' . escape($text)],
        [type => 'multipart/form-data; boundary=b0undary',
         body => multipart(recipient => 'u2', body => $bytes)],
    );

    # 4,000 characters in %XX would exceed the size of a body
    splice @bodies, 1, 2 if length $text > 1000;

    for my $body (@bodies) {
        my $answer = ask(wire(POST => '/api/v1/message/', as => 'u1', @$body));

        $n++;
        is($answer->{code}, 201, "$shown as $body->[0]")
            or diag($answer->{text});

        my $json = eval { decode_json($answer->{body}) } // {};

        ok(defined $json->{body} && $json->{body} eq $text,
           'the response has the text')
            or diag($answer->{body});
        ok(scalar sql('SELECT HEX(body) FROM chat_message WHERE id = ?',
                      $json->{id}) eq uc unpack('H*', $bytes),
                      'the text is stored');
    }
}

is(count(), $n, 'no other message is stored');
ok(wait_until { @{ $socket->{frames} } >= $n }, 'each message is notified');
is_deeply([map { /^\{"message": "\d+"\}$/ ? () : $_ } @{ $socket->{frames} }],
          [], 'with its id only');

# lists are read from the database, not from the zone
my @bodies;

for (my $after = 0; ; ) {
    my $page = decode_json(
        ask(wire(GET => "/api/v1/message/?after=$after&limit=100",
                 as => 'u2'))->{body});
    push @bodies, texts($page->{results});
    $after = $page->{cursor};
    last unless $page->{has_more};
}

is(scalar @bodies, $n, 'lists have all messages');
is_deeply([grep { my $body = $_; !grep { $_ eq $body } @Texts } @bodies], [],
          'with unchanged texts');

my $after = stored();
is_deeply([@$after[0, 1]], [@$before[0, 1]],
          'users and sessions are unchanged');
is(exits(), '', 'no worker has died');


=== unknown names are rejected everywhere
--- given
message(u1 => 'u2', 'x');
--- then
my $before = stored();
my @sockets = map { web_socket($_) } qw(u1 u2 u3 u4);
my %bad;

my $expect = sub {
    my ($what, $name, $answer, $code, $like) = @_;

    push @{ $bad{$what} }, "$answer->{code} to "
                           . substr(unpack('H*', encode_utf8($name)), 0, 60)
        unless $answer->{code} =~ /\A(?:$code)\z/ && $answer->{body} =~ $like;
};

for my $name (@Names) {
    my $escaped = escape($name);
    my $json = JSON::PP->new->utf8->allow_nonref->encode($name);

    # a name with trailing white space is valid without it
    my $trimmed = $name =~ /^\s*u2\s*$/;

    if (!$trimmed) {
        $expect->('recipient', $name,
                  post(qq({"recipient":$json,"body":"x"})), '404|400',
                  qr/Not found|may not be blank|Null char|"body":/);
        $expect->('form', $name,
                  ask(wire(POST => '/api/v1/message/', as => 'u1',
                           form => "recipient=$escaped&body=x")), '404|400',
                  qr/Not found|may not be blank|Null char/);
    }

    $expect->('target', $name,
              ask(wire(GET => "/api/v1/message/?target=$escaped",
                       as => 'u1')), 200, qr/"count":0,/);
    $expect->('after, with a target', $name,
              ask(wire(GET => "/api/v1/message/?after=0&target=$escaped",
                       as => 'u1')), 200, qr/"results":\[\],/);
    $expect->('search', $name,
              ask(wire(GET => "/api/v1/user/?search=$escaped", as => 'u1')),
              200, qr/^\{"results":\[\],/)
        unless $name eq '2' || $name =~ /^[.]$/;
    $expect->('users after', $name,
              ask(wire(GET => "/api/v1/user/?after=$escaped", as => 'u1')),
              200, qr/^\{"results":\[.*\],"has_more":false\}$/);

    # nginx rejects a path with a NUL or above the root, and resolves ".."
    $expect->('conversation', $name,
              ask(wire(POST => "/api/v1/conversation/$escaped/read/",
                       as => 'u1', json => '{"id":1}')), '404|405|400',
              qr/Not found|not allowed|400 Bad Request/)
        unless $name =~ m{/[.][.]};
    $expect->('id', $name,
              ask(wire(GET => "/api/v1/message/$escaped/", as => 'u1')),
              '404|400|200', qr/Not found|400 Bad Request|"count":1,|"user":/)
        unless $name eq '2';
}

is_deeply(\%bad, {}, scalar(@Names) . ' names that are not found anywhere')
    or diag(encode_json(\%bad));
is_deeply(stored(), $before, 'the tables are unchanged');
settle();
is(join(' ', map { @{ $_->{frames} } } @sockets), '',
   'no notification is sent');
is(exits(), '', 'no worker has died');


=== names in paths and arguments do not select channels
--- given
message(u1 => 'u2', 'x');
--- then
my @others = map { web_socket('u3', path => $_) }
    map({ ("/ws?id=$_", "/ws?channel=$_", "/ws?target=$_", "/ws?$_") }
        '1', '2', '1,2', '1%2C2', 'chat/2', '%1f2', '*'), '/%77s';

is(join(' ', grep { $_ != 101 } map { $_->{code} } @others), '',
   'these are sockets of the calling user');

my $own = web_socket('u2');

for my $path ('/ws/2', '/ws/1,2', '/ws,2',
              qw(/ws/ /ws%2C2 /ws%1f2 /chat/2 /chat/publish/ /chat
                 /chat/publish?id=2 /chat%2Fpublish //chat//publish
                 /api/v1/../../chat/publish /api/v1/ws))
{
    is(web_socket('u3', path => $path)->{code}, 404, $path);
    is(ask(wire(POST => $path, as => 'u3', json => '{"message": "1"}'))
           ->{code} >= 400, 1, 'publishing is rejected');
}

is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' })
       ->code, 201, 'a send succeeds');
ok(wait_until { @{ $own->{frames} } }, 'its recipient is notified');
settle();
is(scalar @{ $own->{frames} }, 1, 'once');
is(join(' ', map { @{ $_->{frames} } } @others), '',
   'no other socket receives the notification');


=== keys of sends are compared exactly, invalid ones are rejected
--- then
my %codes;

my $send = sub {
    my ($key, @how) = @_;

    return ask(wire(POST => '/api/v1/message/', as => 'u1', @how));
};

# all printable ASCII characters are accepted and kept
my @keys = ((map { "k$_" } map { chr } 0x21 .. 0x7e), "' OR 1=1;--" =~ s/ //gr,
            '\\', "\\'", '%', '_', 'x' x 64, '$1', "');#");

for my $key (@keys) {
    my $json = encode_json({ recipient => 'u2', body => 'x',
                             client_id => $key });
    my $answer = post($json);

    is($answer->{code}, 201, $key);
    is(scalar sql('SELECT client_id FROM chat_message WHERE id = ?',
                  eval { decode_json($answer->{body})->{id} }), $key,
       'the key is stored');
    is(post($json)->{code}, 200, 'a retry');
    is(ask(wire(POST => '/api/v1/message/', as => 'u1', json => $Json,
                headers => ["Idempotency-Key: $key"]))->{code}, 200,
       'the header has the same meaning');
}

is(count(), @keys,
   'each key has its message, keys in upper and lower case differ');

my @bad;

for my $key ('', ' ', 'a b', "a\tb", "a\x{7f}", 'é', '😀', 'x' x 65, "a\0",
             "\x{1f}", "\x{2028}")
{
    my $answer = post(encode_json({ recipient => 'u2', body => 'x',
                                    client_id => $key }));
    push @bad, "$answer->{code} to $key" unless $answer->{code} == 400;

    next unless $key =~ /^[^\0]*\S[^\0]*$/;

    $answer = ask(wire(POST => '/api/v1/message/', as => 'u1', json => $Json,
                       headers => ['Idempotency-Key: ' . encode_utf8($key)]));
    push @bad, "$answer->{code} to the header $key"
        unless $answer->{code} == 400;
}

is_deeply(\@bad, [], 'invalid keys are rejected');
is(count(), @keys, 'and not stored');


=== invalid ids, pages and cursors are rejected
--- given
message(u1 => 'u2', 'x');
--- then
my @none = ('0', '00', '-1', '+1', '1.0', '1e0', '0x1', '1%20', '%201', '1%00',
            '1%0a', "1'", '1%20OR%201=1', '1;', '1,1', '1/*', '%D9%A1',
            '%EF%BC%91', 'NaN', 'null', 'true', 'latest.1',
            '18446744073709551616', '9' x 40, '1' x 3000,
            '9223372036854775808x');
my @far = ('2', '4294967297', '9223372036854775807', '9223372036854775808',
           '18446744073709551615');
my @bad;

my $expect = sub {
    my ($code, $path) = @_;

    my $answer = ask(wire(GET => "/api/v1/$path", as => 'u1'));
    push @bad, "$answer->{code} to " . substr $path, 0, 80
        unless $answer->{code} =~ /\A(?:$code)\z/;
};

for my $id (@none) {
    # nginx rejects a NUL in a path itself
    $expect->('404|400', "message/$id/") unless $id eq '1/*';
    $expect->('404|400', "user/$id/") unless $id eq '1/*';
    $expect->(404, "message/?page=$id");
    $expect->(400, "message/?before=$id");
    $expect->(400, "message/?after=$id") unless $id =~ /^(0|1\.0)$/;
    $expect->(400, "message/?after=1.$id") unless $id =~ /^0$/;
    $expect->(400, "message/?after=0&limit=$id");
    $expect->(400, "user/?limit=$id");
    $expect->(400, "conversation/?limit=$id");
    $expect->(400, "conversation/?before=$id");
}

for my $id (@far) {
    $expect->(404, "message/$id/");
    $expect->(404, "user/$id/") unless $id == 2;
    $expect->(404, "message/?page=$id");
    $expect->(200, "message/?before=$id");
    $expect->(200, "message/?after=$id");
    $expect->(200, "message/?after=$id.$id");
    $expect->(200, "conversation/?before=$id");
}

is_deeply(\@bad, [], 'no value is taken for another');

@bad = ();

for my $json (map { (qq({"id":$_}), qq({"id":"$_"})) } grep { !/%/ } @none) {
    my $answer = ask(wire(POST => '/api/v1/conversation/u2/read/', as => 'u1',
                          json => $json));
    push @bad, "$answer->{code} to $json" unless $answer->{code} == 400;
}

is_deeply(\@bad, [], 'invalid ids of read marks are rejected');

my $answer = ask(wire(POST => '/api/v1/conversation/u1/read/', as => 'u2',
                      json => '{"id":18446744073709551615}'));
is($answer->{body}, '{"unread":0,"read_id":1}', 'a mark goes no further than'
                                                . ' there are messages');
is(exits(), '', 'no worker has died');


=== invalid tokens and passwords are rejected
--- then
my $before = stored();
my @bad;

for my $token (map({ encode_utf8($_) } grep { length($_) < 3000
                                              && !/[\0\r\n]/ } @Names),
               "\xff" x 43, "\0" x 43 =~ s/\0/\x1/gr, ';', '=', '"' x 43,
               token('u1') . 'x', substr(token('u1'), 0, 42),
               uc token('u1'), ' ' . uc token('u1'), token('u1') . ',')
{
    for my $header ("Cookie: sessionid=$token", "Authorization: Bearer $token",
                    "Authorization: bearer  $token")
    {
        my $answer = ask(wire(GET => '/api/v1/session/',
                              headers => [$header]));

        push @bad, "$answer->{code} to $header"
            unless $answer->{code} =~ /^(403|400)$/;
    }

    # next to a valid session they are ignored
    my $answer = ask(wire(GET => '/api/v1/session/', headers => [
        "Cookie: sessionid=$token; sessionid=" . token('u1')
    ]));
    push @bad, "$answer->{code} to $token; ..."
        unless $answer->{code} =~ /^(200|400)$/;
}

is_deeply(\@bad, [], 'no token is accepted');

for my $value ("' OR '1'='1", '\\', "u1' --", "u1'/*", "u1\0", '%', 'u_',
               'n' x 20000)
{
    my $json = JSON::PP->new->utf8->allow_nonref->encode($value);

    like(post(qq({"username":$json,"password":"correct horse"}),
              path => '/api/v1/session/')->{code}, qr/^(403|400)$/,
         'no name is accepted');
}

for my $value ("' OR '1'='1", '\\', 'correct horse\\', 'correct hors_',
               'x' x 20000)
{
    my $json = JSON::PP->new->utf8->allow_nonref->encode($value);

    is(post(qq({"username":"u2","password":$json}),
            path => '/api/v1/session/')->{code}, 403,
            'no password is accepted');
}

is_deeply(stored(), $before, 'the tables are unchanged');

# a new password may be any of these texts
my $old = 'correct horse';

for my $new ("' OR '1'='1", "\\\\\\\\\\\\\\\\", "x'); DELETE FROM chat_user; --",
             'a%00b$1$2%s_', "\x{bf}' OR 1=1 --", '<b>😀</b>')
{
    my $json = JSON::PP->new->utf8;

    is(post($json->encode({ old_password => $old, new_password => $new }),
            path => '/api/v1/password/')->{code}, 204,
            'the password change succeeds');
    is(post($json->encode({ username => 'u1', password => $new }),
            path => '/api/v1/session/')->{code}, 200,
            'a login with the new password succeeds');

    # the change has ended the session of the request
    add_session('u1');

    is(post($json->encode({ username => 'u1', password => $old }),
            path => '/api/v1/session/')->{code}, 403,
            'a login with the old password fails');
    $old = $new;
}

is(scalar sql('SELECT COUNT(*) FROM chat_user'), 4, 'all users remain');
is(exits(), '', 'no worker has died');


=== invalid JSON is rejected
--- then
my @send = ('{"recipient":"u2","body":', '}');
my @not_utf8 = ("\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x80\x80",
                "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf",
                "\xed\xa0\x80\xed\xb0\x80", "\xf0\x80\x80\x80",
                "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98", "\xf4\x90\x80\x80",
                "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff",
                "\xe2\x28\xa1", "\xbf'", "\xc3\\\"");

refused('invalid UTF-8',
        map({ (qq($send[0]"a$_"}), qq($send[0]"$_ b"}),
               qq({"$_":1,"recipient":"u2","body":"x"}),
               qq({"other":["$_"],"recipient":"u2","body":"x"}),
               qq({"recipient":"u2$_","body":"x"}), "$Json$_", "$_$Json") }
            @not_utf8),
        "\xef\xbb\xbf$Json", "\xff\xfe" . Encode::encode('UTF-16LE', $Json),
        Encode::encode('UTF-16BE', $Json), Encode::encode('UTF-32LE', $Json));

refused('lone surrogates',
        map { (qq($send[0]"$_"}), qq($send[0]"a${_}b"}),
               qq({"$_":1,"recipient":"u2","body":"x"}),
               qq({"other":{"a":"$_"},"recipient":"u2","body":"x"})) }
            '\\ud800', '\\udbff', '\\udc00', '\\udfff', '\\uD800',
            '\\ud800\\ud800', '\\udc00\\ud800', '\\ud83d\\u0041',
            '\\ud83dA', '\\ud83d\\n', '\\\\\\ud800');

refused('NULs', "$send[0]\"a\0b\"}", qq($send[0]"a\\u0000b"}), "\0", "\0$Json",
        "$Json\0", "{\"recipient\0\":\"u2\",\"body\":\"x\"}",
        '{"recipient\\u0000":"u2","recipient":"u2","body":"x"}',
        '{"recipient":"u2\\u0000","body":"x"}');

refused('duplicate keys',
        '{"recipient":"u3","body":"x","recipient":"u2"}',
        '{"body":"x","body":"x","recipient":"u2"}',
        '{"recipient":"u2","body":"x","b\\u006fdy":"y"}',
        '{"recipient":"u2","body":"x","other":1,"other":2}',
        '{"":1,"":2,"recipient":"u2","body":"x"}',
        '{"client_id":"a","client_id":"b","recipient":"u2","body":"x"}');

refused('too many keys',
        '{' . join(',', map { qq("k$_":1) } 1 .. 5000) . '}',
        '{' . join(',', map({ qq("k$_":1) } 1 .. 63),
                   '"recipient":"u2","body":"x"') . '}');

refused('too deep',
        map { my ($open, $close) = @$_;
              map { (qq($send[0]) . $open x $_ . 1 . $close x $_ . '}',
                     qq({"recipient":"u2","body":"x","other":) . $open x $_
                     . 1 . $close x $_ . '}',
                     $open x $_, $open x $_ . $close x $_) } 100, 10000 }
            ['[', ']'], ['{"a":', '}']);

refused('invalid numbers',
        map({ qq($send[0]$_}) } '01', '+1', '.5', '1.', '0x1', '1e', '--1',
            '-', 'NaN', 'Infinity', '-Infinity', '1_000', '1,5',
            encode_utf8('１'), encode_utf8('١')));

refused('JSON with errors',
        qq({'recipient':'u2','body':'x'}), qq({recipient:"u2",body:"x"}),
        qq({"recipient":"u2","body":"x",}), qq({"recipient":"u2","body":"x"),
        qq({"recipient":"u2","body":"x), qq({"recipient":"u2""body":"x"}),
        qq(/* x */$Json), "// x\n$Json", "$Json$Json", "$Json,$Json",
        "$Json x", "$Json\"", "$Json]", "[$Json]", qq("$send[0]"), '"', '\\',
        "$send[0]\"\\x41\"}", "$send[0]\"\\u12\"}", "$send[0]\"\\u12g4\"}",
        "$send[0]\"a\nb\"}", "$send[0]\"a\x{1}b\"}", ' ',
        "$send[0]tru}", "$send[0]True}", "$send[0]undefined}", "$send[0]}",
        ',', ':', '{', '}', '[', ']', '{,}', '{:}', '{"a"}', '{"a":}',
        '{1:2}', '{null:1}');

refused('incomplete JSON', map { substr $Json, 0, $_ }
                                    0 .. length($Json) - 1);
is(count(), 0, 'no message is stored');
is(exits(), '', 'no worker has died');


=== unusual but valid JSON is accepted
--- then
my $deep = '[' x 25 . ']' x 25;
my $stored = 0;

for my $json (
    "\t\r\n $Json \n", '{"recipient":"u2","body":"x","other":' . $deep . '}',
    '{"":0,"recipient":"u2","body":"x"}',
    '{"recipient":"u2","b\\u006fdy":"x"}',
    '{"recipient":"u2","body":"x","Body":"y","body ":"y"}',
    '{"recipient":"u2","body":"x","other":{"a":1,"a":2,"body":"y"}}',
    '{"recipient":"u2","body":"x","other":' . '9' x 10000 . '}',
    '{"recipient":"u2","body":"x","other":-1e-9999}',
    '{"recipient":"u2","body":"x","' . 'k' x 50000 . '":1}',
    '{"recipient":"u2","body":"x","other":"' . '\\u0041' x 9000 . '"}',
    '{"recipient":"u2","body":"x","other":[' . '1,' x 20000 . '1]}',
    '{"recipient":"u2","body":"x","other":[' . '{},' x 15000 . '{}]}',
    '{' . join(',', map({ qq("k$_":1) } 1 .. 62),
               '"recipient":"u2","body":"x"') . '}',
    '{"recipient":"u2","body":"x","recipient ":"u3","client_id":null}',
) {
    my $answer = post($json);

    is($answer->{code}, 201, substr $json, 0, 60) or diag($answer->{body});
    like($answer->{body}, qr/"recipient":"u2",.*"body":"x"\}$/,
         'the message is correct');
    $stored++;
}

is(count(), $stored, 'each message is stored');


=== JSON with one changed byte is accepted or rejected
--- then
my $created = 0;
my (%codes, @bad);

for my $at (0 .. length($Json) - 1) {
    for my $byte ("\0", "\x1f", '"', '\\', '{', '}', '[', ',', ':', '0', "'",
                  ' ', "\x7f", "\x80", "\xc3", "\xed", "\xf4", "\xff")
    {
        my $json = $Json;
        substr $json, $at, 1, $byte;

        my $answer = post($json);

        $codes{ $answer->{code} }++;
        $created++ if $answer->{code} == 201;
        push @bad, "$answer->{code} to $json"
            unless $answer->{code} =~ /^(201|400|404)$/
                   && ref eval { decode_json($answer->{body}) };
    }
}

is_deeply(\@bad, [], 'each response is valid');
cmp_ok($codes{400}, '>', 300, 'most bodies are rejected');
cmp_ok($created, '>', 0, 'some are accepted');
is(count(), $created, 'messages with a 201 are stored');
is(exits(), '', 'no worker has died');


=== forms and content types are parsed strictly
--- then
my $part = sub {
    return "--b\r\n$_[0]\r\n\r\n$_[1]\r\n";
};
my $name = 'Content-Disposition: form-data; name=';
my $to = $part->("${name}recipient", 'u2');
my $multipart = 'multipart/form-data; boundary=b';
my $form = 'application/x-www-form-urlencoded';
my $stored = 0;

for my $row (
    [$form, 'recipient=u2&body=x' . '&a=b' x 10000, 201],
    [$form, '&' x 40000 . 'recipient=u2&body=x', 201],
    [$form, '=' x 40000 . '&recipient=u2&body=x', 201],
    [$form, 'recipient=u2&body=x&' . 'k' x 50000 . '=v', 201],
    [$form, 'recipient=u2&body=%', 201],
    [$form, 'recipient=u2&body=%4', 201],
    [$form, 'recipient=u2&body=x&body=%00', 400],
    [$form, 'recipient=u2&body=a%00b', 400],
    [$form, "recipient=u2&body=a\0b", 400],
    [$form, 'recipient=u2&body=%ff', 400],
    [$form, 'recipient=u2&body=%c0%80', 400],
    [$form, 'recipient=u2&body=%ed%a0%80', 400],
    [$form, 'recipient=u2&body=%bf%27', 400],
    [$form, 'recipient%00=u2&body=x', 400],
    [$form, 'recipient=u2%00&body=x', 400],
    [$form, 'recipient[]=u2&body=x', 400],
    [$form, 'body', 400],
    [$form, '=', 400],
    ["$form; charset=utf-16", 'recipient=u2&body=x', 201],
    ["${form}x", 'recipient=u2&body=x', 415],

    [$multipart, $to . $part->("${name}body", 'x') . '--b--', 201],
    [$multipart, $to . $part->("${name}body", '--b') . '--b--', 400],
    [$multipart, $to . $part->("${name}body", "a\r\n--bc") . '--b--', 201],
    [$multipart, $to . $part->("${name}body", "a\0b") . '--b--', 400],
    [$multipart, $to . $part->("${name}body", "\xff") . '--b--', 400],
    [$multipart, $to . $part->("${name}body; filename=x", 'x') . '--b--',
     400],
    [$multipart, $to . $part->("${name}\"bo\\\"dy\"", 'x') . '--b--', 400],
    [$multipart, $to . $part->("$name\"body\0\"", 'x') . '--b--', 400],
    [$multipart, $to . $part->("$name\"body", 'x') . '--b--', 400],
    [$multipart, $to . $part->("X: y\r\n" x 5000 . "${name}body", 'x')
                 . '--b--', 201],
    [$multipart, $to . $part->("X: " . 'y' x 50000 . "\r\n${name}body", 'x')
                 . '--b--', 201],
    [$multipart, $part->("${name}a", 'b') x 1000 . $to
                 . $part->("${name}body", 'x') . '--b--', 201],
    [$multipart, "--b\r\n" x 10000 . '--b--', 400],
    [$multipart, "\r" x 60000, 400],
    [$multipart, "\r\n--" x 15000, 400],
    [$multipart, "\r\n--b" x 12000, 400],
    [$multipart, $to . $part->("${name}body", 'x'), 400],
    [$multipart, $to . "--b\r\n${name}body\r\n--b--", 400],
    [$multipart, '--b--', 400],
    [$multipart, $to =~ s/\r//gr . "--b--\n", 400],
    ['multipart/form-data; boundary=' . 'b' x 71, 'x', 400],
    ['multipart/form-data; boundary=' . 'b' x 6000, 'x', 400],
    ['multipart/form-data; boundary=""', 'x', 400],
    ['multipart/form-data; boundary="', 'x', 400],
    ['multipart/form-data;' . ';' x 6000, 'x', 400],
    ['multipart/form-data; ' . 'a="\\"' x 1000, 'x', 400],
    ["multipart/mixed; boundary=b", $to . '--b--', 415],

    ["application/json\0", $Json, 400],
    ['application/json5', $Json, 415],
    ['text/"x\\', $Json, 415],
    ["text/\xff\xfe", $Json, 415],
    ["text/\x{1}\x{1f}", $Json, 415],
    ['text/' . '"' x 3000, $Json, 415],
    ['', $Json, 415],
) {
    my ($type, $body, $code) = @$row;

    my $answer = ask(wire(POST => '/api/v1/message/', as => 'u1',
                          type => $type, body => $body));

    is($answer->{code}, $code, substr("$type $body", 0, 70)
                               . ' ... ' . substr $body, -60)
        or diag($answer->{text});
    ok(ref eval { decode_json($answer->{body}) }, 'a JSON response')
        unless $type =~ /\0/;
    $stored++ if $code == 201;
}

is(count(), $stored, 'messages with a 201 are stored');
is(scalar sql('SELECT MIN(body) <> "" AND MAX(recipient_id) = 2
               FROM chat_message'), 1, 'with text and recipient');
is(exits(), '', 'no worker has died');
