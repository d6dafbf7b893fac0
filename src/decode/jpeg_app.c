/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "decode/jpeg_markers.h"

/* libjpeg reads APP0 and APP14 alone, for the colour space. Pillow looks into more of them while it
 * opens a file, and what it does not expect there can make it refuse the whole file: an IndexError
 * or struct.error in its parser says "not a JPEG" to Image.open(). */

#define JFIF_BYTES 14  /* libjpeg takes a shorter segment for something else */
#define ADOBE_BYTES 12 /* likewise */
#define ICC_BYTES 14   /* name, number and count; Pillow reads the count without asking */

#define TIFF_RATIONAL 5
#define TIFF_SHORT 3
#define TIFF_LONG 4
#define TAG_X_RESOLUTION 0x011a
#define TAG_RESOLUTION_UNIT 0x0128

#define STARTS(data, size, text)                                                                   \
    ((size) >= sizeof(text) - 1 && memcmp((data), (text), sizeof(text) - 1) == 0)

static int take_jfif(struct pst__jpeg_apps *apps, const uint8_t *data, size_t size, size_t offset,
                     struct pst_error *err)
{
    if (size < JFIF_BYTES || data[4] != 0)
        return pst__fail_at(err, PST_EUNCLEAN, (int64_t)offset,
                            "JFIF segment of %zu bytes, expected at least %d", size, JFIF_BYTES);
    if (data[5] != 1)
        return pst__fail_at(err, PST_EUNCLEAN, (int64_t)offset, "JFIF version %d.%02d, expected 1",
                            data[5], data[6]);
    apps->has_jfif = 1;
    if (data[7] == 1 || data[7] == 2)
        apps->has_density = 1;
    return PST_OK;
}

static int take_adobe(struct pst__jpeg_apps *apps, const uint8_t *data, size_t size, size_t offset,
                      struct pst_error *err)
{
    if (size < ADOBE_BYTES)
        return pst__fail_at(err, PST_EUNCLEAN, (int64_t)offset,
                            "Adobe segment of %zu bytes, expected at least %d", size, ADOBE_BYTES);
    apps->has_adobe = 1;
    apps->adobe_transform = data[11];
    return PST_OK;
}

/* Pillow's loop over Photoshop's image resources. It is at ease with data that end early, but for
 * one place: the length byte of a resource's name. */
static int check_photoshop(const uint8_t *data, size_t size, size_t offset, struct pst_error *err)
{
    size_t at = sizeof "Photoshop 3.0";
    while (at < size && STARTS(data + at, size - at, "8BIM")) {
        at += 4;
        if (size - at < 2)
            break;
        at += 2;
        if (at == size)
            return pst__fail_at(err, PST_EUNCLEAN, (int64_t)(offset + at),
                                "Photoshop resource ends before its name");
        at += 1 + (size_t)data[at];
        at += at & 1;
        if (at > size || size - at < 4)
            break;
        struct pst__bytes b = pst__bytes_over(data + at, 4);
        at += 4 + (size_t)pst__bytes_be32(&b);
        at += at & 1;
    }
    return PST_OK;
}

static int take_app1(struct pst__jpeg_apps *apps, const uint8_t *data, size_t size)
{
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/";
    if (size >= sizeof xmp && memcmp(data, xmp, sizeof xmp) == 0) {
        apps->xmp = data + sizeof xmp;
        apps->xmp_size = size - sizeof xmp;
    }
    if (!STARTS(data, size, "Exif\0\0"))
        return PST_OK;
    if (apps->n_exif++ == 0) {
        apps->exif = data + 6;
        apps->exif_size = size - 6;
    }
    return PST_OK;
}

static int check_app2(const uint8_t *data, size_t size, size_t offset, struct pst_error *err)
{
    if (STARTS(data, size, "MPF\0"))
        return pst__fail_at(err, PST_EUNSUPPORTED, (int64_t)offset,
                            "JPEG with a multi-picture index (MPO)");
    if (STARTS(data, size, "ICC_PROFILE\0") && size < ICC_BYTES)
        return pst__fail_at(err, PST_EUNCLEAN, (int64_t)offset,
                            "ICC profile segment of %zu bytes, expected at least %d", size,
                            ICC_BYTES);
    return PST_OK;
}

