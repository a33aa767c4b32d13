
/*
 * Copyright (C) ngx_chat contributors
 */


#include "ngx_stub.h"
#include "src/query/ngx_chat_query.h"
#include "src/query/ngx_chat_query_admin.h"
#include "src/query/ngx_chat_query_file.h"


/*
 * Prints each form of the packets of all query types, for t/lint/sharding.mjs:
 * the name, a tab, the packet.  A name without a packet is an error there.
 *
 * The pair is USER and PEER.  The second job of a packet has the pair USER and
 * THIRD.
 */


#define STATEMENTS_USER   7
#define STATEMENTS_PEER   9
#define STATEMENTS_THIRD  4
#define STATEMENTS_LIMIT  15


static void statements_send(void);
static void statements_message(void);
static void statements_change(void);
static void statements_block(void);
static void statements_file(void);
static void statements_messages(void);
static void statements_messages_with(uint32_t peer_id);
static void statements_conversations(void);
static void statements_presence(void);
static void statements_people(void);
static void statements_admin(void);
static void statements_sessions(void);
static void statements_servers(void);
static void statements_print(const ngx_chat_db_type_t *class, void *one,
    void *two);


static ngx_str_t  statements_text = ngx_string("text");
static ngx_str_t  statements_token =
    ngx_string("0123456789abcdef0123456789abcdef");
static ngx_chat_forms_t  statements_forms = {
    2, 1, { ngx_string("text"), ngx_string("other"), ngx_null_string,
            ngx_null_string }, 0
};
static ngx_str_t  statements_time = ngx_string("2025-12-30T07:03:02.325660Z");


int
main(void)
{
    const ngx_chat_db_type_t *const  *class;

    for (class = ngx_chat_query_types; *class; class++) {
        printf("%.*s\t\n", (int) (*class)->name.len, (*class)->name.data);
    }

    statements_send();
    statements_message();
    statements_change();
    statements_block();
    statements_file();
    statements_messages();
    statements_conversations();
    statements_presence();
    statements_people();
    statements_admin();
    statements_sessions();
    statements_servers();

    return 0;
}


static void
statements_send(void)
{
    ngx_uint_t             i;
    ngx_chat_query_send_t  op[2];

    ngx_memzero(op, sizeof(op));

    for (i = 0; i < 2; i++) {
        op[i].message.sender_id = STATEMENTS_USER;
        op[i].message.timestamp = statements_time;
        op[i].message.body = statements_text;
        op[i].client_id = statements_text;
    }

    op[0].message.recipient_id = STATEMENTS_PEER;
    op[1].message.recipient_id = STATEMENTS_THIRD;

    statements_print(&ngx_chat_query_send, &op[0], NULL);
    statements_print(&ngx_chat_query_send, &op[0], &op[1]);

    op[0].job.suspect = 1;
    statements_print(&ngx_chat_query_send, &op[0], NULL);

    op[0].message.reply_to = 1;
    statements_print(&ngx_chat_query_send, &op[0], NULL);

    op[0].message.files = statements_text;
    op[0].tokens = &statements_token;
    op[0].nfiles = 1;
    statements_print(&ngx_chat_query_send_files, &op[0], NULL);
}


static void
statements_message(void)
{
    ngx_uint_t                i;
    ngx_chat_query_message_t  op[2];

    ngx_memzero(op, sizeof(op));

    for (i = 0; i < 2; i++) {
        op[i].id = 1 + i;
        op[i].user_id = STATEMENTS_USER;
        op[i].sender_id = STATEMENTS_USER;
        op[i].client_id = statements_text;
    }

    statements_print(&ngx_chat_query_message_get, &op[0], NULL);
    statements_print(&ngx_chat_query_message_get, &op[0], &op[1]);
    statements_print(&ngx_chat_query_message_by_client, &op[0], NULL);
}


