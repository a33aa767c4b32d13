
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_HTTP_H_INCLUDED_
#define _NGX_CHAT_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_db.h"
#include "src/query/ngx_chat_query.h"
#include "src/core/ngx_chat_form.h"
#include "src/core/ngx_chat_string.h"
#include "src/core/ngx_chat_json.h"
#include "src/core/ngx_chat_file.h"
#include "src/shm/ngx_chat_zone.h"
#include "src/core/ngx_chat_metrics.h"
#include "src/core/ngx_chat_password.h"
#include "src/query/ngx_chat_replica.h"
#include "src/core/ngx_chat_turn.h"
#include "src/http/ngx_chat_redis_conf.h"


/*
 * The structures of all files that handle requests: configuration, which is
 * read-only after start, state of a worker, and context of a request.
 */


typedef struct ngx_chat_ctx_s          ngx_chat_ctx_t;
typedef struct ngx_chat_endpoint_s     ngx_chat_endpoint_t;

typedef struct ngx_chat_sweep_s        ngx_chat_sweep_t;

/* in src/push */
typedef struct ngx_chat_subscribers_s  ngx_chat_subscribers_t;
typedef struct ngx_chat_presence_s  ngx_chat_presence_t;
typedef struct ngx_chat_outbox_s       ngx_chat_outbox_t;
typedef struct ngx_chat_channels_s     ngx_chat_channels_t;
typedef struct ngx_chat_notify_s       ngx_chat_notify_t;
typedef struct ngx_chat_redis_s        ngx_chat_redis_t;


/*
 * A step of an endpoint.  It returns
 *   NGX_OK       continue with ctx->next
 *   NGX_AGAIN    a wake-up follows, which continues with ctx->next
 *   a status     send ctx->response
 *   NGX_DONE     redirect internally to ctx->response.page
 *   NGX_DECLINED read the body into a file, and continue with ctx->next
 *   NGX_ERROR    send status 500
 */

typedef ngx_int_t (*ngx_chat_step_pt)(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);

