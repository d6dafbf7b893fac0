/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/ops.h"
#include "transform/segment.h"

/* torchvision Resize: to a pair, or of the short side. */

static int check_pair(const struct pst_op *op, struct pst_error *err)
{
    int rc = pst__check_size(op, err);
    return rc < 0 ? rc : pst__check_filter(op, err);
}

static int plan_pair(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                     struct pst_error *err)
{
    (void)draws;
    return pst__fold_resize(plan, step->op.w, step->op.h, step->op.filter, err);
}

static int check_short(const struct pst_op *op, struct pst_error *err)
{
    if (op->h < 1 || op->h > PST_MAX_SIDE)
        return pst__fail(err, PST_EINVAL, "a short side of %d, expected 1 to %d", op->h,
                         PST_MAX_SIDE);
    if (op->max_size != 0 && (op->max_size <= op->h || op->max_size > PST_MAX_SIDE))
        return pst__fail(err, PST_EINVAL, "max_size %d, expected 0 or %d to %d", op->max_size,
                         op->h + 1, PST_MAX_SIDE);
    return pst__check_filter(op, err);
}

/* int(a * b / c) of Python: the products stay below 2^53, so the division is the only rounding. */
static int64_t scaled(int64_t a, int64_t b, int64_t c)
{
    return (int64_t)((double)(a * b) / (double)c);
}

static void short_size(const struct pst_op *op, int32_t w, int32_t h, int64_t *new_w,
                       int64_t *new_h)
{
    int64_t old_short = w <= h ? w : h;
    int64_t old_long = w <= h ? h : w;
    int64_t new_short = op->h;
    int64_t new_long = scaled(new_short, old_long, old_short);
    if (op->max_size && new_long > op->max_size) {
        new_short = scaled(op->max_size, new_short, new_long);
        new_long = op->max_size;
    }
    *new_w = w <= h ? new_short : new_long;
    *new_h = w <= h ? new_long : new_short;
}

static int plan_short(const struct pst__step *step, struct pst__draws *draws,
                      struct pst__plan *plan, struct pst_error *err)
{
    (void)draws;
    int32_t w, h;
    int64_t new_w, new_h;
    pst__fold_size(plan, &w, &h);
    short_size(&step->op, w, h, &new_w, &new_h);
    return pst__fold_resize(plan, new_w, new_h, step->op.filter, err);
}

static void size_short(const struct pst_op *op, int32_t *h, int32_t *w)
{
    int64_t new_w, new_h;
    if (*h == 0)
        return;
    short_size(op, *w, *h, &new_w, &new_h);
    /* Too large or empty: the plan of every image says so. */
    int is_possible =
        new_w > 0 && new_h > 0 && new_w <= PST_MAX_PLAN_SIDE && new_h <= PST_MAX_PLAN_SIDE;
    *w = is_possible ? (int32_t)new_w : 0;
    *h = is_possible ? (int32_t)new_h : 0;
}

const struct pst__op_type pst__op_resize = {
    .kind = PST_OP_RESIZE,
    .name = "resize",
    .check = check_pair,
    .plan = plan_pair,
    .size = pst__op_size_fixed,
};

const struct pst__op_type pst__op_resize_short = {
    .kind = PST_OP_RESIZE_SHORT,
    .name = "resize of the short side",
    .check = check_short,
    .plan = plan_short,
    .size = size_short,
};
