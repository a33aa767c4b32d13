#
# Copyright (C) ngx_chat contributors
#

# editing, deleting and replying as the contract describes it: exact responses,
# and the state of clients that catch up with changes

use JSON::PP qw(decode_json);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Changes;
use Chat::Wire;

our $Unknown = '404 {"detail":"Not found."}';
our $NoTarget = '400 {"reply_to":["No such message in this conversation."]}';
our $Allow = 'GET, PATCH, DELETE, HEAD, OPTIONS';

# outcome USER, METHOD => PATH, OPTIONS of wire(): code and body

sub outcome {
    my ($who, $method, $path, %option) = @_;

    my $answer = raw($who, $method, $path, %option);

    return join ' ', $answer->{code}, length $answer->{body} ? $answer->{body}
                                                             : ();
}

sub raw {
    my ($who, $method, $path, %option) = @_;

    return talk(wire($method, "/api/v1/$path", as => $who, %option),
                method => $method);
}

# header ANSWER, NAME

sub header {
    my ($answer, $name) = @_;

    return join '|', $answer->{head} =~ /^\Q$name\E: *(.*?)\r$/mig;
}

# body_of TEXT: the response without the time of the change

sub body_of {
    return $_[0] =~ s/("(?:timestamp|edited_at)":)"[^"]+"/$1"T"/gr;
}

# sync CLIENT, QUERY: catches up; CLIENT has "who", "cursor", "messages"

sub sync {
    my ($client, $query) = @_;

    for (1 .. 500) {
        my $page = api($client->{who}, GET => '/api/v1/message/?changes=1&after='
                       . "$client->{cursor}$query")->json;

        for my $item (@{ $page->{results} }) {
            my $change = $item->{change} // '';

            if ($change eq 'deleted') {
                delete $client->{messages}{ $item->{message_id} };
                next;
            }

            my $message = $change ? $item->{message} : $item;
            $client->{messages}{ $message->{id} } = $message;
        }

        $client->{cursor} = $page->{cursor};
        return if !$page->{has_more};
    }

    die "too many pages\n";
}

# random_changes SEED: 90 random sends, replies, edits, deletions and read
# marks, and after each of them the state of all users

