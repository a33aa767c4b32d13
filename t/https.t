#
# Copyright (C) ngx_chat contributors
#

# TLS: cookies, links, same-origin checks

use Test::Nginx::Socket 'no_plan';
use Chat;

use File::Temp qw(tempdir);
use IPC::Open2 qw(open2);
use Mojo::Message::Response;

my $dir = tempdir(CLEANUP => 1);

system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost
        -keyout $dir/key -out $dir/cert 2>/dev/null" =~ s/\n */ /r) == 0
    or die "openssl cannot make a certificate\n";

our $Port = $ENV{TEST_NGINX_STREAM_PORT};

add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value(server => <<"END");
listen 127.0.0.1:$Port ssl;
ssl_certificate $dir/cert;
ssl_certificate_key $dir/key;
END
});


# https METHOD, PATH, BODY, HEADERS: the response

sub https {
    my ($method, $path, $body, @headers) = @_;

    my $pid = open2(my $out, my $in, 'exec openssl s_client -quiet'
                                     . " -connect 127.0.0.1:$Port 2>/dev/null");

    print $in "$method $path HTTP/1.1\r\nHost: localhost:$Port\r\n",
              "Connection: close\r\nContent-Type: application/json\r\n",
              'Content-Length: ', length $body, "\r\n",
              (map { "$_\r\n" } @headers), "\r\n", $body;
    $in->flush;

    my $res = Mojo::Message::Response->new;
    $res->parse(join '', <$out>);
    waitpid $pid, 0;

    return $res;
}

run_tests();


__DATA__

=== the session cookie is for https and for this host only
--- then
my $res = https(POST => '/api/v1/session/',
                '{"username":"u1","password":"correct horse"}');
is($res->code, 200, 'login');

my $cookie = $res->headers->set_cookie;
like($cookie, qr/^__Host-sessionid=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=/,
     'for this host');
like($cookie, qr/; Path=\/; SameSite=Lax; Secure$/, 'for https');

my ($pair) = $cookie =~ /^([^;]+)/;
is(https(GET => '/api/v1/session/', '', "Cookie: $pair")->code, 200,
   'the cookie is accepted');

$res = https(DELETE => '/api/v1/session/', '', "Cookie: $pair");
like($res->headers->set_cookie,
     qr/^__Host-sessionid=(?:"")?; .*Max-Age=0; .*Secure/,
     'the logout deletes it');


=== a cookie without the prefix is rejected
--- then
is(https(GET => '/api/v1/session/', '',
         'Cookie: sessionid=' . token('u1'))->code, 403,
         'the request is rejected');


=== links begin with https
--- given
message(u1 => 'u2', $_) for 1 .. 16;
--- then
is(https(GET => '/api/v1/message/', '',
         'Cookie: __Host-sessionid=' . token('u1'))->json->{next},
   "https://localhost:$Port/api/v1/message/?page=2", 'the next page');


=== an origin must be https
--- then
my @send = (POST => '/api/v1/message/', '{"recipient":"u2","body":"x"}',
            'Cookie: __Host-sessionid=' . token('u1'));

is(https(@send, "Origin: https://localhost:$Port")->code, 201,
   'an https origin');
is(https(@send, "Origin: http://localhost:$Port")->code, 403, 'an http origin');
is(https(@send, "Origin: tauri://localhost:$Port")->code, 403,
   'another scheme of the same length');
