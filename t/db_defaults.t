#
# Copyright (C) ngx_chat contributors
#

# The server's defaults and its init_connect do not affect the module's
# sessions.  The zone is off, so every request queries the database.

use Test::Nginx::Socket 'no_plan';
use utf8;
use Chat::Server;

our ($server, $Usual);

BEGIN { $server = Chat::Server->new }

use Chat;
use Chat::Family;

# afresh: closes the module's connections; new ones have the current defaults

sub afresh {
    for my $id (sql("SELECT id FROM information_schema.processlist
                     WHERE user = 'chat'"))
    {
        eval { sql("KILL $id") };
    }

    return wait_until {
        !sql("SELECT COUNT(*) FROM information_schema.processlist
              WHERE user = 'chat' AND command <> 'Killed'");
    };
}

# story: responses to typical requests, without times and with ids from 1 on

sub story {
    my $said = '';
    my $say = sub {
        my ($who, $method, $path, @more) = @_;

        my $res = api($who, $method, $path, @more);
        my $body = $res->body =~ s/"timestamp":"[^"]*"/"timestamp":"<time>"/gr
                              =~ s/"cursor":"[^"]*"/"cursor":"<cursor>"/gr
                              =~ s/"last_seen_at":[^,}]*/"last_seen_at":0/gr;

        $said .= "$method $path: " . $res->code . "\n$body\n";

        return $res;
    };

    sql('DELETE FROM chat_conversation');
    sql('DELETE FROM chat_message');
    sql('ALTER TABLE chat_message AUTO_INCREMENT = 1');

    my $text = "it's \"x\" \\ \\n \\' -- /* ` || é\x{1f600}\nend";

    for my $n (1 .. 18) {
        $say->($n % 2 ? 'u1' : 'u3', POST => '/api/v1/message/',
               { recipient => 'u2', body => "$text $n" });
    }

    $say->('u2', POST => '/api/v1/message/', { recipient => 'u1', body => 'x' },
           'Idempotency-Key' => 'k') for 1, 2;
    $say->('u2', POST => '/api/v1/message/', { recipient => 'u2', body => 'x' });
    $say->('u2', POST => '/api/v1/message/', { recipient => 'u9', body => 'x' });

    $say->('u2', GET => '/api/v1/message/');
    $say->('u2', GET => '/api/v1/message/?page=2');
    $say->('u2', GET => '/api/v1/message/?target=U1');
    $say->('u2', GET => '/api/v1/message/?target=u3&before=latest&limit=5');
    $say->('u1', GET => '/api/v1/message/?after=0&limit=100');
    $say->('u2', GET => '/api/v1/message/?after=3&target=u1&limit=3');
    $say->('u1', GET => '/api/v1/message/1/');
    $say->('u3', GET => '/api/v1/message/1/');
    $say->('u2', GET => '/api/v1/conversation/');
    $say->('u2', POST => '/api/v1/conversation/u1/read/', { id => 9 });
    $say->('u2', GET => '/api/v1/conversation/?limit=2');
    $say->('u2', GET => '/api/v1/user/');
    $say->('u2', GET => '/api/v1/user/?search=U&limit=2');
    $say->('u2', GET => '/api/v1/user/?search=%25');
    $say->('', POST => '/api/v1/session/',
           { username => 'U1', password => $Chat::Password });
    $say->('', POST => '/api/v1/session/',
           { username => 'u1', password => 'wrong horse' });
    $say->('u4', GET => '/api/v1/session/');

    $said .= join ' ', sql('SELECT COUNT(*), SUM(ABS(TIMESTAMPDIFF(MINUTE,
                                   created_at, UTC_TIMESTAMP())) < 2),
                                   COUNT(DISTINCT client_id)
                            FROM chat_message');
    $said .= "\n" . join ' ', sql('SELECT lo_id, hi_id, message_count, lo_unread,
                                          hi_unread
                                   FROM chat_conversation ORDER BY 1, 2');
    sql('DELETE FROM chat_session WHERE user_id = 1 AND token_hash <>
         UNHEX(SHA2(?, 256))', token('u1'));

    return $said;
}

# begin: records the usual responses and creates another database that the
# module may read

sub begin {
    sql('CREATE DATABASE IF NOT EXISTS other');
    sql('CREATE TABLE IF NOT EXISTS other.t (n INT)');
    sql('CREATE TABLE IF NOT EXISTS other.chat_user LIKE chat_user');
    sql("GRANT SELECT, LOCK TABLES ON other.* TO chat\@localhost");

    $Usual = story();
    Test::More::like($Usual, qr/^20 20 20$/m, 'all messages are stored');
}

# same NAME: the responses are the usual ones.  On a busy machine, a send may be
# repeated, which leaves out an id: a fault changes each of three stories.

sub same {
    my ($name) = @_;

    my $new;

    for (1 .. 3) {
        $new = afresh() ? story() : 'the connections are still open';
        last if $new eq $Usual;
    }

    Test::More::ok($new eq $Usual, $name) and return;

    my @old = split /\n/, $Usual;
    my @new = split /\n/, $new;
    my ($at) = grep { ($new[$_] // '') ne ($old[$_] // '') } 0 .. $#old;
    Test::More::diag("line $at: $new[$at - 1] | $new[$at]\nnot: $old[$at]");
}

run_tests();


__DATA__

=== defaults of the server do not change responses
--- change: s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- then
begin();

for my $setting (
    'sql_select_limit = 1', 'max_join_size = 1', 'sql_big_selects = 0',
    'sql_safe_updates = 1', 'sql_auto_is_null = 1', 'autocommit = 0',
    "completion_type = 'CHAIN'", "completion_type = 'RELEASE'",
    'foreign_key_checks = 0', 'unique_checks = 0', 'max_sort_length = 8',
    'div_precision_increment = 0', 'group_concat_max_len = 4',
    "time_zone = '+13:00'", "lc_time_names = 'tr_TR'",
    "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'",
    "sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,"
    . "NO_UNSIGNED_SUBTRACTION'",
    "character_set_server = 'latin1'", "character_set_client = 'latin1'",
    "collation_connection = 'utf8mb4_unicode_ci'", 'sql_buffer_result = 1',
    "default_storage_engine = 'MyISAM'", 'lock_wait_timeout = 1',
    $Mysql ? (
        "transaction_isolation = 'SERIALIZABLE'",
        "default_collation_for_utf8mb4 = 'utf8mb4_general_ci'",
    ) : (
        "tx_isolation = 'SERIALIZABLE'",
        'check_constraint_checks = 0', 'big_tables = 1',
        "sql_mode = 'ORACLE,EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT'",
        "old_mode = ''", 'in_predicate_conversion_threshold = 2',
        "optimizer_switch = 'derived_merge=off,semijoin=off'",
    ))
{
    my ($name) = $setting =~ /^(\w+)/;

    if (!eval { sql("SET GLOBAL $setting"); 1 }) {
        Test::More::diag("this server does not support $setting");
        next;
    }

    same($setting);
    sql("SET GLOBAL $name = DEFAULT");
}


=== init_connect does not change responses
--- change: s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- then
begin();

for my $statement (
    'SET autocommit = 0', 'BEGIN', 'START TRANSACTION READ ONLY',
    'SET sql_select_limit = 1', 'SET max_join_size = 1',
    'SET sql_safe_updates = 1', 'SET completion_type = 1',
    'SET completion_type = 2', 'USE other', 'SET NAMES latin1',
    'SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci',
    'SET TRANSACTION READ ONLY', 'SET timestamp = 1000000000',
    "SET time_zone = '-11:00'",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
    'SET foreign_key_checks = 0, unique_checks = 0',
    'SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    'LOCK TABLES other.t READ', 'SET sql_auto_is_null = 1')
{
    sql('SET GLOBAL init_connect = ?', $statement);
    same($statement);
}

sql('SET GLOBAL init_connect = ?', '');


=== several settings at once do not change responses
--- change: s/^\s*chat_(?:zone|publish|subscriber) [^;]*;//mg;
--- then
begin();
sql("SET GLOBAL $_") for
    'sql_select_limit = 1', 'max_join_size = 1', 'sql_safe_updates = 1',
    'autocommit = 0', "completion_type = 'CHAIN'", 'foreign_key_checks = 0',
    "time_zone = '+13:00'", "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'";
sql('SET GLOBAL init_connect = ?', 'USE other; BEGIN');
same('all settings');

sql("SET GLOBAL $_ = DEFAULT") for
    qw(sql_select_limit max_join_size sql_safe_updates autocommit
       completion_type foreign_key_checks time_zone sql_mode);
sql('SET GLOBAL init_connect = ?', '');
