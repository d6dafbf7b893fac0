/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/status.h"
#include "transform/actions.h"
#include "transform/affine.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/recolour.h"
#include "transform/tensor_steps.h"

/* torchvision TrivialAugmentWide, RandAugment and AutoAugment, on PIL images and on tensors. Which
 * changes there are and by how much is in the step's table, as the user's torchvision has it. */

#define MOST_OPS 16 /* of RandAugment */
#define MOST_MAGNITUDE 1e6

/* An entry of a policy, which has two: what, whether its sign is drawn, and then: */
enum { THRESHOLD = 2, MAGNITUDE = 3, ENTRY = 4 }; /* of a policy, which has two entries */

/* number of the step */
enum { IS_V2, DRAWS_MAGNITUDE, FILL, N_FILL = FILL + 3, OF_TENSOR };

static int is_colour(int action)
{
    return action >= PST_COLOUR_BRIGHTNESS && action <= PST_COLOUR_GREY;
}

/* Enhancements are by 1 + magnitude. */
static int is_factor(int action)
{
    return action == PST_COLOUR_BRIGHTNESS || action == PST_COLOUR_CONTRAST ||
           action == PST_COLOUR_SATURATION || action == PST_COLOUR_SHARPNESS;
}

static double amount_of(int action, double magnitude)
{
    return is_factor(action) ? 1.0 + magnitude : magnitude;
}

static int is_action(double number)
{
    return number == PST_ACTION_NONE || (number >= 1 && is_colour((int)number)) ||
           (number >= PST_ACTION_SHEAR_X && number <= PST_ACTION_ROTATE);
}

static int check_on_tensor(int action, double magnitude, struct pst_error *err)
{
    int is_free =
        action == PST_ACTION_NONE || action == PST_COLOUR_INVERT || pst__is_by_size(action);
    if (action == PST_ACTION_TRANSLATE_X || action == PST_ACTION_TRANSLATE_Y)
        magnitude = trunc(magnitude);
    return is_free ? PST_OK : pst__tensor_step_check(action, magnitude, err);
}

static int check_action(const struct pst_op *op, double number, int is_signed, double magnitude,
                        struct pst_error *err)
{
    /* Written so that a NaN fails. */
    if (!(is_action(number) && number == floor(number) && fabs(magnitude) <= MOST_MAGNITUDE))
        return pst__fail(err, PST_EINVAL, "action %g by %g", number, magnitude);
    int action = (int)number;
    struct pst__share share = pst__share_of(magnitude);
    if (pst__is_by_size(action) && (share.bins < 2 || share.index >= share.bins))
        return pst__fail(err, PST_EINVAL, "element %d of %d", share.index, share.bins);
    if (op->number[OF_TENSOR] != 0)
        return check_on_tensor(action, magnitude, err);
    if (!is_colour(action))
        return PST_OK;
    int rc = pst__check_colour(action, amount_of(action, magnitude), err);
    if (rc == PST_OK && is_signed)
        rc = pst__check_colour(action, amount_of(action, -magnitude), err);
    return rc;
}

static int check_common(const struct pst_op *op, struct pst_error *err)
{
    if (op->number[OF_TENSOR] != 0)
        return pst__check_tensor_way(op, FILL, err);
    if (op->filter != PST_FILTER_NEAREST && op->filter != PST_FILTER_BILINEAR &&
        op->filter != PST_FILTER_BICUBIC)
        return pst__fail(err, PST_EINVAL, "filter %d, expected nearest, bilinear or bicubic",
                         op->filter);
    double n_fill = op->number[N_FILL];
    struct pst_op fill = {.table = op->number + FILL, .n_table = n_fill == 3 ? 3 : 1};
    if (n_fill != 1 && n_fill != 3)
        return pst__fail(err, PST_EINVAL, "a colour of %g values, expected 1 or 3", n_fill);
    return pst__check_fill(&fill, err);
}

