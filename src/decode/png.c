/* SPDX-License-Identifier: Apache-2.0 */
#include <spng.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"
#include "decode/orientation.h"
#include "decode/png_chunks.h"
#include "decode/png_inflate.h"

/* png_chunks.c judges the chunks. png_inflate.c inflates the pixels and sees that the stream ends
 * where the image does, with its checksum right and nothing behind it. (libspng alone leaves that
 * open; and Pillow refuses some streams that end too early though all their pixels are in them.)
 * libspng then undoes the row filters and interlacing: it reads a PNG made up as it goes, of grey
 * or colour samples, with the inflated bytes in stored blocks. What it would check again is off.
 * The samples come raw: every rule of how they become RGB stands here, and is Pillow's. */

/* Adam7: pass p has the pixels x0 + i * dx of the rows y0 + j * dy. */
static const struct {
    int x0, dx, y0, dy;
} adam7[7] = {{0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4},
              {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}};

/* How a scanline becomes pixels. */
enum layout {
    LAYOUT_BITS,   /* less than 8 bits a sample, through the table */
    LAYOUT_TABLE,  /* one byte of each sample group, through the table */
    LAYOUT_GREY16, /* clipped, not scaled: Pillow's mode I;16 */
    LAYOUT_RGB8,
    LAYOUT_RGB16,
    LAYOUT_RGBA8,
    LAYOUT_RGBA16,
};

/* The PNG that libspng reads: signature, IHDR, and one IDAT of stored blocks. */
#define STORED_BYTES 65535 /* the most that a stored block holds */
#define STORED_HEADER_BYTES 5
struct feed {
    uint8_t text[64]; /* what comes next, before more pixels */
    size_t text_at, text_size;
    size_t block_left; /* bytes of the current stored block to come */
    size_t raw_left;   /* scanlines' bytes, filter bytes included, not yet in a block */
    int is_over;
};

struct png {
    spng_ctx *spng;
    struct pst__png_inflate inflate;
    struct feed feed;
    int feed_status; /* why feeding failed; libspng knows only that it did */
    struct pst_error *feed_err;
    struct pst__png_chunks chunks;
    size_t size; /* of the file */
    struct pst_rect region;
    enum layout layout;
    int pixel_bits;
    size_t scanline_bytes; /* of a full row, without its filter byte */
    size_t raw_bytes;      /* of the whole image, with the filter bytes */
    int n_decoded;         /* scanlines of the image, not interlaced */
    int n_given;           /* rows of the region that rows() has handed out */
    int is_woven;          /* interlaced: the region lies in `strip` */
    uint8_t table[256][4];
    struct pst__scratch scanline; /* as libspng gives it */
    struct pst__scratch pass;     /* a scanline of an interlaced image as pixels */
    struct pst__scratch strip;    /* rows of the region */
};

static void *hook_malloc(size_t size)
{
    return pst__alloc(size, PST_MEM_SCRATCH);
}

static void *hook_realloc(void *block, size_t size)
{
    return pst__realloc(block, size, PST_MEM_SCRATCH);
}

static void *hook_calloc(size_t n, size_t size)
{
    return pst__calloc(n, size, PST_MEM_SCRATCH);
}

static int png_matches(const uint8_t *data, size_t size)
{
    return pst__png_has_signature(data, size);
}

static int png_probe(const uint8_t *data, size_t size, struct pst_image_info *info,
                     struct pst_error *err)
{
    struct pst__png_chunks chunks;
    int rc = pst__png_read_head(&chunks, data, size, err);
    if (rc < 0)
        return rc;
    *info = (struct pst_image_info){.format = PST_IMAGE_PNG,
                                    .width = chunks.width,
                                    .height = chunks.height,
                                    .orientation = pst__png_orientation(data, size)};
    return PST_OK;
}

static int png_open(void **state, struct pst_error *err)
{
    struct png *png = pst__calloc(1, sizeof *png, PST_MEM_SCRATCH);
    if (!png)
        return pst__fail(err, PST_ENOMEM, "no memory for a PNG decoder");
    *state = png;
    return PST_OK;
}

static void png_abort(void *state)
{
    struct png *png = state;
    spng_ctx_free(png->spng);
    png->spng = NULL;
    pst__scratch_trim(&png->strip);
    pst__scratch_trim(&png->pass);
    pst__scratch_trim(&png->scanline);
}

