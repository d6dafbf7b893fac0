/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <webp/decode.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "decode/codec.h"
#include "decode/webp_chunks.h"

/* webp_chunks.c judges the container, libwebp decodes the first frame's bitstream. Pillow decodes
 * the whole frame and so do we, whatever the region: what is below it may be damaged. libwebp only
 * leaves out the conversion to RGB of what lies left, right and above. Alpha never touches RGB and
 * is dropped, but a damaged one makes Pillow refuse the file. libwebp before 1.3 takes alpha that
 * ends early, so it is put to the stricter decoder of lossless images; see check_alpha(). */

/* libwebp upsamples chroma with no neighbours at the crop's edge, as at the image's. One pixel of
 * margin keeps that out, and one more keeps the crop on whole chroma samples. */
#define MARGIN 2
#define PIXEL_BYTES 4
#define VP8L_HEADER_BYTES 5
#define VP8L_WORD 8
enum alpha_method { ALPHA_RAW = 0, ALPHA_LOSSLESS = 1 };

struct webp {
    int is_active;
    struct pst__webp_chunks chunks;
    size_t size;            /* of the file */
    struct pst_rect region; /* on the canvas */
    int is_decoded;
    int n_given;           /* rows that rows() has handed out */
    const uint8_t *origin; /* the region's first pixel */
    ptrdiff_t stride;
    struct pst__scratch pixels; /* what libwebp gives of the frame */
    struct pst__scratch canvas; /* the region, where the frame does not fill the canvas */
    struct pst__scratch alpha;  /* an alpha bitstream behind the header it lacks */
};

static int webp_probe(const uint8_t *data, size_t size, struct pst_image_info *info,
                      struct pst_error *err)
{
    struct pst__webp_chunks chunks;
    int rc = pst__webp_read_chunks(&chunks, data, size, err);
    if (rc < 0)
        return rc;
    *info = (struct pst_image_info){.format = PST_IMAGE_WEBP,
                                    .width = chunks.width,
                                    .height = chunks.height,
                                    .orientation = pst__orientation(&chunks.metadata)};
    return PST_OK;
}

static int webp_open(void **state, struct pst_error *err)
{
    struct webp *webp = pst__calloc(1, sizeof *webp, PST_MEM_SCRATCH);
    if (!webp)
        return pst__fail(err, PST_ENOMEM, "no memory for a WebP decoder");
    *state = webp;
    return PST_OK;
}

static void webp_abort(void *state)
{
    struct webp *webp = state;
    webp->is_active = webp->is_decoded = 0;
    pst__scratch_trim(&webp->pixels);
    pst__scratch_trim(&webp->canvas);
    pst__scratch_trim(&webp->alpha);
}

static void webp_close(void *state)
{
    struct webp *webp = state;
    if (!webp)
        return;
    pst__scratch_reset(&webp->pixels);
    pst__scratch_reset(&webp->canvas);
    pst__scratch_reset(&webp->alpha);
    pst__free(webp);
}

static size_t webp_bytes(const void *state)
{
    const struct webp *webp = state;
    return sizeof *webp + webp->pixels.size + webp->canvas.size + webp->alpha.size;
}

static int webp_start(void *state, const uint8_t *data, size_t size,
                      const struct pst_image_info *info, const struct pst_rect *region,
                      struct pst_error *err)
{
    struct webp *webp = state;
    int rc = pst__webp_read_chunks(&webp->chunks, data, size, err);
    if (rc < 0)
        return rc;
    int w = webp->chunks.width, h = webp->chunks.height;
    PST_REQUIRE(info->width == w && info->height == h, err,
                "WebP is %d x %d, the probe said %d x %d", w, h, info->width, info->height);
    webp->region = *region;
    webp->size = size;
    webp->is_decoded = webp->n_given = 0;
    webp->is_active = 1;
    return PST_OK;
}

static ptrdiff_t stride_of(int width)
{
    ptrdiff_t stride = ((ptrdiff_t)width * PIXEL_BYTES + PST_ALIGN - 1) / PST_ALIGN * PST_ALIGN;
    /* Rows a multiple of 1024 apart would share few cache sets. */
    return stride % 1024 ? stride : stride + PST_ALIGN;
}

static int fail_webp(VP8StatusCode status, const char *what, struct pst_error *err)
{
    if (status == VP8_STATUS_OUT_OF_MEMORY)
        return pst__fail(err, PST_ENOMEM, "no memory to decode a WebP");
    if (status == VP8_STATUS_NOT_ENOUGH_DATA || status == VP8_STATUS_SUSPENDED)
        return pst__fail(err, PST_ETRUNCATED, "WebP %s ends early", what);
    return pst__fail(err, PST_EFORMAT, "WebP %s is damaged (libwebp's status %d)", what, status);
}