static int check_list(const struct pst_op *op, struct pst_error *err)
{
    int rc = check_common(op, err);
    if (rc < 0)
        return rc;
    if (op->count < 0 || op->count > MOST_OPS || op->n_table == 0)
        return pst__fail(err, PST_EINVAL, "%d changes out of a table of %zu numbers", op->count,
                         op->n_table);
    const double *entry = op->table, *end = op->table + op->n_table;
    while (entry < end && rc == PST_OK) {
        const double *next = pst__next_action(entry, end);
        if (!next)
            return pst__fail(err, PST_EINVAL, "the table ends within an entry");
        if (next == entry + PST__MAGNITUDES)
            rc = check_action(op, entry[PST__ACTION], 0, 0, err);
        for (const double *m = entry + PST__MAGNITUDES; m < next && rc == PST_OK; m++)
            rc = check_action(op, entry[PST__ACTION], entry[PST__SIGNED] != 0, *m, err);
        entry = next;
    }
    return rc;
}

static int check_policies(const struct pst_op *op, struct pst_error *err)
{
    int rc = check_common(op, err);
    if (rc < 0)
        return rc;
    if (op->n_table == 0 || op->n_table % (2 * (size_t)ENTRY) != 0)
        return pst__fail(err, PST_EINVAL, "policies in a table of %zu numbers", op->n_table);
    for (size_t i = 0; i < op->n_table && rc == PST_OK; i += ENTRY) {
        const double *entry = op->table + i;
        if (!(entry[THRESHOLD] >= 0 && entry[THRESHOLD] <= PST_CERTAIN))
            return pst__fail(err, PST_EINVAL, "threshold %g", entry[THRESHOLD]);
        rc = check_action(op, entry[PST__ACTION], entry[PST__SIGNED] != 0, entry[MAGNITUDE], err);
    }
    return rc;
}

/* The fraction of the element is cut off, and what is left has been compared with torch's for all
 * sides up to the limit. */
static int pixels_of(double magnitude, int32_t side, double *pixels, struct pst_error *err)
{
    float value;
    int rc = pst__share_pixels(pst__share_of(magnitude), side, 150.0 / 331.0 * side, &value, err);
    if (rc == PST_OK)
        *pixels = magnitude < 0 ? -(double)value : (double)value;
    return rc;
}

static int fold_geometry(struct pst__plan *plan, const struct pst_op *op, int action,
                         double magnitude, struct pst_error *err)
{
    const struct pst_op colour = {.table = op->number + FILL,
                                  .n_table = (size_t)op->number[N_FILL]};
    struct pst__warp warp = {.filter = op->filter};
    int rc = pst__op_fill(&colour, plan, warp.fill, err);
    if (rc < 0)
        return rc;
    if (action == PST_ACTION_ROTATE)
        return pst__fold_rotate(plan, &warp, magnitude, 0, NULL, err);
    int32_t w, h;
    pst__fold_size(plan, &w, &h);
    struct pst__affine affine = {.scale = 1.0, .is_v2 = op->number[IS_V2] != 0};
    int is_y = action == PST_ACTION_SHEAR_Y || action == PST_ACTION_TRANSLATE_Y ||
               action == PST_ACTION_TRANSLATE_Y_BY_SIZE;
    if (action == PST_ACTION_SHEAR_X || action == PST_ACTION_SHEAR_Y) {
        affine.shear[is_y] = magnitude;
        return pst__fold_affine(plan, &warp, &affine, err);
    }
    double pixels = magnitude;
    if (pst__is_by_size(action))
        rc = pixels_of(magnitude, is_y ? h : w, &pixels, err);
    if (rc < 0)
        return rc;
    affine.translate[is_y] = trunc(pixels);
    affine.center[0] = w * 0.5;
    affine.center[1] = h * 0.5;
    return pst__fold_affine(plan, &warp, &affine, err);
}

static int fold_on_tensor(struct pst__plan *plan, const struct pst_op *op, int action,
                          double magnitude, struct pst_error *err)
{
    struct pst__tensor_way way = pst__tensor_way_of(op, FILL);
    int flags = PST_COLOUR_OF_TENSOR | (way.is_v2 ? PST_COLOUR_V2 : 0);
    if (is_colour(action))
        return pst__fold_colour(plan, action | flags, amount_of(action, magnitude), err);
    int32_t w, h;
    double amount = magnitude;
    pst__fold_size(plan, &w, &h);
    if (pst__is_by_size(action)) {
        int is_y = action == PST_ACTION_TRANSLATE_Y_BY_SIZE;
        int rc = pixels_of(magnitude, is_y ? h : w, &amount, err);
        if (rc < 0)
            return rc;
        action = is_y ? PST_ACTION_TRANSLATE_Y : PST_ACTION_TRANSLATE_X;
    }
    int is_shift = action == PST_ACTION_TRANSLATE_X || action == PST_ACTION_TRANSLATE_Y;
    return pst__fold_tensor_warp(plan, &way, action, is_shift ? trunc(amount) : amount, err);
}

