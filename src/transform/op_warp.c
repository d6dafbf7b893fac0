/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/status.h"
#include "transform/affine.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

/* torchvision RandomRotation and RandomAffine on PIL images. */

/* of PST_OP_RANDOM_ROTATION */
enum { LOW, HIGH, EXPAND, HAS_CENTER, CENTER_X, CENTER_Y };
/* of PST_OP_RANDOM_AFFINE, after the degrees */
enum { TRANSLATE = 2, SHEAR_X = 4, SHEAR_Y = 6 };
#define HAS_TRANSLATE 1
#define HAS_SHEAR_X 2
#define HAS_SHEAR_Y 4
#define HAS_MIDDLE 8
#define IS_V2 16

#define MOST 1e6 /* degrees, pixels */

static int check_range(const double range[2], const char *what, double least, double most,
                       struct pst_error *err)
{
    /* Written so that a NaN fails. */
    if (!(range[0] >= least && range[0] <= range[1] && range[1] <= most))
        return pst__fail(err, PST_EINVAL, "%s %g to %g, expected %g <= first <= second <= %g", what,
                         range[0], range[1], least, most);
    return PST_OK;
}

static int check_center(const double center[2], struct pst_error *err)
{
    if (!(fabs(center[0]) <= MOST && fabs(center[1]) <= MOST))
        return pst__fail(err, PST_EINVAL, "center (%g, %g)", center[0], center[1]);
    return PST_OK;
}

static int check_warp(const struct pst_op *op, struct pst_error *err)
{
    if (op->filter != PST_FILTER_NEAREST && op->filter != PST_FILTER_BILINEAR &&
        op->filter != PST_FILTER_BICUBIC)
        return pst__fail(err, PST_EINVAL, "filter %d, expected nearest, bilinear or bicubic",
                         op->filter);
    int rc = check_range(op->number, "degrees", -MOST, MOST, err);
    return rc < 0 ? rc : pst__check_fill(op, err);
}

static int check_rotation(const struct pst_op *op, struct pst_error *err)
{
    int rc = check_warp(op, err);
    return rc < 0 ? rc : check_center(op->number + CENTER_X, err);
}

static int check_affine(const struct pst_op *op, struct pst_error *err)
{
    int rc = check_warp(op, err);
    if (rc == PST_OK && op->scale[0] != 0)
        rc = check_range(op->scale, "scale", 1e-6, 1e6, err);
    if (rc == PST_OK)
        rc = check_range(op->number + SHEAR_X, "shear", -MOST, MOST, err);
    if (rc == PST_OK)
        rc = check_range(op->number + SHEAR_Y, "shear", -MOST, MOST, err);
    for (int i = TRANSLATE; i < SHEAR_X && rc == PST_OK; i++) {
        if (!(op->number[i] >= 0 && op->number[i] <= 1))
            rc = pst__fail(err, PST_EINVAL, "translate %g, expected 0 to 1", op->number[i]);
    }
    return rc < 0 ? rc : check_center(op->ratio, err);
}

static double draw_from(struct pst__draws *draws, const double range[2])
{
    return (double)pst__draw_uniform(draws, (float)range[0], (float)range[1]);
}

static int plan_rotation(const struct pst__step *step, struct pst__draws *draws,
                         struct pst__plan *plan, struct pst_error *err)
{
    const double *number = step->op.number;
    struct pst__warp warp = {.filter = step->op.filter};
    int rc = pst__op_fill(&step->op, plan, warp.fill, err);
    if (rc < 0)
        return rc;
    double angle = draw_from(draws, number);
    return pst__fold_rotate(plan, &warp, angle, number[EXPAND] != 0,
                            number[HAS_CENTER] != 0 ? number + CENTER_X : NULL, err);
}

static void size_rotation(const struct pst_op *op, int32_t *h, int32_t *w)
{
    if (op->number[EXPAND] != 0)
        *h = *w = 0;
}

/* A whole number of pixels up to a share of a side; Python's round() goes to even as rint() does.
 */
static double draw_shift(struct pst__draws *draws, double share, int32_t side)
{
    double most = share * side;
    return rint(draw_from(draws, (const double[2]){-most, most}));
}

static int plan_affine(const struct pst__step *step, struct pst__draws *draws,
                       struct pst__plan *plan, struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    struct pst__warp warp = {.filter = op->filter};
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    int rc = pst__op_fill(op, plan, warp.fill, err);
    if (rc < 0)
        return rc;
    struct pst__affine affine = {
        .center = {w * 0.5, h * 0.5}, .scale = 1.0, .is_v2 = !!(op->count & IS_V2)};
    if (op->count & HAS_MIDDLE) {
        affine.center[0] = op->ratio[0];
        affine.center[1] = op->ratio[1];
    }
    affine.angle = draw_from(draws, op->number);
    if (op->count & HAS_TRANSLATE) {
        affine.translate[0] = draw_shift(draws, op->number[TRANSLATE], w);
        affine.translate[1] = draw_shift(draws, op->number[TRANSLATE + 1], h);
    }
    if (op->scale[0] != 0)
        affine.scale = draw_from(draws, op->scale);
    if (op->count & HAS_SHEAR_X)
        affine.shear[0] = draw_from(draws, op->number + SHEAR_X);
    if (op->count & HAS_SHEAR_Y)
        affine.shear[1] = draw_from(draws, op->number + SHEAR_Y);
    return pst__fold_affine(plan, &warp, &affine, err);
}

const struct pst__op_type pst__op_random_rotation = {
    .kind = PST_OP_RANDOM_ROTATION,
    .name = "random rotation",
    .max_words = 1,
    .check = check_rotation,
    .plan = plan_rotation,
    .size = size_rotation,
};

const struct pst__op_type pst__op_random_affine = {
    .kind = PST_OP_RANDOM_AFFINE,
    .name = "random affine",
    .max_words = 6,
    .check = check_affine,
    .plan = plan_affine,
};
