/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "transform/recolour.h"
#include "transform/tensor_steps.h"

/* Up to here the sum of the lumas is exact in float32, whatever its order. */
#define MOST_MEAN ((1 << 24) / 255)
/* torch adds a mean to so many floats at a time, fused, and to those that are left over not. */
#define MEAN_LANES 16
#define MOST_PIXELS (1 << 24)

#define MOST_SHEAR 10.0
#define MOST_DEGREES 360.0
#define MOST_SHIFT 65536.0
#define LANES 16 /* floats that kernels write at a time */

static double most_of(int action)
{
    switch (action) {
    case PST_COLOUR_BRIGHTNESS:
    case PST_COLOUR_CONTRAST:
    case PST_COLOUR_SATURATION:
    case PST_COLOUR_SHARPNESS:
        return 1;
    case PST_COLOUR_POSTERIZE:
        return 8;
    case PST_COLOUR_SOLARIZE:
        return 255;
    case PST_COLOUR_AUTOCONTRAST:
    case PST_COLOUR_EQUALIZE:
        return 0;
    case PST_ACTION_SHEAR_X:
    case PST_ACTION_SHEAR_Y:
        return MOST_SHEAR;
    case PST_ACTION_TRANSLATE_X:
    case PST_ACTION_TRANSLATE_Y:
        return MOST_SHIFT;
    case PST_ACTION_ROTATE:
        return MOST_DEGREES;
    default:
        return -1;
    }
}

int pst__tensor_step_check(int action, double magnitude, struct pst_error *err)
{
    int is_whole = action == PST_COLOUR_POSTERIZE || action == PST_ACTION_TRANSLATE_X ||
                   action == PST_ACTION_TRANSLATE_Y;
    int is_positive = action == PST_COLOUR_POSTERIZE || action == PST_COLOUR_SOLARIZE;
    /* Written so that a NaN fails. */
    if (!(fabs(magnitude) <= most_of(action)) || (is_whole && magnitude != trunc(magnitude)) ||
        (is_positive && magnitude < 0))
        return pst__fail(err, PST_EINVAL, "action %d by %g on a tensor", action, magnitude);
    return PST_OK;
}

int pst__tensor_step_check_size(const struct pst__tensor_way *way, int action, int32_t w, int32_t h,
                                struct pst_error *err)
{
    int64_t n = (int64_t)w * h;
    if (n > MOST_PIXELS)
        return pst__fail(err, PST_ELIMIT, "a tensor of %d x %d, the limit is %d pixels", w, h,
                         MOST_PIXELS);
    if (action != PST_COLOUR_CONTRAST)
        return PST_OK;
    if (n > MOST_MEAN)
        return pst__fail(err, PST_ELIMIT, "the mean of %d x %d pixels, the limit is %d", w, h,
                         MOST_MEAN);
    if (way->is_v2 && n % MEAN_LANES != 0)
        return pst__fail(err, PST_ELIMIT, "the contrast of %d x %d pixels, no multiple of %d", w, h,
                         MEAN_LANES);
    return PST_OK;
}

/* Image and degenerate image in these portions. */
static struct pst__portions portions_of(const struct pst__tensor_way *way, double magnitude)
{
    double factor = 1.0 + magnitude;
    return (struct pst__portions){(float)factor, (float)(1.0 - factor), way->is_v2};
}

static void blend_with(const struct pst__image *image, float back,
                       const struct pst__portions *portions)
{
    uint8_t lut[256];
    for (int v = 0; v < 256; v++)
        lut[v] = pst__tensor_blend((float)v, back, portions);
    pst__map_alike(image, lut);
}

static void contrast(const struct pst__image *image, const struct pst__portions *portions)
{
    uint64_t sum = 0;
    for (int32_t y = 0; y < image->h; y++)
        sum += pst__kernels()->tensor_luma_sum(image->pixels + y * image->stride, image->w,
                                               portions->is_fused);
    float count = (float)((int64_t)image->w * image->h);
    blend_with(image, (float)sum / count, portions);
}

static uint8_t stretched(const struct pst__tensor_way *way, int v, int low, int high)
{
    float from = (float)(v - low), range = (float)(high - low), value = (float)v;
    if (high > low && way->is_v2)
        value = from / (range * (float)(1.0 / 255));
    else if (high > low)
        value = from * (1.0f / range * 255.0f);
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
}

static void stretch_table(const struct pst__tensor_way *way, const uint32_t count[256],
                          uint8_t lut[256])
{
    int low = 0, high = 255;
    while (low < 255 && count[low] == 0)
        low++;
    while (high > 0 && count[high] == 0)
        high--;
    for (int v = 0; v < 256; v++)
        lut[v] = stretched(way, v, low, high);
}

