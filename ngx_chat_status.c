
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_chat_http.h"
#include "ngx_chat_api.h"
#include "ngx_chat_auth.h"
#include "ngx_chat_status.h"


/* how long the database may take for "ready", milliseconds */
#define NGX_CHAT_STATUS_READY_TIMEOUT  1000

#define NGX_CHAT_STATUS_SIZE           16384  /* of the text at first */
#define NGX_CHAT_STATUS_LINE           512    /* at most */

/* sums and bounds are printed by the millionth: times are microseconds */
#define NGX_CHAT_STATUS_MILLION        1000000
#define NGX_CHAT_STATUS_DECIMAL_LEN    (NGX_INT64_LEN + 8)


/* beside the gauges of the processes */

enum {
    NGX_CHAT_STATUS_PROCESSES = NGX_CHAT_GAUGE_MAX,
    NGX_CHAT_STATUS_SHARED,
    NGX_CHAT_STATUS_DB_LIMIT,
    NGX_CHAT_STATUS_GAUGES
};


/* a sample of a counter or gauge */

typedef struct {
    const char                 *name;          /* NULL: of the one above */
    const char                 *help;
    const char                 *label;         /* NULL: none */
    const char                 *value;
    ngx_uint_t                  index;
} ngx_chat_status_row_t;


/* text for Prometheus, growing in the request's pool */

typedef struct {
    ngx_pool_t                 *pool;
    u_char                     *start;
    u_char                     *pos;
    u_char                     *end;
    unsigned                    openmetrics:1;
    unsigned                    error:1;       /* no memory */
} ngx_chat_status_text_t;


typedef struct {
    ngx_chat_db_job_t           job;
    ngx_event_t                 timer;
} ngx_chat_status_ready_t;


