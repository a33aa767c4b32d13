
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_CONF_H_INCLUDED_
#define _NGX_CHAT_CONF_H_INCLUDED_


#include "ngx_chat_http.h"


/*
 * The directives that take more than one of nginx's own slots: each checks its
 * value, and says what is wrong with it.
 */

char *ngx_chat_conf_db(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_db_replica(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_publish(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_chat_conf_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_origins(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_chat_conf_login(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_logout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_chat_conf_positive(ngx_conf_t *cf, void *post, void *data);
char *ngx_chat_conf_positive_msec(ngx_conf_t *cf, void *post, void *data);


#endif /* _NGX_CHAT_CONF_H_INCLUDED_ */