static void
statements_change(void)
{
    ngx_chat_query_change_t  op;

    ngx_memzero(&op, sizeof(ngx_chat_query_change_t));

    op.id = 1;
    op.sender_id = STATEMENTS_USER;
    op.recipient_id = STATEMENTS_PEER;
    op.lo_id = STATEMENTS_USER;
    op.hi_id = STATEMENTS_PEER;
    op.time = statements_time;
    op.body = statements_text;

    statements_print(&ngx_chat_query_change_edit, &op, NULL);
    statements_print(&ngx_chat_query_change_delete, &op, NULL);
    statements_print(&ngx_chat_query_change_delete_files, &op, NULL);
}


static void
statements_block(void)
{
    ngx_chat_query_list_t   list;
    ngx_chat_query_block_t  op;

    ngx_memzero(&list, sizeof(ngx_chat_query_list_t));
    ngx_memzero(&op, sizeof(ngx_chat_query_block_t));

    list.user_id = STATEMENTS_USER;
    statements_print(&ngx_chat_query_block_list, &list, NULL);

    op.blocker_id = STATEMENTS_USER;
    op.blocked_id = STATEMENTS_PEER;
    op.lo_id = STATEMENTS_USER;
    op.hi_id = STATEMENTS_PEER;
    op.bit = NGX_CHAT_BLOCK_LO;
    op.time = statements_time;

    statements_print(&ngx_chat_query_block_add, &op, NULL);
    statements_print(&ngx_chat_query_block_remove, &op, NULL);
    statements_print(&ngx_chat_query_block_get, &op, NULL);
}


static void
statements_file(void)
{
    ngx_chat_query_file_t   op;
    ngx_chat_query_sweep_t  sweep;

    ngx_memzero(&op, sizeof(ngx_chat_query_file_t));
    ngx_memzero(&sweep, sizeof(ngx_chat_query_sweep_t));

    op.user_id = STATEMENTS_USER;
    op.file.token = statements_token;
    op.file.name = statements_text;
    op.file.type = statements_text;
    op.tokens = &statements_token;
    op.n = 1;

    statements_print(&ngx_chat_query_file_usage, &op, NULL);
    statements_print(&ngx_chat_query_file_create, &op, NULL);
    statements_print(&ngx_chat_query_file_find, &op, NULL);
    statements_print(&ngx_chat_query_file_get, &op, NULL);
    statements_print(&ngx_chat_query_file_sweep, &sweep, NULL);

    sweep.tokens = statements_token;
    statements_print(&ngx_chat_query_file_removed, &sweep, NULL);
}


static void
statements_messages(void)
{
    statements_messages_with(0);
    statements_messages_with(STATEMENTS_PEER);
}


static void
statements_messages_with(uint32_t peer_id)
{
    ngx_chat_query_history_t  op, other;

    ngx_memzero(&op, sizeof(ngx_chat_query_history_t));

    op.user_id = STATEMENTS_USER;
    op.peer_id = peer_id;
    op.limit = STATEMENTS_LIMIT;
    op.id = 1;

    statements_print(&ngx_chat_query_history_page, &op, NULL);
    statements_print(&ngx_chat_query_history_before, &op, NULL);
    statements_print(&ngx_chat_query_history_after, &op, NULL);

    other = op;
    other.user_id = STATEMENTS_PEER;
    other.peer_id = 0;

    statements_print(&ngx_chat_query_history_after, &op, &other);

    op.search = statements_text;
    statements_print(&ngx_chat_query_history_search, &op, NULL);

    op.changes = 1;
    statements_print(&ngx_chat_query_history_before, &op, NULL);
    statements_print(&ngx_chat_query_history_after, &op, NULL);
    op.changes = 0;

    op.offset = STATEMENTS_LIMIT;
    statements_print(&ngx_chat_query_history_page, &op, NULL);

    statements_print(&ngx_chat_query_history_count, &op, NULL);
    statements_print(&ngx_chat_query_history_far, &op, NULL);

    op.last = 1;
    statements_print(&ngx_chat_query_history_page, &op, NULL);

    op.limit = 0;
    statements_print(&ngx_chat_query_history_after, &op, NULL);

    op.changes = 1;
    statements_print(&ngx_chat_query_history_after, &op, NULL);
}