static ngx_int_t ngx_chat_status_show(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_status_word(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, const char *word);
static void ngx_chat_status_counts(ngx_chat_metrics_t *metrics,
    ngx_uint_t *counts);
static void ngx_chat_status_gauges(ngx_http_request_t *r, ngx_uint_t *gauges);
static ngx_uint_t ngx_chat_status_buckets(ngx_chat_histogram_t *histogram,
    ngx_uint_t *buckets);
static ngx_str_t ngx_chat_status_decimal(u_char *buf, uint64_t millionths);
static ngx_str_t ngx_chat_status_code(u_char *buf, ngx_uint_t i);

static ngx_int_t ngx_chat_status_json(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_status_json_rows(ngx_chat_json_t *json,
    const ngx_chat_status_row_t *row, ngx_uint_t *values);
static void ngx_chat_status_json_requests(ngx_chat_json_t *json,
    ngx_chat_metrics_totals_t *totals);
static void ngx_chat_status_json_queries(ngx_chat_json_t *json,
    ngx_chat_metrics_totals_t *totals);
static void ngx_chat_status_json_histogram(ngx_chat_json_t *json,
    ngx_chat_histogram_t *histogram, const ngx_uint_t *bounds,
    ngx_uint_t unit);

static ngx_int_t ngx_chat_status_text(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx, ngx_uint_t openmetrics);
static void ngx_chat_status_text_rows(ngx_chat_status_text_t *text,
    const char *type, const ngx_chat_status_row_t *row, ngx_uint_t *values);
static void ngx_chat_status_text_requests(ngx_chat_status_text_t *text,
    ngx_chat_metrics_totals_t *totals);
static void ngx_chat_status_text_queries(ngx_chat_status_text_t *text,
    ngx_chat_metrics_totals_t *totals);
static void ngx_chat_status_text_histogram(ngx_chat_status_text_t *text,
    const char *name, const ngx_str_t *query, ngx_chat_histogram_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t unit);
static void ngx_chat_status_text_family(ngx_chat_status_text_t *text,
    const char *name, const char *type, const char *help);
static void ngx_chat_status_print(ngx_chat_status_text_t *text,
    const char *fmt, ...);

static ngx_int_t ngx_chat_status_ready(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static ngx_int_t ngx_chat_status_ready_done(ngx_http_request_t *r,
    ngx_chat_ctx_t *ctx);
static void ngx_chat_status_ready_late(ngx_event_t *ev);
static void ngx_chat_status_ready_cleanup(void *data);


static const ngx_chat_status_row_t  ngx_chat_status_counter_rows[] = {

    { "messages_sent", "Messages stored.", NULL, NULL,
      NGX_CHAT_COUNT_SENT },

    { "publishes", "Messages handed to nchan.",
      "result", "ok", NGX_CHAT_COUNT_PUBLISHED },
    { NULL, NULL, "result", "failed", NGX_CHAT_COUNT_PUBLISH_FAILED },

    { "announced_late", "Messages announced by another than who stored them.",
      NULL, NULL, NGX_CHAT_COUNT_ANNOUNCED_LATE },

    { "logins", "Log-ins.", "result", "ok", NGX_CHAT_COUNT_LOGIN_OK },
    { NULL, NULL, "result", "failed", NGX_CHAT_COUNT_LOGIN_FAILED },
    { NULL, NULL, "result", "throttled", NGX_CHAT_COUNT_LOGIN_THROTTLED },
    { NULL, NULL, "result", "busy", NGX_CHAT_COUNT_LOGIN_BUSY },

    { "sessions_begun", "Sessions begun, for browsers and for programs.",
      "kind", "cookie", NGX_CHAT_COUNT_SESSION_COOKIE },
    { NULL, NULL, "kind", "token", NGX_CHAT_COUNT_SESSION_TOKEN },

    { "sessions_ended", "Sessions removed: by a log-out, by a change of "
      "password, and expired ones at the person's next log-in.",
      "reason", "logout", NGX_CHAT_COUNT_SESSION_LOGOUT },
    { NULL, NULL, "reason", "password", NGX_CHAT_COUNT_SESSION_PASSWORD },
    { NULL, NULL, "reason", "expired", NGX_CHAT_COUNT_SESSION_EXPIRED },

    { "cache_hits", "Look-ups answered by the zone.",
      "cache", "session", NGX_CHAT_COUNT_SESSION_HIT },
    { NULL, NULL, "cache", "user", NGX_CHAT_COUNT_USER_HIT },
    { NULL, NULL, "cache", "users", NGX_CHAT_COUNT_EVERYBODY_HIT },
    { NULL, NULL, "cache", "message", NGX_CHAT_COUNT_MESSAGE_HIT },

    { "cache_misses", "Look-ups that went on to the database.",
      "cache", "session", NGX_CHAT_COUNT_SESSION_MISS },
    { NULL, NULL, "cache", "user", NGX_CHAT_COUNT_USER_MISS },
    { NULL, NULL, "cache", "users", NGX_CHAT_COUNT_EVERYBODY_MISS },
    { NULL, NULL, "cache", "message", NGX_CHAT_COUNT_MESSAGE_MISS },

    { "db_connects", "Connections to the database, and failures to make one.",
      "result", "ok", NGX_CHAT_COUNT_DB_CONNECTED },
    { NULL, NULL, "result", "failed", NGX_CHAT_COUNT_DB_CONNECT_FAILED },

    { "db_connections_lost", "Connections to the database that have ended.",
      NULL, NULL, NGX_CHAT_COUNT_DB_LOST },

    { "db_retries", "Queries tried again, after a conflict or a lost "
      "connection.", NULL, NULL, NGX_CHAT_COUNT_DB_RETRIED },

    { "db_failures", "Queries refused at once, as too many waited or the "
      "database was known to be out of reach, and those given up.",
      "reason", "rejected", NGX_CHAT_COUNT_DB_REJECTED },
    { NULL, NULL, "reason", "given_up", NGX_CHAT_COUNT_DB_GIVEN_UP },

    { "db_replica_reads", "Reads that a replica may do: done by one (ok), or "
      "by the database, as the person's news are too recent, or no replica "
      "had come far enough, or could be asked.",
      "result", "ok", NGX_CHAT_COUNT_REPLICA_OK },
    { NULL, NULL, "result", "recent", NGX_CHAT_COUNT_REPLICA_RECENT },
    { NULL, NULL, "result", "lagging", NGX_CHAT_COUNT_REPLICA_LAGGING },
    { NULL, NULL, "result", "unavailable",
      NGX_CHAT_COUNT_REPLICA_UNAVAILABLE },

    { NULL, NULL, NULL, NULL, 0 }
};


static const ngx_chat_status_row_t  ngx_chat_status_gauge_rows[] = {

    { "processes", "Workers, old ones of a reload included.", NULL, NULL,
      NGX_CHAT_STATUS_PROCESSES },

    { "shared", "Whether these are figures of all workers, not only of the "
      "one that answers for lack of a chat_zone.", NULL, NULL,
      NGX_CHAT_STATUS_SHARED },

    { "sockets", "Sockets open: WebSocket, EventSource, long-polling.",
      NULL, NULL, NGX_CHAT_GAUGE_SOCKETS },

    { "passwords_pending", "Passwords being hashed, and waiting for it.",
      NULL, NULL, NGX_CHAT_GAUGE_PASSWORDS },

    { "db_connections", "Connections to the database.", NULL, NULL,
      NGX_CHAT_GAUGE_DB_CONNECTIONS },

    { "db_connections_busy", "Connections with a query under way.", NULL, NULL,
      NGX_CHAT_GAUGE_DB_BUSY },

    { "db_connections_limit", "Connections there may be.", NULL, NULL,
      NGX_CHAT_STATUS_DB_LIMIT },

    { "db_queries_waiting", "Queries that wait for a connection.", NULL, NULL,
      NGX_CHAT_GAUGE_DB_WAITING },

    { "db_replica_connections", "Connections to replicas.", NULL, NULL,
      NGX_CHAT_GAUGE_REPLICA_CONNECTIONS },

    { NULL, NULL, NULL, NULL, 0 }
};


static const char *const  ngx_chat_status_endpoints[] = {
    "message/",
    "message/ID/",
    "user/",
    "user/ID/",
    "conversation/",
    "conversation/NAME/read/",
    "session/",
    "password/",
    "root",
    "login",
    "logout",
    "socket",
    "other"
};

static const char *const  ngx_chat_status_methods[] = {
    "GET", "POST", "DELETE", "other"
};


ngx_int_t
ngx_chat_status_log_handler(ngx_http_request_t *r)
{
    ngx_uint_t            method;
    ngx_uint_t            status;
    ngx_chat_ctx_t       *ctx;
    ngx_chat_request_e    request;
    ngx_chat_loc_conf_t  *chlcf;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_chat_auth_ctx_kept(r);

    if (ctx) {
        request = ctx->request;
        method = ctx->method;

    } else {
        /* it was answered before it came to us: a body too large */

        chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

        request = ngx_chat_auth_request(chlcf);
        method = r->method;
    }

    if (request == NGX_CHAT_REQUEST_MAX) {
        return NGX_OK;
    }

    switch (method) {

    case NGX_HTTP_GET:
    case NGX_HTTP_HEAD:
        method = NGX_CHAT_METHOD_GET;
        break;

    case NGX_HTTP_POST:
        method = NGX_CHAT_METHOD_POST;
        break;

    case NGX_HTTP_DELETE:
        method = NGX_CHAT_METHOD_DELETE;
        break;

    default:
        method = NGX_CHAT_METHOD_OTHER;
    }

    status = r->err_status ? r->err_status : r->headers_out.status;

    ngx_chat_metrics_request(ngx_chat_http_metrics(r), request, method,
                             status);

    return NGX_OK;
}


/*
 *   get -> show
 *       -> word (live)
 *       -> ready -> ready_done
 */

ngx_int_t
ngx_chat_status_get(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_loc_conf_t  *chlcf;

    chlcf = ngx_http_get_module_loc_conf(r, ngx_chat_module);

    switch (chlcf->status) {

    case NGX_CHAT_STATUS_LIVE:
        return ngx_chat_status_word(r, ctx, "live");

    case NGX_CHAT_STATUS_READY:
        return ngx_chat_status_ready(r, ctx);

    default: /* NGX_CHAT_STATUS_ON */
        return ngx_chat_status_show(r, ctx);
    }
}


/* "format", or what Prometheus says it takes; a browser gets JSON */

static ngx_int_t
ngx_chat_status_show(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_str_t         accept, *format;
    ngx_chat_field_t  field = { ngx_string("format"), NGX_CHAT_FIELD_MISSING,
                                ngx_null_string };

    if (ngx_chat_http_args(r, &field, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    if (field.state == NGX_CHAT_FIELD_MISSING) {

        if (ngx_chat_http_header(r, "http_accept", &accept) != NGX_OK) {
            return ngx_chat_status_json(r, ctx);
        }

        if (ngx_strlcasestrn(accept.data, accept.data + accept.len,
                             (u_char *) "application/openmetrics-text", 27))
        {
            return ngx_chat_status_text(r, ctx, 1);
        }

        if (ngx_strlcasestrn(accept.data, accept.data + accept.len,
                             (u_char *) "text/plain", 9))
        {
            return ngx_chat_status_text(r, ctx, 0);
        }

        return ngx_chat_status_json(r, ctx);
    }

    format = &field.value;

    if (format->len == 4 && ngx_strncmp(format->data, "json", 4) == 0) {
        return ngx_chat_status_json(r, ctx);
    }

    if (format->len == 10 && ngx_strncmp(format->data, "prometheus", 10) == 0) {
        return ngx_chat_status_text(r, ctx, 0);
    }

    if (format->len == 11 && ngx_strncmp(format->data, "openmetrics", 11) == 0)
    {
        return ngx_chat_status_text(r, ctx, 1);
    }

    return ngx_chat_http_invalid(r, ctx, "format",
                                 "json, prometheus or openmetrics is "
                                 "required.");
}


static ngx_int_t
ngx_chat_status_word(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    const char *word)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "status");
    ngx_chat_json_text(json, word);
    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_status_counts(ngx_chat_metrics_t *metrics, ngx_uint_t *counts)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_CHAT_COUNT_MAX; i++) {
        counts[i] = metrics->totals->counts[i];
    }
}


static void
ngx_chat_status_gauges(ngx_http_request_t *r, ngx_uint_t *gauges)
{
    ngx_uint_t             n;
    ngx_chat_metrics_t    *metrics;
    ngx_chat_main_conf_t  *chmcf;

    chmcf = ngx_http_get_module_main_conf(r, ngx_chat_module);
    metrics = chmcf->worker->metrics;

    n = ngx_chat_metrics_gauges(metrics, gauges);

    gauges[NGX_CHAT_STATUS_PROCESSES] = n;
    gauges[NGX_CHAT_STATUS_SHARED] = (metrics->zone != NULL);
    gauges[NGX_CHAT_STATUS_DB_LIMIT] = n * chmcf->db.connections;
}


/* each with those below it; how many there are in all */

static ngx_uint_t
ngx_chat_status_buckets(ngx_chat_histogram_t *histogram, ngx_uint_t *buckets)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_CHAT_METRICS_BUCKETS; i++) {
        n += histogram->buckets[i];
        buckets[i] = n;
    }

    return n;
}


