/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/perspective.h"
#include "transform/segment.h"

/* torchvision RandomPerspective on PIL images; number: the scale of the distortion. */

static int check(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_threshold(op, err);
    if (rc == PST_OK)
        rc = pst__check_fill(op, err);
    if (rc < 0)
        return rc;
    if (op->filter != PST_FILTER_NEAREST && op->filter != PST_FILTER_BILINEAR &&
        op->filter != PST_FILTER_BICUBIC)
        return pst__fail(err, PST_EINVAL, "filter %d, expected nearest, bilinear or bicubic",
                         op->filter);
    /* Written so that a NaN fails. */
    if (!(op->number[0] >= 0 && op->number[0] <= 1))
        return pst__fail(err, PST_EINVAL, "distortion scale %g, expected 0 to 1", op->number[0]);
    return PST_OK;
}

/* Each corner moves inwards, x before y. */
static struct pst__quad draw_quad(struct pst__draws *draws, double scale, int32_t w, int32_t h)
{
    int32_t half_w = w / 2, half_h = h / 2;
    int32_t span_x = (int32_t)(scale * half_w) + 1, span_y = (int32_t)(scale * half_h) + 1;
    struct pst__quad quad = {.w = w, .h = h};
    for (int k = 0; k < 4; k++) {
        int is_right = k == 1 || k == 2, is_bottom = k >= 2;
        quad.x[k] = pst__draw_below(draws, span_x) + (is_right ? w - span_x : 0);
        quad.y[k] = pst__draw_below(draws, span_y) + (is_bottom ? h - span_y : 0);
    }
    return quad;
}

static int plan(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    int32_t w, h;
    uint8_t fill[4];
    double coefficients[8];
    pst__fold_size(plan, &w, &h);
    if (!pst__draw_chance(draws, op->threshold))
        return PST_OK;
    struct pst__quad quad = draw_quad(draws, op->number[0], w, h);
    int rc = pst__op_fill(op, plan, fill, err);
    if (rc < 0)
        return rc;
    if (w > PST_MAX_SIDE || h > PST_MAX_SIDE || !pst__perspective_coefficients(&quad, coefficients))
        return pst__fail(err, PST_ELIMIT,
                         "a perspective of %d x %d pixels whose coefficients only torch can tell",
                         w, h);
    return pst__fold_perspective(plan, coefficients, op->filter, fill, err);
}

const struct pst__op_type pst__op_random_perspective = {
    .kind = PST_OP_RANDOM_PERSPECTIVE,
    .name = "random perspective",
    .max_words = 9,
    .check = check,
    .plan = plan,
};
