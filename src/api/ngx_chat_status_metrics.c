
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/api/ngx_chat_status_metrics.h"


/* gauges in addition to those of the processes */

enum {
    NGX_CHAT_STATUS_PROCESSES = NGX_CHAT_GAUGE_MAX,
    NGX_CHAT_STATUS_SHARED,
    NGX_CHAT_STATUS_DB_LIMIT,
    NGX_CHAT_STATUS_GAUGES
};


/* a sample of a counter or gauge */

typedef struct {
    const char                 *name;          /* NULL: as in the row above */
    const char                 *help;
    const char                 *label;         /* NULL: none */
    const char                 *value;
    ngx_uint_t                  index;
} ngx_chat_status_row_t;


static void ngx_chat_status_rows(const ngx_chat_status_format_t *format,
    void *out, ngx_uint_t counter, const ngx_chat_status_row_t *row,
    ngx_uint_t *values);
static void ngx_chat_status_requests(const ngx_chat_status_format_t *format,
    void *out, ngx_chat_metrics_totals_t *totals);
static void ngx_chat_status_gauges(ngx_http_request_t *r, ngx_uint_t *gauges);


static const ngx_chat_status_row_t  ngx_chat_status_counter_rows[] = {

    { "messages_sent", "Messages stored.", NULL, NULL,
      NGX_CHAT_COUNT_SENT },

    { "records", "Notifications appended to the shared log.", NULL, NULL,
      NGX_CHAT_COUNT_RECORDS },

    { "wakeups", "Workers woken by other workers for notifications.",
      NULL, NULL, NGX_CHAT_COUNT_WAKEUPS },

    { "overruns", "Times that a worker was too slow to read notifications.",
      NULL, NULL, NGX_CHAT_COUNT_OVERRUNS },

    { "resyncs", "Sockets closed because they may have missed notifications.",
      NULL, NULL, NGX_CHAT_COUNT_RESYNCS },

    { "publishes", "Notifications passed to nchan, by each worker with sockets "
      "of the users.",
      "result", "ok", NGX_CHAT_COUNT_PUBLISHED },
    { NULL, NULL, "result", "failed", NGX_CHAT_COUNT_PUBLISH_FAILED },

    { "announced_late", "Notifications sent from the outbox.",
      NULL, NULL, NGX_CHAT_COUNT_ANNOUNCED_LATE },

    { "logins", "Logins.", "result", "ok", NGX_CHAT_COUNT_LOGIN_OK },
    { NULL, NULL, "result", "failed", NGX_CHAT_COUNT_LOGIN_FAILED },
    { NULL, NULL, "result", "throttled", NGX_CHAT_COUNT_LOGIN_THROTTLED },
    { NULL, NULL, "result", "busy", NGX_CHAT_COUNT_LOGIN_BUSY },

    { "sessions_begun", "Sessions created, for browsers and for programs.",
      "kind", "cookie", NGX_CHAT_COUNT_SESSION_COOKIE },
    { NULL, NULL, "kind", "token", NGX_CHAT_COUNT_SESSION_TOKEN },

    { "sessions_ended", "Sessions deleted: by a logout, by a password change, "
      "or expired and deleted at the user's next login.",
      "reason", "logout", NGX_CHAT_COUNT_SESSION_LOGOUT },
    { NULL, NULL, "reason", "password", NGX_CHAT_COUNT_SESSION_PASSWORD },
    { NULL, NULL, "reason", "expired", NGX_CHAT_COUNT_SESSION_EXPIRED },

    { "cache_hits", "Lookups found in the zone.",
      "cache", "session", NGX_CHAT_COUNT_SESSION_HIT },
    { NULL, NULL, "cache", "user", NGX_CHAT_COUNT_USER_HIT },
    { NULL, NULL, "cache", "users", NGX_CHAT_COUNT_EVERYBODY_HIT },
    { NULL, NULL, "cache", "message", NGX_CHAT_COUNT_MESSAGE_HIT },

    { "cache_misses", "Lookups passed to the database.",
      "cache", "session", NGX_CHAT_COUNT_SESSION_MISS },
    { NULL, NULL, "cache", "user", NGX_CHAT_COUNT_USER_MISS },
    { NULL, NULL, "cache", "users", NGX_CHAT_COUNT_EVERYBODY_MISS },
    { NULL, NULL, "cache", "message", NGX_CHAT_COUNT_MESSAGE_MISS },

    { "db_connects", "Attempts to connect to the database.",
      "result", "ok", NGX_CHAT_COUNT_DB_CONNECTED },
    { NULL, NULL, "result", "failed", NGX_CHAT_COUNT_DB_CONNECT_FAILED },

    { "db_connections_lost", "Lost connections to the database.",
      NULL, NULL, NGX_CHAT_COUNT_DB_LOST },

    { "db_retries", "Queries retried after a conflict or a lost "
      "connection.", NULL, NULL, NGX_CHAT_COUNT_DB_RETRIED },

    { "db_failures", "Queries rejected because the queue was full or the "
      "database unavailable, and queries that timed out.",
      "reason", "rejected", NGX_CHAT_COUNT_DB_REJECTED },
    { NULL, NULL, "reason", "given_up", NGX_CHAT_COUNT_DB_GIVEN_UP },

    { "db_replica_reads", "Reads that replicas can serve: served by a "
      "replica (ok), or by the primary because of recent writes of the user, "
      "replication lag, or because no replica was available.",
      "result", "ok", NGX_CHAT_COUNT_REPLICA_OK },
    { NULL, NULL, "result", "recent", NGX_CHAT_COUNT_REPLICA_RECENT },
    { NULL, NULL, "result", "lagging", NGX_CHAT_COUNT_REPLICA_LAGGING },
    { NULL, NULL, "result", "unavailable",
      NGX_CHAT_COUNT_REPLICA_UNAVAILABLE },

    { "redis_connects", "Attempts to connect to Redis.",
      "result", "ok", NGX_CHAT_COUNT_REDIS_CONNECTED },
    { NULL, NULL, "result", "failed", NGX_CHAT_COUNT_REDIS_CONNECT_FAILED },

    { "redis_connections_lost", "Connections to Redis that were lost.",
      NULL, NULL, NGX_CHAT_COUNT_REDIS_LOST },

    { "redis_records", "Notifications exchanged with other hosts: published "
      "to Redis, dropped because Redis was unavailable or slow, received.",
      "result", "published", NGX_CHAT_COUNT_REDIS_PUBLISHED },
    { NULL, NULL, "result", "dropped", NGX_CHAT_COUNT_REDIS_DROPPED },
    { NULL, NULL, "result", "received", NGX_CHAT_COUNT_REDIS_RECEIVED },

    { "redis_resyncs", "Requests to catch up after records were lost: sent to "
      "other hosts, received from them.",
      "direction", "sent", NGX_CHAT_COUNT_REDIS_RESYNC_SENT },
    { NULL, NULL, "direction", "received",
      NGX_CHAT_COUNT_REDIS_RESYNC_RECEIVED },

    { NULL, NULL, NULL, NULL, 0 }
};


