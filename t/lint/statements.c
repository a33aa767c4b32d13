
/*
 * Copyright (C) ngx_chat contributors
 */


#include "ngx_stub.h"
#include "ngx_chat_sql.h"


/*
 * Prints the packets of all classes, in each form that they have: the class, a
 * tab, the packet.  For t/lint/sharding.mjs, which misses a class of the list
 * that is not printed here.
 *
 * The pair is that of USER and PEER; another one, in a packet of two, is that
 * of USER and THIRD.
 */


#define STATEMENTS_USER   7
#define STATEMENTS_PEER   9
#define STATEMENTS_THIRD  4
#define STATEMENTS_LIMIT  15


static void statements_send(void);
static void statements_message(void);
static void statements_messages(void);
static void statements_messages_with(uint32_t peer_id);
static void statements_conversations(void);
static void statements_people(void);
static void statements_sessions(void);
static void statements_servers(void);
static void statements_print(const ngx_chat_db_class_t *class, void *one,
    void *two);


static ngx_str_t  statements_text = ngx_string("text");
static ngx_str_t  statements_time = ngx_string("2025-12-30T07:03:02.325660Z");


int
main(void)
{
    const ngx_chat_db_class_t *const  *class;

    for (class = ngx_chat_sql_classes; *class; class++) {
        printf("%.*s\t\n", (int) (*class)->name.len, (*class)->name.data);
    }

    statements_send();
    statements_message();
    statements_messages();
    statements_conversations();
    statements_people();
    statements_sessions();
    statements_servers();

    return 0;
}


static void
statements_send(void)
{
    ngx_uint_t           i;
    ngx_chat_sql_send_t  op[2];

    ngx_memzero(op, sizeof(op));

    for (i = 0; i < 2; i++) {
        op[i].message.sender_id = STATEMENTS_USER;
        op[i].message.timestamp = statements_time;
        op[i].message.body = statements_text;
        op[i].client_id = statements_text;
    }

    op[0].message.recipient_id = STATEMENTS_PEER;
    op[1].message.recipient_id = STATEMENTS_THIRD;

    statements_print(&ngx_chat_sql_send, &op[0], NULL);
    statements_print(&ngx_chat_sql_send, &op[0], &op[1]);
}


static void
statements_message(void)
{
    ngx_uint_t              i;
    ngx_chat_sql_message_t  op[2];

    ngx_memzero(op, sizeof(op));

    for (i = 0; i < 2; i++) {
        op[i].id = 1 + i;
        op[i].user_id = STATEMENTS_USER;
        op[i].sender_id = STATEMENTS_USER;
        op[i].client_id = statements_text;
    }

    statements_print(&ngx_chat_sql_message_get, &op[0], NULL);
    statements_print(&ngx_chat_sql_message_get, &op[0], &op[1]);
    statements_print(&ngx_chat_sql_message_by_client, &op[0], NULL);
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
    ngx_chat_sql_messages_t  op;

    ngx_memzero(&op, sizeof(ngx_chat_sql_messages_t));

    op.user_id = STATEMENTS_USER;
    op.peer_id = peer_id;
    op.limit = STATEMENTS_LIMIT;
    op.id = 1;

    statements_print(&ngx_chat_sql_messages_page, &op, NULL);
    statements_print(&ngx_chat_sql_messages_before, &op, NULL);
    statements_print(&ngx_chat_sql_messages_after, &op, NULL);

    op.offset = STATEMENTS_LIMIT;
    statements_print(&ngx_chat_sql_messages_page, &op, NULL);

    op.last = 1;
    statements_print(&ngx_chat_sql_messages_page, &op, NULL);

    op.limit = 0;
    statements_print(&ngx_chat_sql_messages_after, &op, NULL);
}