/* 2500 is "0.0025", 1000000 is "1.0" */

static ngx_str_t
ngx_chat_status_decimal(u_char *buf, uint64_t millionths)
{
    u_char     *last;
    ngx_str_t   text;

    last = ngx_sprintf(buf, "%uL.%06uL", millionths / NGX_CHAT_STATUS_MILLION,
                       millionths % NGX_CHAT_STATUS_MILLION);

    while (last[-1] == '0' && last[-2] != '.') {
        last--;
    }

    text.data = buf;
    text.len = last - buf;

    return text;
}


static ngx_str_t
ngx_chat_status_code(u_char *buf, ngx_uint_t i)
{
    ngx_str_t  text = ngx_string("other");

    if (ngx_chat_metrics_statuses[i]) {
        text.data = buf;
        text.len = ngx_sprintf(buf, "%ui", ngx_chat_metrics_statuses[i])
                   - buf;
    }

    return text;
}


static ngx_int_t
ngx_chat_status_json(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_uint_t           counts[NGX_CHAT_COUNT_MAX];
    ngx_uint_t           gauges[NGX_CHAT_STATUS_GAUGES];
    ngx_chat_json_t     *json;
    ngx_chat_metrics_t  *metrics;

    json = ngx_chat_json_create(r->pool);
    if (json == NULL) {
        return NGX_ERROR;
    }

    metrics = ngx_chat_http_metrics(r);

    ngx_chat_status_counts(metrics, counts);
    ngx_chat_status_gauges(r, gauges);

    ngx_chat_json_object(json);

    ngx_chat_json_key(json, "scope");
    ngx_chat_json_text(json, metrics->zone ? "all workers"
                                           : "this worker: no chat_zone");

    ngx_chat_status_json_rows(json, ngx_chat_status_gauge_rows, gauges);
    ngx_chat_status_json_rows(json, ngx_chat_status_counter_rows, counts);
    ngx_chat_status_json_requests(json, metrics->totals);

    ngx_chat_json_key(json, "send_seconds");
    ngx_chat_status_json_histogram(json, &metrics->totals->send,
                                   ngx_chat_metrics_times, 1);

    ngx_chat_status_json_queries(json, metrics->totals);

    ngx_chat_json_end(json);

    return ngx_chat_http_answer(r, ctx, NGX_HTTP_OK, json);
}


