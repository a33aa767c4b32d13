-- Settings that the defaults or the init_connect of the server may change.
-- sql_mode comes first, since it affects the parsing of the others.  ROLLBACK ends
-- a transaction of init_connect.  Times are UTC, as in the module, and values that
-- do not fit are errors.  Setting max_join_size resets sql_big_selects.  MariaDB
-- and MySQL each execute the comments that are for their own versions.

SET sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
    completion_type = 0;
ROLLBACK;
UNLOCK TABLES;
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SET autocommit = 1, timestamp = DEFAULT,
    time_zone = '+00:00', lc_time_names = 'en_US',
    sql_select_limit = 18446744073709551615,
    max_join_size = 18446744073709551615, sql_safe_updates = 0,
    sql_auto_is_null = 0, foreign_key_checks = 1, unique_checks = 1,
    group_concat_max_len = 1048576, max_sort_length = 1024,
    div_precision_increment = 4, default_storage_engine = InnoDB,
    innodb_lock_wait_timeout = 50, lock_wait_timeout = 86400,
    net_write_timeout = 86400, wait_timeout = 28800
    /*M!100601 , check_constraint_checks = 1, max_statement_time = 0,
       default_tmp_storage_engine = InnoDB, sql_if_exists = 0,
       idle_transaction_timeout = 0, idle_write_transaction_timeout = 0,
       idle_readonly_transaction_timeout = 0 */
    /*!50708 , max_execution_time = 0, default_tmp_storage_engine = InnoDB */;
SET sql_big_selects = 1;
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE;
