/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/change.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/recolour.h"

/* torchvision RandomPhotometricDistort and RandomChannelPermutation. */

#define N_PARTS 4 /* brightness, contrast, saturation, hue: PST_COLOUR_ of index + 1 */
#define HALF (PST_CERTAIN / 2)

static int permute(const struct pst__change *change, const struct pst__image *src,
                   const struct pst__image *dst, struct pst__scratch *work, struct pst_error *err)
{
    (void)src, (void)work, (void)err;
    const int32_t *from = change->integer;
    for (int32_t y = 0; y < dst->h; y++) {
        uint8_t *px = dst->pixels + y * dst->stride;
        for (int32_t x = 0; x < dst->w; x++, px += 4) {
            const uint8_t before[3] = {px[0], px[1], px[2]};
            for (int c = 0; c < 3; c++)
                px[c] = before[from[c]];
        }
    }
    return PST_OK;
}

static const struct pst__change_type permutation = {"channels", 3, 0, 1, NULL, permute};

/* A grey image has one channel: nothing is drawn for its order. */
static int fold_permutation(struct pst__draws *draws, struct pst__plan *plan, struct pst_error *err)
{
    struct pst__change change = {.type = &permutation};
    pst__draw_order(draws, change.integer, plan->channels);
    if (plan->channels == 1)
        return PST_OK;
    pst__fold_size(plan, &change.w, &change.h);
    return pst__fold_change(plan, &change, err);
}

static int check_distort(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_threshold(op, err);
    for (int i = 0; i < N_PARTS && rc == PST_OK; i++) {
        const double *range = op->number + (ptrdiff_t)2 * i;
        if (range[0] > range[1])
            return pst__fail(err, PST_EINVAL, "a range from %g to %g", range[0], range[1]);
        rc = pst__check_colour(i + 1, range[0], err);
        if (rc == PST_OK)
            rc = pst__check_colour(i + 1, range[1], err);
    }
    return rc;
}

/* Everything is drawn before anything is done. Contrast comes before or after saturation and hue.
 */
static int plan_distort(const struct pst__step *step, struct pst__draws *draws,
                        struct pst__plan *plan, struct pst_error *err)
{
    static const int order[2][N_PARTS] = {{0, 2, 3, 1}, {0, 1, 2, 3}};
    double amount[N_PARTS];
    int is_taken[N_PARTS];
    for (int i = 0; i < N_PARTS; i++) {
        const double *range = step->op.number + (ptrdiff_t)2 * i;
        is_taken[i] = pst__draw_chance(draws, step->op.threshold);
        if (is_taken[i])
            amount[i] = (double)pst__draw_uniform(draws, (float)range[0], (float)range[1]);
    }
    const int *places = order[pst__draw_chance(draws, HALF)];
    int permutes = pst__draw_chance(draws, step->op.threshold);
    int rc = PST_OK;
    for (int k = 0; k < N_PARTS && rc == PST_OK; k++) {
        int i = places[k];
        if (is_taken[i])
            rc = pst__fold_colour(plan, i + 1, amount[i], err);
    }
    return rc == PST_OK && permutes ? fold_permutation(draws, plan, err) : rc;
}

static int check_channels(const struct pst_op *op, struct pst_error *err)
{
    (void)op, (void)err;
    return PST_OK;
}

static int plan_channels(const struct pst__step *step, struct pst__draws *draws,
                         struct pst__plan *plan, struct pst_error *err)
{
    (void)step;
    return fold_permutation(draws, plan, err);
}

const struct pst__op_type pst__op_random_distort = {
    .kind = PST_OP_RANDOM_DISTORT,
    .name = "random photometric distort",
    .max_words = 2 * N_PARTS + 2 + 2,
    .check = check_distort,
    .plan = plan_distort,
};

const struct pst__op_type pst__op_random_channels = {
    .kind = PST_OP_RANDOM_CHANNELS,
    .name = "random order of channels",
    .max_words = 2,
    .check = check_channels,
    .plan = plan_channels,
};
