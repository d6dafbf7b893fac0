/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_TENSOR_H
#define PST_TESTS_KERNELS_CHECK_TENSOR_H

#include <math.h>

#include "kernels/check_memory.h"
#include "kernels/check_warp.h"
#include "kernels/kernels.h"

/* torchvision's functions on tensors, beside a second way to write them down. */

static float unit(void)
{
    return (float)(draw() >> 8) * 0x1p-24f;
}

static void random_grid(struct pst__grid *grid, const struct pst__raster *src)
{
    int is_still = draw() % 4 == 0; /* moved by whole pixels */
    *grid = (struct pst__grid){.is_plain = (int)(draw() % 2), .fill_kind = (int)(draw() % 3)};
    for (int k = 0; k < 2; k++) {
        int size = k ? src->h : src->w;
        float half = (float)size / 2.0f;
        float along = is_still ? 1.0f : 2 * unit() - 0.5f, across = is_still ? 0 : unit() - 0.5f;
        grid->a[k] = (k ? across : along) / half;
        grid->b[k] = (k ? along : across) / half;
        grid->c[k] = (is_still ? (float)between(-2, 2) : (unit() - 0.5f) * (float)size) / half;
        grid->half[k] = half;
    }
    if (draw() % 16 == 0)
        grid->c[draw() % 2] = draw() % 2 ? 1e30f : -1e30f;
    for (int c = 0; c < 3; c++)
        grid->fill[c] = draw() % 2 ? (float)between(0, 255) : 255 * unit();
}

static float channel_at(const struct pst__raster *src, float x, float y, int c)
{
    if (!(x >= 0 && x < (float)src->w && y >= 0 && y < (float)src->h))
        return 0;
    return c < 0 ? 1 : src->pixels[(int)y * src->stride + (ptrdiff_t)x * 4 + c];
}

static float place_of(const struct pst__grid *grid, int k, float x, float y)
{
    float at = x * grid->a[k], by = y * grid->b[k];
    at = grid->is_plain ? at + by : fmaf(y, grid->b[k], at);
    at += grid->c[k];
    return fmaf(at + 1, grid->half[k], -0.5f);
}

/* c: -1 for what there is of the image. */
static float grid_value(const struct pst__raster *src, float x, float y, int c, int is_nearest)
{
    if (is_nearest)
        return channel_at(src, rintf(x), rintf(y), c);
    float left = floorf(x), top = floorf(y), w = x - left, n = y - top;
    float sum = channel_at(src, left, top, c) * ((1 - w) * (1 - n));
    sum = fmaf(channel_at(src, left + 1, top, c), w * (1 - n), sum);
    sum = fmaf(channel_at(src, left, top + 1, c), (1 - w) * n, sum);
    return fmaf(channel_at(src, left + 1, top + 1, c), w * n, sum);
}

static int grid_expected(const struct pst__raster *src, const struct pst__grid *grid, float x,
                         float y, int c, int is_nearest)
{
    float px = place_of(grid, 0, x, y), py = place_of(grid, 1, x, y), fill = grid->fill[c];
    float value = grid_value(src, px, py, c, is_nearest);
    float mask = grid_value(src, px, py, -1, is_nearest);
    if (is_nearest && grid->fill_kind && mask < 0.5f)
        return (int)rintf(fill);
    if (!is_nearest && grid->fill_kind == PST_GRID_FILL_V1) {
        float one = value * mask, other = (1 - mask) * fill;
        value = one + other;
    }
    if (!is_nearest && grid->fill_kind == PST_GRID_FILL_V2) {
        value = (value - fill) * mask;
        value += fill;
    }
    return (int)rintf(value);
}

static void check_grid(const struct pst__kernels *kernels, int n, int is_nearest)
{
    struct pst__raster src;
    struct pst__grid grid;
    struct fenced pixels;
    struct field dst;
    random_raster(&src, &pixels);
    random_grid(&grid, &src);
    float x = -(float)(n - 1) * 0.5f, y = (float)between(-200, 200) * 0.5f;
    size_t at = (size_t)between(0, 30) * 4;
    field_new(&dst, at + (size_t)n * 4 + 200);
    field_allow(&dst, at, (size_t)n * 4);
    (is_nearest ? kernels->grid_nearest : kernels->grid_bilinear)(dst.data + at, &src, &grid, n, x,
                                                                  y);
    for (int i = 0; i < 4 * n; i++) {
        if (i % 4 == 3)
            continue;
        int expected = grid_expected(&src, &grid, x + (float)(i / 4), y, i % 4, is_nearest);
        if (dst.data[at + (size_t)i] != expected)
            differ(is_nearest ? "grid_nearest" : "grid_bilinear", kernels->name, n, i,
                   dst.data[at + (size_t)i], expected);
    }
    field_check(&dst, "grid");
    field_free(&dst);
    fenced_free(&pixels);
}

