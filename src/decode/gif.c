/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"

/* The first frame of a GIF (GIF89a specification, 1990) as Pillow's GifImagePlugin (11.3 to 13.0)
 * shows it: on a canvas of the transparent index, or of index 0, with the palette of the frame or
 * else of the file. Pillow looks at nothing behind the frame's last pixel. */

#define SIGNATURE_BYTES 6
#define MAX_CODE_BITS 12
#define MAX_CODES (1 << MAX_CODE_BITS)

enum extension { EXTENSION_CONTROL = 0xf9, EXTENSION_COMMENT = 0xfe, EXTENSION_APPLICATION = 0xff };

struct palette {
    const uint8_t *data; /* view, red, green, blue; NULL for greys, each index its own */
    int n;
};

struct header {
    int32_t width, height; /* of the screen */
    struct pst_rect frame;
    struct palette palette;
    int background; /* index */
    int is_interlaced;
    int code_bits; /* of the samples */
    size_t offset; /* of the frame's first block of codes */
};

struct gif {
    int is_active;
    struct header header;
    struct pst__bytes codes; /* at the next block */
    struct pst_rect region;
    int is_decoded;
    int n_given;
    uint8_t table[256][4];
    uint16_t prefix[MAX_CODES];
    uint16_t length[MAX_CODES];
    uint8_t last[MAX_CODES];   /* sample of a code's string */
    struct pst__scratch frame; /* samples, lines in the order of the file */
    struct pst__scratch strip;
};

static int gif_matches(const uint8_t *data, size_t size)
{
    return size >= SIGNATURE_BYTES && (memcmp(data, "GIF87a", SIGNATURE_BYTES) == 0 ||
                                       memcmp(data, "GIF89a", SIGNATURE_BYTES) == 0);
}

static int bad(const struct pst__bytes *b, int status, const char *why, struct pst_error *err)
{
    return b->over ? pst__fail_at(err, PST_ETRUNCATED, (int64_t)b->pos, "GIF ends before its data")
                   : pst__fail_at(err, status, (int64_t)b->pos, "GIF %s", why);
}

/* A palette in which each index is its own grey counts as none. */
static struct palette take_palette(struct pst__bytes *b, int flags)
{
    struct palette palette = {NULL, 2 << (flags & 7)};
    const uint8_t *p = pst__bytes_take(b, (size_t)palette.n * 3);
    for (int i = 0; p && i < palette.n; i++) {
        const uint8_t *c = p + (size_t)3 * (size_t)i;
        if (c[0] != i || c[1] != i || c[2] != i)
            palette.data = p;
    }
    return palette;
}

/* One block of a chain; its size, 0 at the end. */
static int take_block(struct pst__bytes *b, const uint8_t **data)
{
    int n = pst__bytes_u8(b);
    *data = pst__bytes_take(b, (size_t)n);
    return *data ? n : 0;
}

static void skip_blocks(struct pst__bytes *b)
{
    const uint8_t *data;
    while (take_block(b, &data) > 0) {
    }
}

static int take_extension(struct pst__bytes *b, struct header *h, int *n_controls,
                          struct pst_error *err)
{
    const uint8_t *data;
    int label = pst__bytes_u8(b), n = take_block(b, &data);
    /* Of other chains Pillow reads one block more than the empty one that ends them. */
    if (n == 0)
        return label == EXTENSION_COMMENT && !b->over
                   ? PST_OK
                   : bad(b, PST_EUNCLEAN, "has an empty extension", err);
    if (label == EXTENSION_CONTROL) {
        if (n != 4 || (*n_controls)++ > 0)
            return bad(b, PST_EUNCLEAN, "has a graphic control of another size or two", err);
        if (data[0] & 1)
            h->background = data[3];
    }
    if (label == EXTENSION_APPLICATION && n >= 11 && memcmp(data, "NETSCAPE2.0", 11) == 0 &&
        take_block(b, &data) == 0)
        return bad(b, PST_EUNCLEAN, "has a loop extension without a loop", err);
    skip_blocks(b);
    return b->over ? bad(b, PST_ETRUNCATED, "ends in an extension", err) : PST_OK;
}

