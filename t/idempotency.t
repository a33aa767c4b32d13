#
# Copyright (C) ngx_chat contributors
#

# repeated sends with the same key

use Test::Nginx::Socket 'no_plan';
use Chat;

# send_as USER, KEY, BODY, [RECIPIENT]: "status id"

sub send_as {
    my ($who, $key, $body, $recipient) = @_;

    my $res = api($who, POST => '/api/v1/message/',
                  { recipient => $recipient // 'u2', body => $body },
                  'Idempotency-Key' => $key);

    return $res->code . ' ' . ($res->json->{id} // $res->body);
}

run_tests();


__DATA__

=== a send with the same key and content returns the first message
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'the first send is stored');

for (1 .. 4) {
    my $res = api('u1', POST => '/api/v1/message/',
                  { recipient => 'u2', body => 'hello' },
                  'Idempotency-Key' => 'key-1');

    is($res->code, 200, 'a repeated send succeeds');
    is_deeply($res->json, api('u1', GET => '/api/v1/message/1/')->json,
              'the first message');
}

is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'one message is stored');
is(scalar sql('SELECT message_count FROM chat_conversation'), 1, 'and counted');
is(scalar sql('SELECT hi_unread FROM chat_conversation'), 1, 'once');


=== white space around the text and the case of the name do not matter
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'the first send is stored');
is(send_as('u1', 'key-1', ' hello ', 'U2'), '200 1',
   'a repeated send succeeds');


=== the same key with another text is rejected
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'the first send is stored');
is(send_as('u1', 'key-1', 'Hello'),
   '409 {"detail":"This Idempotency-Key was used for another message."}',
   'the second send is rejected');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'one message is stored');


=== the same key with another recipient is rejected
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'the first send is stored');
is(send_as('u1', 'key-1', 'hello', 'u3'),
   '409 {"detail":"This Idempotency-Key was used for another message."}',
   'the second send is rejected');


=== the same key of another sender is accepted
--- then
is(send_as('u1', 'key-1', 'hello'), '201 1', 'the first send is stored');
like(send_as('u3', 'key-1', 'hello'), qr/^201 /, 'the second send is stored');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 2,
   'two messages are stored');


=== keys are case-sensitive
--- then
is(send_as('u1', 'key-a', 'hello'), '201 1', 'the first send is stored');
like(send_as('u1', 'KEY-A', 'hello'), qr/^201 /, 'the second send is stored');


=== the key may be a field of the message
--- then
my %message = (recipient => 'u2', body => 'hello', client_id => 'key-1');

my $res = api('u1', POST => '/api/v1/message/', \%message);
is($res->code, 201, 'the first send is stored');

$res = api('u1', POST => '/api/v1/message/', \%message);
is($res->code, 200, 'a repeated send succeeds');
is($res->json->{id}, 1, 'the first message');

is(send_as('u1', 'key-1', 'hello'), '200 1', 'the header has the same meaning');


=== the key may be a field of a form
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


=== the key may be a field of a multipart form
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


=== a key of 64 printable characters is accepted
--- then
is(send_as('u1', '!"#$%&()*+,-./:;<=>?@[]^_`{|}~' . 'x' x 34, 'hello'),
   '201 1', 'the send is stored');


=== an empty key is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello","client_id":""}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== a key of 65 characters is rejected
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


=== a key with a space is rejected
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


=== a key with non-ASCII characters is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello","client_id":"schlüssel"}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== a key that is an object is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello","client_id":{}}
--- error_code: 400
--- json
{"client_id":["<text>"]}


=== concurrent sends with the same key on two workers are stored once
--- then
my %codes;

Mojo::Promise->all(map {
    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'hello' },
            'Idempotency-Key' => 'key-1')
        ->then(sub { $codes{ $_[0]->code }++ });
} 1 .. 20)->wait;

is_deeply(\%codes, { 201 => 1, 200 => 19 }, 'one send is stored');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'one message is stored');
is(scalar sql('SELECT message_count FROM chat_conversation'), 1, 'and counted');


=== repeated sends do not affect others of their batch
--- then
is(send_as('u1', 'key-0', 'hello'), '201 1', 'the first send is stored');

my %codes;

Mojo::Promise->all(map {
    request('u1', POST => '/api/v1/message/',
            { recipient => 'u2', body => 'hello' },
            'Idempotency-Key' => 'key-' . $_ % 5)
        ->then(sub { $codes{ $_[0]->code }++ });
} 0 .. 19)->wait;

is_deeply(\%codes, { 201 => 4, 200 => 16 }, 'four sends are new');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 5,
   'five messages are stored');
is(scalar sql('SELECT message_count FROM chat_conversation'), 5, 'and counted');