static void png_close(void *state)
{
    struct png *png = state;
    if (!png)
        return;
    png_abort(png);
    pst__scratch_reset(&png->strip);
    pst__scratch_reset(&png->pass);
    pst__scratch_reset(&png->scanline);
    pst__png_inflate_reset(&png->inflate);
    pst__free(png);
}

static size_t png_bytes(const void *state)
{
    const struct png *png = state;
    return sizeof *png + png->strip.size + png->pass.size + png->scanline.size;
}

/* From grey samples of `depth` bits to 0..255; exact, since 255 is a multiple of every range. */
static void fill_grey(struct png *png, int depth)
{
    int top = (1 << depth) - 1;
    for (int i = 0; i <= top; i++) {
        uint8_t v = (uint8_t)(i * (255 / top));
        memcpy(png->table[i], (const uint8_t[4]){v, v, v, 255}, 4);
    }
}

/* Pillow's palette has 256 entries: those that the file does not give are black. */
static void fill_palette(struct png *png)
{
    for (int i = 0; i < 256; i++) {
        static const uint8_t black[3] = {0, 0, 0};
        memcpy(png->table[i],
               i < png->chunks.n_palette ? png->chunks.palette + (size_t)3 * i : black, 3);
        png->table[i][3] = 255;
    }
}

static size_t bytes_of_pixels(const struct png *png, int n)
{
    return ((size_t)n * (size_t)png->pixel_bits + 7) / 8;
}

static void choose_layout(struct png *png)
{
    static const int n_channels[] = {
        [PST_PNG_GREY] = 1,       [PST_PNG_RGB] = 3,  [PST_PNG_PALETTE] = 1,
        [PST_PNG_GREY_ALPHA] = 2, [PST_PNG_RGBA] = 4,
    };
    int depth = png->chunks.bit_depth, n = n_channels[png->chunks.color_type];
    png->pixel_bits = n * depth;
    png->scanline_bytes = bytes_of_pixels(png, png->chunks.width);
    switch (png->chunks.color_type) {
    case PST_PNG_RGB:
        png->layout = depth == 8 ? LAYOUT_RGB8 : LAYOUT_RGB16;
        return;
    case PST_PNG_RGBA:
        png->layout = depth == 8 ? LAYOUT_RGBA8 : LAYOUT_RGBA16;
        return;
    case PST_PNG_PALETTE:
        png->layout = depth < 8 ? LAYOUT_BITS : LAYOUT_TABLE;
        fill_palette(png);
        return;
    case PST_PNG_GREY_ALPHA:
        png->layout = LAYOUT_TABLE; /* of 16 bits the high byte, which comes first */
        fill_grey(png, 8);
        return;
    default:
        png->layout = depth < 8 ? LAYOUT_BITS : depth == 8 ? LAYOUT_TABLE : LAYOUT_GREY16;
        fill_grey(png, depth < 8 ? depth : 8);
        return;
    }
}

/* How many of from, from + step, ... lie below end. */
static int count_steps(int from, int step, int end)
{
    return end <= from ? 0 : (end - from + step - 1) / step;
}

/* The bytes of all scanlines, filter bytes included. */
static void count_raw_bytes(struct png *png)
{
    int w = png->chunks.width, h = png->chunks.height;
    if (!png->chunks.interlaced) {
        png->raw_bytes = (size_t)h * (1 + png->scanline_bytes);
        return;
    }
    png->raw_bytes = 0;
    for (int p = 0; p < 7; p++) {
        int across = count_steps(adam7[p].x0, adam7[p].dx, w);
        int down = count_steps(adam7[p].y0, adam7[p].dy, h);
        if (across > 0)
            png->raw_bytes += (size_t)down * (1 + bytes_of_pixels(png, across));
    }
}

static void convert_bits(const struct png *png, uint8_t *dst, const uint8_t *src, int x, int n)
{
    unsigned depth = (unsigned)png->chunks.bit_depth, mask = (1u << depth) - 1;
    for (size_t i = 0, bit = (size_t)x * depth; i < (size_t)n; i++, bit += depth)
        memcpy(dst + 4 * i, png->table[src[bit / 8] >> (8 - depth - bit % 8) & mask], 4);
}

static void convert_table(const struct png *png, uint8_t *dst, const uint8_t *src, int n)
{
    size_t step = (size_t)png->pixel_bits / 8;
    for (size_t i = 0; i < (size_t)n; i++)
        memcpy(dst + 4 * i, png->table[src[i * step]], 4);
}

