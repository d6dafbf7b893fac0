/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/scalar.h"

/* torch's grid_sample() over a grid that a matrix makes, in float32, as it runs with AVX2 and more:
 * what is fused here is fused there. */

struct spot {
    float x, y; /* 0 is the middle of the first pixel */
    int is_near;
};

static struct spot spot_of(const struct pst__raster *src, const struct pst__grid *grid, float x,
                           float y)
{
    float at[2];
    for (int k = 0; k < 2; k++) {
        float part =
            grid->is_plain ? x * grid->a[k] + y * grid->b[k] : fmaf(y, grid->b[k], x * grid->a[k]);
        at[k] = fmaf(part + grid->c[k] + 1.0f, grid->half[k], -0.5f);
    }
    /* Further out no pixel has a part in it, and an integer might not hold the place. */
    int is_near = at[0] > -1 && at[0] < (float)src->w && at[1] > -1 && at[1] < (float)src->h;
    return (struct spot){at[0], at[1], is_near};
}

static const uint8_t *pixel_at(const struct pst__raster *src, int x, int y)
{
    static const uint8_t black[4];
    if (x < 0 || y < 0 || x >= src->w || y >= src->h)
        return black;
    return src->pixels + y * src->stride + (ptrdiff_t)x * 4;
}

static float fill_in(const struct pst__grid *grid, int c, float value, float mask)
{
    if (grid->fill_kind == PST_GRID_FILL_V1)
        return value * mask + (1.0f - mask) * grid->fill[c];
    if (grid->fill_kind == PST_GRID_FILL_V2)
        return (value - grid->fill[c]) * mask + grid->fill[c];
    return value;
}

static float sum_of(const float weight[4], float a, float b, float c, float d)
{
    return fmaf(d, weight[3], fmaf(c, weight[2], fmaf(b, weight[1], a * weight[0])));
}

static void put_bilinear(uint8_t *dst, const struct pst__raster *src, const struct pst__grid *grid,
                         const struct spot *spot)
{
    float left = floorf(spot->x), top = floorf(spot->y);
    float w = spot->x - left, n = spot->y - top, e = 1.0f - w, s = 1.0f - n;
    const float weight[4] = {e * s, w * s, e * n, w * n};
    int x = (int)left, y = (int)top;
    const uint8_t *pixel[4] = {pixel_at(src, x, y), pixel_at(src, x + 1, y),
                               pixel_at(src, x, y + 1), pixel_at(src, x + 1, y + 1)};
    int has_left = x >= 0, has_right = x + 1 < src->w, has_top = y >= 0,
        has_bottom = y + 1 < src->h;
    float mask = sum_of(weight, (float)(has_left && has_top), (float)(has_right && has_top),
                        (float)(has_left && has_bottom), (float)(has_right && has_bottom));
    for (int c = 0; c < 3; c++) {
        float value = sum_of(weight, pixel[0][c], pixel[1][c], pixel[2][c], pixel[3][c]);
        dst[c] = (uint8_t)rintf(fill_in(grid, c, value, mask));
    }
    dst[3] = 0;
}

static void put_fill(uint8_t *dst, const struct pst__grid *grid)
{
    memset(dst, 0, 4);
    for (int c = 0; c < 3 && grid->fill_kind != PST_GRID_FILL_NONE; c++)
        dst[c] = (uint8_t)rintf(grid->fill[c]);
}

void pst__grid_bilinear_scalar(uint8_t *dst, const struct pst__raster *src,
                               const struct pst__grid *grid, int n, float x, float y)
{
    for (int i = 0; i < n; i++, dst += 4) {
        struct spot spot = spot_of(src, grid, x + (float)i, y);
        if (spot.is_near)
            put_bilinear(dst, src, grid, &spot);
        else
            put_fill(dst, grid);
    }
}

void pst__grid_nearest_scalar(uint8_t *dst, const struct pst__raster *src,
                              const struct pst__grid *grid, int n, float x, float y)
{
    for (int i = 0; i < n; i++, dst += 4) {
        struct spot spot = spot_of(src, grid, x + (float)i, y);
        int column = spot.is_near ? (int)rintf(spot.x) : -1;
        int row = spot.is_near ? (int)rintf(spot.y) : -1;
        if (column < 0 || row < 0 || column >= src->w || row >= src->h)
            put_fill(dst, grid);
        else
            memcpy(dst, pixel_at(src, column, row), 4);
    }
}
