/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"

/* Uncompressed BMP files as Pillow's BmpImagePlugin (11.3 to 13.0) reads them. Run lengths, JPEG
 * and PNG inside a BMP, and what the plugin reads in a way of its own, are doubts. */

#define FILE_HEADER_BYTES 14
#define CORE_HEADER_BYTES 12 /* OS/2 */
#define INFO_HEADER_BYTES 40
#define COMPRESSION_NONE 0
#define COMPRESSION_BITFIELDS 3

enum layout {
    LAYOUT_TABLE,   /* 1, 4 or 8 bits through the table */
    LAYOUT_16,      /* two bytes, of 5, 5 or 6, and 5 bits */
    LAYOUT_SAMPLES, /* one byte each */
};

struct header {
    int32_t width, height;
    int is_top_down;
    int bits;
    enum layout layout;
    int green_bits;         /* LAYOUT_16 */
    uint8_t r, g, b;        /* LAYOUT_SAMPLES: the samples' places in a pixel */
    const uint8_t *palette; /* view */
    int n_palette, entry;   /* entries and the bytes of one */
    int is_identity;        /* each index is its own grey, whether in the palette or not */
    size_t offset, stride;  /* of the pixels; rows from there on */
};

struct bmp {
    int is_active;
    struct header header;
    const uint8_t *data;
    size_t size;
    struct pst_rect region;
    int n_given;
    uint8_t table[256][4];
    struct pst__scratch strip;
};

/* What the fields of the file say, before they are judged. */
struct fields {
    uint32_t offset, size;
    int64_t width, height;
    int is_top_down;
    int bits;
    uint32_t compression, colors;
    uint32_t masks[4];
};

static int bmp_matches(const uint8_t *data, size_t size)
{
    return size >= 2 && data[0] == 'B' && data[1] == 'M';
}

static int is_known_header(uint32_t size)
{
    return size == CORE_HEADER_BYTES || size == INFO_HEADER_BYTES || size == 52 || size == 56 ||
           size == 64 || size == 108 || size == 124;
}

static void read_core(struct pst__bytes *b, struct fields *f)
{
    f->width = pst__bytes_le16(b);
    f->height = pst__bytes_le16(b);
    pst__bytes_le16(b); /* planes */
    f->bits = pst__bytes_le16(b);
}

static void read_info(struct pst__bytes *b, struct fields *f)
{
    f->width = pst__bytes_le32(b);
    uint32_t height = pst__bytes_le32(b);
    f->is_top_down = height >> 24 == 0xff;
    f->height = f->is_top_down ? ((int64_t)1 << 32) - height : height;
    pst__bytes_le16(b); /* planes */
    f->bits = pst__bytes_le16(b);
    f->compression = pst__bytes_le32(b);
    pst__bytes_take(b, 12); /* bytes of the pixels, pixels per metre */
    f->colors = pst__bytes_le32(b);
    pst__bytes_le32(b); /* colours that matter */
    /* The masks are in the larger headers or behind the smallest; only from 56 bytes on there is
     * one of alpha. */
    for (int i = 0; i < 4 && f->compression == COMPRESSION_BITFIELDS; i++)
        f->masks[i] = i < 3 || f->size >= 56 ? pst__bytes_le32(b) : 0;
}

static int read_fields(const uint8_t *data, size_t size, struct fields *f, struct pst_error *err)
{
    struct pst__bytes b = pst__bytes_over(data, size);
    *f = (struct fields){0};
    pst__bytes_take(&b, 10);
    f->offset = pst__bytes_le32(&b);
    f->size = pst__bytes_le32(&b);
    if (!b.over && !is_known_header(f->size))
        return pst__fail_at(err, PST_EUNSUPPORTED, FILE_HEADER_BYTES,
                            "BMP header of %u bytes is unknown", f->size);
    if (f->size == CORE_HEADER_BYTES)
        read_core(&b, f);
    else
        read_info(&b, f);
    if (b.over || size - FILE_HEADER_BYTES < f->size)
        return pst__fail_at(err, PST_ETRUNCATED, FILE_HEADER_BYTES, "BMP ends in its header");
    return PST_OK;
}

static int check_size(const struct fields *f, struct pst_error *err)
{
    if (f->width <= 0 || f->height <= 0)
        return pst__fail_at(err, PST_EFORMAT, FILE_HEADER_BYTES + 4, "BMP without pixels");
    if (f->width > PST_MAX_SIDE || f->height > PST_MAX_SIDE ||
        f->width * f->height > PST_MAX_PIXELS)
        return pst__fail_at(err, PST_ELIMIT, FILE_HEADER_BYTES + 4,
                            "BMP of %lld x %lld pixels is over a limit", (long long)f->width,
                            (long long)f->height);
    return PST_OK;
}

