#
# Copyright (C) ngx_chat contributors
#

# POST /api/v1/message/

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== JSON
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
   '1 1 2 hello', 'the stored message');
is(scalar sql("SELECT CONCAT_WS(' ', lo_id, hi_id, message_count,
                                last_message_id, lo_unread, hi_unread)
               FROM chat_conversation"),
   '1 2 1 1 0 1', 'its conversation');
cmp_ok(abs(sql('SELECT TIMESTAMPDIFF(SECOND, created_at, UTC_TIMESTAMP())
                FROM chat_message')), '<', 10, 'its time is UTC');


=== form, as jQuery posts it
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


=== multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => "two\r\nlines")
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"two\r\nlines"}


=== the path without its closing slash
--- as: u1
--- type: json
--- request
POST /api/v1/message
{"recipient":"u2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== to oneself
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


=== the recipient's name in another case
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"U2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== accents count in a name
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


=== a name with accents, in another case
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


=== emoji, quotes, markup, control characters
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


=== SQL in both fields
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2' OR '1'='1","body":"'); DROP TABLE chat_message; -- \\"}
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== SQL in the body
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"a\\'), (1, 1, 1, NOW(), NULL, 'b'); -- \\' \" %s \\"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"a\\'), (1, 1, 1, NOW(), NULL, 'b'); -- \\' \" %s \\"}


=== white space around both is cut
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":" \t u2\n","body":"\r\n  two  words \t\u000b\f "}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"two  words"}


=== Unicode's white space as well
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"\u00a0u2\u2003","body":"\u3000\u2028\u0085\u001f\u1680x\u00a0y\u202f\u205f\u2000\u200a"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"x\u00a0y"}


=== a zero-width space is no white space
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"\u200bx\ufeff"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"\u200bx\ufeff"}


=== numbers are taken as their text
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


=== other fields are passed over
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"id":99,"user":"u3","timestamp":"2001-01-01","x":{"y":[1,null]},"recipient":"u2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== JSON, both missing
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{}
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== form, both missing
--- as: u1
--- type: form
--- request
POST /api/v1/message/
x=1
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== multipart, both missing
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(x => 1)
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== JSON, the recipient missing
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"body":"hello"}
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."]}


=== form, the body missing
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2
--- error_code: 400
--- response_body chomp
{"body":["This field is required."]}


=== no request body, whatever its type
--- as: u1
--- type: text/plain
--- request
POST /api/v1/message/
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== JSON, blank
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"","body":""}
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== form, blank
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=&body=
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== multipart, blank
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => '', body => '')
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== JSON, white space alone
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":" \t","body":"\n\u00a0\u3000"}
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== form, white space alone
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=+%0A%E3%80%80+
--- error_code: 400
--- response_body chomp
{"body":["This field may not be blank."]}


=== multipart, white space alone
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => " \r\n\t")
--- error_code: 400
--- response_body chomp
{"body":["This field may not be blank."]}


=== null
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":null,"body":null}
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be null."],"body":["This field may not be null."]}


=== true and false
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":true,"body":false}
--- error_code: 400
--- response_body chomp
{"recipient":["Not a valid string."],"body":["Not a valid string."]}


=== an object and an array
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":{"body":"x"},"body":["x","recipient"]}
--- error_code: 400
--- response_body chomp
{"recipient":["Not a valid string."],"body":["Not a valid string."]}


=== JSON that does not parse
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hel
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON, white space alone as the document
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . ' '
--- more_headers
Content-Length: 1
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON, something behind the document
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello"} x
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON that is no UTF-8
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . qq({"recipient":"u2","body":"\xff\xfe"})
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON with half a surrogate pair
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"\ud83d"}
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON, nested very deeply
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '[' x 20000
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON that is an array
--- as: u1
--- type: json
--- request
POST /api/v1/message/
[{"recipient":"u2","body":"hello"}]
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}


=== JSON that is a string
--- as: u1
--- type: json
--- request
POST /api/v1/message/
"hello"
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got str."]}


=== JSON that is an integer
--- as: u1
--- type: json
--- request
POST /api/v1/message/
12
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got int."]}


=== JSON that is a fraction
--- as: u1
--- type: json
--- request
POST /api/v1/message/
1.5
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got float."]}


