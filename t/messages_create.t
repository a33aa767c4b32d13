#
# Copyright (C) ngx_chat contributors
#

# POST /api/v1/message/

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== a JSON body is accepted
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello"}
--- error_code: 201
--- response_body_like chomp
^\{"id":1,"user":"u1","recipient":"u2","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","body":"hello"\}$
--- response_headers
Content-Type: application/json
Allow: GET, POST, HEAD, OPTIONS
Vary: Accept, Cookie
X-Content-Type-Options: nosniff
X-Frame-Options: DENY
Referrer-Policy: same-origin
Cache-Control: no-store
--- then
is(scalar sql("SELECT CONCAT_WS(' ', id, sender_id, recipient_id, body)
               FROM chat_message"),
   '1 1 2 hello', 'the message is stored');
is(scalar sql("SELECT CONCAT_WS(' ', lo_id, hi_id, message_count,
                                last_message_id, lo_unread, hi_unread)
               FROM chat_conversation"),
   '1 2 1 1 0 1', 'its conversation');
cmp_ok(abs(sql('SELECT TIMESTAMPDIFF(SECOND, created_at, UTC_TIMESTAMP())
                FROM chat_message')), '<', 10, 'its time is UTC');


=== a form as sent by jQuery is accepted
--- as: u1
--- type: application/x-www-form-urlencoded; charset=UTF-8
--- more_headers
X-Requested-With: XMLHttpRequest
Origin: http://localhost
--- request
POST /api/v1/message/
recipient=u2&body=hello+there+%26+100%25+%C3%A4
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello there & 100% ä"}


=== a multipart body is accepted
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => "two\r\nlines")
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"two\r\nlines"}


=== a path without the trailing slash is accepted
--- as: u1
--- type: json
--- request
POST /api/v1/message
{"recipient":"u2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== a user can send a message to itself
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u1","body":"note"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u1","timestamp":"<time>","body":"note"}
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 1, 'stored once');


=== case is ignored in the recipient's name
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"U2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== accents are significant in a name
--- given
sql("INSERT INTO chat_user (username) VALUES ('rené')");
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"rene","body":"hello"}
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== a name with accents is found in another case
--- given
sql("INSERT INTO chat_user (username) VALUES ('rené')");
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"RENÉ","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"rené","timestamp":"<time>","body":"hello"}


=== emoji, quotes, markup and control characters are stored as sent
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"😀 \ud83d\ude80 \"q\" <b>\\ 'x' \u0001\n\t é ü 漢"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"😀 🚀 \"q\" <b>\\ 'x' \u0001\n\t é ü 漢"}
--- response_body_like: 😀 🚀
--- then
is(scalar sql('SELECT body FROM chat_message'),
   qq(😀 🚀 "q" <b>\\ 'x' \x01\n\t é ü 漢), 'stored as sent');


=== SQL in both fields is plain text
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2' OR '1'='1","body":"'); DROP TABLE chat_message; -- \\"}
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== SQL in the body is plain text
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"a\\'), (1, 1, 1, NOW(), NULL, 'b'); -- \\' \" %s \\"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"a\\'), (1, 1, 1, NOW(), NULL, 'b'); -- \\' \" %s \\"}


=== leading and trailing white space is removed
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":" \t u2\n","body":"\r\n  two  words \t\u000b\f "}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"two  words"}


=== Unicode white space is removed as well
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"\u00a0u2\u2003","body":"\u3000\u2028\u0085\u001f\u1680x\u00a0y\u202f\u205f\u2000\u200a"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"x\u00a0y"}


=== a zero-width space is not white space
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"\u200bx\ufeff"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"\u200bx\ufeff"}


=== a number is accepted as text
--- given
sql("INSERT INTO chat_user (username) VALUES ('42')");
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":42,"body":-3.25}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"42","timestamp":"<time>","body":"-3.25"}


=== a number beyond 64 bits keeps its digits
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":123456789012345678901234567890}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"123456789012345678901234567890"}


=== unknown fields are ignored
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"id":99,"user":"u3","timestamp":"2001-01-01","x":{"y":[1,null]},"recipient":"u2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== an unknown recipient is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"nobody","body":"hello"}
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'nothing is stored');


=== an unknown recipient is rejected, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=nobody&body=hello
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== an unknown recipient is rejected, multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'nobody', body => 'x')
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== fields are validated before the recipient is searched for
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"nobody","body":" "}
--- error_code: 400
--- response_body chomp
{"body":["This field may not be blank."]}


=== an invalid name is an unknown recipient
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"' . 'x' x 5000 . '","body":"hello"}'
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== an unsupported content type is rejected
--- as: u1
--- type: text/plain
--- request
POST /api/v1/message/
hello
--- error_code: 415
--- response_body chomp
{"detail":"Unsupported media type \"text/plain\" in request."}


