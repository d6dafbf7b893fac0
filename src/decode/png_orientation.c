/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/bytes.h"
#include "decode/orientation.h"

/* Pillow keeps EXIF and text under their names in one dictionary, wherever in the file they stand.
 * What is under one of the names that it looks for and is not what it expects there, or is
 * deflated, is left to it. */

#define SIGNATURE_BYTES 8
#define MAX_CHUNKS 4096
#define TYPE(a, b, c, d)                                                                           \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static int is_keyword(const uint8_t *data, size_t size, const char *name)
{
    size_t n = strlen(name) + 1;
    return size >= n && memcmp(data, name, n) == 0;
}

static int is_looked_at(const uint8_t *data, size_t size)
{
    return is_keyword(data, size, "exif") || is_keyword(data, size, "xmp") ||
           is_keyword(data, size, "Raw profile type exif") ||
           is_keyword(data, size, "XML:com.adobe.xmp");
}

/* An iTXt chunk with XMP: keyword, compression, its method, two more strings, text. */
static int take_xmp(struct pst__metadata *metadata, const uint8_t *data, size_t size)
{
    size_t at = sizeof "XML:com.adobe.xmp";
    if (metadata->xmp || size - at < 2 || data[at] != 0)
        return 0;
    at += 2;
    for (int i = 0; i < 2; i++) {
        const uint8_t *end = memchr(data + at, 0, size - at);
        if (!end)
            return 0;
        at = (size_t)(end - data) + 1;
    }
    metadata->xmp = data + at;
    metadata->xmp_size = size - at;
    return 1;
}

/* 0: unsure. */
static int take_chunk(struct pst__metadata *metadata, uint32_t type, const uint8_t *data,
                      size_t size)
{
    switch (type) {
    case TYPE('e', 'X', 'I', 'f'):
        if (metadata->exif)
            return 0;
        metadata->exif = data;
        metadata->exif_size = size;
        return 1;
    case TYPE('i', 'T', 'X', 't'):
        if (is_keyword(data, size, "XML:com.adobe.xmp"))
            return take_xmp(metadata, data, size);
        return !is_looked_at(data, size);
    case TYPE('t', 'E', 'X', 't'):
    case TYPE('z', 'T', 'X', 't'):
        return !is_looked_at(data, size);
    default:
        return 1;
    }
}

int pst__png_orientation(const uint8_t *data, size_t size)
{
    struct pst__bytes b = pst__bytes_over(data, size);
    struct pst__metadata metadata = {0};
    pst__bytes_take(&b, SIGNATURE_BYTES);
    for (int i = 0; i < MAX_CHUNKS; i++) {
        uint32_t n = pst__bytes_be32(&b), type = pst__bytes_be32(&b);
        const uint8_t *body = pst__bytes_take(&b, n);
        pst__bytes_be32(&b); /* CRC */
        if (b.over || !take_chunk(&metadata, type, body, n))
            return PST_ORIENTATION_UNSURE;
        if (type == TYPE('I', 'E', 'N', 'D'))
            return pst__orientation(&metadata);
    }
    return PST_ORIENTATION_UNSURE;
}
