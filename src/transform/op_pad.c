/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/status.h"
#include "transform/border.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

/* torchvision Pad and RandomCrop. number: left, top, right, bottom, the border's mode; of a crop
 * then whether it pads if needed, and whether it is that of v2. table: the fill. count: whether the
 * image is a tensor: torch mirrors it once or raises, be it that a crop would not show the rest. */

enum { LEFT, TOP, RIGHT, BOTTOM, MODE, IF_NEEDED, IS_V2 };

static int check_pad(const struct pst_op *op, struct pst_error *err)
{
    for (int i = LEFT; i <= BOTTOM; i++) {
        /* Written so that a NaN fails. */
        if (!(op->number[i] >= 0 && op->number[i] <= PST_MAX_SIDE &&
              rint(op->number[i]) == op->number[i]))
            return pst__fail(err, PST_EINVAL, "padding of %g pixels, expected 0 to %d",
                             op->number[i], PST_MAX_SIDE);
    }
    double mode = op->number[MODE];
    if (!(mode == PST_BORDER_CONSTANT || mode == PST_BORDER_EDGE || mode == PST_BORDER_REFLECT ||
          mode == PST_BORDER_SYMMETRIC))
        return pst__fail(err, PST_EINVAL, "padding mode %g, expected 0 to %d", mode,
                         PST_BORDER_SYMMETRIC);
    return pst__check_fill(op, err);
}

static int check_crop(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_size(op, err);
    return rc < 0 ? rc : check_pad(op, err);
}

static int border_of(const struct pst__step *step, const struct pst__plan *plan,
                     struct pst__border *border, struct pst_error *err)
{
    border->mode = (int)step->op.number[MODE];
    return pst__op_fill(&step->op, plan, border->fill, err);
}

/* The image with its padding, in the coordinates of the image. */
static struct pst_rect padded(const struct pst_op *op, int32_t w, int32_t h)
{
    int32_t left = (int32_t)op->number[LEFT], top = (int32_t)op->number[TOP];
    return (struct pst_rect){-left, -top, left + w + (int32_t)op->number[RIGHT],
                             top + h + (int32_t)op->number[BOTTOM]};
}

static int plan_pad(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                    struct pst_error *err)
{
    (void)draws;
    int32_t w, h;
    struct pst__border border;
    pst__fold_size(plan, &w, &h);
    struct pst_rect rect = padded(&step->op, w, h);
    int rc = border_of(step, plan, &border, err);
    return rc < 0 ? rc : pst__fold_border(plan, &rect, &border, err);
}

static void size_pad(const struct pst_op *op, int32_t *h, int32_t *w)
{
    if (*h == 0)
        return;
    struct pst_rect rect = padded(op, *w, *h);
    int is_possible = rect.w <= PST_MAX_PLAN_SIDE && rect.h <= PST_MAX_PLAN_SIDE;
    *w = is_possible ? rect.w : 0;
    *h = is_possible ? rect.h : 0;
}

/* A side that is still too short is padded by what it lacks, at both ends. */
static void add_needed(const struct pst_op *op, struct pst_rect *rect)
{
    int32_t w = op->w > rect->w ? op->w - rect->w : 0, h = op->h > rect->h ? op->h - rect->h : 0;
    *rect = (struct pst_rect){rect->x - w, rect->y - h, rect->w + 2 * w, rect->h + 2 * h};
}

/* v1 draws both places unless there is nothing to cut at all, v2 each where there is. */
static void draw_place(const struct pst_op *op, struct pst__draws *draws, struct pst_rect *rect)
{
    int32_t over_w = rect->w - op->w, over_h = rect->h - op->h, x = 0, y = 0;
    int is_v2 = op->number[IS_V2] != 0;
    if (over_h > 0 || (!is_v2 && over_w > 0))
        y = pst__draw_below(draws, over_h + 1);
    if (over_w > 0 || (!is_v2 && over_h > 0))
        x = pst__draw_below(draws, over_w + 1);
    *rect = (struct pst_rect){rect->x + x, rect->y + y, op->w, op->h};
}

static int check_large_enough(const struct pst_op *op, const struct pst_rect *rect,
                              struct pst_error *err)
{
    if (rect->w < op->w || rect->h < op->h)
        return pst__fail(err, PST_EINVAL, "a crop of %d x %d of an image of %d x %d", op->w, op->h,
                         rect->w, rect->h);
    return PST_OK;
}

static int is_mirror(const struct pst__border *border)
{
    return border->mode == PST_BORDER_REFLECT || border->mode == PST_BORDER_SYMMETRIC;
}

/* v1 pads by what is needed in a second step, which makes a difference to a mirror: the image is
 * padded in the plan as it is there. v2 pads once. */
static int plan_crop(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                     struct pst_error *err)
{
    const struct pst_op *op = &step->op;
    int32_t w, h;
    struct pst__border border;
    pst__fold_size(plan, &w, &h);
    int rc = border_of(step, plan, &border, err);
    if (rc < 0)
        return rc;
    struct pst_rect rect = padded(op, w, h);
    int is_short = op->number[IF_NEEDED] != 0 && (rect.w < op->w || rect.h < op->h);
    if (is_short && is_mirror(&border) && op->number[IS_V2] == 0) {
        rc = pst__fold_border(plan, &rect, &border, err);
        rect.x = rect.y = 0;
    }
    if (is_short)
        add_needed(op, &rect);
    if (rc == PST_OK)
        rc = check_large_enough(op, &rect, err);
    if (rc == PST_OK && op->count)
        rc = pst__check_border(plan, &rect, &border, err);
    if (rc < 0)
        return rc;
    draw_place(op, draws, &rect);
    return pst__fold_border(plan, &rect, &border, err);
}

const struct pst__op_type pst__op_pad = {
    .kind = PST_OP_PAD,
    .name = "pad",
    .check = check_pad,
    .plan = plan_pad,
    .size = size_pad,
};

const struct pst__op_type pst__op_random_crop = {
    .kind = PST_OP_RANDOM_CROP,
    .name = "random crop",
    .max_words = 2,
    .check = check_crop,
    .plan = plan_crop,
    .size = pst__op_size_fixed,
};