static int take_frame(struct pst__bytes *b, struct header *h, struct pst_error *err)
{
    struct pst_rect *frame = &h->frame;
    frame->x = pst__bytes_le16(b);
    frame->y = pst__bytes_le16(b);
    frame->w = pst__bytes_le16(b);
    frame->h = pst__bytes_le16(b);
    int flags = pst__bytes_u8(b);
    h->is_interlaced = flags >> 6 & 1;
    int has_colors = h->palette.data != NULL;
    if (flags & 0x80)
        h->palette = take_palette(b, flags);
    if (has_colors && !h->palette.data)
        return bad(b, PST_EUNSUPPORTED, "has greys in a frame that Pillow takes for colours", err);
    h->code_bits = pst__bytes_u8(b);
    h->offset = b->pos;
    if (b->over || frame->w == 0 || frame->h == 0)
        return bad(b, PST_EFORMAT, "has a frame without pixels", err);
    /* Pillow makes the screen larger. */
    if (frame->x + frame->w > h->width || frame->y + frame->h > h->height)
        return bad(b, PST_EUNSUPPORTED, "has a frame that leaves the screen", err);
    if (h->code_bits < 2 || h->code_bits > 8)
        return bad(b, PST_EFORMAT, "has samples of no size", err);
    return PST_OK;
}

static int read_header(const uint8_t *data, size_t size, struct header *h, struct pst_error *err)
{
    struct pst__bytes b = pst__bytes_over(data, size);
    *h = (struct header){0};
    pst__bytes_take(&b, SIGNATURE_BYTES);
    h->width = pst__bytes_le16(&b);
    h->height = pst__bytes_le16(&b);
    int flags = pst__bytes_u8(&b), n_controls = 0;
    pst__bytes_take(&b, 2); /* background, which Pillow does not paint, and aspect */
    if (flags & 0x80)
        h->palette = take_palette(&b, flags);
    if (b.over || h->width == 0 || h->height == 0)
        return bad(&b, PST_EFORMAT, "has no pixels", err);
    int64_t n_pixels = (int64_t)h->width * h->height;
    if (h->width > PST_MAX_SIDE || h->height > PST_MAX_SIDE || n_pixels > PST_MAX_PIXELS ||
        n_pixels > (int64_t)size * PST_MAX_RATIO)
        return pst__fail_at(err, PST_ELIMIT, SIGNATURE_BYTES,
                            "GIF of %d x %d pixels in %zu bytes is over a limit", h->width,
                            h->height, size);
    for (;;) {
        int kind = pst__bytes_u8(&b), rc;
        if (kind == ',')
            return take_frame(&b, h, err);
        if (kind != '!')
            return bad(&b, PST_EUNCLEAN, "has something between its blocks, or no frame", err);
        rc = take_extension(&b, h, &n_controls, err);
        if (rc < 0)
            return rc;
    }
}

static int gif_probe(const uint8_t *data, size_t size, struct pst_image_info *info,
                     struct pst_error *err)
{
    struct header h;
    int rc = read_header(data, size, &h, err);
    if (rc < 0)
        return rc;
    *info = (struct pst_image_info){
        .format = PST_IMAGE_GIF, .width = h.width, .height = h.height, .orientation = 1};
    return PST_OK;
}

static int gif_open(void **state, struct pst_error *err)
{
    struct gif *gif = pst__calloc(1, sizeof *gif, PST_MEM_SCRATCH);
    if (!gif)
        return pst__fail(err, PST_ENOMEM, "no memory for a GIF decoder");
    *state = gif;
    return PST_OK;
}

static void gif_abort(void *state)
{
    struct gif *gif = state;
    gif->is_active = gif->is_decoded = 0;
    pst__scratch_trim(&gif->frame);
    pst__scratch_trim(&gif->strip);
}

static void gif_close(void *state)
{
    struct gif *gif = state;
    if (!gif)
        return;
    pst__scratch_reset(&gif->frame);
    pst__scratch_reset(&gif->strip);
    pst__free(gif);
}

static size_t gif_bytes(const void *state)
{
    const struct gif *gif = state;
    return sizeof *gif + gif->frame.size + gif->strip.size;
}

/* Indices that a palette does not give are black. */
static void fill_table(struct gif *gif)
{
    const struct palette *palette = &gif->header.palette;
    for (int i = 0; i < 256; i++) {
        memset(gif->table[i], palette->data ? 0 : i, 3);
        if (palette->data && i < palette->n)
            memcpy(gif->table[i], palette->data + (size_t)3 * (size_t)i, 3);
        gif->table[i][3] = 255;
    }
}