static const ngx_chat_status_row_t  ngx_chat_status_gauge_rows[] = {

    { "processes", "Worker processes, including exiting ones.",
      NULL, NULL, NGX_CHAT_STATUS_PROCESSES },

    { "shared", "1 if the metrics are those of all workers, 0 without "
      "chat_zone.", NULL, NULL,
      NGX_CHAT_STATUS_SHARED },

    { "sockets", "Open sockets: WebSocket, EventSource, long-polling.",
      NULL, NULL, NGX_CHAT_GAUGE_SOCKETS },

    { "passwords_pending", "Passwords being hashed or waiting.",
      NULL, NULL, NGX_CHAT_GAUGE_PASSWORDS },

    { "db_connections", "Connections to the database.", NULL, NULL,
      NGX_CHAT_GAUGE_DB_CONNECTIONS },

    { "db_connections_busy", "Connections with a query in progress.",
      NULL, NULL, NGX_CHAT_GAUGE_DB_BUSY },

    { "db_connections_limit", "Maximum number of connections.", NULL, NULL,
      NGX_CHAT_STATUS_DB_LIMIT },

    { "db_queries_waiting", "Queries waiting for a connection.", NULL, NULL,
      NGX_CHAT_GAUGE_DB_WAITING },

    { "db_replica_connections", "Connections to replicas.", NULL, NULL,
      NGX_CHAT_GAUGE_REPLICA_CONNECTIONS },

    { "redis_connections", "Connections to Redis, two per worker.", NULL, NULL,
      NGX_CHAT_GAUGE_REDIS_CONNECTIONS },

    { NULL, NULL, NULL, NULL, 0 }
};


