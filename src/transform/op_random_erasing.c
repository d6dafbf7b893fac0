/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

#define TRIES 10

/* torchvision RandomErasing; number: the value of each channel as it is written; count: 1 where it
 * is normals instead, which are drawn in between. */

int pst__erases_at_random(const struct pst_op *op)
{
    return op->kind == PST_OP_RANDOM_ERASING && op->count == 1;
}

int pst__check_normals(const struct pst_op *op, int32_t h, int32_t w, int channels,
                       struct pst_error *err)
{
    if (h == 0)
        return pst__fail(err, PST_EINVAL,
                         "of samples of any size a rectangle may have less than 16 normals");
    /* Sides are rounded to whole pixels. */
    double area = op->scale[0] * h * w, least = 1e300;
    for (int i = 0; i < 2; i++) {
        double high = sqrt(area * op->ratio[i]) - 0.5, wide = sqrt(area / op->ratio[i]) - 0.5;
        double product = high > 0 && wide > 0 ? high * wide : 0;
        least = product < least ? product : least;
    }
    if (!(least * channels >= 20))
        return pst__fail(err, PST_EINVAL,
                         "a rectangle of a sample of %d x %d may have less than 16 normals", w, h);
    return PST_OK;
}

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
                     struct pst__plan *plan, struct pst_rect *rect, size_t *words)
{
    double side[2];
    pst__draw_sides(draws, step->op.scale, step->exp_range[0], w, h, side);
    double rect_h = side[0], rect_w = side[1];
    if (!(rect_h < h && rect_w < w))
        return 0;
    rect->w = (int32_t)rect_w;
    rect->h = (int32_t)rect_h;
    if (pst__erases_at_random(&step->op) && !draws->is_uncertain) {
        if (!plan->normals_used) {
            plan->normals = *draws->mt;
            plan->normals_used = draws->used;
        }
        *words = draws->used - plan->normals_used;
        size_t n = (size_t)plan->channels * (size_t)rect->h * (size_t)rect->w;
        pst__draw_skip(draws, pst__normal_words(n));
    }
    rect->y = pst__draw_below(draws, h - rect->h + 1);
    rect->x = pst__draw_below(draws, w - rect->w + 1);
    return 1;
}

static int plan(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err)
{
    int32_t w, h;
    struct pst_rect rect = {0};
    size_t words = 0;
    pst__fold_size(plan, &w, &h);
    if (!pst__draw_chance(draws, step->op.threshold))
        return PST_OK;
    int found = 0;
    for (int i = 0; i < TRIES && !found; i++)
        found = draw_rect(step, draws, w, h, plan, &rect, &words);
    if (rect.w == 0 || rect.h == 0)
        return PST_OK;
    const float value[3] = {(float)step->op.number[0], (float)step->op.number[1],
                            (float)step->op.number[2]};
    int rc = pst__fold_erase(plan, &rect, value, err);
    if (rc == PST_OK && pst__erases_at_random(&step->op)) {
        plan->erased[plan->n_erased - 1].is_random = 1;
        plan->erased[plan->n_erased - 1].words = words;
    }
    return rc;
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
