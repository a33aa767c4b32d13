
/*
 * Copyright (C) ngx_chat contributors
 */


#include "fuzz.h"
#include "src/core/ngx_chat_image.h"


/* the result depends on the input only, and is one that a row can have */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_chat_image_t  image, again;

    ngx_chat_image_read(&image, data, size);

    memset(&again, 0xff, sizeof(again));
    ngx_chat_image_read(&again, data, size);

    fuzz_assert(image.format == again.format && image.width == again.width
                && image.height == again.height);

    fuzz_assert(image.format <= NGX_CHAT_IMAGE_AVIF
                && (image.width == 0) == (image.height == 0)
                && (image.format || image.width == 0)
                && image.width <= 0x7fffffff && image.height <= 0x7fffffff);

    return 0;
}
