#
# Copyright (C) ngx_chat contributors
#

# permissions: each path, method and caller; a message is visible to its sender
# and its recipient only

use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use Chat;
use Chat::Files;
use Chat::Wire;

# part of a message of u1 to u2
our $Secret = 'only-for-two';

# responses, in a word
our %Words = (
    '{"detail":"Authentication credentials were not provided."}' => 'denied',
    '{"detail":"CSRF Failed: cross-origin request."}'   => 'foreign',
    '{"detail":"Not found."}'                                    => 'unknown',
    '{"detail":"Only the sender can change a message."}'         => 'sender',
);

our @Methods = qw(GET HEAD OPTIONS POST PUT PATCH DELETE BREW);

our @In = ('sender', 'recipient', 'third', 'bearer', 'third bearer');
our @Out = ('nobody', map { ($_, "$_ bearer") }
                          'disabled', 'expired', 'logged out', 'forged');
our @Callers = (@In, @Out, 'foreign');

# headers_of CALLER, N: credentials of the caller, with a session for row N
# only, since some rows end it

our %Sessions;

sub headers_of {
    my ($caller, $n) = @_;

    return if $caller eq 'nobody';

    my %who = (sender => 'u1', recipient => 'u2', third => 'u3',
               bearer => 'u1', foreign => 'u1', disabled => 'u4',
               expired => 'u1');
    my $who = $who{ $caller =~ s/ bearer//r };
    my $token = token($who ? "$who.$n.$caller" =~ tr/ /-/r : "nobody.$n");

    $token = token('out') if $caller =~ /^logged out/;

    if ($who && !$Sessions{$token}++) {
        add_session($who, token => $token,
                    lasts => $caller =~ /^expired/ ? -10 : 86400);
    }

    return $caller eq 'foreign'
               ? ("Cookie: sessionid=$token", 'Origin: https://evil.example')
         : $caller !~ /bearer/ ? "Cookie: sessionid=$token"
         : ("Authorization: Bearer $token",
            # the token counts, not the cookie beside it
            $who && $caller !~ /^(disabled|expired)/
                ? () : 'Cookie: sessionid=' . token('u1'));
}

# outcome ANSWER: its code and the word of its body

sub outcome {
    my ($answer) = @_;

    my $word = $Words{ $answer->{body} };

    $word //= 'method' if $answer->{body} =~ /^\{"detail":"Method \\"/;

    return join ' ', $answer->{code}, $word // ();
}

# row METHOD, PATH, EXPECTED, OPTIONS: sends the request as each caller.
# EXPECTED has responses by caller, "in" and "out" stand for several.  Returns
# the number of responses 201.  Options are those of wire() and a function that
# is called before each request.

our $Rows = 0;

sub row {
    my ($method, $path, $expected, %option) = @_;

    $Rows++;

    my (%got, @leaks);
    my %wanted = (map({ ($_ => $expected->{in}) } @In),
                  map({ ($_ => $expected->{out}) } @Out),
                  foreign => $expected->{in}, %$expected);
    delete @wanted{qw(in out)};

    for my $caller (@Callers) {
        $option{before}->($caller) if $option{before};

        my @headers = (headers_of($caller, $Rows),
                       @{ $option{headers} // [] });

        my $answer = talk(wire($method, $path, %option, headers => \@headers),
                          method => $method, head => $option{head});

        $got{$caller} = outcome($answer);

        push @leaks, $caller
            if $answer->{text} =~ /$Secret/
               && $caller !~ /^(sender|recipient|bearer|foreign)$/;
    }

    is_deeply(\%got, \%wanted, "$method $path");
    is("@leaks", '', 'the response does not contain the message');

    return scalar grep { /^201/ } values %got;
}

# prepare: a message, a disabled user, a session to log out; the hashes are
# cheap, but not outdated, because a login would replace them

our $Cheap = crypt 'correct horse', '$y$jA.$saltsaltsalt';

sub prepare {
    # blocks are run in any order, each with fresh tables
    $Rows = 0;
    %Sessions = ();

    message(u1 => 'u2', $Secret);
    sql('UPDATE chat_user SET is_active = FALSE WHERE id = 4');
    sql('UPDATE chat_user SET password = ?', $Cheap);
    add_session('u1', token => token('out'));
}

sub log_out {
    my $cookie = 'Cookie: sessionid=' . token('out');

    # until then, both workers have the session in the zone
    for (1 .. 8) {
        talk(wire(GET => '/api/v1/session/', headers => [$cookie]))->{code}
            == 200 or die "not logged in\n";
    }

    talk(wire(DELETE => '/api/v1/session/', headers => [$cookie]))->{code}
        == 204 or die "not logged out\n";
}

# state TABLES: all rows

sub state {
    return [map { sql("SELECT * FROM $_ ORDER BY 1, 2") } @_];
}

# bare ANSWER, ID: the response without the date and the requested id

sub bare {
    my ($answer, $id) = @_;

    return $answer->{text} =~ s/^Date: .*\r\n//mr
                           =~ s/(?<=")$id(?=")|(?<=:)$id(?=[,}])/<id>/gr;
}

# presence stores times of users
add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(http => ($block->http // '') . "chat_presence off;\n");
});

run_tests();


__DATA__

=== permissions of the API depend on caller, method and path
--- given
prepare();
--- then
log_out();

my $before = state(qw(chat_user chat_message));
my $sent = 0;

my %paths = (
    'message/' => { GET => '200', POST => '201' },
    'message/1/' => { GET => '200', PATCH => '400', DELETE => undef },
    'message/99/' => { GET => '404 unknown', PATCH => '404 unknown',
                       DELETE => '404 unknown' },
    'user/' => { GET => '200' },
    'user/2/' => { GET => '200' },
    'user/4/' => { GET => '404 unknown' },
    'conversation/' => { GET => '200' },
    'conversation/u2/read/' => { POST => '400' },
    'conversation/nobody/read/' => { POST => '400' },
    'block/' => { GET => '200' },
    'block/u3/' => { PUT => '204', DELETE => '204' },
    'block/nobody/' => { PUT => '404 unknown', DELETE => '404 unknown' },
    'session/' => { GET => '200', POST => '400', DELETE => '204' },
    'password/' => { POST => '400' },
    '' => { GET => '200' },
    'nothing/' => undef,
    'message/1/more/' => undef,
);

for my $path (sort keys %paths) {
    for my $method (@Methods) {
        my $asks = $method =~ /^(GET|HEAD|OPTIONS)$/;
        my $there = $paths{$path};
        my $same = $method eq 'HEAD' ? 'GET' : $method;
        my %expected;

        $expected{in} = !$there ? '404 unknown'
                      : $method eq 'OPTIONS' ? '200'
                      : $there->{$same} // '405 method';
        $expected{out} = '403 denied';
        @expected{'third', 'third bearer'} = ('400') x 2
            if $path eq 'block/u3/' && $same =~ /^(PUT|DELETE)$/;
        @expected{'third', 'third bearer'} = ('404 unknown') x 2
            if $path eq 'message/1/' && $same =~ /^(GET|PATCH)$/;
        $expected{recipient} = '403 sender'
            if "$same $path" eq 'PATCH message/1/';

        # tested below
        next if "$method $path" eq 'DELETE message/1/';

        # everyone may log in
        $expected{out} = $expected{in} if "$method $path" eq 'POST session/';

        # an unknown path has no cross-origin check
        $expected{foreign} = '403 foreign' if $there && !$asks;

        # a response to HEAD has a code only
        s/ .*// for $method eq 'HEAD' ? values %expected : ();

        my %body = $method =~ /^(POST|PUT|PATCH)$/ ? (json => '{}') : ();

        $body{json} = '{"recipient":"u2","body":"x"}'
            if $path eq 'message/' && %body;

        $sent += row($method, "/api/v1/$path", \%expected, %body);
    }
}

is($sent, @In, 'each authenticated caller has sent a message');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE body = 'x'"), @In,
   'no other message is stored');

sql("DELETE FROM chat_message WHERE body = 'x'");
is_deeply(state(qw(chat_user chat_message)), $before,
          'users and messages are unchanged');
is(exits(), '', 'no worker has died');


=== only the sender changes a message
--- given
prepare();
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
--- then
log_out();

my @others = map { ($_ => '404 unknown') } 'third', 'third bearer';

# each text is new
my %edit = (in => '200', out => '403 denied', foreign => '403 foreign',
            recipient => '403 sender', @others);
row(PATCH => '/api/v1/message/1/', \%edit,
    json => qq({"body":"$Secret $_"})) for 1, 2;
is(join(' ', sql('SELECT body FROM chat_message WHERE kind = 0')), "$Secret 2",
   'by the sender');
row(PATCH => '/api/v1/message/1/', \%edit, form => 'body=x');

# the first of the two callers with a session of the sender deletes it
row(DELETE => '/api/v1/message/1/',
    { in => '404 unknown', out => '403 denied', foreign => '403 foreign',
      sender => '204', recipient => '404 unknown', @others });
is(join(' ', sql('SELECT COUNT(*) FROM chat_message WHERE kind = 0')), 0,
   'it is deleted');

my $id = message(u1 => 'u2', $Secret);
sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6)');
row(DELETE => "/api/v1/message/$id/",
    { in => '404 unknown', out => '403 denied', foreign => '403 foreign',
      sender => '204', recipient => '403 sender', @others },
    before => sub {
        my ($caller) = @_;

        # again for each caller but the second one of the sender
        sql('UPDATE chat_message SET kind = 0 WHERE id = ?', $id)
            if $caller =~ /^(recipient|sender|third)/;
        sql('UPDATE chat_message SET kind = 2 WHERE id = ?', $id)
            if $caller eq 'bearer';
    });
