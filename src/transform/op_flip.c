/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "transform/draw.h"
#include "transform/ops.h"
#include "transform/segment.h"

#define CERTAIN (1u << 24)

static int check_flip(const struct pst_op *op, struct pst_error *err)
{
    if (op->threshold > CERTAIN)
        return pst__fail(err, PST_EINVAL, "threshold %u, expected 0 to %u", op->threshold, CERTAIN);
    return PST_OK;
}

static int plan_hflip(const struct pst__step *step, struct pst__draws *draws,
                      struct pst__plan *plan, struct pst_error *err)
{
    (void)err;
    pst__fold_flip(plan, pst__draw_chance(draws, step->op.threshold), 0);
    return PST_OK;
}

static int plan_vflip(const struct pst__step *step, struct pst__draws *draws,
                      struct pst__plan *plan, struct pst_error *err)
{
    (void)err;
    pst__fold_flip(plan, 0, pst__draw_chance(draws, step->op.threshold));
    return PST_OK;
}

const struct pst__op_type pst__op_hflip = {
    .kind = PST_OP_RANDOM_HFLIP,
    .name = "random horizontal flip",
    .max_words = 1,
    .check = check_flip,
    .plan = plan_hflip,
};

const struct pst__op_type pst__op_vflip = {
    .kind = PST_OP_RANDOM_VFLIP,
    .name = "random vertical flip",
    .max_words = 1,
    .check = check_flip,
    .plan = plan_vflip,
};
