
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_QUERY_ADMIN_H_INCLUDED_
#define _NGX_CHAT_QUERY_ADMIN_H_INCLUDED_


#include "src/query/ngx_chat_query.h"


/*
 * Administration.  Each operation checks that "actor_id" is an active
 * administrator, and stores what it changes in the audit log.
 *
 * admin_users: all users, by name, or the one with "id".
 * admin_change: sets members of another user, and ends its sessions when it is
 * disabled.
 * admin_audit: entries below "before", latest first.
 */

/* a session that is older must not grant or revoke administration, minutes */
#define NGX_CHAT_QUERY_ADMIN_FRESH  "15"

typedef struct {
    uint32_t               id;
    ngx_str_t              name;
    ngx_chat_profile_t     profile;           /* without blocks */
    ngx_str_t              created;           /* timestamp */
    ngx_uint_t             active;            /* flags */
    ngx_uint_t             admin;
} ngx_chat_query_account_t;

typedef struct {
    uint64_t               id;
    ngx_str_t              created;           /* timestamp */
    ngx_str_t              actor;             /* name */
    ngx_str_t              action;
    ngx_str_t              target;            /* name; empty: none, as
                                                 the next ones */
    ngx_str_t              detail;
    ngx_str_t              address;
} ngx_chat_query_entry_t;

typedef struct {
    ngx_chat_db_job_t      job;
    /* in */
    uint32_t               actor_id;
    uint32_t               id;                /* of the user; 0: all users */
    ngx_chat_forms_t       search;            /* admin_users */
    ngx_chat_forms_t       after;
    uint64_t               before;            /* admin_audit; 0: the latest */
    ngx_uint_t             limit;
    ngx_chat_hash_t        hash;              /* admin_change: session of the
                                                 request */
    unsigned               site:1;            /* the site logs users in */
    unsigned               set_active:1;      /* the members to set */
    unsigned               set_admin:1;
    unsigned               set_name:1;
    unsigned               active:1;
    unsigned               admin:1;
    ngx_str_t              display_name;
    ngx_str_t              address;           /* of the client */
    /* out */
    ngx_array_t           *rows;              /* ngx_chat_query_account_t or
                                                 ngx_chat_query_entry_t */
    ngx_uint_t             has_more;          /* flag */
    ngx_uint_t             allowed;           /* admin_change: flag */
    ngx_uint_t             fresh;             /* admin_change: flag */
} ngx_chat_query_admin_t;

extern const ngx_chat_db_type_t  ngx_chat_query_admin_users;
extern const ngx_chat_db_type_t  ngx_chat_query_admin_change;
extern const ngx_chat_db_type_t  ngx_chat_query_admin_audit;


#endif /* _NGX_CHAT_QUERY_ADMIN_H_INCLUDED_ */
