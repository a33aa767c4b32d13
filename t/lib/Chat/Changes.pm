#
# Copyright (C) ngx_chat contributors
#

package Chat::Changes;

# Requests and checks of t/changes*.t

use strict;
use warnings;

use Chat;
use Exporter qw(import);
use Test::More ();

our @EXPORT = qw(new_message edit remove send_to list changes unread last_of
                 counters_are_right);

# new_message FROM => TO, BODY: as message(), sent now

sub new_message {
    my $id = message(@_);

    sql('UPDATE chat_message SET created_at = UTC_TIMESTAMP(6) WHERE id = ?',
        $id);
    return $id;
}


# edit USER, ID, BODY, HEADERS and remove USER, ID: return the response

sub edit {
    my ($who, $id, $body, @headers) = @_;

    return api($who, PATCH => "/api/v1/message/$id/", { body => $body },
               @headers);
}

sub remove {
    my ($who, $id) = @_;

    return api($who, DELETE => "/api/v1/message/$id/");
}


# send_to USER, NAME, BODY, FIELDS: returns the response

sub send_to {
    my ($who, $to, $body, %more) = @_;

    return api($who, POST => '/api/v1/message/',
               { recipient => $to, body => $body, %more });
}


# list USER, QUERY: returns the results

sub list {
    my ($who, $query) = @_;

    return api($who, GET => "/api/v1/message/$query")->json->{results};
}


# changes USER, CURSOR, QUERY: catches up; returns the texts of messages,
# "ID=TEXT" of edits, and "-ID" of deletions, and the cursor

sub changes {
    my ($who, $cursor, $query) = @_;

    my @all;

    for (1 .. 100) {
        my $page = api($who, GET => "/api/v1/message/?after=$cursor&changes=1"
                                    . ($query // ''))->json;

        push @all, map { !$_->{change} ? $_->{body}
                         : $_->{change} eq 'edited'
                             ? "$_->{message}{id}=$_->{message}{body}"
                         : "-$_->{message_id}" } @{ $page->{results} };
        $cursor = $page->{cursor};

        return (join(' ', @all), $cursor) if !$page->{has_more};
    }

    die "too many pages";
}


# unread USER, PEER: as the inbox has it; undef: no conversation

sub unread {
    my ($who, $peer) = @_;

    my ($found) = grep { $_->{user} eq $peer }
        @{ api($who, GET => '/api/v1/conversation/')->json->{results} };

    return $found && $found->{unread};
}


# last_of USER: the texts of the last messages, latest conversation first

sub last_of {
    my ($who) = @_;

    return join ' ', map { $_->{last_message}{body} }
        @{ api($who, GET => '/api/v1/conversation/')->json->{results} };
}


# counters_are_right: compares each conversation with its messages

sub counters_are_right {
    my ($name) = @_;

    my @wrong = sql('SELECT c.lo_id, c.hi_id, c.message_count, m.n,
                            c.last_message_id, m.last, c.lo_unread, m.lo,
                            c.hi_unread, m.hi
        FROM chat_conversation AS c JOIN (
            SELECT k.lo_id, k.hi_id, COUNT(m.id) AS n,
                   COALESCE(MAX(m.id), 0) AS last,
                   COALESCE(SUM(m.recipient_id = k.lo_id
                                AND k.lo_id <> k.hi_id
                                AND m.id > k.lo_read_id), 0) AS lo,
                   COALESCE(SUM(m.recipient_id = k.hi_id
                                AND k.lo_id <> k.hi_id
                                AND m.id > k.hi_read_id), 0) AS hi
            FROM chat_conversation AS k LEFT JOIN chat_message AS m
                 ON m.lo_id = k.lo_id AND m.hi_id = k.hi_id AND m.kind = 0
            GROUP BY k.lo_id, k.hi_id
        ) AS m ON m.lo_id = c.lo_id AND m.hi_id = c.hi_id
        WHERE c.message_count <> m.n OR c.last_message_id <> m.last
           OR c.lo_unread <> m.lo OR c.hi_unread <> m.hi');

    Test::More::is("@wrong", '', $name // 'counters match the messages');
}


1;
