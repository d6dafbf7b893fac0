/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

#define TRIES 10

/* torchvision RandomErasing with a constant value; number: the value of each channel as it is
 * written. */

static int check(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_threshold(op, err);
    if (rc < 0)
        return rc;
    /* Written so that a NaN fails. */
    if (!(op->scale[0] >= 0 && op->scale[0] <= op->scale[1] && op->scale[1] <= 1))
        return pst__fail(err, PST_EINVAL, "scale %g to %g, expected 0 <= first <= second <= 1",
                         op->scale[0], op->scale[1]);
    return pst__check_ratio(op, err);
}

/* One try. 1: it fits, and may be empty. */
static int draw_rect(const struct pst__step *step, struct pst__draws *draws, int32_t w, int32_t h,
                     struct pst_rect *rect)
{
    double side[2];
    pst__draw_sides(draws, step->op.scale, step->exp_range[0], w, h, side);
    double rect_h = side[0], rect_w = side[1];
    if (!(rect_h < h && rect_w < w))
        return 0;
    rect->w = (int32_t)rect_w;
    rect->h = (int32_t)rect_h;
    rect->y = pst__draw_below(draws, h - rect->h + 1);
    rect->x = pst__draw_below(draws, w - rect->w + 1);
    return 1;
}

static int plan(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err)
{
    int32_t w, h;
    struct pst_rect rect = {0};
    pst__fold_size(plan, &w, &h);
    if (!pst__draw_chance(draws, step->op.threshold))
        return PST_OK;
    int found = 0;
    for (int i = 0; i < TRIES && !found; i++)
        found = draw_rect(step, draws, w, h, &rect);
    if (rect.w == 0 || rect.h == 0)
        return PST_OK;
    const float value[3] = {(float)step->op.number[0], (float)step->op.number[1],
                            (float)step->op.number[2]};
    return pst__fold_erase(plan, &rect, value, err);
}

const struct pst__op_type pst__op_random_erasing = {
    .kind = PST_OP_RANDOM_ERASING,
    .name = "random erasing",
    .max_words = 1 + 2 * TRIES + 2,
    .has_exp = 1,
    .check = check,
    .plan = plan,
    .is_last = 1,
};
