#!/usr/bin/perl
#
# Copyright (C) ngx_chat contributors
#
# Neither the option file nor the defaults of the server change the behaviour of
# chatctl.

use strict;
use warnings;

use lib 't/lib';
use Chat::Chatctl;
use Chat::Family;
use FindBin;
use Test::More;

my $ctl = Chat::Chatctl->new;
my $big = 1504;

# Lines of an option file, each in [mysql] unless it names another section.

my @options = (
    'safe-updates', 'i-am-a-dummy', "safe-updates\nselect-limit=10",
    'select_limit=10', 'max_join_size=1', "safe-updates\nmax-join-size=1",
    "[client]\nsafe-updates", "[mariadb-client]\nsafe-updates",
    "[client-server]\nraw", "[client-mariadb]\nraw",
    'raw', 'table', 'html', 'xml', 'vertical', 'auto-vertical-output',
    'column-names', 'skip-batch', 'silent', "silent\nsilent", 'verbose',
    "verbose\nverbose\nverbose", 'skip-line-numbers', 'unbuffered', 'quick',
    'show-warnings', 'pager=tr a-z A-Z', 'delimiter=//',
    'default-character-set=latin1', 'default_character_set=utf16',
    'skip-comments', 'local-infile=1', 'force', 'one-database', 'reconnect',
    'prompt=mysql>', 'ignore-spaces', 'named-commands', 'binary-mode',
    'debug-info', 'max_allowed_packet=1024', 'net_buffer_length=1024',
    'execute="SELECT 1"', 'version', 'help', 'print-defaults',
    'init-command="SET autocommit=0"', 'init-command="BEGIN"',
    'init_command="SET completion_type=2"', 'init-com="SET autocommit=0"',
    'loose-init-command="SET autocommit=0"',
    'init-command-add="SET autocommit=0"',
    'init-command="SET sql_select_limit=1"', 'init-command="USE ctl_other"',
    'init-command="SET NAMES latin1"', 'init-command="SELECT 1"',
    'init-command="SET TRANSACTION READ ONLY"',
    'init-command="SET SESSION TRANSACTION READ ONLY"',
    q{init-command="SET sql_mode='ANSI,NO_BACKSLASH_ESCAPES'"},
    'init-command="nonsense"', 'init-command="SET timestamp=1000000000"',
    'no-such-option=1', "[mysqld]\ndatabase=ctl_other",
    "[mysql_suffix]\nsafe-updates\nraw", "[chatctl]\nraw",
);

# Defaults of sessions: SET GLOBAL, or init_connect

my @globals = (
    'sql_select_limit = 1', 'sql_select_limit = 0', 'max_join_size = 1',
    'sql_safe_updates = 1', 'sql_auto_is_null = 1', 'sql_big_selects = 0',
    'autocommit = 0', "completion_type = 'CHAIN'",
    "completion_type = 'RELEASE'", 'foreign_key_checks = 0',
    'unique_checks = 0', 'group_concat_max_len = 4', 'max_sort_length = 8',
    'div_precision_increment = 0', "lc_time_names = 'tr_TR'",
    "time_zone = '+13:00'", 'innodb_lock_wait_timeout = 1',
    'lock_wait_timeout = 1', 'net_write_timeout = 1', 'wait_timeout = 1',
    'interactive_timeout = 1', "default_storage_engine = 'MyISAM'",
    "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,NO_UNSIGNED_SUBTRACTION'",
    "sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE'",
    "sql_mode = ''", 'sql_warnings = 1', 'sql_notes = 0',
    "character_set_server = 'latin1'", "collation_server = 'utf8mb4_bin'",
    "collation_connection = 'utf8mb4_unicode_ci'",
    "character_set_results = 'latin1'", "character_set_client = 'latin1'",
    'max_sp_recursion_depth = 0', 'low_priority_updates = 1',
    'max_length_for_sort_data = 4', 'min_examined_row_limit = 1',
    'max_heap_table_size = 16384', 'tmp_table_size = 1024',
    'sort_buffer_size = 32768', "concurrent_insert = 'NEVER'",
    'sql_buffer_result = 1', 'default_week_format = 7',
    'updatable_views_with_limit = 0',
    $Mysql ? (
        'transaction_read_only = 1', 'max_execution_time = 1',
        "transaction_isolation = 'READ-UNCOMMITTED'",
        "transaction_isolation = 'SERIALIZABLE'",
        "default_tmp_storage_engine = 'MyISAM'",
        'sql_require_primary_key = 1',
        'sql_generate_invisible_primary_key = 1',
        'windowing_use_high_precision = 0',
        'print_identified_with_as_hex = 1',
        "default_collation_for_utf8mb4 = 'utf8mb4_general_ci'",
        'cte_max_recursion_depth = 1',
    ) : (
        'tx_read_only = 1', "tx_isolation = 'READ-UNCOMMITTED'",
        "tx_isolation = 'SERIALIZABLE'", 'max_statement_time = 0.0001',
        'check_constraint_checks = 0', 'sql_if_exists = 1',
        'idle_transaction_timeout = 1', 'idle_write_transaction_timeout = 1',
        "sql_mode = 'ORACLE,EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT'",
        "sql_mode = 'MAXDB,IGNORE_BAD_TABLE_OPTIONS,TIME_ROUND_FRACTIONAL'",
        "old_mode = ''", 'in_predicate_conversion_threshold = 2',
        'max_recursive_iterations = 1', "secure_timestamp = 'NO'",
        "default_tmp_storage_engine = 'MyISAM'", 'join_cache_level = 0',
        'big_tables = 1', "optimizer_switch = 'derived_merge=off'",
    ),
);