static void
statements_conversations(void)
{
    ngx_chat_sql_read_t           read;
    ngx_chat_sql_conversations_t  op;

    ngx_memzero(&op, sizeof(ngx_chat_sql_conversations_t));
    ngx_memzero(&read, sizeof(ngx_chat_sql_read_t));

    op.user_id = STATEMENTS_USER;
    op.limit = STATEMENTS_LIMIT;
    statements_print(&ngx_chat_sql_conversations, &op, NULL);

    read.user_id = STATEMENTS_USER;
    read.id = 1;

    read.peer_id = STATEMENTS_PEER;
    statements_print(&ngx_chat_sql_read, &read, NULL);

    read.peer_id = STATEMENTS_THIRD;
    statements_print(&ngx_chat_sql_read, &read, NULL);
}


static void
statements_people(void)
{
    ngx_chat_sql_user_t   user;
    ngx_chat_sql_users_t  op;

    ngx_memzero(&user, sizeof(ngx_chat_sql_user_t));
    ngx_memzero(&op, sizeof(ngx_chat_sql_users_t));

    user.name = statements_text;
    user.id = STATEMENTS_PEER;
    statements_print(&ngx_chat_sql_user_by_name, &user, NULL);
    statements_print(&ngx_chat_sql_user_by_id, &user, NULL);

    op.except = STATEMENTS_USER;
    statements_print(&ngx_chat_sql_users, &op, NULL);

    op.search = statements_text;
    op.after = statements_text;
    op.limit = STATEMENTS_LIMIT;
    statements_print(&ngx_chat_sql_users, &op, NULL);
}


static void
statements_sessions(void)
{
    ngx_chat_sql_session_t         op;
    ngx_chat_sql_password_t        password;
    ngx_chat_sql_session_create_t  create;

    ngx_memzero(&op, sizeof(ngx_chat_sql_session_t));
    ngx_memzero(&create, sizeof(ngx_chat_sql_session_create_t));
    ngx_memzero(&password, sizeof(ngx_chat_sql_password_t));

    statements_print(&ngx_chat_sql_session_get, &op, NULL);
    statements_print(&ngx_chat_sql_session_delete, &op, NULL);

    create.user_id = STATEMENTS_USER;
    create.password = statements_text;
    statements_print(&ngx_chat_sql_session_create, &create, NULL);

    password.user_id = STATEMENTS_USER;
    password.old = statements_text;
    password.new = statements_text;
    password.end_sessions = 1;
    statements_print(&ngx_chat_sql_password_set, &password, NULL);
}


static void
statements_servers(void)
{
    ngx_str_t                position = ngx_string("0-1-2");
    ngx_chat_db_job_t        ready;
    ngx_chat_db_text_t       text;
    ngx_chat_sql_epochs_t    epochs;
    ngx_chat_sql_position_t  op;

    ngx_memzero(&ready, sizeof(ngx_chat_db_job_t));
    ngx_memzero(&text, sizeof(ngx_chat_db_text_t));
    ngx_memzero(&epochs, sizeof(ngx_chat_sql_epochs_t));
    ngx_memzero(&op, sizeof(ngx_chat_sql_position_t));

    statements_print(&ngx_chat_sql_setup, &ready, NULL);
    statements_print(&ngx_chat_sql_setup_writer, &ready, NULL);
    statements_print(&ngx_chat_sql_ready, &ready, NULL);
    statements_print(&ngx_chat_sql_position, &op, NULL);

    epochs.epoch = 2;
    statements_print(&ngx_chat_sql_epochs, &epochs, NULL);

    /* in front of what a replica is asked */

    ngx_chat_sql_reached_build(&text, &position);
    printf("reached\t%.*s\n", (int) (text.pos - text.start), text.start);
    free(text.start);
}


static void
statements_print(const ngx_chat_db_class_t *class, void *one, void *two)
{
    ngx_chat_db_job_t   *jobs[] = { one, two };
    ngx_chat_db_text_t   text;

    ngx_memzero(&text, sizeof(ngx_chat_db_text_t));

    class->build(&text, jobs, two ? 2 : 1);

    printf("%.*s\t%.*s\n", (int) class->name.len, class->name.data,
           (int) (text.pos - text.start), text.start);

    free(text.start);
}


ngx_int_t
ngx_chat_db_text_reserve(ngx_chat_db_text_t *text, size_t size)
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
