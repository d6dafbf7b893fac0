/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/status.h"
#include "transform/actions.h"
#include "transform/augmix.h"
#include "transform/draw.h"
#include "transform/ops.h"

/* torchvision AugMix. Of a PIL image it makes a tensor, and an image of the result. */

#define MOST_BINS 4096
#define RANDOM_DEPTH 3 /* the most steps of a chain whose depth is drawn */

/* number of the step */
enum { IS_V2, ALPHA, WIDTH, FILL };

static int width_of(const struct pst_op *op)
{
    return (int)op->number[WIDTH];
}

static int most_depth(const struct pst_op *op)
{
    return op->count > 0 ? op->count : RANDOM_DEPTH;
}

static int check_action(const double *entry, double magnitude, struct pst_error *err)
{
    int action = entry[PST__ACTION] >= 0 && entry[PST__ACTION] < 256 ? (int)entry[PST__ACTION] : -1;
    if (action != entry[PST__ACTION])
        return pst__fail(err, PST_EINVAL, "action %g", entry[PST__ACTION]);
    if (pst__is_by_size(action)) {
        struct pst__share share = pst__share_of(magnitude);
        if (!(magnitude >= 0 && magnitude < MOST_BINS) || share.bins < 2 ||
            share.index >= share.bins)
            return pst__fail(err, PST_EINVAL, "action %d by %g", action, magnitude);
        return PST_OK;
    }
    return pst__tensor_step_check(action, magnitude, err);
}

static int check_table(const struct pst_op *op, struct pst_error *err)
{
    const double *entry = op->table, *end = op->table + op->n_table;
    int rc = op->n_table > 0 ? PST_OK : pst__fail(err, PST_EINVAL, "a table of nothing");
    while (rc == PST_OK && entry < end) {
        const double *next = pst__next_action(entry, end);
        if (!next)
            return pst__fail(err, PST_EINVAL, "the table ends within an entry");
        if (next == entry + PST__MAGNITUDES)
            rc = check_action(entry, 0, err);
        for (const double *m = entry + PST__MAGNITUDES; m < next && rc == PST_OK; m++)
            rc = check_action(entry, *m, err);
        entry = next;
    }
    return rc;
}

/* Written so that a NaN fails. */
static int check(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_tensor_way(op, FILL, err);
    if (rc < 0)
        return rc;
    double width = op->number[WIDTH];
    if (!(width >= 1 && width <= PST_AUGMIX_CHAINS) || width != floor(width) || op->count < 0 ||
        op->count > PST_AUGMIX_STEPS || width_of(op) * most_depth(op) > PST_AUGMIX_STEPS)
        return pst__fail(err, PST_EINVAL, "%g chains of %d steps, the limits are %d and %d in all",
                         width, op->count, PST_AUGMIX_CHAINS, PST_AUGMIX_STEPS);
    if (!(op->number[ALPHA] > 0 && isfinite(op->number[ALPHA])))
        return pst__fail(err, PST_EINVAL, "alpha %g, expected more than 0", op->number[ALPHA]);
    return check_table(op, err);
}

static size_t words(const struct pst_op *op)
{
    size_t width = (size_t)width_of(op), depth = (size_t)most_depth(op);
    return PST_GAMMA_WORDS * (2 + width) + width * (1 + 3 * depth);
}

/* Whole pixels of torch.linspace(0, side / 3, bins)[n]. */
static int shift_of(double magnitude, int32_t side, double *pixels, struct pst_error *err)
{
    float value = 0;
    int rc = pst__share_pixels(pst__share_of(magnitude), side, side / 3.0, &value, err);
    *pixels = trunc((double)value);
    return rc;
}

static int draw_step(const struct pst_op *op, struct pst__draws *draws, int32_t w, int32_t h,
                     uint8_t *action, float *magnitude, struct pst_error *err)
{
    const double *entry = pst__draw_action(op, draws);
    int32_t count = (int32_t)entry[PST__COUNT];
    double amount = count > 0 ? entry[PST__MAGNITUDES + pst__draw_below(draws, count)] : 0;
    int is_negative =
            entry[PST__SIGNED] != 0 && pst__draw_is_negative(draws, op->number[IS_V2] != 0),
        rc = PST_OK;
    *action = (uint8_t)entry[PST__ACTION];
    if (pst__is_by_size(*action)) {
        int is_y = *action == PST_ACTION_TRANSLATE_Y_BY_SIZE;
        rc = shift_of(amount, is_y ? h : w, &amount, err);
        *action = is_y ? PST_ACTION_TRANSLATE_Y : PST_ACTION_TRANSLATE_X;
    }
    *magnitude = (float)(is_negative ? -amount : amount);
    return rc;
}

static void draw_shares(const struct pst_op *op, struct pst__draws *draws,
                        struct pst__augmix *augmix)
{
    double none = NAN, *kept = draws->normal ? draws->normal : &none;
    float both[2], share[PST_AUGMIX_CHAINS], alpha = (float)op->number[ALPHA];
    pst__draw_dirichlet(draws, kept, alpha, 2, 2 * PST_GAMMA_WORDS, both);
    size_t n_words = PST_GAMMA_WORDS * (size_t)width_of(op);
    pst__draw_dirichlet(draws, kept, alpha, width_of(op), n_words, share);
    augmix->own = both[0];
    for (int k = 0; k < width_of(op); k++)
        augmix->share[k] = share[k] * both[1];
}

static int plan(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    struct pst__augmix augmix = {0};
    struct pst__tensor_way way = pst__tensor_way_of(op, FILL);
    int32_t w, h;
    int rc = PST_OK, at = 0;
    pst__fold_size(plan, &w, &h);
    draw_shares(op, draws, &augmix);
    for (int k = 0; k < width_of(op); k++) {
        augmix.depth[k] =
            (uint8_t)(op->count > 0 ? op->count : 1 + pst__draw_below(draws, RANDOM_DEPTH));
        for (int i = 0; i < augmix.depth[k] && rc == PST_OK; i++, at++)
            rc = draw_step(op, draws, w, h, &augmix.action[at], &augmix.magnitude[at], err);
    }
    return rc < 0 ? rc : pst__fold_augmix(plan, &augmix, &way, err);
}

/* A contrast that only torch can tell is in one chain or another of every third image: so many are
 * better left to workers than to the consumer. */
static int fits(const struct pst_op *op, int32_t h, int32_t w, struct pst_error *err)
{
    const struct pst__tensor_way way = {.is_v2 = op->number[IS_V2] != 0};
    const double *end = op->table + op->n_table;
    int rc = PST_OK;
    for (const double *entry = op->table; entry < end && rc == PST_OK;
         entry = pst__next_action(entry, end))
        rc = pst__tensor_step_check_size(&way, (int)entry[PST__ACTION], w, h, err);
    return rc < 0 ? PST_EINVAL : PST_OK;
}

/* Of one channel torch adds up in other orders. */
static int channels(const struct pst_op *op, int channels)
{
    (void)op;
    return channels == 3 ? 3 : 0;
}

const struct pst__op_type pst__op_augmix = {
    .kind = PST_OP_AUGMIX,
    .name = "augmix",
    .words = words,
    .check = check,
    .fits = fits,
    .plan = plan,
    .channels = channels,
};