static void
ngx_chat_status_json_rows(ngx_chat_json_t *json,
    const ngx_chat_status_row_t *row, ngx_uint_t *values)
{
    for ( /* void */ ; row->name; row++) {

        ngx_chat_json_key(json, row->name);

        if (row->label == NULL) {
            ngx_chat_json_number(json, values[row->index]);
            continue;
        }

        ngx_chat_json_object(json);

        for ( ;; ) {
            ngx_chat_json_key(json, row->value);
            ngx_chat_json_number(json, values[row->index]);

            if (row[1].name || row[1].label == NULL) {
                break;
            }

            row++;
        }

        ngx_chat_json_end(json);
    }
}


static void
ngx_chat_status_json_requests(ngx_chat_json_t *json,
    ngx_chat_metrics_totals_t *totals)
{
    u_char      buf[NGX_INT_T_LEN];
    ngx_str_t   code;
    ngx_uint_t  e, m, i, n;

    ngx_chat_json_key(json, "requests");
    ngx_chat_json_array(json);

    for (e = 0; e < NGX_CHAT_REQUEST_MAX; e++) {
        for (m = 0; m < NGX_CHAT_METHOD_MAX; m++) {
            for (i = 0; i < NGX_CHAT_METRICS_STATUSES; i++) {

                n = totals->requests[e][m][i];

                if (n == 0) {
                    continue;
                }

                code = ngx_chat_status_code(buf, i);

                ngx_chat_json_object(json);
                ngx_chat_json_key(json, "endpoint");
                ngx_chat_json_text(json, ngx_chat_status_endpoints[e]);
                ngx_chat_json_key(json, "method");
                ngx_chat_json_text(json, ngx_chat_status_methods[m]);
                ngx_chat_json_key(json, "code");
                ngx_chat_json_string(json, &code);
                ngx_chat_json_key(json, "count");
                ngx_chat_json_number(json, n);
                ngx_chat_json_end(json);
            }
        }
    }

    ngx_chat_json_end(json);
}


