/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/sink.h"

#include <string.h>

#include "transform/ops.h"

#define LINE 64 /* what kernels round their writes up to */

static void begin(struct pst__sink *sink, const struct pst__segment *segment,
                  const struct pst__geometry *geometry)
{
    *sink = (struct pst__sink){
        .kernels = pst__kernels(),
        .w = geometry->want.w,
        .h = geometry->want.h,
        .left = geometry->left,
        .top = geometry->top,
        .seen_w = geometry->seen.w,
        .seen_h = geometry->seen.h,
        .hflip = segment->hflip,
        .vflip = segment->vflip,
    };
}

int pst__sink_sample(struct pst__sink *sink, const struct pst__segment *segment,
                     const struct pst__geometry *geometry, const struct pst_transform *transform,
                     void *dst, struct pst__scratch *unpacked)
{
    begin(sink, segment, geometry);
    sink->norm = transform->norm;
    sink->dtype = transform->output.dtype;
    sink->channels = transform->channels;
    sink->dst = dst;
    sink->row = (size_t)sink->w * pst_dtype_size(sink->dtype);
    sink->plane = sink->row * (size_t)sink->h;
    sink->unpacked_plane = (sink->seen_w + LINE - 1) / LINE * LINE;
    sink->unpacked = pst__scratch_reserve(unpacked, 3 * (size_t)sink->unpacked_plane);
    return sink->unpacked != NULL;
}

int pst__sink_image(struct pst__sink *sink, const struct pst__segment *segment,
                    const struct pst__geometry *geometry, struct pst__scratch *image)
{
    begin(sink, segment, geometry);
    sink->row = ((size_t)sink->w * 4 + LINE - 1) / LINE * LINE;
    sink->dst = pst__scratch_reserve(image, sink->row * (size_t)sink->h);
    return sink->dst != NULL;
}

static void fill_f32(float *to, int32_t n, float value)
{
    for (int32_t i = 0; i < n; i++)
        to[i] = value;
}

/* n zeros from column x on of row y. */
static void put_zeros(const struct pst__sink *sink, int32_t y, int32_t x, int32_t n)
{
    uint8_t *row = sink->dst + (size_t)y * sink->row;
    if (n == 0)
        return;
    if (sink->dtype == 0) {
        memset(row + (size_t)x * 4, 0, (size_t)n * 4);
        return;
    }
    for (int c = 0; c < sink->channels; c++, row += sink->plane) {
        if (sink->dtype == PST_U8)
            memset(row + x, 0, (size_t)n);
        else
            fill_f32((float *)(void *)row + x, n, sink->norm[c].lut[0]);
    }
}

/* Where the rows that come lie in the result, flips applied. */
static int32_t column_of(const struct pst__sink *sink)
{
    return sink->hflip ? sink->w - sink->left - sink->seen_w : sink->left;
}

static int32_t row_of(const struct pst__sink *sink, int32_t i)
{
    return sink->vflip ? sink->h - 1 - sink->top - i : sink->top + i;
}

void pst__sink_borders(const struct pst__sink *sink)
{
    int32_t x = column_of(sink);
    int32_t first = sink->vflip ? sink->h - sink->top - sink->seen_h : sink->top;
    if (sink->seen_w == sink->w && sink->seen_h == sink->h)
        return;
    for (int32_t y = 0; y < sink->h; y++) {
        if (y < first || y >= first + sink->seen_h) {
            put_zeros(sink, y, 0, sink->w);
            continue;
        }
        put_zeros(sink, y, 0, x);
        put_zeros(sink, y, x + sink->seen_w, sink->w - x - sink->seen_w);
    }
}

void pst__sink_erase(const struct pst__sink *sink, const struct pst__erased *erased)
{
    const struct pst_rect *rect = &erased->rect;
    for (int c = 0; c < sink->channels; c++) {
        for (int32_t y = rect->y; y < rect->y + rect->h; y++) {
            uint8_t *row = sink->dst + (size_t)c * sink->plane + (size_t)y * sink->row;
            if (sink->dtype == PST_U8)
                memset(row + rect->x, (uint8_t)erased->value[c], (size_t)rect->w);
            else
                fill_f32((float *)(void *)row + rect->x, rect->w, erased->value[c]);
        }
    }
}

static void interleave(uint8_t *dst, const uint8_t *planes, ptrdiff_t plane_stride, int32_t n,
                       int reverse)
{
    for (int32_t i = 0; i < n; i++) {
        uint8_t *to = dst + (ptrdiff_t)(reverse ? n - 1 - i : i) * 4;
        to[0] = planes[i];
        to[1] = planes[plane_stride + i];
        to[2] = planes[2 * plane_stride + i];
        to[3] = 0;
    }
}

/* n pixels of each channel, from pixel x of the row that starts at `row`. */
static void store(const struct pst__sink *sink, uint8_t *row, size_t x, const uint8_t *planes,
                  ptrdiff_t plane_stride, int n)
{
    for (int c = 0; c < sink->channels; c++, row += sink->plane, planes += plane_stride) {
        if (sink->dtype == PST_U8)
            sink->kernels->store_u8(row + x, planes, n, sink->hflip);
        else
            sink->kernels->store_f32((float *)(void *)row + x, planes, n, &sink->norm[c],
                                     sink->hflip);
    }
}

void pst__sink_planes(const struct pst__sink *sink, int32_t i, const uint8_t *planes,
                      ptrdiff_t plane_stride)
{
    uint8_t *row = sink->dst + (size_t)row_of(sink, i) * sink->row;
    size_t x = (size_t)column_of(sink);
    if (sink->dtype == 0)
        interleave(row + x * 4, planes, plane_stride, sink->seen_w, sink->hflip);
    else
        store(sink, row, x, planes, plane_stride, sink->seen_w);
}

void pst__sink_rows(const struct pst__sink *sink, int32_t i, int32_t n, const uint8_t *planes,
                    ptrdiff_t row, ptrdiff_t plane_stride)
{
    int is_flat = sink->dtype != 0 && !sink->hflip && !sink->vflip && sink->seen_w == sink->w &&
                  row == sink->w;
    if (is_flat) { /* rows that follow one another on both sides are one */
        store(sink, sink->dst + (size_t)row_of(sink, i) * sink->row, 0, planes, plane_stride,
              n * sink->w);
        return;
    }
    for (int32_t k = 0; k < n; k++)
        pst__sink_planes(sink, i + k, planes + k * row, plane_stride);
}

void pst__sink_rgbx(const struct pst__sink *sink, int32_t i, const uint8_t *row)
{
    if (sink->dtype != 0) {
        sink->kernels->unpack(sink->unpacked, sink->unpacked_plane, row, sink->seen_w);
        pst__sink_planes(sink, i, sink->unpacked, sink->unpacked_plane);
        return;
    }
    size_t n = (size_t)sink->seen_w;
    uint8_t *to = sink->dst + (size_t)row_of(sink, i) * sink->row + (size_t)column_of(sink) * 4;
    if (!sink->hflip) {
        memcpy(to, row, n * 4);
        return;
    }
    for (size_t k = 0; k < n; k++)
        memcpy(to + (n - 1 - k) * 4, row + k * 4, 4);
}
