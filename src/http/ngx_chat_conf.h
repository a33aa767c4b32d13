
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_CONF_H_INCLUDED_
#define _NGX_CHAT_CONF_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/*
 * Setters of directives.  In chat_api, chat_login, chat_logout and chat_status,
 * cmd->post points to the content handler; in chat_subscriber, to the handler
 * of authenticated requests.
 */

char *ngx_chat_conf_db(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_db_replica(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_profile(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_subscriber(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_login(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_logout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_files(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_file_quota(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_chat_conf_change_window(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* checks of values, for ngx_conf_post_t */

char *ngx_chat_conf_positive(ngx_conf_t *cf, void *post, void *data);


/* sets the password to the only line of a file; "path" becomes absolute */
char *ngx_chat_conf_password_file(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *password);

/* sets the content handler of a location, cmd->post */
char *ngx_chat_conf_handler(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_chat_loc_conf_t *chlcf);

/* "create" and "merge" of the directives of files */
void ngx_chat_conf_files_create(ngx_chat_loc_conf_t *conf);
char *ngx_chat_conf_files_merge(ngx_conf_t *cf, ngx_chat_loc_conf_t *prev,
    ngx_chat_loc_conf_t *conf);

/* checks chat_db_replica, and adds the parameters of chat_db */
ngx_int_t ngx_chat_conf_db_replica_init(ngx_conf_t *cf,
    ngx_chat_main_conf_t *chmcf);

/*
 * Logs an error and returns NGX_ERROR if an earlier parameter has the name of
 * parameter n.
 */
ngx_int_t ngx_chat_conf_once(ngx_conf_t *cf, ngx_uint_t n);


#endif /* _NGX_CHAT_CONF_H_INCLUDED_ */