sub random_changes {
    srand $_[0];

    my (%model, %mark, @wrong);
    my @clients = map { { who => $_, cursor => 0, messages => {} } }
                      qw(u1 u2 u3);

    for my $n (1 .. 90) {
        my $op = (qw(send send reply edit edit delete delete read))[rand 8];
        my @ids = sort { $a <=> $b } keys %model;
        my $message = @ids ? $model{ $ids[rand @ids] } : undef;

        $op = 'send' if !$message;

        if ($op eq 'send') {
            my $res = send_to('u' . int(1 + rand 2), 'u' . int(1 + rand 3), $n);
            $model{ $res->json->{id} } = $res->json;

        } elsif ($op eq 'reply') {
            my $res = send_to(@$message{qw(recipient user)}, $n,
                              reply_to => $message->{id});
            $model{ $res->json->{id} } = $res->json;
            push @wrong, "$n: " . $res->body
                if $res->json->{reply_to} != $message->{id};

        } elsif ($op eq 'edit') {
            my $res = edit($message->{user}, $message->{id}, "e$n");
            push @wrong, "$n: " . $res->body
                if $res->json->{body} ne "e$n" || !$res->json->{edited_at};
            $model{ $message->{id} } = $res->json;

        } elsif ($op eq 'delete') {
            my $res = remove($message->{user}, $message->{id});
            push @wrong, "$n: " . $res->code if $res->code != 204;
            delete $model{ $message->{id} };

        } else {
            my ($who, $peer) = @$message{qw(recipient user)};
            my $res = api($who, POST => "/api/v1/conversation/$peer/read/",
                          { id => $message->{id} });
            my $key = "$who $peer";

            $mark{$key} = $message->{id}
                if $message->{id} > ($mark{$key} // 0);
            push @wrong, "$n: " . $res->body
                if $res->json->{read_id} != $mark{$key};
        }

        for my $client (@clients) {
            my $who = $client->{who};
            my @mine = sort { $b->{id} <=> $a->{id} }
                       grep { $_->{user} eq $who || $_->{recipient} eq $who }
                            values %model;

            sync($client, '&limit=' . int(1 + rand 4))
                if rand() < 0.4 || $n == 90;
            push @wrong, "$n: $who: catching up"
                if $n == 90 && canonical([map { $client->{messages}{$_} }
                                          sort { $b <=> $a }
                                               keys %{ $client->{messages} }])
                               ne canonical(\@mine);

            next if $n % 10;

            my $page = api($who, GET => '/api/v1/message/')->json;
            push @wrong, "$n: $who: page" if $page->{count} != @mine
                || canonical($page->{results})
                   ne canonical([@mine[0 .. ($#mine < 14 ? $#mine : 14)]]);

            my @inbox = map { [@$_{qw(user unread last_message)}] }
                @{ api($who, GET => '/api/v1/conversation/')->json->{results} };
            push @wrong, "$n: $who: inbox"
                if canonical(\@inbox) ne canonical(inbox($who, \%mark, @mine));
        }
    }

    is(join("\n", @wrong), '', "seed $_[0]");
    counters_are_right();
    is(exits(), '', 'no worker has died');
}

sub canonical {
    return JSON::PP->new->canonical->encode($_[0]);
}

# inbox USER, MARKS, MESSAGES: newest first

sub inbox {
    my ($who, $mark, @mine) = @_;

    my (@order, %unread, %last);

    for my $message (@mine) {
        my $peer = $message->{user} eq $who ? $message->{recipient}
                                            : $message->{user};

        push @order, $peer if !$last{$peer};
        $last{$peer} //= $message;
        $unread{$peer}++
            if $message->{user} eq $peer && $peer ne $who
               && $message->{id} > ($mark->{"$who $peer"} // 0);
    }

    return [map { [$_, 0 + ($unread{$_} // 0), $last{$_}] } @order];
}

run_tests();


__DATA__

=== methods, Allow and texts of message/ID/
--- given
new_message(u1 => 'u2', 'one');
--- then
for my $path ('message/1', 'message/1/') {
    for my $method (qw(PUT POST BREW)) {
        my $answer = raw('u1', $method, $path, json => '{"body":"x"}');

        is("$answer->{code} $answer->{body}",
           "405 {\"detail\":\"Method \\\"$method\\\" not allowed.\"}", $method);
        is(header($answer, 'Allow'), $Allow, 'Allow');
    }

    my $head = raw('u1', HEAD => $path);

    is("$head->{code} $head->{body}", '200 ', 'HEAD');
    is(header($head, 'Content-Length'), length raw('u1', GET => $path)->{body},
       'with the length of GET');
    like(outcome('u1', OPTIONS => $path), qr/^200 \{"name":/, 'OPTIONS');
    is(header(raw('u1', $_ => $path), 'Allow'), $Allow, "Allow of $_")
        for qw(GET HEAD OPTIONS);
    is(header(raw('u2', $_ => $path, json => '{"body":"x"}'), 'Allow'), $Allow,
       "Allow of a rejected $_") for qw(PATCH DELETE);
}

is(header(raw('u1', PATCH => 'message/1', json => '{"body":"two"}'), 'Allow'),
   $Allow, 'Allow of PATCH');

my $gone = raw('u1', DELETE => 'message/1');

is("$gone->{code} $gone->{body}", '204 ', 'DELETE without a slash');
is(header($gone, 'Allow'), $Allow, 'Allow of DELETE');
is(header($gone, 'X-Content-Type-Options'), 'nosniff', 'security headers');
is(header($gone, 'Content-Type'), '', 'no type');
is(outcome('u1', $_ => 'message/1/', json => '{"body":"x"}'), $Unknown,
   "$_ of a deleted message") for qw(GET PATCH DELETE);
is(header(raw('u1', GET => 'message/1'), 'Allow'), $Allow, 'Allow of 404');


=== the text of an edit has the rules of a send in each format
--- given
new_message(u1 => 'u2', 'one');
--- then
my @json = ('{%s}', '{%s"body":null}', '{%s"body":true}', '{%s"body":{}}',
    '{%s"body":[]}', '{%s"body":""}', '{%s"body":" \\u00a0\\u3000\\n"}',
    '{%s"body":"\\u200b"}', '{%s"body":"a\\u0000"}', '{%s"body":"\\ud800"}',
    '{%s"body":"a","body":"b"}', '{%s"body":7}', '{%s"body":1.50}',
    '{%s"body":-0}', '{%s"body":1e3}', '{%s"body":"\\u00a0 a\\r\\nb \\t"}',
    '{%s"body":"\\ud83d\\ude00"}', '{%s"body":"<b>&amp;</b>"}',
    '{%s"body":"c","x":{"y":[1]}}', "{%s\"body\":\"\xc3\xa9\"}",
    "{%s\"body\":\"\xff\"}", '{%s"body":"d"}}', '{%s"body":"e",}');
my @form = ('', '%s', '%sbody=', '%sbody=+', '%sbody=a+b%%20c',
            '%sbody=a&body=b', '%sbody=%%00', '%sbody=%%ff', '%sbody=%%',
            '%sbody=%%F0%%9F%%98%%80', '%sbody=a=b;c', '%sbody');
my @whole = ('', '[]', 'null', '"x"', '1', 'true', '{', '{"body":"x"',
             "\xef\xbb\xbf{}", '[' x 10000);

my ($wrong, $n) = ('', 0);

my $compare = sub {
    my ($name, $send, $change) = @_;

    my $sent = body_of(outcome('u1', POST => 'message/', @$send));
    my $edited = body_of(outcome('u1', PATCH => 'message/1/', @$change));

    # the same apart from the status and other members
    my $expected = $sent =~ s/^201 /200 /r =~ s/"id":\d+/"id":1/r
                   =~ s/"recipient":\["This field is required."\],?//r;
    $edited =~ s/,"edited_at":"T"//;
    s/ near byte \d+// for $edited, $expected;

    $n++;
    $wrong .= "$name:\n$expected\n$edited\n" if $edited ne $expected;
};

$compare->($_, [json => sprintf $_, '"recipient":"u2",'],
           [json => sprintf $_, '"id":1,']) for @json[1 .. $#json];
$compare->('{}', [json => '{"recipient":"u2"}'], [json => '{}']);
$compare->($_, [form => sprintf $_, 'recipient=u2&'],
           [form => sprintf $_, 'id=1&']) for @form[1 .. $#form];
$compare->($_, [json => $_], [json => $_]) for @whole;

for my $type ('text/plain', 'application/xml', '') {
    $compare->($type, [type => $type, body => 'x'],
               [type => $type, body => 'x']);
}

my $type = 'multipart/form-data; boundary=b0undary';

$compare->('multipart', [type => $type,
                         body => multipart(recipient => 'u2', body => " m \n")],
           [type => $type, body => multipart(x => 'y', body => " m \n")]);
$compare->('chunks', [json => '{"recipient":"u2","body":"ch"}', chunked => 1],
           [json => '{"body":"ch"}', chunked => 1]);
$compare->('coding', [json => '{"recipient":"u2","body":"z"}',
                      headers => ['Content-Encoding: gzip']],
           [json => '{"body":"z"}', headers => ['Content-Encoding: gzip']]);
is($wrong, '', "$n bodies have the same outcome");


=== an edit changes the text and nothing else, and ignores other members
--- given
new_message(u1 => 'u2', $_) for 'one', 'two';
--- then
my $before = api('u1', GET => '/api/v1/message/1/')->json;
my $answer = raw('u1', PATCH => 'message/1/', json => '{"body":"new","id":2,'
    . '"user":"u3","recipient":"u3","timestamp":"2000-01-01T00:00:00.000000Z",'
    . '"reply_to":2,"edited_at":null,"client_id":"k","files":["x"]}',
    headers => ['Idempotency-Key: k']);

like($answer->{body}, qr/^\{"id":1,"user":"u1","recipient":"u2",
     "timestamp":"\Q$before->{timestamp}\E","body":"new",
     "edited_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"\}$/x,
     'members in order');

my $first = decode_json($answer->{body})->{edited_at};

is(outcome('u1', PATCH => 'message/1/', json => '{"body":" new "}',
           headers => ['Idempotency-Key: k']), "200 $answer->{body}",
   'a repeated edit has the same response, also with white space');
like(outcome('u1', PATCH => 'message/1/', json => '{"body":"newer"}',
             headers => ['Idempotency-Key: k']), qr/"body":"newer"/,
     'a key does not apply to edits');

my $later = edit('u1', 1, 'one')->json;

is($later->{body}, 'one', 'the first text again');
cmp_ok($later->{edited_at}, 'gt', $first, 'is an edit of an edit');
like(outcome('u1', POST => 'message/', json => '{"recipient":"u2","body":"x"}',
             headers => ['Idempotency-Key: k']), qr/^201 /,
     'the key of an edit is unused');
is((changes('u2', 0))[0], 'one two 1=one x', 'one change');


=== random changes, two workers
--- timeout: 60
--- then
random_changes(11);


=== random changes, four workers
--- timeout: 60
--- workers: 4
--- then
random_changes(12);


=== reply_to names a message of this conversation
--- http
chat_presence off;
--- given
new_message(u1 => 'u2', 'one');
new_message(u1 => 'u3', 'other');
new_message(u1 => 'u1', 'note');
new_message(u2 => 'u1', 'gone');
new_message(u3 => 'u2', 'not mine');
--- then
edit('u1', 1, 'edited');
remove('u2', 4);

my $sockets = [map { web_socket('u2', path => $_) } '/ws', '/events'];
my $reply = sub {
    return outcome('u1', POST => 'message/',
                   json => qq({"recipient":"u2","body":"r","reply_to":$_[0]}));
};

# 6 and 7 are changes; some numbers are 1 in 32 or 64 bits
is($reply->($_), $NoTarget, $_)
    for qw(0 -1 1e0 1.0 2 3 4 5 6 7 8 4294967297 18446744073709551617
           9223372036854775807 9223372036854775808 18446744073709551615
           99999999999999999999999 true false [] {} [1] {"id":1} ""
           "-1" "+1" "0x1" "1.0" "1e0" "1,2" "1;" "\u0000" "1\u0000"
           "\uff11" "\u0661"), '" "', '"' . 1 x 500 . '"';

for my $value ('', '-1', 'true', 'null', '1%00', '4', '6') {
    is(outcome('u1', POST => 'message/',
               form => "recipient=u2&body=r&reply_to=$value"), $NoTarget,
       "form: $value");
}

is(scalar sql('SELECT COUNT(*) FROM chat_message WHERE kind = 0'), 4,
   'nothing is stored');
settle();
is(scalar(map { @{ $_->{frames} } } @$sockets), 0, 'or announced');

like($reply->($_), qr/^201 .*"body":"r","reply_to":1\}$/, $_) for '1', '"1"';
unlike($reply->('null'), qr/reply_to/, 'null');
like(outcome('u2', POST => 'message/', type => 'multipart/form-data; boundary='
             . 'b0undary', body => multipart(recipient => 'U1', body => 'r',
                                             reply_to => 1)),
     qr/^201 .*"reply_to":1\}$/, 'multipart, the other direction');
is(outcome('u1', POST => 'message/',
           json => '{"recipient":"nobody","body":"r","reply_to":99}'), $Unknown,
   'an unknown recipient comes first');
is(outcome('u1', POST => 'message/',
           json => '{"recipient":"u2","reply_to":99}'),
   '400 {"body":["This field is required."]}', 'as do missing fields');


=== replies to replies, to edited and to deleted messages
--- given
new_message(u1 => 'u2', 'one');
--- then
my $id = 1;

for my $n (1 .. 5) {
    my @pair = $n % 2 ? qw(u2 u1) : qw(u1 u2);
    my $json = send_to(@pair, "r$n", reply_to => $id, client_id => "k$n")
               ->json;

    is($json->{reply_to}, $id, "reply $n");
    is(edit($pair[0], $json->{id}, "e$n")->json->{reply_to}, $id,
       'an edit keeps it');
    $id = $json->{id};
}

my %target = map { $_->{id} => $_->{reply_to} } @{ list('u1', '?after=0') };
my ($third) = grep { ($target{$_} // 0) == 1 } keys %target;

is(remove('u2', $third)->code, 204, 'a reply with a reply is deleted');
delete $target{$third};

for my $query ('', '?target=u1', '?after=0', '?before=latest', '?search=e') {
    my %got = map { $_->{id} => $_->{reply_to} }
                  grep { $_->{id} != 1 } @{ list('u2', $query) };

    is_deeply(\%got, { map { $_ => $target{$_} } grep { $_ != 1 }
                           keys %target }, "the others remain: $query");
}

is(send_to('u2', 'u1', 'x', reply_to => $third)->code, 400,
   'a reply to a deleted reply');
is(send_to('u1', 'u2', 'r2', reply_to => $third, client_id => 'k2')->code, 200,
   'unless it is repeated');
is(send_to('u1', 'u2', 'r2', reply_to => 1, client_id => 'k2')->code, 409,
   'with the same target');


=== the id of a change is no message id
--- given
new_message(u1 => 'u2', $_) for 'one', 'two', 'three';
--- then
edit('u1', 1, 'edited');                        # 4
remove('u1', 2);                                # 5
send_to('u2', 'u1', 'four');                    # 6

for my $id (4, 5) {
    for my $who ('u1', 'u2') {
        is(outcome($who, $_ => "message/$id/", json => '{"body":"x"}'),
           $Unknown, "$_ $id by $who") for qw(GET PATCH DELETE);
        is(raw($who, HEAD => "message/$id/")->{code}, 404, 'HEAD');
    }

    is(outcome('u2', POST => 'message/',
               json => qq({"recipient":"u1","body":"x","reply_to":$id})),
       $NoTarget, 'no reply');
    is(outcome('u2', POST => 'conversation/u1/read/', json => qq({"id":$id})),
       '200 {"unread":0,"read_id":3}', 'a read mark is below it');
    is(join(' ', texts(list('u1', "?before=$id"))), 'three edited',
       'before=');
    is(join(' ', texts(list('u1', "?after=$id"))), 'four', 'after=');
    is(scalar @{ api('u1', GET => "/api/v1/conversation/?before=$id")
                 ->json->{results} }, 0, 'before= of the inbox');
    is(join(' ', texts(list('u1', "?search=e&before=$id"))), 'three edited',
       'search');
}

is_deeply([map { $_->{id} } @{ list('u1', '?after=0&changes=1') }],
          [1, 3, 4, 5, 6], 'in one order');
is_deeply([map { $_->{id} } @{ list('u1', "?after=0$_") }], [1, 3, 6],
          "messages only: $_") for '', '&changes=0', '&changes=', '&changes=x';
is(api('u1', GET => '/api/v1/message/?changes=1&page=last')->json->{count}, 3,
   'they are not counted');
counters_are_right();


=== a client of parts 1 to 3 notices nothing
--- given
new_message($_ % 2 ? ('u1', 'u2') : ('u2', 'u1'), "m$_") for 1 .. 33;
--- then
my $hint = web_socket('u2');
my $plain = qr/^\{"id":\d+,"user":"u\d","recipient":"u\d","timestamp":"[^"]+",
               "body":"[^"]+"\}$/x;

edit('u1', 1, 'edited');
remove('u1', $_) for 3, 5, 7;
send_to('u1', 'u2', 'new');

my $body = api('u2', GET => '/api/v1/message/?page=2')->body;

like($body, qr/^\{"count":31,"next":"[^"]+\?page=3","previous":"[^"]+\/",
               "results":\[/x, 'the count and the links');
is(scalar @{ list('u2', '?page=3') }, 1, 'the last page');
is(outcome('u2', GET => 'message/?page=4'), '404 {"detail":"Invalid page."}',
   'no other page');
is(join(' ', texts(list('u2', '?page=last'))), 'edited', 'has the oldest');

my @all = map { @{ list('u2', "?page=$_") } } 1, 2, 3;

is(scalar(grep { api('u1', GET => "/api/v1/message/$_->{id}/")->body =~ $plain }
               @all[0 .. $#all - 1]), 30, 'unchanged messages have five members');
is_deeply([map { $_->{id} } @all],
          [reverse 1, 2, 4, 6, 8 .. 33, $all[0]{id}], 'in the old order');
is_deeply(list('u2', '?after=0&limit=100'), [reverse @all], 'after=');

ok(wait_until { @{ $hint->{frames} } }, 'a new message');
settle();
is_deeply($hint->{frames}, ["{\"message\": \"$all[0]{id}\"}"],
          'is the only text of /ws');


=== safe retries meet edits and deletions, four workers
--- workers: 4
--- then
my @send = ('u1', 'u2', 'one');
my %key = (client_id => 'k');
my $id = send_to(@send, %key)->json->{id};

is(edit('u1', $id, $_)->code, 200, "edited: $_") for 'two', 'one', 'three';

for (1 .. 4) {
    my $res = send_to(@send, %key);

    is($res->code . ' ' . $res->json->{body}, '200 three',
       'the first content returns the current text');
    is(send_to('u1', 'u2', $_, %key)->code, 409, "\"$_\" does not")
        for 'two', 'three';
}

is(send_to('u2', 'u1', 'one', %key)->code, 201, "another user's key");
is(send_to('u1', 'u2', 'one', client_id => 'other')->code, 201, 'another key');

my $left = 16;
my %codes;
my $count = sub { $codes{ $_[0]->code }++; $left-- };

request('u1', POST => '/api/v1/message/',
        { recipient => 'u2', body => 'one', %key })->then($count) for 1 .. 8;
request('u1', DELETE => "/api/v1/message/$id/")->then($count) for 1 .. 8;
ok(wait_until { $left == 0 }, 'deleted while it is sent again');
is($codes{204}, 1, 'one deletion');
is($codes{404}, 7, 'the others find nothing');
is(($codes{200} // 0) + ($codes{409} // 0), 8, 'no send stores it again');
is(send_to(@send, %key)->code, 409, 'nor later') for 1 .. 4;
is(outcome('u1', POST => 'message/', json => '{"recipient":"u2","body":""}',
           headers => ['Idempotency-Key: k']),
   '400 {"body":["This field may not be blank."]}', 'the empty text neither');
is(scalar sql("SELECT COUNT(*) FROM chat_message WHERE client_id = 'k'
               AND sender_id = 1 AND body = '' AND sent_hash IS NULL"), 1,
   'the text is erased');
counters_are_right();


=== large bodies
--- given
new_message(u1 => 'u2', $_) for 1 .. 3;
--- then
my $emoji = "\xf0\x9f\x98\x80";

like(outcome('u1', PATCH => 'message/1/',
             json => '{"body":"' . $emoji x 4000 . '"}'),
     qr/^200 .*"body":"(?:$emoji){4000}",/, '4000 characters');
is(outcome('u1', PATCH => 'message/1/',
           json => '{"body":"' . $emoji x 4001 . '"}'),
   '400 {"body":["Ensure this field has no more than 4000 characters."]}',
   'one more');
is(raw('u1', $_ => 'message/2/', json => '{"body":"' . 'x' x 70000 . '"}')
   ->{code}, 413, "$_ of 70000 bytes") for 'PATCH', 'DELETE';
is(api('u2', GET => '/api/v1/message/2/')->json->{body}, '2', 'is not done');
is(outcome('u1', DELETE => 'message/2/', json => '{'), '204',
   'the body of DELETE is ignored');
is(outcome('u1', DELETE => 'message/3/', type => 'text/plain', body => 'x'),
   '204', 'of any type');
