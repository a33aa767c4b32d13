
/*
 * Copyright (C) ngx_chat contributors
 */


#ifndef _NGX_CHAT_STATUS_METRICS_H_INCLUDED_
#define _NGX_CHAT_STATUS_METRICS_H_INCLUDED_


#include "src/http/ngx_chat_http.h"


/* Metrics, in the order of the response; a format writes them. */


/* sums and bounds are printed with six decimals: times are microseconds */
#define NGX_CHAT_STATUS_MILLION        1000000
#define NGX_CHAT_STATUS_DECIMAL_LEN    (NGX_INT64_LEN + 8)


typedef struct {
    const char                 *name;
    const char                 *value;
} ngx_chat_status_label_t;


typedef struct {
    const char                 *name;
    const char                 *help;
    unsigned                    counter:1;     /* 0: gauge */
    ngx_uint_t                  nlabels;       /* labels per sample: 0, 1, 3 */
} ngx_chat_status_family_t;


typedef struct {
    ngx_chat_histogram_t       *data;
    const ngx_uint_t           *bounds;        /* ends with 0 */
    ngx_uint_t                  unit;          /* unit of values, millionths */
} ngx_chat_status_histogram_t;


/* "out" is the state of the format */

typedef struct {
    void   (*begin)(void *out, const ngx_chat_status_family_t *family);
    void   (*sample)(void *out, const ngx_chat_status_family_t *family,
                     const ngx_chat_status_label_t *labels, ngx_uint_t value);
    void   (*end)(void *out, const ngx_chat_status_family_t *family);

    void   (*send)(void *out, ngx_chat_status_histogram_t *time);
    void   (*queries)(void *out, ngx_chat_metrics_totals_t *totals);
} ngx_chat_status_format_t;


/* calls the functions of the format for all metrics */
void ngx_chat_status_walk(ngx_http_request_t *r,
    const ngx_chat_status_format_t *format, void *out);

/* writes cumulative buckets; returns the number of values */
ngx_uint_t ngx_chat_status_buckets(ngx_chat_histogram_t *histogram,
    ngx_uint_t *buckets);

/* returns a number in "buf": 2500 millionths as "0.0025", 1000000 as "1.0" */
ngx_str_t ngx_chat_status_decimal(u_char *buf, uint64_t millionths);


/* Responses with all metrics.  Both return the result for the step. */

ngx_int_t ngx_chat_status_json(ngx_http_request_t *r, ngx_chat_ctx_t *ctx);

/* for Prometheus, in its own format or in OpenMetrics */
ngx_int_t ngx_chat_status_text(ngx_http_request_t *r, ngx_chat_ctx_t *ctx,
    ngx_uint_t openmetrics);


#endif /* _NGX_CHAT_STATUS_METRICS_H_INCLUDED_ */
