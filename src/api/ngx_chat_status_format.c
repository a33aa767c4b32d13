
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/api/ngx_chat_status_metrics.h"
#include "src/http/ngx_chat_http.h"


static void ngx_chat_status_json_begin(void *out,
    const ngx_chat_status_family_t *family);
static void ngx_chat_status_json_sample(void *out,
    const ngx_chat_status_family_t *family,
    const ngx_chat_status_label_t *labels, ngx_uint_t value);
static void ngx_chat_status_json_end(void *out,
    const ngx_chat_status_family_t *family);
static void ngx_chat_status_json_send(void *out,
    ngx_chat_status_histogram_t *time);
static void ngx_chat_status_json_queries(void *out,
    ngx_chat_metrics_totals_t *totals);
static void ngx_chat_status_json_histogram(ngx_chat_json_t *json,
    ngx_chat_histogram_t *histogram, const ngx_uint_t *bounds,
    ngx_uint_t unit);


static const ngx_chat_status_format_t  ngx_chat_status_json_format = {
    .begin = ngx_chat_status_json_begin,
    .sample = ngx_chat_status_json_sample,
    .end = ngx_chat_status_json_end,
    .send = ngx_chat_status_json_send,
    .queries = ngx_chat_status_json_queries
};


#define NGX_CHAT_STATUS_SIZE  16384  /* initial size of the text, bytes */
#define NGX_CHAT_STATUS_LINE  512    /* maximum length of a line */


/* growing text in the pool of the request */

typedef struct {
    ngx_pool_t                 *pool;
    u_char                     *start;
    u_char                     *pos;
    u_char                     *end;
    unsigned                    openmetrics:1;
    unsigned                    error:1;       /* no memory */
} ngx_chat_status_text_t;


static void ngx_chat_status_text_begin(void *out,
    const ngx_chat_status_family_t *family);
static void ngx_chat_status_text_sample(void *out,
    const ngx_chat_status_family_t *family,
    const ngx_chat_status_label_t *labels, ngx_uint_t value);
static void ngx_chat_status_text_end(void *out,
    const ngx_chat_status_family_t *family);
static void ngx_chat_status_text_send(void *out,
    ngx_chat_status_histogram_t *time);
static void ngx_chat_status_text_queries(void *out,
    ngx_chat_metrics_totals_t *totals);
static void ngx_chat_status_text_histogram(ngx_chat_status_text_t *text,
    const char *name, const ngx_str_t *query, ngx_chat_histogram_t *histogram,
    const ngx_uint_t *bounds, ngx_uint_t unit);
static void ngx_chat_status_text_family(ngx_chat_status_text_t *text,
    const char *name, const char *type, const char *help);
static void ngx_chat_status_print(ngx_chat_status_text_t *text,
    const char *fmt, ...);


static const ngx_chat_status_format_t  ngx_chat_status_text_format = {
    .begin = ngx_chat_status_text_begin,
    .sample = ngx_chat_status_text_sample,
    .end = ngx_chat_status_text_end,
    .send = ngx_chat_status_text_send,
    .queries = ngx_chat_status_text_queries
};


ngx_int_t
ngx_chat_status_json(ngx_http_request_t *r, ngx_chat_ctx_t *ctx)
{
    ngx_chat_json_t  *json;

    json = ngx_chat_json_create(r->pool);

    ngx_chat_json_object(json);
    ngx_chat_json_key(json, "scope");
    ngx_chat_json_text(json, ngx_chat_http_metrics(r)->zone
                             ? "all workers" : "this worker: no chat_zone");

    ngx_chat_status_walk(r, &ngx_chat_status_json_format, json);

    ngx_chat_json_end(json);

    return ngx_chat_response_json(r, ctx, NGX_HTTP_OK, json);
}


/* a number, an object of numbers by label, or an array of objects */

static void
ngx_chat_status_json_begin(void *out, const ngx_chat_status_family_t *family)
{
    ngx_chat_json_t  *json = out;

    ngx_chat_json_key(json, family->name);

    if (family->nlabels == 1) {
        ngx_chat_json_object(json);

    } else if (family->nlabels > 1) {
        ngx_chat_json_array(json);
    }
}


static void
ngx_chat_status_json_sample(void *out, const ngx_chat_status_family_t *family,
    const ngx_chat_status_label_t *labels, ngx_uint_t value)
{
    ngx_uint_t        i;
    ngx_chat_json_t  *json = out;

    if (family->nlabels == 0) {
        ngx_chat_json_number(json, value);
        return;
    }

    if (family->nlabels == 1) {
        ngx_chat_json_key(json, labels[0].value);
        ngx_chat_json_number(json, value);
        return;
    }

    ngx_chat_json_object(json);

    for (i = 0; i < family->nlabels; i++) {
        ngx_chat_json_key(json, labels[i].name);
        ngx_chat_json_text(json, labels[i].value);
    }

    ngx_chat_json_key(json, "count");
    ngx_chat_json_number(json, value);
    ngx_chat_json_end(json);
}


