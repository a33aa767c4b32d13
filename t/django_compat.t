#
# Copyright (C) ngx_chat contributors
#

# Requests that were also sent to the Django app (Django 3.2, Django REST
# framework 3.14).  data/django.json has its responses, one request per line:
#
#   as, request     the user whose session is sent; method and path
#   type, headers, body or hex
#                   the rest of the request; "<host>" is this server's address
#   status          of the response; its headers follow from the path
#   json            the body by value, with "<id>", "<time>" and "<text>" for
#                   parts that differ between runs, and with numbers of
#                   messages instead of messages in "results"
#   detail, message, sent
#                   short for the body of an error, for the message of this
#                   number, and for a sent message [to, text]; without any of
#                   them the body is empty
#   location, cookie, page
#                   of a login: the redirect, "set" or "ended", and the error
#                   message of the page
#   why             the reason for an intended difference from the Django app;
#                   "django" is the app's status if it differs
#
# The requests use the users u1 to u4 and those of populate(), and its messages
# 1 to 35, which the Django app had as well.  The order matters: the last
# requests log out.

use Test::Nginx::Socket 'no_plan';
use Chat;

use File::Basename qw(dirname);
use IO::Socket::INET;
use JSON::PP;
use Mojo::Message::Response;

my %types = (
    json      => 'application/json',
    form      => 'application/x-www-form-urlencoded',
    multipart => 'multipart/form-data; boundary=b0undary',
);

my %constant = (
    'Content-Type'           => 'application/json',
    'Vary'                   => 'Accept, Cookie',
    'X-Content-Type-Options' => 'nosniff',
    'X-Frame-Options'        => 'DENY',
    'Referrer-Policy'        => 'same-origin',
);

my @messages;


