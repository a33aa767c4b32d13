
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_json.h"


/* members that do not apply to a message are omitted */

void
ngx_chat_json_message(ngx_chat_json_t *json, ngx_chat_message_t *message)
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

    ngx_chat_json_end(json);
}


void
ngx_chat_json_change(ngx_chat_json_t *json, ngx_chat_message_t *change)
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
        ngx_chat_json_message(json, &message);

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
