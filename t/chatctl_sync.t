#
# Copyright (C) ngx_chat contributors
#

# chatctl user sync, show and logout

use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat;
use Chat::Data;
use Encode qw(encode_utf8);

# sync TEXT, [OPTION]: returns the output

sub sync {
    my ($text, $option) = @_;

    open my $file, '>', "$dir/members" or die $!;
    print $file encode_utf8($text);
    close $file or die $!;

    $option //= "";

    my $output = `$chatctl user sync $option <$dir/members 2>$dir/errors`;

    $Code = $? >> 8;
    $Errors = Chat::read_file("$dir/errors");

    return $output;
}

# row NAME: display name, avatar, 1 for active

sub row {
    my ($name) = @_;

    return join '|', map { $_ // '-' }
        sql('SELECT display_name, avatar_url, is_active FROM chat_user
             WHERE username = ?', $name);
}

sub result {
    my ($read, %n) = @_;

    return "Read $read members: " . join(', ', map { "$_ " . ($n{$_} // 0) }
                                         qw(added changed enabled disabled))
           . ".\n";
}

run_tests();


__DATA__

=== members are added and changed
--- then
is(sync("anna\tAnna Öz\t/a.png\t1\nben\nu1\tUlla\n"),
   result(3, added => 2, changed => 1), 'columns');
is($Code, 0, 'exit status') or diag($Errors);
is(row('anna'), 'Anna Öz|/a.png|1', 'all columns');
is(row('ben'), '-|-|1', 'a name only');
is(row('u1'), 'Ulla|-|1', 'an existing user');
is(sql("SELECT password FROM chat_user WHERE username = 'anna'"), '!',
   'without a password');
is(api('u2', GET => '/api/v1/user/?search=oz')->json->{results}[0]{username},
   'anna', 'the search finds the name');

is(sync("anna\tAnna Öz\t/a.png\t1\nben\nu1\tUlla\n"), result(3), 'no change');
is(sync("ANNA\tÖzi\n"), result(1, changed => 1), 'another name');
is(row('anna'), 'Özi|/a.png|1', 'a missing column is not changed');
is(sync("anna\t\t\n"), result(1, changed => 1), 'empty columns');
is(row('anna'), '-|-|1', 'remove the values');
is(scalar sql('SELECT COUNT(*) FROM chat_user_word AS w JOIN chat_user AS u
               ON u.id = w.user_id WHERE username = \'anna\''), 0, 'no words');

is(sync("anna\tA\t/a\t0\nu2\tU\t\t0\n"),
   result(2, changed => 2, disabled => 2), 'disabled');
is(api('u2', GET => '/api/v1/session/')->code, 403, 'sessions end')
    if wait_until { api('u2', GET => '/api/v1/session/')->code == 403 };
is(sync("u2\tU\t\t1\n"), result(1, enabled => 1), 'enabled');


=== JSON, in lines
--- then
is(sync(qq({"name":"Zoe\x{301}","display_name":"Z \\"X\\" \\u00e9","avatar_url":)
        . qq("https://x.test/z","active":true}\n{"name":"u3","active":false}\n)),
   result(2, added => 1, disabled => 1), 'objects');
is(row('Zoé'), 'Z "X" é|https://x.test/z|1', 'the name is in NFC');
is(sync(qq({"name":"zoé","avatar_url":null}\n)), result(1, changed => 1),
   'null');
is(row('Zoé'), 'Z "X" é|-|1', 'removes a value');


=== invalid lines
--- then
is(sync("a b\tX\nok\n\nx\ty\tjavascript:x\nok\tagain\nl\t" . "a\x{202e}b\n"),
   result(1, added => 1), 'the valid line is stored');
is($Code, 1, 'exit status');
like($Errors, qr/^line\ 1:\ the\ name\ is\ not\ valid.*
                 ^line\ 4:\ the\ avatar.*^line\ 5:\ the\ name\ occurs\ twice.*
                 ^line\ 6:\ the\ display\ name/xms, 'the problems');
is(sync('', '--disable-missing'), '', 'no member');
is($Code, 1, 'exit status');
is(sync("a b\nu1\n", '--disable-missing'), '', 'invalid lines');
is($Code, 1, 'exit status');
is(scalar sql('SELECT COUNT(*) FROM chat_user WHERE NOT is_active'), 0,
   'no user is disabled');
is(sync('', '--other'), '', 'another option');
is($Code, 2, 'exit status');


=== missing members are disabled
--- then
sql('UPDATE chat_user SET is_admin = TRUE WHERE id = 4');
is(sync("u1\nu2\tB\n", '--disable-missing'),
   result(2, changed => 1, disabled => 1), 'the result');
is(join(' ', sql('SELECT username FROM chat_user WHERE is_active ORDER BY id')),
   'u1 u2 u4', 'administrators remain');
is(scalar sql('SELECT session_floor > 0 FROM chat_user WHERE id = 3'), 1,
   'sessions have ended');


=== show and logout
--- then
sql("UPDATE chat_user SET display_name = 'Ulla \\\\ X' WHERE id = 1");

my $text = chatctl('user show U1');

is(join("\n", (split /\n/, $text)[0 .. 4]),
   "name          u1\nid            1\ndisplay name  Ulla \\ X\n"
   . "avatar        -\nrole          user", 'the account');
like($text, qr/^sessions      1$/m, 'sessions');
is(chatctl('user logout u1'), "Sessions of u1 ended: 1.\n", 'logout');
ok(wait_until { api('u1', GET => '/api/v1/session/')->code == 403 },
   'the session has ended');
is(chatctl('user show missing'), '', 'an unknown user');
is($Code, 1, 'exit status');