sub populate {
    sql("INSERT INTO chat_user (id, username, is_active)
         VALUES (5, 'off', FALSE), (6, 'Zo\x{eb}', TRUE)");

    @messages = (undef);

    add($_ % 2 ? ('u1', 'u2') : ('u2', 'u1')) for 1 .. 31;
    add('u3', 'u1');
    add('u1', 'u3');
    add('u2', 'u3');
    add('u3', 'u3');
}


sub add {
    my ($from, $to) = @_;

    my $id = @messages;

    message($from => $to, "m$id");
    push @messages, { id => $id, user => $from, recipient => $to,
                      timestamp => '<time>', body => "m$id" };
}


sub recorded {
    open my $file, '<', dirname(__FILE__) . '/data/django.json'
        or die "data/django.json: $!\n";
    local $/;

    return @{ decode_json(readline $file) };
}


sub host {
    return url('') =~ s{.*//}{}r;
}


# replay CASE: sends the request byte for byte

sub replay {
    my ($case) = @_;

    my %headers = (Host => '<host>', %{ $case->{headers} // {} });

    $headers{Cookie} = 'sessionid=' . token($case->{as}) if $case->{as};
    $headers{'Content-Type'} = $types{$case->{type}} // $case->{type}
        if defined $case->{type};

    my $body = $case->{body};

    if (defined $body) {
        utf8::encode($body);
        $body =~ s/<host>/host()/eg;
    }

    $body = pack 'H*', $case->{hex} if defined $case->{hex};

    $headers{'Content-Length'} = length $body
        if defined $body && !$headers{'Transfer-Encoding'};

    my $text = "$case->{request} HTTP/1.1\r\nConnection: close\r\n"
               . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
               . "\r\n";
    $text =~ s/<host>/host()/eg;

    my $socket = IO::Socket::INET->new(PeerAddr => host(), Timeout => 10)
        or die "cannot connect: $!\n";
    $socket->syswrite($text . ($body // ''));

    local $/;
    my $res = Mojo::Message::Response->new->parse(readline $socket);

    answered(split(/ /, $case->{request}), $res->code,
             [map { ($_ => $res->headers->header($_)) }
                  @{ $res->headers->names }], $res->body);

    return $res;
}


sub expected_json {
    my ($case) = @_;

    return { detail => $case->{detail} } if defined $case->{detail};
    return $messages[$case->{message}] if defined $case->{message};

    if (defined $case->{sent}) {
        my ($to, $text) = @{ $case->{sent} };
        return { id => '<id>', user => $case->{as}, recipient => $to,
                 timestamp => '<time>', body => $text };
    }

    my $json = $case->{json};

    if (ref $json eq 'HASH' && ref $json->{results} eq 'ARRAY') {
        $_ = ref $_ ? $_ : $messages[$_] for @{ $json->{results} };
    }

    return $json;
}


# normal JSON: a copy with placeholders for parts that differ between runs

sub normal {
    my ($json) = @_;

    return [map { normal($_) } @$json] if ref $json eq 'ARRAY';
    return $json unless ref $json eq 'HASH';

    my %copy = map { $_ => normal($json->{$_}) } keys %$json;

    $copy{id} = '<id>'
        if defined $copy{id} && $copy{id} =~ /\A\d+\z/ && $copy{id} > 35;
    $copy{timestamp} =~ s/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\z/<time>/
        if defined $copy{timestamp};
    $copy{detail} =~ s/\A((?:JSON|Multipart form) parse error - ).+/$1<text>/
        if defined $copy{detail};
    s{\Ahttp://\Q${\host()}\E/}{http://<host>/}
        for grep { defined && !ref } values %copy;

    return \%copy;
}


sub expected_headers {
    my ($case) = @_;

    my ($method, $path) = $case->{request} =~ m{^(\S+) ([^ ?]*)};
    my %headers;

    if ($path =~ m{^/api/v1/}) {
        %headers = %constant;
        $headers{Allow} =
            $path =~ m{^/api/v1/message/?$} ? 'GET, POST, HEAD, OPTIONS'
            : $path =~ m{^/api/v1/message/[^/]*/?$}
                ? 'GET, PATCH, DELETE, HEAD, OPTIONS'
            : $path =~ m{^/api/v1/(user(/[^/]*)?/?)?$} ? 'GET, HEAD, OPTIONS'
            : undef;
    }

    $headers{Location} = $case->{location};

    $headers{'Set-Cookie'} =
        !defined $case->{cookie} ? undef
        : $case->{cookie} eq 'set'
            ? 'sessionid=<token>; HttpOnly; Max-Age=1209600; Path=/;'
              . ' SameSite=Lax'
        : 'sessionid=""; HttpOnly; Max-Age=0; Path=/; SameSite=Lax';

    return \%headers;
}


sub compare {
    my ($case) = @_;

    my $res = replay($case);
    my $name = join ' ', grep { defined } $case->{as} // '-', $case->{request},
                    substr($case->{body} // '', 0, 60) =~ s/\s+/ /gr;
    $name = encode_json([$name]);

    my $headers = expected_headers($case);
    my %got = map { $_ => $res->headers->header($_) } keys %$headers;
    $got{'Set-Cookie'} =~ s/=[\w-]{43};/=<token>;/
        if defined $got{'Set-Cookie'};
    $got{Location} =~ s{\Ahttp://\Q${\host()}\E}{http://<host>}
        if defined $got{Location};

    is($res->code, $case->{status}, "$name - status");
    is_deeply(\%got, $headers, "$name - headers");

    if (defined $case->{page}) {
        my $text = $case->{page};
        like($res->body, qr/<form.*\Q$text\E.*<\/form>/s, "$name - page");
        return;
    }

    my $json = expected_json($case);

    if (defined $json) {
        is_deeply(normal(eval { decode_json($res->body) }), $json,
                  "$name - json")
            or diag($res->body);

    } elsif ($case->{request} =~ m{^(?!HEAD)\S+ /api/}) {
        is($res->body, '', "$name - nothing");
    }
}

run_tests();


__DATA__

=== responses are those of the Django app
--- given
populate();
--- then
# the Django app ignores "search" in lists of messages, which is a search now
compare($_) for grep { $_->{request} !~ m{/message/\?search=} } recorded();


=== a page of the Django app works with the user name inserted by nginx
--- server
location = /page.html {
    root       html;
    chat_auth  on redirect=/login/;
    ssi        on;
}
--- user_files
>>> page.html
<script>let currentUser = '<!--# echo var="chat_user" -->';</script>
--- as: u1
--- request
GET /page.html
--- response_body
<script>let currentUser = 'u1';</script>


=== a login page of the Django app works; its CSRF token is ignored
--- server
location = /form.html {
    internal;
    root  html;
    ssi   on;
}
--- user_files
>>> form.html
<form method="post"><!--# if expr="$chat_login_error" -->Error!<!--# endif -->
--- change
s{page=/login.html}{page=/form.html};
--- then
sub log_in {
    my ($password) = @_;

    return Mojo::UserAgent->new->post(
        url('/login/?next=/chat/') => form => {
            csrfmiddlewaretoken => 'x', username => 'u1',
            password => $password,
        }
    )->res;
}

is(api('', GET => '/login/')->body, qq(<form method="post">\n),
   'the page without an error');
is(log_in('wrong')->body, qq(<form method="post">Error!\n),
   'after a wrong password');
is(log_in($Chat::Password)->headers->location, '/chat/',
   'after the correct password');