static int fold_action(struct pst__plan *plan, const struct pst_op *op, int action,
                       double magnitude, struct pst_error *err)
{
    if (action == PST_ACTION_NONE)
        return PST_OK;
    if (op->number[OF_TENSOR] != 0)
        return fold_on_tensor(plan, op, action, magnitude, err);
    if (is_colour(action))
        return pst__fold_colour(plan, action, amount_of(action, magnitude), err);
    return fold_geometry(plan, op, action, magnitude, err);
}

static int plan_list(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                     struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    int rc = PST_OK;
    for (int i = 0; i < op->count && rc == PST_OK; i++) {
        const double *entry = pst__draw_action(op, draws);
        int32_t count = (int32_t)entry[PST__COUNT];
        double magnitude = 0;
        if (count > 0)
            magnitude = entry[PST__MAGNITUDES +
                              (op->number[DRAWS_MAGNITUDE] ? pst__draw_below(draws, count) : 0)];
        if (entry[PST__SIGNED] != 0 && pst__draw_is_negative(draws, op->number[IS_V2] != 0))
            magnitude = -magnitude;
        rc = fold_action(plan, op, (int)entry[PST__ACTION], magnitude, err);
    }
    return rc;
}

static const double *draw_policy(const struct pst_op *op, struct pst__draws *draws)
{
    int32_t n = (int32_t)(op->n_table / (2 * (size_t)ENTRY));
    return op->table + (ptrdiff_t)pst__draw_below(draws, n) * 2 * ENTRY;
}

static int is_taken(const double *entry, struct pst__draws *draws)
{
    return pst__draw_chance(draws, (uint32_t)entry[THRESHOLD]);
}

static int plan_policies(const struct pst__step *step, struct pst__draws *draws,
                         struct pst__plan *plan, struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    const double *policy = draw_policy(op, draws);
    int taken[2], negative[2], is_v2 = op->number[IS_V2] != 0, rc = PST_OK;
    if (!is_v2) { /* draws all it may need */
        for (int i = 0; i < 2; i++)
            taken[i] = is_taken(policy + (ptrdiff_t)i * ENTRY, draws);
        for (int i = 0; i < 2; i++)
            negative[i] = pst__draw_below(draws, 2) == 0;
    }
    for (int i = 0; i < 2 && rc == PST_OK; i++, policy += ENTRY) {
        if (is_v2)
            taken[i] = is_taken(policy, draws);
        if (!taken[i])
            continue;
        double magnitude = policy[MAGNITUDE];
        if (policy[PST__SIGNED] != 0 && (is_v2 ? pst__draw_is_negative(draws, 1) : negative[i]))
            magnitude = -magnitude;
        rc = fold_action(plan, op, (int)policy[PST__ACTION], magnitude, err);
    }
    return rc;
}

/* On tensors a contrast that only torch can tell is drawn for many images: better left to workers
 * than to the consumer. No augmentation of torchvision's is without a contrast. */
static int fits(const struct pst_op *op, int32_t h, int32_t w, struct pst_error *err)
{
    const struct pst__tensor_way way = {.is_v2 = op->number[IS_V2] != 0};
    if (op->number[OF_TENSOR] == 0 ||
        pst__tensor_step_check_size(&way, PST_COLOUR_CONTRAST, w, h, err) == PST_OK)
        return PST_OK;
    return PST_EINVAL;
}

const struct pst__op_type pst__op_augment = {
    .kind = PST_OP_AUGMENT,
    .name = "augment",
    .max_words = (size_t)3 * MOST_OPS,
    .check = check_list,
    .fits = fits,
    .plan = plan_list,
};

const struct pst__op_type pst__op_auto_augment = {
    .kind = PST_OP_AUTO_AUGMENT,
    .name = "auto augment",
    .max_words = 5,
    .check = check_policies,
    .fits = fits,
    .plan = plan_policies,
};
