#
# Copyright (C) ngx_chat contributors
#

package Chat::OpenAPI;

# Compares responses with docs/openapi.yaml.
#
#   @faults = faults(METHOD => TARGET, CODE, [NAME => VALUE, ...], BODY)
#
# The target is that of the request line.  Responses outside the API and the two
# forms have no faults.  Each response, as "METHOD path code", is added to the
# file CHAT_TEST_SEEN, if that is in the environment.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use JSON::Validator;
use Mojo::JSON qw(from_json);
use YAML::XS;

our @EXPORT_OK = qw(faults description operations);

# these belong to HTTP, and nginx sends them
my %of_http = map { $_ => 1 } qw(connection content-length content-type date
                                 server transfer-encoding);

# statuses that nginx returns before a request reaches the API
my %of_nginx = map { $_ => 1 } qw(400 405 408 413 414 501 505);

# for an unknown path or a method that the path does not have
my %no_path = (403 => 'Denied', 404 => 'NotFound', 429 => 'TooManyRequests',
               503 => 'Unavailable');
my %no_method = (403 => 'Forbidden', 405 => 'NotAllowed', 409 => 'OtherUser',
                 429 => 'TooManyRequests', 503 => 'Unavailable');

my ($doc, $validator, @paths, %seen);


# description: returns the parsed docs/openapi.yaml

sub description {
    return $doc if $doc;

    local $YAML::XS::Boolean = 'JSON::PP';

    $doc = YAML::XS::LoadFile(abs_path(dirname(__FILE__) . '/../../..')
                              . '/docs/openapi.yaml');

    # the keywords in use are the same in the draft that OpenAPI 3.1 refers to
    $validator = JSON::Validator->new->schema({
        %$doc, '$schema' => 'https://json-schema.org/draft/2019-09/schema',
    })->schema;
    $validator->formats->{int64} = JSON::Validator::Formats->can('check_int64');

    @paths = map { [$_, path_pattern($_)] } sort keys %{ $doc->{paths} };

    return $doc;
}


# path_pattern PATH: returns a pattern for it, with or without the trailing
# slash; an invalid name does not match

sub path_pattern {
    my ($path) = @_;

    my $pattern = quotemeta $path;

    $pattern =~ s/\\\{name\\\}/[^\\x00-\\x1f\\x7f-\\x9f]{1,150}/;
    $pattern =~ s/\\\/\\\{filename\\\}/(?:\/.*)?/;
    $pattern =~ s/\\\{\w+\\\}/[^\/]+/;
    $pattern =~ s/\\\/$/\\\/?/ if $path =~ m{^/api/v1/.};

    return qr/\A$pattern\z/;
}


# operations: returns all as [METHOD, path, operation]

sub operations {
    my $paths = description()->{paths};

    return map {
        my $path = $_;

        map { [uc $_, $path, $paths->{$path}{$_}] }
            grep { ref $paths->{$path}{$_} eq 'HASH' }
                 sort keys %{ $paths->{$path} }
    } sort keys %$paths;
}


