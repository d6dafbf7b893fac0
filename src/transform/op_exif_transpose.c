/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/ops.h"
#include "transform/segment.h"
#include "transform/turn.h"

static int check(const struct pst_op *op, struct pst_error *err)
{
    if (op->count != 0 && op->count != 1)
        return pst__fail(err, PST_EINVAL, "a count of %d, expected 0 or 1", op->count);
    return PST_OK;
}

static int plan_turn(const struct pst__step *step, struct pst__draws *draws, struct pst__plan *plan,
                     struct pst_error *err)
{
    (void)step, (void)draws;
    int orientation = plan->orientation;
    plan->orientation = 1; /* exif_transpose() takes the tag away */
    return pst__fold_orientation(plan, orientation, err);
}

/* A turned image has its sides exchanged. */
static void size(const struct pst_op *op, int32_t *h, int32_t *w)
{
    (void)op;
    if (*h != *w)
        *h = *w = 0;
}

const struct pst__op_type pst__op_exif_transpose = {
    .kind = PST_OP_EXIF_TRANSPOSE,
    .name = "exif transpose",
    .check = check,
    .plan = plan_turn,
    .size = size,
};