=== a request without a content type is rejected
--- as: u1
--- request
POST /api/v1/message/
recipient=u2&body=hello
--- error_code: 415
--- response_body_like: ^\{"detail":"Unsupported media type \\"[^"]*\\" in request\."\}$


=== the type of JSON is accepted in other letters and with a parameter
--- as: u1
--- type: Application/JSON; charset=utf-8
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== the response is JSON regardless of Accept
--- as: u1
--- type: json
--- more_headers
Accept: text/html
--- request
POST /api/v1/message/
{"recipient":"u2","body":""}
--- error_code: 400
--- response_body chomp
{"body":["This field may not be blank."]}
--- response_headers
Content-Type: application/json


=== 4,000 characters of four bytes and white space are accepted
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"  ' . '😀' x 4000 . '  "}'
--- error_code: 201
--- response_body_like eval
qr/"body":"(?:😀){4000}"\}$/


=== 4,000 escaped characters are accepted
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . '\ud83d\ude00' x 4000 . '"}'
--- error_code: 201
--- response_body_like eval
qr/"body":"(?:😀){4000}"\}$/


=== 4,001 characters are rejected
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . 'x' x 4001 . '"}'
--- error_code: 400
--- response_body chomp
{"body":["Ensure this field has no more than 4000 characters."]}


=== 4,001 characters are rejected, form
--- as: u1
--- type: form
--- request eval
"POST /api/v1/message/\n" . 'recipient=u2&body=' . '%C3%A4' x 4001
--- error_code: 400
--- response_body chomp
{"body":["Ensure this field has no more than 4000 characters."]}


=== 4,001 characters are rejected, multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => 'x' x 4001)
--- error_code: 400
--- response_body chomp
{"body":["Ensure this field has no more than 4000 characters."]}


=== a body longer than chat_max_message is rejected
--- api
chat_max_message 5;
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"123456"}
--- error_code: 400
--- response_body chomp
{"body":["Ensure this field has no more than 5 characters."]}


=== a body of chat_max_message characters is accepted
--- api
chat_max_message 5;
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"12345"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"12345"}


=== a request larger than client_max_body_size is rejected
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . 'x' x 70000 . '"}'
--- error_code: 413
--- response_body_like: Request Entity Too Large
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'nothing is stored');


=== a chunked body is accepted
--- as: u1
--- type: json
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /api/v1/message/\n"
. "10\r\n{\"recipient\":\"u2\r\n11\r\n\",\"body\":\"chunked\r\n2\r\n\"}\r\n0\r\n\r\n"
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"chunked"}


=== a body that arrives in parts is accepted
--- as: u1
--- type: json
--- request eval
[[
    { value => "POST /api/v1/message/\n" },
    { value => '{"recipient":"u2",', delay_after => 0.05 },
    { value => '"body":"hel', delay_after => 0.05 },
    { value => 'lo"}' },
]]
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== a body that nginx writes to a file is accepted
--- change
s/client_body_buffer_size +\w+;/client_body_buffer_size 1k;/;
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . 'x' x 3000 . '"}'
--- error_code: 201
--- response_body_like: "body":"x{3000}"


=== a body that nginx always writes to a file is accepted
--- api
client_body_in_file_only clean;
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=hello
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== two sends on one connection are accepted
--- as: u1
--- type: json
--- pipelined_requests eval
[
    "POST /api/v1/message/\n" . '{"recipient":"u2","body":"one"}',
    "POST /api/v1/message/\n" . '{"recipient":"u2","body":"two"}',
]
--- error_code eval
[201, 201]
--- response_body_like eval
['"id":1,.*"body":"one"', '"id":2,.*"body":"two"']


=== simultaneous messages are stored and counted
--- then
my @codes;

my @sends = map {
    my $n = $_;
    request("u$n", POST => '/api/v1/message/',
            { recipient => $n == 1 ? 'u2' : 'u1', body => "from u$n" })
        ->then(sub { push @codes, $_[0]->code });
} (1 .. 4) x 10;

Mojo::Promise->all(@sends)->wait;

is("@codes", join(' ', (201) x 40), 'all are accepted');
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 40, 'all are stored');
is(scalar sql('SELECT GROUP_CONCAT(message_count ORDER BY hi_id)
               FROM chat_conversation'),
   '20,10,10', 'and counted');
is(scalar sql('SELECT COUNT(*) FROM chat_conversation AS c
               WHERE last_message_id <> (SELECT MAX(id) FROM chat_message AS m
                                         WHERE m.lo_id = c.lo_id
                                           AND m.hi_id = c.hi_id)'),
   0, 'conversations have their last ids');


=== a body with a content coding is rejected
--- then
for my $coding ('gzip', 'br', 'deflate', 'GZIP', 'gzip, gzip', 'x') {
    for my $path ('message', 'conversation/u2/read', 'password', 'session') {
        my $res = api('u1', POST => "/api/v1/$path/", { recipient => 'u2' },
                      'Content-Encoding' => $coding);

        is($res->code, 415, "$coding, $path");
        is($res->body, qq({"detail":"Unsupported content coding \\"$coding\\" )
                       . 'in request."}', 'the reason');
    }
}

is(api('u1', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' },
       'Content-Encoding' => $_)->code, 201, "\"$_\" is none")
    for 'identity', 'Identity', '';