static int gif_start(void *state, const uint8_t *data, size_t size,
                     const struct pst_image_info *info, const struct pst_rect *region,
                     struct pst_error *err)
{
    struct gif *gif = state;
    struct header *h = &gif->header;
    int rc = read_header(data, size, h, err);
    if (rc < 0)
        return rc;
    PST_REQUIRE(info->width == h->width && info->height == h->height, err,
                "GIF is %d x %d, the probe said %d x %d", h->width, h->height, info->width,
                info->height);
    fill_table(gif);
    gif->codes = pst__bytes_over(data, size);
    gif->codes.pos = h->offset;
    gif->region = *region;
    gif->is_decoded = gif->n_given = 0;
    gif->is_active = 1;
    return PST_OK;
}

/* Codes, least significant bit first, out of blocks. */
struct reader {
    struct pst__bytes *blocks;
    const uint8_t *block;
    int block_left;
    uint32_t bits;
    int n_bits;
};

/* The next code, or a negative number where blocks end. Pillow wants each block whole. */
static int read_code(struct reader *in, int n_bits)
{
    while (in->n_bits < n_bits) {
        if (in->block_left == 0) {
            in->block_left = take_block(in->blocks, &in->block);
            if (in->block_left == 0)
                return -1;
        }
        in->bits |= (uint32_t)*in->block++ << in->n_bits;
        in->n_bits += 8;
        in->block_left--;
    }
    int code = (int)(in->bits & ((1u << n_bits) - 1));
    in->bits >>= n_bits;
    in->n_bits -= n_bits;
    return code;
}

/* Writes a code's string so that it ends before `end`; its first sample. */
static uint8_t write_string(const struct gif *gif, uint8_t *end, int code, int clear)
{
    while (code >= clear) {
        *--end = gif->last[code];
        code = gif->prefix[code];
    }
    *--end = (uint8_t)code;
    return (uint8_t)code;
}

static int bad_codes(const struct gif *gif, size_t done, size_t n, const char *why,
                     struct pst_error *err)
{
    return pst__fail_at(err, PST_EFORMAT, (int64_t)gif->codes.pos,
                        "GIF codes %s after %zu of %zu pixels", why, done, n);
}

/* LZW as in appendix F. A full table stays as it is until the clear code. */
static int decode_lzw(struct gif *gif, uint8_t *out, size_t n, struct pst_error *err)
{
    const int clear = 1 << gif->header.code_bits, end = clear + 1;
    int n_bits = gif->header.code_bits + 1, next = end + 1, previous = -1;
    struct reader in = {.blocks = &gif->codes};
    for (size_t done = 0; done < n;) {
        int code = read_code(&in, n_bits);
        if (code < 0 || code == end)
            return pst__fail_at(err, PST_ETRUNCATED, (int64_t)gif->codes.pos,
                                "GIF codes end after %zu of %zu pixels", done, n);
        if (code == clear) {
            n_bits = gif->header.code_bits + 1;
            next = end + 1;
            previous = -1;
            continue;
        }
        if (previous < 0) {
            if (code > clear)
                return bad_codes(gif, done, n, "begin with a string", err);
            out[done++] = (uint8_t)code;
            previous = code;
            continue;
        }
        if (code > next || (code == next && next == MAX_CODES))
            return bad_codes(gif, done, n, "have one that is not made yet", err);
        size_t length = code == next   ? (previous < clear ? 2u : gif->length[previous] + 1u)
                        : code < clear ? 1u
                                       : gif->length[code];
        if (length > n - done)
            return bad_codes(gif, done, n, "give too many pixels", err);
        uint8_t first = write_string(gif, out + done + length - (code == next),
                                     code == next ? previous : code, clear);
        if (code == next)
            out[done + length - 1] = first;
        if (next < MAX_CODES) {
            gif->last[next] = first;
            gif->prefix[next] = (uint16_t)previous;
            gif->length[next] = (uint16_t)(previous < clear ? 2 : gif->length[previous] + 1);
            next++;
            if (next == 1 << n_bits && n_bits < MAX_CODE_BITS)
                n_bits++;
        }
        previous = code;
        done += length;
    }
    return PST_OK;
}

static int decode(struct gif *gif, struct pst_error *err)
{
    const struct pst_rect *frame = &gif->header.frame;
    size_t n = (size_t)frame->w * (size_t)frame->h;
    uint8_t *out = pst__scratch_reserve(&gif->frame, n);
    if (!out)
        return pst__fail(err, PST_ENOMEM, "no memory for a GIF of %zu pixels", n);
    return decode_lzw(gif, out, n, err);
}