static void check_grid_bilinear(const struct pst__kernels *kernels, int n)
{
    check_grid(kernels, n, 0);
}

static void check_grid_nearest(const struct pst__kernels *kernels, int n)
{
    check_grid(kernels, n, 1);
}

static float tensor_luma(const uint8_t *px, int is_fused)
{
    float r = 0.2989f * px[0], g = 0.587f * px[1], b = 0.114f * px[2], both = r + g;
    if (is_fused)
        return floorf(fmaf(0.114f, px[2], fmaf(0.587f, px[1], r)));
    return floorf(both + b);
}

static int between_bytes(float value)
{
    return (int)fminf(fmaxf(value, 0), 255);
}

static int tensor_blend(float own, float other, const struct pst__portions *portions)
{
    float a = own * portions->own, b = other * portions->other;
    return between_bytes(portions->is_fused ? fmaf(other, portions->other, a) : a + b);
}

static struct pst__portions random_portions(void)
{
    float own = draw() % 8 ? 2 * unit() : 1;
    return (struct pst__portions){own, 1 - own, (int)(draw() % 2)};
}

static void check_tensor_luma_sum(const struct pst__kernels *kernels, int n)
{
    struct fenced px;
    uint64_t expected = 0;
    int is_fused = (int)(draw() % 2);
    fenced_new(&px, (size_t)n * 4, 1);
    for (int i = 0; i < n; i++)
        expected += (uint64_t)tensor_luma(px.data + (ptrdiff_t)i * 4, is_fused);
    uint64_t got = kernels->tensor_luma_sum(px.data, n, is_fused);
    if (got != expected)
        differ("tensor_luma_sum", kernels->name, n, 0, (int)got, (int)expected);
    fenced_free(&px);
}

static void check_tensor_saturate(const struct pst__kernels *kernels, int n)
{
    struct pst__portions portions = random_portions();
    size_t at = (size_t)between(0, 30) * 4;
    struct field px;
    field_new(&px, at + (size_t)n * 4 + 200);
    field_allow(&px, at, (size_t)n * 4);
    kernels->tensor_saturate(px.data + at, n, &portions);
    for (int i = 0; i < n; i++) {
        const uint8_t *before = px.before + at + (size_t)i * 4;
        float grey = tensor_luma(before, portions.is_fused);
        for (int c = 0; c < 3; c++) {
            int expected = tensor_blend(before[c], grey, &portions);
            if (px.data[at + 4 * (size_t)i + (size_t)c] != expected)
                differ("tensor_saturate", kernels->name, n, i,
                       px.data[at + 4 * (size_t)i + (size_t)c], expected);
        }
    }
    field_check(&px, "tensor_saturate");
    field_free(&px);
}

static void check_tensor_sharpen(const struct pst__kernels *kernels, int n)
{
    struct pst__portions portions = random_portions();
    size_t at = (size_t)between(0, 30) * 4;
    int plane = n + between(0, 40);
    struct fenced px, sums;
    struct field dst;
    fenced_new(&px, (size_t)n * 4, 1);
    fenced_new(&sums, (size_t)(2 * plane + n) * 4, 1);
    float *sum = (float *)(void *)sums.data;
    for (int i = 0; i < 2 * plane + n; i++)
        sum[i] = draw() % 4 ? 255 * unit() : (float)between(0, 510) * 0.5f;
    field_new(&dst, at + (size_t)n * 4 + 200);
    field_allow(&dst, at, (size_t)n * 4);
    kernels->tensor_sharpen(dst.data + at, px.data, sum, plane, n, &portions);
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < 3; c++) {
            float own = px.data[4 * i + c], blurred = rintf(sum[c * plane + i]);
            int expected = portions.is_fused
                               ? between_bytes(fmaf(blurred - own, portions.other, own))
                               : tensor_blend(own, blurred, &portions);
            if (dst.data[at + 4 * (size_t)i + (size_t)c] != expected)
                differ("tensor_sharpen", kernels->name, n, i,
                       dst.data[at + 4 * (size_t)i + (size_t)c], expected);
        }
    }
    field_check(&dst, "tensor_sharpen");
    field_free(&dst);
    fenced_free(&sums);
    fenced_free(&px);
}