static const char *const  ngx_chat_status_endpoints[] = {
    "message/",
    "message/ID/",
    "user/",
    "user/ID/",
    "profile/NAME/",
    "profile/",
    "conversation/",
    "conversation/NAME/read/",
    "conversation/NAME/typing/",
    "block/",
    "block/NAME/",
    "file/",
    "file/TOKEN/",
    "session/",
    "session/all/",
    "session/ID/",
    "admin/user/",
    "admin/user/NAME/",
    "admin/audit/",
    "password/",
    "root",
    "login",
    "logout",
    "socket",
    "other"
};

static const char *const  ngx_chat_status_methods[] = {
    "GET", "POST", "PUT", "PATCH", "DELETE", "other"
};


void
ngx_chat_status_walk(ngx_http_request_t *r,
    const ngx_chat_status_format_t *format, void *out)
{
    ngx_uint_t                    values[NGX_CHAT_STATUS_GAUGES];
    ngx_chat_metrics_t           *metrics;
    ngx_chat_status_histogram_t   send;

    metrics = ngx_chat_http_metrics(r);

    ngx_chat_status_gauges(r, values);

    ngx_chat_status_rows(format, out, 0, ngx_chat_status_gauge_rows, values);
    ngx_chat_status_rows(format, out, 1, ngx_chat_status_counter_rows,
                         (ngx_uint_t *) metrics->totals->counts);
    ngx_chat_status_requests(format, out, metrics->totals);

    send.data = &metrics->totals->send;
    send.bounds = ngx_chat_metrics_times;
    send.unit = 1;

    format->send(out, &send);
    format->queries(out, metrics->totals);
}


static void
ngx_chat_status_rows(const ngx_chat_status_format_t *format, void *out,
    ngx_uint_t counter, const ngx_chat_status_row_t *row, ngx_uint_t *values)
{
    ngx_chat_status_label_t   label;
    ngx_chat_status_family_t  family;

    while (row->name) {

        family.name = row->name;
        family.help = row->help;
        family.counter = counter;
        family.nlabels = (row->label != NULL);

        format->begin(out, &family);

        do {
            label.name = row->label;
            label.value = row->value;

            format->sample(out, &family, &label, values[row->index]);

            row++;

        } while (row->name == NULL && row->label);

        format->end(out, &family);
    }
}


static void
ngx_chat_status_requests(const ngx_chat_status_format_t *format, void *out,
    ngx_chat_metrics_totals_t *totals)
{
    u_char                    code[NGX_INT_T_LEN + 1];
    ngx_uint_t                e, m, i, n;
    ngx_chat_status_label_t   labels[3];

    static const ngx_chat_status_family_t  family = {
        .name = "requests",
        .help = "Requests by endpoint, method and status.",
        .counter = 1,
        .nlabels = 3
    };

    labels[0].name = "endpoint";
    labels[1].name = "method";
    labels[2].name = "code";

    format->begin(out, &family);

    for (e = 0; e < NGX_CHAT_REQUEST_MAX; e++) {
        labels[0].value = ngx_chat_status_endpoints[e];

        for (m = 0; m < NGX_CHAT_METHOD_MAX; m++) {
            labels[1].value = ngx_chat_status_methods[m];

            for (i = 0; i < NGX_CHAT_METRICS_STATUSES; i++) {

                n = totals->requests[e][m][i];

                if (n == 0) {
                    continue;
                }

                ngx_sprintf(code, "%ui%Z", ngx_chat_metrics_statuses[i]);

                labels[2].value = ngx_chat_metrics_statuses[i]
                                  ? (const char *) code : "other";

                format->sample(out, &family, labels, n);
            }
        }
    }

    format->end(out, &family);
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


ngx_uint_t
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


ngx_str_t
ngx_chat_status_decimal(u_char *buf, uint64_t millionths)
{
    u_char    *last;
    ngx_str_t  text;

    last = ngx_sprintf(buf, "%uL.%06uL", millionths / NGX_CHAT_STATUS_MILLION,
                       millionths % NGX_CHAT_STATUS_MILLION);

    while (last[-1] == '0' && last[-2] != '.') {
        last--;
    }

    text.data = buf;
    text.len = last - buf;

    return text;
}