static void
statements_conversations(void)
{
    ngx_chat_query_read_t           read;
    ngx_chat_query_conversations_t  op;

    ngx_memzero(&op, sizeof(ngx_chat_query_conversations_t));
    ngx_memzero(&read, sizeof(ngx_chat_query_read_t));

    op.user_id = STATEMENTS_USER;
    op.limit = STATEMENTS_LIMIT;
    statements_print(&ngx_chat_query_conversations, &op, NULL);

    read.user_id = STATEMENTS_USER;
    read.id = 1;

    read.peer_id = STATEMENTS_PEER;
    statements_print(&ngx_chat_query_read, &read, NULL);

    read.peer_id = STATEMENTS_THIRD;
    statements_print(&ngx_chat_query_read, &read, NULL);

    read.peer_id = STATEMENTS_USER;
    statements_print(&ngx_chat_query_read, &read, NULL);
}


static void
statements_presence(void)
{
    ngx_chat_query_presence_t        op;
    ngx_chat_query_presence_store_t  store;

    ngx_memzero(&op, sizeof(ngx_chat_query_presence_t));
    ngx_memzero(&store, sizeof(ngx_chat_query_presence_store_t));

    op.user_id = STATEMENTS_USER;
    statements_print(&ngx_chat_query_presence_partners, &op, NULL);

    store.n = 2;
    store.users[0].id = STATEMENTS_USER;
    store.users[1].id = STATEMENTS_PEER;
    statements_print(&ngx_chat_query_presence_store, &store, NULL);
}


static void
statements_people(void)
{
    ngx_chat_query_user_t     user;
    ngx_chat_query_users_t    op;
    ngx_chat_query_profile_t  profile;

    ngx_memzero(&user, sizeof(ngx_chat_query_user_t));
    ngx_memzero(&op, sizeof(ngx_chat_query_users_t));
    ngx_memzero(&profile, sizeof(ngx_chat_query_profile_t));

    user.name = statements_forms;
    user.id = STATEMENTS_PEER;
    statements_print(&ngx_chat_query_user_by_name, &user, NULL);

    user.name.n = 1;
    statements_print(&ngx_chat_query_user_by_name, &user, NULL);
    statements_print(&ngx_chat_query_user_by_id, &user, NULL);

    profile.name = user.name;
    profile.username = statements_text;
    profile.display_name = statements_text;
    statements_print(&ngx_chat_query_profile_get, &profile, NULL);
    statements_print(&ngx_chat_query_profile_set, &profile, NULL);
    statements_print(&ngx_chat_query_profile_create, &profile, NULL);

    op.except = STATEMENTS_USER;
    statements_print(&ngx_chat_query_users, &op, NULL);

    op.limit = STATEMENTS_LIMIT;
    statements_print(&ngx_chat_query_users, &op, NULL);

    op.search = statements_forms;
    op.after = statements_forms;
    op.limit = STATEMENTS_LIMIT;
    statements_print(&ngx_chat_query_users, &op, NULL);

    op.search.n = 1;
    op.after.n = 1;
    statements_print(&ngx_chat_query_users, &op, NULL);

    op.scan = 1;
    statements_print(&ngx_chat_query_users, &op, NULL);
}


static void
statements_admin(void)
{
    ngx_chat_query_admin_t  op;

    ngx_memzero(&op, sizeof(ngx_chat_query_admin_t));

    op.actor_id = STATEMENTS_USER;
    op.limit = STATEMENTS_LIMIT;
    op.search = statements_forms;
    op.after = statements_forms;
    statements_print(&ngx_chat_query_admin_users, &op, NULL);
    statements_print(&ngx_chat_query_admin_audit, &op, NULL);

    op.id = STATEMENTS_PEER;
    statements_print(&ngx_chat_query_admin_users, &op, NULL);

    op.set_active = 1;
    op.set_admin = 1;
    op.set_name = 1;
    statements_print(&ngx_chat_query_admin_change, &op, NULL);
}


