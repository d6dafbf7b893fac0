/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "transform/affine.h"
#include "transform/tensor_steps.h"

/* affine() and rotate() of tensors: a grid of places from a matrix, and grid_sample(). */

/* torch multiplies matrices of so few numbers without its library, whose sums are fused. */
#define PLAIN_MATRIX 400

/* math.degrees(math.atan(x)) */
static double degrees_of(double tangent)
{
    return atan(tangent) * (180.0 / M_PI);
}

static void grid_of(const struct pst__tensor_way *way, const double matrix[6],
                    const struct pst__image *image, struct pst__grid *grid)
{
    *grid = (struct pst__grid){0};
    for (int k = 0; k < 2; k++) {
        float half = (float)(0.5 * (k ? image->h : image->w));
        grid->a[k] = (float)matrix[3 * k] / half;
        grid->b[k] = (float)matrix[3 * k + 1] / half;
        grid->c[k] = (float)matrix[3 * k + 2] / half;
        grid->half[k] = half;
    }
    grid->is_plain = (int64_t)image->w * image->h * 6 < PLAIN_MATRIX;
    if (way->has_fill)
        grid->fill_kind = way->is_v2 ? PST_GRID_FILL_V2 : PST_GRID_FILL_V1;
    memcpy(grid->fill, way->fill, sizeof grid->fill);
}

void pst__tensor_warp(const struct pst__tensor_way *way, int action, double magnitude,
                      const struct pst__image *src, const struct pst__image *dst)
{
    struct pst__affine affine = {.scale = 1.0, .is_v2 = way->is_v2};
    int is_y = action == PST_ACTION_SHEAR_Y || action == PST_ACTION_TRANSLATE_Y;
    if (action == PST_ACTION_ROTATE) {
        affine.angle = -(way->is_v2 ? pst__turn_of(magnitude) : magnitude);
        if (way->is_v2 && affine.angle == 0) {
            pst__image_copy(dst, src);
            return;
        }
    } else if (action == PST_ACTION_SHEAR_X || action == PST_ACTION_SHEAR_Y) {
        affine.shear[is_y] = degrees_of(magnitude);
        affine.center[0] = 0 - src->w * 0.5;
        affine.center[1] = 0 - src->h * 0.5;
    } else {
        affine.translate[is_y] = magnitude;
    }
    double matrix[6];
    struct pst__grid grid;
    pst__affine_matrix(&affine, matrix);
    grid_of(way, matrix, src, &grid);
    const struct pst__kernels *kernels = pst__kernels();
    const struct pst__raster raster = {
        .pixels = src->pixels, .stride = src->stride, .w = src->w, .h = src->h};
    float x = (float)(1 - src->w) * 0.5f;
    for (int32_t y = 0; y < src->h; y++) {
        uint8_t *row = dst->pixels + y * dst->stride;
        float from_middle = (float)(1 - src->h) * 0.5f + (float)y;
        (way->is_nearest ? kernels->grid_nearest : kernels->grid_bilinear)(row, &raster, &grid,
                                                                           src->w, x, from_middle);
    }
}