my @connects = (
    'SET autocommit = 0', 'BEGIN', 'START TRANSACTION READ ONLY',
    'SET sql_select_limit = 1', 'SET max_join_size = 1',
    'SET sql_safe_updates = 1', 'SET completion_type = 2', 'USE ctl_other',
    'SET NAMES latin1', "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci",
    'SET TRANSACTION READ ONLY', 'SET SESSION TRANSACTION READ ONLY',
    'SET timestamp = 1000000000', "SET time_zone = '-11:00'",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
    'SET foreign_key_checks = 0, unique_checks = 0',
    'SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    'LOCK TABLES ctl_other.t WRITE', 'SET group_concat_max_len = 4',
    $Mysql ? 'SET max_execution_time = 1' : 'SET max_statement_time = 0.0001',
);

my $wanted = prepare();

for my $lines (@options) {
    $ctl->conf($lines);
    short_story('option file: ' . $lines =~ s/\n/, /gr);
}

$ctl->conf('tee=' . $ctl->path('tee'));
short_story('option file: tee');
ok(!-e $ctl->path('tee'), 'no copy of the export');
$ctl->conf;

SKIP: {
    for my $setting (@globals) {
        my ($name) = $setting =~ /^(\w+)/;
        if (!eval { $ctl->sql("SET GLOBAL $setting"); 1 }) {
            note "this server has no $setting: $@";
            next;
        }

        short_story("SET GLOBAL $setting");
        $ctl->sql("SET GLOBAL $name = DEFAULT");
    }
}

for my $statement (@connects) {
    $ctl->sql('SET GLOBAL init_connect = ?', $statement);
    short_story("init_connect: $statement");
}


# all commands with all settings

$ctl->sql('SET GLOBAL init_connect = ?', '');
my $usual = long_story();

for my $setting ('sql_select_limit = 1', 'max_join_size = 1',
                 'sql_safe_updates = 1', 'autocommit = 0',
                 "completion_type = 'CHAIN'", 'foreign_key_checks = 0',
                 'group_concat_max_len = 4', "time_zone = '+13:00'",
                 "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'",
                 "default_storage_engine = 'MyISAM'",
                 ($Mysql ? 'transaction_read_only' : 'tx_read_only') . ' = 1')
{
    $ctl->sql("SET GLOBAL $setting");
}

$ctl->sql('SET GLOBAL init_connect = ?', 'USE ctl_other; BEGIN');
is(long_story("safe-updates\nraw\nforce\nselect_limit=1",
              'init-command="SET autocommit=0, sql_select_limit=1"'), $usual,
   'all commands behave as usual');

done_testing();


