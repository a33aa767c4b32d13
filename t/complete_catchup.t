#
# Copyright (C) ngx_chat contributors
#

# clients that catch up with changes, page by page, while transactions commit
# late

use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Changes;
use Chat::Wire;

# begin: a transaction that has written its floor, as the module does

sub begin {
    my $db = connect_db();

    $db->begin_work;
    $db->do('INSERT INTO chat_writing (slot, floor_id)
             SELECT CONNECTION_ID() % 256, COALESCE(MAX(id), 0) + 1
             FROM chat_message
             ON DUPLICATE KEY UPDATE turn = turn + 1,
                                     floor_id = VALUES(floor_id)');

    return $db;
}

# change DB, ID, TEXT: an edit, or without TEXT a deletion, of u1's message to u2

sub change {
    my ($db, $id, $text) = @_;

    $db->do("INSERT INTO chat_message (sender_id, recipient_id, created_at,
                                       kind, target_id, body)
             VALUES (1, 2, UTC_TIMESTAMP(6), 1, ?, '')", undef, $id);
    $db->do('SET @id = LAST_INSERT_ID()');
    $db->do('UPDATE chat_message AS c JOIN chat_message AS m
             ON c.id = m.change_id SET c.kind = 2 WHERE m.id = ?', undef, $id);
    $db->do("UPDATE chat_message SET kind = ?, body = ?, change_id = \@id,
                                     edited_at = UTC_TIMESTAMP(6)
             WHERE id = ?", undef, defined $text ? 0 : 2, $text // '', $id);
}

# page CLIENT: one request; CLIENT has "who", "query", "cursor", "texts" by id

sub page {
    my ($client) = @_;

    my $page = api($client->{who}, GET => '/api/v1/message/?changes=1&after='
                                          . $client->{cursor}
                                          . $client->{query})->json;

    for my $item (@{ $page->{results} }) {
        my $message = $item->{message} // $item;

        if (($item->{change} // '') eq 'deleted') {
            $client->{texts}{ $item->{message_id} } = 'deleted';

        } else {
            $client->{texts}{ $message->{id} } = $message->{body};
        }
    }

    $client->{cursor} = $page->{cursor};
    $client->{pages}++;

    return $page->{has_more};
}

# late N: transactions of an edit, a deletion and a message are committed after
# N pages

sub late {
    my ($n) = @_;

    my @ids = map { new_message(u1 => 'u2', "old $n") } 1 .. 7;
    my @clients;

    for my $who (qw(u1 u2)) {
        for my $query ('&limit=1', '&limit=2&target=' . ($who eq 'u1' ? 'u2'
                                                                     : 'u1'),
                       '&limit=3', '&limit=100')
        {
            push @clients, { who => $who, query => $query, texts => {},
                             cursor => $ids[0] - 1 };
        }
    }

    for my $client (@clients) {
        while (page($client)) { }
    }

    my @late = map { begin() } 1 .. 3;

    change($late[0], $ids[0], "late $n");
    change($late[1], $ids[1]);
    $late[2]->do("INSERT INTO chat_message (sender_id, recipient_id,
                                            created_at, body)
                  VALUES (1, 2, UTC_TIMESTAMP(6), 'late $n')");
    my ($new) = $late[2]->selectrow_array('SELECT LAST_INSERT_ID()');

    # later ids are visible earlier
    edit('u1', $_, "new $n") for @ids[2 .. 5];
    remove('u1', $ids[3]);
    send_to('u1', 'u2', "sent $n");

    for my $client (@clients) {
        $client->{pages} = 0;
        page($client) for 1 .. $n;
    }

    $_->commit for @late;

    for my $client (@clients) {

        # the pages that are left, and the next time
        for (1, 2) {
            while (page($client)) { }
        }

        my $got = join ' ', map { $client->{texts}{$_} // 'missing' }
                                @ids, $new;

        is($got, "late $n deleted new $n deleted new $n new $n old $n late $n",
           "$client->{who}$client->{query}, $n pages before");
        cmp_ok($client->{pages}, '<', 40, 'in a few pages');
    }
}

run_tests();


__DATA__

=== late transactions between pages, two workers
--- timeout: 60
--- then
late($_) for 0 .. 4;
is(exits(), '', 'no worker has died');


=== late transactions between pages, four workers
--- timeout: 60
--- workers: 4
--- then
late($_) for 1, 3, 8;
is(exits(), '', 'no worker has died');


=== limits and cursors of changes=1 are those of after=
--- given
new_message(u1 => 'u2', $_) for 1 .. 120;
--- then
my $get = sub {
    my $answer = talk(wire(GET => "/api/v1/message/?changes=1&after=$_[0]",
                           as => 'u1'));
    return "$answer->{code} $answer->{body}";
};

edit('u1', $_, "e$_") for 1 .. 20;

is(scalar(() = $get->('0&limit=100') =~ /"user"/g), 100, '100 items');
is(scalar(() = $get->('0') =~ /"user"/g), 15, 'the default');
is(scalar(() = $get->('110') =~ /"change":"edited"/g), 5, 'both kinds');
is($get->("0&limit=$_"),
   '400 {"limit":["A valid integer from 1 to 100 is required."]}', $_)
    for '', 0, 101, 'x';
is($get->($_), '400 {"after":["A valid cursor is required."]}', $_)
    for '', '-1', 'x', '1.', '.1', '1.2.3', '99999999999999999999', '1&before=3';
is($get->("0&target=$_"), '200 {"results":[],"has_more":false,"cursor":"0"}',
   "target=$_") for 'nobody', '', 'u3', 'u1';
is($get->('999999'), '200 {"results":[],"has_more":false,"cursor":"140"}',
   'a cursor from the future');
like($get->('119'), qr/^200[ ]\{"results":\[\{"id":120,"user":"u1",
     "recipient":"u2","timestamp":"[^"]+","body":"120"\},\{"id":121,
     "change":"edited","message":\{"id":1,"user":"u1",/x, 'members in order');

# a client that begins to use changes
my $cursor = api('u1', GET => '/api/v1/message/?after=latest')->json->{cursor};
edit('u1', 50, 'fifty');
is((changes('u1', $cursor))[0] =~ /\b50=fifty$/, 1, 'with an earlier cursor');
remove('u1', 50);
is((changes('u1', $cursor))[0] =~ /-50$/, 1, 'a deletion');
is((changes('u1', $cursor))[0] =~ /fifty/, '', 'replaces the edit');
