/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/recolour.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/tensor_steps.h"

/* torchvision ColorJitter, Grayscale, RGB and the steps that change colours or not. Flags of enum
 * pst_colour stand in the step's count. */

#define N_PARTS 4 /* brightness, contrast, saturation, hue: PST_COLOUR_ of index + 1 */

#define CONTRAST_PART (1 << (PST_COLOUR_CONTRAST - 1))

static int flags_of(const struct pst_op *op)
{
    return op->count & (PST_COLOUR_OF_TENSOR | PST_COLOUR_V2);
}

static int check_jitter(const struct pst_op *op, struct pst_error *err)
{
    for (int i = 0; i < N_PARTS; i++) {
        const double *range = op->number + (ptrdiff_t)2 * i;
        if (!(op->count & 1 << i))
            continue;
        if (range[0] > range[1])
            return pst__fail(err, PST_EINVAL, "a range from %g to %g", range[0], range[1]);
        int rc = pst__check_colour(i + 1, range[0], err);
        if (rc == PST_OK)
            rc = pst__check_colour(i + 1, range[1], err);
        if (rc < 0)
            return rc;
    }
    return PST_OK;
}

/* A contrast that only torch can tell is better left to workers than to the consumer. */
static int jitter_fits(const struct pst_op *op, int32_t h, int32_t w, struct pst_error *err)
{
    const struct pst__tensor_way way = {.is_v2 = (op->count & PST_COLOUR_V2) != 0};
    int is_free = !(op->count & PST_COLOUR_OF_TENSOR) || !(op->count & CONTRAST_PART);
    if (is_free || pst__tensor_step_check_size(&way, PST_COLOUR_CONTRAST, w, h, err) == PST_OK)
        return PST_OK;
    return PST_EINVAL;
}

/* The order is drawn of all four, whether there are as many or not, and before the amounts. */
static int plan_jitter(const struct pst__step *step, struct pst__draws *draws,
                       struct pst__plan *plan, struct pst_error *err)
{
    int32_t order[N_PARTS];
    double amount[N_PARTS];
    pst__draw_order(draws, order, N_PARTS);
    for (int i = 0; i < N_PARTS; i++) {
        const double *range = step->op.number + (ptrdiff_t)2 * i;
        if (step->op.count & 1 << i)
            amount[i] = (double)pst__draw_uniform(draws, (float)range[0], (float)range[1]);
    }
    int rc = PST_OK;
    for (int k = 0; k < N_PARTS && rc == PST_OK; k++) {
        int32_t i = order[k];
        if (step->op.count & 1 << i)
            rc = pst__fold_colour(plan, (i + 1) | flags_of(&step->op), amount[i], err);
    }
    return rc;
}

static int channels_of(const struct pst_op *op)
{
    return op->count & ~(PST_COLOUR_OF_TENSOR | PST_COLOUR_V2);
}

static int check_grayscale(const struct pst_op *op, struct pst_error *err)
{
    int channels = channels_of(op);
    if (channels != 1 && channels != 3)
        return pst__fail(err, PST_EINVAL, "%d channels, expected 1 or 3", channels);
    return PST_OK;
}

static int plan_grayscale(const struct pst__step *step, struct pst__draws *draws,
                          struct pst__plan *plan, struct pst_error *err)
{
    (void)draws;
    int colour = PST_COLOUR_GREY | flags_of(&step->op);
    int rc = plan->channels == 1 ? PST_OK : pst__fold_colour(plan, colour, 0, err);
    plan->channels = channels_of(&step->op);
    return rc;
}

static int grayscale_channels(const struct pst_op *op, int channels)
{
    (void)channels;
    return channels_of(op);
}

static int check_rgb(const struct pst_op *op, struct pst_error *err)
{
    (void)op;
    (void)err;
    return PST_OK;
}

/* The three channels of a grey image are equal as it is: nothing is done to pixels. */
static int plan_rgb(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                    struct pst_error *err)
{
    (void)step;
    (void)draws;
    (void)err;
    plan->channels = 3;
    return PST_OK;
}

static int rgb_channels(const struct pst_op *op, int channels)
{
    (void)op;
    (void)channels;
    return 3;
}

static int check_random(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_threshold(op, err);
    return rc < 0 ? rc : pst__check_colour(op->count, op->number[0], err);
}

static int plan_random(const struct pst__step *step, struct pst__draws *draws,
                       struct pst__plan *plan, struct pst_error *err)
{
    if (!pst__draw_chance(draws, step->op.threshold))
        return PST_OK;
    return pst__fold_colour(plan, step->op.count, step->op.number[0], err);
}

const struct pst__op_type pst__op_color_jitter = {
    .kind = PST_OP_COLOR_JITTER,
    .name = "color jitter",
    .max_words = N_PARTS - 1 + N_PARTS,
    .check = check_jitter,
    .fits = jitter_fits,
    .plan = plan_jitter,
};

const struct pst__op_type pst__op_grayscale = {
    .kind = PST_OP_GRAYSCALE,
    .name = "grayscale",
    .check = check_grayscale,
    .plan = plan_grayscale,
    .channels = grayscale_channels,
};

const struct pst__op_type pst__op_rgb = {
    .kind = PST_OP_RGB,
    .name = "rgb",
    .check = check_rgb,
    .plan = plan_rgb,
    .channels = rgb_channels,
};

const struct pst__op_type pst__op_random_colour = {
    .kind = PST_OP_RANDOM_COLOUR,
    .name = "random change of colours",
    .max_words = 1,
    .check = check_random,
    .plan = plan_random,
};
