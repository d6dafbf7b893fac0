/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"
#include "decode/orientation.h"
#include "decode/png_chunks.h"
#include "decode/png_inflate.h"
#include "kernels/kernels.h"

/* png_chunks.c judges the chunks. png_inflate.c inflates the pixels and sees that the stream ends
 * where the image does, with its checksum right and nothing behind it. Here the filters and the
 * interlacing are undone, and samples become RGB by Pillow's rules. */

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

struct png {
    int is_active;
    struct pst__png_inflate inflate;
    struct pst__png_chunks chunks;
    size_t size; /* of the file */
    struct pst_rect region;
    enum layout layout;
    int pixel_bits;
    size_t scanline_bytes; /* of a full row, without its filter byte */
    int n_decoded;         /* scanlines, of all passes */
    int n_given;           /* rows of the region that rows() has handed out */
    int is_woven;          /* interlaced: the region lies in `strip` */
    uint8_t table[256][4];
    struct pst__scratch blank; /* zeros: what stands above the first scanline */
    struct pst__scratch pass;  /* a scanline of an interlaced image as pixels */
    struct pst__scratch strip; /* rows of the region */
};

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
    png->is_active = 0;
    pst__png_inflate_trim(&png->inflate);
    pst__scratch_trim(&png->strip);
    pst__scratch_trim(&png->pass);
    pst__scratch_trim(&png->blank);
}

static void png_close(void *state)
{
    struct png *png = state;
    if (!png)
        return;
    png_abort(png);
    pst__scratch_reset(&png->strip);
    pst__scratch_reset(&png->pass);
    pst__scratch_reset(&png->blank);
    pst__png_inflate_reset(&png->inflate);
    pst__free(png);
}