static void by_counts(const struct pst__tensor_way *way, int action, const struct pst__image *image)
{
    uint32_t count[3][256];
    struct pst__map map;
    pst__count_values(image, count);
    for (int c = 0; c < 3; c++) {
        if (action == PST_COLOUR_EQUALIZE)
            pst__equal_table(count[c], map.channel[c]);
        else
            stretch_table(way, count[c], map.channel[c]);
    }
    pst__map_image(image, &map);
}

static void by_value(int action, double magnitude, const struct pst__image *image)
{
    uint8_t lut[256];
    unsigned mask = 0xffu << (8 - (int)magnitude % 9);
    for (int v = 0; v < 256; v++) {
        int is_below = (float)v < (float)magnitude;
        lut[v] = (uint8_t)(action == PST_COLOUR_POSTERIZE ? (unsigned)v & mask
                           : is_below                     ? (unsigned)v
                                                          : 255u - (unsigned)v);
    }
    pst__map_alike(image, lut);
}

static size_t round_up(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* Three planes of a row, with room for what is read and written past it. */
static size_t line_of(int32_t w)
{
    return 3 * round_up((size_t)w) + 2 * (size_t)LANES;
}

size_t pst__tensor_lines(int32_t w)
{
    return 4 * line_of(w); /* three rows and the sums of one */
}

/* What is not in the middle of 3 x 3 pixels is not blurred. */
static void sharpen_edge(const struct pst__portions *portions, const uint8_t *px, uint8_t *to)
{
    for (int c = 0; c < 3; c++)
        to[c] = portions->is_fused ? px[c] : pst__tensor_blend(px[c], px[c], portions);
    to[3] = 0;
}

static void sharpen_edges(const struct pst__portions *portions, const struct pst__image *src,
                          const struct pst__image *dst)
{
    for (int32_t y = 0; y < src->h; y++) {
        int32_t step = y == 0 || y == src->h - 1 ? 1 : src->w - 1;
        for (int32_t x = 0; x < src->w; x += step)
            sharpen_edge(portions, src->pixels + y * src->stride + (ptrdiff_t)x * 4,
                         dst->pixels + y * dst->stride + (ptrdiff_t)x * 4);
    }
}

static void sharpness(const struct pst__portions *portions, const struct pst__image *src,
                      const struct pst__image *dst, float *lines)
{
    const float a = 1.0f / 13.0f, b = 5.0f / 13.0f;
    const float weight[9] = {a, a, a, a, b, a, a, a, a};
    const struct pst__kernels *kernels = pst__kernels();
    ptrdiff_t plane = (ptrdiff_t)round_up((size_t)src->w);
    size_t line = line_of(src->w);
    float *ring[3] = {lines, lines + line, lines + 2 * line}, *sum = lines + 3 * line;
    memset(lines, 0, pst__tensor_lines(src->w) * sizeof *lines);
    for (int32_t y = 0; y < src->h; y++) {
        kernels->spread(ring[y % 3], plane, src->pixels + y * src->stride, src->w);
        if (y < 2)
            continue;
        const float *row[3] = {ring[(y - 2) % 3], ring[(y - 1) % 3], ring[y % 3]};
        kernels->convolve(sum, row, (int)(2 * plane + src->w), weight, 3, 3);
        kernels->tensor_sharpen(dst->pixels + (y - 1) * dst->stride + 4,
                                src->pixels + (y - 1) * src->stride + 4, sum, plane, src->w - 2,
                                portions);
    }
    sharpen_edges(portions, src, dst);
}

int pst__tensor_is_in_place(int action)
{
    return action < PST_ACTION_SHEAR_X && action != PST_COLOUR_SHARPNESS;
}

static void in_place(const struct pst__tensor_way *way, int action, double magnitude,
                     const struct pst__image *image)
{
    const struct pst__portions portions = portions_of(way, magnitude);
    switch (action) {
    case PST_COLOUR_BRIGHTNESS:
        blend_with(image, 0, &portions);
        break;
    case PST_COLOUR_CONTRAST:
        contrast(image, &portions);
        break;
    case PST_COLOUR_SATURATION:
        for (int32_t y = 0; y < image->h; y++)
            pst__kernels()->tensor_saturate(image->pixels + y * image->stride, image->w, &portions);
        break;
    case PST_COLOUR_POSTERIZE:
    case PST_COLOUR_SOLARIZE:
        by_value(action, magnitude, image);
        break;
    default:
        by_counts(way, action, image);
        break;
    }
}

void pst__tensor_step(const struct pst__tensor_way *way, int action, double magnitude,
                      const struct pst__image *src, const struct pst__image *dst, float *lines)
{
    const struct pst__portions portions = portions_of(way, magnitude);
    if (action >= PST_ACTION_SHEAR_X)
        pst__tensor_warp(way, action, magnitude, src, dst);
    else if (pst__tensor_is_in_place(action))
        in_place(way, action, magnitude, dst);
    else if (src->w <= 2 || src->h <= 2)
        pst__image_copy(dst, src);
    else
        sharpness(&portions, src, dst, lines);
}
