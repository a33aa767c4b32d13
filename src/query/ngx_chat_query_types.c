
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_admin.h"
#include "src/query/ngx_chat_query_file.h"


const ngx_chat_db_type_t *const  ngx_chat_query_types[] = {
    &ngx_chat_query_send,
    &ngx_chat_query_send_files,
    &ngx_chat_query_message_get,
    &ngx_chat_query_message_by_client,
    &ngx_chat_query_change_edit,
    &ngx_chat_query_change_delete,
    &ngx_chat_query_change_delete_files,
    &ngx_chat_query_history_page,
    &ngx_chat_query_history_count,
    &ngx_chat_query_history_far,
    &ngx_chat_query_history_before,
    &ngx_chat_query_history_after,
    &ngx_chat_query_history_search,
    &ngx_chat_query_conversations,
    &ngx_chat_query_read,
    &ngx_chat_query_block_list,
    &ngx_chat_query_block_add,
    &ngx_chat_query_block_remove,
    &ngx_chat_query_block_get,
    &ngx_chat_query_file_usage,
    &ngx_chat_query_file_create,
    &ngx_chat_query_file_find,
    &ngx_chat_query_file_get,
    &ngx_chat_query_file_sweep,
    &ngx_chat_query_file_removed,
    &ngx_chat_query_users,
    &ngx_chat_query_user_by_name,
    &ngx_chat_query_user_by_id,
    &ngx_chat_query_profile_get,
    &ngx_chat_query_profile_set,
    &ngx_chat_query_profile_create,
    &ngx_chat_query_admin_users,
    &ngx_chat_query_admin_change,
    &ngx_chat_query_admin_audit,
    &ngx_chat_query_session_get,
    &ngx_chat_query_session_create,
    &ngx_chat_query_session_delete,
    &ngx_chat_query_session_seen,
    &ngx_chat_query_session_end,
    &ngx_chat_query_session_remove,
    &ngx_chat_query_session_list,
    &ngx_chat_query_password_set,
    &ngx_chat_query_ready,
    &ngx_chat_query_position,
    NULL
};