is(exits(), '', 'no worker has died');


=== a user changes the own blocks only
--- given
prepare();
--- then
log_out();

row(PUT => '/api/v1/block/u3/',
    { in => '204', out => '403 denied', foreign => '403 foreign',
      third => '400', 'third bearer' => '400' });
is(join(' ', sql('SELECT CONCAT(blocker_id, blocked_id) FROM chat_block
                  ORDER BY 1')), '13 23', 'each caller has blocked the user');
row(DELETE => '/api/v1/block/u1/',
    { in => '204', out => '403 denied', foreign => '403 foreign',
      sender => '400', bearer => '400' });
is(scalar sql('SELECT COUNT(*) FROM chat_block'), 2,
   'blocks of other users remain');
is(exits(), '', 'no worker has died');


=== a file is for the two people of its message
--- given
prepare();
--- change
with_files();
--- then
my ($file, $unsent) = map { uploaded('u1', 'x', $Secret) } 1, 2;
send_files('u1', 'u2', $file);
log_out();

row(GET => "/api/v1/file/$file/x",
    { in => '200', out => '403 denied', foreign => '200',
      third => '404 unknown', 'third bearer' => '404 unknown' });
row(GET => "/api/v1/file/$unsent/x",
    { in => '404 unknown', out => '403 denied', foreign => '200',
      sender => '200', bearer => '200' });
row(POST => '/api/v1/message/',
    { in => '400', out => '403 denied', foreign => '403 foreign',
      sender => '201' },
    json => qq({"recipient":"u2","files":["$unsent"]}));
row(POST => '/api/v1/file/?name=x',
    { in => '201', out => '403 denied', foreign => '403 foreign' },
    json => '{}');

my $id = sql('SELECT MIN(message_id) FROM chat_file');
is(api('u1', DELETE => "/api/v1/message/$id/")->code, 204, 'it is deleted');
row(GET => "/api/v1/file/$file/x",
    { in => '404 unknown', out => '403 denied', foreign => '404 unknown' });
is(exits(), '', 'no worker has died');


=== replies and changes=1 reveal nothing to other users
--- given
prepare();
message(u2 => 'u3', 'x');
--- then
log_out();

row(POST => '/api/v1/message/',
    { in => '400', out => '403 denied', foreign => '403 foreign',
      sender => '201', bearer => '201' },
    json => '{"recipient":"u2","body":"x","reply_to":1}');

for my $query ('after=0&changes=1', 'after=0&changes=1&target=u2') {
    row(GET => "/api/v1/message/?$query",
        { in => '200', out => '403 denied', foreign => '200' });
}

is(exits(), '', 'no worker has died');


=== a read mark changes the state of the calling user only
--- given
prepare();
--- then
log_out();

row(POST => '/api/v1/conversation/u1/read/',
    { in => '200', out => '403 denied', foreign => '403 foreign' },
    json => '{"id":1}');
is(join(' ', sql('SELECT lo_id, hi_id, lo_unread, lo_read_id, hi_unread,
                         hi_read_id FROM chat_conversation')),
   '1 2 0 0 0 1', 'it is the mark of the recipient');
is(exits(), '', 'no worker has died');


=== logins and password changes are checked for each caller
--- given
prepare();
--- then
log_out();

my $log_in = sub {
    return json => qq({"username":"$_[0]","password":"correct horse"});
};

# callers that changed their password
my ($last, @changed);
my $look = sub {
    push @changed, $last
        if sql('SELECT COUNT(*) FROM chat_user WHERE password <> ?', $Cheap);
    sql('UPDATE chat_user SET password = ?', $Cheap);
    ($last) = @_;
};

row(POST => '/api/v1/password/',
    { in => '204', out => '403 denied', foreign => '403 foreign' },
    json => '{"old_password":"correct horse","new_password":"battery staple"}',
    before => $look);
$look->();
is("@changed", "@In", 'authenticated callers change their own password');

# everyone may log in with a password
row(POST => '/api/v1/session/',
    { in => '200', out => '200', foreign => '403 foreign' }, $log_in->('u1'));
row(POST => '/login/', { in => '302', out => '302', foreign => '403 foreign' },
    form => 'username=u1&password=correct+horse');

is(outcome(talk(wire(POST => '/api/v1/session/', $log_in->('u4')))), '403',
   'a disabled user cannot log in');
is(outcome(talk(wire(POST => '/login/', form => 'username=u4&password='
                                             . 'correct+horse'))), '200',
   'nor with the form');
is(scalar sql('SELECT COUNT(*) FROM chat_session WHERE user_id = 4
               AND token_hash <> UNHEX(?)',
              Digest::SHA::sha256_hex(token('u4')))
   - grep({ /^u4/ } keys %Sessions), -4,
   'no new session of u4, and logins with a session of u4 end it');
is(exits(), '', 'no worker has died');


=== permissions of pages, sockets and status depend on caller and method
--- given
prepare();
--- then
log_out();

my @tables = qw(chat_user chat_message chat_conversation);
my $before = state(@tables);

my @ws = ('Upgrade: websocket', 'Connection: Upgrade',
          'Sec-WebSocket-Version: 13',
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==');

# there ROW: which of the row's two sessions exist
my $there = sub {
    my ($row) = @_;

    return join ' ', grep {
        sql('SELECT COUNT(*) FROM chat_session WHERE token_hash = UNHEX(?)',
            Digest::SHA::sha256_hex(token("u1.$row.$_")))
    } qw(sender foreign);
};

for my $method (@Methods) {
    my $gets = $method =~ /^(GET|HEAD)$/;
    my $asks = $method =~ /^(GET|HEAD|OPTIONS)$/;
    my $head = $method eq 'HEAD';
    my $not = $head ? '405' : '405 method';
    my %body = $method =~ /^(POST|PUT|PATCH)$/ ? (json => '{"message":"1"}')
                                               : ();
    my $ask = sub {
        my ($path, $in, $out, $foreign, @option) = @_;

        row($method, $path, { in => $in, out => $out // $in,
                              foreign => $foreign // $in }, %body, @option);
    };

    # pages, and a file without authentication
    $ask->($_, $gets ? 200 : 405, $gets ? 302 : 403,
           $asks ? undef : 403) for '/', '/index.html';
    $ask->('/static/style.css', $gets ? 200 : 405);

    # login and logout
    $ask->('/login/', $asks || $method eq 'POST' ? 200 : $not, undef,
           $method eq 'POST' ? '403 foreign' : undef,
           %body ? (form => 'username=u1') : ());
    $ask->('/logout/', $method eq 'OPTIONS' ? 200
                       : $asks || $method eq 'POST' ? 302 : $not, undef,
           $head ? 403 : '403 foreign');
    is($there->($Rows), $gets || $method eq 'POST' ? 'foreign'
                        : 'sender foreign', 'sessions that have ended');

    # internal files and locations
    $ask->($_, 404) for '/login.html', '/chat/publish';
    $ask->('/chat/status/nothing', $gets || $method eq 'POST' ? 404 : 405);

    # health checks from this host
    $ask->("/chat/status$_", $asks ? 200 : $not) for '', '/live', '/ready';

    # sockets and streams require authentication
    $ask->('/ws', $method =~ /^(GET|OPTIONS)$/ ? 200 : 403, 403, 403,
           headers => ['Accept: text/event-stream'], head => 1);
    $ask->('/ws', { GET => 101, OPTIONS => 200 }->{$method} // 403, 403, 403,
           headers => \@ws);
}

is_deeply(state(@tables), $before, 'the tables are unchanged');
is(exits(), '', 'no worker has died');


=== a bearer token takes precedence over a cookie
--- given
prepare();
--- then
my @two = ('Authorization: Bearer ' . token('u2'),
           'Cookie: sessionid=' . token('u1'));

like(talk(wire(GET => '/api/v1/session/', headers => \@two))->{body},
     qr/^\{"username":"u2",/, 'the token identifies the user');

@two = ('Authorization: Bearer ' . token('u3'),
        'Cookie: sessionid=' . token('u1'));
is(outcome(talk(wire(GET => '/api/v1/message/1/', headers => \@two))),
   '404 unknown', 'and determines the permissions');


=== another user's message and a missing one return identical responses
--- given
message(u1 => 'u2', "$Secret $_") for 1 .. 12;

# message 11 exists, message 12 does not
sql('DELETE FROM chat_message WHERE id = 12');
message(u3 => 'u1', 'ours');
--- then
my @headers = ('Cookie: sessionid=' . token('u3'));
my %answers;

for my $round ('not in memory', 'in memory') {
    for my $id (11, 12) {
        for my $method (qw(GET HEAD OPTIONS POST PUT PATCH DELETE)) {
            for my $path ("message/$id/", "message/$id", "message/0$id/",
                          "message/$id/?x=y")
            {
                my $answer = talk(wire($method => "/api/v1/$path",
                                       headers => \@headers),
                                  method => $method);

                cmp_ok($answer->{code}, '==',
                       $method =~ /GET|HEAD|PATCH|DELETE/ ? 404
                       : $method eq 'OPTIONS' ? 200 : 405,
                       "$method $path");
                $answers{ $method . $path =~ s/$id/<id>/r }
                        { bare($answer, $id) }++;
            }
        }
    }

    # its users have it put into the zone
    is(api('u1', GET => '/api/v1/message/11/')->code, 200,
       'its sender reads it')
        for 1 .. 4;
}

is(join(' ', grep { keys %{ $answers{$_} } != 1 } sort keys %answers), '',
   'each request has one response');
is(scalar keys %answers, 28, '28 different requests');


=== the response time does not reveal another user's message, even a long one
--- given
message(u1 => 'u2', "\x{1f600}" x 1_000_000);
--- then
my %least;

# a busy machine may need more rounds for an undisturbed response
for my $round (1 .. 10) {
    for my $id ((1, 2) x 40) {
        my $start = time;

        is(talk(wire(GET => "/api/v1/message/$id/", as => 'u3'))->{code}, 404,
           "message $id");

        my $took = time - $start;
        $least{$id} = $took if $took < ($least{$id} // 10);
    }

    last if $least{1} < 2 * $least{2};
}

# four megabytes from the database take some ten times as long
cmp_ok($least{1}, '<', 2 * $least{2},
       'the existing message takes as long as the missing one')
    or diag("$least{1} and $least{2} seconds");


=== lists and read marks do not reveal another user's message
--- given
message(u1 => 'u2', "$Secret $_") for 1 .. 12;
sql('DELETE FROM chat_message WHERE id = 12');
message(u3 => 'u1', 'ours');
message(u1 => 'u3', 'ours');
--- then
my $asked = sub {
    my ($id, $method, $path, $json) = @_;

    return bare(talk(wire($method => "/api/v1/$path", json => $json,
                          as => 'u3')), $id);
};

for my $path ('message/?after=%s', 'message/?before=%s',
              'message/?after=%s&limit=1', 'message/?after=%s.%s',
              'message/?after=%s&target=u1', 'message/?after=%s&target=u2',
              'message/?before=%s&target=u2', 'message/?page=%s',
              'message/?target=u2&page=%s', 'conversation/?before=%s')
{
    my ($is, $is_not) =
        map { $asked->($_, GET => $path =~ s/%s/$_/gr) } 11, 12;

    is($is, $is_not, $path);
    unlike($is, qr/$Secret/, 'without its text');
    like($is, qr{\AHTTP/1.1 (200|404) }, 'a valid response');
}

for my $peer (qw(u1 u2 u3)) {
    my ($is, $is_not) =
        map { $asked->($_, POST => "conversation/$peer/read/",
                       qq({"id":$_})) } 11, 12;

    is($is, $is_not, "a read mark with $peer");
    like($is, qr{\AHTTP/1.1 200 }, 'a valid response');
}


=== messages of other users change no response
--- given
message(u1 => 'u3', 'before');
--- then
my @questions = map { wire(GET => "/api/v1/$_", as => 'u3') }
    qw(message/ message/?page=last message/?page=2 message/?target=u1
       message/?target=u2 message/?before=latest message/?before=100
       message/?before=latest&target=u2 message/?after=1&target=u2
       message/?after=latest message/?after=latest&target=u1
       message/?after=0 message/?after=1 message/?after=2 message/?after=3
       message/?after=9223372036854775807 message/?after=2&target=u1
       message/?after=2.1 message/?after=2.2 message/?after=3.2
       message/?after=9.9 message/?after=3.0 message/?after=0.2
       message/2/ message/2
       conversation/ conversation/?before=100 user/ user/?search=u session/);

my $ask = sub { return [map { bare(talk($_), 0) } @questions] };
my $before = $ask->();
my $socket = web_socket('u3');

is($socket->{code}, 101, 'the socket is open');
is(api('u1', POST => '/api/v1/message/',
       { recipient => 'u2', body => $Secret })->json->{id}, 2,
       'u1 sends to u2');
is(api('u2', POST => '/api/v1/conversation/u1/read/', { id => 2 })
       ->json->{read_id}, 2, 'u2 reads it');

is_deeply($ask->(), $before, 'the responses are the same');
settle();
is_deeply($socket->{frames}, [], 'no notification is received');

my $under_way = connect_db();
$under_way->begin_work;
$under_way->do("INSERT INTO chat_writing (slot, floor_id) VALUES (99, 3)");
$under_way->do("INSERT INTO chat_message
                       (sender_id, recipient_id, created_at, body)
                VALUES (1, 2, UTC_TIMESTAMP(6), '$Secret')");
is_deeply($ask->(), $before, 'nor does an open transaction change them');
$under_way->rollback;


=== idempotency keys of other users do not matter
--- then
my $send = sub {
    my ($who, $key) = @_;

    return talk(wire(POST => '/api/v1/message/', as => $who,
                     headers => ["Idempotency-Key: $key"],
                     json => qq({"recipient":"u2","body":"$Secret"})));
};

is($send->('u1', 'taken')->{code}, 201, 'u1 uses the key');

my @answers = map {
    my $answer = $send->('u3', $_);
    is($answer->{code}, 201, $_);
    bare($answer, 0) =~ s/"id":\d+/"id":<id>/r
                     =~ s/"timestamp":"[^"]*"/"timestamp":<time>/r;
} qw(taken other);

is($answers[0], $answers[1], 'both keys get the same response');
like($answers[0], qr/"user":"u3"/, "the message is u3's own");

is($send->('u1', 'taken')->{code}, 200, "u1's key still works");
is($send->('u3', 'taken')->{code}, 200, "and so does u3's");
is(join(' ', sql('SELECT sender_id, client_id FROM chat_message ORDER BY id')),
   '1 taken 3 taken 3 other', 'all keys are stored');