/* Where line y of the frame stands in the file. */
static int line_of(const struct header *h, int y)
{
    if (!h->is_interlaced)
        return y;
    int n1 = (h->frame.h + 7) / 8, n2 = (h->frame.h + 3) / 8, n3 = (h->frame.h + 1) / 4;
    if (y % 8 == 0)
        return y / 8;
    if (y % 8 == 4)
        return n1 + y / 8;
    return y % 4 == 2 ? n1 + n2 + y / 4 : n1 + n2 + n3 + y / 2;
}

static void convert_row(const struct gif *gif, uint8_t *to, int y)
{
    const struct header *h = &gif->header;
    const struct pst_rect *frame = &h->frame, *region = &gif->region;
    int is_in = y >= frame->y && y < frame->y + frame->h;
    const uint8_t *line = gif->frame.data;
    if (is_in)
        line += (size_t)line_of(h, y - frame->y) * (size_t)frame->w;
    for (int x = region->x; x < region->x + region->w; x++, to += 4) {
        int is_pixel = is_in && x >= frame->x && x < frame->x + frame->w;
        memcpy(to, gif->table[is_pixel ? line[x - frame->x] : h->background], 4);
    }
}

static int gif_rows(void *state, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                    struct pst_error *err)
{
    struct gif *gif = state;
    int left = gif->region.h - gif->n_given, n = max_rows < left ? max_rows : left;
    PST_REQUIRE(gif->is_active && n > 0, err, "no rows are left, or none were asked for");
    int rc = gif->is_decoded ? PST_OK : decode(gif, err);
    if (rc < 0)
        return rc;
    gif->is_decoded = 1;
    *stride = (ptrdiff_t)gif->region.w * 4;
    if (!pst__scratch_reserve(&gif->strip, (size_t)n * (size_t)*stride))
        return pst__fail(err, PST_ENOMEM, "no memory for %d rows of a GIF", n);
    for (int i = 0; i < n; i++)
        convert_row(gif, gif->strip.data + i * *stride, gif->region.y + gif->n_given + i);
    *rows = gif->strip.data;
    *n_rows = n;
    gif->n_given += n;
    return PST_OK;
}

static int gif_finish(void *state, struct pst_error *err)
{
    struct gif *gif = state;
    PST_REQUIRE(gif->is_active && gif->n_given == gif->region.h, err,
                "rows of the region are left");
    return PST_OK;
}

/* One block behind the first frame's codes; PST_END at the trailer. */
static int walk_block(struct pst__bytes *b, struct pst_error *err)
{
    int kind = pst__bytes_u8(b);
    if (kind == '!') {
        pst__bytes_u8(b);
    } else if (kind == ',') {
        pst__bytes_take(b, 8);
        int flags = pst__bytes_u8(b);
        if (flags & 0x80)
            pst__bytes_take(b, (size_t)(2 << (flags & 7)) * 3);
        pst__bytes_u8(b); /* bits of a sample */
    } else {
        return b->over       ? bad(b, PST_ETRUNCATED, "", err)
               : kind == ';' ? PST_END
                             : bad(b, PST_EUNCLEAN, "has something between its blocks", err);
    }
    skip_blocks(b);
    return b->over ? bad(b, PST_ETRUNCATED, "", err) : PST_OK;
}

/* The blocks up to the trailer, of other frames, too, but not what is in them. */
static int gif_finish_strict(void *state, struct pst_error *err)
{
    struct gif *gif = state;
    int rc = gif_finish(gif, err);
    if (rc < 0)
        return rc;
    struct pst__bytes *b = &gif->codes;
    skip_blocks(b);
    while (rc == PST_OK)
        rc = walk_block(b, err);
    if (rc < 0)
        return rc;
    size_t left = pst__bytes_left(b);
    return left == 0 ? PST_OK
                     : pst__fail_at(err, PST_EUNCLEAN, (int64_t)b->pos,
                                    "GIF has %zu bytes behind its end", left);
}

/* The frame's samples, one byte each. */
static size_t gif_cost(const uint8_t *data, size_t size, const struct pst_image_info *info)
{
    (void)data, (void)size;
    return (size_t)info->width * (size_t)info->height;
}

const struct pst__codec pst__codec_gif = {
    .format = PST_IMAGE_GIF,
    .name = "gif",
    .matches = gif_matches,
    .probe = gif_probe,
    .open = gif_open,
    .close = gif_close,
    .start = gif_start,
    .rows = gif_rows,
    .finish = gif_finish,
    .finish_strict = gif_finish_strict,
    .abort = gif_abort,
    .bytes = gif_bytes,
    .cost = gif_cost,
};
