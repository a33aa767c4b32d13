#
# Copyright (C) ngx_chat contributors
#

package Chat::Chaos::Changers;

# Users that send messages, edit them several times, and delete some.  Each
# request is repeated until its outcome is known.

use strict;
use warnings;

use Chat;
use Chat::Chaos;
use Mojo::UserAgent;
use Time::HiRes qw(sleep time);

# seconds: a response that takes longer is lost; and how long to repeat a
# request
my $PATIENCE = 20;
my $REST = 50;


# changers TOLD, NAME, PEOPLE: returns
#
#   final           { ID => TEXT }, undef for a deleted message
#   refused         { MARKER => STATUS } of unexpected responses
#   codes           { STATUS => number }, "none" without a response

sub changers {
    my ($told, $name, @people) = @_;

    my $self = { final => {}, refused => {}, codes => {} };

    for (my $n = 0; !pause($told, between(0, 0.1)); $n++) {
        change($self, "chg-$name-$n", @people);
    }

    return $self;
}


sub change {
    my ($self, $marker, @people) = @_;

    my $who = pick(@people);
    my $text = "$marker first";
    my $sent = repeat($self, $marker, $who, POST => '', qr/^20[01]$/,
                      { recipient => pick(@people), body => $text,
                        client_id => $marker }) or return;

    my $id = $sent->json->{id};

    for my $n (1 .. int rand 4) {
        $text = "$marker edit $n";
        repeat($self, $marker, $who, PATCH => "$id/", qr/^200$/,
               { body => $text }) or return;
    }

    # the first attempt may have deleted it, but its response may be lost
    if (chance(0.4)) {
        repeat($self, $marker, $who, DELETE => "$id/", qr/^(204|404)$/)
            or return;
        $text = undef;
    }

    $self->{final}{$id} = $text;
}


# repeat SELF, MARKER, USER, METHOD, PATH, CODES, [JSON]: returns the response

sub repeat {
    my ($self, $marker, $who, $method, $path, $codes, $json) = @_;

    my $end = time() + $REST;

    while (time() < $end) {

        # some clients disconnect before the response
        my $agent = Mojo::UserAgent->new(
            connect_timeout => 5, inactivity_timeout => 0,
            request_timeout => chance(0.05) ? between(0.001, 0.3) : $PATIENCE);
        my $res = $agent->start($agent->build_tx(
            $method => url("/api/v1/message/$path"),
            { Cookie => 'sessionid=' . token($who) },
            $json ? (json => $json) : ()))->res;

        my $code = $res->error && !$res->error->{code} ? 'none'
                                                       : $res->code // 'none';

        $self->{codes}{$code}++;
        return $res if $code =~ $codes;

        if ($code =~ /^\d/ && $code !~ /^5/) {
            $self->{refused}{$marker} = "$method $code";
            return undef;
        }

        sleep between(0.02, 0.5);
    }

    $self->{refused}{$marker} = "$method without a response";
    return undef;
}


1;