static void convert_grey16(uint8_t *dst, const uint8_t *src, int n)
{
    for (size_t i = 0; i < (size_t)n; i++) {
        uint8_t v = src[2 * i] ? 255 : src[2 * i + 1];
        memcpy(dst + 4 * i, (const uint8_t[4]){v, v, v, 255}, 4);
    }
}

/* Three bytes `sample` apart out of every `step`; inlined with constants. */
static inline void convert_rgb(uint8_t *dst, const uint8_t *src, int n, size_t step, size_t sample)
{
    for (size_t i = 0; i < (size_t)n; i++) {
        const uint8_t *p = src + i * step;
        memcpy(dst + 4 * i, (const uint8_t[4]){p[0], p[sample], p[2 * sample], 255}, 4);
    }
}

/* Pixels x..x+n of a scanline. */
static void convert(const struct png *png, uint8_t *dst, const uint8_t *scanline, int x, int n)
{
    const uint8_t *src = scanline + (size_t)x * ((size_t)png->pixel_bits / 8);
    switch (png->layout) {
    case LAYOUT_BITS:
        convert_bits(png, dst, scanline, x, n);
        return;
    case LAYOUT_TABLE:
        convert_table(png, dst, src, n);
        return;
    case LAYOUT_GREY16:
        convert_grey16(dst, src, n);
        return;
    case LAYOUT_RGB8:
        convert_rgb(dst, src, n, 3, 1);
        return;
    case LAYOUT_RGB16:
        convert_rgb(dst, src, n, 6, 2);
        return;
    case LAYOUT_RGBA8:
        convert_rgb(dst, src, n, 4, 1);
        return;
    case LAYOUT_RGBA16:
        convert_rgb(dst, src, n, 8, 2);
        return;
    }
}

static void feed_text(struct feed *feed, const void *text, size_t size)
{
    memcpy(feed->text + feed->text_size, text, size);
    feed->text_size += size;
}

