
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_image.h"


/*
 * The readers receive files of users.  Each access to the data is preceded by
 * a check of the length, and each loop consumes data.
 */


#define NGX_CHAT_IMAGE_MAX_SIDE    0x7fffffff

/* EXIF: the tag of the orientation, and values above 4 swap the sides */
#define NGX_CHAT_IMAGE_ORIENTATION  0x0112
#define NGX_CHAT_IMAGE_UPRIGHT      4

/* levels of boxes in AVIF: meta, iprp, ipco, ispe */
#define NGX_CHAT_IMAGE_BOXES        4


#define ngx_chat_image_be16(p)  ((uint32_t) (p)[0] << 8 | (p)[1])
#define ngx_chat_image_be32(p)                                                \
    ((uint32_t) (p)[0] << 24 | (uint32_t) (p)[1] << 16                        \
     | (uint32_t) (p)[2] << 8 | (p)[3])
#define ngx_chat_image_le16(p)  ((uint32_t) (p)[1] << 8 | (p)[0])
#define ngx_chat_image_le24(p)                                                \
    ((uint32_t) (p)[2] << 16 | ngx_chat_image_le16(p))
#define ngx_chat_image_le32(p)                                                \
    ((uint32_t) (p)[3] << 24 | ngx_chat_image_le24(p))

#define ngx_chat_image_is(p, text)                                            \
    (ngx_memcmp(p, text, sizeof(text) - 1) == 0)


static void ngx_chat_image_set(ngx_chat_image_t *image, uint32_t width,
    uint32_t height);
static void ngx_chat_image_jpeg(ngx_chat_image_t *image, const u_char *p,
    size_t len);
static ngx_uint_t ngx_chat_image_orientation(const u_char *p, size_t len);
static void ngx_chat_image_webp(ngx_chat_image_t *image, const u_char *p,
    size_t len);
static ngx_uint_t ngx_chat_image_avif_brand(const u_char *p, size_t len);
static void ngx_chat_image_avif(ngx_chat_image_t *image, const u_char *p,
    size_t len, ngx_uint_t level, ngx_uint_t *rotated);


void
ngx_chat_image_read(ngx_chat_image_t *image, const u_char *data, size_t len)
{
    ngx_uint_t  rotated;

    ngx_memzero(image, sizeof(ngx_chat_image_t));

    if (len >= 24 && ngx_chat_image_is(data, "\x89PNG\r\n\x1a\n")
        && ngx_chat_image_is(data + 12, "IHDR"))
    {
        image->format = NGX_CHAT_IMAGE_PNG;
        ngx_chat_image_set(image, ngx_chat_image_be32(data + 16),
                           ngx_chat_image_be32(data + 20));

    } else if (len >= 10 && (ngx_chat_image_is(data, "GIF87a")
                             || ngx_chat_image_is(data, "GIF89a")))
    {
        image->format = NGX_CHAT_IMAGE_GIF;
        ngx_chat_image_set(image, ngx_chat_image_le16(data + 6),
                           ngx_chat_image_le16(data + 8));

    } else if (len >= 3 && ngx_chat_image_is(data, "\xff\xd8\xff")) {
        image->format = NGX_CHAT_IMAGE_JPEG;
        ngx_chat_image_jpeg(image, data + 2, len - 2);

    } else if (len >= 16 && ngx_chat_image_is(data, "RIFF")
               && ngx_chat_image_is(data + 8, "WEBP"))
    {
        image->format = NGX_CHAT_IMAGE_WEBP;
        ngx_chat_image_webp(image, data + 12, len - 12);

    } else if (ngx_chat_image_avif_brand(data, len)) {
        image->format = NGX_CHAT_IMAGE_AVIF;
        rotated = 0;
        ngx_chat_image_avif(image, data, len, 0, &rotated);

        if (rotated) {
            ngx_chat_image_set(image, image->height, image->width);
        }
    }
}


static void
ngx_chat_image_set(ngx_chat_image_t *image, uint32_t width, uint32_t height)
{
    if (width == 0 || width > NGX_CHAT_IMAGE_MAX_SIDE
        || height == 0 || height > NGX_CHAT_IMAGE_MAX_SIDE)
    {
        return;
    }

    image->width = width;
    image->height = height;
}


/* segments up to the frame header, which has the size */

static void
ngx_chat_image_jpeg(ngx_chat_image_t *image, const u_char *p, size_t len)
{
    size_t      size;
    u_char      marker;
    ngx_uint_t  swap;

    swap = 0;

    while (len >= 4) {

        if (p[0] != 0xff) {
            return;
        }

        marker = p[1];

        if (marker == 0xff) {
            /* a fill byte */
            p++;
            len--;
            continue;
        }

        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
            /* a marker without a segment */
            p += 2;
            len -= 2;
            continue;
        }

        size = ngx_chat_image_be16(p + 2);

        if (marker == 0xd9 || marker == 0xda || size < 2 || size > len - 2) {
            return;
        }

        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4
            && marker != 0xc8 && marker != 0xcc)
        {
            if (size >= 7) {
                ngx_chat_image_set(image,
                                   ngx_chat_image_be16(p + (swap ? 5 : 7)),
                                   ngx_chat_image_be16(p + (swap ? 7 : 5)));
            }

            return;
        }

        if (marker == 0xe1
            && ngx_chat_image_orientation(p + 4, size - 2)
               > NGX_CHAT_IMAGE_UPRIGHT)
        {
            swap = 1;
        }

        p += 2 + size;
        len -= 2 + size;
    }
}