/* The combinations of masks that Pillow knows, and where they put the samples. */
static int take_masks(const struct fields *f, struct header *h, struct pst_error *err)
{
    static const struct {
        int bits;
        uint32_t masks[4];
        uint8_t r, g, b;
    } known[] = {
        {32, {0xff0000, 0xff00, 0xff, 0}, 2, 1, 0},
        {32, {0xff000000, 0xff0000, 0xff00, 0}, 3, 2, 1},
        {32, {0xff000000, 0xff00, 0xff, 0}, 3, 1, 0},
        {32, {0xff000000, 0xff0000, 0xff00, 0xff}, 3, 2, 1},
        {32, {0xff, 0xff00, 0xff0000, 0xff000000}, 0, 1, 2},
        {32, {0xff0000, 0xff00, 0xff, 0xff000000}, 2, 1, 0},
        {32, {0xff000000, 0xff00, 0xff, 0xff0000}, 3, 1, 0},
        {32, {0, 0, 0, 0}, 2, 1, 0},
        {24, {0xff0000, 0xff00, 0xff, 0}, 2, 1, 0},
        {16, {0xf800, 0x7e0, 0x1f, 0}, 0, 6, 0},
        {16, {0x7c00, 0x3e0, 0x1f, 0}, 0, 5, 0},
    };
    for (size_t i = 0; i < PST_COUNTOF(known); i++) {
        /* Of 32 bits alone is the mask of alpha looked at. */
        size_t n = f->bits == 32 ? 4 : 3;
        if (f->bits != known[i].bits || memcmp(f->masks, known[i].masks, n * 4) != 0)
            continue;
        h->r = known[i].r;
        h->g = known[i].g;
        h->b = known[i].b;
        h->green_bits = known[i].g;
        return PST_OK;
    }
    return pst__fail_at(err, PST_EUNSUPPORTED, FILE_HEADER_BYTES,
                        "BMP masks %08x, %08x, %08x, %08x are unknown", f->masks[0], f->masks[1],
                        f->masks[2], f->masks[3]);
}

static int take_direct(const struct fields *f, struct header *h, struct pst_error *err)
{
    h->layout = f->bits == 16 ? LAYOUT_16 : LAYOUT_SAMPLES;
    h->green_bits = 5;
    h->r = 2;
    h->g = 1;
    h->b = 0;
    if (f->compression == COMPRESSION_NONE)
        return PST_OK;
    if (f->size == 64)
        return pst__fail_at(err, PST_EUNSUPPORTED, FILE_HEADER_BYTES,
                            "BMP of OS/2 with a compression of its own");
    return take_masks(f, h, err);
}

/* Whether Pillow takes the palette for a grey ramp: the two ends of it, or each index itself. */
static int is_grey_ramp(const struct header *h)
{
    for (int i = 0; i < h->n_palette; i++) {
        const uint8_t *p = h->palette + (size_t)i * (size_t)h->entry;
        uint8_t v = (uint8_t)(h->n_palette == 2 ? 255 * i : i);
        if (p[0] != v || p[1] != v || p[2] != v)
            return 0;
    }
    return 1;
}

static int take_palette(const struct fields *f, const uint8_t *data, size_t size, struct header *h,
                        struct pst_error *err)
{
    uint32_t n = f->colors ? f->colors : 1u << f->bits;
    size_t at = FILE_HEADER_BYTES + (size_t)f->size;
    h->layout = LAYOUT_TABLE;
    h->entry = f->size == CORE_HEADER_BYTES ? 3 : 4;
    if (f->compression != COMPRESSION_NONE)
        return pst__fail_at(err, PST_EUNSUPPORTED, FILE_HEADER_BYTES,
                            "BMP with a palette and compression %u", f->compression);
    if (n > 256)
        return pst__fail_at(err, PST_EUNSUPPORTED, FILE_HEADER_BYTES,
                            "BMP palette of %u colours, expected 1 to 256", n);
    struct pst__bytes b = pst__bytes_over(data, size);
    b.pos = at;
    h->palette = pst__bytes_take(&b, (size_t)n * (size_t)h->entry);
    if (!h->palette || f->offset < b.pos)
        return pst__fail_at(err, PST_EUNCLEAN, (int64_t)at,
                            "BMP palette does not end before the pixels");
    h->n_palette = (int)n;
    if (!is_grey_ramp(h))
        return PST_OK;
    /* Pillow forgets the palette and reads 8 bits a pixel, or 1 where there are two colours, what-
     * ever the header says. */
    if (f->bits != (n == 2 ? 1 : 8) || n == 1)
        return pst__fail_at(err, PST_EUNSUPPORTED, (int64_t)at,
                            "BMP of %d bits a pixel with a grey ramp of %u", f->bits, n);
    h->is_identity = n > 2;
    return PST_OK;
}