static void
ngx_chat_status_json_queries(ngx_chat_json_t *json,
    ngx_chat_metrics_totals_t *totals)
{
    ngx_str_t                 name;
    ngx_uint_t                i, buckets[NGX_CHAT_METRICS_BUCKETS];
    ngx_chat_metrics_query_t  *query;

    ngx_chat_json_key(json, "queries");
    ngx_chat_json_object(json);

    for (i = 0; ngx_chat_sql_classes[i]; i++) {
        query = &totals->queries[i];

        if (ngx_chat_status_buckets(&query->time, buckets) == 0) {
            continue;
        }

        name = ngx_chat_sql_classes[i]->name;

        ngx_chat_json_string(json, &name);
        ngx_chat_json_object(json);
        ngx_chat_json_key(json, "seconds");
        ngx_chat_status_json_histogram(json, &query->time,
                                       ngx_chat_metrics_times, 1);
        ngx_chat_json_key(json, "batch_size");
        ngx_chat_status_json_histogram(json, &query->batch,
                                       ngx_chat_metrics_sizes,
                                       NGX_CHAT_STATUS_MILLION);
        ngx_chat_json_end(json);
    }

    ngx_chat_json_end(json);
}


/* "unit": how many millionths one of the histogram's values is */

static void
ngx_chat_status_json_histogram(ngx_chat_json_t *json,
    ngx_chat_histogram_t *histogram, const ngx_uint_t *bounds, ngx_uint_t unit)
{
    u_char      buf[NGX_CHAT_STATUS_DECIMAL_LEN];
    ngx_str_t   bound;
    ngx_uint_t  i, n, buckets[NGX_CHAT_METRICS_BUCKETS];

    n = ngx_chat_status_buckets(histogram, buckets);

    ngx_chat_json_object(json);

    ngx_chat_json_key(json, "count");
    ngx_chat_json_number(json, n);
    ngx_chat_json_key(json, "sum");
    ngx_chat_json_millionths(json, (uint64_t) histogram->sum * unit);

    ngx_chat_json_key(json, "up_to");
    ngx_chat_json_object(json);

    for (i = 0; bounds[i]; i++) {
        bound = ngx_chat_status_decimal(buf, (uint64_t) bounds[i] * unit);

        ngx_chat_json_string(json, &bound);
        ngx_chat_json_number(json, buckets[i]);
    }

    ngx_chat_json_end(json);

    ngx_chat_json_end(json);
}