sub faults {
    my ($method, $target, $code, $headers, $body) = @_;

    description();

    my $asked = normal_path($target) // return;
    my ($path) = map { $_->[0] } grep { $asked =~ $_->[1] } @paths;

    return unless defined $path || $asked =~ m{^/api/v1/};

    my %headers;

    for (my @left = @$headers; @left; ) {
        my ($name, $value) = splice @left, 0, 2;
        push @{ $headers{lc $name} }, $value;
    }

    my $item = $path && $doc->{paths}{$path};
    my $op = $item && $item->{lc $method};

    my $response = !$path ? response($no_path{$code})
                 : !$op   ? response($no_method{$code})
                 :          follow($op->{responses}{$code});

    return if $of_nginx{$code} && !has_page($response)
              && page_of_nginx($method, \%headers, $body);

    return "$method " . ($path // 'of no path') . " does not answer $code"
        unless $response;

    see("$method $path $code") if $op;

    return (header_faults($response, $item, \%headers),
            body_faults($response, $method, \%headers, $body));
}


# normal_path TARGET: returns the path as nginx normalizes it, in characters

sub normal_path {
    my ($path) = @_;

    $path =~ s{\Ahttps?://[^/]*}{}i;
    $path =~ s/[?#].*//s;
    $path =~ s/%([0-9a-f]{2})/chr hex $1/gei;
    $path =~ m{\A/} or return;

    1 while $path =~ s{//|/\./}{/};
    1 while $path =~ s{/[^/]+/\.\.(?=/|\z)}{};
    $path =~ s{/\.\z}{/};

    utf8::decode($path);

    return $path;
}


sub page_of_nginx {
    my ($method, $headers, $body) = @_;

    return ($headers->{'content-type'} // [''])->[0] =~ m{^text/html}
           && ($method eq 'HEAD' || $body =~ m{<hr><center>nginx});
}


# has_page RESPONSE: returns whether its content is a page of any text

sub has_page {
    my ($response) = @_;

    my $content = $response && $response->{content} // return 0;

    return $content->{'text/html'} && !$content->{'text/html'}{schema};
}


sub response {
    my ($name) = @_;

    return defined $name ? $doc->{components}{responses}{$name} : undef;
}


# follow NODE: returns the node, or the one that it refers to

sub follow {
    my ($node) = @_;

    while (ref $node eq 'HASH' && defined $node->{'$ref'}) {
        my @steps = split m{/}, $node->{'$ref'} =~ s{^#/}{}r;

        $node = $doc;
        $node = $node->{$_} for @steps;
    }

    return $node;
}


sub header_faults {
    my ($response, $item, $headers) = @_;

    my $documented = $response->{headers} // {};
    my %known = %of_http;
    my @faults;

    for my $name (sort keys %$documented) {
        my $header = follow($documented->{$name});
        my @values = @{ $headers->{lc $name} // [] };

        $known{lc $name} = 1;

        push @faults, "no header $name" if $header->{required} && !@values;
        push @faults, "header $name is there " . @values . ' times'
            if @values > 1;
        push @faults, map { "header $name: $_" }
                          map { $validator->validate($_, $header->{schema}) }
                              @values;
    }

    if ($item && $headers->{allow} && $headers->{allow}[0] ne $item->{'x-allow'})
    {
        push @faults, "header Allow is not $item->{'x-allow'}";
    }

    # the headers of a page belong to the site
    return @faults if has_page($response);

    return (@faults, map { "header $_ is not described" }
                         grep { !$known{$_} } sort keys %$headers);
}


sub body_faults {
    my ($response, $method, $headers, $body) = @_;

    my $type = ($headers->{'content-type'} // [''])->[0];
    my $content = $response->{content};

    if (!$content) {
        return "there is a body of type $type" if length $type || length $body;
        return;
    }

    my ($media) = grep { $type eq $_ || $type =~ /^\Q$_\E;/ || $_ eq '*/*' }
                       keys %$content;

    return "the type $type is not described" unless defined $media;
    return length $body ? 'HEAD has a body' : () if $method eq 'HEAD';

    my $schema = $content->{$media}{schema} // return;

    return map { "body: $_" } $validator->validate($body, $schema)
        if $media ne 'application/json';

    return 'JSON has a parameter in its type' if $type ne $media;

    # not decode_json(), since Encode rejects U+FFFE and others
    my $text = $body;

    return 'the body is not valid UTF-8'
        if !utf8::decode($text)
           || $text =~ /[^\0-\x{d7ff}\x{e000}-\x{10ffff}]/;

    my $value = eval { from_json($text) };

    return "body: $@" if $@;
    return map { "body: $_" } $validator->validate($value, $schema);
}


# see WHAT: writes it to the file once per process

sub see {
    my ($what) = @_;

    my $file = $ENV{CHAT_TEST_SEEN} // return;

    return if $seen{$what}++;

    open my $out, '>>', $file or die "$file: $!\n";
    print $out "$what\n";
    close $out or die "$file: $!\n";
}


1;
