/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/affine.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "transform/border.h"
#include "transform/change.h"

/* Pillow's Geometry.c. Nearest neighbour has three ways there: without rotation and shear it adds
 * up in double along each axis, else in 16.16 fixed point, else (places beyond 32768) in double
 * along each row. The others compute each place anew. Which one it is, and the rounding errors of
 * the sums, show in the pixels. */

#define BLOCK 256 /* places worked out at once */

static int is_scaling(const double a[6])
{
    return a[1] == 0 && a[3] == 0;
}

static int fits_at(const double a[6], double x, double y)
{
    return fabs(x * a[0] + y * a[1] + a[2]) < 32768.0 && fabs(x * a[3] + y * a[4] + a[5]) < 32768.0;
}

static int is_fixed(const double a[6], int32_t w, int32_t h)
{
    return fits_at(a, 0, 0) && fits_at(a, w, h) && fits_at(a, 0, h) && fits_at(a, w, 0);
}

struct fixed {
    int64_t a[6];
};

static int64_t to_fixed(double v)
{
    return (int64_t)floor(v * 65536.0 + 0.5);
}

static struct fixed fixed_of(const double a[6])
{
    return (struct fixed){{to_fixed(a[0]), to_fixed(a[1]), to_fixed(a[2] + a[0] * 0.5 + a[1] * 0.5),
                           to_fixed(a[3]), to_fixed(a[4]),
                           to_fixed(a[5] + a[3] * 0.5 + a[4] * 0.5)}};
}

static int holds(int64_t v)
{
    return v >= INT32_MIN && v <= INT32_MAX;
}

/* Rounding has changed the coefficients: whether all places still are in range. */
static int check_fixed(const double a[6], int32_t w, int32_t h, struct pst_error *err)
{
    struct fixed f = fixed_of(a);
    int is_ok = 1;
    for (int i = 0; i < 6; i++)
        is_ok &= holds(f.a[i]);
    for (int i = 0; i < 6 && is_ok; i += 3)
        is_ok = holds(f.a[i] * w + f.a[i + 2]) && holds(f.a[i + 1] * h + f.a[i + 2]) &&
                holds(f.a[i] * w + f.a[i + 1] * h + f.a[i + 2]);
    if (!is_ok)
        return pst__fail(err, PST_ELIMIT,
                         "a warp reaches a place that 16 bits of an integer do not hold");
    return PST_OK;
}

static struct pst__raster raster_of(const struct pst__change *change, const struct pst__image *src)
{
    struct pst__raster raster = {
        .pixels = src->pixels, .stride = src->stride, .w = src->w, .h = src->h};
    memcpy(raster.fill, &change->integer[1], sizeof raster.fill);
    return raster;
}

/* The pixel that v lies in; -1: outside of n. */
static int32_t pixel_at(double v, int32_t n)
{
    return v >= 0 && v < n ? (int32_t)v : -1;
}

static void put(uint8_t *to, const struct pst__raster *src, int32_t x, int32_t y)
{
    const uint8_t *from =
        x < 0 || y < 0 ? src->fill : src->pixels + y * src->stride + (ptrdiff_t)x * 4;
    memcpy(to, from, 4);
}

static void run_scaling(const struct pst__change *change, const struct pst__raster *src,
                        const struct pst__image *dst)
{
    const double *a = change->number;
    int32_t column[BLOCK];
    double x = a[2] + a[0] * 0.5;
    for (int32_t first = 0; first < dst->w; first += BLOCK) {
        int32_t n = dst->w - first < BLOCK ? dst->w - first : BLOCK;
        for (int32_t i = 0; i < n; i++, x += a[0])
            column[i] = pixel_at(x, src->w);
        double y = a[5] + a[4] * 0.5;
        for (int32_t row = 0; row < dst->h; row++, y += a[4]) {
            uint8_t *to = dst->pixels + row * dst->stride + (ptrdiff_t)first * 4;
            int32_t from = pixel_at(y, src->h);
            for (int32_t i = 0; i < n; i++)
                put(to + (ptrdiff_t)i * 4, src, column[i], from);
        }
    }
}

static void run_fixed(const struct pst__change *change, const struct pst__raster *src,
                      const struct pst__image *dst)
{
    const struct pst__kernels *kernels = pst__kernels();
    struct fixed f = fixed_of(change->number);
    for (int32_t y = 0; y < dst->h; y++)
        kernels->warp_fixed(dst->pixels + y * dst->stride, src, dst->w,
                            (int32_t)(f.a[2] + y * f.a[1]), (int32_t)(f.a[5] + y * f.a[4]),
                            (int32_t)f.a[0], (int32_t)f.a[3]);
}