sub prepare {
    $ctl->reset;
    $ctl->sql('CREATE TABLE ctl_other.t (n INT)');
    $ctl->tables;
    $ctl->fill($big);

    my $run = $ctl->run('export alice');

    is($run->{code}, 0, 'export');
    is(() = $run->{out} =~ /^\{"id":/mg, $big, 'export has all messages');

    return $run->{out};
}


# short_story NAME: runs "export", and other commands if the setting may matter

sub short_story {
    my ($name) = @_;

    my @faults;
    my $is = sub {
        my ($got, $expected, $what) = @_;

        push @faults, "$what: " . substr $got // 'nothing', 0, 300
            if ($got // 'nothing') ne $expected;
    };

    my $run = $ctl->run('export alice');
    $is->($run->{code} . $run->{err}, '0', 'export');
    $is->($run->{out} eq $wanted, '1', 'exported data');

    if ($name !~ /init|auto|completion|safe|_only|mode|time|checks|engine|limit/) {
        is(join("\n", @faults), '', $name);
        return;
    }

    $run = $ctl->run('user add carol', in => "secret\n");
    $is->("$run->{out}$run->{code}$run->{err}", "Added carol.\n0", 'user add');
    $is->(scalar $ctl->sql("SELECT COUNT(*) FROM chat_user
                            WHERE username = 'carol'
                            AND ABS(TIMESTAMPDIFF(MINUTE, created_at,
                                                  UTC_TIMESTAMP())) < 2"),
          '1', 'row of the user');

    $run = $ctl->run('user list');
    $is->($run->{code} . $run->{err} . ($run->{out} =~ s/^carol.*//mr),
          "0NAME\tROLE\tSTATE\tCREATED\tLAST SEEN\n"
          . "alice\tuser\tactive\t2025-12-30T07:03:02Z\t-\n"
          . "bob\tuser\tactive\t2025-12-30T07:03:02Z\t-\n\n", 'user list');

    $ctl->sql("DELETE FROM chat_user WHERE username = 'carol'");

    is(join("\n", @faults), '', $name);
}


# long_story LINES: runs all commands and returns their output and the tables

sub long_story {
    my (@lines) = @_;

    my $said = '';
    my $run = sub {
        my ($arguments, $in) = @_;

        my $run = $ctl->run($arguments, in => $in);
        $said .= "$arguments: $run->{code}\n$run->{out}$run->{err}\n";
    };
    my $state = sub {
        for my $table (qw(chat_user chat_session chat_message
                          chat_conversation))
        {
            $said .= "$table: " . join(' ', $ctl->sql(
                "SELECT COUNT(*) FROM $table")) . "\n";
        }

        $said .= join(' ', map { $_ // '-' } $ctl->sql(
            'SELECT id, username, LENGTH(password), is_active, is_admin
             FROM chat_user')) . "\n";
    };

    $ctl->reset;
    $ctl->sql('CREATE TABLE ctl_other.t (n INT)');
    $ctl->conf(@lines);

    $run->('db init');
    $run->('db migrate');
    $run->('db check');
    $ctl->fill($big);
    $run->('user add carol', "secret\n");
    $run->('user passwd alice', "other\n");
    $run->('user disable carol');
    $run->('user enable carol');
    $run->('user enable carol');
    $run->('user admin carol');
    $state->();
    $run->('user admin carol off');
    $run->('user list');
    $run->('export bob');
    $ctl->sql("UPDATE chat_message SET created_at = UTC_TIMESTAMP()
               WHERE id % 10 = 0");
    $run->('purge --older-than 1d');
    $state->();
    $run->('erase bob --yes --wait 0');
    $state->();
    $run->('erase alice --received --yes --wait 0');
    $run->('db check');
    $state->();

    $ctl->sql("DELETE FROM $_") for qw(chat_conversation chat_message
                                       chat_user);
    $ctl->sql('CREATE TABLE ctl_other.auth_user (
                   id int NOT NULL PRIMARY KEY, password varchar(128),
                   last_login datetime(6), is_superuser tinyint(1),
                   username varchar(150), is_active tinyint(1),
                   date_joined datetime(6))');
    $ctl->sql('CREATE TABLE ctl_other.core_messagemodel (
                   id int NOT NULL PRIMARY KEY, timestamp datetime(6),
                   body longtext, recipient_id int, user_id int)');
    $ctl->sql("INSERT INTO ctl_other.auth_user
               VALUES (1, 'pbkdf2_sha256\$x', NULL, 1, 'u1', 1, '2024-01-02'),
                      (2, '!', NULL, 0, 'U2', 1, '2024-01-02'),
                      (3, '!', NULL, 0, 'u2', 1, '2024-01-02')");
    $ctl->sql("INSERT INTO ctl_other.core_messagemodel
               VALUES (1, '2024-01-02', 'x', 1, 2),
                      (2, '2024-01-02', 'y\\\\', 2, 1)");
    $run->('import-django ctl_other');
    $ctl->sql('DELETE FROM ctl_other.auth_user WHERE id = 3');
    $run->('import-django ctl_other');
    $state->();

    # migration from version 1
    $ctl->reset;
    $ctl->sql('CREATE TABLE ctl_other.t (n INT)');
    $ctl->conf(@lines);
    $ctl->load("$FindBin::Bin/data/schema-1.sql");
    $run->('db migrate');
    $run->('db check');

    return $said =~ s/\d{4}-\d\d-\d\d[ T][\d:]+Z?/<time>/gr;
}
