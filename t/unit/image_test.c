
/*
 * Copyright (C) ngx_chat contributors
 */


#include "test.h"
#include "src/core/ngx_chat_image.h"


/* headers of images, which end where the reader needs no more */

typedef struct {
    const char        *name;
    ngx_str_t          data;
    ngx_chat_image_e   format;
    uint32_t           width;
    uint32_t           height;
} image_test_t;


#define I(text)  { sizeof(text) - 1, (u_char *) text }

#define EXIF(orientation)                                                     \
    "\xff\xe1\x00\x22" "Exif\0\0" "II*\0\x08\0\0\0" "\x01\0"                 \
    "\x12\x01\x03\0\x01\0\0\0" orientation "\0\0\0" "\0\0\0\0"

#define FRAME  "\xff\xc0\x00\x11\x08\x01\xe0\x02\x80\x03" "123456789"

#define ISPE   "\0\0\0\x14" "ispe" "\0\0\0\0" "\0\0\x02\x80" "\0\0\x01\xe0"
#define TILE   "\0\0\0\x14" "ispe" "\0\0\0\0" "\0\0\0\x40" "\0\0\0\x40"
#define IROT   "\0\0\0\x09" "irot" "\x01"
#define FTYP   "\0\0\0\x14" "ftyp" "mif1" "\0\0\0\0" "avif"


static image_test_t  image_tests[] = {
    { "PNG", I("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0"),
      NGX_CHAT_IMAGE_PNG, 640, 480 },
    { "PNG of no width", I("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0\0\0\x01\xe0"),
      NGX_CHAT_IMAGE_PNG, 0, 0 },
    { "PNG too short", I("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01"),
      NGX_CHAT_IMAGE_NONE, 0, 0 },
    { "GIF", I("GIF89a\x80\x02\xe0\x01"), NGX_CHAT_IMAGE_GIF, 640, 480 },
    { "JPEG", I("\xff\xd8\xff\xe0\x00\x04xx" FRAME),
      NGX_CHAT_IMAGE_JPEG, 640, 480 },
    { "JPEG with fill bytes", I("\xff\xd8\xff\xff" FRAME),
      NGX_CHAT_IMAGE_JPEG, 640, 480 },
    { "upright JPEG", I("\xff\xd8" EXIF("\x03") FRAME),
      NGX_CHAT_IMAGE_JPEG, 640, 480 },
    { "rotated JPEG", I("\xff\xd8" EXIF("\x06") FRAME),
      NGX_CHAT_IMAGE_JPEG, 480, 640 },
    { "JPEG of an invalid orientation", I("\xff\xd8" EXIF("\x09") FRAME),
      NGX_CHAT_IMAGE_JPEG, 640, 480 },
    { "JPEG with a segment beyond the end", I("\xff\xd8\xff\xe1\xff\xff" "xx"),
      NGX_CHAT_IMAGE_JPEG, 0, 0 },
    { "JPEG without a frame", I("\xff\xd8\xff\xda\x00\x02" FRAME),
      NGX_CHAT_IMAGE_JPEG, 0, 0 },
    { "lossy WebP",
      I("RIFF1234WEBPVP8 1234abc\x9d\x01\x2a\x80\x02\xe0\x01"),
      NGX_CHAT_IMAGE_WEBP, 640, 480 },
    { "lossless WebP", I("RIFF1234WEBPVP8L1234\x2f\x7f\xc2\x77\x00"),
      NGX_CHAT_IMAGE_WEBP, 640, 480 },
    { "extended WebP",
      I("RIFF1234WEBPVP8X12341234\x7f\x02\x00\xdf\x01\x00"),
      NGX_CHAT_IMAGE_WEBP, 640, 480 },
    { "AVIF", I(FTYP "\0\0\0\x38" "meta" "\0\0\0\0" "\0\0\0\x2c" "iprp"
                "\0\0\0\x24" "ipco" ISPE "\0\0\0\x08" "free"),
      NGX_CHAT_IMAGE_AVIF, 640, 480 },
    { "rotated AVIF of tiles",
      I(FTYP "\0\0\0\x4d" "meta" "\0\0\0\0" "\0\0\0\x41" "iprp"
        "\0\0\0\x39" "ipco" ISPE TILE IROT),
      NGX_CHAT_IMAGE_AVIF, 480, 640 },
    { "HEIC", I("\0\0\0\x14" "ftyp" "heic" "\0\0\0\0" "mif1"),
      NGX_CHAT_IMAGE_NONE, 0, 0 },
    { "HTML", I("<script>alert(1)</script>"), NGX_CHAT_IMAGE_NONE, 0, 0 },
    { "nothing", I(""), NGX_CHAT_IMAGE_NONE, 0, 0 }
};


/* each header is copied, so that a sanitizer finds a read behind its end */

void
test_image(void)
{
    size_t             len;
    u_char            *data;
    ngx_uint_t         i;
    image_test_t      *test;
    ngx_chat_image_t   image;

    for (i = 0; i < sizeof(image_tests) / sizeof(image_tests[0]); i++) {
        test = &image_tests[i];

        for (len = 0; len <= test->data.len; len++) {
            data = malloc(len ? len : 1);
            memcpy(data, test->data.data, len);
            ngx_chat_image_read(&image, data, len);
            free(data);
        }

        test_ok(image.format == test->format && image.width == test->width
                && image.height == test->height, "image: %s", test->name);
    }
}
