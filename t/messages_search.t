#
# Copyright (C) ngx_chat contributors
#

# search in messages: GET /api/v1/message/?search=<text>

use utf8;
use Mojo::Util qw(encode url_escape);
use Test::Nginx::Socket 'no_plan';
use Chat;
use Chat::Changes;

# search USER, TEXT, QUERY: returns the response

sub search {
    my ($who, $text, $query) = @_;

    return api($who, GET => '/api/v1/message/?search='
                            . url_escape(encode('UTF-8', $text))
                            . ($query // ''));
}

# found USER, TEXT, QUERY: ids

sub found {
    return join ' ', map { $_->{id} } @{ search(@_)->json->{results} };
}

run_tests();


__DATA__

=== case and accents are ignored, other characters are literal
--- given
message(u1 => 'u2', $_) for 'one Café', 'CAFE two', '100%', '100x', 'a_b',
                            'axb', 'c\\d', "it's \"x\"", 'ÄÖÜ', "\x{1f600}";
--- then
my @cases = (
    ['café', '2 1'], ['Cafe', '2 1'], ['one caf', '1'], ['cafes', ''],
    ['100%', '3'], ['%', '3'], ['100', '4 3'], ['a_b', '5'], ['_', '5'],
    ['c\\d', '7'], ['\\', '7'], ["it's", '8'], ['"x"', '8'], ['aou', '9'],
    ["\x{1f600}", '10'], ["\x{1f601}", ''], [' two', '2'],
);

is(found('u1', $_->[0]), $_->[1], "\"$_->[0]\"") for @cases;
is(found('u2', 'cafe'), '2 1', 'received messages');
is(found('u3', 'cafe'), '', 'not those of others');


=== a search with one user, by pages
--- given
message(u1 => 'u2', "Word $_") for 1 .. 5;
message(u2 => 'u1', "word $_") for 6 .. 10;
message(u1 => 'u3', 'word');
message(u1 => 'u1', 'word');
message(u2 => 'u3', 'word');
--- then
is(found('u1', 'word'), '12 11 10 9 8 7 6 5 4 3 2 1', 'of all');
is(found('u1', 'word', '&target=u2'), '10 9 8 7 6 5 4 3 2 1', 'with one user');
is(found('u1', 'word', '&target=U3'), '11', 'with another one');
is(search('u1', 'word', '&target=nobody')->body,
   '{"results":[],"has_more":false,"cursor":null}', 'with an unknown user');

my $page = search('u1', 'WORD', '&target=u2&limit=4');

is($page->body, api('u1', GET => '/api/v1/message/?target=u2&before=11&limit=4')
                    ->body, 'a page looks like one of before=');
is($page->json->{cursor}, '7', 'the cursor');
is(found('u1', 'WORD', '&target=u2&limit=4&before=7'), '6 5 4 3', 'the next page');

my $last = search('u1', 'word', '&target=u2&limit=4&before=3')->json;

is(scalar @{ $last->{results} }, 2, 'the last page');
ok(!$last->{has_more}, 'there is no more');
is(search('u1', 'other')->json->{cursor}, '1', 'a cursor without results');


=== deleted messages and changes are not found
--- given
new_message(u1 => 'u2', "word $_") for 1 .. 3;
--- then
is(edit('u1', 1, 'other')->code, 200, 'edited');
is(remove('u1', 2)->code, 204, 'deleted');
is(found('u2', 'word'), '3', 'the message that is left');
is(found('u2', 'other'), '1', 'the current text');
is(search('u2', 'other')->json->{results}[0]{edited_at},
   api('u2', GET => '/api/v1/message/1/')->json->{edited_at}, 'its members');


=== a request examines a limited number of messages
--- timeout: 60
--- given
message(u1 => 'u2', 'needle');
sql("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
     SELECT 1, 2, UTC_TIMESTAMP(6), 'hay' FROM
     (SELECT 0 UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
      UNION SELECT 5 UNION SELECT 6 UNION SELECT 7) AS a,
     information_schema.collations AS b, information_schema.engines AS c
     LIMIT 4499");
message(u2 => 'u1', 'Needle');
--- then
my ($ids, $cursor, @counts) = ('', '');

for my $query ('', '&target=u2') {
    ($ids, $cursor) = ('', '');

    for my $n (1 .. 3) {
        my $page = search('u1', 'needle', $query . $cursor)->json;

        $ids .= join ' ', '', map { $_->{body} } @{ $page->{results} };
        is($page->{has_more} ? 1 : 0, $n < 3 ? 1 : 0, "has_more of page $n");
        $cursor = "&before=$page->{cursor}";
    }

    is($ids, ' Needle needle', 'both messages are found');
}


=== invalid parameters
--- then
my $length = '{"search":["1 to 100 characters are required."]}';

is(search('u1', '')->body, $length, 'an empty text');
is(search('u1', "\xe9" x 101)->body, $length, 'a long text');
is(search('u1', "\xe9" x 100)->code, 200, 'the maximum length');
is(search('u1', 'x', '&before=x')->code, 400, 'before');
is(search('u1', 'x', '&after=1')->code, 400, 'after');
is(search('u1', 'x', '&limit=0')->code, 400, 'limit');
is(search('', 'x')->code, 403, 'unauthenticated');
