#
# Copyright (C) ngx_chat contributors
#

package Chat::Files;

# Files in messages.
#
#   --- change
#   with_files('chat_max_file 1k;');
#
# enables the locations of nginx.conf.example, with more directives, in $_.

use strict;
use warnings;

use Chat;
use Exporter qw(import);
use File::Basename qw(dirname);
use Mojo::UserAgent;
use Test::Nginx::Util ();

our @EXPORT = qw(with_files files_dir stored upload uploaded send_files);

my $Agent = Mojo::UserAgent->new(inactivity_timeout => 60);


sub with_files {
    my ($more) = @_;

    my $dir = files_dir();

    s/^( *)###(?=\S)/$1/mg;
    s{/var/lib/ngx_chat/files\b}{$dir}g >= 2
        && s{(location /api/v1/file/ \{\n)}{$1 . ($more // '')}e
        or die "nginx.conf.example has no files\n";
}


# files_dir: returns the directory of the files of all blocks

sub files_dir {
    return dirname(Test::Nginx::Util::server_root()) . '/files';
}


# stored TOKEN: returns the path of a file

sub stored {
    my ($token) = @_;

    my ($first, $second) = $token =~ /^(..)(..)/;

    return join '/', files_dir(), $first, $second, $token;
}


# upload WHO, ARGUMENTS, BODY, TYPE, HEADERS: returns the response

sub upload {
    my ($who, $arguments, $body, $type, %headers) = @_;

    $headers{'Content-Type'} = $type if defined $type;
    $headers{Cookie} = 'sessionid=' . token($who) if length $who;

    return $Agent->start(
        $Agent->build_tx(POST => url("/api/v1/file/?$arguments"), \%headers,
                         $body)
    )->res;
}


# uploaded WHO, NAME, BODY, TYPE: returns the token

sub uploaded {
    my ($who, $name, $body, $type) = @_;

    my $res = upload($who, "name=$name", $body // 'x', $type // 'text/plain');

    die 'upload: ', $res->code, ' ', $res->body, "\n" if $res->code != 201;

    return $res->json->{file};
}


# send_files WHO, RECIPIENT, TOKENS: returns the message

sub send_files {
    my ($who, $recipient, @tokens) = @_;

    my $res = api($who, POST => '/api/v1/message/',
                  { recipient => $recipient, files => \@tokens });

    die 'send: ', $res->code, ' ', $res->body, "\n" if $res->code != 201;

    return $res->json;
}


1;