typedef void (*ngx_chat_submitted_pt)(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* state of a worker, created by init process */

typedef struct {
    ngx_chat_metrics_t         *metrics;
    ngx_chat_db_t              *db;
    ngx_chat_replica_t         *replica;       /* NULL: no chat_db_replica */
    ngx_chat_password_t        *password;
    ngx_chat_files_t           *files;         /* NULL: no chat_files */
    ngx_chat_sweep_t           *sweep;         /* NULL: no chat_files */
    ngx_chat_subscribers_t     *subscribers;
    const ngx_chat_zone_t      *zone;
    ngx_chat_changed_t         *changed;       /* of the zone; NULL: several
                                                  hosts, or replicas */
    ngx_chat_presence_zone_t   *presence_zone; /* NULL: chat_presence off */
    ngx_chat_presence_t        *presence;      /* NULL: no chat_subscriber */
    ngx_chat_outbox_t          *outbox;        /* NULL: no chat_zone or
                                                  chat_publish */
    ngx_chat_channels_t        *channels;      /* NULL: no chat_subscriber */
    ngx_chat_notify_t          *notify;        /* NULL: no chat_publish */
    ngx_chat_redis_t           *redis;         /* NULL: no chat_redis */
    ngx_chat_turns_t           *turns;         /* queries, by user */
    ngx_chat_turns_t           *logins;        /* hashes, by address */
    ngx_chat_turns_t           *changes;       /* password changes, by user */
} ngx_chat_worker_t;


typedef struct {
    ngx_chat_db_conf_t          db;
    ngx_chat_db_conf_t          replica;       /* no servers: no replicas */
    ngx_chat_redis_conf_t       redis;         /* no servers: one host */
    ngx_shm_zone_t             *zone;          /* NULL: no chat_zone */
    ngx_thread_pool_t          *thread_pool;
    ngx_str_t                   thread_pool_name;
    ngx_flag_t                  hosts;         /* chat_hosts */
    ngx_flag_t                  presence;      /* chat_presence */

    ngx_str_t                   api_base;      /* URI of the API in messages */
    ngx_str_t                   files;         /* directory; empty: no
                                                  chat_files */

    ngx_int_t                   login_error_index;  /* $chat_login_error */
    ngx_array_t                 publishers;    /* ngx_chat_publisher_t */
    ngx_array_t                 locations;     /* ngx_chat_location_t */
    ngx_array_t                 groups;        /* ngx_str_t: nchan_channel_group
                                                  of locations */
    unsigned                    several:1;     /* hosts: chat_hosts, or
                                                  chat_redis */
    unsigned                    used:1;        /* in at least one location */
    unsigned                    events:1;      /* there is a location with
                                                  chat_subscriber events */

    ngx_uint_t                  generation;    /* generation of the workers */
    ngx_chat_worker_t          *worker;        /* state of this process */
} ngx_chat_main_conf_t;


/* maximum length of a channel group */
#define NGX_CHAT_GROUP_MAX      255

#define NGX_CHAT_AUTH_OFF       0
#define NGX_CHAT_AUTH_SESSION   1
#define NGX_CHAT_AUTH_VARIABLE  2

#define NGX_CHAT_SECURE_OFF     0
#define NGX_CHAT_SECURE_ON      1
#define NGX_CHAT_SECURE_AUTO    2

#define NGX_CHAT_SUBSCRIBER_OFF     0
#define NGX_CHAT_SUBSCRIBER_HINTS   1
#define NGX_CHAT_SUBSCRIBER_EVENTS  2

#define NGX_CHAT_STATUS_OFF     0
#define NGX_CHAT_STATUS_ON      1
#define NGX_CHAT_STATUS_LIVE    2
#define NGX_CHAT_STATUS_READY   3


typedef struct ngx_chat_loc_conf_s  ngx_chat_loc_conf_t;

/* chat_profile */

typedef struct {
    ngx_http_complex_value_t    display_name;
    ngx_http_complex_value_t    avatar_url;
    unsigned                    avatar:1;      /* avatar_url is set */
} ngx_chat_profile_conf_t;


struct ngx_chat_loc_conf_s {
    ngx_http_handler_pt         handler;       /* content handler, if it is one
                                                  of this module */
    ngx_flag_t                  api;

    ngx_uint_t                  auth;          /* NGX_CHAT_AUTH_* */
    ngx_int_t                   auth_index;    /* index of the variable */
    ngx_str_t                   auth_redirect;
    ngx_uint_t                  auth_create;   /* flag: add unknown users */
    ngx_chat_profile_conf_t    *profile;       /* NULL: no chat_profile */

    ngx_uint_t                  subscriber;    /* NGX_CHAT_SUBSCRIBER_* */
    ngx_chat_step_pt            subscribe;     /* step of chat_subscriber */
    ngx_str_t                   group_name;    /* group=; empty: none */
    ngx_uint_t                  group;         /* index in chmcf->groups */
    ngx_str_t                   publish;       /* URI; empty: do not publish */

    ngx_uint_t                  page_size;     /* messages per page */
    ngx_uint_t                  max_message;   /* length, characters */
    ngx_msec_t                  body_timeout;  /* for the complete body, ms */
    time_t                      change_window; /* seconds; 0: no changes */

    time_t                      session_lifetime;  /* seconds */
    ngx_msec_t                  session_check; /* maximum age of a session in
                                                  the zone, ms */

    ngx_str_t                   cookie;
    ngx_uint_t                  secure;        /* NGX_CHAT_SECURE_* */
    ngx_array_t                *origins;       /* ngx_str_t */

    ngx_str_t                   login_page;
    ngx_str_t                   login_redirect;
    ngx_str_t                   logout_redirect;

    ngx_uint_t                  status;        /* NGX_CHAT_STATUS_* */

    ngx_str_t                   files;         /* directory; empty: not the
                                                  location of chat_files */
    ngx_str_t                   files_uri;     /* of the location with them */
    ngx_path_t                 *files_temp;    /* temporary files */
    ngx_str_t                   thumbs_uri;    /* empty: no thumbnails */
    off_t                       max_file;      /* bytes */
    off_t                       file_quota;    /* bytes per user and day */
    size_t                      file_rate;     /* minimum, bytes per second */
};


/* a location with chat_subscriber */

typedef struct {
    ngx_chat_loc_conf_t        *chlcf;
    void                      **loc_conf;      /* of all modules */
} ngx_chat_location_t;


/* ngx_chat_auth.c: the session of the request */

typedef struct {
    time_t                      expires;
    ngx_chat_hash_t             hash;          /* key of the valid session */
    ngx_chat_hash_t             tokens[NGX_CHAT_QUERY_SESSIONS];
    ngx_uint_t                  ntokens;       /* including invalid ones */
    ngx_msec_t                  checked;       /* ngx_current_msec of the last
                                                  check */
    ngx_uint_t                  revision;      /* of the zone, before that */
    ngx_int_t                   origin;        /* ngx_chat_origin(); NGX_OK for
                                                  requests without cookie */

    unsigned                    session:1;     /* hash and expires are valid */
    unsigned                    bearer:1;      /* token of Authorization */
    unsigned                    ambiguous:1;   /* sessions of two users */
    unsigned                    unknown:1;     /* the variable has a name that
                                                  is not that of an active
                                                  user */
    unsigned                    done:1;        /* ctx->user is valid */
    unsigned                    unavailable:1; /* the lookup failed */
} ngx_chat_ctx_auth_t;


/* ngx_chat_status.c: log phase and variables */

typedef struct {
    ngx_chat_request_e          request;       /* endpoint in the metrics */
    ngx_uint_t                  method;        /* as received */
    ngx_uint_t                  db_time;       /* total of all queries, us */
    unsigned                    db_used:1;     /* db_time is valid */
} ngx_chat_ctx_log_t;


/* src/push */

typedef struct {
    ngx_str_t                   channel;       /* of a subscriber: "5.2" */
    ngx_str_t                   channels;      /* of a publish: "5.2,7.0" */
    ngx_chat_outbox_entry_t    *entry;         /* in the zone, or NULL */
    ngx_pool_cleanup_t         *changing;      /* ngx_chat_message_changing(),
                                                  or NULL */

    unsigned                    notified:1;    /* or no notification is due */
} ngx_chat_ctx_push_t;


/* ngx_chat_step.c */

typedef struct {
    ngx_chat_step_pt            first;         /* first step of the endpoint,
                                                  after the second check */
    ngx_event_t                 body_timer;
    ngx_chat_db_job_t          *job;           /* in progress, or NULL */
    ngx_chat_turn_t             turn;          /* turn of the job, which is not
                                                  submitted before */
    ngx_chat_submitted_pt       submitted;     /* called after submission, or
                                                  NULL */
    ngx_chat_password_job_t    *password_job;  /* in progress, or NULL */
    ngx_chat_file_job_t        *file_job;      /* in progress, or NULL */
    off_t                       received;      /* of an upload, bytes */
    off_t                       counted;       /* at the last check of the
                                                  rate */

    unsigned                    body_pending:1;
    unsigned                    upload:1;      /* the body is a file */
    unsigned                    parked:1;      /* waits for a turn */
} ngx_chat_ctx_step_t;


typedef struct {
    ngx_str_t                   body;
    ngx_str_t                   type;          /* empty: application/json */
    ngx_str_t                   page;          /* URI, with NGX_DONE */
    time_t                      retry_after;   /* seconds, 0: no header */
} ngx_chat_ctx_response_t;


struct ngx_chat_ctx_s {
    ngx_chat_user_t             user;          /* id 0: unauthenticated */

    const ngx_chat_endpoint_t  *endpoint;
    ngx_chat_step_pt            next;
    void                       *data;          /* state of the endpoint */
    void                       *upload;        /* as data; kept while the
                                                  session is checked again */

    uint64_t                    id;            /* in "message/<id>/" */
    ngx_str_t                   name;          /* in "conversation/<name>/" */
    uint64_t                    message_id;    /* $chat_message_id, 0: none */

    unsigned                    write:1;       /* continue if the client
                                                  disconnects */
    unsigned                    form:1;        /* chat_login, chat_logout */

    ngx_chat_ctx_auth_t         auth;
    ngx_chat_ctx_log_t          log;
    ngx_chat_ctx_push_t         push;
    ngx_chat_ctx_step_t         step;
    ngx_chat_ctx_response_t     response;
};


typedef enum {
    NGX_CHAT_PATH_PLAIN = 0,                  /* "message/" */
    NGX_CHAT_PATH_ID,                         /* "message/<id>/" */
    NGX_CHAT_PATH_NAME,                       /* "conversation/<name>/read/" */
    NGX_CHAT_PATH_FILE                        /* "file/<token>/<any name>" */
} ngx_chat_path_e;


struct ngx_chat_endpoint_s {
    ngx_str_t                   path;         /* below the location */
    ngx_str_t                   tail;         /* after <name> */
    ngx_chat_path_e             kind;
    ngx_chat_request_e          request;      /* endpoint in the metrics */

    ngx_chat_step_pt            get;          /* first steps, or NULL */
    ngx_chat_step_pt            post;         /* called with the body */
    ngx_chat_step_pt            put;          /* the body is ignored */
    ngx_chat_step_pt            patch;        /* called with the body */
    ngx_chat_step_pt            delete;

    const char                 *title;        /* in responses to OPTIONS */
    ngx_uint_t                  same_origin;  /* methods that must be
                                                 same-origin, bit mask */
    unsigned                    admin:1;      /* for administrators only */
    unsigned                    public:1;     /* POST needs no session */
    unsigned                    upload:1;     /* POST: the first step is called
                                                 before the body is read */
    unsigned                    files:1;      /* with chat_files only */
    unsigned                    form:1;       /* HTML form, not the API */
};


/* returns the context of a request, created if necessary; NULL: no memory */
ngx_chat_ctx_t *ngx_chat_http_ctx(ngx_http_request_t *r);

/*
 * Returns the context, also after an internal redirect, which clears r->ctx;
 * NULL: none.
 */
ngx_chat_ctx_t *ngx_chat_http_ctx_kept(ngx_http_request_t *r);

/* returns the endpoint of a location in the metrics, before routing */
ngx_chat_request_e ngx_chat_http_request(ngx_chat_loc_conf_t *chlcf);



/* state of this worker */

#define ngx_chat_http_worker(r)                                               \
    (((ngx_chat_main_conf_t *)                                                \
      ngx_http_get_module_main_conf(r, ngx_chat_module))->worker)

/* URI of the API in messages */
#define ngx_chat_http_base(r)                                                 \
    (&((ngx_chat_main_conf_t *)                                               \
       ngx_http_get_module_main_conf(r, ngx_chat_module))->api_base)

#define ngx_chat_http_zone(r)  (ngx_chat_http_worker(r)->zone)

/* revision of sessions */
#define ngx_chat_http_revision(r)                                             \
    ngx_chat_revocation_revision(ngx_chat_http_zone(r)->revocations)

#define ngx_chat_http_metrics(r)  (ngx_chat_http_worker(r)->metrics)

#define ngx_chat_http_count(r, counter)                                       \
    ngx_chat_metrics_count(ngx_chat_http_metrics(r), counter)

#define ngx_chat_http_write(r, user_id)                                       \
    ngx_chat_replica_write(ngx_chat_http_worker(r)->replica, user_id)


extern ngx_module_t  ngx_chat_module;


/* Reading a request: body fields, arguments, headers, host. */


/*
 * Parses the request body into fields: JSON, a form or multipart, depending on
 * Content-Type.  Returns NGX_OK, or the result for the step.
 */
ngx_int_t ngx_chat_request_fields(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n);

/*
 * Checks that the fields are present and contain text, and trims them.  "kinds"
 * marks exceptions: a raw field, such as a password, is not trimmed and may
 * consist of white space; a name is not trimmed either, and must have a visible
 * character.  One response lists all errors.  Returns NGX_OK, or the result for
 * the step.
 */

#define NGX_CHAT_REQUEST_FIELD_RAW(i)   (1 << (i))
#define NGX_CHAT_REQUEST_FIELD_NAME(i)  (0x10000 << (i))

ngx_int_t ngx_chat_request_required(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *fields, ngx_uint_t n, ngx_uint_t kinds);

/* parses the query string into fields; returns NGX_OK or NGX_ERROR */
#define ngx_chat_request_args(r, fields, n)                                   \
    ngx_chat_form_parse((r)->pool, &(r)->args, fields, n)

/*
 * Returns the number of rows requested with the "limit" argument.  Returns
 * NGX_OK, or the result for the step.
 */

#define NGX_CHAT_REQUEST_LIMIT      50
#define NGX_CHAT_REQUEST_LIMIT_MAX  100

ngx_int_t ngx_chat_request_limit(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_chat_field_t *field, ngx_uint_t *limit);

/*
 * Returns the value of a variable, such as "http_accept"; NGX_DECLINED if it is
 * empty.
 */
ngx_int_t ngx_chat_request_header(ngx_http_request_t *r, const char *variable,
    ngx_str_t *value);

/* returns "host:port" as sent by the client; empty if it sent none */
void ngx_chat_request_host(ngx_http_request_t *r, ngx_str_t *host);

/* returns "http://host:port" as seen by the client; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_request_base(ngx_http_request_t *r, ngx_str_t *base);


/*
 * Responses.  These functions fill in ctx->response and return the result for
 * the step, a status or NGX_ERROR.  The step runner sends the response.
 */


/* Retry-After of a 503 response, seconds */
#define NGX_CHAT_RESPONSE_RETRY_AFTER  2


/* {"detail":"..."} */
ngx_int_t ngx_chat_response_error(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, const char *detail);
ngx_int_t ngx_chat_response_detail(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *detail);

/* 400 {"<field>":["..."]} */
ngx_int_t ngx_chat_response_invalid(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *field, const char *problem);

/* the document as body */
ngx_int_t ngx_chat_response_json(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t status, ngx_chat_json_t *json);

/* 302 to a path of this host */
ngx_int_t ngx_chat_response_redirect(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_str_t *location);


/* these are also steps */

ngx_int_t ngx_chat_response_not_found(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_response_unavailable(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_response_internal_error(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_response_forbidden(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_response_cross_origin(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_response_other_user(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_response_not_allowed(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
ngx_int_t ngx_chat_response_options(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);


/* adds a response header; "name" is not copied; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_response_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/* adds Retry-After unless "seconds" is 0; NGX_OK or NGX_ERROR */
ngx_int_t ngx_chat_response_retry_after(ngx_http_request_t *r, time_t seconds);

/*
 * Sends ctx->response with the status.  Returns the argument for
 * ngx_http_finalize_request().
 */
ngx_int_t ngx_chat_response_send(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_int_t status);


/*
 * Requests that share a socket with others: HTTP/2 and HTTP/3 streams.  nchan
 * does not support HTTP/3, and nginx reports the events of QUIC streams
 * differently from those of a connection.
 */


/*
 * Returns true for a QUIC stream.  nginx sets "shared" if a connection uses the
 * socket of the listener, which does not occur over TCP.
 */
#define ngx_chat_stream_quic(c)  ((c)->shared)


/*
 * Filters the read events of an HTTP/3 stream.  A subscriber receives only
 * events that report an error.  A write in progress continues when the client
 * closes the connection.  Other requests are not affected.
 */
void ngx_chat_stream_watch(ngx_http_request_t *r);

/* returns true if the client has closed an HTTP/3 stream or stopped reading */
ngx_uint_t ngx_chat_stream_gone(ngx_connection_t *c);

/*
 * Resets a stream, in an event posted for it.  Returns NGX_OK, or NGX_DECLINED
 * if the request does not share its socket.
 */
ngx_int_t ngx_chat_stream_reset(ngx_http_request_t *r);

/* called in postconfiguration */
void ngx_chat_stream_filter_init(void);


/* the module's variables, added before the configuration is read */
ngx_int_t ngx_chat_variables_add(ngx_conf_t *cf);


/*
 * Adds an absolute link to another page of the requested list, or null for page
 * 0.  Other arguments are kept and sorted by key.  The link to page 1 has no
 * "page".  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_chat_request_page_link(ngx_http_request_t *r,
    ngx_chat_json_t *json, const char *key, uint64_t page);


#endif /* _NGX_CHAT_HTTP_H_INCLUDED_ */