/*
 * Prometheus' own format and OpenMetrics differ in the type of the answer, in
 * what a counter's family is called, and in the last line.
 */

static ngx_int_t
ngx_chat_status_text(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t openmetrics)
{
    ngx_uint_t               counts[NGX_CHAT_COUNT_MAX];
    ngx_uint_t               gauges[NGX_CHAT_STATUS_GAUGES];
    ngx_chat_metrics_t      *metrics;
    ngx_chat_status_text_t   text;

    ngx_memzero(&text, sizeof(ngx_chat_status_text_t));

    text.start = ngx_pnalloc(r->pool, NGX_CHAT_STATUS_SIZE);
    if (text.start == NULL) {
        return NGX_ERROR;
    }

    text.pool = r->pool;
    text.pos = text.start;
    text.end = text.start + NGX_CHAT_STATUS_SIZE;
    text.openmetrics = openmetrics;

    metrics = ngx_chat_http_metrics(r);

    ngx_chat_status_counts(metrics, counts);
    ngx_chat_status_gauges(r, gauges);

    ngx_chat_status_text_rows(&text, "gauge", ngx_chat_status_gauge_rows,
                              gauges);
    ngx_chat_status_text_rows(&text, "counter", ngx_chat_status_counter_rows,
                              counts);
    ngx_chat_status_text_requests(&text, metrics->totals);

    ngx_chat_status_text_family(&text, "send_duration_seconds", "histogram",
                                "Sends answered 201, from the request's body "
                                "to its answer.");
    ngx_chat_status_text_histogram(&text, "send_duration_seconds", NULL,
                                   &metrics->totals->send,
                                   ngx_chat_metrics_times, 1);

    ngx_chat_status_text_queries(&text, metrics->totals);

    if (openmetrics) {
        ngx_str_set(&ctx->type, "application/openmetrics-text; version=1.0.0; "
                                "charset=utf-8");
        ngx_chat_status_print(&text, "# EOF\n");

    } else {
        ngx_str_set(&ctx->type, "text/plain; version=0.0.4; charset=utf-8");
    }

    if (text.error) {
        return NGX_ERROR;
    }

    ctx->body.data = text.start;
    ctx->body.len = text.pos - text.start;

    return NGX_HTTP_OK;
}


