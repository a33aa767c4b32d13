#
# Copyright (C) ngx_chat contributors
#

# POST /api/v1/message/ with missing, blank or malformed fields and bodies

use Test::Nginx::Socket 'no_plan';
use Chat;

run_tests();


__DATA__

=== both fields are missing, JSON
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{}
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== both fields are missing, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
x=1
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== both fields are missing, multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(x => 1)
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== the recipient is missing, JSON
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"body":"hello"}
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."]}


=== the body is missing, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2
--- error_code: 400
--- response_body chomp
{"body":["This field is required."]}


=== the request has no body, of any type
--- as: u1
--- type: text/plain
--- request
POST /api/v1/message/
--- error_code: 400
--- response_body chomp
{"recipient":["This field is required."],"body":["This field is required."]}


=== blank fields are rejected, JSON
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"","body":""}
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== blank fields are rejected, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=&body=
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== blank fields are rejected, multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => '', body => '')
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== fields of white space are rejected, JSON
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":" \t","body":"\n\u00a0\u3000"}
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be blank."],"body":["This field may not be blank."]}


=== fields of white space are rejected, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=+%0A%E3%80%80+
--- error_code: 400
--- response_body chomp
{"body":["This field may not be blank."]}


=== fields of white space are rejected, multipart
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => " \r\n\t")
--- error_code: 400
--- response_body chomp
{"body":["This field may not be blank."]}


=== null is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":null,"body":null}
--- error_code: 400
--- response_body chomp
{"recipient":["This field may not be null."],"body":["This field may not be null."]}


=== true and false are rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":true,"body":false}
--- error_code: 400
--- response_body chomp
{"recipient":["Not a valid string."],"body":["Not a valid string."]}


=== an object and an array are rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":{"body":"x"},"body":["x","recipient"]}
--- error_code: 400
--- response_body chomp
{"recipient":["Not a valid string."],"body":["Not a valid string."]}


=== malformed JSON is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hel
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== a document of white space is rejected, JSON
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . ' '
--- more_headers
Content-Length: 1
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== data after the document is rejected, JSON
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"hello"} x
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON in invalid UTF-8 is rejected
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . qq({"recipient":"u2","body":"\xff\xfe"})
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== JSON with half a surrogate pair is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2","body":"\ud83d"}
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== deeply nested JSON is rejected
--- as: u1
--- type: json
--- request eval
"POST /api/v1/message/\n" . '[' x 20000
--- error_code: 400
--- response_body_like: ^\{"detail":"JSON parse error - [^"]+"\}$


=== a JSON array is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
[{"recipient":"u2","body":"hello"}]
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}


=== a JSON string is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
"hello"
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got str."]}


=== a JSON integer is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
12
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got int."]}


=== a JSON fraction is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
1.5
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got float."]}


=== a JSON boolean is rejected
--- as: u1
--- type: json
--- request
POST /api/v1/message/
true
--- error_code: 400
--- response_body chomp
{"non_field_errors":["Invalid data. Expected a dictionary, but got bool."]}


=== a JSON null is rejected with the message of DRF
--- as: u1
--- type: json
--- request
POST /api/v1/message/
null
--- error_code: 400
--- response_body chomp
{"non_field_errors":["No data provided"]}


=== a form in invalid UTF-8 is rejected
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=%ff%fe
--- error_code: 400
--- response_body chomp
{"body":["Not a valid string."]}


=== percent signs that encode nothing are kept, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=100%+%zz+%4
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"100% %zz %4"}


=== the last of two fields with one name is used, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u3&recipient=u2&body=one&body=two
--- error_code: 201
--- json
{"id":1,"user":"u1","recipient":"u2","timestamp":"<time>","body":"two"}


=== a truncated multipart body is rejected
--- as: u1
--- type: multipart
--- request eval
"POST /api/v1/message/\n--b0undary\r\nContent-Disposition: form-data; name=\"body\"\r\n\r\nhel"
--- error_code: 400
--- response_body_like: ^\{"detail":"Multipart form parse error - [^"]+"\}$


=== a multipart body without a boundary is rejected
--- as: u1
--- type: multipart/form-data
--- request eval
"POST /api/v1/message/\n" . Chat::multipart(recipient => 'u2', body => 'x')
--- error_code: 400
--- response_body_like: ^\{"detail":"Multipart form parse error - [^"]+"\}$


=== null characters are rejected, JSON
--- as: u1
--- type: json
--- request
POST /api/v1/message/
{"recipient":"u2\u0000","body":"a\u0000b"}
--- error_code: 400
--- response_body chomp
{"recipient":["Null characters are not allowed."],"body":["Null characters are not allowed."]}


=== null characters are rejected, form
--- as: u1
--- type: form
--- request
POST /api/v1/message/
recipient=u2&body=a%00b
--- error_code: 400
--- response_body chomp
{"body":["Null characters are not allowed."]}
