/* SPDX-License-Identifier: Apache-2.0 */
#include "transform/perspective.h"

#include <math.h>
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "transform/change.h"

#define BLOCK 256 /* places worked out at once */

/* Places of n pixels of a row from column first on, in Pillow's order of operations. */
static void places(const double a[8], int32_t first, int32_t row, int32_t n, double *x, double *y)
{
    double down = row + 0.5;
    for (int32_t i = 0; i < n; i++) {
        double right = first + i + 0.5;
        double under = a[6] * right + a[7] * down + 1;
        x[i] = (a[0] * right + a[1] * down + a[2]) / under;
        y[i] = (a[3] * right + a[4] * down + a[5]) / under;
    }
}

static void put_nearest(uint8_t *to, const struct pst__raster *src, int32_t n, const double *x,
                        const double *y)
{
    for (int32_t i = 0; i < n; i++, to += 4) {
        int is_inside = x[i] >= 0 && x[i] < src->w && y[i] >= 0 && y[i] < src->h;
        memcpy(to,
               is_inside ? src->pixels + (int32_t)y[i] * src->stride + (ptrdiff_t)(int32_t)x[i] * 4
                         : src->fill,
               4);
    }
}

static int run(const struct pst__change *change, const struct pst__image *src,
               const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)work, (void)err;
    const struct pst__kernels *kernels = pst__kernels();
    struct pst__raster raster = {
        .pixels = src->pixels, .stride = src->stride, .w = src->w, .h = src->h};
    memcpy(raster.fill, &change->integer[1], sizeof raster.fill);
    double x[BLOCK], y[BLOCK];
    for (int32_t row = 0; row < dst->h; row++) {
        for (int32_t first = 0; first < dst->w; first += BLOCK) {
            int32_t n = dst->w - first < BLOCK ? dst->w - first : BLOCK;
            uint8_t *to = dst->pixels + row * dst->stride + (ptrdiff_t)first * 4;
            places(change->number, first, row, n, x, y);
            if (change->integer[0] == PST_FILTER_NEAREST)
                put_nearest(to, &raster, n, x, y);
            else if (change->integer[0] == PST_FILTER_BILINEAR)
                kernels->warp_bilinear(to, &raster, n, x, y);
            else
                kernels->warp_bicubic(to, &raster, n, x, y);
        }
    }
    return PST_OK;
}

static const struct pst__change_type type = {
    .name = "perspective", .n_integers = 1, .n_numbers = 8, .run = run};

int pst__fold_perspective(struct pst__plan *plan, const double coefficients[8], int filter,
                          const uint8_t fill[4], struct pst_error *err)
{
    struct pst__change change = {.type = &type, .integer = {filter}};
    for (int i = 0; i < 8; i++)
        PST_REQUIRE(isfinite(coefficients[i]), err, "coefficients that hold %g", coefficients[i]);
    pst__fold_size(plan, &change.w, &change.h);
    memcpy(&change.integer[1], fill, 4);
    memcpy(change.number, coefficients, 8 * sizeof *coefficients);
    return pst__fold_change(plan, &change, err);
}
