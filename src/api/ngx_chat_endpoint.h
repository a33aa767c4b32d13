
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_ENDPOINT_H_INCLUDED_
#define _NGX_CHAT_ENDPOINT_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/* The first steps of all endpoints, and functions that endpoints share. */


/* first steps of message/ */

ngx_int_t ngx_chat_message_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_message_create(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_message_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_message_edit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_message_delete(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/*
 * Responds with the message, and stores it in the zone.  Returns the result for
 * the step.
 */
ngx_int_t ngx_chat_message_one(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_message_t *message);

/*
 * Returns NGX_OK, or the result for the step if the text has more characters
 * than chat_max_message.
 */
ngx_int_t ngx_chat_message_length(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *body);

/*
 * Returns true if a text is missing or blank, and sets it to "": allowed for a
 * message with files.
 */
ngx_uint_t ngx_chat_message_blank(ngx_chat_field_t *body);

/* returns the time of some seconds ago; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_message_time(ngx_http_request_t *r, time_t ago,
    ngx_str_t *timestamp);

/* returns the messages in the zone, or NULL */
ngx_chat_cache_t *ngx_chat_message_cache(ngx_http_request_t *r);

/*
 * Called when a job may store a message or a change of one: until it is stored,
 * or the request ends, the zone does not answer "after=" for these users.
 */
void ngx_chat_message_changing(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t sender_id, uint32_t recipient_id);
void ngx_chat_message_changed(ngx_chat_ctx_t *ctx);


/*
 * Adds the members "display_name" and "avatar_url" of a user, and unless
 * chat_presence is off, "online" and "last_seen_at".
 */
void ngx_chat_user_profile(ngx_http_request_t *r, ngx_chat_json_t *json,
    uint32_t user_id, ngx_chat_profile_t *profile);


/* first steps of profile/ */

ngx_int_t ngx_chat_profile_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_profile_edit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/* adds a member, which is null if the value is empty */
void ngx_chat_profile_member(ngx_chat_json_t *json, const char *key,
    ngx_str_t *value);

/* the response after a query was rejected; returns the result for the step */
ngx_int_t ngx_chat_profile_declined(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_chat_db_job_t *job);

/*
 * Reads a display name; null is an empty name.  Returns NGX_OK, or the result
 * for the step.
 */
ngx_int_t ngx_chat_profile_field(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *field, ngx_str_t *name);


/* first steps of conversation/ */

ngx_int_t ngx_chat_conversation_list(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_conversation_typing(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_conversation_read(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* first steps of block/ */

ngx_int_t ngx_chat_block_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_block_add(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_block_remove(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/*
 * The response after a query was rejected because of the sender or a block.
 * "op" is the result of ngx_chat_block_get().  Returns NGX_DECLINED if there is
 * no reason any more.
 */
ngx_int_t ngx_chat_block_refused(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_query_block_t *op);


/*
 * Reads the blocks between the user and another one from the database into
 * *op.  Returns the result for the step; "next" then runs.
 */
ngx_int_t ngx_chat_block_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    uint32_t peer_id, ngx_chat_query_block_t *op, ngx_chat_step_pt next);


/* first steps of file/; "create" runs before the body is read */

ngx_int_t ngx_chat_file_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_file_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/*
 * The field "files" of a message: a list of tokens, which may be empty.
 * Returns NGX_OK, NGX_DECLINED if it is invalid, or NGX_ERROR.
 */
ngx_int_t ngx_chat_message_files(ngx_pool_t *pool, ngx_chat_field_t *field,
    ngx_str_t **tokens, ngx_uint_t *n);

/*
 * Writes the column "files" of these tokens from their rows, in any order.
 * Returns NGX_OK, NGX_DECLINED if there is no row of one, or NGX_ERROR.
 */
ngx_int_t ngx_chat_message_files_store(ngx_pool_t *pool, ngx_str_t *tokens,
    ngx_uint_t n, ngx_array_t *rows, ngx_str_t *files);

/* returns true if the column "files" has these tokens, in this order */
ngx_uint_t ngx_chat_message_files_same(ngx_str_t *files, ngx_str_t *tokens,
    ngx_uint_t n);


/* first steps of user/ */

ngx_int_t ngx_chat_user_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_user_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/*
 * For steps: looks up a user by name, with "trim" also without the white space
 * around it.  Returns NGX_OK with *user filled in, or the result for the step;
 * "next" then runs with *user filled in.  The id of an unknown user is 0.
 */
ngx_int_t ngx_chat_user_find(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *name, ngx_uint_t trim, ngx_chat_user_t *user,
    ngx_chat_step_pt next);


/* first steps of admin/ */

ngx_int_t ngx_chat_admin_users(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_admin_change(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_admin_audit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/* first steps of session/ and session/all/, and of chat_logout */

ngx_int_t ngx_chat_session_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_delete(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_logout(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_list(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_remove(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_session_end(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/* responds with the user, and with the token of a new session unless NULL */
ngx_int_t ngx_chat_session_show(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *token);

/*
 * Removes the sessions of all tokens of the request from the zone, after they
 * were deleted, and counts them.  "ended" is the number of deleted rows.  If
 * the query was "repeated", an earlier attempt may have deleted others.
 */
void ngx_chat_session_revoke(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t ended, ngx_uint_t repeated);


/* first steps of session/, chat_login and password/ */

ngx_int_t ngx_chat_login_create(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_login_form(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_login_password(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);


/* chat_status: first step */
ngx_int_t ngx_chat_status_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/* phase handler: counts requests when they have ended, with their status */
ngx_int_t ngx_chat_status_log_handler(ngx_http_request_t *r);


#endif /* _NGX_CHAT_ENDPOINT_H_INCLUDED_ */