static int read_header(const uint8_t *data, size_t size, struct header *h, struct pst_error *err)
{
    struct fields f;
    *h = (struct header){0};
    int rc = read_fields(data, size, &f, err);
    if (rc == PST_OK)
        rc = check_size(&f, err);
    if (rc < 0)
        return rc;
    if (f.compression != COMPRESSION_NONE && f.compression != COMPRESSION_BITFIELDS)
        return pst__fail_at(err, PST_EUNSUPPORTED, FILE_HEADER_BYTES + 16, "BMP compression %u",
                            f.compression);
    if (f.bits == 1 || f.bits == 4 || f.bits == 8)
        rc = take_palette(&f, data, size, h, err);
    else if (f.bits == 16 || f.bits == 24 || f.bits == 32)
        rc = take_direct(&f, h, err);
    else
        rc = pst__fail_at(err, PST_EUNSUPPORTED, FILE_HEADER_BYTES, "BMP of %d bits a pixel",
                          f.bits);
    if (rc < 0)
        return rc;
    h->width = (int32_t)f.width;
    h->height = (int32_t)f.height;
    h->is_top_down = f.is_top_down;
    h->bits = f.bits;
    h->offset = f.offset;
    h->stride = ((size_t)f.width * (size_t)f.bits + 31) / 32 * 4;
    size_t least = FILE_HEADER_BYTES + (size_t)f.size;
    if (f.compression == COMPRESSION_BITFIELDS && f.size == INFO_HEADER_BYTES)
        least += 12;
    if (f.offset < least)
        return pst__fail_at(err, PST_EUNCLEAN, 10, "BMP pixels begin at %u, in its header",
                            f.offset);
    return PST_OK;
}

static int bmp_probe(const uint8_t *data, size_t size, struct pst_image_info *info,
                     struct pst_error *err)
{
    struct header h;
    int rc = read_header(data, size, &h, err);
    if (rc < 0)
        return rc;
    *info = (struct pst_image_info){
        .format = PST_IMAGE_BMP, .width = h.width, .height = h.height, .orientation = 1};
    return PST_OK;
}

static int bmp_open(void **state, struct pst_error *err)
{
    struct bmp *bmp = pst__calloc(1, sizeof *bmp, PST_MEM_SCRATCH);
    if (!bmp)
        return pst__fail(err, PST_ENOMEM, "no memory for a BMP decoder");
    *state = bmp;
    return PST_OK;
}

static void bmp_abort(void *state)
{
    struct bmp *bmp = state;
    bmp->is_active = 0;
    pst__scratch_trim(&bmp->strip);
}

static void bmp_close(void *state)
{
    struct bmp *bmp = state;
    if (!bmp)
        return;
    pst__scratch_reset(&bmp->strip);
    pst__free(bmp);
}

static size_t bmp_bytes(const void *state)
{
    const struct bmp *bmp = state;
    return sizeof *bmp + bmp->strip.size;
}

/* Indices that the palette does not give are black. */
static void fill_table(struct bmp *bmp)
{
    const struct header *h = &bmp->header;
    for (int i = 0; i < 256; i++) {
        uint8_t *to = bmp->table[i];
        memset(to, h->is_identity ? i : 0, 3);
        if (i < h->n_palette) {
            const uint8_t *from = h->palette + (size_t)i * (size_t)h->entry;
            to[0] = from[2];
            to[1] = from[1];
            to[2] = from[0];
        }
        to[3] = 255;
    }
}

static int bmp_start(void *state, const uint8_t *data, size_t size,
                     const struct pst_image_info *info, const struct pst_rect *region,
                     struct pst_error *err)
{
    struct bmp *bmp = state;
    struct header *h = &bmp->header;
    int rc = read_header(data, size, h, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(info->width == h->width && info->height == h->height, err,
                "BMP is %d x %d, the probe said %d x %d", h->width, h->height, info->width,
                info->height);
    /* No overflow: the sides are within the limits. */
    size_t bytes = h->stride * (size_t)h->height;
    if (h->offset > size || bytes > size - h->offset)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)h->offset,
                            "BMP pixels of %zu bytes end after the file of %zu", bytes, size);
    fill_table(bmp);
    bmp->data = data;
    bmp->size = size;
    bmp->region = *region;
    bmp->n_given = 0;
    bmp->is_active = 1;
    return PST_OK;
}