static void
statements_sessions(void)
{
    ngx_chat_query_session_remove_t  remove = { .id = 0 };

    ngx_chat_hash_t                  hash;
    ngx_chat_query_session_t         op;
    ngx_chat_query_password_t        password;
    ngx_chat_query_list_t            list;
    ngx_chat_query_session_end_t     end;
    ngx_chat_query_session_seen_t    seen;
    ngx_chat_query_session_create_t  create;

    ngx_memzero(&list, sizeof(ngx_chat_query_list_t));
    ngx_memzero(&end, sizeof(ngx_chat_query_session_end_t));
    ngx_memzero(&seen, sizeof(ngx_chat_query_session_seen_t));
    ngx_memzero(&hash, sizeof(ngx_chat_hash_t));
    ngx_memzero(&op, sizeof(ngx_chat_query_session_t));
    ngx_memzero(&create, sizeof(ngx_chat_query_session_create_t));
    ngx_memzero(&password, sizeof(ngx_chat_query_password_t));

    op.hashes = &hash;
    op.n = 1;
    statements_print(&ngx_chat_query_session_get, &op, NULL);
    statements_print(&ngx_chat_query_session_delete, &op, NULL);

    create.user_id = STATEMENTS_USER;
    create.password = statements_text;
    statements_print(&ngx_chat_query_session_create, &create, NULL);

    statements_print(&ngx_chat_query_session_seen, &seen, NULL);

    end.user_id = STATEMENTS_USER;
    statements_print(&ngx_chat_query_session_end, &end, NULL);

    remove.user_id = STATEMENTS_USER;
    remove.id = 1;
    statements_print(&ngx_chat_query_session_remove, &remove, NULL);

    list.user_id = STATEMENTS_USER;
    statements_print(&ngx_chat_query_session_list, &list, NULL);

    password.user_id = STATEMENTS_USER;
    password.old = statements_text;
    password.new = statements_text;
    password.end_sessions = 1;
    statements_print(&ngx_chat_query_password_set, &password, NULL);
}


static void
statements_servers(void)
{
    ngx_str_t                position = ngx_string("0-1-2");
    ngx_chat_db_job_t          ready;
    ngx_chat_db_buf_t          text;
    ngx_chat_query_position_t  op;

    ngx_memzero(&ready, sizeof(ngx_chat_db_job_t));
    ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));
    ngx_memzero(&op, sizeof(ngx_chat_query_position_t));

    statements_print(&ngx_chat_query_setup, &ready, NULL);
    statements_print(&ngx_chat_query_setup_writer, &ready, NULL);
    statements_print(&ngx_chat_query_ready, &ready, NULL);
    statements_print(&ngx_chat_query_position, &op, NULL);

    /* precedes each read from a replica */

    ngx_chat_query_reached_build(&text, &position);
    printf("reached\t%.*s\n", (int) (text.pos - text.start), text.start);
    free(text.start);
}


static void
statements_print(const ngx_chat_db_type_t *class, void *one, void *two)
{
    ngx_chat_db_job_t  *jobs[] = { one, two };
    ngx_chat_db_buf_t   text;

    ngx_memzero(&text, sizeof(ngx_chat_db_buf_t));

    jobs[0]->type = class;

    class->build(&text, jobs, two ? 2 : 1);

    printf("%.*s\t%.*s\n", (int) class->name.len, class->name.data,
           (int) (text.pos - text.start), text.start);

    free(text.start);
}


ngx_int_t
ngx_chat_db_buf_reserve(ngx_chat_db_buf_t *text, size_t size)
{
    size_t  len;

    len = text->pos - text->start;

    text->start = realloc(text->start, len + size);
    if (text->start == NULL) {
        abort();
    }

    text->pos = text->start + len;
    text->end = text->pos + size;

    return NGX_OK;
}
