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
    sink->transform = transform;
    sink->dtype = transform->output.dtype;
    sink->channels = transform->channels;
    sink->size = pst_dtype_size(sink->dtype);
    sink->is_planar = transform->output.layout == PST_LAYOUT_CHW || sink->channels == 1;
    sink->dst = dst;
    sink->row = (size_t)sink->w * sink->size * (sink->is_planar ? 1 : 3);
    sink->plane = sink->row * (size_t)sink->h;
    sink->unpacked_plane = (sink->seen_w + LINE - 1) / LINE * LINE;
    sink->apart_plane = sink->unpacked_plane * (ptrdiff_t)sink->size;
    size_t apart = sink->is_planar ? 0 : 3 * (size_t)sink->apart_plane;
    sink->unpacked = pst__scratch_reserve(unpacked, 3 * (size_t)sink->unpacked_plane + apart);
    sink->apart = sink->unpacked + 3 * sink->unpacked_plane;
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

/* n elements, step elements apart. */
static void fill(uint8_t *to, int32_t n, size_t size, size_t step, uint32_t bits)
{
    if (size == 1 && step == 1) {
        memset(to, (int)bits, (size_t)n);
        return;
    }
    for (int32_t i = 0; i < n; i++, to += size * step) {
        if (size == 4)
            memcpy(to, &bits, 4);
        else if (size == 2)
            memcpy(to, &(uint16_t){(uint16_t)bits}, 2);
        else
            *to = (uint8_t)bits;
    }
}

/* n pixels of the sample from column x of row y on, all of this value. */
static void put_value(const struct pst__sink *sink, int32_t y, int32_t x, int32_t n,
                      const uint32_t bits[3])
{
    size_t together = sink->is_planar ? 1 : 3;
    uint8_t *to = sink->dst + (size_t)y * sink->row + (size_t)x * sink->size * together;
    for (int c = 0; c < sink->channels; c++)
        fill(to + (size_t)c * (sink->is_planar ? sink->plane : sink->size), n, sink->size, together,
             bits[c]);
}

/* n pixels of zeros from column x of row y on. */
static void put_zeros(const struct pst__sink *sink, int32_t y, int32_t x, int32_t n)
{
    uint32_t bits[3] = {0};
    if (n == 0)
        return;
    if (!sink->transform) {
        memset(sink->dst + (size_t)y * sink->row + (size_t)x * 4, 0, (size_t)n * 4);
        return;
    }
    for (int c = 0; c < 3 && sink->dtype != PST_U8; c++)
        bits[c] = pst__output_bits(sink->dtype, sink->transform->output.lut[c][0]);
    put_value(sink, y, x, n, bits);
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
    uint32_t bits[3];
    for (int c = 0; c < 3; c++)
        bits[c] = pst__output_bits(sink->dtype, erased->value[c]);
    for (int32_t y = rect->y; y < rect->y + rect->h; y++)
        put_value(sink, y, rect->x, rect->w, bits);
}

void pst__sink_values(const struct pst__sink *sink, const struct pst_rect *rect,
                      const float *values)
{
    size_t pixel = sink->is_planar ? sink->size : sink->size * (size_t)sink->channels;
    size_t plane = sink->is_planar ? sink->plane : sink->size;
    for (int c = 0; c < sink->channels; c++) {
        for (int32_t y = rect->y; y < rect->y + rect->h; y++) {
            uint8_t *to = sink->dst + (size_t)y * sink->row + (size_t)rect->x * pixel;
            to += (size_t)c * plane;
            for (int32_t x = 0; x < rect->w; x++, to += pixel) {
                uint32_t bits = pst__output_bits(sink->dtype, *values++);
                memcpy(to, &bits, sink->size);
            }
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

/* n pixels of one channel as the sample has them. */
static void store(const struct pst__sink *sink, void *to, const uint8_t *plane, int n, int c)
{
    const struct pst__kernels *kernels = sink->kernels;
    if (sink->dtype == PST_U8)
        kernels->store_u8(to, plane, n, sink->hflip);
    else if (sink->dtype == PST_F32)
        kernels->store_f32(to, plane, n, &sink->transform->norm[c], sink->hflip);
    else
        kernels->store_u16(to, plane, n, sink->transform->half[c], sink->hflip);
}

/* n pixels of each channel, from pixel x of the row that starts at `row`. */
static void store_planes(const struct pst__sink *sink, uint8_t *row, size_t x,
                         const uint8_t *planes, ptrdiff_t plane_stride, int n)
{
    for (int c = 0; c < sink->channels; c++)
        store(sink, row + (size_t)c * sink->plane + x * sink->size, planes + c * plane_stride, n,
              c);
}

void pst__sink_planes(const struct pst__sink *sink, int32_t i, const uint8_t *planes,
                      ptrdiff_t plane_stride)
{
    uint8_t *row = sink->dst + (size_t)row_of(sink, i) * sink->row;
    size_t x = (size_t)column_of(sink);
    int n = sink->seen_w;
    if (!sink->transform) {
        interleave(row + x * 4, planes, plane_stride, n, sink->hflip);
        return;
    }
    if (sink->is_planar) {
        store_planes(sink, row, x, planes, plane_stride, n);
        return;
    }
    for (int c = 0; c < 3; c++)
        store(sink, sink->apart + c * sink->apart_plane, planes + c * plane_stride, n, c);
    sink->kernels->interleave(row + x * sink->size * 3, sink->apart, sink->apart_plane, n,
                              (int)sink->size);
}

void pst__sink_rows(const struct pst__sink *sink, int32_t i, int32_t n, const uint8_t *planes,
                    ptrdiff_t row, ptrdiff_t plane_stride)
{
    int is_flat = sink->transform && sink->is_planar && !sink->hflip && !sink->vflip &&
                  sink->seen_w == sink->w && row == sink->w;
    if (is_flat) { /* rows that follow one another on both sides are one */
        store_planes(sink, sink->dst + (size_t)row_of(sink, i) * sink->row, 0, planes, plane_stride,
                     n * sink->w);
        return;
    }
    for (int32_t k = 0; k < n; k++)
        pst__sink_planes(sink, i + k, planes + k * row, plane_stride);
}

void pst__sink_rgbx(const struct pst__sink *sink, int32_t i, const uint8_t *row)
{
    if (sink->transform) {
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