/* Of one channel, by the formula that is usually given for it: v - v s max(min(k, 4 - k, 1), 0)
 * with k = (n + 6 h) mod 6 and n 5, 3 and 1. It is not rounded as torch's, so it may be off by one
 * where that is cut. */
static float hue_expected(const uint8_t *px, float shift, int c)
{
    double r = px[0] / 255.0, g = px[1] / 255.0, b = px[2] / 255.0;
    double most = fmax(fmax(r, g), b), range = most - fmin(fmin(r, g), b), sixths = 0;
    if (range > 0)
        sixths = most == r   ? (g - b) / range
                 : most == g ? 2 + (b - r) / range
                             : 4 + (r - g) / range;
    double k = fmod(5 - 2 * c + sixths + 6 * (double)shift + 24, 6);
    double share = fmax(fmin(fmin(k, 4 - k), 1), 0);
    return (float)((most - range * share) * 255.999);
}

static void check_tensor_hue(const struct pst__kernels *kernels, int n)
{
    struct pst__kernels scalar;
    float shift = draw() % 8 ? unit() - 0.5f : (float)between(-2, 2) * 0.25f;
    int is_v2 = (int)(draw() % 2);
    size_t at = (size_t)between(0, 30) * 4, bytes = (size_t)n * 4;
    struct field px;
    struct fenced by_scalar;
    pst__kernels_init(&scalar, 0);
    field_new(&px, at + bytes + 200);
    field_allow(&px, at, bytes);
    fenced_new(&by_scalar, bytes, 1);
    memcpy(by_scalar.data, px.before + at, bytes);
    kernels->tensor_hue(px.data + at, n, shift, is_v2);
    scalar.tensor_hue(by_scalar.data, n, shift, is_v2);
    for (int i = 0; i < 4 * n; i++) {
        int got = px.data[at + (size_t)i];
        float near = hue_expected(px.before + at + (i & ~3), shift, i % 4);
        if (i % 4 != 3 && (got != by_scalar.data[i] || fabsf((float)got + 0.5f - near) > 0.51f))
            differ("tensor_hue", kernels->name, n, i, got, by_scalar.data[i]);
    }
    field_check(&px, "tensor_hue");
    field_free(&px);
    fenced_free(&by_scalar);
}

static void check_combine(const struct pst__kernels *kernels, int n)
{
    enum { MOST = 5 };
    struct fenced src[MOST];
    struct field dst;
    const uint8_t *from[MOST];
    float weight[MOST], total = 0;
    int n_src = between(1, MOST), is_in_place = (int)(draw() % 2);
    size_t at = (size_t)between(0, 70);
    field_new(&dst, at + (size_t)n + 200);
    field_allow(&dst, at, (size_t)n);
    for (int k = 0; k < n_src; k++) {
        fenced_new(&src[k], (size_t)n, 1);
        from[k] = src[k].data;
        weight[k] = unit();
        total += weight[k];
    }
    for (int k = 0; k < n_src; k++)
        weight[k] /= total > 1 ? total * 1.0001f : 1;
    if (is_in_place)
        memcpy(dst.data + at, src[0].data, (size_t)n);
    const uint8_t *given[MOST];
    memcpy(given, from, sizeof given);
    if (is_in_place)
        given[0] = dst.data + at;
    kernels->combine(dst.data + at, given, weight, n_src, (size_t)n);
    for (int i = 0; i < n; i++) {
        float sum = 0;
        for (int k = 0; k < n_src; k++) {
            float part = (float)from[k][i] * weight[k];
            sum += part;
        }
        if (dst.data[at + (size_t)i] != (int)sum)
            differ("combine", kernels->name, n, i, dst.data[at + (size_t)i], (int)sum);
    }
    field_check(&dst, "combine");
    for (int k = 0; k < n_src; k++)
        fenced_free(&src[k]);
    field_free(&dst);
}

#endif