/* Decodes a bitstream whole and gives the pixels of `window`, which ends at the image's last row:
 * at the end of the window libwebp stops reading. */
static int decode_window(struct pst__scratch *pixels, const uint8_t *data, size_t size,
                         const struct pst_rect *window, const char *what, struct pst_error *err)
{
    ptrdiff_t stride = stride_of(window->w);
    size_t bytes = (size_t)stride * (size_t)window->h;
    if (!pst__scratch_reserve(pixels, bytes))
        return pst__fail(err, PST_ENOMEM, "no memory for %d rows of a WebP", window->h);
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return pst__fail(err, PST_EUNSUPPORTED, "libwebp is not the version it was built for");
    config.options.use_cropping = 1;
    config.options.crop_left = window->x;
    config.options.crop_top = window->y;
    config.options.crop_width = window->w;
    config.options.crop_height = window->h;
    config.output.colorspace = MODE_RGBA;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels->data;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = bytes;
    VP8StatusCode status = WebPDecode(data, size, &config);
    WebPFreeDecBuffer(&config.output);
    return status == VP8_STATUS_OK ? PST_OK : fail_webp(status, what, err);
}

/* An alpha plane is a lossless image without its header, whose green channel is alpha. Decoded as
 * an image it has to be there to its last pixel; only one column is asked for. libwebp's bit reader
 * fills one word before it looks for the end, so what is shorter than that has zeros behind it, and
 * its encoder makes use of them. */