static void feed_be32(struct feed *feed, uint32_t v)
{
    const uint8_t b[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    feed_text(feed, b, sizeof b);
}

/* Up to the first stored block. A palette image goes as a grey one: the samples are the same. */
static void begin_feed(struct png *png, const uint8_t *data)
{
    struct feed *feed = &png->feed;
    size_t raw = png->raw_bytes, n_blocks = (raw + STORED_BYTES - 1) / STORED_BYTES;
    *feed = (struct feed){.raw_left = raw};
    feed_text(feed, data, 8 + 8 + 13); /* signature and IHDR */
    if (png->chunks.color_type == PST_PNG_PALETTE)
        feed->text[8 + 8 + 9] = PST_PNG_GREY;
    feed_be32(feed, (uint32_t)crc32(0, feed->text + 8 + 4, 4 + 13));
    feed_be32(feed, (uint32_t)(2 + n_blocks * STORED_HEADER_BYTES + raw + 4));
    feed_text(feed, "IDAT\x78\x01", 6);
}

/* The header of the next stored block, or the checksum behind the last one. */
static void feed_header(struct png *png)
{
    struct feed *feed = &png->feed;
    feed->text_at = feed->text_size = 0;
    if (feed->raw_left == 0) {
        feed_be32(feed, (uint32_t)png->inflate.z.adler);
        feed->is_over = 1;
        return;
    }
    size_t n = feed->raw_left < STORED_BYTES ? feed->raw_left : STORED_BYTES;
    uint8_t lo = (uint8_t)n, hi = (uint8_t)(n >> 8);
    const uint8_t header[STORED_HEADER_BYTES] = {n == feed->raw_left, lo, hi, (uint8_t)~lo,
                                                 (uint8_t)~hi};
    feed_text(feed, header, sizeof header);
    feed->block_left = n;
    feed->raw_left -= n;
}

static int hook_read(spng_ctx *spng, void *user, void *dest, size_t length)
{
    struct png *png = user;
    struct feed *feed = &png->feed;
    (void)spng;
    for (uint8_t *out = dest; length > 0;) {
        size_t n = feed->text_size - feed->text_at;
        if (n > 0) {
            n = n < length ? n : length;
            memcpy(out, feed->text + feed->text_at, n);
            feed->text_at += n;
        } else if (feed->block_left > 0) {
            n = feed->block_left < length ? feed->block_left : length;
            png->feed_status = pst__png_inflate_read(&png->inflate, out, n, png->feed_err);
            if (png->feed_status < 0)
                return SPNG_IO_ERROR;
            feed->block_left -= n;
        } else if (!feed->is_over) {
            feed_header(png);
        } else {
            return SPNG_IO_EOF;
        }
        out += n;
        length -= n;
    }
    return 0;
}

static int fail_spng(struct png *png, int rc, struct pst_error *err)
{
    if (png->feed_status < 0)
        return png->feed_status;
    if (rc == SPNG_EMEM || rc == SPNG_EZLIB_INIT || rc == SPNG_EIDAT_STREAM)
        /* Of the stored blocks, which are right, zlib can only complain for want of its window. */
        return pst__fail(err, PST_ENOMEM, "no memory to decode a PNG");
    return pst__fail(err, PST_EFORMAT, "PNG pixels are damaged in scanline %d: %s", png->n_decoded,
                     spng_strerror(rc));
}

static int open_spng(struct png *png, const uint8_t *data, struct pst_error *err)
{
    struct spng_alloc hooks = {hook_malloc, hook_realloc, hook_calloc, pst__free};
    begin_feed(png, data);
    png->feed_status = PST_OK;
    png->feed_err = err;
    png->spng = spng_ctx_new2(&hooks, 0);
    if (!png->spng)
        return fail_spng(png, SPNG_EMEM, err);
    int rc = spng_set_image_limits(png->spng, PST_MAX_SIDE, PST_MAX_SIDE);
    if (!rc) /* USE: neither CRC nor checksum is computed for bytes that were made up here */
        rc = spng_set_crc_action(png->spng, SPNG_CRC_USE, SPNG_CRC_USE);
    if (!rc)
        rc = spng_set_png_stream(png->spng, hook_read, png);
    if (!rc)
        rc = spng_decode_image(png->spng, NULL, 0, SPNG_FMT_RAW, SPNG_DECODE_PROGRESSIVE);
    return rc ? fail_spng(png, rc, err) : PST_OK;
}

static int png_start(void *state, const uint8_t *data, size_t size,
                     const struct pst_image_info *info, const struct pst_rect *region,
                     struct pst_error *err)
{
    struct png *png = state;
    png_abort(png);
    int rc = pst__png_read_all(&png->chunks, data, size, err);
    if (rc < 0)
        return rc;
    int w = png->chunks.width, h = png->chunks.height;
    PST_REQUIRE(info->width == w && info->height == h, err,
                "PNG is %d x %d, the probe said %d x %d", w, h, info->width, info->height);
    PST_REQUIRE(region->x >= 0 && region->y >= 0 && region->w > 0 && region->h > 0 &&
                    region->w <= w - region->x && region->h <= h - region->y,
                err, "region %d,%d %d x %d is not in the image of %d x %d", region->x, region->y,
                region->w, region->h, w, h);
    png->region = *region;
    png->size = size;
    png->n_decoded = png->n_given = png->is_woven = 0;
    choose_layout(png);
    count_raw_bytes(png);
    if (!pst__scratch_reserve(&png->scanline, png->scanline_bytes))
        return pst__fail(err, PST_ENOMEM, "no memory for a scanline of a PNG");
    rc = pst__png_inflate_start(&png->inflate, &png->chunks, data, err);
    if (rc == PST_OK)
        rc = open_spng(png, data, err);
    if (rc < 0)
        png_abort(png);
    return rc;
}

/* The next scanline into `scanline`. */
static int decode_scanline(struct png *png, struct pst_error *err)
{
    png->feed_err = err;
    int rc = spng_decode_scanline(png->spng, png->scanline.data, png->scanline_bytes);
    if (rc && rc != SPNG_EOI)
        return fail_spng(png, rc, err);
    png->n_decoded++;
    return PST_OK;
}

static ptrdiff_t row_stride(const struct png *png)
{
    ptrdiff_t stride = ((ptrdiff_t)png->region.w * 4 + PST_ALIGN - 1) / PST_ALIGN * PST_ALIGN;
    /* Rows a multiple of 1024 apart would share few cache sets. */
    return stride % 1024 ? stride : stride + PST_ALIGN;
}

static int reserve_strip(struct png *png, int n_rows, struct pst_error *err)
{
    if (!pst__scratch_reserve(&png->strip, (size_t)n_rows * (size_t)row_stride(png)))
        return pst__fail(err, PST_ENOMEM, "no memory for %d rows of a PNG", n_rows);
    return PST_OK;
}

static void weave_scanline(struct png *png, const struct spng_row_info *info)
{
    const struct pst_rect *region = &png->region;
    int64_t y = (int64_t)info->row_num - region->y;
    if (y < 0 || y >= region->h)
        return;
    int x0 = adam7[info->pass].x0, dx = adam7[info->pass].dx;
    int from = count_steps(x0, dx, region->x);
    int n = count_steps(x0, dx, region->x + region->w) - from;
    if (n <= 0)
        return;
    convert(png, png->pass.data, png->scanline.data, from, n);
    uint8_t *row = png->strip.data + y * row_stride(png);
    row += 4 * (ptrdiff_t)(x0 + from * dx - region->x);
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(row + 4 * i * dx, png->pass.data + 4 * i, 4);
}

/* An interlaced image has to be decoded whole before its first row is known. */
static int weave(struct png *png, struct pst_error *err)
{
    int rc = reserve_strip(png, png->region.h, err);
    if (rc < 0)
        return rc;
    if (!pst__scratch_reserve(&png->pass, 4 * (size_t)png->region.w))
        return pst__fail(err, PST_ENOMEM, "no memory for a PNG pass");
    for (;;) {
        struct spng_row_info info;
        int state = spng_get_row_info(png->spng, &info);
        if (state == SPNG_EOI)
            break;
        if (state)
            return fail_spng(png, state, err);
        rc = decode_scanline(png, err);
        if (rc < 0)
            return rc;
        weave_scanline(png, &info);
    }
    png->is_woven = 1;
    return PST_OK;
}

static int decode_strip(struct png *png, int n_rows, struct pst_error *err)
{
    int rc = reserve_strip(png, n_rows, err);
    while (rc == PST_OK && png->n_decoded < png->region.y)
        rc = decode_scanline(png, err);
    for (int i = 0; rc == PST_OK && i < n_rows; i++) {
        rc = decode_scanline(png, err);
        if (rc == PST_OK)
            convert(png, png->strip.data + i * row_stride(png), png->scanline.data, png->region.x,
                    png->region.w);
    }
    return rc;
}

static int png_rows(void *state, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                    struct pst_error *err)
{
    struct png *png = state;
    PST_REQUIRE(png->spng, err, "no PNG is being decoded");
    int n = png->region.h - png->n_given;
    PST_REQUIRE(n > 0 && max_rows > 0, err, "no more rows of the PNG to give");
    if (n > max_rows)
        n = max_rows;
    int rc = PST_OK;
    if (!png->chunks.interlaced)
        rc = decode_strip(png, n, err);
    else if (!png->is_woven)
        rc = weave(png, err);
    if (rc < 0) {
        png_abort(png);
        return rc;
    }
    *stride = row_stride(png);
    *rows = png->strip.data + (png->chunks.interlaced ? png->n_given * *stride : 0);
    *n_rows = n;
    png->n_given += n;
    return PST_OK;
}

static int png_finish(void *state, struct pst_error *err)
{
    struct png *png = state;
    int rc = PST_OK;
    PST_REQUIRE(png->spng, err, "no PNG is being decoded");
    /* Pillow decodes what lies below the region too, and so may refuse it. */
    if (png->chunks.interlaced && !png->is_woven)
        rc = weave(png, err);
    while (rc == PST_OK && !png->chunks.interlaced && png->n_decoded < png->chunks.height)
        rc = decode_scanline(png, err);
    if (rc == PST_OK)
        rc = pst__png_inflate_end(&png->inflate, err);
    png_abort(png);
    return rc;
}

static int png_finish_strict(void *state, struct pst_error *err)
{
    struct png *png = state;
    int rc = png_finish(png, err);
    if (rc == PST_OK && png->chunks.end < png->size)
        rc = pst__fail_at(err, PST_EUNCLEAN, (int64_t)png->chunks.end,
                          "PNG has %zu bytes behind its end", png->size - png->chunks.end);
    return rc;
}

/* An interlaced image is kept as RGBX, at most the whole of it. */
static size_t png_cost(const uint8_t *data, size_t size, const struct pst_image_info *info)
{
    struct pst__png_chunks chunks;
    struct pst_error err;
    pst_error_init(&err);
    if (pst__png_read_head(&chunks, data, size, &err) < 0 || !chunks.interlaced)
        return 0;
    return (size_t)info->width * (size_t)info->height * 4;
}

const struct pst__codec pst__codec_png = {
    .format = PST_IMAGE_PNG,
    .name = "png",
    .matches = png_matches,
    .probe = png_probe,
    .open = png_open,
    .close = png_close,
    .start = png_start,
    .rows = png_rows,
    .finish = png_finish,
    .finish_strict = png_finish_strict,
    .abort = png_abort,
    .bytes = png_bytes,
    .cost = png_cost,
};
