
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_HTTP_H_INCLUDED_
#define _NGX_CHAT_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_db.h"
#include "ngx_chat_sql.h"
#include "ngx_chat_text.h"
#include "ngx_chat_json.h"
#include "ngx_chat_cache.h"
#include "ngx_chat_hosts.h"
#include "ngx_chat_metrics.h"
#include "ngx_chat_password.h"
#include "ngx_chat_replica.h"


/*
 * What the rooms that speak HTTP share: the configuration, read-only after
 * start-up, and the context of a request.
 */


typedef struct ngx_chat_ctx_s          ngx_chat_ctx_t;
typedef struct ngx_chat_endpoint_s     ngx_chat_endpoint_t;
typedef struct ngx_chat_subscribers_s  ngx_chat_subscribers_t;
typedef struct ngx_chat_announcer_s    ngx_chat_announcer_t;


/* what a worker has of its own, made by init process */

typedef struct {
    ngx_chat_metrics_t         *metrics;
    ngx_chat_db_t              *db;
    ngx_chat_replica_t         *replica;       /* NULL: no chat_db_replica */
    ngx_chat_password_t        *password;
    ngx_chat_subscribers_t     *subscribers;
    ngx_chat_workers_t         *workers;       /* NULL: no chat_zone */
    ngx_chat_announcer_t       *announcer;     /* NULL: there is no need */
    ngx_chat_hosts_t           *hosts;         /* NULL: no chat_hosts */
} ngx_chat_worker_t;


/* where messages are published: an API location, of each URI one */

typedef struct {
    ngx_str_t                   uri;
    ngx_http_conf_ctx_t         conf;
} ngx_chat_publisher_t;


typedef struct {
    ngx_chat_db_conf_t          db;
    ngx_chat_db_conf_t          replica;       /* no servers: there are none */
    ngx_shm_zone_t             *zone;          /* NULL: no chat_zone */
    ngx_thread_pool_t          *thread_pool;
    ngx_str_t                   thread_pool_name;
    ngx_flag_t                  hosts;         /* there are others */

    ngx_int_t                   login_error_index;  /* of the variable */
    ngx_array_t                 publishers;    /* ngx_chat_publisher_t */
    unsigned                    used:1;        /* some location needs us */

    uint32_t                    generation;    /* of workers */
    ngx_chat_worker_t          *worker;        /* of this process */
} ngx_chat_main_conf_t;


#define NGX_CHAT_AUTH_OFF       0
#define NGX_CHAT_AUTH_SESSION   1
#define NGX_CHAT_AUTH_VARIABLE  2

#define NGX_CHAT_SECURE_OFF     0
#define NGX_CHAT_SECURE_ON      1
#define NGX_CHAT_SECURE_AUTO    2

#define NGX_CHAT_STATUS_OFF     0
#define NGX_CHAT_STATUS_ON      1
#define NGX_CHAT_STATUS_LIVE    2
#define NGX_CHAT_STATUS_READY   3


typedef struct {
    ngx_flag_t                  api;

    ngx_uint_t                  auth;          /* NGX_CHAT_AUTH_… */
    ngx_int_t                   auth_index;    /* of the variable */
    ngx_str_t                   auth_redirect;

    ngx_flag_t                  subscriber;
    ngx_str_t                   publish;       /* URI, empty: nobody is told */

    ngx_uint_t                  page_size;     /* messages */
    ngx_uint_t                  max_message;   /* characters */

    time_t                      session_lifetime;
    ngx_msec_t                  session_check; /* how long a cached session
                                                  is believed */

    ngx_str_t                   cookie;
    ngx_uint_t                  secure;        /* NGX_CHAT_SECURE_… */
    ngx_array_t                *origins;       /* ngx_str_t */

    ngx_str_t                   login_page;
    ngx_str_t                   login_redirect;
    ngx_str_t                   logout_redirect;

    ngx_uint_t                  status;        /* NGX_CHAT_STATUS_… */
} ngx_chat_loc_conf_t;


/*
 * A step of an endpoint.  It returns
 *   NGX_OK       go on with ctx->next at once
 *   NGX_AGAIN    somebody will wake us, then ctx->next is due
 *   a status     done; ctx->body is the answer's body
 *   NGX_DONE     done; ctx->page is where the request is to be sent instead
 *   NGX_ERROR    done, 500
 */