static int check_lossless_alpha(struct webp *webp, struct pst_error *err)
{
    const struct pst__webp_chunks *chunks = &webp->chunks;
    const struct pst_rect *frame = &chunks->frame;
    size_t alpha_bytes = chunks->alpha_size - 1;
    size_t size = VP8L_HEADER_BYTES + (alpha_bytes < VP8L_WORD ? VP8L_WORD : alpha_bytes);
    uint8_t *data = pst__scratch_reserve(&webp->alpha, size);
    if (!data)
        return pst__fail(err, PST_ENOMEM, "no memory for the alpha of a WebP");
    uint32_t bits = (uint32_t)(frame->w - 1) | (uint32_t)(frame->h - 1) << 14;
    const uint8_t header[VP8L_HEADER_BYTES] = {0x2f, (uint8_t)bits, (uint8_t)(bits >> 8),
                                               (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    memcpy(data, header, sizeof header);
    memset(data + sizeof header, 0, VP8L_WORD);
    memcpy(data + sizeof header, chunks->alpha + 1, alpha_bytes);
    struct pst_rect column = {0, 0, 1, frame->h};
    return decode_window(&webp->pixels, data, size, &column, "alpha", err);
}

static int check_alpha(struct webp *webp, struct pst_error *err)
{
    const struct pst__webp_chunks *chunks = &webp->chunks;
    if (!chunks->alpha)
        return PST_OK;
    if (chunks->alpha_size < 2)
        return pst__fail(err, PST_ETRUNCATED, "WebP alpha ends early");
    int head = chunks->alpha[0], method = head & 3, preprocessing = head >> 4 & 3;
    if (method > ALPHA_LOSSLESS || preprocessing > 1 || head >> 6 != 0)
        return pst__fail(err, PST_EUNCLEAN, "WebP alpha has an unknown header, %02x", head);
    if (method == ALPHA_LOSSLESS)
        return check_lossless_alpha(webp, err);
    if (chunks->alpha_size - 1 < (size_t)chunks->frame.w * (size_t)chunks->frame.h)
        return pst__fail(err, PST_ETRUNCATED, "WebP alpha ends early");
    return PST_OK;
}

static int fills_canvas(const struct pst__webp_chunks *chunks)
{
    return chunks->frame.w == chunks->width && chunks->frame.h == chunks->height;
}

static int imax(int a, int b)
{
    return a > b ? a : b;
}

static int imin(int a, int b)
{
    return a < b ? a : b;
}

/* The columns from, to of the frame with their margin, as the start and size of a window. */
static void widen(int from, int to, int end, int32_t *start, int32_t *size)
{
    *start = imax(from - MARGIN, 0) & ~1;
    *size = imin(to + MARGIN, end) - *start;
}

/* The frame's part of the region on a canvas of zeros, as libwebp's animation decoder begins.
 * `part` is that part in the frame; it may be empty. */
static int compose(struct webp *webp, const struct pst_rect *part, const uint8_t *pixels,
                   ptrdiff_t stride, struct pst_error *err)
{
    const struct pst_rect *region = &webp->region, *frame = &webp->chunks.frame;
    webp->stride = stride_of(region->w);
    size_t bytes = (size_t)webp->stride * (size_t)region->h;
    uint8_t *canvas = pst__scratch_reserve(&webp->canvas, bytes);
    if (!canvas)
        return pst__fail(err, PST_ENOMEM, "no memory for the canvas of a WebP");
    memset(canvas, 0, bytes);
    webp->origin = canvas;
    if (part->h == 0)
        return PST_OK;
    canvas += (part->y + frame->y - region->y) * webp->stride;
    canvas += (ptrdiff_t)(part->x + frame->x - region->x) * PIXEL_BYTES;
    for (int y = 0; y < part->h; y++)
        memcpy(canvas + y * webp->stride, pixels + y * stride, (size_t)part->w * PIXEL_BYTES);
    return PST_OK;
}

static int decode(struct webp *webp, struct pst_error *err)
{
    const struct pst__webp_chunks *chunks = &webp->chunks;
    const struct pst_rect *region = &webp->region, *frame = &chunks->frame;
    int rc = check_alpha(webp, err);
    if (rc < 0)
        return rc;
    struct pst_rect part, window = {0, frame->h - 1, 1, 1};
    part.x = imax(region->x - frame->x, 0);
    part.y = imax(region->y - frame->y, 0);
    part.w = imin(region->x + region->w - frame->x, frame->w) - part.x;
    part.h = imin(region->y + region->h - frame->y, frame->h) - part.y;
    int is_met = part.w > 0 && part.h > 0;
    if (is_met) {
        widen(part.x, part.x + part.w, frame->w, &window.x, &window.w);
        widen(part.y, frame->h, frame->h, &window.y, &window.h);
    }
    rc = decode_window(&webp->pixels, chunks->image, chunks->image_size, &window, "image", err);
    if (rc < 0)
        return rc;
    ptrdiff_t stride = stride_of(window.w);
    const uint8_t *pixels = webp->pixels.data;
    if (is_met)
        pixels += (part.y - window.y) * stride + (ptrdiff_t)(part.x - window.x) * PIXEL_BYTES;
    else
        part.w = part.h = 0;
    if (!fills_canvas(chunks))
        return compose(webp, &part, pixels, stride, err);
    webp->origin = pixels;
    webp->stride = stride;
    return PST_OK;
}

static int webp_rows(void *state, int max_rows, const uint8_t **rows, ptrdiff_t *stride,
                     int *n_rows, struct pst_error *err)
{
    struct webp *webp = state;
    int n = imin(max_rows, webp->region.h - webp->n_given);
    PST_REQUIRE(webp->is_active && n > 0, err, "no rows are left, or none were asked for");
    int rc = webp->is_decoded ? PST_OK : decode(webp, err);
    if (rc < 0)
        return rc;
    webp->is_decoded = 1;
    *rows = webp->origin + webp->n_given * webp->stride;
    *stride = webp->stride;
    *n_rows = n;
    webp->n_given += n;
    return PST_OK;
}

static int webp_finish(void *state, struct pst_error *err)
{
    struct webp *webp = state;
    PST_REQUIRE(webp->is_active && webp->n_given == webp->region.h, err,
                "rows of the region are left");
    return PST_OK;
}

static int webp_finish_strict(void *state, struct pst_error *err)
{
    struct webp *webp = state;
    int rc = webp_finish(webp, err);
    if (rc == PST_OK && webp->chunks.end < webp->size)
        rc = pst__fail_at(err, PST_EUNCLEAN, (int64_t)webp->chunks.end,
                          "WebP has %zu bytes behind its end", webp->size - webp->chunks.end);
    return rc;
}

/* The image as RGBX, libwebp's own for a lossless one as large again. */
static size_t webp_cost(const uint8_t *data, size_t size, const struct pst_image_info *info)
{
    (void)data, (void)size;
    return (size_t)info->width * (size_t)info->height * 8;
}

const struct pst__codec pst__codec_webp = {
    .format = PST_IMAGE_WEBP,
    .name = "webp",
    .matches = pst__webp_has_signature,
    .probe = webp_probe,
    .open = webp_open,
    .close = webp_close,
    .start = webp_start,
    .rows = webp_rows,
    .finish = webp_finish,
    .finish_strict = webp_finish_strict,
    .abort = webp_abort,
    .bytes = webp_bytes,
    .cost = webp_cost,
};
