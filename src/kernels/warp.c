/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/scalar.h"

/* Pillow's Geometry.c, operation by operation: all arithmetic is double, nothing is fused. A value
 * is cut off, not rounded, when it becomes a byte. */

static int clamp(int i, int n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

void pst__warp_fixed_scalar(uint8_t *dst, const struct pst__raster *src, int n, int32_t x,
                            int32_t y, int32_t dx, int32_t dy)
{
    uint32_t at_x = (uint32_t)x, at_y = (uint32_t)y;
    for (int i = 0; i < n; i++, dst += 4, at_x += (uint32_t)dx, at_y += (uint32_t)dy) {
        int32_t column = (int32_t)at_x >> 16, row = (int32_t)at_y >> 16;
        const uint8_t *from = src->fill;
        if (column >= 0 && column < src->w && row >= 0 && row < src->h)
            from = src->pixels + row * src->stride + (ptrdiff_t)column * 4;
        memcpy(dst, from, 4);
    }
}

static int is_inside(const struct pst__raster *src, double x, double y)
{
    return x >= 0 && x < src->w && y >= 0 && y < src->h;
}

static double between(double a, double b, double d)
{
    return a + (b - a) * d;
}

static void put_bilinear(uint8_t *dst, const struct pst__raster *src, double x, double y)
{
    x -= 0.5;
    y -= 0.5;
    int column = (int)floor(x), row = (int)floor(y);
    double dx = x - column, dy = y - row;
    const uint8_t *top = src->pixels + clamp(row, src->h) * src->stride;
    const uint8_t *bottom = src->pixels + clamp(row + 1, src->h) * src->stride;
    ptrdiff_t left = (ptrdiff_t)clamp(column, src->w) * 4;
    ptrdiff_t right = (ptrdiff_t)clamp(column + 1, src->w) * 4;
    for (int c = 0; c < 3; c++) {
        double above = between(top[left + c], top[right + c], dx);
        double below = between(bottom[left + c], bottom[right + c], dx);
        dst[c] = (uint8_t)between(above, below, dy);
    }
    dst[3] = 0;
}

void pst__warp_bilinear_scalar(uint8_t *dst, const struct pst__raster *src, int n, const double *x,
                               const double *y)
{
    for (int i = 0; i < n; i++, dst += 4) {
        if (is_inside(src, x[i], y[i]))
            put_bilinear(dst, src, x[i], y[i]);
        else
            memcpy(dst, src->fill, 4);
    }
}

/* The cubic through four values, a = -1. */
static double cubic(double v1, double v2, double v3, double v4, double d)
{
    double p2 = -v1 + v3;
    double p3 = 2 * (v1 - v2) + v3 - v4;
    double p4 = -v1 + v2 - v3 + v4;
    return v2 + d * (p2 + d * (p3 + d * p4));
}

static void put_bicubic(uint8_t *dst, const struct pst__raster *src, double x, double y)
{
    x -= 0.5;
    y -= 0.5;
    int column = (int)floor(x), row = (int)floor(y);
    double dx = x - column, dy = y - row;
    const uint8_t *line[4];
    ptrdiff_t at[4];
    for (int k = 0; k < 4; k++) {
        line[k] = src->pixels + clamp(row - 1 + k, src->h) * src->stride;
        at[k] = (ptrdiff_t)clamp(column - 1 + k, src->w) * 4;
    }
    for (int c = 0; c < 3; c++) {
        double v[4];
        for (int k = 0; k < 4; k++)
            v[k] = cubic(line[k][at[0] + c], line[k][at[1] + c], line[k][at[2] + c],
                         line[k][at[3] + c], dx);
        double value = cubic(v[0], v[1], v[2], v[3], dy);
        dst[c] = value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
    }
    dst[3] = 0;
}

void pst__warp_bicubic_scalar(uint8_t *dst, const struct pst__raster *src, int n, const double *x,
                              const double *y)
{
    for (int i = 0; i < n; i++, dst += 4) {
        if (is_inside(src, x[i], y[i]))
            put_bicubic(dst, src, x[i], y[i]);
        else
            memcpy(dst, src->fill, 4);
    }
}
