/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

#define TRIES 10

static int check(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_size(op, err);
    if (rc == PST_OK)
        rc = pst__check_filter(op, err);
    if (rc < 0)
        return rc;
    /* Written so that a NaN fails. */
    if (!(op->scale[0] >= 0 && op->scale[0] <= op->scale[1] && op->scale[1] <= 1e6))
        return pst__fail(err, PST_EINVAL, "scale %g to %g, expected 0 <= first <= second <= 1e6",
                         op->scale[0], op->scale[1]);
    return pst__check_ratio(op, err);
}

/* One try: 1 and the rectangle when it fits. */
static int draw_rect(const struct pst__step *step, struct pst__draws *draws, int32_t w, int32_t h,
                     struct pst_rect *rect)
{
    double side[2];
    pst__draw_sides(draws, step->op.scale, step->exp_range[0], w, h, side);
    double crop_w = side[0], crop_h = side[1];
    if (!(crop_w > 0 && crop_w <= w && crop_h > 0 && crop_h <= h))
        return 0;
    rect->w = (int32_t)crop_w;
    rect->h = (int32_t)crop_h;
    rect->y = pst__draw_below(draws, h - rect->h + 1);
    rect->x = pst__draw_below(draws, w - rect->w + 1);
    return 1;
}

/* From the middle, the whole image cut to the nearest ratio that is allowed; empty when rounding
 * leaves nothing of a side. */
static struct pst_rect fallback(const struct pst_op *op, int32_t w, int32_t h)
{
    double ratio = (double)w / (double)h;
    struct pst_rect rect = {.w = w, .h = h};
    if (ratio < op->ratio[0])
        rect.h = (int32_t)rint(w / op->ratio[0]);
    else if (ratio > op->ratio[1])
        rect.w = (int32_t)rint(h * op->ratio[1]);
    rect.x = (w - rect.w) / 2;
    rect.y = (h - rect.h) / 2;
    return rect;
}

static int plan(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err)
{
    int32_t w, h;
    struct pst_rect rect;
    pst__fold_size(plan, &w, &h);
    int found = 0;
    for (int i = 0; i < TRIES && !found; i++)
        found = draw_rect(step, draws, w, h, &rect);
    if (!found)
        rect = fallback(&step->op, w, h);
    int is_empty = rect.w == 0 || rect.h == 0;
    if (is_empty && step->op.filter & PST_FILTER_OF_TENSOR)
        return pst__fail(err, PST_ELIMIT, "a crop of %d x %d pixels, which torch does not resize",
                         rect.w, rect.h);
    /* Pillow resizes an empty image to a black one: as a crop beside the image is. */
    if (is_empty)
        rect = (struct pst_rect){w, h, step->op.w, step->op.h};
    int rc = pst__fold_crop(plan, &rect, err);
    if (rc < 0)
        return rc;
    return pst__fold_resize(plan, step->op.w, step->op.h, step->op.filter, err);
}

const struct pst__op_type pst__op_random_resized_crop = {
    .kind = PST_OP_RANDOM_RESIZED_CROP,
    .name = "random resized crop",
    .max_words = 2 * TRIES + 2,
    .has_exp = 1,
    .check = check,
    .plan = plan,
    .size = pst__op_size_fixed,
};