int pst__jpeg_take_app(struct pst__jpeg_apps *apps, int marker, const uint8_t *data, size_t size,
                       size_t offset, struct pst_error *err)
{
    switch (marker - PST_JPEG_APP0) {
    case 0:
        return STARTS(data, size, "JFIF") ? take_jfif(apps, data, size, offset, err) : PST_OK;
    case 1:
        return take_app1(apps, data, size);
    case 2:
        return check_app2(data, size, offset, err);
    case 13:
        return STARTS(data, size, "Photoshop 3.0\0") ? check_photoshop(data, size, offset, err)
                                                     : PST_OK;
    case 14:
        return STARTS(data, size, "Adobe") ? take_adobe(apps, data, size, offset, err) : PST_OK;
    default:
        return PST_OK;
    }
}

struct tiff {
    struct pst__bytes bytes;
    int is_big_endian;
};

static uint16_t tiff_u16(struct tiff *tiff)
{
    uint16_t v = pst__bytes_be16(&tiff->bytes);
    return tiff->is_big_endian ? v : __builtin_bswap16(v);
}

static uint32_t tiff_u32(struct tiff *tiff)
{
    uint32_t v = pst__bytes_be32(&tiff->bytes);
    return tiff->is_big_endian ? v : __builtin_bswap32(v);
}

static uint32_t tiff_type_size(int type)
{
    static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
    return (size_t)type < sizeof sizes ? sizes[type] : 0;
}

static int bad_exif(const struct tiff *tiff, const uint8_t *file, const char *why,
                    struct pst_error *err)
{
    return pst__fail_at(err, PST_EUNCLEAN, (int64_t)(tiff->bytes.data - file + tiff->bytes.pos),
                        "EXIF %s", why);
}

/* One entry of the directory. Pillow warns of data outside the segment, and of the two tags that
 * it evaluates only these types cannot end in an exception. */
static int check_entry(struct tiff *tiff, uint64_t *data_bytes, const uint8_t *file,
                       struct pst_error *err)
{
    int tag = tiff_u16(tiff), type = tiff_u16(tiff);
    uint32_t count = tiff_u32(tiff), at = tiff_u32(tiff);
    uint64_t size = (uint64_t)count * tiff_type_size(type);
    if (size > 4) {
        *data_bytes += size;
        if (at > tiff->bytes.size || size > tiff->bytes.size - at || *data_bytes > tiff->bytes.size)
            return bad_exif(tiff, file, "entry points outside its segment", err);
    }
    if (tag == TAG_RESOLUTION_UNIT && !(type == TIFF_SHORT && count == 1))
        return bad_exif(tiff, file, "resolution unit is not one SHORT", err);
    if (tag == TAG_X_RESOLUTION &&
        !((type == TIFF_RATIONAL || type == TIFF_SHORT || type == TIFF_LONG) && count == 1))
        return bad_exif(tiff, file, "resolution is not one number", err);
    return PST_OK;
}

int pst__jpeg_check_exif(const struct pst__jpeg_apps *apps, const uint8_t *file,
                         struct pst_error *err)
{
    if (apps->n_exif == 0 || apps->has_density)
        return PST_OK;
    struct tiff tiff = {pst__bytes_over(apps->exif, apps->exif_size), 0};
    if (apps->n_exif > 1)
        return bad_exif(&tiff, file, "comes in several segments", err);
    if (!STARTS(apps->exif, apps->exif_size, "II\x2a\0") &&
        !STARTS(apps->exif, apps->exif_size, "MM\0\x2a"))
        return bad_exif(&tiff, file, "has no TIFF header", err);
    tiff.is_big_endian = apps->exif[0] == 'M';
    pst__bytes_take(&tiff.bytes, 4);
    uint32_t first = tiff_u32(&tiff);
    if (tiff.bytes.over || first > tiff.bytes.size)
        return bad_exif(&tiff, file, "directory lies outside its segment", err);
    tiff.bytes.pos = first;
    int n = tiff_u16(&tiff);
    /* After the entries comes the place of the next directory. */
    if (tiff.bytes.over || pst__bytes_left(&tiff.bytes) < (size_t)n * 12 + 4)
        return bad_exif(&tiff, file, "directory ends after its segment", err);
    uint64_t data_bytes = 0;
    for (int i = 0; i < n; i++) {
        int rc = check_entry(&tiff, &data_bytes, file, err);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}
