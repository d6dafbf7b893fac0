/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/pixels.h"

#include <string.h>

struct pst_pixels pst__pixels_part(const struct pst_pixels *pixels, const struct pst_rect *part)
{
    struct pst_pixels result = *pixels;
    result.data += part->y * pixels->row + part->x * pixels->pixel;
    result.width = part->w;
    result.height = part->h;
    return result;
}

int pst__pixel_rows_init(struct pst__pixel_rows *rows, const struct pst_pixels *pixels,
                         struct pst__scratch *rgbx)
{
    size_t size = (size_t)pixels->width * (size_t)pixels->height * 4;
    *rows = (struct pst__pixel_rows){.pixels = *pixels, .rgbx = pst__scratch_reserve(rgbx, size)};
    return rows->rgbx != NULL;
}

/* One row. A grey one goes into all three channels. */
static void expand(uint8_t *rgbx, const struct pst_pixels *pixels, int32_t y)
{
    const uint8_t *r = pixels->data + y * pixels->row;
    ptrdiff_t step = pixels->pixel, channel = pixels->channels == 1 ? 0 : pixels->channel;
    const uint8_t *g = r + channel, *b = g + channel;
    for (int32_t x = 0; x < pixels->width; x++, rgbx += 4) {
        rgbx[0] = r[x * step];
        rgbx[1] = g[x * step];
        rgbx[2] = b[x * step];
        rgbx[3] = 0;
    }
}

int pst__pixel_rows(void *self, int max_rows, const uint8_t **rows, ptrdiff_t *stride, int *n_rows,
                    struct pst_error *err)
{
    struct pst__pixel_rows *source = self;
    (void)err;
    size_t row = (size_t)source->pixels.width * 4;
    int32_t left = source->pixels.height - source->done;
    *n_rows = max_rows < left ? max_rows : left;
    *rows = source->rgbx + (size_t)source->done * row;
    *stride = (ptrdiff_t)row;
    for (int i = 0; i < *n_rows; i++, source->done++)
        expand(source->rgbx + (size_t)source->done * row, &source->pixels, source->done);
    return PST_OK;
}

/* One plane. The inner loop goes along what lies together. */
static void gather(uint8_t *dst, const uint8_t *src, int32_t w, int32_t n, ptrdiff_t row,
                   ptrdiff_t pixel)
{
    if (row < pixel) {
        for (int32_t x = 0; x < w; x++)
            for (int32_t y = 0; y < n; y++)
                dst[(ptrdiff_t)y * w + x] = src[y * row + x * pixel];
        return;
    }
    for (int32_t y = 0; y < n; y++)
        for (int32_t x = 0; x < w; x++)
            dst[(ptrdiff_t)y * w + x] = src[y * row + x * pixel];
}

void pst__pixels_planes(const struct pst_pixels *pixels, int32_t y, int32_t n, uint8_t *planes,
                        ptrdiff_t plane, const struct pst__kernels *kernels)
{
    const uint8_t *src = pixels->data + y * pixels->row;
    int32_t w = pixels->width;
    if (pixels->channels == 3 && pixels->pixel == 3 && pixels->channel == 1) {
        /* Rows that follow one another are one. */
        int is_flat = pixels->row == 3 * (ptrdiff_t)w;
        int rows = is_flat ? 1 : n, length = is_flat ? n * w : w;
        for (int i = 0; i < rows; i++, src += pixels->row)
            kernels->unpack_rgb(planes + (ptrdiff_t)i * w, plane, src, length);
        return;
    }
    for (int c = 0; c < pixels->channels; c++, planes += plane, src += pixels->channel)
        gather(planes, src, w, n, pixels->row, pixels->pixel);
}