static void convert_table(const struct bmp *bmp, uint8_t *to, const uint8_t *row)
{
    size_t bits = (size_t)bmp->header.bits, bit = (size_t)bmp->region.x * bits;
    unsigned mask = (1u << bits) - 1;
    for (int i = 0; i < bmp->region.w; i++, bit += bits, to += 4)
        memcpy(to, bmp->table[row[bit / 8] >> (8 - bits - bit % 8) & mask], 4);
}

static void convert_16(const struct bmp *bmp, uint8_t *to, const uint8_t *row)
{
    int green_bits = bmp->header.green_bits, green_top = (1 << green_bits) - 1;
    row += (size_t)bmp->region.x * 2;
    for (int i = 0; i < bmp->region.w; i++, row += 2, to += 4) {
        int v = row[0] | row[1] << 8;
        to[0] = (uint8_t)((v >> (5 + green_bits) & 31) * 255 / 31);
        to[1] = (uint8_t)((v >> 5 & green_top) * 255 / green_top);
        to[2] = (uint8_t)((v & 31) * 255 / 31);
        to[3] = 255;
    }
}

static void convert_samples(const struct bmp *bmp, uint8_t *to, const uint8_t *row)
{
    const struct header *h = &bmp->header;
    size_t step = (size_t)h->bits / 8;
    row += (size_t)bmp->region.x * step;
    for (int i = 0; i < bmp->region.w; i++, row += step, to += 4) {
        to[0] = row[h->r];
        to[1] = row[h->g];
        to[2] = row[h->b];
        to[3] = 255;
    }
}

static void convert(const struct bmp *bmp, uint8_t *to, const uint8_t *row)
{
    switch (bmp->header.layout) {
    case LAYOUT_TABLE:
        convert_table(bmp, to, row);
        return;
    case LAYOUT_16:
        convert_16(bmp, to, row);
        return;
    case LAYOUT_SAMPLES:
        convert_samples(bmp, to, row);
        return;
    }
}

static int bmp_rows(void *state, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                    struct pst_error *err)
{
    struct bmp *bmp = state;
    const struct header *h = &bmp->header;
    int left = bmp->region.h - bmp->n_given, n = max_rows < left ? max_rows : left;
    PST_REQUIRE(bmp->is_active && n > 0, err, "no rows are left, or none were asked for");
    *stride = (ptrdiff_t)bmp->region.w * 4;
    if (!pst__scratch_reserve(&bmp->strip, (size_t)n * (size_t)*stride))
        return pst__fail(err, PST_ENOMEM, "no memory for %d rows of a BMP", n);
    for (int i = 0; i < n; i++) {
        int y = bmp->region.y + bmp->n_given + i;
        size_t line = (size_t)(h->is_top_down ? y : h->height - 1 - y);
        convert(bmp, bmp->strip.data + i * *stride, bmp->data + h->offset + line * h->stride);
    }
    *rows = bmp->strip.data;
    *n_rows = n;
    bmp->n_given += n;
    return PST_OK;
}

static int bmp_finish(void *state, struct pst_error *err)
{
    struct bmp *bmp = state;
    PST_REQUIRE(bmp->is_active && bmp->n_given == bmp->region.h, err,
                "rows of the region are left");
    return PST_OK;
}

/* The header says how large the file is, or 0; some writers leave it so. */
static int bmp_finish_strict(void *state, struct pst_error *err)
{
    struct bmp *bmp = state;
    const struct header *h = &bmp->header;
    int rc = bmp_finish(bmp, err);
    if (rc < 0)
        return rc;
    struct pst__bytes b = pst__bytes_over(bmp->data, bmp->size);
    pst__bytes_take(&b, 2);
    size_t said = pst__bytes_le32(&b), end = h->offset + h->stride * (size_t)h->height;
    if (said > bmp->size)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)bmp->size,
                            "BMP of %zu bytes says that it has %zu", bmp->size, said);
    if (said > end)
        end = said;
    if (end < bmp->size)
        return pst__fail_at(err, PST_EUNCLEAN, (int64_t)end, "BMP has %zu bytes behind its end",
                            bmp->size - end);
    return PST_OK;
}

const struct pst__codec pst__codec_bmp = {
    .format = PST_IMAGE_BMP,
    .name = "bmp",
    .matches = bmp_matches,
    .probe = bmp_probe,
    .open = bmp_open,
    .close = bmp_close,
    .start = bmp_start,
    .rows = bmp_rows,
    .finish = bmp_finish,
    .finish_strict = bmp_finish_strict,
    .abort = bmp_abort,
    .bytes = bmp_bytes,
};