static size_t png_bytes(const void *state)
{
    const struct png *png = state;
    return sizeof *png + png->strip.size + png->pass.size + png->blank.size +
           pst__png_inflate_bytes(&png->inflate);
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

static int bits_of_pixel(const struct pst__png_chunks *chunks)
{
    static const int n_channels[] = {
        [PST_PNG_GREY] = 1,       [PST_PNG_RGB] = 3,  [PST_PNG_PALETTE] = 1,
        [PST_PNG_GREY_ALPHA] = 2, [PST_PNG_RGBA] = 4,
    };
    return n_channels[chunks->color_type] * chunks->bit_depth;
}

static size_t bytes_of_pixels(int n, int pixel_bits)
{
    return ((size_t)n * (size_t)pixel_bits + 7) / 8;
}

static void choose_layout(struct png *png)
{
    int depth = png->chunks.bit_depth;
    png->pixel_bits = bits_of_pixel(&png->chunks);
    png->scanline_bytes = bytes_of_pixels(png->chunks.width, png->pixel_bits);
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
static size_t count_raw_bytes(const struct pst__png_chunks *chunks)
{
    int w = chunks->width, h = chunks->height, bits = bits_of_pixel(chunks);
    if (!chunks->interlaced)
        return (size_t)h * (1 + bytes_of_pixels(w, bits));
    size_t bytes = 0;
    for (int p = 0; p < 7; p++) {
        int across = count_steps(adam7[p].x0, adam7[p].dx, w);
        int down = count_steps(adam7[p].y0, adam7[p].dy, h);
        if (across > 0)
            bytes += (size_t)down * (1 + bytes_of_pixels(across, bits));
    }
    return bytes;
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

/* A filter is looked at as soon as it is there: behind the scanline before it. */
static int check_filter(const struct png *png, const uint8_t *filter, struct pst_error *err)
{
    if (*filter <= PST_FILTER_PAETH)
        return PST_OK;
    return pst__fail(err, PST_EFORMAT,
                     "PNG pixels are damaged in scanline %d: invalid scanline filter",
                     png->n_decoded);
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
    if (!pst__scratch_reserve(&png->blank, png->scanline_bytes))
        return pst__fail(err, PST_ENOMEM, "no memory for a scanline of a PNG");
    memset(png->blank.data, 0, png->scanline_bytes);
    rc = pst__png_inflate_start(&png->inflate, &png->chunks, data, count_raw_bytes(&png->chunks),
                                1 + png->scanline_bytes, err);
    struct pst__png_line line;
    if (rc == PST_OK)
        rc = pst__png_inflate_line(&png->inflate, 0, &line, err);
    if (rc == PST_OK)
        rc = check_filter(png, line.next, err);
    png->is_active = rc == PST_OK;
    if (rc < 0)
        png_abort(png);
    return rc;
}

/* The next scanline, of n bytes, the first n_wanted of them without their filter. */
static int decode_scanline(struct png *png, size_t n, size_t n_wanted, int is_first,
                           const uint8_t **scanline, struct pst_error *err)
{
    struct pst__png_line line;
    int rc = pst__png_inflate_line(&png->inflate, 1 + n, &line, err);
    if (rc == PST_OK && line.next)
        rc = check_filter(png, line.next, err);
    if (rc < 0)
        return rc;
    png->n_decoded++;
    *scanline = line.bytes + 1;
    if (n_wanted > 0)
        pst__kernels()->unfilter(line.bytes + 1, is_first ? png->blank.data : line.before + 1,
                                 (int)n_wanted, (png->pixel_bits + 7) / 8, line.bytes[0]);
    return PST_OK;
}

/* The next row of an image that is not interlaced. Nothing right of the region changes it. */
static int decode_row(struct png *png, const uint8_t **scanline, struct pst_error *err)
{
    return decode_scanline(png, png->scanline_bytes,
                           bytes_of_pixels(png->region.x + png->region.w, png->pixel_bits),
                           png->n_decoded == 0, scanline, err);
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

static void weave_scanline(struct png *png, int pass, int y, const uint8_t *scanline)
{
    const struct pst_rect *region = &png->region;
    int x0 = adam7[pass].x0, dx = adam7[pass].dx;
    int from = count_steps(x0, dx, region->x);
    int n = count_steps(x0, dx, region->x + region->w) - from;
    if (y < region->y || y >= region->y + region->h || n <= 0)
        return;
    convert(png, png->pass.data, scanline, from, n);
    uint8_t *row = png->strip.data + (y - region->y) * row_stride(png);
    row += 4 * (ptrdiff_t)(x0 + from * dx - region->x);
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(row + 4 * i * dx, png->pass.data + 4 * i, 4);
}

static int weave_pass(struct png *png, int pass, struct pst_error *err)
{
    int across = count_steps(adam7[pass].x0, adam7[pass].dx, png->chunks.width),
        y0 = adam7[pass].y0;
    size_t n = bytes_of_pixels(across, png->pixel_bits);
    if (across == 0)
        return PST_OK;
    for (int y = y0; y < png->chunks.height; y += adam7[pass].dy) {
        const uint8_t *scanline;
        int rc = decode_scanline(png, n, n, y == y0, &scanline, err);
        if (rc < 0)
            return rc;
        weave_scanline(png, pass, y, scanline);
    }
    return PST_OK;
}

/* An interlaced image has to be decoded whole before its first row is known. */
static int weave(struct png *png, struct pst_error *err)
{
    int rc = reserve_strip(png, png->region.h, err);
    if (rc < 0)
        return rc;
    if (!pst__scratch_reserve(&png->pass, 4 * (size_t)png->region.w))
        return pst__fail(err, PST_ENOMEM, "no memory for a PNG pass");
    for (int pass = 0; rc == PST_OK && pass < 7; pass++)
        rc = weave_pass(png, pass, err);
    if (rc < 0)
        return rc;
    png->is_woven = 1;
    return PST_OK;
}

static int decode_strip(struct png *png, int n_rows, struct pst_error *err)
{
    const uint8_t *scanline;
    int rc = reserve_strip(png, n_rows, err);
    while (rc == PST_OK && png->n_decoded < png->region.y)
        rc = decode_row(png, &scanline, err);
    for (int i = 0; rc == PST_OK && i < n_rows; i++) {
        rc = decode_row(png, &scanline, err);
        if (rc == PST_OK)
            convert(png, png->strip.data + i * row_stride(png), scanline, png->region.x,
                    png->region.w);
    }
    return rc;
}

static int png_rows(void *state, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                    struct pst_error *err)
{
    struct png *png = state;
    PST_REQUIRE(png->is_active, err, "no PNG is being decoded");
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
    const uint8_t *scanline;
    int rc = PST_OK;
    PST_REQUIRE(png->is_active, err, "no PNG is being decoded");
    /* Pillow decodes what lies below the region too, and so may refuse it. */
    if (png->chunks.interlaced && !png->is_woven)
        rc = weave(png, err);
    while (rc == PST_OK && !png->chunks.interlaced && png->n_decoded < png->chunks.height)
        rc = decode_scanline(png, png->scanline_bytes, 0, 0, &scanline, err);
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

/* An interlaced image is kept as RGBX, at most the whole of it. One that is inflated at once is
 * kept filtered, and its IDAT chunks may be joined. */
static size_t png_cost(const uint8_t *data, size_t size, const struct pst_image_info *info)
{
    struct pst__png_chunks chunks;
    struct pst_error err;
    pst_error_init(&err);
    if (pst__png_read_head(&chunks, data, size, &err) < 0)
        return 0;
    size_t raw = count_raw_bytes(&chunks), cost = 0;
    if (chunks.interlaced)
        cost = (size_t)info->width * (size_t)info->height * 4;
    return raw <= PST_PNG_MOST_AT_ONCE ? cost + raw + size : cost;
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
