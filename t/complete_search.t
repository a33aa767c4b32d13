#
# Copyright (C) ngx_chat contributors
#

# search in messages as the contract describes it, also in long histories

use JSON::PP qw(decode_json);
use Mojo::Util qw(encode url_escape);
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);
use utf8;
use Chat;
use Chat::Busy qw(slowness);
use Chat::Changes;
use Chat::Wire;

sub search {
    my ($who, $text, $query) = @_;

    return api($who, GET => '/api/v1/message/?search='
                            . url_escape(encode('UTF-8', $text))
                            . ($query // ''));
}

# found USER, TEXT, QUERY: ids of one response

sub found {
    return join ' ', map { $_->{id} } @{ search(@_)->json->{results} };
}

# all USER, TEXT, QUERY: ids and the number of requests until has_more is false

sub all {
    my ($who, $text, $query) = @_;

    my ($cursor, @ids) = ('');

    for my $n (1 .. 300) {
        my $res = search($who, $text, ($query // '') . $cursor);
        my $page = $res->json;

        die $res->code . "\n" if $res->code != 200;
        push @ids, map { $_->{id} } @{ $page->{results} };
        return (join(' ', @ids), $n) if !$page->{has_more};
        die "a cursor is missing\n" if !defined $page->{cursor};
        $cursor = "&before=$page->{cursor}";
    }

    die "too many pages\n";
}

# outcome QUERY, METHOD: of u1; code and body

sub outcome {
    my ($query, $method) = @_;

    my $answer = talk(wire($method // 'GET', "/api/v1/message/?$query",
                           as => 'u1'), method => $method // 'GET');

    return "$answer->{code} $answer->{body}";
}

# history N, BODY, [RECIPIENT]: N messages of u1 at once, whose texts are an SQL
# expression of the number "seq"

sub history {
    my ($n, $body, $recipient) = @_;

    $recipient //= 2;

    my $numbers = join ' CROSS JOIN ', map {
        '(SELECT 0 AS n' . join('', map { " UNION SELECT $_" } 1 .. 9)
        . ") AS d$_"
    } 0 .. 4;

    sql("INSERT INTO chat_message (sender_id, recipient_id, created_at, body)
         SELECT 1, ?, UTC_TIMESTAMP(6), $body FROM (
             SELECT d0.n + 10 * d1.n + 100 * d2.n + 1000 * d3.n + 10000 * d4.n
                    + 1 AS seq
             FROM $numbers ORDER BY seq LIMIT $n
         ) AS s", $recipient);
}

run_tests();


__DATA__

=== case and accents are ignored in many scripts
--- given
message(u1 => 'u2', $_) for 'CRÈME BRÛLÉE', 'naïve Ångström', 'ΑΘΉΝΑ σοφός',
    'ЁЛКА Йод', 'Đà Nẵng', 'Ñandú', 'çĞŞİ', '東京タワー', 'مرحبا', 'ﬁn ½',
    "Zoe\x{308} cafe\x{301}s";
--- then
my @cases = (
    ['creme brulee', '1'], ['Crème Brûlée', '1'], ['BRULEE', '1'],
    ['creme  brulee', ''], ['NAIVE', '2'], ['angstrom', '2'], ['ångström', '2'],
    ['αθηνα', '3'], ['Σοφοσ', '3'], ['σοφός', '3'], ['елка', '4'],
    ['ЙОД', '4'], ['nang', '5'], ['NANDU', '6'], ['cgsi', '7'],
    ['東京', '8'], ['京東', ''], ['タワー', '8'], ['مرحبا', '9'],
    ['Zoë', '11'], ['cafes', '11'], ['CAFÉS', '11'],
    ["ZOE\x{308} cafe\x{301}s", '11'], ["nai\x{308}ve", '2'],
    ["e\x{301}s", '11'], ['zoe', '11'], ['café', '11'], ['n', '10 6 5 2'],
);

is(found('u1', $_->[0]), $_->[1], "\"$_->[0]\"") for @cases;


=== all other characters match themselves
--- given
my @texts = ('%', '_', '\\', '\\%', '\\_', '\\\\', '%%', "'", '"', '""', '[a]',
             '^$.*+?', '(x|y)', '#--/*', "\x{1f600}", "\x{1f601}", '☺', '☹',
             '-', '–', '!', '?', "a\nb", "a\tb", 'a b', '{}', '$1 @x', '%41');
message(u1 => 'u2', "<$_>") for @texts;
--- then
my @texts = ('%', '_', '\\', '\\%', '\\_', '\\\\', '%%', "'", '"', '""', '[a]',
             '^$.*+?', '(x|y)', '#--/*', "\x{1f600}", "\x{1f601}", '☺', '☹',
             '-', '–', '!', '?', "a\nb", "a\tb", 'a b', '{}', '$1 @x', '%41');

for my $text (@texts) {
    my $n = 0;
    my @expected = reverse grep { index("<$texts[$_ - 1]>", $text) >= 0 }
                                1 .. @texts;

    is(found('u1', $text, '&limit=100'), "@expected", "\"$text\"");
    is(found('u1', "<$text>"), (grep { $texts[$_ - 1] eq $text } 1 .. @texts)[0],
       'in brackets');
}

is(found('u1', $_), '', "nothing: $_") for '<%>x', '<_x', '<%<', '%1', '$2', 'a%b',
    'a_b', '\\n';
is(search('u1', '<', '&limit=100')->json->{has_more} ? 1 : 0, 0, 'all');


=== lengths and invalid parameters
--- given
my $text = join '', map { chr(0x4e00 + $_) } 1 .. 150;
message(u1 => 'u2', $text);
message(u1 => 'u2', "\x{1f600}" x 4000);
message(u1 => 'u2', 'x');
--- then
my $length = '400 {"search":["1 to 100 characters are required."]}';
my $text = join '', map { chr(0x4e00 + $_) } 1 .. 150;

is(found('u1', substr $text, 0, $_), '1', "$_ characters") for 1, 2, 99, 100;
is(found('u1', substr $text, 50, 100), '1', 'at the end');
is(search('u1', substr $text, 0, 101)->code, 400, 'one more');
is(found('u1', "\x{1f600}" x 100), '2', '100 of four bytes');
is(search('u1', "\x{1f600}" x 101)->code, 400, 'one more');

is(outcome($_), $length, $_) for 'search=', 'search', 'search=%ff',
    'search=%ed%a0%80', 'search=' . 'x' x 101, 'search=' . '%25' x 101,
    'search=&target=u2', 'search=x&search=';
like(outcome("search=$_"), qr/^(200 \{"results":\[\]|400 \{"search")/,
     "no match: $_") for '%00', 'x%00', '%00x';
like(outcome('search=y&search=%78'), qr/^200 .*"id":3,/, 'the last one counts');
like(outcome('search=%F0%9F%98%80'), qr/^200 .*"id":2,/, 'in UTF-8');
is(outcome("search=x&before=$_"),
   '400 {"before":["A valid cursor is required."]}', "before=$_")
    for '', '0', '-1', 'x', '1.2', '99999999999999999999';
is(outcome("search=x&limit=$_"),
   '400 {"limit":["A valid integer from 1 to 100 is required."]}', "limit=$_")
    for '', '0', '101', '-1', 'x', '1.0';
is(outcome('search=x&after=0'), '400 {"after":["A valid cursor is required."]}',
   'after=');
is(outcome('search=q'), '200 {"results":[],"has_more":false,"cursor":"1"}',
   'nothing found');
is(outcome("search=x&target=$_"),
   '200 {"results":[],"has_more":false,"cursor":null}', "target=$_")
    for '', 'nobody', 'u1', 'u3', '%00', '%ff';
like(outcome("search=x&target=$_"), qr/^200 \{"results":\[\{"id":3,/, $_)
    for 'u2', 'U2', '%752';
is(outcome('search=x', 'HEAD'), '200 ', 'HEAD');
like(outcome('search=x&changes=1&page=7'), qr/^200 \{"results":\[\{"id":3,/,
     'other parameters are ignored');
is(search('', 'x')->code, 403, 'unauthenticated');


=== paging by cursor until has_more is false, two and more workers
--- workers: 4
--- given
message($_ % 3 ? ('u1', $_ % 2 ? 'u2' : 'u3') : ('u2', 'u1'),
        $_ % 5 ? "Nadel $_" : "heu $_") for 1 .. 60;
message(u2 => 'u3', 'Nadel');
message(u1 => 'u1', 'nadel');
--- then
my @mine = reverse 62, grep { $_ % 5 } 1 .. 60;
@mine = sort { $b <=> $a } @mine;
my @two = grep { $_ != 62 && !($_ % 3 && $_ % 2 == 0) } @mine;

for my $limit (1, 2, 7, 15, 47, 48, 49, 50, 100) {
    my ($ids, $n) = all('u1', 'NADEL', "&limit=$limit");

    is($ids, "@mine", "limit=$limit");
    cmp_ok($n, '<=', int(@mine / $limit) + 1, 'in few requests');
    is((all('u1', 'nadel', "&limit=$limit&target=u2"))[0], "@two",
       'of one conversation');
}

# messages that arrive between two pages displace none
my $page = search('u1', 'nadel', '&limit=20')->json;
send_to('u1', 'u2', "nadel new $_") for 1 .. 3;
my ($rest) = all('u1', 'nadel', "&limit=20&before=$page->{cursor}");

is(join(' ', (map { $_->{id} } @{ $page->{results} }), $rest), "@mine",
   'while messages arrive');
like((all('u1', 'nadel'))[0], qr/^65 64 63 @mine$/, 'which are found later');


=== edited and deleted texts, replies and blocks
--- given
new_message(u1 => 'u2', "secret $_") for 1 .. 6;
--- then
edit('u1', 1, 'public');
edit('u1', 2, 'secret again');
edit('u1', 3, 'x');
edit('u1', 3, 'secret third');
remove('u1', 4);
remove('u1', 2);
my $reply = send_to('u2', 'u1', 'secret reply', reply_to => 1)->json;

for my $who ('u1', 'u2') {
    is(found($who, 'secret'), "$reply->{id} 6 5 3", "current texts for $who");
    is(found($who, 'again'), '', 'not a deleted one');
    is(found($who, 'public'), '1', 'an edited one');
    is_deeply(search($who, 'secret')->json->{results}[$_],
              api($who, GET => '/api/v1/message/' . ($reply->{id}, 6, 5, 3)[$_]
                               . '/')->json, 'as GET') for 0, 3;
}

is(found('u3', 'secret'), '', 'not for others');
is(found('u3', 'secret', '&target=u1'), '', 'with one of the two');
is(api('u2', PUT => '/api/v1/block/u1/')->code, 204, 'blocked');
is(found($_, 'secret'), "$reply->{id} 6 5 3", "readable for $_")
    for 'u1', 'u2';
is(sql("SELECT COUNT(*) FROM chat_message WHERE body LIKE '%again%'"), 0,
   'erased');


=== 10000 messages are examined by bounded requests
--- timeout: 60
--- given
history(10000, "CONCAT(IF(seq % 2500 = 1, 'needle ', 'hay '), seq)");
history(10000, "'needle'", 3);
--- then
for my $query ('', '&target=u2') {
    my ($cursor, @ids, @times) = ('');

    for my $n (1 .. 200) {
        my $begin = time();
        my $res = search('u1', 'NEEDLE ', "$query&limit=3$cursor");
        my $page = $res->json;

        push @times, time() - $begin;
        push @ids, map { $_->{id} } @{ $page->{results} };
        last if $n == 200 || !$page->{has_more};

        cmp_ok(length $res->body, '<', 3000, 'a short response');
        $cursor = "&before=$page->{cursor}";
    }

    is("@ids", '7501 5001 2501 1', "found$query");
    cmp_ok(scalar @times, '>=', 5, 'by several requests');
    cmp_ok((sort { $b <=> $a } @times)[0], '<', 2 * slowness(), 'each fast');
}

my ($ids, $n) = all('u1', 'needle', '&target=u3&limit=100');

is(scalar(split ' ', $ids), 10000, 'a common text');
is($n, 100, 'by 100 pages');
is((all('u1', 'nothing'))[0], '', 'a text that is nowhere');


=== a text that is slow to compare, with a short time-out
--- timeout: 60
--- http
chat_db_timeout 2s;
--- given
history(500, "CONCAT(REPEAT('a', 3900), seq)");
--- then
my $text = 'a' x 99 . '1';
my $expected = join ' ', reverse grep { /^1/ } 1 .. 500;

# each match is compared again from each of the characters before
my ($ids, $n) = all('u1', $text, '&limit=100');

is($ids, $expected, 'all messages are found');
cmp_ok($n, '>', 2, 'by several requests');
is(search('u1', $text, '&target=u2')->code, 200, 'in a conversation');
is(found('u1', 'a500'), '500', 'a short text');
is(join('', grep { /messages\.search/ } split /^/, error_log()), '',
   'no time-out');