=== JSON that is a boolean
--- as: u1
--- type: json
--- request
POST /api/v1/message/
true
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got bool."]}


=== JSON that is null, for which DRF has words of its own
--- as: u1
--- type: json
--- request
POST /api/v1/message/
null
--- error_code: 400
--- response_body chomp
{"non_field_errors":["No data provided"]}


=== form that is no UTF-8
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=%ff%fe
--- error_code: 400
--- response_body chomp
{"body":["Not a valid string."]}


=== form, percent signs that encode nothing stay
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=100%+%zz+%4
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"100% %zz %4"}


=== form, the last of two counts
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u3&recipient=u2&body=one&body=two
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"two"}


=== multipart that is cut off
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n--b0undary\r\nContent-Disposition: form-data; name=\"body\"\r\n\r\nhel"
--- error_code: 400
--- response_body_like: ^\{"detail":"Multipart form parse error - [^"]+"\}$


=== multipart without a boundary
--- as: u1
--- type: multipart/form-data
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => 'x')
--- error_code: 400
--- response_body_like: ^\{"detail":"Multipart form parse error - [^"]+"\}$


=== null characters, JSON
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2\u0000","body":"a\u0000b"}
--- error_code: 400
--- response_body chomp
{"recipient":["Null characters are not allowed."],"body":["Null characters are not allowed."]}


=== null characters, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=a%00b
--- error_code: 400
--- response_body chomp
{"body":["Null characters are not allowed."]}


=== the recipient is unknown
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


=== the recipient is unknown, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=nobody&body=hello
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== the recipient is unknown, multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'nobody', body => 'x')
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== the fields are looked at before the recipient
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"nobody","body":" "}
--- error_code: 400
--- response_body chomp
{"body":["This field may not be blank."]}


=== a name that nobody can have
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"' . 'x' x 5000 . '","body":"hello"}'
--- error_code: 404
--- response_body chomp
{"detail":"Not found."}


=== another content type
--- as: u1
--- type: text/plain
--- request
POST /api/v1/message/
hello
--- error_code: 415
--- response_body chomp
{"detail":"Unsupported media type \"text/plain\" in request."}


=== no content type
--- as: u1
--- request
POST /api/v1/message/
recipient=u2&body=hello
--- error_code: 415
--- response_body_like: ^\{"detail":"Unsupported media type \\"[^"]*\\" in request\."\}$


=== JSON's type in other letters, with a parameter
--- as: u1
--- type: Application/JSON; charset=utf-8
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello"}
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"hello"}


=== JSON whatever Accept says
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


=== 4,000 characters, each of four bytes, and white space
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"  ' . '😀' x 4000 . '  "}'
--- error_code: 201
--- response_body_like eval
qr/"body":"(?:😀){4000}"\}$/


=== 4,000 characters, escaped
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . '\ud83d\ude00' x 4000 . '"}'
--- error_code: 201
--- response_body_like eval
qr/"body":"(?:😀){4000}"\}$/


=== one more than that
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . 'x' x 4001 . '"}'
--- error_code: 400
--- response_body chomp
{"body":["Ensure this field has no more than 4000 characters."]}


=== one more than that, form
--- as: u1
--- type: form
--- request eval
"POST /api/v1/message/\n" . 'recipient=u2&body=' . '%C3%A4' x 4001
--- error_code: 400
--- response_body chomp
{"body":["Ensure this field has no more than 4000 characters."]}


=== one more than that, multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => 'x' x 4001)
--- error_code: 400
--- response_body chomp
{"body":["Ensure this field has no more than 4000 characters."]}


=== chat_max_message
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


=== chat_max_message reached
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


=== more than client_max_body_size
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . 'x' x 70000 . '"}'
--- error_code: 413
--- response_body_like: Request Entity Too Large
--- then
is(scalar sql('SELECT COUNT(*) FROM chat_message'), 0, 'nothing is stored');


=== a chunked body
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


=== a body that comes in pieces
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


=== a body that nginx puts into a file
--- change
s/client_body_buffer_size +\w+;/client_body_buffer_size 1k;/;
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '{"recipient":"u2","body":"' . 'x' x 3000 . '"}'
--- error_code: 201
--- response_body_like: "body":"x{3000}"


=== a body that nginx always puts into a file
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


=== two on one connection
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


=== many at once: each is stored, and the conversation counts them
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
   0, 'with their last ids');