static void
ngx_chat_status_json_end(void *out, const ngx_chat_status_family_t *family)
{
    if (family->nlabels) {
        ngx_chat_json_end(out);
    }
}


static void
ngx_chat_status_json_send(void *out, ngx_chat_status_histogram_t *time)
{
    ngx_chat_json_key(out, "send_seconds");
    ngx_chat_status_json_histogram(out, time->data, time->bounds, time->unit);
}


static void
ngx_chat_status_json_queries(void *out, ngx_chat_metrics_totals_t *totals)
{
    ngx_chat_json_t *json = out;

    ngx_str_t                  name;
    ngx_uint_t                 i, buckets[NGX_CHAT_METRICS_BUCKETS];
    ngx_chat_metrics_query_t  *query;

    ngx_chat_json_key(json, "queries");
    ngx_chat_json_object(json);

    for (i = 0; ngx_chat_query_types[i]; i++) {
        query = &totals->queries[i];

        if (ngx_chat_status_buckets(&query->time, buckets) == 0) {
            continue;
        }

        name = ngx_chat_query_types[i]->name;

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
 * The two formats differ in the content type, the names of counter families,
 * and the last line.
 */

ngx_int_t
ngx_chat_status_text(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t openmetrics)
{
    ngx_chat_status_text_t  text;

    ngx_memzero(&text, sizeof(ngx_chat_status_text_t));

    text.start = ngx_pnalloc(r->pool, NGX_CHAT_STATUS_SIZE);
    if (text.start == NULL) {
        return NGX_ERROR;
    }

    text.pool = r->pool;
    text.pos = text.start;
    text.end = text.start + NGX_CHAT_STATUS_SIZE;
    text.openmetrics = openmetrics;

    ngx_chat_status_walk(r, &ngx_chat_status_text_format, &text);

    if (openmetrics) {
        ngx_str_set(&ctx->response.type,
                    "application/openmetrics-text; version=1.0.0; "
                    "charset=utf-8");
        ngx_chat_status_print(&text, "# EOF\n");

    } else {
        ngx_str_set(&ctx->response.type,
                    "text/plain; version=0.0.4; charset=utf-8");
    }

    if (text.error) {
        return NGX_ERROR;
    }

    ctx->response.body.data = text.start;
    ctx->response.body.len = text.pos - text.start;

    return NGX_HTTP_OK;
}


static void
ngx_chat_status_text_begin(void *out, const ngx_chat_status_family_t *family)
{
    ngx_chat_status_text_family(out, family->name,
                                family->counter ? "counter" : "gauge",
                                family->help);
}


static void
ngx_chat_status_text_sample(void *out, const ngx_chat_status_family_t *family,
    const ngx_chat_status_label_t *labels, ngx_uint_t value)
{
    ngx_uint_t  i;

    ngx_chat_status_print(out, "ngx_chat_%s%s", family->name,
                          family->counter ? "_total" : "");

    for (i = 0; i < family->nlabels; i++) {
        ngx_chat_status_print(out, "%s%s=\"%s\"", i ? "," : "{",
                              labels[i].name, labels[i].value);
    }

    ngx_chat_status_print(out, "%s %ui\n", i ? "}" : "", value);
}


static void
ngx_chat_status_text_end(void *out, const ngx_chat_status_family_t *family)
{
}


static void
ngx_chat_status_text_send(void *out, ngx_chat_status_histogram_t *time)
{
    ngx_chat_status_text_family(out, "send_duration_seconds", "histogram",
                                "Sends with status 201, from the request body "
                                "to the response.");
    ngx_chat_status_text_histogram(out, "send_duration_seconds", NULL,
                                   time->data, time->bounds, time->unit);
}


/* samples of a family must be together: first the times, then the batches */

static void
ngx_chat_status_text_queries(void *out, ngx_chat_metrics_totals_t *totals)
{
    ngx_chat_status_text_t *text = out;

    ngx_uint_t  i, buckets[NGX_CHAT_METRICS_BUCKETS];

    ngx_chat_status_text_family(text, "db_query_duration_seconds", "histogram",
                                "Queries by type, including waiting.");

    for (i = 0; ngx_chat_query_types[i]; i++) {
        if (ngx_chat_status_buckets(&totals->queries[i].time, buckets)) {
            ngx_chat_status_text_histogram(text, "db_query_duration_seconds",
                                           &ngx_chat_query_types[i]->name,
                                           &totals->queries[i].time,
                                           ngx_chat_metrics_times, 1);
        }
    }

    ngx_chat_status_text_family(text, "db_batch_size", "histogram",
                                "Queries per packet.");

    for (i = 0; ngx_chat_query_types[i]; i++) {
        if (ngx_chat_status_buckets(&totals->queries[i].batch, buckets)) {
            ngx_chat_status_text_histogram(text, "db_batch_size",
                                           &ngx_chat_query_types[i]->name,
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
    u_char  *start;
    size_t   size;
    va_list  args;

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