static void
ngx_chat_status_text_rows(ngx_chat_status_text_t *text, const char *type,
    const ngx_chat_status_row_t *row, ngx_uint_t *values)
{
    const char  *name, *total;

    name = NULL;
    total = (type[0] == 'c') ? "_total" : "";

    for ( /* void */ ; row->name || row->label; row++) {

        if (row->name) {
            name = row->name;
            ngx_chat_status_text_family(text, name, type, row->help);
        }

        if (row->label == NULL) {
            ngx_chat_status_print(text, "ngx_chat_%s%s %ui\n", name, total,
                                  values[row->index]);
            continue;
        }

        ngx_chat_status_print(text, "ngx_chat_%s%s{%s=\"%s\"} %ui\n",
                              name, total, row->label, row->value,
                              values[row->index]);
    }
}


static void
ngx_chat_status_text_requests(ngx_chat_status_text_t *text,
    ngx_chat_metrics_totals_t *totals)
{
    u_char      buf[NGX_INT_T_LEN];
    ngx_str_t   code;
    ngx_uint_t  e, m, i, n;

    ngx_chat_status_text_family(text, "requests", "counter",
                                "Requests by endpoint, method and status.");

    for (e = 0; e < NGX_CHAT_REQUEST_MAX; e++) {
        for (m = 0; m < NGX_CHAT_METHOD_MAX; m++) {
            for (i = 0; i < NGX_CHAT_METRICS_STATUSES; i++) {

                n = totals->requests[e][m][i];

                if (n == 0) {
                    continue;
                }

                code = ngx_chat_status_code(buf, i);

                ngx_chat_status_print(text, "ngx_chat_requests_total"
                                      "{endpoint=\"%s\",method=\"%s\","
                                      "code=\"%V\"} %ui\n",
                                      ngx_chat_status_endpoints[e],
                                      ngx_chat_status_methods[m], &code, n);
            }
        }
    }
}


/* a family stands together: once for the times, once for the batches */

static void
ngx_chat_status_text_queries(ngx_chat_status_text_t *text,
    ngx_chat_metrics_totals_t *totals)
{
    ngx_uint_t  i, buckets[NGX_CHAT_METRICS_BUCKETS];

    ngx_chat_status_text_family(text, "db_query_duration_seconds", "histogram",
                                "Queries by kind, waiting included.");

    for (i = 0; ngx_chat_sql_classes[i]; i++) {
        if (ngx_chat_status_buckets(&totals->queries[i].time, buckets)) {
            ngx_chat_status_text_histogram(text, "db_query_duration_seconds",
                                           &ngx_chat_sql_classes[i]->name,
                                           &totals->queries[i].time,
                                           ngx_chat_metrics_times, 1);
        }
    }

    ngx_chat_status_text_family(text, "db_batch_size", "histogram",
                                "Queries that went to the database together.");

    for (i = 0; ngx_chat_sql_classes[i]; i++) {
        if (ngx_chat_status_buckets(&totals->queries[i].batch, buckets)) {
            ngx_chat_status_text_histogram(text, "db_batch_size",
                                           &ngx_chat_sql_classes[i]->name,
                                           &totals->queries[i].batch,
                                           ngx_chat_metrics_sizes,
                                           NGX_CHAT_STATUS_MILLION);
        }
    }
}


