/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/orientation.h"

#include <string.h>

#include "base/bytes.h"

#define ORIENTATION_TAG 0x0112
#define TIFF_SHORT 3
#define MAX_ENTRIES 1024 /* a directory has some dozens */
#define NOT_SAID (-1)

static const uint8_t exif_prefix[6] = {'E', 'x', 'i', 'f', 0, 0};

static int in_range(int value)
{
    return value >= 1 && value <= 8 ? value : 1; /* exif_transpose() knows no others */
}

struct tiff {
    struct pst__bytes bytes;
    int is_big_endian;
};

static uint16_t tiff_u16(struct tiff *tiff)
{
    return tiff->is_big_endian ? pst__bytes_be16(&tiff->bytes) : pst__bytes_le16(&tiff->bytes);
}

static uint32_t tiff_u32(struct tiff *tiff)
{
    return tiff->is_big_endian ? pst__bytes_be32(&tiff->bytes) : pst__bytes_le32(&tiff->bytes);
}

static uint32_t type_size(int type)
{
    static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
    return (size_t)type < sizeof sizes ? sizes[type] : 0;
}

/* One entry of the directory; its value if it is the orientation. At data outside, Pillow stops or
 * goes on, by its release. Of a tag that comes twice it takes the first or the last. */
static int read_entry(struct tiff *tiff, uint64_t *data_bytes)
{
    int tag = tiff_u16(tiff), type = tiff_u16(tiff);
    uint32_t count = tiff_u32(tiff);
    uint64_t size = (uint64_t)count * type_size(type);
    if (tag == ORIENTATION_TAG) {
        int value = tiff_u16(tiff);
        pst__bytes_take(&tiff->bytes, 2);
        return type == TIFF_SHORT && count == 1 ? in_range(value) : PST_ORIENTATION_UNSURE;
    }
    uint32_t at = tiff_u32(tiff);
    if (size > 4) {
        *data_bytes += size;
        if (at > tiff->bytes.size || size > tiff->bytes.size - at || *data_bytes > tiff->bytes.size)
            return PST_ORIENTATION_UNSURE;
    }
    return NOT_SAID;
}

static int of_exif(const uint8_t *data, size_t size)
{
    /* Of more than one of them releases take off two or all. */
    if (size >= sizeof exif_prefix && memcmp(data, exif_prefix, sizeof exif_prefix) == 0) {
        data += sizeof exif_prefix;
        size -= sizeof exif_prefix;
    }
    if (size == 0)
        return NOT_SAID;
    struct tiff tiff = {pst__bytes_over(data, size), data[0] == 'M'};
    uint32_t order = pst__bytes_be32(&tiff.bytes);
    uint32_t first = tiff_u32(&tiff);
    if (tiff.bytes.over || (order != 0x49492a00 && order != 0x4d4d002a) || first > size)
        return PST_ORIENTATION_UNSURE;
    tiff.bytes.pos = first;
    int n = tiff_u16(&tiff), found = NOT_SAID;
    if (n > MAX_ENTRIES)
        return PST_ORIENTATION_UNSURE;
    uint64_t data_bytes = 0;
    for (int i = 0; i < n; i++) {
        int value = read_entry(&tiff, &data_bytes);
        if (value == PST_ORIENTATION_UNSURE || (value != NOT_SAID && found != NOT_SAID))
            return PST_ORIENTATION_UNSURE;
        if (value != NOT_SAID)
            found = value;
    }
    pst__bytes_take(&tiff.bytes, 4); /* the place of the next directory */
    return tiff.bytes.over ? PST_ORIENTATION_UNSURE : found;
}

/* The first tiff:Orientation="N" or <tiff:Orientation>N, without a look at the XML around it. */
static int of_xmp(const uint8_t *data, size_t size)
{
    static const char name[] = "tiff:Orientation";
    const size_t n_name = sizeof name - 1;
    struct pst__bytes b = pst__bytes_over(data, size);
    for (;;) {
        const uint8_t *at = memmem(data + b.pos, size - b.pos, name, n_name);
        if (!at)
            return 1;
        b.pos = (size_t)(at - data) + n_name;
        struct pst__bytes c = b;
        int ch = pst__bytes_u8(&c);
        if (ch == '=')
            ch = pst__bytes_u8(&c) == '"' ? '>' : 0;
        int digit = pst__bytes_u8(&c);
        if (ch == '>' && digit >= '0' && digit <= '9')
            return in_range(digit - '0');
    }
}

int pst__orientation(const struct pst__metadata *metadata)
{
    if (metadata->is_unsure)
        return PST_ORIENTATION_UNSURE;
    int found = metadata->exif_size > 0 ? of_exif(metadata->exif, metadata->exif_size) : NOT_SAID;
    if (found == NOT_SAID)
        found = metadata->xmp_size > 0 ? of_xmp(metadata->xmp, metadata->xmp_size) : 1;
    return found;
}