typedef ngx_int_t (*ngx_chat_step_pt)(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


struct ngx_chat_ctx_s {
    /* ngx_chat_auth.c: who is calling */
    ngx_chat_user_t             user;          /* id 0: nobody */
    time_t                      expires;
    u_char                      hash[NGX_CHAT_HASH_LEN];
    unsigned                    session:1;     /* hash is set */
    unsigned                    foreign:1;     /* came from another origin */
    unsigned                    authenticated:1;  /* looked up: user is valid */
    unsigned                    unavailable:1; /* could not be looked up */
    unsigned                    overtaken:1;   /* something was revoked during
                                                  the look-up */

    /* for the log phase and its variables */
    ngx_chat_request_e          request;       /* what it counts as */
    ngx_uint_t                  method;        /* as it came */
    ngx_uint_t                  db_time;       /* microseconds */
    unsigned                    db_asked:1;    /* db_time is set */

    /* ngx_chat_subscriber.c */
    ngx_uint_t                  epoch;

    /* ngx_chat_publish.c */
    ngx_str_t                   channels;      /* "5,7", or "5" */
    ngx_event_t                 publish;       /* timer, of its end */
    unsigned                    publishing:1;
    unsigned                    announced:1;   /* or nothing is to be */
    unsigned                    eof:1;         /* of the client, kept from */
    unsigned                    pending_eof:1; /* nchan while publishing */

    ngx_chat_unannounced_t     *unannounced;   /* in the zone, or NULL */

    /* ngx_chat_api.c: where the request stands */
    const ngx_chat_endpoint_t  *endpoint;
    ngx_chat_step_pt            next;
    ngx_chat_db_job_t          *job;           /* in flight, or NULL */
    ngx_chat_password_job_t    *password_job;  /* in flight, or NULL */
    void                       *data;          /* the endpoint's own */

    /* from the path: "message/<id>/", "conversation/<name>/read" */
    uint64_t                    id;
    ngx_str_t                   name;

    /* $chat_message_id: the one that is asked for, or is stored; 0: none */
    uint64_t                    message_id;

    /* the answer */
    ngx_str_t                   body;
    ngx_str_t                   type;          /* empty: JSON */
    ngx_str_t                   page;          /* with NGX_DONE */
    time_t                      retry_after;   /* seconds, 0: no header */

    unsigned                    write:1;       /* once begun, it ignores a
                                                  client that leaves */
    unsigned                    form:1;        /* a browser's form, not API */
};


typedef enum {
    NGX_CHAT_PATH_PLAIN = 0,                  /* "message/" */
    NGX_CHAT_PATH_ID,                         /* "message/<id>/" */
    NGX_CHAT_PATH_NAME                        /* "conversation/<name>/read/" */
} ngx_chat_path_e;


struct ngx_chat_endpoint_s {
    ngx_str_t                   path;         /* below the location */
    ngx_str_t                   tail;         /* behind <name> */
    ngx_chat_path_e             kind;
    ngx_chat_request_e          request;      /* counted as */

    ngx_chat_step_pt            get;          /* first steps, or NULL */
    ngx_chat_step_pt            post;         /* runs when the body is read */
    ngx_chat_step_pt            delete;

    ngx_str_t                   allow;
    ngx_str_t                   title;        /* for OPTIONS */
    unsigned                    public:1;     /* POST without a session */
};


/*
 * ngx_chat_http.c: what a request says, and what it is answered.
 */


/* a 503 asks the client to come back after so many seconds */
#define NGX_CHAT_HTTP_RETRY_AFTER       2
#define NGX_CHAT_HTTP_RETRY_AFTER_TEXT  "2"


/*
 * The request's body into fields: JSON, form or multipart, by its type.
 * NGX_OK, or what the step is to return.
 */
ngx_int_t ngx_chat_http_fields(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n);

/*
 * Fields that must be there and hold text; each is trimmed but those whose
 * bit is set in "raw" (passwords).  All that is wrong is told in one answer.
 * NGX_OK, or what the step is to return.
 */
ngx_int_t ngx_chat_http_required(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_uint_t raw);

/* the parameters of the query string into fields; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_http_args(ngx_http_request_t *r, ngx_chat_field_t *fields,
    ngx_uint_t n);

/* a header or cookie by its nginx variable's name; NGX_DECLINED: not sent */
ngx_int_t ngx_chat_http_header(ngx_http_request_t *r, const char *variable,
    ngx_str_t *value);

/* "host:port", as the client wrote it; empty if it did not */
void ngx_chat_http_host(ngx_http_request_t *r, ngx_str_t *host);

/* "http://host:port", as the client wrote it; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_http_base(ngx_http_request_t *r, ngx_str_t *base);

/* of a link: bytes that are no part of one, as a client may send; not "%" */
ngx_int_t ngx_chat_http_escape(ngx_http_request_t *r, ngx_str_t *text);

ngx_int_t ngx_chat_http_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/* writes the name of a person's channel in an epoch; returns its end */
#define NGX_CHAT_CHANNEL_LEN  (NGX_INT32_LEN + 1 + NGX_INT_T_LEN)

u_char *ngx_chat_http_channel(u_char *p, uint32_t user_id, ngx_uint_t epoch);

/* NULL without chat_zone, which every call of the zone takes */
ngx_chat_cache_t *ngx_chat_http_cache(ngx_http_request_t *r);

ngx_chat_metrics_t *ngx_chat_http_metrics(ngx_http_request_t *r);

/* see ngx_chat_workers.h */
ngx_uint_t ngx_chat_http_epoch(ngx_http_request_t *r);

void ngx_chat_http_count(ngx_http_request_t *r, ngx_chat_count_e counter);

/* see ngx_chat_replica.h */
void ngx_chat_http_event(ngx_http_request_t *r, uint32_t user_id);


/* Answers: each returns what the step is to return. */

/* {"detail":"…"} */
ngx_int_t ngx_chat_http_error(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, const char *detail);

/* 400 {"<field>":["…"]} */
ngx_int_t ngx_chat_http_invalid(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *field, const char *problem);

/* the document is the body */
ngx_int_t ngx_chat_http_answer(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_json_t *json);

/* 302, to a path of this host */
ngx_int_t ngx_chat_http_redirect(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *location);

/* these are steps, too */
ngx_int_t ngx_chat_http_not_found(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_http_unavailable(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_http_failed(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_http_denied(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_http_foreign(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_http_no_method(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_http_options(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_http_root(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/* sends ctx->body with this status; what ngx_http_finalize_request() takes */
ngx_int_t ngx_chat_http_send(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t status);


extern ngx_module_t  ngx_chat_module;


#endif /* _NGX_CHAT_HTTP_H_INCLUDED_ */
