/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_TESTS_KERNELS_CHECK_WARP_H
#define PST_TESTS_KERNELS_CHECK_WARP_H

#include <math.h>

#include "kernels/check_memory.h"
#include "kernels/kernels.h"

/* An image between fences: its last row has no room behind it. */
static void random_raster(struct pst__raster *raster, struct fenced *f)
{
    raster->w = draw() % 4 ? between(1, 40) : between(1, 700);
    raster->h = draw() % 4 ? between(1, 40) : between(1, 700);
    raster->stride = (ptrdiff_t)4 * (raster->w + (draw() % 2 ? between(0, 16) : 0));
    fenced_new(f, (size_t)((raster->h - 1) * raster->stride + (ptrdiff_t)raster->w * 4),
               draw() % 4 != 0);
    raster->pixels = f->data;
    for (int c = 0; c < 4; c++)
        raster->fill[c] = (uint8_t)draw();
}

/* Where a row of a warp reads. */
static double random_place(int size)
{
    return draw() % 8 == 0 ? between(-2, size + 2) + (draw() & 1 ? 0.5 : 0)
                           : (draw() / 4294967296.0) * (size + 4) - 2;
}

static int sample_bilinear(const struct pst__raster *src, double x, double y, int c)
{
    double row[2], dx = x - 0.5 - floor(x - 0.5), dy = y - 0.5 - floor(y - 0.5);
    for (int k = 0; k < 2; k++) {
        int at_y = (int)fmin(fmax(floor(y - 0.5) + k, 0), src->h - 1), value[2];
        for (int j = 0; j < 2; j++) {
            int at_x = (int)fmin(fmax(floor(x - 0.5) + j, 0), src->w - 1);
            value[j] = src->pixels[at_y * src->stride + (ptrdiff_t)at_x * 4 + c];
        }
        row[k] = value[0] + (value[1] - value[0]) * dx;
    }
    return (int)(row[0] + (row[1] - row[0]) * dy);
}

static double spline(const double v[4], double d)
{
    double p2 = v[2] - v[0], p3 = 2 * (v[0] - v[1]) + v[2] - v[3], p4 = -v[0] + v[1] - v[2] + v[3];
    return v[1] + d * (p2 + d * (p3 + d * p4));
}

static int sample_bicubic(const struct pst__raster *src, double x, double y, int c)
{
    double row[4], dx = x - 0.5 - floor(x - 0.5), dy = y - 0.5 - floor(y - 0.5);
    for (int k = 0; k < 4; k++) {
        int at_y = (int)fmin(fmax(floor(y - 0.5) + k - 1, 0), src->h - 1);
        double value[4];
        for (int j = 0; j < 4; j++) {
            int at_x = (int)fmin(fmax(floor(x - 0.5) + j - 1, 0), src->w - 1);
            value[j] = src->pixels[at_y * src->stride + (ptrdiff_t)at_x * 4 + c];
        }
        row[k] = spline(value, dx);
    }
    double value = spline(row, dy);
    return value <= 0 ? 0 : value >= 255 ? 255 : (int)value;
}

typedef void warp_kernel(uint8_t *dst, const struct pst__raster *src, int n, const double *x,
                         const double *y);

static void check_warp(const struct pst__kernels *kernels, const char *what, warp_kernel *warp,
                       int (*sample)(const struct pst__raster *, double, double, int), int n)
{
    struct pst__raster src;
    struct fenced pixels, place;
    struct field dst;
    random_raster(&src, &pixels);
    fenced_new(&place, (size_t)n * 2 * sizeof(double), 1);
    double *x = (double *)(void *)place.data, *y = x + n;
    double at_x = random_place(src.w), at_y = random_place(src.h);
    double dx = random_place(4) / 2, dy = random_place(4) / 2;
    int is_line = (int)(draw() % 4);
    for (int i = 0; i < n; i++) {
        x[i] = is_line ? at_x + i * dx : random_place(src.w);
        y[i] = is_line ? at_y + i * dy : random_place(src.h);
    }
    if (draw() % 8 == 0)
        x[between(0, n - 1)] = draw() & 1 ? 1e300 : -1e300;
    size_t at = (size_t)between(0, 30) * 4;
    field_new(&dst, at + (size_t)n * 4 + 200);
    field_allow(&dst, at, (size_t)n * 4);
    warp(dst.data + at, &src, n, x, y);
    for (int i = 0; i < n; i++) {
        int inside = x[i] >= 0 && x[i] < src.w && y[i] >= 0 && y[i] < src.h;
        for (int c = 0; c < 3; c++) {
            int expected = inside ? sample(&src, x[i], y[i], c) : src.fill[c];
            int got = dst.data[at + 4 * (size_t)i + (size_t)c];
            if (got != expected)
                differ(what, kernels->name, n, i, got, expected);
        }
    }
    field_check(&dst, what);
    field_free(&dst);
    fenced_free(&place);
    fenced_free(&pixels);
}

static void check_warp_bilinear(const struct pst__kernels *kernels, int n)
{
    check_warp(kernels, "warp_bilinear", kernels->warp_bilinear, sample_bilinear, n);
}

static void check_warp_bicubic(const struct pst__kernels *kernels, int n)
{
    check_warp(kernels, "warp_bicubic", kernels->warp_bicubic, sample_bicubic, n);
}

static void check_warp_fixed(const struct pst__kernels *kernels, int n)
{
    struct pst__raster src;
    struct fenced pixels;
    struct field dst;
    random_raster(&src, &pixels);
    int32_t x = (int32_t)(random_place(src.w) * 65536), y = (int32_t)(random_place(src.h) * 65536);
    int32_t dx = (int32_t)(random_place(4) * 32768), dy = (int32_t)(random_place(4) * 32768);
    if (draw() % 8 == 0) { /* sums wrap around */
        dx = (int32_t)draw();
        dy = (int32_t)draw();
    }
    size_t at = (size_t)between(0, 30) * 4;
    field_new(&dst, at + (size_t)n * 4 + 200);
    field_allow(&dst, at, (size_t)n * 4);
    kernels->warp_fixed(dst.data + at, &src, n, x, y, dx, dy);
    for (int i = 0; i < n; i++) {
        int32_t column = (int32_t)((uint32_t)x + (uint32_t)i * (uint32_t)dx) >> 16;
        int32_t row = (int32_t)((uint32_t)y + (uint32_t)i * (uint32_t)dy) >> 16;
        const uint8_t *expected = src.fill;
        if (column >= 0 && column < src.w && row >= 0 && row < src.h)
            expected = src.pixels + row * src.stride + (ptrdiff_t)column * 4;
        for (int c = 0; c < 3; c++)
            if (dst.data[at + 4 * (size_t)i + (size_t)c] != expected[c])
                differ("warp_fixed", kernels->name, n, i, dst.data[at + 4 * (size_t)i + (size_t)c],
                       expected[c]);
    }
    field_check(&dst, "warp_fixed");
    field_free(&dst);
    fenced_free(&pixels);
}

#endif
