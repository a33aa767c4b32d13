
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_json.h"


/* cannot occur inside of a string, in which quotes are escaped */
#define NGX_CHAT_JSON_URL  "\"url\":\""


static void ngx_chat_json_files(ngx_chat_json_t *json, const ngx_str_t *files,
    const ngx_str_t *base);


/* members that do not apply to a message are omitted */

void
ngx_chat_json_message(ngx_chat_json_t *json, ngx_chat_message_t *message,
    const ngx_str_t *base)
{
    ngx_chat_json_object(json);

    ngx_chat_json_key(json, "id");
    ngx_chat_json_number(json, message->id);

    ngx_chat_json_key(json, "user");
    ngx_chat_json_string(json, &message->sender);

    ngx_chat_json_key(json, "recipient");
    ngx_chat_json_string(json, &message->recipient);

    ngx_chat_json_key(json, "timestamp");
    ngx_chat_json_string(json, &message->timestamp);

    ngx_chat_json_key(json, "body");
    ngx_chat_json_string(json, &message->body);

    if (message->reply_to) {
        ngx_chat_json_key(json, "reply_to");
        ngx_chat_json_number(json, message->reply_to);
    }

    if (message->edited.len) {
        ngx_chat_json_key(json, "edited_at");
        ngx_chat_json_string(json, &message->edited);
    }

    if (message->files.len) {
        ngx_chat_json_key(json, "files");
        ngx_chat_json_files(json, &message->files, base);
    }

    ngx_chat_json_end(json);
}


/* the stored array, with the base before each URL */

static void
ngx_chat_json_files(ngx_chat_json_t *json, const ngx_str_t *files,
    const ngx_str_t *base)
{
    u_char      *p, *last, *url;
    ngx_uint_t   begin;

    p = files->data;
    last = p + files->len;

    for (begin = 1; p < last; begin = 0) {

        url = memmem(p, last - p, NGX_CHAT_JSON_URL,
                     sizeof(NGX_CHAT_JSON_URL) - 1);
        if (url == NULL) {
            ngx_chat_json_raw(json, begin, p, last - p);
            return;
        }

        url += sizeof(NGX_CHAT_JSON_URL) - 1;

        ngx_chat_json_raw(json, begin, p, url - p);
        ngx_chat_json_raw(json, 0, base->data, base->len);

        p = url;
    }
}


void
ngx_chat_json_change(ngx_chat_json_t *json, ngx_chat_message_t *change,
    const ngx_str_t *base)
{
    ngx_chat_message_t  message;

    ngx_chat_json_object(json);

    ngx_chat_json_key(json, "id");
    ngx_chat_json_number(json, change->id);

    ngx_chat_json_key(json, "change");

    if (change->timestamp.len) {
        message = *change;
        message.id = change->target_id;

        ngx_chat_json_text(json, "edited");
        ngx_chat_json_key(json, "message");
        ngx_chat_json_message(json, &message, base);

    } else {
        ngx_chat_json_text(json, "deleted");
        ngx_chat_json_key(json, "message_id");
        ngx_chat_json_number(json, change->target_id);
        ngx_chat_json_key(json, "user");
        ngx_chat_json_string(json, &change->sender);
        ngx_chat_json_key(json, "recipient");
        ngx_chat_json_string(json, &change->recipient);
    }

    ngx_chat_json_end(json);
}
