
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/db/ngx_chat_db_queue.h"


/* represent many others, see ngx_chat_db_error() */
#define NGX_CHAT_DB_GET_ERRNO    1030
#define NGX_CHAT_DB_SERVER_LOST  2013

/* CR_UNKNOWN_ERROR: Oracle's library sometimes reports it instead of 1226, if
   the account has too many connections (seen with 9.7.4) */
#define NGX_CHAT_DB_NO_REASON    2000


static const ngx_chat_db_error_t  ngx_chat_db_errors[] = {

    /* a conflict with another transaction or node, usually over */
    { NGX_CHAT_DB_CONFLICT, NULL, 0,
      { 1020 /* ER_CHECKREAD: row changed since read */,
        1213 /* ER_LOCK_DEADLOCK */, 1297 /* ER_GET_TEMPORARY_ERRMSG */,
        1412 /* ER_TABLE_DEF_CHANGED */, 1613 /* ER_XA_RBTIMEOUT */,
        1614 /* ER_XA_RBDEADLOCK */, 1615 /* ER_NEED_REPREPARE */,
        1689 /* ER_LOCK_ABORTED */,
        3101 /* ER_TRANSACTION_ROLLBACK_DURING_COMMIT: Group Replication */,
        3572 /* ER_LOCK_NOWAIT */, 0 } },

    /* a conflict that has not ended while the statement waited */
    { NGX_CHAT_DB_LOCKED, NULL, 0,
      { 1205 /* ER_LOCK_WAIT_TIMEOUT */, 0 } },

    /* a Galera node is not in sync, usually not for long */
    { NGX_CHAT_DB_CONFLICT, NULL, 1,
      { 1047 /* ER_UNKNOWN_COM_ERROR */, 0 } },

    { NGX_CHAT_DB_LOST, NULL, 0,
      { 1053 /* ER_SERVER_SHUTDOWN */, 1077 /* ER_NORMAL_SHUTDOWN */,
        1079 /* ER_SHUTDOWN_COMPLETE */, 1080 /* ER_FORCING_CLOSE */,
        1152 /* ER_ABORTING_CONNECTION */,
        1153 /* ER_NET_PACKET_TOO_LARGE: it closes the connection */,
        1154 /* ER_NET_READ_ERROR_FROM_PIPE */, 1155 /* ER_NET_FCNTL_ERROR */,
        1156 /* ER_NET_PACKETS_OUT_OF_ORDER */,
        1157 /* ER_NET_UNCOMPRESS_ERROR */, 1158 /* ER_NET_READ_ERROR */,
        1159 /* ER_NET_READ_INTERRUPTED */, 1160 /* ER_NET_ERROR_ON_WRITE */,
        1161 /* ER_NET_WRITE_INTERRUPTED */,
        1180 /* ER_ERROR_DURING_COMMIT: outcome unknown */,
        1181 /* ER_ERROR_DURING_ROLLBACK */,
        1184 /* ER_NEW_ABORTING_CONNECTION */, 1317 /* ER_QUERY_INTERRUPTED */,
        1927 /* ER_CONNECTION_KILLED of MariaDB */,
        3168 /* ER_SERVER_ISNT_AVAILABLE */, 3169 /* ER_SESSION_WAS_KILLED */,
        NGX_CHAT_DB_SERVER_LOST /* CR_SERVER_LOST */,
        4031 /* ER_CLIENT_INTERACTION_TIMEOUT of MySQL */, 0 } },

    { NGX_CHAT_DB_UNFIT, NULL, 0,
      { 1040 /* ER_CON_COUNT_ERROR: too many connections */,
        1129 /* ER_HOST_IS_BLOCKED */, 1130 /* ER_HOST_NOT_PRIVILEGED */,
        1135 /* ER_CANT_CREATE_THREAD */,
        1203 /* ER_TOO_MANY_USER_CONNECTIONS */,
        1226 /* ER_USER_LIMIT_REACHED */, 1820 /* ER_MUST_CHANGE_PASSWORD */,
        1862 /* ER_MUST_CHANGE_PASSWORD_LOGIN */,
        NGX_CHAT_DB_NO_REASON /* CR_UNKNOWN_ERROR */,
        3032 /* ER_SERVER_OFFLINE_MODE of MySQL */,
        3118 /* ER_ACCOUNT_HAS_BEEN_LOCKED of MySQL */, 0 } },

    { NGX_CHAT_DB_UNABLE, "it is read-only", 1,
      { 1036 /* ER_OPEN_AS_READONLY */, 1207 /* ER_READ_ONLY_TRANSACTION */,
        1223 /* ER_CANT_UPDATE_WITH_READLOCK */,
        1290 /* ER_OPTION_PREVENTS_STATEMENT */, 1836 /* ER_READ_ONLY_MODE */,
        1874 /* ER_INNODB_READ_ONLY */,
        1881 /* ER_INNODB_FORCED_RECOVERY of MySQL */, 0 } },

    /* transaction_read_only, whose value is fixed when a session starts */
    { NGX_CHAT_DB_STALE, "it is read-only", 1,
      { 1792 /* ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION */, 0 } },

    { NGX_CHAT_DB_UNABLE, "its disk or a table is full", 0,
      { 1021 /* ER_DISK_FULL */, 1114 /* ER_RECORD_FILE_FULL */,
        1878 /* ER_TEMP_FILE_WRITE_FAILURE */,
        3019 /* ER_INNODB_UNDO_LOG_FULL */, 0 } },

    /* files, storage engines, replication */
    { NGX_CHAT_DB_UNABLE, "it has problems with its files, see its log", 0,
      { 1004 /* ER_CANT_CREATE_FILE */, 1005 /* ER_CANT_CREATE_TABLE */,
        1015 /* ER_CANT_LOCK */, 1016 /* ER_CANT_OPEN_FILE */,
        1017 /* ER_FILE_NOT_FOUND */, 1023 /* ER_ERROR_ON_CLOSE */,
        1024 /* ER_ERROR_ON_READ */, 1026 /* ER_ERROR_ON_WRITE */,
        NGX_CHAT_DB_GET_ERRNO /* ER_GET_ERRNO, also for a full disk */,
        1033 /* ER_NOT_FORM_FILE */, 1034 /* ER_NOT_KEYFILE */,
        1039 /* ER_UNEXPECTED_EOF */, 1194 /* ER_CRASHED_ON_USAGE */,
        1195 /* ER_CRASHED_ON_REPAIR */, 1296 /* ER_GET_ERRMSG */,
        1429 /* ER_CONNECT_TO_FOREIGN_DATA_SOURCE */,
        1467 /* ER_AUTOINC_READ_FAILED */, 1712 /* ER_INDEX_CORRUPT */,
        1810 /* ER_IO_READ_ERROR */, 1811 /* ER_IO_WRITE_ERROR */,
        1812 /* ER_TABLESPACE_MISSING */, 1814 /* ER_TABLESPACE_DISCARDED */,
        1815 /* ER_INTERNAL_ERROR */, 1817 /* ER_INNODB_INDEX_CORRUPT */,
        1877 /* ER_TABLE_CORRUPT */,
        1932 /* ER_NO_SUCH_TABLE_IN_ENGINE of MariaDB */,
        3000 /* ER_FILE_CORRUPT */,
        3100 /* ER_RUN_HOOK_ERROR: Group Replication */,
        3510 /* ER_TABLESPACE_MISSING_WITH_NAME */, 0 } },

    { NGX_CHAT_DB_SHORT, "it is out of memory", 0,
      { 1037 /* ER_OUTOFMEMORY */, 1038 /* ER_OUT_OF_SORTMEMORY */,
        1041 /* ER_OUT_OF_RESOURCES */, 1197 /* ER_TRANS_CACHE_FULL */,
        1206 /* ER_LOCK_TABLE_FULL */, 1637 /* ER_TOO_MANY_CONCURRENT_TRXS */,
        1705 /* ER_STMT_CACHE_FULL */, 3015 /* ER_ENGINE_OUT_OF_MEMORY */,
        3044 /* ER_STD_BAD_ALLOC_ERROR */, 3170 /* ER_CAPACITY_EXCEEDED */,
        3186 /* ER_CAPACITY_EXCEEDED_IN_PARSER */,
        3231 /* ER_WRITE_SET_EXCEEDS_LIMIT */, 0 } },

    { NGX_CHAT_DB_SHORT, "a statement took too long", 0,
      { 1969 /* ER_STATEMENT_TIMEOUT of MariaDB */,
        3024 /* ER_QUERY_TIMEOUT of MySQL */, 0 } },

    /* a migration is in progress, or versions do not match */
    { NGX_CHAT_DB_STALE, "a table or column is missing or of another version, "
      "see \"chatctl db check\"", 0,
      { 1046 /* ER_NO_DB_ERROR */, 1049 /* ER_BAD_DB_ERROR */,
        1051 /* ER_BAD_TABLE_ERROR */, 1054 /* ER_BAD_FIELD_ERROR */,
        1109 /* ER_UNKNOWN_TABLE */, 1136 /* ER_WRONG_VALUE_COUNT_ON_ROW */,
        1146 /* ER_NO_SUCH_TABLE */, 1176 /* ER_KEY_DOES_NOT_EXIST */,
        1288 /* ER_NON_UPDATABLE_TABLE */, 1356 /* ER_VIEW_INVALID */,
        1364 /* ER_NO_DEFAULT_FOR_FIELD */,
        1449 /* ER_NO_SUCH_USER: of a view or trigger */,
        1471 /* ER_NON_INSERTABLE_TABLE */,
        1906 /* ER_WARNING_NON_DEFAULT_VALUE_FOR_GENERATED_COLUMN */,
        3105 /* ER_NON_DEFAULT_VALUE_FOR_GENERATED_COLUMN of MySQL */, 0 } },

    { NGX_CHAT_DB_STALE, "a privilege of sql/grants.sql is missing", 0,
      { 1044 /* ER_DBACCESS_DENIED_ERROR */,
        1142 /* ER_TABLEACCESS_DENIED_ERROR */,
        1143 /* ER_COLUMNACCESS_DENIED_ERROR */,
        1227 /* ER_SPECIFIC_ACCESS_DENIED_ERROR */,
        1370 /* ER_PROCACCESS_DENIED_ERROR */, 0 } }
};


static const ngx_chat_db_error_t  ngx_chat_db_unknown = {
    NGX_CHAT_DB_REFUSED, NULL, 0, { 0 }
};


const ngx_chat_db_error_t *
ngx_chat_db_error(ngx_uint_t code)
{
    ngx_uint_t         i, n;
    const ngx_uint_t  *p;

    if (code > 0 && code < 1000) {

        /* system calls and memory of the server: EE_WRITE, EE_OUTOFMEMORY */

        code = NGX_CHAT_DB_GET_ERRNO;

    } else if (code == 0
               || (code >= 2000 && code < 3000 && code != NGX_CHAT_DB_NO_REASON)
               || (code >= 5000 && code < 6000))
    {
        /* errors of the client libraries; 0: nginx rejected the socket */

        code = NGX_CHAT_DB_SERVER_LOST;
    }

    n = sizeof(ngx_chat_db_errors) / sizeof(ngx_chat_db_errors[0]);

    for (i = 0; i < n; i++) {
        for (p = ngx_chat_db_errors[i].codes; *p != 0; p++) {
            if (*p == code) {
                return &ngx_chat_db_errors[i];
            }
        }
    }

    return &ngx_chat_db_unknown;
}