static void
ngx_chat_status_text_histogram(ngx_chat_status_text_t *text, const char *name,
    const ngx_str_t *query, ngx_chat_histogram_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t unit)
{
    u_char      label[64], buf[NGX_CHAT_STATUS_DECIMAL_LEN];
    ngx_str_t   number;
    ngx_uint_t  i, n, buckets[NGX_CHAT_METRICS_BUCKETS];

    n = ngx_chat_status_buckets(histogram, buckets);

    label[0] = '\0';

    if (query) {
        ngx_snprintf(label, sizeof(label), "query=\"%V\"%Z", query);
    }

    for (i = 0; bounds[i]; i++) {
        number = ngx_chat_status_decimal(buf, (uint64_t) bounds[i] * unit);

        ngx_chat_status_print(text, "ngx_chat_%s_bucket{%s%sle=\"%V\"} %ui\n",
                              name, label, query ? "," : "", &number,
                              buckets[i]);
    }

    ngx_chat_status_print(text, "ngx_chat_%s_bucket{%s%sle=\"+Inf\"} %ui\n",
                          name, label, query ? "," : "", n);

    number = ngx_chat_status_decimal(buf, (uint64_t) histogram->sum * unit);

    ngx_chat_status_print(text, "ngx_chat_%s_sum%s%s%s %V\n",
                          name, query ? "{" : "", label, query ? "}" : "",
                          &number);
    ngx_chat_status_print(text, "ngx_chat_%s_count%s%s%s %ui\n",
                          name, query ? "{" : "", label, query ? "}" : "",
                          n);
}


static void
ngx_chat_status_text_family(ngx_chat_status_text_t *text, const char *name,
    const char *type, const char *help)
{
    const char  *total;

    total = (type[0] == 'c' && !text->openmetrics) ? "_total" : "";

    ngx_chat_status_print(text, "# HELP ngx_chat_%s%s %s\n"
                          "# TYPE ngx_chat_%s%s %s\n",
                          name, total, help, name, total, type);
}


static void
ngx_chat_status_print(ngx_chat_status_text_t *text, const char *fmt, ...)
{
    u_char   *start;
    size_t    size;
    va_list   args;

    if (text->end - text->pos < NGX_CHAT_STATUS_LINE) {

        size = 2 * (text->end - text->start);

        start = ngx_pnalloc(text->pool, size);
        if (start == NULL) {
            text->error = 1;
            return;
        }

        text->pos = ngx_cpymem(start, text->start, text->pos - text->start);
        text->start = start;
        text->end = start + size;
    }

    va_start(args, fmt);
    text->pos = ngx_vslprintf(text->pos, text->end, fmt, args);
    va_end(args);
}


/*
 * Ready is who gets an answer from the database in time.  A probe waits for
 * that no longer than a second, however long a query may take.
 */

static ngx_int_t
ngx_chat_status_ready(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_pool_cleanup_t       *cln;
    ngx_chat_status_ready_t  *ready;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_chat_status_ready_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ready = cln->data;
    ngx_memzero(ready, sizeof(ngx_chat_status_ready_t));

    cln->handler = ngx_chat_status_ready_cleanup;

    ctx->data = ready;

    rc = ngx_chat_api_query(r, ctx, &ready->job, &ngx_chat_sql_ready,
                            ngx_chat_status_ready_done);

    if (rc == NGX_AGAIN) {
        ready->timer.handler = ngx_chat_status_ready_late;
        ready->timer.data = r;
        ready->timer.log = r->connection->log;

        ngx_add_timer(&ready->timer, NGX_CHAT_STATUS_READY_TIMEOUT);
    }

    return rc;
}


static ngx_int_t
ngx_chat_status_ready_done(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_status_ready_t *ready = ctx->data;

    if (ready->job.rc == NGX_DECLINED) {
        return ngx_chat_http_unavailable(r, ctx);
    }

    return ngx_chat_status_word(r, ctx, "ready");
}


static void
ngx_chat_status_ready_late(ngx_event_t *ev)
{
    ngx_chat_ctx_t      *ctx;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ev->data;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx = ngx_http_get_module_ctx(r, ngx_chat_module);

    if (ctx->job == NULL) {
        return;
    }

    ngx_chat_db_cancel(ctx->job);
    ctx->job = NULL;

    ctx->next = ngx_chat_http_unavailable;

    ngx_chat_api_run(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_chat_status_ready_cleanup(void *data)
{
    ngx_chat_status_ready_t *ready = data;

    if (ready->timer.timer_set) {
        ngx_del_timer(&ready->timer);
    }
}