static void run_far(const struct pst__change *change, const struct pst__raster *src,
                    const struct pst__image *dst)
{
    const double *a = change->number;
    double from_x = a[2] + a[1] * 0.5 + a[0] * 0.5, from_y = a[5] + a[4] * 0.5 + a[3] * 0.5;
    for (int32_t row = 0; row < dst->h; row++, from_x += a[1], from_y += a[4]) {
        uint8_t *to = dst->pixels + row * dst->stride;
        double x = from_x, y = from_y;
        for (int32_t i = 0; i < dst->w; i++, x += a[0], y += a[3])
            put(to + (ptrdiff_t)i * 4, src, pixel_at(x, src->w), pixel_at(y, src->h));
    }
}

static void run_smooth(const struct pst__change *change, const struct pst__raster *src,
                       const struct pst__image *dst)
{
    const struct pst__kernels *kernels = pst__kernels();
    const double *a = change->number;
    double x[BLOCK], y[BLOCK];
    for (int32_t row = 0; row < dst->h; row++) {
        double down = row + 0.5, right_x = a[1] * down, right_y = a[4] * down;
        for (int32_t first = 0; first < dst->w; first += BLOCK) {
            int32_t n = dst->w - first < BLOCK ? dst->w - first : BLOCK;
            for (int32_t i = 0; i < n; i++) {
                double right = first + i + 0.5;
                x[i] = a[0] * right + right_x + a[2];
                y[i] = a[3] * right + right_y + a[5];
            }
            uint8_t *to = dst->pixels + row * dst->stride + (ptrdiff_t)first * 4;
            if (change->integer[0] == PST_FILTER_BILINEAR)
                kernels->warp_bilinear(to, src, n, x, y);
            else
                kernels->warp_bicubic(to, src, n, x, y);
        }
    }
}

static int run(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)work, (void)err;
    struct pst__raster raster = raster_of(change, src);
    if (change->integer[0] != PST_FILTER_NEAREST)
        run_smooth(change, &raster, dst);
    else if (is_scaling(change->number))
        run_scaling(change, &raster, dst);
    else if (is_fixed(change->number, dst->w, dst->h))
        run_fixed(change, &raster, dst);
    else
        run_far(change, &raster, dst);
    return PST_OK;
}

static const struct pst__change_type type = {
    .name = "warp", .n_integers = 1, .n_numbers = 6, .run = run};

/* By whole pixels every filter gives the pixels themselves. */
static int is_shift(const double a[6])
{
    return a[0] == 1 && a[1] == 0 && a[3] == 0 && a[4] == 1 && fabs(a[2]) <= PST_MAX_PLAN_SIDE &&
           fabs(a[5]) <= PST_MAX_PLAN_SIDE && rint(a[2]) == a[2] && rint(a[5]) == a[5];
}

int pst__fold_warp(struct pst__plan *plan, const struct pst__warp *warp, struct pst_error *err)
{
    const double *a = warp->matrix;
    PST_REQUIRE(warp->filter == PST_FILTER_NEAREST || warp->filter == PST_FILTER_BILINEAR ||
                    warp->filter == PST_FILTER_BICUBIC,
                err, "filter %d, expected nearest, bilinear or bicubic", warp->filter);
    for (int i = 0; i < 6; i++)
        PST_REQUIRE(isfinite(a[i]), err, "a matrix that holds %g", a[i]);
    if (is_shift(a)) {
        struct pst__border border = {.mode = PST_BORDER_CONSTANT};
        memcpy(border.fill, warp->fill, sizeof border.fill);
        struct pst_rect rect = {(int32_t)a[2], (int32_t)a[5], warp->w, warp->h};
        return pst__fold_border(plan, &rect, &border, err);
    }
    if (warp->filter == PST_FILTER_NEAREST && !is_scaling(a) && is_fixed(a, warp->w, warp->h)) {
        int rc = check_fixed(a, warp->w, warp->h, err);
        if (rc < 0)
            return rc;
    }
    struct pst__change change = {
        .type = &type, .w = warp->w, .h = warp->h, .integer = {warp->filter}};
    memcpy(&change.integer[1], warp->fill, sizeof warp->fill);
    memcpy(change.number, a, sizeof warp->matrix);
    return pst__fold_change(plan, &change, err);
}