/* returns the orientation of an EXIF segment, or 0 */

static ngx_uint_t
ngx_chat_image_orientation(const u_char *p, size_t len)
{
    size_t      offset;
    uint32_t    n, tag, value;
    ngx_uint_t  little;

    if (len < 14 || ngx_memcmp(p, "Exif\0\0", 6) != 0) {
        return 0;
    }

    p += 6;
    len -= 6;

    little = (p[0] == 'I');
    offset = little ? ngx_chat_image_le32(p + 4) : ngx_chat_image_be32(p + 4);

    if (offset > len - 2) {
        return 0;
    }

    p += offset;
    len -= offset;

    n = little ? ngx_chat_image_le16(p) : ngx_chat_image_be16(p);
    p += 2;
    len -= 2;

    for ( /* void */ ; n && len >= 12; n--) {
        tag = little ? ngx_chat_image_le16(p) : ngx_chat_image_be16(p);

        if (tag == NGX_CHAT_IMAGE_ORIENTATION) {
            value = little ? ngx_chat_image_le16(p + 8)
                           : ngx_chat_image_be16(p + 8);
            return (value <= 8) ? value : 0;
        }

        p += 12;
        len -= 12;
    }

    return 0;
}


/* the first chunk: lossy, lossless, or extended */

static void
ngx_chat_image_webp(ngx_chat_image_t *image, const u_char *p, size_t len)
{
    uint32_t  bits;

    if (len >= 18 && ngx_chat_image_is(p, "VP8 ")
        && ngx_chat_image_is(p + 11, "\x9d\x01\x2a"))
    {
        ngx_chat_image_set(image, ngx_chat_image_le16(p + 14) & 0x3fff,
                           ngx_chat_image_le16(p + 16) & 0x3fff);

    } else if (len >= 13 && ngx_chat_image_is(p, "VP8L") && p[8] == 0x2f) {
        bits = ngx_chat_image_le32(p + 9);
        ngx_chat_image_set(image, (bits & 0x3fff) + 1,
                           (bits >> 14 & 0x3fff) + 1);

    } else if (len >= 18 && ngx_chat_image_is(p, "VP8X")) {
        ngx_chat_image_set(image, ngx_chat_image_le24(p + 12) + 1,
                           ngx_chat_image_le24(p + 15) + 1);
    }
}


/* the box "ftyp" lists the brands after its minor version */

static ngx_uint_t
ngx_chat_image_avif_brand(const u_char *p, size_t len)
{
    size_t  i, size;

    if (len < 16 || !ngx_chat_image_is(p + 4, "ftyp")) {
        return 0;
    }

    size = ngx_min(ngx_chat_image_be32(p), len);

    for (i = 8; i + 4 <= size; i += 4) {
        if (i != 12 && (ngx_chat_image_is(p + i, "avif")
                        || ngx_chat_image_is(p + i, "avis")))
        {
            return 1;
        }
    }

    return 0;
}


/*
 * An image may consist of tiles and have a thumbnail, each with a size.  The
 * largest one is that of the image.
 */

static void
ngx_chat_image_avif(ngx_chat_image_t *image, const u_char *p, size_t len,
    ngx_uint_t level, ngx_uint_t *rotated)
{
    size_t    size;
    uint32_t  width, height;

    for ( /* void */ ; len >= 8; p += size, len -= size) {
        size = ngx_chat_image_be32(p);

        if (size == 0) {
            size = len;
        }

        if (size < 8 || size > len) {
            return;
        }

        if (level == NGX_CHAT_IMAGE_BOXES - 1) {

            if (size >= 20 && ngx_chat_image_is(p + 4, "ispe")) {
                width = ngx_chat_image_be32(p + 12);
                height = ngx_chat_image_be32(p + 16);

                if ((uint64_t) width * height
                    > (uint64_t) image->width * image->height)
                {
                    ngx_chat_image_set(image, width, height);
                }

            } else if (size >= 9 && ngx_chat_image_is(p + 4, "irot")) {
                *rotated = p[8] & 1;
            }

        } else if (level == 0 && size >= 12
                   && ngx_chat_image_is(p + 4, "meta"))
        {
            /* four bytes of version and flags */
            ngx_chat_image_avif(image, p + 12, size - 12, 1, rotated);

        } else if ((level == 1 && ngx_chat_image_is(p + 4, "iprp"))
                   || (level == 2 && ngx_chat_image_is(p + 4, "ipco")))
        {
            ngx_chat_image_avif(image, p + 8, size - 8, level + 1, rotated);
        }
    }
}
