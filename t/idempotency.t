#
# Copyright (C) ngx_chat contributors
#

# sending again what may have been stored already

use Test::Nginx::Socket 'no_plan';
use Chat;

# send_as WHO, KEY, BODY, [RECIPIENT]: "status id"

sub send_as {
    my ($who, $key, $body, $recipient) = @_;

    my $res = api($who, POST => '/api/v1/message/',
                  { recipient => $recipient // 'u2', body => $body },
                  'Idempotency-Key' => $key);

    return $res->code . ' ' . ($res->json->{id} // $res->body);
}

run_tests();


__DATA__

=== the same key and content again: the first message
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'stored');

for (1 .. 4) {
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'hello' },
                  'Idempotency-Key' => 'key-1');

    is($res->code, 200, 'the same again');
    is_deeply($res->json, api('u1', GET => '/api/v1/message/1/')->json,
              'the first message');
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'one is stored');
is(scalar sql('SELECT message_count FROM chat_conversation'), 1, 'and counted');
is(scalar sql('SELECT hi_unread FROM chat_conversation'), 1, 'once');


=== white space around it, and the case of the name, change nothing
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'stored');
is(send_as('u1', 'key-1', ' hello ', 'U2'), '200 1', 'the same');


=== the same key, another text
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'stored');
is(send_as('u1', 'key-1', 'Hello'),
   '409 {"detail":"This Idempotency-Key was used for another message."}',
   'refused');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'one is stored');


=== the same key, another recipient
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'stored');
is(send_as('u1', 'key-1', 'hello', 'u3'),
   '409 {"detail":"This Idempotency-Key was used for another message."}',
   'refused');


=== the same key of another sender
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'stored');
like(send_as('u3', 'key-1', 'hello'), qr/^201 /, 'stored as well');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 2, 'two are stored');


=== keys differ by case
--- then
is(send_as('u1', 'key-a', 'hello'), '201 1', 'stored');
like(send_as('u1', 'KEY-A', 'hello'), qr/^201 /, 'another');


=== as a field
--- then
my %message = (recipient => 'u2', body => 'hello', client_id => 'key-1');

my $res = api('u1', POST => '/api/v1/message/', \%message);
is($res->code, 201, 'stored');

$res = api('u1', POST => '/api/v1/message/', \%message);
is($res->code, 200, 'the same again');
is($res->json->{id}, 1, 'the first message');

is(send_as('u1', 'key-1', 'hello'), '200 1', 'the header names the same');


=== as a field of a form
--- given
message(u1 => 'u2', 'hello');
sql("UPDATE chat_message SET client_id = 'key-1'");
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=hello&client_id=key-1
--- response_body chomp
{"id":1,"user":"u1","recipient":"u2","timestamp":"2025-12-30T07:03:02.325660Z","body":"hello"}


=== as a field of a multipart form
--- given
message(u1 => 'u2', 'hello');
sql("UPDATE chat_message SET client_id = 'key-1'");
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n"
. Chat::multipart(recipient => 'u2', body => 'hello', client_id => 'key-1')
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== 64 printable characters
--- then
is(send_as('u1', '!"#$%&()*+,-./:;<=>?@[]^_`{|}~' . 'x' x 34, 'hello'),
   '201 1', 'stored');


=== an empty key
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello","client_id":""}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== 65 characters
--- as: u1
--- type: json
--- more_headers eval
'Idempotency-Key: ' . 'x' x 65
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello"}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== a key with a blank
--- as: u1
--- type: json
--- more_headers
Idempotency-Key: a b
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello"}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== a key that is no ASCII
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello","client_id":"schlüssel"}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== a key that is an object
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello","client_id":{}}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== the same at the same time, on two workers: stored once
--- then
my %codes;

Mojo::Promise->all(map {
    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'hello' },
            'Idempotency-Key' => 'key-1')
        ->then(sub { $codes{ $_[0]->code }++ });
} 1 .. 20)->wait;

is_deeply(\%codes, { 201 => 1, 200 => 19 }, 'one is the first');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'one is stored');
is(scalar sql('SELECT message_count FROM chat_conversation'), 1, 'and counted');


=== a repeat among others harms nobody
--- then
is(send_as('u1', 'key-0', 'hello'), '201 1', 'stored');

my %codes;

Mojo::Promise->all(map {
    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'hello' },
            'Idempotency-Key' => 'key-' . $_ % 5)
        ->then(sub { $codes{ $_[0]->code }++ });
} 0 .. 19)->wait;

is_deeply(\%codes, { 201 => 4, 200 => 16 }, 'four are new');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 5, 'five are stored');
is(scalar sql('SELECT message_count FROM chat_conversation'), 5, 'and counted');
