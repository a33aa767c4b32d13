
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "src/push/ngx_chat_channel.h"
#include "src/push/ngx_chat_nchan.h"
#include "src/push/ngx_chat_notify.h"
#include "src/push/ngx_chat_outbox.h"
#include "src/push/ngx_chat_presence.h"
#include "src/push/ngx_chat_push.h"
#include "src/push/ngx_chat_subscriber.h"


/* default of chat_zone, bytes */
#define NGX_CHAT_PUSH_ZONE  (4 * 1024 * 1024)


ngx_int_t
ngx_chat_push_configure(ngx_conf_t *cf, ngx_chat_main_conf_t *chmcf)
{
    ngx_str_t  name = ngx_string("chat");

    if (chmcf->publishers.nelts == 0 && chmcf->locations.nelts == 0) {
        return NGX_OK;
    }

    if (chmcf->zone == NULL) {
        chmcf->zone = ngx_shared_memory_add(cf, &name, NGX_CHAT_PUSH_ZONE,
                                            &ngx_chat_module);
        if (chmcf->zone == NULL) {
            return NGX_ERROR;
        }

        ngx_chat_zone_add(chmcf->zone);
    }

    return ngx_chat_nchan_check(cf, chmcf);
}


ngx_int_t
ngx_chat_push_create(ngx_cycle_t *cycle, ngx_chat_main_conf_t *chmcf)
{
    ngx_chat_worker_t  *worker;

    if (chmcf->publishers.nelts == 0 && chmcf->locations.nelts == 0) {
        return NGX_OK;
    }

    worker = chmcf->worker;

    if (ngx_chat_nchan_init(cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    worker->channels = ngx_chat_channels_create(cycle, chmcf);
    if (worker->channels == NULL) {
        return NGX_ERROR;
    }

    worker->subscribers = ngx_chat_subscribers_create(cycle, chmcf);
    if (worker->subscribers == NULL) {
        return NGX_ERROR;
    }

    worker->notify = ngx_chat_notify_create(cycle, chmcf);
    if (worker->notify == NULL) {
        return NGX_ERROR;
    }

    worker->presence = ngx_chat_presence_create(cycle, chmcf);
    if (worker->presence == NULL) {
        return NGX_ERROR;
    }

    worker->outbox = ngx_chat_outbox_create(cycle, chmcf);

    return worker->outbox ? NGX_OK : NGX_ERROR;
}
